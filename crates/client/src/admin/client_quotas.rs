//! Client quotas (KIP-546).

use std::collections::BTreeMap;

use protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use protocol::messages::describe_client_quotas_request::ComponentData;
use protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
};

use super::Admin;
use crate::ClientError;

/// Who has a quota (`ClientQuotaEntity`): names by type, which is `user`, `client-id` or `ip`; none for the default.
pub type ClientQuotaEntity = BTreeMap<String, Option<String>>;

/// What an entity is to be of one type (`ClientQuotaFilterComponent`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaFilter {
    /// This one.
    Name(String),
    /// The default.
    Default,
    /// Anything.
    Any,
}

impl Admin {
    /// The quotas of the entities that meet all of the filter, by types, and have no other type.
    ///
    /// # Errors
    /// If no broker answers, or it refuses.
    pub async fn describe_client_quotas(
        &self,
        filter: &[(String, QuotaFilter)],
    ) -> Result<Vec<(ClientQuotaEntity, BTreeMap<String, f64>)>, ClientError> {
        let component = |(entity_type, wanted): &(String, QuotaFilter)| {
            let (match_type, match_) = match wanted {
                QuotaFilter::Name(name) => (0, Some(name.clone())),
                QuotaFilter::Default => (1, None),
                QuotaFilter::Any => (2, None),
            };
            ComponentData { entity_type: entity_type.clone(), match_type, match_ }
        };
        let request =
            DescribeClientQuotasRequest { components: filter.iter().map(component).collect(), strict: true };
        let response: DescribeClientQuotasResponse = self.cluster.any().await?.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let entries = response.entries.unwrap_or_default().into_iter().map(|entry| {
            let entity = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
            let values = entry.values.into_iter().map(|value| (value.key, value.value));
            (entity.collect(), values.collect())
        });
        Ok(entries.collect())
    }

    /// Sets quotas of an entity, and takes away those without a value.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn alter_client_quotas(
        &self,
        entity: &ClientQuotaEntity,
        changes: &[(String, Option<f64>)],
    ) -> Result<(), ClientError> {
        let part = |(kind, name): (&String, &Option<String>)| EntityData {
            entity_type: kind.clone(),
            entity_name: name.clone(),
        };
        let op = |(key, value): &(String, Option<f64>)| OpData {
            key: key.clone(),
            value: value.unwrap_or(0.0),
            remove: value.is_none(),
        };
        let entry =
            EntryData { entity: entity.iter().map(part).collect(), ops: changes.iter().map(op).collect() };
        let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
        let response: AlterClientQuotasResponse = self.ask_controller(&request).await?;
        response
            .entries
            .iter()
            .try_for_each(|entry| ClientError::check(entry.error_code, entry.error_message.as_deref()))
    }
}
