//! Who may commit and fetch offsets in a consumer group.

use std::sync::Arc;

use common::{ErrorCode, Uuid};

use super::{ConsumerGroup, OwnedPartitions};
use crate::streams::TaskValidator;

/// From this version on an OffsetCommit has a member's epoch.
const FIRST_COMMIT_VERSION_WITH_MEMBER_EPOCH: i16 = 9;

/// What a commit has to pass for each of its partitions (Kafka's `CommitPartitionValidator`): a member may commit with an
/// older epoch what it has had since then.
pub(crate) enum CommitPartitionValidator {
    /// Everything passes.
    Any,
    /// What a member of a consumer group has.
    Partition { owned: [Arc<OwnedPartitions>; 2], epoch: i32, error: ErrorCode },
    /// What a member of a streams group has.
    Task(TaskValidator),
}

impl CommitPartitionValidator {
    pub(crate) fn validate(&self, topic: &str, topic_id: Uuid, partition: i32) -> Result<(), ErrorCode> {
        match self {
            CommitPartitionValidator::Any => Ok(()),
            CommitPartitionValidator::Task(validator) => validator.validate(topic, partition),
            CommitPartitionValidator::Partition { owned, epoch, error } => {
                let since = owned.iter().find_map(|owned| owned.get(&topic_id)?.get(&partition));
                if since.is_some_and(|since| epoch >= since) { Ok(()) } else { Err(*error) }
            }
        }
    }
}

impl ConsumerGroup {
    /// Whether a commit may be made.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH; ILLEGAL_GENERATION for members of the classic protocol.
    pub(crate) fn validate_commit(
        &self,
        member_id: &str,
        member_epoch: i32,
        api_version: i16,
    ) -> Result<CommitPartitionValidator, ErrorCode> {
        if member_epoch < 0 && self.members.is_empty() {
            return Ok(CommitPartitionValidator::Any);
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if !member.uses_classic_protocol() && api_version < FIRST_COMMIT_VERSION_WITH_MEMBER_EPOCH {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let error = stale(member.uses_classic_protocol());
        match member_epoch.cmp(&member.member_epoch) {
            std::cmp::Ordering::Equal => Ok(CommitPartitionValidator::Any),
            std::cmp::Ordering::Greater => Err(error),
            std::cmp::Ordering::Less => Ok(CommitPartitionValidator::Partition {
                owned: [Arc::clone(&member.assigned), Arc::clone(&member.pending_revocation)],
                epoch: member_epoch,
                error,
            }),
        }
    }

    /// Whether offsets may be fetched. Whoever does not name a member may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH; ILLEGAL_GENERATION for members of the classic protocol.
    pub(crate) fn validate_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ErrorCode> {
        let Some(member_id) = member_id else {
            return if member_epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member_epoch == member.member_epoch { Ok(()) } else { Err(stale(member.uses_classic_protocol())) }
    }
}

fn stale(uses_classic_protocol: bool) -> ErrorCode {
    if uses_classic_protocol { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}
