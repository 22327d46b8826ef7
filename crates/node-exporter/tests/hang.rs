//! Mounts, files and system calls that never answer: the scrape answers all the same, everything else is in it, threads stay
//! bounded, and what hung comes back by itself.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use testbed::process::Exporter;
use testbed::shared::skipped;

const BINARY: &str = env!("CARGO_BIN_EXE_node-exporter");

/// FUSE mounts without a daemon, in a mount namespace of their own.
struct Hung {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
    points: Vec<PathBuf>,
    _dir: tempfile::TempDir,
}

impl Hung {
    /// As many mounts; `None`, said loudly, where that cannot be had.
    fn mount(count: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let points: Vec<PathBuf> = (0..count).map(|i| dir.path().join(format!("hung{i}"))).collect();
        let mut process = match Command::new("unshare")
            .args(["-m", "--propagation", "private", "python3"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hang_mount.py"))
            .args(&points)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        {
            Ok(process) => process,
            Err(error) => {
                skipped("a mount that hangs", &format!("unshare: {error}"));
                return None;
            }
        };
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut hung = Hung { process, orders, answers, points, _dir: dir };
        if hung.answer() != "mounted" {
            let status = hung.process.wait().unwrap();
            skipped("a mount that hangs", &format!("root, python3 and /dev/fuse ({status})"));
            return None;
        }
        Some(hung)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answer()
    }

    /// An exporter that sees the mounts.
    fn exporter(&self) -> Exporter {
        let pid = self.process.id().to_string();
        let mut args: Vec<OsString> =
            ["-m", "-t", &pid, "--", BINARY].into_iter().map(OsString::from).collect();
        // Process 1 is in another namespace: a procfs without it makes the exporter look at its own mounts.
        let proc = self.points[0].parent().unwrap().join("proc");
        std::fs::create_dir_all(&proc).unwrap();
        for entry in std::fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            if name != "1" {
                let link = proc.join(&name);
                if link.symlink_metadata().is_err() {
                    std::os::unix::fs::symlink(Path::new("/proc").join(&name), link).unwrap();
                }
            }
        }
        args.push(format!("--path.procfs={}", proc.display()).into());
        args.push("--collector.filesystem.mount-points-exclude=^/(dev|proc|sys)($|/)".into());
        Exporter::start(Path::new("nsenter"), &args, Path::new("/"))
    }

    fn sizes(&self, answer: &str) -> usize {
        let of = |point: &PathBuf| {
            let label = format!("mountpoint=\"{}\"", point.display());
            answer.lines().any(|l| l.starts_with("node_filesystem_size_bytes{") && l.contains(&label))
        };
        self.points.iter().filter(|point| of(point)).count()
    }

    fn timeouts(&self, answer: &str) -> usize {
        let lines = answer.lines().filter(|l| l.starts_with("node_filesystem_device_error{"));
        lines.filter(|l| l.contains("device_error=\"mountpoint timeout\"") && l.ends_with(" 1")).count()
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = writeln!(self.orders, "end");
        let _ = self.process.wait();
    }
}

/// The answer to a scrape that Prometheus would give up after `seconds`.
fn scrape(exporter: &Exporter, seconds: u32) -> String {
    let start = Instant::now();
    let response = exporter.get("/metrics", &[&format!("X-Prometheus-Scrape-Timeout-Seconds: {seconds}")]);
    let took = start.elapsed();
    assert_eq!(response.status, 200);
    assert!(took < Duration::from_secs(seconds.into()), "answered after {took:?}");
    response.text()
}

fn success(answer: &str) -> Vec<&str> {
    let line = |l: &'static str| move |line: &str| line.starts_with(l);
    answer.lines().filter(|l| line("node_scrape_collector_success{")(l) && l.ends_with(" 1")).collect()
}

/// FAULT A1 and A2: one mount, first scrape, 50 more, 20 at once, recovery.
#[test]
fn a_mount_that_hangs_is_told_of_in_the_first_scrape() {
    let Some(mut hung) = Hung::mount(1) else { return };
    let exporter = hung.exporter();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let answer = scrape(&exporter, 3);
                assert_eq!((hung.timeouts(&answer), hung.sizes(&answer)), (1, 0));
                assert!(answer.contains("mountpoint=\"/\""), "the healthy mounts are there");
                assert!(answer.contains("node_scrape_collector_success{collector=\"filesystem\"} 1"));
            });
        }
    });
    for _ in 0..50 {
        let answer = scrape(&exporter, 10);
        assert_eq!((hung.timeouts(&answer), hung.sizes(&answer)), (1, 0));
    }
    assert_threads(&exporter, 12);
    assert_eq!(hung.order("answer"), "answering");
    recovers(&exporter, |answer| hung.sizes(answer) == 1 && hung.timeouts(answer) == 0);
}

