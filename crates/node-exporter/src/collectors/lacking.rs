//! Collectors of the original that are not here.
//!
//! Their flags are taken, so that a unit file with `--collector.systemd` starts and keeps the rest of its metrics. Switching one on is said
//! as an error at the start, and each scrape has success 0 for it, which the usual alert on collectors sees.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Flag, FlagError, Flags, Text};

const fn entry(name: &'static str, flags: &'static [Flag]) -> Entry {
    Entry { name, on: false, help: "Not available here.", flags, new }
}

const fn text(name: &'static str) -> Flag {
    Flag::text(name, "", "").hidden()
}

const fn list(name: &'static str) -> Flag {
    Flag::list(name, "").hidden()
}

const fn switch(name: &'static str) -> Flag {
    Flag::switch(name, false, "").hidden()
}

pub(super) const ENTRIES: &[Entry] = &[
    entry("drm", &[]),
    entry(
        "ethtool",
        &[
            text("collector.ethtool.device-include"),
            text("collector.ethtool.device-exclude"),
            text("collector.ethtool.metrics-include"),
        ],
    ),
    entry("logind", &[]),
    entry("network_route", &[]),
    entry(
        "ntp",
        &[
            text("collector.ntp.server"),
            text("collector.ntp.server-port"),
            text("collector.ntp.protocol-version"),
            switch("collector.ntp.server-is-local"),
            text("collector.ntp.ip-ttl"),
            text("collector.ntp.max-distance"),
            text("collector.ntp.local-offset-tolerance"),
        ],
    ),
    entry(
        "perf",
        &[
            text("collector.perf.cpus"),
            list("collector.perf.tracepoint"),
            switch("collector.perf.disable-hardware-profilers"),
            list("collector.perf.hardware-profilers"),
            switch("collector.perf.disable-software-profilers"),
            list("collector.perf.software-profilers"),
            switch("collector.perf.disable-cache-profilers"),
            list("collector.perf.cache-profilers"),
        ],
    ),
    entry("runit", &[text("collector.runit.servicedir")]),
    entry("supervisord", &[text("collector.supervisord.url")]),
    entry(
        "systemd",
        &[
            text("collector.systemd.unit-include"),
            text("collector.systemd.unit-exclude"),
            switch("collector.systemd.private"),
            switch("collector.systemd.enable-task-metrics"),
            switch("collector.systemd.enable-restarts-metrics"),
            switch("collector.systemd.enable-start-time-metrics"),
            Flag::renamed("collector.systemd.unit-whitelist", "collector.systemd.unit-include"),
            Flag::renamed("collector.systemd.unit-blacklist", "collector.systemd.unit-exclude"),
        ],
    ),
    entry("tcpstat", &[]),
    entry("wifi", &[text("collector.wifi.fixtures")]),
];

#[expect(clippy::unnecessary_wraps, reason = "it stands where constructors do that can fail")]
fn new(_flags: &Flags) -> Result<Box<dyn Collector>, FlagError> {
    Ok(Box::new(Lacking))
}

struct Lacking;

impl Collector for Lacking {
    fn collect(&mut self, _out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        // The start has said it, once.
        Err(Error::NoData("this collector is not available here".into()))
    }
}
