//! A strict parser of the text exposition format 0.0.4: bytes in, a plain data model out.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>. What is accepted and what is refused follows Go's
//! `expfmt`, with names held to `[a-zA-Z_:][a-zA-Z0-9_:]*`, since that is what textfile authors have tested their files against:
//!
//! - Families need not be contiguous, HELP may come late; a second HELP or TYPE, or a TYPE after samples, is an error.
//! - The last line ends with a newline, or the text was cut.
//! - `h_sum` belongs to `h` if `h` was declared a histogram or summary before, else it is a family of its own.
//! - Series that come twice are kept twice: whether that is an error depends on who reads.
//!
//! It refuses three things more: `gauge_histogram`, which the format does not have and which crashes the original's textfile
//! collector; a quote in the middle of a name; and `le` or `quantile` given twice.
//!
//! An [`Error`] has a line number and a fixed text. Nothing of the input is ever in it, so it may be logged whatever was read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::Kind;

/// What a scrape or a textfile says: families in order of their first line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exposition {
    /// The families that have at least one sample.
    pub families: Vec<Family>,
}

/// A family: its declaration and its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name, without a histogram's or summary's suffixes.
    pub name: String,
    /// The declared type, or [`Kind::Untyped`].
    pub kind: Kind,
    /// The HELP text, unescaped; `None` if there is none or an empty one. Bytes that are not UTF-8 are U+FFFD.
    pub help: Option<String>,
    /// The samples, in the order given.
    pub samples: Vec<Sample>,
}

/// One line: a series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which part of the family it is.
    pub part: Part,
    /// The labels as given, `le` and `quantile` among them, in order of their names; no name comes twice.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
}

/// What a sample is to its family. Only those of histograms and summaries have other parts than [`Part::Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The family's own name: a value, or a summary's quantile.
    Value,
    /// A histogram's `_bucket`.
    Bucket,
    /// The `_sum`.
    Sum,
    /// The `_count`.
    Count,
}

impl Part {
    /// What follows the family's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Part::Value => "",
            Part::Bucket => "_bucket",
            Part::Sum => "_sum",
            Part::Count => "_count",
        }
    }
}

/// Where a text breaks the format, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong with it: never anything out of the text.
    pub what: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Error {}

/// Parses a whole exposition.
///
/// # Errors
/// The first line that is not of the format.
pub fn parse(text: &[u8]) -> Result<Exposition, Error> {
    let mut parser = Parser::default();
    for (i, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let refused = |what| Error { line: i + 1, what };
        match line.strip_suffix(b"\n") {
            Some(line) => parser.line(line).map_err(refused)?,
            None if line.iter().all(|&b| is_blank(b)) => {}
            None => return Err(refused("the text ends in the middle of a line")),
        }
    }
    Ok(parser.finish())
}

/// Reads a number as Go's `ParseFloat` does, without its hexadecimal form and underscores: `Inf` and `NaN` in any case, no sign
/// before `NaN`, and too large a number is no number.
pub fn float(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let unsigned = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    let spelled = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    let refused = if spelled { value.is_nan() && unsigned.len() < text.len() } else { value.is_infinite() };
    (!refused).then_some(value)
}

type Line<T = ()> = Result<T, &'static str>;

#[derive(Default)]
struct Parser {
    families: Vec<Draft>,
    by_name: HashMap<String, usize>,
    /// The name of the last sample, what it belongs to: most lines repeat it.
    last: Option<(String, usize, Part)>,
}

/// A family whose type may still be told.
struct Draft {
    name: String,
    kind: Option<Kind>,
    help: Option<String>,
    samples: Vec<Sample>,
}

impl Parser {
    fn finish(self) -> Exposition {
        let families = self.families.into_iter().filter(|draft| !draft.samples.is_empty());
        let family = |Draft { name, kind, help, samples }| Family {
            name,
            kind: kind.unwrap_or(Kind::Untyped),
            help,
            samples,
        };
        Exposition { families: families.map(family).collect() }
    }

    fn line(&mut self, line: &[u8]) -> Line {
        let mut cursor = Cursor { rest: line };
        cursor.skip_blanks();
        match cursor.peek() {
            None => Ok(()),
            Some(b'#') => {
                cursor.rest = &cursor.rest[1..];
                self.comment(cursor)
            }
            Some(_) => self.sample(cursor),
        }
    }

