//! Frequencies and governors: `/sys/devices/system/cpu/cpu*/cpufreq/*`, see the kernel's Documentation/admin-guide/pm/cpufreq.rst.
//!
//! `cpuN/cpufreq` is the policy that steers CPU N; where CPUs share one (all of a Raspberry Pi's do) it is read once, as some
//! drivers take their time: firmware is asked, or the CPU is watched for some 20 ms. The kernel keeps the directories of offline CPUs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, File, Names, Span, scan};

use crate::{cpus, paths};

pub(crate) const ENTRY: Entry = Entry {
    name: "cpufreq",
    on: true,
    help: "CPU frequencies and governors from /sys/devices/system/cpu/cpu*/cpufreq.",
    flags: &[],
    new: |flags| {
        let sys = paths::sys(flags);
        Ok(Box::new(CpuFreq {
            dir: sys.join("devices/system/cpu"),
            offline: sys.file("devices/system/cpu/offline"),
            names: Names::new(),
            path: Vec::new(),
            policies: Vec::new(),
            governors: Vec::new(),
            cpus: Vec::new(),
            texts: Arena::new(),
            buf: Buf::new(),
        }))
    },
};

/// Attributes in kHz and their families, in order.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency that the hardware tells, in hertz."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency of the hardware, in hertz."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency of the hardware, in hertz."),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Frequency that the kernel chose last, in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Highest frequency that the kernel may choose, in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Lowest frequency that the kernel may choose, in hertz.",
    ),
];

struct CpuFreq {
    dir: PathBuf,
    offline: File,
    names: Names,
    /// Where `cpuN/cpufreq` is put together.
    path: Vec<u8>,
    policies: Vec<Policy>,
    /// Available governors of all policies, each policy's in order of name.
    governors: Vec<Span>,
    /// Online CPUs, and their policy once it is known.
    cpus: Vec<(u32, Option<u32>)>,
    texts: Arena,
    buf: Buf,
}

struct Policy {
    kilohertz: [Option<u64>; FREQUENCIES.len()],
    governor: Span,
    /// The first of its governors, and the one after the last.
    available: (usize, usize),
}

impl Collector for CpuFreq {
    fn collect(&mut self, out: &mut Text, deadline: Instant) -> Result<(), Error> {
        self.find_cpus().map_err(|error| Error::or_no_data(&error))?;
        let outcome = self.read_policies(deadline);
        for (i, (_, name, help)) in FREQUENCIES.into_iter().enumerate() {
            let mut family = out.family(name, Kind::Gauge, help);
            for (cpu, policy) in self.cpus_with_policy() {
                if let Some(kilohertz) = policy.kilohertz[i] {
                    family.sample(&[("cpu", cpu.into())], kilohertz as f64 * 1000.0);
                }
            }
        }
        let mut family = out.family(
            "node_cpu_scaling_governor",
            Kind::Gauge,
            "Whether the governor steers the CPU's frequency.",
        );
        for (cpu, policy) in self.cpus_with_policy() {
            let in_use = &self.texts[policy.governor];
            let available = &self.governors[policy.available.0..policy.available.1];
            // The one in use is always available: another word is none.
            if !available.iter().any(|&governor| &self.texts[governor] == in_use) {
                continue;
            }
            for &governor in available {
                let governor = &self.texts[governor];
                family.sample(&[("cpu", cpu.into()), ("governor", governor.into())], governor == in_use);
            }
        }
        drop(family);
        outcome
    }
}

impl CpuFreq {
    fn cpus_with_policy(&self) -> impl Iterator<Item = (u32, &Policy)> {
        self.cpus.iter().filter_map(|&(cpu, policy)| Some((cpu, &self.policies[policy? as usize])))
    }

    fn find_cpus(&mut self) -> hostfs::Result<()> {
        self.cpus.clear();
        Dir::open(&self.dir)?.names(&mut self.names)?;
        let offline = self.offline.read_attribute(&mut self.buf)?;
        for cpu in self.names.iter().filter_map(|name| cpus::number(name.as_bytes())) {
            match cpus::list_holds(offline, cpu) {
                Some(false) => self.cpus.push((cpu, None)),
                Some(true) => {}
                None => return Err(self.offline.malformed("a list of CPUs")),
            }
        }
        self.cpus.sort_unstable_by_key(|&(cpu, _)| cpus::label_order(cpu));
        Ok(())
    }

