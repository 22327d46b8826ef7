//! Open files of the whole machine: `/proc/sys/fs/file-nr`, see the kernel's Documentation/admin-guide/sysctl/fs.rst.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "filefd",
    on: true,
    help: "Open files of the machine from /proc/sys/fs/file-nr.",
    flags: &[],
    new: |flags| Ok(Box::new(FileFd { file: paths::proc(flags).file("sys/fs/file-nr"), buf: Buf::new() })),
};

struct FileFd {
    file: File,
    buf: Buf,
}

impl Collector for FileFd {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read_attribute(&mut self.buf)?;
        let (allocated, maximum) =
            parse(bytes).ok_or_else(|| self.file.malformed("a line of three numbers"))?;
        out.single("node_filefd_allocated", Kind::Gauge, "Files that are open on this machine.", allocated);
        out.single(
            "node_filefd_maximum",
            Kind::Gauge,
            "Most files that can be open on this machine.",
            maximum,
        );
        Ok(())
    }
}

/// The second number, of unused handles, has been 0 since Linux 2.6.
fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut fields = scan::fields(scan::lines(bytes).next()?);
    let (allocated, _, maximum) = (fields.next_u64()?, fields.next()?, fields.next_u64()?);
    Some((allocated, maximum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn allocated_and_maximum() {
        let tree = Tree::new(&[("proc/sys/fs/file-nr", "1024\t0\t9223372036854775807\n")]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_filefd_allocated 1024\nnode_filefd_maximum 9.223372036854776e+18\n"
        );
    }

    #[test]
    fn what_is_no_such_line_fails() {
        for contents in
            ["", "\n", "1\t0\t163", "1\t0\n", "-1\t0\t5\n", "1\t0\t99999999999999999999\n", "a b c\n"]
        {
            let tree = Tree::new(&[("proc/sys/fs/file-nr", contents)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{contents:?}");
        }
    }
}
