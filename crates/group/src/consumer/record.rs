//! The records of consumer groups in `__consumer_offsets`, in the versions that Kafka writes.

use common::Uuid;
use protocol::messages::consumer_group_target_assignment_member_value::TopicPartition;
use protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
};

use super::{Assignment, ConsumerGroupMember};
use crate::GroupRecord;
use crate::record::group_records;

/// A record of a consumer group. Without a value it is the end of what the key names.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerGroupRecord {
    /// The group's epoch and the hash of its topics.
    Group {
        /// The group.
        key: ConsumerGroupMetadataKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupMetadataValue>,
    },
    /// What releases before 4.1 wrote in place of the hash.
    PartitionMetadata {
        /// The group.
        key: ConsumerGroupPartitionMetadataKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupPartitionMetadataValue>,
    },
    /// A member and what it subscribes to.
    Member {
        /// Group and member.
        key: ConsumerGroupMemberMetadataKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupMemberMetadataValue>,
    },
    /// The epoch of the target assignment.
    TargetMetadata {
        /// The group.
        key: ConsumerGroupTargetAssignmentMetadataKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupTargetAssignmentMetadataValue>,
    },
    /// What a member should have.
    Target {
        /// Group and member.
        key: ConsumerGroupTargetAssignmentMemberKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    },
    /// What a member has.
    Current {
        /// Group and member.
        key: ConsumerGroupCurrentMemberAssignmentKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    },
    /// The topics that a regular expression matched.
    RegularExpression {
        /// Group and expression.
        key: ConsumerGroupRegularExpressionKey,
        /// None for a tombstone.
        value: Option<ConsumerGroupRegularExpressionValue>,
    },
}

group_records! { ConsumerGroupRecord:
    Group = 3,
    PartitionMetadata = 4,
    Member = 5,
    TargetMetadata = 6,
    Target = 7,
    Current = 8,
    RegularExpression = 16,
}

/// Makes the records of one group.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a>(pub(crate) &'a str);

impl Records<'_> {
    fn group_id(self) -> String {
        self.0.to_owned()
    }

    pub(crate) fn group(self, epoch: i32, metadata_hash: i64) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Group {
            key: ConsumerGroupMetadataKey { group_id: self.group_id() },
            value: Some(ConsumerGroupMetadataValue { epoch, metadata_hash }),
        })
    }

    pub(crate) fn group_tombstone(self) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Group {
            key: ConsumerGroupMetadataKey { group_id: self.group_id() },
            value: None,
        })
    }

    pub(crate) fn partition_metadata_tombstone(self) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::PartitionMetadata {
            key: ConsumerGroupPartitionMetadataKey { group_id: self.group_id() },
            value: None,
        })
    }

    fn member_key(self, member_id: &str) -> ConsumerGroupMemberMetadataKey {
        ConsumerGroupMemberMetadataKey { group_id: self.group_id(), member_id: member_id.to_owned() }
    }

    pub(crate) fn member(self, member: &ConsumerGroupMember) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Member {
            key: self.member_key(&member.member_id),
            value: Some(member.to_metadata()),
        })
    }

    pub(crate) fn member_tombstone(self, member_id: &str) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Member { key: self.member_key(member_id), value: None })
    }

    fn target_metadata_key(self) -> ConsumerGroupTargetAssignmentMetadataKey {
        ConsumerGroupTargetAssignmentMetadataKey { group_id: self.group_id() }
    }

    pub(crate) fn target_metadata(self, assignment_epoch: i32, assignment_timestamp: i64) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::TargetMetadata {
            key: self.target_metadata_key(),
            value: Some(ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch,
                assignment_timestamp,
            }),
        })
    }

    pub(crate) fn target_metadata_tombstone(self) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::TargetMetadata {
            key: self.target_metadata_key(),
            value: None,
        })
    }

    fn target_key(self, member_id: &str) -> ConsumerGroupTargetAssignmentMemberKey {
        ConsumerGroupTargetAssignmentMemberKey { group_id: self.group_id(), member_id: member_id.to_owned() }
    }

    pub(crate) fn target(self, member_id: &str, target: &Assignment) -> GroupRecord {
        let topic_partitions = target
            .iter()
            .map(|(&topic_id, partitions)| TopicPartition {
                topic_id,
                partitions: partitions.iter().copied().collect(),
            })
            .collect();
        GroupRecord::Consumer(ConsumerGroupRecord::Target {
            key: self.target_key(member_id),
            value: Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions }),
        })
    }

    pub(crate) fn target_tombstone(self, member_id: &str) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Target { key: self.target_key(member_id), value: None })
    }

    fn current_key(self, member_id: &str) -> ConsumerGroupCurrentMemberAssignmentKey {
        ConsumerGroupCurrentMemberAssignmentKey { group_id: self.group_id(), member_id: member_id.to_owned() }
    }

    pub(crate) fn current(self, member: &ConsumerGroupMember) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Current {
            key: self.current_key(&member.member_id),
            value: Some(member.to_assignment()),
        })
    }

    pub(crate) fn current_tombstone(self, member_id: &str) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::Current { key: self.current_key(member_id), value: None })
    }

    fn regex_key(self, regex: &str) -> ConsumerGroupRegularExpressionKey {
        ConsumerGroupRegularExpressionKey { group_id: self.group_id(), regular_expression: regex.to_owned() }
    }

    pub(crate) fn regex(self, regex: &str, value: ConsumerGroupRegularExpressionValue) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::RegularExpression {
            key: self.regex_key(regex),
            value: Some(value),
        })
    }

    pub(crate) fn regex_tombstone(self, regex: &str) -> GroupRecord {
        GroupRecord::Consumer(ConsumerGroupRecord::RegularExpression {
            key: self.regex_key(regex),
            value: None,
        })
    }

    /// The end of a member. The order is that in which Kafka takes it apart.
    pub(crate) fn remove_member(self, member_id: &str, records: &mut Vec<GroupRecord>) {
        records.push(self.current_tombstone(member_id));
        records.push(self.target_tombstone(member_id));
        records.push(self.member_tombstone(member_id));
    }
}

/// The partitions of a target assignment's record.
pub(crate) fn target_of(value: ConsumerGroupTargetAssignmentMemberValue) -> Assignment {
    let topics = value.topic_partitions.into_iter();
    topics
        .map(|topic: TopicPartition| (topic.topic_id, topic.partitions.into_iter().collect()))
        .collect::<std::collections::BTreeMap<Uuid, _>>()
}
