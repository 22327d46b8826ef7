//! The processes of a cgroup: how many, what they hold open, and what the scheduler says of them, from `/proc/<pid>/`, see
//! proc_pid(5).
//!
//! The files of one process are opened relative to one descriptor of its directory, which belongs to that process and not to its
//! number, and is closed before the next process is looked at. A process that ends meanwhile is left out. What the kernel
//! shows to the owner alone (descriptors, mappings) makes a sum only if every process could be looked into: else it is absent.
//! Command lines are read nowhere: they hold secrets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;

use hostfs::{Buf, Dir, Errno, Root, scan};
use serde::Serialize;

/// Reads processes.
#[derive(Debug)]
pub struct Processes {
    directories: Directories,
    proc: Root,
    rootfs: Root,
    buf: Buf,
    link: Vec<u8>,
    round: u64,
}

/// What is to be read. What is not wanted is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Entries of `fd`, and which are sockets.
    pub descriptors: bool,
    /// The first process's `limits`.
    pub limits: bool,
    /// `schedstat`.
    pub schedstat: bool,
    /// `smaps_rollup`, for which the kernel walks all the memory of a process.
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
    /// Memory referenced, in bytes; `None` unless every process's could be seen.
    pub referenced: Option<u64>,
    /// How many are in which state.
    pub states: Option<States>,
    /// By pid: what it last said, and in which round.
    alive: HashMap<u32, (Schedule, u64)>,
    /// The sum of those that have ended.
    ended: Schedule,
}

/// A limit of setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most so many.
    At(u64),
    /// No limit.
    Unlimited,
}

/// What `/proc/<pid>/schedstat` says, see the kernel's `Documentation/scheduler/sched-stats.rst`: of the first thread, as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// On a CPU, in nanoseconds.
    pub run_ns: u64,
    /// Ready, and waiting for a CPU, in nanoseconds.
    pub queue_ns: u64,
    /// How often it was put on a CPU.
    pub periods: u64,
}

impl Schedule {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = scan::fields(scan::lines(bytes).next()?);
        let mut next = || fields.next_u64();
        Some(Schedule { run_ns: next()?, queue_ns: next()?, periods: next()? })
    }

    fn add(&mut self, other: Schedule) {
        self.run_ns = self.run_ns.saturating_add(other.run_ns);
        self.queue_ns = self.queue_ns.saturating_add(other.queue_ns);
        self.periods = self.periods.saturating_add(other.periods);
    }

    /// Whether the same process may have said this before `later`: its numbers only rise.
    fn precedes(&self, later: &Schedule) -> bool {
        self.run_ns <= later.run_ns && self.queue_ns <= later.queue_ns && self.periods <= later.periods
    }
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

impl States {
    /// As the kernel's `cgroupstats` counts: other states (zombies, idle kernel threads) are in none.
    fn count(&mut self, state: u8) {
        let place = match state {
            b'S' => &mut self.sleeping,
            b'R' => &mut self.running,
            b'T' | b't' => &mut self.stopped,
            b'D' => &mut self.uninterruptible,
            _ => return,
        };
        *place += 1;
    }
}

