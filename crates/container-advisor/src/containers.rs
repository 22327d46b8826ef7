//! The containers of this machine: the cgroups there are, what the kernel accounts to each, and what the runtimes call them.
//!
//! [`Containers::refresh`] walks the cgroup tree, reads what is wanted and joins it with the runtimes' [`Directory`]. A scrape, a page
//! and the API each call it when they need values; nothing runs in between. A container is whole or absent: one whose cgroup goes
//! while it is read is not there. What was there and is gone is remembered for a while, for `container_last_seen` alone.
//!
//! Everything is kept from one reading to the next, so that a reading in which nothing came or went allocates nothing.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hostfs::cgroup::{self, Cgroups, Stats};
use hostfs::{Buf, Names, scan};

use crate::disks::{self, Disks};
use crate::filesystems::Filesystems;
use crate::identity;
use crate::kinds::Kind;
use crate::labels::Labels;
use crate::metadata::{Directory, Metadata, Network as Mode, Runtime};
use crate::network::{self, Network, Scope};
use crate::processes::{self, Processes};
use crate::settings::Settings;
use crate::usage::{Layer, Usage};
use crate::view::View;

/// A cgroup, which may be a container's, and its last reading.
#[derive(Debug)]
pub struct Container {
    path: Box<[u8]>,
    id: Option<(Box<str>, Runtime)>,
    /// What its runtime says of it.
    pub metadata: Option<Arc<Metadata>>,
    /// The labels of its samples.
    pub labels: Labels,
    /// What the kernel accounts to it.
    pub stats: Stats,
    /// What it did with block devices, in order of number.
    pub devices: Vec<BlockDevice>,
    /// The machine's filesystems, or the one that holds the container's writable layer.
    pub filesystems: Vec<Space>,
    /// Its network namespace; empty if it is not its own.
    pub network: network::Stats,
    /// Its processes, as far as they are wanted.
    pub processes: processes::Stats,
    /// How many processes it has itself, if that is wanted.
    pub process_count: Option<u64>,
    /// Its tasks over the last seconds, if that is wanted.
    pub load: Option<Load>,
    /// When it was last read, in seconds since 1970.
    pub seen: f64,
    /// When its cgroup was made, in seconds since 1970.
    made: Option<f64>,
    /// The process whose network is read.
    process: Option<First>,
    is_there: bool,
}

/// A block device and what was done with it.
#[derive(Debug, Default, Clone)]
pub struct BlockDevice {
    /// `/dev/sda`; the number, `8:0`, if nobody knows its name.
    pub name: Vec<u8>,
    /// By the cgroup.
    pub stats: cgroup::Device,
    /// By everybody: for the machine alone.
    pub disk: Option<disks::Counters>,
}

/// A filesystem's space.
#[derive(Debug, Default, Clone)]
pub struct Space {
    /// `/dev/sda1`.
    pub device: Vec<u8>,
    /// Its type, `ext4`; empty for a container's.
    pub kind: Vec<u8>,
    /// In bytes.
    pub capacity: u64,
    /// In use, in bytes: of the filesystem, or by the container.
    pub usage: Option<u64>,
    /// What users other than root may still fill, in bytes, for the machine's.
    pub available: Option<u64>,
    /// Inodes there are.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
    /// What the container's writable layer takes: bytes and inodes.
    pub layer: Option<(u64, u64)>,
}

/// A container's first process, and its network namespace, which it keeps: what it runs may change its own, but not this one's.
#[derive(Debug, Clone, Copy)]
struct First {
    pid: u32,
    /// When it was started, in ticks since the machine's start.
    start: u64,
    namespace: u64,
    /// Whether the namespace is that of the machine.
    is_machines: bool,
}

/// Tasks, averaged over about ten seconds, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Running, or ready to.
    pub running: f64,
    /// In uninterruptible sleep.
    pub uninterruptible: f64,
    at: Instant,
}

