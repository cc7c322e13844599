//! Notices disks that stall, so that whoever does not need such a disk need not wait for it.
//!
//! A write into the page cache takes microseconds, and is done by the thread that serves the connection. When the disk behind it
//! stalls, the thread waits in the kernel, and nothing can take it out again. So three things keep the others going:
//!
//! - Each time the watch looks and finds a thread that stays inside, it says so, and somebody else is to look after the connections.
//! - A thread that would be the last one to serve connections hands the others over before it begins ([`DiskWatch::serve_with`]).
//! - A log directory that nobody has left for a while, though there are threads in it, is said to be stalled. Nobody goes in then
//!   who can wait outside ([`DirHealth::is_stalled`](crate::DirHealth::is_stalled)), until somebody has come out.
//!
//! Whoever goes in and out says so with two atomic additions, and no look at a clock. The watch sleeps while nobody does.
//!
//! What keeps a processor busy for long, a batch of which much comes out when it is decompressed, is done beside the others in the same
//! way ([`DiskWatch::beside_others`]).

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::dir_health::DirHealth;

/// How often the watch looks while something goes on.
const TICK: Duration = Duration::from_millis(10);
/// Nobody came out between so many looks: the disk is stalled.
const STALLED_TICKS: u32 = 2;
/// After so many looks at nothing the watch sleeps until somebody goes in.
const IDLE_TICKS: u32 = 10;
/// A stall of this length deserves a line in the log.
const WORTH_TELLING: Duration = Duration::from_secs(1);
/// So many threads may be inside beyond those that serve connections, before everybody waits outside.
const MOST_HANDED_OVER: usize = 8;

thread_local! {
    static SERVES: Cell<bool> = const { Cell::new(true) };
}

/// Says that this thread never serves connections: nobody need take its place while it is in a log directory.
pub fn serves_nobody() {
    SERVES.set(false);
}

/// Runs what it is given after it has let another thread take over what this one would have done next.
pub type HandOver = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// What the watch sees with one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A thread has not come out since the look before.
    SomebodyStays,
    /// Whoever was inside has come out.
    NobodyStays,
}

/// What the log directories of a broker share: how many threads are inside that may serve connections, and the thread that watches.
#[derive(Default)]
pub struct DiskWatch {
    inside: AtomicUsize,
    stalled_dirs: AtomicUsize,
    asleep: AtomicBool,
    closed: AtomicBool,
    watcher: Mutex<Option<Thread>>,
    serving: std::sync::OnceLock<Serving>,
}

struct Serving {
    threads: usize,
    hand_over: HandOver,
    /// Processors for those who keep one busy for long.
    processors: Mutex<usize>,
    given_back: Condvar,
}

impl Serving {
    /// All processors but one may be busy for long.
    fn new(threads: usize, hand_over: HandOver) -> Serving {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = Mutex::new(processors.saturating_sub(1).max(1));
        Serving { threads, hand_over, processors, given_back: Condvar::new() }
    }

    fn beside_others<R>(&self, work: impl FnOnce() -> R) -> R {
        let mut work = Some(work);
        let mut result = None;
        (self.hand_over)(&mut || result = work.take().map(|work| work()));
        result.expect("Invariant: what is handed over is run")
    }
}

impl std::fmt::Debug for DiskWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskWatch")
            .field("inside", &self.inside)
            .field("stalled_dirs", &self.stalled_dirs)
            .finish_non_exhaustive()
    }
}

/// A processor that is kept busy for long.
struct Busy<'a>(&'a Serving);

impl Busy<'_> {
    fn begin(serving: &Serving) -> Busy<'_> {
        let mut processors = serving.processors.lock();
        serving.given_back.wait_while(&mut processors, |free| *free == 0);
        *processors -= 1;
        Busy(serving)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.0.processors.lock() += 1;
        self.0.given_back.notify_one();
    }
}

impl DiskWatch {
    /// Connections are served by so many threads, and `hand_over` lets another take the place of the calling one. Said once.
    pub fn serve_with(&self, threads: usize, hand_over: HandOver) {
        drop(self.serving.set(Serving::new(threads, hand_over)));
    }

