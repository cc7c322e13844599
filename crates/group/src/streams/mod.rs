//! Streams groups of KIP-1071: the broker divides the tasks of a Kafka Streams application among its instances.
//!
//! Owns: the state of a group ([`StreamsGroup`]) as its records make it; the heartbeat's steps (member, topology and its topics,
//! group epoch, target assignment, current assignment); which internal topics are missing; the task assignor.
//!
//! **Invariant:** an active task is with one process at a time: a member is given one only when nobody has it, and has it until
//! it says that it does not, or is removed.
//!
//! Follows: `StreamsGroup`, `StreamsGroupMember`, `CurrentAssignmentBuilder`, `TargetAssignmentBuilder`, `InternalTopicManager`,
//! `StickyTaskAssignor` and the parts of `GroupMetadataManager` about them. As in Kafka 4.4, no warm-up tasks are handed out
//! (`AssignmentRefiner` leaves the target as it is); those of later brokers are kept, told to members and taken back.

mod assignor;
mod describe;
mod endpoints;
mod fence;
mod group;
mod heartbeat;
mod member;
mod offsets;
mod reconcile;
mod record;
mod reported;
mod request;
mod settled;
mod target;
mod tasks;
mod topics;
mod topology;

pub use group::{StreamsGroup, StreamsGroupState};
pub use heartbeat::StreamsGroupHeartbeatResult;
pub use member::{StreamsGroupMember, StreamsMemberState};
pub use record::StreamsGroupRecord;
pub use tasks::{ActiveTasks, Tasks, TasksTuple, TasksTupleWithEpochs};

pub(crate) use offsets::TaskValidator;
pub(crate) use request::{no_description_plugin, validate_heartbeat};

/// What `StreamsGroupHeartbeat` says of a group besides tasks (`StreamsGroupHeartbeatResponse.Status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusCode {
    StaleTopology = 0,
    MissingSourceTopics = 1,
    IncorrectlyPartitionedTopics = 2,
    MissingInternalTopics = 3,
    ShutdownApplication = 4,
    AssignmentDelayed = 5,
    MissingClientTags = 6,
}
