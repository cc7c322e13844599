//! OffsetFetch.

use std::sync::Arc;

use common::{ErrorCode, Uuid};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::store::OffsetAndMetadata;
use crate::{Group, GroupShard};

fn response(partition: i32, offset: Option<&OffsetAndMetadata>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: offset.map_or(-1, |offset| offset.committed_offset),
        committed_leader_epoch: offset.map_or(-1, |offset| offset.leader_epoch),
        metadata: Some(offset.map_or_else(String::new, |offset| offset.metadata.to_string())),
        error_code: ErrorCode::None.code(),
    }
}

impl GroupShard {
    /// The committed offsets of a group: of the partitions that are asked for, or of all. With `require_stable`, a
    /// partition for which a transaction is open has none to give. Topics have their names.
    pub(crate) fn fetch_offsets(
        &self,
        request: &OffsetFetchRequestGroup,
        require_stable: bool,
    ) -> Result<OffsetFetchResponseGroup, ErrorCode> {
        if let Some(group) = self.groups.consumer(&request.group_id) {
            group.validate_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        if let Some(group) = self.groups.streams(&request.group_id) {
            group.validate_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        if let Some(Group::Modern(_)) = self.groups.get(&request.group_id)
            && (request.member_epoch >= 0 || request.member_id.as_ref().is_some_and(|id| !id.is_empty()))
        {
            // Its members cannot be served yet.
            return Err(ErrorCode::UnknownMemberId);
        }
        let topics = match &request.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| self.fetch_topic(&request.group_id, topic, require_stable))
                .collect(),
            None => self.fetch_all(&request.group_id, require_stable),
        };
        Ok(OffsetFetchResponseGroup { group_id: request.group_id.clone(), topics, ..Default::default() })
    }

    fn fetch_topic(
        &self,
        group_id: &str,
        topic: &OffsetFetchRequestTopics,
        require_stable: bool,
    ) -> OffsetFetchResponseTopics {
        let offsets = self.offsets.offsets.of_group(group_id).and_then(|topics| topics.get(&*topic.name));
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|&partition| {
                if require_stable && self.offsets.has_pending(group_id, &topic.name, partition) {
                    return unstable(partition);
                }
                let offset = offsets.and_then(|offsets| offsets.get(&partition));
                // A topic of the same name that was deleted since had another id.
                let offset = offset.filter(|offset| {
                    offset.topic_id.is_zero() || topic.topic_id.is_zero() || offset.topic_id == topic.topic_id
                });
                response(partition, offset)
            })
            .collect();
        OffsetFetchResponseTopics { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
    }

    fn fetch_all(&self, group_id: &str, require_stable: bool) -> Vec<OffsetFetchResponseTopics> {
        let all = |(topic, offsets): (&Arc<str>, &std::collections::BTreeMap<i32, OffsetAndMetadata>)| {
            let partitions = offsets
                .iter()
                .map(|(&partition, offset)| {
                    if require_stable && self.offsets.has_pending(group_id, topic, partition) {
                        unstable(partition)
                    } else {
                        response(partition, Some(offset))
                    }
                })
                .collect();
            OffsetFetchResponseTopics { name: topic.to_string(), topic_id: Uuid::ZERO, partitions }
        };
        self.offsets.offsets.of_group(group_id).into_iter().flatten().map(all).collect()
    }
}

fn unstable(partition: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UnstableOffsetCommit.code(),
        ..response(partition, None)
    }
}
