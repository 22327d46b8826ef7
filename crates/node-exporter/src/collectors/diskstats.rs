//! Block devices: `/proc/diskstats` (the kernel's Documentation/admin-guide/iostats.rst), what udev knows of each device
//! (`/run/udev/data/b<major>:<minor>`), and `queue/rotational` in sysfs.
//!
//! The number of fields in a line says which families a kernel has: 14 fields, 18 with discards (4.18), 20 with flushes (5.5).
//! udev puts a new file in the place of the old one, so a file with the same inode, size and times is the one that was read before.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, File, Root, Span, scan};

use crate::paths;

const DEVICE_EXCLUDE: &str = "collector.diskstats.device-exclude";
const DEVICE_INCLUDE: &str = "collector.diskstats.device-include";

pub(crate) const ENTRY: Entry = Entry {
    name: "diskstats",
    on: true,
    help: "I/O statistics of block devices from /proc/diskstats.",
    flags: &[
        Flag::text(
            DEVICE_EXCLUDE,
            r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
            "Pattern of devices to leave out; not together with device-include.",
        ),
        Flag::text(DEVICE_INCLUDE, "", "Pattern of devices to show; not together with device-exclude."),
        Flag::renamed("collector.diskstats.ignored-devices", DEVICE_EXCLUDE),
    ],
    new: |flags| {
        Ok(Box::new(Diskstats {
            file: paths::proc(flags).file("diskstats"),
            filter: Filter::either(flags, DEVICE_INCLUDE, DEVICE_EXCLUDE)?,
            passes: Memo::default(),
            devices: Vec::new(),
            scrape: 0,
            sources: Sources {
                block_path: paths::sys(flags).join("block"),
                block: None,
                kept: 0,
                udev: paths::udev(flags),
                buf: Buf::new(),
                name: Vec::new(),
            },
            buf: Buf::new(),
        }))
    },
};

struct Diskstats {
    file: File,
    filter: Filter,
    passes: Memo,
    /// In order of name.
    devices: Vec<Device>,
    scrape: u64,
    sources: Sources,
    buf: Buf,
}

/// Where a device's properties are read.
struct Sources {
    block_path: PathBuf,
    block: Option<Dir>,
    /// How many devices have a kept descriptor.
    kept: usize,
    udev: Root,
    buf: Buf,
    name: Vec<u8>,
}

/// A device, kept while `/proc/diskstats` lists it.
struct Device {
    name: Vec<u8>,
    major: u64,
    minor: u64,
    /// The last scrape that saw it.
    scrape: u64,
    counters: [Option<u64>; COUNTERS.len()],
    rotational_file: Option<File>,
    is_rotational: bool,
    udev_path: PathBuf,
    udev: Udev,
}

/// Descriptors that are kept open: enough for all but the largest hosts, few enough for the usual limit of 1,024.
const KEPT: usize = 64;

/// What a counter counts.
#[derive(Clone, Copy)]
enum Unit {
    One,
    /// Sectors of 512 bytes, whatever the device's own sectors are.
    Sectors,
    Milliseconds,
}

/// The counters of a line, in its order.
const COUNTERS: [(&str, Unit, &str); 17] = [
    ("node_disk_reads_completed_total", Unit::One, "Reads that were completed."),
    ("node_disk_reads_merged_total", Unit::One, "Reads that were merged with one next to them."),
    ("node_disk_read_bytes_total", Unit::Sectors, "Bytes read."),
    ("node_disk_read_time_seconds_total", Unit::Milliseconds, "Time that all reads took, in seconds."),
    ("node_disk_writes_completed_total", Unit::One, "Writes that were completed."),
    ("node_disk_writes_merged_total", Unit::One, "Writes that were merged with one next to them."),
    ("node_disk_written_bytes_total", Unit::Sectors, "Bytes written."),
    ("node_disk_write_time_seconds_total", Unit::Milliseconds, "Time that all writes took, in seconds."),
    (IO_NOW, Unit::One, "Requests under way."),
    ("node_disk_io_time_seconds_total", Unit::Milliseconds, "Time with requests under way, in seconds."),
    (
        "node_disk_io_time_weighted_seconds_total",
        Unit::Milliseconds,
        "Time with requests under way, times their number, in seconds.",
    ),
    ("node_disk_discards_completed_total", Unit::One, "Discards that were completed."),
    ("node_disk_discards_merged_total", Unit::One, "Discards that were merged with one next to them."),
    ("node_disk_discarded_sectors_total", Unit::One, "Sectors of 512 bytes that were discarded."),
    ("node_disk_discard_time_seconds_total", Unit::Milliseconds, "Time that all discards took, in seconds."),
    ("node_disk_flush_requests_total", Unit::One, "Flushes that were completed."),
    (
        "node_disk_flush_requests_time_seconds_total",
        Unit::Milliseconds,
        "Time that all flushes took, in seconds.",
    ),
];

