//! Counters of the network protocols: `/proc/net/netstat`, `/proc/net/snmp` and, with IPv6, `/proc/net/snmp6`, see SNMP counters in the
//! kernel's Documentation/networking/snmp_counter.rst.
//!
//! The first two hold pairs of lines, names above numbers; the third a name and a number a line. Names change only with the kernel (and, for
//! IcmpMsg, with the first packet of a type), so the wanted columns of each line of names, and the texts of their families, are worked out once
//! and kept while that line is the same.

use std::collections::HashSet;
use std::time::Instant;

use exporter::filter::Pattern;
use exporter::text::Number;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, File, Gone, Span, scan};

use super::vmstat::{Layout, is_name};
use crate::paths;

const FIELDS: &str = "collector.netstat.fields";

pub(crate) const ENTRY: Entry = Entry {
    name: "netstat",
    on: true,
    help: "Counters of the network protocols from /proc/net/netstat, snmp and snmp6.",
    flags: &[Flag::text(
        FIELDS,
        "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
        "Pattern of fields to show, as in TcpExt_ListenDrops.",
    )],
    new: |flags| {
        let pattern = flags.pattern(FIELDS)?;
        let proc = paths::proc(flags);
        Ok(Box::new(NetStat {
            netstat: Table::new(proc.file("net/netstat"), "/proc/net/netstat", pattern.clone()),
            snmp: Table::new(proc.file("net/snmp"), "/proc/net/snmp", pattern.clone()),
            snmp6: proc.file("net/snmp6"),
            snmp6_buf: Buf::new(),
            snmp6_layout: Layout::new("node_netstat_", "/proc/net/snmp6", pattern),
            snmp6_values: Vec::new(),
        }))
    },
};

struct NetStat {
    netstat: Table,
    snmp: Table,
    snmp6: File,
    snmp6_buf: Buf,
    snmp6_layout: Layout,
    snmp6_values: Vec<(usize, u64)>,
}

impl Collector for NetStat {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.netstat.file.read(&mut self.netstat.buf)?;
        self.snmp.file.read(&mut self.snmp.buf)?;
        // Without IPv6 there is no snmp6.
        let snmp6 = self.snmp6.read(&mut self.snmp6_buf).gone_is_none()?;

        if !(self.netstat.fits()
            && self.snmp.fits()
            && snmp6.is_none_or(|bytes| self.snmp6_layout.fits(bytes)))
        {
            let seen = &mut HashSet::new();
            self.netstat.learn(seen);
            self.snmp.learn(seen);
            if let Some(bytes) = snmp6 {
                self.snmp6_layout.learn(bytes, split_at_six, seen);
            }
        }
        self.netstat.read_values()?;
        self.snmp.read_values()?;
        self.snmp6_values.clear();
        if let Some(bytes) = snmp6
            && !self.snmp6_layout.values(bytes, &mut self.snmp6_values)
        {
            return Err(self.snmp6.malformed("lines of a name and a number").into());
        }

        self.netstat.write(out);
        self.snmp.write(out);
        self.snmp6_layout.write(out, &self.snmp6_values);
        Ok(())
    }
}

/// `Ip6InOctets` is `InOctets` of `Ip6`; a name without a 6 is none.
fn split_at_six(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let six = key.iter().position(|&b| b == b'6')?;
    Some(key.split_at(six + 1))
}

/// A file of lines of names, each followed by a line of numbers.
struct Table {
    file: File,
    buf: Buf,
    source: &'static str,
    pattern: Option<Pattern>,
    texts: Arena,
    /// What is known of each pair: its line of names, and where its columns end in `columns`.
    pairs: Vec<(Span, usize)>,
    columns: Vec<Column>,
    /// Position in `columns`, and value.
    values: Vec<(usize, Number)>,
}

/// A wanted column.
struct Column {
    /// Its position behind the protocol, from 0.
    at: usize,
    /// Tcp's MaxConn is -1 if there is no limit; nothing else is below zero.
    may_be_negative: bool,
    family: Span,
    help: Span,
}

const FORM: &str = "lines of names, each with a line of as many numbers";

impl Table {
    fn new(file: File, source: &'static str, pattern: Option<Pattern>) -> Self {
        Table {
            file,
            buf: Buf::new(),
            source,
            pattern,
            texts: Arena::new(),
            pairs: Vec::new(),
            columns: Vec::new(),
            values: Vec::new(),
        }
    }

    fn fits(&self) -> bool {
        let mut known = self.pairs.iter();
        pairs(self.buf.bytes())
            .all(|(names, _)| known.next().is_some_and(|known| names == &self.texts[known.0]))
    }

    fn learn(&mut self, seen: &mut HashSet<Vec<u8>>) {
        self.texts.clear();
        self.pairs.clear();
        self.columns.clear();
        for (names, _) in pairs(self.buf.bytes()) {
            let mut fields = scan::fields(names);
            let protocol = fields.next().and_then(|p| p.strip_suffix(b":")).unwrap_or_default();
            for (at, field) in fields.enumerate() {
                let name = [protocol, b"_", field].concat();
                let wanted = is_name(protocol) && is_name(field);
                if wanted
                    && self.pattern.as_ref().is_none_or(|p| p.is_match(&name))
                    && seen.insert(name.clone())
                {
                    self.columns.push(Column {
                        at,
                        may_be_negative: name == b"Tcp_MaxConn",
                        family: self.texts.push(&[b"node_netstat_", &name[..]].concat()),
                        help: self.texts.push(
                            &[b"Field ", field, b" of ", protocol, b" in ", self.source.as_bytes(), b"."]
                                .concat(),
                        ),
                    });
                }
            }
            self.pairs.push((self.texts.push(names), self.columns.len()));
        }
    }

