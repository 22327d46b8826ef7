//! What a page shows, as data: the script asks for it every second, and the page itself is first made from it.
//!
//! Everything comes from the [`Reading`]s that [`History`](crate::history::History) keeps while somebody looks. Rates are made here, of
//! two readings that follow each other; a counter that went back, or a clock that did, gives no rate. A point that cannot be
//! had is `null`. Names are text: cgroups may be called anything, and whoever shows them has to treat them so.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hostfs::cgroup::{Pressure, Stats, Version};
use serde::Serialize;

use crate::history::{Reading, Sample};
use crate::metadata::{Connection, Health, Metadata, Network, Runtime, State};
use crate::processes::Process;

/// How far back charts go at least, however little is kept, and at most, as a browser has to draw every second of it anew.
const LEAST_SPAN: Duration = Duration::from_secs(20);
const MOST_SPAN: Duration = Duration::from_secs(600);

/// What a page is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The cgroup with this path, and those below it.
    Cgroup(Vec<u8>),
    /// All containers of a runtime.
    Runtime(Runtime),
    /// A runtime's container, by name or id.
    Container(Runtime, String),
}

/// What is known when a page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Oldest first.
    pub readings: &'a [Arc<Reading>],
    /// Containers, running or not, as the runtimes tell, in order of id.
    pub containers: &'a [Arc<Metadata>],
    /// How the connections to the runtimes stand.
    pub connections: &'a [(Runtime, Connection)],
    /// CPUs of the machine that are online.
    pub cores: Option<u64>,
    /// How far back readings go.
    pub span: Duration,
}

/// What the script has already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The time of its last point, in milliseconds since 1970.
    pub since: u64,
    /// The [key](Rows::key) of its rows.
    pub rows: String,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Live {
    /// When the newest reading was taken, in milliseconds since 1970.
    pub now: u64,
    /// How far back the charts go, in milliseconds.
    pub span: u64,
    /// What the subject is called.
    pub name: String,
    /// Why there are no numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The subject's cgroup, escaped as in an address. It changes when a container is made anew under the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether the points take the place of those that the script has: its clock was not ours.
    pub whole: bool,
    /// What is told once: heading and value.
    pub facts: Vec<(&'static str, String)>,
    /// The runtime's daemon, on its own page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub daemon: Vec<(&'static str, String)>,
    /// What the subject may use at most.
    pub most: Most,
    /// Interfaces, in the order of [`Point::n`].
    pub interfaces: Vec<String>,
    /// Block devices, in the order of [`Point::d`].
    pub devices: Vec<String>,
    /// In order of time, after [`Ask::since`].
    pub points: Vec<Point>,
    /// Space on disk.
    pub filesystems: Vec<Filesystem>,
    /// What is below the subject.
    pub rows: Rows,
    /// Its processes and those of what is below, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Task>>,
}

/// Limits that charts show.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Most {
    /// CPUs by quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// CPUs of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u64>,
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of memory of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<u64>,
}

/// One moment.
#[derive(Debug, PartialEq, Serialize)]
pub struct Point {
    /// In milliseconds since 1970.
    pub t: u64,
    /// CPUs used: all, in user mode, in the kernel.
    pub c: [Option<f64>; 3],
    /// Bytes of memory: usage, working set, swap.
    pub m: [Option<u64>; 3],
    /// Share of the time in which some task waited for the CPU, for memory, for disks.
    pub p: [Option<f64>; 3],
    /// Bytes received and sent in a second, by interface.
    pub n: Vec<[Option<u64>; 2]>,
    /// Bytes read and written in a second, by block device.
    pub d: Vec<[Option<u64>; 2]>,
}

/// A filesystem, or what a container has written to one.
#[derive(Debug, PartialEq, Serialize)]
pub struct Filesystem {
    pub device: String,
    pub kind: String,
    pub capacity: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
}

/// The table of what is below.
#[derive(Debug, Default, Serialize)]
pub struct Rows {
    /// Tells this list from others.
    pub key: String,
    /// What changes seldom; left out if the script has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<Row>>,
    /// CPUs used and bytes of the working set, row by row.
    pub now: Vec<(Option<f64>, Option<u64>)>,
}

/// A cgroup or container.
#[derive(Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its page, without the prefix.
    pub href: String,
    /// What it is called.
    pub name: String,
    /// How far below the subject, from 0 on.
    pub depth: usize,
    /// Its life and health; empty for a cgroup that is no container.
    pub state: String,
    /// A container's image.
    pub image: String,
    /// The limit on its memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A process.
