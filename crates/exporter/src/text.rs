//! The text exposition format 0.0.4, written straight into a reused buffer.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>. Number form and escapes are those of Go's client library,
//! byte for byte, so that an answer can be compared with the original's by `diff`.
//!
//! A collector writes family by family ([`Text::family`]), samples in order of their label values, labels in order of their names.
//! It reads and checks before it opens a family: nothing that can fail happens while one is open, so no family is ever half there.

use std::io::Write;

pub mod parse;

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// Not said.
    Untyped,
}

impl Kind {
    /// The word on the TYPE line.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Untyped => "untyped",
        }
    }
}

/// A label's value: bytes, or a number that is written as decimal digits.
#[derive(Debug, Clone, Copy)]
pub enum LabelValue<'a> {
    /// Any bytes; what is not UTF-8 is written as U+FFFD, quotes, backslashes and newlines are escaped.
    Bytes(&'a [u8]),
    /// A number, such as a CPU's.
    Int(u64),
}

/// A label: its name, and its value.
pub type Label<'a> = (&'a str, LabelValue<'a>);

/// A part of a sample's labels, for samples that share most of them.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// Labels laid out before by [`render_label`]: `a="x",b="y"`. If empty, it is as if it was not there.
    Rendered(&'a [u8]),
    /// One label.
    Label(&'a str, LabelValue<'a>),
}

impl<'a> From<&'a [u8]> for LabelValue<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        LabelValue::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for LabelValue<'a> {
    fn from(text: &'a str) -> Self {
        LabelValue::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a String> for LabelValue<'a> {
    fn from(text: &'a String) -> Self {
        LabelValue::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a Vec<u8>> for LabelValue<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        LabelValue::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for LabelValue<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        LabelValue::Bytes(bytes)
    }
}

impl From<u64> for LabelValue<'_> {
    fn from(number: u64) -> Self {
        LabelValue::Int(number)
    }
}

impl From<u32> for LabelValue<'_> {
    fn from(number: u32) -> Self {
        LabelValue::Int(number.into())
    }
}

/// A sample's value.
///
/// Prometheus knows 64-bit floats only; an integer is rounded to one, as the original does, and written without going through
/// the float printer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An unsigned integer.
    U(u64),
    /// A signed integer.
    I(i64),
    /// A float.
    F(f64),
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        Number::U(n)
    }
}
impl From<u32> for Number {
    fn from(n: u32) -> Self {
        Number::U(n.into())
    }
}
impl From<usize> for Number {
    fn from(n: usize) -> Self {
        Number::U(n as u64)
    }
}
impl From<i64> for Number {
    fn from(n: i64) -> Self {
        Number::I(n)
    }
}
impl From<i32> for Number {
    fn from(n: i32) -> Self {
        Number::I(n.into())
    }
}
impl From<f64> for Number {
    fn from(n: f64) -> Self {
        Number::F(n)
    }
}
impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Number::U(yes.into())
    }
}

/// A buffer of families in text form.
#[derive(Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    families: Vec<Segment>,
    verdict: Option<usize>,
    sorter: Sorter,
}

/// Memory for putting samples in order.
#[derive(Debug, Default)]
struct Sorter {
    lines: Vec<(usize, usize)>,
    bytes: Vec<u8>,
}

/// Where a family stands in a [`Text`].
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: usize,
    name: (usize, usize),
    samples: usize,
    end: usize,
}

impl Text {
    /// An empty text; nothing is allocated before the first family.
    pub const fn new() -> Self {
        let sorter = Sorter { lines: Vec::new(), bytes: Vec::new() };
        Text { bytes: Vec::new(), families: Vec::new(), verdict: None, sorter }
    }

