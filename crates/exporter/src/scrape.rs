//! One scrape: every collector runs, none can hold the answer, and scrapes that come together share the work.
//!
//! Collectors run one after the other on one worker thread, in order of name. If one of them has not returned after [`PATIENCE`], it is
//! left behind on its thread and a second worker takes over the rest of the list, so slow collectors end up beside each other, and a
//! normal scrape costs one hand-over between threads. At the deadline the answer goes out with what is there; a collector that
//! is not there has success 0. It stays marked as busy until its system call returns, and later scrapes skip it at once: a
//! collector holds at most one thread.
//!
//! A scrape that finds a collector at work for another scrape waits for that one's result. Scrapes of the same collectors in the same
//! encoding that come together share the finished body too; a run that has been going on for [`PATIENCE`] is joined by none, as what
//! its quick collectors read is no longer new.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use crate::collector::{Collector, Error};
use crate::log::Level;
use crate::own::Own;
use crate::text::{Kind, Text};

/// How long a collector may take before the others stop waiting for it.
const PATIENCE: Duration = Duration::from_millis(100);

/// The least time between two log lines about the same collector.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The least time that a collector has before later scrapes skip it, however soon the scrape that started it wants its answer.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// How long a worker without work stays.
const LINGER: Duration = Duration::from_secs(60);

/// Enough for every collector; the pages that are not touched cost nothing.
const STACK_BYTES: usize = 512 * 1024;

/// Runs collectors and puts their families together.
pub struct Scraper {
    shared: Arc<Shared>,
    assembler: Mutex<Assembler>,
    running: Mutex<Vec<Arc<Run>>>,
    /// The metrics about this process.
    pub own: Own,
}

struct Shared {
    slots: Vec<Slot>,
    epoch: Instant,
    progress: Notify,
    jobs: Mutex<Jobs>,
    more: Condvar,
}

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Arc<Run>>,
    idle: usize,
    workers: usize,
    logged: Option<Instant>,
}

/// A collector and what its last run left.
struct Slot {
    name: &'static str,
    work: Mutex<Work>,
    /// 0 if it is idle, else the time since the epoch, in nanoseconds, at which whoever started it gives it up.
    busy_until: AtomicU64,
    /// How many runs have ended.
    runs: AtomicU64,
}

struct Work {
    collector: Box<dyn Collector>,
    text: Text,
    seconds: f64,
    success: bool,
    logged: Option<Instant>,
    conflict_logged: Option<Instant>,
}

/// The work of one scrape, or of several that came together.
struct Run {
    tickets: Vec<Ticket>,
    gzip: bool,
    deadline: Instant,
    started: Instant,
    next: AtomicUsize,
    /// How far the list had come when a waiter last saw it move, and when that was.
    moved: Mutex<(usize, Instant)>,
    body: Mutex<Option<Bytes>>,
}

/// A collector that a run wants, and how many runs it had ended when the run began.
struct Ticket {
    slot: usize,
    runs_before: u64,
}

enum Standing {
    Ready,
    Pending,
    GivenUp,
}

impl Scraper {
    /// A scraper of these collectors, in this order. No thread is started before the first scrape.
    pub fn new(collectors: Vec<(&'static str, Box<dyn Collector>)>, own: Own) -> Self {
        let slot = |(name, collector)| Slot {
            name,
            work: Mutex::new(Work {
                collector,
                text: Text::new(),
                seconds: 0.0,
                success: false,
                logged: None,
                conflict_logged: None,
            }),
            busy_until: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        };
        let shared = Shared {
            slots: collectors.into_iter().map(slot).collect(),
            epoch: Instant::now(),
            progress: Notify::new(),
            jobs: Mutex::default(),
            more: Condvar::new(),
        };
        Scraper { shared: Arc::new(shared), assembler: Mutex::default(), running: Mutex::default(), own }
    }

    /// The names of the collectors.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.shared.slots.iter().map(|slot| slot.name)
    }

