//! Metrics that other programs leave in files: `*.prom` in the directories of `--collector.textfile.directory`, in the text format,
//! see <https://github.com/prometheus/node_exporter#textfile-collector>.
//!
//! A file is served whole or not at all: one that breaks the format, has timestamps, or has a series twice is left out. Where two files
//! disagree, the first one (in the order of the flags, then by name) wins. Either way `node_textfile_scrape_error` is 1, the collector
//! succeeds, and the rest is served. Only regular files are opened, at most [`FILES`] of them with [`BYTES`] together.
//!
//! Whatever a file is a link to, nothing of it gets into a message: messages have paths and line numbers.
//!
//! A file that has not changed is not read again. What it says is kept as lines laid out for the answer, and so is the order of all
//! lines: a scrape over unchanged files costs a stat for each, and a copy.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exporter::text::parse::{self, Part, Sample, parse};
use exporter::text::{LabelValue, Number, escape_into, number_into};
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Buf, Dir, Names, Stamp};

pub(crate) const ENTRY: Entry = Entry {
    name: "textfile",
    on: true,
    help: "Metrics from files that other programs write.",
    flags: &[Flag::list(
        "collector.textfile.directory",
        "Directory with *.prom files in text format; may be a shell pattern (repeatable).",
    )],
    new: |flags| {
        let patterns = flags.list("collector.textfile.directory").iter();
        Ok(Box::new(Textfile {
            patterns: patterns.filter(|pattern| !pattern.is_empty()).map(PathBuf::from).collect(),
            ..Textfile::default()
        }))
    },
};

/// The most bytes of all files together; files past that are left out.
const BYTES: usize = 64 << 20;

/// The most files; those past that are left out.
const FILES: usize = 10_000;

/// The most families; those past that are left out.
const FAMILIES: usize = 30_000;

/// The most label values of a family in one file. Each series gets all labels that any series has, so a small file could ask for much memory.
const CELLS: usize = 4 << 20;

/// How long a fault goes without being logged again.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How many faults a scrape logs at most.
const LOG_MOST: usize = 20;

const MTIME: &str = "node_textfile_mtime_seconds";
const SCRAPE_ERROR: &str = "node_textfile_scrape_error";

#[derive(Default)]
struct Textfile {
    patterns: Vec<PathBuf>,
    names: Names,
    files: Vec<File>,
    merged: Merged,
    logged: HashMap<Fault, Instant>,
}

/// A file as it was when it was last read.
struct File {
    /// The directory as given, joined with the name, as it stands in labels and messages.
    path: Vec<u8>,
    /// Which of the flags it is from.
    pattern: usize,
    stamp: Option<Stamp>,
    /// Whether its time stamps would show a further change: they are too coarse for two changes within one tick of the clock.
    settled: bool,
    content: Result<Vec<Content>, Reason>,
}

/// One family of one file. All its series have the same labels.
struct Content {
    name: String,
    kind: Kind,
    help: Option<String>,
    /// Label names in order, without `le` and `quantile` where these are not labels but parts.
    labels: Vec<String>,
    series: Vec<Series>,
}

/// A series, or all lines of a histogram or summary.
struct Series {
    values: Vec<Box<str>>,
    lines: Box<[u8]>,
}

/// All files' families put together.
#[derive(Default)]
struct Merged {
    families: Vec<MergedFamily>,
    /// The files that are served, in order of path, which is not theirs if there are several directories.
    served: Vec<u32>,
    faults: Vec<Fault>,
}

struct MergedFamily {
    name: String,
    kind: Kind,
    help: String,
    /// Where the lines are, in the order in which they are written: file, family, series.
    series: Vec<[u32; 3]>,
}

/// What is wrong, and where. Never what a file says.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Fault {
    path: Vec<u8>,
    reason: Reason,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Reason {
    Host(hostfs::Cause),
    Format(parse::Error),
    Timestamp,
    Twice,
    TooManyFiles,
    TooMuch,
    TooManyFamilies,
    TooManyLabels,
    /// In another file, too.
    SameSeries,
    OtherHelp,
    OtherType,
    Reserved,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Host(cause) => write!(f, "{cause}"),
            Reason::Format(error) => write!(f, "{error}"),
            Reason::Timestamp => f.write_str("has a sample with a timestamp: the whole file is left out"),
            Reason::Twice => f.write_str("has a series twice: the whole file is left out"),
            Reason::TooManyFiles => {
                write!(f, "more than {FILES} files: this one and those after it are left out")
            }
            Reason::TooMuch => write!(f, "more than {BYTES} bytes in all files: this one is left out"),
            Reason::TooManyFamilies => write!(f, "more than {FAMILIES} families: the others are left out"),
            Reason::TooManyLabels => {
                f.write_str("has a family with too many different labels: the whole file is left out")
            }
            Reason::SameSeries => {
                f.write_str("has a series that a file before it has: the first one is served")
            }
            Reason::OtherHelp => {
                f.write_str("has a HELP that differs from that of a file before it, which is served")
            }
            Reason::OtherType => {
                f.write_str("has a family that a file before it has with another type: it is left out")
            }
            Reason::Reserved => {
                f.write_str("has a family whose name is this collector's, or a part of another family's")
            }
        }
    }
}

