//! Every file that a collector opens, damaged in every way that a file can be: the collector neither panics nor tells anything wrong.
//!
//! Nothing here names a file: what is damaged is what the collector was seen to open, so a new collector is tested by being in the
//! registry. After a damage every series must be one of the undamaged answer, or be missing. What a collector may say beyond that,
//! because it counts lines or because the kernel really says so, stands in the tables below, each with its reason.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{args_of, binary, collect};
use exporter::{Collector, Entry, Flags, Text};
use node_exporter::collectors::ALL;
use testbed::exposition::{Exposition, assert_none, differences, labels, name, split};
use testbed::process::Exporter;
use testbed::tree::{Host, Node, Tree};
use testbed::{recorded, shared, tree};

/// Families that count, add up or sum up what is in a file, line by line: fewer lines give another number, and nothing tells the
/// collector. Collector, start of the family's name, what is counted.
const AGGREGATES: &[(&str, &str, &str)] = &[
    ("arp", "node_arp_entries", "neighbours"),
    ("bonding", "node_bonding_", "slaves"),
    ("btrfs", "node_btrfs_allocation_ratio", "devices"),
    ("conntrack", "node_nf_conntrack_stat_", "CPUs"),
    ("ipvs", "node_ipvs_", "lines of one backend"),
    ("processes", "node_processes_", "processes"),
    ("udp_queues", "node_udp_queues", "sockets"),
];

/// What the original tells in place of a value that is not there: collector, start of the family's name, value, why ours does too.
const INSTEAD: &[(&str, &str, &str, &str)] = &[
    ("btrfs", "node_btrfs_commit", "0", "the original's word for a filesystem without commit_stats"),
    ("btrfs", "node_btrfs_last_commit_seconds", "0", "the same"),
    ("btrfs", "node_btrfs_max_commit_seconds", "0", "the same"),
    ("pcidevice", "node_pcidevice_", "-1", "the original's word for unknown"),
    ("pcidevice", "node_pcidevice_d3cold_allowed", "0", "the original's word for a device without this file"),
    ("pcidevice", "node_pcidevice_sriov_", "0", "the same"),
    ("textfile", "node_textfile_scrape_error", "1", "that is what it is for"),
];

/// Labels that hold the original's word where their file does not tell.
const LABELS_INSTEAD: &[(&str, &str)] = &[("rotational", "0")];

/// Collectors that take a line's place for its CPU, so that a table twice is a table of twice as many CPUs.
const LINES_ARE_CPUS: &[&str] = &["lnstat"];

/// Families that a file's texts give a name, or of which there is one for each word in it.
const NAMES_FROM_FILES: &[(&str, &str)] = &[("rapl", "node_rapl_"), ("sysctl", "node_sysctl_info")];

/// Families whose value in a table the kernel gives as a signed number. Attributes may all be signed, unless they are counters.
const SIGNED: &[(&str, &str)] = &[("sysctl", "node_sysctl_"), ("textfile", "")];

/// Where a carriage return is part of a value: at the end of a line of udev's database it would be one of its text.
const IS_TEXT: &[&str] = &["udev", "node/udev"];

/// Collectors that go on with the next device and report the error, so that a family lacks the one that failed, and what their devices
/// are: one that is damaged says nothing about the others.
const DEVICE_BY_DEVICE: &[(&str, &str)] = &[
    ("bcachefs", "filesystems and their devices, a directory each"),
    ("cpu_vulnerabilities", "vulnerabilities, a file each"),
    ("cpufreq", "CPUs that share a frequency, a directory each"),
    ("lnstat", "caches, a table each"),
    ("mdadm", "arrays, of which a cut table lacks the last"),
    ("pcidevice", "devices, a directory each"),
    ("zfs", "pools, a directory each, and datasets, a file each"),
];

/// Collectors that read some files only once, or only when something else has changed, and why that is right.
const READ_ONCE: &[(&str, &str)] = &[
    (
        "cpu",
        "the topology changes with the list of CPUs alone, and counters are held where they would go back",
    ),
    ("dmi", "the firmware's texts do not change while the machine is up"),
];

