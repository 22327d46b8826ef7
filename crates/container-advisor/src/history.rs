//! Readings of the last while, kept while somebody looks.
//!
//! A page or a client of the API wants series, a scrape does not. So nothing is kept until somebody asks; then every second a reading
//! is taken, and this goes on until nobody has asked for [`LINGER`]. What was kept is let go with it: while nobody looks there is no
//! task, no timer and no memory.
//!
//! Memory is bounded twice: by age (`-storage_duration`), and by [`MOST_BYTES`]. A reading of 300 containers takes some 0.7 MB, so of
//! those about 90 are kept in place of 120; of 1,000 containers about 27.
//!
//! Readings are taken on a thread for blocking work, since files are read and a scrape may be at it at the same time: the event loop
//! never waits. A reading that fails leaves nothing behind: an answer without readings is one that says why, never an old one.

use std::collections::VecDeque;
use std::fmt;
use std::mem::size_of_val;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hostfs::cgroup::{Stats, Version};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::containers::{BlockDevice, Container, Load, Space};
use crate::metadata::{Metadata, Runtime};
use crate::network::{Interface, Tcp, Udp};
use crate::processes::{Limit, Schedule, States};
use crate::scrape::Shared;

/// How long readings go on after the last question.
pub const LINGER: Duration = Duration::from_secs(30);

/// From one reading to the next.
pub const PERIOD: Duration = Duration::from_secs(1);

/// The most memory that readings take, in bytes. The newest is kept whatever it takes.
pub const MOST_BYTES: usize = 64 << 20;

/// How long filesystems have to answer in a reading; those that do not are left out of it.
const FILESYSTEMS: Duration = Duration::from_millis(500);

/// How long a question waits for a reading: a scrape that is slow may be before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// One reading of all containers and other cgroups.
#[derive(Debug)]
pub struct Reading {
    /// When it was taken.
    pub at: SystemTime,
    /// Which interface the kernel's cgroups have: some limits have other meanings in the other.
    pub version: Option<Version>,
    /// In order of path.
    pub containers: Vec<Sample>,
}

/// One container or other cgroup in a reading. What [`Stats::io`] has is in `devices`, with their names, and only there.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of containers::Container")]
pub struct Sample {
    pub path: Arc<[u8]>,
    pub id: Option<Arc<str>>,
    pub runtime: Option<Runtime>,
    pub metadata: Option<Arc<Metadata>>,
    pub created: Option<f64>,
    pub started: Option<f64>,
    pub stats: Stats,
    pub devices: Vec<BlockDevice>,
    pub filesystems: Vec<Space>,
    pub interfaces: Vec<(String, Interface)>,
    pub tcp: Option<Tcp>,
    pub tcp6: Option<Tcp>,
    pub udp: Option<Udp>,
    pub udp6: Option<Udp>,
    pub advanced_tcp: Vec<(&'static str, i64)>,
    pub process_count: Option<u64>,
    pub descriptors: Option<u64>,
    pub sockets: Option<u64>,
    pub schedule: Option<Schedule>,
    pub referenced: Option<u64>,
    pub open_files_limit: Option<Limit>,
    pub states: Option<States>,
    pub load: Option<Load>,
}

impl Reading {
    /// The sample of one cgroup.
    pub fn at(&self, path: &[u8]) -> Option<&Sample> {
        let index = self.containers.binary_search_by(|sample| (*sample.path).cmp(path)).ok()?;
        self.containers.get(index)
    }

    /// The memory that it takes, in bytes, without what it shares.
    fn size(&self) -> usize {
        self.containers.iter().map(Sample::size).sum()
    }
}

impl Sample {
    /// Copies what changes, and shares what does not with the sample before.
    fn new(container: &Container, before: Option<&Sample>) -> Self {
        let (network, processes) = (&container.network, &container.processes);
        let interface =
            |(name, counters): (&[u8], &Interface)| (String::from_utf8_lossy(name).into_owned(), *counters);
        Sample {
            path: before.map_or_else(|| container.path().into(), |before| Arc::clone(&before.path)),
            id: match before {
                Some(before) => before.id.clone(),
                None => container.id().map(Into::into),
            },
            runtime: container.runtime(),
            metadata: container.metadata.clone(),
            created: container.created(),
            started: container.started(),
            stats: Stats { io: Vec::new(), ..container.stats.clone() },
            devices: container.devices.clone(),
            filesystems: container.filesystems.clone(),
            interfaces: network.interfaces().map(interface).collect(),
            tcp: network.tcp,
            tcp6: network.tcp6,
            udp: network.udp,
            udp6: network.udp6,
            advanced_tcp: network.advanced().collect(),
            process_count: container.process_count,
            descriptors: processes.descriptors,
            sockets: processes.sockets,
            schedule: processes.schedule,
            referenced: processes.referenced,
            open_files_limit: processes.open_files_limit,
            states: processes.states,
            load: container.load,
        }
    }

