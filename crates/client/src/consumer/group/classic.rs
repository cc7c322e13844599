//! A member of a classic group (`ConsumerCoordinator`, `AbstractCoordinator`): join, divide or be given, heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};

use super::membership::{
    Answer, Ask, Coordinator, GroupMetadata, Membership, PollClock, Settings, Snapshot, Step, Turn, Turns,
    earlier,
};
use crate::ClientError;
use crate::consumer::assignor::{
    Assignor, GroupAssignment, LastAssignment, Member, MemberAssignment, Subscription, Topics,
    read_assignment, write_assignment,
};

/// The kind of group, beside Kafka Connect's.
const PROTOCOL_TYPE: &str = "consumer";
/// The coordinator refuses longer reasons.
const LONGEST_REASON: usize = 255;

/// Where the member is on its way into the group.
#[derive(Debug, PartialEq)]
enum Phase {
    /// Not subscribed.
    Out,
    /// The application lets go of what it has.
    Preparing,
    /// To be joined.
    Joining,
    /// As the leader: the partitions are to be divided.
    Dividing(Vec<Member>),
    /// To hear what it gets, or to tell the others what they get.
    Syncing(Vec<SyncGroupRequestAssignment>),
    /// The application takes over what it got.
    Completing,
    /// Nothing but heartbeats.
    Stable,
}

/// A member of a classic group.
pub(in crate::consumer) struct Classic {
    settings: Settings,
    /// Whether partitions are kept through a rebalance.
    is_cooperative: bool,
    phase: Phase,
    turns: Turns,
    clock: PollClock,
    member_id: String,
    generation: i32,
    assignor: Option<Assignor>,
    owned: BTreeSet<TopicPartition>,
    topics: BTreeSet<String>,
    /// The topics that the group knows this member by.
    joined_topics: BTreeSet<String>,
    /// As the leader: the topics that anybody wants, and those of them that there were.
    divided: Option<(BTreeSet<String>, Topics)>,
    last_assignment: LastAssignment,
    /// Why to join again.
    rejoin: Option<String>,
    in_flight: bool,
    /// A member that the application left alone says goodbye.
    leave: Option<Ask>,
    next_heartbeat: Instant,
    not_before: Option<Instant>,
    error: Option<ClientError>,
    /// Another member has this one's `group.instance.id`: nothing helps.
    is_fenced: bool,
}

impl Classic {
    pub(in crate::consumer) fn new(settings: Settings, now: Instant) -> Classic {
        Classic {
            // All assignors must be able to, whichever the group chooses.
            is_cooperative: !settings.assignors.is_empty()
                && settings.assignors.iter().all(|assignor| assignor.is_cooperative()),
            clock: PollClock::new(settings.max_poll_interval, now),
            settings,
            phase: Phase::Out,
            turns: Turns::default(),
            member_id: String::new(),
            generation: -1,
            assignor: None,
            owned: BTreeSet::new(),
            topics: BTreeSet::new(),
            joined_topics: BTreeSet::new(),
            divided: None,
            last_assignment: LastAssignment::default(),
            rejoin: None,
            in_flight: false,
            leave: None,
            next_heartbeat: now,
            not_before: None,
            error: None,
            is_fenced: false,
        }
    }

    fn is_member(&self) -> bool {
        self.generation >= 0
    }

    /// Begins to join again: the application's turn comes first.
    fn prepare(&mut self) {
        let owned = || self.owned.iter().cloned().collect::<Vec<_>>();
        let mut turn = Turn::default();
        if !self.is_member() {
            turn.lost = Some(owned()).filter(|lost| !lost.is_empty());
        } else if self.is_cooperative {
            turn.commit = true;
            let unwanted = |partition: &TopicPartition| !self.topics.contains(&*partition.topic);
            let revoked: Vec<_> = owned().into_iter().filter(unwanted).collect();
            turn.revoked = Some(revoked).filter(|revoked| !revoked.is_empty());
        } else {
            turn.commit = true;
            turn.revoked = Some(owned());
        }
        self.turns.set(turn);
        self.phase = Phase::Preparing;
    }

