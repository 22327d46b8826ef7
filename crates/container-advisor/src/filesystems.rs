//! The machine's mounted filesystems, for the families of `id="/"`: the mount table (proc_pid_mountinfo(5)) and statfs(2).
//!
//! Which types count is the original's choice, with the few that it does not know yet; a filesystem mounted more than once counts
//! once. The overlays of containers are left out: each would show the usage of the whole disk below it. The calls may never
//! return, and are made by [`hostfs::statfs`]: a mount that hangs costs its own series and one thread until it answers again. Automount
//! points are not asked, which would mount them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use exporter::Error;
use hostfs::mounts::{self, RootFs, is_remote};
use hostfs::statfs::{self, Helpers, Outcome, Statfs, Table, Target};
use hostfs::sys::disk::{self, Space};
use hostfs::{Arena, Buf, Root, Span};

/// How long a mount may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The time kept back at the deadline for writing what there is.
const MARGIN: Duration = Duration::from_millis(250);

/// The time that mounts have to answer, whatever the deadline.
const LEAST: Duration = Duration::from_millis(50);

/// The filesystems of the machine. Shared: a scrape and a page may ask at the same time, one waits for the other then.
pub struct Filesystems {
    state: Mutex<State>,
}

struct State {
    mount_table: mounts::Table,
    rootfs: RootFs,
    helpers: Helpers,
    buf: Buf,
    /// The mount table that `known` comes from.
    bytes: Vec<u8>,
    texts: Arena,
    /// In order of device; an entry of `table` for each.
    known: Vec<Known>,
    table: Arc<Table>,
    outcomes: Vec<Outcome>,
}

/// A filesystem's texts, in the arena of [`State`].
#[derive(Clone, Copy)]
struct Known {
    device: Span,
    point: Span,
    fstype: Span,
    target: Target,
}

impl fmt::Debug for Filesystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filesystems").finish_non_exhaustive()
    }
}

/// A filesystem, as the last [`Filesystems::refresh`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filesystem<'a> {
    /// What is mounted; for a tmpfs the mount point.
    pub device: &'a [u8],
    /// Where, on the host.
    pub point: &'a [u8],
    /// `ext4`, `xfs`.
    pub fstype: &'a [u8],
    /// The device's number.
    pub major: u64,
    /// The device's number.
    pub minor: u64,
    /// Blocks and inodes.
    pub space: Space,
}

impl Filesystem<'_> {
    /// The size in bytes.
    pub fn capacity(&self) -> u64 {
        self.space.blocks.saturating_mul(self.space.block_size)
    }

    /// What is in use, in bytes.
    pub fn usage(&self) -> u64 {
        self.space.blocks.saturating_sub(self.space.free).saturating_mul(self.space.block_size)
    }

    /// What users other than root may still fill, in bytes.
    pub fn available(&self) -> u64 {
        self.space.available.saturating_mul(self.space.block_size)
    }
}

impl Filesystems {
    /// Takes the roots that stand for `/proc` and `/`; nothing is read yet.
    pub fn new(proc: &Root, rootfs: &Root) -> Self {
        Self::with(proc, rootfs, Box::new(disk::statfs), TIMEOUT)
    }

    fn with(proc: &Root, rootfs: &Root, statfs: Statfs, timeout: Duration) -> Self {
        let state = State {
            mount_table: mounts::Table::new(proc),
            rootfs: RootFs::new(rootfs),
            helpers: Helpers::new(statfs::MOST, timeout, statfs),
            buf: Buf::new(),
            bytes: Vec::new(),
            texts: Arena::new(),
            known: Vec::new(),
            table: Arc::default(),
            outcomes: Vec::new(),
        };
        Filesystems { state: Mutex::new(state) }
    }

    /// Asks every filesystem anew, and is back before the deadline whatever they do. Those that do not answer are left out.
    ///
    /// # Errors
    /// The mount table cannot be read, or no thread is to be had; then there are none.
    pub fn refresh(&self, deadline: Instant) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        state.outcomes.clear();
        if state.mount_table.read(&mut state.buf)? != state.bytes {
            state.learn();
        }
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let limit = now + left.saturating_sub(MARGIN.min(left / 4)).max(LEAST);
        let asked = state.helpers.ask(&state.table, limit, &mut state.outcomes);
        asked.map_err(|error| Error::Failed(format!("no thread for statfs: {error}").into()))
    }

    /// Calls `each` with every filesystem that answered, in order of device.
    pub fn each(&self, mut each: impl FnMut(Filesystem<'_>)) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (known, outcome) in state.known.iter().zip(&state.outcomes) {
            let Outcome::Space(space) = *outcome else { continue };
            // What has no blocks has no size to tell.
            if space.blocks == 0 {
                continue;
            }
            each(Filesystem {
                device: &state.texts[known.device],
                point: &state.texts[known.point],
                fstype: &state.texts[known.fstype],
                major: known.target.device.0,
                minor: known.target.device.1,
                space,
            });
        }
    }
}

