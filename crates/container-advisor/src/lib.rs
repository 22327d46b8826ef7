//! Container metrics for Prometheus: a drop-in for cAdvisor on Linux.

pub mod disks;
pub mod filesystems;
pub mod machine;
pub mod metadata;
pub mod network;
pub mod processes;
pub mod usage;
