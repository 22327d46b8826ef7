//! Linux software RAID: `/proc/mdstat` (md_seq_show in the kernel's drivers/md/md.c) and `/sys/block/md*/md` (Documentation/admin-guide/md.rst).
//!
//! In mdstat an array is a line `md0 : active raid1 sda1[0] sdb1[1](F)`, a line `<blocks> blocks … [<required>/<active>] [U_]`, and, while
//! it is synchronised, a line `[=>…] recovery = 8.5% (<done>/<all>) …` or `resync=DELAYED`. Arrays without redundancy, and those that are
//! not active, have no count of disks in brackets. A line of nothing but white space ends the array.
//!
//! The line `unused devices:` comes last, but not always: recent kernels leave it out while the last array is being stopped.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, File, Gone, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "mdadm",
    on: true,
    help: "Software RAID from /proc/mdstat and /sys/block/md*.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Mdadm {
            file: paths::proc(flags).file("mdstat"),
            block: paths::sys(flags).join("block"),
            texts: Arena::new(),
            arrays: Vec::new(),
            names: Names::new(),
            raids: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Mdadm {
    file: File,
    block: PathBuf,
    texts: Arena,
    /// In order of name.
    arrays: Vec<Array>,
    names: Names,
    /// In order of name.
    raids: Vec<Raid>,
    buf: Buf,
}

/// An array of mdstat.
#[derive(Clone, Copy)]
struct Array {
    name: Span,
    /// Place in `STATES`; `None` for any other.
    state: Option<usize>,
    required: Option<u64>,
    active: Option<u64>,
    failed: u64,
    spare: u64,
    blocks: u64,
    synced: Option<u64>,
}

/// The states that are told, in order; others, such as `reshape`, are none of these.
const STATES: [&str; 5] = ["active", "check", "inactive", "recovering", "resync"];

/// The words of a line about synchronisation, and the state that each stands for.
const SYNCS: [(&[u8], Option<usize>); 4] =
    [(b"recovery", Some(3)), (b"reshape", None), (b"check", Some(1)), (b"resync", Some(4))];

/// An array of sysfs.
#[derive(Clone, Copy)]
struct Raid {
    name: Span,
    disks: Option<u64>,
    degraded: Option<u64>,
}

impl Mdadm {
    /// Reads both sources; gives the problem that did not stop it.
    fn read(&mut self) -> hostfs::Result<Option<hostfs::Error>> {
        self.texts.clear();
        let bytes = self.file.read(&mut self.buf)?;
        let is_whole = parse(bytes, &mut self.texts, &mut self.arrays)
            .ok_or_else(|| self.file.malformed("personalities and arrays, each with its blocks"))?;
        let cut = (!is_whole).then(|| self.file.malformed("arrays that a line of white space ends"));
        self.raids.clear();
        let Some(block) = Dir::open(&self.block).gone_is_none()? else { return Ok(cut) };
        block.names(&mut self.names)?;
        self.names.retain(|name| name.starts_with(b"md"));
        for name in self.names.iter() {
            let Some(device) = block.dir(name)? else { continue };
            let Some(md) = device.dir("md")? else { continue };
            let name = self.texts.push(name.as_bytes());
            self.raids.push(raid(name, &md, &mut self.buf)?);
        }
        Ok(cut)
    }
}

fn raid(name: Span, md: &Dir, buf: &mut Buf) -> hostfs::Result<Raid> {
    let mut has_disks = false;
    let mut has_redundancy = false;
    let mut has_none = false;
    if let Some(level) = md.attribute("level", buf)? {
        let level = level.trim_ascii();
        // A container's disks belong to the arrays in it; an array that is not set up has no level.
        has_disks = !matches!(level, b"" | b"container" | b"imsm" | b"ddf");
        has_redundancy = matches!(level, b"raid1" | b"raid4" | b"raid5" | b"raid6" | b"raid10");
        has_none = matches!(
            level,
            b"linear" | b"raid0" | b"faulty" | b"multipath" | b"container" | b"imsm" | b"ddf"
        );
    }
    // While an array is reshaped, the number that it had follows in parentheses.
    let first = |bytes: &[u8]| scan::fields(bytes).next_u64();
    let disks = if has_disks { md.attribute("raid_disks", buf)?.and_then(first) } else { None };
    // Without redundancy the kernel has no such file, and nothing to lose before all is lost.
    let degraded = match has_redundancy {
        true => md.attribute("degraded", buf)?.and_then(scan::value),
        false => has_none.then_some(0),
    };
    Ok(Raid { name, disks, degraded })
}

