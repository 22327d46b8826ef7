//! Interrupts per CPU and line: `/proc/interrupts`, see the kernel's Documentation/filesystems/proc.rst.
//!
//! A heading with the online CPUs, then a line per interrupt: its name, a count per CPU, and words of which a numbered interrupt's first
//! is the chip (`info`) and the rest the trigger and the `devices`, while for a named one all are `info`. Lines with no words (ERR, MIS) are
//! totals and are left out. A big machine's table has megabytes.

use std::time::Instant;

use exporter::filter::{Filter, Memo};
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::{cpus, paths};

const INCLUDE: &str = "collector.interrupts.name-include";
const EXCLUDE: &str = "collector.interrupts.name-exclude";
const ZEROS: &str = "collector.interrupts.include-zeros";
const CAP: usize = 16 << 20;

pub(crate) const ENTRY: Entry = Entry {
    name: "interrupts",
    on: false,
    help: "Interrupts per CPU from /proc/interrupts.",
    flags: &[
        Flag::text(INCLUDE, "", "Pattern of interrupts to show, matched on name;info;devices."),
        Flag::text(EXCLUDE, "", "Pattern of interrupts to leave out, matched on name;info;devices."),
        Flag::switch(ZEROS, true, "Export counts of 0."),
    ],
    new: |flags| {
        let filtered = !flags.text(INCLUDE).is_empty() || !flags.text(EXCLUDE).is_empty();
        Ok(Box::new(Interrupts {
            file: paths::proc(flags).file("interrupts").with_cap(CAP),
            filter: if filtered { Some(Filter::both(flags, INCLUDE, EXCLUDE)?) } else { None },
            known: Memo::default(),
            name: Vec::new(),
            zeros: flags.switch(ZEROS),
            buf: Buf::new(),
            table: Table::default(),
        }))
    },
};

struct Interrupts {
    file: File,
    filter: Option<Filter>,
    known: Memo,
    /// Where names for the filter are put together.
    name: Vec<u8>,
    zeros: bool,
    buf: Buf,
    table: Table,
}

#[derive(Default)]
struct Table {
    /// The CPU of each column, and the column, in label order.
    cpus: Vec<(u32, u32)>,
    /// In the kernel's order.
    lines: Vec<Line>,
    /// Indices of lines in label order. Kept from scrape to scrape, as it hardly ever changes.
    order: Vec<u32>,
    counts: Vec<u64>,
    texts: Arena,
    /// Where words are put together.
    words: Vec<u8>,
}

struct Line {
    name: Span,
    info: Span,
    devices: Span,
    /// Index of the first count.
    first: usize,
}

impl Collector for Interrupts {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let bytes = self.file.read(&mut self.buf)?;
        let table = &mut self.table;
        table.parse(bytes).ok_or_else(|| self.file.malformed("a heading of CPUs and lines of counts"))?;
        if let Some(filter) = &self.filter {
            let (texts, known, name) = (&table.texts, &mut self.known, &mut self.name);
            table.lines.retain(|line| {
                name.clear();
                for (i, part) in [line.name, line.info, line.devices].into_iter().enumerate() {
                    name.extend_from_slice(if i == 0 { b"" } else { b";" });
                    name.extend_from_slice(&texts[part]);
                }
                known.check(name, |name| filter.passes(name))
            });
        }
        table.sort();
        let mut family =
            out.family("node_interrupts_total", Kind::Counter, "Interrupts serviced by the CPU.");
        for &(cpu, column) in &table.cpus {
            for &line in &table.order {
                let line = &table.lines[line as usize];
                let count = table.counts[line.first + column as usize];
                if count == 0 && !self.zeros {
                    continue;
                }
                let labels = [
                    ("cpu", cpu.into()),
                    ("devices", (&table.texts[line.devices]).into()),
                    ("info", (&table.texts[line.info]).into()),
                    ("type", (&table.texts[line.name]).into()),
                ];
                family.sample(&labels, count);
            }
        }
        Ok(())
    }
}

impl Table {
    fn parse(&mut self, bytes: &[u8]) -> Option<()> {
        self.cpus.clear();
        self.lines.clear();
        self.counts.clear();
        self.texts.clear();
        let mut lines = scan::lines(bytes);
        for (column, heading) in (0..).zip(scan::fields(lines.next()?)) {
            self.cpus.push((cpus::heading(heading)?, column));
        }
        self.cpus.sort_unstable_by_key(|&(cpu, _)| cpus::label_order(cpu));
        if self.cpus.is_empty() || self.cpus.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        for line in lines {
            self.parse_line(line);
        }
        Some(())
    }

    /// Adds a line, but for one with no words after the counts, or with anything else in the place of a count.
    fn parse_line(&mut self, line: &[u8]) {
        // On arm64 a name may touch its first count.
        let Some((name, rest)) = scan::split_once(line, b':') else { return };
        let name = name.trim_ascii_start();
        let first = self.counts.len();
        let mut fields = scan::fields(rest);
        for _ in &self.cpus {
            let Some(count) = fields.next_u64() else {
                self.counts.truncate(first);
                return;
            };
            self.counts.push(count);
        }
        if fields.rest().is_empty() {
            self.counts.truncate(first);
            return;
        }
        let (info, devices) = if scan::unsigned(name).is_some() {
            let info = fields.next().unwrap_or_default();
            (self.texts.push(info), self.push_words(fields))
        } else {
            (self.push_words(fields), Span::default())
        };
        let name = self.texts.push(name);
        self.lines.push(Line { name, info, devices, first });
    }

