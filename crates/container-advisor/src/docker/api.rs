//! The few calls that the watcher makes, each within its time, and what can go wrong with them.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, EventMessage, SystemInfo};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures_util::{FutureExt, Stream, StreamExt};
use http_body_util::BodyExt;
use serde::Deserialize;

use super::model;
use super::status::Listed;
use super::transport::{Address, Transport};

/// The version that this is written for: the first in which a container has its `Storage`.
const OURS: (u32, u32) = (1, 52);
/// The least version of this API that anybody speaks.
const LEAST: (u32, u32) = (1, 24);

/// What of a container's life changes what we say of it. Docker filters by these as prefixes once `health_status` is among them, so
/// nobody's `exec_create` is sent. `died` and `remove` are Podman's.
const EVENTS: [&str; 14] = [
    "create",
    "start",
    "restart",
    "die",
    "died",
    "stop",
    "destroy",
    "remove",
    "rename",
    "pause",
    "unpause",
    "oom",
    "health_status",
    "update",
];

/// Why a call has no result. Says nothing of what was answered: an answer may quote secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection.
    Unreachable(io::ErrorKind, String),
    /// No answer in time.
    Silent,
    /// A connection that is closed instead of an answer.
    Lost(String),
    /// An answer that says no.
    Status(u16),
    /// An answer that breaks off, is too long, or means nothing.
    Garbled(String),
    /// The event stream's end.
    Ended,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(_, cause) | Self::Lost(cause) | Self::Garbled(cause) => f.write_str(cause),
            Self::Silent => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Ended => f.write_str("the event stream ended"),
        }
    }
}

impl Fault {
    /// Whether nobody is there to talk to.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Unreachable(..) | Self::Silent | Self::Lost(_))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, .. } => Self::Status(status_code),
            Error::JsonDataError { column, .. } => {
                Self::Garbled(format!("not the expected JSON, at column {column}"))
            }
            Error::JsonSerdeError { err } => Self::Garbled(format!("not JSON, at column {}", err.column())),
            Error::IOError { err } if err.kind() == io::ErrorKind::InvalidData => {
                Self::Garbled("no text".to_owned())
            }
            Error::IOError { err } => Self::Unreachable(err.kind(), err.to_string()),
            Error::RequestTimeoutError => Self::Silent,
            Error::HyperResponseError { err } => {
                let is_reset =
                    err.source().and_then(|cause| cause.downcast_ref::<io::Error>()).is_some_and(|cause| {
                        matches!(cause.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
                    });
                let is_lost = is_reset || err.is_incomplete_message() || err.is_canceled() || err.is_closed();
                let mut text = err.to_string();
                let mut source = err.source();
                while let Some(cause) = source {
                    // Writing to a string does not fail.
                    let _ = write!(text, ": {cause}");
                    source = cause.source();
                }
                if is_lost { Self::Lost(text) } else { Self::Garbled(text) }
            }
            _ => Self::Garbled("not understood".to_owned()),
        }
    }
}

/// What a runtime says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Server {
    pub(super) version: Option<String>,
    pub(super) api_version: Option<(u32, u32)>,
}

/// Events as they come.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<EventMessage, Error>> + Send>>;

/// A runtime's API.
#[derive(Debug)]
pub(super) struct Api {
    docker: Docker,
    transport: Arc<Transport>,
    /// The time of a call.
    patience: Duration,
    /// Whether `bollard` refused a list for a word in it, so that the next is not asked for twice.
    reads_lists_loosely: AtomicBool,
}

impl Api {
    /// Makes no call yet. Errors are those of `bollard`.
    pub(super) fn new(address: Address, patience: Duration) -> Result<Self, Error> {
        let transport = Arc::new(Transport::new(address));
        let shared = Arc::clone(&transport);
        let docker = Docker::connect_with_custom_transport(
            move |request| {
                let transport = Arc::clone(&shared);
                async move { transport.request(request).await }
            },
            Some("http://localhost"),
            // Ours is the one that counts: this ends with an answer's head.
            u64::from(u32::MAX),
            bollard::API_DEFAULT_VERSION,
        )?;
        Ok(Self { docker, transport, patience, reads_lists_loosely: AtomicBool::new(false) })
    }

