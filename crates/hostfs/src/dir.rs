//! Directories: names in order, and attributes below an open directory. Nothing is allocated but by errors.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::arena::{Arena, Span};
use crate::error::{Cause, Error, Result};
use crate::file::{Buf, Stamp, open_at};

/// An open directory, such as one device of `/sys/class`.
///
/// Attributes below it are opened relative to it, which spares the kernel the walk from the root.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a directory.
    ///
    /// # Errors
    /// The open's error; ENOTDIR, which [is gone](Error::is_gone), if the path is no directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        open_dir(rustix::fs::CWD, path).map_err(|errno| Error::os(path, errno))
    }

    /// Opens a directory again that is open by `O_PATH`, to list it.
    pub(crate) fn again(fd: impl AsFd) -> std::result::Result<Self, Errno> {
        open_dir(fd, Path::new("."))
    }

    /// Opens a directory below this one; `None` if it is gone, or no directory.
    ///
    /// # Errors
    /// Any other error of the open.
    pub fn dir(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        let name = Path::new(name.as_ref());
        match open_dir(&self.fd, name) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO | Errno::SRCH) => Ok(None),
            Err(errno) => Err(self.error(name, Cause::Os(errno))),
        }
    }

    /// One attribute, as the kernel gives it, trailing newline included; `None` if it
    /// [has no value to give](Error::is_unavailable): it is missing, not readable, or the device is down.
    ///
    /// # Errors
    /// Any other error of the open or the read.
    pub fn attribute<'b>(&self, name: impl AsRef<OsStr>, buf: &'b mut Buf) -> Result<Option<&'b [u8]>> {
        let name = Path::new(name.as_ref());
        match self.attribute_cause(name, buf) {
            Ok(()) => Ok(Some(buf.bytes())),
            Err(Cause::Os(errno)) if crate::error::is_unavailable(errno) => Ok(None),
            Err(cause) => Err(self.error(name, cause)),
        }
    }

    /// As [`attribute`](Self::attribute), with every error told, the unavailable ones too.
    ///
    /// # Errors
    /// Any error of the open or the read.
    pub fn read<'b>(&self, name: impl AsRef<OsStr>, buf: &'b mut Buf) -> Result<&'b [u8]> {
        let name = Path::new(name.as_ref());
        match self.attribute_cause(name, buf) {
            Ok(()) => Ok(buf.bytes()),
            Err(cause) => Err(self.error(name, cause)),
        }
    }

    /// As [`attribute`](Self::attribute), for a file that may be longer than a page and is read to its end: up to 1 MiB.
    ///
    /// # Errors
    /// Any other error of the open or the read, or [`Cause::TooLong`].
    pub fn table<'b>(&self, name: impl AsRef<OsStr>, buf: &'b mut Buf) -> Result<Option<&'b [u8]>> {
        self.records(name, 0, crate::file::CAP, buf)
    }

    /// As [`table`](Self::table), up to `cap` bytes, for a file whose records have at most `record` bytes (0: not known),
    /// see [`File::with_records_of`](crate::File::with_records_of).
    ///
    /// # Errors
    /// Any other error of the open or the read, or [`Cause::TooLong`].
    pub fn records<'b>(
        &self,
        name: impl AsRef<OsStr>,
        record: usize,
        cap: usize,
        buf: &'b mut Buf,
    ) -> Result<Option<&'b [u8]>> {
        let name = Path::new(name.as_ref());
        match open_at(&self.fd, name).map_err(Cause::Os).and_then(|fd| buf.fill(&fd, cap, record)) {
            Ok(()) => Ok(Some(buf.bytes())),
            Err(Cause::Os(errno)) if crate::error::is_unavailable(errno) => Ok(None),
            Err(cause) => Err(self.error(name, cause)),
        }
    }

    fn attribute_cause(&self, name: &Path, buf: &mut Buf) -> std::result::Result<(), Cause> {
        let fd = open_at(&self.fd, name).map_err(Cause::Os)?;
        buf.fill_once(&fd)
    }

    /// Fills `names` with every name but `.` and `..`, bytewise ordered.
    ///
    /// # Errors
    /// The read's error.
    pub fn names(&self, names: &mut Names) -> Result<()> {
        names.clear();
        self.each_name(|name, _| names.push(name))?;
        names.sort();
        Ok(())
    }

    /// Calls `each` with every name but `.` and `..`, in the kernel's order, and the entry's type where the filesystem tells it.
    ///
    /// # Errors
    /// The read's error. Names seen before it have been handed over.
    pub fn each_name(&self, mut each: impl FnMut(&[u8], FileType)) -> Result<()> {
        let failed = |errno| self.error(Path::new(""), Cause::Os(errno));
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0)).map_err(failed)?;
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&self.fd, &mut space);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        each(name, entry.file_type());
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// The state of the file `name`; links are followed.
    ///
    /// # Errors
    /// Any error of stat.
    pub fn stamp(&self, name: impl AsRef<OsStr>) -> Result<Stamp> {
        let name = Path::new(name.as_ref());
        let stat = rustix::fs::statat(&self.fd, name, rustix::fs::AtFlags::empty());
        stat.map(|stat| Stamp::new(&stat)).map_err(|errno| self.error(name, Cause::Os(errno)))
    }

    /// Reads the regular file `name` whole, up to `cap` bytes, and tells the state it had just before; links are followed.
    ///
    /// # Errors
    /// Any error of the open or the read; [`Cause::Malformed`] if it is no regular file, [`Cause::TooLong`] past the cap.
    pub fn read_regular(&self, name: impl AsRef<OsStr>, cap: usize, buf: &mut Buf) -> Result<Stamp> {
        let name = Path::new(name.as_ref());
        self.read_regular_cause(name, cap, buf).map_err(|cause| self.error(name, cause))
    }

    fn read_regular_cause(&self, name: &Path, cap: usize, buf: &mut Buf) -> Result<Stamp, Cause> {
        let fd = open_at(&self.fd, name).map_err(Cause::Os)?;
        let stamp = Stamp::new(&rustix::fs::fstat(&fd).map_err(Cause::Os)?);
        if !stamp.is_regular() {
            return Err(Cause::Malformed("a regular file"));
        }
        if stamp.size() > cap as u64 {
            return Err(Cause::TooLong(cap));
        }
        buf.fill(&fd, cap, 0)?;
        Ok(stamp)
    }

    /// What the symbolic link `name` points to; `None` if it is gone or no link.
    ///
    /// # Errors
    /// Any other error.
    pub fn link(&self, name: impl AsRef<OsStr>) -> Result<Option<PathBuf>> {
        let name = Path::new(name.as_ref());
        #[cfg(feature = "trace-opens")]
        crate::file::trace::record(&self.path().join(name));
        match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(OsStr::from_bytes(target.as_bytes()).into())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::INVAL) => Ok(None),
            Err(errno) => Err(self.error(name, Cause::Os(errno))),
        }
    }

    /// As [`link`](Self::link), into a buffer that is kept; whether there is such a link. Of a very long target only the start is there.
    ///
    /// # Errors
    /// Any other error.
    pub fn link_into(&self, name: impl AsRef<OsStr>, target: &mut Vec<u8>) -> Result<bool> {
        const MOST: usize = 4096;
        let name = Path::new(name.as_ref());
        target.clear();
        target.reserve(MOST);
        match rustix::fs::readlinkat_raw(&self.fd, name, rustix::buffer::spare_capacity(target)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::INVAL | Errno::SRCH) => Ok(false),
            Err(errno) => Err(self.error(name, Cause::Os(errno))),
        }
    }

    /// An error of the contents of the attribute `name`; `expected` names the form that would be right.
    pub fn malformed(&self, name: impl AsRef<OsStr>, expected: &'static str) -> Error {
        self.error(Path::new(name.as_ref()), Cause::Malformed(expected))
    }

    /// Where this directory is, as the kernel knows it: links on the way to it are resolved.
    pub fn path(&self) -> PathBuf {
        path_of(&self.fd)
    }

    /// As [`path`](Self::path), into a buffer that is kept: for collectors that name a device by where it is, each scrape.
    ///
    /// The buffer is left empty if the directory has been removed, or if this process has no `/proc`.
    pub fn path_into(&self, path: &mut Vec<u8>) {
        use std::io::Write;
        const MOST: usize = 4096;
        path.clear();
        path.reserve(MOST);
        let mut name = [0u8; 32];
        let mut rest = &mut name[..];
        if write!(rest, "/proc/self/fd/{}", self.fd.as_raw_fd()).is_err() {
            return;
        }
        let left = rest.len();
        let name = &name[..name.len() - left];
        if rustix::fs::readlinkat_raw(rustix::fs::CWD, name, rustix::buffer::spare_capacity(path)).is_err()
            || path.ends_with(b" (deleted)")
        {
            path.clear();
        }
    }

    fn error(&self, name: &Path, cause: Cause) -> Error {
        Error::new(&if name.as_os_str().is_empty() { self.path() } else { self.path().join(name) }, cause)
    }
}

