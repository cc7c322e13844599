//! The state of a consumer group, as its records make it (Kafka's `ConsumerGroup`, `ModernGroup`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use common::Uuid;
use foldhash::fast::FixedState;

use super::record::{ConsumerGroupRecord, Records, target_of};
use super::{Assignment, ConsumerGroupMember, LEAVE_GROUP_MEMBER_EPOCH, MemberState, OwnedPartitions};
use crate::GroupRecord;
use crate::members::Members;
use crate::topics::Topics;

/// Where a consumer group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerGroupState {
    /// It has no members.
    Empty,
    /// Its target assignment is of an older epoch.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// Everybody has what they should have.
    Stable,
}

impl ConsumerGroupState {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerGroupState::Empty => "Empty",
            ConsumerGroupState::Assigning => "Assigning",
            ConsumerGroupState::Reconciling => "Reconciling",
            ConsumerGroupState::Stable => "Stable",
        }
    }
}

/// How many members name a topic, and how many regular expressions have matched it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SubscriptionCount {
    pub(crate) by_name: usize,
    pub(crate) by_regex: usize,
}

/// Topics by name, with who wants them.
pub(crate) type SubscribedTopics = BTreeMap<String, SubscriptionCount>;

/// The topics that a regular expression matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedRegularExpression {
    pub(crate) topics: BTreeSet<String>,
    /// The version of the metadata it was matched with.
    pub(crate) version: i64,
    pub(crate) timestamp_ms: i64,
}

/// A consumer group.
///
/// **Invariant:** everything but `metadata_refresh` is what the group's records say: the counts and indexes follow from the
/// members.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) group_epoch: i32,
    pub(crate) metadata_hash: i64,
    pub(crate) assignment_epoch: i32,
    /// When the target was computed, in milliseconds; 0 if that is not known.
    pub(crate) assignment_timestamp_ms: i64,
    pub(crate) members: Members<ConsumerGroupMember>,
    pub(crate) target: BTreeMap<Arc<str>, Arc<Assignment>>,
    /// The epoch of the member that has the partition.
    partition_epochs: HashMap<(Uuid, i32), i32, FixedState>,
    pub(crate) subscribed_topics: SubscribedTopics,
    server_assignors: BTreeMap<String, usize>,
    pub(crate) subscribed_regexes: BTreeMap<String, usize>,
    pub(crate) resolved_regexes: BTreeMap<String, ResolvedRegularExpression>,
    pub(crate) has_partition_metadata_record: bool,
    pub(crate) num_classic_members: usize,
    pub(crate) classic_protocols: BTreeMap<String, usize>,
    /// When the hash of the topics is to be computed again, in milliseconds, and for which group epoch that was noted.
    metadata_refresh: (i64, i32),
}

impl ConsumerGroup {
    /// A group that nothing is known of.
    pub(crate) fn new(group_id: Arc<str>) -> ConsumerGroup {
        ConsumerGroup {
            group_id,
            group_epoch: 1,
            metadata_hash: 0,
            assignment_epoch: 1,
            assignment_timestamp_ms: 0,
            members: Members::default(),
            target: BTreeMap::new(),
            partition_epochs: HashMap::default(),
            subscribed_topics: BTreeMap::new(),
            server_assignors: BTreeMap::new(),
            subscribed_regexes: BTreeMap::new(),
            resolved_regexes: BTreeMap::new(),
            has_partition_metadata_record: false,
            num_classic_members: 0,
            classic_protocols: BTreeMap::new(),
            metadata_refresh: (i64::MIN, 0),
        }
    }

    /// Its epoch: how often what its assignment depends on has changed.
    pub fn group_epoch(&self) -> i32 {
        self.group_epoch
    }

