//! NFS mounts: their statistics in `/proc/self/mountstats`, see the kernel's fs/nfs/super.c (nfs_show_stats) and net/sunrpc/stats.c.
//!
//! The server's address is not there; it is the option `addr` of the mount's line in `/proc/self/mountinfo`, which lists the same
//! mounts in the same order. As mounts may come and go between the two reads, the line at the same position counts only if it has
//! the same source. Several mounts of one export share their statistics: the first stands for all. Neither file is kept
//! open, as it would hold the mount namespace.

use std::path::PathBuf;
use std::time::Instant;

use exporter::text::{LabelValue, Number};
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "mountstats",
    on: false,
    help: "NFS mount statistics from /proc/self/mountstats.",
    flags: &[],
    new: |flags| {
        let proc = paths::proc(flags);
        Ok(Box::new(MountStats {
            stats: proc.join("self/mountstats"),
            info: proc.join("self/mountinfo"),
            found: Found::default(),
            stats_buf: Buf::new(),
            info_buf: Buf::new(),
        }))
    },
};

/// The most bytes read of either file: thousands of mounts.
const CAP: usize = 16 << 20;

/// A field's index, and the family's name, type and HELP.
type Family = (usize, &'static str, Kind, &'static str);

const AGE: &str = "node_mountstats_nfs_age_seconds_total";

/// Families of the line `events:`, by field. The field 18, congestion waits, has none.
const EVENTS: [Family; 26] = [
    (
        3,
        "node_mountstats_nfs_event_attribute_invalidate_total",
        Kind::Counter,
        "Times that an inode's cached attributes were dropped.",
    ),
    (
        2,
        "node_mountstats_nfs_event_data_invalidate_total",
        Kind::Counter,
        "Times that an inode's cached data was dropped.",
    ),
    (
        1,
        "node_mountstats_nfs_event_dnode_revalidate_total",
        Kind::Counter,
        "Times that cached directory entries were checked.",
    ),
    (
        0,
        "node_mountstats_nfs_event_inode_revalidate_total",
        Kind::Counter,
        "Times that cached attributes of an inode were checked.",
    ),
    (
        24,
        "node_mountstats_nfs_event_jukebox_delay_total",
        Kind::Counter,
        "Answers that the server put off while it fetched data.",
    ),
    (25, "node_mountstats_nfs_event_pnfs_read_total", Kind::Counter, "Reads by parallel NFS."),
    (26, "node_mountstats_nfs_event_pnfs_write_total", Kind::Counter, "Writes by parallel NFS."),
    (
        22,
        "node_mountstats_nfs_event_short_read_total",
        Kind::Counter,
        "Reads that got less than they asked for.",
    ),
    (
        23,
        "node_mountstats_nfs_event_short_write_total",
        Kind::Counter,
        "Writes that took less than they were given.",
    ),
    (
        21,
        "node_mountstats_nfs_event_silly_rename_total",
        Kind::Counter,
        "Files that were removed while open, and renamed for that time.",
    ),
    (19, "node_mountstats_nfs_event_truncation_total", Kind::Counter, "Files that were shortened."),
    (6, "node_mountstats_nfs_event_vfs_access_total", Kind::Counter, "Checks of permissions."),
    (17, "node_mountstats_nfs_event_vfs_file_release_total", Kind::Counter, "Files that were closed."),
    (14, "node_mountstats_nfs_event_vfs_flush_total", Kind::Counter, "Flushes of files to the server."),
    (15, "node_mountstats_nfs_event_vfs_fsync_total", Kind::Counter, "Calls of fsync."),
    (12, "node_mountstats_nfs_event_vfs_getdents_total", Kind::Counter, "Reads of directories."),
    (16, "node_mountstats_nfs_event_vfs_lock_total", Kind::Counter, "Attempts to lock a file."),
    (5, "node_mountstats_nfs_event_vfs_lookup_total", Kind::Counter, "Lookups of names in directories."),
    (4, "node_mountstats_nfs_event_vfs_open_total", Kind::Counter, "Opens of files and directories."),
    (8, "node_mountstats_nfs_event_vfs_read_page_total", Kind::Counter, "Pages read one by one."),
    (9, "node_mountstats_nfs_event_vfs_read_pages_total", Kind::Counter, "Reads of groups of pages."),
    (13, "node_mountstats_nfs_event_vfs_setattr_total", Kind::Counter, "Changes of attributes."),
    (
        7,
        "node_mountstats_nfs_event_vfs_update_page_total",
        Kind::Counter,
        "Updates and possible writes of pages.",
    ),
    (10, "node_mountstats_nfs_event_vfs_write_page_total", Kind::Counter, "Pages written one by one."),
    (11, "node_mountstats_nfs_event_vfs_write_pages_total", Kind::Counter, "Writes of groups of pages."),
    (
        20,
        "node_mountstats_nfs_event_write_extension_total",
        Kind::Counter,
        "Files that grew by a write past their end.",
    ),
];

