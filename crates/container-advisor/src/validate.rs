//! `/validate/`: what is wrong with the set-up, and how to mend it.
//!
//! What is missing in the metrics is nearly always something that was not mounted, not permitted or not switched on. [`Facts`] are
//! gathered once per request; each check is a function from them to a [`Line`], which says in one sentence what was found and, if it is
//! not well, what to do. Only what the kernel and the runtimes say counts: nothing is guessed from the way we were started.

use std::fmt::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use exporter::web::{Page, StatusCode, text};
use hostfs::cgroup::Version;
use hostfs::{Buf, scan};

use crate::kinds::Kind;
use crate::metadata::{Connection, Directory, Runtime, State};
use crate::scrape::Shared;
use crate::settings::Settings;
use crate::usage::Usage;
use crate::view::View;

/// How long the machine's filesystems may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the report.
#[derive(Debug)]
pub struct Validate {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    containers: Shared,
    usage: Arc<Usage>,
}

impl Validate {
    /// Reads nothing yet.
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        containers: Shared,
        usage: Arc<Usage>,
    ) -> Self {
        Validate { settings, directory, containers, usage }
    }

    /// The report, as plain text.
    pub async fn answer(&self) -> Page {
        let (settings, directory) = (Arc::clone(&self.settings), Arc::clone(&self.directory));
        let (containers, usage) = (Arc::clone(&self.containers), Arc::clone(&self.usage));
        let gather = move || Facts::gather(&settings, &directory, &containers, &usage);
        match tokio::task::spawn_blocking(gather).await {
            Ok(facts) => text(StatusCode::OK, report(&facts)),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "500 the checks broke off: the log says why\n"),
        }
    }
}

/// What the checks look at.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// uname's release.
    kernel: String,
    /// PRETTY_NAME of the host's os-release.
    system: Option<String>,
    uid: u32,
    gids: Vec<u32>,
    /// CapEff.
    capabilities: Option<u64>,
    /// Whether this process is in a container.
    is_container: bool,
    cgroup: Option<Version>,
    /// Why there is none.
    cgroup_error: Option<String>,
    cgroup_root: String,
    controllers: Vec<String>,
    /// The kernel's command line.
    cmdline: Option<String>,
    /// Controllers that the kernel has, and whether they are enabled: `/proc/cgroups`.
    known_controllers: Vec<(String, bool)>,
    /// The board's name, where there is a device tree.
    board: Option<String>,
    /// Whether the kernel accounts pressure at all.
    has_pressure: bool,
    proc_root: String,
    /// Whether it knows this process by another number than the process itself does, and so is that of the machine around.
    is_outer_proc: bool,
    /// Whether process 1 there is this very process.
    is_first_process: bool,
    /// Whether some cgroup lists processes that have no number here.
    hides_processes: bool,
    rootfs: String,
    /// Containers that run, by the runtimes' word.
    running: usize,
    /// Containers seen in the cgroup tree.
    seen: Vec<Seen>,
    /// Cgroups that are no containers.
    others: usize,
    runtimes: Vec<Daemon>,
    /// Whether writable layers are measured, and what came of it.
    measures: bool,
    layers: Vec<Result<(), String>>,
    /// Whether I/O is wanted at all.
    wants_io: bool,
}

/// A container in the cgroup tree.
#[derive(Debug, Clone, Copy)]
struct Seen {
    runtime: Option<Runtime>,
    has_name: bool,
    has_memory: bool,
    has_io: bool,
    has_pressure: bool,
}

/// A runtime that is asked.
#[derive(Debug, Clone)]
struct Daemon {
    runtime: Runtime,
    connection: Connection,
    socket: Socket,
}

/// What is at the address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Socket {
    /// A host and port.
    Remote,
    Missing,
    /// Something that is no socket: Docker makes a directory where a mount's source is missing.
    Other,
    Here {
        gid: u32,
        mode: u32,
    },
}

/// How well something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    level: Level,
    topic: &'static str,
    what: String,
    mend: Option<String>,
}

impl Line {
    fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Line { level: Level::Ok, topic, what: what.into(), mend: None }
    }

    fn warn(topic: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Line { level: Level::Warn, topic, what: what.into(), mend: Some(mend.into()) }
    }

    fn fail(topic: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Line { level: Level::Fail, ..Line::warn(topic, what, mend) }
    }
}

/// A check.
type Check = fn(&Facts) -> Line;

/// Every check, in the order of the report, and whether it is about what the cgroups say: without any it is left out.
const CHECKS: [(Check, bool); 16] = [
    (versions, false),
    (rights, false),
    (cgroups, false),
    (namespace, true),
    (cpu, true),
    (memory, true),
    (io, true),
    (tasks, true),
    (pressure, true),
    (processes, false),
    (docker, false),
    (podman, false),
    (names, true),
    (containers, true),
    (rootfs, false),
    (layers, false),
];

