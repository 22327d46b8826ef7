//! Pressure stall information: how long tasks waited for CPU, memory, I/O and interrupts, from `/proc/pressure/*`.
//!
//! See the kernel's Documentation/accounting/psi.rst. A resource that this kernel does not account (`irq` before 6.1 or without IRQ time
//! accounting, all of them without `psi=1`) is left out; only where there is none at all is there no data.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Flags, Kind, Text};
use hostfs::{Buf, Errno, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "pressure",
    on: true,
    help: "Pressure stall information from /proc/pressure.",
    flags: &[],
    new: |flags| Ok(Box::new(Pressure::new(flags))),
};

/// Resources in order of their families: file, and family and HELP of its lines.
const RESOURCES: [Resource; 4] = [
    Resource {
        file: "pressure/cpu",
        // Since Linux 5.13 there is a `full` line here too, always 0 for the whole machine.
        full: None,
        some: Some((
            "node_pressure_cpu_waiting_seconds_total",
            "Time in which some task waited for a CPU, in seconds.",
        )),
    },
    Resource {
        file: "pressure/io",
        full: Some((
            "node_pressure_io_stalled_seconds_total",
            "Time in which all tasks waited for I/O, in seconds.",
        )),
        some: Some((
            "node_pressure_io_waiting_seconds_total",
            "Time in which some task waited for I/O, in seconds.",
        )),
    },
    Resource {
        file: "pressure/irq",
        full: Some((
            "node_pressure_irq_stalled_seconds_total",
            "Time in which all tasks waited for interrupts to be handled, in seconds.",
        )),
        some: None,
    },
    Resource {
        file: "pressure/memory",
        full: Some((
            "node_pressure_memory_stalled_seconds_total",
            "Time in which all tasks waited for memory, in seconds.",
        )),
        some: Some((
            "node_pressure_memory_waiting_seconds_total",
            "Time in which some task waited for memory, in seconds.",
        )),
    },
];

struct Resource {
    file: &'static str,
    full: Option<(&'static str, &'static str)>,
    some: Option<(&'static str, &'static str)>,
}

struct Pressure {
    files: [File; RESOURCES.len()],
    buf: Buf,
}

impl Pressure {
    fn new(flags: &Flags) -> Self {
        let proc = paths::proc(flags);
        Pressure { files: RESOURCES.map(|resource| proc.file(resource.file)), buf: Buf::new() }
    }
}

impl Collector for Pressure {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let mut found = false;
        let mut failed = None;
        for (resource, file) in RESOURCES.iter().zip(&mut self.files) {
            let totals = match file.read(&mut self.buf) {
                // Every line ends with a newline, but for the recorded one of interrupts. A total without one may be cut.
                Ok(bytes) => match resource.some {
                    Some(_) => Totals::parse(scan::lines(bytes)),
                    None => Totals::parse(scan::lines_loose(bytes)),
                },
                Err(error) => {
                    if !error.is_gone() && error.errno() != Some(Errno::OPNOTSUPP) {
                        failed = Some(error);
                    }
                    continue;
                }
            };
            let lines = [(resource.full, totals.full), (resource.some, totals.some)];
            if lines.iter().all(|(family, total)| family.is_none() || total.is_none()) {
                failed = Some(file.malformed("lines of averages and a total"));
            }
            for (family, total) in lines {
                if let (Some((name, help)), Some(microseconds)) = (family, total) {
                    out.single(name, Kind::Counter, help, microseconds as f64 / 1000.0 / 1000.0);
                    found = true;
                }
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None if found => Ok(()),
            None => Err(Error::NoData("/proc/pressure: not supported by this kernel, or off (psi=1)".into())),
        }
    }
}

/// Microseconds since boot.
struct Totals {
    full: Option<u64>,
    some: Option<u64>,
}

impl Totals {
    fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut totals = Totals { full: None, some: None };
        for line in lines {
            let mut fields = scan::fields(line);
            let total = match fields.next() {
                Some(b"full") => &mut totals.full,
                Some(b"some") => &mut totals.some,
                _ => continue,
            };
            *total = fields.find_map(|field| field.strip_prefix(b"total=")).and_then(scan::unsigned);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const SOME: &str = "some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802\n";
    const FULL: &str = "full avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n";

    #[test]
    fn all_resources() {
        let both = format!("{SOME}{FULL}");
        let tree = Tree::new(&[
            ("proc/pressure/cpu", &both),
            ("proc/pressure/io", &both),
            ("proc/pressure/irq", FULL.trim_end()),
            ("proc/pressure/memory", &both),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_pressure_cpu_waiting_seconds_total 159.886802\n\
             node_pressure_io_stalled_seconds_total 0.5\n\
             node_pressure_io_waiting_seconds_total 159.886802\n\
             node_pressure_irq_stalled_seconds_total 0.5\n\
             node_pressure_memory_stalled_seconds_total 0.5\n\
             node_pressure_memory_waiting_seconds_total 159.886802\n"
        );
    }

    #[test]
    fn without_a_full_line_some_stays() {
        let tree = Tree::new(&[("proc/pressure/io", SOME)]);
        assert_eq!(tree.samples(&ENTRY, &[]), "node_pressure_io_waiting_seconds_total 159.886802\n");
    }

    #[test]
    fn a_total_that_is_cut_is_none() {
        let tree = Tree::new(&[("proc/pressure/io", &format!("{SOME}{}", FULL.trim_end()))]);
        assert_eq!(tree.samples(&ENTRY, &[]), "node_pressure_io_waiting_seconds_total 159.886802\n");
        tree.write("proc/pressure/io", SOME.trim_end());
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{samples}");
    }

    #[test]
    fn no_pressure_files_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }

    #[test]
    fn a_broken_resource_costs_itself() {
        for bad in
            ["", "\n", "some avg10=0.00", "some total=-5\n", "some total=18446744073709551616\n", "\0\0\n"]
        {
            let tree = Tree::new(&[("proc/pressure/cpu", bad), ("proc/pressure/io", FULL)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert_eq!(samples, "node_pressure_io_stalled_seconds_total 0.5\n", "{bad:?}");
            assert!(matches!(error, Some(Error::Failed(_))), "{bad:?}");
        }
    }
}
