//! What records change of an image (`org.apache.kafka.image.MetadataDelta`).

use std::sync::Arc;

use crate::MetadataRecord;
use crate::acls_image::AclsDelta;
use crate::client_quotas_image::ClientQuotasDelta;
use crate::cluster_image::ClusterDelta;
use crate::configurations_image::ConfigurationsDelta;
use crate::delegation_token_image::DelegationTokenDelta;
use crate::error::ReplayError;
use crate::features_image::FeaturesDelta;
use crate::image::{MetadataImage, MetadataProvenance};
use crate::metadata_version::MetadataVersion;
use crate::producer_ids_image::ProducerIdsDelta;
use crate::scram_image::ScramDelta;
use crate::topics_delta::TopicsDelta;

/// The changes since an image, one part for each part of the image; a part that no record touched is none.
///
/// Publishers read from it what they have to act on, and [`MetadataDelta::apply`] makes the next image of it.
#[derive(Clone, Debug)]
pub struct MetadataDelta {
    image: MetadataImage,
    features: Option<FeaturesDelta>,
    cluster: Option<ClusterDelta>,
    topics: Option<TopicsDelta>,
    configs: Option<ConfigurationsDelta>,
    client_quotas: Option<ClientQuotasDelta>,
    producer_ids: Option<ProducerIdsDelta>,
    acls: Option<AclsDelta>,
    scram: Option<ScramDelta>,
    delegation_tokens: Option<DelegationTokenDelta>,
}

impl MetadataDelta {
    /// No change yet of this image.
    pub fn new(image: &MetadataImage) -> MetadataDelta {
        MetadataDelta {
            image: image.clone(),
            features: None,
            cluster: None,
            topics: None,
            configs: None,
            client_quotas: None,
            producer_ids: None,
            acls: None,
            scram: None,
            delegation_tokens: None,
        }
    }

    /// The image before.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// What changed of the features.
    pub fn features_delta(&self) -> Option<&FeaturesDelta> {
        self.features.as_ref()
    }

    /// What changed of the brokers and controllers.
    pub fn cluster_delta(&self) -> Option<&ClusterDelta> {
        self.cluster.as_ref()
    }

    /// What changed of the topics.
    pub fn topics_delta(&self) -> Option<&TopicsDelta> {
        self.topics.as_ref()
    }

    /// What changed of the configs.
    pub fn configs_delta(&self) -> Option<&ConfigurationsDelta> {
        self.configs.as_ref()
    }

    /// What changed of the client quotas.
    pub fn client_quotas_delta(&self) -> Option<&ClientQuotasDelta> {
        self.client_quotas.as_ref()
    }

    /// What changed of the producer ids.
    pub fn producer_ids_delta(&self) -> Option<&ProducerIdsDelta> {
        self.producer_ids.as_ref()
    }

    /// What changed of the ACLs.
    pub fn acls_delta(&self) -> Option<&AclsDelta> {
        self.acls.as_ref()
    }

    /// What changed of the SCRAM credentials.
    pub fn scram_delta(&self) -> Option<&ScramDelta> {
        self.scram.as_ref()
    }

    /// What changed of the delegation tokens.
    pub fn delegation_token_delta(&self) -> Option<&DelegationTokenDelta> {
        self.delegation_tokens.as_ref()
    }

    /// The `metadata.version` that a record set, if one did.
    pub fn metadata_version_changed(&self) -> Option<MetadataVersion> {
        self.features.as_ref()?.metadata_version_change
    }

    fn features(&mut self) -> &mut FeaturesDelta {
        self.features.get_or_insert_with(|| FeaturesDelta::new(&self.image.features))
    }

    fn cluster(&mut self) -> &mut ClusterDelta {
        self.cluster.get_or_insert_with(|| ClusterDelta::new(&self.image.cluster))
    }

    fn topics(&mut self) -> &mut TopicsDelta {
        self.topics.get_or_insert_with(|| TopicsDelta::new(&self.image.topics))
    }

    fn configs(&mut self) -> &mut ConfigurationsDelta {
        self.configs.get_or_insert_with(|| ConfigurationsDelta::new(&self.image.configs))
    }

    fn client_quotas(&mut self) -> &mut ClientQuotasDelta {
        self.client_quotas.get_or_insert_with(|| ClientQuotasDelta::new(&self.image.client_quotas))
    }

    fn acls(&mut self) -> &mut AclsDelta {
        self.acls.get_or_insert_with(|| AclsDelta::new(&self.image.acls))
    }

