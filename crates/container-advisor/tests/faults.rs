//! What goes wrong with files, with the runtime's socket and with names: the program tells what is right, or nothing, and goes on.
//!
//! The names of the tests begin with the entry of the catalogue of faults that they are about: C for contents, H for the runtime's API,
//! A for hangs, B for what vanishes, J for secrets.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

#[path = "common/boxes.rs"]
mod boxes;
mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxes::{A, B};
use common::{Answer, Series, binary};
use exporter::{Collector, Flags, Text};
use serde_json::json;
use testbed::daemon::{Daemon, Fault};
use testbed::exposition::{Exposition, label, labels, split};
use testbed::process::Exporter;
use testbed::shared;
use testbed::tree::Tree;

/// Asks again and again until what is looked for is there.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An answer that any reader takes: no series and no family comes twice.
fn answer(text: &str) -> Answer {
    Exposition::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let answer = Answer::parse(text);
    assert_eq!(answer.faults, Vec::<String>::new());
    answer
}

/// Where a container's cgroup is.
fn path(id: &str) -> String {
    format!("/docker/{id}")
}

/// The value of a family without labels of its own.
fn of(answer: &Answer, family: &str, id: &str) -> Option<f64> {
    answer.value(family, &[("id", &path(id))])
}

/// The program over a host of literal files, beside a daemon that knows both containers.
struct Scene {
    exporter: Exporter,
    daemon: Daemon,
    host: tempfile::TempDir,
    socket: PathBuf,
}

impl Scene {
    /// Begins with a daemon that `prepare` may spoil.
    fn new(tree: &Tree, flags: &[&str], prepare: impl FnOnce(&mut Daemon)) -> Self {
        let host = tree.unpacked();
        let socket = host.path().join("docker.sock");
        let mut daemon = Daemon::absent(&socket);
        boxes::container(&daemon, A, "web", 41, &json!({}));
        boxes::container(&daemon, B, "db", 51, &json!({}));
        prepare(&mut daemon);
        let flags = boxes::flags_with(host.path(), &socket, flags);
        let exporter = Exporter::start(&binary(), &flags, Path::new("/"));
        Scene { exporter, daemon, host, socket }
    }

    /// With a daemon that listens, and both names known.
    fn named(tree: &Tree, flags: &[&str]) -> Self {
        let scene = Scene::new(tree, flags, Daemon::appear);
        scene.until_named(&["db", "web"]);
        scene
    }

    fn scrape(&self) -> Answer {
        answer(&self.exporter.scrape())
    }

    /// The names of the containers that are read.
    fn names(&self) -> Vec<String> {
        let answer = self.scrape();
        let read = answer.values.keys().filter(|series| series.name == "container_memory_usage_bytes");
        read.map(|series| series.label("name").to_owned()).filter(|name| !name.is_empty()).collect()
    }

    fn until_named(&self, names: &[&str]) {
        eventually(&format!("the names {names:?}"), || {
            let mut now = self.names();
            now.sort();
            (now == names).then_some(())
        });
    }

    /// What is said of the cgroups whatever becomes of the runtime.
    fn assert_cgroups(&self) {
        let answer = self.scrape();
        for (id, k) in [(A, 0.0), (B, boxes::MORE as f64)] {
            assert_eq!(of(&answer, "container_memory_usage_bytes", id), Some(100_000.0 + k));
            assert_eq!(of(&answer, "container_memory_rss", id), Some(52.0 + k));
            assert_eq!(of(&answer, "container_spec_memory_limit_bytes", id), Some(67_108_864.0 + k));
            let seconds = of(&answer, "container_cpu_user_seconds_total", id).unwrap();
            assert!((seconds - (7.0 + k) / 100.0).abs() < 1e-9, "{seconds}");
            assert!(of(&answer, "container_last_seen", id) > Some(1.6e9));
        }
    }

    /// Warnings and errors in the log, but that we are root.
    fn loud(&self) -> Vec<String> {
        loud(&self.exporter)
    }
}

fn loud(exporter: &Exporter) -> Vec<String> {
    let log = exporter.log();
    let loud =
        log.lines().filter(|line| ["level=WARN", "level=ERROR"].iter().any(|level| line.contains(level)));
    loud.filter(|line| !line.contains("Running as root")).map(str::to_owned).collect()
}

mod contents {
    use super::*;

    /// Families whose values are not the tree's: times, and the filesystem that the tree lies on.
    const OF_THE_RUN: &[&str] = &[
        "container_creation_time_seconds",
        "container_fs_inodes_",
        "container_fs_limit_bytes",
        "container_fs_usage_bytes",
        "container_last_seen",
        "container_scrape_error",
        "container_start_time_seconds",
        "machine_scrape_error",
    ];

    /// Families that count or add up over the lines of a file, or over the processes that it lists: fewer lines give another number, and
    /// nothing tells the reader. A part of the file's path, the start of the family's name.
    const SUMS: &[(&str, &str)] = &[
        ("cgroup.procs", "container_processes"),
        ("cgroup.procs", "container_file_descriptors"),
        ("cgroup.procs", "container_sockets"),
        ("cgroup.procs", "container_cpu_schedstat_"),
        ("cgroup.procs", "container_referenced_bytes"),
        // Of another process of the container.
        ("cgroup.procs", "container_network_"),
        ("cgroup.procs", "container_ulimits_soft"),
        ("net/tcp", "container_network_tcp"),
        ("net/udp", "container_network_udp"),
        ("smaps_rollup", "container_referenced_bytes"),
    ];

    /// Families that the kernel gives as signed numbers, or that are made of such.
    const SIGNED: &[&str] = &["container_network_advance_tcp_stats_total", "machine_cpu_sockets"];

    /// How many cuts of a file are tried.
    const CUTS: usize = 24;

    /// What a run may add to the memory of this process, in bytes: the largest cap, on a table of sockets, and some more.
    const GROWTH: u64 = 72 << 20;

