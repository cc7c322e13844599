//! The control records of KRaft as values: what stands in the log and in snapshots between the metadata records.

use protocol::messages::leader_change_message::Voter as LeaderChangeVoter;
use protocol::messages::voters_record::{
    Endpoint as RecordEndpoint, KRaftVersionFeature, Voter as RecordVoter,
};
use protocol::messages::{
    KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use protocol::records::control::control_batch;
use protocol::records::{ControlRecordType, Record, RecordError};
use protocol::{DecodeError, EncodeError, Message, Reader, Writer};

use crate::{Endpoint, ReplicaKey, SupportedVersionRange, VoterNode, VoterSet};

/// The version in which all of KRaft's control records are written (`ControlRecordUtils.*_CURRENT_VERSION`).
const CURRENT_VERSION: i16 = 0;

/// A control record of the metadata log or of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlRecord {
    /// A leader began its epoch.
    LeaderChange {
        /// The leader.
        leader_id: i32,
        /// The voters of the quorum.
        voters: Vec<i32>,
        /// Those who elected it.
        granting_voters: Vec<i32>,
    },
    /// A snapshot begins.
    SnapshotHeader {
        /// When the last batch that it covers was appended, in milliseconds.
        last_contained_log_timestamp_ms: i64,
    },
    /// A snapshot is whole.
    SnapshotFooter,
    /// The level of kraft.version from here on.
    KRaftVersion(i16),
    /// The voters from here on.
    Voters(VoterSet),
    /// A type that this version does not know, or that has no place in this log.
    Other(ControlRecordType),
}

/// Why a control record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlRecordError {
    /// Its key.
    #[error("{0}")]
    Key(#[from] RecordError),
    /// Its value.
    #[error("{0}")]
    Value(#[from] DecodeError),
    /// A field of it.
    #[error("{0}")]
    Field(&'static str),
}

impl ControlRecord {
    /// Reads a record of a control batch.
    pub fn parse(record: &Record<'_>) -> Result<ControlRecord, ControlRecordError> {
        let value = record.value.unwrap_or_default();
        Ok(match ControlRecordType::parse(record.key)? {
            ControlRecordType::LeaderChange => {
                let message: LeaderChangeMessage = read(value)?;
                let ids = |voters: &[LeaderChangeVoter]| voters.iter().map(|voter| voter.voter_id).collect();
                ControlRecord::LeaderChange {
                    leader_id: message.leader_id,
                    voters: ids(&message.voters),
                    granting_voters: ids(&message.granting_voters),
                }
            }
            ControlRecordType::SnapshotHeader => {
                let message: SnapshotHeaderRecord = read(value)?;
                let last_contained_log_timestamp_ms = message.last_contained_log_timestamp;
                ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms }
            }
            ControlRecordType::SnapshotFooter => {
                read::<SnapshotFooterRecord>(value)?;
                ControlRecord::SnapshotFooter
            }
            ControlRecordType::KRaftVersion => {
                let level = read::<KRaftVersionRecord>(value)?.kraft_version;
                if !(0..=SupportedVersionRange::KRAFT_VERSION.max).contains(&level) {
                    return Err(ControlRecordError::Field("Unknown KRaft feature level"));
                }
                ControlRecord::KRaftVersion(level)
            }
            ControlRecordType::KRaftVoters => ControlRecord::Voters(voters_from_record(&read(value)?)?),
            other => ControlRecord::Other(other),
        })
    }

    fn encode(&self) -> Result<(ControlRecordType, Vec<u8>), EncodeError> {
        let version = CURRENT_VERSION;
        match self {
            ControlRecord::LeaderChange { leader_id, voters, granting_voters } => {
                let list = |ids: &[i32]| {
                    ids.iter().map(|id| LeaderChangeVoter { voter_id: *id, ..Default::default() }).collect()
                };
                let (voters, granting_voters) = (list(voters), list(granting_voters));
                let message = LeaderChangeMessage { version, leader_id: *leader_id, voters, granting_voters };
                Ok((ControlRecordType::LeaderChange, write(&message)?))
            }
            ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms } => {
                let last_contained_log_timestamp = *last_contained_log_timestamp_ms;
                let message = SnapshotHeaderRecord { version, last_contained_log_timestamp };
                Ok((ControlRecordType::SnapshotHeader, write(&message)?))
            }
            ControlRecord::SnapshotFooter => {
                Ok((ControlRecordType::SnapshotFooter, write(&SnapshotFooterRecord { version })?))
            }
            ControlRecord::KRaftVersion(level) => {
                let message = KRaftVersionRecord { version, kraft_version: *level };
                Ok((ControlRecordType::KRaftVersion, write(&message)?))
            }
            ControlRecord::Voters(voters) => {
                Ok((ControlRecordType::KRaftVoters, write(&voters_to_record(voters))?))
            }
            ControlRecord::Other(kind) => Ok((*kind, Vec::new())),
        }
    }
}

/// The batch of these control records.
///
/// Errors: a value that the format cannot hold, such as a host name of more than 32,767 bytes.
pub fn build_control_batch(
    base_offset: i64,
    epoch: i32,
    timestamp_ms: i64,
    records: &[ControlRecord],
) -> Result<Vec<u8>, ControlBatchError> {
    let encoded = records.iter().map(ControlRecord::encode).collect::<Result<Vec<_>, _>>()?;
    let values: Vec<(ControlRecordType, &[u8])> =
        encoded.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
    Ok(control_batch(base_offset, timestamp_ms, epoch, &values)?)
}

/// Why a control batch cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ControlBatchError {
    /// A value.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// The batch.
    #[error("{0}")]
    Record(#[from] RecordError),
}

fn read<'a, M: Message<'a>>(value: &'a [u8]) -> Result<M, DecodeError> {
    // Each of these has one version so far; a later one only adds tagged fields, which this one skips.
    M::read(&mut Reader::new(value), CURRENT_VERSION)
}

fn write<'a, M: Message<'a>>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    message.write(&mut writer, CURRENT_VERSION)?;
    Ok(writer.into_bytes())
}

fn voters_from_record(record: &VotersRecord) -> Result<VoterSet, ControlRecordError> {
    let endpoint = |endpoint: &RecordEndpoint| Endpoint::new(&endpoint.name, &endpoint.host, endpoint.port);
    let voters = record.voters.iter().map(|voter| {
        if voter.voter_id < 0 {
            return Err(ControlRecordError::Field("a voter's id is negative"));
        }
        Ok(VoterNode {
            key: ReplicaKey::new(voter.voter_id, voter.voter_directory_id),
            endpoints: voter.endpoints.iter().map(endpoint).collect(),
            supported_kraft_version: SupportedVersionRange {
                min: voter.kraft_version_feature.min_supported_version,
                max: voter.kraft_version_feature.max_supported_version,
            },
        })
    });
    Ok(VoterSet::new(voters.collect::<Result<Vec<_>, _>>()?))
}

fn voters_to_record(voters: &VoterSet) -> VotersRecord {
    let endpoint = |endpoint: &Endpoint| RecordEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    let voter = |voter: &VoterNode| RecordVoter {
        voter_id: voter.key.id,
        voter_directory_id: voter.key.directory_id_or_zero(),
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        kraft_version_feature: KRaftVersionFeature {
            min_supported_version: voter.supported_kraft_version.min,
            max_supported_version: voter.supported_kraft_version.max,
        },
    };
    VotersRecord { version: CURRENT_VERSION, voters: voters.voters().map(voter).collect() }
}
