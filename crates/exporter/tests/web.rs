//! The web server as peers see it: good ones, slow ones and hostile ones, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use exporter::own::{Build, Own};
use exporter::scrape::Scraper;
use exporter::web::{self, Auth, Call, Landing, Page, Patience, Site};
use exporter::{Collector, Error, Kind, Text};

/// Writes one small family, or a large one.
struct Rows(u64);

impl Collector for Rows {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let mut family = out.family("rows", Kind::Gauge, "Rows.");
        for row in 0..self.0 {
            family.sample(&[("row", row.into())], row);
        }
        Ok(())
    }
}

/// Waits for a message, each time.
struct Gate(Mutex<Receiver<()>>);

impl Collector for Gate {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        self.0.get_mut().unwrap().recv().unwrap();
        out.single("gate", Kind::Gauge, "Passed.", 1u64);
        Ok(())
    }
}

/// The landing page, and what was posted.
struct Pages;

impl web::Pages for Pages {
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Page> + Send + '_>> {
        if call.path.starts_with("/echo") {
            let said =
                format!("{} {} {:?} {:?} {:?}", call.method, call.path, call.query, call.prefix, call.body);
            return Box::pin(async { web::json(web::StatusCode::CREATED, said) });
        }
        if call.path == "/away" {
            return Box::pin(async move { web::redirect(&format!("{}/echo", call.prefix)) });
        }
        Box::pin(async { Landing::new("<h1>landing</h1>").answer(call).await })
    }
}

struct Server {
    address: SocketAddr,
    stop: tokio::sync::watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

const QUICK: Patience = Patience {
    head: Duration::from_millis(300),
    idle: Duration::from_secs(600),
    stall: Duration::from_millis(300),
    crowded: Duration::from_millis(100),
};

impl Server {
    fn start(collector: Box<dyn Collector>, max_requests: u64, connections: usize) -> Self {
        Server::start_behind("", None, collector, max_requests, connections)
    }

    fn start_behind(
        prefix: &str,
        auth: Option<Auth>,
        collector: Box<dyn Collector>,
        max_requests: u64,
        connections: usize,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let build = Build { family: "x_build_info", version: "", revision: "", branch: "" };
        let site = Site {
            scraper: Scraper::new(vec![("only", collector)], Own::new("x", build, true)),
            known: vec!["only", "other"],
            metrics_path: "/metrics".into(),
            max_requests,
            pages: Arc::new(Pages),
            prefix: prefix.to_owned(),
            auth,
            patience: QUICK,
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                web::serve(Arc::new(site), vec![listener], connections, stopped).await;
            });
        });
        Server { address, stop, thread: Some(thread) }
    }

    fn small() -> Self {
        Server::start(Box::new(Rows(1)), 40, 100)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// One request on a connection of its own: the whole answer.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, target: &str) -> String {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

/// Whether the peer has closed: reads until then, up to the read timeout.
fn closes(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn paths_and_methods() {
    let server = Server::small();
    let metrics = server.get("/metrics");
    assert_eq!(status(&metrics), "200");
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores\r\n")
    );
    assert!(metrics.contains("\nrows{row=\"0\"} 0\n"));
    assert!(
        metrics.contains("promhttp_metric_handler_requests_total{code=\"200\"} 0\n"),
        "the first scrape counts itself later"
    );
    assert!(server.get("/").contains("<h1>landing</h1>"));
    assert_eq!(status(&server.get("/-/healthy")), "200");
    for path in ["/nope", "//metrics", "/metrics/", "/debug/pprof/", "/Metrics"] {
        assert_eq!(status(&server.get(path)), "404", "{path}");
    }
    assert!(
        server
            .get("/metrics?collect[]=nope")
            .ends_with("couldn't create collector: missing collector: nope\n")
    );
    assert!(
        server
            .get("/metrics?collect[]=other")
            .ends_with("couldn't create collector: disabled collector: other\n")
    );
    assert_eq!(status(&server.get("/metrics?collect[]=only&exclude[]=only")), "400");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BLAH"] {
        let answer =
            server.ask(&format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains("allow: GET, HEAD\r\n"));
    }
    let head = server.ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(status(&head) == "200" && head.ends_with("\r\n\r\n") && head.contains("content-length: "));
}

