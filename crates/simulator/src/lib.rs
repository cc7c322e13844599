//! Worlds in which the real parts of milena run, and everything that can fail does: disks, processes, machines, networks. One
//! thread, a clock that is set, and chance that follows from a seed: a seed reproduces a run to the last event.
//!
//! The parts under test are those that ship. What is simulated is what they stand on (the disk is `io`'s) and what stands around
//! them. Each world keeps the history of what was acknowledged, and compares.

mod cluster;
mod committed;
mod fetch;
mod groups;
mod log;
mod machine;
mod network;
mod planted;
mod quorum;
mod replicas;
mod run;
mod scenario;
mod schedule;
mod trace;

pub use planted::Planted;
pub use run::{Counts, Failure, Report, Run};
pub use scenario::Scenario;
pub use trace::Trace;
