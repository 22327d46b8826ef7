//! Log lines on standard error, in logfmt or JSON, in the form that the originals' users parse.
//!
//! A line is one write(2). If nobody drains the pipe behind standard error, lines are dropped: a log must not hold a scrape. A pipe that is
//! ready takes [`MOST`] bytes without blocking, so lines are no longer than that and are written one at a time.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::flags::{Flag, Flags};

/// The flags that steer the log.
pub const FLAGS: &[Flag] = &[
    Flag::one_of(
        "log.level",
        &["info", "debug", "warn", "error"],
        "Least level of the messages that are logged.",
    ),
    Flag::one_of("log.format", &["logfmt", "json"], "Form of the log lines."),
];

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What the program does.
    Info,
    /// Something is wrong, and the program goes on.
    Warn,
    /// Something cannot be done.
    Error,
}

struct Settings {
    least: Level,
    json: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Takes the level and the form from the flags, once.
pub fn init(flags: &Flags) {
    let least = match flags.text("log.level") {
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    };
    let _ = SETTINGS.set(Settings { least, json: flags.text("log.format") == "json" });
}

/// Whether messages of this level are written.
pub fn enabled(level: Level) -> bool {
    level >= SETTINGS.get().map_or(Level::Info, |s| s.least)
}

/// The most bytes of a line: PIPE_BUF.
const MOST: usize = 4096;

/// Writes a message with its pairs of key and value.
pub fn write(level: Level, source: &str, message: &str, pairs: &[(&str, &dyn fmt::Display)]) {
    if !enabled(level) {
        return;
    }
    static TURN: Mutex<()> = Mutex::new(());
    let json = SETTINGS.get().is_some_and(|s| s.json);
    let mut line = line(json, SystemTime::now(), level, source, message, pairs);
    if line.len() > MOST {
        line.truncate(line.floor_char_boundary(MOST - "\n".len()));
        line.push('\n');
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let stderr = rustix::stdio::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1) {
        // There is nowhere to report that the log itself cannot be written.
        let _ = rustix::io::write(stderr, line.as_bytes());
    }
}

/// Tells where the program panicked, once a minute: in the form of the log, without waiting for whoever reads it, and without the
/// message, which may quote what a file says.
pub fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
        *last = Some(Instant::now());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        write(Level::Error, module_path!(), "panic: please report it", &[("place", &place)]);
    }
}

fn line(
    json: bool,
    time: SystemTime,
    level: Level,
    source: &str,
    message: &str,
    pairs: &[(&str, &dyn fmt::Display)],
) -> String {
    let level = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let time = timestamp(time);
    let mut line = String::new();
    let mut put = |key: &str, value: &str| {
        if json {
            line.push_str(if line.is_empty() { "{" } else { "," });
            quote(&mut line, key);
            line.push(':');
            quote(&mut line, value);
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(key);
            line.push('=');
            if value.is_empty()
                || value.contains(|c: char| c <= ' ' || matches!(c, '"' | '=' | '\\' | '\u{7f}'..='\u{9f}'))
            {
                quote(&mut line, value);
            } else {
                line.push_str(value);
            }
        }
    };
    put("time", &time);
    put("level", level);
    put("source", source);
    put("msg", message);
    for (key, value) in pairs {
        put(key, &value.to_string());
    }
    line.push_str(if json { "}\n" } else { "\n" });
    line
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// UTC with milliseconds, as `2026-11-20T13:50:48.174Z`.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// The Gregorian date of a day since 1970-01-01, by counting in eras of 400 years that begin in March.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Logs at a level: `log!(Info, "Listening on", address = address)`.
#[macro_export]
macro_rules! log {
    ($level:ident, $message:expr $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::log::write(
            $crate::log::Level::$level,
            concat!(module_path!(), ":", line!()),
            $message,
            &[$((stringify!($key), &$value as &dyn ::std::fmt::Display)),*],
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_182_648_174);
        let pairs: &[(&str, &dyn fmt::Display)] =
            &[("address", &"[::]:9100"), ("n", &3), ("bad", &"a \"b\"\n\u{1}")];
        assert_eq!(
            line(false, time, Level::Info, "web:1", "Listening on", pairs),
            "time=2026-11-20T13:50:48.174Z level=INFO source=web:1 msg=\"Listening on\" address=[::]:9100 n=3 bad=\"a \\\"b\\\"\\n\\u0001\"\n"
        );
        assert_eq!(
            line(true, time, Level::Error, "web:1", "no", pairs),
            "{\"time\":\"2026-11-20T13:50:48.174Z\",\"level\":\"ERROR\",\"source\":\"web:1\",\"msg\":\"no\",\"address\":\"[::]:9100\",\"n\":\"3\",\"bad\":\"a \\\"b\\\"\\n\\u0001\"}\n"
        );
    }

    #[test]
    fn dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_777, (2026, 11, 20)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
    }
}
