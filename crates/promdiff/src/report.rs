//! What a comparison found, and how it is told.

use std::collections::BTreeMap;
use std::fmt;

use exporter::text::{Number, number_into};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Report {
    /// What the old side has, without what is ignored.
    pub old: Side,
    /// What the new side has, without what is ignored.
    pub new: Side,
    /// What was compared.
    pub compared: Compared,
    /// What was not.
    pub ignored: Ignored,
    /// Families that only the old side has.
    pub missing_families: Vec<FamilyItem>,
    /// Families that only the new side has; the one finding that does not make a swap unsafe.
    pub extra_families: Vec<FamilyItem>,
    /// Families with another type.
    pub type_changes: Vec<TypeChange>,
    /// Metrics whose series have other labels. Their series are not among the missing and the extra ones.
    pub label_changes: Vec<LabelChange>,
    /// Series that only the old side has, of families that both have.
    pub missing_series: Vec<SeriesItem>,
    /// Series that only the new side has, of families that both have.
    pub extra_series: Vec<SeriesItem>,
    /// Series that the new side gives more than once, of which Prometheus drops all but one.
    pub duplicates: Vec<SeriesItem>,
    /// Values that differ by more than time explains.
    pub value_differences: Vec<ValueDifference>,
}

/// The size of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Side {
    /// Families.
    pub families: usize,
    /// Series.
    pub series: usize,
}

/// What both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Compared {
    /// Families of the same name, whose types were compared.
    pub families: usize,
    /// Series of the same name and labels, whose values were compared.
    pub series: usize,
}

/// What the rules left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Ignored {
    /// Series, of either side.
    pub series: usize,
    /// Values of series that both sides have.
    pub values: usize,
}

/// A family of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct FamilyItem {
    /// Its name.
    pub family: String,
    /// Its type, as a word.
    pub kind: &'static str,
    /// How many series it has.
    pub series: usize,
}

/// A family with two types.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct TypeChange {
    /// Its name.
    pub family: String,
    /// The old side's type.
    pub old: &'static str,
    /// The new side's type.
    pub new: &'static str,
}

/// A metric whose series have other label names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct LabelChange {
    /// The family.
    pub family: String,
    /// The metric: the family's name, with a suffix if it is part of a histogram or summary.
    pub name: String,
    /// Labels that no series of the new side has.
    pub lost: Vec<String>,
    /// Labels that no series of the old side has.
    pub gained: Vec<String>,
    /// How many of the old series this explains.
    pub series: usize,
}

/// A series of one side.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct SeriesItem {
    /// The family.
    pub family: String,
    /// The series: `name{label="value"}`.
    pub series: String,
    /// Its value.
    #[cfg_attr(feature = "cli", serde(serialize_with = "json_number"))]
    pub value: f64,
}

/// A series with two values.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct ValueDifference {
    /// The family.
    pub family: String,
    /// The series: `name{label="value"}`.
    pub series: String,
    /// Whether it only grows.
    pub cumulative: bool,
    /// The old side's value.
    #[cfg_attr(feature = "cli", serde(serialize_with = "json_number"))]
    pub old: f64,
    /// The new side's value.
    #[cfg_attr(feature = "cli", serde(serialize_with = "json_number"))]
    pub new: f64,
    /// The old side's value after that, if it was read again.
    #[cfg_attr(feature = "cli", serde(serialize_with = "json_optional_number"))]
    pub old_again: Option<f64>,
}

#[cfg(feature = "cli")]
fn json_number<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // JSON has no NaN and no infinities: they are texts, as in the exposition.
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&number(*value))
    }
}

#[cfg(feature = "cli")]
#[allow(clippy::ref_option, reason = "serde passes a reference to the field")]
fn json_optional_number<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => json_number(value, serializer),
        None => serializer.serialize_none(),
    }
}

