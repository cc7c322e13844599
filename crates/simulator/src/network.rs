//! Connections between nodes: what is sent on one arrives late, in its order, or, when the connection breaks, perhaps not at all.

use std::collections::{BTreeMap, BTreeSet};

use io::SeededRandom;

/// The way from one node to another.
type Way = (i32, i32);

/// The network between nodes that have numbers.
#[derive(Debug, Default)]
pub(crate) struct Network {
    cut: BTreeSet<Way>,
    /// Counts the connections there were from one node to another; answers come back on the same.
    connections: BTreeMap<Way, u64>,
    /// When the last message arrives that was sent on a way.
    last_arrival: BTreeMap<Way, i64>,
    /// Everything takes up to this long, in ms.
    pub slowest_ms: u64,
}

impl Network {
    pub fn new() -> Network {
        Network { slowest_ms: 5, ..Network::default() }
    }

    /// The connection on which `from` asks `to` at present.
    pub fn connection(&self, from: i32, to: i32) -> u64 {
        self.connections.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Ends the connection: what is on its way back is lost, and what is on its way there may be.
    pub fn break_connection(&mut self, from: i32, to: i32) {
        *self.connections.entry((from, to)).or_insert(0) += 1;
        self.last_arrival.remove(&(from, to));
        self.last_arrival.remove(&(to, from));
    }

    /// Nothing goes from one to the other any more; the other way it may.
    pub fn cut(&mut self, from: i32, to: i32) {
        self.cut.insert((from, to));
    }

    pub fn is_cut(&self, from: i32, to: i32) -> bool {
        self.cut.contains(&(from, to))
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// When something arrives that is sent now; `None` if it does not.
    pub fn arrival(&mut self, from: i32, to: i32, now_ms: i64, random: &mut SeededRandom) -> Option<i64> {
        if self.is_cut(from, to) {
            return None;
        }
        let last = self.last_arrival.entry((from, to)).or_insert(0);
        *last = (*last).max(now_ms + random.below(self.slowest_ms + 1) as i64);
        Some(*last)
    }
}
