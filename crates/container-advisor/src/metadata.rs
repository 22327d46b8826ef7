//! What a container runtime knows of containers, by id: names, labels, state. Kept by events, read at every scrape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker, by its API.
    Docker,
    /// Podman, by its Docker-compatible API.
    Podman,
    /// containerd, known by the name of the cgroup alone.
    Containerd,
    /// CRI-O, known by the name of the cgroup alone.
    Crio,
}

/// A container's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the API's own words")]
pub enum State {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

/// What a container's health check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the API's own words")]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

/// Whose network a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Its own.
    Own,
    /// The machine's.
    Host,
    /// None but the loopback.
    None,
    /// That of another container.
    Container,
}

/// The most labels of a container that are kept, and the most variables of its environment: the first in order.
pub const LABELS_MOST: usize = 1024;
/// The most bytes of a label's value that are kept: a longer one is cut between two letters. A label with a longer key is left out.
pub const LABEL_MOST: usize = 4 << 10;
/// The most bytes of an environment variable's value that are kept: a longer one is cut between two letters.
pub const ENV_MOST: usize = 64 << 10;

/// What the runtime's API says of one container, running or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Who runs it.
    pub runtime: Runtime,
    /// Without the leading slash.
    pub name: String,
    /// As it was given when the container was made: `nginx:latest`.
    pub image: String,
    /// Labels of the container and its image, in order of key: as they are, within [`LABELS_MOST`] and [`LABEL_MOST`].
    pub labels: Vec<(String, String)>,
    /// Environment variables whose names the settings allow, in order of name, in small letters; within [`LABELS_MOST`] and [`ENV_MOST`].
    pub env: Vec<(String, String)>,
    /// Made, in seconds since 1970.
    pub created: Option<f64>,
    /// Last started, in seconds since 1970.
    pub started: Option<f64>,
    /// Last ended, in seconds since 1970.
    pub finished: Option<f64>,
    /// Its life.
    pub state: State,
    /// `None` without a health check.
    pub health: Option<Health>,
    /// Restarts by the restart policy.
    pub restart_count: Option<u64>,
    /// Of the last end.
    pub exit_code: Option<i64>,
    /// Whether the OOM killer was at work in its last life, as the runtime says.
    pub oom_killed: Option<bool>,
    /// The first process's id in the runtime's PID namespace; 0 if it does not run.
    pub pid: u32,
    /// Whose network it uses.
    pub network: Network,
    /// The writable layer's directory on the host, where the storage driver tells: overlay2's UpperDir.
    pub writable_layer: Option<String>,
    /// The storage driver: `overlay2`, `overlayfs` for containerd's image store, `btrfs`, `zfs`, `overlay` for Podman.
    pub storage_driver: String,
}

/// How the connection to one runtime stands, for `/validate/` and the pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// The socket or address.
    pub address: String,
    /// Whether the last exchange went well.
    pub is_up: bool,
    /// Why not.
    pub error: Option<String>,
    /// Whether the error is one of permission (EACCES).
    pub is_denied: bool,
    /// The server's version, as it says: `26.1.5`.
    pub version: Option<String>,
    /// The API version in use: `1.45`.
    pub api_version: Option<String>,
    /// The server's storage driver, cgroup driver and root, as `info` says.
    pub storage_driver: Option<String>,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: Option<String>,
    /// `/var/lib/docker`.
    pub root: Option<String>,
    /// The server's operating system and kernel, as it says.
    pub operating_system: Option<String>,
    /// Images it has, if it says.
    pub images: Option<u64>,
}

