//! The worlds there are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::run::{Counts, Run};
use crate::trace::Trace;
use crate::{groups, log};

/// A world: which of the real parts are in it, and what may happen to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// The logs of one broker, with compaction, retention and truncation, on a disk that fails.
    Log,
    /// The group coordinators of one broker over their log, with committers and members as clients.
    Groups,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 2] = [Scenario::Log, Scenario::Groups];

    pub(crate) fn run(self, run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
        match self {
            Scenario::Log => log::run(run, trace),
            Scenario::Groups => groups::run(run, trace),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Scenario::Log => "log",
            Scenario::Groups => "groups",
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
