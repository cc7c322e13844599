//! What partitions know of the brokers: this one, and who else is alive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use metadata::MetadataImage;

/// This broker, and those that may be in sync with it. Shared by all partitions.
pub struct LocalBroker {
    node_id: i32,
    /// This broker's epoch, -1 before it is registered.
    epoch: AtomicI64,
    replica_lag_time_max_ms: i64,
    /// The epochs of the brokers that may join an ISR: those that are neither fenced nor about to stop.
    eligible: ArcSwap<HashMap<i32, i64, RandomState>>,
}

impl LocalBroker {
    /// A broker with its id and its `replica.lag.time.max.ms`.
    pub fn new(node_id: i32, replica_lag_time_max_ms: i64) -> LocalBroker {
        LocalBroker {
            node_id,
            epoch: AtomicI64::new(-1),
            replica_lag_time_max_ms,
            eligible: ArcSwap::default(),
        }
    }

    /// The broker's id.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// The broker's epoch, -1 before it is registered.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The broker was registered.
    pub fn set_epoch(&self, epoch: i64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    /// `replica.lag.time.max.ms`.
    pub fn replica_lag_time_max_ms(&self) -> i64 {
        self.replica_lag_time_max_ms
    }

    /// Follows the metadata.
    pub fn follow(&self, image: &MetadataImage) {
        let brokers = image.cluster.brokers.values();
        self.set_eligible(
            brokers.filter(|broker| broker.is_active()).map(|broker| (broker.id, broker.epoch)),
        );
    }

    /// The brokers that may join an ISR, with their epochs.
    pub fn set_eligible(&self, brokers: impl Iterator<Item = (i32, i64)>) {
        self.eligible.store(std::sync::Arc::new(brokers.collect()));
    }

    /// The epoch of a broker that may join an ISR.
    pub(crate) fn eligible_epoch(&self, broker_id: i32) -> Option<i64> {
        self.eligible.load().get(&broker_id).copied()
    }
}
