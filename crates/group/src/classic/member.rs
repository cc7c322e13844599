//! A member of a classic group.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use crate::Reply;

/// A member of a classic group (Kafka's `ClassicGroupMember`).
pub struct ClassicGroupMember {
    pub(super) member_id: Arc<str>,
    pub(super) group_instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocol_type: String,
    /// What it can do, best first.
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    /// What it was assigned; empty before it is.
    pub(super) assignment: Vec<u8>,
    pub(super) awaiting_join: Option<Reply<JoinGroupResponse>>,
    pub(super) awaiting_sync: Option<Reply<SyncGroupResponse>>,
    /// Has never been told its id, so that it cannot send heartbeats.
    pub(super) is_new: bool,
}

impl ClassicGroupMember {
    /// Its id.
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The instance that a static member is.
    pub fn group_instance_id(&self) -> Option<&str> {
        self.group_instance_id.as_deref()
    }

    /// The client id it joined with.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The address it joined from.
    pub fn client_host(&self) -> &str {
        &self.client_host
    }

    /// What it was assigned.
    pub fn assignment(&self) -> &[u8] {
        &self.assignment
    }

    /// Whether its JoinGroup is parked.
    pub fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// Whether its SyncGroup is parked.
    pub fn is_awaiting_sync(&self) -> bool {
        self.awaiting_sync.is_some()
    }

    /// What it sent for a protocol.
    pub fn metadata(&self, protocol: &str) -> Option<&[u8]> {
        self.protocols.iter().find(|known| known.name == protocol).map(|known| known.metadata.as_slice())
    }

    /// Whether it need not send heartbeats: it waits for us. Not so a new member, which may have gone while it waits.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.is_awaiting_join() || self.is_awaiting_sync())
    }

    /// The first of its protocols that everybody has.
    pub(super) fn vote<'a>(&'a self, candidates: &HashSet<&str>) -> Option<&'a str> {
        self.protocols.iter().map(|protocol| protocol.name.as_str()).find(|name| candidates.contains(name))
    }
}

/// The names in a list of protocols, each once.
pub(super) fn protocol_names(protocols: &[JoinGroupRequestProtocol]) -> HashSet<&str> {
    protocols.iter().map(|protocol| protocol.name.as_str()).collect()
}
