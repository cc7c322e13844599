//! What the group coordinators of all worlds stand on and are asked: the topics of an image, their log when they take over, and the
//! offset of one partition.

use std::sync::Arc;

use common::{ErrorCode, Uuid};
use group::{GroupCoordinator, RequestContext, TopicResolver, TopicsImage};
use metadata::MetadataImage;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use storage::Log;

/// The topics of an image.
pub(crate) struct Topics(pub Arc<MetadataImage>);

impl TopicResolver for Topics {
    fn topic_name(&self, id: Uuid) -> Option<String> {
        self.0.topics.topic_by_id(&id).map(|topic| topic.name.to_string())
    }

    fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.0.topics.topic(name).map(|topic| topic.id)
    }

    fn has_partition(&self, name: &str, partition: i32) -> bool {
        self.0.topics.topic(name).is_some_and(|topic| topic.partitions.contains_key(&partition))
    }
}

impl TopicsImage for Topics {
    fn version(&self) -> i64 {
        self.0.provenance.last_contained_offset
    }

    fn partition_count(&self, name: &str) -> Option<i32> {
        Some(self.0.topics.topic(name)?.partitions.len() as i32)
    }

    fn partition_racks(&self, _: &str, _: i32) -> Vec<String> {
        Vec::new()
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.0.topics.sorted().iter().for_each(|topic| visit(&topic.name));
    }
}

/// A coordinator takes over in an epoch, and reads its log up to `end`.
pub(crate) fn load(
    groups: &GroupCoordinator,
    index: i32,
    epoch: i32,
    log: &Log,
    end: i64,
    now_ms: i64,
) -> Result<(), ErrorCode> {
    let mut read = |offset: i64, buffer: &mut Vec<u8>| {
        if offset >= end {
            return Ok(());
        }
        let fetched = log.read(offset, 1000, end, true).map_err(|error| error.error_code())?;
        fetched.records.read_into(buffer).map_err(|_| ErrorCode::KafkaStorageError)
    };
    groups.load(index, epoch, log.log_start_offset(), log.high_watermark(), &mut read, now_ms).map(drop)
}

/// Who asks.
pub(crate) fn context(api_version: i16, client_id: &str) -> RequestContext {
    RequestContext { api_version, client_id: client_id.to_owned(), client_host: "/127.0.0.1".to_owned() }
}

/// The commit of one offset by a member of a group, or by nobody in one.
pub(crate) fn commit_request(
    group: &str,
    member: (&str, i32),
    (topic, partition): (&str, i32),
    offset: i64,
) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        member_id: member.0.to_owned(),
        generation_id_or_member_epoch: member.1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Commits an offset; says what came of it.
pub(crate) fn commit(
    groups: &GroupCoordinator,
    client_id: &str,
    request: OffsetCommitRequest,
    image: &Arc<MetadataImage>,
    now_ms: i64,
    reply: impl FnOnce(ErrorCode) + Send + 'static,
) {
    let topics = Topics(Arc::clone(image));
    groups.commit_offsets(
        &context(9, client_id),
        request,
        &topics,
        now_ms,
        Box::new(move |response| {
            let outcome = response.topics.first().and_then(|topic| topic.partitions.first());
            reply(outcome.map_or(ErrorCode::UnknownServerError, |partition| {
                ErrorCode::from_code(partition.error_code)
            }));
        }),
    );
}

/// Asks which offset a group has committed; -1: none.
pub(crate) fn committed(
    groups: &GroupCoordinator,
    group: &str,
    (topic, partition): (&str, i32),
    image: &Arc<MetadataImage>,
    now_ms: i64,
    reply: impl FnOnce(Result<i64, ErrorCode>) + Send + 'static,
) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: topic.to_owned(),
                partition_indexes: vec![partition],
                ..Default::default()
            }]),
            member_epoch: -1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let topics = Topics(Arc::clone(image));
    let told = Box::new(move |response| reply(offset_in(&response)));
    groups.fetch_offsets(&context(9, "client"), request, &topics, now_ms, told);
}

fn offset_in(response: &OffsetFetchResponse) -> Result<i64, ErrorCode> {
    let group = response.groups.first().ok_or(ErrorCode::UnknownServerError)?;
    let fine = |code: i16| match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        error => Err(error),
    };
    fine(group.error_code)?;
    let found = group.topics.first().and_then(|topic| topic.partitions.first());
    let found = found.ok_or(ErrorCode::UnknownServerError)?;
    fine(found.error_code)?;
    Ok(found.committed_offset)
}