const IO_NOW: &str = "node_disk_io_now";

/// Lines have at least so many counters; those with fewer are partitions of ancient kernels.
const FEWEST: usize = 11;

/// Families that a udev property with a number is the value of, for ATA devices.
const ATA: [(Property, &str, &str); 3] = [
    (
        Property::AtaRotationRate,
        "node_disk_ata_rotation_rate_rpm",
        "Rotations a minute of an ATA disk; 0 if it has no moving parts.",
    ),
    (Property::AtaWriteCache, "node_disk_ata_write_cache", "Whether an ATA disk has a write cache."),
    (
        Property::AtaWriteCacheEnabled,
        "node_disk_ata_write_cache_enabled",
        "Whether an ATA disk uses its write cache.",
    ),
];

/// The properties of udev's database that are told.
#[derive(Debug, Clone, Copy)]
enum Property {
    DmLvLayer,
    DmLvName,
    DmName,
    DmUuid,
    DmVgName,
    Ata,
    AtaRotationRate,
    AtaWriteCache,
    AtaWriteCacheEnabled,
    FsType,
    FsUsage,
    FsUuid,
    FsVersion,
    Model,
    Path,
    Revision,
    Serial,
    SerialShort,
    Wwn,
    ScsiIdentSerial,
}

const PROPERTIES: usize = Property::ScsiIdentSerial as usize + 1;

impl Property {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"DM_LV_LAYER" => Property::DmLvLayer,
            b"DM_LV_NAME" => Property::DmLvName,
            b"DM_NAME" => Property::DmName,
            b"DM_UUID" => Property::DmUuid,
            b"DM_VG_NAME" => Property::DmVgName,
            b"ID_ATA" => Property::Ata,
            b"ID_ATA_ROTATION_RATE_RPM" => Property::AtaRotationRate,
            b"ID_ATA_WRITE_CACHE" => Property::AtaWriteCache,
            b"ID_ATA_WRITE_CACHE_ENABLED" => Property::AtaWriteCacheEnabled,
            b"ID_FS_TYPE" => Property::FsType,
            b"ID_FS_USAGE" => Property::FsUsage,
            b"ID_FS_UUID" => Property::FsUuid,
            b"ID_FS_VERSION" => Property::FsVersion,
            b"ID_MODEL" => Property::Model,
            b"ID_PATH" => Property::Path,
            b"ID_REVISION" => Property::Revision,
            b"ID_SERIAL" => Property::Serial,
            b"ID_SERIAL_SHORT" => Property::SerialShort,
            b"ID_WWN" => Property::Wwn,
            b"SCSI_IDENT_SERIAL" => Property::ScsiIdentSerial,
            _ => return None,
        })
    }
}

/// udev's file of a device.
#[derive(Default)]
struct Udev {
    stamp: Option<Stamp>,
    texts: Arena,
    properties: [Span; PROPERTIES],
}

/// What tells one file from the next that takes its place: filesystem, inode, size, and the times of the last change in nanoseconds.
type Stamp = (u64, u64, u64, [i64; 4]);

impl Udev {
    fn refresh(&mut self, path: &Path, buf: &mut Buf) {
        let stamp = std::fs::metadata(path)
            .ok()
            .map(|m| (m.dev(), m.ino(), m.size(), [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]));
        if stamp == self.stamp {
            return;
        }
        self.texts.clear();
        self.properties = Default::default();
        self.stamp = None;
        if stamp.is_none() {
            return;
        }
        // Without udev, or without leave to read its files, a device has no properties.
        let Ok(bytes) = hostfs::read(path, buf) else { return };
        for line in scan::lines(bytes) {
            if let Some((name, value)) =
                line.strip_prefix(b"E:").and_then(|line| scan::split_once(line, b'='))
                && let Some(property) = Property::named(name)
            {
                self.properties[property as usize] = self.texts.push(value);
            }
        }
        self.stamp = stamp;
    }