impl Collector for Textfile {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let mut faults = Vec::new();
        if !self.patterns.is_empty() {
            if !self.is_unchanged() {
                self.refresh(&mut faults);
            }
            let refused = self
                .files
                .iter()
                .filter_map(|file| Some(Fault::new(&file.path, file.content.as_ref().err()?)));
            faults.extend(refused);
            faults.extend_from_slice(&self.merged.faults);
        }
        let own = self.merged.families.partition_point(|family| family.name.as_str() < MTIME);
        let (before, after) = self.merged.families.split_at(own);
        let between = after.partition_point(|family| family.name.as_str() < SCRAPE_ERROR);
        self.write(out, before);
        self.write_mtimes(out);
        self.write(out, &after[..between]);
        out.single(
            SCRAPE_ERROR,
            Kind::Gauge,
            "Whether a textfile could not be served as it is: 1 if so, else 0.",
            !faults.is_empty(),
        );
        out.give_way();
        self.write(out, &after[between..]);
        self.log(faults);
        Ok(())
    }
}

impl Textfile {
    fn write(&self, out: &mut Text, families: &[MergedFamily]) {
        for MergedFamily { name, kind, help, series } in families {
            let mut family = out.family(name, *kind, help);
            for &[file, content, series] in series {
                if let Ok(contents) = &self.files[file as usize].content {
                    family.lines(&contents[content as usize].series[series as usize].lines);
                }
            }
        }
    }

    fn write_mtimes(&self, out: &mut Text) {
        let mut mtimes = out.family(
            MTIME,
            Kind::Gauge,
            "When a textfile that is served was modified, in seconds since the epoch.",
        );
        for &file in &self.merged.served {
            let File { path, stamp, .. } = &self.files[file as usize];
            if let Some(stamp) = stamp {
                mtimes.sample(&[("file", LabelValue::from(path))], stamp.modified_seconds());
            }
        }
    }

    /// Logs what was not logged within the last minute.
    fn log(&mut self, faults: Vec<Fault>) {
        self.logged.retain(|_, at| at.elapsed() < LOG_EVERY);
        let mut left = LOG_MOST;
        for fault in faults {
            if left > 0 && !self.logged.contains_key(&fault) {
                left -= 1;
                let path = String::from_utf8_lossy(&fault.path);
                exporter::log!(Error, "textfile is not served as it is", path = path, err = fault.reason);
                self.logged.insert(fault, Instant::now());
            }
        }
    }

    /// Whether every file is there and as it was. Costs a stat a file, and no memory.
    fn is_unchanged(&mut self) -> bool {
        let mut files = self.files.iter();
        for (i, pattern) in self.patterns.iter().enumerate() {
            let is_literal = !pattern.as_os_str().as_bytes().iter().any(|b| b"*?[\\".contains(b));
            let Some(dir) = is_literal.then(|| Dir::open(pattern).ok()).flatten() else { return false };
            if dir.names(&mut self.names).is_err() {
                return false;
            }
            for name in self.names.iter().filter(|name| is_textfile(name)) {
                let is_same = |file: &File| {
                    let stamp = || dir.stamp(name).is_ok_and(|stamp| file.stamp == Some(stamp));
                    file.pattern == i && file.name() == name.as_bytes() && file.settled && stamp()
                };
                if !files.next().is_some_and(is_same) {
                    return false;
                }
            }
        }
        files.next().is_none()
    }

    /// Looks which files there are, and reads those that are not as they were.
    fn refresh(&mut self, faults: &mut Vec<Fault>) {
        let old = std::mem::take(&mut self.files);
        let count = old.len();
        let mut known: HashMap<Vec<u8>, (usize, File)> =
            old.into_iter().enumerate().map(|(i, file)| (file.path.clone(), (i, file))).collect();
        let mut same = true;
        let mut bytes = BYTES;
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let patterns = self.patterns.iter().enumerate();
        'all: for (pattern, path) in
            patterns.flat_map(|(i, pattern)| directories(pattern).map(move |path| (i, path)))
        {
            let dir = match Dir::open(&path).and_then(|dir| dir.names(&mut self.names).map(|()| dir)) {
                Ok(dir) => dir,
                Err(error) => {
                    faults.push(Fault::new(path.as_os_str().as_bytes(), &Reason::Host(error.cause)));
                    continue;
                }
            };
            for name in self.names.iter().filter(|name| is_textfile(name)) {
                let path = joined(&path, name);
                if !seen.insert(path.clone()) {
                    continue;
                }
                if self.files.len() >= FILES {
                    faults.push(Fault::new(&path, &Reason::TooManyFiles));
                    break 'all;
                }
                let (file, is_same) = match known.remove(&path) {
                    Some((i, mut file))
                        if file.settled && dir.stamp(name).ok() == file.stamp && file.size() <= bytes =>
                    {
                        file.pattern = pattern;
                        (file, i == self.files.len())
                    }
                    before => {
                        let file = File::read(&dir, name, path, pattern, bytes);
                        let was_refused =
                            before.is_some_and(|(i, f)| i == self.files.len() && f.content.is_err());
                        let is_same = was_refused && file.content.is_err();
                        (file, is_same)
                    }
                };
                same &= is_same;
                bytes -= file.size().min(bytes);
                self.files.push(file);
            }
        }
        if !same || self.files.len() != count {
            self.merged = merge(&self.files);
        }
    }
}

