//! Control groups: which there are, and what the kernel accounts to each, in one shape for cgroup v1, v2 and both at once.
//!
//! Sources: `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst` of the kernel. A [`Stats`] is filled by reading the files of one
//! cgroup; what the kernel does not give is `None`, never 0. Nothing of a cgroup is kept open from one reading to the next: a kept
//! descriptor would save 1.5 µs a file and cost 5 KB of kernel memory each, with some 25 files a container. A cgroup that is removed
//! while it is read is reported as gone, with nothing of it.
//!
//! `find` looks which trees there are, `walk` lists the cgroups in them, `visit` reads the files of one, `v1` and `v2` know
//! what is in these files.

mod find;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod visit;
mod walk;

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::{Names, scan};
use visit::{Kept, Stop, Visit};

/// The cgroups of one machine.
///
/// It keeps a descriptor for each tree, and what it has learnt about this kernel: which files it does not have, and which sizes of
/// huge pages. After a first round nothing is allocated but by errors.
#[derive(Debug)]
pub struct Cgroups {
    version: Version,
    controllers: Vec<String>,
    trees: Vec<Tree>,
    listed: walk::Listed,
    kept: Kept,
    sources: v1::Sources,
    /// The path of the cgroup that is looked at, relative to its tree and ended by NUL.
    name: Vec<u8>,
}

/// A mounted tree of cgroups.
#[derive(Debug)]
struct Tree {
    /// Opened with `O_PATH`.
    fd: OwnedFd,
    path: PathBuf,
    /// Whether its files are those of v2.
    unified: bool,
    /// Whether its cgroups are listed.
    is_listed: bool,
    /// Whether it is the kernel's and no copy. Then a directory's number of links is 2 and one for each directory in it, and all
    /// directories have the same files, so that from one without can be told what the kernel lacks.
    is_live: bool,
    holds: Holds,
}

/// The controllers of a tree that we read.
#[derive(Debug, Clone, Copy, Default)]
struct Holds {
    cpu: bool,
    cpuacct: bool,
    memory: bool,
    io: bool,
    pids: bool,
    cpuset: bool,
    hugetlb: bool,
    pressure: bool,
}

impl Holds {
    fn is_io_alone(&self) -> bool {
        let others =
            [self.cpu, self.cpuacct, self.memory, self.pids, self.cpuset, self.hugetlb, self.pressure];
        self.io && !others.contains(&true)
    }
}

impl Tree {
    /// Whether it has something of what is wanted.
    fn has(&self, wants: &Wants) -> bool {
        let holds = &self.holds;
        // On v2 the times are in every cgroup, whether it has the controller or not.
        (holds.cpu && (wants.cpu || wants.limits))
            || (holds.cpuacct && (wants.cpu || wants.per_cpu && !self.unified))
            || (holds.memory && (wants.memory || wants.numa || wants.limits))
            || (holds.io && wants.io)
            || (holds.pids && wants.pids)
            || (holds.cpuset && wants.cpuset)
            || (holds.hugetlb && wants.hugetlb)
            || (holds.pressure && wants.pressure)
    }
}

impl Cgroups {
    /// Which interface there is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The controllers found: v1's in alphabetical order, then v2's as the root's `cgroup.controllers` has them.
    pub fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// Fills `paths` with the paths of all cgroups, `/` first, then in bytewise order: those of all trees that hold a controller which
    /// cAdvisor reads. Left out are units of mounts (`*.mount`), which have nothing to tell; a cgroup that has left one of the trees since
    /// the last time, which is being removed; what lies more than 64 cgroups deep, or has a path that is longer than the kernel takes.
    ///
    /// # Errors
    /// A tree cannot be read, or has more than 100,000 cgroups.
    pub fn list(&mut self, paths: &mut Names) -> Result<()> {
        paths.clear();
        self.listed.begin();
        let mut listed = 0;
        for (i, tree) in self.trees.iter().enumerate() {
            if tree.is_listed {
                listed |= 1 << i;
                self.listed.walk(i, tree).inspect_err(|_| self.listed.forget())?;
            }
        }
        self.listed.finish(listed, paths);
        Ok(())
    }

