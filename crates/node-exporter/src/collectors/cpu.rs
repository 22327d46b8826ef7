//! CPU time, topology and throttling: the CPU lines of `/proc/stat` (proc(5)), `/sys/devices/system/cpu`
//! (the kernel's Documentation/ABI/testing/sysfs-devices-system-cpu), and on demand `/proc/cpuinfo`.
//!
//! The kernel's idle and iowait times may fall, and other times with them, so each CPU's times are held where they would go backwards; when idle
//! falls by 3 s or more, the CPU was offline, and its times start anew. Times are in 1/100 s whatever the kernel's own tick.
//!
//! Which CPUs there are, which core and package each is of, and which have throttle counters, is found out once and again whenever
//! the kernel's lists of online and present CPUs change; a scrape otherwise reads those two lists and the counters.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::filter::Pattern;
use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Flag, FlagError, Flags, Kind, Text};
use hostfs::{Arena, Buf, Dir, File, Gone, Names, Span, scan};

use crate::{cpus, paths};

const GUEST: &str = "collector.cpu.guest";
const INFO: &str = "collector.cpu.info";
const FLAGS: &str = "collector.cpu.info.flags-include";
const BUGS: &str = "collector.cpu.info.bugs-include";

pub(crate) const ENTRY: Entry = Entry {
    name: "cpu",
    on: true,
    help: "CPU time, topology and throttling from /proc/stat and /sys/devices/system/cpu.",
    flags: &[
        Flag::switch(GUEST, true, "Export the time that guests ran."),
        Flag::switch(INFO, false, "Export model, topology and frequency of each CPU from /proc/cpuinfo."),
        Flag::text(FLAGS, "", "Pattern of CPU flags to show; turns --collector.cpu.info on."),
        Flag::text(BUGS, "", "Pattern of CPU bugs to show; turns --collector.cpu.info on."),
    ],
    new: |flags| Ok(Box::new(Cpu::new(flags)?)),
};

struct Cpu {
    stat: File,
    buf: Buf,
    times: Times,
    guest: bool,
    info: Option<Info>,
    /// In label order.
    isolated: Vec<u32>,
    topology: Topology,
}

impl Cpu {
    fn new(flags: &Flags) -> Result<Self, FlagError> {
        let (proc, sys) = (paths::proc(flags), paths::sys(flags));
        let (flag_names, bugs) = (flags.pattern(FLAGS)?, flags.pattern(BUGS)?);
        let info = (flags.switch(INFO) || flag_names.is_some() || bugs.is_some()).then(|| Info {
            // A line of flags alone has more than a kilobyte, for each CPU.
            file: proc.file("cpuinfo").with_cap(16 << 20),
            buf: Buf::new(),
            frequency: cpufreq_is_on(flags),
            flags: Words::new(flag_names),
            bugs: Words::new(bugs),
            processors: Vec::new(),
            texts: Arena::new(),
        });
        let dir = sys.join("devices/system/cpu");
        Ok(Cpu {
            stat: proc.file("stat"),
            buf: Buf::new(),
            times: Times::default(),
            guest: flags.switch(GUEST),
            info,
            isolated: isolated(&dir.join("isolated")),
            topology: Topology::new(dir),
        })
    }
}

/// Frequencies in `/proc/cpuinfo` cost an interrupt of each CPU; who switches `cpufreq` off does not want them from here either.
fn cpufreq_is_on(flags: &Flags) -> bool {
    const NAME: &str = "collector.cpufreq";
    const NO_DEFAULTS: &str = "collector.disable-defaults";
    if !flags.is_declared(NAME) {
        return true;
    }
    let defaults = !(flags.is_declared(NO_DEFAULTS) && flags.switch(NO_DEFAULTS));
    flags.switch(NAME) && (defaults || flags.is_given(NAME))
}

/// CPUs that the scheduler leaves alone, which is decided at boot; in label order.
fn isolated(file: &std::path::Path) -> Vec<u32> {
    /// More than any kernel can have: a range such as 0-4294967295 is a mistake.
    const MOST: u32 = 1 << 16;
    let mut buf = Buf::new();
    let list = hostfs::read(file, &mut buf).unwrap_or_default();
    let mut cpus = Vec::new();
    for range in cpus::ranges(list) {
        if let (Some(first), Some(last @ 0..MOST)) = range {
            cpus.extend(first..=last);
        }
    }
    cpus.sort_unstable_by_key(|&cpu| cpus::label_order(cpu));
    cpus.dedup();
    cpus
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        // Three sources, of which each may fail without the others.
        let times = match self.stat.read(&mut self.buf) {
            Ok(bytes) if self.times.update(bytes) => Ok(()),
            Ok(_) => Err(self.stat.malformed("lines of a CPU and its times")),
            Err(error) => Err(error),
        };
        let topology = self.topology.update(&mut self.buf);
        let info = self.info.as_mut().map_or(Ok(()), Info::update);

        if let Some(info) = &mut self.info
            && !info.processors.is_empty()
        {
            info.write(out);
        }
        if topology.is_ok() {
            self.topology.write(out);
        }
        let mut family =
            out.family("node_cpu_isolated", Kind::Gauge, "CPUs that the scheduler leaves alone; always 1.");
        for &cpu in &self.isolated {
            family.sample(&[("cpu", cpu.into())], 1u64);
        }
        drop(family);
        if times.is_ok() {
            self.times.write(self.guest, out);
        }
        times.and(topology).and(info).map_err(Error::from)
    }
}

