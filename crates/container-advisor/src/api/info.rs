//! Containers as the original's JSON has them. Every type here borrows from the readings, and is written straight into the answer.
//!
//! The names of keys, their nesting and their units are the original's, as its clients read them. Go writes a number that is not
//! there as 0, so a key that its clients expect is 0 here too; a key that Go leaves out if it is empty is left out.

use std::borrow::Cow;

use hostfs::cgroup::{Device, Operations, Pressure, Stats, Version};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::time::Time;
use crate::containers::{BlockDevice, Space};
use crate::disks::Counters;
use crate::history::{Reading, Sample};
use crate::kinds::{Kind, Kinds};
use crate::metadata::{Health, Metadata, Network as Mode, Runtime};
use crate::network::{Interface, Tcp, Traffic, Udp};
use crate::processes::Limit;

/// The sample of a container in one reading.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// The reading.
    pub reading: &'a Reading,
    /// In it.
    pub sample: &'a Sample,
}

/// What the command line says of what there is.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Which kinds of metrics.
    pub kinds: Kinds,
    /// Whether containers on the machine's network repeat its traffic.
    pub host_network: bool,
}

/// Writes what an iterator gives, as a list.
pub struct List<F>(pub F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Writes the pairs that an iterator gives, as an object.
pub struct Map<F>(pub F);

impl<F: Fn() -> I, I: Iterator<Item = (K, V)>, K: Serialize, V: Serialize> Serialize for Map<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}

/// A cgroup's path, which is a container's name in the original's words.
pub fn path(sample: &Sample) -> Cow<'_, str> {
    String::from_utf8_lossy(&sample.path)
}

/// What the original calls a reference.
#[derive(Debug, Serialize)]
pub struct Reference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'static str,
}

impl<'a> Reference<'a> {
    /// Of a container, or of another cgroup.
    pub fn of(sample: &'a Sample) -> Self {
        Reference {
            id: sample.id.as_deref(),
            name: path(sample),
            aliases: aliases(sample).collect(),
            namespace: namespace(sample),
        }
    }

    /// Of a cgroup of which no more is said.
    fn bare(path: &'a [u8]) -> Self {
        Reference { id: None, name: String::from_utf8_lossy(path), aliases: Vec::new(), namespace: "" }
    }
}

/// A container's name and id.
pub fn aliases(sample: &Sample) -> impl Iterator<Item = &str> {
    let name = sample.metadata.as_ref().map(|metadata| &*metadata.name).filter(|name| !name.is_empty());
    name.into_iter().chain(sample.id.as_deref())
}

fn namespace(sample: &Sample) -> &'static str {
    match sample.runtime.filter(|_| sample.id.is_some()) {
        Some(Runtime::Docker) => "docker",
        Some(Runtime::Podman) => "podman",
        Some(Runtime::Containerd) => "containerd",
        Some(Runtime::Crio) => "crio",
        None => "",
    }
}

/// The cgroups right below one, in order of path; there may be none that is reported in between, as with `-docker_only`.
fn children<'a>(reading: &'a Reading, of: &[u8]) -> Vec<Reference<'a>> {
    let top = if of == b"/" { b"" } else { of };
    let mut children: Vec<&[u8]> = Vec::new();
    for sample in &reading.containers {
        let Some(rest) = sample.path.strip_prefix(top).and_then(|rest| rest.strip_prefix(b"/")) else {
            continue;
        };
        if rest.is_empty() {
            continue;
        }
        let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        children.push(&sample.path[..top.len() + 1 + end]);
    }
    // Bytewise, `/a-b` stands between `/a` and `/a/b`.
    children.sort_unstable();
    children.dedup();
    children.into_iter().map(Reference::bare).collect()
}

/// A container of v1.
#[derive(Serialize)]
pub struct ContainerInfo<'a> {
    #[serde(flatten)]
    reference: Reference<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subcontainers: Vec<Reference<'a>>,
    spec: Spec<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "stats_v1")]
    stats: &'a [Taken<'a>],
}

impl<'a> ContainerInfo<'a> {
    /// From the newest sample, and those that are wanted.
    pub fn new(newest: Taken<'a>, stats: &'a [Taken<'a>], view: View) -> Self {
        let Taken { reading, sample } = newest;
        let subcontainers = if sample.id.is_some() { Vec::new() } else { children(reading, &sample.path) };
        ContainerInfo {
            reference: Reference::of(sample),
            subcontainers,
            spec: Spec::new(newest, view, Generation::V1),
            stats,
        }
    }
}

fn stats_v1<S: Serializer>(stats: &&[Taken<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(stats.iter().map(|&taken| StatsV1::new(taken)))
}

/// Which of the API's two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// v1.0 to v1.3.
    V1,
    /// v2.0 and v2.1.
    V2,
}

/// What a container is and may use.
#[derive(Serialize)]
pub struct Spec<'a> {
    creation_time: Time,
    start_time: Time,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'static str,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    labels: Pairs<'a>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    envs: Pairs<'a>,
    has_cpu: bool,
    cpu: CpuSpec<'a>,
    has_memory: bool,
    memory: MemorySpec,
    has_hugetlb: bool,
    has_network: bool,
    has_processes: bool,
    processes: ProcessSpec,
    has_filesystem: bool,
    has_diskio: bool,
    has_custom_metrics: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    image: &'a str,
}

