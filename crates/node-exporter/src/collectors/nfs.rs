//! The NFS client's calls: `/proc/net/rpc/nfs`, which net/sunrpc/stats.c writes.
//!
//! Each protocol version has a line with a count of procedures and their calls in the order of their numbers. The method names are
//! those of the original, which are the fields of its structs.

use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::scan::{self, Fields};
use hostfs::{Buf, File};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "nfs",
    on: true,
    help: "Calls of the NFS client from /proc/net/rpc/nfs.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Nfs {
            file: paths::proc(flags).file("net/rpc/nfs"),
            requests: Requests::new(&[("2", &V2), ("3", &V3), ("4", &V4)]),
            buf: Buf::new(),
        }))
    },
};

struct Nfs {
    file: File,
    requests: Requests,
    buf: Buf,
}

pub(super) const V2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create",
    "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

pub(super) const V3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];

/// The client's own numbers of version 4, see the kernel's NFSPROC4_CLNT_….
const V4: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

/// The calls of each method of some protocol versions, in the order in which their samples are written.
pub(super) struct Requests {
    /// The first version's methods, the second's and so on.
    methods: Vec<Method>,
    /// Where each version's methods begin in `calls`.
    starts: Vec<usize>,
    calls: Vec<u64>,
    read: Vec<bool>,
}

struct Method {
    name: &'static str,
    protocol: &'static str,
    version: usize,
    at: usize,
}

impl Requests {
    /// Versions with their `proto` label and methods; a method without a name is not written.
    pub(super) fn new(versions: &[(&'static str, &[&'static str])]) -> Self {
        let (mut methods, mut starts, mut total) = (Vec::new(), Vec::new(), 0);
        for (version, (protocol, names)) in versions.iter().enumerate() {
            starts.push(total);
            for (at, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                methods.push(Method { name, protocol, version, at: total + at });
            }
            total += names.len();
        }
        starts.push(total);
        methods.sort_unstable_by_key(|method| (method.name, method.protocol));
        Requests { methods, starts, calls: vec![0; total], read: vec![false; versions.len()] }
    }

    pub(super) fn clear(&mut self) {
        self.calls.fill(0);
        self.read.fill(false);
    }

    /// Reads what follows the key in a version's line, of which at least so many procedures must be there. Those that this kernel does
    /// not know yet were never called.
    pub(super) fn read(&mut self, version: usize, least: usize, mut fields: Fields<'_>) -> Option<()> {
        let calls = &mut self.calls[self.starts[version]..self.starts[version + 1]];
        let count = usize::try_from(fields.next_u64()?).ok()?;
        let mut found = 0;
        for field in fields {
            let value = scan::unsigned(field)?;
            if let Some(calls) = calls.get_mut(found) {
                *calls = value;
            }
            found += 1;
        }
        if found != count || count < least {
            return None;
        }
        self.read[version] = true;
        Some(())
    }

    /// One call count of its own.
    pub(super) fn set(&mut self, version: usize, calls: u64) {
        self.calls[self.starts[version]] = calls;
        self.read[version] = true;
    }

    /// Writes the calls of the versions that were read, and zeros for those that the kernel left out before them: it was built without
    /// them. What is missing at the end may have been cut off.
    pub(super) fn write(&self, out: &mut Text, name: &str, help: &str) {
        let known = self.read.iter().rposition(|&read| read).map_or(0, |last| last + 1);
        let mut family = out.family(name, Kind::Counter, help);
        for method in self.methods.iter().filter(|method| method.version < known) {
            let labels =
                [("method", LabelValue::from(method.name)), ("proto", LabelValue::from(method.protocol))];
            family.sample(&labels, self.calls[method.at]);
        }
    }
}

/// The next numbers of a line; more may follow.
pub(super) fn numbers<const N: usize>(mut fields: Fields<'_>) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = fields.next_u64()?;
    }
    Some(numbers)
}

impl Nfs {
    /// The `net` and the `rpc` line.
    fn parse(bytes: &[u8], requests: &mut Requests) -> Option<([u64; 4], [u64; 3])> {
        let (mut net, mut rpc) = (None, None);
        requests.clear();
        for line in scan::lines(bytes) {
            let mut fields = scan::fields(line);
            match fields.next()? {
                b"net" => net = Some(numbers(fields)?),
                b"rpc" => rpc = Some(numbers(fields)?),
                b"proc2" => requests.read(0, V2.len(), fields)?,
                b"proc3" => requests.read(1, V3.len(), fields)?,
                b"proc4" => requests.read(2, 1, fields)?,
                _ => {}
            }
        }
        Some((net?, rpc?))
    }
}