    /// Does what keeps a processor busy for long, while another thread takes the place of this one. Waits while too many do.
    pub(crate) fn beside_others<R>(&self, work: impl FnOnce() -> R) -> R {
        let Some(serving) = self.serving.get() else { return work() };
        serving.beside_others(|| {
            let _busy = Busy::begin(serving);
            work()
        })
    }

    /// Whether any directory is stalled.
    #[inline]
    pub fn any_stalled(&self) -> bool {
        self.stalled_dirs.load(Ordering::Relaxed) > 0
    }

    /// Watches the directories until [`DiskWatch::close`]. With each look `tell` hears whether a thread has been in one of them for a
    /// while: it may be one that others wait for.
    pub fn run(&self, dirs: &[Arc<DirHealth>], mut tell: impl FnMut(Look)) {
        *self.watcher.lock() = Some(std::thread::current());
        let mut seen: Vec<Seen> = dirs.iter().map(|dir| Seen::new(dir.pace())).collect();
        let mut idle = 0;
        while !self.closed.load(Ordering::Acquire) {
            std::thread::park_timeout(TICK);
            let mut is_idle = true;
            let mut stays = false;
            for (dir, seen) in dirs.iter().zip(&mut seen) {
                let traffic = Traffic::of(dir.pace());
                is_idle &= traffic.inside == 0 && traffic == seen.traffic;
                stays |= seen.look(dir, traffic, self);
            }
            tell(if stays { Look::SomebodyStays } else { Look::NobodyStays });
            idle = if is_idle { idle + 1 } else { 0 };
            if idle >= IDLE_TICKS {
                self.sleep(dirs, &seen);
                idle = 0;
            }
        }
    }

    /// Sleeps until somebody goes in.
    fn sleep(&self, dirs: &[Arc<DirHealth>], seen: &[Seen]) {
        self.asleep.store(true, Ordering::SeqCst);
        // Who goes in adds first and looks then; here it is the other way round, so that one of both sees the other.
        fence(Ordering::SeqCst);
        let nobody = || dirs.iter().zip(seen).all(|(dir, seen)| Traffic::of(dir.pace()) == seen.traffic);
        while nobody() && self.asleep.load(Ordering::SeqCst) && !self.closed.load(Ordering::Acquire) {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    #[cold]
    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(watcher) = &*self.watcher.lock()
        {
            watcher.unpark();
        }
    }

    /// Ends [`DiskWatch::run`].
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(watcher) = &*self.watcher.lock() {
            watcher.unpark();
        }
    }
}

/// What goes on in one directory.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many threads are inside, in the lowest 16 bits, and above them how many have come out.
    traffic: AtomicU64,
    stalled: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

const OUT: u64 = 1 << 16;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Traffic {
    inside: u64,
    out: u64,
}

impl Traffic {
    fn of(pace: &Pace) -> Traffic {
        let traffic = pace.traffic.load(Ordering::SeqCst);
        Traffic { inside: traffic % OUT, out: traffic / OUT }
    }
}

/// What the watch has seen of a directory.
struct Seen {
    traffic: Traffic,
    ticks: u32,
    since: Instant,
    is_told: bool,
}

impl Seen {
    fn new(pace: &Pace) -> Seen {
        Seen { traffic: Traffic::of(pace), ticks: 0, since: Instant::now(), is_told: false }
    }

    /// Looks at how it is now. Whether a thread has stayed inside since the last look.
    fn look(&mut self, dir: &DirHealth, now: Traffic, watch: &DiskWatch) -> bool {
        let stays = now.inside > 0 && self.traffic.inside > 0 && now.out == self.traffic.out;
        self.traffic = now;
        if !stays {
            if self.is_told {
                let stalled_ms = self.since.elapsed().as_millis();
                tracing::info!(dir = %dir.dir().display(), stalled_ms, "the disk goes on");
            }
            *self = Seen { traffic: now, ticks: 0, since: Instant::now(), is_told: false };
            return false;
        }
        self.ticks += 1;
        if self.ticks >= STALLED_TICKS {
            dir.pace().stall(watch);
        }
        if !self.is_told && self.since.elapsed() >= WORTH_TELLING {
            self.is_told = true;
            tracing::warn!(
                dir = %dir.dir().display(), threads = now.inside,
                "the disk does not answer: requests that need this log directory wait for it, others are served"
            );
        }
        true
    }
}

