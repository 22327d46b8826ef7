//! Memory zones: `/proc/zoneinfo`, see zoneinfo in the kernel's Documentation/filesystems/proc.rst.
//!
//! A block of lines for each zone of each node. The statistics of the whole node stand in the block of its first zone.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "zoneinfo",
    on: false,
    help: "Memory zones from /proc/zoneinfo.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(ZoneInfo {
            // A block a zone with lines for each CPU.
            file: paths::proc(flags).file("zoneinfo").with_cap(16 << 20),
            buf: Buf::new(),
            texts: Arena::new(),
            zones: Vec::new(),
            protections: Vec::new(),
            name: PROTECTION.to_vec(),
        }))
    },
};

struct ZoneInfo {
    file: File,
    buf: Buf,
    texts: Arena,
    zones: Vec<Zone>,
    protections: Vec<u64>,
    /// Begins with [`PROTECTION`].
    name: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Zone {
    node: Span,
    zone: Span,
    values: [Option<u64>; FIELDS.len()],
    /// Where its protection array is in `protections`.
    protection: (usize, usize),
}

const PROTECTION: &[u8] = b"node_zoneinfo_protection_";

/// Key, family, type, HELP.
const FIELDS: [(&[u8], &str, Kind, &str); 34] = [
    (b"nr_free_pages", "node_zoneinfo_nr_free_pages", Kind::Gauge, "Free pages."),
    (b"min", "node_zoneinfo_min_pages", Kind::Gauge, "Watermark below which only the kernel gets pages."),
    (b"low", "node_zoneinfo_low_pages", Kind::Gauge, "Watermark below which kswapd reclaims pages."),
    (b"high", "node_zoneinfo_high_pages", Kind::Gauge, "Watermark at which kswapd stops to reclaim pages."),
    (b"scanned", "node_zoneinfo_scanned_pages", Kind::Gauge, "Pages scanned since the last reclaim."),
    (b"spanned", "node_zoneinfo_spanned_pages", Kind::Gauge, "Pages that the zone spans, holes included."),
    (b"present", "node_zoneinfo_present_pages", Kind::Gauge, "Pages of the zone that exist."),
    (b"managed", "node_zoneinfo_managed_pages", Kind::Gauge, "Pages that the buddy allocator manages."),
    (b"nr_active_anon", "node_zoneinfo_nr_active_anon_pages", Kind::Gauge, "Anonymous pages used lately."),
    (
        b"nr_inactive_anon",
        "node_zoneinfo_nr_inactive_anon_pages",
        Kind::Gauge,
        "Anonymous pages not used lately.",
    ),
    (
        b"nr_isolated_anon",
        "node_zoneinfo_nr_isolated_anon_pages",
        Kind::Gauge,
        "Anonymous pages taken off their list for a while.",
    ),
    (b"nr_anon_pages", "node_zoneinfo_nr_anon_pages", Kind::Gauge, "Anonymous pages in page tables."),
    (
        b"nr_anon_transparent_hugepages",
        "node_zoneinfo_nr_anon_transparent_hugepages",
        Kind::Gauge,
        "Anonymous transparent huge pages.",
    ),
    (b"nr_active_file", "node_zoneinfo_nr_active_file_pages", Kind::Gauge, "File pages used lately."),
    (b"nr_inactive_file", "node_zoneinfo_nr_inactive_file_pages", Kind::Gauge, "File pages not used lately."),
    (
        b"nr_isolated_file",
        "node_zoneinfo_nr_isolated_file_pages",
        Kind::Gauge,
        "File pages taken off their list for a while.",
    ),
    (b"nr_file_pages", "node_zoneinfo_nr_file_pages", Kind::Gauge, "File pages."),
    (
        b"nr_slab_reclaimable",
        "node_zoneinfo_nr_slab_reclaimable_pages",
        Kind::Gauge,
        "Slab pages that can be reclaimed.",
    ),
    (
        b"nr_slab_unreclaimable",
        "node_zoneinfo_nr_slab_unreclaimable_pages",
        Kind::Gauge,
        "Slab pages that cannot be reclaimed.",
    ),
    (
        b"nr_mlock_stack",
        "node_zoneinfo_nr_mlock_stack_pages",
        Kind::Gauge,
        "Locked pages moved off the lists.",
    ),
    (
        b"nr_kernel_stack",
        "node_zoneinfo_nr_kernel_stacks",
        Kind::Gauge,
        "Kernel stacks, as the kernel counts them.",
    ),
    (b"nr_mapped", "node_zoneinfo_nr_mapped_pages", Kind::Gauge, "File pages in page tables."),
    (b"nr_dirty", "node_zoneinfo_nr_dirty_pages", Kind::Gauge, "Pages that wait to be written."),
    (b"nr_writeback", "node_zoneinfo_nr_writeback_pages", Kind::Gauge, "Pages that are being written."),
    (b"nr_unevictable", "node_zoneinfo_nr_unevictable_pages", Kind::Gauge, "Pages that cannot be reclaimed."),
    (b"nr_shmem", "node_zoneinfo_nr_shmem_pages", Kind::Gauge, "Pages of shared memory and tmpfs."),
    (b"nr_dirtied", "node_zoneinfo_nr_dirtied_total", Kind::Counter, "Pages made dirty since boot."),
    (b"nr_written", "node_zoneinfo_nr_written_total", Kind::Counter, "Pages written since boot."),
    (
        b"numa_hit",
        "node_zoneinfo_numa_hit_total",
        Kind::Counter,
        "Pages allocated on the node that was wanted.",
    ),
    (
        b"numa_miss",
        "node_zoneinfo_numa_miss_total",
        Kind::Counter,
        "Pages allocated here though another node was wanted.",
    ),
    (
        b"numa_foreign",
        "node_zoneinfo_numa_foreign_total",
        Kind::Counter,
        "Pages wanted here and allocated on another node.",
    ),
    (
        b"numa_interleave",
        "node_zoneinfo_numa_interleave_total",
        Kind::Counter,
        "Pages interleaved to this node.",
    ),
    (
        b"numa_local",
        "node_zoneinfo_numa_local_total",
        Kind::Counter,
        "Pages allocated by a process of this node.",
    ),
    (
        b"numa_other",
        "node_zoneinfo_numa_other_total",
        Kind::Counter,
        "Pages allocated by a process of another node.",
    ),
];

impl ZoneInfo {
    fn read(&mut self) -> hostfs::Result<()> {
        self.texts.clear();
        self.zones.clear();
        self.protections.clear();
        let bytes = self.file.read(&mut self.buf)?;
        let mut current: Option<Zone> = None;
        for line in scan::lines_loose(bytes) {
            if let Some((node, zone)) = header(line) {
                let values = [None; FIELDS.len()];
                let (node, zone) = (self.texts.push(node), self.texts.push(zone));
                self.zones.extend(current.replace(Zone { node, zone, values, protection: (0, 0) }));
                continue;
            }
            let Some(zone) = &mut current else { continue };
            let mut fields = scan::fields(line);
            let Some(key) = fields.next() else { continue };
            if key == b"protection:" {
                let start = self.protections.len();
                zone.protection = match protection(fields.rest(), &mut self.protections) {
                    Some(()) => (start, self.protections.len()),
                    None => (0, 0),
                };
            } else if let Some(at) = FIELDS.iter().position(|field| field.0 == key)
                // A line without its newline may be cut.
                && line.as_ptr_range().end != bytes.as_ptr_range().end
            {
                zone.values[at] = fields.next_u64();
            }
        }
        self.zones.extend(current);
        if self.zones.is_empty() {
            return Err(self.file.malformed("blocks that begin with a node and a zone"));
        }
        let key = |zone: &Zone| (&self.texts[zone.node], &self.texts[zone.zone]);
        self.zones.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        self.zones.dedup_by(|a, b| key(a) == key(b));
        Ok(())
    }
}

/// `Node 0, zone      DMA`.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = scan::fields(line.strip_prefix(b"Node ")?);
    let node = fields.next()?.strip_suffix(b",")?;
    scan::unsigned(node)?;
    (fields.next()? == b"zone").then_some((node, fields.next()?))
}

