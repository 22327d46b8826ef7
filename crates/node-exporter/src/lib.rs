//! Machine metrics for Prometheus: a drop-in for node_exporter on Linux.
//!
//! One file per collector in [`collectors`]; everything else is the `exporter` crate's.

use exporter::app::{Product, Service};
use exporter::flags::Style;
use exporter::own::Build;
use exporter::{FlagError, Flags};

pub mod collectors;
mod cpus;
mod paths;
#[cfg(test)]
mod testing;

/// This exporter.
pub const PRODUCT: Product = Product {
    name: "node_exporter",
    title: "Node Exporter",
    about: "Metrics of this machine for Prometheus.",
    build: Build {
        family: "node_exporter_build_info",
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("BUILD_REVISION") {
            Some(revision) => revision,
            None => "",
        },
        branch: match option_env!("BUILD_BRANCH") {
            Some(branch) => branch,
            None => "",
        },
    },
    namespace: "node",
    listen: &[":9100"],
    flags: paths::FLAGS,
    style: Style::Kingpin,
    settle: |_| Ok(()),
    service,
    entries: collectors::ALL,
    lacking: collectors::LACKING,
};

/// Nothing beside the collectors, once the places that they read are there.
fn service(flags: &Flags) -> Result<Service, FlagError> {
    for name in ["path.procfs", "path.sysfs", "path.rootfs"] {
        if !std::path::Path::new(flags.text(name)).is_dir() {
            return Err(flags.error(name, "is no directory: give the place where it is mounted"));
        }
    }
    Ok(Service::default())
}
