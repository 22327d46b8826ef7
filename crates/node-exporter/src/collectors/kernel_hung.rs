//! Tasks that the kernel found hung: `/proc/sys/kernel/hung_task_detect_count`, see Documentation/admin-guide/sysctl/kernel.rst (Linux 6.13).

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "kernel_hung",
    on: true,
    help: "Count of hung tasks from /proc/sys/kernel/hung_task_detect_count.",
    flags: &[],
    new: |flags| {
        let file = paths::proc(flags).file("sys/kernel/hung_task_detect_count");
        Ok(Box::new(KernelHung { file, buf: Buf::new() }))
    },
};

struct KernelHung {
    file: File,
    buf: Buf,
}

impl Collector for KernelHung {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        let count = scan::value(bytes).ok_or_else(|| self.file.malformed("a count"))?;
        out.single(
            "node_kernel_hung_tasks_total",
            Kind::Counter,
            "Tasks that were found hung since boot.",
            count,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const FILE: &str = "proc/sys/kernel/hung_task_detect_count";

    #[test]
    fn the_count() {
        assert_eq!(Tree::new(&[(FILE, "7\n")]).samples(&ENTRY, &[]), "node_kernel_hung_tasks_total 7\n");
    }

    #[test]
    fn older_kernels_have_no_count_and_garbage_is_none() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        for bad in ["", "\n", "-1\n", "7 8\n", "18446744073709551616\n"] {
            let (samples, error) = Tree::new(&[(FILE, bad)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }
}
