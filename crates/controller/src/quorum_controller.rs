//! The controller (`org.apache.kafka.controller.QuorumController`), without its thread, its queue and its clock.
//!
//! A request and the state make records and an answer; replaying the records makes the next state. Whoever owns the
//! controller appends the records, replays them here, and gives the answer once they are committed. What the active
//! controller replays may be lost if it resigns: [`QuorumController::load_snapshot`] goes back to what is committed.

use metadata::{MetadataRecord, ReplayError};

use crate::activation;
use crate::config::ControllerConfig;
use crate::heartbeat::BrokerHeartbeatManager;
use crate::periodic::PeriodicTasks;
use crate::result::ControllerResult;
use crate::state::ControllerState;

/// The controller of a cluster: active when it leads the quorum, else a follower of the log.
#[derive(Clone, Debug)]
pub struct QuorumController {
    pub(crate) config: ControllerConfig,
    pub(crate) state: ControllerState,
    /// What is known of brokers' lives, while the controller is active.
    pub(crate) heartbeats: Option<BrokerHeartbeatManager>,
    pub(crate) periodic: Option<PeriodicTasks>,
    pub(crate) kraft_version: i16,
    /// The metadata transaction that is open: where it began, and the state before it.
    transaction: Option<(i64, Box<ControllerState>)>,
}

impl QuorumController {
    /// A controller that has read nothing yet.
    pub fn new(config: ControllerConfig) -> QuorumController {
        QuorumController {
            state: ControllerState::new(&config),
            config,
            heartbeats: None,
            periodic: None,
            kraft_version: 0,
            transaction: None,
        }
    }

    /// Whether this controller makes the decisions.
    pub fn is_active(&self) -> bool {
        self.heartbeats.is_some()
    }

    /// The first records that a new cluster gets; raft finds them where the node was formatted.
    pub fn set_bootstrap(&mut self, bootstrap: metadata::BootstrapMetadata) {
        self.config.bootstrap = bootstrap;
    }

    /// Replays a record of the log at its offset: a committed one of another controller, or one of its own that was
    /// just appended. An error means that the log and the state do not belong together; nothing can go on after it.
    pub fn replay(&mut self, record: &MetadataRecord, offset: i64) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::BeginTransaction(_) => {
                if self.transaction.is_some() {
                    return Err(ReplayError::Transaction("a metadata transaction begins within another"));
                }
                self.transaction = Some((offset, Box::new(self.state.clone())));
            }
            MetadataRecord::EndTransaction(_) => {
                let open = self.transaction.take();
                open.ok_or(ReplayError::Transaction("a metadata transaction ends that did not begin"))?;
            }
            MetadataRecord::AbortTransaction(_) => {
                let open = self.transaction.take();
                let (_, before) =
                    open.ok_or(ReplayError::Transaction("a metadata transaction aborts that did not begin"))?;
                self.state = *before;
            }
            record => {
                self.state.replay(record, offset, &self.config)?;
                self.follow_heartbeats(record);
            }
        }
        Ok(())
    }

    /// Keeps what is known of brokers' lives in step with their registrations.
    fn follow_heartbeats(&mut self, record: &MetadataRecord) {
        let Some(heartbeats) = &mut self.heartbeats else { return };
        let changed = match record {
            MetadataRecord::RegisterBroker(record) => {
                heartbeats.remove(record.broker_id);
                record.broker_id
            }
            MetadataRecord::BrokerRegistrationChange(record) => record.broker_id,
            MetadataRecord::FenceBroker(record) => record.id,
            MetadataRecord::UnfenceBroker(record) => record.id,
            MetadataRecord::UnregisterBroker(record) => return heartbeats.remove(record.broker_id),
            _ => return,
        };
        if let Some(broker) = self.state.cluster.broker(changed) {
            heartbeats.register(changed, broker.fenced);
        }
    }

    /// Forgets everything, and begins with a snapshot that contains the log up to an offset. The controller is not
    /// active after it.
    pub fn load_snapshot<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r MetadataRecord>,
        last_contained_offset: i64,
    ) -> Result<(), ReplayError> {
        *self = QuorumController {
            kraft_version: self.kraft_version,
            ..QuorumController::new(self.config.clone())
        };
        for record in records {
            self.state.replay(record, last_contained_offset, &self.config)?;
        }
        Ok(())
    }

    /// Takes over as the active controller, having replayed the log to its end. `kraft_version` is raft's.
    ///
    /// The records begin a new cluster, or clean up what the controller before left open.
    pub fn activate(&mut self, now_ms: i64, kraft_version: i16) -> ControllerResult<()> {
        assert!(!self.is_active(), "Invariant: a controller that is active is not activated");
        self.kraft_version = kraft_version;
        let mut heartbeats = BrokerHeartbeatManager::new(self.config.session_timeout_ms);
        for broker in self.state.cluster.brokers() {
            heartbeats.register(broker.id, broker.fenced);
            if !broker.fenced {
                heartbeats.update_contact_time(broker.id, broker.epoch, now_ms);
            }
        }
        self.heartbeats = Some(heartbeats);
        self.periodic = Some(PeriodicTasks::new(&self.config, now_ms));
        // An open transaction will be aborted: what counts is the state before it.
        let committed = self.transaction.as_ref().map_or(&self.state, |(_, before)| before);
        let min_isr = committed.configs.static_min_insync_replicas();
        match committed.features.metadata_version() {
            None => {
                activation::records_for_empty_log(&self.config.bootstrap, self.transaction.is_some(), min_isr)
            }
            Some(_) => activation::records_for_non_empty_log(self.transaction.is_some()),
        }
    }

    /// Stops being the active controller.
    pub fn deactivate(&mut self) {
        self.heartbeats = None;
        self.periodic = None;
    }

    /// The level of `kraft.version` changed; raft says so.
    pub fn set_kraft_version(&mut self, kraft_version: i16) {
        self.kraft_version = kraft_version;
    }

    /// The finalised `metadata.version`; none while the log is empty.
    pub fn metadata_version(&self) -> Option<metadata::MetadataVersion> {
        self.state.features.metadata_version()
    }
}