fn report(facts: &Facts) -> String {
    let applies = |&(_, is_about_cgroups): &(Check, bool)| facts.cgroup.is_some() || !is_about_cgroups;
    let lines: Vec<Line> = CHECKS.into_iter().filter(applies).map(|(check, _)| check(facts)).collect();
    let count = |level| lines.iter().filter(|line| line.level == level).count();
    let (fails, warnings) = (count(Level::Fail), count(Level::Warn));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let verdict = match (fails, warnings) {
        (0, 0) => "OK: everything is as it should be".to_owned(),
        (0, _) => format!("WARN: it works; {} below", plural(warnings, "warning")),
        _ => format!("FAIL: {} and {} below", plural(fails, "failure"), plural(warnings, "warning")),
    };
    let mut report = format!("{verdict}\n\n");
    for Line { level, topic, what, mend } in lines {
        let level = match level {
            Level::Ok => "OK  ",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        // A string takes all that is written to it.
        let _ = writeln!(report, "{level}  {topic}: {}", one_line(&what));
        if let Some(mend) = mend {
            let _ = writeln!(report, "      -> {}", one_line(&mend));
        }
    }
    report
}

/// Words of others stay on their line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn versions(facts: &Facts) -> Line {
    let system = facts.system.as_deref().unwrap_or("an unknown system");
    let revision = if crate::REVISION.is_empty() { String::new() } else { format!(" ({})", crate::REVISION) };
    Line::ok(
        "versions",
        format!("container-advisor {}{revision}, Linux {}, {system}", crate::VERSION, facts.kernel),
    )
}

fn rights(facts: &Facts) -> Line {
    const NAMES: [(u32, &str); 5] = [
        (1, "DAC_OVERRIDE"),
        (2, "DAC_READ_SEARCH"),
        (12, "NET_ADMIN"),
        (19, "SYS_PTRACE"),
        (21, "SYS_ADMIN"),
    ];
    let capabilities = match facts.capabilities {
        None => "unknown capabilities".to_owned(),
        Some(0) => "no capabilities".to_owned(),
        Some(set) => {
            let named: Vec<&str> =
                NAMES.iter().filter(|(bit, _)| set & (1 << bit) != 0).map(|(_, name)| *name).collect();
            let others = set.count_ones() as usize - named.len();
            let mut told = named.join(", ");
            if others != 0 {
                let _ = write!(told, "{}{others} more", if named.is_empty() { "" } else { " and " });
            }
            format!("capabilities {told}")
        }
    };
    let gids: Vec<String> = facts.gids.iter().map(u32::to_string).collect();
    let groups = if gids.is_empty() { String::new() } else { format!(", groups {}", gids.join(" ")) };
    let place = if facts.is_container { "in a container" } else { "outside of containers" };
    let root = if facts.uid == 0 { " (root is not needed)" } else { "" };
    Line::ok("rights", format!("user {}{root}{groups}, {capabilities}, {place}", facts.uid))
}

fn cgroups(facts: &Facts) -> Line {
    let root = &facts.cgroup_root;
    let version = match facts.cgroup {
        Some(Version::V1) => "v1",
        Some(Version::V2) => "v2",
        Some(Version::Hybrid) => "v1, with a v2 tree beside it",
        None => {
            let why = facts.cgroup_error.as_deref().unwrap_or("there are none");
            return Line::fail(
                "cgroups",
                format!("nothing can be read below {root}: {why}"),
                "mount the host's cgroups: -v /sys:/sys:ro, or /sys/fs/cgroup:/sys/fs/cgroup:ro; or say with -path.cgroup where they are",
            );
        }
    };
    Line::ok("cgroups", format!("{version}, with the controllers {}", facts.controllers.join(" ")))
}

fn namespace(facts: &Facts) -> Line {
    const TOPIC: &str = "cgroup tree";
    const MEND: &str = "mount the host's tree: /sys/fs/cgroup:/sys/fs/cgroup:ro, or start this container with --cgroupns=host (compose: cgroup: host)";
    if facts.running > 0 && facts.seen.is_empty() {
        let count = facts.running;
        return Line::fail(
            TOPIC,
            format!(
                "the runtimes tell of {count} running containers, and none is in {}: it is not the host's tree",
                facts.cgroup_root
            ),
            MEND,
        );
    }
    // In the host's tree we would see at least ourselves.
    if facts.is_container && facts.seen.is_empty() {
        return Line::fail(
            TOPIC,
            format!("{} is this container's own tree: no other container is in it", facts.cgroup_root),
            MEND,
        );
    }
    Line::ok(
        TOPIC,
        format!(
            "{} shows {} containers and {} other cgroups",
            facts.cgroup_root,
            facts.seen.len(),
            facts.others
        ),
    )
}

/// Whether one of these controllers is there: v1 and v2 name some of them differently.
fn has(facts: &Facts, names: &[&str]) -> bool {
    facts.controllers.iter().any(|controller| names.contains(&controller.as_str()))
}