#[derive(Serialize)]
struct CpuSpec<'a> {
    limit: u64,
    max_limit: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    mask: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    quota: u64,
    #[serde(skip_serializing_if = "is_zero")]
    period: u64,
}

#[derive(Serialize)]
struct MemorySpec {
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    reservation: u64,
    #[serde(skip_serializing_if = "is_zero")]
    swap_limit: u64,
}

#[derive(Serialize)]
struct ProcessSpec {
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> Spec<'a> {
    /// From the newest sample.
    pub fn new(newest: Taken<'a>, view: View, generation: Generation) -> Self {
        let Taken { reading, sample } = newest;
        let Stats { limits, cpu, memory, .. } = &sample.stats;
        let has = Has::of(sample, view);
        let metadata = sample.metadata.as_deref();
        let is_v2 = generation == Generation::V2;
        let bytes = |limit: Option<u64>| match limit {
            // v1's counter of pages cannot go higher.
            Some(u64::MAX) if reading.version != Some(Version::V2) => {
                let page = (rustix::param::page_size() as u64).max(1);
                i64::MAX as u64 / page * page
            }
            limit => limit.unwrap_or(0),
        };
        Spec {
            creation_time: Time::of_seconds(sample.created),
            start_time: Time::of_seconds(sample.started),
            aliases: if is_v2 { aliases(sample).collect() } else { Vec::new() },
            namespace: if is_v2 { namespace(sample) } else { "" },
            labels: Pairs {
                pairs: metadata.map_or(&[], |metadata| &metadata.labels),
                restarts: metadata.and_then(|metadata| metadata.restart_count).unwrap_or(0),
            },
            envs: Pairs { pairs: metadata.map_or(&[], |metadata| &metadata.env), restarts: 0 },
            has_cpu: limits.cpu_shares.is_some() || limits.cpu_period_us.is_some() || cpu.usage_ns.is_some(),
            cpu: CpuSpec {
                limit: limits.cpu_shares.unwrap_or(0),
                max_limit: 0,
                mask: &limits.cpus,
                quota: limits.cpu_quota_us.filter(|_| !is_v2).unwrap_or(0),
                period: limits.cpu_period_us.filter(|_| !is_v2).unwrap_or(0),
            },
            has_memory: limits.memory.is_some() || memory.usage.is_some(),
            memory: MemorySpec {
                limit: bytes(limits.memory),
                reservation: bytes(limits.reservation),
                swap_limit: bytes(limits.swap),
            },
            has_hugetlb: has.hugetlb,
            has_network: has.network,
            has_processes: has.processes,
            processes: ProcessSpec { limit: sample.stats.pids_max.filter(|_| !is_v2).unwrap_or(0) },
            has_filesystem: has.filesystem,
            has_diskio: has.diskio,
            has_custom_metrics: false,
            image: metadata.map_or("", |metadata| &metadata.image),
        }
    }
}

/// What is said of a container at all.
#[derive(Debug, Clone, Copy)]
struct Has {
    hugetlb: bool,
    network: bool,
    processes: bool,
    filesystem: bool,
    diskio: bool,
}

impl Has {
    fn of(sample: &Sample, view: View) -> Self {
        let is_root = *sample.path == *b"/";
        let is_whole = is_root || sample.id.is_some();
        let has_own_network = match sample.metadata.as_ref().map(|metadata| &metadata.network) {
            Some(Mode::Host) => view.host_network,
            Some(Mode::Container) => false,
            _ => true,
        };
        Has {
            hugetlb: !sample.stats.hugetlb.is_empty(),
            network: view.kinds.has(Kind::Network) && is_whole && has_own_network,
            processes: sample.stats.pids.is_some(),
            filesystem: view.kinds.has(Kind::Disk) && is_whole,
            diskio: view.kinds.has(Kind::DiskIo),
        }
    }
}

/// Labels or variables; restarts are a label too, as the original has it.
struct Pairs<'a> {
    pairs: &'a [(String, String)],
    restarts: u64,
}

impl Pairs<'_> {
    fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.restarts == 0
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const RESTARTS: &str = "restartcount";
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.pairs.iter().filter(|(key, _)| self.restarts == 0 || key != RESTARTS) {
            map.serialize_entry(key, value)?;
        }
        if self.restarts != 0 {
            map.serialize_entry(RESTARTS, &self.restarts.to_string())?;
        }
        map.end()
    }
}

/// A sample of v1.
#[derive(Serialize)]
struct StatsV1<'a> {
    timestamp: Time,
    cpu: Cpu<'a>,
    diskio: DiskIo<'a>,
    memory: Memory<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hugetlb: Option<Hugetlb<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<NamedNetwork<'a>>,
    #[serde(skip_serializing_if = "Filesystems::is_empty")]
    filesystem: Filesystems<'a>,
    task_stats: Tasks,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Processes>,
    #[serde(skip_serializing_if = "is_zero")]
    referenced_memory: u64,
    resctrl: Empty,
    cpuset: CpuSet,
    #[serde(skip_serializing_if = "is_zero")]
    oom_events: u64,
    health: HealthStatus,
}

