//! Which queries of dashboards and rule files would lose their data.
//!
//! A query loses data if one of its selectors matches a series of the old side and none of the new side. Series on their way to
//! Prometheus gain labels (`job`, `instance`, what a rule adds), so a matcher on a label that no old series of that metric has is taken to
//! be about one of those, and passes. So does a matcher whose value has a Grafana variable in it.
//!
//! Files are JSON (Grafana dashboards, of either schema, and alert rules) or YAML (Prometheus rule files, `PrometheusRule` objects). In both
//! every `expr` is a query, wherever it stands, and so is every variable's `label_values(…)` or `query_result(…)`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use exporter::text::parse::Exposition;
use promql_parser::label::Matcher;
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

use crate::series::labels;

/// A query, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Query {
    /// The file.
    pub file: String,
    /// The titles on the way to it, or the name of its rule or variable.
    pub place: String,
    /// Its text.
    pub query: String,
}

/// A query that would lose data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Lost {
    /// Which query.
    #[serde(flatten)]
    pub query: Query,
    /// Its selectors that match a series of the old side and none of the new.
    pub selectors: Vec<String>,
}

/// A query that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    /// Which query.
    #[serde(flatten)]
    pub query: Query,
    /// Why.
    pub why: String,
}

/// What was found in a set of files.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Queries {
    /// How many queries there are.
    pub found: usize,
    /// How many of them match at least one series of the old side.
    pub matching: usize,
    /// Those that would lose data.
    pub lost: Vec<Lost>,
    /// Those that could not be parsed, even with something in the place of their variables.
    pub unread: Vec<Unread>,
}

/// Takes the queries out of a file's text.
///
/// # Errors
/// A text that is neither JSON nor YAML.
pub fn extract(file: &str, text: &str) -> Result<Vec<Query>, String> {
    let documents = if text.trim_start().starts_with(['{', '[']) {
        vec![serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?]
    } else {
        let documents = Yaml::load_from_str(text).map_err(|error| format!("not YAML: {error}"))?;
        documents.into_iter().map(|document| json(&document)).collect()
    };
    let mut finder = Finder { file, places: Vec::new(), queries: BTreeSet::new(), ordered: Vec::new() };
    for document in &documents {
        finder.walk(document, false);
    }
    Ok(finder.ordered)
}

/// Checks queries against two expositions.
pub fn check(queries: &[Query], old: &Exposition, new: &Exposition) -> Queries {
    let (old, new) = (Database::new(old), Database::new(new));
    let mut result = Queries { found: queries.len(), ..Queries::default() };
    for query in queries {
        match Asked::parse(&query.query) {
            Ok(asked) => {
                let mut lost = Vec::new();
                let mut matching = false;
                for (selector, label) in &asked.selectors {
                    let known = old.labels_of(selector);
                    let has = |db: &Database<'_>| db.has(selector, label.as_deref(), &known);
                    if has(&old) {
                        matching = true;
                        if !has(&new) {
                            lost.push(describe(selector, label.as_deref()));
                        }
                    }
                }
                result.matching += usize::from(matching);
                lost.sort();
                lost.dedup();
                if !lost.is_empty() {
                    result.lost.push(Lost { query: query.clone(), selectors: lost });
                }
            }
            Err(why) => result.unread.push(Unread { query: query.clone(), why }),
        }
    }
    result
}

/// YAML as JSON, with keys as texts.
fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::String(text)) => Value::String(text.to_string()),
        Yaml::Representation(text, ..) => Value::String(text.to_string()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(json).collect()),
        Yaml::Mapping(entries) => {
            let entries =
                entries.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), json(value))));
            Value::Object(entries.collect())
        }
        Yaml::Tagged(_, inner) => json(inner),
        _ => Value::Null,
    }
}

struct Finder<'a> {
    file: &'a str,
    places: Vec<String>,
    queries: BTreeSet<Query>,
    ordered: Vec<Query>,
}

