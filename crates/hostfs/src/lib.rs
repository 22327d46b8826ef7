//! Reads what the kernel says about this machine: `/proc`, `/sys`, mounts, netlink and a few system calls.
//!
//! Everything is rooted ([`Root`]), so an exporter in a container reads the host's trees, and a test writes literal bytes
//! into a temporary directory. Reads go into buffers that the caller keeps ([`Buf`]); after the first scrape nothing
//! is allocated. Fixed pseudo files stay open between scrapes ([`File`]), which saves the path walk and, in sysfs, most of
//! the cost. Sizes are capped, opens never block, and an [`Error`] says whether a thing [is gone](Error::is_gone) or failed.
//!
//! Parsing is done on bytes by [`scan`]: names need not be UTF-8, every counter is 64 bits wide on 32-bit hosts too.
//!
//! This is the workspace's only crate with `unsafe` code, all of it in [`sys`].

mod arena;
pub mod cgroup;
mod dir;
mod error;
mod file;
mod glob;
pub mod mounts;
pub mod netlink;
pub mod scan;
pub mod statfs;
pub mod sys;

pub use arena::{Arena, Span};
pub use dir::{Dir, Names};
pub use error::{Cause, Error, Gone, Result};
#[cfg(feature = "trace-opens")]
pub use file::trace;
pub use file::{Buf, File, Root, Stamp, keep_at_most, read, read_with_cap};
pub use glob::glob;
pub use rustix::io::Errno;