impl<'a> StatsV1<'a> {
    fn new(Taken { reading, sample }: Taken<'a>) -> Self {
        StatsV1 {
            timestamp: Time::at(reading.at),
            cpu: Cpu::new(sample),
            diskio: DiskIo::new(sample),
            memory: Memory::new(&sample.stats),
            hugetlb: Hugetlb::new(sample),
            network: Network::new(sample).map(NamedNetwork::new),
            filesystem: Filesystems(sample),
            task_stats: Tasks::new(sample),
            processes: Processes::new(sample),
            referenced_memory: sample.referenced.unwrap_or(0),
            resctrl: Empty {},
            cpuset: CpuSet { memory_migrate: sample.stats.memory_migrate.unwrap_or(0) },
            oom_events: sample.stats.memory.events.oom_kill.unwrap_or(0),
            health: HealthStatus {
                status: match sample
                    .metadata
                    .as_ref()
                    .and_then(|metadata: &std::sync::Arc<Metadata>| metadata.health)
                {
                    Some(Health::Starting) => "starting",
                    Some(Health::Healthy) => "healthy",
                    Some(Health::Unhealthy) => "unhealthy",
                    None => "",
                },
            },
        }
    }
}

/// Samples as v2.1 has them, each with the rate of CPU time since the one before.
pub struct StatsV2<'a> {
    /// Oldest first.
    pub stats: &'a [Taken<'a>],
    /// What there is.
    pub view: View,
}

impl Serialize for StatsV2<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        collect_with_last(serializer, self.stats, |last, taken| StatV2::new(last, taken, self.view))
    }
}

/// A list made from samples, each with the one before.
fn collect_with_last<'a, S: Serializer, V: Serialize>(
    serializer: S,
    stats: &'a [Taken<'a>],
    view: impl Fn(Option<Taken<'a>>, Taken<'a>) -> V,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(stats.len()))?;
    let mut last = None;
    for &taken in stats {
        list.serialize_element(&view(last, taken))?;
        last = Some(taken);
    }
    list.end()
}

#[derive(Serialize)]
struct StatV2<'a> {
    timestamp: Time,
    cpu: Cpu<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_inst: Option<CpuInst>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diskio: Option<DiskIo<'a>>,
    memory: Memory<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hugetlb: Option<Hugetlb<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Processes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem: Option<LayerStats>,
    #[serde(skip_serializing_if = "is_zero")]
    referenced_memory: u64,
    resctrl: Empty,
}

/// The space that a container takes.
#[derive(Serialize)]
struct LayerStats {
    #[serde(rename = "totalUsageBytes", skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(rename = "baseUsageBytes", skip_serializing_if = "Option::is_none")]
    base: Option<u64>,
    // The original's spelling.
    #[serde(rename = "containter_inode_usage", skip_serializing_if = "Option::is_none")]
    inodes: Option<u64>,
}

impl<'a> StatV2<'a> {
    fn new(last: Option<Taken<'a>>, taken: Taken<'a>, view: View) -> Self {
        let sample = taken.sample;
        let layer = |space: &Space| LayerStats {
            total: space.usage,
            base: space.layer.map(|(bytes, _)| bytes),
            inodes: space.layer.map(|(_, inodes)| inodes),
        };
        let spaces = &sample.filesystems;
        StatV2 {
            timestamp: Time::at(taken.reading.at),
            cpu: Cpu::new(sample),
            cpu_inst: CpuInst::new(last, taken),
            diskio: Has::of(sample, view).diskio.then(|| DiskIo::new(sample)),
            memory: Memory::new(&sample.stats),
            hugetlb: Hugetlb::new(sample),
            network: Network::new(sample),
            processes: Processes::new(sample),
            filesystem: if spaces.len() == 1 { spaces.first().map(layer) } else { None },
            referenced_memory: sample.referenced.unwrap_or(0),
            resctrl: Empty {},
        }
    }
}

/// Samples as v2.0 has them.
pub struct StatsV20<'a> {
    /// Oldest first.
    pub stats: &'a [Taken<'a>],
    /// What there is.
    pub view: View,
}

impl Serialize for StatsV20<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        collect_with_last(serializer, self.stats, |last, taken| StatV20::new(last, taken, self.view))
    }
}

#[derive(Serialize)]
struct StatV20<'a> {
    timestamp: Time,
    has_cpu: bool,
    cpu: Cpu<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_inst: Option<CpuInst>,
    has_diskio: bool,
    diskio: DiskIo<'a>,
    has_memory: bool,
    memory: Memory<'a>,
    has_hugetlb: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hugetlb: Option<Hugetlb<'a>>,
    has_network: bool,
    network: Network<'a>,
    has_processes: bool,
    processes: Processes,
    has_filesystem: bool,
    #[serde(skip_serializing_if = "Filesystems::is_empty")]
    filesystem: Filesystems<'a>,
    has_load: bool,
    load_stats: Tasks,
    has_custom_metrics: bool,
    #[serde(skip_serializing_if = "is_zero")]
    referenced_memory: u64,
    resctrl: Empty,
}

impl<'a> StatV20<'a> {
    fn new(last: Option<Taken<'a>>, taken: Taken<'a>, view: View) -> Self {
        let sample = taken.sample;
        let has = Has::of(sample, view);
        StatV20 {
            timestamp: Time::at(taken.reading.at),
            has_cpu: sample.stats.cpu.usage_ns.is_some(),
            cpu: Cpu::new(sample),
            cpu_inst: CpuInst::new(last, taken),
            has_diskio: has.diskio,
            diskio: DiskIo::new(sample),
            has_memory: sample.stats.memory.usage.is_some(),
            memory: Memory::new(&sample.stats),
            has_hugetlb: has.hugetlb,
            hugetlb: Hugetlb::new(sample),
            has_network: has.network,
            network: Network::new(sample).unwrap_or_else(|| Network::bare(sample)),
            has_processes: has.processes,
            processes: Processes::new(sample).unwrap_or_default(),
            has_filesystem: has.filesystem,
            filesystem: Filesystems(sample),
            has_load: sample.states.is_some(),
            load_stats: Tasks::new(sample),
            has_custom_metrics: false,
            referenced_memory: sample.referenced.unwrap_or(0),
            resctrl: Empty {},
        }
    }
}

