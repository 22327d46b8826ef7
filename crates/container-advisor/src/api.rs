//! What clients of cAdvisor's API read, as JSON. Nothing can be changed here; GET and POST are answered alike.
//!
//! | path below `/api/` | from | answer |
//! |---|---|---|
//! | `v1.x/machine`, `v2.x/machine` | v1.0 | the machine |
//! | `v1.x/containers/<path>` | v1.0 | a cgroup: its specification and its last samples |
//! | `v1.x/subcontainers/<path>` | v1.1 | a list of it and those below it |
//! | `v1.x/docker[/<name or id>]` | v1.2 | Docker's containers, or one, by path |
//! | `v2.x/version`, `v2.x/attributes` | v2.0 | this program's version; the machine and its software |
//! | `v2.x/stats/<path>`, `v2.x/spec/<path>` | v2.0 | samples and specifications, by path |
//! | `v2.x/ps/<path>` | v2.0 | processes |
//! | `v2.1/machinestats` | v2.1 | samples of the machine |
//!
//! A v1 body (`{"num_stats": 60, "start": …, "end": …}`) and a v2 query (`type`, `recursive`, `count`, `max_age`) say which samples; see
//! [`request`]. Samples are a second apart and begin when somebody first asks; see [`crate::history`]. An answer is at most 64 MB long: with
//! more than some 180 containers each has fewer than 60 samples in it.
//!
//! The shapes are the original's; see [`info`]. So are its refusals: 500 and a line for all that is not there, 400 for a path without a
//! version or a type. What the original has and this has not (`events`, `summary`, `storage`, `appmetrics`) is a 404 that says so.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exporter::web::{Call, Page, StatusCode, decode_path, json, text};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::history::{Reading, Sample};
use crate::machine::MachineInfo;
use crate::metadata::Runtime;
use crate::processes::Process;
use crate::site::State;

pub mod info;
pub mod request;
pub mod time;

use info::{ContainerInfo, Generation, List, MachineStats, Map, Spec, StatsV2, StatsV20, Taken, View};
use request::{By, Options, Window};

/// The versions, in order.
const VERSIONS: [Version; 6] =
    [Version::V1(0), Version::V1(1), Version::V1(2), Version::V1(3), Version::V2(0), Version::V2(1)];

/// What the original has beside.
const LACKING: [&str; 4] = ["appmetrics", "events", "storage", "summary"];

/// The longest answer, in bytes.
const LONGEST: usize = 64 << 20;

/// The most samples in an answer: one is some 5 KB long.
const MOST_SAMPLES: usize = LONGEST / 6144;

/// Answers that are made at once: each may take some memory.
static MAKERS: Semaphore = Semaphore::const_new(2);

/// How long the machine's filesystems have to answer.
const MACHINE: Duration = Duration::from_secs(2);

/// A version of the API: v1.x or v2.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1(u8),
    V2(u8),
}

impl Version {
    fn name(self) -> String {
        match self {
            Version::V1(minor) => format!("v1.{minor}"),
            Version::V2(minor) => format!("v2.{minor}"),
        }
    }

