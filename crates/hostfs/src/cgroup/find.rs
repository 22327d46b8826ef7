//! Finds the trees of cgroups below a directory, by what is in it: a recorded tree and a bind mount have no entry in the mount table.
//!
//! v2 has `cgroup.controllers` in its root. v1 has a directory for each hierarchy, named as its controllers with commas between them;
//! systemd makes symbolic links for each of several. Both at once have v2 below `unified`, with or without controllers of its own.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Cgroups, Holds, Tree, Version, v1, visit, walk};
use crate::error::{Error, Result};
use crate::{Buf, Dir, Names, Root, scan};

const CGROUP_SUPER_MAGIC: u64 = 0x27_e0eb;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The controllers that v1 has had.
const KNOWN: [&[u8]; 14] = [
    b"cpu",
    b"cpuacct",
    b"cpuset",
    b"memory",
    b"blkio",
    b"pids",
    b"hugetlb",
    b"devices",
    b"perf_event",
    b"freezer",
    b"net_cls",
    b"net_prio",
    b"rdma",
    b"misc",
];

/// Those whose cgroups are listed, as cAdvisor does.
const LISTED: [&[u8]; 9] =
    [b"cpu", b"cpuacct", b"cpuset", b"memory", b"blkio", b"pids", b"hugetlb", b"devices", b"perf_event"];

impl Cgroups {
    /// Looks which trees there are below `root`, which is `/sys/fs/cgroup` or stands for it. They are kept open, each with a descriptor.
    ///
    /// # Errors
    /// `root` cannot be read, or there is no tree of cgroups in it.
    pub fn open(root: &Root) -> Result<Self> {
        let top = Dir::open(root.path())?;
        let mut buf = Buf::new();
        if top.stamp("cgroup.controllers").is_ok() {
            let controllers = unified_controllers(&top, &mut buf);
            let tree = unified(open(root.path())?, root.path(), &controllers, true);
            return Ok(Cgroups::new(Version::V2, controllers, vec![tree]));
        }

        let mut names = Names::new();
        top.names(&mut names)?;
        let mut controllers = Vec::new();
        let mut trees: Vec<(Tree, (u64, u64))> = Vec::new();
        for name in names.iter() {
            let parts = || name.as_encoded_bytes().split(|&b| b == b',');
            if !parts().all(|part| KNOWN.contains(&part)) || !has_entries(&top, name) {
                continue;
            }
            let path = root.path().join(name);
            let Ok(fd) = open(&path) else { continue };
            let Ok(stat) = rustix::fs::fstat(&fd) else { continue };
            #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
            let identity = (stat.st_dev as u64, stat.st_ino as u64);
            let at = trees.iter().position(|(_, known)| *known == identity).unwrap_or_else(|| {
                let is_live = is_live(&fd);
                let holds = Holds::default();
                trees.push((Tree { fd, path, unified: false, is_listed: false, is_live, holds }, identity));
                trees.len() - 1
            });
            let tree = &mut trees[at].0;
            for part in parts() {
                tree.is_listed |= LISTED.contains(&part);
                tree.holds.add(part);
                controllers.push(String::from_utf8_lossy(part).into_owned());
            }
        }
        controllers.sort_unstable();
        controllers.dedup();
        let has_v1 = !trees.is_empty();
        let mut trees: Vec<Tree> = trees.into_iter().map(|(tree, _)| tree).collect();

        let mut version = Version::V1;
        if has_entries(&top, "unified".as_ref())
            && let Some(dir) = top.dir("unified")?
        {
            version = if has_v1 { Version::Hybrid } else { Version::V2 };
            let path = root.path().join("unified");
            let own = unified_controllers(&dir, &mut buf);
            let mut tree = unified(open(&path)?, &path, &own, !has_v1);
            tree.is_listed |= !own.is_empty();
            trees.push(tree);
            controllers.extend(own);
        }
        if trees.is_empty() {
            let expected = "a tree of cgroups: it has no cgroup.controllers, and no controller's directory with anything in it";
            return Err(Error::malformed(root.path(), expected));
        }
        Ok(Cgroups::new(version, controllers, trees))
    }

    fn new(version: Version, controllers: Vec<String>, trees: Vec<Tree>) -> Self {
        Cgroups {
            version,
            controllers,
            trees,
            listed: walk::Listed::default(),
            kept: visit::Kept::new(),
            sources: v1::Sources::default(),
            name: Vec::new(),
        }
    }
}

impl Holds {
    fn add(&mut self, controller: &[u8]) {
        match controller {
            b"cpu" => self.cpu = true,
            b"cpuacct" => self.cpuacct = true,
            b"memory" => self.memory = true,
            b"blkio" | b"io" => self.io = true,
            b"pids" => self.pids = true,
            b"cpuset" => self.cpuset = true,
            b"hugetlb" => self.hugetlb = true,
            _ => {}
        }
    }
}

/// A v2 tree. If there is no other, it has the times of the CPU too, controller or not.
fn unified(fd: OwnedFd, path: &Path, controllers: &[String], is_alone: bool) -> Tree {
    let mut holds = Holds { pressure: true, cpuacct: is_alone, ..Holds::default() };
    for controller in controllers {
        holds.add(controller.as_bytes());
    }
    // Its cpu.stat has both.
    holds.cpuacct |= holds.cpu;
    let is_live = is_live(&fd);
    Tree { fd, path: path.to_owned(), unified: true, is_listed: is_alone, is_live, holds }
}

fn unified_controllers(dir: &Dir, buf: &mut Buf) -> Vec<String> {
    let text = dir.attribute("cgroup.controllers", buf).ok().flatten().unwrap_or_default();
    scan::fields(text).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Whether it is a directory with something in it; one without is a place where nothing is mounted.
fn has_entries(top: &Dir, name: &std::ffi::OsStr) -> bool {
    let mut any = false;
    let listed = top.dir(name).map(|dir| dir.map(|dir| dir.each_name(|_, _| any = true)));
    matches!(listed, Ok(Some(Ok(())))) && any
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty()).map_err(|errno| Error::os(path, errno))
}

fn is_live(tree: &OwnedFd) -> bool {
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs by architecture")]
    let magic = |stat: rustix::fs::StatFs| stat.f_type as u64;
    rustix::fs::fstatfs(tree)
        .is_ok_and(|stat| matches!(magic(stat), CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC))
}
