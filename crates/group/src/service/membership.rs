//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use std::sync::{Arc, Mutex, PoisonError};

use common::ErrorCode;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::GroupCoordinator;
use crate::{Reply, RequestContext};

/// From this version on LeaveGroup names several members.
const FIRST_LEAVE_GROUP_VERSION_WITH_MEMBERS: i16 = 3;
/// From this version on SyncGroup must name the protocol (KIP-559).
const FIRST_SYNC_GROUP_VERSION_WITH_PROTOCOL: i16 = 5;
/// From this version on JoinGroup's answer may be without a protocol.
const FIRST_JOIN_GROUP_VERSION_WITHOUT_PROTOCOL: i16 = 7;

impl GroupCoordinator {
    /// JoinGroup: the answer comes when the group's next generation begins.
    pub fn join_group(
        &self,
        client: &RequestContext,
        mut request: JoinGroupRequest,
        now_ms: i64,
        reply: Reply<JoinGroupResponse>,
    ) {
        let reply: Reply<JoinGroupResponse> =
            if client.api_version < FIRST_JOIN_GROUP_VERSION_WITHOUT_PROTOCOL {
                Box::new(move |mut response: JoinGroupResponse| {
                    response.protocol_name.get_or_insert_default();
                    reply(response);
                })
            } else {
                reply
            };
        let member_id = request.member_id.clone();
        let refuse = move |error: ErrorCode| JoinGroupResponse {
            member_id,
            error_code: error.code(),
            ..Default::default()
        };
        if request.group_id.is_empty() {
            return reply(refuse(ErrorCode::InvalidGroupId));
        }
        let config = &self.env.config;
        let session_timeouts = config.group_min_session_timeout_ms..=config.group_max_session_timeout_ms;
        if !session_timeouts.contains(&request.session_timeout_ms) {
            return reply(refuse(ErrorCode::InvalidSessionTimeout));
        }
        if client.api_version == 0 {
            // It has no rebalance timeout of its own.
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let partition = self.partition_for(&request.group_id);
        let failed = refuse.clone();
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            // A classic group keeps the reply until its next generation; in a consumer group the answer is known at once, and
            // given when it is written.
            let reply = Arc::new(Mutex::new(Some(reply)));
            let place = Arc::clone(&reply);
            let take = |place: &Mutex<Option<Reply<JoinGroupResponse>>>| {
                place.lock().unwrap_or_else(PoisonError::into_inner).take()
            };
            access.write(
                |shard, ctx| {
                    if shard.has_consumer_group_members(&request.group_id) {
                        return Ok(shard.join_consumer_group(client, request, ctx)?.map(Some));
                    }
                    let Some(reply) = take(&place) else { unreachable!("nobody has taken it") };
                    Ok(shard.join_group(client, request, reply, ctx).map(|()| None))
                },
                move |result| {
                    let Some(reply) = take(&reply) else { return };
                    match result {
                        Ok(Some(response)) => reply(response),
                        Ok(None) => {}
                        Err(error) => reply(failed(error)),
                    }
                },
            );
        });
    }

    /// SyncGroup: the answer comes when the leader has assigned.
    pub fn sync_group(
        &self,
        client: &RequestContext,
        request: SyncGroupRequest,
        now_ms: i64,
        reply: Reply<SyncGroupResponse>,
    ) {
        let refuse = |error: ErrorCode| SyncGroupResponse { error_code: error.code(), ..Default::default() };
        if client.api_version >= FIRST_SYNC_GROUP_VERSION_WITH_PROTOCOL
            && (request.protocol_type.is_none() || request.protocol_name.is_none())
        {
            return reply(refuse(ErrorCode::InconsistentGroupProtocol));
        }
        if request.group_id.is_empty() {
            return reply(refuse(ErrorCode::InvalidGroupId));
        }
        let partition = self.partition_for(&request.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(|shard, ctx| Ok(shard.sync_group(request, reply, ctx)), |_| {});
        });
    }

    /// Heartbeat.
    pub fn heartbeat(
        &self,
        _client: &RequestContext,
        request: HeartbeatRequest,
        now_ms: i64,
        reply: Reply<HeartbeatResponse>,
    ) {
        let refuse = |error: ErrorCode| {
            // While the group is loaded nobody knows better: the member may stay.
            let error = if error == ErrorCode::CoordinatorLoadInProgress { ErrorCode::None } else { error };
            HeartbeatResponse { error_code: error.code(), ..Default::default() }
        };
        if request.group_id.is_empty() {
            return reply(refuse(ErrorCode::InvalidGroupId));
        }
        let partition = self.partition_for(&request.group_id);
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(
                |shard, ctx| Ok(shard.heartbeat(&request, ctx)),
                move |result| reply(result.unwrap_or_else(refuse)),
            );
        });
    }

    /// LeaveGroup.
    pub fn leave_group(
        &self,
        client: &RequestContext,
        mut request: LeaveGroupRequest,
        now_ms: i64,
        reply: Reply<LeaveGroupResponse>,
    ) {
        let names_one = client.api_version < FIRST_LEAVE_GROUP_VERSION_WITH_MEMBERS;
        let reply: Reply<LeaveGroupResponse> = if names_one {
            request.members = vec![MemberIdentity {
                member_id: std::mem::take(&mut request.member_id),
                ..Default::default()
            }];
            Box::new(move |mut response: LeaveGroupResponse| {
                // The one member's outcome is the answer's.
                if response.error_code == ErrorCode::None.code() {
                    response.error_code = response.members.first().map_or(0, |member| member.error_code);
                }
                response.members.clear();
                reply(response);
            })
        } else {
            reply
        };
        let members = request.members.clone();
        let refuse = move |error: ErrorCode| match error {
            // There is no such group.
            ErrorCode::UnknownMemberId => LeaveGroupResponse {
                members: members
                    .iter()
                    .map(|member| crate::classic::member_response(member, error))
                    .collect(),
                ..Default::default()
            },
            _ => LeaveGroupResponse { error_code: error.code(), ..Default::default() },
        };
        if request.group_id.is_empty() {
            return reply(refuse(ErrorCode::InvalidGroupId));
        }
        let partition = self.partition_for(&request.group_id);
        let failed = refuse.clone();
        self.with_partition(partition, now_ms, reply, refuse, |access, reply| {
            access.write(
                |shard, ctx| shard.leave_group(&request, ctx),
                move |result| reply(result.unwrap_or_else(failed)),
            );
        });
    }
}
