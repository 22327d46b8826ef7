//! Btrfs: `/sys/fs/btrfs/<uuid>` (the kernel's fs/btrfs/sysfs.c), and by ioctl on a mount point what sysfs does not have: how much of
//! each device is given away, and its errors.
//!
//! A filesystem that cannot be reached by a mount point (no permission, another mount namespace) has the sizes of its devices from sysfs.
//! Mount points below a network or FUSE mount are left alone, since the way to them may hang. No mount point is kept open: it could
//! not be unmounted.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::mounts::{self, RootFs, is_remote};
use hostfs::sys::disk::{Btrfs as Mounted, BtrfsErrors};
use hostfs::{Arena, Buf, Dir, Errno, Gone, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "btrfs",
    on: true,
    help: "Btrfs filesystems from /sys/fs/btrfs, and their devices by ioctl.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Btrfs {
            class: paths::sys(flags).join("fs/btrfs"),
            mount_table: mounts::Table::new(&paths::proc(flags)),
            rootfs: RootFs::new(&paths::rootfs(flags)),
            names: Names::new(),
            entries: Names::new(),
            texts: Arena::new(),
            filesystems: Vec::new(),
            spaces: Vec::new(),
            layouts: Vec::new(),
            devices: Vec::new(),
            points: Points::default(),
            buf: Buf::new(),
        }))
    },
};

struct Btrfs {
    class: PathBuf,
    mount_table: mounts::Table,
    rootfs: RootFs,
    names: Names,
    entries: Names,
    texts: Arena,
    filesystems: Vec<Filesystem>,
    spaces: Vec<Space>,
    layouts: Vec<Layout>,
    devices: Vec<Device>,
    points: Points,
    buf: Buf,
}

struct Filesystem {
    /// The name of its directory, as a number: what the ioctl calls it.
    fsid: Option<[u8; 16]>,
    uuid: Span,
    label: Option<Span>,
    global_reserve: Option<u64>,
    commits: Commits,
    /// Its devices as sysfs has them: a range of `devices`.
    devices: std::ops::Range<usize>,
}

/// The numbers of `commit_stats`, times in milliseconds.
#[derive(Default)]
struct Commits {
    count: Option<u64>,
    last: Option<u64>,
    max: Option<u64>,
    total: Option<u64>,
}

impl Commits {
    const NONE: Commits = Commits { count: Some(0), last: Some(0), max: Some(0), total: Some(0) };
}

/// The kinds of data that have their own space.
const TYPES: [&str; 3] = ["data", "metadata", "system"];

/// What one kind of data has.
struct Space {
    uuid: Span,
    kind: &'static str,
    reserved: Option<u64>,
}

/// A RAID profile of one kind of data.
struct Layout {
    uuid: Span,
    kind: &'static str,
    mode: Span,
    used: Option<u64>,
    size: Option<u64>,
    /// How many bytes on disk a byte takes.
    ratio: Option<f64>,
}

#[derive(Clone, Copy)]
struct Device {
    uuid: Span,
    name: Span,
    size: Option<u64>,
    /// What an ioctl says of it.
    details: Option<Details>,
    /// Whether an ioctl has told of the same filesystem's devices, this one among them.
    is_superseded: bool,
}

#[derive(Clone, Copy)]
struct Details {
    uuid: Span,
    unused: u64,
    errors: Option<BtrfsErrors>,
}

/// The mount points at which the filesystems may be asked.
#[derive(Default)]
struct Points {
    texts: Arena,
    /// Device numbers, and the path as it is opened.
    list: Vec<((u64, u64), Span)>,
    /// Where network and FUSE filesystems are mounted, escaped.
    remote: Vec<Span>,
    /// The devices that have answered.
    done: Vec<(u64, u64)>,
    /// Memory for a name.
    point: Vec<u8>,
}

