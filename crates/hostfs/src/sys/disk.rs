//! Mounted filesystems and block devices: statfs(2), and what btrfs tells by ioctl.
//!
//! statfs(2), and even the walk to the path it is given, may wait for as long as a network filesystem or a FUSE daemon likes:
//! callers see to it that only a thread that can be spared makes the call. The ioctls are those of the kernel's
//! `include/uapi/linux/btrfs.h`; they need no privilege but access to a directory of the filesystem.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{self, Opcode, opcode};

/// How large a filesystem is, in blocks and inodes. 64 bits wide on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// The unit of the block counts, in bytes.
    pub block_size: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Blocks that are free for users other than root.
    pub available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
}

/// statfs(2). It may wait for ever.
///
/// # Errors
/// The call's error.
pub fn statfs(path: &CStr) -> Result<Space, Errno> {
    let found = loop {
        match rustix::fs::statfs(path) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    Ok(Space {
        // Signed on some machines, unsigned on others, and small on all.
        block_size: found.f_bsize as u64,
        blocks: found.f_blocks,
        free: found.f_bfree,
        available: found.f_bavail,
        files: found.f_files,
        files_free: found.f_ffree,
    })
}

/// A directory of a mounted btrfs.
#[derive(Debug)]
pub struct Btrfs {
    fd: OwnedFd,
}

/// What a btrfs says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BtrfsInfo {
    /// The highest number that a device of it has.
    pub max_id: u64,
    /// How many devices it has.
    pub devices: u64,
    /// Its identity, as in the name of its directory in `/sys/fs/btrfs`.
    pub fsid: [u8; 16],
}

/// A device of a btrfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BtrfsDevice {
    /// The device's identity within the filesystem.
    pub uuid: [u8; 16],
    /// How many bytes are given to chunks.
    pub used: u64,
    /// How large it is, in bytes.
    pub total: u64,
    path: [u8; 1024],
}

impl BtrfsDevice {
    /// The device's path, such as `/dev/sda`; empty for one that is missing.
    pub fn path(&self) -> &[u8] {
        self.path.split(|&b| b == 0).next().unwrap_or_default()
    }
}

/// Error counts of a device of a btrfs since they were last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BtrfsErrors {
    /// Writes that failed.
    pub write: u64,
    /// Reads that failed.
    pub read: u64,
    /// Flushes that failed.
    pub flush: u64,
    /// Blocks whose checksum was wrong.
    pub corruption: u64,
    /// Blocks of another generation than expected.
    pub generation: u64,
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct FsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u64; 124],
}

/// `struct btrfs_ioctl_dev_info_args`.
#[repr(C)]
struct DevInfo {
    devid: u64,
    uuid: [u8; 16],
    bytes_used: u64,
    total_bytes: u64,
    unused: [u64; 379],
    path: [u8; 1024],
}

/// `struct btrfs_ioctl_get_dev_stats`, whose padding the kernel counts in words that are one too many.
#[repr(C)]
struct DevStats {
    devid: u64,
    nr_items: u64,
    flags: u64,
    values: [u64; 5],
    unused: [u64; 121],
}

const MAGIC: u8 = 0x94;
const DEV_INFO: Opcode = opcode::read_write::<DevInfo>(MAGIC, 30);
const FS_INFO: Opcode = opcode::read::<FsInfo>(MAGIC, 31);
const GET_DEV_STATS: Opcode = opcode::read_write::<DevStats>(MAGIC, 52);

// The size is part of the number of an ioctl: it is the kernel's, or the call would be another.
const _: () = assert!(
    size_of::<DevInfo>() == 4096 && size_of::<FsInfo>() == 1024 && size_of::<DevStats>() == 1032,
    "sizes of the kernel's structures"
);