impl Finder<'_> {
    /// `foreign`: below a panel of another kind of data source.
    fn walk(&mut self, value: &Value, foreign: bool) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, foreign)),
            Value::Object(object) => {
                let text =
                    |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
                let place = text("title").or(text("alert")).or(text("record"));
                let depth = self.places.len();
                if let Some(place) = place {
                    self.places.push(place.to_owned());
                }
                let source =
                    object.get("datasource").and_then(|source| source.get("type")).and_then(Value::as_str);
                let foreign = match source {
                    Some("prometheus") => false,
                    Some("datasource" | "mixed" | "") | None => foreign,
                    Some(_) => true,
                };
                if let Some(expr) = text("expr").filter(|_| !foreign) {
                    self.add(expr);
                }
                for variable in [text("query"), text("definition")].into_iter().flatten() {
                    if VARIABLE_FUNCTIONS.iter().any(|function| variable.trim_start().starts_with(function)) {
                        self.places.extend(text("name").map(|name| format!("${name}")));
                        self.add(variable);
                    }
                }
                object.values().for_each(|value| self.walk(value, foreign));
                self.places.truncate(depth);
            }
            _ => {}
        }
    }

    fn add(&mut self, query: &str) {
        let query = Query {
            file: self.file.to_owned(),
            place: self.places.join(" / "),
            query: query.trim().to_owned(),
        };
        if self.queries.insert(query.clone()) {
            self.ordered.push(query);
        }
    }
}

/// Functions that only Grafana's variables have.
const VARIABLE_FUNCTIONS: [&str; 4] = ["label_values(", "query_result(", "metrics(", "label_names("];

/// What a query asks for: its selectors, and for `label_values` the label.
struct Asked {
    selectors: Vec<(VectorSelector, Option<String>)>,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, String> {
        let inside =
            |function: &str| query.strip_prefix(function).and_then(|rest| rest.trim_end().strip_suffix(')'));
        if inside("metrics(").is_some() || inside("label_names(").is_some() {
            return Ok(Asked { selectors: Vec::new() });
        }
        if let Some(query) = inside("query_result(") {
            return Ok(Asked { selectors: expression(query)?.into_iter().map(|s| (s, None)).collect() });
        }
        if let Some(arguments) = inside("label_values(") {
            let (selectors, label) = match arguments.rsplit_once(',') {
                Some((selector, label)) if !label.contains('}') => (expression(selector)?, label),
                _ => (vec![VectorSelector::default()], arguments),
            };
            let label = label.trim();
            let label = (!label.contains('$')).then(|| label.to_owned());
            return Ok(Asked { selectors: selectors.into_iter().map(|s| (s, label.clone())).collect() });
        }
        Ok(Asked { selectors: expression(query)?.into_iter().map(|s| (s, None)).collect() })
    }
}

/// The selectors of an expression with variables in it.
fn expression(query: &str) -> Result<Vec<VectorSelector>, String> {
    // A variable may stand for a name, a number, a duration or an aggregation: the first that makes sense of the query does.
    let mut why = String::new();
    for filler in [NAME_FILLER, "1", "5m", "sum"] {
        match parser::parse(&substitute(query, filler)) {
            Ok(expr) => {
                let mut selectors = Selectors(Vec::new());
                let Ok(_) = walk_expr(&mut selectors, &expr);
                return Ok(selectors.0);
            }
            Err(error) if why.is_empty() => why = error,
            Err(_) => {}
        }
    }
    Err(why.lines().next().unwrap_or_default().to_owned())
}

struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.0.push(matrix.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// Stands for a variable in a text; a private character, so that no dashboard has it.
const IN_TEXT: char = '\u{e000}';

/// Stands for a variable in the place of a name.
const NAME_FILLER: &str = "promdiff_variable";

/// Puts something in the place of each of Grafana's variables: `$name`, `${name}`, `${name:format}`, `[[name]]`.
fn substitute(query: &str, filler: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut quote = None;
    let mut brackets = 0usize;
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        if let Some((name, length)) = variable(rest) {
            if quote.is_some() {
                out.push(IN_TEXT);
            } else if brackets > 0 || out.trim_end().ends_with("offset") {
                out.push_str("5m");
            } else {
                out.push_str(match name {
                    "__from" | "__to" | "__range_s" | "__range_ms" | "__interval_ms"
                    | "__rate_interval_ms" => "1",
                    "__interval" | "__rate_interval" | "__range" => "5m",
                    _ => filler,
                });
            }
            rest = &rest[length..];
            continue;
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
        match (quote, c) {
            (Some('"' | '\''), '\\') => {
                if let Some(escaped) = rest.chars().next() {
                    out.push(escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
            }
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '[') => brackets += 1,
            (None, ']') => brackets = brackets.saturating_sub(1),
            _ => {}
        }
    }
    out
}

/// A variable at the start of `text`: its name, and how many bytes it takes.
fn variable(text: &str) -> Option<(&str, usize)> {
    let (open, close) =
        [("${", "}"), ("[[", "]]"), ("$", "")].into_iter().find(|(open, _)| text.starts_with(open))?;
    let inside = &text[open.len()..];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = inside.find(|c| !is_word(c)).unwrap_or(inside.len());
    let name = &inside[..length];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if close.is_empty() {
        return Some((name, open.len() + length));
    }
    let end = inside.find(close)?;
    let format = &inside[length..end];
    (format.is_empty() || format.starts_with([':', '.'])).then_some((name, open.len() + end + close.len()))
}

/// The series of an exposition, by name.
struct Database<'a> {
    by_name: HashMap<String, Vec<BTreeMap<&'a str, &'a str>>>,
}

impl<'a> Database<'a> {
    fn new(exposition: &'a Exposition) -> Self {
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for family in &exposition.families {
            for sample in &family.samples {
                let name = format!("{}{}", family.name, sample.part.suffix());
                by_name.entry(name).or_default().push(labels(sample));
            }
        }
        Database { by_name }
    }

    fn candidates(
        &self,
        selector: &VectorSelector,
    ) -> impl Iterator<Item = (&String, &BTreeMap<&'a str, &'a str>)> {
        let name = selector.name.as_ref().filter(|name| !name.is_empty());
        let named = self.by_name.iter().filter(move |(candidate, _)| match name {
            Some(name) => *candidate == name,
            None => true,
        });
        named.flat_map(|(name, series)| series.iter().map(move |labels| (name, labels)))
    }

    /// The label names of the series among which a selector chooses.
    fn labels_of(&self, selector: &VectorSelector) -> BTreeSet<&'a str> {
        self.candidates(selector).flat_map(|(_, labels)| labels.keys().copied()).collect()
    }

    /// Whether a series matches and, if `label` is given and known at all, has it.
    fn has(&self, selector: &VectorSelector, label: Option<&str>, known: &BTreeSet<&str>) -> bool {
        let label = label.filter(|label| known.contains(label));
        let passes = |matcher: &Matcher, name: &str, labels: &BTreeMap<&str, &str>| {
            if matcher.value.contains(IN_TEXT) {
                return true;
            }
            match matcher.name.as_str() {
                "__name__" => matcher.is_match(name),
                other if known.contains(other) => {
                    matcher.is_match(labels.get(other).copied().unwrap_or_default())
                }
                _ => true,
            }
        };
        let matchers = &selector.matchers;
        self.candidates(selector).any(|(name, labels)| {
            let all = |matchers: &[Matcher]| matchers.iter().all(|matcher| passes(matcher, name, labels));
            let fits = if matchers.or_matchers.is_empty() {
                all(&matchers.matchers)
            } else {
                matchers.or_matchers.iter().any(|group| all(group))
            };
            fits && label.is_none_or(|label| labels.contains_key(label))
        })
    }
}

fn describe(selector: &VectorSelector, label: Option<&str>) -> String {
    let mut plain = selector.clone();
    plain.offset = None;
    plain.at = None;
    let text = plain.to_string().replace(IN_TEXT, "$...");
    match label {
        Some(label) => {
            format!("label {label} of {}", if text.is_empty() || text == "{}" { "any series" } else { &text })
        }
        None => text,
    }
}