/// Collectors to which two names of one device are two things that look the same.
const ONE_DEVICE_ONE_NAME: &[&str] = &["btrfs", "hwmon"];

/// Another file that is read in place of a missing one: collector and missing file.
const FALLS_BACK: &[(&str, &str)] = &[("filesystem", "proc/1/mountinfo")];

/// From which size on only the ends of a file are cut at every byte, and the inside at every 31st: a table, and an attribute, which the
/// kernel never cuts.
const WHOLE_TABLE: usize = 2_048;
const WHOLE_ATTRIBUTE: usize = 256;

/// What a run may add to the memory of this process, in bytes: twice the largest cap on a file's size.
const GROWTH: u64 = 48 << 20;

/// What a file may hold after a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Less than before, or nothing that makes sense: only what was said before may be said.
    Less,
    /// The rest of an attribute after a cut: the kernel gives it whole, in one read of up to a page, so this does not happen; whatever
    /// is left is well-formed and another value. So it is where the last line comes without a newline.
    OtherValue,
    /// Each number is far beyond 64 bits.
    TooLarge,
    /// Each number is -5.
    Negative,
}

/// What a collector says over the undamaged tree.
struct Baseline {
    /// All lines, HELP and TYPE too.
    lines: HashSet<Vec<u8>>,
    all: Exposition,
    values: HashMap<String, String>,
    by_family: HashMap<String, Vec<String>>,
}

/// One copy of a tree on disk, and the flags that point to it.
struct Copy {
    dir: tempfile::TempDir,
    flags: Flags,
}

impl Copy {
    fn new(tree: &Tree, args: &[String]) -> Self {
        let dir = tree.unpacked();
        let top = dir.path().display();
        let args: Vec<String> = args
            .iter()
            .map(|arg| match arg.split_once('=') {
                // Paths of the command line are relative to the tree.
                Some((flag, path)) if dir.path().join(path).exists() && !path.is_empty() => {
                    format!("{flag}={top}/{path}")
                }
                _ => arg.clone(),
            })
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let flags = Flags::for_test(&node_exporter::PRODUCT.all_flags(), &args);
        Copy { dir, flags }
    }

    fn collector(&self, entry: &Entry) -> Box<dyn Collector> {
        (entry.new)(&self.flags).unwrap_or_else(|error| panic!("{}: {error}", entry.name))
    }

    /// The paths below this copy that a collector opens, files and directories, links resolved.
    fn opened(&self, entry: &Entry) -> (Vec<PathBuf>, Vec<PathBuf>) {
        // The trace is the process's, and so are the tests.
        static TRACES: Mutex<()> = Mutex::new(());
        let _one = TRACES.lock().unwrap_or_else(PoisonError::into_inner);
        hostfs::trace::start();
        let mut collector = self.collector(entry);
        let mut text = Text::new();
        drop(collect(&mut *collector, &mut text));
        let opened = hostfs::trace::stop();
        let resolved: BTreeSet<PathBuf> = opened.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let top = self.dir.path().canonicalize().unwrap();
        let inside = resolved.iter().filter_map(|path| Some(path.strip_prefix(&top).ok()?.to_owned()));
        inside.partition(|path| self.dir.path().join(path).is_file())
    }
}

/// What is wrong, by collector; a few examples of each kind and how many there are.
#[derive(Default)]
struct Failures {
    found: Mutex<BTreeMap<(String, String), Found>>,
}

#[derive(Default)]
struct Found {
    count: usize,
    examples: Vec<String>,
}

impl Failures {
    fn add(&self, collector: &str, kind: &str, example: String) {
        let mut found = self.found.lock().unwrap();
        let found = found.entry((collector.to_owned(), kind.to_owned())).or_default();
        found.count += 1;
        if found.examples.len() < 4 {
            found.examples.push(example);
        }
    }
}