impl Btrfs {
    fn read(&mut self) -> hostfs::Result<()> {
        let Btrfs { class, names, entries, texts, filesystems, spaces, layouts, devices, buf, .. } = self;
        texts.clear();
        filesystems.clear();
        spaces.clear();
        layouts.clear();
        devices.clear();
        // Without the module, or without such a filesystem, there is nothing to tell, which the original takes for success.
        let Some(class) = Dir::open(class).gone_is_none()? else { return Ok(()) };
        class.names(names)?;
        names.retain(|name| name.contains(&b'-'));
        for name in names.iter() {
            let Some(dir) = class.dir(name)? else { continue };
            let text = |attribute: &str, buf: &mut Buf, texts: &mut Arena| -> hostfs::Result<Option<Span>> {
                Ok(dir.attribute(attribute, buf)?.map(|text| texts.push(text.trim_ascii())))
            };
            // Copies of a filesystem that were given a new identity still share the old one, which this is.
            let uuid = text("metadata_uuid", buf, texts)?.filter(|&uuid| {
                !uuid.is_empty() && filesystems.iter().all(|other| texts[other.uuid] != texts[uuid])
            });
            let uuid = uuid.unwrap_or_else(|| texts.push(name.as_bytes()));
            let label = text("label", buf, texts)?;
            let first = devices.len();
            if let Some(dir) = dir.dir("devices")? {
                dir.names(entries)?;
                for name in entries.iter() {
                    let Some(device) = dir.dir(name)? else { continue };
                    let size = device.attribute("size", buf)?.and_then(scan::value);
                    devices.push(Device {
                        uuid,
                        name: texts.push(name.as_bytes()),
                        size: size.map(|sectors| sectors.saturating_mul(512)),
                        details: None,
                        is_superseded: false,
                    });
                }
            }
            let mut global_reserve = None;
            if let Some(allocation) = dir.dir("allocation")? {
                global_reserve = allocation.attribute("global_rsv_size", buf)?.and_then(scan::value);
                for kind in TYPES {
                    let Some(dir) = allocation.dir(kind)? else { continue };
                    let reserved = dir.attribute("bytes_reserved", buf)?.and_then(scan::value);
                    spaces.push(Space { uuid, kind, reserved });
                    entries.clear();
                    dir.each_name(|name, file_type| {
                        if !file_type.is_file() {
                            entries.push(name);
                        }
                    })?;
                    entries.sort();
                    for mode in entries.iter() {
                        let Some(dir) = dir.dir(mode)? else { continue };
                        layouts.push(Layout {
                            uuid,
                            kind,
                            mode: texts.push(mode.as_bytes()),
                            used: dir.attribute("used_bytes", buf)?.and_then(scan::value),
                            size: dir.attribute("total_bytes", buf)?.and_then(scan::value),
                            ratio: ratio(mode.as_bytes(), devices.len() - first),
                        });
                    }
                }
            }
            // Kernels before 6.0 have no such file, and the original says 0 there.
            let commits = dir.attribute("commit_stats", buf)?.map_or(Commits::NONE, commits);
            filesystems.push(Filesystem {
                fsid: fsid(name.as_bytes()),
                uuid,
                label,
                global_reserve,
                commits,
                devices: first..devices.len(),
            });
        }
        Ok(())
    }

    /// Asks each mounted filesystem for its devices. Whatever fails leaves it with those of sysfs.
    fn ask(&mut self) {
        let Btrfs { mount_table, rootfs, texts, filesystems, devices, points, buf, .. } = self;
        if filesystems.is_empty() {
            return;
        }
        let Ok(table) = mount_table.read(buf) else { return };
        points.find(table, rootfs);
        for &(device, path) in &points.list {
            if points.done.contains(&device) {
                continue;
            }
            let Ok(path) = CStr::from_bytes_with_nul(&points.texts[path]) else { continue };
            let Ok(mounted) = Mounted::open(path) else { continue };
            let Ok(info) = mounted.info() else { continue };
            let Some(filesystem) = filesystems.iter().find(|f| f.fsid == Some(info.fsid)) else { continue };
            let first = devices.len();
            if ask_devices(&mounted, info.max_id, info.devices, filesystem.uuid, texts, devices).is_err()
                || devices.len() == first
            {
                devices.truncate(first);
                continue;
            }
            for old in &mut devices[filesystem.devices.clone()] {
                old.is_superseded = true;
            }
            points.done.push(device);
        }
    }
}

