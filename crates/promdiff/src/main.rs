//! Compares two Prometheus expositions: is it safe to put one exporter in the place of another?

mod source;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use exporter::text::parse::Exposition;
use promdiff::queries::{self, Queries};
use promdiff::{Ignore, Options, Report, Rules, compare_readings};

use crate::source::Source;

const SAFE: u8 = 0;
const NOT_SAFE: u8 = 1;
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let matches = command().get_matches();
    match run(&matches) {
        Ok(status) => status.into(),
        Err(message) => {
            let _ = writeln!(io::stderr(), "promdiff: {message}");
            FAILED.into()
        }
    }
}

fn command() -> Command {
    let mut defaults = String::from(
        "OLD and NEW are each a file, - for standard input, or an http:// URL (no path: /metrics).\n\
         If both are URLs they are scraped in turn, OLD last, so that what moves on its own is told from what differs.\n\n\
         Ignored unless --no-default-ignores is given:\n",
    );
    for (pattern, ignore, what) in Rules::default_list() {
        let how = if ignore == Ignore::Series { "series" } else { "value " };
        defaults.push_str(&format!("  {how}  {pattern:<48} {what}\n"));
    }
    defaults.push_str(
        "\nExit status: 0 the swap is safe, 1 it is not, 2 something could not be read.\n\
         Families that only NEW has do no harm; all else that differs makes a swap unsafe.",
    );
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new("promdiff")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Compares two Prometheus expositions: is it safe to put one exporter in the place of the other?",
        )
        .after_help(defaults)
        .arg(Arg::new("old").value_name("OLD").required(true).help("The exporter in use"))
        .arg(Arg::new("new").value_name("NEW").required(true).help("The one that is to take its place"))
        .arg(
            text("tolerance", "PART")
                .value_parser(tolerance)
                .default_value("0.05")
                .help("By how much values may differ: 0.05 is 5 %. Counters may only be higher in NEW"),
        )
        .arg(
            text("again", "FILE")
                .help("OLD read once more after NEW: what lies between the two is no difference"),
        )
        .arg(
            text("rounds", "N")
                .value_parser(value_parser!(u32).range(1..=1000))
                .default_value("3")
                .help("How often each URL is scraped; a value has to differ every time"),
        )
        .arg(
            text("pause", "SECONDS")
                .value_parser(seconds)
                .default_value("1")
                .help("Time between two rounds of scrapes"),
        )
        .arg(
            text("timeout", "SECONDS")
                .value_parser(seconds)
                .default_value("10")
                .help("Time after which a scrape has failed"),
        )
        .arg(
            text("ignore", "REGEX")
                .action(ArgAction::Append)
                .help("Ignore series whose text, name{label=\"value\"}, matches (repeatable)"),
        )
        .arg(
            text("ignore-value", "REGEX")
                .action(ArgAction::Append)
                .help("Ignore the values of such series; they still have to be there (repeatable)"),
        )
        .arg(
            text("ignore-file", "FILE")
                .action(ArgAction::Append)
                .help("A file of such patterns, one a line; \"value: REGEX\" ignores values (repeatable)"),
        )
        .arg(flag("no-default-ignores").help("Compare what is about the exporter itself, too"))
        .arg(text("queries", "FILE").action(ArgAction::Append).help(
            "A Grafana dashboard (JSON) or Prometheus rules (YAML), repeatable: list the queries that would lose data",
        ))
        .arg(flag("all").help("Show every series, not the first ten of each family"))
        .arg(flag("json").help("Print the whole report as JSON"))
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn tolerance(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|part| (0.0..=1e6).contains(part))
        .ok_or_else(|| "must be a number such as 0.05".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be a number of seconds".into())
}

fn run(matches: &ArgMatches) -> Result<u8, String> {
    let options =
        Options { tolerance: *matches.get_one("tolerance").unwrap_or(&0.0), rules: rules(matches)? };
    let queries = read_queries(matches)?;
    let (old, new) = readings(matches)?;
    let report = compare_readings(&old.iter().collect::<Vec<_>>(), &new.iter().collect::<Vec<_>>(), &options);
    let queries = (!queries.is_empty()).then(|| queries::check(&queries, &old[0], &new[0]));
    let safe = report.is_safe() && queries.as_ref().is_none_or(|queries| queries.lost.is_empty());
    let text = if matches.get_flag("json") {
        json(&report, queries.as_ref(), safe)?
    } else {
        let most = if matches.get_flag("all") { usize::MAX } else { 10 };
        let queries_text = queries.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{queries_text}{}{}\n", report.table(most), verdict(&report, queries.as_ref(), safe))
    };
    match io::stdout().write_all(text.as_bytes()) {
        // A reader such as head that has seen enough does not change the answer.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(if safe { SAFE } else { NOT_SAFE }),
    }
}