/// Families of the line `bytes:`, by field.
const BYTES: [Family; 8] = [
    (2, "node_mountstats_nfs_direct_read_bytes_total", Kind::Counter, "Bytes read past the page cache."),
    (3, "node_mountstats_nfs_direct_write_bytes_total", Kind::Counter, "Bytes written past the page cache."),
    (0, "node_mountstats_nfs_read_bytes_total", Kind::Counter, "Bytes read by read()."),
    (6, "node_mountstats_nfs_read_pages_total", Kind::Counter, "Pages read by mmap() and read()."),
    (4, "node_mountstats_nfs_total_read_bytes_total", Kind::Counter, "Bytes read from the server."),
    (5, "node_mountstats_nfs_total_write_bytes_total", Kind::Counter, "Bytes written to the server."),
    (1, "node_mountstats_nfs_write_bytes_total", Kind::Counter, "Bytes written by write()."),
    (7, "node_mountstats_nfs_write_pages_total", Kind::Counter, "Pages written by mmap() and write()."),
];

/// Families of the lines `xprt:`, by field in the longest layout, that of TCP.
const TRANSPORTS: [Family; 10] = [
    (
        9,
        "node_mountstats_nfs_transport_backlog_queue_total",
        Kind::Counter,
        "Sum over requests of the length of the backlog queue.",
    ),
    (
        7,
        "node_mountstats_nfs_transport_bad_transaction_ids_total",
        Kind::Counter,
        "Answers with a transaction ID that was not asked for.",
    ),
    (
        1,
        "node_mountstats_nfs_transport_bind_total",
        Kind::Counter,
        "Connections that were set up from the start.",
    ),
    (2, "node_mountstats_nfs_transport_connect_total", Kind::Counter, "TCP connections made to the server."),
    (
        4,
        "node_mountstats_nfs_transport_idle_time_seconds",
        Kind::Gauge,
        "Time since the last RPC, in seconds.",
    ),
    (10, "node_mountstats_nfs_transport_maximum_rpc_slots", Kind::Gauge, "Most RPC slots ever in use."),
    (
        12,
        "node_mountstats_nfs_transport_pending_queue_total",
        Kind::Counter,
        "Sum over requests of the length of the pending queue.",
    ),
    (6, "node_mountstats_nfs_transport_receives_total", Kind::Counter, "Answers received from the server."),
    (
        11,
        "node_mountstats_nfs_transport_sending_queue_total",
        Kind::Counter,
        "Sum over requests of the length of the sending queue.",
    ),
    (5, "node_mountstats_nfs_transport_sends_total", Kind::Counter, "Requests sent to the server."),
];

