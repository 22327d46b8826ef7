//! After warm-up a scrape of all containers allocates nothing: over a live engine's, and over literal ones of cgroup v1 and v2.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

#[path = "common/boxes.rs"]
mod boxes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use container_advisor::containers::Containers;
use container_advisor::docker;
use container_advisor::families;
use container_advisor::filesystems::Filesystems;
use container_advisor::metadata::{Directory, Runtime};
use container_advisor::settings::Settings;
use container_advisor::usage::Usage;
use exporter::{Flags, Text};
use testbed::daemon::Daemon;
use testbed::shared;
use testbed::tree::Tree;

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Look where the next allocation comes from, which is slow.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    if LOOKS.take() {
        let trace = Backtrace::force_capture().to_string();
        let lines: Vec<&str> = trace.lines().collect();
        let ours =
            |line: &str| ["container_advisor::", "hostfs::", "exporter::"].iter().any(|c| line.contains(c));
        for pair in lines.windows(2).filter(|pair| ours(pair[0])).take(8) {
            eprintln!("    {} {}", pair[0].trim(), pair[1].trim());
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Scrapes before one is counted.
const WARM_UP: usize = 3;

/// On a live machine a number may have grown by a digit, and a container may have come: what allocates in each of these always does.
const TRIES: usize = 8;

struct Scene {
    containers: Containers,
    settings: Arc<Settings>,
    usage: Arc<Usage>,
    text: Text,
}

impl Scene {
    fn new(args: &[String], directory: Arc<Directory>) -> Self {
        let args: Vec<String> = args.iter().map(|arg| format!("-{arg}")).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let flags = Flags::for_test(&container_advisor::PRODUCT.all_flags(), &args);
        let settings = Arc::new(Settings::new(&flags).unwrap());
        let filesystems = Arc::new(Filesystems::new(&settings.proc, &settings.rootfs));
        let usage = Arc::new(Usage::new(&settings.rootfs, settings.usage.clone()));
        let containers = Containers::new(Arc::clone(&settings), directory, filesystems, Arc::clone(&usage));
        Scene { containers, settings, usage, text: Text::new() }
    }

    fn scrape(&mut self) {
        self.text.clear();
        self.containers.refresh(Instant::now() + Duration::from_secs(10)).unwrap();
        families::write(&mut self.text, &self.containers, &self.settings.choice);
    }

    /// How many allocations a warm scrape makes, and that it says something of every container.
    fn allocations(&mut self, what: &str) -> u64 {
        (0..WARM_UP).for_each(|_| self.scrape());
        // Writable layers are measured beside the scrape; a walk that begins is no warm scrape.
        let start = Instant::now();
        let known = self.containers.iter().filter(|c| c.metadata.is_some()).count();
        while self.settings.usage.enabled && self.usage.report().len() < known {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}: layers are not measured");
            std::thread::sleep(Duration::from_millis(10));
        }
        (0..WARM_UP).for_each(|_| self.scrape());
        let mut least = u64::MAX;
        for _ in 0..TRIES {
            let before = ALLOCATIONS.get();
            self.scrape();
            least = least.min(ALLOCATIONS.get() - before);
        }
        if least > 0 {
            eprintln!("{what}: {least} allocations, of which the first is by");
            LOOKS.set(true);
            self.scrape();
            LOOKS.set(false);
        }
        least
    }

    fn says(&self, of: &str) -> usize {
        let text = std::str::from_utf8(self.text.bytes()).unwrap();
        text.lines().filter(|line| line.contains(of)).count()
    }
}

/// Keeps a directory true to a runtime until it is dropped.
struct Watched {
    directory: Arc<Directory>,
    over: Arc<tokio::sync::Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.over.notify_one();
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

impl Watched {
    fn new(address: &str) -> Self {
        let directory = Arc::new(Directory::default());
        let settings = docker::Settings::new(Runtime::Docker, address).unwrap();
        let over = Arc::new(tokio::sync::Notify::new());
        let (watched, end) = (Arc::clone(&directory), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = docker::watch(settings, watched) => {}
                    () = end.notified() => {}
                }
            });
        });
        let start = Instant::now();
        while !directory.connections().iter().any(|(_, connection)| connection.is_up) {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", directory.connections());
            std::thread::sleep(Duration::from_millis(10));
        }
        // The list comes first, then the inspections.
        let mut last = 0;
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = directory.all().len();
            if now == last {
                return Watched { directory, over, thread: Some(thread) };
            }
            last = now;
        }
    }
}

