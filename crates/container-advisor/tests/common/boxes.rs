//! Two containers as literal files, on cgroup v1 and on v2, each with numbers of its own; and a machine around them.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::Path;

use testbed::daemon::Daemon;
use testbed::tree::Tree;

/// The id of the first container, whose first process is 41.
pub const A: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
/// The id of the second one, whose first process is 51.
pub const B: &str = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";

/// What is added to each of the second one's numbers.
pub const MORE: u64 = 7_000_000;

/// The files of a v1 cgroup, below its controllers.
pub fn v1_files(k: u64, pid: u32) -> Vec<(&'static str, String)> {
    let n = |n: u64| n + k;
    vec![
        ("cpuacct/cpuacct.usage", format!("{}\n", n(300) + n(200))),
        ("cpuacct/cpuacct.stat", format!("user {}\nsystem {}\n", n(7), n(3))),
        ("cpuacct/cpuacct.usage_percpu", format!("{} {} \n", n(300), n(200))),
        (
            "cpu/cpu.stat",
            format!(
                "nr_periods {}\nnr_throttled {}\nthrottled_time {}\nnr_bursts {}\nburst_time {}\n",
                n(11),
                n(12),
                n(13),
                n(14),
                n(15)
            ),
        ),
        ("cpu/cpu.shares", format!("{}\n", n(512))),
        ("cpu/cpu.cfs_period_us", format!("{}\n", n(100_000))),
        ("cpu/cpu.cfs_quota_us", format!("{}\n", n(50_000))),
        ("cpu/cgroup.procs", format!("{pid}\n{}\n", pid + 1)),
        ("memory/cgroup.procs", format!("{pid}\n{}\n", pid + 1)),
        ("memory/memory.usage_in_bytes", format!("{}\n", n(100_000))),
        ("memory/memory.max_usage_in_bytes", format!("{}\n", n(200_000))),
        ("memory/memory.failcnt", format!("{}\n", n(33))),
        ("memory/memory.kmem.usage_in_bytes", format!("{}\n", n(400))),
        ("memory/memory.use_hierarchy", "1\n".into()),
        ("memory/memory.limit_in_bytes", format!("{}\n", n(67_108_864))),
        ("memory/memory.memsw.limit_in_bytes", format!("{}\n", n(134_217_728))),
        ("memory/memory.soft_limit_in_bytes", format!("{}\n", n(33_554_432))),
        ("memory/memory.oom_control", format!("oom_kill_disable 0\nunder_oom 0\noom_kill {}\n", n(5))),
        (
            "memory/memory.stat",
            format!(
                "cache {}\nrss {}\nmapped_file {}\nswap {}\npgfault {}\npgmajfault {}\ninactive_file {}\nactive_file {}\n\
                 hierarchical_memory_limit {}\ntotal_cache {}\ntotal_rss {}\ntotal_mapped_file {}\ntotal_dirty {}\ntotal_writeback {}\n\
                 total_workingset_refault_anon {}\ntotal_workingset_refault_file {}\ntotal_swap {}\ntotal_pgfault {}\n\
                 total_pgmajfault {}\ntotal_inactive_file {}\ntotal_active_file {}\n",
                n(21),
                n(22),
                n(23),
                n(28),
                n(29),
                n(30),
                n(31),
                n(32),
                n(67_108_864),
                n(51),
                n(52),
                n(53),
                n(54),
                n(55),
                n(56),
                n(57),
                n(58),
                n(59),
                n(60),
                n(61),
                n(62)
            ),
        ),
        (
            "memory/memory.numa_stat",
            format!(
                "total={0} N0={0}\nfile={1} N0={1}\nanon={2} N0={2}\nunevictable={3} N0={3}\nhierarchical_total={4} N0={4}\n\
                 hierarchical_file={5} N0={5}\nhierarchical_anon={6} N0={6}\nhierarchical_unevictable={7} N0={7}\n",
                n(81),
                n(82),
                n(83),
                n(84),
                n(85),
                n(86),
                n(87),
                n(88)
            ),
        ),
        (
            "blkio/blkio.throttle.io_service_bytes_recursive",
            format!(
                "8:0 Read {}\n8:0 Write {}\n8:0 Sync {}\n8:0 Async {}\n8:0 Discard {}\n8:0 Total {}\nTotal {}\n",
                n(101),
                n(102),
                n(103),
                n(104),
                n(105),
                n(106),
                n(106)
            ),
        ),
        (
            "blkio/blkio.throttle.io_serviced_recursive",
            format!(
                "8:0 Read {}\n8:0 Write {}\n8:0 Sync {}\n8:0 Async {}\n8:0 Discard {}\n8:0 Total {}\nTotal {}\n",
                n(111),
                n(112),
                n(113),
                n(114),
                n(115),
                n(116),
                n(116)
            ),
        ),
        ("pids/pids.current", format!("{}\n", n(124))),
        ("pids/pids.max", format!("{}\n", n(1_125))),
        ("cpuset/cpuset.cpus", "0-1\n".into()),
        ("cpuset/cpuset.memory_migrate", "1\n".into()),
        ("hugetlb/hugetlb.2MB.usage_in_bytes", format!("{}\n", n(131))),
        ("hugetlb/hugetlb.2MB.max_usage_in_bytes", format!("{}\n", n(132))),
        ("hugetlb/hugetlb.2MB.failcnt", format!("{}\n", n(133))),
    ]
}

