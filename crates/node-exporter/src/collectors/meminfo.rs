//! Memory: `/proc/meminfo`, see meminfo in the kernel's Documentation/filesystems/proc.rst.
//!
//! The families are a fixed list, as in the original: a field that a newer kernel adds does not show up by itself. Sizes come in kB, which
//! means KiB, and go out in bytes; the four counts of huge pages have no unit.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "meminfo",
    on: true,
    help: "Memory from /proc/meminfo.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Meminfo {
            file: paths::proc(flags).file("meminfo"),
            buf: Buf::new(),
            values: [None; FIELDS.len()],
        }))
    },
};

struct Meminfo {
    file: File,
    buf: Buf,
    values: [Option<u64>; FIELDS.len()],
}

/// Key with its colon, family, HELP; in the kernel's order, so that the next line is nearly always the next field.
const FIELDS: [(&[u8], &str, &str); 51] = [
    (b"MemTotal:", "node_memory_MemTotal_bytes", "Memory that the kernel can use, in bytes."),
    (b"MemFree:", "node_memory_MemFree_bytes", "Memory that nothing uses, in bytes."),
    (
        b"MemAvailable:",
        "node_memory_MemAvailable_bytes",
        "Estimate of what new programs can have without swapping, in bytes.",
    ),
    (b"Buffers:", "node_memory_Buffers_bytes", "Buffers of block devices, in bytes."),
    (b"Cached:", "node_memory_Cached_bytes", "Page cache and shared memory, in bytes."),
    (b"SwapCached:", "node_memory_SwapCached_bytes", "Memory that is in RAM and in swap at once, in bytes."),
    (b"Active:", "node_memory_Active_bytes", "Memory that was used lately, in bytes."),
    (b"Inactive:", "node_memory_Inactive_bytes", "Memory that was not used lately, in bytes."),
    (b"Active(anon):", "node_memory_Active_anon_bytes", "Anonymous memory that was used lately, in bytes."),
    (
        b"Inactive(anon):",
        "node_memory_Inactive_anon_bytes",
        "Anonymous memory that was not used lately, in bytes.",
    ),
    (b"Active(file):", "node_memory_Active_file_bytes", "File pages that were used lately, in bytes."),
    (
        b"Inactive(file):",
        "node_memory_Inactive_file_bytes",
        "File pages that were not used lately, in bytes.",
    ),
    (b"Unevictable:", "node_memory_Unevictable_bytes", "Memory that cannot be reclaimed, in bytes."),
    (b"Mlocked:", "node_memory_Mlocked_bytes", "Memory that is locked by mlock, in bytes."),
    (b"SwapTotal:", "node_memory_SwapTotal_bytes", "Swap space, in bytes."),
    (b"SwapFree:", "node_memory_SwapFree_bytes", "Swap space that nothing uses, in bytes."),
    (b"Zswap:", "node_memory_Zswap_bytes", "Memory that zswap takes, in bytes."),
    (b"Zswapped:", "node_memory_Zswapped_bytes", "Memory that zswap holds, before compression, in bytes."),
    (b"Dirty:", "node_memory_Dirty_bytes", "Memory that waits to be written to disk, in bytes."),
    (b"Writeback:", "node_memory_Writeback_bytes", "Memory that is being written to disk, in bytes."),
    (b"AnonPages:", "node_memory_AnonPages_bytes", "Anonymous memory in page tables, in bytes."),
    (b"Mapped:", "node_memory_Mapped_bytes", "Files that are mapped into memory, in bytes."),
    (b"Shmem:", "node_memory_Shmem_bytes", "Shared memory and tmpfs, in bytes."),
    (b"Slab:", "node_memory_Slab_bytes", "Data structures of the kernel in slabs, in bytes."),
    (b"SReclaimable:", "node_memory_SReclaimable_bytes", "Slabs that can be reclaimed, in bytes."),
    (b"SUnreclaim:", "node_memory_SUnreclaim_bytes", "Slabs that cannot be reclaimed, in bytes."),
    (b"KernelStack:", "node_memory_KernelStack_bytes", "Stacks of kernel threads, in bytes."),
    (b"PageTables:", "node_memory_PageTables_bytes", "Page tables of user space, in bytes."),
    (
        b"NFS_Unstable:",
        "node_memory_NFS_Unstable_bytes",
        "NFS pages that the server has not yet committed, in bytes.",
    ),
    (b"Bounce:", "node_memory_Bounce_bytes", "Bounce buffers of block devices, in bytes."),
    (b"WritebackTmp:", "node_memory_WritebackTmp_bytes", "Temporary writeback buffers of FUSE, in bytes."),
    (
        b"CommitLimit:",
        "node_memory_CommitLimit_bytes",
        "Most that can be allocated under strict overcommit, in bytes.",
    ),
    (b"Committed_AS:", "node_memory_Committed_AS_bytes", "Memory that was promised to processes, in bytes."),
    (b"VmallocTotal:", "node_memory_VmallocTotal_bytes", "Address space for vmalloc, in bytes."),
    (b"VmallocUsed:", "node_memory_VmallocUsed_bytes", "Address space for vmalloc in use, in bytes."),
    (
        b"VmallocChunk:",
        "node_memory_VmallocChunk_bytes",
        "Largest free piece of the vmalloc address space, in bytes.",
    ),
    (b"Percpu:", "node_memory_Percpu_bytes", "Memory of the per-CPU allocator, in bytes."),
    (b"HardwareCorrupted:", "node_memory_HardwareCorrupted_bytes", "Memory with hardware errors, in bytes."),
    (
        b"AnonHugePages:",
        "node_memory_AnonHugePages_bytes",
        "Anonymous memory in transparent huge pages, in bytes.",
    ),
    (
        b"ShmemHugePages:",
        "node_memory_ShmemHugePages_bytes",
        "Shared memory and tmpfs in huge pages, in bytes.",
    ),
    (
        b"ShmemPmdMapped:",
        "node_memory_ShmemPmdMapped_bytes",
        "Shared memory that is mapped as huge pages, in bytes.",
    ),
    (b"CmaTotal:", "node_memory_CmaTotal_bytes", "Memory of the contiguous allocator, in bytes."),
    (b"CmaFree:", "node_memory_CmaFree_bytes", "Free memory of the contiguous allocator, in bytes."),
    (b"HugePages_Total:", "node_memory_HugePages_Total", "Huge pages in the pool."),
    (b"HugePages_Free:", "node_memory_HugePages_Free", "Huge pages of the pool that are not allocated."),
    (
        b"HugePages_Rsvd:",
        "node_memory_HugePages_Rsvd",
        "Huge pages of the pool that are promised and not yet allocated.",
    ),
    (b"HugePages_Surp:", "node_memory_HugePages_Surp", "Huge pages beyond the size of the pool."),
    (b"Hugepagesize:", "node_memory_Hugepagesize_bytes", "Size of a huge page, in bytes."),
    (
        b"DirectMap4k:",
        "node_memory_DirectMap4k_bytes",
        "Memory that the kernel maps by pages of 4 KiB, in bytes.",
    ),
    (
        b"DirectMap2M:",
        "node_memory_DirectMap2M_bytes",
        "Memory that the kernel maps by pages of 2 MiB, in bytes.",
    ),
    (
        b"DirectMap1G:",
        "node_memory_DirectMap1G_bytes",
        "Memory that the kernel maps by pages of 1 GiB, in bytes.",
    ),
];