/// Samples of the machine, as v2.1's `machinestats` has them.
pub struct MachineStats<'a> {
    /// Of the root, oldest first.
    pub stats: &'a [Taken<'a>],
}

impl Serialize for MachineStats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        collect_with_last(serializer, self.stats, MachineStat::new)
    }
}

#[derive(Serialize)]
struct MachineStat<'a> {
    timestamp: Time,
    cpu: Cpu<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_inst: Option<CpuInst>,
    memory: Memory<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "MachineFilesystems::is_empty")]
    filesystem: MachineFilesystems<'a>,
}

impl<'a> MachineStat<'a> {
    fn new(last: Option<Taken<'a>>, taken: Taken<'a>) -> Self {
        let sample = taken.sample;
        MachineStat {
            timestamp: Time::at(taken.reading.at),
            cpu: Cpu::new(sample),
            cpu_inst: CpuInst::new(last, taken),
            memory: Memory::new(&sample.stats),
            network: Network::new(sample),
            filesystem: MachineFilesystems(sample),
        }
    }
}

struct MachineFilesystems<'a>(&'a Sample);

impl MachineFilesystems<'_> {
    fn is_empty(&self) -> bool {
        self.0.filesystems.is_empty()
    }
}

impl Serialize for MachineFilesystems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.filesystems.iter().map(|space| MachineFs::new(space, self.0)))
    }
}

#[derive(Serialize)]
struct MachineFs<'a> {
    device: Cow<'a, str>,
    r#type: &'static str,
    capacity: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes_free: Option<u64>,
    inline: MachineDisk,
}

/// Times are in nanoseconds here.
#[derive(Serialize)]
struct MachineDisk {
    reads_completed: u64,
    reads_merged: u64,
    sectors_read: u64,
    read_duration: u64,
    writes_completed: u64,
    writes_merged: u64,
    sectors_written: u64,
    write_duration: u64,
    io_in_progress: u64,
    io_duration: u64,
    weighted_io_duration: u64,
}

impl<'a> MachineFs<'a> {
    fn new(space: &'a Space, sample: &Sample) -> Self {
        let disk = disk(space, sample);
        let nanoseconds = |ms: u64| ms.saturating_mul(1_000_000);
        MachineFs {
            device: String::from_utf8_lossy(&space.device),
            r#type: fs_type(space),
            capacity: space.capacity,
            usage: space.usage,
            available: space.available,
            inodes_free: (space.inodes > 0).then_some(space.inodes_free),
            inline: MachineDisk {
                reads_completed: disk.reads,
                reads_merged: disk.reads_merged,
                sectors_read: disk.sectors_read,
                read_duration: nanoseconds(disk.read_ms),
                writes_completed: disk.writes,
                writes_merged: disk.writes_merged,
                sectors_written: disk.sectors_written,
                write_duration: nanoseconds(disk.write_ms),
                io_in_progress: disk.in_flight,
                io_duration: nanoseconds(disk.io_ms),
                weighted_io_duration: nanoseconds(disk.weighted_io_ms),
            },
        }
    }
}

/// The counters of the disk that holds a filesystem: the machine's own alone.
fn disk(space: &Space, sample: &Sample) -> Counters {
    let device = sample.devices.iter().find(|device| device.name == space.device);
    device.and_then(|device| device.disk).unwrap_or_default()
}

/// The original knows how it asked for the size, and says so.
fn fs_type(space: &Space) -> &'static str {
    if space.kind == b"zfs" { "zfs" } else { "vfs" }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct CpuSet {
    memory_migrate: u64,
}

#[derive(Serialize)]
struct HealthStatus {
    status: &'static str,
}

#[derive(Serialize)]
struct Psi {
    full: Stalled,
    some: Stalled,
}

#[derive(Default, Serialize)]
struct Stalled {
    total: u64,
    avg10: f64,
    avg60: f64,
    avg300: f64,
}

impl Psi {
    fn new(pressure: Option<&Pressure>) -> Self {
        let stalled = |stall: Option<&hostfs::cgroup::Stall>| {
            stall.map_or_else(Stalled::default, |stall| Stalled {
                total: stall.total_us,
                avg10: stall.average[0],
                avg60: stall.average[1],
                avg300: stall.average[2],
            })
        };
        Psi {
            full: stalled(pressure.and_then(|pressure| pressure.full.as_ref())),
            some: stalled(pressure.map(|pressure| &pressure.some)),
        }
    }
}

#[derive(Serialize)]
struct Cpu<'a> {
    usage: CpuUsage<'a>,
    cfs: Cfs,
    schedstat: Schedstat,
    load_average: i32,
    load_d_average: i32,
    psi: Psi,
}

#[derive(Serialize)]
struct CpuUsage<'a> {
    total: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    per_cpu_usage: &'a [u64],
    user: u64,
    system: u64,
}

#[derive(Serialize)]
struct Cfs {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
    bursts_periods: u64,
    burst_time: u64,
}