    fn size(&self) -> usize {
        let Sample { stats, devices, filesystems, interfaces, advanced_tcp, .. } = self;
        size_of_val(self)
            + size_of_val(&*stats.cpu.per_cpu_ns)
            + size_of_val(&*stats.io)
            + size_of_val(&*stats.hugetlb)
            + size_of_val(&*stats.memory.numa)
            + stats.limits.cpus.len()
            + size_of_val(&**devices)
            + devices.iter().map(|device| device.name.len()).sum::<usize>()
            + size_of_val(&**filesystems)
            + filesystems.iter().map(|space| space.device.len() + space.kind.len()).sum::<usize>()
            + size_of_val(&**interfaces)
            + interfaces.iter().map(|(name, _)| name.len()).sum::<usize>()
            + size_of_val(&**advanced_tcp)
    }
}

/// Takes a reading; the one before is there to share with.
type Take = dyn Fn(Option<&Reading>) -> hostfs::Result<Reading> + Send + Sync;

/// The readings.
pub struct History {
    take: Box<Take>,
    duration: Duration,
    most_bytes: usize,
    inner: Mutex<Inner>,
    /// Counts the readings taken, failed ones too.
    taken: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The last question.
    looked: Option<Instant>,
    /// Whether there is a task that takes readings.
    is_sampling: bool,
}

struct Kept {
    reading: Arc<Reading>,
    /// When it began, by a clock that is never set.
    began: Instant,
    bytes: usize,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("duration", &self.duration).finish_non_exhaustive()
    }
}

impl History {
    /// Keeps readings of the last `duration`; takes none yet.
    pub fn new(containers: Shared, duration: Duration) -> Arc<Self> {
        let take = move |before: Option<&Reading>| take(&containers, before);
        Self::with(Box::new(take), duration, MOST_BYTES)
    }

    fn with(take: Box<Take>, duration: Duration, most_bytes: usize) -> Arc<Self> {
        let (inner, taken) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(History { take, duration, most_bytes, inner, taken })
    }

    /// The readings so far, oldest first, the last of them not older than a second; more will follow every second for a while.
    ///
    /// There are none if the cgroups cannot be read, or not within ten seconds.
    pub async fn look(self: &Arc<Self>) -> Vec<Arc<Reading>> {
        let mut taken = self.taken.subscribe();
        if !self.begin() {
            // It fails if no reading comes, and then there is none that is new enough.
            let _ = tokio::time::timeout(PATIENCE, taken.changed()).await;
        }
        let inner = self.lock();
        if !inner.is_new(PATIENCE) {
            return Vec::new();
        }
        inner.kept.iter().map(|kept| Arc::clone(&kept.reading)).collect()
    }

    /// Notes that somebody looks; whether there is a reading that is new enough.
    fn begin(self: &Arc<Self>) -> bool {
        let mut inner = self.lock();
        inner.looked = Some(Instant::now());
        if !inner.is_sampling {
            inner.is_sampling = true;
            tokio::spawn(sample(Sampling { history: Arc::clone(self), has_ended: false }));
        }
        inner.is_new(PERIOD)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind the lock is whole between any two statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, began: Instant, reading: Option<Reading>) {
        let new = reading.map(|reading| {
            let bytes = reading.size();
            Kept { reading: Arc::new(reading), began, bytes }
        });
        let mut gone = Vec::new();
        let mut inner = self.lock();
        match new {
            Some(new) => {
                inner.bytes += new.bytes;
                inner.kept.push_back(new);
            }
            None => gone.extend(inner.clear()),
        }
        let is_old = |kept: &Kept| began.saturating_duration_since(kept.began) > self.duration;
        while inner.kept.len() > 1
            && (inner.bytes > self.most_bytes || inner.kept.front().is_some_and(is_old))
        {
            if let Some(oldest) = inner.kept.pop_front() {
                inner.bytes -= oldest.bytes;
                gone.push(oldest);
            }
        }
        drop(inner);
        self.taken.send_modify(|count| *count += 1);
        // It takes a while, in which nobody is to wait for the lock.
        drop(gone);
    }
}

impl Inner {
    fn is_new(&self, age: Duration) -> bool {
        self.kept.back().is_some_and(|kept| kept.began.elapsed() <= age)
    }

    fn clear(&mut self) -> VecDeque<Kept> {
        self.bytes = 0;
        std::mem::take(&mut self.kept)
    }
}

/// The task that takes readings. One that is dropped, with its runtime, leaves nothing behind either.
struct Sampling {
    history: Arc<History>,
    has_ended: bool,
}

