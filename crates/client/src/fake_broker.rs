//! A broker for tests: one topic in memory, real sockets, and faults by appointment.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use common::{ErrorCode, Uuid};
use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::fetch_request::FetchPartition;
use protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse, RequestHeader,
};
use protocol::records::{Batches, RecordBatch, patch};
use protocol::{ApiKey, Message, Reader, Records, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The only topic that is there.
pub(crate) const TOPIC: &str = "t";
const TOPIC_ID: Uuid = Uuid::from_u128(4711);
const APIS: [ApiKey; 7] = [
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::InitProducerId,
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
];

/// What goes wrong with the next request of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None.
    Answer,
    /// It is refused.
    Refuse(ErrorCode),
    /// It is done, and the connection is lost before the answer.
    Lose,
    /// It is never answered.
    Hang,
}

#[derive(Default)]
pub(crate) struct State {
    port: u16,
    partitions: i32,
    /// The batches of each partition, with their offsets.
    pub(crate) log: HashMap<i32, Vec<Vec<u8>>>,
    pub(crate) log_start: i64,
    pub(crate) aborted: Vec<AbortedTransaction>,
    pub(crate) produce_faults: VecDeque<Fault>,
    pub(crate) fetch_faults: VecDeque<Fault>,
    pub(crate) metadata_faults: VecDeque<Fault>,
    /// Where the brokers are, by this one's word; its own place otherwise.
    pub(crate) advertised_port: Option<u16>,
    /// The epoch of the leader, and where the ones before it ended.
    pub(crate) leader_epoch: i32,
    pub(crate) epoch_end: i64,
    /// Where the next fetches are sent on to.
    pub(crate) preferred_replicas: VecDeque<i32>,
    /// How many connections there were.
    pub(crate) connections: usize,
    /// The highest version that is offered of an API.
    pub(crate) limits: HashMap<ApiKey, i16>,
    pub(crate) requests: Vec<(ApiKey, i16)>,
    /// Of every produce request: the partitions that it has batches of.
    pub(crate) produces: Vec<Vec<i32>>,
    /// The fetch sessions by id: the epoch of the next request, and what was asked of each partition.
    pub(crate) sessions: HashMap<i32, (i32, BTreeMap<i32, FetchPartition>)>,
    /// Of every fetch: its session, its epoch, and the partitions that it names.
    pub(crate) fetches: Vec<(i32, i32, Vec<i32>)>,
    /// A fetch that may wait and finds nothing is not answered: the broker would wait longer than any test.
    pub(crate) waits: bool,
    /// Few, so that there are several answers.
    pub(crate) batches_per_answer: usize,
    next_producer_id: i64,
}

/// A broker on a port of its own, until it is dropped.
pub(crate) struct FakeBroker {
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeBroker {
    pub(crate) async fn start(partitions: i32) -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            port,
            partitions,
            next_producer_id: 1000,
            batches_per_answer: 2,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        FakeBroker { state, task }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.state().port)
    }

    /// The values in a partition, in order.
    pub(crate) fn values(&self, partition: i32) -> Vec<String> {
        let state = self.state();
        let mut values = Vec::new();
        for batch in state.log.get(&partition).into_iter().flatten() {
            let batch = RecordBatch::parse(batch).unwrap();
            batch.verify_crc().unwrap();
            let decompressed = batch.decompress(1 << 24).unwrap();
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            values.extend(decompressed.iter().map(|record| text(record.unwrap().value)));
        }
        values
    }
}

/// Where nobody listens.
pub(crate) fn unused_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    state.lock().unwrap().connections += 1;
    while let Ok(size) = stream.read_i32().await {
        let mut frame = vec![0; size as usize];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        let reply = state.lock().unwrap().request(&frame);
        match reply {
            Reply::Answer(answer) => {
                let mut bytes = (answer.len() as i32).to_be_bytes().to_vec();
                bytes.extend(answer);
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::Nothing => {}
            Reply::Close => return,
        }
    }
}

enum Reply {
    Answer(Vec<u8>),
    Nothing,
    Close,
}