impl Container {
    fn new(path: &[u8]) -> Self {
        Container {
            path: path.into(),
            id: identity::of(path).map(|(id, runtime)| (id.into(), runtime)),
            metadata: None,
            labels: Labels::default(),
            stats: Stats::default(),
            devices: Vec::new(),
            filesystems: Vec::new(),
            network: network::Stats::default(),
            processes: processes::Stats::default(),
            process_count: None,
            load: None,
            seen: 0.0,
            made: None,
            process: None,
            is_there: false,
        }
    }

    /// Where its cgroup is, which is the label `id`: `/docker/<id>`.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The container's id, if it is one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(|(id, _)| &**id)
    }

    /// Who runs it, if it is a container.
    pub fn runtime(&self) -> Option<Runtime> {
        self.metadata.as_ref().map(|m| m.runtime).or(self.id.as_ref().map(|(_, runtime)| *runtime))
    }

    /// Whether it is the machine as a whole.
    pub fn is_root(&self) -> bool {
        *self.path == *b"/"
    }

    /// When it was made, in seconds since 1970.
    pub fn created(&self) -> Option<f64> {
        self.metadata.as_ref().and_then(|m| m.created).or(self.made)
    }

    /// When it was last started, in seconds since 1970.
    pub fn started(&self) -> Option<f64> {
        self.metadata.as_ref().and_then(|m| m.started).or(self.made)
    }

    /// The name of a container of which no runtime tells: containerd and CRI-O have no API here, and their containers are told apart
    /// by their ids, as the original has it for containerd.
    fn fallback_name(&self) -> &str {
        match &self.id {
            Some((id, Runtime::Containerd | Runtime::Crio)) => id,
            _ => "",
        }
    }

    fn join(&mut self, metadata: Option<Arc<Metadata>>, settings: &Settings) {
        let is_same = match (&self.metadata, &metadata) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => !self.labels.identity.is_empty(),
            _ => false,
        };
        if is_same {
            return;
        }
        let mut labels = std::mem::take(&mut self.labels);
        labels.render(&self.path, metadata.as_deref(), self.fallback_name(), &settings.kept);
        self.labels = labels;
        self.metadata = metadata;
    }
}

/// A container that is gone.
#[derive(Debug)]
pub struct Gone {
    path: Box<[u8]>,
    /// The labels of its samples.
    pub labels: Labels,
    /// When it was last read, in seconds since 1970.
    pub seen: f64,
}

/// A container that a runtime knows and that has no cgroup: it does not run.
#[derive(Debug)]
pub struct Idle {
    /// The labels of its samples. Its `id` is where its cgroup was, or would be.
    pub labels: Labels,
    /// What its runtime says of it.
    pub metadata: Arc<Metadata>,
}

/// All of them.
#[derive(Debug)]
pub struct Containers {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    readers: Readers,
    wants: cgroup::Wants,
    network_wants: network::Wants,
    process_wants: processes::Wants,
    counts_processes: bool,
    paths: Names,
    list: Vec<Container>,
    gone: Vec<Gone>,
    idle: Vec<Idle>,
    /// Where cgroups of containers were, by id.
    places: HashMap<Box<str>, Box<[u8]>>,
    /// The directory's generation that the list was last joined with.
    joined: Option<u64>,
}

#[derive(Debug)]
struct Readers {
    view: View,
    root: hostfs::Root,
    cgroups: Option<Cgroups>,
    proc: hostfs::Root,
    network: Network,
    processes: Processes,
    disks: Disks,
    filesystems: Arc<Filesystems>,
    usage: Arc<Usage>,
    meminfo: hostfs::File,
    /// Namespaces of containers of which no runtime tells: those that share one share its traffic, which is written once.
    namespaces: Vec<u64>,
    pids: Vec<u32>,
    buf: Buf,
}

