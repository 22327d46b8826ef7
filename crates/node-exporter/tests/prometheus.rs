//! Real Prometheus scrapes the exporter through a configuration as its users have it, and promtool finds no more fault with the answer
//! than with the original's. Skipped, loudly, where they are not at hand.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::process::Exporter;
use testbed::prometheus::Prometheus;
use testbed::shared::{UPSTREAM_DEFAULTS, peer, skipped};

const BINARY: &str = env!("CARGO_BIN_EXE_node-exporter");

#[test]
fn prometheus_scrapes_without_a_warning() {
    let Some(binary) = peer("prometheus") else { return skipped("a real Prometheus", "it is not at hand") };
    let exporter = Exporter::start(Path::new(BINARY), &[""; 0], Path::new("/"));
    let prometheus = Prometheus::start(&binary, "node", &exporter.address().to_string());
    let start = Instant::now();
    // Ten scrapes, so that counters have rates.
    while prometheus.value("count_over_time(up[1m])").is_none_or(|n| n.parse::<u32>().unwrap() < 10) {
        assert!(start.elapsed() < Duration::from_secs(120), "{}", prometheus.log());
        std::thread::sleep(Duration::from_millis(250));
    }
    let value = |query| prometheus.value(query).unwrap_or_else(|| panic!("{query}: {}", prometheus.log()));
    assert_eq!(value("min_over_time(up[1m])"), "1");
    assert_eq!(value("count(node_cpu_seconds_total{mode=\"idle\"})>bool(0)"), "1");
    assert_eq!(value("scrape_samples_scraped==bool(scrape_samples_post_metric_relabeling)"), "1");
    assert_eq!(value("(rate(node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}[30s])>=bool(0))"), "1");
    let log = prometheus.log();
    let complaints: Vec<&str> =
        log.lines().filter(|line| ["level=WARN", "level=ERROR"].iter().any(|l| line.contains(l))).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// What promtool says of an answer, without the HELP texts it quotes.
fn lint(promtool: &Path, answer: &str) -> Vec<String> {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut lines: Vec<String> =
        String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn promtool_finds_no_more_fault_than_with_the_original() {
    let (Some(promtool), Some(original)) = (peer("promtool"), peer("node_exporter")) else {
        return skipped("promtool's check", "promtool and the original are not at hand");
    };
    let answer = |binary: PathBuf, args: &[&str]| Exporter::start(&binary, args, Path::new("/")).scrape();
    let theirs = lint(&promtool, &answer(original, &UPSTREAM_DEFAULTS));
    let ours = lint(&promtool, &answer(BINARY.into(), &[]));
    assert!(!theirs.is_empty(), "promtool has always had something to say of these names");
    let more: Vec<&String> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    assert!(more.is_empty(), "{more:#?}");
}
