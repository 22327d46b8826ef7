//! XFS: `/sys/fs/xfs/<device>/stats/stats`, whose lines are a group's name and its counters, in the order of the kernel's `xfs_stats.h`.
//!
//! A group that a kernel lacks is absent, and so are counters of a line that is too short.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, Dir, Names, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "xfs",
    on: true,
    help: "XFS statistics from /sys/fs/xfs.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Xfs {
            class: paths::sys(flags).join("fs/xfs"),
            names: Names::new(),
            filesystems: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Xfs {
    class: PathBuf,
    names: Names,
    /// One for each of `names`.
    filesystems: Vec<Stats>,
    buf: Buf,
}

type Stats = [Option<u64>; COUNTERS.len()];

/// In a filesystem's directory.
const STATS: &str = "stats/stats";

/// Group, place in it, family, HELP.
type Counter = (&'static [u8], usize, &'static str, &'static str);

/// In order of group and place, which is the order of the file.
const COUNTERS: [Counter; 39] = [
    (b"extent_alloc", 0, "node_xfs_extent_allocation_extents_allocated_total", "Extents allocated."),
    (b"extent_alloc", 1, "node_xfs_extent_allocation_blocks_allocated_total", "Blocks allocated."),
    (b"extent_alloc", 2, "node_xfs_extent_allocation_extents_freed_total", "Extents freed."),
    (b"extent_alloc", 3, "node_xfs_extent_allocation_blocks_freed_total", "Blocks freed."),
    (b"abt", 0, "node_xfs_allocation_btree_lookups_total", "Lookups in the allocation B-trees."),
    (b"abt", 1, "node_xfs_allocation_btree_compares_total", "Comparisons in the allocation B-trees."),
    (
        b"abt",
        2,
        "node_xfs_allocation_btree_records_inserted_total",
        "Records put into the allocation B-trees.",
    ),
    (
        b"abt",
        3,
        "node_xfs_allocation_btree_records_deleted_total",
        "Records taken from the allocation B-trees.",
    ),
    (b"blk_map", 0, "node_xfs_block_mapping_reads_total", "Block mappings looked up to read."),
    (b"blk_map", 1, "node_xfs_block_mapping_writes_total", "Block mappings made to write."),
    (b"blk_map", 2, "node_xfs_block_mapping_unmaps_total", "Block mappings removed."),
    (b"blk_map", 3, "node_xfs_block_mapping_extent_list_insertions_total", "Extents put into extent lists."),
    (b"blk_map", 4, "node_xfs_block_mapping_extent_list_deletions_total", "Extents taken from extent lists."),
    (b"blk_map", 5, "node_xfs_block_mapping_extent_list_lookups_total", "Lookups in extent lists."),
    (b"blk_map", 6, "node_xfs_block_mapping_extent_list_compares_total", "Comparisons in extent lists."),
    (b"bmbt", 0, "node_xfs_block_map_btree_lookups_total", "Lookups in the block map B-trees."),
    (b"bmbt", 1, "node_xfs_block_map_btree_compares_total", "Comparisons in the block map B-trees."),
    (
        b"bmbt",
        2,
        "node_xfs_block_map_btree_records_inserted_total",
        "Records put into the block map B-trees.",
    ),
    (
        b"bmbt",
        3,
        "node_xfs_block_map_btree_records_deleted_total",
        "Records taken from the block map B-trees.",
    ),
    (
        b"dir",
        0,
        "node_xfs_directory_operation_lookup_total",
        "Names looked up that the name cache did not have.",
    ),
    (b"dir", 1, "node_xfs_directory_operation_create_total", "Directory entries created."),
    (b"dir", 2, "node_xfs_directory_operation_remove_total", "Directory entries removed."),
    (b"dir", 3, "node_xfs_directory_operation_getdents_total", "Directories listed."),
    (b"ig", 0, "node_xfs_inode_operation_attempts_total", "Inodes looked for in the cache."),
    (b"ig", 1, "node_xfs_inode_operation_found_total", "Inodes found in the cache."),
    (
        b"ig",
        2,
        "node_xfs_inode_operation_recycled_total",
        "Inodes found in the cache while they were on their way out.",
    ),
    (b"ig", 3, "node_xfs_inode_operation_missed_total", "Inodes that the cache did not have."),
    (
        b"ig",
        4,
        "node_xfs_inode_operation_duplicates_total",
        "Inodes that another process put into the cache meanwhile.",
    ),
    (b"ig", 5, "node_xfs_inode_operation_reclaims_total", "Inodes taken from the cache to free memory."),
    (b"ig", 6, "node_xfs_inode_operation_attribute_changes_total", "Changes of an inode's attributes."),
    (b"rw", 0, "node_xfs_write_calls_total", "write(2) calls."),
    (b"rw", 1, "node_xfs_read_calls_total", "read(2) calls."),
    (b"vnodes", 0, "node_xfs_vnode_active_total", "Vnodes in use."),
    (b"vnodes", 1, "node_xfs_vnode_allocate_total", "Calls of vn_alloc."),
    (b"vnodes", 2, "node_xfs_vnode_get_total", "Calls of vn_get."),
    (b"vnodes", 3, "node_xfs_vnode_hold_total", "Calls of vn_hold."),
    (b"vnodes", 4, "node_xfs_vnode_release_total", "Calls of vn_rele."),
    (b"vnodes", 5, "node_xfs_vnode_reclaim_total", "Calls of vn_reclaim."),
    (b"vnodes", 6, "node_xfs_vnode_remove_total", "Calls of vn_remove."),
];

impl Xfs {
    fn read(&mut self) -> hostfs::Result<()> {
        self.filesystems.clear();
        self.names.clear();
        let class = match Dir::open(&self.class) {
            Ok(class) => class,
            // The module is not loaded, which the original takes for success.
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error),
        };
        class.names(&mut self.names)?;
        for name in self.names.iter() {
            let mut stats = [None; COUNTERS.len()];
            if let Some(dir) = class.dir(name)?
                && let Some(bytes) = dir.attribute(STATS, &mut self.buf)?
            {
                stats = parse(bytes).ok_or_else(|| dir.malformed(STATS, "groups of counters"))?;
            }
            self.filesystems.push(stats);
        }
        Ok(())
    }
}