    fn scram(&mut self) -> &mut ScramDelta {
        self.scram.get_or_insert_with(|| ScramDelta::new(&self.image.scram))
    }

    fn delegation_tokens(&mut self) -> &mut DelegationTokenDelta {
        self.delegation_tokens.get_or_insert_with(|| DelegationTokenDelta::new(&self.image.delegation_tokens))
    }

    /// Adds what a record changes.
    pub fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.cluster().register_broker(record),
            MetadataRecord::UnregisterBroker(record) => self.cluster().unregister_broker(record),
            MetadataRecord::FenceBroker(record) => self.cluster().fence_broker(record)?,
            MetadataRecord::UnfenceBroker(record) => self.cluster().unfence_broker(record)?,
            MetadataRecord::BrokerRegistrationChange(record) => self.cluster().change_registration(record)?,
            MetadataRecord::RegisterController(record) => self.cluster().register_controller(record),
            MetadataRecord::UnregisterController(record) => self.cluster().unregister_controller(record),
            MetadataRecord::Topic(record) => self.topics().create_topic(record)?,
            MetadataRecord::Partition(record) => self.topics().create_partition(record)?,
            MetadataRecord::PartitionChange(record) => self.topics().change_partition(record)?,
            MetadataRecord::ClearElr(record) => self.topics().clear_elr(record)?,
            MetadataRecord::RemoveTopic(record) => {
                let name = self.topics().remove_topic(record)?;
                self.configs().remove_topic(&name);
            }
            MetadataRecord::Config(record) => self.configs().replay(record),
            MetadataRecord::FeatureLevel(record) => self.features().replay(record)?,
            MetadataRecord::ClientQuota(record) => self.client_quotas().replay(record),
            MetadataRecord::ProducerIds(record) => {
                self.producer_ids = Some(ProducerIdsDelta { next_producer_id: record.next_producer_id });
            }
            MetadataRecord::AccessControlEntry(record) => self.acls().add(record),
            MetadataRecord::RemoveAccessControlEntry(record) => self.acls().remove(record)?,
            MetadataRecord::UserScramCredential(record) => self.scram().add(record),
            MetadataRecord::RemoveUserScramCredential(record) => self.scram().remove(record),
            MetadataRecord::DelegationToken(record) => self.delegation_tokens().add(record),
            MetadataRecord::RemoveDelegationToken(record) => self.delegation_tokens().remove(record),
            // The end of ZooKeeper left a mark in old logs that nobody reads any more; Kafka drops it likewise.
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {
                return Err(ReplayError::Transaction(
                    "the records of metadata transactions are the loader's",
                ));
            }
        }
        Ok(())
    }

    /// The records were those of a snapshot: what they did not name is gone.
    pub fn finish_snapshot(&mut self) {
        self.features().finish_snapshot();
        self.cluster().finish_snapshot();
        self.topics().finish_snapshot();
        self.configs().finish_snapshot();
        self.client_quotas().finish_snapshot();
        self.acls().finish_snapshot();
        self.scram().finish_snapshot();
        self.delegation_tokens().finish_snapshot();
    }

    /// The image with the changes; parts without any are shared with the image before.
    pub fn apply(&self, provenance: MetadataProvenance) -> MetadataImage {
        let before = &self.image;
        // Every deleted topic looks for configs; few have any.
        let configs = self.configs.as_ref().filter(|delta| !delta.changes.is_empty());
        MetadataImage {
            provenance,
            features: part(&before.features, self.features.as_ref().map(FeaturesDelta::apply)),
            cluster: part(&before.cluster, self.cluster.as_ref().map(ClusterDelta::apply)),
            topics: part(&before.topics, self.topics.as_ref().map(TopicsDelta::apply)),
            configs: part(&before.configs, configs.map(ConfigurationsDelta::apply)),
            client_quotas: part(
                &before.client_quotas,
                self.client_quotas.as_ref().map(ClientQuotasDelta::apply),
            ),
            producer_ids: self.producer_ids.map_or(before.producer_ids, |delta| delta.apply()),
            acls: part(&before.acls, self.acls.as_ref().map(AclsDelta::apply)),
            scram: part(&before.scram, self.scram.as_ref().map(ScramDelta::apply)),
            delegation_tokens: part(
                &before.delegation_tokens,
                self.delegation_tokens.as_ref().map(DelegationTokenDelta::apply),
            ),
        }
    }
}

fn part<T>(before: &Arc<T>, changed: Option<T>) -> Arc<T> {
    changed.map_or_else(|| Arc::clone(before), Arc::new)
}
