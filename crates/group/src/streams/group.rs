//! The state of a streams group (Kafka's `StreamsGroup`): what its records make it, and what is only kept in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use protocol::messages::StreamsGroupMetadataValue;

use super::record::{GroupFacts, Records, StreamsGroupRecord, target_of};
use super::tasks::{TasksTuple, TasksTupleWithEpochs, each};
use super::topics::ConfiguredTopology;
use super::topology::{AssignmentConfigs, StreamsTopology};
use super::{StreamsGroupMember, Tasks};
use crate::GroupRecord;
use crate::consumer::LEAVE_GROUP_MEMBER_EPOCH;
use crate::members::Members;
use crate::topics::Topics;

/// No description of the topology is stored, or was refused for good.
const NO_DESCRIPTION: i32 = -1;

/// Where a streams group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamsGroupState {
    /// It has no members.
    Empty,
    /// Topics that it needs are missing, or have the wrong number of partitions.
    NotReady,
    /// Its target assignment is of an older epoch.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// Everybody has what they should have.
    Stable,
}

impl StreamsGroupState {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            StreamsGroupState::Empty => "Empty",
            StreamsGroupState::NotReady => "NotReady",
            StreamsGroupState::Assigning => "Assigning",
            StreamsGroupState::Reconciling => "Reconciling",
            StreamsGroupState::Stable => "Stable",
        }
    }
}

/// How far a member's copies of state are, as it says: the sums of its changelogs' offsets by task.
pub(crate) type TaskOffsets = BTreeMap<(String, i32), i64>;

/// What a member has told of its tasks' offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MemberTaskOffsets {
    pub(crate) offsets: TaskOffsets,
    pub(crate) end_offsets: TaskOffsets,
}

/// What is not in the log: a coordinator that takes over finds it out anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) configured: Option<Arc<ConfiguredTopology>>,
    pub(crate) task_offsets: BTreeMap<Arc<str>, Arc<MemberTaskOffsets>>,
    /// Who has asked for the end of the whole application.
    pub(crate) shutdown_requested_by: Option<Arc<str>>,
    /// How often it has changed who answers queries for which partitions.
    pub(crate) endpoint_information_epoch: i32,
    /// For which group epoch the hash of the topics is known to be right, if for any.
    hash_is_right_for: Option<i32>,
}

/// A streams group.
///
/// **Invariant:** everything but `memory` is what the group's records say: the indexes follow from the members.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) group_epoch: i32,
    pub(crate) metadata_hash: i64,
    /// The epoch of the topology whose topics are all there; -1 if they are not.
    pub(crate) validated_topology_epoch: i32,
    /// Only kept: descriptions of topologies are a plug-in's, of which there is none here.
    pub(crate) stored_description_topology_epoch: i32,
    pub(crate) failed_description_topology_epoch: i32,
    pub(crate) last_assignment_configs: AssignmentConfigs,
    pub(crate) assignment_epoch: i32,
    /// When the target was computed, in milliseconds; 0 if that is not known.
    pub(crate) assignment_timestamp_ms: i64,
    pub(crate) topology: Option<Arc<StreamsTopology>>,
    pub(crate) members: Members<StreamsGroupMember>,
    pub(crate) target: BTreeMap<Arc<str>, Arc<TasksTuple>>,
    /// The process that has the active task.
    active: HashMap<String, HashMap<i32, String>>,
    /// The processes that have a copy.
    standby: Replicas,
    warmup: Replicas,
    pub(crate) memory: Memory,
}

/// The processes that have a task, by subtopology and partition.
type Replicas = HashMap<String, HashMap<i32, BTreeSet<String>>>;

impl StreamsGroup {
    /// A group that nothing is known of.
    pub(crate) fn new(group_id: Arc<str>) -> StreamsGroup {
        StreamsGroup {
            group_id,
            group_epoch: 1,
            metadata_hash: 0,
            validated_topology_epoch: -1,
            stored_description_topology_epoch: NO_DESCRIPTION,
            failed_description_topology_epoch: NO_DESCRIPTION,
            last_assignment_configs: AssignmentConfigs::new(),
            assignment_epoch: 1,
            assignment_timestamp_ms: 0,
            topology: None,
            members: Members::default(),
            target: BTreeMap::new(),
            active: HashMap::new(),
            standby: HashMap::new(),
            warmup: HashMap::new(),
            memory: Memory::default(),
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
    pub fn members(&self) -> impl ExactSizeIterator<Item = &StreamsGroupMember> {
        self.members.values()
    }

    /// The member with this id.
    pub fn member(&self, member_id: &str) -> Option<&StreamsGroupMember> {
        self.members.get(member_id)
    }

    /// Where it is.
    pub fn state(&self) -> StreamsGroupState {
        if self.members.is_empty() {
            StreamsGroupState::Empty
        } else if self
            .topology
            .as_ref()
            .is_none_or(|topology| topology.epoch != self.validated_topology_epoch)
        {
            StreamsGroupState::NotReady
        } else if self.group_epoch > self.assignment_epoch {
            StreamsGroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            StreamsGroupState::Stable
        } else {
            StreamsGroupState::Reconciling
        }
    }

    /// Whether its members read the topic.
    pub fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        !self.members.is_empty()
            && self.topology.as_ref().is_some_and(|topology| topology.reader_of(topic).is_some())
    }

    pub(crate) fn records(&self) -> Records<'_> {
        Records(&self.group_id)
    }

