//! ZFS: the kernel statistics in `/proc/spl/kstat/zfs`, see OpenZFS' include/sys/kstat.h and module/os/linux/spl/spl-kstat.c.
//!
//! A named kstat is a line of its own numbers, the line `name type data`, then a line per value. Only the types 3 (signed) and 4
//! (unsigned, 64 bits) are exported, under the name that the module gives, hence hundreds of untyped families. The lines of a
//! file are the same from scrape to scrape: names, HELP texts and repeats are worked out once and compared from then on.
//! Each pool is a directory with its I/O, its state, and a kstat per mounted dataset.

use std::path::PathBuf;
use std::time::Instant;

use exporter::text::{LabelValue, Number};
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, File, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "zfs",
    on: true,
    help: "ZFS kernel statistics from /proc/spl/kstat/zfs.",
    flags: &[],
    new: |flags| {
        let proc = paths::proc(flags);
        let kstat = |(name, prefix)| Kstat {
            file: proc.file(format!("spl/kstat/zfs/{name}")),
            name,
            prefix,
            known: Vec::new(),
            texts: Arena::new(),
        };
        Ok(Box::new(Zfs {
            base: proc.join("spl/kstat/zfs"),
            kstats: KSTATS.map(kstat),
            pools: Names::new(),
            files: Names::new(),
            io: Table::new(),
            datasets: Table::new(),
            states: Vec::new(),
            texts: Arena::new(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

/// Kstats of the module: file, and what its families' names begin with.
const KSTATS: [(&str, &str); 11] = [
    ("abdstats", "node_zfs_abd_"),
    ("arcstats", "node_zfs_arc_"),
    ("dbufstats", "node_zfs_dbuf_"),
    ("dmu_tx", "node_zfs_dmu_tx_"),
    ("dnodestats", "node_zfs_dnode_"),
    ("fm", "node_zfs_fm_"),
    ("vdev_cache_stats", "node_zfs_vdev_cache_"),
    ("vdev_mirror_stats", "node_zfs_vdev_mirror_"),
    ("xuio_stats", "node_zfs_xuio_"),
    ("zfetchstats", "node_zfs_zfetch_"),
    ("zil", "node_zfs_zil_"),
];

/// States of a pool, in the order of their labels.
const STATES: [&str; 7] = ["degraded", "faulted", "offline", "online", "removed", "suspended", "unavail"];

struct Zfs {
    base: PathBuf,
    kstats: [Kstat; KSTATS.len()],
    pools: Names,
    files: Names,
    io: Table,
    datasets: Table,
    /// The pools whose state is known, and which of [`STATES`] it is; `None` for one that this list does not have.
    states: Vec<(Span, Option<usize>)>,
    texts: Arena,
    scratch: Vec<u8>,
    buf: Buf,
}

/// A kstat of the module, with what is known of its lines.
struct Kstat {
    file: File,
    name: &'static str,
    prefix: &'static str,
    known: Vec<Known>,
    texts: Arena,
}

/// A line of a kstat as it was when it was last seen.
struct Known {
    key: Span,
    family: Span,
    help: Span,
    /// Whether the key makes a valid name that no earlier line has.
    is_shown: bool,
}

impl Kstat {
    fn collect(&mut self, out: &mut Text, buf: &mut Buf, scratch: &mut Vec<u8>) -> hostfs::Result<()> {
        let bytes = self.file.read(buf)?;
        let values = values(scan::lines(bytes)).ok_or_else(|| {
            self.file.malformed("a kstat, in which the line \"name type data\" comes first")
        })?;
        let mut is_bad = false;
        for (index, (key, kind, data)) in values.clone().enumerate() {
            if self.known.get(index).is_none_or(|known| self.texts[known.key] != *key) {
                self.learn(values.clone().map(|(key, ..)| key), scratch);
            }
            let Some(known) = self.known.get(index).filter(|known| known.is_shown) else { continue };
            let number = match kind {
                b"3" => scan::signed(data).map(Number::I),
                b"4" => scan::unsigned(data).map(Number::U),
                _ => continue,
            };
            let Some(number) = number else {
                is_bad = true;
                continue;
            };
            let (name, help) = (&self.texts[known.family], &self.texts[known.help]);
            out.family_bytes(name, Kind::Untyped, help).sample(&[], number);
        }
        if is_bad { Err(self.file.malformed("a kstat whose numbers fit their types")) } else { Ok(()) }
    }

    /// Makes the names and HELP texts of all lines.
    fn learn<'a>(&mut self, keys: impl Iterator<Item = &'a [u8]>, scratch: &mut Vec<u8>) {
        let Kstat { known, texts, .. } = self;
        known.clear();
        texts.clear();
        for key in keys {
            scratch.clear();
            scratch.extend_from_slice(self.prefix.as_bytes());
            let is_shown = name_into(scratch, key);
            let family = texts.push(scratch);
            scratch.clear();
            scratch.extend_from_slice(b"ZFS statistic ");
            scratch.extend_from_slice(key);
            scratch.extend_from_slice(b" of ");
            scratch.extend_from_slice(self.name.as_bytes());
            scratch.push(b'.');
            let help = texts.push(scratch);
            known.push(Known { key: texts.push(key), family, help, is_shown });
        }
        let mut order: Vec<usize> = (0..known.len()).collect();
        order.sort_by(|&a, &b| texts[known[a].family].cmp(&texts[known[b].family]));
        for pair in order.windows(2) {
            if texts[known[pair[0]].family] == texts[known[pair[1]].family] {
                known[pair[1]].is_shown = false;
            }
        }
    }
}

/// The lines of a named kstat: key, type, first word of the data. `None` if there is no head.
fn values<'a>(
    mut lines: impl Iterator<Item = &'a [u8]> + Clone,
) -> Option<impl Iterator<Item = (&'a [u8], &'a [u8], &'a [u8])> + Clone> {
    lines.find(|line| scan::fields(line).eq([&b"name"[..], b"type", b"data"]))?;
    Some(lines.filter_map(|line| {
        let mut fields = scan::fields(line);
        Some((fields.next()?, fields.next()?, fields.next()?))
    }))
}

/// The lines of a kstat without one that is cut: a last line that no newline ends counts if it is the last of those that the first
/// line announces.
fn complete(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    const HEADS: u64 = 2;
    let announced = scan::fields(bytes).nth(3).and_then(scan::unsigned);
    let lines = scan::lines_loose(bytes).count() as u64;
    let end = match announced.and_then(|values| values.checked_add(HEADS)) {
        Some(all) if all == lines => bytes.len(),
        _ => bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1),
    };
    scan::lines_loose(&bytes[..end])
}

/// Appends the part of a family's name that a key gives; `false` if that is no valid name.
fn name_into(out: &mut Vec<u8>, key: &[u8]) -> bool {
    let last = key.rsplit(|&b| b == b'.').next().unwrap_or_default();
    let start = out.len();
    out.extend(last.iter().map(|&b| if b == b'-' { b'_' } else { b }));
    start < out.len() && out[start..].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

/// Families with the same two labels: a row per pool or dataset, a column per family.
struct Table {
    keys: Vec<Span>,
    rows: Vec<Row>,
    cells: Vec<Option<u64>>,
}

struct Row {
    dataset: Span,
    pool: Span,
    /// Where the row is in the cells. It ends with its last value, not with the last column.
    start: usize,
    end: usize,
}

impl Table {
    /// The most columns; a dataset has about 30.
    const MOST: usize = 256;

    const fn new() -> Self {
        Table { keys: Vec::new(), rows: Vec::new(), cells: Vec::new() }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
        self.cells.clear();
    }

    fn push_row(&mut self, dataset: Span, pool: Span) {
        let at = self.cells.len();
        self.rows.push(Row { dataset, pool, start: at, end: at });
    }

    /// Sets a cell of the last row. The `hint` is the column if this row is like those before; of two values of a key the first stays.
    fn set(&mut self, key: &[u8], hint: usize, value: u64, texts: &mut Arena, scratch: &mut Vec<u8>) {
        let is_key = |span: &Span| texts[*span] == *key;
        let column = if self.keys.get(hint).is_some_and(is_key) {
            hint
        } else {
            scratch.clear();
            if !name_into(scratch, key) {
                return;
            }
            match self.keys.iter().position(|&known| texts[known] == scratch[..]) {
                Some(column) => column,
                None if self.keys.len() < Self::MOST => {
                    self.keys.push(texts.push(scratch));
                    self.keys.len() - 1
                }
                None => return,
            }
        };
        let Some(row) = self.rows.last_mut() else { return };
        let at = row.start + column;
        if at >= self.cells.len() {
            self.cells.resize(at + 1, None);
            row.end = at + 1;
        }
        self.cells[at].get_or_insert(value);
    }

    /// Writes the families, whose names are `prefix` and the key. Without datasets the pool is the only label.
    fn emit(
        &mut self,
        out: &mut Text,
        prefix: &str,
        has_datasets: bool,
        texts: &Arena,
        scratch: &mut Vec<u8>,
    ) {
        let Table { keys, rows, cells } = self;
        let labels = |row: &Row| [&texts[row.dataset], &texts[row.pool]];
        rows.sort_unstable_by(|a, b| labels(a).cmp(&labels(b)).then(a.start.cmp(&b.start)));
        rows.dedup_by(|a, b| labels(a) == labels(b));
        for (column, &key) in keys.iter().enumerate() {
            scratch.clear();
            scratch.extend_from_slice(prefix.as_bytes());
            scratch.extend_from_slice(&texts[key]);
            let name_end = scratch.len();
            scratch.extend_from_slice(b"ZFS statistic ");
            scratch.extend_from_slice(&texts[key]);
            scratch.extend_from_slice(if has_datasets { b" of the dataset." } else { b" of the pool." });
            let (name, help) = scratch.split_at(name_end);
            let mut family = out.family_bytes(name, Kind::Untyped, help);
            for row in rows.iter() {
                if let Some(&Some(value)) = cells[row.start..row.end].get(column) {
                    let [dataset, pool] = labels(row).map(LabelValue::from);
                    let labels = [("dataset", dataset), ("zpool", pool)];
                    family.sample(if has_datasets { &labels } else { &labels[1..] }, value);
                }
            }
        }
    }
}

impl Zfs {
    /// Reads all pools; gives the first problem that did not stop it.
    fn read_pools(&mut self) -> Result<Option<hostfs::Error>, Error> {
        let Zfs { base, pools, files, io, datasets, states, texts, scratch, buf, .. } = self;
        io.clear();
        datasets.clear();
        states.clear();
        texts.clear();
        pools.clear();
        let base = Dir::open(base).map_err(|error| Error::or_no_data(&error))?;
        base.each_name(|name, file_type| {
            if !file_type.is_file() {
                pools.push(name);
            }
        })?;
        pools.sort();
        let mut problem = None;
        for name in pools.iter() {
            let mut read = || -> hostfs::Result<()> {
                let Some(dir) = base.dir(name)? else { return Ok(()) };
                let pool = texts.push(name.as_encoded_bytes());
                files.clear();
                dir.each_name(|name, _| {
                    if matches!(name, b"io" | b"state") || name.starts_with(b"objset-") {
                        files.push(name);
                    }
                })?;
                files.sort();
                for file in files.iter() {
                    // A pool that is being exported takes its files away.
                    let Some(bytes) = dir.table(file, buf)? else { continue };
                    let complaint = match file.as_encoded_bytes() {
                        b"io" => read_io(bytes, io, pool, texts, scratch),
                        b"state" => read_state(bytes, states, pool),
                        _ => read_dataset(bytes, datasets, pool, texts, scratch),
                    };
                    if let Err(expected) = complaint {
                        problem.get_or_insert_with(|| dir.malformed(file, expected));
                    }
                }
                Ok(())
            };
            match read() {
                Err(error) if !error.is_gone() => {
                    problem.get_or_insert(error);
                }
                _ => {}
            }
        }
        Ok(problem)
    }
}

/// The kstat `io` of a pool: two lines, one of keys and one of numbers.
fn read_io(
    bytes: &[u8],
    io: &mut Table,
    pool: Span,
    texts: &mut Arena,
    scratch: &mut Vec<u8>,
) -> Result<(), &'static str> {
    const KEYS_LEAST: usize = 12;
    let mut lines = scan::lines(bytes);
    let is_head = |line: &&[u8]| {
        let mut fields = scan::fields(line);
        fields.next() == Some(b"nread") && fields.count() + 1 >= KEYS_LEAST
    };
    let (Some(head), Some(data)) = (lines.find(is_head), lines.next()) else {
        return Err("a line of keys and one of numbers");
    };
    let mut numbers = scan::fields(data);
    let mut result = Ok(());
    io.push_row(Span::default(), pool);
    for (column, key) in scan::fields(head).enumerate() {
        match numbers.next_u64() {
            // These would be the names of other families.
            Some(_) if key == b"state" || key.starts_with(b"dataset_") => {}
            Some(number) => io.set(key, column, number, texts, scratch),
            None => result = Err("a number below each key"),
        }
    }
    result
}

/// A kstat `objset-<id>`: the numbers of a mounted dataset, after its name.
fn read_dataset(
    bytes: &[u8],
    datasets: &mut Table,
    pool: Span,
    texts: &mut Arena,
    scratch: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let values =
        values(complete(bytes)).ok_or("a kstat, in which the line \"name type data\" comes first")?;
    let (mut is_named, mut is_bad, mut column) = (false, false, 0);
    for (key, kind, data) in values {
        if key == b"dataset_name" {
            // The name ends with the line: it may have spaces in it.
            let start = data.as_ptr().addr() - bytes.as_ptr().addr();
            let name = bytes[start..].split(|&b| b == b'\n').next().unwrap_or(data);
            datasets.push_row(texts.push(name), pool);
            is_named = true;
        } else if kind == b"4" && is_named {
            match scan::unsigned(data) {
                Some(number) => datasets.set(key, column, number, texts, scratch),
                None => is_bad = true,
            }
            column += 1;
        }
    }
    match (is_named, is_bad) {
        (false, _) => Err("a kstat that names its dataset"),
        (_, true) => Err("a kstat whose numbers fit their types"),
        _ => Ok(()),
    }
}

/// The file `state` of a pool: one word.
fn read_state(bytes: &[u8], states: &mut Vec<(Span, Option<usize>)>, pool: Span) -> Result<(), &'static str> {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let state = STATES.iter().position(|state| state.as_bytes().eq_ignore_ascii_case(line));
    // A word that is not known may be a later version's state, unless it is cut.
    let is_word = line.len() < bytes.len() && !line.is_empty() && line.iter().all(u8::is_ascii_alphabetic);
    if state.is_none() && !is_word {
        return Err("the state of a pool in one word");
    }
    states.push((pool, state));
    Ok(())
}

impl Collector for Zfs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let mut problem = self.read_pools()?;
        for kstat in &mut self.kstats {
            match kstat.collect(out, &mut self.buf, &mut self.scratch) {
                Err(error) if !error.is_unavailable() => {
                    problem.get_or_insert(error);
                }
                // Which kstats there are depends on the version.
                _ => {}
            }
        }
        let Zfs { io, datasets, states, texts, scratch, .. } = self;
        io.emit(out, "node_zfs_zpool_", false, texts, scratch);
        datasets.emit(out, "node_zfs_zpool_dataset_", true, texts, scratch);
        let mut family =
            out.family("node_zfs_zpool_state", Kind::Gauge, "Whether the pool is in this state: 1 or 0.");
        for (index, state) in STATES.into_iter().enumerate() {
            for &(pool, is) in states.iter() {
                let labels = [("state", state.into()), ("zpool", LabelValue::from(&texts[pool]))];
                family.sample(&labels, is == Some(index));
            }
        }
        drop(family);
        problem.map_or(Ok(()), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    const BASE: &str = "proc/spl/kstat/zfs";
    const FM: &str = "0 1 0x01 4 192 8007255140 354329591145385\n\
                      name                            type data\n\
                      erpt-dropped                    4    18\n\
                      memory_available_bytes          3    -922337203685477580\n\
                      text                            7    word\n";

    fn tree(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::new(&[("proc/spl/kstat/zfs/other", "not read\n")]);
        for (name, contents) in files {
            tree.write(&format!("{BASE}/{name}"), contents);
        }
        tree
    }

    #[test]
    fn signed_and_unsigned_values_of_a_kstat() {
        assert_eq!(
            tree(&[("fm", FM)]).samples(&ENTRY, &[]),
            "node_zfs_fm_erpt_dropped 18\nnode_zfs_fm_memory_available_bytes -9.223372036854776e+17\n"
        );
    }

    #[test]
    fn help_is_ours_and_the_type_untyped() {
        let mut text = Text::new();
        tree(&[("fm", FM)]).collector(&ENTRY, &[]).collect(&mut text, Instant::now()).unwrap();
        assert!(text.bytes().starts_with(
            b"# HELP node_zfs_fm_erpt_dropped ZFS statistic erpt-dropped of fm.\n# TYPE node_zfs_fm_erpt_dropped untyped\n"
        ));
    }

    #[test]
    fn lines_may_change_between_scrapes() {
        let tree = tree(&[("zil", "name type data\na 4 1\nb 4 2\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        let mut samples = |text: &str| {
            tree.write("proc/spl/kstat/zfs/zil", text);
            collect(&mut *collector).0
        };
        assert_eq!(samples("name type data\na 4 1\nb 4 2\n"), "node_zfs_zil_a 1\nnode_zfs_zil_b 2\n");
        assert_eq!(samples("name type data\nb 4 3\n"), "node_zfs_zil_b 3\n");
        assert_eq!(
            samples("name type data\nb 4 3\nc 4 4\nb 4 5\n"),
            "node_zfs_zil_b 3\nnode_zfs_zil_c 4\n",
            "of two values of a key the first counts"
        );
        assert_eq!(
            samples("name type data\na-b 4 1\na_b 4 2\nx.y 4 3\n"),
            "node_zfs_zil_a_b 1\nnode_zfs_zil_y 3\n"
        );
    }

    #[test]
    fn damage_costs_what_is_damaged_and_is_told() {
        for (contents, expected) in [
            ("", ""),
            ("\n", ""),
            ("name type data", ""),
            ("a 4 1\n", ""),
            ("name type data\na 4 18446744073709551616\nb 4 2\n", "node_zfs_zil_b 2\n"),
            ("name type data\na 4 -1\nb 3 9223372036854775808\nc 4 3\n", "node_zfs_zil_c 3\n"),
        ] {
            let (samples, error) = tree(&[("zil", contents), ("fm", FM)]).collect(&ENTRY, &[]);
            assert!(matches!(error, Some(Error::Failed(_))), "{contents:?}");
            assert_eq!(samples.replace("node_zfs_fm_erpt_dropped 18\nnode_zfs_fm_memory_available_bytes -9.223372036854776e+17\n", ""), expected);
        }
        for (contents, expected) in [
            ("name type data\na 4 1\nb 4 2", "node_zfs_zil_a 1\n"),
            ("name type data\na 4\nb\n\n\u{e9} 4 1\nc\"d 4 1\n. 4 1\nb 4 2 x\n", "node_zfs_zil_b 2\n"),
        ] {
            assert_eq!(tree(&[("zil", contents)]).samples(&ENTRY, &[]), expected);
        }
    }

    #[test]
    fn pools_and_datasets() {
        const HEAD: &str = "24 1 0x01 7 2160 221611904716 7145015038451\nname type data\n";
        let dataset =
            |name: &str, lines: &str| format!("{HEAD}dataset_name                    7    {name}\n{lines}");
        let tree = tree(&[
            ("b/state", "ONLINE\n"),
            (
                "b/io",
                "12 3 0x00 1 80 1 2\nnread nwritten reads writes wtime wlentime wupdate rtime rlentime rupdate wcnt rcnt\n1 2 3 4 5 6 7 8 9 10 11 12\n",
            ),
            ("b/objset-0x1", &dataset("b/7 two  spaces", "writes 4 5\nnread 4 7\nzil_x 4 9\n")),
            ("a/state", "DEGRADED\n"),
            ("a/objset-0x2", &dataset("data", "nread 4 8\nother 3 1\n")),
        ]);
        let samples = tree.samples(&ENTRY, &[]);
        let lines: Vec<&str> = samples.lines().collect();
        assert_eq!(
            lines[..2],
            ["node_zfs_zpool_nread{zpool=\"b\"} 1", "node_zfs_zpool_nwritten{zpool=\"b\"} 2"]
        );
        assert_eq!(lines[11], "node_zfs_zpool_rcnt{zpool=\"b\"} 12");
        assert_eq!(
            lines[12..16],
            [
                "node_zfs_zpool_dataset_nread{dataset=\"b/7 two  spaces\",zpool=\"b\"} 7",
                "node_zfs_zpool_dataset_nread{dataset=\"data\",zpool=\"a\"} 8",
                "node_zfs_zpool_dataset_writes{dataset=\"b/7 two  spaces\",zpool=\"b\"} 5",
                "node_zfs_zpool_dataset_zil_x{dataset=\"b/7 two  spaces\",zpool=\"b\"} 9",
            ]
        );
        assert_eq!(lines[16], "node_zfs_zpool_state{state=\"degraded\",zpool=\"a\"} 1");
        assert_eq!(lines[17], "node_zfs_zpool_state{state=\"degraded\",zpool=\"b\"} 0");
        assert_eq!(lines[16..].iter().filter(|l| l.ends_with(" 1")).count(), 2);
        assert_eq!(lines.len(), 16 + 2 * STATES.len());
    }

    #[test]
    fn the_last_line_of_a_dataset_may_lack_its_newline() {
        let samples = |text: &str| tree(&[("p/objset-1", text)]).samples(&ENTRY, &[]);
        let text = "24 1 0x01 3 99 1 2\nname type data\ndataset_name 7 d\nreads 4 10\nwrites 4 12";
        assert_eq!(
            samples(text),
            "node_zfs_zpool_dataset_reads{dataset=\"d\",zpool=\"p\"} 10\n\
             node_zfs_zpool_dataset_writes{dataset=\"d\",zpool=\"p\"} 12\n"
        );
        assert_eq!(samples(&text.replace(" 3 ", " 4 ")).lines().count(), 1);
    }

    #[test]
    fn damaged_pools() {
        let keys = "nread nwritten reads writes wtime wlentime wupdate rtime rlentime rupdate wcnt state\n";
        for (file, contents, expected) in [
            ("p/state", "", ""),
            ("p/state", "ONLI", ""),
            ("p/state", "\0\0\n", ""),
            ("p/io", keys, ""),
            ("p/io", "x\n", ""),
            ("p/io", &format!("{keys}1 x\n"), "node_zfs_zpool_nread{zpool=\"p\"} 1\n"),
            ("p/objset-1", "name type data\nwrites 4 1\n", ""),
            (
                "p/objset-1",
                "name type data\ndataset_name 7 d\nwrites 4 x\nreads 4 1\n",
                "node_zfs_zpool_dataset_reads{dataset=\"d\",zpool=\"p\"} 1\n",
            ),
        ] {
            let (samples, error) = tree(&[(file, contents)]).collect(&ENTRY, &[]);
            assert!(matches!(error, Some(Error::Failed(_))), "{contents:?}");
            assert_eq!(samples, expected, "{contents:?}");
        }
        let later = tree(&[("p/state", "SPLENDID\n")]).samples(&ENTRY, &[]);
        assert_eq!((later.lines().count(), later.contains("} 1")), (STATES.len(), false));
        let samples = tree(&[("p/state", "ONLINE")]).samples(&ENTRY, &[]);
        assert!(samples.contains("{state=\"online\",zpool=\"p\"} 1\n"));
    }

    #[test]
    fn no_module_is_no_data_and_an_old_one_is_well() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        assert_eq!(tree(&[]).samples(&ENTRY, &[]), "");
    }
}
