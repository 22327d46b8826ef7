//! Mounted filesystems: the mount table of process 1 (proc_pid_mountinfo(5)), and statfs(2) of each mount point.
//!
//! The sizes come from calls that may never return, so they are made by [`statfs`], and the scrape ends without those that are late:
//! such a mount has `device_error="mountpoint timeout"` at once, and its sizes in the first scrape after its call came back.
//!
//! The table is parsed, filtered and put in order only when it differs from the last scrape's; names are the kernel's bytes, and two
//! that look the same once they are valid UTF-8 are one series. Of mounts that share all labels the last one counts: it is on top.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exporter::filter::{Filter, Memo};
use exporter::text::{Label, LabelValue};
use exporter::{Collector, Entry, Error, Flag, FlagError, Flags, Kind, Text};
use hostfs::mounts::{self, RootFs, is_remote};
use hostfs::statfs::{self, Helpers, Outcome, Statfs, Table, Target};
use hostfs::sys::disk::{self, Space};
use hostfs::{Arena, Buf, Span, sys};

use crate::paths;

const POINTS_EXCLUDE: &str = "collector.filesystem.mount-points-exclude";
const POINTS_INCLUDE: &str = "collector.filesystem.mount-points-include";
const TYPES_EXCLUDE: &str = "collector.filesystem.fs-types-exclude";
const TYPES_INCLUDE: &str = "collector.filesystem.fs-types-include";
const MOUNT_TIMEOUT: &str = "collector.filesystem.mount-timeout";
const STAT_WORKERS: &str = "collector.filesystem.stat-workers";

pub(crate) const ENTRY: Entry = Entry {
    name: "filesystem",
    on: true,
    help: "Sizes of mounted filesystems, by statfs(2).",
    flags: &[
        Flag::text(
            POINTS_EXCLUDE,
            r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
            "Pattern of mount points to leave out; not together with mount-points-include.",
        ),
        Flag::text(
            POINTS_INCLUDE,
            "",
            "Pattern of mount points to show; not together with mount-points-exclude.",
        ),
        Flag::text(
            TYPES_EXCLUDE,
            "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|\
             overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
            "Pattern of filesystem types to leave out; not together with fs-types-include.",
        ),
        Flag::text(
            TYPES_INCLUDE,
            "",
            "Pattern of filesystem types to show; not together with fs-types-exclude.",
        ),
        Flag::text(MOUNT_TIMEOUT, "5s", "How long to wait for one mount.").hidden(),
        Flag::number(STAT_WORKERS, 4, "How many mounts may hang at once, if more than 16.").hidden(),
        Flag::renamed("collector.filesystem.ignored-mount-points", POINTS_EXCLUDE),
        Flag::renamed("collector.filesystem.ignored-fs-types", TYPES_EXCLUDE),
    ],
    new: |flags| Ok(Box::new(Filesystem::new(flags, Box::new(disk::statfs))?)),
};

/// The time kept back at the deadline for writing what there is.
const MARGIN: Duration = Duration::from_millis(250);

/// The time that mounts have to answer, whatever the deadline.
const LEAST: Duration = Duration::from_millis(50);

/// The longest wait for a mount that makes sense; the deadline comes first anyway.
const LONGEST: Duration = Duration::from_secs(86_400);

struct Filesystem {
    table: mounts::Table,
    rootfs: RootFs,
    points: Filter,
    types: Filter,
    point_passes: Memo,
    type_passes: Memo,
    helpers: Helpers,
    buf: Buf,
    known: Known,
    outcomes: Vec<Outcome>,
}

/// What the last mount table came to.
#[derive(Default)]
struct Known {
    bytes: Vec<u8>,
    /// How many lines were no mounts.
    bad_lines: usize,
    lines: usize,
    texts: Arena,
    /// In order of device, type and mount point, which is the order of the samples.
    mounts: Vec<Mount>,
    /// Indices of `mounts`, in order of device, major, minor and mount point.
    info_order: Vec<u32>,
    /// What the helpers ask: an entry for each of `mounts`.
    table: Arc<Table>,
    /// Memory for a name.
    point: Vec<u8>,
    fstype: Vec<u8>,
}