impl Report {
    /// Whether nothing was found that a dashboard or an alert could notice: all is there, under the same names, types and labels,
    /// with values that time explains. Whole families that are new do no harm.
    pub fn is_safe(&self) -> bool {
        self.missing_families.is_empty()
            && self.type_changes.is_empty()
            && self.label_changes.is_empty()
            && self.missing_series.is_empty()
            && self.extra_series.is_empty()
            && self.duplicates.is_empty()
            && self.value_differences.is_empty()
    }

    /// The report for people, with at most `most` series a family.
    pub fn table(&self, most: usize) -> Table<'_> {
        Table { report: self, most }
    }

    /// What makes the swap unsafe, in a few words; empty if nothing does.
    pub fn verdict(&self) -> Vec<String> {
        [
            (self.missing_families.len(), "family missing", "families missing"),
            (self.type_changes.len(), "type changed", "types changed"),
            (self.label_changes.len(), "label set changed", "label sets changed"),
            (self.missing_series.len(), "series missing", "series missing"),
            (self.extra_series.len(), "series extra", "series extra"),
            (self.duplicates.len(), "series given twice", "series given twice"),
            (self.value_differences.len(), "value differs", "values differ"),
        ]
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| counted(count, one, many))
        .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(10).fmt(f)
    }
}

/// A [`Report`] laid out for people.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    report: &'a Report,
    most: usize,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        family_section(f, "Families missing from NEW", &report.missing_families)?;
        let types =
            report.type_changes.iter().map(|c| vec![c.family.clone(), format!("{} -> {}", c.old, c.new)]);
        section(f, "Types changed", &types.collect::<Vec<_>>())?;
        let list = |labels: &[String]| if labels.is_empty() { "-".to_owned() } else { labels.join(",") };
        let labels = report.label_changes.iter().map(|c| {
            vec![
                c.name.clone(),
                format!("lost {}", list(&c.lost)),
                format!("gained {}", list(&c.gained)),
                format!("{} series", c.series),
            ]
        });
        section(f, "Label sets changed", &labels.collect::<Vec<_>>())?;
        self.series(f, "Series missing from NEW", "OLD", &report.missing_series)?;
        self.series(f, "Series only in NEW, of families that OLD has", "NEW", &report.extra_series)?;
        self.series(f, "Series that NEW gives more than once", "NEW", &report.duplicates)?;
        self.values(f)?;
        family_section(f, "Families only in NEW (does no harm)", &report.extra_families)?;
        let Report { old, new, compared, ignored, .. } = report;
        let families = |count| counted(count, "family", "families");
        let row =
            |name: &str, middle, series| vec![name.to_owned(), middle, counted(series, "series", "series")];
        let rows = [
            row("OLD", families(old.families), old.series),
            row("NEW", families(new.families), new.series),
            row("both", families(compared.families), compared.series),
            row("ignored", counted(ignored.values, "value", "values"), ignored.series),
        ];
        write_rows(f, "", &rows, true)
    }
}

