//! The kernel's names for itself and this machine, from uname(2): those of the exporter's own UTS namespace.

use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::sys::clock;

pub(crate) const ENTRY: Entry = Entry {
    name: "uname",
    on: true,
    help: "Kernel release, machine and host name from uname(2).",
    flags: &[],
    new: |_| Ok(Box::new(Uname)),
};

struct Uname;

impl Collector for Uname {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let uname = clock::uname();
        out.family("node_uname_info", Kind::Gauge, "The kernel's and the machine's names; always 1.").sample(
            &[
                ("domainname", LabelValue::from(uname.domainname().to_bytes())),
                ("machine", uname.machine().to_bytes().into()),
                ("nodename", uname.nodename().to_bytes().into()),
                ("release", uname.release().to_bytes().into()),
                ("sysname", uname.sysname().to_bytes().into()),
                ("version", uname.version().to_bytes().into()),
            ],
            1u64,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn the_names_are_the_kernels() {
        let proc = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
            text.trim_end().to_owned()
        };
        let samples = Tree::new(&[]).samples(&ENTRY, &[]);
        let (domain, rest) = samples.split_once(",machine=\"").unwrap();
        assert_eq!(domain, format!("node_uname_info{{domainname=\"{}\"", proc("domainname")));
        let (machine, rest) = rest.split_once("\",").unwrap();
        assert!(!machine.is_empty() && !machine.contains('\0'), "{machine:?}");
        let (host, release, version) = (proc("hostname"), proc("osrelease"), proc("version"));
        assert_eq!(
            rest,
            format!(
                "nodename=\"{host}\",release=\"{release}\",sysname=\"Linux\",version=\"{version}\"}} 1\n"
            )
        );
    }
}
