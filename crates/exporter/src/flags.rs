//! The command line, with the habits that the originals taught their users ([`Style`]).
//!
//! Kingpin's: `--flag=value` and `--flag value`, where a value that begins with a dash needs the first form; a switch is `--x` or `--no-x` and takes no
//! value; a flag given twice is an error, but for lists; `@file` stands for the lines of a file, each one argument, but for comments (`#`).
//! Those of Go's package `flag` are put into the first form before the parser sees them.
//!
//! Flags are constants beside what they steer, so that the help, the README's table
//! and the tests come from one list. Parsing is clap's; what clap cannot know (the other side of a switch, old names) is here.

use std::collections::HashMap;
use std::fmt;

use clap::builder::{ArgAction, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::filter::Pattern;

mod go;

/// A flag: its name without the dashes, its default, and its line in `--help`.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The name, without dashes.
    pub name: &'static str,
    /// The line in `--help`.
    pub help: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Left out of `--help`.
    pub hidden: bool,
    /// An environment variable that gives the value if the flag is not on the command line.
    pub env: Option<&'static str>,
    /// For an old spelling: the flag that took its place. The value goes there, with a warning.
    pub replaced_by: Option<&'static str>,
    /// Whether it does anything.
    pub effect: Effect,
}

/// What a flag is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It steers something.
    Some,
    /// Nothing: it is taken for the sake of old command lines. A warning says so.
    None,
    /// Nothing, and nobody needs to hear of it.
    Silent,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: `--x` or `--no-x`; the default is given.
    Switch(bool),
    /// A value; the default is given.
    Text(&'static str),
    /// One of the given values; the first is the default.
    OneOf(&'static [&'static str]),
    /// A whole number; the default is given.
    Number(u64),
    /// A value each time it is given.
    List(&'static [&'static str]),
}

impl Flag {
    const fn with(name: &'static str, takes: Takes, help: &'static str) -> Self {
        Flag { name, help, takes, hidden: false, env: None, replaced_by: None, effect: Effect::Some }
    }

    /// A flag with a value.
    pub const fn text(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Flag::with(name, Takes::Text(default), help)
    }

    /// A flag with no value, and its `--no-` form.
    pub const fn switch(name: &'static str, default: bool, help: &'static str) -> Self {
        Flag::with(name, Takes::Switch(default), help)
    }

    /// A flag with one of a few values, the first of which is the default.
    pub const fn one_of(name: &'static str, values: &'static [&'static str], help: &'static str) -> Self {
        Flag::with(name, Takes::OneOf(values), help)
    }

    /// A flag with a whole number.
    pub const fn number(name: &'static str, default: u64, help: &'static str) -> Self {
        Flag::with(name, Takes::Number(default), help)
    }

    /// A flag that may be given again and again.
    pub const fn list(name: &'static str, help: &'static str) -> Self {
        Flag::with(name, Takes::List(&[]), help)
    }

    /// As [`list`](Self::list), with what stands if it is not given.
    pub const fn list_or(name: &'static str, default: &'static [&'static str], help: &'static str) -> Self {
        Flag::with(name, Takes::List(default), help)
    }

    /// An old spelling of `new`, still taken, with a warning.
    pub const fn renamed(name: &'static str, new: &'static str) -> Self {
        let mut flag = Flag::with(name, Takes::Text(""), "");
        flag.replaced_by = Some(new);
        flag.hidden = true;
        flag
    }

    /// A flag of the original that does nothing here: it is taken, left out of `--help`, and warned of when it is given. Without a value
    /// it is a switch.
    pub const fn ignored(name: &'static str, takes_value: bool) -> Self {
        let takes = if takes_value { Takes::Text("") } else { Takes::Switch(false) };
        let mut flag = Flag::with(name, takes, "").hidden();
        flag.effect = Effect::None;
        flag
    }

    /// The same [`ignored`](Self::ignored) flag without the warning, for one that is given out of habit.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.effect = Effect::Silent;
        self
    }

    /// The same flag, left out of `--help`.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The same flag, with an environment variable as its default.
    #[must_use]
    pub const fn env(mut self, variable: &'static str) -> Self {
        self.env = Some(variable);
        self
    }
}

/// A flag whose value is wrong: one line, with the flag, the value and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagError(String);

impl FlagError {
    /// An error of the command line as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        FlagError(message.into())
    }
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FlagError {}

#[derive(Debug, Clone)]
enum Value {
    Switch(bool),
    Text(String),
    List(Vec<String>),
}

/// The parsed command line.
#[derive(Debug, Clone)]
pub struct Flags {
    values: HashMap<&'static str, (Value, bool)>,
    style: Style,
    warnings: Vec<String>,
    /// The command, if the first argument was one.
    pub command: Option<&'static str>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To run with these flags.
    Run(Flags),
    /// To print this on standard output and end well: `--help`, `--version`.
    Print(String),
}

/// How a command line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `--flag`, `--no-switch`, `@file`; a flag given twice is an error. What is wrong ends with exit code 1.
    Kingpin,
    /// Go's `flag` package: `-flag` or `--flag`, `-switch=false`; the last of a flag given twice wins. What is wrong ends with exit code 2.
    Go,
}

