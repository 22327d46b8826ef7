//! Block devices: what a device number is called, and what the machine as a whole did with each disk.
//!
//! Control groups account I/O by `major:minor`. The name in a container's `device` label is `/dev/<name>` for a whole disk of `/sys/block`,
//! else what the mount table says is mounted with that number, else empty; for the machine itself the mount table comes first.
//! Names are kept for a minute, and looked up again when a number shows up that has none. Counters are those of `/proc/diskstats`, see
//! the kernel's `Documentation/admin-guide/iostats.rst`, for every device: the original knows only names such as `sda`, and takes
//! the kernel's milliseconds for nanoseconds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hostfs::{Arena, Buf, Dir, File, Names, Root, Span, mounts, scan};

/// How long names are good for: a disk may be replaced by another with the same number.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Names and counters of block devices.
#[derive(Debug)]
pub struct Disks {
    block: PathBuf,
    mount_table: mounts::Table,
    diskstats: File,
    buf: Buf,
    names: Names,
    /// Of `known` and `unknown`.
    texts: Arena,
    /// In order of number.
    known: Vec<Known>,
    /// Numbers that the last look found nothing for.
    unknown: Vec<(u32, u32)>,
    looked: Option<Instant>,
    may_look: bool,
    counters: Vec<Row>,
    labels: Arena,
}

/// What a number is called.
#[derive(Debug, Clone, Copy)]
struct Known {
    number: (u32, u32),
    /// `/dev/<name>`, if it is a whole disk.
    disk: Option<Span>,
    /// The first thing in the mount table with this number.
    source: Option<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// As for the machine.
    label: Span,
    /// `/dev/<name>`.
    node: Span,
    counters: Counters,
}

/// What the machine did with one block device since it appeared: a line of `/proc/diskstats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The device's number.
    pub major: u32,
    /// The device's number.
    pub minor: u32,
    /// Reads completed.
    pub reads: u64,
    /// Reads merged with others before they were queued.
    pub reads_merged: u64,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Time of all reads together, in milliseconds.
    pub read_ms: u64,
    /// Writes completed.
    pub writes: u64,
    /// Writes merged.
    pub writes_merged: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
    /// Time of all writes together, in milliseconds.
    pub write_ms: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Time in which at least one request was under way, in milliseconds.
    pub io_ms: u64,
    /// The same, weighted with the number of requests, in milliseconds.
    pub weighted_io_ms: u64,
}

impl Disks {
    /// Takes the roots that stand for `/proc` and `/sys`; nothing is read yet.
    pub fn new(proc: &Root, sys: &Root) -> Self {
        Disks {
            block: sys.join("block"),
            mount_table: mounts::Table::new(proc),
            diskstats: proc.file("diskstats"),
            buf: Buf::new(),
            names: Names::new(),
            texts: Arena::new(),
            known: Vec::new(),
            unknown: Vec::new(),
            looked: None,
            may_look: true,
            counters: Vec::new(),
            labels: Arena::new(),
        }
    }

    /// To be called at the start of a scrape: the names may be looked up once more, if they are old or if a number shows up that has none.
    pub fn begin(&mut self) {
        self.may_look = true;
        if self.looked.is_some_and(|looked| looked.elapsed() >= GOOD_FOR) {
            self.look();
        }
    }

    /// What the `device` label of a container says: the disk, the mount source, or nothing.
    pub fn name(&mut self, major: u32, minor: u32) -> &[u8] {
        let known = self.find(major, minor);
        known.and_then(|known| known.disk.or(known.source)).map_or(b"", |span| &self.texts[span])
    }

    /// What the `device` label of the machine says: the mount source, the disk, or nothing.
    pub fn name_for_machine(&mut self, major: u32, minor: u32) -> &[u8] {
        let known = self.find(major, minor);
        known.and_then(|known| known.source.or(known.disk)).map_or(b"", |span| &self.texts[span])
    }

