//! What the tests of this crate share.

use common::Uuid;
use metadata::{LeaderRecoveryState, PartitionRegistration};
use protocol::compression::Compression;
use protocol::records::{RecordBatchBuilder, TimestampType};

pub(crate) fn registration(replicas: &[i32], isr: &[i32], leader: i32) -> PartitionRegistration {
    PartitionRegistration {
        replicas: replicas.to_vec(),
        directories: vec![Uuid::ZERO; replicas.len()],
        isr: isr.to_vec(),
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        leader,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch: 0,
        partition_epoch: 0,
    }
}

/// A batch of one record.
pub(crate) fn batch(value: &str) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
    builder.append(1, None, Some(value.as_bytes()), &[]).unwrap();
    builder.build()
}
