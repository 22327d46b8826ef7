//! Batteries and chargers: the attributes of `/sys/class/power_supply/*`, see the kernel's Documentation/ABI/testing/sysfs-class-power.
//!
//! A supply has a few of the many attributes, so its directory is listed, and what is known is read. An attribute that a driver cannot answer at
//! the moment is left out. µV, µA, µW, µWh and µAh go out without the µ, tenths of a degree as degrees.

use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::{Memo, Pattern};
use exporter::text::{Label, LabelValue, Number};
use exporter::{Collector, Entry, Error, Flag, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use super::dmi::push_text;
use crate::paths;

const IGNORED: &str = "collector.powersupply.ignored-supplies";

pub(crate) const ENTRY: Entry = Entry {
    name: "powersupplyclass",
    on: true,
    help: "Batteries and chargers from /sys/class/power_supply.",
    flags: &[Flag::text(IGNORED, "^$", "Pattern of power supplies to leave out.")],
    new: |flags| {
        // An empty pattern matches everything.
        let ignored = match flags.pattern(IGNORED)? {
            Some(pattern) => pattern,
            None => Pattern::new("").map_err(|why| flags.error(IGNORED, why))?,
        };
        Ok(Box::new(PowerSupplyClass {
            class: paths::sys(flags).join("class/power_supply"),
            ignored,
            memo: Memo::default(),
            names: Names::new(),
            files: Names::new(),
            buf: Buf::new(),
            texts: Arena::new(),
            supplies: Vec::new(),
            scratch: Vec::new(),
        }))
    },
};

struct PowerSupplyClass {
    class: PathBuf,
    ignored: Pattern,
    memo: Memo,
    names: Names,
    files: Names,
    buf: Buf,
    texts: Arena,
    supplies: Vec<Supply>,
    scratch: Vec<u8>,
}

struct Supply {
    name: Span,
    numbers: [Option<i64>; NUMBERS.len()],
    /// In order of [`TEXTS`].
    texts: [Span; TEXTS.len()],
}

/// What a number counts.
#[derive(Clone, Copy)]
enum Unit {
    One,
    Millionths,
    Tenths,
}

use Unit::{Millionths, One, Tenths};

/// File, family, unit of the file, HELP.
const NUMBERS: [(&str, &str, Unit, &str); 49] = [
    ("authentic", "node_power_supply_authentic", One, "Whether the battery is genuine."),
    ("calibrate", "node_power_supply_calibrate", One, "Whether the battery is being calibrated."),
    ("capacity", "node_power_supply_capacity", One, "Charge, in percent."),
    (
        "capacity_alert_max",
        "node_power_supply_capacity_alert_max",
        One,
        "Charge above which the supply warns, in percent.",
    ),
    (
        "capacity_alert_min",
        "node_power_supply_capacity_alert_min",
        One,
        "Charge below which the supply warns, in percent.",
    ),
    (
        "charge_control_limit",
        "node_power_supply_charge_control_limit",
        Millionths,
        "Limit of the charging control, as set.",
    ),
    (
        "charge_control_limit_max",
        "node_power_supply_charge_control_limit_max",
        Millionths,
        "Highest limit of the charging control.",
    ),
    (
        "charge_counter",
        "node_power_supply_charge_counter",
        Millionths,
        "Charge that went in less what went out, in Ah.",
    ),
    (
        "charge_empty",
        "node_power_supply_charge_empty",
        Millionths,
        "Charge at which the battery counted as empty, in Ah.",
    ),
    (
        "charge_empty_design",
        "node_power_supply_charge_empty_design",
        Millionths,
        "Charge at which the battery is empty by design, in Ah.",
    ),
    (
        "charge_full",
        "node_power_supply_charge_full",
        Millionths,
        "Charge at which the battery counted as full, in Ah.",
    ),
    (
        "charge_full_design",
        "node_power_supply_charge_full_design",
        Millionths,
        "Charge at which the battery is full by design, in Ah.",
    ),
    ("charge_now", "node_power_supply_charge_ampere", Millionths, "Charge now, in Ah."),
    (
        "charge_term_current",
        "node_power_supply_charge_term_current",
        Millionths,
        "Current at which charging ends, in amperes.",
    ),
    (
        "constant_charge_current",
        "node_power_supply_constant_charge_current",
        Millionths,
        "Charging current as set, in amperes.",
    ),
    (
        "constant_charge_current_max",
        "node_power_supply_constant_charge_current_max",
        Millionths,
        "Highest charging current, in amperes.",
    ),
    (
        "constant_charge_voltage",
        "node_power_supply_constant_charge_voltage",
        Millionths,
        "Charging voltage as set, in volts.",
    ),
    (
        "constant_charge_voltage_max",
        "node_power_supply_constant_charge_voltage_max",
        Millionths,
        "Highest charging voltage, in volts.",
    ),
    ("current_boot", "node_power_supply_current_boot", Millionths, "Current at boot, in amperes."),
    ("current_max", "node_power_supply_current_max", Millionths, "Highest current, in amperes."),
    ("current_now", "node_power_supply_current_ampere", Millionths, "Current now, in amperes."),
    ("cycle_count", "node_power_supply_cyclecount", One, "Full cycles of charge and discharge."),
    (
        "energy_empty",
        "node_power_supply_energy_empty",
        Millionths,
        "Energy at which the battery counted as empty, in Wh.",
    ),
    (
        "energy_empty_design",
        "node_power_supply_energy_empty_design",
        Millionths,
        "Energy at which the battery is empty by design, in Wh.",
    ),
    (
        "energy_full",
        "node_power_supply_energy_full",
        Millionths,
        "Energy at which the battery counted as full, in Wh.",
    ),
    (
        "energy_full_design",
        "node_power_supply_energy_full_design",
        Millionths,
        "Energy at which the battery is full by design, in Wh.",
    ),
    ("energy_now", "node_power_supply_energy_watthour", Millionths, "Energy now, in Wh."),
    (
        "input_current_limit",
        "node_power_supply_input_current_limit",
        Millionths,
        "Limit of the input current, in amperes.",
    ),
    (
        "online",
        "node_power_supply_online",
        One,
        "Whether the supply is connected: 0 no, 1 yes, 2 with a fixed voltage.",
    ),
    ("power_now", "node_power_supply_power_watt", Millionths, "Power now, in watts."),
    (
        "precharge_current",
        "node_power_supply_precharge_current",
        Millionths,
        "Current while precharging, in amperes.",
    ),
    ("present", "node_power_supply_present", One, "Whether the battery is there."),
    ("temp", "node_power_supply_temp_celsius", Tenths, "Temperature, in degrees Celsius."),
    (
        "temp_alert_max",
        "node_power_supply_temp_alert_max_celsius",
        Tenths,
        "Temperature above which the supply warns, in degrees Celsius.",
    ),
    (
        "temp_alert_min",
        "node_power_supply_temp_alert_min_celsius",
        Tenths,
        "Temperature below which the supply warns, in degrees Celsius.",
    ),
    (
        "temp_ambient",
        "node_power_supply_temp_ambient_celsius",
        Tenths,
        "Temperature around it, in degrees Celsius.",
    ),
    (
        "temp_ambient_max",
        "node_power_supply_temp_ambient_max_celsius",
        Tenths,
        "Temperature around it above which the supply warns, in degrees Celsius.",
    ),
    (
        "temp_ambient_min",
        "node_power_supply_temp_ambient_min_celsius",
        Tenths,
        "Temperature around it below which the supply warns, in degrees Celsius.",
    ),
    (
        "temp_max",
        "node_power_supply_temp_max_celsius",
        Tenths,
        "Highest temperature to work at, in degrees Celsius.",
    ),
    (
        "temp_min",
        "node_power_supply_temp_min_celsius",
        Tenths,
        "Lowest temperature to work at, in degrees Celsius.",
    ),
    (
        "time_to_empty_now",
        "node_power_supply_time_to_empty_seconds",
        One,
        "Time until the battery is empty, in seconds.",
    ),
    (
        "time_to_full_now",
        "node_power_supply_time_to_full_seconds",
        One,
        "Time until the battery is full, in seconds.",
    ),
    ("voltage_boot", "node_power_supply_voltage_boot", Millionths, "Voltage at boot, in volts."),
    ("voltage_max", "node_power_supply_voltage_max", Millionths, "Highest voltage, in volts."),
    (
        "voltage_max_design",
        "node_power_supply_voltage_max_design",
        Millionths,
        "Highest voltage by design, in volts.",
    ),
    ("voltage_min", "node_power_supply_voltage_min", Millionths, "Lowest voltage, in volts."),
    (
        "voltage_min_design",
        "node_power_supply_voltage_min_design",
        Millionths,
        "Lowest voltage by design, in volts.",
    ),
    ("voltage_now", "node_power_supply_voltage_volt", Millionths, "Voltage now, in volts."),
    ("voltage_ocv", "node_power_supply_voltage_ocv", Millionths, "Voltage without load, in volts."),
];

/// Files that are labels of `node_power_supply_info`, and, in order, the label of the supply's name.
const TEXTS: [&str; 12] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    NAME,
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

const NAME: &str = "power_supply";

impl PowerSupplyClass {
    fn read(&mut self) -> hostfs::Result<()> {
        self.texts.clear();
        self.supplies.clear();
        let class = Dir::open(&self.class)?;
        class.names(&mut self.names)?;
        for name in self.names.iter() {
            let bytes = name.as_encoded_bytes();
            if self.memo.check(bytes, |name| self.ignored.is_match(name)) {
                continue;
            }
            let Some(dir) = class.dir(name)? else { continue };
            let name = self.texts.push(bytes);
            let texts = TEXTS.map(|label| if label == NAME { name } else { Span::default() });
            let mut supply = Supply { name, numbers: [None; NUMBERS.len()], texts };
            self.files.clear();
            let files = &mut self.files;
            dir.each_name(|file, _| files.push(file))?;
            for file in self.files.iter() {
                if let Some(at) = NUMBERS.iter().position(|number| file == number.0) {
                    supply.numbers[at] = dir.attribute(file, &mut self.buf)?.and_then(scan::signed_value);
                } else if let Some(at) = TEXTS.iter().position(|text| file == *text && *text != NAME)
                    && let Some(text) = dir.attribute(file, &mut self.buf)?
                {
                    self.scratch.clear();
                    push_text(&mut self.scratch, text.trim_ascii());
                    supply.texts[at] = self.texts.push(&self.scratch);
                }
            }
            self.supplies.push(supply);
        }
        Ok(())
    }
}

/// The labels of the info series, which has those alone that are not empty.
fn info<'t>(texts: &'t Arena, supply: &Supply) -> impl Iterator<Item = (&'static str, &'t [u8])> + use<'t> {
    TEXTS
        .into_iter()
        .zip(supply.texts)
        .filter(|(_, text)| !text.is_empty())
        .map(|(label, text)| (label, &texts[text]))
}