impl Btrfs {
    /// Opens a directory for as long as the value lives: meanwhile its filesystem cannot be unmounted.
    ///
    /// # Errors
    /// The open's error.
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Btrfs { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// BTRFS_IOC_FS_INFO.
    ///
    /// # Errors
    /// The ioctl's error: ENOTTY if this is no btrfs.
    #[allow(unsafe_code)]
    pub fn info(&self) -> Result<BtrfsInfo, Errno> {
        let mut info = FsInfo { max_id: 0, num_devices: 0, fsid: [0; 16], rest: [0; 124] };
        // SAFETY: the opcode carries this structure's size and the kernel writes at most that much into it; all of it is
        // plain numbers. A filesystem other than btrfs that knew the same number would be held to the same size.
        unsafe { ioctl::ioctl(&self.fd, ioctl::Updater::<FS_INFO, FsInfo>::new(&mut info))? };
        Ok(BtrfsInfo { max_id: info.max_id, devices: info.num_devices, fsid: info.fsid })
    }

    /// BTRFS_IOC_DEV_INFO.
    ///
    /// # Errors
    /// The ioctl's error: ENODEV if the filesystem has no device of this number, which is usual, as they have gaps.
    #[allow(unsafe_code)]
    pub fn device(&self, id: u64) -> Result<BtrfsDevice, Errno> {
        // The identity left zero means any: the number alone decides.
        let mut device = DevInfo {
            devid: id,
            uuid: [0; 16],
            bytes_used: 0,
            total_bytes: 0,
            unused: [0; 379],
            path: [0; 1024],
        };
        // SAFETY: as in `info`; the kernel reads `devid` and `uuid`, both set, and writes within the structure.
        unsafe { ioctl::ioctl(&self.fd, ioctl::Updater::<DEV_INFO, DevInfo>::new(&mut device))? };
        Ok(BtrfsDevice {
            uuid: device.uuid,
            used: device.bytes_used,
            total: device.total_bytes,
            path: device.path,
        })
    }

    /// BTRFS_IOC_GET_DEV_STATS, without resetting them.
    ///
    /// # Errors
    /// The ioctl's error: ENODEV if there is no such device, or if its counts are not loaded.
    #[allow(unsafe_code)]
    pub fn errors(&self, id: u64) -> Result<BtrfsErrors, Errno> {
        let mut stats = DevStats { devid: id, nr_items: 5, flags: 0, values: [0; 5], unused: [0; 121] };
        // SAFETY: as in `info`; the kernel reads `devid`, `nr_items` and `flags`, and writes at most `nr_items` values.
        unsafe { ioctl::ioctl(&self.fd, ioctl::Updater::<GET_DEV_STATS, DevStats>::new(&mut stats))? };
        let [write, read, flush, corruption, generation] = stats.values;
        Ok(BtrfsErrors { write, read, flush, corruption, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statfs_agrees_with_what_a_filesystem_must_be() {
        let space = statfs(c"/").unwrap();
        assert!(space.block_size.is_power_of_two() && space.blocks > 0, "{space:?}");
        assert!(space.available <= space.free && space.free <= space.blocks, "{space:?}");
        assert_eq!(statfs(c"/none/such"), Err(Errno::NOENT));
    }

    #[test]
    fn opcodes_are_those_of_the_kernels_header() {
        // _IOWR(0x94, 30, 4096 bytes), _IOR(0x94, 31, 1024 bytes), _IOWR(0x94, 52, 1032 bytes) in the layout of most machines.
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
        assert_eq!([DEV_INFO, FS_INFO, GET_DEV_STATS], [0xd000_941e, 0x8400_941f, 0xc408_9434]);
    }

    #[test]
    fn what_is_no_btrfs_says_so() {
        let dir = Btrfs::open(c"/proc").unwrap();
        if cfg!(target_arch = "arm") && dir.info() == Err(Errno::NOSYS) {
            return println!("skipped: this emulation has no such ioctl");
        }
        assert_eq!(dir.info(), Err(Errno::NOTTY));
        assert_eq!(dir.device(1).unwrap_err(), Errno::NOTTY);
        assert_eq!(dir.errors(1), Err(Errno::NOTTY));
        assert_eq!(Btrfs::open(c"/proc/stat").unwrap_err(), Errno::NOTDIR);
    }
}
