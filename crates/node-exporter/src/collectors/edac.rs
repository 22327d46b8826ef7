//! Memory errors that the hardware corrects or cannot: `/sys/devices/system/edac/mc/mc*`, see the kernel's Documentation/admin-guide/ras.rst.
//!
//! Counters of a controller, of each row of chips, and of each channel of a row. Errors that no row can be given for count for the row `unknown`.
//! No controllers are no fault.

use std::path::PathBuf;
use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Gone, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "edac",
    on: true,
    help: "Memory errors from /sys/devices/system/edac.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Edac {
            controllers: paths::sys(flags).join("devices/system/edac/mc"),
            names: Names::new(),
            rows: Names::new(),
            files: Names::new(),
            buf: Buf::new(),
            path: Vec::new(),
            texts: Arena::new(),
            counts: Vec::new(),
        }))
    },
};

struct Edac {
    controllers: PathBuf,
    names: Names,
    rows: Names,
    files: Names,
    buf: Buf,
    path: Vec<u8>,
    texts: Arena,
    counts: Vec<Counts>,
}

/// What errors are counted for.
#[derive(Clone, Copy)]
enum Place {
    Controller,
    Row(Span),
    Channel { row: Span, channel: Span, dimm: Span },
}

struct Counts {
    controller: Span,
    place: Place,
    correctable: Option<u64>,
    uncorrectable: Option<u64>,
}

impl Edac {
    fn read(&mut self) -> hostfs::Result<()> {
        self.texts.clear();
        self.counts.clear();
        let Some(controllers) = Dir::open(&self.controllers).gone_is_none()? else { return Ok(()) };
        controllers.names(&mut self.names)?;
        let unknown = self.texts.push(b"unknown");
        for name in self.names.iter() {
            let Some(number) = number_after(b"mc", name.as_encoded_bytes()) else { continue };
            let Some(dir) = controllers.dir(name)? else { continue };
            let controller = self.texts.push(number);
            let buf = &mut self.buf;
            self.counts.push(Counts {
                controller,
                place: Place::Controller,
                correctable: dir.attribute("ce_count", buf)?.and_then(scan::value),
                uncorrectable: dir.attribute("ue_count", buf)?.and_then(scan::value),
            });
            dir.names(&mut self.rows)?;
            for name in self.rows.iter() {
                let Some(number) = number_after(b"csrow", name.as_encoded_bytes()) else { continue };
                let Some(dir) = dir.dir(name)? else { continue };
                let row = self.texts.push(number);
                self.counts.push(Counts {
                    controller,
                    place: Place::Row(row),
                    correctable: dir.attribute("ce_count", buf)?.and_then(scan::value),
                    uncorrectable: dir.attribute("ue_count", buf)?.and_then(scan::value),
                });
                dir.names(&mut self.files)?;
                for name in self.files.iter() {
                    let Some(number) = channel(name.as_encoded_bytes()) else { continue };
                    let correctable = dir.attribute(name, buf)?.and_then(scan::value);
                    let channel = self.texts.push(number);
                    let file = file_of(&mut self.path, number, b"_ue_count");
                    let uncorrectable = dir.attribute(file, buf)?.and_then(scan::value);
                    let file = file_of(&mut self.path, number, b"_dimm_label");
                    let dimm = match dir.attribute(file, buf)? {
                        Some(label) => {
                            self.path.clear();
                            dimm_label(label.trim_ascii(), &mut self.path);
                            self.texts.push(&self.path)
                        }
                        None => unknown,
                    };
                    let place = Place::Channel { row, channel, dimm };
                    self.counts.push(Counts { controller, place, correctable, uncorrectable });
                }
            }
            self.counts.push(Counts {
                controller,
                place: Place::Row(unknown),
                correctable: dir.attribute("ce_noinfo_count", buf)?.and_then(scan::value),
                uncorrectable: dir.attribute("ue_noinfo_count", buf)?.and_then(scan::value),
            });
        }
        Ok(())
    }
}

/// The number behind a prefix and nothing else.
fn number_after<'n>(prefix: &[u8], name: &'n [u8]) -> Option<&'n [u8]> {
    name.strip_prefix(prefix).filter(|number| scan::unsigned(number).is_some())
}

/// The number in `ch0_ce_count`.
fn channel(name: &[u8]) -> Option<&[u8]> {
    number_after(b"ch", name.strip_suffix(b"_ce_count")?)
}

fn file_of<'p>(path: &'p mut Vec<u8>, channel: &[u8], suffix: &[u8]) -> &'p std::ffi::OsStr {
    path.clear();
    path.extend_from_slice(b"ch");
    path.extend_from_slice(channel);
    path.extend_from_slice(suffix);
    std::os::unix::ffi::OsStrExt::from_bytes(path)
}

