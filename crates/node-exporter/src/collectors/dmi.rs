//! What the firmware says of the machine: the attributes of `/sys/class/dmi/id`, see the kernel's
//! Documentation/ABI/testing/sysfs-class-dmi.
//!
//! They do not change while the machine runs, so they are read once. Serial numbers are for root; a file that cannot be read gives no label.

use std::path::PathBuf;
use std::time::Instant;

use exporter::text::{Label, LabelValue};
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, Dir};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "dmi",
    on: true,
    help: "What the firmware says of the machine from /sys/class/dmi/id.",
    flags: &[],
    new: |flags| Ok(Box::new(Dmi { dir: paths::sys(flags).join("class/dmi/id"), values: Vec::new() })),
};

struct Dmi {
    dir: PathBuf,
    /// Label and value, once read.
    values: Vec<(&'static str, Vec<u8>)>,
}

/// File, label; in order of the labels.
const ATTRIBUTES: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

impl Dmi {
    fn read(&mut self) -> hostfs::Result<()> {
        let dir = Dir::open(&self.dir)?;
        let mut buf = Buf::new();
        let mut values = Vec::new();
        for (file, label) in ATTRIBUTES {
            if let Some(value) = dir.attribute(file, &mut buf)? {
                let mut text = Vec::new();
                push_text(&mut text, value.trim_ascii());
                values.push((label, text));
            }
        }
        self.values = values;
        Ok(())
    }
}

/// Appends firmware text, of which a run of bytes that are not UTF-8 becomes one U+FFFD.
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut in_run = false;
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        in_run &= chunk.valid().is_empty();
        if !chunk.invalid().is_empty() && !in_run {
            out.extend_from_slice("\u{fffd}".as_bytes());
            in_run = true;
        }
    }
}

impl Collector for Dmi {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        if self.values.is_empty() {
            self.read().map_err(|error| Error::or_no_data(&error))?;
        }
        if self.values.is_empty() {
            return Err(Error::NoData("no DMI attribute can be read".into()));
        }
        let mut labels: [Label<'_>; ATTRIBUTES.len()] = [("", LabelValue::Int(0)); ATTRIBUTES.len()];
        for (label, (name, value)) in labels.iter_mut().zip(&self.values) {
            *label = (name, value.into());
        }
        let help = "What the firmware says of the machine; always 1.";
        out.family("node_dmi_info", Kind::Gauge, help).sample(&labels[..self.values.len()], 1u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    #[test]
    fn labels_of_the_files_that_are_there_read_once() {
        let tree = Tree::new(&[
            ("sys/class/dmi/id/sys_vendor", "Dell \"Inc.\"\n"),
            ("sys/class/dmi/id/bios_date", "04/12/2021\n"),
            ("sys/class/dmi/id/chassis_asset_tag", "\n"),
            ("sys/class/dmi/id/modalias", "dmi:x\n"),
        ]);
        tree.write("sys/class/dmi/id/product_version", b"\xff\xfe[\xc3(\xff\n");
        let mut collector = tree.collector(&ENTRY, &[]);
        let expected = "node_dmi_info{bios_date=\"04/12/2021\",chassis_asset_tag=\"\",product_version=\"\u{fffd}[\u{fffd}(\u{fffd}\",system_vendor=\"Dell \\\"Inc.\\\"\"} 1\n";
        assert_eq!(collect(&mut *collector).0, expected);
        tree.write("sys/class/dmi/id/bios_date", "x\n");
        assert_eq!(collect(&mut *collector).0, expected);
    }

    #[test]
    fn no_firmware_tables_are_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        let tree = Tree::new(&[("sys/class/dmi/id/uevent", "x\n")]);
        assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
