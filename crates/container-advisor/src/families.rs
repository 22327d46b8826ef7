//! The families of containers: one table, from which the scrape, the reference table in the docs and the tests come.
//!
//! Names, types and labels are the original's; what a family's values are made of is in [`hostfs::cgroup`]. A value that the kernel
//! does not give is left out, where the original often writes 0.

use exporter::Text;
use exporter::text::Family;
use exporter::text::{Kind as Type, Label, Number, Part};
use hostfs::cgroup::{HugePages, Operations, Pressure, Stall};

use crate::containers::{BlockDevice, Container, Containers, Gone, Idle, Space};
use crate::disks::Counters;
use crate::kinds::{Kind, Kinds};
use crate::labels::Labels;
use crate::metadata::{Health, Metadata, State};
use crate::network::{Interface, TCP_STATES, Tcp, Udp};
use crate::processes::Limit;

/// A family of containers.
pub struct ContainerFamily {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// HELP, and the line in the reference.
    pub help: &'static str,
    /// What switches it.
    pub group: Group,
    /// Labels of its own.
    pub labels: &'static [&'static str],
    values: Values,
}

/// What switches a family on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Always there.
    Always,
    /// A kind of metrics.
    Of(Kind),
    /// `--enable_load_reader`, and the kind `cpuLoad`.
    Load,
    /// New here: `--extended_metrics`.
    Extended,
}

enum Values {
    /// One sample for each cgroup.
    One(fn(&Container) -> Option<Number>),
    /// Any number of samples for each cgroup.
    Many(fn(&Container, &mut Samples<'_, '_>)),
    /// For each container that a runtime knows, running or not.
    Known(fn(&Metadata, &mut Samples<'_, '_>)),
    /// For each cgroup, and for the containers that do not run.
    Health,
    /// For each cgroup, and for containers that are gone.
    LastSeen,
}

/// What decides which families there are.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The kinds that are on.
    pub kinds: Kinds,
    /// `--enable_load_reader`.
    pub load: bool,
    /// `--extended_metrics`.
    pub extended: bool,
}

impl Choice {
    /// Whether a group is on.
    pub fn has(&self, group: Group) -> bool {
        match group {
            Group::Always => true,
            Group::Of(kind) => self.kinds.has(kind),
            Group::Load => self.load && self.kinds.has(Kind::CpuLoad),
            Group::Extended => self.extended,
        }
    }
}

/// Writes the chosen families of the containers into `out`.
///
/// Every other family goes through the containers backwards. What a line is compressed by is the last line of the same container, and
/// gzip looks back 32 KB, which are some 60 lines: so half of the containers find theirs however many there are. It saves a quarter of
/// the bytes at 60 containers, and some of the time.
pub fn write(out: &mut Text, containers: &Containers, choice: &Choice) {
    let mut is_backwards = false;
    for spec in ALL.iter().filter(|spec| choice.has(spec.group)) {
        is_backwards = !is_backwards;
        let family = &mut out.family(spec.name, spec.kind, spec.help);
        let (mut forwards, mut backwards) = (containers.iter(), containers.iter().rev());
        while let Some(container) = if is_backwards { backwards.next() } else { forwards.next() } {
            let mut samples = Samples { family, labels: &container.labels };
            match (&spec.values, &container.metadata) {
                (Values::One(value), _) => samples.one(value(container)),
                (Values::Many(write), _) => write(container, &mut samples),
                (Values::Known(write), Some(metadata)) => write(metadata, &mut samples),
                (Values::Known(_), None) => {}
                (Values::Health, metadata) => samples.one(Some(health(metadata.as_deref()))),
                (Values::LastSeen, _) => samples.one(Some(container.seen)),
            }
        }
        match &spec.values {
            Values::Known(write) => {
                for Idle { labels, metadata } in containers.idle() {
                    write(metadata, &mut Samples { family, labels });
                }
            }
            Values::Health if choice.extended => {
                for Idle { labels, metadata } in containers.idle() {
                    Samples { family, labels }.one(Some(health(Some(metadata))));
                }
            }
            Values::LastSeen => {
                for Gone { labels, seen, .. } in containers.gone() {
                    Samples { family, labels }.one(Some(*seen));
                }
            }
            _ => {}
        }
    }
}