impl State {
    /// Makes `known` and `table` what the mount table in `buf` comes to.
    fn learn(&mut self) {
        let State { rootfs, buf, bytes, texts, known, table, .. } = self;
        bytes.clear();
        bytes.extend_from_slice(buf.bytes());
        texts.clear();
        known.clear();
        // A helper that is stuck in a call holds the old one.
        if Arc::get_mut(table).is_none() {
            *table = Arc::default();
        }
        let table = Arc::get_mut(table).expect("it has one owner: the line above saw to it");
        table.texts.clear();

        // Of mounts at one point only the last is seen.
        let mut on_top = HashMap::new();
        for mount in mounts::parse(bytes).flatten() {
            on_top.insert(mount.point, mount.id);
        }
        for mount in mounts::parse(bytes).flatten() {
            if on_top.get(mount.point) != Some(&mount.id) || mount.fstype == b"autofs" {
                continue;
            }
            let start = texts.push_all(mounts::unescape(mount.point));
            let point = rootfs.below(&texts[start]).to_vec();
            if point != b"/" && !counts(mount.fstype, &point) {
                continue;
            }
            let device = match mount.fstype {
                b"tmpfs" => texts.push(&point),
                b"overlay" => texts.push(format!("overlay_{}-{}", mount.major, mount.minor).as_bytes()),
                _ => mounts::unescape_into(mount.source, texts),
            };
            let target = Target {
                path: rootfs.path(&point, &mut table.texts),
                id: mount.id,
                source: mounts::unescape_into(mount.source, &mut table.texts),
                device: (mount.major, mount.minor),
                remote: is_remote(mount.fstype, mount.source),
            };
            let (point, fstype) = (texts.push(&point), texts.push(mount.fstype));
            known.push(Known { device, point, fstype, target });
        }
        // Of the places where a filesystem is mounted, the one nearest to the root is the likeliest to be reached.
        let key = |k: &Known| (&texts[k.device], texts[k.point].len(), &texts[k.point]);
        known.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        known.dedup_by(|later, earlier| texts[later.device] == texts[earlier.device]);

        table.entries.clear();
        table.entries.extend(known.iter().map(|known| known.target));
        table.order.clear();
        table.order.extend((0u32..).take(known.len()));
        table.order.sort_unstable_by_key(|&i| (known[i as usize].target.remote, i));
    }
}

/// Whether a mount other than that of the root counts.
fn counts(fstype: &[u8], point: &[u8]) -> bool {
    const TYPES: [&[u8]; 22] = [
        b"bcachefs",
        b"btrfs",
        b"exfat",
        b"f2fs",
        b"fat",
        b"hfs",
        b"hfsplus",
        b"iso9660",
        b"jfs",
        b"msdos",
        b"ntfs",
        b"ntfs3",
        b"reiserfs",
        b"squashfs",
        b"tmpfs",
        b"udf",
        b"vfat",
        b"xfs",
        b"zfs",
        b"ext2",
        b"ext3",
        b"ext4",
    ];
    match fstype {
        b"overlay" => !is_of_container(point),
        fstype => TYPES.contains(&fstype) || fstype.starts_with(b"nfs") && fstype != b"nfsd",
    }
}

