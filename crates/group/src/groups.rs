//! The groups of one partition of `__consumer_offsets`.

use std::collections::HashMap;
use std::sync::Arc;

use common::ErrorCode;
use foldhash::fast::FixedState;
use protocol::messages::{GroupMetadataValue, list_groups_response::ListedGroup};

use crate::GroupRecord;
use crate::classic::{CONSUMER_PROTOCOL_TYPE, ClassicGroup, ClassicGroupState, ExpiryBase};
use crate::consumer::{ConsumerGroup, ConsumerGroupRecord};
use crate::modern::{ModernGroup, ModernRecord};
use crate::streams::{StreamsGroup, StreamsGroupRecord};

/// The protocol a group uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupType {
    /// The members assign (JoinGroup, SyncGroup).
    Classic,
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071.
    Streams,
}

impl GroupType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
            GroupType::Share => "share",
            GroupType::Streams => "streams",
        }
    }
}

/// A group of any protocol.
pub enum Group {
    /// Served.
    Classic(Box<ClassicGroup>),
    /// Served.
    Consumer(Box<ConsumerGroup>),
    /// Served.
    Streams(Box<StreamsGroup>),
    /// Kept.
    Modern(ModernGroup),
}

impl Group {
    /// The protocol it uses.
    pub fn group_type(&self) -> GroupType {
        match self {
            Group::Classic(_) => GroupType::Classic,
            Group::Consumer(_) => GroupType::Consumer,
            Group::Streams(_) => GroupType::Streams,
            Group::Modern(group) => group.group_type(),
        }
    }

    /// The name of its state.
    pub fn state_name(&self) -> &'static str {
        match self {
            Group::Classic(group) => group.state().name(),
            Group::Consumer(group) => group.state().name(),
            Group::Streams(group) => group.state().name(),
            Group::Modern(group) => group.state_name(),
        }
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        match self {
            Group::Classic(group) => group.state() == ClassicGroupState::Empty,
            Group::Consumer(group) => group.members().len() == 0,
            Group::Streams(group) => group.members().len() == 0,
            Group::Modern(group) => group.is_empty(),
        }
    }

    /// The epoch of a member of a consumer or streams group.
    pub(crate) fn member_epoch(&self, member_id: &str) -> Option<i32> {
        match self {
            Group::Consumer(group) => group.members.get(member_id).map(|member| member.member_epoch),
            Group::Streams(group) => group.members.get(member_id).map(|member| member.member_epoch),
            Group::Classic(_) | Group::Modern(_) => None,
        }
    }

    /// Whether the group goes with its last offset. Share groups keep what they have elsewhere.
    pub(crate) fn may_expire(&self) -> bool {
        self.group_type() != GroupType::Share
    }

    pub(crate) fn expiry_base(&self) -> Option<ExpiryBase> {
        match self {
            Group::Classic(group) => group.expiry_base(),
            Group::Consumer(_) | Group::Streams(_) => Some(ExpiryBase::Commit),
            // What its members subscribe to is not known, so nothing of theirs goes.
            Group::Modern(group) => group.is_empty().then_some(ExpiryBase::Commit),
        }
    }

    pub(crate) fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed_to_topic(topic),
            Group::Consumer(group) => group.is_subscribed_to_topic(topic),
            Group::Streams(group) => group.is_subscribed_to_topic(topic),
            Group::Modern(group) => !group.is_empty(),
        }
    }

    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) if self.is_empty() || group.protocol_type() == Some("consumer") => Ok(()),
            Group::Classic(_) => Err(ErrorCode::NonEmptyGroup),
            Group::Consumer(_) | Group::Streams(_) | Group::Modern(_) => Ok(()),
        }
    }

    pub(crate) fn validate_delete(&self) -> Result<(), ErrorCode> {
        if !self.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        match self.group_type() {
            // Divergence: Kafka deletes the state of the share partitions first, which needs the share coordinator.
            GroupType::Share => Err(ErrorCode::GroupDeletionFailed),
            GroupType::Classic | GroupType::Consumer | GroupType::Streams => Ok(()),
        }
    }

    /// Ends the group.
    pub(crate) fn tombstones(&self, group_id: &str, records: &mut Vec<GroupRecord>) {
        match self {
            Group::Classic(_) => records.push(GroupRecord::group_tombstone(group_id)),
            Group::Consumer(group) => group.tombstones(records),
            Group::Streams(group) => group.tombstones(records),
            Group::Modern(group) => group.tombstones(records),
        }
    }

    pub(crate) fn as_listed(&self, group_id: &str) -> ListedGroup {
        match self {
            Group::Classic(group) => group.as_listed(),
            Group::Consumer(group) => ListedGroup {
                group_id: group_id.to_owned(),
                protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
                group_state: group.state().name().to_owned(),
                group_type: GroupType::Consumer.name().to_owned(),
            },
            Group::Streams(_) | Group::Modern(_) => ListedGroup {
                group_id: group_id.to_owned(),
                protocol_type: self.group_type().name().to_owned(),
                group_state: self.state_name().to_owned(),
                group_type: self.group_type().name().to_owned(),
            },
        }
    }
}

