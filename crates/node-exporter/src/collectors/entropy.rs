//! The kernel's entropy pool: `/proc/sys/kernel/random/{entropy_avail,poolsize}`, see random(4).

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "entropy",
    on: true,
    help: "Entropy pool from /proc/sys/kernel/random.",
    flags: &[],
    new: |flags| {
        let proc = paths::proc(flags);
        Ok(Box::new(Entropy {
            available: proc.file("sys/kernel/random/entropy_avail"),
            pool_size: proc.file("sys/kernel/random/poolsize"),
            buf: Buf::new(),
        }))
    },
};

struct Entropy {
    available: File,
    pool_size: File,
    buf: Buf,
}

impl Collector for Entropy {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let available = bits(&mut self.available, &mut self.buf)?;
        out.single("node_entropy_available_bits", Kind::Gauge, "Entropy in the pool, in bits.", available);
        let pool_size = bits(&mut self.pool_size, &mut self.buf)?;
        out.single(
            "node_entropy_pool_size_bits",
            Kind::Gauge,
            "Size of the entropy pool, in bits.",
            pool_size,
        );
        Ok(())
    }
}

fn bits(file: &mut File, buf: &mut Buf) -> Result<u64, Error> {
    let bytes = file.read_attribute(buf).map_err(|error| Error::or_no_data(&error))?;
    scan::value(bytes).ok_or_else(|| file.malformed("a number of bits").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn two_numbers() {
        let tree = Tree::new(&[
            ("proc/sys/kernel/random/entropy_avail", "1337\n"),
            ("proc/sys/kernel/random/poolsize", "4096\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_entropy_available_bits 1337\nnode_entropy_pool_size_bits 4096\n"
        );
        tree.write("proc/sys/kernel/random/poolsize", "-1\n");
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert_eq!(samples, "node_entropy_available_bits 1337\n");
        assert!(matches!(error, Some(Error::Failed(_))));
    }

    #[test]
    fn missing_is_no_data_and_garbage_fails() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        for contents in ["", "\n", "x\n", "1 2\n", "99999999999999999999\n"] {
            let tree = Tree::new(&[("proc/sys/kernel/random/entropy_avail", contents)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{contents:?}");
        }
    }
}
