//! Filesystems of the kind bcachefs: the attributes of `/sys/fs/bcachefs/<uuid>/`, see fs/bcachefs/sysfs.c.
//!
//! Sizes are in the form of `2.05G`, with powers of 1024. Each file of `counters/` is a family of its own. A device's state and
//! label go into an info metric; the table `io_errors` has the errors since the filesystem was made and since a reset, of which the
//! first are counted.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "bcachefs",
    on: true,
    help: "Bcachefs statistics from /sys/fs/bcachefs.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Bcachefs {
            base: paths::sys(flags).join("fs/bcachefs"),
            uuids: Names::new(),
            names: Names::new(),
            found: Found::default(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

/// Families with a fixed name: name, type, HELP, labels.
const FAMILIES: [(&str, Kind, &str, &[&str]); 13] = [
    (
        "node_bcachefs_btree_cache_size_bytes",
        Kind::Gauge,
        "Memory that the btree cache takes, in bytes.",
        &["uuid"],
    ),
    (
        "node_bcachefs_btree_write_average_size_bytes",
        Kind::Gauge,
        "Average size of a btree write of this type, in bytes.",
        &["type", "uuid"],
    ),
    ("node_bcachefs_btree_writes_total", Kind::Counter, "Btree writes of this type.", &["type", "uuid"]),
    (
        "node_bcachefs_compression_compressed_bytes",
        Kind::Gauge,
        "Data that is stored with this algorithm, as it is stored, in bytes.",
        &["algorithm", "uuid"],
    ),
    (
        "node_bcachefs_compression_uncompressed_bytes",
        Kind::Gauge,
        "Data that is stored with this algorithm, before compression, in bytes.",
        &["algorithm", "uuid"],
    ),
    (
        "node_bcachefs_device_bucket_size_bytes",
        Kind::Gauge,
        "Size of a bucket of the device, in bytes.",
        &["device", "uuid"],
    ),
    ("node_bcachefs_device_buckets", Kind::Gauge, "Buckets of the device.", &["device", "uuid"]),
    (
        "node_bcachefs_device_durability",
        Kind::Gauge,
        "As how many copies data on the device counts.",
        &["device", "uuid"],
    ),
    (
        "node_bcachefs_device_info",
        Kind::Gauge,
        "Label and state of the device; always 1.",
        &["device", "label", "state", "uuid"],
    ),
    (
        "node_bcachefs_device_io_done_bytes_total",
        Kind::Counter,
        "Data read from and written to the device, in bytes.",
        &["data_type", "device", "operation", "uuid"],
    ),
    (
        "node_bcachefs_device_io_errors_total",
        Kind::Counter,
        "Errors of the device since the filesystem was made.",
        &["device", "type", "uuid"],
    ),
    (
        "node_bcachefs_errors_total",
        Kind::Counter,
        "Errors of the filesystem of this type.",
        &["error_type", "uuid"],
    ),
    ("node_bcachefs_info", Kind::Gauge, "A mounted filesystem; always 1.", &["uuid"]),
];

const BTREE_CACHE_SIZE: usize = 0;
const BTREE_WRITE_SIZE: usize = 1;
const BTREE_WRITES: usize = 2;
const COMPRESSED: usize = 3;
const UNCOMPRESSED: usize = 4;
const BUCKET_SIZE: usize = 5;
const BUCKETS: usize = 6;
const DURABILITY: usize = 7;
const DEVICE_INFO: usize = 8;
const IO_DONE: usize = 9;
const IO_ERRORS: usize = 10;
const ERRORS: usize = 11;
const INFO: usize = 12;

struct Bcachefs {
    base: PathBuf,
    uuids: Names,
    names: Names,
    found: Found,
    scratch: Vec<u8>,
    buf: Buf,
}

/// What one scrape found.
#[derive(Default)]
struct Found {
    texts: Arena,
    samples: [Vec<Sample>; FAMILIES.len()],
    counters: Vec<Counter>,
    problem: Option<hostfs::Error>,
}

/// A sample of one of [`FAMILIES`], with the values of its labels in their order.
#[derive(Clone, Copy)]
struct Sample {
    labels: [Span; 4],
    value: u64,
    /// Its place among the family's samples as they were found.
    order: usize,
}

/// A sample of a family that has its name from a file.
struct Counter {
    family: Span,
    uuid: Span,
    name: Span,
    value: u64,
}

impl Found {
    fn clear(&mut self) {
        self.texts.clear();
        self.samples.iter_mut().for_each(Vec::clear);
        self.counters.clear();
        self.problem = None;
    }

    fn push(&mut self, family: usize, labels: &[Span], value: u64) {
        let mut all = [Span::default(); 4];
        all[..labels.len()].copy_from_slice(labels);
        let samples = &mut self.samples[family];
        samples.push(Sample { labels: all, value, order: samples.len() });
    }

    /// Adds a sample if there is a value, and remembers the problem if the file has a wrong one.
    fn push_or(&mut self, family: usize, labels: &[Span], value: Option<u64>, dir: &Dir, file: &'static str) {
        match value {
            Some(value) => self.push(family, labels, value),
            None => self.malformed(dir, OsStr::new(file)),
        }
    }

    fn malformed(&mut self, dir: &Dir, file: &OsStr) {
        self.problem.get_or_insert_with(|| dir.malformed(file, "the numbers that this attribute has"));
    }

    /// The whole of an attribute; `None` if it has nothing to give.
    fn attribute<'b>(&mut self, dir: &Dir, file: impl AsRef<OsStr>, buf: &'b mut Buf) -> Option<&'b [u8]> {
        match dir.attribute(file, buf) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem.get_or_insert(error);
                None
            }
        }
    }
}

