//! One look at one cgroup in one tree: its directory is opened, some of its files are read, and all is closed again.
//!
//! A file that is not there says either that this kernel or this cgroup does not have it, or that the cgroup has just been removed.
//! A removed one's open files answer ENODEV, and its directory has no names any more; so where a name was missed, the look ends with the
//! question whether the directory is still the one at its path. Files that the kernel lacks are remembered for a minute.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Cause, Error, is_unavailable};
use crate::scan;

use super::{Device, HugePages, NumaPages, Pressure, Stall, Stats, Tree};

/// How long it is believed that the kernel does not have a file. Modules bring some: those of a new I/O scheduler.
const BELIEVED: Duration = Duration::from_secs(60);

/// The longest file that is read, in bytes.
const CAP: usize = 1 << 20;

/// Why a reading ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The cgroup is gone.
    Gone,
    /// Not the cgroup's fault.
    Failed(Error),
}

/// What is kept from one look to the next.
#[derive(Debug)]
pub(super) struct Kept {
    text: Vec<u8>,
    /// Files that were missed in this look, and whether the kernel is to blame.
    missed: Vec<(&'static str, bool)>,
    /// Files that this kernel does not have.
    absent: Vec<&'static str>,
    /// Since when they have been believed.
    since: Instant,
    /// The time of this look.
    pub(super) now: Instant,
    /// The sizes of huge pages, in order, once they are known.
    pub(super) huge: Vec<Huge>,
    /// Pages by node: of file, anonymous, unevictable, and the same of the hierarchy.
    nodes: Vec<(u32, [Option<u64>; 6])>,
}

/// A size of huge pages, and the names of the files about it.
#[derive(Debug)]
pub(super) struct Huge {
    size: Arc<str>,
    bytes: u64,
    usage: String,
    /// Empty on v2.
    max_usage: String,
    failcnt: String,
}

impl Kept {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Kept {
            text: Vec::new(),
            missed: Vec::new(),
            absent: Vec::new(),
            since: now,
            now,
            huge: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// Doubts what has been believed for long.
    pub(super) fn renew(&mut self) {
        self.now = Instant::now();
        if self.now.duration_since(self.since) > BELIEVED {
            self.since = self.now;
            self.absent.clear();
        }
    }
}

/// A look at a cgroup.
pub(super) struct Visit<'a> {
    dir: &'a OwnedFd,
    tree: &'a Tree,
    name: &'a CStr,
    pub(super) kept: &'a mut Kept,
}

/// Opens the directory of a cgroup; `None` if there is none.
pub(super) fn open(tree: impl AsFd, name: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(tree, name, flags, Mode::empty()) {
        Ok(dir) => Ok(Some(dir)),
        Err(errno @ (Errno::NFILE | Errno::MFILE | Errno::NOMEM)) => Err(errno),
        Err(_) => Ok(None),
    }
}

pub(super) fn as_path(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

impl<'a> Visit<'a> {
    pub(super) fn new(dir: &'a OwnedFd, tree: &'a Tree, name: &'a CStr, kept: &'a mut Kept) -> Self {
        kept.missed.clear();
        Visit { dir, tree, name, kept }
    }

    /// Whether it is the tree's root, which lacks some files that all others have.
    pub(super) fn is_root(&self) -> bool {
        self.name == c"."
    }

    /// Ends the look: were the files that it missed missing from a cgroup that is there?
    pub(super) fn leave(self) -> Result<(), Stop> {
        if self.kept.missed.is_empty() {
            return Ok(());
        }
        if !self.is_there() {
            return Err(Stop::Gone);
        }
        if self.tree.is_live && !self.is_root() {
            let Kept { missed, absent, .. } = self.kept;
            for &(file, _) in missed.iter().filter(|(_, of_kernel)| *of_kernel) {
                if !absent.contains(&file) {
                    absent.push(file);
                }
            }
        }
        Ok(())
    }

    /// Whether the directory is still the one at its path.
    fn is_there(&self) -> bool {
        let here = rustix::fs::fstat(self.dir);
        let there = rustix::fs::statat(&self.tree.fd, self.name, AtFlags::SYMLINK_NOFOLLOW);
        here.is_ok_and(|here| {
            there.is_ok_and(|there| (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino))
        })
    }

    /// A file that some cgroups have and others do not. `None` if it is not there, or gives nothing to us.
    pub(super) fn some(&mut self, file: &'static str) -> Result<Option<&[u8]>, Stop> {
        self.missing(file, false)
    }

    /// A file that every cgroup of this kind has but the root, if the kernel knows it. `None` as above.
    pub(super) fn every(&mut self, file: &'static str) -> Result<Option<&[u8]>, Stop> {
        if self.kept.absent.contains(&file) {
            return Ok(None);
        }
        self.missing(file, true)
    }

    fn missing(&mut self, file: &'static str, of_kernel: bool) -> Result<Option<&[u8]>, Stop> {
        match self.read(file, false)? {
            Read::Text => return Ok(Some(&self.kept.text)),
            Read::Missing => self.kept.missed.push((file, of_kernel)),
            Read::Nothing | Read::TooLong => {}
        }
        Ok(None)
    }

    /// The number in a file that [every](Self::every) cgroup has.
    pub(super) fn number(&mut self, file: &'static str) -> Result<Option<u64>, Stop> {
        Ok(self.every(file)?.and_then(number))
    }

    /// The number in a file about a size of huge pages.
    fn number_of_huge(
        &mut self,
        i: usize,
        file: impl Fn(&Huge) -> &str,
        parse: impl Fn(&[u8]) -> Option<u64>,
    ) -> Result<Option<u64>, Stop> {
        let huge = std::mem::take(&mut self.kept.huge);
        let name = huge.get(i).map(file).filter(|name| !name.is_empty());
        let read = name.map_or(Ok(Read::Nothing), |name| self.read(name, false));
        self.kept.huge = huge;
        match read? {
            Read::Text => return Ok(parse(&self.kept.text)),
            Read::Missing => self.kept.missed.push(("hugetlb", false)),
            Read::Nothing | Read::TooLong => {}
        }
        Ok(None)
    }

    /// A file that the kernel gives in pieces, to its end; `None` if it is not there, or gives nothing to us.
    pub(super) fn list(&mut self, file: &'static str) -> Result<Option<&[u8]>, Stop> {
        match self.read(file, true)? {
            Read::Text => Ok(Some(&self.kept.text)),
            Read::Missing | Read::Nothing => Ok(None),
            Read::TooLong => Err(Stop::Failed(Error::new(&self.path(file), Cause::TooLong(CAP)))),
        }
    }

    /// A file of the tree's root; `None` as above.
    pub(super) fn at_root(&mut self, file: &'static str) -> Result<Option<&[u8]>, Stop> {
        match (Visit { dir: &self.tree.fd, tree: self.tree, name: c".", kept: &mut *self.kept })
            .read(file, false)?
        {
            Read::Text => Ok(Some(&self.kept.text)),
            Read::Missing | Read::Nothing | Read::TooLong => Ok(None),
        }
    }

    /// Opens, reads and closes a file. The kernel makes these files of one record, which it gives whole to a read that has room for it;
    /// so a read that leaves room is the last, but `to_end` goes on until nothing comes.
    fn read(&mut self, file: &str, to_end: bool) -> Result<Read, Stop> {
        const FIRST: usize = 16 << 10;
        let fd = match crate::file::open_at(self.dir, Path::new(file)) {
            Ok(fd) => fd,
            Err(errno) => return self.refused(file, errno),
        };
        let text = &mut self.kept.text;
        text.clear();
        text.reserve(FIRST);
        loop {
            if text.len() > CAP {
                return Ok(Read::TooLong);
            }
            if text.len() == text.capacity() {
                text.reserve(text.len());
            }
            let room = text.capacity() - text.len();
            match rustix::io::read(&fd, spare_capacity(text)) {
                Ok(0) => return Ok(Read::Text),
                Ok(n) if n < room && !to_end => return Ok(Read::Text),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return self.refused(file, errno),
            }
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.tree.path.join(as_path(self.name)).join(file)
    }

    fn refused(&self, file: &str, errno: Errno) -> Result<Read, Stop> {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Ok(Read::Missing),
            Errno::NODEV => Err(Stop::Gone),
            Errno::ISDIR => Ok(Read::Nothing),
            errno if is_unavailable(errno) => Ok(Read::Nothing),
            errno => Err(Stop::Failed(Error::os(self.path(file), errno))),
        }
    }

    /// Learns the sizes of huge pages from the names of the files in this cgroup.
    pub(super) fn learn_huge(&mut self) {
        let Ok(dir) = crate::Dir::again(self.dir) else { return };
        let huge = &mut self.kept.huge;
        let listed = dir.each_name(|name, _| {
            let Some(size) = name.strip_prefix(b"hugetlb.") else { return };
            let v1 = size.strip_suffix(b".usage_in_bytes");
            let Some(size) = v1.or_else(|| size.strip_suffix(b".current")) else { return };
            let Ok(size) = std::str::from_utf8(size) else { return };
            let (size, rsvd) = size.strip_suffix(".rsvd").map_or((size, ""), |size| (size, ".rsvd"));
            let Some(bytes) = bytes_of(size) else { return };
            if let Some(known) = huge.iter().position(|known| *known.size == *size) {
                if rsvd.is_empty() {
                    return;
                }
                huge.remove(known);
            }
            let name = |what: &str| format!("hugetlb.{size}{rsvd}.{what}");
            huge.push(match v1 {
                Some(_) => Huge {
                    size: size.into(),
                    bytes,
                    usage: name("usage_in_bytes"),
                    max_usage: name("max_usage_in_bytes"),
                    failcnt: name("failcnt"),
                },
                None => Huge {
                    size: size.into(),
                    bytes,
                    usage: name("current"),
                    max_usage: String::new(),
                    failcnt: format!("hugetlb.{size}.events"),
                },
            });
        });
        huge.sort_unstable_by_key(|huge| huge.bytes);
        // It is kept for good, so it must be all; what cannot be listed now can be another time.
        if listed.is_err() || !self.is_there() {
            self.kept.huge.clear();
        }
    }
}

/// What reading a file has come to. The text is in [`Kept`].
enum Read {
    Text,
    Missing,
    Nothing,
    TooLong,
}

/// The bytes of a size as the kernel writes it: `64KB`, `2MB`, `1GB`.
fn bytes_of(size: &str) -> Option<u64> {
    let unit = size.len().checked_sub(2)?;
    let shift = match size.as_bytes().get(unit..)? {
        b"KB" => 10,
        b"MB" => 20,
        b"GB" => 30,
        _ => return None,
    };
    scan::unsigned(&size.as_bytes()[..unit])?.checked_mul(1 << shift)
}

/// The one line of a file; `None` if it is not ended, and may be cut.
pub(super) fn line(text: &[u8]) -> Option<&[u8]> {
    let line = text.strip_suffix(b"\n")?;
    (!line.contains(&b'\n')).then(|| line.trim_ascii())
}

/// The one number of a file.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    scan::unsigned(line(text)?)
}

/// The one number of a file, in which `max` says that there is no limit.
pub(super) fn number_or_max(text: &[u8]) -> Option<u64> {
    match line(text)? {
        b"max" => Some(u64::MAX),
        line => scan::unsigned(line),
    }
}

/// Calls `each` with the keys and numbers of a file of lines, each of a key and a number.
pub(super) fn keyed(text: &[u8], mut each: impl FnMut(&[u8], u64)) {
    for line in scan::lines(text) {
        if let Some((key, value)) = scan::split_once(line, b' ')
            && let Some(value) = scan::unsigned(value)
        {
            each(key, value);
        }
    }
}

/// The two numbers of a device, such as `8:16`.
pub(super) fn device_numbers(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = scan::split_once(field, b':')?;
    Some((scan::unsigned(major)?.try_into().ok()?, scan::unsigned(minor)?.try_into().ok()?))
}

/// The device with these numbers, put where it belongs if it is new.
pub(super) fn device(devices: &mut Vec<Device>, (major, minor): (u32, u32)) -> &mut Device {
    let at = devices.binary_search_by_key(&(major, minor), |device| (device.major, device.minor));
    let at = at.unwrap_or_else(|at| {
        devices.insert(at, Device { major, minor, ..Device::default() });
        at
    });
    &mut devices[at]
}

/// The two lines of a pressure file.
pub(super) fn pressure(text: &[u8]) -> Option<Pressure> {
    let (mut some, mut full) = (None, None);
    for line in scan::lines(text) {
        let mut fields = scan::fields(line);
        let into = match fields.next() {
            Some(b"some") => &mut some,
            Some(b"full") => &mut full,
            _ => continue,
        };
        let (mut total, mut average) = (None, [None; 3]);
        for field in fields {
            match scan::split_once(field, b'=') {
                Some((b"total", value)) => total = scan::unsigned(value),
                Some((b"avg10", value)) => average[0] = scan::float(value),
                Some((b"avg60", value)) => average[1] = scan::float(value),
                Some((b"avg300", value)) => average[2] = scan::float(value),
                _ => {}
            }
        }
        if let (Some(total_us), [Some(a), Some(b), Some(c)]) = (total, average) {
            *into = Some(Stall { total_us, average: [a, b, c] });
        }
    }
    Some(Pressure { some: some?, full })
}

impl Visit<'_> {
    /// Reads the pressure files, all three or none: a cgroup that is told not to count has none of them.
    pub(super) fn pressures(&mut self, stats: &mut Stats) -> Result<(), Stop> {
        let Some(cpu) = self.some("cpu.pressure")?.map(pressure) else { return Ok(()) };
        stats.cpu_pressure = cpu;
        stats.memory_pressure = self.some("memory.pressure")?.and_then(pressure);
        stats.io_pressure = self.some("io.pressure")?.and_then(pressure);
        Ok(())
    }

