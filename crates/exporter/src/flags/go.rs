//! The habits of Go's package `flag`, <https://pkg.go.dev/flag>: one dash or two, a switch that takes `=false`, and the last of a flag that
//! is given twice. What Go would take is put into the form that the rest of the parser reads.
//!
//! Go ends the flags at the first other word and at `--`. These programs take no words, so what stands there is an error here: a flag
//! behind it would be lost without a trace.

use std::collections::HashMap;

use super::{Flag, FlagError, Takes};

/// The arguments as `--flag=value`, `--switch` and `--no-switch`, each flag once but for lists. `-help` and `-version` stand alone.
pub(super) fn normal(flags: &[Flag], args: &[String]) -> Result<Vec<String>, FlagError> {
    let mut normal: Vec<String> = Vec::with_capacity(args.len());
    let mut places: HashMap<&'static str, usize> = HashMap::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let bare = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or_default();
        if arg == "--" {
            match rest.next() {
                Some(word) => return Err(positional(word)),
                None => break,
            }
        }
        if bare.is_empty() {
            return Err(positional(arg));
        }
        if bare.starts_with(['-', '=']) {
            return Err(FlagError(format!("bad flag syntax: {arg}")));
        }
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (bare, None),
        };
        let declared = |name: &str| flags.iter().find(|flag| flag.name == name);
        let is_switch = |flag: &&Flag| matches!(flag.takes, Takes::Switch(_));
        let (flag, text) = match declared(name) {
            None if matches!(name, "h" | "help" | "version") => {
                if switch(name, value)? {
                    let asked = if name == "version" { "--version" } else { "--help" };
                    return Ok(vec![asked.to_owned()]);
                }
                continue;
            }
            None => match name.strip_prefix("no-").and_then(declared).filter(is_switch) {
                Some(_) if value.is_some() => {
                    return Err(FlagError(format!("-{bare}: -{name} takes no value")));
                }
                Some(flag) => (flag, format!("--{name}")),
                None => return Err(unknown(flags, name)),
            },
            Some(flag) if is_switch(&flag) => {
                let no = if switch(name, value)? { "" } else { "no-" };
                (flag, format!("--{no}{name}"))
            }
            Some(flag) => {
                let value = value.or_else(|| rest.next().map(String::as_str));
                let value = value.ok_or_else(|| FlagError(format!("flag needs an argument: -{name}")))?;
                (flag, format!("--{name}={value}"))
            }
        };
        match places.get(flag.name) {
            Some(&place) if !matches!(flag.takes, Takes::List(_)) => normal[place] = text,
            _ => {
                places.insert(flag.name, normal.len());
                normal.push(text);
            }
        }
    }
    Ok(normal)
}

fn switch(name: &str, value: Option<&str>) -> Result<bool, FlagError> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(FlagError(format!("-{name}={other}: must be true or false"))),
    }
}

fn positional(word: &str) -> FlagError {
    FlagError(format!("unexpected {word}: there are no positional arguments"))
}

fn unknown(flags: &[Flag], name: &str) -> FlagError {
    let shown = flags.iter().filter(|flag| !flag.hidden).map(|flag| flag.name);
    let near = shown
        .map(|known| (distance(name, known), known))
        .filter(|&(distance, known)| distance <= known.len() / 4)
        .min();
    let hint = near.map(|(_, known)| format!(", did you mean -{known}")).unwrap_or_default();
    FlagError(format!("flag provided but not defined: -{name}{hint}"))
}

