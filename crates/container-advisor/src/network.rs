//! Network counters of one process's network namespace: `/proc/<pid>/net/`, see proc_pid_net(5) and the kernel's
//! `Documentation/networking/snmp_counter.rst`.
//!
//! All files of one reading are opened relative to one descriptor of `/proc/<pid>`. It belongs to that process, not to its number: once
//! the process has ended, nothing can be opened through it, whoever gets the number next. So a reading is of one process, and the
//! start time, checked first, says that it is the right one. The descriptor is closed at the end: it must not outlive the reading.
//!
//! A table that is cut short is no table: counts over it would be too small.

use hostfs::{Arena, Buf, Dir, Root, Span, scan};

use crate::processes::Directories;

/// Reads the counters of network namespaces.
#[derive(Debug)]
pub struct Network {
    directories: Directories,
    buf: Buf,
}

/// What is to be read. What is not wanted is `None` or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// `net/dev`.
    pub interfaces: bool,
    /// `net/tcp` and `net/tcp6`.
    pub tcp: bool,
    /// `net/udp` and `net/udp6`.
    pub udp: bool,
    /// `net/netstat` and `net/snmp`.
    pub advanced: bool,
}

/// Whose namespace is read: it decides which interfaces count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A container's own: all but `lo`.
    Container,
    /// The machine's: not those either that lead to containers, by their names `veth*`, `docker*` and `nerdctl*`.
    Machine,
}

impl Scope {
    /// Whether an interface of this name counts.
    pub(crate) fn counts(self, name: &[u8]) -> bool {
        let begins =
            |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        name != b"lo"
            && (self == Scope::Container || ![&b"veth"[..], b"docker", b"nerdctl"].iter().any(begins))
    }
}

/// One reading of one namespace. Kept from scrape to scrape for its memory.
#[derive(Debug, Default)]
pub struct Stats {
    /// Tells the namespace from others that exist: the number of the inode of its `net/dev`. `None` if it could not be had.
    pub namespace: Option<u64>,
    /// Connections by state, over IPv4.
    pub tcp: Option<Tcp>,
    /// Connections by state, over IPv6.
    pub tcp6: Option<Tcp>,
    /// Sockets over IPv4.
    pub udp: Option<Udp>,
    /// Sockets over IPv6.
    pub udp6: Option<Udp>,
    interfaces: Vec<Row>,
    advanced: Vec<Option<i64>>,
    names: Arena,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    name: Span,
    counters: Interface,
}

/// Counters of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interface {
    /// What came in.
    pub receive: Traffic,
    /// What went out.
    pub transmit: Traffic,
}

/// Counters of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the kernel's own words")]
pub struct Traffic {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

/// Numbers of connections, in the order of [`TCP_STATES`].
pub type Tcp = [u64; TCP_STATES.len()];

/// The values of the label `tcp_state`, in alphabetical order.
pub const TCP_STATES: [&str; 11] = [
    "close",
    "closewait",
    "closing",
    "established",
    "finwait1",
    "finwait2",
    "lastack",
    "listen",
    "synrecv",
    "synsent",
    "timewait",
];

/// The place in [`TCP_STATES`] of the kernel's states from 1 on, see `include/net/tcp_states.h`.
const PLACE_OF_STATE: [usize; 11] = [3, 9, 8, 4, 5, 10, 0, 1, 6, 7, 2];

/// Sockets of UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Udp {
    /// Sockets.
    pub listen: u64,
    /// Datagrams dropped by the sockets there are.
    pub dropped: u64,
    /// Bytes received and not read yet.
    pub rx_queued: u64,
    /// Bytes not sent yet.
    pub tx_queued: u64,
}

impl Stats {
    /// The interfaces, in the kernel's order.
    pub fn interfaces(&self) -> impl ExactSizeIterator<Item = (&[u8], &Interface)> {
        self.interfaces.iter().map(|row| (&self.names[row.name], &row.counters))
    }

    /// The values of `container_network_advance_tcp_stats_total` by `tcp_state`, in alphabetical order; what the kernel lacks is left out.
    pub fn advanced(&self) -> impl Iterator<Item = (&'static str, i64)> {
        ADVANCED.into_iter().zip(&self.advanced).filter_map(|(name, value)| Some((name, (*value)?)))
    }