/// Takes the arrays; `false` if the last one is cut and left out, `None` if this is no mdstat.
fn parse(bytes: &[u8], texts: &mut Arena, arrays: &mut Vec<Array>) -> Option<bool> {
    arrays.clear();
    let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
    let mut lines = scan::lines(bytes).peekable();
    let mut has_personalities = false;
    let mut is_whole = bytes.last().is_none_or(|&last| last == b'\n');
    while let Some(line) = lines.next() {
        has_personalities |= line.starts_with(b"Personalities");
        if line.first().is_none_or(u8::is_ascii_whitespace)
            || line.starts_with(b"Personalities")
            || line.starts_with(b"unused")
        {
            continue;
        }
        let Some(status) = lines.next() else {
            is_whole = false;
            break;
        };
        let mut array = array(line, status, texts)?;
        while let Some(more) =
            lines.next_if(|m| !is_blank(m) && m.first().is_some_and(u8::is_ascii_whitespace))
        {
            synchronisation(more, &mut array);
        }
        // What follows, at least a blank line, tells that nothing is missing.
        if lines.peek().is_some() {
            arrays.push(array);
        } else {
            is_whole = false;
        }
    }
    arrays.sort_unstable_by(|a, b| texts[a.name].cmp(&texts[b.name]));
    arrays.dedup_by(|a, b| texts[a.name] == texts[b.name]);
    // Without arrays, Linux 6.7 and 6.8 write nothing at all.
    (has_personalities || bytes.is_empty()).then_some(is_whole)
}

/// The line of an array, and the one below it.
fn array(line: &[u8], status: &[u8], texts: &mut Arena) -> Option<Array> {
    let mut fields = scan::fields(line);
    let name = fields.next()?;
    fields.next().filter(|&colon| colon == b":")?;
    let state = match fields.next()? {
        b"active" => Some(0),
        b"inactive" => Some(2),
        _ => None,
    };
    let is_inactive = state == Some(2);
    let count = |mark: &[u8]| {
        fields.clone().map(|f| f.windows(mark.len()).filter(|w| *w == mark).count() as u64).sum()
    };
    let has_redundancy = !fields.clone().any(|field| field == b"raid0" || field == b"linear");

    let mut words = scan::fields(status);
    let blocks = words.next_u64()?;
    words.next().filter(|&word| word == b"blocks")?;
    let (required, active) = if !has_redundancy {
        let disks = count(b"[");
        (Some(disks), Some(disks))
    } else if is_inactive {
        (Some(0), Some(0))
    } else {
        words
            .filter_map(disks)
            .last()
            .map_or((None, None), |(required, active)| (Some(required), Some(active)))
    };
    Some(Array {
        name: texts.push(name),
        state,
        required,
        active,
        failed: count(b"(F)"),
        spare: count(b"(S)"),
        blocks,
        synced: Some(blocks),
    })
}

/// `[required/active]`.
fn disks(word: &[u8]) -> Option<(u64, u64)> {
    let (required, active) = scan::split_once(word.strip_prefix(b"[")?.strip_suffix(b"]")?, b'/')?;
    Some((scan::unsigned(required)?, scan::unsigned(active)?))
}

/// A further line of an array: how far its synchronisation is, or something else.
fn synchronisation(line: &[u8], array: &mut Array) {
    let has = |word: &[u8]| line.windows(word.len()).any(|w| w == word);
    let Some(&(_, state)) = SYNCS.iter().find(|(word, _)| has(word)) else { return };
    array.state = state;
    array.synced = if has(b"PENDING") || has(b"DELAYED") {
        Some(0)
    } else {
        // `(16775552/195310144)`; a resync that another node does has none.
        scan::fields(line)
            .filter_map(|word| scan::split_once(word.strip_prefix(b"(")?.strip_suffix(b")")?, b'/'))
            .find_map(|(done, all)| scan::unsigned(all).and(scan::unsigned(done)))
    };
}

impl Collector for Mdadm {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let cut = self.read().map_err(|error| Error::or_no_data(&error))?;
        let device = |name: Span| ("device", LabelValue::from(&self.texts[name]));
        let mut numbers = |name, help, value: fn(&Array) -> Option<u64>| {
            let mut family = out.family(name, Kind::Gauge, help);
            for array in &self.arrays {
                if let Some(value) = value(array) {
                    family.sample(&[device(array.name)], value);
                }
            }
        };
        numbers("node_md_blocks", "Size of the array, in blocks of 1 KiB.", |a| Some(a.blocks));
        numbers("node_md_blocks_synced", "How far the array is synchronised, in blocks of 1 KiB.", |a| {
            a.synced
        });
        numbers("node_md_disks_required", "Disks that the array needs to be whole.", |a| a.required);

