//! Tests of requests, each on a controller that replays what it makes, beside an image that follows the same records.

mod brokers;
mod configs;
mod features;
mod partitions;
mod topics;

use std::collections::BTreeMap;

use common::{ErrorCode, Uuid};
use metadata::{
    BootstrapMetadata, CommittedBatch, MetadataImage, MetadataLoader, MetadataRecord, MetadataVersion,
    PartitionRegistration, VersionedRecord,
};
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use protocol::messages::{
    AssignReplicasToDirsRequest, BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, CreateTopicsRequest, CreateTopicsResponse,
};

use crate::{ControllerConfig, ControllerRequestContext, ControllerResult, QuorumController};

/// A controller, the log that it writes and the image that comes of it.
struct Cluster {
    controller: QuorumController,
    log: Vec<VersionedRecord>,
    loader: MetadataLoader,
    now_ms: i64,
    seed: u64,
    epochs: BTreeMap<i32, i64>,
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(1000 + number)
}

/// The log directory of a test broker.
fn dir(broker: i32) -> Uuid {
    uuid(100_000 + broker as u128)
}

fn config(version: MetadataVersion, levels: &[(&str, i16)]) -> ControllerConfig {
    let properties = ::config::Properties::none();
    let (broker, _) =
        ::config::BrokerConfig::from_properties(&properties, ::config::Environment::default()).unwrap();
    let levels = levels.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
    let bootstrap = BootstrapMetadata::for_release(version, &levels, "a test").unwrap();
    let node_id = broker.node_id;
    ControllerConfig {
        default_replication_factor: 3,
        quorum_node_ids: vec![node_id],
        ..ControllerConfig::new(broker, "the-cluster", bootstrap)
    }
}

impl Cluster {
    fn empty() -> Cluster {
        Cluster::with_config(config(MetadataVersion::LATEST_PRODUCTION, &[]))
    }

    fn with_config(config: ControllerConfig) -> Cluster {
        Cluster {
            controller: QuorumController::new(config),
            log: Vec::new(),
            loader: MetadataLoader::new(),
            now_ms: 1_000_000,
            seed: 1,
            epochs: BTreeMap::new(),
        }
    }

    /// An active controller with brokers 0, 1, ... that are up.
    fn of(brokers: i32) -> Cluster {
        Cluster::of_config(brokers, config(MetadataVersion::LATEST_PRODUCTION, &[]))
    }

    fn of_config(brokers: i32, config: ControllerConfig) -> Cluster {
        let mut cluster = Cluster::with_config(config);
        cluster.activate();
        for id in 0..brokers {
            cluster.register(id, uuid(id as u128), -1);
            assert!(!cluster.heartbeat(id).is_fenced);
        }
        cluster
    }

    fn activate(&mut self) {
        let result = self.controller.activate(self.now_ms, 1);
        self.commit(result);
    }