#[test]
fn damaged_files_cost_what_they_hold_and_nothing_else() {
    let failures = Failures::default();
    let vm_args: Vec<String> = recorded::vm_args().into_iter().map(str::to_owned).collect();
    damage_all("the small machine", tree::vm(), &vm_args, &failures);
    match (shared::node_tree(), shared::node_fixtures()) {
        (Some(tree), Some(dir)) => {
            let args = args_of(&dir.join("reference.args"));
            damage_all("the fixtures", &tree, &args, &failures);
        }
        _ => shared::skipped("damage to the reference's fixtures", "there is no ../shared"),
    }
    let found = failures.found.into_inner().unwrap();
    for ((collector, kind), Found { count, examples }) in &found {
        eprintln!("{collector}: {kind}, {count} times");
        examples.iter().for_each(|example| eprintln!("    {example}"));
    }
    let collectors: BTreeSet<&str> = found.keys().map(|(collector, _)| collector.as_str()).collect();
    assert!(found.is_empty(), "wrong under damage: {collectors:?}, see above");
}

/// Damages every file that every collector opens, on all processors.
fn damage_all(context: &str, tree: &Tree, args: &[String], failures: &Failures) {
    let start = Instant::now();
    let only = std::env::var("COLLECTOR").ok();
    let traced = Copy::new(tree, args);
    let mut jobs = Vec::new();
    for entry in ALL.iter().filter(|entry| only.as_deref().is_none_or(|only| only == entry.name)) {
        let (files, dirs) = traced.opened(entry);
        // The 64 MiB go to the largest file of each collector.
        let size = |path: &&PathBuf| fs::metadata(traced.dir.path().join(path)).map_or(0, |m| m.len());
        let largest = files.iter().max_by_key(size).cloned();
        jobs.extend(files.into_iter().map(|path| Job {
            entry,
            is_largest: Some(&path) == largest.as_ref(),
            path,
        }));
        jobs.extend(dirs.into_iter().map(|path| Job { entry, path, is_largest: false }));
    }
    let next = AtomicUsize::new(0);
    let runs = AtomicUsize::new(0);
    let slowest = Mutex::new((Duration::ZERO, String::new()));
    // A panic is told by the failure that it becomes.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(|| {
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    let copy = Copy::new(tree, args);
                    let mut baselines = HashMap::new();
                    while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
                        let started = Instant::now();
                        let baseline =
                            baselines.entry(job.entry.name).or_insert_with(|| baseline(&copy, job.entry));
                        let bench = Bench { copy: &copy, job, baseline, failures, runs: &runs };
                        bench.run();
                        let took = started.elapsed();
                        let mut slowest = slowest.lock().unwrap();
                        if took > slowest.0 {
                            *slowest = (took, format!("{} {}", job.entry.name, job.path.display()));
                        }
                    }
                });
            }
        });
    }));
    std::panic::set_hook(hook);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    eprintln!(
        "{context}: {} files and directories, {} runs in {:.0?}; longest {:?}",
        jobs.len(),
        runs.load(Relaxed),
        start.elapsed(),
        slowest.into_inner().unwrap()
    );
}

struct Job {
    entry: &'static Entry,
    path: PathBuf,
    is_largest: bool,
}

fn baseline(copy: &Copy, entry: &Entry) -> Baseline {
    let mut collector = copy.collector(entry);
    let mut text = Text::new();
    drop(collect(&mut *collector, &mut text));
    let all = Exposition::parse(std::str::from_utf8(text.bytes()).unwrap())
        .unwrap_or_else(|error| panic!("{} over the undamaged tree: {error}", entry.name));
    let lines = text.bytes().split(|&b| b == b'\n').map(<[u8]>::to_owned).collect();
    let (mut values, mut by_family) = (HashMap::new(), HashMap::new());
    for family in &all.families {
        for sample in &family.samples {
            let (series, value) = split(sample);
            values.insert(series.to_owned(), value.to_owned());
        }
        by_family.insert(family.name.clone(), family.samples.clone());
    }
    Baseline { lines, all, values, by_family }
}

/// A well-formed answer, and the collector's error.
type Answer<'a> = (Cow<'a, Exposition>, Option<exporter::Error>);