#[derive(Debug, PartialEq, Serialize)]
pub struct Task {
    pub user: String,
    pub pid: u32,
    pub start: Option<f64>,
    pub cpu_seconds: f64,
    pub percent_cpu: f64,
    pub rss: u64,
    pub status: String,
    pub command: String,
    /// The name of its cgroup, if that is below the subject.
    pub within: String,
}

impl Task {
    /// From a line of a process table.
    pub fn new(process: Process, within: &str) -> Self {
        Task {
            user: process.user,
            pid: process.pid,
            start: process.start,
            cpu_seconds: process.cpu_seconds,
            percent_cpu: process.percent_cpu,
            rss: process.rss,
            status: process.status,
            command: process.command,
            within: within.to_owned(),
        }
    }
}

/// What a subject is.
#[derive(Debug)]
pub struct Found<'a> {
    /// What its runtime says.
    pub metadata: Option<&'a Arc<Metadata>>,
    /// Its newest sample.
    pub sample: Option<&'a Sample>,
}

impl Found<'_> {
    /// What it is called.
    pub fn name(&self, subject: &Subject) -> String {
        match (self.metadata, self.sample, subject) {
            (.., Subject::Cgroup(path)) if path == b"/" => "This machine".to_owned(),
            (Some(metadata), ..) => metadata.name.clone(),
            (_, Some(sample), _) => name(sample),
            (.., Subject::Runtime(runtime)) => format!("{} containers", title(*runtime)),
            (.., Subject::Container(_, name)) => name.clone(),
            (.., Subject::Cgroup(path)) => String::from_utf8_lossy(path).into_owned(),
        }
    }
}