/// A mount's labels, valid UTF-8.
#[derive(Clone, Copy)]
struct Mount {
    device: Span,
    fstype: Span,
    point: Span,
    major: Span,
    minor: Span,
    is_readonly: bool,
    target: Target,
    line: usize,
}

impl Filesystem {
    fn new(flags: &Flags, statfs: Statfs) -> Result<Self, FlagError> {
        let workers = usize::try_from(flags.number(STAT_WORKERS)).unwrap_or(usize::MAX);
        Ok(Filesystem {
            table: mounts::Table::new(&paths::proc(flags)),
            rootfs: RootFs::new(&paths::rootfs(flags)),
            points: Filter::either(flags, POINTS_INCLUDE, POINTS_EXCLUDE)?,
            types: Filter::either(flags, TYPES_INCLUDE, TYPES_EXCLUDE)?,
            point_passes: Memo::default(),
            type_passes: Memo::default(),
            helpers: Helpers::new(
                workers.clamp(statfs::MOST, 1024),
                flags.duration(MOUNT_TIMEOUT)?.min(LONGEST),
                statfs,
            ),
            buf: Buf::new(),
            known: Known::default(),
            outcomes: Vec::new(),
        })
    }

    /// Sees to it that `known` is what the mount table in `buf` comes to.
    fn learn(&mut self) {
        let Filesystem { buf, known, rootfs, points, types, point_passes, type_passes, .. } = self;
        if known.bytes == buf.bytes() {
            return;
        }
        let Known { bytes, bad_lines, lines, texts, mounts, info_order, table, point, fstype } = known;
        bytes.clear();
        bytes.extend_from_slice(buf.bytes());
        (*bad_lines, *lines) = (0, 0);
        texts.clear();
        mounts.clear();
        // A helper that is stuck in a call holds the old one.
        if Arc::get_mut(table).is_none() {
            *table = Arc::default();
        }
        let table = Arc::get_mut(table).expect("it has one owner: the line above saw to it");
        table.texts.clear();
        for mount in mounts::parse(bytes) {
            *lines += 1;
            let Some(mount) = mount else {
                *bad_lines += 1;
                continue;
            };
            point.clear();
            point.extend(mounts::unescape(mount.point));
            let point = rootfs.below(point);
            fstype.clear();
            fstype.extend(mounts::unescape(mount.fstype));
            if !point_passes.check(point, |point| points.passes(point))
                || !type_passes.check(fstype, |fstype| types.passes(fstype))
            {
                continue;
            }
            let target = Target {
                path: rootfs.path(point, &mut table.texts),
                id: mount.id,
                source: mounts::unescape_into(mount.source, &mut table.texts),
                device: (mount.major, mount.minor),
                remote: is_remote(fstype, mount.source),
            };
            mounts.push(Mount {
                device: keep(texts, &table.texts[target.source]),
                fstype: keep(texts, fstype),
                point: keep(texts, point),
                major: decimal(texts, mount.major),
                minor: decimal(texts, mount.minor),
                is_readonly: mount.is_readonly(),
                target,
                line: *lines,
            });
        }
        let key = |m: &Mount| (&texts[m.device], &texts[m.fstype], &texts[m.point]);
        mounts.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(b.line.cmp(&a.line)));
        mounts.dedup_by(|later, earlier| key(later) == key(earlier));

        info_order.clear();
        info_order.extend(0..mounts.len() as u32);
        let info_key = |&i: &u32| info_key(texts, &mounts[i as usize]);
        info_order.sort_unstable_by(|a, b| info_key(a).cmp(&info_key(b)));
        info_order.dedup_by(|later, earlier| info_key(later) == info_key(earlier));

