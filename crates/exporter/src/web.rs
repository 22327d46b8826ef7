//! The web server. Routes:
//!
//! | path | answer |
//! |---|---|
//! | `--web.telemetry-path` (`/metrics`) | the scrape; `collect[]` and `exclude[]` choose collectors |
//! | `/-/healthy` | 200 as long as the process serves |
//! | any other | the product's [`Pages`]; without any, the landing page at `/` and 404 |
//!
//! Each path is behind the prefix, if there is one; outside of it everything is 404. Before all of that comes the password, if there are
//! any: no path is exempt.
//!
//! GET and HEAD only, and POST for pages. Limits: connections, requests at once ([`FLAGS`]), and time in every phase of a connection.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::flags::Flag;
use crate::own::Answer;
use crate::scrape::Scraper;

mod auth;
mod connection;
pub mod listen;

use connection::Upload;

pub use auth::Auth;
pub use connection::Patience;
pub use hyper::{Method, StatusCode};

/// The flags of the web server, but for the address, whose default is each exporter's own.
pub const FLAGS: &[Flag] = &[
    Flag::text("web.telemetry-path", "/metrics", "Path of the metrics."),
    Flag::number("web.max-requests", 40, "Most scrapes at once; more are answered with 503. 0 is no limit."),
    Flag::switch(
        "web.disable-exporter-metrics",
        false,
        "Leave out the metrics about the exporter itself (process_*, promhttp_*).",
    ),
    Flag::text("web.config.file", "", "Not supported yet: the start is refused if it is given."),
    Flag::switch(
        "web.systemd-socket",
        false,
        "Use the sockets that systemd hands over instead of the addresses.",
    ),
];

/// How long a scrape may take if the scraper does not say.
const SCRAPE: Duration = Duration::from_secs(10);
/// What is kept of the scraper's own timeout for the way back.
const MARGIN: Duration = Duration::from_millis(500);
/// How long a stop waits for answers under way.
const DRAIN: Duration = Duration::from_secs(5);
/// The first and the longest pause after an accept that failed, for lack of descriptors.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// What is served.
pub struct Site {
    /// Runs the collectors.
    pub scraper: Scraper,
    /// Every collector there is, enabled or not.
    pub known: Vec<&'static str>,
    /// The path of the metrics.
    pub metrics_path: String,
    /// Most scrapes at once; 0 is no limit.
    pub max_requests: u64,
    /// Answers every other path.
    pub pages: Arc<dyn Pages>,
    /// What every path begins with: empty, or as [`prefix`] gives it.
    pub prefix: String,
    /// Who may ask; everyone if `None`.
    pub auth: Option<Auth>,
    /// How long peers may do nothing.
    pub patience: Patience,
}

/// A prefix for every path, without the slash at its end.
///
/// # Errors
/// What would be right.
pub fn prefix(text: &str) -> Result<String, &'static str> {
    let prefix = text.trim_end_matches('/');
    // It is compared with paths as they are sent, and stands in links: nothing that is written in more than one way.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let good =
        prefix.is_empty() || (prefix.starts_with('/') && prefix.bytes().all(plain) && !prefix.contains("//"));
    good.then(|| prefix.to_owned()).ok_or("must be a path such as /cadvisor, of letters, digits and -._~/")
}

/// An answer.
pub type Page = Response<Full<Bytes>>;

/// A request for [`Pages`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// GET, HEAD or POST. The answer to HEAD is that to GET: its body is left out by the server.
    pub method: Method,
    /// The path as it was sent, percent signs and all ([`decode_path`]), without the prefix.
    pub path: String,
    /// The pairs of the query, decoded; a pair with a broken escape is left out.
    pub query: Vec<(String, String)>,
    /// What was posted, up to 64 KiB.
    pub body: Bytes,
    /// What links and redirects to other pages begin with: empty, or `/prefix`.
    pub prefix: String,
}

/// Answers the paths that are neither the metrics' nor `/-/healthy`.
pub trait Pages: Send + Sync {
    /// The answer. It is made on the event loop, so it must not block.
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Page> + Send + '_>>;
}

/// The page at `/` of an exporter that has no others.
pub struct Landing(Bytes);

impl Landing {
    /// From the page's HTML.
    pub fn new(page: impl Into<Bytes>) -> Self {
        Landing(page.into())
    }
}

