//! Streams groups: members that follow KIP-1071, as instances of an application do.

mod golden;
mod membership;
mod properties;

use std::collections::BTreeSet;

use protocol::messages::streams_group_describe_response::DescribedGroup;
use protocol::messages::streams_group_heartbeat_request::{
    Endpoint, KeyValue, Subtopology, TaskIds, TaskOffset, TopicInfo, Topology,
};

use super::*;
use crate::StreamsGroupHeartbeatResult;

type Held = BTreeSet<(String, i32)>;

/// A thread of an application that counts words: `words` to a repartition topic, from which the counts are made.
#[derive(Clone, Debug)]
struct Thread {
    member_id: String,
    process_id: String,
    epoch: i32,
    instance_id: Option<String>,
    endpoint: Option<Endpoint>,
    topology_epoch: i32,
    /// What it runs: active, standby and warm-up tasks.
    owned: [Held; 3],
    /// What it was told to run.
    assigned: [Held; 3],
}

fn thread(member_id: &str, process_id: &str) -> Thread {
    Thread {
        member_id: member_id.to_owned(),
        process_id: process_id.to_owned(),
        epoch: 0,
        instance_id: None,
        endpoint: None,
        topology_epoch: 0,
        owned: Default::default(),
        assigned: Default::default(),
    }
}

const CHANGELOG: &str = "g-counts-changelog";
const REPARTITION: &str = "g-counts-repartition";

fn internal_topic(name: &str) -> TopicInfo {
    TopicInfo {
        name: name.to_owned(),
        topic_configs: vec![KeyValue { key: "cleanup.policy".to_owned(), value: "compact".to_owned() }],
        ..Default::default()
    }
}

fn word_count(epoch: i32) -> Topology {
    Topology {
        epoch,
        subtopologies: vec![
            Subtopology {
                subtopology_id: "0".to_owned(),
                source_topics: vec!["words".to_owned()],
                repartition_sink_topics: vec![REPARTITION.to_owned()],
                ..Default::default()
            },
            Subtopology {
                subtopology_id: "1".to_owned(),
                state_changelog_topics: vec![internal_topic(CHANGELOG)],
                repartition_source_topics: vec![internal_topic(REPARTITION)],
                ..Default::default()
            },
        ],
    }
}

impl Thread {
    fn join_request(&self) -> StreamsGroupHeartbeatRequest {
        StreamsGroupHeartbeatRequest {
            topology: Some(word_count(self.topology_epoch)),
            active_tasks: Some(Vec::new()),
            standby_tasks: Some(Vec::new()),
            warmup_tasks: Some(Vec::new()),
            process_id: Some(self.process_id.clone()),
            user_endpoint: self.endpoint.clone(),
            client_tags: Some(Vec::new()),
            rebalance_timeout_ms: 60_000,
            ..self.short_request()
        }
    }

    /// A heartbeat that says no more than who it is.
    fn short_request(&self) -> StreamsGroupHeartbeatRequest {
        StreamsGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            ..Default::default()
        }
    }

    /// A heartbeat that says what it has.
    fn full_request(&self) -> StreamsGroupHeartbeatRequest {
        let ids = |held: &Held| {
            let mut ids: Vec<TaskIds> = Vec::new();
            for (id, partition) in held {
                match ids.last_mut().filter(|last| last.subtopology_id == *id) {
                    Some(last) => last.partitions.push(*partition),
                    None => ids.push(TaskIds { subtopology_id: id.clone(), partitions: vec![*partition] }),
                }
            }
            Some(ids)
        };
        StreamsGroupHeartbeatRequest {
            active_tasks: ids(&self.owned[0]),
            standby_tasks: ids(&self.owned[1]),
            warmup_tasks: ids(&self.owned[2]),
            ..self.short_request()
        }
    }

    fn take(&mut self, response: &StreamsGroupHeartbeatResponse) {
        self.epoch = response.member_epoch;
        let told = [&response.active_tasks, &response.standby_tasks, &response.warmup_tasks];
        for (assigned, ids) in self.assigned.iter_mut().zip(told) {
            let Some(ids) = ids else { continue };
            *assigned = ids
                .iter()
                .flat_map(|ids| {
                    ids.partitions.iter().map(|partition| (ids.subtopology_id.clone(), *partition))
                })
                .collect();
        }
    }

    /// Gives up what it should not have, and takes what it should.
    fn apply(&mut self) {
        self.owned = self.assigned.clone();
    }
}