#[derive(Serialize)]
struct Schedstat {
    run_time: u64,
    runqueue_time: u64,
    run_periods: u64,
}

impl<'a> Cpu<'a> {
    fn new(sample: &'a Sample) -> Self {
        let cpu = &sample.stats.cpu;
        let schedule = sample.schedule.unwrap_or_default();
        Cpu {
            usage: CpuUsage {
                total: cpu.usage_ns.unwrap_or(0),
                per_cpu_usage: &cpu.per_cpu_ns,
                user: cpu.user_ns.unwrap_or(0),
                system: cpu.system_ns.unwrap_or(0),
            },
            cfs: Cfs {
                periods: cpu.periods.unwrap_or(0),
                throttled_periods: cpu.throttled_periods.unwrap_or(0),
                throttled_time: cpu.throttled_ns.unwrap_or(0),
                bursts_periods: cpu.bursts.unwrap_or(0),
                burst_time: cpu.burst_ns.unwrap_or(0),
            },
            schedstat: Schedstat {
                run_time: schedule.run_ns,
                runqueue_time: schedule.queue_ns,
                run_periods: schedule.periods,
            },
            load_average: sample.load.map_or(0, |load| load.running as i32),
            load_d_average: sample.load.map_or(0, |load| load.uninterruptible as i32),
            psi: Psi::new(sample.stats.cpu_pressure.as_ref()),
        }
    }
}

/// Nanoseconds of CPU time in a second, since the sample before.
#[derive(Serialize)]
struct CpuInst {
    usage: CpuRate,
}

#[derive(Serialize)]
struct CpuRate {
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    per_cpu_usage: Vec<u64>,
    user: u64,
    system: u64,
}

impl CpuInst {
    /// `None` for the first sample, and if the clock or a counter went back: the container was made anew.
    fn new(last: Option<Taken<'_>>, taken: Taken<'_>) -> Option<Self> {
        let last = last?;
        let seconds = taken.reading.at.duration_since(last.reading.at).ok().filter(|time| !time.is_zero())?;
        let (old, new) = (&last.sample.stats.cpu, &taken.sample.stats.cpu);
        if old.per_cpu_ns.len() != new.per_cpu_ns.len() {
            return None;
        }
        let rate = |old: u64, new: u64| Some((new.checked_sub(old)? as f64 / seconds.as_secs_f64()) as u64);
        let per_cpu: Option<Vec<u64>> =
            old.per_cpu_ns.iter().zip(&new.per_cpu_ns).map(|(&old, &new)| rate(old, new)).collect();
        Some(CpuInst {
            usage: CpuRate {
                total: rate(old.usage_ns?, new.usage_ns?)?,
                per_cpu_usage: per_cpu?,
                user: rate(old.user_ns?, new.user_ns?)?,
                system: rate(old.system_ns?, new.system_ns?)?,
            },
        })
    }
}

#[derive(Serialize)]
struct DiskIo<'a> {
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_service_bytes: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_serviced: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_queued: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    sectors: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_service_time: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_merged: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_cost_usage: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_cost_wait: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_cost_indebt: Disks<'a>,
    #[serde(skip_serializing_if = "Disks::is_empty")]
    io_cost_indelay: Disks<'a>,
    psi: Psi,
}

impl<'a> DiskIo<'a> {
    fn new(sample: &'a Sample) -> Self {
        let disks = |values: Values| Disks { devices: &sample.devices, values };
        DiskIo {
            io_service_bytes: disks(|device| operations(device.bytes)),
            io_serviced: disks(|device| operations(device.count)),
            io_queued: disks(|device| operations(device.queued)),
            sectors: disks(|device| one(device.sectors)),
            io_service_time: disks(|device| operations(device.service_ns)),
            io_merged: disks(|device| operations(device.merged)),
            io_cost_usage: disks(|device| one(device.cost_us[0])),
            io_cost_wait: disks(|device| one(device.cost_us[1])),
            io_cost_indebt: disks(|device| one(device.cost_us[2])),
            io_cost_indelay: disks(|device| one(device.cost_us[3])),
            psi: Psi::new(sample.stats.io_pressure.as_ref()),
        }
    }
}

/// What of a device, by the key that it has.
type Values = fn(&Device) -> Row;
type Row = [(&'static str, Option<u64>); 6];

fn operations(operations: Operations) -> Row {
    let Operations { read, write, sync, r#async, discard, total } = operations;
    [
        ("Async", r#async),
        ("Discard", discard),
        ("Read", read),
        ("Sync", sync),
        ("Total", total),
        ("Write", write),
    ]
}

fn one(count: Option<u64>) -> Row {
    let mut row = [("", None); 6];
    row[0] = ("Count", count);
    row
}

struct Disks<'a> {
    devices: &'a [BlockDevice],
    values: Values,
}

impl Disks<'_> {
    fn is_empty(&self) -> bool {
        self.list().next().is_none()
    }

    fn list(&self) -> impl Iterator<Item = Disk<'_>> {
        let rows = self.devices.iter().map(|device| (device, (self.values)(&device.stats)));
        rows.filter(|(_, row)| row.iter().any(|(_, value)| value.is_some())).map(|(device, row)| Disk {
            device: String::from_utf8_lossy(&device.name),
            major: device.stats.major,
            minor: device.stats.minor,
            stats: Present(row),
        })
    }
}

impl Serialize for Disks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list())
    }
}

