//! A member of a group of KIP-848 (`ConsumerMembershipManager`, `ConsumerHeartbeatRequestManager`): the coordinator says in
//! heartbeats what the member is to have, and the member says what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::membership::{
    Answer, Ask, Coordinator, GroupMetadata, Membership, PollClock, Settings, Snapshot, Step, Turn, Turns,
    earlier,
};
use crate::ClientError;
use crate::consumer::assignor::{GroupAssignment, Topics};

/// A member that joins.
const JOIN_EPOCH: i32 = 0;
/// A member that goes.
const LEAVE_EPOCH: i32 = -1;
/// A static member that comes back.
const LEAVE_FOR_NOW_EPOCH: i32 = -2;

/// Where the member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not subscribed.
    Out,
    /// To be joined.
    Joining,
    /// In the group.
    In,
    /// Out of the group, by the coordinator's word or the application's silence: what it had is lost.
    Lost,
    /// Nothing helps.
    Failed,
}

/// Partitions by topic id.
type ByTopic = BTreeMap<Uuid, BTreeSet<i32>>;

/// What the coordinator knows already: heartbeats carry what has changed.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    topics: Option<BTreeSet<String>>,
    pattern: Option<String>,
    owned: Option<ByTopic>,
}

/// A member of a group of KIP-848.
pub(in crate::consumer) struct ConsumerMember {
    settings: Settings,
    phase: Phase,
    turns: Turns,
    clock: PollClock,
    /// The member's own choice, for its whole life.
    member_id: String,
    epoch: i32,
    topics: Option<BTreeSet<String>>,
    pattern: Option<String>,
    /// What it is to have, by the last answer that said so.
    target: ByTopic,
    owned: BTreeSet<TopicPartition>,
    names: BTreeMap<Uuid, String>,
    ids: BTreeMap<String, Uuid>,
    sent: Sent,
    /// What the heartbeat under way tells, and where the member was when it left.
    sending: Sent,
    asked_in: Phase,
    in_flight: bool,
    leave: Option<Ask>,
    interval: Option<Duration>,
    next_heartbeat: Instant,
    not_before: Option<Instant>,
    error: Option<ClientError>,
}

impl ConsumerMember {
    pub(in crate::consumer) fn new(settings: Settings, member_id: String, now: Instant) -> ConsumerMember {
        ConsumerMember {
            clock: PollClock::new(settings.max_poll_interval, now),
            settings,
            phase: Phase::Out,
            turns: Turns::default(),
            member_id,
            epoch: JOIN_EPOCH,
            topics: None,
            pattern: None,
            target: ByTopic::new(),
            owned: BTreeSet::new(),
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            sent: Sent::default(),
            sending: Sent::default(),
            asked_in: Phase::Out,
            in_flight: false,
            leave: None,
            interval: None,
            next_heartbeat: now,
            not_before: None,
            error: None,
        }
    }

    /// What the application has, as the coordinator names it.
    fn owned_by_id(&self) -> ByTopic {
        let mut owned = ByTopic::new();
        for partition in &self.owned {
            if let Some(id) = self.ids.get(&*partition.topic) {
                owned.entry(*id).or_default().insert(partition.partition);
            }
        }
        owned
    }

    /// What it is to have, as far as the topics' names are known.
    fn wanted(&self) -> BTreeSet<TopicPartition> {
        let of_topic = |(id, partitions): (&Uuid, &BTreeSet<i32>)| {
            let name = self.names.get(id)?;
            Some(
                partitions
                    .iter()
                    .map(|partition| TopicPartition::new(name.as_str(), *partition))
                    .collect::<Vec<_>>(),
            )
        };
        self.target.iter().filter_map(of_topic).flatten().collect()
    }

