//! Properties of network interfaces: the attributes of `/sys/class/net/*`, see the kernel's Documentation/ABI/testing/sysfs-class-net.
//!
//! Reading some twenty files for each interface is most of what the original spends here. All but five are in one rtnetlink dump, in
//! other forms ([`Interface::from_link`] has the differences). It stands in for the files when it speaks of the same interfaces: the sysfs
//! is a mounted one, its names are those of the dump, and each interface's number and address agree. Else the files are read: a
//! copied tree, another network namespace, or an interface that came or went in between. What is written is the same either way.
//!
//! `--collector.netclass.netlink` is another thing, kept for those who use it: it always asks netlink, and ethtool's netlink for speed
//! and duplex mode; the families differ a little.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::{Memo, Pattern};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::netlink::{Link, LinkMode, Netlink, Part, Stats};
use hostfs::{Arena, Buf, Dir, File, Names, Span, scan};

use super::netdev;
use crate::paths;

const IGNORED: &str = "collector.netclass.ignored-devices";

pub(crate) const ENTRY: Entry = Entry {
    name: "netclass",
    on: true,
    help: "Properties of network interfaces from /sys/class/net.",
    flags: &[
        Flag::text(IGNORED, "^$", "Pattern of interfaces to leave out."),
        Flag::switch(
            "collector.netclass.ignore-invalid-speed",
            false,
            "Leave out a speed that is not known, instead of -125000.",
        ),
        Flag::switch("collector.netclass.netlink", false, "Ask netlink alone, in the families of that mode."),
        Flag::switch(
            "collector.netclass_rtnl.with-stats",
            false,
            "With netclass.netlink, the traffic counters too, in place of netdev.",
        ),
    ],
    new: |flags| {
        let sysfs = paths::sys(flags);
        let netlink_only = flags.switch("collector.netclass.netlink");
        Ok(Box::new(NetClass {
            ignored: flags.pattern(IGNORED)?,
            ignore_invalid_speed: flags.switch("collector.netclass.ignore-invalid-speed"),
            netlink_only,
            with_stats: netlink_only && flags.switch("collector.netclass_rtnl.with-stats"),
            ..NetClass::new(sysfs.join("class/net"), sysfs.is_sysfs())
        }))
    },
};

struct NetClass {
    /// Whether the class is in a mounted sysfs.
    real: bool,
    class: PathBuf,
    ignored: Option<Pattern>,
    known: Memo,
    ignore_invalid_speed: bool,
    netlink_only: bool,
    with_stats: bool,
    route: Netlink,
    generic: Netlink,
    /// ethtool's number among the generic families; `Some(None)` if the kernel has none.
    ethtool: Option<Option<u16>>,
    open_class: Option<Dir>,
    /// The interfaces' names in sysfs.
    names: Names,
    /// The interfaces' names in the dump.
    dumped: Names,
    texts: Arena,
    interfaces: Vec<Interface>,
    /// An alternative name, and the device's.
    alternative: Vec<(Span, Span)>,
    kept: Vec<Kept>,
    modes: Vec<LinkMode>,
    apart: Apart,
    buf: Buf,
}

/// How many interfaces' attributes stay open.
const OPEN: usize = 64;

/// What the dump does not know of an interface, and how it was recognised.
struct Kept {
    index: u32,
    name: Vec<u8>,
    address: Vec<u8>,
    /// Open attributes, in the order of [`ATTRIBUTES`]; none for those that are opened each time.
    files: Option<[File; ATTRIBUTES.len()]>,
    /// Whether the current dump has it.
    seen: bool,
}

const ATTRIBUTES: [&str; 6] = ["addr_assign_type", "dev_id", "name_assign_type", "flags", "speed", "duplex"];

/// Counts scrapes for which sysfs and the dump were not of the same interfaces, to try less often where they never are.
#[derive(Default)]
struct Apart {
    wait: u32,
    next: u32,
}

impl Apart {
    const LONGEST: u32 = 60;

    fn is_over(&mut self) -> bool {
        self.wait = self.wait.saturating_sub(1);
        self.wait == 0
    }

    fn happened(&mut self) {
        self.wait = self.next;
        self.next = (self.next * 2 + 1).min(Self::LONGEST);
    }
}

/// Places in [`Interface::numbers`] and [`NUMBERS`].
#[derive(Clone, Copy)]
enum Number {
    AddressAssignType,
    Carrier,
    CarrierChanges,
    CarrierDown,
    CarrierUp,
    DeviceId,
    Dormant,
    Flags,
    Index,
    Link,
    LinkMode,
    Mtu,
    NameAssignType,
    Group,
    Hardware,
    Speed,
    QueueLength,
}

