//! The original's recorded answers over the trees of this crate: [`vm`](crate::tree::vm) and [`bighost`](crate::bighost).

use std::sync::OnceLock;

use crate::exposition::{Exposition, name};
use crate::http::gunzip;
use crate::shared::UPSTREAM_DEFAULTS;
use crate::tree::Host;

/// Switches off what asks the running kernel, and not the tree.
pub const OFF: [&str; 5] = [
    "--no-collector.selinux",
    "--no-collector.timex",
    "--no-collector.uname",
    "--no-collector.arp.netlink",
    "--no-collector.netdev.netlink",
];

/// Collectors that are off by default and read only the tree.
const ON: [&str; 11] = [
    "--collector.buddyinfo",
    "--collector.cgroups",
    "--collector.interrupts",
    "--collector.ksmd",
    "--collector.meminfo_numa",
    "--collector.mountstats",
    "--collector.processes",
    "--collector.slabinfo",
    "--collector.softirqs",
    "--collector.sysctl",
    "--collector.zoneinfo",
];

fn args() -> impl Iterator<Item = &'static str> {
    let sysctl = ["--collector.sysctl.include=fs.file-nr:total,current,max"];
    Host::PATHS.into_iter().chain(UPSTREAM_DEFAULTS).chain(OFF).chain(ON).chain(sysctl)
}

/// The command line over the recorded machine.
pub fn vm_args() -> Vec<&'static str> {
    args()
        .chain(["--collector.cpu.info", "--collector.stat.softirq", "--collector.vmstat.fields=.*"])
        .collect()
}

/// The command line over the big host.
pub fn big_args() -> Vec<&'static str> {
    args().collect()
}

/// An answer without what differs from run to run, or from machine to machine that has the tree.
pub fn comparable(answer: &str) -> Exposition {
    let all = Exposition::parse(answer).unwrap_or_else(|error| panic!("{error}"));
    // The size of the disk on which the tree lies.
    let sizes = [
        "node_filesystem_avail_bytes",
        "node_filesystem_files",
        "node_filesystem_files_free",
        "node_filesystem_free_bytes",
        "node_filesystem_size_bytes",
    ];
    all.filtered(|family, _| !is_of_the_run(family)).without_values(|name| sizes.contains(&name))
}

/// Families whose values are of the run: the runtime, the process, the clock.
pub fn is_of_the_run(family: &str) -> bool {
    let prefixes = [
        "go_",
        "process_",
        "promhttp_",
        "node_exporter_build_info",
        "node_time_zone_offset",
        "node_time_seconds",
    ];
    family == "node_scrape_collector_duration_seconds"
        || family == "node_textfile_mtime_seconds"
        || prefixes.iter().any(|prefix| family.starts_with(prefix))
}

/// The original's answer over [`crate::tree::vm`] with [`vm_args`].
pub fn vm() -> &'static Exposition {
    static VM: OnceLock<Exposition> = OnceLock::new();
    VM.get_or_init(|| Exposition::parse(include_str!("../fixtures/vm.prom")).unwrap())
}

/// The original's answer over [`crate::bighost::tree`] with [`big_args`].
pub fn big() -> &'static Exposition {
    static BIG: OnceLock<Exposition> = OnceLock::new();
    BIG.get_or_init(|| {
        let text = gunzip(include_bytes!("../fixtures/big.prom.gz"));
        Exposition::parse(std::str::from_utf8(&text).unwrap()).unwrap()
    })
}

/// Whether a sample is about a collector, by its label, that is in `collectors`.
pub fn is_about(sample: &str, collectors: impl Fn(&str) -> bool) -> bool {
    name(sample).starts_with("node_scrape_collector_")
        && crate::exposition::label(sample, "collector").is_some_and(|label| collectors(&label))
}
