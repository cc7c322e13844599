//! The coordinator with a log in memory, clients that are calls, and simulated time.

mod admin;
mod consumer;
mod golden;
mod hostile;
mod load;
mod membership;
mod offsets;
mod static_members;
mod streams;
mod timeouts;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{ErrorCode, Uuid};
use coordinator::{Appended, CoordinatorLog, LoadSummary};
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;
use protocol::records::{Batches, patch};
use protocol::{Message, Writer};

use crate::*;

/// The one partition in most tests.
const PARTITION: i32 = 0;
const NOW: i64 = 1_000_000;

/// A log of one partition, committed at once, or when the test says so.
struct MemoryLog {
    bytes: Mutex<Vec<u8>>,
    end: AtomicI64,
    alone: bool,
    error: Mutex<Option<ErrorCode>>,
}

impl MemoryLog {
    fn append_at_end(&self, mut batch: Vec<u8>) -> i64 {
        let count = Batches::new(&batch).next().unwrap().unwrap().records_count();
        let base_offset = self.end.fetch_add(i64::from(count), Ordering::SeqCst);
        patch::set_base_offset(&mut batch, base_offset).unwrap();
        self.bytes.lock().unwrap().extend(batch);
        base_offset + i64::from(count) - 1
    }
}

impl CoordinatorLog for MemoryLog {
    fn append(&self, _: i32, batch: &[u8], _: i64) -> Result<Appended, ErrorCode> {
        if let Some(error) = *self.error.lock().unwrap() {
            return Err(error);
        }
        let last_offset = self.append_at_end(batch.to_vec());
        Ok(Appended { last_offset, high_watermark: if self.alone { last_offset + 1 } else { 0 } })
    }

    fn max_batch_size(&self, _: i32) -> usize {
        1_048_588
    }
}

/// Topics `words` (three partitions) and `logs` (one).
struct Topics;

const WORDS: Uuid = Uuid::from_u128(0x1111_0000_0000_0000_0000_0000_0000_0001);
const LOGS: Uuid = Uuid::from_u128(0x2222_0000_0000_0000_0000_0000_0000_0002);

impl TopicResolver for Topics {
    fn topic_name(&self, id: Uuid) -> Option<String> {
        [(WORDS, "words"), (LOGS, "logs")]
            .into_iter()
            .find(|known| known.0 == id)
            .map(|known| known.1.to_owned())
    }

    fn topic_id(&self, name: &str) -> Option<Uuid> {
        [(WORDS, "words"), (LOGS, "logs")].into_iter().find(|known| known.1 == name).map(|known| known.0)
    }

    fn has_partition(&self, name: &str, partition: i32) -> bool {
        let count = match name {
            "words" => 3,
            "logs" => 1,
            _ => 0,
        };
        (0..count).contains(&partition)
    }
}

/// The topics as the coordinator knows them: those of [`Topics`], or what a test makes of them.
#[derive(Clone)]
struct TestTopics {
    version: i64,
    topics: BTreeMap<String, (Uuid, i32)>,
    racks: Vec<&'static str>,
}

impl Default for TestTopics {
    fn default() -> Self {
        let topics = [("words".to_owned(), (WORDS, 3)), ("logs".to_owned(), (LOGS, 1))].into();
        TestTopics { version: 1, topics, racks: Vec::new() }
    }
}

impl TestTopics {
    fn all(&self) -> TopicsChange {
        TopicsChange { created: true, names: self.topics.keys().cloned().collect() }
    }
}

impl TopicResolver for TestTopics {
    fn topic_name(&self, id: Uuid) -> Option<String> {
        self.topics.iter().find(|(_, topic)| topic.0 == id).map(|(name, _)| name.clone())
    }

    fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.topics.get(name).map(|topic| topic.0)
    }

    fn has_partition(&self, name: &str, partition: i32) -> bool {
        self.topics.get(name).is_some_and(|topic| (0..topic.1).contains(&partition))
    }
}

impl TopicsImage for TestTopics {
    fn version(&self) -> i64 {
        self.version
    }

    fn partition_count(&self, name: &str) -> Option<i32> {
        self.topics.get(name).map(|topic| topic.1)
    }

    fn partition_racks(&self, _: &str, _: i32) -> Vec<String> {
        self.racks.iter().map(|rack| (*rack).to_owned()).collect()
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.topics.keys().for_each(|name| visit(name));
    }
}

/// An answer that may have come.
struct Answer<T>(Arc<Mutex<Option<T>>>);

