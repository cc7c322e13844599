//! The state of a classic group: members, votes, who waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use protocol::messages::{SyncGroupResponse, list_groups_response};
use protocol::{Message, Reader};

use super::member::{ClassicGroupMember, protocol_names};
use super::state::ClassicGroupState;
use crate::shard::TimerKey;
use crate::{Ctx, GroupType, Reply};

/// The protocol type of consumers.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// From when the retention of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryBase {
    /// Since the group became what it is, in milliseconds.
    StateChange(i64),
    /// Since each offset was committed.
    Commit,
}

/// A classic group (Kafka's `ClassicGroup`).
///
/// **Invariant:** `supported_protocols` counts the members that name each protocol, `num_awaiting_join` those whose
/// JoinGroup is parked, `static_members` has each member with an instance id; the leader, if there is one, is a member.
pub struct ClassicGroup {
    pub(crate) group_id: Arc<str>,
    pub(super) state: ClassicGroupState,
    pub(super) previous_state: ClassicGroupState,
    pub(super) current_state_timestamp: Option<i64>,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) generation_id: i32,
    pub(super) leader_id: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, ClassicGroupMember>,
    /// Member ids by instance id.
    pub(super) static_members: HashMap<String, Arc<str>>,
    /// Ids that were given out and not yet joined with.
    pub(super) pending_join_members: BTreeSet<Arc<str>>,
    /// Members of this generation that have not sent their SyncGroup.
    pub(super) pending_sync_members: BTreeSet<Arc<str>>,
    pub(super) num_awaiting_join: usize,
    pub(super) supported_protocols: HashMap<String, usize>,
    /// What consumers subscribe to; none if that is not known.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    /// A member came during the initial delay, which may be extended.
    pub(super) new_member_added: bool,
}

impl ClassicGroup {
    /// An empty group.
    pub fn new(group_id: Arc<str>, now_ms: i64) -> ClassicGroup {
        ClassicGroup {
            group_id,
            state: ClassicGroupState::Empty,
            previous_state: ClassicGroupState::Dead,
            current_state_timestamp: Some(now_ms),
            protocol_type: None,
            protocol_name: None,
            generation_id: 0,
            leader_id: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_join_members: BTreeSet::new(),
            pending_sync_members: BTreeSet::new(),
            num_awaiting_join: 0,
            supported_protocols: HashMap::new(),
            subscribed_topics: None,
            new_member_added: false,
        }
    }

    /// Where it is.
    pub fn state(&self) -> ClassicGroupState {
        self.state
    }

    /// Its generation: how often it has been rebalanced.
    pub fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// The kind of its members: `consumer`, `connect`, ...
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol that was picked: for consumers the assignor.
    pub fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    /// The leader's member id.
    pub fn leader_id(&self) -> Option<&str> {
        self.leader_id.as_deref()
    }

