//! The tables in `docs/` say what the program says: flags and collectors as the product declares them, and every metric as the
//! collectors write it over trees. `UPDATE_DOCS=1` rewrites the tables.
//!
//! Some families come from trees that are not part of this repository, and some from the running kernel. Where those are not at
//! hand their rows are taken as they stand.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use common::{args_of, binary, lacks, parsed};
use exporter::Flag;
use exporter::flags::Takes;
use node_exporter::PRODUCT;
use node_exporter::collectors::{ALL, LACKING};
use testbed::docs::{self, cell, code, is_update, table};
use testbed::exposition::{Exposition, Family, split};
use testbed::process::Exporter;
use testbed::tree::{Host, Tree};
use testbed::{recorded, shared, tree};

/// What the exporter says of itself, in place of a collector's name.
const ITSELF: &str = "The exporter itself";

/// Collectors that ask the running kernel, and what else is switched on for them.
const KERNEL: &[(&str, &[&str])] = &[
    ("arp", &[]),
    ("netclass", &["--collector.netclass.netlink", "--collector.netclass_rtnl.with-stats"]),
    ("netclass", &["--collector.netclass.netlink"]),
    ("netdev", &["--collector.netdev.enable-detailed-metrics"]),
    ("netdev", &["--collector.netdev.address-info"]),
    ("qdisc", &[]),
    ("selinux", &[]),
    ("timex", &[]),
    ("uname", &[]),
];

fn check(name: &str, of: &str, expected: &str) {
    docs::check("node-exporter", name, of, expected);
}

fn flags_table() -> String {
    let flags = PRODUCT.all_flags();
    let is_switch_of_a_collector = |flag: &Flag| {
        let name = flag.name.strip_prefix("collector.").unwrap_or("");
        lacks(name) || ALL.iter().any(|entry| entry.name == name)
    };
    let mut table = String::from("| Flag | Default | Meaning | Old name |\n|---|---|---|---|\n");
    for flag in flags.iter().filter(|flag| {
        flag.replaced_by.is_none() && !is_switch_of_a_collector(flag) && !is_of_lacking(flag.name)
    }) {
        let default = match flag.takes {
            Takes::Switch(on) => if on { "on" } else { "off" }.to_owned(),
            Takes::Text(default) => code(default),
            Takes::OneOf(values) => code(values[0]),
            Takes::Number(default) => code(&default.to_string()),
            Takes::List(values) => values.iter().map(|value| code(value)).collect::<Vec<_>>().join(" "),
        };
        let mut meaning = cell(flag.help);
        match flag.takes {
            Takes::OneOf(values) => write!(meaning, " One of {}.", values.join(", ")).unwrap(),
            Takes::List(_) => meaning.push_str(" Repeatable."),
            _ => {}
        }
        if let Some(variable) = flag.env {
            write!(meaning, " Environment: `{variable}`.").unwrap();
        }
        if flag.hidden {
            meaning.push_str(" Not in `--help`.");
        }
        let old = flags.iter().filter(|old| old.replaced_by == Some(flag.name));
        let old = old.map(|old| code(&format!("--{}", old.name))).collect::<Vec<_>>().join(" ");
        writeln!(table, "| `--{}` | {default} | {meaning} | {old} |", flag.name).unwrap();
    }
    table
}

fn collectors_table() -> String {
    let mut table = String::from("| Collector | Default | What it reads |\n|---|---|---|\n");
    for entry in ALL {
        let on = if entry.on { "on" } else { "off" };
        writeln!(table, "| `{}` | {on} | {} |", entry.name, cell(entry.help)).unwrap();
    }
    table
}

#[test]
fn flags_and_collectors_are_as_documented() {
    check("node-exporter.md", "flags", &flags_table());
    check("node-exporter.md", "collectors", &collectors_table());
    let lacking: Vec<_> = LACKING.iter().map(|entry| code(entry.name)).collect();
    check("node-exporter.md", "lacking", &format!("{}\n", lacking.join(", ")));
}

/// Whether a flag is of a collector that is not here.
fn is_of_lacking(flag: &str) -> bool {
    let name = flag.strip_prefix("collector.").unwrap_or("");
    lacks(name.split('.').next().unwrap_or(""))
}

