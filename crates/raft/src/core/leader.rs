//! Leads an epoch (`org.apache.kafka.raft.LeaderState`): what each replica has, and so what is committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ElectionState, Endpoint, ReplicaKey, VoterSet};

/// An observer that has not fetched for this long is forgotten, in milliseconds.
pub(super) const OBSERVER_SESSION_TIMEOUT_MS: i64 = 300_000;

/// What the leader knows of a replica (`LeaderState.ReplicaState`). Times are -1 where there was no fetch; the leader's
/// own are not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// The replica.
    pub key: ReplicaKey,
    /// Where it listens; empty for observers.
    pub endpoints: Vec<Endpoint>,
    /// The end of its log, exclusive.
    pub end_offset: Option<i64>,
    /// When it fetched last, in milliseconds.
    pub last_fetch_timestamp_ms: i64,
    /// When it had last all that the leader had, in milliseconds.
    pub last_caught_up_timestamp_ms: i64,
    last_fetch_leader_log_end_offset: i64,
}

impl ReplicaState {
    fn new(key: ReplicaKey, endpoints: Vec<Endpoint>) -> ReplicaState {
        ReplicaState {
            key,
            endpoints,
            end_offset: None,
            last_fetch_timestamp_ms: -1,
            last_caught_up_timestamp_ms: -1,
            last_fetch_leader_log_end_offset: -1,
        }
    }

    fn fetched(&mut self, fetch_offset: i64, leader_end_offset: i64, now_ms: i64) {
        if fetch_offset >= leader_end_offset {
            self.last_caught_up_timestamp_ms = self.last_caught_up_timestamp_ms.max(now_ms);
        } else if self.last_fetch_leader_log_end_offset > 0
            && fetch_offset >= self.last_fetch_leader_log_end_offset
        {
            // It has now what the leader had at the fetch before.
            self.last_caught_up_timestamp_ms =
                self.last_caught_up_timestamp_ms.max(self.last_fetch_timestamp_ms);
        }
        self.last_fetch_leader_log_end_offset = leader_end_offset;
        self.last_fetch_timestamp_ms = self.last_fetch_timestamp_ms.max(now_ms);
        self.end_offset = Some(fetch_offset);
    }
}

/// The leader of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderState {
    epoch: i32,
    epoch_start_offset: i64,
    local: ReplicaKey,
    high_watermark: Option<i64>,
    voters: BTreeMap<i32, ReplicaState>,
    observers: BTreeMap<ReplicaKey, ReplicaState>,
}

impl LeaderState {
    pub(super) fn new(
        epoch: i32,
        epoch_start_offset: i64,
        local: ReplicaKey,
        voters: &VoterSet,
    ) -> LeaderState {
        // Invariant: only a voter leads.
        assert!(voters.is_voter(&local), "{local} is no voter, and was elected");
        let mut leader = LeaderState {
            epoch,
            epoch_start_offset,
            local,
            high_watermark: None,
            voters: BTreeMap::new(),
            observers: BTreeMap::new(),
        };
        leader.update_voters(voters);
        leader
    }

    /// The epoch it leads.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Where the epoch starts: the offset of its LeaderChange record.
    pub fn epoch_start_offset(&self) -> i64 {
        self.epoch_start_offset
    }

    /// What is committed, exclusive; none until a record of this epoch is.
    pub fn high_watermark(&self) -> Option<i64> {
        self.high_watermark
    }

    /// The voters, by node id.
    pub fn voters(&self) -> impl Iterator<Item = &ReplicaState> {
        self.voters.values()
    }

    /// The observers that fetched in the last five minutes before `now_ms`.
    pub fn observers(&self, now_ms: i64) -> impl Iterator<Item = &ReplicaState> {
        self.observers.values().filter(move |state| is_active(state, now_ms))
    }

    pub(super) fn election(&self, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState::with_elected_leader(self.epoch, self.local.id, None, voters)
    }

    pub(super) fn update_local(&mut self, end_offset: i64) {
        if let Some(state) = self.voters.get_mut(&self.local.id) {
            // Invariant: a leader's log only grows.
            assert!(
                state.end_offset.is_none_or(|before| before <= end_offset),
                "the leader's log was truncated"
            );
            state.end_offset = Some(end_offset);
        }
        self.update_high_watermark();
    }

