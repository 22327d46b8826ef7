//! The container-advisor program.

use std::process::ExitCode;

fn main() -> ExitCode {
    exporter::app::main(&container_advisor::PRODUCT)
}
