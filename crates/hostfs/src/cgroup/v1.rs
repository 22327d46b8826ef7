//! Reads the v1 hierarchies.
