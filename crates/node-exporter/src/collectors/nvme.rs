//! NVMe controllers and their namespaces: `/sys/class/nvme/*`, see the kernel's drivers/nvme/host/sysfs.c.
//!
//! A namespace is `nvme<i>n<n>`, or `nvme<i>c<c>n<n>` where the kernel joins several paths to one; a controller has either form.
//!
//! The original multiplies `size` by the logical block size, although that file counts sectors of 512 bytes as every block device's does:
//! sizes are eight times too large where a block has 4,096. Dashboards have been built on these values, so they are the same here.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "nvme",
    on: true,
    help: "NVMe controllers and namespaces from /sys/class/nvme.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Nvme {
            class: paths::sys(flags).join("class/nvme"),
            names: Names::new(),
            entries: Names::new(),
            texts: Arena::new(),
            controllers: Vec::new(),
            namespaces: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

struct Nvme {
    class: PathBuf,
    names: Names,
    entries: Names,
    texts: Arena,
    controllers: Vec<Controller>,
    /// In order of controller and number.
    namespaces: Vec<Namespace>,
    buf: Buf,
}

/// Attributes that are labels of `node_nvme_info`.
const TEXTS: [&str; 5] = ["cntlid", "firmware_rev", "model", "serial", "state"];

struct Controller {
    name: Span,
    texts: [Span; TEXTS.len()],
}

#[derive(Clone, Copy)]
struct Namespace {
    controller: Span,
    id: Span,
    ana_state: Span,
    /// In bytes.
    size: Option<f64>,
    /// In bytes.
    used: Option<f64>,
    /// In bytes.
    block_size: Option<u64>,
}

/// A family, its HELP and its value.
type Size = (&'static str, &'static str, fn(&Namespace) -> Option<f64>);

const SIZES: [Size; 4] = [
    ("node_nvme_namespace_capacity_bytes", "Capacity of the namespace, in bytes.", |n| n.size),
    (
        "node_nvme_namespace_logical_block_size_bytes",
        "Size of a logical block of the namespace, in bytes.",
        |n| n.block_size.map(|size| size as f64),
    ),
    ("node_nvme_namespace_size_bytes", "Size of the namespace, in bytes.", |n| n.size),
    ("node_nvme_namespace_used_bytes", "Space of the namespace that is in use, in bytes.", |n| n.used),
];

impl Nvme {
    fn read(&mut self) -> hostfs::Result<()> {
        let Nvme { class, names, entries, texts, controllers, namespaces, buf } = self;
        controllers.clear();
        namespaces.clear();
        texts.clear();
        let class = Dir::open(class)?;
        class.names(names)?;
        for name in names.iter() {
            let Some(dir) = class.dir(name)? else { continue };
            let name = texts.push(name.as_bytes());
            let mut controller = Controller { name, texts: Default::default() };
            for (value, attribute) in controller.texts.iter_mut().zip(TEXTS) {
                if let Some(text) = dir.attribute(attribute, buf)? {
                    *value = texts.push(text.trim_ascii());
                }
            }
            controllers.push(controller);
            let first = namespaces.len();
            dir.names(entries)?;
            for entry in entries.iter() {
                let Some(id) = namespace_id(entry.as_bytes()) else { continue };
                let Some(dir) = dir.dir(entry)? else { continue };
                namespaces.push(namespace(&dir, name, id, texts, buf)?);
            }
            let own = &mut namespaces[first..];
            own.sort_unstable_by(|a, b| texts[a.id].cmp(&texts[b.id]));
            let mut last = None;
            namespaces.retain(|namespace| {
                let key = Some((namespace.controller, &texts[namespace.id]));
                std::mem::replace(&mut last, key) != key
            });
        }
        Ok(())
    }
}

fn namespace(
    dir: &Dir,
    controller: Span,
    id: &[u8],
    texts: &mut Arena,
    buf: &mut Buf,
) -> hostfs::Result<Namespace> {
    let id = texts.push(id);
    let size = dir.attribute("size", buf)?.and_then(scan::value);
    let block_size = dir.attribute("queue/logical_block_size", buf)?.and_then(scan::value);
    let used = dir.attribute("nuse", buf)?.and_then(scan::value);
    let bytes =
        |blocks: Option<u64>| blocks.zip(block_size).map(|(blocks, size)| blocks as f64 * size as f64);
    let (size, used) = (bytes(size), bytes(used));
    let ana_state = match dir.attribute("ana_state", buf)? {
        Some(state) => texts.push(state.trim_ascii()),
        None => texts.push(b"unknown"),
    };
    Ok(Namespace { controller, id, ana_state, size, used, block_size })
}

