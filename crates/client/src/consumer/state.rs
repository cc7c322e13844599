//! Where a consumer is in its partitions: shared by who polls and by the task that fetches.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::TopicPartition;
use tokio::sync::Notify;

use super::commit::{OffsetAndMetadata, Offsets};
use super::fetched::Fetched;
use super::group::Group;
use super::session::FetchSession;
use super::{ConsumerConfig, StartOffset};
use crate::ClientError;
use crate::cluster::Cluster;

/// What a consumer's owner and its fetching task share.
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) config: ConsumerConfig,
    state: Mutex<State>,
    /// The consumer's place in its group, if it has one.
    pub(super) group: Option<Arc<Group>>,
    /// Told when something was fetched, or failed, or the application has a turn in its group.
    pub(super) arrived: Arc<Notify>,
    /// Told when there may be something to fetch.
    pub(super) wanted: Notify,
    /// The fetch sessions, by broker.
    sessions: Mutex<HashMap<i32, FetchSession>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) partitions: HashMap<TopicPartition, PartitionState>,
    /// In the order of arrival.
    pub(super) fetched: VecDeque<Fetched>,
    /// What the next poll fails with, once the records before it are returned.
    pub(super) error: Option<ClientError>,
    last_generation: u64,
    /// Where partitions come from, where there is no group to know it.
    pub(super) is_assigned: bool,
    /// The poll that is under way, or the next one, is to end.
    pub(super) is_woken: bool,
}

/// Where a consumer is in a partition.
pub(super) struct PartitionState {
    /// Counts assignments and seeks: what was fetched for an earlier one is dropped.
    pub(super) generation: u64,
    /// Where the next fetch begins.
    pub(super) fetch: FetchPosition,
    /// The epoch of the leader that the record before that came from; none is never looked into.
    pub(super) fetch_epoch: Option<i32>,
    /// The leader's epoch that this place was compared with.
    pub(super) validated_epoch: i32,
    /// The offset of the next record that is returned, once it is known.
    pub(super) consumed: Option<i64>,
    /// The epoch of the leader that the last record came from, for commits.
    pub(super) consumed_epoch: Option<i32>,
    /// The application does not want more for now.
    pub(super) is_paused: bool,
    /// The application has not heard of it yet: nothing is fetched before.
    pub(super) is_new: bool,
    /// The end of what can be read, by the last answer: the high watermark, or the last stable offset.
    pub(super) end: Option<i64>,
    /// A replica that is nearer than the leader, by the leader's word, and until when that holds (KIP-392).
    pub(super) preferred: Option<(i32, Instant)>,
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
        let arrived = Arc::new(Notify::new());
        let group = Group::new(cluster.clone(), &config, Arc::clone(&arrived)).map(Arc::new);
        let (state, sessions, wanted) = (Mutex::default(), Mutex::default(), Notify::new());
        Shared { cluster, config, state, group, arrived, wanted, sessions }
    }

    /// Whether partitions come from a group.
    pub(super) fn is_subscribed(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_subscribed())
    }

    /// Taken for moments only, and never while the state is.
    pub(super) fn sessions(&self) -> MutexGuard<'_, HashMap<i32, FetchSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
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
        let before = self.partitions.get(partition);
        let at = match start {
            StartOffset::At(offset) => Some(offset),
            _ => None,
        };
        let state = PartitionState {
            generation: self.last_generation,
            fetch: at.map_or(FetchPosition::Unknown(start), FetchPosition::At),
            fetch_epoch: None,
            validated_epoch: -1,
            consumed: at,
            consumed_epoch: None,
            is_paused: before.is_some_and(|before| before.is_paused),
            is_new: before.is_some_and(|before| before.is_new),
            end: before.and_then(|before| before.end),
            preferred: before.and_then(|before| before.preferred),
            in_flight: false,
            buffered: 0,
            not_before: None,
        };
        self.partitions.insert(partition.clone(), state);
    }

    /// The log ends before the place, by a new leader's word: goes on with its end.
    pub(super) fn truncate(&mut self, partition: &TopicPartition, end: i64) {
        let consumed = self.partitions.get(partition).and_then(|known| known.consumed);
        self.place(partition, StartOffset::At(end));
        if let Some(known) = self.partitions.get_mut(partition) {
            known.consumed = Some(consumed.map_or(end, |consumed| consumed.min(end)));
        }
    }

    /// Puts partitions to where their group is, which the application has not heard of yet.
    pub(super) fn place_new(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.place(partition, StartOffset::Committed);
            if let Some(placed) = self.partitions.get_mut(partition) {
                placed.is_new = true;
            }
        }
    }

    /// Reads partitions no more; what was fetched of them is dropped.
    pub(super) fn remove(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.fetched.retain(|fetched| self.partitions.contains_key(&fetched.partition));
    }

    /// Where the application is, of all partitions or some.
    pub(super) fn positions(&self, of: impl Fn(&TopicPartition) -> bool) -> Offsets {
        let position = |(partition, state): (&TopicPartition, &PartitionState)| {
            let offset = state.consumed.filter(|_| of(partition))?;
            let position =
                OffsetAndMetadata { offset, leader_epoch: state.consumed_epoch, metadata: String::new() };
            Some((partition.clone(), position))
        };
        self.partitions.iter().filter_map(position).collect()
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
