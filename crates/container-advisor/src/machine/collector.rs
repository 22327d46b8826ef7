//! The families `machine_*` and `cadvisor_version_info`.
//!
//! They carry no timestamps: the original's are as old as its last look at the machine, and fall out of Prometheus's look-back now and
//! then. What is not known has no sample.

use std::sync::Arc;
use std::time::Instant;

use exporter::text::{Label, LabelValue};
use exporter::{Collector, Error, Kind, Text};

use super::{Cache, Machine, MachineInfo, Node};
use crate::metadata::{Directory, Runtime};

/// Writes the families `machine_*` and `cadvisor_version_info`.
#[derive(Debug)]
pub struct MachineCollector {
    machine: Arc<Machine>,
    directory: Arc<Directory>,
    has_topology: bool,
    version: &'static str,
    revision: &'static str,
    /// Docker's version, kept for its memory.
    docker: String,
}

impl MachineCollector {
    /// `has_topology` adds the group `cpu_topology`. `version` and `revision` are those of this program.
    pub fn new(
        machine: Arc<Machine>,
        directory: Arc<Directory>,
        has_topology: bool,
        version: &'static str,
        revision: &'static str,
    ) -> Self {
        MachineCollector { machine, directory, has_topology, version, revision, docker: String::new() }
    }
}

/// The labels that all families of the machine have.
#[derive(Clone, Copy)]
struct Base<'a> {
    boot_id: Label<'a>,
    machine_id: Label<'a>,
    system_uuid: Label<'a>,
}

impl<'a> Base<'a> {
    fn new(info: &'a MachineInfo) -> Self {
        Base {
            boot_id: ("boot_id", (&info.boot_id).into()),
            machine_id: ("machine_id", (&info.machine_id).into()),
            system_uuid: ("system_uuid", (&info.system_uuid).into()),
        }
    }

    fn labels(self) -> [Label<'a>; 3] {
        [self.boot_id, self.machine_id, self.system_uuid]
    }
}

impl Collector for MachineCollector {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.directory.version_into(Runtime::Docker, &mut self.docker);
        let info = &*self.machine.hardware();
        let (memory, swap) = self.machine.memory();
        out.family(
            "cadvisor_version_info",
            Kind::Gauge,
            "Versions of this program, of the kernel, the system and Docker; always 1.",
        )
        .sample(
            &[
                ("cadvisorRevision", self.revision.into()),
                ("cadvisorVersion", self.version.into()),
                ("dockerVersion", (&self.docker).into()),
                ("kernelVersion", (&info.kernel_version).into()),
                ("osVersion", (&info.os_version).into()),
            ],
            1u64,
        );
        let base = Base::new(info);
        if self.has_topology {
            write_caches(out, base, &info.topology);
        }
        let known = |number: u32| (number > 0).then_some(u64::from(number));
        for (name, help, value) in [
            ("machine_cpu_books", "Books of processors, which only s390x has.", Some(info.num_books.into())),
            ("machine_cpu_cores", "Logical CPUs that are online.", known(info.num_cores)),
            (
                "machine_cpu_drawers",
                "Drawers of processors, which only s390x has.",
                Some(info.num_drawers.into()),
            ),
            (
                "machine_cpu_physical_cores",
                "Cores with a CPU that is online.",
                known(info.num_physical_cores),
            ),
            ("machine_cpu_sockets", "Sockets with a CPU that is online.", known(info.num_sockets)),
        ] {
            single(out, base, name, help, value);
        }
        write_modules(out, base, info);
        single(out, base, "machine_memory_bytes", "Memory of the machine, in bytes.", memory);
        if self.has_topology {
            write_nodes(out, base, &info.topology);
        }
        if let Some(nvm) = &info.nvm {
            let help = "Average power budget of persistent memory, in watts.";
            single(out, base, "machine_nvm_avg_power_budget_watts", help, Some(nvm.avg_power_budget));
            let mut family = out.family(
                "machine_nvm_capacity",
                Kind::Gauge,
                "Persistent memory by mode of use, in bytes.",
            );
            for (mode, value) in
                [("app_direct_mode", nvm.app_direct_mode_capacity), ("memory_mode", nvm.memory_mode_capacity)]
            {
                family
                    .sample(&[base.boot_id, base.machine_id, ("mode", mode.into()), base.system_uuid], value);
            }
        }
        let is_broken = info.num_cores == 0 || memory.is_none();
        let help = "Whether the number of CPUs or the size of memory could not be read.";
        out.single("machine_scrape_error", Kind::Gauge, help, is_broken);
        single(out, base, "machine_swap_bytes", "Swap space of the machine, in bytes.", swap);
        if self.has_topology {
            write_threads(out, base, &info.topology);
        }
        Ok(())
    }
}

fn single(out: &mut Text, base: Base<'_>, name: &str, help: &str, value: Option<u64>) {
    if let Some(value) = value {
        out.family(name, Kind::Gauge, help).sample(&base.labels(), value);
    }
}

