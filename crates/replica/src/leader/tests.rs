use super::*;
use crate::testing::registration;

const MAX_LAG_MS: i64 = 100;

fn broker() -> LocalBroker {
    let broker = LocalBroker::new(1, MAX_LAG_MS);
    broker.set_epoch(10);
    broker.set_eligible([(1, 10), (2, 20), (3, 30)].into_iter());
    broker
}

fn at(offset: i64) -> LogOffsetMetadata {
    LogOffsetMetadata::offset_only(offset)
}

fn position(broker_id: i32) -> FollowerPosition {
    FollowerPosition { broker_id, broker_epoch: i64::from(broker_id) * 10, log_start_offset: 0 }
}

/// Leads since offset 5 at time 1000.
fn state(registration: &PartitionRegistration) -> LeaderState {
    let mut state = LeaderState::new(5, 7);
    state.follow_metadata(&[], registration, 1, false, 5, 1000);
    state
}

fn fetch(state: &mut LeaderState, from: i32, offset: i64, leader_end: i64, now_ms: i64) -> Option<bool> {
    state.on_fetch(&position(from), at(offset), leader_end, &broker(), now_ms)
}

fn committed(state: &LeaderState, registration: &PartitionRegistration, end: i64, now_ms: i64) -> i64 {
    state.replicated_to(registration, at(end), &broker(), now_ms).message_offset
}

#[test]
fn committed_is_what_everybody_in_sync_has() {
    let partition = registration(&[1, 2, 3], &[1, 2, 3], 1);
    let mut state = state(&partition);
    assert_eq!(committed(&state, &partition, 9, 1000), -1);
    fetch(&mut state, 2, 9, 9, 1000);
    assert_eq!(committed(&state, &partition, 9, 1000), -1);
    assert_eq!(fetch(&mut state, 3, 7, 9, 1000), Some(true));
    assert_eq!(committed(&state, &partition, 9, 1000), 7);
    assert_eq!(fetch(&mut state, 3, 7, 9, 1000), Some(false));
    // Lagging does not free the leader from waiting, only the controller does.
    assert_eq!(committed(&state, &partition, 9, 99_000), 7);
    let shrunk = registration(&[1, 2, 3], &[1, 2], 1);
    assert_eq!(committed(&state, &shrunk, 9, 99_000), 9);
}

#[test]
fn a_follower_that_is_about_to_join_is_waited_for_if_it_may_join() {
    let partition = registration(&[1, 2], &[1], 1);
    let mut state = state(&partition);
    assert_eq!(committed(&state, &partition, 9, 1000), 9);
    fetch(&mut state, 2, 9, 9, 1000);
    assert_eq!(committed(&state, &partition, 12, 1000), 9);
    assert_eq!(committed(&state, &partition, 12, 1000 + MAX_LAG_MS + 1), 12);
    let fenced = broker();
    fenced.set_eligible([(1, 10)].into_iter());
    assert_eq!(state.replicated_to(&partition, at(12), &fenced, 1000).message_offset, 12);
}

#[test]
fn a_follower_that_the_controller_has_taken_out_is_waited_for_when_it_fetches_again() {
    let partition = registration(&[1, 2, 3], &[1, 2, 3], 1);
    let mut state = state(&partition);
    fetch(&mut state, 2, 9, 9, 1000);
    fetch(&mut state, 3, 9, 9, 1000);
    // Its log directory has failed; its broker lives.
    let without = registration(&[1, 2, 3], &[1, 2], 1);
    state.follow_metadata(&partition.isr, &without, 1, false, 5, 1001);
    fetch(&mut state, 2, 12, 12, 1002);
    assert_eq!(committed(&state, &without, 12, 1002), 12);
    // It is back, with all that there is.
    fetch(&mut state, 3, 12, 12, 1003);
    assert_eq!(committed(&state, &without, 13, 1003), 12);
    // One that was out before, and caught up, is waited for as ever.
    state.follow_metadata(&without.isr, &without, 1, false, 5, 1004);
    fetch(&mut state, 2, 13, 13, 1004);
    assert_eq!(committed(&state, &without, 13, 1004), 12);
}

