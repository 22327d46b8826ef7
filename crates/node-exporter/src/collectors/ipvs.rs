//! IP virtual server: totals from `/proc/net/ip_vs_stats`, backends of the services from `/proc/net/ip_vs`, see the kernel's
//! net/netfilter/ipvs/ip_vs_ctl.c. Numbers of the former, addresses and ports of the latter are hexadecimal.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

const FLAG: &str = "collector.ipvs.backend-labels";

pub(crate) const ENTRY: Entry = Entry {
    name: "ipvs",
    on: true,
    help: "IP virtual server from /proc/net/ip_vs and ip_vs_stats.",
    flags: &[Flag::text(
        FLAG,
        "local_address,local_port,remote_address,remote_port,proto,local_mark",
        "Labels of the backends; those that become the same are added up.",
    )],
    new: |flags| {
        let mut wanted = [false; LABELS.len()];
        for name in flags.text(FLAG).split(',').filter(|name| !name.is_empty()) {
            let Some(at) = LABELS.iter().position(|&label| label == name) else {
                return Err(flags.error(FLAG, format!("no label of a backend: {name}")));
            };
            wanted[at] = true;
        }
        let proc = paths::proc(flags);
        Ok(Box::new(Ipvs {
            totals: proc.file("net/ip_vs_stats"),
            // Thousands of backends are usual in a cluster.
            services: proc.file("net/ip_vs").with_cap(16 << 20),
            wanted,
            texts: Arena::new(),
            backends: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Ipvs {
    totals: File,
    services: File,
    /// Which of [`LABELS`] are written.
    wanted: [bool; LABELS.len()],
    texts: Arena,
    backends: Vec<Backend>,
    buf: Buf,
}

const LABELS: [&str; 6] =
    ["local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"];
const LOCAL_ADDRESS: usize = 0;
const LOCAL_MARK: usize = 1;
const LOCAL_PORT: usize = 2;
const PROTO: usize = 3;
const REMOTE_ADDRESS: usize = 4;
const REMOTE_PORT: usize = 5;

/// The values of [`LABELS`]; those that are not wanted are empty.
type Key = [Span; LABELS.len()];

struct Backend {
    labels: Key,
    /// Connections active, connections inactive, weight.
    values: [u64; FAMILIES.len()],
}

const FAMILIES: [(&str, &str); 3] = [
    ("node_ipvs_backend_connections_active", "Active connections to the backend."),
    ("node_ipvs_backend_connections_inactive", "Inactive connections to the backend."),
    ("node_ipvs_backend_weight", "Weight of the backend."),
];

/// The totals in order of name: column, family, HELP.
const TOTALS: [(usize, &str, &str); 5] = [
    (0, "node_ipvs_connections_total", "Connections made."),
    (3, "node_ipvs_incoming_bytes_total", "Bytes received."),
    (1, "node_ipvs_incoming_packets_total", "Packets received."),
    (4, "node_ipvs_outgoing_bytes_total", "Bytes sent."),
    (2, "node_ipvs_outgoing_packets_total", "Packets sent."),
];

impl Ipvs {
    fn read_totals(&mut self) -> Result<[u64; TOTALS.len()], Error> {
        let bytes = self.totals.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        let parse = || {
            // Two lines of heading, the totals, an empty line.
            let mut fields = scan::fields(scan::lines(bytes).nth(2)?);
            let mut totals = [0; TOTALS.len()];
            for total in &mut totals {
                *total = scan::hex(fields.next()?)?;
            }
            Some(totals)
        };
        parse().ok_or_else(|| self.totals.malformed("five hexadecimal totals in the third line").into())
    }

    fn read_backends(&mut self) -> hostfs::Result<()> {
        let Ipvs { services, wanted, texts, backends, buf, .. } = self;
        let bytes = services.read(buf)?;
        texts.clear();
        backends.clear();
        let mut service = None;
        for line in scan::lines(bytes) {
            let mut fields = scan::fields(line);
            let Some(first) = fields.next() else { continue };
            let understood = match first {
                b"IP" | b"Prot" => true,
                b"->" if fields.clone().next() == Some(b"RemoteAddress:Port") => true,
                b"->" => service
                    .and_then(|service| Backend::parse(service, fields, wanted, texts))
                    .map(|backend| backends.push(backend))
                    .is_some(),
                proto => {
                    service = parse_service(proto, fields, wanted, texts);
                    service.is_some()
                }
            };
            if !understood {
                return Err(services.malformed("lines of services and, below each, its backends"));
            }
        }
        let key = |backend: &Backend| backend.labels.map(|label| &texts[label]);
        backends.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        backends.dedup_by(|a, b| {
            let same = key(a) == key(b);
            if same {
                for (sum, value) in b.values.iter_mut().zip(a.values) {
                    *sum = sum.saturating_add(value);
                }
            }
            same
        });
        Ok(())
    }
}

/// `TCP C0A80016:0CEA wlc`, or `FWM 10001000 wlc` for packets with a firewall mark.
fn parse_service(
    proto: &[u8],
    mut fields: scan::Fields<'_>,
    wanted: &[bool; LABELS.len()],
    texts: &mut Arena,
) -> Option<Key> {
    let mut key = Key::default();
    let what = fields.next()?;
    if proto == b"FWM" {
        set(&mut key, LOCAL_MARK, what, wanted, texts);
        set(&mut key, LOCAL_PORT, b"0", wanted, texts);
    } else {
        let (address, port) = parse_end(what)?;
        set_display(&mut key, LOCAL_ADDRESS, address, wanted, texts);
        set_display(&mut key, LOCAL_PORT, port, wanted, texts);
    }
    set(&mut key, PROTO, proto, wanted, texts);
    Some(key)
}

impl Backend {
    /// `C0A85216:0CEA Tunnel 100 248 2`, after the arrow.
    fn parse(
        mut labels: Key,
        mut fields: scan::Fields<'_>,
        wanted: &[bool; LABELS.len()],
        texts: &mut Arena,
    ) -> Option<Self> {
        let (address, port) = parse_end(fields.next()?)?;
        let _forwarding = fields.next()?;
        let (weight, active, inactive) = (fields.next_u64()?, fields.next_u64()?, fields.next_u64()?);
        set_display(&mut labels, REMOTE_ADDRESS, address, wanted, texts);
        set_display(&mut labels, REMOTE_PORT, port, wanted, texts);
        Some(Backend { labels, values: [active, inactive, weight] })
    }
}

/// `C0A80016:0CEA` or `[2620:0000:…:0001]:0CEA`.
fn parse_end(text: &[u8]) -> Option<(IpAddr, u16)> {
    let colon = text.iter().rposition(|&b| b == b':')?;
    let (address, port) = (&text[..colon], &text[colon + 1..]);
    let address = match address.strip_prefix(b"[") {
        Some(rest) => {
            let text = std::str::from_utf8(rest.strip_suffix(b"]")?).ok()?;
            IpAddr::from(text.parse::<Ipv6Addr>().ok()?).to_canonical()
        }
        None if address.len() == 8 => Ipv4Addr::from(u32::try_from(scan::hex(address)?).ok()?).into(),
        None => return None,
    };
    Some((address, u16::try_from(scan::hex(port)?).ok()?))
}

fn set(key: &mut Key, at: usize, text: &[u8], wanted: &[bool; LABELS.len()], texts: &mut Arena) {
    if wanted[at] {
        key[at] = texts.push(text);
    }
}

fn set_display(
    key: &mut Key,
    at: usize,
    value: impl std::fmt::Display,
    wanted: &[bool; LABELS.len()],
    texts: &mut Arena,
) {
    // The longest is an IPv6 address, of 39 characters.
    let mut space = [0; 48];
    let mut rest = &mut space[..];
    let _ = write!(rest, "{value}");
    let length = 48 - rest.len();
    set(key, at, &space[..length], wanted, texts);
}

impl Collector for Ipvs {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let totals = self.read_totals()?;
        let backends = self.read_backends();
        if backends.is_ok() {
            for (i, (name, help)) in FAMILIES.into_iter().enumerate() {
                let mut family = out.family(name, Kind::Gauge, help);
                for backend in &self.backends {
                    let mut labels = [("", LabelValue::from(0u64)); LABELS.len()];
                    let mut count = 0;
                    for (at, name) in LABELS.into_iter().enumerate().filter(|&(at, _)| self.wanted[at]) {
                        labels[count] = (name, LabelValue::from(&self.texts[backend.labels[at]]));
                        count += 1;
                    }
                    family.sample(&labels[..count], backend.values[i]);
                }
            }
        }
        for (column, name, help) in TOTALS {
            out.single(name, Kind::Counter, help, totals[column]);
        }
        backends.map_err(Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const STATS: &str = "   Total Incoming Outgoing         Incoming         Outgoing\n\
   Conns  Packets  Packets            Bytes            Bytes\n\
 16AA370 E33656E5        0     51D8C8883AB3                A\n\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n\
       4    1FB3C        0          1282A8F                0\n";

    const SERVICES: &str = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
TCP  C0A80016:0CEA wlc  \n  -> C0A85216:0CEA      Tunnel  100    248        2         \n  -> C0A85318:0CEA      Tunnel  100    247        3         \n\
SCTP  [2620:0000:0000:0000:0000:0000:0000:0001]:0050 sh\n  -> [2620:0000:0000:0000:0000:0000:0000:0002]:0050      Route  10     0    1         \n\
FWM  10001000 wlc   \n  -> C0A8321A:0CEA      Tunnel  20     64         1         \n";

    fn collect(stats: &str, services: &str, args: &[&str]) -> (String, Option<Error>) {
        Tree::new(&[("proc/net/ip_vs_stats", stats), ("proc/net/ip_vs", services)]).collect(&ENTRY, args)
    }

    const TOTALS: &str = "node_ipvs_connections_total 2.3765872e+07\n\
                          node_ipvs_incoming_bytes_total 8.9991519156915e+13\n\
                          node_ipvs_incoming_packets_total 3.811989221e+09\n\
                          node_ipvs_outgoing_bytes_total 10\n\
                          node_ipvs_outgoing_packets_total 0\n";

    #[test]
    fn all_labels() {
        let (samples, error) = collect(STATS, SERVICES, &[]);
        assert_eq!(error, None);
        assert!(samples.ends_with(TOTALS), "{samples}");
        assert!(samples.starts_with(
            "node_ipvs_backend_connections_active{local_address=\"\",local_mark=\"10001000\",local_port=\"0\",proto=\"FWM\",remote_address=\"192.168.50.26\",remote_port=\"3306\"} 64\n\
             node_ipvs_backend_connections_active{local_address=\"192.168.0.22\",local_mark=\"\",local_port=\"3306\",proto=\"TCP\",remote_address=\"192.168.82.22\",remote_port=\"3306\"} 248\n\
             node_ipvs_backend_connections_active{local_address=\"192.168.0.22\",local_mark=\"\",local_port=\"3306\",proto=\"TCP\",remote_address=\"192.168.83.24\",remote_port=\"3306\"} 247\n\
             node_ipvs_backend_connections_active{local_address=\"2620::1\",local_mark=\"\",local_port=\"80\",proto=\"SCTP\",remote_address=\"2620::2\",remote_port=\"80\"} 0\n\
             node_ipvs_backend_connections_inactive{"
        ), "{samples}");
    }

    #[test]
    fn some_labels_and_sums() {
        let flag = |labels: &str| format!("--{FLAG}={labels}");
        let (samples, _) = collect(STATS, SERVICES, &[&flag("proto,local_address")]);
        assert!(samples.contains(
            "node_ipvs_backend_connections_active{local_address=\"192.168.0.22\",proto=\"TCP\"} 495\n"
        ));
        assert!(samples.contains(
            "node_ipvs_backend_connections_inactive{local_address=\"192.168.0.22\",proto=\"TCP\"} 5\n"
        ));
        let (samples, _) = collect(STATS, SERVICES, &[&flag("")]);
        assert!(samples.contains("node_ipvs_backend_weight 230\n"), "{samples}");
        let flags =
            exporter::Flags::for_test(&[paths::FLAGS, ENTRY.flags].concat(), &[&flag("local_address,x")]);
        let error = (ENTRY.new)(&flags).err().unwrap().to_string();
        assert_eq!(error, "--collector.ipvs.backend-labels=local_address,x: no label of a backend: x");
    }

    #[test]
    fn damage() {
        for bad in [
            "TCP  C0A80016:0CEA\n -> C0A85216:0CEA Tunnel 100 248\n",
            "TCP  C0A80016\n",
            "TCP  C0A800161:0CEA\n",
            "TCP  [2620:0000::1:0CEA\n",
            "TCP  C0A80016:10CEA\n",
            " -> C0A85216:0CEA Tunnel 100 248 2\n",
            "TCP  C0A80016:0CEA\n -> C0A85216:0CEA Tunnel -1 248 2\n",
            "\0\0\0\n",
        ] {
            let (samples, error) = collect(STATS, bad, &[]);
            assert!(samples == TOTALS && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
        for bad in ["", "\n\n\n", "a\nb\n1 2 3 4\n", "a\nb\n1 2 3 4 x\n", "a\nb\n1 2 3 4 5"] {
            let (samples, error) = collect(bad, SERVICES, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}");
        }
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