impl Style {
    /// What a flag's name begins with in messages.
    pub fn dashes(self) -> &'static str {
        match self {
            Style::Kingpin => "--",
            Style::Go => "-",
        }
    }
}

/// What a program says of itself on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The name in messages.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The answer to `--version`.
    pub version: &'static str,
    /// How the command line is written.
    pub style: Style,
    /// Words that may come first in place of running: name and help line.
    pub commands: &'static [(&'static str, &'static str)],
}

impl Flags {
    /// Parses `args`, which do not hold the program's name.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line.
    pub fn parse(program: &Program, flags: &[Flag], args: &[String]) -> Result<Asked, FlagError> {
        let mut args = match program.style {
            Style::Kingpin => expand(args, 10)?,
            Style::Go => args.to_vec(),
        };
        let command_given =
            program.commands.iter().map(|c| c.0).find(|name| args.first().is_some_and(|arg| arg == name));
        if command_given.is_some() {
            args.remove(0);
        }
        if program.style == Style::Go {
            args = go::normal(flags, &args)?;
        }
        let matches = match command(program, flags).try_get_matches_from(&args) {
            Ok(matches) => matches,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                let help = error.render().to_string();
                return Ok(Asked::Print(if program.style == Style::Go { go::help(&help) } else { help }));
            }
            Err(error) if error.kind() == ErrorKind::DisplayVersion => {
                return Ok(Asked::Print(format!("{}\n", program.version)));
            }
            Err(error) => return Err(FlagError(explain(&error))),
        };
        let mut parsed = Flags {
            values: HashMap::new(),
            style: program.style,
            warnings: Vec::new(),
            command: command_given,
        };
        for flag in flags {
            let value = parsed.value_of(flag, &matches)?;
            if value.1 && flag.effect == Effect::None {
                parsed.warnings.push(format!("{} has no effect here", parsed.spelled(flag.name)));
            }
            parsed.values.insert(flag.name, value);
        }
        parsed.follow_renames(flags)?;
        Ok(Asked::Run(parsed))
    }

    fn value_of(&self, flag: &Flag, matches: &clap::ArgMatches) -> Result<(Value, bool), FlagError> {
        if let Takes::Switch(default) = flag.takes {
            let (yes, no) = (matches.get_flag(flag.name), matches.get_flag(&format!("no-{}", flag.name)));
            return Ok((Value::Switch(if yes || no { yes } else { default }), yes || no));
        }
        let mut given: Vec<String> =
            matches.get_many::<String>(flag.name).into_iter().flatten().cloned().collect();
        if given.is_empty()
            && let Some(value) = flag.env.and_then(|variable| std::env::var(variable).ok())
            && !value.is_empty()
        {
            given.push(value);
        }
        let is_given = !given.is_empty();
        if let Takes::List(default) = flag.takes {
            let list = if is_given { given } else { default.iter().map(ToString::to_string).collect() };
            return Ok((Value::List(list), is_given));
        }
        let text = match (given.pop(), flag.takes) {
            (Some(text), Takes::OneOf(values)) => match values.iter().find(|v| v.eq_ignore_ascii_case(&text))
            {
                Some(value) => (*value).to_owned(),
                None => {
                    let why = format!("must be one of {}", values.join(", "));
                    return Err(FlagError(format!("{}={text}: {why}", self.spelled(flag.name))));
                }
            },
            (Some(text), Takes::Number(_)) => match number(&text) {
                Some(number) => number.to_string(),
                None => {
                    return Err(FlagError(format!(
                        "{}={text}: must be a whole number",
                        self.spelled(flag.name)
                    )));
                }
            },
            (Some(text), _) => text,
            (None, Takes::Text(default)) => default.to_owned(),
            (None, Takes::OneOf(values)) => values[0].to_owned(),
            (None, Takes::Number(default)) => default.to_string(),
            (None, Takes::Switch(_) | Takes::List(_)) => unreachable!("handled above"),
        };
        Ok((Value::Text(text), is_given))
    }

    fn follow_renames(&mut self, flags: &[Flag]) -> Result<(), FlagError> {
        for flag in flags {
            let Some(new) = flag.replaced_by else { continue };
            if !self.is_given(flag.name) {
                continue;
            }
            let (old, now) = (self.spelled(flag.name), self.spelled(new));
            if self.is_given(new) && self.style == Style::Go {
                self.warnings.push(format!("{old} has no effect beside {now}, its new name"));
                continue;
            }
            if self.is_given(new) {
                return Err(FlagError(format!(
                    "{old}: cannot be combined with {now}, its new name: give the latter alone"
                )));
            }
            self.warnings.push(format!("{old} is DEPRECATED and will be removed, use {now}"));
            let value = self.values[flag.name].clone();
            self.values.insert(new, value);
        }
        Ok(())
    }

    /// The flags of `flags` with values from `args`, for tests.
    ///
    /// # Panics
    /// If the arguments are wrong.
    pub fn for_test(flags: &[Flag], args: &[&str]) -> Flags {
        let program = Program { name: "test", about: "", version: "", style: Style::Kingpin, commands: &[] };
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        match Flags::parse(&program, flags, &args) {
            Ok(Asked::Run(flags)) => flags,
            other => panic!("{other:?}"),
        }
    }

    fn value(&self, name: &str) -> &(Value, bool) {
        self.values.get(name).unwrap_or_else(|| panic!("--{name} is not declared"))
    }

    /// The value of a flag that takes one. Panics if no such flag is declared, which the first test of its collector shows.
    pub fn text(&self, name: &str) -> &str {
        match &self.value(name).0 {
            Value::Text(text) => text,
            other => panic!("--{name} is {other:?}"),
        }
    }

    /// The value of a switch.
    pub fn switch(&self, name: &str) -> bool {
        match self.value(name).0 {
            Value::Switch(on) => on,
            ref other => panic!("--{name} is {other:?}"),
        }
    }

    /// The value of a number flag.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("--{name} is no number"))
    }

    /// The values of a list flag, in order.
    pub fn list(&self, name: &str) -> &[String] {
        match &self.value(name).0 {
            Value::List(list) => list,
            other => panic!("--{name} is {other:?}"),
        }
    }

    /// Sets the value of a flag from another's: text, one of its words, a number, or `true` or `false` for a switch. Whether it was given
    /// stays as it is. Panics if no such flag is declared, or if the value is none for it.
    pub fn set(&mut self, name: &str, value: &str) {
        let slot = self.values.get_mut(name).unwrap_or_else(|| panic!("--{name} is not declared"));
        match &mut slot.0 {
            Value::Text(text) => value.clone_into(text),
            Value::Switch(on) => *on = value.parse().unwrap_or_else(|_| panic!("--{name} is a switch")),
            Value::List(_) => panic!("--{name} is a list"),
        }
    }

    /// Sets the values of a list flag, as [`set`](Self::set) does.
    pub fn set_list(&mut self, name: &str, values: Vec<String>) {
        let slot = self.values.get_mut(name).unwrap_or_else(|| panic!("--{name} is not declared"));
        match &mut slot.0 {
            Value::List(list) => *list = values,
            other => panic!("--{name} is {other:?}"),
        }
    }

    /// Whether there is such a flag, for one that another collector or the program itself declares.
    pub fn is_declared(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether the flag was given, under this name or an old one.
    pub fn is_given(&self, name: &str) -> bool {
        self.value(name).1
    }

    /// The pattern of a flag; `None` if its value is empty.
    ///
    /// # Errors
    /// A pattern that does not compile.
    pub fn pattern(&self, name: &str) -> Result<Option<Pattern>, FlagError> {
        match self.text(name) {
            "" => Ok(None),
            text => Pattern::new(text).map(Some).map_err(|why| self.error(name, why)),
        }
    }

    /// A duration such as `5s`, `250ms`, `1m30s`, as Go writes it.
    ///
    /// # Errors
    /// A value that is no duration.
    pub fn duration(&self, name: &str) -> Result<std::time::Duration, FlagError> {
        duration(self.text(name)).ok_or_else(|| self.error(name, "must be a duration such as 5s or 250ms"))
    }

    /// An error of this flag's value.
    pub fn error(&self, name: &str, why: impl fmt::Display) -> FlagError {
        match &self.value(name).0 {
            Value::Text(text) => FlagError(format!("{}={text}: {why}", self.spelled(name))),
            Value::List(list) => FlagError(format!("{}={}: {why}", self.spelled(name), list.join(","))),
            Value::Switch(_) => FlagError(format!("{}: {why}", self.spelled(name))),
        }
    }

    /// A flag's name as users of this program write it.
    pub fn spelled(&self, name: &str) -> String {
        format!("{}{name}", self.style.dashes())
    }

    /// What should be logged about the command line.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A whole number. One below 0 is 0, which says the same wherever numbers are taken: no limit, or none of it.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| text.parse::<i64>().ok().map(|_| 0))
}