    /// Sets the application's turn that leads from what it has to what it is to have.
    fn reconcile(&mut self) {
        if self.turns.is_taken() || self.phase != Phase::In {
            return;
        }
        let wanted = self.wanted();
        if wanted == self.owned {
            self.turns = Turns::default();
            return;
        }
        let revoked: Vec<_> = self.owned.difference(&wanted).cloned().collect();
        let added: Vec<_> = wanted.difference(&self.owned).cloned().collect();
        self.turns.set(Turn {
            commit: !revoked.is_empty(),
            revoked: Some(revoked).filter(|revoked| !revoked.is_empty()),
            assigned: Some(added),
            ..Turn::default()
        });
    }

    /// Out of the group: what the member had is somebody else's.
    fn lose(&mut self) {
        self.phase = Phase::Lost;
        self.epoch = JOIN_EPOCH;
        self.target.clear();
        self.sent = Sent::default();
        if !self.turns.is_taken() {
            self.lose_owned();
        }
    }

    fn lose_owned(&mut self) {
        let lost: Vec<_> = self.owned.iter().cloned().collect();
        self.turns.set(Turn { lost: Some(lost).filter(|lost| !lost.is_empty()), ..Turn::default() });
    }

    fn fail(&mut self, error: ClientError) {
        self.lose();
        self.phase = Phase::Failed;
        self.error = Some(error);
    }

    fn heartbeat(&mut self) -> ConsumerGroupHeartbeatRequest {
        let is_join = self.epoch == JOIN_EPOCH;
        if is_join {
            self.sent = Sent::default();
        }
        let owned = self.owned_by_id();
        let topics = self.topics.clone().filter(|topics| self.sent.topics.as_ref() != Some(topics));
        let pattern = self.pattern.clone().filter(|pattern| self.sent.pattern.as_ref() != Some(pattern));
        // A pattern that is given up is taken back by an empty one.
        let pattern =
            pattern.or_else(|| (self.pattern.is_none() && self.sent.pattern.is_some()).then(String::new));
        let tells_owned = self.sent.owned.as_ref() != Some(&owned);
        let topic_partitions = tells_owned.then(|| {
            let of_topic = |(topic_id, partitions): (&Uuid, &BTreeSet<i32>)| TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
            };
            owned.iter().map(of_topic).collect()
        });
        let all = self.sent == Sent::default();
        self.sending =
            Sent { topics: self.topics.clone(), pattern: self.pattern.clone(), owned: Some(owned) };
        ConsumerGroupHeartbeatRequest {
            group_id: self.settings.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.settings.instance_id.clone(),
            rack_id: self.settings.rack.clone().filter(|_| all),
            rebalance_timeout_ms: match all {
                true => i32::try_from(self.settings.max_poll_interval.as_millis()).unwrap_or(i32::MAX),
                false => -1,
            },
            subscribed_topic_names: match self.topics {
                // With a pattern alone, a member that joins still says that it wants no topic by name.
                None if all => Some(Vec::new()),
                _ => topics.map(|topics| topics.into_iter().collect()),
            },
            subscribed_topic_regex: pattern,
            server_assignor: self.settings.remote_assignor.clone().filter(|_| all),
            topic_partitions,
        }
    }

    fn answer(&mut self, response: ConsumerGroupHeartbeatResponse, now: Instant) -> Coordinator {
        use ErrorCode as E;
        let code = E::from_code(response.error_code);
        match code {
            E::None => {}
            E::CoordinatorNotAvailable | E::NotCoordinator => {
                self.back_off(now);
                return Coordinator::Unknown;
            }
            E::CoordinatorLoadInProgress => {
                self.back_off(now);
                return Coordinator::Known;
            }
            // Out of the group since, and maybe on the way back.
            _ if self.phase != self.asked_in => return Coordinator::Known,
            E::FencedMemberEpoch | E::UnknownMemberId => {
                tracing::info!(
                    "group {}: member {} of epoch {} is out of the group: {code}",
                    self.settings.group_id,
                    self.member_id,
                    self.epoch
                );
                self.lose();
                self.back_off(now);
                return Coordinator::Known;
            }
            code if crate::error::is_retriable(code) => {
                self.back_off(now);
                return Coordinator::Known;
            }
            E::UnsupportedVersion => {
                self.fail(unsupported());
                return Coordinator::Known;
            }
            code => {
                let text = response.error_message.unwrap_or_else(|| code.to_string());
                self.fail(ClientError::api(code, Some(format!("group {}: {text}", self.settings.group_id))));
                return Coordinator::Known;
            }
        }
        if self.phase != self.asked_in {
            return Coordinator::Known;
        }
        self.sent = std::mem::take(&mut self.sending);
        self.epoch = response.member_epoch;
        let interval =
            Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).unwrap_or(0).max(1));
        self.interval = Some(interval);
        self.next_heartbeat = now + interval;
        self.phase = Phase::In;
        if let Some(assignment) = response.assignment {
            let of_topic = |topic: protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
                (topic.topic_id, topic.partitions.into_iter().collect())
            };
            self.target = assignment.topic_partitions.into_iter().map(of_topic).collect();
        }
        self.reconcile();
        Coordinator::Known
    }

    fn back_off(&mut self, now: Instant) {
        self.not_before = Some(now + self.settings.retry_backoff);
        self.next_heartbeat = now;
    }

    fn leave_request(&self, for_good: Option<bool>) -> Option<Ask> {
        let is_static = self.settings.instance_id.is_some();
        let epoch = match (is_static, for_good) {
            (true, None | Some(false)) => LEAVE_FOR_NOW_EPOCH,
            (false, Some(false)) => return None,
            _ => LEAVE_EPOCH,
        };
        let is_known = matches!(self.phase, Phase::In) || (self.phase == Phase::Joining && self.in_flight);
        is_known.then(|| {
            Ask::ConsumerHeartbeat(ConsumerGroupHeartbeatRequest {
                group_id: self.settings.group_id.clone(),
                member_id: self.member_id.clone(),
                member_epoch: epoch,
                instance_id: self.settings.instance_id.clone(),
                ..ConsumerGroupHeartbeatRequest::default()
            })
        })
    }

    fn join(&mut self) {
        if self.phase == Phase::Out {
            self.phase = Phase::Joining;
        }
    }
}

