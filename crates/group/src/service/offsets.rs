//! OffsetCommit, OffsetFetch, OffsetDelete: topics are named or identified, checked, and put together again.

use common::ErrorCode;
use protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse,
};

use super::GroupCoordinator;
use super::gather::Gather;
use crate::{Reply, RequestContext, TopicResolver};

/// From this version on OffsetCommit and OffsetFetch have topic ids in place of names.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 10;
/// From this version on OffsetFetch's answer has room for an error beside the partitions.
const FIRST_FETCH_VERSION_WITH_ERROR: i16 = 2;
/// From this version on OffsetFetch asks for several groups.
const FIRST_FETCH_VERSION_WITH_GROUPS: i16 = 8;

impl GroupCoordinator {
    /// OffsetCommit. Partitions that do not exist are refused one by one.
    pub fn commit_offsets(
        &self,
        client: &RequestContext,
        mut request: OffsetCommitRequest,
        topics: &dyn TopicResolver,
        now_ms: i64,
        reply: Reply<OffsetCommitResponse>,
    ) {
        let by_id = client.api_version >= FIRST_VERSION_WITH_TOPIC_IDS;
        let mut refused = Vec::new();
        request.topics.retain_mut(|topic| resolve(topic, by_id, topics, &mut refused));
        if request.topics.is_empty() && !refused.is_empty() {
            return reply(OffsetCommitResponse { topics: refused, ..Default::default() });
        }
        let all: Vec<OffsetCommitResponseTopic> = request
            .topics
            .iter()
            .map(|topic| OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|partition| commit_partition(partition.partition_index, ErrorCode::None))
                    .collect(),
            })
            .collect();
        let refuse = move |error: ErrorCode| {
            let mut topics = all;
            for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.error_code = error.code();
            }
            OffsetCommitResponse { topics, ..Default::default() }
        };
        let reply: Reply<OffsetCommitResponse> = Box::new(move |mut response: OffsetCommitResponse| {
            merge(&mut response.topics, refused);
            reply(response);
        });
        let failed = refuse.clone();
        let partition = self.partition_for(&request.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(
                |shard, ctx| shard.commit_offsets(client, request, ctx),
                move |result| reply(result.unwrap_or_else(failed)),
            );
        });
    }

    /// OffsetFetch, for one group or many.
    pub fn fetch_offsets(
        &self,
        client: &RequestContext,
        request: OffsetFetchRequest,
        topics: &dyn TopicResolver,
        now_ms: i64,
        reply: Reply<OffsetFetchResponse>,
    ) {
        let version = client.api_version;
        if version >= FIRST_FETCH_VERSION_WITH_GROUPS {
            let gather = Gather::new(
                request.groups.len(),
                |groups| OffsetFetchResponse { groups, ..Default::default() },
                reply,
            );
            for (index, group) in request.groups.into_iter().enumerate() {
                let part = gather.part(index);
                self.fetch_group(version, group, request.require_stable, topics, now_ms, part);
            }
            return;
        }
        let group = OffsetFetchRequestGroup {
            group_id: request.group_id,
            topics: request.topics.map(|topics| {
                topics
                    .into_iter()
                    .map(|topic| OffsetFetchRequestTopics {
                        name: topic.name,
                        partition_indexes: topic.partition_indexes,
                        ..Default::default()
                    })
                    .collect()
            }),
            ..Default::default()
        };
        let reply = Box::new(move |group| reply(single_group(group)));
        self.fetch_group(version, group, request.require_stable, topics, now_ms, reply);
    }

    fn fetch_group(
        &self,
        version: i16,
        mut group: OffsetFetchRequestGroup,
        require_stable: bool,
        topics: &dyn TopicResolver,
        now_ms: i64,
        reply: Reply<OffsetFetchResponseGroup>,
    ) {
        let by_id = version >= FIRST_VERSION_WITH_TOPIC_IDS;
        let refuse = fetch_error(version, &group);
        let mut refused = Vec::new();
        if by_id && let Some(asked) = &mut group.topics {
            asked.retain_mut(|topic| match topics.topic_name(topic.topic_id) {
                Some(name) => {
                    topic.name = name;
                    true
                }
                None => {
                    refused.push(fetch_topic_error(topic, ErrorCode::UnknownTopicId));
                    false
                }
            });
        }
        let failed = refuse.clone();
        let partition = self.partition_for(&group.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.read(
                |shard| {
                    let mut response = shard.fetch_offsets(&group, require_stable)?;
                    if by_id && group.topics.is_none() {
                        // A topic without an id cannot be written in this version.
                        response.topics.retain_mut(|topic| {
                            topic.topic_id = topics.topic_id(&topic.name).unwrap_or_default();
                            !topic.topic_id.is_zero()
                        });
                    }
                    response.topics.extend(refused);
                    Ok(response)
                },
                move |result| reply(result.unwrap_or_else(failed)),
            );
        });
    }

    /// OffsetDelete.
    pub fn delete_offsets(
        &self,
        _client: &RequestContext,
        mut request: OffsetDeleteRequest,
        topics: &dyn TopicResolver,
        now_ms: i64,
        reply: Reply<OffsetDeleteResponse>,
    ) {
        let refuse =
            |error: ErrorCode| OffsetDeleteResponse { error_code: error.code(), ..Default::default() };
        if request.group_id.is_empty() {
            return reply(refuse(ErrorCode::InvalidGroupId));
        }
        let mut refused = Vec::new();
        request.topics.retain_mut(|topic| {
            let (known, unknown): (Vec<_>, Vec<_>) = std::mem::take(&mut topic.partitions)
                .into_iter()
                .partition(|partition| topics.has_partition(&topic.name, partition.partition_index));
            topic.partitions = known;
            if !unknown.is_empty() {
                refused.push(OffsetDeleteResponseTopic {
                    name: topic.name.clone(),
                    partitions: unknown
                        .iter()
                        .map(|partition| OffsetDeleteResponsePartition {
                            partition_index: partition.partition_index,
                            error_code: ErrorCode::UnknownTopicOrPartition.code(),
                        })
                        .collect(),
                });
            }
            !topic.partitions.is_empty()
        });
        let partition = self.partition_for(&request.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(
                |shard, _| shard.delete_offsets(request),
                move |result| {
                    let mut response = result.unwrap_or_else(refuse);
                    if response.error_code == ErrorCode::None.code() {
                        for topic in refused {
                            match response.topics.iter_mut().find(|known| known.name == topic.name) {
                                Some(known) => known.partitions.extend(topic.partitions),
                                None => response.topics.push(topic),
                            }
                        }
                    }
                    reply(response);
                },
            );
        });
    }
}