/// `mc#0csrow#1channel#0`, the name that a driver gives by default, becomes `mc0_csrow1_channel0`.
fn dimm_label(mut label: &[u8], out: &mut Vec<u8>) {
    while let Some((&first, rest)) = label.split_first() {
        if label.starts_with(b"csrow") || label.starts_with(b"channel") {
            out.push(b'_');
        }
        if first != b'#' {
            out.push(first);
        }
        label = rest;
    }
}

type Pick = fn(&Counts) -> Option<u64>;

impl Collector for Edac {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        let text = |span: Span| (&self.texts[span]).into();
        let correctable: Pick = |counts| counts.correctable;
        let uncorrectable: Pick = |counts| counts.uncorrectable;

        for (name, help, pick) in [
            (
                "node_edac_channel_correctable_errors_total",
                "Memory errors of the channel, corrected.",
                correctable,
            ),
            (
                "node_edac_channel_uncorrectable_errors_total",
                "Memory errors of the channel, not corrected.",
                uncorrectable,
            ),
        ] {
            let mut family = out.family(name, Kind::Counter, help);
            for counts in &self.counts {
                if let (Place::Channel { row, channel, dimm }, Some(count)) = (counts.place, pick(counts)) {
                    let labels = [
                        ("channel", text(channel)),
                        ("controller", text(counts.controller)),
                        ("csrow", text(row)),
                        ("dimm_label", text(dimm)),
                    ];
                    family.sample(&labels, count);
                }
            }
            family.sort();
        }
        for (name, help, pick) in [
            (
                "node_edac_correctable_errors_total",
                "Memory errors of the controller, corrected.",
                correctable,
            ),
            (
                "node_edac_uncorrectable_errors_total",
                "Memory errors of the controller, not corrected.",
                uncorrectable,
            ),
        ] {
            let mut family = out.family(name, Kind::Counter, help);
            for counts in &self.counts {
                if let (Place::Controller, Some(count)) = (counts.place, pick(counts)) {
                    family.sample(&[("controller", text(counts.controller))], count);
                }
            }
        }
        for (name, help, pick) in [
            (
                "node_edac_csrow_correctable_errors_total",
                "Memory errors of the row of chips, corrected.",
                correctable,
            ),
            (
                "node_edac_csrow_uncorrectable_errors_total",
                "Memory errors of the row of chips, not corrected.",
                uncorrectable,
            ),
        ] {
            let mut family = out.family(name, Kind::Counter, help);
            for counts in &self.counts {
                if let (Place::Row(row), Some(count)) = (counts.place, pick(counts)) {
                    family.sample(&[("controller", text(counts.controller)), ("csrow", text(row))], count);
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
    fn controllers_rows_and_channels() {
        let tree = Tree::new(&[
            ("sys/devices/system/edac/mc/mc0/ce_count", "1\n"),
            ("sys/devices/system/edac/mc/mc0/ce_noinfo_count", "2\n"),
            ("sys/devices/system/edac/mc/mc0/ue_count", "5\n"),
            ("sys/devices/system/edac/mc/mc0/ue_noinfo_count", "6\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ce_count", "3\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ue_count", "4\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ch0_ce_count", "0\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ch0_ue_count", "2\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ch0_dimm_label", "mc#0csrow#0channel#0\n"),
            ("sys/devices/system/edac/mc/mc0/csrow1/ch0_ce_count", "7\n"),
            ("sys/devices/system/edac/mc/mc0/csrow1/chx_ce_count", "8\n"),
            ("sys/devices/system/edac/mc/mc0/csrow1/ue_count", "-1\n"),
            ("sys/devices/system/edac/mc/mc1/ue_count", "9\n"),
            ("sys/devices/system/edac/mc/power/control", "auto\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_edac_", ""),
            "channel_correctable_errors_total{channel=\"0\",controller=\"0\",csrow=\"0\",dimm_label=\"mc0_csrow0_channel0\"} 0\n\
             channel_correctable_errors_total{channel=\"0\",controller=\"0\",csrow=\"1\",dimm_label=\"unknown\"} 7\n\
             channel_uncorrectable_errors_total{channel=\"0\",controller=\"0\",csrow=\"0\",dimm_label=\"mc0_csrow0_channel0\"} 2\n\
             correctable_errors_total{controller=\"0\"} 1\n\
             uncorrectable_errors_total{controller=\"0\"} 5\n\
             uncorrectable_errors_total{controller=\"1\"} 9\n\
             csrow_correctable_errors_total{controller=\"0\",csrow=\"0\"} 3\n\
             csrow_correctable_errors_total{controller=\"0\",csrow=\"unknown\"} 2\n\
             csrow_uncorrectable_errors_total{controller=\"0\",csrow=\"0\"} 4\n\
             csrow_uncorrectable_errors_total{controller=\"0\",csrow=\"unknown\"} 6\n"
        );
    }

    #[test]
    fn no_controllers_are_no_fault() {
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
    }
}
