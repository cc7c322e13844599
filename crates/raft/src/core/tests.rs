//! The states by behaviour. What whole quorums do is in `tests/quorum.rs`.

use common::Uuid;

use super::*;
use crate::Endpoint;

const LOCAL: ReplicaKey = ReplicaKey { id: 1, directory_id: Some(Uuid::from_u128(77)) };
const OTHER: ReplicaKey = ReplicaKey { id: 2, directory_id: Some(Uuid::from_u128(78)) };

fn voters(ids: &[i32]) -> VoterSet {
    let voters: Vec<_> = ids.iter().map(|id| (*id, "localhost".to_owned(), 9093)).collect();
    VoterSet::from_static("CONTROLLER", &voters)
}

fn start(ids: &[i32], election: Option<ElectionState>, log_end_epoch: i32) -> QuorumState {
    QuorumState::start(LOCAL, QuorumConfig::default(), 1, election, log_end_epoch, &voters(ids), 0)
}

fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new("CONTROLLER", "localhost", 9093)]
}

fn asks(pre_vote: bool, is_log_up_to_date: bool) -> Ballot {
    Ballot { replica: OTHER, is_log_up_to_date, pre_vote }
}

#[test]
fn a_new_replica_waits_between_one_and_two_election_timeouts() {
    let quorum = start(&[1, 2, 3], None, 0);
    let EpochState::Unattached(state) = quorum.state() else { panic!("{}", quorum.state().name()) };
    assert!((1_000..2_000).contains(&state.election_deadline_ms()));
    let EpochState::Unattached(observer) = start(&[2, 3], None, 0).state else { panic!() };
    assert_eq!(observer.election_deadline_ms(), i64::MAX, "who is no voter never stands");
}

#[test]
fn a_leader_that_comes_back_is_resigned() {
    let before = ElectionState::with_elected_leader(4, 1, None, BTreeSet::new());
    let quorum = start(&[1, 2, 3], Some(before), 4);
    assert_eq!(quorum.state().name(), "Resigned");
    assert!(!quorum.can_grant_vote(asks(false, true)), "it was the leader of this epoch");
    assert!(quorum.can_grant_vote(asks(true, true)) && !quorum.can_grant_vote(asks(true, false)));
}

#[test]
fn a_leader_that_comes_back_and_is_no_voter_any_more_asks_who_leads() {
    let before = ElectionState::with_elected_leader(4, 1, None, BTreeSet::new());
    let quorum = start(&[2, 3], Some(before), 4);
    let EpochState::Resigned(state) = quorum.state() else { panic!("{}", quorum.state().name()) };
    assert!((1_000..2_000).contains(&state.election_deadline_ms()));
}

#[test]
fn a_candidate_that_comes_back_stands_in_the_same_epoch() {
    let before = ElectionState::with_voted_candidate(4, LOCAL, BTreeSet::new());
    let quorum = start(&[1, 2, 3], Some(before), 3);
    assert_eq!((quorum.state().name(), quorum.epoch()), ("Candidate", 4));
}

#[test]
fn the_log_may_know_a_later_epoch_than_quorum_state() {
    let before = ElectionState::with_voted_candidate(4, OTHER, BTreeSet::new());
    let quorum = start(&[1, 2, 3], Some(before), 9);
    assert_eq!((quorum.state().name(), quorum.epoch(), quorum.voted_key()), ("Unattached", 9, None));
}

#[test]
fn a_leader_of_an_old_voter_set_is_not_followed() {
    let before = ElectionState::with_elected_leader(4, 9, Some(OTHER), BTreeSet::new());
    let quorum = start(&[1, 2, 3], Some(before.clone()), 4);
    assert_eq!(quorum.state().name(), "Unattached");
    assert_eq!(quorum.election(&VoterSet::default()), before, "nothing is forgotten");
    let known = ElectionState::with_elected_leader(4, 2, None, BTreeSet::new());
    assert_eq!(start(&[1, 2, 3], Some(known), 4).state().name(), "Follower");
}

