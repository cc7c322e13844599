//! What a broker keeps when it stops, and when it is killed.

use std::time::{SystemTime, UNIX_EPOCH};

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::messages::*;

use crate::harness::{
    Broker, Client, Directory, NODE, Topic, batch, builder, elsewhere, error, fetch_request,
};
use crate::versions::groups;

/// Something of everything that a broker is to keep.
struct Kept {
    topic: Topic,
    deleted: Topic,
    producer_id: i64,
    group: String,
    cluster_id: String,
}

const LAST: [&str; 2] = ["last", "of all"];

/// A batch of an idempotent producer with the time of now: old ones are forgotten by the time in their records.
fn recent_batch(producer_id: i64, sequence: i32, values: &[&str]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut builder = builder(Compression::None).with_producer(producer_id, 0, sequence);
    for value in values {
        builder.append(now, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build()
}

async fn fill(broker: &Broker) -> Kept {
    let mut client = broker.connect().await;
    let configs = [("retention.ms", "-1"), ("segment.bytes", "1048576")];
    let topic = client.create_topic("kept", 3, &configs).await;
    let deleted = client.create_topic("deleted", 1, &[]).await;
    client.produce(&deleted, &batch(&["gone"])).await;
    let delete = DeleteTopicsRequest {
        topics: vec![delete_topics_request::DeleteTopicState { name: None, topic_id: deleted.id }],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(client.call(6, &delete).await.responses[0].error_code, 0);
    for text in ["a", "b", "c"] {
        client.produce(&topic, &batch(&[text])).await;
    }
    let delete = DeleteRecordsRequest {
        topics: vec![delete_records_request::DeleteRecordsTopic {
            name: topic.name.clone(),
            partitions: vec![delete_records_request::DeleteRecordsPartition {
                partition_index: 0,
                offset: 1,
            }],
        }],
        timeout_ms: 30_000,
    };
    assert_eq!(client.call(2, &delete).await.topics[0].partitions[0].error_code, 0);
    let grow = CreatePartitionsRequest {
        topics: vec![create_partitions_request::CreatePartitionsTopic {
            name: topic.name.clone(),
            count: 4,
            assignments: None,
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    assert_eq!(client.call(3, &grow).await.results[0].error_code, 0);
    let group = "kept-group".to_owned();
    groups::wait_for_coordinator(&mut client, &group).await;
    groups::commit(&mut client, 8, &group, &topic, 41).await;
    groups::commit(&mut client, 8, &group, &topic, 42).await;
    let producer_id = client.init_producer_id(4).await.producer_id;
    for (sequence, text) in [(0, "d"), (1, "e")] {
        client.produce(&topic, &recent_batch(producer_id, sequence, &[text])).await;
    }
    client.produce(&topic, &recent_batch(producer_id, 2, &LAST)).await;
    Kept { topic, deleted, producer_id, group, cluster_id: broker.cluster_id().unwrap().to_owned() }
}

async fn is_kept(broker: &Broker, kept: &Kept, restarts: i32, killed: bool) {
    let mut client = broker.connect().await;
    let topic = &kept.topic;
    assert_eq!(broker.cluster_id(), Some(kept.cluster_id.as_str()));
    let described = client.wait_for(&topic.name, 4).await;
    assert_eq!(described.topic_id, topic.id);
    assert!(described.partitions.iter().all(|partition| partition.leader_id == NODE));
    let gone = client.describe_topic(&kept.deleted.name).await;
    assert_eq!(error(gone.error_code), ErrorCode::UnknownTopicOrPartition);
    // Records, from where the log was made to begin.
    assert_eq!(client.consume(topic, 1).await, ["b", "c", "d", "e", "last", "of all"]);
    let response = client.call(12, &fetch_request(12, topic, &[(0, 0)])).await;
    let before_the_start = error(response.responses[0].partitions[0].error_code);
    // As in Kafka, the log's start is written down only now and then.
    assert!(killed || before_the_start == ErrorCode::OffsetOutOfRange);
    // Configs.
    let request = DescribeConfigsRequest {
        resources: vec![describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: topic.name.clone(),
            configuration_keys: Some(vec!["retention.ms".to_owned()]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let response = client.call(4, &request).await;
    let config = &response.results[0].configs[0];
    assert_eq!((config.value.as_deref(), config.config_source), (Some("-1"), 1));
    // Committed offsets.
    groups::wait_for_coordinator(&mut client, &kept.group).await;
    let committed = groups::fetch(&mut client, 8, &kept.group, topic).await;
    assert_eq!(committed, (42, 0, "note".to_owned()));
    // Producers: what was sent again is there once, and the next in line is taken.
    let again = client.produce(topic, &recent_batch(kept.producer_id, 2, &LAST)).await;
    assert_eq!(again, 5);
    let gap = client.produce_as(11, -1, topic, 0, &recent_batch(kept.producer_id, 9, &["x"])).await;
    assert_eq!(error(gap.error_code), ErrorCode::OutOfOrderSequenceNumber);
    assert!(client.init_producer_id(4).await.producer_id > kept.producer_id);
    // The leader's epoch has moved, and clients of the time before are told.
    let epoch = described.partitions[0].leader_epoch;
    assert!(epoch >= restarts, "{epoch}");
    let mut request = fetch_request(12, topic, &[(0, 1)]);
    request.topics[0].partitions[0].current_leader_epoch = epoch - 1;
    let response = client.call(12, &request).await;
    assert_eq!(error(response.responses[0].partitions[0].error_code), ErrorCode::FencedLeaderEpoch);
    // Where the epoch in which they were written ends.
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: topic.name.clone(),
            partitions: vec![offset_for_leader_epoch_request::OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: epoch,
                leader_epoch: 0,
            }],
        }],
    };
    let response = client.call(4, &request).await;
    let end = &response.topics[0].partitions[0];
    assert_eq!((end.error_code, end.leader_epoch, end.end_offset), (0, 0, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_a_stop() {
    if elsewhere().is_some() {
        return;
    }
    let broker = Directory::formatted(&[]).start().await;
    let kept = fill(&broker).await;
    let mut directory = broker.stop().await;
    assert!(directory.data().join(".kafka_cleanshutdown").exists());
    for restarts in 1..4 {
        let broker = directory.start().await;
        is_kept(&broker, &kept, restarts, false).await;
        directory = broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_a_kill() {
    if elsewhere().is_some() {
        return;
    }
    let broker = Directory::formatted(&[]).start().await;
    let kept = fill(&broker).await;
    // What is on disk now is what a killed process leaves.
    let mut directory = broker.directory().copy();
    broker.stop().await;
    for restarts in 1..4 {
        let broker = directory.start().await;
        is_kept(&broker, &kept, restarts, true).await;
        directory = broker.directory().copy();
        broker.stop().await;
    }
}

/// The last segment of the partition in a directory.
fn last_segment(directory: &Directory, topic: &Topic) -> std::path::PathBuf {
    let partition = directory.data().join(format!("{}-0", topic.name));
    let mut segments: Vec<_> = std::fs::read_dir(partition)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    segments.sort();
    segments.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_batches_are_there_after_a_torn_write() {
    if elsewhere().is_some() {
        return;
    }
    let broker = Directory::formatted(&[]).start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("torn", 1, &[]).await;
    let size = batch(&["0"]).len() as u64;
    for text in ["0", "1", "2", "3"] {
        client.produce(&topic, &batch(&[text])).await;
    }
    for cut in [0, 1, 11, 12, 40, 60, 61, size - 1, size, size + 1, 3 * size + 5, 4 * size - 1] {
        let directory = broker.directory().copy();
        let segment = last_segment(&directory, &topic);
        let length = std::fs::metadata(&segment).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(length - cut).unwrap();
        let restarted = directory.start().await;
        let mut client = restarted.connect().await;
        client.wait_for(&topic.name, 1).await;
        let whole = ((4 * size - cut) / size) as usize;
        assert_eq!(client.consume(&topic, 0).await, ["0", "1", "2", "3"][..whole], "cut by {cut}");
        assert_eq!(client.produce(&topic, &batch(&["next"])).await, whole as i64, "cut by {cut}");
        restarted.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_a_kill_under_load() {
    if elsewhere().is_some() {
        return;
    }
    let broker = Directory::formatted(&[]).start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("load", 1, &[("segment.bytes", "1048576")]).await;
    let producer_id = client.init_producer_id(4).await.producer_id;
    let text = "x".repeat(20_000);
    let send = |sequence: i32| recent_batch(producer_id, sequence, &[&format!("{sequence}{text}")]);
    let batches: Vec<Vec<u8>> = (0..2000).map(send).collect();
    let copying = std::cell::Cell::new(true);
    let load = async {
        let mut acknowledged = 0;
        let mut client = broker.connect().await;
        while copying.get() && acknowledged < batches.len() {
            client.produce(&topic, &batches[acknowledged]).await;
            acknowledged += 1;
        }
        acknowledged
    };
    // Copied while it is written: a copy has at least what was acknowledged before it was begun.
    let copy = async {
        let mut copies = Vec::new();
        for _ in 0..3 {
            let before = end(&mut client, &topic).await;
            let source = (broker.directory().data(), broker.directory().settings.clone());
            let copy = tokio::task::spawn_blocking(move || Directory::copy_of(&source.0, source.1));
            copies.push((before, copy.await.unwrap()));
        }
        copying.set(false);
        copies
    };
    let (acknowledged, copies) = tokio::join!(load, copy);
    assert!(acknowledged > 0);
    for (before, copy) in copies {
        let restarted = copy.start().await;
        let mut client = restarted.connect().await;
        client.wait_for(&topic.name, 1).await;
        let end = end(&mut client, &topic).await;
        assert!(end >= before, "{end} of {before} acknowledged records");
        // The last is known to be there (a snapshot has one batch of each producer), those behind it are new.
        for sequence in (end as i32 - 1).max(0)..end as i32 + 3 {
            assert_eq!(client.produce(&topic, &send(sequence)).await, i64::from(sequence));
        }
        let found = client.consume(&topic, 0).await;
        assert_eq!(found.len() as i64, end + 3);
        for (sequence, value) in found.iter().enumerate() {
            assert!(value.starts_with(&format!("{sequence}x")));
        }
        restarted.stop().await;
    }
}

async fn end(client: &mut Client, topic: &Topic) -> i64 {
    let request = fetch_request(12, topic, &[(0, 0)]);
    client.call(12, &request).await.responses[0].partitions[0].high_watermark
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producer_ids_are_new_after_a_restart() {
    if elsewhere().is_some() {
        return;
    }
    let mut directory = Directory::formatted(&[]);
    let mut last = -1;
    for killed in [false, true, false, true] {
        let broker = directory.start().await;
        let mut client = broker.connect().await;
        for _ in 0..5 {
            let id = client.init_producer_id(4).await.producer_id;
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        directory = match killed {
            false => broker.stop().await,
            true => {
                let copy = broker.directory().copy();
                broker.stop().await;
                copy
            }
        };
    }
}