/// Columns of a CPU line of `/proc/stat`.
const COLUMNS: usize = 10;
const IDLE: usize = 3;

/// Modes in label order, and their columns.
const MODES: [(&str, usize); 8] = [
    ("idle", IDLE),
    ("iowait", 4),
    ("irq", 5),
    ("nice", 1),
    ("softirq", 6),
    ("steal", 7),
    ("system", 2),
    ("user", 0),
];
const GUEST_MODES: [(&str, usize); 2] = [("nice", 9), ("user", 8)];

/// What the CPUs did so far.
#[derive(Default)]
struct Times {
    /// In order of number.
    cpus: Vec<Ticks>,
    /// The last scrape's, or memory for this one's.
    spare: Vec<Ticks>,
    /// Indices of `cpus` in label order.
    order: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    cpu: u32,
    /// Hundredths of a second; `None` if the kernel has no such column, or no number in it.
    columns: [Option<u64>; COLUMNS],
}

impl Times {
    /// Takes the contents of `/proc/stat`; false, and nothing is changed, if there is no CPU in it or one without times.
    fn update(&mut self, stat: &[u8]) -> bool {
        let new = &mut self.spare;
        new.clear();
        // The first lines are the CPUs'.
        for line in scan::lines(stat).take_while(|line| line.starts_with(b"cpu")) {
            // The line of all CPUs.
            if line.starts_with(b"cpu ") {
                continue;
            }
            let Some(ticks) = Ticks::parse(line) else { return false };
            new.push(ticks);
        }
        if !new.is_sorted_by(|a, b| a.cpu < b.cpu) {
            new.sort_by_key(|ticks| ticks.cpu);
            new.dedup_by_key(|ticks| ticks.cpu);
        }
        if new.is_empty() {
            return false;
        }
        let mut same = new.len() == self.cpus.len();
        for (i, ticks) in new.iter_mut().enumerate() {
            match self.cpus.get(i) {
                Some(old) if old.cpu == ticks.cpu => ticks.hold(old),
                _ => {
                    same = false;
                    if let Ok(i) = self.cpus.binary_search_by_key(&ticks.cpu, |old| old.cpu) {
                        ticks.hold(&self.cpus[i]);
                    }
                }
            }
        }
        std::mem::swap(&mut self.cpus, &mut self.spare);
        if !same {
            self.order.clear();
            self.order.extend((0..).take(self.cpus.len()));
            let cpus = &self.cpus;
            self.order.sort_unstable_by_key(|&i| cpus::label_order(cpus[i as usize].cpu));
        }
        true
    }

    fn write(&self, guest: bool, out: &mut Text) {
        if guest {
            let help = "Time that the CPU ran guests, in seconds; part of the modes user and nice.";
            self.write_family(
                &GUEST_MODES,
                &mut out.family("node_cpu_guest_seconds_total", Kind::Counter, help),
            );
        }
        let help = "Time that the CPU spent in each mode, in seconds.";
        self.write_family(&MODES, &mut out.family("node_cpu_seconds_total", Kind::Counter, help));
    }

    fn write_family(&self, modes: &[(&str, usize)], family: &mut exporter::text::Family<'_>) {
        for &i in &self.order {
            let ticks = &self.cpus[i as usize];
            for &(mode, column) in modes {
                if let Some(hundredths) = ticks.columns[column] {
                    family.sample(
                        &[("cpu", ticks.cpu.into()), ("mode", mode.into())],
                        hundredths as f64 / 100.0,
                    );
                }
            }
        }
    }
}

impl Ticks {
    /// A line of one CPU. The first four columns are as old as Linux.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = scan::fields(line);
        let cpu = cpus::number(fields.next()?)?;
        let mut columns = [None; COLUMNS];
        for column in &mut columns {
            *column = fields.next_u64();
        }
        columns[..=IDLE].iter().all(Option::is_some).then_some(Ticks { cpu, columns })
    }

    /// Keeps what was there before in the place of anything less, unless the CPU's record starts anew.
    fn hold(&mut self, old: &Ticks) {
        const RESTART: u64 = 300;
        if let (Some(old), Some(new)) = (old.columns[IDLE], self.columns[IDLE])
            && old.saturating_sub(new) >= RESTART
        {
            return;
        }
        for (new, old) in self.columns.iter_mut().zip(old.columns) {
            // `None` is less than any number, and stays: what cannot be read is not told.
            if new.is_some() && *new < old {
                *new = old;
            }
        }
    }
}

/// Which CPUs are online, and how often cores and packages were throttled.
struct Topology {
    dir: PathBuf,
    online_list: File,
    present_list: File,
    /// Both lists, as they were when the rest was found out.
    stamp: Vec<u8>,
    is_known: bool,
    new_stamp: Vec<u8>,
    /// In label order.
    online: Vec<(u32, bool)>,
    cores: Vec<Throttle>,
    packages: Vec<Throttle>,
    names: Names,
}

