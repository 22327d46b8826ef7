//! The processes of a cgroup: how many, what they hold open, and what the scheduler says of them, from `/proc/<pid>/`.

use std::collections::HashMap;

use hostfs::Root;

/// Reads processes.
#[derive(Debug)]
pub struct Processes {}

/// What is to be read. What is not wanted is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Entries of `fd`, and which are sockets.
    pub descriptors: bool,
    /// The first process's `limits`.
    pub limits: bool,
    /// `schedstat`.
    pub schedstat: bool,
    /// `smaps`, which is expensive.
    pub referenced: bool,
    /// The state in `stat`.
    pub states: bool,
}

/// One reading of the processes of one cgroup. Kept from scrape to scrape: it remembers processes that have ended.
#[derive(Debug, Default)]
pub struct Stats {
    /// Processes.
    pub processes: u64,
    /// Open descriptors; `None` unless every process's could be seen.
    pub descriptors: Option<u64>,
    /// Sockets among them.
    pub sockets: Option<u64>,
    /// Time on CPUs and waiting for one, of processes that have ended too.
    pub schedule: Option<Schedule>,
    /// The first process's soft limit on open descriptors.
    pub open_files_limit: Option<Limit>,
    /// Memory referenced, in bytes.
    pub referenced: Option<u64>,
    /// How many are in which state.
    pub states: Option<States>,
    alive: HashMap<u32, Schedule>,
}

/// A limit of setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most so many.
    At(u64),
    /// No limit.
    Unlimited,
}

/// What `/proc/<pid>/schedstat` says, see the kernel's `Documentation/scheduler/sched-stats.rst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// On a CPU, in nanoseconds.
    pub run_ns: u64,
    /// Ready, and waiting for a CPU, in nanoseconds.
    pub queue_ns: u64,
    /// How often it was put on a CPU.
    pub periods: u64,
}

/// Processes by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the values of the label `state`")]
pub struct States {
    pub sleeping: u64,
    pub running: u64,
    pub stopped: u64,
    pub uninterruptible: u64,
    pub iowaiting: u64,
}

/// A line of a process table.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Process {
    /// The user's name on the host, else the number.
    pub user: String,
    /// Process id.
    pub pid: u32,
    /// Its parent.
    #[serde(rename = "parent_pid")]
    pub parent: u32,
    /// When it started, in seconds since 1970.
    #[serde(skip)]
    pub start: Option<f64>,
    /// CPU time over its life, in percent of one CPU.
    pub percent_cpu: f64,
    /// Resident, in percent of the machine's memory.
    pub percent_mem: f64,
    /// Resident, in bytes.
    pub rss: u64,
    /// Virtual, in bytes.
    pub virtual_size: u64,
    /// The kernel's letter: `S`, `R`, `D`.
    pub status: String,
    /// User and system time, in seconds.
    #[serde(skip)]
    pub cpu_seconds: f64,
    /// The command's name; never its arguments.
    #[serde(rename = "cmd")]
    pub command: String,
}

impl Processes {
    /// Takes the roots that stand for `/proc` and `/`; nothing is read yet.
    pub fn new(_proc: &Root, _rootfs: &Root) -> Self {
        unimplemented!()
    }

    /// Reads what is wanted of the processes `pids`, all of one cgroup; `first` is the container's first process, where it is known.
    pub fn read(&mut self, _pids: &[u32], _first: Option<u32>, _wants: Wants, _stats: &mut Stats) {}

    /// The process table of the processes `pids`, in their order; those that have ended are left out.
    pub fn table(&mut self, _pids: &[u32]) -> Vec<Process> {
        unimplemented!()
    }
}
