//! On a real cgroup v2 host with Docker, as nobody without capabilities: names, values and events, against what the kernel's files said
//! right before and right after each scrape.
//!
//! `tests/cgroup2` boots the host, has `tests/cgroup2-guest` record there, and runs these tests over the recording.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Answer, Series};
use serde_json::Value;

/// Containers with processes, until one of them is stopped.
const RUNNING: [&str; 7] = ["limits", "labels", "oomchild", "hostnet", "paused", "sliced", "restarted"];

/// Memory that may come and go between two readings, in bytes.
const PAGES: f64 = 1_048_576.0;

/// The recording's directory.
fn recording() -> PathBuf {
    std::env::var_os("CGROUP2_OUT").expect("tests/cgroup2 says where its recording is").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The kernel's files at one time: lines by path.
struct Readings(BTreeMap<String, Vec<String>>);

impl Readings {
    fn load(path: &Path) -> Self {
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in read(path).lines() {
            let (file, line) = line.split_once(':').unwrap();
            files.entry(file.to_owned()).or_default().push(line.to_owned());
        }
        Readings(files)
    }

    /// None for a file that is empty, as `io.stat` is where nothing was read or written.
    fn lines(&self, file: &str) -> &[String] {
        self.0.get(file).map_or(&[], Vec::as_slice)
    }

    /// A number of a file: the only one, or that of `KEY VALUE`, or that of `KEY=VALUE` in the line that begins with a word.
    fn number(&self, file: &str, key: Key) -> f64 {
        let lines = self.lines(file);
        let text = match key {
            Key::Only => lines.first().map(String::as_str),
            Key::Of(key) => lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')),
            Key::In(first, key) => {
                let line = lines.iter().find(|line| line.split(' ').next() == Some(first));
                line.and_then(|line| {
                    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                })
            }
        };
        let text = text.unwrap_or_else(|| panic!("{file} has no {key:?}: {lines:#?}"));
        text.parse().unwrap_or_else(|_| panic!("{file}: {key:?} is {text}"))
    }
}

/// Where in a file a number is.
#[derive(Debug, Clone, Copy)]
enum Key {
    Only,
    Of(&'static str),
    In(&'static str, &'static str),
}

/// A scrape between two readings.
struct Moment {
    answer: Answer,
    /// The scrape of the exporter that may not talk to the engine; after it comes `last`.
    denied: Answer,
    before: Readings,
    after: Readings,
    last: Readings,
    /// When all was over, in seconds since 1970.
    time: f64,
}

fn moment(name: &str) -> Moment {
    let dir = recording().join(name);
    let answer = |name: &str| {
        let answer = Answer::parse(&read(&dir.join(name)));
        assert_eq!(answer.faults, Vec::<String>::new());
        answer
    };
    Moment {
        answer: answer("metrics"),
        denied: answer("denied"),
        before: Readings::load(&dir.join("before")),
        after: Readings::load(&dir.join("after")),
        last: Readings::load(&dir.join("last")),
        time: read(&dir.join("time")).trim().parse().unwrap(),
    }
}

/// The containers' cgroups by name, below `/sys/fs/cgroup`, as the engine has them with systemd's driver.
struct Groups(BTreeMap<String, String>);

impl Groups {
    fn load() -> Self {
        let inspected: Vec<Value> = serde_json::from_str(&read(&recording().join("inspect.json"))).unwrap();
        let group = |container: &Value| {
            let name = container["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
            let parent = container["HostConfig"]["CgroupParent"].as_str().unwrap();
            let slice = if parent.is_empty() { "system.slice" } else { parent };
            (name, format!("/{slice}/docker-{}.scope", container["Id"].as_str().unwrap()))
        };
        Groups(inspected.iter().map(group).collect())
    }

    fn of(&self, name: &str) -> &str {
        &self.0[name]
    }
}

impl Moment {
    fn value(&self, family: &str, name: &str) -> Option<f64> {
        self.answer.value(family, &[("name", name)])
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.answer.values.keys().filter(move |series| series.label("name") == name)
    }

    fn families<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut families: Vec<&str> = self.series(name).map(|series| series.name.as_str()).collect();
        families.dedup();
        families
    }

    fn state<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.series(name)
            .filter(|series| series.name == "container_state")
            .map(|s| s.label("state"))
            .collect()
    }
}

/// A family with further labels, and where its value comes from: file, key, units of the file in one of the family.
type Source = (&'static str, &'static [(&'static str, &'static str)], &'static str, Key, f64);

/// Counters.
const COUNTERS: &[Source] = &[
    ("container_cpu_usage_seconds_total", &[("cpu", "total")], "cpu.stat", Key::Of("usage_usec"), 1e6),
    ("container_cpu_user_seconds_total", &[], "cpu.stat", Key::Of("user_usec"), 1e6),
    ("container_cpu_system_seconds_total", &[], "cpu.stat", Key::Of("system_usec"), 1e6),
    ("container_memory_max_usage_bytes", &[], "memory.peak", Key::Only, 1.0),
    ("container_memory_events_max_total", &[], "memory.events", Key::Of("max"), 1.0),
    ("container_memory_events_high_total", &[], "memory.events", Key::Of("high"), 1.0),
    ("container_memory_events_oom_total", &[], "memory.events", Key::Of("oom"), 1.0),
    ("container_memory_events_oom_kill_total", &[], "memory.events", Key::Of("oom_kill"), 1.0),
    ("container_oom_events_total", &[], "memory.events", Key::Of("oom_kill"), 1.0),
    (
        "container_memory_failures_total",
        &[("failure_type", "pgfault"), ("scope", "hierarchy")],
        "memory.stat",
        Key::Of("pgfault"),
        1.0,
    ),
    (
        "container_memory_failures_total",
        &[("failure_type", "pgmajfault"), ("scope", "hierarchy")],
        "memory.stat",
        Key::Of("pgmajfault"),
        1.0,
    ),
    ("container_pressure_cpu_waiting_seconds_total", &[], "cpu.pressure", Key::In("some", "total"), 1e6),
    ("container_pressure_cpu_stalled_seconds_total", &[], "cpu.pressure", Key::In("full", "total"), 1e6),
    (
        "container_pressure_memory_waiting_seconds_total",
        &[],
        "memory.pressure",
        Key::In("some", "total"),
        1e6,
    ),
    (
        "container_pressure_memory_stalled_seconds_total",
        &[],
        "memory.pressure",
        Key::In("full", "total"),
        1e6,
    ),
    ("container_pressure_io_waiting_seconds_total", &[], "io.pressure", Key::In("some", "total"), 1e6),
    ("container_pressure_io_stalled_seconds_total", &[], "io.pressure", Key::In("full", "total"), 1e6),
];

/// Those of a CPU quota.
const QUOTA: &[Source] = &[
    ("container_cpu_cfs_periods_total", &[], "cpu.stat", Key::Of("nr_periods"), 1.0),
    ("container_cpu_cfs_throttled_periods_total", &[], "cpu.stat", Key::Of("nr_throttled"), 1.0),
    ("container_cpu_cfs_throttled_seconds_total", &[], "cpu.stat", Key::Of("throttled_usec"), 1e6),
];

/// Those of the machine's disk, which is the device 254:0 there.
const DISK: &[Source] = &[
    ("container_fs_reads_bytes_total", &[("device", "/dev/vda")], "io.stat", Key::In("254:0", "rbytes"), 1.0),
    (
        "container_fs_writes_bytes_total",
        &[("device", "/dev/vda")],
        "io.stat",
        Key::In("254:0", "wbytes"),
        1.0,
    ),
    ("container_fs_reads_total", &[("device", "/dev/vda")], "io.stat", Key::In("254:0", "rios"), 1.0),
    ("container_fs_writes_total", &[("device", "/dev/vda")], "io.stat", Key::In("254:0", "wios"), 1.0),
    (
        "container_blkio_device_usage_total",
        &[("major", "254"), ("minor", "0"), ("operation", "Write")],
        "io.stat",
        Key::In("254:0", "wbytes"),
        1.0,
    ),
];

/// Gauges, and where they come from.
const GAUGES: &[(&str, &str, Key, f64)] = &[
    ("container_memory_usage_bytes", "memory.current", Key::Only, PAGES),
    ("container_memory_rss", "memory.stat", Key::Of("anon"), PAGES),
    ("container_memory_cache", "memory.stat", Key::Of("file"), PAGES),
    ("container_memory_mapped_file", "memory.stat", Key::Of("file_mapped"), PAGES),
    ("container_memory_kernel_usage", "memory.stat", Key::Of("kernel"), PAGES),
    ("container_memory_total_inactive_file_bytes", "memory.stat", Key::Of("inactive_file"), PAGES),
    ("container_memory_swap", "memory.swap.current", Key::Only, 0.0),
];

/// Each counter lies between what its file said before and after; each gauge too, within what moves.
fn assert_values(
    name: &str,
    context: &str,
    answer: impl Fn(&str, &[(&str, &str)]) -> Option<f64>,
    files: [&Readings; 2],
    group: &str,
) {
    let path = |file: &str| format!("/sys/fs/cgroup{group}/{file}");
    let has_quota = !files[0].lines(&path("cpu.max"))[0].starts_with("max");
    let has_written = files[0]
        .lines(&path("io.stat"))
        .iter()
        .any(|line| line.contains("wbytes=") && line.starts_with("254:0 "));
    assert_eq!(has_quota, ["limits", "renamed"].contains(&name));
    let counters = COUNTERS.iter();
    let counters = counters.chain(if has_quota { QUOTA } else { &[] });
    let counters = counters.chain(if has_written { DISK } else { &[] });
    for &(family, labels, file, key, units) in counters {
        let value = answer(family, labels).unwrap_or_else(|| panic!("{context}: {name} has no {family}"));
        let [low, high] = files.map(|readings| readings.number(&path(file), key) / units);
        let within = low - 1e-6..=high + 1e-6;
        assert!(within.contains(&value), "{context}: {family} of {name}: {low} <= {value} <= {high}");
    }
    for &(family, file, key, slack) in GAUGES {
        let value = answer(family, &[]).unwrap_or_else(|| panic!("{context}: {name} has no {family}"));
        let [one, other] = files.map(|readings| readings.number(&path(file), key));
        let (low, high) = (one.min(other) - slack, one.max(other) + slack);
        assert!((low..=high).contains(&value), "{context}: {family} of {name}: {low} <= {value} <= {high}");
    }
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn values_are_those_of_the_kernels_files() {
    let groups = Groups::load();
    for at in ["first", "second"] {
        let moment = moment(at);
        for name in RUNNING {
            let value = |family: &str, labels: &[(&str, &str)]| {
                moment.answer.value(family, &[labels, &[("name", name)]].concat())
            };
            assert_values(name, at, value, [&moment.before, &moment.after], groups.of(name));
            let [usage, inactive, working_set] =
                ["usage_bytes", "total_inactive_file_bytes", "working_set_bytes"]
                    .map(|what| value(&format!("container_memory_{what}"), &[]).unwrap());
            assert_eq!(working_set, (usage - inactive).max(0.0), "{at}: {name}");
            let threads = moment.value("container_threads", name).unwrap();
            let path = format!("/sys/fs/cgroup{}/pids.current", groups.of(name));
            let [before, after] = [&moment.before, &moment.after].map(|files| files.number(&path, Key::Only));
            assert!(
                (before - threads).abs() <= 2.0 || (after - threads).abs() <= 2.0,
                "{name}: {threads} threads"
            );
        }
    }
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn without_the_engine_there_are_no_names_and_all_values() {
    for at in ["first", "second", "down"] {
        let moment = moment(at);
        let names = moment.denied.values.keys().filter(|series| {
            series.name.starts_with("container_")
                && (!series.label("name").is_empty() || !series.label("image").is_empty())
        });
        assert_eq!(names.collect::<Vec<_>>(), Vec::<&Series>::new(), "{at}");
    }
    let (moment, groups) = (moment("first"), Groups::load());
    for name in RUNNING {
        let group = groups.of(name);
        let value = |family: &str, labels: &[(&str, &str)]| {
            moment.denied.value(family, &[labels, &[("id", group)]].concat())
        };
        assert_values(name, "denied", value, [&moment.after, &moment.last], group);
    }
    let log = read(&recording().join("log-denied"));
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(
        matches!(warnings[..], [only] if only.contains("docker.sock") && only.contains("ermission denied")),
        "{log}"
    );
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn what_a_busy_container_uses_rises_as_the_kernel_says() {
    let (first, second) = (moment("first"), moment("second"));
    let used = |moment: &Moment| {
        moment
            .answer
            .value("container_cpu_usage_seconds_total", &[("name", "limits"), ("cpu", "total")])
            .unwrap()
    };
    let file = format!("/sys/fs/cgroup{}/cpu.stat", Groups::load().of("limits"));
    let kernel = |readings: &Readings| readings.number(&file, Key::Of("usage_usec")) / 1e6;
    let rise = used(&second) - used(&first);
    let least = kernel(&second.before) - kernel(&first.after);
    let most = kernel(&second.after) - kernel(&first.before);
    assert!(least > 0.1 && least <= rise && rise <= most, "{least} <= {rise} <= {most}");
    let throttled =
        |moment: &Moment| moment.value("container_cpu_cfs_throttled_seconds_total", "limits").unwrap();
    assert!(throttled(&second) > throttled(&first));
    let written = |moment: &Moment| {
        moment
            .answer
            .value("container_fs_writes_bytes_total", &[("name", "sliced"), ("device", "/dev/vda")])
            .unwrap()
    };
    assert!(written(&first) >= 8.0 * 1048576.0, "{}", written(&first));
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn limits_are_those_that_were_given() {
    let moment = moment("first");
    let mib = 1048576.0;
    for (family, name, expected) in [
        ("container_spec_memory_limit_bytes", "limits", 64.0 * mib),
        ("container_spec_memory_reservation_limit_bytes", "limits", 32.0 * mib),
        ("container_spec_memory_swap_limit_bytes", "limits", 64.0 * mib),
        ("container_spec_memory_limit_bytes", "oomchild", 16.0 * mib),
        ("container_spec_memory_swap_limit_bytes", "oomchild", 0.0),
        ("container_spec_memory_limit_bytes", "labels", 0.0),
        ("container_spec_memory_reservation_limit_bytes", "labels", 0.0),
        ("container_threads_max", "limits", 100.0),
        ("container_spec_cpu_period", "limits", 100_000.0),
        ("container_spec_cpu_quota", "limits", 20_000.0),
    ] {
        assert_eq!(moment.value(family, name), Some(expected), "{family} of {name}");
    }
    assert_eq!(moment.value("container_spec_cpu_quota", "labels"), None);
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn names_labels_and_states_are_those_of_the_engine() {
    let (moment, groups) = (moment("first"), Groups::load());
    for name in RUNNING {
        for series in moment.series(name).filter(|series| series.name.starts_with("container_")) {
            assert_eq!(series.label("id"), groups.of(name), "{series}");
            assert_eq!(series.label("image"), "bb:1", "{series}");
        }
        let state = if name == "paused" { "paused" } else { "running" };
        assert_eq!(moment.state(name), [state], "{name}");
        let seen = moment.value("container_last_seen", name).unwrap();
        assert!((moment.time - 60.0..=moment.time).contains(&seen), "{name} was seen at {seen}");
        assert_eq!(moment.value("container_exit_code", name), None, "{name}");
        let health = if name == "labels" { 1.0 } else { -1.0 };
        assert_eq!(moment.value("container_health_state", name), Some(health), "{name}");
        let restarts = if name == "restarted" { 1.0 } else { 0.0 };
        assert_eq!(moment.value("container_restart_count", name), Some(restarts), "{name}");
        let created = moment.value("container_creation_time_seconds", name).unwrap();
        let started = moment.value("container_start_time_seconds", name).unwrap();
        assert!(moment.time - 600.0 < created && created <= started && started < moment.time, "{name}");
    }
    let labels =
        moment.series("labels").find(|series| series.name == "container_memory_usage_bytes").unwrap();
    assert_eq!(labels.label("container_label_com_docker_compose_project"), "shop");
    assert_eq!(labels.label("container_label_com_docker_compose_service"), "web");
    assert_eq!(labels.label("container_label_odd"), "a\"b\\c\u{e9}");
    assert!(moment.value("container_oom_events_total", "oomchild").unwrap() >= 1.0);
    assert_eq!(moment.value("container_oom_events_total", "labels"), Some(0.0));
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn traffic_is_that_of_the_containers_own_network() {
    let (first, second) = (moment("first"), moment("second"));
    let kernel = |readings: &Readings, column: usize| -> f64 {
        let file = readings.0.keys().find(|path| path.ends_with("/net/dev")).unwrap();
        let lines = readings.lines(file);
        let line = lines.iter().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        line.split_whitespace().nth(column).unwrap().parse().unwrap()
    };
    let value = |moment: &Moment, family: &str| {
        moment.answer.value(family, &[("name", "labels"), ("interface", "eth0")]).unwrap()
    };
    for (family, column) in [
        ("container_network_receive_bytes_total", 0),
        ("container_network_receive_packets_total", 1),
        ("container_network_transmit_bytes_total", 8),
        ("container_network_transmit_packets_total", 9),
    ] {
        for moment in [&first, &second] {
            let (low, high) = (kernel(&moment.before, column), kernel(&moment.after, column));
            let value = value(moment, family);
            assert!(low > 0.0 && (low..=high).contains(&value), "{family}: {low} <= {value} <= {high}");
        }
        assert!(value(&first, family) < value(&second, family), "{family}");
    }
    let interfaces = |name: &'static str| -> Vec<&str> {
        let series =
            first.series(name).filter(|series| series.name == "container_network_receive_bytes_total");
        series.map(|series| series.label("interface")).collect()
    };
    assert_eq!(interfaces("limits"), ["eth0"]);
    assert_eq!(interfaces("hostnet"), Vec::<&str>::new());
    assert_eq!(interfaces("oomchild"), Vec::<&str>::new());
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn a_rename_an_end_and_a_removal_are_seen() {
    let [second, stopped, removed, down] = ["second", "stopped", "removed", "down"].map(moment);
    let groups = Groups::load();
    assert_eq!(stopped.families("limits"), Vec::<&str>::new(), "the old name is gone");
    let renamed = stopped.series("renamed").next().unwrap();
    assert_eq!(renamed.label("id"), groups.of("limits"));
    assert_eq!(stopped.families("hostnet"), STOPPED);
    assert_eq!(stopped.value("container_exit_code", "hostnet"), Some(3.0));
    for moment in [&removed, &down] {
        assert_eq!(moment.families("hostnet"), ["container_last_seen"]);
    }
    let seen = |moment: &Moment, name: &str| moment.value("container_last_seen", name).unwrap();
    assert_eq!(seen(&removed, "hostnet"), seen(&down, "hostnet"), "it stays where it was");
    assert!(seen(&removed, "hostnet") >= seen(&second, "hostnet"));
    assert!(seen(&removed, "hostnet") <= stopped.time);
    assert!(seen(&removed, "renamed") > seen(&removed, "hostnet"));
}

/// What is said of a container that has ended.
const STOPPED: [&str; 7] = [
    "container_exit_code",
    "container_finished_time_seconds",
    "container_health_state",
    "container_last_seen",
    "container_oom_killed",
    "container_restart_count",
    "container_state",
];

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn an_engine_that_restarts_costs_nothing() {
    let [removed, down, restarted] = ["removed", "down", "restarted"].map(moment);
    let groups = Groups::load();
    for name in ["renamed", "labels", "oomchild", "paused", "sliced", "restarted"] {
        let lost = |moment: &Moment, now: &str| -> Vec<String> {
            let now = moment.families(now);
            let was = removed.families(name).into_iter();
            was.filter(|family| !now.contains(family)).map(str::to_owned).collect()
        };
        assert_eq!(lost(&down, name), Vec::<String>::new(), "{name} while the engine is down");
        let group = groups.of(if name == "renamed" { "limits" } else { name });
        let value = |family: &str, labels: &[(&str, &str)]| {
            down.answer.value(family, &[labels, &[("name", name)]].concat())
        };
        assert_values(name, "down", value, [&down.before, &down.after], group);
        let now = if name == "renamed" { "again" } else { name };
        assert_eq!(lost(&restarted, now), Vec::<String>::new(), "{name} after the restart");
        assert_eq!(restarted.series(now).next().unwrap().label("id"), group);
        assert_eq!(restarted.state(now), removed.state(name));
    }
    assert_eq!(restarted.families("renamed"), Vec::<&str>::new());
    assert_eq!(restarted.state("late"), ["running"]);
    assert!(restarted.value("container_memory_usage_bytes", "late").unwrap() > 0.0);
    // A slow machine has the engine answer late now and then; whatever else there is to say comes from its end.
    let log = read(&recording().join("log-named"));
    for line in log.lines().filter(|line| !line.contains("level=INFO")) {
        let is_about_the_engine =
            line.contains("level=WARN") && line.contains("docker.sock") && line.contains("does not answer");
        assert!(is_about_the_engine, "{line}");
    }
    // Once at the start, once after the restart, and after each time that it was too late with an answer.
    assert!(log.matches("Connected to the container runtime").count() >= 2, "{log}");
}

#[test]
#[ignore = "tests/cgroup2 runs it over what it recorded"]
fn it_was_nobody_and_stayed_small() {
    let status = read(&recording().join("status"));
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).to_owned()
    };
    assert_eq!(field("Uid"), "65534\t65534\t65534\t65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    let resident_kb: u64 = field("VmRSS").trim().strip_suffix(" kB").unwrap().parse().unwrap();
    println!("resident: {resident_kb} kB, threads: {}", field("Threads"));
    assert!(resident_kb < 16 * 1024, "{resident_kb} kB");
}
