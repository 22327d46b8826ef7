//! The machine's mounted filesystems, for the families of `id="/"`: the mount table (proc_pid_mountinfo(5)) and statfs(2).

use std::time::Instant;

use hostfs::Root;
use hostfs::sys::disk::Space;

/// The filesystems of the machine. Shared: a scrape and a page may ask at the same time.
#[derive(Debug)]
pub struct Filesystems {}

/// A filesystem, as the last [`Filesystems::refresh`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filesystem<'a> {
    /// What is mounted; for a tmpfs the mount point.
    pub device: &'a [u8],
    /// Where, on the host.
    pub point: &'a [u8],
    /// `ext4`, `xfs`.
    pub fstype: &'a [u8],
    /// The device's number.
    pub major: u64,
    /// The device's number.
    pub minor: u64,
    /// Blocks and inodes.
    pub space: Space,
}

impl Filesystem<'_> {
    /// The size in bytes.
    pub fn capacity(&self) -> u64 {
        self.space.blocks.saturating_mul(self.space.block_size)
    }

    /// What is in use, in bytes.
    pub fn usage(&self) -> u64 {
        self.space.blocks.saturating_sub(self.space.free).saturating_mul(self.space.block_size)
    }

    /// What users other than root may still fill, in bytes.
    pub fn available(&self) -> u64 {
        self.space.available.saturating_mul(self.space.block_size)
    }
}

impl Filesystems {
    /// Takes the roots that stand for `/proc` and `/`; nothing is read yet.
    pub fn new(_proc: &Root, _rootfs: &Root) -> Self {
        unimplemented!()
    }

    /// Asks every filesystem anew, and is back before the deadline whatever they do. Those that do not answer are left out.
    ///
    /// # Errors
    /// The mount table cannot be read, or no thread is to be had; then there are none.
    pub fn refresh(&self, _deadline: Instant) -> Result<(), exporter::Error> {
        unimplemented!()
    }

    /// Calls `each` with every filesystem that answered, in order of device.
    pub fn each(&self, _each: impl FnMut(Filesystem<'_>)) {}
}
