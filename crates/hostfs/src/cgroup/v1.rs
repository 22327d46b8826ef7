//! What is in the files of a v1 cgroup: `Documentation/admin-guide/cgroup-v1/`.
//!
//! Block devices are accounted to by the I/O scheduler (BFQ, before Linux 5.0 CFQ) and by the throttle, each in files of its own, and which
//! of them counts a device depends on its scheduler and on the kernel: since 6.9 the throttle does only once it has a limit to keep. A file
//! that has no device in the root has none anywhere, so the root is asked first whether to read it.

use std::time::{Duration, Instant};

use super::visit::{self, Stop, Visit};
use super::{Device, Holds, Operations, Stats, Wants};
use crate::scan;

/// Reads what is wanted of the controllers that the tree holds.
pub(super) fn read(
    visit: &mut Visit<'_>,
    holds: Holds,
    wants: &Wants,
    sources: &mut Sources,
    stats: &mut Stats,
) -> Result<(), Stop> {
    if holds.cpuacct && (wants.cpu || wants.per_cpu) {
        times(visit, wants, stats)?;
    }
    let mut is_limited = true;
    if holds.cpu && wants.limits {
        stats.limits.cpu_shares = visit.number("cpu.shares")?;
        stats.limits.cpu_period_us = visit.number("cpu.cfs_period_us")?;
        let quota = visit.every("cpu.cfs_quota_us")?.and_then(visit::line).unwrap_or_default();
        is_limited = quota != b"-1";
        stats.limits.cpu_quota_us = scan::unsigned(quota);
    }
    if holds.cpu && wants.cpu && is_limited {
        throttling(visit, stats)?;
    }
    if holds.memory && wants.memory {
        memory(visit, stats)?;
    }
    if holds.memory && wants.limits {
        stats.limits.memory = visit.number("memory.limit_in_bytes")?.map(limit);
        stats.limits.swap = visit.number("memory.memsw.limit_in_bytes")?.map(limit);
        stats.limits.reservation = visit.number("memory.soft_limit_in_bytes")?.map(limit);
    }
    if holds.memory && wants.numa {
        visit.nodes("memory.numa_stat", pages_by_node, stats)?;
    }
    if holds.io && wants.io {
        sources.look(visit)?;
        sources.read(visit, stats)?;
    }
    if holds.pids && wants.pids {
        stats.pids = visit.number("pids.current")?;
        stats.pids_max = visit.every("pids.max")?.and_then(visit::number_or_max);
    }
    if holds.cpuset && wants.cpuset {
        if let Some(cpus) = visit.every("cpuset.cpus")?.and_then(visit::cpus) {
            stats.limits.cpus.push_str(cpus);
        }
        stats.memory_migrate = visit.number("cpuset.memory_migrate")?;
    }
    if holds.hugetlb && wants.hugetlb {
        if visit.kept.huge.is_empty() {
            visit.learn_huge();
        }
        visit.huge_pages(visit::number, stats)?;
    }
    Ok(())
}

/// A limit in bytes. None is the largest number of pages that fits a signed number, whatever a page has.
fn limit(bytes: u64) -> u64 {
    if bytes > 1 << 62 { u64::MAX } else { bytes }
}

fn times(visit: &mut Visit<'_>, wants: &Wants, stats: &mut Stats) -> Result<(), Stop> {
    const TICK_NS: u64 = 10_000_000;
    let cpu = &mut stats.cpu;
    if wants.per_cpu
        && let Some(line) = visit.every("cpuacct.usage_percpu")?.and_then(visit::line)
    {
        for field in scan::fields(line) {
            let Some(time) = scan::unsigned(field) else {
                cpu.per_cpu_ns.clear();
                break;
            };
            cpu.per_cpu_ns.push(time);
        }
    }
    if !wants.cpu {
        return Ok(());
    }
    // The kernel adds up the same numbers for the other file.
    cpu.usage_ns = if cpu.per_cpu_ns.is_empty() {
        visit.number("cpuacct.usage")?
    } else {
        cpu.per_cpu_ns.iter().try_fold(0u64, |sum, &time| sum.checked_add(time))
    };
    let cpu = &mut stats.cpu;
    if let Some(text) = visit.every("cpuacct.stat")? {
        visit::keyed(text, |key, ticks| match key {
            b"user" => cpu.user_ns = Some(ticks.saturating_mul(TICK_NS)),
            b"system" => cpu.system_ns = Some(ticks.saturating_mul(TICK_NS)),
            _ => {}
        });
    }
    Ok(())
}

