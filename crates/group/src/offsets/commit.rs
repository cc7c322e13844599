//! OffsetCommit and OffsetDelete.

use common::ErrorCode;
use protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use protocol::messages::{
    OffsetCommitKey, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitValue, OffsetDeleteRequest,
    OffsetDeleteResponse,
};

use crate::classic::{ClassicGroup, ClassicGroupState};
use crate::consumer::CommitPartitionValidator;
use crate::metrics::add;
use crate::{Ctx, Group, GroupRecord, GroupResult, GroupShard, RequestContext};

/// From this version on a group that does not exist is called that; before, it was a wrong generation.
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 9;
/// What a client sends that leaves the retention to the broker.
const DEFAULT_RETENTION_TIME: i64 = -1;

impl GroupShard {
    /// Commits offsets for members, or for clients that are none if nobody is in the group. Topics have their names.
    pub(crate) fn commit_offsets(
        &mut self,
        client: &RequestContext,
        request: OffsetCommitRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<OffsetCommitResponse>, ErrorCode> {
        let validator = self.validate_commit(client, &request, ctx)?;
        let expire_timestamp = match request.retention_time_ms {
            DEFAULT_RETENTION_TIME => -1,
            retention_ms => ctx.now_ms.saturating_add(retention_ms),
        };
        let mut records = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let error = if self.metadata_too_large(&partition) {
                    ErrorCode::OffsetMetadataTooLarge
                } else {
                    validator.validate(&topic.name, topic.topic_id, partition.partition_index)?;
                    records.push(GroupRecord::OffsetCommit {
                        key: OffsetCommitKey {
                            group: request.group_id.clone(),
                            topic: topic.name.clone(),
                            partition: partition.partition_index,
                        },
                        value: Some(OffsetCommitValue {
                            offset: partition.committed_offset,
                            leader_epoch: partition.committed_leader_epoch,
                            metadata: partition.committed_metadata.unwrap_or_default(),
                            commit_timestamp: ctx.now_ms,
                            expire_timestamp,
                            topic_id: topic.topic_id,
                        }),
                    });
                    ErrorCode::None
                };
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                });
            }
            topics.push(OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions });
        }
        add(&self.env.counters.offset_commits, records.len());
        Ok(GroupResult::new(records, OffsetCommitResponse { topics, ..Default::default() }))
    }

    fn metadata_too_large(&self, partition: &OffsetCommitRequestPartition) -> bool {
        // Kafka counts Java's characters.
        let length = |text: &String| text.encode_utf16().count();
        partition.committed_metadata.as_ref().map_or(0, length) > self.env.config.offset_metadata_max_bytes
    }

    fn validate_commit(
        &self,
        client: &RequestContext,
        request: &OffsetCommitRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<CommitPartitionValidator, ErrorCode> {
        let generation_id = request.generation_id_or_member_epoch;
        match self.groups.get(&request.group_id) {
            // The record makes a group of it that only commits.
            None if generation_id < 0 => Ok(CommitPartitionValidator::Any),
            None if client.api_version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND => {
                Err(ErrorCode::GroupIdNotFound)
            }
            None => Err(ErrorCode::IllegalGeneration),
            Some(Group::Consumer(group)) => {
                group.validate_commit(&request.member_id, generation_id, client.api_version)
            }
            Some(Group::Streams(group)) => {
                group.validate_commit(&request.member_id, generation_id, client.api_version)
            }
            Some(Group::Modern(group)) if generation_id < 0 && group.is_empty() => {
                Ok(CommitPartitionValidator::Any)
            }
            // Its members cannot be served yet.
            Some(Group::Modern(_)) => Err(ErrorCode::UnknownMemberId),
            Some(Group::Classic(group)) => {
                validate_classic_commit(group, request)?;
                if matches!(group.state(), ClassicGroupState::Stable | ClassicGroupState::PreparingRebalance)
                {
                    // A member that commits is alive.
                    group.expect_heartbeat(&request.member_id, ctx);
                }
                Ok(CommitPartitionValidator::Any)
            }
        }
    }

    /// Deletes offsets of topics that nobody in the group reads.
    pub(crate) fn delete_offsets(
        &self,
        request: OffsetDeleteRequest,
    ) -> Result<GroupResult<OffsetDeleteResponse>, ErrorCode> {
        let group = self.groups.get(&request.group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        group.validate_offset_delete()?;
        let mut records = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let subscribed = group.is_subscribed_to_topic(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let index = partition.partition_index;
                let mut error = ErrorCode::None;
                if subscribed {
                    error = ErrorCode::GroupSubscribedToTopic;
                } else if self.offsets.offset(&request.group_id, &topic.name, index).is_some()
                    || self.offsets.has_pending(&request.group_id, &topic.name, index)
                {
                    records.push(GroupRecord::offset_tombstone(&request.group_id, &topic.name, index));
                }
                partitions
                    .push(OffsetDeleteResponsePartition { partition_index: index, error_code: error.code() });
            }
            topics.push(OffsetDeleteResponseTopic { name: topic.name, partitions });
        }
        add(&self.env.counters.offset_deletions, records.len());
        Ok(GroupResult::new(records, OffsetDeleteResponse { topics, ..Default::default() }))
    }

    /// Tombstones for all offsets of a group.
    pub(crate) fn delete_all_offsets(&self, group_id: &str, records: &mut Vec<GroupRecord>) {
        for (topic, partitions) in self.offsets.offsets.of_group(group_id).into_iter().flatten() {
            for partition in partitions.keys() {
                records.push(GroupRecord::offset_tombstone(group_id, topic, *partition));
            }
        }
        for (topic, partition) in self.offsets.pending_partitions(group_id) {
            if self.offsets.offset(group_id, topic, *partition).is_none() {
                records.push(GroupRecord::offset_tombstone(group_id, topic, *partition));
            }
        }
    }
}

/// Who may commit in a classic group: members of this generation, and anybody while it is empty.
fn validate_classic_commit(group: &ClassicGroup, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
    let generation_id = request.generation_id_or_member_epoch;
    let is_empty = group.state() == ClassicGroupState::Empty;
    if generation_id < 0 && is_empty {
        return Ok(());
    }
    let instance_id: Option<&str> = request.group_instance_id.as_deref();
    if generation_id >= 0 || !request.member_id.is_empty() || instance_id.is_some() {
        group.validate_member(&request.member_id, instance_id, "offset-commit")?;
        if generation_id != group.generation_id() {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else if !is_empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    if group.state() == ClassicGroupState::CompletingRebalance {
        // The member knows the new generation, but not yet what it may read in it.
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}
