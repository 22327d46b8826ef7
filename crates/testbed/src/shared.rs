//! What lies outside the repository: the shared fixtures, and the originals that we are measured against.
//!
//! A checkout alone has neither; tests that need them say so on standard error and pass.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::tree::Tree;

/// The project's root.
pub fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    crates.parent().unwrap().to_owned()
}

/// The folder of shared things: `SHARED_DIR`, or `shared` beside the project's root.
pub fn dir() -> Option<PathBuf> {
    let dir = std::env::var_os("SHARED_DIR").map_or_else(|| root().join("../shared"), PathBuf::from);
    dir.is_dir().then_some(dir)
}

/// The reference's fixture tree: `NODE_FIXTURES`, or the shared one.
pub fn node_fixtures() -> Option<PathBuf> {
    let dir = match std::env::var_os("NODE_FIXTURES") {
        Some(dir) => PathBuf::from(dir),
        None => dir()?.join("fixtures/node"),
    };
    dir.join("reference.args").is_file().then_some(dir)
}

/// The reference's fixture tree in memory, with the symbolic links that its copy lost, below `node/`.
pub fn node_tree() -> Option<Tree> {
    let loaded = Tree::load(&node_fixtures()?);
    let mut tree = Tree::new();
    for (path, node) in loaded.iter() {
        let path = [b"node/", path].concat();
        match node {
            crate::tree::Node::Dir => tree.dir(path),
            crate::tree::Node::Link(target) => tree.link(path, target.as_slice()),
            crate::tree::Node::File(contents) => tree.file(path, contents.as_slice()),
        }
    }
    tree.restore_links();
    Some(tree)
}

/// Which collector a family of the original belongs to; a family may belong to several.
pub fn families() -> Option<HashMap<String, Vec<String>>> {
    let path = dir()?.join("reference/node-exporter-families.tsv");
    let text = fs::read_to_string(path).ok()?;
    let mut families: HashMap<String, Vec<String>> = HashMap::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split('\t');
        let (Some(collector), Some(family)) = (fields.next(), fields.next()) else { continue };
        families.entry(family.to_owned()).or_default().push(collector.to_owned());
    }
    Some(families)
}

/// One of the originals, such as `node_exporter` or `promtool`: in the `bin` of `PEERS_DIR`, else of `target/peers`, where the shared
/// script puts them once, which needs root and a network.
pub fn peer(name: &str) -> Option<PathBuf> {
    static FETCHED: OnceLock<()> = OnceLock::new();
    let chosen = std::env::var_os("PEERS_DIR").map(PathBuf::from);
    let target = chosen.clone().unwrap_or_else(|| root().join("target/peers"));
    let found = target.join("bin").join(name);
    FETCHED.get_or_init(|| {
        let script = dir().map(|dir| dir.join("tools/get-peers"));
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0");
        let all =
            ["cadvisor", "node_exporter", "prometheus", "promtool"].map(|name| target.join("bin").join(name));
        let wanted = chosen.is_none() && is_root && !all.iter().all(|peer| peer.is_file());
        if let Some(script) = script.filter(|script| wanted && script.is_file()) {
            eprintln!("fetching the originals with {}", script.display());
            drop(
                Command::new("bash")
                    .arg(script)
                    .arg(&target)
                    .args(["cadvisor", "node-exporter", "prometheus", "promtool"])
                    .status(),
            );
        }
    });
    found.is_file().then_some(found)
}

/// Says that a test does nothing here, and why; past the test harness, which would keep it to itself.
pub fn skipped(what: &str, lacks: &str) {
    drop(writeln!(std::io::stderr(), "\n*** skipped: {what}: {lacks} ***\n"));
}

/// The command line that gives Debian's build of the original the defaults of upstream's.
pub const UPSTREAM_DEFAULTS: [&str; 3] = [
    "--no-collector.systemd",
    "--collector.textfile.directory=",
    r"--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn the_fixtures_get_their_links_back() {
        let Some(tree) = node_tree() else { return skipped("fixtures", "no ../shared") };
        let links = tree.iter().filter(|(_, node)| matches!(node, Node::Link(_))).count();
        assert_eq!(links, 83, "links in the reference's fixture tree");
    }
}