fn throttling(visit: &mut Visit<'_>, stats: &mut Stats) -> Result<(), Stop> {
    let Some(text) = visit.every("cpu.stat")? else { return Ok(()) };
    let cpu = &mut stats.cpu;
    visit::keyed(text, |key, value| {
        let field = match key {
            b"nr_periods" => &mut cpu.periods,
            b"nr_throttled" => &mut cpu.throttled_periods,
            b"throttled_time" => &mut cpu.throttled_ns,
            b"nr_bursts" => &mut cpu.bursts,
            b"burst_time" => &mut cpu.burst_ns,
            _ => return,
        };
        *field = Some(value);
    });
    Ok(())
}

fn memory(visit: &mut Visit<'_>, stats: &mut Stats) -> Result<(), Stop> {
    let memory = &mut stats.memory;
    memory.usage = visit.number("memory.usage_in_bytes")?;
    memory.max_usage = visit.number("memory.max_usage_in_bytes")?;
    memory.failcnt = visit.number("memory.failcnt")?;
    memory.kernel = visit.number("memory.kmem.usage_in_bytes")?;
    // Without the hierarchy both keys have the same number, but in the root, whose total is always that of all.
    let is_alone = visit.is_root() && visit.number("memory.use_hierarchy")? == Some(0);
    if let Some(text) = visit.every("memory.stat")? {
        visit::keyed(text, |key, value| {
            let total = key.strip_prefix(b"total_");
            match key {
                b"pgfault" => memory.own_pgfault = Some(value),
                b"pgmajfault" => memory.own_pgmajfault = Some(value),
                _ => {}
            }
            if total.is_none() != is_alone {
                return;
            }
            let field = match total.unwrap_or(key) {
                b"rss" => &mut memory.rss,
                b"cache" => &mut memory.cache,
                b"mapped_file" => &mut memory.mapped_file,
                b"swap" => &mut memory.swap,
                b"active_file" => &mut memory.active_file,
                b"inactive_file" => &mut memory.inactive_file,
                b"dirty" => &mut memory.file_dirty,
                b"writeback" => &mut memory.file_writeback,
                b"pgfault" => &mut memory.pgfault,
                b"pgmajfault" => &mut memory.pgmajfault,
                b"workingset_refault_file" => &mut memory.refault_file,
                b"workingset_refault_anon" => &mut memory.refault_anon,
                _ => return,
            };
            *field = Some(value);
        });
    }
    if let Some(text) = visit.every("memory.oom_control")? {
        visit::keyed(text, |key, value| {
            if key == b"oom_kill" {
                memory.events.oom_kill = Some(value);
            }
        });
    }
    Ok(())
}

fn pages_by_node(text: &[u8], put: &mut dyn FnMut(u32, usize, u64)) {
    for line in scan::lines(text) {
        let mut fields = scan::fields(line);
        let Some((key, _)) = fields.next().and_then(|field| scan::split_once(field, b'=')) else { continue };
        let what = match key {
            b"file" => 0,
            b"anon" => 1,
            b"unevictable" => 2,
            b"hierarchical_file" => 3,
            b"hierarchical_anon" => 4,
            b"hierarchical_unevictable" => 5,
            _ => continue,
        };
        visit::by_node(fields, |node, pages| put(node, what, pages));
    }
}

/// Which files about block devices have something to tell.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// When the root was asked, and whether it had a device, for each of [`SETS`].
    asked: [Option<(Instant, bool)>; 3],
    /// Devices of which an earlier set has told.
    told: Vec<(u32, u32)>,
}

