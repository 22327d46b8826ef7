//! Traffic counters of network interfaces: one rtnetlink dump of this process' own network namespace, or `/proc/net/dev` with
//! `--no-collector.netdev.netlink`. See the kernel's if_link.h (`struct rtnl_link_stats64`) and proc_net(5).
//!
//! By default the detailed error counters are folded into the few that `/proc/net/dev` has, with the kernel's own sums
//! (`dev_seq_printf_stats` in net-procfs.c), so that both sources give the same names.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::netlink::{Counter, Netlink, Part};
use hostfs::{Arena, Buf, Dir, File, Span, scan};

use crate::paths;

const INCLUDE: &str = "collector.netdev.device-include";
const EXCLUDE: &str = "collector.netdev.device-exclude";

pub(crate) const ENTRY: Entry = Entry {
    name: "netdev",
    on: true,
    help: "Traffic of network interfaces from netlink or /proc/net/dev.",
    flags: &[
        Flag::text(INCLUDE, "", "Pattern of interfaces to show; not together with device-exclude."),
        Flag::text(EXCLUDE, "", "Pattern of interfaces to leave out; not together with device-include."),
        Flag::renamed("collector.netdev.device-whitelist", INCLUDE),
        Flag::renamed("collector.netdev.device-blacklist", EXCLUDE),
        Flag::switch("collector.netdev.address-info", false, "Export the addresses of the interfaces."),
        Flag::switch(
            "collector.netdev.enable-detailed-metrics",
            false,
            "Export each error counter by itself; the usual sums are then not there.",
        ),
        Flag::switch("collector.netdev.netlink", true, "Ask netlink instead of reading /proc/net/dev."),
        Flag::switch("collector.netdev.label-ifalias", false, "Add the interface's alias as a label."),
    ],
    new: |flags| {
        let sysfs = paths::sys(flags);
        let netlink = flags.switch("collector.netdev.netlink");
        let detailed = flags.switch("collector.netdev.enable-detailed-metrics");
        Ok(Box::new(NetDev {
            filter: Filter::either(flags, INCLUDE, EXCLUDE)?,
            known: Memo::default(),
            file: (!netlink).then(|| paths::proc(flags).file("net/dev")),
            families: match (detailed, netlink) {
                (false, _) => FOLDED,
                (true, true) => DETAILED,
                (true, false) => DETAILED_FILE,
            },
            alias: match flags.switch("collector.netdev.label-ifalias") {
                false => Alias::None,
                true if netlink && sysfs.is_sysfs() => Alias::Netlink,
                true => Alias::Files(sysfs.join("class/net")),
            },
            address_info: flags.switch("collector.netdev.address-info"),
            netlink: Netlink::route(),
            texts: Arena::new(),
            devices: Vec::new(),
            names: Vec::new(),
            addresses: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct NetDev {
    filter: Filter,
    known: Memo,
    /// `/proc/net/dev`, if it is the source.
    file: Option<File>,
    families: &'static [Family],
    alias: Alias,
    address_info: bool,
    netlink: Netlink,
    texts: Arena,
    devices: Vec<Device>,
    /// The name of each interface that passes, by number.
    names: Vec<(u32, Span)>,
    addresses: Vec<Address>,
    buf: Buf,
}

/// Where the `ifalias` label comes from.
enum Alias {
    None,
    Netlink,
    /// The directory with the interfaces.
    Files(PathBuf),
}

const COUNTERS: usize = Counter::RxNohandler as usize + 1;

struct Device {
    name: Span,
    alias: Span,
    counters: [u64; COUNTERS],
    /// Whether the source has the last counter.
    nohandler: bool,
}

struct Address {
    text: Span,
    device: Span,
    prefix: Span,
    scope: &'static str,
}

/// Name, HELP, and the counters whose sum is the value.
type Family = (&'static str, &'static str, &'static [Counter]);

/// The names that `/proc/net/dev` and its sums lead to.
const FOLDED: &[Family] = {
    use Counter::*;
    &[
        ("node_network_receive_bytes_total", "Bytes received.", &[RxBytes]),
        ("node_network_receive_compressed_total", "Compressed packets received.", &[RxCompressed]),
        (
            "node_network_receive_drop_total",
            "Packets received and dropped, by the kernel or for want of buffers.",
            &[RxDropped, RxMissedErrors],
        ),
        ("node_network_receive_errs_total", "Packets received with an error.", &[RxErrors]),
        ("node_network_receive_fifo_total", "Packets lost to a full receive FIFO.", &[RxFifoErrors]),
        (
            "node_network_receive_frame_total",
            "Packets received with a wrong length, checksum or frame.",
            &[RxFrameErrors, RxLengthErrors, RxOverErrors, RxCrcErrors],
        ),
        ("node_network_receive_multicast_total", "Multicast packets received.", &[Multicast]),
        ("node_network_receive_nohandler_total", "Packets received that no protocol took.", &[RxNohandler]),
        ("node_network_receive_packets_total", "Packets received.", &[RxPackets]),
        ("node_network_transmit_bytes_total", "Bytes sent.", &[TxBytes]),
        (
            "node_network_transmit_carrier_total",
            "Packets not sent because of the carrier or another fault of the link.",
            &[TxCarrierErrors, TxAbortedErrors, TxHeartbeatErrors, TxWindowErrors],
        ),
        ("node_network_transmit_colls_total", "Collisions while sending.", &[Collisions]),
        ("node_network_transmit_compressed_total", "Compressed packets sent.", &[TxCompressed]),
        ("node_network_transmit_drop_total", "Packets dropped on their way out.", &[TxDropped]),
        ("node_network_transmit_errs_total", "Packets not sent because of an error.", &[TxErrors]),
        ("node_network_transmit_fifo_total", "Packets lost to the send FIFO.", &[TxFifoErrors]),
        ("node_network_transmit_packets_total", "Packets sent.", &[TxPackets]),
    ]
};

/// Every counter by itself; also what netclass tells with its own statistics.
pub(super) const DETAILED: &[Family] = {
    use Counter::*;
    &[
        ("node_network_collisions_total", "Collisions while sending.", &[Collisions]),
        ("node_network_multicast_total", "Multicast packets received.", &[Multicast]),
        ("node_network_receive_bytes_total", "Bytes received.", &[RxBytes]),
        ("node_network_receive_compressed_total", "Compressed packets received.", &[RxCompressed]),
        ("node_network_receive_crc_errors_total", "Packets received with a wrong checksum.", &[RxCrcErrors]),
        ("node_network_receive_dropped_total", "Packets received and dropped by the kernel.", &[RxDropped]),
        ("node_network_receive_errors_total", "Packets received with an error.", &[RxErrors]),
        ("node_network_receive_fifo_errors_total", "Packets lost to a full receive FIFO.", &[RxFifoErrors]),
        ("node_network_receive_frame_errors_total", "Packets received misaligned.", &[RxFrameErrors]),
        (
            "node_network_receive_length_errors_total",
            "Packets received with a wrong length.",
            &[RxLengthErrors],
        ),
        ("node_network_receive_missed_errors_total", "Packets lost for want of buffers.", &[RxMissedErrors]),
        ("node_network_receive_nohandler_total", "Packets received that no protocol took.", &[RxNohandler]),
        ("node_network_receive_over_errors_total", "Packets that overran the receiver.", &[RxOverErrors]),
        ("node_network_receive_packets_total", "Packets received.", &[RxPackets]),
        (
            "node_network_transmit_aborted_errors_total",
            "Packets whose sending was aborted.",
            &[TxAbortedErrors],
        ),
        ("node_network_transmit_bytes_total", "Bytes sent.", &[TxBytes]),
        (
            "node_network_transmit_carrier_errors_total",
            "Packets not sent for want of a carrier.",
            &[TxCarrierErrors],
        ),
        ("node_network_transmit_compressed_total", "Compressed packets sent.", &[TxCompressed]),
        ("node_network_transmit_dropped_total", "Packets dropped on their way out.", &[TxDropped]),
        ("node_network_transmit_errors_total", "Packets not sent because of an error.", &[TxErrors]),
        ("node_network_transmit_fifo_errors_total", "Packets lost to the send FIFO.", &[TxFifoErrors]),
        ("node_network_transmit_heartbeat_errors_total", "Packets without heartbeat.", &[TxHeartbeatErrors]),
        ("node_network_transmit_packets_total", "Packets sent.", &[TxPackets]),
        ("node_network_transmit_window_errors_total", "Packets that collided late.", &[TxWindowErrors]),
    ]
};

/// What the detailed names leave of `/proc/net/dev`, whose sums cannot be taken apart.
const DETAILED_FILE: &[Family] = {
    use Counter::*;
    &[
        ("node_network_receive_bytes_total", "Bytes received.", &[RxBytes]),
        ("node_network_receive_compressed_total", "Compressed packets received.", &[RxCompressed]),
        ("node_network_receive_dropped_total", "Packets received and dropped.", &[RxDropped]),
        ("node_network_receive_errors_total", "Packets received with an error.", &[RxErrors]),
        ("node_network_receive_fifo_total", "Packets lost to a full receive FIFO.", &[RxFifoErrors]),
        (
            "node_network_receive_frame_total",
            "Packets received with a wrong length, checksum or frame.",
            &[RxFrameErrors],
        ),
        ("node_network_receive_multicast_total", "Multicast packets received.", &[Multicast]),
        ("node_network_receive_packets_total", "Packets received.", &[RxPackets]),
        ("node_network_transmit_bytes_total", "Bytes sent.", &[TxBytes]),
        (
            "node_network_transmit_carrier_total",
            "Packets not sent because of the carrier or another fault of the link.",
            &[TxCarrierErrors],
        ),
        ("node_network_transmit_colls_total", "Collisions while sending.", &[Collisions]),
        ("node_network_transmit_compressed_total", "Compressed packets sent.", &[TxCompressed]),
        ("node_network_transmit_dropped_total", "Packets dropped on their way out.", &[TxDropped]),
        ("node_network_transmit_errors_total", "Packets not sent because of an error.", &[TxErrors]),
        ("node_network_transmit_fifo_total", "Packets lost to the send FIFO.", &[TxFifoErrors]),
        ("node_network_transmit_packets_total", "Packets sent.", &[TxPackets]),
    ]
};

/// The columns of `/proc/net/dev` after the name.
const COLUMNS: [Counter; 16] = {
    use Counter::*;
    [
        RxBytes,
        RxPackets,
        RxErrors,
        RxDropped,
        RxFifoErrors,
        RxFrameErrors,
        RxCompressed,
        Multicast,
        TxBytes,
        TxPackets,
        TxErrors,
        TxDropped,
        TxFifoErrors,
        Collisions,
        TxCarrierErrors,
        TxCompressed,
    ]
};

impl NetDev {
    fn read_netlink(&mut self) -> hostfs::Result<()> {
        let with_alias = matches!(self.alias, Alias::Netlink);
        let NetDev { netlink, filter, known, devices, texts, names, .. } = self;
        netlink.links(true, |part| {
            let link = match part {
                Part::Start => {
                    devices.clear();
                    names.clear();
                    texts.clear();
                    return;
                }
                Part::Item(link) => link,
            };
            if !known.check(link.name, |name| filter.passes(name)) {
                return;
            }
            let name = texts.push(link.name);
            names.push((link.index, name));
            let Some(stats) = link.stats else { return };
            let mut device =
                Device { name, alias: Span::default(), counters: [0; COUNTERS], nohandler: false };
            if with_alias {
                device.alias = texts.push(link.alias.trim_ascii());
            }
            for (_, _, counters) in DETAILED {
                let Some(value) = stats.get(counters[0]) else { continue };
                device.counters[counters[0] as usize] = value;
                device.nohandler |= counters[0] == Counter::RxNohandler;
            }
            devices.push(device);
        })
    }

    fn read_file(&mut self) -> hostfs::Result<()> {
        let NetDev { file: Some(file), filter, known, devices, texts, buf, .. } = self else { return Ok(()) };
        devices.clear();
        texts.clear();
        let mut lines = scan::lines(file.read(buf)?);
        if lines.by_ref().take(2).count() < 2 {
            return Err(file.malformed("a table with two lines of heading"));
        }
        for line in lines {
            let Some(device) = Device::parse(line, texts) else {
                return Err(file.malformed("a row of an interface, a colon and 16 counters"));
            };
            if known.check(&texts[device.name], |name| filter.passes(name)) {
                devices.push(device);
            }
        }
        Ok(())
    }

    fn read_aliases(&mut self) -> hostfs::Result<()> {
        let Alias::Files(class) = &self.alias else { return Ok(()) };
        let class = Dir::open(class)?;
        for device in &mut self.devices {
            let Some(dir) = class.dir(std::ffi::OsStr::from_bytes(&self.texts[device.name]))? else {
                continue;
            };
            if let Some(alias) = dir.attribute("ifalias", &mut self.buf)? {
                device.alias = self.texts.push(alias.trim_ascii());
            }
        }
        Ok(())
    }

    fn read_addresses(&mut self) -> hostfs::Result<()> {
        let NetDev { netlink, filter, known, texts, names, addresses, file, .. } = self;
        if file.is_some() {
            // The other source does not know the interfaces' numbers.
            netlink.links(false, |part| match part {
                Part::Start => names.clear(),
                Part::Item(link) => {
                    if known.check(link.name, |name| filter.passes(name)) {
                        names.push((link.index, texts.push(link.name)));
                    }
                }
            })?;
        }
        names.sort_unstable_by_key(|&(index, _)| index);
        netlink.addresses(|part| {
            let address = match part {
                Part::Start => return addresses.clear(),
                Part::Item(address) => address,
            };
            let Ok(at) = names.binary_search_by_key(&address.index, |&(index, _)| index) else { return };
            let Some(ip) = ip(address.bytes) else { return };
            addresses.push(Address {
                text: push_display(texts, ip),
                device: names[at].1,
                prefix: push_display(texts, address.prefix),
                scope: scope(ip),
            });
        })?;
        let key = |a: &Address| (&texts[a.text], &texts[a.device], &texts[a.prefix]);
        addresses.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        // Two point-to-point links may share the local end.
        addresses.dedup_by(|a, b| key(a) == key(b));
        Ok(())
    }
}

impl Device {
    fn parse(line: &[u8], texts: &mut Arena) -> Option<Self> {
        let colon = line.iter().rposition(|&b| b == b':')?;
        let name = line[..colon].trim_ascii();
        if name.is_empty() {
            return None;
        }
        let mut fields = scan::fields(&line[colon + 1..]);
        let mut counters = [0; COUNTERS];
        for column in COLUMNS {
            counters[column as usize] = fields.next_u64()?;
        }
        Some(Device { name: texts.push(name), alias: Span::default(), counters, nohandler: false })
    }

    /// The kernel's sum of some counters; `None` if the source lacks one.
    fn sum(&self, counters: &[Counter]) -> Option<u64> {
        if counters[0] == Counter::RxNohandler && !self.nohandler {
            return None;
        }
        Some(counters.iter().fold(0u64, |sum, &counter| sum.wrapping_add(self.counters[counter as usize])))
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical())
}

fn push_display(texts: &mut Arena, value: impl std::fmt::Display) -> Span {
    // The longest is an IPv6 address, of 39 characters.
    let mut space = [0; 48];
    let mut rest = &mut space[..];
    let _ = write!(rest, "{value}");
    let length = 48 - rest.len();
    texts.push(&space[..length])
}

/// The original's words; a loopback address counts as link-local.
fn scope(ip: IpAddr) -> &'static str {
    let (link_local, interface_local) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local() || ip.octets()[..3] == [224, 0, 0], false),
        IpAddr::V6(ip) => {
            let scope = ip.segments()[0] & 0x000f;
            let multicast = ip.is_multicast();
            (ip.is_unicast_link_local() || multicast && scope == 2, multicast && scope == 1)
        }
    };
    if ip.is_loopback() || link_local {
        "link-local"
    } else if interface_local {
        "interface-local"
    } else if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        ""
    } else {
        "global"
    }
}

impl Collector for NetDev {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        if self.file.is_some() {
            self.read_file()?;
        } else {
            self.read_netlink()?;
        }
        self.read_aliases()?;
        let texts = &self.texts;
        self.devices.sort_unstable_by(|a, b| texts[a.name].cmp(&texts[b.name]));
        self.devices.dedup_by(|a, b| texts[a.name] == texts[b.name]);
        if self.address_info {
            self.read_addresses()?;
            let text = |span: Span| LabelValue::from(&self.texts[span]);
            let mut family = out.family(
                "node_network_address_info",
                Kind::Gauge,
                "Addresses of the interfaces, with the prefix length in bits; always 1.",
            );
            for address in &self.addresses {
                let labels = [
                    ("address", text(address.text)),
                    ("device", text(address.device)),
                    ("netmask", text(address.prefix)),
                    ("scope", LabelValue::from(address.scope)),
                ];
                family.sample(&labels, 1u64);
            }
        }
        let labels = if matches!(self.alias, Alias::None) { 1 } else { 2 };
        for (name, help, counters) in self.families {
            let mut family = out.family(name, Kind::Counter, help);
            for device in &self.devices {
                let Some(value) = device.sum(counters) else { continue };
                let text = |span: Span| LabelValue::from(&self.texts[span]);
                let both = [("device", text(device.name)), ("ifalias", text(device.alias))];
                family.sample(&both[..labels], value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEADING: &str = "Inter-|   Receive                            |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    fn tree(rows: &str) -> Tree {
        Tree::new(&[("proc/net/dev", &format!("{HEADING}{rows}"))])
    }

    const FILE: &str = "--no-collector.netdev.netlink";

    #[test]
    fn the_file_s_columns() {
        let tree = tree(
            "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n    lo:18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17\n",
        );
        let samples = tree.samples(&ENTRY, &[FILE, "--collector.netdev.device-include=^eth"]);
        assert_eq!(
            samples,
            "node_network_receive_bytes_total{device=\"eth0\"} 1\n\
             node_network_receive_compressed_total{device=\"eth0\"} 7\n\
             node_network_receive_drop_total{device=\"eth0\"} 4\n\
             node_network_receive_errs_total{device=\"eth0\"} 3\n\
             node_network_receive_fifo_total{device=\"eth0\"} 5\n\
             node_network_receive_frame_total{device=\"eth0\"} 6\n\
             node_network_receive_multicast_total{device=\"eth0\"} 8\n\
             node_network_receive_packets_total{device=\"eth0\"} 2\n\
             node_network_transmit_bytes_total{device=\"eth0\"} 9\n\
             node_network_transmit_carrier_total{device=\"eth0\"} 15\n\
             node_network_transmit_colls_total{device=\"eth0\"} 14\n\
             node_network_transmit_compressed_total{device=\"eth0\"} 16\n\
             node_network_transmit_drop_total{device=\"eth0\"} 12\n\
             node_network_transmit_errs_total{device=\"eth0\"} 11\n\
             node_network_transmit_fifo_total{device=\"eth0\"} 13\n\
             node_network_transmit_packets_total{device=\"eth0\"} 10\n"
        );
        let samples = tree.samples(&ENTRY, &[FILE, "--collector.netdev.enable-detailed-metrics"]);
        assert!(samples.starts_with(
            "node_network_receive_bytes_total{device=\"eth0\"} 1\nnode_network_receive_bytes_total{device=\"lo\"} 1.8446744073709552e+19\n"
        ));
        assert!(samples.contains("node_network_receive_dropped_total{device=\"eth0\"} 4\n"));
        assert!(samples.contains("node_network_receive_fifo_total{device=\"eth0\"} 5\n"));
        assert!(!samples.contains("missed") && !samples.contains("_drop_"));
    }

    #[test]
    fn a_damaged_file_fails() {
        for rows in [
            "eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
            "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n",
            "eth0: 1 2 -3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
            "eth0: 99999999999999999999 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
            " : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
            "\0\0\n",
        ] {
            let (samples, error) = tree(rows).collect(&ENTRY, &[FILE]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{rows:?}: {samples}");
        }
        let empty = Tree::new(&[("proc/net/dev", "")]);
        assert!(matches!(empty.collect(&ENTRY, &[FILE]).1, Some(Error::Failed(_))));
        assert_eq!(tree("eth0: 1 2").samples(&ENTRY, &[FILE]), "", "a row that is cut");
    }

    #[test]
    fn aliases_from_files() {
        let tree = tree(
            "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nlo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
        );
        tree.write("sys/class/net/eth0/ifalias", "to \"the\" world\n");
        let samples = tree.samples(&ENTRY, &[FILE, "--collector.netdev.label-ifalias"]);
        assert!(samples.starts_with(
            "node_network_receive_bytes_total{device=\"eth0\",ifalias=\"to \\\"the\\\" world\"} 1\n\
             node_network_receive_bytes_total{device=\"lo\",ifalias=\"\"} 1\n"
        ));
    }

    #[test]
    fn errors_are_folded_as_the_kernel_does() {
        let mut device = Device {
            name: Span::default(),
            alias: Span::default(),
            counters: [0; COUNTERS],
            nohandler: true,
        };
        for (i, counter) in device.counters.iter_mut().enumerate() {
            *counter = 1 << i;
        }
        let value = |families: &[Family], name: &str| {
            let family = families.iter().find(|family| family.0 == name).unwrap();
            device.sum(family.2).unwrap()
        };
        assert_eq!(value(FOLDED, "node_network_receive_drop_total"), 1 << 6 | 1 << 15);
        assert_eq!(value(FOLDED, "node_network_receive_frame_total"), 1 << 13 | 1 << 10 | 1 << 11 | 1 << 12);
        assert_eq!(
            value(FOLDED, "node_network_transmit_carrier_total"),
            1 << 17 | 1 << 16 | 1 << 19 | 1 << 20
        );
        assert_eq!(value(DETAILED, "node_network_receive_nohandler_total"), 1 << 23);
        for families in [FOLDED, DETAILED, DETAILED_FILE] {
            assert!(families.is_sorted_by(|a, b| a.0 < b.0));
        }
        device.nohandler = false;
        assert_eq!(device.sum(&[Counter::RxNohandler]), None);
    }

    #[test]
    fn addresses_have_go_s_scopes_and_texts() {
        let words = |text: &str| scope(text.parse().unwrap());
        assert_eq!(
            (words("127.0.0.1"), words("::1"), words("169.254.1.1")),
            ("link-local", "link-local", "link-local")
        );
        assert_eq!(
            (words("fe80::1"), words("ff02::1"), words("224.0.0.1")),
            ("link-local", "link-local", "link-local")
        );
        assert_eq!(
            (words("ff01::1"), words("10.0.0.1"), words("fd00::2")),
            ("interface-local", "global", "global")
        );
        assert_eq!((words("0.0.0.0"), words("239.0.0.1"), words("255.255.255.255")), ("", "", ""));
        let mut texts = Arena::new();
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[255, 255, 10, 0, 0, 1]);
        let span = push_display(&mut texts, ip(&mapped).unwrap());
        assert_eq!(&texts[span], b"10.0.0.1");
        let span = push_display(&mut texts, ip(&[0xff; 16]).unwrap());
        assert_eq!(&texts[span], b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(ip(&[1, 2, 3]), None);
    }

    #[test]
    fn the_loopback_of_this_namespace() {
        let tree = Tree::new(&[]);
        let mut collector = tree.collector(
            &ENTRY,
            &["--collector.netdev.device-whitelist=^lo$", "--collector.netdev.address-info"],
        );
        for _ in 0..2 {
            let (samples, error) = crate::testing::collect(&mut *collector);
            assert_eq!(error, None);
            assert!(samples.contains("\nnode_network_receive_bytes_total{device=\"lo\"} "), "{samples}");
            assert!(samples.lines().all(|line| line.contains("device=\"lo\"")), "{samples}");
        }
    }
}
