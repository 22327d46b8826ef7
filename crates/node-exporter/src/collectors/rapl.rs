//! Energy that the processor's parts have used: `/sys/class/powercap/*/{name,energy_uj}`, see the kernel's
//! Documentation/power/powercap/powercap.rst.
//!
//! Since November 2020 the kernel lets root alone read `energy_uj`; without the right there is no data, which is no fault.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, PathBuf};
use std::time::Instant;

use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use super::sysctl::sanitize_into;
use crate::paths;

const ZONE_LABEL: &str = "collector.rapl.enable-zone-label";

pub(crate) const ENTRY: Entry = Entry {
    name: "rapl",
    on: true,
    help: "Energy that the processor's parts have used from /sys/class/powercap.",
    flags: &[Flag::switch(
        ZONE_LABEL,
        false,
        "Tell zones apart by the label rapl_zone, not by the metric's name.",
    )],
    new: |flags| {
        let class = paths::sys(flags).join("class/powercap");
        Ok(Box::new(Rapl {
            // The path is a label: written as short as it goes.
            class: class.components().filter(|part| *part != Component::CurDir).collect(),
            zone_label: flags.switch(ZONE_LABEL),
            names: Names::new(),
            buf: Buf::new(),
            texts: Arena::new(),
            zones: Vec::new(),
            scratch: Vec::new(),
        }))
    },
};

struct Rapl {
    class: PathBuf,
    zone_label: bool,
    names: Names,
    buf: Buf,
    texts: Arena,
    zones: Vec<Zone>,
    scratch: Vec<u8>,
}

struct Zone {
    /// What is before the number in `package-0`, else all of it.
    name: Span,
    /// The number in the name, else how many zones of this name came before.
    index: u64,
    family: Span,
    path: Span,
    microjoules: Option<u64>,
}

impl Rapl {
    fn read(&mut self) -> hostfs::Result<()> {
        self.texts.clear();
        self.zones.clear();
        let class = Dir::open(&self.class)?;
        class.names(&mut self.names)?;
        for name in self.names.iter() {
            let Some(dir) = class.dir(name)? else { continue };
            // The control types above the zones have no name.
            let Some(zone) = dir.attribute("name", &mut self.buf)? else { continue };
            let (zone, index) = split(zone.trim_ascii());
            let last = self.zones.iter().rfind(|before| &self.texts[before.name] == zone);
            let index = index.unwrap_or_else(|| last.map_or(0, |before| before.index.saturating_add(1)));
            self.scratch.clear();
            self.scratch.extend_from_slice(b"node_rapl_");
            sanitize_into(&mut self.scratch, zone);
            self.scratch.extend_from_slice(b"_joules_total");
            let family = self.texts.push(&self.scratch);
            let zone = self.texts.push(zone);
            self.scratch.clear();
            self.scratch.extend_from_slice(self.class.as_os_str().as_bytes());
            self.scratch.push(b'/');
            self.scratch.extend_from_slice(name.as_bytes());
            let path = self.texts.push(&self.scratch);
            let microjoules = dir.attribute("energy_uj", &mut self.buf)?.and_then(scan::value);
            self.zones.push(Zone { name: zone, index, family, path, microjoules });
        }
        Ok(())
    }

    /// Writes the zones that pass as one family.
    fn write(&self, out: &mut Text, family: &[u8], passes: impl Fn(&Zone) -> bool) {
        let mut family = out.family_bytes(
            family,
            Kind::Counter,
            b"Energy that the zone has used, in joules; starts anew at its limit.",
        );
        for zone in self.zones.iter().filter(|zone| passes(zone)) {
            let Some(microjoules) = zone.microjoules else { continue };
            let labels = [
                ("index", zone.index.into()),
                ("path", (&self.texts[zone.path]).into()),
                ("rapl_zone", (&self.texts[zone.name]).into()),
            ];
            let labels = if self.zone_label { &labels[..] } else { &labels[..2] };
            family.sample(labels, microjoules as f64 / 1_000_000.0);
        }
        family.sort();
    }
}

