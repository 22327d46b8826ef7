//! Queueing disciplines at the root of each interface: an rtnetlink dump of this process' own network namespace, see tc(8).
//!
//! `--collector.qdisc.fixtures` is the original's own test hook: a directory whose `results.json` stands in for the dump.

use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::netlink::{self, Netlink, Part};
use hostfs::{Arena, Buf, Span, scan};

const INCLUDE: &str = "collector.qdisc.device-include";
const EXCLUDE: &str = "collector.qdisc.device-exclude";
const FIXTURES: &str = "collector.qdisc.fixtures";

pub(crate) const ENTRY: Entry = Entry {
    name: "qdisc",
    on: false,
    help: "Queueing disciplines of network interfaces from netlink.",
    flags: &[
        Flag::text(INCLUDE, "", "Pattern of interfaces to show; not together with device-exclude."),
        Flag::text(EXCLUDE, "", "Pattern of interfaces to leave out; not together with device-include."),
        Flag::renamed("collector.qdisk.device-include", INCLUDE),
        Flag::renamed("collector.qdisk.device-exclude", EXCLUDE),
        Flag::text(FIXTURES, "", "A directory with recorded answers, for tests.").hidden(),
    ],
    new: |flags| {
        let fixtures = flags.text(FIXTURES);
        Ok(Box::new(Qdisc {
            filter: Filter::either(flags, INCLUDE, EXCLUDE)?,
            known: Memo::default(),
            recorded: (!fixtures.is_empty()).then(|| PathBuf::from(fixtures).join("results.json")),
            netlink: Netlink::route(),
            texts: Arena::new(),
            roots: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Qdisc {
    filter: Filter,
    known: Memo,
    recorded: Option<PathBuf>,
    netlink: Netlink,
    texts: Arena,
    roots: Vec<Root>,
    buf: Buf,
}

#[derive(Default)]
struct Root {
    index: u32,
    device: Span,
    kind: Span,
    values: [Option<u64>; FAMILIES.len()],
}

const BACKLOG: usize = 0;
const BYTES: usize = 1;
const QUEUE_LENGTH: usize = 2;
const DROPS: usize = 3;
const OVERLIMITS: usize = 4;
const PACKETS: usize = 5;
const REQUEUES: usize = 6;

const FAMILIES: [(&str, Kind, &str); 7] = [
    ("node_qdisc_backlog", Kind::Gauge, "Data waiting to be sent, in bytes."),
    ("node_qdisc_bytes_total", Kind::Counter, "Bytes sent."),
    ("node_qdisc_current_queue_length", Kind::Gauge, "Packets waiting to be sent."),
    ("node_qdisc_drops_total", Kind::Counter, "Packets dropped."),
    ("node_qdisc_overlimits_total", Kind::Counter, "How often a limit was exceeded."),
    ("node_qdisc_packets_total", Kind::Counter, "Packets sent."),
    ("node_qdisc_requeues_total", Kind::Counter, "Packets that could not be sent and were queued again."),
];

impl Qdisc {
    fn read_netlink(&mut self) -> hostfs::Result<()> {
        let Qdisc { netlink, texts, roots, .. } = self;
        netlink.qdiscs(|part| match part {
            Part::Start => {
                texts.clear();
                roots.clear();
            }
            Part::Item(qdisc) => {
                // The original takes 0, which the kernel gives to none it dumps here, for the root too.
                if qdisc.parent == netlink::Qdisc::ROOT || qdisc.parent == 0 {
                    roots.push(Root::from_netlink(&qdisc, texts));
                }
            }
        })?;
        if roots.is_empty() {
            return Ok(());
        }
        roots.sort_unstable_by_key(|root| root.index);
        netlink.links(false, |part| {
            if let Part::Item(link) = part {
                let at = roots.partition_point(|root| root.index < link.index);
                for root in roots[at..].iter_mut().take_while(|root| root.index == link.index) {
                    root.device = texts.push(link.name);
                }
            }
        })?;
        // An interface that went meanwhile has no name.
        roots.retain(|root| !root.device.is_empty());
        Ok(())
    }

    fn read_recorded(&mut self) -> hostfs::Result<()> {
        let Qdisc { recorded: Some(path), texts, roots, buf, .. } = self else { return Ok(()) };
        texts.clear();
        roots.clear();
        let bytes = hostfs::read(&*path, buf)?;
        parse(bytes, texts, roots)
            .ok_or_else(|| hostfs::Error::malformed(&*path, "a JSON list of flat objects"))
    }
}

impl Root {
    fn from_netlink(qdisc: &netlink::Qdisc<'_>, texts: &mut Arena) -> Self {
        let mut root = Root { index: qdisc.index, kind: texts.push(qdisc.kind), ..Root::default() };
        root.values[BACKLOG] = Some(qdisc.backlog.into());
        root.values[BYTES] = Some(qdisc.bytes);
        root.values[QUEUE_LENGTH] = Some(qdisc.queue_length.into());
        root.values[DROPS] = Some(qdisc.drops.into());
        root.values[OVERLIMITS] = Some(qdisc.overlimits.into());
        root.values[PACKETS] = Some(qdisc.packets);
        root.values[REQUEUES] = qdisc.requeues.map(u64::from);
        root
    }
}

/// Reads `[{"IfaceName": "eth0", "Bytes": 83, …}, …]`: objects of plain strings and whole numbers, a missing number being 0. Those whose
/// `Parent` is not 0 are left out.
fn parse(bytes: &[u8], texts: &mut Arena, roots: &mut Vec<Root>) -> Option<()> {
    let mut json = Json { rest: bytes };
    json.expect(b'[')?;
    if json.next_is(b']') {
        return json.end();
    }
    loop {
        let mut root = Root { values: [Some(0); FAMILIES.len()], ..Root::default() };
        let mut parent = 0;
        json.expect(b'{')?;
        while !json.next_is(b'}') {
            let key = json.string()?;
            json.expect(b':')?;
            let place = match key {
                b"IfaceName" => {
                    root.device = texts.push(json.string()?);
                    None
                }
                b"Kind" => {
                    root.kind = texts.push(json.string()?);
                    None
                }
                b"Parent" => Some(&mut parent),
                b"Backlog" => root.values[BACKLOG].as_mut(),
                b"Bytes" => root.values[BYTES].as_mut(),
                b"Qlen" => root.values[QUEUE_LENGTH].as_mut(),
                b"Drops" => root.values[DROPS].as_mut(),
                b"Overlimits" => root.values[OVERLIMITS].as_mut(),
                b"Packets" => root.values[PACKETS].as_mut(),
                b"Requeues" => root.values[REQUEUES].as_mut(),
                _ => Some(&mut 0),
            };
            if let Some(place) = place {
                *place = json.number()?;
            }
            if !json.next_is(b',') && json.rest.first() != Some(&b'}') {
                return None;
            }
        }
        if parent == 0 {
            roots.push(root);
        }
        if !json.next_is(b',') {
            break;
        }
    }
    json.expect(b']')?;
    json.end()
}

/// What is left of a JSON text.
struct Json<'a> {
    rest: &'a [u8],
}

impl<'a> Json<'a> {
    /// Takes the punctuation mark if it is next.
    fn next_is(&mut self, mark: u8) -> bool {
        self.rest = self.rest.trim_ascii_start();
        let found = self.rest.first() == Some(&mark);
        if found {
            self.rest = self.rest[1..].trim_ascii_start();
        }
        found
    }

    fn expect(&mut self, mark: u8) -> Option<()> {
        self.next_is(mark).then_some(())
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let (text, rest) = scan::split_once(self.rest, b'"')?;
        self.rest = rest.trim_ascii_start();
        (!text.contains(&b'\\')).then_some(text)
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest.trim_ascii_start();
        scan::unsigned(digits)
    }

    fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}

impl Collector for Qdisc {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        if self.recorded.is_some() {
            self.read_recorded()?;
        } else {
            self.read_netlink()?;
        }
        let Qdisc { texts, roots, filter, known, .. } = self;
        roots.retain(|root| known.check(&texts[root.device], |name| filter.passes(name)));
        let key = |root: &Root| (&texts[root.device], &texts[root.kind]);
        roots.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        roots.dedup_by(|a, b| key(a) == key(b));
        for (i, (name, kind, help)) in FAMILIES.into_iter().enumerate() {
            let mut family = out.family(name, kind, help);
            for root in &*roots {
                let Some(value) = root.values[i] else { continue };
                let labels = [
                    ("device", LabelValue::from(&texts[root.device])),
                    ("kind", LabelValue::from(&texts[root.kind])),
                ];
                family.sample(&labels, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    fn recorded(json: &str, args: &[&str]) -> (String, Option<Error>) {
        let tree = Tree::new(&[("qdisc/results.json", json)]);
        let fixtures = format!("--{FIXTURES}={}", tree.path("qdisc").display());
        let args: Vec<&str> = std::iter::once(fixtures.as_str()).chain(args.iter().copied()).collect();
        tree.collect(&ENTRY, &args)
    }

    #[test]
    fn recorded_answers() {
        let json = r#"[ {"IfaceName": "wlan0", "Bytes": 42, "Kind": "fq", "Drops": 1, "Requeues":2},
            {"IfaceName":"eth0","Kind":"mq","Parent":0,"Qlen":3,"Backlog":4,"Overlimits":5,"Packets":6,"Handle":7},
            {"IfaceName":"eth0","Kind":"fq_codel","Parent":65536} ]
        "#;
        let (samples, error) = recorded(json, &["--collector.qdisk.device-include=(wlan0|eth0)"]);
        assert_eq!(error, None);
        assert_eq!(
            samples,
            "node_qdisc_backlog{device=\"eth0\",kind=\"mq\"} 4\nnode_qdisc_backlog{device=\"wlan0\",kind=\"fq\"} 0\n\
             node_qdisc_bytes_total{device=\"eth0\",kind=\"mq\"} 0\nnode_qdisc_bytes_total{device=\"wlan0\",kind=\"fq\"} 42\n\
             node_qdisc_current_queue_length{device=\"eth0\",kind=\"mq\"} 3\nnode_qdisc_current_queue_length{device=\"wlan0\",kind=\"fq\"} 0\n\
             node_qdisc_drops_total{device=\"eth0\",kind=\"mq\"} 0\nnode_qdisc_drops_total{device=\"wlan0\",kind=\"fq\"} 1\n\
             node_qdisc_overlimits_total{device=\"eth0\",kind=\"mq\"} 5\nnode_qdisc_overlimits_total{device=\"wlan0\",kind=\"fq\"} 0\n\
             node_qdisc_packets_total{device=\"eth0\",kind=\"mq\"} 6\nnode_qdisc_packets_total{device=\"wlan0\",kind=\"fq\"} 0\n\
             node_qdisc_requeues_total{device=\"eth0\",kind=\"mq\"} 0\nnode_qdisc_requeues_total{device=\"wlan0\",kind=\"fq\"} 2\n"
        );
        assert_eq!(recorded(json, &["--collector.qdisc.device-exclude=."]), (String::new(), None));
        assert_eq!(recorded("[]", &[]), (String::new(), None));
        for bad in
            ["", "[", "{}", "[{\"Bytes\":-1}]", "[{\"Bytes\":1.5}]", "[{\"Bytes\" 1}]", "[{} {}]", "[]x"]
        {
            assert!(matches!(recorded(bad, &[]).1, Some(Error::Failed(_))), "{bad}");
        }
    }

    #[test]
    fn the_disciplines_of_this_namespace() {
        let mut collector = Tree::new(&[]).collector(&ENTRY, &[]);
        for _ in 0..2 {
            let (samples, error) = collect(&mut *collector);
            if crate::testing::is_emulated(&error) {
                return;
            }
            assert_eq!(error, None);
            println!("{samples}");
            assert!(!samples.contains("device=\"\""));
        }
    }
}
