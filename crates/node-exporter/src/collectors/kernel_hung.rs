//! Stub, to be written.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Text};

pub(crate) const ENTRY: Entry =
    Entry { name: "kernel_hung", on: true, help: "", flags: &[], new: |_| Ok(Box::new(KernelHung)) };

struct KernelHung;

impl Collector for KernelHung {
    fn collect(&mut self, _out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        Err(Error::NoData("not written yet".into()))
    }
}