/// The path of an open descriptor, asked only when an error or a trace needs it.
pub(crate) fn path_of(fd: impl AsFd) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).unwrap_or_default()
}

fn open_dir(dir: impl AsFd, name: &Path) -> std::result::Result<Dir, Errno> {
    #[cfg(feature = "trace-opens")]
    crate::file::trace::record_at(dir.as_fd(), name);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NONBLOCK;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map(|fd| Dir { fd })
}

/// The names of a directory, kept from scrape to scrape.
#[derive(Debug, Default)]
pub struct Names {
    arena: Arena,
    spans: Vec<Span>,
}

impl Names {
    /// No names.
    pub const fn new() -> Self {
        Names { arena: Arena::new(), spans: Vec::new() }
    }

    /// Forgets the names and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.spans.clear();
    }

    /// Adds a name.
    pub fn push(&mut self, name: &[u8]) {
        let span = self.arena.push(name);
        self.spans.push(span);
    }

    /// Puts the names into bytewise order.
    pub fn sort(&mut self) {
        let arena = &self.arena;
        self.spans.sort_unstable_by(|&a, &b| arena[a].cmp(&arena[b]));
    }

    /// Keeps the names that pass.
    pub fn retain(&mut self, mut passes: impl FnMut(&[u8]) -> bool) {
        let arena = &self.arena;
        self.spans.retain(|&span| passes(&arena[span]));
    }

    /// The names, in the order in which they stand.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &OsStr> + Clone {
        self.spans.iter().map(|&span| OsStr::from_bytes(&self.arena[span]))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_names_in_order_and_reads_attributes() {
        let tmp = tempfile::tempdir().unwrap();
        for name in ["b", "a:1", "\u{e9}"] {
            std::fs::write(tmp.path().join(name), format!("{name}\n")).unwrap();
        }
        std::fs::create_dir(tmp.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("sub", tmp.path().join("link")).unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let mut names = Names::new();
        dir.names(&mut names).unwrap();
        dir.names(&mut names).unwrap();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a:1", "b", "link", "sub", "\u{e9}"]);
        let mut buf = Buf::new();
        assert_eq!(dir.attribute("a:1", &mut buf).unwrap(), Some(&b"a:1\n"[..]));
        assert_eq!(dir.attribute("none", &mut buf).unwrap(), None);
        assert_eq!(dir.table("a:1", &mut buf).unwrap(), Some(&b"a:1\n"[..]));
        assert_eq!(dir.table("none", &mut buf).unwrap(), None);
        assert_eq!(
            *dir.read("none", &mut buf).unwrap_err().path,
            *tmp.path().canonicalize().unwrap().join("none")
        );
        assert_eq!(dir.attribute("sub", &mut buf).unwrap_err().errno(), Some(Errno::ISDIR));
        assert!(dir.dir("b").unwrap().is_none(), "a file is no directory");
        assert_eq!(dir.link("link").unwrap().unwrap(), Path::new("sub"));
        assert_eq!(dir.link("b").unwrap(), None);
        let mut target = b"old".to_vec();
        assert!(dir.link_into("link", &mut target).unwrap() && target == b"sub");
        assert!(!dir.link_into("b", &mut target).unwrap() && target.is_empty());
        assert_eq!(dir.records("b", 512, 2, &mut buf).unwrap(), Some(&b"b\n"[..]));
        assert_eq!(dir.records("b", 512, 1, &mut buf).unwrap_err().cause, Cause::TooLong(1));
        let stamp = dir.read_regular("b", 2, &mut buf).unwrap();
        assert_eq!((buf.bytes(), stamp), (&b"b\n"[..], dir.stamp("b").unwrap()));
        assert_eq!(dir.read_regular("b", 1, &mut buf).unwrap_err().cause, Cause::TooLong(1));
        assert_eq!(
            dir.read_regular("link", 9, &mut buf).unwrap_err().cause,
            Cause::Malformed("a regular file")
        );
        assert!(!dir.stamp("link").unwrap().is_regular() && dir.stamp("none").unwrap_err().is_gone());
        dir.dir("sub").unwrap().unwrap().names(&mut names).unwrap();
        assert!(names.is_empty());
        assert!(Dir::open(tmp.path().join("none")).unwrap_err().is_gone());
    }

    #[test]
    fn the_path_of_a_directory_has_its_links_resolved() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("sub", tmp.path().join("link")).unwrap();
        let dir = Dir::open(tmp.path()).unwrap().dir("link").unwrap().unwrap();
        let mut path = b"old".to_vec();
        dir.path_into(&mut path);
        assert_eq!(path, tmp.path().canonicalize().unwrap().join("sub").as_os_str().as_bytes());
        std::fs::remove_dir(tmp.path().join("sub")).unwrap();
        dir.path_into(&mut path);
        assert!(path.is_empty());
    }
}