    /// Reads one cgroup. `false` if it is gone, or went while it was read: then `stats` holds nothing. What a controller would tell
    /// that this cgroup is not under is `None`.
    ///
    /// # Errors
    /// The process or the system has no more descriptors or memory.
    pub fn read(&mut self, path: &[u8], wants: &Wants, stats: &mut Stats) -> Result<bool> {
        stats.clear();
        let done = self.read_trees(path, wants, stats);
        if !matches!(done, Ok(true)) {
            stats.clear();
        }
        match done {
            Ok(found) => Ok(found),
            Err(Stop::Gone) => Ok(false),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn read_trees(&mut self, path: &[u8], wants: &Wants, stats: &mut Stats) -> Result<bool, Stop> {
        if !place(&mut self.name, path) {
            return Ok(false);
        }
        self.kept.renew();
        let mut found = false;
        for (i, tree) in self.trees.iter().enumerate() {
            if !tree.has(wants) {
                continue;
            }
            if tree.holds.is_io_alone() && !tree.unified && self.sources.are_idle(self.kept.now) {
                continue;
            }
            let name = c_str(&self.name);
            let Some(dir) = visit::open(&tree.fd, name).map_err(|errno| failed(tree, &self.name, errno))?
            else {
                // It was in this tree, and is being removed from one after the other.
                if self.listed.trees_of(path) & (1 << i) != 0 {
                    if !tree.is_listed {
                        self.listed.note_unlisted(path, i, false);
                    }
                    return Err(Stop::Gone);
                }
                continue;
            };
            found = true;
            if !tree.is_listed {
                self.listed.note_unlisted(path, i, true);
            }
            let mut visit = Visit::new(&dir, tree, name, &mut self.kept);
            if tree.unified {
                v2::read(&mut visit, tree.holds, wants, stats)?;
            } else {
                v1::read(&mut visit, tree.holds, wants, &mut self.sources, stats)?;
            }
            visit.leave()?;
        }
        if !found {
            // It may be in a tree alone that has nothing of what is wanted.
            let name = c_str(&self.name);
            found = self.trees.iter().any(|tree| matches!(visit::open(&tree.fd, name), Ok(Some(_))));
        }
        Ok(found)
    }

    /// The processes in this cgroup alone, in the kernel's order; one that is in no PID namespace of ours is 0. `false` if the cgroup is
    /// gone, or has no list to give: the processes of a threaded cgroup (v2) are in the one above it.
    ///
    /// # Errors
    /// As [`read`](Self::read); or the list is longer than a megabyte.
    pub fn processes(&mut self, path: &[u8], pids: &mut Vec<u32>) -> Result<bool> {
        pids.clear();
        if !place(&mut self.name, path) {
            return Ok(false);
        }
        let first = self.trees.iter().position(|tree| tree.holds.cpu).unwrap_or(0);
        let others = (0..self.trees.len()).filter(|&i| i != first);
        for tree in std::iter::once(first).chain(others).map(|i| &self.trees[i]) {
            let name = c_str(&self.name);
            let failed = |errno| Error::os(tree.path.join(visit::as_path(name)), errno);
            let Some(dir) = visit::open(&tree.fd, name).map_err(failed)? else { continue };
            return match Visit::new(&dir, tree, name, &mut self.kept).list("cgroup.procs") {
                Ok(None) | Err(Stop::Gone) => Ok(false),
                Ok(Some(text)) => {
                    let ids = scan::lines(text).filter_map(scan::unsigned);
                    pids.extend(ids.filter_map(|id| u32::try_from(id).ok()));
                    Ok(true)
                }
                Err(Stop::Failed(error)) => Err(error),
            };
        }
        Ok(false)
    }

    /// When it was created, in seconds since 1970: the oldest of the modification times of its directories, and of
    /// `cgroup.clone_children` (v1) or `cgroup.events` (v2) in them, since a directory's moves on when a cgroup is made in it.
    /// `None` if it is gone.
    pub fn created(&mut self, path: &[u8]) -> Option<f64> {
        if !place(&mut self.name, path) {
            return None;
        }
        let mut oldest: Option<f64> = None;
        for tree in self.trees.iter().filter(|tree| tree.is_listed) {
            let Ok(Some(dir)) = visit::open(&tree.fd, c_str(&self.name)) else { continue };
            let file = if tree.unified { c"cgroup.events" } else { c"cgroup.clone_children" };
            let times = [
                rustix::fs::fstat(&dir),
                rustix::fs::statat(&dir, file, rustix::fs::AtFlags::SYMLINK_NOFOLLOW),
            ];
            for stat in times.into_iter().flatten() {
                #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
                let time = stat.st_mtime as i64 as f64 + stat.st_mtime_nsec as i64 as f64 / 1e9;
                oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
            }
        }
        oldest
    }
}

/// Writes a cgroup's path as one that is relative to its tree; `false` if no cgroup can have it.
fn place(name: &mut Vec<u8>, path: &[u8]) -> bool {
    name.clear();
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    let path = &path[start..];
    if path.contains(&0) || path.split(|&b| b == b'/').any(|part| part == b"..") {
        return false;
    }
    name.extend_from_slice(if path.is_empty() { b"." } else { path });
    name.push(0);
    true
}

/// The name that [`place`] has written.
fn c_str(name: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(name).unwrap_or(c"")
}

fn failed(tree: &Tree, name: &[u8], errno: rustix::io::Errno) -> Stop {
    Stop::Failed(Error::os(tree.path.join(visit::as_path(c_str(name))), errno))
}

/// Which of the kernel's two interfaces a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller, or for a few together.
    V1,
    /// One hierarchy for all.
    V2,
    /// Controllers in v1 hierarchies, and a v2 tree beside them, below `unified`, from which pressure is read.
    Hybrid,
}

/// What is to be read. What is not wanted stays `None` or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// CPU times and throttling.
    pub cpu: bool,
    /// CPU time by CPU, which only v1 has.
    pub per_cpu: bool,
    /// Memory in use, its parts and its events.
    pub memory: bool,
    /// Memory by NUMA node.
    pub numa: bool,
    /// Bytes and operations by block device.
    pub io: bool,
    /// Number of tasks and its limit.
    pub pids: bool,
    /// Huge pages by size.
    pub hugetlb: bool,
    /// Pressure stall information.
    pub pressure: bool,
    /// Whether memory moves with the task between nodes, and the CPUs allowed.
    pub cpuset: bool,
    /// Limits: shares, quota, memory.
    pub limits: bool,
}