impl Bcachefs {
    fn read(&mut self) -> Result<(), Error> {
        let Bcachefs { base, uuids, found, .. } = self;
        found.clear();
        uuids.clear();
        let base = Dir::open(base).map_err(|error| Error::or_no_data(&error))?;
        base.each_name(|name, file_type| {
            if !file_type.is_file() && !file_type.is_symlink() {
                uuids.push(name);
            }
        })?;
        if uuids.is_empty() {
            return Err(Error::NoData("no bcachefs is mounted".into()));
        }
        let uuids = std::mem::take(&mut self.uuids);
        for name in uuids.iter() {
            let result = match base.dir(name) {
                Ok(Some(dir)) => self.read_filesystem(&dir, name.as_bytes()),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match result {
                Err(error) if !error.is_gone() => {
                    self.found.problem.get_or_insert(error);
                }
                _ => {}
            }
        }
        self.uuids = uuids;
        Ok(())
    }

    fn read_filesystem(&mut self, dir: &Dir, uuid: &[u8]) -> hostfs::Result<()> {
        let Bcachefs { names, found, scratch, buf, .. } = self;
        let uuid = found.texts.push(uuid);
        found.push(INFO, &[uuid], 1);
        if let Some(bytes) = found.attribute(dir, "btree_cache_size", buf) {
            found.push_or(BTREE_CACHE_SIZE, &[uuid], human(bytes.trim_ascii()), dir, "btree_cache_size");
        }
        if let Some(bytes) = found.attribute(dir, "compression_stats", buf) {
            for [algorithm, compressed, uncompressed] in rows(bytes, 1) {
                let labels = [found.texts.push(algorithm.strip_suffix(b":").unwrap_or(algorithm)), uuid];
                found.push_or(COMPRESSED, &labels, human(compressed), dir, "compression_stats");
                found.push_or(UNCOMPRESSED, &labels, human(uncompressed), dir, "compression_stats");
            }
        }
        if let Some(bytes) = found.attribute(dir, "errors", buf) {
            for [error_type, count] in rows(bytes, 0) {
                let labels = [found.texts.push(error_type), uuid];
                found.push_or(ERRORS, &labels, scan::unsigned(count), dir, "errors");
            }
        }
        if let Some(bytes) = found.attribute(dir, "btree_write_stats", buf) {
            for [write_type, count, size] in rows(bytes, 1) {
                let labels = [found.texts.push(write_type.strip_suffix(b":").unwrap_or(write_type)), uuid];
                found.push_or(BTREE_WRITES, &labels, scan::unsigned(count), dir, "btree_write_stats");
                found.push_or(BTREE_WRITE_SIZE, &labels, human(size), dir, "btree_write_stats");
            }
        }
        if let Some(counters) = dir.dir("counters")? {
            counters.names(names)?;
            for name in names.iter() {
                read_counter(&counters, name, uuid, found, scratch, buf);
            }
        }
        names.clear();
        dir.each_name(|name, file_type| {
            if !file_type.is_file() && name.starts_with(b"dev-") {
                names.push(name);
            }
        })?;
        for name in names.iter() {
            if let Some(device) = dir.dir(name)? {
                let label = found.texts.push(&name.as_bytes()[b"dev-".len()..]);
                read_device(&device, label, uuid, found, buf);
            }
        }
        Ok(())
    }
}

fn read_counter(
    dir: &Dir,
    file: &OsStr,
    uuid: Span,
    found: &mut Found,
    scratch: &mut Vec<u8>,
    buf: &mut Buf,
) {
    let bytes = match dir.attribute(file, buf) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        // A directory is no counter.
        Err(error) if error.errno() == Some(hostfs::Errno::ISDIR) => return,
        Err(error) => {
            found.problem.get_or_insert(error);
            return;
        }
    };
    let (mut value, mut is_known) = (None, false);
    for line in scan::lines(bytes) {
        if let Some(text) = line.strip_prefix(b"since filesystem creation:") {
            value = human(text.trim_ascii());
            is_known = value.is_some();
        } else {
            is_known |= line.starts_with(b"since mount:");
        }
    }
    if !is_known {
        found.malformed(dir, file);
    }
    let Some(value) = value else { return };
    scratch.clear();
    scratch.extend_from_slice(b"node_bcachefs_");
    sanitize_into(scratch, file.as_bytes());
    scratch.extend_from_slice(b"_total");
    if FAMILIES.iter().all(|(name, ..)| name.as_bytes() != &scratch[..]) {
        let family = found.texts.push(scratch);
        let name = found.texts.push(file.as_bytes());
        found.counters.push(Counter { family, uuid, name, value });
    }
}

