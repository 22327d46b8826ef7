//! Statistics of the kernel's network caches, per CPU: the tables of `/proc/net/stat`, as lnstat(8) reads them.
//!
//! A file is a line of names and a line of hexadecimal numbers per CPU. Each name is a family, each file a subsystem.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "lnstat",
    on: false,
    help: "Network cache statistics from /proc/net/stat.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(LnStat {
            base: paths::proc(flags).join("net/stat"),
            files: Names::new(),
            names: Vec::new(),
            cpus: Vec::new(),
            samples: Vec::new(),
            texts: Arena::new(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct LnStat {
    base: PathBuf,
    files: Names,
    /// The names of one file's columns; `None` for one that makes no valid name, or comes again.
    names: Vec<Option<Span>>,
    /// The CPUs' numbers as texts, by which they are ordered.
    cpus: Vec<Span>,
    samples: Vec<Sample>,
    texts: Arena,
    scratch: Vec<u8>,
    buf: Buf,
}

struct Sample {
    name: Span,
    cpu: Span,
    subsystem: Span,
    value: u64,
}

impl LnStat {
    /// Reads all files; gives the first problem that did not stop it.
    fn read(&mut self) -> hostfs::Result<Option<hostfs::Error>> {
        let LnStat { base, files, cpus, samples, texts, .. } = self;
        cpus.clear();
        samples.clear();
        texts.clear();
        let dir = match Dir::open(base) {
            Ok(dir) => dir,
            Err(error) if error.is_gone() => return Ok(None),
            Err(error) => return Err(error),
        };
        dir.names(files)?;
        let files = std::mem::take(files);
        let mut buf = std::mem::take(&mut self.buf);
        let mut problem = None;
        for file in files.iter() {
            match dir.table(file, &mut buf) {
                Ok(Some(bytes)) => {
                    let subsystem = self.texts.push(file.as_bytes());
                    if !self.parse(bytes, subsystem) {
                        let expected = "a line of names and a line of hexadecimal numbers per CPU";
                        problem.get_or_insert_with(|| dir.malformed(file, expected));
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        (self.files, self.buf) = (files, buf);
        Ok(problem)
    }

    /// Takes the samples of one file; `false` if any of it is damaged.
    fn parse(&mut self, bytes: &[u8], subsystem: Span) -> bool {
        let LnStat { names, cpus, samples, texts, scratch, .. } = self;
        let mut lines = scan::lines(bytes);
        names.clear();
        for name in scan::fields(lines.next().unwrap_or_default()) {
            let is_valid = name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
            let is_new = !names.iter().flatten().any(|&other| texts[other] == *name);
            names.push((is_valid && is_new).then(|| texts.push(name)));
        }
        let mut is_well = !names.is_empty();
        for (cpu, line) in lines.enumerate() {
            if cpu == cpus.len() {
                scratch.clear();
                // Writing into a Vec cannot fail.
                let _ = write!(scratch, "{cpu}");
                cpus.push(texts.push(scratch));
            }
            for (name, field) in names.iter().zip(scan::fields(line)) {
                let Some(name) = *name else { continue };
                match scan::hex(field) {
                    Some(value) => samples.push(Sample { name, cpu: cpus[cpu], subsystem, value }),
                    None => is_well = false,
                }
            }
        }
        is_well
    }
}

impl Collector for LnStat {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let problem = self.read()?;
        let LnStat { samples, texts, scratch, .. } = self;
        let key = |s: &Sample| [&texts[s.name], &texts[s.cpu], &texts[s.subsystem]];
        samples.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        for samples in samples.chunk_by(|a, b| texts[a.name] == texts[b.name]) {
            let name = &texts[samples[0].name];
            scratch.clear();
            scratch.extend_from_slice(b"node_lnstat_");
            scratch.extend_from_slice(name);
            scratch.extend_from_slice(b"_total");
            let help = b"Statistic of a network cache, as the kernel counts it on this CPU.";
            let mut family = out.family_bytes(scratch, Kind::Counter, help);
            for sample in samples {
                let [_, cpu, subsystem] = key(sample).map(LabelValue::from);
                family.sample(&[("cpu", cpu), ("subsystem", subsystem)], sample.value);
            }
        }
        problem.map_or(Ok(()), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn a_family_per_column() {
        let tree = Tree::new(&[
            ("proc/net/stat/arp_cache", "entries  hits\n00000014  0000000a\n00000014  ffffffff 5\n"),
            ("proc/net/stat/nf_conntrack", "entries entries b\"\n1 2 3\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_lnstat_entries_total{cpu=\"0\",subsystem=\"arp_cache\"} 20\n\
             node_lnstat_entries_total{cpu=\"0\",subsystem=\"nf_conntrack\"} 1\n\
             node_lnstat_entries_total{cpu=\"1\",subsystem=\"arp_cache\"} 20\n\
             node_lnstat_hits_total{cpu=\"0\",subsystem=\"arp_cache\"} 10\n\
             node_lnstat_hits_total{cpu=\"1\",subsystem=\"arp_cache\"} 4.294967295e+09\n"
        );
    }

    #[test]
    fn cpus_are_ordered_as_texts() {
        let tree = Tree::new(&[("proc/net/stat/x", &format!("a\n{}", "1\n".repeat(11)))]);
        let samples = tree.samples(&ENTRY, &[]);
        let cpus: Vec<&str> = samples.lines().map(|l| l.split('"').nth(1).unwrap()).collect();
        assert_eq!(cpus, ["0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }

    #[test]
    fn damage_is_left_out_and_told() {
        for (text, expected) in [
            ("", ""),
            ("\n", ""),
            ("a b\nx 2\n", "node_lnstat_b_total{cpu=\"0\",subsystem=\"x\"} 2\n"),
            ("a\n10000000000000000\n", ""),
        ] {
            let (samples, error) = Tree::new(&[("proc/net/stat/x", text)]).collect(&ENTRY, &[]);
            assert_eq!(samples, expected);
            assert!(matches!(error, Some(Error::Failed(_))), "{text:?}");
        }
        assert_eq!(Tree::new(&[("proc/net/stat/x", "a\n1")]).samples(&ENTRY, &[]), "");
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
    }
}