/// The number at the end of a namespace's name.
fn namespace_id(name: &[u8]) -> Option<&[u8]> {
    let number = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = name.strip_prefix(b"nvme")?;
    let (controller, rest) = rest.split_at(number(rest));
    let rest = match rest.strip_prefix(b"c") {
        Some(rest) => &rest[Some(number(rest)).filter(|&n| n > 0)?..],
        None => rest,
    };
    let id = rest.strip_prefix(b"n")?;
    (!controller.is_empty() && !id.is_empty() && number(id) == id.len()).then_some(id)
}

impl Collector for Nvme {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.read().map_err(|error| Error::or_no_data(&error))?;
        let text = |span: Span| LabelValue::from(&self.texts[span]);
        let mut info =
            out.family("node_nvme_info", Kind::Gauge, "Texts that describe the controller; always 1.");
        for controller in &self.controllers {
            let [cntlid, firmware_revision, model, serial, state] = controller.texts.map(text);
            info.sample(
                &[
                    ("cntlid", cntlid),
                    ("device", text(controller.name)),
                    ("firmware_revision", firmware_revision),
                    ("model", model),
                    ("serial", serial),
                    ("state", state),
                ],
                1u64,
            );
        }
        info.sort();
        let mut info = out.family(
            "node_nvme_namespace_info",
            Kind::Gauge,
            "State of the controller's way to the namespace; always 1.",
        );
        for namespace in &self.namespaces {
            info.sample(
                &[
                    ("ana_state", text(namespace.ana_state)),
                    ("device", text(namespace.controller)),
                    ("nsid", text(namespace.id)),
                ],
                1u64,
            );
        }
        info.sort();
        for (name, help, value) in SIZES {
            let mut family = out.family(name, Kind::Gauge, help);
            for namespace in &self.namespaces {
                if let Some(value) = value(namespace) {
                    family.sample(
                        &[("device", text(namespace.controller)), ("nsid", text(namespace.id))],
                        value,
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn a_controller_and_its_namespaces() {
        let tree = Tree::new(&[
            ("sys/class/nvme/nvme0/model", "Disk 1   \n"),
            ("sys/class/nvme/nvme0/serial", "S1\n"),
            ("sys/class/nvme/nvme0/state", "live\n"),
            ("sys/class/nvme/nvme0/nvme0n10/size", "16\n"),
            ("sys/class/nvme/nvme0/nvme0n10/nuse", "2\n"),
            ("sys/class/nvme/nvme0/nvme0n10/queue/logical_block_size", "4096\n"),
            ("sys/class/nvme/nvme0/nvme0n10/ana_state", "optimized\n"),
            ("sys/class/nvme/nvme0/nvme0c1n2/size", "1\n"),
            ("sys/class/nvme/nvme0/nvme0c1n2/nuse", "1\n"),
            ("sys/class/nvme/nvme0/nvme0n2/size", "1\n"),
            ("sys/class/nvme/nvme0/hwmon1/temp1_input", "1\n"),
            ("sys/class/nvme/nvme0/ng0n1/size", "1\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            r#"node_nvme_info{cntlid="",device="nvme0",firmware_revision="",model="Disk 1",serial="S1",state="live"} 1
node_nvme_namespace_info{ana_state="optimized",device="nvme0",nsid="10"} 1
node_nvme_namespace_info{ana_state="unknown",device="nvme0",nsid="2"} 1
node_nvme_namespace_capacity_bytes{device="nvme0",nsid="10"} 65536
node_nvme_namespace_logical_block_size_bytes{device="nvme0",nsid="10"} 4096
node_nvme_namespace_size_bytes{device="nvme0",nsid="10"} 65536
node_nvme_namespace_used_bytes{device="nvme0",nsid="10"} 8192
"#
        );
    }

    #[test]
    fn names_of_namespaces() {
        for (name, id) in [
            ("nvme0n1", Some("1")),
            ("nvme12c3n45", Some("45")),
            ("nvme0", None),
            ("nvme0n", None),
            ("nvmen1", None),
            ("nvme0cn1", None),
            ("nvme0n1p1", None),
            ("ng0n1", None),
        ] {
            assert_eq!(namespace_id(name.as_bytes()), id.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn no_nvme_class_is_no_data() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
    }
}