fn cpu(facts: &Facts) -> Line {
    // v2 accounts CPU time in cpu.stat without the controller; limits and throttling need it.
    if has(facts, &["cpu"]) && (facts.cgroup == Some(Version::V2) || has(facts, &["cpuacct"])) {
        return Line::ok("cpu", "CPU time and limits are accounted");
    }
    Line::warn(
        "cpu",
        "the controller cpu is missing: CPU limits and throttling have no numbers",
        "take cgroup_disable=cpu off the kernel's command line, or use a kernel with CONFIG_CGROUP_SCHED",
    )
}

fn memory(facts: &Facts) -> Line {
    if has(facts, &["memory"]) {
        if !facts.seen.is_empty() && facts.seen.iter().all(|container| !container.has_memory) {
            return Line::fail(
                "memory",
                "the controller is there, but containers have no numbers",
                "let the container runtime manage its containers' cgroups (systemd: Delegate=yes in its unit), and restart it",
            );
        }
        return Line::ok("memory", "memory is accounted");
    }
    let is_off = facts.known_controllers.iter().any(|(name, enabled)| name == "memory" && !enabled);
    let is_pi = facts.board.as_deref().is_some_and(|board| board.contains("Raspberry Pi"));
    let cmdline = facts.cmdline.as_deref().unwrap_or_default();
    let says = |word: &str| cmdline.split_ascii_whitespace().any(|w| w == word);
    let what = "the controller memory is missing: container_memory_* has no numbers";
    let parameter = "cgroup_enable=memory cgroup_memory=1";
    if says("cgroup_enable=memory") && !is_off {
        return Line::fail(
            "memory",
            format!("{what}, although the kernel was started with cgroup_enable=memory"),
            "use a kernel with CONFIG_MEMCG; with cgroup v2, see whether memory stands in cgroup.subtree_control of the parents",
        );
    }
    if is_pi || says("cgroup_disable=memory") {
        return Line::fail(
            "memory",
            format!("{what}; the kernel has it switched off"),
            format!(
                "add {parameter} to the one line of /boot/firmware/cmdline.txt (older images: /boot/cmdline.txt) and reboot"
            ),
        );
    }
    let mend = if is_off {
        format!(
            "add {parameter} to the kernel's command line (Raspberry Pi: /boot/firmware/cmdline.txt) and reboot"
        )
    } else {
        "use a kernel with CONFIG_MEMCG; on v1, mount the host's /sys/fs/cgroup with all that is below it"
            .to_owned()
    };
    Line::fail("memory", what, mend)
}

fn io(facts: &Facts) -> Line {
    const TOPIC: &str = "disk I/O";
    if !facts.wants_io {
        return Line::ok(TOPIC, "left out by -disable_metrics or -enable_metrics");
    }
    if !has(facts, &["io", "blkio"]) {
        return Line::warn(
            TOPIC,
            "the controller io (v1: blkio) is missing: container_fs_reads_* and container_fs_writes_* have no numbers",
            "use a kernel with CONFIG_BLK_CGROUP, and mount all of the host's /sys/fs/cgroup",
        );
    }
    let is_silent = !facts.seen.is_empty() && facts.seen.iter().all(|container| !container.has_io);
    if is_silent && facts.cgroup != Some(Version::V2) {
        return Line::warn(
            TOPIC,
            "no container has numbers: with cgroup v1 a newer kernel counts only once a limit was set on a disk",
            "best go to cgroup v2; or set a limit once, for one container: docker run --rm --device-write-bps /dev/sda:1gb IMAGE true",
        );
    }
    Line::ok(TOPIC, "reads and writes are accounted")
}

fn tasks(facts: &Facts) -> Line {
    const TOPIC: &str = "tasks";
    if has(facts, &["pids"]) {
        return Line::ok(TOPIC, "tasks and their limits are accounted");
    }
    Line::warn(
        TOPIC,
        "the controller pids is missing: container_threads and container_threads_max have no numbers",
        "use a kernel with CONFIG_CGROUP_PIDS, and mount all of the host's /sys/fs/cgroup",
    )
}

fn pressure(facts: &Facts) -> Line {
    const TOPIC: &str = "pressure";
    if !facts.has_pressure {
        return Line::warn(
            TOPIC,
            "the kernel does not account it: container_pressure_* has no numbers",
            "add psi=1 to the kernel's command line and reboot (it takes Linux 4.20 with CONFIG_PSI)",
        );
    }
    if facts.cgroup == Some(Version::V1) {
        return Line::ok(TOPIC, "of the machine alone: cgroup v1 has none by container");
    }
    if !facts.seen.is_empty() && facts.seen.iter().all(|container| !container.has_pressure) {
        return Line::warn(
            TOPIC,
            "containers have none: it is not accounted by cgroup here",
            "take psi=0 and cgroup_disable=pressure off the kernel's command line; with v1 beside v2 the runtime may not put containers in both",
        );
    }
    Line::ok(TOPIC, "waiting for CPU, memory and disks is accounted")
}

