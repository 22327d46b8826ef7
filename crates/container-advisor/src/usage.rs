//! Disk usage of containers: the writable layer and the logs, walked in the background and never in a scrape.
//!
//! Storage drivers keep no count that could be had without privileges, so the files have to be looked at one by one, which costs as
//! much as there are files. A walk is done by one thread, only after a scrape asked and only if the numbers are old, with the lowest
//! priority for CPU and disk, so many entries a second at most. If a round works for long, the time to the next one doubles until
//! the work is at most a hundredth of it. Entries are looked at relative to the open directory above them, links are not followed,
//! other filesystems not entered; a file with several names counts once, as in the original and in du(1).
//!
//! What cannot be seen whole has no number: [`Usage::report`] says why. Without permission a walk is not tried again for ten minutes.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hostfs::{Errno, Root, sys};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, StatVfs};

/// How long a layer that may not be read is left alone.
const DENIED_FOR: Duration = Duration::from_secs(600);

/// The part of the time that walks may take.
const SHARE: u32 = 100;

/// How many directories deep a layer may be. Each is a descriptor and a part of the stack while it is walked.
const DEEPEST: usize = 200;

/// How many files with several names one walk remembers: 2 MiB or so.
const MOST_LINKED: usize = 1 << 17;

/// In bytes: for [`DEEPEST`] directories, each with its buffer and two file states.
const STACK: usize = 2 << 20;

/// How walking goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether anything is walked at all.
    pub enabled: bool,
    /// The least time from the start of one round to the next.
    pub interval: Duration,
    /// The most directory entries in a second.
    pub entries_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { enabled: true, interval: Duration::from_secs(60), entries_per_second: 5000 }
    }
}

/// What of a container lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The container's id.
    pub id: String,
    /// The writable layer's directory on the host, if the runtime tells it.
    pub writable: Option<String>,
    /// The directory of its logs on the host.
    pub logs: Option<String>,
}

/// What was found of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Layer and logs, in bytes on disk.
    pub bytes: u64,
    /// The layer alone, in bytes on disk.
    pub layer_bytes: u64,
    /// Files, directories and links in the layer.
    pub inodes: u64,
    /// The number of the device that holds the layer.
    pub device: (u32, u32),
    /// The size of the filesystem that holds the layer, in bytes.
    pub capacity: u64,
    /// Inodes of that filesystem.
    pub capacity_inodes: u64,
    /// Free inodes of that filesystem.
    pub free_inodes: u64,
    /// When the walk ended.
    pub at: Instant,
}

/// The disk usage of all containers.
#[derive(Debug)]
pub struct Usage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rootfs: Root,
    settings: Settings,
    state: Mutex<State>,
    /// Ends the pauses of a walk.
    closed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    results: HashMap<String, Result<Measured, Failure>>,
    is_running: bool,
    is_closing: bool,
    /// When the next round may begin.
    next: Option<Instant>,
    /// From the start of the last round to the next.
    pause: Duration,
}

impl State {
    /// Whether a number of this age may still be told: not if nobody asked for long, nor if a round does not end.
    fn is_good(&self, age: Duration) -> bool {
        const ROUND: Duration = Duration::from_secs(300);
        age <= self.pause.saturating_mul(2) + ROUND
    }
}

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failure {
    reason: &'static str,
    /// Not to be tried before.
    until: Option<Instant>,
}

impl Failure {
    const fn new(reason: &'static str) -> Self {
        Failure { reason, until: None }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        let is_denied = matches!(errno, Errno::ACCESS | Errno::PERM);
        Failure { reason: sys::describe(errno), until: is_denied.then(|| Instant::now() + DENIED_FOR) }
    }
}

impl Usage {
    /// Takes the root that stands for the host's `/`; nothing is walked yet.
    pub fn new(rootfs: &Root, settings: Settings) -> Self {
        let (rootfs, state, closed) = (rootfs.clone(), Mutex::default(), Condvar::new());
        Usage { shared: Arc::new(Shared { rootfs, settings, state, closed }) }
    }

