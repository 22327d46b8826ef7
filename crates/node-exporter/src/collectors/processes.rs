//! Processes and threads by state: every `/proc/<pid>/stat` and `/proc/<pid>/task/<tid>/stat`, see proc_pid_stat(5), and the limits in
//! `/proc/sys/kernel`.
//!
//! A process that ends while it is looked at is skipped. A process of one thread costs one file: its `task` directory could only repeat what
//! its own `stat` says. Nothing below `/proc/<pid>` stays open.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, Dir, File, Gone, Names, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "processes",
    on: false,
    help: "Processes and threads by state from /proc/<pid>.",
    flags: &[],
    new: |flags| {
        let proc = paths::proc(flags);
        Ok(Box::new(Processes {
            max_threads: proc.file("sys/kernel/threads-max"),
            max_pids: proc.file("sys/kernel/pid_max"),
            proc: proc.path().to_owned(),
            pids: Names::new(),
            tids: Names::new(),
            path: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Processes {
    proc: PathBuf,
    max_threads: File,
    max_pids: File,
    pids: Names,
    tids: Names,
    path: Vec<u8>,
    buf: Buf,
}

/// How many are in the state of each letter, by its byte.
type States = [u64; 128];

struct Counts {
    pids: u64,
    threads: u64,
    process_states: States,
    thread_states: States,
}

/// What is wanted of a `stat` file.
#[derive(Debug, PartialEq)]
struct Stat {
    /// An ASCII letter.
    state: u8,
    threads: u64,
}

impl Processes {
    fn count(&mut self) -> hostfs::Result<Counts> {
        let mut counts = Counts { pids: 0, threads: 0, process_states: [0; 128], thread_states: [0; 128] };
        let proc = Dir::open(&self.proc)?;
        list(&proc, &mut self.pids)?;
        // A copy of /proc may lack the task directories; whether this one has them shows at the first process.
        let mut has_tasks = false;
        for pid in self.pids.iter() {
            let path = join(&mut self.path, pid, b"/stat");
            let Some(bytes) = proc.read(path, &mut self.buf).gone_is_none()? else { continue };
            let stat = stat(bytes).ok_or_else(|| proc.malformed(path, FORM))?;
            counts.pids += 1;
            counts.threads = counts.threads.saturating_add(stat.threads);
            counts.process_states[usize::from(stat.state)] += 1;
            if has_tasks && stat.threads == 1 {
                counts.thread_states[usize::from(stat.state)] += 1;
                continue;
            }
            let Some(tasks) = proc.dir(join(&mut self.path, pid, b"/task"))? else { continue };
            if list(&tasks, &mut self.tids).gone_is_none()?.is_none() {
                continue;
            }
            has_tasks = true;
            for tid in self.tids.iter() {
                let mut state = Some(stat.state);
                if tid != pid {
                    let path = join(&mut self.path, tid, b"/stat");
                    let Some(bytes) = tasks.read(path, &mut self.buf).gone_is_none()? else { continue };
                    state = self::stat(bytes).map(|stat| stat.state);
                    if state.is_none() {
                        return Err(tasks.malformed(path, FORM));
                    }
                }
                if let Some(state) = state {
                    counts.thread_states[usize::from(state)] += 1;
                }
            }
        }
        Ok(counts)
    }
}

const FORM: &str = "a line of a number, a name in parentheses, a state and numbers";

/// The names that are numbers, in the kernel's order.
fn list(dir: &Dir, names: &mut Names) -> hostfs::Result<()> {
    names.clear();
    dir.each_name(|name, _| {
        if name.iter().all(u8::is_ascii_digit) {
            names.push(name);
        }
    })
}

fn join<'p>(path: &'p mut Vec<u8>, first: &OsStr, second: &[u8]) -> &'p OsStr {
    path.clear();
    path.extend_from_slice(first.as_bytes());
    path.extend_from_slice(second);
    OsStr::from_bytes(path)
}

/// The name may hold anything, parentheses and newlines too; it ends at the last parenthesis.
fn stat(bytes: &[u8]) -> Option<Stat> {
    let name_end = bytes.iter().rposition(|&b| b == b')')?;
    let mut fields = scan::fields(&bytes[name_end + 1..]);
    let &[state] = fields.next()? else { return None };
    // Field 20 of the line; the state is field 3.
    let threads = scan::unsigned(fields.nth(16)?)?;
    // What follows shows that the number is whole.
    fields.next()?;
    state.is_ascii_alphabetic().then_some(Stat { state, threads })
}

impl Collector for Processes {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let counts = self.count()?;
        out.single("node_processes_pids", Kind::Gauge, "Processes.", counts.pids);
        out.single("node_processes_threads", Kind::Gauge, "Threads of all processes.", counts.threads);
        states(out, "node_processes_state", "state", "Processes in the state.", &counts.process_states);
        states(
            out,
            "node_processes_threads_state",
            "thread_state",
            "Threads in the state.",
            &counts.thread_states,
        );

        let max_threads = limit(&mut self.max_threads, &mut self.buf);
        let max_pids = limit(&mut self.max_pids, &mut self.buf);
        if let Ok(max) = max_threads {
            out.single("node_processes_max_threads", Kind::Gauge, "Most threads that there can be.", max);
        }
        if let Ok(max) = max_pids {
            out.single(
                "node_processes_max_processes",
                Kind::Gauge,
                "Most process numbers that there can be.",
                max,
            );
        }
        max_threads.and(max_pids).map(drop).map_err(Error::from)
    }
}

fn states(out: &mut Text, family: &str, label: &str, help: &str, states: &States) {
    let mut family = out.family(family, Kind::Gauge, help);
    for (letter, &count) in (0u8..).zip(states) {
        if count > 0 {
            family.sample(&[(label, LabelValue::Bytes(&[letter]))], count);
        }
    }
}

fn limit(file: &mut File, buf: &mut Buf) -> hostfs::Result<u64> {
    scan::value(file.read_attribute(buf)?).ok_or_else(|| file.malformed("a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const REST: &str = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 THREADS 0 5 0 0 18446744073709551615 0\n";

    fn line(pid: u32, name: &str, state: char, threads: u32) -> String {
        format!("{pid} ({name}) {state} {}", REST.replace("THREADS", &threads.to_string()))
    }

    fn tree() -> Tree {
        let tree = Tree::new(&[
            ("proc/sys/kernel/threads-max", "7801"),
            ("proc/sys/kernel/pid_max", "123\n"),
            ("proc/self/stat", "not a number, not read"),
            ("proc/1/stat", &line(1, "init", 'S', 1)),
            ("proc/1/task/1/stat", &line(1, "init", 'S', 1)),
            ("proc/20/stat", &line(20, "a) R 1 (b\n)", 'D', 3)),
            ("proc/20/task/20/stat", &line(20, "x", 'D', 3)),
            ("proc/20/task/21/stat", &line(21, "x", 'R', 3)),
            ("proc/20/task/22/stat", &line(22, "x", 'R', 3)),
            ("proc/30/stat", &line(30, "single", 'S', 1)),
            ("proc/30/task/30/stat", &line(30, "single", 'S', 1)),
        ]);
        std::fs::create_dir(tree.path("proc/40")).unwrap();
        std::fs::create_dir(tree.path("proc/20/task/23")).unwrap();
        tree
    }

    #[test]
    fn processes_and_threads_by_state_without_those_that_ended() {
        assert_eq!(
            tree().samples(&ENTRY, &[]).replace("node_processes_", ""),
            "pids 3\nthreads 5\nstate{state=\"D\"} 1\nstate{state=\"S\"} 2\n\
             threads_state{thread_state=\"D\"} 1\nthreads_state{thread_state=\"R\"} 2\nthreads_state{thread_state=\"S\"} 2\n\
             max_threads 7801\nmax_processes 123\n"
        );
    }

    #[test]
    fn a_limit_that_is_missing_costs_itself() {
        let tree = tree();
        tree.remove("proc/sys/kernel/threads-max");
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert!(
            samples.ends_with("\nnode_processes_max_processes 123\n") && !samples.contains("max_threads")
        );
        assert!(matches!(error, Some(Error::Failed(_))));
    }

    #[test]
    fn a_line_that_is_cut_is_refused() {
        let whole = line(1, "init", 'S', 12);
        assert_eq!(stat(whole.as_bytes()), Some(Stat { state: b'S', threads: 12 }));
        let end = whole.find(" 12 ").unwrap() + 4;
        for cut in 0..whole.len() {
            let expected = (cut > end).then_some(Stat { state: b'S', threads: 12 });
            assert_eq!(stat(&whole.as_bytes()[..cut]), expected, "{cut}");
        }
        assert_eq!(stat(line(1, "x", '"', 1).as_bytes()), None);
        assert_eq!(
            stat(line(1, "x", 'S', 1).replace("S 1", "S x").as_bytes()),
            Some(Stat { state: b'S', threads: 1 })
        );
    }
}
