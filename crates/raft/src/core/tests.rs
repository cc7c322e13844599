//! The core by behaviour, and against random events with crashes.

use common::Uuid;
use proptest::prelude::*;

use super::*;

const LOCAL: ReplicaKey = ReplicaKey { id: 1, directory_id: Some(Uuid::from_u128(77)) };

fn voters(ids: &[i32]) -> VoterSet {
    let voters: Vec<_> = ids.iter().map(|id| (*id, "localhost".to_owned(), 9093)).collect();
    VoterSet::from_static("CONTROLLER", &voters)
}

fn core(ids: &[i32]) -> RaftCore {
    RaftCore::new(LOCAL, voters(ids), QuorumConfig::default(), 1)
}

fn start(election: Option<ElectionState>, offset: i64, epoch: i32) -> Event {
    Event::Start { election, log_end: OffsetAndEpoch::new(offset, epoch) }
}

fn persisted(actions: &[Action]) -> Vec<&ElectionState> {
    let mut elections = Vec::new();
    for action in actions {
        if let Action::PersistElection(election) = action {
            elections.push(election);
        }
    }
    elections
}

#[test]
fn a_lone_voter_elects_itself_at_once() {
    let mut core = core(&[1]);
    let actions = core.handle(start(None, 0, 0), 0);
    let voters = BTreeSet::from([1]);
    assert_eq!(
        actions,
        [
            Action::PersistElection(ElectionState::with_unknown_leader(0, voters.clone())),
            Action::PersistElection(ElectionState::with_voted_candidate(1, LOCAL, voters.clone())),
            Action::LeaderChanged(LeaderAndEpoch { leader_id: None, epoch: 1 }),
            Action::PersistElection(ElectionState::with_elected_leader(1, 1, None, voters)),
            Action::BecomeLeader { epoch: 1, voters: vec![1], granting_voters: vec![1] },
            Action::LeaderChanged(LeaderAndEpoch { leader_id: Some(1), epoch: 1 }),
        ]
    );
    assert_eq!(core.high_watermark(), None);
    assert_eq!(core.handle(Event::LogFlushed { end_offset: 1 }, 0), [Action::AdvanceHighWatermark(1)]);
}

#[test]
fn a_leader_that_comes_back_leads_the_next_epoch() {
    let mut core = core(&[1]);
    let before = ElectionState::with_elected_leader(4, 1, None, BTreeSet::from([1]));
    core.handle(start(Some(before), 20, 4), 0);
    assert_eq!(core.leader_and_epoch(), LeaderAndEpoch { leader_id: Some(1), epoch: 5 });
    assert_eq!(core.leader().unwrap().epoch_start_offset(), 20);
}

#[test]
fn a_candidate_that_comes_back_wins_the_epoch_it_stood_in() {
    let mut core = core(&[1]);
    let before = ElectionState::with_voted_candidate(4, LOCAL, BTreeSet::from([1]));
    core.handle(start(Some(before), 20, 3), 0);
    assert_eq!(core.leader_and_epoch(), LeaderAndEpoch { leader_id: Some(1), epoch: 4 });
}

#[test]
fn the_log_knows_a_later_epoch_than_a_lost_quorum_state() {
    let mut core = core(&[1]);
    core.handle(start(None, 20, 9), 0);
    assert_eq!(core.epoch(), 10);
}

#[test]
fn a_follower_whose_leader_is_gone_from_the_voters_takes_over() {
    let mut core = core(&[1]);
    let before = ElectionState::with_elected_leader(4, 2, None, BTreeSet::from([1, 2]));
    core.handle(start(Some(before), 20, 4), 0);
    assert_eq!(core.leader_and_epoch(), LeaderAndEpoch { leader_id: Some(1), epoch: 5 });
}

#[test]
fn one_voter_of_three_does_not_elect_itself() {
    let mut core = core(&[1, 2, 3]);
    core.handle(start(None, 0, 0), 0);
    assert_eq!(core.state().name(), "Unattached");
    let deadline = core.next_tick_ms().unwrap();
    assert!((1_000..2_000).contains(&deadline));
    assert_eq!(core.handle(Event::Tick, deadline - 1), []);
    core.handle(Event::Tick, deadline);
    assert_eq!(core.state().name(), "Prospective");
    assert_eq!(core.epoch(), 0, "a pre-vote disturbs nobody");
}

#[test]
fn who_is_no_voter_never_stands() {
    let mut core = core(&[2]);
    core.handle(start(None, 0, 0), 0);
    assert_eq!(core.handle(Event::Tick, i64::MAX - 1), []);
    assert_eq!(core.state().name(), "Unattached");
}

