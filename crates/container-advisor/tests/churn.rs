//! Cgroups and containers that come and go while the program is scraped: each is shown whole or not at all, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Answer, binary};
use testbed::docker::Engine;
use testbed::exposition::Exposition;
use testbed::process::Exporter;
use testbed::shared;

const NAP: &str = "while :; do /bin/busybox sleep 1; done";

/// An answer that any reader takes: no series and no family comes twice.
fn scrape(exporter: &Exporter) -> Answer {
    let text = exporter.scrape();
    Exposition::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let answer = Answer::parse(&text);
    assert_eq!(answer.faults, Vec::<String>::new());
    answer
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of the families that say something of each cgroup, by path.
fn families_by_id(answer: &Answer) -> BTreeMap<String, BTreeSet<String>> {
    let mut families = BTreeMap::<String, BTreeSet<String>>::new();
    for series in answer.values.keys().filter(|series| !series.label("id").is_empty()) {
        families.entry(series.label("id").to_owned()).or_default().insert(series.name.clone());
    }
    families
}

/// Cgroups in some trees, which are removed in the end.
struct Groups {
    /// Where they are in each tree.
    parents: Vec<PathBuf>,
    path: String,
}

impl Groups {
    /// Makes a place for them in each of the trees below `/sys/fs/cgroup`; `None` if that is not allowed here.
    fn new(name: &str, trees: &[&str]) -> Option<Self> {
        let path = format!("/testbed{}{name}", std::process::id());
        let parents = trees.iter().map(|tree| Path::new("/sys/fs/cgroup").join(tree).join(&path[1..]));
        let groups = Groups { parents: parents.collect(), path };
        for parent in &groups.parents {
            if !parent.parent().is_some_and(|tree| tree.join("cgroup.procs").exists()) {
                return None;
            }
            fs::create_dir(parent).ok()?;
        }
        Some(groups)
    }

    /// A name as containers have it.
    fn name(n: usize) -> String {
        format!("{n:064x}")
    }

    /// The `id` of a cgroup.
    fn id(&self, n: usize) -> String {
        format!("{}/{}", self.path, Self::name(n))
    }

    fn make(&self, n: usize) {
        self.parents.iter().for_each(|parent| fs::create_dir(parent.join(Self::name(n))).unwrap());
    }

    fn remove(&self, n: usize) {
        self.parents.iter().for_each(|parent| drop(fs::remove_dir(parent.join(Self::name(n)))));
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for parent in &self.parents {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                drop(fs::remove_dir(entry.path()));
            }
            drop(fs::remove_dir(parent));
        }
    }
}

/// How many cgroups there are at most.
const GROUPS: usize = 50;

/// The one that stays.
const STAYS: usize = 999;

#[test]
fn b2_cgroups_that_come_and_go_are_whole_or_absent() {
    // Trees that a controller shares with another are two names of one.
    let v1 = ["cpu", "cpuacct", "memory"];
    let mut all: Vec<(&str, Groups)> = Vec::new();
    all.extend(Groups::new("v1", &v1).map(|groups| ("v1", groups)));
    let unified = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "" } else { "unified" };
    // Beside v1 the tree of v2 has no controllers, and what is in it alone is nobody's container.
    let is_alone = unified.is_empty();
    let beside = (!is_alone).then(|| Groups::new("beside", &["unified"])).flatten();
    if is_alone {
        all.extend(Groups::new("v2", &[""]).map(|groups| ("v2", groups)));
    }
    if all.is_empty() {
        return shared::skipped("cgroups that come and go", "no cgroup may be made here");
    }
    for (_, groups) in &all {
        groups.make(STAYS);
    }
    let exporter = Exporter::start(&binary(), &["-docker=", "-podman="], Path::new("/"));
    // Some threads are only made when there is something to be done by them.
    (0..20).for_each(|_| drop(scrape(&exporter)));
    let expected = families_by_id(&scrape(&exporter));
    let expected: Vec<&BTreeSet<String>> =
        all.iter().map(|(_, groups)| &expected[&groups.id(STAYS)]).collect();
    for families in &expected {
        for family in [
            "container_cpu_user_seconds_total",
            "container_last_seen",
            "container_memory_usage_bytes",
            "container_spec_cpu_shares",
            "container_spec_memory_limit_bytes",
            "container_start_time_seconds",
        ] {
            assert!(families.contains(family), "{family} is not said of a cgroup that stays: {families:?}");
        }
    }
    let open =
        || exporter.open_files().iter().filter(|path| !path.to_string_lossy().starts_with("socket:")).count();
    let (before, threads) = (open(), exporter.status("Threads"));
    let is_over = AtomicBool::new(false);
    let (whole, rounds) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        /// Ends the others if this thread fails.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        for groups in all.iter().map(|(_, groups)| groups).chain(&beside) {
            let (is_over, rounds) = (&is_over, &rounds);
            scope.spawn(move || {
                while !is_over.load(Relaxed) {
                    for n in 0..GROUPS {
                        groups.make(n);
                        std::thread::sleep(Duration::from_micros(300));
                    }
                    (0..GROUPS).for_each(|n| groups.remove(n));
                    rounds.fetch_add(1, Relaxed);
                }
            });
        }
        let _over = Over(&is_over);
        let start = Instant::now();
        let mut scrapes = 0;
        while scrapes < 100 || start.elapsed() < Duration::from_secs(5) {
            let families = families_by_id(&scrape(&exporter));
            for ((tree, groups), expected) in all.iter().zip(&expected) {
                assert_eq!(families.get(&groups.id(STAYS)), Some(*expected), "the one that stays, {tree}");
                for n in 0..GROUPS {
                    let Some(said) = families.get(&groups.id(n)) else { continue };
                    // One that is gone has been seen.
                    if said.iter().eq(["container_last_seen"]) {
                        continue;
                    }
                    assert_eq!(said, *expected, "{tree}: a part of a cgroup is shown");
                    whole.fetch_add(1, Relaxed);
                }
            }
            scrapes += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(rounds.load(Relaxed) > 2 && whole.load(Relaxed) > GROUPS, "nothing came and went");
    scrape(&exporter);
    assert_eq!(open(), before, "{:?}", exporter.open_files());
    // A scrape that takes long has another thread beside it.
    assert!(exporter.status("Threads") <= threads + 1, "{threads} threads before");
    let gone = exporter.open_files().into_iter().filter(|path| path.to_string_lossy().contains("(deleted)"));
    let gone: Vec<PathBuf> = gone.filter(|path| path.starts_with("/sys")).collect();
    assert_eq!(gone, Vec::<PathBuf>::new());
    assert_quiet(&exporter);
}

