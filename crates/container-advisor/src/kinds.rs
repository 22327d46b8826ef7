//! The kinds of metrics, which `--disable_metrics` and `--enable_metrics` name, with the original's defaults and its way of replacing
//! them: a list that is given takes the place of the default list.

use exporter::Flags;

/// A kind of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `container_network_advance_tcp_stats_total`.
    AdvancedTcp,
    /// Metrics of an application's own, which the original fetched by configuration files in labels. Nothing is written.
    App,
    /// CPU time.
    Cpu,
    /// Tasks by state; only with `--enable_load_reader`.
    CpuLoad,
    /// The machine's cores, caches and NUMA nodes.
    CpuTopology,
    /// `container_memory_migrate`.
    Cpuset,
    /// Space and inodes of filesystems.
    Disk,
    /// What block devices did.
    DiskIo,
    /// Huge pages.
    Hugetlb,
    /// Memory.
    Memory,
    /// Memory by NUMA node.
    MemoryNuma,
    /// Traffic by interface.
    Network,
    /// The OOM killer's victims.
    OomEvent,
    /// CPU time by CPU, on cgroup v1.
    PerCpu,
    /// Hardware counters, which need a library and a configuration that are not here. Nothing is written.
    PerfEvent,
    /// Pressure stall information.
    Pressure,
    /// Processes, threads, descriptors.
    Process,
    /// Pages referenced of late.
    ReferencedMemory,
    /// Intel's resource director, which is not here. Nothing is written.
    Resctrl,
    /// The scheduler's statistics.
    Sched,
    /// TCP sockets by state.
    Tcp,
    /// UDP sockets.
    Udp,
}

/// Every kind: its name in the flags, and whether it is on by default.
pub const ALL: [(Kind, &str, bool); 22] = [
    (Kind::AdvancedTcp, "advtcp", false),
    (Kind::App, "app", true),
    (Kind::Cpu, "cpu", true),
    (Kind::CpuLoad, "cpuLoad", true),
    (Kind::CpuTopology, "cpu_topology", false),
    (Kind::Cpuset, "cpuset", false),
    (Kind::Disk, "disk", true),
    (Kind::DiskIo, "diskIO", true),
    (Kind::Hugetlb, "hugetlb", false),
    (Kind::Memory, "memory", true),
    (Kind::MemoryNuma, "memory_numa", false),
    (Kind::Network, "network", true),
    (Kind::OomEvent, "oom_event", true),
    (Kind::PerCpu, "percpu", true),
    (Kind::PerfEvent, "perf_event", true),
    (Kind::Pressure, "pressure", true),
    (Kind::Process, "process", false),
    (Kind::ReferencedMemory, "referenced_memory", false),
    (Kind::Resctrl, "resctrl", false),
    (Kind::Sched, "sched", false),
    (Kind::Tcp, "tcp", false),
    (Kind::Udp, "udp", false),
];

/// The default of `--disable_metrics`, in the original's order.
pub const OFF: &str =
    "advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp";

/// Some of the kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Whether the kind is among them.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    fn with(self, kind: Kind) -> Self {
        Kinds(self.0 | 1 << kind as u8)
    }

    /// From the flags, and what should be logged about them: a word that is no kind is left out, as old compose files name kinds that
    /// are long gone.
    pub fn from_flags(flags: &Flags) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let mut list = |flag: &str| {
            let mut kinds = Kinds(0);
            for word in flags.text(flag).split(',').map(str::trim).filter(|word| !word.is_empty()) {
                match ALL.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(word)) {
                    Some(&(kind, ..)) => kinds = kinds.with(kind),
                    None => warnings.push(format!(
                        "-{flag}: {word} is no kind of metrics and is left out; the kinds are {}",
                        ALL.map(|(_, name, _)| name).join(", ")
                    )),
                }
            }
            kinds
        };
        let enabled = list("enable_metrics");
        let disabled = list("disable_metrics");
        let all = Kinds((1 << ALL.len()) - 1);
        let kinds =
            if flags.text("enable_metrics").is_empty() { Kinds(all.0 & !disabled.0) } else { enabled };
        (kinds, warnings)
    }
}

impl Default for Kinds {
    fn default() -> Self {
        ALL.iter().filter(|(.., on)| *on).fold(Kinds(0), |kinds, (kind, ..)| kinds.with(*kind))
    }
}

#[cfg(test)]
mod tests {
    use exporter::flags::Flag;

    use super::*;

    fn kinds(args: &[&str]) -> (Vec<&'static str>, Vec<String>) {
        const FLAGS: &[Flag] =
            &[Flag::text("disable_metrics", OFF, ""), Flag::text("enable_metrics", "", "")];
        let (kinds, warnings) = Kinds::from_flags(&Flags::for_test(FLAGS, args));
        (ALL.iter().filter(|(kind, ..)| kinds.has(*kind)).map(|(_, name, _)| *name).collect(), warnings)
    }

    #[test]
    fn the_table_and_the_defaults_agree() {
        assert!(ALL.iter().enumerate().all(|(i, (kind, ..))| *kind as usize == i));
        let off: Vec<&str> = ALL.iter().filter(|(.., on)| !on).map(|(_, name, _)| *name).collect();
        assert_eq!(off.join(","), OFF);
        let on: Vec<&str> = ALL.iter().filter(|(.., on)| *on).map(|(_, name, _)| *name).collect();
        assert_eq!(kinds(&[]), (on, vec![]));
    }

    #[test]
    fn a_list_replaces_the_default() {
        assert!(kinds(&["--disable_metrics=disk"]).0.contains(&"tcp"));
        assert_eq!(kinds(&["--disable_metrics="]).0.len(), 22);
        assert_eq!(kinds(&["--enable_metrics=cpu, memory", "--disable_metrics=cpu"]).0, ["cpu", "memory"]);
        assert_eq!(kinds(&["--enable_metrics=CPULOAD"]).0, ["cpuLoad"]);
    }

    #[test]
    fn an_unknown_kind_is_left_out_with_a_warning() {
        let (kinds, warnings) = kinds(&["--disable_metrics=accelerator,tcp"]);
        assert!(!kinds.contains(&"tcp") && kinds.contains(&"udp"));
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with("-disable_metrics: accelerator is no kind of metrics"),
            "{warnings:?}"
        );
    }
}