impl Pace {
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Does what may wait for the disk.
    #[inline]
    pub fn run<R>(&self, watch: &DiskWatch, work: impl FnOnce() -> R) -> R {
        let inside = Inside::enter(self, watch);
        match (watch.serving.get(), inside.before) {
            (Some(serving), Some(before)) if before + 1 >= serving.threads => {
                self.run_beside(watch, serving, before, work)
            }
            _ => work(),
        }
    }

    /// The same, where it might be the last thread that serves connections.
    #[cold]
    fn run_beside<R>(
        &self,
        watch: &DiskWatch,
        serving: &Serving,
        before: usize,
        work: impl FnOnce() -> R,
    ) -> R {
        if before >= serving.threads + MOST_HANDED_OVER {
            self.stall(watch);
        }
        serving.beside_others(work)
    }

    /// Nobody goes in until somebody has come out.
    fn stall(&self, watch: &DiskWatch) {
        {
            let _nobody_is_woken_meanwhile = self.waiting.lock();
            if Traffic::of(self).inside == 0 || self.stalled.swap(true, Ordering::SeqCst) {
                return;
            }
            watch.stalled_dirs.fetch_add(1, Ordering::SeqCst);
        }
        // Who came out meanwhile may not have seen it, and nobody goes in any more who would come out again. Whoever comes out adds
        // first and looks then; here it is the other way round, so that one of both sees the other.
        if Traffic::of(self).inside == 0 {
            self.recover(watch);
        }
    }

