//! A member of a consumer group (Kafka's `ConsumerGroupMember`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::Uuid;
use protocol::messages::consumer_group_current_member_assignment_value::{
    ConsumerGroupCurrentMemberAssignmentValue, TopicPartitions,
};
use protocol::messages::consumer_group_member_metadata_value::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue,
};

use crate::members::Member;

/// Partitions by topic id, each with the epoch in which the member was given it.
pub type OwnedPartitions = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has what it should have, as far as it was told.
    Stable,
    /// It has to give partitions up before it may go on.
    UnrevokedPartitions,
    /// It is in the target's epoch and waits for partitions that others still have.
    UnreleasedPartitions,
    /// Written by a later release: it has to begin anew.
    Unknown,
}

impl MemberState {
    pub(crate) fn code(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    pub(crate) fn from_code(code: i8) -> MemberState {
        match code {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// A member. Copies are cheap: what is large is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroupMember {
    pub(crate) member_id: Arc<str>,
    pub(crate) member_epoch: i32,
    pub(crate) previous_member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) subscribed_topic_names: Arc<BTreeSet<String>>,
    /// Empty, or none in records of others, where there is no expression.
    pub(crate) subscribed_topic_regex: Option<String>,
    pub(crate) server_assignor: Option<String>,
    pub(crate) state: MemberState,
    pub(crate) assigned: Arc<OwnedPartitions>,
    pub(crate) pending_revocation: Arc<OwnedPartitions>,
    /// What a member that speaks the classic protocol says of itself there.
    pub(crate) classic: Option<Arc<ClassicMemberMetadata>>,
}

impl Member for ConsumerGroupMember {
    fn id(&self) -> &Arc<str> {
        &self.member_id
    }

    fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    fn epoch(&self) -> i32 {
        self.member_epoch
    }

    fn revocation_timeout_ms(&self) -> Option<i32> {
        (self.state == MemberState::UnrevokedPartitions).then_some(self.rebalance_timeout_ms)
    }
}

impl ConsumerGroupMember {
    /// A member that nothing is known of.
    pub(crate) fn new(member_id: Arc<str>) -> ConsumerGroupMember {
        ConsumerGroupMember {
            member_id,
            member_epoch: 0,
            previous_member_epoch: -1,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            subscribed_topic_names: Arc::default(),
            subscribed_topic_regex: Some(String::new()),
            server_assignor: None,
            state: MemberState::Stable,
            assigned: Arc::default(),
            pending_revocation: Arc::default(),
            classic: None,
        }
    }

    /// Its id.
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The epoch it is in.
    pub fn member_epoch(&self) -> i32 {
        self.member_epoch
    }

    /// How far it is.
    pub fn state(&self) -> MemberState {
        self.state
    }

    /// What it may read.
    pub fn assigned(&self) -> &OwnedPartitions {
        &self.assigned
    }

    /// What it has to give up.
    pub fn pending_revocation(&self) -> &OwnedPartitions {
        &self.pending_revocation
    }

    /// Whether it speaks the classic protocol.
    pub fn uses_classic_protocol(&self) -> bool {
        self.classic.is_some()
    }

    pub(crate) fn classic_protocols(&self) -> &[ClassicProtocol] {
        self.classic.as_ref().map_or(&[], |classic| &classic.supported_protocols)
    }

    pub(crate) fn regex(&self) -> Option<&str> {
        self.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }

    pub(crate) fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == assignment_epoch
    }

    /// Goes on to an epoch; the one before is remembered, as the answer may be lost.
    pub(crate) fn update_epoch(&mut self, epoch: i32) {
        self.previous_member_epoch = self.member_epoch;
        self.member_epoch = epoch;
    }

    pub(crate) fn update_with_metadata(&mut self, value: ConsumerGroupMemberMetadataValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client_id = value.client_id;
        self.client_host = value.client_host;
        self.subscribed_topic_names = Arc::new(value.subscribed_topic_names.into_iter().collect());
        self.subscribed_topic_regex = value.subscribed_topic_regex;
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.server_assignor = value.server_assignor;
        self.classic = value.classic_member_metadata.map(Arc::new);
    }

    pub(crate) fn update_with_assignment(&mut self, value: ConsumerGroupCurrentMemberAssignmentValue) {
        self.member_epoch = value.member_epoch;
        self.previous_member_epoch = value.previous_member_epoch;
        self.state = MemberState::from_code(value.state);
        self.assigned = Arc::new(owned(value.assigned_partitions, value.member_epoch));
        self.pending_revocation = Arc::new(owned(value.partitions_pending_revocation, value.member_epoch));
    }

    pub(crate) fn to_metadata(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.subscribed_topic_names.iter().cloned().collect(),
            subscribed_topic_regex: self.subscribed_topic_regex.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.server_assignor.clone(),
            classic_member_metadata: self.classic.as_deref().cloned(),
        }
    }

    pub(crate) fn to_assignment(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.member_epoch,
            previous_member_epoch: self.previous_member_epoch,
            state: self.state.code(),
            assigned_partitions: topic_partitions(&self.assigned),
            partitions_pending_revocation: topic_partitions(&self.pending_revocation),
        }
    }
}

/// Records of releases before assignment epochs have none: the member's stands for them.
fn owned(topics: Vec<TopicPartitions>, member_epoch: i32) -> OwnedPartitions {
    let default_epoch = member_epoch.max(0);
    topics
        .into_iter()
        .map(|topic| {
            let epochs = topic.assignment_epochs.filter(|epochs| epochs.len() == topic.partitions.len());
            let epochs = epochs.unwrap_or_else(|| vec![default_epoch; topic.partitions.len()]);
            (topic.topic_id, topic.partitions.into_iter().zip(epochs).collect())
        })
        .collect()
}

fn topic_partitions(owned: &OwnedPartitions) -> Vec<TopicPartitions> {
    owned
        .iter()
        .map(|(&topic_id, partitions)| TopicPartitions {
            topic_id,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        })
        .collect()
}