        let mut family =
            out.family("node_md_disks", Kind::Gauge, "Disks of the array that are active, failed or spare.");
        for array in &self.arrays {
            for (state, count) in
                [("active", array.active), ("failed", Some(array.failed)), ("spare", Some(array.spare))]
            {
                if let Some(count) = count {
                    family.sample(&[device(array.name), ("state", state.into())], count);
                }
            }
        }
        drop(family);
        let mut family = out.family("node_md_state", Kind::Gauge, "Whether the array is in the state.");
        for array in &self.arrays {
            for (i, state) in STATES.into_iter().enumerate() {
                family.sample(&[device(array.name), ("state", state.into())], array.state == Some(i));
            }
        }
        drop(family);

        let mut numbers = |name, help, value: fn(&Raid) -> Option<u64>| {
            let mut family = out.family(name, Kind::Gauge, help);
            for raid in &self.raids {
                if let Some(value) = value(raid) {
                    family.sample(&[device(raid.name)], value);
                }
            }
        };
        numbers("node_md_degraded", "Disks that the array lacks.", |r| r.degraded);
        numbers("node_md_raid_disks", "Disks that the array is made for.", |r| r.disks);
        cut.map_or(Ok(()), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEAD: &str = "Personalities : [linear] [raid0] [raid1] [raid6]\n";

    /// `device required active failed spare blocks synced state`, with `-` for what is absent.
    fn parsed(text: &str) -> Option<Vec<String>> {
        let (mut texts, mut arrays) = (Arena::new(), Vec::new());
        parse(format!("{HEAD}{text}").as_bytes(), &mut texts, &mut arrays)?.then_some(())?;
        let show = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        let line = |a: &Array| {
            let name = String::from_utf8_lossy(&texts[a.name]).into_owned();
            let state = a.state.map_or("-", |state| STATES[state]);
            format!(
                "{name} {} {} {} {} {} {} {state}",
                show(a.required),
                show(a.active),
                a.failed,
                a.spare,
                a.blocks,
                show(a.synced)
            )
        };
        Some(arrays.iter().map(line).collect())
    }

    #[test]
    fn arrays_in_every_state() {
        for (text, expected) in [
            (
                "md0 : active raid1 sdi1[0] sdj1[1]\n      248896 blocks [2/2] [UU]\n",
                "md0 2 2 0 0 248896 248896 active",
            ),
            (
                "md4 : inactive raid1 sda3[0](F) sdb3[1](S)\n      48 blocks [2/2] [UU]\n",
                "md4 0 0 1 1 48 48 inactive",
            ),
            (
                "md9 : inactive sdb[2](S) sdc[1](S)\n      7932 blocks super external:imsm\n",
                "md9 0 0 0 2 7932 7932 inactive",
            ),
            ("md1 : active raid0 sda1[0] sdb1[1]\n 9 blocks 64k chunks\n", "md1 2 2 0 0 9 9 active"),
            (
                "md2 : active (read-only) linear sda1[1] sdb1[0]\n 9 blocks super 1.2 0k rounding\n",
                "md2 2 2 0 0 9 9 active",
            ),
            (
                "md3 : active raid6 sdb1[0] sdc1[1](F)\n 78 blocks super 1.2 level 6, 512k chunk, algorithm 2 [4/3] [U_UU]\n bitmap: 0/30 pages [0KB], 65536KB chunk\n",
                "md3 4 3 1 0 78 78 active",
            ),
            ("md3 : active faulty sdb1[0]\n 78 blocks super 1.2\n", "md3 - - 0 0 78 78 active"),
            ("md5 : broken raid1 sdb1[0]\n 78 blocks super 1.2 [2/1] [U_]\n", "md5 2 1 0 0 78 78 -"),
        ] {
            assert_eq!(parsed(&format!("{text}      \n")).unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn synchronisation_of_every_kind() {
        for (line, expected) in [
            ("[=>..]  recovery =  8.5% (167/1953) finish=17.0min speed=259783K/sec", "167 recovering"),
            ("[=>..]  resync =  8.5% (167/1953) finish=17.0min speed=259783K/sec", "167 resync"),
            ("[=>..]  check =  8.5% (167/1953) finish=17.0min speed=259783K/sec", "167 check"),
            ("[=>..]  reshape =  8.5% (167/1953) finish=17.0min speed=259783K/sec", "167 -"),
            ("  resync=DELAYED", "0 resync"),
            ("  resync=PENDING", "0 resync"),
            ("  resync=REMOTE", "- resync"),
            ("[=>..]  resync =  8.5% (167/19x) finish", "- resync"),
            ("bitmap: 0/30 pages [0KB], 65536KB chunk", "1953 active"),
        ] {
            for bitmap in ["", "      bitmap: 1/1 pages [4KB], 65536KB chunk\n"] {
                for text in [format!("      {line}\n{bitmap}"), format!("{bitmap}      {line}\n")] {
                    let text = format!(
                        "md6 : active raid1 sdb2[1] sda2[0]\n      1953 blocks [2/1] [U_]\n{text}\nunused devices: <none>\n"
                    );
                    assert_eq!(parsed(&text).unwrap(), [format!("md6 2 1 0 0 1953 {expected}")], "{text}");
                }
            }
        }
    }

    #[test]
    fn cut_in_an_array_that_array_is_left_out() {
        let first = "md0 : active raid6 sda1[0] sdb1[1](F) sdc1[2](S)\n      195310144 blocks super 1.2 [12/11] [U_]\n      \n";
        let second = "md1 : active raid1 sdd1[0]\n      1953 blocks [2/1] [U_]\n      resync=PENDING\n      bitmap: 1/1 pages\n\n";
        let tree = Tree::new(&[]);
        let whole = format!("{HEAD}{first}{second}unused devices: <none>\n");
        tree.write("proc/mdstat", &whole);
        let all = tree.samples(&ENTRY, &[]);
        assert!(all.contains("node_md_blocks_synced{device=\"md1\"} 0\n"), "{all}");
        let mut collector = tree.collector(&ENTRY, &[]);
        let ends = [HEAD.len(), HEAD.len() + first.len(), HEAD.len() + first.len() + second.len()];
        for end in HEAD.len()..whole.len() {
            tree.write("proc/mdstat", &whole[..end]);
            let (samples, error) = crate::testing::collect(&mut *collector);
            assert!(samples.lines().all(|line| all.lines().any(|other| other == line)), "{end}: {samples}");
            let blocks = samples.matches("node_md_blocks{").count();
            assert_eq!(blocks, usize::from(end >= ends[1]) + usize::from(end >= ends[2]), "{end}: {samples}");
            assert_eq!(error.is_none(), ends.contains(&end), "{end}: {error:?}");
        }
    }

    #[test]
    fn arrays_are_in_order_and_once() {
        let array = |name: &str| format!("{name} : active raid1 a[0]\n 1 blocks [1/1] [U]\n\n");
        let text = array("md2") + &array("md10") + &array("md2") + "unused devices: <none>\n";
        assert_eq!(parsed(&text).unwrap(), ["md10 1 1 0 0 1 1 active", "md2 1 1 0 0 1 1 active"]);
        assert!(parsed("").unwrap().is_empty() && parsed("unused devices: <none>\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_mdstat_fails() {
        for bad in [
            "md0\n\n",
            "md0 : active raid1 sda[0]\nmd1 : active raid1\n",
            "md0 : active raid1 sda[0]\n  x blocks\n",
            "\0\0\n",
        ] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
        assert_eq!(Tree::new(&[("proc/mdstat", "")]).samples(&ENTRY, &[]), "");
        for bad in ["\n", "md0 : active raid1 sda[0]\n 1 blocks [1/1] [U]\n\n"] {
            let tree = Tree::new(&[("proc/mdstat", bad)]);
            assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::Failed(_))), "{bad:?}");
        }
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }

    #[test]
    fn families_of_both_sources() {
        let tree = Tree::new(&[
            ("proc/mdstat", &format!("{HEAD}md0 : active raid1 sda[0] sdb[1](F)\n 10 blocks [2/1] [U_]\n\n")),
            ("sys/block/md0/md/level", "raid1\n"),
            ("sys/block/md0/md/raid_disks", "2 (3)\n"),
            ("sys/block/md0/md/degraded", "1\n"),
            ("sys/block/md1/md/level", "raid0\n"),
            ("sys/block/md1/md/raid_disks", "4\n"),
            ("sys/block/md127/md/level", "container\n"),
            ("sys/block/md127/md/raid_disks", "0\n"),
            ("sys/block/md2/md/level", "raid5\n"),
            ("sys/block/md3/size", "1\n"),
            ("sys/block/md4/md/level", "\n"),
            ("sys/block/md5/md/raid_disks", "3\n"),
            ("sys/block/md6/md/level", "raid\0 6\n"),
            ("sys/block/sda/md/level", "raid5\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            r#"node_md_blocks{device="md0"} 10
node_md_blocks_synced{device="md0"} 10
node_md_disks_required{device="md0"} 2
node_md_disks{device="md0",state="active"} 1
node_md_disks{device="md0",state="failed"} 1
node_md_disks{device="md0",state="spare"} 0
node_md_state{device="md0",state="active"} 1
node_md_state{device="md0",state="check"} 0
node_md_state{device="md0",state="inactive"} 0
node_md_state{device="md0",state="recovering"} 0
node_md_state{device="md0",state="resync"} 0
node_md_degraded{device="md0"} 1
node_md_degraded{device="md1"} 0
node_md_degraded{device="md127"} 0
node_md_raid_disks{device="md0"} 2
node_md_raid_disks{device="md1"} 4
"#
        );
    }
}