    fn clear(&mut self) {
        self.namespace = None;
        (self.tcp, self.tcp6, self.udp, self.udp6) = (None, None, None, None);
        self.interfaces.clear();
        self.advanced.clear();
        self.names.clear();
    }
}

/// The longest table of sockets that is read, in bytes: some 200,000 connections.
const MOST_SOCKETS: usize = 32 << 20;

/// No record of the files read here is longer, in bytes.
const RECORD: usize = 512;

impl Network {
    /// Takes the root that stands for `/proc`; nothing is read yet.
    pub fn new(proc: &Root) -> Self {
        Network { directories: Directories::new(proc), buf: Buf::new() }
    }

    /// When a process was started, in ticks since the machine's start: with the pid it tells the process from any other.
    /// `None` if there is none.
    pub fn start_time(&mut self, pid: u32) -> Option<u64> {
        let dir = self.directories.open(pid)?;
        start_time(&dir, &mut self.buf)
    }

    /// The identity of the process's network namespace; no privilege is needed.
    pub fn namespace(&mut self, pid: u32) -> Option<u64> {
        namespace(&self.directories.open(pid)?)
    }

    /// Reads what is wanted. `start` is the [start time](Self::start_time) that the process must have, where it is known; if it
    /// has another, or if the process is gone, nothing is in `stats` and the answer is `None`.
    pub fn read(
        &mut self,
        pid: u32,
        start: Option<u64>,
        scope: Scope,
        wants: Wants,
        stats: &mut Stats,
    ) -> Option<()> {
        stats.clear();
        let dir = self.directories.open(pid)?;
        let buf = &mut self.buf;
        if start.is_some() && start_time(&dir, buf) != start {
            return None;
        }
        stats.namespace = namespace(&dir);
        let mut table = |name: &str, cap: usize, record: usize, parse: &mut dyn FnMut(&[u8])| {
            if let Ok(Some(bytes)) = dir.records(name, record, cap, buf) {
                parse(bytes);
            }
        };
        let Stats { tcp, tcp6, udp, udp6, interfaces, advanced, names, .. } = stats;
        if wants.interfaces {
            table("net/dev", 4 << 20, RECORD, &mut |bytes| read_interfaces(bytes, scope, interfaces, names));
        }
        if wants.tcp {
            table("net/tcp", MOST_SOCKETS, RECORD, &mut |bytes| *tcp = count_tcp(bytes));
            table("net/tcp6", MOST_SOCKETS, RECORD, &mut |bytes| *tcp6 = count_tcp(bytes));
        }
        if wants.udp {
            table("net/udp", MOST_SOCKETS, RECORD, &mut |bytes| *udp = count_udp(bytes));
            table("net/udp6", MOST_SOCKETS, RECORD, &mut |bytes| *udp6 = count_udp(bytes));
        }
        if wants.advanced {
            advanced.resize(ADVANCED.len(), None);
            table("net/netstat", 1 << 20, 0, &mut |bytes| read_advanced(bytes, advanced));
            table("net/snmp", 1 << 20, 0, &mut |bytes| read_advanced(bytes, advanced));
        }
        if self.buf.bytes().len() > 1 << 20 {
            // A machine with so many sockets has them now and then; the memory is not kept for it.
            self.buf = Buf::new();
        }
        Some(())
    }
}

fn namespace(dir: &Dir) -> Option<u64> {
    dir.stamp("net/dev").ok().map(|stamp| stamp.inode())
}

fn start_time(dir: &Dir, buf: &mut Buf) -> Option<u64> {
    let bytes = dir.attribute("stat", buf).ok()??;
    Some(crate::processes::Stat::parse(bytes)?.start)
}