    /// Out of the group, by the coordinator's word: on as somebody new.
    fn reset(&mut self, keep_id: bool, reason: &str) {
        tracing::info!(
            "group {}: member {} of generation {} is out of the group: {reason}",
            self.settings.group_id,
            self.member_id,
            self.generation
        );
        self.generation = -1;
        if !keep_id {
            self.member_id.clear();
        }
        self.rejoin = Some(reason.to_owned());
        match self.phase {
            // What the application is at is ended by it; then it is known that the generation is gone.
            _ if self.phase == Phase::Out || self.turns.is_taken() => {}
            Phase::Joining if self.owned.is_empty() => {}
            _ => self.prepare(),
        }
    }

    fn leave_request(&self, reason: &str, for_good: Option<bool>) -> Option<Ask> {
        // A static member is expected back within its session, unless it is told otherwise.
        let leaves = for_good.unwrap_or(self.settings.instance_id.is_none());
        (leaves && !self.member_id.is_empty()).then(|| {
            Ask::Leave(LeaveGroupRequest {
                group_id: self.settings.group_id.clone(),
                member_id: self.member_id.clone(),
                members: vec![MemberIdentity {
                    member_id: self.member_id.clone(),
                    group_instance_id: self.settings.instance_id.clone(),
                    reason: Some(reason.to_owned()),
                }],
            })
        })
    }

    fn fail(&mut self, error: ClientError) {
        self.error = Some(error);
    }

    fn refused(&mut self, code: ErrorCode, now: Instant) -> Coordinator {
        use ErrorCode as E;
        match code {
            E::CoordinatorLoadInProgress => self.back_off(now),
            E::CoordinatorNotAvailable | E::NotCoordinator => {
                self.back_off(now);
                return Coordinator::Unknown;
            }
            E::UnknownMemberId => {
                self.reset(false, "the coordinator does not know this member");
                self.back_off(now);
            }
            E::IllegalGeneration => {
                self.reset(true, "the generation is another one");
                self.back_off(now);
            }
            E::FencedInstanceId => {
                self.is_fenced = true;
                let instance = self.settings.instance_id.clone().unwrap_or_default();
                self.fail(ClientError::api(
                    code,
                    Some(format!("another consumer of the group has the group.instance.id {instance}")),
                ));
            }
            E::GroupAuthorizationFailed => {
                let text = format!("Not authorized to access group: {}", self.settings.group_id);
                self.fail(ClientError::api(code, Some(text)));
            }
            code => {
                self.fail(ClientError::api(code, Some(format!("group {}: {code}", self.settings.group_id))))
            }
        }
        Coordinator::Known
    }

    fn back_off(&mut self, now: Instant) {
        self.not_before = Some(now + self.settings.retry_backoff);
    }

    fn join_request(&self) -> Result<JoinGroupRequest, ClientError> {
        let request = |assignor: &Assignor| {
            let subscription = Subscription {
                topics: self.topics.iter().cloned().collect(),
                user_data: assignor.user_data(&self.topics, &self.last_assignment),
                owned: self.owned.iter().cloned().collect(),
                generation: Some(self.generation).filter(|generation| *generation >= 0),
                rack_id: self.settings.rack.clone(),
            };
            let metadata = subscription.write().map_err(unwritable)?;
            Ok(JoinGroupRequestProtocol { name: assignor.name().to_owned(), metadata })
        };
        let mut reason = self.rejoin.clone().unwrap_or_default();
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        Ok(JoinGroupRequest {
            group_id: self.settings.group_id.clone(),
            session_timeout_ms: millis(self.settings.session_timeout),
            rebalance_timeout_ms: millis(self.settings.max_poll_interval),
            member_id: self.member_id.clone(),
            group_instance_id: self.settings.instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: self.settings.assignors.iter().map(request).collect::<Result<_, ClientError>>()?,
            reason: Some(reason),
        })
    }

