//! The way of a member through a classic group, answer by answer.

use std::time::Duration;

use protocol::messages::join_group_response::JoinGroupResponseMember;
use protocol::messages::{HeartbeatResponse, JoinGroupResponse, SyncGroupResponse};

use super::classic::Classic;
use super::membership::*;
use crate::ClientError;
use crate::consumer::assignor::{Assignor, Layout, Subscription, Topics, write_assignment};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use common::{ErrorCode, TopicPartition};

const BACKOFF: Duration = Duration::from_millis(100);
const HEARTBEAT: Duration = Duration::from_secs(3);

fn settings(assignors: &[Assignor]) -> Settings {
    Settings {
        group_id: "g".to_owned(),
        instance_id: None,
        rack: None,
        assignors: assignors.to_vec(),
        remote_assignor: None,
        session_timeout: Duration::from_secs(45),
        heartbeat_interval: HEARTBEAT,
        max_poll_interval: Duration::from_secs(300),
        retry_backoff: BACKOFF,
    }
}

fn topics(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn partitions(of: &[i32]) -> Vec<TopicPartition> {
    of.iter().map(|partition| TopicPartition::new("t", *partition)).collect()
}

/// A member, and a clock that a test moves.
struct Case {
    member: Classic,
    now: Instant,
}

impl Case {
    fn new(assignors: &[Assignor]) -> Case {
        Case::with(settings(assignors))
    }

    fn with(settings: Settings) -> Case {
        let now = Instant::now();
        let mut case = Case { member: Classic::new(settings, now), now };
        case.member.subscribe(topics(&["t"]));
        case
    }

    fn later(&mut self, by: Duration) -> &mut Case {
        self.now += by;
        self
    }

    fn ask(&mut self) -> Ask {
        match self.member.step(self.now) {
            Step::Send(ask) => ask,
            step => panic!("{step:?}"),
        }
    }

    fn waits(&mut self) -> bool {
        matches!(self.member.step(self.now), Step::Wait(_))
    }

    fn answer(&mut self, answer: Answer) -> Coordinator {
        self.member.answered(Ok(answer), self.now)
    }

    fn turn(&mut self) -> Turn {
        let turn = self.member.take_turn().unwrap();
        self.member.end_turn(self.now);
        turn
    }

    fn join(&mut self) -> protocol::messages::JoinGroupRequest {
        match self.ask() {
            Ask::Join(request) => request,
            ask => panic!("{ask:?}"),
        }
    }

    fn refuse_join(&mut self, code: ErrorCode) -> Coordinator {
        self.join();
        self.answer(Answer::Join(JoinGroupResponse { error_code: code.code(), ..Default::default() }))
    }

    /// Joins as a follower and is given partitions.
    fn follow(&mut self, generation: i32, share: &[i32]) -> Turn {
        self.join();
        self.joined(generation);
        self.sync(share)
    }

    fn joined(&mut self, generation_id: i32) {
        let assignor = Some("cooperative-sticky".to_owned());
        self.answer(Answer::Join(JoinGroupResponse {
            generation_id,
            protocol_name: assignor,
            member_id: "me".to_owned(),
            leader: "another".to_owned(),
            ..Default::default()
        }));
    }

    fn sync(&mut self, share: &[i32]) -> Turn {
        let Ask::Sync(request) = self.ask() else { panic!() };
        assert!(request.assignments.is_empty());
        let assignment = write_assignment(&partitions(share).into()).unwrap();
        self.answer(Answer::Sync(SyncGroupResponse { assignment, ..Default::default() }));
        self.turn()
    }

    fn heartbeat(&mut self, code: ErrorCode) -> Coordinator {
        self.later(HEARTBEAT);
        let Ask::Heartbeat(request) = self.ask() else { panic!() };
        assert_eq!(request.member_id, "me");
        self.answer(Answer::Heartbeat(HeartbeatResponse { error_code: code.code(), ..Default::default() }))
    }
}

static EAGER: [Assignor; 2] = [Assignor::Range, Assignor::CooperativeSticky];
static COOPERATIVE: [Assignor; 1] = [Assignor::CooperativeSticky];

#[test]
fn a_member_joins_with_the_id_it_is_given_and_hears_what_it_gets() {
    let mut case = Case::new(&EAGER);
    // The application has its turn first, and nothing to do in it.
    assert!(case.waits());
    assert_eq!(case.turn(), Turn::default());
    let first = case.join();
    assert_eq!(
        (first.member_id.as_str(), first.rebalance_timeout_ms, first.session_timeout_ms),
        ("", 300_000, 45_000)
    );
    let names: Vec<&str> = first.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    assert_eq!(names, ["range", "cooperative-sticky"]);
    let told = JoinGroupResponse {
        error_code: ErrorCode::MemberIdRequired.code(),
        member_id: "me".to_owned(),
        ..Default::default()
    };
    case.answer(Answer::Join(told));
    assert_eq!(case.join().member_id, "me");
    assert!(case.waits(), "one request at a time");
    assert!(case.member.is_rebalancing());
    case.joined(1);
    assert_eq!(case.sync(&[0, 1]), Turn { assigned: Some(partitions(&[0, 1])), ..Turn::default() });
    assert!(!case.member.is_rebalancing());
    let metadata = case.member.metadata();
    assert_eq!((metadata.generation_id, metadata.member_id.as_str()), (1, "me"));
    assert_eq!(case.heartbeat(ErrorCode::None), Coordinator::Known);
}

#[test]
fn the_leader_divides_and_watches_what_it_divided() {
    let mut case = Case::new(&EAGER);
    case.turn();
    case.join();
    let member = |id: &str| {
        let subscription = Subscription { topics: vec!["t".to_owned()], ..Subscription::default() };
        JoinGroupResponseMember {
            member_id: id.to_owned(),
            metadata: subscription.write().unwrap(),
            ..Default::default()
        }
    };
    case.answer(Answer::Join(JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range".to_owned()),
        member_id: "me".to_owned(),
        leader: "me".to_owned(),
        members: vec![member("me"), member("other")],
        ..Default::default()
    }));
    let Step::Divide(Assignor::Range, members) = case.member.step(case.now) else { panic!() };
    let layout: Topics = [("t".to_owned(), Layout { racks: vec![Vec::new(); 3] })].into();
    let shares = Assignor::Range.assign(&layout, &members);
    case.member.divided(Ok((layout.clone(), shares)), case.now);
    let Ask::Sync(request) = case.ask() else { panic!() };
    let shares: Vec<(&str, &[u8])> = request
        .assignments
        .iter()
        .map(|share| (share.member_id.as_str(), share.assignment.as_slice()))
        .collect();
    let written = |of: &[i32]| write_assignment(&partitions(of).into()).unwrap();
    assert_eq!(shares, [("me", written(&[0, 1]).as_slice()), ("other", written(&[2]).as_slice())]);
    let assignment = written(&[0, 1]);
    case.answer(Answer::Sync(SyncGroupResponse { assignment, ..Default::default() }));
    case.turn();
    case.member.observe(&layout);
    assert!(case.waits() && case.member.take_turn().is_none(), "nothing has changed");
    let grown: Topics = [("t".to_owned(), Layout { racks: vec![Vec::new(); 4] })].into();
    case.member.observe(&grown);
    assert!(case.waits());
    // All is let go of, after a commit: this group is not cooperative.
    assert_eq!(case.turn(), Turn { commit: true, revoked: Some(partitions(&[0, 1])), ..Turn::default() });
    assert!(case.join().reason.unwrap().contains("metadata has changed"));
}