/// `/proc/<pid>/net/dev`: two lines of headings, then a name, a colon, and 16 counters. A line of another form is no interface.
fn read_interfaces(bytes: &[u8], scope: Scope, interfaces: &mut Vec<Row>, names: &mut Arena) {
    for line in scan::lines(bytes).skip(2) {
        let Some(colon) = line.iter().rposition(|&b| b == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if name.is_empty() || !scope.counts(name) {
            continue;
        }
        let Some(counters) = counters(&line[colon + 1..]) else { continue };
        if !interfaces.iter().any(|row| names[row.name] == *name) {
            interfaces.push(Row { name: names.push(name), counters });
        }
    }
}

fn counters(text: &[u8]) -> Option<Interface> {
    let mut columns = [0u64; 16];
    let mut fields = scan::fields(text);
    for column in &mut columns {
        *column = fields.next_u64()?;
    }
    let traffic = |at: usize| Traffic {
        bytes: columns[at],
        packets: columns[at + 1],
        errors: columns[at + 2],
        dropped: columns[at + 3],
    };
    Some(Interface { receive: traffic(0), transmit: traffic(8) })
}

/// The sockets of a table: what follows its heading. `None` if it is cut.
fn sockets(bytes: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    bytes.ends_with(b"\n").then(|| scan::lines(bytes).skip(1))
}

/// `sl local_address rem_address st …`: how many are in each state.
fn count_tcp(bytes: &[u8]) -> Option<Tcp> {
    let mut counts = Tcp::default();
    for line in sockets(bytes)? {
        let state = scan::hex(scan::fields(line).nth(3)?)?;
        // A state that this table does not know counts for none of those it knows.
        if let Some(&place) = usize::try_from(state).ok()?.checked_sub(1).and_then(|i| PLACE_OF_STATE.get(i))
        {
            counts[place] += 1;
        }
    }
    Some(counts)
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode ref pointer drops`.
fn count_udp(bytes: &[u8]) -> Option<Udp> {
    let mut counts = Udp::default();
    for line in sockets(bytes)? {
        let mut fields = scan::fields(line);
        let (tx, rx) = scan::split_once(fields.nth(4)?, b':')?;
        counts.listen += 1;
        counts.tx_queued = counts.tx_queued.saturating_add(scan::hex(tx)?);
        counts.rx_queued = counts.rx_queued.saturating_add(scan::hex(rx)?);
        counts.dropped = counts.dropped.saturating_add(scan::unsigned(fields.nth(7)?)?);
    }
    Some(counts)
}

/// `netstat` and `snmp`: for each protocol a line of names and a line of values.
fn read_advanced(bytes: &[u8], values: &mut [Option<i64>]) {
    let mut lines = scan::lines(bytes);
    while let (Some(heading), Some(row)) = (lines.next(), lines.next()) {
        let (mut names, mut numbers) = (scan::fields(heading), scan::fields(row));
        let protocol = names.next();
        if !matches!(protocol, Some(b"TcpExt:" | b"Tcp:")) || numbers.next() != protocol {
            continue;
        }
        if names.clone().count() != numbers.clone().count() {
            continue;
        }
        for (name, number) in names.zip(numbers) {
            let mut space = [0; 32];
            let Some(lower) = space.get_mut(..name.len()) else { continue };
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            if let Ok(place) = ADVANCED.binary_search_by(|known| known.as_bytes().cmp(lower)) {
                values[place] = scan::signed(number);
            }
        }
    }
}

/// The kernel's names in lower case, in alphabetical order: those that the original has.
const ADVANCED: [&str; 99] = [
    "activeopens",
    "attemptfails",
    "currestab",
    "delayedacklocked",
    "delayedacklost",
    "delayedacks",
    "embryonicrsts",
    "estabresets",
    "incsumerrors",
    "inerrs",
    "insegs",
    "ipreversepathfilter",
    "listendrops",
    "listenoverflows",
    "lockdroppedicmps",
    "maxconn",
    "ofopruned",
    "outofwindowicmps",
    "outrsts",
    "outsegs",
    "passiveopens",
    "pawsactive",
    "pawsestab",
    "pfmemallocdrop",
    "prunecalled",
    "rcvpruned",
    "retranssegs",
    "rtoalgorithm",
    "rtomax",
    "rtomin",
    "syncookiesfailed",
    "syncookiesrecv",
    "syncookiessent",
    "tcpabortfailed",
    "tcpabortonclose",
    "tcpabortondata",
    "tcpabortonlinger",
    "tcpabortonmemory",
    "tcpabortontimeout",
    "tcpbacklogdrop",
    "tcpdeferacceptdrop",
    "tcpdsackignorednoundo",
    "tcpdsackignoredold",
    "tcpdsackoforecv",
    "tcpdsackofosent",
    "tcpdsackoldsent",
    "tcpdsackrecv",
    "tcpdsackundo",
    "tcpfackreorder",
    "tcpfastopenactive",
    "tcpfastopenactivefail",
    "tcpfastopencookiereqd",
    "tcpfastopenlistenoverflow",
    "tcpfastopenpassive",
    "tcpfastopenpassivefail",
    "tcpfastretrans",
    "tcpfullundo",
    "tcphpacks",
    "tcphphits",
    "tcplossfailures",
    "tcplossproberecovery",
    "tcplossprobes",
    "tcplossundo",
    "tcplostretransmit",
    "tcpmd5failure",
    "tcpmd5notfound",
    "tcpmd5unexpected",
    "tcpmemorypressures",
    "tcpmemorypressureschrono",
    "tcpminttldrop",
    "tcporigdatasent",
    "tcppartialundo",
    "tcppureacks",
    "tcprcvcollapsed",
    "tcprenofailures",
    "tcprenorecovery",
    "tcprenorecoveryfail",
    "tcprenoreorder",
    "tcpreqqfulldocookies",
    "tcpreqqfulldrop",
    "tcpretransfail",
    "tcpsackdiscard",
    "tcpsackfailures",
    "tcpsackmerged",
    "tcpsackrecovery",
    "tcpsackrecoveryfail",
    "tcpsackreneging",
    "tcpsackreorder",
    "tcpsackshifted",
    "tcpsackshiftfallback",
    "tcpslowstartretrans",
    "tcpspuriousrtos",
    "tcpsynretrans",
    "tcptimeouts",
    "tcptimewaitoverflow",
    "tcptsreorder",
    "tw",
    "twkilled",
    "twrecycled",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use testbed::shared;
    use testbed::tree::Tree;

    use super::*;

    const ALL: Wants = Wants { interfaces: true, tcp: true, udp: true, advanced: true };
    const STAT: &str = "5 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 4711 2322432 400 1\n";
    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
  eth0:18446744073709551615   83526    3    4    5     6          7         8  3560114   45352    9    10    0     0       0          0
   lo0:       2       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
veth01:       3       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0     77
Docker0:       4       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
   bad:       4       1    0   -1    0     0          0         0        1       1    0    0    0     0       0          0
 short:       4       1    0    0    0     0          0         0        1       1    0    0    0     0       0
rubbish
   a\\\"\u{e9}:       5       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
   cut:       6       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0";

    fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.file("proc/5/stat", STAT);
        tree.file("proc/5/net/dev", DEV);
        tree
    }

    fn read(top: &Path, pid: u32, start: Option<u64>, scope: Scope) -> (Option<()>, Stats) {
        let (mut network, mut stats) = (Network::new(&Root::new(top.join("proc"))), Stats::default());
        let mut answer = None;
        for _ in 0..2 {
            answer = network.read(pid, start, scope, ALL, &mut stats);
        }
        (answer, stats)
    }

    fn names(stats: &Stats) -> Vec<String> {
        stats.interfaces().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn interfaces_of_a_container_and_of_the_machine() {
        let dir = tree().unpacked();
        let (answer, stats) = read(dir.path(), 5, Some(4711), Scope::Container);
        assert_eq!(answer, Some(()));
        assert_eq!(names(&stats), ["eth0", "lo0", "veth01", "Docker0", "a\\\"\u{e9}"]);
        let (_, eth0) = stats.interfaces().next().unwrap();
        let receive = Traffic { bytes: u64::MAX, packets: 83526, errors: 3, dropped: 4 };
        let transmit = Traffic { bytes: 3_560_114, packets: 45352, errors: 9, dropped: 10 };
        assert_eq!(*eth0, Interface { receive, transmit });
        assert_eq!((stats.tcp, stats.udp, stats.advanced().count()), (None, None, 0));
        assert!(stats.namespace.is_some());
        assert_eq!(names(&read(dir.path(), 5, None, Scope::Machine).1), ["eth0", "lo0", "a\\\"\u{e9}"]);
    }

    #[test]
    fn another_process_with_the_same_number_gives_nothing() {
        let dir = tree().unpacked();
        for (pid, start) in [(5, Some(4712)), (6, None), (6, Some(4711))] {
            let (answer, stats) = read(dir.path(), pid, start, Scope::Container);
            assert_eq!((answer, stats.interfaces().count(), stats.namespace), (None, 0, None));
        }
        let mut network = Network::new(&Root::new(dir.path().join("proc")));
        assert_eq!((network.start_time(5), network.start_time(6)), (Some(4711), None));
        std::fs::write(dir.path().join("proc/5/stat"), &STAT[..STAT.len() - 1]).unwrap();
        assert_eq!(network.start_time(5), None);
        assert_eq!(network.read(5, Some(4711), Scope::Container, ALL, &mut Stats::default()), None);
    }

    #[test]
    fn nothing_of_a_process_stays_open() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (mut network, mut stats) = (Network::new(&Root::new("/proc")), Stats::default());
        let start = network.start_time(child.id());
        let answer = network.read(child.id(), start, Scope::Container, ALL, &mut stats);
        let own = network.namespace(std::process::id());
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        let open: Vec<_> = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(answer.is_some() && start.is_some());
        assert!(stats.namespace.is_some() && stats.namespace == own, "a child is in its parent's namespace");
        let directory = format!("/proc/{}", child.id());
        assert!(open.iter().all(|path| !path.starts_with(&directory)), "{open:?}");
        assert_eq!(network.read(child.id(), start, Scope::Container, ALL, &mut stats), None);
    }

    #[test]
    fn sockets_are_counted_whole_or_not_at_all() {
        const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n\
            1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 2\n\
            2: 0100007F:1F91 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 2\n\
            3: 0100007F:1F91 0100007F:A000 06 00000000:00000000 00:00000000 00000000     0        0 2\n\
            4: 0100007F:1F91 0100007F:A000 0D 00000000:00000000 00:00000000 00000000     0        0 2\n";
        let counts = count_tcp(TCP.as_bytes()).unwrap();
        let told: Vec<_> = TCP_STATES.iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        assert_eq!(told, [(&"established", 2), (&"listen", 1), (&"timewait", 1)]);
        let by_number: Vec<_> = PLACE_OF_STATE.iter().map(|&place| TCP_STATES[place]).collect();
        assert_eq!(
            by_number,
            [
                "established",
                "synsent",
                "synrecv",
                "finwait1",
                "finwait2",
                "timewait",
                "close",
                "closewait",
                "lastack",
                "listen",
                "closing"
            ]
        );
        assert!(TCP_STATES.is_sorted());
        for cut in 0..TCP.len() {
            let counts = count_tcp(&TCP.as_bytes()[..cut]);
            assert_eq!(counts.is_some(), cut > 0 && TCP.as_bytes()[cut - 1] == b'\n', "cut at {cut}");
        }
        assert_eq!(count_tcp(b"heading\n1: a b XY\n"), None);

        const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            100: 00000000:0044 00000000:0000 07 00000010:00000201 00:00000000 00000000     0        0 11 2 0000000000000000 7\n\
            101: 00000000:0045 00000000:0000 07 00000001:00000002 00:00000000 00000000     0        0 12 2 0000000000000000 3\n";
        assert_eq!(
            count_udp(UDP.as_bytes()),
            Some(Udp { listen: 2, dropped: 10, rx_queued: 0x203, tx_queued: 0x11 })
        );
        assert_eq!(count_udp(&UDP.as_bytes()[..UDP.len() - 1]), None);
        assert_eq!(count_udp(b"heading\n"), Some(Udp::default()));
        assert_eq!((count_udp(b"heading\n1: a b 07 1:2\n"), count_udp(b"")), (None, None));
    }

    #[test]
    fn advanced_counters_by_name() {
        let mut tree = tree();
        tree.file(
            "proc/5/net/netstat",
            "TcpExt: SyncookiesSent New TW PAWSActive\nTcpExt: 3 4 5 x\nIpExt: TW\nIpExt: 9\n",
        );
        tree.file("proc/5/net/snmp", "Ip: A\nIp: 1\nTcp: RtoMin MaxConn InErrs\nTcp: 200 -1 18446744073709551615\nUdp: InErrs\nUdp: 6\n");
        let dir = tree.unpacked();
        let (_, stats) = read(dir.path(), 5, None, Scope::Container);
        let told: Vec<_> = stats.advanced().collect();
        assert_eq!(told, [("maxconn", -1), ("rtomin", 200), ("syncookiessent", 3), ("tw", 5)]);
        std::fs::write(dir.path().join("proc/5/net/netstat"), "TcpExt: SyncookiesSent TW\nTcpExt: 3\n")
            .unwrap();
        let (_, stats) = read(dir.path(), 5, None, Scope::Container);
        assert_eq!(stats.advanced().count(), 2, "lines that do not match");
        assert!(ADVANCED.is_sorted());
    }

    /// The value of a family for a container, from what the original printed.
    fn expected(text: &str, family: &str, id: &str, label: &str) -> Option<f64> {
        let line = text.lines().find(|line| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'))
                && line.contains(id)
                && line.contains(label)
        })?;
        line.rsplit_once("} ")?.1.split(' ').next()?.parse().ok()
    }

    #[test]
    fn what_the_original_printed_of_recorded_containers() {
        let Some(top) =
            shared::dir().map(|dir| dir.join("fixtures/container/cgroup-v1")).filter(|dir| dir.is_dir())
        else {
            return shared::skipped("recorded network counters", "the shared fixtures");
        };
        let text =
            std::fs::read_to_string(top.join("expected-head/metrics-all-groups-nolabels.prom")).unwrap();
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(top.join("index.json")).unwrap()).unwrap();
        let mut compared = 0;
        for name in ["web", "db", "throttled"] {
            let id = index[name]["id"].as_str().unwrap();
            let pid = u32::try_from(index[name]["pid"].as_u64().unwrap()).unwrap();
            let (answer, stats) = read(&top.join("rootfs"), pid, None, Scope::Container);
            assert_eq!(answer, Some(()));
            for (interface, counters) in stats.interfaces() {
                let label = format!("interface=\"{}\"", String::from_utf8_lossy(interface));
                for (family, value) in [
                    ("container_network_receive_bytes_total", counters.receive.bytes),
                    ("container_network_receive_packets_total", counters.receive.packets),
                    ("container_network_transmit_bytes_total", counters.transmit.bytes),
                    ("container_network_transmit_packets_dropped_total", counters.transmit.dropped),
                ] {
                    assert_eq!(
                        expected(&text, family, id, &label),
                        Some(value as f64),
                        "{name} {family} {label}"
                    );
                    compared += 1;
                }
            }
            for (family, counts) in [
                ("container_network_tcp_usage_total", stats.tcp),
                ("container_network_tcp6_usage_total", stats.tcp6),
            ] {
                for (state, count) in TCP_STATES.iter().zip(counts.unwrap()) {
                    let label = format!("tcp_state=\"{state}\"");
                    assert_eq!(
                        expected(&text, family, id, &label),
                        Some(count as f64),
                        "{name} {family} {label}"
                    );
                    compared += 1;
                }
            }
            let udp = stats.udp.unwrap();
            for (state, value) in [
                ("listen", udp.listen),
                ("dropped", udp.dropped),
                ("txqueued", udp.rx_queued),
                ("rxqueued", udp.tx_queued),
            ] {
                // The original takes one queue for the other.
                let label = format!("udp_state=\"{state}\"");
                assert_eq!(
                    expected(&text, "container_network_udp_usage_total", id, &label),
                    Some(value as f64),
                    "{name} {label}"
                );
            }
            for (state, value) in stats.advanced() {
                let label = format!("tcp_state=\"{state}\"");
                let told = expected(&text, "container_network_advance_tcp_stats_total", id, &label);
                assert_eq!(told, Some(value as f64), "{name} {label}");
                compared += 1;
            }
        }
        assert!(compared > 300, "{compared}");
    }

    #[test]
    fn a_table_cut_anywhere_gives_whole_lines_or_nothing() {
        let (mut before, bytes) = (0, DEV.as_bytes());
        for cut in 0..bytes.len() {
            let mut stats = Stats::default();
            read_interfaces(&bytes[..cut], Scope::Container, &mut stats.interfaces, &mut stats.names);
            let count = stats.interfaces().count();
            assert!(count == before || (count == before + 1 && bytes[cut - 1] == b'\n'), "cut at {cut}");
            before = count;
        }
        assert_eq!(before, 5);
    }
}
