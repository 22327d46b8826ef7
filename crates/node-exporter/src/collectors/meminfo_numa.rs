//! Memory of each NUMA node: `/sys/devices/system/node/node*/{meminfo,numastat}`, see the kernel's
//! Documentation/ABI/stable/sysfs-devices-node and Documentation/admin-guide/numastat.rst.
//!
//! Every field becomes a family, also one that only a newer kernel has. A field's name is turned into a family's once, and remembered.

use std::path::PathBuf;
use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Gone, Names, Span, scan};

use super::vmstat::is_name;
use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "meminfo_numa",
    on: false,
    help: "Memory of each NUMA node from /sys/devices/system/node.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(MeminfoNuma {
            nodes: paths::sys(flags).join("devices/system/node"),
            names: Names::new(),
            buf: Buf::new(),
            keys: Keys::default(),
            values: Vec::new(),
        }))
    },
};

struct MeminfoNuma {
    nodes: PathBuf,
    names: Names,
    buf: Buf,
    keys: Keys,
    values: Vec<Value>,
}

/// One number of one node.
struct Value {
    key: usize,
    /// Position in the ordered names.
    node: usize,
    number: u64,
}

/// The fields seen so far, in the order in which the kernel lists them.
#[derive(Default)]
struct Keys {
    texts: Arena,
    known: Vec<Key>,
}

struct Key {
    raw: Span,
    kind: Kind,
    family: Span,
    help: Span,
}

impl Keys {
    /// Many times what a kernel has; past it the list starts anew.
    const MOST: usize = 1024;

    /// The position of a field, most likely `expected`; `None` if its name makes no family.
    fn find(&mut self, raw: &[u8], kind: Kind, expected: usize) -> Option<usize> {
        let is = |key: &Key| key.kind == kind && &self.texts[key.raw] == raw;
        if self.known.get(expected).is_some_and(is) {
            return Some(expected);
        }
        self.known.iter().position(is).or_else(|| self.add(raw, kind))
    }

    fn add(&mut self, raw: &[u8], kind: Kind) -> Option<usize> {
        let mut family = b"node_memory_numa_".to_vec();
        let prefix = family.len();
        if kind == Kind::Counter {
            family.extend_from_slice(raw);
            family.extend_from_slice(b"_total");
        } else {
            // `Active(anon):` is Active_anon.
            let name = raw.strip_suffix(b":")?;
            family.extend(name.iter().filter(|&&b| b != b')').map(|&b| if b == b'(' { b'_' } else { b }));
        }
        let is_taken = self.known.iter().any(|key| self.texts[key.family] == family[..]);
        if !is_name(&family[prefix..]) || is_taken {
            return None;
        }
        let mut help = b"Field ".to_vec();
        help.extend_from_slice(raw.strip_suffix(b":").unwrap_or(raw));
        help.extend_from_slice(match kind {
            Kind::Counter => b" of the NUMA node's numastat, in pages.",
            _ => b" of the NUMA node's meminfo, in bytes unless it is a count of pages.",
        });
        self.known.push(Key {
            raw: self.texts.push(raw),
            kind,
            family: self.texts.push(&family),
            help: self.texts.push(&help),
        });
        Some(self.known.len() - 1)
    }
}

impl MeminfoNuma {
    fn read(&mut self) -> hostfs::Result<()> {
        self.values.clear();
        self.names.clear();
        if self.keys.known.len() > Keys::MOST {
            self.keys = Keys::default();
        }
        // A kernel without NUMA has no nodes; that is no fault.
        let Some(nodes) = Dir::open(&self.nodes).gone_is_none()? else { return Ok(()) };
        nodes.names(&mut self.names)?;
        self.names.retain(|name| number(name).is_some());
        for (node, name) in self.names.iter().enumerate() {
            let Some(dir) = nodes.dir(name)? else { continue };
            let before = self.values.len();
            let mut expected = 0;
            let mut add = |raw: &[u8], kind, number| {
                if let Some(key) = self.keys.find(raw, kind, expected) {
                    expected = key + 1;
                    self.values.push(Value { key, node, number });
                }
            };
            let meminfo = dir.attribute("meminfo", &mut self.buf)?;
            for line in scan::lines(meminfo.unwrap_or_default()) {
                if let Some((raw, number)) = meminfo_line(line) {
                    add(raw, Kind::Gauge, number);
                }
            }
            let has_meminfo = meminfo.is_some();
            let numastat = dir.attribute("numastat", &mut self.buf)?;
            for line in scan::lines(numastat.unwrap_or_default()) {
                if let Some((raw, number)) = numastat_line(line) {
                    add(raw, Kind::Counter, number);
                }
            }
            if self.values.len() == before && (has_meminfo || numastat.is_some()) {
                return Err(dir.malformed("meminfo", "lines of a node, a name and a size"));
            }
        }
        // By family, and in it by node; a field that came twice keeps one value.
        self.values.sort_unstable_by_key(|v| (v.key, v.node));
        self.values.dedup_by_key(|v| (v.key, v.node));
        Ok(())
    }
}

