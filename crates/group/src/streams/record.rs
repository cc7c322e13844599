//! The records of streams groups in `__consumer_offsets`, in the versions that Kafka writes
//! (`StreamsCoordinatorRecordHelpers`).

use protocol::messages::streams_group_metadata_value::LastAssignmentConfig;
use protocol::messages::streams_group_target_assignment_member_value::TaskIds;
use protocol::messages::{
    StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue,
    StreamsGroupMemberMetadataKey, StreamsGroupMemberMetadataValue, StreamsGroupMetadataKey,
    StreamsGroupMetadataValue, StreamsGroupTargetAssignmentMemberKey,
    StreamsGroupTargetAssignmentMemberValue, StreamsGroupTargetAssignmentMetadataKey,
    StreamsGroupTargetAssignmentMetadataValue, StreamsGroupTopologyKey, StreamsGroupTopologyValue,
};

use super::tasks::{Tasks, TasksTuple, from_ids, to_ids};
use super::topology::AssignmentConfigs;
use super::{StreamsGroup, StreamsGroupMember};
use crate::GroupRecord;
use crate::record::group_records;

/// A record of a streams group. Without a value it is the end of what the key names.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamsGroupRecord {
    /// The group's epoch, the hash of its topics, and with what it was assigned last.
    Group {
        /// The group.
        key: StreamsGroupMetadataKey,
        /// None for a tombstone.
        value: Option<StreamsGroupMetadataValue>,
    },
    /// A member and what it says of itself.
    Member {
        /// Group and member.
        key: StreamsGroupMemberMetadataKey,
        /// None for a tombstone.
        value: Option<StreamsGroupMemberMetadataValue>,
    },
    /// The epoch of the target assignment.
    TargetMetadata {
        /// The group.
        key: StreamsGroupTargetAssignmentMetadataKey,
        /// None for a tombstone.
        value: Option<StreamsGroupTargetAssignmentMetadataValue>,
    },
    /// What a member should have.
    Target {
        /// Group and member.
        key: StreamsGroupTargetAssignmentMemberKey,
        /// None for a tombstone.
        value: Option<StreamsGroupTargetAssignmentMemberValue>,
    },
    /// What a member has.
    Current {
        /// Group and member.
        key: StreamsGroupCurrentMemberAssignmentKey,
        /// None for a tombstone.
        value: Option<StreamsGroupCurrentMemberAssignmentValue>,
    },
    /// The application's topology.
    Topology {
        /// The group.
        key: StreamsGroupTopologyKey,
        /// None for a tombstone.
        value: Option<StreamsGroupTopologyValue>,
    },
}

group_records! { StreamsGroupRecord:
    Group = 17,
    Member = 19,
    TargetMetadata = 20,
    Target = 21,
    Current = 22,
    Topology = 23,
}

/// What a group's own record says, besides what the group says of descriptions.
pub(crate) struct GroupFacts<'a> {
    pub(crate) epoch: i32,
    pub(crate) metadata_hash: i64,
    pub(crate) validated_topology_epoch: i32,
    pub(crate) assignment_configs: &'a AssignmentConfigs,
}

/// Makes the records of one group.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a>(pub(crate) &'a str);