    fn text(&self, property: Property) -> &[u8] {
        &self.texts[self.properties[property as usize]]
    }

    /// The serial number as printed on the device if that is known, else what stands in for it, as for virtio disks.
    fn serial(&self) -> &[u8] {
        [Property::ScsiIdentSerial, Property::SerialShort, Property::Serial]
            .into_iter()
            .map(|property| self.text(property))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }
}

impl Sources {
    fn device(&self, name: &[u8], major: u64, minor: u64) -> Device {
        Device {
            name: name.to_owned(),
            major,
            minor,
            scrape: 0,
            counters: Default::default(),
            rotational_file: None,
            is_rotational: false,
            udev_path: self.udev.join(format!("b{major}:{minor}")),
            udev: Udev::default(),
        }
    }

    fn refresh(&mut self, device: &mut Device) {
        device.udev.refresh(&device.udev_path, &mut self.buf);
        device.is_rotational = self.is_rotational(device);
    }

    /// `queue/rotational`; a device without one, such as a partition, does not rotate.
    fn is_rotational(&mut self, device: &mut Device) -> bool {
        if let Some(file) = &mut device.rotational_file {
            if let Ok(bytes) = file.read_attribute(&mut self.buf) {
                return scan::value(bytes) == Some(1);
            }
            device.rotational_file = None;
            self.kept -= 1;
        }
        if self.block.is_none() {
            self.block = Dir::open(&self.block_path).ok();
        }
        let Some(block) = &self.block else { return false };
        self.name.clear();
        // sysfs has an exclamation mark where a name has a slash: cciss/c0d0.
        self.name.extend(device.name.iter().map(|&b| if b == b'/' { b'!' } else { b }));
        self.name.extend_from_slice(b"/queue/rotational");
        let name = OsStr::from_bytes(&self.name);
        let Ok(Some(bytes)) = block.attribute(name, &mut self.buf) else { return false };
        if self.kept < KEPT {
            self.kept += 1;
            device.rotational_file = Some(File::new(self.block_path.join(name)));
        }
        scan::value(bytes) == Some(1)
    }
}

/// Name, numbers and counters of a line; `Some(None)` for one with too few counters, `None` for what is no such line.
fn parse(line: &[u8]) -> Option<Option<Line<'_>>> {
    let mut fields = scan::fields(line);
    let (major, minor, name) = (fields.next_u64()?, fields.next_u64()?, fields.next()?);
    let mut counters = [None; COUNTERS.len()];
    let mut count = 0;
    for (counter, field) in counters.iter_mut().zip(fields) {
        *counter = scan::unsigned(field);
        count += 1;
    }
    // A name with a space in it would shift all that follows.
    if counters[0].is_none() && count > 0 {
        return None;
    }
    Some((count >= FEWEST).then_some(Line { major, minor, name, counters }))
}

struct Line<'a> {
    major: u64,
    minor: u64,
    name: &'a [u8],
    counters: [Option<u64>; COUNTERS.len()],
}

impl Diskstats {
    /// Whether every line was understood.
    fn read(&mut self) -> hostfs::Result<bool> {
        let Diskstats { file, filter, passes, devices, scrape, sources, buf } = self;
        *scrape += 1;
        let mut is_whole = true;
        for line in scan::lines(file.read(buf)?) {
            let Some(line) = parse(line) else {
                is_whole = false;
                continue;
            };
            let Some(Line { major, minor, name, counters }) = line else { continue };
            if !passes.check(name, |name| filter.passes(name)) {
                continue;
            }
            let at = devices.binary_search_by(|device| device.name[..].cmp(name));
            let at = at.unwrap_or_else(|at| {
                devices.insert(at, sources.device(name, major, minor));
                at
            });
            let device = &mut devices[at];
            if device.scrape == *scrape {
                continue;
            }
            if (device.major, device.minor) != (major, minor) {
                sources.kept -= usize::from(device.rotational_file.is_some());
                *device = sources.device(name, major, minor);
            }
            device.scrape = *scrape;
            device.counters = counters;
        }
        devices.retain(|device| {
            let is_there = device.scrape == *scrape;
            sources.kept -= usize::from(!is_there && device.rotational_file.is_some());
            is_there
        });
        for device in devices {
            sources.refresh(device);
        }
        Ok(is_whole)
    }

