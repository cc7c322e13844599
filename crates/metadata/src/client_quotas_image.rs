//! The quotas of users, client ids and addresses (`org.apache.kafka.image.ClientQuotasImage`, `ClientQuotasDelta`).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::ClientQuotaRecord;
use protocol::messages::client_quota_record::EntityData;

use crate::cluster_image::apply_changes;
use crate::writer::ImageWriter;

/// The entity type of users.
pub const USER: &str = "user";
/// The entity type of client ids.
pub const CLIENT_ID: &str = "client-id";
/// The entity type of addresses.
pub const IP: &str = "ip";

/// Whom a quota is for: names by entity type; none is the default of the type (`ClientQuotaEntity`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientQuotaEntity(pub BTreeMap<String, Option<String>>);

impl ClientQuotaEntity {
    pub(crate) fn from_data(data: &[EntityData]) -> ClientQuotaEntity {
        ClientQuotaEntity(
            data.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect(),
        )
    }

    /// The entity as records hold it.
    pub fn to_data(&self) -> Vec<EntityData> {
        let parts = self.0.iter().map(|(entity_type, entity_name)| EntityData {
            entity_type: entity_type.clone(),
            entity_name: entity_name.clone(),
        });
        parts.collect()
    }
}

/// The quotas by entity and key.
///
/// **Invariant:** no entity has an empty map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientQuotasImage {
    /// The quotas of each entity by key.
    pub entities: BTreeMap<ClientQuotaEntity, BTreeMap<String, f64>>,
}

impl ClientQuotasImage {
    /// Whether nobody has a quota.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        for (entity, quotas) in &self.entities {
            for (key, value) in quotas {
                let record = ClientQuotaRecord {
                    entity: entity.to_data(),
                    key: key.clone(),
                    value: *value,
                    ..ClientQuotaRecord::default()
                };
                writer.write(record.into(), 0);
            }
        }
    }
}

/// What changed of the quotas.
#[derive(Clone, Debug)]
pub struct ClientQuotasDelta {
    image: Arc<ClientQuotasImage>,
    /// For each entity the keys that changed; none means no quota.
    pub changes: BTreeMap<ClientQuotaEntity, BTreeMap<String, Option<f64>>>,
}

impl ClientQuotasDelta {
    pub(crate) fn new(image: &Arc<ClientQuotasImage>) -> ClientQuotasDelta {
        ClientQuotasDelta { image: Arc::clone(image), changes: BTreeMap::new() }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for (entity, quotas) in &self.image.entities {
            let changes = self.changes.entry(entity.clone()).or_default();
            for key in quotas.keys() {
                changes.entry(key.clone()).or_insert(None);
            }
        }
    }

    pub(crate) fn replay(&mut self, record: &ClientQuotaRecord) {
        let entity = ClientQuotaEntity::from_data(&record.entity);
        let value = (!record.remove).then_some(record.value);
        self.changes.entry(entity).or_default().insert(record.key.clone(), value);
    }

    pub(crate) fn apply(&self) -> ClientQuotasImage {
        let mut entities = self.image.entities.clone();
        for (entity, changes) in &self.changes {
            let quotas = entities.entry(entity.clone()).or_default();
            apply_changes(quotas, changes);
            if quotas.is_empty() {
                entities.remove(entity);
            }
        }
        ClientQuotasImage { entities }
    }
}
