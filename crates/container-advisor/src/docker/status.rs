//! What a list's line says beyond the state: `Up 3 minutes (healthy)`, `Exited (137) 6 minutes ago`.
//!
//! The text is meant for people, but it is the one thing in a list that tells of a restart, an exit code and a health check, and a list is
//! one call where inspections are thousands. It is trusted only to doubt what is known: who is in doubt is inspected.

use std::time::Duration;

use super::model;
use crate::metadata::{Health, Metadata, State};

/// What is known of a container and what a list says may be apart by so much without a restart.
const SLACK: Duration = Duration::from_secs(5);

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Listed {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    /// Its name and those by which links know it, with their slashes.
    pub(super) names: Vec<String>,
    /// `None` if the word is not known.
    pub(super) state: Option<State>,
    /// For people.
    pub(super) status: String,
}

impl Listed {
    /// Whether an inspection would say something else than what is known, at a time in seconds since 1970.
    pub(super) fn doubts(&self, known: &Metadata, now: f64) -> bool {
        if self.state.is_some_and(|state| state != known.state) {
            return true;
        }
        if !self.names.is_empty() && !self.names.iter().any(|name| model::bare_name(name) == known.name) {
            return true;
        }
        if health(&self.status).is_some_and(|health| Some(health) != known.health) {
            return true;
        }
        let (code, age) = match known.state {
            State::Running | State::Paused => (None, self.status.strip_prefix("Up ")),
            State::Exited => exit(&self.status).map_or((None, None), |(code, age)| (Some(code), Some(age))),
            _ => (None, None),
        };
        let since = if known.state == State::Exited { known.finished } else { known.started };
        let oldest = age.and_then(at_most).zip(since);
        code.is_some_and(|code| Some(code) != known.exit_code)
            || oldest.is_some_and(|(age, since)| now - since > (age + SLACK).as_secs_f64())
    }
}

fn health(status: &str) -> Option<Health> {
    let (_, word) = status.strip_suffix(')')?.rsplit_once('(')?;
    model::health(word.strip_prefix("health: ").unwrap_or(word))
}

fn exit(status: &str) -> Option<(i64, &str)> {
    let (code, age) = status.strip_prefix("Exited (")?.split_once(") ")?;
    Some((code.parse().ok()?, age))
}

/// The most that `3 minutes`, `About an hour` or `Less than a second` may stand for.
fn at_most(text: &str) -> Option<Duration> {
    let mut words = text.split(' ');
    let count = match words.next()? {
        "About" | "Less" => {
            words.find(|word| matches!(*word, "a" | "an"))?;
            1
        }
        count => count.parse::<u32>().ok()?,
    };
    let seconds = match words.next()?.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        "month" => 30 * 86_400,
        "year" => 365 * 86_400,
        _ => return None,
    };
    Duration::from_secs(seconds).checked_mul(count.checked_add(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (text, seconds) in [
            ("Less than a second", Some(2)),
            ("1 second", Some(2)),
            ("59 seconds (healthy)", Some(60)),
            ("About a minute", Some(120)),
            ("6 minutes ago", Some(420)),
            ("About an hour ago", Some(7200)),
            ("47 hours", Some(48 * 3600)),
            ("13 days", Some(14 * 86_400)),
            ("2 years", Some(3 * 365 * 86_400)),
            ("4294967295 years", None),
            ("-1 seconds", None),
            ("3", None),
            ("3 fortnights", None),
            ("About", None),
            ("", None),
        ] {
            assert_eq!(at_most(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn doubts() {
        let running = Metadata {
            state: State::Running,
            started: Some(1000.0),
            health: Some(Health::Healthy),
            ..crate::metadata::testing::metadata("a", "web")
        };
        let exited = Metadata {
            state: State::Exited,
            finished: Some(1000.0),
            exit_code: Some(7),
            ..crate::metadata::testing::metadata("a", "web")
        };
        for (known, name, state, status, now, doubts) in [
            (&running, "/web", Some(State::Running), "Up 3 minutes (healthy)", 1200.0, false),
            (&running, "/db/web", Some(State::Running), "Up 3 minutes", 1200.0, true),
            (&running, "/web", Some(State::Paused), "Up 3 minutes (Paused)", 1200.0, true),
            (&running, "/web", Some(State::Running), "Up 3 minutes (unhealthy)", 1200.0, true),
            (&running, "/web", Some(State::Running), "Up 3 minutes (health: starting)", 1200.0, true),
            // Podman's says nothing of health.
            (&running, "/web", Some(State::Running), "Up 3 minutes", 1200.0, false),
            (&running, "/web", Some(State::Running), "Up 3 seconds", 1200.0, true),
            (&running, "/web", Some(State::Running), "Up 3 seconds", 1008.9, false),
            (&running, "/web", None, "?", 1200.0, false),
            (&running, "/web", Some(State::Running), "Up long", 1200.0, false),
            (&exited, "/web", Some(State::Exited), "Exited (7) 3 minutes ago", 1200.0, false),
            (&exited, "/web", Some(State::Exited), "Exited (1) 3 minutes ago", 1200.0, true),
            (&exited, "/web", Some(State::Exited), "Exited (7) 3 seconds ago", 1200.0, true),
            (&exited, "/web", Some(State::Exited), "Exited (", 1200.0, false),
        ] {
            let listed = Listed {
                names: vec![name.to_owned()],
                state,
                status: status.to_owned(),
                ..Listed::default()
            };
            assert_eq!(listed.doubts(known, now), doubts, "{name} {state:?} {status}");
        }
    }
}
