//! What the black-box tests share: which binary, which collectors, which differences are meant.

// Each test binary compiles this anew and uses its part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use exporter::{Collector, Entry, Error, Flags, Text};
use node_exporter::collectors::{ALL, LACKING};
use testbed::exposition::{Exposition, Meant};
use testbed::{recorded, shared};

/// The exporter under test: `NODE_EXPORTER_BIN`, or the one that cargo built for this test.
pub fn binary() -> PathBuf {
    // Asked for at run time: a compiler behind a shell does not see a variable with such a name.
    let built = || std::env::var_os("CARGO_BIN_EXE_node-exporter").expect("cargo builds it and says where");
    std::env::var_os("NODE_EXPORTER_BIN").unwrap_or_else(built).into()
}

/// The arguments of a file, one a line.
pub fn args_of(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Whether the original has a collector of this name and this exporter lacks it.
pub fn lacks(collector: &str) -> bool {
    LACKING.iter().any(|entry| entry.name == collector)
}

/// Whether a family or sample of the original is one that this exporter should have.
pub fn is_ours(families: &HashMap<String, Vec<String>>, family: &str, sample: Option<&str>) -> bool {
    let lacking = |collectors: &Vec<String>| collectors.iter().all(|c| lacks(c));
    !families.get(family).is_some_and(lacking)
        && !sample.is_some_and(|sample| recorded::is_about(sample, lacks))
}

/// The names of all collectors.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|entry| entry.name).collect()
}

/// A collector in this process.
pub fn collector(entry: &Entry, args: &[impl AsRef<str>]) -> Box<dyn Collector> {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    (entry.new)(&Flags::for_test(&node_exporter::PRODUCT.all_flags(), &args)).unwrap()
}

/// One run of a collector in this process.
pub fn collect(collector: &mut dyn Collector, text: &mut Text) -> Result<(), Error> {
    text.clear();
    collector.collect(text, Instant::now() + Duration::from_secs(10))
}

/// The original, or a loud word that the test does nothing.
pub fn original(test: &str) -> Option<PathBuf> {
    let found = shared::peer("node_exporter");
    if found.is_none() {
        shared::skipped(test, "the original is not at hand (set PEERS_DIR)");
    }
    found
}

/// An answer that must be well-formed.
pub fn parsed(answer: &str) -> Exposition {
    Exposition::parse(answer).unwrap_or_else(|error| panic!("{error}"))
}

/// Where ours differs from 1.11.1 on purpose, wherever the two are compared. Every entry is checked to be still needed
/// by the test that compares with the original over its own fixtures.
pub const MEANT: &[Meant] = &[];