    /// The types of request, in order.
    fn types(self) -> &'static [&'static str] {
        match self {
            Version::V1(0) => &["containers", "machine"],
            Version::V1(1) => &["containers", "machine", "subcontainers"],
            Version::V1(_) => &["containers", "docker", "machine", "subcontainers"],
            Version::V2(0) => &["attributes", "machine", "ps", "spec", "stats", "version"],
            Version::V2(_) => &["attributes", "machine", "machinestats", "ps", "spec", "stats", "version"],
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }

    /// The original's answer to whatever goes wrong.
    fn failed(text: impl Into<String>) -> Self {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    fn within(self, what: &str) -> Self {
        Refusal { text: format!("{what}{}", self.text), ..self }
    }
}

/// The answer to a path that begins with `/api/`.
pub async fn answer(state: &Arc<State>, call: &Call) -> Page {
    let body = match Asked::parse(call) {
        Ok(asked) => asked.answer(state).await,
        Err(refusal) => Err(refusal),
    };
    match body {
        Ok(body) => json(StatusCode::OK, body),
        Err(refusal) => text(refusal.status, format!("{}\n", refusal.text)),
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Machine,
    /// v1: by path.
    Container(String, Window),
    /// v1: by path, with those below.
    Subcontainers(String, Window),
    /// v1: by name or id, or all.
    Docker(Option<String>, Window),
    Version,
    Attributes,
    /// By path or name; v2.0 has another shape than v2.1.
    Stats(String, Options, Version),
    Spec(String, Options),
    Ps(String, Options),
    MachineStats(Options),
}

impl Asked {
    fn parse(call: &Call) -> Result<Self, Refusal> {
        let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
        let path = decode_path(&call.path)
            .ok_or_else(|| bad("400 Bad Request: this path cannot be decoded".into()))?;
        let mut parts = path.strip_prefix("/api").unwrap_or(&path).split('/').filter(|part| !part.is_empty());
        let Some(version) = parts.next() else {
            let versions: Vec<String> = VERSIONS.iter().map(|version| version.name()).collect();
            return Err(bad(format!("Supported API versions: {}", versions.join(","))));
        };
        let Some(&version) = VERSIONS.iter().find(|known| known.name() == version) else {
            return Err(Refusal::failed(format!("unsupported API version {version:?}")));
        };
        let Some(kind) = parts.next() else {
            return Err(bad(format!("Supported request types: {:?}", version.types().join(","))));
        };
        if !version.types().contains(&kind) {
            return Err(if LACKING.contains(&kind) && version != Version::V1(0) {
                Refusal::new(
                    StatusCode::NOT_FOUND,
                    format!("404 {kind:?} is not here: this program does not keep it"),
                )
            } else {
                Refusal::failed(format!("unknown request type {kind:?}"))
            });
        }
        let arguments = clean(parts);
        let name = || format!("/{}", arguments.join("/"));
        if let Version::V1(_) = version {
            let window = || Window::from_body(&call.body).map_err(Refusal::failed);
            return Ok(match (kind, &*arguments) {
                ("machine", _) => Asked::Machine,
                ("containers", _) => Asked::Container(name(), window()?),
                ("subcontainers", _) => Asked::Subcontainers(name(), window()?),
                (_, []) => Asked::Docker(None, window()?),
                (_, [one]) => Asked::Docker(Some((*one).to_owned()), window()?),
                (_, many) => {
                    let many = many.join(" ");
                    return Err(Refusal::failed(format!("unknown request for Docker container [{many}]")));
                }
            });
        }
        let options = Options::from_query(&call.query).map_err(Refusal::failed)?;
        Ok(match kind {
            "version" => Asked::Version,
            "attributes" => Asked::Attributes,
            "machine" => Asked::Machine,
            "machinestats" => Asked::MachineStats(options),
            "spec" => Asked::Spec(name(), options),
            "ps" => Asked::Ps(name(), options),
            _ => Asked::Stats(name(), options, version),
        })
    }

    async fn answer(self, state: &Arc<State>) -> Result<Vec<u8>, Refusal> {
        let view = View { kinds: state.settings.choice.kinds, host_network: state.settings.host_network };
        match self {
            Asked::Machine => blocking(state, |state| write(&*machine(state))).await,
            Asked::Version => write(crate::VERSION),
            Asked::Attributes => {
                blocking(state, |state| write(&Attributes::new(state, &machine(state)))).await
            }
            Asked::Ps(name, options) => processes(state, name, options).await,
            Asked::Container(path, window) => {
                from_readings(state, move |readings| {
                    let one = Chosen::one(readings, newest(readings)?, &path, window).map_err(|refusal| {
                        refusal.within(&format!("failed to get container {path:?} with error: "))
                    })?;
                    write(&one.info(view))
                })
                .await
            }
            Asked::Subcontainers(path, window) => {
                from_readings(state, move |readings| {
                    let all = below(readings, newest(readings)?, &path, window);
                    if all.is_empty() {
                        let what = "failed to get subcontainers for container";
                        return Err(Refusal::failed(format!(
                            "{what} {path:?} with error: unknown container {path:?}"
                        )));
                    }
                    write(&List(|| all.iter().map(|one| one.info(view))))
                })
                .await
            }
            Asked::Docker(name, window) => {
                from_readings(state, move |readings| {
                    let newest = newest(readings)?;
                    let all = match &name {
                        None => of_runtime(newest, Runtime::Docker).collect(),
                        Some(name) => vec![named(newest, Runtime::Docker, name).map_err(|refusal| {
                            refusal.within(&format!("failed to get Docker container {name:?} with error: "))
                        })?],
                    };
                    let all = Chosen::all(readings, newest, all, window);
                    write(&Map(|| all.iter().map(|one| (info::path(one.newest.sample), one.info(view)))))
                })
                .await
            }
            Asked::Spec(name, options) => {
                from_readings(state, move |readings| {
                    let all = choose(readings, &name, options)?;
                    write(&Map(|| {
                        all.iter().map(|one| {
                            (info::path(one.newest.sample), Spec::new(one.newest, view, Generation::V2))
                        })
                    }))
                })
                .await
            }
            Asked::Stats(name, options, Version::V2(0)) => {
                from_readings(state, move |readings| {
                    let all = choose(readings, &name, options)?;
                    write(&Map(|| {
                        all.iter()
                            .map(|one| (info::path(one.newest.sample), StatsV20 { stats: &one.stats, view }))
                    }))
                })
                .await
            }
            Asked::Stats(name, options, _) => {
                from_readings(state, move |readings| {
                    let mut all = choose(readings, &name, options)?;
                    // The machine is in `machinestats`.
                    all.retain(|one| *one.newest.sample.path != *b"/");
                    write(&Map(|| {
                        all.iter().map(|one| (info::path(one.newest.sample), Whole::new(one, view)))
                    }))
                })
                .await
            }
            Asked::MachineStats(options) => {
                from_readings(state, move |readings| {
                    let one = Chosen::one(readings, newest(readings)?, "/", options.window)?;
                    write(&MachineStats { stats: &one.stats })
                })
                .await
            }
        }
    }
}

/// Without `.`, and without what `..` undoes.
fn clean<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut cleaned = Vec::new();
    for part in parts {
        match part {
            "." => {}
            ".." => {
                cleaned.pop();
            }
            part => cleaned.push(part),
        }
    }
    cleaned
}

/// A container and the samples of it that are wanted.
struct Chosen<'a> {
    newest: Taken<'a>,
    /// Oldest first.
    stats: Vec<Taken<'a>>,
}