/// The directories that a pattern means: itself, if nothing matches.
fn directories(pattern: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let found = hostfs::glob(pattern);
    if found.is_empty() { vec![pattern.to_owned()].into_iter() } else { found.into_iter() }
}

fn is_textfile(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".prom")
}

/// Joins as Go's `filepath.Join` does, which the labels show: without `.`, `..` and doubled slashes.
fn joined(dir: &Path, name: &OsStr) -> Vec<u8> {
    let mut clean = PathBuf::new();
    for component in dir.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if clean.file_name().is_some() => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            component => clean.push(component),
        }
    }
    clean.join(name).into_os_string().into_encoded_bytes()
}

impl Fault {
    fn new(path: &[u8], reason: &Reason) -> Self {
        Fault { path: path.to_owned(), reason: reason.clone() }
    }
}

impl File {
    /// For how long after a change the time stamps are not trusted: FAT's are the coarsest.
    const UNSETTLED_SECONDS: i64 = 2;

    fn read(dir: &Dir, name: &OsStr, path: Vec<u8>, pattern: usize, cap: usize) -> Self {
        let mut file = File { path, pattern, stamp: None, settled: false, content: Ok(Vec::new()) };
        file.content = file.read_content(dir, name, cap);
        file
    }

    fn read_content(&mut self, dir: &Dir, name: &OsStr, cap: usize) -> Result<Vec<Content>, Reason> {
        let host = |error: hostfs::Error| match error.cause {
            hostfs::Cause::TooLong(_) => Reason::TooMuch,
            cause => Reason::Host(cause),
        };
        // A stat first: whatever is no regular file, a device among them, is not even opened.
        if !dir.stamp(name).map_err(host)?.is_regular() {
            return Err(Reason::Host(hostfs::Cause::Malformed("a regular file")));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
        // The buffer goes when the file has been read: it may be large, and files change rarely.
        let mut buf = Buf::new();
        let stamp = dir.read_regular(name, cap, &mut buf).map_err(host)?;
        self.stamp = Some(stamp);
        self.settled = now.saturating_sub(stamp.changed_seconds()) > Self::UNSETTLED_SECONDS;
        let exposition = parse(buf.bytes()).map_err(Reason::Format)?;
        drop(buf);
        exposition.families.into_iter().map(Content::new).collect()
    }

    fn name(&self) -> &[u8] {
        self.path.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// What it takes of the bytes that all files may have.
    fn size(&self) -> usize {
        match (&self.content, self.stamp) {
            (Ok(_), Some(stamp)) => usize::try_from(stamp.size()).unwrap_or(usize::MAX),
            _ => 0,
        }
    }
}

impl Content {
    fn new(family: parse::Family) -> Result<Self, Reason> {
        let parse::Family { name, kind, help, samples } = family;
        if samples.iter().any(|sample| sample.timestamp.is_some()) {
            return Err(Reason::Timestamp);
        }
        let special = match kind {
            Kind::Histogram => "le",
            Kind::Summary => "quantile",
            _ => "",
        };
        let labels = samples.iter().flat_map(|sample| &sample.labels).map(|(label, _)| label.as_str());
        let labels: BTreeSet<&str> = labels.filter(|label| *label != special).collect();
        if labels.len().saturating_mul(samples.len()) > CELLS {
            return Err(Reason::TooManyLabels);
        }
        let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
        // Samples of one series have the same values, in which a label that is missing is empty.
        let mut by_values: BTreeMap<Vec<Box<str>>, Vec<Sample>> = BTreeMap::new();
        for sample in samples {
            let value = |label: &String| {
                let found = sample.labels.binary_search_by(|(name, _)| name.cmp(label));
                Box::from(found.map_or("", |at| sample.labels[at].1.as_str()))
            };
            by_values.entry(labels.iter().map(value).collect()).or_default().push(sample);
        }
        let mut series = Vec::with_capacity(by_values.len());
        for (values, samples) in by_values {
            let mut lines = Lines { name: &name, labels: &labels, values: &values, bytes: Vec::new() };
            match kind {
                Kind::Histogram | Kind::Summary => lines.parts(&Parts::new(&samples, kind, special)?),
                Kind::Counter | Kind::Gauge | Kind::Untyped => {
                    let [sample] = &samples[..] else { return Err(Reason::Twice) };
                    lines.line("", None, sample.value);
                }
            }
            let lines = lines.bytes.into_boxed_slice();
            series.push(Series { values, lines });
        }
        Ok(Content { name, kind, help, labels, series })
    }
}

/// What a histogram or a summary consists of.
struct Parts {
    kind: Kind,
    /// Upper bounds and counts, or quantiles and values; in order.
    steps: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Parts {
    /// Samples that are no part (a histogram's bucket without `le`) are left out, as they are by the original.
    fn new(samples: &[Sample], kind: Kind, special: &str) -> Result<Self, Reason> {
        let mut parts = Parts { kind, steps: Vec::new(), sum: None, count: None };
        for Sample { part, labels, value, .. } in samples {
            let twice = match part {
                Part::Sum => parts.sum.replace(*value).is_some(),
                Part::Count => parts.count.replace(*value).is_some(),
                // A bucket under the family's own name is one, too.
                Part::Value | Part::Bucket => {
                    let bound = labels.iter().find(|(name, _)| name == special);
                    match bound.and_then(|(_, bound)| parse::float(bound.as_bytes())) {
                        Some(bound) if !bound.is_nan() => parts.steps.push((bound, *value)),
                        _ => {}
                    }
                    false
                }
            };
            if twice {
                return Err(Reason::Twice);
            }
        }
        parts.steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        if parts.steps.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Reason::Twice);
        }
        if kind == Kind::Histogram {
            // A count and the last bucket say the same: one stands in for the other.
            let infinite =
                parts.steps.last().filter(|(bound, _)| *bound == f64::INFINITY).map(|(_, count)| *count);
            parts.count = parts.count.or(infinite);
            if infinite.is_none() {
                parts.steps.push((f64::INFINITY, parts.count.unwrap_or(0.0)));
            }
        }
        Ok(parts)
    }
}

/// The sample lines of a series. A bound or quantile comes after the labels, whatever these are called.
struct Lines<'a> {
    name: &'a str,
    labels: &'a [String],
    values: &'a [Box<str>],
    bytes: Vec<u8>,
}

