//! An exporter as a child process: started on a free port, looked at through `/proc`, killed when dropped.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::http::{Client, Response};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running exporter.
#[derive(Debug)]
pub struct Exporter {
    child: Child,
    /// The exporter's own process, which is the child's child under strace.
    pid: u32,
    address: SocketAddr,
    log: tempfile::NamedTempFile,
}

/// What a process that did not stay said.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard error.
    pub stderr: String,
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// CPU time of all threads of a process that live.
pub fn cpu_time(pid: u32) -> Duration {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(text) = fs::read_to_string(task.unwrap().path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    Duration::from_nanos(nanos)
}

fn web_listen_address(port: u16) -> Vec<String> {
    vec![format!("--web.listen-address=127.0.0.1:{port}")]
}

impl Exporter {
    /// Starts `binary` in `cwd` with `args` and a `--web.listen-address`, and waits until it takes connections.
    pub fn start(binary: &Path, args: &[impl AsRef<OsStr>], cwd: &Path) -> Self {
        Self::try_start(binary, args, cwd).unwrap_or_else(|ended| {
            panic!("{} ended with {}: {}", binary.display(), ended.status, ended.stderr)
        })
    }

    /// As [`start`](Self::start), for a command line that may be refused.
    ///
    /// # Errors
    /// The process ended before it took a connection.
    pub fn try_start(binary: &Path, args: &[impl AsRef<OsStr>], cwd: &Path) -> Result<Self, Ended> {
        Self::spawn(|| Command::new(binary), args, cwd, &web_listen_address)
    }

    /// As [`start`](Self::start), for a program that has other flags for where to listen: `listen` makes them from a port.
    pub fn start_on(
        binary: &Path,
        args: &[impl AsRef<OsStr>],
        cwd: &Path,
        listen: &dyn Fn(u16) -> Vec<String>,
    ) -> Self {
        Self::spawn(|| Command::new(binary), args, cwd, listen).unwrap_or_else(|ended| {
            panic!("{} ended with {}: {}", binary.display(), ended.status, ended.stderr)
        })
    }

    /// As [`start`](Self::start), with another program, such as strace, around it.
    pub fn start_under(wrapper: &[&OsStr], binary: &Path, args: &[impl AsRef<OsStr>], cwd: &Path) -> Self {
        let command = || {
            let mut command = Command::new(wrapper[0]);
            command.args(&wrapper[1..]).arg(binary);
            command
        };
        let mut exporter = Self::spawn(command, args, cwd, &web_listen_address)
            .unwrap_or_else(|ended| panic!("{wrapper:?} ended with {}: {}", ended.status, ended.stderr));
        let children = format!("/proc/{0}/task/{0}/children", exporter.child.id());
        let children = fs::read_to_string(children).unwrap();
        exporter.pid = children.split_whitespace().next().expect("the exporter is a child").parse().unwrap();
        exporter
    }

    fn spawn(
        program: impl Fn() -> Command,
        args: &[impl AsRef<OsStr>],
        cwd: &Path,
        listen: &dyn Fn(u16) -> Vec<String>,
    ) -> Result<Self, Ended> {
        // Somebody else may take the free port before the exporter does; then it ends, and another port is tried.
        for attempt in 0.. {
            let port = free_port();
            let log = tempfile::NamedTempFile::new().unwrap();
            let mut child = program()
                .args(args)
                .args(listen(port))
                .current_dir(cwd)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log.reopen().unwrap())
                .spawn()
                .unwrap_or_else(|error| panic!("{:?}: {error}", program()));
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let start = Instant::now();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Ended { status, stderr: fs::read_to_string(log.path()).unwrap_or_default() };
                }
                if TcpStream::connect(address).is_ok() {
                    let pid = child.id();
                    return Ok(Exporter { child, pid, address, log });
                }
                if start.elapsed() > PATIENCE {
                    // Killed and waited for by the drop.
                    let exporter = Exporter { pid: child.id(), child, address, log };
                    panic!("{:?} listens nowhere after {PATIENCE:?}: {}", program(), exporter.log());
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            if attempt == 3 || !ended.stderr.contains("address already in use") {
                return Err(ended);
            }
        }
        unreachable!("the loop above ends by itself")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// GET over a connection of its own.
    pub fn get(&self, path: &str, headers: &[&str]) -> Response {
        self.client().get(path, headers)
    }

    /// The metrics, which must be there.
    pub fn scrape(&self) -> String {
        let response = self.get("/metrics", &[]);
        let text = response.text();
        assert_eq!(response.status, 200, "{text}\n{}", self.log());
        text
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap_or_default()).into_owned()
    }

    /// A file of its `/proc/<pid>`.
    pub fn proc(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    /// A number of `/proc/<pid>/status`: `VmRSS` in KiB, `Threads`.
    pub fn status(&self, key: &str) -> u64 {
        let status = self.proc("status");
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = value.unwrap_or_else(|| panic!("no {key} in {status}"));
        value.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.status("VmRSS") * 1024
    }

    /// What its open descriptors point to.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let fds = fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        // A descriptor may be closed between the listing and the look.
        fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect()
    }

    /// CPU time of all its threads that live.
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.pid)
    }

    /// CPU time of all its threads that live or lived, in steps of 10 ms.
    pub fn cpu_ticks(&self) -> Duration {
        let stat = self.proc("stat");
        let fields = &stat[stat.rfind(')').unwrap() + 2..];
        let ticks = fields.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum::<u64>();
        Duration::from_millis(ticks * 10)
    }

    /// Sends a signal, named as kill(1) does, and waits for the end.
    pub fn end_by(mut self, signal: &str) -> ExitStatus {
        let kill = Command::new("kill").args(["-s", signal, &self.pid.to_string()]).status().unwrap();
        assert!(kill.success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "SIG{signal} did not end it");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if self.pid != self.child.id() {
            // Under strace: the tracee first, or it would outlive its tracer.
            drop(Command::new("kill").args(["-s", "KILL", &self.pid.to_string()]).status());
        } else {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