/// The number in `node12`.
fn number(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b"node").filter(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

/// `Node 0 MemTotal:  1024 kB`.
fn meminfo_line(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut fields = scan::fields(line);
    let (raw, number) = (fields.nth(2)?, fields.next_u64()?);
    let number = match fields.next() {
        None => number,
        Some(b"kB") => number.checked_mul(1024)?,
        Some(_) => return None,
    };
    Some((raw, number))
}

fn numastat_line(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut fields = scan::fields(line);
    Some((fields.next()?, fields.next_u64()?))
}

impl Collector for MeminfoNuma {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read()?;
        for values in self.values.chunk_by(|a, b| a.key == b.key) {
            let key = &self.keys.known[values[0].key];
            let texts = &self.keys.texts;
            let mut family = out.family_bytes(&texts[key.family], key.kind, &texts[key.help]);
            let mut names = self.names.iter().enumerate();
            for value in values {
                if let Some((_, name)) = names.find(|&(i, _)| i == value.node) {
                    let node = number(name.as_encoded_bytes()).unwrap_or_default();
                    family.sample(&[("node", node.into())], value.number);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    #[test]
    fn fields_of_each_node() {
        let mut tree = vec![];
        for node in ["0", "10", "2"] {
            tree.push((
                format!("sys/devices/system/node/node{node}/meminfo"),
                format!("\nNode {node} MemTotal:       134182340 kB\nNode {node} Active(anon):     1{node} kB\nNode {node} HugePages_Free:      {node}\n"),
            ));
            tree.push((format!("sys/devices/system/node/node{node}/numastat"), format!("numa_hit {node}\n")));
        }
        tree.push(("sys/devices/system/node/has_cpu".into(), "0\n".into()));
        let files: Vec<(&str, &str)> = tree.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let tree = Tree::new(&files);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_memory_numa_MemTotal{node=\"0\"} 1.3740271616e+11\n\
             node_memory_numa_MemTotal{node=\"10\"} 1.3740271616e+11\n\
             node_memory_numa_MemTotal{node=\"2\"} 1.3740271616e+11\n\
             node_memory_numa_Active_anon{node=\"0\"} 10240\n\
             node_memory_numa_Active_anon{node=\"10\"} 112640\n\
             node_memory_numa_Active_anon{node=\"2\"} 12288\n\
             node_memory_numa_HugePages_Free{node=\"0\"} 0\n\
             node_memory_numa_HugePages_Free{node=\"10\"} 10\n\
             node_memory_numa_HugePages_Free{node=\"2\"} 2\n\
             node_memory_numa_numa_hit_total{node=\"0\"} 0\n\
             node_memory_numa_numa_hit_total{node=\"10\"} 10\n\
             node_memory_numa_numa_hit_total{node=\"2\"} 2\n"
        );
    }

    #[test]
    fn bad_fields_are_left_out_alone() {
        let tree = Tree::new(&[(
            "sys/devices/system/node/node0/meminfo",
            "Node 0 A: -1 kB\nNode 0 B: 99999999999999999999 kB\nNode 0 C: 1 MB\nNode 0 D\"x: 1 kB\nNode 0 E:\n\
             Node 0 F: 1 kB\nNode 0 F: 2 kB\nNode 0 G_a: 1\nNode 0 G(a): 2\nNode 0 H: 1",
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("node_memory_numa_", ""),
            "F{node=\"0\"} 1024\nG_a{node=\"0\"} 1\n"
        );
    }

    #[test]
    fn a_node_or_a_file_may_be_missing_but_not_be_garbage() {
        let tree = Tree::new(&[("sys/devices/system/node/node1/numastat", "numa_hit 5\n")]);
        let mut collector = tree.collector(&ENTRY, &[]);
        assert_eq!(collect(&mut *collector).0, "node_memory_numa_numa_hit_total{node=\"1\"} 5\n");
        tree.write("sys/devices/system/node/node1/numastat", "numa_hit\n");
        assert!(matches!(collect(&mut *collector), (samples, Some(Error::Failed(_))) if samples.is_empty()));
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
    }
}