fn assert_quiet(exporter: &Exporter) {
    let log = exporter.log();
    // That we are root, and that an engine with much to do takes its time, is not about containers.
    let meant = ["Running as root", "err=\"no answer in time\""];
    let loud: Vec<&str> = log
        .lines()
        .filter(|line| ["WARN", "ERROR"].iter().any(|level| line.contains(level)))
        .filter(|line| !meant.iter().any(|meant| line.contains(meant)))
        .collect();
    assert_eq!(loud, Vec::<&str>::new());
}

/// One test at a time: an engine's end takes along every container that this process made in it.
fn find_engine(what: &str) -> Option<(Engine, MutexGuard<'static, ()>)> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    Engine::find().map(|engine| (engine, one)).map_err(|why| shared::skipped(what, &why)).ok()
}

/// What must be said of every container that has a name and runs.
const WHOLE: &[&str] = &[
    "container_cpu_system_seconds_total",
    "container_cpu_user_seconds_total",
    "container_last_seen",
    "container_memory_rss",
    "container_memory_usage_bytes",
    "container_spec_cpu_shares",
    "container_spec_memory_limit_bytes",
    "container_start_time_seconds",
];

/// Containers of this prefix that are half shown.
fn halves(answer: &Answer, prefix: &str) -> Vec<String> {
    let mut by_name = BTreeMap::<&str, BTreeSet<&str>>::new();
    for series in answer.values.keys().filter(|series| series.label("name").starts_with(prefix)) {
        by_name.entry(series.label("name")).or_default().insert(&series.name);
    }
    let about_cgroup = |family: &&&str| {
        ["container_cpu_", "container_memory_", "container_spec_"]
            .iter()
            .any(|start| family.starts_with(start))
    };
    let mut halves = Vec::new();
    for (name, families) in by_name {
        if families.iter().any(|family| about_cgroup(&family)) {
            let missing: Vec<&&str> = WHOLE.iter().filter(|family| !families.contains(**family)).collect();
            if !missing.is_empty() {
                halves.push(format!("{name} lacks {missing:?}"));
            }
        }
    }
    halves
}

#[test]
fn b3_containers_that_come_and_go_are_whole_or_absent() {
    let Some((engine, _one)) = find_engine("containers that come and go") else { return };
    /// How many in each half, and how many at once.
    const HALF: usize = 30;
    const AT_ONCE: usize = 8;
    let docker = format!("-docker={}", engine.address());
    let exporter = Exporter::start(&binary(), &[&*docker, "-podman="], Path::new("/"));
    let prefix = engine.name("churn");
    let next = AtomicUsize::new(0);
    let (mut shown, mut scrapes) = (BTreeSet::new(), 0);
    let mut run_half = |to: usize| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let (engine, next, prefix) = (&engine, &next, &prefix);
                    scope.spawn(move || {
                        loop {
                            let n = next.fetch_add(1, Relaxed);
                            if n >= to {
                                return;
                            }
                            let name = format!("{prefix}{n}");
                            let image = testbed::docker::IMAGE;
                            let script = "exec /bin/busybox sleep 0.3";
                            engine.docker(&["run", "--rm", "--name", &name, image, "/bin/sh", "-c", script]);
                        }
                    })
                })
                .collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                let answer = scrape(&exporter);
                assert_eq!(halves(&answer, &prefix), Vec::<String>::new());
                for series in answer.values.keys().filter(|s| s.name == "container_memory_usage_bytes") {
                    let name = series.label("name");
                    if name.starts_with(&prefix) {
                        shown.insert(name.to_owned());
                    }
                }
                scrapes += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            for worker in workers {
                worker.join().unwrap();
            }
        });
        next.store(to, Relaxed);
        // What the last of them left is looked at once more.
        for _ in 0..20 {
            scrape(&exporter);
        }
    };
    run_half(HALF);
    let flat = || {
        let files = exporter.open_files().into_iter().filter(|path| !path.starts_with("socket:")).count();
        (files, exporter.status("Threads"))
    };
    let (first, flat_first) = (exporter.rss_bytes(), flat());
    run_half(2 * HALF);
    let second = exporter.rss_bytes();
    assert!(
        shown.len() > HALF / 2,
        "{} of {} containers were shown in {scrapes} scrapes",
        shown.len(),
        2 * HALF
    );
    assert!(second <= first + (1 << 20), "resident memory went from {first} to {second} bytes");
    // A walk of the layers may be under way.
    let flat_second = eventually("as many descriptors and threads as before", || {
        let now = flat();
        (now.0 <= flat_first.0 && now.1 <= flat_first.1 + 1).then_some(now)
    });
    eprintln!(
        "{scrapes} scrapes, {} containers seen; {first} to {second} bytes, {flat_second:?}",
        shown.len()
    );
    assert_quiet(&exporter);
}