/// Whether an overlay is a container's root, by where container engines mount it.
fn is_of_container(point: &[u8]) -> bool {
    let contains = |part: &[u8]| point.windows(part.len()).any(|window| window == part);
    point.ends_with(b"/merged")
        || point.ends_with(b"/rootfs")
        || contains(b"/rootfs/overlayfs/")
        || contains(b"/containers/storage/")
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::sync::mpsc;

    use hostfs::Errno;
    use testbed::shared;
    use testbed::tree::Tree;

    use super::*;

    const TABLE: &str = "\
        22 27 0:21 / /proc rw - proc proc rw\n\
        42 27 8:2 /docker /var/lib/docker rw shared:1 - ext4 /dev/sda2 rw\n\
        27 1 8:2 / / rw - ext4 /dev/sda2 rw\n\
        25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n\
        30 25 0:27 / /dev/shm rw - tmpfs tmpfs rw\n\
        46 42 0:39 / /var/lib/docker/overlay2/15b5/merged rw - overlay overlay rw\n\
        47 42 0:40 / /run/containerd/io.containerd.runtime.v2.task/moby/15b5/rootfs rw - overlay overlay rw\n\
        48 42 0:41 / /var/lib/docker/rootfs/overlayfs/15b5 rw - overlay overlay rw\n\
        49 42 0:42 / /var/lib/containers/storage/overlay/15b5/x rw - overlay overlay rw\n\
        50 27 0:43 / /etc rw - overlay overlay rw\n\
        51 27 0:44 / /net rw - autofs systemd-1 rw\n\
        52 27 0:45 / /mnt/a\\040b rw - nfs4 host:/share rw\n\
        53 27 0:46 / /gone rw - xfs /dev/sdb1 rw\n\
        54 27 0:47 / /none rw - vfat /dev/sdc1 rw\n\
        55 27 0:48 / /proc/fs/nfsd rw - nfsd nfsd rw\n\
        rubbish\n";

    fn setup(
        table: &str,
        rootfs: &str,
        timeout: Duration,
        statfs: impl Fn(&CStr) -> Result<Space, Errno> + Send + Sync + 'static,
    ) -> (tempfile::TempDir, Filesystems) {
        let mut tree = Tree::new();
        tree.file("proc/1/mountinfo", table);
        let dir = tree.unpacked();
        let proc = Root::new(dir.path().join("proc"));
        (dir, Filesystems::with(&proc, &Root::new(rootfs), Box::new(statfs), timeout))
    }

    fn space(path: &CStr) -> Result<Space, Errno> {
        match path.to_bytes() {
            b"/host/gone" => Err(Errno::ACCESS),
            b"/host/none" => Ok(Space::default()),
            path => Ok(Space {
                block_size: 4096,
                blocks: 100,
                free: 20,
                available: 10,
                files: path.len() as u64,
                files_free: 3,
            }),
        }
    }

    fn devices(filesystems: &Filesystems) -> Vec<String> {
        let mut devices = Vec::new();
        filesystems.each(|found| devices.push(String::from_utf8_lossy(found.device).into_owned()));
        devices
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn one_for_each_device_and_none_for_containers() {
        let (dir, filesystems) = setup(TABLE, "/host", TIMEOUT, space);
        for _ in 0..2 {
            filesystems.refresh(soon()).unwrap();
            let mut found = Vec::new();
            filesystems.each(|f| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                found.push((
                    text(f.device),
                    text(f.point),
                    text(f.fstype),
                    (f.major, f.minor),
                    f.space.files,
                ));
            });
            let row = |device: &str, point: &str, fstype: &str, number: (u64, u64)| {
                (
                    device.to_owned(),
                    point.to_owned(),
                    fstype.to_owned(),
                    number,
                    "/host".len() as u64 + point.len() as u64,
                )
            };
            assert_eq!(
                found,
                [
                    row("/dev/sda2", "/", "ext4", (8, 2)),
                    row("/dev/shm", "/dev/shm", "tmpfs", (0, 27)),
                    row("host:/share", "/mnt/a b", "nfs4", (0, 45)),
                    row("overlay_0-43", "/etc", "overlay", (0, 43)),
                ]
            );
        }
        filesystems.each(|f| {
            assert_eq!((f.capacity(), f.usage(), f.available()), (409_600, 327_680, 40_960));
        });
        std::fs::write(dir.path().join("proc/1/mountinfo"), "1 0 8:9 / /new rw - ext4 /dev/new rw\n")
            .unwrap();
        filesystems.refresh(soon()).unwrap();
        assert_eq!(devices(&filesystems), ["/dev/new"]);
        std::fs::remove_file(dir.path().join("proc/1/mountinfo")).unwrap();
        assert!(filesystems.refresh(soon()).is_err());
        assert!(devices(&filesystems).is_empty(), "what is not known is not told");
    }

    #[test]
    fn a_mount_that_hangs_costs_its_own_series_and_comes_back() {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let (_dir, filesystems) = setup(TABLE, "/host", Duration::from_millis(100), move |path| {
            if path == c"/host/mnt/a b" {
                let _ = released.lock().unwrap().recv();
            }
            space(path)
        });
        for _ in 0..3 {
            filesystems.refresh(soon()).unwrap();
            assert_eq!(devices(&filesystems), ["/dev/sda2", "/dev/shm", "overlay_0-43"]);
        }
        drop(release);
        let start = Instant::now();
        while devices(&filesystems).len() != 4 {
            assert!(start.elapsed() < Duration::from_secs(20), "it never came back");
            filesystems.refresh(soon()).unwrap();
        }
    }

    #[test]
    fn the_recorded_machine() {
        let Some(top) = shared::dir()
            .map(|dir| dir.join("fixtures/container/cgroup-v1/rootfs"))
            .filter(|dir| dir.is_dir())
        else {
            return shared::skipped("recorded mounts", "the shared fixtures");
        };
        let filesystems =
            Filesystems::with(&Root::new(top.join("proc")), &Root::new("/"), Box::new(space), TIMEOUT);
        filesystems.refresh(soon()).unwrap();
        let found = devices(&filesystems);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&"/dev/vda".into()) && found.contains(&"/sys/fs/cgroup".into()));
    }
}
