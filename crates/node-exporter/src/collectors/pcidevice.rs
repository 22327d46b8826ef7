//! PCI devices: the attributes of `/sys/bus/pci/devices/*`, see the kernel's Documentation/PCI/sysfs-pci.rst.
//!
//! A device's address and its parent's are in the path to which its link leads. What a device does not have is shown as the original
//! shows it: -1 for a link, 0 for D3cold and SR-IOV. What it has and cannot be read is left out. With names, vendors, devices and
//! classes are looked up in `pci.ids`: once per kind of device, so that a megabyte of names is not kept for ten of them.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "pcidevice",
    on: false,
    help: "PCI devices from /sys/bus/pci/devices.",
    flags: &[
        Flag::switch("collector.pcidevice.names", false, "Look up names of vendors, devices and classes."),
        Flag::text(
            "collector.pcidevice.idsfile",
            "",
            "Where pci.ids is; if empty, in /usr/share/misc or /usr/share/hwdata.",
        ),
    ],
    new: |flags| {
        let files = match flags.text("collector.pcidevice.idsfile") {
            "" => vec!["/usr/share/misc/pci.ids".into(), "/usr/share/hwdata/pci.ids".into()],
            file => vec![file.into()],
        };
        let names = flags.switch("collector.pcidevice.names").then(|| Ids { files, known: HashMap::new() });
        Ok(Box::new(PciDevices {
            base: paths::sys(flags).join("bus/pci/devices"),
            ids: names,
            names: Names::new(),
            devices: Vec::new(),
            texts: Arena::new(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct PciDevices {
    base: PathBuf,
    ids: Option<Ids>,
    names: Names,
    devices: Vec<Device>,
    texts: Arena,
    scratch: Vec<u8>,
    buf: Buf,
}

struct Device {
    address: Address,
    /// `*` in all parts for a device on a root bus.
    parent: Address,
    kind: DeviceKind,
    revision: u64,
    values: [Option<f64>; FAMILIES.len()],
    /// Place in [`STATES`].
    state: Option<usize>,
}

/// Where a device is: segment, bus, device, function, as the kernel writes them.
#[derive(Clone, Copy)]
struct Address {
    segment: Span,
    bus: Span,
    device: Span,
    function: Span,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct DeviceKind {
    class: u64,
    vendor: u64,
    device: u64,
    subsystem_vendor: u64,
    subsystem_device: u64,
}

/// How an attribute is read, and its value in a device that lacks it.
#[derive(Clone, Copy)]
enum Form {
    /// `8.0 GT/s PCIe`.
    Speed,
    /// A number; -1 if it is missing.
    Width,
    /// A node, left out if it is missing or -1.
    Node,
    /// 0 or 1; 0 if it is missing.
    Flag,
    /// A number; 0 if it is missing.
    Count,
}

/// Families of a device: attribute, form, family, HELP.
const FAMILIES: [(&str, Form, &str, &str); 10] = [
    (
        "current_link_speed",
        Form::Speed,
        "node_pcidevice_current_link_transfers_per_second",
        "Speed of the link, in transfers per second; -1 if it is not known.",
    ),
    (
        "current_link_width",
        Form::Width,
        "node_pcidevice_current_link_width",
        "Lanes of the link; -1 if it is not known.",
    ),
    (
        "d3cold_allowed",
        Form::Flag,
        "node_pcidevice_d3cold_allowed",
        "Whether the device may go into the state D3cold: 1 or 0.",
    ),
    (
        "max_link_speed",
        Form::Speed,
        "node_pcidevice_max_link_transfers_per_second",
        "Greatest speed of the link, in transfers per second; -1 if it is not known.",
    ),
    (
        "max_link_width",
        Form::Width,
        "node_pcidevice_max_link_width",
        "Most lanes of the link; -1 if it is not known.",
    ),
    ("numa_node", Form::Node, "node_pcidevice_numa_node", "NUMA node of the device."),
    (
        "sriov_drivers_autoprobe",
        Form::Flag,
        "node_pcidevice_sriov_drivers_autoprobe",
        "Whether drivers are bound to new virtual functions: 1 or 0.",
    ),
    (
        "sriov_numvfs",
        Form::Count,
        "node_pcidevice_sriov_numvfs",
        "Virtual functions of the device that are enabled.",
    ),
    (
        "sriov_totalvfs",
        Form::Count,
        "node_pcidevice_sriov_totalvfs",
        "Virtual functions that the device can have.",
    ),
    (
        "sriov_vf_total_msix",
        Form::Count,
        "node_pcidevice_sriov_vf_total_msix",
        "MSI-X vectors for virtual functions.",
    ),
];

/// Power states, in order.
const STATES: [&str; 7] = ["D0", "D1", "D2", "D3cold", "D3hot", "error", "unknown"];

/// A device that is not what the kernel gives.
const DAMAGED: &str = "a PCI device's attributes";

impl PciDevices {
    /// Reads all devices; gives the first problem that did not stop it.
    fn read(&mut self) -> Result<Option<hostfs::Error>, Error> {
        let PciDevices { base, names, devices, texts, scratch, buf, .. } = self;
        devices.clear();
        texts.clear();
        let base = Dir::open(base).map_err(|error| Error::or_no_data(&error))?;
        base.names(names)?;
        let mut problem = None;
        for name in names.iter() {
            let result = match base.dir(name) {
                Ok(Some(dir)) => read_device(&dir, texts, scratch, buf),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match result {
                Ok((device, damage)) => {
                    devices.extend(device);
                    if let Some(damage) = damage {
                        problem.get_or_insert(damage);
                    }
                }
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        let key = |device: &Device| {
            let Address { segment, bus, device, function } = device.address;
            [bus, device, function, segment].map(|span| &texts[span])
        };
        devices.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        devices.dedup_by(|a, b| key(a) == key(b));
        Ok(problem)
    }
}

/// One device, unless what it must have is missing, and what is wrong with it.
fn read_device(
    dir: &Dir,
    texts: &mut Arena,
    path: &mut Vec<u8>,
    buf: &mut Buf,
) -> hostfs::Result<(Option<Device>, Option<hostfs::Error>)> {
    dir.path_into(path);
    if path.is_empty() {
        return Ok((None, None));
    }
    let mut elements = path.rsplit(|&b| b == b'/');
    let Some(address) = elements.next().and_then(|name| Address::parse(name, texts)) else {
        return Err(dir.malformed("", "a PCI device's address"));
    };
    let parent = elements.next().and_then(|name| Address::parse(name, texts)).unwrap_or_else(|| {
        let none = texts.push(b"*");
        Address { segment: none, bus: none, device: none, function: none }
    });

    let mut number = |name: &'static str| match dir.read(name, buf) {
        Ok(bytes) => bytes
            .trim_ascii()
            .strip_prefix(b"0x")
            .and_then(scan::hex)
            .filter(|&n| n <= u64::from(u32::MAX))
            .ok_or_else(|| dir.malformed(name, "a hexadecimal number of 32 bits")),
        Err(error) => Err(error),
    };
    let kind = DeviceKind {
        class: number("class")?,
        vendor: number("vendor")?,
        device: number("device")?,
        subsystem_vendor: number("subsystem_vendor")?,
        subsystem_device: number("subsystem_device")?,
    };
    let revision = number("revision")?;

    // A listing costs less than the opens of all that most devices do not have.
    let (mut is_there, mut has_state) = ([false; FAMILIES.len()], false);
    dir.each_name(|name, _| {
        has_state |= name == b"power_state";
        if let Some(index) = FAMILIES.iter().position(|(file, ..)| file.as_bytes() == name) {
            is_there[index] = true;
        }
    })?;
    let mut damage = None;
    let mut values = [None; FAMILIES.len()];
    for (index, (file, form, ..)) in FAMILIES.into_iter().enumerate() {
        let bytes = match is_there[index] {
            true => match dir.attribute(file, buf) {
                Ok(Some(bytes)) => bytes.trim_ascii(),
                Ok(None) => continue,
                Err(error) => {
                    damage.get_or_insert(error);
                    continue;
                }
            },
            false => {
                values[index] = form.without();
                continue;
            }
        };
        match form.parse(bytes) {
            Ok(value) => values[index] = value,
            Err(()) => {
                damage.get_or_insert_with(|| dir.malformed(file, DAMAGED));
            }
        }
    }
    let mut state = None;
    if has_state {
        match dir.attribute("power_state", buf) {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default().trim_ascii();
                state = STATES.iter().position(|state| state.as_bytes() == bytes);
                if state.is_none() && !bytes.is_empty() {
                    damage.get_or_insert_with(|| dir.malformed("power_state", DAMAGED));
                }
            }
            Err(error) => {
                damage.get_or_insert(error);
            }
        }
    }
    Ok((Some(Device { address, parent, kind, revision, values, state }), damage))
}

impl Address {
    /// Takes `0000:45:00.0` apart.
    fn parse(name: &[u8], texts: &mut Arena) -> Option<Self> {
        let (segment, rest) = scan::split_once(name, b':')?;
        let (bus, rest) = scan::split_once(rest, b':')?;
        let (device, function) = scan::split_once(rest, b'.')?;
        let parts = [segment, bus, device, function];
        if !parts.iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_hexdigit)) {
            return None;
        }
        let [segment, bus, device, function] = parts.map(|part| texts.push(part));
        Some(Address { segment, bus, device, function })
    }
}

impl Form {
    /// What is shown of a device that does not have the attribute.
    fn without(self) -> Option<f64> {
        match self {
            Form::Speed | Form::Width => Some(-1.0),
            Form::Node => None,
            Form::Flag | Form::Count => Some(0.0),
        }
    }

    /// The value, or `None` for one that is not shown.
    fn parse(self, text: &[u8]) -> Result<Option<f64>, ()> {
        let is_unknown = text.is_empty() || text.starts_with(b"Unknown");
        let value = match self {
            Form::Speed | Form::Width if is_unknown => Some(-1.0),
            Form::Speed => {
                let mut fields = scan::fields(text);
                let speed = fields.next().and_then(scan::float);
                if fields.next() != Some(b"GT/s") {
                    return Err(());
                }
                speed.map(|speed| speed * 1e9)
            }
            Form::Width => scan::signed(text).map(|width| width as f64),
            Form::Node if is_unknown || text == b"-1" => return Ok(None),
            Form::Node => scan::signed(text).map(|node| node as f64),
            Form::Flag | Form::Count if text.is_empty() => return Ok(None),
            Form::Flag => scan::signed(text).map(|flag| f64::from(u8::from(flag != 0))),
            Form::Count => scan::unsigned(text).map(|count| count as f64),
        };
        value.map(Some).ok_or(())
    }
}

impl Collector for PciDevices {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let problem = self.read()?;
        let PciDevices { ids, devices, texts, scratch, .. } = self;
        // Names are read before the family is open.
        if let Some(ids) = ids {
            ids.learn(devices);
        }
        let text = |span: Span| LabelValue::from(&texts[span]);

        let mut info = out.family("node_pcidevice_info", Kind::Gauge, "What the device is; always 1.");
        for Device { address, parent, kind, revision, .. } in devices.iter() {
            let numbers = [
                (kind.class, 6),
                (kind.device, 4),
                (*revision, 2),
                (kind.subsystem_device, 4),
                (kind.subsystem_vendor, 4),
                (kind.vendor, 4),
            ];
            scratch.clear();
            let ranges = numbers.map(|(number, digits)| {
                let start = scratch.len();
                // Writing into a Vec cannot fail.
                let _ = write!(scratch, "0x{number:0digits$x}");
                start..scratch.len()
            });
            let [class, device, revision, subsystem_device, subsystem_vendor, vendor] =
                ranges.map(|range| LabelValue::from(&scratch[range]));
            let names = ids.as_ref().and_then(|ids| ids.known.get(kind));
            let name =
                |name: fn(&DeviceNames) -> &Vec<u8>| LabelValue::from(names.map_or(&b""[..], |n| name(n)));
            let labels = [
                ("bus", text(address.bus)),
                ("class_id", class),
                ("class_name", name(|n| &n.class)),
                ("device", text(address.device)),
                ("device_id", device),
                ("device_name", name(|n| &n.device)),
                ("function", text(address.function)),
                ("parent_bus", text(parent.bus)),
                ("parent_device", text(parent.device)),
                ("parent_function", text(parent.function)),
                ("parent_segment", text(parent.segment)),
                ("revision", revision),
                ("segment", text(address.segment)),
                ("subsystem_device_id", subsystem_device),
                ("subsystem_device_name", name(|n| &n.subsystem_device)),
                ("subsystem_vendor_id", subsystem_vendor),
                ("subsystem_vendor_name", name(|n| &n.subsystem_vendor)),
                ("vendor_id", vendor),
                ("vendor_name", name(|n| &n.vendor)),
            ];
            if names.is_some() {
                info.sample(&labels, 1u64);
            } else {
                let mut without = [labels[0]; 14];
                let is_id = |(name, _): &&(&str, _)| !name.ends_with("_name");
                for (slot, label) in without.iter_mut().zip(labels.iter().filter(is_id)) {
                    *slot = *label;
                }
                info.sample(&without, 1u64);
            }
        }
        info.sort();

        let labels = |address: &Address| {
            [
                ("bus", text(address.bus)),
                ("device", text(address.device)),
                ("function", text(address.function)),
                ("segment", text(address.segment)),
            ]
        };
        for (index, (_, _, name, help)) in FAMILIES.into_iter().enumerate() {
            let mut family = out.family(name, Kind::Gauge, help);
            for device in devices.iter() {
                if let Some(value) = device.values[index] {
                    family.sample(&labels(&device.address), value);
                }
            }
        }
        let mut family = out.family(
            "node_pcidevice_power_state",
            Kind::Gauge,
            "Whether the device is in this power state: 1 or 0.",
        );
        for device in devices.iter() {
            let Some(is) = device.state else { continue };
            let [bus, slot, function, segment] = labels(&device.address);
            for (index, state) in STATES.into_iter().enumerate() {
                let labels = [bus, slot, function, segment, ("state", state.into())];
                family.sample(&labels, index == is);
            }
        }
        drop(family);
        problem.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Names from `pci.ids`.
struct Ids {
    /// The files to try, in order.
    files: Vec<PathBuf>,
    known: HashMap<DeviceKind, DeviceNames>,
}

/// The names of a kind of device.
#[derive(Debug, PartialEq)]
struct DeviceNames {
    class: Vec<u8>,
    device: Vec<u8>,
    subsystem_device: Vec<u8>,
    subsystem_vendor: Vec<u8>,
    vendor: Vec<u8>,
}

impl Ids {
    /// The most kinds of devices that are remembered, and the longest file, in bytes.
    const MOST: usize = 4096;
    const CAP: usize = 16 << 20;

    /// Looks up the names of the kinds of devices that are new. Without a file, the numbers stand for the names.
    fn learn(&mut self, devices: &[Device]) {
        if devices.iter().all(|device| self.known.contains_key(&device.kind)) {
            return;
        }
        if self.known.len() >= Self::MOST {
            self.known.clear();
        }
        let mut ids = Buf::new();
        let read = |file| hostfs::read_with_cap(file, Self::CAP, &mut ids).is_ok();
        let text = if self.files.iter().any(read) { ids.bytes() } else { b"" };
        for device in devices {
            self.known.entry(device.kind).or_insert_with(|| names(text, device.kind));
        }
    }
}

/// Looks up a kind of device in the text of `pci.ids`.
///
/// Vendors stand at a line's start, their devices below with one tab, subsystems with two; so do classes, which a `C` marks,
/// with subclasses and interfaces.
fn names(text: &[u8], kind: DeviceKind) -> DeviceNames {
    let id = |number: u64, digits: usize| format!("{number:0digits$x}").into_bytes();
    let (vendor, device) = (id(kind.vendor, 4), id(kind.device, 4));
    let (subsystem_vendor, subsystem_device) = (id(kind.subsystem_vendor, 4), id(kind.subsystem_device, 4));
    let class = id(kind.class, 6);
    let mut found = DeviceNames {
        class: [b"Unknown class (", &class[..], b")"].concat(),
        device: device.clone(),
        subsystem_device: subsystem_device.clone(),
        subsystem_vendor: subsystem_vendor.clone(),
        vendor: vendor.clone(),
    };
    let subsystem = [&subsystem_vendor[..], b" ", &subsystem_device].concat();
    // Which of our own the lines are below: the class or the vendor, and the subclass or the device.
    let (mut in_classes, mut in_first, mut in_second) = (false, false, false);
    for line in scan::lines_loose(text).filter(|line| !line.is_empty() && line[0] != b'#') {
        let depth = line.iter().take_while(|&&b| b == b'\t').count();
        let Some((key, name)) = halves(&line[depth..]) else { continue };
        match (depth, key.strip_prefix(b"C ")) {
            (0, Some(key)) => {
                in_classes = true;
                in_first = key.trim_ascii() == &class[..2];
                in_second = false;
                if in_first {
                    found.class = name.to_owned();
                }
            }
            (0, None) => {
                in_classes = false;
                in_first = key == vendor;
                in_second = false;
                if in_first {
                    found.vendor = name.to_owned();
                }
                if key == subsystem_vendor {
                    found.subsystem_vendor = name.to_owned();
                }
            }
            (1, _) if in_first => {
                in_second = key == if in_classes { &class[2..4] } else { &device[..] };
                if in_second {
                    *(if in_classes { &mut found.class } else { &mut found.device }) = name.to_owned();
                }
            }
            (2, _) if in_first && in_second => {
                if in_classes && *key == class[4..] {
                    found.class = name.to_owned();
                } else if !in_classes && key == subsystem {
                    found.subsystem_device = name.to_owned();
                }
            }
            _ => {}
        }
    }
    found
}

/// The two sides of the first two spaces, without white space around them.
fn halves(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.windows(2).position(|pair| pair == b"  ")?;
    Some((line[..at].trim_ascii(), line[at..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const IDS: &str = "# comment\n1022  AMD\n\t1634  Bridge\n\t\t17aa 5095  Adapter\n\t1635  Other\n\t\t17aa 5095  Wrong\n\
                       17aa  Lenovo\n\t1634  Wrong\nC 06  Bridge device\n\t04  PCI bridge\n\t\t00  Normal decode\nC 07  x\n\t04  Wrong\n";

    const KIND: DeviceKind = DeviceKind {
        class: 0x06_0400,
        vendor: 0x1022,
        device: 0x1634,
        subsystem_vendor: 0x17aa,
        subsystem_device: 0x5095,
    };

    fn device(tree: &Tree, path: &str, files: &[(&str, &str)]) {
        let mandatory = [
            ("class", "0x060400\n"),
            ("vendor", "0x1022\n"),
            ("device", "0x1634\n"),
            ("subsystem_vendor", "0x17aa\n"),
            ("subsystem_device", "0x5095\n"),
            ("revision", "0x01\n"),
        ];
        for (name, contents) in mandatory.iter().chain(files) {
            tree.write(&format!("sys/devices/{path}/{name}"), contents);
        }
        let name = path.rsplit('/').next().unwrap();
        tree.link(&format!("sys/bus/pci/devices/{name}"), format!("../../../devices/{path}"));
    }

    #[test]
    fn names_are_those_of_the_ids_file() {
        let name = |text: &str| text.as_bytes().to_owned();
        let found = names(IDS.as_bytes(), KIND);
        assert_eq!(
            found,
            DeviceNames {
                class: name("Normal decode"),
                device: name("Bridge"),
                subsystem_device: name("Adapter"),
                subsystem_vendor: name("Lenovo"),
                vendor: name("AMD"),
            }
        );
        assert_eq!(names(IDS.as_bytes(), DeviceKind { class: 0x06_0401, ..KIND }).class, b"PCI bridge");
        assert_eq!(names(IDS.as_bytes(), DeviceKind { class: 0x06_0501, ..KIND }).class, b"Bridge device");
        let none = names(b"", KIND);
        assert_eq!((&none.class[..], &none.vendor[..]), (&b"Unknown class (060400)"[..], &b"1022"[..]));
    }

    #[test]
    fn a_device_and_what_it_lacks() {
        let tree = Tree::new(&[]);
        device(
            &tree,
            "pci0000:40/0000:40:01.3/0000:45:00.0",
            &[
                ("max_link_speed", "8.0 GT/s PCIe\n"),
                ("current_link_speed", "Unknown\n"),
                ("max_link_width", "8\n"),
                ("numa_node", "-1\n"),
                ("d3cold_allowed", "1\n"),
                ("sriov_totalvfs", "7\n"),
                ("power_state", "D3hot\n"),
            ],
        );
        let samples = tree.samples(&ENTRY, &[]);
        let at = "bus=\"45\",device=\"00\",function=\"0\",segment=\"0000\"";
        let short = samples.replace(at, "*").replace("node_pcidevice_", "");
        assert_eq!(
            short,
            "info{bus=\"45\",class_id=\"0x060400\",device=\"00\",device_id=\"0x1634\",function=\"0\",parent_bus=\"40\",parent_device=\"01\",\
             parent_function=\"3\",parent_segment=\"0000\",revision=\"0x01\",segment=\"0000\",subsystem_device_id=\"0x5095\",\
             subsystem_vendor_id=\"0x17aa\",vendor_id=\"0x1022\"} 1\n\
             current_link_transfers_per_second{*} -1\n\
             current_link_width{*} -1\n\
             d3cold_allowed{*} 1\n\
             max_link_transfers_per_second{*} 8e+09\n\
             max_link_width{*} 8\n\
             sriov_drivers_autoprobe{*} 0\n\
             sriov_numvfs{*} 0\n\
             sriov_totalvfs{*} 7\n\
             sriov_vf_total_msix{*} 0\n\
             power_state{*,state=\"D0\"} 0\n\
             power_state{*,state=\"D1\"} 0\n\
             power_state{*,state=\"D2\"} 0\n\
             power_state{*,state=\"D3cold\"} 0\n\
             power_state{*,state=\"D3hot\"} 1\n\
             power_state{*,state=\"error\"} 0\n\
             power_state{*,state=\"unknown\"} 0\n"
        );
    }

    #[test]
    fn what_is_empty_is_not_zero() {
        let tree = Tree::new(&[]);
        let empty = [
            ("d3cold_allowed", "\n"),
            ("sriov_drivers_autoprobe", ""),
            ("sriov_numvfs", "\n"),
            ("current_link_width", ""),
        ];
        device(&tree, "pci0000:00/0000:00:02.1", &empty);
        let samples = tree.samples(&ENTRY, &[]);
        for gone in ["d3cold_allowed", "sriov_drivers_autoprobe", "sriov_numvfs"] {
            assert!(!samples.contains(gone), "{samples}");
        }
        let labels = "bus=\"00\",device=\"02\",function=\"1\",segment=\"0000\"";
        for there in ["sriov_totalvfs{*} 0\n", "current_link_width{*} -1\n"] {
            assert!(samples.contains(&there.replace('*', labels)), "{samples}");
        }
    }

    #[test]
    fn damage_costs_the_value_or_the_device() {
        let tree = Tree::new(&[]);
        device(
            &tree,
            "pci0000:00/0000:00:02.1",
            &[("max_link_speed", "8.0 furlongs\n"), ("sriov_numvfs", "-1\n"), ("power_state", "D\n")],
        );
        device(&tree, "pci0000:00/0000:00:03.0", &[("vendor", "x\n")]);
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert!(matches!(error, Some(Error::Failed(_))));
        assert!(samples.contains("parent_bus=\"*\"") && !samples.contains("device=\"03\""), "{samples}");
        for gone in ["max_link_transfers", "numvfs", "power_state"] {
            assert!(!samples.contains(gone), "{samples}");
        }
        assert!(samples.contains("node_pcidevice_max_link_width"), "{samples}");
    }

    #[test]
    fn no_bus_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