#[test]
fn pages_have_queries_and_what_is_posted() {
    let server = Server::small();
    let answer = server.get("/echo/%41?a=b%20c&d&%zz=1");
    assert_eq!(status(&answer), "201");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with(r#"GET /echo/%41 [("a", "b c"), ("d", "")] "" b"""#), "{answer}");
    let away = server.get("/away");
    assert!(status(&away) == "307" && away.contains("\r\nlocation: /echo\r\n"), "{away}");
    let post = |path: &str, body: &str| {
        let length = body.len();
        server.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    };
    let posted = post("/echo", "hello");
    assert!(posted.ends_with(r#"POST /echo [] "" b"hello""#), "{posted}");
    assert_eq!(status(&post("/echo", &"x".repeat(64 * 1024))), "201");
    assert_eq!(status(&post("/echo", &"x".repeat(64 * 1024 + 1))), "413");
    for path in ["/", "/nope", "/-/healthy"] {
        assert_eq!(status(&post(path, "")), "405", "{path}");
    }
    let head = server.ask("HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(status(&head) == "201" && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn everything_is_behind_the_prefix() {
    let server = Server::start_behind("/x/y", None, Box::new(Rows(1)), 40, 100);
    for path in ["/x/y/metrics", "/x/y/-/healthy", "/x/y/", "/x/y/?a"] {
        assert_eq!(status(&server.get(path)), "200", "{path}");
    }
    for path in
        ["/", "/metrics", "/-/healthy", "/x", "/x/", "/x/ymetrics", "/x/y/x/y/metrics", "//x/y/metrics"]
    {
        assert_eq!(status(&server.get(path)), "404", "{path}");
    }
    for (path, to) in [("/x/y", "/x/y/"), ("/x/y/away", "/x/y/echo")] {
        let away = server.get(path);
        assert!(status(&away) == "307" && away.contains(&format!("\r\nlocation: {to}\r\n")), "{away}");
    }
    assert!(server.get("/x/y/echo").contains(r#"GET /echo [] "/x/y" "#));
}

#[test]
fn no_path_and_no_method_goes_without_a_password_when_there_are_any() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    std::fs::write(&file, "u:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n").unwrap();
    let auth = Auth::open(&file, "localhost").unwrap();
    let server = Server::start_behind("/x", Some(auth), Box::new(Rows(1)), 40, 100);
    let ask = |method: &str, path: &str, user: &str| {
        server.ask(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{user}\r\n"))
    };
    let (right, wrong) = ("Authorization: Basic dTpzZWNyZXQ=\r\n", "Authorization: Basic dTp3cm9uZw==\r\n");
    for (path, expected) in [
        ("/x/metrics", "200"),
        ("/x/-/healthy", "200"),
        ("/x/", "200"),
        ("/x/nope", "404"),
        ("/x", "307"),
        ("/", "404"),
    ] {
        assert_eq!(status(&ask("GET", path, right)), expected, "{path}");
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            for user in ["", wrong] {
                let answer = ask(method, path, user);
                assert_eq!(status(&answer), "401", "{method} {path}");
                assert!(answer.contains("\r\nwww-authenticate: Basic realm=\"localhost\"\r\n"), "{answer}");
            }
        }
    }
    assert_eq!(status(&ask("POST", "/x/metrics", right)), "405");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(status(&ask("GET", "/x/-/healthy", right)), "500");
}

#[test]
fn a_slow_body_is_closed() {
    let server = Server::small();
    let mut slow = server.connect();
    slow.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab").unwrap();
    assert!(closes(&mut slow));
    assert_eq!(status(&server.get("/metrics")), "200");
}

#[test]
fn several_requests_on_one_connection() {
    let server = Server::small();
    let mut stream = server.connect();
    let pipelined = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    stream.write_all(pipelined.as_bytes()).unwrap();
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 4);
}

#[test]
fn more_scrapes_at_once_than_the_limit_are_answered_with_503() {
    let (release, wait): (Sender<()>, _) = channel();
    let server = Server::start(Box::new(Gate(Mutex::new(wait))), 3, 100);
    let mut waiting: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut waiting {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    }
    // The three hold their places once the in-flight count says so, which a fourth one sees as a refusal.
    let refused = (0..500).map(|_| server.ask("GET /metrics?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.02\r\n\r\n"));
    let refusal = refused.into_iter().find(|answer| status(answer) == "503").expect("a refusal");
    assert!(refusal.ends_with("\r\n\r\nLimit of concurrent requests reached (3), try again later.\n"));
    // One run at least is under way; more may follow it.
    for _ in 0..10 {
        let _ = release.send(());
    }
    for stream in &mut waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(status(&answer) == "200" && answer.contains("x_scrape_collector_success"), "{answer}");
    }
    drop(release);
}

#[test]
fn a_slow_head_is_closed_and_others_are_served() {
    let server = Server::small();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    }
    assert_eq!(status(&server.get("/metrics")), "200");
    for stream in &mut slow {
        assert!(closes(stream));
    }
}

#[test]
fn an_idle_connection_outlives_the_head_s_time() {
    let server = Server::small();
    let mut stream = server.connect();
    for _ in 0..3 {
        ask_health(&mut stream);
        std::thread::sleep(QUICK.head * 3);
    }
}

/// One request whose answer leaves the connection open.
fn ask_health(stream: &mut TcpStream) {
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nHealthy.\n") {
        let mut more = [0; 1024];
        let n = stream.read(&mut more).unwrap();
        assert!(n > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&more[..n]);
    }
}

#[test]
fn a_peer_that_says_nothing_is_closed() {
    let server = Server::small();
    let start = Instant::now();
    assert!(closes(&mut server.connect()));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn idle_connections_give_way_when_there_is_no_place() {
    let server = Server::start(Box::new(Rows(1)), 40, 5);
    let mut idle: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(ask_health);
    std::thread::sleep(QUICK.crowded * 3);
    ask_health(&mut idle[0]);
    let mut last = server.connect();
    ask_health(&mut last);
    for stream in &mut idle[1..] {
        assert!(closes(stream));
    }
    ask_health(&mut idle[0]);
}

#[test]
fn a_peer_that_reads_nothing_is_closed() {
    let server = Server::start(Box::new(Rows(2_000_000)), 40, 100);
    let mut stream = server.connect();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 600\r\n\r\n")
        .unwrap();
    // Longer than rendering takes, then longer than the stall may last; what fits the sockets' buffers is all that ever comes.
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    std::thread::sleep(QUICK.stall * 6);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 40_000_000, "{} bytes came to a peer that did not read", rest.len());
    assert_eq!(status(&server.get("/-/healthy")), "200");
}

#[test]
fn peers_that_go_away_leave_the_count_right() {
    let server = Server::small();
    for _ in 0..20 {
        let mut stream = server.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        drop(stream);
    }
    // Their scrapes may still be under way; then they end.
    let alone = |answer: &String| answer.contains("\npromhttp_metric_handler_requests_in_flight 1\n");
    let answers = (0..100).map(|_| server.get("/metrics"));
    assert!(answers.into_iter().any(|answer| alone(&answer)));
}

#[test]
fn what_is_no_request_is_refused() {
    let server = Server::small();
    for (bad, expected) in [
        ("GARBAGE\r\n\r\n".to_owned(), "400"),
        ("GET /metrics HTTP/9.9\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200)), "431"),
        (format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(1_000_000)), "431"),
    ] {
        let mut stream = server.connect();
        // The server may close before it has read all.
        let _ = stream.write_all(bad.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || status(&answer) == expected, "{answer}");
    }
    assert_eq!(status(&server.get("/metrics")), "200");
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let server = Server::start(Box::new(Rows(1)), 40, 2);
    let first = server.connect();
    let mut second = server.connect();
    second.write_all(b"GET").unwrap();
    // The third is served when the second's head has taken too long.
    assert_eq!(status(&server.get("/metrics")), "200");
    drop(first);
}

#[test]
fn a_stop_lets_the_answer_under_way_out() {
    let (release, wait): (Sender<()>, _) = channel();
    let server = Server::start(Box::new(Gate(Mutex::new(wait))), 40, 100);
    let mut stream = server.connect();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let idle = server.connect();
    // The scrape is under way when the gate's collector waits; asking for health after it on the same thread shows that it was read.
    assert_eq!(status(&server.get("/-/healthy")), "200");
    server.stop.send(true).unwrap();
    release.send(()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\ngate 1\n"), "{answer}");
    drop(idle);
}
