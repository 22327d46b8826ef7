//! Lists the cgroups of all trees, each once.
//!
//! Each tree is walked breadth first, and what is found is kept with the set of the trees that it was found in: a cgroup that was in a
//! tree and is not any more is on its way out: those who remove it do so in one tree after the other, and it is not half shown meanwhile. kernfs tells with a directory's links how many directories are in it, so that a cgroup
//! without others is asked for that and not opened. Cgroups come and go meanwhile; what is gone is left out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::Tree;
use crate::Names;
use crate::error::{Error, Result};

/// How deep a cgroup may lie to be listed.
const DEEPEST: usize = 64;
/// How many cgroups a tree may have.
const MOST: usize = 100_000;
/// What a path may have for the kernel to take it, with the NUL at its end.
const LONGEST: usize = 4096;
/// How far ahead a cgroup of another tree is looked for.
const AHEAD: usize = 16;

/// What was found, in order when it is [finished](Listed::finish).
#[derive(Debug, Default)]
pub(super) struct Listed {
    bytes: Vec<u8>,
    found: Vec<Found>,
    /// Where those are that have cgroups in them.
    queue: Vec<(u32, u32)>,
    name: Vec<u8>,
    /// What was found before, in order.
    bytes_before: Vec<u8>,
    found_before: Vec<Found>,
}

/// A cgroup.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Where its path is.
    start: u32,
    end: u32,
    /// The trees that have it, a bit each.
    trees: u32,
    /// The trees that had it before and have it no more.
    left: u32,
}

impl Found {
    fn path(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

impl Listed {
    /// Begins anew, and keeps what there is to compare with.
    pub(super) fn begin(&mut self) {
        std::mem::swap(&mut self.bytes, &mut self.bytes_before);
        std::mem::swap(&mut self.found, &mut self.found_before);
        self.bytes.clear();
        self.found.clear();
    }

    /// The trees in which a cgroup has been seen of late, a bit each.
    pub(super) fn trees_of(&self, path: &[u8]) -> u32 {
        let at = self.found.binary_search_by(|found| found.path(&self.bytes).cmp(path));
        at.map_or(0, |at| self.found[at].trees | self.found[at].left)
    }

    /// Notes whether a cgroup was seen in a tree that is not listed.
    pub(super) fn note_unlisted(&mut self, path: &[u8], number: usize, is_there: bool) {
        if let Ok(at) = self.found.binary_search_by(|found| found.path(&self.bytes).cmp(path)) {
            let trees = &mut self.found[at].trees;
            *trees = *trees & !(1 << number) | u32::from(is_there) << number;
        }
    }

    /// Forgets what was found, of which some is missing and nothing is in order.
    pub(super) fn forget(&mut self) {
        self.found.clear();
    }

    /// Adds the cgroups of a tree.
    pub(super) fn walk(&mut self, number: usize, tree: &Tree) -> Result<()> {
        let bit = 1 << number;
        let (mut cursor, mut next, mut count) = (0, 0, 0usize);
        self.queue.clear();
        self.bytes.push(b'/');
        let top = self.note(self.bytes.len() - 1, bit, &mut cursor);
        self.queue.push(top);
        while let Some(&(start, end)) = self.queue.get(next) {
            next += 1;
            let (start, end) = (start as usize, end as usize);
            self.name.clear();
            let path = &self.bytes[start..end];
            self.name.extend_from_slice(if path == b"/" { b"." } else { &path[1..] });
            self.name.push(0);
            let depth = if path == b"/" { 0 } else { path.iter().filter(|&&b| b == b'/').count() };
            let flags =
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let name = super::c_str(&self.name);
            let dir = match rustix::fs::openat(&tree.fd, name, flags, Mode::empty()) {
                Ok(dir) => dir,
                // Those of others may be closed to us.
                Err(errno) if crate::error::is_unavailable(errno) || errno == Errno::NAMETOOLONG => continue,
                Err(errno) => return Err(failed(tree, &self.name, errno)),
            };
            let mut space = [std::mem::MaybeUninit::uninit(); 8192];
            let mut entries = RawDir::new(&dir, &mut space);
            while let Some(entry) = entries.next() {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(Errno::INTR) => continue,
                    Err(errno) if crate::error::is_unavailable(errno) => break,
                    Err(errno) => return Err(failed(tree, &self.name, errno)),
                };
                let name = entry.file_name();
                if !matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
                    || matches!(name.to_bytes(), b"." | b"..")
                {
                    continue;
                }
                let mut has_others = true;
                if tree.is_live || entry.file_type() == FileType::Unknown {
                    let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
                        continue;
                    };
                    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                        continue;
                    }
                    has_others = !tree.is_live || stat.st_nlink > 2;
                }
                let path = self.bytes.len();
                if end - start + name.to_bytes().len() + 2 > LONGEST || depth >= DEEPEST {
                    continue;
                }
                count += 1;
                if count > MOST {
                    return Err(Error::malformed(&tree.path, "a tree of at most 100,000 cgroups"));
                }
                if end - start > 1 {
                    self.bytes.extend_from_within(start..end);
                }
                self.bytes.push(b'/');
                self.bytes.extend_from_slice(name.to_bytes());
                let at = self.note(path, bit, &mut cursor);
                if has_others {
                    self.queue.push(at);
                }
            }
        }
        Ok(())
    }

    /// Notes the path that starts at `start` and ends with the bytes. The kernel gives the same names in the same order in each tree, so
    /// it is likely to be the one at `cursor`, or soon after; then its bytes are not needed twice.
    fn note(&mut self, start: usize, bit: u32, cursor: &mut usize) -> (u32, u32) {
        let ahead = self.found.iter_mut().enumerate().skip(*cursor).take(AHEAD);
        for (i, found) in ahead.filter(|(_, found)| found.trees & bit == 0) {
            if found.path(&self.bytes) == &self.bytes[start..] {
                found.trees |= bit;
                *cursor = i + 1;
                self.bytes.truncate(start);
                return (found.start, found.end);
            }
        }
        // Bytes are fewer than 2^32: some trees of 100,000 paths that have 4 KiB at most, of which the kernel allows few.
        let (start, end) = (start as u32, self.bytes.len() as u32);
        self.found.push(Found { start, end, trees: bit, left: 0 });
        (start, end)
    }

    /// Puts all into order, and hands over what is to be listed. `listed` are the trees that were walked, a bit each.
    pub(super) fn finish(&mut self, listed: u32, paths: &mut Names) {
        let bytes = &self.bytes;
        self.found.sort_unstable_by(|a, b| a.path(bytes).cmp(b.path(bytes)));
        self.found.dedup_by(|again, first| {
            let is_same = again.path(bytes) == first.path(bytes);
            if is_same {
                first.trees |= again.trees;
            }
            is_same
        });
        let mut before = self.found_before.iter().peekable();
        for found in &mut self.found {
            let path = found.path(bytes);
            while before.next_if(|before| before.path(&self.bytes_before) < path).is_some() {}
            if let Some(before) = before.next_if(|before| before.path(&self.bytes_before) == path) {
                found.trees |= before.trees & !listed;
                found.left = before.trees & !found.trees;
            }
            // If it stays as it is, it is listed the next time.
            if found.left == 0 && !path.ends_with(b".mount") {
                paths.push(path);
            }
        }
    }
}

fn failed(tree: &Tree, name: &[u8], errno: Errno) -> Error {
    Error::os(tree.path.join(OsStr::from_bytes(name.strip_suffix(b"\0").unwrap_or(name))), errno)
}