impl<'a> Chosen<'a> {
    fn new(readings: &'a [Arc<Reading>], newest: &'a Reading, sample: &'a Sample, window: Window) -> Self {
        let is_within = |reading: &&Arc<Reading>| {
            let at = reading.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            window.start.is_none_or(|start| at >= start) && window.end.is_none_or(|end| at <= end)
        };
        let taken = |reading: &'a Arc<Reading>| Some(Taken { reading, sample: reading.at(&sample.path)? });
        let mut stats: Vec<Taken<'a>> = readings
            .iter()
            .rev()
            .filter(is_within)
            .filter_map(taken)
            .take(window.count.unwrap_or(usize::MAX))
            .collect();
        stats.reverse();
        Chosen { newest: Taken { reading: newest, sample }, stats }
    }

    fn all(
        readings: &'a [Arc<Reading>],
        newest: &'a Reading,
        samples: Vec<&'a Sample>,
        window: Window,
    ) -> Vec<Self> {
        let mut all: Vec<Self> =
            samples.into_iter().map(|sample| Chosen::new(readings, newest, sample, window)).collect();
        fit(&mut all, MOST_SAMPLES);
        all
    }

    fn one(
        readings: &'a [Arc<Reading>],
        newest: &'a Reading,
        path: &str,
        window: Window,
    ) -> Result<Self, Refusal> {
        match newest.at(path.as_bytes()) {
            Some(sample) => Ok(Chosen::new(readings, newest, sample, window)),
            None => Err(Refusal::failed(format!("unknown container {path:?}"))),
        }
    }

    fn info(&self, view: View) -> ContainerInfo<'_> {
        ContainerInfo::new(self.newest, &self.stats, view)
    }
}

/// Leaves each container the newest of its samples, as many as fit into an answer with so many together; one at least.
fn fit(all: &mut [Chosen<'_>], most: usize) {
    let each = (most / all.len().max(1)).max(1);
    for one in all {
        let surplus = one.stats.len().saturating_sub(each);
        one.stats.drain(..surplus);
    }
}

/// A container of v2.1.
#[derive(Serialize)]
struct Whole<'a> {
    spec: Spec<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsV2<'a>>,
}