impl Containers {
    /// Reads nothing yet.
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        filesystems: Arc<Filesystems>,
        usage: Arc<Usage>,
    ) -> Self {
        let choice = settings.choice;
        let has = |kind| choice.kinds.has(kind);
        let load = choice.load && has(Kind::CpuLoad);
        Containers {
            wants: cgroup::Wants {
                cpu: has(Kind::Cpu),
                per_cpu: has(Kind::Cpu) && has(Kind::PerCpu),
                memory: has(Kind::Memory) || has(Kind::OomEvent) || choice.extended,
                numa: has(Kind::MemoryNuma),
                io: has(Kind::DiskIo),
                pids: has(Kind::Process),
                hugetlb: has(Kind::Hugetlb),
                pressure: has(Kind::Pressure),
                cpuset: has(Kind::Cpuset),
                limits: true,
            },
            network_wants: network::Wants {
                interfaces: has(Kind::Network),
                tcp: has(Kind::Tcp),
                udp: has(Kind::Udp),
                advanced: has(Kind::AdvancedTcp),
            },
            process_wants: processes::Wants {
                descriptors: has(Kind::Process),
                limits: has(Kind::Process),
                schedstat: has(Kind::Sched),
                referenced: has(Kind::ReferencedMemory),
                states: load,
            },
            counts_processes: has(Kind::Process) || has(Kind::Sched) || has(Kind::ReferencedMemory) || load,
            readers: Readers {
                view: settings.view,
                root: settings.cgroup.clone(),
                cgroups: None,
                network: Network::new(&settings.proc),
                processes: Processes::new(&settings.proc, &settings.rootfs),
                disks: Disks::new(&settings.proc, &settings.sys),
                filesystems,
                usage,
                meminfo: settings.proc.file("meminfo"),
                proc: settings.proc.clone(),
                namespaces: Vec::new(),
                pids: Vec::new(),
                buf: Buf::new(),
            },
            settings,
            directory,
            paths: Names::new(),
            list: Vec::new(),
            gone: Vec::new(),
            idle: Vec::new(),
            places: HashMap::new(),
            joined: None,
        }
    }

    /// The containers and other cgroups of the last reading, in order of path.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Container> + Clone {
        self.list.iter().filter(|container| container.is_there)
    }

    /// The cgroup with this path.
    pub fn at(&self, path: &[u8]) -> Option<&Container> {
        let index = self.list.binary_search_by(|container| (*container.path).cmp(path)).ok()?;
        Some(&self.list[index]).filter(|container| container.is_there)
    }

    /// The containers that have gone within the time that the settings give.
    pub fn gone(&self) -> &[Gone] {
        &self.gone
    }

    /// The containers that do not run, in order of id.
    pub fn idle(&self) -> &[Idle] {
        &self.idle
    }

    /// Which interface the kernel's cgroups have here; `None` before the first reading, or without any.
    pub fn version(&self) -> Option<cgroup::Version> {
        self.readers.cgroups.as_ref().map(Cgroups::version)
    }

    /// The controllers that were found.
    pub fn controllers(&self) -> &[String] {
        self.readers.cgroups.as_ref().map_or(&[], Cgroups::controllers)
    }

    /// The process table of the cgroup at `path`; `None` if it is gone.
    pub fn table(&mut self, path: &[u8]) -> Option<Vec<processes::Process>> {
        let Readers { view, cgroups, processes, pids, .. } = &mut self.readers;
        let found = view.shares_processes() && cgroups.as_mut()?.processes(path, pids).ok()?;
        found.then(|| processes.table(pids))
    }

    /// Reads everything anew. Filesystems that do not answer by the deadline are left out.
    ///
    /// # Errors
    /// There is no tree of cgroups to be read.
    pub fn refresh(&mut self, deadline: Instant) -> hostfs::Result<()> {
        let now = hostfs::sys::clock::now().0 as f64;
        self.discover()?;
        self.join();
        self.read(now, deadline);
        self.forget(now);
        let list = &self.list;
        let known = list.iter().filter_map(|container| Some(&*container.metadata.as_ref()?.id));
        self.readers.usage.want(known, || layers(list, &self.directory));
        let unknown = self.iter().filter(|c| c.metadata.is_none()).filter_map(Container::id);
        self.directory.scraped(unknown);
        Ok(())
    }

    /// Takes in the cgroups that have come, and lets go of those that are no more.
    fn discover(&mut self) -> hostfs::Result<()> {
        let cgroups = match &mut self.readers.cgroups {
            Some(cgroups) => cgroups,
            empty => empty.insert(Cgroups::open(&self.readers.root)?),
        };
        cgroups.list(&mut self.paths)?;
        let settings = &self.settings;
        let wanted = self.paths.iter().map(OsStrExt::as_bytes).filter(|path| is_wanted(path, settings));
        if wanted.clone().eq(self.list.iter().map(|container| &*container.path)) {
            return Ok(());
        }
        let mut old = std::mem::take(&mut self.list).into_iter().peekable();
        for path in wanted {
            while let Some(container) = old.next_if(|container| *container.path < *path) {
                bury(container, &mut self.gone);
            }
            let known = old.next_if(|container| *container.path == *path);
            self.list.push(known.unwrap_or_else(|| Container::new(path)));
        }
        old.for_each(|container| bury(container, &mut self.gone));
        self.joined = None;
        Ok(())
    }

    /// Gives the containers their names.
    fn join(&mut self) {
        let generation = self.directory.generation();
        if self.joined == Some(generation) {
            return;
        }
        for container in &mut self.list {
            let metadata = container.id().and_then(|id| self.directory.get(id));
            container.join(metadata, &self.settings);
        }
        self.joined = Some(generation);
        self.take_idle();
        // One that was made anew under the same path or name is not gone.
        let list = &self.list;
        self.gone.retain(|gone| {
            list.iter().all(|container| {
                container.path != gone.path
                    && (gone.labels.name.is_empty() || container.labels.name != gone.labels.name)
            })
        });
    }

    fn take_idle(&mut self) {
        self.idle.clear();
        if !self.settings.choice.extended {
            return;
        }
        let known = self.directory.all();
        self.places.retain(|id, _| known.binary_search_by(|metadata| (*metadata.id).cmp(id)).is_ok());
        for container in &self.list {
            if let (Some((id, _)), Some(_)) = (&container.id, &container.metadata) {
                self.places.insert(id.clone(), container.path.clone());
            }
        }
        let connections = self.directory.connections();
        for metadata in known {
            if self.list.iter().any(|container| container.id() == Some(&metadata.id)) {
                continue;
            }
            let usual;
            let path = match self.places.get(&*metadata.id) {
                Some(path) => path,
                None => {
                    let connection = connections.iter().find(|(runtime, _)| *runtime == metadata.runtime);
                    usual = usual_path(&metadata, connection.and_then(|(_, c)| c.cgroup_driver.as_deref()));
                    usual.as_bytes()
                }
            };
            let mut labels = Labels::default();
            labels.render(path, Some(&metadata), "", &self.settings.kept);
            self.idle.push(Idle { labels, metadata });
        }
    }

    fn read(&mut self, now: f64, deadline: Instant) {
        let readers = &mut self.readers;
        let has = |kind| self.settings.choice.kinds.has(kind);
        readers.disks.begin();
        readers.namespaces.clear();
        if self.settings.root && has(Kind::DiskIo) {
            // Without the file there are no counters of disks, which is what it then means.
            let _ = readers.disks.read_counters();
        }
        let has_filesystems = self.settings.root && !self.settings.view.is_own_root;
        if has_filesystems && (has(Kind::Disk) || has(Kind::DiskIo)) {
            // As above, of the mount table.
            let _ = readers.filesystems.refresh(deadline);
        }
        for container in &mut self.list {
            let was_there = container.is_there;
            container.is_there = readers.group(container, &self.wants);
            if !container.is_there {
                if was_there {
                    remember(container, &mut self.gone);
                }
                // Should there be one at this path again, it is another one.
                (container.made, container.process) = (None, None);
                continue;
            }
            if !was_there {
                self.gone.retain(|gone| gone.path != container.path);
            }
            container.seen = now;
            readers.devices(container, has(Kind::DiskIo));
            readers.space(container, has(Kind::Disk));
            readers.network(container, self.network_wants, self.settings.host_network);
            if self.counts_processes {
                readers.processes(container, self.process_wants);
            }
        }
    }

    fn forget(&mut self, now: f64) {
        let retention = self.settings.retention.as_secs_f64();
        self.gone.retain(|gone| now - gone.seen < retention);
    }
}