    fn comment(&mut self, mut cursor: Cursor<'_>) -> Line {
        cursor.skip_blanks();
        let keyword = cursor.word();
        if keyword != b"HELP" && keyword != b"TYPE" {
            return Ok(());
        }
        cursor.skip_blanks();
        if cursor.rest.is_empty() {
            return Ok(());
        }
        let name = cursor.name().ok_or("HELP or TYPE without a valid metric name")?;
        if cursor.peek().is_some_and(|b| !is_blank(b)) {
            return Err("HELP or TYPE without a valid metric name");
        }
        if cursor.rest.is_empty() {
            return Ok(());
        }
        let (family, _) = self.family(&name)?;
        let draft = &mut self.families[family];
        cursor.skip_blanks();
        if cursor.rest.is_empty() {
            return Ok(());
        }
        if keyword == b"HELP" {
            if draft.help.is_some() {
                return Err("a second HELP for this family");
            }
            let help = unescape(cursor.rest).ok_or("HELP with an escape other than \\\\, \\n and \\\"")?;
            draft.help = Some(String::from_utf8_lossy(&help).into_owned());
        } else {
            if draft.kind.is_some() {
                return Err("a second TYPE for this family, or a TYPE after its samples");
            }
            draft.kind = Some(kind(cursor.rest).ok_or("a type that this format does not have")?);
        }
        Ok(())
    }

    fn sample(&mut self, mut cursor: Cursor<'_>) -> Line {
        let mut name = None;
        if cursor.peek() != Some(b'{') {
            name = Some(cursor.name().ok_or("no valid metric name at the start")?);
            cursor.skip_blanks();
        }
        let mut labels = Vec::new();
        if cursor.take(b'{') {
            name = cursor.labels(name, &mut labels)?;
        }
        let name = name.ok_or("labels without a metric name")?;
        let (family, part) = self.family(&name)?;
        let kind = *self.families[family].kind.get_or_insert(Kind::Untyped);
        labels.sort_unstable();
        if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a label that comes twice");
        }
        let special = |special| labels.iter().find(|(name, _)| name == special);
        match kind {
            Kind::Histogram if special("le").is_some_and(|le| float(le.1.as_bytes()).is_none()) => {
                return Err("a label le that is no number");
            }
            Kind::Summary if special("quantile").is_some_and(|q| float(q.1.as_bytes()).is_none()) => {
                return Err("a label quantile that is no number");
            }
            _ => {}
        }
        cursor.skip_blanks();
        let value = float(cursor.word()).ok_or("no number where the value should be")?;
        let negative = kind == Kind::Histogram && value < 0.0;
        let is_bucket = matches!(part, Part::Value | Part::Bucket) && special("le").is_some();
        if negative && (part == Part::Count || is_bucket) {
            return Err("a histogram with a negative count");
        }
        let mut timestamp = None;
        if !cursor.rest.is_empty() {
            cursor.skip_blanks();
            let digits = std::str::from_utf8(cursor.word()).ok().and_then(|text| text.parse().ok());
            timestamp = Some(digits.ok_or("something other than a timestamp after the value")?);
            if !cursor.rest.is_empty() {
                return Err("something after the timestamp");
            }
        }
        self.families[family].samples.push(Sample { part, labels, value, timestamp });
        Ok(())
    }

    /// The family that a name on a line means, and which part of it; made if there is none yet.
    fn family(&mut self, name: &[u8]) -> Line<(usize, Part)> {
        if let Some((last, family, part)) = &self.last
            && last.as_bytes() == name
        {
            return Ok((*family, *part));
        }
        let name = valid_name(name, true)
            .ok_or("a metric name with other characters than letters, digits, _ and :")?;
        let (family, part) = match self.by_name.get(name) {
            Some(&family) => (family, Part::Value),
            None => self.part_of(name).unwrap_or_else(|| {
                let draft = Draft { name: name.to_owned(), kind: None, help: None, samples: Vec::new() };
                self.families.push(draft);
                self.by_name.insert(name.to_owned(), self.families.len() - 1);
                (self.families.len() - 1, Part::Value)
            }),
        };
        self.last = Some((name.to_owned(), family, part));
        Ok((family, part))
    }

    /// The histogram or summary that was declared before and of which `name` is a part.
    fn part_of(&self, name: &str) -> Option<(usize, Part)> {
        [Part::Bucket, Part::Sum, Part::Count].into_iter().find_map(|part| {
            let base = name.strip_suffix(part.suffix())?;
            let &family = self.by_name.get(base)?;
            let fits = match self.families[family].kind? {
                Kind::Histogram => true,
                Kind::Summary => part != Part::Bucket,
                _ => false,
            };
            fits.then_some((family, part))
        })
    }
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.rest = &self.rest[1..];
        }
        there
    }

    fn split(&mut self, at: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(at);
        self.rest = rest;
        taken
    }

    fn while_(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&b| !test(b)).unwrap_or(self.rest.len());
        self.split(end)
    }

    fn skip_blanks(&mut self) {
        self.while_(is_blank);
    }

    fn word(&mut self) -> &'a [u8] {
        self.while_(|b| !is_blank(b))
    }

    /// A name, quoted or bare, which is not checked yet; `None` if there is none.
    fn name(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let name = self.while_(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        if name.is_empty() || self.peek() == Some(b'"') { None } else { Some(Cow::Borrowed(name)) }
    }

    /// A text in quotes; `None` if a quote or an escape is wrong.
    fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        if !self.take(b'"') {
            return None;
        }
        let mut end = 0;
        while *self.rest.get(end)? != b'"' {
            end += if self.rest[end] == b'\\' { 2 } else { 1 };
        }
        let text = self.split(end);
        self.take(b'"');
        unescape(text)
    }

    /// The labels up to the closing brace, and the metric's name, which may stand among them in quotes.
    fn labels(
        &mut self,
        mut name: Option<Cow<'a, [u8]>>,
        labels: &mut Vec<(String, String)>,
    ) -> Line<Option<Cow<'a, [u8]>>> {
        let outside = name.is_some();
        loop {
            self.skip_blanks();
            if self.take(b'}') {
                return Ok(name);
            }
            let label = self.name().ok_or("no valid label name")?;
            self.skip_blanks();
            if self.take(b'=') {
                let label = valid_name(&label, false).ok_or("no valid label name")?;
                if label == "__name__" {
                    return Err("the label __name__, which is reserved");
                }
                self.skip_blanks();
                let value = self.quoted().ok_or("a label value that is not rightly quoted")?;
                let value = std::str::from_utf8(&value).map_err(|_| "a label value that is not UTF-8")?;
                labels.push((label.to_owned(), value.to_owned()));
            } else if outside {
                return Err("a label without a value");
            } else if name.replace(label).is_some() {
                return Err("more than one metric name");
            }
            self.skip_blanks();
            if !self.take(b',') && self.peek() != Some(b'}') {
                return Err("neither a comma nor a closing brace after a label");
            }
        }
    }
}

fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

fn valid_name(name: &[u8], colons: bool) -> Option<&str> {
    let (&first, rest) = name.split_first()?;
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    if !letter(first) || !rest.iter().all(|&b| letter(b) || b.is_ascii_digit()) {
        return None;
    }
    std::str::from_utf8(name).ok()
}

fn unescape(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&b) = bytes.next() {
        plain.push(match b {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b @ (b'\\' | b'"') => *b,
                _ => return None,
            },
            b => b,
        });
    }
    Some(Cow::Owned(plain))
}

fn kind(word: &[u8]) -> Option<Kind> {
    [Kind::Counter, Kind::Gauge, Kind::Histogram, Kind::Summary, Kind::Untyped]
        .into_iter()
        .find(|kind| word.eq_ignore_ascii_case(kind.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Label, Text};
    use super::*;

    fn sample(part: Part, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Sample { part, labels, value, timestamp: None }
    }

    fn family(name: &str, kind: Kind, help: Option<&str>, samples: Vec<Sample>) -> Family {
        Family { name: name.to_owned(), kind, help: help.map(str::to_owned), samples }
    }

    fn families(text: impl AsRef<[u8]>) -> Vec<Family> {
        parse(text.as_ref()).unwrap().families
    }

    #[test]
    fn whitespace_comments_escapes_and_timestamps() {
        let text = r#"
# A normal comment.
#
# TYPE name counter
name{labelname="val1",basename="basevalue"} 3
name {labelname="val2",basename="base\"v\\al\nue"} 0.23 1234567890
# HELP name two-line\n doc  str\\ing

 # HELP  name2  	doc str"ing \" 2  
  #    TYPE    name2 gauge
	name2{labelname="val2"	,basename   =   "basevalue2"		} +Inf -54321
name2{ labelname = "val1" , }-Inf
#HELP bare text
bare+.5
"#;
        let stamped = |sample: Sample, ms| Sample { timestamp: Some(ms), ..sample };
        assert_eq!(
            families(text),
            [
                family(
                    "name",
                    Kind::Counter,
                    Some("two-line\n doc  str\\ing"),
                    vec![
                        sample(Part::Value, &[("basename", "basevalue"), ("labelname", "val1")], 3.0),
                        stamped(
                            sample(
                                Part::Value,
                                &[("basename", "base\"v\\al\nue"), ("labelname", "val2")],
                                0.23
                            ),
                            1_234_567_890
                        ),
                    ]
                ),
                family(
                    "name2",
                    Kind::Gauge,
                    Some("doc str\"ing \" 2  "),
                    vec![
                        stamped(
                            sample(
                                Part::Value,
                                &[("basename", "basevalue2"), ("labelname", "val2")],
                                f64::INFINITY
                            ),
                            -54321
                        ),
                        sample(Part::Value, &[("labelname", "val1")], f64::NEG_INFINITY),
                    ]
                ),
                family("bare", Kind::Untyped, Some("text"), vec![sample(Part::Value, &[], 0.5)]),
            ]
        );
    }

    #[test]
    fn parts_of_histograms_and_summaries_are_gathered_once_these_are_declared() {
        let text = "h_sum 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
                    # TYPE s SUMMARY\ns{quantile=\".5\"} 4\nother 1\ns_count 5\ns_bucket 6\n";
        assert_eq!(
            families(text),
            [
                family(
                    "h_sum",
                    Kind::Untyped,
                    None,
                    vec![sample(Part::Value, &[], 1.0), sample(Part::Value, &[], 3.0)]
                ),
                family(
                    "h",
                    Kind::Histogram,
                    None,
                    vec![sample(Part::Bucket, &[("le", "+Inf")], 2.0), sample(Part::Count, &[], 2.0)]
                ),
                family(
                    "s",
                    Kind::Summary,
                    None,
                    vec![sample(Part::Value, &[("quantile", ".5")], 4.0), sample(Part::Count, &[], 5.0)]
                ),
                family("other", Kind::Untyped, None, vec![sample(Part::Value, &[], 1.0)]),
                family("s_bucket", Kind::Untyped, None, vec![sample(Part::Value, &[], 6.0)]),
            ]
        );
    }

    #[test]
    fn what_is_odd_and_accepted() {
        assert_eq!(families(""), []);
        assert_eq!(families("\n \n\t\n  "), []);
        assert_eq!(families("# HELP x y\n# TYPE z gauge\n# HELP\n# TYPE \n# HELP a\n# HELP a \n"), []);
        // An empty HELP is none, so it may be followed by another.
        assert_eq!(families("# HELP a \n# HELP a b\na 1\n")[0].help.as_deref(), Some("b"));
        assert_eq!(families(b"# HELP a \xff\na 1\n")[0].help.as_deref(), Some("\u{fffd}"));
        let quoted = "{\"a\"} 1\n{x=\"y\",\"a\"} 2\na{\"x\"=\"z\",} 3\n# HELP \"a\" b\na{} 4\n";
        let samples = &families(quoted)[0].samples;
        assert_eq!(
            *samples,
            [
                sample(Part::Value, &[], 1.0),
                sample(Part::Value, &[("x", "y")], 2.0),
                sample(Part::Value, &[("x", "z")], 3.0),
                sample(Part::Value, &[], 4.0),
            ]
        );
        assert_eq!(families("a 1\nb 1\na 2\n").len(), 2);
        assert_eq!(families(":a_9 1\n")[0].name, ":a_9");
    }

    #[test]
    fn numbers_are_go_s() {
        for (text, value) in [
            ("08", 8.0),
            ("5.", 5.0),
            (".5", 0.5),
            ("+.5e1", 5.0),
            ("1E+2", 100.0),
            ("inf", f64::INFINITY),
            ("+InF", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("-0", -0.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
        ] {
            assert_eq!(float(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "{text}");
        }
        assert!(float(b"nAn").unwrap().is_nan());
        for text in [
            "", "+", ".", "e5", "1e", "0x10", "0X1p-3", "0b1", "0o7", "1_000", "1e400", "-1e999", "+NaN",
            "-nan", "infi", "1,5", "1\r", " 1", "--1", "\u{661}",
        ] {
            assert_eq!(float(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_refused_and_in_which_line() {
        for (text, line, what) in [
            (&b"bla 3.14\nblubber 42"[..], 2, "ends in the middle"),
            (b"bla 3.14\n# comment", 2, "ends in the middle"),
            (b"foo{f=\"1", 1, "ends in the middle"),
            (b"m{l=\"\\t\"} 1\n", 1, "quoted"),
            (b"m{l=\"new\nline\"} 1\n", 1, "quoted"),
            (b"m{l=\"\\\n", 1, "quoted"),
            (b"m{@=\"bla\"} 1\n", 1, "label name"),
            (b"m{a:b=\"bla\"} 1\n", 1, "label name"),
            (b"m{1a=\"bla\"} 1\n", 1, "label name"),
            (b"m{,} 1\n", 1, "label name"),
            (b"m{a=\"\",,} 1\n", 1, "label name"),
            (b"m{__name__=\"bla\"} 1\n", 1, "__name__"),
            (b"m{l+=\"bla\"} 1\n", 1, "without a value"),
            (b"m{l=bla} 1\n", 1, "quoted"),
            (b"m{l=\"a\" 1\n", 1, "neither a comma"),
            (b"m{l=\"a\"+} 1\n", 1, "neither a comma"),
            (b"m{l=\"a\",l=\"b\"} 1\n", 1, "twice"),
            (b"# TYPE m histogram\nm_bucket{le=\"1\",le=\"2\"} 1\n", 2, "twice"),
            (b"m{l=\"\xbd\"} 1\n", 1, "not UTF-8"),
            (b"\n# TYPE m summary\nm{quantile=\"bla\"} 1\n", 3, "quantile"),
            (b"# TYPE m histogram\nm_bucket{le=\"0x1p-3\"} 1\n", 2, "label le"),
            (b"# TYPE m histogram\nm_bucket{le=\"1\"} -1\n", 2, "negative"),
            (b"# TYPE m histogram\nm_count -0.5\n", 2, "negative"),
            (b"m 3.14 2.72\n", 1, "timestamp"),
            (b"m 3.14 2 3\n", 1, "after the timestamp"),
            (b"m 3.14 2 \n", 1, "after the timestamp"),
            (b"m 3.14 \n", 1, "timestamp"),
            (b"m 3.14 99999999999999999999\n", 1, "timestamp"),
            (b"m blubb\n", 1, "value"),
            (b"m\n", 1, "value"),
            (b"m{a=\"b\"}\n", 1, "value"),
            (b"m 0x10\n", 1, "value"),
            (b"m 1_000\n", 1, "value"),
            (b"m 1\r\n", 1, "value"),
            (b"\r\n", 1, "name at the start"),
            (b"# TYPE m counter\r\n", 1, "type"),
            (b"# TYPE m counter \n", 1, "type"),
            (b"# TYPE m bla\n", 1, "type"),
            (b"# TYPE m gauge_histogram\n", 1, "type"),
            (b"# TYPE m unknown\n", 1, "type"),
            (b"# TYPE met-ric\n", 1, "metric name"),
            (b"# HELP 1x y\n", 1, "metric name"),
            (b"# HELP m a \\t\n", 1, "escape"),
            (b"# HELP m a\\\n", 1, "escape"),
            (b"# HELP m one\n# HELP m two\n", 2, "second HELP"),
            (b"# TYPE m counter\n# TYPE m untyped\n", 2, "second TYPE"),
            (b"m 4.12\n# TYPE m counter\n", 2, "second TYPE"),
            (b"# TYPE m summary\n# TYPE m_sum gauge\n", 2, "second TYPE"),
            (b"@m{l=\"bla\"} 1\n", 1, "name at the start"),
            (b"\x00\n", 1, "name at the start"),
            (b"9m 1\n", 1, "metric name"),
            (b"met-ric 1\n", 1, "value"),
            (b"m\xc3\xa9 1\n", 1, "value"),
            (b"n\"13\" 1\n", 1, "name at the start"),
            (b"{l=\"bla\"} 1\n", 1, "without a metric name"),
            (b"{} 1\n", 1, "without a metric name"),
            (b"{\"a\",\"b\"} 1\n", 1, "more than one"),
            (b"{\"one.name\"} 1\n", 1, "metric name"),
            (b"{\"a\\xc5z\",l=\"bla\"} 1\n", 1, "label name"),
            (b"m{\"dotted.label\"=\"bla\"} 1\n", 1, "label name"),
            (b"m{\"a\"} 1\n", 1, "without a value"),
        ] {
            let error = parse(text).expect_err(&String::from_utf8_lossy(text));
            assert_eq!(error.line, line, "{:?}: {error}", text.escape_ascii().to_string());
            assert!(error.what.contains(what), "{:?}: {error}", text.escape_ascii().to_string());
        }
        assert_eq!(
            parse(b"a 1\nroot:$6$x:20228:0:99999:7:::\n").unwrap_err().to_string(),
            "line 2: no number where the value should be"
        );
    }

    /// Families with distinct names none of which is another's with a suffix, and samples that fit their type.
    fn any_families() -> impl Strategy<Value = Vec<Family>> {
        let value = prop_oneof![
            any::<f64>(),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(5e-324),
            Just(1e300),
            Just(u64::MAX as f64),
            Just(-0.0),
        ];
        let labels = proptest::collection::btree_map("[a-z_][a-z0-9_]{0,5}x", any::<String>(), 0..4);
        let samples = proptest::collection::vec((labels, value, any::<u8>()), 1..4);
        const KINDS: &[Kind] = &[Kind::Counter, Kind::Gauge, Kind::Histogram, Kind::Summary, Kind::Untyped];
        let help = proptest::option::of("[^ \t\n](.|\n)*");
        let one = (proptest::sample::select(KINDS), help, samples);
        proptest::collection::vec(one, 0..5).prop_map(move |families| {
            let make = |(i, (kind, help, samples)): (usize, (Kind, Option<String>, Vec<_>))| Family {
                name: format!("f{i}"),
                kind,
                help,
                samples: samples
                    .into_iter()
                    .map(|(labels, value, choice): (std::collections::BTreeMap<_, _>, f64, u8)| {
                        let mut labels: Vec<(String, String)> = labels.into_iter().collect();
                        let part = match (kind, choice % 4) {
                            (Kind::Histogram, 0 | 1) => Part::Bucket,
                            (Kind::Histogram | Kind::Summary, 2) => Part::Sum,
                            (Kind::Histogram | Kind::Summary, 3) => Part::Count,
                            _ => Part::Value,
                        };
                        let value = if kind == Kind::Histogram { value.abs() } else { value };
                        if part == Part::Bucket {
                            labels.push(("le".to_owned(), "0.5".to_owned()));
                        }
                        labels.sort();
                        Sample { part, labels, value, timestamp: None }
                    })
                    .collect(),
            };
            families.into_iter().enumerate().map(make).collect()
        })
    }

    /// NaN is unlike itself, and minus zero is written as zero.
    fn comparable(families: &[Family]) -> Vec<Family> {
        let mut families = families.to_vec();
        for sample in families.iter_mut().flat_map(|family| &mut family.samples) {
            if sample.value.is_nan() {
                sample.value = 0.123_456_789;
            }
        }
        families
    }

    proptest! {
        #[test]
        fn what_is_written_is_parsed_as_the_same(expected in any_families()) {
            let mut text = Text::new();
            for f in &expected {
                let mut family = text.family(&f.name, f.kind, f.help.as_deref().unwrap_or_default());
                for s in &f.samples {
                    let labels: Vec<Label<'_>> = s.labels.iter().map(|(n, v)| (n.as_str(), v.into())).collect();
                    family.suffixed(s.part.suffix(), &labels, s.value);
                }
            }
            let parsed = parse(text.bytes()).unwrap();
            prop_assert_eq!(comparable(&parsed.families), comparable(&expected));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nearly_right_bytes_never_panic_and_a_cut_line_is_refused(
            text in r#"([#{}=",\\ \na-c1.\t\x80]|# HELP |# TYPE |counter|histogram|le|_bucket|_sum|\{a="|"\} 1\n| NaN\n){0,40}"#,
            cut: proptest::sample::Index,
        ) {
            let _ = parse(text.as_bytes());
            let text = format!("a{{b=\"c\"}} 12\n{text}");
            let at = cut.index(text.len());
            if text.is_char_boundary(at) && !text[..at].ends_with('\n') && !text[..at].ends_with(['\t', ' ']) && at > 0 {
                prop_assert!(parse(&text.as_bytes()[..at]).is_err());
            }
        }
    }
}
