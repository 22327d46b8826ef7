//! Control groups by controller: `/proc/cgroups`, see cgroups(7).

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "cgroups",
    on: false,
    help: "Control groups by controller from /proc/cgroups.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(Cgroups {
            file: paths::proc(flags).file("cgroups"),
            buf: Buf::new(),
            names: Arena::new(),
            controllers: Vec::new(),
        }))
    },
};

struct Cgroups {
    file: File,
    buf: Buf,
    names: Arena,
    controllers: Vec<Controller>,
}

struct Controller {
    name: Span,
    cgroups: u64,
    enabled: u64,
}

impl Collector for Cgroups {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.names.clear();
        self.controllers.clear();
        let bytes = self.file.read(&mut self.buf)?;
        for line in scan::lines_loose(bytes).filter(|line| !line.starts_with(b"#")) {
            let Some((name, cgroups, enabled)) = controller(line) else { continue };
            self.controllers.push(Controller { name: self.names.push(name), cgroups, enabled });
        }
        if self.controllers.is_empty() {
            return Err(self.file.malformed("lines of a controller and three numbers").into());
        }
        let name = |controller: &Controller| &self.names[controller.name];
        self.controllers.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.controllers.dedup_by(|a, b| name(a) == name(b));
        let mut cgroups =
            out.family("node_cgroups_cgroups", Kind::Gauge, "Control groups that use the controller.");
        for controller in &self.controllers {
            cgroups.sample(&[("subsys_name", name(controller).into())], controller.cgroups);
        }
        drop(cgroups);
        let mut enabled =
            out.family("node_cgroups_enabled", Kind::Gauge, "Whether the controller is enabled.");
        for controller in &self.controllers {
            enabled.sample(&[("subsys_name", name(controller).into())], controller.enabled);
        }
        Ok(())
    }
}

/// Name, hierarchy, number of groups, and 0 or 1.
fn controller(line: &[u8]) -> Option<(&[u8], u64, u64)> {
    let mut fields = scan::fields(line);
    let (name, _, cgroups, enabled) =
        (fields.next()?, fields.next()?, fields.next_u64()?, fields.next_u64()?);
    Some((name, cgroups, enabled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const HEADER: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";

    #[test]
    fn controllers_in_order_of_name() {
        let tree = Tree::new(&[(
            "proc/cgroups",
            &format!("{HEADER}cpuset\t5\t47\t1\ncpu\t3\t172\t0\nrdma\t4\t1\t1"),
        )]);
        assert_eq!(
            tree.samples(&ENTRY, &[]).replace("subsys_name", ""),
            "node_cgroups_cgroups{=\"cpu\"} 172\nnode_cgroups_cgroups{=\"cpuset\"} 47\nnode_cgroups_cgroups{=\"rdma\"} 1\n\
             node_cgroups_enabled{=\"cpu\"} 0\nnode_cgroups_enabled{=\"cpuset\"} 1\nnode_cgroups_enabled{=\"rdma\"} 1\n"
        );
    }

    #[test]
    fn bad_lines_are_left_out_alone_and_nothing_else_fails() {
        let tree = Tree::new(&[(
            "proc/cgroups",
            &format!("{HEADER}cpu\t3\t-1\t1\ncpu\t3\t2\t1\ncpu\t3\t2\t1\npids\t1"),
        )]);
        assert_eq!(tree.samples(&ENTRY, &[]).lines().count(), 2);
        for contents in ["", HEADER, "cpu\n", "\u{0}"] {
            let tree = Tree::new(&[("proc/cgroups", contents)]);
            assert!(matches!(tree.collect(&ENTRY, &[]).1, Some(Error::Failed(_))), "{contents:?}");
        }
    }
}