impl Pages for Landing {
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Page> + Send + '_>> {
        let page = match (call.method, &*call.path) {
            (Method::POST, _) => not_allowed(),
            (_, "/") => html(StatusCode::OK, self.0.clone()),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        };
        Box::pin(std::future::ready(page))
    }
}

/// Serves on the listeners until `stop` becomes true, then drains for up to five seconds.
///
/// `connections` is the most connections at once.
pub async fn serve(
    site: Arc<Site>,
    listeners: Vec<TcpListener>,
    connections: usize,
    stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(connections));
    let waiting = watch::Sender::new(0);
    for listener in listeners {
        tokio::spawn(accept(Arc::clone(&site), listener, Arc::clone(&places), waiting.clone(), stop.clone()));
    }
    let mut stopped = stop;
    // An error means that the sender is gone, which is a stop too.
    let _ = stopped.wait_for(|&stop| stop).await;
    let everyone = u32::try_from(connections).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(everyone)).await;
}

async fn accept(
    site: Arc<Site>,
    listener: TcpListener,
    places: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = BACK_OFF[0];
    loop {
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                // Peers that do nothing with their places lose them.
                waiting.send_modify(|n| *n += 1);
                let place = Arc::clone(&places).acquire_owned().await;
                waiting.send_modify(|n| *n -= 1);
                let Ok(place) = place else { return };
                place
            }
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|&stop| stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = BACK_OFF[0];
                let (site, stop, waiting) = (Arc::clone(&site), stop.clone(), waiting.subscribe());
                tokio::spawn(async move {
                    connection::serve(
                        stream,
                        site.patience,
                        |request| answer(Arc::clone(&site), request),
                        stop,
                        waiting,
                    )
                    .await;
                    drop(place);
                });
            }
            // The peer gave up before it was accepted.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                if pause == BACK_OFF[0] {
                    crate::log!(Warn, "cannot accept connections, trying again", err = error);
                }
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(BACK_OFF[1]);
            }
        }
    }
}

async fn answer(site: Arc<Site>, request: Request<Upload>) -> Page {
    if let Some(auth) = &site.auth
        && let Err(refusal) = auth.check(request.headers()).await
    {
        return refusal;
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && request.method() != Method::POST {
        return not_allowed();
    }
    let path = match request.uri().path().strip_prefix(&*site.prefix) {
        Some("") => return redirect(&format!("{}/", site.prefix)),
        Some(path) if path.starts_with('/') => path,
        // "*", a host and port, or a path that has not the prefix.
        _ => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    match path {
        // As the original: a telemetry path of "/" is every path.
        path if !reads && (path == "/-/healthy" || path == site.metrics_path || site.metrics_path == "/") => {
            not_allowed()
        }
        "/-/healthy" => text(StatusCode::OK, "Healthy.\n"),
        path if path == site.metrics_path || site.metrics_path == "/" => metrics(&site, &request).await,
        path => {
            let query = pairs(request.uri().query().unwrap_or_default());
            let mut call = Call {
                method: request.method().clone(),
                path: path.to_owned(),
                query: query.map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
                body: Bytes::new(),
                prefix: site.prefix.clone(),
            };
            if !reads {
                call.body = match request.into_body().read().await {
                    Ok(body) => body,
                    Err(status) => return text(status, format!("{status}\n")),
                };
            }
            site.pages.answer(call).await
        }
    }
}

async fn metrics(site: &Site, request: &Request<Upload>) -> Page {
    let own = &site.scraper.own;
    // Ends the count even if the peer goes away in the middle.
    let in_flight = InFlight::begin(site);
    if site.max_requests != 0 && in_flight.now > site.max_requests {
        own.count(Answer::Busy);
        let limit = site.max_requests;
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Limit of concurrent requests reached ({limit}), try again later.\n"),
        );
    }
    let chosen = match Chosen::from_query(request.uri().query().unwrap_or_default(), site) {
        Ok(chosen) => chosen,
        Err(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let gzip = accepts_gzip(request.headers());
    let deadline = Instant::now() + allowance(request.headers());
    let body = site.scraper.scrape(|name| chosen.contains(name), gzip, deadline).await;
    own.count(Answer::Ok);
    let mut page = Response::new(Full::new(body));
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(request.headers())));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    page
}

struct InFlight<'a> {
    site: &'a Site,
    now: u64,
}

