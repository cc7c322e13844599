//! Connections between nodes: what is sent on one arrives late, in its order, or, when the connection breaks, perhaps not at all.

use std::collections::{BTreeMap, BTreeSet};

use io::SeededRandom;

use crate::fault::{Fault, Faults};

/// How long messages take at most when nothing is wrong, in ms.
const QUICK_MS: u64 = 5;

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
    slowest_ms: u64,
    /// What was lost because there was no way, and what because there was only one back.
    lost: (u64, u64),
}

/// What goes wrong with a network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    /// Nothing goes from one to another; the other way it may.
    OneWay,
    /// Nobody reaches one node, nor it anybody.
    Alone,
    /// Two halves that do not reach each other.
    Halves,
    /// A connection breaks.
    Broken,
    /// Everything takes longer, or not so long any more.
    Slow,
}

impl Network {
    pub fn new() -> Network {
        Network { slowest_ms: QUICK_MS, ..Network::default() }
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

    pub fn is_cut(&self, from: i32, to: i32) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Something goes wrong between the nodes with `ids`. Says what.
    pub fn fails(&mut self, outage: Outage, ids: &[i32], random: &mut SeededRandom) -> String {
        let mut pick = || random.pick(ids).copied().unwrap_or(0);
        let (one, other) = (pick(), pick());
        match outage {
            Outage::OneWay => {
                self.cut.insert((one, other));
                format!("nothing goes from {one} to {other}")
            }
            Outage::Alone => {
                self.cut_between(&[one], ids);
                format!("{one} is cut off")
            }
            Outage::Halves => {
                let half: Vec<i32> = ids.iter().copied().filter(|_| random.chance(50)).collect();
                self.cut_between(&half, ids);
                format!("cut between {half:?} and the others")
            }
            Outage::Broken => {
                self.break_connection(one, other);
                format!("the connection from {one} to {other} breaks")
            }
            Outage::Slow => {
                self.slowest_ms = *random.pick(&[1, 5, 50, 300]).unwrap_or(&QUICK_MS);
                format!("the network takes up to {} ms", self.slowest_ms)
            }
        }
    }

    /// Cuts some of all off from the others.
    fn cut_between(&mut self, some: &[i32], all: &[i32]) {
        for from in all {
            for to in all.iter().filter(|to| some.contains(from) != some.contains(to)) {
                self.cut.insert((*from, *to));
            }
        }
    }

    /// All ways are there again.
    pub fn is_whole(&mut self) {
        self.cut.clear();
    }

    /// Nothing fails any more.
    pub fn heal(&mut self) {
        self.is_whole();
        self.slowest_ms = QUICK_MS;
    }

    /// Counts what went wrong with it.
    pub fn count(&self, faults: &mut Faults) {
        faults.add(Fault::Cut, self.lost.0);
        faults.add(Fault::OneWay, self.lost.1);
    }

    /// When something arrives that is sent now; `None` if it does not.
    pub fn arrival(&mut self, from: i32, to: i32, now_ms: i64, random: &mut SeededRandom) -> Option<i64> {
        if self.is_cut(from, to) {
            let lost = if self.is_cut(to, from) { &mut self.lost.0 } else { &mut self.lost.1 };
            *lost += 1;
            return None;
        }
        let last = self.last_arrival.entry((from, to)).or_insert(0);
        *last = (*last).max(now_ms + random.below(self.slowest_ms + 1) as i64);
        Some(*last)
    }
}
