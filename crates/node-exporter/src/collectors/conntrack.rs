//! Connection tracking: `/proc/sys/net/netfilter/nf_conntrack_{count,max}` and the counters of `/proc/net/stat/nf_conntrack`, one line a CPU in
//! hexadecimal, see the kernel's Documentation/networking/nf_conntrack-sysctl.rst. The files exist while the module is loaded.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "conntrack",
    on: true,
    help: "Connection tracking from /proc/sys/net/netfilter and /proc/net/stat.",
    flags: &[],
    new: |flags| {
        let proc = paths::proc(flags);
        Ok(Box::new(Conntrack {
            count: proc.file("sys/net/netfilter/nf_conntrack_count"),
            max: proc.file("sys/net/netfilter/nf_conntrack_max"),
            stat: proc.file("net/stat/nf_conntrack"),
            buf: Buf::new(),
        }))
    },
};

struct Conntrack {
    count: File,
    max: File,
    stat: File,
    buf: Buf,
}

/// Column of the file, family, HELP. Gauges though they only go up: that is what the original calls them.
const STATS: [(usize, &str, &str); 8] = [
    (10, "node_nf_conntrack_stat_drop", "Packets that were dropped because tracking failed."),
    (
        11,
        "node_nf_conntrack_stat_early_drop",
        "Entries that were dropped to make room for new ones in a full table.",
    ),
    (2, "node_nf_conntrack_stat_found", "Searches that found an entry."),
    (
        5,
        "node_nf_conntrack_stat_ignore",
        "Packets that were not tracked because they belong to an entry already.",
    ),
    (8, "node_nf_conntrack_stat_insert", "Entries that were inserted."),
    (
        9,
        "node_nf_conntrack_stat_insert_failed",
        "Entries that could not be inserted, as when the same one was there.",
    ),
    (4, "node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
    (
        16,
        "node_nf_conntrack_stat_search_restart",
        "Searches that started anew because the table was resized.",
    ),
];

impl Collector for Conntrack {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let count = number(&mut self.count, &mut self.buf)?;
        out.single("node_nf_conntrack_entries", Kind::Gauge, "Connections that are tracked.", count);
        let max = number(&mut self.max, &mut self.buf)?;
        out.single(
            "node_nf_conntrack_entries_limit",
            Kind::Gauge,
            "Most connections that can be tracked.",
            max,
        );
        let bytes = self.stat.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        let sums = sums(bytes)
            .ok_or_else(|| self.stat.malformed("a header and lines of 16 or more hexadecimal numbers"))?;
        for ((_, family, help), sum) in STATS.into_iter().zip(sums) {
            if let Some(sum) = sum {
                out.single(family, Kind::Gauge, help, sum);
            }
        }
        Ok(())
    }
}

fn number(file: &mut File, buf: &mut Buf) -> Result<u64, Error> {
    let bytes = file.read_attribute(buf).map_err(|error| Error::or_no_data(&error))?;
    scan::value(bytes).ok_or_else(|| file.malformed("a number").into())
}

/// The sums over all CPUs; `None` for a column that this kernel lacks.
fn sums(bytes: &[u8]) -> Option<[Option<u64>; STATS.len()]> {
    const LEAST: usize = 16;
    const MOST: usize = 32;
    // Without its last line a sum would be wrong.
    if !bytes.ends_with(b"\n") {
        return None;
    }
    let mut lines = scan::lines(bytes);
    lines.next()?;
    let mut sums = None;
    for line in lines {
        let mut columns = [0; MOST];
        let mut count = 0;
        for (column, field) in columns.iter_mut().zip(scan::fields(line)) {
            *column = scan::hex(field)?;
            count += 1;
        }
        if count < LEAST {
            return None;
        }
        let sums = sums.get_or_insert([Some(0u64); STATS.len()]);
        for (sum, (at, ..)) in sums.iter_mut().zip(STATS) {
            *sum = sum.filter(|_| at < count).map(|sum| sum.saturating_add(columns[at]));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEADER: &str = "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n";

    /// A line whose columns are 0x10, 0x11, 0x12 and so on.
    fn line(columns: u64) -> String {
        (0..columns).map(|i| format!("{:08x} ", 16 + i)).collect::<String>() + "\n"
    }

    fn tree(stat: &str) -> Tree {
        Tree::new(&[
            ("proc/sys/net/netfilter/nf_conntrack_count", "123\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
            ("proc/net/stat/nf_conntrack", stat),
        ])
    }

    #[test]
    fn counters_are_summed_over_cpus() {
        assert_eq!(
            tree(&format!("{HEADER}{}{}", line(17), line(17)))
                .samples(&ENTRY, &[])
                .replace("node_nf_conntrack_", ""),
            "entries 123\nentries_limit 65536\nstat_drop 52\nstat_early_drop 54\nstat_found 36\nstat_ignore 42\n\
             stat_insert 48\nstat_insert_failed 50\nstat_invalid 40\nstat_search_restart 64\n"
        );
    }

    #[test]
    fn an_old_kernel_has_no_restarts_and_a_new_one_may_have_more_columns() {
        assert!(!tree(&format!("{HEADER}{}", line(16))).samples(&ENTRY, &[]).contains("restart"));
        assert!(
            tree(&format!("{HEADER}{}", line(40))).samples(&ENTRY, &[]).ends_with("stat_search_restart 32\n")
        );
    }

    #[test]
    fn not_loaded_is_no_data_and_garbage_fails() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        for stat in [
            "",
            HEADER,
            "x\ny\n",
            &format!("{HEADER}{}", line(15)),
            &format!("{HEADER}{}{}", line(17), line(17).trim_end()),
        ] {
            let (samples, error) = tree(stat).collect(&ENTRY, &[]);
            assert!(
                !samples.contains("stat") && matches!(error, Some(Error::Failed(_))),
                "{stat:?}: {samples}"
            );
            assert!(samples.ends_with("entries_limit 65536\n"));
        }
        let tree = tree(HEADER);
        tree.remove("proc/net/stat/nf_conntrack");
        assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        tree.write("proc/sys/net/netfilter/nf_conntrack_count", "-1\n");
        assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::Failed(_))));
    }
}
