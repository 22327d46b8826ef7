//! The load averages of 1, 5 and 15 minutes: the first three fields of `/proc/loadavg`, see proc(5).

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "loadavg",
    on: true,
    help: "Load averages from /proc/loadavg.",
    flags: &[],
    new: |flags| Ok(Box::new(LoadAvg { file: paths::proc(flags).file("loadavg"), buf: Buf::new() })),
};

struct LoadAvg {
    file: File,
    buf: Buf,
}

impl Collector for LoadAvg {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        let [one, five, fifteen] =
            parse(bytes).ok_or_else(|| self.file.malformed("three load averages at the start of a line"))?;
        out.single("node_load1", Kind::Gauge, "Load average over 1 minute.", one);
        out.single("node_load15", Kind::Gauge, "Load average over 15 minutes.", fifteen);
        out.single("node_load5", Kind::Gauge, "Load average over 5 minutes.", five);
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Option<[f64; 3]> {
    let mut fields = scan::fields(scan::lines(bytes).next()?);
    let mut next = || scan::float(fields.next()?).filter(|average| average.is_sign_positive());
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn three_averages() {
        let tree = Tree::new(&[("proc/loadavg", "0.21 0.37 0.39 1/719 19737\n")]);
        assert_eq!(tree.samples(&ENTRY, &[]), "node_load1 0.21\nnode_load15 0.39\nnode_load5 0.37\n");
    }

    #[test]
    fn a_line_that_is_cut_or_makes_no_sense_fails() {
        for bad in [
            "",
            "\n",
            "0.21 0.3",
            "0.21 0.37 0.39 1/719 19737",
            "0.21 x 0.39 1/719 19737\n",
            "0.21 0.37 -5 1/719 19737\n",
        ] {
            let tree = Tree::new(&[("proc/loadavg", bad)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }
}