impl World {
    fn beat_streams(
        &self,
        version: i16,
        request: StreamsGroupHeartbeatRequest,
    ) -> StreamsGroupHeartbeatResult {
        let (answer, reply) = Answer::new();
        self.coordinator.streams_group_heartbeat(&self.context(version), request, self.now_ms, reply);
        answer.get()
    }

    #[track_caller]
    fn join_streams(&self, thread: &mut Thread) -> StreamsGroupHeartbeatResult {
        let result = self.beat_streams(1, thread.join_request());
        assert_eq!(result.response.error_code, 0, "{:?}", result.response.error_message);
        thread.take(&result.response);
        result
    }

    /// One heartbeat of each, who do what they hear, until nothing changes.
    #[track_caller]
    fn settle_streams(&mut self, threads: &mut [Thread]) {
        for _ in 0..20 {
            let before =
                threads.iter().map(|thread| (thread.epoch, thread.owned.clone())).collect::<Vec<_>>();
            self.advance(1_000);
            for thread in threads.iter_mut() {
                let result = self.beat_streams(1, thread.full_request());
                assert_eq!(result.response.error_code, 0, "{:?}", result.response.error_message);
                thread.take(&result.response);
                thread.apply();
            }
            let after = threads.iter().map(|thread| (thread.epoch, thread.owned.clone())).collect::<Vec<_>>();
            if before == after && self.described_streams("g").group_state == "Stable" {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.described_streams("g"));
    }

    fn described_streams(&self, group_id: &str) -> DescribedGroup {
        let (answer, reply) = Answer::new();
        let request =
            StreamsGroupDescribeRequest { group_ids: vec![group_id.to_owned()], ..Default::default() };
        self.coordinator.describe_streams_groups(&self.context(1), request, self.now_ms, reply);
        answer.get().groups.remove(0)
    }

    /// Group epoch, assignment epoch and state.
    fn streams_epochs(&self) -> (i32, i32, String) {
        let described = self.described_streams("g");
        (described.group_epoch, described.assignment_epoch, described.group_state)
    }

    /// What the log says of group `g`.
    fn streams_state(&self) -> String {
        self.coordinator
            .inspect(PARTITION, self.now_ms, |shard| {
                let mut group = shard.groups().streams("g").cloned();
                if let Some(group) = &mut group {
                    group.memory = Default::default();
                }
                // Without the order of hashed maps.
                format!("{group:#?}").lines().map(str::trim).collect::<BTreeSet<_>>().into_iter().collect()
            })
            .unwrap()
    }

    /// Creates what the group is missing, as the broker does.
    fn create_topics(&mut self, result: &StreamsGroupHeartbeatResult) {
        for topic in &result.internal_topics_to_create {
            self.set_topic(&topic.name, topic.num_partitions);
        }
    }
}

fn statuses(result: &StreamsGroupHeartbeatResult) -> Vec<i8> {
    result.response.status.iter().flatten().map(|status| status.status_code).collect()
}

/// A group of these threads in which everybody has what they should have.
fn settled(world: &mut World, threads: &mut [Thread]) {
    for thread in threads.iter_mut() {
        let result = world.join_streams(thread);
        world.create_topics(&result);
    }
    world.advance(3_000);
    world.settle_streams(threads);
}

fn tasks(thread: &Thread) -> Vec<String> {
    thread.owned[0].iter().map(|(id, partition)| format!("{id}_{partition}")).collect()
}

fn all_active(threads: &[Thread]) -> Vec<String> {
    let mut all: Vec<String> = threads.iter().flat_map(tasks).collect();
    all.sort();
    all
}

const ALL: [&str; 6] = ["0_0", "0_1", "0_2", "1_0", "1_1", "1_2"];
