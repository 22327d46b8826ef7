//! The comparison.

use std::collections::{BTreeMap, BTreeSet};

use exporter::text::parse::Exposition;

use crate::ignore::Rules;
use crate::report::{FamilyItem, LabelChange, Report, SeriesItem, Side, TypeChange, ValueDifference};
use crate::series::{Index, Point, text};

/// How to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// By how much a value may differ, as a part of it: 0.05 is 5 %. Counters may differ by it only upwards.
    pub tolerance: f64,
    /// What is not compared.
    pub rules: Rules,
}

impl Default for Options {
    /// For two exporters on a live machine: a tolerance of 5 %, and the [default rules](Rules::defaults).
    fn default() -> Self {
        Options { tolerance: 0.05, rules: Rules::defaults() }
    }
}

impl Options {
    /// For two exporters over the same frozen tree: values are equal, nothing is ignored.
    pub fn exact() -> Self {
        Options { tolerance: 0.0, rules: Rules::none() }
    }
}

/// Compares one scrape of each side.
pub fn compare(old: &Exposition, new: &Exposition, options: &Options) -> Report {
    compare_readings(&[old], &[new], options)
}

/// Compares scrapes of two sides, taken in turn: old, new, old, new, and so on, as a rule with one more of the old side at the end.
///
/// A series is missing if every old reading has it and no new one; it is extra in the same way. A value differs if it does so in each new
/// reading: not within `tolerance` of the old readings before and after it, nor between them, nor as near as they are to each other.
pub fn compare_readings(old: &[&Exposition], new: &[&Exposition], options: &Options) -> Report {
    let (old, new) = (indices(old, &options.rules), indices(new, &options.rules));
    let mut report = Report::default();
    Comparison { old: &old, new: &new, tolerance: options.tolerance }.fill(&mut report);
    report
}

fn indices<'a>(readings: &[&'a Exposition], rules: &Rules) -> Vec<Index<'a>> {
    readings.iter().map(|reading| Index::new(reading, rules)).collect()
}

struct Comparison<'a> {
    old: &'a [Index<'a>],
    new: &'a [Index<'a>],
    tolerance: f64,
}

impl<'a> Comparison<'a> {
    fn fill(&self, report: &mut Report) {
        let (Some(old), Some(new)) = (self.old.first(), self.new.first()) else { return };
        report.old = Side { families: old.families.len(), series: old.series.len() };
        report.new = Side { families: new.families.len(), series: new.series.len() };
        let ignored: BTreeSet<&String> = old.ignored.iter().chain(&new.ignored).collect();
        report.ignored.series = ignored.len();
        report.duplicates = self.duplicates();
        self.families(report);
        self.series(report);
        self.values(report);
    }

    /// Series that the new side has twice and the old side did not.
    fn duplicates(&self) -> Vec<SeriesItem> {
        let Some(new) = self.new.first() else { return Vec::new() };
        let new_ones =
            new.duplicates.iter().filter(|text| !self.old.iter().any(|old| old.duplicates.contains(*text)));
        new_ones.map(|text| item(text, &new.series[text])).collect()
    }

    fn families(&self, report: &mut Report) {
        let lacking = |have: &[Index<'a>], lack: &[Index<'a>]| {
            let Some(first) = have.first() else { return Vec::new() };
            let persists = |name: &&str| have.iter().all(|index| index.families.contains_key(name));
            let is_lacking = |name: &&str| !lack.iter().any(|index| index.families.contains_key(name));
            let names = first.families.iter().filter(|(name, _)| persists(name) && is_lacking(name));
            names
                .map(|(name, (kind, series))| FamilyItem {
                    family: (*name).to_owned(),
                    kind: kind.as_str(),
                    series: *series,
                })
                .collect()
        };
        report.missing_families = lacking(self.old, self.new);
        report.extra_families = lacking(self.new, self.old);
        for (name, (old, _)) in &self.old[0].families {
            let kind = |index: &Index<'a>| index.families.get(name).map(|(kind, _)| *kind);
            if let Some(new) = self.new.iter().find_map(kind) {
                report.compared.families += 1;
                if new != *old {
                    report.type_changes.push(TypeChange {
                        family: (*name).to_owned(),
                        old: old.as_str(),
                        new: new.as_str(),
                    });
                }
            }
        }
    }

