//! After a first round a second look at all cgroups allocates nothing, and leaves no descriptor open.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hostfs::cgroup::{Cgroups, Stats, Wants};
use hostfs::{Names, Root};
use testbed::shared;
use testbed::tree::Tree;

/// Counts what is allocated while it is told to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(u64::from(COUNTS.load(Relaxed)), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(u64::from(COUNTS.load(Relaxed)), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Cgroups come and go on a live machine; what allocates in each of these rounds does so always.
const TRIES: usize = 4;

// One test: the allocator counts for the whole process.
#[test]
fn a_second_look_at_all_cgroups_allocates_nothing_and_leaves_nothing_open() {
    // A path that is longer than what a system call's wrapper copies to the stack.
    let deep = format!(
        "kubepods.slice/kubepods-burstable.slice/{}/cri-containerd-{}.scope",
        "p".repeat(120),
        "0".repeat(64)
    );
    let mut tree = Tree::new();
    tree.file("cgroup.controllers", "cpu memory io hugetlb\n");
    for dir in ["plain", deep.as_str()] {
        tree.file(format!("{dir}/cpu.stat"), "usage_usec 1\nuser_usec 1\nsystem_usec 0\n");
        tree.file(format!("{dir}/memory.stat"), "anon 1\nfile 2\n");
        tree.file(format!("{dir}/memory.numa_stat"), "anon N0=0\nfile N0=0\nunevictable N0=0\n");
        tree.file(format!("{dir}/io.stat"), "8:0 rbytes=1\n8:16 rbytes=1\n");
    }
    tree.file(format!("{deep}/cgroup.controllers"), "hugetlb\n");
    tree.file(format!("{deep}/hugetlb.2MB.current"), "0\n");
    tree.file(format!("{deep}/cgroup.procs"), "1\n2\n");
    let made = tree.unpacked();
    over("a made-up v2 tree", made.path());

    match shared::dir() {
        None => shared::skipped("allocations over the recorded cgroups", "there is no ../shared"),
        Some(shared) => {
            over("recorded v1", &shared.join("fixtures/container/cgroup-v1/rootfs/sys/fs/cgroup"));
            over("recorded v2", &shared.join("fixtures/container-v2/snapshot-a/sys/fs/cgroup"));
        }
    }
    let live = Path::new("/sys/fs/cgroup");
    match Cgroups::open(&Root::new(live)) {
        Ok(_) => over("this machine", live),
        Err(error) => shared::skipped("allocations over this machine's cgroups", &error.to_string()),
    }
}

fn over(host: &str, root: &Path) {
    let mut cgroups = Cgroups::open(&Root::new(root)).unwrap();
    let (mut names, mut stats, mut pids) = (Names::new(), Stats::default(), Vec::new());
    let mut round = || {
        let mut found = 0;
        cgroups.list(&mut names).unwrap();
        for path in names.iter() {
            let path = path.as_encoded_bytes();
            found += u32::from(cgroups.read(path, &Wants::ALL, &mut stats).unwrap());
            cgroups.processes(path, &mut pids).unwrap();
            cgroups.created(path);
        }
        found
    };
    assert!(round() > 1, "no cgroups over {host}");
    let open = descriptors();
    let mut least = u64::MAX;
    for _ in 0..TRIES {
        ALLOCATIONS.store(0, Relaxed);
        COUNTS.store(true, Relaxed);
        round();
        COUNTS.store(false, Relaxed);
        least = least.min(ALLOCATIONS.load(Relaxed));
    }
    assert_eq!(least, 0, "allocations over {host}");
    assert_eq!(descriptors(), open, "descriptors over {host}");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
