//! What a scrape costs, in one table: this exporter, the original, and the floor.
//!
//! All three run on the same host in the same minutes, by turns, so that the ratios hold where the figures do not. A scrape is what
//! Prometheus does: a request for gzip over a connection that stays open, of the default collectors. The floor is a loop that opens,
//! reads and closes the files that the original was seen to open in one scrape, and does nothing with them.
//!
//! `bench node [SCRAPES]`: scrapes a round on this machine, 200 if not given; the big host gets a tenth.
//! `bench containers [NUMBER…]`: container-advisor beside its original, with so many containers; 10, 60 and 300 if not given.
//! `BIN_DIR` holds the exporters (`target/bin`, where `make build` puts them), `PEERS_DIR` the originals.

#![allow(clippy::unwrap_used, reason = "a tool for developers: it ends with what went wrong")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testbed::http::Client;
use testbed::process::Exporter;
use testbed::tree::Host;
use testbed::{bighost, recorded, shared, strace};

/// Rounds, each of all contestants. The table shows medians over the rounds.
const ROUNDS: usize = 5;

mod containers;
mod table;

use table::Table;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse().unwrap_or_else(|_| panic!("{text}: a number is wanted"));
    match args.first().map(String::as_str) {
        Some("node") => node(args.get(1).map_or(200, number)),
        Some("containers") if args.len() > 1 => {
            containers::bench(&args[1..].iter().map(number).collect::<Vec<_>>());
        }
        Some("containers") => containers::bench(&[10, 60, 300]),
        _ => panic!("bench node [SCRAPES] or bench containers [NUMBER...]"),
    }
}

/// A program as it is shipped.
fn shipped(name: &str) -> PathBuf {
    let dir = std::env::var_os("BIN_DIR").map_or_else(|| shared::root().join("target/bin"), PathBuf::from);
    let path = dir.join(name);
    assert!(path.is_file(), "{}: not there; `make build` first, or set BIN_DIR", path.display());
    path
}

fn node(scrapes: usize) {
    let ours = shipped("node-exporter");
    let original = shared::peer("node_exporter");
    if original.is_none() {
        shared::skipped("the original and the floor", "the original is not at hand (set PEERS_DIR)");
    }
    let original = original.as_deref();

    let mut table = Table::default();
    let args = shared::UPSTREAM_DEFAULTS;
    host(&mut table, "this machine", &ours, original, &args, Path::new("/"), scrapes);
    let big = Host::new(&bighost::tree());
    let args: Vec<&str> =
        Host::PATHS.into_iter().chain(shared::UPSTREAM_DEFAULTS).chain(recorded::OFF).collect();
    host(&mut table, "big host", &ours, original, &args, &big.path(""), (scrapes / 10).max(1));
    let size = |path: &Path| fs::metadata(path).unwrap().len() as f64 / 1e6;
    table.row("binary", "MB", Some(size(&ours)), original.map(size), None);
    table.print();
}

