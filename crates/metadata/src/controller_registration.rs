//! What a controller told the active controller when it registered (`org.apache.kafka.metadata.ControllerRegistration`, KIP-919).

use std::collections::BTreeMap;

use common::Uuid;
use protocol::messages::RegisterControllerRecord;
use protocol::messages::register_controller_record::{ControllerEndpoint, ControllerFeature};

use crate::broker_registration::Endpoint;
use crate::features::VersionRange;
use crate::writer::ImageWriter;

/// A registered controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The controller's id.
    pub id: i32,
    /// Random for every start of the controller.
    pub incarnation_id: Uuid,
    /// The controller was ready to migrate from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Where the controller listens, in the order in which it said so.
    pub listeners: Vec<Endpoint>,
    /// The features' levels with which the controller can work.
    pub supported_features: BTreeMap<String, VersionRange>,
}

impl ControllerRegistration {
    /// The registration that a record holds.
    pub fn from_record(record: &RegisterControllerRecord) -> ControllerRegistration {
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
        ControllerRegistration {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            zk_migration_ready: record.zk_migration_ready,
            listeners: listeners.collect(),
            supported_features: features.collect(),
        }
    }

    /// Where the controller listens under this name.
    pub fn listener(&self, name: &str) -> Option<&Endpoint> {
        self.listeners.iter().find(|endpoint| endpoint.listener == name)
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        let end_points = self.listeners.iter().map(|endpoint| ControllerEndpoint {
            name: endpoint.listener.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = self.supported_features.iter().map(|(name, range)| ControllerFeature {
            name: name.clone(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        let record = RegisterControllerRecord {
            controller_id: self.id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: self.zk_migration_ready,
            end_points: end_points.collect(),
            features: features.collect(),
        };
        writer.write(record.into(), 0);
    }
}