impl<'a> Whole<'a> {
    fn new(one: &'a Chosen<'a>, view: View) -> Self {
        let spec = Spec::new(one.newest, view, Generation::V2);
        let stats = (!one.stats.is_empty()).then_some(StatsV2 { stats: &one.stats, view });
        Whole { spec, stats }
    }
}

fn newest(readings: &[Arc<Reading>]) -> Result<&Reading, Refusal> {
    let none = || Refusal::failed("the cgroups of this machine cannot be read: /validate/ says more");
    readings.last().map(|reading| &**reading).ok_or_else(none)
}

/// The cgroup at `path` and those below it.
fn below<'a>(
    readings: &'a [Arc<Reading>],
    newest: &'a Reading,
    path: &str,
    window: Window,
) -> Vec<Chosen<'a>> {
    let is_below = |sample: &&Sample| {
        path == "/"
            || sample
                .path
                .strip_prefix(path.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    Chosen::all(readings, newest, newest.containers.iter().filter(is_below).collect(), window)
}

/// The containers that a runtime has.
fn of_runtime(reading: &Reading, runtime: Runtime) -> impl Iterator<Item = &Sample> {
    reading.containers.iter().filter(move |sample| sample.id.is_some() && sample.runtime == Some(runtime))
}

/// A container by its name or its id, or by the beginning of one that no other begins with.
fn named<'a>(reading: &'a Reading, runtime: Runtime, name: &str) -> Result<&'a Sample, Refusal> {
    let all = || of_runtime(reading, runtime);
    if let Some(sample) = all().find(|sample| info::aliases(sample).any(|alias| alias == name)) {
        return Ok(sample);
    }
    let namespace = if runtime == Runtime::Docker { "docker" } else { "podman" };
    let mut found = all().filter(|sample| info::aliases(sample).any(|alias| alias.starts_with(name)));
    match (found.next(), found.next()) {
        (Some(sample), None) => Ok(sample),
        (Some(_), Some(_)) => Err(Refusal::failed(format!(
            "unable to find container in {namespace:?} namespace. Container {name:?} is not unique"
        ))),
        _ => Err(Refusal::failed(format!("unable to find container {name:?} in {namespace:?} namespace"))),
    }
}

/// The containers that v2's options mean.
fn choose<'a>(
    readings: &'a [Arc<Reading>],
    name: &str,
    options: Options,
) -> Result<Vec<Chosen<'a>>, Refusal> {
    let (newest, window) = (newest(readings)?, options.window);
    match options.by {
        By::Path if options.is_recursive => {
            let all = below(readings, newest, name, window);
            if all.is_empty() {
                Err(Refusal::failed(format!("unknown container: {name:?}")))
            } else {
                Ok(all)
            }
        }
        By::Path => Ok(vec![Chosen::one(readings, newest, name, window)?]),
        By::Name(runtime) if options.is_recursive => {
            if name != "/" {
                let kind = if runtime == Runtime::Docker { "docker" } else { "podman" };
                let what = "invalid request for";
                return Err(Refusal::failed(format!("{what} {kind} container {name:?} with subcontainers")));
            }
            Ok(Chosen::all(readings, newest, of_runtime(newest, runtime).collect(), window))
        }
        By::Name(runtime) => {
            let sample = named(newest, runtime, name.trim_start_matches('/'))?;
            Ok(vec![Chosen::new(readings, newest, sample, window)])
        }
    }
}

/// Makes an answer from the readings, on a thread: it may be long.
async fn from_readings(
    state: &Arc<State>,
    make: impl FnOnce(&[Arc<Reading>]) -> Result<Vec<u8>, Refusal> + Send + 'static,
) -> Result<Vec<u8>, Refusal> {
    let readings = state.history.look().await;
    blocking(state, move |_| make(&readings)).await
}

/// Makes an answer on a thread: files are read, or it may be long.
async fn blocking(
    state: &Arc<State>,
    make: impl FnOnce(&Arc<State>) -> Result<Vec<u8>, Refusal> + Send + 'static,
) -> Result<Vec<u8>, Refusal> {
    let failed = |_| Refusal::failed("internal error");
    // It is never closed.
    let _place = MAKERS.acquire().await.map_err(|_| failed(()))?;
    let state = Arc::clone(state);
    // A panic was reported.
    tokio::task::spawn_blocking(move || make(&state)).await.map_err(|_| failed(()))?
}