/// A line of a process table, serialized as the original's `/api/v2.0/ps` but for its times.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    pub fn new(proc: &Root, rootfs: &Root) -> Self {
        Processes {
            directories: Directories::new(proc),
            proc: proc.clone(),
            rootfs: rootfs.clone(),
            buf: Buf::new(),
            link: Vec::new(),
            round: 0,
        }
    }

    /// Reads what is wanted of the processes `pids`, all of one cgroup; `first` is the container's first process, where it is known.
    pub fn read(&mut self, pids: &[u32], first: Option<u32>, wants: Wants, stats: &mut Stats) {
        stats.processes = pids.len() as u64;
        (stats.descriptors, stats.sockets) = (wants.descriptors.then_some(0), wants.descriptors.then_some(0));
        stats.referenced = wants.referenced.then_some(0);
        stats.states = wants.states.then(States::default);
        (stats.schedule, stats.open_files_limit) = (None, None);
        self.round += 1;
        let Wants { descriptors, limits, schedstat, referenced, states } = wants;
        let mut has_schedules = schedstat;
        let mut seen = 0;
        if descriptors || schedstat || referenced || states {
            for &pid in pids {
                let Some(dir) = self.directories.open(pid) else { continue };
                seen += 1;
                if descriptors {
                    self.count_descriptors(&dir, stats);
                }
                if schedstat {
                    has_schedules &= self.note_schedule(&dir, pid, stats);
                }
                if referenced {
                    stats.referenced =
                        self.referenced(&dir).zip(stats.referenced).map(|(a, b)| a.saturating_add(b));
                }
                if let Some(states) = &mut stats.states
                    && let Ok(Some(bytes)) = dir.attribute("stat", &mut self.buf)
                    && let Some(stat) = Stat::parse(bytes)
                {
                    states.count(stat.state);
                }
            }
        }
        // That all of them have just ended is less likely than that they are hidden: proc(5), hidepid.
        if seen == 0 && !pids.is_empty() {
            (stats.descriptors, stats.sockets, stats.referenced, stats.states) = (None, None, None, None);
            has_schedules = false;
        }
        if schedstat {
            let Stats { alive, ended, schedule, .. } = stats;
            let mut sum = *ended;
            alive.values().for_each(|(last, _)| sum.add(*last));
            *schedule = has_schedules.then_some(sum);
            let round = self.round;
            alive.retain(|_, (last, seen)| {
                let is_alive = *seen == round;
                if !is_alive {
                    ended.add(*last);
                }
                is_alive
            });
        }
        if limits && let Some(dir) = first.and_then(|pid| self.directories.open(pid)) {
            stats.open_files_limit =
                dir.attribute("limits", &mut self.buf).ok().flatten().and_then(open_files_limit);
        }
    }

    /// Adds the open descriptors of one process; if they cannot be seen, there is no sum.
    fn count_descriptors(&mut self, dir: &Dir, stats: &mut Stats) {
        let (Some(descriptors), Some(sockets)) = (&mut stats.descriptors, &mut stats.sockets) else { return };
        let link = &mut self.link;
        let counted = match dir.dir("fd") {
            Ok(Some(fds)) => {
                let mut is_whole = true;
                let listed = fds.each_name(|name, _| {
                    if !is_whole {
                        // One that is hidden is enough to know that there is no sum, and the next would cost as much.
                        return;
                    }
                    *descriptors += 1;
                    match fds.link_into(OsStr::from_bytes(name), link) {
                        Ok(true) => *sockets += u64::from(link.starts_with(b"socket:")),
                        Ok(false) => {}
                        Err(_) => is_whole = false,
                    }
                });
                listed.map_or_else(|error| error.is_gone(), |()| is_whole)
            }
            Ok(None) => true,
            Err(_) => false,
        };
        if !counted {
            (stats.descriptors, stats.sockets) = (None, None);
        }
    }

    /// Notes one process's scheduling; false if the kernel does not say.
    fn note_schedule(&mut self, dir: &Dir, pid: u32, stats: &mut Stats) -> bool {
        let now = match dir.read("schedstat", &mut self.buf) {
            Ok(bytes) => Schedule::parse(bytes),
            // An ended process is gone; a kernel without this file has it for no process, this one included.
            Err(error) if error.is_gone() && dir.stamp("stat").is_err() => return true,
            Err(_) => None,
        };
        let Some(now) = now else {
            // It has not ended, and must not count as one that has and as one that lives when it is read again.
            if let Some((_, seen)) = stats.alive.get_mut(&pid) {
                *seen = self.round;
            }
            return false;
        };
        let last = stats.alive.insert(pid, (now, self.round));
        if let Some((last, _)) = last.filter(|(last, _)| !last.precedes(&now)) {
            // Another process has the number.
            stats.ended.add(last);
        }
        true
    }

    /// What one process has referenced, in bytes: 0 if it is gone, `None` if it cannot be seen.
    fn referenced(&mut self, dir: &Dir) -> Option<u64> {
        const MOST: usize = 32 << 20;
        let sum = |bytes: &[u8]| {
            let kilobytes = scan::lines(bytes).filter_map(|line| {
                let mut fields = scan::fields(line.strip_prefix(b"Referenced:")?);
                fields.next_u64()
            });
            kilobytes.fold(0u64, u64::saturating_add).saturating_mul(1024)
        };
        // The sums over all mappings, since Linux 4.14.
        match dir.read("smaps_rollup", &mut self.buf) {
            Ok(bytes) => return Some(sum(bytes)),
            // It has no memory: a kernel thread, or a process that has ended and waits for its parent.
            Err(error) if error.errno() == Some(Errno::SRCH) => return Some(0),
            Err(error) if !error.is_gone() => return None,
            Err(_) => {}
        }
        // Before that a paragraph for each mapping.
        match dir.records("smaps", 0, MOST, &mut self.buf) {
            Ok(Some(bytes)) => Some(sum(bytes)),
            Ok(None) => dir.stamp("stat").is_err().then_some(0),
            Err(_) => None,
        }
    }

    /// The process table of the processes `pids`, in their order; those that have ended are left out.
    pub fn table(&mut self, pids: &[u32]) -> Vec<Process> {
        let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
        let page = hostfs::sys::page_size();
        let mut buf = Buf::new();
        let users = Users::read(&self.rootfs, &mut buf);
        let uptime = hostfs::read(self.proc.join("uptime"), &mut buf)
            .ok()
            .and_then(|bytes| scan::float(scan::fields(bytes).next()?));
        let booted = hostfs::read(self.proc.join("stat"), &mut buf)
            .ok()
            .and_then(|bytes| scan::lines(bytes).find_map(|line| scan::value(line.strip_prefix(b"btime ")?)));
        let memory = crate::machine::memory(&self.proc, &mut buf).0;
        let mut processes = Vec::with_capacity(pids.len());
        for &pid in pids {
            let Some(dir) = self.directories.open(pid) else { continue };
            let Ok(Some(bytes)) = dir.attribute("stat", &mut self.buf) else { continue };
            let Some(stat) = Stat::parse(bytes) else { continue };
            let command = String::from_utf8_lossy(stat.command).into_owned();
            let Stat { state, parent, start, cpu_ticks, virtual_size, rss_pages, .. } = stat;
            let user = dir.attribute("status", &mut self.buf).ok().flatten().and_then(effective_user);
            let start_seconds = start as f64 / ticks;
            let age = uptime.map(|uptime| uptime - start_seconds).filter(|age| *age > 0.0);
            let cpu_seconds = cpu_ticks as f64 / ticks;
            let rss = rss_pages.saturating_mul(page);
            processes.push(Process {
                user: user.map_or_else(String::new, |number| users.name(number)),
                pid,
                parent,
                start: booted.map(|booted| booted as f64 + start_seconds),
                percent_cpu: age.map_or(0.0, |age| 100.0 * cpu_seconds / age),
                percent_mem: memory.filter(|&all| all > 0).map_or(0.0, |all| 100.0 * rss as f64 / all as f64),
                rss,
                virtual_size,
                status: char::from(state).to_string(),
                cpu_seconds,
                command,
            });
        }
        processes
    }
}

