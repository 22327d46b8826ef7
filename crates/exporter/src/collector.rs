//! The contract between a collector and whatever runs it.

use std::borrow::Cow;
use std::fmt;
use std::time::Instant;

use crate::flags::{Flag, FlagError, Flags};
use crate::text::Text;

/// Reads one part of the machine and writes its families.
///
/// A collector is kept from the start of the process to its end, and called once a scrape, by one thread at a time. It keeps
/// its buffers, its open files and what it has to remember.
pub trait Collector: Send {
    /// Writes this part's families into `out`, which is empty.
    ///
    /// All that can fail comes before the first sample that depends on it; families written before an error stay in the answer.
    /// A collector that may wait (for a mount, a device) gives up shortly before `deadline` and writes what it has.
    ///
    /// # Errors
    /// [`Error::NoData`] if this machine lacks what is read, [`Error::Failed`] if it is there and cannot be read or understood.
    /// Either way the collector's success metric is 0; only the second is logged as a warning.
    fn collect(&mut self, out: &mut Text, deadline: Instant) -> Result<(), Error>;
}

/// Why a collector has nothing, or not everything, to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// This machine or kernel does not have it.
    NoData(Reason),
    /// It should be there.
    Failed(Reason),
}

/// What is missing, or the path and the cause of a failure; never a file's contents.
///
/// It is put into words only when it is logged: what a machine lacks, it lacks in every scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// An error of the host's files.
    Host(hostfs::Error),
    /// Any other.
    Text(Cow<'static, str>),
}

impl From<hostfs::Error> for Reason {
    fn from(error: hostfs::Error) -> Self {
        Reason::Host(error)
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Reason::Text(text.into())
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason::Text(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Host(error) => error.fmt(f),
            Reason::Text(text) => f.write_str(text),
        }
    }
}

impl Error {
    /// [`Error::NoData`] if the thing is gone, else [`Error::Failed`].
    pub fn or_no_data(error: &hostfs::Error) -> Self {
        let reason = error.clone().into();
        if error.is_gone() { Error::NoData(reason) } else { Error::Failed(reason) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoData(reason) | Error::Failed(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<hostfs::Error> for Error {
    fn from(error: hostfs::Error) -> Self {
        Error::Failed(error.into())
    }
}

/// What the registry knows of a collector: the flags, the README's table and the tests all come from it.
#[derive(Debug)]
pub struct Entry {
    /// The name in `--collector.<name>`, in `collect[]` and in the success metric.
    pub name: &'static str,
    /// Whether it runs when no flag names it.
    pub on: bool,
    /// What it reads or tells, in one line, for `--help`.
    pub help: &'static str,
    /// Its own flags, beside `--collector.<name>`.
    pub flags: &'static [Flag],
    /// Makes it from the parsed flags. Called once, only if it is enabled, before anything is bound.
    pub new: fn(&Flags) -> Result<Box<dyn Collector>, FlagError>,
}