#[test]
fn who_has_all_that_is_committed_joins() {
    let partition = registration(&[1, 2, 3], &[1], 1);
    let mut state = state(&partition);
    fetch(&mut state, 2, 7, 9, 1000);
    assert!(!state.maybe_expand(&partition, 2, 8, &broker()), "below the high watermark");
    fetch(&mut state, 2, 4, 9, 1000);
    assert!(!state.maybe_expand(&partition, 2, 0, &broker()), "before the epoch");
    fetch(&mut state, 2, 8, 9, 1000);
    assert!(!state.maybe_expand(&partition, 3, 0, &broker()), "has never fetched");
    assert!(state.maybe_expand(&partition, 2, 8, &broker()));
    assert_eq!(state.pending().map(|pending| pending.isr.clone()), Some(vec![(1, 10), (2, 20)]));
    assert_eq!(state.maximal_isr_size(&partition), 2);
    // It counts as in sync from now on, however long the controller takes.
    assert_eq!(committed(&state, &partition, 20, 99_000), 8);
    fetch(&mut state, 3, 9, 9, 1000);
    assert!(!state.maybe_expand(&partition, 3, 8, &broker()), "one change at a time");
    state.settle();
    assert!(state.maybe_expand(&partition, 3, 8, &broker()));
}

#[test]
fn a_broker_of_an_earlier_life_neither_counts_nor_joins() {
    let partition = registration(&[1, 2], &[1], 1);
    let mut state = state(&partition);
    let stale = FollowerPosition { broker_epoch: 19, ..position(2) };
    assert_eq!(state.on_fetch(&stale, at(9), 9, &broker(), 1000), None);
    let unknown = FollowerPosition { broker_id: 4, ..stale };
    assert_eq!(state.on_fetch(&unknown, at(9), 9, &broker(), 1000), None);
    fetch(&mut state, 2, 9, 9, 1000);
    let again = broker();
    again.set_eligible([(1, 10), (2, 21)].into_iter());
    assert!(!state.maybe_expand(&partition, 2, 0, &again), "it has started anew since it fetched");
    // Before version 15 followers do not say in which life they are.
    let silent = FollowerPosition { broker_epoch: -1, ..position(2) };
    assert_eq!(state.on_fetch(&silent, at(9), 9, &again, 1000), Some(false));
    assert!(state.maybe_expand(&partition, 2, 0, &again));
}

#[test]
fn who_does_not_catch_up_for_too_long_leaves() {
    let partition = registration(&[1, 2, 3], &[1, 2, 3], 1);
    let mut state = state(&partition);
    let later = 1000 + MAX_LAG_MS;
    assert!(state.maybe_shrink(&partition, 9, &broker(), later).is_empty());
    fetch(&mut state, 2, 6, 9, later);
    // Never at the end, but each time with all that was there at the fetch before.
    fetch(&mut state, 3, 9, 9, 1050);
    fetch(&mut state, 3, 9, 12, later);
    assert_eq!(state.maybe_shrink(&partition, 15, &broker(), later + 1), [2]);
    assert_eq!(state.pending().map(|pending| pending.isr.clone()), Some(vec![(1, 10), (3, 30)]));
    // The one that is to leave still counts until the controller has said so.
    assert_eq!(committed(&state, &partition, 15, later + 1), 6);
    assert!(state.maybe_shrink(&partition, 15, &broker(), later + 1000).is_empty(), "one change at a time");
    // With everything it stays however long ago it fetched.
    state.settle();
    fetch(&mut state, 2, 15, 15, later);
    fetch(&mut state, 3, 15, 15, later);
    assert!(state.maybe_shrink(&partition, 15, &broker(), later + 100_000).is_empty());
}

#[test]
fn a_new_epoch_gives_followers_in_sync_time_and_metadata_settle_what_was_asked() {
    let partition = registration(&[1, 2, 3], &[1, 2], 1);
    let mut state = state(&partition);
    fetch(&mut state, 2, 6, 9, 1000);
    fetch(&mut state, 3, 9, 9, 1000);
    assert!(state.maybe_expand(&partition, 3, 6, &broker()));
    state.begin_epoch(9);
    state.follow_metadata(&partition.isr, &partition, 1, true, 9, 5000);
    assert_eq!(state.pending(), None);
    assert!(state.maybe_shrink(&partition, 9, &broker(), 5000 + MAX_LAG_MS).is_empty());
    // Where a follower is stays known.
    assert_eq!(committed(&state, &partition, 9, 5000), 6);
    assert_eq!(state.low_watermark(3, &broker()), 0);
    assert_eq!(state.readable_at(&partition, 6, 5010).collect::<Vec<_>>(), [(2, 6, 10)]);
    assert_eq!(state.readable_at(&partition, 7, 5010).count(), 0);
}
