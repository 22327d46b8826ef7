//! Over recorded hosts: the same series and values as what the original printed there, less the differences that are meant.
//!
//! The recordings are shared ones and not part of this repository; without them these tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Answer, Diff, MEANT, Meant, OLD, Series, assert_none, binary, differences, without_meant};
use serde_json::Value;
use testbed::daemon::Daemon;
use testbed::http::gunzip;
use testbed::process::Exporter;
use testbed::shared;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// A copy of a recorded host, in which links and the contents of directories of descriptors are what they were.
fn host(recorded: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-rT").arg(recorded).arg(dir.path()).status().unwrap();
    assert!(status.success());
    for entry in fs::read_dir(dir.path().join("proc")).unwrap() {
        let process = entry.unwrap().path();
        let Ok(list) = fs::read_to_string(process.join("fd.list")) else { continue };
        fs::create_dir(process.join("fd")).unwrap();
        for (number, target) in list.lines().filter_map(|line| line.split_once(' ')) {
            symlink(target, process.join("fd").join(number)).unwrap();
        }
    }
    // The first process is in the machine's own network.
    if !dir.path().join("proc/1/net").exists() {
        symlink("../net", dir.path().join("proc/1/net")).unwrap();
    }
    dir
}

/// Writes the files of the writable layers and logs that the recording lists, as large on disk as they were.
fn layers(host: &Path, inspected: &[Value]) {
    for container in inspected {
        let id = container["Id"].as_str().unwrap();
        let list = host.join(format!("var/lib/docker/image/overlay2/layerdb/mounts/{id}/du.tsv"));
        let Ok(list) = fs::read_to_string(list) else { continue };
        let upper = container["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap();
        let roots =
            [("rw", host.join(&upper[1..])), ("logs", host.join(format!("var/lib/docker/containers/{id}")))];
        for line in list.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [part, _, links, blocks, path] = fields[..] else { panic!("{line}") };
            let root = &roots.iter().find(|(name, _)| *name == part).unwrap().1;
            let path = if path == "." { root.clone() } else { root.join(path) };
            // A directory's two links tell it from a file.
            if links.parse::<u64>().unwrap() > 1 {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, vec![1; 512 * blocks.parse::<usize>().unwrap()]).unwrap();
            }
        }
    }
}

/// A daemon that answers what the recorded one did.
fn daemon(socket: &Path, version: &Value, list: &Value, inspected: &[Value]) -> Daemon {
    let daemon = Daemon::start(socket);
    daemon.version(&version.to_string());
    for line in list.as_array().unwrap() {
        let id = line["Id"].as_str().unwrap();
        let inspection = inspected.iter().find(|container| container["Id"] == id).unwrap();
        daemon.container(id, &line.to_string(), &inspection.to_string());
    }
    daemon
}

