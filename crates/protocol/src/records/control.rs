//! Control records: transaction markers (KIP-98) and the records that KRaft keeps among the metadata records
//! (KIP-595, KIP-630, KIP-853).
//!
//! The key is version and type, both 16 bits. The values are messages of their own
//! (`protocol::messages::{EndTxnMarker, LeaderChangeMessage, SnapshotHeaderRecord, ...}`) and pass through here
//! as bytes, but for the transaction marker's, whose two fields every broker needs.

use super::NO_SEQUENCE;
use super::builder::RecordBatchBuilder;
use super::error::RecordError;
use super::header::TimestampType;
use super::record::Record;
use crate::compression::Compression;

/// The version of a control record's key that is written.
pub const CURRENT_CONTROL_RECORD_KEY_VERSION: i16 = 0;
/// The version of a transaction marker's value that is written.
pub const CURRENT_END_TXN_MARKER_VERSION: i16 = 0;

/// What a control record says (`org.apache.kafka.common.record.ControlRecordType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecordType {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// A new leader of the metadata quorum.
    LeaderChange,
    /// The first record of a snapshot.
    SnapshotHeader,
    /// The last record of a snapshot.
    SnapshotFooter,
    /// The `kraft.version`.
    KRaftVersion,
    /// The voters of the metadata quorum.
    KRaftVoters,
    /// A type of some later Kafka.
    Unknown(i16),
}

impl ControlRecordType {
    /// The type with that number.
    pub fn from_id(id: i16) -> ControlRecordType {
        match id {
            0 => ControlRecordType::Abort,
            1 => ControlRecordType::Commit,
            2 => ControlRecordType::LeaderChange,
            3 => ControlRecordType::SnapshotHeader,
            4 => ControlRecordType::SnapshotFooter,
            5 => ControlRecordType::KRaftVersion,
            6 => ControlRecordType::KRaftVoters,
            id => ControlRecordType::Unknown(id),
        }
    }

    /// Its number.
    pub fn id(self) -> i16 {
        match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::LeaderChange => 2,
            ControlRecordType::SnapshotHeader => 3,
            ControlRecordType::SnapshotFooter => 4,
            ControlRecordType::KRaftVersion => 5,
            ControlRecordType::KRaftVoters => 6,
            ControlRecordType::Unknown(id) => id,
        }
    }

    /// The key of such a record.
    pub fn key(self) -> [u8; 4] {
        let [v0, v1] = CURRENT_CONTROL_RECORD_KEY_VERSION.to_be_bytes();
        let [t0, t1] = self.id().to_be_bytes();
        [v0, v1, t0, t1]
    }

    /// Reads a control record's key. Bytes behind the type, of a later version, are left alone.
    ///
    /// # Errors
    /// [`RecordError::InvalidControlKey`] if the key is missing or short, or its version negative.
    pub fn parse(key: Option<&[u8]>) -> Result<ControlRecordType, RecordError> {
        let Some(&[v0, v1, t0, t1]) = key.and_then(|key| key.first_chunk::<4>()) else {
            return Err(RecordError::InvalidControlKey("it has fewer than 4 bytes"));
        };
        if i16::from_be_bytes([v0, v1]) < 0 {
            return Err(RecordError::InvalidControlKey("its version is negative"));
        }
        Ok(ControlRecordType::from_id(i16::from_be_bytes([t0, t1])))
    }
}

/// The end of a transaction in one partition (`org.apache.kafka.common.record.EndTransactionMarker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Committed, or aborted?
    pub committed: bool,
    /// Epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The control record's type.
    pub fn control_type(&self) -> ControlRecordType {
        if self.committed { ControlRecordType::Commit } else { ControlRecordType::Abort }
    }

    /// The control record's value.
    pub fn value(&self) -> [u8; 6] {
        let mut value = [0; 6];
        value[..2].copy_from_slice(&CURRENT_END_TXN_MARKER_VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }

    /// Reads the marker from a control record; `Ok(None)` if the record is of another type.
    ///
    /// # Errors
    /// [`RecordError::InvalidControlKey`] or [`RecordError::InvalidControlValue`].
    pub fn parse(record: &Record<'_>) -> Result<Option<EndTxnMarker>, RecordError> {
        let committed = match ControlRecordType::parse(record.key)? {
            ControlRecordType::Commit => true,
            ControlRecordType::Abort => false,
            _ => return Ok(None),
        };
        let Some(&[v0, v1, e0, e1, e2, e3]) = record.value.and_then(|value| value.first_chunk::<6>()) else {
            return Err(RecordError::InvalidControlValue("it has fewer than 6 bytes"));
        };
        if i16::from_be_bytes([v0, v1]) < CURRENT_END_TXN_MARKER_VERSION {
            return Err(RecordError::InvalidControlValue("its version is negative"));
        }
        Ok(Some(EndTxnMarker { committed, coordinator_epoch: i32::from_be_bytes([e0, e1, e2, e3]) }))
    }

    /// The batch with this marker alone, as a leader appends it on `WriteTxnMarkers`
    /// (`MemoryRecords.withEndTransactionMarker`). Times in ms.
    ///
    /// # Errors
    /// [`RecordError::CannotAppend`] for a negative timestamp.
    pub fn batch(
        &self,
        base_offset: i64,
        timestamp: i64,
        partition_leader_epoch: i32,
        producer_id: i64,
        producer_epoch: i16,
    ) -> Result<Vec<u8>, RecordError> {
        let mut builder = RecordBatchBuilder::new(base_offset, Compression::None, TimestampType::CreateTime)
            .with_partition_leader_epoch(partition_leader_epoch)
            .with_producer(producer_id, producer_epoch, NO_SEQUENCE)
            .with_transactional(true)
            .with_control(true);
        builder.append(timestamp, Some(&self.control_type().key()), Some(&self.value()), &[])?;
        Ok(builder.build())
    }
}

/// A batch of KRaft's control records, each value being the bytes of its message. Kafka writes version 0 of all of
/// them (`ControlRecordUtils`), of `LeaderChangeMessage` too. Time in ms.
///
/// # Errors
/// [`RecordError::CannotAppend`] for a negative timestamp.
pub fn control_batch(
    base_offset: i64,
    timestamp: i64,
    partition_leader_epoch: i32,
    records: &[(ControlRecordType, &[u8])],
) -> Result<Vec<u8>, RecordError> {
    let mut builder = RecordBatchBuilder::new(base_offset, Compression::None, TimestampType::CreateTime)
        .with_partition_leader_epoch(partition_leader_epoch)
        .with_control(true);
    for (control_type, value) in records {
        builder.append(timestamp, Some(&control_type.key()), Some(value), &[])?;
    }
    Ok(builder.build())
}