fn read_device(dir: &Dir, device: Span, uuid: Span, found: &mut Found, buf: &mut Buf) {
    let mut text = |file| match found.attribute(dir, file, buf) {
        Some(bytes) => found.texts.push(bytes.trim_ascii()),
        None => Span::default(),
    };
    let (label, state) = (text("label"), text("state"));
    found.push(DEVICE_INFO, &[device, label, state, uuid], 1);
    if let Some(bytes) = found.attribute(dir, "bucket_size", buf) {
        found.push_or(BUCKET_SIZE, &[device, uuid], human(bytes.trim_ascii()), dir, "bucket_size");
    }
    for (family, file) in [(BUCKETS, "nbuckets"), (DURABILITY, "durability")] {
        if let Some(bytes) = found.attribute(dir, file, buf) {
            found.push_or(family, &[device, uuid], scan::value(bytes), dir, file);
        }
    }
    if let Some(bytes) = found.attribute(dir, "io_done", buf) {
        let mut operation = None;
        for line in scan::lines(bytes).map(<[u8]>::trim_ascii) {
            if let b"read:" | b"write:" = line {
                operation = Some(found.texts.push(&line[..line.len() - 1]));
            } else if let (Some(operation), Some((data_type, value))) = (operation, pair(line)) {
                let labels = [found.texts.push(data_type), device, operation, uuid];
                found.push_or(IO_DONE, &labels, scan::unsigned(value), dir, "io_done");
            }
        }
    }
    if let Some(bytes) = found.attribute(dir, "io_errors", buf) {
        let since_creation = scan::lines(bytes)
            .skip_while(|line| !line.starts_with(b"IO errors since filesystem creation"))
            .skip(1)
            .take_while(|line| !line.starts_with(b"IO errors since "));
        for (error_type, value) in since_creation.filter_map(pair) {
            let labels = [device, found.texts.push(error_type), uuid];
            found.push_or(IO_ERRORS, &labels, scan::unsigned(value), dir, "io_errors");
        }
    }
}

