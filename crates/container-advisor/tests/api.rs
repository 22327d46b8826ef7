//! The API of the whole program: over the recorded cgroup v1 machine, against what the original answered there; and live, beside the
//! engine that runs here and the original, if there are any.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::daemon::Daemon;
use testbed::docker::Engine;
use testbed::process::{Exporter, free_port};
use testbed::shared;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_container-advisor"))
}

fn recorded() -> Option<PathBuf> {
    let dir = shared::dir()?.join("fixtures/container/cgroup-v1");
    dir.join("index.json").is_file().then_some(dir)
}

fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program over the recorded machine, with a daemon that says what the recorded one said.
struct Machine {
    exporter: Exporter,
    _daemon: Daemon,
    _dir: tempfile::TempDir,
    recorded: PathBuf,
}

impl Machine {
    fn start(args: &[&str]) -> Option<Self> {
        let recorded = recorded()?;
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let daemon = Daemon::start(&socket);
        daemon.version(&read(&recorded.join("docker/version.json")).to_string());
        for line in read(&recorded.join("docker/containers.json")).as_array().unwrap() {
            let id = line["Id"].as_str().unwrap();
            let inspection = read(&recorded.join(format!("docker/inspect/{id}.json")));
            // Some tools record the answer, some a list of it.
            let inspection = inspection.get(0).unwrap_or(&inspection);
            daemon.container(id, &line.to_string(), &inspection.to_string());
        }
        let rootfs = recorded.join("rootfs");
        let mut all = vec![
            format!("-path.rootfs={}", rootfs.display()),
            format!("-path.sysfs={}", rootfs.join("sys").display()),
            format!("-docker=unix://{}", socket.display()),
            "-podman=".to_owned(),
        ];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let exporter = Exporter::start(binary(), &all, dir.path());
        let machine = Machine { exporter, _daemon: daemon, _dir: dir, recorded };
        wait("the daemon's containers", || machine.status("/api/v1.3/docker/cadvres-fx-web") == 200);
        Some(machine)
    }

    fn status(&self, path: &str) -> u16 {
        self.exporter.get(path, &[]).status
    }

    fn json(&self, path: &str) -> Value {
        json_of(&self.exporter, path)
    }

    fn expected(&self, name: &str) -> Value {
        read(&self.recorded.join("expected-head").join(name))
    }
}

fn json_of(exporter: &Exporter, path: &str) -> Value {
    let response = exporter.get(path, &[]);
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")), "{path}");
    serde_json::from_str(&response.text()).unwrap()
}

fn wait(what: &str, is_done: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a body; the status and the answer's body.
fn post(exporter: &Exporter, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(exporter.address()).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Where each value is, and its type: `a.b[].c: number`. Keys that are data and not the API's are `*`.
fn shape(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(list) => {
            list.iter().for_each(|value| shape(value, &format!("{at}[]"), into));
            "list"
        }
        Value::Object(object) => {
            let is_data = ["labels", "envs", "disk_map", "hugetlb", "memory_by_type"]
                .iter()
                .any(|name| at.ends_with(name));
            for (key, value) in object {
                let key = if is_data || key.starts_with('/') { "*" } else { key };
                shape(value, &format!("{at}.{key}"), into);
            }
            "object"
        }
    };
    into.insert(format!("{at}: {kind}"));
}

/// Asserts that two answers have the same keys and types, but for meant differences: beginnings of paths, with the reason. A difference
/// that is not there any more must go from the list.
fn same_shape(what: &str, ours: &Value, theirs: &Value, meant: &[(&str, &str)]) {
    let different = same_shape_live(what, ours, theirs, meant);
    for (start, why) in meant {
        assert!(
            different.iter().any(|path| path.starts_with(start)),
            "{what}: {start} is the same now ({why})"
        );
    }
}

/// As above, of containers that may not have what differs. Returns the differences.
fn same_shape_live(what: &str, ours: &Value, theirs: &Value, meant: &[(&str, &str)]) -> Vec<String> {
    let of = |value| {
        let mut shapes = BTreeSet::new();
        shape(value, "", &mut shapes);
        shapes
    };
    let (ours, theirs) = (of(ours), of(theirs));
    let is_meant = |path: &&String| meant.iter().any(|(start, _)| path.starts_with(start));
    let (ours_alone, theirs_alone) = (ours.difference(&theirs), theirs.difference(&ours));
    let left = |paths: std::collections::btree_set::Difference<'_, String>| -> Vec<String> {
        paths.filter(|path| !is_meant(path)).cloned().collect()
    };
    let nothing: [Vec<String>; 2] = Default::default();
    assert_eq!([left(ours_alone), left(theirs_alone)], nothing, "{what}: ours alone, theirs alone");
    ours.symmetric_difference(&theirs).cloned().collect()
}