/// Files of one accountant.
struct Set {
    /// Bytes and operations.
    main: [&'static str; 2],
    /// The same without the cgroups below, for kernels before 4.18 that have no other.
    own: Option<[&'static str; 2]>,
    /// Merged, time and queued; sectors. Only with the scheduler's debugging.
    more: Option<([&'static str; 3], &'static str)>,
    /// How long the root's answer holds.
    holds: Duration,
}

const SETS: [Set; 3] = [
    Set {
        main: ["blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"],
        own: None,
        more: Some((
            [
                "blkio.bfq.io_merged_recursive",
                "blkio.bfq.io_service_time_recursive",
                "blkio.bfq.io_queued_recursive",
            ],
            "blkio.bfq.sectors_recursive",
        )),
        holds: Duration::from_secs(60),
    },
    Set {
        main: ["blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"],
        own: None,
        more: Some((
            ["blkio.io_merged_recursive", "blkio.io_service_time_recursive", "blkio.io_queued_recursive"],
            "blkio.sectors_recursive",
        )),
        holds: Duration::from_secs(60),
    },
    Set {
        main: ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"],
        own: Some(["blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"]),
        more: None,
        holds: Duration::from_secs(1),
    },
];

type Field = fn(&mut Device) -> &mut Operations;

impl Sources {
    /// Whether no set has any device, as far as the root has said of late.
    pub(super) fn are_idle(&self, now: Instant) -> bool {
        let is_idle = |(set, asked): (&Set, &Option<(Instant, bool)>)| {
            asked.is_some_and(|(when, has_devices)| !has_devices && now.duration_since(when) < set.holds)
        };
        SETS.iter().zip(&self.asked).all(is_idle)
    }

    /// Asks the root which sets have devices, where the last answer is too old.
    fn look(&mut self, visit: &mut Visit<'_>) -> Result<(), Stop> {
        let now = visit.kept.now;
        for (set, asked) in SETS.iter().zip(&mut self.asked) {
            if asked.is_some_and(|(when, _)| now.duration_since(when) < set.holds) {
                continue;
            }
            let mut has_devices = visit.at_root(set.main[0])?.map(any_device);
            if let (None, Some(own)) = (has_devices, set.own) {
                has_devices = visit.at_root(own[0])?.map(any_device);
            }
            // A root that does not have the file leaves it open.
            *asked = Some((now, has_devices.unwrap_or(true)));
        }
        Ok(())
    }

    /// Reads the sets in order. A device belongs to the first that names it.
    fn read(&mut self, visit: &mut Visit<'_>, stats: &mut Stats) -> Result<(), Stop> {
        const MAIN: [Field; 2] = [|device| &mut device.bytes, |device| &mut device.count];
        const MORE: [Field; 3] =
            [|device| &mut device.merged, |device| &mut device.service_ns, |device| &mut device.queued];
        for (set, asked) in SETS.iter().zip(&self.asked) {
            if asked.is_some_and(|(_, has_devices)| !has_devices) {
                continue;
            }
            self.told.clear();
            self.told.extend(stats.io.iter().map(|device| (device.major, device.minor)));
            let mut is_there = true;
            for (i, field) in MAIN.into_iter().enumerate() {
                let mut text = visit.every(set.main[i])?;
                if let (None, Some(own)) = (&text, set.own) {
                    text = visit.every(own[i])?;
                }
                is_there &= text.is_some();
                operations(text.unwrap_or_default(), field, &self.told, &mut stats.io);
            }
            let Some((more, sectors)) =
                set.more.as_ref().filter(|_| is_there && stats.io.len() > self.told.len())
            else {
                continue;
            };
            for (file, field) in more.iter().zip(MORE) {
                operations(visit.every(file)?.unwrap_or_default(), field, &self.told, &mut stats.io);
            }
            for line in scan::lines(visit.every(sectors)?.unwrap_or_default()) {
                let mut fields = scan::fields(line);
                let numbers = fields.next().and_then(visit::device_numbers);
                if let (Some(numbers), Some(value)) = (numbers, fields.next_u64())
                    && !self.told.contains(&numbers)
                {
                    visit::device(&mut stats.io, numbers).sectors = Some(value);
                }
            }
        }
        Ok(())
    }
}

fn any_device(text: &[u8]) -> bool {
    scan::lines(text).any(|line| scan::fields(line).next().and_then(visit::device_numbers).is_some())
}

/// Reads lines such as `8:0 Read 4096`, but of the devices of which others have told.
fn operations(text: &[u8], into: Field, told: &[(u32, u32)], devices: &mut Vec<Device>) {
    for line in scan::lines(text) {
        let mut fields = scan::fields(line);
        let (Some(device), Some(operation), Some(value)) = (fields.next(), fields.next(), fields.next_u64())
        else {
            continue;
        };
        let Some(numbers) = visit::device_numbers(device).filter(|numbers| !told.contains(numbers)) else {
            continue;
        };
        let operations = into(visit::device(devices, numbers));
        let field = match operation {
            b"Read" => &mut operations.read,
            b"Write" => &mut operations.write,
            b"Sync" => &mut operations.sync,
            b"Async" => &mut operations.r#async,
            b"Discard" => &mut operations.discard,
            b"Total" => &mut operations.total,
            _ => continue,
        };
        *field = Some(value);
    }
}
