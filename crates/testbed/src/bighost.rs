//! A large machine, made up: the numbers of things are those at which an exporter shows what it costs.
//!
//! Nothing is random and nothing is stored: each run gives the same tree, so that the original's recorded answer stays valid. What does
//! not grow with a machine (`meminfo`, `vmstat`, `netstat`) is the [small machine's](crate::tree::vm). Frequencies are left out: the
//! original waits for each CPU there.

use std::fmt::Write;

use crate::tree::{Tree, vm};

/// CPUs, in [`PACKAGES`] of two threads a core.
pub const CPUS: usize = 256;
/// Processor packages.
pub const PACKAGES: usize = 4;
/// NUMA nodes.
pub const NODES: usize = 8;
/// Network interfaces, beside `lo`.
pub const INTERFACES: usize = 500;
/// Disks with a partition each; each tenth is an NVMe.
pub const DISKS: usize = 200;
/// Mounted filesystems.
pub const MOUNTS: usize = 2_000;
/// Processes, of 1 to 4 threads.
pub const PROCESSES: usize = 400;

/// A number that looks like a counter's.
fn count(kind: usize, index: usize) -> u64 {
    let (kind, index) = (kind as u64, index as u64);
    (kind * 7_919 + index * 104_729 + kind * index * 31) % 1_000_003
}

/// The tree, with `proc`, `sys`, `udev` and `rootfs` at its top.
pub fn tree() -> Tree {
    let mut tree = vm().clone();
    for gone in [
        "proc/1/mountinfo",
        "proc/1/stat",
        "proc/1/task",
        "proc/2",
        "proc/77",
        "proc/1/cgroup",
        "rootfs/dev",
        "rootfs/proc",
        "rootfs/sys",
        "sys/class/net",
        "sys/class/thermal",
        "sys/class/watchdog",
        "sys/block",
        "sys/devices/virtual/net",
        "sys/devices/pci0000:00",
        "sys/devices/system/node",
        "sys/devices/system/cpu",
    ] {
        tree.remove(gone);
    }
    cpus(&mut tree);
    memory(&mut tree);
    network(&mut tree);
    disks(&mut tree);
    mounts(&mut tree);
    processes(&mut tree);
    sensors(&mut tree);
    tree
}