    /// A scrape wants the numbers of these containers. If they are old, a round begins in the background, of the layers that `layers`
    /// gives; if they are not, one of those that have none yet.
    pub fn want<'a>(&self, mut ids: impl Iterator<Item = &'a str>, layers: impl FnOnce() -> Vec<Layer>) {
        if !self.shared.settings.enabled {
            return;
        }
        let start = Instant::now();
        let is_due;
        {
            let mut state = self.shared.lock();
            is_due = state.next.is_none_or(|next| start >= next);
            if state.is_running || !(is_due || ids.any(|id| !state.results.contains_key(id))) {
                return;
            }
            state.is_running = true;
        }
        let (shared, layers) = (Arc::clone(&self.shared), layers());
        let round = move || shared.round(&layers, start, is_due);
        if std::thread::Builder::new().name("usage".into()).stack_size(STACK).spawn(round).is_err() {
            self.shared.lock().is_running = false;
        }
    }

    /// What the last walk found of a container, unless that is long ago.
    pub fn of(&self, id: &str) -> Option<Measured> {
        let state = self.shared.lock();
        let found = state.results.get(id)?.ok()?;
        state.is_good(found.at.elapsed()).then_some(found)
    }

    /// Every container's result, or why there is none, in order of id: for `/validate/`.
    pub fn report(&self) -> Vec<(String, Result<Measured, String>)> {
        let state = self.shared.lock();
        let told = |result: &Result<Measured, Failure>| result.map_err(|failure| failure.reason.to_owned());
        let mut report: Vec<_> =
            state.results.iter().map(|(id, result)| (id.clone(), told(result))).collect();
        report.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        report
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.closed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's life: each layer once, or those that have no number yet.
    fn round(&self, layers: &[Layer], start: Instant, is_due: bool) {
        /// Whatever becomes of the round, another one may follow.
        struct Ended<'a>(&'a Shared);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.lock().is_running = false;
            }
        }
        let _ended = Ended(self);
        sys::lower_this_thread();
        if is_due {
            let mut state = self.lock();
            state.next = Some(start + self.settings.interval);
            state.results.retain(|id, _| layers.iter().any(|layer| layer.id == *id));
        }
        let mut walk = Walk { shared: self, entries: 0, slept: Duration::ZERO, linked: HashSet::new() };
        for layer in layers {
            let last = self.lock().results.get(&layer.id).copied();
            if last.is_some() && !is_due {
                continue;
            }
            if let Some(Err(Failure { until: Some(until), .. })) = last
                && Instant::now() < until
            {
                continue;
            }
            let found = walk.layer(layer);
            if found == Err(CLOSED) {
                return;
            }
            self.lock().results.insert(layer.id.clone(), found);
        }
        if !is_due {
            return;
        }
        let worked = start.elapsed().saturating_sub(walk.slept);
        let mut state = self.lock();
        state.pause = self.pause(worked);
        state.next = Some(start + state.pause);
    }

    /// How long after its start a round that worked for so long is followed by the next.
    fn pause(&self, worked: Duration) -> Duration {
        let mut pause = self.settings.interval.max(Duration::from_secs(1));
        while worked.saturating_mul(SHARE) > pause {
            pause = pause.saturating_mul(2);
        }
        pause
    }
}

/// The walk was ended because nobody wants the numbers any more.
const CLOSED: Failure = Failure::new("ended");

/// One round.
struct Walk<'a> {
    shared: &'a Shared,
    entries: u32,
    slept: Duration,
    /// Inodes of this directory tree that have several names and were seen by one of them.
    linked: HashSet<u64>,
}

/// What a directory tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    bytes: u64,
    inodes: u64,
}

