//! SCSI tape drives: `/sys/class/scsi_tape/st*/stats/*`, see the kernel's Documentation/scsi/st.rst.
//!
//! A drive appears several times in the class (`nst0`, `st0a`, …, one for each mode); the counters are told for the plain `st<n>` alone.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::Pattern;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Buf, Dir, Names, scan};

use crate::paths;

const IGNORED_DEVICES: &str = "collector.tapestats.ignored-devices";

pub(crate) const ENTRY: Entry = Entry {
    name: "tapestats",
    on: true,
    help: "SCSI tape drives from /sys/class/scsi_tape.",
    flags: &[Flag::text(IGNORED_DEVICES, "^$", "Pattern of tape drives to leave out.")],
    new: |flags| {
        Ok(Box::new(TapeStats {
            class: paths::sys(flags).join("class/scsi_tape"),
            ignored: flags.pattern(IGNORED_DEVICES)?,
            names: Names::new(),
            drives: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct TapeStats {
    class: PathBuf,
    ignored: Option<Pattern>,
    names: Names,
    /// One for each of `names`.
    drives: Vec<[Option<u64>; COUNTERS.len()]>,
    buf: Buf,
}

/// Attribute, family, its type, HELP, and what one of its units is in those of the family.
type Counter = (&'static str, &'static str, Kind, &'static str, Option<f64>);

const NANOSECONDS: Option<f64> = Some(0.000_000_001);

const COUNTERS: [Counter; 10] = [
    ("in_flight", "node_tape_io_now", Kind::Gauge, "Requests under way.", None),
    (
        "io_ns",
        "node_tape_io_time_seconds_total",
        Kind::Counter,
        "Time that all requests took, in seconds.",
        NANOSECONDS,
    ),
    ("other_cnt", "node_tape_io_others_total", Kind::Counter, "Requests other than reads and writes.", None),
    ("read_byte_cnt", "node_tape_read_bytes_total", Kind::Counter, "Bytes read.", None),
    (
        "read_ns",
        "node_tape_read_time_seconds_total",
        Kind::Counter,
        "Time that all reads took, in seconds.",
        NANOSECONDS,
    ),
    ("read_cnt", "node_tape_reads_completed_total", Kind::Counter, "Reads that were completed.", None),
    ("resid_cnt", "node_tape_residual_total", Kind::Counter, "Reads and writes that left a rest.", None),
    (
        "write_ns",
        "node_tape_write_time_seconds_total",
        Kind::Counter,
        "Time that all writes took, in seconds.",
        NANOSECONDS,
    ),
    ("write_cnt", "node_tape_writes_completed_total", Kind::Counter, "Writes that were completed.", None),
    ("write_byte_cnt", "node_tape_written_bytes_total", Kind::Counter, "Bytes written.", None),
];

impl TapeStats {
    fn read(&mut self) -> hostfs::Result<()> {
        self.drives.clear();
        let class = Dir::open(&self.class)?;
        class.names(&mut self.names)?;
        let ignored = &self.ignored;
        self.names.retain(|name| is_plain(name) && !ignored.as_ref().is_some_and(|p| p.is_match(name)));
        for name in self.names.iter() {
            let mut values = [None; COUNTERS.len()];
            if let Some(drive) = class.dir(name)?
                && let Some(stats) = drive.dir("stats")?
            {
                for (value, (attribute, ..)) in values.iter_mut().zip(COUNTERS) {
                    *value = stats.attribute(attribute, &mut self.buf)?.and_then(scan::value);
                }
            }
            self.drives.push(values);
        }
        Ok(())
    }
}

/// Whether the name is `st` and a number.
fn is_plain(name: &[u8]) -> bool {
    name.strip_prefix(b"st").is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

impl Collector for TapeStats {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        for (i, (_, name, kind, help, unit)) in COUNTERS.into_iter().enumerate() {
            let mut family = out.family(name, kind, help);
            for (device, values) in self.names.iter().zip(&self.drives) {
                let Some(value) = values[i] else { continue };
                let labels = [("device", device.as_bytes().into())];
                match unit {
                    Some(unit) => family.sample(&labels, value as f64 * unit),
                    None => family.sample(&labels, value),
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
    fn counters_of_plain_drives() {
        let tree = Tree::new(&[
            ("sys/class/scsi_tape/st0/stats/in_flight", "1\n"),
            ("sys/class/scsi_tape/st0/stats/io_ns", "9247011087720\n"),
            ("sys/class/scsi_tape/st0/stats/read_cnt", "18446744073709551616\n"),
            ("sys/class/scsi_tape/st0/stats/write_cnt", "\n"),
            ("sys/class/scsi_tape/nst0/stats/in_flight", "1\n"),
            ("sys/class/scsi_tape/st0a/stats/in_flight", "1\n"),
            ("sys/class/scsi_tape/st/stats/in_flight", "1\n"),
            ("sys/class/scsi_tape/st10/stats/other_cnt", "7\n"),
            ("sys/class/scsi_tape/st2/stats/other_cnt", "8\n"),
            ("sys/class/scsi_tape/st3/model", "no statistics\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_tape_io_now{device=\"st0\"} 1\n\
             node_tape_io_time_seconds_total{device=\"st0\"} 9247.01108772\n\
             node_tape_io_others_total{device=\"st10\"} 7\n\
             node_tape_io_others_total{device=\"st2\"} 8\n"
        );
        assert_eq!(
            tree.samples(&ENTRY, &["--collector.tapestats.ignored-devices=^st[0-2]$"]),
            "node_tape_io_others_total{device=\"st10\"} 7\n"
        );
    }

    #[test]
    fn no_tape_class_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