/// A counter of a core, or of a package.
struct Throttle {
    core: u32,
    package: u32,
    file: File,
    count: Option<u64>,
}

impl Topology {
    fn new(dir: PathBuf) -> Self {
        Topology {
            online_list: File::new(dir.join("online")),
            present_list: File::new(dir.join("present")),
            dir,
            stamp: Vec::new(),
            is_known: false,
            new_stamp: Vec::new(),
            online: Vec::new(),
            cores: Vec::new(),
            packages: Vec::new(),
            names: Names::new(),
        }
    }

    fn update(&mut self, buf: &mut Buf) -> hostfs::Result<()> {
        // Without the lists, changes do not show: then everything is found out each time.
        let mut is_known = self.is_known;
        self.new_stamp.clear();
        match self.online_list.read_attribute(buf).unavailable_is_none()? {
            Some(online) => self.new_stamp.extend_from_slice(online),
            None => is_known = false,
        }
        if let Some(present) = self.present_list.read_attribute(buf).unavailable_is_none()? {
            self.new_stamp.extend_from_slice(present);
        }
        if !is_known || self.stamp != self.new_stamp {
            self.is_known = false;
            self.find(buf)?;
            std::mem::swap(&mut self.stamp, &mut self.new_stamp);
            self.is_known = true;
        }
        self.read_counts(buf)
    }

    fn find(&mut self, buf: &mut Buf) -> hostfs::Result<()> {
        self.online.clear();
        self.cores.clear();
        self.packages.clear();
        let Some(dir) = Dir::open(&self.dir).gone_is_none()? else { return Ok(()) };
        dir.names(&mut self.names)?;
        let mut all: Vec<u32> = self.names.iter().filter_map(|name| cpus::number(name.as_bytes())).collect();
        all.sort_unstable_by_key(|&cpu| cpus::label_order(cpu));

        let mut has_online = true;
        for (i, &number) in all.iter().enumerate() {
            let name = format!("cpu{number}");
            let Some(cpu) = dir.dir(&name)? else { continue };
            // Where the first CPU cannot be switched off, as on most PCs, the original tells of none.
            if has_online {
                match cpu.attribute("online", buf)?.map(<[u8]>::trim_ascii) {
                    Some(b"1") => self.online.push((number, true)),
                    Some(b"0") => self.online.push((number, false)),
                    _ => has_online = i > 0,
                }
            }
            let mut id = |attribute: &str| -> hostfs::Result<Option<u32>> {
                let value = cpu.attribute(attribute, buf)?.and_then(scan::value);
                Ok(value.and_then(|id| id.try_into().ok()))
            };
            // An offline CPU has no topology.
            let Some(package) = id("topology/physical_package_id")? else { continue };
            let Some(core) = id("topology/core_id")? else { continue };
            let counter = |attribute: &str| {
                File::new(self.dir.join(&name).join("thermal_throttle").join(OsStr::new(attribute)))
            };
            let is_new =
                |known: &[Throttle], core| !known.iter().any(|t| (t.core, t.package) == (core, package));
            if is_new(&self.cores, core)
                && cpu.attribute("thermal_throttle/core_throttle_count", buf)?.is_some()
            {
                let file = counter("core_throttle_count");
                self.cores.push(Throttle { core, package, file, count: None });
            }
            if is_new(&self.packages, 0)
                && cpu.attribute("thermal_throttle/package_throttle_count", buf)?.is_some()
            {
                let file = counter("package_throttle_count");
                self.packages.push(Throttle { core: 0, package, file, count: None });
            }
        }
        let order = |t: &Throttle| (cpus::label_order(t.core), cpus::label_order(t.package));
        self.cores.sort_by_key(order);
        self.packages.sort_by_key(order);
        Ok(())
    }

    fn read_counts(&mut self, buf: &mut Buf) -> hostfs::Result<()> {
        /// Descriptors are few: a machine with more cores opens the rest anew.
        const KEPT: usize = 64;
        for (i, throttle) in self.packages.iter_mut().chain(&mut self.cores).enumerate() {
            let read = if i < KEPT {
                throttle.file.read_attribute(buf)
            } else {
                hostfs::read(throttle.file.path(), buf)
            };
            throttle.count = read.unavailable_is_none()?.and_then(scan::value);
            // Its CPU may have gone; another one of the core may tell.
            self.is_known &= throttle.count.is_some();
        }
        Ok(())
    }

    fn write(&self, out: &mut Text) {
        let mut family = out.family(
            "node_cpu_core_throttles_total",
            Kind::Counter,
            "Times that the core was throttled for heat.",
        );
        for core in &self.cores {
            if let Some(count) = core.count {
                family.sample(&[("core", core.core.into()), ("package", core.package.into())], count);
            }
        }
        drop(family);
        let mut family = out.family("node_cpu_online", Kind::Gauge, "Whether the CPU is online.");
        for &(cpu, online) in &self.online {
            family.sample(&[("cpu", cpu.into())], online);
        }
        drop(family);
        let mut family = out.family(
            "node_cpu_package_throttles_total",
            Kind::Counter,
            "Times that the package was throttled for heat.",
        );
        for package in &self.packages {
            if let Some(count) = package.count {
                family.sample(&[("package", package.package.into())], count);
            }
        }
    }
}