    fn series(&self, report: &mut Report) {
        // Families that are gone as a whole are told as such.
        let lacking = |have: &'a [Index<'a>], lack: &[Index<'a>]| -> Vec<(&'a String, &'a Point<'a>)> {
            let Some(first) = have.first() else { return Vec::new() };
            let known =
                |point: &Point<'a>| lack.iter().any(|index| index.families.contains_key(point.family));
            let persists = |text: &String| have.iter().all(|index| index.series.contains_key(text));
            let is_lacking = |text: &String| !lack.iter().any(|index| index.series.contains_key(text));
            first
                .series
                .iter()
                .filter(|(text, point)| known(point) && persists(text) && is_lacking(text))
                .collect()
        };
        let mut missing = lacking(self.old, self.new);
        let mut extra = lacking(self.new, self.old);
        let names: BTreeSet<&str> = missing.iter().map(|(_, point)| point.name.as_str()).collect();
        for name in names {
            let old = label_names(&self.old[0], name).unwrap_or_default();
            let Some(new) = label_names(&self.new[0], name) else { continue };
            let difference = |a: &BTreeSet<&'a str>, b: &BTreeSet<&'a str>| -> Vec<&'a str> {
                a.difference(b).copied().collect()
            };
            let (lost, gained) = (difference(&old, &new), difference(&new, &old));
            if lost.is_empty() && gained.is_empty() {
                continue;
            }
            let without = |point: &Point<'a>, left_out: &[&str]| {
                let mut labels = point.labels.clone();
                labels.retain(|label, _| !left_out.contains(label));
                text(name, &labels)
            };
            let project = |points: &[(&String, &Point<'a>)], left_out: &[&str]| -> BTreeSet<String> {
                let of_name = points.iter().filter(|(_, point)| point.name == name);
                of_name.map(|(_, point)| without(point, left_out)).collect()
            };
            let (left, came) = (project(&missing, &lost), project(&extra, &gained));
            let before = missing.len();
            let family = missing
                .iter()
                .find(|(_, point)| point.name == name)
                .map(|(_, point)| point.family.to_owned());
            missing.retain(|(_, point)| point.name != name || !came.contains(&without(point, &lost)));
            extra.retain(|(_, point)| point.name != name || !left.contains(&without(point, &gained)));
            if missing.len() < before {
                report.label_changes.push(LabelChange {
                    family: family.unwrap_or_default(),
                    name: name.to_owned(),
                    lost: lost.iter().map(ToString::to_string).collect(),
                    gained: gained.iter().map(ToString::to_string).collect(),
                    series: before - missing.len(),
                });
            }
        }
        report.missing_series = missing.into_iter().map(|(text, point)| item(text, point)).collect();
        report.extra_series = extra.into_iter().map(|(text, point)| item(text, point)).collect();
    }

    fn values(&self, report: &mut Report) {
        let mut seen: BTreeMap<&'a String, Option<ValueDifference>> = BTreeMap::new();
        for (i, new) in self.new.iter().enumerate() {
            for (text, point) in &new.series {
                let reading = |i: usize| self.old.get(i).and_then(|index| index.series.get(text));
                let (before, after) = (reading(i), reading(i + 1));
                let Some(old) = before.or(after) else { continue };
                if point.value_ignored {
                    report.ignored.values += usize::from(i == 0);
                    continue;
                }
                let [before, after] = [before, after].map(|point| point.map(|point| point.value));
                let rule = Explained { cumulative: old.cumulative, tolerance: self.tolerance };
                let entry = seen.entry(text).or_insert_with(|| {
                    Some(ValueDifference {
                        family: point.family.to_owned(),
                        series: text.clone(),
                        cumulative: old.cumulative,
                        old: old.value,
                        new: point.value,
                        old_again: before.and(after),
                    })
                });
                if rule.by_time(before, after, point.value) {
                    *entry = None;
                }
            }
        }
        report.compared.series = seen.len();
        report.value_differences = seen.into_values().flatten().collect();
    }
}

fn item(text: &str, point: &Point<'_>) -> SeriesItem {
    SeriesItem { family: point.family.to_owned(), series: text.to_owned(), value: point.value }
}

/// Every label name that a series of this name has; `None` if there is no such series.
fn label_names<'a>(index: &Index<'a>, name: &str) -> Option<BTreeSet<&'a str>> {
    let points = index.series.range(name.to_owned()..).take_while(|(text, _)| text.starts_with(name));
    let mut points = points.filter(|(_, point)| point.name == name).peekable();
    points.peek()?;
    Some(points.flat_map(|(_, point)| point.labels.keys().copied()).collect())
}

/// Whether time explains a difference.
struct Explained {
    cumulative: bool,
    tolerance: f64,
}

impl Explained {
    /// What the same sum gives when it is added up in another order.
    const ROUNDING: f64 = 1e-9;

