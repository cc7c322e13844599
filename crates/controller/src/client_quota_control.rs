//! Client quotas (`org.apache.kafka.controller.ClientQuotaControlManager`).

use std::collections::BTreeMap;

use common::ErrorCode;
use metadata::client_quotas_image::{CLIENT_ID, IP, USER};
use metadata::{ClientQuotaEntity, VersionedRecord};
use protocol::messages::alter_client_quotas_request::{self, OpData};
use protocol::messages::alter_client_quotas_response;
use protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, ClientQuotaRecord, client_quota_record,
};

use crate::api_error::{ApiError, code_and_message};
use crate::result::ControllerResult;

/// The quotas by entity and key.
#[derive(Clone, Debug, Default)]
pub struct ClientQuotaControlManager {
    quotas: BTreeMap<ClientQuotaEntity, BTreeMap<String, f64>>,
}

/// Whether a quota's value may be a fraction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QuotaType {
    Double,
    Int,
    Long,
}

impl ClientQuotaControlManager {
    /// Replays that a quota was set or taken away.
    pub fn replay(&mut self, record: &ClientQuotaRecord) {
        let parts = record.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone()));
        let entity = ClientQuotaEntity(parts.collect());
        let quotas = self.quotas.entry(entity.clone()).or_default();
        if record.remove {
            quotas.remove(&record.key);
        } else {
            quotas.insert(record.key.clone(), record.value);
        }
        if quotas.is_empty() {
            self.quotas.remove(&entity);
        }
    }

    /// Checks alterations and makes their records. Entities stand or fall by themselves.
    pub fn alter_client_quotas(
        &self,
        request: &AlterClientQuotasRequest,
    ) -> ControllerResult<AlterClientQuotasResponse> {
        let mut records = Vec::new();
        let mut outcomes: Vec<(&Vec<alter_client_quotas_request::EntityData>, Result<(), ApiError>)> =
            Vec::new();
        let mut seen: Vec<ClientQuotaEntity> = Vec::new();
        for entry in &request.entries {
            let parts = entry.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone()));
            let entity = ClientQuotaEntity(parts.collect());
            let outcome = if seen.contains(&entity) {
                let message = format!("Ignoring duplicate entity {}", entity_text(&entity));
                Err(ApiError::new(ErrorCode::InvalidRequest, message))
            } else {
                self.alter_entity(entry, &entity).map(|made| records.extend(made))
            };
            seen.push(entity);
            outcomes.push((&entry.entity, outcome));
        }
        let entries = outcomes.into_iter().map(|(entity, outcome)| {
            let (error_code, error_message) = code_and_message(outcome);
            let entity = entity.iter().map(|part| alter_client_quotas_response::EntityData {
                entity_type: part.entity_type.clone(),
                entity_name: part.entity_name.clone(),
            });
            alter_client_quotas_response::EntryData { error_code, error_message, entity: entity.collect() }
        });
        let response = AlterClientQuotasResponse { throttle_time_ms: 0, entries: entries.collect() };
        let result = ControllerResult::atomic_of(records, response);
        if request.validate_only { result.without_records() } else { result }
    }

    fn alter_entity(
        &self,
        entry: &alter_client_quotas_request::EntryData,
        entity: &ClientQuotaEntity,
    ) -> Result<Vec<VersionedRecord>, ApiError> {
        let mut changes: BTreeMap<&str, &OpData> = BTreeMap::new();
        for op in &entry.ops {
            if changes.insert(&op.key, op).is_some() {
                let message = format!(
                    "Duplicate quota key {} not updating quota for this entity {}",
                    op.key,
                    entity_text(entity)
                );
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
        }
        validate_entity(entry)?;
        let keys = keys_for(entity)?;
        let current = self.quotas.get(entity);
        let mut records = Vec::new();
        for (key, op) in changes {
            let before = current.and_then(|quotas| quotas.get(key)).copied();
            let record = |value, remove| ClientQuotaRecord {
                entity: record_entity(entity),
                key: key.to_owned(),
                value,
                remove,
            };
            if op.remove {
                if before.is_some() {
                    records.push((record(0.0, true).into(), 0));
                }
                continue;
            }
            validate_value(keys, key, op.value)?;
            if before != Some(op.value) {
                records.push((record(op.value, false).into(), 0));
            }
        }
        Ok(records)
    }
}

fn record_entity(entity: &ClientQuotaEntity) -> Vec<client_quota_record::EntityData> {
    entity.to_data()
}

/// The entity as Kafka's messages show it.
fn entity_text(entity: &ClientQuotaEntity) -> String {
    let parts: Vec<String> =
        entity.0.iter().map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("null"))).collect();
    format!("ClientQuotaEntity(entries={{{}}})", parts.join(", "))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

fn validate_entity(entry: &alter_client_quotas_request::EntryData) -> Result<(), ApiError> {
    if entry.entity.is_empty() {
        return Err(invalid("Invalid empty client quota entity"));
    }
    for part in &entry.entity {
        if ![USER, CLIENT_ID, IP].contains(&part.entity_type.as_str()) {
            return Err(invalid(format!("Unhandled client quota entity type: {}", part.entity_type)));
        }
        if part.entity_name.as_deref() == Some("") {
            return Err(invalid(format!("Empty {} not supported", part.entity_type)));
        }
    }
    Ok(())
}

/// The keys that an entity can have quotas for.
fn keys_for(entity: &ClientQuotaEntity) -> Result<&'static [(&'static str, QuotaType)], ApiError> {
    let has = |kind: &str| entity.0.contains_key(kind);
    if let Some(ip) = entity.0.get(IP) {
        if has(USER) || has(CLIENT_ID) {
            return Err(invalid(
                "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
            ));
        }
        if let Some(ip) = ip
            && !is_address(ip)
        {
            return Err(invalid(format!("{ip} is not a valid IP or resolvable host.")));
        }
        return Ok(&[("connection_creation_rate", QuotaType::Int)]);
    }
    Ok(&[
        ("producer_byte_rate", QuotaType::Long),
        ("consumer_byte_rate", QuotaType::Long),
        ("request_percentage", QuotaType::Double),
        ("controller_mutation_rate", QuotaType::Double),
    ])
}

/// Divergence: Kafka also takes names of hosts that its resolver finds. A lookup would make the answer depend on more
/// than the request and the state.
fn is_address(ip: &str) -> bool {
    ip.parse::<std::net::IpAddr>().is_ok()
}

fn validate_value(keys: &[(&str, QuotaType)], key: &str, value: f64) -> Result<(), ApiError> {
    let kind = keys.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| invalid(format!("Invalid configuration key {key}")))?;
    if value <= 0.0 {
        return Err(invalid(format!("Quota {key} must be greater than 0")));
    }
    if kind != QuotaType::Double {
        let (limit, name) = if kind == QuotaType::Int {
            (f64::from(i32::MAX), "an INT")
        } else {
            (i64::MAX as f64, "a LONG")
        };
        if value > limit {
            return Err(invalid(format!("Proposed value for {key} is too large for {name}.")));
        }
        if (value % 1.0).abs() > 1e-6 {
            return Err(invalid(format!("{key} cannot be a fractional value.")));
        }
    }
    Ok(())
}
