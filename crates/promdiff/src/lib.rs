//! Compares what two exporters say of the same thing: is it safe to put one in the place of the other?
//!
//! [`compare`] takes two parsed expositions and says what a dashboard or an alert would notice: families and series that are
//! missing or new, types and label sets that changed, values that differ by more than the time between two scrapes explains.
//! [`compare_readings`] does the same with several scrapes of each side, taken in turn, which teach it what moves.
//!
//! HELP texts are not compared: nothing depends on them. A label with an empty value is the same as no label, as in Prometheus.
//!
//! With the `cli` feature there are also `queries`, which finds the queries of dashboards and rule files that would lose their
//! data, and the program `promdiff`.

mod compare;
mod ignore;
#[cfg(feature = "cli")]
pub mod queries;
mod report;
mod series;

pub use compare::{Options, compare, compare_readings};
pub use ignore::{Ignore, Rules};
pub use report::{
    Compared, FamilyItem, Ignored, LabelChange, Report, SeriesItem, Side, Table, TypeChange, ValueDifference,
};
