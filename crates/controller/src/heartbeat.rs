//! Who of the brokers is alive (`org.apache.kafka.controller.BrokerHeartbeatManager`, `BrokerHeartbeatTracker`).
//!
//! Soft state of the active controller: it stands in no record, and a new active controller begins with every unfenced
//! broker just heard of.

use std::collections::BTreeMap;

use protocol::messages::BrokerHeartbeatRequest;

/// What the controller grants a broker (`BrokerControlState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerControlState {
    /// It takes no part.
    Fenced,
    /// It takes part.
    Unfenced,
    /// It hands over what it leads.
    ControlledShutdown,
    /// It may stop.
    ShutdownNow,
}

impl BrokerControlState {
    /// Whether the broker is fenced in this state.
    pub fn fenced(self) -> bool {
        matches!(self, BrokerControlState::Fenced | BrokerControlState::ShutdownNow)
    }
}

#[derive(Clone, Debug)]
struct BrokerHeartbeatState {
    fenced: bool,
    /// How far in the metadata log the broker said it is; -1 if it has not.
    metadata_offset: i64,
    /// The end of the log when the broker entered controlled shutdown; -1 if it has not.
    controlled_shutdown_offset: i64,
}

impl BrokerHeartbeatState {
    fn shutting_down(&self) -> bool {
        self.controlled_shutdown_offset >= 0
    }

    fn control_state(&self) -> BrokerControlState {
        if self.shutting_down() {
            BrokerControlState::ControlledShutdown
        } else if self.fenced {
            BrokerControlState::Fenced
        } else {
            BrokerControlState::Unfenced
        }
    }
}

/// The brokers' sessions and what each is waiting for.
#[derive(Clone, Debug)]
pub struct BrokerHeartbeatManager {
    session_timeout_ms: i64,
    brokers: BTreeMap<i32, BrokerHeartbeatState>,
    /// When each incarnation (broker id, broker epoch) was last heard of.
    contact_times: BTreeMap<(i32, i64), i64>,
}

impl BrokerHeartbeatManager {
    /// Nobody was heard of yet.
    pub fn new(session_timeout_ms: i64) -> BrokerHeartbeatManager {
        BrokerHeartbeatManager {
            session_timeout_ms,
            brokers: BTreeMap::new(),
            contact_times: BTreeMap::new(),
        }
    }

    /// A broker was heard of.
    pub fn update_contact_time(&mut self, broker_id: i32, broker_epoch: i64, now_ms: i64) {
        self.contact_times.insert((broker_id, broker_epoch), now_ms);
    }

    fn is_expired(&self, contact_ms: i64, now_ms: i64) -> bool {
        contact_ms.saturating_add(self.session_timeout_ms) < now_ms
    }

    /// Whether a broker's session still runs.
    pub fn has_valid_session(&self, broker_id: i32, broker_epoch: i64, now_ms: i64) -> bool {
        self.contact_times
            .get(&(broker_id, broker_epoch))
            .is_some_and(|contact_ms| !self.is_expired(*contact_ms, now_ms))
    }

    /// Ends whatever session a broker has: its process is known to be gone.
    pub fn end_session(&mut self, broker_id: i32) {
        self.contact_times.retain(|(id, _), _| *id != broker_id);
    }

    /// Forgets one session that is over, and says whose it was.
    pub fn remove_expired(&mut self, now_ms: i64) -> Option<(i32, i64)> {
        let expired = self.contact_times.iter().find(|(_, contact_ms)| self.is_expired(**contact_ms, now_ms));
        let session = *expired?.0;
        self.contact_times.remove(&session);
        Some(session)
    }

    /// A broker's registration was replayed.
    pub fn register(&mut self, broker_id: i32, fenced: bool) {
        match self.brokers.get(&broker_id) {
            Some(broker) if broker.fenced != fenced => {
                let metadata_offset = broker.metadata_offset;
                self.touch(broker_id, fenced, metadata_offset);
            }
            Some(_) => self.touch(broker_id, fenced, -1),
            None => {
                let broker =
                    BrokerHeartbeatState { fenced, metadata_offset: -1, controlled_shutdown_offset: -1 };
                self.brokers.insert(broker_id, broker);
            }
        }
    }

    /// Notes what a broker's heartbeat said.
    pub fn touch(&mut self, broker_id: i32, fenced: bool, metadata_offset: i64) {
        if let Some(broker) = self.brokers.get_mut(&broker_id) {
            broker.fenced = fenced;
            broker.metadata_offset = metadata_offset;
            if fenced {
                broker.controlled_shutdown_offset = -1;
            }
        }
    }

    /// Fences a broker here; the records that say so are on their way.
    pub fn fence(&mut self, broker_id: i32) {
        if let Some(broker) = self.brokers.get_mut(&broker_id) {
            broker.fenced = true;
        }
    }

    /// Forgets a broker.
    pub fn remove(&mut self, broker_id: i32) {
        self.brokers.remove(&broker_id);
    }

    /// Whether the broker is known and not about to stop: it may get new replicas.
    pub fn usable(&self) -> impl Iterator<Item = (i32, bool)> {
        let usable = self.brokers.iter().filter(|(_, broker)| !broker.shutting_down());
        usable.map(|(id, broker)| (*id, broker.fenced))
    }