#[derive(Serialize)]
struct Disk<'a> {
    device: Cow<'a, str>,
    major: u32,
    minor: u32,
    stats: Present,
}

struct Present(Row);

impl Serialize for Present {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter_map(|(key, value)| Some((key, (*value)?))))
    }
}

#[derive(Serialize)]
struct Memory<'a> {
    usage: u64,
    max_usage: u64,
    cache: u64,
    rss: u64,
    swap: u64,
    mapped_file: u64,
    working_set: u64,
    total_active_file: u64,
    total_inactive_file: u64,
    file_dirty: u64,
    file_writeback: u64,
    pgscan: u64,
    pgsteal: u64,
    workingset_refault_file: u64,
    workingset_refault_anon: u64,
    failcnt: u64,
    kernel: u64,
    container_data: Faults<'a>,
    hierarchical_data: Faults<'a>,
    psi: Psi,
    events: Events,
}

#[derive(Serialize)]
struct Events {
    high: u64,
    max: u64,
}

#[derive(Serialize)]
struct Faults<'a> {
    pgfault: u64,
    pgmajfault: u64,
    numa_stats: Numa<'a>,
}

impl<'a> Memory<'a> {
    fn new(stats: &'a Stats) -> Self {
        let memory = &stats.memory;
        Memory {
            usage: memory.usage.unwrap_or(0),
            max_usage: memory.max_usage.unwrap_or(0),
            cache: memory.cache.unwrap_or(0),
            rss: memory.rss.unwrap_or(0),
            swap: memory.swap.unwrap_or(0),
            mapped_file: memory.mapped_file.unwrap_or(0),
            working_set: memory.working_set().unwrap_or(0),
            total_active_file: memory.active_file.unwrap_or(0),
            total_inactive_file: memory.inactive_file.unwrap_or(0),
            file_dirty: memory.file_dirty.unwrap_or(0),
            file_writeback: memory.file_writeback.unwrap_or(0),
            pgscan: memory.pgscan.unwrap_or(0),
            pgsteal: memory.pgsteal.unwrap_or(0),
            workingset_refault_file: memory.refault_file.unwrap_or(0),
            workingset_refault_anon: memory.refault_anon.unwrap_or(0),
            failcnt: memory.failcnt.unwrap_or(0),
            kernel: memory.kernel.unwrap_or(0),
            container_data: Faults {
                pgfault: memory.own_pgfault.or(memory.pgfault).unwrap_or(0),
                pgmajfault: memory.own_pgmajfault.or(memory.pgmajfault).unwrap_or(0),
                numa_stats: Numa { stats, is_own: true },
            },
            hierarchical_data: Faults {
                pgfault: memory.pgfault.unwrap_or(0),
                pgmajfault: memory.pgmajfault.unwrap_or(0),
                numa_stats: Numa { stats, is_own: false },
            },
            psi: Psi::new(stats.memory_pressure.as_ref()),
            events: Events { high: memory.events.high.unwrap_or(0), max: memory.events.max.unwrap_or(0) },
        }
    }
}

/// Pages by node, by kind.
struct Numa<'a> {
    stats: &'a Stats,
    is_own: bool,
}

impl Serialize for Numa<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nodes = &self.stats.memory.numa;
        let pages = |kind: usize| {
            nodes.iter().filter_map(move |node| {
                let pages = if self.is_own { node.own? } else { node.hierarchy };
                Some((node.node, pages[kind]))
            })
        };
        let mut map = serializer.serialize_map(None)?;
        for (kind, name) in ["file", "anon", "unevictable"].into_iter().enumerate() {
            if pages(kind).next().is_some() {
                map.serialize_entry(name, &Map(|| pages(kind)))?;
            }
        }
        map.end()
    }
}

struct Hugetlb<'a>(&'a Stats);

impl<'a> Hugetlb<'a> {
    fn new(sample: &'a Sample) -> Option<Self> {
        (!sample.stats.hugetlb.is_empty()).then_some(Hugetlb(&sample.stats))
    }
}

impl Serialize for Hugetlb<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.hugetlb.iter().map(|pages| {
            let values = HugePages {
                usage: pages.usage.unwrap_or(0),
                max_usage: pages.max_usage.unwrap_or(0),
                failcnt: pages.failcnt.unwrap_or(0),
            };
            (&*pages.size, values)
        }))
    }
}

#[derive(Serialize)]
struct HugePages {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max_usage: u64,
    failcnt: u64,
}

#[derive(Serialize)]
struct NamedNetwork<'a> {
    #[serde(flatten)]
    first: InterfaceStats<'a>,
    #[serde(flatten)]
    network: Network<'a>,
}

impl<'a> NamedNetwork<'a> {
    fn new(network: Network<'a>) -> Self {
        let nothing = InterfaceStats::new("", &Interface::default());
        let first = network.interfaces.0.first();
        let first = first.map_or(nothing, |(name, counters)| InterfaceStats::new(name, counters));
        NamedNetwork { first, network }
    }
}

#[derive(Serialize)]
struct Network<'a> {
    #[serde(skip_serializing_if = "Interfaces::is_empty")]
    interfaces: Interfaces<'a>,
    tcp: TcpStat,
    tcp6: TcpStat,
    udp: UdpStat,
    udp6: UdpStat,
    tcp_advanced: Advanced<'a>,
}

