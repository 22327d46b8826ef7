//! SELinux: whether it is on, and whether it enforces, see selinuxfs in the kernel's security/selinux and selinux(8).
//!
//! It looks at the exporter's own `/sys/fs/selinux` and `/etc/selinux/config`, as the original does: no path flag leads elsewhere. SELinux is on
//! if its filesystem is mounted there and writable (in a container it is read-only, and means nothing) and a policy is loaded.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Buf, File, Gone, Root, scan};

pub(crate) const ENTRY: Entry = Entry {
    name: "selinux",
    on: true,
    help: "SELinux mode from /sys/fs/selinux and /etc/selinux/config.",
    flags: &[],
    new: |_| Ok(Box::new(Selinux::new(&Root::new("/")))),
};

struct Selinux {
    enforce: File,
    mounts: File,
    context: File,
    config: File,
    buf: Buf,
    /// Whether the filesystem was found to be mounted and writable, which does not change.
    is_mounted: bool,
}

impl Selinux {
    fn new(root: &Root) -> Self {
        Selinux {
            enforce: root.file("sys/fs/selinux/enforce"),
            mounts: root.file("proc/self/mountinfo").with_cap(64 << 20),
            context: root.file("proc/self/attr/current"),
            config: root.file("etc/selinux/config"),
            buf: Buf::new(),
            is_mounted: false,
        }
    }

    /// The mode that `enforce` tells; `None` if SELinux is off.
    fn current_mode(&mut self) -> hostfs::Result<Option<i64>> {
        let Some(bytes) = self.enforce.read(&mut self.buf).gone_is_none()? else { return Ok(None) };
        let mode = scan::signed_value(bytes).ok_or_else(|| self.enforce.malformed("0 or 1"))?;
        if !self.is_mounted {
            self.is_mounted = scan::lines(self.mounts.read(&mut self.buf)?).any(is_writable_selinuxfs);
        }
        if !self.is_mounted {
            return Ok(None);
        }
        // Before a policy is loaded everything runs as kernel.
        let context = self.context.read(&mut self.buf).unavailable_is_none()?.unwrap_or_default();
        let end = context.iter().position(|&b| b == 0 || b == b'\n').unwrap_or(context.len());
        Ok((&context[..end] != b"kernel").then_some(mode))
    }

    /// 1 enforcing, 0 permissive, else -1, also without the file.
    fn config_mode(&mut self) -> hostfs::Result<i64> {
        let config = self.config.read(&mut self.buf).gone_is_none()?.unwrap_or_default();
        let mode = scan::lines_loose(config).find_map(|line| {
            let (key, value) = scan::split_once(line.trim_ascii(), b'=')?;
            let value = value.trim_ascii();
            (key.trim_ascii() == b"SELINUX").then(|| value.strip_prefix(b"\"").unwrap_or(value))
        });
        Ok(match mode.map(|value| value.strip_suffix(b"\"").unwrap_or(value)) {
            Some(b"enforcing") => 1,
            Some(b"permissive") => 0,
            _ => -1,
        })
    }
}

/// A line of mountinfo: `24 22 0:20 / /sys/fs/selinux rw,relatime - selinuxfs selinuxfs rw`.
fn is_writable_selinuxfs(line: &[u8]) -> bool {
    let mut fields = scan::fields(line);
    let is_writable =
        |options: Option<&[u8]>| options.is_some_and(|o| o.split(|&b| b == b',').all(|o| o != b"ro"));
    fields.nth(4) == Some(b"/sys/fs/selinux")
        && is_writable(fields.next())
        && fields.find(|field| *field == b"-").is_some()
        && fields.next() == Some(b"selinuxfs")
        && is_writable(fields.nth(1))
}

impl Collector for Selinux {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let current = self.current_mode()?;
        out.single("node_selinux_enabled", Kind::Gauge, "Whether SELinux is on.", current.is_some());
        if let Some(current) = current {
            let help = "Mode in force: 1 enforcing, 0 permissive.";
            out.single("node_selinux_current_mode", Kind::Gauge, help, current);
            let help = "Mode in the configuration file: 1 enforcing, 0 permissive, -1 disabled.";
            out.single("node_selinux_config_mode", Kind::Gauge, help, self.config_mode()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, collect};

    const MOUNTS: &str = "22 1 0:21 / /sys rw,relatime shared:7 - sysfs sysfs rw\n\
        24 22 0:20 / /sys/fs/selinux rw,relatime shared:8 master:1 - selinuxfs selinuxfs rw\n";

    fn samples(tree: &Tree) -> (String, Option<Error>) {
        collect(&mut Selinux::new(&Root::new(tree.path(""))))
    }

    fn tree() -> Tree {
        Tree::new(&[
            ("sys/fs/selinux/enforce", "1"),
            ("proc/self/mountinfo", MOUNTS),
            ("proc/self/attr/current", "system_u:system_r:init_t:s0\0"),
            ("etc/selinux/config", "# SELINUX=enforcing\nSELINUXTYPE=targeted\n SELINUX = \"permissive\"\n"),
        ])
    }

    #[test]
    fn on_with_both_modes() {
        let tree = tree();
        let both = "node_selinux_enabled 1\nnode_selinux_current_mode 1\nnode_selinux_config_mode ";
        assert_eq!(samples(&tree), (format!("{both}0\n"), None));
        tree.write("etc/selinux/config", "SELINUX=enforcing");
        assert_eq!(samples(&tree), (format!("{both}1\n"), None));
        tree.remove("etc/selinux/config");
        assert_eq!(samples(&tree), (format!("{both}-1\n"), None));
    }

    #[test]
    fn off_without_the_filesystem_or_read_only_or_without_a_policy() {
        let off = ("node_selinux_enabled 0\n".to_owned(), None);
        assert_eq!(samples(&Tree::new(&[])), off);
        for mounts in [
            "",
            &MOUNTS.replace("selinux rw,relatime", "selinux ro,relatime"),
            &MOUNTS.replace("selinuxfs rw", "selinuxfs ro"),
            &MOUNTS.replace("- selinuxfs", "- tmpfs"),
        ] {
            let tree = tree();
            tree.write("proc/self/mountinfo", mounts);
            assert_eq!(samples(&tree), off, "{mounts}");
        }
        let tree = tree();
        tree.write("proc/self/attr/current", "kernel\0");
        assert_eq!(samples(&tree), off);
        tree.write("proc/self/attr/current", "kernel\n");
        assert_eq!(samples(&tree), off);
    }

    #[test]
    fn a_mode_that_is_no_number_fails() {
        let tree = tree();
        tree.write("sys/fs/selinux/enforce", "x");
        assert!(matches!(samples(&tree), (samples, Some(Error::Failed(_))) if samples.is_empty()));
    }
}