fn unsupported() -> ClientError {
    ClientError::api(
        ErrorCode::UnsupportedVersion,
        Some(
            "The cluster does not support the new CONSUMER group protocol. Set group.protocol=classic on the consumer configs \
             to revert to the CLASSIC protocol until the cluster is upgraded."
                .to_owned(),
        ),
    )
}

impl Membership for ConsumerMember {
    fn subscribe(&mut self, topics: BTreeSet<String>) {
        self.topics = Some(topics);
        self.pattern = None;
        self.join();
    }

    fn subscribe_to_pattern(&mut self, pattern: String) -> Result<(), ClientError> {
        self.pattern = Some(pattern);
        // Named topics that were wanted before are not any more.
        self.topics = self.topics.take().map(|_| BTreeSet::new());
        self.join();
        Ok(())
    }

    fn observe(&mut self, _topics: &Snapshot) {}

    fn watched(&self) -> BTreeSet<String> {
        self.topics.clone().unwrap_or_default()
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
        let is_in = self.phase == Phase::In;
        if is_in && self.clock.is_over(now) {
            tracing::warn!(
                "group {}: the application has not polled for max.poll.interval.ms={}; the member leaves the group. Either \
                 its records take longer than that, or max.poll.records is too many at once",
                self.settings.group_id,
                self.settings.max_poll_interval.as_millis()
            );
            self.leave = self.leave_request(None);
            self.lose();
            return self.step(now);
        }
        let deadline = self.clock.deadline(now).filter(|_| is_in);
        if self.in_flight || self.error.is_some() {
            return Step::Wait(deadline);
        }
        if let Some(time) = self.not_before.filter(|time| *time > now) {
            return Step::Wait(earlier(deadline, Some(time)));
        }
        match self.phase {
            Phase::Out | Phase::Failed | Phase::Lost => return Step::Wait(None),
            Phase::Joining => {}
            Phase::In => {
                let unnamed: Vec<Uuid> =
                    self.target.keys().filter(|id| !self.names.contains_key(id)).copied().collect();
                if !unnamed.is_empty() {
                    self.in_flight = true;
                    return Step::Name(unnamed);
                }
                let is_changed = self.sent.topics != self.topics || self.sent.pattern != self.pattern;
                // In the middle of a turn the coordinator is not told: what it leads to is not there yet.
                let is_done =
                    !self.turns.is_waiting() && self.sent.owned.as_ref() != Some(&self.owned_by_id());
                if !is_changed && !is_done && self.next_heartbeat > now {
                    return Step::Wait(earlier(deadline, Some(self.next_heartbeat)));
                }
            }
        }
        self.in_flight = true;
        self.asked_in = self.phase;
        Step::Send(Ask::ConsumerHeartbeat(self.heartbeat()))
    }

