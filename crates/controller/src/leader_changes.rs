//! Who leads partitions when brokers and directories come and go
//! (`ReplicationControlManager.generateLeaderAndIsrUpdates` and its callers).

use common::{ErrorCode, TopicIdPartition, Uuid};
use metadata::{NO_LEADER, PartitionRegistration, VersionedRecord};
use protocol::messages::{BrokerRegistrationChangeRecord, UnregisterBrokerRecord};

use crate::api_error::ApiError;
use crate::partition_change_builder::{ChangeEnvironment, Election, PartitionChangeBuilder};
use crate::replication_control::TopicControlInfo;
use crate::state::ControllerState;

/// What happens to brokers, for the partitions that are looked at.
#[derive(Clone, Copy)]
struct BrokerChange {
    /// Leaves every ISR.
    remove: i32,
    /// May lead, though its records that say so are only being made.
    add: i32,
    /// Leaves every ISR, and is not eligible: it may have lost records.
    unclean: i32,
}

const NONE: BrokerChange = BrokerChange { remove: NO_LEADER, add: NO_LEADER, unclean: NO_LEADER };

impl ControllerState {
    /// Calls `make` with what a change of a partition depends on. `may_lead` is asked about brokers.
    pub(crate) fn with_environment<T>(
        &self,
        topic: &TopicControlInfo,
        partition: &PartitionRegistration,
        may_lead: &dyn Fn(i32) -> bool,
        make: impl FnOnce(ChangeEnvironment<'_>) -> T,
    ) -> T {
        let is_acceptable_leader = |broker: i32| {
            may_lead(broker)
                && partition.directory(broker).is_some_and(|dir| self.cluster.has_online_dir(broker, dir))
        };
        let default_dir = |broker: i32| self.default_dir(broker);
        make(ChangeEnvironment {
            is_acceptable_leader: &is_acceptable_leader,
            default_dir: &default_dir,
            metadata_version: self.features.metadata_version_or_minimum(),
            min_isr: self.effective_min_isr(topic),
            elr_enabled: self.features.is_elr_enabled(),
        })
    }

    /// The directory to put a new replica on record with.
    pub(crate) fn default_dir(&self, broker_id: i32) -> Uuid {
        if self.features.metadata_version_or_minimum().is_directory_assignment_supported() {
            self.cluster.default_dir(broker_id)
        } else {
            metadata::directory_id::MIGRATING
        }
    }

    /// A topic's `min.insync.replicas`, but at most its replication factor.
    pub(crate) fn effective_min_isr(&self, topic: &TopicControlInfo) -> usize {
        let factor = topic.parts.values().next().map_or(0, |partition| partition.replicas.len());
        let configured = usize::try_from(self.configs.min_insync_replicas(&topic.name)).unwrap_or(0);
        configured.min(factor)
    }

    /// Elects by the rules of a topic: uncleanly only where it says so.
    pub(crate) fn topic_election(&self, topic: &TopicControlInfo) -> Election {
        let unclean = self.configs.unclean_leader_election_enabled(&topic.name);
        if unclean { Election::Unclean } else { Election::Online }
    }

    fn leader_and_isr_updates(
        &self,
        change: BrokerChange,
        partitions: Vec<TopicIdPartition>,
        records: &mut Vec<VersionedRecord>,
    ) {
        let may_lead = |broker: i32| {
            broker != change.remove
                && broker != change.unclean
                && (broker == change.add || self.cluster.is_active(broker))
        };
        for id in partitions {
            let Some((topic, partition)) = self.replication.partition(id) else { continue };
            let leaves = |replica: &i32| *replica == change.remove || *replica == change.unclean;
            let isr = partition.isr.iter().copied().filter(|replica| !leaves(replica)).collect();
            let made = self.with_environment(topic, partition, &may_lead, |environment| {
                let mut builder =
                    PartitionChangeBuilder::new(partition, id.topic_id, id.partition, environment)
                        .election(self.topic_election(topic))
                        .target_isr(isr);
                if change.unclean != NO_LEADER {
                    builder = builder.unclean_shutdown_replica(change.unclean);
                }
                builder.build()
            });
            records.extend(made);
        }
    }

    /// A broker is fenced: it leads nothing any more.
    pub(crate) fn handle_broker_fenced(
        &self,
        broker_id: i32,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<(), ApiError> {
        let broker =
            self.cluster.broker(broker_id).ok_or_else(|| ApiError::silent(ErrorCode::UnknownServerError))?;
        let in_isr = self.replication.partitions_with_broker_in_isr(broker_id);
        self.leader_and_isr_updates(BrokerChange { remove: broker_id, ..NONE }, in_isr, records);
        records.push(registration_change(broker_id, broker.epoch, 0, |record| record.fenced = 1));
        Ok(())
    }

    /// A broker's registration is removed.
    pub(crate) fn handle_broker_unregistered(
        &self,
        broker_id: i32,
        broker_epoch: i64,
        records: &mut Vec<VersionedRecord>,
    ) {
        let change = BrokerChange { remove: broker_id, ..NONE };
        let in_isr = self.replication.partitions_with_broker_in_isr(broker_id);
        self.leader_and_isr_updates(change, in_isr, records);
        let in_elr = self.replication.partitions_with_broker_in_elr(broker_id);
        self.leader_and_isr_updates(change, in_elr, records);
        records.push((UnregisterBrokerRecord { broker_id, broker_epoch }.into(), 0));
    }

    /// A broker takes part again: partitions that waited for it get a leader.
    pub(crate) fn handle_broker_unfenced(
        &self,
        broker_id: i32,
        broker_epoch: i64,
        records: &mut Vec<VersionedRecord>,
    ) {
        records.push(registration_change(broker_id, broker_epoch, 0, |record| record.fenced = -1));
        let leaderless = self.replication.partitions_with_no_leader();
        self.leader_and_isr_updates(BrokerChange { add: broker_id, ..NONE }, leaderless, records);
    }

    /// A broker is about to stop: others take over what it leads.
    pub(crate) fn handle_broker_in_controlled_shutdown(
        &self,
        broker_id: i32,
        broker_epoch: i64,
        records: &mut Vec<VersionedRecord>,
    ) {
        if !self.cluster.broker(broker_id).is_some_and(|broker| broker.in_controlled_shutdown) {
            records.push(registration_change(broker_id, broker_epoch, 1, |record| {
                record.in_controlled_shutdown = 1
            }));
        }
        let in_isr = self.replication.partitions_with_broker_in_isr(broker_id);
        self.leader_and_isr_updates(BrokerChange { remove: broker_id, ..NONE }, in_isr, records);
    }

    /// A broker comes back as another incarnation. After an unclean end it may have lost records.
    pub(crate) fn handle_broker_shutdown(
        &self,
        broker_id: i32,
        is_clean: bool,
        records: &mut Vec<VersionedRecord>,
    ) {
        let in_isr = self.replication.partitions_with_broker_in_isr(broker_id);
        if self.features.is_elr_enabled() && !is_clean {
            let change = BrokerChange { unclean: broker_id, ..NONE };
            self.leader_and_isr_updates(change, in_isr, records);
            let in_elr = self.replication.partitions_with_broker_in_elr(broker_id);
            self.leader_and_isr_updates(change, in_elr, records);
        } else {
            self.leader_and_isr_updates(BrokerChange { remove: broker_id, ..NONE }, in_isr, records);
        }
    }

    /// Directories of a broker went offline: it leads nothing in them any more.
    pub(crate) fn handle_directories_offline(
        &self,
        broker_id: i32,
        broker_epoch: i64,
        offline: &[Uuid],
        records: &mut Vec<VersionedRecord>,
    ) {
        let Some(broker) = self.cluster.broker(broker_id) else { return };
        let (newly_offline, online): (Vec<Uuid>, Vec<Uuid>) =
            broker.directories.iter().partition(|directory| offline.contains(directory));
        if newly_offline.is_empty() {
            return;
        }
        for directory in &newly_offline {
            let partitions = self.replication.partitions_in_directory(directory);
            self.leader_and_isr_updates(BrokerChange { remove: broker_id, ..NONE }, partitions, records);
        }
        tracing::warn!(broker_id, ?newly_offline, ?online, "log directories of a broker went offline");
        records.push(registration_change(broker_id, broker_epoch, 2, |record| record.log_dirs = online));
    }

    /// A broker says which of its directories get no new replicas.
    pub(crate) fn handle_directories_cordoned(
        &self,
        broker_id: i32,
        broker_epoch: i64,
        cordoned: &Option<Vec<Uuid>>,
        records: &mut Vec<VersionedRecord>,
    ) {
        let (Some(cordoned), Some(broker)) = (cordoned, self.cluster.broker(broker_id)) else { return };
        let as_set = |dirs: &Vec<Uuid>| dirs.iter().copied().collect::<std::collections::BTreeSet<_>>();
        if broker.cordoned_directories.as_ref().map(as_set) != Some(as_set(cordoned)) {
            let cordoned = Some(cordoned.clone());
            records.push(registration_change(broker_id, broker_epoch, 3, |record| {
                record.cordoned_log_dirs = cordoned
            }));
        }
    }

    /// Replicas turned out to be in directories that are offline.
    pub(crate) fn handle_replicas_offline(
        &self,
        broker_id: i32,
        partitions: Vec<TopicIdPartition>,
        records: &mut Vec<VersionedRecord>,
    ) {
        self.leader_and_isr_updates(BrokerChange { remove: broker_id, ..NONE }, partitions, records);
    }
}

fn registration_change(
    broker_id: i32,
    broker_epoch: i64,
    version: i16,
    change: impl FnOnce(&mut BrokerRegistrationChangeRecord),
) -> VersionedRecord {
    let mut record = BrokerRegistrationChangeRecord {
        broker_id,
        broker_epoch,
        ..BrokerRegistrationChangeRecord::default()
    };
    change(&mut record);
    (record.into(), version)
}