/// `package-0` is package, 0; any other form has no index.
fn split(name: &[u8]) -> (&[u8], Option<u64>) {
    match scan::split_once(name, b'-') {
        Some((zone, number)) if scan::unsigned(number).is_some() => (zone, scan::unsigned(number)),
        _ => (name, None),
    }
}

impl Collector for Rapl {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| {
            if error.is_unavailable() { Error::NoData(error.clone().into()) } else { Error::from(error) }
        })?;
        if !self.zones.is_empty() && self.zones.iter().all(|zone| zone.microjoules.is_none()) {
            return Err(Error::NoData("no energy_uj can be read".into()));
        }
        if self.zone_label {
            self.write(out, b"node_rapl_joules_total", |_| true);
            return Ok(());
        }
        for (i, zone) in self.zones.iter().enumerate() {
            let family = &self.texts[zone.family];
            let is_same = |other: &Zone| &self.texts[other.family] == family;
            if !self.zones[..i].iter().any(is_same) {
                self.write(out, family, is_same);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn tree() -> Tree {
        let tree = Tree::new(&[("sys/class/powercap/intel-rapl/enabled", "1\n")]);
        for (zone, name, energy) in [
            ("intel-rapl:0", "package-0", "240422366267"),
            ("intel-rapl:0:0", "core", "118821284256"),
            ("intel-rapl:0:1", "dram", "-1"),
            ("intel-rapl:1", "package-10", "1"),
            ("intel-rapl:1:0", "core", "2000000"),
            ("intel-rapl:2", "package-2-die-1", "3000000"),
            ("intel-rapl-mmio:0", "package-0", "4000000"),
        ] {
            tree.write(&format!("sys/class/powercap/{zone}/name"), format!("{name}\n"));
            tree.write(&format!("sys/class/powercap/{zone}/energy_uj"), format!("{energy}\n"));
        }
        tree.write("sys/class/powercap/dtpm/name", "dtpm\n");
        tree
    }

    #[test]
    fn a_family_a_zone_name_with_an_index() {
        let tree = tree();
        let samples = tree.samples(&ENTRY, &[]);
        assert_eq!(
            samples
                .replace(&format!("{}/", tree.path("sys/class/powercap").display()), "")
                .replace("node_rapl_", ""),
            "package_joules_total{index=\"0\",path=\"intel-rapl-mmio:0\"} 4\n\
             package_joules_total{index=\"0\",path=\"intel-rapl:0\"} 240422.366267\n\
             package_joules_total{index=\"10\",path=\"intel-rapl:1\"} 1e-06\n\
             core_joules_total{index=\"0\",path=\"intel-rapl:0:0\"} 118821.284256\n\
             core_joules_total{index=\"1\",path=\"intel-rapl:1:0\"} 2\n\
             package_2_die_1_joules_total{index=\"0\",path=\"intel-rapl:2\"} 3\n"
        );
    }

    #[test]
    fn one_family_with_the_zone_as_label() {
        let samples = tree().samples(&ENTRY, &["--collector.rapl.enable-zone-label"]);
        assert_eq!(samples.lines().count(), 6);
        assert!(samples.lines().all(|line| line.starts_with("node_rapl_joules_total{index=\"")), "{samples}");
        assert!(samples.contains("intel-rapl:2\",rapl_zone=\"package-2-die-1\"} 3\n"), "{samples}");
    }

    #[test]
    fn without_the_class_or_the_right_there_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        let tree = Tree::new(&[("sys/class/powercap/intel-rapl:0/name", "package-0\n")]);
        assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        let tree = Tree::new(&[("sys/class/powercap/x/enabled", "1\n")]);
        assert_eq!(tree.samples(&ENTRY, &[]), "");
    }
}
