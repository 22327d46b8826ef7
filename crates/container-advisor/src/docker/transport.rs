//! HTTP to the runtime's socket, for `bollard`: its own transports never send the API's version, and read an answer however long it is.
//!
//! A call takes a connection that is free, or makes one; at most [`IDLE`] stay for the next call of a burst and [`Transport::rest`] closes
//! them after it. What a connection may take in for one answer is bounded, and so is what comes between two events.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bollard::errors::Error;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

/// The most bytes of an answer, its head and framing included.
pub(super) const MOST: usize = 16 << 20;
/// The most bytes from one event to the next: each piece that arrives has the decoder read the whole event again.
const MOST_EVENT: usize = 2 << 20;
/// Connections that are kept for the next call.
const IDLE: usize = 4;

/// Where a runtime listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket's path.
    Unix(String),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    /// Reads `unix:///path`, `/path`, `tcp://host:port` or `http://host:port`. Errors are for whoever wrote it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(pair) => pair,
            None if text.starts_with('/') => ("unix", text),
            None => {
                return Err(format!(
                    "{text:?} is no address: unix:///path, tcp://host:port or http://host:port"
                ));
            }
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.to_owned())),
            "unix" => Err(format!("{text:?} has no absolute path")),
            "tcp" | "http" => {
                let authority = rest.strip_suffix('/').unwrap_or(rest);
                let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty());
                let has_port = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0));
                if has_port
                    && !authority.contains(['/', '@', '?', '#'])
                    && HeaderValue::from_str(authority).is_ok()
                {
                    Ok(Self::Tcp(authority.to_owned()))
                } else {
                    Err(format!("{text:?} is not a host and a port alone"))
                }
            }
            "https" => Err(format!(
                "{text:?}: TLS to the runtime is not supported: use its socket, or a proxy beside it"
            )),
            _ => Err(format!("{text:?}: neither unix, tcp nor http")),
        }
    }

    fn host(&self) -> HeaderValue {
        match self {
            Self::Tcp(authority) => HeaderValue::from_str(authority).ok(),
            Self::Unix(_) => None,
        }
        .unwrap_or(const { HeaderValue::from_static("localhost") })
    }
}

type Sender = SendRequest<Empty<Bytes>>;

/// Makes the calls.
#[derive(Debug)]
pub(super) struct Transport {
    address: Address,
    host: HeaderValue,
    state: Mutex<State>,
    /// Bytes that the event stream may still take in.
    event_budget: Budget,
    /// Wakes whoever subscribed once the event stream's head is here.
    pub(super) subscribed: Notify,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Idle>,
    /// What goes before each path: `/v1.41`.
    prefix: String,
    /// The last answer's `Api-Version`.
    api_version: Option<String>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    budget: Budget,
}

