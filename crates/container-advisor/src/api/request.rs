//! What a client may ask for: in a body in v1, in the query in v2.

use exporter::flags::duration;
use serde_json::Value;

use crate::metadata::Runtime;

/// Which samples are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// At most so many, the newest; `None` is all.
    pub count: Option<usize>,
    /// None from before, in seconds since 1970.
    pub start: Option<f64>,
    /// None from after, in seconds since 1970.
    pub end: Option<f64>,
}

impl Window {
    /// v1's without a body.
    const DEFAULT: Window = Window { count: Some(60), start: None, end: None };

    /// A body of v1: `{"num_stats": 60, "start": "2026-…", "end": "2026-…"}`, read as Go reads it: keys in any case, others ignored,
    /// what follows the object too. Without one, the last 60 samples.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_body(body: &[u8]) -> Result<Self, String> {
        let mut window = Window::DEFAULT;
        let failed = |why: &dyn std::fmt::Display| format!("unable to decode the json value: {why}");
        let object = match serde_json::Deserializer::from_slice(body).into_iter().next() {
            None | Some(Ok(Value::Null)) => return Ok(window),
            Some(Ok(Value::Object(object))) => object,
            Some(Ok(_)) => return Err(failed(&"it is no object")),
            Some(Err(error)) => return Err(failed(&error)),
        };
        for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            if key.eq_ignore_ascii_case("num_stats") {
                let count = value.as_i64().ok_or_else(|| failed(&"num_stats must be a whole number"))?;
                window.count = usize::try_from(count).ok();
            } else if key.eq_ignore_ascii_case("start") {
                window.start = time(value).ok_or_else(|| failed(&"start must be a time in RFC 3339"))?;
            } else if key.eq_ignore_ascii_case("end") {
                window.end = time(value).ok_or_else(|| failed(&"end must be a time in RFC 3339"))?;
            }
        }
        Ok(window)
    }
}

/// A time; none if it is Go's zero, the year 1.
fn time(value: &Value) -> Option<Option<f64>> {
    let text = value.as_str()?;
    let is_zero = text.starts_with("0001-01-01T00:00:00");
    if is_zero { Some(None) } else { Some(Some(crate::docker::seconds(text)?)) }
}

/// How v2 names containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The path of the cgroup.
    Path,
    /// A container's name or id, or the beginning of one.
    Name(Runtime),
}

/// The query of v2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// `type`: `name`, `docker` or `podman`.
    pub by: By,
    /// `recursive=true`: those below, too.
    pub is_recursive: bool,
    /// `count`: 64, or all for -1.
    pub window: Window,
}

impl Options {
    /// From the pairs of a query. `max_age` is checked and has no effect: no answer is older than a second.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn from_query(query: &[(String, String)]) -> Result<Self, String> {
        let first = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, value)| &**value);
        let given = |key: &str| first(key).filter(|value| !value.is_empty());
        let by = match given("type") {
            None | Some("name") => By::Path,
            Some("docker") => By::Name(Runtime::Docker),
            Some("podman") => By::Name(Runtime::Podman),
            Some(other) => return Err(format!("unknown 'type' {other:?}")),
        };
        let count: i64 = match given("count") {
            None => 64,
            Some(text) => text.parse().map_err(|_| format!("failed to parse 'count' option: {text}"))?,
        };
        if count < -1 {
            return Err(format!("invalid 'count' option: only -1 and larger values allowed, not {count}"));
        }
        if let Some(text) =
            given("max_age").filter(|text| duration(text.trim_start_matches(['+', '-'])).is_none())
        {
            return Err(format!("failed to parse 'max_age' option: invalid duration {text:?}"));
        }
        let window = Window { count: usize::try_from(count).ok(), start: None, end: None };
        Ok(Options { by, is_recursive: first("recursive") == Some("true"), window })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let window = |count, start, end| Ok(Window { count, start, end });
        for (body, expected) in [
            ("", window(Some(60), None, None)),
            (" \n", window(Some(60), None, None)),
            ("null", window(Some(60), None, None)),
            ("{}", window(Some(60), None, None)),
            (r#"{"num_stats":2}"#, window(Some(2), None, None)),
            (r#"{"num_stats":2} trailing"#, window(Some(2), None, None)),
            (r#"{"num_stats":0}"#, window(Some(0), None, None)),
            (r#"{"num_stats":-1}"#, window(None, None, None)),
            (r#"{"num_stats":-5}"#, window(None, None, None)),
            (r#"{"num_stats":null,"x":[{}]}"#, window(Some(60), None, None)),
            (r#"{"NUM_STATS":1}"#, window(Some(1), None, None)),
            (
                r#"{"num_stats":-1,"start":"1970-01-01T00:00:01.5Z","end":"1970-01-01T02:00:00+01:00"}"#,
                window(None, Some(1.5), Some(3600.0)),
            ),
            (
                r#"{"num_stats":60,"start":"0001-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"}"#,
                window(Some(60), None, None),
            ),
        ] {
            assert_eq!(Window::from_body(body.as_bytes()), expected, "{body}");
        }
        for bad in [
            "{bad",
            "[]",
            "7",
            "\"x\"",
            r#"{"num_stats":"x"}"#,
            r#"{"num_stats":1.5}"#,
            r#"{"num_stats":1e99}"#,
            r#"{"start":"x"}"#,
            r#"{"end":7}"#,
            r#"{"num_stats":1"#,
            "\0",
            &"[".repeat(60_000),
        ] {
            let error = Window::from_body(bad.as_bytes()).unwrap_err();
            assert!(error.starts_with("unable to decode the json value: "), "{error}");
        }
        assert!(Window::from_body(b"\xff").is_err());
    }

    #[test]
    fn queries() {
        let options = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Options::from_query(&pairs)
        };
        let window = |count| Window { count, start: None, end: None };
        let expected = Options { by: By::Path, is_recursive: false, window: window(Some(64)) };
        assert_eq!(options(&[]), Ok(expected));
        assert_eq!(
            options(&[("type", ""), ("count", ""), ("recursive", "1"), ("max_age", "")]),
            Ok(expected)
        );
        let expected = Options { by: By::Name(Runtime::Docker), is_recursive: true, window: window(None) };
        let given =
            [("type", "docker"), ("type", "x"), ("count", "-1"), ("recursive", "true"), ("max_age", "1m30s")];
        assert_eq!(options(&given), Ok(expected));
        assert_eq!(options(&[("type", "podman")]).map(|o| o.by), Ok(By::Name(Runtime::Podman)));
        for (key, value, error) in [
            ("type", "x", "unknown 'type' \"x\""),
            ("count", "x", "failed to parse 'count' option: x"),
            ("count", "99999999999999999999", "failed to parse 'count' option: 99999999999999999999"),
            ("count", "-2", "invalid 'count' option: only -1 and larger values allowed, not -2"),
            ("max_age", "x", "failed to parse 'max_age' option: invalid duration \"x\""),
        ] {
            assert_eq!(options(&[(key, value)]), Err(error.to_owned()));
        }
    }
}