/// Attributes that are numbers: file, family, type, HELP.
const NUMBERS: [(&str, &str, Kind, &str); Number::QueueLength as usize + 1] = {
    use Kind::{Counter, Gauge};
    [
        (
            "addr_assign_type",
            "node_network_address_assign_type",
            Gauge,
            "Where the address is from: 0 permanent, 1 random, 2 another interface, 3 set.",
        ),
        ("carrier", "node_network_carrier", Gauge, "Whether there is a carrier."),
        (
            "carrier_changes",
            "node_network_carrier_changes_total",
            Counter,
            "How often the carrier came or went.",
        ),
        (
            "carrier_down_count",
            "node_network_carrier_down_changes_total",
            Counter,
            "How often the carrier went.",
        ),
        ("carrier_up_count", "node_network_carrier_up_changes_total", Counter, "How often the carrier came."),
        ("dev_id", "node_network_device_id", Gauge, "Tells devices that share an address apart."),
        ("dormant", "node_network_dormant", Gauge, "Whether the link waits for something, such as a login."),
        ("flags", "node_network_flags", Gauge, "The interface's IFF_ flags."),
        ("ifindex", "node_network_iface_id", Gauge, "The interface's number."),
        ("iflink", "node_network_iface_link", Gauge, "The number of the interface underneath, or its own."),
        ("link_mode", "node_network_iface_link_mode", Gauge, "The link's mode: 0 default, 1 dormant."),
        ("mtu", "node_network_mtu_bytes", Gauge, "The largest packet, in bytes."),
        (
            "name_assign_type",
            "node_network_name_assign_type",
            Gauge,
            "Where the name is from: 1 counted, 2 predictable, 3 user, 4 renamed.",
        ),
        ("netdev_group", "node_network_net_dev_group", Gauge, "The interface's group."),
        ("type", "node_network_protocol_type", Gauge, "The hardware type, an ARPHRD_ number."),
        ("speed", "node_network_speed_bytes", Gauge, "The link's speed, in bytes per second."),
        ("tx_queue_len", "node_network_transmit_queue_length", Gauge, "The send queue's length, in packets."),
    ]
};

/// The families before `node_network_info`, in order of name.
const BEFORE_INFO: usize = Number::Mtu as usize;

struct Interface {
    name: Span,
    address: Span,
    broadcast: Span,
    alias: Span,
    duplex: Span,
    operstate: Span,
    numbers: [Option<i64>; NUMBERS.len()],
    index: u32,
    stats: Option<Stats>,
}

/// The states of RFC 2863 as sysfs spells them, by the kernel's IF_OPER_ numbers.
const OPERATIONAL_STATES: [&str; 7] =
    ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 1 << 6;
const IFF_PROMISC: u32 = 1 << 8;
const IFF_ALLMULTI: u32 = 1 << 9;
const IFF_LOWER_UP: u32 = 1 << 16;
const IFF_DORMANT: u32 = 1 << 17;

impl Interface {
    fn named(name: Span) -> Self {
        Interface {
            name,
            address: Span::default(),
            broadcast: Span::default(),
            alias: Span::default(),
            duplex: Span::default(),
            operstate: Span::default(),
            numbers: [None; NUMBERS.len()],
            index: 0,
            stats: None,
        }
    }

    /// What both modes take from a link as it is.
    fn common(link: &Link<'_>, texts: &mut Arena) -> Self {
        let mut interface = Interface::named(texts.push(link.name));
        interface.index = link.index;
        interface.address = push_address(texts, link.address);
        interface.broadcast = push_address(texts, link.broadcast);
        interface.alias = texts.push(link.alias.trim_ascii());
        let state = link.operational_state.and_then(|state| OPERATIONAL_STATES.get(usize::from(state)));
        interface.operstate = texts.push(state.unwrap_or(&"").as_bytes());
        for (number, value) in [
            (Number::CarrierChanges, link.carrier_changes),
            (Number::CarrierDown, link.carrier_down),
            (Number::CarrierUp, link.carrier_up),
            (Number::Index, Some(link.index)),
            (Number::Link, link.link.or(Some(link.index))),
            (Number::LinkMode, link.link_mode.map(u32::from)),
            (Number::Mtu, link.mtu),
            (Number::Hardware, Some(link.hardware.into())),
            (Number::QueueLength, link.queue_length),
        ] {
            interface.set(number, value.map(i64::from));
        }
        // The kernel prints this one as a signed number.
        interface.set(Number::Group, link.group.map(|group| (group as i32).into()));
        interface
    }