impl<'a> Known<'a> {
    /// Looks a subject up; `None` if there is none such.
    pub fn find(&self, subject: &Subject) -> Option<Found<'a>> {
        let newest = self.readings.last();
        match subject {
            Subject::Cgroup(path) => {
                let sample = newest.and_then(|reading| reading.at(path))?;
                Some(Found { metadata: sample.metadata.as_ref(), sample: Some(sample) })
            }
            Subject::Runtime(_) => Some(Found { metadata: None, sample: None }),
            Subject::Container(runtime, name) => {
                let metadata = self.container(*runtime, name);
                let id = metadata.map_or(name.as_str(), |metadata| &metadata.id);
                let is_it =
                    |sample: &&Sample| sample.runtime == Some(*runtime) && sample.id.as_deref() == Some(id);
                let sample = newest.and_then(|reading| reading.containers.iter().find(is_it));
                (metadata.is_some() || sample.is_some()).then_some(Found { metadata, sample })
            }
        }
    }

    /// By name, else by id, else by the beginning of an id that no other has, as the runtimes' own commands do.
    fn container(&self, runtime: Runtime, name: &str) -> Option<&'a Arc<Metadata>> {
        let mut all = self.containers.iter().filter(|metadata| metadata.runtime == runtime);
        let exact = all.clone().find(|m| m.name == name).or_else(|| all.clone().find(|m| m.id == name));
        exact.or_else(|| {
            let mut begun = all.by_ref().filter(|m| name.len() >= 4 && m.id.starts_with(name));
            begun.next().filter(|_| begun.next().is_none())
        })
    }

    /// Everything about a subject that the script does not have yet; `None` if there is no such subject.
    pub fn live(&self, subject: &Subject, ask: &Ask) -> Option<Live> {
        let found = self.find(subject)?;
        let newest = self.readings.last();
        let now = newest.map_or(0, |reading| millis(reading.at));
        let whole = ask.since == 0 || ask.since > now;
        let span = u64::try_from(self.span.clamp(LEAST_SPAN, MOST_SPAN).as_millis()).unwrap_or(u64::MAX);
        let since = if whole { now.saturating_sub(span) } else { ask.since };
        let mut live = Live {
            now,
            span,
            name: found.name(subject),
            note: self.note(subject, &found),
            path: found.sample.map(|sample| escape(&sample.path)),
            whole,
            facts: facts(&found, self.cores, newest.and_then(|reading| reading.version)),
            daemon: Vec::new(),
            most: Most { cores: self.cores, machine: self.machine_memory(), ..Default::default() },
            interfaces: Vec::new(),
            devices: Vec::new(),
            points: Vec::new(),
            filesystems: Vec::new(),
            rows: self.rows(subject, ask),
            processes: None,
        };
        if let Subject::Runtime(runtime) = subject {
            let connection = self.connections.iter().find(|(of, _)| of == runtime);
            live.daemon = connection.map(|(_, connection)| daemon(connection)).unwrap_or_default();
        }
        if let Some(sample) = found.sample {
            self.series(sample, since, &mut live);
            live.most.cpu = quota(&sample.stats);
            let is_limit = |bytes: &u64| *bytes != u64::MAX && *sample.path != *b"/";
            live.most.memory = sample.stats.limits.memory.filter(is_limit);
            live.filesystems = sample.filesystems.iter().map(filesystem).collect();
        }
        Some(live)
    }

    fn note(&self, subject: &Subject, found: &Found) -> Option<String> {
        match subject {
            Subject::Container(..) if found.sample.is_none() => {
                Some("This container does not run.".to_owned())
            }
            Subject::Runtime(runtime) if !self.connections.iter().any(|(of, _)| of == runtime) => {
                Some(format!("{} is not asked: its flag is empty.", title(*runtime)))
            }
            _ => None,
        }
    }

    fn machine_memory(&self) -> Option<u64> {
        self.readings.last()?.at(b"/")?.stats.limits.memory.filter(|&bytes| bytes != u64::MAX)
    }

    fn series(&self, newest: &Sample, since: u64, live: &mut Live) {
        let mut earlier: Option<(SystemTime, &Sample)> = None;
        let samples: Vec<(SystemTime, &Sample)> = self
            .readings
            .iter()
            .filter_map(|reading| Some((reading.at, reading.at(&newest.path)?)))
            .collect();
        let is_new = |at: SystemTime| millis(at) > since;
        for (_, sample) in samples.iter().filter(|(at, _)| is_new(*at)) {
            for (interface, _) in &sample.interfaces {
                if !live.interfaces.contains(interface) {
                    live.interfaces.push(interface.clone());
                }
            }
            for device in &sample.devices {
                let device = String::from_utf8_lossy(&device.name);
                if !live.devices.iter().any(|known| *known == device) {
                    live.devices.push(device.into_owned());
                }
            }
        }
        for (at, sample) in samples {
            if is_new(at) {
                let before = earlier.map(|(before, old)| (old, seconds_between(before, at)));
                live.points.push(point(millis(at), before, sample, &live.interfaces, &live.devices));
            }
            earlier = Some((at, sample));
        }
    }

    fn rows(&self, subject: &Subject, ask: &Ask) -> Rows {
        let Some(newest) = self.readings.last() else { return Rows::default() };
        let earlier = self.readings.len().checked_sub(2).and_then(|index| self.readings.get(index));
        let elapsed = earlier.and_then(|earlier| seconds_between(earlier.at, newest.at));
        let mut list = Vec::new();
        let mut now = Vec::new();
        let mut add = |row: Row, sample: Option<&Sample>| {
            let before = sample.and_then(|sample| earlier?.at(&sample.path));
            let cpu = sample.and_then(|sample| cores_used(before?, sample, elapsed?));
            now.push((cpu, sample.and_then(|sample| sample.stats.memory.working_set())));
            list.push(row);
        };
        match subject {
            Subject::Cgroup(_) | Subject::Container(..) => {
                let path =
                    self.find(subject).and_then(|found| Some(&*found.sample?.path)).unwrap_or_default();
                for sample in below(newest, path).filter(|_| !path.is_empty()) {
                    add(cgroup_row(sample, path), Some(sample));
                }
            }
            Subject::Runtime(runtime) => {
                let mut known: Vec<_> = self.containers.iter().filter(|m| m.runtime == *runtime).collect();
                known.sort_by(|a, b| {
                    (a.state != State::Running, &a.name).cmp(&(b.state != State::Running, &b.name))
                });
                for metadata in known {
                    let id = Some(metadata.id.as_str());
                    let sample = newest.containers.iter().find(|sample| sample.id.as_deref() == id);
                    add(
                        container_row(*runtime, &metadata.name, &metadata.name, Some(metadata), sample),
                        sample,
                    );
                }
                let is_told = |id: &str| self.containers.iter().any(|metadata| metadata.id == id);
                let is_unknown = |sample: &&Sample| {
                    sample.runtime == Some(*runtime) && sample.id.as_deref().is_some_and(|id| !is_told(id))
                };
                for sample in newest.containers.iter().filter(is_unknown) {
                    let id = sample.id.as_deref().unwrap_or_default();
                    add(container_row(*runtime, id, &short_id(id), None, Some(sample)), Some(sample));
                }
            }
        }
        let key = fingerprint(&list);
        Rows { list: (ask.rows != key).then_some(list), key, now }
    }
}

