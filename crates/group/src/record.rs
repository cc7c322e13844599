//! The records of `__consumer_offsets` (Kafka's `GroupCoordinatorRecordSerde`): on disk the kind (i16) and the key, the
//! value's version (i16) and the value.

use common::Uuid;
use coordinator::{EncodedRecord, RecordDecodeError};
use protocol::messages::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, LegacyOffsetCommitValue, OffsetCommitKey,
    OffsetCommitValue,
};
use protocol::{Message, Reader, Writer};

use crate::consumer::ConsumerGroupRecord;
use crate::modern::{ModernKind, ModernRecord};
use crate::streams::StreamsGroupRecord;

const LEGACY_OFFSET_COMMIT: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

/// The version Kafka writes. Version 4 would be the first that older releases cannot read.
const GROUP_METADATA_VALUE_VERSION: i16 = 3;
const OFFSET_COMMIT_VALUE_VERSION: i16 = 4;
/// Only this version has a time of expiry of its own, as old clients ask for.
const OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY: i16 = 1;

/// A record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    /// A committed offset, or its end.
    OffsetCommit {
        /// Group, topic and partition.
        key: OffsetCommitKey,
        /// None for a tombstone.
        value: Option<OffsetCommitValue>,
    },
    /// A classic group, or its end.
    GroupMetadata {
        /// The group.
        key: GroupMetadataKey,
        /// None for a tombstone.
        value: Option<GroupMetadataValue>,
    },
    /// A record of a consumer group.
    Consumer(ConsumerGroupRecord),
    /// A record of a streams group.
    Streams(StreamsGroupRecord),
    /// A record of a share group.
    Modern(ModernRecord),
}

impl GroupRecord {
    /// The end of a committed offset.
    pub fn offset_tombstone(group_id: &str, topic: &str, partition: i32) -> GroupRecord {
        GroupRecord::OffsetCommit {
            key: OffsetCommitKey { group: group_id.to_owned(), topic: topic.to_owned(), partition },
            value: None,
        }
    }

    /// The end of a classic group.
    pub fn group_tombstone(group_id: &str) -> GroupRecord {
        GroupRecord::GroupMetadata { key: GroupMetadataKey { group: group_id.to_owned() }, value: None }
    }

    pub(crate) fn encode(&self) -> Result<EncodedRecord, String> {
        match self {
            GroupRecord::OffsetCommit { key, value } => Ok(EncodedRecord {
                key: with_prefix(OFFSET_COMMIT, key, 0)?,
                value: value
                    .as_ref()
                    .map(|value| {
                        let version = match value.expire_timestamp {
                            -1 => OFFSET_COMMIT_VALUE_VERSION,
                            _ => OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY,
                        };
                        with_prefix(version, value, version)
                    })
                    .transpose()?,
            }),
            GroupRecord::GroupMetadata { key, value } => Ok(EncodedRecord {
                key: with_prefix(GROUP_METADATA, key, 0)?,
                value: value
                    .as_ref()
                    .map(|value| {
                        with_prefix(GROUP_METADATA_VALUE_VERSION, value, GROUP_METADATA_VALUE_VERSION)
                    })
                    .transpose()?,
            }),
            GroupRecord::Consumer(record) => record.encode(),
            GroupRecord::Streams(record) => record.encode(),
            GroupRecord::Modern(record) => {
                // Only tombstones are written: what such a record says is not read yet.
                assert!(!record.live, "a record of kind {:?} cannot be written", record.kind);
                Ok(EncodedRecord { key: record.key.clone(), value: None })
            }
        }
    }

