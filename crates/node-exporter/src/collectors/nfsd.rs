//! The NFS server's statistics: `/proc/net/rpc/nfsd`, see nfsd(7) and the kernel's fs/nfsd/stats.c.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use super::nfs::{Requests, V2, V3, numbers};
use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "nfsd",
    on: true,
    help: "Statistics of the NFS server from /proc/net/rpc/nfsd.",
    flags: &[],
    new: |flags| {
        let (mut v2, mut v3) = (V2, V3);
        // The original does not tell the calls of Null here.
        (v2[0], v3[0]) = ("", "");
        Ok(Box::new(Nfsd {
            file: paths::proc(flags).file("net/rpc/nfsd"),
            requests: Requests::new(&[("2", &v2), ("3", &v3), ("4", &OPERATIONS), ("4", &["WdelegGetattr"])]),
            buf: Buf::new(),
        }))
    },
};

struct Nfsd {
    file: File,
    requests: Requests,
    buf: Buf,
}

/// The operations of version 4 by their number, see RFC 7530; those without a name are not told.
const OPERATIONS: [&str; 40] = [
    "",
    "",
    "",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];

/// The lines that every kernel has.
struct Stats {
    replies: [u64; 3],
    handles: [u64; 1],
    disk: [u64; 2],
    threads: [u64; 1],
    /// Gone since the cache went, in Linux 5.4: then all zeros.
    read_ahead: Option<[u64; 12]>,
    net: [u64; 4],
    rpc: [u64; 5],
}

fn parse(bytes: &[u8], requests: &mut Requests) -> Option<Stats> {
    let (mut replies, mut handles, mut disk, mut threads) = (None, None, None, None);
    let (mut read_ahead, mut net, mut rpc) = (None, None, None);
    requests.clear();
    for line in scan::lines(bytes) {
        let mut fields = scan::fields(line);
        match fields.next()? {
            b"rc" => replies = Some(numbers(fields)?),
            b"fh" => handles = Some(numbers(fields)?),
            b"io" => disk = Some(numbers(fields)?),
            b"th" => threads = Some(numbers(fields)?),
            b"ra" => read_ahead = Some(numbers(fields)?),
            b"net" => net = Some(numbers(fields)?),
            b"rpc" => rpc = Some(numbers(fields)?),
            b"proc2" => requests.read(0, V2.len(), fields)?,
            b"proc3" => requests.read(1, V3.len(), fields)?,
            b"proc4ops" => requests.read(2, 39, fields)?,
            b"wdeleg_getattr" => requests.set(3, fields.next_u64()?),
            _ => {}
        }
    }
    Some(Stats {
        replies: replies?,
        handles: handles?,
        disk: disk?,
        threads: threads?,
        read_ahead,
        net: net?,
        rpc: rpc?,
    })
}

