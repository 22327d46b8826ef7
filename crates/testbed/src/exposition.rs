//! Answers in text form: read strictly, compared line by line.
//!
//! The reader is not the product's own parser, so that a mistake in one does not hide in the other.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// One family of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// The text of its HELP line, as escaped.
    pub help: String,
    /// The word on its TYPE line.
    pub kind: String,
    /// Its sample lines.
    pub samples: Vec<String>,
}

/// An answer, family by family, in its own order.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    /// The families.
    pub families: Vec<Family>,
}

/// A sample line's name and labels, and its value.
pub fn split(sample: &str) -> (&str, &str) {
    sample.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {sample}"))
}

/// The metric name of a sample line.
pub fn name(sample: &str) -> &str {
    &sample[..sample.find(['{', ' ']).unwrap_or(sample.len())]
}

/// The labels of a sample line: names, and values as they were before they were escaped.
pub fn labels(sample: &str) -> Vec<(&str, String)> {
    let mut labels = Vec::new();
    let Some(open) = sample.find('{') else { return labels };
    let mut rest = &sample[open + 1..];
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        rest = loop {
            match chars.next() {
                Some((end, '"')) => break &after[end + 1..],
                Some((_, '\\')) => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => panic!("a label does not end: {sample}"),
                },
                Some((_, plain)) => value.push(plain),
                None => panic!("a label does not end: {sample}"),
            }
        };
        labels.push((name, value));
        let Some(more) = rest.strip_prefix(',') else { break };
        rest = more;
    }
    labels
}

/// The value of a label of a sample line.
pub fn label(sample: &str, name: &str) -> Option<String> {
    labels(sample).into_iter().find(|(label, _)| *label == name).map(|(_, value)| value)
}

impl Exposition {
    /// Reads an answer.
    ///
    /// # Errors
    /// The first thing that is not as it should be: every family has HELP, then TYPE, then its samples and no others,
    /// no family comes twice, no series comes twice, every value is a number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut families: Vec<Family> = Vec::new();
        let mut names = HashSet::new();
        let mut series = HashSet::new();
        let mut lines = text.split_inclusive('\n');
        let mut pending = lines.next();
        while let Some(line) = pending {
            let wrong = |what: &str| Err(format!("{what}: {line:?}"));
            let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
            else {
                return wrong("no HELP line of a family");
            };
            if !names.insert(name.to_owned()) {
                return wrong("a family comes twice");
            }
            let Some(help) = help.strip_suffix('\n') else { return wrong("the last line is not ended") };
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
            let Some(kind) = kind.and_then(|kind| kind.strip_suffix('\n')) else {
                return wrong("no TYPE line after");
            };
            if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                return wrong(&format!("type {kind:?} after"));
            }
            let mut family =
                Family { name: name.into(), help: help.into(), kind: kind.into(), samples: Vec::new() };
            pending = lines.next();
            while let Some(line) = pending.filter(|line| !line.starts_with('#')) {
                let Some(sample) = line.strip_suffix('\n') else {
                    return Err(format!("the last line is not ended: {line:?}"));
                };
                let Some((key, value)) = sample.rsplit_once(' ') else {
                    return Err(format!("no value: {line:?}"));
                };
                if value.parse::<f64>().is_err() {
                    return Err(format!("no number: {line:?}"));
                }
                let suffix = self::name(sample).strip_prefix(name);
                let suffixed = match kind {
                    "histogram" => ["_bucket", "_sum", "_count"].as_slice(),
                    "summary" => &["", "_sum", "_count"],
                    _ => &[""],
                };
                if !suffix.is_some_and(|suffix| suffixed.contains(&suffix)) {
                    return Err(format!("{line:?} does not belong to {name}"));
                }
                if !series.insert(key.to_owned()) {
                    return Err(format!("a series comes twice: {key}"));
                }
                family.samples.push(sample.to_owned());
                pending = lines.next();
            }
            families.push(family);
        }
        Ok(Exposition { families })
    }

    /// The same without the families and samples that `keeps` turns down; it sees a family's name and a sample line, or `None` for
    /// the family as a whole.
    #[must_use]
    pub fn filtered(&self, mut keeps: impl FnMut(&str, Option<&str>) -> bool) -> Self {
        let mut families = Vec::new();
        for family in &self.families {
            if keeps(&family.name, None) {
                let mut family = family.clone();
                let name = family.name.clone();
                family.samples.retain(|sample| keeps(&name, Some(sample)));
                families.push(family);
            }
        }
        Exposition { families }
    }

    /// The same with the values of some series replaced by 0, because they are the machine's and not the tree's.
    #[must_use]
    pub fn without_values(&self, mut of: impl FnMut(&str) -> bool) -> Self {
        let mut all = self.clone();
        for sample in all.families.iter_mut().flat_map(|family| &mut family.samples) {
            if of(name(sample)) {
                let key = split(sample).0.len();
                sample.truncate(key);
                sample.push_str(" 0");
            }
        }
        all
    }

    /// The family of that name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.families.iter().map(|family| family.samples.len()).sum()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sample lines.
    pub fn samples(&self) -> impl Iterator<Item = &str> {
        self.families.iter().flat_map(|family| family.samples.iter().map(String::as_str))
    }

    /// The answer as text again.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Family { name, help, kind, samples } in &self.families {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap();
            for sample in samples {
                text.push_str(sample);
                text.push('\n');
            }
        }
        text
    }
}