    /// Forgets the families and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.families.clear();
        self.verdict = None;
    }

    /// Gives back the memory that an earlier, much longer text needed.
    pub fn shrink(&mut self) {
        const SMALL: usize = 64 * 1024;
        if self.bytes.capacity() > SMALL && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.shrink_to(2 * self.bytes.len());
            self.families.shrink_to_fit();
            self.sorter = Sorter::default();
        }
    }

    /// Opens a family. It ends when the handle is dropped; one that got no sample leaves nothing behind.
    ///
    /// `name` is a valid metric name, without a histogram's suffixes. A name may come only once.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        self.family_bytes(name.as_bytes(), kind, help.as_bytes())
    }

    /// As [`family`](Self::family), for a name made at run time from a kernel's key and a HELP that need not be UTF-8.
    pub fn family_bytes(&mut self, name: &[u8], kind: Kind, help: &[u8]) -> Family<'_> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(b"# HELP ");
        let name_start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len();
        self.bytes.push(b' ');
        escape_into(&mut self.bytes, help, false);
        self.bytes.extend_from_slice(b"\n# TYPE ");
        self.bytes.extend_from_slice(name);
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(kind.as_str().as_bytes());
        self.bytes.push(b'\n');
        let samples = self.bytes.len();
        Family { segment: Segment { start, name: (name_start, name_end), samples, end: samples }, text: self }
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Into<Number>) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// Everything written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many families there are.
    pub fn len(&self) -> usize {
        self.families.len()
    }

    /// Whether there is no family.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// The name of the family at `index`.
    pub fn name(&self, index: usize) -> &[u8] {
        let (start, end) = self.families[index].name;
        &self.bytes[start..end]
    }

    /// HELP, TYPE and samples of the family at `index`.
    pub fn segment(&self, index: usize) -> &[u8] {
        let Segment { start, end, .. } = self.families[index];
        &self.bytes[start..end]
    }

    /// The samples alone of the family at `index`.
    pub fn samples(&self, index: usize) -> &[u8] {
        let Segment { samples, end, .. } = self.families[index];
        &self.bytes[samples..end]
    }

    /// Makes this text give way: where another collector has a family of the same name, this one's is left out, and the last sample
    /// written, whose value is `0` or `1`, becomes `1` to tell of it.
    pub fn give_way(&mut self) {
        debug_assert!(self.bytes.ends_with(b" 0\n") || self.bytes.ends_with(b" 1\n"));
        self.verdict = Some(self.bytes.len() - 2);
    }

    /// Whether [`give_way`](Self::give_way) was called.
    pub fn gives_way(&self) -> bool {
        self.verdict.is_some()
    }

    /// Sets the sample of [`give_way`](Self::give_way), if there is one, to `1`.
    pub fn condemn(&mut self) {
        if let Some(at) = self.verdict {
            self.bytes[at] = b'1';
        }
    }
}

/// An open family: samples go here.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut Text,
    segment: Segment,
}

impl Family<'_> {
    /// Writes one sample. Labels come in order of their names; a label with an empty value is the same as none, and is written as given.
    #[inline]
    pub fn sample(&mut self, labels: &[Label<'_>], value: impl Into<Number>) {
        self.suffixed("", labels, value);
    }

    /// Writes one sample under the family's name and a suffix, such as `_bucket`.
    pub fn suffixed(&mut self, suffix: &str, labels: &[Label<'_>], value: impl Into<Number>) {
        debug_assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "labels in order of their names: {labels:?}");
        let bytes = &mut self.text.bytes;
        let (name_start, name_end) = self.segment.name;
        bytes.extend_from_within(name_start..name_end);
        bytes.extend_from_slice(suffix.as_bytes());
        let mut separator = b'{';
        for (name, value) in labels {
            bytes.push(separator);
            label_into(bytes, name, *value);
            separator = b',';
        }
        bytes.extend_from_slice(if labels.is_empty() { b" " } else { b"} " });
        number_into(bytes, value.into());
        bytes.push(b'\n');
    }

    /// Writes one sample whose labels are given in parts. All of them together come in order of their names.
    #[inline]
    pub fn parts(&mut self, labels: &[Part<'_>], value: impl Into<Number>) {
        let bytes = &mut self.text.bytes;
        let (name_start, name_end) = self.segment.name;
        bytes.extend_from_within(name_start..name_end);
        let mut separator = b'{';
        for part in labels {
            match *part {
                Part::Rendered([]) => continue,
                Part::Rendered(rendered) => {
                    bytes.push(separator);
                    bytes.extend_from_slice(rendered);
                }
                Part::Label(name, value) => {
                    bytes.push(separator);
                    label_into(bytes, name, value);
                }
            }
            separator = b',';
        }
        bytes.extend_from_slice(if separator == b'{' { b" " } else { b"} " });
        number_into(bytes, value.into());
        bytes.push(b'\n');
    }

    /// Writes sample lines that were laid out before, each whole, with the family's name and a newline at the end.
    pub fn lines(&mut self, lines: &[u8]) {
        debug_assert!(lines.last().is_none_or(|&b| b == b'\n'));
        self.text.bytes.extend_from_slice(lines);
    }
}

impl Family<'_> {
    /// Ends the family and puts its samples in order of their label values, for a collector to which another order comes naturally.
    pub fn sort(self) {
        let start = self.segment.samples;
        let Text { bytes, sorter, .. } = &mut *self.text;
        sorter.lines.clear();
        let mut at = start;
        for line in bytes[start..].split_inclusive(|&b| b == b'\n') {
            sorter.lines.push((at, at + line.len()));
            at += line.len();
        }
        let line = |&(start, end): &(usize, usize)| Line(&bytes[start..end]);
        if sorter.lines.is_sorted_by_key(line) {
            return;
        }
        sorter.lines.sort_unstable_by(|a, b| line(a).cmp(&line(b)));
        sorter.bytes.clear();
        for &(start, end) in &sorter.lines {
            sorter.bytes.extend_from_slice(&bytes[start..end]);
        }
        bytes[start..].copy_from_slice(&sorter.bytes);
    }
}