/// Families of the lines after `per-op statistics`, by field; those from [`FIRST_MILLISECONDS`] on are times.
const OPERATIONS: [Family; 8] = [
    (2, "node_mountstats_nfs_operations_major_timeouts_total", Kind::Counter, "Requests that timed out."),
    (
        5,
        "node_mountstats_nfs_operations_queue_time_seconds_total",
        Kind::Counter,
        "Time that requests waited to be sent, in seconds.",
    ),
    (
        4,
        "node_mountstats_nfs_operations_received_bytes_total",
        Kind::Counter,
        "Bytes received, headers among them.",
    ),
    (
        7,
        "node_mountstats_nfs_operations_request_time_seconds_total",
        Kind::Counter,
        "Time from the request's start to its end, in seconds.",
    ),
    (0, "node_mountstats_nfs_operations_requests_total", Kind::Counter, "Requests of this operation."),
    (
        6,
        "node_mountstats_nfs_operations_response_time_seconds_total",
        Kind::Counter,
        "Time from sending to the answer, in seconds.",
    ),
    (3, "node_mountstats_nfs_operations_sent_bytes_total", Kind::Counter, "Bytes sent, headers among them."),
    (
        1,
        "node_mountstats_nfs_operations_transmissions_total",
        Kind::Counter,
        "Transmissions of requests, repeats among them.",
    ),
];
/// The first field of an operation that is in milliseconds.
const FIRST_MILLISECONDS: usize = 5;

/// Times are taken modulo this, beyond which a float has no whole numbers; the kernel's wrap now and then.
const MANTISSA: u64 = 1 << 53;

const EVENT_FIELDS: usize = 27;
const TRANSPORT_FIELDS: usize = 13;
/// Fields of a transport that version 1.1 of the statistics added.
const NEW_TRANSPORT_FIELDS: usize = 3;

struct MountStats {
    stats: PathBuf,
    info: PathBuf,
    found: Found,
    stats_buf: Buf,
    info_buf: Buf,
}

/// What one scrape found.
#[derive(Default)]
struct Found {
    texts: Arena,
    mounts: Vec<Mount>,
    transports: Vec<Transport>,
    operations: Vec<Operation>,
    rows: Vec<Row>,
    operation_rows: Vec<(Row, usize)>,
    /// Whether a line is not what it should be.
    is_bad: bool,
}

/// An NFS mount.
#[derive(Clone, Copy)]
struct Mount {
    export: Span,
    address: Span,
    age: Option<u64>,
    bytes: [Option<u64>; BYTES.len()],
    events: [Option<u64>; EVENT_FIELDS],
    /// The first of its transports and operations, and the first that are not its own.
    transports: (usize, usize),
    operations: (usize, usize),
}

#[derive(Clone, Copy)]
struct Transport {
    protocol: Span,
    fields: [Option<u64>; TRANSPORT_FIELDS],
}

#[derive(Clone, Copy)]
struct Operation {
    name: Span,
    fields: [Option<u64>; OPERATIONS.len()],
}

/// What becomes a series of most families: a mount under one of its protocols.
#[derive(Clone, Copy)]
struct Row {
    mount: usize,
    protocol: Span,
}

impl Found {
    fn read(&mut self, stats: &[u8], info: &[u8]) -> bool {
        self.texts.clear();
        self.mounts.clear();
        self.transports.clear();
        self.operations.clear();
        self.is_bad = false;
        let mut info_lines = scan::lines(info);
        let mut is_any = false;
        let mut section = Section::None;
        for line in scan::lines(stats) {
            if line.starts_with(b"device ") || line.starts_with(b"no device ") {
                is_any = true;
                section = self.open_mount(line, &mut info_lines, info);
                continue;
            }
            let Section::Nfs { version, in_operations } = &mut section else { continue };
            let mut fields = scan::fields(line);
            let Some(key) = fields.next() else {
                // An empty line ends the operations; what follows is the next mount.
                section = Section::None;
                continue;
            };
            if *in_operations {
                let name = self.texts.push(key.strip_suffix(b":").unwrap_or(key));
                let mut operation = Operation { name, fields: [None; OPERATIONS.len()] };
                self.is_bad |= !fill(&mut operation.fields, fields, OPERATIONS.len());
                self.operations.push(operation);
            } else if key == b"per-op" {
                *in_operations = true;
            } else {
                let version = *version;
                self.read_line(key, fields, version);
            }
            self.close_mount();
        }
        is_any
    }

