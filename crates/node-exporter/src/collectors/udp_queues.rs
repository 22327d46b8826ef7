//! Bytes that wait in UDP sockets: the queues of `/proc/net/udp` and `/proc/net/udp6`, summed, see proc_net(5).

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, Gone, scan};

use crate::paths;

/// No line is longer, in bytes: those of IPv4 have 128, those of IPv6 some 190.
const RECORD: usize = 512;

pub(crate) const ENTRY: Entry = Entry {
    name: "udp_queues",
    on: true,
    help: "Bytes that wait in UDP sockets from /proc/net/udp and udp6.",
    flags: &[],
    new: |flags| {
        // About 150 bytes a socket, and 65,535 ports.
        const CAP: usize = 16 << 20;
        let proc = paths::proc(flags);
        Ok(Box::new(UdpQueues {
            v4: proc.file("net/udp").with_cap(CAP).with_records_of(RECORD),
            v6: proc.file("net/udp6").with_cap(CAP).with_records_of(RECORD),
            buf: Buf::new(),
        }))
    },
};

struct UdpQueues {
    v4: File,
    v6: File,
    buf: Buf,
}

/// Sums over all sockets, in bytes.
#[derive(Debug, PartialEq)]
struct Queues {
    receive: u64,
    transmit: u64,
}

impl Collector for UdpQueues {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let v4 = read(&mut self.v4, &mut self.buf)?;
        let v6 = read(&mut self.v6, &mut self.buf)?;
        if v4.is_none() && v6.is_none() {
            return Err(Error::NoData("no UDP in this kernel".into()));
        }
        let mut family = out.family(
            "node_udp_queues",
            Kind::Gauge,
            "Memory of datagrams that wait in UDP sockets, in bytes.",
        );
        for (ip, queues) in [("v4", v4), ("v6", v6)] {
            if let Some(Queues { receive, transmit }) = queues {
                family.sample(&[("ip", ip.into()), ("queue", "rx".into())], receive);
                family.sample(&[("ip", ip.into()), ("queue", "tx".into())], transmit);
            }
        }
        Ok(())
    }
}

fn read(file: &mut File, buf: &mut Buf) -> hostfs::Result<Option<Queues>> {
    let Some(bytes) = file.read(buf).gone_is_none()? else { return Ok(None) };
    parse(bytes).map(Some).ok_or_else(|| file.malformed("a header and lines with tx_queue:rx_queue"))
}

fn parse(bytes: &[u8]) -> Option<Queues> {
    // Without its last line a sum would be wrong.
    if !bytes.ends_with(b"\n") {
        return None;
    }
    let mut lines = scan::lines(bytes);
    lines.next()?;
    let mut sums = Queues { receive: 0, transmit: 0 };
    for line in lines {
        let (transmit, receive) = scan::split_once(scan::fields(line).nth(4)?, b':')?;
        sums.transmit = sums.transmit.saturating_add(scan::hex(transmit)?);
        sums.receive = sums.receive.saturating_add(scan::hex(receive)?);
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEADER: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const LINE: &str = "   0: 00000000:0016 00000000:0000 0A 00000015:00000100 00:00000000 00000000     0        0 2740 1 ffff88003d3af3c0 0\n";

    #[test]
    fn sums_of_both_files() {
        let tree = Tree::new(&[
            ("proc/net/udp", &format!("{HEADER}{LINE}{LINE}")),
            ("proc/net/udp6", &format!("{HEADER}{}", LINE.replace("00000015:00000100", "00000000:000000Ff"))),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_udp_queues", ""),
            "{ip=\"v4\",queue=\"rx\"} 512\n{ip=\"v4\",queue=\"tx\"} 42\n\
             {ip=\"v6\",queue=\"rx\"} 255\n{ip=\"v6\",queue=\"tx\"} 0\n"
        );
    }

    #[test]
    fn one_file_is_enough_and_none_is_no_data() {
        let tree = Tree::new(&[("proc/net/udp6", HEADER)]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_udp_queues", ""),
            "{ip=\"v6\",queue=\"rx\"} 0\n{ip=\"v6\",queue=\"tx\"} 0\n"
        );
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }

    #[test]
    fn cut_anywhere_or_garbage() {
        for cut in 1..LINE.len() {
            assert_eq!(parse(format!("{HEADER}{LINE}{}", &LINE[..cut]).as_bytes()), None, "cut at {cut}");
        }
        for bad in [
            "",
            "x",
            "\n\n",
            "h\n0: a b 0A 5 1\n",
            "h\n0: a b 0A -5:1\n",
            "h\n0: a b 0A 10000000000000000:1\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        let most = "h\n0: a b 0A ffffffffffffffff:1\n0: a b 0A ffffffffffffffff:1\n";
        assert_eq!(parse(most.as_bytes()), Some(Queues { receive: 2, transmit: u64::MAX }));
    }
}
