//! A whole exporter as its users see it: a program with a command line, exit codes, ports and signals.
//!
//! This file is that program too: it starts itself, so it has a `main` of its own.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exporter::app::{self, Product, Service};
use exporter::flags::Style;
use exporter::own::Build;
use exporter::{Collector, Error, Flag, Flags, Kind, Text};

/// Says that this process is the exporter under test.
const CHILD: &str = "EXPORTER_APP_TEST_CHILD";

const PRODUCT: Product = Product {
    name: "test-exporter",
    title: "Test",
    about: "A test.",
    build: Build { family: "test_build_info", version: "1", revision: "", branch: "" },
    namespace: "test",
    listen: &[":0"],
    flags: &[
        Flag::text("listen_ip", "127.0.0.1", "Address."),
        Flag::number("port", 0, "Port."),
        Flag::text("url_base_prefix", "", "Prefix."),
        Flag::text("http_auth_file", "", "Passwords."),
        Flag::text("http_auth_realm", "localhost", "Realm."),
        Flag::text("http_digest_file", "", "Not here."),
        Flag::ignored("profiling", false),
        Flag::ignored("v", true).quiet(),
    ],
    style: Style::Go,
    settle,
    service,
    entries: &[],
    lacking: &[],
};

fn settle(flags: &mut Flags) -> Result<(), exporter::FlagError> {
    if flags.number("port") > 65535 {
        return Err(flags.error("port", "is no port"));
    }
    let address = format!("{}:{}", flags.text("listen_ip"), flags.number("port"));
    flags.set_list("web.listen-address", vec![address]);
    Ok(())
}

static TASK_RAN: AtomicBool = AtomicBool::new(false);

struct Tells;

impl Collector for Tells {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        out.single("test_task_ran", Kind::Gauge, "Whether.", TASK_RAN.load(Ordering::Relaxed));
        Ok(())
    }
}

/// Tells when a task is dropped.
struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        exporter::log!(Info, "the task is dropped");
    }
}

fn service(_flags: &Flags) -> Result<Service, exporter::FlagError> {
    let task = async {
        let _dropped = Dropped;
        TASK_RAN.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    Ok(Service { collectors: vec![("tells", Box::new(Tells))], pages: None, tasks: vec![Box::pin(task)] })
}

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return app::main(&PRODUCT);
    }
    let tests: &[(&str, fn())] = &[
        ("a_wrong_command_line_ends_with_2_and_one_line", a_wrong_command_line_ends_with_2_and_one_line),
        ("what_is_asked_for_is_printed", what_is_asked_for_is_printed),
        ("a_run_from_start_to_stop", a_run_from_start_to_stop),
        ("health_behind_a_prefix_and_a_password", health_behind_a_prefix_and_a_password),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args).env(CHILD, "1");
    command
}