    /// Ready as soon as the directory is not stalled.
    pub fn poll_recovered(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_stalled() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        if !self.is_stalled() {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    #[cold]
    fn recover(&self, watch: &DiskWatch) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            if self.stalled.swap(false, Ordering::SeqCst) {
                watch.stalled_dirs.fetch_sub(1, Ordering::SeqCst);
            }
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A thread in a directory.
struct Inside<'a> {
    pace: &'a Pace,
    watch: &'a DiskWatch,
    /// How many threads that may serve connections were in any directory before this one; `None` if it never does.
    before: Option<usize>,
}

impl<'a> Inside<'a> {
    #[inline]
    fn enter(pace: &'a Pace, watch: &'a DiskWatch) -> Inside<'a> {
        let before = SERVES.get().then(|| watch.inside.fetch_add(1, Ordering::SeqCst));
        pace.traffic.fetch_add(1, Ordering::SeqCst);
        if watch.asleep.load(Ordering::SeqCst) {
            watch.wake();
        }
        Inside { pace, watch, before }
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.before.is_some() {
            self.watch.inside.fetch_sub(1, Ordering::SeqCst);
        }
        // One out of the lower half, one more in the upper.
        self.pace.traffic.fetch_add(OUT - 1, Ordering::SeqCst);
        if self.pace.stalled.load(Ordering::SeqCst) {
            self.pace.recover(self.watch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Wake;

    struct World {
        watch: Arc<DiskWatch>,
        dirs: Vec<Arc<DirHealth>>,
        served: Arc<AtomicUsize>,
        watcher: Option<std::thread::JoinHandle<()>>,
    }

    impl World {
        fn new(count: usize) -> World {
            let watch = Arc::new(DiskWatch::default());
            let dirs: Vec<_> = (0..count)
                .map(|_| {
                    let dir = DirHealth::reporting_to(Path::new("dir"), Arc::default(), Arc::clone(&watch));
                    Arc::new(dir)
                })
                .collect();
            let served = Arc::new(AtomicUsize::new(0));
            let watcher = {
                let (watch, dirs, served) = (Arc::clone(&watch), dirs.clone(), Arc::clone(&served));
                std::thread::spawn(move || {
                    watch.run(&dirs, |look| {
                        if look == Look::SomebodyStays {
                            served.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                })
            };
            World { watch, dirs, served, watcher: Some(watcher) }
        }

        /// A thread that stays in a directory until something is sent to it, and says when it is there.
        fn enter(&self, dir: usize) -> (Sender<()>, Receiver<()>) {
            self.enter_after(dir, || ())
        }

        /// The same of a thread that does something first.
        fn enter_after(&self, dir: usize, first: fn()) -> (Sender<()>, Receiver<()>) {
            let (leave, until) = channel();
            let (says, inside) = channel();
            let dir = Arc::clone(&self.dirs[dir]);
            std::thread::spawn(move || {
                first();
                dir.io(|| {
                    says.send(()).unwrap();
                    until.recv().unwrap();
                });
                says.send(()).unwrap();
            });
            (leave, inside)
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            self.watch.close();
            self.watcher.take().unwrap().join().unwrap();
        }
    }

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait_until(holds: impl Fn() -> bool) {
        while !holds() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_directory_that_nobody_leaves_is_stalled_until_somebody_does() {
        let world = World::new(2);
        // Once asleep, the watch must be woken by who goes in.
        wait_until(|| world.watch.asleep.load(Ordering::SeqCst));
        for _ in 0..3 {
            let (leave, inside) = world.enter(0);
            inside.recv().unwrap();
            wait_until(|| world.dirs[0].is_stalled());
            assert!(!world.dirs[1].is_stalled());
            assert!(
                world.served.load(Ordering::SeqCst) > 0,
                "nobody was asked to look after the connections"
            );
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            let mut context = Context::from_waker(&waker);
            let mut recovered = Box::pin(world.dirs[0].recovered());
            assert!(recovered.as_mut().poll(&mut context).is_pending());
            leave.send(()).unwrap();
            while recovered.as_mut().poll(&mut context).is_pending() {
                std::thread::park();
            }
            inside.recv().unwrap();
            assert!(!world.watch.any_stalled());
        }
    }

    #[test]
    fn a_directory_that_is_left_while_it_is_found_stalled_does_not_stay_so() {
        let watch = Arc::new(DiskWatch::default());
        let dir = DirHealth::reporting_to(Path::new("dir"), Arc::default(), Arc::clone(&watch));
        let (turn, rounds) = (AtomicUsize::new(0), 2_000);
        // Both begin each round at the same time, and look at it once both are done.
        let meet = |passed: usize| {
            turn.fetch_add(1, Ordering::SeqCst);
            while turn.load(Ordering::SeqCst) < 2 * passed {
                std::thread::yield_now();
            }
        };
        let mut stayed = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..rounds {
                    meet(2 * round + 1);
                    dir.pace().stall(&watch);
                    meet(2 * round + 2);
                }
            });
            for round in 0..rounds {
                dir.io(|| meet(2 * round + 1));
                meet(2 * round + 2);
                stayed += usize::from(dir.is_stalled() || watch.any_stalled());
            }
        });
        assert_eq!(stayed, 0, "times of {rounds}, though nobody was inside");
    }

    #[test]
    fn the_last_thread_hands_over_and_too_many_are_not_let_in() {
        let world = World::new(1);
        let handed_over = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&handed_over);
        let hand_over = move |work: &mut dyn FnMut()| {
            count.fetch_add(1, Ordering::SeqCst);
            work();
        };
        world.watch.serve_with(3, Box::new(hand_over));
        let mut inside = Vec::new();
        for _ in 0..5 {
            let (leave, entered) = world.enter_after(0, serves_nobody);
            entered.recv().unwrap();
            inside.push((leave, entered));
        }
        for threads in 1..=3 + MOST_HANDED_OVER {
            let (leave, entered) = world.enter(0);
            entered.recv().unwrap();
            inside.push((leave, entered));
            assert_eq!(
                handed_over.load(Ordering::SeqCst),
                threads.saturating_sub(2),
                "with {threads} inside"
            );
        }
        let (leave, entered) = world.enter(0);
        entered.recv().unwrap();
        assert!(world.dirs[0].is_stalled(), "whether or not the watch has looked");
        inside.push((leave, entered));
        for (leave, entered) in inside {
            leave.send(()).unwrap();
            entered.recv().unwrap();
        }
        assert_eq!(world.watch.inside.load(Ordering::SeqCst), 0);
        assert!(!world.watch.any_stalled());
    }
}
