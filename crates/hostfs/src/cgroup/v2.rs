//! Reads the v2 tree.