    /// Starts a mount, if it is one of NFS with statistics.
    fn open_mount<'a>(
        &mut self,
        line: &[u8],
        info_lines: &mut (impl Iterator<Item = &'a [u8]> + Clone),
        info: &'a [u8],
    ) -> Section {
        let same_place = info_lines.next();
        let mut fields = scan::fields(line);
        let mut word = || fields.next().unwrap_or_default();
        if word() != b"device" {
            return Section::None;
        }
        let export = word();
        let _mounted_on_with_fstype = [word(), word(), word(), word(), word()];
        let fstype = word();
        if !matches!(fstype, b"nfs" | b"nfs4") {
            return Section::None;
        }
        let version = match fields.next() {
            Some(b"statvers=1.0") => Version::Old,
            Some(b"statvers=1.1") => Version::New,
            // An automount point of NFS has no statistics.
            None => return Section::None,
            Some(_) => {
                self.is_bad = true;
                return Section::None;
            }
        };
        let is_this =
            |line: &[u8]| Info::parse(line).is_some_and(|i| (i.source, i.fstype) == (export, fstype));
        let info_line = same_place.filter(|line| is_this(line)).or_else(|| {
            // The lists differ from here on: go on behind the line that is right.
            let mut ahead = info_lines.clone();
            let found = ahead.find(|line| is_this(line))?;
            *info_lines = ahead;
            Some(found)
        });
        let info_line = info_line.or_else(|| scan::lines(info).find(|line| is_this(line)));
        let Some(info) = info_line.and_then(Info::parse) else {
            // It came or went between the two reads; without its address it would be another series.
            return Section::None;
        };
        self.mounts.push(Mount {
            export: self.texts.push(export),
            address: self.texts.push(info.address()),
            age: None,
            bytes: [None; BYTES.len()],
            events: [None; EVENT_FIELDS],
            transports: (self.transports.len(), self.transports.len()),
            operations: (self.operations.len(), self.operations.len()),
        });
        Section::Nfs { version, in_operations: false }
    }

    /// Counts the transports and operations that are there as the last mount's.
    fn close_mount(&mut self) {
        if let Some(mount) = self.mounts.last_mut() {
            mount.transports.1 = self.transports.len();
            mount.operations.1 = self.operations.len();
        }
    }

    fn read_line(&mut self, key: &[u8], mut fields: scan::Fields<'_>, version: Version) {
        let Some(mount) = self.mounts.last_mut() else { return };
        let is_well = match key {
            b"age:" => {
                mount.age = fields.next_u64();
                mount.age.is_some()
            }
            b"bytes:" => fill(&mut mount.bytes, fields, BYTES.len()),
            b"events:" => fill(&mut mount.events, fields, EVENT_FIELDS),
            b"xprt:" => match transport(fields, version) {
                Some((protocol, fields, is_well)) => {
                    let protocol = self.texts.push(protocol);
                    self.transports.push(Transport { protocol, fields });
                    is_well
                }
                None => false,
            },
            _ => true,
        };
        self.is_bad |= !is_well;
    }

