//! The machine: processors, memory, disks and names. It is read when somebody asks, and kept for five minutes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exporter::{Collector, Error, Text};
use hostfs::{Buf, Root, scan};
use serde::Serialize;

use crate::filesystems::Filesystems;
use crate::metadata::Directory;

/// Where the machine's names are looked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The first of these files that exists, below the host's `/`.
    pub machine_id_files: Vec<PathBuf>,
    /// As above; those below `/proc` are looked for there.
    pub boot_id_files: Vec<PathBuf>,
    /// How long what was read is good for.
    pub update_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            machine_id_files: vec!["/etc/machine-id".into(), "/var/lib/dbus/machine-id".into()],
            boot_id_files: vec!["/proc/sys/kernel/random/boot_id".into()],
            update_interval: Duration::from_secs(300),
        }
    }
}

/// The machine, shared by the collector and the pages.
#[derive(Debug)]
pub struct Machine {}

/// What is known of the machine; serialized as the original's `/api/v1.3/machine`. What could not be read is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MachineInfo {
    /// When it was read: RFC 3339.
    pub timestamp: String,
    /// `GenuineIntel`; empty where the processor has none.
    pub vendor_id: String,
    /// Logical CPUs that are online.
    pub num_cores: u32,
    /// Cores that have at least one of them.
    pub num_physical_cores: u32,
    /// Sockets that have at least one of them.
    pub num_sockets: u32,
    /// Books, on s390x.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_books: u32,
    /// Drawers, on s390x.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_drawers: u32,
    /// The highest frequency of any CPU, in kHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_frequency_khz: Option<u64>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_capacity: Option<u64>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_capacity: Option<u64>,
    /// Memory modules by type.
    pub memory_by_type: BTreeMap<String, MemoryInfo>,
    /// Persistent memory: none is looked for.
    pub nvm: NvmInfo,
    /// By size.
    pub hugepages: Vec<HugePages>,
    /// Of the installation.
    pub machine_id: String,
    /// Of the hardware; only root may read it.
    pub system_uuid: String,
    /// Of this start.
    pub boot_id: String,
    /// In order of device.
    pub filesystems: Vec<FilesystemInfo>,
    /// By number, `8:0`.
    pub disk_map: BTreeMap<String, DiskInfo>,
    /// In order of name.
    pub network_devices: Vec<NetworkDevice>,
    /// NUMA nodes.
    pub topology: Vec<Node>,
    /// `Unknown`.
    pub cloud_provider: &'static str,
    /// `Unknown`.
    pub instance_type: &'static str,
    /// Empty.
    pub instance_id: &'static str,
    /// uname's release.
    #[serde(skip)]
    pub kernel_version: String,
    /// PRETTY_NAME of os-release.
    #[serde(skip)]
    pub os_version: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Memory modules of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemoryInfo {
    /// In bytes.
    pub capacity: u64,
    /// How many.
    pub dimm_count: u64,
}

/// Persistent memory, in bytes and watts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the original's fields")]
pub struct NvmInfo {
    pub memory_mode_capacity: u64,
    #[serde(rename = "app direct_mode_capacity")]
    pub app_direct_mode_capacity: u64,
    pub avg_power_budget: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// In KiB.
    pub page_size: u64,
    /// How many.
    pub num_pages: u64,
}

/// A filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FilesystemInfo {
    /// What is mounted; for a tmpfs the mount point.
    pub device: String,
    /// In bytes.
    pub capacity: u64,
    /// `vfs`, `zfs`, as the original groups them.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// All inodes.
    pub inodes: u64,
    /// Whether it counts inodes.
    pub has_inodes: bool,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DiskInfo {
    /// In `/sys/block`.
    pub name: String,
    /// The device's number.
    pub major: u64,
    /// The device's number.
    pub minor: u64,
    /// In bytes.
    pub size: u64,
    /// `mq-deadline`; `none`.
    pub scheduler: String,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetworkDevice {
    /// In `/sys/class/net`.
    pub name: String,
    /// As the kernel writes it.
    pub mac_address: String,
    /// In Mbit/s; -1 or 0 if it is not known.
    pub speed: i64,
    /// In bytes.
    pub mtu: i64,
}

/// A NUMA node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its number.
    pub node_id: u32,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// By size.
    pub hugepages: Vec<HugePages>,
    /// In order of number.
    pub cores: Vec<Core>,
    /// Caches that all its cores share.
    pub caches: Option<Vec<Cache>>,
    /// To each node, in order of number.
    pub distances: Vec<u64>,
}

/// A core.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Core {
    /// Its number.
    pub core_id: u32,
    /// Its logical CPUs.
    pub thread_ids: Vec<u32>,
    /// Caches of its own.
    pub caches: Option<Vec<Cache>>,
    /// Caches that it shares with some cores of its node.
    pub uncore_caches: Option<Vec<Cache>>,
    /// Its socket's number.
    pub socket_id: i64,
    /// Its book's number, on s390x.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub book_id: String,
    /// Its drawer's number, on s390x.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub drawer_id: String,
}

/// A cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// Its number among those of its level.
    pub id: u32,
    /// In bytes.
    pub size: u64,
    /// `Data`, `Instruction`, `Unified`.
    #[serde(rename = "type")]
    pub kind: String,
    /// From 1 on.
    pub level: u32,
}

impl Machine {
    /// Takes the roots that stand for `/proc`, `/sys` and `/`; nothing is read yet.
    pub fn new(
        _proc: &Root,
        _sys: &Root,
        _rootfs: &Root,
        _settings: Settings,
        _filesystems: Arc<Filesystems>,
    ) -> Self {
        unimplemented!()
    }

    /// What is known; read again if it is old. It takes no longer than to the deadline.
    pub fn info(&self, _deadline: Instant) -> Arc<MachineInfo> {
        unimplemented!()
    }

    /// Memory and swap, in bytes, read now: MemTotal and SwapTotal of `/proc/meminfo`.
    pub fn memory(&self) -> (Option<u64>, Option<u64>) {
        unimplemented!()
    }
}

/// Writes the families `machine_*` and `cadvisor_version_info`.
pub struct MachineCollector {}

impl MachineCollector {
    /// `topology` adds the group `cpu_topology`. `version` and `revision` are those of this program.
    pub fn new(
        _machine: Arc<Machine>,
        _directory: Arc<Directory>,
        _topology: bool,
        _version: &'static str,
        _revision: &'static str,
    ) -> Self {
        unimplemented!()
    }
}

impl Collector for MachineCollector {
    fn collect(&mut self, _out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        unimplemented!()
    }
}

/// MemTotal and SwapTotal of `/proc/meminfo`, in bytes.
pub(crate) fn memory(proc: &Root, buf: &mut Buf) -> (Option<u64>, Option<u64>) {
    let Ok(bytes) = hostfs::read(proc.join("meminfo"), buf) else { return (None, None) };
    (meminfo(bytes, b"MemTotal:"), meminfo(bytes, b"SwapTotal:"))
}

/// A line of a meminfo, in bytes; those of a NUMA node begin with the node's name.
fn meminfo(bytes: &[u8], key: &[u8]) -> Option<u64> {
    scan::lines(bytes).find_map(|line| {
        let mut fields = scan::fields(line);
        fields.find(|field| *field == key)?;
        let kilobytes = fields.next_u64()?;
        (fields.next() == Some(b"kB")).then(|| kilobytes.saturating_mul(1024))
    })
}
