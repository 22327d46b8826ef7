//! How many entries the ARP table has for each interface: the IPv4 neighbours of this process' own network namespace from netlink,
//! or `/proc/net/arp` with `--no-collector.arp.netlink`, see arp(7).

use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::netlink::{Netlink, Part};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

const INCLUDE: &str = "collector.arp.device-include";
const EXCLUDE: &str = "collector.arp.device-exclude";

pub(crate) const ENTRY: Entry = Entry {
    name: "arp",
    on: true,
    help: "Entries of the ARP table from netlink or /proc/net/arp.",
    flags: &[
        Flag::text(INCLUDE, "", "Pattern of interfaces to show."),
        Flag::text(EXCLUDE, "", "Pattern of interfaces to leave out."),
        Flag::switch("collector.arp.netlink", true, "Ask netlink instead of reading /proc/net/arp."),
    ],
    new: |flags| {
        let netlink = flags.switch("collector.arp.netlink");
        Ok(Box::new(Arp {
            filter: Filter::both(flags, INCLUDE, EXCLUDE)?,
            known: Memo::default(),
            file: (!netlink).then(|| paths::proc(flags).file("net/arp")),
            netlink: Netlink::route(),
            counts: Vec::new(),
            texts: Arena::new(),
            devices: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Arp {
    filter: Filter,
    known: Memo,
    /// `/proc/net/arp`, if it is the source.
    file: Option<File>,
    netlink: Netlink,
    /// Entries by the interface's number.
    counts: Vec<(u32, u64)>,
    texts: Arena,
    /// Entries by the interface's name.
    devices: Vec<(Span, u64)>,
    buf: Buf,
}

impl Arp {
    fn read_netlink(&mut self) -> hostfs::Result<()> {
        let Arp { netlink, counts, texts, devices, .. } = self;
        netlink.neighbours(|part| match part {
            Part::Start => counts.clear(),
            // The file does not have these either.
            Part::Item(neighbour) if neighbour.is_no_arp() => {}
            // Neighbours come in the hash's order, of a few interfaces.
            Part::Item(neighbour) => match counts.iter_mut().find(|(index, _)| *index == neighbour.index) {
                Some((_, count)) => *count += 1,
                None => counts.push((neighbour.index, 1)),
            },
        })?;
        texts.clear();
        devices.clear();
        for &(index, count) in &*counts {
            // An interface that went meanwhile took its entries along.
            netlink.name(index, |name| devices.push((texts.push(name), count)))?;
        }
        Ok(())
    }

    fn read_file(&mut self) -> hostfs::Result<()> {
        let Arp { file: Some(file), texts, devices, buf, .. } = self else { return Ok(()) };
        let mut lines = scan::lines(file.read(buf)?);
        texts.clear();
        devices.clear();
        if lines.next().is_none_or(|line| !line.starts_with(b"IP address")) {
            return Err(file.malformed("a table of neighbours with its heading"));
        }
        for line in lines {
            let Some(device) = device(line) else {
                return Err(
                    file.malformed("a row of address, type, flags, hardware address, mask and device")
                );
            };
            match devices.iter_mut().find(|(name, _)| &texts[*name] == device) {
                Some((_, count)) => *count += 1,
                None => devices.push((texts.push(device), 1)),
            }
        }
        Ok(())
    }
}

/// The last of a row's six columns.
fn device(line: &[u8]) -> Option<&[u8]> {
    let mut fields = scan::fields(line);
    let address = fields.next()?;
    let flags = fields.nth(1)?;
    let device = fields.nth(2)?;
    let is_row = address.contains(&b'.') && flags.starts_with(b"0x") && scan::hex(flags).is_some();
    (is_row && fields.next().is_none()).then_some(device)
}

impl Collector for Arp {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        if self.file.is_some() {
            self.read_file()?;
        } else {
            self.read_netlink()?;
        }
        let Arp { texts, devices, filter, known, .. } = self;
        devices.retain(|&(name, _)| known.check(&texts[name], |name| filter.passes(name)));
        devices.sort_unstable_by(|a, b| texts[a.0].cmp(&texts[b.0]));
        let mut family = out.family("node_arp_entries", Kind::Gauge, "Entries of the ARP table.");
        for &(name, count) in &*devices {
            family.sample(&[("device", LabelValue::from(&texts[name]))], count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    const HEADING: &str = "IP address       HW type     Flags       HW address            Mask     Device\n";
    const FILE: &str = "--no-collector.arp.netlink";

    #[test]
    fn rows_are_counted_by_device() {
        let rows = "192.168.1.1    0x1         0x2         cc:aa:dd:ee:aa:bb     *        eth1\n\
                    192.168.1.2    0x1         0x0         00:00:00:00:00:00     *        eth0\n\
                    10.0.0.1       0x30a       0x2         0a:00:00:01           *        eth1\n\
                    10.0.0.1       0x1         0x2         de:ad:be";
        let tree = Tree::new(&[("proc/net/arp", &format!("{HEADING}{rows}"))]);
        assert_eq!(
            tree.samples(&ENTRY, &[FILE]),
            "node_arp_entries{device=\"eth0\"} 1\nnode_arp_entries{device=\"eth1\"} 2\n"
        );
        let only = tree.samples(&ENTRY, &[FILE, "--collector.arp.device-include=eth0"]);
        assert_eq!(only, "node_arp_entries{device=\"eth0\"} 1\n");
        let both = ["--collector.arp.device-include=eth", "--collector.arp.device-exclude=0", FILE];
        assert_eq!(tree.samples(&ENTRY, &both), "node_arp_entries{device=\"eth1\"} 2\n");
    }

    #[test]
    fn a_damaged_table_fails() {
        for text in [
            "",
            "\n",
            &format!("{HEADING}\0\0\0\n"),
            &format!("{HEADING}10.0.0.1 0x1 0x2 de:ad:be:ef:00:00 *\n"),
            &format!("{HEADING}10.0.0.1 0x1 0x2 de:ad:be:ef:00:00 * a b\n"),
            &format!("{HEADING}10.0.0.1 0x1 x2 de:ad:be:ef:00:00 * a\n"),
        ] {
            let tree = Tree::new(&[("proc/net/arp", text)]);
            let (samples, error) = tree.collect(&ENTRY, &[FILE]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{text:?}: {samples}");
        }
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[FILE]).1, Some(Error::Failed(_))));
    }

    #[test]
    fn netlink_and_the_file_agree_here() {
        let live = |args: &[&str]| {
            let flags: Vec<Flag> = paths::FLAGS.iter().chain(ENTRY.flags).copied().collect();
            (ENTRY.new)(&exporter::Flags::for_test(&flags, args)).unwrap()
        };
        let (mut netlink, mut file) = (live(&[]), live(&[FILE]));
        let agrees = (0..20).any(|_| {
            let (a, b) = (collect(&mut *netlink), collect(&mut *file));
            if crate::testing::is_emulated(&a.1) {
                return true;
            }
            assert_eq!((&a.1, &b.1), (&None, &None));
            if a.0 != b.0 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            a.0 == b.0
        });
        assert!(agrees);
    }
}