/// `/proc/cpuinfo`, whose keys differ by architecture.
struct Info {
    file: File,
    buf: Buf,
    frequency: bool,
    flags: Words,
    bugs: Words,
    processors: Vec<Processor>,
    texts: Arena,
}

#[derive(Clone, Copy)]
struct Processor {
    number: u32,
    texts: [Span; 9],
    megahertz: Option<f64>,
}

const CACHE_SIZE: usize = 0;
const CORE: usize = 1;
const FAMILY: usize = 2;
const MICROCODE: usize = 3;
const MODEL: usize = 4;
const MODEL_NAME: usize = 5;
const PACKAGE: usize = 6;
const STEPPING: usize = 7;
const VENDOR: usize = 8;

impl Info {
    fn update(&mut self) -> hostfs::Result<()> {
        self.processors.clear();
        let bytes = self.file.read(&mut self.buf)?;
        let mut parser =
            Parser { processors: &mut self.processors, texts: &mut self.texts, flags: None, bugs: None };
        let parsed = parser.parse(bytes);
        let (flags, bugs) = (parser.flags.unwrap_or_default(), parser.bugs.unwrap_or_default());
        if parsed.is_none() || self.processors.is_empty() {
            self.processors.clear();
            return Err(self.file.malformed("blocks of a processor and its properties"));
        }
        self.flags.update(flags);
        self.bugs.update(bugs);
        Ok(())
    }

    fn write(&mut self, out: &mut Text) {
        let Info { texts, processors, .. } = self;
        let text = |span: Span| LabelValue::from(&texts[span]);

        self.bugs.write("node_cpu_bug_info", "bug", "Bugs of the first CPU; always 1.", out);
        self.flags.write("node_cpu_flag_info", "flag", "Flags of the first CPU; always 1.", out);

        let by_core =
            |p: &Processor| (&texts[p.texts[CORE]], cpus::label_order(p.number), &texts[p.texts[PACKAGE]]);
        processors.sort_unstable_by(|a, b| by_core(a).cmp(&by_core(b)));
        processors.dedup_by(|a, b| by_core(a) == by_core(b));
        if self.frequency {
            let help = "Frequency of the CPU as /proc/cpuinfo tells it, in hertz.";
            let mut family = out.family("node_cpu_frequency_hertz", Kind::Gauge, help);
            for p in processors.iter() {
                if let Some(megahertz) = p.megahertz {
                    let labels = [
                        ("core", text(p.texts[CORE])),
                        ("cpu", p.number.into()),
                        ("package", text(p.texts[PACKAGE])),
                    ];
                    family.sample(&labels, megahertz * 1e6);
                }
            }
        }
        let by_cache =
            |p: &Processor| (&texts[p.texts[CACHE_SIZE]], &texts[p.texts[CORE]], cpus::label_order(p.number));
        processors.sort_unstable_by(|a, b| by_cache(a).cmp(&by_cache(b)));
        let mut family = out.family("node_cpu_info", Kind::Gauge, "Model and topology of the CPU; always 1.");
        for p in processors.iter() {
            let labels = [
                ("cachesize", text(p.texts[CACHE_SIZE])),
                ("core", text(p.texts[CORE])),
                ("cpu", p.number.into()),
                ("family", text(p.texts[FAMILY])),
                ("microcode", text(p.texts[MICROCODE])),
                ("model", text(p.texts[MODEL])),
                ("model_name", text(p.texts[MODEL_NAME])),
                ("package", text(p.texts[PACKAGE])),
                ("stepping", text(p.texts[STEPPING])),
                ("vendor", text(p.texts[VENDOR])),
            ];
            family.sample(&labels, 1u64);
        }
    }
}

/// Reads `/proc/cpuinfo` of any architecture: lines of a key and a value, a blank line between processors.
struct Parser<'a, 'b> {
    processors: &'a mut Vec<Processor>,
    texts: &'a mut Arena,
    flags: Option<&'b [u8]>,
    bugs: Option<&'b [u8]>,
}

impl<'b> Parser<'_, 'b> {
    /// `None` if a processor has no number.
    fn parse(&mut self, bytes: &'b [u8]) -> Option<()> {
        self.texts.clear();
        // What stands before the first processor counts for all.
        let mut common = Processor { number: 0, texts: [Span::default(); 9], megahertz: None };
        // Which processor the lines are about; none after a blank line, where others describe the machine.
        let mut current = None;
        for line in scan::lines(bytes) {
            if line.trim_ascii().is_empty() {
                current = None;
                continue;
            }
            let Some((key, value)) = scan::split_once(line, b':') else { continue };
            let key = key.trim_ascii();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            // s390 has its numbers in the key: `processor 0: version = FF`.
            let number = if key == b"processor" { Some(value) } else { key.strip_prefix(b"processor ") };
            if let Some(number) = number {
                let number = scan::value(number)?.try_into().ok()?;
                current = Some(self.processors.len());
                self.processors.push(Processor { number, ..common });
                continue;
            }
            match key {
                b"flags" | b"Features" | b"features" => {
                    self.flags.get_or_insert(value);
                }
                b"bugs" => {
                    self.bugs.get_or_insert(value);
                }
                // s390 again: more about the processors that were listed before.
                b"cpu number" => {
                    let number = scan::value(value);
                    current = self.processors.iter().position(|p| Some(u64::from(p.number)) == number);
                }
                b"BogoMIPS" if self.processors.is_empty() && !common.texts[MODEL_NAME].is_empty() => {
                    // Old 32-bit ARM kernels do not number a processor that is alone.
                    self.processors.push(common);
                }
                _ => {
                    let processor = match current {
                        Some(i) => &mut self.processors[i],
                        None if self.processors.is_empty() => &mut common,
                        None => continue,
                    };
                    match key {
                        b"cpu MHz" | b"CPU MHz" | b"cpu MHz dynamic" | b"clock" => {
                            processor.megahertz = leading_number(value);
                        }
                        _ => {
                            if let Some(label) = label_of(key) {
                                processor.texts[label] = self.texts.push(value);
                            }
                        }
                    }
                }
            }
        }
        Some(())
    }
}