impl<'a> Network<'a> {
    /// `None` if nothing of it could be read.
    fn new(sample: &'a Sample) -> Option<Self> {
        let has_any = !sample.interfaces.is_empty()
            || !sample.advanced_tcp.is_empty()
            || sample.tcp.or(sample.tcp6).is_some()
            || sample.udp.or(sample.udp6).is_some();
        has_any.then(|| Self::bare(sample))
    }

    fn bare(sample: &'a Sample) -> Self {
        Network {
            interfaces: Interfaces(&sample.interfaces),
            tcp: TcpStat::new(sample.tcp),
            tcp6: TcpStat::new(sample.tcp6),
            udp: UdpStat::new(sample.udp),
            udp6: UdpStat::new(sample.udp6),
            tcp_advanced: Advanced(&sample.advanced_tcp),
        }
    }
}

struct Interfaces<'a>(&'a [(String, Interface)]);

impl Interfaces<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Interfaces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, counters)| InterfaceStats::new(name, counters)))
    }
}

#[derive(Serialize)]
struct InterfaceStats<'a> {
    name: &'a str,
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

impl<'a> InterfaceStats<'a> {
    fn new(name: &'a str, counters: &Interface) -> Self {
        let Traffic { bytes: rx_bytes, packets: rx_packets, errors: rx_errors, dropped: rx_dropped } =
            counters.receive;
        let Traffic { bytes: tx_bytes, packets: tx_packets, errors: tx_errors, dropped: tx_dropped } =
            counters.transmit;
        InterfaceStats {
            name,
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TcpStat {
    established: u64,
    syn_sent: u64,
    syn_recv: u64,
    fin_wait1: u64,
    fin_wait2: u64,
    time_wait: u64,
    close: u64,
    close_wait: u64,
    last_ack: u64,
    listen: u64,
    closing: u64,
}

impl TcpStat {
    fn new(counts: Option<Tcp>) -> Self {
        // In the order of `TCP_STATES`.
        let [
            close,
            close_wait,
            closing,
            established,
            fin_wait1,
            fin_wait2,
            last_ack,
            listen,
            syn_recv,
            syn_sent,
            time_wait,
        ] = counts.unwrap_or_default();
        TcpStat {
            established,
            syn_sent,
            syn_recv,
            fin_wait1,
            fin_wait2,
            time_wait,
            close,
            close_wait,
            last_ack,
            listen,
            closing,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UdpStat {
    listen: u64,
    dropped: u64,
    rx_queued: u64,
    tx_queued: u64,
}

impl UdpStat {
    fn new(counts: Option<Udp>) -> Self {
        let Udp { listen, dropped, rx_queued, tx_queued } = counts.unwrap_or_default();
        UdpStat { listen, dropped, rx_queued, tx_queued }
    }
}

/// By the kernel's names in lower case, in alphabetical order.
struct Advanced<'a>(&'a [(&'static str, i64)]);

impl Advanced<'_> {
    fn value(&self, name: &str) -> i64 {
        let lower = || name.bytes().map(|b| b.to_ascii_lowercase());
        let place = self.0.binary_search_by(|(known, _)| known.bytes().cmp(lower()));
        let value = place.ok().and_then(|place| self.0.get(place)).map_or(0, |(_, value)| *value);
        // Only this one may be below 0: no limit.
        if name == "MaxConn" { value } else { value.max(0) }
    }
}

impl Serialize for Advanced<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(ADVANCED.iter().map(|name| (name, self.value(name))))
    }
}

/// The keys that the original's clients know: names of `/proc/net/snmp` and `netstat`, those too that kernels have lost.
const ADVANCED: &[&str] = &[
    "RtoAlgorithm",
    "RtoMin",
    "RtoMax",
    "MaxConn",
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "CurrEstab",
    "InSegs",
    "OutSegs",
    "RetransSegs",
    "InErrs",
    "OutRsts",
    "InCsumErrors",
    "EmbryonicRsts",
    "SyncookiesSent",
    "SyncookiesRecv",
    "SyncookiesFailed",
    "PruneCalled",
    "RcvPruned",
    "OfoPruned",
    "OutOfWindowIcmps",
    "LockDroppedIcmps",
    "TW",
    "TWRecycled",
    "TWKilled",
    "TCPTimeWaitOverflow",
    "TCPTimeouts",
    "TCPSpuriousRTOs",
    "TCPLossProbes",
    "TCPLossProbeRecovery",
    "TCPRenoRecoveryFail",
    "TCPSackRecoveryFail",
    "TCPRenoFailures",
    "TCPSackFailures",
    "TCPLossFailures",
    "DelayedACKs",
    "DelayedACKLocked",
    "DelayedACKLost",
    "ListenOverflows",
    "ListenDrops",
    "TCPHPHits",
    "TCPPureAcks",
    "TCPHPAcks",
    "TCPRenoRecovery",
    "TCPSackRecovery",
    "TCPSACKReneging",
    "TCPFACKReorder",
    "TCPSACKReorder",
    "TCPRenoReorder",
    "TCPTSReorder",
    "TCPFullUndo",
    "TCPPartialUndo",
    "TCPDSACKUndo",
    "TCPLossUndo",
    "TCPFastRetrans",
    "TCPSlowStartRetrans",
    "TCPLostRetransmit",
    "TCPRetransFail",
    "TCPRcvCollapsed",
    "TCPDSACKOldSent",
    "TCPDSACKOfoSent",
    "TCPDSACKRecv",
    "TCPDSACKOfoRecv",
    "TCPAbortOnData",
    "TCPAbortOnClose",
    "TCPAbortOnMemory",
    "TCPAbortOnTimeout",
    "TCPAbortOnLinger",
    "TCPAbortFailed",
    "TCPMemoryPressures",
    "TCPMemoryPressuresChrono",
    "TCPSACKDiscard",
    "TCPDSACKIgnoredOld",
    "TCPDSACKIgnoredNoUndo",
    "TCPMD5NotFound",
    "TCPMD5Unexpected",
    "TCPMD5Failure",
    "TCPSackShifted",
    "TCPSackMerged",
    "TCPSackShiftFallback",
    "TCPBacklogDrop",
    "PFMemallocDrop",
    "TCPMinTTLDrop",
    "TCPDeferAcceptDrop",
    "IPReversePathFilter",
    "TCPReqQFullDoCookies",
    "TCPReqQFullDrop",
    "TCPFastOpenActive",
    "TCPFastOpenActiveFail",
    "TCPFastOpenPassive",
    "TCPFastOpenPassiveFail",
    "TCPFastOpenListenOverflow",
    "TCPFastOpenCookieReqd",
    "TCPSynRetrans",
    "TCPOrigDataSent",
    "PAWSActive",
    "PAWSEstab",
];

/// Filesystems of v1 and v2.0.
struct Filesystems<'a>(&'a Sample);

impl Filesystems<'_> {
    fn is_empty(&self) -> bool {
        self.0.filesystems.is_empty()
    }
}

impl Serialize for Filesystems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.filesystems.iter().map(|space| FsStats::new(space, self.0)))
    }
}