impl Wants {
    /// All there is.
    pub const ALL: Wants = Wants {
        cpu: true,
        per_cpu: true,
        memory: true,
        numa: true,
        io: true,
        pids: true,
        hugetlb: true,
        pressure: true,
        cpuset: true,
        limits: true,
    };
}

/// One reading of one cgroup.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// CPU time and throttling.
    pub cpu: Cpu,
    /// Memory in use and its events.
    pub memory: Memory,
    /// By block device, in order of number.
    pub io: Vec<Device>,
    /// Waiting for the CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Waiting for memory.
    pub memory_pressure: Option<Pressure>,
    /// Waiting for block devices.
    pub io_pressure: Option<Pressure>,
    /// Tasks, which are threads: v1 pids and v2 `pids.current`.
    pub pids: Option<u64>,
    /// The most tasks; `u64::MAX` for no limit.
    pub pids_max: Option<u64>,
    /// Huge pages by size, in order of size.
    pub hugetlb: Vec<HugePages>,
    /// `cpuset.memory_migrate`, v1 only.
    pub memory_migrate: Option<u64>,
    /// What it may use.
    pub limits: Limits,
}

impl Stats {
    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        let mut old = std::mem::take(self);
        old.io.clear();
        old.hugetlb.clear();
        old.cpu.per_cpu_ns.clear();
        old.memory.numa.clear();
        old.limits.cpus.clear();
        self.io = old.io;
        self.hugetlb = old.hugetlb;
        self.cpu.per_cpu_ns = old.cpu.per_cpu_ns;
        self.memory.numa = old.memory.numa;
        self.limits.cpus = old.limits.cpus;
    }
}

