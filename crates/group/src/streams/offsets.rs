//! Who may commit and fetch offsets in a streams group.

use std::sync::Arc;

use common::ErrorCode;

use super::StreamsGroup;
use super::tasks::TasksTupleWithEpochs;
use super::topology::StreamsTopology;
use crate::consumer::CommitPartitionValidator;

/// From this version on an OffsetCommit has a member's epoch.
const FIRST_COMMIT_VERSION_WITH_MEMBER_EPOCH: i16 = 9;

/// What a commit of an older epoch has to pass for each of its partitions: the member has had the task since then.
pub(crate) struct TaskValidator {
    topology: Arc<StreamsTopology>,
    has: [Arc<TasksTupleWithEpochs>; 2],
    epoch: i32,
}

impl TaskValidator {
    pub(crate) fn validate(&self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        let since = self
            .topology
            .reader_of(topic)
            .and_then(|id| self.has.iter().find_map(|tasks| tasks.active.get(id)?.get(&partition).copied()));
        match since {
            Some(since) if self.epoch >= since => Ok(()),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}

impl StreamsGroup {
    /// Whether a commit may be made.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH.
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
        if api_version < FIRST_COMMIT_VERSION_WITH_MEMBER_EPOCH {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match member_epoch.cmp(&member.member_epoch) {
            std::cmp::Ordering::Equal => Ok(CommitPartitionValidator::Any),
            std::cmp::Ordering::Greater => Err(ErrorCode::StaleMemberEpoch),
            std::cmp::Ordering::Less => Ok(CommitPartitionValidator::Task(TaskValidator {
                topology: self.topology.clone().ok_or(ErrorCode::StaleMemberEpoch)?,
                has: [Arc::clone(&member.assigned), Arc::clone(&member.pending_revocation)],
                epoch: member_epoch,
            })),
        }
    }

    /// Whether offsets may be fetched. Whoever does not name a member may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH.
    pub(crate) fn validate_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ErrorCode> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let member = member_id.and_then(|member_id| self.members.get(member_id));
        match member.ok_or(ErrorCode::UnknownMemberId)? {
            member if member.member_epoch == member_epoch => Ok(()),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}
