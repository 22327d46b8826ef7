//! Free memory by size of its pieces: `/proc/buddyinfo`, see buddyinfo in the kernel's Documentation/filesystems/proc.rst.

use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "buddyinfo",
    on: false,
    help: "Free memory by size of its pieces from /proc/buddyinfo.",
    flags: &[],
    new: |flags| Ok(Box::new(BuddyInfo { file: paths::proc(flags).file("buddyinfo"), buf: Buf::new() })),
};

struct BuddyInfo {
    file: File,
    buf: Buf,
}

impl Collector for BuddyInfo {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        let mut lines = 0;
        for line in scan::lines(bytes) {
            lines += 1;
            let zone =
                zone(line).filter(|zone| zone.blocks.clone().all(|blocks| scan::unsigned(blocks).is_some()));
            // A zone that came before would give the same series again.
            let repeated = |zone: &Zone<'_>| {
                scan::lines(bytes)
                    .take(lines - 1)
                    .any(|before| self::zone(before).is_some_and(|b| b.is(zone)))
            };
            if zone.is_none_or(|zone| repeated(&zone)) {
                return Err(self
                    .file
                    .malformed("lines of a node, a zone and numbers, each zone once")
                    .into());
            }
        }
        if lines == 0 {
            return Err(self.file.malformed("lines of a node, a zone and numbers").into());
        }
        let mut family =
            out.family("node_buddyinfo_blocks", Kind::Gauge, "Free pieces of memory of 2^size pages.");
        for Zone { node, zone, blocks } in scan::lines(bytes).filter_map(zone) {
            for (size, blocks) in blocks.enumerate() {
                if let Some(blocks) = scan::unsigned(blocks) {
                    let size = LabelValue::Int(size as u64);
                    family.sample(&[("node", node.into()), ("size", size), ("zone", zone.into())], blocks);
                }
            }
        }
        family.sort();
        Ok(())
    }
}

/// A line of the file.
struct Zone<'a> {
    node: &'a [u8],
    zone: &'a [u8],
    blocks: scan::Fields<'a>,
}

impl Zone<'_> {
    fn is(&self, other: &Zone<'_>) -> bool {
        (self.node, self.zone) == (other.node, other.zone)
    }
}

/// `Node 0, zone      DMA      1      0 …`.
fn zone(line: &[u8]) -> Option<Zone<'_>> {
    let mut fields = scan::fields(line);
    let (b"Node", node, b"zone", zone) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?)
    else {
        return None;
    };
    let node = node.strip_suffix(b",").unwrap_or(node);
    Some(Zone { node, zone: zone.strip_suffix(b",").unwrap_or(zone), blocks: fields })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn sizes_of_each_zone_in_order() {
        let counts = "759 572 791 475 194 45 12 0 0 0 7";
        let tree = Tree::new(&[(
            "proc/buddyinfo",
            &format!(
                "Node 0, zone   Normal {counts}\nNode 0, zone      DMA 1 0\nNode 10, zone DMA 3\nNode 2, zone DMA 4\n"
            ),
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_buddyinfo_blocks", "").lines().collect::<Vec<_>>()[..6],
            [
                "{node=\"0\",size=\"0\",zone=\"DMA\"} 1",
                "{node=\"0\",size=\"0\",zone=\"Normal\"} 759",
                "{node=\"0\",size=\"1\",zone=\"DMA\"} 0",
                "{node=\"0\",size=\"1\",zone=\"Normal\"} 572",
                "{node=\"0\",size=\"10\",zone=\"Normal\"} 7",
                "{node=\"0\",size=\"2\",zone=\"Normal\"} 791",
            ]
        );
        assert!(tree.samples(&ENTRY, &[]).ends_with("{node=\"10\",size=\"0\",zone=\"DMA\"} 3\nnode_buddyinfo_blocks{node=\"2\",size=\"0\",zone=\"DMA\"} 4\n"));
    }

    #[test]
    fn a_line_that_is_cut_does_not_count_and_garbage_fails() {
        let tree = Tree::new(&[("proc/buddyinfo", "Node 0, zone DMA 1\nNode 0, zone DMA32 759 57")]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_buddyinfo_blocks{node=\"0\",size=\"0\",zone=\"DMA\"} 1\n"
        );
        for contents in
            ["", "\n", "Node 0, zone DMA -1\n", "Node 0,\n", "Node 0, zone DMA 1\nNode 0, zone DMA 2\n"]
        {
            let tree = Tree::new(&[("proc/buddyinfo", contents)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{contents:?}");
        }
    }
}
