//! Consumer groups of KIP-848: the broker assigns, members reconcile at their own pace.
//!
//! Owns: the state of a group ([`ConsumerGroup`]) as its records make it, the heartbeat's three steps (member and group
//! epoch, target assignment, current assignment), the assignors, and the moves between this and the classic protocol.
//!
//! **Invariant:** a partition is in the assigned or revoking partitions of one member at most. A member is given a
//! partition only when nobody has it, and has it until it says that it does not, or is removed.
//!
//! Follows: `ConsumerGroup`, `ConsumerGroupMember`, `CurrentAssignmentBuilder`, `TargetAssignmentBuilder` and the parts of
//! `GroupMetadataManager` about them.

pub(crate) mod assignor;
mod classic_member;
mod describe;
mod fence;
mod group;
mod hash;
mod heartbeat;
mod member;
mod migration;
mod offsets;
mod reconcile;
mod record;
mod regular_expression;
mod target;

pub use assignor::Assignor;
pub use group::{ConsumerGroup, ConsumerGroupState};
pub use member::{ConsumerGroupMember, MemberState, OwnedPartitions};
pub use record::ConsumerGroupRecord;

pub(crate) use classic_member::{read_assignment, read_subscription, write_assignment};
pub(crate) use hash::{metadata_hash, topic_hash};
pub(crate) use offsets::CommitPartitionValidator;
pub(crate) use target::may_compute;

use std::collections::{BTreeMap, BTreeSet};

use common::{ErrorCode, Uuid};

/// Partitions by topic id.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// The epoch with which a member leaves, and that of a member whose assignment is gone.
pub(crate) const LEAVE_GROUP_MEMBER_EPOCH: i32 = -1;
/// The epoch with which a static member leaves for a while.
pub(crate) const LEAVE_GROUP_STATIC_MEMBER_EPOCH: i32 = -2;

/// Why a request is refused, with words for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(error: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { error, message: message.into() }
    }
}
