//! The machine: processors, memory, disks and names. It is read when somebody asks, and kept for five minutes but for the sizes of
//! memory and filesystems, which are read each time.
//!
//! Sources are the kernel's `Documentation/ABI/stable/sysfs-devices-node`, `.../testing/sysfs-devices-system-cpu`,
//! proc_meminfo(5), proc_cpuinfo(5) and machine-id(5). Nothing here fails as a whole: what cannot be read is left out.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hostfs::sys::clock;
use hostfs::{Buf, Dir, File, Names, Root, scan};
use serde::Serialize;

use crate::filesystems::{Filesystem, Filesystems};

mod collector;
mod topology;

pub use collector::MachineCollector;

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
pub struct Machine {
    proc: Root,
    sys: Root,
    rootfs: Root,
    settings: Settings,
    filesystems: Arc<Filesystems>,
    known: Mutex<Option<(Instant, Arc<MachineInfo>)>>,
    meminfo: Mutex<(File, Buf)>,
}

/// What is known of the machine; serialized as the original's `/api/v1.3/machine`. What could not be read is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MachineInfo {
    /// When it was read: RFC 3339.
    pub timestamp: String,
    /// `GenuineIntel`; empty where the processor has none.
    pub vendor_id: String,
    /// Logical CPUs that are online; 0 if it is not known.
    pub num_cores: u32,
    /// Cores that have at least one of them; 0 if it is not known.
    pub num_physical_cores: u32,
    /// Sockets that have at least one of them; 0 if it is not known.
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
    /// Persistent memory; `None` if there is any, since its use cannot be told without Intel's library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvm: Option<NvmInfo>,
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
        proc: &Root,
        sys: &Root,
        rootfs: &Root,
        settings: Settings,
        filesystems: Arc<Filesystems>,
    ) -> Self {
        Machine {
            proc: proc.clone(),
            sys: sys.clone(),
            rootfs: rootfs.clone(),
            settings,
            filesystems,
            known: Mutex::new(None),
            meminfo: Mutex::new((proc.file("meminfo"), Buf::new())),
        }
    }

    /// What is known, all of it: with the memory and the filesystems as they are now. It takes no longer than to the deadline.
    pub fn info(&self, deadline: Instant) -> Arc<MachineInfo> {
        let mut info = MachineInfo::clone(&self.hardware());
        (info.memory_capacity, info.swap_capacity) = self.memory();
        // Without a mount table there are none to tell of.
        if self.filesystems.refresh(deadline).is_ok() {
            self.filesystems.each(|found| info.filesystems.push(FilesystemInfo::new(&found)));
        }
        Arc::new(info)
    }

    /// What seldom changes: read again if it is old. The filesystems are not in it.
    pub fn hardware(&self) -> Arc<MachineInfo> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, info)) = &*known
            && read.elapsed() < self.settings.update_interval
        {
            return Arc::clone(info);
        }
        let info = Arc::new(self.read());
        *known = Some((Instant::now(), Arc::clone(&info)));
        info
    }

    /// Memory and swap, in bytes, read now: MemTotal and SwapTotal of `/proc/meminfo`.
    pub fn memory(&self) -> (Option<u64>, Option<u64>) {
        let mut meminfo = self.meminfo.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, buf) = &mut *meminfo;
        file.read(buf).map_or((None, None), totals)
    }

    fn read(&self) -> MachineInfo {
        let mut buf = Buf::new();
        let (seconds, nanoseconds) = clock::now();
        let (memory_capacity, swap_capacity) = self.memory();
        let mut info = MachineInfo {
            timestamp: rfc3339(seconds, nanoseconds),
            memory_capacity,
            swap_capacity,
            memory_by_type: memory_modules(&self.sys.join("devices/system/edac/mc"), &mut buf)
                .unwrap_or_default(),
            nvm: (!has_persistent_memory(&self.sys.join("bus/nd/devices"))).then(NvmInfo::default),
            hugepages: huge_pages(&self.sys.join("kernel/mm/hugepages"), &mut buf),
            machine_id: self.first_line(&self.settings.machine_id_files, &mut buf),
            system_uuid: self.system_uuid(&mut buf),
            boot_id: self.first_line(&self.settings.boot_id_files, &mut buf),
            disk_map: disks(&self.sys.join("block"), &mut buf),
            network_devices: network_devices(&self.sys.join("class/net"), &mut buf),
            cloud_provider: "Unknown",
            instance_type: "Unknown",
            kernel_version: String::from_utf8_lossy(clock::uname().release().to_bytes()).into_owned(),
            os_version: self.os_version(&mut buf),
            ..MachineInfo::default()
        };
        topology::read(&self.proc, &self.sys, &mut info, &mut buf);
        info
    }

    /// The first line of the first of these files that can be read.
    fn first_line(&self, files: &[PathBuf], buf: &mut Buf) -> String {
        let places = files.iter().map(|file| match file.strip_prefix("/proc") {
            Ok(below) => self.proc.join(below),
            Err(_) => self.rootfs.join(file),
        });
        places
            .filter_map(|path| hostfs::read_with_cap(path, MOST_TEXT, buf).ok().map(first_line))
            .next()
            .unwrap_or_default()
    }

    /// Of the firmware. What only root may read is empty for others; a machine whose firmware has none goes by the installation's, as
    /// in the original.
    fn system_uuid(&self, buf: &mut Buf) -> String {
        let places = [
            self.sys.join("class/dmi/id/product_uuid"),
            self.proc.join("device-tree/system-id"),
            self.proc.join("device-tree/vm,uuid"),
            self.rootfs.join("etc/machine-id"),
        ];
        for path in &places {
            match hostfs::read_with_cap(path, MOST_TEXT, buf) {
                Ok(bytes) => return first_line(bytes),
                Err(error) if error.is_gone() => {}
                Err(_) => return String::new(),
            }
        }
        String::new()
    }

    /// PRETTY_NAME of the host's os-release(5); the original's words if there is no such line, or no such file.
    fn os_version(&self, buf: &mut Buf) -> String {
        for file in ["etc/os-release", "usr/lib/os-release"] {
            let Ok(bytes) = hostfs::read(self.rootfs.join(file), buf) else { continue };
            let Some(name) = scan::lines_loose(bytes).find_map(|line| line.strip_prefix(b"PRETTY_NAME="))
            else {
                return "Linux".to_owned();
            };
            let name = name.trim_ascii();
            let quoted = |quote: &[u8]| name.strip_prefix(quote)?.strip_suffix(quote);
            let name = quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(name);
            return String::from_utf8_lossy(name).into_owned();
        }
        "Unknown".to_owned()
    }
}