/// Times are in milliseconds here.
#[derive(Serialize)]
struct FsStats<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    device: Cow<'a, str>,
    r#type: &'static str,
    capacity: u64,
    usage: u64,
    base_usage: u64,
    available: u64,
    has_inodes: bool,
    inodes: u64,
    inodes_free: u64,
    reads_completed: u64,
    reads_merged: u64,
    sectors_read: u64,
    read_time: u64,
    writes_completed: u64,
    writes_merged: u64,
    sectors_written: u64,
    write_time: u64,
    io_in_progress: u64,
    io_time: u64,
    weighted_io_time: u64,
}

impl<'a> FsStats<'a> {
    fn new(space: &'a Space, sample: &Sample) -> Self {
        let disk = disk(space, sample);
        // Of a container the original tells what its layer has, of the machine what the filesystem has.
        let is_machine = space.layer.is_none();
        FsStats {
            device: String::from_utf8_lossy(&space.device),
            r#type: fs_type(space),
            capacity: space.capacity,
            usage: space.usage.unwrap_or(0),
            base_usage: space.layer.map_or(0, |(bytes, _)| bytes),
            available: space.available.unwrap_or(0),
            has_inodes: is_machine && space.inodes > 0,
            inodes: space.layer.map_or(space.inodes, |(_, inodes)| inodes),
            inodes_free: if is_machine { space.inodes_free } else { 0 },
            reads_completed: disk.reads,
            reads_merged: disk.reads_merged,
            sectors_read: disk.sectors_read,
            read_time: disk.read_ms,
            writes_completed: disk.writes,
            writes_merged: disk.writes_merged,
            sectors_written: disk.sectors_written,
            write_time: disk.write_ms,
            io_in_progress: disk.in_flight,
            io_time: disk.io_ms,
            weighted_io_time: disk.weighted_io_ms,
        }
    }
}

#[derive(Serialize)]
struct Tasks {
    nr_sleeping: u64,
    nr_running: u64,
    nr_stopped: u64,
    nr_uninterruptible: u64,
    nr_io_wait: u64,
}

impl Tasks {
    fn new(sample: &Sample) -> Self {
        let states = sample.states.unwrap_or_default();
        Tasks {
            nr_sleeping: states.sleeping,
            nr_running: states.running,
            nr_stopped: states.stopped,
            nr_uninterruptible: states.uninterruptible,
            nr_io_wait: states.iowaiting,
        }
    }
}

#[derive(Default, Serialize)]
struct Processes {
    process_count: u64,
    fd_count: u64,
    socket_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    threads_current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    threads_max: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ulimits: Option<[Ulimit; 1]>,
}

/// -1 is no limit. The hard limit is not read.
#[derive(Serialize)]
struct Ulimit {
    name: &'static str,
    soft_limit: i64,
    hard_limit: i64,
}

impl Processes {
    fn new(sample: &Sample) -> Option<Self> {
        if sample.process_count.is_none() && sample.stats.pids.is_none() {
            return None;
        }
        let soft_limit = |limit| match limit {
            Limit::At(limit) => i64::try_from(limit).unwrap_or(i64::MAX),
            Limit::Unlimited => -1,
        };
        Some(Processes {
            process_count: sample.process_count.unwrap_or(0),
            fd_count: sample.descriptors.unwrap_or(0),
            socket_count: sample.sockets.unwrap_or(0),
            threads_current: sample.stats.pids.unwrap_or(0),
            // The original has 0 for no limit here.
            threads_max: sample.stats.pids_max.filter(|&max| max != u64::MAX).unwrap_or(0),
            ulimits: sample.open_files_limit.map(|limit| {
                [Ulimit { name: "max_open_files", soft_limit: soft_limit(limit), hard_limit: 0 }]
            }),
        })
    }
}
