//! A collector over a tree of literal files, for unit tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exporter::{Collector, Entry, Error, Flag, Flags, Reason, Text};
use hostfs::Errno;

use crate::paths;

/// A temporary directory with `proc`, `sys`, `rootfs` and `udev`, to which the path flags point.
pub(crate) struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    /// A tree with these files, named from its top: `proc/loadavg`, `sys/class/net/eth0/mtu`.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let tree = Tree { dir: tempfile::tempdir().unwrap() };
        for top in ["proc", "sys", "rootfs", "udev"] {
            std::fs::create_dir(tree.path(top)).unwrap();
        }
        for (name, contents) in files {
            tree.write(name, contents);
        }
        tree
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// The collector over this tree, with more flags.
    pub(crate) fn collector(&self, entry: &Entry, args: &[&str]) -> Box<dyn Collector> {
        let flags: Vec<Flag> = paths::FLAGS.iter().chain(entry.flags).copied().collect();
        let paths = [
            format!("--path.procfs={}", self.path("proc").display()),
            format!("--path.sysfs={}", self.path("sys").display()),
            format!("--path.rootfs={}", self.path("rootfs").display()),
            format!("--path.udev.data={}", self.path("udev").display()),
        ];
        let args: Vec<&str> = paths.iter().map(String::as_str).chain(args.iter().copied()).collect();
        (entry.new)(&Flags::for_test(&flags, &args)).unwrap()
    }

    /// Samples (no HELP, no TYPE) that one collector writes over this tree, and its error.
    pub(crate) fn collect(&self, entry: &Entry, args: &[&str]) -> (String, Option<Error>) {
        collect(&mut *self.collector(entry, args))
    }

    /// As [`collect`](Self::collect), for a collector that must succeed.
    pub(crate) fn samples(&self, entry: &Entry, args: &[&str]) -> String {
        let (samples, error) = self.collect(entry, args);
        assert_eq!(error, None, "after {samples}");
        samples
    }
}

/// One run of a collector: its samples, and its error.
pub(crate) fn collect(collector: &mut dyn Collector) -> (String, Option<Error>) {
    let mut text = Text::new();
    let error = collector.collect(&mut text, Instant::now() + Duration::from_secs(10)).err();
    let samples = (0..text.len()).map(|i| std::str::from_utf8(text.samples(i)).unwrap()).collect();
    (samples, error)
}

/// Whether a collector found no netlink because this is qemu's user mode, which lacks most of it.
pub(crate) fn is_emulated(error: &Option<Error>) -> bool {
    let errno = match error {
        Some(Error::NoData(Reason::Host(error)) | Error::Failed(Reason::Host(error))) => error.errno(),
        _ => None,
    };
    let emulated =
        cfg!(target_arch = "arm") && matches!(errno, Some(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT));
    if emulated {
        println!("skipped: this emulation has no such netlink");
    }
    emulated
}