#[test]
fn everything_has_a_short_help() {
    let entries = ALL.iter().map(|entry| (entry.name, entry.help));
    let flags = PRODUCT.all_flags();
    let told = |flag: &&Flag| flag.replaced_by.is_none() && !is_of_lacking(flag.name);
    for (name, help) in entries.chain(flags.iter().filter(told).map(|flag| (flag.name, flag.help))) {
        assert!(help.ends_with('.') && (10..100).contains(&help.len()), "{name}: {help:?}");
    }
}

/// What is documented of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// Rows by collector, then by family.
type Rows = BTreeMap<(String, String), Row>;

fn label_names(sample: &str) -> impl Iterator<Item = &str> {
    let (series, _) = split(sample);
    let labels = series.split_once('{').map_or("", |(_, labels)| labels);
    // A name stands before each ="; one inside of a value has its quotation mark escaped.
    labels.split("=\"").filter_map(|part| {
        let name = part.rsplit(['"', ',', '{']).next()?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(is_name)).then_some(name)
    })
}

fn add(rows: &mut Rows, collector: &str, family: &Family) {
    let labels = family.samples.iter().flat_map(|sample| label_names(sample));
    // What belongs to a histogram's or summary's samples, and not to its series.
    let labels = labels.filter(|name| !["le", "quantile"].contains(name)).map(str::to_owned);
    let row = rows.entry((collector.to_owned(), family.name.clone())).or_insert_with(|| Row {
        kind: family.kind.clone(),
        labels: BTreeSet::new(),
        help: cell(&family.help),
    });
    assert_eq!(row.kind, family.kind, "{}", family.name);
    row.labels.extend(labels);
}

fn is_about_the_exporter(family: &str) -> bool {
    ["node_exporter_build_info", "node_scrape_collector_", "process_", "promhttp_"]
        .iter()
        .any(|prefix| family.starts_with(prefix))
}

/// Adds what each collector writes under a command line.
fn run<S: AsRef<str> + AsRef<std::ffi::OsStr>>(rows: &mut Rows, args: &[S], cwd: &Path) {
    let exporter = Exporter::start(&binary(), args, cwd);
    let mut client = exporter.client();
    let mut scrape =
        |query: &str| -> Exposition { parsed(&client.get(&format!("/metrics{query}"), &[]).text()) };
    let all = scrape("");
    all.families
        .iter()
        .filter(|family| is_about_the_exporter(&family.name))
        .for_each(|family| add(rows, ITSELF, family));
    let Some(success) = all.family("node_scrape_collector_success") else { return };
    for sample in &success.samples {
        let name = testbed::exposition::label(sample, "collector").unwrap();
        for family in &scrape(&format!("?collect[]={name}")).families {
            let is_of_a_file = name == "textfile" && !family.name.starts_with("node_textfile_");
            if !is_about_the_exporter(&family.name) && !is_of_a_file {
                add(rows, &name, family);
            }
        }
    }
}

/// What comes from trees in this repository, every collector switched on that is not switched off.
fn from_own_trees(rows: &mut Rows) {
    let rare = Tree::parse(include_str!("rare.tree"));
    let trees = [(tree::vm(), recorded::vm_args()), (&rare, recorded::big_args())];
    for (tree, args) in trees {
        let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        for entry in ALL.iter().filter(|entry| !entry.on) {
            let switch = format!("--collector.{}", entry.name);
            if !args.contains(&switch) {
                args.push(switch);
            }
        }
        run(rows, &args, &Host::new(tree).path(""));
    }
}

