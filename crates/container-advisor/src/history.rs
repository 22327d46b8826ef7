//! Readings of the last while, kept while somebody looks.
//!
//! A page or a client of the API wants series, a scrape does not. So nothing is kept until somebody asks; then every second a reading
//! is taken, and this goes on until nobody has asked for [`LINGER`]. What was kept is let go with it: while nobody looks there is no
//! task, no timer and no memory.
//!
//! Memory is bounded twice: by age (`-storage_duration`), and by [`MOST_BYTES`]. A reading of 300 containers takes some 0.6 MB, so of
//! those about 100 are kept in place of 120; of 1,000 containers about 30.
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

/// One container or other cgroup in a reading.
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
            stats: container.stats.clone(),
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
        let mut inner = self.lock();
        match reading {
            Some(reading) => {
                let bytes = reading.size();
                inner.bytes += bytes;
                inner.kept.push_back(Kept { reading: Arc::new(reading), began, bytes });
            }
            None => drop(inner.clear()),
        }
        while inner.kept.len() > 1
            && (inner.bytes > self.most_bytes
                || inner.kept.front().is_some_and(|kept| kept.began + self.duration < began))
        {
            if let Some(oldest) = inner.kept.pop_front() {
                inner.bytes -= oldest.bytes;
            }
        }
        drop(inner);
        self.taken.send_modify(|count| *count += 1);
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
