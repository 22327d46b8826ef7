//! Interrupts, context switches, forks, boot time and tasks: `/proc/stat` but for its CPU lines, which are the `cpu` collector's. See proc(5).

use std::time::Instant;

use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "stat",
    on: true,
    help: "Boot time, forks, interrupts and context switches from /proc/stat.",
    flags: &[Flag::switch("collector.stat.softirq", false, "Export softirqs per vector.")],
    new: |flags| {
        Ok(Box::new(Stat {
            file: paths::proc(flags).file("stat"),
            softirq: flags.switch("collector.stat.softirq"),
            buf: Buf::new(),
        }))
    },
};

struct Stat {
    file: File,
    softirq: bool,
    buf: Buf,
}

/// Families in order: the line's key, name, type, HELP.
const FAMILIES: [(&[u8], &str, Kind, &str); 6] = [
    (b"btime", "node_boot_time_seconds", Kind::Gauge, "Time of the boot, in seconds since 1970."),
    (b"ctxt", "node_context_switches_total", Kind::Counter, "Context switches."),
    (b"processes", "node_forks_total", Kind::Counter, "Processes and threads created."),
    (b"intr", "node_intr_total", Kind::Counter, "Interrupts serviced."),
    (b"procs_blocked", "node_procs_blocked", Kind::Gauge, "Tasks that wait for I/O."),
    (b"procs_running", "node_procs_running", Kind::Gauge, "Tasks that run or are ready to run."),
];

/// Softirq vectors in order of their labels, and their columns after the total, which are in the kernel's order.
const VECTORS: [(&str, usize); 10] = [
    ("block", 4),
    ("block_iopoll", 5),
    ("hi", 0),
    ("hrtimer", 8),
    ("net_rx", 3),
    ("net_tx", 2),
    ("rcu", 9),
    ("sched", 7),
    ("tasklet", 6),
    ("timer", 1),
];

impl Collector for Stat {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        let values = Values::parse(bytes);
        for ((_, name, kind, help), value) in FAMILIES.into_iter().zip(values.singles) {
            if let Some(value) = value {
                out.single(name, kind, help, value);
            }
        }
        if self.softirq
            && let Some(vectors) = values.softirqs
        {
            let mut family = out.family("node_softirqs_total", Kind::Counter, "Softirqs handled.");
            for (vector, column) in VECTORS {
                family.sample(&[("vector", vector.into())], vectors[column]);
            }
        }
        if values.malformed || values.singles.iter().all(Option::is_none) {
            return Err(self.file.malformed("lines of a key and numbers").into());
        }
        Ok(())
    }
}

#[derive(Default)]
struct Values {
    singles: [Option<u64>; FAMILIES.len()],
    softirqs: Option<[u64; VECTORS.len()]>,
    /// A known key stands without its number.
    malformed: bool,
}

impl Values {
    fn parse(bytes: &[u8]) -> Self {
        let mut values = Values::default();
        for line in scan::lines(bytes) {
            // The lines of CPUs are many and not ours.
            if line.starts_with(b"cpu") {
                continue;
            }
            let mut fields = scan::fields(line);
            let Some(key) = fields.next() else { continue };
            if let Some(i) = FAMILIES.iter().position(|family| family.0 == key) {
                values.singles[i] = fields.next_u64();
                values.malformed |= values.singles[i].is_none();
            } else if key == b"softirq" {
                values.softirqs = softirqs(fields);
                values.malformed |= values.softirqs.is_none();
            }
        }
        values
    }
}

fn softirqs(mut fields: scan::Fields<'_>) -> Option<[u64; VECTORS.len()]> {
    let _total = fields.next_u64()?;
    let mut vectors = [0; VECTORS.len()];
    for vector in &mut vectors {
        *vector = fields.next_u64()?;
    }
    Some(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const STAT: &str = "cpu  301854 612 111922 8979004 3552 2 3944 0 44 36\n\
        cpu0 44490 19 21045 1087069 220 1 3410 0 2 1\n\
        intr 8885917 17 0 0\n\
        ctxt 38014093\n\
        btime 1418183276\n\
        processes 26442\n\
        procs_running 2\n\
        procs_blocked 1\n\
        softirq 5057579 250191 1481983 1647 211099 186066 0 1783454 622196 12499 508444\n";

    const SINGLES: &str = "node_boot_time_seconds 1.418183276e+09\n\
        node_context_switches_total 3.8014093e+07\n\
        node_forks_total 26442\n\
        node_intr_total 8.885917e+06\n\
        node_procs_blocked 1\n\
        node_procs_running 2\n";

    #[test]
    fn singles_and_on_demand_softirqs() {
        let tree = Tree::new(&[("proc/stat", STAT)]);
        assert_eq!(tree.samples(&ENTRY, &[]), SINGLES);
        assert_eq!(
            tree.samples(&ENTRY, &["--collector.stat.softirq"]),
            format!(
                "{SINGLES}node_softirqs_total{{vector=\"block\"}} 186066\n\
                 node_softirqs_total{{vector=\"block_iopoll\"}} 0\n\
                 node_softirqs_total{{vector=\"hi\"}} 250191\n\
                 node_softirqs_total{{vector=\"hrtimer\"}} 12499\n\
                 node_softirqs_total{{vector=\"net_rx\"}} 211099\n\
                 node_softirqs_total{{vector=\"net_tx\"}} 1647\n\
                 node_softirqs_total{{vector=\"rcu\"}} 508444\n\
                 node_softirqs_total{{vector=\"sched\"}} 622196\n\
                 node_softirqs_total{{vector=\"tasklet\"}} 1.783454e+06\n\
                 node_softirqs_total{{vector=\"timer\"}} 1.481983e+06\n"
            )
        );
    }

    #[test]
    fn a_value_that_is_wrong_costs_itself_and_is_told() {
        let tree = Tree::new(&[("proc/stat", &STAT.replace("ctxt 38014093", "ctxt -1"))]);
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert_eq!(samples, SINGLES.replace("node_context_switches_total 3.8014093e+07\n", ""));
        assert!(matches!(error, Some(Error::Failed(_))));
    }

    #[test]
    fn cut_anywhere_no_value_is_wrong() {
        let tree = Tree::new(&[]);
        for length in 0..STAT.len() {
            tree.write("proc/stat", &STAT[..length]);
            let (samples, error) = tree.collect(&ENTRY, &["--collector.stat.softirq"]);
            assert!(
                samples.lines().all(|line| SINGLES.contains(&format!("{line}\n"))),
                "{length}: {samples}"
            );
            assert_eq!(error.is_some(), samples.is_empty(), "{length}: {samples}");
        }
    }
}
