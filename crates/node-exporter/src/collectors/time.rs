//! The wall clock, the zone of this process, and the kernel's clock sources from `/sys/devices/system/clocksource`.
//!
//! The source in use changes when the kernel (kernel/time/clocksource.c) finds it unstable, so both attributes are read at each scrape; the
//! devices (there has only ever been one) are looked up once.

use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::sys::clock::{self, LocalZone};
use hostfs::{Arena, Buf, Dir, File, Gone, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "time",
    on: true,
    help: "System time, local time zone and clock sources.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Time {
            zone: LocalZone::from_env(),
            clocksources: paths::sys(flags).join("devices/system/clocksource"),
            devices: Vec::new(),
            available: Vec::new(),
            texts: Arena::new(),
            buf: Buf::new(),
        }))
    },
};

struct Time {
    zone: LocalZone,
    clocksources: PathBuf,
    devices: Vec<Device>,
    /// Available clock sources: name, and index of the device.
    available: Vec<(Span, u32)>,
    texts: Arena,
    buf: Buf,
}

struct Device {
    available: File,
    current: File,
    current_name: Span,
}

impl Collector for Time {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let (seconds, nanoseconds) = clock::now();
        // Whole nanoseconds are rounded to a float once, as the original does.
        let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let (zone, offset) = self.zone.at(seconds);
        out.single(
            "node_time_seconds",
            Kind::Gauge,
            "System time, in seconds since 1970.",
            nanoseconds as f64 / 1e9,
        );
        out.family(
            "node_time_zone_offset_seconds",
            Kind::Gauge,
            "Offset of the local time zone from UTC, in seconds.",
        )
        .sample(&[("time_zone", zone.into())], offset);

        if let Err(error) = self.read_clocksources() {
            self.devices.clear();
            return Err(error.into());
        }
        let text = |span: Span| LabelValue::from(&self.texts[span]);
        let mut family = out.family(
            "node_time_clocksource_available_info",
            Kind::Gauge,
            "Clock sources that the kernel can use; always 1.",
        );
        for &(name, device) in &self.available {
            family.sample(&[("clocksource", text(name)), ("device", device.into())], 1u64);
        }
        drop(family);
        let mut family = out.family(
            "node_time_clocksource_current_info",
            Kind::Gauge,
            "Clock source that the kernel uses; always 1.",
        );
        for (index, device) in (0u32..).zip(&self.devices) {
            family.sample(&[("clocksource", text(device.current_name)), ("device", index.into())], 1u64);
        }
        family.sort();
        Ok(())
    }
}

impl Time {
    fn read_clocksources(&mut self) -> hostfs::Result<()> {
        if self.devices.is_empty() {
            self.find_devices()?;
        }
        self.texts.clear();
        self.available.clear();
        for (index, device) in (0..).zip(&mut self.devices) {
            // Bytes that are no ASCII are no source's name, and different ones would look the same.
            let names = scan::fields(device.available.read_attribute(&mut self.buf)?);
            for name in names.filter(|name| name.is_ascii()) {
                self.available.push((self.texts.push(name), index));
            }
            let current = device.current.read_attribute(&mut self.buf)?.trim_ascii();
            if current.is_empty() {
                return Err(device.current.malformed("the name of a clock source"));
            }
            device.current_name = self.texts.push(current);
        }
        let texts = &self.texts;
        self.available.sort_unstable_by(|&(a, i), &(b, j)| texts[a].cmp(&texts[b]).then(i.cmp(&j)));
        self.available.dedup_by(|&mut (a, i), &mut (b, j)| i == j && texts[a] == texts[b]);
        Ok(())
    }

