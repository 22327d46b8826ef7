//! InfiniBand devices and their ports: `/sys/class/infiniband/<device>/ports/<port>`, see the kernel's
//! Documentation/ABI/stable/sysfs-class-infiniband.
//!
//! The data counters are in units of four bytes, one for each lane of a link, and told in bytes. A counter that a driver does not
//! have (`N/A (no PMA)`, EINVAL, no file) is left out.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

const INCLUDE: &str = "collector.infiniband.device-include";
const EXCLUDE: &str = "collector.infiniband.device-exclude";

pub(crate) const ENTRY: Entry = Entry {
    name: "infiniband",
    on: true,
    help: "InfiniBand devices from /sys/class/infiniband.",
    flags: &[
        Flag::text(INCLUDE, "", "Pattern of devices to show."),
        Flag::text(EXCLUDE, "", "Pattern of devices to leave out."),
    ],
    new: |flags| {
        Ok(Box::new(InfiniBand {
            class: paths::sys(flags).join("class/infiniband"),
            filter: Filter::both(flags, INCLUDE, EXCLUDE)?,
            known: Memo::default(),
            names: Names::new(),
            port_names: Names::new(),
            texts: Arena::new(),
            devices: Vec::new(),
            ports: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct InfiniBand {
    class: PathBuf,
    filter: Filter,
    known: Memo,
    names: Names,
    port_names: Names,
    texts: Arena,
    devices: Vec<Device>,
    ports: Vec<Port>,
    buf: Buf,
}

struct Device {
    name: Span,
    board_id: Span,
    firmware_version: Span,
    hca_type: Span,
}

struct Port {
    device: Span,
    port: Span,
    values: [Option<f64>; FAMILIES.len()],
}

/// The directory below a port's in which a counter is, or how else a value is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The port's own; the number before the colon.
    State,
    /// The port's own; Gbit/s, told in bytes.
    Rate,
    Counters,
    /// `counters`, in units of four bytes.
    CountersFour,
    /// `counters_ext`, of kernels before 4.5.
    Extended,
    /// `counters_ext`, in units of four bytes.
    ExtendedFour,
    Hardware,
    /// `hw_counters`, in milliseconds.
    HardwareMillis,
}

/// Place, file, family, HELP; in order of the families' names, `info` coming after [`BEFORE_INFO`] of them.
const FAMILIES: [(Place, &str, &str, &str); 63] = {
    use Place::*;
    [
        (
            Hardware,
            "duplicate_request",
            "node_infiniband_duplicate_requests_packets_total",
            "Requests received that were carried out before.",
        ),
        (
            Counters,
            "excessive_buffer_overrun_errors",
            "node_infiniband_excessive_buffer_overrun_errors_total",
            "How often buffers overran in several flow control periods running.",
        ),
        (
            Hardware,
            "implied_nak_seq_err",
            "node_infiniband_implied_nak_seq_errors_total",
            "Acknowledgements beyond the expected sequence number of a read or response.",
        ),
        (
            ExtendedFour,
            "port_rcv_data_64",
            "node_infiniband_legacy_data_received_bytes_total",
            "Bytes received, from counters_ext.",
        ),
        (
            ExtendedFour,
            "port_xmit_data_64",
            "node_infiniband_legacy_data_transmitted_bytes_total",
            "Bytes sent, from counters_ext.",
        ),
        (
            Extended,
            "port_multicast_rcv_packets",
            "node_infiniband_legacy_multicast_packets_received_total",
            "Multicast packets received, from counters_ext.",
        ),
        (
            Extended,
            "port_multicast_xmit_packets",
            "node_infiniband_legacy_multicast_packets_transmitted_total",
            "Multicast packets sent, from counters_ext.",
        ),
        (
            Extended,
            "port_rcv_packets_64",
            "node_infiniband_legacy_packets_received_total",
            "Packets received, from counters_ext.",
        ),
        (
            Extended,
            "port_xmit_packets_64",
            "node_infiniband_legacy_packets_transmitted_total",
            "Packets sent, from counters_ext.",
        ),
        (
            Extended,
            "port_unicast_rcv_packets",
            "node_infiniband_legacy_unicast_packets_received_total",
            "Unicast packets received, from counters_ext.",
        ),
        (
            Extended,
            "port_unicast_xmit_packets",
            "node_infiniband_legacy_unicast_packets_transmitted_total",
            "Unicast packets sent, from counters_ext.",
        ),
        (
            HardwareMillis,
            "lifespan",
            "node_infiniband_lifespan_seconds",
            "Longest age of the hardware counters, in seconds.",
        ),
        (
            Counters,
            "link_downed",
            "node_infiniband_link_downed_total",
            "How often the link failed to recover and went down.",
        ),
        (
            Counters,
            "link_error_recovery",
            "node_infiniband_link_error_recovery_total",
            "How often the link recovered from an error.",
        ),
        (
            Hardware,
            "local_ack_timeout_err",
            "node_infiniband_local_ack_timeout_errors_total",
            "How often the acknowledgement timer of a requester ran out.",
        ),
        (
            Counters,
            "local_link_integrity_errors",
            "node_infiniband_local_link_integrity_errors_total",
            "How often physical errors of the link passed the threshold.",
        ),
        (
            Counters,
            "multicast_rcv_packets",
            "node_infiniband_multicast_packets_received_total",
            "Multicast packets received, with errors or without.",
        ),
        (
            Counters,
            "multicast_xmit_packets",
            "node_infiniband_multicast_packets_transmitted_total",
            "Multicast packets sent, with errors or without.",
        ),
        (
            Hardware,
            "np_cnp_sent",
            "node_infiniband_np_cnp_packets_sent_total",
            "Congestion notifications sent.",
        ),
        (
            Hardware,
            "np_ecn_marked_roce_packets",
            "node_infiniband_np_ecn_marked_roce_packets_received_total",
            "RoCE packets received that were marked for congestion.",
        ),
        (
            Hardware,
            "out_of_buffer",
            "node_infiniband_out_of_buffer_drops_total",
            "Packets dropped for want of receive work requests.",
        ),
        (
            Hardware,
            "out_of_sequence",
            "node_infiniband_out_of_sequence_packets_received_total",
            "Packets received out of sequence.",
        ),
        (
            Hardware,
            "packet_seq_err",
            "node_infiniband_packet_sequence_errors_total",
            "Negative acknowledgements received for a sequence error.",
        ),
        (
            State,
            "phys_state",
            "node_infiniband_physical_state_id",
            "Physical state of the port: 1 sleep, 2 polling, 3 disabled, 4 training, 5 link up, 6 recovery, 7 test.",
        ),
        (
            Counters,
            "port_rcv_constraint_errors",
            "node_infiniband_port_constraint_errors_received_total",
            "Packets discarded on receipt by a switch's port.",
        ),
        (
            Counters,
            "port_xmit_constraint_errors",
            "node_infiniband_port_constraint_errors_transmitted_total",
            "Packets not sent by a switch's port.",
        ),
        (CountersFour, "port_rcv_data", "node_infiniband_port_data_received_bytes_total", "Bytes received."),
        (CountersFour, "port_xmit_data", "node_infiniband_port_data_transmitted_bytes_total", "Bytes sent."),
        (
            Counters,
            "port_rcv_discards",
            "node_infiniband_port_discards_received_total",
            "Packets discarded on receipt because the port was down or congested.",
        ),
        (
            Counters,
            "port_xmit_discards",
            "node_infiniband_port_discards_transmitted_total",
            "Packets not sent because the port was down or congested.",
        ),
        (
            Counters,
            "port_rcv_errors",
            "node_infiniband_port_errors_received_total",
            "Packets received with an error.",
        ),
        (
            Counters,
            "port_rcv_packets",
            "node_infiniband_port_packets_received_total",
            "Packets received, with errors or without.",
        ),
        (
            Counters,
            "port_xmit_packets",
            "node_infiniband_port_packets_transmitted_total",
            "Packets sent, with errors or without.",
        ),
        (
            Counters,
            "port_rcv_remote_physical_errors",
            "node_infiniband_port_receive_remote_physical_errors_total",
            "Packets received that another node had marked as bad.",
        ),
        (
            Counters,
            "port_rcv_switch_relay_errors",
            "node_infiniband_port_receive_switch_relay_errors_total",
            "Packets that a switch could not pass on.",
        ),
        (
            Counters,
            "port_xmit_wait",
            "node_infiniband_port_transmit_wait_total",
            "Ticks for which there was data to send and none could be sent.",
        ),
        (
            Rate,
            "rate",
            "node_infiniband_rate_bytes_per_second",
            "Highest speed of the port, in bytes per second.",
        ),
        (
            Hardware,
            "req_cqe_error",
            "node_infiniband_req_cqes_errors_total",
            "Requests that completed with an error.",
        ),
        (
            Hardware,
            "req_cqe_flush_error",
            "node_infiniband_req_cqes_flush_errors_total",
            "Requests that completed with a flush error.",
        ),
        (
            Hardware,
            "req_remote_access_errors",
            "node_infiniband_req_remote_access_errors_total",
            "Requests that were refused access at the other end.",
        ),
        (
            Hardware,
            "req_remote_invalid_request",
            "node_infiniband_req_remote_invalid_request_errors_total",
            "Requests that the other end called invalid.",
        ),
        (
            Hardware,
            "resp_cqe_error",
            "node_infiniband_resp_cqes_errors_total",
            "Responses that completed with an error.",
        ),
        (
            Hardware,
            "resp_cqe_flush_error",
            "node_infiniband_resp_cqes_flush_errors_total",
            "Responses that completed with a flush error.",
        ),
        (
            Hardware,
            "resp_local_length_error",
            "node_infiniband_resp_local_length_errors_total",
            "Responses with a wrong length.",
        ),
        (
            Hardware,
            "resp_remote_access_errors",
            "node_infiniband_resp_remote_access_errors_total",
            "Responses that refused access.",
        ),
        (
            Hardware,
            "rnr_nak_retry_err",
            "node_infiniband_rnr_nak_retry_packets_received_total",
            "Receiver-not-ready answers received.",
        ),
        (
            Hardware,
            "roce_adp_retrans_to",
            "node_infiniband_roce_adp_retransmits_timeout_total",
            "Timeouts of adaptive RoCE retransmissions.",
        ),
        (
            Hardware,
            "roce_adp_retrans",
            "node_infiniband_roce_adp_retransmits_total",
            "Adaptive RoCE retransmissions.",
        ),
        (
            Hardware,
            "roce_slow_restart_cnps",
            "node_infiniband_roce_slow_restart_cnps_total",
            "Congestion notifications of RoCE slow restarts.",
        ),
        (
            Hardware,
            "roce_slow_restart_trans",
            "node_infiniband_roce_slow_restart_total",
            "How often RoCE changed to slow restart.",
        ),
        (
            Hardware,
            "roce_slow_restart",
            "node_infiniband_roce_slow_restart_used_total",
            "How often RoCE slow restart was used.",
        ),
        (
            Hardware,
            "rp_cnp_ignored",
            "node_infiniband_rp_cnp_ignored_packets_received_total",
            "Congestion notifications received and ignored.",
        ),
        (
            Hardware,
            "rp_cnp_handled",
            "node_infiniband_rp_cnp_packets_handled_total",
            "Congestion notifications that slowed the sender down.",
        ),
        (
            Hardware,
            "rx_atomic_requests",
            "node_infiniband_rx_atomic_requests_total",
            "Atomic requests received.",
        ),
        (
            Hardware,
            "rx_dct_connect",
            "node_infiniband_rx_dct_connect_requests_total",
            "Connection requests received.",
        ),
        (
            Hardware,
            "rx_icrc_encapsulated",
            "node_infiniband_rx_icrc_encapsulated_errors_total",
            "RoCE packets with a wrong invariant checksum.",
        ),
        (Hardware, "rx_read_requests", "node_infiniband_rx_read_requests_total", "Read requests received."),
        (
            Hardware,
            "rx_write_requests",
            "node_infiniband_rx_write_requests_total",
            "Write requests received.",
        ),
        (
            State,
            "state",
            "node_infiniband_state_id",
            "State of the port: 1 down, 2 initialising, 3 armed, 4 active, 5 active but deferred.",
        ),
        (Counters, "symbol_error", "node_infiniband_symbol_error_total", "Minor errors on the lanes."),
        (
            Counters,
            "unicast_rcv_packets",
            "node_infiniband_unicast_packets_received_total",
            "Unicast packets received, with errors or without.",
        ),
        (
            Counters,
            "unicast_xmit_packets",
            "node_infiniband_unicast_packets_transmitted_total",
            "Unicast packets sent, with errors or without.",
        ),
        (
            Counters,
            "VL15_dropped",
            "node_infiniband_vl15_dropped_total",
            "Packets of virtual lane 15 dropped for want of resources.",
        ),
    ]
};

const BEFORE_INFO: usize = 3;

impl InfiniBand {
    fn read(&mut self) -> hostfs::Result<()> {
        let InfiniBand { class, filter, known, names, port_names, texts, devices, ports, buf } = self;
        texts.clear();
        devices.clear();
        ports.clear();
        let class = Dir::open(class)?;
        class.names(names)?;
        for name in names.iter() {
            if !known.check(name.as_bytes(), |name| filter.passes(name)) {
                continue;
            }
            let Some(dir) = class.dir(name)? else { continue };
            let mut device = Device {
                name: texts.push(name.as_bytes()),
                board_id: Span::default(),
                firmware_version: Span::default(),
                hca_type: Span::default(),
            };
            for (place, attribute) in [
                (&mut device.board_id, "board_id"),
                (&mut device.firmware_version, "fw_ver"),
                (&mut device.hca_type, "hca_type"),
            ] {
                if let Some(text) = dir.attribute(attribute, buf)? {
                    *place = texts.push(text.trim_ascii());
                }
            }
            // A device that went meanwhile has no ports either.
            let Some(dir) = dir.dir("ports")? else { continue };
            dir.names(port_names)?;
            for name in port_names.iter() {
                // Labels are numbers in the original.
                if scan::unsigned(name.as_bytes()).is_none() {
                    continue;
                }
                let Some(dir) = dir.dir(name)? else { continue };
                let port = texts.push(name.as_bytes());
                ports.push(Port { device: device.name, port, values: read_port(&dir, buf)? });
            }
            devices.push(device);
        }
        Ok(())
    }

    fn write_ports(&self, out: &mut Text, range: std::ops::Range<usize>) {
        for i in range {
            let (place, _, name, help) = FAMILIES[i];
            let mut family = out.family(name, place.kind(), help);
            for port in &self.ports {
                let Some(value) = port.values[i] else { continue };
                let labels = [
                    ("device", LabelValue::from(&self.texts[port.device])),
                    ("port", LabelValue::from(&self.texts[port.port])),
                ];
                family.sample(&labels, value);
            }
        }
    }
}

impl Place {
    fn directory(self) -> Option<&'static str> {
        match self {
            Place::State | Place::Rate => None,
            Place::Counters | Place::CountersFour => Some("counters"),
            Place::Extended | Place::ExtendedFour => Some("counters_ext"),
            Place::Hardware | Place::HardwareMillis => Some("hw_counters"),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Place::State | Place::Rate | Place::HardwareMillis => Kind::Gauge,
            _ => Kind::Counter,
        }
    }

    fn parse(self, text: &[u8]) -> Option<f64> {
        match self {
            Place::State => scan::value(scan::split_once(text, b':')?.0).map(|id| id as f64),
            Place::Rate => rate(text),
            Place::Counters | Place::Extended | Place::Hardware => counter(text).map(|count| count as f64),
            Place::CountersFour | Place::ExtendedFour => {
                counter(text).map(|words| words.wrapping_mul(4) as f64)
            }
            Place::HardwareMillis => counter(text).map(|millis| millis as f64 / 1000.0),
        }
    }
}

fn read_port(dir: &Dir, buf: &mut Buf) -> hostfs::Result<[Option<f64>; FAMILIES.len()]> {
    let mut values = [None; FAMILIES.len()];
    for directory in [None, Some("counters"), Some("counters_ext"), Some("hw_counters")] {
        let below = match directory {
            None => None,
            Some(name) => match dir.dir(name)? {
                None => continue,
                below => below,
            },
        };
        for (value, (place, file, ..)) in values.iter_mut().zip(FAMILIES) {
            if place.directory() == directory {
                let text = below.as_ref().unwrap_or(dir).attribute(file, buf)?;
                *value = text.and_then(|text| place.parse(text));
            }
        }
    }
    Ok(values)
}

fn counter(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.starts_with(b"0x") { scan::hex(text) } else { scan::unsigned(text) }
}

/// `40 Gb/sec (4X QDR)` in bytes per second, whole ones.
fn rate(text: &[u8]) -> Option<f64> {
    const BYTES_PER_GIGABIT: f64 = 125_000_000.0;
    let (number, unit) = scan::split_once(text, b' ')?;
    let gigabits = scan::float(number)? as f32;
    (gigabits >= 0.0 && unit.starts_with(b"Gb/sec"))
        .then(|| (f64::from(gigabits) * BYTES_PER_GIGABIT).trunc())
}

impl Collector for InfiniBand {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        self.write_ports(out, 0..BEFORE_INFO);
        let mut info =
            out.family("node_infiniband_info", Kind::Gauge, "Texts that describe the device; always 1.");
        let text = |span: Span| LabelValue::from(&self.texts[span]);
        for device in &self.devices {
            let labels = [
                ("board_id", text(device.board_id)),
                ("device", text(device.name)),
                ("firmware_version", text(device.firmware_version)),
                ("hca_type", text(device.hca_type)),
            ];
            info.sample(&labels, 1u64);
        }
        info.sort();
        self.write_ports(out, BEFORE_INFO..FAMILIES.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn the_families_are_in_order() {
        assert!(FAMILIES.is_sorted_by(|a, b| a.2 < b.2));
        let info = "node_infiniband_info";
        assert!(FAMILIES[BEFORE_INFO - 1].2 < info && info < FAMILIES[BEFORE_INFO].2);
    }

    #[test]
    fn devices_ports_and_counters() {
        let port = "sys/class/infiniband/mlx5_0/ports/1";
        let tree = Tree::new(&[
            ("sys/class/infiniband/mlx5_0/fw_ver", "16.35.1012\n"),
            ("sys/class/infiniband/mlx5_0/board_id", "MT_\"1\"\n"),
            (&format!("{port}/state"), "4: ACTIVE\n"),
            (&format!("{port}/phys_state"), "LinkUp\n"),
            (&format!("{port}/rate"), "2.5 Gb/sec (1X SDR)\n"),
            (&format!("{port}/counters/port_rcv_data"), "18446744073709551615\n"),
            (&format!("{port}/counters/port_xmit_data"), "8\n"),
            (&format!("{port}/counters/link_downed"), "N/A (no PMA)\n"),
            (&format!("{port}/counters/symbol_error"), "99999999999999999999\n"),
            (&format!("{port}/counters/VL15_dropped"), "0x10\n"),
            (&format!("{port}/counters_ext/port_rcv_packets_64"), "7\n"),
            (&format!("{port}/hw_counters/lifespan"), "10\n"),
            (&format!("{port}/hw_counters/out_of_buffer"), "3\n"),
            ("sys/class/infiniband/mlx5_0/ports/10/state", "1: DOWN\n"),
            ("sys/class/infiniband/mlx5_0/ports/x/state", "1: DOWN\n"),
            ("sys/class/infiniband/other/ports/1/state", "1: DOWN\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &["--collector.infiniband.device-exclude=^other"]),
            "node_infiniband_info{board_id=\"MT_\\\"1\\\"\",device=\"mlx5_0\",firmware_version=\"16.35.1012\",hca_type=\"\"} 1\n\
             node_infiniband_legacy_packets_received_total{device=\"mlx5_0\",port=\"1\"} 7\n\
             node_infiniband_lifespan_seconds{device=\"mlx5_0\",port=\"1\"} 0.01\n\
             node_infiniband_out_of_buffer_drops_total{device=\"mlx5_0\",port=\"1\"} 3\n\
             node_infiniband_port_data_received_bytes_total{device=\"mlx5_0\",port=\"1\"} 1.8446744073709552e+19\n\
             node_infiniband_port_data_transmitted_bytes_total{device=\"mlx5_0\",port=\"1\"} 32\n\
             node_infiniband_rate_bytes_per_second{device=\"mlx5_0\",port=\"1\"} 3.125e+08\n\
             node_infiniband_state_id{device=\"mlx5_0\",port=\"1\"} 4\n\
             node_infiniband_state_id{device=\"mlx5_0\",port=\"10\"} 1\n\
             node_infiniband_vl15_dropped_total{device=\"mlx5_0\",port=\"1\"} 16\n"
        );
        assert_eq!(tree.samples(&ENTRY, &["--collector.infiniband.device-include=^x"]), "");
    }

    #[test]
    fn no_class_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