/// The samples of the cgroups below a path.
pub fn below<'a>(reading: &'a Reading, path: &'a [u8]) -> impl Iterator<Item = &'a Sample> {
    let parent = path.strip_suffix(b"/").unwrap_or(path);
    reading.containers.iter().filter(move |sample| {
        sample.path.strip_prefix(parent).is_some_and(|rest| rest.len() > 1 && rest[0] == b'/')
    })
}

/// What a cgroup is called: a container by its name or the beginning of its id, any other by the last part of its path.
pub fn name(sample: &Sample) -> String {
    match (&sample.metadata, &sample.id) {
        (Some(metadata), _) => metadata.name.clone(),
        (None, Some(id)) => short_id(id),
        (None, None) => {
            let last = sample.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            String::from_utf8_lossy(last).into_owned()
        }
    }
}

/// The beginning of an id, which the runtimes show too.
fn short_id(id: &str) -> String {
    id.chars().take(12).collect()
}

/// A runtime's name as people write it.
pub fn title(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Docker => "Docker",
        Runtime::Podman => "Podman",
        Runtime::Containerd => "containerd",
        Runtime::Crio => "CRI-O",
    }
}

/// A path as in an address: every byte that is not plain is escaped, so that it comes back as it was, UTF-8 or not.
pub fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &b in path {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
            text.push(char::from(b));
        } else {
            // A string takes all that is written to it.
            let _ = write!(text, "%{b:02X}");
        }
    }
    text
}

/// A number of bytes for people: `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.0$}", usize::from(value < 99.95));
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

