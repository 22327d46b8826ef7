//! The pages for people.
//!
//! | path | answer |
//! |---|---|
//! | `/containers/<cgroup path>` | the cgroup and what is below it |
//! | `/docker/`, `/podman/` | the runtime's containers, running or not, and its daemon |
//! | `/docker/<name or id>`, `/podman/…` | one of them |
//! | `/live/<any of these>` | what the page's script asks for every second: [`live::Live`] as JSON |
//! | `/static/page.js`, `/static/page.css` | the script and the style |
//!
//! A page is first made here, with the numbers of that moment, so that it says something without a script too; then the script goes on.
//! Nothing is fetched from anywhere else, and a content security policy keeps it so. Names that containers brought are escaped here and
//! set as text there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, PoisonError};

use exporter::web::{Call, Page, StatusCode, html, json, redirect, text};
use hostfs::{Buf, scan};
use hyper::Method;
use hyper::header::{self, HeaderName, HeaderValue};

use crate::history::{History, Reading};
use crate::metadata::{Connection, Directory, Metadata, Runtime};
use crate::scrape::Shared;
use crate::settings::Settings;

mod live;

use live::{Ask, Known, Live, Subject, Task};

/// The script and the style never change under one address: the address has their fingerprint.
const SCRIPT: &str = include_str!("pages/page.js");
const STYLE: &str = include_str!("pages/page.css");
const PAGE: &str = include_str!("pages/page.html");
const SCRIPT_TAG: u64 = live::hash(SCRIPT.as_bytes());
const STYLE_TAG: u64 = live::hash(STYLE.as_bytes());

/// Scripts, styles and data from here alone, images within the page, and nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The most rows of the process table: what is more is of no use to a reader.
const PROCESSES: usize = 200;

/// Answers the paths of the pages.
#[derive(Debug)]
pub struct Pages {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    containers: Shared,
    history: Arc<History>,
}

/// What was found out for one answer.
struct Snapshot {
    readings: Vec<Arc<Reading>>,
    containers: Vec<Arc<Metadata>>,
    connections: Vec<(Runtime, Connection)>,
    cores: Option<u64>,
}