    /// An interface as its files in sysfs would have it.
    ///
    /// There, carrier and dormant cannot be read (EINVAL) while the interface is down; flags are the plain ones without the link's
    /// state, and have promiscuous and all-multicast set whoever wants it, which netlink tells as counts.
    fn from_link(link: &Link<'_>, texts: &mut Arena) -> Self {
        let mut interface = Interface::common(link, texts);
        if link.flags & IFF_UP != 0 {
            interface.set(Number::Carrier, link.carrier.map(i64::from));
            interface.set(Number::Dormant, Some((link.flags & IFF_DORMANT != 0).into()));
        }
        if let (Some(promiscuity), Some(all_multicast)) = (link.promiscuity, link.all_multicast) {
            let mut flags =
                link.flags & !(IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT | IFF_PROMISC | IFF_ALLMULTI);
            if promiscuity > 0 {
                flags |= IFF_PROMISC;
            }
            if all_multicast > 0 {
                flags |= IFF_ALLMULTI;
            }
            interface.set(Number::Flags, Some(flags.into()));
        }
        interface
    }

    /// An interface as the netlink mode tells it.
    fn from_link_alone(link: &Link<'_>, texts: &mut Arena) -> Self {
        let mut interface = Interface::common(link, texts);
        interface.set(Number::Carrier, link.carrier.map(i64::from));
        interface.set(Number::Dormant, Some((link.flags & IFF_DORMANT != 0).into()));
        interface.set(Number::Flags, Some(link.flags.into()));
        interface.stats = link.stats;
        interface
    }

    fn set(&mut self, number: Number, value: Option<i64>) {
        self.numbers[number as usize] = value;
    }

    fn get(&self, number: Number) -> Option<i64> {
        self.numbers[number as usize]
    }

    fn admin_state(&self) -> &'static str {
        match self.get(Number::Flags) {
            None => "unknown",
            Some(flags) if flags & i64::from(IFF_UP) != 0 => "up",
            Some(_) => "down",
        }
    }
}

/// A number as sysfs prints them: decimal with an optional sign, or hexadecimal after `0x`.
fn number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if text.starts_with(b"0x") { scan::hex(text)?.try_into().ok() } else { scan::signed(text) }
}

/// A hardware address as sysfs prints it.
fn push_address(texts: &mut Arena, bytes: &[u8]) -> Span {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // The kernel's MAX_ADDR_LEN is 32.
    let mut text = [b':'; 96];
    for (place, byte) in text.chunks_exact_mut(3).zip(bytes) {
        place[0] = DIGITS[usize::from(byte >> 4)];
        place[1] = DIGITS[usize::from(byte & 15)];
    }
    texts.push(&text[..(bytes.len().min(32) * 3).saturating_sub(1)])
}

/// Whether the dump could stand in for the files.
enum Outcome {
    Read,
    Apart,
}

impl NetClass {
    fn new(class: PathBuf, real: bool) -> Self {
        NetClass {
            real,
            class,
            ignored: None,
            known: Memo::default(),
            ignore_invalid_speed: false,
            netlink_only: false,
            with_stats: false,
            route: Netlink::route(),
            generic: Netlink::generic(),
            ethtool: None,
            open_class: None,
            names: Names::new(),
            dumped: Names::new(),
            texts: Arena::new(),
            interfaces: Vec::new(),
            alternative: Vec::new(),
            kept: Vec::new(),
            modes: Vec::new(),
            apart: Apart::default(),
            buf: Buf::new(),
        }
    }

    fn read(&mut self) -> hostfs::Result<()> {
        if self.netlink_only {
            return self.read_netlink_alone();
        }
        if self.real && self.apart.is_over() {
            // A process that may not use netlink reads the files, as it does where they speak of other interfaces.
            if let Ok(Outcome::Read) = self.read_netlink() {
                self.apart = Apart::default();
                return Ok(());
            }
            self.apart.happened();
        }
        self.read_files()
    }

    fn list(&mut self) -> hostfs::Result<&Dir> {
        // The directory of a mounted sysfs is there for good; another may be replaced.
        let class = match self.open_class.take().filter(|_| self.real) {
            Some(class) => class,
            None => Dir::open(&self.class)?,
        };
        self.names.clear();
        let names = &mut self.names;
        class.each_name(|name, kind| {
            // `bonding_masters` is a file.
            if !kind.is_file() {
                names.push(name);
            }
        })?;
        names.sort();
        Ok(self.open_class.insert(class))
    }

