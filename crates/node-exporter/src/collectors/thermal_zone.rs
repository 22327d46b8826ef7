//! Temperatures and cooling devices: `/sys/class/thermal/{thermal_zone*,cooling_device*}`, see the kernel's
//! Documentation/driver-api/thermal/sysfs-api.rst.
//!
//! A sensor may be off or not answer (EINVAL, EAGAIN, ENODATA): then that zone is left out, and the others stay. No class is no fault.

use std::path::PathBuf;
use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Gone, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "thermal_zone",
    on: true,
    help: "Temperatures and cooling devices from /sys/class/thermal.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(ThermalZone {
            class: paths::sys(flags).join("class/thermal"),
            names: Names::new(),
            buf: Buf::new(),
            texts: Arena::new(),
            zones: Vec::new(),
            coolers: Vec::new(),
        }))
    },
};

struct ThermalZone {
    class: PathBuf,
    names: Names,
    buf: Buf,
    texts: Arena,
    zones: Vec<Zone>,
    coolers: Vec<Cooler>,
}

struct Zone {
    number: Span,
    kind: Span,
    millidegrees: i64,
}

struct Cooler {
    number: Span,
    kind: Span,
    current: i64,
    max: i64,
}

impl ThermalZone {
    fn read(&mut self) -> hostfs::Result<()> {
        self.texts.clear();
        self.zones.clear();
        self.coolers.clear();
        let Some(class) = Dir::open(&self.class).gone_is_none()? else { return Ok(()) };
        class.names(&mut self.names)?;
        for name in self.names.iter() {
            let bytes = name.as_encoded_bytes();
            let number_after = |prefix: &[u8]| {
                bytes.strip_prefix(prefix).filter(|n| n.first().is_some_and(u8::is_ascii_digit))
            };
            if let Some(number) = number_after(b"thermal_zone") {
                let Some(dir) = class.dir(name)? else { continue };
                let Some(millidegrees) = dir.attribute("temp", &mut self.buf)?.and_then(scan::signed_value)
                else {
                    continue;
                };
                let Some(kind) = dir.attribute("type", &mut self.buf)? else { continue };
                let (number, kind) = (self.texts.push(number), self.texts.push(kind.trim_ascii()));
                self.zones.push(Zone { number, kind, millidegrees });
            } else if let Some(number) = number_after(b"cooling_device") {
                let Some(dir) = class.dir(name)? else { continue };
                let Some(max) = dir.attribute("max_state", &mut self.buf)?.and_then(scan::signed_value)
                else {
                    continue;
                };
                let Some(current) = dir.attribute("cur_state", &mut self.buf)?.and_then(scan::signed_value)
                else {
                    continue;
                };
                let Some(kind) = dir.attribute("type", &mut self.buf)? else { continue };
                let (number, kind) = (self.texts.push(number), self.texts.push(kind.trim_ascii()));
                self.coolers.push(Cooler { number, kind, current, max });
            }
        }
        Ok(())
    }
}

impl Collector for ThermalZone {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        let text = |span: Span| (&self.texts[span]).into();
        let help = "What the cooling device does now: 0 is nothing, more is stronger.";
        let mut current = out.family("node_cooling_device_cur_state", Kind::Gauge, help);
        for device in &self.coolers {
            current.sample(&[("name", text(device.number)), ("type", text(device.kind))], device.current);
        }
        drop(current);
        let help = "Strongest state of the cooling device.";
        let mut max = out.family("node_cooling_device_max_state", Kind::Gauge, help);
        for device in &self.coolers {
            max.sample(&[("name", text(device.number)), ("type", text(device.kind))], device.max);
        }
        drop(max);
        let help = "Temperature of the zone, in degrees Celsius.";
        let mut temperature = out.family("node_thermal_zone_temp", Kind::Gauge, help);
        for zone in &self.zones {
            temperature.sample(
                &[("type", text(zone.kind)), ("zone", text(zone.number))],
                zone.millidegrees as f64 / 1000.0,
            );
        }
        temperature.sort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn zones_and_coolers() {
        let tree = Tree::new(&[
            ("sys/class/thermal/thermal_zone0/temp", "49925\n"),
            ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone1/temp", "-5000\n"),
            ("sys/class/thermal/thermal_zone1/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone10/temp", "0\n"),
            ("sys/class/thermal/thermal_zone10/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone2/temp", "99999999999999999999\n"),
            ("sys/class/thermal/thermal_zone2/type", "broken\n"),
            ("sys/class/thermal/thermal_zone3/type", "without temp\n"),
            ("sys/class/thermal/cooling_device0/type", "Processor\n"),
            ("sys/class/thermal/cooling_device0/cur_state", "0\n"),
            ("sys/class/thermal/cooling_device0/max_state", "3\n"),
            ("sys/class/thermal/cooling_device1/type", "Fan\n"),
            ("sys/class/thermal/cooling_device1/cur_state", "0\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_cooling_device_cur_state{name=\"0\",type=\"Processor\"} 0\n\
             node_cooling_device_max_state{name=\"0\",type=\"Processor\"} 3\n\
             node_thermal_zone_temp{type=\"acpitz\",zone=\"1\"} -5\n\
             node_thermal_zone_temp{type=\"acpitz\",zone=\"10\"} 0\n\
             node_thermal_zone_temp{type=\"x86_pkg_temp\",zone=\"0\"} 49.925\n"
        );
    }

    #[test]
    fn no_class_is_no_fault() {
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
    }
}
