//! Ours beside the original on this very machine: every series of the original's is there, with its type and a value that fits.

#![allow(clippy::unwrap_used, reason = "a test ends with what went wrong")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use common::{MEANT, binary, is_ours, original, parsed};
use testbed::exposition::{
    Difference, Exposition, Meant, What, assert_none, differences, name, split, without_meant,
};
use testbed::process::Exporter;
use testbed::recorded::is_of_the_run;
use testbed::shared;

/// Rounds of three scrapes: the original, ours, the original.
const ROUNDS: usize = 8;

/// Where ours differs from 1.11.1 on purpose, on a live machine.
const MEANT_HERE: &[Meant] = &[
    Meant {
        at: "node_disk_info{",
        why: "the original gives up on the queue's attributes, and on whether it rotates, at the first that is missing (1.12 does not)",
    },
    Meant {
        at: "node_filesystem_readonly{",
        why: "wrong in 1.11.1 with more than one mount option (1.12 is right)",
    },
];

/// All values of a series over the rounds: before ours, ours, and after it.
#[derive(Debug, Default)]
struct Readings {
    rounds: Vec<(f64, f64, f64)>,
}

impl Readings {
    /// A value fits in a round if it lies between the original's two, a gauge's with a margin. It is enough that it fits once: another
    /// process may do its work just between two scrapes. A gauge also fits if it stays where the original saw it in all rounds.
    fn fit(&self, is_counter: bool) -> bool {
        let inside = |low: f64, value: f64, high: f64, margin: f64| {
            let slack = margin * low.abs().max(high.abs());
            value >= low.min(high) - slack && value <= low.max(high) + slack
        };
        let margin = if is_counter { 0.0 } else { 0.02 };
        if self.rounds.iter().any(|&(before, ours, after)| inside(before, ours, after, margin)) {
            return true;
        }
        let theirs = || self.rounds.iter().flat_map(|&(before, _, after)| [before, after]);
        let (low, high) = (theirs().fold(f64::MAX, f64::min), theirs().fold(f64::MIN, f64::max));
        !is_counter && self.rounds.iter().any(|&(_, ours, _)| inside(low, ours, high, 0.05))
    }
}

#[test]
fn every_series_of_the_original_is_there_with_a_value_that_fits() {
    let Some(original) = original("ours beside the original on this machine") else { return };
    let families = shared::families().unwrap_or_default();
    let theirs = Exporter::start(&original, &shared::UPSTREAM_DEFAULTS, Path::new("/"));
    let ours = Exporter::start(&binary(), &[] as &[&str], Path::new("/"));
    let (mut their_client, mut our_client) = (theirs.client(), ours.client());
    let scrape = |client: &mut testbed::http::Client| {
        let all = parsed(&client.get("/metrics", &[]).text());
        all.filtered(|family, sample| !family.starts_with("go_") && is_ours(&families, family, sample))
    };
    let mut readings: BTreeMap<String, Readings> = BTreeMap::new();
    let mut kinds: HashMap<String, String> = HashMap::new();
    let mut shape: Option<Vec<Difference>> = None;
    for _ in 0..ROUNDS {
        let (before, our, after) =
            (scrape(&mut their_client), scrape(&mut our_client), scrape(&mut their_client));
        for family in &before.families {
            kinds.insert(family.name.clone(), family.kind.clone());
        }
        let (our_values, after_values) = (values(&our), values(&after));
        for (series, before) in values(&before) {
            if let (Some(&ours), Some(&after)) = (our_values.get(series), after_values.get(series))
                && !is_of_the_run(name(series))
            {
                readings.entry(series.to_owned()).or_default().rounds.push((before, ours, after));
            }
        }
        // What comes and goes on its own is missing in some round only.
        let found = shape_differences(&before, &our);
        shape = Some(match shape {
            None => found,
            Some(known) => known.into_iter().filter(|difference| found.contains(difference)).collect(),
        });
    }
    let mut found = shape.unwrap_or_default();
    for (series, readings) in &readings {
        let family = name(series).to_owned();
        let is_counter = kinds.get(&family).is_some_and(|kind| kind == "counter");
        if !readings.fit(is_counter) {
            let (before, ours, after) = readings.rounds[ROUNDS.min(readings.rounds.len()) - 1];
            let what = What::Value(format!("{before} to {after}"), ours.to_string());
            found.push(Difference { family, series: Some(series.clone()), what });
        }
    }
    let (found, _) = without_meant(found, MEANT);
    let (found, unused) = without_meant(found, MEANT_HERE);
    eprintln!("{} series compared; not needed: {unused:?}", readings.len());
    assert!(readings.len() > 300, "a machine has more than {} series", readings.len());
    assert_none("on this machine", &found);
}

fn values(all: &Exposition) -> HashMap<&str, f64> {
    all.samples().map(split).map(|(series, value)| (series, value.parse().unwrap())).collect()
}

/// Everything but values, with the versions that a program tells of itself left out.
fn shape_differences(theirs: &Exposition, ours: &Exposition) -> Vec<Difference> {
    let without = |all: &Exposition| {
        let all = all.filtered(|_, sample| {
            !sample.is_some_and(|sample| sample.starts_with("node_exporter_build_info{"))
        });
        all.without_values(|_| true)
    };
    differences(&without(theirs), &without(ours), |_| false)
}
