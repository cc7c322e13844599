//! Replication: what leaders ask of the controller, and what followers fetch from their leaders.

mod isr_changes;

pub(crate) use isr_changes::{IsrChanges, expire_followers, propose_isr_changes};
