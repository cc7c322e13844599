//! The registered brokers and controllers (`org.apache.kafka.controller.ClusterControlManager`).

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use metadata::{BrokerRegistration, ControllerRegistration, RegistrationChange, ReplayError, directory_id};
use protocol::messages::{
    BrokerRegistrationChangeRecord, RegisterBrokerRecord, RegisterControllerRecord, UnregisterBrokerRecord,
    UnregisterControllerRecord,
};

use crate::api_error::ApiError;

/// The registered brokers and controllers.
#[derive(Clone, Debug, Default)]
pub struct ClusterControlManager {
    brokers: BTreeMap<i32, Arc<BrokerRegistration>>,
    /// Where in the log each broker's newest registration stands: it is unfenced when it has read so far.
    register_broker_record_offsets: BTreeMap<i32, i64>,
    controllers: BTreeMap<i32, Arc<ControllerRegistration>>,
    directory_to_broker: BTreeMap<Uuid, i32>,
}

impl ClusterControlManager {
    /// The registered brokers by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// The registered controllers by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerRegistration>> {
        self.controllers.values()
    }

    /// A registered broker.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// Whether a controller is registered.
    pub fn has_controller(&self, id: i32) -> bool {
        self.controllers.contains_key(&id)
    }

    /// Where in the log a broker's newest registration stands.
    pub fn register_broker_record_offset(&self, id: i32) -> Option<i64> {
        self.register_broker_record_offsets.get(&id).copied()
    }

    /// The broker that has a directory.
    pub fn directory_owner(&self, directory: &Uuid) -> Option<i32> {
        self.directory_to_broker.get(directory).copied()
    }

    /// Whether a broker is registered, not fenced, and not about to stop.
    pub fn is_active(&self, id: i32) -> bool {
        self.broker(id).is_some_and(|broker| broker.is_active())
    }

    /// Whether a broker has a directory online.
    pub fn has_online_dir(&self, id: i32, directory: Uuid) -> bool {
        self.broker(id).is_some_and(|broker| broker.has_online_dir(directory))
    }

    /// The directory that a new replica on a broker is put on record with: the only one, or none yet.
    pub fn default_dir(&self, id: i32) -> Uuid {
        match self.broker(id).map(|broker| broker.directories.as_slice()) {
            None => directory_id::UNASSIGNED,
            Some([]) => directory_id::MIGRATING,
            Some([only]) => *only,
            Some(_) => directory_id::UNASSIGNED,
        }
    }

    /// Refuses what a broker says that is not the registered incarnation.
    pub fn check_broker_epoch(&self, id: i32, epoch: i64) -> Result<&Arc<BrokerRegistration>, ApiError> {
        let stale = |message| ApiError::new(ErrorCode::StaleBrokerEpoch, message);
        let broker = self
            .broker(id)
            .ok_or_else(|| stale(format!("No broker registration found for broker id {id}")))?;
        if broker.epoch != epoch {
            let message = format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch);
            return Err(stale(message));
        }
        Ok(broker)
    }

    /// Replays a broker's registration at an offset of the log.
    pub fn replay_register_broker(
        &mut self,
        record: &RegisterBrokerRecord,
        offset: i64,
    ) -> Result<(), ReplayError> {
        let broker = Arc::new(BrokerRegistration::from_record(record));
        self.update_directories(broker.id, &broker.directories)?;
        self.register_broker_record_offsets.insert(broker.id, offset);
        self.brokers.insert(broker.id, broker);
        Ok(())
    }

    /// Replays that a broker is gone.
    pub fn replay_unregister_broker(&mut self, record: &UnregisterBrokerRecord) -> Result<(), ReplayError> {
        self.broker_with_epoch(record.broker_id, record.broker_epoch)?;
        self.update_directories(record.broker_id, &[])?;
        self.register_broker_record_offsets.remove(&record.broker_id);
        self.brokers.remove(&record.broker_id);
        Ok(())
    }

    fn broker_with_epoch(&self, id: i32, epoch: i64) -> Result<&Arc<BrokerRegistration>, ReplayError> {
        let broker = self.broker(id).ok_or(ReplayError::UnknownBroker(id))?;
        if broker.epoch != epoch {
            let registered = broker.epoch;
            return Err(ReplayError::BrokerEpochMismatch { broker_id: id, registered, recorded: epoch });
        }
        Ok(broker)
    }

    /// Replays a change of a broker's registration; gives whether the broker is fenced now.
    pub fn replay_change(&mut self, record: &BrokerRegistrationChangeRecord) -> Result<bool, ReplayError> {
        self.change(record.broker_id, record.broker_epoch, RegistrationChange::from_record(record)?)
    }

    /// Replays one of the older records that fence and unfence; gives whether the broker is fenced now.
    pub fn replay_fencing(&mut self, id: i32, epoch: i64, fenced: bool) -> Result<bool, ReplayError> {
        self.change(id, epoch, RegistrationChange { fenced: Some(fenced), ..RegistrationChange::default() })
    }

    fn change(&mut self, id: i32, epoch: i64, change: RegistrationChange) -> Result<bool, ReplayError> {
        let next = self.broker_with_epoch(id, epoch)?.with(change);
        self.update_directories(id, &next.directories)?;
        let fenced = next.fenced;
        self.brokers.insert(id, Arc::new(next));
        Ok(fenced)
    }

    fn update_directories(&mut self, id: i32, directories: &[Uuid]) -> Result<(), ReplayError> {
        for directory in directories {
            if let Some(owner) = self.directory_owner(directory)
                && owner != id
            {
                return Err(ReplayError::DirectoryTaken { directory: *directory, owner });
            }
        }
        let before = self.brokers.get(&id).map(|broker| broker.directories.clone()).unwrap_or_default();
        for directory in before {
            self.directory_to_broker.remove(&directory);
        }
        for directory in directories {
            self.directory_to_broker.insert(*directory, id);
        }
        Ok(())
    }

    /// Replays a controller's registration.
    pub fn replay_register_controller(&mut self, record: &RegisterControllerRecord) {
        let controller = Arc::new(ControllerRegistration::from_record(record));
        self.controllers.insert(controller.id, controller);
    }

    /// Replays that a controller is gone.
    pub fn replay_unregister_controller(
        &mut self,
        record: &UnregisterControllerRecord,
    ) -> Result<(), ReplayError> {
        let gone = self.controllers.remove(&record.controller_id);
        gone.map(drop).ok_or(ReplayError::UnknownController(record.controller_id))
    }
}