impl State {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn request(&mut self, frame: &[u8]) -> Reply {
        let key = ApiKey::from_code(i16::from_be_bytes([frame[0], frame[1]])).unwrap();
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let mut reader = Reader::new(frame);
        let header = RequestHeader::read(&mut reader, key.request_header_version(version)).unwrap();
        self.requests.push((key, version));
        let mut writer = Writer::new();
        writer.i32(header.correlation_id);
        if key.response_header_version(version) > 0 {
            writer.uvarint(0);
        }
        let (faults, bytes) = match key {
            ApiKey::Produce => (self.produce_faults.pop_front(), reader.remaining()),
            ApiKey::Fetch => (self.fetch_faults.pop_front(), reader.remaining()),
            ApiKey::Metadata => (self.metadata_faults.pop_front(), reader.remaining()),
            _ => (None, reader.remaining()),
        };
        let refused = match faults {
            Some(Fault::Hang) => return Reply::Nothing,
            Some(Fault::Refuse(code)) => Some(code),
            _ => None,
        };
        let mut reader = Reader::new(bytes);
        let mut answered = true;
        match key {
            ApiKey::ApiVersions => self.versions().write(&mut writer, version),
            ApiKey::Metadata => {
                let request = MetadataRequest::read(&mut reader, version).unwrap();
                let error_code = refused.unwrap_or(ErrorCode::None).code();
                MetadataResponse { error_code, ..self.metadata(&request) }.write(&mut writer, version)
            }
            ApiKey::InitProducerId => {
                self.next_producer_id += 1;
                let producer_id = self.next_producer_id;
                InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
                    .write(&mut writer, version)
            }
            ApiKey::Produce => {
                let request = ProduceRequest::read(&mut reader, version).unwrap();
                answered = request.acks != 0;
                self.produce(&request, refused).write(&mut writer, version)
            }
            ApiKey::Fetch => {
                let request = FetchRequest::read(&mut reader, version).unwrap();
                let has_records = self.fetch(&request, refused, &mut writer, version);
                answered = !self.waits || request.max_wait_ms == 0 || has_records;
                Ok(())
            }
            ApiKey::OffsetForLeaderEpoch => {
                let request = OffsetForLeaderEpochRequest::read(&mut reader, version).unwrap();
                self.epoch_ends(&request).write(&mut writer, version)
            }
            _ => {
                let request = ListOffsetsRequest::read(&mut reader, version).unwrap();
                self.list_offsets(&request).write(&mut writer, version)
            }
        }
        .unwrap();
        match faults {
            Some(Fault::Lose) => Reply::Close,
            _ if !answered => Reply::Nothing,
            _ => Reply::Answer(writer.into_bytes()),
        }
    }