impl FilesystemInfo {
    fn new(found: &Filesystem<'_>) -> Self {
        FilesystemInfo {
            device: String::from_utf8_lossy(found.device).into_owned(),
            capacity: found.capacity(),
            kind: "vfs",
            inodes: found.space.files,
            // Some, such as btrfs and vfat, make them as they are needed.
            has_inodes: found.space.files > 0,
        }
    }
}

/// The longest file that holds one name, in bytes.
const MOST_TEXT: usize = 4096;

/// The first line, without white space and NULs around it.
fn first_line(bytes: &[u8]) -> String {
    let line = scan::lines_loose(bytes).next().unwrap_or_default();
    String::from_utf8_lossy(line).trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0').to_owned()
}

/// The names in a directory, in order; none if it cannot be read.
fn names_in(dir: &Path) -> Option<(Dir, Names)> {
    let dir = Dir::open(dir).ok()?;
    let mut names = Names::new();
    dir.names(&mut names).ok()?;
    Some((dir, names))
}

/// The number behind a prefix: 12 of `cpu12`.
fn number_of(name: &OsStr, prefix: &str) -> Option<u32> {
    scan::unsigned(name.as_encoded_bytes().strip_prefix(prefix.as_bytes())?)?.try_into().ok()
}

/// Huge pages by size, in order of name as the original: `/sys/kernel/mm/hugepages`, or that of a NUMA node.
fn huge_pages(path: &Path, buf: &mut Buf) -> Vec<HugePages> {
    let Some((dir, names)) = names_in(path) else { return Vec::new() };
    let mut all = Vec::new();
    for name in names.iter() {
        let size =
            name.as_encoded_bytes().strip_prefix(b"hugepages-").and_then(|size| size.strip_suffix(b"kB"));
        let Some(page_size) = size.and_then(scan::unsigned) else { continue };
        let Ok(Some(sized)) = dir.dir(name) else { continue };
        if let Ok(Some(bytes)) = sized.attribute("nr_hugepages", buf)
            && let Some(num_pages) = scan::value(bytes)
        {
            all.push(HugePages { page_size, num_pages });
        }
    }
    all
}