/// Seconds since 1970 as date and time: `2026-11-20 19:55:34 UTC`; `None` for what no calendar has.
pub fn date(seconds: f64) -> Option<String> {
    let within = (0.0..253_402_300_800.0).contains(&seconds);
    let seconds = within.then_some(seconds as u64)?;
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the day that leap years have is the last one.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    Some(format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"))
}

/// A container's life for people: `running (healthy)`, `exited (1)`.
pub fn state(metadata: &Metadata) -> String {
    let word = match metadata.state {
        State::Created => "created",
        State::Running => "running",
        State::Paused => "paused",
        State::Restarting => "restarting",
        State::Removing => "removing",
        State::Exited => "exited",
        State::Dead => "dead",
    };
    match (metadata.state, metadata.health) {
        (State::Exited | State::Dead, _) => match metadata.exit_code {
            Some(code) => format!("{word} ({code})"),
            None => word.to_owned(),
        },
        (State::Running, Some(health)) => format!("{word} ({})", health_word(health)),
        _ => word.to_owned(),
    }
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

fn cgroup_row(sample: &Sample, parent: &[u8]) -> Row {
    let parent = parent.strip_suffix(b"/").unwrap_or(parent);
    let depth = sample.path[parent.len()..].iter().filter(|&&b| b == b'/').count().saturating_sub(1);
    Row {
        href: format!("/containers{}", escape(&sample.path)),
        name: name(sample),
        depth,
        state: sample.metadata.as_deref().map(state).unwrap_or_default(),
        image: sample.metadata.as_deref().map(|metadata| metadata.image.clone()).unwrap_or_default(),
        limit: sample.stats.limits.memory.filter(|&bytes| bytes != u64::MAX),
    }
}

fn container_row(
    runtime: Runtime,
    asked: &str,
    name: &str,
    metadata: Option<&Arc<Metadata>>,
    sample: Option<&Sample>,
) -> Row {
    let of = if runtime == Runtime::Podman { "podman" } else { "docker" };
    Row {
        href: format!("/{of}/{}", escape(asked.as_bytes())),
        name: name.to_owned(),
        depth: 0,
        state: metadata.map(|metadata| state(metadata)).unwrap_or_default(),
        image: metadata.map(|metadata| metadata.image.clone()).unwrap_or_default(),
        limit: sample.and_then(|sample| sample.stats.limits.memory).filter(|&bytes| bytes != u64::MAX),
    }
}

/// FNV-1a of what the rows say: it tells lists apart, and nothing depends on more than that.
fn fingerprint(rows: &[Row]) -> String {
    let text = serde_json::to_vec(rows).unwrap_or_default();
    format!("{:016x}", hash(&text))
}

/// FNV-1a.
pub const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `None` if the clock stood or went back.
fn seconds_between(before: SystemTime, after: SystemTime) -> Option<f64> {
    after.duration_since(before).ok().map(|elapsed| elapsed.as_secs_f64()).filter(|&seconds| seconds > 0.0)
}

/// What a counter gained in a second; `None` if it began anew.
fn rate(before: Option<u64>, after: Option<u64>, seconds: f64) -> Option<f64> {
    Some(after?.checked_sub(before?)? as f64 / seconds)
}

/// To four digits, which is a tenth of a millisecond in a second.
fn short(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn cores_used(before: &Sample, after: &Sample, seconds: f64) -> Option<f64> {
    rate(before.stats.cpu.usage_ns, after.stats.cpu.usage_ns, seconds).map(|ns| short(ns / 1e9))
}

fn point(
    t: u64,
    before: Option<(&Sample, Option<f64>)>,
    sample: &Sample,
    interfaces: &[String],
    devices: &[String],
) -> Point {
    let before = before.and_then(|(old, seconds)| Some((old, seconds?)));
    let per_second = |of: &dyn Fn(&Sample) -> Option<u64>| {
        before.and_then(|(old, seconds)| rate(of(old), of(sample), seconds))
    };
    let cpu = |of: fn(&Stats) -> Option<u64>| per_second(&|s| of(&s.stats)).map(|ns| short(ns / 1e9));
    let wait = |of: fn(&Stats) -> &Option<Pressure>| {
        // The kernel's time and ours are not quite one.
        per_second(&|s| of(&s.stats).map(|p| p.some.total_us)).map(|us| short((us / 1e6).min(1.0)))
    };
    let bytes = |of: &dyn Fn(&Sample) -> Option<u64>| per_second(of).map(|rate| rate.round() as u64);
    let memory = &sample.stats.memory;
    Point {
        t,
        c: [cpu(|s| s.cpu.usage_ns), cpu(|s| s.cpu.user_ns), cpu(|s| s.cpu.system_ns)],
        m: [memory.usage, memory.working_set(), memory.swap],
        p: [wait(|s| &s.cpu_pressure), wait(|s| &s.memory_pressure), wait(|s| &s.io_pressure)],
        n: interfaces
            .iter()
            .map(|name| {
                let of =
                    |s: &Sample| s.interfaces.iter().find(|(n, _)| n == name).map(|(_, counters)| *counters);
                [bytes(&|s| Some(of(s)?.receive.bytes)), bytes(&|s| Some(of(s)?.transmit.bytes))]
            })
            .collect(),
        d: devices
            .iter()
            .map(|name| {
                let of = |s: &Sample, read: bool| {
                    let device =
                        s.devices.iter().find(|device| String::from_utf8_lossy(&device.name) == **name)?;
                    // For the machine the disk's own counters, in sectors of 512 bytes.
                    match (&device.disk, read) {
                        (Some(disk), true) => disk.sectors_read.checked_mul(512),
                        (Some(disk), false) => disk.sectors_written.checked_mul(512),
                        (None, true) => device.stats.bytes.read,
                        (None, false) => device.stats.bytes.write,
                    }
                };
                [bytes(&|s| of(s, true)), bytes(&|s| of(s, false))]
            })
            .collect(),
    }
}

fn filesystem(space: &crate::containers::Space) -> Filesystem {
    Filesystem {
        device: String::from_utf8_lossy(&space.device).into_owned(),
        kind: String::from_utf8_lossy(&space.kind).into_owned(),
        capacity: space.capacity,
        usage: space.usage,
    }
}

fn quota(stats: &Stats) -> Option<f64> {
    let (quota, period) = (stats.limits.cpu_quota_us?, stats.limits.cpu_period_us?);
    (period != 0).then(|| short(quota as f64 / period as f64))
}

fn facts(found: &Found, cores: Option<u64>, version: Option<Version>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut add = |heading, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push((heading, value));
        }
    };
    let limited = |bytes: u64| if bytes == u64::MAX { "none".to_owned() } else { size(bytes) };
    if let Some(metadata) = found.metadata {
        add("State", Some(state(metadata)));
        add("Image", Some(metadata.image.clone()));
        add("Id", Some(short_id(&metadata.id)));
        add("Runtime", Some(title(metadata.runtime).to_owned()));
        add("Health", metadata.health.map(|health| health_word(health).to_owned()));
        add("Restarts", metadata.restart_count.map(|count| count.to_string()));
        let ran = !matches!(metadata.state, State::Created | State::Running | State::Paused);
        add("Exit code", metadata.exit_code.filter(|_| ran).map(|code| code.to_string()));
        add("Killed for lack of memory", (metadata.oom_killed == Some(true)).then(|| "yes".to_owned()));
        let network = match metadata.network {
            Network::Own => None,
            Network::Host => Some("the machine's"),
            Network::None => Some("none"),
            Network::Container => Some("another container's"),
        };
        add("Network", network.map(str::to_owned));
        add("Created", metadata.created.and_then(date));
        add("Started", metadata.started.and_then(date));
        add("Ended", metadata.finished.filter(|_| ran).and_then(date));
    }
    let Some(sample) = found.sample else { return facts };
    let is_root = *sample.path == *b"/";
    if found.metadata.is_none() && !is_root {
        add("Runtime", sample.runtime.map(|runtime| title(runtime).to_owned()));
        add("Created", sample.created.and_then(date));
    }
    add("Cgroup", Some(String::from_utf8_lossy(&sample.path).into_owned()));
    let limits = &sample.stats.limits;
    add("CPUs", cores.filter(|_| is_root).map(|cores| cores.to_string()));
    add("CPU shares", limits.cpu_shares.map(|shares| shares.to_string()));
    let has_cpu = limits.cpu_period_us.is_some() && !is_root;
    let cpus = |cpus: f64| format!("{cpus} CPUs");
    add("CPU limit", has_cpu.then(|| quota(&sample.stats).map_or_else(|| "none".to_owned(), cpus)));
    add("Allowed CPUs", Some(limits.cpus.clone()));
    add(if is_root { "Memory" } else { "Memory limit" }, limits.memory.map(limited));
    add(
        "Memory reservation",
        limits.reservation.filter(|&bytes| bytes != 0 && bytes != u64::MAX).map(limited),
    );
    let swap = match version {
        _ if is_root => "Swap",
        Some(Version::V1 | Version::Hybrid) => "Memory and swap limit",
        _ => "Swap limit",
    };
    add(swap, limits.swap.map(limited));
    let tasks = sample.stats.pids.map(|tasks| match sample.stats.pids_max {
        Some(most) if most != u64::MAX => format!("{tasks} of {most}"),
        _ => tasks.to_string(),
    });
    add("Tasks", tasks);
    add("Processes", sample.process_count.map(|count| count.to_string()));
    let kills = sample.stats.memory.events.oom_kill.filter(|&kills| kills != 0);
    add("Processes killed for lack of memory", kills.map(|kills| kills.to_string()));
    facts
}

fn daemon(connection: &Connection) -> Vec<(&'static str, String)> {
    let stands = if connection.is_up {
        "connected".to_owned()
    } else {
        format!("not connected: {}", connection.error.as_deref().unwrap_or("nothing was said so far"))
    };
    let told = [
        ("Connection", Some(stands)),
        ("Address", Some(connection.address.clone())),
        ("Version", connection.version.clone()),
        ("API version", connection.api_version.clone()),
        ("Storage driver", connection.storage_driver.clone()),
        ("Cgroup driver", connection.cgroup_driver.clone()),
        ("Root directory", connection.root.clone()),
        ("Operating system", connection.operating_system.clone()),
        ("Images", connection.images.map(|images| images.to_string())),
    ];
    told.into_iter().filter_map(|(heading, value)| Some((heading, value?))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::containers::BlockDevice;
    use crate::metadata::testing::metadata;
    use crate::network::{Interface, Traffic};

    pub(crate) const ID: &str = "7f0d150c719b611570c879a9110d8863b885e232367940af688e86db4ce440ad";

    /// A cgroup about which nothing is known but its path.
    pub(crate) fn sample(path: &[u8]) -> Sample {
        Sample {
            path: path.into(),
            id: crate::identity::of(path).map(|(id, _)| id.into()),
            runtime: crate::identity::of(path).map(|(_, runtime)| runtime),
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

    /// A reading at so many milliseconds since 1970.
    pub(crate) fn reading(at: u64, containers: Vec<Sample>) -> Arc<Reading> {
        Arc::new(Reading { at: UNIX_EPOCH + Duration::from_millis(at), version: None, containers })
    }

    pub(crate) fn known<'a>(readings: &'a [Arc<Reading>], containers: &'a [Arc<Metadata>]) -> Known<'a> {
        Known { readings, containers, connections: &[], cores: Some(2), span: Duration::from_secs(120) }
    }

    fn busy(at: u64, cpu_ns: u64, received: u64, read: u64) -> Arc<Reading> {
        let mut sample = sample(b"/a");
        sample.stats.cpu.usage_ns = Some(cpu_ns);
        sample.stats.memory.usage = Some(4096);
        sample.stats.memory.inactive_file = Some(0);
        let traffic = |bytes| Traffic { bytes, ..Traffic::default() };
        let counters = Interface { receive: traffic(received), transmit: traffic(7) };
        sample.interfaces.push(("eth0".to_owned(), counters));
        let mut device = BlockDevice { name: b"/dev/sda".to_vec(), ..BlockDevice::default() };
        device.stats.bytes.read = Some(read);
        sample.devices.push(device);
        reading(at, vec![sample])
    }

    fn running() -> Metadata {
        Metadata { state: State::Running, ..metadata(ID, "web") }
    }

    fn cgroup(path: &str) -> Subject {
        Subject::Cgroup(path.as_bytes().to_vec())
    }

    #[test]
    fn rates_are_of_two_readings() {
        let readings = [busy(1000, 0, 0, 10), busy(3000, 3_000_000_000, 1001, 4106)];
        let live = known(&readings, &[]).live(&cgroup("/a"), &Ask::default()).unwrap();
        assert_eq!((live.interfaces, live.devices), (vec!["eth0".to_owned()], vec!["/dev/sda".to_owned()]));
        let first = Point {
            t: 1000,
            c: [None; 3],
            m: [Some(4096), Some(4096), None],
            p: [None; 3],
            n: vec![[None, None]],
            d: vec![[None, None]],
        };
        let second = Point {
            t: 3000,
            c: [Some(1.5), None, None],
            m: [Some(4096), Some(4096), None],
            p: [None; 3],
            n: vec![[Some(501), Some(0)]],
            d: vec![[Some(2048), None]],
        };
        assert_eq!(live.points, [first, second]);
        assert_eq!((live.now, live.span, live.whole), (3000, 120_000, true));
    }

    #[test]
    fn a_counter_that_went_back_has_no_rate_nor_a_clock_that_did() {
        let readings =
            [busy(1000, 500, 900, 0), busy(2000, 400, 0, 5), busy(2000, 600, 10, 5), busy(1500, 700, 20, 5)];
        let live = known(&readings, &[]).live(&cgroup("/a"), &Ask::default()).unwrap();
        assert!(
            live.points.iter().all(|point| point.c == [None; 3] && point.n[0][0].is_none()),
            "{:?}",
            live.points
        );
        assert_eq!(live.points[1].n[0][1], Some(0));
    }

    #[test]
    fn only_what_is_new_is_sent() {
        let readings = [busy(1000, 0, 0, 0), busy(2000, 5_000_000, 0, 0), busy(3000, 10_000_000, 0, 0)];
        let known = known(&readings, &[]);
        let live = |since| known.live(&cgroup("/a"), &Ask { since, rows: String::new() }).unwrap();
        let times = |live: &Live| live.points.iter().map(|point| point.t).collect::<Vec<_>>();
        assert_eq!((times(&live(1000)), live(1000).whole), (vec![2000, 3000], false));
        // Of a reading that is not sent again.
        assert_eq!(live(2000).points[0].c[0], Some(0.005));
        assert_eq!((times(&live(3000)), live(3000).whole), (vec![], false));
        // As much as a chart shows.
        let long_ago = [busy(1000, 0, 0, 0), busy(500_000, 0, 0, 0)];
        let old = Known { readings: &long_ago, ..known }.live(&cgroup("/a"), &Ask::default()).unwrap();
        assert_eq!(times(&old), [500_000]);
        // Our clock was set back: everything is sent again.
        assert_eq!((times(&live(9000)), live(9000).whole), (vec![1000, 2000, 3000], true));
    }

    #[test]
    fn rows_are_sent_once() {
        let mut c1 = sample(format!("/docker/{ID}").as_bytes());
        c1.metadata = Some(Arc::new(running()));
        c1.stats.memory.usage = Some(77);
        c1.stats.memory.inactive_file = Some(0);
        let readings = [reading(1, vec![sample(b"/"), sample(b"/docker"), c1, sample(b"/dockers")])];
        let known = known(&readings, &[]);
        let rows = |subject: &Subject, key: &str| {
            known.live(subject, &Ask { since: 0, rows: key.to_owned() }).unwrap().rows
        };
        let all = rows(&cgroup("/"), "");
        let list = all.list.unwrap();
        let told: Vec<_> =
            list.iter().map(|row| (row.name.as_str(), row.depth, row.state.as_str())).collect();
        assert_eq!(told, [("docker", 0, ""), ("web", 1, "running"), ("dockers", 0, "")]);
        assert_eq!(list[1].href, format!("/containers/docker/{ID}"));
        assert_eq!(all.now, [(None, None), (None, Some(77)), (None, None)]);
        assert!(rows(&cgroup("/"), &all.key).list.is_none());
        assert_eq!(rows(&cgroup("/docker"), "").now.len(), 1);
        assert_eq!(rows(&cgroup("/dockers"), "").now, []);
    }

    #[test]
    fn containers_are_found_by_name_and_id_running_or_not() {
        let mut stopped = metadata(&"b".repeat(64), "old");
        (stopped.state, stopped.exit_code) = (State::Exited, Some(137));
        let all = [Arc::new(running()), Arc::new(stopped)];
        let readings = [reading(1, vec![sample(format!("/docker/{ID}").as_bytes())])];
        let known = known(&readings, &all);
        let live =
            |name: &str| known.live(&Subject::Container(Runtime::Docker, name.to_owned()), &Ask::default());
        for name in ["web", ID, &ID[..12], "7f0d"] {
            let live = live(name).unwrap();
            assert_eq!((live.name.as_str(), live.path), ("web", Some(format!("/docker/{ID}"))));
        }
        for name in ["7f0", "w", "", "bbbc"] {
            assert!(live(name).is_none(), "{name}");
        }
        let old = live("old").unwrap();
        assert_eq!(old.note.as_deref(), Some("This container does not run."));
        assert_eq!(live("web").unwrap().note, None);
        assert!(old.path.is_none() && old.points.is_empty());
        assert!(old.facts.contains(&("State", "exited (137)".to_owned())), "{:?}", old.facts);
        assert!(old.facts.contains(&("Exit code", "137".to_owned())), "{:?}", old.facts);
        assert!(known.live(&Subject::Container(Runtime::Podman, "web".into()), &Ask::default()).is_none());
        let rows =
            known.live(&Subject::Runtime(Runtime::Docker), &Ask::default()).unwrap().rows.list.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.href.as_str(), row.state.as_str())).collect();
        assert_eq!(told, [("/docker/web", "running"), ("/docker/old", "exited (137)")]);
    }

    #[test]
    fn a_container_without_its_runtime_is_found_by_id() {
        let readings = [reading(1, vec![sample(format!("/docker/{ID}").as_bytes())])];
        let known = known(&readings, &[]);
        let live = known.live(&Subject::Container(Runtime::Docker, ID.to_owned()), &Ask::default()).unwrap();
        assert_eq!(live.name, ID[..12]);
        let rows =
            known.live(&Subject::Runtime(Runtime::Docker), &Ask::default()).unwrap().rows.list.unwrap();
        assert_eq!(rows[0].href, format!("/docker/{ID}"));
    }

    #[test]
    fn limits_and_the_lack_of_them() {
        let mut limited = sample(b"/a");
        limited.stats.limits.cpu_quota_us = Some(50_000);
        limited.stats.limits.cpu_period_us = Some(100_000);
        limited.stats.limits.memory = Some(64 << 20);
        let mut free = sample(b"/b");
        free.stats.limits.cpu_period_us = Some(100_000);
        free.stats.limits.memory = Some(u64::MAX);
        let mut machine = sample(b"/");
        machine.stats.limits.memory = Some(1 << 30);
        let readings = [reading(1, vec![machine, limited, free])];
        let known = known(&readings, &[]);
        let live = |path| known.live(&cgroup(path), &Ask::default()).unwrap();
        let most = |cpu, memory| Most { cpu, cores: Some(2), memory, machine: Some(1 << 30) };
        assert_eq!(live("/a").most, most(Some(0.5), Some(64 << 20)));
        assert_eq!((live("/b").most, live("/").most), (most(None, None), most(None, None)));
        let fact =
            |path, name| live(path).facts.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value);
        assert_eq!(fact("/a", "CPU limit").as_deref(), Some("0.5 CPUs"));
        assert_eq!(fact("/a", "Memory limit").as_deref(), Some("64 MiB"));
        assert_eq!(fact("/b", "CPU limit").as_deref(), Some("none"));
        assert_eq!(fact("/b", "Memory limit").as_deref(), Some("none"));
        assert_eq!(fact("/", "Memory").as_deref(), Some("1 GiB"));
        assert_eq!(fact("/", "CPU limit"), None);
    }

    #[test]
    fn text_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (104_857_600, "100 MiB"),
            (1_048_575, "1 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [
            (0.0, Some("1970-01-01 00:00:00 UTC")),
            (951_782_400.5, Some("2000-02-29 00:00:00 UTC")),
            (1_795_205_203.4, Some("2026-11-20 20:06:43 UTC")),
            (4_107_542_399.0, Some("2100-02-28 23:59:59 UTC")),
            (4_107_542_400.0, Some("2100-03-01 00:00:00 UTC")),
            (-1.0, None),
            (f64::NAN, None),
            (1e300, None),
        ] {
            assert_eq!(date(seconds).as_deref(), text, "{seconds}");
        }
        assert_eq!(escape(b"/a b\\x2d\xff%<\"'/c_d.e~f-1"), "/a%20b%5Cx2d%FF%25%3C%22%27/c_d.e~f-1");
    }
}
