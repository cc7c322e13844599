//! Consumer groups: members that follow KIP-848, as clients do.

mod golden;
mod membership;
mod migration;
mod offsets;
mod properties;
mod reconciliation;
mod regular_expressions;

use std::collections::BTreeSet;

use protocol::messages::consumer_group_describe_response::DescribedGroup;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;

use super::*;

type Partitions = BTreeSet<(Uuid, i32)>;

/// A member of a consumer group, and what it has.
#[derive(Clone, Debug)]
struct Member {
    group_id: String,
    member_id: String,
    epoch: i32,
    instance_id: Option<String>,
    rack_id: Option<String>,
    topics: Option<Vec<String>>,
    regex: Option<String>,
    assignor: Option<String>,
    /// What it reads.
    owned: Partitions,
    /// What it was told to read.
    assigned: Partitions,
}

fn member(name: &str) -> Member {
    Member {
        group_id: "g".to_owned(),
        member_id: name.to_owned(),
        epoch: 0,
        instance_id: None,
        rack_id: None,
        topics: Some(vec!["words".to_owned()]),
        regex: None,
        assignor: None,
        owned: Partitions::new(),
        assigned: Partitions::new(),
    }
}

fn words(partitions: &[i32]) -> Partitions {
    partitions.iter().map(|partition| (WORDS, *partition)).collect()
}

impl Member {
    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic_id, partition) in &self.owned {
            owned.entry(*topic_id).or_default().push(*partition);
        }
        ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: self.topics.clone(),
            subscribed_topic_regex: self.regex.clone(),
            server_assignor: self.assignor.clone(),
            topic_partitions: Some(
                owned
                    .into_iter()
                    .map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions })
                    .collect(),
            ),
        }
    }

    /// A heartbeat that says no more than who it is.
    fn short_request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            ..Default::default()
        }
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            self.assigned = assignment
                .topic_partitions
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)))
                .collect();
        }
    }

    /// Gives up what it should not have, and takes what it should.
    fn apply(&mut self) {
        self.owned = self.assigned.clone();
    }
}

impl World {
    fn send(&self, version: i16, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let (answer, reply) = Answer::new();
        self.coordinator.consumer_group_heartbeat(&self.context(version), request, self.now_ms, reply);
        answer.get()
    }

    fn beat_error(&self, request: ConsumerGroupHeartbeatRequest) -> ErrorCode {
        ErrorCode::from_code(self.send(1, request).error_code)
    }

    /// A heartbeat that succeeds, whose answer the member follows at once.
    #[track_caller]
    fn beat(&self, member: &mut Member) {
        let response = self.send(1, member.request());
        assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::None, "{response:?}");
        member.take(&response);
        member.apply();
    }

    /// Heartbeats of all until nothing changes, each second.
    #[track_caller]
    fn settle(&mut self, members: &mut [Member]) {
        for _ in 0..40 {
            let before: Vec<_> = members.iter().map(|member| (member.epoch, member.owned.clone())).collect();
            for member in members.iter_mut() {
                self.beat(member);
            }
            self.advance(1_000);
            let after: Vec<_> = members.iter().map(|member| (member.epoch, member.owned.clone())).collect();
            if before == after && self.described("g").group_state == "Stable" {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.described("g"));
    }

    fn goodbye(&self, member: &Member, epoch: i32) -> ErrorCode {
        let request = ConsumerGroupHeartbeatRequest {
            member_epoch: epoch,
            instance_id: member.instance_id.clone(),
            ..member.short_request()
        };
        self.beat_error(request)
    }

    fn described(&self, group_id: &str) -> DescribedGroup {
        let (answer, reply) = Answer::new();
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec![group_id.to_owned()], ..Default::default() };
        self.coordinator.describe_consumer_groups(&self.context(1), request, self.now_ms, reply);
        answer.get().groups.remove(0)
    }

    /// Group epoch, assignment epoch and state.
    fn epochs(&self) -> (i32, i32, String) {
        let described = self.described("g");
        (described.group_epoch, described.assignment_epoch, described.group_state)
    }

    /// The whole state of group `g`, as it is in memory.
    fn state_of(&self, group_id: &str) -> String {
        self.coordinator
            .inspect(PARTITION, self.now_ms, |shard| {
                let mut group = shard.groups().consumer(group_id).cloned();
                if let Some(group) = &mut group {
                    group.request_metadata_refresh();
                }
                format!("{group:?}")
            })
            .unwrap()
    }
}
