//! Replication: what leaders ask of the controller, and what followers fetch from their leaders.

mod fetchers;
mod isr_changes;
mod quotas;
mod selector;

pub(crate) use fetchers::ReplicaFetchers;
pub(crate) use isr_changes::{IsrChanges, expire_followers, propose_isr_changes};
pub(crate) use quotas::ReplicationQuotas;
pub(crate) use selector::ReplicaSelector;