    /// Reads `/proc/diskstats` anew.
    ///
    /// # Errors
    /// The file cannot be read; then there are no counters.
    pub fn read_counters(&mut self) -> hostfs::Result<()> {
        self.counters.clear();
        self.labels.clear();
        if self.looked.is_none() {
            self.look();
        }
        let Disks { diskstats, buf, texts, known, counters, labels, .. } = self;
        for line in scan::lines(diskstats.read(buf)?) {
            let Some((name, read)) = Counters::parse(line) else { continue };
            let number = (read.major, read.minor);
            if read == (Counters { major: number.0, minor: number.1, ..Counters::default() }) {
                continue;
            }
            let node = labels.push_all(b"/dev/".iter().chain(name).copied());
            let known = known.binary_search_by_key(&number, |known| known.number).ok().map(|at| &known[at]);
            let source = known.and_then(|known| known.source);
            let label = source.map_or(node, |source| labels.push(&texts[source]));
            counters.push(Row { label, node, counters: read });
        }
        self.counters.sort_unstable_by_key(|row| (row.counters.major, row.counters.minor));
        Ok(())
    }

    /// The counters of every device of the last reading that has done anything, in order of number, with its name as for the machine:
    /// the mount source, else `/dev/<name>`.
    pub fn counters(&self) -> impl ExactSizeIterator<Item = (&[u8], &Counters)> {
        self.counters.iter().map(|row| (&self.labels[row.label], &row.counters))
    }

    /// The counters of one device.
    pub fn counters_of(&self, major: u32, minor: u32) -> Option<&Counters> {
        let at = self
            .counters
            .binary_search_by_key(&(major, minor), |row| (row.counters.major, row.counters.minor));
        Some(&self.counters[at.ok()?].counters)
    }

    /// The counters of the device with this mount source or this name in `/dev`: for filesystems such as btrfs whose number is no device's.
    pub fn counters_named(&self, name: &[u8]) -> Option<&Counters> {
        let is_named = |row: &&Row| self.labels[row.node] == *name || self.labels[row.label] == *name;
        self.counters.iter().find(is_named).map(|row| &row.counters)
    }

    fn find(&mut self, major: u32, minor: u32) -> Option<Known> {
        let number = (major, minor);
        if let Ok(at) = self.known.binary_search_by_key(&number, |known| known.number) {
            return Some(self.known[at]);
        }
        if self.unknown.contains(&number) {
            return None;
        }
        if self.may_look || self.looked.is_none() {
            self.look();
            if let Ok(at) = self.known.binary_search_by_key(&number, |known| known.number) {
                return Some(self.known[at]);
            }
        }
        self.unknown.push(number);
        None
    }

    /// Reads what numbers are called. What cannot be read has no name.
    fn look(&mut self) {
        self.may_look = false;
        self.looked = Some(Instant::now());
        let Disks { block, mount_table, buf, names, texts, known, unknown, .. } = self;
        texts.clear();
        known.clear();
        unknown.clear();
        names.clear();
        if let Ok(dir) = Dir::open(&*block)
            && dir.names(names).is_ok()
        {
            for name in names.iter() {
                if is_disk(name.as_encoded_bytes())
                    && let Ok(Some(device)) = dir.dir(name)
                    && let Some(number) = number_of(&device, buf)
                {
                    known.push(Known {
                        number,
                        disk: Some(node(name.as_encoded_bytes(), texts)),
                        source: None,
                    });
                }
            }
        }
        known.sort_unstable_by_key(|known| known.number);
        for mount in mount_table.read(buf).map(mounts::parse).into_iter().flatten().flatten() {
            let (Ok(major), Ok(minor)) = (u32::try_from(mount.major), u32::try_from(mount.minor)) else {
                continue;
            };
            // Major 0 is for what has no device, or more than one, as btrfs.
            if major == 0 && !mount.source.starts_with(b"/dev/") && mount.fstype != b"zfs" {
                continue;
            }
            let number = (major, minor);
            match known.binary_search_by_key(&number, |known| known.number) {
                Ok(at) => {
                    let source = &mut known[at].source;
                    *source = source.or_else(|| Some(mounts::unescape_into(mount.source, texts)));
                }
                Err(at) => {
                    let source = Some(mounts::unescape_into(mount.source, texts));
                    known.insert(at, Known { number, disk: None, source });
                }
            }
        }
    }
}

impl Counters {
    /// A line, with the device's name. Kernels append columns; lines with fewer than eleven counters are of no use.
    fn parse(line: &[u8]) -> Option<(&[u8], Self)> {
        let mut fields = scan::fields(line);
        let major = fields.next_u64()?.try_into().ok()?;
        let minor = fields.next_u64()?.try_into().ok()?;
        let name = fields.next()?;
        let mut next = || fields.next_u64();
        let counters = Counters {
            major,
            minor,
            reads: next()?,
            reads_merged: next()?,
            sectors_read: next()?,
            read_ms: next()?,
            writes: next()?,
            writes_merged: next()?,
            sectors_written: next()?,
            write_ms: next()?,
            in_flight: next()?,
            io_ms: next()?,
            weighted_io_ms: next()?,
        };
        Some((name, counters))
    }
}

