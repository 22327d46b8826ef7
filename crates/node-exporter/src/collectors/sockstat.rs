//! Sockets of the exporter's network namespace: `/proc/net/sockstat` and `/proc/net/sockstat6`, see sockets in proc_net(5).
//!
//! A line is a protocol and pairs of a word and a number. Memory is counted in pages, except for fragments (`memory`, in bytes); what is in pages
//! goes out in bytes too. A kernel without IPv4 or IPv6 lacks the file, which is no fault.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, Gone, Names, scan};

use super::vmstat::is_name;
use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "sockstat",
    on: true,
    help: "Sockets in use from /proc/net/sockstat and sockstat6.",
    flags: &[],
    new: |flags| {
        let proc = paths::proc(flags);
        Ok(Box::new(SockStat {
            v4: (proc.file("net/sockstat"), Buf::new()),
            v6: (proc.file("net/sockstat6"), Buf::new()),
            written: Names::new(),
            page_size: hostfs::sys::page_size(),
            name: PREFIX.to_vec(),
            help: Vec::new(),
        }))
    },
};

struct SockStat {
    v4: (File, Buf),
    v6: (File, Buf),
    /// Protocols whose families are written.
    written: Names,
    /// In bytes.
    page_size: u64,
    /// Begins with [`PREFIX`].
    name: Vec<u8>,
    help: Vec<u8>,
}

const PREFIX: &[u8] = b"node_sockstat_";

/// Word, and what the HELP says of it.
const WORDS: [(&[u8], &str); 7] = [
    (b"used", ": sockets in use."),
    (b"inuse", ": sockets in use."),
    (b"orphan", ": sockets without a process."),
    (b"tw", ": sockets in state TIME_WAIT."),
    (b"alloc", ": sockets that have memory."),
    (b"mem", ": memory in pages."),
    (b"memory", ": memory in bytes."),
];

const FORM: &str = "lines of a protocol and pairs of a word and a number";

impl Collector for SockStat {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let v4 = self.v4.0.read(&mut self.v4.1).gone_is_none()?;
        let v6 = self.v6.0.read(&mut self.v6.1).gone_is_none()?;
        for (file, bytes) in [(&self.v4.0, v4), (&self.v6.0, v6)] {
            if bytes.is_some_and(|bytes| !scan::lines(bytes).any(|line| protocol(line).is_some())) {
                return Err(file.malformed(FORM).into());
            }
        }
        self.written.clear();
        let (v4, v6) = (v4.unwrap_or_default(), v6.unwrap_or_default());
        for line in scan::lines(v4).chain(scan::lines(v6)) {
            let Some((protocol, mut fields)) = protocol(line) else { continue };
            if self.written.iter().any(|name| name.as_encoded_bytes() == protocol) {
                continue;
            }
            self.written.push(protocol);
            let mut words_written = [false; WORDS.len()];
            while let (Some(word), Some(value)) = (fields.next(), fields.next()) {
                let (known, value) = (WORDS.iter().position(|known| known.0 == word), scan::unsigned(value));
                let (Some(at), Some(value)) = (known, value) else { continue };
                if std::mem::replace(&mut words_written[at], true) {
                    continue;
                }
                let (word, help) = WORDS[at];
                if protocol == b"sockets" {
                    if word == b"used" {
                        out.single("node_sockstat_sockets_used", Kind::Gauge, "Sockets in use.", value);
                    }
                    continue;
                }
                let mut single = |word: &[u8], help: &str, value: u64| {
                    self.name.truncate(PREFIX.len());
                    self.name.extend_from_slice(protocol);
                    self.name.push(b'_');
                    self.name.extend_from_slice(word);
                    self.help.clear();
                    self.help.extend_from_slice(protocol);
                    self.help.extend_from_slice(help.as_bytes());
                    out.family_bytes(&self.name, Kind::Gauge, &self.help).sample(&[], value);
                };
                single(word, help, value);
                if word == b"mem"
                    && let Some(bytes) = value.checked_mul(self.page_size)
                {
                    single(b"mem_bytes", ": memory in bytes.", bytes);
                }
            }
        }
        Ok(())
    }
}

/// The protocol of a line, and what follows it.
fn protocol(line: &[u8]) -> Option<(&[u8], scan::Fields<'_>)> {
    let mut fields = scan::fields(line);
    let protocol = fields.next()?.strip_suffix(b":").filter(|name| is_name(name))?;
    Some((protocol, fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn pairs_of_both_files_and_memory_in_bytes() {
        let tree = Tree::new(&[
            (
                "proc/net/sockstat",
                "sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 3\nUDPLITE: inuse 0\nFRAG: inuse 0 memory 5\n",
            ),
            ("proc/net/sockstat6", "TCP6: inuse 17\n"),
        ]);
        let page = hostfs::sys::page_size();
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_sockstat_", ""),
            format!(
                "sockets_used 229\nTCP_inuse 4\nTCP_orphan 0\nTCP_tw 4\nTCP_alloc 17\nTCP_mem 3\nTCP_mem_bytes {}\n\
                 UDPLITE_inuse 0\nFRAG_inuse 0\nFRAG_memory 5\nTCP6_inuse 17\n",
                3 * page
            )
        );
    }

    #[test]
    fn bad_numbers_and_new_words_are_left_out_and_names_come_once() {
        let tree = Tree::new(&[(
            "proc/net/sockstat",
            "sockets: used -1\nTCP: inuse x orphan 99999999999999999999 tw 4 tw 5 new 1 mem 18446744073709551615 odd\n\
             TCP: inuse 9\nU\"P: inuse 1\nUDP: inuse 1",
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_sockstat_", ""),
            "TCP_tw 4\nTCP_mem 1.8446744073709552e+19\n"
        );
    }

    #[test]
    fn a_missing_file_is_no_fault_and_garbage_is() {
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
        for contents in ["", "\n", "TCP", "TCP: inuse 4", "\u{0}\n"] {
            let tree = Tree::new(&[("proc/net/sockstat6", contents)]);
            assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::Failed(_))), "{contents:?}");
        }
    }
}
