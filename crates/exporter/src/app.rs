//! A whole exporter: from the command line to the last answer. `main.rs` of each exporter calls [`main`] with its [`Product`].

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::collector::{Collector, Entry};
use crate::flags::{Asked, Flag, FlagError, Flags, Program, Style};
use crate::own::{Build, Own};
use crate::scrape::Scraper;
use crate::web::listen::Address;
use crate::web::{self, Auth, Landing, Pages, Site};

/// What makes one exporter differ from another.
pub struct Product {
    /// The name in messages and in `--help`, as the original's.
    pub name: &'static str,
    /// The heading of the landing page.
    pub title: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The build.
    pub build: Build,
    /// Begins the names of the collectors' success and duration.
    pub namespace: &'static str,
    /// Where it listens if no flag says so.
    pub listen: &'static [&'static str],
    /// Flags of its own, beside those of the collectors.
    pub flags: &'static [Flag],
    /// How its command line is written.
    pub style: Style,
    /// Checks its own flags, and sets shared ones from them, before anything else looks at them.
    pub settle: fn(&mut Flags) -> Result<(), FlagError>,
    /// Makes what it serves beside the collectors of its entries. Called once, before those are made and before anything is bound.
    pub service: fn(&Flags) -> Result<Service, FlagError>,
    /// Its collectors.
    pub entries: &'static [Entry],
    /// Collectors of the original that are not here. Their flags are taken and not shown; what their constructors make always fails.
    pub lacking: &'static [Entry],
}

/// What a product serves beside the collectors of its entries.
#[derive(Default)]
pub struct Service {
    /// Collectors, by the names that they have in `collect[]` and in the success metric.
    pub collectors: Vec<(&'static str, Box<dyn Collector>)>,
    /// Answers every path but that of the metrics and `/-/healthy`; the landing page and 404 if there is none.
    pub pages: Option<Arc<dyn Pages>>,
    /// Work that goes on beside the requests.
    pub tasks: Vec<Task>,
}

/// Runs on the event loop, so it must not block. It starts when the ports are open, and is dropped when the last answers are out after
/// the stop.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The only subcommand.
const HEALTHCHECK: &str = "healthcheck";

/// The most connections at once; fewer if the limit on descriptors is low.
const CONNECTIONS: u64 = 512;

/// One for each listener that waits for the next one, and some more.
const LEAST_CONNECTIONS: u64 = 8;

/// For products whose collectors can be chosen.
const COLLECTORS_FLAGS: &[Flag] = &[
    Flag::switch("collector.disable-defaults", false, "Switch off every collector that no flag switches on."),
    Flag::number(
        "runtime.gomaxprocs",
        1,
        "Taken and ignored: collectors run on one thread, and on another beside a slow one.",
    )
    .env("GOMAXPROCS"),
];

impl Product {
    /// Every flag: the product's, the shared ones, and a switch for each collector followed by the collector's own.
    pub fn all_flags(&self) -> Vec<Flag> {
        let listen = "Where to listen: :port, host:port or [IPv6]:port.";
        let mut flags = vec![Flag::list_or("web.listen-address", self.listen, listen)];
        flags.extend_from_slice(web::FLAGS);
        flags.extend_from_slice(crate::log::FLAGS);
        if self.has_entries() {
            flags.extend_from_slice(COLLECTORS_FLAGS);
        }
        flags.extend_from_slice(self.flags);
        for entry in self.entries {
            flags.push(Flag::switch(switch_name(entry.name), entry.on, entry.help));
            flags.extend_from_slice(entry.flags);
        }
        for entry in self.lacking {
            flags.push(Flag::switch(switch_name(entry.name), false, entry.help).hidden());
            flags.extend_from_slice(entry.flags);
        }
        flags
    }

    fn has_entries(&self) -> bool {
        !(self.entries.is_empty() && self.lacking.is_empty())
    }

    fn program(&self) -> Program {
        let Build { version, revision, branch, .. } = self.build;
        let version = format!("{}, version {version} (branch: {branch}, revision: {revision})", self.name);
        Program {
            name: self.name,
            about: self.about,
            version: version.leak(),
            style: self.style,
            commands: &[(
                HEALTHCHECK,
                "Ask the exporter that listens here whether it serves, and exit with 0 if so.",
            )],
        }
    }

