//! What black-box tests and benchmarks stand on. Not shipped.
//!
//! - [`process`] starts an exporter, ours or the original, and looks at it through `/proc`; [`http`] scrapes it over plain TCP.
//! - [`exposition`] reads an answer strictly and compares two, line by line.
//! - [`tree`] holds a `/proc` and `/sys` as data: [`tree::vm`] is a recorded small machine, [`bighost::tree`] a made-up large one.
//! - [`shared`] finds what lies outside the repository, the shared fixtures and the originals, or says loudly that it is skipped.
//! - [`daemon`] answers as Docker's API does, well or badly.
//! - [`docs`] compares tables in `docs/` with the program, or writes them.
//! - [`strace`] learns which files a program opens in a scrape.
//!
//! Everything here panics on what is unexpected: the caller is a test, and the message is what it fails with.

// A test's tools end the test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod bighost;

pub mod daemon;
pub mod docker;
pub mod docs;
pub mod exposition;
pub mod http;
pub mod process;
pub mod prometheus;
pub mod recorded;
pub mod shared;
pub mod strace;
pub mod tree;