/// How two answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The family.
    pub family: String,
    /// The series, if it is not about the family as a whole.
    pub series: Option<String>,
    /// What differs.
    pub what: What,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A series of the reference that ours lacks, with its value.
    Missing(String),
    /// A series of ours that the reference lacks, with its value.
    Extra(String),
    /// Another value: the reference's and ours.
    Value(String, String),
    /// Another type: the reference's and ours.
    Kind(String, String),
    /// Another HELP text: the reference's and ours.
    Help(String, String),
    /// The same, in another order: the first line that stands elsewhere, the reference's and ours.
    Order(String, String),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.series.as_deref().unwrap_or(&self.family);
        match &self.what {
            What::Missing(value) => write!(f, "missing    {at} {value}"),
            What::Extra(value) => write!(f, "extra      {at} {value}"),
            What::Value(reference, ours) => write!(f, "value      {at} is {reference}, ours {ours}"),
            What::Kind(reference, ours) => write!(f, "type       {at} is {reference}, ours {ours}"),
            What::Help(reference, ours) => write!(f, "HELP       {at} is {reference:?}, ours {ours:?}"),
            What::Order(reference, ours) => write!(f, "order      {at} has {reference}, ours {ours}"),
        }
    }
}

/// All differences between two answers: series, types, values, order of series and of families, and the HELP of the families for which
/// `with_help` says so.
pub fn differences(
    reference: &Exposition,
    ours: &Exposition,
    with_help: impl Fn(&str) -> bool,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |family: &str, series: Option<&str>, what| {
        found.push(Difference { family: family.into(), series: series.map(Into::into), what });
    };
    let known: HashMap<&str, &Family> = ours.families.iter().map(|f| (f.name.as_str(), f)).collect();
    let expected: HashSet<&str> = reference.families.iter().map(|f| f.name.as_str()).collect();
    for family in &reference.families {
        let name = family.name.as_str();
        let Some(our) = known.get(name) else {
            for (series, value) in family.samples.iter().map(|sample| split(sample)) {
                add(name, Some(series), What::Missing(value.into()));
            }
            if family.samples.is_empty() {
                add(name, None, What::Missing(family.kind.clone()));
            }
            continue;
        };
        if family.kind != our.kind {
            add(name, None, What::Kind(family.kind.clone(), our.kind.clone()));
        }
        if with_help(name) && family.help != our.help {
            add(name, None, What::Help(family.help.clone(), our.help.clone()));
        }
        if family.samples == our.samples {
            continue;
        }
        let values: HashMap<&str, &str> = our.samples.iter().map(|sample| split(sample)).collect();
        let mut same_series = family.samples.len() == our.samples.len();
        for (series, value) in family.samples.iter().map(|sample| split(sample)) {
            match values.get(series) {
                None => {
                    same_series = false;
                    add(name, Some(series), What::Missing(value.into()));
                }
                Some(&ours) if ours != value => {
                    add(name, Some(series), What::Value(value.into(), ours.into()));
                }
                Some(_) => {}
            }
        }
        let wanted: HashSet<&str> = family.samples.iter().map(|sample| split(sample).0).collect();
        for (series, value) in our.samples.iter().map(|sample| split(sample)) {
            if !wanted.contains(series) {
                same_series = false;
                add(name, Some(series), What::Extra(value.into()));
            }
        }
        if same_series
            && let Some((a, b)) =
                family.samples.iter().zip(&our.samples).find(|(a, b)| split(a).0 != split(b).0)
        {
            add(name, None, What::Order(split(a).0.into(), split(b).0.into()));
        }
    }
    for family in ours.families.iter().filter(|family| !expected.contains(family.name.as_str())) {
        for (series, value) in family.samples.iter().map(|sample| split(sample)) {
            add(&family.name, Some(series), What::Extra(value.into()));
        }
    }
    // Families that both have must come in the same order.
    let both = |all: &Exposition, other: &HashSet<&str>| {
        let names = all.families.iter().map(|f| f.name.clone());
        names.filter(|name| other.contains(name.as_str())).collect::<Vec<_>>()
    };
    let known = known.into_keys().collect();
    let (theirs, ours) = (both(reference, &known), both(ours, &expected));
    if let Some((a, b)) = theirs.iter().zip(&ours).find(|(a, b)| a != b) {
        add(a, None, What::Order(a.clone(), b.clone()));
    }
    found
}

/// A difference that is meant.
#[derive(Debug, Clone, Copy)]
pub struct Meant {
    /// What the differing family's name, or the differing series, starts with.
    pub at: &'static str,
    /// Why ours is right, or why it does not matter.
    pub why: &'static str,
}