#[test]
fn a_leader_that_resigns_leads_again_only_in_a_later_epoch() {
    let mut core = core(&[1]);
    core.handle(start(None, 0, 0), 0);
    assert_eq!(core.handle(Event::Resign { epoch: 0 }, 10), [], "an epoch that is over");
    assert_eq!(
        core.handle(Event::Resign { epoch: 1 }, 10),
        [Action::LeaderChanged(LeaderAndEpoch { leader_id: None, epoch: 1 })]
    );
    assert_eq!(core.state().name(), "Resigned");
    for _ in 0..2 {
        let deadline = core.next_tick_ms().unwrap();
        core.handle(Event::Tick, deadline);
    }
    assert_eq!(core.leader_and_epoch(), LeaderAndEpoch { leader_id: Some(1), epoch: 3 });
}

/// What the property test does to a node.
#[derive(Clone, Debug)]
enum Step {
    Append(i64),
    Flush,
    Observe(i64),
    Resign,
    Wait(i64),
    /// The process dies after this many of the actions that the last event asked for, and comes back. What was
    /// appended and not flushed is lost.
    Crash(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1i64..5).prop_map(Step::Append),
        Just(Step::Flush),
        (0i64..50).prop_map(Step::Observe),
        Just(Step::Resign),
        (0i64..3_000).prop_map(Step::Wait),
        (0usize..6).prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A disk: what survives a crash.
#[derive(Default)]
struct World {
    election: Option<ElectionState>,
    /// The epoch of each record, by offset; those up to `flushed` survive.
    log: Vec<i32>,
    flushed: usize,
    committed: i64,
    led_epochs: BTreeSet<i32>,
}

impl World {
    /// Carries out actions, the first `limit` of them only.
    fn perform(&mut self, actions: &[Action], limit: usize) {
        for action in actions.iter().take(limit) {
            match action {
                Action::PersistElection(election) => {
                    if let Some(before) = &self.election {
                        assert!(before.epoch <= election.epoch);
                        let kept = before.voted_key.is_none()
                            || before.epoch < election.epoch
                            || election.voted_key == before.voted_key
                            || election.is_leader(LOCAL.id);
                        assert!(kept, "a vote was forgotten: {before:?}, then {election:?}");
                    }
                    self.election = Some(election.clone());
                }
                Action::BecomeLeader { epoch, .. } => {
                    assert!(self.led_epochs.insert(*epoch), "epoch {epoch} was led twice");
                    assert!(
                        self.election.as_ref().is_some_and(|e| e.is_leader(LOCAL.id) && e.epoch == *epoch)
                    );
                    assert!(self.log.last().is_none_or(|last| last < epoch));
                    self.log.push(*epoch);
                }
                Action::AdvanceHighWatermark(offset) => {
                    assert!(*offset as usize <= self.flushed, "committed what is not on disk");
                    assert!(*offset > self.committed || self.committed == 0);
                    self.committed = self.committed.max(*offset);
                }
                Action::LeaderChanged(_) => {}
            }
        }
    }

    fn log_end(&self) -> OffsetAndEpoch {
        OffsetAndEpoch::new(self.log.len() as i64, self.log.last().copied().unwrap_or(0))
    }
}

proptest! {
    #[test]
    fn no_epoch_is_led_twice_and_nothing_committed_is_lost(steps in steps()) {
        let mut world = World::default();
        let mut now_ms = 0;
        let mut core = core(&[1]);
        let actions = core.handle(Event::Start { election: None, log_end: world.log_end() }, now_ms);
        world.perform(&actions, usize::MAX);
        let mut last: Vec<Action> = Vec::new();
        for step in steps {
            let event = match step {
                Step::Append(count) => {
                    if let Some(leader) = core.leader() {
                        world.log.extend(std::iter::repeat_n(leader.epoch(), count as usize));
                    }
                    continue;
                }
                Step::Flush => {
                    world.flushed = world.log.len();
                    Event::LogFlushed { end_offset: world.flushed as i64 }
                }
                Step::Observe(fetch_offset) => Event::Fetched {
                    replica: ReplicaKey::new(9, Uuid::from_u128(9)),
                    fetch_offset,
                    log_end_offset: world.log.len() as i64,
                },
                Step::Resign => Event::Resign { epoch: core.epoch() },
                Step::Wait(ms) => {
                    now_ms += ms;
                    Event::Tick
                }
                Step::Crash(done) => {
                    // A start that is cut short after `done` actions, and then one that is not.
                    world.log.truncate(world.flushed);
                    for limit in [done, usize::MAX] {
                        core = RaftCore::new(LOCAL, voters(&[1]), QuorumConfig::default(), now_ms as u64);
                        let event = Event::Start { election: world.election.clone(), log_end: world.log_end() };
                        last = core.handle(event, now_ms);
                        world.perform(&last, limit);
                        if limit != usize::MAX {
                            world.log.truncate(world.flushed);
                        }
                    }
                    prop_assert!(world.committed as usize <= world.log.len());
                    continue;
                }
            };
            last = core.handle(event, now_ms);
            world.perform(&last, usize::MAX);
        }
        // Every directory that was left behind opens.
        prop_assert!(persisted(&last).len() <= 3);
    }
}