impl Collector for Meminfo {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        parse(bytes, &mut self.values);
        if self.values.iter().all(Option::is_none) {
            return Err(self.file.malformed("lines of a name and a size").into());
        }
        for ((_, family, help), value) in FIELDS.iter().zip(self.values) {
            if let Some(value) = value {
                out.single(family, Kind::Gauge, help, value);
            }
        }
        Ok(())
    }
}

fn parse(bytes: &[u8], values: &mut [Option<u64>; FIELDS.len()]) {
    *values = [None; FIELDS.len()];
    let mut expected = 0;
    for line in scan::lines(bytes) {
        let mut fields = scan::fields(line);
        let Some(key) = fields.next() else { continue };
        let at = match FIELDS.get(expected) {
            Some(field) if field.0 == key => expected,
            _ => match FIELDS.iter().position(|field| field.0 == key) {
                Some(at) => at,
                None => continue,
            },
        };
        expected = at + 1;
        values[at] = size(fields);
    }
}

/// A number, of KiB if it says so; nothing may follow.
fn size(mut fields: scan::Fields<'_>) -> Option<u64> {
    let value = fields.next_u64()?;
    let value = match fields.next() {
        None => value,
        Some(b"kB") => value.checked_mul(1024)?,
        Some(_) => return None,
    };
    fields.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn sizes_in_bytes_and_counts() {
        let tree = Tree::new(&[(
            "proc/meminfo",
            "MemTotal:       16042172 kB\nActive(anon):    2068484 kB\nNewInLinux9:  1 kB\nHugePages_Total:       3\nHugepagesize:       2048 kB\n",
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_memory_MemTotal_bytes 1.6427184128e+10\nnode_memory_Active_anon_bytes 2.118127616e+09\n\
             node_memory_HugePages_Total 3\nnode_memory_Hugepagesize_bytes 2.097152e+06\n"
        );
    }

    #[test]
    fn a_bad_field_is_left_out_alone() {
        for bad in [
            "-5 kB",
            "99999999999999999999999 kB",
            "18446744073709551615 kB",
            "5 MB",
            "5 kB x",
            "",
            "5kB",
            "\u{0}",
        ] {
            let tree = Tree::new(&[("proc/meminfo", &format!("MemTotal: {bad}\nMemFree: 1 kB\n"))]);
            assert_eq!(tree.samples(&ENTRY, &[]), "node_memory_MemFree_bytes 1024\n", "{bad:?}");
        }
    }

    #[test]
    fn cut_anywhere_no_value_is_wrong() {
        let whole = "MemTotal:       16042172 kB\nHugePages_Total:      31\n";
        let full = "node_memory_MemTotal_bytes 1.6427184128e+10\nnode_memory_HugePages_Total 31\n";
        for cut in 0..whole.len() {
            let tree = Tree::new(&[("proc/meminfo", &whole[..cut])]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(full.starts_with(&samples), "{samples}");
            assert_eq!(samples.is_empty(), matches!(error, Some(Error::Failed(_))), "cut at {cut}");
        }
    }

    #[test]
    fn a_key_given_twice_is_one_sample() {
        let tree = Tree::new(&[("proc/meminfo", "MemFree: 1 kB\nMemFree: 2 kB\n")]);
        assert_eq!(tree.samples(&ENTRY, &[]), "node_memory_MemFree_bytes 2048\n");
    }
}