/// `None` if not one group was found.
fn parse(bytes: &[u8]) -> Option<Stats> {
    let mut stats = [None; COUNTERS.len()];
    let mut is_empty = true;
    for line in scan::lines(bytes) {
        let mut fields = scan::fields(line);
        let group = fields.next().unwrap_or_default();
        let Some(first) = COUNTERS.iter().position(|counter| counter.0 == group) else { continue };
        is_empty = false;
        for (at, value) in (first..COUNTERS.len()).zip(fields) {
            if COUNTERS[at].0 != group {
                break;
            }
            stats[at] = scan::unsigned(value);
        }
    }
    (!is_empty).then_some(stats)
}

impl Collector for Xfs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        for (i, (_, _, name, help)) in COUNTERS.into_iter().enumerate() {
            let mut family = out.family(name, Kind::Counter, help);
            for (device, stats) in self.names.iter().zip(&self.filesystems) {
                if let Some(value) = stats[i] {
                    family.sample(&[("device", device.as_bytes().into())], value);
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

    #[test]
    fn the_table_is_in_order() {
        for (i, counter) in COUNTERS.iter().enumerate() {
            let first = COUNTERS.iter().position(|other| other.0 == counter.0).unwrap();
            assert_eq!(counter.1, i - first, "{}", counter.2);
        }
    }

    #[test]
    fn groups_that_are_missing_short_or_new() {
        let tree = Tree::new(&[
            (
                "sys/fs/xfs/sda1/stats/stats",
                "rw 28 18446744073709551615\nnew 1 2\nextent_alloc 1 x\nvnodes 4 0 0 0 1 1 1 0 9\nabt 5",
            ),
            ("sys/fs/xfs/dm-0/stats/stats", "rw 1 2\ndir\n"),
            ("sys/fs/xfs/stats/stats", "rw 7 7\n"),
            ("sys/fs/xfs/debug/bug_on_assert", "1\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_xfs_extent_allocation_extents_allocated_total{device=\"sda1\"} 1\n\
             node_xfs_write_calls_total{device=\"dm-0\"} 1\n\
             node_xfs_write_calls_total{device=\"sda1\"} 28\n\
             node_xfs_read_calls_total{device=\"dm-0\"} 2\n\
             node_xfs_read_calls_total{device=\"sda1\"} 1.8446744073709552e+19\n\
             node_xfs_vnode_active_total{device=\"sda1\"} 4\n\
             node_xfs_vnode_allocate_total{device=\"sda1\"} 0\n\
             node_xfs_vnode_get_total{device=\"sda1\"} 0\n\
             node_xfs_vnode_hold_total{device=\"sda1\"} 0\n\
             node_xfs_vnode_release_total{device=\"sda1\"} 1\n\
             node_xfs_vnode_reclaim_total{device=\"sda1\"} 1\n\
             node_xfs_vnode_remove_total{device=\"sda1\"} 1\n"
        );
    }

    #[test]
    fn no_xfs_is_success_and_rubbish_is_not() {
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
        for bad in ["", "\n", "\0\0\n", "rw 1 2"] {
            let tree = Tree::new(&[("sys/fs/xfs/sda1/stats/stats", bad)]);
            assert!(
                matches!(tree.collect(&ENTRY, &[]), (samples, Some(Error::Failed(_))) if samples.is_empty()),
                "{bad:?}"
            );
        }
    }
}