impl Collector for Bcachefs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        let Found { texts, samples, counters, problem } = &mut self.found;
        for ((name, kind, help, labels), samples) in FAMILIES.into_iter().zip(samples) {
            let key = |sample: &Sample| sample.labels.map(|span| &texts[span]);
            // Of two lines with the same labels the first counts.
            samples.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(a.order.cmp(&b.order)));
            samples.dedup_by(|a, b| key(a) == key(b));
            let mut family = out.family(name, kind, help);
            for sample in samples.iter() {
                let mut pairs = [("", LabelValue::Int(0)); 4];
                for ((pair, &label), value) in pairs.iter_mut().zip(labels).zip(key(sample)) {
                    *pair = (label, value.into());
                }
                family.sample(&pairs[..labels.len()], sample.value);
            }
        }
        let key = |counter: &Counter| (&texts[counter.family], &texts[counter.uuid]);
        counters.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| texts[a.name].cmp(&texts[b.name])));
        counters.dedup_by(|a, b| key(a) == key(b));
        for counters in counters.chunk_by(|a, b| texts[a.family] == texts[b.family]) {
            let help = &mut self.scratch;
            help.clear();
            help.extend_from_slice(b"Counter ");
            help.extend_from_slice(&texts[counters[0].name]);
            help.extend_from_slice(b", since the filesystem was made.");
            let mut family = out.family_bytes(&texts[counters[0].family], Kind::Counter, help);
            for counter in counters {
                family.sample(&[("uuid", LabelValue::from(&texts[counter.uuid]))], counter.value);
            }
        }
        problem.take().map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The lines after the heads that have at least `N` fields.
fn rows<const N: usize>(bytes: &[u8], heads: usize) -> impl Iterator<Item = [&[u8]; N]> {
    scan::lines(bytes).skip(heads).filter_map(|line| {
        let mut fields = scan::fields(line);
        let mut row = [&b""[..]; N];
        for field in &mut row {
            *field = fields.next()?;
        }
        Some(row)
    })
}

/// The two sides of the first colon, without white space around them.
fn pair(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, value) = scan::split_once(line, b':')?;
    Some((key.trim_ascii(), value.trim_ascii()))
}

/// A number, with a unit or without, in whole units.
fn human(text: &[u8]) -> Option<u64> {
    let (&last, rest) = text.split_last()?;
    let power = match last.to_ascii_lowercase() {
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        b'p' => 5,
        b'e' => 6,
        _ => 0,
    };
    let number = if power == 0 { text } else { rest.trim_ascii_end() };
    if let (0, Some(number)) = (power, scan::unsigned(number)) {
        return Some(number);
    }
    if !number.first()?.is_ascii_digit() {
        return None;
    }
    let value = scan::float(number)? * 1024f64.powi(power);
    (value < 18_446_744_073_709_551_616.0).then_some(value as u64)
}