    fn answered(&mut self, answer: Result<Answer, ClientError>, now: Instant) -> Coordinator {
        self.in_flight = false;
        match answer {
            Ok(Answer::ConsumerHeartbeat(response)) => self.answer(response, now),
            Ok(_) => Coordinator::Known,
            Err(error) if error.is_retriable() => {
                // Whether it came through is not known: all is told again.
                self.sent = Sent::default();
                self.back_off(now);
                Coordinator::Unknown
            }
            Err(ClientError::UnsupportedApi { .. }) => {
                self.fail(unsupported());
                Coordinator::Known
            }
            Err(error) => {
                self.fail(error);
                Coordinator::Known
            }
        }
    }

    fn divided(&mut self, _: Result<(Topics, GroupAssignment), ClientError>, _: Instant) {}

    fn named(&mut self, names: BTreeMap<Uuid, String>, now: Instant) {
        self.in_flight = false;
        for (id, name) in names {
            self.ids.insert(name.clone(), id);
            self.names.insert(id, name);
        }
        self.names.retain(|id, name| {
            self.target.contains_key(id) || self.owned.iter().any(|owned| *owned.topic == **name)
        });
        if self.target.keys().any(|id| !self.names.contains_key(id)) {
            // A topic that is gone, or that this broker has not heard of.
            self.not_before = Some(now + self.settings.retry_backoff);
        }
        self.reconcile();
    }

    fn take_turn(&mut self) -> Option<Turn> {
        self.turns.take()
    }

    fn put_turn_back(&mut self) {
        self.turns.put_back();
    }

    fn end_turn(&mut self, _now: Instant) {
        if self.turns.end(&mut self.owned).is_none() {
            return;
        }
        match self.phase {
            Phase::Lost if self.owned.is_empty() => self.phase = Phase::Joining,
            // Lost in the middle of the turn: what it brought is lost too.
            Phase::Lost | Phase::Failed if !self.owned.is_empty() => self.lose_owned(),
            _ => self.reconcile(),
        }
    }

    fn take_error(&mut self) -> Option<ClientError> {
        self.error.take()
    }

    fn request_rejoin(&mut self) {
        tracing::info!("Operation not supported in new consumer group protocol");
    }

    fn is_rebalancing(&self) -> bool {
        self.phase == Phase::Joining
    }

    fn commit_was_refused(&mut self, _refused: &GroupMetadata, _code: ErrorCode) {
        // The next heartbeat is told the same.
    }

    fn metadata(&self) -> GroupMetadata {
        let is_in = self.phase == Phase::In;
        GroupMetadata {
            group_id: self.settings.group_id.clone(),
            generation_id: if is_in { self.epoch } else { -1 },
            member_id: if is_in { self.member_id.clone() } else { String::new() },
            group_instance_id: self.settings.instance_id.clone(),
        }
    }

    fn farewell(&self) -> Turn {
        Turn::farewell(&self.owned, !matches!(self.phase, Phase::Lost | Phase::Failed))
    }

    fn leave(&mut self, _reason: &str, for_good: Option<bool>) -> Option<Ask> {
        let request = self.leave_request(for_good);
        self.phase = Phase::Out;
        self.epoch = JOIN_EPOCH;
        self.turns = Turns::default();
        self.owned.clear();
        self.target.clear();
        self.sent = Sent::default();
        (self.topics, self.pattern) = (None, None);
        request
    }
}