/// Starts ours over the host, and waits until every container that runs has a name.
fn start(host: &Path, socket: &Path, flags: &[&str], names: usize) -> Exporter {
    let path = |name: &str, of: &str| format!("-path.{name}={}", host.join(of).display());
    let mut args = vec![
        path("rootfs", ""),
        path("procfs", "proc"),
        path("sysfs", "sys"),
        format!("-docker=unix://{}", socket.display()),
    ];
    args.push("-podman=".into());
    args.extend(flags.iter().map(ToString::to_string));
    let exporter = Exporter::start(&binary(), &args, Path::new("/"));
    let begin = Instant::now();
    loop {
        let answer = Answer::parse(&exporter.scrape());
        let named =
            answer.values.keys().filter(|s| s.name == "container_last_seen" && !s.label("name").is_empty());
        let named = named.count();
        if named >= names {
            return exporter;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{named} of {names} containers have names\n{}",
            exporter.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Families that are made of what a recording cannot hold, or does not.
const OF_A_RECORDING: &[Meant] = &[
    Meant {
        why: "these files were not recorded",
        is: |series, diff| {
            let lacks = [
                "container_network_udp6_",
                "container_referenced_bytes",
                "container_file_descriptors",
                "container_sockets",
                "container_ulimits_soft",
                "machine_cpu_cache_",
                "machine_node_",
                "machine_thread_",
            ];
            matches!(diff, Diff::Missing(_)) && lacks.iter().any(|prefix| series.name.starts_with(prefix))
        },
    },
    Meant {
        why: "the time of the scrape, and the filesystem that the copy lies on",
        is: |series, diff| {
            let moves = [
                "container_last_seen",
                "container_fs_limit_bytes",
                "container_fs_usage_bytes",
                "container_fs_inodes_",
            ];
            !matches!(diff, Diff::Type) && moves.iter().any(|prefix| series.name.starts_with(prefix))
        },
    },
    Meant {
        why: "times of files are those of the copy",
        is: |series, diff| {
            let made = ["container_start_time_seconds", "container_creation_time_seconds"];
            series.label("name").is_empty()
                && matches!(diff, Diff::Value(..))
                && made.contains(&series.name.as_str())
        },
    },
];

fn same(_: &Series, a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

mod v1 {
    use super::*;

    /// The recorded files that moved while a scrape was recorded, as `stability.json` names them.
    struct Moved {
        files: Vec<String>,
        pids: BTreeMap<String, u64>,
    }

    impl Moved {
        /// Whether a file that the series' value comes from was not at rest.
        fn excuses(&self, series: &Series) -> bool {
            let id = series.label("id");
            let controller =
                |name: &str| format!("/sys/fs/cgroup/{name}{}/", if id == "/" { "" } else { id });
            let process = |name: &str| match self.pids.get(id) {
                Some(pid) => format!("/proc/{pid}/{name}"),
                None => format!("/proc/1/{name}"),
            };
            let name = series.name.as_str();
            let of = |prefix: &str| name.starts_with(prefix);
            let file = if of("container_memory_") {
                controller("memory")
            } else if of("container_cpu_schedstat_") {
                "/proc/".to_owned()
            } else if of("container_cpu_") {
                controller("cpuacct")
            } else if of("container_pressure_") {
                controller("unified")
            } else if of("container_fs_") || of("container_blkio_") {
                controller("blkio")
            } else if of("container_threads") {
                controller("pids")
            } else if of("container_network_advance_") {
                process("net/")
            } else if of("container_network_tcp") {
                process("net/tcp")
            } else if of("container_network_udp") {
                process("net/udp")
            } else if of("container_network_") {
                process("net/dev")
            } else {
                return false;
            };
            self.files
                .iter()
                .any(|moved| moved.starts_with(&file) && (id != "/" || moved.matches('/').count() <= 5))
        }
    }

    fn run(release: &str, of_the_release: &[Meant]) {
        let Some(shared) = shared::dir() else {
            return shared::skipped("the recorded cgroup v1 host", "there is no ../shared");
        };
        let fixture = shared.join("fixtures/container/cgroup-v1");
        let inspect = fs::read_dir(fixture.join("docker/inspect")).unwrap();
        let inspected: Vec<Value> = inspect.map(|entry| json(&entry.unwrap().path())).collect();
        let inspected: Vec<Value> = inspected
            .into_iter()
            .map(|value| if value.is_array() { value[0].clone() } else { value })
            .collect();
        let host = host(&fixture.join("rootfs"));
        layers(host.path(), &inspected);
        let run = tempfile::tempdir().unwrap();
        let socket = run.path().join("docker.sock");
        let daemon = daemon(
            &socket,
            &json(&fixture.join("docker/version.json")),
            &json(&fixture.join("docker/containers-all.json")),
            &inspected,
        );
        let default = fs::read_to_string(fixture.join(format!("{release}/metrics-default.prom"))).unwrap();
        let default = Answer::parse(&default);
        let machine = default.values.keys().find(|series| series.name == "machine_cpu_cores").unwrap();
        for (path, label) in [("etc/machine-id", "machine_id"), ("proc/sys/kernel/random/boot_id", "boot_id")]
        {
            fs::create_dir_all(host.path().join(path).parent().unwrap()).unwrap();
            fs::write(host.path().join(path), format!("{}\n", machine.label(label))).unwrap();
        }
        let index = json(&fixture.join("index.json"));
        let running = index.as_object().unwrap().values().filter(|c| c["cgroup"].is_string());
        let pids: BTreeMap<String, u64> =
            running.map(|c| (c["cgroup"].as_str().unwrap().to_owned(), c["pid"].as_u64().unwrap())).collect();
        let stability = json(&fixture.join("stability.json"));
        for (file, flags) in [
            ("metrics-default", &["-docker_only=true"][..]),
            (
                "metrics-all-groups-nolabels",
                &["-docker_only=true", "-disable_metrics=", "-store_container_labels=false"],
            ),
            ("metrics-env-whitelist-APP_", &["-docker_only=true", "-env_metadata_whitelist=APP_"]),
            (
                "metrics-whitelisted-label-rawcgroups",
                &[
                    "-store_container_labels=false",
                    "-whitelisted_container_labels=com.docker.compose.service",
                ],
            ),
        ] {
            let expected = format!("{release}/{file}.prom");
            let original = Answer::parse(&fs::read_to_string(fixture.join(&expected)).unwrap());
            // Of cgroups above and beside the containers not all were recorded.
            let original = original.filtered(|series| {
                let group = host.path().join(format!("sys/fs/cgroup/cpu{}/cpu.shares", series.label("id")));
                !series.name.starts_with("container_") || group.exists()
            });
            let exporter = start(host.path(), &socket, flags, pids.len());
            let ours = Answer::parse(&exporter.scrape());
            assert_eq!(ours.faults, Vec::<String>::new(), "{expected}");
            // The recording of what variables become labels holds two families.
            let whole = file != "metrics-env-whitelist-APP_";
            let names: std::collections::BTreeSet<String> =
                original.values.keys().map(|s| s.name.clone()).collect();
            let ids: std::collections::BTreeSet<&str> =
                original.values.keys().map(|s| s.label("id")).collect();
            let ours = ours.filtered(|s| {
                (whole || names.contains(&s.name))
                    && (ids.contains(s.label("id")) || s.label("id").is_empty())
            });
            let moved = &stability["moved_or_different_from_tree_per_run"][&expected];
            let files = moved.as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned());
            let moved = Moved { files: files.collect(), pids: pids.clone() };
            let mut found = differences(&original, &ours, same);
            let all = original.values.len();
            found.retain(|(series, diff)| !matches!(diff, Diff::Value(..)) || !moved.excuses(series));
            let (rest, used) = without_meant(found, &[MEANT, OF_A_RECORDING, of_the_release]);
            drop(exporter);
            println!("{expected}: {all} series, {} ours; meant differences: {used:#?}", ours.values.len());
            assert_none(&expected, &rest);
        }
        drop(daemon);
    }

    #[test]
    fn as_the_current_release() {
        run("expected-head", &[]);
    }

    #[test]
    fn as_release_0_38_7() {
        run("expected-0.38.7", OLD);
    }
}

mod v2 {
    use super::*;

    /// What the recording lacks, or what moved between the original's reading and both of the recorded ones.
    const OF_THE_RECORDING: &[Meant] = &[
        Meant {
            why: "of processes there is one snapshot, from before the original's reading",
            is: |series, diff| {
                let rises = ["container_cpu_schedstat_", "container_network_advance_"];
                let moves = [
                    "container_file_descriptors",
                    "container_sockets",
                    "container_processes",
                    "container_threads",
                    "container_network_tcp",
                    "container_network_udp",
                ];
                let named = |names: &[&str]| names.iter().any(|prefix| series.name.starts_with(prefix));
                match diff {
                    Diff::Value(original, ours) => named(&moves) || (named(&rises) && original > ours),
                    _ => false,
                }
            },
        },
        Meant {
            why: "pages wait to be written, and are",
            is: |series, diff| {
                series.name == "container_memory_file_dirty_bytes" && matches!(diff, Diff::Value(..))
            },
        },
    ];

    fn unpack(archive: &Path, snapshots: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for snapshot in snapshots {
            let status = Command::new("tar")
                .args([
                    "-xzf",
                    archive.to_str().unwrap(),
                    "--strip-components=2",
                    "-C",
                    dir.path().to_str().unwrap(),
                ])
                .arg(format!("./{snapshot}"))
                .status()
                .unwrap();
            assert!(status.success());
        }
        dir
    }

    #[test]
    fn as_the_current_release() {
        let Some(shared) = shared::dir() else {
            return shared::skipped("the recorded cgroup v2 host", "there is no ../shared");
        };
        let fixture = shared.join("fixtures/container-v2");
        let inspected: Vec<Value> = fs::read_dir(fixture.join("docker-api/containers"))
            .unwrap()
            .map(|entry| json(&entry.unwrap().path()))
            .collect();
        let run = tempfile::tempdir().unwrap();
        let socket = run.path().join("docker.sock");
        let (version, list) = (
            json(&fixture.join("docker-api/version.json")),
            json(&fixture.join("docker-api/containers-all.json")),
        );
        let running = inspected.iter().filter(|c| c["State"]["Running"] == true).count();
        let _daemon = daemon(&socket, &version, &list, &inspected);
        let archive = fixture.join("full.tar.gz");
        // The original read the host after the first snapshot and before the second.
        let hosts =
            [unpack(&archive, &["snapshot-a"]), unpack(&archive, &["snapshot-a", "snapshot-b"])].map(|dir| {
                let prepared = host(dir.path());
                drop(dir);
                prepared
            });
        for (file, flags) in [("metrics", &[][..]), ("all.metrics", &["-disable_metrics="])] {
            let packed = fs::read(fixture.join(format!("peers/cadvisor-0.60.5-head.{file}.gz"))).unwrap();
            let original = Answer::parse(&String::from_utf8(gunzip(&packed)).unwrap());
            // Of services and slices few files were recorded.
            let is_recorded = |series: &Series| {
                let id = series.label("id");
                ["", "/"].contains(&id)
                    || ["docker-", "libpod-", "ctrbox"].iter().any(|part| id.contains(part))
            };
            let original = original.filtered(is_recorded);
            let [before, after] = [0, 1].map(|i| {
                let exporter = start(hosts[i].path(), &socket, flags, running);
                Answer::parse(&exporter.scrape()).filtered(is_recorded)
            });
            assert_eq!(before.faults, Vec::<String>::new());
            let between = |series: &Series, value: f64, first: f64| {
                let last = after.values.get(series).copied().unwrap_or(first);
                let is_counter = before.types[&series.name] == "counter";
                if series.label("name").is_empty() && is_counter {
                    // The second snapshot has the files of few cgroups that are not Docker's.
                    return value >= first && (first == last || value <= last);
                }
                // Memory is a few pages more or less from one moment to the next.
                let is_memory = !is_counter && series.name.starts_with("container_memory_");
                let slack = if is_memory { 0.1 * value.abs() + 4e5 } else { 1e-9 * value.abs() };
                (first.min(last) - slack..=first.max(last) + slack).contains(&value)
            };
            let found = differences(&original, &before, between);
            let all = original.values.len();
            let (rest, used) = without_meant(found, &[MEANT, OF_A_RECORDING, OF_THE_RECORDING]);
            println!("{file}: {all} series, {} ours; meant differences: {used:#?}", before.values.len());
            assert_none(file, &rest);
        }
    }
}