    /// Its members, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &ClassicGroupMember> {
        self.members.values()
    }

    /// The member with this id.
    pub fn member(&self, member_id: &str) -> Option<&ClassicGroupMember> {
        self.members.get(member_id)
    }

    /// Whether this is the leader's id.
    pub fn is_leader(&self, member_id: &str) -> bool {
        self.leader_id.as_deref() == Some(member_id)
    }

    pub(super) fn is_pending_member(&self, member_id: &str) -> bool {
        self.pending_join_members.contains(member_id)
    }

    /// Forgets all timers, when the group is deleted.
    pub(crate) fn cancel_timers(&self, ctx: &mut Ctx<'_>) {
        for member_id in self.members.keys().chain(&self.pending_join_members) {
            ctx.cancel(&TimerKey::heartbeat(&self.group_id, member_id));
        }
        ctx.cancel(&TimerKey::join(&self.group_id));
        ctx.cancel(&TimerKey::sync(&self.group_id));
    }

    pub(crate) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.num_awaiting_join && self.pending_join_members.is_empty()
    }

    /// The longest that any member wants to be waited for.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    pub(super) fn transition_to(&mut self, next: ClassicGroupState, now_ms: i64) {
        assert!(
            self.state.may_become(next),
            "group {} cannot go from {} to {next}",
            self.group_id,
            self.state
        );
        self.previous_state = self.state;
        self.state = next;
        self.current_state_timestamp = Some(now_ms);
    }

    /// Adds a member, which must support a protocol that all have. The first one leads.
    pub(super) fn add(&mut self, member: ClassicGroupMember) {
        let member_id = Arc::clone(&member.member_id);
        if let Some(instance_id) = &member.group_instance_id {
            let before = self.static_members.insert(instance_id.clone(), Arc::clone(&member_id));
            assert!(before.is_none(), "instance {instance_id} is a member of group {} twice", self.group_id);
        }
        if self.members.is_empty() {
            self.protocol_type = Some(member.protocol_type.clone());
        }
        if self.leader_id.is_none() {
            self.leader_id = Some(Arc::clone(&member_id));
        }
        self.count_protocols(&member.protocols, true);
        self.num_awaiting_join += usize::from(member.is_awaiting_join());
        self.pending_join_members.remove(&member_id);
        self.members.insert(member_id, member);
    }

    /// Removes a member, or an id that waits to become one, and answers what it waits for: the client may still be there
    /// and join anew.
    pub(crate) fn remove(&mut self, member_id: &str) {
        self.complete_join_with_error(member_id, "", ErrorCode::UnknownMemberId);
        self.pending_join_members.remove(member_id);
        self.pending_sync_members.remove(member_id);
        if let Some(mut member) = self.members.remove(member_id) {
            self.count_protocols(&member.protocols, false);
            if let Some(instance_id) = &member.group_instance_id {
                self.static_members.remove(instance_id);
            }
            if let Some(reply) = member.awaiting_sync.take() {
                reply(SyncGroupResponse {
                    error_code: ErrorCode::UnknownMemberId.code(),
                    ..Default::default()
                });
            }
        }
        if self.is_leader(member_id) {
            self.leader_id = self.members.keys().next().cloned();
        }
    }

    pub(super) fn count_protocols(&mut self, protocols: &[JoinGroupRequestProtocol], add: bool) {
        for name in protocol_names(protocols) {
            if add {
                *self.supported_protocols.entry(name.to_owned()).or_default() += 1;
            } else if let Some(count) = self.supported_protocols.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported_protocols.remove(name);
                }
            }
        }
    }

    /// Takes what a member sends when it joins again, and parks its reply if there is one.
    pub(super) fn update_member(
        &mut self,
        member_id: &str,
        protocols: Vec<JoinGroupRequestProtocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
        reply: Option<Reply<JoinGroupResponse>>,
    ) {
        // The client gave up on its last JoinGroup; nobody may be left without an answer all the same.
        self.complete_join_with_error(member_id, member_id, ErrorCode::RebalanceInProgress);
        let Some(member) = self.members.get_mut(member_id) else { return };
        let before = std::mem::replace(&mut member.protocols, protocols);
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        self.num_awaiting_join += usize::from(reply.is_some());
        member.awaiting_join = reply;
        let now = member.protocols.clone();
        self.count_protocols(&before, false);
        self.count_protocols(&now, true);
    }

    pub(super) fn complete_join(&mut self, member_id: &str, response: JoinGroupResponse) {
        if let Some(reply) = self.members.get_mut(member_id).and_then(|member| member.awaiting_join.take()) {
            self.num_awaiting_join -= 1;
            reply(response);
        }
    }

    pub(super) fn complete_join_with_error(&mut self, member_id: &str, named: &str, error: ErrorCode) {
        let named = named.to_owned();
        self.complete_join(member_id, join_error(named, error));
    }

    /// Answers everybody who waits, when the partition is given up or the group could not be stored.
    pub(crate) fn fail_all(&mut self, error: ErrorCode) {
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            self.complete_join_with_error(&member_id, &member_id, error);
            if let Some(reply) =
                self.members.get_mut(&member_id).and_then(|member| member.awaiting_sync.take())
            {
                reply(SyncGroupResponse { error_code: error.code(), ..Default::default() });
            }
        }
    }

    /// Whether a member with these protocols could be in the group.
    pub(super) fn supports_protocols(
        &self,
        protocol_type: &str,
        protocols: &[JoinGroupRequestProtocol],
    ) -> bool {
        if self.state == ClassicGroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| {
                self.supported_protocols.get(&protocol.name).copied().unwrap_or(0) == self.members.len()
            })
    }

    /// The protocol most members vote for, among those that all support.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let candidates: HashSet<&str> = self
            .supported_protocols
            .iter()
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| name.as_str())
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            *votes.entry(member.vote(&candidates)?).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    /// Whether the offsets of this topic are in use.
    pub fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Reads the members' subscriptions, where they are consumers and can be understood.
    pub(super) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol_name = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            match read_subscription(member.metadata(protocol_name).unwrap_or_default()) {
                Ok(subscription) => topics.extend(subscription.topics),
                Err(error) => {
                    tracing::warn!(
                        "the subscription of member {} of group {} cannot be read, so its topics are not known: {error}",
                        member.member_id,
                        self.group_id
                    );
                    return None;
                }
            }
        }
        Some(topics)
    }

    /// From when the retention of its offsets counts; none while they must stay.
    pub fn expiry_base(&self) -> Option<ExpiryBase> {
        if self.protocol_type.is_none() {
            // It only commits.
            return Some(ExpiryBase::Commit);
        }
        match self.state {
            ClassicGroupState::Empty => {
                Some(self.current_state_timestamp.map_or(ExpiryBase::Commit, ExpiryBase::StateChange))
            }
            ClassicGroupState::Stable
                if self.uses_consumer_protocol() && self.subscribed_topics.is_some() =>
            {
                Some(ExpiryBase::Commit)
            }
            _ => None,
        }
    }

    /// The members as the leader is told of them.
    pub(super) fn members_for_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinGroupResponseMember {
                member_id: member.member_id.to_string(),
                group_instance_id: member.group_instance_id.clone(),
                metadata: member.metadata(protocol_name).unwrap_or_default().to_vec(),
            })
            .collect()
    }

    /// The answer to a member of the current generation.
    pub(super) fn join_response(
        &self,
        member_id: &str,
        members: Vec<JoinGroupResponseMember>,
    ) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader_id.as_deref().unwrap_or_default().to_owned(),
            member_id: member_id.to_owned(),
            members,
            ..Default::default()
        }
    }

    pub(crate) fn as_listed(&self) -> list_groups_response::ListedGroup {
        list_groups_response::ListedGroup {
            group_id: self.group_id.to_string(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            group_state: self.state.name().to_owned(),
            group_type: GroupType::Classic.name().to_owned(),
        }
    }
}

/// A JoinGroup that did not go well.
pub(super) fn join_error(member_id: String, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { member_id, error_code: error.code(), ..Default::default() }
}

/// Reads the front of a subscription, which is the same in all versions of it.
fn read_subscription(metadata: &[u8]) -> Result<ConsumerProtocolSubscription, protocol::DecodeError> {
    let mut reader = Reader::new(metadata);
    reader.i16()?;
    ConsumerProtocolSubscription::read(&mut reader, 0)
}