    fn read_files(&mut self) -> hostfs::Result<()> {
        self.list()?;
        let NetClass { open_class: Some(class), names, known, ignored, texts, interfaces, buf, .. } = self
        else {
            return Ok(());
        };
        texts.clear();
        interfaces.clear();
        for name in names.iter() {
            if is_ignored(known, ignored, name.as_bytes()) {
                continue;
            }
            let Some(dir) = class.dir(name)? else { continue };
            let mut interface = Interface::named(texts.push(name.as_bytes()));
            for (value, (attribute, _, kind, _)) in interface.numbers.iter_mut().zip(NUMBERS) {
                *value = dir.attribute(attribute, buf)?.and_then(number);
                // Many numbers are negative for "unknown"; counts are not.
                *value = value.filter(|value| *value >= 0 || !matches!(kind, Kind::Counter));
            }
            for (place, attribute) in [
                (&mut interface.address, "address"),
                (&mut interface.broadcast, "broadcast"),
                (&mut interface.duplex, "duplex"),
                (&mut interface.alias, "ifalias"),
                (&mut interface.operstate, "operstate"),
            ] {
                if let Some(text) = dir.attribute(attribute, buf)? {
                    *place = texts.push(text.trim_ascii());
                }
            }
            if interface.operstate.is_empty() && class.dir(name)?.is_none() {
                continue;
            }
            interfaces.push(interface);
        }
        Ok(())
    }

    fn read_netlink(&mut self) -> hostfs::Result<Outcome> {
        let NetClass { route, dumped, known, ignored, texts, interfaces, .. } = self;
        route.links(false, |part| match part {
            Part::Start => {
                dumped.clear();
                texts.clear();
                interfaces.clear();
            }
            Part::Item(link) => {
                dumped.push(link.name);
                if !is_ignored(known, ignored, link.name) {
                    interfaces.push(Interface::from_link(&link, texts));
                }
            }
        })?;
        dumped.sort();
        self.list()?;
        if !self.names.iter().eq(self.dumped.iter()) {
            return Ok(Outcome::Apart);
        }
        let texts = &self.texts;
        self.interfaces.sort_unstable_by(|a, b| texts[a.name].cmp(&texts[b.name]));
        self.read_rest()
    }

    /// Adds what the dump does not know.
    fn read_rest(&mut self) -> hostfs::Result<Outcome> {
        let NetClass { open_class: Some(class), class: path, texts, interfaces, kept, buf, .. } = self else {
            return Ok(Outcome::Apart);
        };
        let mut open = kept.iter().filter(|kept| kept.files.is_some()).count();
        let mut left = 0;
        for i in 0..interfaces.len() {
            let interface = &mut interfaces[i];
            let Some(at) = recognise(interface, class, path, texts, kept, &mut open, buf)? else {
                return Ok(Outcome::Apart);
            };
            kept[at].seen = true;
            if kept[at].complete(interface, class, texts, buf)? {
                interfaces.swap(left, i);
                left += 1;
            }
        }
        interfaces.truncate(left);
        kept.retain_mut(|kept| std::mem::take(&mut kept.seen));
        Ok(Outcome::Read)
    }

    fn read_netlink_alone(&mut self) -> hostfs::Result<()> {
        let NetClass { route, known, ignored, texts, interfaces, alternative, .. } = self;
        route.links(self.with_stats, |part| match part {
            Part::Start => {
                texts.clear();
                interfaces.clear();
                alternative.clear();
            }
            Part::Item(link) => {
                if is_ignored(known, ignored, link.name) {
                    return;
                }
                let interface = Interface::from_link_alone(&link, texts);
                for name in link.alternative_names() {
                    alternative.push((texts.push(name), interface.name));
                }
                interfaces.push(interface);
            }
        })?;
        self.read_modes();
        let class = Dir::open(&self.class)?;
        let NetClass { texts, interfaces, alternative, modes, buf, .. } = self;
        alternative.sort_unstable_by(|a, b| (&texts[a.0], &texts[a.1]).cmp(&(&texts[b.0], &texts[b.1])));
        interfaces.sort_unstable_by(|a, b| texts[a.name].cmp(&texts[b.name]));
        for interface in interfaces {
            let name = OsStr::from_bytes(&texts[interface.name]);
            if let Some(dir) = class.dir(name)? {
                for field in [Number::AddressAssignType, Number::DeviceId, Number::NameAssignType] {
                    let attribute = dir.attribute(NUMBERS[field as usize].0, buf)?;
                    interface.set(field, attribute.and_then(number));
                }
            }
            let Ok(at) = modes.binary_search_by_key(&interface.index, |mode| mode.index) else { continue };
            interface.set(Number::Speed, modes[at].megabits.map(i64::from));
            let duplex = match modes[at].duplex {
                None => "",
                Some(0) => "Half",
                Some(1) => "Full",
                Some(_) => "Unknown",
            };
            interface.duplex = texts.push(duplex.as_bytes());
        }
        Ok(())
    }