        table.entries.clear();
        table.entries.extend(mounts.iter().map(|mount| mount.target));
        table.order.clear();
        table.order.extend(0..mounts.len() as u32);
        // Disks first: their answers must be there, whatever becomes of the rest.
        let rank = |&i: &u32| {
            let target = &mounts[i as usize].target;
            (target.remote, !table.texts[target.source].starts_with(b"/"), i)
        };
        table.order.sort_unstable_by_key(rank);
    }

    fn write(&self, out: &mut Text) {
        let Known { texts, mounts, info_order, .. } = &self.known;
        let each = || mounts.iter().zip(&self.outcomes);
        let text = |span: Span| LabelValue::from(&texts[span]);
        let labels = |mount: &Mount, error: &'static str| -> [Label<'_>; 4] {
            [
                ("device", text(mount.device)),
                ("device_error", error.into()),
                ("fstype", text(mount.fstype)),
                ("mountpoint", text(mount.point)),
            ]
        };
        for (name, help, value) in SIZES {
            let mut family = out.family(name, Kind::Gauge, help);
            for (mount, outcome) in each() {
                if let Outcome::Space(space) = outcome {
                    family.sample(&labels(mount, ""), value(space));
                }
            }
        }

        let has_errors = self.outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Space(_)));
        for (name, help, value) in FLAGS_OF_ALL {
            let mut family = out.family(name, Kind::Gauge, help);
            for (mount, outcome) in each() {
                family.sample(&labels(mount, error(outcome)), value(mount, outcome));
            }
            if has_errors {
                family.sort();
            }
        }

        let mut family = out.family(
            "node_filesystem_mount_info",
            Kind::Gauge,
            "Device numbers of the mounted filesystem; always 1.",
        );
        for &i in info_order {
            let mount = &mounts[i as usize];
            if matches!(self.outcomes.get(i as usize), Some(Outcome::Space(_))) {
                family.sample(
                    &[
                        ("device", text(mount.device)),
                        ("major", text(mount.major)),
                        ("minor", text(mount.minor)),
                        ("mountpoint", text(mount.point)),
                    ],
                    1u64,
                );
            }
        }
    }
}

/// A family that every mount has, whether or not its sizes could be had: its HELP, and its value.
type FlagOfAll = (&'static str, &'static str, fn(&Mount, &Outcome) -> bool);

const FLAGS_OF_ALL: [FlagOfAll; 2] = [
    (
        "node_filesystem_device_error",
        "Whether the sizes of the filesystem could not be had, for the reason in device_error.",
        |_, outcome| !matches!(outcome, Outcome::Space(_)),
    ),
    ("node_filesystem_readonly", "Whether the mount or its filesystem is read-only.", |mount, _| {
        mount.is_readonly
    }),
];

/// A family, its HELP, and its value.
type Size = (&'static str, &'static str, fn(&Space) -> f64);

const SIZES: [Size; 6] = [
    ("node_filesystem_avail_bytes", "Space free for users other than root, in bytes.", |s| {
        s.available as f64 * s.block_size as f64
    }),
    ("node_filesystem_files", "Inodes of the filesystem.", |s| s.files as f64),
    ("node_filesystem_files_free", "Free inodes of the filesystem.", |s| s.files_free as f64),
    ("node_filesystem_free_bytes", "Space free for root, in bytes.", |s| s.free as f64 * s.block_size as f64),
    (
        "node_filesystem_purgeable_bytes",
        "Space that the system could free by itself, in bytes; 0 on Linux, which knows no such thing.",
        |_| 0.0,
    ),
    ("node_filesystem_size_bytes", "Size of the filesystem, in bytes.", |s| {
        s.blocks as f64 * s.block_size as f64
    }),
];

impl Collector for Filesystem {
    fn collect(&mut self, out: &mut Text, deadline: Instant) -> Result<(), Error> {
        self.table.read(&mut self.buf)?;
        self.learn();
        let malformed = |expected| Error::from(hostfs::Error::malformed(self.table.path(), expected));
        if self.known.lines == 0 {
            return Err(malformed("a table of mounts"));
        }
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        // However late it is, mounts that were not asked must not look as if they hung.
        let limit = now + left.saturating_sub(MARGIN.min(left / 4)).max(LEAST);
        self.helpers
            .ask(&self.known.table, limit, &mut self.outcomes)
            .map_err(|error| Error::Failed(format!("no thread for statfs: {error}").into()))?;
        self.write(out);
        // The mounts that were understood are told all the same.
        if self.known.bad_lines > 0 { Err(malformed("a table of mounts in every line")) } else { Ok(()) }
    }
}

/// What the label `device_error` says.
fn error(outcome: &Outcome) -> &'static str {
    match *outcome {
        Outcome::Space(_) => "",
        Outcome::Failed(errno) => sys::describe(errno),
        Outcome::Open | Outcome::Asked | Outcome::Late => "mountpoint timeout",
    }
}