    fn read_values(&mut self) -> hostfs::Result<()> {
        self.values.clear();
        let malformed = || self.file.malformed(FORM);
        let mut start = 0;
        let mut complete = 0;
        for ((names, numbers), &(_, end)) in pairs(self.buf.bytes()).zip(&self.pairs) {
            let mut numbers = scan::fields(numbers.ok_or_else(malformed)?);
            let protocol = scan::fields(names).next();
            if protocol.is_none() || numbers.next() != protocol {
                return Err(malformed());
            }
            let mut next = 0;
            for (i, column) in self.columns.iter().enumerate().take(end).skip(start) {
                let number = numbers.nth(column.at - next).ok_or_else(malformed)?;
                next = column.at + 1;
                let value = match scan::unsigned(number) {
                    Some(value) => Number::U(value),
                    None if column.may_be_negative => match scan::signed(number) {
                        Some(value) => Number::I(value),
                        None => continue,
                    },
                    None => continue,
                };
                self.values.push((i, value));
            }
            start = end;
            complete += 1;
        }
        if complete == 0 || (start > 0 && self.values.is_empty()) {
            return Err(malformed());
        }
        Ok(())
    }

    fn write(&self, out: &mut Text) {
        for &(i, value) in &self.values {
            let column = &self.columns[i];
            out.family_bytes(&self.texts[column.family], Kind::Untyped, &self.texts[column.help])
                .sample(&[], value);
        }
    }
}

/// The lines two by two; the last one may lack its second.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut lines = scan::lines(bytes);
    std::iter::from_fn(move || lines.next().map(|names| (names, lines.next())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    const ALL: &str = "--collector.netstat.fields=";
    const NETSTAT: &str =
        "TcpExt: SyncookiesSent ListenDrops Other\nTcpExt: 1 2 3\nIpExt: InNoRoutes InOctets\nIpExt: 4 5\n";
    const SNMP: &str = "Tcp: MaxConn CurrEstab InErrs\nTcp: -1 7 8\n";

    fn tree(netstat: &str, snmp: &str) -> Tree {
        Tree::new(&[("proc/net/netstat", netstat), ("proc/net/snmp", snmp)])
    }

    #[test]
    fn the_pattern_chooses() {
        assert_eq!(
            tree(NETSTAT, SNMP).samples(&ENTRY, &[]),
            "node_netstat_TcpExt_SyncookiesSent 1\nnode_netstat_TcpExt_ListenDrops 2\nnode_netstat_IpExt_InOctets 5\n\
             node_netstat_Tcp_CurrEstab 7\nnode_netstat_Tcp_InErrs 8\n"
        );
        let all = tree(NETSTAT, SNMP).samples(&ENTRY, &[ALL]);
        assert_eq!(all.lines().count(), 8);
        assert!(all.contains("\nnode_netstat_Tcp_MaxConn -1\n"));
    }

    #[test]
    fn names_of_snmp6_split_after_the_six() {
        let tree = tree(NETSTAT, SNMP);
        tree.write(
            "proc/net/snmp6",
            "Ip6InOctets      \t460\nIcmp6InMsgs\t0\nUdpLite6InErrors \t3\nNoSuch\t1\n",
        );
        let samples = tree.samples(&ENTRY, &[]);
        assert!(
            samples.ends_with(
                "node_netstat_Ip6_InOctets 460\nnode_netstat_Icmp6_InMsgs 0\nnode_netstat_UdpLite6_InErrors 3\n"
            ),
            "{samples}"
        );
    }

    #[test]
    fn another_layout_is_learned_anew() {
        let tree = tree(NETSTAT, SNMP);
        let mut collector = tree.collector(&ENTRY, &["--collector.netstat.fields=^Tcp_InErrs|^Icmp"]);
        assert_eq!(collect(&mut *collector).0, "node_netstat_Tcp_InErrs 8\n");
        tree.write(
            "proc/net/snmp",
            "IcmpMsg: InType3\nIcmpMsg: 9\nTcp: InErrs Else MaxConn\nTcp: 10 11 12\n",
        );
        assert_eq!(
            collect(&mut *collector).0,
            "node_netstat_IcmpMsg_InType3 9\nnode_netstat_Tcp_InErrs 10\n"
        );
    }

    #[test]
    fn bad_numbers_are_left_out_alone_and_names_come_once() {
        let snmp = "Udp: InErrors NoPorts In-X InDatagrams InDatagrams\nUdp: -1 99999999999999999999 5 6 7\nTcpExt: ListenDrops\nTcpExt: 9\n";
        let samples = tree(NETSTAT, snmp).samples(&ENTRY, &[ALL]);
        assert!(samples.ends_with("IpExt_InOctets 5\nnode_netstat_Udp_InDatagrams 6\n"), "{samples}");
    }

    #[test]
    fn cut_anywhere_no_value_is_wrong() {
        let full = tree(NETSTAT, SNMP).samples(&ENTRY, &[ALL]);
        for cut in 0..NETSTAT.len() {
            let (samples, error) = tree(&NETSTAT[..cut], SNMP).collect(&ENTRY, &[ALL]);
            assert!(samples.lines().all(|line| full.lines().any(|whole| whole == line)), "{samples}");
            assert_eq!(samples.is_empty(), matches!(error, Some(Error::Failed(_))), "cut at {cut}");
        }
    }

    #[test]
    fn lines_that_do_not_match_fail() {
        for netstat in
            ["", "\n\n", "a\nb\n", "TcpExt: ListenDrops\nIpExt: 1\n", "TcpExt: A ListenDrops\nTcpExt: 1\n"]
        {
            let (samples, error) = tree(netstat, SNMP).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{netstat:?}: {samples}");
        }
    }
}