fn is_wanted(path: &[u8], settings: &Settings) -> bool {
    if path == b"/" {
        return settings.root;
    }
    if identity::of(path).is_some() {
        return true;
    }
    let prefixes = &settings.raw_prefixes;
    if prefixes.is_empty() {
        return !settings.containers_only;
    }
    prefixes.iter().any(|prefix| path.starts_with(prefix.as_bytes()))
}

/// A container that is no more, remembered unless it was before.
fn bury(mut container: Container, gone: &mut Vec<Gone>) {
    if container.is_there {
        remember(&mut container, gone);
    }
}

fn remember(container: &mut Container, gone: &mut Vec<Gone>) {
    /// Of more than these the first are forgotten.
    const MOST: usize = 1000;
    if container.id.is_none() {
        return;
    }
    if gone.len() == MOST {
        gone.remove(0);
    }
    let labels = container.labels.clone();
    gone.push(Gone { path: container.path.clone(), labels, seen: container.seen });
}

/// Where a runtime makes a container's cgroup if nobody tells it otherwise.
fn usual_path(metadata: &Metadata, cgroup_driver: Option<&str>) -> String {
    let id = &metadata.id;
    match (metadata.runtime, cgroup_driver) {
        (Runtime::Docker, Some("systemd")) => format!("/system.slice/docker-{id}.scope"),
        (Runtime::Podman, Some("cgroupfs")) => format!("/libpod_parent/libpod-{id}"),
        (Runtime::Podman, _) => format!("/machine.slice/libpod-{id}.scope"),
        _ => format!("/docker/{id}"),
    }
}