    pub(super) fn update_replica(
        &mut self,
        key: ReplicaKey,
        fetch_offset: i64,
        leader_end_offset: i64,
        now_ms: i64,
    ) {
        if key.id == self.local.id {
            return;
        }
        let voter = self
            .voters
            .get_mut(&key.id)
            .filter(|state| state.key.directory_id.is_none() || state.key.directory_id == key.directory_id);
        if let Some(state) = voter {
            state.fetched(fetch_offset, leader_end_offset, now_ms);
            self.update_high_watermark();
        } else {
            self.observers.retain(|_, state| is_active(state, now_ms));
            let state = self.observers.entry(key).or_insert_with(|| ReplicaState::new(key, Vec::new()));
            state.fetched(fetch_offset, leader_end_offset, now_ms);
        }
    }

    pub(super) fn update_voters(&mut self, voters: &VoterSet) {
        let mut before = std::mem::take(&mut self.voters);
        for node in voters.voters() {
            let known = before.remove(&node.key.id).or_else(|| self.observers.remove(&node.key));
            let mut state = known.unwrap_or_else(|| ReplicaState::new(node.key, Vec::new()));
            state.key = node.key;
            state.endpoints.clone_from(&node.endpoints);
            self.voters.insert(node.key.id, state);
        }
        for (_, mut state) in before {
            state.endpoints.clear();
            self.observers.entry(state.key).or_insert(state);
        }
    }

    /// The largest offset that a majority of the voters has. It counts only once it covers a record of this epoch:
    /// before that, a later leader could still replace it.
    fn update_high_watermark(&mut self) {
        let mut end_offsets: Vec<Option<i64>> = self.voters.values().map(|state| state.end_offset).collect();
        end_offsets.sort_unstable_by(|a, b| b.cmp(a));
        let Some(Some(offset)) = end_offsets.get(end_offsets.len() / 2).copied() else { return };
        if offset > self.epoch_start_offset && self.high_watermark.is_none_or(|now| offset > now) {
            self.high_watermark = Some(offset);
        }
    }
}

fn is_active(state: &ReplicaState, now_ms: i64) -> bool {
    now_ms.saturating_sub(state.last_fetch_timestamp_ms) < OBSERVER_SESSION_TIMEOUT_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::Uuid;

    fn voters(count: i32) -> VoterSet {
        let voters: Vec<_> = (1..=count).map(|id| (id, "localhost".to_owned(), 9093)).collect();
        VoterSet::from_static("CONTROLLER", &voters)
    }

    fn key(id: i32) -> ReplicaKey {
        ReplicaKey::new(id, Uuid::from_u128(1000 + id as u128))
    }

    #[test]
    fn a_lone_leader_commits_what_it_flushed_of_its_own_epoch() {
        let mut leader = LeaderState::new(3, 10, key(1), &voters(1));
        leader.update_local(10);
        assert_eq!(leader.high_watermark(), None, "nothing of this epoch is on disk yet");
        leader.update_local(11);
        assert_eq!(leader.high_watermark(), Some(11));
    }

    #[test]
    fn of_three_voters_the_second_largest_end_is_committed() {
        let mut leader = LeaderState::new(3, 10, key(1), &voters(3));
        leader.update_local(20);
        assert_eq!(leader.high_watermark(), None);
        leader.update_replica(key(2), 15, 20, 5);
        assert_eq!(leader.high_watermark(), Some(15));
        leader.update_replica(key(3), 18, 20, 6);
        assert_eq!(leader.high_watermark(), Some(18));
        leader.update_replica(key(3), 12, 20, 7);
        assert_eq!(leader.high_watermark(), Some(18), "it never falls");
    }

    #[test]
    fn observers_count_for_nothing_and_are_forgotten() {
        let mut leader = LeaderState::new(3, 10, key(1), &voters(1));
        leader.update_replica(key(7), 100, 100, 1_000);
        assert_eq!(leader.high_watermark(), None);
        let observer = leader.observers(1_000).next().unwrap();
        assert_eq!((observer.end_offset, observer.last_caught_up_timestamp_ms), (Some(100), 1_000));
        assert_eq!(leader.observers(1_000 + OBSERVER_SESSION_TIMEOUT_MS).count(), 0);
    }

    #[test]
    fn who_reaches_what_the_leader_had_at_the_fetch_before_was_caught_up_then() {
        let mut leader = LeaderState::new(3, 0, key(1), &voters(1));
        leader.update_replica(key(7), 5, 10, 1_000);
        leader.update_replica(key(7), 10, 20, 2_000);
        assert_eq!(leader.observers(2_000).next().unwrap().last_caught_up_timestamp_ms, 1_000);
    }
}
