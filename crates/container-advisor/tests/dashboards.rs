//! The dashboards that people have imported go on showing what they showed: each of their queries has results here if it has some with
//! the original, and of the same containers.
//!
//! A real Prometheus scrapes each of the two. Skipped, with a word, where an engine, the original or Prometheus is not at hand.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::binary;
use serde_json::Value;
use testbed::docker::Engine;
use testbed::process::Exporter;
use testbed::prometheus::Prometheus;
use testbed::shared;

/// The queries of the dashboards 193, 893 and 14282 of grafana.com about containers, with the choice of every host and container, and
/// ranges that a test can wait for.
const QUERIES: &[&str] = &[
    // 193
    r#"count(container_last_seen{image!=""})"#,
    r#"sum(container_memory_usage_bytes{image!=""})/1024/1024"#,
    r#"sum(rate(container_cpu_user_seconds_total{image!=""}[10s]) * 100)"#,
    r#"rate(container_cpu_user_seconds_total{image!=""}[10s]) * 100"#,
    r#"container_memory_usage_bytes{image!=""}"#,
    r#"irate(container_network_receive_bytes_total{image!=""}[10s])"#,
    r#"irate(container_network_transmit_bytes_total{image!=""}[10s])"#,
    // 893
    r#"count(rate(container_last_seen{name=~".+"}[10s]))"#,
    r#"sum(rate(container_cpu_usage_seconds_total{name=~".+"}[10s])) by (name) * 100"#,
    r#"sort_desc(sum(rate(container_cpu_user_seconds_total{image!=""}[10s])) by (name))"#,
    r#"sum(container_memory_rss{name=~".+"}) by (name)"#,
    r#"sum(container_memory_cache{name=~".+"}) by (name)"#,
    r#"sum(container_memory_swap{name=~".+"}) by (name)"#,
    r#"sort_desc(sum by (name) (rate(container_network_receive_bytes_total{image!=""}[10s])))"#,
    r#"sort_desc(sum by (name) (rate(container_network_transmit_bytes_total{image!=""}[10s])))"#,
    r#"sum(container_spec_memory_limit_bytes{name=~".+"} - container_memory_usage_bytes{name=~".+"}) by (name)"#,
    r#"sum by (name) (rate(container_fs_reads_bytes_total{name=~".+"}[10s]))"#,
    r#"sum by (name) (rate(container_fs_writes_bytes_total{name=~".+"}[10s]))"#,
    r#"sum(container_fs_usage_bytes{id="/"}) / sum(container_fs_limit_bytes{id="/"})"#,
    r#"sum(rate(container_network_receive_bytes_total{id="/"}[10s])) by (id)"#,
    r#"sum(container_memory_working_set_bytes{id="/"}) / sum(machine_memory_bytes) * 100"#,
    r#"sum(rate(container_cpu_usage_seconds_total{id="/"}[10s])) / sum(machine_cpu_cores) * 100"#,
    // 14282
    r#"sum(rate(container_cpu_usage_seconds_total{instance=~".*",name=~".*",name=~".+"}[10s])) by (name) *100"#,
    r#"sum(container_memory_rss{instance=~".*",name=~".*",name=~".+"}) by (name)"#,
    r#"sum(container_memory_cache{instance=~".*",name=~".*",name=~".+"}) by (name)"#,
    r#"sum(rate(container_network_receive_bytes_total{instance=~".*",name=~".*",name=~".+"}[10s])) by (name)"#,
    r#"sum(rate(container_network_transmit_bytes_total{instance=~".*",name=~".*",name=~".+"}[10s])) by (name)"#,
    r#"(time() - container_start_time_seconds{instance=~".*",name=~".*",name=~".+"})/86400"#,
    r#"group by (name, image, container_label_com_docker_compose_project, container_label_com_docker_compose_service) (container_start_time_seconds{name=~".+"})"#,
    // The alert that every collection of rules has.
    r#"time() - container_last_seen{name=~".+"} < 60"#,
    r#"absent(container_last_seen{name="nobody"})"#,
];

/// The names of the containers in a result, and how many series it has; `None` before Prometheus serves.
fn result(prometheus: &Prometheus, query: &str, prefix: &str) -> Option<(BTreeSet<String>, usize)> {
    let answer: Value = serde_json::from_str(&prometheus.query(query)?).unwrap();
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    let series = answer["data"]["result"].as_array().unwrap();
    let name = |series: &Value| series["metric"]["name"].as_str().map(str::to_owned);
    let of_ours = |name: &String| name.starts_with(prefix);
    Some((series.iter().filter_map(name).filter(of_ours).collect(), series.len()))
}

#[test]
fn the_queries_of_popular_dashboards_have_results() {
    let engine = match Engine::find() {
        Ok(engine) => engine,
        Err(why) => return shared::skipped("the dashboards' queries", &why),
    };
    let (Some(original), Some(prometheus)) = (shared::peer("cadvisor"), shared::peer("prometheus")) else {
        return shared::skipped(
            "the dashboards' queries",
            "the original or Prometheus is not at hand (set PEERS_DIR)",
        );
    };
    let work = "while :; do /bin/busybox dd if=/dev/zero of=/file bs=64k count=4 conv=fsync; /bin/busybox sleep 1; done";
    engine.run(
        "web",
        &["--label=com.docker.compose.project=shop", "--label=com.docker.compose.service=web"],
        work,
    );
    engine.run("db", &["--memory=64m"], work);
    let docker = format!("-docker={}", engine.address());
    let ours = Exporter::start(&binary(), &[&*docker], Path::new("/"));
    let listen = |port| vec!["-listen_ip=127.0.0.1".to_owned(), format!("-port={port}")];
    let args = [&*docker, "-allow_dynamic_housekeeping=false"];
    let original = Exporter::start_on(&original, &args, Path::new("/"), &listen);
    let servers = [&original, &ours]
        .map(|exporter| Prometheus::start(&prometheus, "cadvisor", &exporter.address().to_string()));
    let start = Instant::now();
    let scrapes = |server: &Prometheus| {
        let named =
            format!("count_over_time(container_fs_usage_bytes{{name=\"{}\"}}[1m])", engine.name("db"));
        server.value(&named).map_or(0, |n| n.parse::<u32>().unwrap())
    };
    while servers.iter().any(|server| scrapes(server) < 8) {
        assert!(start.elapsed() < Duration::from_secs(180), "{}", servers[1].log());
        std::thread::sleep(Duration::from_millis(250));
    }
    let prefix = engine.name("");
    let mut with_results = 0;
    for query in QUERIES {
        let [theirs, ours] = [0, 1].map(|i| result(&servers[i], query, &prefix).unwrap());
        assert_eq!(theirs.0, ours.0, "{query}: the containers in the result");
        assert_eq!(
            theirs.1 > 0,
            ours.1 > 0,
            "{query}: {} series with the original, {} with ours",
            theirs.1,
            ours.1
        );
        with_results += usize::from(theirs.1 > 0);
    }
    assert!(with_results > 25, "only {with_results} queries have results with the original");
    let complaints: Vec<String> = servers[1]
        .log()
        .lines()
        .filter(|line| ["level=WARN", "level=ERROR"].iter().any(|l| line.contains(l)))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