/// The files of a v2 cgroup.
pub fn v2_files(k: u64, pid: u32) -> Vec<(&'static str, String)> {
    let n = |n: u64| n + k;
    let pressure = |at: u64| {
        format!(
            "some avg10=1.50 avg60=0.23 avg300=0.28 total={}\nfull avg10=0.10 avg60=0.22 avg300=0.25 total={}\n",
            n(at),
            n(at + 1)
        )
    };
    vec![
        ("cgroup.controllers", "cpuset cpu io memory hugetlb pids\n".into()),
        ("cgroup.procs", format!("{pid}\n{}\n", pid + 1)),
        (
            "cpu.stat",
            format!(
                "usage_usec {}\nuser_usec {}\nsystem_usec {}\nnr_periods {}\nnr_throttled {}\nthrottled_usec {}\nnr_bursts {}\n\
                 burst_usec {}\n",
                n(301),
                n(201),
                n(100),
                n(11),
                n(12),
                n(13),
                n(14),
                n(15)
            ),
        ),
        ("cpu.max", format!("{} {}\n", n(50_000), n(100_000))),
        ("cpu.weight", format!("{}\n", if k == 0 { 39 } else { 79 })),
        ("memory.current", format!("{}\n", n(100_000))),
        ("memory.peak", format!("{}\n", n(200_000))),
        ("memory.max", format!("{}\n", n(134_217_728))),
        ("memory.low", format!("{}\n", n(67_108_864))),
        ("memory.swap.max", format!("{}\n", n(268_435_456))),
        ("memory.swap.current", format!("{}\n", n(58))),
        (
            "memory.events",
            format!(
                "low {}\nhigh {}\nmax {}\noom {}\noom_kill {}\noom_group_kill {}\n",
                n(1),
                n(2),
                n(3),
                n(4),
                n(5),
                n(6)
            ),
        ),
        (
            "memory.stat",
            format!(
                "anon {}\nfile {}\nkernel {}\nfile_mapped {}\nfile_dirty {}\nfile_writeback {}\ninactive_file {}\nactive_file {}\n\
                 workingset_refault_anon {}\nworkingset_refault_file {}\npgscan {}\npgsteal {}\npgfault {}\npgmajfault {}\n",
                n(52),
                n(51),
                n(400),
                n(53),
                n(54),
                n(55),
                n(61),
                n(62),
                n(56),
                n(57),
                n(63),
                n(64),
                n(59),
                n(60)
            ),
        ),
        (
            "memory.numa_stat",
            format!("anon N0={}\nfile N0={}\nunevictable N0=0\n", n(1_048_576), n(2_097_152)),
        ),
        (
            "io.stat",
            format!(
                "8:0 rbytes={} wbytes={} rios={} wios={} dbytes={} dios={} cost.usage={} cost.wait={} cost.indebt={} cost.indelay={}\n",
                n(101),
                n(102),
                n(111),
                n(112),
                n(105),
                n(115),
                n(141),
                n(142),
                n(143),
                n(144)
            ),
        ),
        ("pids.current", format!("{}\n", n(124))),
        ("pids.max", format!("{}\n", n(1_125))),
        ("cpuset.cpus.effective", "0-1\n".into()),
        ("hugetlb.2MB.current", format!("{}\n", n(131))),
        ("hugetlb.2MB.events", format!("max {}\n", n(133))),
        ("cpu.pressure", pressure(151)),
        ("memory.pressure", pressure(161)),
        ("io.pressure", pressure(171)),
    ]
}

