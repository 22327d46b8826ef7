//! The whole binary over recorded trees that are part of this repository: the same lines as the original's recorded answer.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use common::{MEANT, binary, parsed};
use testbed::exposition::{Exposition, Meant, assert_none, differences, without_meant};
use testbed::process::Exporter;
use testbed::tree::{Host, Tree};
use testbed::{bighost, recorded, tree};

/// Where ours differs from 1.11.1 on purpose, over these trees.
const MEANT_HERE: &[Meant] = &[
    Meant {
        at: "node_disk_info{device=\"vda\"",
        why: "the original gives up on the queue's attributes, and on whether it rotates, at the first that is missing (1.12 does not)",
    },
    Meant { at: "node_ksmd_general_profit_bytes", why: "new in 1.12" },
];

fn compare(context: &str, tree: &Tree, args: &[&str], reference: &Exposition) {
    let host = Host::new(tree);
    let exporter = Exporter::start(&binary(), args, &host.path(""));
    // The second scrape is the usual one: buffers and caches are warm, and nothing may differ.
    let first = recorded::comparable(&exporter.scrape());
    let ours = recorded::comparable(&exporter.scrape());
    assert_none(&format!("{context}, second scrape"), &differences(&first, &ours, |_| true));
    let (found, _) = without_meant(differences(reference, &ours, |_| false), MEANT);
    let (found, unused) = without_meant(found, MEANT_HERE);
    assert_none(context, &found);
    eprintln!("{context}: {} series compared; not needed: {unused:?}", reference.len());
}

#[test]
fn a_small_machine_as_the_original_tells_it() {
    compare("the small machine", tree::vm(), &recorded::vm_args(), recorded::vm());
}

#[test]
fn a_big_machine_as_the_original_tells_it() {
    compare("the big machine", &bighost::tree(), &recorded::big_args(), recorded::big());
}

#[test]
fn nothing_is_left_open_after_a_scrape() {
    let host = Host::new(tree::vm());
    let exporter = Exporter::start(&binary(), &recorded::vm_args(), &host.path(""));
    let mut client = exporter.client();
    let scrape = |client: &mut testbed::http::Client, times| {
        for _ in 0..times {
            parsed(&client.get("/metrics", &["Accept-Encoding: gzip"]).text());
        }
        (exporter.open_files(), exporter.status("Threads"))
    };
    let (before, threads_before) = scrape(&mut client, 10);
    let (after, threads) = scrape(&mut client, 100);
    assert_eq!(after.len(), before.len(), "{before:?}, then {after:?}");
    // A thread more may have been needed for collectors that happened to be slow.
    assert!(threads <= threads_before + 1, "{threads_before} threads, then {threads}");
}
