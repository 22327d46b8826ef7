//! Softirqs per CPU and vector: `/proc/softirqs`, see proc(5).
//!
//! A heading with the CPUs, then a line per vector with a count per CPU.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::{cpus, paths};

pub(crate) const ENTRY: Entry = Entry {
    name: "softirqs",
    on: false,
    help: "Softirqs per CPU from /proc/softirqs.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(SoftIrqs {
            file: paths::proc(flags).file("softirqs"),
            buf: Buf::new(),
            table: Table::default(),
        }))
    },
};

struct SoftIrqs {
    file: File,
    buf: Buf,
    table: Table,
}

#[derive(Default)]
struct Table {
    /// The CPU of each column, and the column, in label order.
    cpus: Vec<(u32, u32)>,
    /// Name, and index of the first count, in label order.
    vectors: Vec<(Span, u32)>,
    counts: Vec<u64>,
    names: Arena,
}

impl Collector for SoftIrqs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        let table = &mut self.table;
        table
            .parse(bytes)
            .ok_or_else(|| self.file.malformed("a heading of CPUs and lines of a vector and counts"))?;
        let mut family =
            out.family("node_softirqs_functions_total", Kind::Counter, "Softirqs handled on the CPU.");
        for &(cpu, column) in &table.cpus {
            for &(name, first) in &table.vectors {
                let count = table.counts[first as usize + column as usize];
                family.sample(&[("cpu", cpu.into()), ("type", (&table.names[name]).into())], count);
            }
        }
        Ok(())
    }
}

impl Table {
    fn parse(&mut self, bytes: &[u8]) -> Option<()> {
        self.cpus.clear();
        self.vectors.clear();
        self.counts.clear();
        self.names.clear();
        let mut lines = scan::lines(bytes);
        for (column, heading) in (0..).zip(scan::fields(lines.next()?)) {
            self.cpus.push((cpus::heading(heading)?, column));
        }
        for line in lines {
            let mut fields = scan::fields(line);
            let Some(name) = fields.next() else { continue };
            let name = name.strip_suffix(b":")?;
            let first = u32::try_from(self.counts.len()).ok()?;
            for _ in &self.cpus {
                self.counts.push(fields.next_u64()?);
            }
            self.vectors.push((self.names.push(name), first));
        }
        self.cpus.sort_unstable_by_key(|&(cpu, _)| cpus::label_order(cpu));
        let names = &self.names;
        self.vectors.sort_unstable_by(|a, b| names[a.0].cmp(&names[b.0]));
        let twice = self.cpus.windows(2).any(|pair| pair[0].0 == pair[1].0)
            || self.vectors.windows(2).any(|pair| names[pair[0].0] == names[pair[1].0]);
        (!twice && !self.counts.is_empty()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const TABLE: &str = "                    CPU0       CPU2       CPU10\n\
        \x20         HI:          7          1          2\n\
        \x20     NET_TX:       2301       2430          3\n\
        \x20      BLOCK:      23776      24115          4\n";

    #[test]
    fn cpus_are_those_of_the_heading() {
        assert_eq!(
            Tree::new(&[("proc/softirqs", TABLE)]).samples(&ENTRY, &[]),
            "node_softirqs_functions_total{cpu=\"0\",type=\"BLOCK\"} 23776\n\
             node_softirqs_functions_total{cpu=\"0\",type=\"HI\"} 7\n\
             node_softirqs_functions_total{cpu=\"0\",type=\"NET_TX\"} 2301\n\
             node_softirqs_functions_total{cpu=\"10\",type=\"BLOCK\"} 4\n\
             node_softirqs_functions_total{cpu=\"10\",type=\"HI\"} 2\n\
             node_softirqs_functions_total{cpu=\"10\",type=\"NET_TX\"} 3\n\
             node_softirqs_functions_total{cpu=\"2\",type=\"BLOCK\"} 24115\n\
             node_softirqs_functions_total{cpu=\"2\",type=\"HI\"} 1\n\
             node_softirqs_functions_total{cpu=\"2\",type=\"NET_TX\"} 2430\n"
        );
    }

    #[test]
    fn a_table_that_is_none_fails() {
        for bad in [
            "",
            "\n",
            "CPU0\n",
            "x\nHI: 1\n",
            "CPU0 CPU0\nHI: 1 2\n",
            "CPU0\nHI: 1\nHI: 2\n",
            "CPU0 CPU1\nHI: 1\n",
            "CPU0\nHI: -1\n",
            "CPU0\nHI 1\n",
        ] {
            let (samples, error) = Tree::new(&[("proc/softirqs", bad)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }

    #[test]
    fn cut_anywhere_no_count_is_wrong() {
        let whole = Tree::new(&[("proc/softirqs", TABLE)]).samples(&ENTRY, &[]);
        let tree = Tree::new(&[]);
        for length in 0..TABLE.len() {
            tree.write("proc/softirqs", &TABLE[..length]);
            let (samples, _) = tree.collect(&ENTRY, &[]);
            assert!(samples.lines().all(|line| whole.contains(&format!("{line}\n"))), "{length}: {samples}");
        }
    }
}