    /// Finds the series: each mount once per protocol, and no two alike.
    fn arrange(&mut self) {
        let Found { texts, mounts, transports, operations, rows, operation_rows, .. } = self;
        let key = |row: &Row| {
            let mount = &mounts[row.mount];
            [&texts[mount.export], &texts[mount.address], &texts[row.protocol]]
        };
        rows.clear();
        operation_rows.clear();
        for (index, mount) in mounts.iter().enumerate() {
            for transport in &transports[mount.transports.0..mount.transports.1] {
                rows.push(Row { mount: index, protocol: transport.protocol });
            }
        }
        // Of those alike, the first mount's.
        rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(a.mount.cmp(&b.mount)));
        rows.dedup_by(|a, b| key(a) == key(b));
        for &row in rows.iter() {
            let (start, end) = mounts[row.mount].operations;
            operation_rows.extend((start..end).map(|operation| (row, operation)));
        }
        let key = |(row, operation): &(Row, usize)| {
            let [export, address, protocol] = key(row);
            [export, address, &texts[operations[*operation].name], protocol]
        };
        operation_rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(a.1.cmp(&b.1)));
        operation_rows.dedup_by(|a, b| key(a) == key(b));
    }

    fn emit(&self, out: &mut Text) {
        let Found { texts, mounts, transports, operations, rows, operation_rows, .. } = self;
        let text = |span: Span| LabelValue::from(&texts[span]);
        let one = |out: &mut Text, (_, name, kind, help): Family, field: &dyn Fn(&Mount) -> Option<u64>| {
            let mut family = out.family(name, kind, help);
            for row in rows {
                let mount = &mounts[row.mount];
                if let Some(value) = field(mount) {
                    let labels = [
                        ("export", text(mount.export)),
                        ("mountaddr", text(mount.address)),
                        ("protocol", text(row.protocol)),
                    ];
                    family.sample(&labels, value);
                }
            }
        };
        one(out, (0, AGE, Kind::Counter, "Age of the mount, in seconds."), &|mount| mount.age);
        for family in BYTES {
            one(out, family, &|mount| mount.bytes[family.0]);
        }
        for family in EVENTS {
            one(out, family, &|mount| mount.events[family.0]);
        }
        for (field, name, kind, help) in OPERATIONS {
            let mut family = out.family(name, kind, help);
            for &(row, operation) in operation_rows {
                let (mount, operation) = (&mounts[row.mount], &operations[operation]);
                let Some(value) = operation.fields[field] else { continue };
                let value = if field >= FIRST_MILLISECONDS {
                    Number::F((value % MANTISSA) as f64 / 1000.0)
                } else {
                    Number::U(value)
                };
                let labels = [
                    ("export", text(mount.export)),
                    ("mountaddr", text(mount.address)),
                    ("operation", text(operation.name)),
                    ("protocol", text(row.protocol)),
                ];
                family.sample(&labels, value);
            }
        }
        for (field, name, kind, help) in TRANSPORTS {
            let mut family = out.family(name, kind, help);
            for row in rows {
                let mount = &mounts[row.mount];
                let transports = &transports[mount.transports.0..mount.transports.1];
                for (index, transport) in transports.iter().enumerate() {
                    let Some(value) = transport.fields[field] else { continue };
                    let labels = [
                        ("export", text(mount.export)),
                        ("mountaddr", text(mount.address)),
                        ("protocol", text(row.protocol)),
                        ("transport", LabelValue::Int(index as u64)),
                    ];
                    let value = if field == IDLE_TIME { value % MANTISSA } else { value };
                    family.sample(&labels, value);
                }
            }
            // The tenth transport comes before the second.
            family.sort();
        }
    }
}

/// The field of a transport that is a time.
const IDLE_TIME: usize = 4;

/// Where in the file a line is.
enum Section {
    /// In a mount without statistics, or none.
    None,
    Nfs {
        version: Version,
        in_operations: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

/// A line of mountinfo, as far as it is needed.
struct Info<'a> {
    fstype: &'a [u8],
    source: &'a [u8],
    options: &'a [u8],
}

impl<'a> Info<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        // The source may be empty, but holds no space: that is escaped.
        let mut words = line.split(|&b| b == b' ');
        words.find(|&word| word == b"-")?;
        Some(Info { fstype: words.next()?, source: words.next()?, options: words.next()? })
    }

    fn address(&self) -> &'a [u8] {
        self.options.split(|&b| b == b',').rev().find_map(|o| o.strip_prefix(b"addr=")).unwrap_or_default()
    }
}

