//! Packets handled by each CPU's receive softirq: `/proc/net/softnet_stat`, see the kernel's net/core/net-procfs.c.
//!
//! A line of hexadecimal columns per online CPU, of which later kernels have more: RPS since 2.6.39, flow limit since 3.11, backlog length and
//! the CPU's number since 5.14. Before that the line's position stands for the number.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::{cpus, paths};

pub(crate) const ENTRY: Entry = Entry {
    name: "softnet",
    on: true,
    help: "Packet processing per CPU from /proc/net/softnet_stat.",
    flags: &[],
    new: |flags| {
        let file = paths::proc(flags).file("net/softnet_stat");
        Ok(Box::new(Softnet { file, buf: Buf::new(), cpus: Vec::new() }))
    },
};

struct Softnet {
    file: File,
    buf: Buf,
    cpus: Vec<Cpu>,
}

/// Families in order: name, type, HELP, and column.
const FAMILIES: [(&str, Kind, &str, usize); 7] = [
    ("node_softnet_backlog_len", Kind::Gauge, "Packets that wait in the CPU's backlog.", 11),
    (
        "node_softnet_cpu_collision_total",
        Kind::Counter,
        "Times that a device's lock was taken when sending.",
        8,
    ),
    ("node_softnet_dropped_total", Kind::Counter, "Packets dropped as the backlog was full.", 1),
    ("node_softnet_flow_limit_count_total", Kind::Counter, "Packets dropped by the flow limit.", 10),
    ("node_softnet_processed_total", Kind::Counter, "Packets processed.", 0),
    ("node_softnet_received_rps_total", Kind::Counter, "Times that the CPU was woken up for RPS.", 9),
    (
        "node_softnet_times_squeezed_total",
        Kind::Counter,
        "Times that processing stopped with packets left, for lack of budget or time.",
        2,
    ),
];

/// Every kernel has this many columns.
const LEAST_COLUMNS: usize = 9;
const INDEX_COLUMN: usize = 12;

#[derive(Clone, Copy)]
struct Cpu {
    number: u32,
    row: u32,
    columns: [u32; INDEX_COLUMN],
}

impl Collector for Softnet {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        parse(bytes, &mut self.cpus)
            .ok_or_else(|| self.file.malformed("lines of at least 9 hexadecimal columns"))?;
        self.cpus.sort_unstable_by_key(|cpu| (cpus::label_order(cpu.number), cpu.row));
        // Of two rows with a number, the first.
        self.cpus.dedup_by_key(|cpu| cpu.number);
        for (name, kind, help, column) in FAMILIES {
            let mut family = out.family(name, kind, help);
            for cpu in &self.cpus {
                family.sample(&[("cpu", cpu.number.into())], cpu.columns[column]);
            }
        }
        Ok(())
    }
}

fn parse(bytes: &[u8], cpus: &mut Vec<Cpu>) -> Option<()> {
    cpus.clear();
    let mut width_of_all = None;
    for (row, line) in (0..).zip(scan::lines_loose(bytes)) {
        // Columns that this kernel does not have count as 0, as in the original.
        let mut cpu = Cpu { number: row, row, columns: [0; INDEX_COLUMN] };
        let mut width = 0;
        for field in scan::fields(line).take(INDEX_COLUMN + 1) {
            let value = column(field)?;
            match cpu.columns.get_mut(width) {
                Some(column) => *column = value,
                None => cpu.number = value,
            }
            width += 1;
        }
        // A line that is shorter than the first one is cut.
        if width < LEAST_COLUMNS || width != *width_of_all.get_or_insert(width) {
            return None;
        }
        cpus.push(cpu);
    }
    (!cpus.is_empty()).then_some(())
}

/// The kernel prints eight digits; fewer are a cut number.
fn column(field: &[u8]) -> Option<u32> {
    if field.len() != 8 {
        return None;
    }
    scan::hex(field)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const OLD: &str = "00049279 00000029 00000001 00000000 00000000 00000000 00000000 00000000 00000002";

    #[test]
    fn the_number_is_the_kernels_where_it_tells_it() {
        let tree = Tree::new(&[(
            "proc/net/softnet_stat",
            &format!(
                "{OLD} 0000000a 0000000b 0000000c 00000002 00000000 00000000\n\
                 {OLD} 00000001 00000002 00000003 0000000a 00000000 00000000\n"
            ),
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_softnet_backlog_len{cpu=\"10\"} 3\n\
             node_softnet_backlog_len{cpu=\"2\"} 12\n\
             node_softnet_cpu_collision_total{cpu=\"10\"} 2\n\
             node_softnet_cpu_collision_total{cpu=\"2\"} 2\n\
             node_softnet_dropped_total{cpu=\"10\"} 41\n\
             node_softnet_dropped_total{cpu=\"2\"} 41\n\
             node_softnet_flow_limit_count_total{cpu=\"10\"} 2\n\
             node_softnet_flow_limit_count_total{cpu=\"2\"} 11\n\
             node_softnet_processed_total{cpu=\"10\"} 299641\n\
             node_softnet_processed_total{cpu=\"2\"} 299641\n\
             node_softnet_received_rps_total{cpu=\"10\"} 1\n\
             node_softnet_received_rps_total{cpu=\"2\"} 10\n\
             node_softnet_times_squeezed_total{cpu=\"10\"} 1\n\
             node_softnet_times_squeezed_total{cpu=\"2\"} 1\n"
        );
    }

    #[test]
    fn else_it_is_the_position() {
        let tree = Tree::new(&[("proc/net/softnet_stat", &format!("{OLD}\n{OLD}"))]);
        let samples = tree.samples(&ENTRY, &[]);
        assert!(samples.contains("node_softnet_processed_total{cpu=\"1\"} 299641\n"), "{samples}");
    }

    #[test]
    fn a_number_that_comes_twice_is_that_of_the_first_row() {
        let row = |processed: u32, cpu: u32| {
            format!(
                "{processed:08x} {} 00000000 00000000 00000000 {cpu:08x} 00000000 00000000\n",
                &OLD["00000000 ".len()..]
            )
        };
        let rows = row(7, 1) + &row(8, 0) + &row(9, 1) + &row(10, 0);
        let samples = Tree::new(&[("proc/net/softnet_stat", &rows)]).samples(&ENTRY, &[]);
        let processed: Vec<&str> = samples.lines().filter(|line| line.contains("_processed_")).collect();
        assert_eq!(
            processed,
            ["node_softnet_processed_total{cpu=\"0\"} 8", "node_softnet_processed_total{cpu=\"1\"} 7"]
        );
    }

    #[test]
    fn a_line_that_is_cut_or_no_hexadecimal_fails() {
        let shorter = format!("{OLD} 00000001\n{OLD}");
        let digit = format!("{}g\n", &OLD[..OLD.len() - 1]);
        for bad in ["", "\n", &OLD[..70], &OLD[..OLD.len() - 1], &shorter, &digit] {
            let (samples, error) = Tree::new(&[("proc/net/softnet_stat", bad)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }
}