    pub(crate) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, RecordDecodeError> {
        let mut reader = Reader::new(key);
        let kind = reader.i16().map_err(|_| RecordDecodeError::Corrupt("the key has no type".to_owned()))?;
        match kind {
            LEGACY_OFFSET_COMMIT => {
                let legacy: LegacyOffsetCommitKey = read(&mut reader, 0, "key")?;
                let value: Option<LegacyOffsetCommitValue> = read_value(value, kind)?;
                Ok(GroupRecord::OffsetCommit {
                    key: OffsetCommitKey {
                        group: legacy.group,
                        topic: legacy.topic,
                        partition: legacy.partition,
                    },
                    value: value.map(|value| OffsetCommitValue {
                        offset: value.offset,
                        leader_epoch: -1,
                        metadata: value.metadata,
                        commit_timestamp: value.commit_timestamp,
                        expire_timestamp: -1,
                        topic_id: Uuid::ZERO,
                    }),
                })
            }
            OFFSET_COMMIT => Ok(GroupRecord::OffsetCommit {
                key: read(&mut reader, 0, "key")?,
                value: read_value(value, kind)?,
            }),
            GROUP_METADATA => Ok(GroupRecord::GroupMetadata {
                key: read(&mut reader, 0, "key")?,
                value: read_value(value, kind)?,
            }),
            other => {
                if let Some(record) = ConsumerGroupRecord::decode(other, &mut reader, value) {
                    return record.map(GroupRecord::Consumer);
                }
                if let Some(record) = StreamsGroupRecord::decode(other, &mut reader, value) {
                    return record.map(GroupRecord::Streams);
                }
                let kind = ModernKind::from_id(other).ok_or(RecordDecodeError::UnknownType(other))?;
                ModernRecord::read(kind, key, &mut reader, value.is_some()).map(GroupRecord::Modern)
            }
        }
    }
}

/// What the records of one kind of group have in common: an enum of them, each with the number of its kind. All are written in version 0.
macro_rules! group_records {
    ($name:ident: $($variant:ident = $kind:literal),+ $(,)?) => {
        impl $name {
            /// The group it is about.
            pub fn group_id(&self) -> &str {
                match self {
                    $($name::$variant { key, .. } => &key.group_id,)+
                }
            }

            /// Whether it says something, and is no end.
            pub fn is_live(&self) -> bool {
                match self {
                    $($name::$variant { value, .. } => value.is_some(),)+
                }
            }

            pub(crate) fn encode(&self) -> Result<coordinator::EncodedRecord, String> {
                match self {
                    $($name::$variant { key, value } => crate::record::encode($kind, key, value.as_ref()),)+
                }
            }

            /// The record of this kind; none if it is none of such a group's.
            pub(crate) fn decode(
                kind: i16,
                reader: &mut protocol::Reader<'_>,
                value: Option<&[u8]>,
            ) -> Option<Result<$name, coordinator::RecordDecodeError>> {
                Some(match kind {
                    $($kind => crate::record::read(reader, 0, "key").and_then(|key| {
                        Ok($name::$variant { key, value: crate::record::read_value(value, kind)? })
                    }),)+
                    _ => return None,
                })
            }
        }
    };
}
pub(crate) use group_records;

/// Key and value in version 0.
pub(crate) fn encode<'a, K: Message<'a>, V: Message<'a>>(
    kind: i16,
    key: &K,
    value: Option<&V>,
) -> Result<EncodedRecord, String> {
    Ok(EncodedRecord {
        key: with_prefix(kind, key, 0)?,
        value: value.map(|value| with_prefix(0, value, 0)).transpose()?,
    })
}

pub(crate) fn with_prefix<'a, M: Message<'a>>(
    prefix: i16,
    message: &M,
    version: i16,
) -> Result<Vec<u8>, String> {
    let mut writer = Writer::new();
    writer.i16(prefix);
    message.write(&mut writer, version).map_err(|error| format!("{}: {error}", M::NAME))?;
    Ok(writer.into_bytes())
}

pub(crate) fn read<'a, M: Message<'a>>(
    reader: &mut Reader<'a>,
    version: i16,
    part: &str,
) -> Result<M, RecordDecodeError> {
    M::read(reader, version)
        .map_err(|error| RecordDecodeError::Corrupt(format!("its {part} is no {}: {error}", M::NAME)))
}

pub(crate) fn read_value<'a, M: Message<'a>>(
    value: Option<&'a [u8]>,
    record_type: i16,
) -> Result<Option<M>, RecordDecodeError> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader::new(value);
    let version =
        reader.i16().map_err(|_| RecordDecodeError::Corrupt("the value has no version".to_owned()))?;
    if !M::VERSIONS.contains(&version) {
        return Err(RecordDecodeError::UnknownVersion { record_type, version });
    }
    read(&mut reader, version, "value").map(Some)
}