/// What comes from the reference's fixture tree; false if it is not at hand.
fn from_outside_trees(rows: &mut Rows) -> bool {
    let Some(tree) = shared::node_tree() else {
        shared::skipped("metrics of the reference's fixtures", "they are not at hand (set NODE_FIXTURES)");
        return false;
    };
    let dir = tree.unpacked();
    let node = dir.path().join("node");
    let cases = std::fs::read_dir(node.join("cases")).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        cases.filter(|path| path.extension().is_some_and(|extension| extension == "args")).collect();
    cases.sort();
    let mut reference = args_of(&node.join("reference.args"));
    let paths: Vec<String> = reference.iter().filter(|arg| arg.starts_with("--path.")).cloned().collect();
    // These narrow what is told.
    reference.retain(|arg| !arg.contains("-include=") || arg.contains(".info."));
    run(rows, &reference, dir.path());
    for case in cases {
        let args = args_of(&case);
        let is_ours =
            args.iter().any(|arg| ALL.iter().any(|entry| *arg == format!("--collector.{}", entry.name)));
        if is_ours {
            run(rows, &args, dir.path());
        }
    }
    let every: Vec<String> = ALL
        .iter()
        .filter(|entry| !KERNEL.iter().any(|(name, _)| *name == entry.name))
        .map(|entry| format!("--collector.{}", entry.name))
        .chain(paths)
        .chain(
            ["--collector.disable-defaults", "--collector.netdev", "--no-collector.netdev.netlink"]
                .map(str::to_owned),
        )
        .chain(["--collector.netclass", "--collector.netdev.enable-detailed-metrics"].map(str::to_owned))
        .collect();
    run(rows, &every, dir.path());
    true
}

fn from_the_kernel(rows: &mut Rows) {
    for (name, more) in KERNEL {
        let switch = format!("--collector.{name}");
        let args: Vec<&str> =
            ["--collector.disable-defaults", &switch].into_iter().chain(more.iter().copied()).collect();
        run(rows, &args, Path::new("/"));
    }
}

fn to_text(rows: &Rows) -> String {
    let mut text = String::new();
    let order = |collector: &str| (collector != ITSELF, collector.to_owned());
    let collectors: BTreeSet<_> = rows.keys().map(|(collector, _)| order(collector)).collect();
    for (_, collector) in collectors {
        let first = (collector.clone(), String::new());
        writeln!(text, "\n## {collector}\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|")
            .unwrap();
        for ((_, family), row) in rows.range(first..).take_while(|((name, _), _)| *name == collector) {
            let labels: Vec<_> = row.labels.iter().map(|label| code(label)).collect();
            let Row { kind, help, .. } = row;
            writeln!(text, "| `{family}` | {kind} | {} | {help} |", labels.join(" ")).unwrap();
        }
    }
    text.push('\n');
    text
}

fn from_text(text: &str) -> Rows {
    let mut rows = Rows::new();
    let mut collector = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            collector = name.to_owned();
        }
        let Some(line) = line.strip_prefix("| `").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = line.splitn(4, " | ").collect();
        let [family, kind, labels, help] = cells[..] else { panic!("four columns in {line:?}") };
        let row = Row {
            kind: kind.to_owned(),
            labels: labels.split(' ').map(|label| label.trim_matches('`').to_owned()).collect(),
            help: help.to_owned(),
        };
        rows.insert((collector.clone(), family.trim_end_matches('`').to_owned()), row);
    }
    rows
}

#[test]
fn metrics_are_as_documented() {
    let mut rows = Rows::new();
    from_own_trees(&mut rows);
    let whole = from_outside_trees(&mut rows);
    let text = docs::read("metrics.md");
    let listed = from_text(table(&text, "metrics"));
    if is_update() {
        from_the_kernel(&mut rows);
        if !whole {
            for (key, row) in listed {
                let known = rows.entry(key).or_insert_with(|| row.clone());
                known.labels.extend(row.labels.into_iter().filter(|label| !label.is_empty()));
            }
        }
        return check("metrics.md", "metrics", &to_text(&rows));
    }
    let mut wrong = Vec::new();
    for (key, row) in &rows {
        let Some(listed) = listed.get(key) else {
            wrong.push(format!("not listed: {key:?} {row:?}"));
            continue;
        };
        if listed.kind != row.kind || listed.help != row.help || !row.labels.is_subset(&listed.labels) {
            wrong.push(format!("{key:?} is listed as {listed:?}, and is {row:?}"));
        }
    }
    let of_the_kernel = |collector: &str| KERNEL.iter().any(|(name, _)| *name == collector);
    for key in listed.keys().filter(|key| whole && !of_the_kernel(&key.0) && !rows.contains_key(*key)) {
        wrong.push(format!("listed, and written by nothing: {key:?}"));
    }
    assert!(
        wrong.is_empty(),
        "docs/metrics.md:\n{}\n\
         Run UPDATE_DOCS=1 cargo test -p node-exporter --test docs, and look at the difference.",
        wrong.join("\n")
    );
}