/// Appends `name` with all that may not be in a metric's name, and the underscores around it, replaced by one underscore.
fn sanitize_into(out: &mut Vec<u8>, name: &[u8]) {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    for run in name.chunk_by(|&a, &b| (a == b'_' || !is_plain(a)) == (b == b'_' || !is_plain(b))) {
        if run.iter().all(|&b| is_plain(b)) {
            out.extend_from_slice(run);
        } else {
            out.push(b'_');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn a_filesystem() {
        let tree = Tree::new(&[
            ("sys/fs/bcachefs/file", ""),
            ("sys/fs/bcachefs/u/btree_cache_size", "2.05G\n"),
            (
                "sys/fs/bcachefs/u/compression_stats",
                "type compressed uncompressed average extent size\nlz4 48.9G 71.2G 62.5k\nnone: 1 2 3\n",
            ),
            ("sys/fs/bcachefs/u/errors", "a_b 2 1753593586\nz 3\nshort\n"),
            ("sys/fs/bcachefs/u/btree_write_stats", " nr size\ninitial: 3298401 100k\n"),
            (
                "sys/fs/bcachefs/u/counters/copygc",
                "since mount:                   7\nsince filesystem creation:     1.5k\n",
            ),
            ("sys/fs/bcachefs/u/counters/a-_b", "since filesystem creation: 2\n"),
            ("sys/fs/bcachefs/u/counters/dir/x", ""),
            ("sys/fs/bcachefs/u/counters/young", "since mount: 2\n"),
            ("sys/fs/bcachefs/u/counters/errors", "since filesystem creation: 2\n"),
            ("sys/fs/bcachefs/u/dev-10/label", "disk \"x\"\n"),
            ("sys/fs/bcachefs/u/dev-10/state", "[rw] ro\n"),
            ("sys/fs/bcachefs/u/dev-10/nbuckets", "7629824\n"),
            (
                "sys/fs/bcachefs/u/dev-10/io_done",
                "read:\nsb          :       86016\nwrite:\nsb : 1\nuser:2\n",
            ),
            (
                "sys/fs/bcachefs/u/dev-10/io_errors",
                "IO errors since filesystem creation\n  read:    5\n  checksum:0\nIO errors since 8 y ago\n  read: 4\n",
            ),
            ("sys/fs/bcachefs/u/dev-2/bucket_size", "2.00M\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_bcachefs_btree_cache_size_bytes{uuid=\"u\"} 2.201170739e+09\n\
             node_bcachefs_btree_write_average_size_bytes{type=\"initial\",uuid=\"u\"} 102400\n\
             node_bcachefs_btree_writes_total{type=\"initial\",uuid=\"u\"} 3.298401e+06\n\
             node_bcachefs_compression_compressed_bytes{algorithm=\"lz4\",uuid=\"u\"} 5.2505975193e+10\n\
             node_bcachefs_compression_compressed_bytes{algorithm=\"none\",uuid=\"u\"} 1\n\
             node_bcachefs_compression_uncompressed_bytes{algorithm=\"lz4\",uuid=\"u\"} 7.6450417868e+10\n\
             node_bcachefs_compression_uncompressed_bytes{algorithm=\"none\",uuid=\"u\"} 2\n\
             node_bcachefs_device_bucket_size_bytes{device=\"2\",uuid=\"u\"} 2.097152e+06\n\
             node_bcachefs_device_buckets{device=\"10\",uuid=\"u\"} 7.629824e+06\n\
             node_bcachefs_device_info{device=\"10\",label=\"disk \\\"x\\\"\",state=\"[rw] ro\",uuid=\"u\"} 1\n\
             node_bcachefs_device_info{device=\"2\",label=\"\",state=\"\",uuid=\"u\"} 1\n\
             node_bcachefs_device_io_done_bytes_total{data_type=\"sb\",device=\"10\",operation=\"read\",uuid=\"u\"} 86016\n\
             node_bcachefs_device_io_done_bytes_total{data_type=\"sb\",device=\"10\",operation=\"write\",uuid=\"u\"} 1\n\
             node_bcachefs_device_io_done_bytes_total{data_type=\"user\",device=\"10\",operation=\"write\",uuid=\"u\"} 2\n\
             node_bcachefs_device_io_errors_total{device=\"10\",type=\"checksum\",uuid=\"u\"} 0\n\
             node_bcachefs_device_io_errors_total{device=\"10\",type=\"read\",uuid=\"u\"} 5\n\
             node_bcachefs_errors_total{error_type=\"a_b\",uuid=\"u\"} 2\n\
             node_bcachefs_errors_total{error_type=\"z\",uuid=\"u\"} 3\n\
             node_bcachefs_info{uuid=\"u\"} 1\n\
             node_bcachefs_a_b_total{uuid=\"u\"} 2\n\
             node_bcachefs_copygc_total{uuid=\"u\"} 1536\n"
        );
    }

    #[test]
    fn what_is_damaged_is_left_out_alone_and_told() {
        for (file, contents, expected) in [
            ("btree_cache_size", "", ""),
            ("btree_cache_size", "x\n", ""),
            ("btree_cache_size", "-1k\n", ""),
            ("btree_cache_size", "99999999999999999999\n", ""),
            ("btree_cache_size", "16E\n", ""),
            ("counters/a", "", ""),
            ("counters/a", "since filesystem creation: x\n", ""),
            ("counters/a", "since filesystem creation: 12", ""),
            ("errors", "a x\nb 1\nc 2", "node_bcachefs_errors_total{error_type=\"b\",uuid=\"u\"} 1\n"),
        ] {
            let tree = Tree::new(&[]);
            tree.write(&format!("sys/fs/bcachefs/u/{file}"), contents);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert_eq!(samples, format!("{expected}node_bcachefs_info{{uuid=\"u\"}} 1\n"), "{contents:?}");
            assert!(matches!(error, Some(Error::Failed(_))), "{contents:?}");
        }
    }

    #[test]
    fn nothing_mounted_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        let tree = Tree::new(&[("sys/fs/bcachefs/file", "")]);
        assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
