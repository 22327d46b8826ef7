//! The node-exporter program.

use std::process::ExitCode;

fn main() -> ExitCode {
    exporter::app::main(&node_exporter::PRODUCT)
}