/// What is to be measured on disk: running containers' layers and logs.
fn layers(list: &[Container], directory: &Directory) -> Vec<Layer> {
    let roots = directory.connections();
    let layer = |container: &Container| {
        let metadata = container.metadata.as_ref()?;
        let root = roots.iter().find(|(runtime, _)| *runtime == metadata.runtime)?.1.root.clone();
        let logs = root.filter(|_| metadata.runtime == Runtime::Docker);
        Some(Layer {
            id: metadata.id.clone(),
            writable: metadata.writable_layer.clone(),
            logs: logs.map(|root| format!("{root}/containers/{}", metadata.id)),
        })
    };
    list.iter().filter_map(layer).collect()
}

impl Readers {
    /// The cgroup's own files; `false` if it is gone, or cannot be read.
    fn group(&mut self, container: &mut Container, wants: &cgroup::Wants) -> bool {
        let Some(cgroups) = &mut self.cgroups else { return false };
        if !matches!(cgroups.read(&container.path, wants, &mut container.stats), Ok(true)) {
            return false;
        }
        if container.made.is_none() {
            container.made = cgroups.created(&container.path);
            if container.made.is_none() {
                // It went after it was read.
                return false;
            }
        }
        if container.is_root() {
            self.machine_memory(&mut container.stats);
        }
        true
    }

    /// The limits of the machine are what it has; those of its cgroup say nothing.
    fn machine_memory(&mut self, stats: &mut Stats) {
        (stats.limits.memory, stats.limits.swap) = (None, None);
        let Ok(meminfo) = self.meminfo.read(&mut self.buf) else { return };
        let bytes = |key: &[u8]| {
            let mut fields = scan::fields(scan::lines(meminfo).find_map(|line| line.strip_prefix(key))?);
            fields.next_u64()?.checked_mul(1024)
        };
        stats.limits.memory = bytes(b"MemTotal:");
        let swap = bytes(b"SwapTotal:");
        stats.limits.swap = swap.or(stats.limits.swap);
        if stats.memory.swap.is_none() && stats.memory.usage.is_some() {
            stats.memory.swap = swap.zip(bytes(b"SwapFree:")).map(|(total, free)| total.saturating_sub(free));
        }
    }

