//! The records with which a controller takes over (`org.apache.kafka.controller.ActivationRecordsGenerator`).

use metadata::{BootstrapMetadata, ConfigResource, Feature, VersionedRecord};
use protocol::messages::{AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord};

use crate::configuration_control::min_isr_record;
use crate::result::ControllerResult;

/// The first records of a log. With a transaction open, somebody began to write them and did not finish.
///
/// Divergence: Kafka takes a log for begun as soon as `metadata.version` was read in the open transaction, aborts it,
/// and is left without any. Here the state before the transaction counts.
pub(crate) fn records_for_empty_log(
    bootstrap: &BootstrapMetadata,
    in_transaction: bool,
    static_min_isr: i32,
) -> ControllerResult<()> {
    let with_transaction = bootstrap.metadata_version().is_metadata_transaction_supported();
    let mut records = Vec::new();
    if in_transaction {
        records.push(abort());
    }
    if with_transaction {
        let name = Some("Bootstrap records".to_owned());
        records.push((BeginTransactionRecord { name }.into(), 0));
    }
    records.extend_from_slice(bootstrap.records());
    if bootstrap.feature_level(Feature::EligibleLeaderReplicasVersion.name()) > 0 {
        // With ELR, min.insync.replicas is a matter of the whole cluster, and so stands in its log.
        records.push(min_isr_record(&ConfigResource::default_broker(), Some(static_min_isr)));
    }
    tracing::info!(
        records = records.len(),
        metadata_version = %bootstrap.metadata_version(),
        source = bootstrap.source(),
        "the metadata log is empty: writing the first records of the cluster"
    );
    if with_transaction {
        records.push((EndTransactionRecord::default().into(), 0));
        ControllerResult::of(records, ())
    } else {
        ControllerResult::atomic_of(records, ())
    }
}

/// What is to be cleaned up in a log that was begun.
pub(crate) fn records_for_non_empty_log(in_transaction: bool) -> ControllerResult<()> {
    let records = if in_transaction { vec![abort()] } else { Vec::new() };
    ControllerResult::atomic_of(records, ())
}

fn abort() -> VersionedRecord {
    (AbortTransactionRecord { reason: Some("Controller failover".to_owned()) }.into(), 0)
}