/// Whether an entry of `/sys/block` is a disk, as the original sees it: no loop device, no RAM disk, no optical drive.
pub(crate) fn is_disk(name: &[u8]) -> bool {
    ![&b"loop"[..], b"ram", b"sr"].iter().any(|prefix| name.starts_with(prefix))
}

/// The number of a device of `/sys/block`; those without a node in `/dev` (a path of a multipath NVMe namespace) have none.
pub(crate) fn number_of(device: &Dir, buf: &mut Buf) -> Option<(u32, u32)> {
    if device.attribute("hidden", buf).ok()?.is_some_and(|hidden| scan::value(hidden) == Some(1)) {
        return None;
    }
    let (major, minor) = scan::split_once(device.attribute("dev", buf).ok()??.trim_ascii(), b':')?;
    Some((scan::unsigned(major)?.try_into().ok()?, scan::unsigned(minor)?.try_into().ok()?))
}

/// `/dev/<name>`; where the name in `/dev` has a slash, that in `/sys` has an exclamation mark.
fn node(name: &[u8], texts: &mut Arena) -> Span {
    let name = name.iter().map(|&b| if b == b'!' { b'/' } else { b });
    texts.push_all(b"/dev/".iter().copied().chain(name))
}

#[cfg(test)]
mod tests {
    use testbed::shared;
    use testbed::tree::Tree;

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        for (name, number) in [
            ("sda", "8:0"),
            ("nvme0n1", "259:0"),
            ("mmcblk0", "179:0"),
            ("md127", "9:127"),
            ("dm-3", "253:3"),
            ("nbd0", "43:0"),
            ("zram0", "252:0"),
            ("bcache0", "251:0"),
            ("cciss!c0d0", "104:0"),
            ("loop0", "7:0"),
            ("ram0", "1:0"),
            ("sr0", "11:0"),
            ("odd", "8:"),
        ] {
            tree.file(format!("sys/block/{name}/dev"), format!("{number}\n"));
        }
        tree.file("sys/block/nvme0c0n1/hidden", "1\n");
        tree.file("sys/block/nvme0c0n1/dev", "259:7\n");
        tree.file(
            "proc/self/mountinfo",
            "1 0 253:3 / / rw - ext4 /dev/mapper/vg-root rw\n\
             2 1 8:1 / /a\\040b rw - ext4 /dev/disk\\040x rw\n\
             3 1 8:1 / /again rw - ext4 /dev/other rw\n\
             4 1 0:30 / /run rw - tmpfs tmpfs rw\n\
             6 1 0:44 / /home rw - btrfs /dev/sdc1 rw\n\
             5 1 7:0 / /snap rw - squashfs /dev/loop0 rw\n\
             rubbish\n",
        );
        tree.file(
            "proc/diskstats",
            "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n \
             259       0 nvme0n1 100 0 8 2500 0 0 0 0 0 2 3\n \
             253       3 dm-3 18446744073709551615 0 0 0 0 0 0 0 0 0 0\n   \
             7       1 loop1 0 0 0 0 0 0 0 0 0 0 0\n   \
             8       1 sda1 1 2 3 4\n   \
             8       2 sda2 1 2 3 4 5 6 -7 8 9 10 11\n\
             rubbish\n   \
             8      16 sdb 1 2 3 4 5 6 7 8 9 10 1",
        );
        tree
    }

    fn setup(tree: &Tree) -> (tempfile::TempDir, Disks) {
        let dir = tree.unpacked();
        let disks = Disks::new(&Root::new(dir.path().join("proc")), &Root::new(dir.path().join("sys")));
        (dir, disks)
    }

    fn name(disks: &mut Disks, major: u32, minor: u32) -> String {
        String::from_utf8(disks.name(major, minor).to_vec()).unwrap()
    }

    #[test]
    fn names_of_disks_and_mounts() {
        let (_dir, mut disks) = setup(&tree());
        for (major, minor, expected) in [
            (8, 0, "/dev/sda"),
            (259, 0, "/dev/nvme0n1"),
            (179, 0, "/dev/mmcblk0"),
            (9, 127, "/dev/md127"),
            (253, 3, "/dev/dm-3"),
            (43, 0, "/dev/nbd0"),
            (252, 0, "/dev/zram0"),
            (251, 0, "/dev/bcache0"),
            (104, 0, "/dev/cciss/c0d0"),
            (8, 1, "/dev/disk x"),
            (7, 0, "/dev/loop0"),
            (1, 0, ""),
            (11, 0, ""),
            (259, 7, ""),
            (0, 30, ""),
            (0, 44, "/dev/sdc1"),
            (8, 99, ""),
        ] {
            assert_eq!(name(&mut disks, major, minor), expected, "{major}:{minor}");
        }
        assert_eq!(disks.name_for_machine(253, 3), b"/dev/mapper/vg-root");
        assert_eq!(disks.name_for_machine(8, 0), b"/dev/sda");
        assert_eq!(disks.name_for_machine(8, 99), b"");
    }

    #[test]
    fn a_new_number_is_looked_up_once_a_scrape() {
        let (dir, mut disks) = setup(&tree());
        disks.begin();
        assert_eq!(name(&mut disks, 8, 0), "/dev/sda");
        let new = dir.path().join("sys/block/sdb");
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("dev"), "8:16\n").unwrap();
        assert_eq!(name(&mut disks, 8, 16), "", "looked already");
        let mut disks = Disks::new(&Root::new(dir.path().join("proc")), &Root::new(dir.path().join("sys")));
        disks.begin();
        assert_eq!(name(&mut disks, 8, 32), "");
        let newer = dir.path().join("sys/block/sdd");
        std::fs::create_dir(&newer).unwrap();
        std::fs::write(newer.join("dev"), "8:48\n").unwrap();
        disks.begin();
        assert_eq!((name(&mut disks, 8, 32), name(&mut disks, 8, 48)), (String::new(), "/dev/sdd".into()));
    }

    #[test]
    fn counters_of_every_device() {
        let (dir, mut disks) = setup(&tree());
        for _ in 0..2 {
            disks.read_counters().unwrap();
            let names: Vec<_> = disks.counters().map(|(name, _)| String::from_utf8_lossy(name)).collect();
            assert_eq!(names, ["/dev/sda", "/dev/mapper/vg-root", "/dev/nvme0n1"]);
            let sda = disks.counters_of(8, 0).unwrap();
            assert_eq!(
                *sda,
                Counters {
                    major: 8,
                    minor: 0,
                    reads: 1,
                    reads_merged: 2,
                    sectors_read: 3,
                    read_ms: 4,
                    writes: 5,
                    writes_merged: 6,
                    sectors_written: 7,
                    write_ms: 8,
                    in_flight: 9,
                    io_ms: 10,
                    weighted_io_ms: 11,
                }
            );
            assert_eq!(disks.counters_of(259, 0).unwrap().read_ms, 2500);
            assert_eq!(disks.counters_named(b"/dev/dm-3").unwrap().reads, u64::MAX);
            assert_eq!(disks.counters_named(b"/dev/mapper/vg-root").unwrap().reads, u64::MAX);
            assert!(disks.counters_of(8, 2).is_none() && disks.counters_named(b"/dev/sda1").is_none());
        }
        std::fs::remove_file(dir.path().join("proc/diskstats")).unwrap();
        assert!(disks.read_counters().unwrap_err().is_gone());
        assert_eq!(disks.counters().count(), 0);
    }

    #[test]
    fn nothing_to_read_gives_no_names() {
        let (_dir, mut disks) = setup(&Tree::new());
        disks.begin();
        assert_eq!(name(&mut disks, 8, 0), "");
        assert!(disks.read_counters().is_err());
    }

    #[test]
    fn the_recorded_machine() {
        let Some(top) = shared::dir()
            .map(|dir| dir.join("fixtures/container/cgroup-v1/rootfs"))
            .filter(|dir| dir.is_dir())
        else {
            return shared::skipped("a recorded disk", "the shared fixtures");
        };
        let mut disks = Disks::new(&Root::new(top.join("proc")), &Root::new(top.join("sys")));
        disks.read_counters().unwrap();
        let all: Vec<_> =
            disks.counters().map(|(name, read)| (name.to_vec(), read.reads, read.read_ms)).collect();
        assert_eq!(all, [(b"/dev/vda".to_vec(), 615_588, 840_202)]);
        assert_eq!(disks.name(254, 0), b"/dev/vda");
    }
}