/// The label that a key's value goes to.
fn label_of(key: &[u8]) -> Option<usize> {
    Some(match key {
        b"cache size" => CACHE_SIZE,
        b"core id" | b"hart" => CORE,
        b"cpu family" | b"CPU Family" => FAMILY,
        b"microcode" => MICROCODE,
        b"model" => MODEL,
        b"model name" | b"Model Name" | b"cpu model" | b"Processor" | b"isa" => MODEL_NAME,
        b"physical id" => PACKAGE,
        b"stepping" => STEPPING,
        b"vendor_id" | b"vendor" | b"system type" | b"cpu" => VENDOR,
        _ => return None,
    })
}

/// The number at the start of `3425.000000MHz`.
fn leading_number(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(text.len());
    scan::float(&text[..end])
}

/// Those words of a line that match a pattern. The line is the same at almost every scrape.
struct Words {
    pattern: Option<Pattern>,
    line: Vec<u8>,
    texts: Arena,
    /// In order.
    chosen: Vec<Span>,
}

impl Words {
    fn new(pattern: Option<Pattern>) -> Self {
        Words { pattern, line: Vec::new(), texts: Arena::new(), chosen: Vec::new() }
    }

    fn update(&mut self, line: &[u8]) {
        let Some(pattern) = &self.pattern else { return };
        if self.line == line {
            return;
        }
        self.line.clear();
        self.line.extend_from_slice(line);
        self.texts.clear();
        self.chosen.clear();
        for word in scan::fields(line).filter(|word| pattern.is_match(word)) {
            self.chosen.push(self.texts.push(word));
        }
        let texts = &self.texts;
        self.chosen.sort_by(|&a, &b| texts[a].cmp(&texts[b]));
        self.chosen.dedup_by(|a, b| texts[*a] == texts[*b]);
    }

    fn write(&self, family: &str, label: &str, help: &str, out: &mut Text) {
        let mut family = out.family(family, Kind::Gauge, help);
        for &word in &self.chosen {
            family.sample(&[(label, (&self.texts[word]).into())], 1u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Tree};

    const CPU: &str = "sys/devices/system/cpu";
    const STAT: &str = "cpu  30 0 0 200 0 0 0 0 0 0\n\
        cpu0 1001 2 3 10000 5 6 7 8 9 10 11\n\
        cpu2 1 2 3 4 5 6 7 8 9 10\n\
        cpu10 0 0 0 400 0 0 0 0 0 0\n\
        intr 1 2\n";

    fn seconds(cpu: u32, [idle, iowait, irq, nice, softirq, steal, system, user]: [&str; 8]) -> String {
        let modes = [
            ("idle", idle),
            ("iowait", iowait),
            ("irq", irq),
            ("nice", nice),
            ("softirq", softirq),
            ("steal", steal),
            ("system", system),
            ("user", user),
        ];
        let line =
            |(mode, value)| format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}} {value}\n");
        modes.into_iter().map(line).collect()
    }

    #[test]
    fn seconds_per_cpu_and_mode() {
        let tree = Tree::new(&[("proc/stat", STAT)]);
        let expected = [
            seconds(0, ["100", "0.05", "0.06", "0.02", "0.07", "0.08", "0.03", "10.01"]),
            seconds(10, ["4", "0", "0", "0", "0", "0", "0", "0"]),
            seconds(2, ["0.04", "0.05", "0.06", "0.02", "0.07", "0.08", "0.03", "0.01"]),
        ]
        .concat();
        assert_eq!(tree.samples(&ENTRY, &["--no-collector.cpu.guest"]), expected);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 0.1\n\
             node_cpu_guest_seconds_total{cpu=\"0\",mode=\"user\"} 0.09\n\
             node_cpu_guest_seconds_total{cpu=\"10\",mode=\"nice\"} 0\n\
             node_cpu_guest_seconds_total{cpu=\"10\",mode=\"user\"} 0\n\
             node_cpu_guest_seconds_total{cpu=\"2\",mode=\"nice\"} 0.1\n\
             node_cpu_guest_seconds_total{cpu=\"2\",mode=\"user\"} 0.09\n"
                .to_owned()
                + &expected
        );
    }