impl Sampling {
    /// The end, if nobody has looked for a while: what was kept. Whoever looks from here on begins anew.
    fn end(&mut self) -> Option<VecDeque<Kept>> {
        let mut inner = self.history.lock();
        if inner.looked.is_some_and(|looked| looked.elapsed() <= LINGER) {
            return None;
        }
        inner.is_sampling = false;
        self.has_ended = true;
        Some(inner.clear())
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut inner = self.history.lock();
            inner.is_sampling = false;
            inner.clear();
        }
    }
}

async fn sample(mut sampling: Sampling) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        if let Some(kept) = sampling.end() {
            // There may be much of it.
            tokio::task::spawn_blocking(move || {
                drop(kept);
                hostfs::sys::give_memory_back();
            });
            return;
        }
        let history = Arc::clone(&sampling.history);
        let took = tokio::task::spawn_blocking(move || {
            let before = history.lock().kept.back().map(|kept| Arc::clone(&kept.reading));
            let began = Instant::now();
            let reading = (history.take)(before.as_deref());
            if let Err(error) = &reading {
                exporter::log!(Debug, "cannot read containers", err = error);
            }
            history.note(began, reading.ok());
        });
        if took.await.is_err() {
            // It panicked, which was reported.
            sampling.history.note(Instant::now(), None);
        }
    }
}

