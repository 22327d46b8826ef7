//! Metrics about this process, under the names that the Go client library gave them: `process_*`, `promhttp_*` and the build's labels.
//!
//! `go_*` has no meaning here and is left out. The process's numbers come from its own `/proc/self`, wherever the host's trees are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hostfs::{Buf, File, scan};
use rustix::process::{Resource, getrlimit};

use crate::text::{Kind, Text};

/// What the build says of itself, as labels of `<program>_build_info`.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The family's name.
    pub family: &'static str,
    /// The version.
    pub version: &'static str,
    /// The commit, or empty.
    pub revision: &'static str,
    /// The branch, or empty.
    pub branch: &'static str,
}

/// The architecture in Go's words, which dashboards know.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "riscv64" => "riscv64",
        other => other,
    }
}

/// The metrics about this process.
pub struct Own {
    build: Build,
    duration_family: String,
    success_family: String,
    exporter_metrics: bool,
    in_flight: AtomicU64,
    answered: [AtomicU64; 3],
    gather_errors: AtomicU64,
    process: Mutex<Process>,
}

/// The answers that are counted.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// 200.
    Ok = 0,
    /// 500.
    Failed = 1,
    /// 503: too many at once.
    Busy = 2,
}

impl Own {
    /// `namespace` begins the names of the collectors' success and duration; without `exporter_metrics` those two families and
    /// the build's stay alone.
    pub fn new(namespace: &'static str, build: Build, exporter_metrics: bool) -> Self {
        Own {
            build,
            duration_family: format!("{namespace}_scrape_collector_duration_seconds"),
            success_family: format!("{namespace}_scrape_collector_success"),
            exporter_metrics,
            in_flight: AtomicU64::new(0),
            answered: Default::default(),
            gather_errors: AtomicU64::new(0),
            process: Mutex::new(Process::new()),
        }
    }

    pub(crate) fn duration_family(&self) -> &str {
        &self.duration_family
    }

    pub(crate) fn success_family(&self) -> &str {
        &self.success_family
    }

