//! What container-advisor costs beside its original: both on the same engine with the same busy containers, scraped as Prometheus
//! does every 15 seconds for two minutes. All CPU time of the process counts, whatever it was used for.
//!
//! The original runs twice: with its default flags, and as people run it who have seen what that costs (`-docker_only
//! -housekeeping_interval=10s`). Ours runs with the same flags beside each. A container's CPU counter moves every second, as a
//! service's does, so the original's polling does not back off.

use std::path::Path;
use std::time::{Duration, Instant};

use testbed::docker::Engine;
use testbed::http::Client;
use testbed::process::{Exporter, cpu_time};
use testbed::shared;

use crate::table::Table;
use crate::{GZIP, median, shipped};

const INTERVAL: Duration = Duration::from_secs(15);
const SCRAPES: usize = 8;
const WARM_UP: Duration = Duration::from_secs(30);

/// A service that does a little every second.
const BUSY: &str = "while :; do /bin/busybox sleep 1; done";

/// With how many containers the engine's own CPU time is measured.
const DAEMON_AT: usize = 60;

struct Contestant {
    exporter: Exporter,
    client: Client,
    wall: Vec<f64>,
    body: usize,
    plain: usize,
    series: usize,
    cpu: Duration,
    peak_rss: u64,
}

impl Contestant {
    fn new(exporter: Exporter) -> Self {
        let client = exporter.client();
        let cpu = exporter.cpu_ticks();
        Contestant { exporter, client, wall: Vec::new(), body: 0, plain: 0, series: 0, cpu, peak_rss: 0 }
    }

    fn scrape(&mut self) {
        let start = Instant::now();
        let response = self.client.get("/metrics", GZIP);
        self.wall.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(response.status, 200);
        self.body = response.body.len();
        let text = response.text();
        self.plain = text.len();
        self.series = text.lines().filter(|line| !line.starts_with('#')).count();
        self.peak_rss = self.peak_rss.max(self.exporter.rss_bytes());
    }
}

/// Measures with each number of containers.
pub fn bench(numbers: &[usize]) {
    let engine = Engine::find().unwrap_or_else(|why| panic!("{why}"));
    let original = shared::peer("cadvisor");
    if original.is_none() {
        shared::skipped("the original", "it is not at hand (set PEERS_DIR)");
    }
    let mut table = Table::default();
    let mut running = 0;
    for &number in numbers {
        eprintln!("{number} containers: starting");
        for i in running..number {
            start(&engine, i);
        }
        running = running.max(number);
        measure(&mut table, &engine, number, original.as_deref());
        if number == DAEMON_AT {
            daemon(&mut table, &engine, original.as_deref());
        }
    }
    table.print();
}

