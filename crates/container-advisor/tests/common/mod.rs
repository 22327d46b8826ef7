//! What the tests that compare with the original share: answers as sets of series, and the differences that are meant.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use testbed::exposition;

/// The program: `CONTAINER_ADVISOR_BIN`, or the one that cargo built for this test.
pub fn binary() -> PathBuf {
    // Asked for at run time: a compiler behind a shell does not see a variable with such a name.
    let built =
        || std::env::var_os("CARGO_BIN_EXE_container-advisor").expect("cargo builds it and says where");
    std::env::var_os("CONTAINER_ADVISOR_BIN").unwrap_or_else(built).into()
}

/// A series: its name and labels. A label without a value is no label, and is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Series {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    pub fn is_root(&self) -> bool {
        self.label("id") == "/"
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.name, labels.join(","))
    }
}

/// An answer: series with their values, types by name.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub values: BTreeMap<Series, f64>,
    pub types: BTreeMap<String, String>,
    /// Series that came more than once, or with a timestamp.
    pub faults: Vec<String>,
}

impl Answer {
    pub fn parse(text: &str) -> Self {
        let mut answer = Answer::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a TYPE line has a name and a type");
                answer.types.insert(name.to_owned(), kind.to_owned());
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The value begins after the labels, in which there may be anything.
            let end = line.rfind("} ").map_or_else(|| line.find(' ').expect("a value"), |at| at + 1);
            let mut rest = line[end..].split_whitespace();
            let value = rest.next().expect("a value");
            let value = value.parse().unwrap_or_else(|_| panic!("{line}: {value} is no number"));
            if rest.next().is_some() {
                answer.faults.push(format!("timestamp: {line}"));
            }
            let labels = exposition::labels(&line[..end]).into_iter();
            let labels = labels.filter(|(_, value)| !value.is_empty());
            let series = Series {
                name: exposition::name(line).to_owned(),
                labels: labels.map(|(name, value)| (name.to_owned(), value)).collect(),
            };
            if answer.values.insert(series, value).is_some() {
                answer.faults.push(format!("twice: {line}"));
            }
        }
        answer
    }

    /// The same without the series that `keeps` turns down.
    #[must_use]
    pub fn filtered(mut self, keeps: impl Fn(&Series) -> bool) -> Self {
        self.values.retain(|series, _| keeps(series));
        let names: BTreeSet<&str> = self.values.keys().map(|series| series.name.as_str()).collect();
        self.types.retain(|name, _| names.contains(name.as_str()));
        self
    }

    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.values.iter().filter(|(series, _)| {
            series.name == name && labels.iter().all(|(name, value)| series.label(name) == *value)
        });
        let value = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "{name} {labels:?} is more than one series");
        value
    }
}

/// A difference in one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Diff {
    /// Ours lacks it; its value.
    Missing(f64),
    /// The original lacks it; its value.
    Extra(f64),
    /// The original's value, and ours.
    Value(f64, f64),
    /// The types differ.
    Type,
}

/// All differences; values are the same if `same` says so.
pub fn differences(
    original: &Answer,
    ours: &Answer,
    same: impl Fn(&Series, f64, f64) -> bool,
) -> Vec<(Series, Diff)> {
    let mut found = Vec::new();
    for (series, &value) in &original.values {
        match ours.values.get(series) {
            None => found.push((series.clone(), Diff::Missing(value))),
            Some(&our) if !same(series, value, our) => found.push((series.clone(), Diff::Value(value, our))),
            Some(_) => {}
        }
        if let (Some(a), Some(b)) = (original.types.get(&series.name), ours.types.get(&series.name))
            && a != b
        {
            found.push((series.clone(), Diff::Type));
        }
    }
    let extra = ours.values.iter().filter(|(series, _)| !original.values.contains_key(series));
    found.extend(extra.map(|(series, value)| (series.clone(), Diff::Extra(*value))));
    found
}

/// A kind of difference that is meant, or that is no fault of ours.
pub struct Meant {
    /// Why.
    pub why: &'static str,
    /// Whether it is this one.
    pub is: fn(&Series, Diff) -> bool,
}

fn is_missing(diff: Diff) -> bool {
    matches!(diff, Diff::Missing(_))
}

fn is_zero_there(diff: Diff) -> bool {
    matches!(diff, Diff::Missing(0.0) | Diff::Value(0.0, _))
}