fn processes(facts: &Facts) -> Line {
    const TOPIC: &str = "processes";
    const MEND: &str = "start this container with --pid=host (compose: pid: host), or mount /proc:/host/proc:ro and give -path.procfs=/host/proc";
    if facts.hides_processes && facts.is_outer_proc {
        return Line::warn(
            TOPIC,
            "this program has a namespace of processes of its own, so cgroups list processes without numbers: there is no process table, and network traffic only where Docker or Podman tells a container's first process",
            "start this container with --pid=host (compose: pid: host)",
        );
    }
    if facts.hides_processes {
        return Line::fail(
            TOPIC,
            format!(
                "{} is not the host's: containers' processes have no numbers there, so there is no network traffic and no process table",
                facts.proc_root
            ),
            MEND,
        );
    }
    if facts.is_first_process && facts.is_container {
        return Line::fail(
            TOPIC,
            format!(
                "{} is this container's own: process 1 is this program, so there is no network traffic of others",
                facts.proc_root
            ),
            MEND,
        );
    }
    Line::ok(TOPIC, format!("{} shows the processes of containers", facts.proc_root))
}

fn docker(facts: &Facts) -> Line {
    runtime(facts, Runtime::Docker, "Docker", "docker")
}

fn podman(facts: &Facts) -> Line {
    runtime(facts, Runtime::Podman, "Podman", "podman")
}

fn runtime(facts: &Facts, of: Runtime, topic: &'static str, flag: &str) -> Line {
    let Some(Daemon { connection, socket, .. }) = facts.runtimes.iter().find(|daemon| daemon.runtime == of)
    else {
        return Line::ok(topic, format!("not asked, as -{flag} is empty"));
    };
    let address = &connection.address;
    if connection.is_up {
        let version = connection.version.as_deref().unwrap_or("of unknown version");
        let api = connection.api_version.as_deref().unwrap_or("unknown");
        return Line::ok(topic, format!("{topic} {version} at {address}, API {api}"));
    }
    let nameless = facts.seen.iter().filter(|c| c.runtime == Some(of) && !c.has_name).count();
    let path = address.strip_prefix("unix://").unwrap_or(address);
    match socket {
        Socket::Missing if nameless == 0 => {
            Line::ok(topic, format!("there is no socket at {path} and no container of it: not in use"))
        }
        Socket::Missing => Line::warn(
            topic,
            format!(
                "there is no socket at {path}: {nameless} containers have no name, image, labels and state"
            ),
            format!("mount it: -v {path}:{path}:ro; or say with -{flag} where it is"),
        ),
        Socket::Other => Line::warn(
            topic,
            format!("{path} is no socket: a mount whose source was missing leaves a directory"),
            format!("remove this container, start {topic} on the host, and mount {path} again"),
        ),
        Socket::Here { gid, mode } if connection.is_denied => {
            let mend = if mode & 0o060 == 0o060 {
                format!(
                    "it belongs to group {gid}: start this container with --group-add {gid} (compose: group_add: [\"{gid}\"]; systemd: SupplementaryGroups={gid})"
                )
            } else {
                "its group may not use it: put a read-only socket proxy in front, or run as its owner"
                    .to_owned()
            };
            Line::warn(
                topic,
                format!("no permission for {path}: containers have no name, image, labels and state"),
                mend,
            )
        }
        Socket::Here { .. } | Socket::Remote => {
            let why = connection.error.as_deref().unwrap_or("it has not answered yet");
            Line::warn(
                topic,
                format!("no answer at {address}: {why}"),
                format!(
                    "see whether {topic} runs: curl --unix-socket {path} http://localhost/version; it is tried again all the time"
                ),
            )
        }
    }
}

fn names(facts: &Facts) -> Line {
    const TOPIC: &str = "names";
    let nameless = facts.seen.iter().filter(|container| !container.has_name).count();
    let all = facts.seen.len();
    if nameless == 0 {
        return Line::ok(TOPIC, format!("each of {all} containers has its name, image and labels"));
    }
    let is_api_less = |container: &&Seen| {
        matches!(container.runtime, Some(Runtime::Containerd | Runtime::Crio)) && !container.has_name
    };
    if facts.seen.iter().filter(is_api_less).count() == nameless {
        return Line::ok(
            TOPIC,
            format!(
                "{nameless} of {all} containers are containerd's or CRI-O's, which are not asked: they go by their ids"
            ),
        );
    }
    Line::warn(
        TOPIC,
        format!("{nameless} of {all} containers have no name, image and labels"),
        "see Docker and Podman above; containers of another user's Podman need that user's socket: -podman=unix:///run/user/UID/podman/podman.sock",
    )
}

fn containers(facts: &Facts) -> Line {
    const TOPIC: &str = "containers";
    if facts.seen.is_empty() && facts.running == 0 {
        return Line::ok(TOPIC, "none run");
    }
    if facts.seen.len() < facts.running {
        let (seen, running) = (facts.seen.len(), facts.running);
        return Line::warn(
            TOPIC,
            format!("the runtimes tell of {running} running containers, and {seen} are in the cgroup tree"),
            "look again in a moment; if it stays so, the runtime is on another machine, or its cgroups are mounted elsewhere",
        );
    }
    Line::ok(TOPIC, format!("{} run", facts.seen.len()))
}

