//! Keeps a [`Directory`] true to what Docker says of its containers, or Podman by its Docker-compatible socket.
//!
//! A connection begins with a subscription to events, then one list of all containers, then an inspection of each that is new. From then
//! on an event costs one inspection of its container. A list is the truth: a scrape has it fetched anew when it is a minute old, so that
//! a stream that died in silence is found out; nothing happens that neither an event nor a scrape has asked for. A lost connection is
//! made anew, and what is known is kept until the runtime says otherwise. The API: <https://docs.docker.com/reference/api/engine/>.

mod api;
mod model;
mod status;
mod transport;

pub(crate) use model::seconds;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::{ContainerInspectResponse, EventMessage};
use exporter::log;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use self::api::{Api, Events, Fault, is_id};
use self::status::Listed;
use self::transport::Address;
use crate::metadata::{Directory, Metadata, Runtime, State};

/// Which runtime to follow, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `unix:///var/run/docker.sock`, `tcp://host:port` or `http://host:port`.
    pub address: String,
    /// Whose API it is: [`Runtime::Docker`] or [`Runtime::Podman`].
    pub runtime: Runtime,
    /// Environment variables whose names begin with one of these are kept; none if empty.
    pub env_prefixes: Vec<String>,
    /// Whether the address is the runtime's usual one rather than one that somebody chose: then that nobody is there is normal.
    pub is_default: bool,
    /// How long the watcher waits for what.
    pub intervals: Intervals,
}

/// How long the watcher waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// For an answer, its head and body: 2 s.
    pub call: Duration,
    /// Before it connects again, after the first failure: 0.1 s. Doubles.
    pub least_backoff: Duration,
    /// Before it connects again, at most: 5 s.
    pub most_backoff: Duration,
    /// For more events of a container before it looks at it: 50 ms.
    pub coalesce: Duration,
    /// Without a runtime, before only scrapes have it looked for: 60 s.
    pub away: Duration,
    /// The age of a list at which a scrape has it fetched anew: 60 s.
    pub list: Duration,
    /// Before it asks again for a container that the runtime does not know: 30 s. Doubles.
    pub unknown: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(2),
            least_backoff: Duration::from_millis(100),
            most_backoff: Duration::from_secs(5),
            coalesce: Duration::from_millis(50),
            away: Duration::from_secs(60),
            list: Duration::from_secs(60),
            unknown: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Settings for a runtime's API at an address. Errors say what is wrong with the address.
    pub fn new(runtime: Runtime, address: &str) -> Result<Self, String> {
        Address::parse(address)?;
        Ok(Self {
            address: address.to_owned(),
            runtime,
            env_prefixes: Vec::new(),
            is_default: false,
            intervals: Intervals::default(),
        })
    }
}

/// Keeps the directory true to what a runtime says, until it is dropped. Never fails: it notes how things stand in the directory and tries
/// again.
pub async fn watch(settings: Settings, directory: Arc<Directory>) {
    directory.connection(settings.runtime, |connection| connection.address.clone_from(&settings.address));
    let api = Address::parse(&settings.address)
        .and_then(|address| Api::new(address, settings.intervals.call).map_err(|error| error.to_string()));
    let mut watcher = Watcher {
        directory,
        failed: BTreeMap::new(),
        patience: settings.intervals.most_backoff,
        scrapes: 0,
        told: Vec::new(),
        is_told_down: false,
        settings,
    };
    let api = match api {
        Ok(api) => Arc::new(api),
        Err(error) => {
            watcher.note(&Fault::Garbled(error));
            return std::future::pending().await;
        }
    };
    let intervals = watcher.settings.intervals;
    let mut backoff = intervals.least_backoff;
    let mut down_since = None;
    loop {
        let start = Instant::now();
        if let Err(fault) = watcher.session(&api).await {
            api.rest();
            watcher.note(&fault);
            if start.elapsed() > intervals.most_backoff {
                // It went well for a while. One that ends at once every time must not have us come back at once every time.
                backoff = intervals.least_backoff;
                down_since = None;
            }
            let down_since = *down_since.get_or_insert_with(Instant::now);
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(intervals.most_backoff);
            // A runtime that is not coming back soon, or was never there, is looked for when somebody wants its names, and not else.
            if down_since.elapsed() > intervals.away {
                watcher.directory.next_scrape(&mut watcher.scrapes).await;
            }
        }
    }
}

/// Inspections at a time.
const AT_ONCE: usize = 4;
/// Inspections without an answer, one after the other, after which nobody is taken to be there.
const SILENT_MOST: usize = AT_ONCE;
/// The longest wait before a container is asked for again.
const AGAIN_MOST: Duration = Duration::from_secs(600);
/// A fault is logged so often.
const TELL: Duration = Duration::from_secs(60);
/// Faults whose last mention is kept.
const TOLD_MOST: usize = 16;

