//! The container-advisor program.

fn main() {}
