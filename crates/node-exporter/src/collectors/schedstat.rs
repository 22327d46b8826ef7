//! Time that tasks ran and waited on each CPU: the last three numbers of the `cpuN` lines of `/proc/schedstat`.
//!
//! See the kernel's Documentation/scheduler/sched-stats.rst; the times are nanoseconds. A kernel without CONFIG_SCHEDSTATS has no such file.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::{cpus, paths};

pub(crate) const ENTRY: Entry = Entry {
    name: "schedstat",
    on: true,
    help: "Running and waiting time per CPU from /proc/schedstat.",
    flags: &[],
    new: |flags| {
        let file = paths::proc(flags).file("schedstat");
        Ok(Box::new(SchedStat { file, buf: Buf::new(), cpus: Vec::new() }))
    },
};

struct SchedStat {
    file: File,
    buf: Buf,
    cpus: Vec<Cpu>,
}

#[derive(Debug, Clone, Copy)]
struct Cpu {
    number: u32,
    running_nanoseconds: u64,
    waiting_nanoseconds: u64,
    timeslices: u64,
}

impl Collector for SchedStat {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        self.cpus.clear();
        self.cpus.extend(scan::lines(bytes).filter_map(parse));
        if self.cpus.is_empty() {
            return Err(self.file.malformed("lines of a CPU and nine numbers").into());
        }
        self.cpus.sort_unstable_by_key(|cpu| cpus::label_order(cpu.number));
        self.cpus.dedup_by_key(|cpu| cpu.number);

        let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
        let mut running = out.family(
            "node_schedstat_running_seconds_total",
            Kind::Counter,
            "Time that tasks ran on the CPU, in seconds.",
        );
        for cpu in &self.cpus {
            running.sample(&[("cpu", cpu.number.into())], seconds(cpu.running_nanoseconds));
        }
        drop(running);
        let mut timeslices = out.family(
            "node_schedstat_timeslices_total",
            Kind::Counter,
            "Timeslices that tasks ran on the CPU.",
        );
        for cpu in &self.cpus {
            timeslices.sample(&[("cpu", cpu.number.into())], cpu.timeslices);
        }
        drop(timeslices);
        let mut waiting = out.family(
            "node_schedstat_waiting_seconds_total",
            Kind::Counter,
            "Time that tasks were ready and waited for the CPU, in seconds.",
        );
        for cpu in &self.cpus {
            waiting.sample(&[("cpu", cpu.number.into())], seconds(cpu.waiting_nanoseconds));
        }
        Ok(())
    }
}

/// A `cpuN` line; `None` for any other, such as `domain0`.
fn parse(line: &[u8]) -> Option<Cpu> {
    if !line.starts_with(b"cpu") {
        return None;
    }
    let mut fields = scan::fields(line);
    let number = cpus::number(fields.next()?)?;
    let mut numbers = [0; 9];
    for number in &mut numbers {
        *number = fields.next_u64()?;
    }
    let [.., running_nanoseconds, waiting_nanoseconds, timeslices] = numbers;
    Some(Cpu { number, running_nanoseconds, waiting_nanoseconds, timeslices })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn cpus_in_order_and_nothing_of_domains() {
        let tree = Tree::new(&[(
            "proc/schedstat",
            "version 17\ntimestamp 15819019232\n\
             cpu2 0 0 0 0 0 0 2500000000 1000000000 7\n\
             domain0 MC 00000000,00000003 1 2 3 4 5 6 7 8 9\n\
             cpu10 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306 99\n\
             cpu3 1 2 3 4 5 6 7 8 18446744073709551616\n\
             cpu4 1 2 3 4 5 6 7 8\n\
             cpu5 1 2 3 4 5 6 7 8 9",
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_schedstat_running_seconds_total{cpu=\"10\"} 2.045936778163039e+06\n\
             node_schedstat_running_seconds_total{cpu=\"2\"} 2.5\n\
             node_schedstat_timeslices_total{cpu=\"10\"} 4.767485306e+09\n\
             node_schedstat_timeslices_total{cpu=\"2\"} 7\n\
             node_schedstat_waiting_seconds_total{cpu=\"10\"} 343796.328169361\n\
             node_schedstat_waiting_seconds_total{cpu=\"2\"} 1\n"
        );
    }

    #[test]
    fn no_file_is_no_data_and_no_cpu_a_failure() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        for bad in ["", "\n", "version 15\n", "cpu0 1 2 3 4 5 6 7 8 9"] {
            let (samples, error) = Tree::new(&[("proc/schedstat", bad)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }
}
