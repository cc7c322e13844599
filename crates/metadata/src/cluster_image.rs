//! The registered brokers and controllers (`org.apache.kafka.image.ClusterImage`, `ClusterDelta`).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::{
    BrokerRegistrationChangeRecord, FenceBrokerRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UnfenceBrokerRecord, UnregisterBrokerRecord, UnregisterControllerRecord,
};

use crate::broker_registration::{BrokerRegistration, RegistrationChange};
use crate::controller_registration::ControllerRegistration;
use crate::error::ReplayError;
use crate::writer::ImageWriter;

/// The registered brokers and controllers, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterImage {
    /// The brokers, fenced ones included.
    pub brokers: BTreeMap<i32, Arc<BrokerRegistration>>,
    /// The controllers.
    pub controllers: BTreeMap<i32, Arc<ControllerRegistration>>,
}

impl ClusterImage {
    /// Whether no broker is registered.
    pub fn is_empty(&self) -> bool {
        self.brokers.is_empty()
    }

    /// The broker with this id.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// The epoch of the broker with this id, or -1.
    pub fn broker_epoch(&self, id: i32) -> i64 {
        self.broker(id).map_or(-1, |broker| broker.epoch)
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        for broker in self.brokers.values() {
            broker.write(writer);
        }
        if self.controllers.is_empty() {
            return;
        }
        if !writer.metadata_version().is_controller_registration_supported() {
            writer.lose("controller registration data");
            return;
        }
        for controller in self.controllers.values() {
            controller.write(writer);
        }
    }
}

/// What changed of the brokers and controllers; none means gone.
#[derive(Clone, Debug)]
pub struct ClusterDelta {
    image: Arc<ClusterImage>,
    /// The brokers that changed.
    pub changed_brokers: BTreeMap<i32, Option<Arc<BrokerRegistration>>>,
    /// The controllers that changed.
    pub changed_controllers: BTreeMap<i32, Option<Arc<ControllerRegistration>>>,
}

impl ClusterDelta {
    pub(crate) fn new(image: &Arc<ClusterImage>) -> ClusterDelta {
        ClusterDelta {
            image: Arc::clone(image),
            changed_brokers: BTreeMap::new(),
            changed_controllers: BTreeMap::new(),
        }
    }

    /// The broker with this id, with the changes so far.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        match self.changed_brokers.get(&id) {
            Some(change) => change.as_ref(),
            None => self.image.broker(id),
        }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for id in self.image.brokers.keys() {
            self.changed_brokers.entry(*id).or_insert(None);
        }
        for id in self.image.controllers.keys() {
            self.changed_controllers.entry(*id).or_insert(None);
        }
    }

    pub(crate) fn register_broker(&mut self, record: &RegisterBrokerRecord) {
        let broker = Arc::new(BrokerRegistration::from_record(record));
        self.changed_brokers.insert(record.broker_id, Some(broker));
    }

    pub(crate) fn unregister_broker(&mut self, record: &UnregisterBrokerRecord) {
        self.changed_brokers.insert(record.broker_id, None);
    }

    pub(crate) fn register_controller(&mut self, record: &RegisterControllerRecord) {
        let controller = Arc::new(ControllerRegistration::from_record(record));
        self.changed_controllers.insert(record.controller_id, Some(controller));
    }

    pub(crate) fn unregister_controller(&mut self, record: &UnregisterControllerRecord) {
        self.changed_controllers.insert(record.controller_id, None);
    }

    pub(crate) fn fence_broker(&mut self, record: &FenceBrokerRecord) -> Result<(), ReplayError> {
        let change = RegistrationChange { fenced: Some(true), ..RegistrationChange::default() };
        self.change_broker(record.id, record.epoch, change)
    }

    pub(crate) fn unfence_broker(&mut self, record: &UnfenceBrokerRecord) -> Result<(), ReplayError> {
        let change = RegistrationChange { fenced: Some(false), ..RegistrationChange::default() };
        self.change_broker(record.id, record.epoch, change)
    }

    pub(crate) fn change_registration(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
    ) -> Result<(), ReplayError> {
        self.change_broker(record.broker_id, record.broker_epoch, RegistrationChange::from_record(record)?)
    }

    fn change_broker(&mut self, id: i32, epoch: i64, change: RegistrationChange) -> Result<(), ReplayError> {
        let current = self.broker(id).ok_or(ReplayError::UnknownBroker(id))?;
        if current.epoch != epoch {
            return Err(ReplayError::BrokerEpochMismatch {
                broker_id: id,
                registered: current.epoch,
                recorded: epoch,
            });
        }
        let next = current.with(change);
        if next != **current {
            self.changed_brokers.insert(id, Some(Arc::new(next)));
        }
        Ok(())
    }

    pub(crate) fn apply(&self) -> ClusterImage {
        let mut image = (*self.image).clone();
        apply_changes(&mut image.brokers, &self.changed_brokers);
        apply_changes(&mut image.controllers, &self.changed_controllers);
        image
    }
}

impl RegistrationChange {
    /// The change that a record makes.
    pub fn from_record(record: &BrokerRegistrationChangeRecord) -> Result<RegistrationChange, ReplayError> {
        let fenced = match record.fenced {
            -1 => Some(false),
            0 => None,
            1 => Some(true),
            value => return Err(ReplayError::InvalidValue { field: "fencing change", value: value.into() }),
        };
        let in_controlled_shutdown = match record.in_controlled_shutdown {
            0 => None,
            1 => Some(true),
            value => {
                return Err(ReplayError::InvalidValue {
                    field: "controlled shutdown change",
                    value: value.into(),
                });
            }
        };
        // An empty list of directories is what a record without the field reads as, and a broker with none left stops.
        let directories = (!record.log_dirs.is_empty()).then(|| record.log_dirs.clone());
        let cordoned_directories = record.cordoned_log_dirs.clone();
        Ok(RegistrationChange { fenced, in_controlled_shutdown, directories, cordoned_directories })
    }
}

/// Puts changed values into a map and takes those out that are gone.
pub(crate) fn apply_changes<K: Ord + Clone, V: Clone>(
    map: &mut BTreeMap<K, V>,
    changes: &BTreeMap<K, Option<V>>,
) {
    for (key, change) in changes {
        match change {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}