fn rootfs(facts: &Facts) -> Line {
    const TOPIC: &str = "filesystems";
    if facts.is_container && facts.rootfs == "/" {
        return Line::warn(
            TOPIC,
            "the host's / is not mounted: its filesystems and users, and the size of containers' layers, are not known",
            "if they are wanted: -v /:/rootfs:ro,rslave; everything else does without it",
        );
    }
    Line::ok(TOPIC, format!("the host's / is at {}", facts.rootfs))
}

fn layers(facts: &Facts) -> Line {
    const TOPIC: &str = "layers";
    if !facts.measures {
        return Line::ok(
            TOPIC,
            "the size of writable layers is not measured: -disk_usage=false, or the kind disk is off",
        );
    }
    let failures: Vec<&String> = facts.layers.iter().filter_map(|layer| layer.as_ref().err()).collect();
    let Some(first) = failures.first() else {
        return Line::ok(TOPIC, format!("{} writable layers are measured", facts.layers.len()));
    };
    // CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH.
    let may_read = facts.uid == 0 || facts.capabilities.is_some_and(|set| set & 0b110 != 0);
    let mend = if facts.is_container && facts.rootfs == "/" {
        "mount the host's /, see filesystems above; or switch it off: -disk_usage=false"
    } else if !may_read {
        "if it is wanted: run as root or with CAP_DAC_READ_SEARCH (--user 0 --cap-drop ALL --cap-add DAC_READ_SEARCH); or switch it off: -disk_usage=false"
    } else {
        "the storage driver may keep it elsewhere; or switch it off: -disk_usage=false"
    };
    let what =
        format!("{} of {} writable layers are not measured: {first}", failures.len(), facts.layers.len());
    Line::warn(TOPIC, what, mend)
}

