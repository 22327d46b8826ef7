//! Watchdog timers: the attributes of `/sys/class/watchdog/*`, see the kernel's Documentation/ABI/testing/sysfs-class-watchdog.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "watchdog",
    on: true,
    help: "Watchdog timers from /sys/class/watchdog.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Watchdog {
            class: paths::sys(flags).join("class/watchdog"),
            names: Names::new(),
            texts: Arena::new(),
            devices: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Watchdog {
    class: PathBuf,
    names: Names,
    texts: Arena,
    devices: Vec<Device>,
    buf: Buf,
}

/// Attributes that are numbers: file, family, HELP.
const NUMBERS: [(&str, &str, &str); 7] = [
    ("access_cs0", "node_watchdog_access_cs0", "Whether access to the second boot chip select is enabled."),
    ("bootstatus", "node_watchdog_bootstatus", "Status flags that the device had at boot."),
    ("fw_version", "node_watchdog_fw_version", "Firmware version of the device."),
    ("nowayout", "node_watchdog_nowayout", "Whether the timer goes on when its file is closed."),
    (
        "pretimeout",
        "node_watchdog_pretimeout_seconds",
        "Time between the pretimeout event and the timeout, in seconds.",
    ),
    (
        "timeleft",
        "node_watchdog_timeleft_seconds",
        "Time left before the device resets the machine, in seconds.",
    ),
    (
        "timeout",
        "node_watchdog_timeout_seconds",
        "Time without a ping after which the device resets the machine, in seconds.",
    ),
];

/// Attributes that are labels of `node_watchdog_info`.
const TEXTS: [&str; 5] = ["identity", "options", "pretimeout_governor", "state", "status"];

#[derive(Default)]
struct Device {
    name: Span,
    numbers: [Option<i64>; NUMBERS.len()],
    texts: [Span; TEXTS.len()],
}

impl Watchdog {
    fn read(&mut self) -> hostfs::Result<()> {
        self.devices.clear();
        self.texts.clear();
        let class = Dir::open(&self.class)?;
        class.names(&mut self.names)?;
        for name in self.names.iter() {
            let Some(dir) = class.dir(name)? else { continue };
            let mut device = Device { name: self.texts.push(name.as_bytes()), ..Device::default() };
            for (value, (attribute, ..)) in device.numbers.iter_mut().zip(NUMBERS) {
                *value = dir.attribute(attribute, &mut self.buf)?.and_then(scan::signed_value);
            }
            for (value, attribute) in device.texts.iter_mut().zip(TEXTS) {
                if let Some(text) = dir.attribute(attribute, &mut self.buf)? {
                    *value = self.texts.push(text.trim_ascii());
                }
            }
            self.devices.push(device);
        }
        Ok(())
    }
}

impl Collector for Watchdog {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        let text = |span: Span| LabelValue::from(&self.texts[span]);
        for (i, (_, family, help)) in NUMBERS.into_iter().enumerate() {
            let mut family = out.family(family, Kind::Gauge, help);
            for device in &self.devices {
                if let Some(value) = device.numbers[i] {
                    family.sample(&[("name", text(device.name))], value);
                }
            }
        }
        let mut info =
            out.family("node_watchdog_info", Kind::Gauge, "Texts that describe the device; always 1.");
        for device in &self.devices {
            let [identity, options, pretimeout_governor, state, status] = device.texts;
            info.sample(
                &[
                    ("identity", text(identity)),
                    ("name", text(device.name)),
                    ("options", text(options)),
                    ("pretimeout_governor", text(pretimeout_governor)),
                    ("state", text(state)),
                    ("status", text(status)),
                ],
                1u64,
            );
        }
        info.sort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn attributes_that_are_missing_are_left_out() {
        let tree = Tree::new(&[
            ("sys/class/watchdog/watchdog0/timeout", "60\n"),
            ("sys/class/watchdog/watchdog0/identity", "Software Watchdog\n"),
            ("sys/class/watchdog/watchdog0/state", "active\n"),
            ("sys/class/watchdog/watchdog1/nowayout", "x\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_watchdog_timeout_seconds{name=\"watchdog0\"} 60\n\
             node_watchdog_info{identity=\"\",name=\"watchdog1\",options=\"\",pretimeout_governor=\"\",state=\"\",status=\"\"} 1\n\
             node_watchdog_info{identity=\"Software Watchdog\",name=\"watchdog0\",options=\"\",pretimeout_governor=\"\",state=\"active\",status=\"\"} 1\n"
        );
    }

    #[test]
    fn no_watchdog_class_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
