//! A real Prometheus that scrapes one target every second.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::http::Client;
use crate::process::free_port;

/// A Prometheus. Ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it; it may not serve yet.
    pub fn start(binary: &Path, job: &str, target: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: {job}\n    static_configs:\n      - targets: ['{target}']\n"
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new(binary)
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Prometheus { child, port, dir }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The JSON that answers a query; `None` before it serves.
    pub fn query(&self, query: &str) -> Option<String> {
        let address = ([127, 0, 0, 1], self.port).into();
        std::net::TcpStream::connect(address).ok()?;
        let mut escaped = String::new();
        for byte in query.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => escaped.push(byte.into()),
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
        }
        Some(Client::connect(address).get(&format!("/api/v1/query?query={escaped}"), &[]).text())
    }

    /// The value of a query with one result; `None` before it serves or has a result.
    pub fn value(&self, query: &str) -> Option<String> {
        let answer = self.query(query)?;
        // …"value":[1795196248.078,"1"]}]}}
        let (_, rest) = answer.split_once("\"value\":[")?;
        Some(rest.split('"').nth(1)?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