/// The groups by id (the part of Kafka's `GroupMetadataManager` that all protocols share).
#[derive(Default)]
pub struct GroupMetadataManager {
    groups: HashMap<Arc<str>, Group, FixedState>,
}

impl GroupMetadataManager {
    /// The group with this id.
    pub fn get(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    pub(crate) fn get_mut(&mut self, group_id: &str) -> Option<&mut Group> {
        self.groups.get_mut(group_id)
    }

    /// All groups, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Group)> {
        self.groups.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Group)> {
        self.groups.iter_mut()
    }

    /// The classic group with this id.
    pub fn classic(&self, group_id: &str) -> Option<&ClassicGroup> {
        match self.groups.get(group_id) {
            Some(Group::Classic(group)) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn classic_mut(&mut self, group_id: &str) -> Option<&mut ClassicGroup> {
        match self.groups.get_mut(group_id) {
            Some(Group::Classic(group)) => Some(group),
            _ => None,
        }
    }

    /// The consumer group with this id.
    pub fn consumer(&self, group_id: &str) -> Option<&ConsumerGroup> {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn consumer_mut(&mut self, group_id: &str) -> Option<&mut ConsumerGroup> {
        match self.groups.get_mut(group_id) {
            Some(Group::Consumer(group)) => Some(group),
            _ => None,
        }
    }

    /// The streams group with this id.
    pub fn streams(&self, group_id: &str) -> Option<&StreamsGroup> {
        match self.groups.get(group_id) {
            Some(Group::Streams(group)) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn streams_mut(&mut self, group_id: &str) -> Option<&mut StreamsGroup> {
        match self.groups.get_mut(group_id) {
            Some(Group::Streams(group)) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn insert(&mut self, group_id: Arc<str>, group: Group) -> Option<Group> {
        self.groups.insert(group_id, group)
    }

    pub(crate) fn remove(&mut self, group_id: &str) -> Option<Group> {
        self.groups.remove(group_id)
    }

    /// An offset was committed: if there is no such group, it is one that only commits.
    pub(crate) fn expect(&mut self, group_id: &str, now_ms: i64) {
        if !self.groups.contains_key(group_id) {
            let group_id: Arc<str> = Arc::from(group_id);
            let group = ClassicGroup::new(Arc::clone(&group_id), now_ms);
            self.groups.insert(group_id, Group::Classic(Box::new(group)));
        }
    }

    pub(crate) fn replay_classic(&mut self, group_id: &str, value: Option<GroupMetadataValue>) {
        match value {
            Some(value) => {
                let group_id: Arc<str> = Arc::from(group_id);
                let group = ClassicGroup::from_record(Arc::clone(&group_id), value);
                self.groups.insert(group_id, Group::Classic(Box::new(group)));
            }
            // The group may have changed its protocol before this end of its old self.
            None => {
                if matches!(self.groups.get(group_id), Some(Group::Classic(_))) {
                    self.groups.remove(group_id);
                }
            }
        }
    }

    pub(crate) fn replay_consumer(&mut self, record: ConsumerGroupRecord) {
        let is_live = record.is_live();
        match self.groups.get_mut(record.group_id()) {
            Some(Group::Consumer(group)) => {
                let group_id = Arc::clone(&group.group_id);
                if !group.replay(record) {
                    self.groups.remove(&group_id);
                }
            }
            // Also in place of a group of another protocol, which has become one of these: the later record says what is.
            _ if is_live => {
                let group_id: Arc<str> = Arc::from(record.group_id());
                let mut group = ConsumerGroup::new(Arc::clone(&group_id));
                group.replay(record);
                self.groups.insert(group_id, Group::Consumer(Box::new(group)));
            }
            _ => {}
        }
    }

    pub(crate) fn replay_streams(&mut self, record: StreamsGroupRecord) {
        let is_live = record.is_live();
        match self.groups.get_mut(record.group_id()) {
            Some(Group::Streams(group)) => {
                let group_id = Arc::clone(&group.group_id);
                if !group.replay(record) {
                    self.groups.remove(&group_id);
                }
            }
            // Also in place of a group of another protocol, as above.
            _ if is_live => {
                let group_id: Arc<str> = Arc::from(record.group_id());
                let mut group = StreamsGroup::new(Arc::clone(&group_id));
                group.replay(record);
                self.groups.insert(group_id, Group::Streams(Box::new(group)));
            }
            _ => {}
        }
    }

    pub(crate) fn replay_modern(&mut self, record: ModernRecord) {
        let group_id: Arc<str> = Arc::from(record.group_id.as_str());
        match self.groups.get_mut(&group_id) {
            Some(Group::Modern(group)) => {
                group.replay(record);
                if group.is_gone() {
                    self.groups.remove(&group_id);
                }
            }
            // Also in place of a classic group, which has become one of these: the later record says what is.
            _ if record.live => {
                let mut group = ModernGroup::new(Arc::clone(&group_id), record.kind);
                group.replay(record);
                self.groups.insert(group_id, Group::Modern(group));
            }
            _ => {}
        }
    }
}