impl Pages {
    /// Reads nothing yet.
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        containers: Shared,
        history: Arc<History>,
    ) -> Self {
        Pages { settings, directory, containers, history }
    }

    /// The answer to `/containers…`, `/docker…`, `/podman…`, `/live/…` and `/static/…`; `None` for any other path.
    pub async fn answer(&self, call: &Call) -> Option<Page> {
        let path = call.path.as_str();
        if let Some(name) = path.strip_prefix("/static/") {
            return Some(if call.method == Method::POST { reads_only() } else { asset(name, call) });
        }
        let (shown, is_live) = match path.strip_prefix("/live") {
            Some(shown) => (shown, true),
            None => (path, false),
        };
        if matches!(shown, "/containers" | "/docker" | "/podman") {
            return Some(redirect(&format!("{}{path}/", call.prefix)));
        }
        let (subject, asked) = match subject(shown)? {
            _ if call.method == Method::POST => return Some(reads_only()),
            Ok(found) => found,
            Err(()) => return Some(not_found(is_live, call, "the path is not well escaped")),
        };
        let snapshot = self.snapshot().await;
        let known = snapshot.known(self);
        if known.readings.is_empty() && matches!(subject, Subject::Cgroup(_)) {
            return Some(unreadable(is_live, call));
        }
        let page = if is_live {
            self.live(&known, &subject, call).await
        } else {
            let live = known.live(&subject, &Ask::default());
            live.map(|mut live| {
                self.add_unread(&known, &subject, &mut live);
                document(&known, &subject, &live, &call.prefix)
            })
        };
        Some(page.unwrap_or_else(|| {
            let kind = match &subject {
                Subject::Container(runtime, _) => live::title(*runtime).to_owned() + " ",
                _ => String::new(),
            };
            let what = String::from_utf8_lossy(&asked);
            let why =
                format!("failed to get container {what:?} with error: unknown {kind}container {what:?}");
            not_found(is_live, call, &why)
        }))
    }

    async fn snapshot(&self) -> Snapshot {
        let mut buf = Buf::new();
        Snapshot {
            readings: self.history.look().await,
            containers: self.directory.all(),
            connections: self.directory.connections(),
            // A word from the kernel's memory: it does not block.
            cores: hostfs::read(self.settings.sys.join("devices/system/cpu/online"), &mut buf)
                .ok()
                .and_then(count),
        }
    }

    async fn live(&self, known: &Known<'_>, subject: &Subject, call: &Call) -> Option<Page> {
        let asked = |key: &str| call.query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let ask = Ask {
            since: asked("since").and_then(|since| since.parse().ok()).unwrap_or(0),
            rows: asked("rows").unwrap_or_default().to_owned(),
        };
        let mut live = known.live(subject, &ask)?;
        self.add_unread(known, subject, &mut live);
        if asked("processes").is_some() {
            live.processes = self.processes(known, subject).await;
        }
        let Ok(body) = serde_json::to_vec(&live) else {
            return Some(text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "500 the numbers cannot be written as JSON\n",
            ));
        };
        Some(private(json(StatusCode::OK, body)))
    }

    /// Adds which CPUs are allowed and how many tasks there are and may be, which readings have only where the kinds `cpuset` and
    /// `process` are on.
    fn add_unread(&self, known: &Known, subject: &Subject, live: &mut Live) {
        let Some(sample) = known.find(subject).and_then(|found| found.sample) else { return };
        if *sample.path == *b"/" {
            return;
        }
        let path = OsStr::from_bytes(sample.path.strip_prefix(b"/").unwrap_or(&sample.path));
        let mut buf = Buf::new();
        // The files are the kernel's own memory: they do not block.
        let mut read = |controller: &str, name: &str| {
            let read = |top: &str, buf: &mut Buf| {
                let file = self.settings.cgroup.join(top).join(path).join(name);
                let bytes = hostfs::read(file, buf).ok()?.trim_ascii_end();
                Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
            };
            read(controller, &mut buf).or_else(|| read("", &mut buf))
        };
        if sample.stats.limits.cpus.is_empty() {
            let cpus =
                read("cpuset", "cpuset.cpus.effective").or_else(|| read("cpuset", "cpuset.effective_cpus"));
            live.facts.extend(cpus.map(|cpus| ("Allowed CPUs", cpus)));
        }
        if sample.stats.pids.is_none()
            && let Some(tasks) = read("pids", "pids.current")
        {
            let most =
                read("pids", "pids.max").filter(|most| most != "max").map(|most| format!(" of {most}"));
            live.facts.push(("Tasks", tasks + most.as_deref().unwrap_or_default()));
        }
    }

    /// The processes of the subject and of what is below it, busiest first.
    async fn processes(&self, known: &Known<'_>, subject: &Subject) -> Option<Vec<Task>> {
        let top = Arc::clone(&known.find(subject)?.sample?.path);
        let mut groups = vec![(Arc::clone(&top), String::new())];
        for sample in live::below(known.readings.last()?, &top) {
            groups.push((Arc::clone(&sample.path), live::name(sample)));
        }
        let containers = Arc::clone(&self.containers);
        let read = move || {
            let mut found = HashMap::new();
            for (path, name) in groups {
                // Taken anew for each, so that a scrape need not wait for all of them.
                let table = containers.lock().unwrap_or_else(PoisonError::into_inner).table(&path);
                // With cgroup v1 a process is in one cgroup of each tree: the deepest says most, and comes last.
                let table = table.into_iter().flatten();
                found.extend(table.map(|process| (process.pid, Task::new(process, &name))));
            }
            let mut tasks: Vec<Task> = found.into_values().collect();
            tasks.sort_by(|a, b| b.percent_cpu.total_cmp(&a.percent_cpu).then(b.rss.cmp(&a.rss)));
            tasks.truncate(PROCESSES);
            tasks
        };
        tokio::task::spawn_blocking(read).await.ok()
    }
}

impl Snapshot {
    fn known(&self, pages: &Pages) -> Known<'_> {
        Known {
            readings: &self.readings,
            containers: &self.containers,
            connections: &self.connections,
            cores: self.cores,
            span: pages.settings.history,
        }
    }
}