/// CPU time of a cgroup and those below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cpu {
    /// All, in nanoseconds: v1 `cpuacct.usage`, v2 `cpu.stat` usage_usec.
    pub usage_ns: Option<u64>,
    /// In user mode, in nanoseconds: v1 `cpuacct.stat` in ticks of 10 ms, v2 `cpu.stat` user_usec.
    pub user_ns: Option<u64>,
    /// In the kernel, in nanoseconds.
    pub system_ns: Option<u64>,
    /// By CPU, in nanoseconds: v1 `cpuacct.usage_percpu`; empty on v2. Where it is wanted, all is the sum of it.
    pub per_cpu_ns: Vec<u64>,
    /// Enforcement periods that have passed: `cpu.stat` nr_periods. On v1 this and what follows is not read where the limits are and say
    /// that there is no quota: then no period passes.
    pub periods: Option<u64>,
    /// Periods in which the quota was used up.
    pub throttled_periods: Option<u64>,
    /// Time spent throttled, in nanoseconds.
    pub throttled_ns: Option<u64>,
    /// Periods in which more than the quota was used, on credit: nr_bursts.
    pub bursts: Option<u64>,
    /// Time used on credit, in nanoseconds.
    pub burst_ns: Option<u64>,
}

/// Memory of a cgroup and those below it, in bytes but where noted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// In use: v1 `memory.usage_in_bytes`, v2 `memory.current` (for the root: anon + file).
    pub usage: Option<u64>,
    /// The most in use so far: v1 `memory.max_usage_in_bytes`, v2 `memory.peak`.
    pub max_usage: Option<u64>,
    /// Times that the limit was hit: v1 `memory.failcnt`, v2 `memory.events` max.
    pub failcnt: Option<u64>,
    /// Of the kernel: v1 `memory.kmem.usage_in_bytes`, v2 `memory.stat` kernel.
    pub kernel: Option<u64>,
    /// Anonymous: v1 total_rss, v2 anon.
    pub rss: Option<u64>,
    /// Page cache: v1 total_cache, v2 file.
    pub cache: Option<u64>,
    /// Mapped files: v1 total_mapped_file, v2 file_mapped.
    pub mapped_file: Option<u64>,
    /// In swap: v1 total_swap, v2 `memory.swap.current`, which its root does not have.
    pub swap: Option<u64>,
    /// File pages used of late: v1 total_active_file, v2 active_file.
    pub active_file: Option<u64>,
    /// File pages not used of late.
    pub inactive_file: Option<u64>,
    /// File pages to be written: v1 total_dirty, v2 file_dirty.
    pub file_dirty: Option<u64>,
    /// File pages being written.
    pub file_writeback: Option<u64>,
    /// Page faults, a number: v1 total_pgfault, v2 pgfault.
    pub pgfault: Option<u64>,
    /// Page faults that had to read, a number.
    pub pgmajfault: Option<u64>,
    /// v1 only: page faults of this cgroup without those below it, a number.
    pub own_pgfault: Option<u64>,
    /// v1 only, as above, that had to read.
    pub own_pgmajfault: Option<u64>,
    /// Pages looked at by reclaim, a number; v2 only.
    pub pgscan: Option<u64>,
    /// Pages reclaimed, a number; v2 only.
    pub pgsteal: Option<u64>,
    /// File pages read back soon after they were reclaimed, a number: v1 total_workingset_refault_file.
    pub refault_file: Option<u64>,
    /// Anonymous pages read back soon after they were reclaimed, a number.
    pub refault_anon: Option<u64>,
    /// Numbers of events.
    pub events: MemoryEvents,
    /// Pages by NUMA node; v1 `memory.numa_stat`, v2 `memory.numa_stat` in bytes over the page size.
    pub numa: Vec<NumaPages>,
}

