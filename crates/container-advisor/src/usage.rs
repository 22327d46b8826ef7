//! Disk usage of containers: the writable layer and the logs, walked in the background and never in a scrape.

use std::time::{Duration, Instant};

use hostfs::Root;

/// How walking goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether anything is walked at all.
    pub enabled: bool,
    /// The least time from the start of one round to the next.
    pub interval: Duration,
    /// The most directory entries in a second.
    pub entries_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { enabled: true, interval: Duration::from_secs(60), entries_per_second: 5000 }
    }
}

/// What of a container lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The container's id.
    pub id: String,
    /// The writable layer's directory on the host, if the runtime tells it.
    pub writable: Option<String>,
    /// The directory of its logs on the host.
    pub logs: Option<String>,
}

/// What was found of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Layer and logs, in bytes on disk.
    pub bytes: u64,
    /// Files, directories and links in the layer.
    pub inodes: u64,
    /// The number of the device that holds the layer.
    pub device: (u32, u32),
    /// The size of the filesystem that holds the layer, in bytes.
    pub capacity: u64,
    /// Inodes of that filesystem.
    pub capacity_inodes: u64,
    /// Free inodes of that filesystem.
    pub free_inodes: u64,
    /// When the walk ended.
    pub at: Instant,
}

/// The disk usage of all containers.
#[derive(Debug)]
pub struct Usage {}

impl Usage {
    /// Takes the root that stands for the host's `/`; nothing is walked yet.
    pub fn new(_rootfs: &Root, _settings: Settings) -> Self {
        unimplemented!()
    }

    /// A scrape wants the numbers. If they are old, a round begins in the background, of the layers that `layers` gives.
    pub fn want(&self, _layers: impl FnOnce() -> Vec<Layer>) {}

    /// What the last walk found of a container.
    pub fn of(&self, _id: &str) -> Option<Measured> {
        unimplemented!()
    }

    /// Every container's result, or why there is none: for `/validate/`.
    pub fn report(&self) -> Vec<(String, Result<Measured, String>)> {
        unimplemented!()
    }
}