/// What a path asks for, and how it is called there; `None` if it is no page's, `Err` if it cannot be decoded.
fn subject(path: &str) -> Option<Result<(Subject, Vec<u8>), ()>> {
    let (make, rest): (fn(Vec<u8>) -> Subject, _) = if let Some(rest) = path.strip_prefix("/containers/") {
        (Subject::Cgroup, rest)
    } else if let Some(rest) = path.strip_prefix("/docker/") {
        (|name| of_runtime(Runtime::Docker, &name), rest)
    } else {
        (|name| of_runtime(Runtime::Podman, &name), path.strip_prefix("/podman/")?)
    };
    let Some(decoded) = decode(rest) else { return Some(Err(())) };
    let trimmed = trim_slashes(&decoded);
    let mut asked = vec![b'/'];
    asked.extend_from_slice(trimmed);
    let name = if path.starts_with("/containers/") { asked.clone() } else { trimmed.to_vec() };
    Some(Ok((make(name), asked)))
}

fn of_runtime(runtime: Runtime, name: &[u8]) -> Subject {
    match String::from_utf8_lossy(name) {
        name if name.is_empty() => Subject::Runtime(runtime),
        name => Subject::Container(runtime, name.into_owned()),
    }
}

fn trim_slashes(mut path: &[u8]) -> &[u8] {
    while let Some((b'/', rest)) = path.split_first() {
        path = rest;
    }
    while let Some((b'/', rest)) = path.split_last() {
        path = rest;
    }
    path
}

/// The bytes that an escaped path stands for: cgroups need not have UTF-8 in their names.
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let digit = |i: usize| (*tail.get(i)? as char).to_digit(16);
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = &tail[2..];
    }
    Some(bytes)
}