    type Collectors = Vec<(&'static str, Box<dyn Collector>)>;

    fn collectors(flags: &[String]) -> Collectors {
        let args: Vec<String> = flags.iter().map(|flag| format!("-{flag}")).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let flags = Flags::for_test(&container_advisor::PRODUCT.all_flags(), &args);
        (container_advisor::PRODUCT.service)(&flags).unwrap().collectors
    }

    /// What they say: no panic, and a well-formed text.
    fn collect(collectors: &mut Collectors) -> Result<Exposition, String> {
        let mut all = Exposition::default();
        for (name, collector) in collectors {
            let mut text = Text::new();
            let run = catch_unwind(AssertUnwindSafe(|| {
                // An error is told by the metric of it; what was written is looked at all the same.
                drop(collector.collect(&mut text, Instant::now() + Duration::from_secs(20)));
            }));
            run.map_err(|_| format!("{name} panics"))?;
            let text = std::str::from_utf8(text.bytes()).map_err(|error| format!("{name}: {error}"))?;
            all.families
                .extend(Exposition::parse(text).map_err(|error| format!("{name}: {error}"))?.families);
        }
        Ok(all)
    }

    /// The files below `top` that a scrape opens, but those of the second container and of the cgroups' root, which are read alike.
    fn opened(top: &Path, flags: &[String]) -> Vec<PathBuf> {
        hostfs::trace::start();
        let mut collectors = collectors(flags);
        for _ in 0..2 {
            collect(&mut collectors).unwrap();
        }
        let resolved: BTreeSet<PathBuf> =
            hostfs::trace::stop().iter().filter_map(|path| path.canonicalize().ok()).collect();
        let top = top.canonicalize().unwrap();
        let of_others = |path: &Path| {
            let text = path.to_string_lossy();
            let is_of_root = text.starts_with("sys/fs/cgroup") && !text.contains(A);
            text.contains(B) || is_of_root || ["proc/51/", "proc/52/"].iter().any(|dir| text.starts_with(dir))
        };
        let inside = resolved.iter().filter_map(|path| Some(path.strip_prefix(&top).ok()?.to_owned()));
        inside.filter(|path| !of_others(path) && top.join(path).is_file()).collect()
    }

    fn garbage(length: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(length)
        .collect()
    }

    /// Garbage of letters, signs, blanks and newlines, so that it has lines and fields; no digit, which could be right by chance.
    fn garbage_lines(length: usize) -> Vec<u8> {
        const SIGNS: &[u8] = b" \t\n:=-+.,;/()[]{}\"\\#%@!abcxyzABCXYZ_|<>\xff\xc3";
        garbage(length).into_iter().map(|b| SIGNS[usize::from(b) % SIGNS.len()]).chain([b'\n']).collect()
    }

    /// Each number by something else, with what is inside of words left alone.
    fn replace_numbers(contents: &[u8], by: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut i = 0;
        while i < contents.len() {
            let is_inside = i > 0 && (contents[i - 1].is_ascii_alphanumeric() || contents[i - 1] == b'_');
            if contents[i].is_ascii_digit() && !is_inside {
                out.extend_from_slice(by);
                while i < contents.len() && matches!(contents[i], b'0'..=b'9' | b'.') {
                    i += 1;
                }
            } else {
                out.push(contents[i]);
                i += 1;
            }
        }
        out
    }

    /// The damages of a file: a name, and what it then holds; `None` if it is not there.
    fn damages(contents: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
        let middle = contents.len() / 2;
        let crlf = String::from_utf8_lossy(contents).replace('\n', "\r\n").into_bytes();
        let mut all = vec![
            ("missing".to_owned(), None),
            ("empty".to_owned(), Some(Vec::new())),
            ("a newline alone".to_owned(), Some(b"\n".to_vec())),
            ("garbage".to_owned(), Some(garbage(4096))),
            ("garbage in lines".to_owned(), Some(garbage_lines(4096))),
            ("NUL bytes alone".to_owned(), Some(vec![0; 4096])),
            (
                "a NUL in the middle".to_owned(),
                Some([&contents[..middle], b"\0", &contents[middle..]].concat()),
            ),
            ("CRLF".to_owned(), Some(crlf)),
            ("numbers too large".to_owned(), Some(replace_numbers(contents, b"99999999999999999999999"))),
            ("numbers negative".to_owned(), Some(replace_numbers(contents, b"-5"))),
        ];
        let step = contents.len().div_ceil(CUTS).max(1);
        let ends = (1..contents.len()).rev().step_by(step).chain((1..contents.len()).rev().take(4));
        let cuts: BTreeSet<usize> = ends.collect();
        all.extend(cuts.into_iter().map(|end| (format!("cut at {end}"), Some(contents[..end].to_vec()))));
        all
    }

    /// One host, and what is said of it undamaged.
    struct Bench<'a> {
        host: &'a str,
        baseline: HashMap<String, String>,
        /// Values by family, for series whose labels hold what a damaged file said.
        by_family: HashMap<String, BTreeSet<String>>,
        failures: BTreeMap<String, (usize, String)>,
    }

    impl Bench<'_> {
        fn fail(&mut self, file: &Path, kind: &str, example: String) {
            let key = format!("{}: {}: {kind}", self.host, file.display());
            self.failures.entry(key).or_insert((0, example)).0 += 1;
        }

        fn check(&mut self, file: &Path, damage: &str, said: Result<Exposition, String>) {
            let said = match said {
                Ok(said) => said,
                Err(why) => return self.fail(file, "no answer", format!("{damage}: {why}")),
            };
            let text = file.to_string_lossy().into_owned();
            let is_of_a = text.contains(A) || text.starts_with("proc/41/") || text.starts_with("proc/42/");
            let starts = |starts: &[&str], family: &str| starts.iter().any(|start| family.starts_with(start));
            let mut of_b = 0;
            for family in &said.families {
                if starts(OF_THE_RUN, &family.name) {
                    continue;
                }
                let is_sum =
                    SUMS.iter().any(|(part, start)| text.contains(part) && family.name.starts_with(start));
                let is_signed = damage == "numbers negative" && SIGNED.contains(&family.name.as_str());
                for sample in &family.samples {
                    of_b += usize::from(sample.contains(B));
                    let (series, value) = split(sample);
                    let known = self.baseline.get(series);
                    if known.is_some_and(|known| known == value)
                        || (!sample.contains(B) && (is_sum || is_signed))
                        || (known.is_none() && self.is_renamed(&family.name, sample, is_of_a))
                    {
                        continue;
                    }
                    let was = known.map_or("absent", String::as_str).to_owned();
                    self.fail(file, "a wrong value", format!("{damage}: {sample}, was {was}"));
                }
            }
            let of_b_before = |series: &&String| series.contains(B) && !starts(OF_THE_RUN, series);
            let all_of_b = self.baseline.keys().filter(of_b_before).count();
            if is_of_a && of_b != all_of_b {
                self.fail(file, "the other container", format!("{damage}: {of_b} of {all_of_b} series"));
            }
        }

