//! The pages in a browser: charts move, nothing is fetched from elsewhere, nothing overflows, and what goes away is told.
//!
//! The program reads a small tree of cgroup v2 whose counters this test moves, and a headless Chromium shows its pages, spoken to by
//! the DevTools protocol over pipes. Where there is no Chromium the test says so and does nothing.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::process::free_port;
use testbed::tree::Tree;
use testbed::{http, shared};

const ID: &str = "7f0d150c719b611570c879a9110d8863b885e232367940af688e86db4ce440ad";
/// What a cgroup may be called.
const HOSTILE: &str = "<img src=x onerror=alert(1)>%41&\"'{body}";
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_pages_in_a_browser() {
    let Some(chromium) = chromium() else { return shared::skipped("pages in a browser", "no Chromium here") };
    let host = Host::new();
    let mut server = Server::start(&host, free_port());
    let mut page = Page::open(&chromium);
    let container = format!("/containers/docker/{ID}");

    // Charts move, by themselves, and show what the kernel said.
    page.size(1280, 900);
    page.go(&server.url(&container));
    page.wait_for("document.body.dataset.state === 'live'");
    page.wait_for("document.querySelectorAll('.chart').length >= 4");
    page.wait_for("/[L]/.test(document.querySelector('.chart .l0').getAttribute('d'))");
    let drawn = "[...document.querySelectorAll('.chart .l0')].map((line) => line.getAttribute('d'))";
    let before = page.evaluate(drawn);
    for index in 0..before.as_array().unwrap().len() {
        let now = format!("{drawn}[{index}] !== {}", before[index]);
        page.wait_for(&now);
    }
    let legend = "[...document.querySelectorAll('.legend')].map((legend) => legend.textContent).join(' ')";
    page.wait_for(&format!("{legend}.includes('64\\u00a0MiB')"));
    host.memory.store(true, Ordering::Relaxed);
    page.wait_for(&format!("{legend}.includes('96\\u00a0MiB')"));
    page.wait_for(&format!("{legend}.includes('limit 128\\u00a0MiB') && {legend}.includes('limit 0.50')"));
    page.wait_for(
        "[...document.querySelectorAll('#processes td')].some((cell) => cell.textContent === 'server')",
    );
    page.fits();

    // The tree is a table of what is busy, with a way in for a keyboard.
    page.go(&server.url("/containers/"));
    page.wait_for("document.querySelectorAll('#below tbody tr').length === 15");
    page.wait_for("document.querySelector('#below tbody .number b').textContent !== '–'");
    page.evaluate("document.querySelectorAll('#below th button')[3].click()");
    page.wait_for("document.querySelector('#below tbody tr a').textContent === 'docker'");
    page.evaluate("filter.value = 'onerror'; filter.dispatchEvent(new Event('input'))");
    let shown = "[...document.querySelectorAll('#below tbody tr')].filter((row) => !row.hidden)";
    assert_eq!(
        page.evaluate(&format!("{shown}.map((row) => row.querySelector('a').textContent)")),
        json!([HOSTILE])
    );
    page.evaluate(&format!("{shown}[0].querySelector('a').click()"));
    page.wait_for("document.querySelector('h1')?.textContent.includes('onerror') && document.body.dataset.state === 'live'");
    assert_eq!(page.evaluate("document.querySelector('h1').textContent"), json!(HOSTILE));
    assert_eq!(page.evaluate("document.images.length"), json!(0));

    // Nothing is wider than the screen, on a desk or in a hand.
    let hostile = page.evaluate("location.pathname").as_str().unwrap().to_owned();
    for (width, height) in [(1280, 900), (390, 844)] {
        page.size(width, height);
        for path in ["/containers/", "/docker/", &container, &hostile] {
            page.go(&server.url(path));
            page.wait_for("['live', 'still'].includes(document.body.dataset.state)");
            page.fits();
        }
    }

    // Nobody asks while nobody looks.
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    page.evaluate(&hide(true));
    page.wait_for("document.body.dataset.state === 'paused'");
    page.settle();
    page.requests.clear();
    page.rest(Duration::from_millis(2500));
    assert_eq!(page.requests, [] as [String; 0], "requests of a page that nobody sees");
    page.evaluate(&hide(false));
    page.wait_for("document.body.dataset.state === 'live'");

    // All this without a fault, and from here alone.
    assert_eq!(page.faults, [] as [String; 0]);
    assert_eq!(page.strangers(&server.url("")), [] as [String; 0]);

    // The server goes away, and comes back.
    let port = server.port;
    page.go(&server.url(&container));
    page.wait_for("document.body.dataset.state === 'live'");
    drop(server);
    page.wait_for("document.body.dataset.state === 'away' && /does not answer/.test(document.getElementById('status').textContent)");
    server = Server::start(&host, port);
    page.wait_for("document.body.dataset.state === 'live'");

    // So does the container.
    host.remove(&format!("cgroup/docker/{ID}"));
    page.wait_for("document.body.dataset.state === 'gone' && /gone/.test(document.getElementById('status').textContent)");
    assert_eq!(page.strangers(&server.url("")), [] as [String; 0]);
}