/// Puts the files of a v1 cgroup where they belong.
pub fn add_v1(tree: &mut Tree, path: &str, files: Vec<(&str, String)>) {
    for (file, contents) in files {
        let (controller, name) = file.split_once('/').unwrap();
        tree.file(format!("sys/fs/cgroup/{controller}{path}/{name}"), contents);
    }
}

/// Puts the files of a v2 cgroup where they belong: `top` is `sys/fs/cgroup` or `sys/fs/cgroup/unified`.
pub fn add_v2(tree: &mut Tree, top: &str, path: &str, files: Vec<(&str, String)>) {
    for (file, contents) in files {
        tree.file(format!("{top}{path}/{file}"), contents);
    }
}

/// A process in a network namespace of its own.
pub fn add_process(tree: &mut Tree, pid: u32, cgroup: &str, k: u64) {
    let n = |n: u64| n + k;
    let dir = format!("proc/{pid}");
    tree.file(
        format!("{dir}/stat"),
        format!("{pid} (a) R 1 () S 1 1 1 0 -1 4 1 2 3 4 150 50 9 9 20 0 1 0 {} 2322432 400 1\n", 4711 + pid),
    );
    tree.file(format!("{dir}/cgroup"), cgroup);
    tree.file(format!("{dir}/schedstat"), format!("{} {} {}\n", n(501), n(502), n(503)));
    tree.file(format!("{dir}/smaps_rollup"), format!("Rss: 9 kB\nReferenced: {} kB\n", n(511)));
    tree.file(
        format!("{dir}/limits"),
        format!("Limit                     Soft Limit           Hard Limit           Units     \nMax open files            {}                 1048576              files     \n", n(1024)),
    );
    for fd in 0..3 {
        tree.link(format!("{dir}/fd/{fd}"), if fd == 0 { "/dev/null" } else { "socket:[1]" });
    }
    let row = |name: &str, at: u64| {
        let columns: Vec<String> = (0..16).map(|i| n(at + i).to_string()).collect();
        format!("{name}: {}\n", columns.join(" "))
    };
    tree.file(
        format!("{dir}/net/dev"),
        format!(
            "Inter-|   Receive  |  Transmit\n face |bytes    packets|bytes\n{}{}",
            row("    lo", 600),
            row("  eth0", 620)
        ),
    );
    let sockets = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n";
    let datagrams = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n   \
                     1: 0100007F:1F90 00000000:0000 07 00000003:00000004 00:00000000 00000000     0        0 1 2 0 5\n";
    for (name, text) in [("tcp", sockets), ("tcp6", sockets), ("udp", datagrams), ("udp6", datagrams)] {
        tree.file(format!("{dir}/net/{name}"), text);
    }
    tree.file(
        format!("{dir}/net/netstat"),
        format!("TcpExt: TW ListenDrops\nTcpExt: {} {}\nIpExt: InOctets\nIpExt: 3\n", n(701), n(702)),
    );
    tree.file(
        format!("{dir}/net/snmp"),
        format!("Ip: Forwarding\nIp: 1\nTcp: MaxConn ActiveOpens\nTcp: -1 {}\n", n(711)),
    );
}

fn machine(tree: &mut Tree) {
    tree.file("proc/meminfo", "MemTotal:        2048000 kB\nMemFree:          512000 kB\nSwapTotal:       1024000 kB\nSwapFree:         900000 kB\n");
    tree.file("proc/diskstats", "   8       0 sda 11 12 13 14 15 16 17 18 19 20 21 0 0 0 0 0 0\n");
    tree.file("proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: x\ncpu MHz\t\t: 2500.000\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: x\ncpu MHz\t\t: 2500.000\n\n");
    tree.file("proc/1/mountinfo", "25 1 8:0 / / rw,relatime - ext4 /dev/sda rw\n");
    tree.link("proc/self", "1");
    tree.file("sys/block/sda/dev", "8:0\n");
    tree.file("sys/block/sda/size", "4096\n");
    for cpu in 0..2 {
        let dir = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        tree.file(format!("{dir}/core_id"), format!("{cpu}\n"));
        tree.file(format!("{dir}/physical_package_id"), "0\n");
    }
    tree.file("sys/devices/system/cpu/online", "0-1\n");
    tree.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    tree.dir("var/lib");
    add_process(tree, 1, "0::/\n", 90_000_000);
    add_process(tree, 2, "0::/\n", 90_001_000);
}

