//! A `/proc`, a `/sys` and what goes with them as data: in git as one text file, in a test as a temporary directory.
//!
//! The text form has an entry after the other, each a line that says what it is, and a file's lines after it:
//!
//! ```text
//! # A comment.
//! dir sys/class/nvme
//! link proc/self 1
//! file proc/loadavg 1
//! 0.21 0.37 0.39 1/719 19737
//! open proc/1/comm 1
//! init
//! ```
//!
//! `file` says how many lines follow; `open` is a file whose last line has no newline. Backslashes, control characters and bytes that are
//! not UTF-8 are written as `\xNN`, blanks in paths too, so that the file stays text for git and for people.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory. Those with something in them need no entry.
    Dir,
    /// A symbolic link, and where it points.
    Link(Vec<u8>),
    /// A file.
    File(Vec<u8>),
}

/// When the files of an unpacked tree were written, as far as they know: seconds since 1970.
pub const WRITTEN: u64 = 1_600_000_000;

/// Paths without a leading slash, and what stands there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

impl Tree {
    /// No path at all.
    pub fn new() -> Self {
        Tree::default()
    }

    /// Sets a file's contents.
    pub fn file(&mut self, path: impl AsRef<[u8]>, contents: impl Into<Vec<u8>>) {
        self.nodes.insert(path.as_ref().to_owned(), Node::File(contents.into()));
    }

    /// Sets a symbolic link.
    pub fn link(&mut self, path: impl AsRef<[u8]>, target: impl Into<Vec<u8>>) {
        self.nodes.insert(path.as_ref().to_owned(), Node::Link(target.into()));
    }

    /// Adds a directory, unless something stands there.
    pub fn dir(&mut self, path: impl AsRef<[u8]>) {
        self.nodes.entry(path.as_ref().to_owned()).or_insert(Node::Dir);
    }

    /// Takes away a path and all below it.
    pub fn remove(&mut self, path: impl AsRef<[u8]>) {
        let path = path.as_ref();
        self.nodes.retain(|p, _| !(p.starts_with(path) && matches!(p.get(path.len()), None | Some(b'/'))));
    }

    /// What stands at a path.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Node> {
        self.nodes.get(path.as_ref())
    }

    /// All paths.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_slice(), node))
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Self {
        let mut tree = Tree::new();
        let mut lines = text.split('\n');
        while let Some(line) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || -> ! { panic!("no entry of a tree: {line:?}") };
            let (what, rest) = line.split_once(' ').unwrap_or_else(|| bad());
            match what {
                "dir" => tree.dir(unescape(rest)),
                "link" => {
                    let (path, target) = rest.split_once(' ').unwrap_or_else(|| bad());
                    tree.link(unescape(path), unescape(target));
                }
                "file" | "open" => {
                    let (path, count) = rest.split_once(' ').unwrap_or_else(|| bad());
                    let count: usize = count.parse().unwrap_or_else(|_| bad());
                    let mut contents = Vec::new();
                    for _ in 0..count {
                        contents.extend(unescape(lines.next().unwrap_or_else(|| bad())));
                        contents.push(b'\n');
                    }
                    if what == "open" {
                        contents.pop();
                    }
                    tree.file(unescape(path), contents);
                }
                _ => bad(),
            }
        }
        tree
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, node) in &self.nodes {
            let path = escape(path, true);
            match node {
                Node::Dir => writeln!(text, "dir {path}").unwrap(),
                Node::Link(target) => writeln!(text, "link {path} {}", escape(target, true)).unwrap(),
                Node::File(contents) => {
                    let (what, whole) = match contents.strip_suffix(b"\n") {
                        Some(whole) => ("file", whole),
                        None if contents.is_empty() => ("file", &[][..]),
                        None => ("open", contents.as_slice()),
                    };
                    let lines: Vec<&[u8]> =
                        if contents.is_empty() { Vec::new() } else { whole.split(|&b| b == b'\n').collect() };
                    writeln!(text, "{what} {path} {}", lines.len()).unwrap();
                    for line in lines {
                        writeln!(text, "{}", escape(line, false)).unwrap();
                    }
                }
            }
        }
        text
    }

    /// Writes all of it below a directory, with [times](WRITTEN) long gone.
    pub fn unpack(&self, top: &Path) {
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(WRITTEN);
        let mut made = std::collections::HashSet::new();
        for (path, node) in &self.nodes {
            let path = top.join(OsStr::from_bytes(path));
            let parent = path.parent().unwrap();
            if made.insert(parent.to_owned()) {
                fs::create_dir_all(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
            }
            let done = match node {
                Node::Dir => fs::create_dir_all(&path),
                Node::Link(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), &path),
                Node::File(contents) => fs::File::create(&path)
                    .and_then(|mut file| file.write_all(contents).and_then(|()| file.set_modified(written))),
            };
            done.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Writes it into a new temporary directory, which goes away with the handle.
    pub fn unpacked(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        self.unpack(dir.path());
        dir
    }

    /// Takes a directory into memory, `top` itself left out of the paths.
    pub fn load(top: &Path) -> Self {
        fn walk(tree: &mut Tree, top: &Path, dir: &Path) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(top).unwrap().as_os_str().as_bytes().to_owned();
                let kind = path.symlink_metadata().unwrap().file_type();
                if kind.is_symlink() {
                    tree.link(name, fs::read_link(&path).unwrap().as_os_str().as_bytes());
                } else if kind.is_dir() {
                    tree.dir(name);
                    walk(tree, top, &path);
                } else {
                    tree.file(name, fs::read(&path).unwrap());
                }
            }
        }
        let mut tree = Tree::new();
        walk(&mut tree, top, top);
        tree
    }

    /// Turns files back into the symbolic links that they were before the shared fixtures were copied without links: a file
    /// without final newline that starts with `../` or `./`, and `proc/self`.
    pub fn restore_links(&mut self) {
        for (path, node) in &mut self.nodes {
            let Node::File(contents) = node else { continue };
            let points = contents.starts_with(b"../") || contents.starts_with(b"./");
            if (points && !contents.contains(&b'\n')) || path.ends_with(b"proc/self") {
                *node = Node::Link(contents.trim_ascii_end().to_owned());
            }
        }
    }
}