    fn devices(&mut self, container: &mut Container, wanted: bool) {
        let is_root = container.is_root();
        let mut count = 0;
        if wanted {
            let Container { stats, devices, .. } = &mut *container;
            for device in &stats.io {
                next(devices, &mut count).stats = *device;
            }
            if is_root && !self.view.is_own_root {
                self.filesystems.each(|filesystem| {
                    let (major, minor) = (filesystem.major as u32, filesystem.minor as u32);
                    let is_known = |d: &BlockDevice| (d.stats.major, d.stats.minor) == (major, minor);
                    if !devices[..count].iter().any(is_known)
                        && self.disks.counters_of(major, minor).is_some()
                    {
                        next(devices, &mut count).stats =
                            cgroup::Device { major, minor, ..Default::default() };
                    }
                });
            }
            devices.truncate(count);
            devices.sort_unstable_by_key(|device| (device.stats.major, device.stats.minor));
        }
        let devices = &mut container.devices;
        devices.truncate(count);
        for device in &mut *devices {
            let (major, minor) = (device.stats.major, device.stats.minor);
            device.disk = if is_root { self.disks.counters_of(major, minor).copied() } else { None };
            let name = if is_root {
                self.disks.name_for_machine(major, minor)
            } else {
                self.disks.name(major, minor)
            };
            device.name.clear();
            device.name.extend_from_slice(name);
            if name.is_empty() {
                use std::io::Write;
                // A vector takes all that is written to it.
                let _ = write!(device.name, "{major}:{minor}");
            }
        }
        // Two numbers under one name would be one series twice: the first stays.
        let mut kept = 0;
        for i in 0..devices.len() {
            if !devices[..kept].iter().any(|earlier| earlier.name == devices[i].name) {
                devices.swap(kept, i);
                kept += 1;
            }
        }
        devices.truncate(kept);
    }

    fn space(&mut self, container: &mut Container, wanted: bool) {
        let mut count = 0;
        let spaces = &mut container.filesystems;
        if *container.path == *b"/" {
            if !wanted || self.view.is_own_root {
                return spaces.clear();
            }
            self.filesystems.each(|filesystem| {
                let space = next(spaces, &mut count);
                set(&mut space.device, filesystem.device);
                set(&mut space.kind, filesystem.fstype);
                space.capacity = filesystem.capacity();
                space.usage = Some(filesystem.usage());
                space.available = Some(filesystem.available());
                space.inodes = filesystem.space.files;
                space.inodes_free = filesystem.space.files_free;
            });
        } else if let Some(measured) =
            container.id.as_ref().filter(|_| wanted).and_then(|(id, _)| self.usage.of(id))
        {
            let space = next(spaces, &mut count);
            set(&mut space.device, self.disks.name(measured.device.0, measured.device.1));
            space.kind.clear();
            space.capacity = measured.capacity;
            space.usage = Some(measured.bytes);
            space.available = None;
            space.inodes = measured.capacity_inodes;
            space.inodes_free = measured.free_inodes;
            space.layer = Some((measured.layer_bytes, measured.inodes));
        }
        spaces.truncate(count);
    }

    fn network(&mut self, container: &mut Container, wants: network::Wants, host_network: bool) {
        let is_wanted = wants != network::Wants::default();
        let shares = match container.metadata.as_ref().map(|m| &m.network) {
            Some(Mode::Host) => !host_network,
            Some(Mode::Container) => true,
            _ => container.id.is_none() && !container.is_root(),
        };
        if !is_wanted || shares || !self.own_network(container, wants, host_network) {
            container.network = network::Stats::default();
        }
    }

    /// Reads the network of the container's first process; `false` if there is none, or if it is another's.
    fn own_network(&mut self, container: &mut Container, wants: network::Wants, host_network: bool) -> bool {
        if container.is_root() {
            if self.view.is_own_proc {
                return false;
            }
            return self.network.read(1, None, Scope::Machine, wants, &mut container.network).is_some();
        }
        // The process that was found once is the same one as long as it was started at the same time.
        let remembered = container.process.take();
        let first = remembered
            .filter(|first| self.network.start_time(first.pid) == Some(first.start))
            .or_else(|| self.look_for_first(container));
        let Some(First { pid, start, namespace, is_machines }) = first else { return false };
        container.process = first;
        if is_machines && !host_network {
            return false;
        }
        if container.metadata.is_none() {
            if self.namespaces.contains(&namespace) {
                return false;
            }
            self.namespaces.push(namespace);
        }
        self.network.read(pid, Some(start), Scope::Container, wants, &mut container.network).is_some()
    }

