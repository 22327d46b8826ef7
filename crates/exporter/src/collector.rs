//! The contract between a collector and whatever runs it.

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
    /// This machine or kernel does not have it. The text says what is missing.
    NoData(String),
    /// It should be there. The text names the path and the cause, never a file's contents.
    Failed(String),
}

impl Error {
    /// [`Error::NoData`] if the thing is gone, else [`Error::Failed`].
    pub fn or_no_data(error: &hostfs::Error) -> Self {
        if error.is_gone() { Error::NoData(error.to_string()) } else { Error::Failed(error.to_string()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoData(what) | Error::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<hostfs::Error> for Error {
    fn from(error: hostfs::Error) -> Self {
        Error::Failed(error.to_string())
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