/// A small machine: the 2-core virtual machine on which this was written, with what the original opens there.
pub fn vm() -> &'static Tree {
    static VM: OnceLock<Tree> = OnceLock::new();
    VM.get_or_init(|| Tree::parse(include_str!("../fixtures/vm.tree")))
}

/// A tree in a directory, and the flags that point an exporter to it.
#[derive(Debug)]
pub struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// Unpacks a tree with `proc`, `sys`, `udev` and `rootfs` at its top.
    pub fn new(tree: &Tree) -> Self {
        Host { dir: tree.unpacked() }
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `--path.*` for an exporter that is started in [`path("")`](Self::path): relative, so that labels do not depend on the directory.
    pub const PATHS: [&'static str; 4] =
        ["--path.procfs=proc", "--path.sysfs=sys", "--path.rootfs=rootfs", "--path.udev.data=udev"];
}

fn escape(bytes: &[u8], blanks: bool) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' if !blanks => text.push(c),
                '\\' => text.push_str("\\x5c"),
                ' ' if blanks => text.push_str("\\x20"),
                c if c.is_ascii_control() => write!(text, "\\x{:02x}", u32::from(c)).unwrap(),
                c => text.push(c),
            }
        }
        for b in chunk.invalid() {
            write!(text, "\\x{b:02x}").unwrap();
        }
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = text.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or("").as_bytes());
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or_else(|| panic!("no escape in a tree: {text:?}")));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_the_same_after_text_and_disk() {
        let mut tree = Tree::new();
        tree.file("proc/a b", "x\n\n\ty\\x41 \u{e9}\n");
        tree.file("proc/open", "x\ny");
        tree.file("proc/empty", "");
        tree.file("proc/newline", "\n");
        tree.file("proc/bytes", b"\0\xff\r\n");
        tree.file(b"proc/\xff:1", "1\n");
        tree.link("sys/class/x", "../devices/x");
        tree.dir("sys/none");
        let text = tree.to_text();
        assert_eq!(Tree::parse(&text), tree, "{text}");
        let dir = tree.unpacked();
        let mut loaded = Tree::load(dir.path());
        loaded.nodes.retain(|path, node| *node != Node::Dir || path == b"sys/none");
        assert_eq!(loaded, tree);
        tree.remove("proc");
        assert_eq!(tree.iter().count(), 2);
    }

    #[test]
    fn links_are_restored_by_their_contents() {
        let mut tree = Tree::new();
        tree.file("proc/self", "10");
        tree.file("sys/l", "../../x");
        tree.file("sys/f", "../../x\n");
        tree.restore_links();
        assert_eq!(tree.get("proc/self"), Some(&Node::Link(b"10".into())));
        assert_eq!(tree.get("sys/l"), Some(&Node::Link(b"../../x".into())));
        assert_eq!(tree.get("sys/f"), Some(&Node::File(b"../../x\n".into())));
    }
}