    fn write(&self, out: &mut Text) {
        for (i, (name, unit, help)) in COUNTERS.into_iter().enumerate() {
            let kind = if name == IO_NOW { Kind::Gauge } else { Kind::Counter };
            let mut family = out.family(name, kind, help);
            for device in &self.devices {
                let Some(value) = device.counters[i] else { continue };
                let labels = [("device", LabelValue::from(&device.name))];
                match unit {
                    Unit::One => family.sample(&labels, value),
                    Unit::Sectors => family.sample(&labels, value as f64 * 512.0),
                    Unit::Milliseconds => family.sample(&labels, value as f64 * 0.001),
                }
            }
        }

        let mut family = out.family(
            "node_disk_info",
            Kind::Gauge,
            "Numbers, names and kind of the block device; always 1.",
        );
        for device in &self.devices {
            let text = |property| LabelValue::from(device.udev.text(property));
            family.sample(
                &[
                    ("device", (&device.name).into()),
                    ("major", device.major.into()),
                    ("minor", device.minor.into()),
                    ("model", text(Property::Model)),
                    ("path", text(Property::Path)),
                    ("revision", text(Property::Revision)),
                    ("rotational", u64::from(device.is_rotational).into()),
                    ("serial", device.udev.serial().into()),
                    ("wwn", text(Property::Wwn)),
                ],
                1u64,
            );
        }
        drop(family);

        let mut family = out.family(
            "node_disk_filesystem_info",
            Kind::Gauge,
            "The filesystem that udev found on the block device; always 1.",
        );
        for device in self.with(Property::FsType) {
            let text = |property| LabelValue::from(device.udev.text(property));
            family.sample(
                &[
                    ("device", (&device.name).into()),
                    ("type", text(Property::FsType)),
                    ("usage", text(Property::FsUsage)),
                    ("uuid", text(Property::FsUuid)),
                    ("version", text(Property::FsVersion)),
                ],
                1u64,
            );
        }
        drop(family);

        let mut family = out.family(
            "node_disk_device_mapper_info",
            Kind::Gauge,
            "Names of the device mapper's device; always 1.",
        );
        for device in self.with(Property::DmName) {
            let text = |property| LabelValue::from(device.udev.text(property));
            family.sample(
                &[
                    ("device", (&device.name).into()),
                    ("lv_layer", text(Property::DmLvLayer)),
                    ("lv_name", text(Property::DmLvName)),
                    ("name", text(Property::DmName)),
                    ("uuid", text(Property::DmUuid)),
                    ("vg_name", text(Property::DmVgName)),
                ],
                1u64,
            );
        }
        drop(family);

        for (property, name, help) in ATA {
            let mut family = out.family(name, Kind::Gauge, help);
            for device in self.with(Property::Ata) {
                // None of the three is ever negative.
                if let Some(value) = scan::float(device.udev.text(property)).filter(|v| v.is_sign_positive())
                {
                    family.sample(&[("device", (&device.name).into())], value);
                }
            }
        }
    }

    fn with(&self, property: Property) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| !device.udev.text(property).is_empty())
    }
}