fn over(name: &str, tree: &Tree, families: &[&str]) {
    let dir = tree.unpacked();
    let all = boxes::flags(dir.path());
    let default: Vec<String> =
        all.iter().filter(|flag| !flag.starts_with("-disable_metrics")).cloned().collect();
    let mut load = all.clone();
    load.push("-enable_load_reader".into());
    let socket = dir.path().join("docker.sock");
    let daemon = Daemon::start(&socket);
    for (id, name, pid) in [(boxes::A, "a", 41), (boxes::B, "b", 51)] {
        let layer = dir.path().join("layer").join(name);
        std::fs::create_dir_all(&layer).unwrap();
        let more = serde_json::json!({
            "Config": {"Labels": {"com.docker.compose.project": "shop"}},
            "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": format!("/layer/{name}")}},
        });
        boxes::container(&daemon, id, name, pid, &more);
    }
    // One that does not run.
    daemon.simple(&"0c".repeat(32), "c", "exited");
    let watched = Watched::new(&format!("unix://{}", socket.display()));
    for (kinds, args, least) in
        [("default kinds", &default, 25), ("all kinds", &all, 60), ("load", &load, 60)]
    {
        let unknown = Arc::new(Directory::default());
        for (who, directory) in [("without names", &unknown), ("with names", &watched.directory)] {
            let mut scene = Scene::new(args, Arc::clone(directory));
            let what = format!("{name}, {kinds}, {who}");
            let allocations = scene.allocations(&what);
            for id in [boxes::A, boxes::B] {
                let said = scene.says(&format!("/docker/{id}"));
                assert!(said >= least, "{what}: {said} samples of {id}");
            }
            assert_eq!(scene.says("name=\"a\"") > least, who == "with names", "{what}");
            if kinds != "default kinds" {
                for family in families {
                    assert!(scene.says(family) > 2, "{what}: there is no {family}");
                }
            }
            assert_eq!(allocations, 0, "{what}");
        }
    }
}

const FAMILIES: &[&str] = &[
    "container_blkio_device_usage_total",
    "container_cpu_schedstat_run_seconds_total",
    "container_file_descriptors",
    "container_hugetlb_usage_bytes",
    "container_memory_numa_pages",
    "container_network_advance_tcp_stats_total",
    "container_network_receive_bytes_total",
    "container_network_tcp_usage_total",
    "container_network_udp6_usage_total",
    "container_processes",
    "container_referenced_bytes",
    "container_ulimits_soft",
];

#[test]
fn over_literal_files_of_v1() {
    over("v1", &boxes::v1(), FAMILIES);
}

#[test]
fn over_literal_files_of_both() {
    over("hybrid", &boxes::hybrid(), &["container_pressure_memory_waiting_seconds_total"]);
}

#[test]
fn over_literal_files_of_v2() {
    over("v2", &boxes::v2(), FAMILIES);
}

#[test]
fn over_this_machine() {
    const SOCKET: &str = "/var/run/docker.sock";
    if std::os::unix::net::UnixStream::connect(SOCKET).is_err() {
        return shared::skipped("allocations over a live engine", "none answers here");
    }
    if !Path::new("/sys/fs/cgroup").exists() {
        return shared::skipped("allocations over a live engine", "there are no cgroups");
    }
    let watched = Watched::new(&format!("unix://{SOCKET}"));
    // Descriptors and mappings of processes are hidden from others, from root too in places; each refusal is an error with a path.
    let all = ["-disable_metrics=process,referenced_memory", "-enable_load_reader"];
    for (kinds, args) in [("default kinds", &[][..]), ("all kinds", &all)] {
        let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
        // The walk of somebody's layers is no part of a scrape.
        args.push("-no-disk_usage".into());
        let mut scene = Scene::new(&args, Arc::clone(&watched.directory));
        assert_eq!(scene.allocations(kinds), 0, "{kinds}");
        assert!(scene.says("container_memory_usage_bytes{") > 0, "{kinds}");
    }
}