/// FAULT A3: more mounts than the original has workers.
#[test]
fn five_mounts_that_hang_cost_their_threads_and_nothing_else() {
    let Some(mut hung) = Hung::mount(5) else { return };
    let exporter = hung.exporter();
    for _ in 0..20 {
        let answer = scrape(&exporter, 4);
        assert_eq!((hung.timeouts(&answer), hung.sizes(&answer)), (5, 0));
        assert!(answer.contains("mountpoint=\"/\"") && answer.contains("\nnode_load1 "));
    }
    // The server's, two that collect, and helpers, which come in doubles: 1, 2, 4, 8. A busy machine has some more of each.
    assert_threads(&exporter, 20);
    assert_eq!(hung.order("answer"), "answering");
    recovers(&exporter, |answer| hung.sizes(answer) == 5 && hung.timeouts(answer) == 0);
}

fn assert_threads(exporter: &Exporter, most: usize) {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", exporter.pid())).unwrap();
    let name =
        |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.unwrap().path().join("comm"));
    let names: Vec<String> = tasks.filter_map(|task| Some(name(task).ok()?.trim_end().to_owned())).collect();
    assert!(names.len() <= most, "{} threads: {names:?}", names.len());
}

/// What hung comes back by itself, some scrapes after it answers.
fn recovers(exporter: &Exporter, mut good: impl FnMut(&str) -> bool) {
    for _ in 0..100 {
        if good(&scrape(exporter, 10)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not recover: {}", scrape(exporter, 10));
}

/// FAULT A4: FIFOs in place of files, which block whoever opens them in the usual way.
#[test]
fn fifos_in_place_of_files_cost_their_collectors_alone() {
    let tree = testbed::tree::vm().unpacked();
    let proc = tree.path().join("proc");
    let fifo = |name: &str| {
        let path = proc.join(name);
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    };
    let args = [
        format!("--path.procfs={}", proc.display()),
        format!("--path.sysfs={}", tree.path().join("sys").display()),
    ];
    let exporter = Exporter::start(Path::new(BINARY), &args, Path::new("/"));
    let before = exporter.scrape();
    let good = success(&before).len();
    let threads_before = exporter.status("Threads");
    let files =
        || exporter.open_files().iter().filter(|f| !f.to_string_lossy().starts_with("socket:")).count();
    let files_before = files();
    let contents = std::fs::read(proc.join("loadavg")).unwrap();
    fifo("loadavg");
    for _ in 0..51 {
        let answer = scrape(&exporter, 5);
        assert!(answer.contains("node_scrape_collector_success{collector=\"loadavg\"} 0"));
        assert!(!answer.contains("\nnode_load1 ") && answer.contains("\nnode_memory_MemTotal_bytes "));
        assert_eq!(success(&answer).len(), good - 1);
    }
    assert!(exporter.status("Threads") <= threads_before + 1);
    assert!(files() <= files_before);
    std::fs::remove_file(proc.join("loadavg")).unwrap();
    std::fs::write(proc.join("loadavg"), contents).unwrap();
    recovers(&exporter, |answer| success(answer).len() == good && answer.contains("\nnode_load1 "));
}

/// FAULT A5 and A10: a read that takes far longer than the scrape may.
#[test]
fn a_read_that_hangs_costs_its_collector_alone() {
    let args =
        ["--collector.disable-defaults", "--collector.loadavg", "--collector.meminfo", "--collector.vmstat"];
    let exporter = Exporter::start(Path::new(BINARY), &args, Path::new("/"));
    let all = success(&exporter.scrape()).len();
    assert_eq!(all, 3);
    let strace = Command::new("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-P", "/proc/meminfo", "-e", "trace=pread64"])
        .args(["-e", "inject=pread64:delay_enter=6s:when=1", "-p", &exporter.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn();
    let Ok(strace) = strace else { return skipped("a read that hangs", "strace") };
    let _strace = Killed(strace);
    // Attached once the kernel says so.
    let attached = || !exporter.proc("status").contains("TracerPid:\t0\n");
    for _ in 0..200 {
        if attached() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if !attached() {
        return skipped("a read that hangs", "permission to trace");
    }
    let first = scrape(&exporter, 2);
    assert!(first.contains("node_scrape_collector_success{collector=\"meminfo\"} 0"), "{first}");
    assert!(first.contains("\nnode_load1 ") && first.contains("\nnode_vmstat_pgfault "));
    for _ in 0..20 {
        let start = Instant::now();
        let next = scrape(&exporter, 10);
        if success(&next).len() == all {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(2), "a collector known to hang is waited for");
        assert!(next.contains("\nnode_load1 ") && next.contains("\nnode_vmstat_pgfault "));
    }
    // The server's, and one more than there are collectors.
    assert_threads(&exporter, 1 + 4);
    recovers(&exporter, |answer| success(answer).len() == all);
}

/// A process that does not outlive its test: what it traces could not be waited for.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