    fn sync_request(&self, assignments: Vec<SyncGroupRequestAssignment>) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: self.settings.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.settings.instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: self.assignor.as_ref().map(|assignor| assignor.name().to_owned()),
            assignments,
        }
    }

    /// A heartbeat if it is time for one, or the time of the next.
    fn heartbeat(&mut self, now: Instant) -> Step {
        if !self.is_member() {
            return Step::Wait(None);
        }
        if self.next_heartbeat > now {
            return Step::Wait(Some(self.next_heartbeat));
        }
        self.next_heartbeat = now + self.settings.heartbeat_interval;
        self.in_flight = true;
        Step::Send(Ask::Heartbeat(HeartbeatRequest {
            group_id: self.settings.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.settings.instance_id.clone(),
        }))
    }

    fn joined(&mut self, response: JoinGroupResponse, now: Instant) -> Coordinator {
        let code = ErrorCode::from_code(response.error_code);
        match code {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.member_id = response.member_id;
                self.rejoin = Some("need to re-join with the given member-id".to_owned());
                return Coordinator::Known;
            }
            ErrorCode::RebalanceInProgress => {
                self.back_off(now);
                return Coordinator::Known;
            }
            code => return self.refused(code, now),
        }
        if self.phase != Phase::Joining {
            // Left meanwhile.
            return Coordinator::Known;
        }
        let name = response.protocol_name.as_deref().unwrap_or_default();
        let Some(assignor) = self.settings.assignors.iter().find(|known| known.name() == name).cloned()
        else {
            self.fail(ClientError::api(
                ErrorCode::InconsistentGroupProtocol,
                Some(format!(
                    "group {}: the group's assignor {name:?} is not this member's",
                    self.settings.group_id
                )),
            ));
            return Coordinator::Known;
        };
        self.assignor = Some(assignor);
        self.generation = response.generation_id;
        self.joined_topics = self.topics.clone();
        self.rejoin = None;
        self.next_heartbeat = now + self.settings.heartbeat_interval;
        let is_leader = response.leader == response.member_id;
        self.member_id = response.member_id;
        self.divided = None;
        self.phase = Phase::Syncing(Vec::new());
        if is_leader && !response.skip_assignment {
            let member = |member: protocol::messages::join_group_response::JoinGroupResponseMember| {
                Ok(Member {
                    subscription: Subscription::read(&member.metadata)?,
                    id: member.member_id,
                    instance_id: member.group_instance_id,
                })
            };
            let members: Result<Vec<Member>, protocol::DecodeError> =
                response.members.into_iter().map(member).collect();
            match members {
                Ok(members) => self.phase = Phase::Dividing(members),
                Err(error) => self.fail(ClientError::Group(format!(
                    "group {}: a member's subscription cannot be read: {error}",
                    self.settings.group_id
                ))),
            }
        }
        Coordinator::Known
    }

    fn synced(&mut self, response: SyncGroupResponse, now: Instant) -> Coordinator {
        if !matches!(self.phase, Phase::Syncing(_)) {
            return Coordinator::Known;
        }
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => {
                self.rejoin = Some("the group began another rebalance".to_owned());
                self.phase = Phase::Joining;
                return Coordinator::Known;
            }
            code => {
                // Whatever it was, the way back in begins with a join.
                self.phase = Phase::Joining;
                return self.refused(code, now);
            }
        }
        let share = match read_assignment(&response.assignment) {
            Ok(share) => share,
            Err(error) => {
                self.phase = Phase::Joining;
                self.back_off(now);
                self.fail(ClientError::Group(format!(
                    "group {}: what the leader assigned cannot be read: {error}",
                    self.settings.group_id
                )));
                return Coordinator::Known;
            }
        };
        let assigned: BTreeSet<TopicPartition> = share.partitions.iter().cloned().collect();
        if assigned.iter().any(|partition| !self.topics.contains(&*partition.topic)) {
            self.rejoin = Some("received assignment does not match the current subscription".to_owned());
            self.phase = Phase::Stable;
            return Coordinator::Known;
        }
        if let Some(assignor) = &self.assignor {
            assignor.on_assignment(&share, &self.metadata());
        }
        let revoked: Vec<_> = self.owned.difference(&assigned).cloned().collect();
        let added: Vec<_> = assigned.difference(&self.owned).cloned().collect();
        self.last_assignment =
            LastAssignment { partitions: Some(assigned.into_iter().collect()), generation: self.generation };
        self.turns.set(Turn {
            // The application went on reading while the group divided: whoever gets these goes on behind that.
            commit: !revoked.is_empty(),
            revoked: Some(revoked).filter(|revoked| !revoked.is_empty()),
            assigned: Some(added),
            ..Turn::default()
        });
        self.phase = Phase::Completing;
        Coordinator::Known
    }
}

impl Membership for Classic {
    fn subscribe(&mut self, topics: BTreeSet<String>) {
        self.topics = topics;
        if self.phase == Phase::Out {
            self.rejoin = None;
            self.prepare();
        }
    }

