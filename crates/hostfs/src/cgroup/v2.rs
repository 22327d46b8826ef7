//! What is in the files of a v2 cgroup: `Documentation/admin-guide/cgroup-v2.rst`.
//!
//! A cgroup has a controller's files if the one above it says so in `cgroup.subtree_control`, and a threaded one never has memory's. So the
//! first file of each controller tells whether the others are worth a call. The root has none but `cpu.stat`, `io.stat`, `memory.stat`,
//! the CPUs, and pressure.

use super::visit::{self, Stop, Visit};
use super::{Holds, Stats, Wants};
use crate::scan;

/// Reads what is wanted of the controllers that the tree holds.
pub(super) fn read(
    visit: &mut Visit<'_>,
    holds: Holds,
    wants: &Wants,
    stats: &mut Stats,
) -> Result<(), Stop> {
    if wants.cpu
        && holds.cpuacct
        && let Some(text) = visit.some("cpu.stat")?
    {
        let cpu = &mut stats.cpu;
        visit::keyed(text, |key, value| match key {
            b"usage_usec" => cpu.usage_ns = nanoseconds(value),
            b"user_usec" => cpu.user_ns = nanoseconds(value),
            b"system_usec" => cpu.system_ns = nanoseconds(value),
            b"nr_periods" => cpu.periods = Some(value),
            b"nr_throttled" => cpu.throttled_periods = Some(value),
            b"throttled_usec" => cpu.throttled_ns = nanoseconds(value),
            b"nr_bursts" => cpu.bursts = Some(value),
            b"burst_usec" => cpu.burst_ns = nanoseconds(value),
            _ => {}
        });
    }
    if wants.limits && holds.cpu {
        cpu_limits(visit, stats)?;
    }
    if holds.memory && (wants.memory || wants.numa || wants.limits) {
        memory(visit, wants, stats)?;
    }
    if wants.io
        && holds.io
        && let Some(text) = visit.some("io.stat")?
    {
        devices(text, stats);
    }
    if wants.pids
        && holds.pids
        && let Some(text) = visit.some("pids.current")?
    {
        stats.pids = visit::number(text);
        stats.pids_max = visit.every("pids.max")?.and_then(visit::number_or_max);
    }
    if wants.cpuset
        && holds.cpuset
        && let Some(cpus) = visit.some("cpuset.cpus.effective")?.and_then(visit::cpus)
    {
        stats.limits.cpus.push_str(cpus);
    }
    if wants.hugetlb && holds.hugetlb {
        huge_pages(visit, stats)?;
    }
    if wants.pressure && holds.pressure {
        visit.pressures(stats)?;
    }
    Ok(())
}

fn nanoseconds(microseconds: u64) -> Option<u64> {
    Some(microseconds.saturating_mul(1000))
}

fn cpu_limits(visit: &mut Visit<'_>, stats: &mut Stats) -> Result<(), Stop> {
    let limits = &mut stats.limits;
    let Some(text) = visit.some("cpu.weight")? else { return Ok(()) };
    let weight = visit::number(text).filter(|weight| (1..=10_000).contains(weight));
    // The weights 1 to 10,000 stand for the shares 2 to 262,144.
    limits.cpu_shares = weight.map(|weight| 2 + (weight - 1) * 262_142 / 9999);
    // Kernels for small boards may lack this one.
    if let Some(line) = visit.every("cpu.max")?.and_then(visit::line) {
        let mut fields = scan::fields(line);
        let (quota, period) = (fields.next(), fields.next_u64());
        // A quota is nothing without its period. No limit is `max`.
        limits.cpu_quota_us = period.and(quota).and_then(scan::unsigned);
        limits.cpu_period_us = period;
    }
    Ok(())
}