    async fn timed<T, E: Into<Fault>>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.patience, call).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(Fault::Silent),
        }
    }

    /// Asks who is there, and settles on a version of the API: ours, or theirs if that is less. A proxy that tells nothing is spoken to
    /// without a version. Errors are those of the connection.
    pub(super) async fn greet(&self) -> Result<Server, Fault> {
        self.transport.rest();
        let (version, theirs, least) = match self.timed(self.docker.version()).await {
            Ok(said) => (said.version, said.api_version, said.min_api_version),
            Err(fault) if fault.is_of_connection() => return Err(fault),
            Err(_) => match self.timed(self.docker.ping()).await {
                Err(fault) if fault.is_of_connection() => return Err(fault),
                _ => (None, self.transport.api_version(), None),
            },
        };
        let theirs = theirs.as_deref().and_then(numbers);
        let api_version = theirs.map(|theirs| agree(theirs, least.as_deref().and_then(numbers)));
        self.transport.speak(api_version);
        Ok(Server { version, api_version })
    }

    /// What the runtime says of the machine.
    pub(super) async fn info(&self) -> Result<SystemInfo, Fault> {
        self.timed(self.docker.info()).await
    }

    /// Subscribes to events; whatever happens after this returns is told.
    pub(super) async fn subscribe(&self) -> Result<Events, Fault> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let filters =
            HashMap::from([("type".to_owned(), words(&["container"])), ("event".to_owned(), words(&EVENTS))]);
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        let mut events: Events = Box::pin(self.docker.events(Some(options)));
        // What an earlier subscription left.
        let _ = self.transport.subscribed.notified().now_or_never();
        // `bollard` makes the call when it is first asked for an event, and says nothing when it was answered.
        let opened = async {
            tokio::select! {
                first = events.next() => match first {
                    Some(Ok(event)) => Ok(Some(event)),
                    Some(Err(error)) => Err(Fault::from(error)),
                    None => Err(Fault::Ended),
                },
                () = self.transport.subscribed.notified() => Ok(None),
            }
        };
        let first = self.timed(opened).await?;
        self.transport.had_event();
        Ok(Box::pin(futures_util::stream::iter(first.map(Ok)).chain(events)))
    }

    /// Allows for another event.
    pub(super) fn had_event(&self) {
        self.transport.had_event();
    }

    /// Closes the connections that wait for another call.
    pub(super) fn rest(&self) {
        self.transport.rest();
    }

    /// Every container, running or not.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, Fault> {
        if !self.reads_lists_loosely.load(Ordering::Relaxed) {
            let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
            match self.timed(self.docker.list_containers(Some(options))).await {
                Ok(list) => {
                    let listed = list.into_iter().filter_map(|one| {
                        Some(Listed {
                            id: one.id.filter(|id| is_id(id))?,
                            names: one.names.unwrap_or_default(),
                            state: one.state.and_then(|state| model::state(state.as_ref())),
                            status: one.status.unwrap_or_default(),
                        })
                    });
                    return Ok(listed.collect());
                }
                // Podman has words for a container's state that `bollard` does not know, and one of them costs the whole list.
                Err(Fault::Garbled(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        let list: Vec<Loose> = self.json("/containers/json?all=true").await?;
        self.reads_lists_loosely.store(true, Ordering::Relaxed);
        let listed = list.into_iter().filter(|one| is_id(&one.id)).map(|one| Listed {
            id: one.id,
            names: one.names.unwrap_or_default(),
            state: one.state.as_deref().and_then(model::state),
            status: one.status.unwrap_or_default(),
        });
        Ok(listed.collect())
    }

    /// One container, by its whole id.
    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Fault> {
        match self.timed(self.docker.inspect_container(id, None)).await {
            Err(fault @ Fault::Garbled(_)) => {
                let said = self.json(&format!("/containers/{id}/json")).await?;
                model::salvage(said).ok_or(fault)
            }
            result => result,
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let call = async {
            let response = self.transport.call(path).await?;
            let status = response.status();
            if !status.is_success() {
                return Err(Fault::Status(status.as_u16()));
            }
            let body = response.into_body().collect().await.map_err(Error::from)?.to_bytes();
            Ok(serde_json::from_slice(&body).map_err(Error::from)?)
        };
        self.timed(call).await
    }
}

/// What we need of a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Loose {
    id: String,
    names: Option<Vec<String>>,
    state: Option<String>,
    status: Option<String>,
}

/// Whether this is a container's id, and so fit for a path.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn agree(theirs: (u32, u32), least: Option<(u32, u32)>) -> (u32, u32) {
    OURS.min(theirs).max(least.unwrap_or(LEAST)).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (theirs, least, agreed) in [
            ((1, 41), Some((1, 12)), (1, 41)),
            ((1, 45), Some((1, 24)), (1, 45)),
            ((1, 53), Some((1, 44)), OURS),
            ((1, 70), Some((1, 60)), (1, 60)),
            ((1, 18), None, LEAST),
            ((2, 0), None, OURS),
        ] {
            assert_eq!(agree(theirs, least), agreed, "{theirs:?}");
        }
        for (text, expected) in
            [("1.41", Some((1, 41))), ("1", None), ("1.x", None), ("", None), ("1.41.2", None)]
        {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }

    #[test]
    fn ids() {
        assert!(is_id(&"0a".repeat(32)));
        for no in ["", "0a", &"0A".repeat(32), &"../".repeat(22)[..64], &"0a".repeat(33)] {
            assert!(!is_id(no), "{no}");
        }
    }
}