/// Fills `values` with the fields of a line; `false` if one of the first `least` is missing or no number.
fn fill(values: &mut [Option<u64>], mut fields: scan::Fields<'_>, least: usize) -> bool {
    for value in values.iter_mut() {
        *value = fields.next_u64();
    }
    values.iter().take(least).all(Option::is_some)
}

type Fields = [Option<u64>; TRANSPORT_FIELDS];

/// A line `xprt:` in the layout of TCP, and whether all its fields are well. `None` for a protocol that is not known.
fn transport<'a>(mut fields: scan::Fields<'a>, version: Version) -> Option<(&'a [u8], Fields, bool)> {
    let protocol = fields.next()?;
    let mut all: Fields = [None; TRANSPORT_FIELDS];
    let end = match (protocol, version) {
        (b"tcp" | b"udp", Version::New) => TRANSPORT_FIELDS,
        (b"tcp" | b"udp", Version::Old) => TRANSPORT_FIELDS - NEW_TRANSPORT_FIELDS,
        // What RDMA has in their place is exported by nobody.
        (b"rdma", Version::New) => TRANSPORT_FIELDS - NEW_TRANSPORT_FIELDS,
        _ => return None,
    };
    if protocol == b"udp" {
        // No connection: no count of them, and no idle times.
        let (head, rest) = (fill(&mut all[..2], fields.clone(), 2), 5);
        fields.nth(1);
        all[2..rest].fill(Some(0));
        let is_well = fill(&mut all[rest..end], fields, end - rest);
        return Some((protocol, all, head && is_well));
    }
    let is_well = fill(&mut all[..end], fields, end);
    Some((protocol, all, is_well))
}