const NO_LAYER: &str = "the recording has no writable layers to measure";

#[test]
fn the_recorded_machine_has_the_original_s_shape() {
    let Some(machine) = Machine::start(&[]) else {
        return shared::skipped("the API over the recorded machine", "no shared fixtures");
    };
    let web = "/api/v1.3/docker/cadvres-fx-web";
    same_shape(
        web,
        &machine.json(web),
        &machine.expected("api-v1.3-docker-web.json"),
        &[(".*.stats[].filesystem", NO_LAYER)],
    );
    let spec = "/api/v2.1/spec/cadvres-fx-web?type=docker";
    same_shape(spec, &machine.json(spec), &machine.expected("api-v2.1-spec-web.json"), &[]);
    let stats = "/api/v2.1/stats/cadvres-fx-web?type=docker&count=1";
    same_shape(
        stats,
        &machine.json(stats),
        &machine.expected("api-v2.1-stats-web.json"),
        &[(".*.stats[].filesystem", NO_LAYER)],
    );
    let machinestats = "/api/v2.1/machinestats?count=1";
    same_shape(
        machinestats,
        &machine.json(machinestats),
        &machine.expected("api-v2.1-machinestats.json"),
        &[],
    );
    let attributes = "/api/v2.0/attributes";
    same_shape(attributes, &machine.json(attributes), &machine.expected("api-v2.0-attributes.json"), MACHINE);
    let version = "/api/v2.0/version";
    same_shape(version, &machine.json(version), &machine.expected("api-v2.0-version.json"), &[]);
}

/// What the recording does not have of the machine.
const MACHINE: &[(&str, &str)] = &[
    (".hugepages[]", "the recording has no /sys/kernel/mm"),
    (".network_devices[]", "the recording has no /sys/class/net"),
    (".topology[]", "the recording has no /sys/devices/system"),
];

