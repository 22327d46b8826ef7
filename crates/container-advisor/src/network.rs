//! Network counters of one process's network namespace: `/proc/<pid>/net/`.

use hostfs::{Arena, Root, Span};

/// Reads the counters of network namespaces.
#[derive(Debug)]
pub struct Network {}

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
    /// The machine's: not those of containers either, by their names `veth*`, `docker*` and `nerdctl*`.
    Machine,
}

/// One reading of one namespace. Kept from scrape to scrape for its memory.
#[derive(Debug, Default)]
pub struct Stats {
    /// Tells the namespace from others that exist: an inode number. `None` if it could not be had.
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
        let _ = &self.advanced;
        std::iter::empty()
    }
}

impl Network {
    /// Takes the root that stands for `/proc`; nothing is read yet.
    pub fn new(_proc: &Root) -> Self {
        unimplemented!()
    }

    /// When a process was started, in ticks since the machine's start: with the pid it tells the process from any other.
    /// `None` if there is none.
    pub fn start_time(&mut self, _pid: u32) -> Option<u64> {
        unimplemented!()
    }

    /// The identity of the process's network namespace; no privilege is needed.
    pub fn namespace(&mut self, _pid: u32) -> Option<u64> {
        unimplemented!()
    }

    /// Reads what is wanted. `start` is the [start time](Self::start_time) that the process must have, before and after; if it
    /// is another one, or if the process is gone, nothing is in `stats` and the answer is `None`.
    pub fn read(
        &mut self,
        _pid: u32,
        _start: Option<u64>,
        _scope: Scope,
        _wants: Wants,
        _stats: &mut Stats,
    ) -> Option<()> {
        unimplemented!()
    }
}
