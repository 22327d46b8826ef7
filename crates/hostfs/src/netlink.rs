//! Netlink dumps: interfaces, addresses, neighbours and queueing disciplines of this process' own network namespace.
//!
//! One dump says of all interfaces what takes some twenty reads for each in sysfs, see rtnetlink(7), netlink(7) and the kernel's
//! Documentation/userspace-api/netlink. The socket and its buffer stay from scrape to scrape; nothing is allocated after the first one.
//! Messages are bytes from the kernel in its own byte order: every length is checked, and what is missing is `None`.
//!
//! A list that changes while it is dumped (NLM_F_DUMP_INTR) may lack entries or have them twice: the dump is asked for again. The socket
//! has a receive timeout and is thrown away after any error, so no answer is ever taken for another's. What it cannot limit is the
//! time a dump waits in the kernel for the lock of the interface list.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netdevice::index_to_name_inlined;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 8;
const BUFFER: usize = 32 * 1024;

const HEADER: usize = 16;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const GENL_ID_CTRL: u16 = 16;

/// What a dump hands over.
#[derive(Debug)]
pub enum Part<T> {
    /// A dump begins: what an earlier one gave, which was interrupted, does not count.
    Start,
    /// One entry.
    Item(T),
}

/// A netlink socket, opened at the first request.
#[derive(Debug)]
pub struct Netlink {
    fd: Option<OwnedFd>,
    generic: bool,
    request: Vec<u8>,
    buf: Vec<u8>,
    sequence: u32,
}

/// What one round of a request came to.
enum Round {
    Complete,
    /// The list changed underneath, or an answer did not fit: ask again.
    Again,
}

impl Netlink {
    /// A socket for interfaces and what belongs to them. Nothing is opened or allocated yet.
    pub const fn route() -> Self {
        Netlink::new(false)
    }

    /// A socket for generic netlink, such as ethtool's.
    pub const fn generic() -> Self {
        Netlink::new(true)
    }

    const fn new(generic: bool) -> Self {
        Netlink { fd: None, generic, request: Vec::new(), buf: Vec::new(), sequence: 0 }
    }

