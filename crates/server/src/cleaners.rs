//! The threads that compact logs (`LogCleaner.startup`): `log.cleaner.threads` of them, which look again every
//! `log.cleaner.backoff.ms` when they found nothing to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use config::BrokerConfig;
use parking_lot::{Condvar, Mutex};
use storage::{CleanerHost, LogCleaner, LogManager};

use crate::clock::now_ms;

/// What of the configuration the threads follow. A change of any of it needs new ones.
#[derive(Clone, PartialEq)]
struct CleanerSettings {
    cleaner: storage::CleanerConfig,
    threads: usize,
    backoff: Duration,
}

impl CleanerSettings {
    fn of(config: &BrokerConfig) -> CleanerSettings {
        let view = &config.cleaner;
        let threads = if view.enable { usize::try_from(view.threads).unwrap_or(0) } else { 0 };
        CleanerSettings {
            cleaner: storage::CleanerConfig {
                threads: threads.max(1),
                dedupe_buffer_size: u64::try_from(view.dedupe_buffer_size).unwrap_or(0),
                dedupe_buffer_load_factor: view.io_buffer_load_factor,
                io_buffer_size: u64::try_from(view.io_buffer_size).unwrap_or(0),
                max_io_bytes_per_second: view.io_max_bytes_per_second,
            },
            threads,
            backoff: Duration::from_millis(view.backoff_ms.clamp(1, i64::from(u32::MAX)) as u64),
        }
    }
}

/// Tells threads to end.
#[derive(Default)]
struct Stop {
    stopping: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn stop(&self) {
        let _waiters_see_it = self.lock.lock();
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits, unless it is time to end.
    fn wait(&self, wait: Duration) {
        let mut lock = self.lock.lock();
        if !self.is_stopping() {
            self.changed.wait_for(&mut lock, wait);
        }
    }
}

/// The cleaners of a broker.
pub(crate) struct CleanerThreads {
    logs: Arc<LogManager>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    settings: Option<CleanerSettings>,
    stop: Arc<Stop>,
    /// Those that were told to end may still be among them.
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

impl CleanerThreads {
    /// None yet: [`CleanerThreads::reconfigure`] starts them.
    pub(crate) fn new(logs: Arc<LogManager>) -> CleanerThreads {
        CleanerThreads { logs, running: Mutex::default() }
    }

    /// Starts the threads, or others in their place if their settings have changed. Waits for nobody: what the old ones were at is
    /// given up, and two cleaners never work on one log.
    pub(crate) fn reconfigure(&self, config: &BrokerConfig) {
        let settings = CleanerSettings::of(config);
        let mut running = self.running.lock();
        if running.closed || running.settings.as_ref() == Some(&settings) {
            return;
        }
        running.stop.stop();
        running.threads.retain(|thread| !thread.is_finished());
        running.stop = Arc::default();
        let cleaner = Arc::new(LogCleaner::new(Arc::clone(&self.logs), settings.cleaner.clone()));
        for index in 0..settings.threads {
            let (cleaner, stop, backoff) =
                (Arc::clone(&cleaner), Arc::clone(&running.stop), settings.backoff);
            let thread = std::thread::Builder::new()
                .name(format!("log-cleaner-{index}"))
                .spawn(move || run(&cleaner, &stop, backoff));
            match thread {
                Ok(thread) => running.threads.push(thread),
                Err(error) => tracing::error!(%error, "no thread for a log cleaner"),
            }
        }
        running.settings = Some(settings);
    }

    /// Ends the threads, and waits for them: nothing is compacted any more.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut running = self.running.lock();
            running.closed = true;
            running.stop.stop();
            std::mem::take(&mut running.threads)
        };
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a log cleaner has panicked");
            }
        }
    }
}

fn run(cleaner: &LogCleaner, stop: &Stop, backoff: Duration) {
    let started = Instant::now();
    let host = CleanerHost {
        monotonic_ns: &|| u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        sleep: &|wait| stop.wait(wait),
        is_stopping: &|| stop.is_stopping(),
    };
    while !stop.is_stopping() {
        let cleaned = catch_unwind(AssertUnwindSafe(|| cleaner.clean_filthiest(&host, now_ms())));
        if cleaned.is_err() {
            tracing::error!("a log cleaner has panicked; it is tried again");
        }
        if !cleaned.unwrap_or(false) {
            stop.wait(backoff);
        }
    }
}