fn cpus(tree: &mut Tree) {
    let mut stat = String::from("cpu ");
    for mode in 0..10 {
        write!(stat, " {}", (0..CPUS).map(|cpu| jiffies(mode, cpu)).sum::<u64>()).unwrap();
    }
    let mut schedstat = String::from("version 15\ntimestamp 4302021222\n");
    let mut softnet = String::new();
    let mut conntrack = String::from(
        "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  \
         expect_new expect_create expect_delete search_restart\n",
    );
    let mask = ["ffffffff"; CPUS / 32].join(",");
    for cpu in 0..CPUS {
        write!(stat, "\ncpu{cpu}").unwrap();
        for mode in 0..10 {
            write!(stat, " {}", jiffies(mode, cpu)).unwrap();
        }
        let run = count(1, cpu) * 1_000_000;
        writeln!(schedstat, "cpu{cpu} 0 0 0 0 0 0 {run} {} {}", run / 3, count(2, cpu)).unwrap();
        for domain in 0..3 {
            writeln!(schedstat, "domain{domain} {mask}{}", " 0".repeat(36)).unwrap();
        }
        writeln!(
            softnet,
            "{:08x} {:08x} {:08x} 00000000 00000000 00000000 00000000 00000000 00000000 {:08x} 00000000 00000000 {cpu:08x} 00000000 00000000",
            count(3, cpu), cpu % 3, cpu % 7, count(4, cpu)
        )
        .unwrap();
        writeln!(
            conntrack,
            "00001a2b  00000000 {:08x} 00000000 {:08x} {:08x} 00000000 {:08x} 00000000 00000000 {:08x} 00000000 00000000  \
             00000000 00000000 00000000 {:08x}",
            cpu, cpu * 2, cpu * 3, cpu * 4, cpu % 5, cpu % 11
        )
        .unwrap();
        let dir = format!("sys/devices/system/cpu/cpu{cpu}");
        let (package, core) = (cpu % (CPUS / 2) / (CPUS / 2 / PACKAGES), cpu % (CPUS / 2 / PACKAGES));
        tree.file(format!("{dir}/topology/core_id"), format!("{core}\n"));
        tree.file(format!("{dir}/topology/physical_package_id"), format!("{package}\n"));
        tree.file(format!("{dir}/topology/core_siblings_list"), "0-255\n");
        tree.file(format!("{dir}/topology/thread_siblings_list"), format!("{cpu}\n"));
        tree.file(format!("{dir}/thermal_throttle/core_throttle_count"), format!("{}\n", core % 9));
        tree.file(format!("{dir}/thermal_throttle/package_throttle_count"), format!("{}\n", package * 2));
        if cpu > 0 {
            tree.file(format!("{dir}/online"), "1\n");
        }
        tree.link(format!("sys/bus/cpu/devices/cpu{cpu}"), format!("../../../devices/system/cpu/cpu{cpu}"));
    }
    for (name, value) in
        [("online", "0-255\n"), ("present", "0-255\n"), ("possible", "0-255\n"), ("offline", "\n")]
    {
        tree.file(format!("sys/devices/system/cpu/{name}"), value);
    }
    tree.file("sys/devices/system/cpu/isolated", "8-15,200\n");
    write!(stat, "\nintr 123456789012").unwrap();
    for irq in 0..4_000 {
        write!(stat, " {}", if irq % 9 == 0 { count(5, irq) } else { 0 }).unwrap();
    }
    stat.push_str(
        "\nctxt 987654321098\nbtime 1600000000\nprocesses 123456789\nprocs_running 17\nprocs_blocked 3\n",
    );
    stat.push_str("softirq 5057579 250191 1481983 1647 211099 186066 0 1783454 622196 12499 508444\n");
    tree.file("proc/stat", stat);
    tree.file("proc/schedstat", schedstat);
    tree.file("proc/1/net/softnet_stat", softnet);
    tree.file("proc/1/net/stat/nf_conntrack", conntrack);
    tree.file("proc/interrupts", interrupts());
    let mut softirqs = format!(
        "                {}\n",
        (0..CPUS).map(|c| format!("{:>10}", format!("CPU{c}"))).collect::<String>()
    );
    for (i, name) in
        ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"]
            .iter()
            .enumerate()
    {
        write!(softirqs, "{name:>12}:").unwrap();
        (0..CPUS).for_each(|cpu| write!(softirqs, " {:>10}", count(6 + i, cpu)).unwrap());
        softirqs.push('\n');
    }
    tree.file("proc/softirqs", softirqs);
    for resource in ["cpu", "io", "memory", "irq"] {
        let some = "some avg10=0.10 avg60=2.00 avg300=3.85 total=15\n";
        let full = "full avg10=0.20 avg60=3.00 avg300=4.95 total=25\n";
        let contents = if resource == "irq" { full.to_owned() } else { format!("{some}{full}") };
        tree.file(format!("proc/pressure/{resource}"), contents);
    }
}

/// Time of a CPU in a mode; guest time is part of user time.
fn jiffies(mode: usize, cpu: usize) -> u64 {
    match mode {
        3 => 10_000_000 + count(mode, cpu),
        8 | 9 => count(mode, cpu) % 1_000,
        _ => 1_000 + count(mode, cpu),
    }
}