    fn subscribe_to_pattern(&mut self, _pattern: String) -> Result<(), ClientError> {
        Err(ClientError::IllegalState(
            "Subscribe to RE2/J pattern is not supported when using the CLASSIC protocol defined in config group.protocol"
                .to_owned(),
        ))
    }

    fn observe(&mut self, topics: &Snapshot) {
        let changed = self.divided.as_ref().is_some_and(|(wanted, divided)| {
            !topics.iter().filter(|(topic, _)| wanted.contains(*topic)).eq(divided)
        });
        if changed {
            self.rejoin.get_or_insert_with(|| "cached metadata has changed".to_owned());
        }
    }

    fn watched(&self) -> BTreeSet<String> {
        let wanted = self.divided.iter().flat_map(|(wanted, _)| wanted);
        wanted.chain(&self.topics).cloned().collect()
    }

    fn enter_poll(&mut self, now: Instant) {
        self.clock.enter(now);
    }

    fn leave_poll(&mut self, now: Instant) {
        self.clock.leave(now);
    }

    fn step(&mut self, now: Instant) -> Step {
        if let Some(leave) = self.leave.take_if(|_| !self.in_flight) {
            self.in_flight = true;
            return Step::Send(leave);
        }
        let is_in = self.is_member() && !matches!(self.phase, Phase::Out);
        if is_in && self.clock.is_over(now) {
            tracing::warn!(
                "group {}: the application has not polled for max.poll.interval.ms={}; the member leaves the group. Either \
                 its records take longer than that, or max.poll.records is too many at once",
                self.settings.group_id,
                self.settings.max_poll_interval.as_millis()
            );
            self.leave = self.leave_request("consumer poll timeout has expired.", None);
            self.reset(false, "the application did not poll in time");
            return self.step(now);
        }
        let deadline = self.clock.deadline(now).filter(|_| is_in);
        if self.in_flight || self.is_fenced || self.error.is_some() {
            return Step::Wait(deadline);
        }
        if let Some(time) = self.not_before.filter(|time| *time > now) {
            return Step::Wait(earlier(deadline, Some(time)));
        }
        let step = match &self.phase {
            Phase::Out => Step::Wait(None),
            Phase::Preparing | Phase::Completing => self.heartbeat(now),
            Phase::Joining => match self.join_request() {
                Ok(request) => {
                    self.in_flight = true;
                    Step::Send(Ask::Join(request))
                }
                Err(error) => {
                    self.fail(error);
                    Step::Wait(None)
                }
            },
            Phase::Dividing(members) => match self.assignor.clone() {
                Some(assignor) => {
                    self.in_flight = true;
                    Step::Divide(assignor, members.clone())
                }
                None => Step::Wait(None),
            },
            Phase::Syncing(assignments) => {
                let request = self.sync_request(assignments.clone());
                self.in_flight = true;
                Step::Send(Ask::Sync(request))
            }
            Phase::Stable => {
                if self.rejoin.is_none() && self.joined_topics != self.topics {
                    self.rejoin = Some("the subscription has changed".to_owned());
                }
                if self.rejoin.is_some() {
                    self.prepare();
                }
                self.heartbeat(now)
            }
        };
        match step {
            Step::Wait(time) => Step::Wait(earlier(deadline, time)),
            step => step,
        }
    }