#[test]
fn one_vote_in_an_epoch() {
    let voters = voters(&[1, 2, 3]);
    let mut quorum = start(&[1, 2, 3], None, 0);
    quorum.transition_to_unattached(5, None, &voters, 0);
    assert!(!quorum.can_grant_vote(asks(false, false)), "its log lacks something");
    assert!(quorum.can_grant_vote(asks(false, true)));
    quorum.add_voted(OTHER, &voters, 0);
    assert!(quorum.can_grant_vote(asks(false, true)), "the same vote again");
    let third = Ballot { replica: ReplicaKey { id: 3, directory_id: None }, ..asks(false, true) };
    assert!(!quorum.can_grant_vote(third));
    assert!(quorum.can_grant_vote(Ballot { pre_vote: true, ..third }), "a pre-vote promises nothing");
    quorum.transition_to_follower(5, 2, endpoints(), 0);
    assert_eq!(quorum.election(&voters).voted_key, Some(OTHER), "the vote stays with the epoch");
    quorum.transition_to_unattached(6, None, &voters, 0);
    assert_eq!(quorum.voted_key(), None);
}

#[test]
fn a_follower_grants_a_pre_vote_only_before_it_heard_from_its_leader_or_once_that_goes_or_is_gone() {
    let mut quorum = start(&[1, 2, 3], None, 0);
    quorum.transition_to_follower(5, 3, endpoints(), 0);
    assert!(quorum.can_grant_vote(asks(true, true)) && !quorum.can_grant_vote(asks(false, true)));
    quorum.follower_mut().unwrap().reset_fetch_timeout(10);
    assert!(!quorum.can_grant_vote(asks(true, true)));
    quorum.follower_mut().unwrap().leader_goes(20, 500);
    assert!(quorum.can_grant_vote(asks(true, true)) && !quorum.can_grant_vote(asks(false, true)));
    quorum.follower_mut().unwrap().reset_fetch_timeout(30);
    assert!(quorum.follower_mut().unwrap().leader_is_gone(50));
    assert_eq!(quorum.follower_mut().unwrap().fetch_deadline_ms(), 50);
    assert!(quorum.can_grant_vote(asks(true, true)));
}

#[test]
fn an_election_goes_from_the_pre_vote_to_the_lead() {
    let voters = voters(&[1, 2, 3]);
    let mut quorum = start(&[1, 2, 3], None, 0);
    quorum.transition_to_prospective(&voters, 0);
    assert_eq!(quorum.epoch(), 0, "a pre-vote disturbs nobody");
    quorum.transition_to_candidate(&voters, 0);
    assert_eq!((quorum.epoch(), quorum.voted_key()), (1, Some(LOCAL)));
    let EpochState::Candidate(candidate) = quorum.state_mut() else { panic!() };
    candidate.epoch_election_mut().record_vote(3, true);
    quorum.transition_to_leader(7, &voters, 0);
    let leader = quorum.leader().unwrap();
    assert_eq!((leader.epoch_start_offset(), leader.granting_voters()), (7, &[1, 3][..]));
    assert!(!quorum.can_grant_vote(asks(true, true)), "it leads");
    let expected = ElectionState::with_elected_leader(1, 1, None, BTreeSet::from([1, 2, 3]));
    assert_eq!(quorum.election(&voters), expected);
    quorum.transition_to_resigned(vec![OTHER], &voters, 0);
    assert_eq!(quorum.election(&voters), expected, "the disk need not know");
}

#[test]
fn a_vote_during_the_pre_vote_begins_it_anew() {
    let voters = voters(&[1, 2, 3]);
    let mut quorum = start(&[1, 2, 3], None, 0);
    quorum.transition_to_prospective(&voters, 0);
    let EpochState::Prospective(state) = quorum.state_mut() else { panic!() };
    state.epoch_election_mut().record_vote(3, false);
    quorum.add_voted(OTHER, &voters, 100);
    let EpochState::Prospective(state) = quorum.state() else { panic!() };
    assert_eq!(state.epoch_election().unrecorded_voters(), [2, 3]);
    assert_eq!(quorum.voted_key(), Some(OTHER));
}
