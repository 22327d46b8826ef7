//! Caches of kernel objects: `/proc/slabinfo` (format 2.1, for root only), see slabinfo(5).

use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

const INCLUDE: &str = "collector.slabinfo.slabs-include";
const EXCLUDE: &str = "collector.slabinfo.slabs-exclude";

pub(crate) const ENTRY: Entry = Entry {
    name: "slabinfo",
    on: false,
    help: "Caches of kernel objects from /proc/slabinfo.",
    flags: &[
        Flag::text(INCLUDE, ".*", "Pattern of slabs to show."),
        Flag::text(EXCLUDE, "", "Pattern of slabs to leave out."),
    ],
    new: |flags| {
        Ok(Box::new(SlabInfo {
            file: paths::proc(flags).file("slabinfo"),
            buf: Buf::new(),
            filter: Filter::both(flags, INCLUDE, EXCLUDE)?,
            memo: Memo::default(),
            names: Arena::new(),
            slabs: Vec::new(),
        }))
    },
};

struct SlabInfo {
    file: File,
    buf: Buf,
    filter: Filter,
    memo: Memo,
    names: Arena,
    slabs: Vec<Slab>,
}

/// In order of the file's columns.
const FAMILIES: [(&str, &str); 5] = [
    ("node_slabinfo_active_objects", "Objects of the slab that are in use."),
    ("node_slabinfo_objects", "Objects of the slab that are allocated, in use or not."),
    ("node_slabinfo_object_size_bytes", "Size of an object of the slab, in bytes."),
    ("node_slabinfo_objects_per_slab", "Objects that one slab holds."),
    ("node_slabinfo_pages_per_slab", "Pages that one slab takes."),
];

struct Slab {
    name: Span,
    values: [u64; FAMILIES.len()],
}

impl Collector for SlabInfo {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.names.clear();
        self.slabs.clear();
        let bytes = self.file.read(&mut self.buf)?;
        let mut any = false;
        for line in scan::lines(bytes) {
            if let Some((name, values)) = slab(line) {
                any = true;
                if self.memo.check(name, |name| self.filter.passes(name)) {
                    self.slabs.push(Slab { name: self.names.push(name), values });
                }
            }
        }
        if !any {
            return Err(self.file.malformed("lines of a slab's name and numbers").into());
        }
        let name = |slab: &Slab| &self.names[slab.name];
        self.slabs.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        // Two caches may have one name; one of them has to do.
        self.slabs.dedup_by(|a, b| name(a) == name(b));
        for (i, (family, help)) in FAMILIES.into_iter().enumerate() {
            let mut family = out.family(family, Kind::Gauge, help);
            for slab in &self.slabs {
                family.sample(&[("slab", name(slab).into())], slab.values[i]);
            }
        }
        Ok(())
    }
}

/// `kmalloc-8192  132  148  8192  4  8 : tunables …`: the name, and the five numbers before the colon.
fn slab(line: &[u8]) -> Option<(&[u8], [u64; FAMILIES.len()])> {
    const END: &[u8] = b" : tunables ";
    if line.first() == Some(&b'#') {
        return None;
    }
    let end = line.windows(END.len()).position(|window| window == END)?;
    let mut rest = &line[..end];
    let mut values = [0; FAMILIES.len()];
    // From the right, since modules make names with spaces.
    for value in values.iter_mut().rev() {
        let space = rest.iter().rposition(|&b| b == b' ')?;
        *value = scan::unsigned(&rest[space + 1..])?;
        rest = rest[..space].trim_ascii_end();
    }
    (!rest.is_empty()).then_some((rest, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEADER: &str = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit>\n";
    const REST: &str = " : tunables    0    0    0 : slabdata     27     27      0\n";

    fn tree(lines: &[&str]) -> Tree {
        let body: String = lines.iter().map(|line| format!("{line}{REST}")).collect();
        Tree::new(&[("proc/slabinfo", &format!("{HEADER}{body}"))])
    }

    #[test]
    fn five_families_in_order_of_name() {
        let tree = tree(&[
            "tw_sock_TCP          704    864    256   32    2",
            "a odd name 1 2 3 4 5",
            "kmalloc-8192         132    148   8192    4    8",
            "kmalloc-8192         132    148   8192    4    8",
        ]);
        let samples = tree.samples(&ENTRY, &[]);
        assert!(samples.starts_with(
            "node_slabinfo_active_objects{slab=\"a odd name\"} 1\n\
             node_slabinfo_active_objects{slab=\"kmalloc-8192\"} 132\n\
             node_slabinfo_active_objects{slab=\"tw_sock_TCP\"} 704\n\
             node_slabinfo_objects{slab=\"a odd name\"} 2\n"
        ));
        assert!(samples.ends_with(
            "node_slabinfo_pages_per_slab{slab=\"a odd name\"} 5\n\
             node_slabinfo_pages_per_slab{slab=\"kmalloc-8192\"} 8\n\
             node_slabinfo_pages_per_slab{slab=\"tw_sock_TCP\"} 2\n"
        ));
        let chosen = tree.samples(
            &ENTRY,
            &["--collector.slabinfo.slabs-include=[ao]", "--collector.slabinfo.slabs-exclude=^tw"],
        );
        assert_eq!(chosen.lines().count(), 10);
    }

    #[test]
    fn bad_lines_are_left_out_alone() {
        let tree = tree(&[
            "bad -1 2 3 4 5",
            "bad 1 2 3 4",
            "bad 1 2 3 4 99999999999999999999",
            "good 1 2 3 4 5",
            "",
        ]);
        assert_eq!(tree.samples(&ENTRY, &[]).lines().count(), 5);
        let cut = Tree::new(&[("proc/slabinfo", &format!("{HEADER}good 1 2 3 4 5{}", REST.trim_end()))]);
        assert!(matches!(cut.collect(&ENTRY, &[]).1, Some(Error::Failed(_))));
    }
}