    /// How far the slowest broker that takes part has read the metadata log.
    fn lowest_active_offset(&self) -> i64 {
        let active = self.brokers.values().filter(|broker| !broker.fenced && !broker.shutting_down());
        active.map(|broker| broker.metadata_offset).min().unwrap_or(i64::MAX)
    }

    /// The broker enters controlled shutdown: it may stop when every other has read the log up to here.
    pub fn maybe_update_controlled_shutdown_offset(&mut self, broker_id: i32, offset: i64) {
        if let Some(broker) = self.brokers.get_mut(&broker_id) {
            assert!(!broker.fenced, "Invariant: a fenced broker does not enter controlled shutdown");
            if broker.controlled_shutdown_offset < 0 {
                broker.controlled_shutdown_offset = offset;
            }
        }
    }

    /// The state that a broker is in and the one that a heartbeat brings it to. None if it is not registered.
    pub fn next_state(
        &self,
        request: &BrokerHeartbeatRequest,
        register_broker_record_offset: i64,
        has_leaderships: bool,
    ) -> Option<(BrokerControlState, BrokerControlState)> {
        use BrokerControlState::{ControlledShutdown, Fenced, ShutdownNow, Unfenced};
        let broker = self.brokers.get(&request.broker_id)?;
        let current = broker.control_state();
        let next = match current {
            Fenced if request.want_shut_down => ShutdownNow,
            // A broker takes part again only when it knows of its own registration, and of all before it.
            Fenced
                if !request.want_fence
                    && request.current_metadata_offset >= register_broker_record_offset =>
            {
                Unfenced
            }
            Fenced => Fenced,
            Unfenced if request.want_fence && request.want_shut_down => ShutdownNow,
            Unfenced if request.want_fence => Fenced,
            Unfenced if request.want_shut_down && has_leaderships => ControlledShutdown,
            Unfenced if request.want_shut_down => ShutdownNow,
            Unfenced => Unfenced,
            ControlledShutdown if has_leaderships => ControlledShutdown,
            ControlledShutdown if broker.controlled_shutdown_offset <= self.lowest_active_offset() => {
                ShutdownNow
            }
            ControlledShutdown => ControlledShutdown,
            ShutdownNow => ShutdownNow,
        };
        Some((current, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(
        broker_id: i32,
        offset: i64,
        want_fence: bool,
        want_shut_down: bool,
    ) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest {
            broker_id,
            current_metadata_offset: offset,
            want_fence,
            want_shut_down,
            ..BrokerHeartbeatRequest::default()
        }
    }

    fn next(
        manager: &BrokerHeartbeatManager,
        request: &BrokerHeartbeatRequest,
        leads: bool,
    ) -> BrokerControlState {
        manager.next_state(request, 100, leads).unwrap().1
    }

    #[test]
    fn a_broker_is_unfenced_when_it_has_read_its_registration() {
        let mut manager = BrokerHeartbeatManager::new(9000);
        manager.register(1, true);
        assert_eq!(next(&manager, &heartbeat(1, 99, false, false), false), BrokerControlState::Fenced);
        assert_eq!(next(&manager, &heartbeat(1, 100, true, false), false), BrokerControlState::Fenced);
        assert_eq!(next(&manager, &heartbeat(1, 100, false, false), false), BrokerControlState::Unfenced);
        assert_eq!(next(&manager, &heartbeat(1, 0, true, true), false), BrokerControlState::ShutdownNow);
    }

    #[test]
    fn a_broker_that_leads_hands_over_before_it_stops() {
        let mut manager = BrokerHeartbeatManager::new(9000);
        manager.register(1, false);
        manager.register(2, false);
        manager.touch(2, false, 150);
        let stop = heartbeat(1, 200, false, true);
        assert_eq!(next(&manager, &stop, false), BrokerControlState::ShutdownNow);
        assert_eq!(next(&manager, &stop, true), BrokerControlState::ControlledShutdown);
        manager.maybe_update_controlled_shutdown_offset(1, 180);
        assert_eq!(next(&manager, &stop, true), BrokerControlState::ControlledShutdown);
        // Broker 2 does not know yet that it has to take over.
        assert_eq!(next(&manager, &stop, false), BrokerControlState::ControlledShutdown);
        manager.touch(2, false, 180);
        assert_eq!(next(&manager, &stop, false), BrokerControlState::ShutdownNow);
        assert_eq!(manager.usable().collect::<Vec<_>>(), [(2, false)]);
    }

    #[test]
    fn sessions_end_when_nothing_is_heard_for_longer_than_the_timeout() {
        let mut manager = BrokerHeartbeatManager::new(9000);
        manager.update_contact_time(1, 7, 1000);
        assert!(manager.has_valid_session(1, 7, 10_000));
        assert!(!manager.has_valid_session(1, 7, 10_001));
        assert!(!manager.has_valid_session(1, 8, 1000));
        assert_eq!(manager.remove_expired(10_000), None);
        assert_eq!(manager.remove_expired(10_001), Some((1, 7)));
        assert_eq!(manager.remove_expired(10_001), None);
    }
}