    /// Asks ethtool for speeds and duplex modes. They are left out if it is not there or a driver spoils the dump.
    fn read_modes(&mut self) {
        let NetClass { generic, modes, ethtool, .. } = self;
        modes.clear();
        if ethtool.is_none() {
            *ethtool = generic.family(b"ethtool").ok();
        }
        let Some(Some(family)) = *ethtool else { return };
        let dumped = generic.link_modes(family, |part| match part {
            Part::Start => modes.clear(),
            Part::Item(mode) => modes.push(mode),
        });
        if dumped.is_err() {
            modes.clear();
            // The module may have been loaded anew, under another number.
            *ethtool = None;
        }
        modes.sort_unstable_by_key(|mode| mode.index);
    }
}

fn is_ignored(known: &mut Memo, ignored: &Option<Pattern>, name: &[u8]) -> bool {
    ignored.as_ref().is_some_and(|pattern| known.check(name, |name| pattern.is_match(name)))
}

impl Kept {
    /// Adds to an interface what the dump does not know; `false` if it went meanwhile.
    fn complete(
        &mut self,
        interface: &mut Interface,
        class: &Dir,
        texts: &mut Arena,
        buf: &mut Buf,
    ) -> hostfs::Result<bool> {
        let dir = match self.files {
            Some(_) => None,
            None => class.dir(OsStr::from_bytes(&self.name))?,
        };
        let Some(assigned) = self.attribute(0, dir.as_ref(), buf)?.and_then(number) else {
            // Every interface has this one, as long as it is there.
            return Ok(false);
        };
        interface.set(Number::AddressAssignType, Some(assigned));
        interface.set(Number::DeviceId, self.attribute(1, dir.as_ref(), buf)?.and_then(number));
        interface.set(Number::NameAssignType, self.attribute(2, dir.as_ref(), buf)?.and_then(number));
        if interface.get(Number::Flags).is_none() {
            interface.set(Number::Flags, self.attribute(3, dir.as_ref(), buf)?.and_then(number));
        }
        // A link that is down has neither (EINVAL), and that it is down is known already.
        if interface.get(Number::Dormant).is_some() {
            interface.set(Number::Speed, self.attribute(4, dir.as_ref(), buf)?.and_then(number));
            if let Some(duplex) = self.attribute(5, dir.as_ref(), buf)? {
                interface.duplex = texts.push(duplex.trim_ascii());
            }
        }
        Ok(true)
    }

    fn attribute<'b>(
        &mut self,
        at: usize,
        dir: Option<&Dir>,
        buf: &'b mut Buf,
    ) -> hostfs::Result<Option<&'b [u8]>> {
        match (&mut self.files, dir) {
            (Some(files), _) => files[at].attribute(buf),
            (None, Some(dir)) => dir.attribute(ATTRIBUTES[at], buf),
            (None, None) => Ok(None),
        }
    }
}

/// Where in `kept` this interface is, which is added if sysfs tells the same number and address of its name; `None` if it does not.
fn recognise(
    interface: &Interface,
    class: &Dir,
    path: &std::path::Path,
    texts: &Arena,
    kept: &mut Vec<Kept>,
    open: &mut usize,
    buf: &mut Buf,
) -> hostfs::Result<Option<usize>> {
    let (name, address) = (&texts[interface.name], &texts[interface.address]);
    let found = kept.binary_search_by_key(&interface.index, |kept| kept.index);
    if let Ok(at) = found
        && kept[at].name == name
        && kept[at].address == address
    {
        return Ok(Some(at));
    }
    let Some(dir) = class.dir(OsStr::from_bytes(name))? else { return Ok(None) };
    if dir.attribute("ifindex", buf)?.and_then(scan::value) != Some(interface.index.into()) {
        return Ok(None);
    }
    if dir.attribute("address", buf)?.map(<[u8]>::trim_ascii) != Some(address) {
        return Ok(None);
    }
    let at = match found {
        Ok(at) => {
            *open -= usize::from(kept[at].files.is_some());
            kept.remove(at);
            at
        }
        Err(at) => at,
    };
    let place = path.join(OsStr::from_bytes(name));
    let files = (*open < OPEN).then(|| ATTRIBUTES.map(|attribute| File::new(place.join(attribute))));
    *open += usize::from(files.is_some());
    kept.insert(
        at,
        Kept {
            index: interface.index,
            name: name.to_owned(),
            address: address.to_owned(),
            files,
            seen: true,
        },
    );
    Ok(Some(at))
}