impl Collector for Nfs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        let ([_, udp, tcp, connections], [calls, retransmissions, refreshes]) =
            Self::parse(bytes, &mut self.requests)
                .ok_or_else(|| self.file.malformed("lines of net, rpc and procedures"))?;
        let counter = Kind::Counter;
        out.single("node_nfs_connections_total", counter, "TCP connections of the client.", connections);
        let mut packets = out.family("node_nfs_packets_total", counter, "Packets sent and received.");
        packets.sample(&[("protocol", "tcp".into())], tcp);
        packets.sample(&[("protocol", "udp".into())], udp);
        drop(packets);
        self.requests.write(out, "node_nfs_requests_total", "Calls of NFS procedures.");
        out.single(
            "node_nfs_rpc_authentication_refreshes_total",
            counter,
            "How often credentials were renewed.",
            refreshes,
        );
        out.single("node_nfs_rpc_retransmissions_total", counter, "Calls sent once more.", retransmissions);
        out.single("node_nfs_rpcs_total", counter, "Calls of the client.", calls);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEAD: &str = "net 70 71 69 45\nrpc 1218785755 374636 1218815394\n";

    fn samples(rest: &str) -> String {
        Tree::new(&[("proc/net/rpc/nfs", &format!("{HEAD}{rest}"))]).samples(&ENTRY, &[])
    }

    #[test]
    fn totals_and_methods() {
        let without = samples("");
        assert_eq!(
            without,
            "node_nfs_connections_total 45\n\
             node_nfs_packets_total{protocol=\"tcp\"} 69\n\
             node_nfs_packets_total{protocol=\"udp\"} 71\n\
             node_nfs_rpc_authentication_refreshes_total 1.218815394e+09\n\
             node_nfs_rpc_retransmissions_total 374636\n\
             node_nfs_rpcs_total 1.218785755e+09\n"
        );
        let with = samples(
            "proc3 22 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22\nproc4 3 7 8 9\nproc9 x\n",
        );
        assert!(with.contains("node_nfs_requests_total{method=\"Access\",proto=\"3\"} 5\n"), "{with}");
        assert!(with.contains("{method=\"Commit\",proto=\"3\"} 22\n"));
        assert!(with.contains("{method=\"Null\",proto=\"2\"} 0\n"), "a kernel without version 2");
        assert!(with.contains("{method=\"Write\",proto=\"4\"} 9\n"));
        assert!(with.contains("{method=\"Clone\",proto=\"4\"} 0\n"), "a kernel that does not know it");
        assert_eq!(with.lines().count(), 6 + 18 + 22 + 59);
        let cut = samples("proc3 22 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22\nproc4 3 7 8 9");
        assert!(!cut.contains("proto=\"4\""));
    }

    #[test]
    fn a_file_that_is_cut_has_no_wrong_value() {
        let whole = format!(
            "{HEAD}proc2 18{}\nproc3 22{}\nproc4 48{}\n",
            " 12".repeat(18),
            " 34".repeat(22),
            " 56".repeat(48)
        );
        let tree = Tree::new(&[("proc/net/rpc/nfs", &whole)]);
        let expected = tree.samples(&ENTRY, &[]);
        for cut in 0..whole.len() {
            tree.write("proc/net/rpc/nfs", &whole[..cut]);
            let (samples, _) = tree.collect(&ENTRY, &[]);
            for sample in samples.lines() {
                assert!(expected.lines().any(|line| line == sample), "cut at {cut}: {sample}");
            }
        }
    }

    #[test]
    fn a_damaged_file_fails() {
        for text in [
            "",
            "net 1 2 3 4\n",
            "net 1 2 3\nrpc 1 2 3\n",
            "net 1 2 3 4\nrpc 1 -2 3\n",
            "net 1 2 3 4\n\nrpc 1 2 3\n",
            "net 1 2 3 4\nrpc 1 2 3\nproc3 22 1 2\n",
            "net 1 2 3 4\nrpc 1 2 3\nproc2 2 1 2\n",
            "net 1 2 3 4\nrpc 1 2 3\nproc4 2 1 99999999999999999999\n",
        ] {
            let (samples, error) = Tree::new(&[("proc/net/rpc/nfs", text)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{text:?}: {samples}");
        }
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