    /// The families of the collectors that `wants` names, as text 0.0.4, compressed if `gzip`. Ends by `deadline`.
    pub async fn scrape(&self, wants: impl Fn(&str) -> bool, gzip: bool, deadline: Instant) -> Bytes {
        let run = self.join_or_start(wants, gzip, deadline);
        loop {
            self.wait(&run, deadline).await;
            if let Some(body) = lock(&run.body).clone() {
                return body;
            }
            let late = Instant::now() >= deadline;
            match self.assemble(&run, late) {
                Some((body, whole)) => {
                    // What is missing although there was time has been given up, for all who share this run.
                    if whole || !late {
                        *lock(&run.body) = Some(body.clone());
                    }
                    lock(&self.running).retain(|other| !Arc::ptr_eq(other, &run));
                    return body;
                }
                // Another scrape has just restarted a collector whose result this one was about to take.
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    fn join_or_start(&self, wants: impl Fn(&str) -> bool, gzip: bool, deadline: Instant) -> Arc<Run> {
        let started = Instant::now();
        let slots = self.shared.slots.iter().enumerate().filter(|(_, slot)| wants(slot.name));
        let tickets: Vec<Ticket> = slots
            .map(|(i, slot)| Ticket { slot: i, runs_before: slot.runs.load(Ordering::Acquire) })
            .collect();
        let mut running = lock(&self.running);
        running.retain(|run| run.deadline > started);
        let same = |run: &&Arc<Run>| {
            // A run for a less patient scraper lacks what this one has the time for.
            let fits = run.started + PATIENCE > started && run.deadline + PATIENCE > deadline;
            fits && run.gzip == gzip && run.tickets.iter().map(|t| t.slot).eq(tickets.iter().map(|t| t.slot))
        };
        if let Some(run) = running.iter().find(same) {
            return Arc::clone(run);
        }
        let (next, moved, body) = (AtomicUsize::new(0), Mutex::new((0, started)), Mutex::default());
        let run = Arc::new(Run { tickets, gzip, deadline, started, next, moved, body });
        running.push(Arc::clone(&run));
        drop(running);
        if !run.tickets.is_empty() {
            self.shared.submit(&run);
        }
        run
    }

    /// Returns when every collector of the run is ready or given up, or at the deadline.
    async fn wait(&self, run: &Arc<Run>, deadline: Instant) {
        loop {
            let notified = self.shared.progress.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let now = Instant::now();
            let Some(until) = self.shared.pending(run, now).map(|until| until.min(deadline)) else { return };
            if now >= until {
                return;
            }
            let until = match run.stalls_at() {
                Some(stalls_at) if stalls_at <= now => {
                    self.shared.submit(run);
                    *lock(&run.moved) = (run.next.load(Ordering::Relaxed), now);
                    until.min(now + PATIENCE)
                }
                Some(stalls_at) => until.min(stalls_at),
                // Workers tell when they are through their list: one that goes on to a collector that hangs does not tell of those before.
                None => until.min(now + PATIENCE),
            };
            tokio::select! {
                () = notified => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Puts the families together, and tells whether every collector's are there. `None` if one is being run again just now, unless it is `late`.
    fn assemble(&self, run: &Run, late: bool) -> Option<(Bytes, bool)> {
        let now = Instant::now();
        let mut works: Vec<Option<MutexGuard<'_, Work>>> = Vec::with_capacity(run.tickets.len());
        for ticket in &run.tickets {
            let slot = &self.shared.slots[ticket.slot];
            let ready = matches!(self.shared.standing(ticket, now), Standing::Ready);
            works.push(match slot.work.try_lock() {
                Ok(work) if ready => Some(work),
                Err(TryLockError::Poisoned(work)) if ready => Some(work.into_inner()),
                Err(TryLockError::WouldBlock) if ready && !late => return None,
                _ => None,
            });
        }
        let whole = works.iter().all(Option::is_some);
        let mut assembler = lock(&self.assembler);
        let Assembler { own, .. } = &mut *assembler;
        own.clear();
        self.own.write(own);
        let outcome = |i: usize| match &works[i] {
            Some(work) => (work.seconds, work.success),
            None => (now.duration_since(run.started).as_secs_f64(), false),
        };
        let names = || run.tickets.iter().enumerate().map(|(i, t)| (i, self.shared.slots[t.slot].name));
        let mut family =
            own.family(self.own.duration_family(), Kind::Gauge, "Time that the collector took, in seconds.");
        for (i, name) in names() {
            family.sample(&[("collector", name.into())], outcome(i).0);
        }
        drop(family);
        let mut family =
            own.family(self.own.success_family(), Kind::Gauge, "Whether the collector succeeded.");
        for (i, name) in names() {
            family.sample(&[("collector", name.into())], outcome(i).1);
        }
        drop(family);
        let conflicts = assembler.order(&mut works);
        if conflicts > 0 {
            self.own.count_gather_error();
        }
        let body = assembler.render(&works, run.gzip);
        // Scrapes of some collectors are smaller without there being less to tell.
        if works.len() == self.shared.slots.len() {
            assembler.settle(&works);
        }
        Some((body, whole))
    }
}

impl Run {
    /// When the collector that holds the list has had its time; `None` if the list is through.
    fn stalls_at(&self) -> Option<Instant> {
        let next = self.next.load(Ordering::Relaxed);
        let mut moved = lock(&self.moved);
        if moved.0 != next {
            *moved = (next, Instant::now());
        }
        (next < self.tickets.len()).then_some(moved.1 + PATIENCE)
    }
}

impl Shared {
    fn nanos(&self, time: Instant) -> u64 {
        // Nonzero, and 584 years long.
        time.saturating_duration_since(self.epoch).as_nanos() as u64 + 1
    }

    fn standing(&self, ticket: &Ticket, now: Instant) -> Standing {
        let slot = &self.slots[ticket.slot];
        // The order matters: a run that ends counts itself before it turns idle.
        let busy_until = slot.busy_until.load(Ordering::Acquire);
        if slot.runs.load(Ordering::Acquire) > ticket.runs_before {
            Standing::Ready
        } else if busy_until != 0 && busy_until <= self.nanos(now) {
            Standing::GivenUp
        } else {
            Standing::Pending
        }
    }

    /// When to look again at what the run still waits for; `None` if it waits for nothing.
    fn pending(&self, run: &Run, now: Instant) -> Option<Instant> {
        let mut until = None;
        for ticket in &run.tickets {
            if let Standing::Pending = self.standing(ticket, now) {
                let busy_until = self.slots[ticket.slot].busy_until.load(Ordering::Acquire);
                let end = if busy_until == 0 {
                    run.deadline
                } else {
                    self.epoch + Duration::from_nanos(busy_until)
                };
                until = Some(until.map_or(end, |other: Instant| other.min(end)));
            }
        }
        until
    }

    /// Has a worker look at the run: an idle one, or a new one unless each collector could hold one and leave one free.
    fn submit(self: &Arc<Self>, run: &Arc<Run>) {
        let now = Instant::now();
        let mut jobs = lock(&self.jobs);
        // Runs are left here if no thread can be started.
        jobs.queue.retain(|waiting| waiting.deadline > now && !Arc::ptr_eq(waiting, run));
        jobs.queue.push_back(Arc::clone(run));
        if jobs.idle >= jobs.queue.len() || jobs.workers > self.slots.len() {
            drop(jobs);
            self.more.notify_one();
            return;
        }
        jobs.workers += 1;
        drop(jobs);
        let shared = Arc::clone(self);
        let worker = std::thread::Builder::new().name("collect".into()).stack_size(STACK_BYTES);
        let Err(error) = worker.spawn(move || shared.work()) else { return };
        // The run stays in the queue for the next worker that is free, and ends at its deadline in any case.
        let mut jobs = lock(&self.jobs);
        jobs.workers -= 1;
        if jobs.logged.is_none_or(|last| now - last >= LOG_EVERY) {
            jobs.logged = Some(now);
            drop(jobs);
            crate::log!(Error, "cannot start a thread for collectors", err = error);
        }
    }

    fn work(&self) {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(run) = jobs.queue.pop_front() {
                drop(jobs);
                self.run(&run);
                drop(run);
                jobs = lock(&self.jobs);
                continue;
            }
            jobs.idle += 1;
            let (guard, timeout) =
                self.more.wait_timeout(jobs, LINGER).unwrap_or_else(PoisonError::into_inner);
            jobs = guard;
            jobs.idle -= 1;
            if timeout.timed_out() && jobs.queue.is_empty() && jobs.idle > 0 {
                jobs.workers -= 1;
                return;
            }
        }
    }

    /// Runs what is left of the list, and tells the waiters.
    fn run(&self, run: &Run) {
        while let Some(ticket) = run.tickets.get(run.next.fetch_add(1, Ordering::Relaxed)) {
            let now = Instant::now();
            if now >= run.deadline {
                break;
            }
            let slot = &self.slots[ticket.slot];
            let until = self.nanos(run.deadline.max(now + LEAST_TIME));
            if slot.busy_until.compare_exchange(0, until, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                lock(&slot.work).collect(slot.name, run.deadline);
                slot.runs.fetch_add(1, Ordering::Release);
                slot.busy_until.store(0, Ordering::Release);
            }
        }
        self.progress.notify_waiters();
    }
}

impl Work {
    fn collect(&mut self, name: &str, deadline: Instant) {
        let Work { collector, text, .. } = self;
        text.clear();
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| collector.collect(text, deadline)));
        self.seconds = started.elapsed().as_secs_f64();
        let result = result.unwrap_or_else(|_| {
            text.clear();
            Err(Error::Failed("the collector panicked, which is a defect: please report it".into()))
        });
        text.shrink();
        self.success = result.is_ok();
        let Err(error) = result else { return };
        let level = if matches!(error, Error::NoData(_)) { Level::Debug } else { Level::Warn };
        if crate::log::enabled(level) && self.logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            self.logged = Some(Instant::now());
            let message = if level == Level::Debug { "collector has no data" } else { "collector failed" };
            crate::log::write(
                level,
                module_path!(),
                message,
                &[("name", &name), ("duration_seconds", &self.seconds), ("err", &error)],
            );
        }
    }
}

/// Puts segments of several texts in order of family name, and encodes them. It keeps its memory and the order of the last time.
#[derive(Default)]
struct Assembler {
    own: Text,
    order: Vec<(u16, u32)>,
    gzip: Option<Gzip>,
    /// The size in bytes of the largest text since memory was last given back; 0 before the first one.
    peak: usize,
}

type Works<'a> = [Option<MutexGuard<'a, Work>>];

impl Assembler {
    fn text<'a>(&'a self, works: &'a Works<'_>, text: u16) -> &'a Text {
        match works.get(usize::from(text)) {
            Some(work) => &work.as_ref().expect("only texts that are there are ordered").text,
            None => &self.own,
        }
    }

    /// Orders the families, and returns how many had to be left out because another collector has one of the same name.
    fn order(&mut self, works: &mut Works<'_>) -> usize {
        let own = works.len() as u16;
        let texts = (0..own).filter(|&i| works[usize::from(i)].is_some()).chain([own]);
        let families: usize = texts.clone().map(|i| self.text(works, i).len()).sum();
        let name = |&(text, family): &(u16, u32)| self.text(works, text).name(family as usize);
        let valid = |&(text, family): &(u16, u32)| {
            works.get(usize::from(text)).is_none_or(Option::is_some)
                && (family as usize) < self.text(works, text).len()
        };
        // Strictly ascending names of as many families as there are: that is all of them, each once.
        if self.order.len() == families
            && self.order.iter().all(|place| place.0 <= own && valid(place))
            && self.order.is_sorted_by(|a, b| name(a) < name(b))
        {
            return 0;
        }
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(texts.flat_map(|i| (0..self.text(works, i).len()).map(move |f| (i, f as u32))));
        let rank = |place: &(u16, u32)| (self.text(works, place.0).gives_way(), place.0, place.1);
        let name = |&(text, family): &(u16, u32)| self.text(works, text).name(family as usize);
        order.sort_unstable_by(|a, b| name(a).cmp(name(b)).then_with(|| rank(a).cmp(&rank(b))));
        let mut losers = Vec::new();
        order.dedup_by(|later, first| {
            let loses = name(later) == name(first);
            if loses {
                losers.push(*later);
            }
            loses
        });
        for &(text, family) in &losers {
            let message = "two collectors have a family of this name: the first one's is served";
            if let Some(Some(work)) = works.get_mut(usize::from(text)) {
                if work.conflict_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
                    work.conflict_logged = Some(Instant::now());
                    crate::log!(
                        Error,
                        message,
                        name = String::from_utf8_lossy(work.text.name(family as usize))
                    );
                }
                work.text.condemn();
            }
        }
        self.order = order;
        losers.len()
    }

    /// Gives memory back to the system after the first scrape, in which collectors learn, and after a text that was much larger than
    /// this one: the allocator would keep what came free for ever.
    fn settle(&mut self, works: &Works<'_>) {
        const LARGE: usize = 1 << 20;
        let texts = works.iter().flatten().map(|work| work.text.bytes().len());
        let size = texts.sum::<usize>() + self.own.bytes().len();
        if self.peak == 0 || (self.peak > LARGE && size < self.peak / 4) {
            self.gzip = None;
            hostfs::sys::give_memory_back();
            self.peak = size;
        }
        self.peak = self.peak.max(size);
    }

    fn render(&mut self, works: &Works<'_>, gzip: bool) -> Bytes {
        let kept = self.gzip.take();
        let segments =
            self.order.iter().map(|&(text, family)| self.text(works, text).segment(family as usize));
        let size = segments.clone().map(<[u8]>::len).sum();
        if gzip {
            let mut compressor = Gzip::for_text(kept, size);
            let body = compressor.compress(segments);
            self.gzip = Some(compressor);
            return body;
        }
        let mut body = Vec::with_capacity(size);
        segments.for_each(|segment| body.extend_from_slice(segment));
        self.gzip = kept;
        body.into()
    }
}