/// One collector and one of its files.
struct Bench<'a> {
    copy: &'a Copy,
    job: &'a Job,
    baseline: &'a Baseline,
    failures: &'a Failures,
    runs: &'a AtomicUsize,
}

impl Bench<'_> {
    fn run(&self) {
        let path = self.copy.dir.path().join(&self.job.path);
        if path.is_dir() {
            return self.hostile_names(&path);
        }
        let contents = fs::read(&path).unwrap();
        // One that lives through all damage must say what a new one says, and be its old self afterwards.
        let mut survivor = self.copy.collector(self.job.entry);
        fs::remove_file(&path).unwrap();
        if !FALLS_BACK.iter().any(|(c, end)| *c == self.job.entry.name && self.job.path.ends_with(end)) {
            self.check_both(&mut survivor, Rule::Less, None, "missing");
        }
        let line_end =
            if IS_TEXT.iter().any(|start| self.job.path.starts_with(start)) { "\n" } else { "\r\n" };
        let crlf = String::from_utf8_lossy(&contents).replace('\n', line_end).into_bytes();
        let middle = contents.len() / 2;
        let nul = [&contents[..middle], b"\0", &contents[middle..]].concat();
        let is_table = !LINES_ARE_CPUS.contains(&self.job.entry.name)
            && contents.ends_with(b"\n")
            && contents.iter().filter(|&&b| b == b'\n').count() > 1;
        let numbers = |by: &[u8]| replace_numbers(&contents, by);
        for (name, damaged, rule) in [
            ("empty", Vec::new(), Rule::Less),
            ("a newline alone", b"\n".to_vec(), Rule::Less),
            ("garbage", garbage(4_096), Rule::Less),
            ("garbage in lines", garbage_lines(4_096), Rule::Less),
            ("NUL bytes alone", vec![0; 4_096], Rule::Less),
            ("a NUL in the middle", nul, Rule::Less),
            ("CRLF", crlf, Rule::Less),
            ("twice", contents.repeat(if is_table { 2 } else { 1 }), Rule::Less),
            ("numbers too large", numbers(b"99999999999999999999999"), Rule::TooLarge),
            ("numbers negative", numbers(b"-5"), Rule::Negative),
        ] {
            fs::write(&path, &damaged).unwrap();
            self.check_both(&mut survivor, rule, Some(&damaged), name);
        }
        self.cuts(&path, &contents);
        if self.job.is_largest {
            self.huge(&path);
        }
        fs::write(&path, &contents).unwrap();
        if self.is_read_once() {
            return;
        }
        match self.answer(&mut *survivor) {
            Ok((all, _)) => {
                self.must_hold_all(&all, "a collector that saw damage is not its old self", "restored");
            }
            Err((kind, example)) => self.fail(kind, "restored", &example),
        }
    }

    /// Checks what a new collector says, and whether an old one says the same.
    fn check_both(
        &self,
        survivor: &mut Box<dyn Collector>,
        rule: Rule,
        contents: Option<&[u8]>,
        damage: &str,
    ) {
        let fresh = self.check(None, rule, contents, || damage.to_owned());
        let old = self.answer(&mut **survivor);
        if old.is_err() {
            // After a panic nothing is certain.
            *survivor = self.copy.collector(self.job.entry);
        }
        if let (Some(fresh), Ok((old, _))) = (fresh, old)
            && !self.is_read_once()
        {
            let comparable = |all: &Exposition| {
                let mut lines: Vec<String> =
                    all.samples().filter(|s| !is_of_the_run(name(s))).map(str::to_owned).collect();
                lines.sort();
                lines
            };
            let (fresh, old) = (comparable(&fresh), comparable(&old));
            if let Some(line) = old.iter().find(|line| !fresh.contains(line)) {
                self.fail("a stale value", damage, line);
            } else if let Some(line) = fresh.iter().find(|line| !old.contains(line)) {
                self.fail("a value that only a new collector tells", damage, line);
            }
        }
    }

    fn is_read_once(&self) -> bool {
        READ_ONCE.iter().any(|(name, _)| *name == self.job.entry.name)
    }

    /// Cuts at every byte of a small file, and of the ends of a big one.
    fn cuts(&self, path: &Path, contents: &[u8]) {
        let is_attribute =
            self.job.path.components().any(|c| c.as_os_str() == "sys") && contents.len() <= 4_096;
        // Some recorded fixtures have no newline at their end, so that a cut in the last number cannot be seen.
        let is_open_ended = !contents.ends_with(b"\n");
        let rule = if is_attribute || is_open_ended { Rule::OtherValue } else { Rule::Less };
        fs::write(path, contents).unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let limit = if is_attribute { WHOLE_ATTRIBUTE } else { WHOLE_TABLE };
        // A collector that is made anew costs its patterns each time: most cuts are shown to one that lives on.
        let mut lasting = self.copy.collector(self.job.entry);
        for (i, end) in (1..contents.len()).rev().enumerate() {
            let is_inside = end > limit / 2 && end + limit / 2 < contents.len();
            if is_inside && end % 31 != 0 {
                continue;
            }
            file.set_len(end as u64).unwrap();
            // Labels may be taken from whole lines; what is left of one after a cut is no label.
            let whole = contents[..end].iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
            let damage = || {
                let from = end.saturating_sub(24);
                format!(
                    "cut at {end} of {}: …{:?}",
                    contents.len(),
                    String::from_utf8_lossy(&contents[from..end])
                )
            };
            let is_new = i % 16 == 0 || self.is_read_once();
            if self
                .check(
                    if is_new { None } else { Some(&mut *lasting) },
                    rule,
                    Some(&contents[..whole]),
                    damage,
                )
                .is_none()
            {
                lasting = self.copy.collector(self.job.entry);
            }
        }
    }

    /// A line of 64 MiB.
    fn huge(&self, path: &Path) {
        let before = resident();
        for digit in [b'7', b'\n'] {
            {
                let mut file = fs::File::create(path).unwrap();
                let block = vec![digit; 1 << 20];
                (0..64).for_each(|_| std::io::Write::write_all(&mut file, &block).unwrap());
            }
            let start = Instant::now();
            drop(self.check(None, Rule::Less, None, || format!("64 MiB of {:?}", char::from(digit))));
            if start.elapsed() > Duration::from_secs(5) {
                self.fail("slow over a huge file", "64 MiB", &format!("{:?}", start.elapsed()));
            }
        }
        let growth = resident().saturating_sub(before);
        if growth > GROWTH {
            self.fail("memory over a huge file", "64 MiB", &format!("{growth} bytes more"));
        }
    }

    /// A sibling with a name out of hell, once a device with nothing in it and once another's twin: what was there stays as it was.
    fn hostile_names(&self, dir: &Path) {
        let Some(sibling) = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).min() else { return };
        let twins_differ = !ONE_DEVICE_ONE_NAME.contains(&self.job.entry.name);
        for hostile in [&b"a\"b\\c\nd\xff{}="[..], b"-\t ,\x01", "\u{1d4d0}\u{202e}".as_bytes()] {
            // Both as a stranger and as one whose name starts like that of the others.
            for name in [hostile.to_vec(), [sibling.as_bytes(), hostile].concat()] {
                let path = dir.join(std::ffi::OsStr::from_bytes(&name));
                fs::create_dir(&path).unwrap();
                self.check_stranger(true);
                fs::remove_dir(&path).unwrap();
                std::os::unix::fs::symlink(&sibling, &path).unwrap();
                self.check_stranger(twins_differ);
                fs::remove_file(&path).unwrap();
            }
        }
    }

    fn check_stranger(&self, must_hold_all: bool) {
        match self.answer(&mut *self.copy.collector(self.job.entry)) {
            Err((kind, example)) if must_hold_all || kind == "panic" => {
                self.fail(kind, "a hostile name", &example);
            }
            Err(_) => {}
            Ok((all, _)) if must_hold_all => {
                self.must_hold_all(&all, "another device's name matters", "a hostile name");
            }
            Ok(_) => {}
        }
    }

    /// Fails if anything that was said over the undamaged tree is not said.
    fn must_hold_all(&self, all: &Exposition, kind: &str, damage: &str) {
        let said: HashMap<&str, &str> = all.samples().map(split).collect();
        for (series, value) in &self.baseline.values {
            let now = said.get(series.as_str()).copied();
            if now != Some(value) && !self.is_counted(series) && !is_of_the_run(name(series)) {
                return self.fail(
                    kind,
                    damage,
                    &format!("{series} {value}, now {}", now.unwrap_or("absent")),
                );
            }
        }
    }

    /// Runs a collector, a new one if none is given, over the damaged file, and looks at what it says. Labels may be pieces of `contents`.
    fn check(
        &self,
        collector: Option<&mut dyn Collector>,
        rule: Rule,
        contents: Option<&[u8]>,
        damage: impl Fn() -> String,
    ) -> Option<Cow<'_, Exposition>> {
        let answer = match collector {
            Some(collector) => self.answer(collector),
            None => match catch_unwind(|| (self.job.entry.new)(&self.copy.flags)) {
                Ok(Ok(mut collector)) => self.answer(&mut *collector),
                Ok(Err(error)) => Err(("it cannot be made", error.to_string())),
                Err(panic) => Err(("panic", message(&*panic))),
            },
        };
        let (all, error) = match answer {
            Ok(answer) => answer,
            Err((kind, example)) => {
                self.fail(kind, &damage(), &example);
                return None;
            }
        };
        if matches!(all, Cow::Borrowed(_)) {
            return Some(all);
        }
        let contents = contents.map(Contents::new);
        for family in &all.families {
            if is_of_the_run(&family.name) {
                continue;
            }
            let whole = self.baseline.by_family.get(&family.name);
            // With an error nothing is told, or a family as a whole.
            if let Some(error) = &error
                && whole.is_some_and(|whole| whole.len() > family.samples.len())
                && !self.is_counted(&family.name)
                && !DEVICE_BY_DEVICE.iter().any(|(name, _)| *name == self.job.entry.name)
            {
                let (now, then) = (family.samples.len(), whole.map_or(0, Vec::len));
                self.fail(
                    "half a family",
                    &damage(),
                    &format!("{}: {now} of {then} samples, and {error}", family.name),
                );
            }
            for sample in &family.samples {
                if let Some(why) = self.is_wrong(&family.name, &family.kind, sample, rule, contents.as_ref())
                {
                    self.fail(why, &damage(), sample);
                }
            }
        }
        Some(all)
    }

    /// What a collector says now, which must be well-formed, and its error.
    fn answer(&self, collector: &mut dyn Collector) -> Result<Answer<'_>, (&'static str, String)> {
        self.runs.fetch_add(1, Relaxed);
        let run = || {
            let mut text = Text::new();
            let error = collect(collector, &mut text).err();
            if error.is_none()
                && text.bytes().iter().filter(|&&b| b == b'\n').count() + 1 == self.baseline.lines.len()
            {
                let mut lines = text.bytes().split(|&b| b == b'\n');
                if lines.all(|line| self.baseline.lines.contains(line)) {
                    return Ok((Cow::Borrowed(&self.baseline.all), None));
                }
            }
            let text = std::str::from_utf8(text.bytes()).map_err(|error| error.to_string())?;
            Ok((Cow::Owned(Exposition::parse(text)?), error))
        };
        let result = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| ("panic", message(&*panic)))?;
        result.map_err(|error: String| ("no exposition", error))
    }

    /// Why a sample must not be there, or must not have that value. `contents` is what the file holds now, where texts may be taken
    /// from it.
    fn is_wrong(
        &self,
        family: &str,
        kind: &str,
        sample: &str,
        rule: Rule,
        contents: Option<&Contents<'_>>,
    ) -> Option<&'static str> {
        let (series, value) = split(sample);
        let known = self.baseline.values.get(series);
        if known.is_some_and(|known| known == value) || self.is_counted(family) || rule == Rule::OtherValue {
            return None;
        }
        let is_here = |(collector, start): &(&str, &str)| {
            *collector == self.job.entry.name && family.starts_with(start)
        };
        let is_unnamed = NAMES_FROM_FILES.iter().any(is_here) && known.is_none();
        let is_instead = INSTEAD.iter().any(|(c, f, v, _)| is_here(&(c, f)) && *v == value);
        if is_instead || (contents.is_some() && is_unnamed) {
            return None;
        }
        let number: f64 = value.parse().unwrap();
        let samples = self.baseline.by_family.get(family).map_or(&[][..], Vec::as_slice);
        let is_known_value = || samples.iter().any(|sample| split(sample).1 == value);
        // A label may be lost with the file that it comes from, or hold what is in there now.
        if known.is_none() && samples.iter().any(|other| has_other_texts(sample, other, contents)) {
            return None;
        }
        match rule {
            Rule::TooLarge if is_known_value() || has_digits_of(number, 1e23) => None,
            Rule::TooLarge => Some("a wrong value for a number that is too large"),
            Rule::Negative if is_known_value() => None,
            Rule::Negative if number >= 0.0 || !has_digits_of(number, -5.0) => {
                Some("a wrong value for a negative number")
            }
            Rule::Negative if kind == "counter" => Some("a negative counter"),
            Rule::Negative if is_in_sysfs(&self.job.path) || SIGNED.iter().any(is_here) => None,
            Rule::Negative => Some("a negative value of what is never negative"),
            Rule::Less if known.is_some() => Some("a wrong value"),
            Rule::Less | Rule::OtherValue => Some("a series that is not there"),
        }
    }

    fn is_counted(&self, family: &str) -> bool {
        AGGREGATES.iter().any(|(c, f, _)| *c == self.job.entry.name && family.starts_with(f))
    }

    fn fail(&self, kind: &str, damage: &str, example: &str) {
        let example = format!("{} {damage}: {example}", self.job.path.display());
        self.failures.add(self.job.entry.name, kind, example);
    }
}