fn start(engine: &Engine, i: usize) {
    let labels = [
        "com.docker.compose.config-hash=8c1d7b6e0f4a4a3c",
        "com.docker.compose.container-number=1",
        "com.docker.compose.oneoff=False",
        "com.docker.compose.project=bench",
        "com.docker.compose.project.config_files=/srv/bench/docker-compose.yml",
        "com.docker.compose.project.working_dir=/srv/bench",
        "com.docker.compose.version=2.40.3",
    ];
    let mut options: Vec<String> = labels.iter().map(|label| format!("--label={label}")).collect();
    options.push(format!("--label=com.docker.compose.service=service{i}"));
    if i.is_multiple_of(5) {
        options.extend(["--cpus=0.5", "--memory=64m", "--pids-limit=100"].map(str::to_owned));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    engine.run(&format!("busy{i}"), &options, BUSY);
}

fn measure(table: &mut Table, engine: &Engine, number: usize, original: Option<&Path>) {
    let docker = format!("-docker={}", engine.address());
    let tuned = ["-docker_only", "-housekeeping_interval=10s"];
    let listen = |port| vec!["-listen_ip=127.0.0.1".to_owned(), format!("-port={port}")];
    let start = |binary: &Path, more: &[&str]| {
        let args: Vec<&str> = more.iter().copied().chain([&*docker]).collect();
        Contestant::new(Exporter::start_on(binary, &args, Path::new("/"), &listen))
    };
    let ours = shipped("container-advisor");
    let mut contestants = vec![start(&ours, &[]), start(&ours, &tuned)];
    if let Some(original) = original {
        contestants.extend([start(original, &[]), start(original, &tuned)]);
    }
    std::thread::sleep(WARM_UP);
    contestants.iter_mut().for_each(Contestant::scrape);
    for contestant in &mut contestants {
        contestant.wall.clear();
        contestant.cpu = contestant.exporter.cpu_ticks();
    }
    let precise: Vec<Duration> = contestants.iter().map(|c| c.exporter.cpu_time()).collect();
    for round in 0..SCRAPES {
        eprintln!("{number} containers: scrape {} of {SCRAPES}", round + 1);
        // One after the other, so that none waits for another's.
        let start = Instant::now();
        for (i, contestant) in contestants.iter_mut().enumerate() {
            std::thread::sleep((INTERVAL / 5 * i as u32).saturating_sub(start.elapsed()));
            contestant.scrape();
        }
        std::thread::sleep(INTERVAL.saturating_sub(start.elapsed()));
    }
    let minutes = (INTERVAL * SCRAPES as u32).as_secs_f64() / 60.0;
    // Threads that ended are in the ticks alone; ours has none that end in so short a time, the original's figures are large.
    let cpu = |i: usize| {
        let contestant = &contestants[i];
        let by_threads = contestant.exporter.cpu_time().saturating_sub(precise[i]);
        let by_ticks = contestant.exporter.cpu_ticks().saturating_sub(contestant.cpu);
        by_threads.max(by_ticks.saturating_sub(Duration::from_millis(20))).as_secs_f64() * 1e3 / minutes
    };
    let idle: Vec<Duration> = contestants.iter().map(|c| c.exporter.cpu_time()).collect();
    std::thread::sleep(INTERVAL);
    let idle = |i: usize| {
        (contestants[i].exporter.cpu_time() - idle[i]).as_secs_f64() * 1e3 * (60.0 / INTERVAL.as_secs_f64())
    };
    for (flags, i) in [("default flags", 0), ("docker_only, 10 s", 1)] {
        let other = original.map(|_| i + 2);
        let mut row = |what: &str, unit: &str, figure: &dyn Fn(usize) -> f64| {
            let what = format!("{number} containers, {flags}: {what}");
            table.row(&what, unit, Some(figure(i)), other.map(figure), None);
        };
        row("CPU time a minute, 4 scrapes", "ms", &cpu);
        row("CPU time a minute, no scrape", "ms", &idle);
        row("memory (RSS), most", "MB", &|i| contestants[i].peak_rss as f64 / 1e6);
        row("answer after, p50", "ms", &|i| median(contestants[i].wall.clone()));
        row("body, gzip", "kB", &|i| contestants[i].body as f64 / 1e3);
        row("body, plain", "kB", &|i| contestants[i].plain as f64 / 1e3);
        row("series", "", &|i| contestants[i].series as f64);
    }
}

/// What the engine itself uses in a minute: left alone, scraped by ours, scraped by the original; the figures are the difference to the
/// first, the mean of what it used before and after.
fn daemon(table: &mut Table, engine: &Engine, original: Option<&Path>) {
    let Some(pid) = engine.pid() else {
        return shared::skipped("the engine's CPU time", "its process cannot be told");
    };
    let docker = format!("-docker={}", engine.address());
    let listen = |port| vec!["-listen_ip=127.0.0.1".to_owned(), format!("-port={port}")];
    let minute = |binary: Option<&Path>| {
        eprintln!(
            "the engine's CPU time: {}",
            binary.map_or("left alone".into(), |binary| binary.display().to_string())
        );
        let mut contestant = binary
            .map(|binary| Contestant::new(Exporter::start_on(binary, &[&*docker], Path::new("/"), &listen)));
        // What it takes to get to know the containers once is left out.
        std::thread::sleep(INTERVAL);
        contestant.iter_mut().for_each(Contestant::scrape);
        let before = cpu_time(pid);
        for _ in 0..4 {
            std::thread::sleep(INTERVAL);
            contestant.iter_mut().for_each(Contestant::scrape);
        }
        (cpu_time(pid) - before).as_secs_f64() * 1e3
    };
    let ours = shipped("container-advisor");
    let mut alone = minute(None);
    let [with_ours, with_original] = [Some(&*ours), original].map(|binary| {
        let with = binary.map(|binary| minute(Some(binary)));
        let after = minute(None);
        let base = (alone + after) / 2.0;
        alone = after;
        with.map(|with| (with - base).max(0.0))
    });
    let what = format!("{DAEMON_AT} containers: CPU time of the engine a minute beyond {alone:.0} ms");
    table.row(&what, "ms", with_ours, with_original, None);
}