/// Memory modules by type, see the kernel's `Documentation/admin-guide/ras.rst`; `None` if one of them does not tell.
fn memory_modules(path: &Path, buf: &mut Buf) -> Option<BTreeMap<String, MemoryInfo>> {
    let mut all: BTreeMap<String, MemoryInfo> = BTreeMap::new();
    let (dir, controllers) = names_in(path)?;
    for controller in controllers.iter().filter(|name| number_of(name, "mc").is_some()) {
        let Some((controller, modules)) = names_in(&dir.path().join(controller)) else { continue };
        for module in modules.iter().filter(|name| number_of(name, "dimm").is_some()) {
            let module = controller.dir(module).ok()??;
            let kind = String::from_utf8_lossy(module.attribute("dimm_mem_type", buf).ok()??.trim_ascii())
                .into_owned();
            let megabytes = scan::value(module.attribute("size", buf).ok()??)?;
            let sum = all.entry(kind).or_default();
            sum.capacity = sum.capacity.saturating_add(megabytes.saturating_mul(1 << 20));
            sum.dimm_count += 1;
        }
    }
    Some(all)
}

fn has_persistent_memory(path: &Path) -> bool {
    names_in(path).is_some_and(|(_, names)| names.iter().any(|name| number_of(name, "nmem").is_some()))
}

/// The disks of `/sys/block`, by number.
fn disks(path: &Path, buf: &mut Buf) -> BTreeMap<String, DiskInfo> {
    let Some((dir, names)) = names_in(path) else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for name in names.iter().filter(|name| crate::disks::is_disk(name.as_encoded_bytes())) {
        let Ok(Some(disk)) = dir.dir(name) else { continue };
        let Some((major, minor)) = crate::disks::number_of(&disk, buf) else { continue };
        let Some(sectors) = disk.attribute("size", buf).ok().flatten().and_then(scan::value) else {
            continue;
        };
        let scheduler = disk.attribute("queue/scheduler", buf).ok().flatten().and_then(in_brackets);
        let scheduler = scheduler.map_or("none".into(), String::from_utf8_lossy).into_owned();
        let info = DiskInfo {
            name: name.to_string_lossy().into_owned(),
            major: major.into(),
            minor: minor.into(),
            size: sectors.saturating_mul(512),
            scheduler,
        };
        all.insert(format!("{major}:{minor}"), info);
    }
    all
}

/// What is chosen of a list: `none [mq-deadline]`.
fn in_brackets(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = scan::split_once(bytes, b'[')?;
    Some(scan::split_once(rest, b']')?.0)
}

/// The interfaces of `/sys/class/net` but for the loopback and those that lead to containers.
fn network_devices(path: &Path, buf: &mut Buf) -> Vec<NetworkDevice> {
    let Some((dir, names)) = names_in(path) else { return Vec::new() };
    let mut all = Vec::new();
    for name in names.iter() {
        if !crate::network::Scope::Machine.counts(name.as_encoded_bytes()) {
            continue;
        }
        let Ok(Some(device)) = dir.dir(name) else { continue };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
        let Ok(Some(mac_address)) = device.attribute("address", buf).map(|bytes| bytes.map(text)) else {
            continue;
        };
        let mut number = |name: &str| device.attribute(name, buf).ok().flatten().and_then(scan::signed_value);
        let Some(mtu) = number("mtu") else { continue };
        // A link that is down has no speed.
        let speed = number("speed").unwrap_or(0);
        all.push(NetworkDevice { name: name.to_string_lossy().into_owned(), mac_address, speed, mtu });
    }
    all
}

