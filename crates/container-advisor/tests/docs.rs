//! `docs/` says what the program does: its flags, kinds and families are the program's own tables, every difference from the original
//! that the comparing tests let pass has its row, and every path is answered. `UPDATE_DOCS=1` rewrites the tables.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{MEANT, binary};
use container_advisor::families::{self, Group};
use container_advisor::{PRODUCT, kinds};
use exporter::Flag;
use exporter::flags::{Effect, Takes};
use testbed::daemon::Daemon;
use testbed::docs::{self, cell, code};
use testbed::exposition::{self, Exposition};
use testbed::process::Exporter;
use testbed::tree::Tree;

const ADVISOR: &str = "container-advisor.md";
const METRICS: &str = "container-metrics.md";
const DIFFERENCES: &str = "container-differences.md";

const ID: &str = "7f0d150c719b611570c879a9110d8863b885e232367940af688e86db4ce440ad";

fn check(name: &str, of: &str, expected: &str) {
    docs::check("container-advisor", name, of, expected);
}

/// A small machine with cgroup v2 and one container.
fn host() -> Tree {
    let mut tree = Tree::new();
    tree.file("proc/meminfo", "MemTotal: 16000 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\n");
    tree.file("proc/cpuinfo", "processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n");
    tree.file("proc/diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
    tree.file("proc/1/mountinfo", "1 0 8:0 / / rw - ext4 /dev/sda rw\n");
    tree.file("sys/block/sda/dev", "8:0\n");
    let net = "a|b\nc|d\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    for (pid, name) in [(1, "init"), (42, "server")] {
        tree.file(
            format!("proc/{pid}/stat"),
            format!("{pid} ({name}) S 1 1 1 0 -1 4 1 2 3 4 150 50 9 9 20 0 1 0 4711 2322432 400 1\n"),
        );
        tree.file(format!("proc/{pid}/net/dev"), net);
    }
    let dimm = "sys/devices/system/edac/mc/mc0/dimm0";
    tree.file(format!("{dimm}/dimm_mem_type"), "Unbuffered-DDR4\n");
    tree.file(format!("{dimm}/size"), "8192\n");
    let cpu = "sys/devices/system/cpu/cpu0";
    tree.file(format!("{cpu}/topology/core_id"), "0\n");
    tree.file(format!("{cpu}/topology/physical_package_id"), "0\n");
    for (name, value) in [("level", "1"), ("size", "48K"), ("type", "Data"), ("shared_cpu_list", "0")] {
        tree.file(format!("{cpu}/cache/index0/{name}"), format!("{value}\n"));
    }
    let node = "sys/devices/system/node/node0";
    tree.file(format!("{node}/cpulist"), "0\n");
    tree.file(format!("{node}/meminfo"), "Node 0 MemTotal: 1000 kB\n");
    tree.file(format!("{node}/distance"), "10\n");
    tree.file(format!("{node}/hugepages/hugepages-2048kB/nr_hugepages"), "7\n");
    for group in ["", "/system.slice", &format!("/system.slice/docker-{ID}.scope")] {
        let file = |name: &str| format!("sys/fs/cgroup{group}/{name}");
        tree.file(file("cgroup.controllers"), "cpu io memory pids\n");
        tree.file(file("cgroup.procs"), if group.len() > 20 { "42\n" } else { "" });
        tree.file(file("cpu.stat"), "usage_usec 30\nuser_usec 20\nsystem_usec 10\n");
        tree.file(file("cpu.weight"), "100\n");
        tree.file(file("memory.current"), "8192\n");
        tree.file(file("memory.max"), "max\n");
        tree.file(file("memory.stat"), "anon 4096\nfile 4096\ninactive_file 0\npgfault 1\npgmajfault 0\n");
        tree.file(file("memory.events"), "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n");
        tree.file(file("io.stat"), "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n");
        let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n";
        for name in ["cpu", "memory", "io"] {
            tree.file(file(&format!("{name}.pressure")), pressure);
        }
    }
    tree
}

/// The program over [`host`], with a daemon that tells of its container, `web`.
struct Scene {
    exporter: Exporter,
    _daemon: Daemon,
    _dirs: [tempfile::TempDir; 2],
}