/// Whether a path of a tree is below its `sys`, which is not `proc/sys`.
fn is_in_sysfs(path: &Path) -> bool {
    path.components()
        .find(|c| ["proc", "sys"].iter().any(|top| c.as_os_str() == *top))
        .is_some_and(|c| c.as_os_str() == "sys")
}

/// The text of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?").to_owned()
}

/// What a file holds, and, if it is asked for, its [`plain`] text.
struct Contents<'a> {
    bytes: &'a [u8],
    plain: OnceCell<String>,
}

impl<'a> Contents<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Contents { bytes, plain: OnceCell::new() }
    }

    fn plain(&self) -> &str {
        self.plain.get_or_init(|| plain(&String::from_utf8_lossy(self.bytes)))
    }
}

/// Letters and digits alone, in lower case: collectors and the text format change the rest in their ways.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a sample is another one with some labels empty, unknown, left out, or taken from `contents`.
fn has_other_texts(sample: &str, other: &str, contents: Option<&Contents<'_>>) -> bool {
    let then = labels(other);
    let is_explained = |label: &(&str, String)| {
        label.1.is_empty()
            || label.1 == "unknown"
            || LABELS_INSTEAD.contains(&(label.0, label.1.as_str()))
            || then.contains(label)
            || contents.is_some_and(|contents| contents.plain().contains(&plain(&label.1)))
    };
    split(sample).1 == split(other).1 && labels(sample).iter().all(is_explained)
}

