//! Processors: nodes, cores, threads and caches, from `/sys/devices/system`, and what only `/proc/cpuinfo` has.
//!
//! Which CPUs make a core is said by their lists of siblings. Numbers of cores do not say it: they come again in every socket, and
//! not all architectures have them in cpuinfo. CPUs that are offline have no topology and count for nothing.

use std::collections::{BTreeMap, BTreeSet};

use hostfs::{Buf, Dir, Root, scan};

use super::{Cache, Core, MachineInfo, Node, huge_pages, meminfo, names_in, number_of};

/// The most CPUs that a list may name: more than any kernel can be built for.
const MOST_CPUS: u32 = 1 << 16;

/// An online CPU, and where it is.
#[derive(Debug)]
struct Cpu {
    number: u32,
    /// The lowest number among the CPUs of its core.
    leader: Option<u32>,
    core: Option<u32>,
    socket: Option<i64>,
    book: String,
    drawer: String,
}

/// Fills in what is known of the processors.
pub(super) fn read(proc: &Root, sys: &Root, info: &mut MachineInfo, buf: &mut Buf) {
    let cpus = cpus(sys, buf);
    let cpuinfo = Cpuinfo::read(proc, buf);
    info.vendor_id = cpuinfo.vendor;
    info.num_cores = if cpus.is_empty() { cpuinfo.processors } else { count(cpus.len()) };
    info.cpu_frequency_khz = highest_frequency(sys, &cpus, buf).or(cpuinfo.frequency_khz);

    let has_topology = cpus.values().all(|cpu| cpu.core.is_some() || cpu.leader.is_some());
    if has_topology && !cpus.is_empty() {
        let cores: BTreeSet<_> = cpus.values().map(Cpu::key).collect();
        // A CPU that does not tell is in one of the sockets of the others, where they do.
        let is_told = cpus.values().any(|cpu| cpu.socket.is_some());
        let told = cpus.values().filter(|cpu| !is_told || cpu.socket.is_some());
        let sockets: BTreeSet<_> = told.map(|cpu| (&cpu.drawer, &cpu.book, cpu.socket)).collect();
        info.num_physical_cores = count(cores.len());
        info.num_sockets = count(sockets.len());
    } else {
        info.num_physical_cores = count(cpuinfo.cores.len());
        info.num_sockets = count(cpuinfo.sockets.len());
    }
    let distinct = |of: fn(&Cpu) -> &str| {
        let names: BTreeSet<_> = cpus.values().map(of).filter(|name| !name.is_empty()).collect();
        count(names.len())
    };
    info.num_books = distinct(|cpu| &cpu.book);
    info.num_drawers = distinct(|cpu| &cpu.drawer);
    info.topology = nodes(sys, &cpus, buf);
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Cpu {
    /// What the CPUs of one core have in common.
    fn key(&self) -> (Option<u32>, Option<i64>, Option<u32>) {
        match self.leader {
            Some(leader) => (Some(leader), None, None),
            None => (None, self.socket, self.core),
        }
    }
}

/// The online CPUs by number.
fn cpus(sys: &Root, buf: &mut Buf) -> BTreeMap<u32, Cpu> {
    let Some((dir, names)) = names_in(&sys.join("devices/system/cpu")) else { return BTreeMap::new() };
    let online = dir.attribute("online", buf).ok().flatten().and_then(cpu_list);
    let mut all = BTreeMap::new();
    for name in names.iter() {
        let Some(number) = number_of(name, "cpu") else { continue };
        if online.as_ref().is_some_and(|online| !online.contains(&number)) {
            continue;
        }
        let Ok(Some(cpu)) = dir.dir(name) else { continue };
        let is_off = cpu.attribute("online", buf).ok().flatten().is_some_and(|on| scan::value(on) == Some(0));
        if is_off {
            continue;
        }
        let list =
            ["topology/core_cpus_list", "topology/thread_siblings_list"].into_iter().find_map(|name| {
                let list = cpu.attribute(name, buf).ok().flatten().and_then(cpu_list)?;
                list.contains(&number).then_some(list)
            });
        let mut number_in = |name: &str| cpu.attribute(name, buf).ok().flatten().and_then(scan::signed_value);
        let core = number_in("topology/core_id").and_then(|core| core.try_into().ok());
        let socket = number_in("topology/physical_package_id");
        let mut text = |name: &str| {
            let bytes = cpu.attribute(name, buf).ok().flatten().unwrap_or_default().trim_ascii();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (book, drawer) = (text("topology/book_id"), text("topology/drawer_id"));
        let leader = list.and_then(|list| list.first().copied());
        all.insert(number, Cpu { number, leader, core, socket, book, drawer });
    }
    all
}

/// A list of CPUs such as `0-3,8`; `None` if it is no such list. Empty for an empty one.
fn cpu_list(bytes: &[u8]) -> Option<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for range in bytes.trim_ascii().split(|&b| b == b',').filter(|range| !range.is_empty()) {
        let (first, last) = scan::split_once(range, b'-').unwrap_or((range, range));
        let (first, last) =
            (u32::try_from(scan::unsigned(first)?).ok()?, u32::try_from(scan::unsigned(last)?).ok()?);
        if last >= MOST_CPUS {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// The highest frequency that any CPU can have, in kHz.
fn highest_frequency(sys: &Root, cpus: &BTreeMap<u32, Cpu>, buf: &mut Buf) -> Option<u64> {
    let dir = Dir::open(sys.join("devices/system/cpu")).ok()?;
    let of = |cpu: &u32| scan::value(dir.attribute(format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), buf).ok()??);
    cpus.keys().filter_map(of).max()
}

/// The NUMA nodes; without any, a node for each socket, as the original has it.
fn nodes(sys: &Root, cpus: &BTreeMap<u32, Cpu>, buf: &mut Buf) -> Vec<Node> {
    let mut all = Vec::new();
    if let Some((dir, names)) = names_in(&sys.join("devices/system/node")) {
        for name in names.iter() {
            let Some(node_id) = number_of(name, "node") else { continue };
            let Some((node_dir, entries)) = names_in(&dir.path().join(name)) else { continue };
            let listed = node_dir.attribute("cpulist", buf).ok().flatten().and_then(cpu_list);
            let listed =
                listed.unwrap_or_else(|| entries.iter().filter_map(|name| number_of(name, "cpu")).collect());
            let mut node = Node { node_id, ..Node::default() };
            node.memory =
                node_dir.table("meminfo", buf).ok().flatten().and_then(|bytes| meminfo(bytes, b"MemTotal:"));
            node.hugepages = huge_pages(&node_dir.path().join("hugepages"), buf);
            let distances = node_dir.attribute("distance", buf).ok().flatten().unwrap_or_default();
            node.distances =
                scan::fields(distances).map(scan::unsigned).collect::<Option<_>>().unwrap_or_default();
            place(sys, &mut node, listed.iter().filter_map(|number| cpus.get(number)), buf);
            all.push(node);
        }
        all.sort_unstable_by_key(|node| node.node_id);
    }
    if all.is_empty() {
        let sockets: BTreeSet<_> = cpus.values().filter_map(|cpu| cpu.socket).collect();
        for socket in sockets {
            let Ok(node_id) = u32::try_from(socket) else { continue };
            let mut node = Node { node_id, ..Node::default() };
            place(sys, &mut node, cpus.values().filter(|cpu| cpu.socket == Some(socket)), buf);
            all.push(node);
        }
    }
    all
}

/// Puts CPUs and their caches into a node.
fn place<'a>(sys: &Root, node: &mut Node, cpus: impl Iterator<Item = &'a Cpu>, buf: &mut Buf) {
    let mut keys = Vec::new();
    for cpu in cpus {
        let Some(core_id) = cpu.core else { continue };
        let at = keys.iter().position(|key| *key == cpu.key()).unwrap_or_else(|| {
            keys.push(cpu.key());
            let socket_id = cpu.socket.unwrap_or(-1);
            let (book_id, drawer_id) = (cpu.book.clone(), cpu.drawer.clone());
            node.cores.push(Core { core_id, socket_id, book_id, drawer_id, ..Core::default() });
            node.cores.len() - 1
        });
        node.cores[at].thread_ids.push(cpu.number);
    }
    let threads: BTreeSet<u32> = node.cores.iter().flat_map(|core| core.thread_ids.iter().copied()).collect();
    for at in 0..node.cores.len() {
        let Some(&first) = node.cores[at].thread_ids.first() else { continue };
        for (cache, shared) in caches(sys, first, buf) {
            let core = &mut node.cores[at];
            let is_of_node = threads.is_subset(&shared);
            let is_of_core = shared.intersection(&threads).all(|cpu| core.thread_ids.contains(cpu));
            let place = if is_of_node && (cache.level > 2 || !is_of_core) {
                &mut node.caches
            } else if is_of_core {
                &mut core.caches
            } else {
                &mut core.uncore_caches
            };
            let place = place.get_or_insert_default();
            if !place.contains(&cache) {
                place.push(cache);
            }
        }
    }
}

/// The caches of a CPU, with the CPUs that share each.
fn caches(sys: &Root, cpu: u32, buf: &mut Buf) -> Vec<(Cache, BTreeSet<u32>)> {
    let Some((dir, names)) = names_in(&sys.join(format!("devices/system/cpu/cpu{cpu}/cache"))) else {
        return Vec::new();
    };
    let indices = names.iter().filter(|name| number_of(name, "index").is_some());
    indices.filter_map(|name| read_cache(&dir.dir(name).ok()??, cpu, buf)).collect()
}

fn read_cache(dir: &Dir, cpu: u32, buf: &mut Buf) -> Option<(Cache, BTreeSet<u32>)> {
    let size = dir.attribute("size", buf).ok()??.trim_ascii();
    let (digits, unit) = size.split_at(size.iter().position(|b| !b.is_ascii_digit()).unwrap_or(size.len()));
    let shift = match unit {
        b"" => 0,
        b"K" => 10,
        b"M" => 20,
        _ => return None,
    };
    let size = scan::unsigned(digits)?.checked_mul(1 << shift)?;
    let kind = String::from_utf8_lossy(dir.attribute("type", buf).ok()??.trim_ascii()).into_owned();
    let level = scan::value(dir.attribute("level", buf).ok()??)?.try_into().ok()?;
    let shared = dir.attribute("shared_cpu_list", buf).ok().flatten().and_then(cpu_list);
    let shared = shared.filter(|shared| shared.contains(&cpu)).unwrap_or_else(|| BTreeSet::from([cpu]));
    // Not all architectures number their caches; the lowest CPU tells them apart as well.
    let id = dir.attribute("id", buf).ok().flatten().and_then(scan::value).and_then(|id| id.try_into().ok());
    let id = id.or_else(|| shared.first().copied())?;
    Some((Cache { id, size, kind, level }, shared))
}

/// What `/proc/cpuinfo` says, in which every architecture writes what it likes.
#[derive(Debug, Default)]
struct Cpuinfo {
    vendor: String,
    processors: u32,
    frequency_khz: Option<u64>,
    /// Socket and core.
    cores: BTreeSet<(Option<u64>, u64)>,
    sockets: BTreeSet<u64>,
}

impl Cpuinfo {
    fn read(proc: &Root, buf: &mut Buf) -> Self {
        const MOST: usize = 16 << 20;
        hostfs::read_with_cap(proc.join("cpuinfo"), MOST, buf).map(Self::parse).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut all = Cpuinfo::default();
        let mut socket = None;
        for line in scan::lines(bytes) {
            let Some((key, value)) = scan::split_once(line, b':') else { continue };
            let value = value.trim_ascii();
            match key.trim_ascii() {
                b"processor" if scan::unsigned(value).is_some() => {
                    all.processors = all.processors.saturating_add(1);
                    socket = None;
                }
                b"vendor_id" if all.vendor.is_empty() => {
                    all.vendor = String::from_utf8_lossy(value).into_owned();
                }
                b"cpu MHz" => {
                    let khz = scan::float(value).filter(|mhz| *mhz > 0.0).map(|mhz| (mhz * 1000.0) as u64);
                    all.frequency_khz = all.frequency_khz.max(khz);
                }
                b"physical id" => {
                    socket = scan::unsigned(value);
                    all.sockets.extend(socket);
                }
                b"core id" => all.cores.extend(scan::unsigned(value).map(|core| (socket, core))),
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use testbed::tree::Tree;

    use super::*;

    fn cpu(tree: &mut Tree, number: u32, core: i64, socket: i64, siblings: &str) {
        let dir = format!("sys/devices/system/cpu/cpu{number}/topology");
        tree.file(format!("{dir}/core_id"), format!("{core}\n"));
        tree.file(format!("{dir}/physical_package_id"), format!("{socket}\n"));
        tree.file(format!("{dir}/thread_siblings_list"), format!("{siblings}\n"));
    }

    fn cache(tree: &mut Tree, number: u32, index: u32, level: u32, size: &str, shared: &str) {
        let dir = format!("sys/devices/system/cpu/cpu{number}/cache/index{index}");
        tree.file(format!("{dir}/level"), format!("{level}\n"));
        tree.file(format!("{dir}/size"), format!("{size}\n"));
        tree.file(format!("{dir}/type"), "Unified\n");
        tree.file(format!("{dir}/shared_cpu_list"), format!("{shared}\n"));
    }

    fn info(tree: &Tree) -> MachineInfo {
        let dir = tree.unpacked();
        let mut info = MachineInfo::default();
        let root = |name: &str| Root::new(dir.path().join(name));
        read(&root("proc"), &root("sys"), &mut info, &mut Buf::new());
        info
    }

    #[test]
    fn two_sockets_with_the_same_numbers_of_cores_and_a_cpu_that_is_off() {
        let mut tree = Tree::new();
        for (number, core, socket, siblings) in [
            (0, 0, 0, "0,4"),
            (1, 1, 0, "1,5"),
            (2, 0, 1, "2,6"),
            (3, 1, 1, "3"),
            (4, 0, 0, "0,4"),
            (5, 1, 0, "1,5"),
            (6, 0, 1, "2,6"),
        ] {
            cpu(&mut tree, number, core, socket, siblings);
        }
        tree.file("sys/devices/system/cpu/cpu7/online", "0\n");
        tree.file("sys/devices/system/cpu/online", "0-6\n");
        for (number, siblings, socket) in
            [(0, "0,4", "0-1,4-5"), (1, "1,5", "0-1,4-5"), (2, "2,6", "2-3,6"), (3, "3", "2-3,6")]
        {
            cache(&mut tree, number, 0, 1, "48K", siblings);
            cache(&mut tree, number, 3, 3, "32M", socket);
        }
        for (node, cpus) in [(0, "0-1,4-5"), (2, "2-3,6-7")] {
            let dir = format!("sys/devices/system/node/node{node}");
            tree.file(format!("{dir}/cpulist"), format!("{cpus}\n"));
            tree.file(
                format!("{dir}/meminfo"),
                format!("Node {node} MemTotal:       1000 kB\nNode {node} MemFree: 1 kB\n"),
            );
            tree.file(format!("{dir}/distance"), "10 21\n");
            tree.file(format!("{dir}/hugepages/hugepages-2048kB/nr_hugepages"), "7\n");
        }
        tree.file("proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu MHz\t\t: 2300.5\nphysical id\t: 0\ncore id\t\t: 0\n");
        let info = info(&tree);
        assert_eq!((info.num_cores, info.num_physical_cores, info.num_sockets), (7, 4, 2));
        assert_eq!((&info.vendor_id[..], info.cpu_frequency_khz), ("AuthenticAMD", Some(2_300_500)));
        assert_eq!((info.num_books, info.num_drawers), (0, 0));
        let [first, second] = &info.topology[..] else { panic!("{:?}", info.topology) };
        assert_eq!((first.node_id, second.node_id, first.memory), (0, 2, Some(1_024_000)));
        assert_eq!((&first.distances[..], first.hugepages[0].num_pages), (&[10, 21][..], 7));
        let threads = |node: &Node| -> Vec<_> {
            node.cores.iter().map(|core| (core.core_id, core.socket_id, core.thread_ids.clone())).collect()
        };
        assert_eq!(threads(first), [(0, 0, vec![0, 4]), (1, 0, vec![1, 5])]);
        assert_eq!(threads(second), [(0, 1, vec![2, 6]), (1, 1, vec![3])]);
        let sizes = |caches: &Option<Vec<Cache>>| -> Vec<_> {
            caches.iter().flatten().map(|cache| (cache.id, cache.level, cache.size)).collect()
        };
        assert_eq!(sizes(&second.caches), [(2, 3, 32 << 20)]);
        assert_eq!(sizes(&second.cores[0].caches), [(2, 1, 48 << 10)]);
        assert!(second.cores[0].uncore_caches.is_none());
    }

    #[test]
    fn an_arm_board_without_nodes_or_ids_in_cpuinfo() {
        let mut tree = Tree::new();
        for number in 0..4 {
            cpu(&mut tree, number, number.into(), 0, &number.to_string());
            cache(&mut tree, number, 2, 2, "1024K", "0-3");
            tree.file(format!("sys/devices/system/cpu/cpu{number}/cpufreq/cpuinfo_max_freq"), "1800000\n");
        }
        tree.file(
            "proc/cpuinfo",
            "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\n\nprocessor\t: 1\n",
        );
        let info = info(&tree);
        assert_eq!((info.num_cores, info.num_physical_cores, info.num_sockets), (4, 4, 1));
        assert_eq!((&info.vendor_id[..], info.cpu_frequency_khz), ("", Some(1_800_000)));
        let [node] = &info.topology[..] else { panic!("{:?}", info.topology) };
        assert_eq!((node.node_id, node.cores.len(), node.memory), (0, 4, None));
        assert_eq!(node.caches, Some(vec![Cache { id: 0, size: 1 << 20, kind: "Unified".into(), level: 2 }]));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let unknown = info(&Tree::new());
        assert_eq!((unknown.num_cores, unknown.num_physical_cores, unknown.num_sockets), (0, 0, 0));
        assert!(unknown.topology.is_empty() && unknown.cpu_frequency_khz.is_none());
        let mut tree = Tree::new();
        tree.file("proc/cpuinfo", "processor: 0\nphysical id: 0\ncore id: 0\nprocessor: 1\nphysical id: 1\ncore id: 0\ncpu MHz: -1\ncut");
        let told = info(&tree);
        assert_eq!((told.num_cores, told.num_physical_cores, told.num_sockets), (2, 2, 2));
    }

    #[test]
    fn lists_of_cpus() {
        let list = |text: &str| cpu_list(text.as_bytes()).map(|list| list.into_iter().collect::<Vec<_>>());
        assert_eq!(list("0-2,8\n"), Some(vec![0, 1, 2, 8]));
        assert_eq!((list("\n"), list("3-1")), (Some(vec![]), Some(vec![])));
        for bad in ["x", "0-", "-1", "0-4294967295", "1,,2-x", "99999999999999999999"] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }
}
