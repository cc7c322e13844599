//! What happened, in its order: a hash of all of it, and the last of it in words.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use parking_lot::Mutex;

/// How many events are kept in words.
const KEPT: usize = 60;

/// The events of a run.
#[derive(Debug, Default)]
pub struct Trace {
    verbose: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hash: u64,
    count: u64,
    last: VecDeque<String>,
}

impl Trace {
    /// No events yet.
    pub fn new(verbose: bool) -> Trace {
        Trace { verbose, state: Mutex::default() }
    }

    /// Something happened at a time, in ms.
    pub fn note(&self, now_ms: i64, event: fmt::Arguments<'_>) {
        let state = &mut *self.state.lock();
        let mut line =
            if state.last.len() == KEPT { state.last.pop_front().unwrap_or_default() } else { String::new() };
        line.clear();
        // Writing to a string cannot fail.
        let _ = write!(line, "{now_ms} {event}");
        if self.verbose {
            println!("{line}");
        }
        state.hash = line.bytes().fold(state.hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        state.count += 1;
        state.last.push_back(line);
    }

    /// The hash of all events.
    pub fn hash(&self) -> u64 {
        self.state.lock().hash
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// The last of them.
    pub fn last(&self) -> Vec<String> {
        self.state.lock().last.iter().cloned().collect()
    }
}
