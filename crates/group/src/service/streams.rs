//! StreamsGroupHeartbeat, StreamsGroupDescribe, StreamsGroupTopologyDescriptionUpdate.

use common::ErrorCode;
use protocol::messages::streams_group_describe_response::DescribedGroup;
use protocol::messages::{
    StreamsGroupDescribeRequest, StreamsGroupDescribeResponse, StreamsGroupHeartbeatRequest,
    StreamsGroupHeartbeatResponse, StreamsGroupTopologyDescriptionUpdateRequest,
    StreamsGroupTopologyDescriptionUpdateResponse,
};

use super::GroupCoordinator;
use super::gather::Gather;
use crate::consumer::Refusal;
use crate::streams::{no_description_plugin, validate_heartbeat};
use crate::{GroupResult, Reply, RequestContext, StreamsGroupHeartbeatResult};

fn refused(refusal: Refusal) -> StreamsGroupHeartbeatResult {
    StreamsGroupHeartbeatResult::from(StreamsGroupHeartbeatResponse {
        error_code: refusal.error.code(),
        error_message: Some(refusal.message),
        status: Some(Vec::new()),
        ..Default::default()
    })
}

impl GroupCoordinator {
    /// StreamsGroupHeartbeat: of a member that joins (epoch 0), stays, or leaves (epoch -1, or -2 for a while). Whoever asks
    /// has to see to it that the topics of the result are created.
    pub fn streams_group_heartbeat(
        &self,
        client: &RequestContext,
        request: StreamsGroupHeartbeatRequest,
        now_ms: i64,
        reply: Reply<StreamsGroupHeartbeatResult>,
    ) {
        if let Err(refusal) = validate_heartbeat(&request) {
            return reply(refused(refusal));
        }
        let refuse = |error: ErrorCode| {
            StreamsGroupHeartbeatResult::from(StreamsGroupHeartbeatResponse {
                error_code: error.code(),
                status: Some(Vec::new()),
                ..Default::default()
            })
        };
        let partition = self.partition_for(&request.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(
                |shard, ctx| {
                    Ok(shard
                        .streams_group_heartbeat(client, request, ctx)
                        .unwrap_or_else(|refusal| GroupResult::read(refused(refusal))))
                },
                move |result| reply(result.unwrap_or_else(refuse)),
            );
        });
    }

    /// StreamsGroupDescribe.
    pub fn describe_streams_groups(
        &self,
        _client: &RequestContext,
        request: StreamsGroupDescribeRequest,
        now_ms: i64,
        reply: Reply<StreamsGroupDescribeResponse>,
    ) {
        let gather = Gather::new(
            request.group_ids.len(),
            |groups| StreamsGroupDescribeResponse { groups, ..Default::default() },
            reply,
        );
        let include_topology_description = request.include_topology_description;
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
                    |shard| Ok(shard.describe_streams_group(&group_id, include_topology_description)),
                    move |result| reply(result.unwrap_or_else(failed)),
                );
            });
        }
    }

    /// StreamsGroupTopologyDescriptionUpdate (KIP-1331), which needs a plug-in that takes descriptions.
    pub fn update_streams_topology_description(
        &self,
        _client: &RequestContext,
        _request: StreamsGroupTopologyDescriptionUpdateRequest,
        reply: Reply<StreamsGroupTopologyDescriptionUpdateResponse>,
    ) {
        let refusal = no_description_plugin();
        reply(StreamsGroupTopologyDescriptionUpdateResponse {
            error_code: refusal.error.code(),
            error_message: Some(refusal.message),
            ..Default::default()
        });
    }
}