#[test]
fn a_cooperative_member_keeps_what_it_may_and_joins_again_after_it_let_go() {
    let mut case = Case::new(&COOPERATIVE);
    case.turn();
    case.follow(1, &[0, 1, 2]);
    case.heartbeat(ErrorCode::RebalanceInProgress);
    assert!(case.waits());
    assert_eq!(case.turn(), Turn { commit: true, ..Turn::default() });
    let joining = case.join();
    let said = Subscription::read(&joining.protocols[0].metadata).unwrap();
    assert_eq!((said.owned, said.generation), (partitions(&[0, 1, 2]), Some(1)));
    case.joined(2);
    // What was read of it since the first commit is committed before somebody else gets it.
    let turn = case.sync(&[0, 1]);
    assert_eq!(
        turn,
        Turn { commit: true, lost: None, revoked: Some(partitions(&[2])), assigned: Some(Vec::new()) }
    );
    // At once again, so that somebody else gets it.
    assert!(case.waits());
    assert_eq!(case.turn(), Turn { commit: true, ..Turn::default() });
    assert_eq!(Subscription::read(&case.join().protocols[0].metadata).unwrap().owned, partitions(&[0, 1]));
    // Topics that are not wanted any more are let go of before.
    case.joined(3);
    case.sync(&[0, 1]);
    case.member.subscribe(topics(&["u"]));
    assert!(case.waits());
    assert_eq!(case.turn().revoked, Some(partitions(&[0, 1])));
}

