//! What is under way to each node, and when it may be asked again (`org.apache.kafka.raft.RequestManager`): one request at a
//! time, a pause after a failure.

use std::collections::BTreeMap;

use super::QuorumNode;
use crate::core::Random;

#[derive(Clone, Copy, Debug)]
enum Connection {
    AwaitingResponse { correlation_id: u64, sent_ms: i64 },
    BackingOff { since_ms: i64 },
}

/// The connections that are not ready, by node id.
#[derive(Debug)]
pub(super) struct RequestManager {
    connections: BTreeMap<i32, Connection>,
    bootstrap_servers: Vec<QuorumNode>,
    retry_backoff_ms: i64,
    request_timeout_ms: i64,
    last_correlation_id: u64,
}

impl RequestManager {
    pub(super) fn new(
        bootstrap_servers: Vec<QuorumNode>,
        retry_backoff_ms: i64,
        request_timeout_ms: i64,
    ) -> RequestManager {
        RequestManager {
            connections: BTreeMap::new(),
            bootstrap_servers,
            // Without a pause a refused connection would be tried in a busy loop.
            retry_backoff_ms: retry_backoff_ms.max(1),
            request_timeout_ms: request_timeout_ms.max(1),
            last_correlation_id: 0,
        }
    }

    /// When the node may be asked again, in milliseconds; none: now.
    pub(super) fn busy_until(&self, id: i32, now_ms: i64) -> Option<i64> {
        let until = match self.connections.get(&id)? {
            Connection::AwaitingResponse { sent_ms, .. } => sent_ms.saturating_add(self.request_timeout_ms),
            Connection::BackingOff { since_ms } => since_ms.saturating_add(self.retry_backoff_ms),
        };
        (until > now_ms).then_some(until)
    }

    /// Whether the node failed a moment ago.
    pub(super) fn is_backing_off(&self, id: i32, now_ms: i64) -> bool {
        matches!(self.connections.get(&id), Some(Connection::BackingOff { .. }))
            && self.busy_until(id, now_ms).is_some()
    }

    /// Whether the node has not answered in time.
    pub(super) fn has_request_timed_out(&self, id: i32, now_ms: i64) -> bool {
        matches!(self.connections.get(&id), Some(Connection::AwaitingResponse { .. }))
            && self.busy_until(id, now_ms).is_none()
    }

    /// When the request that is under way must have been answered, in milliseconds; none: there is none.
    pub(super) fn inflight_until(&self, now_ms: i64) -> Option<i64> {
        let waits = |(id, connection): (&i32, &Connection)| match connection {
            Connection::AwaitingResponse { .. } => self.busy_until(*id, now_ms),
            Connection::BackingOff { .. } => None,
        };
        self.connections.iter().find_map(waits)
    }

    /// A bootstrap server that may be asked, any of them.
    pub(super) fn ready_bootstrap_server(&self, now_ms: i64, random: &mut Random) -> Option<QuorumNode> {
        if self.inflight_until(now_ms).is_some() || self.bootstrap_servers.is_empty() {
            return None;
        }
        let first = random.below(self.bootstrap_servers.len() as i64) as usize;
        let mut nodes = self.bootstrap_servers.iter().cycle().skip(first).take(self.bootstrap_servers.len());
        nodes.find(|node| self.busy_until(node.id, now_ms).is_none()).cloned()
    }

    /// When a bootstrap server may be asked again, in milliseconds.
    pub(super) fn bootstrap_server_available_ms(&self, now_ms: i64) -> i64 {
        if let Some(until) = self.inflight_until(now_ms) {
            return until;
        }
        let soonest = self
            .bootstrap_servers
            .iter()
            .map(|node| self.busy_until(node.id, now_ms).unwrap_or(now_ms))
            .min();
        // Where nobody is known, there is nothing to wait for but the connections that others open.
        soonest.unwrap_or(i64::MAX)
    }

    /// A request goes out; gives its number.
    pub(super) fn request_sent(&mut self, id: i32, now_ms: i64) -> u64 {
        self.last_correlation_id += 1;
        let correlation_id = self.last_correlation_id;
        self.connections.insert(id, Connection::AwaitingResponse { correlation_id, sent_ms: now_ms });
        correlation_id
    }

    /// Whether the answer is to the request that is under way.
    pub(super) fn is_response_expected(&self, id: i32, answered: u64) -> bool {
        matches!(self.connections.get(&id),
            Some(Connection::AwaitingResponse { correlation_id, .. }) if *correlation_id == answered)
    }

    /// The request was answered; `success`: with what can be gone on with.
    pub(super) fn response_handled(&mut self, id: i32, correlation_id: u64, success: bool, now_ms: i64) {
        if self.is_response_expected(id, correlation_id) {
            if success {
                self.connections.remove(&id);
            } else {
                self.connections.insert(id, Connection::BackingOff { since_ms: now_ms });
            }
        }
    }

    /// Forgets what was under way to a node.
    pub(super) fn reset(&mut self, id: i32) {
        self.connections.remove(&id);
    }

    /// Forgets what was under way: with another state come other requests.
    pub(super) fn reset_all(&mut self) {
        self.connections.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager() -> RequestManager {
        let node = |id| QuorumNode { id, host: "localhost".to_owned(), port: 9093 };
        RequestManager::new(vec![node(-2), node(-3)], 20, 2_000)
    }

    #[test]
    fn a_node_is_asked_once_and_again_after_a_pause() {
        let mut manager = manager();
        let id = manager.request_sent(1, 100);
        assert_eq!(manager.busy_until(1, 150), Some(2_100));
        assert!(manager.has_request_timed_out(1, 2_100));
        manager.response_handled(1, id, false, 200);
        assert!(manager.is_backing_off(1, 219) && !manager.is_backing_off(1, 220));
        let next = manager.request_sent(1, 220);
        assert!(!manager.is_response_expected(1, id), "an answer to what was given up");
        manager.response_handled(1, next, true, 230);
        assert_eq!(manager.busy_until(1, 230), None);
    }

    #[test]
    fn bootstrap_servers_are_asked_one_at_a_time() {
        let mut manager = manager();
        let mut random = Random::new(1);
        let first = manager.ready_bootstrap_server(0, &mut random).unwrap();
        let id = manager.request_sent(first.id, 0);
        assert_eq!(manager.ready_bootstrap_server(0, &mut random), None);
        assert_eq!(manager.bootstrap_server_available_ms(0), 2_000);
        manager.response_handled(first.id, id, false, 10);
        let second = manager.ready_bootstrap_server(10, &mut random).unwrap();
        assert_ne!(first, second);
    }
}