/// Queues of network cards and disks, each bound to a CPU, and the interrupts that every CPU has.
fn interrupts() -> String {
    let mut text = format!(
        "            {}\n",
        (0..CPUS).map(|c| format!("{:>11}", format!("CPU{c}"))).collect::<String>()
    );
    for irq in 24..84 {
        write!(text, "{irq:>4}:").unwrap();
        for cpu in 0..CPUS {
            write!(text, " {:>10}", if cpu == irq * 3 % CPUS { count(20, irq) } else { 0 }).unwrap();
        }
        writeln!(text, "  IR-PCI-MSI {}-edge      mlx5_comp{irq}@pci:0000:41:00.0", irq * 2_048).unwrap();
    }
    let all = [
        ("NMI", "Non-maskable interrupts"),
        ("LOC", "Local timer interrupts"),
        ("RES", "Rescheduling interrupts"),
        ("CAL", "Function call interrupts"),
        ("TLB", "TLB shootdowns"),
        ("MCP", "Machine check polls"),
    ];
    for (i, (name, what)) in all.iter().enumerate() {
        write!(text, "{name:>4}:").unwrap();
        (0..CPUS).for_each(|cpu| write!(text, " {:>10}", count(21 + i, cpu) % 1_000).unwrap());
        writeln!(text, "   {what}").unwrap();
    }
    text.push_str(" ERR:          0\n MIS:          0\n");
    text
}

fn memory(tree: &mut Tree) {
    let mut buddyinfo = String::new();
    let mut zoneinfo = String::new();
    let keys = [
        "nr_free_pages",
        "nr_zone_inactive_anon",
        "nr_zone_active_anon",
        "nr_zone_inactive_file",
        "nr_zone_active_file",
        "nr_zone_unevictable",
        "nr_zone_write_pending",
        "nr_mlock",
        "nr_bounce",
        "numa_hit",
        "numa_miss",
        "numa_foreign",
        "numa_interleave",
        "numa_local",
        "numa_other",
    ];
    for node in 0..NODES {
        for (z, zone) in ["DMA", "DMA32", "Normal"].iter().enumerate().filter(|(z, _)| node == 0 || *z == 2) {
            write!(buddyinfo, "Node {node}, zone {zone:>8}").unwrap();
            (0..11).for_each(|order| write!(buddyinfo, " {:>6}", count(node + z, order) % 50_000).unwrap());
            buddyinfo.push_str(" \n");
            let n = |i| count(node * 3 + z, i);
            write!(
                zoneinfo,
                "Node {node}, zone {zone:>8}\n  pages free     {}\n        boost    0\n        min      {}\n        low      {}\n        \
                 high     {}\n        spanned  {}\n        present  {}\n        managed  {}\n        cma      0\n        \
                 protection: (0, 1846, 7880, 7880, 7880)\n",
                n(1), n(2), n(3), n(4), n(5), n(6), n(7)
            )
            .unwrap();
            keys.iter()
                .enumerate()
                .for_each(|(i, key)| writeln!(zoneinfo, "      {key:<12} {}", n(8 + i)).unwrap());
            zoneinfo.push_str("  pagesets\n");
            for cpu in 0..CPUS {
                write!(
                    zoneinfo,
                    "    cpu: {cpu}\n              count: {}\n              high:  378\n              batch: 63\n  vm stats threshold: 125\n",
                    cpu % 300
                )
                .unwrap();
            }
            writeln!(zoneinfo, "  node_unreclaimable:  0\n  start_pfn:           {}", n(40)).unwrap();
        }
        let dir = format!("sys/devices/system/node/node{node}");
        let mut meminfo = String::new();
        for (i, key) in
            ["MemTotal", "MemFree", "MemUsed", "Active", "Inactive", "Active(anon)", "Dirty", "Slab"]
                .iter()
                .enumerate()
        {
            writeln!(meminfo, "Node {node} {:<16} {:>8} kB", format!("{key}:"), count(node, i)).unwrap();
        }
        writeln!(meminfo, "Node {node} HugePages_Total:     0").unwrap();
        tree.file(format!("{dir}/meminfo"), meminfo);
        let numastat =
            ["numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node"];
        let numastat = numastat.iter().enumerate().map(|(i, key)| format!("{key} {}\n", count(node, 50 + i)));
        tree.file(format!("{dir}/numastat"), numastat.collect::<String>());
        tree.link(
            format!("sys/bus/node/devices/node{node}"),
            format!("../../../devices/system/node/node{node}"),
        );
    }
    tree.file("proc/buddyinfo", buddyinfo);
    tree.file("proc/zoneinfo", zoneinfo);
}

