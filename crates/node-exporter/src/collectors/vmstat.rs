//! Events of the memory management: `/proc/vmstat`, whose names are those of `vmstat_text` in the kernel's mm/vmstat.c.
//!
//! The kernel writes the same names in the same order each time. So what the field pattern says of each line, and the text of each family, is
//! worked out once, and again only if a line's name is not the one that stood there before.

use std::collections::HashSet;
use std::time::Instant;

use exporter::filter::Pattern;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

const FIELDS: &str = "collector.vmstat.fields";

pub(crate) const ENTRY: Entry = Entry {
    name: "vmstat",
    on: true,
    help: "Memory management events from /proc/vmstat.",
    flags: &[Flag::text(FIELDS, "^(oom_kill|pgpg|pswp|pg.*fault).*", "Pattern of fields to show.")],
    new: |flags| {
        Ok(Box::new(VmStat {
            file: paths::proc(flags).file("vmstat"),
            buf: Buf::new(),
            layout: Layout::new("node_vmstat_", "/proc/vmstat", flags.pattern(FIELDS)?),
            values: Vec::new(),
        }))
    },
};

struct VmStat {
    file: File,
    buf: Buf,
    layout: Layout,
    /// Position in the layout, and value.
    values: Vec<(usize, u64)>,
}

impl Collector for VmStat {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        if !self.layout.fits(bytes) {
            self.layout.learn(bytes, |key| Some((key, b"")), &mut HashSet::new());
        }
        if !self.layout.values(bytes, &mut self.values) {
            return Err(self.file.malformed("lines of a name and a number").into());
        }
        self.layout.write(out, &self.values);
        Ok(())
    }
}

/// What is known of each line of a file of names and numbers.
pub(super) struct Layout {
    prefix: &'static str,
    source: &'static str,
    pattern: Option<Pattern>,
    texts: Arena,
    lines: Vec<Line>,
}

struct Line {
    key: Span,
    family: Span,
    help: Span,
    /// The key makes a good name, the pattern wants it, and no earlier line has it.
    wanted: bool,
}

impl Layout {
    /// Of families whose names begin with `prefix`; `source` is where the HELP says that they come from.
    pub(super) fn new(prefix: &'static str, source: &'static str, pattern: Option<Pattern>) -> Self {
        Layout { prefix, source, pattern, texts: Arena::new(), lines: Vec::new() }
    }

    /// Whether these bytes have the keys that were learned; fewer lines are fine.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        let mut known = self.lines.iter();
        scan::lines(bytes).all(|line| {
            known.next().is_some_and(|known| {
                line.strip_prefix(&self.texts[known.key])
                    .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
            })
        })
    }

    /// Learns the keys of these bytes. `split` makes a key into the two parts of a name, which `_` joins unless the second is empty, or refuses
    /// it; names that are in `seen` are not wanted again.
    pub(super) fn learn(
        &mut self,
        bytes: &[u8],
        split: impl Fn(&[u8]) -> Option<(&[u8], &[u8])>,
        seen: &mut HashSet<Vec<u8>>,
    ) {
        self.texts.clear();
        self.lines.clear();
        for line in scan::lines(bytes) {
            let key = &line[..line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len())];
            let mut learned = Line {
                key: self.texts.push(key),
                family: Span::default(),
                help: Span::default(),
                wanted: false,
            };
            let parts = split(key);
            let name = match parts {
                Some((first, b"")) => first.to_vec(),
                Some((first, second)) => [first, b"_", second].concat(),
                None => Vec::new(),
            };
            if is_name(&name) && self.pattern.as_ref().is_none_or(|p| p.is_match(&name)) {
                learned.family = self.texts.push(&[self.prefix.as_bytes(), &name].concat());
                learned.help =
                    self.texts.push(&[b"Field ", key, b" of ", self.source.as_bytes(), b"."].concat());
                learned.wanted = seen.insert(name);
            }
            self.lines.push(learned);
        }
    }

    /// Collects the wanted values of bytes that fit; false if they are not what they should be: none of them is a number.
    pub(super) fn values(&self, bytes: &[u8], values: &mut Vec<(usize, u64)>) -> bool {
        values.clear();
        let mut wanted = false;
        for (i, (line, known)) in scan::lines(bytes).zip(&self.lines).enumerate() {
            if known.wanted {
                wanted = true;
                if let Some(value) = scan::value(&line[self.texts[known.key].len()..]) {
                    values.push((i, value));
                }
            }
        }
        if wanted {
            return !values.is_empty();
        }
        let is_pair = |line: &[u8]| scan::fields(line).nth(1).is_some_and(|v| scan::unsigned(v).is_some());
        scan::lines(bytes).any(is_pair)
    }

    /// Writes a family for each value.
    pub(super) fn write(&self, out: &mut Text, values: &[(usize, u64)]) {
        for &(i, value) in values {
            let line = &self.lines[i];
            out.family_bytes(&self.texts[line.family], Kind::Untyped, &self.texts[line.help])
                .sample(&[], value);
        }
    }
}

/// Whether these bytes may stand in a metric's name behind a prefix.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    const ALL: &str = "--collector.vmstat.fields=";

    #[test]
    fn the_pattern_chooses() {
        let tree = Tree::new(&[(
            "proc/vmstat",
            "nr_free_pages 977769\npgpgin 7344136\npgfault 2320168809\noom_kill 0\n",
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_vmstat_pgpgin 7.344136e+06\nnode_vmstat_pgfault 2.320168809e+09\nnode_vmstat_oom_kill 0\n"
        );
        assert!(tree.samples(&ENTRY, &[ALL]).starts_with("node_vmstat_nr_free_pages 977769\n"));
        assert_eq!(tree.samples(&ENTRY, &["--collector.vmstat.fields=^nothing$"]), "");
    }

    #[test]
    fn another_layout_is_learned_anew() {
        let tree = Tree::new(&[("proc/vmstat", "pgpgin 1\npgpgout 2\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        assert_eq!(collect(&mut *collector).0, "node_vmstat_pgpgin 1\nnode_vmstat_pgpgout 2\n");
        tree.write("proc/vmstat", "pgpgin 3\n");
        assert_eq!(collect(&mut *collector).0, "node_vmstat_pgpgin 3\n");
        tree.write("proc/vmstat", "nr_x 9\npgpgin2 4\npgpgin 5\n");
        assert_eq!(collect(&mut *collector).0, "node_vmstat_pgpgin2 4\nnode_vmstat_pgpgin 5\n");
    }

    #[test]
    fn bad_lines_are_left_out_alone() {
        let tree = Tree::new(&[(
            "proc/vmstat",
            "pg_a -5\npg_b 99999999999999999999999\npg-c 1\npg_d\npg_e 1 2\n\npg_f 1\npg_f 2\npg_g 1",
        )]);
        assert_eq!(tree.samples(&ENTRY, &[ALL]), "node_vmstat_pg_f 1\n");
    }

    #[test]
    fn what_is_no_table_fails() {
        for contents in ["", "\n", "pgpgin 12", "\u{0}\u{1}\u{2}", "pgpgin x\n", "a b\n"] {
            let tree = Tree::new(&[("proc/vmstat", contents)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{contents:?}: {samples}");
        }
    }
}