fn ask_devices(
    mounted: &Mounted,
    max_id: u64,
    count: u64,
    uuid: Span,
    texts: &mut Arena,
    devices: &mut Vec<Device>,
) -> Result<(), Errno> {
    /// Numbers are given out upwards and never again; so many adds and removes are past all use.
    const MOST: u64 = 4096;
    let mut left = count;
    for id in 0..=max_id.min(MOST) {
        if left == 0 {
            break;
        }
        let device = match mounted.device(id) {
            Err(Errno::NODEV) => continue,
            other => other?,
        };
        left -= 1;
        let name = device.path().rsplit(|&b| b == b'/').next().unwrap_or_default();
        devices.push(Device {
            uuid,
            name: texts.push(name),
            size: Some(device.total),
            details: Some(Details {
                uuid: hyphenated(&device.uuid, texts),
                unused: device.total.saturating_sub(device.used),
                errors: mounted.errors(id).ok(),
            }),
            is_superseded: false,
        });
    }
    Ok(())
}

impl Points {
    fn find(&mut self, table: &[u8], rootfs: &RootFs) {
        let Points { texts, list, remote, done, point } = self;
        texts.clear();
        list.clear();
        remote.clear();
        done.clear();
        for mount in mounts::parse(table).flatten() {
            if mount.point != b"/" && is_remote(mount.fstype, mount.source) {
                remote.push(texts.push(mount.point));
            }
        }
        for mount in mounts::parse(table).flatten().filter(|mount| mount.fstype == b"btrfs") {
            let is_below = |&point: &Span| {
                mount.point.strip_prefix(&texts[point]).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            };
            if remote.iter().any(is_below) {
                continue;
            }
            point.clear();
            point.extend(mounts::unescape(mount.point));
            let path = rootfs.path(rootfs.below(point), texts);
            list.push(((mount.major, mount.minor), path));
        }
    }
}

/// How many bytes on disk a byte takes in a profile over so many devices.
fn ratio(mode: &[u8], devices: usize) -> Option<f64> {
    let parity = |lost: usize| (devices > lost).then(|| devices as f64 / (devices as f64 - lost as f64));
    match mode {
        b"single" | b"raid0" => Some(1.0),
        b"dup" | b"raid1" | b"raid10" => Some(2.0),
        b"raid1c3" => Some(3.0),
        b"raid1c4" => Some(4.0),
        b"raid5" => parity(1),
        b"raid6" => parity(2),
        _ => None,
    }
}

fn commits(bytes: &[u8]) -> Commits {
    let mut commits = Commits::default();
    for line in scan::lines_loose(bytes) {
        let mut fields = scan::fields(line);
        let value = match fields.next().unwrap_or_default() {
            b"commits" => &mut commits.count,
            b"last_commit_ms" => &mut commits.last,
            b"max_commit_ms" => &mut commits.max,
            b"total_commit_ms" => &mut commits.total,
            _ => continue,
        };
        *value = fields.next_u64();
    }
    commits
}

/// The bytes of a UUID, hyphens left out.
fn fsid(name: &[u8]) -> Option<[u8; 16]> {
    let mut digits = name.iter().filter(|&&b| b != b'-').map(|&b| (b as char).to_digit(16));
    let mut id = [0; 16];
    for byte in &mut id {
        *byte = (digits.next()?? * 16 + digits.next()??) as u8;
    }
    digits.next().is_none().then_some(id)
}

fn hyphenated(uuid: &[u8; 16], texts: &mut Arena) -> Span {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    texts.push_all(uuid.iter().enumerate().flat_map(|(i, &byte)| {
        let hyphen = matches!(i, 4 | 6 | 8 | 10).then_some(b'-');
        let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
        hyphen.into_iter().chain([high, low])
    }))
}

