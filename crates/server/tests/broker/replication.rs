//! Replication as the other side sees it: followers of this broker, and a leader that it follows, played by the test.

use std::sync::Arc;
use std::time::Duration;

use common::{ErrorCode, Uuid};
use protocol::messages::broker_registration_request::Listener;
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::fetch_request::ReplicaState;
use protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use protocol::messages::*;
use protocol::records::{RecordBatch, patch};
use protocol::{ApiKey, Message, Reader, Records, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::harness::{
    Broker, Client, NODE, Topic, batch, error, fetch_request, produce_request, unique, values,
};
use crate::peers;

/// The other broker.
const OTHER: i32 = 2;
/// Lags are noticed soon.
const SETTINGS: [(&str, &str); 2] =
    [("replica.lag.time.max.ms", "300"), ("replica.fetch.wait.max.ms", "100")];

/// Lets another broker into the cluster, which others reach at a port. Its epoch.
async fn join(broker: &Broker, port: u16) -> i64 {
    let mut controller = broker.connect_to_controller().await;
    let features = peers::features(&mut controller).await;
    let cluster_id = broker.cluster_id().unwrap().to_owned();
    let mut request = peers::registration(&cluster_id, OTHER, Uuid::random(), &features);
    request.rack = Some("b".to_owned());
    request.listeners = vec![Listener {
        name: "PLAINTEXT".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        security_protocol: 0,
    }];
    let response = controller.call(4, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    let beat = peers::heartbeat(&mut controller, OTHER, response.broker_epoch, false).await;
    assert!(!beat.is_fenced);
    response.broker_epoch
}

/// A topic of one partition with these replicas.
async fn create(client: &mut Client, replicas: &[i32], configs: &[(&str, &str)]) -> Topic {
    let name = unique("replicated");
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.clone(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![CreatableReplicaAssignment {
                partition_index: 0,
                broker_ids: replicas.to_vec(),
            }],
            configs: configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: (*name).to_owned(),
                    value: Some((*value).to_owned()),
                })
                .collect(),
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let response = client.call(7, &request).await;
    assert_eq!(
        error(response.topics[0].error_code),
        ErrorCode::None,
        "{:?}",
        response.topics[0].error_message
    );
    Topic { name, id: response.topics[0].topic_id }
}

/// A fetch of the other broker.
fn follow(topic: &Topic, broker_epoch: i64, leader_epoch: i32, offset: i64) -> FetchRequest {
    let mut request = fetch_request(17, topic, &[(0, offset)]);
    request.replica_state = ReplicaState { replica_id: OTHER, replica_epoch: broker_epoch };
    request.topics[0].partitions[0].current_leader_epoch = leader_epoch;
    request
}

async fn isr(client: &mut Client, topic: &Topic) -> Vec<i32> {
    client.describe_topic(&topic.name).await.partitions[0].isr_nodes.clone()
}

async fn until_isr_is(client: &mut Client, topic: &Topic, expected: &[i32]) {
    let mut seen = isr(client, topic).await;
    for _ in 0..400 {
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        seen = isr(client, topic).await;
    }
    panic!("the ISR stays {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_waits_for_the_follower_and_readers_see_what_both_have() {
    let Some(broker) = Broker::start_with(&[("replica.lag.time.max.ms", "30000")]).await else { return };
    // The controller looks whether a broker whose connection has ended is still there.
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let epoch = join(&broker, listens.local_addr().unwrap().port()).await;
    let (mut client, mut writer) = (broker.connect().await, broker.connect().await);
    let (mut reader, mut follower) = (broker.connect().await, broker.connect().await);
    let topic = create(&mut client, &[NODE, OTHER], &[]).await;
    client.wait_for(&topic.name, 1).await;

    let records = batch(&["one", "two"]);
    let mut request = produce_request(11, -1, &topic, &[(0, &records)]);
    request.timeout_ms = 50;
    let response = writer.call(11, &request).await;
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!((error(answer.error_code), answer.base_offset), (ErrorCode::RequestTimedOut, 0));
    writer.send(11, &produce_request(11, -1, &topic, &[(0, &batch(&["three"]))])).await;

    // A reader waits for what is committed, the follower gets everything.
    let mut long = fetch_request(12, &topic, &[(0, 0)]);
    long.max_wait_ms = 30_000;
    reader.send(12, &long).await;
    // "three" comes by another connection: it may be a moment until the log has it.
    for attempt in 0.. {
        let fetched = follower.call(17, &follow(&topic, epoch, 0, 0)).await;
        let data = &fetched.responses[0].partitions[0];
        assert_eq!((error(data.error_code), data.high_watermark), (ErrorCode::None, 0));
        let got = values(data.records.unwrap().inline());
        if got.len() == 3 || attempt == 400 {
            assert_eq!(got, ["one", "two", "three"]);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let mut next = follow(&topic, epoch, 0, 2);
    next.max_wait_ms = 0;
    assert_eq!(error(follower.call(17, &next).await.error_code), ErrorCode::None);
    let read = reader.receive::<FetchRequest>(12).await;
    let data = &read.responses[0].partitions[0];
    assert_eq!(
        (data.high_watermark, values(data.records.unwrap().inline())),
        (2, vec!["one".into(), "two".into()])
    );

    let mut last = follow(&topic, epoch, 0, 3);
    last.max_wait_ms = 0;
    follower.call(17, &last).await;
    let response = writer.receive::<ProduceRequest<'_>>(11).await;
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!((error(answer.error_code), answer.base_offset), (ErrorCode::None, 2));

    // A follower waits for anything that is written.
    let mut waiting = follow(&topic, epoch, 0, 3);
    waiting.max_wait_ms = 30_000;
    follower.send(17, &waiting).await;
    writer.send(11, &produce_request(11, -1, &topic, &[(0, &batch(&["four"]))])).await;
    let fetched = follower.receive::<FetchRequest>(17).await;
    assert_eq!(values(fetched.responses[0].partitions[0].records.unwrap().inline()), ["four"]);
    last.topics[0].partitions[0].fetch_offset = 4;
    follower.call(17, &last).await;
    let response = writer.receive::<ProduceRequest<'_>>(11).await;
    assert_eq!(error(response.responses[0].partition_responses[0].error_code), ErrorCode::None);

    for (fetch, expected) in [
        (follow(&topic, epoch, 1, 4), ErrorCode::UnknownLeaderEpoch),
        (follow(&topic, epoch - 1, 0, 4), ErrorCode::NotLeaderOrFollower),
        (follow(&topic, epoch, 0, 9), ErrorCode::OffsetOutOfRange),
    ] {
        let response = follower.call(17, &fetch).await;
        assert_eq!(error(response.responses[0].partitions[0].error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lags_leaves_and_one_that_has_caught_up_joins() {
    let Some(broker) = Broker::start_with(&SETTINGS).await else { return };
    // The controller looks whether a broker whose connection has ended is still there.
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let epoch = join(&broker, listens.local_addr().unwrap().port()).await;
    let (mut client, mut follower) = (broker.connect().await, broker.connect().await);
    let topic = create(&mut client, &[NODE, OTHER], &[("min.insync.replicas", "2")]).await;
    client.wait_for(&topic.name, 1).await;
    assert_eq!(isr(&mut client, &topic).await, [NODE, OTHER]);
    // A writer that waits when the follower leaves is told.
    let mut writer = broker.connect().await;
    let records = batch(&["one"]);
    writer.send(11, &produce_request(11, -1, &topic, &[(0, &records)])).await;
    until_isr_is(&mut client, &topic, &[NODE]).await;
    let refused = client.produce_as(11, -1, &topic, 0, &records).await;
    assert_eq!(error(refused.error_code), ErrorCode::NotEnoughReplicas);

    let mut caught_up = follow(&topic, epoch, 0, 1);
    caught_up.max_wait_ms = 0;
    follower.call(17, &caught_up).await;
    until_isr_is(&mut client, &topic, &[NODE, OTHER]).await;
    let response = writer.receive::<ProduceRequest<'_>>(11).await;
    assert_eq!(error(response.responses[0].partition_responses[0].error_code), ErrorCode::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_are_gone_when_the_followers_say_so() {
    let Some(broker) = Broker::start_with(&[("replica.lag.time.max.ms", "30000")]).await else { return };
    // The controller looks whether a broker whose connection has ended is still there.
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let epoch = join(&broker, listens.local_addr().unwrap().port()).await;
    let (mut client, mut follower) = (broker.connect().await, broker.connect().await);
    let topic = create(&mut client, &[NODE, OTHER], &[]).await;
    client.wait_for(&topic.name, 1).await;
    client.produce_as(11, 1, &topic, 0, &batch(&["a", "b", "c"])).await;
    let mut caught_up = follow(&topic, epoch, 0, 3);
    caught_up.topics[0].partitions[0].log_start_offset = 0;
    (caught_up.max_wait_ms, caught_up.session_epoch) = (0, 0);
    let session_id = follower.call(17, &caught_up).await.session_id;
    let waiting = FetchRequest {
        replica_state: caught_up.replica_state.clone(),
        max_wait_ms: 30_000,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_id,
        session_epoch: 1,
        ..FetchRequest::default()
    };
    follower.send(17, &waiting).await;

    let delete = |timeout_ms| DeleteRecordsRequest {
        topics: vec![delete_records_request::DeleteRecordsTopic {
            name: topic.name.clone(),
            partitions: vec![delete_records_request::DeleteRecordsPartition {
                partition_index: 0,
                offset: 2,
            }],
        }],
        timeout_ms,
    };
    let response = client.call(2, &delete(20)).await;
    assert_eq!(error(response.topics[0].partitions[0].error_code), ErrorCode::RequestTimedOut);
    // The follower that waited has heard of it.
    let told = follower.receive::<FetchRequest>(17).await;
    assert_eq!(told.responses[0].partitions[0].log_start_offset, 2);
    client.send(2, &delete(30_000)).await;
    caught_up.topics[0].partitions[0].log_start_offset = 2;
    follower.call(17, &caught_up).await;
    let response = client.receive::<DeleteRecordsRequest>(2).await;
    let answer = &response.topics[0].partitions[0];
    assert_eq!((error(answer.error_code), answer.low_watermark), (ErrorCode::None, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_sent_to_the_replica_in_its_rack() {
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let settings = [("replica.selector.class", selector), ("broker.rack", "a")];
    let Some(broker) = Broker::start_with(&settings).await else { return };
    // The controller looks whether a broker whose connection has ended is still there.
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let epoch = join(&broker, listens.local_addr().unwrap().port()).await;
    let (mut client, mut follower) = (broker.connect().await, broker.connect().await);
    let topic = create(&mut client, &[NODE, OTHER], &[]).await;
    client.wait_for(&topic.name, 1).await;
    client.produce_as(11, 1, &topic, 0, &batch(&["a"])).await;
    let mut in_rack = fetch_request(12, &topic, &[(0, 1)]);
    (in_rack.rack_id, in_rack.max_wait_ms) = ("b".to_owned(), 0);
    let preferred = |response: FetchResponse<'_>| response.responses[0].partitions[0].preferred_read_replica;
    assert_eq!(preferred(client.call(12, &in_rack).await), -1, "the follower does not have the offset");
    let mut caught_up = follow(&topic, epoch, 0, 1);
    caught_up.topics[0].partitions[0].log_start_offset = 0;
    caught_up.max_wait_ms = 0;
    follower.call(17, &caught_up).await;
    assert_eq!(preferred(client.call(12, &in_rack).await), OTHER);
    in_rack.rack_id = "a".to_owned();
    assert_eq!(preferred(client.call(12, &in_rack).await), -1);
    in_rack.rack_id = "c".to_owned();
    assert_eq!(preferred(client.call(12, &in_rack).await), -1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_follower_out_of_sync_gets_no_more_than_its_share() {
    let Some(broker) = Broker::start_with(&SETTINGS).await else { return };
    // The controller looks whether a broker whose connection has ended is still there.
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let epoch = join(&broker, listens.local_addr().unwrap().port()).await;
    let (mut client, mut follower) = (broker.connect().await, broker.connect().await);
    let topic = create(
        &mut client,
        &[NODE, OTHER],
        &[("leader.replication.throttled.replicas", "0:1,0:2"), ("min.insync.replicas", "1")],
    )
    .await;
    client.wait_for(&topic.name, 1).await;
    let resource = incremental_alter_configs_request::AlterConfigsResource {
        resource_type: 4,
        resource_name: NODE.to_string(),
        configs: vec![incremental_alter_configs_request::AlterableConfig {
            name: "leader.replication.throttled.rate".to_owned(),
            config_operation: 0,
            value: Some("1".to_owned()),
        }],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(error(client.call(1, &request).await.responses[0].error_code), ErrorCode::None);
    client.produce_as(11, 1, &topic, 0, &batch(&["a"])).await;
    until_isr_is(&mut client, &topic, &[NODE]).await;
    let mut fetch = follow(&topic, epoch, 0, 0);
    fetch.max_wait_ms = 0;
    let records = |response: FetchResponse<'_>| {
        response.responses[0].partitions[0].records.map_or(0, |records| records.inline().len())
    };
    assert!(records(follower.call(17, &fetch).await) > 0, "the first bytes are within the rate");
    assert_eq!(records(follower.call(17, &fetch).await), 0);
}

/// A leader that the test plays.
struct Leader {
    port: u16,
    frames: UnboundedReceiver<Frame>,
    /// Where the last request came from.
    stream: Option<Arc<Mutex<OwnedWriteHalf>>>,
    version: i16,
    correlation_id: i32,
}

/// A request, and where its answer goes.
type Frame = (Vec<u8>, Arc<Mutex<OwnedWriteHalf>>);

impl Leader {
    /// Connections come and go beside the replica's, and none disturbs another: the controller has one to see who is there.
    async fn new() -> Leader {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, frames) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut read, write) = stream.into_split();
                let (sender, write) = (sender.clone(), Arc::new(Mutex::new(write)));
                tokio::spawn(async move {
                    while let Some(frame) = read_frame(&mut read).await {
                        drop(sender.send((frame, Arc::clone(&write))));
                    }
                });
            }
        });
        Leader { port, frames, stream: None, version: 0, correlation_id: 0 }
    }

    /// The next request of an API that comes. What a peer asks first is answered here.
    async fn next(&mut self, api: ApiKey) -> Vec<u8> {
        loop {
            let (frame, stream) = self.frames.recv().await.unwrap();
            self.stream = Some(stream);
            let mut reader = Reader::new(&frame);
            let key = ApiKey::from_code(reader.i16().unwrap()).unwrap();
            self.version = reader.i16().unwrap();
            self.correlation_id = reader.i32().unwrap();
            if key == ApiKey::ApiVersions {
                let versions =
                    [(ApiKey::Fetch, 4, 17), (ApiKey::ListOffsets, 1, 9), (ApiKey::ApiVersions, 0, 4)];
                let response = ApiVersionsResponse {
                    api_keys: versions
                        .iter()
                        .map(|(api, first, last)| api_versions_response::ApiVersion {
                            api_key: api.code(),
                            min_version: *first,
                            max_version: *last,
                        })
                        .collect(),
                    ..ApiVersionsResponse::default()
                };
                self.answer(&response, false).await;
                continue;
            }
            assert_eq!(key, api);
            let client_id = reader.i16().unwrap();
            reader.take(client_id as usize).unwrap();
            if api.request_header_version(self.version) >= 2 {
                reader.tagged_fields(|_, _| Ok(false)).unwrap();
            }
            return reader.remaining().to_vec();
        }
    }

    async fn fetch(&mut self) -> FetchRequest {
        let body = self.next(ApiKey::Fetch).await;
        FetchRequest::read(&mut Reader::new(&body), self.version).unwrap()
    }

    async fn answer<'m>(&mut self, message: &impl Message<'m>, flexible: bool) {
        let mut writer = Writer::new();
        writer.i32(0);
        writer.i32(self.correlation_id);
        if flexible {
            writer.uvarint(0);
        }
        message.write(&mut writer, self.version).unwrap();
        let mut bytes = writer.into_bytes();
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.as_ref().unwrap().lock().await.write_all(&bytes).await.unwrap();
    }

    async fn answer_fetch(&mut self, topic: &Topic, data: PartitionData<'_>) {
        let response = FetchResponse {
            session_id: 5,
            responses: vec![FetchableTopicResponse {
                topic_id: topic.id,
                partitions: vec![data],
                ..FetchableTopicResponse::default()
            }],
            ..FetchResponse::default()
        };
        self.answer(&response, true).await;
    }
}

async fn read_frame(stream: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let size = stream.read_u32().await.ok()?;
    let mut frame = vec![0; size as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// A batch as a leader has it in its log.
fn placed(base_offset: i64, leader_epoch: i32, names: &[&str]) -> Vec<u8> {
    let mut bytes = batch(names);
    let head = patch::head(RecordBatch::parse(&bytes).unwrap().header(), base_offset, leader_epoch);
    bytes[..head.len()].copy_from_slice(&head);
    bytes
}

fn found(records: &[u8], high_watermark: i64) -> PartitionData<'_> {
    PartitionData {
        high_watermark,
        log_start_offset: 0,
        records: Some(Records::Inline(records)),
        ..PartitionData::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_follows_its_leader_and_cuts_what_the_leader_does_not_have() {
    let mut leader = Leader::new().await;
    let settings = [SETTINGS[0], SETTINGS[1], ("replica.fetch.backoff.ms", "3600000")];
    let Some(broker) = Broker::start_with(&settings).await else { return };
    join(&broker, leader.port).await;
    let mut client = broker.connect().await;
    let topic = create(&mut client, &[OTHER, NODE], &[]).await;

    let request = leader.fetch().await;
    assert_eq!((request.replica_state.replica_id, request.session_epoch), (NODE, 0));
    assert!(request.replica_state.replica_epoch > 0);
    let asked = &request.topics[0].partitions[0];
    assert_eq!((asked.fetch_offset, asked.current_leader_epoch, asked.last_fetched_epoch), (0, 0, -1));
    // A leader that has not heard of the topic is asked again soon.
    let unknown = PartitionData { error_code: ErrorCode::UnknownTopicId.code(), ..found(&[], -1) };
    leader.answer_fetch(&topic, unknown).await;
    let request = leader.fetch().await;
    assert_eq!((request.session_id, request.session_epoch, request.topics.len()), (5, 0, 1));
    let records = [placed(0, 0, &["a", "b"]), placed(2, 0, &["c"])].concat();
    leader.answer_fetch(&topic, found(&records, 2)).await;

    let request = leader.fetch().await;
    assert_eq!((request.session_id, request.session_epoch), (5, 1));
    let asked = &request.topics[0].partitions[0];
    assert_eq!((asked.fetch_offset, asked.last_fetched_epoch), (3, 0));
    // Consumers may read here what is committed; writers may not write.
    let read = client.call(12, &fetch_request(12, &topic, &[(0, 0)])).await;
    let data = &read.responses[0].partitions[0];
    assert_eq!(
        (data.high_watermark, values(data.records.unwrap().inline())),
        (2, vec!["a".into(), "b".into()])
    );
    let refused = client.produce_as(11, -1, &topic, 0, &batch(&["x"])).await;
    assert_eq!(error(refused.error_code), ErrorCode::NotLeaderOrFollower);

    // The leader never had "c".
    let diverging =
        PartitionData { diverging_epoch: EpochEndOffset { epoch: 0, end_offset: 2 }, ..found(&[], 2) };
    leader.answer_fetch(&topic, diverging).await;
    let request = leader.fetch().await;
    assert_eq!(request.topics[0].partitions[0].fetch_offset, 2);
    leader.answer_fetch(&topic, found(&placed(2, 0, &["d"]), 3)).await;
    let request = leader.fetch().await;
    assert_eq!(request.topics[0].partitions[0].fetch_offset, 3);
    let read = client.call(12, &fetch_request(12, &topic, &[(0, 2)])).await;
    assert_eq!(values(read.responses[0].partitions[0].records.unwrap().inline()), ["d"]);

    // What the replica has is deleted at the leader.
    let out_of_range = PartitionData { error_code: ErrorCode::OffsetOutOfRange.code(), ..found(&[], -1) };
    leader.answer_fetch(&topic, out_of_range).await;
    for (timestamp, offset) in [(-1, 20), (-2, 10)] {
        let body = leader.next(ApiKey::ListOffsets).await;
        let request = ListOffsetsRequest::read(&mut Reader::new(&body), leader.version).unwrap();
        assert_eq!((request.replica_id, request.topics[0].partitions[0].timestamp), (NODE, timestamp));
        let response = ListOffsetsResponse {
            topics: vec![list_offsets_response::ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions: vec![list_offsets_response::ListOffsetsPartitionResponse {
                    partition_index: 0,
                    offset,
                    ..Default::default()
                }],
            }],
            ..ListOffsetsResponse::default()
        };
        leader.answer(&response, true).await;
    }
    let request = leader.fetch().await;
    let asked = &request.topics[0].partitions[0];
    assert_eq!((asked.fetch_offset, asked.log_start_offset, asked.last_fetched_epoch), (10, 10, -1));
}