impl Collector for NetClass {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| {
            let denied = matches!(error.errno(), Some(hostfs::Errno::ACCESS | hostfs::Errno::PERM));
            if denied { Error::NoData(error.clone().into()) } else { Error::or_no_data(&error) }
        })?;
        self.write_numbers(out, 0..1);
        if !self.alternative.is_empty() {
            let mut family = out.family(
                "node_network_altnames_info",
                Kind::Gauge,
                "Alternative names of the interface; always 1.",
            );
            for &(name, device) in &self.alternative {
                let text = |span: Span| LabelValue::from(&self.texts[span]);
                family.sample(&[("altname", text(name)), ("device", text(device))], 1u64);
            }
        }
        self.write_numbers(out, 1..BEFORE_INFO);
        self.write_info(out);
        self.write_numbers(out, BEFORE_INFO..NUMBERS.len());
        let mut up = out.family(
            "node_network_up",
            Kind::Gauge,
            "Whether the operational state of the interface is up.",
        );
        for interface in &self.interfaces {
            let state = &self.texts[interface.operstate];
            if !OPERATIONAL_STATES.iter().any(|known| known.as_bytes() == state) {
                continue;
            }
            let is_up = state == b"up";
            up.sample(&[("device", LabelValue::from(&self.texts[interface.name]))], is_up);
        }
        drop(up);
        if self.with_stats {
            self.write_stats(out);
        }
        Ok(())
    }
}

impl NetClass {
    fn write_numbers(&self, out: &mut Text, range: std::ops::Range<usize>) {
        for at in range {
            let (_, name, kind, help) = NUMBERS[at];
            let mut family = out.family(name, kind, help);
            for interface in &self.interfaces {
                let Some(mut value) = interface.numbers[at] else { continue };
                if at == Number::Speed as usize {
                    // Some drivers say -1 for a speed that is not known.
                    if value < 0 && self.ignore_invalid_speed {
                        continue;
                    }
                    let Some(bytes) = value.checked_mul(125_000) else { continue };
                    value = bytes;
                }
                family.sample(&[("device", LabelValue::from(&self.texts[interface.name]))], value);
            }
        }
    }

    fn write_info(&self, out: &mut Text) {
        let mut info =
            out.family("node_network_info", Kind::Gauge, "Texts that describe the interface; always 1.");
        let text = |span: Span| LabelValue::from(&self.texts[span]);
        for interface in &self.interfaces {
            let address = ("address", text(interface.address));
            let admin_state = ("adminstate", LabelValue::from(interface.admin_state()));
            let broadcast = ("broadcast", text(interface.broadcast));
            let device = ("device", text(interface.name));
            let duplex = ("duplex", text(interface.duplex));
            let alias = ("ifalias", text(interface.alias));
            let operstate = ("operstate", text(interface.operstate));
            if self.netlink_only {
                info.sample(&[address, broadcast, device, duplex, alias, operstate], 1u64);
            } else {
                info.sample(&[address, admin_state, broadcast, device, duplex, alias, operstate], 1u64);
            }
        }
        info.sort();
    }