/// The name of an interface: containers' and bridges' mostly, as on a machine with so many.
fn interface(i: usize) -> String {
    match i % 10 {
        0 => format!("eth{}", i / 10),
        1 => format!("br-{:08x}", i * 7_919),
        _ => format!("veth{:07x}", i * 104_729),
    }
}

fn network(tree: &mut Tree) {
    let mut dev = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
         lo: 12345678   12345    0    0    0     0          0         0 12345678   12345    0    0    0     0       0          0\n",
    );
    let mut arp =
        String::from("IP address       HW type     Flags       HW address            Mask     Device\n");
    for i in 0..INTERFACES {
        let name = interface(i);
        writeln!(
            dev,
            "{name}: {} {} {} {} 0 0 0 {} {} {} {} {} 0 0 0 0",
            count(30, i) * 1_000,
            count(31, i),
            i % 3,
            i % 5,
            i % 13,
            count(32, i) * 1_000,
            count(33, i),
            i % 2,
            i % 7
        )
        .unwrap();
        for neighbour in 0..i % 5 {
            let host = i * 5 + neighbour;
            writeln!(
                arp,
                "10.{}.{}.{}       0x1         0x2         02:00:00:00:{:02x}:{:02x}     *        {name}",
                host / 250,
                i % 250,
                neighbour + 2,
                i % 256,
                neighbour
            )
            .unwrap();
        }
        let dir = format!("sys/devices/virtual/net/{name}");
        let is_up = i % 10 != 9;
        for (attribute, value) in [
            ("addr_assign_type", "3".to_owned()),
            ("addr_len", "6".to_owned()),
            ("address", format!("02:42:00:00:{:02x}:{:02x}", i / 256, i % 256)),
            ("broadcast", "ff:ff:ff:ff:ff:ff".to_owned()),
            ("carrier", u8::from(is_up).to_string()),
            ("carrier_changes", (i % 17).to_string()),
            ("carrier_down_count", (i % 17 / 2).to_string()),
            ("carrier_up_count", (i % 17 - i % 17 / 2).to_string()),
            ("dev_id", format!("0x{:x}", i % 4)),
            ("dev_port", "0".to_owned()),
            ("dormant", "0".to_owned()),
            ("duplex", "full".to_owned()),
            ("flags", if is_up { "0x1003" } else { "0x1002" }.to_owned()),
            ("gro_flush_timeout", "0".to_owned()),
            ("ifalias", if i % 50 == 0 { format!("uplink {i}") } else { String::new() }),
            ("ifindex", (i + 2).to_string()),
            ("iflink", (i + 2).to_string()),
            ("link_mode", "0".to_owned()),
            ("mtu", "1500".to_owned()),
            ("name_assign_type", "3".to_owned()),
            ("netdev_group", "0".to_owned()),
            ("operstate", if is_up { "up" } else { "down" }.to_owned()),
            ("phys_port_name", String::new()),
            ("proto_down", "0".to_owned()),
            ("speed", if i % 10 == 0 { "25000" } else { "10000" }.to_owned()),
            ("tx_queue_len", "1000".to_owned()),
            ("type", "1".to_owned()),
        ] {
            tree.file(format!("{dir}/{attribute}"), format!("{value}\n"));
        }
        for statistic in ["rx_bytes", "rx_packets", "tx_bytes", "tx_packets"] {
            tree.file(format!("{dir}/statistics/{statistic}"), format!("{}\n", count(34, i)));
        }
        tree.link(format!("sys/class/net/{name}"), format!("../../devices/virtual/net/{name}"));
        tree.link(format!("{dir}/subsystem"), "../../../../class/net");
    }
    tree.file("sys/class/net/bonding_masters", "eth0\n");
    tree.file("sys/devices/virtual/net/eth0/bonding/slaves", "eth1 eth2\n");
    for slave in ["eth1", "eth2"] {
        tree.file(format!("sys/devices/virtual/net/eth0/lower_{slave}/bonding_slave/mii_status"), "up\n");
    }
    tree.file("proc/1/net/dev", dev);
    tree.file("proc/1/net/arp", arp);
    for (file, address) in [("udp", "0100007F"), ("udp6", "00000000000000000000000001000000")] {
        let mut text = String::from(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n",
        );
        for i in 0..300 {
            writeln!(
                text,
                "{i:>5}: {address}:{:04X} {} 07 {:08X}:{:08X} 00:00000000 00000000     0        0 {} 2 0000000000000000 0",
                1_000 + i,
                format_args!("{}:0000", "0".repeat(address.len())),
                i % 4,
                i % 9,
                10_000 + i
            )
            .unwrap();
        }
        tree.file(format!("proc/1/net/{file}"), text);
    }
}

