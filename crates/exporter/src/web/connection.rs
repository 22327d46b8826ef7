//! One connection: hyper's HTTP/1.1, watched so that no peer holds it by doing nothing.
//!
//! hyper has one timeout for a slow request head and for an idle connection. A scraper keeps its connection idle for minutes, a
//! slow head should be over in seconds; so both are measured here, from the bytes that pass, and so is a response that nobody reads.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How long a peer may do nothing, phase by phase.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between the first and the last byte of a request's head, and again of its body.
    pub head: Duration,
    /// Between two requests: longer than any usual scrape interval, so that a scraper keeps its connection.
    pub idle: Duration,
    /// Without the peer taking a byte of the response.
    pub stall: Duration,
    /// In each of these, while there is no place for another connection.
    pub crowded: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            stall: Duration::from_secs(30),
            crowded: Duration::from_secs(1),
        }
    }
}

impl Patience {
    fn cut(self) -> Self {
        let Patience { head, idle, stall, crowded } = self;
        Patience { head: head.min(crowded), idle: idle.min(crowded), stall: stall.min(crowded), crowded }
    }
}

/// The most bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// The most bytes of a request's body.
const BODY_BYTES: usize = 64 * 1024;

/// Serves one connection until it ends, stalls, or `stop` says to finish. `waiting` is how many listeners have no place for another one.
pub(super) async fn serve<F>(
    stream: TcpStream,
    patience: Patience,
    answer: impl Fn(Request<Upload>) -> F,
    mut stop: watch::Receiver<bool>,
    mut waiting: watch::Receiver<usize>,
) where
    F: Future<Output = Response<Full<Bytes>>>,
{
    // Answers are written whole: waiting to fill a packet only adds delay.
    let _ = stream.set_nodelay(true);
    // Whoever connects has a request to make: one that says nothing does not get the time of a scraper between two scrapes.
    let phase = Arc::new(Mutex::new(Phase::Head(Instant::now())));
    let watched = Watched { stream, phase: Arc::clone(&phase) };
    let service = service_fn(|request| {
        set(&phase, Phase::Answering);
        let answer = answer(request.map(|body| Upload { body, phase: Arc::clone(&phase) }));
        let phase = &phase;
        async move {
            let response = answer.await;
            set(phase, Phase::Writing(Instant::now()));
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        http1::Builder::new().max_buf_size(HEAD_BYTES).serve_connection(TokioIo::new(watched), service);
    tokio::pin!(connection);
    tokio::select! {
        // What a peer did wrong is of no interest to anyone here.
        _ = connection.as_mut() => return,
        () = expired(&phase, patience, &mut waiting) => return,
        _ = stop.wait_for(|&stop| stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = expired(&phase, patience, &mut waiting) => {}
    }
}

/// A request's body, still on its way.
pub(super) struct Upload {
    body: Incoming,
    phase: Arc<Mutex<Phase>>,
}

impl Upload {
    /// The whole body. A peer that takes longer than for a head loses its connection.
    ///
    /// # Errors
    /// The status to answer: the body is too long, or broken.
    pub(super) async fn read(self) -> Result<Bytes, StatusCode> {
        set(&self.phase, Phase::Head(Instant::now()));
        let body = Limited::new(self.body, BODY_BYTES).collect().await;
        set(&self.phase, Phase::Answering);
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// No byte of a request since.
    Idle(Instant),
    /// The connection was made, or the first byte of a request came, or its body was asked for, then.
    Head(Instant),
    /// The head is complete; the answer has its own deadline.
    Answering,
    /// The peer last took a byte then.
    Writing(Instant),
}

fn lock(phase: &Mutex<Phase>) -> MutexGuard<'_, Phase> {
    phase.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(phase: &Mutex<Phase>, to: Phase) {
    *lock(phase) = to;
}

/// Returns when the connection has been in its phase for too long.
async fn expired(phase: &Mutex<Phase>, patience: Patience, waiting: &mut watch::Receiver<usize>) {
    loop {
        let patience = if *waiting.borrow_and_update() > 0 { patience.cut() } else { patience };
        let end = match *lock(phase) {
            Phase::Idle(since) => since + patience.idle,
            Phase::Head(since) => since + patience.head,
            Phase::Writing(since) => since + patience.stall,
            Phase::Answering => Instant::now() + patience.head,
        };
        if end <= Instant::now() {
            return;
        }
        // It looks again after the shortest time that a phase beginning right now may last, instead of being told of each.
        let look = end.min(Instant::now() + patience.head);
        tokio::select! {
            () = tokio::time::sleep_until(look.into()) => {}
            Ok(()) = waiting.changed() => {}
        }
    }
}

/// A stream that tells what passes through it.
struct Watched {
    stream: TcpStream,
    phase: Arc<Mutex<Phase>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let mut phase = lock(&self.phase);
        if buf.filled().len() > before && matches!(*phase, Phase::Idle(_)) {
            *phase = Phase::Head(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl Watched {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut phase = lock(&self.phase);
        if result.is_ready() || !matches!(*phase, Phase::Writing(_)) {
            *phase = Phase::Writing(Instant::now());
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when a response is written to its end.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        let mut phase = lock(&self.phase);
        if matches!(*phase, Phase::Writing(_)) {
            *phase = Phase::Idle(Instant::now());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
