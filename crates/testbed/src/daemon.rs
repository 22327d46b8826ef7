//! A Docker daemon that has no containers but those a test makes up, and every fault that a test asks for.
//!
//! HTTP/1.1 on a unix socket, a thread for each connection: enough for a client that asks for a version, a list, inspections and events.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What goes wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is none, and the connection stays.
    Silent,
    /// The connection is closed instead.
    Close,
    /// It is this status.
    Status(u16),
    /// Its body is this.
    Body(String),
    /// The body's second chunk breaks off.
    Cut,
    /// The body has so many bytes of spaces before it ends.
    Huge(u64),
    /// It comes late.
    Slow(Duration),
}

#[derive(Debug, Default)]
struct State {
    /// By id: the line in the list, and the inspection.
    containers: BTreeMap<String, (String, String)>,
    version: String,
    info: String,
    /// By the path's end, without the query.
    faults: Vec<(String, Fault)>,
    /// Request targets in order, with version and query.
    requests: Vec<String>,
    connections: BTreeMap<u64, UnixStream>,
    accepted: u64,
    streams: Vec<UnixStream>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A daemon. Ends when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    path: PathBuf,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Listens on a socket at a path, as API 1.45.
    pub fn start(path: &Path) -> Self {
        let mut daemon = Self::absent(path);
        daemon.appear();
        daemon
    }

    /// Does not listen yet.
    pub fn absent(path: &Path) -> Self {
        let state = State {
            version: r#"{"Version":"26.1.5","ApiVersion":"1.45","MinAPIVersion":"1.24"}"#.to_owned(),
            info: r#"{"Driver":"overlay2","CgroupDriver":"systemd","DockerRootDir":"/var/lib/docker","OperatingSystem":"Debian","KernelVersion":"6.12","Images":3}"#.to_owned(),
            ..State::default()
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Self { path: path.to_owned(), shared, listener: None }
    }

    /// Listens, on a new socket.
    pub fn appear(&mut self) {
        assert!(self.listener.is_none(), "it listens");
        let listener = UnixListener::bind(&self.path).unwrap();
        self.lock().is_over = false;
        let shared = Arc::clone(&self.shared);
        self.listener = Some(thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let mut state = shared.state.lock().unwrap();
                if state.is_over {
                    return;
                }
                state.accepted += 1;
                let number = state.accepted;
                state.connections.insert(number, connection.try_clone().unwrap());
                drop(state);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&shared, number, &connection));
            }
        }));
    }

    /// Closes all connections and removes the socket.
    pub fn vanish(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        let mut state = self.lock();
        state.is_over = true;
        state.streams.clear();
        for connection in std::mem::take(&mut state.connections).into_values() {
            drop(connection.shutdown(Shutdown::Both));
        }
        drop(state);
        self.shared.changed.notify_all();
        drop(UnixStream::connect(&self.path));
        listener.join().unwrap();
        fs::remove_file(&self.path).unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// What it says of its version.
    pub fn version(&self, json: &str) {
        json.clone_into(&mut self.lock().version);
    }

    /// Has a container with its line in the list and its inspection, or has them replaced.
    pub fn container(&self, id: &str, line: &str, inspection: &str) {
        self.lock().containers.insert(id.to_owned(), (line.to_owned(), inspection.to_owned()));
    }

    /// Has a container that runs, or another state of the API's, since 2026.
    pub fn simple(&self, id: &str, name: &str, state: &str) {
        self.container(
            id,
            &format!(r#"{{"Id":"{id}","Names":["/{name}"],"State":"{state}","Status":"?","Labels":{{"app":"{name}"}}}}"#),
            &format!(
                r#"{{"Id":"{id}","Name":"/{name}","Created":"2026-01-01T00:00:00Z","RestartCount":0,"Driver":"overlay2","State":{{"Status":"{state}","Running":{},"Pid":7,"ExitCode":0,"StartedAt":"2026-01-01T00:00:01.5Z","FinishedAt":"0001-01-01T00:00:00Z"}},"Config":{{"Image":"{name}:1","Env":["APP_X=1"],"Labels":{{"app":"{name}"}}}},"HostConfig":{{"NetworkMode":"bridge"}}}}"#,
                state == "running"
            ),
        );
    }

    /// Does not have it any more.
    pub fn remove(&self, id: &str) {
        self.lock().containers.remove(id);
    }

    /// Tells the subscribers of something: `start`, `health_status: healthy`.
    pub fn event(&self, id: &str, action: &str) {
        self.raw_event(&format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{}}}},"scope":"local","time":1,"timeNano":1}}"#));
    }

    /// Sends the subscribers a line.
    pub fn raw_event(&self, line: &str) {
        let mut state = self.lock();
        let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
        state.streams.retain_mut(|stream| stream.write_all(chunk.as_bytes()).is_ok());
    }

    /// Sends no more events to who has subscribed, whose connections stay.
    pub fn mute(&self) {
        self.lock().streams.clear();
    }

    /// Closes the connections of the subscribers.
    pub fn end_streams(&self) {
        for stream in self.lock().streams.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Has answers go wrong where the path, without version and query, ends so; the empty end is every path's.
    pub fn fault(&self, end: &str, fault: Fault) {
        self.lock().faults.push((end.to_owned(), fault));
    }

    /// Nothing goes wrong any more; what was not answered is.
    pub fn heal(&self) {
        self.lock().faults.clear();
        self.shared.changed.notify_all();
    }

    /// Request targets so far, in order.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// How many requests so far had a path, without version and query, with such an end.
    pub fn count(&self, end: &str) -> usize {
        self.lock().requests.iter().filter(|target| bare(target).ends_with(end)).count()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.lock().connections.len()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.vanish();
    }
}

