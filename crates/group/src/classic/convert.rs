//! A classic group that becomes a consumer group (KIP-848), and the other way round.

use std::collections::HashMap;
use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use protocol::messages::join_group_request::JoinGroupRequestProtocol;

use super::group::{CONSUMER_PROTOCOL_TYPE, ClassicGroup};
use super::member::ClassicGroupMember;
use super::state::ClassicGroupState;
use crate::config::Env;
use crate::consumer::{
    Assignment, ConsumerGroup, ConsumerGroupMember, MemberState, OwnedPartitions, Refusal, metadata_hash,
    read_assignment, read_subscription, write_assignment,
};
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupRecord};

impl ClassicGroup {
    /// The members' session timeouts, in milliseconds.
    pub(crate) fn sessions(&self) -> Vec<(Arc<str>, i64)> {
        self.members
            .values()
            .map(|member| (Arc::clone(&member.member_id), i64::from(member.session_timeout_ms)))
            .collect()
    }

    /// The consumer group that this one becomes, and the records that say so: everybody has and should have what the
    /// leader assigned last.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND when it may not or cannot become one.
    pub(crate) fn upgrade(
        &self,
        env: &Env,
        records: &mut Vec<GroupRecord>,
    ) -> Result<ConsumerGroup, Refusal> {
        let refuse = |why: &str| {
            let message =
                format!("Cannot upgrade classic group {} to consumer group because {why}.", self.group_id);
            tracing::info!("{message}");
            Refusal::new(ErrorCode::GroupIdNotFound, message)
        };
        if !env.config.group_consumer_migration_policy.may_upgrade() {
            return Err(refuse("online upgrade is disabled"));
        }
        if !self.uses_consumer_protocol() {
            return Err(refuse("the group does not use the consumer embedded protocol"));
        }
        if self.members.len() > env.config.group_consumer_max_size {
            return Err(refuse("the group size exceeds the consumer group maximum size"));
        }
        records.push(GroupRecord::group_tombstone(&self.group_id));

        let topics = env.topics();
        let mut group = ConsumerGroup::new(Arc::clone(&self.group_id));
        let mut made: Vec<GroupRecord> = Vec::new();
        let mut members: Vec<(ConsumerGroupMember, Assignment)> = Vec::new();
        for member in self.members.values() {
            let assignment = if member.assignment.is_empty() {
                // It has joined, and never synced.
                Assignment::new()
            } else {
                match read_assignment(&member.assignment, &*topics.image) {
                    Some((_, Some(user_data))) if !user_data.is_empty() => {
                        return Err(refuse("an unsupported custom assignor is in use"));
                    }
                    Some((assignment, _)) => assignment,
                    None => return Err(refuse("the embedded consumer protocol is malformed")),
                }
            };
            let chosen = self.protocol_name.as_deref().and_then(|name| member.metadata(name));
            let metadata =
                chosen.or_else(|| member.protocols.first().map(|protocol| protocol.metadata.as_slice()));
            let subscription = metadata
                .and_then(read_subscription)
                .ok_or_else(|| refuse("the embedded consumer protocol is malformed"))?;
            let assigned: OwnedPartitions = assignment
                .iter()
                .map(|(topic_id, partitions)| {
                    let since = |partition: &i32| (*partition, self.generation_id);
                    (*topic_id, partitions.iter().map(since).collect())
                })
                .collect();
            let upgraded = ConsumerGroupMember {
                member_epoch: self.generation_id,
                previous_member_epoch: self.generation_id,
                instance_id: member.group_instance_id.clone(),
                rack_id: subscription.rack_id.filter(|rack| !rack.is_empty()),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                subscribed_topic_names: Arc::new(subscription.topics.into_iter().collect()),
                state: MemberState::Stable,
                assigned: Arc::new(assigned),
                classic: Some(Arc::new(ClassicMemberMetadata {
                    session_timeout_ms: member.session_timeout_ms,
                    supported_protocols: member.protocols.iter().map(to_stored).collect(),
                })),
                ..ConsumerGroupMember::new(Arc::clone(&member.member_id))
            };
            members.push((upgraded, assignment));
        }

        let make = group.records();
        made.extend(members.iter().map(|(member, _)| make.member(member)));
        let subscribed = members.iter().flat_map(|(member, _)| &*member.subscribed_topic_names);
        made.push(make.group(self.generation_id, metadata_hash(subscribed.map(String::as_str), &topics)));
        made.extend(members.iter().map(|(member, target)| make.target(&member.member_id, target)));
        made.push(make.target_metadata(self.generation_id, 0));
        made.extend(members.iter().map(|(member, _)| make.current(member)));
        for record in &made {
            if let GroupRecord::Consumer(record) = record {
                group.replay(record.clone());
            }
        }
        records.extend(made);
        tracing::info!("classic group {} becomes a consumer group", self.group_id);
        Ok(group)
    }

    /// The record of the classic group that a consumer group becomes: without `removed`, with `joining` in the place of the
    /// one its instance was. Everybody's session begins anew. None if its members have no protocol in common.
    pub(crate) fn downgrade(
        group: &ConsumerGroup,
        removed: &[&ConsumerGroupMember],
        joining: Option<&ConsumerGroupMember>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> Option<GroupRecord> {
        let topics = env.topics();
        let mut classic = ClassicGroup::new(Arc::clone(&group.group_id), ctx.now_ms);
        classic.state = ClassicGroupState::Stable;
        classic.generation_id = group.group_epoch();
        let instance_id = joining.and_then(|joining| joining.instance_id.as_deref());
        let stays = |member: &&ConsumerGroupMember| {
            !removed.iter().any(|removed| removed.member_id == member.member_id)
                && (instance_id.is_none() || member.instance_id.as_deref() != instance_id)
        };
        for member in group.members().filter(stays).chain(joining) {
            let metadata = member.classic.as_deref()?;
            classic.add(ClassicGroupMember {
                member_id: Arc::clone(&member.member_id),
                group_instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: metadata.session_timeout_ms,
                protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
                protocols: metadata.supported_protocols.iter().map(from_stored).collect(),
                assignment: Vec::new(),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
            });
        }
        let protocol_name = classic.select_protocol()?;
        let mut assignments: HashMap<Arc<str>, Vec<u8>> = HashMap::new();
        for (member_id, member) in &classic.members {
            let target = group.target_of(member_id, member.group_instance_id.as_deref());
            let metadata = member.metadata(&protocol_name).unwrap_or_default();
            assignments.insert(Arc::clone(member_id), write_assignment(&target, metadata, &*topics.image));
            ctx.schedule(
                TimerKey::heartbeat(&group.group_id, member_id),
                i64::from(member.session_timeout_ms),
                Timer::Heartbeat,
            );
        }
        classic.protocol_name = Some(protocol_name);
        Some(classic.to_record(Some(&assignments)))
    }
}

fn to_stored(protocol: &JoinGroupRequestProtocol) -> ClassicProtocol {
    ClassicProtocol { name: protocol.name.clone(), metadata: protocol.metadata.clone() }
}

fn from_stored(protocol: &ClassicProtocol) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol { name: protocol.name.clone(), metadata: protocol.metadata.clone() }
}
