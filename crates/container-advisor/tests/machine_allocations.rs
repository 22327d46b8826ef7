//! After warm-up, what a scrape reads of processes, networks, disks and the machine allocates nothing.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use container_advisor::disks::Disks;
use container_advisor::filesystems::Filesystems;
use container_advisor::machine::{Machine, MachineCollector, Settings};
use container_advisor::usage::{self, Usage};
use container_advisor::{network, processes};
use exporter::{Collector, Text};
use hostfs::Root;
use testbed::tree::Tree;

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Does it three times, then once more, and tells what this last time allocated.
fn allocations(mut act: impl FnMut()) -> u64 {
    (0..3).for_each(|_| act());
    let before = ALLOCATIONS.get();
    act();
    ALLOCATIONS.get() - before
}

fn each_allocates_nothing(proc: &Root, sys: &Root, rootfs: &Root, pid: u32) {
    let wants = network::Wants { interfaces: true, tcp: true, udp: true, advanced: true };
    let (mut network, mut stats) = (network::Network::new(proc), network::Stats::default());
    let start = network.start_time(pid);
    assert!(start.is_some());
    let mut read = || {
        network.read(pid, start, network::Scope::Container, wants, &mut stats).unwrap();
        assert!(stats.namespace.is_some() && stats.advanced().count() > 0);
    };
    assert_eq!(allocations(&mut read), 0, "network");

    let wants =
        processes::Wants { descriptors: true, limits: true, schedstat: true, referenced: true, states: true };
    let (mut processes, mut stats) = (processes::Processes::new(proc, rootfs), processes::Stats::default());
    let mut read = || {
        processes.read(&[pid], Some(pid), wants, &mut stats);
        assert!(stats.descriptors.is_some() && stats.schedule.is_some() && stats.referenced.is_some());
    };
    assert_eq!(allocations(&mut read), 0, "processes");

    let mut disks = Disks::new(proc, sys);
    let mut read = || {
        disks.begin();
        disks.read_counters().unwrap();
        assert_eq!(disks.name(4095, 7), b"");
        assert!(disks.counters().len() > 0);
    };
    // The first numbers without a name are looked up again; then it is known that they have none.
    assert_eq!(allocations(&mut read), 0, "disks");

    let filesystems = Arc::new(Filesystems::new(proc, rootfs));
    let mut count = 0;
    let mut read = || {
        filesystems.refresh(Instant::now() + Duration::from_secs(20)).unwrap();
        count = 0;
        filesystems.each(|_| count += 1);
        assert!(count > 0);
    };
    assert_eq!(allocations(&mut read), 0, "filesystems");

    let machine = Arc::new(Machine::new(proc, sys, rootfs, Settings::default(), filesystems));
    let mut collector = MachineCollector::new(machine, Arc::default(), true, "v1", "");
    let mut out = Text::new();
    let mut read = || {
        out.clear();
        collector.collect(&mut out, Instant::now()).unwrap();
        assert!(out.len() > 5);
    };
    assert_eq!(allocations(&mut read), 0, "machine");
}

#[test]
fn over_recorded_files() {
    let mut tree = Tree::new();
    tree.file("proc/7/stat", "7 (sh) S 1 1 1 0 -1 4 1 2 3 4 150 50 9 9 20 0 1 0 4711 2322432 400 1\n");
    tree.file("proc/7/schedstat", "1 2 3\n");
    tree.file("proc/7/smaps_rollup", "Referenced: 4 kB\n");
    tree.file("proc/7/limits", "Max open files 1 2 files\n");
    tree.file("proc/7/net/dev", "a\nb\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    tree.file("proc/7/net/netstat", "TcpExt: TW\nTcpExt: 1\n");
    for fd in 0..100 {
        tree.link(format!("proc/7/fd/{fd}"), "socket:[1]");
    }
    tree.file("proc/diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
    tree.file("proc/meminfo", "MemTotal: 1 kB\nSwapTotal: 1 kB\n");
    tree.file("proc/1/mountinfo", "1 0 8:0 / / rw - ext4 /dev/sda rw\n");
    tree.file("sys/block/sda/dev", "8:0\n");
    for cpu in 0..4 {
        let dir = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        tree.file(format!("{dir}/core_id"), format!("{cpu}\n"));
        tree.file(format!("{dir}/physical_package_id"), "0\n");
    }
    let dir = tree.unpacked();
    let root = |name: &str| Root::new(dir.path().join(name));
    each_allocates_nothing(&root("proc"), &root("sys"), &root(""), 7);
}

#[test]
fn over_this_machine() {
    let proc = Root::new("/proc");
    if !Path::new("/proc/self/schedstat").exists() || !Path::new("/proc/self/smaps_rollup").exists() {
        return testbed::shared::skipped("this machine's processes", "a kernel with schedstat");
    }
    each_allocates_nothing(&proc, &Root::new("/sys"), &Root::new("/"), std::process::id());
}

#[test]
fn disk_usage_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let usage = Usage::new(&Root::new(dir.path()), usage::Settings::default());
    usage.want(["a"].into_iter(), || {
        vec![usage::Layer { id: "a".into(), writable: Some("/".into()), logs: None }]
    });
    let start = Instant::now();
    while usage.of("a").is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut read = || {
        usage.want(["a"].into_iter(), || unreachable!("the numbers are new"));
        assert!(usage.of("a").is_some() && usage.of("b").is_none());
    };
    assert_eq!(allocations(&mut read), 0);
}