/// The differences that the documentation lists.
pub const MEANT: &[Meant] = &[
    Meant {
        why: "a value that the kernel does not give is left out, or is there where the original writes 0",
        is: |series, diff| {
            let given = [
                "container_cpu_",
                "container_memory_events_",
                "container_memory_failcnt",
                "container_memory_file_",
                "container_memory_kernel_usage",
                "container_memory_max_usage_bytes",
                "container_memory_migrate",
                "container_memory_pg",
                "container_memory_swap",
                "container_memory_workingset_refault_",
                "container_pressure_",
                "container_spec_cpu_",
                "container_spec_memory_",
                "container_hugetlb_max_usage_bytes",
                "container_network_advance_tcp_stats_total",
                "machine_nvm_",
                "machine_cpu_books",
                "machine_cpu_drawers",
            ];
            is_zero_there(diff) && given.iter().any(|prefix| series.name.starts_with(prefix))
        },
    },
    Meant {
        why: "the load of tasks is written only with -enable_load_reader; without it the original writes 0",
        is: |series, diff| {
            let load = [
                "container_cpu_load_average_10s",
                "container_cpu_load_d_average_10s",
                "container_tasks_state",
            ];
            load.contains(&series.name.as_str()) && matches!(diff, Diff::Missing(0.0))
        },
    },
    Meant {
        why: "the machine's disk counters are not written under every container",
        is: |series, diff| {
            let counters = [
                "container_fs_io_current",
                "container_fs_io_time_seconds_total",
                "container_fs_io_time_weighted_seconds_total",
                "container_fs_read_seconds_total",
                "container_fs_reads_merged_total",
                "container_fs_reads_total",
                "container_fs_sector_reads_total",
                "container_fs_sector_writes_total",
                "container_fs_write_seconds_total",
                "container_fs_writes_merged_total",
                "container_fs_writes_total",
            ];
            !series.is_root() && is_missing(diff) && counters.contains(&series.name.as_str())
        },
    },
    Meant {
        why: "times of disks are in seconds, where the original takes milliseconds for nanoseconds",
        is: |series, diff| {
            series.is_root()
                && series.name.starts_with("container_fs_")
                && series.name.contains("_seconds_total")
                && matches!(diff, Diff::Value(..))
        },
    },
    Meant {
        why: "the machine's disks of any name have counters: nvme, mmcblk, md, and disks that are not mounted but used",
        is: |series, diff| {
            series.is_root()
                && ["container_fs_", "container_blkio_"].iter().any(|prefix| series.name.starts_with(prefix))
                && matches!(diff, Diff::Extra(_))
        },
    },
    Meant {
        why: "mounts of other containers are no filesystems of the machine's",
        is: |series, diff| {
            let device = series.label("device");
            series.is_root()
                && is_missing(diff)
                && (device.starts_with("overlay") || device.starts_with("/var/lib/docker"))
        },
    },
    Meant {
        why: "a container on the machine's network or on another container's does not repeat that traffic",
        is: |series, diff| {
            let shares =
                ["hostnet", "sidecar", "priv"].iter().any(|name| series.label("name").ends_with(name));
            shares && is_missing(diff) && series.name.starts_with("container_network_")
        },
    },
    Meant {
        why: "a filesystem without a disk has no counters of one, where the original writes 0",
        is: |series, diff| {
            let io = ["container_fs_io", "container_fs_read", "container_fs_sector", "container_fs_write"];
            series.is_root()
                && diff == Diff::Missing(0.0)
                && io.iter().any(|prefix| series.name.starts_with(prefix))
        },
    },
    Meant {
        why: "page faults of the hierarchy are those of all cgroups below too, where the original writes the cgroup's own twice",
        is: |series, diff| {
            series.name == "container_memory_failures_total"
                && series.label("scope") == "hierarchy"
                && matches!(diff, Diff::Value(original, ours) if ours > original)
        },
    },
    Meant {
        why: "cgroup v2 does not count the threads of the root",
        is: |series, diff| {
            series.is_root() && is_missing(diff) && series.name.starts_with("container_threads")
        },
    },
    Meant {
        why: "memory by NUMA node is there on cgroup v2 too",
        is: |series, diff| series.name == "container_memory_numa_pages" && matches!(diff, Diff::Extra(_)),
    },
    Meant {
        why: "a container of which no API tells has its network and its limits too",
        is: |series, diff| {
            let is_unnamed = series.label("name").is_empty() && series.label("id").contains("libpod-");
            let told = ["container_network_", "container_ulimits_soft"];
            is_unnamed
                && told.iter().any(|prefix| series.name.starts_with(prefix))
                && matches!(diff, Diff::Extra(_))
        },
    },
    Meant {
        why: "bytes discarded are counted on cgroup v2 too",
        is: |series, diff| series.label("operation") == "Discard" && matches!(diff, Diff::Extra(_)),
    },
    Meant {
        why: "inodes are those of the filesystem, where the original has those in use by the container, and 0 free",
        is: |series, diff| {
            !series.is_root()
                && series.name.starts_with("container_fs_inodes_")
                && matches!(diff, Diff::Value(..))
        },
    },
    Meant {
        why: "the OOM killer's victims come from the cgroup, where the original counts lines of the kernel's log since it was started",
        is: |series, diff| series.name == "container_oom_events_total" && is_zero_there(diff),
    },
    Meant {
        why: "new here: -extended_metrics=false turns them off",
        is: |series, diff| {
            let new = [
                "container_exit_code",
                "container_finished_time_seconds",
                "container_health_state",
                "container_memory_events_low_total",
                "container_memory_events_oom_",
                "container_oom_killed",
                "container_restart_count",
                "container_state",
            ];
            matches!(diff, Diff::Extra(_)) && new.iter().any(|prefix| series.name.starts_with(prefix))
        },
    },
    Meant {
        why: "metrics of this program have their own names; go_ ones have no meaning",
        is: |series, diff| {
            let own = ["container_advisor_", "process_", "promhttp_"];
            (matches!(diff, Diff::Extra(_) | Diff::Value(..))
                && own.iter().any(|prefix| series.name.starts_with(prefix)))
                || (is_missing(diff)
                    && ["go_", "process_"].iter().any(|prefix| series.name.starts_with(prefix)))
        },
    },
    Meant {
        why: "the program names itself and the engine's version",
        is: |series, diff| series.name == "cadvisor_version_info" && !matches!(diff, Diff::Type),
    },
];

