//! Block cache: the attributes of `/sys/fs/bcache/<uuid>/`, see the kernel's Documentation/admin-guide/bcache.rst.
//!
//! A cache set has attributes of its own, backing devices (`bdev<n>`) and cache devices (`cache<n>`). Sizes come as bch_hprint()
//! prints them, such as `20.4G`: the part after the point counts 1024ths of the unit, of which the original makes `n / 10.24`.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "bcache",
    on: true,
    help: "Block cache statistics from /sys/fs/bcache.",
    flags: &[Flag::switch(
        "collector.bcache.priorityStats",
        false,
        "Read priority_stats too, which the kernel computes from all buckets.",
    )],
    new: |flags| {
        Ok(Box::new(Bcache {
            base: paths::sys(flags).join("fs/bcache"),
            has_priority_stats: flags.switch("collector.bcache.priorityStats"),
            uuids: Names::new(),
            devices: Names::new(),
            sets: Vec::new(),
            backing: Vec::new(),
            caches: Vec::new(),
            texts: Arena::new(),
            buf: Buf::new(),
        }))
    },
};

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// An attribute that is a number.
    File(&'static str),
    /// A line of `writeback_rate_debug`.
    Writeback(&'static str),
    /// A line of `priority_stats`.
    Priority(&'static str),
}

type Family = (Source, &'static str, Kind, &'static str);

const SET: [Family; 10] = [
    (
        Source::File("internal/active_journal_entries"),
        "node_bcache_active_journal_entries",
        Kind::Gauge,
        "Journal entries that are newer than the index.",
    ),
    (
        Source::File("average_key_size"),
        "node_bcache_average_key_size_sectors",
        Kind::Gauge,
        "Average data per key of the btree, in sectors.",
    ),
    (
        Source::File("btree_cache_size"),
        "node_bcache_btree_cache_size_bytes",
        Kind::Gauge,
        "Memory that the btree cache takes, in bytes.",
    ),
    (Source::File("internal/btree_nodes"), "node_bcache_btree_nodes", Kind::Gauge, "Nodes of the btree."),
    (
        Source::File(AVERAGE_DURATION),
        "node_bcache_btree_read_average_duration_seconds",
        Kind::Gauge,
        "Average time that a read of the btree takes: the kernel's number times 1e-9.",
    ),
    (
        Source::File("cache_available_percent"),
        "node_bcache_cache_available_percent",
        Kind::Gauge,
        "Part of the cache without dirty data, in percent.",
    ),
    (
        Source::File("internal/cache_read_races"),
        "node_bcache_cache_read_races_total",
        Kind::Counter,
        "Reads from the cache whose bucket was reused meanwhile.",
    ),
    (Source::File("congested"), "node_bcache_congested", Kind::Gauge, "How congested the cache is."),
    (
        Source::File("root_usage_percent"),
        "node_bcache_root_usage_percent",
        Kind::Gauge,
        "Part of the btree's root node that is in use, in percent.",
    ),
    (Source::File("tree_depth"), "node_bcache_tree_depth", Kind::Gauge, "Depth of the btree."),
];

/// In microseconds, by its name.
const AVERAGE_DURATION: &str = "internal/btree_read_average_duration_us";

const BACKING: [Family; 13] = [
    (
        Source::File("stats_total/bypassed"),
        "node_bcache_bypassed_bytes_total",
        Kind::Counter,
        "Reads and writes that went past the cache, in bytes.",
    ),
    (
        Source::File("stats_total/cache_bypass_hits"),
        "node_bcache_cache_bypass_hits_total",
        Kind::Counter,
        "Hits of I/O that was to skip the cache.",
    ),
    (
        Source::File("stats_total/cache_bypass_misses"),
        "node_bcache_cache_bypass_misses_total",
        Kind::Counter,
        "Misses of I/O that was to skip the cache.",
    ),
    (
        Source::File("stats_total/cache_hits"),
        "node_bcache_cache_hits_total",
        Kind::Counter,
        "Hits, one per I/O.",
    ),
    (
        Source::File("stats_total/cache_miss_collisions"),
        "node_bcache_cache_miss_collisions_total",
        Kind::Counter,
        "Insertions after a miss that found the data there already.",
    ),
    (
        Source::File("stats_total/cache_misses"),
        "node_bcache_cache_misses_total",
        Kind::Counter,
        "Misses, one per I/O.",
    ),
    (
        Source::File(READAHEADS),
        "node_bcache_cache_readaheads_total",
        Kind::Counter,
        "Times that data was read ahead.",
    ),
    (
        Source::File("dirty_data"),
        "node_bcache_dirty_data_bytes",
        Kind::Gauge,
        "Dirty data in the cache for this device, in bytes.",
    ),
    (
        Source::Writeback("target:"),
        "node_bcache_dirty_target_bytes",
        Kind::Gauge,
        "Dirty data that writeback aims at for this device, in bytes.",
    ),
    (
        Source::Writeback("change:"),
        "node_bcache_writeback_change",
        Kind::Gauge,
        "Last change of the writeback rate, in bytes per second.",
    ),
    (
        Source::Writeback("rate:"),
        "node_bcache_writeback_rate",
        Kind::Gauge,
        "Writeback rate, in bytes per second.",
    ),
    (
        Source::Writeback("integral:"),
        "node_bcache_writeback_rate_integral_term",
        Kind::Gauge,
        "Part of the writeback rate that the integral controller gives.",
    ),
    (
        Source::Writeback("proportional:"),
        "node_bcache_writeback_rate_proportional_term",
        Kind::Gauge,
        "Part of the writeback rate that the proportional controller gives.",
    ),
];

/// An attribute that kernels since 5.16 do not have, and whose 0 therefore says nothing.
const READAHEADS: &str = "stats_total/cache_readaheads";

const CACHE: [Family; 5] = [
    (
        Source::File("io_errors"),
        "node_bcache_io_errors",
        Kind::Gauge,
        "Errors of the device, which decay with time.",
    ),
    (
        Source::File("metadata_written"),
        "node_bcache_metadata_written_bytes_total",
        Kind::Counter,
        "Writes of the btree and all else that is no data, in bytes.",
    ),
    (
        Source::Priority("Metadata:"),
        "node_bcache_priority_stats_metadata_percent",
        Kind::Gauge,
        "Part of the cache that is metadata, in percent.",
    ),
    (
        Source::Priority("Unused:"),
        "node_bcache_priority_stats_unused_percent",
        Kind::Gauge,
        "Part of the cache that holds no data, in percent.",
    ),
    (
        Source::File("written"),
        "node_bcache_written_bytes_total",
        Kind::Counter,
        "Data written to the cache, in bytes.",
    ),
];

struct Bcache {
    base: PathBuf,
    has_priority_stats: bool,
    uuids: Names,
    devices: Names,
    sets: Vec<Row<{ SET.len() }>>,
    backing: Vec<Row<{ BACKING.len() }>>,
    caches: Vec<Row<{ CACHE.len() }>>,
    texts: Arena,
    buf: Buf,
}

/// The values of a cache set or of one of its devices, in the order of its families.
struct Row<const N: usize> {
    device: Span,
    uuid: Span,
    values: [Option<f64>; N],
}

impl<const N: usize> Row<N> {
    fn read(
        dir: &Dir,
        (device, uuid): (Span, Span),
        families: &[Family; N],
        buf: &mut Buf,
        problem: &mut Option<hostfs::Error>,
    ) -> Self {
        let mut values = [None; N];
        let mut complain = |error| {
            problem.get_or_insert(error);
        };
        for (value, (source, ..)) in values.iter_mut().zip(families) {
            let Source::File(name) = *source else { continue };
            match dir.attribute(name, buf) {
                Ok(Some(bytes)) => match human(bytes.trim_ascii_end()) {
                    Some(number) if name == AVERAGE_DURATION => *value = Some(number * 1e-9),
                    Some(number) if name == READAHEADS => *value = Some(number).filter(|&n| n != 0.0),
                    Some(number) => *value = Some(number),
                    None => complain(dir.malformed(name, "a size or a number")),
                },
                Ok(None) => {}
                Err(error) => complain(error),
            }
        }
        Row { device, uuid, values }
    }

    /// Reads the values that are lines of one file.
    fn read_lines(
        &mut self,
        dir: &Dir,
        file: &'static str,
        families: &[Family; N],
        key: impl Fn(Source) -> Option<&'static str>,
        parse: impl Fn(&[u8]) -> Option<f64>,
        buf: &mut Buf,
    ) -> hostfs::Result<()> {
        let bytes = dir.read(file, buf)?;
        let mut is_bad = false;
        for line in scan::lines(bytes) {
            for (value, &(source, ..)) in self.values.iter_mut().zip(families) {
                let Some(key) = key(source) else { continue };
                if line.starts_with(key.as_bytes()) {
                    *value = scan::fields(&line[key.len()..]).last().and_then(&parse);
                    is_bad |= value.is_none();
                }
            }
        }
        if is_bad { Err(dir.malformed(file, "lines of a word and a size")) } else { Ok(()) }
    }
}

impl Bcache {
    fn read(&mut self) -> hostfs::Result<Option<hostfs::Error>> {
        let Bcache { base, has_priority_stats, uuids, devices, sets, backing, caches, texts, buf } = self;
        sets.clear();
        backing.clear();
        caches.clear();
        texts.clear();
        let base = match Dir::open(base) {
            Ok(base) => base,
            Err(error) if error.is_gone() => return Ok(None),
            Err(error) => return Err(error),
        };
        base.names(uuids)?;
        let mut problem = None;
        for name in uuids.iter().filter(|name| name.as_bytes().contains(&b'-')) {
            let Some(set) = base.dir(name)? else { continue };
            let uuid = texts.push(name.as_bytes());
            sets.push(Row::read(&set, (Span::default(), uuid), &SET, buf, &mut problem));
            set.names(devices)?;
            for name in devices.iter() {
                let is_backing = is_numbered(name.as_bytes(), b"bdev");
                if !is_backing && !is_numbered(name.as_bytes(), b"cache") {
                    continue;
                }
                let Some(dir) = set.dir(name)? else { continue };
                let labels = (texts.push(name.as_bytes()), uuid);
                let result = if is_backing {
                    let mut row = Row::read(&dir, labels, &BACKING, buf, &mut problem);
                    let key = |source| match source {
                        Source::Writeback(key) => Some(key),
                        _ => None,
                    };
                    let result = row.read_lines(&dir, "writeback_rate_debug", &BACKING, key, rate, buf);
                    backing.push(row);
                    result
                } else {
                    let mut row = Row::read(&dir, labels, &CACHE, buf, &mut problem);
                    let key = |source| match source {
                        Source::Priority(key) => Some(key),
                        _ => None,
                    };
                    let mut result = Ok(());
                    if *has_priority_stats {
                        result = row.read_lines(&dir, "priority_stats", &CACHE, key, percent, buf);
                    }
                    caches.push(row);
                    result
                };
                if let Err(error) = result {
                    problem.get_or_insert(error);
                }
            }
        }
        Ok(problem)
    }
}

impl Collector for Bcache {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let problem = self.read()?;
        let Bcache { sets, backing, caches, texts, .. } = self;
        emit(out, &SET, sets, None, texts);
        emit(out, &BACKING, backing, Some("backing_device"), texts);
        emit(out, &CACHE, caches, Some("cache_device"), texts);
        problem.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn emit<const N: usize>(
    out: &mut Text,
    families: &[Family; N],
    rows: &mut [Row<N>],
    device: Option<&str>,
    texts: &Arena,
) {
    let key = |row: &Row<N>| [&texts[row.device], &texts[row.uuid]];
    rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    for (index, &(_, family, kind, help)) in families.iter().enumerate() {
        let mut family = out.family(family, kind, help);
        for row in rows.iter() {
            if let Some(value) = row.values[index] {
                let [name, uuid] = key(row).map(LabelValue::from);
                match device {
                    Some(device) => family.sample(&[(device, name), ("uuid", uuid)], value),
                    None => family.sample(&[("uuid", uuid)], value),
                }
            }
        }
    }
}

/// Whether `name` is `word` with a digit behind it.
fn is_numbered(name: &[u8], word: &[u8]) -> bool {
    name.strip_prefix(word).and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}

/// A size with a unit, such as `20.4G`, or a whole number; in whole bytes.
fn human(text: &[u8]) -> Option<f64> {
    let (&last, rest) = text.split_last()?;
    if last.is_ascii_digit() {
        return scan::unsigned(text).map(|n| n as f64);
    }
    let power = b"kMGTPEZY".iter().position(|&unit| unit == last)? + 1;
    let whole = match scan::split_once(rest, b'.') {
        Some((whole, part)) => scan::unsigned(whole)? as f64 + scan::unsigned(part)? as f64 / 10.24,
        None => scan::unsigned(rest)? as f64,
    };
    let size = whole * 1024f64.powi(power as i32);
    // Beyond 64 bits the original's answer depends on the processor.
    (size < 18_446_744_073_709_551_616.0).then(|| size.trunc())
}

/// A size per second, which may be negative.
fn rate(text: &[u8]) -> Option<f64> {
    let text = text.strip_suffix(b"/sec").unwrap_or(text);
    match text.strip_prefix(b"-") {
        Some(text) => human(text).map(|size| 0.0 - size),
        None => human(text),
    }
}

fn percent(text: &[u8]) -> Option<f64> {
    scan::unsigned(text.strip_suffix(b"%").unwrap_or(text)).map(|n| n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const DEBUG: &str = "rate:\t\t1.1M/sec\ndirty:\t\t20.4G\ntarget:\t\t20.4G\nproportional:\t427.5k\n\
                         integral:\t-790.0k\nchange:\t\t-3/sec\nnext io:\t17ms\n";

    #[test]
    fn sets_and_their_devices() {
        let tree = Tree::new(&[
            ("sys/fs/bcache/register", ""),
            ("sys/fs/bcache/b-1/tree_depth", "1\n"),
            ("sys/fs/bcache/b-1/internal/btree_read_average_duration_us", "1305\n"),
            ("sys/fs/bcache/b-1/bdev0/writeback_rate_debug", DEBUG),
            ("sys/fs/bcache/b-1/bdev0/dirty_data", "1.5k\n"),
            ("sys/fs/bcache/b-1/bdev0/stats_total/cache_hits", "546\n"),
            ("sys/fs/bcache/b-1/bdev0/stats_total/cache_readaheads", "0\n"),
            ("sys/fs/bcache/b-1/bdevx/dirty_data", "1\n"),
            ("sys/fs/bcache/b-1/cache0/written", "0\n"),
            ("sys/fs/bcache/b-1/cache0/priority_stats", "Unused:\t\t99%\nMetadata:\t0%\nAverage:\t10473\n"),
            ("sys/fs/bcache/a-1/bdev0/writeback_rate_debug", "rate: 1\n"),
        ]);
        let sets = "node_bcache_btree_read_average_duration_seconds{uuid=\"b-1\"} 1.305e-06\n\
                    node_bcache_tree_depth{uuid=\"b-1\"} 1\n";
        let backing = "node_bcache_cache_hits_total{backing_device=\"bdev0\",uuid=\"b-1\"} 546\n\
                       node_bcache_dirty_data_bytes{backing_device=\"bdev0\",uuid=\"b-1\"} 1524\n\
                       node_bcache_dirty_target_bytes{backing_device=\"bdev0\",uuid=\"b-1\"} 2.1894266880e+10\n\
                       node_bcache_writeback_change{backing_device=\"bdev0\",uuid=\"b-1\"} -3\n\
                       node_bcache_writeback_rate{backing_device=\"bdev0\",uuid=\"a-1\"} 1\n\
                       node_bcache_writeback_rate{backing_device=\"bdev0\",uuid=\"b-1\"} 1.150976e+06\n\
                       node_bcache_writeback_rate_integral_term{backing_device=\"bdev0\",uuid=\"b-1\"} -808960\n\
                       node_bcache_writeback_rate_proportional_term{backing_device=\"bdev0\",uuid=\"b-1\"} 437748\n"
            .replace("2.1894266880e", "2.189426688e");
        let priority = "node_bcache_priority_stats_metadata_percent{cache_device=\"cache0\",uuid=\"b-1\"} 0\n\
                        node_bcache_priority_stats_unused_percent{cache_device=\"cache0\",uuid=\"b-1\"} 99\n";
        let written = "node_bcache_written_bytes_total{cache_device=\"cache0\",uuid=\"b-1\"} 0\n";
        assert_eq!(tree.samples(&ENTRY, &[]), format!("{sets}{backing}{written}"));
        assert_eq!(
            tree.samples(&ENTRY, &["--collector.bcache.priorityStats"]),
            format!("{sets}{backing}{priority}{written}")
        );
    }

    #[test]
    fn what_is_damaged_is_left_out_alone_and_told() {
        for damaged in ["", "\n", "x\n", "1.5\n", "1.k\n", "1q\n", "-1\n", "99999999999999999999\n", "20Z\n"]
        {
            let tree = Tree::new(&[
                ("sys/fs/bcache/a-b/congested", damaged),
                ("sys/fs/bcache/a-b/tree_depth", "2\n"),
            ]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert_eq!(samples, "node_bcache_tree_depth{uuid=\"a-b\"} 2\n", "{damaged:?}");
            assert!(matches!(error, Some(Error::Failed(_))), "{damaged:?}");
        }
        let tree =
            Tree::new(&[("sys/fs/bcache/a-b/bdev0/writeback_rate_debug", "rate:\ntarget: 1k\nchange: 1")]);
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert_eq!(samples, "node_bcache_dirty_target_bytes{backing_device=\"bdev0\",uuid=\"a-b\"} 1024\n");
        assert!(matches!(error, Some(Error::Failed(_))));
    }

    #[test]
    fn a_machine_without_bcache_is_well() {
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
    }
}
