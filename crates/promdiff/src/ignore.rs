//! What is not compared.

use exporter::filter::Pattern;

/// How much of a series is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignore {
    /// All of it: whether it is there, and what it says.
    Series,
    /// Its value: it has to be there.
    Value,
}

/// Patterns on the text of a series, `name{label="value",…}`. They match anywhere, unless anchored.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<(Pattern, Ignore)>,
}

/// What the program ignores unless told not to: what tells of the exporter itself, and of the moment.
const DEFAULTS: &[(&str, Ignore, &str)] = &[
    ("^go_", Ignore::Series, "the Go runtime of the exporter"),
    ("^[a-z_]+_(build|version)_info[{]", Ignore::Series, "the exporter's version"),
    ("^process_", Ignore::Value, "the exporter's process"),
    ("^promhttp_", Ignore::Value, "the exporter's own answers"),
    ("_scrape_(collector_)?duration_seconds([{]|$)", Ignore::Value, "how long the exporter took"),
    (
        "^node_sockstat_|^node_netstat_Tcp_CurrEstab$",
        Ignore::Value,
        "connections that are open, those of the comparison among them",
    ),
    ("^node_time_seconds$|^container_last_seen[{]", Ignore::Value, "the time of the scrape"),
];

impl Rules {
    /// No rules: everything is compared.
    pub fn none() -> Self {
        Rules::default()
    }

    /// The rules for two different exporters: `go_*` and `*_build_info` are ignored, and so are the values of `process_*`,
    /// `promhttp_*`, `*_scrape_duration_seconds`, `*_scrape_collector_duration_seconds`, `node_sockstat_*`,
    /// `node_netstat_Tcp_CurrEstab`, `node_time_seconds` and `container_last_seen`.
    pub fn defaults() -> Self {
        let mut rules = Rules::none();
        for (pattern, ignore, _) in DEFAULTS {
            rules.add(pattern, *ignore).expect("the defaults compile, as a test shows");
        }
        rules
    }

    /// The default rules, for help: pattern, what is ignored, and what that is.
    pub fn default_list() -> impl Iterator<Item = (&'static str, Ignore, &'static str)> {
        DEFAULTS.iter().copied()
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// A pattern that does not compile.
    pub fn add(&mut self, pattern: &str, ignore: Ignore) -> Result<(), String> {
        self.rules.push((Pattern::new(pattern)?, ignore));
        Ok(())
    }

    /// Adds the rules of a file's text: a pattern a line, `value:` before one whose series has to be there; lines that start with `#`
    /// and empty ones do not count.
    ///
    /// # Errors
    /// The first line that does not compile.
    pub fn add_lines(&mut self, text: &str) -> Result<(), String> {
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (pattern, ignore) = match line.strip_prefix("value:") {
                Some(pattern) => (pattern.trim_start(), Ignore::Value),
                None => (line, Ignore::Series),
            };
            self.add(pattern, ignore).map_err(|why| format!("line {}: {why}", i + 1))?;
        }
        Ok(())
    }

    /// What is ignored of a series; the strongest rule counts.
    pub(crate) fn check(&self, series: &str) -> Option<Ignore> {
        let mut found = None;
        for (pattern, ignore) in &self.rules {
            if found != Some(*ignore) && pattern.is_match(series) {
                if *ignore == Ignore::Series {
                    return Some(Ignore::Series);
                }
                found = Some(Ignore::Value);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_about_the_exporter_itself() {
        let rules = Rules::defaults();
        for (series, ignore) in [
            ("go_goroutines", Some(Ignore::Series)),
            ("node_exporter_build_info{version=\"1\"}", Some(Ignore::Series)),
            ("cadvisor_version_info{kernelVersion=\"1\"}", Some(Ignore::Series)),
            ("process_cpu_seconds_total", Some(Ignore::Value)),
            ("promhttp_metric_handler_requests_total{code=\"200\"}", Some(Ignore::Value)),
            ("node_scrape_collector_duration_seconds{collector=\"cpu\"}", Some(Ignore::Value)),
            ("node_scrape_collector_success{collector=\"cpu\"}", None),
            ("node_time_seconds", Some(Ignore::Value)),
            ("node_time_zone_offset_seconds{time_zone=\"UTC\"}", None),
            ("node_processes_pids", None),
            ("node_cpu_info{cpu=\"0\"}", None),
        ] {
            assert_eq!(rules.check(series), ignore, "{series}");
        }
    }

    #[test]
    fn a_file_of_rules() {
        let mut rules = Rules::none();
        rules.add_lines("# comment\n\nvalue: ^a_\n  device=\"lo\"  \n").unwrap();
        assert_eq!(rules.check("a_b"), Some(Ignore::Value));
        assert_eq!(rules.check("a_b{device=\"lo\"}"), Some(Ignore::Series));
        assert_eq!(rules.check("b"), None);
        assert!(rules.add_lines("ok\n(").unwrap_err().starts_with("line 2: "));
    }
}
