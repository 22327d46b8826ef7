//! Machine metrics for Prometheus: a drop-in for node_exporter on Linux.

pub mod collectors;
mod paths;
#[cfg(test)]
mod testing;
