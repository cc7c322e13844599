//! On the log that Apache Kafka wrote, this controller decides what Kafka's did: the records of Kafka's log from some
//! offset on are those that the same requests make here.

use config::{BrokerConfig, Environment, Properties};
use controller::{ControllerConfig, ControllerRequestContext, QuorumController};
use metadata::{BootstrapMetadata, MetadataRecord, MetadataVersion, VersionedRecord};
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::{
    AllocateProducerIdsRequest, AssignReplicasToDirsRequest, BrokerHeartbeatRequest,
    BrokerRegistrationRequest, assign_replicas_to_dirs_request,
};
use protocol::records::Batches;

const LOG: &[u8] = include_bytes!("../../metadata/tests/vectors/cluster_metadata.log");

/// Kafka's records by offset; control records are none.
fn log() -> Vec<Option<VersionedRecord>> {
    let mut log = Vec::new();
    for batch in Batches::new(LOG) {
        let batch = batch.expect("a whole batch");
        for record in batch.iter() {
            let value = record.expect("a whole record").value.unwrap_or_default();
            log.push(
                (!batch.is_control()).then(|| MetadataRecord::read_framed(value).expect("a metadata record")),
            );
        }
    }
    log
}

/// A controller that has replayed Kafka's log up to an offset, that one not among it.
fn controller(end: usize) -> QuorumController {
    let bootstrap =
        BootstrapMetadata::for_release(MetadataVersion::LATEST_PRODUCTION, &Default::default(), "a test");
    let mut properties = Properties::none();
    properties.set("node.id", "1");
    properties.set("process.roles", "broker,controller");
    properties.set("controller.listener.names", "CONTROLLER");
    properties.set("listeners", "PLAINTEXT://127.0.0.1:19592,CONTROLLER://127.0.0.1:19593");
    properties.set("controller.quorum.bootstrap.servers", "127.0.0.1:19593");
    let (broker, _) =
        BrokerConfig::from_properties(&properties, Environment::default()).expect("a configuration");
    let config = ControllerConfig::new(broker, "the-cluster", bootstrap.expect("default levels"));
    let mut controller = QuorumController::new(config);
    for (offset, entry) in (0..).zip(&log()[..end]) {
        if let Some((record, _)) = entry {
            controller.replay(record, offset).expect("Kafka's log fits together");
        }
    }
    controller
}

fn context(next_write_offset: usize, now_ms: i64) -> ControllerRequestContext<'static> {
    ControllerRequestContext {
        principal: "User:ANONYMOUS",
        api_version: 4,
        now_ms,
        next_write_offset: next_write_offset as i64,
        seed: 1,
        forwarded: false,
        kraft_upgrade: Ok(()),
    }
}

/// Compares with Kafka's records from `offset` on. Kafka takes partitions in the order of a hash map.
fn assert_same(made: Vec<VersionedRecord>, offset: usize) {
    let log = log();
    let mut kafkas: Vec<String> = log[offset..offset + made.len()]
        .iter()
        .map(|entry| format!("{:?}", entry.clone().expect("a record")))
        .collect();
    let mut ours: Vec<String> = made.iter().map(|record| format!("{record:?}")).collect();
    kafkas.sort();
    ours.sort();
    assert_eq!(ours, kafkas);
}

fn heartbeat(broker_epoch: i64, want_shut_down: bool) -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest {
        broker_id: 1,
        broker_epoch,
        current_metadata_offset: 1_000_000,
        want_shut_down,
        ..BrokerHeartbeatRequest::default()
    }
}

#[test]
fn the_whole_log_replays() {
    let mut controller = controller(log().len());
    assert_eq!(controller.metadata_version(), Some(MetadataVersion::V4_4_IV2));
    // Nothing is to be cleaned up behind Kafka.
    assert_eq!(controller.activate(0, 1).records, []);
}

#[test]
fn the_first_records_are_kafkas() {
    let mut controller = controller(0);
    let records = controller.activate(0, 1).records;
    assert_eq!(records.len(), 9);
    let first = log().iter().position(Option::is_some).expect("records");
    assert_same(records, first);
}

#[test]
fn a_restarted_broker_registers_as_with_kafka() {
    let mut controller = controller(83);
    controller.activate(0, 1);
    let Some((MetadataRecord::RegisterBroker(kafkas), 4)) = log()[83].clone() else {
        panic!("another record")
    };
    let features = kafkas.features.iter().map(|feature| Feature {
        name: feature.name.clone(),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
    });
    let request = BrokerRegistrationRequest {
        broker_id: 1,
        cluster_id: "the-cluster".to_owned(),
        incarnation_id: kafkas.incarnation_id,
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 19592,
            security_protocol: 0,
        }],
        features: features.collect(),
        rack: None,
        log_dirs: kafkas.log_dirs.clone(),
        // It stopped cleanly, and knows which incarnation it was.
        previous_broker_epoch: 13,
        ..BrokerRegistrationRequest::default()
    };
    let result = controller.register_broker(&context(83, 0), &request);
    assert_eq!((result.response.error_code, result.response.broker_epoch), (0, 83));
    assert_same(result.records, 83);
}

#[test]
fn an_unfenced_broker_leads_again_as_with_kafka() {
    let mut controller = controller(84);
    controller.activate(0, 1);
    let result = controller.broker_heartbeat(&context(84, 0), &heartbeat(83, false));
    assert!(!result.response.is_fenced);
    assert_eq!(result.records.len(), 8);
    assert_same(result.records, 84);
}

#[test]
fn a_broker_that_stops_hands_over_as_with_kafka() {
    let mut controller = controller(96);
    controller.activate(0, 1);
    let result = controller.broker_heartbeat(&context(96, 0), &heartbeat(83, true));
    assert!(!result.response.should_shut_down);
    assert_eq!(result.records.len(), 9);
    assert_same(result.records.clone(), 96);
    for (offset, (record, _)) in (96..).zip(&result.records) {
        controller.replay(record, offset).expect("its own records fit");
    }
    let (directory, _) = log()[105].clone().expect("a record");
    controller.replay(&directory, 105).expect("Kafka's record fits");
    let result = controller.broker_heartbeat(&context(106, 0), &heartbeat(83, true));
    assert!(result.response.should_shut_down);
    assert_same(result.records, 106);
}

#[test]
fn directories_and_producer_ids_are_recorded_as_with_kafka() {
    let mut controller = controller(105);
    controller.activate(0, 1);
    let Some((MetadataRecord::PartitionChange(kafkas), _)) = log()[105].clone() else {
        panic!("another record")
    };
    let partitions = vec![assign_replicas_to_dirs_request::PartitionData { partition_index: 0 }];
    let topics = vec![assign_replicas_to_dirs_request::TopicData { topic_id: kafkas.topic_id, partitions }];
    let id = kafkas.directories.expect("a directory")[0];
    let request = AssignReplicasToDirsRequest {
        broker_id: 1,
        broker_epoch: 83,
        directories: vec![assign_replicas_to_dirs_request::DirectoryData { id, topics }],
    };
    assert_same(controller.assign_replicas_to_dirs(&request).records, 105);

    let mut controller = self::controller(70);
    controller.activate(0, 1);
    let request = AllocateProducerIdsRequest { broker_id: 1, broker_epoch: 13 };
    let result = controller.allocate_producer_ids(&request);
    assert_eq!(result.response.producer_id_start, 0);
    assert_same(result.records, 70);
}