/// What lasts from one connection to the next.
struct Watcher {
    settings: Settings,
    directory: Arc<Directory>,
    /// Containers of which an inspection went wrong.
    failed: BTreeMap<String, Again>,
    /// The age at which a scrape has a list fetched anew that went wrong.
    patience: Duration,
    /// Scrapes seen.
    scrapes: u64,
    /// Faults that were logged, and when.
    told: Vec<(String, Instant)>,
    /// Whether the last word in the log is of a fault.
    is_told_down: bool,
}

/// When to ask for a container again.
struct Again {
    at: Instant,
    delay: Duration,
    /// Whether the runtime does not know it; else it could not say.
    is_absent: bool,
}

/// What is under way in one connection.
#[derive(Default)]
struct Work {
    calls: FuturesUnordered<Call>,
    /// Containers to inspect, now.
    queue: VecDeque<String>,
    /// Containers with events, to inspect at a time.
    waiting: BTreeMap<String, Instant>,
    /// Containers that are being inspected.
    busy: BTreeSet<String>,
    /// Of these, those that are no more.
    destroyed: BTreeSet<String>,
    is_listing: bool,
    /// Inspections without an answer since the last that had one.
    silent: usize,
}

type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

enum Answer {
    List(Result<Vec<Listed>, Fault>),
    /// 3 KB where a list is 32 bytes.
    Container(String, Result<Box<ContainerInspectResponse>, Fault>),
}

impl Work {
    fn wants(&self, id: &str) -> bool {
        self.busy.contains(id)
            || self.waiting.contains_key(id)
            || self.queue.iter().any(|queued| queued == id)
    }

    fn forget(&mut self, id: &str) {
        self.waiting.remove(id);
        self.queue.retain(|queued| queued != id);
        if self.busy.contains(id) {
            self.destroyed.insert(id.to_owned());
        }
    }
}

impl Watcher {
    /// Follows the runtime over one connection. Returns without a fault if it should be made anew at once.
    async fn session(&mut self, api: &Arc<Api>) -> Result<(), Fault> {
        let Intervals { coalesce, list, .. } = self.settings.intervals;
        let server = api.greet().await?;
        self.directory.connection(self.settings.runtime, |connection| {
            connection.api_version = server.api_version.map(|(major, minor)| format!("{major}.{minor}"));
            connection.version = server.version;
        });
        // A proxy may well refuse this one.
        if let Ok(info) = api.info().await {
            self.directory.connection(self.settings.runtime, |connection| {
                connection.storage_driver = info.driver;
                connection.cgroup_driver = info.cgroup_driver.map(|driver| driver.to_string());
                connection.root = info.docker_root_dir;
                connection.operating_system = info.operating_system.map(|system| match info.kernel_version {
                    Some(kernel) => format!("{system}, {kernel}"),
                    None => system,
                });
                connection.images = info.images.and_then(|images| u64::try_from(images).ok());
                connection.version = connection.version.take().or(info.server_version);
            });
        }
        let mut work = Work::default();
        let (mut events, no_events) = match api.subscribe().await {
            Ok(events) => (Some(events), None),
            Err(fault @ Fault::Unreachable(..)) => return Err(fault),
            Err(fault) => (None, Some(fault)),
        };
        // What changes from here on is told by events, and what changed before by the list.
        self.list(api, &mut work);
        // Whether the last list is one.
        let mut has_list = false;
        let mut listed_at = None::<Instant>;
        let mut gives_memory_back = true;
        loop {
            self.inspect(api, &mut work);
            if work.calls.is_empty() {
                api.rest();
                if gives_memory_back {
                    gives_memory_back = false;
                    hostfs::sys::give_memory_back();
                }
            }
            let due = work.waiting.values().min().copied();
            tokio::select! {
                event = next(&mut events), if events.is_some() => match event {
                    Some(Ok(event)) => {
                        api.had_event();
                        self.event(event, &mut work);
                    }
                    Some(Err(error)) => return Err(Fault::from(error)),
                    None => return Err(Fault::Ended),
                },
                Some(answer) = work.calls.next() => match answer {
                    Answer::List(Ok(listed)) => {
                        work.is_listing = false;
                        listed_at = Some(Instant::now());
                        let differs = self.compare(listed, &mut work);
                        if differs && has_list && events.is_some() {
                            // The stream should have told: it is dead, whatever the connection says.
                            return Ok(());
                        }
                        self.note_success(no_events.as_ref());
                        has_list = true;
                    }
                    Answer::List(Err(fault)) if fault.is_of_connection() => return Err(fault),
                    Answer::List(Err(fault)) => {
                        work.is_listing = false;
                        listed_at = Some(Instant::now());
                        has_list = false;
                        self.note(&fault);
                    }
                    Answer::Container(id, result) => {
                        work.busy.remove(&id);
                        // What was asked before the end says that it is there.
                        if !work.destroyed.remove(&id) {
                            self.inspected(id, result, &mut work)?;
                        }
                    }
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let now = Instant::now();
                    let Work { waiting, queue, busy, .. } = &mut work;
                    waiting.retain(|id, due| {
                        if *due > now {
                            return true;
                        }
                        if busy.contains(id) {
                            // The answer that is on its way may be from before the event.
                            *due = now + coalesce;
                            return true;
                        }
                        queue.retain(|queued| queued != id);
                        queue.push_front(id.clone());
                        false
                    });
                }
                () = self.directory.next_scrape(&mut self.scrapes) => {
                    self.scraped(&mut work);
                    let is_whole = no_events.is_none() && has_list;
                    let age = if is_whole { list } else { self.patience.min(list) };
                    if !work.is_listing && listed_at.is_some_and(|at| at.elapsed() >= age) {
                        if !is_whole {
                            // The version may be wrong, or the proxy another now: from the start.
                            self.patience = (self.patience * 2).min(list);
                            return Ok(());
                        }
                        self.list(api, &mut work);
                    }
                }
            }
        }
    }

