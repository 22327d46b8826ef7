//! Beside the original, on a real engine with containers of every kind: the same series, types and values; and what only ours has.
//!
//! It takes the engine that runs here, or starts one; without either, or without the original, it says so.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Answer, MEANT, OLD, Series, assert_none, binary, differences, without_meant};
use testbed::docker::Engine;
use testbed::process::Exporter;
use testbed::shared;

const NAP: &str = "while :; do /bin/busybox sleep 1; done";

/// Containers of every kind; the last two have ended when this returns.
fn containers(engine: &Engine) {
    let limits = [
        "--memory=64m",
        "--memory-swap=128m",
        "--memory-reservation=32m",
        "--cpus=0.5",
        "--cpu-shares=512",
        "--pids-limit=100",
    ];
    engine.run("limits", &limits, NAP);
    let labels = [
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=web",
        "--label=odd=a\"b\\c\u{e9}",
        "--label=empty=",
        "--env=APP_ENV=prod",
    ];
    engine.run("labels", &labels, NAP);
    let health = ["--health-cmd=/bin/busybox true", "--health-interval=1s", "--health-retries=1"];
    engine.run("healthy", &health, NAP);
    let once = "[ -e /again ] && exec /bin/busybox sleep 100000; /bin/busybox touch /again; exit 1";
    engine.run("restarted", &["--restart=on-failure:5"], once);
    let oom = "/bin/busybox dd if=/dev/zero of=/dev/null bs=64M count=1; exec /bin/busybox sleep 100000";
    engine.run("oomchild", &["--memory=16m", "--memory-swap=16m"], oom);
    engine.run("hostnet", &["--network=host"], NAP);
    engine.run("nonet", &["--network=none"], NAP);
    engine.run("paused", &[], NAP);
    engine.docker(&["pause", &engine.name("paused")]);
    engine.run("sidecar", &[&format!("--network=container:{}", engine.name("limits"))], NAP);
    let writes = "while :; do /bin/busybox dd if=/dev/zero of=/file bs=64k count=16 conv=fsync; /bin/busybox sleep 1; done";
    engine.run("writer", &[], writes);
    engine.run("pinned", &["--cpuset-cpus=0"], "while :; do :; done");
    engine.run("exited", &[], "exit 3");
    engine.run(
        "oomdead",
        &["--memory=16m", "--memory-swap=16m"],
        "exec /bin/busybox dd if=/dev/zero of=/dev/null bs=64M count=1",
    );
    engine.docker(&["wait", &engine.name("exited"), &engine.name("oomdead")]);
}

const RUNNING: [&str; 11] = [
    "limits",
    "labels",
    "healthy",
    "restarted",
    "oomchild",
    "hostnet",
    "nonet",
    "paused",
    "sidecar",
    "writer",
    "pinned",
];

/// Asks again and again until what is looked for is there.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn scrape(exporter: &Exporter) -> Answer {
    Answer::parse(&exporter.scrape())
}

fn has_all(answer: &Answer, engine: &Engine) -> bool {
    RUNNING.iter().all(|name| answer.value("container_last_seen", &[("name", &engine.name(name))]).is_some())
}

#[test]
fn every_series_of_the_original_is_there_with_its_value() {
    let engine = match Engine::find() {
        Ok(engine) => engine,
        Err(why) => return shared::skipped("a live engine", &why),
    };
    containers(&engine);
    let docker = format!("-docker={}", engine.address());
    let ours = Exporter::start(&binary(), &[&*docker, "-env_metadata_whitelist=APP_"], Path::new("/"));
    eventually("names of all containers", || has_all(&scrape(&ours), &engine).then_some(()));
    only_ours(&ours, &engine);
    let Some(original) = shared::peer("cadvisor") else {
        return shared::skipped("a comparison with the original", "it is not at hand (set PEERS_DIR)");
    };
    let args = [
        &*docker,
        "-docker_env_metadata_whitelist=APP_",
        "-allow_dynamic_housekeeping=false",
        "-housekeeping_interval=1s",
    ];
    let listen = |port| vec!["-listen_ip=127.0.0.1".to_owned(), format!("-port={port}")];
    let original = Exporter::start_on(&original, &args, Path::new("/"), &listen);
    eventually("names at the original", || has_all(&scrape(&original), &engine).then_some(()));
    // Its disk usage comes with its second round, as does ours.
    std::thread::sleep(Duration::from_secs(3));
    let first = scrape(&original);
    std::thread::sleep(Duration::from_millis(2500));
    let between = scrape(&ours);
    std::thread::sleep(Duration::from_millis(2500));
    let last = scrape(&original);
    assert_eq!(between.faults, Vec::<String>::new());
    // Containers of somebody else's may come and go.
    let prefix = engine.name("");
    let is_ours = |series: &Series| {
        let name = series.label("name");
        name.is_empty() || (name.starts_with(&prefix) && !name.ends_with("-short"))
    };
    compare(&first.filtered(is_ours), between.filtered(is_ours), &last);
}