fn commit_partition(partition_index: i32, error: ErrorCode) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition { partition_index, error_code: error.code() }
}

/// Completes a topic's name and id and takes out the partitions that do not exist. Whether any are left.
fn resolve(
    topic: &mut OffsetCommitRequestTopic,
    by_id: bool,
    topics: &dyn TopicResolver,
    refused: &mut Vec<OffsetCommitResponseTopic>,
) -> bool {
    let mut error = ErrorCode::UnknownTopicOrPartition;
    let exists = if by_id {
        error = ErrorCode::UnknownTopicId;
        topics.topic_name(topic.topic_id).map(|name| topic.name = name).is_some()
    } else {
        topics.topic_id(&topic.name).map(|id| topic.topic_id = id).is_some()
    };
    let unknown: Vec<_> = if exists {
        error = ErrorCode::UnknownTopicOrPartition;
        let (known, unknown) = std::mem::take(&mut topic.partitions)
            .into_iter()
            .partition(|partition| topics.has_partition(&topic.name, partition.partition_index));
        topic.partitions = known;
        unknown
    } else {
        std::mem::take(&mut topic.partitions)
    };
    if !unknown.is_empty() {
        let partitions = unknown.iter().map(|partition| commit_partition(partition.partition_index, error));
        refused.push(OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
        });
    }
    !topic.partitions.is_empty()
}

fn merge(topics: &mut Vec<OffsetCommitResponseTopic>, refused: Vec<OffsetCommitResponseTopic>) {
    for topic in refused {
        let same = |known: &&mut OffsetCommitResponseTopic| {
            known.name == topic.name && known.topic_id == topic.topic_id
        };
        match topics.iter_mut().find(same) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
}

fn fetch_topic_error(topic: &OffsetFetchRequestTopics, error: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|&partition_index| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        metadata: Some(String::new()),
        error_code: error.code(),
        ..Default::default()
    });
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

/// The answer for a group that cannot be asked: an error, or in the first version one for each partition.
fn fetch_error(
    version: i16,
    group: &OffsetFetchRequestGroup,
) -> impl FnOnce(ErrorCode) -> OffsetFetchResponseGroup + Clone + Send + 'static {
    let group_id = group.group_id.clone();
    let topics = match &group.topics {
        Some(topics) if version < FIRST_FETCH_VERSION_WITH_ERROR => topics.clone(),
        _ => Vec::new(),
    };
    move |error| OffsetFetchResponseGroup {
        group_id,
        topics: topics.iter().map(|topic| fetch_topic_error(topic, error)).collect(),
        error_code: error.code(),
    }
}

/// The answer of versions that know one group only.
fn single_group(group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: group.error_code, ..Default::default() }
}