    fn site(&self, flags: &Flags) -> Result<(Site, Vec<Task>), FlagError> {
        let Service { mut collectors, pages, tasks } = (self.service)(flags)?;
        let path = flags.text("web.telemetry-path");
        if !path.starts_with('/') {
            return Err(flags.error("web.telemetry-path", "must begin with /"));
        }
        let prefix = prefix(flags)?;
        if !flags.text("web.config.file").is_empty() {
            return Err(flags.error(
                "web.config.file",
                "is not supported yet: put a proxy in front for TLS and passwords",
            ));
        }
        for entry in self.lacking.iter().filter(|entry| flags.switch(switch_name(entry.name))) {
            crate::log!(
                Error,
                "this collector is not available here: its success is 0",
                collector = entry.name
            );
        }
        let mut known: Vec<&'static str> = collectors.iter().map(|collector| collector.0).collect();
        let by_default = !(self.has_entries() && flags.switch("collector.disable-defaults"));
        for entry in self.entries.iter().chain(self.lacking) {
            let switch = switch_name(entry.name);
            known.push(entry.name);
            if flags.switch(switch) && (by_default || flags.is_given(switch)) {
                collectors.push((entry.name, (entry.new)(flags)?));
            }
        }
        // The order in which they run, and in which their successes stand.
        collectors.sort_unstable_by_key(|collector| collector.0);
        let own = Own::new(self.namespace, self.build, !flags.switch("web.disable-exporter-metrics"));
        let site = Site {
            scraper: Scraper::new(collectors, own),
            known,
            metrics_path: path.to_owned(),
            max_requests: flags.number("web.max-requests"),
            pages: pages.unwrap_or_else(|| Arc::new(Landing::new(self.landing(&format!("{prefix}{path}"))))),
            prefix,
            auth: auth(flags)?,
            patience: web::Patience::default(),
        };
        Ok((site, tasks))
    }

    fn landing(&self, path: &str) -> String {
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        include_str!("web/landing.html")
            .replace("{title}", &escape(self.title))
            .replace("{about}", &escape(self.about))
            .replace("{version}", &escape(self.build.version))
            .replace("{metrics}", &escape(path))
    }
}

/// The flag of products whose every path may begin with a prefix.
const PREFIX: &str = "url_base_prefix";

fn prefix(flags: &Flags) -> Result<String, FlagError> {
    if !flags.is_declared(PREFIX) {
        return Ok(String::new());
    }
    web::prefix(flags.text(PREFIX)).map_err(|why| flags.error(PREFIX, why))
}

/// The flags of products that ask for passwords. The original's second way to do so is not here.
const AUTH_FILE: &str = "http_auth_file";
const AUTH_REALM: &str = "http_auth_realm";
const DIGEST_FILE: &str = "http_digest_file";

fn auth(flags: &Flags) -> Result<Option<Auth>, FlagError> {
    let file = if flags.is_declared(AUTH_FILE) { flags.text(AUTH_FILE) } else { "" };
    if flags.is_declared(DIGEST_FILE) && !flags.text(DIGEST_FILE).is_empty() {
        let instead = flags.spelled(AUTH_FILE);
        if file.is_empty() {
            let why = format!(
                "digest authentication is not supported: make a file with htpasswd -B and give it with {instead}"
            );
            return Err(flags.error(DIGEST_FILE, why));
        }
        crate::log!(Warn, &format!("{} has no effect beside {instead}", flags.spelled(DIGEST_FILE)));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let realm = if flags.is_declared(AUTH_REALM) { flags.text(AUTH_REALM) } else { "" };
    Auth::open(file.as_ref(), realm).map(Some).map_err(|why| flags.error(AUTH_FILE, why))
}

/// `collector.<name>`. Flags live as long as the process, so their names may.
fn switch_name(name: &str) -> &'static str {
    format!("collector.{name}").leak()
}

/// Runs the exporter until it is told to stop.
pub fn main(product: &Product) -> ExitCode {
    std::panic::set_hook(Box::new(crate::log::panicked));
    let args: Result<Vec<String>, _> =
        std::env::args_os().skip(1).map(std::ffi::OsString::into_string).collect();
    let asked = args
        .map_err(|arg| FlagError::new(format!("{}: arguments must be UTF-8", arg.display())))
        .and_then(|args| Flags::parse(&product.program(), &product.all_flags(), &args))
        .and_then(|mut asked| {
            if let Asked::Run(flags) = &mut asked {
                (product.settle)(flags)?;
            }
            Ok(asked)
        });
    match asked {
        Ok(Asked::Print(text)) => {
            // A closed pipe behind --help is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Asked::Run(flags)) if flags.command == Some(HEALTHCHECK) => healthcheck(product, &flags),
        Ok(Asked::Run(flags)) => {
            crate::log::init(&flags);
            match product.site(&flags) {
                Ok((site, tasks)) => run(product, &flags, site, tasks),
                Err(error) => usage(product, &error),
            }
        }
        Err(error) => usage(product, &error),
    }
}

fn usage(product: &Product, error: &FlagError) -> ExitCode {
    let dashes = product.style.dashes();
    let _ = writeln!(std::io::stderr(), "{}: error: {error}, try {dashes}help", product.name);
    match product.style {
        Style::Kingpin => ExitCode::FAILURE,
        Style::Go => ExitCode::from(2),
    }
}

fn run(product: &Product, flags: &Flags, site: Site, tasks: Vec<Task>) -> ExitCode {
    crate::log!(
        Info,
        &format!("Starting {}", product.name),
        version = product.build.version,
        revision = product.build.revision
    );
    for warning in flags.warnings() {
        crate::log!(Warn, warning);
    }
    if rustix::process::geteuid().is_root() {
        crate::log!(Warn, "Running as root, which is not needed: use an account without privileges");
    }
    let names: Vec<&str> = site.scraper.names().collect();
    crate::log!(Info, "Enabled collectors", collectors = names.join(","));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fatal("cannot start the event loop", &error),
    };
    let connections = raise_descriptor_limit();
    let code = runtime.block_on(async {
        let listeners = match listeners(flags) {
            Ok(listeners) => listeners,
            Err((address, error)) => return fatal(&format!("cannot listen on {address}"), &error),
        };
        for listener in &listeners {
            if let Ok(address) = listener.local_addr() {
                crate::log!(Info, "Listening on", address = address);
            }
        }
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            wait_for_stop().await;
            // Nobody listens any more if the server has ended by itself.
            let _ = stop.send(true);
        });
        // What the command line took to be parsed.
        hostfs::sys::give_memory_back();
        let mut tasks: JoinSet<()> = tasks.into_iter().collect();
        web::serve(Arc::new(site), listeners, connections, stopped).await;
        // Pages may ask them until the last answer is out.
        tasks.shutdown().await;
        crate::log!(Info, "Stopped");
        ExitCode::SUCCESS
    });
    // A thread that computes, or hangs in a system call, does not hold the stop.
    runtime.shutdown_background();
    code
}