    fn read_policies(&mut self, deadline: Instant) -> Result<(), Error> {
        /// What one policy may take.
        const MARGIN: Duration = Duration::from_millis(200);

        self.policies.clear();
        self.governors.clear();
        self.texts.clear();
        let dir = Dir::open(&self.dir)?;
        let mut outcome = Ok(());
        for i in 0..self.cpus.len() {
            if self.cpus[i].1.is_some() {
                continue;
            }
            if Instant::now() + MARGIN >= deadline {
                return Err(Error::Failed(
                    format!("{}: no time left to read all CPUs", self.dir.display()).into(),
                ));
            }
            // A policy that cannot be read costs its own CPUs.
            if let Err(error) = self.read_cpu(i, &dir) {
                outcome = outcome.and(Err(error.into()));
            }
        }
        outcome
    }

    /// Reads the policy of a CPU, if it has one, and gives it to all CPUs that share it.
    fn read_cpu(&mut self, i: usize, dir: &Dir) -> hostfs::Result<()> {
        self.path.clear();
        self.path.extend_from_slice(b"cpu");
        exporter::text::integer_into(&mut self.path, self.cpus[i].0.into());
        self.path.extend_from_slice(b"/cpufreq");
        let Some(dir) = dir.dir(OsStr::from_bytes(&self.path))? else { return Ok(()) };
        let number = u32::try_from(self.policies.len()).ok();
        self.read_policy(&dir)?;
        self.cpus[i].1 = number;
        if let Some(affected) = dir.attribute("affected_cpus", &mut self.buf)? {
            for other in scan::fields(affected).filter_map(|n| scan::unsigned(n)?.try_into().ok()) {
                let order = cpus::label_order(other);
                if let Ok(at) = self.cpus.binary_search_by_key(&order, |&(cpu, _)| cpus::label_order(cpu)) {
                    self.cpus[at].1 = number;
                }
            }
        }
        Ok(())
    }