/// A v1 host. A container is at `/docker/<id>`.
pub fn v1() -> Tree {
    let mut tree = Tree::new();
    machine(&mut tree);
    add_v1(&mut tree, "", v1_files(90_000_000, 1));
    for (id, k, pid) in [(A, 0, 41), (B, MORE, 51)] {
        let path = format!("/docker/{id}");
        add_v1(&mut tree, &path, v1_files(k, pid));
        add_process(&mut tree, pid, &format!("3:memory:{path}\n2:cpu,cpuacct:{path}\n"), k);
        add_process(&mut tree, pid + 1, &format!("3:memory:{path}\n2:cpu,cpuacct:{path}\n"), k + 1000);
    }
    tree
}

/// A v2 host.
pub fn v2() -> Tree {
    let mut tree = Tree::new();
    machine(&mut tree);
    add_v2(&mut tree, "sys/fs/cgroup", "", v2_files(90_000_000, 1));
    // The root has none of these.
    for file in [
        "memory.current",
        "memory.max",
        "memory.peak",
        "memory.swap.current",
        "cpu.max",
        "cpu.weight",
        "pids.current",
    ] {
        tree.remove(format!("sys/fs/cgroup/{file}"));
    }
    for (id, k, pid) in [(A, 0, 41), (B, MORE, 51)] {
        let path = format!("/docker/{id}");
        add_v2(&mut tree, "sys/fs/cgroup", &path, v2_files(k, pid));
        add_process(&mut tree, pid, &format!("0::{path}\n"), k);
        add_process(&mut tree, pid + 1, &format!("0::{path}\n"), k + 1000);
    }
    tree
}

/// v1 with the pressure of v2 beside it, as systemd had it.
pub fn hybrid() -> Tree {
    let mut tree = v1();
    for (id, k, pid) in [(A, 0, 41), (B, MORE, 51)] {
        let files = v2_files(k, pid)
            .into_iter()
            .filter(|(name, _)| name.ends_with("pressure") || *name == "cgroup.procs");
        add_v2(&mut tree, "sys/fs/cgroup/unified", &format!("/docker/{id}"), files.collect());
    }
    tree.file("sys/fs/cgroup/unified/cgroup.controllers", "\n");
    tree.file("sys/fs/cgroup/unified/cgroup.procs", "1\n");
    tree
}

/// The flags that point to an unpacked tree; no runtime, and every kind of metrics.
pub fn flags(top: &Path) -> Vec<String> {
    let path = |name: &str, of: &str| format!("-path.{name}={}", top.join(of).display());
    vec![
        path("rootfs", ""),
        path("procfs", "proc"),
        path("sysfs", "sys"),
        "-docker=".into(),
        "-podman=".into(),
        "-disable_metrics=".into(),
    ]
}

/// The flags of [`flags`], with a runtime.
pub fn flags_with(top: &Path, socket: &Path, more: &[&str]) -> Vec<String> {
    let mut flags = flags(top);
    flags.retain(|flag| !flag.starts_with("-docker="));
    flags.push(format!("-docker=unix://{}", socket.display()));
    flags.extend(more.iter().map(ToString::to_string));
    flags
}

/// What a daemon says of a container that runs, with more or other words in places.
pub fn container(daemon: &Daemon, id: &str, name: &str, pid: u32, more: &serde_json::Value) {
    let mut said = serde_json::json!({
        "Id": id, "Name": format!("/{name}"), "Created": "2026-01-01T00:00:00Z", "RestartCount": 0, "Driver": "overlay2",
        "State": {"Status": "running", "Running": true, "Pid": pid, "ExitCode": 0,
            "StartedAt": "2026-01-01T00:00:01.5Z", "FinishedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Image": format!("{name}:1"), "Env": [], "Labels": {}},
        "HostConfig": {"NetworkMode": "bridge"},
    });
    merge(&mut said, more);
    let line =
        serde_json::json!({"Id": id, "Names": [format!("/{name}")], "State": "running", "Status": "Up"});
    daemon.container(id, &line.to_string(), &said.to_string());
}

fn merge(to: &mut serde_json::Value, from: &serde_json::Value) {
    match (to, from) {
        (serde_json::Value::Object(to), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
        (to, from) => *to = from.clone(),
    }
}