fn fatal(what: &str, error: &std::io::Error) -> ExitCode {
    crate::log!(Error, what, err = error);
    ExitCode::FAILURE
}

/// SIGTERM and SIGINT stop; SIGHUP, which some unit files send to reload, does nothing.
async fn wait_for_stop() {
    let (Ok(mut term), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        // Without handlers the signals end the process, which is what they ask for.
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = term.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => {}
        }
    }
}

fn listeners(flags: &Flags) -> Result<Vec<tokio::net::TcpListener>, (String, std::io::Error)> {
    let mut sockets = Vec::new();
    if flags.switch("web.systemd-socket") {
        let failed = |why| (flags.spelled("web.systemd-socket"), std::io::Error::other(why));
        sockets = hostfs::sys::inherited_listeners();
        if sockets.is_empty() {
            return Err(failed("no socket was handed over: start it from a systemd socket unit"));
        }
        // A unix socket, a datagram socket or a connection (Accept=yes) would fail at every accept.
        let listens = |socket| sockopt::socket_acceptconn(socket).unwrap_or(false);
        if !sockets.iter().all(|socket| socket.local_addr().is_ok() && listens(socket)) {
            return Err(failed("each socket must be a ListenStream= of TCP, with Accept=no"));
        }
    } else {
        for text in flags.list("web.listen-address") {
            let failed = |error| (text.clone(), error);
            let address = Address::parse(text).map_err(|why| failed(std::io::Error::other(why)))?;
            sockets.push(address.listen().map_err(failed)?);
        }
    }
    let to_async = |socket: std::net::TcpListener| {
        socket.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(socket))
    };
    sockets.into_iter().map(to_async).collect::<Result<_, _>>().map_err(|error| ("socket".to_owned(), error))
}

/// Raises the soft limit on descriptors to the hard one, as Go programs do, shares it out among connections and files that stay open,
/// and returns how many connections there may be.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Refused or not, what counts is the limit that is there afterwards.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A quarter each: the rest is for files that are open while they are read, for directories and sockets.
    hostfs::keep_at_most(usize::try_from(most / 4).unwrap_or(usize::MAX));
    (most / 4).clamp(LEAST_CONNECTIONS, CONNECTIONS) as usize
}

/// Asks `/-/healthy` of the first listen address.
fn healthcheck(product: &Product, flags: &Flags) -> ExitCode {
    let prefix = match prefix(flags) {
        Ok(prefix) => prefix,
        Err(error) => return usage(product, &error),
    };
    let address = &flags.list("web.listen-address")[0];
    let failed = |why: &dyn std::fmt::Display| {
        let _ = writeln!(std::io::stderr(), "{} {HEALTHCHECK}: {address}: {why}", product.name);
        ExitCode::FAILURE
    };
    let timeout = Some(Duration::from_secs(5));
    let ask = || -> std::io::Result<String> {
        let target = Address::parse(address).map_err(std::io::Error::other)?.reach()?;
        let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
        stream.set_read_timeout(timeout)?;
        let request =
            format!("GET {prefix}/-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        // It serves those who know a password, which this is no place for.
        Ok(answer) if answer.starts_with("HTTP/1.1 401 ") && flags.is_declared(AUTH_FILE) => {
            ExitCode::SUCCESS
        }
        Ok(answer) => failed(&format!("answered {:?}", answer.lines().next().unwrap_or_default())),
        Err(error) => failed(&error),
    }
}
