//! The series of one exposition, by their text.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use exporter::Kind;
use exporter::text::escape_into;
use exporter::text::parse::{Exposition, Family, Part, Sample};

use crate::ignore::{Ignore, Rules};

/// A series: what Prometheus would make of one line.
pub(crate) struct Point<'a> {
    pub family: &'a str,
    /// The family's name with the suffix.
    pub name: String,
    /// Labels with a value, in order of name.
    pub labels: BTreeMap<&'a str, &'a str>,
    pub value: f64,
    pub cumulative: bool,
    pub value_ignored: bool,
}

/// One exposition, without what the rules ignore.
#[derive(Default)]
pub(crate) struct Index<'a> {
    /// Families with a series left, and how many.
    pub families: BTreeMap<&'a str, (Kind, usize)>,
    /// By text: `name{label="value"}`.
    pub series: BTreeMap<String, Point<'a>>,
    /// Series that come more than once.
    pub duplicates: BTreeSet<String>,
    pub ignored: BTreeSet<String>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(exposition: &'a Exposition, rules: &Rules) -> Self {
        let mut index = Index::default();
        for family in &exposition.families {
            for sample in &family.samples {
                index.add(family, sample, rules);
            }
        }
        index
    }

    fn add(&mut self, family: &'a Family, sample: &'a Sample, rules: &Rules) {
        let name = format!("{}{}", family.name, sample.part.suffix());
        let labels = labels(sample);
        let text = text(&name, &labels);
        let ignore = rules.check(&text);
        if ignore == Some(Ignore::Series) {
            self.ignored.insert(text);
            return;
        }
        self.families.entry(&family.name).or_insert((family.kind, 0)).1 += 1;
        let point = Point {
            family: &family.name,
            cumulative: is_cumulative(family.kind, sample.part, &name),
            name,
            labels,
            value: sample.value,
            value_ignored: ignore == Some(Ignore::Value),
        };
        match self.series.entry(text) {
            Entry::Vacant(vacant) => {
                vacant.insert(point);
            }
            Entry::Occupied(first) => {
                self.duplicates.insert(first.key().clone());
            }
        }
    }
}

pub(crate) fn labels(sample: &Sample) -> BTreeMap<&str, &str> {
    let labels = sample.labels.iter().filter(|(_, value)| !value.is_empty());
    labels.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// `name{label="value"}`, as a query would name the series.
pub(crate) fn text(name: &str, labels: &BTreeMap<&str, &str>) -> String {
    let mut text = name.as_bytes().to_vec();
    let mut separator = b'{';
    for (label, value) in labels {
        text.push(separator);
        text.extend_from_slice(label.as_bytes());
        text.extend_from_slice(b"=\"");
        escape_into(&mut text, value.as_bytes(), true);
        text.push(b'"');
        separator = b',';
    }
    if !labels.is_empty() {
        text.push(b'}');
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn is_cumulative(kind: Kind, part: Part, name: &str) -> bool {
    match kind {
        Kind::Counter => true,
        Kind::Gauge => false,
        Kind::Histogram => part != Part::Value,
        Kind::Summary => part != Part::Value,
        Kind::Untyped => name.ends_with("_total"),
    }
}
