//! The mount table.