    /// The process that has the active task.
    pub(crate) fn active_process(&self, subtopology_id: &str, partition: i32) -> Option<&str> {
        Some(self.active.get(subtopology_id)?.get(&partition)?)
    }

    /// Whether the process has the task as a standby task.
    pub(crate) fn has_standby(&self, process_id: &str, subtopology_id: &str, partition: i32) -> bool {
        has(&self.standby, process_id, subtopology_id, partition)
    }

    /// Whether the process has the task as a warm-up task.
    pub(crate) fn has_warmup(&self, process_id: &str, subtopology_id: &str, partition: i32) -> bool {
        has(&self.warmup, process_id, subtopology_id, partition)
    }

    /// The hash of the topics that the topology needs, as far as they exist.
    pub(crate) fn compute_metadata_hash(topology: &StreamsTopology, topics: &Topics) -> i64 {
        crate::consumer::metadata_hash(topology.required_topics().into_iter(), topics)
    }

    pub(crate) fn metadata_has_expired(&self) -> bool {
        self.memory.hash_is_right_for.is_none_or(|group_epoch| self.group_epoch < group_epoch)
    }

    /// The hash of the topics is that of the group's record in this epoch, which may be on its way to the log.
    pub(crate) fn metadata_is_right_for(&mut self, group_epoch: i32) {
        self.memory.hash_is_right_for = Some(group_epoch);
    }

    /// Something about its topics has changed.
    pub(crate) fn request_metadata_refresh(&mut self) {
        self.memory.hash_is_right_for = None;
    }

    /// Whether one of these topics is one that the group needs.
    pub(crate) fn requires_any(&self, names: &[String]) -> bool {
        self.topology.as_ref().is_some_and(|topology| {
            let required = topology.required_topics();
            names.iter().any(|name| required.contains(name.as_str()))
        })
    }

    /// The group's record with everything as it is, in another epoch.
    pub(crate) fn record_in_epoch(&self, epoch: i32) -> GroupRecord {
        self.records().group(
            self,
            &GroupFacts {
                epoch,
                metadata_hash: self.metadata_hash,
                validated_topology_epoch: self.validated_topology_epoch,
                assignment_configs: &self.last_assignment_configs,
            },
        )
    }

    /// The ends of all its records.
    pub(crate) fn tombstones(&self, records: &mut Vec<GroupRecord>) {
        let make = self.records();
        records.extend(self.members.keys().map(|id| make.current_tombstone(id)));
        records.extend(self.members.keys().map(|id| make.target_tombstone(id)));
        records.push(make.target_metadata(None));
        records.extend(self.members.keys().map(|id| make.member_tombstone(id)));
        records.push(make.group_tombstone());
        records.push(make.topology(None));
    }

    /// Takes a record. Whether the group still is after it.
    pub(crate) fn replay(&mut self, record: StreamsGroupRecord) -> bool {
        match record {
            StreamsGroupRecord::Group { value: Some(value), .. } => self.replay_group(value),
            StreamsGroupRecord::Group { value: None, .. } => {
                if !self.members.is_empty() {
                    tracing::error!("group {} ends with {} members", self.group_id, self.members.len());
                }
                return false;
            }
            StreamsGroupRecord::Topology { value, .. } => {
                self.topology = value.map(|value| Arc::new(StreamsTopology::from_record(value)));
            }
            StreamsGroupRecord::Member { key, value: Some(value) } => {
                let mut member = self.member_or_new(key.member_id);
                member.update_with_metadata(value);
                self.update_member(member);
            }
            StreamsGroupRecord::Member { key, value: None } => self.remove_member(&key.member_id),
            StreamsGroupRecord::TargetMetadata { value, .. } => {
                let value = value.map(|value| (value.assignment_epoch, value.assignment_timestamp));
                (self.assignment_epoch, self.assignment_timestamp_ms) = value.unwrap_or((-1, 0));
            }
            StreamsGroupRecord::Target { key, value: Some(value) } => {
                self.target.insert(Arc::from(key.member_id), Arc::new(target_of(&value)));
            }
            StreamsGroupRecord::Target { key, value: None } => {
                self.target.remove(key.member_id.as_str());
            }
            StreamsGroupRecord::Current { key, value: Some(value) } => {
                let mut member = self.member_or_new(key.member_id);
                member.update_with_assignment(value);
                self.update_member(member);
            }
            StreamsGroupRecord::Current { key, value: None } => {
                if let Some(mut member) = self.members.get(key.member_id.as_str()).cloned() {
                    member.member_epoch = LEAVE_GROUP_MEMBER_EPOCH;
                    member.previous_member_epoch = LEAVE_GROUP_MEMBER_EPOCH;
                    member.assigned = Arc::default();
                    member.pending_revocation = Arc::default();
                    self.update_member(member);
                }
            }
        }
        true
    }