impl Memory {
    /// What is in use less the file pages not used of late, at least 0: what the kernel would not readily give up. `None` unless both
    /// are known: what is in use alone would be another thing under this name.
    pub fn working_set(&self) -> Option<u64> {
        Some(self.usage?.saturating_sub(self.inactive_file?))
    }
}

/// How often memory limits had consequences: v2 `memory.events`; v1 has oom_kill alone, in `memory.oom_control`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// Reclaimed although below `memory.low`.
    pub low: Option<u64>,
    /// Throttled above `memory.high`.
    pub high: Option<u64>,
    /// About to go over `memory.max`.
    pub max: Option<u64>,
    /// Allocations about to fail at the limit.
    pub oom: Option<u64>,
    /// Processes killed by the OOM killer.
    pub oom_kill: Option<u64>,
    /// Times that all of it was killed.
    pub oom_group_kill: Option<u64>,
}

/// Pages on one NUMA node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumaPages {
    /// The node's number.
    pub node: u32,
    /// File, anonymous and unevictable pages of this cgroup alone; `None` on v2.
    pub own: Option<[u64; 3]>,
    /// The same with those of the cgroups below.
    pub hierarchy: [u64; 3],
}

/// What a cgroup did with one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Device {
    /// The device's number.
    pub major: u32,
    /// The device's number.
    pub minor: u32,
    /// Bytes: v1 `blkio.*io_service_bytes*`, v2 `io.stat` rbytes, wbytes, dbytes.
    pub bytes: Operations,
    /// Operations: v1 `blkio.*io_serviced*`, v2 rios, wios, dios.
    pub count: Operations,
    /// Requests merged, v1 with BFQ's or CFQ's statistics only.
    pub merged: Operations,
    /// Time in the device, in nanoseconds, as above.
    pub service_ns: Operations,
    /// Requests in the queue now, as above.
    pub queued: Operations,
    /// Sectors of 512 bytes, as above.
    pub sectors: Option<u64>,
    /// `io.cost` of v2, in microseconds: usage, wait, indebt, indelay.
    pub cost_us: [Option<u64>; 4],
}

/// Numbers by kind of operation. v2 has read, write and discard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's own words")]
pub struct Operations {
    pub read: Option<u64>,
    pub write: Option<u64>,
    pub sync: Option<u64>,
    pub r#async: Option<u64>,
    pub discard: Option<u64>,
    pub total: Option<u64>,
}

/// Pressure stall information: `Documentation/accounting/psi.rst`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Some task waited.
    pub some: Stall,
    /// All tasks waited. Missing for the CPU before Linux 5.13.
    pub full: Option<Stall>,
}

/// A line of a pressure file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    /// All time so far, in microseconds.
    pub total_us: u64,
    /// Percent of the last 10, 60 and 300 seconds.
    pub average: [f64; 3],
}

/// Huge pages of one size, in bytes but where noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HugePages {
    /// As the kernel writes it: `2MB`, `1GB`.
    pub size: Arc<str>,
    /// In use: `.current` or `.usage_in_bytes`, of reservations (`.rsvd`) where the kernel counts them.
    pub usage: Option<u64>,
    /// The most in use so far; v1 only.
    pub max_usage: Option<u64>,
    /// Times that the limit was hit, a number.
    pub failcnt: Option<u64>,
}

/// What a cgroup may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Weight of CPU time in v1's measure, in which 1024 is the default; from `cpu.weight` on v2.
    pub cpu_shares: Option<u64>,
    /// CPU time in each period, in microseconds; `None` for no limit too.
    pub cpu_quota_us: Option<u64>,
    /// The period, in microseconds.
    pub cpu_period_us: Option<u64>,
    /// CPUs allowed, as the kernel lists them: `0-3,8`.
    pub cpus: String,
    /// Memory, in bytes; `u64::MAX` for no limit.
    pub memory: Option<u64>,
    /// Memory and swap together on v1, swap alone on v2, in bytes; `u64::MAX` for no limit.
    pub swap: Option<u64>,
    /// Memory that is spared from reclaim: v1 `memory.soft_limit_in_bytes`, v2 `memory.low`, in bytes; `u64::MAX` for no limit.
    pub reservation: Option<u64>,
}
