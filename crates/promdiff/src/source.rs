//! Where an exposition comes from: a file, standard input, or an exporter.

use std::io::{self, BufRead, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use exporter::text::parse::{Exposition, parse};

/// The most that is read of anything, in bytes.
const CAP: u64 = 256 << 20;

/// An argument of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`.
    Stdin,
    /// An `http://` URL.
    Url(Url),
    /// Anything else.
    File(String),
}

/// An `http://` URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// As in a Host header: with the port, if one was given.
    host: String,
    /// What to connect to.
    address: (String, u16),
    path: String,
}

impl Source {
    pub(crate) fn new(argument: &str) -> Result<Self, String> {
        if argument == "-" {
            return Ok(Source::Stdin);
        }
        if argument.starts_with("https://") {
            return Err(format!(
                "{argument}: only http:// is read; pipe it in: curl -s {argument} | promdiff - ..."
            ));
        }
        match argument.strip_prefix("http://") {
            Some(rest) => Url::new(rest).map(Source::Url).ok_or_else(|| format!("{argument}: not a URL")),
            None => Ok(Source::File(argument.to_owned())),
        }
    }

    pub(crate) fn is_url(&self) -> bool {
        matches!(self, Source::Url(_))
    }

    /// Reads and parses it.
    pub(crate) fn read(&self, timeout: Duration) -> Result<Exposition, String> {
        let bytes = match self {
            Source::Stdin => capped(io::stdin().lock()),
            Source::File(path) => std::fs::File::open(path).and_then(capped),
            Source::Url(url) => url.get(timeout),
        }
        .map_err(|error| format!("{self}: {error}"))?;
        let exposition = parse(&bytes).map_err(|error| format!("{self}: {error}"))?;
        if exposition.families.is_empty() {
            return Err(format!("{self}: no metrics"));
        }
        Ok(exposition)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Stdin => f.write_str("standard input"),
            Source::File(path) => f.write_str(path),
            Source::Url(Url { host, path, .. }) => write!(f, "http://{host}{path}"),
        }
    }
}

fn capped(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(CAP + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CAP { Err(io::Error::other("longer than 256 MiB")) } else { Ok(bytes) }
}

impl Url {
    /// From what follows `http://`. No path is `/metrics`.
    fn new(rest: &str) -> Option<Self> {
        let (host, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/metrics{}", &rest[at..])),
            None => (rest, "/metrics".to_owned()),
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()?),
            _ => (host, 80),
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        if bare.is_empty() || bare.contains('@') || host.contains(is_odd) || path.contains(is_odd) {
            return None;
        }
        Some(Url { host: host.to_owned(), address: (bare.to_owned(), port), path })
    }

    /// One GET, over by `timeout`.
    fn get(&self, timeout: Duration) -> io::Result<Vec<u8>> {
        let mut stream = Limited { stream: self.connect(timeout)?, deadline: Instant::now() + timeout };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: promdiff\r\nAccept: text/plain;version=0.0.4\r\n\
             Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
            self.path, self.host
        );
        stream.stream.set_write_timeout(Some(timeout))?;
        stream.stream.write_all(request.as_bytes())?;
        answer(io::BufReader::new(stream))
    }

    fn connect(&self, timeout: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        for address in (self.address.0.as_str(), self.address.1).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A stream whose reads end at a deadline, however slowly the other side answers.
struct Limited {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Limited {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "no whole answer in time");
        let left = self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        self.stream.set_read_timeout(Some(left.ok_or_else(timed_out)?))?;
        self.stream.read(buf).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => timed_out(),
            _ => error,
        })
    }
}

/// The body of an answer, whole or not at all.
fn answer(mut reader: impl BufRead) -> io::Result<Vec<u8>> {
    let status = line(&mut reader)?;
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    match code {
        Some("200") => {}
        Some(code) => return Err(io::Error::other(format!("answered with status {code}"))),
        None => return Err(io::Error::other("answered with something other than HTTP")),
    }
    let (mut length, mut chunked) = (None, false);
    loop {
        let header = line(&mut reader)?;
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = Some(value.parse::<u64>().map_err(|_| io::Error::other("a bad Content-Length"))?);
            }
            "transfer-encoding" => chunked = value.to_ascii_lowercase().ends_with("chunked"),
            "content-encoding" if value != "identity" => {
                return Err(io::Error::other(format!("answered compressed ({value})")));
            }
            _ => {}
        }
    }
    if chunked {
        return chunks(reader);
    }
    let body = capped(reader.take(length.unwrap_or(u64::MAX)))?;
    if length.is_some_and(|length| length != body.len() as u64) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

fn chunks(mut reader: impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(&mut reader)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::Error::other("a bad chunk"))?;
        if size == 0 {
            return Ok(body);
        }
        if size > CAP - body.len() as u64 {
            return Err(io::Error::other("longer than 256 MiB"));
        }
        let before = body.len() as u64;
        reader.by_ref().take(size).read_to_end(&mut body)?;
        if body.len() as u64 - before != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line(&mut reader)?.is_empty() {
            return Err(io::Error::other("a bad chunk"));
        }
    }
}

/// A line of the head, without its end.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    const LONGEST: u64 = 64 << 10;
    let mut bytes = Vec::new();
    reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let url = |text| match Source::new(text) {
            Ok(Source::Url(Url { address: (name, port), path, .. })) => Some((name, port, path)),
            _ => None,
        };
        let parts = |name: &str, port, path: &str| Some((name.to_owned(), port, path.to_owned()));
        assert_eq!(url("http://a:9100/metrics"), parts("a", 9100, "/metrics"));
        assert_eq!(url("http://a"), parts("a", 80, "/metrics"));
        assert_eq!(url("http://a?collect[]=cpu"), parts("a", 80, "/metrics?collect[]=cpu"));
        assert_eq!(url("http://[::1]:9100/"), parts("::1", 9100, "/"));
        assert_eq!(url("http://[::1]"), parts("::1", 80, "/metrics"));
        assert_eq!(Source::new("-"), Ok(Source::Stdin));
        assert_eq!(Source::new("http"), Ok(Source::File("http".into())));
        for bad in ["http://", "http://a:x", "http://a b/", "http://u@a/", "http://a/\r\nX: y", "https://a/"]
        {
            assert!(Source::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers() {
        let body = |text: &str| answer(text.as_bytes()).map(|body| String::from_utf8(body).unwrap());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        assert_eq!(body(&format!("{head}\r\nabc")).unwrap(), "abc");
        assert_eq!(body(&format!("{head}content-length: 2\r\n\r\nabc")).unwrap(), "ab");
        let chunked =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(body(&chunked).unwrap(), "abc0123456789");
        for bad in [
            "",
            "SSH-2.0\r\n",
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc",
            &chunked[..chunked.len() - 5],
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        ] {
            assert!(body(bad).is_err(), "{bad:?}");
        }
    }
}
