//! Swap areas, each with its size and use: the table `/proc/swaps`, see proc(5). Sizes are in KiB there.

use std::time::Instant;

use exporter::text::{LabelValue, Number};
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "swap",
    on: false,
    help: "Swap areas from /proc/swaps.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Swap {
            file: paths::proc(flags).file("swaps"),
            areas: Vec::new(),
            texts: Arena::new(),
            buf: Buf::new(),
        }))
    },
};

struct Swap {
    file: File,
    areas: Vec<Area>,
    texts: Arena,
    buf: Buf,
}

struct Area {
    device: Span,
    swap_type: Span,
    values: [Number; FAMILIES.len()],
}

const FAMILIES: [(&str, &str); 3] = [
    ("node_swap_priority", "Priority of the swap area."),
    ("node_swap_size_bytes", "Size of the swap area, in bytes."),
    ("node_swap_used_bytes", "Part of the swap area that is in use, in bytes."),
];

impl Collector for Swap {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let Swap { file, areas, texts, buf } = self;
        let bytes = file.read(buf)?;
        areas.clear();
        texts.clear();
        let mut lines = scan::lines(bytes);
        let mut is_bad = !lines.next().is_some_and(|head| head.starts_with(b"Filename"));
        for line in lines {
            match parse(line) {
                Some((device, swap_type, values)) => {
                    areas.push(Area { device: texts.push(device), swap_type: texts.push(swap_type), values });
                }
                None => is_bad = true,
            }
        }
        let key = |area: &Area| [&texts[area.device], &texts[area.swap_type]];
        areas.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        areas.dedup_by(|a, b| key(a) == key(b));
        for (index, (name, help)) in FAMILIES.into_iter().enumerate() {
            let mut family = out.family(name, Kind::Gauge, help);
            for area in areas.iter() {
                let [device, swap_type] = key(area).map(LabelValue::from);
                family.sample(&[("device", device), ("swap_type", swap_type)], area.values[index]);
            }
        }
        if is_bad { Err(file.malformed("a head and lines of five fields").into()) } else { Ok(()) }
    }
}

fn parse(line: &[u8]) -> Option<(&[u8], &[u8], [Number; FAMILIES.len()])> {
    const KIB: u64 = 1024;
    let mut fields = scan::fields(line);
    let (device, swap_type) = (fields.next()?, fields.next()?);
    let mut bytes = || fields.next_u64()?.checked_mul(KIB).map(Number::U);
    let (size, used) = (bytes()?, bytes()?);
    let priority = Number::I(scan::signed(fields.next()?)?);
    Some((device, swap_type, [priority, size, used]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn areas_in_order_of_their_device() {
        let text = format!("{HEAD}/dev/zram0 partition\t8388604\t\t76\t\t100\n/a\\040b file 2 1 -2 new\n");
        let tree = Tree::new(&[("proc/swaps", &text)]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_swap_priority{device=\"/a\\\\040b\",swap_type=\"file\"} -2\n\
             node_swap_priority{device=\"/dev/zram0\",swap_type=\"partition\"} 100\n\
             node_swap_size_bytes{device=\"/a\\\\040b\",swap_type=\"file\"} 2048\n\
             node_swap_size_bytes{device=\"/dev/zram0\",swap_type=\"partition\"} 8.589930496e+09\n\
             node_swap_used_bytes{device=\"/a\\\\040b\",swap_type=\"file\"} 1024\n\
             node_swap_used_bytes{device=\"/dev/zram0\",swap_type=\"partition\"} 77824\n"
        );
        assert_eq!(Tree::new(&[("proc/swaps", HEAD)]).samples(&ENTRY, &[]), "", "no swap is well");
    }

    #[test]
    fn a_damaged_line_is_left_out_and_told() {
        for damaged in ["x\n", "/a file 1 1\n", "/a file -1 1 1\n", "/a file 18014398509481984 0 1\n"] {
            let tree = Tree::new(&[("proc/swaps", &format!("{HEAD}{damaged}/b file 1 1 1\n"))]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert_eq!(samples.lines().count(), FAMILIES.len(), "{damaged:?}: {samples}");
            assert!(matches!(error, Some(Error::Failed(_))));
        }
        for (damaged, count) in [("", 0), ("\n", 0), ("/a file 1 1 1\n/b file 1 1 1\n", 3)] {
            let (samples, error) = Tree::new(&[("proc/swaps", damaged)]).collect(&ENTRY, &[]);
            assert_eq!(samples.lines().count(), count);
            assert!(matches!(error, Some(Error::Failed(_))));
        }
        let cut = Tree::new(&[("proc/swaps", &format!("{HEAD}/a file 1 1 1"))]);
        assert_eq!(cut.samples(&ENTRY, &[]), "");
    }
}