        /// Whether a sample is another one with a label that comes from the damaged file: a device without its name, and CPU time as a
        /// whole where that of each CPU is not there.
        fn is_renamed(&self, family: &str, sample: &str, is_of_a: bool) -> bool {
            let value = split(sample).1;
            if family == "container_cpu_usage_seconds_total" {
                return label(sample, "cpu").as_deref() == Some("total") && value == "5e-07";
            }
            let has_device = label(sample, "device").is_some();
            let is_machine = labels(sample)
                .iter()
                .any(|(name, _)| ["machine_id", "boot_id", "system_uuid"].contains(name));
            let is_version = family == "cadvisor_version_info";
            !is_of_a
                && (has_device || is_machine || is_version)
                && self.by_family.get(family).is_some_and(|values| values.contains(value))
        }
    }

    fn resident() -> u64 {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    fn damage_all(name: &str, tree: &Tree, least: usize) {
        // What is damaged is damaged where both read it.
        let dir = tree.unpacked();
        let flags = boxes::flags(dir.path());
        let files = opened(dir.path(), &flags);
        assert!(files.len() >= least, "{name}: only {} files are opened: {files:#?}", files.len());
        let mut fresh = collectors(&flags);
        let before = collect(&mut fresh).unwrap();
        let baseline: HashMap<String, String> = before
            .samples()
            .map(split)
            .map(|(series, value)| (series.to_owned(), value.to_owned()))
            .collect();
        let by_family = before.families.iter().map(|family| {
            let values = family.samples.iter().map(|sample| split(sample).1.to_owned());
            (family.name.clone(), values.collect())
        });
        let by_family = by_family.collect();
        let mut bench = Bench { host: name, baseline, by_family, failures: BTreeMap::new() };
        let largest = ["memory.stat", "cgroup.procs", "net/dev", "net/tcp", "cpu.stat", "proc/meminfo"];
        // The panics are told by the failures that they become.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let mut runs = 0;
        for file in &files {
            let path = dir.path().join(file);
            let contents = fs::read(&path).unwrap();
            // One that lives through all damage must say what a new one says, and be its old self afterwards.
            let mut survivor = collectors(&flags);
            bench.check(file, "undamaged", collect(&mut survivor));
            for (damage, damaged) in damages(&contents) {
                match damaged {
                    Some(damaged) => fs::write(&path, damaged).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                runs += 1;
                bench.check(file, &damage, collect(&mut survivor));
                if !damage.starts_with("cut") {
                    bench.check(file, &damage, collect(&mut collectors(&flags)));
                }
                fs::write(&path, &contents).unwrap();
            }
            if largest.iter().any(|end| file.ends_with(end)) {
                let before = resident();
                fs::write(&path, vec![b'7'; 64 << 20]).unwrap();
                bench.check(file, "64 MiB in a line", collect(&mut survivor));
                fs::write(&path, &contents).unwrap();
                let growth = resident().saturating_sub(before);
                if growth > GROWTH {
                    bench.fail(file, "memory", format!("{growth} bytes more after 64 MiB in a line"));
                }
            }
            // Sums over processes go on from what was last said.
            let said = collect(&mut survivor);
            if let Ok(said) = &said {
                let now: BTreeSet<&str> = said.samples().map(|sample| split(sample).0).collect();
                let lost = bench.baseline.keys().find(|series| !now.contains(series.as_str())).cloned();
                if let Some(lost) = lost {
                    bench.fail(file, "it is not its old self", lost);
                }
            }
            bench.check(file, "restored", said);
        }
        std::panic::set_hook(hook);
        eprintln!("{name}: {} files, {runs} damages", files.len());
        for (what, (count, example)) in &bench.failures {
            eprintln!("{what}, {count} times: {example}");
        }
        assert!(bench.failures.is_empty(), "{name}: {} kinds of failures, see above", bench.failures.len());
    }

    /// One test: which files are opened is traced for the whole process.
    #[test]
    fn damaged_files_cost_what_they_hold_and_nothing_else() {
        damage_all("v1", &boxes::v1(), 45);
        damage_all("v2", &boxes::v2(), 40);
    }

    /// In the whole program: all that one container's values come from is damaged at once.
    #[test]
    fn one_container_s_damage_is_not_the_other_s() {
        for (name, tree) in [("v1", boxes::v1()), ("v2", boxes::v2()), ("hybrid", boxes::hybrid())] {
            let scene = Scene::named(&tree, &[]);
            let is_of_a =
                |path: &str| path.contains(A) || path.starts_with("proc/41/") || path.starts_with("proc/42/");
            let files: Vec<(PathBuf, Vec<u8>)> = tree
                .iter()
                .filter_map(|(path, _)| std::str::from_utf8(path).ok().filter(|path| is_of_a(path)))
                .map(|path| scene.host.path().join(path))
                .filter(|path| path.is_file() && !path.is_symlink())
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect();
            assert!(files.len() > 40, "{name}: {} files", files.len());
            let said = |of: &str| -> BTreeMap<String, f64> {
                let all = scene.scrape().values.into_iter();
                let of_the_run =
                    |series: &Series| OF_THE_RUN.iter().any(|start| series.name.starts_with(start));
                let all = all.filter(|(series, _)| series.label("id") == path(of) && !of_the_run(series));
                all.map(|(series, value)| (series.to_string(), value)).collect()
            };
            let (a, b) = (said(A), said(B));
            assert!(a.len() > 60 && a.len() == b.len(), "{name}: {} and {} series", a.len(), b.len());
            let write = |contents: &dyn Fn(&[u8]) -> Vec<u8>| {
                files.iter().for_each(|(path, before)| fs::write(path, contents(before)).unwrap());
            };
            for (damage, contents) in [
                ("garbage", &(|_: &[u8]| garbage(300)) as &dyn Fn(&[u8]) -> Vec<u8>),
                ("garbage in lines", &|_| garbage_lines(3000)),
                ("empty", &|_| Vec::new()),
                ("cut", &|before| before[..before.len() / 2].to_vec()),
                ("a byte short", &|before| before[..before.len().saturating_sub(1)].to_vec()),
                ("negative", &|before| replace_numbers(before, b"-5")),
                ("too large", &|before| replace_numbers(before, b"99999999999999999999999")),
            ] {
                write(contents);
                assert_eq!(said(B), b, "{name}, {damage}: the other container");
                let known = [
                    "container_health_state",
                    "container_oom_killed",
                    "container_restart_count",
                    "container_state",
                ];
                for (series, value) in said(A) {
                    let is_known = known.iter().any(|known| series.starts_with(known));
                    let is_sum = SUMS.iter().any(|(_, start)| series.starts_with(start));
                    let is_signed =
                        damage == "negative" && SIGNED.iter().any(|start| series.starts_with(start));
                    if !is_known && !is_sum && !is_signed {
                        assert_eq!(Some(&value), a.get(&series), "{name}, {damage}: {series}");
                    }
                }
            }
            write(&<[u8]>::to_vec);
            let restored = said(A);
            let series = |all: &BTreeMap<String, f64>| all.keys().cloned().collect::<Vec<_>>();
            assert_eq!(series(&restored), series(&a), "{name}: afterwards");
            assert_eq!(scene.loud(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_container_that_could_not_be_read_for_once_is_there_once() {
    let scene = Scene::named(&boxes::v1(), &[]);
    let file = scene.host.path().join(format!("sys/fs/cgroup/memory/docker/{A}/memory.usage_in_bytes"));
    let contents = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("memory.usage_in_bytes", &file).unwrap();
    let answer = scene.scrape();
    let said: Vec<&str> = answer
        .values
        .keys()
        .filter(|s| s.label("name") == "web" && s.name.starts_with("container_memory"))
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(said, Vec::<&str>::new(), "whole or absent");
    fs::remove_file(&file).unwrap();
    fs::write(&file, contents).unwrap();
    // A second container_last_seen would be told by the parser.
    scene.assert_cgroups();
}

#[test]
fn b5_a_process_id_that_another_container_gets() {
    let received = |answer: &Answer, id: &str| {
        answer.value("container_network_receive_bytes_total", &[("id", &path(id)), ("interface", "eth0")])
    };
    for (name, tree, procs) in [
        ("v1", boxes::v1(), format!("cpu/docker/{A}/cgroup.procs")),
        ("v2", boxes::v2(), format!("docker/{A}/cgroup.procs")),
    ] {
        for with_names in [false, true] {
            let scene = if with_names { Scene::named(&tree, &[]) } else { Scene::new(&tree, &[], |_| ()) };
            let answer = scene.scrape();
            assert_eq!(received(&answer, A), Some(620.0), "{name}");
            assert_eq!(received(&answer, B), Some(620.0 + boxes::MORE as f64), "{name}");
            // The first container's process has ended, and its number is that of another one, of the second container.
            let top = scene.host.path();
            let mut other = Tree::new();
            boxes::add_process(
                &mut other,
                41,
                &format!("3:memory:{0}\n2:cpu,cpuacct:{0}\n0::{0}\n", path(B)),
                424_242,
            );
            for (path, node) in other.iter() {
                if let testbed::tree::Node::File(contents) = node {
                    let contents = String::from_utf8(contents.clone()).unwrap();
                    let contents = contents.replace(" 4752 ", " 999999 ");
                    fs::write(top.join(std::str::from_utf8(path).unwrap()), contents).unwrap();
                }
            }
            let procs = top.join("sys/fs/cgroup").join(&procs);
            for left in ["", "42\n"] {
                fs::write(&procs, left).unwrap();
                for _ in 0..3 {
                    let answer = scene.scrape();
                    let foreign = answer.values.iter().find(|(series, value)| {
                        series.label("id") == path(A) && (424_242.0..425_300.0).contains(*value)
                    });
                    assert_eq!(foreign, None, "{name}: another container's bytes");
                    let own = if left.is_empty() { None } else { Some(1620.0) };
                    assert_eq!(received(&answer, A), own, "{name}, {left:?}");
                    assert_eq!(received(&answer, B), Some(620.0 + boxes::MORE as f64), "{name}");
                }
            }
        }
    }
}

mod c13 {
    use super::*;

    fn bare(tree: &Tree) -> (Exporter, tempfile::TempDir) {
        let host = tree.unpacked();
        (Exporter::start(&binary(), &boxes::flags(host.path()), Path::new("/")), host)
    }

    #[test]
    fn c13_trees_of_v1_alone_v2_alone_and_both() {
        for (name, tree, pressure, high) in [
            ("v1", boxes::v1(), None, None),
            ("v2", boxes::v2(), Some(161.0), Some(2.0)),
            ("hybrid", boxes::hybrid(), Some(161.0), None),
        ] {
            let (exporter, _host) = bare(&tree);
            let answer = answer(&exporter.scrape());
            for (id, k) in [(A, 0.0), (B, boxes::MORE as f64)] {
                let value = |family: &str| of(&answer, family, id);
                assert_eq!(value("container_memory_usage_bytes"), Some(100_000.0 + k), "{name}");
                assert_eq!(value("container_memory_working_set_bytes"), Some(99_939.0), "{name}");
                assert_eq!(value("container_spec_cpu_quota"), Some(50_000.0 + k), "{name}");
                assert_eq!(value("container_threads"), Some(124.0 + k), "{name}");
                assert_eq!(value("container_processes"), Some(2.0), "{name}");
                assert_eq!(value("container_oom_events_total"), Some(5.0 + k), "{name}");
                assert_eq!(value("container_memory_events_high_total"), high.map(|high| high + k), "{name}");
                let waiting = value("container_pressure_memory_waiting_seconds_total");
                assert_eq!(waiting, pressure.map(|us| (us + k) / 1e6), "{name}");
                let by_device =
                    |family: &str| answer.value(family, &[("id", &path(id)), ("device", "/dev/sda")]);
                assert_eq!(by_device("container_fs_reads_bytes_total"), Some(101.0 + k), "{name}");
                assert_eq!(by_device("container_fs_writes_total"), Some(112.0 + k), "{name}");
            }
            assert_eq!(answer.value("container_scrape_error", &[]), Some(0.0), "{name}");
            assert_eq!(loud(&exporter), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn c13_without_any_tree_the_answer_says_so() {
        let mut tree = boxes::v1();
        tree.remove("sys/fs/cgroup");
        tree.dir("sys/fs/cgroup");
        let (exporter, host) = bare(&tree);
        let answer_now = answer(&exporter.scrape());
        assert_eq!(answer_now.value("container_scrape_error", &[]), Some(1.0));
        assert!(answer_now.value("machine_memory_bytes", &[]).is_some());
        // It is mounted later.
        boxes::v1().unpack(&host.path().join("again"));
        fs::remove_dir(host.path().join("sys/fs/cgroup")).unwrap();
        fs::rename(host.path().join("again/sys/fs/cgroup"), host.path().join("sys/fs/cgroup")).unwrap();
        let answer_now = answer(&exporter.scrape());
        assert_eq!(answer_now.value("container_scrape_error", &[]), Some(0.0));
        assert_eq!(of(&answer_now, "container_memory_usage_bytes", A), Some(100_000.0));
    }

    #[test]
    fn c13_docker_in_docker() {
        let inner = format!("/docker/{A}/docker/{B}");
        for (name, mut tree) in [("v1", boxes::v1()), ("v2", boxes::v2())] {
            tree.remove(format!("sys/fs/cgroup/docker/{B}"));
            for controller in ["cpu", "cpuacct", "memory", "blkio", "pids", "cpuset", "hugetlb"] {
                tree.remove(format!("sys/fs/cgroup/{controller}/docker/{B}"));
            }
            if name == "v1" {
                boxes::add_v1(&mut tree, &inner, boxes::v1_files(boxes::MORE, 51));
            } else {
                boxes::add_v2(&mut tree, "sys/fs/cgroup", &inner, boxes::v2_files(boxes::MORE, 51));
            }
            let (exporter, _host) = bare(&tree);
            let answer = answer(&exporter.scrape());
            assert_eq!(of(&answer, "container_memory_usage_bytes", A), Some(100_000.0), "{name}");
            assert_eq!(of(&answer, "container_memory_usage_bytes", B), None, "{name}");
            let value = |family: &str, labels: &[(&str, &str)]| {
                answer.value(family, &[&[("id", inner.as_str())], labels].concat())
            };
            assert_eq!(value("container_memory_usage_bytes", &[]), Some(7_100_000.0), "{name}");
            let received = value("container_network_receive_bytes_total", &[("interface", "eth0")]);
            assert_eq!(received, Some(7_000_620.0), "{name}");
        }
    }

    #[test]
    fn c13_paths_of_a_cgroup_namespace() {
        let received = |scene: &Scene| {
            scene
                .scrape()
                .value("container_network_receive_bytes_total", &[("id", &path(A)), ("interface", "eth0")])
        };
        // The container's processes are in cgroups below its own, as systemd has them.
        let mut tree = boxes::v2();
        tree.file(format!("sys/fs/cgroup/docker/{A}/cgroup.procs"), "");
        for (said, expected) in [
            (format!("0::/docker/{A}\n"), Some(620.0)),
            (format!("0::/docker/{A}/init.scope\n"), Some(620.0)),
            (format!("0::/../../docker/{A}\n"), Some(620.0)),
            ("0::/../..\n".to_owned(), None),
            (format!("0::/../../docker/{B}\n"), None),
            ("0::/\n".to_owned(), None),
            (String::new(), None),
            ("\0\0\0".to_owned(), None),
        ] {
            tree.file("proc/41/cgroup", said.clone());
            let scene = Scene::named(&tree, &[]);
            assert_eq!(received(&scene), expected, "{said:?}");
        }
    }
}

mod c15 {
    use super::*;

    /// The longest answer for two containers, one of which has labels of all kinds, in bytes.
    const LONGEST: usize = 4 << 20;

    #[test]
    fn c15_hostile_names_and_labels() {
        let interface = b"\xff\"\\{}=,'#@!%^`\xc3";
        assert_eq!(interface.len(), 15);
        let mut tree = boxes::v1();
        let row = [
            b"a\nb\n ",
            &interface[..],
            b": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n eth0: 620 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
        ];
        tree.file("proc/41/net/dev", row.concat());
        tree.file(
            "proc/41/stat",
            "41 (x) R 1 (\n) 1 2 3) S 1 1 1 0 -1 4 1 2 3 4 150 50 9 9 20 0 1 0 4752 2322432 400 1\n",
        );
        let odd = "a\nb\"c\\d\u{0}\u{1b}\u{202e}{}=,";
        let labels_said = json!({
            "newline": odd, "quote": "\"", "name": "evil", "id": "evil", "image": "evil", "interface": "evil", "__name__": "evil",
            "a-b": "1", "a.b": "2", "a_b": "3", "\n\"=}": "4", "\u{e9}": "5", "empty": "", "": "6",
            "restartcount": "evil", "huge": "y".repeat(1 << 20), "k".repeat(1 << 20): "evil",
        });
        let scene = Scene::new(&tree, &["-enable_load_reader=true"], |daemon| {
            let more = json!({"RestartCount": 3, "Config": {"Labels": labels_said}});
            boxes::container(daemon, A, "web", 41, &more);
            daemon.appear();
        });
        scene.until_named(&["db", "web"]);
        let text = scene.exporter.scrape();
        assert!(text.len() < LONGEST, "{} bytes", text.len());
        let all = Exposition::parse(&text).unwrap();
        let mut of_a = 0;
        for sample in all.samples().filter(|sample| sample.contains(A)) {
            of_a += 1;
            let said = labels(sample);
            let names: BTreeSet<&str> = said.iter().map(|(name, _)| *name).collect();
            assert_eq!(names.len(), said.len(), "a label comes twice: {sample:.300}");
            for (name, value) in [("id", &*path(A)), ("name", "web"), ("image", "web:1")] {
                assert_eq!(label(sample, name).as_deref(), Some(value), "{sample:.300}");
            }
            for (name, value) in [
                ("container_label_newline", odd),
                ("container_label_quote", "\""),
                ("container_label_name", "evil"),
                ("container_label_id", "evil"),
                ("container_label_image", "evil"),
                // Of keys that are the same once sanitized, the first in their order.
                ("container_label_a_b", "1"),
                ("container_label_____", "4"),
                ("container_label__", "5"),
            ] {
                assert_eq!(label(sample, name).as_deref(), Some(value), "{name}");
            }
            assert_eq!(label(sample, "container_label_empty"), None);
            let huge = label(sample, "container_label_huge").unwrap();
            assert!(huge.len() <= 4096 && huge.bytes().all(|b| b == b'y'), "{} bytes", huge.len());
            for name in names {
                let is_valid = |(i, b): (usize, u8)| {
                    b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit())
                };
                assert!(name.len() < 5000 && name.bytes().enumerate().all(is_valid), "{name:.300}");
            }
        }
        assert!(of_a > 60, "{of_a} samples");
        let answer = answer(&text);
        let received = |interface: &str| {
            let labels = [("id", &*path(A)), ("interface", interface)];
            answer.value("container_network_receive_bytes_total", &labels)
        };
        assert_eq!(received("eth0"), Some(620.0));
        assert_eq!(received(&String::from_utf8_lossy(interface)), Some(1.0));
        let state = answer.value("container_tasks_state", &[("id", &path(A)), ("state", "sleeping")]);
        assert_eq!(state, Some(2.0), "the state comes after the last parenthesis");
        // The other container's labels are not made longer by these.
        let of_b = all.samples().filter(|sample| sample.contains(B)).map(str::len).max();
        assert!(of_b < Some(500), "{of_b:?} bytes");
        assert_eq!(scene.loud(), Vec::<String>::new());
    }
}

mod runtime {
    use super::*;

    /// More than all answers that are read may take, in bytes.
    const GROWTH: u64 = 48 << 20;

    #[test]
    fn h1_a_daemon_that_appears_late() {
        let mut scene = Scene::new(&boxes::v1(), &[], |_| ());
        for _ in 0..5 {
            scene.assert_cgroups();
            assert_eq!(scene.names(), [""; 0]);
        }
        scene.daemon.appear();
        scene.until_named(&["db", "web"]);
        scene.assert_cgroups();
    }

    #[test]
    fn h2_a_daemon_that_restarts_with_a_new_socket() {
        let mut scene = Scene::named(&boxes::v2(), &[]);
        for round in 0..3 {
            scene.daemon.vanish();
            for _ in 0..5 {
                let mut names = scene.names();
                names.sort();
                let known = if round == 0 { "db".to_owned() } else { format!("db{round}") };
                assert_eq!(names, [known.as_str(), "web"], "what is known is kept meanwhile");
            }
            let name = format!("db{}", round + 1);
            boxes::container(&scene.daemon, B, &name, 51, &json!({}));
            scene.daemon.appear();
            scene.until_named(&[&name, "web"]);
        }
        assert!(scene.daemon.connections() <= 3, "{} connections", scene.daemon.connections());
    }

    #[test]
    fn h3_an_event_stream_that_ends() {
        let scene = Scene::named(&boxes::v2(), &[]);
        scene.daemon.end_streams();
        boxes::container(&scene.daemon, B, "renamed", 51, &json!({}));
        // The connection is made anew, and all is listed and looked at that may have changed.
        eventually("another subscription", || (scene.daemon.count("/events") > 1).then_some(()));
        eventually("the other name", || {
            scene.daemon.event(B, "rename");
            scene.names().contains(&"renamed".to_owned()).then_some(())
        });
        scene.until_named(&["renamed", "web"]);
    }

    /// Has one thing go wrong with the inspection of one container from the start.
    fn inspection_that_goes_wrong(what: &str, fault: &Fault) {
        let end = format!("/containers/{B}/json");
        let scene = Scene::new(&boxes::v1(), &[], |daemon| {
            daemon.fault(&end, fault.clone());
            daemon.appear();
        });
        let before = scene.exporter.rss_bytes();
        scene.until_named(&["web"]);
        for _ in 0..10 {
            assert_eq!(scene.names(), ["web"], "{what}");
        }
        let answer = scene.scrape();
        assert_eq!(of(&answer, "container_memory_usage_bytes", B), Some(7_100_000.0), "{what}");
        assert!(scene.exporter.rss_bytes() < before + GROWTH, "{what}: {} bytes", scene.exporter.rss_bytes());
        let asked = scene.daemon.count(&end);
        assert!((1..10).contains(&asked), "{what}: asked {asked} times");
        let loud = scene.loud();
        assert!(loud.len() < 4 && !loud.concat().contains("a secret"), "{what}: {loud:#?}");
        scene.daemon.heal();
        eventually(what, || {
            scene.daemon.event(B, "start");
            scene.names().contains(&"db".to_owned()).then_some(())
        });
        scene.until_named(&["db", "web"]);
    }

    #[test]
    fn h4_inspections_that_go_wrong() {
        for (what, fault) in [
            ("500", Fault::Status(500)),
            ("404", Fault::Status(404)),
            ("a chunk that breaks off", Fault::Cut),
            ("nothing", Fault::Body(String::new())),
            ("half an object", Fault::Body(format!("{{\"Id\":\"{B}\",\"Name\":\"/d"))),
            ("no JSON", Fault::Body("<html>a secret</html>".into())),
            ("a list", Fault::Body("[]".into())),
            ("1 GiB", Fault::Huge(1 << 30)),
            ("a closed connection", Fault::Close),
            ("silence", Fault::Silent),
            ("an answer that comes late", Fault::Slow(Duration::from_secs(3))),
        ] {
            inspection_that_goes_wrong(what, &fault);
        }
    }

    #[test]
    fn h4_lists_that_go_wrong() {
        for (what, fault) in [
            ("500", Fault::Status(500)),
            ("a chunk that breaks off", Fault::Cut),
            ("no JSON", Fault::Body("a secret".into())),
            ("an object", Fault::Body("{}".into())),
            ("1 GiB", Fault::Huge(1 << 30)),
            ("a closed connection", Fault::Close),
        ] {
            let scene = Scene::new(&boxes::v2(), &[], |daemon| {
                daemon.fault("/containers/json", fault.clone());
                daemon.appear();
            });
            let before = scene.exporter.rss_bytes();
            eventually(what, || (scene.daemon.count("/containers/json") > 0).then_some(()));
            for _ in 0..10 {
                let answer = scene.scrape();
                assert_eq!(of(&answer, "container_memory_usage_bytes", B), Some(7_100_000.0), "{what}");
            }
            assert!(
                scene.exporter.rss_bytes() < before + GROWTH,
                "{what}: {} bytes",
                scene.exporter.rss_bytes()
            );
            scene.daemon.heal();
            scene.until_named(&["db", "web"]);
            assert!(!scene.exporter.log().contains("a secret"));
        }
    }

    #[test]
    fn h4_labels_that_are_null_and_versions_that_are_none() {
        for version in [
            r#"{"Version":"99","ApiVersion":"9.99"}"#,
            r#"{"ApiVersion":"1.24"}"#,
            r#"{"ApiVersion":"x"}"#,
            "{}",
            "no",
            "[]",
        ] {
            let scene = Scene::new(&boxes::v2(), &[], |daemon| {
                daemon.version(version);
                boxes::container(
                    daemon,
                    B,
                    "db",
                    51,
                    &json!({"Config": {"Labels": null, "Env": null}, "HostConfig": null}),
                );
                daemon.appear();
            });
            scene.until_named(&["db", "web"]);
            scene.scrape();
        }
    }

    #[test]
    fn h5_two_thousand_containers() {
        const MANY: usize = 2000;
        let id = |n: usize| format!("{n:064x}");
        let mut tree = boxes::v2();
        tree.remove(format!("sys/fs/cgroup/docker/{B}"));
        let scene = Scene::new(&tree, &[], |daemon| {
            daemon.remove(B);
            (0..MANY).for_each(|n| daemon.simple(&id(n), &format!("c{n}"), "exited"));
            daemon.appear();
        });
        let states = |answer: &Answer| answer.values.keys().filter(|s| s.name == "container_state").count();
        eventually("the state of each", || (states(&scene.scrape()) == MANY + 1).then_some(()));
        let counts = || (scene.daemon.count("/containers/json"), scene.daemon.count("/json") - 1);
        assert_eq!(counts(), (1, MANY + 1), "a list, and an inspection of each");
        for _ in 0..10 {
            scene.scrape();
        }
        assert_eq!(counts(), (1, MANY + 1), "a scrape asks nothing");
        scene.daemon.simple(&id(MANY), "new", "exited");
        scene.daemon.event(&id(MANY), "create");
        eventually("the new one", || (states(&scene.scrape()) == MANY + 2).then_some(()));
        assert_eq!(counts(), (1, MANY + 2), "an inspection of the new one");
        assert_eq!(scene.loud(), Vec::<String>::new());
    }

    /// Runs a program as nobody, with no capabilities.
    const AS_NOBODY: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];

    #[test]
    fn h6_no_rights_to_the_socket() {
        let works = std::process::Command::new("setpriv").args(AS_NOBODY).arg("true").status();
        if !works.is_ok_and(|status| status.success()) {
            return shared::skipped(
                "no rights to the socket",
                "setpriv, or the right to become nobody, is missing",
            );
        }
        let host = boxes::v2().unpacked();
        fs::set_permissions(host.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let program = host.path().join("container-advisor");
        fs::copy(binary(), &program).unwrap();
        let socket = host.path().join("docker.sock");
        let daemon = Daemon::start(&socket);
        boxes::container(&daemon, A, "web", 41, &json!({}));
        boxes::container(&daemon, B, "db", 51, &json!({}));
        fs::set_permissions(&socket, PermissionsExt::from_mode(0o600)).unwrap();
        let mut args: Vec<String> = AS_NOBODY.map(str::to_owned).into();
        args.push(program.display().to_string());
        args.extend(boxes::flags_with(host.path(), &socket, &[]));
        let exporter = Exporter::start(Path::new("/usr/bin/setpriv"), &args, Path::new("/"));
        assert_eq!(exporter.status("Uid"), 65534);
        let scene = Scene { exporter, daemon, host, socket };
        eventually("a word about it", || (!scene.loud().is_empty()).then_some(()));
        for _ in 0..20 {
            scene.assert_cgroups_of_v2();
            assert_eq!(scene.names(), [""; 0]);
            std::thread::sleep(Duration::from_millis(50));
        }
        let loud = scene.loud();
        assert_eq!(loud.len(), 1, "one warning: {loud:#?}");
        assert!(loud[0].contains("docker.sock") && loud[0].contains("ermission denied"), "{loud:#?}");
        fs::set_permissions(&scene.socket, PermissionsExt::from_mode(0o666)).unwrap();
        scene.until_named(&["db", "web"]);
    }

    #[test]
    fn h7_no_inotify() {
        let scene = Scene::named(&boxes::v1(), &[]);
        scene.assert_cgroups();
        let watches = |exporter: &Exporter| -> Vec<PathBuf> {
            let files = exporter.open_files();
            assert!(files.len() > 5, "{files:?}");
            files.into_iter().filter(|path| path.to_string_lossy().contains("notify")).collect()
        };
        assert_eq!(watches(&scene.exporter), Vec::<PathBuf>::new());
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", scene.exporter.pid())).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            assert!(!text.contains("notify"), "{text}");
        }
        // So a cgroup that comes is found by looking.
        let mut tree = Tree::new();
        let id = "0c".repeat(32);
        boxes::add_v1(&mut tree, &path(&id), boxes::v1_files(5, 61));
        tree.unpack(scene.host.path());
        eventually("the new one", || of(&scene.scrape(), "container_memory_usage_bytes", &id));
    }

    #[test]
    fn a7_a_daemon_that_is_silent_from_the_start() {
        let scene = Scene::new(&boxes::v1(), &[], |daemon| {
            daemon.fault("", Fault::Silent);
            daemon.appear();
        });
        for _ in 0..20 {
            scene.assert_cgroups();
        }
        assert_eq!(scene.names(), [""; 0]);
        scene.daemon.heal();
        scene.until_named(&["db", "web"]);
    }

    #[test]
    fn a8_a_daemon_that_falls_silent() {
        let scene = Scene::named(&boxes::v1(), &[]);
        (0..5).for_each(|_| scene.assert_cgroups());
        let (threads, files) = (scene.exporter.status("Threads"), scene.exporter.open_files().len());
        scene.daemon.fault("", Fault::Silent);
        scene.daemon.event(A, "health_status: healthy");
        scene.daemon.event(B, "start");
        let start = Instant::now();
        // Past the time of a call.
        while start.elapsed() < Duration::from_secs(4) {
            scene.assert_cgroups();
            let mut names = scene.names();
            names.sort();
            assert_eq!(names, ["db", "web"], "the last names are kept");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(scene.exporter.status("Threads") <= threads + 1, "{threads} threads before");
        assert!(scene.exporter.open_files().len() <= files + 8, "{:?}", scene.exporter.open_files());
        assert!(scene.daemon.connections() <= 8, "{} connections", scene.daemon.connections());
        boxes::container(&scene.daemon, B, "later", 51, &json!({}));
        scene.daemon.heal();
        eventually("what it says when it speaks again", || {
            scene.daemon.event(B, "rename");
            scene.names().contains(&"later".to_owned()).then_some(())
        });
    }
}

impl Scene {
    fn assert_cgroups_of_v2(&self) {
        let answer = self.scrape();
        for (id, k) in [(A, 0.0), (B, boxes::MORE as f64)] {
            assert_eq!(of(&answer, "container_memory_usage_bytes", id), Some(100_000.0 + k));
            assert_eq!(of(&answer, "container_memory_swap", id), Some(58.0 + k));
        }
    }
}

mod a9 {
    use super::*;

    /// Files in the layer: at 5,000 a second a walk of four seconds.
    const FILES: usize = 20_000;

    fn layer(host: &Path) {
        let dir = host.join("layer/upper");
        for part in 0..20 {
            let dir = dir.join(format!("{part}"));
            fs::create_dir_all(&dir).unwrap();
            (0..FILES / 20).for_each(|n| drop(fs::File::create(dir.join(n.to_string())).unwrap()));
        }
        fs::write(dir.join("file"), vec![1; 1 << 20]).unwrap();
    }

    fn scene(flags: &[&str], wrapper: &[&OsStr]) -> Scene {
        let mut tree = boxes::v1();
        tree.remove(format!("sys/fs/cgroup/memory/docker/{B}"));
        let host = tree.unpacked();
        layer(host.path());
        let socket = host.path().join("docker.sock");
        let daemon = Daemon::absent(&socket);
        let more = json!({"GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/layer/upper"}}});
        boxes::container(&daemon, A, "web", 41, &more);
        let mut daemon = daemon;
        daemon.appear();
        let args = boxes::flags_with(host.path(), &socket, flags);
        let exporter = if wrapper.is_empty() {
            Exporter::start(&binary(), &args, Path::new("/"))
        } else {
            Exporter::start_under(wrapper, &binary(), &args, Path::new("/"))
        };
        Scene { exporter, daemon, host, socket }
    }

    #[test]
    fn a9_a_scrape_does_not_wait_for_a_large_layer() {
        let scene = scene(&["-disable_metrics=tcp"], &[]);
        let usage = |answer: &Answer| {
            let mut found = answer.values.iter().filter(|(series, _)| {
                series.name == "container_fs_usage_bytes" && series.label("name") == "web"
            });
            found.next().map(|(_, value)| *value)
        };
        let named = |answer: &Answer| answer.values.keys().any(|series| series.label("name") == "web");
        let first = eventually("the name", || Some(scene.scrape()).filter(|answer| named(answer)));
        assert_eq!(usage(&first), None, "nothing was measured before a scrape asked");
        let mut without = 0;
        let bytes = eventually("the size", || {
            let found = usage(&scene.scrape());
            without += usize::from(found.is_none());
            found
        });
        assert!(without > 3, "{without} scrapes were answered while the layer was walked");
        assert!((1_048_576.0..16e6).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a9_what_is_off_is_not_walked() {
        let works = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status();
        if !works.is_ok_and(|status| status.success()) {
            return shared::skipped("which layers are walked", "strace is not there, or may not trace");
        }
        for (flags, expected) in [
            (&["-disable_metrics=tcp"][..], true),
            (&["-disable_metrics=tcp", "-disk_usage=false"], false),
            (&["-disable_metrics=tcp,disk"], false),
        ] {
            let out = tempfile::NamedTempFile::new().unwrap();
            let strace: Vec<&OsStr> = ["strace", "-f", "-qq", "-e", "trace=%file", "-e", "signal=none", "-o"]
                .into_iter()
                .map(OsStr::new)
                .chain([out.path().as_os_str()])
                .collect();
            let scene = scene(flags, &strace);
            eventually("the name", || scene.names().contains(&"web".to_owned()).then_some(()));
            for _ in 0..10 {
                scene.scrape();
                std::thread::sleep(Duration::from_millis(50));
            }
            drop(scene);
            let trace = fs::read_to_string(out.path()).unwrap();
            assert!(trace.contains("memory.stat"), "{flags:?}: there is no trace");
            assert_eq!(trace.contains("layer/upper"), expected, "{flags:?}");
        }
    }
}

mod secrets {
    use super::*;

    /// Paths of all kinds that are answered.
    const PATHS: &[&str] = &[
        "/metrics",
        "/",
        "/healthz",
        "/validate/",
        "/containers/",
        "/docker/",
        "/api/v1.3/containers/",
        "/api/v1.3/subcontainers/",
        "/api/v1.3/docker/",
        "/api/v1.3/machine",
        "/api/v2.1/spec/?recursive=true",
        "/api/v2.0/ps/",
        "/api/v2.1/stats/?recursive=true",
        "/nothing",
        "/api/nothing",
        "/static/nothing",
        "/live/nothing",
    ];

    fn scene(flags: &[&str]) -> Scene {
        let mut tree = boxes::v1();
        tree.file("proc/41/cmdline", "app\0--password=hunter2cmdline\0");
        tree.file("proc/41/environ", "TOKEN=hunter2environ\0");
        tree.file("proc/41/status", "Name:\tapp\nUid:\t0\t0\t0\t0\n");
        let scene = Scene::new(&tree, flags, |daemon| {
            let more = json!({"Config": {
                "Env": ["SECRET_TOKEN=hunter2env", "APP_MODE=production", "application=hunter2application", "MY_APP_X=hunter2inside"],
                "Cmd": ["--password=hunter2cmd"], "Entrypoint": ["hunter2entry"],
                "Labels": {"note": "labelvalue", "other": "othervalue"},
            }, "Args": ["hunter2args"], "Path": "hunter2path"});
            boxes::container(daemon, A, "web", 41, &more);
            daemon.appear();
        });
        scene.until_named(&["db", "web"]);
        scene
    }

    fn everything(scene: &Scene) -> String {
        PATHS.iter().map(|path| scene.exporter.get(path, &[]).text()).collect()
    }

    #[test]
    fn j1_environment_variables_are_told_nowhere() {
        let default = scene(&[]);
        let all = everything(&default);
        assert!(all.contains("labelvalue"), "the container is looked at");
        for secret in ["hunter2", "production", "SECRET_TOKEN", "APP_MODE", "container_env_"] {
            let at = all
                .find(secret)
                .map(|at| all[at.saturating_sub(200)..].chars().take(300).collect::<String>());
            assert_eq!(at, None, "{secret}");
        }
        for flag in ["-env_metadata_whitelist=APP_", "-docker_env_metadata_whitelist=APP_"] {
            let some = scene(&[flag]);
            let all = everything(&some);
            assert!(all.contains(r#"container_env_app_mode="production""#), "{flag}");
            for secret in [
                "hunter2",
                "secret_token",
                "SECRET_TOKEN",
                "container_env_application",
                "container_env_my_app_x",
            ] {
                assert!(!all.contains(secret), "{flag}: {secret}");
            }
        }
    }

    #[test]
    fn j2_labels_that_are_not_stored_are_not_told() {
        let told = |flags: &[&str]| -> BTreeSet<String> {
            let scene = scene(flags);
            let text = scene.exporter.scrape();
            let all = Exposition::parse(&text).unwrap();
            let names =
                all.samples().flat_map(|sample| labels(sample).into_iter().map(|(name, _)| name.to_owned()));
            names.filter(|name| name.starts_with("container_label_")).collect()
        };
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(told(&[]), set(&["container_label_note", "container_label_other"]));
        assert_eq!(told(&["-store_container_labels=false"]), set(&[]));
        let some = ["-store_container_labels=false", "-whitelisted_container_labels=note,absent"];
        assert_eq!(told(&some), set(&["container_label_note"]));
    }

    #[test]
    fn j3_no_log_line_quotes_anything() {
        let scene = scene(&["-log.level=debug"]);
        let files = [
            "memory/docker/{A}/memory.stat",
            "cpu/docker/{A}/cpu.stat",
            "cpu/docker/{A}/cgroup.procs",
            "memory/docker/{A}/memory.usage_in_bytes",
        ];
        let files = files.map(|file| format!("sys/fs/cgroup/{}", file.replace("{A}", A)));
        let files = files.iter().map(String::as_str).chain([
            "proc/41/net/dev",
            "proc/41/stat",
            "proc/41/limits",
            "proc/meminfo",
            "proc/cpuinfo",
            "proc/diskstats",
            "proc/1/mountinfo",
            "sys/block/sda/dev",
            "etc/machine-id",
        ]);
        everything(&scene);
        for file in files {
            fs::write(
                scene.host.path().join(file),
                "hunter2file hunter2file\nhunter2file: hunter2file=hunter2file\n",
            )
            .unwrap();
            everything(&scene);
        }
        for fault in [
            Fault::Body("hunter2body".into()),
            Fault::Body(format!(
                "{{\"Id\":\"{A}\",\"Name\":7,\"Config\":{{\"Env\":\"hunter2body\",\"Labels\":[\"hunter2body\"]}}}}"
            )),
            Fault::Status(500),
        ] {
            let asked = scene.daemon.count(&format!("/containers/{A}/json"));
            scene.daemon.fault(&format!("/containers/{A}/json"), fault);
            scene.daemon.event(A, "start");
            eventually("the question", || {
                (scene.daemon.count(&format!("/containers/{A}/json")) > asked).then_some(())
            });
            everything(&scene);
            scene.daemon.heal();
        }
        scene.daemon.raw_event("hunter2event");
        scene
            .daemon
            .raw_event(r#"{"Type":"container","Action":"hunter2event","Actor":{"ID":"hunter2event"}}"#);
        std::thread::sleep(Duration::from_millis(300));
        scene.exporter.get(
            "/metrics?collect[]=hunter2query",
            &["Authorization: Basic aHVudGVyMg==", "Cookie: hunter2cookie"],
        );
        everything(&scene);
        let log = scene.exporter.log();
        assert!(log.contains("level=DEBUG") || log.contains("level=INFO"), "there is a log: {log}");
        for secret in ["hunter2", "aHVudGVyMg", "production", "labelvalue", "a secret"] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret}");
        }
    }

    #[test]
    fn j4_every_path_asks_for_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("htpasswd");
        fs::write(&file, "u:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n").unwrap();
        let scene =
            Scene::new(&boxes::v1(), &[&format!("-http_auth_file={}", file.display())], Daemon::appear);
        let (right, wrong) = ("Authorization: Basic dTpzZWNyZXQ=", "Authorization: Basic dTp3cm9uZw==");
        let more = [
            "/metrics/",
            "//metrics",
            "/-/healthy",
            "/api/",
            "/validate",
            "/favicon.ico",
            "/%2e%2e/metrics",
            "/metrics?x=1",
        ];
        for path in PATHS.iter().chain(&more) {
            for (who, headers) in [("nobody", &[][..]), ("a stranger", &[wrong])] {
                for method in ["GET", "HEAD", "POST"] {
                    let response = scene.exporter.client().request(method, path, headers);
                    assert_eq!(response.status, 401, "{method} {path} as {who}");
                    assert!(!String::from_utf8_lossy(&response.body).contains("container"), "{path}");
                }
            }
            let response = scene.exporter.get(path, &[right]);
            assert!(
                // The API's word for a version or a container that there is not is 500, as the original's.
                [200, 301, 307, 400, 404, 500].contains(&response.status),
                "{path} with the password: {}",
                response.status
            );
        }
        assert_eq!(scene.exporter.get("/metrics", &[right]).status, 200);
        let log = scene.exporter.log();
        assert!(!log.contains("dTpzZWNyZXQ") && !log.contains("$2b$04"), "{log}");
    }
}
