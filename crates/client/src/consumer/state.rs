//! Where a consumer is in its partitions: shared by who polls and by the task that fetches.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::TopicPartition;
use tokio::sync::Notify;

use super::fetched::Fetched;
use super::{ConsumerConfig, StartOffset};
use crate::ClientError;
use crate::cluster::Cluster;

/// What a consumer's owner and its fetching task share.
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) config: ConsumerConfig,
    state: Mutex<State>,
    /// Told when something was fetched, or failed.
    pub(super) arrived: Notify,
    /// Told when there may be something to fetch.
    pub(super) wanted: Notify,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) partitions: HashMap<TopicPartition, PartitionState>,
    /// In the order of arrival.
    pub(super) fetched: VecDeque<Fetched>,
    /// What the next poll fails with, once the records before it are returned.
    pub(super) error: Option<ClientError>,
    last_generation: u64,
}

/// Where a consumer is in a partition.
pub(super) struct PartitionState {
    /// Counts assignments and seeks: what was fetched for an earlier one is dropped.
    pub(super) generation: u64,
    /// Where the next fetch begins.
    pub(super) fetch: FetchPosition,
    /// The offset of the next record that is returned, once it is known.
    pub(super) consumed: Option<i64>,
    /// A request for it is under way.
    pub(super) in_flight: bool,
    /// Bytes that were fetched and not returned yet.
    pub(super) buffered: usize,
    /// After an error: when to try again.
    pub(super) not_before: Option<Instant>,
}

/// Where a fetch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchPosition {
    /// The leader has to be asked.
    Unknown(StartOffset),
    /// At an offset.
    At(i64),
    /// Nowhere: an error was reported, and only a seek helps.
    Failed,
}

impl Shared {
    pub(super) fn new(cluster: Cluster, config: ConsumerConfig) -> Shared {
        Shared { cluster, config, state: Mutex::default(), arrived: Notify::new(), wanted: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a partition to a place; whatever was fetched of it is dropped.
    pub(super) fn place(&mut self, partition: &TopicPartition, start: StartOffset) {
        self.last_generation += 1;
        self.fetched.retain(|fetched| fetched.partition != *partition);
        let at = match start {
            StartOffset::At(offset) => Some(offset),
            _ => None,
        };
        let state = PartitionState {
            generation: self.last_generation,
            fetch: at.map_or(FetchPosition::Unknown(start), FetchPosition::At),
            consumed: at,
            in_flight: false,
            buffered: 0,
            not_before: None,
        };
        self.partitions.insert(partition.clone(), state);
    }

    /// The partition's state, if it is still the one that something was fetched for.
    pub(super) fn current(
        &mut self,
        partition: &TopicPartition,
        generation: u64,
    ) -> Option<&mut PartitionState> {
        self.partitions.get_mut(partition).filter(|state| state.generation == generation)
    }
}