#[test]
fn b8_no_process_and_no_namespace_is_held() {
    let Some((engine, _one)) = find_engine("a network namespace that ends") else { return };
    let id = engine.run("pinned", &[], NAP);
    let docker = format!("-docker={}", engine.address());
    let exporter = Exporter::start(&binary(), &[&*docker, "-podman=", "-disable_metrics="], Path::new("/"));
    let name = engine.name("pinned");
    let has_network = |answer: &Answer| {
        let network = |s: &&common::Series| {
            s.name == "container_network_receive_bytes_total" && s.label("name") == name
        };
        answer.values.keys().any(|series| network(&series))
    };
    eventually("the container's network", || has_network(&scrape(&exporter)).then_some(()));
    let pid = engine.docker(&["inspect", "--format", "{{.State.Pid}}", &id]);
    let namespace = fs::read_link(format!("/proc/{pid}/ns/net"));
    let namespaces = || {
        let listed = Command::new("lsns").args(["--noheadings", "--type", "net", "--output", "NS"]).output();
        listed
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let number = namespace.ok().and_then(|link| {
        let link = link.to_string_lossy().into_owned();
        Some(link.strip_prefix("net:[")?.strip_suffix(']')?.to_owned())
    });
    let held = || -> Vec<PathBuf> {
        let own = format!("/proc/{}", exporter.pid());
        let is_of_another = |path: &PathBuf| {
            let text = path.to_string_lossy();
            let process = path.strip_prefix("/proc").ok().and_then(|rest| rest.iter().next());
            let is_process = process.is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
            text.starts_with("net:[")
                || (is_process && !path.starts_with(&own))
                || (path.starts_with("/sys/fs/cgroup") && path.iter().count() > 5)
        };
        exporter.open_files().into_iter().filter(is_of_another).collect()
    };
    assert_eq!(held(), Vec::<PathBuf>::new());
    engine.docker(&["rm", "--force", &id]);
    assert_eq!(held(), Vec::<PathBuf>::new());
    match (number, namespaces()) {
        (Some(number), Some(_)) => eventually("the namespace's end", || {
            (!namespaces()?.split_whitespace().any(|line| line == number)).then_some(())
        }),
        _ => shared::skipped("the list of namespaces", "lsns or the right to see them is missing"),
    }
    eventually("its end in the answer", || (!has_network(&scrape(&exporter))).then_some(()));
    assert_eq!(held(), Vec::<PathBuf>::new());
}

#[test]
fn b9_a_new_container_takes_the_name_of_the_old_one() {
    let Some((engine, _one)) = find_engine("a container made anew") else { return };
    let name = engine.name("again");
    let mut id = engine.run("again", &[], NAP);
    let docker = format!("-docker={}", engine.address());
    let exporter = Exporter::start(&binary(), &[&*docker, "-podman="], Path::new("/"));
    let ids = |answer: &Answer| -> BTreeSet<String> {
        let named = answer.values.keys().filter(|series| series.label("name") == name);
        named.map(|series| series.label("id").to_owned()).collect()
    };
    let only = |id: &str| {
        eventually("the container under its name alone", || {
            let ids = ids(&scrape(&exporter));
            assert!(ids.len() < 2, "two containers have one name: {ids:?}");
            ids.first().is_some_and(|path| path.contains(id)).then_some(())
        });
    };
    only(&id);
    for _ in 0..3 {
        engine.docker(&["rm", "--force", &name]);
        let new = engine.run("again", &[], NAP);
        only(&new);
        let answer = scrape(&exporter);
        let old = answer.values.keys().find(|s| s.label("id").contains(&id));
        assert_eq!(old, None, "the old container is still spoken of");
        assert_eq!(halves(&answer, &name), Vec::<String>::new());
        id = new;
    }
    assert_quiet(&exporter);
}