/// Where one container's samples of one family go.
pub struct Samples<'a, 'f> {
    family: &'a mut Family<'f>,
    labels: &'a Labels,
}

impl Samples<'_, '_> {
    fn one(&mut self, value: Option<impl Into<Number>>) {
        let Labels { before, identity, name } = self.labels;
        if let Some(value) = value {
            self.family
                .parts(&[Part::Rendered(before), Part::Rendered(identity), Part::Rendered(name)], value);
        }
    }

    /// A sample with labels of its own, in order of name.
    fn with(&mut self, own: &[Label<'_>], value: Option<impl Into<Number>>) {
        /// More than any family has.
        const PARTS: usize = 8;
        let Some(value) = value else { return };
        let mut parts = [Part::Rendered(b""); PARTS];
        let mut put = parts.iter_mut();
        let mut add = |part| {
            if let Some(place) = put.next() {
                *place = part;
            }
        };
        let until = |name: &str| own.partition_point(|label| label.0 < name);
        let (first, second) = (until("id"), until("name"));
        let Labels { before, identity, name } = self.labels;
        add(Part::Rendered(before));
        own[..first].iter().for_each(|l| add(Part::Label(l.0, l.1)));
        add(Part::Rendered(identity));
        own[first..second].iter().for_each(|l| add(Part::Label(l.0, l.1)));
        add(Part::Rendered(name));
        own[second..].iter().for_each(|l| add(Part::Label(l.0, l.1)));
        self.family.parts(&parts, value);
    }
}

const fn one(
    name: &'static str,
    kind: Type,
    group: Group,
    value: fn(&Container) -> Option<Number>,
    help: &'static str,
) -> ContainerFamily {
    ContainerFamily { name, kind, help, group, labels: &[], values: Values::One(value) }
}

const fn known(
    name: &'static str,
    kind: Type,
    labels: &'static [&'static str],
    write: fn(&Metadata, &mut Samples<'_, '_>),
    help: &'static str,
) -> ContainerFamily {
    ContainerFamily { name, kind, help, group: Group::Extended, labels, values: Values::Known(write) }
}

const fn many(
    name: &'static str,
    kind: Type,
    group: Group,
    labels: &'static [&'static str],
    write: fn(&Container, &mut Samples<'_, '_>),
    help: &'static str,
) -> ContainerFamily {
    ContainerFamily { name, kind, help, group, labels, values: Values::Many(write) }
}

const CPU: Group = Group::Of(Kind::Cpu);
const DISK: Group = Group::Of(Kind::Disk);
const IO: Group = Group::Of(Kind::DiskIo);
const MEMORY: Group = Group::Of(Kind::Memory);
const NET: Group = Group::Of(Kind::Network);
const PROCESS: Group = Group::Of(Kind::Process);
const PSI: Group = Group::Of(Kind::Pressure);
const HUGE: Group = Group::Of(Kind::Hugetlb);
const SCHED: Group = Group::Of(Kind::Sched);

use Type::{Counter, Gauge};