#[test]
fn who_is_out_of_the_group_has_lost_what_it_had() {
    for (code, keeps_id) in [(ErrorCode::UnknownMemberId, false), (ErrorCode::IllegalGeneration, true)] {
        let mut case = Case::new(&COOPERATIVE);
        case.turn();
        case.follow(1, &[0, 1]);
        case.heartbeat(code);
        assert_eq!(case.member.metadata().generation_id, -1);
        assert_eq!(case.turn(), Turn { lost: Some(partitions(&[0, 1])), ..Turn::default() });
        case.later(BACKOFF);
        assert_eq!(case.join().member_id, if keeps_id { "me" } else { "" });
    }
    // So it is where a commit told it, unless the member has moved on since.
    let mut case = Case::new(&COOPERATIVE);
    case.turn();
    case.follow(1, &[0]);
    let before = case.member.metadata();
    case.member.commit_was_refused(
        &GroupMetadata { generation_id: 0, ..before.clone() },
        ErrorCode::IllegalGeneration,
    );
    assert_eq!(case.member.metadata(), before);
    case.member.commit_was_refused(&before, ErrorCode::IllegalGeneration);
    assert_eq!(case.turn().lost, Some(partitions(&[0])));
}

#[test]
fn what_a_turn_brought_is_lost_if_the_group_was_left_meanwhile() {
    let mut case = Case::new(&COOPERATIVE);
    case.turn();
    case.follow(1, &[0]);
    case.heartbeat(ErrorCode::RebalanceInProgress);
    case.waits();
    case.turn();
    case.join();
    case.joined(2);
    let Ask::Sync(_) = case.ask() else { panic!() };
    let assignment = write_assignment(&partitions(&[0, 1]).into()).unwrap();
    case.answer(Answer::Sync(SyncGroupResponse { assignment, ..Default::default() }));
    // The application is at its turn when a heartbeat is refused.
    assert_eq!(case.member.take_turn().unwrap().assigned, Some(partitions(&[1])));
    case.heartbeat(ErrorCode::UnknownMemberId);
    case.member.end_turn(case.now);
    assert_eq!(case.turn(), Turn { lost: Some(partitions(&[0, 1])), ..Turn::default() });
    case.later(BACKOFF).join();
}

#[test]
fn a_turn_that_was_given_up_comes_again() {
    let mut case = Case::new(&EAGER);
    case.turn();
    case.join();
    case.answer(Answer::Join(JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range".to_owned()),
        member_id: "me".to_owned(),
        ..Default::default()
    }));
    let Ask::Sync(_) = case.ask() else { panic!() };
    let assignment = write_assignment(&partitions(&[0]).into()).unwrap();
    case.answer(Answer::Sync(SyncGroupResponse { assignment, ..Default::default() }));
    let first = case.member.take_turn().unwrap();
    assert!(case.member.take_turn().is_none());
    case.member.put_turn_back();
    assert_eq!(case.turn(), first);
}

#[test]
fn what_passes_is_waited_out_and_what_does_not_is_told() {
    use ErrorCode as E;
    for (code, coordinator) in [
        (E::CoordinatorLoadInProgress, Coordinator::Known),
        (E::RebalanceInProgress, Coordinator::Known),
        (E::NotCoordinator, Coordinator::Unknown),
        (E::CoordinatorNotAvailable, Coordinator::Unknown),
        (E::UnknownMemberId, Coordinator::Known),
    ] {
        let mut case = Case::new(&EAGER);
        case.turn();
        assert_eq!(case.refuse_join(code), coordinator, "{code}");
        assert!(case.waits(), "{code}");
        case.later(BACKOFF).join();
    }
    for code in [
        E::GroupAuthorizationFailed,
        E::InconsistentGroupProtocol,
        E::InvalidSessionTimeout,
        E::GroupMaxSizeReached,
        E::UnsupportedVersion,
    ] {
        let mut case = Case::new(&EAGER);
        case.turn();
        case.refuse_join(code);
        assert!(case.later(BACKOFF * 10).waits(), "nothing is tried before it is told");
        assert_eq!(case.member.take_error().unwrap().code(), Some(code));
        case.join();
    }
    let lost = ClientError::Connection { address: "a".to_owned(), reason: "gone".to_owned() };
    let mut case = Case::new(&EAGER);
    case.turn();
    case.join();
    assert_eq!(case.member.answered(Err(lost), case.now), Coordinator::Unknown);
    case.later(BACKOFF).join();
}

