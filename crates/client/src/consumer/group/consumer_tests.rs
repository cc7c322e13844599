//! The way of a member through a group of KIP-848, heartbeat by heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::consumer::ConsumerMember;
use super::membership::*;
use crate::ClientError;

const BACKOFF: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_secs(5);
const ID: Uuid = Uuid::from_u128(7);

fn settings() -> Settings {
    Settings {
        group_id: "g".to_owned(),
        instance_id: None,
        rack: Some("r".to_owned()),
        assignors: Vec::new(),
        remote_assignor: Some("uniform".to_owned()),
        session_timeout: Duration::from_secs(45),
        heartbeat_interval: Duration::from_secs(3),
        max_poll_interval: Duration::from_secs(300),
        retry_backoff: BACKOFF,
    }
}

fn partitions(of: &[i32]) -> Vec<TopicPartition> {
    of.iter().map(|partition| TopicPartition::new("t", *partition)).collect()
}

struct Case {
    member: ConsumerMember,
    now: Instant,
}

impl Case {
    fn new() -> Case {
        Case::with(settings())
    }

    fn with(settings: Settings) -> Case {
        let now = Instant::now();
        let mut case = Case { member: ConsumerMember::new(settings, "me".to_owned(), now), now };
        case.member.subscribe(["t".to_owned()].into());
        case
    }

    fn later(&mut self, by: Duration) -> &mut Case {
        self.now += by;
        self
    }

    fn ask(&mut self) -> ConsumerGroupHeartbeatRequest {
        match self.member.step(self.now) {
            Step::Send(Ask::ConsumerHeartbeat(request)) => request,
            step => panic!("{step:?}"),
        }
    }

    fn waits(&mut self) -> bool {
        matches!(self.member.step(self.now), Step::Wait(_))
    }

    fn answer(&mut self, epoch: i32, assignment: Option<&[i32]>) {
        let of = |partitions: &[i32]| Assignment {
            topic_partitions: vec![TopicPartitions { topic_id: ID, partitions: partitions.to_vec() }],
        };
        let response = ConsumerGroupHeartbeatResponse {
            member_epoch: epoch,
            heartbeat_interval_ms: INTERVAL.as_millis() as i32,
            assignment: assignment.map(of),
            ..Default::default()
        };
        self.member.answered(Ok(Answer::ConsumerHeartbeat(response)), self.now);
    }

    fn refuse(&mut self, code: ErrorCode) -> Coordinator {
        let response = ConsumerGroupHeartbeatResponse { error_code: code.code(), ..Default::default() };
        self.member.answered(Ok(Answer::ConsumerHeartbeat(response)), self.now)
    }

    fn name(&mut self) {
        let Step::Name(ids) = self.member.step(self.now) else { panic!() };
        assert_eq!(ids, [ID]);
        self.member.named(BTreeMap::from([(ID, "t".to_owned())]), self.now);
    }

    fn turn(&mut self) -> Turn {
        let turn = self.member.take_turn().unwrap();
        self.member.end_turn(self.now);
        turn
    }

    /// In the group, with these partitions, and the coordinator knows it.
    fn settle(&mut self, of: &[i32]) {
        self.ask();
        self.answer(1, Some(of));
        self.name();
        self.turn();
        self.ask();
        self.answer(1, None);
    }
}

