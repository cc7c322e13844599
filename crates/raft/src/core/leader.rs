//! Leads an epoch (`org.apache.kafka.raft.LeaderState`): what each replica has, and so what is committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Endpoint, ReplicaKey, VoterSet};

/// An observer that has not fetched for this long is forgotten, in milliseconds.
pub(super) const OBSERVER_SESSION_TIMEOUT_MS: i64 = 300_000;

/// Who wants to become a voter must have fetched within this time, in milliseconds.
const CAUGHT_UP_WITHIN_MS: i64 = 60 * 60 * 1000;

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

    /// Whether this is the state of `replica`: a voter whose directory is not known may be in any.
    fn matches(&self, replica: &ReplicaKey) -> bool {
        self.key.id == replica.id
            && (self.key.directory_id.is_none() || self.key.directory_id == replica.directory_id)
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
    /// What of the leader's own log is on disk. Kept here too, because a leader may be no voter any more.
    local_end_offset: Option<i64>,
    granting_voters: Vec<i32>,
    high_watermark: Option<i64>,
    voters: BTreeMap<i32, ReplicaState>,
    observers: BTreeMap<ReplicaKey, ReplicaState>,
    /// The voters that fetched since the majority last had.
    fetched_voters: BTreeSet<i32>,
    check_quorum_timeout_ms: i64,
    check_quorum_deadline_ms: i64,
    begin_quorum_epoch_timeout_ms: i64,
    begin_quorum_epoch_deadline_ms: i64,
    resign_requested: bool,
    /// With kraft.version 0: the voters as they describe themselves, for the day of the upgrade.
    volatile_voters: Option<VoterSet>,
}

