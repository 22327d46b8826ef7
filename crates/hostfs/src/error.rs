//! One error type for all reads: the path, and what went wrong there. Never what the file said.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The result of reading something of the host.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a path could not be read or understood.
///
/// The contents of the file are never part of it, so it can be logged whatever the path points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The file, directory or system call that failed.
    pub path: PathBuf,
    /// What was wrong with it.
    pub cause: Cause,
}

/// What was wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The kernel's answer.
    Os(Errno),
    /// The file is longer than the reader's cap, in bytes.
    TooLong(usize),
    /// The contents are not of the form that this text names.
    Malformed(&'static str),
}

impl Error {
    /// An error number at a path.
    pub fn os(path: impl AsRef<Path>, errno: Errno) -> Self {
        Error { path: path.as_ref().to_owned(), cause: Cause::Os(errno) }
    }

    /// Contents that are not what they should be; `expected` names the form that would be right.
    pub fn malformed(path: impl AsRef<Path>, expected: &'static str) -> Self {
        Error { path: path.as_ref().to_owned(), cause: Cause::Malformed(expected) }
    }

    /// The kernel's error number, if that is the cause.
    pub fn errno(&self) -> Option<Errno> {
        match self.cause {
            Cause::Os(errno) => Some(errno),
            _ => None,
        }
    }

    /// Whether the thing went away or was never there: a process that ended, a device that was unplugged, a file that this
    /// kernel does not have. Such an item is skipped; it is no failure.
    pub fn is_gone(&self) -> bool {
        self.errno().is_some_and(is_gone)
    }

    /// Whether one attribute has no value to give now (a link that is down, a sensor that is not supported, a file for root only):
    /// it is left out, and the rest of the device stays.
    pub fn is_unavailable(&self) -> bool {
        self.errno().is_some_and(is_unavailable)
    }
}

fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH | Errno::NODEV | Errno::NXIO | Errno::NOTDIR | Errno::STALE)
}

pub(crate) fn is_unavailable(errno: Errno) -> bool {
    is_gone(errno)
        || matches!(
            errno,
            Errno::INVAL
                | Errno::OPNOTSUPP
                | Errno::AGAIN
                | Errno::IO
                | Errno::ACCESS
                | Errno::PERM
                | Errno::NODATA
                | Errno::TIMEDOUT
                | Errno::BUSY
        )
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Os(errno) => f.write_str(crate::sys::describe(*errno)),
            Cause::TooLong(cap) => write!(f, "longer than {cap} bytes"),
            Cause::Malformed(expected) => write!(f, "not {expected}"),
        }
    }
}

impl std::error::Error for Error {}

/// Turns "gone" into `None`, so that `?` is left for real failures.
pub trait Gone<T> {
    /// `Ok(None)` if the thing [is gone](Error::is_gone).
    fn gone_is_none(self) -> Result<Option<T>>;
    /// `Ok(None)` if there [is no value to be had](Error::is_unavailable).
    fn unavailable_is_none(self) -> Result<Option<T>>;
}

impl<T> Gone<T> for Result<T> {
    fn gone_is_none(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unavailable_is_none(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_unavailable() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