/// `(0, 2039, 31932)`; a list without its end may be cut.
fn protection(list: &[u8], out: &mut Vec<u64>) -> Option<()> {
    let list = list.strip_prefix(b"(")?.strip_suffix(b")")?;
    let start = out.len();
    for number in list.split(|&b| b == b',') {
        let Some(number) = scan::value(number) else {
            out.truncate(start);
            return None;
        };
        out.push(number);
    }
    Some(())
}

impl Collector for ZoneInfo {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        let labels = |zone: &Zone| {
            [("node", (&self.texts[zone.node]).into()), ("zone", (&self.texts[zone.zone]).into())]
        };
        for (i, (_, family, kind, help)) in FIELDS.into_iter().enumerate() {
            let mut family = out.family(family, kind, help);
            for zone in &self.zones {
                if let Some(value) = zone.values[i] {
                    family.sample(&labels(zone), value);
                }
            }
        }
        let longest = self.zones.iter().map(|zone| zone.protection.1 - zone.protection.0).max().unwrap_or(0);
        for i in 0..longest {
            self.name.truncate(PROTECTION.len());
            exporter::text::number_into(&mut self.name, i.into());
            let help =
                b"Pages that are kept from requests which could be served by another zone, by its position.";
            let mut family = out.family_bytes(&self.name, Kind::Gauge, help);
            for zone in &self.zones {
                if let Some(&value) = self.protections[zone.protection.0..zone.protection.1].get(i) {
                    family.sample(&labels(zone), value);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const FILE: &str = "Node 0, zone   Normal\n  per-node stats\n      nr_dirtied   11\n      nr_kernel_stack 5\n  pages free     2949\n        min      8\n\
        \x20       protection: (0, 39)\n      nr_free_pages 2949\n  pagesets\n    cpu: 0\n              high:  77\n  vm stats threshold: 8\n\
        Node 0, zone      DMA\n  pages free     1\n        min      12\n        protection: (0, 0)";

    #[test]
    fn zones_in_order() {
        assert_eq!(
            Tree::new(&[("proc/zoneinfo", FILE)]).samples(&ENTRY, &[]).replace("node_zoneinfo_", ""),
            "nr_free_pages{node=\"0\",zone=\"Normal\"} 2949\n\
             min_pages{node=\"0\",zone=\"DMA\"} 12\n\
             min_pages{node=\"0\",zone=\"Normal\"} 8\n\
             nr_kernel_stacks{node=\"0\",zone=\"Normal\"} 5\n\
             nr_dirtied_total{node=\"0\",zone=\"Normal\"} 11\n\
             protection_0{node=\"0\",zone=\"DMA\"} 0\n\
             protection_0{node=\"0\",zone=\"Normal\"} 0\n\
             protection_1{node=\"0\",zone=\"DMA\"} 0\n\
             protection_1{node=\"0\",zone=\"Normal\"} 39\n"
        );
    }

    #[test]
    fn cut_anywhere_no_value_is_wrong() {
        let full = Tree::new(&[("proc/zoneinfo", FILE)]).samples(&ENTRY, &[]);
        for cut in 0..FILE.len() {
            // A zone's name may be cut too, and is a label.
            if FILE[..cut].lines().last().is_some_and(|line| line.starts_with("Node")) {
                continue;
            }
            let (samples, _) = Tree::new(&[("proc/zoneinfo", &FILE[..cut])]).collect(&ENTRY, &[]);
            assert!(samples.lines().all(|line| full.lines().any(|whole| whole == line)), "{cut}: {samples}");
        }
    }

    #[test]
    fn bad_fields_are_left_out_alone_and_garbage_fails() {
        let tree = Tree::new(&[(
            "proc/zoneinfo",
            "Node 0, zone DMA\n min -1\n low 99999999999999999999\n high 3\n protection: (1, x)\nNode 0, zone DMA\n",
        )]);
        assert_eq!(tree.samples(&ENTRY, &[]), "node_zoneinfo_high_pages{node=\"0\",zone=\"DMA\"} 3\n");
        for contents in ["", "\n", "min 1\n", "Node x, zone DMA\n", "Node 0, zone\n"] {
            let tree = Tree::new(&[("proc/zoneinfo", contents)]);
            assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::Failed(_))), "{contents:?}");
        }
    }
}