fn values<'a>(matches: &'a ArgMatches, name: &str) -> impl Iterator<Item = &'a String> {
    matches.get_many(name).into_iter().flatten()
}

fn rules(matches: &ArgMatches) -> Result<Rules, String> {
    let mut rules = if matches.get_flag("no-default-ignores") { Rules::none() } else { Rules::defaults() };
    for (flag, ignore) in [("ignore", Ignore::Series), ("ignore-value", Ignore::Value)] {
        for pattern in values(matches, flag) {
            rules.add(pattern, ignore).map_err(|why| format!("--{flag}={pattern}: {why}"))?;
        }
    }
    for path in values(matches, "ignore-file") {
        rules.add_lines(&read(path)?).map_err(|why| format!("{path}: {why}"))?;
    }
    Ok(rules)
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn read_queries(matches: &ArgMatches) -> Result<Vec<queries::Query>, String> {
    let mut found = Vec::new();
    for path in values(matches, "queries") {
        found.extend(queries::extract(path, &read(path)?).map_err(|why| format!("{path}: {why}"))?);
    }
    if found.is_empty() && matches.contains_id("queries") {
        return Err("--queries: there is no query in these files".to_owned());
    }
    Ok(found)
}

/// The scrapes of both sides, in the order that [`compare_readings`] asks for.
fn readings(matches: &ArgMatches) -> Result<(Vec<Exposition>, Vec<Exposition>), String> {
    let source =
        |name: &str| matches.get_one::<String>(name).map(|argument| Source::new(argument)).transpose();
    let (Some(old), Some(new), again) = (source("old")?, source("new")?, source("again")?) else {
        return Err("OLD and NEW are needed".to_owned());
    };
    let stdin =
        [Some(&old), Some(&new), again.as_ref()].into_iter().flatten().filter(|s| **s == Source::Stdin);
    if stdin.count() > 1 {
        return Err("only one of the inputs can be standard input".to_owned());
    }
    let duration = |name: &str| matches.get_one::<Duration>(name).copied().unwrap_or_default();
    let timeout = duration("timeout");
    let live = old.is_url() && new.is_url() && again.is_none();
    let rounds = if live { *matches.get_one::<u32>("rounds").unwrap_or(&1) } else { 1 };
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round > 0 {
            std::thread::sleep(duration("pause"));
        }
        olds.push(old.read(timeout)?);
        news.push(new.read(timeout)?);
    }
    match again {
        Some(again) => olds.push(again.read(timeout)?),
        None if live => olds.push(old.read(timeout)?),
        None => {}
    }
    Ok((olds, news))
}

fn json(report: &Report, queries: Option<&Queries>, safe: bool) -> Result<String, String> {
    let mut value = serde_json::to_value(report).map_err(|error| error.to_string())?;
    value["safe"] = safe.into();
    if let Some(queries) = queries {
        value["queries"] = serde_json::to_value(queries).map_err(|error| error.to_string())?;
    }
    serde_json::to_string_pretty(&value).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn verdict(report: &Report, queries: Option<&Queries>, safe: bool) -> String {
    let mut reasons = report.verdict();
    let mut lines = String::new();
    if let Some(queries) = queries {
        let Queries { found, matching, lost, unread } = queries;
        let (lost, unread) = (lost.len(), unread.len());
        lines = format!(
            "queries   {found}: {matching} use series of OLD, {lost} would lose data, {unread} not understood\n"
        );
        if lost > 0 {
            reasons.push(format!("{lost} {} would lose data", if lost == 1 { "query" } else { "queries" }));
        }
    }
    if safe { format!("{lines}\nSAFE") } else { format!("{lines}\nNOT SAFE: {}", reasons.join(", ")) }
}
