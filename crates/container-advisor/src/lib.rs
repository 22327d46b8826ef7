//! Container metrics for Prometheus: a drop-in for cAdvisor on Linux.

pub mod docker;
pub mod metadata;