impl Table<'_> {
    fn series(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        side: &str,
        items: &[SeriesItem],
    ) -> fmt::Result {
        let rows = items.iter().map(|i| (i.family.as_str(), i.series.as_str(), vec![number(i.value)]));
        self.grouped(f, title, &[side], rows.collect())
    }

    fn values(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = self.report.value_differences.iter().any(|d| d.old_again.is_some());
        let rows = self.report.value_differences.iter().map(|d| {
            let mut cells = vec![number(d.old), number(d.new), change(d)];
            if again {
                cells.insert(2, d.old_again.map(number).unwrap_or_default());
            }
            (d.family.as_str(), d.series.as_str(), cells)
        });
        let heads: &[&str] =
            if again { &["OLD", "NEW", "OLD again", "change"] } else { &["OLD", "NEW", "change"] };
        self.grouped(f, "Values that differ by more than time explains", heads, rows.collect())
    }

    /// Rows by family: its name and how many there are, then the first of them by their labels.
    fn grouped(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        heads: &[&str],
        rows: Vec<(&str, &str, Vec<String>)>,
    ) -> fmt::Result {
        if rows.is_empty() {
            return Ok(());
        }
        let mut by_family: BTreeMap<&str, Vec<(&str, Vec<String>)>> = BTreeMap::new();
        let count = rows.len();
        for (family, series, cells) in rows {
            by_family.entry(family).or_default().push((series, cells));
        }
        writeln!(f, "{title} ({count} in {})", counted(by_family.len(), "family", "families"))?;
        // One set of columns for the whole section.
        let mut lines: Vec<(String, Vec<String>)> =
            vec![(String::new(), heads.iter().map(ToString::to_string).collect())];
        for (family, series) in by_family {
            if let [(text, cells)] = &series[..] {
                lines.push(((*text).to_owned(), cells.clone()));
                continue;
            }
            lines.push((format!("{family} ({})", series.len()), Vec::new()));
            for (text, cells) in series.iter().take(self.most) {
                lines.push((
                    format!("  {}", text.strip_prefix(family).filter(|t| t.starts_with('{')).unwrap_or(text)),
                    cells.clone(),
                ));
            }
            if series.len() > self.most {
                lines.push((format!("  ... {} more", series.len() - self.most), Vec::new()));
            }
        }
        write_lines(f, &lines)?;
        writeln!(f)
    }
}

/// How far from each other two values are: as a percentage, or as a factor if that says more.
fn change(difference: &ValueDifference) -> String {
    let ValueDifference { old, new, .. } = *difference;
    if !old.is_finite() || !new.is_finite() || old == 0.0 {
        return String::new();
    }
    let ratio = new / old;
    if ratio == 0.0 {
        "-100 %".to_owned()
    } else if ratio > 0.0 && !(0.1..10.0).contains(&ratio) {
        if ratio > 1.0 { format!("x {}", rounded(ratio)) } else { format!("/ {}", rounded(1.0 / ratio)) }
    } else {
        let percent = (ratio - 1.0) * 100.0;
        let digits = if percent.abs() < 0.1 { return "< 0.1 %".to_owned() } else { rounded(percent.abs()) };
        format!("{}{digits} %", if percent < 0.0 { '-' } else { '+' })
    }
}

/// Three digits are enough for a ratio.
fn rounded(value: f64) -> String {
    if value >= 100.0 { number(value.round()) } else { number((value * 10.0).round() / 10.0) }
}

fn family_section(f: &mut fmt::Formatter<'_>, title: &str, items: &[FamilyItem]) -> fmt::Result {
    let rows =
        items.iter().map(|i| vec![i.family.clone(), i.kind.to_owned(), format!("{} series", i.series)]);
    section(f, title, &rows.collect::<Vec<_>>())
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, rows: &[Vec<String>]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title} ({})", rows.len())?;
    write_rows(f, "  ", rows, false)?;
    writeln!(f)
}

/// Columns, left-aligned but for the numbers with a noun of the summary.
fn write_rows(f: &mut fmt::Formatter<'_>, indent: &str, rows: &[Vec<String>], right: bool) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = indent.to_owned();
        for (i, cell) in row.iter().enumerate() {
            let width = widths[i];
            line.push_str(&if right && i > 0 {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            });
            line.push_str("  ");
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Right-aligned cells, and after them the text, which may be of any length.
fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[(String, Vec<String>)]) -> fmt::Result {
    let columns = lines.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let cell = |cells: &[String], column: usize| cells.get(column).cloned().unwrap_or_default();
    let width = |column| lines.iter().map(|(_, cells)| cell(cells, column).chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for (text, cells) in lines {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            line.push_str(&format!("  {:>width$}", cell(cells, column)));
        }
        line.push_str("  ");
        line.push_str(text);
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A value as an exposition prints it.
pub(crate) fn number(value: f64) -> String {
    let mut out = Vec::new();
    number_into(&mut out, Number::F(value));
    String::from_utf8_lossy(&out).into_owned()
}