/// What differs because release 0.38.7 of the original is an old one.
pub const OLD: &[Meant] = &[
    Meant {
        why: "families that are younger than the release of the original 0.38.7",
        is: |series, diff| {
            const YOUNGER: &[&str] = &[
                "container_blkio_device_usage_total",
                "container_cpu_cfs_burst_",
                "container_cpu_load_d_average_10s",
                "container_creation_time_seconds",
                "container_fs_io_cost_",
                "container_health_state",
                "container_memory_events_",
                "container_memory_file_",
                "container_memory_kernel_usage",
                "container_memory_migrate",
                "container_memory_pg",
                "container_memory_total_",
                "container_memory_workingset_refault_",
                "container_oom_events_total",
                "container_pressure_",
                "machine_cpu_books",
                "machine_cpu_drawers",
                "machine_swap_bytes",
            ];
            matches!(diff, Diff::Extra(_)) && YOUNGER.iter().any(|prefix| series.name.starts_with(prefix))
        },
    },
    Meant {
        why: "its start was the creation before 2026",
        is: |series, diff| series.name == "container_start_time_seconds" && matches!(diff, Diff::Value(..)),
    },
    Meant {
        why: "graphics cards, which the original has dropped since",
        is: |series, diff| {
            series.name.starts_with("container_accelerator_") && matches!(diff, Diff::Missing(_))
        },
    },
];

/// What is left when the meant differences are taken away, and which of `meant` were needed.
pub fn without_meant(
    found: Vec<(Series, Diff)>,
    meant: &[&[Meant]],
) -> (Vec<(Series, Diff)>, BTreeMap<&'static str, usize>) {
    let mut used = BTreeMap::new();
    let rest = found.into_iter().filter(|(series, diff)| {
        let entry = meant.iter().copied().flatten().find(|entry| (entry.is)(series, *diff));
        if let Some(entry) = entry {
            *used.entry(entry.why).or_default() += 1;
        }
        entry.is_none()
    });
    (rest.collect(), used)
}

/// Ends the test if a difference is left.
pub fn assert_none(context: &str, rest: &[(Series, Diff)]) {
    let shown: Vec<String> =
        rest.iter().take(25).map(|(series, diff)| format!("{diff:?} {series:.400}")).collect();
    assert!(rest.is_empty(), "{context}: {} differences\n{}", rest.len(), shown.join("\n"));
}
