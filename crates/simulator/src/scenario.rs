//! The worlds there are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::fault::Fault;
use crate::run::{Counts, Run};
use crate::trace::Trace;
use crate::{cluster, groups, log, quorum, replicas};

/// A world: which of the real parts are in it, and what may happen to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// The logs of one broker, with compaction, retention and truncation, on a disk that fails.
    Log,
    /// A log, and a follower that copies it, on a disk whose bits flip.
    Damage,
    /// The group coordinators of one broker over their log, with committers and members as clients.
    Groups,
    /// Controllers that elect a leader and copy the metadata log, and brokers that watch.
    Quorum,
    /// A partition on several brokers, with leaders that change and idempotent producers.
    Replicas,
    /// Whole clusters: controllers, brokers, topics, groups.
    Cluster,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 6] = [
        Scenario::Log,
        Scenario::Damage,
        Scenario::Groups,
        Scenario::Quorum,
        Scenario::Replicas,
        Scenario::Cluster,
    ];

    pub(crate) fn run(self, run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
        match self {
            Scenario::Log => log::run(run, trace),
            Scenario::Damage => log::damage::run(run, trace),
            Scenario::Groups => groups::run(run, trace),
            Scenario::Quorum => quorum::run(run, trace),
            Scenario::Replicas => replicas::run(run, trace),
            Scenario::Cluster => cluster::run(run, trace),
        }
    }

    /// What goes wrong in it: the table in `lib.rs`.
    pub fn faults(self) -> &'static [Fault] {
        use Fault::{BitFlip, Crash, Cut, FullDisk, LostWrite, OneWay, Pause, Skew, SlowDisk, TornWrite};
        match self {
            Scenario::Log => &[Crash, TornWrite, LostWrite, FullDisk],
            Scenario::Damage => &[Crash, TornWrite, LostWrite, BitFlip],
            Scenario::Groups => &[Crash, TornWrite, LostWrite, Cut, OneWay, Pause, Skew, SlowDisk, FullDisk],
            Scenario::Replicas => &[Crash, TornWrite, LostWrite, Cut, OneWay, Skew, FullDisk],
            Scenario::Quorum | Scenario::Cluster => &Fault::ALL,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Scenario::Log => "log",
            Scenario::Damage => "damage",
            Scenario::Groups => "groups",
            Scenario::Quorum => "quorum",
            Scenario::Replicas => "replicas",
            Scenario::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.into_iter().find(|scenario| scenario.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Scenario::ALL.into_iter().map(Scenario::name).collect();
            format!("there is no scenario {text}: one of {}", names.join(", "))
        })
    }
}