/// A duration such as `5s`, `250ms`, `1m30s`, as Go writes it.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "\u{b5}s" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

/// Replaces `@file` by the lines of the file, among which may be other files, to a depth that no one needs.
fn expand(args: &[String], depth: usize) -> Result<Vec<String>, FlagError> {
    let mut expanded = Vec::with_capacity(args.len());
    for arg in args {
        match arg.strip_prefix('@') {
            Some(path) if depth == 0 => {
                return Err(FlagError(format!("@{path}: this file is read by itself or by too many others")));
            }
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    FlagError(format!("@{path}: cannot read arguments from this file: {error}"))
                })?;
                let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
                expanded.extend(expand(&lines.map(str::to_owned).collect::<Vec<_>>(), depth - 1)?);
            }
            None => expanded.push(arg.clone()),
        }
    }
    Ok(expanded)
}

fn command(program: &Program, flags: &[Flag]) -> clap::Command {
    let mut command = clap::Command::new(program.name)
        .about(program.about)
        .version(program.version)
        .no_binary_name(true)
        .disable_version_flag(true)
        .disable_help_flag(true)
        .override_usage(format!("{} [<flags>]", program.name));
    let help = clap::Arg::new("help").long("help").action(ArgAction::Help).help("Show all flags.");
    command = command
        .arg(match program.style {
            Style::Kingpin => help.short('h').visible_aliases(["help-long"]),
            Style::Go => help,
        })
        .arg(clap::Arg::new("version").long("version").action(ArgAction::Version).help("Show the version."));
    for flag in flags {
        let arg =
            clap::Arg::new(flag.name).long(flag.name).hide(flag.hidden).help(help_of(flag, program.style));
        if matches!(flag.takes, Takes::Switch(_)) {
            let no: &'static str = Box::leak(format!("no-{}", flag.name).into_boxed_str());
            command = command
                .arg(arg.action(ArgAction::SetTrue).conflicts_with(no))
                .arg(clap::Arg::new(no).long(no).action(ArgAction::SetTrue).hide(true));
        } else {
            let action =
                if matches!(flag.takes, Takes::List(_)) { ArgAction::Append } else { ArgAction::Set };
            command = command.arg(arg.action(action).value_name(value_name(flag)));
        }
    }
    if !program.commands.is_empty() {
        let width = program.commands.iter().map(|c| c.0.len()).max().unwrap_or(0);
        let lines: Vec<String> =
            program.commands.iter().map(|(name, about)| format!("  {name:width$}  {about}")).collect();
        command = command.after_help(format!("Commands, as the first argument:\n{}", lines.join("\n")));
    }
    // The name in messages is ours, not that of the file that was started.
    command.bin_name(program.name)
}