impl Collector for Nfsd {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        let Stats { replies, handles, disk, threads, read_ahead, net, rpc } =
            parse(bytes, &mut self.requests)
                .ok_or_else(|| self.file.malformed("lines of rc, fh, io, th, net, rpc and procedures"))?;
        let [_, udp, tcp, connections] = net;
        let [calls, _, bad_format, bad_auth, bad_client] = rpc;
        let counter = Kind::Counter;
        out.single("node_nfsd_connections_total", counter, "TCP connections to the server.", connections);
        out.single("node_nfsd_disk_bytes_read_total", counter, "Bytes read from disk.", disk[0]);
        out.single("node_nfsd_disk_bytes_written_total", counter, "Bytes written to disk.", disk[1]);
        out.single("node_nfsd_file_handles_stale_total", counter, "Stale file handles.", handles[0]);
        let mut packets = out.family("node_nfsd_packets_total", counter, "Packets sent and received.");
        packets.sample(&[("proto", "tcp".into())], tcp);
        packets.sample(&[("proto", "udp".into())], udp);
        drop(packets);
        if let Some([blocks, .., not_found]) = read_ahead {
            out.single(
                "node_nfsd_read_ahead_cache_not_found_total",
                counter,
                "Look-ups that the read-ahead cache could not answer.",
                not_found,
            );
            out.single(
                "node_nfsd_read_ahead_cache_size_blocks",
                Kind::Gauge,
                "Size of the read-ahead cache, in blocks.",
                blocks,
            );
        }
        let [hits, misses, uncached] = replies;
        out.single("node_nfsd_reply_cache_hits_total", counter, "Replies found in the cache.", hits);
        out.single("node_nfsd_reply_cache_misses_total", counter, "Replies put into the cache.", misses);
        out.single(
            "node_nfsd_reply_cache_nocache_total",
            counter,
            "Replies that need not be in the cache.",
            uncached,
        );
        self.requests.write(out, "node_nfsd_requests_total", "Calls of NFS procedures.");
        let mut errors =
            out.family("node_nfsd_rpc_errors_total", counter, "Calls that were refused, by cause.");
        errors.sample(&[("error", "auth".into())], bad_auth);
        errors.sample(&[("error", "cInt".into())], bad_client);
        errors.sample(&[("error", "fmt".into())], bad_format);
        drop(errors);
        out.single("node_nfsd_server_rpcs_total", counter, "Calls to the server.", calls);
        out.single("node_nfsd_server_threads", Kind::Gauge, "Threads of the server.", threads[0]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEAD: &str = "rc 0 6 18622\nfh 9 0 0 0 0\nio 157286400 72864\nth 8 0 0.000 0.000\nra 32 0 0 0 0 0 0 0 0 0 0 7\n\
                        net 972 55 917 1\nrpc 18628 3 1 2 4\n";

    #[test]
    fn totals_and_operations() {
        let operations: Vec<String> = (0..72).map(|i| i.to_string()).collect();
        let text =
            format!("{HEAD}proc4 2 2 10853\nproc4ops 72 {}\nwdeleg_getattr 15\n", operations.join(" "));
        let samples = Tree::new(&[("proc/net/rpc/nfsd", &text)]).samples(&ENTRY, &[]);
        let (requests, others): (Vec<&str>, Vec<&str>) =
            samples.lines().partition(|line| line.starts_with("node_nfsd_requests_total"));
        assert_eq!(
            others.join("\n"),
            "node_nfsd_connections_total 1\n\
             node_nfsd_disk_bytes_read_total 1.572864e+08\n\
             node_nfsd_disk_bytes_written_total 72864\n\
             node_nfsd_file_handles_stale_total 9\n\
             node_nfsd_packets_total{proto=\"tcp\"} 917\n\
             node_nfsd_packets_total{proto=\"udp\"} 55\n\
             node_nfsd_read_ahead_cache_not_found_total 7\n\
             node_nfsd_read_ahead_cache_size_blocks 32\n\
             node_nfsd_reply_cache_hits_total 0\n\
             node_nfsd_reply_cache_misses_total 6\n\
             node_nfsd_reply_cache_nocache_total 18622\n\
             node_nfsd_rpc_errors_total{error=\"auth\"} 2\n\
             node_nfsd_rpc_errors_total{error=\"cInt\"} 4\n\
             node_nfsd_rpc_errors_total{error=\"fmt\"} 1\n\
             node_nfsd_server_rpcs_total 18628\n\
             node_nfsd_server_threads 8"
        );
        for expected in [
            "{method=\"Access\",proto=\"4\"} 3",
            "{method=\"Read\",proto=\"4\"} 25",
            "{method=\"RelLockOwner\",proto=\"4\"} 39",
            "{method=\"WdelegGetattr\",proto=\"4\"} 15",
            "{method=\"FsStat\",proto=\"2\"} 0",
        ] {
            assert!(requests.iter().any(|line| line.ends_with(expected)), "{expected}");
        }
        assert!(!requests.iter().any(|line| line.contains("Null") || line.contains("\"\"")));
        assert_eq!(requests.len(), 17 + 21 + 35 + 1);
    }

    #[test]
    fn a_damaged_file_fails() {
        for text in ["", "rc 0 6 18622\n", &HEAD.replace("rpc", "xyz"), &HEAD.replace("th 8", "th x")] {
            let (samples, error) = Tree::new(&[("proc/net/rpc/nfsd", text)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{text:?}: {samples}");
        }
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }

    #[test]
    fn an_operation_that_came_later_was_never_called() {
        let text = format!("{HEAD}proc4ops 39{}\n", " 5".repeat(39));
        let samples = Tree::new(&[("proc/net/rpc/nfsd", &text)]).samples(&ENTRY, &[]);
        assert!(samples.contains("{method=\"RelLockOwner\",proto=\"4\"} 0\n"));
        assert!(samples.contains("{method=\"Write\",proto=\"4\"} 5\n") && !samples.contains("Wdeleg"));
    }
}