/// `sda` to `sdz`, `sdaa` and so on; each tenth disk is an NVMe.
fn disk(i: usize) -> String {
    if i % 10 == 9 {
        return format!("nvme{}n1", i / 10);
    }
    let letter = |n: usize| char::from(b'a' + n as u8);
    match i / 26 {
        0 => format!("sd{}", letter(i)),
        n => format!("sd{}{}", letter(n - 1), letter(i % 26)),
    }
}

/// A disk's queue attributes, all of which the original reads for the one that it tells.
const QUEUE: &[&str] = &[
    "add_random",
    "chunk_sectors",
    "dax",
    "discard_granularity",
    "discard_max_bytes",
    "discard_max_hw_bytes",
    "fua",
    "hw_sector_size",
    "io_poll",
    "io_poll_delay",
    "io_timeout",
    "iostats",
    "logical_block_size",
    "max_discard_segments",
    "max_hw_sectors_kb",
    "max_integrity_segments",
    "max_sectors_kb",
    "max_segment_size",
    "max_segments",
    "minimum_io_size",
    "nomerges",
    "nr_requests",
    "nr_zones",
    "optimal_io_size",
    "physical_block_size",
    "read_ahead_kb",
    "rotational",
    "rq_affinity",
    "scheduler",
    "throttle_sample_time",
    "wbt_lat_usec",
    "write_cache",
    "write_same_max_bytes",
    "write_zeroes_max_bytes",
    "zoned",
];