/// How many numbers are in a list of the kernel's: `0-3,8`.
fn count(list: &[u8]) -> Option<u64> {
    let mut sum = 0_u64;
    for part in list.trim_ascii_end().split(|&b| b == b',') {
        let (first, last) = scan::split_once(part, b'-').unwrap_or((part, part));
        let (first, last) = (scan::unsigned(first)?, scan::unsigned(last)?);
        sum = sum.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(sum)
}

fn asset(name: &str, call: &Call) -> Page {
    let (body, kind, tag) = match name {
        "page.js" => (SCRIPT, "text/javascript; charset=utf-8", SCRIPT_TAG),
        "page.css" => (STYLE, "text/css; charset=utf-8", STYLE_TAG),
        _ => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    let mut page = text(StatusCode::OK, body);
    let tag = format!("{tag:016x}");
    let is_this = call.query.iter().any(|(key, value)| key == "v" && *value == tag);
    set(&mut page, header::CONTENT_TYPE, kind);
    set(&mut page, header::ETAG, &format!("\"{tag}\""));
    set(
        &mut page,
        header::CACHE_CONTROL,
        if is_this { "public, max-age=31536000, immutable" } else { "no-cache" },
    );
    set(&mut page, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    page
}

fn reads_only() -> Page {
    let mut page = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n");
    set(&mut page, header::ALLOW, "GET, HEAD");
    page
}

fn not_found(is_live: bool, call: &Call, why: &str) -> Page {
    refusal(StatusCode::NOT_FOUND, "Not found", is_live, call, why)
}

fn unreadable(is_live: bool, call: &Call) -> Page {
    let why = "The cgroups of this machine cannot be read. /validate/ says more.";
    refusal(StatusCode::SERVICE_UNAVAILABLE, "No numbers", is_live, call, why)
}

fn refusal(status: StatusCode, title: &str, is_live: bool, call: &Call, why: &str) -> Page {
    if is_live {
        let body = serde_json::json!({ "error": why }).to_string();
        return private(json(status, body));
    }
    let prefix = &call.prefix;
    let body = fill(PAGE, |key, out| match key {
        "title" => out.push_str(title),
        "prefix" => out.push_str(prefix),
        "head" => push_style(out, prefix),
        "crumbs" => push_link(out, &format!("{prefix}/containers/"), "All cgroups"),
        "heading" => out.push_str(title),
        "body" => {
            out.push_str("<p class=\"message\">");
            push_text(out, why);
            out.push_str("</p>");
        }
        _ => {}
    });
    private(secure(html(status, body)))
}

/// The page, with the numbers of this moment.
fn document(known: &Known, subject: &Subject, live: &Live, prefix: &str) -> Page {
    let body = fill(PAGE, |key, out| match key {
        "title" => push_text(out, &live.name),
        "prefix" => out.push_str(prefix),
        "head" => {
            push_style(out, prefix);
            let script =
                format!("\n<script src=\"{prefix}/static/page.js?v={SCRIPT_TAG:016x}\" defer></script>");
            out.push_str(&script);
        }
        "crumbs" => crumbs(known, subject, live, prefix, out),
        "heading" => push_text(out, &live.name),
        "body" => body(subject, live, prefix, out),
        _ => {}
    });
    private(secure(html(StatusCode::OK, body)))
}

/// The way from the top to here.
fn crumbs(known: &Known, subject: &Subject, live: &Live, prefix: &str, out: &mut String) {
    let path: &[u8] = match subject {
        Subject::Cgroup(path) => path,
        Subject::Runtime(_) => b"/",
        Subject::Container(runtime, _) => {
            let of = if *runtime == Runtime::Podman { "podman" } else { "docker" };
            push_link(out, &format!("{prefix}/{of}/"), &format!("{} containers", live::title(*runtime)));
            if let Some(path) = &live.path {
                push_link(out, &format!("{prefix}/containers{path}"), "its cgroup");
            }
            return;
        }
    };
    push_link(out, &format!("{prefix}/containers/"), "All cgroups");
    for (end, _) in path.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/').chain([(path.len(), &b'/')])
    {
        let Some(part) = path.get(..end).filter(|part| part.len() > 1) else { continue };
        let sample = known.readings.last().and_then(|reading| reading.at(part));
        let name = sample.map_or_else(
            || String::from_utf8_lossy(part.rsplit(|&b| b == b'/').next().unwrap_or_default()).into_owned(),
            live::name,
        );
        push_link(out, &format!("{prefix}/containers{}", live::escape(part)), &name);
    }
}

fn body(subject: &Subject, live: &Live, prefix: &str, out: &mut String) {
    let table = |heading: &str, id: &str, facts: &[(&str, String)], out: &mut String| {
        if facts.is_empty() {
            return;
        }
        out.push_str(&format!("<section id=\"{id}\"><h2>{heading}</h2><dl>"));
        for (heading, value) in facts {
            out.push_str("<div><dt>");
            push_text(out, heading);
            out.push_str("</dt><dd>");
            push_text(out, value);
            out.push_str("</dd></div>");
        }
        out.push_str("</dl></section>\n");
    };
    if let Some(note) = &live.note {
        out.push_str("<noscript><p class=\"message\">");
        push_text(out, note);
        out.push_str("</p></noscript>\n");
    }
    table("Daemon", "daemon", &live.daemon, out);
    table("Facts and limits", "facts", &live.facts, out);
    out.push_str("<div id=\"charts\"></div>\n");
    let now = numbers(live);
    if !now.is_empty() {
        out.push_str("<noscript>");
        table("Now", "now", &now, out);
        out.push_str("</noscript>\n");
    }
    let rows = live.rows.list.as_deref().unwrap_or_default();
    out.push_str("<section id=\"below\"");
    if rows.is_empty() {
        out.push_str(" hidden");
    }
    let heading =
        if matches!(subject, Subject::Runtime(_)) { "Containers" } else { "Containers and cgroups below" };
    out.push_str(&format!("><h2>{heading}</h2>"));
    out.push_str("<div class=\"wide\"><table><thead><tr><th scope=\"col\">Name</th>");
    out.push_str("<th scope=\"col\">State</th><th scope=\"col\" class=\"extra\">Image</th>");
    out.push_str("<th scope=\"col\" class=\"number\">CPUs</th><th scope=\"col\" class=\"number\">Memory</th></tr></thead><tbody>");
    for (row, (cpu, memory)) in rows.iter().zip(&live.rows.now) {
        out.push_str(&format!("<tr><td class=\"d{}\">", row.depth.min(9)));
        push_link(out, &format!("{prefix}{}", row.href), &row.name);
        out.push_str("</td><td>");
        push_text(out, &row.state);
        out.push_str("</td><td class=\"extra\">");
        push_text(out, &row.image);
        out.push_str("</td><td class=\"number\">");
        push_text(out, &cpu.map(|cpu| format!("{cpu:.2}")).unwrap_or_default());
        out.push_str("</td><td class=\"number\">");
        push_text(out, &memory.map(live::size).unwrap_or_default());
        out.push_str("</td></tr>\n");
    }
    out.push_str(
        "</tbody></table></div></section>\n<section id=\"processes\" hidden><h2>Processes</h2></section>\n",
    );
}

/// The newest numbers, for readers without a script.
fn numbers(live: &Live) -> Vec<(&'static str, String)> {
    let mut numbers = Vec::new();
    let Some(point) = live.points.last() else { return numbers };
    let mut add = |heading, value: Option<String>| numbers.extend(value.map(|value| (heading, value)));
    add("CPUs used", point.c[0].map(|cpus| format!("{cpus:.2}")));
    add("Memory in use", point.m[0].map(live::size));
    add("Working set", point.m[1].map(live::size));
    add("Swap in use", point.m[2].filter(|&bytes| bytes != 0).map(live::size));
    let per_second = |pairs: &[[Option<u64>; 2]], names: &[String], words: [&str; 2]| {
        let line = |(name, pair): (&String, &[Option<u64>; 2])| {
            let [one, two] = pair.map(|rate| rate.map(live::size));
            Some(format!("{name}: {} {}/s, {} {}/s", words[0], one?, words[1], two?))
        };
        let lines: Vec<String> = names.iter().zip(pairs).filter_map(line).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    };
    add("Network", per_second(&point.n, &live.interfaces, ["received", "sent"]));
    add("Disks", per_second(&point.d, &live.devices, ["read", "written"]));
    let used = |f: &live::Filesystem| {
        Some(format!("{}: {} of {}", f.device, live::size(f.usage?), live::size(f.capacity)))
    };
    let filesystems: Vec<String> = live.filesystems.iter().filter_map(used).collect();
    add("Filesystems", (!filesystems.is_empty()).then(|| filesystems.join("; ")));
    numbers
}

/// A template with its `{keys}` filled in. What is filled in is not looked at again, whatever it says.
fn fill(template: &str, mut value: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::with_capacity(2 * template.len());
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        out.push_str(before);
        match tail.split_once('}') {
            Some((key, tail)) => {
                value(key, &mut out);
                rest = tail;
            }
            None => rest = tail,
        }
    }
    out.push_str(rest);
    out
}

fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What a document of HTML must not have.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

fn push_style(out: &mut String, prefix: &str) {
    out.push_str(&format!("<link rel=\"stylesheet\" href=\"{prefix}/static/page.css?v={STYLE_TAG:016x}\">"));
}

/// A link to a page of this site: `href` begins with the prefix and a word of ours.
fn push_link(out: &mut String, href: &str, name: &str) {
    out.push_str("<a href=\"");
    push_text(out, href);
    out.push_str("\">");
    push_text(out, name);
    out.push_str("</a>");
}

fn set(page: &mut Page, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        page.headers_mut().insert(name, value);
    }
}

fn secure(mut page: Page) -> Page {
    set(&mut page, header::CONTENT_SECURITY_POLICY, POLICY);
    set(&mut page, header::REFERRER_POLICY, "same-origin");
    page
}

/// It is of this moment, and nobody keeps it.
fn private(mut page: Page) -> Page {
    set(&mut page, header::CACHE_CONTROL, "no-store");
    set(&mut page, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    page
}

#[cfg(test)]
mod tests {
    use super::live::tests::{ID, known, reading, sample};
    use super::*;
    use crate::metadata::testing::metadata;

    #[test]
    fn paths_and_what_they_ask_for() {
        let asked = |path: &str| subject(path).map(|found| found.map(|(subject, _)| subject));
        let cgroup = |path: &[u8]| Some(Ok(Subject::Cgroup(path.to_vec())));
        assert_eq!(asked("/containers/"), cgroup(b"/"));
        assert_eq!(asked("/containers//"), cgroup(b"/"));
        assert_eq!(asked("/containers/docker/x/"), cgroup(b"/docker/x"));
        assert_eq!(asked("/containers/a%5cx2d%20+%ff"), cgroup(b"/a\\x2d +\xff"));
        assert_eq!(asked("/containers/%2"), Some(Err(())));
        assert_eq!(asked("/containers/%zz"), Some(Err(())));
        assert_eq!(asked("/docker/"), Some(Ok(Subject::Runtime(Runtime::Docker))));
        assert_eq!(asked("/podman/web"), Some(Ok(Subject::Container(Runtime::Podman, "web".into()))));
        assert_eq!(asked("/docker/web/"), Some(Ok(Subject::Container(Runtime::Docker, "web".into()))));
        assert_eq!(asked("/other/"), None);
    }

    #[test]
    fn numbers_in_lists() {
        for (list, expected) in [("0-3\n", Some(4)), ("0\n", Some(1)), ("0-1,4,6-7", Some(5))] {
            assert_eq!(count(list.as_bytes()), expected, "{list}");
        }
        for bad in ["", "\n", "3-1", "a", "0-18446744073709551615", "1,"] {
            assert_eq!(count(bad.as_bytes()), None, "{bad}");
        }
    }

    fn body_of(page: Page) -> String {
        let mut body = page.into_body();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match hyper::body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut context) {
            std::task::Poll::Ready(Some(Ok(frame))) => {
                String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
            }
            other => panic!("no body: {other:?}"),
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        const EVIL: &str =
            "</title><script src=//evil.example/x></script>'\"><img src=x onerror=alert(1)>{body}{prefix}";
        let mut container = sample(format!("/docker/{ID}").as_bytes());
        let mut told = metadata(ID, EVIL);
        told.image = EVIL.to_owned();
        container.metadata = Some(Arc::new(told));
        let mut group = sample(EVIL.as_bytes());
        group.path = [b"/", EVIL.as_bytes()].concat().into();
        container.interfaces.push((EVIL.to_owned(), crate::network::Interface::default()));
        let readings = [reading(1, vec![sample(b"/"), group, container])];
        let known = known(&readings, &[]);
        for subject in [
            Subject::Cgroup(b"/".to_vec()),
            Subject::Cgroup(format!("/docker/{ID}").into_bytes()),
            Subject::Cgroup(format!("/{EVIL}").into_bytes()),
        ] {
            let live = known.live(&subject, &Ask::default()).unwrap();
            let page = document(&known, &subject, &live, "/prefix");
            assert_eq!(page.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            let text = body_of(page);
            assert!(!text.contains("<img") && !text.contains("<script src=//"), "{text}");
            assert_eq!(text.matches("<script").count(), 1, "{text}");
            assert_eq!(text.matches("</title>").count(), 1, "{text}");
            assert_eq!(text.matches("<main>").count(), 1, "{text}");
            assert!(text.contains("&lt;/script&gt;") && text.contains("{body}{prefix}"), "{text}");
            assert!(text.contains("href=\"/prefix/static/page.css?v="), "{text}");
        }
    }

    #[test]
    fn assets_are_small_and_kept() {
        assert!(SCRIPT.len() + STYLE.len() + PAGE.len() < 40_000);
        let call = |query: &[(&str, String)]| Call {
            method: Method::GET,
            path: String::new(),
            query: query.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            body: Default::default(),
            prefix: String::new(),
        };
        let page = asset("page.js", &call(&[("v", format!("{SCRIPT_TAG:016x}"))]));
        assert_eq!(page.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(page.headers()[header::ETAG], format!("\"{SCRIPT_TAG:016x}\""));
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let old = asset("page.css", &call(&[("v", "old".to_owned())]));
        assert_eq!(old.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(asset("../x", &call(&[])).status(), StatusCode::NOT_FOUND);
        for text in [SCRIPT, STYLE, PAGE] {
            let addresses = text.matches("://").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(addresses, 0, "an address of somebody else");
        }
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }
}