    fn find_devices(&mut self) -> hostfs::Result<()> {
        let Some(dir) = Dir::open(&self.clocksources).gone_is_none()? else { return Ok(()) };
        let mut names = Names::new();
        dir.names(&mut names)?;
        // A directory with another name is no device, and could not be read as one.
        names.retain(|name| name.strip_prefix(b"clocksource").and_then(scan::unsigned).is_some());
        for name in names.iter() {
            let path = self.clocksources.join(name);
            self.devices.push(Device {
                available: File::new(path.join("available_clocksource")),
                current: File::new(path.join("current_clocksource")),
                current_name: Span::default(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Tree};

    const AVAILABLE: &str = "sys/devices/system/clocksource/clocksource0/available_clocksource";
    const CURRENT: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";

    /// What follows the two samples that depend on this machine, which must be there.
    fn clocksources(samples: &str) -> &str {
        let (now, rest) = samples.split_once('\n').unwrap();
        let now: f64 = now.strip_prefix("node_time_seconds ").unwrap().parse().unwrap();
        assert!((now - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()).abs() < 5.0);
        let (zone, rest) = rest.split_once('\n').unwrap();
        assert!(zone.starts_with("node_time_zone_offset_seconds{time_zone=\""), "{zone}");
        rest
    }

    #[test]
    fn sources_in_order_and_fresh() {
        let tree = Tree::new(&[(AVAILABLE, "tsc hpet acpi_pm \n"), (CURRENT, "tsc\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        let (samples, error) = testing::collect(&mut *collector);
        assert_eq!(error, None);
        assert_eq!(
            clocksources(&samples),
            "node_time_clocksource_available_info{clocksource=\"acpi_pm\",device=\"0\"} 1\n\
             node_time_clocksource_available_info{clocksource=\"hpet\",device=\"0\"} 1\n\
             node_time_clocksource_available_info{clocksource=\"tsc\",device=\"0\"} 1\n\
             node_time_clocksource_current_info{clocksource=\"tsc\",device=\"0\"} 1\n"
        );
        tree.write(CURRENT, "hpet\n");
        let (samples, _) = testing::collect(&mut *collector);
        assert!(samples.ends_with("_current_info{clocksource=\"hpet\",device=\"0\"} 1\n"), "{samples}");
    }

    #[test]
    fn a_source_comes_once_and_has_a_name() {
        let tree = Tree::new(&[(CURRENT, "tsc\n")]);
        tree.write(AVAILABLE, b"tsc hpet \xfe tsc \xff hpet tsc\n");
        let samples = tree.samples(&ENTRY, &[]);
        assert_eq!(samples.matches("_available_info{").count(), 2, "{samples}");
        assert!(
            samples.contains("_available_info{clocksource=\"hpet\",device=\"0\"} 1\n")
                && samples.contains("_available_info{clocksource=\"tsc\",device=\"0\"} 1\n"),
            "{samples}"
        );
    }

    #[test]
    fn what_is_named_otherwise_is_no_device() {
        let tree = Tree::new(&[(AVAILABLE, "tsc\n"), (CURRENT, "tsc\n")]);
        for name in ["clocksource", "clocksource0a\"b", "clocksource-1", "power"] {
            std::fs::create_dir(tree.path(&format!("sys/devices/system/clocksource/{name}"))).unwrap();
        }
        let samples = tree.samples(&ENTRY, &[]);
        assert_eq!(
            clocksources(&samples),
            "node_time_clocksource_available_info{clocksource=\"tsc\",device=\"0\"} 1\n\
             node_time_clocksource_current_info{clocksource=\"tsc\",device=\"0\"} 1\n"
        );
    }

    #[test]
    fn no_clock_sources_is_fine_and_one_that_cannot_be_read_is_not() {
        assert_eq!(clocksources(&Tree::new(&[]).samples(&ENTRY, &[])), "");
        let tree = Tree::new(&[(AVAILABLE, "tsc\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        let (samples, error) = testing::collect(&mut *collector);
        assert!(matches!(error, Some(Error::Failed(_))) && clocksources(&samples).is_empty(), "{samples}");
        tree.write(CURRENT, "tsc\n");
        assert_eq!(testing::collect(&mut *collector).1, None, "found again");
    }
}
