//! A client's connection: requests as frames, and the answers to them.

use std::net::SocketAddr;
use std::time::Duration;

use common::ErrorCode;
use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::metadata_response::MetadataResponseTopic;
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, InitProducerIdRequest, InitProducerIdResponse,
    ListOffsetsRequest, MetadataRequest, ProduceRequest, ProduceResponse,
};
use protocol::records::Batches;
use protocol::{Message, Reader, Request, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NODE, Topic, error, fetch_request, header, produce_request, unique, values};

/// Nothing takes this long. It ends a test that would hang.
const HANGS: Duration = Duration::from_secs(60);

/// A connection.
pub struct Client {
    stream: TcpStream,
    correlation_id: i32,
    pub client_id: String,
    /// The frames that were sent, where somebody wants them.
    pub sent: Option<Vec<Vec<u8>>>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, correlation_id: 0, client_id: "test".to_owned(), sent: None }
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        // A broker that has closed the connection is for the reading side to find out.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends bytes with their length before them.
    pub async fn send_frame(&mut self, frame: &[u8]) {
        if let Some(sent) = &mut self.sent {
            sent.push(frame.to_vec());
        }
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.send_raw(&bytes).await;
    }

    /// A request's frame, without its length.
    pub fn frame<'q, Q: Request<'q>>(&mut self, version: i16, request: &Q) -> Vec<u8> {
        self.correlation_id += 1;
        let mut frame = header(Q::API_KEY, version, self.correlation_id, Some(&self.client_id));
        let mut writer = Writer::new();
        if let Err(error) = request.write(&mut writer, version) {
            panic!("{} version {version} cannot be written: {error}", Q::NAME);
        }
        frame.extend_from_slice(&writer.into_bytes());
        frame
    }

    /// Sends a request without waiting for its answer.
    pub async fn send<'q, Q: Request<'q>>(&mut self, version: i16, request: &Q) {
        let frame = self.frame(version, request);
        self.send_frame(&frame).await;
    }

    /// The next answer's frame; none where the connection is over.
    pub async fn receive_frame(&mut self) -> Option<&'static [u8]> {
        let receive = async {
            let size = self.stream.read_u32().await.ok()?;
            let mut frame = vec![0; size as usize];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(frame)
        };
        let frame = tokio::time::timeout(HANGS, receive).await.expect("no answer comes");
        // Answers borrow from their frames, and a test's end is the end of all of them.
        frame.map(|frame| &*Vec::leak(frame))
    }

    /// The answer to the last request that was sent. It must fill its frame.
    pub async fn receive<'q, Q: Request<'q>>(&mut self, version: i16) -> Q::Response {
        let name = Q::NAME;
        let Some(frame) = self.receive_frame().await else {
            panic!("{name} version {version}: the connection was closed");
        };
        let mut reader = Reader::new(frame);
        assert_eq!(reader.i32(), Ok(self.correlation_id), "{name} version {version}: the correlation id");
        if Q::API_KEY.response_header_version(version) > 0 {
            reader.tagged_fields(|_, _| Ok(false)).unwrap();
        }
        match Q::Response::read(&mut reader, version) {
            Ok(response) => {
                let left = reader.remaining().len();
                assert_eq!(left, 0, "{name} version {version}: bytes are left behind the answer");
                response
            }
            Err(error) => panic!("{name} version {version}: the answer cannot be read: {error}"),
        }
    }

    /// Sends a request and reads its answer.
    pub async fn call<'q, Q: Request<'q>>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.send(version, request).await;
        self.receive::<Q>(version).await
    }

    /// Sends requests in one piece, of which those with `acks=0` get no answer, and reads the answers.
    pub async fn produce_together(
        &mut self,
        version: i16,
        requests: &[ProduceRequest<'_>],
    ) -> Vec<ProduceResponse> {
        let first = self.correlation_id;
        let mut bytes = Vec::new();
        for request in requests {
            let frame = self.frame(version, request);
            bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&frame);
        }
        let last = self.correlation_id;
        self.send_raw(&bytes).await;
        let mut answers = Vec::new();
        for (correlation_id, request) in (first + 1..).zip(requests) {
            if request.acks != 0 {
                self.correlation_id = correlation_id;
                answers.push(self.receive::<ProduceRequest<'_>>(version).await);
            }
        }
        self.correlation_id = last;
        answers
    }

    /// Asserts that the broker has closed the connection without another answer.
    pub async fn assert_closed(&mut self) {
        assert_eq!(self.receive_frame().await, None, "the connection should be closed");
    }

    /// Creates a topic, and waits until the broker leads it.
    pub async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let name = unique(name);
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.clone(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs
                    .iter()
                    .map(|(name, value)| CreatableTopicConfig {
                        name: (*name).to_owned(),
                        value: Some((*value).to_owned()),
                    })
                    .collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 30_000,
            validate_only: false,
        };
        let response = self.call(7, &request).await;
        let result = &response.topics[0];
        assert_eq!(result.error_code, 0, "{:?}", result.error_message);
        let topic = Topic { name, id: result.topic_id };
        self.wait_for(&topic.name, partitions).await;
        topic
    }

    /// Waits until a topic has so many partitions with leaders.
    pub async fn wait_for(&mut self, name: &str, partitions: i32) -> MetadataResponseTopic {
        loop {
            let topic = self.describe_topic(name).await;
            let led = topic.partitions.iter().filter(|partition| partition.leader_id == NODE).count();
            if led == partitions as usize && self.all_answer(name, partitions).await {
                return topic;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether the broker itself has followed the metadata, which it does after it tells of them.
    async fn all_answer(&mut self, name: &str, partitions: i32) -> bool {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: name.to_owned(),
                partitions: (0..partitions)
                    .map(|partition_index| ListOffsetsPartition {
                        partition_index,
                        timestamp: -1,
                        ..ListOffsetsPartition::default()
                    })
                    .collect(),
            }],
            ..ListOffsetsRequest::default()
        };
        let response = self.call(7, &request).await;
        response.topics[0].partitions.iter().all(|partition| partition.error_code == 0)
    }

    /// What `Metadata` says of a topic.
    pub async fn describe_topic(&mut self, name: &str) -> MetadataResponseTopic {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(name.to_owned()),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let mut response = self.call(12, &request).await;
        assert_eq!(response.topics.len(), 1);
        response.topics.remove(0)
    }

    /// Produces to one partition.
    pub async fn produce_as(
        &mut self,
        version: i16,
        acks: i16,
        topic: &Topic,
        partition: i32,
        records: &[u8],
    ) -> PartitionProduceResponse {
        let request = produce_request(version, acks, topic, &[(partition, records)]);
        let mut response = self.call(version, &request).await;
        assert_eq!(response.responses.len(), 1);
        let mut topic_response = response.responses.remove(0);
        if version >= 13 {
            assert_eq!(topic_response.topic_id, topic.id);
        } else {
            assert_eq!(topic_response.name, topic.name);
        }
        assert_eq!(topic_response.partition_responses.len(), 1);
        let response = topic_response.partition_responses.remove(0);
        assert_eq!(response.index, partition);
        response
    }

    /// Produces to a topic's first partition, and returns the offset.
    pub async fn produce(&mut self, topic: &Topic, records: &[u8]) -> i64 {
        let response = self.produce_as(11, -1, topic, 0, records).await;
        assert_eq!(error(response.error_code), ErrorCode::None, "{:?}", response.error_message);
        response.base_offset
    }

    /// What is advertised on the listener.
    pub async fn api_versions(&mut self) -> Vec<ApiVersion> {
        let request = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1.0".to_owned(),
            ..ApiVersionsRequest::default()
        };
        let response = self.call(4, &request).await;
        assert_eq!(response.error_code, 0);
        response.api_keys
    }

    /// A new producer's id.
    pub async fn init_producer_id(&mut self, version: i16) -> InitProducerIdResponse {
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        loop {
            let response = self.call(version, &request).await;
            match error(response.error_code) {
                ErrorCode::None => return response,
                // A block of ids is on its way.
                ErrorCode::CoordinatorLoadInProgress => {}
                other => panic!("no producer id: {other}"),
            }
        }
    }

    /// The values of the records of a topic's first partition from an offset on.
    pub async fn consume(&mut self, topic: &Topic, mut offset: i64) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let mut request = fetch_request(12, topic, &[(0, offset)]);
            request.max_wait_ms = 0;
            let response = self.call(12, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::None);
            let partition = &response.responses[0].partitions[0];
            assert_eq!(error(partition.error_code), ErrorCode::None);
            let records = partition.records.map(|records| records.inline()).unwrap_or_default();
            // An answer ends with a segment: there may be more.
            let Some(batch) = Batches::new(records).map(Result::unwrap).last() else { return found };
            offset = batch.next_offset();
            found.extend(values(records));
        }
    }
}