    fn list(&self, api: &Arc<Api>, work: &mut Work) {
        work.is_listing = true;
        let api = Arc::clone(api);
        work.calls.push(Box::pin(async move { Answer::List(api.list().await) }));
    }

    /// Starts inspections as far as they may be under way.
    fn inspect(&self, api: &Arc<Api>, work: &mut Work) {
        while work.busy.len() < AT_ONCE {
            let Some(id) = work.queue.pop_front() else { return };
            if !work.busy.insert(id.clone()) {
                continue;
            }
            let api = Arc::clone(api);
            work.calls.push(Box::pin(async move {
                let result = api.inspect(&id).await.map(Box::new);
                Answer::Container(id, result)
            }));
        }
    }

    fn inspected(
        &mut self,
        id: String,
        result: Result<Box<ContainerInspectResponse>, Fault>,
        work: &mut Work,
    ) -> Result<(), Fault> {
        if !matches!(&result, Err(fault) if fault.is_of_connection()) {
            work.silent = 0;
        }
        let fault = match result {
            Ok(said) => {
                self.failed.remove(&id);
                let Settings { runtime, env_prefixes, .. } = &self.settings;
                self.directory.put(model::metadata(&id, *runtime, env_prefixes, *said));
                return Ok(());
            }
            Err(fault @ Fault::Unreachable(..)) => return Err(fault),
            Err(fault) => fault,
        };
        if fault.is_of_connection() {
            work.silent += 1;
            if work.silent >= SILENT_MOST {
                return Err(fault);
            }
        }
        let is_absent = fault == Fault::Status(404);
        if is_absent {
            self.remove(&id);
        } else {
            self.tell(&fault);
        }
        let Intervals { most_backoff, unknown, .. } = self.settings.intervals;
        let delay = match self.failed.get(&id) {
            Some(again) if again.is_absent == is_absent => (again.delay * 2).min(AGAIN_MOST),
            _ if is_absent => unknown,
            _ => most_backoff,
        };
        self.failed.insert(id, Again { at: Instant::now() + delay, delay, is_absent });
        Ok(())
    }

    /// Forgets a container, if it is one of this runtime's.
    fn remove(&self, id: &str) {
        if self.directory.get(id).is_some_and(|known| known.runtime == self.settings.runtime) {
            self.directory.remove(id);
        }
    }

    fn event(&mut self, event: EventMessage, work: &mut Work) {
        let Some(id) = event.actor.and_then(|actor| actor.id).filter(|id| is_id(id)) else { return };
        let action = event.action.unwrap_or_default();
        let (action, value) = action.split_once(": ").unwrap_or((&action, ""));
        match action {
            "destroy" | "remove" => {
                self.remove(&id);
                self.failed.remove(&id);
                return work.forget(&id);
            }
            "health_status" => {
                let known = self.directory.get(&id).filter(|_| !work.wants(&id));
                if let (Some(health), Some(known)) = (model::health(value), known) {
                    return self.directory.put(Metadata { health: Some(health), ..Metadata::clone(&known) });
                }
            }
            "create" | "start" | "restart" | "die" | "died" | "stop" | "rename" | "pause" | "unpause"
            | "oom" | "update" => {}
            _ => return,
        }
        let due = Instant::now() + self.settings.intervals.coalesce;
        work.waiting.entry(id).or_insert(due);
    }