impl Transport {
    /// A transport that has made no connection yet.
    pub(super) fn new(address: Address) -> Self {
        Self {
            host: address.host(),
            address,
            state: Mutex::default(),
            event_budget: Budget::default(),
            subscribed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has each path begin with the version, `(1, 41)`, from now on; or with none.
    pub(super) fn speak(&self, version: Option<(u32, u32)>) {
        self.lock().prefix = version.map(|(major, minor)| format!("/v{major}.{minor}")).unwrap_or_default();
    }

    /// The API's version that the last answer's head told of.
    pub(super) fn api_version(&self) -> Option<String> {
        self.lock().api_version.clone()
    }

    /// Closes what is idle.
    pub(super) fn rest(&self) {
        self.lock().idle.clear();
    }

    /// Allows for another event.
    pub(super) fn had_event(&self) {
        self.event_budget.fill(MOST_EVENT);
    }

    /// Makes a call; the path has no version.
    pub(super) async fn call(&self, path: &str) -> Result<Response<Incoming>, Error> {
        let is_stream = path.starts_with("/events");
        let uri = match path {
            "/version" | "/_ping" => Uri::try_from(path),
            _ => Uri::try_from(self.lock().prefix.clone() + path),
        }?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        request.headers_mut().insert(HOST, self.host.clone());
        let mut answered = None;
        while !is_stream
            && answered.is_none()
            && let Some(mut free) = self.free()
        {
            free.budget.fill(MOST);
            // The other side may close a connection that waits, and that is no fault.
            if let Ok(response) = free.sender.send_request(request.clone()).await {
                answered = Some((free, response));
            }
        }
        let (connection, response) = match answered {
            Some(answered) => answered,
            None => {
                let mut made = self
                    .connect(if is_stream { self.event_budget.clone() } else { Budget::default() })
                    .await?;
                made.budget.fill(if is_stream { MOST_EVENT } else { MOST });
                let response = made.sender.send_request(request).await?;
                (made, response)
            }
        };
        let version = response.headers().get("api-version").and_then(|version| version.to_str().ok());
        let mut state = self.lock();
        if let Some(version) = version {
            state.api_version = Some(version.to_owned());
        }
        if is_stream {
            if response.status().is_success() {
                self.subscribed.notify_one();
            }
        } else if state.idle.len() < IDLE {
            state.idle.push(connection);
        }
        Ok(response)
    }

    /// A connection whose last answer was read to its end.
    fn free(&self) -> Option<Idle> {
        let mut state = self.lock();
        state.idle.retain(|idle| !idle.sender.is_closed());
        let place = state.idle.iter().position(|idle| idle.sender.is_ready())?;
        Some(state.idle.swap_remove(place))
    }

    async fn connect(&self, budget: Budget) -> Result<Idle, Error> {
        let stream: Box<dyn Stream> = match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(authority) => Box::new(TcpStream::connect(authority).await?),
        };
        budget.fill(MOST);
        let (sender, connection) =
            http1::handshake(TokioIo::new(Bounded { stream, budget: budget.clone() })).await?;
        // Ends with the last of the sender and the answer's body. What goes wrong with it, the call is told.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Idle { sender, budget })
    }

    /// As [`Transport::call`], of a request that `bollard` made.
    pub(super) async fn request(
        &self,
        request: bollard::BollardRequest,
    ) -> Result<Response<Incoming>, Error> {
        debug_assert_eq!(request.method(), hyper::Method::GET);
        debug_assert!(request.headers().keys().all(|name| name == CONTENT_TYPE));
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        self.call(path).await
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// How many bytes may still come in.
#[derive(Debug, Clone, Default)]
struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn fill(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(bytes) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than is read"));
        };
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// A connection that ends when its budget does.
struct Bounded {
    stream: Box<dyn Stream>,
    budget: Budget,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        Poll::Ready(self.budget.take(buf.filled().len() - before))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, address) in [
            ("unix:///var/run/docker.sock", Address::Unix("/var/run/docker.sock".to_owned())),
            ("/run/podman/podman.sock", Address::Unix("/run/podman/podman.sock".to_owned())),
            ("tcp://proxy:2375", Address::Tcp("proxy:2375".to_owned())),
            ("http://[::1]:2375/", Address::Tcp("[::1]:2375".to_owned())),
        ] {
            assert_eq!(Address::parse(text), Ok(address));
        }
        for (text, error) in [
            ("docker.sock", "is no address"),
            ("unix://docker.sock", "no absolute path"),
            ("tcp://proxy", "not a host and a port"),
            ("tcp://:2375", "not a host and a port"),
            ("tcp://proxy:0", "not a host and a port"),
            ("http://user@proxy:2375", "not a host and a port"),
            ("http://proxy:2375/docker", "not a host and a port"),
            ("https://proxy:2376", "TLS"),
            ("ssh://proxy", "neither unix, tcp nor http"),
        ] {
            let said = Address::parse(text).unwrap_err();
            assert!(said.contains(error) && said.contains(text), "{text}: {said}");
        }
    }
}