impl Scene {
    fn start(flags: &[&str]) -> Self {
        let host = host().unpacked();
        let run = tempfile::tempdir().unwrap();
        let socket = run.path().join("docker.sock");
        let daemon = Daemon::start(&socket);
        let inspection = format!(
            r#"{{"Id":"{ID}","Name":"/web","Created":"2026-01-02T03:04:05Z","State":{{"Status":"running","Running":true,"Pid":42,"StartedAt":"2026-01-02T03:04:06Z","FinishedAt":"2026-01-02T03:04:05Z"}},"Config":{{"Image":"nginx:latest","Labels":{{"a":"b"}},"Env":["APP_X=y"]}},"HostConfig":{{"NetworkMode":"bridge"}},"GraphDriver":{{"Name":"overlay2","Data":null}}}}"#
        );
        let line = format!(r#"{{"Id":"{ID}","Names":["/web"],"State":"running","Labels":{{"a":"b"}}}}"#);
        daemon.container(ID, &line, &inspection);
        let mut args = vec![
            format!("-path.rootfs={}", host.path().display()),
            format!("-path.sysfs={}", host.path().join("sys").display()),
            format!("-docker=unix://{}", socket.display()),
            "-podman=".to_owned(),
        ];
        args.extend(flags.iter().map(ToString::to_string));
        let exporter = Exporter::start(&binary(), &args, Path::new("/"));
        let begin = Instant::now();
        while !exporter.scrape().contains("name=\"web\"") {
            assert!(begin.elapsed() < Duration::from_secs(20), "no name: {}", exporter.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Scene { exporter, _daemon: daemon, _dirs: [host, run] }
    }

    fn scrape(&self) -> Exposition {
        Exposition::parse(&self.exporter.scrape()).unwrap_or_else(|fault| panic!("{fault}"))
    }
}

fn default_of(flag: &Flag) -> String {
    match flag.takes {
        Takes::Switch(on) => if on { "on" } else { "off" }.to_owned(),
        Takes::Text(default) => code(default),
        Takes::OneOf(values) => code(values[0]),
        Takes::Number(default) => code(&default.to_string()),
        Takes::List(values) => values.iter().map(|value| code(value)).collect::<Vec<_>>().join(" "),
    }
}

fn flags_table() -> String {
    let flags = PRODUCT.all_flags();
    let mut table = String::from("| Flag | Default | Meaning | Old name |\n|---|---|---|---|\n");
    for flag in flags.iter().filter(|flag| flag.effect == Effect::Some && flag.replaced_by.is_none()) {
        let mut meaning = cell(flag.help);
        match flag.takes {
            Takes::OneOf(values) => write!(meaning, " One of {}.", values.join(", ")).unwrap(),
            Takes::List(_) => meaning.push_str(" Repeatable."),
            _ => {}
        }
        if flag.hidden {
            meaning.push_str(" Not in `-help`.");
        }
        let old = flags.iter().filter(|old| old.replaced_by == Some(flag.name));
        let old = old.map(|old| code(&format!("-{}", old.name))).collect::<Vec<_>>().join(" ");
        writeln!(table, "| `-{}` | {} | {meaning} | {old} |", flag.name, default_of(flag)).unwrap();
    }
    table
}

/// The flags that do nothing, of one effect, in a paragraph.
fn ignored(effect: Effect) -> String {
    let flags = PRODUCT.all_flags();
    let names = flags.iter().filter(|flag| flag.effect == effect);
    let names: Vec<String> = names.map(|flag| code(&format!("-{}", flag.name))).collect();
    format!("{}\n", names.join(", "))
}

#[test]
fn flags_are_as_documented() {
    check(ADVISOR, "flags", &flags_table());
    check(ADVISOR, "ignored", &ignored(Effect::None));
    check(ADVISOR, "silent", &ignored(Effect::Silent));
}

#[test]
fn every_flag_has_a_short_help() {
    let flags = PRODUCT.all_flags();
    for flag in flags.iter().filter(|flag| flag.effect == Effect::Some && flag.replaced_by.is_none()) {
        let help = flag.help;
        assert!(help.ends_with(['.', ']']) || help.contains("[default: "), "-{}: {help:?}", flag.name);
        assert!((8..110).contains(&help.len()), "-{}: {help:?}", flag.name);
    }
}

#[test]
fn kinds_are_as_documented() {
    let text = docs::read(ADVISOR);
    // What each is about is written by hand.
    let about: BTreeMap<&str, &str> =
        docs::rows(docs::table(&text, "kinds")).into_iter().map(|row| (row[0], row[2])).collect();
    let mut table = String::from("| Kind | Default | What |\n|---|---|---|\n");
    for (_, name, on) in kinds::ALL {
        let name = code(name);
        let what = about.get(&*name).copied().unwrap_or("?");
        assert!(docs::is_update() || what.len() > 3, "{name} has no words");
        writeln!(table, "| {name} | {} | {what} |", if on { "on" } else { "off" }).unwrap();
    }
    check(ADVISOR, "kinds", &table);
}

fn kind_name(group: Group) -> String {
    match group {
        Group::Always => String::new(),
        Group::Of(kind) => code(kinds::ALL[kind as usize].1),
        Group::Load => "`cpuLoad`, with `-enable_load_reader`".to_owned(),
        Group::Extended => "**new**".to_owned(),
    }
}

const HEADING: &str = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n";

fn label_codes<'a>(labels: impl IntoIterator<Item = &'a str>) -> String {
    labels.into_iter().map(code).collect::<Vec<_>>().join(" ")
}

/// The rows of the families in an answer that `is` lets pass.
fn rows_of(answer: &Exposition, is: impl Fn(&str) -> bool) -> String {
    let mut table = HEADING.to_owned();
    for family in answer.families.iter().filter(|family| is(&family.name)) {
        let labels: BTreeSet<String> = family
            .samples
            .iter()
            .flat_map(|sample| exposition::labels(sample).into_iter().map(|(name, _)| name.to_owned()))
            .filter(|label| !["boot_id", "machine_id", "system_uuid"].contains(&&**label))
            .collect();
        let labels = label_codes(labels.iter().map(String::as_str));
        writeln!(table, "| `{}` | {} | {labels} | {} |", family.name, family.kind, cell(&family.help))
            .unwrap();
    }
    table
}

fn is_of_the_machine(name: &str) -> bool {
    name.starts_with("machine_") || name == "cadvisor_version_info"
}

fn is_of_a_container(name: &str) -> bool {
    families::ALL.iter().any(|family| family.name == name)
}

#[test]
fn metrics_are_as_documented() {
    let mut table = String::from("| Metric | Type | Labels | Kind | Meaning |\n|---|---|---|---|---|\n");
    for family in families::ALL {
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} |",
            family.name,
            family.kind.as_str(),
            label_codes(family.labels.iter().copied()),
            kind_name(family.group),
            cell(family.help)
        )
        .unwrap();
    }
    check(METRICS, "containers", &table);
    let lacking: Vec<String> = families::LACKING.iter().map(|name| code(name)).collect();
    check(METRICS, "lacking", &format!("{}\n", lacking.join(", ")));