impl<'a> InFlight<'a> {
    fn begin(site: &'a Site) -> Self {
        InFlight { site, now: site.scraper.own.begin() }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.site.scraper.own.end();
    }
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Page {
    page(status, "text/plain; charset=utf-8", body.into())
}

/// An answer of HTML.
pub fn html(status: StatusCode, body: impl Into<Bytes>) -> Page {
    page(status, "text/html; charset=utf-8", body.into())
}

/// An answer of JSON.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Page {
    page(status, "application/json", body.into())
}

/// Sends the peer elsewhere, with the same method (307). `location` is escaped as a path is, and begins with the [`Call`]'s prefix.
pub fn redirect(location: &str) -> Page {
    // Two slashes begin the name of another host.
    let elsewhere = location.starts_with("//") || location.starts_with("/\\");
    let (false, Ok(value)) = (elsewhere, HeaderValue::from_str(location)) else {
        return text(StatusCode::BAD_REQUEST, "400 bad path\n");
    };
    let mut page = text(StatusCode::TEMPORARY_REDIRECT, "");
    page.headers_mut().insert(header::LOCATION, value);
    page
}

fn page(status: StatusCode, content_type: &'static str, body: Bytes) -> Page {
    let mut page = Response::new(Full::new(body));
    *page.status_mut() = status;
    page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    page
}

fn not_allowed() -> Page {
    let mut page = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n");
    page.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    page
}

/// Which collectors a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    All,
    These(Vec<String>),
    AllBut(Vec<String>),
}

impl Chosen {
    /// From `collect[]` and `exclude[]`, with the original's answers.
    fn from_query(query: &str, site: &Site) -> Result<Self, String> {
        let enabled = |name: &str| site.scraper.names().any(|n| n == name);
        let (mut collect, mut exclude) = (Vec::new(), Vec::new());
        for (key, value) in pairs(query) {
            match &*key {
                "collect[]" => collect.push(value.into_owned()),
                "exclude[]" => exclude.push(value.into_owned()),
                _ => {}
            }
        }
        if !collect.is_empty() && !exclude.is_empty() {
            return Err("Combined collect and exclude queries are not allowed.".to_owned());
        }
        if let Some(name) = collect.iter().find(|name| !enabled(name)) {
            let kind = if site.known.contains(&name.as_str()) { "disabled" } else { "missing" };
            return Err(format!(
                "Couldn't create filtered metrics handler: couldn't create collector: {kind} collector: {name}"
            ));
        }
        if !collect.is_empty() {
            return Ok(Chosen::These(collect));
        }
        // As the original has it, a filter that leaves nothing is no filter.
        if exclude.is_empty() || site.scraper.names().all(|name| exclude.iter().any(|e| e == name)) {
            return Ok(Chosen::All);
        }
        Ok(Chosen::AllBut(exclude))
    }

    fn contains(&self, name: &str) -> bool {
        match self {
            Chosen::All => true,
            Chosen::These(names) => names.iter().any(|n| n == name),
            Chosen::AllBut(names) => !names.iter().any(|n| n == name),
        }
    }
}

/// The pairs of a query; a pair with a broken escape is left out.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(key, b' ')?, decode(value, b' ')?))
    })
}

/// A path without percent signs; `None` if an escape is broken, or stands for what is not UTF-8.
pub fn decode_path(path: &str) -> Option<Cow<'_, str>> {
    decode(path, b'+')
}

/// `plus` is what a plus sign stands for.
fn decode(text: &str, plus: u8) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match b {
            b'%' => {
                let digit = |i: usize| (*tail.get(i)? as char).to_digit(16);
                bytes.push((digit(0)? * 16 + digit(1)?) as u8);
                rest = &tail[2..];
            }
            b'+' => bytes.push(plus),
            b => bytes.push(b),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// How long the scrape may take: what the scraper allows, less the way back.
fn allowance(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get("x-prometheus-scrape-timeout-seconds")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .filter(|seconds: &f64| *seconds > 0.0);
    match seconds.map(|seconds| Duration::from_secs_f64(seconds.min(3600.0))) {
        None => SCRAPE,
        Some(timeout) if timeout > 2 * MARGIN => timeout - MARGIN,
        Some(timeout) => timeout / 2,
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let weight = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && parts.find_map(weight) != Some(0.0)
        })
    })
}