/// Opens the directories of processes without allocating.
#[derive(Debug)]
pub(crate) struct Directories {
    base: usize,
    path: Vec<u8>,
}

impl Directories {
    pub(crate) fn new(proc: &Root) -> Self {
        let mut path = proc.path().as_os_str().as_bytes().to_vec();
        path.push(b'/');
        Directories { base: path.len(), path }
    }

    /// `/proc/<pid>`; `None` if there is no such process, or if it is hidden. To be dropped before the scrape ends.
    pub(crate) fn open(&mut self, pid: u32) -> Option<Dir> {
        self.path.truncate(self.base);
        write!(self.path, "{pid}").ok()?;
        Dir::open(OsStr::from_bytes(&self.path)).ok()
    }
}

/// What is used of `/proc/<pid>/stat`, see proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat<'a> {
    pub command: &'a [u8],
    pub state: u8,
    pub parent: u32,
    /// User and system time.
    pub cpu_ticks: u64,
    /// Since the machine's start.
    pub start: u64,
    /// In bytes.
    pub virtual_size: u64,
    pub rss_pages: u64,
}

impl<'a> Stat<'a> {
    /// The command's name may hold any bytes, parentheses and newlines too; nothing behind it does.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_suffix(b"\n")?;
        let open = bytes.iter().position(|&b| b == b'(')?;
        let close = bytes.iter().rposition(|&b| b == b')')?;
        let mut fields = scan::fields(&bytes[close + 1..]);
        let state = match fields.next()? {
            [state] if state.is_ascii_alphabetic() => *state,
            _ => return None,
        };
        let parent = u32::try_from(fields.next_u64()?).ok()?;
        let user = scan::unsigned(fields.nth(9)?)?;
        let system = fields.next_u64()?;
        let start = scan::unsigned(fields.nth(6)?)?;
        let (virtual_size, rss_pages) = (fields.next_u64()?, fields.next_u64()?);
        let command = bytes.get(open + 1..close)?;
        let cpu_ticks = user.saturating_add(system);
        Some(Stat { command, state, parent, cpu_ticks, start, virtual_size, rss_pages })
    }
}