#[test]
fn the_recorded_machine_has_the_recorded_values() {
    let Some(machine) = Machine::start(&[]) else {
        return shared::skipped("the API over the recorded machine", "no shared fixtures");
    };
    let one = |answer: Value| answer.as_object().unwrap().values().next().unwrap().clone();
    let ours = one(machine.json("/api/v1.3/docker/cadvres-fx-web"));
    let theirs = one(machine.expected("api-v1.3-docker-web.json"));
    for key in ["id", "name", "aliases", "namespace", "subcontainers"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    let coarse = |spec: &Value| {
        let mut spec = spec.clone();
        for key in ["creation_time", "start_time"] {
            let time = spec[key].as_str().unwrap().to_owned();
            // Ours is rounded to microseconds.
            spec[key] = json!(time[..24]);
        }
        spec
    };
    assert_eq!(coarse(&ours["spec"]), coarse(&theirs["spec"]));

    let (ours, theirs) = (
        ours["stats"].as_array().unwrap().last().unwrap().clone(),
        theirs["stats"].as_array().unwrap().last().unwrap().clone(),
    );
    // The files of these stood still while they were recorded.
    for path in [
        "/cpu/usage",
        "/cpu/cfs",
        "/diskio/io_service_bytes",
        "/diskio/io_serviced",
        "/memory/max_usage",
        "/memory/failcnt",
        "/memory/swap",
        "/network/name",
        "/network/tcp",
        "/task_stats",
        "/cpuset",
        "/health",
    ] {
        assert_eq!(ours.pointer(path), theirs.pointer(path), "{path}");
    }
    // By path, by name, by id and by the beginning of an id it is the same container.
    let id =
        machine.json("/api/v1.3/docker/cadvres-fx-web").as_object().unwrap().keys().next().unwrap().clone();
    for path in [
        format!("/api/v1.2{id}"),
        format!("/api/v1.3/docker/{}", &id[8..20]),
        format!("/api/v2.0/spec{id}"),
        format!("/api/v2.1/stats/{}?type=docker", &id[8..]),
    ] {
        assert_eq!(machine.json(&path).as_object().unwrap().keys().collect::<Vec<_>>(), [&id], "{path}");
    }
    let container = machine.json(&format!("/api/v1.0/containers{id}"));
    assert_eq!(container["name"], json!(id));
}

#[test]
fn paths_redirects_and_refusals_of_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let start = |args: &[&str]| {
        let mut all = vec!["-docker=", "-podman="];
        all.extend(args);
        Exporter::start(binary(), &all, dir.path())
    };
    for prefix in ["", "/advisor"] {
        let exporter = start(&[&format!("-url_base_prefix={prefix}")]);
        for (path, status, location) in [
            ("/", 307, Some("/containers/")),
            ("/nope", 307, Some("/containers/")),
            ("/healthz/", 307, Some("/containers/")),
            ("/api", 301, Some("/api/")),
            ("/containers", 301, Some("/containers/")),
            ("/docker", 301, Some("/docker/")),
            ("/podman", 301, Some("/podman/")),
            ("/static", 301, Some("/static/")),
            ("/validate", 301, Some("/validate/")),
            ("/api/", 400, None),
            ("/api/v1.3/", 400, None),
            ("/api/v1.3/nope", 500, None),
            ("/api/v1.3/containers/no/such/cgroup", 500, None),
            ("/api/v1.3/events/", 404, None),
            ("/api/v2.0/version", 200, None),
            ("/healthz", 200, None),
        ] {
            let answer = exporter.get(&format!("{prefix}{path}"), &[]);
            let location = location.map(|location| format!("{prefix}{location}"));
            assert_eq!((answer.status, answer.header("location")), (status, location.as_deref()), "{path}");
        }
        assert_eq!(exporter.get(&format!("{prefix}/healthz"), &[]).text(), "ok");
    }
}

