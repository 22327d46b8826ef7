//! Stub, to be written.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Text};

pub(crate) const ENTRY: Entry =
    Entry { name: "qdisc", on: false, help: "", flags: &[], new: |_| Ok(Box::new(Qdisc)) };

struct Qdisc;

impl Collector for Qdisc {
    fn collect(&mut self, _out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        Err(Error::NoData("not written yet".into()))
    }
}