/// Text 0.0.4 always; the escaping scheme is the one that was asked for, since no name here needs any.
fn content_type(headers: &HeaderMap) -> &'static str {
    let accepts_utf8 =
        |value: &HeaderValue| value.to_str().is_ok_and(|accept| accept.contains("escaping=allow-utf-8"));
    if headers.get_all(header::ACCEPT).iter().any(accepts_utf8) {
        "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own::{Build, Own};

    struct Nothing;

    impl crate::Collector for Nothing {
        fn collect(&mut self, _out: &mut crate::Text, _deadline: Instant) -> Result<(), crate::Error> {
            Ok(())
        }
    }

    fn site() -> Site {
        let build = Build { family: "x_build_info", version: "", revision: "", branch: "" };
        let scraper = Scraper::new(
            vec![("cpu", Box::new(Nothing)), ("stat", Box::new(Nothing))],
            Own::new("x", build, false),
        );
        Site {
            scraper,
            known: vec!["cpu", "perf", "stat"],
            metrics_path: "/metrics".into(),
            max_requests: 0,
            pages: Arc::new(Landing::new("")),
            prefix: String::new(),
            auth: None,
            patience: Patience::default(),
        }
    }

    #[test]
    fn queries_have_the_original_s_answers() {
        let site = site();
        let chosen = |query| Chosen::from_query(query, &site);
        let these = |names: &[&str]| Ok(Chosen::These(names.iter().map(ToString::to_string).collect()));
        assert_eq!(chosen(""), Ok(Chosen::All));
        assert_eq!(chosen("other=1&%zz=cpu"), Ok(Chosen::All));
        assert_eq!(chosen("collect[]=cpu&collect%5B%5D=stat"), these(&["cpu", "stat"]));
        assert_eq!(chosen("collect[]=cpu&collect[]=cpu"), these(&["cpu", "cpu"]));
        assert_eq!(chosen("exclude[]=cpu"), Ok(Chosen::AllBut(vec!["cpu".to_owned()])));
        assert_eq!(chosen("exclude[]=nope"), Ok(Chosen::AllBut(vec!["nope".to_owned()])));
        assert_eq!(chosen("exclude[]=cpu&exclude[]=stat"), Ok(Chosen::All));
        assert_eq!(
            chosen("collect[]=nope").unwrap_err(),
            "Couldn't create filtered metrics handler: couldn't create collector: missing collector: nope"
        );
        assert_eq!(
            chosen("collect[]=perf").unwrap_err(),
            "Couldn't create filtered metrics handler: couldn't create collector: disabled collector: perf"
        );
        assert_eq!(
            chosen("collect[]=cpu&exclude[]=stat").unwrap_err(),
            "Combined collect and exclude queries are not allowed."
        );
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn encodings_and_types() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("GZIP ; q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0, br", false),
            ("zstd, br", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(&[("accept-encoding", value)])), expected, "{value}");
        }
        let open_metrics = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.1";
        assert!(
            content_type(&headers(&[("accept", open_metrics)]))
                .ends_with("version=0.0.4; charset=utf-8; escaping=allow-utf-8")
        );
        assert!(content_type(&headers(&[])).ends_with("escaping=underscores"));
    }

    #[test]
    fn prefixes() {
        for (text, expected) in
            [("", ""), ("/", ""), ("/a", "/a"), ("/a/", "/a"), ("/a/b-c.d_e~1", "/a/b-c.d_e~1")]
        {
            assert_eq!(prefix(text).as_deref(), Ok(expected));
        }
        for bad in ["a", "//a", "/a//b", "/a b", "/a%20b", "/a?b", "/\u{e9}", "http://a"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redirects_stay_here() {
        for (location, status) in [("/a/", 307), ("//evil", 400), ("/\\evil", 400), ("/a\nb", 400)] {
            assert_eq!(redirect(location).status(), status, "{location}");
        }
    }

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(decode_path("/a%5cx2d+b%25").as_deref(), Some("/a\\x2d+b%"));
        assert_eq!((decode_path("/%f"), decode_path("/%zz"), decode_path("/%ff")), (None, None, None));
    }

    #[test]
    fn the_scraper_s_timeout_is_kept() {
        let millis =
            |value| allowance(&headers(&[("x-prometheus-scrape-timeout-seconds", value)])).as_millis();
        assert_eq!(
            (millis("10"), millis("5.5"), millis("0.4"), millis("1e300")),
            (9500, 5000, 200, 3_599_500)
        );
        assert_eq!((millis("x"), millis("-1"), millis("NaN"), millis("0")), (10_000, 10_000, 10_000, 10_000));
    }
}