fn disks(tree: &mut Tree) {
    let mut diskstats = String::new();
    for i in 0..DISKS {
        let name = disk(i);
        let (major, minor) = if i % 10 == 9 { (259, i) } else { (8 + i / 16, i % 16 * 16) };
        let part = if i % 10 == 9 { "p1" } else { "1" };
        for (name, minor) in [(name.clone(), minor), (format!("{name}{part}"), minor + 1)] {
            write!(diskstats, "{major:>4} {minor:>7} {name}").unwrap();
            (0..17).for_each(|field| write!(diskstats, " {}", count(40 + field, i)).unwrap());
            diskstats.push('\n');
        }
        let dir = format!("sys/devices/pci0000:80/0000:80:{:02x}.0/block/{name}", i % 32);
        for file in QUEUE {
            let value = match *file {
                "rotational" => usize::from(i % 4 == 0 && i % 10 != 9).to_string(),
                "scheduler" => "[none] mq-deadline kyber".to_owned(),
                "write_cache" => "write back".to_owned(),
                "zoned" => "none".to_owned(),
                _ => "4096".to_owned(),
            };
            tree.file(format!("{dir}/queue/{file}"), format!("{value}\n"));
        }
        tree.file(format!("{dir}/size"), "1953525168\n");
        tree.file(format!("{dir}/dev"), format!("{major}:{minor}\n"));
        tree.link(format!("sys/block/{name}"), format!("../{}", dir.trim_start_matches("sys/")));
        let mut udev = format!(
            "S:disk/by-id/scsi-{i:016x}\nI:1234567\nE:DEVNAME=/dev/{name}\nE:ID_MODEL=Model_{}\nE:ID_PATH=pci-0000:80:00.0-scsi-0:0:{i}:0\n\
             E:ID_REVISION=R{:03}\nE:ID_SERIAL_SHORT=SN{i:08}\nE:ID_WWN=0x{i:016x}\n",
            i % 7,
            i % 13
        );
        if i % 4 == 0 {
            udev.push_str("E:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\nE:ID_ATA_WRITE_CACHE_ENABLED=0\nE:ID_ATA_ROTATION_RATE_RPM=7200\n");
        }
        udev.push_str("G:systemd\n");
        tree.file(format!("udev/b{major}:{minor}"), udev);
        let filesystem = format!(
            "I:1234567\nE:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=00000000-0000-4000-8000-{i:012x}\nE:ID_FS_VERSION=1.0\n"
        );
        tree.file(format!("udev/b{major}:{}", minor + 1), filesystem);
    }
    for i in 0..20 {
        write!(diskstats, " 253 {i:>7} dm-{i}").unwrap();
        (0..17).for_each(|field| write!(diskstats, " {}", count(60 + field, i)).unwrap());
        writeln!(diskstats, "\n   7 {i:>7} loop{i} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0").unwrap();
        tree.file(
            format!("udev/b253:{i}"),
            format!("E:DM_NAME=vg-lv{i}\nE:DM_UUID=LVM-{i:032x}\nE:DM_LV_NAME=lv{i}\nE:DM_VG_NAME=vg\nE:DM_LV_LAYER=\n"),
        );
    }
    tree.file("proc/diskstats", diskstats);
    for i in 0..DISKS / 10 {
        let dir = format!("sys/devices/pci0000:c0/nvme/nvme{i}");
        for (file, value) in [
            ("firmware_rev", "1B2QEXP7".to_owned()),
            ("model", "Made Up SSD 970 PRO 512GB           ".to_owned()),
            ("serial", format!("S680HF8N{i:06}      ")),
            ("state", "live".to_owned()),
            ("cntlid", i.to_string()),
        ] {
            tree.file(format!("{dir}/{file}"), format!("{value}\n"));
        }
        let namespace = format!("{dir}/nvme{i}n1");
        for (file, value) in [
            ("ana_state", "optimized"),
            ("nuse", "488281250"),
            ("size", "3906250000"),
            ("queue/logical_block_size", "4096"),
            ("nsid", "1"),
        ] {
            tree.file(format!("{namespace}/{file}"), format!("{value}\n"));
        }
        tree.link(format!("sys/class/nvme/nvme{i}"), format!("../../{}", dir.trim_start_matches("sys/")));
    }
}

fn mounts(tree: &mut Tree) {
    let mut mountinfo =
        String::from("21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n");
    for i in 0..MOUNTS {
        let (id, minor) = (100 + i, i % 256);
        // Most are volumes; the rest are what a machine with containers has, and most of that is not looked at.
        let (mount, kind, device, options) = match i % 20 {
            18 => (
                format!("/var/lib/docker/overlay2/{:064x}/merged", i * 104_729),
                "overlay",
                "overlay".to_owned(),
                "rw",
            ),
            19 => (format!("/run/user/{i}"), "tmpfs", "tmpfs".to_owned(), "rw"),
            17 => (format!("/srv/read\\040only/{i}"), "xfs", format!("/dev/mapper/vg-lv{i}"), "ro"),
            _ => (
                format!("/srv/volumes/pvc-{:08x}-4000-8000-{i:012}", i * 7_919),
                "ext4",
                format!("/dev/sd{}", i % 97),
                "rw",
            ),
        };
        writeln!(
            mountinfo,
            "{id} 21 8:{minor} / {mount} {options},relatime shared:{id} - {kind} {device} {options}"
        )
        .unwrap();
        tree.dir(format!("rootfs{}", mount.replace("\\040", " ")));
    }
    // A mount point that is not there: an error, and no sizes.
    mountinfo.push_str("9999 21 8:1 / /srv/gone rw,relatime shared:9 - ext4 /dev/sdzz rw\n");
    tree.file("proc/1/mountinfo", mountinfo);
}

