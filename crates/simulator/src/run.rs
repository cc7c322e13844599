//! A run: one scenario, one seed, perhaps one bug planted; and what comes of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::fault::Faults;
use crate::planted::Planted;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The world.
    pub scenario: Scenario,
    /// What happens in it by chance.
    pub seed: u64,
    /// A bug to be found.
    pub planted: Option<Planted>,
    /// Print each event as it happens.
    pub verbose: bool,
}

/// A run in which everything held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash of all events in their order: two runs of one seed have the same.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// What happened, counted, to see that a run is about something.
    pub counts: Counts,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Times that everything was compared with the history.
    pub checks: u64,
    /// What went wrong.
    pub faults: Faults,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.acknowledged += other.acknowledged;
        self.checks += other.checks;
        self.faults += other.faults;
    }
}

/// A run in which something did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was run.
    pub run: Run,
    /// What did not hold.
    pub message: String,
    /// The last events before.
    pub events: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { scenario, seed, planted, .. } = self.run;
        for event in &self.events {
            writeln!(f, "  {event}")?;
        }
        writeln!(f, "{scenario}, seed {seed}: {}", self.message)?;
        write!(f, "again: cargo xtask simulate --scenario {scenario} --seed {seed}")?;
        if let Some(planted) = planted {
            write!(f, " --planted {planted}")?;
        }
        Ok(())
    }
}

impl Run {
    /// A run without a bug.
    pub fn new(scenario: Scenario, seed: u64) -> Run {
        Run { scenario, seed, planted: None, verbose: false }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What did not hold, an invariant of the code under test included.
    pub fn run(self) -> Result<Report, Box<Failure>> {
        let trace = Arc::new(Trace::new(self.verbose));
        let result = catch_unwind(AssertUnwindSafe(|| self.scenario.run(&self, &trace)));
        let message = match result {
            Ok(Ok(counts)) => return Ok(Report { trace: trace.hash(), events: trace.count(), counts }),
            Ok(Err(message)) => message,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("panic: {}", text.unwrap_or("of an unknown kind"))
            }
        };
        Err(Box::new(Failure { run: self, message, events: trace.last() }))
    }
}