fn told(request: &ConsumerGroupHeartbeatRequest) -> Option<Vec<i32>> {
    let topics = request.topic_partitions.as_ref()?;
    assert!(topics.iter().all(|topic| topic.topic_id == ID));
    Some(topics.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

#[test]
fn a_member_joins_takes_over_and_says_so() {
    let mut case = Case::new();
    let join = case.ask();
    assert_eq!((join.member_id.as_str(), join.member_epoch, join.rebalance_timeout_ms), ("me", 0, 300_000));
    assert_eq!(join.subscribed_topic_names, Some(vec!["t".to_owned()]));
    assert_eq!((join.server_assignor.as_deref(), join.rack_id.as_deref()), (Some("uniform"), Some("r")));
    assert_eq!((told(&join), join.subscribed_topic_regex), (Some(Vec::new()), None));
    assert!(case.waits() && case.member.is_rebalancing());
    case.answer(3, Some(&[0, 1]));
    case.name();
    assert_eq!(case.member.metadata().generation_id, 3);
    // Heartbeats go on while the application takes its time, and do not claim what it has not taken over.
    assert!(case.waits());
    case.later(INTERVAL);
    let meanwhile = case.ask();
    assert_eq!((meanwhile.member_epoch, told(&meanwhile)), (3, None));
    case.answer(3, None);
    assert_eq!(case.turn(), Turn { assigned: Some(partitions(&[0, 1])), ..Turn::default() });
    // Then at once.
    let done = case.ask();
    assert_eq!(told(&done), Some(vec![0, 1]));
    assert_eq!(
        (done.subscribed_topic_names, done.rebalance_timeout_ms, done.server_assignor),
        (None, -1, None)
    );
    case.answer(3, None);
    assert!(case.waits());
    assert_eq!(told(&case.later(INTERVAL).ask()), None);
}

#[test]
fn what_is_to_go_is_committed_and_let_go_of_before_something_comes() {
    let mut case = Case::new();
    case.settle(&[0, 1]);
    case.later(INTERVAL).ask();
    case.answer(1, Some(&[0]));
    let turn = case.turn();
    assert_eq!(
        turn,
        Turn { commit: true, revoked: Some(partitions(&[1])), assigned: Some(vec![]), ..Turn::default() }
    );
    assert_eq!(told(&case.ask()), Some(vec![0]));
    // Another target while the application is at its turn: that is the next turn.
    case.answer(2, Some(&[0, 2]));
    assert_eq!(case.member.take_turn().unwrap().assigned, Some(partitions(&[2])));
    case.later(INTERVAL).ask();
    case.answer(3, Some(&[2]));
    case.member.end_turn(case.now);
    let turn = case.turn();
    assert_eq!((turn.revoked, turn.assigned), (Some(partitions(&[0])), Some(vec![])));
    assert_eq!(told(&case.ask()), Some(vec![2]));
}

#[test]
fn a_target_that_is_taken_back_before_the_turn_leaves_nothing_to_do() {
    let mut case = Case::new();
    case.settle(&[0]);
    case.later(INTERVAL).ask();
    case.answer(2, Some(&[0, 1]));
    case.later(INTERVAL).ask();
    case.answer(3, Some(&[0]));
    assert!(case.member.take_turn().is_none());
}

#[test]
fn who_is_fenced_has_lost_what_it_had_and_joins_again() {
    for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut case = Case::new();
        case.settle(&[0, 1]);
        case.later(INTERVAL).ask();
        case.refuse(code);
        assert_eq!(case.member.metadata().generation_id, -1);
        assert!(case.later(BACKOFF).waits());
        assert_eq!(case.turn(), Turn { lost: Some(partitions(&[0, 1])), ..Turn::default() });
        let join = case.ask();
        assert_eq!((join.member_epoch, told(&join)), (0, Some(Vec::new())));
        assert_eq!(join.subscribed_topic_names, Some(vec!["t".to_owned()]));
    }
}

#[test]
fn who_is_fenced_in_the_middle_of_a_turn_loses_what_that_brought() {
    let mut case = Case::new();
    case.settle(&[0]);
    case.later(INTERVAL).ask();
    case.answer(2, Some(&[0, 1]));
    assert!(case.member.take_turn().is_some());
    case.later(INTERVAL).ask();
    case.refuse(ErrorCode::FencedMemberEpoch);
    case.member.end_turn(case.now);
    assert_eq!(case.turn().lost, Some(partitions(&[0, 1])));
    assert_eq!(case.later(BACKOFF).ask().member_epoch, 0);
}

#[test]
fn what_passes_is_waited_out_and_what_does_not_is_told() {
    use ErrorCode as E;
    for (code, coordinator) in [
        (E::CoordinatorLoadInProgress, Coordinator::Known),
        (E::NotCoordinator, Coordinator::Unknown),
        (E::CoordinatorNotAvailable, Coordinator::Unknown),
    ] {
        let mut case = Case::new();
        case.ask();
        assert_eq!(case.refuse(code), coordinator, "{code}");
        assert!(case.waits());
        assert_eq!(case.later(BACKOFF).ask().member_epoch, 0);
    }
    for code in [
        E::GroupAuthorizationFailed,
        E::InvalidRequest,
        E::GroupMaxSizeReached,
        E::UnsupportedAssignor,
        E::UnreleasedInstanceId,
        E::FencedInstanceId,
        E::InvalidRegularExpression,
        E::UnsupportedVersion,
    ] {
        let mut case = Case::new();
        case.ask();
        case.refuse(code);
        assert_eq!(case.member.take_error().unwrap().code(), Some(code));
        assert!(case.later(INTERVAL).waits(), "the member has failed");
    }
    // What is not known to have come through is told again, whole.
    let mut case = Case::new();
    case.settle(&[0]);
    case.later(INTERVAL).ask();
    let lost = ClientError::Connection { address: "a".to_owned(), reason: "gone".to_owned() };
    assert_eq!(case.member.answered(Err(lost), case.now), Coordinator::Unknown);
    let again = case.later(BACKOFF).ask();
    assert_eq!((again.member_epoch, told(&again)), (1, Some(vec![0])));
    assert_eq!(again.subscribed_topic_names, Some(vec!["t".to_owned()]));
}

#[test]
fn subscriptions_change_with_the_next_heartbeat_at_once() {
    let mut case = Case::new();
    case.settle(&[0]);
    case.member.subscribe(["t".to_owned(), "u".to_owned()].into());
    let changed = case.ask();
    assert_eq!(changed.subscribed_topic_names, Some(vec!["t".to_owned(), "u".to_owned()]));
    assert_eq!(told(&changed), None);
    case.answer(2, None);
    case.member.subscribe_to_pattern("t.*".to_owned()).unwrap();
    let changed = case.ask();
    assert_eq!(
        (changed.subscribed_topic_names, changed.subscribed_topic_regex.as_deref()),
        (Some(vec![]), Some("t.*"))
    );
    case.answer(3, None);
    case.member.subscribe(["t".to_owned()].into());
    let changed = case.ask();
    assert_eq!(changed.subscribed_topic_names, Some(vec!["t".to_owned()]));
    assert_eq!(changed.subscribed_topic_regex.as_deref(), Some(""), "taken back");
}

#[test]
fn topics_without_a_name_are_waited_for() {
    let mut case = Case::new();
    case.ask();
    case.answer(1, Some(&[0]));
    let Step::Name(_) = case.member.step(case.now) else { panic!() };
    case.member.named(BTreeMap::new(), case.now);
    assert!(case.waits() && case.member.take_turn().is_none());
    case.later(BACKOFF).name();
    assert_eq!(case.turn().assigned, Some(partitions(&[0])));
}

#[test]
fn an_application_that_does_not_poll_leaves_the_group() {
    let mut case = Case::new();
    case.settle(&[0]);
    case.later(Duration::from_secs(300));
    assert_eq!(case.ask().member_epoch, -1);
    assert!(case.waits());
    case.member.answered(Ok(Answer::Left), case.now);
    assert!(case.later(INTERVAL).waits(), "back with the next poll");
    let now = case.now;
    case.member.enter_poll(now);
    assert_eq!(case.turn().lost, Some(partitions(&[0])));
    assert_eq!(case.ask().member_epoch, 0);
}

#[test]
fn static_members_come_back_and_others_leave() {
    let epoch = |settings: Settings, for_good| {
        let mut case = Case::with(settings);
        case.settle(&[0]);
        match case.member.leave("bye", for_good) {
            Some(Ask::ConsumerHeartbeat(request)) => Some(request.member_epoch),
            None => None,
            ask => panic!("{ask:?}"),
        }
    };
    let named = || Settings { instance_id: Some("name".to_owned()), ..settings() };
    assert_eq!(epoch(settings(), None), Some(-1));
    assert_eq!(epoch(settings(), Some(false)), None);
    assert_eq!(epoch(named(), None), Some(-2));
    assert_eq!(epoch(named(), Some(true)), Some(-1));
    assert_eq!(epoch(named(), Some(false)), Some(-2));
}

#[test]
fn an_answer_to_a_member_that_has_left_is_nothing() {
    let mut case = Case::new();
    case.settle(&[0]);
    case.later(INTERVAL).ask();
    assert!(case.member.leave("bye", None).is_some());
    case.answer(5, Some(&[0, 1]));
    assert!(case.waits() && case.member.take_turn().is_none());
    assert_eq!(case.member.metadata().generation_id, -1);
    assert_eq!(case.member.watched(), BTreeSet::new());
}