impl Collector for Diskstats {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let is_whole = self.read()?;
        // A machine without block devices has an empty file.
        self.write(out);
        if is_whole {
            Ok(())
        } else {
            Err(self.file.malformed("numbers, a name and counters in every line").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    const SDA: &str = "   8       0 sda 25354637 34367663 1003346126 18492372 28444756 11134226 505697032 63877960 3 9653880 82621804\n";
    const SDB: &str = " 8 16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n";
    const SDC: &str = " 8 32 sdc 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 99 98\n";

    fn info(name: &str, minor: u64) -> String {
        format!(
            "node_disk_info{{device=\"{name}\",major=\"8\",minor=\"{minor}\",model=\"\",path=\"\",revision=\"\",rotational=\"0\",serial=\"\",wwn=\"\"}} 1\n"
        )
    }

    #[test]
    fn a_line_of_eleven_counters() {
        let tree = Tree::new(&[("proc/diskstats", SDA)]);
        let mut expected = String::new();
        for (name, value) in [
            ("reads_completed_total", "2.5354637e+07"),
            ("reads_merged_total", "3.4367663e+07"),
            ("read_bytes_total", "5.13713216512e+11"),
            ("read_time_seconds_total", "18492.372"),
            ("writes_completed_total", "2.8444756e+07"),
            ("writes_merged_total", "1.1134226e+07"),
            ("written_bytes_total", "2.58916880384e+11"),
            ("write_time_seconds_total", "63877.96"),
            ("io_now", "3"),
            ("io_time_seconds_total", "9653.880000000001"),
            ("io_time_weighted_seconds_total", "82621.804"),
        ] {
            expected += &format!("node_disk_{name}{{device=\"sda\"}} {value}\n");
        }
        assert_eq!(tree.samples(&ENTRY, &[]), expected + &info("sda", 0));
    }

    #[test]
    fn the_number_of_fields_decides() {
        let has = |line: &str, family: &str| {
            Tree::new(&[("proc/diskstats", line)])
                .samples(&ENTRY, &[])
                .contains(&format!("node_disk_{family}{{"))
        };
        assert!(!has(SDA, "discards_completed_total") && !has(SDA, "flush_requests_total"));
        assert!(has(SDB, "discard_time_seconds_total") && !has(SDB, "flush_requests_total"));
        assert!(has(SDC, "discard_time_seconds_total") && has(SDC, "flush_requests_time_seconds_total"));
        let old_partition = "8 1 sda 1 2 3 4\n";
        assert_eq!(Tree::new(&[("proc/diskstats", old_partition)]).samples(&ENTRY, &[]), "");
    }

    #[test]
    fn a_bad_counter_is_absent() {
        let line = "8 0 sda 1 99999999999999999999999 -3 x 5 6 7 8 9 10 11\n";
        let samples = Tree::new(&[("proc/diskstats", line)]).samples(&ENTRY, &[]);
        assert!(
            !samples.contains("reads_merged")
                && !samples.contains("read_bytes")
                && !samples.contains("read_time")
        );
        assert!(samples.contains("node_disk_writes_completed_total{device=\"sda\"} 5\n"), "{samples}");
    }

    #[test]
    fn what_is_no_device_fails_and_leaves_the_rest() {
        for bad in ["\n", "rubbish\n", "8 x sda 1 2 3\n", "8 0 a name 1 2 3 4 5 6 7 8 9 10 11\n", "8 0\n"] {
            let tree = Tree::new(&[("proc/diskstats", &format!("{bad}{SDA}"))]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(matches!(error, Some(Error::Failed(_))), "{bad:?}");
            assert!(samples.contains("node_disk_io_now{device=\"sda\"} 3\n"), "{samples}");
        }
        assert_eq!(Tree::new(&[("proc/diskstats", SDA.trim_end())]).samples(&ENTRY, &[]), "", "cut");
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::Failed(_))));
    }