impl<T> Answer<T> {
    fn new() -> (Answer<T>, Reply<T>)
    where
        T: Send + 'static,
    {
        let place = Arc::new(Mutex::new(None));
        let told = Arc::clone(&place);
        let reply = Box::new(move |answer| {
            let before = told.lock().unwrap().replace(answer);
            assert!(before.is_none(), "answered twice");
        });
        (Answer(place), reply)
    }

    fn is_waiting(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    #[track_caller]
    fn get(self) -> T {
        self.0.lock().unwrap().take().expect("there is no answer yet")
    }
}

struct World {
    log: Arc<MemoryLog>,
    coordinator: GroupCoordinator,
    now_ms: i64,
    config: GroupConfig,
    woken_ms: Arc<AtomicI64>,
    client_id: &'static str,
    topics: TestTopics,
}

fn config() -> GroupConfig {
    GroupConfig { offsets_topic_num_partitions: 1, ..GroupConfig::default() }
}

fn world() -> World {
    world_with(config(), true)
}

fn world_with(config: GroupConfig, alone: bool) -> World {
    let log = Arc::new(MemoryLog {
        bytes: Mutex::default(),
        end: AtomicI64::new(0),
        alone,
        error: Mutex::new(None),
    });
    World::over(log, config, NOW)
}

/// A client of a group, with what it says of itself.
#[derive(Clone)]
struct Client {
    group_id: String,
    member_id: String,
    instance_id: Option<String>,
    version: i16,
    protocol_type: String,
    protocols: Vec<(String, Vec<u8>)>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    generation_id: i32,
}

/// A subscription as the Java consumer writes it, in version 1.
fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i16(1);
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        ..Default::default()
    };
    subscription.write(&mut writer, 1).unwrap();
    writer.into_bytes()
}

fn client(group_id: &str) -> Client {
    Client {
        group_id: group_id.to_owned(),
        member_id: String::new(),
        instance_id: None,
        version: 9,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), subscription(&["words"]))],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        generation_id: -1,
    }
}

impl World {
    fn over(log: Arc<MemoryLog>, config: GroupConfig, now_ms: i64) -> World {
        // No id twice, also not by the broker that takes over.
        let ids = AtomicU64::new(log.end.load(Ordering::SeqCst) as u64 * 1_000);
        let woken_ms = Arc::new(AtomicI64::new(i64::MAX));
        let told = Arc::clone(&woken_ms);
        let coordinator = GroupCoordinator::with_ids(
            config.clone(),
            Arc::clone(&log) as Arc<dyn CoordinatorLog>,
            Box::new(move |deadline_ms| {
                told.fetch_min(deadline_ms, Ordering::SeqCst);
            }),
            Box::new(move || Uuid::from_u128(u128::from(ids.fetch_add(1, Ordering::SeqCst)))),
        );
        let topics = TestTopics::default();
        coordinator.on_metadata_update(Arc::new(topics.clone()), &topics.all(), now_ms);
        let world = World { log, coordinator, now_ms, config, woken_ms, client_id: "client", topics };
        world.load().unwrap();
        world
    }