    /// The counters, under netdev's detailed names; gauges, as in the original.
    fn write_stats(&self, out: &mut Text) {
        for (name, help, counters) in netdev::DETAILED {
            let mut family = out.family(name, Kind::Gauge, help);
            for interface in &self.interfaces {
                if let Some(value) = interface.stats.and_then(|stats| stats.get(counters[0])) {
                    family.sample(&[("device", LabelValue::from(&self.texts[interface.name]))], value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::testing::{Tree, collect};

    fn tree() -> Tree {
        let tree = Tree::new(&[("sys/class/net/bonding_masters", "bond0\n")]);
        for (attribute, text) in [
            ("addr_assign_type", "3"),
            ("address", "01:01:01:01:01:01"),
            ("broadcast", "ff:ff:ff:ff:ff:ff"),
            ("carrier", "1"),
            ("carrier_changes", "2"),
            ("carrier_down_count", "1"),
            ("carrier_up_count", "1"),
            ("dev_id", "0x20"),
            ("dormant", "1"),
            ("duplex", "full"),
            ("flags", "0x1303"),
            ("ifalias", "to the \"world\""),
            ("ifindex", "2"),
            ("iflink", "3"),
            ("link_mode", "1"),
            ("mtu", "1500"),
            ("name_assign_type", "2"),
            ("netdev_group", "-4"),
            ("operstate", "up"),
            ("speed", "1000"),
            ("tx_queue_len", "1001"),
            ("type", "1"),
        ] {
            tree.write(&format!("sys/class/net/eth0/{attribute}"), format!("{text}\n"));
        }
        tree
    }

    #[test]
    fn all_attributes_of_files() {
        assert_eq!(
            tree().samples(&ENTRY, &[]),
            "node_network_address_assign_type{device=\"eth0\"} 3\n\
             node_network_carrier{device=\"eth0\"} 1\n\
             node_network_carrier_changes_total{device=\"eth0\"} 2\n\
             node_network_carrier_down_changes_total{device=\"eth0\"} 1\n\
             node_network_carrier_up_changes_total{device=\"eth0\"} 1\n\
             node_network_device_id{device=\"eth0\"} 32\n\
             node_network_dormant{device=\"eth0\"} 1\n\
             node_network_flags{device=\"eth0\"} 4867\n\
             node_network_iface_id{device=\"eth0\"} 2\n\
             node_network_iface_link{device=\"eth0\"} 3\n\
             node_network_iface_link_mode{device=\"eth0\"} 1\n\
             node_network_info{address=\"01:01:01:01:01:01\",adminstate=\"up\",broadcast=\"ff:ff:ff:ff:ff:ff\",device=\"eth0\",duplex=\"full\",ifalias=\"to the \\\"world\\\"\",operstate=\"up\"} 1\n\
             node_network_mtu_bytes{device=\"eth0\"} 1500\n\
             node_network_name_assign_type{device=\"eth0\"} 2\n\
             node_network_net_dev_group{device=\"eth0\"} -4\n\
             node_network_protocol_type{device=\"eth0\"} 1\n\
             node_network_speed_bytes{device=\"eth0\"} 1.25e+08\n\
             node_network_transmit_queue_length{device=\"eth0\"} 1001\n\
             node_network_up{device=\"eth0\"} 1\n"
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let tree = Tree::new(&[
            ("sys/class/net/a/speed", "-1\n"),
            ("sys/class/net/a/mtu", "99999999999999999999\n"),
            ("sys/class/net/a/carrier", ""),
            ("sys/class/net/a/dev_id", "x\n"),
            ("sys/class/net/a/operstate", "u\n"),
            ("sys/class/net/b/speed", "9223372036854775807\n"),
            ("sys/class/net/b/ifindex", "1\n"),
            ("sys/class/net/b/operstate", "down\n"),
            ("sys/class/net/b/carrier_changes", "-5\n"),
            ("sys/class/net/b/carrier_up_count", "-5\n"),
            ("sys/class/net/b/carrier_down_count", "-5\n"),
        ]);
        let info = "node_network_info{address=\"\",adminstate=\"unknown\",broadcast=\"\",device=\"a\",duplex=\"\",ifalias=\"\",operstate=\"u\"} 1\n";
        let rest = format!("{info}SPEEDnode_network_up{{device=\"b\"}} 0\n");
        let expected = |speed| {
            let other =
                info.replace("device=\"a\"", "device=\"b\"").replace("operstate=\"u\"", "operstate=\"down\"");
            format!("node_network_iface_id{{device=\"b\"}} 1\n{rest}")
                .replace(info, &format!("{info}{other}"))
                .replace("SPEED", speed)
        };
        let speed = "node_network_speed_bytes{device=\"a\"} -125000\n";
        assert_eq!(tree.samples(&ENTRY, &[]), expected(speed));
        assert_eq!(tree.samples(&ENTRY, &["--collector.netclass.ignore-invalid-speed"]), expected(""));
        assert_eq!(tree.samples(&ENTRY, &["--collector.netclass.ignored-devices=a|b"]), "");
    }

    #[test]
    fn no_class_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }

    #[test]
    fn flags_and_states_of_a_link_are_turned_into_those_of_sysfs() {
        let mut texts = Arena::new();
        let mut link = Link {
            index: 7,
            flags: IFF_UP | IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT | 0x1002,
            name: b"eth0",
            address: &[0, 1, 0xab, 0xff],
            carrier: Some(1),
            operational_state: Some(6),
            promiscuity: Some(1),
            all_multicast: Some(0),
            group: Some(u32::MAX),
            ..Link::default()
        };
        let interface = Interface::from_link(&link, &mut texts);
        assert_eq!(interface.get(Number::Flags), Some(0x1103));
        assert_eq!((interface.get(Number::Carrier), interface.get(Number::Dormant)), (Some(1), Some(1)));
        assert_eq!((interface.get(Number::Link), interface.get(Number::Group)), (Some(7), Some(-1)));
        assert_eq!(
            (&texts[interface.address], &texts[interface.operstate]),
            (&b"00:01:ab:ff"[..], &b"up"[..])
        );
        assert!(interface.broadcast.is_empty());

        link.flags = 0x1002 | IFF_PROMISC;
        link.operational_state = Some(200);
        link.all_multicast = None;
        link.link = Some(3);
        let interface = Interface::from_link(&link, &mut texts);
        assert_eq!((interface.get(Number::Carrier), interface.get(Number::Dormant)), (None, None));
        assert_eq!((interface.get(Number::Flags), interface.get(Number::Link)), (None, Some(3)));
        assert!(interface.operstate.is_empty());
    }

    #[test]
    fn namespaces_that_differ_are_compared_less_and_less() {
        let mut apart = Apart::default();
        let mut tries = Vec::new();
        for scrape in 0..300 {
            if apart.is_over() {
                tries.push(scrape);
                apart.happened();
            }
        }
        assert_eq!(tries, [0, 1, 2, 5, 12, 27, 58, 118, 178, 238, 298]);
    }

    /// A pair of virtual interfaces that goes with the test.
    struct Pair(String);

    impl Pair {
        fn new(name: &str) -> Option<Self> {
            let (one, other) = (format!("{name}0"), format!("{name}1"));
            ip(&["link", "add", &one, "type", "veth", "peer", "name", &other]).then(|| Pair(one))
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            ip(&["link", "del", &self.0]);
        }
    }

    fn ip(args: &[&str]) -> bool {
        Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
    }

    fn live(args: &[&str]) -> Box<dyn Collector> {
        let flags: Vec<Flag> = paths::FLAGS.iter().chain(ENTRY.flags).copied().collect();
        (ENTRY.new)(&exporter::Flags::for_test(&flags, args)).unwrap()
    }

    fn live_class() -> NetClass {
        NetClass::new("/sys/class/net".into(), true)
    }

    #[test]
    fn the_dump_and_the_files_tell_the_same() {
        if !hostfs::Root::new("/sys").is_sysfs() {
            println!("skipped: no sysfs here");
            return;
        }
        let process = std::process::id() % 100_000;
        let pair = Pair::new(&format!("nc{process}v"));
        match &pair {
            Some(Pair(name)) => {
                // One end up, promiscuous, with all that can be set; the other stays down.
                assert!(ip(&["link", "set", name, "alias", " an \"alias\" ", "mtu", "1300", "group", "7"]));
                assert!(ip(&["link", "set", name, "txqueuelen", "17", "mode", "dormant", "up"]));
                assert!(ip(&["link", "set", name, "promisc", "on", "allmulticast", "on"]));
            }
            None => println!("no pair of interfaces: ip(8) is missing or not allowed"),
        }
        let (mut dump, mut files) = (live_class(), NetClass::new("/sys/class/net".into(), false));
        // Interfaces of other tests may come and go: what counts is that it once agrees.
        let mut told = (String::new(), String::new());
        for _ in 0..50 {
            dump.apart = Apart::default();
            told = (collect(&mut dump).0, collect(&mut files).0);
            if told.0 == told.1 && dump.apart.next == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(told.0, told.1);
        assert_eq!(dump.apart.next, 0, "the dump was used");
        assert!(told.0.contains("node_network_up{device=\"lo\"} "));
        assert!(dump.kept.iter().any(|kept| kept.name == b"lo" && kept.files.is_some()));

        // Beyond the number of those that stay open.
        let mut crowded = live_class();
        for round in 0..50 {
            crowded.apart = Apart::default();
            collect(&mut crowded);
            for kept in &mut crowded.kept {
                kept.files = None;
            }
            told = (collect(&mut crowded).0, collect(&mut files).0);
            if told.0 == told.1 && crowded.kept.iter().any(|kept| kept.files.is_none()) {
                break;
            }
            assert!(round < 49, "never the same");
        }
        if let Some(Pair(name)) = &pair {
            assert!(told.0.contains(&format!("node_network_mtu_bytes{{device=\"{name}\"}} 1300\n")));
            let info = told
                .0
                .lines()
                .find(|line| line.contains("_info{") && line.contains(&format!("device=\"{name}\"")));
            assert!(info.unwrap().contains("ifalias=\"an \\\"alias\\\"\""), "{info:?}");
        }
    }

    #[test]
    fn an_interface_that_went_is_forgotten() {
        let name = format!("ng{}v", std::process::id() % 100_000);
        let Some(pair) = Pair::new(&name) else {
            println!("skipped: no pair of interfaces can be made");
            return;
        };
        let mut class = live_class();
        let has = |class: &mut NetClass| {
            class.apart = Apart::default();
            let (samples, error) = collect(class);
            assert_eq!(error, None);
            samples.contains(&name)
        };
        assert!(has(&mut class));
        drop(pair);
        assert!(!has(&mut class));
        assert!(
            !class.kept.iter().any(|kept| kept.name.starts_with(name.as_bytes())) || class.apart.next > 0
        );
    }

    #[test]
    fn netlink_alone_has_other_labels_and_statistics() {
        let (samples, error) = collect(&mut *live(&[
            "--collector.netclass.netlink",
            "--collector.netclass_rtnl.with-stats",
            "--collector.netclass.ignored-devices=^[^l]",
        ]));
        assert_eq!(error, None);
        assert!(samples.contains("node_network_info{address=\"00:00:00:00:00:00\",broadcast=\"00:00:00:00:00:00\",device=\"lo\",duplex=\"\",ifalias=\"\",operstate=\"unknown\"} 1\n"), "{samples}");
        assert!(samples.contains("node_network_receive_nohandler_total{device=\"lo\"} "));
        assert!(!samples.contains("node_network_speed_bytes{device=\"lo\"}"));
    }
}