fn processes(tree: &mut Tree) {
    for i in 0..PROCESSES {
        let pid = 1 + i * 11;
        let threads = 1 + i % 4;
        for tid in pid..pid + threads {
            let state = ['S', 'R', 'D', 'I', 'Z'][if tid % 3 == 0 { tid % 5 } else { 0 }];
            let stat = format!(
                "{tid} (worker) {i}) {state} 1 {pid} {pid} 0 -1 4194560 {} 0 0 0 {} {} 0 0 20 0 {threads} 0 {} 4096000 500 \
                 18446744073709551615 1 1 0 0 0 0 0 4096 1256 0 0 0 17 {} 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                count(70, tid),
                count(71, tid),
                count(72, tid),
                count(73, pid),
                i % CPUS
            );
            if tid == pid {
                tree.file(format!("proc/{pid}/stat"), stat.clone());
            }
            tree.file(format!("proc/{pid}/task/{tid}/stat"), stat);
        }
    }
}

fn sensors(tree: &mut Tree) {
    for package in 0..PACKAGES {
        let dir = format!("sys/devices/platform/coretemp.{package}");
        let hwmon = format!("{dir}/hwmon/hwmon{package}");
        tree.file(format!("{hwmon}/name"), "coretemp\n");
        tree.link(format!("{hwmon}/device"), format!("../../../coretemp.{package}"));
        tree.link(format!("{hwmon}/subsystem"), "../../../../../class/hwmon");
        tree.link(
            format!("sys/class/hwmon/hwmon{package}"),
            format!("../../{}", hwmon.trim_start_matches("sys/")),
        );
        for sensor in 1..=1 + CPUS / 2 / PACKAGES {
            let label =
                if sensor == 1 { format!("Package id {package}") } else { format!("Core {}", sensor - 2) };
            for (property, value) in [
                ("input", 40_000 + count(80, sensor) % 30_000),
                ("max", 84_000),
                ("crit", 100_000),
                ("crit_alarm", 0),
            ] {
                tree.file(format!("{hwmon}/temp{sensor}_{property}"), format!("{value}\n"));
            }
            tree.file(format!("{hwmon}/temp{sensor}_label"), format!("{label}\n"));
        }
        let zone = format!("sys/devices/virtual/powercap/intel-rapl/intel-rapl:{package}");
        tree.file(format!("{zone}/name"), format!("package-{package}\n"));
        tree.file(format!("{zone}/energy_uj"), format!("{}\n", count(81, package) * 100_000));
        tree.file(format!("{zone}/max_energy_range_uj"), "262143328850\n");
        tree.link(
            format!("sys/class/powercap/intel-rapl:{package}"),
            format!("../../{}", zone.trim_start_matches("sys/")),
        );
    }
    for fan in 0..4 {
        let hwmon = format!("sys/devices/virtual/hwmon/hwmon{}", PACKAGES + fan);
        tree.file(format!("{hwmon}/name"), format!("board{fan}\n"));
        for (file, value) in [
            ("fan1_input", "1200"),
            ("fan1_min", "300"),
            ("fan1_alarm", "0"),
            ("in0_input", "1104"),
            ("in0_max", "1744"),
            ("pwm1", "128"),
            ("pwm1_enable", "5"),
            ("power1_average", "95000000"),
            ("curr1_input", "1500"),
            ("temp1_input", "-4000"),
        ] {
            tree.file(format!("{hwmon}/{file}"), format!("{value}\n"));
        }
        tree.link(
            format!("sys/class/hwmon/hwmon{}", PACKAGES + fan),
            format!("../../{}", hwmon.trim_start_matches("sys/")),
        );
    }
    for zone in 0..16 {
        let dir = format!("sys/devices/virtual/thermal/thermal_zone{zone}");
        tree.file(format!("{dir}/type"), if zone % 2 == 0 { "x86_pkg_temp\n" } else { "acpitz\n" });
        tree.file(format!("{dir}/temp"), format!("{}\n", 40_000 + zone * 250));
        tree.file(format!("{dir}/policy"), "step_wise\n");
        tree.file(format!("{dir}/mode"), "enabled\n");
        tree.link(
            format!("sys/class/thermal/thermal_zone{zone}"),
            format!("../../{}", dir.trim_start_matches("sys/")),
        );
    }
    for device in 0..CPUS {
        let dir = format!("sys/devices/virtual/thermal/cooling_device{device}");
        tree.file(format!("{dir}/type"), "Processor\n");
        tree.file(format!("{dir}/cur_state"), format!("{}\n", device % 3));
        tree.file(format!("{dir}/max_state"), "10\n");
        tree.link(
            format!("sys/class/thermal/cooling_device{device}"),
            format!("../../{}", dir.trim_start_matches("sys/")),
        );
    }
    for mc in 0..8 {
        let dir = format!("sys/devices/system/edac/mc/mc{mc}");
        for (file, value) in
            [("ce_count", mc), ("ce_noinfo_count", mc * 2), ("ue_count", 0), ("ue_noinfo_count", 1)]
        {
            tree.file(format!("{dir}/{file}"), format!("{value}\n"));
        }
        for row in 0..4 {
            tree.file(format!("{dir}/csrow{row}/ce_count"), format!("{}\n", row + mc));
            tree.file(format!("{dir}/csrow{row}/ue_count"), "0\n");
        }
    }
    for (file, value) in [
        ("identity", "iTCO_wdt"),
        ("state", "active"),
        ("status", "0x8000"),
        ("timeout", "30"),
        ("timeleft", "12"),
        ("nowayout", "0"),
        ("options", "0x8180"),
        ("bootstatus", "0"),
    ] {
        tree.file(format!("sys/devices/virtual/watchdog/watchdog0/{file}"), format!("{value}\n"));
    }
    tree.link("sys/class/watchdog/watchdog0", "../../devices/virtual/watchdog/watchdog0");
    for (file, value) in [
        ("bios_date", "04/12/2021"),
        ("bios_release", "2.2"),
        ("bios_vendor", "Made Up Inc."),
        ("bios_version", "2.2.4"),
        ("board_name", "07PXPY"),
        ("board_vendor", "Made Up Inc."),
        ("board_version", "A01"),
        ("chassis_vendor", "Made Up Inc."),
        ("chassis_asset_tag", ""),
        ("product_family", "PowerRack"),
        ("product_name", "PowerRack R6515"),
        ("product_sku", "SKU=NotProvided"),
        ("product_version", ""),
        ("sys_vendor", "Made Up Inc."),
        ("product_serial", "7N62AI2"),
    ] {
        tree.file(format!("sys/devices/virtual/dmi/id/{file}"), format!("{value}\n"));
    }
    tree.link("sys/class/dmi/id", "../../devices/virtual/dmi/id");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        for (names, count) in [
            ((0..INTERFACES).map(interface).collect::<std::collections::HashSet<_>>(), INTERFACES),
            ((0..DISKS).map(disk).collect(), DISKS),
        ] {
            assert_eq!(names.len(), count);
            assert!(names.iter().all(|name| name.len() < 16), "{names:?}");
        }
    }
}
