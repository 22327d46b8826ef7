//! Replicated block devices of DRBD 8: the words of `/proc/drbd`, see drbd.conf(5) and DRBD's user guide.
//!
//! A word `<n>:` starts a device; the words after it are keys and values. Sizes are in KiB. The count of bytes received is left as it
//! is in the original, which does not scale it, so that series go on; see the HELP text.

use std::io::Write;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "drbd",
    on: false,
    help: "Replicated block devices from /proc/drbd.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Drbd {
            file: paths::proc(flags).file("drbd"),
            devices: Vec::new(),
            texts: Arena::new(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

const KIB: u64 = 1024;

/// Numbers: key, family, type, factor, HELP.
const NUMBERS: [(&str, &str, Kind, u64, &str); 12] = [
    ("al", "node_drbd_activitylog_writes_total", Kind::Counter, 1, "Updates of the activity log."),
    ("ap", "node_drbd_application_pending", Kind::Gauge, 1, "Requests of applications not answered yet."),
    ("bm", "node_drbd_bitmap_writes_total", Kind::Counter, 1, "Updates of the bitmap."),
    ("dr", "node_drbd_disk_read_bytes_total", Kind::Counter, KIB, "Data read from the local disk, in bytes."),
    (
        "dw",
        "node_drbd_disk_written_bytes_total",
        Kind::Counter,
        KIB,
        "Data written to the local disk, in bytes.",
    ),
    ("ep", "node_drbd_epochs", Kind::Gauge, 1, "Epochs under way."),
    ("lo", "node_drbd_local_pending", Kind::Gauge, 1, "Requests open at the local disk."),
    (
        "nr",
        "node_drbd_network_received_bytes_total",
        Kind::Counter,
        1,
        "Data received from the peer, in KiB in spite of the name.",
    ),
    ("ns", "node_drbd_network_sent_bytes_total", Kind::Counter, KIB, "Data sent to the peer, in bytes."),
    ("oos", "node_drbd_out_of_sync_bytes", Kind::Gauge, KIB, "Data known to be out of sync, in bytes."),
    ("pe", "node_drbd_remote_pending", Kind::Gauge, 1, "Requests to the peer not answered yet."),
    ("ua", "node_drbd_remote_unacknowledged", Kind::Gauge, 1, "Requests of the peer not answered yet."),
];

/// Pairs of words, one of this node and one of the peer: key, word that counts as 1, family, HELP.
const PAIRS: [(&str, &str, &str, &str); 2] = [
    (
        "ds",
        "UpToDate",
        "node_drbd_disk_state_is_up_to_date",
        "Whether the node's disk is up to date: 1 or 0.",
    ),
    ("ro", "Primary", "node_drbd_node_role_is_primary", "Whether the node's role is primary: 1 or 0."),
];

const NODES: [&str; 2] = ["local", "remote"];

struct Drbd {
    file: File,
    devices: Vec<Device>,
    texts: Arena,
    scratch: Vec<u8>,
    buf: Buf,
}

#[derive(Default)]
struct Device {
    name: Span,
    is_connected: Option<bool>,
    numbers: [Option<u64>; NUMBERS.len()],
    pairs: [[Option<bool>; 2]; PAIRS.len()],
}

impl Collector for Drbd {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let Drbd { file, devices, texts, scratch, buf } = self;
        let bytes = file.read(buf).map_err(|error| Error::or_no_data(&error))?;
        devices.clear();
        texts.clear();
        let mut is_bad = !bytes.starts_with(b"version:");
        for word in scan::lines(bytes).flat_map(scan::fields) {
            let Some((key, value)) = scan::split_once(word, b':') else { continue };
            if let (Some(number), b"") = (scan::unsigned(key), value) {
                scratch.clear();
                // Writing into a Vec cannot fail.
                let _ = write!(scratch, "drbd{number}");
                devices.push(Device { name: texts.push(scratch), ..Device::default() });
            } else if let Some(device) = devices.last_mut() {
                is_bad |= !device.set(key, value);
            }
        }
        devices.sort_unstable_by(|a, b| texts[a.name].cmp(&texts[b.name]));
        devices.dedup_by(|a, b| texts[a.name] == texts[b.name]);
        let text = |span: Span| LabelValue::from(&texts[span]);

        let mut family =
            out.family("node_drbd_connected", Kind::Gauge, "Whether the device has its peer: 1 or 0.");
        for device in devices.iter() {
            if let Some(is_connected) = device.is_connected {
                family.sample(&[("device", text(device.name))], is_connected);
            }
        }
        drop(family);
        for (index, (_, name, kind, _, help)) in NUMBERS.into_iter().enumerate() {
            let mut family = out.family(name, kind, help);
            for device in devices.iter() {
                if let Some(value) = device.numbers[index] {
                    family.sample(&[("device", text(device.name))], value);
                }
            }
        }
        for (index, (_, _, name, help)) in PAIRS.into_iter().enumerate() {
            let mut family = out.family(name, Kind::Gauge, help);
            for device in devices.iter() {
                for (node, state) in NODES.into_iter().zip(device.pairs[index]) {
                    if let Some(state) = state {
                        family.sample(&[("device", text(device.name)), ("node", node.into())], state);
                    }
                }
            }
        }
        if is_bad { Err(file.malformed("a version, and devices of keys and numbers").into()) } else { Ok(()) }
    }
}