#[test]
fn bodies_choose_samples() {
    let Some(machine) = Machine::start(&[]) else {
        return shared::skipped("the API over the recorded machine", "no shared fixtures");
    };
    let stats = |body: &str| {
        let (status, answer) = post(&machine.exporter, "/api/v1.3/containers/", body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["stats"].as_array().map_or(0, Vec::len)
    };
    assert!(stats("") >= 1);
    assert_eq!(stats(r#"{"num_stats":1}"#), 1);
    assert_eq!(stats(r#"{"num_stats":0}"#), 0);
    assert_eq!(stats(r#"{"num_stats":-1,"start":"2100-01-01T00:00:00Z"}"#), 0);
    let (status, answer) = post(&machine.exporter, "/api/v1.3/containers/", "{bad");
    assert_eq!(status, 500);
    assert!(answer.starts_with("unable to decode the json value: "), "{answer}");
    let below = machine.json("/api/v1.3/subcontainers/docker");
    let names: Vec<&str> =
        below.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.len() > 5 && names[0] == "/docker" && names.is_sorted(), "{names:?}");
    let docker = machine.json("/api/v1.3/docker");
    assert!(docker.as_object().unwrap().len() >= 7);
    let restarted =
        docker.as_object().unwrap().values().find(|one| one["aliases"][0] == "cadvres-fx-restarted").unwrap();
    assert!(restarted["spec"]["labels"]["restartcount"].is_string());
}

/// The original, ended when it is dropped.
struct Original(Child, std::net::SocketAddr);

impl Original {
    fn start(docker: &str) -> Option<Self> {
        let binary = shared::peer("cadvisor")?;
        let port = free_port();
        let child = Command::new(binary)
            .args(["-logtostderr", "-listen_ip=127.0.0.1", docker, &format!("-port={port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let original = Original(child, ([127, 0, 0, 1], port).into());
        wait("the original", || TcpStream::connect(original.1).is_ok());
        Some(original)
    }

    fn json(&self, path: &str) -> Value {
        let answer = testbed::http::Client::connect(self.1).get(path, &[]);
        serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn beside_a_live_engine() {
    let engine = match Engine::find() {
        Ok(engine) => engine,
        Err(why) => return shared::skipped("the API live", &why),
    };
    let nap = "while :; do /bin/busybox sleep 1; done";
    engine.run("plain", &[], nap);
    engine.run("limits", &["--memory=64m", "--cpus=0.5", "--label=a=b"], nap);
    let docker = format!("-docker={}", engine.address());
    let args = [&*docker, "-podman=", "-disk_usage_interval=1s"];
    let exporter = Exporter::start(binary(), &args, Path::new("/"));
    let names = ["plain", "limits"].map(|name| engine.name(name));
    wait("names", || {
        let docker = json_of(&exporter, "/api/v1.3/docker");
        let has = |name: &String| docker.as_object().unwrap().values().any(|one| one["aliases"][0] == **name);
        names.iter().all(has)
    });
    samples_are_a_second_apart(&exporter);
    let Some(original) = Original::start(&docker) else {
        return shared::skipped("the API beside the original", "it is not at hand (set PEERS_DIR)");
    };
    answers_have_the_original_s_shape(&exporter, &original);
}

fn samples_are_a_second_apart(exporter: &Exporter) {
    wait("three samples", || {
        let docker = json_of(exporter, "/api/v1.3/docker");
        docker
            .as_object()
            .unwrap()
            .values()
            .any(|one| one["stats"].as_array().is_some_and(|stats| stats.len() >= 3))
    });
    let docker = json_of(exporter, "/api/v1.3/docker");
    for (path, one) in docker.as_object().unwrap() {
        let name = one["aliases"][0].as_str().unwrap();
        let named = json_of(exporter, &format!("/api/v1.3/docker/{name}"));
        assert_eq!(named.as_object().unwrap().keys().collect::<Vec<_>>(), [path]);
        let stats = one["stats"].as_array().unwrap();
        for pair in stats.windows(2) {
            let total = |sample: &Value| sample["cpu"]["usage"]["total"].as_u64().unwrap();
            assert!(total(&pair[0]) <= total(&pair[1]), "{path}: {pair:?}");
            let time = |sample: &Value| sample["timestamp"].as_str().unwrap().to_owned();
            assert!(time(&pair[0])[..19] < time(&pair[1])[..19], "{path}: a second lies between");
        }
    }
}

fn answers_have_the_original_s_shape(exporter: &Exporter, original: &Original) {
    let version = original.json("/api/v2.0/version");
    if !version.as_str().is_some_and(|version| version.contains("0.38.")) {
        return shared::skipped(
            "the API beside the original",
            "the original is not 0.38, which has its own differences",
        );
    }
    // Its first samples come a second or two after its start.
    wait("samples of the original", || {
        let docker = original.json("/api/v1.3/docker");
        docker
            .as_object()
            .unwrap()
            .values()
            .all(|one| one["stats"].as_array().is_some_and(|stats| stats.len() > 1))
    });
    wait("layers", || {
        let docker = json_of(exporter, "/api/v1.3/docker");
        docker.to_string().contains("base_usage")
    });
    let newer = "0.38.7 does not have it, later ones have";
    let process = "of the kind process, which 0.38.7 has on and later ones have off";
    let cpuset = "of the kind cpuset, which later ones have off";
    let meant = [
        (".*.spec.start_time", newer),
        (".*.spec.cpu.mask", cpuset),
        (".*.spec.processes.limit", process),
        (".*.stats[].processes", process),
        (".*.stats[].cpu.cfs.burst", newer),
        (".*.stats[].cpu.load_d_average", newer),
        (".*.stats[].cpu.psi", newer),
        (".*.stats[].diskio.psi", newer),
        (".*.stats[].memory.events", newer),
        (".*.stats[].memory.file_", newer),
        (".*.stats[].memory.kernel", newer),
        (".*.stats[].memory.pgs", newer),
        (".*.stats[].memory.psi", newer),
        (".*.stats[].memory.total_", newer),
        (".*.stats[].memory.workingset_", newer),
        (".*.stats[].cpuset", newer),
        (".*.stats[].health", newer),
    ];
    let docker = "/api/v1.3/docker";
    same_shape_live(docker, &json_of(exporter, docker), &original.json(docker), &meant);
    let spec = "/api/v2.0/spec/?type=docker&recursive=true";
    let meant = [(".*.start_time", newer), (".*.cpu.mask", cpuset)];
    same_shape_live(spec, &json_of(exporter, spec), &original.json(spec), &meant);
}