    #[test]
    fn cut_anywhere_it_has_the_whole_lines_alone() {
        let whole = format!("{SDB}{SDC}");
        let tree = Tree::new(&[]);
        let all = {
            tree.write("proc/diskstats", &whole);
            tree.samples(&ENTRY, &[])
        };
        for end in 0..whole.len() {
            tree.write("proc/diskstats", &whole[..end]);
            let samples = tree.samples(&ENTRY, &[]);
            assert!(samples.lines().all(|line| all.lines().any(|other| other == line)), "{end}: {samples}");
            assert_eq!(samples.contains("sdb"), end >= SDB.len());
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_one_device() {
        let tree = Tree::new(&[("proc/diskstats", &format!("{SDB}{SDB}"))]);
        assert_eq!(tree.samples(&ENTRY, &[]).matches("node_disk_io_now").count(), 1);
    }

    #[test]
    fn udev_is_read_again_when_its_file_is_replaced() {
        let udev = "S:x\nE:ID_SERIAL=long\nE:ID_MODEL=Disk \"1\"\nE:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\n\
                    E:ID_ATA_ROTATION_RATE_RPM=7200\nE:ID_ATA_WRITE_CACHE_ENABLED=x\nE:ID_FS_TYPE=ext4\nE:ID_FS_UUID=a=b\n\
                    E:DM_NAME=vg-lv\nE:DM_LV_NAME=lv\nE:ID_WWN=cut";
        let tree = Tree::new(&[
            ("proc/diskstats", SDA),
            ("udev/b8:0", udev),
            ("sys/block/sda/queue/rotational", "1\n"),
        ]);
        let mut collector = tree.collector(&ENTRY, &[]);
        for _ in 0..2 {
            let (samples, _) = collect(&mut *collector);
            let (_, properties) = samples.split_once("node_disk_info").unwrap();
            assert_eq!(
                properties,
                r#"{device="sda",major="8",minor="0",model="Disk \"1\"",path="",revision="",rotational="1",serial="long",wwn=""} 1
node_disk_filesystem_info{device="sda",type="ext4",usage="",uuid="a=b",version=""} 1
node_disk_device_mapper_info{device="sda",lv_layer="",lv_name="lv",name="vg-lv",uuid="",vg_name=""} 1
node_disk_ata_rotation_rate_rpm{device="sda"} 7200
node_disk_ata_write_cache{device="sda"} 1
"#
            );
        }
        // Of the same size, and in place by rename, as udev does it.
        tree.write("udev/.new", udev.replace("long", "LONG").replace("ID_ATA=1", "ID_ATA="));
        std::fs::rename(tree.path("udev/.new"), tree.path("udev/b8:0")).unwrap();
        tree.write("sys/block/sda/queue/rotational", "0\n");
        let (samples, _) = collect(&mut *collector);
        assert!(samples.contains("serial=\"LONG\"") && samples.contains("rotational=\"0\""), "{samples}");
        assert!(!samples.contains("node_disk_ata"), "{samples}");
        tree.remove("udev/b8:0");
        let (samples, _) = collect(&mut *collector);
        assert!(samples.ends_with(&info("sda", 0)), "{samples}");
    }

    #[test]
    fn ata_properties_that_are_negative_are_absent() {
        let udev = "E:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=-1\nE:ID_ATA_ROTATION_RATE_RPM=-5\nE:ID_ATA_WRITE_CACHE_ENABLED=0\n";
        let samples = Tree::new(&[("proc/diskstats", SDA), ("udev/b8:0", udev)]).samples(&ENTRY, &[]);
        let ata: Vec<&str> = samples.lines().filter(|line| line.starts_with("node_disk_ata")).collect();
        assert_eq!(ata, ["node_disk_ata_write_cache_enabled{device=\"sda\"} 0"]);
    }

    #[test]
    fn a_device_in_the_place_of_another_has_nothing_of_it() {
        let tree = Tree::new(&[("proc/diskstats", SDA), ("udev/b8:0", "E:ID_MODEL=old\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        assert!(collect(&mut *collector).0.contains("model=\"old\""));
        tree.write("proc/diskstats", SDA.replace("8       0", "8      48"));
        assert!(collect(&mut *collector).0.ends_with(&info("sda", 48)));
        tree.write("proc/diskstats", SDB);
        assert!(!collect(&mut *collector).0.contains("sda"));
    }

    #[test]
    fn names_are_in_order_and_hostile_ones_escaped() {
        let tree = Tree::new(&[]);
        tree.write(
            "proc/diskstats",
            b"8 1 \xff\"\\ 1 2 3 4 5 6 7 8 9 10 11\n8 0 a/b 1 2 3 4 5 6 7 8 9 10 11\n",
        );
        tree.write("sys/block/a!b/queue/rotational", "1\n");
        let samples = tree.samples(&ENTRY, &[]);
        assert!(
            samples.starts_with("node_disk_reads_completed_total{device=\"a/b\"} 1\nnode_disk_reads_completed_total{device=\"\u{fffd}\\\"\\\\\"} 1\n"),
            "{samples}"
        );
        assert!(samples.contains(
            "device=\"a/b\",major=\"8\",minor=\"0\",model=\"\",path=\"\",revision=\"\",rotational=\"1\""
        ));
    }

    #[test]
    fn devices_are_filtered() {
        let lines = "7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n259 1 nvme0n1p1 1 2 3 4 5 6 7 8 9 10 11\n";
        let tree = Tree::new(&[("proc/diskstats", lines)]);
        let count = |args: &[&str]| tree.samples(&ENTRY, args).matches("node_disk_io_now").count();
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&["--collector.diskstats.device-exclude="]), 4);
        assert_eq!(count(&["--collector.diskstats.ignored-devices=^loop"]), 3);
        assert_eq!(
            count(&["--collector.diskstats.device-include=1$", "--collector.diskstats.device-exclude="]),
            2
        );
    }
}