    fn by_time(&self, before: Option<f64>, after: Option<f64>, new: f64) -> bool {
        let same = |old: f64| old == new || (old.is_nan() && new.is_nan());
        if before.is_some_and(same) || after.is_some_and(same) {
            return true;
        }
        if !new.is_finite() {
            return false;
        }
        let exact = self.tolerance == 0.0;
        let rounding = |old: f64| if exact { 0.0 } else { old.abs() * Self::ROUNDING };
        match (before.filter(|v| v.is_finite()), after.filter(|v| v.is_finite())) {
            (Some(before), Some(after)) => {
                let (low, high) = (before.min(after), before.max(after));
                let moved = high - low;
                let slack = if self.cumulative { 0.0 } else { self.tolerance * low.abs().max(high.abs()) };
                (low - moved - slack - rounding(low)..=high + moved + slack + rounding(high)).contains(&new)
            }
            (Some(before), None) if self.cumulative => {
                (before - rounding(before)..=before + self.tolerance * before.abs()).contains(&new)
            }
            (None, Some(after)) if self.cumulative => {
                (after - self.tolerance * after.abs()..=after + rounding(after)).contains(&new)
            }
            (Some(old), None) | (None, Some(old)) => {
                (new - old).abs() <= self.tolerance * old.abs().max(new.abs())
            }
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use exporter::text::parse::parse;

    use super::*;

    fn exposition(text: &str) -> Exposition {
        parse(text.as_bytes()).unwrap()
    }

    fn diff(old: &str, new: &str, options: &Options) -> Report {
        compare(&exposition(old), &exposition(new), options)
    }

    fn texts(items: &[SeriesItem]) -> Vec<&str> {
        items.iter().map(|item| item.series.as_str()).collect()
    }

    #[test]
    fn equal_expositions_are_safe() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum NaN\nh_count 1\na{x=\"\"} 1\n";
        let other =
            "# HELP a Other words.\na 1\n# TYPE h histogram\nh_count 1\nh_sum NaN\nh_bucket{le=\"1\"} 1\n";
        let report = diff(text, other, &Options::exact());
        assert!(report.is_safe(), "{report}");
        assert_eq!((report.compared.families, report.compared.series), (2, 4));
    }

    #[test]
    fn what_is_missing_and_what_is_new() {
        let old = "a{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE b counter\nb{y=\"1\"} 1\nb{y=\"2\"} 1\n";
        let new = "a{x=\"1\"} 1\na{x=\"3\"} 2\nc 1\n";
        let report = diff(old, new, &Options::exact());
        assert!(!report.is_safe());
        let family = |family: &str, kind, series| FamilyItem { family: family.to_owned(), kind, series };
        assert_eq!(report.missing_families, [family("b", "counter", 2)]);
        assert_eq!(report.extra_families, [family("c", "untyped", 1)]);
        assert_eq!(texts(&report.missing_series), ["a{x=\"2\"}"]);
        assert_eq!(texts(&report.extra_series), ["a{x=\"3\"}"]);
        assert_eq!(report.value_differences, []);
    }

    #[test]
    fn a_new_family_alone_is_safe_and_a_new_series_or_a_duplicate_is_not() {
        assert!(diff("a 1\n", "a 1\nb 1\n", &Options::exact()).is_safe());
        assert!(!diff("a 1\n", "a 1\na{x=\"1\"} 1\n", &Options::exact()).is_safe());
        let report = diff("a 1\n", "a 1\na 1\n", &Options::exact());
        assert_eq!((texts(&report.duplicates), report.is_safe()), (vec!["a"], false));
    }

    #[test]
    fn types_that_changed() {
        let report = diff("# TYPE a counter\na 1\n", "# TYPE a gauge\na 1\n", &Options::exact());
        assert_eq!(report.type_changes, [TypeChange { family: "a".into(), old: "counter", new: "gauge" }]);
        assert!(!report.is_safe());
    }

    #[test]
    fn labels_that_changed_are_told_once() {
        let old =
            "d{dev=\"a\",wwn=\"1\"} 1\nd{dev=\"b\",wwn=\"2\"} 1\nd{dev=\"c\",wwn=\"3\"} 1\nd{dev=\"e\"} 1\n";
        let new = "d{dev=\"a\",serial=\"x\"} 1\nd{dev=\"b\",serial=\"y\"} 1\nd{dev=\"f\",serial=\"y\"} 1\nd{dev=\"e\"} 1\n";
        let report = diff(old, new, &Options::exact());
        let change = LabelChange {
            family: "d".into(),
            name: "d".into(),
            lost: vec!["wwn".into()],
            gained: vec!["serial".into()],
            series: 2,
        };
        assert_eq!(report.label_changes, [change]);
        assert_eq!(texts(&report.missing_series), ["d{dev=\"c\",wwn=\"3\"}"]);
        assert_eq!(texts(&report.extra_series), ["d{dev=\"f\",serial=\"y\"}"]);
    }

    #[test]
    fn a_label_that_came_to_all_series_of_one_name() {
        let report =
            diff("a 1\nab{z=\"1\"} 1\n", "a{x=\"1\"} 1\na{x=\"2\"} 1\nab{z=\"1\"} 1\n", &Options::exact());
        assert_eq!(report.label_changes.len(), 1, "{report}");
        assert_eq!((report.missing_series.len(), report.extra_series.len()), (0, 0));
    }

    #[test]
    fn a_part_of_a_histogram_that_is_gone_is_missing() {
        let old = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n";
        let report = diff(old, "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n", &Options::exact());
        assert_eq!(texts(&report.missing_series), ["h_sum"]);
        assert_eq!(report.label_changes, []);
    }

    #[test]
    fn values_of_two_scrapes() {
        let value = |old: &str, new: &str, kind: &str, tolerance| {
            let text = |value| format!("# TYPE a {kind}\na {value}\n");
            let options = Options { tolerance, rules: Rules::none() };
            diff(&text(old), &text(new), &options).value_differences.is_empty()
        };
        for (old, new, kind, tolerance, same) in [
            ("100", "104", "counter", 0.05, true),
            ("100", "106", "counter", 0.05, false),
            ("100", "99.9", "counter", 0.05, false),
            ("100", "96", "gauge", 0.05, true),
            ("100", "94", "gauge", 0.05, false),
            ("0", "0.001", "gauge", 0.05, false),
            ("-100", "-104", "gauge", 0.05, true),
            ("100", "-100", "gauge", 0.05, false),
            ("1", "1.0000000001", "gauge", 0.0, false),
            ("1", "1.0000000001", "counter", 0.0, false),
            ("0.3", "0.30000000000000004", "counter", 0.05, true),
            ("NaN", "NaN", "gauge", 0.0, true),
            ("NaN", "0", "gauge", 0.05, false),
            ("+Inf", "+Inf", "gauge", 0.0, true),
            ("1", "+Inf", "gauge", 0.05, false),
            ("+Inf", "1", "gauge", 0.05, false),
            ("-0", "0", "gauge", 0.0, true),
        ] {
            assert_eq!(value(old, new, kind, tolerance), same, "{kind} {old} {new} {tolerance}");
        }
    }

    #[test]
    fn a_second_old_reading_teaches_what_moves() {
        let differs = |kind: &str, before: &str, new: &str, after: &str| {
            let [before, new, after] =
                [before, new, after].map(|v| exposition(&format!("# TYPE a {kind}\na {v}\n")));
            let report = compare_readings(
                &[&before, &after],
                &[&new],
                &Options { tolerance: 0.0, rules: Rules::none() },
            );
            !report.value_differences.is_empty()
        };
        assert!(!differs("counter", "100", "150", "200"));
        assert!(!differs("counter", "100", "290", "200"), "near the readings");
        assert!(differs("counter", "100", "301", "200"));
        assert!(differs("counter", "100", "101", "100"), "a counter that stands still");
        assert!(!differs("gauge", "100", "60", "50"));
        assert!(differs("gauge", "100", "-1", "50") && differs("gauge", "100", "160", "50"));
    }

    #[test]
    fn what_comes_and_goes_between_readings_is_no_difference() {
        let readings =
            |texts: &[&str]| -> Vec<Exposition> { texts.iter().map(|text| exposition(text)).collect() };
        let old = readings(&["a 1\nb 1\nc 1\n", "a 1\nc 1\n", "a 1\nc 1\n"]);
        let new = readings(&["a 5\nd 1\n", "a 1\n"]);
        let (old, new): (Vec<_>, Vec<_>) = (old.iter().collect(), new.iter().collect());
        let report = compare_readings(&old, &new, &Options::exact());
        assert_eq!(report.missing_families.iter().map(|f| f.family.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!((report.extra_families.len(), report.value_differences.len()), (0, 0));
    }

    #[test]
    fn what_is_ignored_is_counted() {
        let old = "go_x 1\nprocess_y 1\nprocess_z 1\na 1\n";
        let report = diff(old, "process_y 2\na 1\ngo_z 1\n", &Options::default());
        assert_eq!((report.ignored.series, report.ignored.values), (2, 1));
        assert_eq!(report.missing_families.len(), 1, "a process metric has to be there: {report}");
    }
}