impl Walk<'_> {
    fn layer(&mut self, layer: &Layer) -> Result<Measured, Failure> {
        let Some(writable) = &layer.writable else {
            return Err(Failure::new("the runtime does not tell where the writable layer is"));
        };
        let dir = open_dir(CWD, &self.shared.rootfs.join(writable))?;
        let state = rustix::fs::fstat(&dir)?;
        let space = rustix::fs::fstatvfs(&dir)?;
        let layer_sum = self.tree(&dir, &state)?;
        let mut bytes = layer_sum.bytes;
        if let Some(logs) = &layer.logs {
            match open_dir(CWD, &self.shared.rootfs.join(logs)) {
                Ok(dir) => {
                    let state = rustix::fs::fstat(&dir)?;
                    bytes = bytes.saturating_add(self.tree(&dir, &state)?.bytes);
                }
                // Its log driver writes elsewhere.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let StatVfs { f_frsize, f_blocks, f_files, f_ffree, .. } = space;
        Ok(Measured {
            bytes,
            layer_bytes: layer_sum.bytes,
            inodes: layer_sum.inodes,
            device: (rustix::fs::major(state.st_dev), rustix::fs::minor(state.st_dev)),
            capacity: f_blocks.saturating_mul(f_frsize),
            capacity_inodes: f_files,
            free_inodes: f_ffree,
            at: Instant::now(),
        })
    }

    fn tree(&mut self, dir: &OwnedFd, state: &Stat) -> Result<Sum, Failure> {
        self.linked = HashSet::new();
        let mut sum = Sum::default();
        sum.add(state);
        self.below(dir, state, 1, &mut sum)?;
        Ok(sum)
    }

    /// Adds what is below a directory.
    fn below(&mut self, dir: &OwnedFd, top: &Stat, depth: usize, sum: &mut Sum) -> Result<(), Failure> {
        if depth > DEEPEST {
            return Err(Failure::new("directories are nested too deeply"));
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(dir, &mut space);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                // It was removed meanwhile.
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.step()?;
            let state = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
            {
                Ok(state) => state,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if state.st_dev != top.st_dev {
                continue;
            }
            let is_dir = FileType::from_raw_mode(state.st_mode) == FileType::Directory;
            if !is_dir && state.st_nlink > 1 {
                if self.linked.len() == MOST_LINKED {
                    return Err(Failure::new("too many files with several names"));
                }
                if !self.linked.insert(state.st_ino) {
                    continue;
                }
            }
            sum.add(&state);
            if is_dir {
                match enter(dir, name) {
                    Ok(inner) => self.below(&inner, top, depth + 1, sum)?,
                    // It was removed or replaced meanwhile.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }

    /// Counts an entry, and rests when the walk is ahead of its rate.
    fn step(&mut self) -> Result<(), Failure> {
        const BATCH: u32 = 100;
        self.entries += 1;
        if self.entries < BATCH {
            return Ok(());
        }
        self.entries = 0;
        let start = Instant::now();
        let rest = Duration::from_secs(1) * BATCH / self.shared.settings.entries_per_second.max(1);
        let mut state = self.shared.lock();
        while !state.is_closing {
            let left = rest.saturating_sub(start.elapsed());
            if left.is_zero() {
                self.slept += start.elapsed();
                return Ok(());
            }
            state = self.shared.closed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(CLOSED)
    }
}

impl Sum {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
    fn add(&mut self, state: &Stat) {
        let blocks = u64::try_from(state.st_blocks as i64).unwrap_or(0);
        self.bytes = self.bytes.saturating_add(blocks.saturating_mul(512));
        self.inodes += 1;
    }
}

fn open_dir(dir: impl AsFd, name: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, FLAGS, Mode::empty())
}

fn enter(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, FLAGS, Mode::empty())
}

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn layer(id: &str, writable: Option<&str>, logs: Option<&str>) -> Layer {
        Layer { id: id.into(), writable: writable.map(Into::into), logs: logs.map(Into::into) }
    }

    /// Has a round done, and waits for its end.
    fn walk(usage: &Usage, layers: &[Layer]) {
        usage.want(layers.iter().map(|layer| &*layer.id), || layers.to_vec());
        let start = Instant::now();
        while usage.shared.lock().is_running {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn setup() -> (tempfile::TempDir, Usage) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        fs::create_dir_all(top.join("layer/sub/deep")).unwrap();
        fs::create_dir_all(top.join("logs")).unwrap();
        fs::write(top.join("layer/big"), vec![1; 100_000]).unwrap();
        fs::write(top.join("layer/sub/deep/small"), "x").unwrap();
        fs::write(top.join("logs/json.log"), vec![1; 20_000]).unwrap();
        fs::hard_link(top.join("layer/big"), top.join("layer/sub/again")).unwrap();
        symlink("/", top.join("layer/root")).unwrap();
        symlink("..", top.join("layer/sub/up")).unwrap();
        let usage = Usage::new(&Root::new(top), Settings::default());
        (dir, usage)
    }

    fn blocks(top: &Path, names: &[&str]) -> u64 {
        names.iter().map(|name| fs::symlink_metadata(top.join(name)).unwrap().blocks() * 512).sum()
    }

    #[test]
    fn a_layer_and_its_logs() {
        let (dir, usage) = setup();
        assert_eq!(usage.of("a"), None);
        walk(
            &usage,
            &[
                layer("a", Some("/layer"), Some("/logs")),
                layer("b", Some("/layer/sub"), Some("/none")),
                layer("c", None, None),
                layer("d", Some("/none"), None),
                layer("e", Some("/layer/root"), None),
            ],
        );
        let names = [
            "layer",
            "layer/big",
            "layer/root",
            "layer/sub",
            "layer/sub/up",
            "layer/sub/deep",
            "layer/sub/deep/small",
        ];
        let found = usage.of("a").unwrap();
        assert_eq!(found.inodes, names.len() as u64);
        assert_eq!(found.bytes, blocks(dir.path(), &names) + blocks(dir.path(), &["logs", "logs/json.log"]));
        let device = fs::metadata(dir.path()).unwrap().dev();
        assert_eq!(found.device, (rustix::fs::major(device), rustix::fs::minor(device)));
        assert!(found.capacity > 0 && found.free_inodes <= found.capacity_inodes);
        assert_eq!(usage.of("b").unwrap().inodes, 5);
        let reasons: Vec<_> =
            usage.report().into_iter().filter_map(|(id, result)| Some((id, result.err()?))).collect();
        assert_eq!(
            reasons,
            [
                ("c".into(), "the runtime does not tell where the writable layer is".into()),
                ("d".into(), "no such file or directory".into()),
                ("e".into(), "not a directory".to_owned()),
            ]
        );
    }

    #[test]
    fn numbers_are_kept_until_they_are_old_and_the_container_is_there() {
        let (dir, usage) = setup();
        let layers = [layer("a", Some("/layer"), None), layer("b", Some("/layer"), None)];
        walk(&usage, &layers);
        let before = usage.of("a").unwrap();
        fs::write(dir.path().join("layer/new"), vec![1; 50_000]).unwrap();
        usage.want(["a", "b"].into_iter(), || unreachable!("the numbers are new"));
        assert_eq!(usage.of("a"), Some(before));
        usage.shared.lock().next = None;
        walk(&usage, &layers[..1]);
        assert_eq!(usage.of("a").unwrap().inodes, before.inodes + 1);
        assert_eq!(usage.of("b"), None);
        // One that has just come is not kept waiting, and it alone is measured.
        let after = usage.of("a");
        fs::write(dir.path().join("layer/newer"), "").unwrap();
        walk(&usage, &layers);
        assert_eq!((usage.of("a"), usage.of("b").unwrap().inodes), (after, before.inodes + 2));
    }

    #[test]
    fn nothing_is_walked_when_it_is_off() {
        let (dir, _) = setup();
        let usage = Usage::new(&Root::new(dir.path()), Settings { enabled: false, ..Settings::default() });
        usage.want(["a"].into_iter(), || unreachable!("it is off"));
        assert!(usage.report().is_empty());
    }

    #[test]
    fn without_permission_there_is_no_number_and_no_second_try() {
        let (dir, usage) = setup();
        let inner = dir.path().join("layer/sub/deep");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o000)).unwrap();
        let is_denied = fs::read_dir(&inner).is_err();
        let layers = [layer("a", Some("/layer"), None)];
        walk(&usage, &layers);
        // Root may read all.
        if is_denied {
            assert_eq!(usage.report(), [("a".to_owned(), Err("permission denied".to_owned()))]);
        }
        let denied = Failure::from(Errno::ACCESS);
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        usage.shared.lock().results.insert("a".into(), Err(denied));
        usage.shared.lock().next = None;
        walk(&usage, &layers);
        assert_eq!(usage.report(), [("a".to_owned(), Err("permission denied".to_owned()))]);
        usage
            .shared
            .lock()
            .results
            .insert("a".into(), Err(Failure { until: Some(Instant::now()), ..denied }));
        usage.shared.lock().next = None;
        walk(&usage, &layers);
        assert_eq!(usage.of("a").unwrap().inodes, 7);
    }

    #[test]
    fn depth_is_bounded() {
        let (dir, usage) = setup();
        let mut path = dir.path().join("layer");
        for _ in 0..DEEPEST + 1 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        walk(&usage, &[layer("a", Some("/layer"), None)]);
        assert_eq!(usage.report(), [("a".to_owned(), Err("directories are nested too deeply".to_owned()))]);
        fs::remove_dir(&path).unwrap();
        fs::remove_dir(path.parent().unwrap()).unwrap();
        usage.shared.lock().next = None;
        walk(&usage, &[layer("a", Some("/layer"), None)]);
        assert_eq!(usage.of("a").unwrap().inodes, 7 + DEEPEST as u64 - 1);
    }

    #[test]
    fn a_long_round_is_followed_late() {
        let (_dir, usage) = setup();
        let pause = |worked| usage.shared.pause(Duration::from_millis(worked)).as_secs();
        assert_eq!((pause(0), pause(600), pause(601), pause(1201)), (60, 60, 120, 240));
        assert_eq!(pause(12_001), 1920);
        let mut state = usage.shared.lock();
        state.pause = Duration::from_secs(60);
        assert!(state.is_good(Duration::from_secs(420)) && !state.is_good(Duration::from_secs(421)));
    }

    #[test]
    fn a_walk_ends_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..300 {
            fs::write(dir.path().join(i.to_string()), "").unwrap();
        }
        let settings = Settings { entries_per_second: 1, ..Settings::default() };
        let usage = Usage::new(&Root::new(dir.path()), settings);
        usage.want(["a"].into_iter(), || vec![layer("a", Some("/"), None)]);
        let shared = Arc::downgrade(&usage.shared);
        drop(usage);
        let start = Instant::now();
        while shared.strong_count() > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "the thread goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