fn output(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// A running exporter.
struct Exporter {
    child: Child,
    log: BufReader<ChildStderr>,
    seen: String,
    port: u16,
}

impl Exporter {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let port = loop {
            let before = seen.len();
            assert_ne!(log.read_line(&mut seen).unwrap(), 0, "it ended: {seen}");
            if let Some((_, address)) = seen[before..].split_once("msg=\"Listening on\" address=127.0.0.1:") {
                break address.trim().parse().unwrap();
            }
        };
        Exporter { child, log, seen, port }
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn health(&self, args: &[&str]) -> Output {
        let port = format!("-port={}", self.port);
        output(&[&["healthcheck", &port], args].concat())
    }

    /// Everything that it said.
    fn stop(mut self) -> String {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        self.log.read_to_string(&mut self.seen).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It has ended already, but for a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_wrong_command_line_ends_with_2_and_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    std::fs::write(&file, "# who may come in\nu:abNANd1rDfiNc\n").unwrap();
    let crypt = format!("-http_auth_file={}", file.display());
    let no_file = format!("-http_auth_file={}/none", dir.path().display());
    for (args, expected) in [
        (&["-nope"][..], "flag provided but not defined: -nope".to_owned()),
        (&["healthcheck", "-port=x"], "-port=x: must be a whole number".to_owned()),
        (&["-port=65536"], "-port=65536: is no port".to_owned()),
        (&["healthcheck", "-port=65536"], "-port=65536: is no port".to_owned()),
        // Only products whose collectors can be chosen have these.
        (
            &["-collector.disable-defaults"],
            "flag provided but not defined: -collector.disable-defaults".to_owned(),
        ),
        (
            &["-url_base_prefix=x"],
            "-url_base_prefix=x: must be a path such as /cadvisor, of letters, digits and -._~/".to_owned(),
        ),
        (
            &[&crypt],
            format!(
                "{crypt}: line 2: plain passwords, crypt and other kinds of hashes are not supported: make this line anew with htpasswd -B"
            ),
        ),
        (&[&no_file], format!("{no_file}: cannot be read: No such file or directory (os error 2)")),
        (
            &["-http_digest_file=/etc/digest"],
            "-http_digest_file=/etc/digest: digest authentication is not supported: make a file with htpasswd -B and give it with -http_auth_file"
                .to_owned(),
        ),
    ] {
        let output = output(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("test-exporter: error: {expected}, try -help\n"));
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}

fn what_is_asked_for_is_printed() {
    for (args, expected) in [
        (&["-version"][..], "test-exporter, version 1 (branch: , revision: )\n"),
        (&["--help"], "\n  -web.telemetry-path <VALUE> "),
    ] {
        let output = output(args);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(expected) && output.stderr.is_empty(), "{said}");
    }
}

fn a_run_from_start_to_stop() {
    let exporter = Exporter::start(&["-profiling", "-v", "2", "-port=9", "--port", "0"]);
    assert!(exporter.seen.contains("level=WARN "), "{}", exporter.seen);
    assert!(exporter.seen.contains("-profiling has no effect here"), "{}", exporter.seen);
    let metrics = exporter.ask("GET", "/metrics");
    assert!(metrics.contains("\ntest_task_ran 1\n"), "{metrics}");
    assert!(metrics.contains("\ntest_scrape_collector_success{collector=\"tells\"} 1\n"), "{metrics}");
    assert!(exporter.ask("GET", "/metrics?collect[]=tells").starts_with("HTTP/1.1 200 "));
    assert!(exporter.ask("GET", "/").contains("href=\"/metrics\""));
    // As `wget --spider` does.
    assert!(exporter.ask("HEAD", "/metrics").starts_with("HTTP/1.1 200 "));
    assert!(exporter.ask("HEAD", "/healthz").starts_with("HTTP/1.1 404 "));
    assert_eq!(exporter.health(&[]).status.code(), Some(0));
    assert_eq!(exporter.health(&["-url_base_prefix=/x"]).status.code(), Some(1));
    let log = exporter.stop();
    let (dropped, stopped) = (log.find("the task is dropped").unwrap(), log.find("msg=Stopped").unwrap());
    assert!(dropped < stopped, "{log}");
}

fn health_behind_a_prefix_and_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    std::fs::write(&file, "u:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    let auth = format!("-http_auth_file={}", file.display());
    let exporter = Exporter::start(&["-url_base_prefix=/x/", &auth]);
    assert!(exporter.ask("GET", "/x/-/healthy").starts_with("HTTP/1.1 401 "));
    assert_eq!(exporter.health(&["-url_base_prefix", "/x", &auth]).status.code(), Some(0));
    // Who may come in is of no interest to whoever asks for health.
    assert_eq!(exporter.health(&["-url_base_prefix=/x"]).status.code(), Some(0));
    std::fs::remove_file(&file).unwrap();
    let health = exporter.health(&["-url_base_prefix=/x"]);
    let said = String::from_utf8_lossy(&health.stderr);
    assert!(health.status.code() == Some(1) && said.contains("HTTP/1.1 500 "), "{said}");
    let port = exporter.port;
    let log = exporter.stop();
    assert!(log.contains("cannot read who may come in: nobody is let in"), "{log}");
    let gone = output(&["healthcheck", &format!("-port={port}")]);
    assert_eq!(gone.status.code(), Some(1));
}