    /// Keeps words with one space between them.
    fn push_words(&mut self, words: scan::Fields<'_>) -> Span {
        self.words.clear();
        for word in words {
            if !self.words.is_empty() {
                self.words.push(b' ');
            }
            self.words.extend_from_slice(word);
        }
        self.texts.push(&self.words)
    }

    fn sort(&mut self) {
        let Table { lines, order, texts, .. } = self;
        if order.len() != lines.len() {
            order.clear();
            order.extend((0u32..).take(lines.len()));
        }
        let key = |&i: &u32| {
            let line = &lines[i as usize];
            (&texts[line.devices], &texts[line.info], &texts[line.name])
        };
        order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        // The same line twice would be the same series twice.
        order.dedup_by(|a, b| key(a) == key(b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Tree};

    const TABLE: &str = "           CPU0       CPU2       CPU10\n\
        \x20 8:          1          0          2  IR-IO-APIC    8-edge      rtc0\n\
        \x2016:     328511     322879          3  IR-IO-APIC   16-fasteoi   ehci_hcd:usb1, mmc0\n\
        NMI:         47       5031          4   Non-maskable interrupts\n\
        IPI0:1 2 3       Rescheduling interrupts\n\
        ERR:          5\n\
        MIS:          0          0          0\n\
        BAD:          1          x          1   words\n";

    fn samples(args: &[&str]) -> String {
        Tree::new(&[("proc/interrupts", TABLE)]).samples(&ENTRY, args)
    }

    #[test]
    fn counts_per_cpu_of_the_heading_in_label_order() {
        let of_cpu = |cpu: &str, counts: [&str; 4]| {
            let [ipi, nmi, rtc, usb] = counts;
            format!(
                "node_interrupts_total{{cpu=\"{cpu}\",devices=\"\",info=\"Non-maskable interrupts\",type=\"NMI\"}} {nmi}\n\
                 node_interrupts_total{{cpu=\"{cpu}\",devices=\"\",info=\"Rescheduling interrupts\",type=\"IPI0\"}} {ipi}\n\
                 node_interrupts_total{{cpu=\"{cpu}\",devices=\"16-fasteoi ehci_hcd:usb1, mmc0\",info=\"IR-IO-APIC\",type=\"16\"}} {usb}\n\
                 node_interrupts_total{{cpu=\"{cpu}\",devices=\"8-edge rtc0\",info=\"IR-IO-APIC\",type=\"8\"}} {rtc}\n"
            )
        };
        let whole = [
            of_cpu("0", ["1", "47", "1", "328511"]),
            of_cpu("10", ["3", "4", "2", "3"]),
            of_cpu("2", ["2", "5031", "0", "322879"]),
        ]
        .concat();
        assert_eq!(samples(&[]), whole);
        let tree = Tree::new(&[]);
        for length in 0..TABLE.len() {
            tree.write("proc/interrupts", &TABLE[..length]);
            let (samples, _) = tree.collect(&ENTRY, &[]);
            assert!(samples.lines().all(|line| whole.contains(&format!("{line}\n"))), "{length}: {samples}");
        }
    }

    #[test]
    fn filters_see_name_info_and_devices() {
        let included = samples(&[
            "--collector.interrupts.name-include=^8;IR.*;8-edge rtc0$",
            "--no-collector.interrupts.include-zeros",
        ]);
        assert_eq!(
            included,
            "node_interrupts_total{cpu=\"0\",devices=\"8-edge rtc0\",info=\"IR-IO-APIC\",type=\"8\"} 1\n\
             node_interrupts_total{cpu=\"10\",devices=\"8-edge rtc0\",info=\"IR-IO-APIC\",type=\"8\"} 2\n"
        );
        let excluded = samples(&["--collector.interrupts.name-exclude=usb|^NMI|^8;"]);
        assert_eq!(excluded.lines().count(), 3);
        assert!(excluded.lines().all(|line| line.contains("type=\"IPI0\"")), "{excluded}");
    }

    #[test]
    fn lines_that_come_go_and_repeat() {
        let tree = Tree::new(&[("proc/interrupts", "CPU0\n1: 1 A b\n2: 2 A a\n1: 3 A b\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        let first = testing::collect(&mut *collector).0;
        assert_eq!(first.lines().count(), 2, "{first}");
        assert!(
            first.starts_with("node_interrupts_total{cpu=\"0\",devices=\"a\",info=\"A\",type=\"2\"} 2\n"),
            "{first}"
        );
        tree.write("proc/interrupts", "CPU0\n7: 1 A z\n8: 2 A b\n9: 3 A c\n");
        let samples = testing::collect(&mut *collector).0;
        let types: Vec<&str> = samples.lines().map(|line| line.split('"').nth(7).unwrap()).collect();
        assert_eq!(types, ["8", "9", "7"]);
    }

    #[test]
    fn what_has_no_heading_fails() {
        for bad in ["", "\n", "x\n1: 1 A b\n", "CPU0 CPU0\n1: 1 1 A b\n", "CPU0"] {
            let (samples, error) = Tree::new(&[("proc/interrupts", bad)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }
}