impl fmt::Display for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = |f: &mut fmt::Formatter<'_>, last: &mut String, query: &Query| {
            if *last != query.file {
                last.clone_from(&query.file);
                writeln!(f, "  {}", query.file)?;
            }
            writeln!(f, "    {}", if query.place.is_empty() { "(no title)" } else { &query.place })?;
            writeln!(f, "      {}", query.query.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        if !self.lost.is_empty() {
            writeln!(f, "Queries that would lose data ({} of {})", self.lost.len(), self.found)?;
            let mut last = String::new();
            for lost in &self.lost {
                title(f, &mut last, &lost.query)?;
                for selector in &lost.selectors {
                    writeln!(f, "        nothing in NEW for {selector}")?;
                }
            }
            writeln!(f)?;
        }
        if !self.unread.is_empty() {
            writeln!(f, "Queries that were not understood ({} of {})", self.unread.len(), self.found)?;
            let mut last = String::new();
            for unread in &self.unread {
                title(f, &mut last, &unread.query)?;
                writeln!(f, "        {}", unread.why)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use exporter::text::parse::parse;

    use super::*;

    fn lost(query: &str, old: &str, new: &str) -> Vec<String> {
        let query = Query { file: "f".into(), place: String::new(), query: query.to_owned() };
        let result = check(&[query], &parse(old.as_bytes()).unwrap(), &parse(new.as_bytes()).unwrap());
        assert_eq!(result.unread, []);
        result.lost.into_iter().flat_map(|lost| lost.selectors).collect()
    }

    const CPU: &str = "cpu_total{cpu=\"0\",mode=\"idle\"} 1\ncpu_total{cpu=\"0\",mode=\"user\"} 1\nload1 1\n";

    #[test]
    fn a_query_whose_series_are_gone_loses_data() {
        let new = "cpu_total{cpu=\"0\",mode=\"user\"} 1\n";
        for (query, expected) in [
            ("load1", vec!["load1"]),
            ("load1{job=\"node\"} > 2", vec!["load1{job=\"node\"}"]),
            ("rate(cpu_total[5m])", vec![]),
            ("1 - rate(cpu_total{mode=\"idle\"}[5m] offset 1h)", vec!["cpu_total{mode=\"idle\"}"]),
            (
                "sum by (cpu) (rate(cpu_total{mode=~\"idle|iowait\",instance=\"a:9100\"}[5m]))",
                vec!["cpu_total{instance=\"a:9100\",mode=~\"idle|iowait\"}"],
            ),
            ("cpu_total{mode!=\"user\"}", vec!["cpu_total{mode!=\"user\"}"]),
            ("cpu_total{mode!~\"i.*\"}", vec![]),
            ("cpu_total{mode=\"steal\"}", vec![]),
            ("never_there", vec![]),
            ("{__name__=~\"load.\"}", vec!["{__name__=~\"load.\"}"]),
            ("max_over_time((load1 / 2)[1h:5m]) + cpu_total", vec!["load1"]),
            ("label_values(load1, instance)", vec!["label instance of load1"]),
            ("label_values(cpu_total{mode=\"user\"}, cpu)", vec![]),
            ("label_values(instance)", vec![]),
            ("query_result(load1 > 1)", vec!["load1"]),
            ("metrics(load.*)", vec![]),
        ] {
            assert_eq!(lost(query, CPU, new), expected, "{query}");
        }
    }

    #[test]
    fn a_label_that_is_gone_loses_data_only_where_it_is_asked_for() {
        let new = "cpu_total{mode=\"idle\"} 1\nload1 1\n";
        assert_eq!(lost("label_values(cpu_total, cpu)", CPU, new), ["label cpu of cpu_total"]);
        assert_eq!(lost("label_values(cpu)", CPU, new), ["label cpu of any series"]);
        assert_eq!(lost("cpu_total{cpu=\"0\"}", CPU, new), ["cpu_total{cpu=\"0\"}"]);
        assert!(lost("cpu_total{mode=\"idle\"}", CPU, new).is_empty());
    }

    #[test]
    fn variables_are_filled_in() {
        for query in [
            "rate(load1{instance=\"$node\"}[$__rate_interval])",
            "rate(load1{instance=~\"${node:regex}:[[port]]\"}[$interval])",
            "rate(load1[[[interval]]])",
            "load1 offset $shift",
            "topk($n, load1)",
            "$agg(load1)",
            "load1 > $limit",
            "sum by ($by) (load1)",
            "increase(load1[${__range_s}s])",
            "max_over_time(load1[1h:$__interval])",
            "load1 * $__interval_ms / ${scale}",
            "$metric + load1",
            "label_replace(load1, \"a\", \"$1\", \"b\", \"(.*)$\")",
        ] {
            assert_eq!(lost(query, CPU, "other 1\n").len(), 1, "{query}");
            assert!(lost(query, CPU, CPU).is_empty(), "{query}");
        }
        assert_eq!(
            lost("cpu_total{cpu=\"$cpu\",mode=\"idle\"}", CPU, "cpu_total{cpu=\"0\",mode=\"user\"} 1\n"),
            ["cpu_total{cpu=\"$...\",mode=\"idle\"}"]
        );
        assert!(lost("$metric", CPU, "other 1\n").is_empty());
    }

    #[test]
    fn dashboards() {
        let text = r#"{
            "title": "Node",
            "templating": {"list": [
                {"name": "node", "type": "query", "query": {"query": "label_values(load1, instance)", "refId": "A"},
                 "definition": "label_values(load1, instance)"},
                {"name": "interval", "type": "interval", "query": "1m,10m"}
            ]},
            "annotations": {"list": [{"expr": "changes(boot[1m])", "name": "Boots"}]},
            "panels": [
                {"title": "CPU", "datasource": {"type": "prometheus", "uid": "x"}, "targets": [{"expr": "cpu_total"}, {"expr": ""}]},
                {"title": "Row", "panels": [{"title": "Load", "targets": [{"expr": "load1"}]}]},
                {"title": "Logs", "datasource": {"type": "loki"}, "targets": [{"expr": "{job=\"x\"} |= \"error\""}]},
                {"title": "Broken", "targets": [{"expr": "sum("}]}
            ]}"#;
        let queries = extract("d.json", text).unwrap();
        let mut found: Vec<(&str, &str)> =
            queries.iter().map(|q| (q.place.as_str(), q.query.as_str())).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("Node", "changes(boot[1m])"),
                ("Node / $node", "label_values(load1, instance)"),
                ("Node / Broken", "sum("),
                ("Node / CPU", "cpu_total"),
                ("Node / Row / Load", "load1"),
            ]
            .map(|x| x)
        );
        let result = check(&queries, &parse(CPU.as_bytes()).unwrap(), &parse(b"cpu_total 1\n").unwrap());
        assert_eq!((result.found, result.matching, result.lost.len(), result.unread.len()), (5, 3, 2, 1));
        assert!(
            result.to_string().contains("Node / Row / Load\n      load1\n        nothing in NEW for load1\n"),
            "{result}"
        );
        assert!(extract("d.json", "{").is_err());
    }

    #[test]
    fn rule_files() {
        let text = "groups:\n- name: a\n  rules:\n  - alert: Load\n    expr: |\n      load1\n        > 2\n    for: 5m\n    \
                    annotations: {summary: '{{ $labels.x }}'}\n  - record: cpu:rate\n    expr: rate(cpu_total[5m])\n  - alert: One\n    expr: 1\n";
        let queries = extract("rules.yml", text).unwrap();
        let found: Vec<(&str, &str)> = queries.iter().map(|q| (q.place.as_str(), q.query.as_str())).collect();
        assert_eq!(found, [("Load", "load1\n  > 2"), ("cpu:rate", "rate(cpu_total[5m])")]);
        assert!(extract("rules.yml", "a: [").is_err());
    }
}
