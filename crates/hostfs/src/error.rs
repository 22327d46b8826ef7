//! One error type for all reads: the path, and what went wrong there. Never what the file said.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

/// The result of reading something of the host.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a path could not be read or understood.
///
/// The contents of the file are never part of it, so it can be logged whatever the path points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The file, directory or system call that failed.
    pub path: Arc<Path>,
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

thread_local! {
    /// Paths of earlier errors. What a machine lacks is missed again in every scrape, and should not cost an allocation each time.
    static KNOWN: RefCell<Vec<Arc<Path>>> = const { RefCell::new(Vec::new()) };
}

/// How many paths are remembered on each thread; the next one takes the oldest one's place.
const MOST_KNOWN: usize = 128;

fn shared(path: &Path) -> Arc<Path> {
    KNOWN.with_borrow_mut(|known| {
        if let Some(found) = known.iter().find(|other| other.as_os_str() == path.as_os_str()) {
            return Arc::clone(found);
        }
        if known.len() == MOST_KNOWN {
            known.remove(0);
        }
        let path: Arc<Path> = path.into();
        known.push(Arc::clone(&path));
        path
    })
}

impl Error {
    pub(crate) fn new(path: &Path, cause: Cause) -> Self {
        Error { path: shared(path), cause }
    }

    /// An error number at a path.
    pub fn os(path: impl AsRef<Path>, errno: Errno) -> Self {
        Error::new(path.as_ref(), Cause::Os(errno))
    }

    /// Contents that are not what they should be; `expected` names the form that would be right.
    pub fn malformed(path: impl AsRef<Path>, expected: &'static str) -> Self {
        Error::new(path.as_ref(), Cause::Malformed(expected))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_comes_again_shares_its_path() {
        let first = Error::os("/sys/class/none", Errno::NOENT);
        for i in 0..MOST_KNOWN - 1 {
            let _ = Error::os(format!("/other/{i}"), Errno::NOENT);
        }
        assert!(Arc::ptr_eq(&first.path, &Error::os("/sys/class/none", Errno::IO).path));
        let _ = Error::os("/one/more", Errno::NOENT);
        let again = Error::os("/sys/class/none", Errno::NOENT);
        assert!(!Arc::ptr_eq(&first.path, &again.path) && first == again);
    }
}
