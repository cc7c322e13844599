//! Members of the classic protocol in a consumer group: their JoinGroup, SyncGroup, Heartbeat and LeaveGroup are translated,
//! so that both kinds share the group while clients are moved from one protocol to the other.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use protocol::messages::consumer_protocol_assignment::TopicPartition;
use protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use protocol::{Message, Reader, Writer};

use super::heartbeat::METADATA_REFRESH_MS;
use super::{Assignment, ConsumerGroup, ConsumerGroupMember, MemberState, OwnedPartitions};
use crate::classic::{CONSUMER_PROTOCOL_TYPE, FIRST_VERSION_REQUIRING_MEMBER_ID, member_response};
use crate::config::ConsumerGroupMigrationPolicy;
use crate::shard::{Timer, TimerKey};
use crate::topics::TopicsImage;
use crate::{Ctx, GroupResult, GroupShard, GroupType, RequestContext};

/// The last version of the consumers' own messages inside the classic protocol.
const LAST_CONSUMER_PROTOCOL_VERSION: i16 = 3;

impl GroupShard {
    /// JoinGroup to a consumer group with members.
    ///
    /// # Errors
    /// What the client hears.
    pub(crate) fn join_consumer_group(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<JoinGroupResponse>, ErrorCode> {
        let env = Arc::clone(&self.env);
        let group = self.groups.consumer(&request.group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if env.config.group_consumer_migration_policy == ConsumerGroupMigrationPolicy::Disabled {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let is_unknown = request.member_id.is_empty();
        let member_id: Arc<str> =
            if is_unknown { Arc::from((env.new_uuid)().to_string()) } else { Arc::from(request.member_id) };
        let instance_id = request.group_instance_id;
        let limit = env.config.group_consumer_max_size;
        group
            .members
            .check_room(GroupType::Consumer, limit, &member_id, instance_id.as_deref())
            .map_err(|refusal| refusal.error)?;
        let names = request.protocols.iter().map(|protocol| protocol.name.as_str());
        if request.protocol_type != CONSUMER_PROTOCOL_TYPE || !group.supports_classic_protocols(names) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if is_unknown && instance_id.is_none() && client.api_version >= FIRST_VERSION_REQUIRING_MEMBER_ID {
            return Ok(GroupResult::read(JoinGroupResponse {
                member_id: member_id.to_string(),
                error_code: ErrorCode::MemberIdRequired.code(),
                ..Default::default()
            }));
        }

        let mut records = Vec::new();
        let existing = instance_id.as_deref().and_then(|instance_id| group.members.of_instance(instance_id));
        let before = match (&instance_id, existing) {
            (None, _) => group
                .member(&member_id)
                .cloned()
                .unwrap_or_else(|| ConsumerGroupMember::new(Arc::clone(&member_id))),
            (Some(_), None) if is_unknown => ConsumerGroupMember::new(Arc::clone(&member_id)),
            (Some(_), Some(existing)) if is_unknown => {
                group.replace_static_member(existing, Arc::clone(&member_id), &mut records)
            }
            (Some(_), _) => group
                .members
                .known(&group.group_id, &member_id, instance_id.as_deref())
                .map_err(|refusal| refusal.error)?
                .clone(),
        };
        let subscription = request
            .protocols
            .first()
            .and_then(|protocol| read_subscription(&protocol.metadata))
            .ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let mut updated = before.clone();
        updated.instance_id = instance_id.or(updated.instance_id);
        updated.rack_id = subscription.rack_id.filter(|rack| !rack.is_empty()).or(updated.rack_id);
        if request.rebalance_timeout_ms != -1 {
            updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        updated.subscribed_topic_names = Arc::new(subscription.topics.into_iter().collect());
        updated.subscribed_topic_regex = Some(String::new());
        updated.client_id.clone_from(&client.client_id);
        updated.client_host.clone_from(&client.client_host);
        let supported_protocols: Vec<ClassicProtocol> = request
            .protocols
            .into_iter()
            .map(|protocol| ClassicProtocol { name: protocol.name, metadata: protocol.metadata })
            .collect();
        let protocol_name = supported_protocols.first().map(|protocol| protocol.name.clone());
        updated.classic = Some(Arc::new(ClassicMemberMetadata {
            session_timeout_ms: request.session_timeout_ms,
            supported_protocols,
        }));
        let answer = |member_id: &str, generation_id: i32| JoinGroupResponse {
            member_id: member_id.to_owned(),
            generation_id,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol_name: protocol_name.clone(),
            ..Default::default()
        };

        if existing.is_some_and(|existing| group.may_downgrade_replacing(existing, &env)) {
            let rebalances = group.assignment_epoch < group.group_epoch
                || updated.subscribed_topic_names != before.subscribed_topic_names
                || before.regex().is_some();
            // Divergence: where a rebalance follows, Kafka answers generation 0, and the member's SyncGroup is refused with
            // ILLEGAL_GENERATION: it joins anew and counts its partitions as lost. With the generation that the classic
            // group has, it is told of the rebalance instead.
            let response = answer(&updated.member_id, group.group_epoch);
            if group.downgrade(&[], Some(&updated), rebalances, &env, ctx, &mut records) {
                return Ok(GroupResult::new(records, response));
            }
            return Err(ErrorCode::InconsistentGroupProtocol);
        }

        let reported: Vec<TopicPartitions> = subscription
            .owned_partitions
            .into_iter()
            .filter_map(|topic| {
                let topic_id = env.topics().image.topic_id(&topic.topic)?;
                Some(TopicPartitions { topic_id, partitions: topic.partitions })
            })
            .collect();
        let step = group
            .step(&before, updated, Some(&reported), &env, ctx, &mut records)
            .map_err(|refusal| refusal.error)?;
        let (group_id, member_id) = (Arc::clone(&group.group_id), Arc::clone(&step.member.member_id));
        ctx.cancel(&TimerKey::member_join(&group_id, &member_id));
        ctx.schedule(
            TimerKey::session(&group_id, &member_id),
            i64::from(request.session_timeout_ms),
            Timer::Session,
        );
        ctx.schedule(
            TimerKey::member_sync(&group_id, &member_id),
            i64::from(request.rebalance_timeout_ms),
            Timer::MemberSync,
        );
        if let (Some(group_epoch), Some(group)) = (step.refreshed, self.groups.consumer_mut(&group_id)) {
            group.refresh_metadata_at(ctx.now_ms.saturating_add(METADATA_REFRESH_MS), group_epoch);
        }
        Ok(GroupResult::new(records, answer(&member_id, step.member.member_epoch)))
    }

    /// SyncGroup to a consumer group: what the member has been assigned is known already.
    ///
    /// # Errors
    /// What the client hears.
    pub(crate) fn sync_consumer_group(
        &self,
        request: &SyncGroupRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let group = self.groups.consumer(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let (member, classic) = group.classic_member(
            &request.member_id,
            request.group_instance_id.as_deref(),
            request.generation_id,
        )?;
        let name = classic.supported_protocols.first().map(|protocol| protocol.name.as_str());
        if request.protocol_type.as_ref().is_some_and(|named| named != CONSUMER_PROTOCOL_TYPE)
            || request.protocol_name.as_ref().is_some_and(|named| Some(named.as_str()) != name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // One that has to give up partitions has joined already: it does so first, and joins again then.
        if group.assignment_epoch > member.member_epoch && member.state != MemberState::UnrevokedPartitions {
            group.expect_join(member, ctx);
            return Err(ErrorCode::RebalanceInProgress);
        }
        ctx.cancel(&TimerKey::member_sync(&group.group_id, &member.member_id));
        group.expect_heartbeat(member, classic, ctx);
        let topics = self.env.topics();
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: write_assignment(
                &without_epochs(&member.assigned),
                classic.supported_protocols.first().map_or(&[], |protocol| &protocol.metadata),
                &*topics.image,
            ),
            ..Default::default()
        })
    }

    /// Heartbeat to a consumer group.
    ///
    /// # Errors
    /// What the client hears; REBALANCE_IN_PROGRESS when it has to join again.
    pub(crate) fn heartbeat_consumer_group(
        &self,
        request: &HeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<(), ErrorCode> {
        let group = self.groups.consumer(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let (member, classic) = group.classic_member(
            &request.member_id,
            request.group_instance_id.as_deref(),
            request.generation_id,
        )?;
        group.expect_heartbeat(member, classic, ctx);
        // A new target, partitions to give up, or partitions that have become free.
        let has_to_join = member.member_epoch < group.assignment_epoch
            || member.state == MemberState::UnrevokedPartitions
            || (member.state == MemberState::UnreleasedPartitions
                && !group.waits_for_unreleased_partition(member));
        if has_to_join {
            group.expect_join(member, ctx);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup to a consumer group, also for members of the consumer protocol.
    pub(crate) fn leave_consumer_group(
        &mut self,
        request: &LeaveGroupRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<LeaveGroupResponse>, ErrorCode> {
        let group = self.groups.consumer(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let mut leaving: Vec<Arc<str>> = Vec::new();
        let mut members = Vec::with_capacity(request.members.len());
        for named in &request.members {
            let found = match &named.group_instance_id {
                // An administrator names an instance only.
                Some(instance_id) if named.member_id.is_empty() => {
                    group.members.of_instance(instance_id).ok_or(ErrorCode::UnknownMemberId)
                }
                instance_id => group
                    .members
                    .known(&group.group_id, &named.member_id, instance_id.as_deref())
                    .map_err(|refusal| refusal.error),
            };
            let error = match found {
                Ok(member) => {
                    if !leaving.contains(&member.member_id) {
                        leaving.push(Arc::clone(&member.member_id));
                    }
                    ErrorCode::None
                }
                Err(error) => error,
            };
            members.push(member_response(named, error));
        }
        let response = LeaveGroupResponse { members, ..Default::default() };
        Ok(self.fence_members(&request.group_id, &leaving, response, ctx))
    }
}

impl ConsumerGroup {
    fn supports_classic_protocols<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.any(|name| self.classic_protocols.get(name).copied().unwrap_or(0) == self.num_classic_members)
    }

    /// The member that sends a request of the classic protocol.
    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
    ) -> Result<(&ConsumerGroupMember, &ClassicMemberMetadata), ErrorCode> {
        let member = self.members.known(&self.group_id, member_id, instance_id);
        let member = member.map_err(|refusal| refusal.error)?;
        let classic = member.classic.as_deref().ok_or(ErrorCode::UnknownMemberId)?;
        if member.member_epoch != generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok((member, classic))
    }

    fn expect_heartbeat(
        &self,
        member: &ConsumerGroupMember,
        classic: &ClassicMemberMetadata,
        ctx: &mut Ctx<'_>,
    ) {
        ctx.schedule(
            TimerKey::session(&self.group_id, &member.member_id),
            i64::from(classic.session_timeout_ms),
            Timer::Session,
        );
    }

    /// The member was told to join again: it has its rebalance timeout for that.
    fn expect_join(&self, member: &ConsumerGroupMember, ctx: &mut Ctx<'_>) {
        let key = TimerKey::member_join(&self.group_id, &member.member_id);
        if !ctx.timers.contains(&key) {
            ctx.schedule(key, i64::from(member.rebalance_timeout_ms), Timer::MemberJoin);
        }
    }
}

/// A consumer's subscription, of any version; later ones begin like the last one known.
pub(crate) fn read_subscription(metadata: &[u8]) -> Option<ConsumerProtocolSubscription> {
    let mut reader = Reader::new(metadata);
    let version = reader.i16().ok().filter(|version| *version >= 0)?;
    ConsumerProtocolSubscription::read(&mut reader, version.min(LAST_CONSUMER_PROTOCOL_VERSION)).ok()
}

/// A consumer's assignment by topic id; without topics that do not exist any more.
pub(crate) fn read_assignment(
    bytes: &[u8],
    topics: &dyn TopicsImage,
) -> Option<(Assignment, Option<Vec<u8>>)> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().ok().filter(|version| *version >= 0)?;
    let assignment =
        ConsumerProtocolAssignment::read(&mut reader, version.min(LAST_CONSUMER_PROTOCOL_VERSION)).ok()?;
    let partitions = assignment
        .assigned_partitions
        .into_iter()
        .filter_map(|topic| Some((topics.topic_id(&topic.topic)?, topic.partitions.into_iter().collect())))
        .collect();
    Some((partitions, assignment.user_data))
}

/// An assignment as a consumer of the classic protocol reads it, in the version of its subscription.
pub(crate) fn write_assignment(
    assignment: &Assignment,
    subscription: &[u8],
    topics: &dyn TopicsImage,
) -> Vec<u8> {
    let version = Reader::new(subscription).i16().unwrap_or(0).clamp(0, LAST_CONSUMER_PROTOCOL_VERSION);
    let message = ConsumerProtocolAssignment {
        assigned_partitions: assignment
            .iter()
            .filter_map(|(topic_id, partitions)| {
                Some(TopicPartition {
                    topic: topics.topic_name(*topic_id)?,
                    partitions: partitions.iter().copied().collect(),
                })
            })
            .collect(),
        ..Default::default()
    };
    let mut writer = Writer::new();
    writer.i16(version);
    if let Err(error) = message.write(&mut writer, version) {
        // Only a name that is too long could be the reason, and no topic has one.
        tracing::error!("an assignment cannot be written: {error}");
    }
    writer.into_bytes()
}

fn without_epochs(owned: &OwnedPartitions) -> Assignment {
    owned.iter().map(|(topic_id, partitions)| (*topic_id, partitions.keys().copied().collect())).collect()
}