    fn look_for_first(&mut self, container: &Container) -> Option<First> {
        let pid = self.first_process(container)?;
        let start = self.network.start_time(pid)?;
        let namespace = self.network.namespace(pid)?;
        let is_machines = self.network.namespace(1) == Some(namespace);
        // Between the first and the last of these it may have become another process.
        let is_still =
            self.first_process(container) == Some(pid) && self.network.start_time(pid) == Some(start);
        is_still.then_some(First { pid, start, namespace, is_machines })
    }

    /// The container's first process: the runtime's word, if the kernel agrees that it is in the container's cgroup or below.
    fn first_process(&mut self, container: &Container) -> Option<u32> {
        let cgroups = self.cgroups.as_mut()?;
        if !cgroups.processes(&container.path, &mut self.pids).ok()? {
            return None;
        }
        // From within another PID namespace the kernel shows 0 on v2, nothing on v1, and numbers that mean nothing outside.
        self.pids.retain(|&pid| pid != 0);
        if !self.view.shares_processes() {
            self.pids.clear();
        }
        let told = container.metadata.as_ref().map(|m| m.pid).filter(|&pid| pid != 0);
        if let Some(&first) = self.pids.first() {
            return told.filter(|pid| self.pids.contains(pid)).or(Some(first));
        }
        // The processes may all be in cgroups below: crun makes one, and so does systemd in a container.
        let (told, id) = (told?, container.id()?);
        let groups = hostfs::read(self.proc.join(format!("{told}/cgroup")), &mut self.buf).ok()?;
        groups.windows(id.len()).any(|part| part == id.as_bytes()).then_some(told)
    }

    fn processes(&mut self, container: &mut Container, wants: processes::Wants) {
        let found = match &mut self.cgroups {
            Some(cgroups) => cgroups.processes(&container.path, &mut self.pids),
            None => Ok(false),
        };
        if !matches!(found, Ok(true)) || self.pids.contains(&0) || !self.view.shares_processes() {
            container.processes = processes::Stats::default();
            container.process_count = None;
            container.load = None;
            return;
        }
        let first = container.metadata.as_ref().map(|m| m.pid).filter(|pid| self.pids.contains(pid));
        let first = match &container.id {
            Some(_) => first.or(self.pids.first().copied()),
            None => container.is_root().then_some(1),
        };
        self.processes.read(&self.pids, first, wants, &mut container.processes);
        container.process_count = Some(self.pids.len() as u64);
        if let Some(states) = container.processes.states {
            let now = Instant::now();
            let (running, uninterruptible) =
                (states.running as f64 * 1e3, states.uninterruptible as f64 * 1e3);
            let weight = container.load.map_or(0.0, |old| decay(now - old.at));
            let mix = |old: fn(&Load) -> f64, new: f64| {
                container.load.as_ref().map_or(new, |load| old(load) * weight + new * (1.0 - weight))
            };
            container.load = Some(Load {
                running: mix(|l| l.running, running),
                uninterruptible: mix(|l| l.uninterruptible, uninterruptible),
                at: now,
            });
        }
    }
}

/// What is left of an average over ten seconds.
fn decay(elapsed: Duration) -> f64 {
    (-elapsed.as_secs_f64() / 10.0).exp()
}

/// The element at `count`, which is made if there is none: elements keep their memory.
fn next<'a, T: Default>(vec: &'a mut Vec<T>, count: &mut usize) -> &'a mut T {
    if *count == vec.len() {
        vec.push(T::default());
    }
    *count += 1;
    &mut vec[*count - 1]
}

fn set(to: &mut Vec<u8>, from: &[u8]) {
    to.clear();
    to.extend_from_slice(from);
}