    let answer = Scene::start(&["-disable_metrics="]).scrape();
    check(METRICS, "machine", &rows_of(&answer, is_of_the_machine));
    check(METRICS, "itself", &rows_of(&answer, |name| !is_of_the_machine(name) && !is_of_a_container(name)));
}

#[test]
fn what_a_default_scrape_has_is_documented() {
    let text = docs::read(METRICS);
    let rows = ["containers", "machine", "itself"].map(|name| docs::rows(docs::table(&text, name)));
    let listed: BTreeSet<&str> = rows.iter().flatten().map(|row| row[0].trim_matches('`')).collect();
    let answer = Scene::start(&[]).scrape();
    let served: BTreeSet<&str> = answer.families.iter().map(|family| &*family.name).collect();
    let missing: Vec<_> = served.difference(&listed).collect();
    assert!(missing.is_empty(), "not in {METRICS}: {missing:?}");
    for name in ["container_cpu_usage_seconds_total", "container_state", "machine_cpu_cores"] {
        assert!(served.contains(name), "{name} is not in a default scrape");
    }
    assert!(!served.contains("container_threads"), "a family that is off by default");
}

#[test]
fn every_difference_that_tests_let_pass_is_documented() {
    let text = docs::read(DIFFERENCES);
    let rows: BTreeSet<&str> =
        docs::rows(docs::table(&text, "meant")).into_iter().map(|row| row[0]).collect();
    let whys: BTreeSet<&str> = MEANT.iter().map(|meant| meant.why).collect();
    let capital = |why: &&str| why[..1].to_uppercase() + &why[1..];
    let expected: BTreeSet<String> = whys.iter().map(capital).collect();
    let found: BTreeSet<String> = rows.into_iter().map(str::to_owned).collect();
    assert_eq!(found, expected, "the table `meant` of {DIFFERENCES}, and MEANT in tests/common");
}

/// Each row of the table of paths is asked for, with the container and a cgroup of [`host`] in place of what stands in angle brackets.
#[test]
fn every_path_is_answered_as_documented() {
    let text = docs::read(ADVISOR);
    let scene = Scene::start(&[]);
    let rows = docs::rows(docs::table(&text, "paths"));
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let [path, status, _] = row[..] else { panic!("three columns in {row:?}") };
        let path = path.trim_matches('`').replace("<cgroup>", "system.slice").replace("<name or id>", "web");
        assert!(!path.contains('<'), "{path}");
        let answer = scene.exporter.get(&path, &[]);
        assert_eq!(answer.status.to_string(), status, "{path}: {:.300}", answer.text());
    }
}