/// Whether a number is `base` in another unit.
fn has_digits_of(number: f64, base: f64) -> bool {
    let mantissa = |n: f64| n.abs() / 10f64.powf(n.abs().log10().floor());
    // As given, in kibibytes and so on, sectors, 4-byte words, megabits in bytes, pages of 4 KiB; and by powers of ten.
    [1.0, 1024.0, 1_048_576.0, 1_073_741_824.0, 512.0, 4.0, 1.25, 4096.0].iter().any(|unit| {
        let (a, b) = (mantissa(number), mantissa(base * unit));
        (a - b).abs() < 1e-6 || (a / b - 10.0).abs() < 1e-6 || (b / a - 10.0).abs() < 1e-6
    })
}

/// What differs from run to run, damage or not; the disk below the tree is another one's to fill.
fn is_of_the_run(family: &str) -> bool {
    recorded::is_of_the_run(family) || (family.starts_with("node_filesystem_") && !family.ends_with("_info"))
}

/// Each run of digits by something else, with what is inside of words left alone.
fn replace_numbers(contents: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < contents.len() {
        let is_start = contents[i].is_ascii_digit()
            && (i == 0
                || !(contents[i - 1].is_ascii_alphanumeric()
                    || matches!(contents[i - 1], b'_' | b'-' | b'.')));
        if is_start {
            out.extend_from_slice(by);
            while i < contents.len() && (contents[i].is_ascii_digit() || contents[i] == b'.') {
                i += 1;
            }
        } else {
            out.push(contents[i]);
            i += 1;
        }
    }
    out
}

