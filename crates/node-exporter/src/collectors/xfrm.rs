//! IPsec errors: the counters of `/proc/net/xfrm_stat`, see the kernel's Documentation/networking/xfrm_proc.rst.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "xfrm",
    on: false,
    help: "IPsec errors from /proc/net/xfrm_stat.",
    flags: &[],
    new: |flags| Ok(Box::new(Xfrm { file: paths::proc(flags).file("net/xfrm_stat"), buf: Buf::new() })),
};

/// Counters: the kernel's name, family, HELP.
const COUNTERS: [(&str, &str, &str); 28] = [
    (
        "XfrmAcquireError",
        "node_xfrm_acquire_error_packets_total",
        "Packets for which no association could be acquired.",
    ),
    ("XfrmFwdHdrError", "node_xfrm_fwd_hdr_error_packets_total", "Forwarded packets with a wrong header."),
    ("XfrmInBufferError", "node_xfrm_in_buffer_error_packets_total", "Packets dropped for want of a buffer."),
    (
        "XfrmInError",
        "node_xfrm_in_error_packets_total",
        "Packets dropped for a reason that has no counter of its own.",
    ),
    ("XfrmInHdrError", "node_xfrm_in_hdr_error_packets_total", "Packets with a wrong header."),
    (
        "XfrmInNoPols",
        "node_xfrm_in_no_pols_packets_total",
        "Packets for whose associations there is no policy.",
    ),
    ("XfrmInNoStates", "node_xfrm_in_no_states_packets_total", "Packets of no known security association."),
    ("XfrmInPolBlock", "node_xfrm_in_pol_block_packets_total", "Packets that a policy blocks."),
    ("XfrmInPolError", "node_xfrm_in_pol_error_packets_total", "Packets whose policy is in error."),
    (
        "XfrmInStateExpired",
        "node_xfrm_in_state_expired_packets_total",
        "Packets of an association that has expired.",
    ),
    (
        "XfrmInStateInvalid",
        "node_xfrm_in_state_invalid_packets_total",
        "Packets of an association that is not valid.",
    ),
    (
        "XfrmInStateMismatch",
        "node_xfrm_in_state_mismatch_packets_total",
        "Packets that do not fit the association's options.",
    ),
    (
        "XfrmInStateModeError",
        "node_xfrm_in_state_mode_error_packets_total",
        "Packets that the transformation's mode refused.",
    ),
    (
        "XfrmInStateProtoError",
        "node_xfrm_in_state_proto_error_packets_total",
        "Packets that the transformation's protocol refused, such as for a wrong key.",
    ),
    (
        "XfrmInStateSeqError",
        "node_xfrm_in_state_seq_error_packets_total",
        "Packets whose sequence number is out of the window.",
    ),
    (
        "XfrmInTmplMismatch",
        "node_xfrm_in_tmpl_mismatch_packets_total",
        "Packets whose associations fit no template of the policy.",
    ),
    (
        "XfrmOutBundleCheckError",
        "node_xfrm_out_bundle_check_error_packets_total",
        "Packets whose bundle failed its check.",
    ),
    (
        "XfrmOutBundleGenError",
        "node_xfrm_out_bundle_gen_error_packets_total",
        "Packets for which no bundle could be made.",
    ),
    (
        "XfrmOutError",
        "node_xfrm_out_error_packets_total",
        "Packets not sent for a reason that has no counter of its own.",
    ),
    ("XfrmOutNoStates", "node_xfrm_out_no_states_packets_total", "Packets without a security association."),
    (
        "XfrmOutPolBlock",
        "node_xfrm_out_pol_block_packets_total",
        "Packets that a policy blocks on their way out.",
    ),
    ("XfrmOutPolDead", "node_xfrm_out_pol_dead_packets_total", "Packets whose policy is dead."),
    (
        "XfrmOutPolError",
        "node_xfrm_out_pol_error_packets_total",
        "Packets whose policy is in error on their way out.",
    ),
    (
        "XfrmOutStateExpired",
        "node_xfrm_out_state_expired_packets_total",
        "Packets to go by an association that has expired.",
    ),
    (
        "XfrmOutStateInvalid",
        "node_xfrm_out_state_invalid_packets_total",
        "Packets to go by an association that is not valid.",
    ),
    (
        "XfrmOutStateModeError",
        "node_xfrm_out_state_mode_error_packets_total",
        "Packets that the transformation's mode could not send.",
    ),
    (
        "XfrmOutStateProtoError",
        "node_xfrm_out_state_proto_error_packets_total",
        "Packets that the transformation's protocol could not send.",
    ),
    (
        "XfrmOutStateSeqError",
        "node_xfrm_out_state_seq_error_packets_total",
        "Packets for which no sequence number was left.",
    ),
];

/// The counter whose line may lack its newline; in all others that tells of a cut.
const LAST: &[u8] = b"XfrmAcquireError";

struct Xfrm {
    file: File,
    buf: Buf,
}

impl Collector for Xfrm {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf).map_err(|error| Error::or_no_data(&error))?;
        let mut values = [None; COUNTERS.len()];
        let mut is_bad = false;
        let tail = bytes.rsplit(|&b| b == b'\n').next().filter(|tail| tail.starts_with(LAST));
        for line in scan::lines(bytes).chain(tail) {
            let mut fields = scan::fields(line);
            let key = fields.next().unwrap_or_default();
            // A counter that is not known is a later kernel's.
            let Some(index) = COUNTERS.iter().position(|(name, ..)| name.as_bytes() == key) else { continue };
            values[index] = fields.next_u64();
            is_bad |= values[index].is_none();
        }
        for ((_, family, help), value) in COUNTERS.into_iter().zip(values) {
            if let Some(value) = value {
                out.single(family, Kind::Counter, help, value);
            }
        }
        if is_bad || values.iter().all(Option::is_none) {
            return Err(self.file.malformed("lines of a counter's name and number").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn counters_that_are_there() {
        let text =
            "XfrmOutPolDead          \t7656\nXfrmNew 1\nXfrmInError             \t1\nXfrmAcquireError 24532";
        assert_eq!(
            Tree::new(&[("proc/net/xfrm_stat", text)]).samples(&ENTRY, &[]),
            "node_xfrm_acquire_error_packets_total 24532\nnode_xfrm_in_error_packets_total 1\n\
             node_xfrm_out_pol_dead_packets_total 7656\n"
        );
    }

    #[test]
    fn damage() {
        for (text, expected) in [
            ("", ""),
            ("\n", ""),
            ("XfrmInError\n", ""),
            ("XfrmInError 12", ""),
            ("XfrmInError -1\nXfrmInNoPols 2\n", "node_xfrm_in_no_pols_packets_total 2\n"),
        ] {
            let (samples, error) = Tree::new(&[("proc/net/xfrm_stat", text)]).collect(&ENTRY, &[]);
            assert_eq!(samples, expected);
            assert!(matches!(error, Some(Error::Failed(_))));
        }
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