#[test]
fn pages_without_a_script() {
    let host = Host::new();
    let server = Server::start(&host, free_port());
    let get = |path: &str| http::Client::connect(([127, 0, 0, 1], server.port).into()).get(path, &[]);
    let page = get(&format!("/containers/docker/{ID}"));
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"),
        "{policy}"
    );
    let text = page.text();
    for part in [
        "<dt>Memory limit</dt><dd>128 MiB</dd>",
        "<dt>Memory in use</dt><dd>64 MiB</dd>",
        "0.5 CPUs",
        "<dt>Tasks</dt><dd>1 of 100</dd>",
        "<dt>Allowed CPUs</dt><dd>0-1</dd>",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let list = get("/containers/").text();
    assert!(list.contains("&lt;img src=x onerror=alert(1)&gt;") && !list.contains("<img"), "{list}");
    // The script and the style are where the page says.
    for address in text.split('"').filter(|address| address.starts_with("/static/")) {
        let asset = get(address);
        assert_eq!(asset.status, 200, "{address}");
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"), "{address}");
        assert!(asset.header("etag").is_some() && asset.body.len() > 1000, "{address}");
    }
    for path in ["/containers/nope", "/live/containers/nope"] {
        let answer = get(path);
        assert_eq!(answer.status, 404, "{path}");
        let text = answer.text().replace("&quot;", "\"").replace("\\\"", "\"");
        assert!(text.contains("failed to get container \"/nope\" with error: unknown container"), "{text}");
    }
    let report = get("/validate/");
    assert_eq!((report.status, report.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    let report = report.text();
    assert!(report.contains("\nOK    cgroups: v2, with the controllers "), "{report}");
    assert!(report.contains("\nOK    memory: memory is accounted\n"), "{report}");
    assert!(report.contains("\nWARN  names: 1 of 1 containers"), "{report}");
}

/// A machine with one container, a cgroup with a hostile name and a dozen others. Its counters move until it is dropped.
struct Host {
    dir: tempfile::TempDir,
    /// Whether the container's memory has grown.
    memory: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    mover: Option<std::thread::JoinHandle<()>>,
}

impl Host {
    fn new() -> Self {
        let mut tree = Tree::new();
        let container = format!("cgroup/docker/{ID}");
        let mut groups = vec![
            String::from("cgroup"),
            "cgroup/docker".into(),
            container.clone(),
            format!("cgroup/{HOSTILE}"),
        ];
        groups.extend((0..12).map(|i| format!("cgroup/group{i}.slice")));
        for group in &groups {
            tree.file(format!("{group}/cgroup.controllers"), "cpuset cpu io memory pids\n");
            tree.file(format!("{group}/cgroup.subtree_control"), "cpu io memory pids\n");
            tree.file(format!("{group}/cgroup.procs"), if *group == container { "42\n" } else { "" });
            tree.file(format!("{group}/cpu.stat"), "usage_usec 1000\nuser_usec 800\nsystem_usec 200\n");
            tree.file(format!("{group}/memory.stat"), "anon 4096\nfile 0\ninactive_file 0\n");
            tree.file(format!("{group}/pids.current"), "1\n");
            tree.file(format!("{group}/pids.max"), "100\n");
            tree.file(format!("{group}/cpuset.cpus.effective"), "0-1\n");
            if group != "cgroup" {
                tree.file(format!("{group}/cpu.weight"), "100\n");
                tree.file(format!("{group}/memory.current"), "67108864\n");
                tree.file(
                    format!("{group}/memory.max"),
                    if *group == container { "134217728\n" } else { "max\n" },
                );
                tree.file(
                    format!("{group}/cpu.max"),
                    if *group == container { "50000 100000\n" } else { "max 100000\n" },
                );
            }
        }
        tree.file(
            "proc/meminfo",
            "MemTotal:        2097152 kB\nMemFree:         1048576 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        );
        tree.file("proc/uptime", "1000.00 1900.00\n");
        tree.file("proc/stat", "cpu  1 0 1 9 0 0 0 0 0 0\nbtime 1600000000\n");
        tree.file("proc/diskstats", "   8       0 sda 10 0 80 1 10 0 80 1 0 1 1\n");
        tree.file("proc/1/mountinfo", "");
        tree.link("proc/self", "1");
        tree.file("proc/42/stat", "42 (server) S 1 42 42 0 -1 4194304 10 0 0 0 70 30 0 0 20 0 1 0 5000 4096000 512 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n");
        tree.file(
            "proc/42/status",
            "Name:\tserver\nState:\tS (sleeping)\nUid:\t1000\t1000\t1000\t1000\nVmRSS:\t    2048 kB\n",
        );
        tree.file("proc/42/comm", "server\n");
        tree.file("proc/42/net/dev", interfaces(0));
        tree.file("sys/devices/system/cpu/online", "0-1\n");
        tree.file("sys/block/sda/dev", "8:0\n");
        tree.dir("rootfs");
        let dir = tree.unpacked();
        let [memory, ended] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let mover = std::thread::spawn({
            let (top, memory, ended) = (dir.path().to_owned(), Arc::clone(&memory), Arc::clone(&ended));
            move || advance(&top, &memory, &ended)
        });
        Host { dir, memory, ended, mover: Some(mover) }
    }

    fn remove(&self, path: &str) {
        let path = self.dir.path().join(path);
        // The counters are being written meanwhile.
        let start = Instant::now();
        while path.exists() {
            let _ = fs::remove_dir_all(&path);
            assert!(start.elapsed() < PATIENCE, "{} stays", path.display());
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.mover.take().map(std::thread::JoinHandle::join);
    }
}

fn interfaces(bytes: u64) -> String {
    format!(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n  \
         eth0: {bytes} 1 0 0 0 0 0 0 {} 1 0 0 0 0 0 0\n",
        bytes / 2
    )
}

/// Moves the counters, never evenly, so that no chart stands still.
fn advance(top: &Path, memory: &AtomicBool, ended: &AtomicBool) {
    let container = top.join(format!("cgroup/docker/{ID}"));
    let (mut round, mut sum) = (0_u64, 0_u64);
    while !ended.load(Ordering::Relaxed) {
        round += 1;
        sum += 1 + round % 7;
        let replace = |path: PathBuf, text: String| {
            // Whole at any moment. A directory that was removed stays so.
            let next = path.with_extension("next");
            let _ = fs::write(&next, text).and_then(|()| fs::rename(&next, &path));
        };
        let cpu = |sum: u64| {
            format!("usage_usec {}\nuser_usec {}\nsystem_usec {}\n", sum * 10_000, sum * 7000, sum * 3000)
        };
        replace(container.join("cpu.stat"), cpu(sum));
        replace(top.join("cgroup/docker/cpu.stat"), cpu(sum));
        replace(top.join("cgroup/cpu.stat"), cpu(2 * sum));
        replace(
            container.join("io.stat"),
            format!("8:0 rbytes={} wbytes={} rios=1 wios=1 dbytes=0 dios=0\n", sum * 4096, sum * 512),
        );
        let megabytes = if memory.load(Ordering::Relaxed) { 96 } else { 64 };
        replace(container.join("memory.current"), format!("{}\n", megabytes << 20));
        let _ = fs::write(top.join("proc/42/net/dev"), interfaces(sum * 1000));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The program over a [`Host`], on a port that can be had again.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(host: &Host, port: u16) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_container-advisor"))
            .args(["-path.procfs=proc", "-path.sysfs=sys", "-path.cgroup=cgroup", "-path.rootfs=rootfs"])
            .args(["-docker=", "-podman=", "-listen_ip=127.0.0.1", &format!("-port={port}")])
            .current_dir(host.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server { child, port };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(server.child.try_wait().unwrap(), None, "it ended");
            assert!(start.elapsed() < PATIENCE, "it listens nowhere");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    let all = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    all.into_iter().find(|program| program.is_file())
}

/// A tab of a headless browser.
struct Page {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    /// Errors on the console, exceptions, and what the policy refused.
    faults: Vec<String>,
    /// Addresses asked for.
    requests: Vec<String>,
    everything: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Page {
    fn open(chromium: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // Descriptors 3 and 4 are the protocol's: the shell makes them of the standard ones.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null", "sh"])
            .arg(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if send.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut page = Page {
            child,
            input,
            messages,
            session: None,
            calls: 0,
            faults: Vec::new(),
            requests: Vec::new(),
            everything: Vec::new(),
            _profile: profile,
        };
        let target = page.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        page.session = page.call("Target.attachToTarget", &attached)["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    fn try_call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&call).unwrap();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        loop {
            let mut message =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == json!(self.calls) {
                let error = message["error"].take();
                return if error.is_null() { Ok(message["result"].take()) } else { Err(error) };
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        let is_bad = |level: &Value| matches!(level.as_str(), Some("error" | "warning" | "assert"));
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.faults.push(params.to_string()),
            Some("Runtime.consoleAPICalled") if is_bad(&params["type"]) => {
                self.faults.push(params.to_string());
            }
            Some("Log.entryAdded") if is_bad(&params["entry"]["level"]) => {
                self.faults.push(params.to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default().to_owned();
                self.requests.push(url.clone());
                self.everything.push(url);
            }
            _ => {}
        }
    }

    /// Takes in what is said for a while.
    fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(message) = self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.note(&message);
        }
    }

    /// Takes in what was said so far.
    fn settle(&mut self) {
        self.evaluate("new Promise((done) => setTimeout(done, 300))");
    }

    fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    fn go(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &params);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    #[track_caller]
    fn wait_for(&mut self, condition: &str) {
        let start = Instant::now();
        // While a page is being loaded there is nothing to ask, or what was asked goes with the page before.
        let expression = format!("(() => {{ try {{ return {condition} }} catch {{ return false }} }})()");
        let params = json!({ "expression": expression, "returnByValue": true });
        while !self
            .try_call("Runtime.evaluate", &params)
            .is_ok_and(|answer| answer["result"]["value"] == json!(true))
        {
            if start.elapsed() > PATIENCE {
                let text = self.evaluate("document.body.innerText");
                panic!("{condition} never came, but {text}, with the faults {:#?}", self.faults);
            }
            self.rest(Duration::from_millis(50));
        }
    }

    /// Nothing is wider than the window.
    #[track_caller]
    fn fits(&mut self) {
        let sizes =
            self.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]");
        let wide =
            "[...document.querySelectorAll('.wide')].some((table) => table.scrollWidth > table.clientWidth)";
        let at = self.evaluate("`${location.pathname} at ${innerWidth}`");
        assert!(sizes[0].as_u64() <= sizes[1].as_u64(), "{at}: {sizes}");
        assert_eq!(self.evaluate(wide), json!(false), "{at}: a table has to be moved sideways");
    }

    /// Requests of addresses that are not below `home`.
    fn strangers(&self, home: &str) -> Vec<String> {
        let is_home =
            |url: &String| url.starts_with(home) || url.starts_with("data:") || url == "about:blank";
        self.everything.iter().filter(|url| !is_home(url)).cloned().collect()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