    fn read_policy(&mut self, dir: &Dir) -> hostfs::Result<()> {
        let mut kilohertz = [None; FREQUENCIES.len()];
        for (value, (attribute, ..)) in kilohertz.iter_mut().zip(FREQUENCIES) {
            *value = dir.attribute(attribute, &mut self.buf)?.and_then(scan::value);
        }
        let governor = match dir.attribute("scaling_governor", &mut self.buf)? {
            Some(governor) => self.texts.push(governor.trim_ascii()),
            None => Span::default(),
        };
        let first = self.governors.len();
        if !governor.is_empty()
            && let Some(available) = dir.attribute("scaling_available_governors", &mut self.buf)?
        {
            // Bytes that are no ASCII are no governor's name, and different ones would look the same.
            for name in scan::fields(available).filter(|name| name.is_ascii()) {
                // The few words of one attribute, and each makes a series of its own.
                if !self.governors[first..].iter().any(|&known| self.texts[known] == *name) {
                    let name = self.texts.push(name);
                    self.governors.push(name);
                }
            }
            let texts = &self.texts;
            self.governors[first..].sort_unstable_by(|&a, &b| texts[a].cmp(&texts[b]));
        }
        self.policies.push(Policy { kilohertz, governor, available: (first, self.governors.len()) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Tree};

    const CPU: &str = "sys/devices/system/cpu";

    fn tree(offline: &str) -> Tree {
        let tree = Tree::new(&[("sys/devices/system/cpu/offline", offline)]);
        for (cpu, current) in [(0, "800000"), (2, "1700000"), (10, "900000")] {
            for (attribute, value) in [
                ("cpuinfo_max_freq", "3700000"),
                ("scaling_cur_freq", current),
                ("scaling_governor", "schedutil"),
                ("scaling_available_governors", "schedutil performance "),
            ] {
                tree.write(&format!("{CPU}/cpu{cpu}/cpufreq/{attribute}"), format!("{value}\n"));
            }
        }
        std::fs::create_dir_all(tree.path(&format!("{CPU}/cpu1"))).unwrap();
        std::fs::create_dir_all(tree.path(&format!("{CPU}/cpuidle"))).unwrap();
        tree
    }

    #[test]
    fn online_cpus_in_label_order_in_hertz() {
        assert_eq!(
            tree("2-4,11\n").samples(&ENTRY, &[]),
            "node_cpu_frequency_max_hertz{cpu=\"0\"} 3.7e+09\n\
             node_cpu_frequency_max_hertz{cpu=\"10\"} 3.7e+09\n\
             node_cpu_scaling_frequency_hertz{cpu=\"0\"} 8e+08\n\
             node_cpu_scaling_frequency_hertz{cpu=\"10\"} 9e+08\n\
             node_cpu_scaling_governor{cpu=\"0\",governor=\"performance\"} 0\n\
             node_cpu_scaling_governor{cpu=\"0\",governor=\"schedutil\"} 1\n\
             node_cpu_scaling_governor{cpu=\"10\",governor=\"performance\"} 0\n\
             node_cpu_scaling_governor{cpu=\"10\",governor=\"schedutil\"} 1\n"
        );
    }

    #[test]
    fn a_shared_policy_is_read_once() {
        let tree = tree("\n");
        tree.write(&format!("{CPU}/cpu0/cpufreq/affected_cpus"), "0 2 7\n");
        // Cannot be what the kernel says of a shared policy: it shows which copy was read.
        tree.write(&format!("{CPU}/cpu2/cpufreq/scaling_cur_freq"), "1\n");
        let samples = tree.samples(&ENTRY, &[]);
        assert!(samples.contains("node_cpu_scaling_frequency_hertz{cpu=\"2\"} 8e+08\n"), "{samples}");
        assert!(samples.contains("node_cpu_scaling_frequency_hertz{cpu=\"10\"} 9e+08\n"), "{samples}");
        assert!(!samples.contains("cpu=\"7\""), "{samples}");
    }

    #[test]
    fn a_missing_or_bad_attribute_costs_itself() {
        let tree = tree("2,10\n");
        tree.remove(&format!("{CPU}/cpu0/cpufreq/scaling_available_governors"));
        tree.write(&format!("{CPU}/cpu0/cpufreq/scaling_cur_freq"), "<unknown>\n");
        assert_eq!(tree.samples(&ENTRY, &[]), "node_cpu_frequency_max_hertz{cpu=\"0\"} 3.7e+09\n");
    }

    #[test]
    fn a_governor_comes_once_and_has_a_name() {
        let tree = tree("2,10\n");
        let available = format!("{CPU}/cpu0/cpufreq/scaling_available_governors");
        tree.write(&available, b"schedutil performance \xfe schedutil performance \xff\n");
        let samples = tree.samples(&ENTRY, &[]);
        assert!(
            samples.ends_with(
                "node_cpu_scaling_governor{cpu=\"0\",governor=\"performance\"} 0\n\
                 node_cpu_scaling_governor{cpu=\"0\",governor=\"schedutil\"} 1\n"
            ) && samples.matches("governor=").count() == 2,
            "{samples}"
        );
    }

    #[test]
    fn a_governor_that_is_not_available_is_unknown() {
        let tree = tree("2,10\n");
        tree.write(&format!("{CPU}/cpu0/cpufreq/scaling_governor"), "sched\n");
        let samples = tree.samples(&ENTRY, &[]);
        assert!(
            samples.contains("node_cpu_scaling_frequency_hertz") && !samples.contains("governor"),
            "{samples}"
        );
    }

    #[test]
    fn a_policy_that_cannot_be_read_costs_itself() {
        let tree = tree("\n");
        tree.write(&format!("{CPU}/cpu0/cpufreq/scaling_governor"), vec![b'x'; 2 << 20]);
        let (samples, error) = tree.collect(&ENTRY, &[]);
        assert!(matches!(error, Some(Error::Failed(_))));
        assert!(!samples.contains("cpu=\"0\""), "{samples}");
        for cpu in ["10", "2"] {
            let governor = format!("node_cpu_scaling_governor{{cpu=\"{cpu}\",governor=\"schedutil\"}} 1\n");
            assert!(samples.contains(&governor), "{samples}");
        }
    }

    #[test]
    fn no_cpus_is_no_data_and_no_policies_is_fine() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        let tree = Tree::new(&[
            ("sys/devices/system/cpu/offline", "\n"),
            ("sys/devices/system/cpu/cpu0/online", "1\n"),
        ]);
        assert_eq!(tree.samples(&ENTRY, &[]), "");
    }

    #[test]
    fn a_bad_list_fails() {
        let (samples, error) = tree("x\n").collect(&ENTRY, &[]);
        assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{samples}");
    }

    #[test]
    fn it_stops_before_the_deadline() {
        let tree = tree("\n");
        let mut collector = tree.collector(&ENTRY, &[]);
        let mut out = Text::new();
        assert!(matches!(collector.collect(&mut out, Instant::now()), Err(Error::Failed(_))));
        assert!(out.is_empty());
        assert_eq!(testing::collect(&mut *collector).1, None);
    }
}