/// A path without version and query.
fn bare(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or("");
    match path.strip_prefix("/v").and_then(|rest| rest.find('/').map(|at| &rest[at..])) {
        Some(rest) if path.starts_with("/v1.") => rest,
        _ => path,
    }
}

fn serve(shared: &Shared, number: u64, connection: &UnixStream) {
    let mut reader = BufReader::new(connection);
    while let Some(target) = request(&mut reader) {
        if answer(shared, connection, &target).is_none() {
            break;
        }
    }
    drop(connection.shutdown(Shutdown::Both));
    shared.state.lock().unwrap().connections.remove(&number);
}

fn request(reader: &mut BufReader<&UnixStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let target = line.split(' ').nth(1)?.to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            return Some(target);
        }
    }
}

/// `None` if the connection is to be closed.
fn answer(shared: &Shared, mut connection: &UnixStream, target: &str) -> Option<()> {
    let path = bare(target);
    let mut state = shared.state.lock().unwrap();
    state.requests.push(target.to_owned());
    let fault = loop {
        let fault =
            state.faults.iter().find(|(end, _)| path.ends_with(end.as_str())).map(|(_, fault)| fault.clone());
        if fault != Some(Fault::Silent) || state.is_over {
            break fault;
        }
        drop(shared.changed.wait_timeout(state, Duration::from_millis(5)).unwrap());
        // Whoever does not wait for the answer any more is let go.
        connection.set_nonblocking(true).ok()?;
        let is_gone = connection.read(&mut [0]).is_ok_and(|read| read == 0);
        connection.set_nonblocking(false).ok()?;
        if is_gone {
            return None;
        }
        state = shared.state.lock().unwrap();
    };
    if path == "/events" && fault.is_none() {
        connection.write_all(HEAD_CHUNKED).ok()?;
        state.streams.push(connection.try_clone().ok()?);
        return Some(());
    }
    let inspected = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
    let body = match path {
        "/_ping" => Some("OK".to_owned()),
        "/events" => Some(String::new()),
        "/version" => Some(state.version.clone()),
        "/info" => Some(state.info.clone()),
        "/containers/json" => {
            let lines: Vec<&str> = state.containers.values().map(|(line, _)| line.as_str()).collect();
            Some(format!("[{}]", lines.join(",")))
        }
        _ => inspected.and_then(|id| Some(state.containers.get(id)?.1.clone())),
    };
    drop(state);
    let (mut status, mut body) = match body {
        Some(body) => (200, body),
        None => (404, r#"{"message":"no such container"}"#.to_owned()),
    };
    match fault {
        None | Some(Fault::Silent) => {}
        Some(Fault::Close) => return None,
        Some(Fault::Status(other)) => (status, body) = (other, r#"{"message":"a secret"}"#.to_owned()),
        Some(Fault::Body(other)) => body = other,
        Some(Fault::Slow(delay)) => thread::sleep(delay),
        Some(Fault::Cut) => {
            connection.write_all(HEAD_CHUNKED).ok()?;
            connection.write_all(b"4\r\n[{\"I\r\nff\r\nd\":\"").ok()?;
            return None;
        }
        Some(Fault::Huge(mut bytes)) => {
            write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").ok()?;
            while bytes > 0 {
                let piece = bytes.min(1 << 16);
                connection.write_all(&vec![b' '; usize::try_from(piece).unwrap()]).ok()?;
                bytes -= piece;
            }
            return Some(());
        }
    }
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write_all((head + &body).as_bytes()).ok()
}

const HEAD_CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nTransfer-Encoding: chunked\r\n\r\n";
