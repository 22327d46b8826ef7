//! statfs(2) on threads that can be spared, because the call waits for as long as a dead server or a stopped daemon likes.
//!
//! A round asks every mount of a [`Table`] once. Normally one helper thread walks the whole list and the caller sleeps until it
//! is through: one hand-over a scrape. If that takes longer than a moment, more helpers join, twice as many each time. A call that
//! does not come back within the mount timeout, or before the caller has to answer, is given up: its mount is [`Outcome::Late`]
//! in this round, and in every later one until the call returns. The thread stays in it; nothing can end such a call.
//!
//! So a hung mount holds one thread, and threads are bounded: at most [`MOST`] (or what the caller says) exist, at most two wait on one
//! device, and the last free one is kept for mounts that no network or daemon is behind. A mount that none is left for is late too.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::disk::Space;
use crate::{Arena, Errno, Span};

/// How many helper threads there may be, unless the caller asks for more.
pub const MOST: usize = 16;

/// How many calls may wait on one device (major:minor). Its other mounts would wait too, nearly always; the second call is for the one
/// that hangs because of a directory above it.
const PER_DEVICE: usize = 2;

/// After how long more helpers join, at most.
const STALL: Duration = Duration::from_millis(100);

/// In bytes. A call needs a fraction of it.
const STACK: usize = 64 << 10;

/// The mounts that a round asks. Kept from scrape to scrape while the mount table stays the same.
#[derive(Debug, Default)]
pub struct Table {
    /// All texts of the entries.
    pub texts: Arena,
    /// The mounts.
    pub entries: Vec<Target>,
    /// In which order to ask them: indices of `entries`.
    pub order: Vec<u32>,
}

/// A mount, as far as asking it goes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The path to ask, with a NUL at its end.
    pub path: Span,
    /// The mount's number, which with the path and the source tells it from others.
    pub id: u64,
    /// What is mounted.
    pub source: Span,
    /// Major and minor number.
    pub device: (u64, u64),
    /// Whether a server or a daemon answers for it.
    pub remote: bool,
}

/// What became of a mount in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody has asked yet.
    Open,
    /// A helper is asking.
    Asked,
    /// The answer.
    Space(Space),
    /// The call failed.
    Failed(Errno),
    /// There was no answer in time.
    Late,
}

/// statfs(2), or what a test puts in its place.
pub type Statfs = Box<dyn Fn(&CStr) -> Result<Space, Errno> + Send + Sync>;

/// The helper threads. They are started when first needed, and sleep between rounds.
#[derive(Debug)]
pub struct Helpers {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes helpers: there is something to ask.
    work: Condvar,
    /// Wakes the caller: the round is through, or a helper found nothing more to do.
    done: Condvar,
    statfs: Statfs,
}

struct State {
    table: Option<Arc<Table>>,
    outcomes: Vec<Outcome>,
    /// All of the order before this place is not open.
    cursor: usize,
    /// How many outcomes are open or asked.
    left: usize,
    /// What each helper is waiting for.
    calls: Vec<Option<Call>>,
    idle: usize,
    most: usize,
    closing: bool,
}

/// A call that has not returned.
struct Call {
    table: Arc<Table>,
    entry: usize,
    since: Instant,
    given_up: bool,
}

impl Helpers {
    /// At most `most` threads, each of which waits for up to `timeout` until its call is given up; no thread is started yet.
    pub fn new(most: usize, timeout: Duration, statfs: Statfs) -> Self {
        let state = State {
            table: None,
            outcomes: Vec::new(),
            cursor: 0,
            left: 0,
            calls: Vec::new(),
            idle: 0,
            most,
            closing: false,
        };
        let shared = Shared { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new(), statfs };
        Helpers { shared: Arc::new(shared), timeout }
    }

