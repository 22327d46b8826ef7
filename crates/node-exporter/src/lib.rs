//! Machine metrics for Prometheus: a drop-in for node_exporter on Linux.

pub mod collectors;
mod cpus;
mod paths;
#[cfg(test)]
mod testing;

/// Placeholder until main exists.
#[doc(hidden)]
pub fn flags_for_example(args: &[String]) -> exporter::Flags {
    let all: Vec<exporter::Flag> =
        paths::FLAGS.iter().chain(collectors::ALL.iter().flat_map(|e| e.flags)).copied().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    exporter::Flags::for_test(&all, &args)
}
