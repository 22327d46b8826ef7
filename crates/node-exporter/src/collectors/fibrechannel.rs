//! Fibre Channel hosts: the attributes of `/sys/class/fc_host/*` and their `statistics`, see the kernel's
//! Documentation/ABI/testing/sysfs-class-fc_host and scsi_fc_transport.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "fibrechannel",
    on: true,
    help: "Fibre Channel hosts from /sys/class/fc_host.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(FibreChannel {
            class: paths::sys(flags).join("class/fc_host"),
            names: Names::new(),
            texts: Arena::new(),
            hosts: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct FibreChannel {
    class: PathBuf,
    names: Names,
    texts: Arena,
    hosts: Vec<Host>,
    buf: Buf,
}

/// The labels of `node_fibrechannel_info` but `fc_host`, in order, and whether the value begins with a `0x` that is not told.
const LABELS: [(&str, bool); 10] = [
    ("dev_loss_tmo", false),
    ("fabric_name", true),
    ("port_id", true),
    ("port_name", true),
    ("port_state", false),
    ("port_type", false),
    ("speed", false),
    ("supported_classes", false),
    ("supported_speeds", false),
    ("symbolic_name", false),
];

/// Statistics: file, family, HELP.
const COUNTERS: [(&str, &str, &str); 14] = [
    ("dumped_frames", "node_fibrechannel_dumped_frames_total", "Frames thrown away."),
    ("error_frames", "node_fibrechannel_error_frames_total", "Frames with an error."),
    ("fcp_packet_aborts", "node_fibrechannel_fcp_packet_aborts_total", "FCP packets that were aborted."),
    ("invalid_crc_count", "node_fibrechannel_invalid_crc_total", "Frames with a wrong checksum."),
    ("invalid_tx_word_count", "node_fibrechannel_invalid_tx_words_total", "Invalid transmission words."),
    ("link_failure_count", "node_fibrechannel_link_failure_total", "How often the link failed."),
    ("loss_of_signal_count", "node_fibrechannel_loss_of_signal_total", "How often the signal was lost."),
    ("loss_of_sync_count", "node_fibrechannel_loss_of_sync_total", "How often synchronisation was lost."),
    ("nos_count", "node_fibrechannel_nos_total", "Not-operational sequences received."),
    ("rx_frames", "node_fibrechannel_rx_frames_total", "Frames received."),
    ("rx_words", "node_fibrechannel_rx_words_total", "Words received."),
    (
        "seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Time since the statistics were reset, in seconds.",
    ),
    ("tx_frames", "node_fibrechannel_tx_frames_total", "Frames sent."),
    ("tx_words", "node_fibrechannel_tx_words_total", "Words sent."),
];

/// Where the families stand in the order of names: `info` comes after this many counters.
const BEFORE_INFO: usize = 3;

struct Host {
    name: Span,
    labels: [Span; LABELS.len()],
    counters: [Option<u64>; COUNTERS.len()],
}

/// A counter; all ones mean that the adapter does not count.
fn counter(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let value = if text.starts_with(b"0x") { scan::hex(text) } else { scan::unsigned(text) };
    value.filter(|&value| value != u64::MAX)
}

impl FibreChannel {
    fn read(&mut self) -> hostfs::Result<()> {
        self.hosts.clear();
        self.texts.clear();
        let class = Dir::open(&self.class)?;
        class.names(&mut self.names)?;
        for name in self.names.iter() {
            let Some(dir) = class.dir(name)? else { continue };
            let mut host = Host {
                name: self.texts.push(name.as_bytes()),
                labels: [Span::default(); LABELS.len()],
                counters: [None; COUNTERS.len()],
            };
            for (label, (attribute, is_hex)) in host.labels.iter_mut().zip(LABELS) {
                let Some(text) = dir.attribute(attribute, &mut self.buf)? else { continue };
                let text = text.trim_ascii();
                *label = self.texts.push(if is_hex && text.len() > 2 { &text[2..] } else { text });
            }
            if let Some(statistics) = dir.dir("statistics")? {
                for (value, (attribute, ..)) in host.counters.iter_mut().zip(COUNTERS) {
                    *value = statistics.attribute(attribute, &mut self.buf)?.and_then(counter);
                }
            }
            let is_blank = host.labels.iter().all(|label| label.is_empty());
            if is_blank && class.dir(name)?.is_none() {
                continue;
            }
            self.hosts.push(host);
        }
        Ok(())
    }

    fn write_counters(&self, out: &mut Text, range: std::ops::Range<usize>) {
        for i in range {
            let (_, name, help) = COUNTERS[i];
            let mut family = out.family(name, Kind::Counter, help);
            for host in &self.hosts {
                if let Some(value) = host.counters[i] {
                    family.sample(&[("fc_host", LabelValue::from(&self.texts[host.name]))], value);
                }
            }
        }
    }
}

impl Collector for FibreChannel {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        self.write_counters(out, 0..BEFORE_INFO);
        let mut info =
            out.family("node_fibrechannel_info", Kind::Gauge, "Texts that describe the host; always 1.");
        for host in &self.hosts {
            let label = |i: usize| (LABELS[i].0, LabelValue::from(&self.texts[host.labels[i]]));
            let fc_host = ("fc_host", LabelValue::from(&self.texts[host.name]));
            let labels = [
                label(0),
                label(1),
                fc_host,
                label(2),
                label(3),
                label(4),
                label(5),
                label(6),
                label(7),
                label(8),
                label(9),
            ];
            info.sample(&labels, 1u64);
        }
        info.sort();
        self.write_counters(out, BEFORE_INFO..COUNTERS.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn hosts_with_much_and_with_little() {
        let tree = Tree::new(&[
            ("sys/class/fc_host/host1/speed", "8 Gbit\n"),
            ("sys/class/fc_host/host0/dev_loss_tmo", "30\n"),
            ("sys/class/fc_host/host0/port_id", "0x000002\n"),
            ("sys/class/fc_host/host0/fabric_name", "0x0\n"),
            ("sys/class/fc_host/host0/port_state", "Online\n"),
            ("sys/class/fc_host/host0/statistics/dumped_frames", "0xffffffffffffffff\n"),
            ("sys/class/fc_host/host0/statistics/rx_frames", "0x3\n"),
            ("sys/class/fc_host/host0/statistics/tx_words", "0x\n"),
            ("sys/class/fc_host/host0/statistics/tx_frames", "12\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_fibrechannel_info{dev_loss_tmo=\"\",fabric_name=\"\",fc_host=\"host1\",port_id=\"\",port_name=\"\",port_state=\"\",port_type=\"\",speed=\"8 Gbit\",supported_classes=\"\",supported_speeds=\"\",symbolic_name=\"\"} 1\n\
             node_fibrechannel_info{dev_loss_tmo=\"30\",fabric_name=\"0\",fc_host=\"host0\",port_id=\"000002\",port_name=\"\",port_state=\"Online\",port_type=\"\",speed=\"\",supported_classes=\"\",supported_speeds=\"\",symbolic_name=\"\"} 1\n\
             node_fibrechannel_rx_frames_total{fc_host=\"host0\"} 3\n\
             node_fibrechannel_tx_frames_total{fc_host=\"host0\"} 12\n"
        );
    }

    #[test]
    fn no_class_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