/// The line of `limits` for open files: soft limit, hard limit, unit.
fn open_files_limit(bytes: &[u8]) -> Option<Limit> {
    let line = scan::lines(bytes).find_map(|line| line.strip_prefix(b"Max open files"))?;
    match scan::fields(line).next()? {
        b"unlimited" => Some(Limit::Unlimited),
        number => scan::unsigned(number).map(Limit::At),
    }
}

/// The second number of the line `Uid:` of `status`.
fn effective_user(bytes: &[u8]) -> Option<u32> {
    let line = scan::lines(bytes).find_map(|line| line.strip_prefix(b"Uid:"))?;
    scan::unsigned(scan::fields(line).nth(1)?)?.try_into().ok()
}

/// The users of the host's `/etc/passwd`.
struct Users {
    names: HashMap<u32, String>,
}

impl Users {
    fn read(rootfs: &Root, buf: &mut Buf) -> Self {
        let mut names = HashMap::new();
        for line in hostfs::read(rootfs.join("etc/passwd"), buf).map(scan::lines_loose).into_iter().flatten()
        {
            let mut fields = line.split(|&b| b == b':');
            let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
            let Some(number) = scan::unsigned(number).and_then(|number| number.try_into().ok()) else {
                continue;
            };
            names.entry(number).or_insert_with(|| String::from_utf8_lossy(name).into_owned());
        }
        Users { names }
    }