    /// Fills in the pages by node that `parse` has put into the kept table, those nodes of which all is known.
    pub(super) fn nodes(
        &mut self,
        file: &'static str,
        parse: impl Fn(&[u8], &mut dyn FnMut(u32, usize, u64)),
        stats: &mut Stats,
    ) -> Result<(), Stop> {
        let mut nodes = std::mem::take(&mut self.kept.nodes);
        nodes.clear();
        let read = self.some(file);
        if let Ok(Some(text)) = read {
            parse(text, &mut |node, what, pages| {
                let at = nodes.binary_search_by_key(&node, |(node, _)| *node).unwrap_or_else(|at| {
                    nodes.insert(at, (node, [None; 6]));
                    at
                });
                nodes[at].1[what] = Some(pages);
            });
        }
        let done = read.map(|_| ());
        for &(node, pages) in &nodes {
            if let [.., Some(file), Some(anon), Some(unevictable)] = pages {
                let own = match pages {
                    [Some(file), Some(anon), Some(unevictable), ..] => Some([file, anon, unevictable]),
                    _ => None,
                };
                stats.memory.numa.push(NumaPages { node, own, hierarchy: [file, anon, unevictable] });
            }
        }
        self.kept.nodes = nodes;
        done
    }

    /// Reads what there is about huge pages.
    pub(super) fn huge_pages(
        &mut self,
        failures: impl Fn(&[u8]) -> Option<u64> + Copy,
        stats: &mut Stats,
    ) -> Result<(), Stop> {
        for i in 0..self.kept.huge.len() {
            let Some(usage) = self.number_of_huge(i, |huge| &huge.usage, number)? else { continue };
            let max_usage = self.number_of_huge(i, |huge| &huge.max_usage, number)?;
            let failcnt = self.number_of_huge(i, |huge| &huge.failcnt, failures)?;
            let size = Arc::clone(&self.kept.huge[i].size);
            stats.hugetlb.push(HugePages { size, usage: Some(usage), max_usage, failcnt });
        }
        Ok(())
    }
}

/// A list of CPUs such as `0-3,8`; `None` if it is anything else.
pub(super) fn cpus(text: &[u8]) -> Option<&str> {
    let line = line(text)?;
    let is_list = line.iter().all(|b| matches!(b, b'0'..=b'9' | b'-' | b','));
    std::str::from_utf8(line).ok().filter(|_| is_list)
}

/// Calls `each` with node and number of the fields such as `N0=26`.
pub(super) fn by_node(fields: scan::Fields<'_>, mut each: impl FnMut(u32, u64)) {
    for (node, value) in fields.filter_map(|field| scan::split_once(field, b'=')) {
        let node = node.strip_prefix(b"N").and_then(scan::unsigned).and_then(|node| u32::try_from(node).ok());
        if let (Some(node), Some(value)) = (node, scan::unsigned(value)) {
            each(node, value);
        }
    }
}