/// How many bytes to add, drop or change on the way from one word to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// clap's help with one dash in front of each flag.
pub(super) fn help(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if let Some(flag) = line.strip_prefix("      --") {
            out.push_str("  -");
            out.push_str(flag);
        } else if let Some(continued) = line.strip_prefix("       ") {
            // It stays below the text of the line above, which moved by as much.
            out.push_str("  ");
            out.push_str(continued);
        } else {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::flags::{Asked, Flag, Flags, Program, Style};

    const FLAGS: &[Flag] = &[
        Flag::switch("docker_only", false, "Docker's alone."),
        Flag::switch("store_container_labels", true, "Labels."),
        Flag::number("port", 8080, "Port."),
        Flag::text("housekeeping_interval", "1s", "Ignored by the test."),
        Flag::one_of("log.level", &["info", "debug"], "What is logged."),
        Flag::list_or("web.listen-address", &[":8080"], "Where to listen."),
        Flag::ignored("logtostderr", false).quiet(),
        Flag::ignored("v", true).quiet(),
        Flag::ignored("profiling", false),
        Flag::ignored("storage_driver_host", true),
        Flag::renamed("old_interval", "housekeeping_interval"),
    ];

    fn parse(args: &[&str]) -> Result<Flags, String> {
        let program = Program {
            name: "container-advisor",
            about: "Tests.",
            version: "container-advisor, version 1",
            style: Style::Go,
            commands: &[("healthcheck", "Ask.")],
        };
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        match Flags::parse(&program, FLAGS, &args) {
            Ok(Asked::Run(flags)) => Ok(flags),
            Ok(Asked::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn values() {
        for (args, port, interval) in [
            (&[][..], 8080, "1s"),
            (&["-port=1", "--housekeeping_interval=2s"], 1, "2s"),
            (&["-port", "1", "--housekeeping_interval", "2s"], 1, "2s"),
            (&["-port=1", "-port", "2", "--port=3"], 3, "1s"),
            (&["-housekeeping_interval", "-port=5", "--"], 8080, "-port=5"),
            (&["-housekeeping_interval", "--", "-port=5"], 5, "--"),
            (&["-housekeeping_interval="], 8080, ""),
            (&["-housekeeping_interval=a=b", "-port=-1"], 0, "a=b"),
            (&["-housekeeping_interval=@/no/such/file"], 8080, "@/no/such/file"),
            (&["-v", "4", "-port=1"], 1, "1s"),
        ] {
            let flags = parse(args).unwrap();
            assert_eq!(
                (flags.number("port"), flags.text("housekeeping_interval")),
                (port, interval),
                "{args:?}"
            );
            assert!(flags.warnings().is_empty(), "{args:?}");
        }
        let flags =
            parse(&["-web.listen-address=:1", "--web.listen-address", ":2", "-port=1", "-port=2"]).unwrap();
        assert_eq!(flags.list("web.listen-address"), [":1", ":2"]);
        let flags = parse(&["healthcheck", "-log.level", "DEBUG", "-logtostderr"]).unwrap();
        assert_eq!((flags.command, flags.text("log.level")), (Some("healthcheck"), "debug"));
    }

    #[test]
    fn switches() {
        for (args, docker_only, labels) in [
            (&[][..], false, true),
            (&["-docker_only"], true, true),
            (&["--docker_only=true", "--store_container_labels=false"], true, false),
            (&["-docker_only=1", "-store_container_labels=0"], true, false),
            (&["-docker_only=T", "-store_container_labels=F"], true, false),
            (&["-docker_only=t", "-store_container_labels=f"], true, false),
            (&["-docker_only=TRUE", "-store_container_labels=FALSE"], true, false),
            (&["-docker_only=True", "-store_container_labels=False"], true, false),
            (&["-docker_only", "-docker_only=false", "-no-store_container_labels"], false, false),
            (&["--no-store_container_labels", "--store_container_labels"], false, true),
        ] {
            let flags = parse(args).unwrap();
            let found = (flags.switch("docker_only"), flags.switch("store_container_labels"));
            assert_eq!(found, (docker_only, labels), "{args:?}");
        }
        assert!(parse(&["-docker_only=false"]).unwrap().is_given("docker_only"));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (args, expected) in [
            (&["-nope"][..], "flag provided but not defined: -nope"),
            (&["--docker_onyl"], "flag provided but not defined: -docker_onyl, did you mean -docker_only"),
            (
                &["-houskeeping-interval=1s"],
                "flag provided but not defined: -houskeeping-interval, did you mean -housekeeping_interval",
            ),
            (&["-no-port"], "flag provided but not defined: -no-port"),
            (&["-no-docker_only=true"], "-no-docker_only=true: -no-docker_only takes no value"),
            (&["-port"], "flag needs an argument: -port"),
            (&["-port=many"], "-port=many: must be a whole number"),
            (&["-log.level=loud"], "-log.level=loud: must be one of info, debug"),
            (&["-docker_only=maybe"], "-docker_only=maybe: must be true or false"),
            (&["-docker_only="], "-docker_only=: must be true or false"),
            (&["-docker_only", "false"], "unexpected false: there are no positional arguments"),
            (&["-port=1", "word", "-nope"], "unexpected word: there are no positional arguments"),
            (&["--", "-port=1"], "unexpected -port=1: there are no positional arguments"),
            (&["-"], "unexpected -: there are no positional arguments"),
            (&[""], "unexpected : there are no positional arguments"),
            (&["@/no/such/file"], "unexpected @/no/such/file: there are no positional arguments"),
            (&["---port=1"], "bad flag syntax: ---port=1"),
            (&["-=1"], "bad flag syntax: -=1"),
        ] {
            assert_eq!(parse(args).unwrap_err(), expected);
        }
        let flags = parse(&["-port=1"]).unwrap();
        assert_eq!(flags.error("port", "is taken").to_string(), "-port=1: is taken");
    }

    #[test]
    fn flags_without_effect_are_taken_and_told_of_once() {
        let flags = parse(&[
            "-profiling",
            "-profiling=false",
            "-storage_driver_host",
            "x:1",
            "-v=2",
            "--logtostderr=true",
        ]);
        assert_eq!(
            flags.unwrap().warnings(),
            ["-profiling has no effect here", "-storage_driver_host has no effect here"]
        );
        assert_eq!(parse(&["-logtostderr=x"]).unwrap_err(), "-logtostderr=x: must be true or false");
        assert_eq!(
            parse(&["-old_interval=1s"]).unwrap().warnings(),
            ["-old_interval is DEPRECATED and will be removed, use -housekeeping_interval"]
        );
        let flags = parse(&["-old_interval=1s", "-housekeeping_interval=2s"]).unwrap();
        assert_eq!(flags.text("housekeeping_interval"), "2s");
        assert_eq!(
            flags.warnings(),
            ["-old_interval has no effect beside -housekeeping_interval, its new name"]
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_has_one_form(args in proptest::collection::vec("(--?)?(port|v|docker_only|no-|=|x)?=?[a-z0-9-]{0,3}", 0..5)) {
            if let Ok(normal) = super::normal(FLAGS, &args) {
                proptest::prop_assert!(normal.iter().all(|arg| arg.starts_with("--") && !arg.starts_with("---")), "{:?}", normal);
                proptest::prop_assert_eq!(super::normal(FLAGS, &normal).map_err(|error| error.to_string()), Ok(normal));
            }
        }
    }

    #[test]
    fn help_and_version() {
        for args in [&["-h"][..], &["-help"], &["--help"], &["-port=1", "--h"]] {
            let help = parse(args).unwrap_err();
            assert!(help.contains("\n  -port <N> ") && help.contains("\n  -help "), "{help}");
            assert!(help.contains(" -store_container_labels=false turns it off"), "{help}");
            assert!(
                !help.contains("--") && !help.contains("logtostderr") && !help.contains("old_"),
                "{help}"
            );
            assert!(help.contains("\n  healthcheck  Ask."), "{help}");
        }
        for args in [&["-version"][..], &["--version"], &["-version=true"]] {
            assert_eq!(parse(args).unwrap_err(), "container-advisor, version 1\n");
        }
        assert!(parse(&["-version=false"]).is_ok());
    }
}