    /// The epoch of its target assignment.
    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// Its members, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &ConsumerGroupMember> {
        self.members.values()
    }

    /// The member with this id.
    pub fn member(&self, member_id: &str) -> Option<&ConsumerGroupMember> {
        self.members.get(member_id)
    }

    /// Where it is.
    pub fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.group_epoch > self.assignment_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// Whether anybody in it wants the topic.
    pub fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        self.subscribed_topics.contains_key(topic)
    }

    pub(crate) fn records(&self) -> Records<'_> {
        Records(&self.group_id)
    }

    /// What the member, or the one whose place it takes, should have.
    pub(crate) fn target_of(&self, member_id: &str, instance_id: Option<&str>) -> Arc<Assignment> {
        let member_id = match instance_id {
            Some(instance_id) => self.members.id_of_instance(instance_id).map(|id| &**id),
            None => Some(member_id),
        };
        member_id.and_then(|id| self.target.get(id)).cloned().unwrap_or_default()
    }

    /// Whether somebody has the partition.
    pub(crate) fn is_owned(&self, topic_id: Uuid, partition: i32) -> bool {
        self.partition_epochs.contains_key(&(topic_id, partition))
    }

    /// Whether a partition of the member's target is with somebody else.
    pub(crate) fn waits_for_unreleased_partition(&self, member: &ConsumerGroupMember) -> bool {
        member.state == MemberState::UnreleasedPartitions
            && self.target.get(&member.member_id).is_some_and(|target| {
                target.iter().any(|(topic_id, partitions)| {
                    let assigned = member.assigned.get(topic_id);
                    partitions.iter().any(|partition| {
                        !assigned.is_some_and(|assigned| assigned.contains_key(partition))
                            && self.is_owned(*topic_id, *partition)
                    })
                })
            })
    }

    pub(crate) fn metadata_has_expired(&self, now_ms: i64) -> bool {
        now_ms >= self.metadata_refresh.0 || self.group_epoch < self.metadata_refresh.1
    }

    pub(crate) fn refresh_metadata_at(&mut self, deadline_ms: i64, group_epoch: i32) {
        self.metadata_refresh = (deadline_ms, group_epoch);
    }

    /// Something about its topics has changed.
    pub(crate) fn request_metadata_refresh(&mut self) {
        self.metadata_refresh = (i64::MIN, 0);
    }

    /// The assignor that most members prefer, if `updated` takes the place of `before`.
    pub(crate) fn preferred_assignor_with(
        &self,
        before: Option<&ConsumerGroupMember>,
        updated: Option<&ConsumerGroupMember>,
    ) -> Option<String> {
        let name = |member: Option<&ConsumerGroupMember>| member.and_then(|m| m.server_assignor.clone());
        let (before, updated) = (name(before), name(updated));
        let mut counts = self.server_assignors.clone();
        if before != updated {
            count(&mut counts, before.as_deref(), -1);
            count(&mut counts, updated.as_deref(), 1);
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
    }

    /// Who wants which topic when `updated` takes the place of `before`.
    pub(crate) fn subscribed_topics_with(
        &self,
        before: &ConsumerGroupMember,
        updated: &ConsumerGroupMember,
    ) -> SubscribedTopics {
        let mut topics = self.subscribed_topics.clone();
        count_names(&mut topics, before, -1);
        count_names(&mut topics, updated, 1);
        if let Some(regex) = before.regex()
            && updated.regex() != Some(regex)
            && self.subscribed_regexes.get(regex) == Some(&1)
        {
            self.uncount_regex(&mut topics, regex);
        }
        topics
    }

    fn uncount_regex(&self, topics: &mut SubscribedTopics, regex: &str) {
        for topic in self.resolved_regexes.get(regex).iter().flat_map(|resolved| &resolved.topics) {
            count_topic(topics, topic, 0, -1);
        }
    }

    /// Who wants which topic without these members, and the expressions that go with them.
    pub(crate) fn subscribed_topics_without(
        &self,
        removed: &[&ConsumerGroupMember],
    ) -> (SubscribedTopics, Vec<String>) {
        let mut topics = self.subscribed_topics.clone();
        let mut regexes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in removed {
            count_names(&mut topics, member, -1);
            if let Some(regex) = member.regex() {
                *regexes.entry(regex).or_default() += 1;
            }
        }
        regexes.retain(|regex, count| self.subscribed_regexes.get(*regex) == Some(count));
        for regex in regexes.keys() {
            self.uncount_regex(&mut topics, regex);
        }
        (topics, regexes.into_keys().map(str::to_owned).collect())
    }

    /// The expressions when `updated` takes the place of `before`.
    pub(crate) fn subscribed_regexes_with(
        &self,
        before: &ConsumerGroupMember,
        updated: &ConsumerGroupMember,
    ) -> BTreeMap<String, usize> {
        let mut regexes = self.subscribed_regexes.clone();
        if before.regex() != updated.regex() {
            count(&mut regexes, before.regex(), -1);
            count(&mut regexes, updated.regex(), 1);
        }
        regexes
    }

    /// The ends of all its records.
    pub(crate) fn tombstones(&self, records: &mut Vec<GroupRecord>) {
        self.tombstones_with_replaced(None, records);
    }

    /// The same, where records before have put a member in the place of another.
    pub(crate) fn tombstones_with_replaced(
        &self,
        replaced: Option<(&str, &str)>,
        records: &mut Vec<GroupRecord>,
    ) {
        let make = self.records();
        let ids: Vec<&str> = self
            .members
            .keys()
            .map(|id| match replaced {
                Some((before, now)) if &**id == before => now,
                _ => id,
            })
            .collect();
        records.extend(ids.iter().map(|id| make.current_tombstone(id)));
        records.extend(ids.iter().map(|id| make.target_tombstone(id)));
        records.push(make.target_metadata_tombstone());
        records.extend(ids.iter().map(|id| make.member_tombstone(id)));
        records.extend(self.resolved_regexes.keys().map(|regex| make.regex_tombstone(regex)));
        records.push(make.partition_metadata_tombstone());
        records.push(make.group_tombstone());
    }

    /// Takes a record. Whether the group still is after it.
    pub(crate) fn replay(&mut self, record: ConsumerGroupRecord) -> bool {
        match record {
            ConsumerGroupRecord::Group { value: Some(value), .. } => {
                self.group_epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            ConsumerGroupRecord::Group { value: None, .. } => {
                if !self.members.is_empty() {
                    tracing::error!("group {} ends with {} members", self.group_id, self.members.len());
                }
                return false;
            }
            ConsumerGroupRecord::PartitionMetadata { value, .. } => {
                self.has_partition_metadata_record = value.is_some();
            }
            ConsumerGroupRecord::Member { key, value: Some(value) } => {
                let mut member = self.member_or_new(key.member_id);
                member.update_with_metadata(value);
                self.update_member(member);
            }
            ConsumerGroupRecord::Member { key, value: None } => self.remove_member(&key.member_id),
            ConsumerGroupRecord::TargetMetadata { value, .. } => {
                let value = value.map(|value| (value.assignment_epoch, value.assignment_timestamp));
                (self.assignment_epoch, self.assignment_timestamp_ms) = value.unwrap_or((-1, 0));
            }
            ConsumerGroupRecord::Target { key, value: Some(value) } => {
                self.target.insert(Arc::from(key.member_id), Arc::new(target_of(value)));
            }
            ConsumerGroupRecord::Target { key, value: None } => {
                self.target.remove(key.member_id.as_str());
            }
            ConsumerGroupRecord::Current { key, value: Some(value) } => {
                let mut member = self.member_or_new(key.member_id);
                member.update_with_assignment(value);
                self.update_member(member);
            }
            ConsumerGroupRecord::Current { key, value: None } => {
                if let Some(mut member) = self.members.get(key.member_id.as_str()).cloned() {
                    member.member_epoch = LEAVE_GROUP_MEMBER_EPOCH;
                    member.previous_member_epoch = LEAVE_GROUP_MEMBER_EPOCH;
                    member.assigned = Arc::default();
                    member.pending_revocation = Arc::default();
                    self.update_member(member);
                }
            }
            ConsumerGroupRecord::RegularExpression { key, value } => {
                let before = self.resolved_regexes.remove(&key.regular_expression);
                for topic in before.iter().flat_map(|resolved| &resolved.topics) {
                    count_topic(&mut self.subscribed_topics, topic, 0, -1);
                }
                if let Some(value) = value {
                    let topics: BTreeSet<String> = value.topics.into_iter().collect();
                    for topic in &topics {
                        count_topic(&mut self.subscribed_topics, topic, 0, 1);
                    }
                    let resolved = ResolvedRegularExpression {
                        topics,
                        version: value.version,
                        timestamp_ms: value.timestamp,
                    };
                    self.resolved_regexes.insert(key.regular_expression, resolved);
                }
            }
        }
        true
    }

    fn member_or_new(&self, member_id: String) -> ConsumerGroupMember {
        let known = self.members.get(member_id.as_str()).cloned();
        known.unwrap_or_else(|| ConsumerGroupMember::new(Arc::from(member_id)))
    }

    fn update_member(&mut self, member: ConsumerGroupMember) {
        let before = self.members.remove(&member.member_id);
        self.change_member(before.as_ref(), Some(&member));
        self.members.put(member);
    }

    fn remove_member(&mut self, member_id: &str) {
        if let Some(before) = self.members.remove(member_id) {
            self.change_member(Some(&before), None);
        }
    }

    fn change_member(&mut self, before: Option<&ConsumerGroupMember>, now: Option<&ConsumerGroupMember>) {
        for (member, by) in [(before, -1), (now, 1)] {
            let Some(member) = member else { continue };
            count_names(&mut self.subscribed_topics, member, by);
            count(&mut self.server_assignors, member.server_assignor.as_deref(), by);
            count(&mut self.subscribed_regexes, member.regex(), by);
            if member.uses_classic_protocol() {
                self.num_classic_members = self.num_classic_members.saturating_add_signed(by);
            }
            for protocol in member.classic_protocols() {
                count(&mut self.classic_protocols, Some(&protocol.name), by);
            }
        }
        if let Some(before) = before {
            self.release(&before.assigned, before.member_epoch);
            self.release(&before.pending_revocation, before.member_epoch);
        }
        if let Some(now) = now {
            self.own(&now.assigned, now.member_epoch);
            self.own(&now.pending_revocation, now.member_epoch);
        }
    }

    /// A compacted log may name a partition's owner before it names the owner before: the later epoch is right.
    fn own(&mut self, partitions: &OwnedPartitions, epoch: i32) {
        for (&topic_id, partitions) in partitions {
            for &partition in partitions.keys() {
                let known = self.partition_epochs.entry((topic_id, partition)).or_insert(epoch);
                *known = epoch.max(*known);
            }
        }
    }

    fn release(&mut self, partitions: &OwnedPartitions, epoch: i32) {
        for (&topic_id, partitions) in partitions {
            for &partition in partitions.keys() {
                if self.partition_epochs.get(&(topic_id, partition)) == Some(&epoch) {
                    self.partition_epochs.remove(&(topic_id, partition));
                }
            }
        }
    }
}

/// The hash of the topics that exist among these.
pub(crate) fn metadata_hash(subscribed: &SubscribedTopics, topics: &Topics) -> i64 {
    super::metadata_hash(subscribed.keys().map(String::as_str), topics)
}

/// Whether all members want the same topics.
pub(crate) fn is_homogeneous(
    regexes: &BTreeMap<String, usize>,
    topics: &SubscribedTopics,
    num_members: usize,
) -> bool {
    match regexes.values().next() {
        None => topics.values().all(|count| count.by_name == num_members),
        Some(&count) => {
            count == num_members && topics.values().all(|count| count.by_regex == 1 && count.by_name == 0)
        }
    }
}

fn count(counts: &mut BTreeMap<String, usize>, name: Option<&str>, by: isize) {
    let Some(name) = name else { return };
    if by > 0 {
        *counts.entry(name.to_owned()).or_default() += 1;
    } else if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

fn count_names(topics: &mut SubscribedTopics, member: &ConsumerGroupMember, by: isize) {
    for topic in &*member.subscribed_topic_names {
        count_topic(topics, topic, by, 0);
    }
}

pub(crate) fn count_topic(topics: &mut SubscribedTopics, topic: &str, by_name: isize, by_regex: isize) {
    if !topics.contains_key(topic) {
        topics.insert(topic.to_owned(), SubscriptionCount::default());
    }
    if let Some(count) = topics.get_mut(topic) {
        count.by_name = count.by_name.saturating_add_signed(by_name);
        count.by_regex = count.by_regex.saturating_add_signed(by_regex);
        if *count == SubscriptionCount::default() {
            topics.remove(topic);
        }
    }
}