    #[test]
    fn what_goes_back_is_held_until_idle_falls_by_three_seconds() {
        let tree = Tree::new(&[("proc/stat", "cpu0 1000 0 0 10000 100 0 0 0\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        let mut of = |stat: &str| {
            tree.write("proc/stat", stat);
            let (samples, error) = testing::collect(&mut *collector);
            assert_eq!(error, None);
            samples
        };
        let with = |idle, iowait, user| seconds(0, [idle, iowait, "0", "0", "0", "0", "0", user]);
        assert_eq!(of("cpu0 1000 0 0 10000 100 0 0 0\n"), with("100", "1", "10"));
        assert_eq!(of("cpu0 900 0 0 9900 101 0 0 0\n"), with("100", "1.01", "10"), "held");
        assert_eq!(of("cpu0 1001 0 0 9701 40 0 0 0\n"), with("100", "1.01", "10.01"), "held, by 2.99 s");
        assert_eq!(of("cpu0 900 0 0 9700 40 0 0 0\n"), with("97", "0.4", "9"), "anew, by 3 s");
    }

    #[test]
    fn cpus_that_vanish_are_dropped_and_begin_anew() {
        let tree = Tree::new(&[("proc/stat", "cpu0 0 0 0 100\ncpu1 0 0 0 200\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        let mut idle = |stat: &str| {
            tree.write("proc/stat", stat);
            let samples = testing::collect(&mut *collector).0;
            samples
                .lines()
                .filter(|line| line.contains("idle"))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let of = |cpu: u32, value: &str| {
            format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} {value}\n")
        };
        assert_eq!(idle("cpu0 0 0 0 100\ncpu1 0 0 0 200\n"), of(0, "1") + &of(1, "2"));
        // One goes while another one comes.
        assert_eq!(idle("cpu0 0 0 0 90\ncpu10 0 0 0 5\n"), of(0, "1") + &of(10, "0.05"));
        assert_eq!(
            idle("cpu0 0 0 0 110\ncpu1 0 0 0 150\ncpu10 0 0 0 4\n"),
            of(0, "1.1") + &of(1, "1.5") + &of(10, "0.05")
        );
    }

    #[test]
    fn a_column_that_is_missing_or_wrong_is_left_out() {
        let tree = Tree::new(&[("proc/stat", "cpu0 1 2 3 4 -5 18446744073709551616 7\n")]);
        let samples = tree.samples(&ENTRY, &[]);
        let modes: Vec<&str> = samples.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
        assert_eq!(modes, ["idle", "nice", "softirq", "system", "user"]);
    }

    #[test]
    fn a_stat_that_is_none_fails_and_the_rest_stays() {
        for bad in [
            "",
            "\n",
            "cpu  1 2 3 4\n",
            "cpu0 1 2 3\n",
            "cpu0 1 2 x 4\n",
            "cpux 1 2 3 4\n",
            "cpu0 1 2 3 4",
            "\0\0\n",
        ] {
            let tree = Tree::new(&[("proc/stat", bad), ("sys/devices/system/cpu/isolated", "2-3,10\n")]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(matches!(error, Some(Error::Failed(_))), "{bad:?}");
            assert_eq!(
                samples,
                "node_cpu_isolated{cpu=\"10\"} 1\nnode_cpu_isolated{cpu=\"2\"} 1\nnode_cpu_isolated{cpu=\"3\"} 1\n",
                "{bad:?}"
            );
        }
    }

    /// A machine of two packages of two threads each, and what the collector says of it beside times.
    fn machine() -> Tree {
        let tree =
            Tree::new(&[("proc/stat", "cpu0 0 0 0 0\n"), ("sys/devices/system/cpu/online", "0-2,10\n")]);
        for (cpu, package, core, count) in [(0, 0, 0, 5), (1, 0, 0, 99), (2, 1, 0, 7), (10, 1, 1, 9)] {
            tree.write(&format!("{CPU}/cpu{cpu}/online"), "1\n");
            tree.write(&format!("{CPU}/cpu{cpu}/topology/physical_package_id"), format!("{package}\n"));
            tree.write(&format!("{CPU}/cpu{cpu}/topology/core_id"), format!("{core}\n"));
            tree.write(&format!("{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count"), format!("{count}\n"));
            tree.write(
                &format!("{CPU}/cpu{cpu}/thermal_throttle/package_throttle_count"),
                format!("{}\n", 30 + package),
            );
        }
        tree
    }

    fn topology(collector: &mut dyn Collector) -> String {
        let (samples, error) = testing::collect(collector);
        assert_eq!(error, None);
        let lines = samples.lines().filter(|line| !line.contains("_seconds_total"));
        lines.map(|line| line.strip_prefix("node_cpu_").unwrap().to_owned() + "\n").collect()
    }

    const MACHINE: &str = "core_throttles_total{core=\"0\",package=\"0\"} 5\n\
        core_throttles_total{core=\"0\",package=\"1\"} 7\n\
        core_throttles_total{core=\"1\",package=\"1\"} 9\n\
        online{cpu=\"0\"} 1\n\
        online{cpu=\"1\"} 1\n\
        online{cpu=\"10\"} 1\n\
        online{cpu=\"2\"} 1\n\
        package_throttles_total{package=\"0\"} 30\n\
        package_throttles_total{package=\"1\"} 31\n";

    #[test]
    fn counters_are_fresh_and_a_change_of_cpus_is_noticed() {
        let tree = machine();
        let mut collector = tree.collector(&ENTRY, &[]);
        assert_eq!(topology(&mut *collector), MACHINE);
        tree.write(&format!("{CPU}/cpu0/thermal_throttle/core_throttle_count"), "6\n");
        let fresh = MACHINE.replace("package=\"0\"} 5", "package=\"0\"} 6");
        assert_eq!(topology(&mut *collector), fresh);

        // CPU 10 goes offline: its topology and its counters vanish.
        std::fs::remove_dir_all(tree.path(&format!("{CPU}/cpu10/topology"))).unwrap();
        std::fs::remove_dir_all(tree.path(&format!("{CPU}/cpu10/thermal_throttle"))).unwrap();
        tree.write(&format!("{CPU}/cpu10/online"), "0\n");
        tree.write(&format!("{CPU}/online"), "0-2\n");
        let without = fresh
            .replace("core_throttles_total{core=\"1\",package=\"1\"} 9\n", "")
            .replace("online{cpu=\"10\"} 1", "online{cpu=\"10\"} 0");
        assert_eq!(topology(&mut *collector), without);
    }

    #[test]
    fn a_sibling_tells_when_a_cpu_is_gone_before_the_list_says_so() {
        let tree = machine();
        let mut collector = tree.collector(&ENTRY, &[]);
        assert_eq!(topology(&mut *collector), MACHINE);
        std::fs::remove_dir_all(tree.path(&format!("{CPU}/cpu0/thermal_throttle"))).unwrap();
        let gap = topology(&mut *collector);
        assert!(!gap.contains("core_throttles_total{core=\"0\",package=\"0\"}"), "{gap}");
        assert!(topology(&mut *collector).contains("core_throttles_total{core=\"0\",package=\"0\"} 99\n"));
    }

    #[test]
    fn without_online_files_of_the_first_cpu_none_is_told() {
        let tree = machine();
        tree.remove(&format!("{CPU}/cpu0/online"));
        assert!(!tree.samples(&ENTRY, &[]).contains("node_cpu_online"));
        tree.write(&format!("{CPU}/cpu0/online"), "1\n");
        tree.remove(&format!("{CPU}/cpu1/online"));
        let samples = tree.samples(&ENTRY, &[]);
        assert_eq!(samples.matches("node_cpu_online").count(), 3, "{samples}");
        assert!(!samples.contains("node_cpu_online{cpu=\"1\"}"), "{samples}");
    }

    #[test]
    fn without_topology_or_lists_there_is_no_throttling() {
        let tree = machine();
        tree.write(&format!("{CPU}/cpu0/topology/physical_package_id"), "-1\n");
        tree.remove(&format!("{CPU}/online"));
        let mut collector = tree.collector(&ENTRY, &[]);
        assert!(topology(&mut *collector).starts_with("core_throttles_total{core=\"0\",package=\"0\"} 99\n"));
        tree.write(&format!("{CPU}/cpu0/topology/physical_package_id"), "0\n");
        assert!(topology(&mut *collector).starts_with("core_throttles_total{core=\"0\",package=\"0\"} 5\n"));
    }

    #[test]
    fn isolated_cpus_of_an_impossible_range_are_none() {
        let tree =
            Tree::new(&[("proc/stat", STAT), ("sys/devices/system/cpu/isolated", "1,0-4294967295,x,3-3\n")]);
        let samples = tree.samples(&ENTRY, &[]);
        assert_eq!(samples.matches("node_cpu_isolated").count(), 2, "{samples}");
    }

    const X86: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\n\
        model name\t: Intel(R) Core(TM)  CPU @ 1.90GHz\nstepping\t: 10\nmicrocode\t: 0xb4\ncpu MHz\t\t: 799.998\n\
        cache size\t: 8192 KB\nphysical id\t: 0\ncore id\t\t: 1\nflags\t\t: fpu avx2 aes avx aes\nbugs\t\t: mds l1tf\n\
        power management:\n\nprocessor\t: 1\ncpu MHz\t\t: 800\nphysical id\t: 0\ncore id\t\t: 0\nflags\t\t: other\n\n";

    fn info(cpuinfo: &str, args: &[&str]) -> String {
        let tree = Tree::new(&[("proc/stat", "cpu0 0 0 0 0\n"), ("proc/cpuinfo", cpuinfo)]);
        let samples = tree.samples(&ENTRY, &[&["--no-collector.cpu.guest"], args].concat());
        samples[..samples.find("node_cpu_seconds_total").unwrap()].to_owned()
    }

    #[test]
    fn info_frequency_flags_and_bugs() {
        let without = "node_cpu_frequency_hertz{core=\"0\",cpu=\"1\",package=\"0\"} 8e+08\n\
             node_cpu_frequency_hertz{core=\"1\",cpu=\"0\",package=\"0\"} 7.99998e+08\n\
             node_cpu_info{cachesize=\"\",core=\"0\",cpu=\"1\",family=\"\",microcode=\"\",model=\"\",model_name=\"\",package=\"0\",stepping=\"\",vendor=\"\"} 1\n\
             node_cpu_info{cachesize=\"8192 KB\",core=\"1\",cpu=\"0\",family=\"6\",microcode=\"0xb4\",model=\"142\",model_name=\"Intel(R) Core(TM)  CPU @ 1.90GHz\",package=\"0\",stepping=\"10\",vendor=\"GenuineIntel\"} 1\n";
        assert_eq!(info(X86, &["--collector.cpu.info"]), without);
        assert_eq!(info(X86, &[]), "");
        assert_eq!(
            info(X86, &["--collector.cpu.info.flags-include=^a", "--collector.cpu.info.bugs-include=mds"]),
            format!(
                "node_cpu_bug_info{{bug=\"mds\"}} 1\nnode_cpu_flag_info{{flag=\"aes\"}} 1\n\
                 node_cpu_flag_info{{flag=\"avx\"}} 1\nnode_cpu_flag_info{{flag=\"avx2\"}} 1\n{without}"
            )
        );
    }

    #[test]
    fn other_architectures() {
        let labels = |cpuinfo: &str, present: &[&str]| {
            let samples = info(cpuinfo, &["--collector.cpu.info"]);
            for text in present {
                assert!(samples.contains(text), "{text} in {samples}");
            }
            samples.lines().count()
        };
        // 32-bit ARM; what describes the board is no processor's.
        let arm = "processor\t: 0\nmodel name\t: ARMv7 Processor rev 3 (v7l)\nBogoMIPS\t: 108.00\nFeatures\t: half thumb\n\n\
            processor\t: 1\nmodel name\t: ARMv7 Processor rev 3 (v7l)\n\nHardware\t: BCM2711\nModel\t\t: Raspberry Pi 4\n";
        assert_eq!(
            labels(
                arm,
                &[
                    "cpu=\"1\",family=\"\",microcode=\"\",model=\"\",model_name=\"ARMv7 Processor rev 3 (v7l)\""
                ]
            ),
            2
        );
        let old_arm = "Processor\t: ARMv6-compatible processor rev 7 (v6l)\nBogoMIPS\t: 697.95\nFeatures\t: swp half\n\nHardware\t: BCM2708\n";
        assert_eq!(
            labels(old_arm, &["cpu=\"0\"", "model_name=\"ARMv6-compatible processor rev 7 (v6l)\""]),
            1
        );
        let power = "processor\t: 8\ncpu\t\t: POWER9\nclock\t\t: 3425.000000MHz\n\ntimebase\t: 512\nmodel\t\t: 8335-GTH\n";
        assert_eq!(
            labels(power, &["cpu=\"8\",package=\"\"} 3.425e+09", "model=\"\"", "vendor=\"POWER9\""]),
            2
        );
        let s390 = "vendor_id       : IBM/S390\nfeatures\t: esan3 zarch\nprocessor 0: version = FF,  machine = 3906\nprocessor 1: version = FF\n\n\
            cpu number      : 1\nphysical id     : 2\ncore id         : 3\ncpu MHz dynamic : 5200\n";
        assert_eq!(
            labels(
                s390,
                &["core=\"3\",cpu=\"1\",package=\"2\"} 5.2e+09", "cpu=\"0\"", "vendor=\"IBM/S390\""]
            ),
            3
        );
        let mips = "system type\t\t: Broadcom BCM63XX\nmachine\t: X\nprocessor\t\t: 0\ncpu model\t\t: Broadcom BMIPS4350 V8.0\n";
        assert_eq!(
            labels(mips, &["vendor=\"Broadcom BCM63XX\"", "model_name=\"Broadcom BMIPS4350 V8.0\""]),
            1
        );
        let riscv = "processor\t: 0\nhart\t\t: 2\nisa\t\t: rv64imafdc\n";
        assert_eq!(labels(riscv, &["core=\"2\"", "model_name=\"rv64imafdc\""]), 1);
    }

    #[test]
    fn a_cpuinfo_that_is_none_fails_and_times_stay() {
        for bad in ["", "\n", "processor\t: x\n", "\0\0\n", "processor : 99999999999\n", "flags : a\n"] {
            let tree = Tree::new(&[("proc/stat", "cpu0 0 0 0 0\n"), ("proc/cpuinfo", bad)]);
            let (samples, error) = tree.collect(&ENTRY, &["--collector.cpu.info"]);
            assert!(matches!(error, Some(Error::Failed(_))), "{bad:?}");
            assert!(
                samples.starts_with("node_cpu_seconds_total") && !samples.contains("node_cpu_info"),
                "{samples}"
            );
        }
    }

    #[test]
    fn without_cpufreq_no_frequency() {
        let on = |args: &[&str]| {
            let flags = [
                Flag::switch("collector.cpufreq", true, ""),
                Flag::switch("collector.disable-defaults", false, ""),
            ];
            cpufreq_is_on(&Flags::for_test(&flags, args))
        };
        assert!(on(&[]) && on(&["--collector.disable-defaults", "--collector.cpufreq"]));
        assert!(!on(&["--no-collector.cpufreq"]) && !on(&["--collector.disable-defaults"]));
    }
}