/// Reads all containers.
fn take(containers: &Shared, before: Option<&Reading>) -> hostfs::Result<Reading> {
    // A reading that panicked left no container half read: the next one begins anew.
    let mut containers = containers.lock().unwrap_or_else(PoisonError::into_inner);
    let at = SystemTime::now();
    containers.refresh(std::time::Instant::now() + FILESYSTEMS)?;
    let mut old = before.map_or(&[][..], |before| &before.containers).iter().peekable();
    let mut sample = |container: &Container| {
        while old.next_if(|sample| *sample.path < *container.path()).is_some() {}
        let same = old.next_if(|sample| *sample.path == *container.path());
        Sample::new(container, same)
    };
    let version = containers.version();
    Ok(Reading { at, version, containers: containers.iter().map(&mut sample).collect() })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A cgroup of which nothing is known.
    pub(crate) fn sample(path: &str) -> Sample {
        let id = crate::identity::of(path.as_bytes());
        Sample {
            path: path.as_bytes().into(),
            id: id.map(|(id, _)| id.into()),
            runtime: id.map(|(_, runtime)| runtime),
            metadata: None,
            created: None,
            started: None,
            stats: Stats::default(),
            devices: Vec::new(),
            filesystems: Vec::new(),
            interfaces: Vec::new(),
            tcp: None,
            tcp6: None,
            udp: None,
            udp6: None,
            advanced_tcp: Vec::new(),
            process_count: None,
            descriptors: None,
            sockets: None,
            schedule: None,
            referenced: None,
            open_files_limit: None,
            states: None,
            load: None,
        }
    }

    /// A reading so many seconds after 1970; the samples in order of path.
    pub(crate) fn reading(seconds: u64, containers: Vec<Sample>) -> Reading {
        Reading { at: std::time::UNIX_EPOCH + Duration::from_secs(seconds), version: None, containers }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::runtime::Handle;
    use tokio::time::sleep;

    use super::testing::{reading, sample};
    use super::*;

    /// Readings that are numbered by their time, and how many there were.
    fn numbered(duration: Duration, most: usize) -> (Arc<History>, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let take = move |_: Option<&Reading>| {
            Ok(reading(counter.fetch_add(1, Ordering::SeqCst) + 1, vec![sample("/")]))
        };
        let most_bytes = reading(0, vec![sample("/")]).size() * most;
        (History::with(Box::new(take), duration, most_bytes), count)
    }

    fn numbers(readings: &[Arc<Reading>]) -> Vec<u64> {
        let number = |reading: &Arc<Reading>| {
            reading.at.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
        };
        readings.iter().map(number).collect()
    }

    const LONG: Duration = Duration::from_secs(120);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_on_while_nobody_looks() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let (history, count) = numbered(LONG, 1000);
        sleep(seconds(60.0)).await;
        assert_eq!((count.load(Ordering::SeqCst), tasks()), (0, 0));
        assert_eq!(numbers(&history.look().await), [1], "the first is taken at once");
        sleep(seconds(60.0)).await;
        // From the look to the end, both included.
        assert_eq!((count.load(Ordering::SeqCst), tasks()), (LINGER.as_secs() + 1, 0));
        let left = {
            let inner = history.lock();
            (inner.kept.len(), inner.kept.capacity(), inner.bytes, inner.is_sampling)
        };
        assert_eq!(left, (0, 0, 0, false));
        assert_eq!(
            numbers(&history.look().await),
            [LINGER.as_secs() + 2],
            "it begins anew, without what was"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_every_second_and_none_for_a_second_look() {
        let (history, count) = numbered(LONG, 1000);
        history.look().await;
        sleep(seconds(5.5)).await;
        assert_eq!(numbers(&history.look().await), [1, 2, 3, 4, 5, 6]);
        assert_eq!(numbers(&history.look().await), [1, 2, 3, 4, 5, 6]);
        sleep(seconds(25.0)).await;
        history.look().await;
        sleep(seconds(25.0)).await;
        assert_eq!(history.look().await.len(), 56, "each look has it go on");
        assert_eq!(count.load(Ordering::SeqCst), 56);
    }

    #[tokio::test(start_paused = true)]
    async fn lookers_at_the_same_time_share_a_reading() {
        let (history, count) = numbered(LONG, 1000);
        let (a, b) = tokio::join!(history.look(), history.look());
        assert_eq!((numbers(&a), numbers(&b), count.load(Ordering::SeqCst)), (vec![1], vec![1], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn age_and_memory_are_bounded() {
        for (duration, most, kept) in [
            (seconds(3.0), 1000, &[8, 9, 10, 11][..]),
            (Duration::MAX, 3, &[9, 10, 11]),
            (LONG, 2, &[10, 11]),
            (LONG, 0, &[11]),
            (seconds(0.0), 9, &[11]),
        ] {
            let (history, _) = numbered(duration, most);
            history.look().await;
            sleep(seconds(10.5)).await;
            assert_eq!(numbers(&history.look().await), kept, "{duration:?} {most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_fails_or_panics_leaves_nothing_old() {
        let count = AtomicU64::new(0);
        let take = move |_: Option<&Reading>| match count.fetch_add(1, Ordering::SeqCst) {
            1 => Err(hostfs::Error::malformed(std::path::Path::new("/x"), "a tree of cgroups")),
            3 => panic!("as a test"),
            number => Ok(reading(number, Vec::new())),
        };
        let history = History::with(Box::new(take), LONG, MOST_BYTES);
        assert_eq!(numbers(&history.look().await), [0]);
        sleep(seconds(1.5)).await;
        // What there is after the failure is the next one.
        assert_eq!(numbers(&history.look().await), [2]);
        sleep(seconds(1.5)).await;
        assert_eq!(numbers(&history.look().await), [4]);
    }

    #[tokio::test]
    async fn the_event_loop_goes_on_while_a_reading_is_slow() {
        let (go, wait) = std::sync::mpsc::channel();
        let wait = Mutex::new(wait);
        let take = move |_: Option<&Reading>| {
            // As behind a scrape that holds the lock.
            wait.lock().expect("one reader").recv().expect("a word");
            Ok(reading(7, Vec::new()))
        };
        let history = History::with(Box::new(take), LONG, MOST_BYTES);
        let looker = Arc::clone(&history);
        let look = tokio::spawn(async move { looker.look().await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!look.is_finished());
        go.send(()).expect("a reader");
        assert_eq!(numbers(&look.await.expect("an answer")), [7]);
        // The sampler may be waiting for its next word: without one it ends with a panic, as a task, and the runtime can end.
        drop(go);
    }

    #[tokio::test(start_paused = true)]
    async fn without_cgroups_there_is_nothing() {
        let take = |_: Option<&Reading>| {
            Err(hostfs::Error::malformed(std::path::Path::new("/x"), "a tree of cgroups"))
        };
        let history = History::with(Box::new(take), LONG, MOST_BYTES);
        assert!(history.look().await.is_empty());
        assert!(history.look().await.is_empty());
    }

    #[test]
    fn sizes_are_as_documented() {
        let mut typical = sample("/");
        typical.stats.cpu.per_cpu_ns = vec![0; 4];
        typical.devices = vec![BlockDevice::default()];
        typical.filesystems = vec![Space::default()];
        typical.interfaces = vec![("eth0".into(), Interface::default())];
        let reading = reading(0, vec![typical; 300]);
        let size = reading.size();
        assert!((600_000..800_000).contains(&size), "{size}");
        assert!((85..105).contains(&(MOST_BYTES / size)));
    }

    #[test]
    fn a_runtime_that_ends_leaves_nothing_behind() {
        let (history, _) = numbered(LONG, 1000);
        let run = |history: Arc<History>| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move { history.look().await.len() })
        };
        assert_eq!(run(Arc::clone(&history)), 1);
        assert!(!history.lock().is_sampling);
        assert_eq!(run(Arc::clone(&history)), 1, "and another one can begin");
    }
}