impl Device {
    /// Takes a value if its key is known; `false` if it is damaged.
    fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        if key == b"cs" {
            self.is_connected = Some(value == b"Connected");
        } else if let Some(index) = NUMBERS.iter().position(|(name, ..)| name.as_bytes() == key) {
            let factor = NUMBERS[index].3;
            self.numbers[index] = scan::unsigned(value).and_then(|number| number.checked_mul(factor));
            return self.numbers[index].is_some();
        } else if let Some(index) = PAIRS.iter().position(|(name, ..)| name.as_bytes() == key) {
            let Some((local, remote)) = scan::split_once(value, b'/') else { return false };
            self.pairs[index] = [local, remote].map(|word| Some(word == PAIRS[index].1.as_bytes()));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEAD: &str = "version: 8.4.3 (api:1/proto:86-101)\nsrcversion: 1A9F77B1CA5FF92235C2213 \n\n";

    #[test]
    fn devices_in_order_of_their_names() {
        let text = format!(
            "{HEAD} 2: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n    ns:2 nr:3 oos:4 wo:d\n\
             10: cs:Connected\n    al:7\n"
        );
        assert_eq!(
            Tree::new(&[("proc/drbd", &text)]).samples(&ENTRY, &[]),
            "node_drbd_connected{device=\"drbd10\"} 1\n\
             node_drbd_connected{device=\"drbd2\"} 0\n\
             node_drbd_activitylog_writes_total{device=\"drbd10\"} 7\n\
             node_drbd_network_received_bytes_total{device=\"drbd2\"} 3\n\
             node_drbd_network_sent_bytes_total{device=\"drbd2\"} 2048\n\
             node_drbd_out_of_sync_bytes{device=\"drbd2\"} 4096\n\
             node_drbd_disk_state_is_up_to_date{device=\"drbd2\",node=\"local\"} 1\n\
             node_drbd_disk_state_is_up_to_date{device=\"drbd2\",node=\"remote\"} 0\n\
             node_drbd_node_role_is_primary{device=\"drbd2\",node=\"local\"} 1\n\
             node_drbd_node_role_is_primary{device=\"drbd2\",node=\"remote\"} 0\n"
        );
    }

    #[test]
    fn damage_is_left_out_and_told() {
        for (text, expected) in [
            (String::new(), ""),
            ("\n".to_owned(), ""),
            (format!("{HEAD} 1: al:x ep:1 ro:Primary\n"), "node_drbd_epochs{device=\"drbd1\"} 1\n"),
            (format!("{HEAD} 1: dw:18446744073709551615 ep:1\n"), "node_drbd_epochs{device=\"drbd1\"} 1\n"),
        ] {
            let (samples, error) = Tree::new(&[("proc/drbd", &text)]).collect(&ENTRY, &[]);
            assert_eq!(samples, expected);
            assert!(matches!(error, Some(Error::Failed(_))), "{text:?}");
        }
        assert_eq!(Tree::new(&[("proc/drbd", &format!("{HEAD}ns:1\n 1: al:1"))]).samples(&ENTRY, &[]), "");
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