fn write_modules(out: &mut Text, base: Base<'_>, info: &MachineInfo) {
    for (name, help, value) in [
        (
            "machine_dimm_capacity_bytes",
            "Memory modules' capacity by type, in bytes.",
            (|modules| modules.capacity) as fn(&super::MemoryInfo) -> u64,
        ),
        ("machine_dimm_count", "Memory modules by type.", |modules| modules.dimm_count),
    ] {
        let mut family = out.family(name, Kind::Gauge, help);
        for (kind, modules) in &info.memory_by_type {
            family.sample(
                &[base.boot_id, base.machine_id, base.system_uuid, ("type", kind.into())],
                value(modules),
            );
        }
    }
}

fn write_caches(out: &mut Text, base: Base<'_>, nodes: &[Node]) {
    let help = "Size of a cache of a core, or of a node if all its cores share it, in bytes.";
    let mut family = out.family("machine_cpu_cache_capacity_bytes", Kind::Gauge, help);
    let mut write = |node: &Node, core: LabelValue<'_>, cache: &Cache| {
        family.sample(
            &[
                base.boot_id,
                ("core_id", core),
                ("level", cache.level.into()),
                base.machine_id,
                ("node_id", node.node_id.into()),
                base.system_uuid,
                ("type", (&cache.kind).into()),
            ],
            cache.size,
        );
    };
    for node in nodes {
        for (at, core) in node.cores.iter().enumerate() {
            // Where a node has more than one socket, the numbers of cores come again: the first of them stands for all.
            if node.cores[..at].iter().any(|earlier| earlier.core_id == core.core_id) {
                continue;
            }
            each_once(&core.caches.iter().chain(&core.uncore_caches).flatten(), |cache| {
                write(node, core.core_id.into(), cache);
            });
        }
        each_once(&node.caches.iter().flatten(), |cache| write(node, "".into(), cache));
    }
    family.sort();
}

/// Of caches of the same type and level the first.
fn each_once<'a>(caches: &(impl Iterator<Item = &'a Cache> + Clone), mut each: impl FnMut(&'a Cache)) {
    for (at, cache) in caches.clone().enumerate() {
        if !caches.clone().take(at).any(|other| (other.level, &other.kind) == (cache.level, &cache.kind)) {
            each(cache);
        }
    }
}

fn write_nodes(out: &mut Text, base: Base<'_>, nodes: &[Node]) {
    let node_id = |node: &Node| ("node_id", node.node_id.into());
    let mut family = out.family(
        "machine_node_distance",
        Kind::Gauge,
        "How far a node is from another, as the firmware says.",
    );
    for node in nodes.iter().filter(|node| node.distances.len() == nodes.len()) {
        for (target, distance) in nodes.iter().zip(&node.distances) {
            let target = ("target_node_id", target.node_id.into());
            family
                .sample(&[base.boot_id, base.machine_id, node_id(node), base.system_uuid, target], *distance);
        }
    }
    family.sort();
    let mut family =
        out.family("machine_node_hugepages_count", Kind::Gauge, "Huge pages of a node, by size in KiB.");
    for node in nodes {
        for pages in &node.hugepages {
            let size = ("page_size", pages.page_size.into());
            family.sample(
                &[base.boot_id, base.machine_id, node_id(node), size, base.system_uuid],
                pages.num_pages,
            );
        }
    }
    family.sort();
    let mut family =
        out.family("machine_node_memory_capacity_bytes", Kind::Gauge, "Memory of a node, in bytes.");
    for node in nodes {
        if let Some(memory) = node.memory {
            family.sample(&[base.boot_id, base.machine_id, node_id(node), base.system_uuid], memory);
        }
    }
    family.sort();
}

fn write_threads(out: &mut Text, base: Base<'_>, nodes: &[Node]) {
    let help = "CPUs of the core that this one belongs to, itself included.";
    let mut family = out.family("machine_thread_siblings_count", Kind::Gauge, help);
    for node in nodes {
        for core in &node.cores {
            for thread in &core.thread_ids {
                family.sample(
                    &[
                        base.boot_id,
                        ("core_id", core.core_id.into()),
                        base.machine_id,
                        ("node_id", node.node_id.into()),
                        base.system_uuid,
                        ("thread_id", (*thread).into()),
                    ],
                    core.thread_ids.len(),
                );
            }
        }
    }
    family.sort();
}

#[cfg(test)]
mod tests {
    use super::super::tests::{machine, tree};
    use super::*;

