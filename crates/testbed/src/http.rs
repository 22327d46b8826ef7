//! HTTP/1.1 over plain TCP: just enough to scrape, and nothing that would hide what the server sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a read may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined, not decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text, decompressed if the server compressed it.
    pub fn text(&self) -> String {
        let body =
            if self.header("content-encoding") == Some("gzip") { &gunzip(&self.body) } else { &self.body };
        String::from_utf8(body.clone()).expect("the body is UTF-8")
    }
}

/// A connection that is kept open between requests.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::with_capacity(64 * 1024, stream), host: address }
    }

    /// GET with more header lines, each without its line end.
    pub fn get(&mut self, path: &str, headers: &[&str]) -> Response {
        self.request("GET", path, headers)
    }

    /// A request without a body.
    pub fn request(&mut self, method: &str, path: &str, headers: &[&str]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.stream.get_mut().write_all(head.as_bytes()).expect("the request is taken");
        self.response(method)
    }

    fn response(&mut self, method: &str) -> Response {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if method == "HEAD" || status == 204 || status == 304 {
            return response;
        }
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line();
                let size = usize::from_str_radix(size.split(';').next().unwrap_or(""), 16);
                let size = size.expect("a chunk's size");
                self.read(size, &mut response.body);
                assert_eq!(self.line(), "", "a chunk ends with a line end");
                if size == 0 {
                    return response;
                }
            }
        }
        match response.header("content-length").map(str::parse) {
            Some(length) => self.read(length.expect("Content-Length is a number"), &mut response.body),
            None => drop(self.stream.read_to_end(&mut response.body).expect("the body")),
        }
        response
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the server answers in time");
        assert!(line.ends_with('\n'), "the connection was closed after {line:?}");
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        line
    }

    fn read(&mut self, length: usize, body: &mut Vec<u8>) {
        let start = body.len();
        body.resize(start + length, 0);
        self.stream.read_exact(&mut body[start..]).expect("the whole body comes in time");
    }
}

/// Decompresses gzip.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    // The last four bytes are the length before compression.
    let length: [u8; 4] = bytes[bytes.len() - 4..].try_into().unwrap();
    let mut out = vec![0; u32::from_le_bytes(length) as usize];
    let config = zlib_rs::InflateConfig { window_bits: 15 + 16 };
    let (out, code) = zlib_rs::decompress_slice(&mut out, bytes, config);
    assert_eq!(code, zlib_rs::ReturnCode::Ok, "the bytes are gzip");
    out.to_vec()
}

/// Compresses as gzip, as small as it gets.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut config = zlib_rs::DeflateConfig::new(9);
    config.window_bits = 15 + 16;
    let mut out = vec![0; zlib_rs::compress_bound(bytes.len()) + 64];
    let (out, code) = zlib_rs::compress_slice(&mut out, bytes, config);
    assert_eq!(code, zlib_rs::ReturnCode::Ok);
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_and_back() {
        let text = b"node_load1 0.21\n".repeat(10_000);
        let small = gzip(&text);
        assert!(small.len() < text.len() / 100 && small.starts_with(&[0x1f, 0x8b]));
        assert_eq!(gunzip(&small), text);
    }
}
