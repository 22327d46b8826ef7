//! Block devices: what a device number is called, and what the machine as a whole did with each disk.
//!
//! Control groups account I/O by `major:minor`. The name in a `device` label is `/dev/<name>` for a whole disk of `/sys/block`, else
//! what the mount table says is mounted with that number, else empty; for the machine itself the mount table comes first.
//! Names are kept, and looked up again when a number shows up that has none. Counters are those of `/proc/diskstats`, see the kernel's
//! `Documentation/admin-guide/iostats.rst`, for every device: the original knows only names such as `sda`, and takes the
//! kernel's milliseconds for nanoseconds.

use hostfs::Root;

/// Names and counters of block devices.
#[derive(Debug)]
pub struct Disks {}

/// What the machine did with one block device since it appeared: a line of `/proc/diskstats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The device's number.
    pub major: u32,
    /// The device's number.
    pub minor: u32,
    /// Reads completed.
    pub reads: u64,
    /// Reads merged with others before they were queued.
    pub reads_merged: u64,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Time of all reads together, in milliseconds.
    pub read_ms: u64,
    /// Writes completed.
    pub writes: u64,
    /// Writes merged.
    pub writes_merged: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
    /// Time of all writes together, in milliseconds.
    pub write_ms: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Time in which at least one request was under way, in milliseconds.
    pub io_ms: u64,
    /// The same, weighted with the number of requests, in milliseconds.
    pub weighted_io_ms: u64,
}

impl Disks {
    /// Takes the roots that stand for `/proc` and `/sys`; nothing is read yet.
    pub fn new(_proc: &Root, _sys: &Root) -> Self {
        unimplemented!()
    }

    /// To be called at the start of a scrape: the names may be looked up once more, if a number shows up that has none.
    pub fn begin(&mut self) {}

    /// What the `device` label of a container says: the disk, the mount source, or nothing.
    pub fn name(&mut self, _major: u32, _minor: u32) -> &[u8] {
        unimplemented!()
    }

    /// What the `device` label of the machine says: the mount source, the disk, or nothing.
    pub fn name_for_machine(&mut self, _major: u32, _minor: u32) -> &[u8] {
        unimplemented!()
    }

    /// Reads `/proc/diskstats` anew.
    ///
    /// # Errors
    /// The file cannot be read; then there are no counters.
    pub fn read_counters(&mut self) -> hostfs::Result<()> {
        unimplemented!()
    }

    /// The counters of every device of the last reading that has done anything, in order of number, with the name in `/dev`.
    pub fn counters(&self) -> impl Iterator<Item = (&[u8], &Counters)> {
        std::iter::empty()
    }

    /// The counters of one device.
    pub fn counters_of(&self, _major: u32, _minor: u32) -> Option<&Counters> {
        unimplemented!()
    }
}