    /// All interfaces. Without `stats` the kernel need not sum up counters, which is most of a dump's cost.
    ///
    /// # Errors
    /// The kernel's answer; EAGAIN if it did not come in time or the list would not stop to change.
    pub fn links(&mut self, stats: bool, mut each: impl FnMut(Part<Link<'_>>)) -> Result<()> {
        self.dump("netlink: interfaces", RTM_GETLINK, &link_request(0, stats), |part| match part {
            Part::Start => each(Part::Start),
            Part::Item(message) => {
                if let Some(link) = Link::parse(message) {
                    each(Part::Item(link));
                }
            }
        })
    }

    /// The name of an interface; `false` if there is none of that index.
    ///
    /// # Errors
    /// As [`links`](Self::links).
    pub fn name(&mut self, index: u32, each: impl FnOnce(&[u8])) -> Result<bool> {
        // SIOCGIFNAME costs a tenth of a message there and back.
        if let Some(fd) = &self.fd {
            match index_to_name_inlined(fd, index) {
                Ok(name) => {
                    each(name.as_ref());
                    return Ok(true);
                }
                Err(Errno::NODEV | Errno::NXIO) => return Ok(false),
                // A name that is not UTF-8, which only the message can tell.
                Err(_) => {}
            }
        }
        let mut each = Some(each);
        self.link(index, |link| {
            if let Some(each) = each.take() {
                each(link.name);
            }
        })
    }

    /// One interface; `false` if there is none of that index.
    fn link(&mut self, index: u32, mut each: impl FnMut(Link<'_>)) -> Result<bool> {
        let asked = self.ask("netlink: interface", RTM_GETLINK, 0, &link_request(index, false), |part| {
            if let Part::Item(message) = part
                && let Some(link) = Link::parse(message)
            {
                each(link);
            }
        });
        match asked {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All addresses of all interfaces.
    ///
    /// # Errors
    /// As [`links`](Self::links).
    pub fn addresses(&mut self, mut each: impl FnMut(Part<Address<'_>>)) -> Result<()> {
        self.dump("netlink: addresses", RTM_GETADDR, &[0; 8], |part| match part {
            Part::Start => each(Part::Start),
            Part::Item(message) => {
                if let Some(address) = Address::parse(message) {
                    each(Part::Item(address));
                }
            }
        })
    }

    /// The neighbours of the IPv4 table (ARP).
    ///
    /// # Errors
    /// As [`links`](Self::links).
    pub fn neighbours(&mut self, mut each: impl FnMut(Part<Neighbour>)) -> Result<()> {
        let mut body = [0; 12];
        body[0] = AddressFamily::INET.as_raw() as u8;
        self.dump("netlink: neighbours", RTM_GETNEIGH, &body, |part| match part {
            Part::Start => each(Part::Start),
            Part::Item(message) => {
                if let Some(neighbour) = Neighbour::parse(message) {
                    each(Part::Item(neighbour));
                }
            }
        })
    }

    /// The queueing disciplines of all interfaces.
    ///
    /// # Errors
    /// As [`links`](Self::links).
    pub fn qdiscs(&mut self, mut each: impl FnMut(Part<Qdisc<'_>>)) -> Result<()> {
        self.dump("netlink: queueing disciplines", RTM_GETQDISC, &[0; 20], |part| match part {
            Part::Start => each(Part::Start),
            Part::Item(message) => {
                if let Some(qdisc) = Qdisc::parse(message) {
                    each(Part::Item(qdisc));
                }
            }
        })
    }

    /// The message type of a generic netlink family; `None` if this kernel does not have it.
    ///
    /// # Errors
    /// As [`links`](Self::links).
    pub fn family(&mut self, name: &[u8]) -> Result<Option<u16>> {
        const CTRL_CMD_GETFAMILY: u8 = 3;
        const CTRL_ATTR_FAMILY_ID: u16 = 1;
        const CTRL_ATTR_FAMILY_NAME: u16 = 2;
        let mut found = None;
        self.dump("netlink: families", GENL_ID_CTRL, &[CTRL_CMD_GETFAMILY, 1, 0, 0], |part| {
            let Part::Item(message) = part else { return };
            let (mut id, mut ours) = (None, false);
            for (kind, value) in message.attributes(4) {
                match kind {
                    CTRL_ATTR_FAMILY_ID => id = u16_at(value, 0),
                    CTRL_ATTR_FAMILY_NAME => ours = text(value) == name,
                    _ => {}
                }
            }
            if ours && id.is_some() {
                found = id;
            }
        })?;
        Ok(found)
    }

    /// Speed and duplex mode of all interfaces that have them; `family` is [`family`](Self::family) of `ethtool`.
    ///
    /// # Errors
    /// As [`links`](Self::links).
    pub fn link_modes(&mut self, family: u16, mut each: impl FnMut(Part<LinkMode>)) -> Result<()> {
        const ETHTOOL_MSG_LINKMODES_GET: u8 = 4;
        // The request's header attribute has the flag for compact bit sets in it, else each link mode's name comes along.
        let mut body = [0; 16];
        body[..2].copy_from_slice(&[ETHTOOL_MSG_LINKMODES_GET, 1]);
        for (place, number) in body[4..].chunks_exact_mut(2).zip([12u16, 0x8001, 8, 3]) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        body[12..].copy_from_slice(&1u32.to_ne_bytes());
        self.dump("netlink: link modes", family, &body, |part| match part {
            Part::Start => each(Part::Start),
            Part::Item(message) => {
                if let Some(mode) = LinkMode::parse(message) {
                    each(Part::Item(mode));
                }
            }
        })
    }

    fn dump(
        &mut self,
        what: &'static str,
        kind: u16,
        body: &[u8],
        each: impl FnMut(Part<Message<'_>>),
    ) -> Result<()> {
        self.ask(what, kind, NLM_F_DUMP, body, each)
    }

    fn ask(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(Part<Message<'_>>),
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            each(Part::Start);
            match self.round(what, kind, flags, body, &mut each) {
                Ok(Round::Complete) => return Ok(()),
                Ok(Round::Again) => {}
                Err(error) => {
                    self.fd = None;
                    if error.errno() != Some(Errno::NOBUFS) {
                        return Err(error);
                    }
                }
            }
        }
        self.fd = None;
        Err(Error::os(what, Errno::AGAIN))
    }

    fn round(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        body: &[u8],
        each: &mut impl FnMut(Part<Message<'_>>),
    ) -> Result<Round> {
        let failed = |errno| Error::os(what, errno);
        let fd = match self.fd.take() {
            Some(fd) => fd,
            None => open(self.generic).map_err(failed)?,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.request.clear();
        self.request.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        self.request.extend_from_slice(&kind.to_ne_bytes());
        self.request.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        self.request.extend_from_slice(&self.sequence.to_ne_bytes());
        self.request.extend_from_slice(&0u32.to_ne_bytes());
        self.request.extend_from_slice(body);
        while let Err(errno) = rustix::net::send(&fd, &self.request, SendFlags::empty()) {
            if errno != Errno::INTR {
                return Err(failed(errno));
            }
        }
        if self.buf.is_empty() {
            // Comes zeroed from the system: pages that no answer reaches cost nothing.
            self.buf = vec![0; BUFFER];
        }
        let mut answer = Answer { sequence: self.sequence, dump: flags == NLM_F_DUMP, interrupted: false };
        loop {
            let length = match rustix::net::recv(&fd, &mut self.buf[..], RecvFlags::TRUNC) {
                Ok((_, length)) => length,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let Some(datagram) = self.buf.get(..length) else {
                // The rest of this datagram is lost, and with it the dump; the socket goes, so its other datagrams do too.
                self.buf.resize(length.next_power_of_two(), 0);
                return Ok(Round::Again);
            };
            match answer.read(datagram, each) {
                Ok(false) => {}
                Ok(true) if answer.interrupted => {
                    self.fd = Some(fd);
                    return Ok(Round::Again);
                }
                Ok(true) => {
                    self.fd = Some(fd);
                    return Ok(Round::Complete);
                }
                Err(Some(errno)) => return Err(failed(errno)),
                Err(None) => return Err(Error::malformed(what, "a row of netlink messages")),
            }
        }
    }
}

/// The answer to one request, over as many datagrams as it takes.
struct Answer {
    sequence: u32,
    dump: bool,
    interrupted: bool,
}

impl Answer {
    /// Reads one datagram; whether the answer is complete. The error is the kernel's, or `None` if the lengths make no sense.
    fn read(
        &mut self,
        datagram: &[u8],
        each: &mut impl FnMut(Part<Message<'_>>),
    ) -> std::result::Result<bool, Option<Errno>> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let length = u32_at(rest, 0).ok_or(None)? as usize;
            let message = rest.get(..length).filter(|message| message.len() >= HEADER).ok_or(None)?;
            rest = rest.get(align(length)..).unwrap_or_default();
            let (Some(kind), Some(flags)) = (u16_at(message, 4), u16_at(message, 6)) else {
                return Err(None);
            };
            if u32_at(message, 8) != Some(self.sequence) {
                continue;
            }
            self.interrupted |= flags & NLM_F_DUMP_INTR != 0;
            let body = &message[HEADER..];
            match kind {
                NLMSG_NOOP => {}
                NLMSG_OVERRUN => return Err(Some(Errno::NOBUFS)),
                NLMSG_ERROR | NLMSG_DONE => {
                    return match u32_at(body, 0).map_or(0, |code| code as i32) {
                        code if code < 0 => Err(Some(Errno::from_raw_os_error(code.saturating_neg()))),
                        _ => Ok(true),
                    };
                }
                kind => {
                    each(Part::Item(Message { kind, body }));
                    if !self.dump {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

fn open(generic: bool) -> std::result::Result<OwnedFd, Errno> {
    // NETLINK_ROUTE is protocol 0.
    let protocol = generic.then_some(rustix::net::netlink::GENERIC);
    let kind = SocketType::RAW;
    let fd = rustix::net::socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?;
    set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
    // A connected socket takes messages from the kernel alone, not from other processes.
    rustix::net::connect(&fd, &SocketAddrNetlink::new(0, 0))?;
    Ok(fd)
}

fn link_request(index: u32, stats: bool) -> [u8; 24] {
    const IFLA_EXT_MASK: u16 = 29;
    const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
    let mut body = [0; 24];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[16..18].copy_from_slice(&8u16.to_ne_bytes());
    body[18..20].copy_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    let mask = if stats { 0 } else { RTEXT_FILTER_SKIP_STATS };
    body[20..].copy_from_slice(&mask.to_ne_bytes());
    body
}

/// One message of an answer.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after a fixed header of so many bytes.
    fn attributes(self, header: usize) -> Attributes<'a> {
        attributes(self.body.get(align(header)..).unwrap_or_default())
    }
}

/// The attributes in a row of bytes: number and value. One whose length makes no sense ends the row.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

/// Iterator of [`attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        /// The flags for "nested" and "network byte order" share the number's field.
        const NUMBER: u16 = 0x3fff;
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & NUMBER;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

const fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A string attribute, up to its NUL.
fn text(value: &[u8]) -> &[u8] {
    &value[..value.iter().position(|&b| b == 0).unwrap_or(value.len())]
}

/// An interface. An attribute that the kernel did not send is `None`, or empty if it is text.
#[derive(Debug, Clone, Default)]
pub struct Link<'a> {
    /// The interface's number.
    pub index: u32,
    /// The hardware type, ARPHRD_….
    pub hardware: u16,
    /// The IFF_… flags, with the state of the link (RUNNING, LOWER_UP, DORMANT) in them.
    pub flags: u32,
    /// The name.
    pub name: &'a [u8],
    /// The hardware address, raw.
    pub address: &'a [u8],
    /// The hardware broadcast address, raw.
    pub broadcast: &'a [u8],
    /// The alias that an administrator gave.
    pub alias: &'a [u8],
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// The lower interface's number, if it is another one.
    pub link: Option<u32>,
    /// The transmit queue's length, in packets.
    pub queue_length: Option<u32>,
    /// The RFC 2863 state, IF_OPER_….
    pub operational_state: Option<u8>,
    /// The policy of the above, IF_LINK_MODE_….
    pub link_mode: Option<u8>,
    /// The interface group.
    pub group: Option<u32>,
    /// How many want the interface promiscuous.
    pub promiscuity: Option<u32>,
    /// How many want it to receive all multicast; kernels before 6.0 do not say.
    pub all_multicast: Option<u32>,
    /// Whether there is a carrier, 0 or 1.
    pub carrier: Option<u8>,
    /// How often the carrier came or went.
    pub carrier_changes: Option<u32>,
    /// How often it came.
    pub carrier_up: Option<u32>,
    /// How often it went.
    pub carrier_down: Option<u32>,
    /// The counters.
    pub stats: Option<Stats>,
    /// The attributes with the [alternative names](Self::alternative_names).
    pub properties: &'a [u8],
}

impl<'a> Link<'a> {
    fn parse(message: Message<'a>) -> Option<Self> {
        if message.kind != RTM_NEWLINK {
            return None;
        }
        let body = message.body;
        let mut link = Link {
            hardware: u16_at(body, 2)?,
            index: u32_at(body, 4)?,
            flags: u32_at(body, 8)?,
            ..Link::default()
        };
        let byte = |value: &[u8]| value.first().copied();
        let mut narrow = None;
        for (kind, value) in message.attributes(16) {
            match kind {
                1 => link.address = value,
                2 => link.broadcast = value,
                3 => link.name = text(value),
                4 => link.mtu = u32_at(value, 0),
                5 => link.link = u32_at(value, 0),
                7 => narrow = Stats::narrow(value),
                13 => link.queue_length = u32_at(value, 0),
                16 => link.operational_state = byte(value),
                17 => link.link_mode = byte(value),
                20 => link.alias = text(value),
                23 => link.stats = Stats::wide(value),
                27 => link.group = u32_at(value, 0),
                30 => link.promiscuity = u32_at(value, 0),
                33 => link.carrier = byte(value),
                35 => link.carrier_changes = u32_at(value, 0),
                47 => link.carrier_up = u32_at(value, 0),
                48 => link.carrier_down = u32_at(value, 0),
                52 => link.properties = value,
                61 => link.all_multicast = u32_at(value, 0),
                _ => {}
            }
        }
        link.stats = link.stats.or(narrow);
        Some(link).filter(|link| !link.name.is_empty())
    }

    /// The alternative names.
    pub fn alternative_names(&self) -> impl Iterator<Item = &'a [u8]> {
        const IFLA_ALT_IFNAME: u16 = 53;
        attributes(self.properties)
            .filter(|&(kind, _)| kind == IFLA_ALT_IFNAME)
            .map(|(_, value)| text(value))
            .filter(|name| !name.is_empty())
    }
}

/// An interface's counters, in the order of the kernel's `struct rtnl_link_stats64`, see if_link.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    counters: [u64; Counter::COUNT],
    known: usize,
}

/// A counter's place in [`Stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "the names are if_link.h's")]
pub enum Counter {
    RxPackets,
    TxPackets,
    RxBytes,
    TxBytes,
    RxErrors,
    TxErrors,
    RxDropped,
    TxDropped,
    Multicast,
    Collisions,
    RxLengthErrors,
    RxOverErrors,
    RxCrcErrors,
    RxFrameErrors,
    RxFifoErrors,
    RxMissedErrors,
    TxAbortedErrors,
    TxCarrierErrors,
    TxFifoErrors,
    TxHeartbeatErrors,
    TxWindowErrors,
    RxCompressed,
    TxCompressed,
    RxNohandler,
}

impl Counter {
    const COUNT: usize = Counter::RxNohandler as usize + 1;
}

impl Stats {
    /// The fields that every kernel has; `RxNohandler` came with 4.6.
    const LEAST: usize = Counter::COUNT - 1;

    fn wide(value: &[u8]) -> Option<Self> {
        Stats::from(value.len() / 8, |i| u64_at(value, i * 8))
    }

    fn narrow(value: &[u8]) -> Option<Self> {
        Stats::from(value.len() / 4, |i| u32_at(value, i * 4).map(u64::from))
    }

    fn from(known: usize, field: impl Fn(usize) -> Option<u64>) -> Option<Self> {
        let mut stats = Stats { counters: [0; Counter::COUNT], known: known.min(Counter::COUNT) };
        if known < Self::LEAST {
            return None;
        }
        for (i, counter) in stats.counters[..stats.known].iter_mut().enumerate() {
            *counter = field(i)?;
        }
        Some(stats)
    }

    /// A counter; `None` if this kernel does not have it.
    pub fn get(&self, counter: Counter) -> Option<u64> {
        self.counters[..self.known].get(counter as usize).copied()
    }
}

/// An address of an interface.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The interface's number.
    pub index: u32,
    /// The length of the network's prefix, in bits.
    pub prefix: u8,
    /// 4 bytes of IPv4 or 16 of IPv6: the local end's address.
    pub bytes: &'a [u8],
}

impl<'a> Address<'a> {
    fn parse(message: Message<'a>) -> Option<Self> {
        const IFA_ADDRESS: u16 = 1;
        const IFA_LOCAL: u16 = 2;
        if message.kind != RTM_NEWADDR {
            return None;
        }
        let (mut address, mut local) = (None, None);
        for (kind, value) in message.attributes(8) {
            match kind {
                IFA_ADDRESS => address = Some(value),
                IFA_LOCAL => local = Some(value),
                _ => {}
            }
        }
        // Of a point-to-point link, IFA_ADDRESS is the other end.
        let bytes = local.or(address)?;
        Some(Address { index: u32_at(message.body, 4)?, prefix: message.body[1], bytes })
    }
}

/// A neighbour's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The number of the interface it is reached through.
    pub index: u32,
    /// The NUD_… bits.
    pub state: u16,
}

impl Neighbour {
    fn parse(message: Message<'_>) -> Option<Self> {
        if message.kind != RTM_NEWNEIGH {
            return None;
        }
        Some(Neighbour { index: u32_at(message.body, 4)?, state: u16_at(message.body, 8)? })
    }

    /// Whether no address resolution is needed (NUD_NOARP): such entries are not in `/proc/net/arp`.
    pub fn is_no_arp(self) -> bool {
        self.state & 0x40 != 0
    }
}

/// A queueing discipline.
#[derive(Debug, Clone, Copy)]
pub struct Qdisc<'a> {
    /// The number of its interface.
    pub index: u32,
    /// The handle it hangs on; [`ROOT`](Self::ROOT) for an interface's outermost one.
    pub parent: u32,
    /// What it is: `fq_codel`, `pfifo_fast`.
    pub kind: &'a [u8],
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets dropped.
    pub drops: u32,
    /// Packets queued again; the old form of the statistics does not say.
    pub requeues: Option<u32>,
    /// Packets over a limit.
    pub overlimits: u32,
    /// Packets waiting.
    pub queue_length: u32,
    /// Bytes waiting.
    pub backlog: u32,
}

impl<'a> Qdisc<'a> {
    /// The parent of an outermost discipline, TC_H_ROOT.
    pub const ROOT: u32 = u32::MAX;

    fn parse(message: Message<'a>) -> Option<Self> {
        const TCA_KIND: u16 = 1;
        const TCA_STATS: u16 = 3;
        const TCA_STATS2: u16 = 7;
        if message.kind != RTM_NEWQDISC {
            return None;
        }
        let (index, parent) = (u32_at(message.body, 4)?, u32_at(message.body, 12)?);
        let (mut kind, mut old, mut new) = (None, None, None);
        for (attribute, value) in message.attributes(20) {
            match attribute {
                TCA_KIND => kind = Some(text(value)),
                TCA_STATS => old = Some(value),
                TCA_STATS2 => new = Some(value),
                _ => {}
            }
        }
        let blank = Qdisc {
            index,
            parent,
            kind: kind?,
            bytes: 0,
            packets: 0,
            drops: 0,
            requeues: None,
            overlimits: 0,
            queue_length: 0,
            backlog: 0,
        };
        new.and_then(|stats| blank.with_stats2(stats)).or_else(|| blank.with_stats(old?))
    }

    /// The statistics as attributes of their own, see gen_stats.h.
    fn with_stats2(self, stats: &[u8]) -> Option<Self> {
        const TCA_STATS_BASIC: u16 = 1;
        const TCA_STATS_QUEUE: u16 = 3;
        const TCA_STATS_PKT64: u16 = 8;
        let (mut basic, mut queue, mut packets) = (None, None, None);
        for (attribute, value) in attributes(stats) {
            match attribute {
                TCA_STATS_BASIC => basic = Some(value),
                TCA_STATS_QUEUE => queue = Some(value),
                TCA_STATS_PKT64 => packets = u64_at(value, 0),
                _ => {}
            }
        }
        let (basic, queue) = (basic?, queue?);
        Some(Qdisc {
            bytes: u64_at(basic, 0)?,
            // Sent only once the 32 bits of the other field are too few.
            packets: match packets {
                Some(packets) => packets,
                None => u32_at(basic, 8)?.into(),
            },
            queue_length: u32_at(queue, 0)?,
            backlog: u32_at(queue, 4)?,
            drops: u32_at(queue, 8)?,
            requeues: Some(u32_at(queue, 12)?),
            overlimits: u32_at(queue, 16)?,
            ..self
        })
    }

    /// The statistics as `struct tc_stats`, see pkt_sched.h.
    fn with_stats(self, stats: &[u8]) -> Option<Self> {
        Some(Qdisc {
            bytes: u64_at(stats, 0)?,
            packets: u32_at(stats, 8)?.into(),
            drops: u32_at(stats, 12)?,
            overlimits: u32_at(stats, 16)?,
            queue_length: u32_at(stats, 28)?,
            backlog: u32_at(stats, 32)?,
            ..self
        })
    }
}

/// Speed and duplex mode of an interface, from ethtool's LINKMODES message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkMode {
    /// The interface's number.
    pub index: u32,
    /// Mbit/s; `None` if it is not known.
    pub megabits: Option<u32>,
    /// 0 half, 1 full, anything else not known.
    pub duplex: Option<u8>,
}

impl LinkMode {
    fn parse(message: Message<'_>) -> Option<Self> {
        const HEADER: u16 = 1;
        const DEV_INDEX: u16 = 1;
        const SPEED: u16 = 5;
        const DUPLEX: u16 = 6;
        let (mut index, mut megabits, mut duplex) = (None, None, None);
        for (kind, value) in message.attributes(4) {
            match kind {
                HEADER => {
                    index = attributes(value)
                        .find(|&(kind, _)| kind == DEV_INDEX)
                        .and_then(|(_, v)| u32_at(v, 0));
                }
                SPEED => megabits = u32_at(value, 0).filter(|&speed| speed != u32::MAX),
                DUPLEX => duplex = value.first().copied(),
                _ => {}
            }
        }
        Some(LinkMode { index: index?, megabits, duplex })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(align(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes.resize(align(bytes.len()), 0);
        bytes
    }

    fn link_body(attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend_from_slice(&772u16.to_ne_bytes());
        body.extend_from_slice(&1u32.to_ne_bytes());
        body.extend_from_slice(&0x49u32.to_ne_bytes());
        body.extend_from_slice(&[0xff; 4]);
        body.extend(attributes.concat());
        body
    }

    fn read(answer: &mut Answer, datagram: &[u8]) -> (std::result::Result<bool, Option<Errno>>, Vec<u16>) {
        let mut kinds = Vec::new();
        let outcome = answer.read(datagram, &mut |part: Part<Message<'_>>| {
            if let Part::Item(message) = part {
                kinds.push(message.kind);
            }
        });
        (outcome, kinds)
    }

    fn dump() -> Answer {
        Answer { sequence: 7, dump: true, interrupted: false }
    }

    #[test]
    fn attributes_end_where_a_length_makes_no_sense() {
        let row = [attribute(3, b"lo\0"), attribute(0x8000 | 52, b"12345")].concat();
        let all: Vec<_> = attributes(&row).collect();
        assert_eq!(all, [(3, &b"lo\0"[..]), (52, b"12345")]);
        for length in [0u16, 3, 200, u16::MAX] {
            let mut row = attribute(3, b"lo\0");
            row.extend_from_slice(&length.to_ne_bytes());
            row.extend_from_slice(&[1, 0, 1, 2, 3, 4]);
            assert_eq!(attributes(&row).collect::<Vec<_>>(), [(3, &b"lo\0"[..])], "length {length}");
        }
        assert_eq!(attributes(&[4, 0]).count(), 0);
    }

    #[test]
    fn an_answer_ends_with_done_and_foreign_sequences_are_skipped() {
        let mut datagram = message(RTM_NEWLINK, 2, 6, b"");
        datagram.extend(message(RTM_NEWLINK, 2, 7, b"abcde"));
        datagram.extend(message(NLMSG_NOOP, 2, 7, b""));
        assert_eq!(read(&mut dump(), &datagram), (Ok(false), vec![RTM_NEWLINK]));
        datagram.extend(message(NLMSG_DONE, 2, 7, &[0; 4]));
        assert_eq!(read(&mut dump(), &datagram), (Ok(true), vec![RTM_NEWLINK]));
        let mut single = Answer { dump: false, ..dump() };
        assert_eq!(read(&mut single, &message(RTM_NEWLINK, 0, 7, b"")), (Ok(true), vec![RTM_NEWLINK]));
    }

    #[test]
    fn errors_of_the_kernel_are_told() {
        let error = |kind, code: i32| read(&mut dump(), &message(kind, 0, 7, &code.to_ne_bytes())).0;
        assert_eq!(error(NLMSG_ERROR, -19), Err(Some(Errno::NODEV)));
        assert_eq!(error(NLMSG_DONE, -12), Err(Some(Errno::NOMEM)));
        assert_eq!(error(NLMSG_ERROR, 0), Ok(true));
        assert_eq!(error(NLMSG_OVERRUN, 0), Err(Some(Errno::NOBUFS)));
        let mut answer = dump();
        assert_eq!(read(&mut answer, &message(RTM_NEWLINK, 2 | NLM_F_DUMP_INTR, 7, b"")).0, Ok(false));
        assert!(answer.interrupted);
    }

    #[test]
    fn lengths_that_make_no_sense_are_an_error() {
        for length in [0u32, 15, 17, 1 << 20, u32::MAX] {
            let mut datagram = message(RTM_NEWLINK, 2, 7, b"");
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(read(&mut dump(), &datagram).0, Err(None), "{length}");
        }
        assert_eq!(read(&mut dump(), &[1, 2]).0, Err(None));
    }

    #[test]
    fn a_link_from_literal_bytes() {
        let names = [attribute(53, b"other\0"), attribute(53, b"\0"), attribute(53, b"third\0")].concat();
        let mut narrow: Vec<u8> = (0..23u32).flat_map(u32::to_ne_bytes).collect();
        let body = link_body(&[
            attribute(3, b"lo\0"),
            attribute(1, &[0; 6]),
            attribute(4, &65536u32.to_ne_bytes()),
            attribute(16, &[6]),
            attribute(7, &narrow),
            attribute(0x8000 | 52, &names),
            attribute(13, b"ab"),
            attribute(9999, b"of the future"),
        ]);
        let link = Link::parse(Message { kind: RTM_NEWLINK, body: &body }).unwrap();
        assert_eq!((link.name, link.index, link.hardware, link.flags), (&b"lo"[..], 1, 772, 0x49));
        assert_eq!((link.mtu, link.operational_state, link.queue_length), (Some(65536), Some(6), None));
        assert_eq!((link.address, link.broadcast, link.alias), (&[0; 6][..], &b""[..], &b""[..]));
        assert_eq!(link.alternative_names().collect::<Vec<_>>(), [&b"other"[..], b"third"]);
        let stats = link.stats.unwrap();
        assert_eq!(stats.get(Counter::TxCompressed), Some(22));
        assert_eq!(stats.get(Counter::RxNohandler), None);

        let wide: Vec<u8> = (100..125u64).flat_map(u64::to_ne_bytes).collect();
        let both = link_body(&[attribute(3, b"x\0"), attribute(23, &wide), attribute(7, &narrow)]);
        let stats = Link::parse(Message { kind: RTM_NEWLINK, body: &both }).unwrap().stats.unwrap();
        assert_eq!(
            (stats.get(Counter::RxPackets), stats.get(Counter::RxNohandler)),
            (Some(100), Some(123)),
            "the wide form is preferred"
        );

        narrow.truncate(80);
        let short = link_body(&[attribute(3, b"x\0"), attribute(7, &narrow)]);
        assert_eq!(Link::parse(Message { kind: RTM_NEWLINK, body: &short }).unwrap().stats, None);
        assert!(Link::parse(Message { kind: RTM_NEWLINK, body: &link_body(&[]) }).is_none(), "no name");
        assert!(Link::parse(Message { kind: RTM_NEWADDR, body: &body }).is_none());
    }

    #[test]
    fn a_qdisc_in_the_new_and_the_old_form() {
        let mut head = vec![0; 4];
        for number in [4u32, 0, Qdisc::ROOT, 2] {
            head.extend_from_slice(&number.to_ne_bytes());
        }
        let mut basic = 83u64.to_ne_bytes().to_vec();
        basic.extend_from_slice(&[84u32.to_ne_bytes(), [0; 4]].concat());
        let queue: Vec<u8> = (1..6u32).flat_map(u32::to_ne_bytes).collect();
        let parse = |attributes: &[Vec<u8>]| {
            let body = [head.clone(), attributes.concat()].concat();
            Qdisc::parse(Message { kind: RTM_NEWQDISC, body: &body })
                .map(|q| (q.bytes, q.packets, q.queue_length, q.backlog, q.drops, q.requeues, q.overlimits))
        };
        let kind = attribute(1, b"fq\0");
        let new = [attribute(1, &basic), attribute(3, &queue)].concat();
        assert_eq!(parse(&[kind.clone(), attribute(7, &new)]), Some((83, 84, 1, 2, 3, Some(4), 5)));
        let more = [new.clone(), attribute(8, &(1u64 << 32).to_ne_bytes())].concat();
        assert_eq!(parse(&[kind.clone(), attribute(7, &more)]).unwrap().1, 1 << 32);
        let mut old = 83u64.to_ne_bytes().to_vec();
        old.extend([84u32, 3, 5, 0, 0, 1, 2].iter().flat_map(|n| n.to_ne_bytes()));
        assert_eq!(parse(&[kind.clone(), attribute(3, &old)]), Some((83, 84, 1, 2, 3, None, 5)));
        assert_eq!(parse(&[kind, attribute(3, &old[..20])]), None);
        assert_eq!(parse(&[attribute(7, &new)]), None, "no kind");
    }

    #[test]
    fn the_local_end_of_a_point_to_point_link_and_neighbours() {
        let mut body = vec![2, 24, 0, 0];
        body.extend_from_slice(&3u32.to_ne_bytes());
        body.extend(attribute(1, &[10, 0, 0, 2]));
        body.extend(attribute(2, &[10, 0, 0, 1]));
        let address = Address::parse(Message { kind: RTM_NEWADDR, body: &body }).unwrap();
        assert_eq!((address.index, address.prefix, address.bytes), (3, 24, &[10, 0, 0, 1][..]));
        assert!(Address::parse(Message { kind: RTM_NEWADDR, body: &body[..8] }).is_none());

        let mut body = vec![2, 0, 0, 0];
        body.extend_from_slice(&4u32.to_ne_bytes());
        body.extend_from_slice(&0x42u16.to_ne_bytes());
        let neighbour = Neighbour::parse(Message { kind: RTM_NEWNEIGH, body: &body }).unwrap();
        assert!(neighbour.index == 4 && neighbour.is_no_arp());
        assert_eq!(Neighbour::parse(Message { kind: RTM_NEWNEIGH, body: &body[..9] }), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u16..64) {
            let message = Message { kind, body: &bytes };
            let _ = (Link::parse(message), Address::parse(message), Neighbour::parse(message));
            let _ = (Qdisc::parse(message).is_some(), LinkMode::parse(message));
            let _ = read(&mut dump(), &bytes);
        }
    }

    fn names(netlink: &mut Netlink, stats: bool) -> Vec<(Vec<u8>, u32, bool)> {
        let mut names = Vec::new();
        netlink
            .links(stats, |part| match part {
                Part::Start => names.clear(),
                Part::Item(link) => names.push((link.name.to_owned(), link.index, link.stats.is_some())),
            })
            .unwrap();
        names
    }

    #[test]
    fn this_namespace_has_a_loopback() {
        let mut netlink = Netlink::route();
        for _ in 0..3 {
            assert!(names(&mut netlink, true).contains(&(b"lo".to_vec(), 1, true)));
        }
        // Other tests may add and remove interfaces meanwhile, but never this one.
        assert!(names(&mut netlink, false).iter().any(|(name, ..)| name == b"lo"));
        let mut found = Vec::new();
        assert!(netlink.link(1, |link| found.push(link.name.to_owned())).unwrap());
        assert!(netlink.name(1, |name| assert_eq!(name, b"lo")).unwrap());
        assert!(!netlink.name(i32::MAX as u32, |_| panic!("no such interface")).unwrap());
        assert_eq!(found, [b"lo"]);
        assert!(!netlink.link(i32::MAX as u32, |_| panic!("no such interface")).unwrap());
        if is_emulated(&netlink.neighbours(|_| ())) {
            return;
        }
        netlink.neighbours(|_| ()).unwrap();
        netlink.qdiscs(|_| ()).unwrap();
        let mut loopback = false;
        netlink
            .addresses(|part| {
                loopback |=
                    matches!(part, Part::Item(Address { index: 1, bytes: [127, 0, 0, 1], prefix: 8 }));
            })
            .unwrap();
        let expected = std::fs::read_to_string("/proc/net/fib_trie").is_ok_and(|t| t.contains("127.0.0.1"));
        assert_eq!(loopback, expected);
    }

    #[test]
    fn a_small_buffer_grows() {
        let mut netlink = Netlink::route();
        netlink.buf.resize(64, 0);
        assert!(names(&mut netlink, true).iter().any(|(name, ..)| name == b"lo"));
        assert!(netlink.buf.len() > 64);
    }

    /// Whether this is qemu's user mode, which lacks most of netlink.
    fn is_emulated<T>(result: &Result<T>) -> bool {
        let errno = result.as_ref().err().and_then(Error::errno);
        let emulated =
            cfg!(target_arch = "arm") && matches!(errno, Some(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT));
        if emulated {
            println!("skipped: this emulation has no such netlink");
        }
        emulated
    }

    #[test]
    fn ethtool_is_a_family() {
        let mut netlink = Netlink::generic();
        if is_emulated(&netlink.family(b"no such family")) {
            return;
        }
        assert_eq!(netlink.family(b"no such family").unwrap(), None);
        if let Some(family) = netlink.family(b"ethtool").unwrap() {
            let mut modes = 0;
            netlink
                .link_modes(family, |part| match part {
                    Part::Start => modes = 0,
                    Part::Item(mode) => {
                        assert!(mode.index > 0);
                        modes += 1;
                    }
                })
                .unwrap();
            println!("{modes} interfaces with link modes");
        } else {
            println!("skipped: this kernel has no ethtool netlink");
        }
    }
}