    fn load(&self) -> Result<LoadSummary, ErrorCode> {
        let bytes = self.log.bytes.lock().unwrap().clone();
        let end = self.log.end.load(Ordering::SeqCst);
        let mut read = |offset, buffer: &mut Vec<u8>| {
            if offset > end {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            if offset < end {
                buffer.extend_from_slice(&bytes);
            }
            Ok(())
        };
        self.coordinator.load(PARTITION, 0, 0, end, &mut read, self.now_ms)
    }

    /// Another broker takes over, with the log and nothing else.
    fn restart(&mut self) {
        self.coordinator.shutdown();
        let topics = self.topics.clone();
        *self = World::over(Arc::clone(&self.log), self.config.clone(), self.now_ms);
        self.set_topics(topics);
    }

    /// Lets time pass, as the timer task does: it sleeps until the first deadline or until it is woken.
    fn advance(&mut self, ms: i64) {
        let target_ms = self.now_ms + ms;
        loop {
            let woken_ms = self.woken_ms.swap(i64::MAX, Ordering::SeqCst);
            let next_ms = self.coordinator.next_deadline().unwrap_or(i64::MAX).min(woken_ms);
            if next_ms > target_ms {
                break;
            }
            self.now_ms = self.now_ms.max(next_ms);
            self.coordinator.expire(self.now_ms);
        }
        self.now_ms = target_ms;
    }

    /// Gives the coordinator other topics.
    fn set_topics(&mut self, topics: TestTopics) {
        let names = |topics: &TestTopics| topics.topics.keys().cloned().collect::<Vec<_>>();
        let change = TopicsChange {
            created: topics.topics.keys().any(|name| !self.topics.topics.contains_key(name)),
            names: names(&topics)
                .into_iter()
                .chain(names(&self.topics))
                .filter(|name| topics.topics.get(name) != self.topics.topics.get(name))
                .collect(),
        };
        self.topics = topics;
        self.topics.version += 1;
        self.coordinator.on_metadata_update(Arc::new(self.topics.clone()), &change, self.now_ms);
    }

    /// Adds a topic, or changes its number of partitions.
    fn set_topic(&mut self, name: &str, partitions: i32) {
        let mut topics = self.topics.clone();
        let id = Uuid::from_u128(0x9000 + topics.topics.len() as u128);
        topics.topics.entry(name.to_owned()).or_insert((id, 0)).1 = partitions;
        self.set_topics(topics);
    }

    fn context(&self, version: i16) -> RequestContext {
        RequestContext {
            api_version: version,
            client_id: self.client_id.to_owned(),
            client_host: "/127.0.0.1".to_owned(),
        }
    }

    fn join(&self, client: &Client) -> Answer<JoinGroupResponse> {
        let request = JoinGroupRequest {
            group_id: client.group_id.clone(),
            session_timeout_ms: client.session_timeout_ms,
            rebalance_timeout_ms: client.rebalance_timeout_ms,
            member_id: client.member_id.clone(),
            group_instance_id: client.instance_id.clone(),
            protocol_type: client.protocol_type.clone(),
            protocols: client
                .protocols
                .iter()
                .map(|(name, metadata)| JoinGroupRequestProtocol {
                    name: name.clone(),
                    metadata: metadata.clone(),
                })
                .collect(),
            ..Default::default()
        };
        let (answer, reply) = Answer::new();
        self.coordinator.join_group(&self.context(client.version), request, self.now_ms, reply);
        answer
    }

    fn ask_for_id(&self, client: &mut Client) {
        if client.member_id.is_empty() {
            let response = self.join(client).get();
            assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::MemberIdRequired);
            client.member_id = response.member_id;
        }
    }

    /// Joins as clients do: with the id that the first answer gives.
    fn join_with_id(&self, client: &mut Client) -> Answer<JoinGroupResponse> {
        self.ask_for_id(client);
        self.join(client)
    }