impl LeaderState {
    pub(super) fn new(
        epoch: i32,
        epoch_start_offset: i64,
        local: ReplicaKey,
        voters: &VoterSet,
        granting_voters: Vec<i32>,
        fetch_timeout_ms: i64,
        now_ms: i64,
    ) -> LeaderState {
        // Invariant: only a voter is elected.
        assert!(voters.is_voter(&local), "{local} is no voter, and was elected");
        let check_quorum_timeout_ms = fetch_timeout_ms + fetch_timeout_ms / 2;
        let mut leader = LeaderState {
            epoch,
            epoch_start_offset,
            local,
            local_end_offset: None,
            granting_voters,
            high_watermark: None,
            voters: BTreeMap::new(),
            observers: BTreeMap::new(),
            fetched_voters: BTreeSet::new(),
            check_quorum_timeout_ms,
            check_quorum_deadline_ms: now_ms.saturating_add(check_quorum_timeout_ms),
            begin_quorum_epoch_timeout_ms: fetch_timeout_ms / 2,
            begin_quorum_epoch_deadline_ms: now_ms,
            resign_requested: false,
            volatile_voters: None,
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

    /// Who elected it, ascending.
    pub fn granting_voters(&self) -> &[i32] {
        &self.granting_voters
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
        let local = self.local;
        self.observers.values().filter(move |state| state.key == local || is_active(state, now_ms))
    }

    /// The leader's log is on disk up to `end_offset`, exclusive. Returns whether the high watermark moved.
    pub fn update_local(&mut self, end_offset: i64) -> bool {
        // Invariant: a leader's log only grows.
        assert!(self.local_end_offset.is_none_or(|before| before <= end_offset), "the leader's log was cut");
        self.local_end_offset = Some(end_offset);
        let local = self.local;
        if let Some(state) = self.voters.get_mut(&local.id).filter(|state| state.matches(&local)) {
            state.end_offset = Some(end_offset);
        } else if let Some(state) = self.observers.get_mut(&local) {
            state.end_offset = Some(end_offset);
        }
        self.update_high_watermark()
    }

    /// A replica fetched from `fetch_offset`, so it has everything below. Returns whether the high watermark moved.
    pub fn update_replica(
        &mut self,
        key: ReplicaKey,
        fetch_offset: i64,
        leader_end_offset: i64,
        now_ms: i64,
    ) -> bool {
        if key.id < 0 || key.id == self.local.id {
            return false;
        }
        if let Some(state) = self.voters.get_mut(&key.id).filter(|state| state.matches(&key)) {
            state.fetched(fetch_offset, leader_end_offset, now_ms);
            self.update_check_quorum(key, now_ms);
            self.update_high_watermark()
        } else {
            let local = self.local;
            self.observers.retain(|known, state| *known == local || is_active(state, now_ms));
            let state = self.observers.entry(key).or_insert_with(|| ReplicaState::new(key, Vec::new()));
            state.fetched(fetch_offset, leader_end_offset, now_ms);
            // A leader that is alone hears from nobody else: its time must not have run out when a second voter comes.
            self.update_check_quorum(key, now_ms);
            false
        }
    }

    /// A voter gave a sign that it follows: once a majority has, the leader may go on as one for another
    /// `controller.quorum.fetch.timeout.ms` and a half (check-quorum).
    pub fn update_check_quorum(&mut self, key: ReplicaKey, now_ms: i64) {
        if self.voters.get(&key.id).is_some_and(|state| state.matches(&key)) && key.id != self.local.id {
            self.fetched_voters.insert(key.id);
        }
        let itself = usize::from(self.voters.get(&self.local.id).is_some_and(|s| s.matches(&self.local)));
        if self.fetched_voters.len() + itself > self.voters.len() / 2 {
            self.fetched_voters.clear();
            self.check_quorum_deadline_ms = now_ms.saturating_add(self.check_quorum_timeout_ms);
        }
    }

    /// When it must resign because no majority follows, in milliseconds; a lone voter never must.
    pub fn check_quorum_deadline_ms(&self) -> i64 {
        let alone = self.voters.len() == 1 && self.voters.contains_key(&self.local.id);
        if alone { i64::MAX } else { self.check_quorum_deadline_ms }
    }

    /// When voters that do not fetch are told again who leads, in milliseconds.
    pub fn begin_quorum_epoch_deadline_ms(&self) -> i64 {
        if self.voters.keys().all(|id| *id == self.local.id) {
            i64::MAX
        } else {
            self.begin_quorum_epoch_deadline_ms
        }
    }

    /// The voters that have not fetched lately, to be told who leads. The next time comes after half a fetch timeout.
    pub fn take_need_begin_quorum_epoch(&mut self, now_ms: i64) -> Vec<ReplicaKey> {
        self.begin_quorum_epoch_deadline_ms = now_ms.saturating_add(self.begin_quorum_epoch_timeout_ms);
        let timeout = self.begin_quorum_epoch_timeout_ms;
        let silent = |state: &&ReplicaState| {
            state.key.id != self.local.id && now_ms.saturating_sub(state.last_fetch_timestamp_ms) >= timeout
        };
        self.voters.values().filter(silent).map(|state| state.key).collect()
    }

    /// Whether `replica`, an observer, has had all of the log and still fetches.
    pub fn is_replica_caught_up(&self, replica: &ReplicaKey, now_ms: i64) -> bool {
        self.observers.get(replica).is_some_and(|state| {
            state.last_caught_up_timestamp_ms > 0
                && state.last_fetch_timestamp_ms > 0
                && state.last_fetch_timestamp_ms > now_ms.saturating_sub(CAUGHT_UP_WITHIN_MS)
        })
    }

    /// The other voters, those with the most of the log first.
    pub fn non_leader_voters_by_descending_fetch_offset(&self) -> Vec<ReplicaKey> {
        let mut others: Vec<&ReplicaState> =
            self.voters.values().filter(|state| !state.matches(&self.local)).collect();
        others.sort_by(|a, b| b.end_offset.cmp(&a.end_offset).then(a.key.cmp(&b.key)));
        others.into_iter().map(|state| state.key).collect()
    }

    /// It will resign at the next occasion.
    pub fn request_resign(&mut self) {
        self.resign_requested = true;
    }

    /// Whether it is to resign.
    pub fn is_resign_requested(&self) -> bool {
        self.resign_requested
    }

    /// The voters as they described themselves, while kraft.version is 0.
    pub fn volatile_voters(&self) -> Option<&VoterSet> {
        self.volatile_voters.as_ref()
    }

    /// A voter described itself, while kraft.version is 0.
    pub fn set_volatile_voters(&mut self, voters: Option<VoterSet>) {
        self.volatile_voters = voters;
    }

    /// The voters changed by a record in the log, committed or not.
    pub fn update_voters(&mut self, voters: &VoterSet) {
        let mut before = std::mem::take(&mut self.voters);
        for node in voters.voters() {
            let known = match before.get(&node.key.id) {
                Some(state) if state.matches(&node.key) => before.remove(&node.key.id),
                _ => self.observers.remove(&node.key),
            };
            let mut state = known.unwrap_or_else(|| ReplicaState::new(node.key, Vec::new()));
            state.key = node.key;
            state.endpoints.clone_from(&node.endpoints);
            self.voters.insert(node.key.id, state);
        }
        for (_, mut state) in before {
            state.endpoints.clear();
            self.observers.entry(state.key).or_insert(state);
        }
        self.fetched_voters.retain(|id| self.voters.contains_key(id));
    }

    /// The largest offset that a majority of the voters has. It counts only once it covers a record of this epoch:
    /// before that, a later leader could still replace it.
    fn update_high_watermark(&mut self) -> bool {
        let mut end_offsets: Vec<Option<i64>> = self.voters.values().map(|state| state.end_offset).collect();
        end_offsets.sort_unstable_by(|a, b| b.cmp(a));
        let Some(Some(offset)) = end_offsets.get(end_offsets.len() / 2).copied() else { return false };
        // It may be less than before where voters were added; what is committed stays so.
        let moves = offset > self.epoch_start_offset && self.high_watermark.is_none_or(|now| offset > now);
        if moves {
            self.high_watermark = Some(offset);
        }
        moves
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

    fn leader(epoch_start_offset: i64, count: i32) -> LeaderState {
        LeaderState::new(3, epoch_start_offset, key(1), &voters(count), vec![1], 2_000, 0)
    }

    #[test]
    fn a_lone_leader_commits_what_it_flushed_of_its_own_epoch() {
        let mut leader = leader(10, 1);
        leader.update_local(10);
        assert_eq!(leader.high_watermark(), None, "nothing of this epoch is on disk yet");
        leader.update_local(11);
        assert_eq!(leader.high_watermark(), Some(11));
    }

    #[test]
    fn of_three_voters_the_second_largest_end_is_committed() {
        let mut leader = leader(10, 3);
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
        let mut leader = leader(10, 1);
        leader.update_replica(key(7), 100, 100, 1_000);
        assert_eq!(leader.high_watermark(), None);
        let observer = leader.observers(1_000).next().unwrap();
        assert_eq!((observer.end_offset, observer.last_caught_up_timestamp_ms), (Some(100), 1_000));
        assert_eq!(leader.observers(1_000 + OBSERVER_SESSION_TIMEOUT_MS).count(), 0);
    }

    #[test]
    fn who_reaches_what_the_leader_had_at_the_fetch_before_was_caught_up_then() {
        let mut leader = leader(0, 1);
        leader.update_replica(key(7), 5, 10, 1_000);
        leader.update_replica(key(7), 10, 20, 2_000);
        assert_eq!(leader.observers(2_000).next().unwrap().last_caught_up_timestamp_ms, 1_000);
    }

    #[test]
    fn without_a_majority_that_fetches_it_must_resign() {
        let mut leader = leader(10, 3);
        assert_eq!(leader.check_quorum_deadline_ms(), 3_000);
        leader.update_replica(key(7), 10, 20, 900);
        assert_eq!(leader.check_quorum_deadline_ms(), 3_000, "an observer is no majority");
        leader.update_replica(key(3), 10, 20, 1_000);
        assert_eq!(leader.check_quorum_deadline_ms(), 4_000);
        assert_eq!(super::tests::leader(10, 1).check_quorum_deadline_ms(), i64::MAX);
    }

    #[test]
    fn a_leader_that_was_alone_has_time_for_its_second_voter() {
        let mut leader = leader(10, 1);
        leader.update_replica(key(2), 10, 20, 100_000);
        leader.update_voters(&voters(2));
        assert_eq!(leader.check_quorum_deadline_ms(), 103_000);
    }

    #[test]
    fn silent_voters_are_told_who_leads_every_half_fetch_timeout() {
        let mut leader = leader(10, 3);
        assert_eq!(leader.begin_quorum_epoch_deadline_ms(), 0);
        leader.update_replica(key(2), 10, 20, 900);
        let ids = |keys: Vec<ReplicaKey>| keys.iter().map(|key| key.id).collect::<Vec<_>>();
        assert_eq!(ids(leader.take_need_begin_quorum_epoch(1_000)), [3]);
        assert_eq!(leader.begin_quorum_epoch_deadline_ms(), 2_000);
        assert_eq!(ids(leader.take_need_begin_quorum_epoch(2_000)), [2, 3]);
    }

    #[test]
    fn a_removed_leader_counts_the_others_only() {
        let mut leader = leader(10, 3);
        leader.update_local(20);
        let others: Vec<_> = (2..=3).map(|id| (id, "localhost".to_owned(), 9093)).collect();
        leader.update_voters(&VoterSet::from_static("CONTROLLER", &others));
        leader.update_replica(key(2), 15, 20, 5);
        assert_eq!(leader.high_watermark(), None);
        leader.update_replica(key(3), 14, 20, 6);
        assert_eq!(leader.high_watermark(), Some(14));
    }
}
