//! What can go wrong, and how often it did: a fault that never happens proves nothing.

use std::fmt;

use io::{DiskDamage, SimulatedDisk};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process ends.
    Crash,
    /// A write of which only a part is there.
    TornWrite,
    /// What was not synced goes with the power.
    LostWrite,
    /// Nothing goes from one node to another, nor back.
    Cut,
    /// Nothing goes from one node to another, but what comes back arrives.
    OneWay,
    /// A process does nothing for a while.
    Pause,
    /// Clocks show different times.
    Skew,
    /// Syncs take long.
    SlowDisk,
    /// A write finds no room.
    FullDisk,
    /// A bit on a disk flips.
    BitFlip,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 10] = [
        Fault::Crash,
        Fault::TornWrite,
        Fault::LostWrite,
        Fault::Cut,
        Fault::OneWay,
        Fault::Pause,
        Fault::Skew,
        Fault::SlowDisk,
        Fault::FullDisk,
        Fault::BitFlip,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Crash => "crash",
            Fault::TornWrite => "torn write",
            Fault::LostWrite => "lost write",
            Fault::Cut => "cut",
            Fault::OneWay => "one way",
            Fault::Pause => "pause",
            Fault::Skew => "skew",
            Fault::SlowDisk => "slow disk",
            Fault::FullDisk => "full disk",
            Fault::BitFlip => "bit flip",
        })
    }
}

/// How often each fault happened to somebody: a cut counts when something was lost by it, a full disk when a write was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    /// How often one happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(crate) fn add(&mut self, fault: Fault, count: u64) {
        self.0[fault as usize] += count;
    }

    /// Adds what a disk has done.
    pub(crate) fn add_disk(&mut self, disk: &SimulatedDisk) {
        let DiskDamage { torn_writes, lost_changes, refused_for_room, slow_syncs, flipped_bits, .. } =
            disk.damage();
        self.add(Fault::TornWrite, torn_writes);
        self.add(Fault::LostWrite, lost_changes);
        self.add(Fault::FullDisk, refused_for_room);
        self.add(Fault::SlowDisk, slow_syncs);
        self.add(Fault::BitFlip, flipped_bits);
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Faults) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let happened = Fault::ALL.into_iter().filter(|fault| self.of(*fault) > 0);
        for (index, fault) in happened.enumerate() {
            write!(f, "{}{} {fault}", if index == 0 { "" } else { ", " }, self.of(fault))?;
        }
        Ok(())
    }
}