    fn answered(&mut self, answer: Result<Answer, ClientError>, now: Instant) -> Coordinator {
        self.in_flight = false;
        match answer {
            Ok(Answer::Join(response)) => self.joined(response, now),
            Ok(Answer::Sync(response)) => self.synced(response, now),
            Ok(Answer::Heartbeat(response)) => match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => Coordinator::Known,
                ErrorCode::RebalanceInProgress => {
                    self.rejoin.get_or_insert_with(|| "group is already rebalancing".to_owned());
                    Coordinator::Known
                }
                _ if !self.is_member() => Coordinator::Known,
                code => {
                    self.next_heartbeat = now;
                    self.refused(code, now)
                }
            },
            Ok(Answer::Left | Answer::ConsumerHeartbeat(_)) => Coordinator::Known,
            Err(error) if error.is_retriable() => {
                self.back_off(now);
                self.next_heartbeat = now;
                if matches!(self.phase, Phase::Syncing(_)) {
                    self.phase = Phase::Joining;
                }
                Coordinator::Unknown
            }
            Err(error) => {
                self.fail(error);
                Coordinator::Known
            }
        }
    }

    fn divided(&mut self, shares: Result<(Topics, GroupAssignment), ClientError>, now: Instant) {
        self.in_flight = false;
        let Phase::Dividing(members) = &self.phase else { return };
        let wanted = members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect();
        let written = shares.and_then(|(topics, shares)| {
            let assignment = |(member_id, share): (String, MemberAssignment)| {
                let assignment = write_assignment(&share).map_err(unwritable)?;
                Ok(SyncGroupRequestAssignment { member_id, assignment })
            };
            let assignments = shares.into_iter().map(assignment).collect::<Result<_, ClientError>>()?;
            Ok((topics, assignments))
        });
        match written {
            Ok((topics, assignments)) => {
                self.divided = Some((wanted, topics));
                self.phase = Phase::Syncing(assignments);
            }
            Err(error) if error.is_retriable() => self.back_off(now),
            Err(error) => {
                self.phase = Phase::Joining;
                self.fail(error);
            }
        }
    }

    fn named(&mut self, _names: BTreeMap<Uuid, String>, _now: Instant) {}

    fn take_turn(&mut self) -> Option<Turn> {
        self.turns.take()
    }

    fn put_turn_back(&mut self) {
        self.turns.put_back();
    }

    fn end_turn(&mut self, now: Instant) {
        let Some(turn) = self.turns.end(&mut self.owned) else { return };
        if self.phase == Phase::Out {
            return;
        }
        if self.phase == Phase::Preparing {
            self.phase = Phase::Joining;
        } else if self.is_cooperative && turn.revoked.is_some() && self.is_member() {
            self.rejoin = Some("need to revoke partitions and re-join".to_owned());
            self.phase = Phase::Stable;
        } else {
            self.phase = Phase::Stable;
        }
        if !self.is_member() && !self.owned.is_empty() {
            self.prepare();
        } else if !self.is_member() {
            self.phase = Phase::Joining;
        }
        self.next_heartbeat = self.next_heartbeat.min(now + self.settings.heartbeat_interval);
    }

    fn take_error(&mut self) -> Option<ClientError> {
        match self.is_fenced {
            true => self.error.clone(),
            false => self.error.take(),
        }
    }

    fn request_rejoin(&mut self) {
        if self.phase != Phase::Out {
            self.rejoin.get_or_insert_with(|| "rebalance enforced by user".to_owned());
        }
    }

    fn is_rebalancing(&self) -> bool {
        matches!(self.phase, Phase::Joining | Phase::Dividing(_) | Phase::Syncing(_))
    }

    fn commit_was_refused(&mut self, refused: &GroupMetadata, code: ErrorCode) {
        let is_current = (refused.generation_id, &refused.member_id) == (self.generation, &self.member_id);
        match code {
            ErrorCode::RebalanceInProgress if self.phase == Phase::Stable => {
                self.rejoin.get_or_insert_with(|| {
                    "offset commit failed since group is already rebalancing".to_owned()
                });
            }
            ErrorCode::UnknownMemberId if is_current => self.reset(false, "a commit was refused"),
            ErrorCode::IllegalGeneration if is_current => self.reset(true, "a commit was refused"),
            _ => {}
        }
    }

    fn metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group_id: self.settings.group_id.clone(),
            generation_id: self.generation,
            member_id: if self.is_member() { self.member_id.clone() } else { String::new() },
            group_instance_id: self.settings.instance_id.clone(),
        }
    }

    fn farewell(&self) -> Turn {
        Turn::farewell(&self.owned, self.is_member() && !self.is_rebalancing())
    }

    fn leave(&mut self, reason: &str, for_good: Option<bool>) -> Option<Ask> {
        let request = self.leave_request(reason, for_good);
        self.member_id.clear();
        self.generation = -1;
        self.phase = Phase::Out;
        self.rejoin = None;
        self.divided = None;
        self.turns = Turns::default();
        self.owned.clear();
        request
    }
}

fn unwritable(error: protocol::EncodeError) -> ClientError {
    ClientError::Request { api: protocol::ApiKey::JoinGroup, error }
}

/// As the wire has it.
fn millis(time: std::time::Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