/// Splits off the differences that are meant; the second list holds the entries of `meant` that nothing needed.
pub fn without_meant(found: Vec<Difference>, meant: &[Meant]) -> (Vec<Difference>, Vec<&Meant>) {
    let mut used = vec![false; meant.len()];
    let mut rest = Vec::new();
    for difference in found {
        let at = difference.series.as_deref().unwrap_or(&difference.family);
        match meant.iter().position(|entry| at.starts_with(entry.at)) {
            Some(i) => used[i] = true,
            None => rest.push(difference),
        }
    }
    let unused = meant.iter().zip(used).filter(|(_, used)| !used).map(|(entry, _)| entry).collect();
    (rest, unused)
}

/// Ends the test if there is a difference, and says how many of which kind there are, with the first of each family.
pub fn assert_none(context: &str, found: &[Difference]) {
    if found.is_empty() {
        return;
    }
    let count = |kind: fn(&What) -> bool| found.iter().filter(|d| kind(&d.what)).count();
    let mut report = format!(
        "{context}: {} differences: {} missing, {} extra, {} of value, {} of type, {} of HELP, {} of order\n",
        found.len(),
        count(|w| matches!(w, What::Missing(_))),
        count(|w| matches!(w, What::Extra(_))),
        count(|w| matches!(w, What::Value(..))),
        count(|w| matches!(w, What::Kind(..))),
        count(|w| matches!(w, What::Help(..))),
        count(|w| matches!(w, What::Order(..))),
    );
    let mut per_family: HashMap<&str, usize> = HashMap::new();
    let mut shown = 0;
    for difference in found {
        let count = per_family.entry(&difference.family).or_default();
        *count += 1;
        if *count <= 3 && shown < 200 {
            shown += 1;
            writeln!(report, "  {difference}").unwrap();
        }
    }
    if shown < found.len() {
        writeln!(report, "  … and {} more, of {} families", found.len() - shown, per_family.len()).unwrap();
    }
    panic!("{report}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Exposition {
        Exposition::parse(text).unwrap()
    }

    fn compare(a: &str, b: &str) -> Vec<String> {
        differences(&read(a), &read(b), |_| false).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_answer_is_read_strictly() {
        let text = "# HELP a h\n# TYPE a gauge\na{x=\"1 }\"} 1\na{x=\"2\"} NaN\n\
                    # HELP b h\n# TYPE b histogram\nb_bucket{le=\"+Inf\"} 1\nb_sum 1\nb_count 1\n";
        let all = read(text);
        assert_eq!((all.len(), all.to_text().as_str()), (5, text));
        for (bad, what) in [
            ("a 1\n", "no HELP"),
            ("# HELP a h\na 1\n", "no TYPE"),
            ("# HELP a h\n# TYPE a gauge\nb 1\n", "belong"),
            ("# HELP a h\n# TYPE a gauge\na 1", "ended"),
            ("# HELP a h\n# TYPE a gauge\na x\n", "number"),
            ("# HELP a h\n# TYPE a gauge\na 1\na 2\n", "series comes twice"),
            ("# HELP a h\n# TYPE a gauge\na 1\n# HELP a h\n# TYPE a gauge\n", "family comes twice"),
            ("# HELP a h\n# TYPE a gauge\na_sum 1\n", "belong"),
        ] {
            assert!(Exposition::parse(bad).unwrap_err().contains(what), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_found_whatever_they_hold() {
        let sample = r#"m{a="x\",b=\"1\n",b="{}",c="\\"} 1"#;
        assert_eq!(label(sample, "a").unwrap(), "x\",b=\"1\n");
        assert_eq!((label(sample, "b").unwrap(), label(sample, "c").unwrap()), ("{}".into(), "\\".into()));
        assert_eq!((label(sample, "d"), label("m 1", "a"), name(sample)), (None, None, "m"));
    }

    #[test]
    fn each_kind_of_difference_is_told() {
        let a = "# HELP a h\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n# HELP b h\n# TYPE b gauge\nb 1\n";
        assert_eq!(compare(a, a), [""; 0]);
        assert_eq!(compare(a, &a.replace("2\"} 2", "2\"} 3")), ["value      a{x=\"2\"} is 2, ours 3"]);
        assert_eq!(compare(a, &a.replace("b gauge", "b counter")), ["type       b is gauge, ours counter"]);
        assert_eq!(compare(a, &a.replace("a{x=\"2\"} 2\n", "")), ["missing    a{x=\"2\"} 2"]);
        assert_eq!(compare(&a.replace("a{x=\"2\"} 2\n", ""), a), ["extra      a{x=\"2\"} 2"]);
        let swapped =
            "# HELP a h\n# TYPE a gauge\na{x=\"2\"} 2\na{x=\"1\"} 1\n# HELP b h\n# TYPE b gauge\nb 1\n";
        assert_eq!(compare(a, swapped), ["order      a has a{x=\"1\"}, ours a{x=\"2\"}"]);
        let (first, second) = a.split_at(a.find("# HELP b").unwrap());
        assert_eq!(compare(a, &format!("{second}{first}")), ["order      a has a, ours b"]);
        assert_eq!(compare(a, second).len(), 2);
    }
}