/// Measures all contestants over one host.
fn host(
    table: &mut Table,
    name: &str,
    ours: &Path,
    original: Option<&Path>,
    args: &[&str],
    cwd: &Path,
    scrapes: usize,
) {
    eprintln!("{name}: {ROUNDS} rounds of {scrapes} scrapes");
    let files = original
        .and_then(|original| strace::asked(original, args, cwd))
        .map(|(_, scrape)| floor_files(&scrape));
    let mut ours = Contestant::new(ours, args, cwd);
    let mut original = original.map(|original| Contestant::new(original, args, cwd));
    let mut floor = Vec::new();
    for _ in 0..ROUNDS {
        ours.round(scrapes);
        if let Some(original) = &mut original {
            original.round(scrapes);
        }
        if let Some(files) = &files {
            floor.push(read_all(files, scrapes));
        }
    }
    let micros = |durations: &[Duration]| median(durations.iter().map(|d| d.as_secs_f64() * 1e6).collect());
    let floor = files.as_ref().map(|_| micros(&floor));
    table.row(
        &format!("{name}: CPU time a scrape"),
        "µs",
        Some(micros(&ours.cpu)),
        original.as_ref().map(|o| micros(&o.cpu)),
        floor,
    );
    table.row(
        &format!("{name}: answer after, p50"),
        "µs",
        Some(micros(&ours.wall)),
        original.as_ref().map(|o| micros(&o.wall)),
        None,
    );
    let rss = |contestant: &Contestant| contestant.exporter.rss_bytes() as f64 / 1e6;
    table.row(&format!("{name}: memory (RSS)"), "MB", Some(rss(&ours)), original.as_ref().map(rss), None);
    let series = |contestant: &Contestant| contestant.series as f64;
    table.row(&format!("{name}: series"), "", Some(series(&ours)), original.as_ref().map(series), None);
    let body = |contestant: &Contestant| contestant.body as f64 / 1e3;
    table.row(&format!("{name}: body, gzip"), "kB", Some(body(&ours)), original.as_ref().map(body), None);
    if let Some(files) = files {
        table.row(&format!("{name}: files read"), "", None, None, Some(files.len() as f64));
    }
}

struct Contestant {
    exporter: Exporter,
    client: Client,
    /// CPU time a scrape, by round.
    cpu: Vec<Duration>,
    /// Time to the whole answer, by scrape.
    wall: Vec<Duration>,
    series: usize,
    body: usize,
}

impl Contestant {
    fn new(binary: &Path, args: &[&str], cwd: &Path) -> Self {
        let exporter = Exporter::start(binary, args, cwd);
        let mut client = exporter.client();
        let mut series = 0;
        // Buffers, caches and connections as they are in use.
        for _ in 0..5 {
            let text = client.get("/metrics", GZIP).text();
            series = text.lines().filter(|line| !line.starts_with('#')).count();
        }
        Contestant { exporter, client, cpu: Vec::new(), wall: Vec::new(), series, body: 0 }
    }

    fn round(&mut self, scrapes: usize) {
        let ticks = self.exporter.cpu_ticks();
        let before = self.exporter.cpu_time();
        for _ in 0..scrapes {
            let start = Instant::now();
            let response = self.client.get("/metrics", GZIP);
            self.wall.push(start.elapsed());
            assert_eq!(response.status, 200);
            self.body = response.body.len();
        }
        let cpu = self.exporter.cpu_time() - before;
        // What threads used that have ended since is in the ticks alone, which are coarse.
        let by_ticks = self.exporter.cpu_ticks() - ticks;
        if by_ticks > cpu + cpu / 10 + Duration::from_millis(20) {
            eprintln!(
                "{cpu:?} by threads that live, {by_ticks:?} in all: what threads that ended used is left out"
            );
        }
        self.cpu.push(cpu / scrapes as u32);
    }
}

/// What Prometheus sends, as far as it matters.
const GZIP: &[&str] = &[
    "Accept: text/plain;version=0.0.4;q=1,*/*;q=0.1",
    "Accept-Encoding: gzip",
    "X-Prometheus-Scrape-Timeout-Seconds: 10",
];

/// The regular files that a scrape opened, by the paths it gave, once for each time it did.
fn floor_files(asked: &[strace::Asked]) -> Vec<PathBuf> {
    let opened = asked.iter().filter(|asked| asked.opened.is_some());
    opened.map(|asked| asked.path.clone()).filter(|path| path.is_file()).collect()
}

/// Opens, reads and closes each file, and says what CPU time a pass took.
fn read_all(files: &[PathBuf], passes: usize) -> Duration {
    let mut buffer = vec![0; 64 * 1024];
    let start = thread_cpu_time();
    for _ in 0..passes {
        for path in files {
            let Ok(mut file) = File::open(path) else { continue };
            while file.read(&mut buffer).is_ok_and(|n| n > 0) {}
        }
    }
    (thread_cpu_time() - start) / passes as u32
}

fn thread_cpu_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