impl Lines<'_> {
    fn line(&mut self, suffix: &str, step: Option<(&str, f64)>, value: f64) {
        let out = &mut self.bytes;
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        let mut separator = b'{';
        for (label, value) in self.labels.iter().zip(self.values) {
            out.push(separator);
            out.extend_from_slice(label.as_bytes());
            out.extend_from_slice(b"=\"");
            escape_into(out, value.as_bytes(), true);
            out.push(b'"');
            separator = b',';
        }
        if let Some((label, bound)) = step {
            out.push(separator);
            out.extend_from_slice(label.as_bytes());
            out.extend_from_slice(b"=\"");
            number_into(out, Number::F(bound));
            out.push(b'"');
            separator = b',';
        }
        out.extend_from_slice(if separator == b'{' { b" " } else { b"} " });
        // Adding zero takes the sign off zero, as the original's printer does.
        number_into(out, Number::F(value + 0.0));
        out.push(b'\n');
    }

    fn parts(&mut self, parts: &Parts) {
        let (suffix, label) =
            if parts.kind == Kind::Histogram { ("_bucket", "le") } else { ("", "quantile") };
        for &(bound, value) in &parts.steps {
            self.line(suffix, Some((label, bound)), value);
        }
        // As the original has it, what a file leaves out here is 0.
        self.line("_sum", None, parts.sum.unwrap_or(0.0));
        self.line("_count", None, parts.count.unwrap_or(0.0));
    }
}

/// A family while files are put together.
struct Draft<'a> {
    kind: Kind,
    help: Option<&'a str>,
    files: Vec<&'a [u8]>,
    series: Vec<[u32; 3]>,
    /// Labels and values of each series, without the empty ones.
    seen: HashSet<Vec<(&'a str, &'a str)>>,
}

fn merge(files: &[File]) -> Merged {
    let mut faults = Vec::new();
    let mut drafts: BTreeMap<&str, Draft<'_>> = BTreeMap::new();
    for (f, file) in files.iter().enumerate() {
        let mut found: HashSet<Reason> = HashSet::new();
        for (c, content) in file.content.iter().flatten().enumerate() {
            if content.name == MTIME || content.name == SCRAPE_ERROR {
                found.insert(Reason::Reserved);
                continue;
            }
            if drafts.len() >= FAMILIES && !drafts.contains_key(content.name.as_str()) {
                found.insert(Reason::TooManyFamilies);
                continue;
            }
            let draft = drafts.entry(&content.name).or_insert_with(|| Draft {
                kind: content.kind,
                help: None,
                files: Vec::new(),
                series: Vec::new(),
                seen: HashSet::new(),
            });
            if draft.kind != content.kind {
                found.insert(Reason::OtherType);
                continue;
            }
            match (draft.help, content.help.as_deref()) {
                (None, help) => draft.help = help,
                (Some(first), Some(help)) if first != help => {
                    found.insert(Reason::OtherHelp);
                }
                _ => {}
            }
            draft.files.push(&file.path);
            for (s, series) in content.series.iter().enumerate() {
                if draft.seen.insert(content.identity(series)) {
                    draft.series.push([f as u32, c as u32, s as u32]);
                } else {
                    found.insert(Reason::SameSeries);
                }
            }
        }
        faults.extend(found.iter().map(|reason| Fault::new(&file.path, reason)));
    }
    // A family must not be called as the lines of another's parts are.
    for name in part_names(&drafts) {
        if let Some(draft) = drafts.remove(name.as_str()) {
            faults.extend(draft.files.iter().map(|path| Fault::new(path, &Reason::Reserved)));
        }
    }
    let families = drafts.into_iter().filter(|(_, draft)| !draft.series.is_empty());
    let families = families.map(|(name, mut draft)| {
        // Fewer labels first, then by values.
        draft.series.sort_by_cached_key(|&[f, c, s]| match &files[f as usize].content {
            Ok(contents) => {
                let content = &contents[c as usize];
                (content.labels.len(), &content.series[s as usize].values[..])
            }
            Err(_) => (0, &[][..]),
        });
        MergedFamily {
            name: name.to_owned(),
            kind: draft.kind,
            help: draft.help_text(),
            series: draft.series,
        }
    });
    let mut served: Vec<u32> =
        (0..files.len() as u32).filter(|&file| files[file as usize].content.is_ok()).collect();
    served.sort_unstable_by_key(|&file| &files[file as usize].path);
    Merged { families: families.collect(), served, faults }
}