/// Bytes of no sense, the same in each run.
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

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn the_trees_have_what_the_collectors_open() {
    // A tree that lost its files would make the test above pass without looking at anything.
    let args: Vec<String> = recorded::vm_args().into_iter().map(str::to_owned).collect();
    let copy = Copy::new(tree::vm(), &args);
    let is_read = |path: &[u8]| !String::from_utf8_lossy(path).contains("/queue/");
    let files =
        tree::vm().iter().filter(|(path, node)| matches!(node, Node::File(_)) && is_read(path)).count();
    let mut opened = BTreeSet::new();
    for entry in ALL {
        opened.extend(copy.opened(entry).0);
    }
    assert!(opened.len() * 2 > files, "{} of {files} files are opened", opened.len());
}

/// In the whole program: what one collector reads is garbage, and the others say what they said before.
#[test]
fn one_collector_s_damage_is_not_the_others() {
    let args: Vec<String> = recorded::vm_args().into_iter().map(str::to_owned).collect();
    let traced = Copy::new(tree::vm(), &args);
    let mut readers: HashMap<PathBuf, Vec<&str>> = HashMap::new();
    let mut families: HashMap<&str, HashSet<String>> = HashMap::new();
    for entry in ALL {
        for file in traced.opened(entry).0 {
            readers.entry(file).or_default().push(entry.name);
        }
        families.insert(entry.name, baseline(&traced, entry).by_family.into_keys().collect());
    }

    let host = Host::new(tree::vm());
    let exporter = Exporter::start(&binary(), &recorded::vm_args(), &host.path(""));
    let mut client = exporter.client();
    let mut scrape = || recorded::comparable(&client.get("/metrics", &[]).text());
    let before = scrape();
    for entry in ALL {
        let own: Vec<&PathBuf> =
            readers.iter().filter(|(_, r)| r.contains(&entry.name)).map(|(file, _)| file).collect();
        // Whoever shares a file shares the damage.
        let hit: HashSet<&str> = own.iter().flat_map(|file| readers[*file].iter().copied()).collect();
        let saved: Vec<_> =
            own.iter().map(|file| (host.path(file), fs::read(host.path(file)).unwrap())).collect();
        saved.iter().for_each(|(path, _)| fs::write(path, garbage(300)).unwrap());
        let during = scrape();
        saved.iter().for_each(|(path, contents)| fs::write(path, contents).unwrap());
        let of_the_hit = |family: &str, sample: Option<&str>| {
            hit.iter().any(|name| families[name].contains(family))
                || sample.is_some_and(|sample| recorded::is_about(sample, |name| hit.contains(name)))
        };
        let others = |all: &Exposition| all.filtered(|family, sample| !of_the_hit(family, sample));
        assert_none(entry.name, &differences(&others(&before), &others(&during), |_| true));
    }
    assert_none("afterwards", &differences(&before, &scrape(), |_| true));
}