    fn context(&mut self, api_version: i16) -> ControllerRequestContext<'static> {
        self.seed += 1;
        ControllerRequestContext {
            principal: "User:ANONYMOUS",
            api_version,
            now_ms: self.now_ms,
            next_write_offset: self.log.len() as i64,
            seed: self.seed,
            forwarded: true,
            kraft_upgrade: Ok(()),
        }
    }

    /// Appends and replays, as whoever owns a controller does.
    fn commit<T>(&mut self, result: ControllerResult<T>) -> T {
        let base_offset = self.log.len() as i64;
        let records: Vec<MetadataRecord> = result.records.iter().map(|(record, _)| record.clone()).collect();
        for (offset, (record, version)) in (base_offset..).zip(&result.records) {
            let mut writer = protocol::Writer::new();
            record.write_framed(&mut writer, *version).expect("a record can be written in its version");
            let (read, _) = MetadataRecord::read_framed(&writer.into_bytes()).expect("and read");
            assert_eq!(&read, record, "a version that holds everything");
            self.controller.replay(record, offset).expect("the controller's own records fit");
        }
        self.log.extend(result.records);
        let last_offset = self.log.len() as i64 - 1;
        let batch = CommittedBatch {
            base_offset,
            last_offset,
            epoch: 1,
            append_timestamp_ms: self.now_ms,
            size_in_bytes: 0,
            records: &records,
        };
        if !records.is_empty() {
            self.loader.load_commit(&[batch]).expect("the image takes what the controller takes");
        }
        result.response
    }

    fn image(&self) -> &MetadataImage {
        self.loader.image()
    }

    fn registration(id: i32, incarnation_id: Uuid) -> BrokerRegistrationRequest {
        let features = metadata::supported_features().into_iter().map(|(name, range)| Feature {
            name,
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        BrokerRegistrationRequest {
            broker_id: id,
            cluster_id: "the-cluster".to_owned(),
            incarnation_id,
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                host: "localhost".to_owned(),
                port: 9092 + id as u16,
                security_protocol: 0,
            }],
            features: features.collect(),
            log_dirs: vec![dir(id)],
            previous_broker_epoch: -1,
            ..BrokerRegistrationRequest::default()
        }
    }

    fn register(&mut self, id: i32, incarnation_id: Uuid, previous_broker_epoch: i64) -> i64 {
        let request =
            BrokerRegistrationRequest { previous_broker_epoch, ..Cluster::registration(id, incarnation_id) };
        let response = self.try_register(&request);
        assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::None);
        self.epochs.insert(id, response.broker_epoch);
        response.broker_epoch
    }

    fn try_register(&mut self, request: &BrokerRegistrationRequest) -> BrokerRegistrationResponse {
        let context = self.context(4);
        let result = self.controller.register_broker(&context, request);
        self.commit(result)
    }

    /// A heartbeat of a broker that has read everything.
    fn heartbeat(&mut self, id: i32) -> BrokerHeartbeatResponse {
        self.heartbeat_with(id, |_| {})
    }

    fn heartbeat_with(
        &mut self,
        id: i32,
        change: impl FnOnce(&mut BrokerHeartbeatRequest),
    ) -> BrokerHeartbeatResponse {
        let mut request = BrokerHeartbeatRequest {
            broker_id: id,
            broker_epoch: self.epochs[&id],
            current_metadata_offset: self.log.len() as i64 - 1,
            ..BrokerHeartbeatRequest::default()
        };
        change(&mut request);
        let context = self.context(2);
        let result = self.controller.broker_heartbeat(&context, &request);
        self.commit(result)
    }

    fn create_topics(&mut self, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
        let request = CreateTopicsRequest { topics, timeout_ms: 1000, validate_only: false };
        let context = self.context(7);
        let result = self.controller.create_topics(&context, &request);
        self.commit(result)
    }

    /// Creates a topic with the given replicas for each partition.
    fn create_assigned(&mut self, name: &str, partitions: &[&[i32]]) -> Uuid {
        let assignments = (0..).zip(partitions).map(|(partition_index, replicas)| {
            CreatableReplicaAssignment { partition_index, broker_ids: replicas.to_vec() }
        });
        let topic = CreatableTopic { assignments: assignments.collect(), ..new_topic(name, -1, -1) };
        let response = self.create_topics(vec![topic]);
        assert_eq!(response.topics[0].error_message, None);
        response.topics[0].topic_id
    }

    fn partition(&self, name: &str, partition_id: i32) -> &PartitionRegistration {
        self.image().topics.topic(name).unwrap().partition(partition_id).unwrap()
    }

    /// Lets time pass, and does what is due.
    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        loop {
            let context = self.context(0);
            let Some(result) = self.controller.poll(&context) else { break };
            self.commit(result);
        }
    }

    /// A second controller that reads the log knows the same as the first.
    fn assert_replay_is_complete(&self) {
        let mut other = QuorumController::new(self.controller.config.clone());
        for (offset, (record, _)) in (0..).zip(&self.log) {
            other.replay(record, offset).unwrap();
        }
        assert_eq!(format!("{:?}", other.state), format!("{:?}", self.controller.state));
        // And so does one that reads a snapshot, apart from where registrations stood in the log.
        let mut third = QuorumController::new(self.controller.config.clone());
        let snapshot = self.image().snapshot_records().unwrap();
        third.load_snapshot(snapshot.iter().map(|(record, _)| record), self.image().offset()).unwrap();
        assert_eq!(
            format!("{:?}", third.state.replication),
            format!("{:?}", self.controller.state.replication)
        );
        assert_eq!(format!("{:?}", third.state.features), format!("{:?}", self.controller.state.features));
        assert_eq!(format!("{:?}", third.state.quotas), format!("{:?}", self.controller.state.quotas));
    }
}

fn new_topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..CreatableTopic::default() }
}

fn assignment(
    broker: i32,
    epoch: i64,
    directory: Uuid,
    topic_id: Uuid,
    partitions: &[i32],
) -> AssignReplicasToDirsRequest {
    use protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
    let partitions = partitions.iter().map(|index| PartitionData { partition_index: *index }).collect();
    AssignReplicasToDirsRequest {
        broker_id: broker,
        broker_epoch: epoch,
        directories: vec![DirectoryData { id: directory, topics: vec![TopicData { topic_id, partitions }] }],
    }
}
