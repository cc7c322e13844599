//! The records of consumer groups in `__consumer_offsets`, in the versions that Kafka writes.

use common::Uuid;
use coordinator::{EncodedRecord, RecordDecodeError};
use protocol::Reader;
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
use crate::record::{read, read_value, with_prefix};

/// All of these have one version.
const VALUE_VERSION: i16 = 0;

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

/// Does the same with the key's id, key and value of whichever record it is.
macro_rules! each {
    ($record:expr, |$id:ident, $key:ident, $value:ident| $body:expr) => {{
        let record = $record;
        match record {
            ConsumerGroupRecord::Group { key: $key, value: $value } => {
                let $id = 3i16;
                $body
            }
            ConsumerGroupRecord::PartitionMetadata { key: $key, value: $value } => {
                let $id = 4i16;
                $body
            }
            ConsumerGroupRecord::Member { key: $key, value: $value } => {
                let $id = 5i16;
                $body
            }
            ConsumerGroupRecord::TargetMetadata { key: $key, value: $value } => {
                let $id = 6i16;
                $body
            }
            ConsumerGroupRecord::Target { key: $key, value: $value } => {
                let $id = 7i16;
                $body
            }
            ConsumerGroupRecord::Current { key: $key, value: $value } => {
                let $id = 8i16;
                $body
            }
            ConsumerGroupRecord::RegularExpression { key: $key, value: $value } => {
                let $id = 16i16;
                $body
            }
        }
    }};
}

impl ConsumerGroupRecord {
    /// The group it is about.
    pub fn group_id(&self) -> &str {
        each!(self, |_id, key, _value| &key.group_id)
    }

    /// Whether it says something, and is no end.
    pub fn is_live(&self) -> bool {
        each!(self, |_id, _key, value| value.is_some())
    }

    pub(crate) fn encode(&self) -> Result<EncodedRecord, String> {
        each!(self, |id, key, value| Ok(EncodedRecord {
            key: with_prefix(id, key, 0)?,
            value: value
                .as_ref()
                .map(|value| with_prefix(VALUE_VERSION, value, VALUE_VERSION))
                .transpose()?,
        }))
    }

    /// The record of this kind; none if it is none of a consumer group's.
    pub(crate) fn decode(
        kind: i16,
        reader: &mut Reader<'_>,
        value: Option<&[u8]>,
    ) -> Option<Result<ConsumerGroupRecord, RecordDecodeError>> {
        macro_rules! record {
            ($variant:ident) => {
                read(reader, 0, "key").and_then(|key| {
                    Ok(ConsumerGroupRecord::$variant { key, value: read_value(value, kind)? })
                })
            };
        }
        Some(match kind {
            3 => record!(Group),
            4 => record!(PartitionMetadata),
            5 => record!(Member),
            6 => record!(TargetMetadata),
            7 => record!(Target),
            8 => record!(Current),
            16 => record!(RegularExpression),
            _ => return None,
        })
    }
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
