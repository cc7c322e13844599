//! Who changes the cluster, and who uses it: topics come and go, voters are added and removed, clients write.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::topic::GROUP_METADATA_TOPIC;
use common::{ErrorCode, Uuid};
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::{AlterPartitionReassignmentsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use raft::{QuorumRequest, ReplicaKey};

use super::messages::{Ask, ControllerAsk, ControllerTold, Told, is_fine};
use super::node::{CLUSTER, endpoint};
use super::serve::CONSUMED;
use super::{ADMIN, CLIENTS, Event, World};

/// What the administrator waits for.
enum Change {
    Create(String),
    Delete(Uuid),
    /// Added, or removed.
    Voter(ReplicaKey, bool),
}

#[derive(Default)]
pub(crate) struct Admin {
    asked: BTreeMap<u64, Change>,
    topics: u64,
}

impl World {
    /// The node that leads the quorum, as far as anybody knows.
    fn controller(&mut self) -> Option<i32> {
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let one = self.random.pick(&ids)?;
        self.nodes.get(one)?.process.as_ref()?.metadata.raft().leader_and_epoch().leader_id
    }

    pub(super) fn change_topics(&mut self) {
        let next_ms = self.now_ms + 200 + self.random.below(1_000) as i64;
        self.schedule.at(next_ms, Event::ChangeTopics);
        let Some(controller) = self.controller() else { return };
        let newest = Arc::clone(&self.checker.newest);
        let missing =
            [GROUP_METADATA_TOPIC, CONSUMED].into_iter().find(|name| newest.topics.topic(name).is_none());
        let ours: Vec<_> =
            newest.topics.sorted().into_iter().filter(|topic| topic.name.starts_with('t')).collect();
        if missing.is_none() && self.quiet {
            return;
        }
        if missing.is_none() && !self.healed && self.random.chance(30) {
            self.reassign(controller);
        } else if missing.is_none() && ours.len() > 2 && self.random.chance(15) {
            let Some(topic) = self.random.pick(&ours) else { return };
            let request = DeleteTopicsRequest {
                topics: vec![DeleteTopicState { name: None, topic_id: topic.id }],
                timeout_ms: 1_000,
                ..Default::default()
            };
            let ask = Ask::Controller(ControllerAsk::DeleteTopics(request));
            let number = self.ask(ADMIN, controller, None, ask);
            self.checker.deleted.entry(topic.id).or_insert(false);
            self.admin.asked.insert(number, Change::Delete(topic.id));
        } else if missing.is_some() || ours.len() < 4 {
            let name = missing.map_or_else(|| format!("t{}", self.admin.topics), str::to_owned);
            self.admin.topics += u64::from(missing.is_none());
            let replication = if self.plan.nodes > 4 && self.random.chance(30) { 5 } else { 3 };
            let topic = CreatableTopic {
                name: name.clone(),
                num_partitions: 1 + self.random.below(2) as i32,
                replication_factor: replication,
                ..Default::default()
            };
            let request =
                CreateTopicsRequest { topics: vec![topic], timeout_ms: 1_000, validate_only: false };
            let ask = Ask::Controller(ControllerAsk::CreateTopics(request));
            let number = self.ask(ADMIN, controller, None, ask);
            self.admin.asked.insert(number, Change::Create(name));
        }
    }

    /// Moves a partition to other brokers, or takes that back.
    fn reassign(&mut self, controller: i32) {
        let newest = Arc::clone(&self.checker.newest);
        let topics = newest.topics.sorted();
        let Some(topic) = self.random.pick(&topics) else { return };
        let partition_index = self.random.below(topic.partitions.len() as u64) as i32;
        let Some(known) = topic.partition(partition_index) else { return };
        let moves = !known.adding_replicas.is_empty() || !known.removing_replicas.is_empty();
        let mut ids: Vec<i32> = self.nodes.keys().copied().collect();
        let replicas = (!moves || self.random.chance(60)).then(|| {
            let mut replicas = Vec::new();
            while replicas.len() < 3 && !ids.is_empty() {
                replicas.push(ids.swap_remove(self.random.below(ids.len() as u64) as usize));
            }
            replicas
        });
        self.trace.note(
            self.now_ms,
            format_args!("{}-{partition_index} of {:?} is to be on {replicas:?}", topic.name, known.replicas),
        );
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: topic.name.to_string(),
                partitions: vec![ReassignablePartition { partition_index, replicas }],
            }],
            ..Default::default()
        };
        self.ask(ADMIN, controller, None, Ask::Controller(ControllerAsk::Reassign(request)));
    }

    pub(super) fn change_voters(&mut self) {
        let next_ms = self.now_ms + 500 + self.random.below(3_000) as i64;
        if self.healed || self.plan.is_static {
            return;
        }
        self.schedule.at(next_ms, Event::ChangeVoters);
        let Some(controller) = self.controller() else { return };
        let leader = self.nodes.get(&controller).and_then(|node| node.process.as_ref());
        let Some(voters) = leader.map(|process| process.metadata.raft().voters().clone()) else { return };
        let others: Vec<_> = self
            .nodes
            .values()
            .filter(|node| !voters.is_voter(&node.key()) && !self.plan.only_brokers.contains(&node.id))
            .map(|node| (node.id, node.key()))
            .collect();
        let now: Vec<_> = voters.voters().map(|voter| voter.key).collect();
        let cluster_id = Some(CLUSTER.to_owned());
        let few = now.len() < 3;
        let (key, added, request) = match self.random.pick(&others).copied() {
            Some((id, key)) if few || self.random.chance(60) => {
                let endpoints = vec![endpoint(id)];
                let request = QuorumRequest::AddVoter {
                    cluster_id,
                    timeout_ms: 1_000,
                    voter: Some(key),
                    endpoints,
                    ack_when_committed: true,
                };
                (key, true, request)
            }
            _ if !few => {
                let Some(key) = self.random.pick(&now).copied() else { return };
                (key, false, QuorumRequest::RemoveVoter { cluster_id, voter: Some(key) })
            }
            _ => return,
        };
        self.trace.note(self.now_ms, format_args!("{key} is to be a voter: {added}"));
        let number = self.ask(ADMIN, controller, None, Ask::Quorum(request));
        self.checker.voters.insert(key, None);
        self.admin.asked.insert(number, Change::Voter(key, added));
    }

    pub(super) fn admin_hears(&mut self, number: u64, told: Told) -> Result<(), String> {
        let Some(change) = self.admin.asked.remove(&number) else { return Ok(()) };
        match (change, told) {
            (Change::Create(name), Told::Controller(ControllerTold::Created(response))) => {
                let created =
                    response.topics.iter().find(|topic| topic.name == name && is_fine(topic.error_code));
                if let Some(topic) = created {
                    self.trace.note(self.now_ms, format_args!("the topic {name} is {}", topic.topic_id));
                    self.checker.created.insert(topic.topic_id, name);
                }
            }
            (Change::Delete(id), Told::Controller(ControllerTold::Deleted(response)))
                if response
                    .responses
                    .iter()
                    .any(|topic| topic.topic_id == id && is_fine(topic.error_code)) =>
            {
                self.trace.note(self.now_ms, format_args!("the topic {id} is gone"));
                self.checker.deleted.insert(id, true);
            }
            (Change::Voter(key, added), Told::Quorum(Ok(response))) => {
                let fine = response.top_level_error == ErrorCode::None && response.error == ErrorCode::None;
                let is_last = !self
                    .admin
                    .asked
                    .values()
                    .any(|other| matches!(other, Change::Voter(of, _) if *of == key));
                self.trace.note(self.now_ms, format_args!("{key} is a voter: {added}, {:?}", response.error));
                if fine && is_last {
                    self.checker.voters.insert(key, Some(added));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A client does something.
    pub(super) fn act(&mut self, client: i32) {
        let next_ms = self.now_ms + 15 + self.random.below(80) as i64;
        self.schedule.at(next_ms, Event::Act(client));
        let index = (client - CLIENTS) as usize;
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let Some(one) = self.random.pick(&ids) else { return };
        let process = self.nodes.get(one).and_then(|node| node.process.as_ref());
        let Some(broker) = process.and_then(|process| process.broker.as_ref()) else { return };
        let image = Arc::clone(&broker.image);
        if let Some(producer) = self.producers.get_mut(index) {
            if producer.waits(self.now_ms) || (self.quiet && producer.batch.is_none()) {
                return;
            }
            let newest = Arc::clone(&self.checker.newest);
            let (planted, now_ms) = (self.planted, self.now_ms);
            let next = producer.next(&newest, &mut self.next_value, planted, &mut self.random, now_ms);
            let Some(batch) = next else { return };
            let known = image.topics.partition(&batch.to.topic_id, batch.to.partition);
            let Some(leader) = known.map(|known| known.leader).filter(|leader| *leader >= 0) else { return };
            let number = self.ask(client, leader, None, batch.ask());
            if let Some(producer) = self.producers.get_mut(index) {
                producer.asked = Some((number, now_ms));
            }
        } else if let Some(committer) = self.committers.get_mut(index - self.producers.len()) {
            if committer.waits(self.now_ms) || self.quiet {
                return;
            }
            let Some(topic) = image.topics.topic(GROUP_METADATA_TOPIC) else { return };
            let coordinator = broker.groups.partition_for(&committer.group);
            let Some(leader) = topic.partition(coordinator).map(|known| known.leader).filter(|id| *id >= 0)
            else {
                return;
            };
            let Some((ask, offset)) = committer.next(&image, &mut self.random) else { return };
            let number = self.ask(client, leader, None, ask);
            if let Some(committer) = self.committers.get_mut(index - self.producers.len()) {
                committer.asked = Some((number, self.now_ms, offset));
            }
        }
    }

    /// Whether a client still waits for the answer to a request.
    pub(super) fn is_waited_for(&self, from: i32, number: u64) -> bool {
        let index = (from - CLIENTS) as usize;
        if from < CLIENTS {
            return true;
        }
        match self.producers.get(index) {
            Some(producer) => producer.asked.is_some_and(|(asked, _)| asked == number),
            None => self
                .committers
                .get(index - self.producers.len())
                .is_some_and(|committer| committer.asked.is_some_and(|(asked, ..)| asked == number)),
        }
    }

    /// A client hears an answer.
    pub(super) fn client_hears(&mut self, client: i32, number: u64, told: Told) -> Result<(), String> {
        if !self.is_waited_for(client, number) {
            return Ok(());
        }
        let index = (client - CLIENTS) as usize;
        if let Some(producer) = self.producers.get_mut(index) {
            producer.asked = None;
            if let Told::Produced(Ok(last_offset)) = told
                && let Some(batch) = producer.done()
            {
                let (topic, values) = (batch.to, &batch.values);
                self.trace.note(self.now_ms, format_args!("{values:?} are at {last_offset} of {topic:?}"));
                self.checker.acknowledge(topic, values, last_offset)?;
            }
        } else if let Some(committer) = self.committers.get_mut(index - self.producers.len()) {
            let offset = committer.asked.take().and_then(|(_, _, offset)| offset);
            if let (Told::Committed(ErrorCode::None), Some(offset)) = (told, offset) {
                self.trace.note(self.now_ms, format_args!("{} committed {offset}", committer.group));
                committer.acknowledged = offset;
            }
        }
        Ok(())
    }

    /// A coordinator has answered. What it says of a committed offset is looked at here and now: is it the one that the newest
    /// metadata name, then it must know of all that was acknowledged.
    pub(super) fn coordinator_answers(&mut self, id: i32, number: u64, told: Told) -> Result<(), String> {
        if let Told::CommittedOffset(Ok(offset)) = &told
            && let Some(call) = self.calls.get(&number)
            && let Some(committer) =
                self.committers.get((call.from - CLIENTS) as usize - self.producers.len())
        {
            let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
            let Some(broker) = process.and_then(|process| process.broker.as_ref()) else { return Ok(()) };
            let index = broker.groups.partition_for(&committer.group);
            let newest = self.checker.newest.topics.topic(GROUP_METADATA_TOPIC);
            let newest = newest.and_then(|topic| topic.partition(index));
            let here = broker.replicas.partition(GROUP_METADATA_TOPIC, index);
            let leads = newest.zip(here).is_some_and(|(newest, here)| {
                newest.leader == id && newest.leader_epoch == here.leader_epoch()
            });
            self.checker.checks += 1;
            if leads && self.suspect != Some(id) && !committer.is_possible(*offset) {
                return Err(format!(
                    "{} is at {offset}, {} was acknowledged",
                    committer.group, committer.acknowledged
                ));
            }
        }
        self.answer(number, told);
        Ok(())
    }
}