/// Keeps a text as it will look in the label.
fn keep(texts: &mut Arena, bytes: &[u8]) -> Span {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(_) => texts.push(bytes),
        Cow::Owned(text) => texts.push(text.as_bytes()),
    }
}

fn decimal(texts: &mut Arena, number: u64) -> Span {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return texts.push(&digits[at..]);
        }
    }
}

fn info_key<'a>(texts: &'a Arena, mount: &Mount) -> [&'a [u8]; 4] {
    [&texts[mount.device], &texts[mount.major], &texts[mount.minor], &texts[mount.point]]
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use hostfs::Errno;

    use super::*;
    use crate::testing::{Tree, collect};

    const TABLE: &str = "\
        24 29 0:22 / /sys rw - sysfs sysfs rw\n\
        29 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro\n\
        31 26 0:26 / /data\\040a\\134b ro,nosuid shared:4 - tmpfs my\\040disk rw,inode64\n\
        32 26 0:31 / /gone rw - nfs4 host:/share rw\n\
        33 26 0:5 / /dev rw - devtmpfs udev rw\n";

    fn filesystem(
        tree: &Tree,
        args: &[&str],
        statfs: impl Fn(&CStr) -> Result<Space, Errno> + Send + Sync + 'static,
    ) -> Filesystem {
        let flags: Vec<Flag> = paths::FLAGS.iter().chain(ENTRY.flags).copied().collect();
        let proc = format!("--path.procfs={}", tree.path("proc").display());
        let args: Vec<&str> = [&proc[..]].into_iter().chain(args.iter().copied()).collect();
        Filesystem::new(&Flags::for_test(&flags, &args), Box::new(statfs)).unwrap()
    }

    fn space(path: &CStr) -> Result<Space, Errno> {
        match path.to_bytes() {
            b"/gone" => Err(Errno::STALE),
            path => Ok(Space {
                block_size: 4096,
                blocks: 1 << 60,
                free: 20,
                available: 10,
                files: path.len() as u64,
                files_free: 3,
            }),
        }
    }

    #[test]
    fn sizes_errors_and_device_numbers() {
        let tree = Tree::new(&[("proc/1/mountinfo", TABLE)]);
        let mut filesystem = filesystem(&tree, &[], space);
        let expected = r#"node_filesystem_avail_bytes{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 40960
node_filesystem_avail_bytes{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 40960
node_filesystem_files{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 1
node_filesystem_files{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 9
node_filesystem_files_free{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 3
node_filesystem_files_free{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 3
node_filesystem_free_bytes{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 81920
node_filesystem_free_bytes{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 81920
node_filesystem_purgeable_bytes{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 0
node_filesystem_purgeable_bytes{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 0
node_filesystem_size_bytes{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 4.722366482869645e+21
node_filesystem_size_bytes{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 4.722366482869645e+21
node_filesystem_device_error{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 0
node_filesystem_device_error{device="host:/share",device_error="stale NFS file handle",fstype="nfs4",mountpoint="/gone"} 1
node_filesystem_device_error{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 0
node_filesystem_readonly{device="/dev/sda2",device_error="",fstype="ext4",mountpoint="/"} 0
node_filesystem_readonly{device="host:/share",device_error="stale NFS file handle",fstype="nfs4",mountpoint="/gone"} 0
node_filesystem_readonly{device="my disk",device_error="",fstype="tmpfs",mountpoint="/data a\\b"} 1
node_filesystem_mount_info{device="/dev/sda2",major="8",minor="2",mountpoint="/"} 1
node_filesystem_mount_info{device="my disk",major="0",minor="26",mountpoint="/data a\\b"} 1
"#;
        for _ in 0..2 {
            assert_eq!(collect(&mut filesystem), (expected.into(), None));
        }
        tree.write("proc/1/mountinfo", "1 2 8:1 / /new rw - ext4 /dev/sdb rw\n");
        let (samples, error) = collect(&mut filesystem);
        assert!(
            error.is_none() && samples.contains(r#"major="8",minor="1",mountpoint="/new"} 1"#),
            "{samples}"
        );
        assert!(!samples.contains("sda2"), "{samples}");
    }

    #[test]
    fn a_mount_that_hangs_is_a_timeout_in_the_same_scrape() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let tree = Tree::new(&[("proc/1/mountinfo", TABLE)]);
        let args = ["--collector.filesystem.mount-timeout=150ms", "--collector.filesystem.stat-workers=1"];
        let mut filesystem = filesystem(&tree, &args, move |path| {
            if path == c"/gone" {
                let _ = released.lock().unwrap().recv();
                return space(c"/back");
            }
            space(path)
        });
        let late = r#"node_filesystem_device_error{device="host:/share",device_error="mountpoint timeout",fstype="nfs4",mountpoint="/gone"} 1"#;
        for _ in 0..3 {
            let (samples, error) = collect(&mut filesystem);
            assert!(error.is_none() && samples.contains(late), "{samples}");
            assert_eq!(samples.matches("node_filesystem_size_bytes").count(), 2, "{samples}");
        }
        drop(release);
        let start = Instant::now();
        while collect(&mut filesystem).0.matches("node_filesystem_size_bytes").count() != 3 {
            assert!(start.elapsed() < Duration::from_secs(20), "it never came back");
        }
    }

    #[test]
    fn the_root_is_taken_off_at_a_whole_name() {
        let table = "\
            1 2 8:1 / /host rw - ext4 /dev/a rw\n\
            2 2 8:2 / /host/data rw - ext4 /dev/b rw\n\
            3 2 8:3 / /hostess rw - ext4 /dev/c rw\n\
            4 2 8:4 / /etc/hosts rw - ext4 /dev/d rw\n";
        let tree = Tree::new(&[("proc/self/mountinfo", table)]);
        for root in ["--path.rootfs=/host", "--path.rootfs=/host/"] {
            let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
            let log = Arc::clone(&asked);
            let mut filesystem = filesystem(&tree, &[root], move |path| {
                log.lock().unwrap().push(path.to_str().unwrap().to_owned());
                space(path)
            });
            let (samples, _) = collect(&mut filesystem);
            let points: Vec<&str> = samples
                .lines()
                .filter(|line| line.starts_with("node_filesystem_files{"))
                .filter_map(|line| line.split("mountpoint=\"").nth(1)?.split('"').next())
                .collect();
            assert_eq!(points, ["/", "/data", "/hostess", "/etc/hosts"]);
            assert_eq!(*asked.lock().unwrap(), ["/host/", "/host/data", "/host/hostess", "/host/etc/hosts"]);
        }
    }

    #[test]
    fn disks_are_asked_before_servers() {
        let table = "\
            1 2 0:1 / /nfs rw - nfs4 a:/b rw\n\
            2 2 0:2 / /share rw - other b:/c rw\n\
            3 2 0:3 / /usb rw - fuseblk /dev/sdb1 rw\n\
            4 2 0:4 / /tmp rw - tmpfs tmpfs rw\n\
            5 2 8:4 / /disk rw - xfs /dev/sda1 rw\n";
        let tree = Tree::new(&[("proc/1/mountinfo", table)]);
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut filesystem = filesystem(&tree, &[], move |path| {
            log.lock().unwrap().push(path.to_str().unwrap().to_owned());
            space(path)
        });
        collect(&mut filesystem);
        let asked = asked.lock().unwrap();
        assert_eq!(asked[..2], ["/disk", "/tmp"]);
        assert_eq!(asked.len(), 5);
    }

    #[test]
    fn series_are_unique_whatever_the_names() {
        let tree = Tree::new(&[]);
        tree.write(
            "proc/1/mountinfo",
            b"1 2 8:1 / /cass\xe9 rw - ext4 /dev/a rw\n\
              2 2 8:1 / /cass\xe8 ro - ext4 /dev/a rw\n\
              3 2 8:2 / /b\"}\\012x rw - ext4 \xff rw\n\
              4 2 0:9 / /over rw - tmpfs tmpfs rw\n\
              5 4 0:10 / /over ro - tmpfs tmpfs rw\n",
        );
        let (samples, error) = collect(&mut filesystem(&tree, &[], space));
        assert_eq!(error, None);
        let lines: Vec<&str> = samples.lines().collect();
        let unique: std::collections::HashSet<_> =
            lines.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
        assert_eq!(unique.len(), lines.len(), "{samples}");
        let cass = "node_filesystem_readonly{device=\"/dev/a\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/cass\u{fffd}\"} 1";
        let odd = "node_filesystem_readonly{device=\"\u{fffd}\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/b\\\"}\\nx\"} 0";
        let over = "node_filesystem_readonly{device=\"tmpfs\",device_error=\"\",fstype=\"tmpfs\",mountpoint=\"/over\"} 1";
        assert!(lines.contains(&cass) && lines.contains(&odd) && lines.contains(&over), "{samples}");
        assert!(samples.contains(
            r#"node_filesystem_mount_info{device="tmpfs",major="0",minor="10",mountpoint="/over"} 1"#
        ));
    }

    #[test]
    fn filters_take_either_pattern() {
        let tree = Tree::new(&[("proc/1/mountinfo", TABLE)]);
        let points = |args: &[&str]| {
            let (samples, _) = collect(&mut filesystem(&tree, args, space));
            samples.lines().filter(|line| line.starts_with("node_filesystem_readonly")).count()
        };
        assert_eq!(points(&[]), 3);
        assert_eq!(points(&["--collector.filesystem.mount-points-exclude=^/(data|sys)"]), 2);
        assert_eq!(points(&["--collector.filesystem.mount-points-include=^/(data|sys)"]), 1);
        assert_eq!(points(&["--collector.filesystem.fs-types-include=^(sysfs|ext4)$"]), 1);
        assert_eq!(
            points(&[
                "--collector.filesystem.ignored-mount-points=^/gone",
                "--collector.filesystem.ignored-fs-types=^x$"
            ]),
            4
        );
    }

    #[test]
    fn a_bad_line_costs_the_success_and_no_more() {
        let good = "1 2 8:1 / /a rw - ext4 /dev/a rw\n";
        let tree = Tree::new(&[("proc/1/mountinfo", &format!("{good}rubbish\n"))]);
        let (samples, error) = collect(&mut filesystem(&tree, &[], space));
        assert!(
            samples.contains("mountpoint=\"/a\"") && matches!(error, Some(Error::Failed(_))),
            "{samples}"
        );
        for bad in ["", "\n", "\0\r\n", "1 2 8:1 / /a rw - ext4 /dev/a rw"] {
            tree.write("proc/1/mountinfo", bad);
            let (samples, error) = collect(&mut filesystem(&tree, &[], space));
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
        tree.remove("proc/1/mountinfo");
        assert!(matches!(collect(&mut filesystem(&tree, &[], space)).1, Some(Error::Failed(_))));
    }

    #[test]
    fn two_thousand_mounts_are_asked_once_each() {
        use std::fmt::Write;
        let mut table = String::new();
        for i in 0..2000 {
            writeln!(table, "{i} 1 8:{i} / /mnt/{i} rw,relatime shared:{i} - ext4 /dev/disk{i} rw").unwrap();
        }
        let tree = Tree::new(&[("proc/1/mountinfo", &table)]);
        let (samples, error) = collect(&mut filesystem(&tree, &[], space));
        assert_eq!((samples.lines().count(), error), (2000 * 9, None));
    }

    #[test]
    fn a_timeout_of_centuries_is_taken() {
        let tree = Tree::new(&[("proc/1/mountinfo", TABLE)]);
        let args = ["--collector.filesystem.mount-timeout=4000000000000000h"];
        // Slow enough for the caller to look how long it has waited.
        let mut filesystem = filesystem(&tree, &args, |path| {
            std::thread::sleep(Duration::from_millis(150));
            space(path)
        });
        assert!(collect(&mut filesystem).0.contains("node_filesystem_size_bytes"));
    }

    #[test]
    fn bad_flags_are_refused() {
        let flags: Vec<Flag> = paths::FLAGS.iter().chain(ENTRY.flags).copied().collect();
        for args in [
            &["--collector.filesystem.mount-timeout=soon"][..],
            &["--collector.filesystem.mount-points-exclude=("],
            &["--collector.filesystem.fs-types-exclude=a", "--collector.filesystem.fs-types-include=b"],
        ] {
            assert!((ENTRY.new)(&Flags::for_test(&flags, args)).is_err(), "{args:?}");
        }
    }
}
