//! Directories: names in order, and attributes below an open directory.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::file::{Buf, open_at};

/// An open directory, such as one device of `/sys/class`.
///
/// Attributes below it are opened relative to it, which spares the kernel the walk from the root.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    fd: OwnedFd,
}

impl Dir {
    /// Opens a directory.
    ///
    /// # Errors
    /// The open's error; ENOTDIR, which [is gone](Error::is_gone), if the path is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let fd = open_dir(rustix::fs::CWD, &path, &path)?;
        Ok(Dir { path, fd })
    }

    /// Opens a directory below this one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn dir(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let name = Path::new(name.as_ref());
        let path = self.path.join(name);
        let fd = open_dir(&self.fd, name, &path)?;
        Ok(Dir { path, fd })
    }

    /// The path as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One attribute, as the kernel gives it, trailing newline included.
    ///
    /// # Errors
    /// The open's or the read's error.
    pub fn attribute<'b>(&self, name: impl AsRef<OsStr>, buf: &'b mut Buf) -> Result<&'b [u8]> {
        let name = Path::new(name.as_ref());
        let full = self.path.join(name);
        let fd = open_at(&self.fd, name, &full)?;
        buf.fill_once(&fd).map_err(|cause| Error { path: full, cause })?;
        Ok(buf.bytes())
    }

    /// Calls `each` with every name but `.` and `..`, in the kernel's order, and the entry's type where the filesystem tells it.
    ///
    /// # Errors
    /// The read's error. Names seen before it have been handed over.
    pub fn each_name(&self, mut each: impl FnMut(&OsStr, FileType)) -> Result<()> {
        let failed = |errno| Error::os(&self.path, errno);
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0)).map_err(failed)?;
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&self.fd, &mut space);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        each(OsStr::from_bytes(name), entry.file_type());
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// The names of this directory, bytewise ordered.
    ///
    /// # Errors
    /// As [`each_name`](Self::each_name).
    pub fn names(&self) -> Result<Vec<std::ffi::OsString>> {
        let mut names = Vec::new();
        self.each_name(|name, _| names.push(name.to_owned()))?;
        names.sort_unstable();
        Ok(names)
    }
}

fn open_dir(dir: impl std::os::fd::AsFd, name: &Path, full: &Path) -> Result<OwnedFd> {
    #[cfg(feature = "trace-opens")]
    crate::file::trace::record(full);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NONBLOCK;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(|errno| Error::os(full, errno))
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
        let dir = Dir::open(tmp.path()).unwrap();
        assert_eq!(dir.names().unwrap(), ["a:1", "b", "sub", "\u{e9}"]);
        assert_eq!(dir.names().unwrap().len(), 4, "a directory can be listed twice");
        let mut buf = Buf::new();
        assert_eq!(dir.attribute("a:1", &mut buf).unwrap(), b"a:1\n");
        assert!(dir.attribute("none", &mut buf).unwrap_err().is_gone());
        assert!(dir.dir("b").unwrap_err().is_gone(), "a file is no directory");
        assert!(dir.dir("sub").unwrap().names().unwrap().is_empty());
    }
}