    /// Asks every mount of the table, and is back by `limit` whatever they do. `outcomes` gets one for each entry, none of them open.
    ///
    /// # Errors
    /// There is no helper, and no thread to be had for one.
    pub fn ask(&self, table: &Arc<Table>, limit: Instant, outcomes: &mut Vec<Outcome>) -> io::Result<()> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.begin(table, std::mem::take(outcomes));
        let mut now = Instant::now();
        let stall = STALL.min(limit.saturating_duration_since(now) / 8).max(Duration::from_millis(5));
        let mut more_at = now;
        let mut asked = Ok(());
        loop {
            state.give_up(now, self.timeout);
            if state.left == 0 || now >= limit {
                break;
            }
            let can_ask = state.next().is_some();
            if can_ask && now >= more_at {
                asked = self.send(&mut state);
                more_at = now + stall;
            }
            let waiting = state.waiting();
            if waiting.is_none() && (!can_ask || (asked.is_err() && state.idle == 0)) {
                break;
            }
            let mut until = limit;
            if let Some(since) = waiting {
                until = until.min(since + self.timeout);
            }
            if can_ask {
                until = until.min(more_at);
            }
            let pause = until.saturating_duration_since(now).max(Duration::from_millis(1));
            state = shared.done.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            now = Instant::now();
        }
        state.end(outcomes);
        if state.calls.is_empty() { asked } else { Ok(()) }
    }

    /// Puts as many more helpers to work as are already waiting for an answer, one at least.
    fn send(&self, state: &mut State) -> io::Result<()> {
        let wanted = state.calls.iter().flatten().filter(|call| !call.given_up).count().max(1);
        let woken = wanted.min(state.idle);
        for _ in 0..woken {
            self.shared.work.notify_one();
        }
        for _ in woken..wanted.min(woken + state.most.saturating_sub(state.calls.len())) {
            let (shared, slot) = (Arc::clone(&self.shared), state.calls.len());
            std::thread::Builder::new()
                .name("statfs".into())
                .stack_size(STACK)
                .spawn(move || help(&shared, slot))?;
            state.calls.push(None);
        }
        Ok(())
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A helper's life.
fn help(shared: &Shared, slot: usize) {
    let mut state = shared.lock();
    while !state.closing {
        let Some((table, entry)) = state.next() else {
            shared.done.notify_one();
            state.idle += 1;
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        state.outcomes[entry] = Outcome::Asked;
        state.calls[slot] =
            Some(Call { table: Arc::clone(&table), entry, since: Instant::now(), given_up: false });
        drop(state);
        let outcome = match CStr::from_bytes_with_nul(&table.texts[table.entries[entry].path]) {
            Ok(path) => (shared.statfs)(path).map_or_else(Outcome::Failed, Outcome::Space),
            Err(_) => Outcome::Failed(Errno::INVAL),
        };
        // Under the lock, so that the table has no other owner once the caller sees the round through.
        state = shared.lock();
        drop(table);
        let call = state.calls[slot].take();
        if call.is_some_and(|call| !call.given_up) {
            state.outcomes[entry] = outcome;
            state.left -= 1;
        }
    }
}

impl State {
    fn begin(&mut self, table: &Arc<Table>, outcomes: Vec<Outcome>) {
        self.table = Some(Arc::clone(table));
        self.outcomes = outcomes;
        self.outcomes.clear();
        self.outcomes.resize(table.entries.len(), Outcome::Open);
        self.left = table.entries.len();
        self.cursor = 0;
        for call in self.calls.iter().flatten() {
            let stuck = &call.table.entries[call.entry];
            for (target, outcome) in table.entries.iter().zip(&mut self.outcomes) {
                if target.id == stuck.id
                    && *outcome == Outcome::Open
                    && table.texts[target.path] == call.table.texts[stuck.path]
                    && table.texts[target.source] == call.table.texts[stuck.source]
                {
                    *outcome = Outcome::Late;
                    self.left -= 1;
                }
            }
        }
    }

    /// The next mount that may be asked.
    fn next(&mut self) -> Option<(Arc<Table>, usize)> {
        let table = self.table.as_ref()?;
        let is_open = |entry: &u32| self.outcomes[*entry as usize] == Outcome::Open;
        self.cursor += table.order[self.cursor..].iter().take_while(|entry| !is_open(entry)).count();
        let waiting = self.calls.iter().flatten().count();
        let may_be_asked = |entry: &u32| {
            let target = &table.entries[*entry as usize];
            let of_device = |call: &&Call| call.table.entries[call.entry].device == target.device;
            waiting < self.most
                && (waiting + 1 < self.most || !target.remote)
                && self.calls.iter().flatten().filter(of_device).count() < PER_DEVICE
        };
        let entry = table.order[self.cursor..].iter().find(|entry| is_open(entry) && may_be_asked(entry))?;
        Some((Arc::clone(table), *entry as usize))
    }

    /// Since when the oldest call that is still hoped for waits.
    fn waiting(&self) -> Option<Instant> {
        self.calls.iter().flatten().filter(|call| !call.given_up).map(|call| call.since).min()
    }

    /// Gives up the calls that wait for longer than `timeout`.
    fn give_up(&mut self, now: Instant, timeout: Duration) {
        for call in self.calls.iter_mut().flatten() {
            if !call.given_up && now >= call.since + timeout {
                call.given_up = true;
                self.outcomes[call.entry] = Outcome::Late;
                self.left -= 1;
            }
        }
    }

    /// Ends the round: what has not been answered is late.
    fn end(&mut self, outcomes: &mut Vec<Outcome>) {
        for call in self.calls.iter_mut().flatten() {
            call.given_up = true;
        }
        for outcome in &mut self.outcomes {
            if matches!(outcome, Outcome::Open | Outcome::Asked) {
                *outcome = Outcome::Late;
            }
        }
        self.left = 0;
        self.cursor = 0;
        self.table = None;
        std::mem::swap(&mut self.outcomes, outcomes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Paths at which calls wait, and how many calls were made.
    #[derive(Default)]
    struct Gate {
        held: Mutex<HashSet<String>>,
        released: Condvar,
        calls: AtomicUsize,
    }

    impl Gate {
        fn hold(&self, path: &str) {
            self.held.lock().unwrap().insert(path.into());
        }

        fn release(&self) {
            self.held.lock().unwrap().clear();
            self.released.notify_all();
        }

        fn statfs(self: &Arc<Self>) -> Statfs {
            let gate = Arc::clone(self);
            Box::new(move |path| {
                gate.calls.fetch_add(1, Ordering::Relaxed);
                let path = path.to_str().unwrap();
                let mut held = gate.held.lock().unwrap();
                while held.contains(path) {
                    held = gate.released.wait(held).unwrap();
                }
                if path.starts_with("/gone") { Err(Errno::NOENT) } else { Ok(space(path)) }
            })
        }

        fn calls(&self) -> usize {
            self.calls.swap(0, Ordering::Relaxed)
        }
    }

    /// A test's calls that still wait would keep its threads for ever.
    struct Released(Arc<Gate>);

    impl Drop for Released {
        fn drop(&mut self) {
            self.0.release();
        }
    }

    fn space(path: &str) -> Space {
        Space { block_size: 1, blocks: path.len() as u64, ..Space::default() }
    }

    fn table(mounts: &[(&str, u64, bool)]) -> Arc<Table> {
        let mut table = Table::default();
        for (i, &(path, device, remote)) in mounts.iter().enumerate() {
            let target = Target {
                path: table.texts.push(format!("{path}\0").as_bytes()),
                id: 100 + i as u64,
                source: table.texts.push(b"source"),
                device: (0, device),
                remote,
            };
            table.entries.push(target);
            table.order.push(i as u32);
        }
        Arc::new(table)
    }

    fn setup(most: usize, timeout: u64) -> (Helpers, Arc<Gate>, Released) {
        let gate = Arc::new(Gate::default());
        let helpers = Helpers::new(most, Duration::from_millis(timeout), gate.statfs());
        (helpers, Arc::clone(&gate), Released(gate))
    }

    fn ask(helpers: &Helpers, table: &Arc<Table>, limit: u64) -> (Vec<Outcome>, Duration) {
        let (start, mut outcomes) = (Instant::now(), Vec::new());
        helpers.ask(table, start + Duration::from_millis(limit), &mut outcomes).unwrap();
        (outcomes, start.elapsed())
    }

    fn threads(helpers: &Helpers) -> usize {
        helpers.shared.lock().calls.len()
    }

    fn until(mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn answer(path: &str) -> Outcome {
        Outcome::Space(space(path))
    }

    #[test]
    fn one_thread_asks_all_when_nothing_hangs() {
        let (helpers, gate, _end) = setup(MOST, 5000);
        let table = table(&[("/", 1, false), ("/gone", 2, false), ("/nfs", 3, true)]);
        for _ in 0..50 {
            let (outcomes, _) = ask(&helpers, &table, 10_000);
            assert_eq!(outcomes, [answer("/"), Outcome::Failed(Errno::NOENT), answer("/nfs")]);
            assert_eq!((threads(&helpers), gate.calls()), (1, 3));
            assert_eq!(Arc::strong_count(&table), 1, "the table is free to be used again");
        }
    }

    #[test]
    fn a_mount_that_hangs_is_late_at_once_and_comes_back() {
        let (helpers, gate, _end) = setup(MOST, 300);
        let table = table(&[("/", 1, false), ("/hang", 2, true), ("/a", 3, true), ("/b", 4, true)]);
        gate.hold("/hang");
        let (outcomes, took) = ask(&helpers, &table, 10_000);
        assert_eq!(outcomes, [answer("/"), Outcome::Late, answer("/a"), answer("/b")]);
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
        assert_eq!(gate.calls(), 4);
        for _ in 0..20 {
            let (outcomes, _) = ask(&helpers, &table, 10_000);
            assert_eq!(outcomes, [answer("/"), Outcome::Late, answer("/a"), answer("/b")]);
            assert_eq!(gate.calls(), 3, "what hangs is not asked again");
        }
        assert_eq!(threads(&helpers), 2);
        gate.release();
        until(|| ask(&helpers, &table, 10_000).0[1] == answer("/hang"));
        assert_eq!(threads(&helpers), 2);
    }

    #[test]
    fn the_answer_does_not_wait_past_the_limit() {
        let (helpers, gate, _end) = setup(MOST, 60_000);
        let table = table(&[("/hang", 1, false), ("/a", 2, false), ("/b", 3, true)]);
        gate.hold("/hang");
        let (outcomes, took) = ask(&helpers, &table, 400);
        assert_eq!(outcomes, [Outcome::Late, answer("/a"), answer("/b")]);
        assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(20), "{took:?}");
        let (outcomes, took) = ask(&helpers, &table, 60_000);
        assert_eq!(outcomes, [Outcome::Late, answer("/a"), answer("/b")]);
        assert!(took < Duration::from_secs(30), "{took:?}");
    }

    #[test]
    fn more_mounts_hang_than_there_are_threads() {
        let (helpers, gate, _end) = setup(6, 400);
        let paths: Vec<String> = (0..40).map(|i| format!("/nfs{i:02}")).collect();
        let mut mounts: Vec<_> =
            paths.iter().zip(1..).map(|(path, device)| (&path[..], device, true)).collect();
        mounts.push(("/", 90, false));
        mounts.push(("/local", 91, false));
        let table = table(&mounts);
        paths.iter().for_each(|path| gate.hold(path));
        for _ in 0..3 {
            let (outcomes, took) = ask(&helpers, &table, 30_000);
            assert!(outcomes[..40].iter().all(|&outcome| outcome == Outcome::Late));
            assert_eq!(outcomes[40..], [answer("/"), answer("/local")], "the last thread is for those");
            assert!(threads(&helpers) <= 6 && took < Duration::from_secs(20), "{took:?}");
        }
        gate.release();
        until(|| {
            ask(&helpers, &table, 10_000).0[..40].iter().all(|outcome| matches!(outcome, Outcome::Space(_)))
        });
    }

    #[test]
    fn mounts_of_one_device_hold_two_threads() {
        let (helpers, gate, _end) = setup(MOST, 400);
        let paths: Vec<String> = (0..30).map(|i| format!("/bind{i:02}")).collect();
        let mut mounts: Vec<_> = paths.iter().map(|path| (&path[..], 7, true)).collect();
        mounts.push(("/other", 8, true));
        let table = table(&mounts);
        paths.iter().for_each(|path| gate.hold(path));
        let (outcomes, _) = ask(&helpers, &table, 30_000);
        assert!(outcomes[..30].iter().all(|&outcome| outcome == Outcome::Late));
        assert_eq!(outcomes[30], answer("/other"));
        assert_eq!(gate.calls(), 3);
    }

    #[test]
    fn slow_mounts_are_asked_side_by_side() {
        let slow: Statfs = Box::new(|path| {
            std::thread::sleep(Duration::from_millis(50));
            Ok(space(path.to_str().unwrap()))
        });
        let helpers = Helpers::new(MOST, Duration::from_secs(5), slow);
        let paths: Vec<String> = (0..60).map(|i| format!("/slow{i:02}")).collect();
        let mounts: Vec<_> = paths.iter().zip(1..).map(|(path, device)| (&path[..], device, true)).collect();
        let (outcomes, took) = ask(&helpers, &table(&mounts), 20_000);
        assert!(outcomes.iter().all(|&outcome| outcome == answer("/slow00")), "{outcomes:?}");
        assert!(took < Duration::from_millis(2900), "one after the other takes 3 s, this took {took:?}");
    }

    #[test]
    fn a_new_mount_at_the_place_of_one_that_hangs_is_asked() {
        let (helpers, gate, _end) = setup(MOST, 100);
        let old = table(&[("/hang", 1, true)]);
        gate.hold("/hang");
        assert_eq!(ask(&helpers, &old, 10_000).0, [Outcome::Late]);
        let mut other = Arc::into_inner(table(&[("/first", 5, false), ("/hang", 1, true)])).unwrap();
        other.entries[1].id = 100;
        let same = Arc::new(other);
        gate.calls();
        assert_eq!(ask(&helpers, &same, 10_000).0, [answer("/first"), Outcome::Late]);
        assert_eq!(gate.calls(), 1, "the same mount in another table");
        gate.held.lock().unwrap().clear();
        let new = table(&[("/first", 5, false), ("/hang", 2, true)]);
        assert_eq!(ask(&helpers, &new, 10_000).0, [answer("/first"), answer("/hang")]);
    }

    #[test]
    fn no_mounts_need_no_thread() {
        let (helpers, _, _end) = setup(MOST, 100);
        assert_eq!(ask(&helpers, &table(&[]), 10_000).0, []);
        assert_eq!(threads(&helpers), 0);
    }

    #[test]
    fn threads_end_with_their_owner() {
        let (helpers, _, _end) = setup(MOST, 100);
        ask(&helpers, &table(&[("/", 1, false)]), 10_000);
        let shared = Arc::downgrade(&helpers.shared);
        drop(helpers);
        until(|| shared.strong_count() == 0);
    }
}