fn memory(visit: &mut Visit<'_>, wants: &Wants, stats: &mut Stats) -> Result<(), Stop> {
    if wants.memory {
        let Some(text) = visit.some("memory.stat")? else { return Ok(()) };
        let memory = &mut stats.memory;
        visit::keyed(text, |key, value| {
            let field = match key {
                b"kernel" => &mut memory.kernel,
                b"anon" => &mut memory.rss,
                b"file" => &mut memory.cache,
                b"file_mapped" => &mut memory.mapped_file,
                b"active_file" => &mut memory.active_file,
                b"inactive_file" => &mut memory.inactive_file,
                b"file_dirty" => &mut memory.file_dirty,
                b"file_writeback" => &mut memory.file_writeback,
                b"pgfault" => &mut memory.pgfault,
                b"pgmajfault" => &mut memory.pgmajfault,
                b"pgscan" => &mut memory.pgscan,
                b"pgsteal" => &mut memory.pgsteal,
                b"workingset_refault_file" => &mut memory.refault_file,
                b"workingset_refault_anon" => &mut memory.refault_anon,
                _ => return,
            };
            *field = Some(value);
        });
        memory.usage = visit.number("memory.current")?;
        if visit.is_root() && memory.usage.is_none() {
            memory.usage = memory.rss.and_then(|rss| Some(rss.saturating_add(memory.cache?)));
        } else {
            memory.max_usage = visit.number("memory.peak")?;
            memory.swap = visit.number("memory.swap.current")?;
            events(visit, stats)?;
        }
    }
    if wants.limits
        && let Some(text) = visit.some("memory.max")?
    {
        stats.limits.memory = visit::number_or_max(text);
        stats.limits.swap = visit.every("memory.swap.max")?.and_then(visit::number_or_max);
        stats.limits.reservation = visit.every("memory.low")?.and_then(visit::number_or_max);
    }
    if wants.numa {
        let page = crate::sys::page_size();
        let of_page = |text: &[u8], put: &mut dyn FnMut(u32, usize, u64)| {
            for line in scan::lines(text) {
                let mut fields = scan::fields(line);
                let what = match fields.next() {
                    Some(b"file") => 3,
                    Some(b"anon") => 4,
                    Some(b"unevictable") => 5,
                    _ => continue,
                };
                visit::by_node(fields, |node, bytes| put(node, what, bytes / page));
            }
        };
        visit.nodes("memory.numa_stat", of_page, stats)?;
    }
    Ok(())
}

fn events(visit: &mut Visit<'_>, stats: &mut Stats) -> Result<(), Stop> {
    let Some(text) = visit.every("memory.events")? else { return Ok(()) };
    let events = &mut stats.memory.events;
    visit::keyed(text, |key, value| {
        let field = match key {
            b"low" => &mut events.low,
            b"high" => &mut events.high,
            b"max" => &mut events.max,
            b"oom" => &mut events.oom,
            b"oom_kill" => &mut events.oom_kill,
            b"oom_group_kill" => &mut events.oom_group_kill,
            _ => return,
        };
        *field = Some(value);
    });
    stats.memory.failcnt = events.max;
    Ok(())
}

/// Reads `io.stat`. Some kernels wrote a device without numbers and no end of its line, so a line may have several.
fn devices(text: &[u8], stats: &mut Stats) {
    for line in scan::lines(text) {
        let mut numbers = None;
        for field in scan::fields(line) {
            let Some((key, value)) = scan::split_once(field, b'=') else {
                numbers = visit::device_numbers(field);
                continue;
            };
            let (Some(numbers), Some(value)) = (numbers, scan::unsigned(value)) else { continue };
            let device = visit::device(&mut stats.io, numbers);
            let field = match key {
                b"rbytes" => &mut device.bytes.read,
                b"wbytes" => &mut device.bytes.write,
                b"dbytes" => &mut device.bytes.discard,
                b"rios" => &mut device.count.read,
                b"wios" => &mut device.count.write,
                b"dios" => &mut device.count.discard,
                b"cost.usage" => &mut device.cost_us[0],
                b"cost.wait" => &mut device.cost_us[1],
                b"cost.indebt" => &mut device.cost_us[2],
                b"cost.indelay" => &mut device.cost_us[3],
                _ => continue,
            };
            *field = Some(value);
        }
    }
}

fn huge_pages(visit: &mut Visit<'_>, stats: &mut Stats) -> Result<(), Stop> {
    if visit.kept.huge.is_empty() {
        // The root has none of the files, and others only if they have the controller.
        let Some(text) = visit.some("cgroup.controllers")? else { return Ok(()) };
        if !scan::fields(text).any(|name| name == b"hugetlb") {
            return Ok(());
        }
        visit.learn_huge();
    }
    let failures = |text: &[u8]| {
        let mut max = None;
        visit::keyed(text, |key, value| {
            if key == b"max" {
                max = Some(value);
            }
        });
        max
    };
    visit.huge_pages(failures, stats)
}
