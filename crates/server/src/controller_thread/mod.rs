//! The thread of the metadata: owns KRaft, the metadata loader, and on a controller the `QuorumController`. Every node has it:
//! a controller votes, leads, and follows; a broker only follows (`SharedServer`, `RaftManager`, `MetadataLoader`,
//! `QuorumController`'s event queue).
//!
//! Requests come in as jobs. Those that wait are run one after the other, their records are appended and go to the other
//! controllers, one sync commits them all on this one, the new image is published, and once a majority has them their
//! answers leave. So whoever got an answer sees its effect.

mod handle;
mod peers;
mod serve;
mod state;

pub(crate) use handle::{ControllerHandle, channel};
pub(crate) use serve::{MetadataThread, RunningController};
