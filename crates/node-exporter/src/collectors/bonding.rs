//! Bonded interfaces: how many slaves each has and how many of them are up, from `/sys/class/net/bonding_masters` and
//! `<master>/lower_<slave>/bonding_slave/mii_status`, see the kernel's Documentation/networking/bonding.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, File, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "bonding",
    on: true,
    help: "Bonded network interfaces from /sys/class/net.",
    flags: &[],
    new: |flags| {
        let sysfs = paths::sys(flags);
        Ok(Box::new(Bonding {
            class: sysfs.join("class/net"),
            masters: sysfs.file("class/net/bonding_masters"),
            texts: Arena::new(),
            bonds: Vec::new(),
            slaves: Buf::new(),
            link: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Bonding {
    class: PathBuf,
    masters: File,
    texts: Arena,
    bonds: Vec<Bond>,
    slaves: Buf,
    /// A slave's name behind the prefix of its link.
    link: Vec<u8>,
    buf: Buf,
}

struct Bond {
    master: Span,
    slaves: u64,
    active: u64,
}

impl Bonding {
    fn read(&mut self) -> hostfs::Result<()> {
        let Bonding { class, masters, texts, bonds, slaves, link, buf } = self;
        texts.clear();
        bonds.clear();
        // Several lines of names, or one without its end on some kernels.
        for master in scan::fields(masters.read(buf)?) {
            bonds.push(Bond { master: texts.push(master), slaves: 0, active: 0 });
        }
        let mut failed = None;
        if bonds.is_empty() {
            return Ok(());
        }
        let class = Dir::open(class)?;
        bonds.retain_mut(|bond| {
            read_bond(bond, &class, texts, slaves, link, buf).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Counts the slaves; `false` if the bond went meanwhile.
fn read_bond(
    bond: &mut Bond,
    class: &Dir,
    texts: &Arena,
    slaves: &mut Buf,
    link: &mut Vec<u8>,
    buf: &mut Buf,
) -> hostfs::Result<bool> {
    let Some(master) = class.dir(OsStr::from_bytes(&texts[bond.master]))? else { return Ok(false) };
    let Some(bonding) = master.dir("bonding")? else { return Ok(false) };
    let Some(slaves) = bonding.attribute("slaves", slaves)? else { return Ok(false) };
    for slave in scan::fields(slaves) {
        for prefix in [&b"lower_"[..], b"slave_"] {
            link.clear();
            link.extend_from_slice(prefix);
            link.extend_from_slice(slave);
            link.extend_from_slice(b"/bonding_slave");
            let Some(dir) = master.dir(OsStr::from_bytes(link))? else { continue };
            let Some(state) = dir.attribute("mii_status", buf)? else { continue };
            bond.slaves += 1;
            bond.active += u64::from(state.trim_ascii() == b"up");
            break;
        }
    }
    Ok(true)
}

impl Collector for Bonding {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        let texts = &self.texts;
        self.bonds.sort_unstable_by(|a, b| texts[a.master].cmp(&texts[b.master]));
        self.bonds.dedup_by(|a, b| texts[a.master] == texts[b.master]);
        let mut active =
            out.family("node_bonding_active", Kind::Gauge, "Slaves of the bond whose link is up.");
        for bond in &self.bonds {
            active.sample(&[("master", LabelValue::from(&texts[bond.master]))], bond.active);
        }
        drop(active);
        let mut slaves = out.family("node_bonding_slaves", Kind::Gauge, "Slaves of the bond.");
        for bond in &self.bonds {
            slaves.sample(&[("master", LabelValue::from(&texts[bond.master]))], bond.slaves);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn slaves_of_new_and_old_kernels() {
        let tree = Tree::new(&[
            ("sys/class/net/bonding_masters", "int dmz gone bond0\n"),
            ("sys/class/net/bond0/bonding/slaves", "\n"),
            ("sys/class/net/int/bonding/slaves", "eth5 eth1 eth9\n"),
            ("sys/class/net/int/lower_eth5/bonding_slave/mii_status", "up\n"),
            ("sys/class/net/int/slave_eth1/bonding_slave/mii_status", "down\n"),
            ("sys/class/net/dmz/bonding/slaves", "eth0\n"),
            ("sys/class/net/dmz/lower_eth0/bonding_slave/mii_status", "up\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_bonding_active{master=\"bond0\"} 0\n\
             node_bonding_active{master=\"dmz\"} 1\n\
             node_bonding_active{master=\"int\"} 1\n\
             node_bonding_slaves{master=\"bond0\"} 0\n\
             node_bonding_slaves{master=\"dmz\"} 1\n\
             node_bonding_slaves{master=\"int\"} 2\n"
        );
    }

    #[test]
    fn no_bonds() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        assert_eq!(Tree::new(&[("sys/class/net/bonding_masters", "\n")]).samples(&ENTRY, &[]), "");
    }
}