/// Everything that the runtimes say, shared by the watchers that write it and the scrapes that read it.
#[derive(Debug, Default)]
pub struct Directory {
    inner: Mutex<Inner>,
    /// Wakes the watchers: a scrape took place.
    wanted: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Inner {
    containers: BTreeMap<String, Arc<Metadata>>,
    connections: BTreeMap<Runtime, Connection>,
    /// Ids that a scrape saw in the cgroup tree and that are not here.
    unknown: Vec<String>,
    scrapes: u64,
    generation: u64,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind the lock is whole between any two statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rises with each change, so that what is made from the containers is made anew only then.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// What is known of a container.
    pub fn get(&self, id: &str) -> Option<Arc<Metadata>> {
        self.lock().containers.get(id).cloned()
    }

    /// Every container, running or not, in order of id.
    pub fn all(&self) -> Vec<Arc<Metadata>> {
        self.lock().containers.values().cloned().collect()
    }

    /// How the connections stand.
    pub fn connections(&self) -> Vec<(Runtime, Connection)> {
        self.lock().connections.iter().map(|(runtime, connection)| (*runtime, connection.clone())).collect()
    }

    /// Puts the server's version into `version`, which is left empty if it is not known. Allocates nothing if `version` has the room.
    pub fn version_into(&self, runtime: Runtime, version: &mut String) {
        version.clear();
        let inner = self.lock();
        let connection = inner.connections.get(&runtime);
        version.push_str(connection.and_then(|connection| connection.version.as_deref()).unwrap_or_default());
    }

    /// Adds or replaces a container.
    pub fn put(&self, metadata: Metadata) {
        let mut inner = self.lock();
        if inner.containers.get(&metadata.id).is_some_and(|old| **old == metadata) {
            return;
        }
        inner.generation += 1;
        inner.unknown.retain(|id| *id != metadata.id);
        inner.containers.insert(metadata.id.clone(), Arc::new(metadata));
    }

    /// Forgets a container.
    pub fn remove(&self, id: &str) {
        let mut inner = self.lock();
        if inner.containers.remove(id).is_some() {
            inner.generation += 1;
        }
    }

    /// Forgets the containers of a runtime that `keeps` refuses.
    pub fn retain(&self, runtime: Runtime, mut keeps: impl FnMut(&Metadata) -> bool) {
        let mut inner = self.lock();
        let before = inner.containers.len();
        inner.containers.retain(|_, metadata| metadata.runtime != runtime || keeps(metadata));
        if inner.containers.len() != before {
            inner.generation += 1;
        }
    }

    /// Notes how a connection stands.
    pub fn connection(&self, runtime: Runtime, change: impl FnOnce(&mut Connection)) {
        change(self.lock().connections.entry(runtime).or_default());
    }

    /// Tells the watchers of containers that a scrape found in the cgroup tree and that are not here, and that a scrape took place.
    /// Allocates nothing if they are those of the last time.
    pub fn scraped(&self, unknown: impl Iterator<Item: AsRef<str>>) {
        // The iterator may well look into this directory: it runs outside the lock.
        let mut ids = std::mem::take(&mut self.lock().unknown);
        let mut count = 0;
        for id in unknown {
            match ids.get_mut(count) {
                Some(kept) => id.as_ref().clone_into(kept),
                None => ids.push(id.as_ref().to_owned()),
            }
            count += 1;
        }
        ids.truncate(count);
        let mut inner = self.lock();
        inner.unknown = ids;
        inner.scrapes += 1;
        drop(inner);
        self.wanted.notify_waiters();
    }

    /// The containers that the last scrape found and that are not here.
    pub fn unknown(&self) -> Vec<String> {
        self.lock().unknown.clone()
    }

    /// Returns once there was a scrape after the one that `seen` counts, which starts at 0 and is brought up to date: a scrape that
    /// took place while the watcher was busy counts too.
    pub async fn next_scrape(&self, seen: &mut u64) {
        loop {
            let mut woken = std::pin::pin!(self.wanted.notified());
            // From here on a wake is not lost.
            woken.as_mut().enable();
            let scrapes = self.lock().scrapes;
            if scrapes != *seen {
                *seen = scrapes;
                return;
            }
            woken.await;
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A container that was made and never started.
    pub(crate) fn metadata(id: &str, name: &str) -> Metadata {
        Metadata {
            id: id.to_owned(),
            runtime: Runtime::Docker,
            name: name.to_owned(),
            image: String::new(),
            labels: Vec::new(),
            env: Vec::new(),
            created: None,
            started: None,
            finished: None,
            state: State::Created,
            health: None,
            restart_count: None,
            exit_code: None,
            oom_killed: None,
            pid: 0,
            network: Network::Own,
            writable_layer: None,
            storage_driver: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scrape_while_the_watcher_is_busy_is_not_lost() {
        let directory = Arc::new(Directory::default());
        directory.scraped(["a".to_owned()].into_iter());
        let mut seen = 0;
        directory.next_scrape(&mut seen).await;
        assert_eq!((seen, directory.unknown()), (1, vec!["a".to_owned()]));
        let waiting = tokio::spawn({
            let directory = Arc::clone(&directory);
            async move { directory.next_scrape(&mut seen).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "there was no other scrape");
        directory.scraped(std::iter::empty::<&str>());
        waiting.await.expect("the next scrape");
    }

    #[test]
    fn the_generation_rises_with_changes_alone() {
        let directory = Directory::default();
        let seen = ["a".to_owned(), "b".to_owned()].into_iter();
        directory.scraped(seen.filter(|id| directory.get(id).is_none()));
        directory.put(testing::metadata("a", "web"));
        directory.put(testing::metadata("a", "web"));
        assert_eq!((directory.generation(), directory.unknown()), (1, vec!["b".to_owned()]));
        directory.retain(Runtime::Podman, |_| false);
        directory.retain(Runtime::Docker, |_| true);
        directory.remove("b");
        assert_eq!((directory.generation(), directory.all().len()), (1, 1));
        directory.put(testing::metadata("a", "db"));
        directory.retain(Runtime::Docker, |metadata| metadata.name != "db");
        assert_eq!((directory.generation(), directory.all().len()), (3, 0));
    }
}