    fn collect(collector: &mut MachineCollector) -> String {
        let mut out = Text::new();
        collector.collect(&mut out, Instant::now()).unwrap();
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    /// Sample lines, the labels that all have shortened.
    fn samples(text: &str) -> Vec<String> {
        let short = |line: &str| {
            line.replace("boot_id=\"4624a9eb-a06c-4562-95a9-0ba4cee1b89b\"", "B")
                .replace("machine_id=\"3d1219c7c4c5404aaa1f6d2a48adfda4\"", "M")
                .replace("system_uuid=\"3d12-19c7\"", "S")
        };
        text.lines().filter(|line| !line.starts_with('#')).map(short).collect()
    }

    #[test]
    fn families_of_a_machine() {
        let mut tree = tree();
        let node = "sys/devices/system/node/node3";
        tree.file(format!("{node}/cpulist"), "0\n");
        tree.file(format!("{node}/distance"), "10\n");
        tree.file(format!("{node}/meminfo"), "Node 3 MemTotal: 2 kB\n");
        tree.file(format!("{node}/hugepages/hugepages-2048kB/nr_hugepages"), "5\n");
        let cache = "sys/devices/system/cpu/cpu0/cache/index";
        for (index, level, size) in [(0, 1, "32K"), (3, 3, "4096K"), (4, 3, "1K")] {
            tree.file(format!("{cache}{index}/level"), format!("{level}\n"));
            tree.file(format!("{cache}{index}/size"), format!("{size}\n"));
            tree.file(format!("{cache}{index}/type"), "Unified\n");
        }
        let dir = tree.unpacked();
        let directory = Arc::new(Directory::default());
        directory.connection(Runtime::Docker, |connection| connection.version = Some("26.1.5".into()));
        let machine = Arc::new(machine(dir.path()));
        let kernel = machine.hardware().kernel_version.clone();
        let mut collector =
            MachineCollector::new(Arc::clone(&machine), Arc::clone(&directory), true, "v1", "abc");
        let expected = [
            &format!(
                "cadvisor_version_info{{cadvisorRevision=\"abc\",cadvisorVersion=\"v1\",dockerVersion=\"26.1.5\",kernelVersion=\"{kernel}\",osVersion=\"Debian GNU/Linux 12 (bookworm)\"}} 1"
            ),
            "machine_cpu_cache_capacity_bytes{B,core_id=\"\",level=\"3\",M,node_id=\"3\",S,type=\"Unified\"} 4.194304e+06",
            "machine_cpu_cache_capacity_bytes{B,core_id=\"0\",level=\"1\",M,node_id=\"3\",S,type=\"Unified\"} 32768",
            "machine_cpu_books{B,M,S} 0",
            "machine_cpu_cores{B,M,S} 1",
            "machine_cpu_drawers{B,M,S} 0",
            "machine_cpu_physical_cores{B,M,S} 1",
            "machine_cpu_sockets{B,M,S} 1",
            "machine_dimm_capacity_bytes{B,M,S,type=\"Empty\"} 0",
            "machine_dimm_capacity_bytes{B,M,S,type=\"Unbuffered-DDR4\"} 1.7179869184e+10",
            "machine_dimm_count{B,M,S,type=\"Empty\"} 1",
            "machine_dimm_count{B,M,S,type=\"Unbuffered-DDR4\"} 2",
            "machine_memory_bytes{B,M,S} 1.6384e+07",
            "machine_node_distance{B,M,node_id=\"3\",S,target_node_id=\"3\"} 10",
            "machine_node_hugepages_count{B,M,node_id=\"3\",page_size=\"2048\",S} 5",
            "machine_node_memory_capacity_bytes{B,M,node_id=\"3\",S} 2048",
            "machine_nvm_avg_power_budget_watts{B,M,S} 0",
            "machine_nvm_capacity{B,M,mode=\"app_direct_mode\",S} 0",
            "machine_nvm_capacity{B,M,mode=\"memory_mode\",S} 0",
            "machine_scrape_error 0",
            "machine_swap_bytes{B,M,S} 0",
            "machine_thread_siblings_count{B,core_id=\"0\",M,node_id=\"3\",S,thread_id=\"0\"} 1",
        ];
        for _ in 0..2 {
            assert_eq!(samples(&collect(&mut collector)), expected);
        }
        let mut without = MachineCollector::new(machine, directory, false, "v1", "abc");
        let few = samples(&collect(&mut without));
        assert_eq!(few.len(), expected.len() - 6);
        assert!(few.iter().all(|line| !line.contains("node_id")));
    }

    #[test]
    fn what_is_not_known_has_no_sample() {
        let dir = testbed::tree::Tree::new().unpacked();
        let machine = Arc::new(machine(dir.path()));
        let text = collect(&mut MachineCollector::new(machine, Arc::default(), true, "v1", ""));
        let samples = samples(&text);
        assert!(samples.contains(&"machine_scrape_error 1".to_owned()), "{text}");
        for absent in [
            "machine_cpu_cores",
            "machine_memory_bytes",
            "machine_swap_bytes",
            "machine_cpu_sockets",
            "machine_node",
        ] {
            assert!(!text.contains(absent), "{absent}");
        }
        assert!(samples[0].contains("dockerVersion=\"\""));
    }
}