/// The names, other than their own, under which histograms and summaries have lines.
fn part_names(drafts: &BTreeMap<&str, Draft<'_>>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, draft) in drafts {
        let parts: &[Part] = match draft.kind {
            Kind::Histogram => &[Part::Bucket, Part::Count, Part::Sum],
            Kind::Summary => &[Part::Count, Part::Sum],
            _ => &[],
        };
        names.extend(parts.iter().map(|part| format!("{name}{}", part.suffix())));
    }
    names
}

impl Content {
    /// What tells a series of this family from others: labels that have a value.
    fn identity<'a>(&'a self, series: &'a Series) -> Vec<(&'a str, &'a str)> {
        let labels = self.labels.iter().map(String::as_str).zip(series.values.iter().map(|value| &**value));
        labels.filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl Draft<'_> {
    fn help_text(&self) -> String {
        match self.help {
            Some(help) => help.to_owned(),
            None => format!("Metric read from {}", String::from_utf8_lossy(&self.files.join(&b", "[..]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::testing::Tree;

    /// All that is written over a directory `d` of these files: its lines, with the directory as `DIR` and times as `T`.
    fn served(files: &[(&str, &str)]) -> String {
        let tree = tree(files);
        text(&tree, &mut collector(&tree, &["d"]))
    }

    fn tree(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::new(&[]);
        std::fs::create_dir(tree.path("d")).unwrap();
        for (name, contents) in files {
            tree.write(&format!("d/{name}"), contents);
        }
        tree
    }

    fn collector(tree: &Tree, patterns: &[&str]) -> Textfile {
        let patterns = patterns.iter().map(|pattern| tree.path(pattern)).collect();
        Textfile { patterns, ..Textfile::default() }
    }

    fn text(tree: &Tree, textfile: &mut Textfile) -> String {
        let mut out = Text::new();
        textfile.collect(&mut out, Instant::now() + Duration::from_secs(10)).unwrap();
        assert!(out.gives_way());
        let text = String::from_utf8(out.bytes().to_vec()).unwrap();
        let mut result = String::new();
        for line in text.replace(tree.path("d").to_str().unwrap(), "DIR").lines() {
            match line.split_once(' ') {
                Some((series, _)) if series.starts_with(MTIME) => result.push_str(&format!("{series} T\n")),
                _ if line.starts_with("# HELP node_") || line.starts_with("# TYPE node_") => {}
                _ => result.push_str(&format!("{line}\n")),
            }
        }
        result
    }

    fn faults(tree: &Tree, patterns: &[&str]) -> Vec<String> {
        let mut textfile = collector(tree, patterns);
        text(tree, &mut textfile);
        let path =
            |fault: &Fault| String::from_utf8_lossy(&fault.path).replace(tree.path("").to_str().unwrap(), "");
        let mut faults: Vec<String> =
            textfile.logged.keys().map(|fault| format!("{}: {}", path(fault), fault.reason)).collect();
        faults.sort();
        faults
    }

    #[test]
    fn no_directory_is_no_error() {
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "node_textfile_scrape_error 0\n");
        assert_eq!(
            Tree::new(&[]).samples(&ENTRY, &["--collector.textfile.directory="]),
            "node_textfile_scrape_error 0\n"
        );
    }

    #[test]
    fn families_come_in_order_of_name_and_without_help_name_their_files() {
        assert_eq!(
            served(&[
                ("a.prom", "zz{x=\"1\"} 1\nnode_textfile_n 2\n"),
                ("b.prom", "zz{x=\"0\"} 1\nnode_textfile_z 2\na 3\n"),
                ("c.prom", "zz{x=\"2\"} 1\n# TYPE b gauge\nb -0\n"),
                ("d.txt", "d 1\n"),
                (".prom", "zz{x=\"3\"} 1e6\n"),
            ]),
            "# HELP a Metric read from DIR/b.prom\n# TYPE a untyped\na 3\n\
             # HELP b Metric read from DIR/c.prom\n# TYPE b gauge\nb 0\n\
             node_textfile_mtime_seconds{file=\"DIR/.prom\"} T\n\
             node_textfile_mtime_seconds{file=\"DIR/a.prom\"} T\n\
             node_textfile_mtime_seconds{file=\"DIR/b.prom\"} T\n\
             node_textfile_mtime_seconds{file=\"DIR/c.prom\"} T\n\
             node_textfile_n 2\n\
             node_textfile_scrape_error 0\n\
             node_textfile_z 2\n\
             # HELP zz Metric read from DIR/.prom, DIR/a.prom, DIR/b.prom, DIR/c.prom\n# TYPE zz untyped\n\
             zz{x=\"0\"} 1\nzz{x=\"1\"} 1\nzz{x=\"2\"} 1\nzz{x=\"3\"} 1e+06\n"
        );
    }

    #[test]
    fn missing_labels_are_filled_in_within_a_file_and_few_labels_come_first() {
        assert_eq!(
            served(&[("a.prom", "m{b=\"2\"} 1\nm{a=\"1\"} 2\nm 3\n"), ("b.prom", "m{c=\"9\"} 4\n"),])
                .replace("node_textfile_mtime_seconds", "#")
                .lines()
                .filter(|line| !line.starts_with('#'))
                .collect::<Vec<_>>(),
            [
                "m{c=\"9\"} 4",
                "m{a=\"\",b=\"\"} 3",
                "m{a=\"\",b=\"2\"} 1",
                "m{a=\"1\",b=\"\"} 2",
                "node_textfile_scrape_error 0"
            ]
        );
    }

    #[test]
    fn histograms_and_summaries_are_put_in_order_and_made_whole() {
        let out = served(&[(
            "a.prom",
            "# HELP h Help.\n# TYPE h histogram\nh_bucket{x=\"y\",le=\"10\"} 2.5\nh_bucket{le=\"1.0\",x=\"y\"} 1\nh_sum{x=\"y\"} 3\n\
             h_count{x=\"y\"} 7\nh{le=\"+Inf\"} 4\nh 9\n\
             # HELP s Help.\n# TYPE s summary\ns{quantile=\"0.9\"} NaN\ns{quantile=\".5\"} 1\ns_count 2\ns{z=\"1\"} 9\n",
        )]);
        assert_eq!(
            out,
            "# HELP h Help.\n# TYPE h histogram\n\
             h_bucket{x=\"\",le=\"+Inf\"} 4\nh_sum{x=\"\"} 0\nh_count{x=\"\"} 4\n\
             h_bucket{x=\"y\",le=\"1\"} 1\nh_bucket{x=\"y\",le=\"10\"} 2.5\nh_bucket{x=\"y\",le=\"+Inf\"} 7\n\
             h_sum{x=\"y\"} 3\nh_count{x=\"y\"} 7\n\
             node_textfile_mtime_seconds{file=\"DIR/a.prom\"} T\nnode_textfile_scrape_error 0\n\
             # HELP s Help.\n# TYPE s summary\n\
             s{z=\"\",quantile=\"0.5\"} 1\ns{z=\"\",quantile=\"0.9\"} NaN\ns_sum{z=\"\"} 0\ns_count{z=\"\"} 2\n\
             s_sum{z=\"1\"} 0\ns_count{z=\"1\"} 0\n"
        );
    }

    #[test]
    fn a_file_is_served_whole_or_not_at_all() {
        let good = "node_textfile_mtime_seconds{file=\"DIR/good.prom\"} T\nnode_textfile_scrape_error 1\n";
        let good = format!("# HELP good Help.\n# TYPE good untyped\ngood 1\n{good}");
        for bad in [
            "foo{f=\"1",
            "foo 1\nbar 2",
            "foo 1 1441205977284\nbar 2\n",
            "foo 1\nfoo 2\n",
            "foo{a=\"1\"} 1\nfoo{b=\"\",a=\"1\"} 2\n",
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\n",
            "# TYPE h histogram\nh_sum 1\nh_sum 1\n",
            "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\".5\"} 1\n",
            "# TYPE s summary\ns_count 1\ns_count 1\n",
            "# TYPE g gauge_histogram\ng_bucket{le=\"1\"} 1\n",
            "foo{a=\"\u{e9}\"} 1\r\n",
            "foo 0x10\n",
            "foo 1_000\n",
        ] {
            assert_eq!(
                served(&[("bad.prom", bad), ("good.prom", "# HELP good Help.\ngood 1\n")]),
                good,
                "{bad}"
            );
        }
        let tree = tree(&[("good.prom", "# HELP good Help.\ngood 1\n")]);
        tree.write("d/bad.prom", b"foo{a=\"\xff\"} 1\n");
        assert_eq!(text(&tree, &mut collector(&tree, &["d"])), good);
    }

    #[test]
    fn the_first_file_wins() {
        let own = |file: &str| format!("node_textfile_mtime_seconds{{file=\"DIR/{file}.prom\"}} T\n");
        let own = |error| format!("{}{}node_textfile_scrape_error {error}\n", own("a"), own("b"));
        for (a, b, error, expected) in [
            // D1: the same series.
            ("# HELP m H.\nm 1\n", "# HELP m H.\nm 2\n", 1, "# HELP m H.\n# TYPE m untyped\nm 1\n"),
            // D3: another HELP; a missing one is no other.
            (
                "# HELP m A.\nm 1\n",
                "# HELP m B.\nm{x=\"1\"} 2\n",
                1,
                "# HELP m A.\n# TYPE m untyped\nm 1\nm{x=\"1\"} 2\n",
            ),
            ("m 1\n", "# HELP m B.\nm{x=\"1\"} 2\n", 0, "# HELP m B.\n# TYPE m untyped\nm 1\nm{x=\"1\"} 2\n"),
            // D4: another type.
            (
                "# HELP m H.\n# TYPE m counter\nm 1\n",
                "# HELP m H.\n# TYPE m gauge\nm{x=\"1\"} 2\n",
                1,
                "# HELP m H.\n# TYPE m counter\nm 1\n",
            ),
            // A name under which another family has lines.
            (
                "# HELP m H.\n# TYPE m summary\nm_sum 1\nm_count 1\n",
                "# HELP m_sum H.\nm_sum 2\n",
                1,
                "# HELP m H.\n# TYPE m summary\nm_sum 1\nm_count 1\n",
            ),
            // This collector's own names.
            (
                "# HELP m H.\nm 1\n",
                "node_textfile_scrape_error 5\n",
                1,
                "# HELP m H.\n# TYPE m untyped\nm 1\n",
            ),
        ] {
            let out = served(&[("a.prom", a), ("b.prom", b)]);
            assert_eq!(out, format!("{expected}{}", own(error)), "{a}{b}");
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let tree = tree(&[("a.prom", "# HELP a A.\na 1\n")]);
        std::fs::create_dir(tree.path("d/dir.prom")).unwrap();
        tree.link("d/gone.prom", "nowhere");
        tree.link("d/null.prom", "/dev/null");
        tree.link("d/link.prom", tree.path("x"));
        tree.write("x", "# HELP b B.\nb 1\n");
        let fifo = std::process::Command::new("mkfifo").arg(tree.path("d/fifo.prom")).status();
        assert!(fifo.unwrap().success());
        assert_eq!(
            text(&tree, &mut collector(&tree, &["d"])),
            "# HELP a A.\n# TYPE a untyped\na 1\n# HELP b B.\n# TYPE b untyped\nb 1\n\
             node_textfile_mtime_seconds{file=\"DIR/a.prom\"} T\nnode_textfile_mtime_seconds{file=\"DIR/link.prom\"} T\n\
             node_textfile_scrape_error 1\n"
        );
        assert_eq!(
            faults(&tree, &["d"]),
            [
                "d/dir.prom: not a regular file",
                "d/fifo.prom: not a regular file",
                "d/gone.prom: no such file or directory",
                "d/null.prom: not a regular file",
            ]
        );
    }

    #[test]
    fn messages_have_paths_and_line_numbers_and_nothing_else() {
        let secret = "root:$6$secret:20228:0:99999:7:::\n";
        let tree = tree(&[
            ("a.prom", "# HELP secret secret\nsecret{secret=\"secret\"} 1\n"),
            ("b.prom", "# HELP secret Secret\nsecret{secret=\"secret\"} 1\n"),
            ("c.prom", "# TYPE secret gauge\nsecret 1\n"),
            ("d.prom", "secret 1 1\n"),
            ("e.prom", "secret 1\nsecret 1\n"),
        ]);
        tree.write("shadow", secret);
        tree.link("d/f.prom", tree.path("shadow"));
        assert_eq!(
            faults(&tree, &["d", "none"]),
            [
                "d/b.prom: has a HELP that differs from that of a file before it, which is served",
                "d/b.prom: has a series that a file before it has: the first one is served",
                "d/c.prom: has a family that a file before it has with another type: it is left out",
                "d/d.prom: has a sample with a timestamp: the whole file is left out",
                "d/e.prom: has a series twice: the whole file is left out",
                "d/f.prom: line 1: no number where the value should be",
                "none: no such file or directory",
            ]
        );
    }

    #[test]
    fn a_fault_is_logged_once_a_minute() {
        let tree = tree(&[("a.prom", "a\n")]);
        let mut textfile = collector(&tree, &["d"]);
        text(&tree, &mut textfile);
        let first: Vec<Instant> = textfile.logged.values().copied().collect();
        text(&tree, &mut textfile);
        assert_eq!((first.len(), first), (1, textfile.logged.values().copied().collect()));
    }

    #[test]
    fn a_directory_may_be_a_pattern_and_is_read_once() {
        let tree = Tree::new(&[]);
        tree.write("d/x1/a.prom", "a 1\n");
        tree.write("d/x2/b.prom", "b 1\n");
        tree.write("d/y/c.prom", "c 1\n");
        let out = text(&tree, &mut collector(&tree, &["d/x*", "d/./x1/", "d/y/../x2"]));
        assert!(
            out.contains("{file=\"DIR/x1/a.prom\"} T\n") && out.contains("{file=\"DIR/x2/b.prom\"} T\n"),
            "{out}"
        );
        assert!(out.contains("node_textfile_scrape_error 0\n") && !out.contains("\nc 1"), "{out}");
        assert!(text(&tree, &mut collector(&tree, &["d/z*"])).contains("node_textfile_scrape_error 1\n"));
        assert!(text(&tree, &mut collector(&tree, &["d/["])).contains("node_textfile_scrape_error 1\n"));
    }

    #[test]
    fn paths_are_joined_as_go_joins_them() {
        for (dir, expected) in [
            ("a/b/", "a/b/n"),
            ("./a//b/.", "a/b/n"),
            (".", "n"),
            ("a/../b", "b/n"),
            ("../a", "../a/n"),
            ("../../a/..", "../../n"),
            ("/../a", "/a/n"),
            ("/", "/n"),
        ] {
            let joined = joined(Path::new(dir), OsStr::new("n"));
            assert_eq!(String::from_utf8(joined).unwrap(), expected, "{dir}");
        }
    }

    #[test]
    fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
        let tree = tree(&[("a.prom", "a 1\n"), ("b.prom", "b 1\n")]);
        let mut textfile = collector(&tree, &["d"]);
        text(&tree, &mut textfile);
        assert!(!textfile.files[0].settled, "it was written just now");
        // As if the files were older, and marked so that it shows whether they were read.
        for file in &mut textfile.files {
            file.settled = true;
            let Ok(contents) = &mut file.content else { panic!() };
            contents[0].series[0].lines = b"kept 1\n"[..].into();
        }
        assert_eq!(text(&tree, &mut textfile).matches("kept 1\n").count(), 2);
        tree.write("d/a.prom", "a 22\nc 3\n");
        let out = text(&tree, &mut textfile);
        assert!(
            out.contains("a 22\n") && out.contains("c 3\n") && out.matches("kept 1\n").count() == 1,
            "{out}"
        );
        tree.remove("d/a.prom");
        let out = text(&tree, &mut textfile);
        assert!(
            !out.contains("a 22\n") && out.contains("kept 1\n") && out.contains("scrape_error 0\n"),
            "{out}"
        );
    }

    #[test]
    fn a_file_that_stays_refused_does_not_disturb_the_others() {
        let tree = tree(&[("a.prom", "a\n"), ("b.prom", "b 1\n")]);
        let mut textfile = collector(&tree, &["d"]);
        let first = text(&tree, &mut textfile);
        assert_eq!(first, text(&tree, &mut textfile));
        tree.write("d/a.prom", "a 1\n");
        let out = text(&tree, &mut textfile);
        assert!(out.contains("a 1\n") && out.contains("b 1\n") && out.contains("scrape_error 0\n"), "{out}");
    }

    #[test]
    fn what_is_too_large_is_left_out() {
        let tree = tree(&[("b.prom", "b 1\n")]);
        let large = std::fs::File::create(tree.path("d/a.prom")).unwrap();
        large.set_len(10 << 30).unwrap();
        assert!(text(&tree, &mut collector(&tree, &["d"])).ends_with("node_textfile_scrape_error 1\n"));
        assert_eq!(
            faults(&tree, &["d"]),
            ["d/a.prom: more than 67108864 bytes in all files: this one is left out"]
        );
        let labels: String = (0..3000).map(|i| format!("m{{l{i}=\"1\"}} 1\n")).collect();
        tree.write("d/a.prom", labels);
        assert_eq!(
            faults(&tree, &["d"]),
            ["d/a.prom: has a family with too many different labels: the whole file is left out"]
        );
    }

    #[test]
    fn a_file_that_is_replaced_all_the_time_is_never_torn() {
        let tree = tree(&[]);
        let contents =
            |i: usize| format!("# HELP m H.\nm{{n=\"0\"}} {i}\nm{{n=\"{}\"}} {i}\n", "1".repeat(i % 50 + 1));
        let (dir, stop) = (tree.path("d"), std::sync::atomic::AtomicBool::new(false));
        std::fs::write(dir.join("a.prom"), contents(0)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0.. {
                    std::fs::write(dir.join("new"), contents(i)).unwrap();
                    std::fs::rename(dir.join("new"), dir.join("a.prom")).unwrap();
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let mut textfile = collector(&tree, &["d"]);
            let outs: Vec<String> = (0..300).map(|_| text(&tree, &mut textfile)).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            for out in outs {
                let values: Vec<&str> =
                    out.lines().filter(|l| l.starts_with("m{")).filter_map(|l| l.split(' ').nth(1)).collect();
                assert!(
                    values.len() == 2 && values[0] == values[1] && out.contains("scrape_error 0"),
                    "{out}"
                );
            }
        });
    }
}
