//! What an exporter is, whatever it exports: the text format, the collectors and the run that a scrape starts, the web server,
//! flags, logs, and the metrics about itself.
//!
//! The way of a scrape: [`web`] takes the request, [`scrape`] has each [`Collector`] write its families into its own
//! [`Text`], the segments are put in order of family name, compressed and sent. Nothing runs between scrapes.

pub mod app;
pub mod collector;
pub mod filter;
pub mod flags;
pub mod log;
pub mod own;
pub mod scrape;
pub mod text;
pub mod web;

pub use collector::{Collector, Entry, Error, Reason};
pub use flags::{Flag, FlagError, Flags};
pub use text::{Kind, Part, Text};