impl Collector for MountStats {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let stats = hostfs::read_with_cap(&self.stats, CAP, &mut self.stats_buf)?;
        let info = hostfs::read_with_cap(&self.info, CAP, &mut self.info_buf)?;
        if scan::lines(info).next().is_none() {
            return Err(hostfs::Error::malformed(&self.info, "a list of mounts").into());
        }
        if !self.found.read(stats, info) {
            return Err(hostfs::Error::malformed(&self.stats, "a list of mounts").into());
        }
        self.found.arrange();
        self.found.emit(out);
        if self.found.is_bad {
            return Err(hostfs::Error::malformed(&self.stats, "NFS statistics of version 1.0 or 1.1").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const INFO: &str = "21 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                        194 21 0:42 / /mnt/a rw shared:144 - nfs4 srv:/a rw,vers=4.0,clientaddr=10.0.0.5,addr=10.0.0.1,local_lock=none\n";

    fn stats(xprt: &str) -> String {
        format!(
            "device /dev/sda1 mounted on / with fstype ext4\n\
             device srv:/a mounted on /mnt/a with fstype nfs4 statvers=1.1\n\
             \topts:\trw,vers=4.0\n\
             \tage:\t13968\n\
             \tevents:\t0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26\n\
             \tbytes:\t10 11 12 13 14 15 16 17\n\
             \tRPC iostats version: 1.0  p/v: 100003/4 (nfs)\n\
             {xprt}\
             \tper-op statistics\n\
             \t        READ: 1298 1299 1 207680 1210292152 6 79386 79407 5\n\
             \t        NULL: 0 0 0 0 0 18446743919241604546 0 0\n\
             \n"
        )
    }

    const TCP: &str = "\txprt:\ttcp 832 1 2 3 4 5 6 7 8 9 10 11 12\n";

    fn tree(stats: &str, info: &str) -> Tree {
        Tree::new(&[("proc/self/mountstats", stats), ("proc/self/mountinfo", info)])
    }

    fn short(samples: &str) -> String {
        samples
            .replace("node_mountstats_nfs_", "")
            .replace("export=\"srv:/a\",mountaddr=\"10.0.0.1\"", "*")
            .replace(",protocol=\"tcp\"", ",tcp")
    }

    #[test]
    fn all_families_of_a_mount() {
        let samples = short(&tree(&stats(TCP), INFO).samples(&ENTRY, &[]));
        let lines: Vec<&str> = samples.lines().collect();
        assert_eq!(lines.len(), 1 + BYTES.len() + EVENTS.len() + 2 * OPERATIONS.len() + TRANSPORTS.len());
        for expected in [
            "age_seconds_total{*,tcp} 13968",
            "read_bytes_total{*,tcp} 10",
            "direct_read_bytes_total{*,tcp} 12",
            "write_pages_total{*,tcp} 17",
            "event_inode_revalidate_total{*,tcp} 0",
            "event_vfs_file_release_total{*,tcp} 17",
            "event_truncation_total{*,tcp} 19",
            "event_pnfs_write_total{*,tcp} 26",
            "operations_requests_total{*,operation=\"READ\",tcp} 1298",
            "operations_queue_time_seconds_total{*,operation=\"READ\",tcp} 0.006",
            "operations_request_time_seconds_total{*,operation=\"READ\",tcp} 79.407",
            "operations_queue_time_seconds_total{*,operation=\"NULL\",tcp} 9.007044786793922e+12",
            "transport_bind_total{*,tcp,transport=\"0\"} 1",
            "transport_idle_time_seconds{*,tcp,transport=\"0\"} 4",
            "transport_backlog_queue_total{*,tcp,transport=\"0\"} 9",
            "transport_pending_queue_total{*,tcp,transport=\"0\"} 12",
        ] {
            assert!(lines.contains(&expected), "{expected} is not in {samples}");
        }
        let read = lines.iter().position(|l| l.starts_with("operations_requests_total{*,operation=\"READ\""));
        let null = lines.iter().position(|l| l.starts_with("operations_requests_total{*,operation=\"NULL\""));
        assert!(null < read, "operations in order of their names");
    }

    fn transports(samples: &str, family: &str) -> Vec<String> {
        short(samples).lines().filter(|l| l.starts_with(family)).map(str::to_owned).collect()
    }

    #[test]
    fn protocols_and_versions_have_their_layouts() {
        let udp = tree(&stats("\txprt:\tudp 832 1 5 6 7 8 9 10 11 12\n"), INFO).samples(&ENTRY, &[]);
        assert_eq!(
            transports(&udp, "transport"),
            [
                "transport_backlog_queue_total{*,protocol=\"udp\",transport=\"0\"} 9",
                "transport_bad_transaction_ids_total{*,protocol=\"udp\",transport=\"0\"} 7",
                "transport_bind_total{*,protocol=\"udp\",transport=\"0\"} 1",
                "transport_connect_total{*,protocol=\"udp\",transport=\"0\"} 0",
                "transport_idle_time_seconds{*,protocol=\"udp\",transport=\"0\"} 0",
                "transport_maximum_rpc_slots{*,protocol=\"udp\",transport=\"0\"} 10",
                "transport_pending_queue_total{*,protocol=\"udp\",transport=\"0\"} 12",
                "transport_receives_total{*,protocol=\"udp\",transport=\"0\"} 6",
                "transport_sending_queue_total{*,protocol=\"udp\",transport=\"0\"} 11",
                "transport_sends_total{*,protocol=\"udp\",transport=\"0\"} 5",
            ]
        );
        let old = stats("\txprt:\ttcp 832 1 2 3 4 5 6 7 8 9\n").replace("statvers=1.1", "statvers=1.0");
        let old = tree(&old, INFO).samples(&ENTRY, &[]);
        assert_eq!(transports(&old, "transport").len(), TRANSPORTS.len() - NEW_TRANSPORT_FIELDS);
        let rdma = stats("\txprt:\trdma 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n");
        let rdma = tree(&rdma, INFO).samples(&ENTRY, &[]);
        assert_eq!(transports(&rdma, "transport_maximum"), [""; 0]);
        assert_eq!(transports(&rdma, "transport_sends").len(), 1);
    }

    #[test]
    fn many_connections_are_in_order_of_their_labels() {
        let samples = tree(&stats(&TCP.repeat(11)), INFO).samples(&ENTRY, &[]);
        let sends = transports(&samples, "transport_sends_total");
        assert_eq!(sends.len(), 11);
        assert!(sends[2].contains("transport=\"10\"") && sends[3].contains("transport=\"2\""), "{sends:?}");
        assert_eq!(transports(&samples, "age").len(), 1);
    }

    #[test]
    fn a_second_mount_of_an_export_is_left_out() {
        let two = stats(TCP) + &stats(TCP).replace("13968", "7");
        let info = format!("{INFO}{INFO}");
        assert_eq!(
            transports(&tree(&two, &info).samples(&ENTRY, &[]), "age"),
            ["age_seconds_total{*,tcp} 13968"]
        );
    }

    #[test]
    fn the_address_is_that_of_the_same_source() {
        let moved = format!("1 1 0:5 / /x rw - tmpfs  rw\n{INFO}");
        let samples = tree(&stats(TCP), &moved).samples(&ENTRY, &[]);
        assert_eq!(transports(&samples, "age"), ["age_seconds_total{*,tcp} 13968"]);
        let gone = "1 1 0:5 / /x rw - tmpfs x rw,addr=1.2.3.4\n";
        assert_eq!(tree(&stats(TCP), gone).samples(&ENTRY, &[]), "");
        let local = INFO.replace("addr=", "adr=");
        let samples = tree(&stats(TCP), &local).samples(&ENTRY, &[]);
        assert!(samples.contains("{export=\"srv:/a\",mountaddr=\"\",protocol=\"tcp\"} 13968\n"), "{samples}");
    }

    #[test]
    fn damage_costs_the_damaged_value_and_is_told() {
        for (from, to, lost) in [
            ("age:\t13968", "age:\tx", 1),
            ("bytes:\t10", "bytes:\t99999999999999999999", 1),
            (" 25 26\n", " 25\n", 1),
            ("1298 1299", "-1 1299", 1),
            ("tcp 832 1 2", "tcp 832 1 x", 1),
            ("xprt:\ttcp", "xprt:\tpigeon", 71),
            ("statvers=1.1", "statvers=2.0", 71),
        ] {
            let all = tree(&stats(TCP), INFO).samples(&ENTRY, &[]).lines().count();
            let (samples, error) = tree(&stats(TCP).replace(from, to), INFO).collect(&ENTRY, &[]);
            assert!(matches!(error, Some(Error::Failed(_))), "{to}");
            assert_eq!(all.min(71) - samples.lines().count(), lost.min(all), "{to}: {samples}");
        }
    }

    #[test]
    fn a_file_that_is_cut_never_has_a_wrong_value() {
        let (whole, all) = (stats(TCP), tree(&stats(TCP), INFO).samples(&ENTRY, &[]));
        for end in 0..whole.len() {
            let (samples, _) = tree(&whole[..end], INFO).collect(&ENTRY, &[]);
            for line in samples.lines() {
                assert!(all.contains(line), "cut at {end}: {line}");
            }
        }
    }

    #[test]
    fn other_mounts_alone_are_well_and_no_mounts_are_not() {
        let other = "device /dev/sda1 mounted on / with fstype ext4\nno device mounted on /x with fstype y\n\
                     device s:/n mounted on /n with fstype nfs\n";
        assert_eq!(tree(other, INFO).samples(&ENTRY, &[]), "");
        for empty in ["", "\n", "x"] {
            assert!(matches!(tree(empty, INFO).collect(&ENTRY, &[]).1, Some(Error::Failed(_))));
        }
        for without_info in [Tree::new(&[("proc/self/mountstats", &stats(TCP))]), tree(&stats(TCP), "")] {
            let (samples, error) = without_info.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))));
        }
    }
}
