//! Kernel samepage merging: the attributes of `/sys/kernel/mm/ksm`, see the kernel's Documentation/admin-guide/mm/ksm.rst.
//!
//! Which of them exist depends on the kernel; `general_profit` came with Linux 6.4.

use std::time::Instant;

use exporter::text::Number;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, Gone, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "ksmd",
    on: false,
    help: "Kernel samepage merging from /sys/kernel/mm/ksm.",
    flags: &[],
    new: |flags| {
        let sys = paths::sys(flags);
        Ok(Box::new(Ksmd {
            files: ATTRIBUTES.map(|(name, ..)| sys.join("kernel/mm/ksm").join(name)).map(File::new),
            buf: Buf::new(),
        }))
    },
};

struct Ksmd {
    files: [File; ATTRIBUTES.len()],
    buf: Buf,
}

/// File, family, type, HELP.
const ATTRIBUTES: [(&str, &str, Kind, &str); 10] = [
    ("full_scans", "node_ksmd_full_scans_total", Kind::Counter, "Scans of all memory that may be merged."),
    (
        "general_profit",
        "node_ksmd_general_profit_bytes",
        Kind::Gauge,
        "Memory saved less memory spent on merging, in bytes.",
    ),
    (
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        Kind::Gauge,
        "Whether pages of different NUMA nodes are merged.",
    ),
    ("pages_shared", "node_ksmd_pages_shared", Kind::Gauge, "Merged pages in use."),
    ("pages_sharing", "node_ksmd_pages_sharing", Kind::Gauge, "Pages saved, being merged into another."),
    ("pages_to_scan", "node_ksmd_pages_to_scan", Kind::Gauge, "Pages to scan before ksmd sleeps."),
    (
        "pages_unshared",
        "node_ksmd_pages_unshared",
        Kind::Gauge,
        "Unique pages that are checked again and again.",
    ),
    ("pages_volatile", "node_ksmd_pages_volatile", Kind::Gauge, "Pages that change too fast to be merged."),
    ("run", "node_ksmd_run", Kind::Gauge, "What ksmd does: 0 stopped, 1 runs, 2 stopped and unmerged."),
    ("sleep_millisecs", "node_ksmd_sleep_seconds", Kind::Gauge, "Pause of ksmd between scans, in seconds."),
];

impl Collector for Ksmd {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let mut found = false;
        let mut malformed = None;
        for ((name, family, kind, help), file) in ATTRIBUTES.into_iter().zip(&mut self.files) {
            let Some(bytes) = file.read_attribute(&mut self.buf).gone_is_none()? else { continue };
            found = true;
            let value = match name {
                // Merging may cost more than it saves.
                "general_profit" => scan::signed_value(bytes).map(Number::I),
                "sleep_millisecs" => scan::value(bytes).map(|ms| Number::F(ms as f64 / 1000.0)),
                _ => scan::value(bytes).map(Number::U),
            };
            match value {
                Some(value) => out.family(family, kind, help).sample(&[], value),
                None => malformed = Some(file.malformed("a number")),
            }
        }
        match malformed {
            Some(error) => Err(error.into()),
            None if !found => Err(Error::NoData("no samepage merging in this kernel".into())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn attributes_that_are_missing_are_left_out() {
        let tree = Tree::new(&[
            ("sys/kernel/mm/ksm/full_scans", "323\n"),
            ("sys/kernel/mm/ksm/general_profit", "-4096\n"),
            ("sys/kernel/mm/ksm/sleep_millisecs", "20\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_ksmd_full_scans_total 323\nnode_ksmd_general_profit_bytes -4096\nnode_ksmd_sleep_seconds 0.02\n"
        );
        tree.write("sys/kernel/mm/ksm/full_scans", "-1\n");
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert_eq!(samples, "node_ksmd_general_profit_bytes -4096\nnode_ksmd_sleep_seconds 0.02\n");
        assert!(matches!(error, Some(Error::Failed(_))));
    }

    #[test]
    fn a_kernel_without_it_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
