//! The whole binary over the reference's fixture tree: the same lines as the original's, in the same order, but for HELP.
//!
//! The fixtures are shared ones and not part of this repository; without them these tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::path::Path;

use common::{MEANT, args_of, binary, is_ours, original, parsed};
use node_exporter::collectors::ALL;
use testbed::exposition::{Exposition, Meant, assert_none, differences, without_meant};
use testbed::process::Exporter;
use testbed::{exposition, shared};

/// Where ours differs from the expected answers on purpose.
const MEANT_HERE: &[Meant] = &[];

/// Samples that the reference's own test does not compare.
fn is_ignored(sample: &str) -> bool {
    let name = exposition::name(sample);
    let prefixes = [
        "go_",
        "node_exporter_build_info",
        "node_scrape_collector_duration_seconds",
        "process_",
        "node_textfile_mtime_seconds",
        "node_time_zone",
        "node_time_seconds",
    ];
    let traffic = ["node_network_receive_bytes_total", "node_network_receive_packets_total"];
    let traffic = traffic.contains(&name)
        || ["node_network_transmit_bytes_total", "node_network_transmit_packets_total"].contains(&name);
    traffic || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// HELP is our own words, but for families that come from text files, whose HELP is theirs.
fn has_help_of_a_file(family: &str) -> bool {
    !["node_", "process_", "promhttp_", "go_"].iter().any(|prefix| family.starts_with(prefix))
}

/// The fixture tree on disk, or `None` with a word.
fn fixtures() -> Option<tempfile::TempDir> {
    let Some(tree) = shared::node_tree() else {
        shared::skipped("the reference's fixtures", "there is no ../shared (set NODE_FIXTURES)");
        return None;
    };
    Some(tree.unpacked())
}

/// The command lines: the reference's, and each case's that has a collector of ours.
fn cases(node: &Path) -> Vec<(String, Vec<String>)> {
    let mut cases = vec![("reference".to_owned(), args_of(&node.join("reference.args")))];
    let mut files: Vec<_> =
        std::fs::read_dir(node.join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "args")) {
        let args = args_of(path);
        let is_named = |entry: &exporter::Entry| args.contains(&format!("--collector.{}", entry.name));
        if !args.iter().any(|arg| arg == "--collector.disable-defaults") || ALL.iter().any(is_named) {
            cases.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), args));
        }
    }
    cases
}

fn scrape(binary: &Path, args: &[String], cwd: &Path) -> Exposition {
    let exporter = Exporter::start(binary, args, cwd);
    parsed(&exporter.scrape())
}

#[test]
fn over_the_reference_s_fixtures_every_line_is_as_expected() {
    let (Some(dir), Some(families)) = (fixtures(), shared::families()) else { return };
    let node = dir.path().join("node");
    let mut wrong = Vec::new();
    let (mut compared, mut lines) = (0, 0);
    for (case, args) in cases(&node) {
        let file =
            if case == "reference" { "expected.prom".to_owned() } else { format!("cases/{case}.prom") };
        let expected = parsed(&std::fs::read_to_string(node.join(file)).unwrap());
        let keeps = |family: &str, sample: Option<&str>| {
            is_ours(&families, family, sample) && !sample.is_some_and(is_ignored)
        };
        let expected = expected.filtered(keeps);
        let ours = scrape(&binary(), &args, dir.path());
        // What is only in the scrape is no difference here.
        let ours = ours.filtered(|family, sample| keeps(family, sample) && expected.family(family).is_some());
        let (found, _) = without_meant(differences(&expected, &ours, has_help_of_a_file), MEANT);
        let (found, _) = without_meant(found, MEANT_HERE);
        compared += 1;
        lines += expected.len();
        let result = std::panic::catch_unwind(|| assert_none(&case, &found));
        wrong.extend(result.err().map(|_| case));
    }
    eprintln!("{compared} command lines, {lines} series compared");
    assert!(wrong.is_empty(), "differences in {wrong:?}, see above");
}

#[test]
fn over_the_reference_s_fixtures_ours_and_the_original_answer_alike() {
    let (Some(dir), Some(families)) = (fixtures(), shared::families()) else { return };
    let Some(original) = original("ours beside the original over the fixtures") else { return };
    let mut wrong = Vec::new();
    let mut unused: Vec<&Meant> = MEANT.iter().collect();
    for (case, args) in cases(&dir.path().join("node")) {
        let keeps = |family: &str, sample: Option<&str>| {
            is_ours(&families, family, sample)
                && !family.starts_with("go_")
                && !sample.is_some_and(is_ignored)
        };
        let theirs = scrape(&original, &args, dir.path()).filtered(keeps);
        let ours = scrape(&binary(), &args, dir.path()).filtered(keeps);
        let (found, not_needed) = without_meant(differences(&theirs, &ours, has_help_of_a_file), MEANT);
        unused.retain(|entry| not_needed.iter().any(|other| std::ptr::eq(*entry, *other)));
        let result = std::panic::catch_unwind(|| assert_none(&case, &found));
        wrong.extend(result.err().map(|_| case));
    }
    assert!(wrong.is_empty(), "differences in {wrong:?}, see above");
    assert!(unused.is_empty(), "meant differences that are gone: {unused:?}");
}

/// A unit file that switches on a collector which is not here keeps everything else.
#[test]
fn a_collector_that_is_not_here_has_success_0() {
    let args = [
        "--collector.systemd",
        "--collector.systemd.unit-whitelist=^(docker|ssh)",
        "--collector.perf.tracepoint=a",
    ];
    let exporter = Exporter::start(&binary(), &args, Path::new("/"));
    let answer = exporter.scrape();
    assert!(answer.contains("\nnode_scrape_collector_success{collector=\"systemd\"} 0\n"));
    assert!(answer.contains("\nnode_scrape_collector_success{collector=\"loadavg\"} 1\n"));
    let log = exporter.log();
    let said = |line: &&str| line.contains("level=ERROR") && line.contains("collector=systemd");
    assert_eq!(log.lines().filter(said).count(), 1, "{log}");
}