    fn name(&self, number: u32) -> String {
        self.names.get(&number).cloned().unwrap_or_else(|| number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use testbed::tree::Tree;

    use super::*;

    const ALL: Wants =
        Wants { descriptors: true, limits: true, schedstat: true, referenced: true, states: true };

    fn stat(pid: u32, command: &str, state: char, start: u64) -> String {
        format!(
            "{pid} ({command}) {state} 7 1 1 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 {start} 2322432 400 18446744073709551615 1 1 0 0\n"
        )
    }

    fn tree() -> Tree {
        let mut tree = Tree::new();
        for (pid, state, sched) in [(10, 'S', "100 20 3\n"), (11, 'R', "1000 200 30\n"), (12, 'D', "5 5 5\n")]
        {
            tree.file(format!("proc/{pid}/stat"), stat(pid, "sleep", state, 4000));
            tree.file(format!("proc/{pid}/schedstat"), sched);
            tree.file(
                format!("proc/{pid}/smaps_rollup"),
                "55a0-7ff [rollup]\nRss: 900 kB\nReferenced:  {pid} kB\nReferenced:           10 kB\n",
            );
            tree.link(format!("proc/{pid}/fd/0"), "/dev/null");
            tree.link(format!("proc/{pid}/fd/1"), format!("socket:[{pid}]"));
            tree.link(format!("proc/{pid}/fd/2"), "/socket");
        }
        tree.file("proc/10/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files     \n");
        tree
    }

    fn setup(tree: &Tree) -> (tempfile::TempDir, Processes) {
        let dir = tree.unpacked();
        let processes = Processes::new(&Root::new(dir.path().join("proc")), &Root::new(dir.path()));
        (dir, processes)
    }

    #[test]
    fn sums_over_the_processes_of_a_cgroup() {
        let (_dir, mut processes) = setup(&tree());
        let mut stats = Stats::default();
        for _ in 0..2 {
            processes.read(&[10, 11, 12], Some(10), ALL, &mut stats);
            assert_eq!((stats.processes, stats.descriptors, stats.sockets), (3, Some(9), Some(3)));
            assert_eq!(stats.schedule, Some(Schedule { run_ns: 1105, queue_ns: 225, periods: 38 }));
            assert_eq!(stats.open_files_limit, Some(Limit::At(1024)));
            assert_eq!(stats.referenced, Some(3 * 10 * 1024));
            let states = States { sleeping: 1, running: 1, uninterruptible: 1, ..States::default() };
            assert_eq!(stats.states, Some(states));
        }
        processes.read(&[10, 11, 12], Some(10), Wants::default(), &mut stats);
        assert_eq!((stats.processes, stats.descriptors, stats.sockets), (3, None, None));
        assert_eq!((stats.schedule, stats.referenced, stats.states), (None, None, None));
    }

    #[test]
    fn what_ended_processes_ran_is_kept() {
        let (dir, mut processes) = setup(&tree());
        let mut stats = Stats::default();
        let wants = Wants { schedstat: true, ..Wants::default() };
        processes.read(&[10, 11], None, wants, &mut stats);
        std::fs::remove_dir_all(dir.path().join("proc/11")).unwrap();
        for _ in 0..3 {
            processes.read(&[10], None, wants, &mut stats);
            assert_eq!(stats.schedule, Some(Schedule { run_ns: 1100, queue_ns: 220, periods: 33 }));
        }
        // Another process with the number of the first.
        std::fs::write(dir.path().join("proc/10/schedstat"), "7 1 1\n").unwrap();
        processes.read(&[10], None, wants, &mut stats);
        assert_eq!(stats.schedule, Some(Schedule { run_ns: 1107, queue_ns: 221, periods: 34 }));
        assert_eq!(stats.alive.len(), 1);
    }

    #[test]
    fn what_cannot_be_seen_makes_no_sum() {
        let (dir, mut processes) = setup(&tree());
        let mut stats = Stats::default();
        let proc = dir.path().join("proc");
        for bad in ["", "1 2\n", "1 2 3", "1 -2 3\n", "x\n", "99999999999999999999 1 1\n", "\0 1 1\n"] {
            std::fs::write(proc.join("11/schedstat"), bad).unwrap();
            processes.read(&[10, 11], None, ALL, &mut stats);
            assert_eq!(stats.schedule, None, "{bad:?}");
        }
        std::fs::remove_file(proc.join("11/schedstat")).unwrap();
        processes.read(&[10, 11], None, ALL, &mut stats);
        assert_eq!(stats.schedule, None, "a kernel without the file");
        std::fs::remove_file(proc.join("11/smaps_rollup")).unwrap();
        processes.read(&[10, 11], None, ALL, &mut stats);
        assert_eq!((stats.referenced, stats.open_files_limit), (None, None));
        std::fs::remove_dir_all(proc.join("11")).unwrap();
        processes.read(&[10, 11], Some(11), ALL, &mut stats);
        assert_eq!((stats.descriptors, stats.referenced), (Some(3), Some(10 * 1024)), "it has ended");
        assert_eq!(stats.open_files_limit, None);
    }

    #[test]
    fn the_name_ends_at_the_last_parenthesis() {
        let text = stat(9, "a) R 1 (b\n", 'S', 77);
        let stat = Stat::parse(text.as_bytes()).unwrap();
        assert_eq!((stat.command, stat.state, stat.parent), (&b"a) R 1 (b\n"[..], b'S', 7));
        assert_eq!(
            (stat.start, stat.cpu_ticks, stat.virtual_size, stat.rss_pages),
            (77, 200, 2_322_432, 400)
        );
        for cut in 0..text.len() {
            assert_eq!(Stat::parse(&text.as_bytes()[..cut]).map(|stat| stat.start), None, "cut at {cut}");
        }
        for bad in [") 1 (\n", "1 (x) SS 1\n", "1 (x) 5 1\n", "\n", "1 (x) S -1 0\n"] {
            assert_eq!(Stat::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn limits_are_numbers_or_none() {
        let limit =
            |text: &str| open_files_limit(format!("Max open files   {text}   4096 files\n").as_bytes());
        assert_eq!((limit("1024"), limit("unlimited")), (Some(Limit::At(1024)), Some(Limit::Unlimited)));
        assert_eq!((limit("-1"), limit("x"), open_files_limit(b"Max open files 1")), (None, None, None));
    }

    #[test]
    fn a_table_of_processes_has_names_and_no_arguments() {
        let mut tree = tree();
        tree.file("proc/uptime", "100.00 1.00\n");
        tree.file("proc/stat", "cpu 1\nbtime 1000\n");
        tree.file("proc/meminfo", "MemTotal:       16000 kB\nSwapTotal: 0 kB\n");
        tree.file("proc/10/status", "Name:\tsleep\nUid:\t0\t65534\t0\t0\n");
        tree.file("proc/11/status", "Name:\tsleep\nUid:\t4711\t4711\t0\t0\n");
        tree.file("proc/10/cmdline", "sleep\0--password=x\0");
        tree.file("etc/passwd", "root:x:0:0::/:\nnobody:x:65534:65534::/:\nalias:x:65534:1::/:\nbad\n");
        let (_dir, mut processes) = setup(&tree);
        let table = processes.table(&[10, 11, 99]);
        assert_eq!(table.len(), 2);
        let rss = 400 * hostfs::sys::page_size();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let start = 4000.0 / ticks;
        assert_eq!(
            table[0],
            Process {
                user: "nobody".into(),
                pid: 10,
                parent: 7,
                start: Some(1000.0 + start),
                percent_cpu: 100.0 * (200.0 / ticks) / (100.0 - start),
                percent_mem: 100.0 * rss as f64 / 16_384_000.0,
                rss,
                virtual_size: 2_322_432,
                status: "S".into(),
                cpu_seconds: 200.0 / ticks,
                command: "sleep".into(),
            }
        );
        assert_eq!((&table[1].user[..], &table[1].status[..]), ("4711", "R"));
    }

    #[test]
    fn a_process_that_has_ended_gives_nothing_through_its_directory() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let dir = Directories::new(&Root::new("/proc")).open(child.id()).unwrap();
        let mut buf = Buf::new();
        assert!(Stat::parse(dir.attribute("stat", &mut buf).unwrap().unwrap()).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        for file in ["stat", "net/dev", "schedstat"] {
            assert_eq!(dir.attribute(file, &mut buf).unwrap(), None, "{file}");
            assert!(dir.stamp(file).is_err());
        }
    }
}