#[test]
fn another_with_the_same_name_ends_it() {
    let named = Settings { instance_id: Some("name".to_owned()), ..settings(&EAGER) };
    let mut case = Case::with(named);
    case.turn();
    case.refuse_join(ErrorCode::FencedInstanceId);
    for _ in 0..2 {
        assert_eq!(case.member.take_error().unwrap().code(), Some(ErrorCode::FencedInstanceId));
        assert!(case.later(BACKOFF).waits());
    }
    assert!(case.member.leave("it is over", None).is_none(), "a static member does not leave");
}

#[test]
fn an_application_that_does_not_poll_leaves_the_group() {
    let mut case = Case::new(&COOPERATIVE);
    let entered = case.now;
    case.member.enter_poll(entered);
    case.turn();
    case.follow(1, &[0]);
    // A poll may take as long as it likes.
    case.later(Duration::from_secs(1000));
    let Ask::Heartbeat(_) = case.ask() else { panic!() };
    case.answer(Answer::Heartbeat(HeartbeatResponse::default()));
    let left = case.now;
    case.member.leave_poll(left);
    case.later(Duration::from_secs(299));
    let Ask::Heartbeat(_) = case.ask() else { panic!() };
    case.answer(Answer::Heartbeat(HeartbeatResponse::default()));
    case.later(Duration::from_secs(1));
    let Ask::Leave(request) = case.ask() else { panic!() };
    assert_eq!(request.member_id, "me");
    case.answer(Answer::Left);
    assert!(case.later(HEARTBEAT).waits(), "back with the next poll");
    assert_eq!(case.turn().lost, Some(partitions(&[0])));
    assert_eq!(case.join().member_id, "");
}

#[test]
fn a_member_that_leaves_says_so_and_what_comes_later_is_nothing() {
    let mut case = Case::new(&COOPERATIVE);
    case.turn();
    case.follow(1, &[0]);
    assert_eq!(
        case.member.farewell(),
        Turn { commit: true, revoked: Some(partitions(&[0])), ..Turn::default() }
    );
    case.later(HEARTBEAT);
    let Ask::Heartbeat(_) = case.ask() else { panic!() };
    let Some(Ask::Leave(request)) = case.member.leave("bye", None) else { panic!() };
    assert_eq!(request.members[0].reason.as_deref(), Some("bye"));
    let refused = HeartbeatResponse { error_code: ErrorCode::UnknownMemberId.code(), ..Default::default() };
    case.answer(Answer::Heartbeat(refused));
    assert!(case.later(HEARTBEAT).waits());
    assert!(case.member.take_turn().is_none());
    // And it can come back.
    case.member.subscribe(topics(&["t"]));
    case.turn();
    case.join();
}

#[test]
fn shares_that_make_no_sense_are_refused() {
    let mut case = Case::new(&COOPERATIVE);
    case.turn();
    case.join();
    case.joined(1);
    let Ask::Sync(_) = case.ask() else { panic!() };
    case.answer(Answer::Sync(SyncGroupResponse { assignment: vec![0, 1, 255], ..Default::default() }));
    assert!(matches!(case.member.take_error(), Some(ClientError::Group(_))));
    // A topic that is not subscribed to: the leader has an old subscription.
    case.later(BACKOFF).join();
    case.joined(2);
    let Ask::Sync(_) = case.ask() else { panic!() };
    let assignment = write_assignment(&vec![TopicPartition::new("other", 0)].into()).unwrap();
    case.answer(Answer::Sync(SyncGroupResponse { assignment, ..Default::default() }));
    assert!(case.waits());
    assert_eq!(case.turn(), Turn { commit: true, ..Turn::default() });
    case.join();
    case.member.divided(Ok((Topics::new(), BTreeMap::new())), case.now);
}