fn value_name(flag: &Flag) -> &'static str {
    match flag.takes {
        Takes::Number(_) => "N",
        Takes::OneOf(_) => "WORD",
        _ => "VALUE",
    }
}

fn help_of(flag: &Flag, style: Style) -> StyledStr {
    let mut text = flag.help.to_owned();
    match flag.takes {
        Takes::Switch(true) if style == Style::Go => {
            text.push_str(&format!(" (on; -{}=false turns it off)", flag.name));
        }
        Takes::Switch(true) => text.push_str(" (on; --no-… turns it off)"),
        Takes::Switch(false) => {}
        Takes::Text("") | Takes::List([]) => {}
        Takes::Text(default) => text.push_str(&format!(" [default: {default}]")),
        Takes::Number(default) => text.push_str(&format!(" [default: {default}]")),
        Takes::OneOf(values) => text.push_str(&format!(" [{}; default: {}]", values.join(", "), values[0])),
        Takes::List(default) => text.push_str(&format!(" (repeatable) [default: {}]", default.join(", "))),
    }
    text.into()
}

/// One line for what clap refused.
fn explain(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    // clap names an argument with its placeholder: "--web.max-requests <N>".
    let bare = |text: String| text.split([' ', '=']).next().unwrap_or_default().to_owned();
    let argument = bare(context(ContextKind::InvalidArg));
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            let near = context(ContextKind::SuggestedArg);
            let hint = if near.is_empty() { String::new() } else { format!(", did you mean {}", bare(near)) };
            format!("unknown long flag '{argument}'{hint}")
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("unknown short flag '{argument}': flags have two dashes")
        }
        ErrorKind::UnknownArgument => format!("unexpected {argument}: there are no positional arguments"),
        ErrorKind::ArgumentConflict => {
            let prior = bare(context(ContextKind::PriorArg));
            if prior == argument || prior.is_empty() {
                format!("flag '{}' cannot be repeated", argument.trim_start_matches('-'))
            } else {
                format!("{argument} and {prior} contradict each other: give one of them")
            }
        }
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            format!("expected argument for flag '{argument}'")
        }
        ErrorKind::TooManyValues | ErrorKind::InvalidValue => {
            let value = context(ContextKind::InvalidValue);
            format!(
                "unexpected {value} for flag '{argument}': write {argument} or --no-{}",
                argument.trim_start_matches('-')
            )
        }
        _ => error
            .render()
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::switch("collector.cpu", true, "CPU times."),
        Flag::switch("collector.perf", false, "Counters."),
        Flag::text("path.procfs", "/proc", "Where procfs is."),
        Flag::number("web.max-requests", 40, "Most at once."),
        Flag::one_of("log.level", &["info", "debug", "warn", "error"], "What is logged."),
        Flag::list_or("web.listen-address", &[":9100"], "Where to listen."),
        Flag::text("fs.mount-points-exclude", "^/dev", "Left out."),
        Flag::renamed("fs.ignored-mount-points", "fs.mount-points-exclude"),
        Flag::text("fs.mount-timeout", "5s", "Patience.").hidden(),
        Flag::number("runtime.gomaxprocs", 1, "Ignored.").env("FLAGS_TEST_GOMAXPROCS"),
    ];

    const PROGRAM: Program = Program {
        name: "node-exporter",
        about: "Tests.",
        version: "node_exporter, version 1",
        style: Style::Kingpin,
        commands: &[("healthcheck", "Ask.")],
    };

    fn parse(args: &[&str]) -> Result<Flags, String> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        match Flags::parse(&PROGRAM, FLAGS, &args) {
            Ok(Asked::Run(flags)) => Ok(flags),
            Ok(Asked::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn both_forms_of_a_value_and_defaults() {
        let flags =
            parse(&["--path.procfs=/host/proc", "--web.max-requests", "3", "--no-collector.cpu"]).unwrap();
        assert_eq!((flags.text("path.procfs"), flags.number("web.max-requests")), ("/host/proc", 3));
        assert_eq!((flags.switch("collector.cpu"), flags.switch("collector.perf")), (false, false));
        assert!(flags.is_given("collector.cpu") && !flags.is_given("collector.perf"));
        assert_eq!(
            (flags.text("log.level"), flags.list("web.listen-address")),
            ("info", &[":9100".to_owned()][..])
        );
        let flags = parse(&["--web.listen-address=:1", "--web.listen-address=-x", "--path.procfs="]).unwrap();
        assert_eq!(flags.list("web.listen-address"), [":1", "-x"]);
        assert_eq!((flags.text("path.procfs"), flags.is_given("path.procfs")), ("", true));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line_that_names_the_flag() {
        for (args, expected) in [
            (&["--path.procfs=/a", "--path.procfs=/b"][..], "flag 'path.procfs' cannot be repeated"),
            (&["--collector.cpu", "--collector.cpu"], "flag 'collector.cpu' cannot be repeated"),
            (
                &["--collector.cpu", "--no-collector.cpu"],
                "--collector.cpu and --no-collector.cpu contradict each other: give one of them",
            ),
            (&["--nope"], "unknown long flag '--nope'"),
            (&["-w"], "unknown short flag '-w': flags have two dashes"),
            (&["word"], "unexpected word: there are no positional arguments"),
            (&["--path.procfs"], "expected argument for flag '--path.procfs'"),
            (&["--path.procfs", "--no-collector.cpu"], "expected argument for flag '--path.procfs'"),
            (&["--path.procfs", "-x"], "unknown short flag '-x': flags have two dashes"),
            (&["--web.max-requests=many"], "--web.max-requests=many: must be a whole number"),
            (&["--log.level=loud"], "--log.level=loud: must be one of info, debug, warn, error"),
            (
                &["--collector.cpu=false"],
                "unexpected false for flag '--collector.cpu': write --collector.cpu or --no-collector.cpu",
            ),
            (
                &["@/no/such/file"],
                "@/no/such/file: cannot read arguments from this file: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(parse(args).unwrap_err(), expected);
        }
    }

    #[test]
    fn words_in_any_case_and_numbers_below_0() {
        let flags = parse(&["--log.level=WARN", "--web.max-requests=-1"]).unwrap();
        assert_eq!((flags.text("log.level"), flags.number("web.max-requests")), ("warn", 0));
    }

    #[test]
    fn an_old_name_sets_the_new_flag_and_warns() {
        let flags = parse(&["--fs.ignored-mount-points=^/x"]).unwrap();
        assert_eq!(flags.text("fs.mount-points-exclude"), "^/x");
        assert!(flags.is_given("fs.mount-points-exclude"));
        assert_eq!(
            flags.warnings(),
            ["--fs.ignored-mount-points is DEPRECATED and will be removed, use --fs.mount-points-exclude"]
        );
        assert_eq!(
            parse(&["--fs.ignored-mount-points=a", "--fs.mount-points-exclude=b"]).unwrap_err(),
            "--fs.ignored-mount-points: cannot be combined with --fs.mount-points-exclude, its new name: give the latter alone"
        );
    }

    #[test]
    fn arguments_from_a_file_help_version_and_commands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("args");
        std::fs::write(&path, "# comment\n--path.procfs=/with space\r\n\n--no-collector.cpu\n").unwrap();
        let outer = dir.path().join("outer");
        std::fs::write(&outer, format!("@{}\n", path.display())).unwrap();
        for file in [&path, &outer] {
            let flags = parse(&[&format!("@{}", file.display())]).unwrap();
            assert_eq!((flags.text("path.procfs"), flags.switch("collector.cpu")), ("/with space", false));
        }
        std::fs::write(&path, format!("@{}\n", path.display())).unwrap();
        assert!(parse(&[&format!("@{}", path.display())]).unwrap_err().contains("by itself"));
        let help = parse(&["--help"]).unwrap_err();
        assert!(
            help.contains("--path.procfs <VALUE>")
                && !help.contains("mount-timeout")
                && !help.contains("ignored")
        );
        assert_eq!(parse(&["--version"]).unwrap_err().trim_end(), "node_exporter, version 1");
        assert_eq!(parse(&["healthcheck"]).unwrap().command, Some("healthcheck"));
        let flags = parse(&["healthcheck", "--path.procfs=/p"]).unwrap();
        assert_eq!((flags.command, flags.text("path.procfs")), (Some("healthcheck"), "/p"));
        assert!(help.contains("\n  healthcheck  Ask."));
    }

    #[test]
    fn a_flag_is_set_from_another() {
        let mut flags = parse(&["--path.procfs=/p"]).unwrap();
        flags.set("path.procfs", "/q");
        flags.set("web.max-requests", "7");
        flags.set("collector.cpu", "false");
        flags.set_list("web.listen-address", vec!["[::1]:8080".to_owned()]);
        assert_eq!((flags.text("path.procfs"), flags.number("web.max-requests")), ("/q", 7));
        assert!(!flags.switch("collector.cpu") && !flags.is_given("collector.cpu"));
        assert_eq!(flags.list("web.listen-address"), ["[::1]:8080"]);
        assert!(flags.is_given("path.procfs"));
    }

    #[test]
    fn durations_are_go_s() {
        let millis = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(
            (millis("5s"), millis("250ms"), millis("1m30s"), millis("1.5h")),
            (Some(5000), Some(250), Some(90_000), Some(5_400_000))
        );
        assert_eq!((millis(""), millis("5"), millis("s"), millis("5x")), (None, None, None, None));
    }
}