    fn versions(&self) -> ApiVersionsResponse {
        let range = |key: &ApiKey| ApiVersion {
            api_key: key.code(),
            min_version: *key.versions().start(),
            max_version: self.limits.get(key).copied().unwrap_or(*key.versions().end()),
        };
        ApiVersionsResponse { api_keys: APIS.iter().map(range).collect(), ..Default::default() }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let topic = |name: &str| MetadataResponseTopic {
            error_code: if name == TOPIC { 0 } else { ErrorCode::TopicAuthorizationFailed.code() },
            name: Some(name.to_owned()),
            topic_id: TOPIC_ID,
            partitions: (0..self.partitions)
                .map(|partition_index| MetadataResponsePartition {
                    partition_index,
                    leader_id: 1,
                    leader_epoch: self.leader_epoch,
                    replica_nodes: vec![1],
                    isr_nodes: vec![1],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let names: Vec<String> = match &request.topics {
            Some(topics) => topics.iter().filter_map(|topic| topic.name.clone()).collect(),
            None => vec![TOPIC.to_owned()],
        };
        let (host, port) = ("127.0.0.1".to_owned(), i32::from(self.advertised_port.unwrap_or(self.port)));
        // The second one is the same in another guise, and leads nothing.
        let broker =
            |node_id| MetadataResponseBroker { node_id, host: host.clone(), port, ..Default::default() };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            controller_id: 1,
            topics: names.iter().map(|name| topic(name)).collect(),
            ..Default::default()
        }
    }

    /// The offset behind the last record.
    pub(crate) fn end(&self, partition: i32) -> i64 {
        let last = self.log.get(&partition).and_then(|log| log.last());
        last.map_or(self.log_start, |batch| RecordBatch::parse(batch).unwrap().last_offset() + 1)
    }

    /// Appends a batch at the end.
    pub(crate) fn append(&mut self, partition: i32, mut batch: Vec<u8>) -> i64 {
        let end = self.end(partition);
        patch::set_base_offset(&mut batch, end).unwrap();
        patch::set_partition_leader_epoch(&mut batch, 0).unwrap();
        self.log.entry(partition).or_default().push(batch);
        end
    }

    /// As a broker checks an idempotent producer: a batch it has is not appended again, and none may be missing.
    fn produce_batch(&mut self, partition: i32, bytes: &[u8]) -> (ErrorCode, i64) {
        let batch = RecordBatch::parse(bytes).unwrap();
        batch.verify_crc().unwrap();
        if batch.producer_id() >= 0 {
            let known: Vec<_> = self.log.get(&partition).into_iter().flatten().collect();
            let known = known.into_iter().map(|bytes| RecordBatch::parse(bytes).unwrap());
            let known: Vec<_> = known.filter(|known| known.producer_id() == batch.producer_id()).collect();
            if let Some(same) = known.iter().find(|known| known.base_sequence() == batch.base_sequence()) {
                return (ErrorCode::None, same.base_offset());
            }
            // The first of a producer may have any number, as in Kafka.
            let expected = known.last().map_or(batch.base_sequence(), |last| last.last_sequence() + 1);
            if batch.base_sequence() != expected {
                return (ErrorCode::OutOfOrderSequenceNumber, -1);
            }
        }
        (ErrorCode::None, self.append(partition, bytes.to_vec()))
    }

    fn produce(&mut self, request: &ProduceRequest<'_>, refused: Option<ErrorCode>) -> ProduceResponse {
        let mut responses = Vec::new();
        let topics = request.topic_data.iter();
        let partitions =
            topics.flat_map(|topic| topic.partition_data.iter().map(|partition| partition.index));
        self.produces.push(partitions.collect());
        for topic in &request.topic_data {
            let mut partition_responses = Vec::new();
            for partition in &topic.partition_data {
                let (error, base_offset) = match refused {
                    Some(code) => (code, -1),
                    None => self.produce_batch(partition.index, partition.records.unwrap().inline()),
                };
                partition_responses.push(PartitionProduceResponse {
                    index: partition.index,
                    error_code: error.code(),
                    base_offset,
                    log_append_time_ms: -1,
                    ..Default::default()
                });
            }
            responses.push(TopicProduceResponse {
                name: topic.name.to_owned(),
                partition_responses,
                ..Default::default()
            });
        }
        ProduceResponse { responses, ..Default::default() }
    }

    /// Whether there are records in the answer.
    fn fetch(
        &mut self,
        request: &FetchRequest,
        refused: Option<ErrorCode>,
        writer: &mut Writer,
        version: i16,
    ) -> bool {
        let (session_id, wanted) = match self.fetch_session(request, version) {
            Ok(session) => session,
            Err(code) => {
                let refusal = FetchResponse { error_code: code.code(), ..Default::default() };
                refusal.write(writer, version).unwrap();
                return true;
            }
        };
        let mut answers: Vec<(i32, ErrorCode, Vec<u8>)> = Vec::new();
        for wanted in &wanted {
            let (offset, end) = (wanted.fetch_offset, self.end(wanted.partition));
            let code = match refused {
                Some(code) => code,
                None if offset < self.log_start || offset > end => ErrorCode::OffsetOutOfRange,
                None => ErrorCode::None,
            };
            let log = self.log.get(&wanted.partition).into_iter().flatten();
            let from =
                |batch: &&Vec<u8>| RecordBatch::parse(batch).is_ok_and(|batch| batch.last_offset() >= offset);
            let records: Vec<u8> =
                log.filter(from).take(self.batches_per_answer).flatten().copied().collect();
            answers.push((wanted.partition, code, if code.is_none() { records } else { Vec::new() }));
        }
        let has_records = answers.iter().any(|(_, _, records)| !records.is_empty());
        let preferred_read_replica = self.preferred_replicas.pop_front().unwrap_or(-1);
        if preferred_read_replica >= 0 {
            assert_eq!(request.rack_id, "near");
            answers.iter_mut().for_each(|(_, _, records)| records.clear());
        } else if request.session_epoch > 0 {
            answers.retain(|(_, code, records)| !code.is_none() || !records.is_empty());
        }
        let partitions = answers.iter().map(|(partition_index, code, records)| PartitionData {
            preferred_read_replica,
            partition_index: *partition_index,
            error_code: code.code(),
            high_watermark: self.end(*partition_index),
            aborted_transactions: Some(self.aborted.clone()),
            records: Some(Records::Inline(records)),
            ..Default::default()
        });
        let (topic, topic_id) = if version > 12 { ("", TOPIC_ID) } else { (TOPIC, Uuid::ZERO) };
        let responses = vec![FetchableTopicResponse { topic, topic_id, partitions: partitions.collect() }];
        FetchResponse { responses, session_id, ..Default::default() }.write(writer, version).unwrap();
        has_records
    }

    /// The session of a fetch, and what is wanted in it.
    fn fetch_session(
        &mut self,
        request: &FetchRequest,
        version: i16,
    ) -> Result<(i32, Vec<FetchPartition>), ErrorCode> {
        for topic in &request.topics {
            assert!(if version > 12 { topic.topic_id == TOPIC_ID } else { topic.topic == TOPIC });
        }
        let named: Vec<FetchPartition> =
            request.topics.iter().flat_map(|topic| topic.partitions.clone()).collect();
        let indexes = named.iter().map(|partition| partition.partition).collect();
        self.fetches.push((request.session_id, request.session_epoch, indexes));
        if request.session_epoch <= 0 {
            self.sessions.remove(&request.session_id);
            if request.session_epoch < 0 || version < 7 {
                return Ok((0, named));
            }
            let session_id = 100 + self.fetches.len() as i32;
            let partitions = named.iter().map(|of| (of.partition, of.clone())).collect();
            self.sessions.insert(session_id, (1, partitions));
            return Ok((session_id, named));
        }
        let known = self.sessions.get_mut(&request.session_id);
        let (epoch, partitions) = known.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if *epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        *epoch += 1;
        partitions.extend(named.into_iter().map(|partition| (partition.partition, partition)));
        for gone in request.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions) {
            partitions.remove(gone);
        }
        Ok((request.session_id, partitions.values().cloned().collect()))
    }

    fn epoch_ends(&self, request: &OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
        let asked = &request.topics[0].partitions[0];
        assert_eq!((asked.current_leader_epoch, request.replica_id), (self.leader_epoch, -1));
        let end = EpochEndOffset {
            partition: asked.partition,
            leader_epoch: asked.leader_epoch,
            end_offset: self.epoch_end,
            ..Default::default()
        };
        let topics = vec![OffsetForLeaderTopicResult { topic: TOPIC.to_owned(), partitions: vec![end] }];
        OffsetForLeaderEpochResponse { topics, ..Default::default() }
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let answer = |partition: i32, timestamp: i64| {
            let log = self.log.get(&partition).into_iter().flatten();
            let (timestamp, offset) = match timestamp {
                -2 => (-1, self.log_start),
                -1 => (-1, self.end(partition)),
                wanted => log
                    .flat_map(|bytes| Batches::new(bytes).next().unwrap().unwrap().iter())
                    .map(|record| record.unwrap())
                    .find(|record| record.timestamp >= wanted)
                    .map_or((-1, -1), |record| (record.timestamp, record.offset)),
            };
            ListOffsetsPartitionResponse {
                partition_index: partition,
                timestamp,
                offset,
                ..Default::default()
            }
        };
        let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| answer(asked.partition_index, asked.timestamp))
                .collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }
}