/// A compressor whose state lasts.
struct Gzip {
    deflate: Deflate,
    window_bits: i32,
    /// Input that waits to be compressed together: a call for each family costs a third more.
    staged: Vec<u8>,
    /// Where the output goes, of which `len` bytes are written. It becomes the body, and the next one is a little larger than that.
    out: Vec<u8>,
    len: usize,
    last: usize,
}

const STAGE_BYTES: usize = 8 * 1024;

impl Gzip {
    /// The compressor that was kept, if it suits a text of that size.
    ///
    /// A window of 16 KB and buffers to match save 108 KB and no time, and cost half a percent in size; but the lines of a long text
    /// are like those 32 KB before, and the full window then saves a quarter.
    fn for_text(kept: Option<Self>, size: usize) -> Self {
        const LONG: usize = 512 * 1024;
        let window_bits = if size > LONG { 15 } else { 14 };
        if let Some(kept) = kept.filter(|kept| kept.window_bits == window_bits) {
            return kept;
        }
        // 16 more than the window's bits asks for gzip's header and trailer.
        let config = DeflateConfig {
            level: 1,
            window_bits: 16 + window_bits,
            mem_level: 5,
            ..DeflateConfig::default()
        };
        let deflate = Deflate::new_with_config(config);
        let (staged, last) = (Vec::with_capacity(STAGE_BYTES), 16 * 1024);
        Gzip { deflate, window_bits, staged, out: Vec::new(), len: 0, last }
    }