/// A sample line, ordered by its label values: the quote that ends a value comes before all that may stand in one.
#[derive(PartialEq, Eq)]
struct Line<'a>(&'a [u8]);

impl Ord for Line<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |&b: &u8| if b == b'"' { 0 } else { b };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for Line<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        self.segment.end = self.text.bytes.len();
        if self.segment.end == self.segment.samples || std::thread::panicking() {
            self.text.bytes.truncate(self.segment.start);
        } else {
            self.text.families.push(self.segment);
        }
    }
}

/// Appends a label for [`Part::Rendered`], after a comma unless it is the first one in `out`.
pub fn render_label(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    label_into(out, name, LabelValue::Bytes(value));
}

#[inline]
fn label_into(out: &mut Vec<u8>, name: &str, value: LabelValue<'_>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    match value {
        LabelValue::Bytes(value) => escape_into(out, value, true),
        LabelValue::Int(value) => integer_into(out, value),
    }
    out.push(b'"');
}

/// Appends `text` with `\` and newline escaped, quotes too if `quotes`, and bytes that are not UTF-8 replaced by U+FFFD.
pub fn escape_into(out: &mut Vec<u8>, text: &[u8], quotes: bool) {
    // Without an early exit, so that the compiler looks at many bytes at once.
    let special = |found: bool, &b: &u8| found | !b.is_ascii() | (b == b'\\') | (b == b'\n') | (b == b'"');
    if !text.iter().fold(false, special) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for &b in chunk.valid().as_bytes() {
            match b {
                b'\\' => out.extend_from_slice(br"\\"),
                b'\n' => out.extend_from_slice(br"\n"),
                b'"' if quotes => out.extend_from_slice(br#"\""#),
                _ => out.push(b),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends a value as Go's `strconv.FormatFloat(v, 'g', -1, 64)` prints it: the shortest digits that read back as the same float,
/// with an exponent from 1e+06 on and below 1e-04.
pub fn number_into(out: &mut Vec<u8>, number: Number) {
    const EXACT: u64 = 1 << 53;
    match number {
        Number::U(n) if n <= EXACT => whole_into(out, n),
        Number::U(n) => float_into(out, n as f64),
        Number::I(n) if n.unsigned_abs() <= EXACT => {
            if n < 0 {
                out.push(b'-');
            }
            whole_into(out, n.unsigned_abs());
        }
        Number::I(n) => float_into(out, n as f64),
        Number::F(v) => float_into(out, v),
    }
}

fn float_into(out: &mut Vec<u8>, v: f64) {
    const EXACT: f64 = (1u64 << 53) as f64;
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    // Minus zero too.
    if v == 0.0 {
        out.push(b'0');
        return;
    }
    if v.is_sign_negative() {
        out.push(b'-');
    } else if v.is_infinite() {
        out.push(b'+');
    }
    let v = v.abs();
    if v.is_infinite() {
        out.extend_from_slice(b"Inf");
    } else if v <= EXACT && v.trunc() == v {
        whole_into(out, v as u64);
    } else {
        // The standard library's `{:e}` has the shortest digits; only their layout differs from Go's.
        let mut scratch = [0u8; 32];
        let mut rest = &mut scratch[..];
        let written = match write!(rest, "{v:e}") {
            Ok(()) => 32 - rest.len(),
            Err(_) => 0,
        };
        let text = &scratch[..written];
        let at = text.iter().position(|&b| b == b'e').unwrap_or(written);
        let exponent = std::str::from_utf8(&text[(at + 1).min(written)..])
            .ok()
            .and_then(|e| e.parse().ok())
            .unwrap_or(0);
        let mut digits = [0u8; 24];
        let mut count = 0;
        for &b in text[..at].iter().filter(|&&b| b != b'.') {
            digits[count] = b;
            count += 1;
        }
        digits_into(out, &digits[..count], exponent);
    }
}

/// A whole number of at most 2^53, in the float layout.
fn whole_into(out: &mut Vec<u8>, n: u64) {
    if n < 1_000_000 {
        return integer_into(out, n);
    }
    let mut digits = [0u8; 20];
    let text = decimal(n, &mut digits);
    let exponent = text.len() as i32 - 1;
    let significant = text.iter().rposition(|&b| b != b'0').map_or(1, |last| last + 1);
    digits_into(out, &text[..significant], exponent);
}

/// Lays out `d.ddd × 10^exponent`, digits without trailing zeros.
fn digits_into(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    if !(-4..6).contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.unsigned_abs() < 10 {
            out.push(b'0');
        }
        integer_into(out, exponent.unsigned_abs().into());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-1 - exponent) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() > whole {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        } else {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - digits.len(), b'0');
        }
    }
}

/// Appends decimal digits.
pub fn integer_into(out: &mut Vec<u8>, n: u64) {
    let mut digits = [0u8; 20];
    out.extend_from_slice(decimal(n, &mut digits));
}

fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(number: impl Into<Number>) -> String {
        let mut out = Vec::new();
        number_into(&mut out, number.into());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_that_was_long_gives_its_memory_back() {
        let mut text = Text::new();
        let mut fill = |samples: u64| {
            text.clear();
            let mut family = text.family("a", Kind::Gauge, "A.");
            (0..samples).for_each(|n| family.sample(&[("n", n.into())], n));
            drop(family);
            let before = text.bytes().to_vec();
            text.shrink();
            assert_eq!(text.bytes(), before);
            text.bytes.capacity()
        };
        let large = fill(100_000);
        assert!(large > 1 << 20);
        assert_eq!(fill(90_000), large);
        assert!(fill(10) < 1024);
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        // Each checked with strconv.FormatFloat(v, 'g', -1, 64).
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-125_000.0, "-125000"),
            (329_204.0, "329204"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_150_976.0, "1.150976e+06"),
            (1.305e-6, "1.305e-06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.21, "0.21"),
            (123_456.789, "123456.789"),
            (1_234_567.5, "1.2345675e+06"),
            (1.7e308, "1.7e+308"),
            (5e-324, "5e-324"),
            (1e21, "1e+21"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(print(value), text);
        }
        assert_eq!(print(u64::MAX), "1.8446744073709552e+19");
        assert_eq!(print(i64::MIN), "-9.223372036854776e+18");
        assert_eq!(print(-1i64), "-1");
        assert_eq!(print(16_384_000_000u64), "1.6384e+10");
        assert_eq!(print(true), "1");
    }

    #[test]
    fn a_family_is_written_whole_and_escaped() {
        let mut text = Text::new();
        {
            let mut family = text.family("node_x_total", Kind::Counter, "A \\ and\na \"quote\".");
            family.sample(&[("a", b"q\" b\\ n\n \xff".into()), ("cpu", 12u64.into())], 1u64);
            family.sample(&[], 2.5);
        }
        drop(text.family("node_empty", Kind::Gauge, "No samples."));
        text.single("node_y", Kind::Gauge, "One.", 3u64);
        assert_eq!(
            std::str::from_utf8(text.bytes()).unwrap(),
            "# HELP node_x_total A \\\\ and\\na \"quote\".\n# TYPE node_x_total counter\n\
             node_x_total{a=\"q\\\" b\\\\ n\\n \u{fffd}\",cpu=\"12\"} 1\nnode_x_total 2.5\n\
             # HELP node_y One.\n# TYPE node_y gauge\nnode_y 3\n"
        );
        assert_eq!((text.len(), text.name(0), text.name(1)), (2, &b"node_x_total"[..], &b"node_y"[..]));
        assert_eq!(text.samples(1), b"node_y 3\n");
        text.clear();
        assert!(text.is_empty() && text.bytes().is_empty());
    }

    #[test]
    fn labels_in_parts_are_one_list() {
        let mut rendered = Vec::new();
        render_label(&mut rendered, "id", b"/a\"b");
        render_label(&mut rendered, "image", b"");
        render_label(&mut rendered, "name", b"c\n\xff");
        assert_eq!(rendered, "id=\"/a\\\"b\",image=\"\",name=\"c\\n\u{fffd}\"".as_bytes());
        let mut text = Text::new();
        let mut family = text.family("x", Kind::Gauge, "X.");
        family.parts(&[], 1u64);
        family.parts(&[Part::Rendered(b""), Part::Rendered(b"")], 2u64);
        family.parts(&[Part::Rendered(b""), Part::Label("cpu", 3u64.into())], 3u64);
        family.parts(&[Part::Label("a", "1".into()), Part::Rendered(b"b=\"2\""), Part::Rendered(b"")], 4u64);
        family.parts(
            &[Part::Rendered(b"b=\"2\""), Part::Label("c", b"\\".into()), Part::Rendered(b"d=\"4\"")],
            5.5,
        );
        drop(family);
        assert_eq!(
            std::str::from_utf8(text.samples(0)).unwrap(),
            "x 1\nx 2\nx{cpu=\"3\"} 3\nx{a=\"1\",b=\"2\"} 4\nx{b=\"2\",c=\"\\\\\",d=\"4\"} 5.5\n"
        );
    }

    #[test]
    fn samples_are_sorted_by_label_value() {
        let mut text = Text::new();
        let mut family = text.family("x", Kind::Gauge, "X.");
        for name in ["b", "a b", "a", "10", "1", "a!"] {
            family.sample(&[("name", name.into())], 1u64);
        }
        family.sort();
        assert_eq!(
            std::str::from_utf8(text.samples(0)).unwrap(),
            "x{name=\"1\"} 1\nx{name=\"10\"} 1\nx{name=\"a\"} 1\nx{name=\"a b\"} 1\nx{name=\"a!\"} 1\nx{name=\"b\"} 1\n"
        );
    }

    #[test]
    fn a_text_that_gives_way_tells_of_it() {
        let mut text = Text::new();
        text.single("error", Kind::Gauge, "Whether.", 0u64);
        text.give_way();
        assert!(text.gives_way());
        text.condemn();
        assert_eq!(text.samples(0), b"error 1\n");
        text.clear();
        assert!(!text.gives_way());
    }

    #[test]
    fn a_family_that_a_panic_cuts_short_leaves_nothing() {
        let mut text = Text::new();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut family = text.family("half", Kind::Gauge, "Half.");
            family.sample(&[], 1u64);
            panic!("while a family is open");
        }));
        assert!(result.is_err() && text.is_empty() && text.bytes().is_empty());
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same_float(bits: u64) {
            let v = f64::from_bits(bits);
            let back: f64 = print(v).parse().unwrap();
            prop_assert!(back == v || (back.is_nan() && v.is_nan()), "{} {}", print(v), v);
        }

        #[test]
        fn an_integer_and_its_float_print_alike(n: u64) {
            prop_assert_eq!(print(n), print(n as f64));
            prop_assert_eq!(print(n as i64), print(n as i64 as f64));
        }
    }
}