    fn replay_group(&mut self, value: StreamsGroupMetadataValue) {
        self.group_epoch = value.epoch;
        self.metadata_hash = value.metadata_hash;
        self.validated_topology_epoch = value.validated_topology_epoch;
        self.stored_description_topology_epoch = value.stored_description_topology_epoch;
        self.failed_description_topology_epoch = value.failed_description_topology_epoch;
        let configs = value.last_assignment_configs.unwrap_or_default();
        self.last_assignment_configs = configs.into_iter().map(|config| (config.key, config.value)).collect();
    }

    fn member_or_new(&self, member_id: String) -> StreamsGroupMember {
        let known = self.members.get(member_id.as_str()).cloned();
        known.unwrap_or_else(|| StreamsGroupMember::new(Arc::from(member_id)))
    }

    fn update_member(&mut self, member: StreamsGroupMember) {
        if let Some(before) = self.members.remove(&member.member_id) {
            self.forget(&before);
        }
        for tasks in [&member.assigned, &member.pending_revocation] {
            self.own(tasks, &member.process_id);
        }
        self.members.put(member);
    }

    fn remove_member(&mut self, member_id: &str) {
        if let Some(before) = self.members.remove(member_id) {
            self.forget(&before);
        }
        self.memory.task_offsets.remove(member_id);
        if self.members.is_empty() {
            self.memory.shutdown_requested_by = None;
        }
    }

    fn forget(&mut self, member: &StreamsGroupMember) {
        for tasks in [&member.assigned, &member.pending_revocation] {
            self.release(tasks, &member.process_id);
        }
    }

    fn own(&mut self, tasks: &TasksTupleWithEpochs, process_id: &str) {
        for (id, partitions) in &tasks.active {
            let active = self.active.entry(id.clone()).or_default();
            active.extend(partitions.keys().map(|partition| (*partition, process_id.to_owned())));
        }
        for (replicas, tasks) in [(&mut self.standby, &tasks.standby), (&mut self.warmup, &tasks.warmup)] {
            for (id, partition) in each(tasks) {
                let processes = replicas.entry(id.to_owned()).or_default().entry(partition).or_default();
                processes.insert(process_id.to_owned());
            }
        }
    }

    /// A compacted log may name a task's owner before it names the owner before: only its own go.
    fn release(&mut self, tasks: &TasksTupleWithEpochs, process_id: &str) {
        for (id, partitions) in &tasks.active {
            let Some(active) = self.active.get_mut(id) else { continue };
            for partition in partitions.keys() {
                if active.get(partition).is_some_and(|owner| owner == process_id) {
                    active.remove(partition);
                }
            }
            if active.is_empty() {
                self.active.remove(id);
            }
        }
        release_replicas(&mut self.standby, &tasks.standby, process_id);
        release_replicas(&mut self.warmup, &tasks.warmup, process_id);
    }
}

fn has(replicas: &Replicas, process_id: &str, subtopology_id: &str, partition: i32) -> bool {
    let processes = replicas.get(subtopology_id).and_then(|partitions| partitions.get(&partition));
    processes.is_some_and(|processes| processes.contains(process_id))
}

fn release_replicas(replicas: &mut Replicas, tasks: &Tasks, process_id: &str) {
    for (id, partitions) in tasks {
        let Some(known) = replicas.get_mut(id) else { continue };
        for partition in partitions {
            if let Some(processes) = known.get_mut(partition) {
                processes.remove(process_id);
                if processes.is_empty() {
                    known.remove(partition);
                }
            }
        }
        if known.is_empty() {
            replicas.remove(id);
        }
    }
}
