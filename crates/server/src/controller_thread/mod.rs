//! The thread of the metadata: owns KRaft, the metadata loader, and on a controller the `QuorumController`. Every node has it:
//! a controller votes, leads, and follows; a broker only follows (`SharedServer`, `RaftManager`, `MetadataLoader`,
//! `QuorumController`'s event queue).
//!
//! Requests come in as jobs. Those that wait are run one after the other, their records are appended and go to the other
//! controllers, one sync commits them all on this one, and once a majority has them the new image is published and their
//! answers leave. So whoever got an answer sees its effect. A second thread publishes: nothing that the quorum or the
//! brokers' sessions live by waits for what a change brings.

mod handle;
mod peers;
mod publishing;
mod serve;
mod state;

pub(crate) use handle::{ControllerHandle, ControllerUnavailable, Until, channel};
pub(crate) use serve::{MetadataThread, RunningController};
