//! Where the host's trees are mounted: `--path.procfs` and its siblings.

use exporter::{Flag, Flags};
use hostfs::Root;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::text("path.procfs", "/proc", "Where procfs is mounted."),
    Flag::text("path.sysfs", "/sys", "Where sysfs is mounted."),
    Flag::text("path.rootfs", "/", "Where the root filesystem is mounted."),
    Flag::text("path.udev.data", "/run/udev/data", "Where udev keeps its device database."),
];

/// `--path.procfs`.
pub(crate) fn proc(flags: &Flags) -> Root {
    Root::new(flags.text("path.procfs"))
}

/// `--path.sysfs`.
pub(crate) fn sys(flags: &Flags) -> Root {
    Root::new(flags.text("path.sysfs"))
}

/// `--path.rootfs`.
pub(crate) fn rootfs(flags: &Flags) -> Root {
    Root::new(flags.text("path.rootfs"))
}

/// `--path.udev.data`.
pub(crate) fn udev(flags: &Flags) -> Root {
    Root::new(flags.text("path.udev.data"))
}
