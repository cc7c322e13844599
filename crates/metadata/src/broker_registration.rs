//! What a broker told the controller when it registered (`org.apache.kafka.metadata.BrokerRegistration`).

use std::collections::BTreeMap;

use common::Uuid;
use protocol::messages::RegisterBrokerRecord;
use protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};

use crate::directory_id;
use crate::features::VersionRange;
use crate::writer::ImageWriter;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: String,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
    /// The host that clients are told.
    pub host: String,
    /// The port that clients are told.
    pub port: u16,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker's id.
    pub id: i32,
    /// The broker's epoch: the offset of the log at which this incarnation registered.
    pub epoch: i64,
    /// Random for every start of the broker.
    pub incarnation_id: Uuid,
    /// Where the broker listens, in the order in which it said so.
    pub listeners: Vec<Endpoint>,
    /// The features' levels with which the broker can work.
    pub supported_features: BTreeMap<String, VersionRange>,
    /// The broker's rack.
    pub rack: Option<String>,
    /// A fenced broker leads nothing and is in no ISR, and clients are not told of it.
    pub fenced: bool,
    /// The broker is about to stop and leads nothing new.
    pub in_controlled_shutdown: bool,
    /// The broker came from ZooKeeper and was migrating.
    pub is_migrating_zk_broker: bool,
    /// The log directories that are online, sorted.
    pub directories: Vec<Uuid>,
    /// The log directories that get no new replicas (KIP-1066); none until the broker's heartbeats have said.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

/// What a record changes of a registration; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationChange {
    /// Fence or unfence.
    pub fenced: Option<bool>,
    /// Enter controlled shutdown.
    pub in_controlled_shutdown: Option<bool>,
    /// The directories that are online now.
    pub directories: Option<Vec<Uuid>>,
    /// The directories that are cordoned now.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

impl BrokerRegistration {
    /// The registration that a record holds.
    pub fn from_record(record: &RegisterBrokerRecord) -> BrokerRegistration {
        let listeners = record.end_points.iter().map(|endpoint| Endpoint {
            listener: endpoint.name.clone(),
            security_protocol: endpoint.security_protocol,
            host: endpoint.host.clone(),
            port: endpoint.port,
        });
        let features = record.features.iter().map(|feature| {
            (
                feature.name.clone(),
                VersionRange::new(feature.min_supported_version, feature.max_supported_version),
            )
        });
        BrokerRegistration {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            listeners: listeners.collect(),
            supported_features: features.collect(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            is_migrating_zk_broker: record.is_migrating_zk_broker,
            directories: sorted(record.log_dirs.clone()),
            cordoned_directories: record.cordoned_log_dirs.clone(),
        }
    }

    /// This registration after a change.
    pub fn with(&self, change: RegistrationChange) -> BrokerRegistration {
        BrokerRegistration {
            fenced: change.fenced.unwrap_or(self.fenced),
            in_controlled_shutdown: change.in_controlled_shutdown.unwrap_or(self.in_controlled_shutdown),
            directories: change.directories.map_or_else(|| self.directories.clone(), sorted),
            cordoned_directories: change.cordoned_directories.or_else(|| self.cordoned_directories.clone()),
            ..self.clone()
        }
    }

    /// Where the broker listens under this name.
    pub fn listener(&self, name: &str) -> Option<&Endpoint> {
        self.listeners.iter().find(|endpoint| endpoint.listener == name)
    }

    /// Whether the broker may lead partitions.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in this directory can serve.
    pub fn has_online_dir(&self, directory: Uuid) -> bool {
        directory_id::is_online(directory, &self.directories)
    }

    /// Whether any directory may get new replicas.
    pub fn has_uncordoned_dirs(&self) -> bool {
        let Some(cordoned) = &self.cordoned_directories else { return true };
        self.directories.is_empty() || self.directories.iter().any(|directory| !cordoned.contains(directory))
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        let version = writer.metadata_version();
        let end_points = self.listeners.iter().map(|endpoint| BrokerEndpoint {
            name: endpoint.listener.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = self.supported_features.iter().map(|(name, range)| BrokerFeature {
            name: name.clone(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        let mut record = RegisterBrokerRecord {
            broker_id: self.id,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: end_points.collect(),
            features: features.collect(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            ..RegisterBrokerRecord::default()
        };
        if self.is_migrating_zk_broker {
            if version.is_migration_supported() {
                record.is_migrating_zk_broker = true;
            } else {
                writer.lose("the isMigratingZkBroker state of one or more brokers");
            }
        }
        if version.is_directory_assignment_supported() {
            record.log_dirs = self.directories.clone();
        } else if !self.directories.is_empty() {
            writer.lose("the online log directories of one or more brokers");
        }
        if version.is_cordoned_log_dirs_supported() {
            record.cordoned_log_dirs = self.cordoned_directories.clone();
        } else if self.cordoned_directories.is_some() {
            writer.lose("the cordoned log directories of one or more brokers");
        }
        writer.write(record.into(), version.register_broker_record_version());
    }
}

fn sorted(mut directories: Vec<Uuid>) -> Vec<Uuid> {
    directories.sort_unstable();
    directories
}