impl Records<'_> {
    fn group_id(self) -> String {
        self.0.to_owned()
    }

    pub(crate) fn group(self, group: &StreamsGroup, facts: &GroupFacts<'_>) -> GroupRecord {
        let configs = facts.assignment_configs.iter();
        GroupRecord::Streams(StreamsGroupRecord::Group {
            key: StreamsGroupMetadataKey { group_id: self.group_id() },
            value: Some(StreamsGroupMetadataValue {
                epoch: facts.epoch,
                metadata_hash: facts.metadata_hash,
                validated_topology_epoch: facts.validated_topology_epoch,
                last_assignment_configs: Some(
                    configs
                        .map(|(key, value)| LastAssignmentConfig { key: key.clone(), value: value.clone() })
                        .collect(),
                ),
                stored_description_topology_epoch: group.stored_description_topology_epoch,
                failed_description_topology_epoch: group.failed_description_topology_epoch,
            }),
        })
    }

    pub(crate) fn group_tombstone(self) -> GroupRecord {
        GroupRecord::Streams(StreamsGroupRecord::Group {
            key: StreamsGroupMetadataKey { group_id: self.group_id() },
            value: None,
        })
    }

    pub(crate) fn topology(self, value: Option<StreamsGroupTopologyValue>) -> GroupRecord {
        GroupRecord::Streams(StreamsGroupRecord::Topology {
            key: StreamsGroupTopologyKey { group_id: self.group_id() },
            value,
        })
    }

    fn member_record(self, member_id: &str, value: Option<StreamsGroupMemberMetadataValue>) -> GroupRecord {
        GroupRecord::Streams(StreamsGroupRecord::Member {
            key: StreamsGroupMemberMetadataKey { group_id: self.group_id(), member_id: member_id.to_owned() },
            value,
        })
    }

    pub(crate) fn member(self, member: &StreamsGroupMember) -> GroupRecord {
        self.member_record(&member.member_id, Some(member.to_metadata()))
    }

    pub(crate) fn member_tombstone(self, member_id: &str) -> GroupRecord {
        self.member_record(member_id, None)
    }

    /// The target's epoch and time; none for its end.
    pub(crate) fn target_metadata(self, epoch_and_time: Option<(i32, i64)>) -> GroupRecord {
        GroupRecord::Streams(StreamsGroupRecord::TargetMetadata {
            key: StreamsGroupTargetAssignmentMetadataKey { group_id: self.group_id() },
            value: epoch_and_time.map(|(assignment_epoch, assignment_timestamp)| {
                StreamsGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp }
            }),
        })
    }

    fn target_record(
        self,
        member_id: &str,
        value: Option<StreamsGroupTargetAssignmentMemberValue>,
    ) -> GroupRecord {
        GroupRecord::Streams(StreamsGroupRecord::Target {
            key: StreamsGroupTargetAssignmentMemberKey {
                group_id: self.group_id(),
                member_id: member_id.to_owned(),
            },
            value,
        })
    }

    pub(crate) fn target(self, member_id: &str, target: &TasksTuple) -> GroupRecord {
        let ids = |tasks: &Tasks| {
            to_ids(tasks, |subtopology_id, partitions| TaskIds { subtopology_id, partitions })
        };
        self.target_record(
            member_id,
            Some(StreamsGroupTargetAssignmentMemberValue {
                active_tasks: ids(&target.active),
                standby_tasks: ids(&target.standby),
                warmup_tasks: ids(&target.warmup),
            }),
        )
    }

    pub(crate) fn target_tombstone(self, member_id: &str) -> GroupRecord {
        self.target_record(member_id, None)
    }

    fn current_record(
        self,
        member_id: &str,
        value: Option<StreamsGroupCurrentMemberAssignmentValue>,
    ) -> GroupRecord {
        GroupRecord::Streams(StreamsGroupRecord::Current {
            key: StreamsGroupCurrentMemberAssignmentKey {
                group_id: self.group_id(),
                member_id: member_id.to_owned(),
            },
            value,
        })
    }

    pub(crate) fn current(self, member: &StreamsGroupMember) -> GroupRecord {
        self.current_record(&member.member_id, Some(member.to_assignment()))
    }

    pub(crate) fn current_tombstone(self, member_id: &str) -> GroupRecord {
        self.current_record(member_id, None)
    }

    /// The end of a member. The order is that in which Kafka takes it apart.
    pub(crate) fn remove_member(self, member_id: &str, records: &mut Vec<GroupRecord>) {
        records.push(self.current_tombstone(member_id));
        records.push(self.target_tombstone(member_id));
        records.push(self.member_tombstone(member_id));
    }
}

/// The tasks of a target assignment's record.
pub(crate) fn target_of(value: &StreamsGroupTargetAssignmentMemberValue) -> TasksTuple {
    let tasks = |ids: &[TaskIds]| {
        from_ids(ids.iter().map(|ids| (ids.subtopology_id.as_str(), ids.partitions.as_slice())))
    };
    TasksTuple {
        active: tasks(&value.active_tasks),
        standby: tasks(&value.standby_tasks),
        warmup: tasks(&value.warmup_tasks),
    }
}
