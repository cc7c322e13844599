//! Worlds in which the real parts of milena run, and everything that can fail does: disks, processes, machines, networks. One
//! thread, a clock that is set, and chance that follows from a seed: a seed reproduces a run to the last event.
//!
//! The parts under test are those that ship. What is simulated is what they stand on (the disk is `io`'s) and what stands around
//! them. Each world keeps the history of what was acknowledged, and compares.
//!
//! What goes wrong in which world ([`Scenario::faults`]; that it does is a test):
//!
//! | world | crash | torn write | lost write | cut | one way | pause | skew | slow disk | full disk | bit flip |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | log | yes | yes | yes | - | - | - | - | - | yes | - |
//! | damage | yes | yes | yes | - | - | - | - | - | - | yes |
//! | groups | yes | yes | yes | yes | yes | yes | yes | yes | yes | - |
//! | quorum | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes |
//! | replicas | yes | yes | yes | yes | yes | - | yes | - | yes | - |
//! | cluster | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes |
//!
//! A log has no network and nobody who waits for it. Replicas take a step when chance has it: each may pause behind any, and none
//! waits for a disk. Bits flip where somebody else has them: in a log and its copy, on one broker of a cluster, on those who watch a
//! quorum. Of its voters that cannot be asked: one that no longer has what it said it has may elect somebody who has not either.

mod cluster;
mod committed;
mod fault;
mod fetch;
mod groups;
mod log;
mod machine;
mod network;
mod offsets;
mod planted;
mod quorum;
mod replicas;
mod run;
mod scenario;
mod schedule;
mod trace;

pub use fault::{Fault, Faults};
pub use planted::Planted;
pub use run::{Counts, Failure, Report, Run};
pub use scenario::Scenario;
pub use trace::Trace;