/// A time in UTC, as the original writes it.
pub(crate) fn rfc3339(seconds: i64, nanoseconds: u32) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March end with the day that some of them lack; 400 of them have 146,097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let year = year + 400 * era;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// MemTotal and SwapTotal of `/proc/meminfo`, in bytes.
pub(crate) fn memory(proc: &Root, buf: &mut Buf) -> (Option<u64>, Option<u64>) {
    hostfs::read(proc.join("meminfo"), buf).map_or((None, None), totals)
}

fn totals(bytes: &[u8]) -> (Option<u64>, Option<u64>) {
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use testbed::shared;
    use testbed::tree::Tree;

    use super::*;

    pub(super) fn machine(top: &Path) -> Machine {
        let root = |name: &str| Root::new(top.join(name));
        let filesystems = Arc::new(Filesystems::new(&root("proc"), &root("")));
        Machine::new(&root("proc"), &root("sys"), &root(""), Settings::default(), filesystems)
    }

    pub(super) fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.file("proc/meminfo", "MemTotal:       16000 kB\nMemFree: 1 kB\nSwapTotal:      0 kB\n");
        tree.file("proc/sys/kernel/random/boot_id", "4624a9eb-a06c-4562-95a9-0ba4cee1b89b\n");
        tree.file("var/lib/dbus/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n");
        tree.file("sys/class/dmi/id/product_uuid", " 3d12-19c7\n");
        tree.file("etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
        for (dimm, kind, size) in [
            ("mc0/dimm0", "Unbuffered-DDR4", 8192),
            ("mc0/dimm1", "Unbuffered-DDR4", 8192),
            ("mc1/dimm0", "Empty", 0),
        ] {
            let dir = format!("sys/devices/system/edac/mc/{dimm}");
            tree.file(format!("{dir}/dimm_mem_type"), format!("{kind}\n"));
            tree.file(format!("{dir}/size"), format!("{size}\n"));
        }
        tree.file("sys/devices/system/edac/mc/power/x", "1\n");
        for size in ["2048kB", "1048576kB", "bad"] {
            tree.file(format!("sys/kernel/mm/hugepages/hugepages-{size}/nr_hugepages"), "3\n");
        }
        for (name, number, size) in
            [("vda", "254:0", "536870912"), ("loop0", "7:0", "1"), ("odd", "8:0", "x")]
        {
            tree.file(format!("sys/block/{name}/dev"), format!("{number}\n"));
            tree.file(format!("sys/block/{name}/size"), format!("{size}\n"));
        }
        tree.file("sys/block/vda/queue/scheduler", "none [mq-deadline] kyber\n");
        for name in ["eth0", "lo", "veth1", "docker0", "nomtu"] {
            tree.file(format!("sys/class/net/{name}/address"), "02:fc:00:00:00:01\n");
        }
        tree.file("sys/class/net/eth0/mtu", "1400\n");
        tree.file("sys/class/net/eth0/speed", "-1\n");
        tree.file("sys/class/net/bonding_masters", "\n");
        tree.file("sys/devices/system/cpu/cpu0/topology/core_id", "0\n");
        tree.file("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n");
        tree.file("proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/vda rw\n");
        tree
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn what_is_read_of_a_machine() {
        let dir = tree().unpacked();
        let info = machine(dir.path()).info(soon());
        assert_eq!((info.memory_capacity, info.swap_capacity), (Some(16_384_000), Some(0)));
        assert_eq!(info.boot_id, "4624a9eb-a06c-4562-95a9-0ba4cee1b89b");
        assert_eq!(
            (&info.machine_id[..], &info.system_uuid[..]),
            ("3d1219c7c4c5404aaa1f6d2a48adfda4", "3d12-19c7")
        );
        assert_eq!(info.os_version, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(info.memory_by_type["Unbuffered-DDR4"], MemoryInfo { capacity: 16 << 30, dimm_count: 2 });
        assert_eq!(info.memory_by_type["Empty"], MemoryInfo { capacity: 0, dimm_count: 1 });
        let pages: Vec<_> = info.hugepages.iter().map(|pages| (pages.page_size, pages.num_pages)).collect();
        assert_eq!(pages, [(1_048_576, 3), (2048, 3)]);
        let disk = DiskInfo {
            name: "vda".into(),
            major: 254,
            minor: 0,
            size: 1 << 38,
            scheduler: "mq-deadline".into(),
        };
        assert_eq!(info.disk_map, BTreeMap::from([("254:0".into(), disk)]));
        let eth0 = NetworkDevice {
            name: "eth0".into(),
            mac_address: "02:fc:00:00:00:01".into(),
            speed: -1,
            mtu: 1400,
        };
        assert_eq!(info.network_devices, [eth0]);
        assert_eq!(info.filesystems[0].device, "/dev/vda");
        assert_eq!(info.nvm, Some(NvmInfo::default()));
    }

    #[test]
    fn it_is_kept_but_for_what_changes() {
        let dir = tree().unpacked();
        let machine = machine(dir.path());
        let before = machine.hardware();
        std::fs::write(dir.path().join("var/lib/dbus/machine-id"), "other\n").unwrap();
        std::fs::write(dir.path().join("proc/meminfo"), "MemTotal: 1 kB\nSwapTotal: 2 kB\n").unwrap();
        std::fs::create_dir_all(dir.path().join("sys/bus/nd/devices/nmem0")).unwrap();
        assert!(Arc::ptr_eq(&before, &machine.hardware()));
        let info = machine.info(soon());
        assert_eq!((info.memory_capacity, &info.machine_id), (Some(1024), &before.machine_id));
        machine.known.lock().unwrap().take();
        let info = machine.info(soon());
        assert_eq!((&info.machine_id[..], &info.nvm), ("other", &None));
    }

    #[test]
    fn nothing_to_read_gives_nothing() {
        let dir = Tree::new().unpacked();
        let info = machine(dir.path()).info(soon());
        assert_eq!((info.memory_capacity, &info.machine_id[..], &info.system_uuid[..]), (None, "", ""));
        assert!(info.disk_map.is_empty() && info.filesystems.is_empty() && info.topology.is_empty());
        assert_eq!(info.os_version, "Unknown");
        assert!(!serde_json::to_string(&*info).unwrap().contains("memory_capacity"));
    }

    #[test]
    fn a_uuid_that_is_denied_is_not_replaced() {
        let mut tree = tree();
        tree.file("etc/machine-id", "installed\n");
        tree.remove("sys/class/dmi/id/product_uuid");
        let dir = tree.unpacked();
        assert_eq!(machine(dir.path()).hardware().system_uuid, "installed", "a machine without DMI");
        // A directory cannot be read either, by root neither.
        tree.dir("sys/class/dmi/id/product_uuid");
        let dir = tree.unpacked();
        assert_eq!(machine(dir.path()).hardware().system_uuid, "");
        tree.remove("sys/class/dmi/id/product_uuid");
        tree.file("proc/device-tree/vm,uuid", "12-34\0");
        let dir = tree.unpacked();
        assert_eq!(machine(dir.path()).hardware().system_uuid, "12-34");
    }

    #[test]
    fn damaged_files_cost_their_own_values() {
        let tree = tree();
        let dir = tree.unpacked();
        let whole = machine(dir.path()).hardware();
        for (path, node) in tree.iter() {
            let testbed::tree::Node::File(contents) = node else { continue };
            let file = dir.path().join(OsStr::from_bytes(path));
            let half = &contents[..contents.len() / 2];
            for damage in [
                &b""[..],
                b"\0",
                b"-1\n",
                b"99999999999999999999999\n",
                b"x:y\n",
                b"0-4294967295\n",
                b"\xff\xfe\n",
                half,
            ] {
                std::fs::write(&file, damage).unwrap();
                let info = machine(dir.path()).info(soon());
                assert!(info.num_cores <= 1 && info.num_physical_cores <= 1 && info.num_sockets <= 1);
                assert!(info.memory_capacity.is_none() || info.memory_capacity == whole.memory_capacity);
                let names: Vec<_> = info.disk_map.values().map(|disk| &disk.name[..]).collect();
                assert!(names.is_empty() || names == ["vda"] || path.starts_with(b"sys/block/"), "{names:?}");
                assert!(
                    info.network_devices.iter().all(|device| ["eth0", "nomtu"].contains(&&device.name[..]))
                );
            }
            std::fs::write(&file, contents).unwrap();
        }
    }

    #[test]
    fn a_module_without_a_size_voids_the_sums() {
        let mut tree = tree();
        tree.file("sys/devices/system/edac/mc/mc0/dimm1/size", "x\n");
        let dir = tree.unpacked();
        assert!(machine(dir.path()).hardware().memory_by_type.is_empty());
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000005Z"),
            (951_782_400, "2000-02-29T00:00:00.000000005Z"),
            (1_795_186_853, "2026-11-20T15:00:53.000000005Z"),
            (-1, "1969-12-31T23:59:59.000000005Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000005Z"),
        ] {
            assert_eq!(rfc3339(seconds, 5), text);
        }
    }

    #[test]
    fn the_originals_fields_in_its_order() {
        let dir = shared::dir().map(|dir| dir.join("fixtures/container/cgroup-v1"));
        let Some(top) = dir.filter(|dir| dir.is_dir()) else {
            return shared::skipped("the original's machine", "the shared fixtures");
        };
        let text = std::fs::read_to_string(top.join("expected-head/api-v1.3-machine.json")).unwrap();
        let mut info = MachineInfo::clone(&machine(&top.join("rootfs")).hardware());
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(expected["memory_capacity"], info.memory_capacity.unwrap());
        assert_eq!(expected["cpu_frequency_khz"], info.cpu_frequency_khz.unwrap());
        assert_eq!(expected["disk_map"]["254:0"], serde_json::to_value(&info.disk_map["254:0"]).unwrap());
        assert_eq!(
            (
                expected["num_cores"].clone(),
                expected["num_physical_cores"].clone(),
                expected["num_sockets"].clone()
            ),
            (info.num_cores.into(), info.num_physical_cores.into(), info.num_sockets.into())
        );
        // The rest is not among the recorded files.
        let core = |id: u32| Core { core_id: id, thread_ids: vec![id], ..Core::default() };
        let node = Node { memory: Some(1), cores: vec![core(0)], distances: vec![10], ..Node::default() };
        info.topology = vec![node];
        info.topology[0].hugepages = vec![HugePages::default()];
        info.hugepages = vec![HugePages::default()];
        info.filesystems = vec![FilesystemInfo::default()];
        info.network_devices = vec![NetworkDevice::default()];
        let ours = serde_json::to_string(&info).unwrap();
        let keys = |text: &str| -> Vec<String> {
            let mut keys = Vec::new();
            for part in text.split('"').collect::<Vec<_>>().windows(2).skip(1).step_by(2) {
                let is_key = part[1].trim_start().starts_with(':')
                    && part[0].bytes().all(|b| b.is_ascii_lowercase() || b" _".contains(&b));
                if is_key && !keys.contains(&part[0].to_owned()) {
                    keys.push(part[0].to_owned());
                }
            }
            keys
        };
        let (ours, theirs) = (keys(&ours), keys(&text));
        let rest = |keys: &[String]| -> Vec<String> {
            // Where there are caches depends on the machine.
            keys.iter()
                .filter(|key| !["id", "level", "major", "minor", "scheduler"].contains(&&key[..]))
                .cloned()
                .collect()
        };
        assert_eq!(rest(&ours), rest(&theirs));
    }
}
