//! After warm-up a collector allocates nothing: neither over this machine's files nor over recorded ones.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use common::{args_of, collect, collector};
use exporter::Text;
use node_exporter::collectors::ALL;
use testbed::tree::Host;
use testbed::{bighost, recorded, shared, tree};

/// Counts what is allocated while it is told to, in all threads.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
/// Look where each allocation comes from, which is slow.
static LOOKS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn note(size: usize) {
        if !COUNTS.load(Relaxed) {
            return;
        }
        ALLOCATIONS.fetch_add(1, Relaxed);
        if LOOKS.load(Relaxed) {
            COUNTS.store(false, Relaxed);
            LOOKS.store(false, Relaxed);
            eprintln!("    {size} bytes by");
            let trace = Backtrace::force_capture().to_string();
            let lines: Vec<&str> = trace.lines().collect();
            let ours =
                |line: &str| ["node_exporter::", "hostfs::", "exporter::"].iter().any(|c| line.contains(c));
            let mut frames: Vec<_> = lines.windows(2).filter(|pair| ours(pair[0])).collect();
            if frames.is_empty() {
                // Another thread's, or something inlined: everything may help.
                frames = lines.windows(2).collect();
            }
            for pair in frames.iter().take(8) {
                eprintln!("    {} {}", pair[0].trim(), pair[1].trim());
            }
            COUNTS.store(true, Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note(size);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs of a collector before it is counted.
const WARM_UP: usize = 3;

/// A buffer may have to grow by a digit on a live machine; a collector that allocates in each of these runs does so always.
const TRIES: usize = 4;

// One test: the allocator counts for the whole process.
#[test]
fn a_warm_collector_allocates_nothing() {
    let mut failed = BTreeMap::new();
    // Written first and looked at last: text files that were written within the last seconds are read again, and that allocates.
    let fixtures = shared::node_tree().map(|tree| tree.unpacked());
    over("this machine", &[], &mut failed);
    let vm = Host::new(tree::vm());
    let big = Host::new(&bighost::tree());
    for (name, host, args) in
        [("the small machine", &vm, recorded::vm_args()), ("the big machine", &big, recorded::big_args())]
    {
        std::env::set_current_dir(host.path("")).unwrap();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        over(name, &args, &mut failed);
    }
    if let Some(dir) = &fixtures {
        std::env::set_current_dir(dir.path()).unwrap();
        over("the fixtures", &args_of(&dir.path().join("node/reference.args")), &mut failed);
    } else {
        shared::skipped("allocations over the reference's fixtures", "there is no ../shared");
    }
    assert!(failed.is_empty(), "allocations in a warm scrape, by collector: {failed:#?}");
}

fn over(host: &str, args: &[String], failed: &mut BTreeMap<String, Vec<String>>) {
    let mut measured = 0;
    for entry in ALL {
        let mut collector = collector(entry, args);
        let mut text = Text::new();
        for _ in 0..WARM_UP {
            drop(collect(&mut *collector, &mut text));
        }
        let mut run = |looks: bool| {
            LOOKS.store(looks, Relaxed);
            ALLOCATIONS.store(0, Relaxed);
            COUNTS.store(true, Relaxed);
            let result = collect(&mut *collector, &mut text);
            COUNTS.store(false, Relaxed);
            measured += usize::from(result.is_ok());
            ALLOCATIONS.load(Relaxed)
        };
        let least = (0..TRIES).map(|_| run(false)).min().unwrap_or(0);
        if least > 0 {
            run(true);
            eprintln!("{} over {host}: {least} allocations", entry.name);
            failed.entry(entry.name.to_owned()).or_default().push(format!("{host}: {least}"));
        }
    }
    assert!(measured > 0, "no collector has anything to say over {host}");
    eprintln!("{host}: {} collectors measured, {} runs with data", ALL.len(), measured);
}