    fn compress<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) -> Bytes {
        self.deflate.reset();
        self.len = 0;
        // Fresh from the system, so that what is not written costs nothing.
        self.out = vec![0; self.last + self.last / 8];
        for part in parts {
            if self.staged.len() + part.len() > STAGE_BYTES {
                self.put_staged(DeflateFlush::NoFlush);
            }
            if part.len() > STAGE_BYTES {
                self.put(part, DeflateFlush::NoFlush);
            } else {
                self.staged.extend_from_slice(part);
            }
        }
        self.put_staged(DeflateFlush::Finish);
        self.last = self.len.max(16 * 1024);
        let mut body = std::mem::take(&mut self.out);
        body.truncate(self.len);
        body.into()
    }

    fn put_staged(&mut self, flush: DeflateFlush) {
        let mut staged = std::mem::take(&mut self.staged);
        self.put(&staged, flush);
        staged.clear();
        self.staged = staged;
    }

    fn put(&mut self, mut input: &[u8], flush: DeflateFlush) {
        loop {
            if self.out.len() - self.len < 1024 {
                self.out.resize(2 * self.out.len(), 0);
            }
            let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress(input, &mut self.out[self.len..], flush);
            self.len += (self.deflate.total_out() - written) as usize;
            input = &input[(self.deflate.total_in() - read) as usize..];
            match status {
                Ok(Status::StreamEnd) => return,
                Ok(_) if flush == DeflateFlush::NoFlush && input.is_empty() => return,
                Ok(_) => {}
                Err(_) => unreachable!("the state is driven from here only, and always to its end"),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A collector's panic is caught before it could leave anything half done behind a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::own::Build;

    /// Writes one family named after itself, after what `before` does.
    struct Fake<F> {
        family: &'static str,
        before: F,
    }

    impl<F: FnMut() -> Result<(), Error> + Send> Collector for Fake<F> {
        fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
            (self.before)()?;
            out.single(self.family, Kind::Gauge, "Fake.", 1u64);
            Ok(())
        }
    }

    type Named = (&'static str, Box<dyn Collector>);

    fn fake(name: &'static str, before: impl FnMut() -> Result<(), Error> + Send + 'static) -> Named {
        (name, Box::new(Fake { family: name, before }))
    }

    fn good(name: &'static str) -> Named {
        fake(name, || Ok(()))
    }

    /// Blocks until something comes, each time.
    fn blocked(name: &'static str) -> (Named, Sender<()>) {
        let (release, wait): (Sender<()>, Receiver<()>) = channel();
        (fake(name, move || wait.recv().map_err(|_| Error::Failed("released for good".into()))), release)
    }

    fn scraper(collectors: Vec<Named>) -> Scraper {
        let build = Build { family: "x_build_info", version: "", revision: "", branch: "" };
        Scraper::new(collectors, Own::new("x", build, false))
    }

    fn in_millis(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn text(body: &Bytes) -> String {
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// The families of the fakes, and the collectors with success 1.
    fn outcome(body: &Bytes) -> (Vec<String>, BTreeSet<String>) {
        let text = text(body);
        let families = text.lines().filter(|l| !l.starts_with('#') && !l.starts_with("x_"));
        let families = families.map(|l| l.split([' ', '{']).next().unwrap().to_owned()).collect();
        let prefix = "x_scrape_collector_success{collector=\"";
        let good = text.lines().filter_map(|l| l.strip_prefix(prefix)?.strip_suffix("\"} 1"));
        (families, good.map(str::to_owned).collect())
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn families_of_all_collectors_are_in_order_of_name() {
        let two = ("zz", Box::new(Fake { family: "aa", before: || Ok(()) }) as Box<dyn Collector>);
        let scraper = scraper(vec![good("b"), good("y"), two]);
        runtime().block_on(async {
            for _ in 0..2 {
                let body = scraper.scrape(|_| true, false, in_millis(10_000)).await;
                assert_eq!(
                    outcome(&body),
                    (vec!["aa".into(), "b".into(), "y".into()], set(&["b", "y", "zz"]))
                );
                let text = text(&body);
                let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
                assert!(names.is_sorted() && names.len() == 6, "{names:?}");
            }
            let some = scraper.scrape(|name| name == "y", false, in_millis(10_000)).await;
            assert_eq!(outcome(&some), (vec!["y".into()], set(&["y"])));
        });
    }

    #[test]
    fn a_collector_that_hangs_costs_itself_alone_and_recovers() {
        let (hung, release) = blocked("m");
        let scraper = scraper(vec![good("a"), hung, good("z")]);
        runtime().block_on(async {
            let start = Instant::now();
            let first = scraper.scrape(|_| true, false, in_millis(600)).await;
            assert_eq!(outcome(&first), (vec!["a".into(), "z".into()], set(&["a", "z"])));
            assert!(start.elapsed() < Duration::from_secs(5));
            for _ in 0..50 {
                // Far from the deadline: whoever would wait for the hung one would take for ever.
                let next = scraper.scrape(|_| true, false, in_millis(600_000)).await;
                assert_eq!(outcome(&next), (vec!["a".into(), "z".into()], set(&["a", "z"])));
            }
            release.send(()).unwrap();
            while scraper.shared.slots[1].busy_until.load(Ordering::Acquire) != 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            release.send(()).unwrap();
            let after = scraper.scrape(|_| true, false, in_millis(600_000)).await;
            assert_eq!(outcome(&after).1, set(&["a", "m", "z"]));
        });
    }

    #[test]
    fn several_that_hang_cost_a_thread_each_at_most() {
        let (collectors, releases): (Vec<Named>, Vec<Sender<()>>) =
            ["b", "c", "d"].into_iter().map(blocked).unzip();
        let scraper = scraper(collectors.into_iter().chain([good("z")]).collect());
        let workers = || Arc::strong_count(&scraper.shared) - 1;
        runtime().block_on(async {
            let first = scraper.scrape(|_| true, false, in_millis(1500)).await;
            assert_eq!(outcome(&first).1, set(&["z"]));
            for _ in 0..20 {
                let next = scraper.scrape(|_| true, false, in_millis(600_000)).await;
                assert_eq!(outcome(&next).1, set(&["z"]));
            }
            assert!(workers() <= 5, "{} workers for four collectors", workers());
        });
        drop(releases);
    }

    #[test]
    fn scrapes_that_come_together_share_one_run() {
        let (slow, release) = blocked("slow");
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let counted = fake("counted", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let scraper = scraper(vec![counted, slow]);
        runtime().block_on(async {
            let deadline = in_millis(600_000);
            let scrapes = (0..40).map(|_| scraper.scrape(|_| true, false, deadline));
            let mut scrapes: Vec<_> = scrapes.map(Box::pin).collect();
            for scrape in &mut scrapes {
                tokio::select! {
                    biased;
                    _ = scrape => panic!("the slow collector is still at it"),
                    () = std::future::ready(()) => {}
                }
            }
            release.send(()).unwrap();
            for scrape in scrapes {
                assert_eq!(outcome(&scrape.await).1, set(&["counted", "slow"]));
            }
        });
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_scrape_of_other_collectors_takes_a_result_that_is_on_its_way() {
        let (slow, release) = blocked("slow");
        let scraper = scraper(vec![good("a"), slow]);
        runtime().block_on(async {
            let mut first = Box::pin(scraper.scrape(|_| true, false, in_millis(600_000)));
            tokio::select! {
                _ = &mut first => panic!("the slow collector is still at it"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            let mut second = Box::pin(scraper.scrape(|name| name == "slow", false, in_millis(600_000)));
            tokio::select! {
                _ = &mut second => panic!("the slow collector is still at it"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            release.send(()).unwrap();
            assert_eq!(outcome(&first.await).1, set(&["a", "slow"]));
            assert_eq!(outcome(&second.await).1, set(&["slow"]), "one release serves both");
        });
    }

    /// Polls a scrape for so long and leaves it unfinished.
    async fn poll_for(scrape: &mut (impl Future<Output = Bytes> + Unpin), millis: u64) {
        tokio::select! {
            _ = scrape => panic!("it has not got everything yet"),
            () = tokio::time::sleep(Duration::from_millis(millis)) => {}
        }
    }

    #[test]
    fn a_run_that_its_scraper_left_is_not_served_to_the_next_one() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let counted = fake("counted", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        });
        let scraper = scraper(vec![counted]);
        runtime().block_on(async {
            let mut left = Box::pin(scraper.scrape(|_| true, false, in_millis(600_000)));
            poll_for(&mut left, 5).await;
            drop(left);
            tokio::time::sleep(2 * PATIENCE).await;
            assert_eq!(runs.load(Ordering::Relaxed), 1);
            scraper.scrape(|_| true, false, in_millis(500_000)).await;
        });
        assert_eq!(runs.load(Ordering::Relaxed), 2, "what the first run read is old");
    }

    #[test]
    fn a_run_that_waits_for_a_slow_collector_is_not_joined_for_its_old_values() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let counted = fake("counted", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let (slow, release) = blocked("slow");
        let scraper = scraper(vec![counted, slow]);
        runtime().block_on(async {
            let mut first = Box::pin(scraper.scrape(|_| true, false, in_millis(600_000)));
            poll_for(&mut first, 300).await;
            let mut second = Box::pin(scraper.scrape(|_| true, false, in_millis(500_000)));
            poll_for(&mut second, 50).await;
            release.send(()).unwrap();
            assert_eq!(outcome(&second.await).1, set(&["counted", "slow"]));
            assert_eq!(outcome(&first.await).1, set(&["counted", "slow"]));
        });
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_impatient_scraper_does_not_take_from_a_patient_one() {
        let slow = fake("slow", || {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        });
        let scraper = scraper(vec![slow, good("z")]);
        runtime().block_on(async {
            let mut impatient = Box::pin(scraper.scrape(|_| true, false, in_millis(50)));
            poll_for(&mut impatient, 10).await;
            let mut patient = Box::pin(scraper.scrape(|_| true, false, in_millis(600_000)));
            poll_for(&mut patient, 10).await;
            assert_eq!(outcome(&impatient.await).1, set(&["z"]));
            let late = scraper.scrape(|_| true, false, in_millis(600_000));
            let (patient, late) = tokio::join!(patient, late);
            assert_eq!(outcome(&patient).1, set(&["slow", "z"]));
            assert_eq!(outcome(&late).1, set(&["slow", "z"]));
        });
    }

    #[test]
    fn a_result_is_not_missed_because_the_worker_hangs_in_the_next_collector() {
        let (wanted, release) = blocked("a");
        let (hung, hold) = blocked("b");
        let scraper = scraper(vec![wanted, hung]);
        runtime().block_on(async {
            let mut left = Box::pin(scraper.scrape(|_| true, false, in_millis(600_000)));
            poll_for(&mut left, 20).await;
            let mut second = Box::pin(scraper.scrape(|name| name == "a", false, in_millis(600_000)));
            poll_for(&mut second, 20).await;
            drop(left);
            release.send(()).unwrap();
            let body = tokio::time::timeout(Duration::from_secs(5), second).await.expect("a is ready");
            assert_eq!(outcome(&body).1, set(&["a"]));
        });
        drop(hold);
    }

    #[test]
    fn a_run_waits_in_the_queue_once() {
        let (hung, _release) = blocked("a");
        let scraper = scraper(vec![hung]);
        let scrape = scraper.join_or_start(|_| true, false, in_millis(600_000));
        while scraper.shared.slots[0].busy_until.load(Ordering::Acquire) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The only worker is busy. As if others were idle, so that none is started.
        lock(&scraper.shared.jobs).idle = 100;
        for _ in 0..10 {
            scraper.shared.submit(&scrape);
        }
        assert_eq!(lock(&scraper.shared.jobs).queue.len(), 1);
    }

    #[test]
    fn more_families_than_sixteen_bits_can_count() {
        struct Many(&'static str);
        impl Collector for Many {
            fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
                for i in 0..70_000 {
                    out.single(&format!("{}{i}", self.0), Kind::Gauge, "Many.", 1u64);
                }
                Ok(())
            }
        }
        let many = |name, prefix| (name, Box::new(Many(prefix)) as Box<dyn Collector>);
        let scraper = scraper(vec![many("a", "m"), many("b", "m"), many("c", "n")]);
        runtime().block_on(async {
            let body = scraper.scrape(|_| true, false, in_millis(600_000)).await;
            assert_eq!(outcome(&body).0.len(), 140_000);
        });
    }

    #[test]
    fn errors_and_panics_are_success_0_and_nothing_else() {
        let scraper = scraper(vec![
            fake("absent", || Err(Error::NoData("not here".into()))),
            fake("broken", || Err(Error::Failed("broken".into()))),
            fake("panics", || panic!("on purpose")),
            good("z"),
        ]);
        runtime().block_on(async {
            for _ in 0..3 {
                let body = scraper.scrape(|_| true, false, in_millis(600_000)).await;
                assert_eq!(outcome(&body), (vec!["z".into()], set(&["z"])));
            }
        });
    }

    #[test]
    fn of_two_families_with_one_name_the_one_that_gives_way_is_left_out() {
        struct Foreign;
        impl Collector for Foreign {
            fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
                out.single("b", Kind::Gauge, "Not mine.", 99u64);
                out.single("foreign_error", Kind::Gauge, "Whether.", 0u64);
                out.give_way();
                Ok(())
            }
        }
        let scraper = scraper(vec![("a", Box::new(Foreign)), good("b")]);
        runtime().block_on(async {
            for _ in 0..2 {
                let body = scraper.scrape(|_| true, false, in_millis(600_000)).await;
                let text = text(&body);
                assert!(
                    text.contains("\nb 1\n")
                        && !text.contains("b 99")
                        && text.contains("\nforeign_error 1\n"),
                    "{text}"
                );
                assert_eq!(text.matches("# TYPE b gauge").count(), 1);
            }
        });
    }

    #[test]
    fn gzip_holds_the_same_text() {
        let scraper = scraper(vec![good("a"), good("b")]);
        runtime().block_on(async {
            for _ in 0..3 {
                let packed = scraper.scrape(|name| name == "a", true, in_millis(600_000)).await;
                let mut inflate = zlib_rs::Inflate::new(true, 16 + 15);
                let mut plain = vec![0; 1 << 20];
                let status = inflate.decompress(&packed, &mut plain, zlib_rs::InflateFlush::Finish).unwrap();
                assert_eq!(status, Status::StreamEnd);
                plain.truncate(inflate.total_out() as usize);
                assert_eq!(outcome(&plain.into()), (vec!["a".into()], set(&["a"])));
            }
        });
    }

    #[test]
    fn gzip_of_more_than_its_buffer() {
        let mut state = 1u32;
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let mut kept = None;
        for (size, window_bits) in [(0, 14), (1 << 20, 15), (1 << 20, 15), (0, 14)] {
            let mut gzip = Gzip::for_text(kept, size);
            assert_eq!(gzip.window_bits, window_bits);
            let packed = gzip.compress(noise.chunks(1000));
            let mut plain = vec![0; noise.len() + 1];
            let mut inflate = zlib_rs::Inflate::new(true, 16 + 15);
            inflate.decompress(&packed, &mut plain, zlib_rs::InflateFlush::Finish).unwrap();
            assert_eq!(&plain[..inflate.total_out() as usize], noise);
            kept = Some(gzip);
        }
    }
}