impl Collector for Btrfs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        self.ask();
        let text = |span: Span| LabelValue::from(&self.texts[span]);

        let mut info = out.family("node_btrfs_info", Kind::Gauge, "Label of the filesystem; always 1.");
        for filesystem in &self.filesystems {
            if let Some(label) = filesystem.label {
                info.sample(&[("label", text(label)), ("uuid", text(filesystem.uuid))], 1u64);
            }
        }
        info.sort();
        let mut numbers = |name, kind, help, value: fn(&Filesystem) -> Option<f64>| {
            let mut family = out.family(name, kind, help);
            for filesystem in &self.filesystems {
                if let Some(value) = value(filesystem) {
                    family.sample(&[("uuid", text(filesystem.uuid))], value);
                }
            }
            family.sort();
        };
        numbers(
            "node_btrfs_global_rsv_size_bytes",
            Kind::Gauge,
            "Size of the global reserve, in bytes.",
            |f| f.global_reserve.map(|n| n as f64),
        );
        numbers(
            "node_btrfs_commits_total",
            Kind::Counter,
            "Commits since the filesystem was mounted.",
            |f| f.commits.count.map(|n| n as f64),
        );
        numbers(
            "node_btrfs_last_commit_seconds",
            Kind::Gauge,
            "Time that the last commit took, in seconds.",
            |f| f.commits.last.map(|ms| ms as f64 / 1000.0),
        );
        numbers(
            "node_btrfs_max_commit_seconds",
            Kind::Gauge,
            "Time that the slowest commit took, in seconds.",
            |f| f.commits.max.map(|ms| ms as f64 / 1000.0),
        );
        numbers(
            "node_btrfs_commit_seconds_total",
            Kind::Counter,
            "Time that all commits took, in seconds.",
            |f| f.commits.total.map(|ms| ms as f64 / 1000.0),
        );

        let mut family = out.family(
            "node_btrfs_reserved_bytes",
            Kind::Gauge,
            "Space that is set aside for a kind of data, in bytes.",
        );
        for space in &self.spaces {
            if let Some(reserved) = space.reserved {
                family
                    .sample(&[("block_group_type", space.kind.into()), ("uuid", text(space.uuid))], reserved);
            }
        }
        family.sort();
        let mut layouts = |name, help, value: fn(&Layout) -> Option<f64>| {
            let mut family = out.family(name, Kind::Gauge, help);
            for layout in &self.layouts {
                if let Some(value) = value(layout) {
                    let labels = [
                        ("block_group_type", layout.kind.into()),
                        ("mode", text(layout.mode)),
                        ("uuid", text(layout.uuid)),
                    ];
                    family.sample(&labels, value);
                }
            }
            family.sort();
        };
        layouts("node_btrfs_allocation_ratio", "Bytes on disk for a byte of data.", |l| l.ratio);
        layouts("node_btrfs_size_bytes", "Space given to a kind of data, in bytes.", |l| {
            l.size.map(|n| n as f64)
        });
        layouts("node_btrfs_used_bytes", "Space used by a kind of data, in bytes.", |l| {
            l.used.map(|n| n as f64)
        });

        let devices = || self.devices.iter().filter(|device| !device.is_superseded);
        let mut family =
            out.family("node_btrfs_device_size_bytes", Kind::Gauge, "Size of the device, in bytes.");
        for device in devices() {
            let Some(size) = device.size else { continue };
            let name = ("device", text(device.name));
            let uuid = ("uuid", text(device.uuid));
            match device.details {
                Some(details) => family.sample(&[("btrfs_dev_uuid", text(details.uuid)), name, uuid], size),
                None => family.sample(&[name, uuid], size),
            }
        }
        family.sort();
        let mut unused = out.family(
            "node_btrfs_device_unused_bytes",
            Kind::Gauge,
            "Space of the device that is not given to any kind of data, in bytes.",
        );
        for device in devices() {
            if let Some(details) = device.details {
                let labels = [
                    ("btrfs_dev_uuid", text(details.uuid)),
                    ("device", text(device.name)),
                    ("uuid", text(device.uuid)),
                ];
                unused.sample(&labels, details.unused);
            }
        }
        unused.sort();
        let mut family = out.family(
            "node_btrfs_device_errors_total",
            Kind::Counter,
            "Errors of the device since they were last reset.",
        );
        for device in devices() {
            let Some(details) = device.details else { continue };
            let Some(errors) = details.errors else { continue };
            for (kind, count) in [
                ("corruption", errors.corruption),
                ("flush", errors.flush),
                ("generation", errors.generation),
                ("read", errors.read),
                ("write", errors.write),
            ] {
                let labels = [
                    ("btrfs_dev_uuid", text(details.uuid)),
                    ("device", text(device.name)),
                    ("type", kind.into()),
                    ("uuid", text(device.uuid)),
                ];
                family.sample(&labels, count);
            }
        }
        family.sort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const FS: &str = "sys/fs/btrfs/0abb23a9-579b-43e6-ad30-227ef47fcb9d";

    fn tree(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::new(&[]);
        for (name, contents) in files {
            tree.write(&format!("{FS}/{name}"), contents);
        }
        tree
    }

    #[test]
    fn what_sysfs_has() {
        let tree = tree(&[
            ("label", "my \"disk\"\n"),
            ("metadata_uuid", "11111111-579b-43e6-ad30-227ef47fcb9d\n"),
            ("devices/sda/size", "8\n"),
            ("devices/sdb/size", "16\n"),
            ("devices/sdc/size", "x\n"),
            ("allocation/global_rsv_size", "16777216\n"),
            ("allocation/data/bytes_reserved", "4096\n"),
            ("allocation/data/flags", "1\n"),
            ("allocation/data/raid5/used_bytes", "7\n"),
            ("allocation/data/raid5/total_bytes", "9\n"),
            ("allocation/system/raid9/used_bytes", "-1\n"),
            ("allocation/system/raid9/total_bytes", "5\n"),
            (
                "commit_stats",
                "commits 3\nlast_commit_ms 1500\nmax_commit_ms x\nnew 5\ntotal_commit_ms 47836090\n",
            ),
        ]);
        let id = "uuid=\"11111111-579b-43e6-ad30-227ef47fcb9d\"";
        let expected = format!(
            r#"node_btrfs_info{{label="my \"disk\"",{id}}} 1
node_btrfs_global_rsv_size_bytes{{{id}}} 1.6777216e+07
node_btrfs_commits_total{{{id}}} 3
node_btrfs_last_commit_seconds{{{id}}} 1.5
node_btrfs_commit_seconds_total{{{id}}} 47836.09
node_btrfs_reserved_bytes{{block_group_type="data",{id}}} 4096
node_btrfs_allocation_ratio{{block_group_type="data",mode="raid5",{id}}} 1.5
node_btrfs_size_bytes{{block_group_type="data",mode="raid5",{id}}} 9
node_btrfs_size_bytes{{block_group_type="system",mode="raid9",{id}}} 5
node_btrfs_used_bytes{{block_group_type="data",mode="raid5",{id}}} 7
node_btrfs_device_size_bytes{{device="sda",{id}}} 4096
node_btrfs_device_size_bytes{{device="sdb",{id}}} 8192
"#
        );
        assert_eq!(tree.samples(&ENTRY, &[]), expected);
    }

    #[test]
    fn an_old_kernel_has_less() {
        let tree = tree(&[("label", "\n")]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            format!(
                "node_btrfs_info{{label=\"\",uuid=\"{0}\"}} 1\n\
                 node_btrfs_commits_total{{uuid=\"{0}\"}} 0\n\
                 node_btrfs_last_commit_seconds{{uuid=\"{0}\"}} 0\n\
                 node_btrfs_max_commit_seconds{{uuid=\"{0}\"}} 0\n\
                 node_btrfs_commit_seconds_total{{uuid=\"{0}\"}} 0\n",
                "0abb23a9-579b-43e6-ad30-227ef47fcb9d"
            )
        );
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "", "no btrfs at all is success");
        assert_eq!(Tree::new(&[("sys/fs/btrfs/features/raid56", "0\n")]).samples(&ENTRY, &[]), "");
    }

    #[test]
    fn copies_of_a_filesystem_are_told_apart() {
        let tree = tree(&[("metadata_uuid", "a-b\n"), ("label", "one\n")]);
        tree.write("sys/fs/btrfs/1abb23a9-579b-43e6-ad30-227ef47fcb9d/metadata_uuid", "a-b\n");
        tree.write("sys/fs/btrfs/1abb23a9-579b-43e6-ad30-227ef47fcb9d/label", "two\n");
        let samples = tree.samples(&ENTRY, &[]);
        let infos = samples.split_inclusive('\n').filter(|line| line.starts_with("node_btrfs_info{"));
        assert_eq!(
            infos.collect::<String>(),
            "node_btrfs_info{label=\"one\",uuid=\"a-b\"} 1\n\
             node_btrfs_info{label=\"two\",uuid=\"1abb23a9-579b-43e6-ad30-227ef47fcb9d\"} 1\n"
        );
    }

    #[test]
    fn ratios_of_profiles() {
        assert_eq!((ratio(b"raid5", 4), ratio(b"raid6", 4)), (Some(4.0 / 3.0), Some(2.0)));
        assert_eq!((ratio(b"raid5", 1), ratio(b"raid6", 0), ratio(b"raid7", 9)), (None, None, None));
        assert_eq!(
            (ratio(b"dup", 1), ratio(b"raid1c3", 3), ratio(b"single", 1)),
            (Some(2.0), Some(3.0), Some(1.0))
        );
    }

    #[test]
    fn identities_are_the_same_in_both_forms() {
        let mut texts = Arena::new();
        let name = b"0abb23a9-579b-43e6-ad30-227ef47fcb9d";
        let id = fsid(name).unwrap();
        let span = hyphenated(&id, &mut texts);
        assert_eq!(&texts[span], name);
        for bad in
            ["", "0abb23a9", "0abb23a9-579b-43e6-ad30-227ef47fcb9d0", "xabb23a9-579b-43e6-ad30-227ef47fcb9d"]
        {
            assert_eq!(fsid(bad.as_bytes()), None);
        }
    }

    #[test]
    fn mount_points_that_can_be_asked() {
        let table = b"1 1 0:30 / / rw - btrfs /dev/sda rw\n\
            2 1 0:40 / /net rw - nfs4 a:/b rw\n\
            3 2 0:31 / /net/x rw - btrfs /dev/sdb rw\n\
            4 1 0:31 / /network\\040x rw - btrfs /dev/sdb rw\n\
            5 1 8:1 / /ext rw - ext4 /dev/sdc rw\n";
        let flags = exporter::Flags::for_test(paths::FLAGS, &["--path.rootfs=/host"]);
        let mut points = Points::default();
        for _ in 0..2 {
            points.find(table, &RootFs::new(&paths::rootfs(&flags)));
            let list: Vec<_> =
                points.list.iter().map(|&(device, path)| (device, &points.texts[path])).collect();
            assert_eq!(list, [((0, 30), &b"/host/\0"[..]), ((0, 31), &b"/host/network x\0"[..])]);
        }
    }

    #[test]
    fn a_mount_point_that_is_no_btrfs_changes_nothing() {
        let tree = tree(&[("devices/sda/size", "8\n")]);
        tree.write(
            "proc/1/mountinfo",
            "1 1 0:30 / / rw - btrfs /dev/sda rw\n2 1 0:31 / /none rw - btrfs /dev/sda rw\n",
        );
        assert!(tree.samples(&ENTRY, &[]).ends_with("node_btrfs_device_size_bytes{device=\"sda\",uuid=\"0abb23a9-579b-43e6-ad30-227ef47fcb9d\"} 4096\n"));
    }
}