    /// Counts a scrape that begins; returns how many there are now.
    pub fn begin(&self) -> u64 {
        self.in_flight.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a scrape that ends.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an answer.
    pub fn count(&self, answer: Answer) {
        self.answered[answer as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_gather_error(&self) {
        self.gather_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, out: &mut Text) {
        let Build { family, version, revision, branch } = self.build;
        out.family(family, Kind::Gauge, "The build's version, revision and platform; always 1.").sample(
            &[
                ("branch", branch.into()),
                ("goarch", architecture().into()),
                ("goos", "linux".into()),
                ("goversion", concat!("rust", env!("CARGO_PKG_RUST_VERSION")).into()),
                ("revision", revision.into()),
                ("tags", "".into()),
                ("version", version.into()),
            ],
            1u64,
        );
        if !self.exporter_metrics {
            return;
        }
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(out);
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let mut errors = out.family(
            "promhttp_metric_handler_errors_total",
            Kind::Counter,
            "Scrapes whose answer lacked something, by cause.",
        );
        errors.sample(&[("cause", "encoding".into())], 0u64);
        errors.sample(&[("cause", "gathering".into())], load(&self.gather_errors));
        drop(errors);
        out.single(
            "promhttp_metric_handler_requests_in_flight",
            Kind::Gauge,
            "Scrapes being served now.",
            load(&self.in_flight),
        );
        let mut answers = out.family(
            "promhttp_metric_handler_requests_total",
            Kind::Counter,
            "Scrapes that were answered, by HTTP status code.",
        );
        for (code, count) in ["200", "500", "503"].into_iter().zip(&self.answered) {
            answers.sample(&[("code", code.into())], load(count));
        }
    }
}

/// The process's own files.
struct Process {
    stat: File,
    netstat: File,
    buf: Buf,
    /// Boot time, in seconds since 1970.
    boot: Option<u64>,
}

/// Kernel ticks a second in `/proc`, fixed by its ABI (USER_HZ).
const TICKS: f64 = 100.0;

impl Process {
    fn new() -> Self {
        let mut buf = Buf::new();
        let boot = hostfs::read("/proc/stat", &mut buf).ok().and_then(|stat| {
            scan::lines(stat).find_map(|line| line.strip_prefix(b"btime ")).and_then(scan::value)
        });
        Process {
            stat: File::new("/proc/self/stat"),
            netstat: File::new("/proc/self/net/netstat"),
            buf,
            boot,
        }
    }

    fn write(&mut self, out: &mut Text) {
        if let Ok(stat) = self.stat.read(&mut self.buf)
            && let Some([user, system, start, virtual_bytes, resident_pages]) = parse_stat(stat)
        {
            let seconds = user.wrapping_add(system) as f64 / TICKS;
            out.single(
                "process_cpu_seconds_total",
                Kind::Counter,
                "CPU time of this process, in seconds.",
                seconds,
            );
            if let Some(boot) = self.boot {
                let started = boot as f64 + start as f64 / TICKS;
                out.single(
                    "process_start_time_seconds",
                    Kind::Gauge,
                    "Start of this process, in seconds since 1970.",
                    started,
                );
            }
            out.single(
                "process_virtual_memory_bytes",
                Kind::Gauge,
                "Virtual memory of this process, in bytes.",
                virtual_bytes,
            );
            let resident = resident_pages.saturating_mul(rustix::param::page_size() as u64);
            out.single(
                "process_resident_memory_bytes",
                Kind::Gauge,
                "Resident memory of this process, in bytes.",
                resident,
            );
        }
        let limit = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
        out.single(
            "process_max_fds",
            Kind::Gauge,
            "Limit on open descriptors of this process.",
            limit(Resource::Nofile),
        );
        out.single(
            "process_virtual_memory_max_bytes",
            Kind::Gauge,
            "Limit on the virtual memory of this process, in bytes.",
            limit(Resource::As),
        );
        if let Some(open) = open_descriptors() {
            out.single("process_open_fds", Kind::Gauge, "Open descriptors of this process.", open);
        }
        if let Ok(netstat) = self.netstat.read(&mut self.buf)
            && let Some((received, sent)) = octets(netstat)
        {
            out.single(
                "process_network_receive_bytes_total",
                Kind::Counter,
                "Bytes that came in over IP in the network namespace of this process.",
                received,
            );
            out.single(
                "process_network_transmit_bytes_total",
                Kind::Counter,
                "Bytes that went out over IP in the network namespace of this process.",
                sent,
            );
        }
    }
}

/// utime, stime, starttime (ticks), vsize (bytes) and rss (pages): fields 14, 15, 22, 23 and 24 of proc(5)'s stat.
fn parse_stat(stat: &[u8]) -> Option<[u64; 5]> {
    let after_name = stat.iter().rposition(|&b| b == b')')? + 1;
    let mut fields = scan::fields(&stat[after_name..]);
    let user = scan::unsigned(fields.nth(11)?)?;
    let system = fields.next_u64()?;
    let start = scan::unsigned(fields.nth(6)?)?;
    Some([user, system, start, fields.next_u64()?, fields.next_u64()?])
}

/// How many descriptors are open: since Linux 6.2 the size of `/proc/self/fd`, before that its entries.
fn open_descriptors() -> Option<u64> {
    let size = rustix::fs::stat("/proc/self/fd").ok()?.st_size;
    if size > 0 {
        return Some(size as u64);
    }
    let mut count = 0u64;
    hostfs::Dir::open("/proc/self/fd").ok()?.each_name(|_, _| count += 1).ok()?;
    // Without the one that lists.
    Some(count.saturating_sub(1))
}

/// InOctets and OutOctets of the IpExt lines: names on one line, values on the next.
fn octets(netstat: &[u8]) -> Option<(u64, u64)> {
    let mut lines = scan::lines(netstat).filter_map(|line| line.strip_prefix(b"IpExt:"));
    let (mut names, mut values) = (scan::fields(lines.next()?), scan::fields(lines.next()?));
    let (mut received, mut sent) = (None, None);
    while let (Some(name), Some(value)) = (names.next(), values.next()) {
        match name {
            b"InOctets" => received = scan::unsigned(value),
            b"OutOctets" => sent = scan::unsigned(value),
            _ => {}
        }
    }
    Some((received?, sent?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = b"7 (a) R 1 (\n) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 2 0 700 8192 9 184467 rest\n";
        assert_eq!(parse_stat(stat), Some([50, 60, 700, 8192, 9]));
        assert_eq!(parse_stat(b"7 (a) S 1"), None);
    }

    #[test]
    fn octets_by_name() {
        let netstat = b"TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 10 20\n";
        assert_eq!(octets(netstat), Some((10, 20)));
        assert_eq!(octets(b"IpExt: InOctets\n"), None);
    }

    #[test]
    fn this_process_has_all_nine_and_its_handler_three() {
        let build = Build { family: "x_build_info", version: "1", revision: "r", branch: "b" };
        let own = Own::new("x", build, true);
        own.count(Answer::Busy);
        let mut out = Text::new();
        own.write(&mut out);
        let text = std::str::from_utf8(out.bytes()).unwrap();
        assert_eq!((0..out.len()).filter(|&i| out.name(i).starts_with(b"process_")).count(), 9);
        assert!(text.contains("\npromhttp_metric_handler_requests_total{code=\"503\"} 1\n"));
        assert!(text.contains("x_build_info{branch=\"b\",goarch=\""));
        let mut alone = Text::new();
        Own::new("x", build, false).write(&mut alone);
        assert_eq!(alone.len(), 1);
    }
}
