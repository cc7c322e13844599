//! All that the controller knows from the log.

use metadata::{MetadataRecord, ReplayError};

use crate::client_quota_control::ClientQuotaControlManager;
use crate::cluster_control::ClusterControlManager;
use crate::config::ControllerConfig;
use crate::configuration_control::ConfigurationControlManager;
use crate::feature_control::FeatureControlManager;
use crate::producer_id_control::ProducerIdControlManager;
use crate::replication_control::ReplicationControlManager;

/// All that the controller knows from the log, one manager for each kind of record. A clone of it is a point to go
/// back to.
#[derive(Clone, Debug)]
pub(crate) struct ControllerState {
    pub features: FeatureControlManager,
    pub cluster: ClusterControlManager,
    pub replication: ReplicationControlManager,
    pub configs: ConfigurationControlManager,
    pub quotas: ClientQuotaControlManager,
    pub producer_ids: ProducerIdControlManager,
}

impl ControllerState {
    pub fn new(config: &ControllerConfig) -> ControllerState {
        ControllerState {
            features: FeatureControlManager::default(),
            cluster: ClusterControlManager::default(),
            replication: ReplicationControlManager::default(),
            configs: ConfigurationControlManager::new(config.node_id, config.broker_config.clone()),
            quotas: ClientQuotaControlManager::default(),
            producer_ids: ProducerIdControlManager::default(),
        }
    }

    /// Replays a record of the log at an offset.
    pub fn replay(
        &mut self,
        record: &MetadataRecord,
        offset: i64,
        config: &ControllerConfig,
    ) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.cluster.replay_register_broker(record, offset)?,
            MetadataRecord::UnregisterBroker(record) => self.cluster.replay_unregister_broker(record)?,
            MetadataRecord::BrokerRegistrationChange(record) => drop(self.cluster.replay_change(record)?),
            MetadataRecord::FenceBroker(record) => {
                self.cluster.replay_fencing(record.id, record.epoch, true)?;
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.cluster.replay_fencing(record.id, record.epoch, false)?;
            }
            MetadataRecord::RegisterController(record) => self.cluster.replay_register_controller(record),
            MetadataRecord::UnregisterController(record) => {
                self.cluster.replay_unregister_controller(record)?
            }
            MetadataRecord::Topic(record) => self.replication.replay_topic(record)?,
            MetadataRecord::Partition(record) => self.replication.replay_partition(record)?,
            MetadataRecord::PartitionChange(record) => self.replication.replay_partition_change(record)?,
            MetadataRecord::RemoveTopic(record) => {
                let name = self.replication.replay_remove_topic(record)?;
                self.configs.delete_topic_configs(&name);
            }
            MetadataRecord::ClearElr(record) => self.replication.replay_clear_elr(record)?,
            MetadataRecord::Config(record) => self.configs.replay(record),
            MetadataRecord::FeatureLevel(record) => {
                self.features.replay(record, &config.supported_features)?;
            }
            MetadataRecord::ClientQuota(record) => self.quotas.replay(record),
            MetadataRecord::ProducerIds(record) => self.producer_ids.replay(record)?,
            // Nothing that the controller decides depends on these yet; the image keeps them.
            MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::RemoveDelegationToken(_)
            | MetadataRecord::NoOp(_)
            | MetadataRecord::ZkMigrationState(_) => {}
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {
                return Err(ReplayError::Transaction("a transaction is not part of what it changes"));
            }
        }
        Ok(())
    }
}
