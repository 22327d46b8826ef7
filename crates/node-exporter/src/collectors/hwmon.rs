//! Hardware sensors: the chips of `/sys/class/hwmon`, see the kernel's Documentation/hwmon/sysfs-interface.rst.
//!
//! An attribute is named `<type><number>[_<property>]` (`temp1_input`, `fan2_alarm`) and stands in the chip's directory or, for old
//! drivers, in that of its device. All files of a known type are read, each with one read(2), after the filters have had their say: a
//! chip that is excluded since it is slow is never touched. Drivers answer EAGAIN, EIO, ENODATA and worse for sensors that are not
//! wired up; whatever the error, it costs that one attribute. Chips number themselves in the order of module loading, hence are named
//! after their device. What is there is listed anew each scrape, as drivers add and remove attributes while they are bound.

use std::ffi::OsStr;
use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use exporter::filter::{Filter, Memo};
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "hwmon",
    on: true,
    help: "Hardware sensors from /sys/class/hwmon.",
    flags: &[
        Flag::text("collector.hwmon.chip-include", "", "Pattern of chips to show."),
        Flag::text("collector.hwmon.chip-exclude", "", "Pattern of chips to leave out."),
        Flag::text(
            "collector.hwmon.sensor-include",
            "",
            "Pattern of sensors to show, matched on chip;sensor.",
        ),
        Flag::text(
            "collector.hwmon.sensor-exclude",
            "",
            "Pattern of sensors to leave out, matched on chip;sensor.",
        ),
    ],
    new: |flags| {
        Ok(Box::new(Hwmon {
            class: paths::sys(flags).join("class/hwmon"),
            chip_filter: Filter::both(flags, "collector.hwmon.chip-include", "collector.hwmon.chip-exclude")?,
            sensor_filter: Filter::both(
                flags,
                "collector.hwmon.sensor-include",
                "collector.hwmon.sensor-exclude",
            )?,
            known_chips: Memo::default(),
            known_sensors: Memo::default(),
            names: Names::new(),
            chips: Vec::new(),
            files: Vec::new(),
            values: Vec::new(),
            chip_names: Vec::new(),
            labels: Vec::new(),
            readings: Vec::new(),
            texts: Arena::new(),
            path: Vec::new(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

/// Time that is left for the answer when the deadline is near.
const MARGIN: Duration = Duration::from_millis(100);

/// The longest label, in bytes, as the original reads no more.
const LABEL_MOST: usize = 128;

struct Hwmon {
    class: PathBuf,
    chip_filter: Filter,
    sensor_filter: Filter,
    known_chips: Memo,
    known_sensors: Memo,
    names: Names,
    chips: Vec<Chip>,
    files: Vec<Attribute>,
    values: Vec<(Span, Option<f64>)>,
    chip_names: Vec<[Span; 2]>,
    labels: Vec<[Span; 3]>,
    readings: Vec<Reading>,
    texts: Arena,
    path: Vec<u8>,
    scratch: Vec<u8>,
    buf: Buf,
}

/// A directory of the class, while it is read.
struct Chip {
    dir: Dir,
    device: Option<Dir>,
    /// The directory's own name, such as `hwmon0`.
    entry: Span,
    /// The cleaned name of the device, else of the driver, else of the directory.
    base: Span,
    /// What the attribute `name` says; empty if there is none.
    name: Span,
}

/// A file of a sensor, not read yet.
#[derive(Clone, Copy)]
struct Attribute {
    sensor: Sensor,
    property: Span,
    in_device: bool,
    file: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sensor {
    kind: Type,
    number: u64,
}

/// What a sensor measures: the first part of a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Type {
    BeepEnable,
    Cpu,
    Curr,
    Energy,
    Fan,
    Freq,
    Humidity,
    In,
    Intrusion,
    Power,
    Pwm,
    Temp,
    UpdateInterval,
    Vrm,
}

impl Type {
    const ALL: [(Type, &'static str); 14] = [
        (Type::BeepEnable, "beep_enable"),
        (Type::Cpu, "cpu"),
        (Type::Curr, "curr"),
        (Type::Energy, "energy"),
        (Type::Fan, "fan"),
        (Type::Freq, "freq"),
        (Type::Humidity, "humidity"),
        (Type::In, "in"),
        (Type::Intrusion, "intrusion"),
        (Type::Power, "power"),
        (Type::Pwm, "pwm"),
        (Type::Temp, "temp"),
        (Type::UpdateInterval, "update_interval"),
        (Type::Vrm, "vrm"),
    ];

    fn parse(word: &[u8]) -> Option<Self> {
        Type::ALL.iter().find(|(_, name)| name.as_bytes() == word).map(|&(kind, _)| kind)
    }

    fn name(self) -> &'static str {
        Type::ALL[self as usize].1
    }
}

/// What a value becomes on its way out: the unit that its family's name ends in, and the factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// As the driver gives it.
    Raw,
    /// A state of the sensor and not its measure.
    State,
    Beep,
    /// Whether the machine beeps at all.
    Beeper,
    Rpm,
    Volts,
    Celsius,
    Amps,
    Joules,
    Watts,
    Seconds,
    Megahertz,
    /// Divided by a million, with no unit in the name.
    Millionth,
}

impl Unit {
    fn of(kind: Type, property: &[u8]) -> Self {
        match (kind, property) {
            (Type::BeepEnable, _) => Unit::Beeper,
            (Type::Vrm, _) => Unit::Raw,
            (Type::UpdateInterval, _) => Unit::Seconds,
            (_, b"alarm" | b"fault") => Unit::State,
            (_, b"beep") => Unit::Beep,
            (Type::In | Type::Cpu, _) => Unit::Volts,
            (Type::Temp, b"type") => Unit::Raw,
            (Type::Temp, _) => Unit::Celsius,
            (Type::Curr, _) => Unit::Amps,
            (Type::Energy, _) => Unit::Joules,
            (Type::Power, b"accuracy") => Unit::Millionth,
            (Type::Power, b"average_interval" | b"average_interval_min" | b"average_interval_max") => {
                Unit::Seconds
            }
            (Type::Power, _) => Unit::Watts,
            (Type::Humidity, _) => Unit::Millionth,
            (Type::Fan, b"input" | b"min" | b"max" | b"target") => Unit::Rpm,
            (Type::Freq, b"input") => Unit::Megahertz,
            _ => Unit::Raw,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Unit::Raw | Unit::State | Unit::Millionth => "",
            Unit::Beep | Unit::Beeper => "_enabled",
            Unit::Rpm => "_rpm",
            Unit::Volts => "_volts",
            Unit::Celsius => "_celsius",
            Unit::Amps => "_amps",
            Unit::Joules => "_joule_total",
            Unit::Watts => "_watt",
            Unit::Seconds => "_seconds",
            Unit::Megahertz => "_freq_mhz",
        }
    }

    fn kind(self) -> Kind {
        if self == Unit::Joules { Kind::Counter } else { Kind::Gauge }
    }

    fn convert(self, value: f64) -> f64 {
        match self {
            Unit::Raw | Unit::State | Unit::Beep | Unit::Rpm => value,
            Unit::Beeper => f64::from(u8::from(value == 1.0)),
            Unit::Volts | Unit::Celsius | Unit::Amps | Unit::Seconds => value * 0.001,
            Unit::Joules | Unit::Watts | Unit::Megahertz | Unit::Millionth => value / 1_000_000.0,
        }
    }

    /// The end of the HELP text.
    fn words(self) -> &'static str {
        match self {
            Unit::Raw => "as the driver gives it",
            Unit::State => "1 if it is so",
            Unit::Beep | Unit::Beeper => "1 if it is enabled",
            Unit::Rpm => "in revolutions per minute",
            Unit::Volts => "in volts",
            Unit::Celsius => "in degrees Celsius",
            Unit::Amps => "in amperes",
            Unit::Joules => "in joules",
            Unit::Watts => "in watts",
            Unit::Seconds => "in seconds",
            Unit::Megahertz => "in megahertz",
            Unit::Millionth => "as the driver gives it, divided by a million",
        }
    }
}

/// One sample.
#[derive(Clone, Copy)]
struct Reading {
    family: Span,
    chip: Span,
    sensor: Span,
    kind: Type,
    property: Span,
    unit: Unit,
    value: f64,
    /// Its place among the readings as they were made.
    order: usize,
}

impl Hwmon {
    /// Reads all chips; gives the first problem that did not stop it.
    fn read(&mut self, deadline: Instant) -> Result<Option<Error>, Error> {
        self.chip_names.clear();
        self.labels.clear();
        self.readings.clear();
        self.texts.clear();
        let mut problem = None;
        self.open_chips(&mut problem)?;
        for index in 0..self.chips.len() {
            match self.read_chip(index, deadline) {
                Ok(true) => {}
                Ok(false) => {
                    let late = format!("{}: the sensors answer too slowly", self.class.display());
                    problem.get_or_insert(Error::Failed(late.into()));
                    break;
                }
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    problem.get_or_insert(error.into());
                }
            }
        }
        self.chips.clear();
        Ok(problem)
    }

    /// Opens all chips before any is read, as their names depend on each other.
    fn open_chips(&mut self, problem: &mut Option<Error>) -> Result<(), Error> {
        let Hwmon { class, names, chips, texts, path, scratch, buf, .. } = self;
        chips.clear();
        let class = Dir::open(class).map_err(|error| Error::or_no_data(&error))?;
        class.names(names)?;
        for entry in names.iter() {
            let opened = class.dir(entry).and_then(|dir| match dir {
                Some(dir) => dir.dir("device").map(|device| Some((dir, device))),
                None => Ok(None),
            });
            let (dir, device) = match opened {
                Ok(Some(opened)) => opened,
                Ok(None) => continue,
                Err(error) => {
                    problem.get_or_insert(error.into());
                    continue;
                }
            };
            let name = match dir.attribute("name", buf) {
                Ok(Some(name)) => texts.push(name.trim_ascii()),
                _ => Span::default(),
            };
            scratch.clear();
            if let Some(device) = &device {
                device.path_into(path);
                if path.is_empty() {
                    continue; // It is being removed; without its path it would get another chip's kind of name.
                }
                device_name_into(scratch, path);
            }
            if scratch.is_empty() {
                clean_into(scratch, &texts[name]);
            }
            if scratch.is_empty() {
                dir.path_into(path);
                clean_into(scratch, path.rsplit(|&b| b == b'/').next().unwrap_or_default());
            }
            if !scratch.is_empty() {
                let (base, entry) = (texts.push(scratch), texts.push(entry.as_bytes()));
                chips.push(Chip { dir, device, entry, base, name });
            }
        }
        Ok(())
    }

    /// The label of a chip: its base name, and where several chips have that one (two functions of one device), a suffix.
    fn chip_label(&mut self, index: usize) -> Span {
        let Hwmon { chips, texts, scratch, .. } = self;
        let chip = &chips[index];
        let (mut shares_base, mut shares_name) = (false, false);
        for (_, other) in chips.iter().enumerate().filter(|&(i, _)| i != index) {
            if texts[other.base] == texts[chip.base] {
                shares_base = true;
                shares_name |= texts[other.name] == texts[chip.name];
            }
        }
        if !shares_base {
            return chip.base;
        }
        scratch.clear();
        scratch.extend_from_slice(&texts[chip.base]);
        scratch.push(b'_');
        let base_end = scratch.len();
        if !shares_name {
            clean_into(scratch, &texts[chip.name]);
        }
        if scratch.len() == base_end {
            clean_into(scratch, &texts[chip.entry]);
        }
        texts.push(scratch)
    }

    /// Reads one chip; `Ok(false)` if time is up.
    fn read_chip(&mut self, index: usize, deadline: Instant) -> hostfs::Result<bool> {
        let chip_label = self.chip_label(index);
        let chip = &self.chips[index];
        let Hwmon { chip_filter, known_chips, files, chip_names, texts, scratch, .. } = self;
        if !known_chips.check(&texts[chip_label], |chip| chip_filter.passes(chip)) {
            return Ok(true);
        }
        files.clear();
        for (dir, in_device) in [(Some(&chip.dir), false), (chip.device.as_ref(), true)] {
            let Some(dir) = dir else { continue };
            dir.each_name(|name, file_type| {
                if !file_type.is_dir()
                    && let Some((sensor, property)) = explode(name)
                {
                    let file = texts.push(name);
                    files.push(Attribute { sensor, property: texts.push(property), in_device, file });
                }
            })?;
        }
        scratch.clear();
        clean_into(scratch, &texts[chip.name]);
        if !scratch.is_empty() {
            chip_names.push([chip_label, texts.push(scratch)]);
        }
        files.sort_unstable_by(|a, b| {
            a.sensor
                .cmp(&b.sensor)
                .then_with(|| texts[a.property].cmp(&texts[b.property]))
                .then_with(|| a.in_device.cmp(&b.in_device))
                .then_with(|| texts[a.file].cmp(&texts[b.file]))
        });
        let mut start = 0;
        while let Some(first) = self.files.get(start) {
            let sensor = first.sensor;
            let count = self.files[start..].iter().take_while(|file| file.sensor == sensor).count();
            if !self.read_sensor(index, chip_label, start..start + count, deadline) {
                return Ok(false);
            }
            start += count;
        }
        Ok(true)
    }

    /// Reads one sensor, which has at least one file; `false` if time is up.
    fn read_sensor(&mut self, chip: usize, chip_label: Span, files: Range<usize>, deadline: Instant) -> bool {
        let Hwmon { sensor_filter, known_sensors, chips, values, labels, texts, scratch, buf, .. } = self;
        let (chip, files) = (&chips[chip], &self.files[files]);
        let Sensor { kind, number } = files[0].sensor;
        scratch.clear();
        scratch.extend_from_slice(&texts[chip_label]);
        scratch.push(b';');
        let start = scratch.len();
        scratch.extend_from_slice(kind.name().as_bytes());
        decimal_into(scratch, number);
        if !known_sensors.check(scratch, |sensor| sensor_filter.passes(sensor)) {
            return true;
        }
        let sensor = texts.push(&scratch[start..]);
        values.clear();
        let mut label = None;
        for file in files {
            if Instant::now() + MARGIN >= deadline {
                return false;
            }
            let dir = if file.in_device { chip.device.as_ref() } else { Some(&chip.dir) };
            let name = OsStr::from_bytes(&texts[file.file]);
            let Some(Ok(Some(bytes))) = dir.map(|dir| dir.attribute(name, buf)) else { continue };
            let bytes = trim_newlines(bytes);
            if &texts[file.property] == b"label" {
                label = Some(texts.push(&bytes[..bytes.len().min(LABEL_MOST)]));
                continue;
            }
            // Two files of one property (one of the chip, one of its device): the one that is read last counts.
            values.pop_if(|(property, _)| texts[*property] == texts[file.property]);
            values.push((file.property, scan::float(bytes)));
        }
        if let Some(label) = label {
            scratch.clear();
            valid_into(scratch, &texts[label]);
            labels.push([chip_label, texts.push(scratch), sensor]);
        }
        let has_plain = values.first().is_some_and(|&(property, _)| property.is_empty());
        for &(property, value) in values.iter() {
            let Some(value) = value else { continue };
            let mut sensor = sensor;
            let unit = Unit::of(kind, &texts[property]);
            if unit == Unit::Megahertz {
                // A frequency is named by its label alone.
                let Some(label) = label else { continue };
                scratch.clear();
                clean_into(scratch, &texts[label]);
                sensor = texts.push(scratch);
            }
            scratch.clear();
            if family_into(scratch, kind, &texts[property], has_plain, unit) {
                let family = texts.push(scratch);
                let value = unit.convert(value);
                let order = self.readings.len();
                self.readings.push(Reading {
                    family,
                    chip: chip_label,
                    sensor,
                    kind,
                    property,
                    unit,
                    value,
                    order,
                });
            }
        }
        true
    }
}

impl Collector for Hwmon {
    fn collect(&mut self, out: &mut Text, deadline: Instant) -> Result<(), Error> {
        let problem = self.read(deadline)?;
        let Hwmon { chip_names, labels, readings, texts, scratch, .. } = self;
        let label = |span: Span| LabelValue::from(&texts[span]);

        chip_names.sort_unstable_by(|a, b| a.map(|s| &texts[s]).cmp(&b.map(|s| &texts[s])));
        chip_names.dedup_by(|a, b| a.map(|s| &texts[s]) == b.map(|s| &texts[s]));
        let mut family =
            out.family("node_hwmon_chip_names", Kind::Gauge, "What the driver calls the chip; always 1.");
        for &[chip, name] in chip_names.iter() {
            family.sample(&[("chip", label(chip)), ("chip_name", label(name))], 1u64);
        }
        drop(family);

        labels.sort_unstable_by(|a, b| a.map(|s| &texts[s]).cmp(&b.map(|s| &texts[s])));
        labels.dedup_by(|a, b| a.map(|s| &texts[s]) == b.map(|s| &texts[s]));
        let mut family =
            out.family("node_hwmon_sensor_label", Kind::Gauge, "What the driver calls the sensor; always 1.");
        for &[chip, name, sensor] in labels.iter() {
            family.sample(&[("chip", label(chip)), ("label", label(name)), ("sensor", label(sensor))], 1u64);
        }
        drop(family);

        // Of two chips that have one name in spite of all, the first in the class counts.
        let key = |r: &Reading| (&texts[r.family], &texts[r.chip], &texts[r.sensor]);
        readings.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(a.order.cmp(&b.order)));
        readings.dedup_by(|a, b| key(a) == key(b));
        for readings in readings.chunk_by(|a, b| texts[a.family] == texts[b.family]) {
            let Reading { family, kind, property, unit, .. } = readings[0];
            scratch.clear();
            help_into(scratch, kind, &texts[property], unit);
            let mut family = out.family_bytes(&texts[family], unit.kind(), scratch);
            for reading in readings {
                family.sample(
                    &[("chip", label(reading.chip)), ("sensor", label(reading.sensor))],
                    reading.value,
                );
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

/// Appends the name of a family; `false` for a value that has none.
fn family_into(out: &mut Vec<u8>, kind: Type, property: &[u8], has_plain: bool, unit: Unit) -> bool {
    out.extend_from_slice(b"node_hwmon_");
    match kind {
        Type::BeepEnable => out.extend_from_slice(b"beep"),
        Type::Vrm => out.extend_from_slice(b"voltage_regulator_version"),
        _ => out.extend_from_slice(kind.name().as_bytes()),
    }
    match (kind, property) {
        (Type::BeepEnable | Type::Vrm | Type::UpdateInterval, _) if !property.is_empty() => return false,
        (_, b"") => {}
        // The input is the sensor's value, unless there is a file without a property.
        (_, b"input") if !has_plain => {}
        (_, property) => {
            out.push(b'_');
            clean_into(out, property);
        }
    }
    out.extend_from_slice(unit.suffix().as_bytes());
    true
}

fn help_into(out: &mut Vec<u8>, kind: Type, property: &[u8], unit: Unit) {
    out.extend_from_slice(b"Hardware sensor: ");
    out.extend_from_slice(kind.name().as_bytes());
    if !property.is_empty() {
        out.push(b' ');
        out.extend_from_slice(property);
    }
    out.extend_from_slice(b", ");
    out.extend_from_slice(unit.words().as_bytes());
    out.push(b'.');
}

/// Splits a file's name into its sensor and its property, which may be empty; `None` if it is of no sensor.
fn explode(name: &[u8]) -> Option<(Sensor, &[u8])> {
    let letters = name.iter().position(u8::is_ascii_digit).unwrap_or(name.len());
    let digits = name[letters..].iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = name[letters..].split_at(digits);
    let is_property = |rest: &[u8]| rest.len() > 1 && rest[0] == b'_' && !rest.contains(&b'\n');
    if letters > 0 && (rest.is_empty() || is_property(rest)) {
        let number = if number.is_empty() { 0 } else { scan::signed(number)?.unsigned_abs() };
        let sensor = Sensor { kind: Type::parse(&name[..letters])?, number };
        return Some((sensor, rest.get(1..).unwrap_or_default()));
    }
    // No number before a property, which then holds the first digit: `in_0x`.
    let at = (1..letters).rev().find(|&at| is_property(&name[at..]))?;
    Some((Sensor { kind: Type::parse(&name[..at])?, number: 0 }, &name[at + 1..]))
}

/// Appends the name of a chip that is made from its device's path: the last two elements, such as bus and device.
fn device_name_into(out: &mut Vec<u8>, path: &[u8]) {
    let mut elements = path.rsplit(|&b| b == b'/');
    let (device, bus) = (elements.next().unwrap_or_default(), elements.next().unwrap_or_default());
    clean_into(out, bus);
    let bus_end = out.len();
    if bus_end > 0 {
        out.push(b'_');
    }
    let device_start = out.len();
    clean_into(out, device);
    if out.len() == device_start {
        out.clear();
    }
}

/// Appends `name` as part of a metric's name: small letters, digits, colons and underscores, none of the last at either end.
fn clean_into(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    let mut push = |b: u8| {
        let b = match b.to_ascii_lowercase() {
            b @ (b'a'..=b'z' | b'0'..=b'9' | b':') => b,
            _ => b'_',
        };
        if b != b'_' || out.len() > start {
            out.push(b);
        }
    };
    if name.is_ascii() {
        name.iter().copied().for_each(push);
    } else {
        // One underscore per character, and per byte that is part of none.
        for chunk in name.utf8_chunks() {
            chunk.valid().chars().for_each(|c| push(u8::try_from(c).unwrap_or(b'_')));
            chunk.invalid().iter().for_each(|_| push(b'_'));
        }
    }
    while out.len() > start && out.ends_with(b"_") {
        out.pop();
    }
}

/// Appends `text` with each run of bytes that are not UTF-8 replaced by one U+FFFD.
fn valid_into(out: &mut Vec<u8>, text: &[u8]) {
    let mut in_run = false;
    for chunk in text.utf8_chunks() {
        in_run &= chunk.valid().is_empty();
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() && !in_run {
            out.extend_from_slice("\u{fffd}".as_bytes());
            in_run = true;
        }
    }
}

fn decimal_into(out: &mut Vec<u8>, number: u64) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{number}");
}

fn trim_newlines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_suffix(b"\n") {
        bytes = rest;
    }
    while let Some(rest) = bytes.strip_prefix(b"\n") {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Tree, collect};

    /// Chip `entry` of a device, with these attributes.
    fn chip(tree: &Tree, entry: &str, device: &str, files: &[(&str, &str)]) {
        let dir = format!("sys/devices/{device}/hwmon/{entry}");
        for (name, contents) in files {
            tree.write(&format!("{dir}/{name}"), contents);
        }
        tree.link(&format!("{dir}/device"), "../..");
        tree.link(&format!("sys/class/hwmon/{entry}"), format!("../../devices/{device}/hwmon/{entry}"));
    }

    #[test]
    fn each_type_has_its_unit() {
        let tree = Tree::new(&[]);
        chip(
            &tree,
            "hwmon0",
            "platform/Nct6775.656",
            &[
                ("name", "nct6779\n"),
                ("beep_enable", "1\n"),
                ("cpu0_vid", "1300\n"),
                ("curr1_input", "250\n"),
                ("energy1_input", "2500000\n"),
                ("fan1_alarm", "0\n"),
                ("fan1_beep", "1\n"),
                ("fan1_input", "1098\n"),
                ("fan1_pulses", "2\n"),
                ("freq1_input", "214000000\n"),
                ("freq1_label", "sclk\n"),
                ("freq2_input", "1\n"),
                ("humidity1_input", "45000\n"),
                ("in0_input", "792\n"),
                ("intrusion0_alarm", "1\n"),
                ("power1_accuracy", "50000\n"),
                ("power1_average", "23000000\n"),
                ("power1_average_interval", "1000\n"),
                ("pwm1", "99\n"),
                ("pwm1_auto_point1_pwm", "63\n"),
                ("temp1_input", "-5000\n"),
                ("temp1_crit_alarm", "1000\n"),
                ("temp1_label", "SYSTIN\n"),
                ("temp1_type", "4\n"),
                ("update_interval", "1500\n"),
                ("vrm", "100\n"),
                ("uevent", "1\n"),
                ("other1_input", "1\n"),
            ],
        );
        let all = tree.samples(&ENTRY, &[]);
        let expected = [
            "node_hwmon_chip_names{chip=\"platform_nct6775_656\",chip_name=\"nct6779\"} 1",
            "node_hwmon_sensor_label{chip=\"platform_nct6775_656\",label=\"sclk\",sensor=\"freq1\"} 1",
            "node_hwmon_sensor_label{chip=\"platform_nct6775_656\",label=\"SYSTIN\",sensor=\"temp1\"} 1",
        ];
        let mut lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines[0], expected[0]);
        assert_eq!(lines[1..3], [expected[2], expected[1]], "capitals come first");
        let rest: Vec<String> =
            lines.drain(3..).map(|l| l.replace("{chip=\"platform_nct6775_656\",sensor=", " ")).collect();
        assert_eq!(
            rest,
            [
                "node_hwmon_beep_enabled \"beep_enable0\"} 1",
                "node_hwmon_cpu_vid_volts \"cpu0\"} 1.3",
                "node_hwmon_curr_amps \"curr1\"} 0.25",
                "node_hwmon_energy_joule_total \"energy1\"} 2.5",
                "node_hwmon_fan_alarm \"fan1\"} 0",
                "node_hwmon_fan_beep_enabled \"fan1\"} 1",
                "node_hwmon_fan_pulses \"fan1\"} 2",
                "node_hwmon_fan_rpm \"fan1\"} 1098",
                "node_hwmon_freq_freq_mhz \"sclk\"} 214",
                "node_hwmon_humidity \"humidity1\"} 0.045",
                "node_hwmon_in_volts \"in0\"} 0.792",
                "node_hwmon_intrusion_alarm \"intrusion0\"} 1",
                "node_hwmon_power_accuracy \"power1\"} 0.05",
                "node_hwmon_power_average_interval_seconds \"power1\"} 1",
                "node_hwmon_power_average_watt \"power1\"} 23",
                "node_hwmon_pwm \"pwm1\"} 99",
                "node_hwmon_pwm_auto_point1_pwm \"pwm1\"} 63",
                "node_hwmon_temp_celsius \"temp1\"} -5",
                "node_hwmon_temp_crit_alarm_celsius \"temp1\"} 1",
                "node_hwmon_temp_type \"temp1\"} 4",
                "node_hwmon_update_interval_seconds \"update_interval0\"} 1.5",
                "node_hwmon_voltage_regulator_version \"vrm0\"} 100",
            ]
        );
    }

    #[test]
    fn only_energy_is_a_counter_and_help_tells_the_unit() {
        let tree = Tree::new(&[
            ("sys/class/hwmon/hwmon0/energy1_input", "1\n"),
            ("sys/class/hwmon/hwmon0/temp1_crit", "1\n"),
        ]);
        let mut text = Text::new();
        tree.collector(&ENTRY, &[]).collect(&mut text, Instant::now() + Duration::from_secs(10)).unwrap();
        let text = std::str::from_utf8(text.bytes()).unwrap();
        assert!(text.contains("# TYPE node_hwmon_energy_joule_total counter\n"), "{text}");
        assert!(
            text.contains("# HELP node_hwmon_temp_crit_celsius Hardware sensor: temp crit, in degrees Celsius.\n# TYPE node_hwmon_temp_crit_celsius gauge\n"),
            "{text}"
        );
    }

    #[test]
    fn file_names_are_taken_apart_as_the_original_does() {
        let exploded = |name: &'static str| {
            explode(name.as_bytes()).map(|(sensor, property)| {
                (sensor.kind.name(), sensor.number, std::str::from_utf8(property).unwrap())
            })
        };
        for (name, expected) in [
            ("temp1_input", Some(("temp", 1, "input"))),
            ("temp01_input", Some(("temp", 1, "input"))),
            ("fan", Some(("fan", 0, ""))),
            ("pwm2", Some(("pwm", 2, ""))),
            ("pwm1_auto_point1_pwm", Some(("pwm", 1, "auto_point1_pwm"))),
            ("beep_enable", Some(("beep_enable", 0, ""))),
            ("in_0x", Some(("in", 0, "0x"))),
            ("power_x1y", Some(("power", 0, "x1y"))),
            ("temp1x", None),
            ("temp1_", None),
            ("temp1_a\nb", None),
            ("temp_input", None),
            ("1_input", None),
            ("_", None),
            ("", None),
            ("temp99999999999999999999_input", None),
            ("uevent", None),
        ] {
            assert_eq!(exploded(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_chip_is_named_by_device_then_by_name_then_by_directory() {
        let tree = Tree::new(&[
            ("sys/class/hwmon/hwmon1/name", "Max 1617\n"),
            ("sys/class/hwmon/hwmon1/temp1_input", "1000\n"),
            ("sys/class/hwmon/hwmon2/temp1_input", "2000\n"),
            ("sys/class/hwmon/hwmon3/device/temp1_input", "3000\n"),
            ("sys/class/hwmon/hwmon4/name", "_\n"),
            ("sys/class/hwmon/hwmon4/temp1_input", "4000\n"),
            ("sys/class/hwmon/file", "no directory\n"),
        ]);
        tree.link("sys/class/hwmon/hwmon5", "nowhere");
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_hwmon_chip_names{chip=\"max_1617\",chip_name=\"max_1617\"} 1\n\
             node_hwmon_temp_celsius{chip=\"hwmon2\",sensor=\"temp1\"} 2\n\
             node_hwmon_temp_celsius{chip=\"hwmon3_device\",sensor=\"temp1\"} 3\n\
             node_hwmon_temp_celsius{chip=\"hwmon4\",sensor=\"temp1\"} 4\n\
             node_hwmon_temp_celsius{chip=\"max_1617\",sensor=\"temp1\"} 1\n"
        );
    }

    #[test]
    fn chips_of_one_device_get_a_suffix_which_the_filter_sees() {
        let tree = Tree::new(&[]);
        chip(&tree, "hwmon1", "platform/asus-nb-wmi", &[("name", "asus\n"), ("fan1_input", "1\n")]);
        chip(&tree, "hwmon2", "platform/asus-nb-wmi", &[("name", "fan curve\n"), ("fan1_input", "2\n")]);
        chip(&tree, "hwmon3", "pci/x", &[("name", "same\n"), ("fan1_input", "3\n")]);
        chip(&tree, "hwmon4", "pci/x", &[("name", "same\n"), ("fan1_input", "4\n")]);
        chip(&tree, "hwmon5", "pci/x", &[("fan1_input", "5\n")]);
        let fans = |args: &[&str]| {
            let samples = tree.samples(&ENTRY, args);
            samples.lines().filter(|l| l.contains("rpm")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            fans(&[]),
            [
                "node_hwmon_fan_rpm{chip=\"pci_x_hwmon3\",sensor=\"fan1\"} 3",
                "node_hwmon_fan_rpm{chip=\"pci_x_hwmon4\",sensor=\"fan1\"} 4",
                "node_hwmon_fan_rpm{chip=\"pci_x_hwmon5\",sensor=\"fan1\"} 5",
                "node_hwmon_fan_rpm{chip=\"platform_asus_nb_wmi_asus\",sensor=\"fan1\"} 1",
                "node_hwmon_fan_rpm{chip=\"platform_asus_nb_wmi_fan_curve\",sensor=\"fan1\"} 2",
            ]
        );
        assert_eq!(fans(&["--collector.hwmon.chip-include=wmi_asus$"]).len(), 1);
        assert_eq!(fans(&["--collector.hwmon.chip-exclude=pci_x_hwmon[34]"]).len(), 3);
    }

    #[test]
    fn sensors_are_filtered_with_their_chip() {
        let tree = Tree::new(&[]);
        let files = [("temp1_input", "1\n"), ("temp1_label", "a\n"), ("temp10_input", "2\n")];
        chip(&tree, "hwmon0", "platform/a", &files);
        chip(&tree, "hwmon1", "platform/b", &files);
        assert_eq!(
            tree.samples(&ENTRY, &["--collector.hwmon.sensor-exclude=^platform_a;temp1$|;temp10$"]),
            "node_hwmon_sensor_label{chip=\"platform_b\",label=\"a\",sensor=\"temp1\"} 1\n\
             node_hwmon_temp_celsius{chip=\"platform_b\",sensor=\"temp1\"} 0.001\n"
        );
        let both =
            ["--collector.hwmon.sensor-include=;temp10$", "--collector.hwmon.sensor-exclude=platform_b"];
        assert_eq!(
            tree.samples(&ENTRY, &both),
            "node_hwmon_temp_celsius{chip=\"platform_a\",sensor=\"temp10\"} 0.002\n"
        );
    }

    #[test]
    fn what_cannot_be_read_or_is_no_number_is_left_out_alone() {
        let tree = Tree::new(&[
            ("sys/class/hwmon/hwmon0/temp1_input", ""),
            ("sys/class/hwmon/hwmon0/temp2_input", "N/A\n"),
            ("sys/class/hwmon/hwmon0/temp3_input", "4\u{0}2\n"),
            ("sys/class/hwmon/hwmon0/temp4_input/x", "a directory\n"),
            ("sys/class/hwmon/hwmon0/temp5_input", "42000\n"),
            ("sys/class/hwmon/hwmon0/beep_enable", "x\n"),
        ]);
        tree.link("sys/class/hwmon/hwmon0/temp6_input", "temp6_input");
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_hwmon_temp_celsius{chip=\"hwmon0\",sensor=\"temp5\"} 42\n"
        );
    }

    #[test]
    fn an_input_beside_a_file_without_property_keeps_its_word() {
        let tree = Tree::new(&[
            ("sys/class/hwmon/hwmon0/pwm1", "1\n"),
            ("sys/class/hwmon/hwmon0/pwm1_input", "2\n"),
            ("sys/class/hwmon/hwmon0/device/pwm1", "3\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_hwmon_pwm{chip=\"hwmon0_device\",sensor=\"pwm1\"} 3\n\
             node_hwmon_pwm_input{chip=\"hwmon0_device\",sensor=\"pwm1\"} 2\n"
        );
    }

    #[test]
    fn hostile_labels_and_properties() {
        let tree = Tree::new(&[("sys/class/hwmon/hwmon0/temp1_Crit-\u{e9}x", "1000\n")]);
        tree.write("sys/class/hwmon/hwmon0/temp1_label", b"\xff\xfe\"a\\\n\xc3(\n\n");
        tree.write("sys/class/hwmon/hwmon0/temp2_label", "\u{e9}".repeat(100));
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            format!(
                "node_hwmon_sensor_label{{chip=\"hwmon0\",label=\"{}\",sensor=\"temp2\"}} 1\n\
                 node_hwmon_sensor_label{{chip=\"hwmon0\",label=\"\u{fffd}\\\"a\\\\\\n\u{fffd}(\",sensor=\"temp1\"}} 1\n\
                 node_hwmon_temp_crit__x_celsius{{chip=\"hwmon0\",sensor=\"temp1\"}} 1\n",
                "\u{e9}".repeat(64)
            )
        );
    }

    #[test]
    fn values_and_devices_are_fresh_each_time() {
        let tree = Tree::new(&[]);
        chip(&tree, "hwmon0", "platform/a", &[("temp1_input", "1000\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        assert_eq!(
            collect(&mut *collector).0,
            "node_hwmon_temp_celsius{chip=\"platform_a\",sensor=\"temp1\"} 1\n"
        );
        tree.remove("sys/class/hwmon/hwmon0");
        chip(&tree, "hwmon0", "platform/b", &[("temp1_input", "2000\n"), ("temp2_input", "3000\n")]);
        assert_eq!(
            collect(&mut *collector).0,
            "node_hwmon_temp_celsius{chip=\"platform_b\",sensor=\"temp1\"} 2\n\
             node_hwmon_temp_celsius{chip=\"platform_b\",sensor=\"temp2\"} 3\n"
        );
    }

    #[test]
    fn no_class_is_no_data_and_an_empty_one_is_well() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        let tree = Tree::new(&[("sys/class/hwmon/file", "")]);
        assert_eq!(tree.samples(&ENTRY, &[]), "");
    }

    #[test]
    fn time_that_is_up_ends_the_reading_with_an_error() {
        let tree =
            Tree::new(&[("sys/class/hwmon/hwmon0/name", "a\n"), ("sys/class/hwmon/hwmon0/pwm1", "1\n")]);
        let mut text = Text::new();
        let result = tree.collector(&ENTRY, &[]).collect(&mut text, Instant::now());
        assert!(matches!(result, Err(Error::Failed(_))));
        assert_eq!(text.len(), 1, "the chip's name needs no sensor");
    }
}