fn machine(state: &State) -> Arc<MachineInfo> {
    state.machine.info(Instant::now() + MACHINE)
}

/// The process table of one cgroup.
async fn processes(state: &Arc<State>, name: String, options: Options) -> Result<Vec<u8>, Refusal> {
    let readings = state.history.look().await;
    blocking(state, move |state| {
        let what = "process listing failed: ";
        // As in the original, `recursive` means nothing here.
        let options = Options { is_recursive: false, ..options };
        let chosen = choose(&readings, &name, options).map_err(|refusal| refusal.within(what))?;
        let Some(one) = chosen.first() else { return write(&[(); 0]) };
        let mut containers = state.containers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let table = containers.table(&one.newest.sample.path);
        drop(containers);
        let Some(table) = table else {
            return Err(Refusal::failed(format!("{what}unknown container {name:?}")));
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        write(&List(|| table.iter().map(|process| Ps::new(process, now))))
    })
    .await
}

#[derive(Serialize)]
struct Ps<'a> {
    #[serde(flatten)]
    process: &'a Process,
    start_time: String,
    running_time: String,
    cgroup_path: &'static str,
    fd_count: u64,
    psr: u64,
}

impl<'a> Ps<'a> {
    fn new(process: &'a Process, now: f64) -> Self {
        Ps {
            process,
            start_time: process.start.map_or_else(String::new, |start| time::started(start, now)),
            running_time: time::spent(process.cpu_seconds),
            cgroup_path: "",
            fd_count: 0,
            psr: 0,
        }
    }
}

/// The machine and its software.
#[derive(Serialize)]
struct Attributes<'a> {
    kernel_version: &'a str,
    container_os_version: &'a str,
    docker_version: String,
    docker_api_version: String,
    cadvisor_version: &'static str,
    num_cores: u32,
    cpu_frequency_khz: u64,
    memory_capacity: u64,
    machine_id: &'a str,
    system_uuid: &'a str,
    hugepages: &'a [crate::machine::HugePages],
    filesystems: &'a [crate::machine::FilesystemInfo],
    disk_map: &'a std::collections::BTreeMap<String, crate::machine::DiskInfo>,
    network_devices: &'a [crate::machine::NetworkDevice],
    topology: &'a [crate::machine::Node],
    cloud_provider: &'static str,
    instance_type: &'static str,
}

impl<'a> Attributes<'a> {
    fn new(state: &State, machine: &'a MachineInfo) -> Self {
        let docker =
            state.directory.connections().into_iter().find(|(runtime, _)| *runtime == Runtime::Docker);
        let docker = docker.map(|(_, connection)| connection).filter(|connection| connection.is_up);
        let (docker_version, docker_api_version) =
            docker.map_or((None, None), |docker| (docker.version, docker.api_version));
        Attributes {
            kernel_version: &machine.kernel_version,
            container_os_version: &machine.os_version,
            docker_version: docker_version.unwrap_or_default(),
            docker_api_version: docker_api_version.unwrap_or_default(),
            cadvisor_version: crate::VERSION,
            num_cores: machine.num_cores,
            cpu_frequency_khz: machine.cpu_frequency_khz.unwrap_or(0),
            memory_capacity: machine.memory_capacity.unwrap_or(0),
            machine_id: &machine.machine_id,
            system_uuid: &machine.system_uuid,
            hugepages: &machine.hugepages,
            filesystems: &machine.filesystems,
            disk_map: &machine.disk_map,
            network_devices: &machine.network_devices,
            topology: &machine.topology,
            cloud_provider: machine.cloud_provider,
            instance_type: machine.instance_type,
        }
    }
}

/// The JSON, unless it is too long.
fn write(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Refusal> {
    write_within(value, LONGEST)
}

fn write_within(value: &(impl Serialize + ?Sized), longest: usize) -> Result<Vec<u8>, Refusal> {
    let mut body = Bounded { bytes: Vec::new(), longest };
    serde_json::to_writer(&mut body, value).map_err(|error| {
        Refusal::failed(if error.is_io() {
            format!(
                "the answer would be longer than {longest} bytes: ask for fewer samples (num_stats, count)"
            )
        } else {
            format!("failed to marshal response: {error}")
        })
    })?;
    Ok(body.bytes)
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    longest: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.longest - self.bytes.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