fn compare(first: &Answer, ours: Answer, last: &Answer) {
    // What comes or goes between the two readings of the original is not at rest.
    let at_rest = |series: &Series| last.values.contains_key(series);
    let is_about =
        |series: &Series| ["container_", "machine_"].iter().any(|prefix| series.name.starts_with(prefix));
    let transient = |series: &Series| last.values.contains_key(series) != first.values.contains_key(series);
    let ours = ours.filtered(|series| is_about(series) && !transient(series));
    let original = first.clone().filtered(|series| is_about(series) && at_rest(series));
    let same = |series: &Series, before: f64, our: f64| {
        let after = last.values[series];
        let (low, high) = (before.min(after), before.max(after));
        // Memory moves by some pages between two readings; so do inodes and bytes of a disk in use.
        let slack = if series.name.contains("memory") || series.name.contains("_fs_") { 1e6 } else { 1e-9 };
        // What others do on this machine is not at rest.
        let share =
            if series.label("name").is_empty() && series.name.contains("memory") { 0.5 } else { 0.02 };
        let slack = slack + share * high.abs();
        (low - slack..=high + slack).contains(&our)
    };
    let found = differences(&original, &ours, same);
    let (rest, used) = without_meant(found, &[MEANT, OLD]);
    println!(
        "{} series of the original, {} of ours; meant differences: {used:#?}",
        original.values.len(),
        ours.values.len()
    );
    assert_none("live", &rest);
    assert!(original.values.len() > 500, "only {} series compared", original.values.len());
}

/// What the original does not tell.
fn only_ours(ours: &Exporter, engine: &Engine) {
    let name = |short: &str| engine.name(short);
    let value = |family: &str, short: &str| scrape(ours).value(family, &[("name", &name(short))]);
    let state = |short: &str| {
        let answer = scrape(ours);
        let name = name(short);
        let mut states =
            answer.values.keys().filter(|s| s.name == "container_state" && s.label("name") == name);
        let state = states.next().map(|series| series.label("state").to_owned());
        assert!(states.next().is_none(), "{name} has two states");
        state
    };
    eventually("the health check", || {
        (value("container_health_state", "healthy") == Some(1.0)).then_some(())
    });
    eventually("the restart", || (value("container_restart_count", "restarted")? >= 1.0).then_some(()));
    eventually("the OOM killer", || (value("container_oom_events_total", "oomchild")? >= 1.0).then_some(()));
    assert!(value("container_memory_events_oom_kill_total", "oomchild").unwrap() >= 1.0);
    assert_eq!(state("limits").as_deref(), Some("running"));
    assert_eq!(state("paused").as_deref(), Some("paused"));
    assert_eq!(state("exited").as_deref(), Some("exited"));
    assert_eq!(value("container_exit_code", "exited"), Some(3.0));
    assert_eq!(value("container_exit_code", "oomdead"), Some(137.0));
    assert_eq!(value("container_oom_killed", "oomdead"), Some(1.0));
    assert_eq!(value("container_oom_killed", "exited"), Some(0.0));
    assert_eq!(value("container_exit_code", "limits"), None);
    // A new name comes by an event.
    engine.docker(&["rename", &name("limits"), &name("renamed")]);
    eventually("the new name", || value("container_last_seen", "renamed"));
    engine.docker(&["rename", &name("renamed"), &name("limits")]);
    eventually("the old name", || value("container_last_seen", "limits"));
    // A container that ends is spoken of by its state and by when it was last seen, and by nothing else.
    engine.run("short", &[], NAP);
    eventually("the short one", || value("container_last_seen", "short"));
    engine.docker(&["stop", "--time=0", &name("short")]);
    eventually("its end", || (state("short").as_deref() == Some("exited")).then_some(()));
    let answer = scrape(ours);
    let families: Vec<&str> = answer
        .values
        .keys()
        .filter(|series| series.label("name") == name("short"))
        .map(|series| series.name.as_str())
        .collect();
    assert_eq!(
        families,
        [
            "container_exit_code",
            "container_finished_time_seconds",
            "container_health_state",
            "container_last_seen",
            "container_oom_killed",
            "container_restart_count",
            "container_state"
        ]
    );
    let seen = answer.value("container_last_seen", &[("name", &name("short"))]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(value("container_last_seen", "short"), seen, "it stays at its last value");
    // One of the same name takes its place at once.
    engine.docker(&["rm", &name("short")]);
    engine.run("short", &[], NAP);
    eventually("the new one", || (value("container_last_seen", "short") > seen).then_some(()));
    engine.docker(&["rm", "--force", &name("short")]);
    eventually("nothing but when it was last seen", || {
        let answer = scrape(ours);
        let all = answer.values.keys().filter(|series| series.label("name") == name("short"));
        all.map(|series| series.name.as_str()).eq(["container_last_seen"]).then_some(())
    });
}
