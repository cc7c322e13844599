//! ConsumerGroupHeartbeat, ConsumerGroupDescribe.

use common::ErrorCode;
use protocol::messages::consumer_group_describe_response::DescribedGroup;
use protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};

use super::GroupCoordinator;
use super::gather::Gather;
use crate::consumer::{LEAVE_GROUP_MEMBER_EPOCH, LEAVE_GROUP_STATIC_MEMBER_EPOCH, Refusal};
use crate::{Assignor, GroupConfig, GroupResult, Reply, RequestContext};

/// From this version on members make their ids themselves.
const FIRST_VERSION_WITH_MEMBER_ID_OF_THE_CLIENT: i16 = 1;

fn refused(refusal: Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: refusal.error.code(),
        error_message: Some(refusal.message),
        ..Default::default()
    }
}

impl GroupCoordinator {
    /// ConsumerGroupHeartbeat: of a member that joins (epoch 0), stays, or leaves (epoch -1, or -2 for a while).
    pub fn consumer_group_heartbeat(
        &self,
        client: &RequestContext,
        request: ConsumerGroupHeartbeatRequest,
        now_ms: i64,
        reply: Reply<ConsumerGroupHeartbeatResponse>,
    ) {
        if let Err(refusal) = validate(&request, client.api_version, &self.env.config) {
            return reply(refused(refusal));
        }
        let refuse = |error: ErrorCode| ConsumerGroupHeartbeatResponse {
            error_code: error.code(),
            ..Default::default()
        };
        let partition = self.partition_for(&request.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(
                |shard, ctx| {
                    Ok(shard
                        .consumer_group_heartbeat(client, request, ctx)
                        .unwrap_or_else(|refusal| GroupResult::read(refused(refusal))))
                },
                move |result| reply(result.unwrap_or_else(refuse)),
            );
        });
    }

    /// ConsumerGroupDescribe.
    pub fn describe_consumer_groups(
        &self,
        _client: &RequestContext,
        request: ConsumerGroupDescribeRequest,
        now_ms: i64,
        reply: Reply<ConsumerGroupDescribeResponse>,
    ) {
        let gather = Gather::new(
            request.group_ids.len(),
            |groups| ConsumerGroupDescribeResponse { groups, ..Default::default() },
            reply,
        );
        for (index, group_id) in request.group_ids.into_iter().enumerate() {
            let named = group_id.clone();
            let refuse = move |error: ErrorCode| DescribedGroup {
                group_id: named,
                error_code: error.code(),
                ..Default::default()
            };
            if group_id.is_empty() {
                gather.part(index)(refuse(ErrorCode::InvalidGroupId));
                continue;
            }
            let failed = refuse.clone();
            let partition = self.partition_for(&group_id);
            self.with_partition(partition, now_ms, gather.part(index), refuse, |access, reply| {
                access.read(
                    |shard| Ok(shard.describe_consumer_group(&group_id)),
                    move |result| reply(result.unwrap_or_else(failed)),
                );
            });
        }
    }
}

/// What can be said of a heartbeat without looking at its group.
fn validate(
    request: &ConsumerGroupHeartbeatRequest,
    api_version: i16,
    config: &GroupConfig,
) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let is_blank = |text: &str| text.trim().is_empty();
    let epoch = request.member_epoch;
    let needs_id = api_version >= FIRST_VERSION_WITH_MEMBER_ID_OF_THE_CLIENT
        || epoch > 0
        || epoch == LEAVE_GROUP_MEMBER_EPOCH;
    if needs_id && is_blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_deref().is_some_and(is_blank) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(is_blank) {
        return invalid("RackId can't be empty.");
    }
    if epoch == 0 {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|partitions| !partitions.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
    } else if epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH {
        if request.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
    } else if epoch < LEAVE_GROUP_STATIC_MEMBER_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    if let Some(name) = &request.server_assignor
        && !config.group_consumer_assignors.iter().any(|assignor| assignor.name() == name)
    {
        let supported: Vec<&str> =
            config.group_consumer_assignors.iter().copied().map(Assignor::name).collect();
        return Err(Refusal::new(
            ErrorCode::UnsupportedAssignor,
            format!("ServerAssignor {name} is not supported. Supported assignors: {}.", supported.join(", ")),
        ));
    }
    Ok(())
}