    fn sync(&self, client: &Client, assignments: &[(&str, &str)]) -> Answer<SyncGroupResponse> {
        let request = SyncGroupRequest {
            group_id: client.group_id.clone(),
            generation_id: client.generation_id,
            member_id: client.member_id.clone(),
            group_instance_id: client.instance_id.clone(),
            protocol_type: Some(client.protocol_type.clone()),
            protocol_name: Some(client.protocols[0].0.clone()),
            assignments: assignments
                .iter()
                .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                    member_id: (*member_id).to_owned(),
                    assignment: assignment.as_bytes().to_vec(),
                })
                .collect(),
        };
        let (answer, reply) = Answer::new();
        self.coordinator.sync_group(&self.context(5), request, self.now_ms, reply);
        answer
    }

    fn heartbeat(&self, client: &Client) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: client.group_id.clone(),
            generation_id: client.generation_id,
            member_id: client.member_id.clone(),
            group_instance_id: client.instance_id.clone(),
        };
        let (answer, reply) = Answer::new();
        self.coordinator.heartbeat(&self.context(4), request, self.now_ms, reply);
        ErrorCode::from_code(answer.get().error_code)
    }

    fn leave(&self, client: &Client) -> LeaveGroupResponse {
        let request = LeaveGroupRequest {
            group_id: client.group_id.clone(),
            members: vec![MemberIdentity {
                member_id: client.member_id.clone(),
                group_instance_id: client.instance_id.clone(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let (answer, reply) = Answer::new();
        self.coordinator.leave_group(&self.context(5), request, self.now_ms, reply);
        answer.get()
    }

    fn commit_request(client: &Client, offsets: &[(&str, i32, i64)]) -> OffsetCommitRequest {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for &(name, partition_index, committed_offset) in offsets {
            let partition = OffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                committed_metadata: Some("m".to_owned()),
                ..Default::default()
            };
            match topics.last_mut().filter(|last| last.name == name) {
                Some(last) => last.partitions.push(partition),
                None => topics.push(OffsetCommitRequestTopic {
                    name: name.to_owned(),
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        OffsetCommitRequest {
            group_id: client.group_id.clone(),
            generation_id_or_member_epoch: client.generation_id,
            member_id: client.member_id.clone(),
            group_instance_id: client.instance_id.clone(),
            topics,
            ..Default::default()
        }
    }

    fn commit_with(&self, version: i16, request: OffsetCommitRequest) -> Answer<OffsetCommitResponse> {
        let (answer, reply) = Answer::new();
        self.coordinator.commit_offsets(&self.context(version), request, &Topics, self.now_ms, reply);
        answer
    }

    /// Commits, and gives the outcome of each partition.
    fn commit(&self, client: &Client, offsets: &[(&str, i32, i64)]) -> Vec<ErrorCode> {
        let response = self.commit_with(9, World::commit_request(client, offsets)).get();
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| ErrorCode::from_code(partition.error_code)).collect()
    }

    fn fetch_with(&self, version: i16, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
        let (answer, reply) = Answer::new();
        self.coordinator.fetch_offsets(&self.context(version), request, &Topics, self.now_ms, reply);
        answer
    }

    /// The offset of one partition, or the error.
    fn fetch(&self, group_id: &str, topic: &str, partition: i32) -> Result<i64, ErrorCode> {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: group_id.to_owned(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: topic.to_owned(),
                    partition_indexes: vec![partition],
                    ..Default::default()
                }]),
                ..Default::default()
            }],
            require_stable: true,
            ..Default::default()
        };
        let response = self.fetch_with(9, request).get();
        let group = &response.groups[0];
        if group.error_code != 0 {
            return Err(ErrorCode::from_code(group.error_code));
        }
        let partition = &group.topics[0].partitions[0];
        match partition.error_code {
            0 => Ok(partition.committed_offset),
            error => Err(ErrorCode::from_code(error)),
        }
    }

    fn describe(&self, group_id: &str) -> describe_groups_response::DescribedGroup {
        let request = DescribeGroupsRequest { groups: vec![group_id.to_owned()], ..Default::default() };
        let (answer, reply) = Answer::new();
        self.coordinator.describe_groups(&self.context(6), request, self.now_ms, reply);
        answer.get().groups.remove(0)
    }

    fn state(&self, group_id: &str) -> String {
        self.describe(group_id).group_state
    }

    /// Has these clients join a group, in any state, and brings it to Stable: each member's assignment is its id.
    fn stabilize(&mut self, clients: &mut [Client]) {
        // Ids first: the group waits for whoever has one.
        for client in clients.iter_mut().filter(|client| client.instance_id.is_none()) {
            self.ask_for_id(client);
        }
        let answers: Vec<_> = clients.iter().map(|client| self.join(client)).collect();
        if answers.iter().any(Answer::is_waiting) {
            let delay_ms = i64::from(self.config.group_initial_rebalance_delay_ms);
            for _ in 0..30 {
                if answers.iter().any(Answer::is_waiting) {
                    self.advance(delay_ms.max(1));
                }
            }
        }
        let mut leader = None;
        for (index, (client, answer)) in clients.iter_mut().zip(answers).enumerate() {
            let response = answer.get();
            assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::None);
            client.member_id = response.member_id.clone();
            client.generation_id = response.generation_id;
            if response.leader == response.member_id {
                assert_eq!(response.members.len(), clients_count(&response));
                leader = Some(index);
            }
        }
        self.sync_all(clients, leader.expect("one of them leads"));
    }

    fn sync_all(&self, clients: &[Client], leader: usize) {
        let followers: Vec<_> = clients
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != leader)
            .map(|(_, client)| (client, self.sync(client, &[])))
            .collect();
        assert!(followers.iter().all(|(_, answer)| answer.is_waiting()), "followers wait for the leader");
        let ids: Vec<&str> = clients.iter().map(|client| client.member_id.as_str()).collect();
        let assignments: Vec<(&str, &str)> = ids.iter().map(|&id| (id, id)).collect();
        let response = self.sync(&clients[leader], &assignments).get();
        assert_eq!((response.error_code, response.assignment.as_slice()), (0, ids[leader].as_bytes()));
        for (client, answer) in followers {
            let response = answer.get();
            assert_eq!(
                (response.error_code, response.assignment),
                (0, client.member_id.clone().into_bytes())
            );
        }
    }

    /// All records of the log as they would be left after compaction, by key.
    fn compacted(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut records = BTreeMap::new();
        for batch in Batches::new(&self.log.bytes.lock().unwrap()) {
            for record in batch.unwrap().iter() {
                let record = record.unwrap();
                match record.value {
                    Some(value) => records.insert(record.key.unwrap().to_vec(), value.to_vec()),
                    None => records.remove(record.key.unwrap()),
                };
            }
        }
        records
    }
}

fn clients_count(response: &JoinGroupResponse) -> usize {
    let mut ids: Vec<_> = response.members.iter().map(|member| &member.member_id).collect();
    ids.sort();
    ids.dedup();
    ids.len()
}