/// Every family of containers, in order of name.
#[rustfmt::skip] // A table: a line is a family.
pub const ALL: &[ContainerFamily] = &[
    many("container_blkio_device_usage_total", Counter, IO, &["device", "major", "minor", "operation"], blkio, "Bytes moved to and from a block device, by operation."),
    one("container_cpu_cfs_burst_periods_total", Counter, CPU, |c| quota(c, c.stats.cpu.bursts), "Periods in which CPU time beyond the quota was used, on credit."),
    one("container_cpu_cfs_burst_seconds_total", Counter, CPU, |c| quota_ns(c, c.stats.cpu.burst_ns), "CPU time used beyond the quota, on credit, in seconds."),
    one("container_cpu_cfs_periods_total", Counter, CPU, |c| quota(c, c.stats.cpu.periods), "Periods of the CPU quota that have passed."),
    one("container_cpu_cfs_throttled_periods_total", Counter, CPU, |c| quota(c, c.stats.cpu.throttled_periods), "Periods in which the CPU quota was used up."),
    one("container_cpu_cfs_throttled_seconds_total", Counter, CPU, |c| quota_ns(c, c.stats.cpu.throttled_ns), "Time spent waiting for the next period of the CPU quota, in seconds."),
    one("container_cpu_load_average_10s", Gauge, Group::Load, |c| c.load.map(|load| load.running.into()), "Runnable tasks, averaged over about 10 seconds, in thousandths."),
    one("container_cpu_load_d_average_10s", Gauge, Group::Load, |c| c.load.map(|load| load.uninterruptible.into()), "Tasks in uninterruptible sleep, averaged over about 10 seconds, in thousandths."),
    one("container_cpu_schedstat_run_periods_total", Counter, SCHED, |c| c.processes.schedule.map(|s| s.periods.into()), "Times that a process was given a CPU."),
    one("container_cpu_schedstat_run_seconds_total", Counter, SCHED, |c| seconds(c.processes.schedule.map(|s| s.run_ns)), "Time that processes ran on a CPU, in seconds."),
    one("container_cpu_schedstat_runqueue_seconds_total", Counter, SCHED, |c| seconds(c.processes.schedule.map(|s| s.queue_ns)), "Time that processes waited for a CPU, in seconds."),
    one("container_cpu_system_seconds_total", Counter, CPU, |c| seconds(c.stats.cpu.system_ns), "CPU time in the kernel, in seconds."),
    many("container_cpu_usage_seconds_total", Counter, CPU, &["cpu"], cpu_usage, "CPU time, in seconds, by CPU where the kernel accounts by CPU."),
    one("container_cpu_user_seconds_total", Counter, CPU, |c| seconds(c.stats.cpu.user_ns), "CPU time in user mode, in seconds."),
    one("container_creation_time_seconds", Gauge, Group::Always, |c| c.created().map(Number::F), "When the container was created, in seconds since 1970."),
    known("container_exit_code", Gauge, &[], |m, s| s.one(m.finished.filter(|_| m.pid == 0).and(m.exit_code)), "Exit code of a container that has ended."),
    one("container_file_descriptors", Gauge, PROCESS, |c| c.processes.descriptors.map(Number::U), "Open file descriptors."),
    known("container_finished_time_seconds", Gauge, &[], |m, s| s.one(m.finished), "When the container last ended, in seconds since 1970."),
    many("container_fs_inodes_free", Gauge, DISK, &["device"], |c, s| filesystems(c, s, |f| Some(f.inodes_free)), "Inodes that are free on the filesystem."),
    many("container_fs_inodes_total", Gauge, DISK, &["device"], |c, s| filesystems(c, s, |f| Some(f.inodes)), "Inodes of the filesystem."),
    many("container_fs_io_cost_indebt_seconds_total", Counter, IO, &["device"], |c, s| cost(c, s, 2), "Time throttled for debt to the io.cost controller, in seconds."),
    many("container_fs_io_cost_indelay_seconds_total", Counter, IO, &["device"], |c, s| cost(c, s, 3), "Time delayed for debt to the io.cost controller, in seconds."),
    many("container_fs_io_cost_usage_seconds_total", Counter, IO, &["device"], |c, s| cost(c, s, 0), "Device time by the io.cost model, in seconds."),
    many("container_fs_io_cost_wait_seconds_total", Counter, IO, &["device"], |c, s| cost(c, s, 1), "Time that the io.cost controller made requests wait, in seconds."),
    many("container_fs_io_current", Gauge, IO, &["device"], |c, s| io(c, s, |v| v.count(v.stats.queued.total, |d| d.in_flight)), "Requests under way."),
    many("container_fs_io_time_seconds_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.time(v.stats.service_ns.total, |d| d.io_ms)), "Time that the device was busy, in seconds."),
    many("container_fs_io_time_weighted_seconds_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.disk.map(|d| millis(d.weighted_io_ms))), "Time that the device was busy, weighted by requests under way, in seconds."),
    many("container_fs_limit_bytes", Gauge, DISK, &["device"], |c, s| filesystems(c, s, |f| Some(f.capacity)), "Size of the filesystem, in bytes."),
    many("container_fs_read_seconds_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.time(v.stats.service_ns.read, |d| d.read_ms)), "Time taken by reads, in seconds."),
    many("container_fs_reads_bytes_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.stats.bytes.read.map(Number::U)), "Bytes read."),
    many("container_fs_reads_merged_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.count(v.stats.merged.read, |d| d.reads_merged)), "Reads merged with others."),
    many("container_fs_reads_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.count(v.stats.count.read, |d| d.reads)), "Reads completed."),
    many("container_fs_sector_reads_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.sectors(|d| d.sectors_read)), "Sectors of 512 bytes read."),
    many("container_fs_sector_writes_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.sectors(|d| d.sectors_written)), "Sectors of 512 bytes written."),
    many("container_fs_usage_bytes", Gauge, DISK, &["device"], |c, s| filesystems(c, s, |f| f.usage), "Bytes in use: of the filesystem, or by the container's writable layer and logs."),
    many("container_fs_write_seconds_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.time(v.stats.service_ns.write, |d| d.write_ms)), "Time taken by writes, in seconds."),
    many("container_fs_writes_bytes_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.stats.bytes.write.map(Number::U)), "Bytes written."),
    many("container_fs_writes_merged_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.count(v.stats.merged.write, |d| d.writes_merged)), "Writes merged with others."),
    many("container_fs_writes_total", Counter, IO, &["device"], |c, s| io(c, s, |v| v.count(v.stats.count.write, |d| d.writes)), "Writes completed."),
    ContainerFamily { values: Values::Health, ..one("container_health_state", Gauge, Group::Always, |_| None, "What the health check found: 1 is healthy, 0 is not or not yet, -1 is no health check.") },
    many("container_hugetlb_failcnt", Counter, HUGE, &["pagesize"], |c, s| hugetlb(c, s, |h| h.failcnt), "Times that the limit on huge pages was hit."),
    many("container_hugetlb_max_usage_bytes", Gauge, HUGE, &["pagesize"], |c, s| hugetlb(c, s, |h| h.max_usage), "The most bytes of huge pages in use so far."),
    many("container_hugetlb_usage_bytes", Gauge, HUGE, &["pagesize"], |c, s| hugetlb(c, s, |h| h.usage), "Bytes of huge pages in use."),
    ContainerFamily { values: Values::LastSeen, ..one("container_last_seen", Gauge, Group::Always, |_| None, "When the container was last there, in seconds since 1970.") },
    one("container_memory_cache", Gauge, MEMORY, |c| c.stats.memory.cache.map(Number::U), "Page cache, in bytes."),
    one("container_memory_events_high_total", Counter, MEMORY, |c| c.stats.memory.events.high.map(Number::U), "Times that processes were throttled above memory.high."),
    one("container_memory_events_low_total", Counter, Group::Extended, |c| c.stats.memory.events.low.map(Number::U), "Times that memory was reclaimed although usage was below memory.low."),
    one("container_memory_events_max_total", Counter, MEMORY, |c| c.stats.memory.events.max.map(Number::U), "Times that usage was about to go over memory.max."),
    one("container_memory_events_oom_group_kill_total", Counter, Group::Extended, |c| c.stats.memory.events.oom_group_kill.map(Number::U), "Times that the OOM killer ended all processes together."),
    one("container_memory_events_oom_kill_total", Counter, Group::Extended, |c| c.stats.memory.events.oom_kill.map(Number::U), "Processes that the OOM killer ended."),
    one("container_memory_events_oom_total", Counter, Group::Extended, |c| c.stats.memory.events.oom.map(Number::U), "Times that an allocation was about to fail at the limit."),
    one("container_memory_failcnt", Counter, MEMORY, |c| c.stats.memory.failcnt.map(Number::U), "Times that the memory limit was hit."),
    many("container_memory_failures_total", Counter, MEMORY, &["failure_type", "scope"], memory_failures, "Page faults, by kind and scope."),
    one("container_memory_file_dirty_bytes", Gauge, MEMORY, |c| c.stats.memory.file_dirty.map(Number::U), "Page cache that waits to be written, in bytes."),
    one("container_memory_file_writeback_bytes", Gauge, MEMORY, |c| c.stats.memory.file_writeback.map(Number::U), "Page cache that is being written, in bytes."),
    one("container_memory_kernel_usage", Gauge, MEMORY, |c| c.stats.memory.kernel.map(Number::U), "Memory of the kernel, in bytes."),
    one("container_memory_mapped_file", Gauge, MEMORY, |c| c.stats.memory.mapped_file.map(Number::U), "Mapped files, in bytes."),
    one("container_memory_max_usage_bytes", Gauge, MEMORY, |c| c.stats.memory.max_usage.map(Number::U), "The most memory in use so far, in bytes."),
    one("container_memory_migrate", Gauge, Group::Of(Kind::Cpuset), |c| c.stats.memory_migrate.map(Number::U), "Whether memory moves with the task to another NUMA node."),
    many("container_memory_numa_pages", Gauge, Group::Of(Kind::MemoryNuma), &["node", "scope", "type"], numa_pages, "Pages, by NUMA node."),
    one("container_memory_pgscan_total", Counter, MEMORY, |c| c.stats.memory.pgscan.map(Number::U), "Pages that reclaim looked at."),
    one("container_memory_pgsteal_total", Counter, MEMORY, |c| c.stats.memory.pgsteal.map(Number::U), "Pages that were reclaimed."),
    one("container_memory_rss", Gauge, MEMORY, |c| c.stats.memory.rss.map(Number::U), "Anonymous memory, in bytes."),
    one("container_memory_swap", Gauge, MEMORY, |c| c.stats.memory.swap.map(Number::U), "Swap in use, in bytes."),
    one("container_memory_total_active_file_bytes", Gauge, MEMORY, |c| c.stats.memory.active_file.map(Number::U), "Page cache used of late, in bytes."),
    one("container_memory_total_inactive_file_bytes", Gauge, MEMORY, |c| c.stats.memory.inactive_file.map(Number::U), "Page cache not used of late, in bytes."),
    one("container_memory_usage_bytes", Gauge, MEMORY, |c| c.stats.memory.usage.map(Number::U), "Memory in use, page cache included, in bytes."),
    one("container_memory_working_set_bytes", Gauge, MEMORY, |c| c.stats.memory.working_set().map(Number::U), "Memory in use less page cache not used of late, in bytes."),
    one("container_memory_workingset_refault_anon_total", Counter, MEMORY, |c| c.stats.memory.refault_anon.map(Number::U), "Anonymous pages that were needed again soon after they were reclaimed."),
    one("container_memory_workingset_refault_file_total", Counter, MEMORY, |c| c.stats.memory.refault_file.map(Number::U), "File pages that were needed again soon after they were reclaimed."),
    many("container_network_advance_tcp_stats_total", Gauge, Group::Of(Kind::AdvancedTcp), &["tcp_state"], advanced_tcp, "The network namespace's TCP statistics."),
    many("container_network_receive_bytes_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.receive.bytes), "Bytes received."),
    many("container_network_receive_errors_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.receive.errors), "Packets received with errors."),
    many("container_network_receive_packets_dropped_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.receive.dropped), "Packets received and dropped."),
    many("container_network_receive_packets_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.receive.packets), "Packets received."),
    many("container_network_tcp6_usage_total", Gauge, Group::Of(Kind::Tcp), &["tcp_state"], |c, s| tcp(c.network.tcp6, s), "TCP sockets over IPv6, by state."),
    many("container_network_tcp_usage_total", Gauge, Group::Of(Kind::Tcp), &["tcp_state"], |c, s| tcp(c.network.tcp, s), "TCP sockets over IPv4, by state."),
    many("container_network_transmit_bytes_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.transmit.bytes), "Bytes sent."),
    many("container_network_transmit_errors_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.transmit.errors), "Packets that could not be sent for errors."),
    many("container_network_transmit_packets_dropped_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.transmit.dropped), "Packets to be sent and dropped."),
    many("container_network_transmit_packets_total", Counter, NET, &["interface"], |c, s| interfaces(c, s, |i| i.transmit.packets), "Packets sent."),
    many("container_network_udp6_usage_total", Gauge, Group::Of(Kind::Udp), &["udp_state"], |c, s| udp(c.network.udp6, s), "UDP sockets over IPv6: their number, packets dropped, bytes queued."),
    many("container_network_udp_usage_total", Gauge, Group::Of(Kind::Udp), &["udp_state"], |c, s| udp(c.network.udp, s), "UDP sockets over IPv4: their number, packets dropped, bytes queued."),
    one("container_oom_events_total", Counter, Group::Of(Kind::OomEvent), |c| c.stats.memory.events.oom_kill.map(Number::U), "Processes that the OOM killer ended, as the cgroup counts them."),
    known("container_oom_killed", Gauge, &[], |m, s| s.one(m.oom_killed), "Whether the OOM killer was at work in the container's present or last life, as its runtime says."),
    one("container_pressure_cpu_stalled_seconds_total", Counter, PSI, |c| stalled(c.stats.cpu_pressure), "Time in which all tasks waited for the CPU, in seconds."),
    one("container_pressure_cpu_waiting_seconds_total", Counter, PSI, |c| waiting(c.stats.cpu_pressure), "Time in which some task waited for the CPU, in seconds."),
    one("container_pressure_io_stalled_seconds_total", Counter, PSI, |c| stalled(c.stats.io_pressure), "Time in which all tasks waited for block devices, in seconds."),
    one("container_pressure_io_waiting_seconds_total", Counter, PSI, |c| waiting(c.stats.io_pressure), "Time in which some task waited for block devices, in seconds."),
    one("container_pressure_memory_stalled_seconds_total", Counter, PSI, |c| stalled(c.stats.memory_pressure), "Time in which all tasks waited for memory, in seconds."),
    one("container_pressure_memory_waiting_seconds_total", Counter, PSI, |c| waiting(c.stats.memory_pressure), "Time in which some task waited for memory, in seconds."),
    one("container_processes", Gauge, PROCESS, |c| c.process_count.map(Number::U), "Processes."),
    one("container_referenced_bytes", Gauge, Group::Of(Kind::ReferencedMemory), |c| c.processes.referenced.map(Number::U), "Memory that the kernel has marked as referenced, in bytes."),
    known("container_restart_count", Gauge, &[], |m, s| s.one(m.restart_count), "Restarts by the restart policy."),
    one("container_sockets", Gauge, PROCESS, |c| c.processes.sockets.map(Number::U), "Open sockets."),
    one("container_spec_cpu_period", Gauge, Group::Always, |c| c.stats.limits.cpu_period_us.map(Number::U), "The period of the CPU quota, in microseconds."),
    one("container_spec_cpu_quota", Gauge, Group::Always, |c| c.stats.limits.cpu_quota_us.map(Number::U), "CPU time allowed in each period, in microseconds."),
    one("container_spec_cpu_shares", Gauge, Group::Always, |c| c.stats.limits.cpu_shares.map(Number::U), "Weight of CPU time, where 1024 is the default of cgroup v1."),
    one("container_spec_memory_limit_bytes", Gauge, Group::Always, |c| limit(c.stats.limits.memory), "Memory allowed, in bytes; 0 is no limit."),
    one("container_spec_memory_reservation_limit_bytes", Gauge, Group::Always, |c| limit(c.stats.limits.reservation), "Memory spared from reclaim, in bytes; 0 is no limit."),
    one("container_spec_memory_swap_limit_bytes", Gauge, Group::Always, |c| limit(c.stats.limits.swap), "Swap allowed, with memory on cgroup v1, in bytes; 0 is no limit."),
    one("container_start_time_seconds", Gauge, Group::Always, |c| c.started().map(Number::F), "When the container was started, in seconds since 1970."),
    known("container_state", Gauge, &["state"], state, "The container's state, as a label; always 1."),
    many("container_tasks_state", Gauge, Group::Load, &["state"], tasks, "Tasks, by state of their main thread."),
    one("container_threads", Gauge, PROCESS, |c| c.stats.pids.map(Number::U), "Threads."),
    one("container_threads_max", Gauge, PROCESS, |c| limit(c.stats.pids_max), "Threads allowed; 0 is no limit."),
    many("container_ulimits_soft", Gauge, PROCESS, &["ulimit"], ulimits, "The first process's soft limits; -1 is no limit."),
];

/// Families of the original about every container that the table lacks, since nothing here can produce them: hardware counters and
/// Intel's resource director need a library, a configuration and privileges.
pub const LACKING: &[&str] = &[
    "container_llc_occupancy_bytes",
    "container_memory_bandwidth_bytes",
    "container_memory_bandwidth_local_bytes",
    "container_perf_events_scaling_ratio",
    "container_perf_events_total",
    "container_perf_uncore_events_scaling_ratio",
    "container_perf_uncore_events_total",
];

fn seconds(ns: Option<u64>) -> Option<Number> {
    ns.map(|ns| Number::F(ns as f64 / 1e9))
}

/// The original's families about the quota are there only if there is one.
fn quota(container: &Container, value: Option<u64>) -> Option<Number> {
    container.stats.limits.cpu_quota_us.and(value).map(Number::U)
}

fn quota_ns(container: &Container, ns: Option<u64>) -> Option<Number> {
    container.stats.limits.cpu_quota_us.and(seconds(ns))
}

fn limit(limit: Option<u64>) -> Option<Number> {
    limit.map(|limit| Number::U(if limit == u64::MAX { 0 } else { limit }))
}

fn waiting(pressure: Option<Pressure>) -> Option<Number> {
    pressure.map(|p| stall(p.some))
}

fn stalled(pressure: Option<Pressure>) -> Option<Number> {
    pressure.and_then(|p| p.full).map(stall)
}

fn stall(stall: Stall) -> Number {
    Number::F(stall.total_us as f64 / 1e6)
}

fn health(metadata: Option<&Metadata>) -> Number {
    Number::I(match metadata.and_then(|m| m.health) {
        Some(Health::Healthy) => 1,
        Some(Health::Starting | Health::Unhealthy) => 0,
        None => -1,
    })
}

fn cpu_usage(container: &Container, out: &mut Samples<'_, '_>) {
    let cpu = &container.stats.cpu;
    if cpu.per_cpu_ns.is_empty() {
        out.with(&[("cpu", "total".into())], seconds(cpu.usage_ns.filter(|&ns| ns > 0)));
        return;
    }
    for (number, &ns) in cpu.per_cpu_ns.iter().enumerate().filter(|(_, ns)| **ns > 0) {
        let mut name = *b"cpu0000";
        let name = cpu_name(&mut name, number);
        out.with(&[("cpu", name.into())], seconds(Some(ns)));
    }
}

/// `cpu` and the number in at least two digits, as the original writes it.
fn cpu_name(space: &mut [u8; 7], mut number: usize) -> &[u8] {
    let digits = if number < 100 {
        2
    } else if number < 1000 {
        3
    } else {
        4
    };
    for place in space[3..3 + digits].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    &space[..3 + digits]
}

fn memory_failures(container: &Container, out: &mut Samples<'_, '_>) {
    let memory = &container.stats.memory;
    for (kind, own, all) in [
        ("pgfault", memory.own_pgfault, memory.pgfault),
        ("pgmajfault", memory.own_pgmajfault, memory.pgmajfault),
    ] {
        out.with(&[("failure_type", kind.into()), ("scope", "container".into())], own.or(all));
        out.with(&[("failure_type", kind.into()), ("scope", "hierarchy".into())], all);
    }
}

fn numa_pages(container: &Container, out: &mut Samples<'_, '_>) {
    for node in &container.stats.memory.numa {
        let mut write = |scope: &str, pages: [u64; 3]| {
            // In order of the label's value.
            for (kind, pages) in [("anon", pages[1]), ("file", pages[0]), ("unevictable", pages[2])] {
                out.with(
                    &[("node", node.node.into()), ("scope", scope.into()), ("type", kind.into())],
                    Some(pages),
                );
            }
        };
        if let Some(own) = node.own {
            write("container", own);
        }
        write("hierarchy", node.hierarchy);
    }
}

fn hugetlb(container: &Container, out: &mut Samples<'_, '_>, value: fn(&HugePages) -> Option<u64>) {
    for pages in &container.stats.hugetlb {
        out.with(&[("pagesize", (&*pages.size).into())], value(pages));
    }
}

fn blkio(container: &Container, out: &mut Samples<'_, '_>) {
    for BlockDevice { name, stats, .. } in &container.devices {
        let Operations { read, write, sync, r#async, discard, total } = stats.bytes;
        for (operation, value) in [
            ("Async", r#async),
            ("Discard", discard),
            ("Read", read),
            ("Sync", sync),
            ("Total", total),
            ("Write", write),
        ] {
            let labels = [
                ("device", name.into()),
                ("major", stats.major.into()),
                ("minor", stats.minor.into()),
                ("operation", operation.into()),
            ];
            out.with(&labels, value);
        }
    }
}

fn io(container: &Container, out: &mut Samples<'_, '_>, value: fn(&BlockDevice) -> Option<Number>) {
    for device in &container.devices {
        out.with(&[("device", (&device.name).into())], value(device));
    }
}

fn cost(container: &Container, out: &mut Samples<'_, '_>, which: usize) {
    for device in &container.devices {
        out.with(&[("device", (&device.name).into())], device.stats.cost_us[which].map(|us| us as f64 / 1e6));
    }
}

fn millis(ms: u64) -> Number {
    Number::F(ms as f64 / 1e3)
}

/// What the cgroup counts comes first; the machine's counters stand in for the machine alone, which has them all.
impl BlockDevice {
    fn count(&self, of_group: Option<u64>, of_disk: fn(&Counters) -> u64) -> Option<Number> {
        of_group.or(self.disk.as_ref().map(of_disk)).map(Number::U)
    }

    fn time(&self, of_group: Option<u64>, of_disk_ms: fn(&Counters) -> u64) -> Option<Number> {
        seconds(of_group).or(self.disk.as_ref().map(|disk| millis(of_disk_ms(disk))))
    }

    fn sectors(&self, of_disk: fn(&Counters) -> u64) -> Option<Number> {
        self.disk.as_ref().map(|disk| Number::U(of_disk(disk)))
    }
}

fn filesystems(container: &Container, out: &mut Samples<'_, '_>, value: fn(&Space) -> Option<u64>) {
    for space in &container.filesystems {
        out.with(&[("device", (&space.device).into())], value(space));
    }
}

fn interfaces(container: &Container, out: &mut Samples<'_, '_>, value: fn(&Interface) -> u64) {
    for (name, interface) in container.network.interfaces() {
        out.with(&[("interface", name.into())], Some(value(interface)));
    }
}

fn tcp(states: Option<Tcp>, out: &mut Samples<'_, '_>) {
    for (state, number) in TCP_STATES.into_iter().zip(states.into_iter().flatten()) {
        out.with(&[("tcp_state", state.into())], Some(number));
    }
}

fn udp(sockets: Option<Udp>, out: &mut Samples<'_, '_>) {
    let Some(Udp { listen, dropped, rx_queued, tx_queued }) = sockets else { return };
    for (state, number) in
        [("dropped", dropped), ("listen", listen), ("rxqueued", rx_queued), ("txqueued", tx_queued)]
    {
        out.with(&[("udp_state", state.into())], Some(number));
    }
}

fn advanced_tcp(container: &Container, out: &mut Samples<'_, '_>) {
    for (name, value) in container.network.advanced() {
        out.with(&[("tcp_state", name.into())], Some(value));
    }
}

fn tasks(container: &Container, out: &mut Samples<'_, '_>) {
    let Some(states) = container.processes.states else { return };
    for (state, number) in [
        ("iowaiting", states.iowaiting),
        ("running", states.running),
        ("sleeping", states.sleeping),
        ("stopped", states.stopped),
        ("uninterruptible", states.uninterruptible),
    ] {
        out.with(&[("state", state.into())], Some(number));
    }
}

fn ulimits(container: &Container, out: &mut Samples<'_, '_>) {
    let value = container.processes.open_files_limit.map(|limit| match limit {
        Limit::At(most) => Number::U(most),
        Limit::Unlimited => Number::I(-1),
    });
    out.with(&[("ulimit", "max_open_files".into())], value);
}

fn state(metadata: &Metadata, out: &mut Samples<'_, '_>) {
    let state = match metadata.state {
        State::Created => "created",
        State::Running => "running",
        State::Paused => "paused",
        State::Restarting => "restarting",
        State::Removing => "removing",
        State::Exited => "exited",
        State::Dead => "dead",
    };
    out.with(&[("state", state.into())], Some(1u64));
}