impl Collector for PowerSupplyClass {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        for (i, (_, family, unit, help)) in NUMBERS.into_iter().enumerate() {
            let mut family = out.family(family, Kind::Gauge, help);
            for supply in &self.supplies {
                if let Some(number) = supply.numbers[i] {
                    let number = match unit {
                        One => Number::I(number),
                        Millionths => Number::F(number as f64 / 1e6),
                        Tenths => Number::F(number as f64 / 10.0),
                    };
                    family.sample(&[(NAME, (&self.texts[supply.name]).into())], number);
                }
            }
        }
        // Series with fewer labels come first, then the values count.
        let values = |supply: &Supply| info(&self.texts, supply).map(|label| label.1);
        self.supplies.sort_unstable_by(|a, b| {
            values(a).count().cmp(&values(b).count()).then_with(|| values(a).cmp(values(b)))
        });
        let help = "Texts that describe the supply; always 1.";
        let mut family = out.family("node_power_supply_info", Kind::Gauge, help);
        for supply in &self.supplies {
            let mut labels: [Label<'_>; TEXTS.len()] = [("", LabelValue::Int(0)); TEXTS.len()];
            let mut count = 0;
            for (place, (label, value)) in labels.iter_mut().zip(info(&self.texts, supply)) {
                *place = (label, value.into());
                count += 1;
            }
            family.sample(&labels[..count], 1u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn numbers_in_their_units_and_texts_as_labels() {
        let tree = Tree::new(&[
            ("sys/class/power_supply/BAT0/capacity", "81\n"),
            ("sys/class/power_supply/BAT0/current_now", "-1200000\n"),
            ("sys/class/power_supply/BAT0/temp", "-51\n"),
            ("sys/class/power_supply/BAT0/voltage_now", "99999999999999999999\n"),
            ("sys/class/power_supply/BAT0/cycle_count", "x\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/serial_number", " \n"),
            ("sys/class/power_supply/BAT0/unknown_file", "1\n"),
            ("sys/class/power_supply/ZZ/type", "Mains\n"),
            ("sys/class/power_supply/A/usb_type", "[C]\n"),
        ]);
        tree.write("sys/class/power_supply/BAT0/model_name", b"N1\xff\xfe\n");
        tree.write("sys/class/power_supply/BAT0/power/type", b"not read\n");
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_power_supply_", ""),
            "capacity{power_supply=\"BAT0\"} 81\n\
             current_ampere{power_supply=\"BAT0\"} -1.2\n\
             temp_celsius{power_supply=\"BAT0\"} -5.1\n\
             info{power_supply=\"A\",usb_type=\"[C]\"} 1\n\
             info{power_supply=\"ZZ\",type=\"Mains\"} 1\n\
             info{model_name=\"N1\u{fffd}\",power_supply=\"BAT0\",type=\"Battery\"} 1\n"
        );
        let ignored = tree.samples(&ENTRY, &["--collector.powersupply.ignored-supplies=BAT|^A$"]);
        assert_eq!(ignored, "node_power_supply_info{power_supply=\"ZZ\",type=\"Mains\"} 1\n");
        assert_eq!(tree.samples(&ENTRY, &["--collector.powersupply.ignored-supplies="]), "");
    }

    #[test]
    fn no_class_is_no_data_and_an_empty_one_is_fine() {
        let tree = Tree::new(&[]);
        assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        std::fs::create_dir_all(tree.path("sys/class/power_supply")).unwrap();
        assert_eq!(tree.samples(&ENTRY, &[]), "");
    }
}