    /// Takes a list as the truth: forgets who is not in it, and has inspected who is new or in doubt. Returns whether there was any.
    fn compare(&mut self, mut listed: Vec<Listed>, work: &mut Work) -> bool {
        let ids: HashSet<&str> = listed.iter().map(|one| one.id.as_str()).collect();
        let mut differs = false;
        self.directory.retain(self.settings.runtime, |known| {
            let keeps = ids.contains(known.id.as_str()) || work.wants(&known.id);
            differs |= !keeps;
            keeps
        });
        let unknown = self.directory.unknown();
        self.failed.retain(|id, _| ids.contains(id.as_str()) || unknown.contains(id));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let time = Instant::now();
        // Who runs has metrics that want a name.
        listed.sort_by_key(|one| one.state != Some(State::Running));
        for one in listed {
            if work.wants(&one.id) || self.failed.get(&one.id).is_some_and(|again| again.at > time) {
                continue;
            }
            let known = self.directory.get(&one.id).filter(|known| known.runtime == self.settings.runtime);
            if known.is_none_or(|known| one.doubts(&known, now)) {
                differs = true;
                work.queue.push_back(one.id);
            }
        }
        differs
    }

    /// Has inspected whom a scrape saw and nobody knows, and who could not be inspected some time ago.
    fn scraped(&mut self, work: &mut Work) {
        let now = Instant::now();
        for id in self.directory.unknown() {
            let is_early = self.failed.get(&id).is_some_and(|again| again.at > now);
            if is_id(&id) && !is_early && !work.wants(&id) {
                work.queue.push_front(id);
            }
        }
        let late = self.failed.iter().filter(|(_, again)| !again.is_absent && again.at <= now);
        for (id, _) in late {
            if !work.wants(id) {
                work.queue.push_back(id.clone());
            }
        }
    }

    fn note_success(&mut self, no_events: Option<&Fault>) {
        self.told.retain(|(_, at)| at.elapsed() < TELL);
        let error = no_events.map(|fault| format!("events: {fault}"));
        if no_events.is_none() {
            self.patience = self.settings.intervals.most_backoff;
        }
        let mut was_up = true;
        self.directory.connection(self.settings.runtime, |connection| {
            was_up = std::mem::replace(&mut connection.is_up, true);
            connection.is_denied = false;
            connection.error = error;
        });
        // What was said to be wrong is said to be well again, however soon.
        let is_awaited = std::mem::take(&mut self.is_told_down);
        if !was_up && (is_awaited || self.may_tell("connected")) {
            log!(Info, "Connected to the container runtime", address = self.settings.address);
        }
        if let Some(fault) = no_events {
            self.tell(fault);
        }
    }

    /// Notes that the connection is down, or as good as.
    fn note(&mut self, fault: &Fault) {
        let error = fault.to_string();
        let mut is_as_before = false;
        self.directory.connection(self.settings.runtime, |connection| {
            is_as_before = connection.error.as_ref() == Some(&error);
            connection.is_denied = matches!(fault, Fault::Unreachable(io::ErrorKind::PermissionDenied, _));
            connection.is_up = false;
            connection.error = Some(error);
        });
        // Neither rights nor a socket come by themselves: that they lack is said once.
        let is_lasting =
            matches!(fault, Fault::Unreachable(io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound, _));
        if !(is_lasting && is_as_before) {
            self.tell(fault);
        }
    }

    fn tell(&mut self, fault: &Fault) {
        let is_absent = matches!(fault, Fault::Unreachable(io::ErrorKind::NotFound, _));
        let is_usual = is_absent && self.settings.is_default && self.settings.runtime == Runtime::Podman;
        let address = &self.settings.address;
        if is_usual || *fault == Fault::Ended {
            log!(Debug, "Lost the container runtime", address = address, err = fault);
        } else if self.may_tell(&fault.to_string()) {
            self.is_told_down = true;
            log!(
                Warn,
                "The container runtime does not answer as it should",
                address = self.settings.address,
                err = fault
            );
        }
    }

    fn may_tell(&mut self, what: &str) -> bool {
        self.told.retain(|(_, at)| at.elapsed() < TELL);
        let is_new = self.told.len() < TOLD_MOST && self.told.iter().all(|(told, _)| told != what);
        if is_new {
            self.told.push((what.to_owned(), Instant::now()));
        }
        is_new
    }
}

async fn next(events: &mut Option<Events>) -> Option<Result<EventMessage, bollard::errors::Error>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