impl Facts {
    fn gather(settings: &Settings, directory: &Directory, containers: &Shared, usage: &Usage) -> Self {
        let mut buf = Buf::new();
        let mut read = |path: &Path| {
            let bytes = hostfs::read(path, &mut buf).ok()?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let status = read(Path::new("/proc/self/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let os_release = read(&settings.rootfs.join("etc/os-release"))
            .or_else(|| read(&settings.rootfs.join("usr/lib/os-release")));
        let View { is_container, is_outer_proc, is_first_process, .. } = settings.view;
        let board = read(&settings.proc.join("device-tree/model"));
        let mut facts = Facts {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            system: os_release.as_deref().and_then(pretty_name),
            uid: rustix::process::geteuid().as_raw(),
            gids: field("Groups")
                .into_iter()
                .flat_map(str::split_ascii_whitespace)
                .filter_map(|g| g.parse().ok())
                .collect(),
            capabilities: field("CapEff").and_then(|set| u64::from_str_radix(set.trim(), 16).ok()),
            is_container,
            cgroup_root: settings.cgroup.path().display().to_string(),
            cmdline: read(&settings.proc.join("cmdline")),
            known_controllers: read(&settings.proc.join("cgroups"))
                .map(|text| controllers(&text))
                .unwrap_or_default(),
            board: board.map(|board| board.trim_end_matches('\0').to_owned()),
            has_pressure: settings.proc.join("pressure/cpu").exists(),
            proc_root: settings.proc.path().display().to_string(),
            is_outer_proc,
            is_first_process,
            rootfs: settings.rootfs.path().display().to_string(),
            running: directory
                .all()
                .iter()
                .filter(|m| matches!(m.state, State::Running | State::Paused))
                .count(),
            runtimes: daemons(settings, directory),
            measures: settings.usage.enabled,
            layers: usage.report().into_iter().map(|(_, layer)| layer.map(drop)).collect(),
            wants_io: settings.choice.kinds.has(Kind::DiskIo),
            ..Facts::default()
        };
        facts.look_at(settings, containers);
        facts
    }

    /// What the cgroup tree shows.
    fn look_at(&mut self, settings: &Settings, containers: &Shared) {
        let mut containers = containers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = containers.refresh(Instant::now() + PATIENCE) {
            self.cgroup_error = Some(error.to_string());
            return;
        }
        self.cgroup = containers.version();
        self.controllers = containers.controllers().to_vec();
        let mut buf = Buf::new();
        for container in containers.iter() {
            let Some(_) = container.id() else {
                self.others += 1;
                continue;
            };
            self.seen.push(Seen {
                runtime: container.runtime(),
                has_name: container.metadata.is_some(),
                has_memory: container.stats.memory.usage.is_some(),
                has_io: !container.stats.io.is_empty(),
                has_pressure: container.stats.cpu_pressure.is_some(),
            });
            let path = String::from_utf8_lossy(container.path()).into_owned();
            let below = path.trim_start_matches('/');
            // v2 has one tree, and v1 one for each controller.
            for top in ["", "unified", "memory", "cpu"] {
                let list = settings.cgroup.join(top).join(below).join("cgroup.procs");
                if let Ok(pids) = hostfs::read(list, &mut buf) {
                    self.hides_processes |= scan::lines(pids).any(|pid| pid == b"0");
                    break;
                }
            }
        }
    }
}

fn daemons(settings: &Settings, directory: &Directory) -> Vec<Daemon> {
    let connections = directory.connections();
    let asked = [(Runtime::Docker, &settings.docker), (Runtime::Podman, &settings.podman)];
    let daemon = |(runtime, address): (Runtime, &Option<String>)| {
        let address = address.as_ref()?;
        let found = connections.iter().find(|(of, _)| *of == runtime);
        let mut connection = found.map(|(_, connection)| connection.clone()).unwrap_or_default();
        connection.address.clone_from(address);
        Some(Daemon { runtime, connection, socket: socket(address) })
    };
    asked.into_iter().filter_map(daemon).collect()
}

fn socket(address: &str) -> Socket {
    let path = match address.strip_prefix("unix://") {
        Some(path) => path,
        None if address.starts_with('/') => address,
        None => return Socket::Remote,
    };
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => Socket::Here { gid: found.gid(), mode: found.mode() },
        Ok(_) => Socket::Other,
        Err(_) => Socket::Missing,
    }
}

/// PRETTY_NAME of os-release(5).
fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// Names of `/proc/cgroups`, and whether they are enabled.
fn controllers(text: &str) -> Vec<(String, bool)> {
    let known = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        Some((fields.next()?.to_owned(), fields.nth(2)? == "1"))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: Seen = Seen {
        runtime: Some(Runtime::Docker),
        has_name: true,
        has_memory: true,
        has_io: true,
        has_pressure: true,
    };

    /// A container of ours with all that it may have.
    fn good() -> Facts {
        Facts {
            kernel: "6.12.1".into(),
            system: Some("Debian GNU/Linux 13".into()),
            uid: 65534,
            gids: vec![999],
            capabilities: Some(0),
            is_container: true,
            cgroup: Some(Version::V2),
            cgroup_root: "/sys/fs/cgroup".into(),
            controllers: ["cpu", "cpuset", "io", "memory", "pids"].map(str::to_owned).to_vec(),
            cmdline: Some("root=/dev/sda1\n".into()),
            has_pressure: true,
            proc_root: "/rootfs/proc".into(),
            rootfs: "/rootfs".into(),
            running: 1,
            seen: vec![NAMED],
            others: 40,
            runtimes: vec![daemon(Runtime::Docker, true), daemon(Runtime::Podman, false)],
            measures: true,
            layers: vec![Ok(())],
            wants_io: true,
            ..Facts::default()
        }
    }

    fn daemon(runtime: Runtime, is_up: bool) -> Daemon {
        let connection = Connection {
            address: "unix:///run/x.sock".into(),
            is_up,
            version: is_up.then(|| "29.0.1".into()),
            api_version: is_up.then(|| "1.52".into()),
            ..Connection::default()
        };
        let socket = if is_up { Socket::Here { gid: 999, mode: 0o140_660 } } else { Socket::Missing };
        Daemon { runtime, connection, socket }
    }

    fn changed(change: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = good();
        change(&mut facts);
        facts
    }

    /// Asserts the level of a check, and a part of what it says or advises.
    #[track_caller]
    fn says(check: fn(&Facts) -> Line, change: impl FnOnce(&mut Facts), level: Level, part: &str) {
        let line = check(&changed(change));
        assert_eq!(line.level, level, "{line:?}");
        let text = format!("{} {}", line.what, line.mend.clone().unwrap_or_default());
        assert!(text.contains(part), "{text:?} lacks {part:?}");
        assert_eq!(line.mend.is_some(), level != Level::Ok, "advice goes with a fault: {line:?}");
    }

    #[test]
    fn all_is_well() {
        let text = report(&good());
        assert!(text.starts_with("OK: everything is as it should be\n\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("OK    ")).count(), CHECKS.len(), "{text}");
        assert!(text.contains("OK    Docker: Docker 29.0.1 at unix:///run/x.sock, API 1.52\n"), "{text}");
        assert!(
            text.contains("OK    cgroups: v2, with the controllers cpu cpuset io memory pids\n"),
            "{text}"
        );
        assert!(text.contains("user 65534, groups 999, no capabilities, in a container\n"), "{text}");
    }

    #[test]
    fn the_verdict_counts() {
        let text = report(&changed(|f| f.has_pressure = false));
        assert!(text.starts_with("WARN: it works; 1 warning below\n"), "{text}");
        let text = report(&changed(|f| (f.hides_processes, f.has_pressure) = (true, false)));
        assert!(text.starts_with("FAIL: 1 failure and 1 warning below\n"), "{text}");
        assert!(
            text.contains("\nFAIL  processes: ")
                && text.contains("\n      -> start this container with --pid=host")
        );
    }

    #[test]
    fn no_word_of_others_begins_a_line() {
        let text = report(&changed(|f| {
            f.system = Some("x\nOK    memory: all is well".into());
            f.runtimes[0].connection.is_up = false;
            f.runtimes[0].connection.error = Some("\r\nOK    Docker: fine".into());
        }));
        assert_eq!(text.lines().filter(|line| line.starts_with("OK    memory")).count(), 1, "{text}");
        assert!(!text.contains("\nOK    Docker") && !text.contains('\r'), "{text}");
    }

    #[test]
    fn rights_are_told() {
        says(
            rights,
            |f| f.capabilities = Some(1 << 2 | 1 << 7),
            Level::Ok,
            "capabilities DAC_READ_SEARCH and 1 more",
        );
        says(rights, |f| f.capabilities = Some(1 << 7), Level::Ok, "capabilities 1 more");
        says(rights, |f| (f.uid, f.capabilities) = (0, None), Level::Ok, "user 0 (root is not needed)");
        says(rights, |f| f.is_container = false, Level::Ok, "outside of containers");
    }

    #[test]
    fn cgroups_have_to_be_there() {
        says(cgroups, |f| f.cgroup = Some(Version::V1), Level::Ok, "v1, with");
        says(cgroups, |f| f.cgroup = Some(Version::Hybrid), Level::Ok, "v2 tree beside it");
        let gone = |f: &mut Facts| (f.cgroup, f.cgroup_error) = (None, Some("no such directory".into()));
        says(cgroups, gone, Level::Fail, "no such directory");
        let text = report(&changed(|f| (gone(f), f.seen.clear()).0));
        assert!(
            text.starts_with("FAIL: 1 failure and 0 warnings below\n"),
            "what follows from one fault is none of its own: {text}"
        );
    }

    #[test]
    fn the_tree_has_to_be_the_host_s() {
        says(namespace, |_| {}, Level::Ok, "1 containers and 40 other");
        says(namespace, |f| f.seen.clear(), Level::Fail, "--cgroupns=host");
        says(
            namespace,
            |f| (f.running, f.seen) = (0, vec![]),
            Level::Fail,
            "/sys/fs/cgroup:/sys/fs/cgroup:ro",
        );
        let on_host = |f: &mut Facts| (f.running, f.seen, f.is_container) = (0, vec![], false);
        says(namespace, on_host, Level::Ok, "0 containers");
    }

    #[test]
    fn controllers_that_are_missing() {
        let without = |name: &'static str| move |f: &mut Facts| f.controllers.retain(|c| c != name);
        says(cpu, |_| {}, Level::Ok, "accounted");
        says(cpu, without("cpu"), Level::Warn, "CONFIG_CGROUP_SCHED");
        says(cpu, |f| f.cgroup = Some(Version::V1), Level::Warn, "cpu");
        says(tasks, |_| {}, Level::Ok, "accounted");
        says(tasks, without("pids"), Level::Warn, "CONFIG_CGROUP_PIDS");
        says(io, |_| {}, Level::Ok, "accounted");
        says(io, without("io"), Level::Warn, "CONFIG_BLK_CGROUP");
        says(io, |f| f.wants_io = false, Level::Ok, "left out");
    }

    #[test]
    fn io_waits_for_a_limit_on_v1() {
        let silent = |f: &mut Facts| f.seen[0].has_io = false;
        says(io, silent, Level::Ok, "accounted");
        let v1 = |f: &mut Facts| {
            f.cgroup = Some(Version::Hybrid);
            f.controllers.push("blkio".into());
        };
        says(io, v1, Level::Ok, "accounted");
        says(io, |f| (v1(f), silent(f)).0, Level::Warn, "--device-write-bps");
    }

    #[test]
    fn memory_on_a_raspberry_pi() {
        says(memory, |_| {}, Level::Ok, "accounted");
        let without = |f: &mut Facts| f.controllers.retain(|c| c != "memory");
        says(memory, without, Level::Fail, "CONFIG_MEMCG");
        let pi = |f: &mut Facts| {
            without(f);
            f.board = Some("Raspberry Pi 4 Model B Rev 1.4".into());
            f.known_controllers = vec![("memory".into(), false)];
        };
        says(
            memory,
            pi,
            Level::Fail,
            "add cgroup_enable=memory cgroup_memory=1 to the one line of /boot/firmware/cmdline.txt",
        );
        says(memory, pi, Level::Fail, "/boot/cmdline.txt");
        let disabled =
            |f: &mut Facts| (without(f), f.cmdline = Some("quiet cgroup_disable=memory\n".into())).0;
        says(memory, disabled, Level::Fail, "switched off");
        let off = |f: &mut Facts| (without(f), f.known_controllers = vec![("memory".into(), false)]).0;
        says(memory, off, Level::Fail, "cgroup_enable=memory cgroup_memory=1");
        let asked = |f: &mut Facts| (without(f), f.cmdline = Some("cgroup_enable=memory".into())).0;
        says(memory, asked, Level::Fail, "subtree_control");
        says(memory, |f| f.seen[0].has_memory = false, Level::Fail, "Delegate=yes");
    }

    #[test]
    fn pressure_needs_the_kernel_and_v2() {
        says(pressure, |_| {}, Level::Ok, "accounted");
        says(pressure, |f| f.has_pressure = false, Level::Warn, "psi=1");
        says(pressure, |f| f.cgroup = Some(Version::V1), Level::Ok, "machine alone");
        says(pressure, |f| f.seen[0].has_pressure = false, Level::Warn, "psi=0");
    }

    #[test]
    fn proc_has_to_be_the_host_s() {
        says(processes, |_| {}, Level::Ok, "/rootfs/proc shows");
        says(processes, |f| f.hides_processes = true, Level::Fail, "-path.procfs=/host/proc");
        says(
            processes,
            |f| (f.hides_processes, f.is_outer_proc) = (true, true),
            Level::Warn,
            "without numbers",
        );
        says(processes, |f| f.is_first_process = true, Level::Fail, "process 1 is this program");
        says(processes, |f| (f.is_first_process, f.is_container) = (true, false), Level::Ok, "shows");
    }

    #[test]
    fn sockets() {
        let down = |f: &mut Facts| f.runtimes[0].connection.is_up = false;
        says(docker, |_| {}, Level::Ok, "29.0.1");
        says(docker, |f| f.runtimes.clear(), Level::Ok, "-docker is empty");
        says(podman, |_| {}, Level::Ok, "not in use");
        says(docker, |f| (down(f), f.runtimes[0].socket = Socket::Other).0, Level::Warn, "is no socket");
        let missing = |f: &mut Facts| {
            down(f);
            f.runtimes[0].socket = Socket::Missing;
            f.seen[0].has_name = false;
        };
        says(docker, missing, Level::Warn, "mount it: -v /run/x.sock:/run/x.sock:ro");
        let denied = |f: &mut Facts| (down(f), f.runtimes[0].connection.is_denied = true).0;
        says(docker, denied, Level::Warn, "--group-add 999 (compose: group_add: [\"999\"]");
        let closed =
            |f: &mut Facts| (denied(f), f.runtimes[0].socket = Socket::Here { gid: 0, mode: 0o140_600 }).0;
        says(docker, closed, Level::Warn, "socket proxy");
        let silent =
            |f: &mut Facts| (down(f), f.runtimes[0].connection.error = Some("no answer in 2 s".into())).0;
        says(docker, silent, Level::Warn, "no answer in 2 s");
        let remote = |f: &mut Facts| (down(f), f.runtimes[0].socket = Socket::Remote).0;
        says(docker, remote, Level::Warn, "has not answered yet");
    }

    #[test]
    fn what_is_at_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("unix://{}", dir.path().join(name).display());
        let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        assert!(matches!(socket(&at("s")), Socket::Here { .. }));
        assert_eq!(socket(&at("none")), Socket::Missing);
        assert_eq!(socket(&at("")), Socket::Other);
        assert_eq!(socket("tcp://proxy:2375"), Socket::Remote);
    }

    #[test]
    fn names_and_numbers() {
        says(names, |_| {}, Level::Ok, "each of 1 containers");
        says(names, |f| f.seen[0].has_name = false, Level::Warn, "1 of 1 containers");
        let crio = |f: &mut Facts| (f.seen[0].has_name, f.seen[0].runtime) = (false, Some(Runtime::Crio));
        says(names, crio, Level::Ok, "by their ids");
        says(containers, |_| {}, Level::Ok, "1 run");
        says(containers, |f| f.running = 3, Level::Warn, "3 running containers, and 1 are");
        says(containers, |f| (f.running, f.seen) = (0, vec![]), Level::Ok, "none run");
    }

    #[test]
    fn disks_need_the_host_s_root_and_a_capability() {
        says(rootfs, |_| {}, Level::Ok, "/rootfs");
        says(rootfs, |f| f.rootfs = "/".into(), Level::Warn, "-v /:/rootfs:ro,rslave");
        says(rootfs, |f| (f.rootfs, f.is_container) = ("/".into(), false), Level::Ok, "at /");
        says(layers, |_| {}, Level::Ok, "1 writable layers are measured");
        says(layers, |f| f.measures = false, Level::Ok, "not measured");
        let denied = |f: &mut Facts| f.layers.push(Err("permission denied".into()));
        says(layers, denied, Level::Warn, "1 of 2 writable layers are not measured: permission denied");
        says(layers, denied, Level::Warn, "--cap-add DAC_READ_SEARCH");
        says(layers, |f| (denied(f), f.uid = 0).0, Level::Warn, "storage driver");
        says(layers, |f| (denied(f), f.rootfs = "/".into()).0, Level::Warn, "filesystems above");
    }

    #[test]
    fn files_are_read_loosely() {
        let known = controllers(
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t9\t1\nmemory\t0\t9\t0\nshort\n",
        );
        assert_eq!(known, [("cpu".to_owned(), true), ("memory".to_owned(), false)]);
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"A B\"\n").as_deref(), Some("A B"));
        assert_eq!(pretty_name("ID=x\n"), None);
    }
}
