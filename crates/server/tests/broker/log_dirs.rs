//! Several log directories: what happens when one of them fails (KIP-112, KIP-858), and moves between them (KIP-113).

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::ErrorCode;
use protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    AlterReplicaLogDirsRequest, DescribeLogDirsRequest, IncrementalAlterConfigsRequest,
};

use crate::harness::{Broker, Cases, Client, Directory, Topic, batch, error, format_also, unique};

/// A broker with a second log directory, and that one's path.
async fn start(settings: &[(&str, &str)]) -> Option<(Broker, PathBuf)> {
    let directory = Broker::start_with(settings).await?.stop().await;
    let other = directory.root.path().join("more");
    format_also(&directory.data(), &other);
    Some((with(directory, &other).start().await, other))
}

fn with(mut directory: Directory, other: &Path) -> Directory {
    let both = format!("{},{}", directory.data().display(), other.display());
    directory.settings.push(("log.dirs".to_owned(), both));
    directory
}

/// The partitions of a topic in a directory; none where it has failed.
async fn partitions_in(client: &mut Client, topic: &Topic, dir: &Path) -> Result<Vec<i32>, ErrorCode> {
    let response = client.call(4, &DescribeLogDirsRequest { topics: None }).await;
    let found = response.results.iter().find(|result| Path::new(&result.log_dir) == dir);
    let found = found.unwrap_or_else(|| panic!("{} is not described", dir.display()));
    if found.error_code != 0 {
        return Err(error(found.error_code));
    }
    let topics = found.topics.iter().filter(|described| described.name == topic.name);
    Ok(topics.flat_map(|topic| &topic.partitions).map(|partition| partition.partition_index).collect())
}

/// Takes a directory away, and puts a file in its place.
fn destroy(dir: &Path) {
    std::fs::rename(dir, dir.with_extension("gone")).unwrap();
    std::fs::write(dir, b"").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_fails_takes_its_replicas_offline_and_no_others() {
    let Some((broker, other)) = start(&[]).await else { return };
    let mut client = broker.connect().await;
    // Each segment takes one batch, so that the second one needs a new file.
    let topic = client.create_topic("spread", 4, &[("segment.bytes", "1048576")]).await;
    let large = batch(&["x".repeat(700_000).as_str()]);
    let lost = partitions_in(&mut client, &topic, &other).await.unwrap();
    assert_eq!(lost.len(), 2);
    for index in 0..4 {
        assert_eq!(client.produce_as(11, -1, &topic, index, &large).await.error_code, 0);
    }
    destroy(&other);
    for index in 0..4 {
        let expected = if lost.contains(&index) { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        let answer = client.produce_as(11, -1, &topic, index, &large).await;
        // The other replicas of the directory know it from the first one.
        assert_eq!(error(answer.error_code), expected, "partition {index}");
    }
    assert_eq!(partitions_in(&mut client, &topic, &other).await, Err(ErrorCode::KafkaStorageError));
    // The controller is told at once, and there is nobody else to lead.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let described = client.describe_topic(&topic.name).await;
        let offline = |index: i32| {
            let partition = described.partitions.iter().find(|partition| partition.partition_index == index);
            partition.is_some_and(|partition| partition.leader_id == -1 && partition.offline_replicas == [1])
        };
        if (0..4).all(|index| offline(index) == lost.contains(&index)) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the controller was not told: {described:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // At the next start the directory is known to be offline, and what lies there is not begun anew elsewhere.
    let directory = broker.stop().await;
    let broker = directory.start().await;
    let mut client = broker.connect().await;
    assert_eq!(partitions_in(&mut client, &topic, &other).await, Err(ErrorCode::KafkaStorageError));
    let data = broker.directory().data().canonicalize().unwrap();
    assert_eq!(partitions_in(&mut client, &topic, &data).await.unwrap().len(), 2);

    // With the directory back everything is there again.
    let directory = broker.stop().await;
    std::fs::remove_file(&other).unwrap();
    std::fs::rename(other.with_extension("gone"), &other).unwrap();
    let broker = directory.start().await;
    let mut client = broker.connect().await;
    client.wait_for(&topic.name, 4).await;
    for index in lost {
        assert_eq!(client.produce_as(11, -1, &topic, index, &large).await.base_offset, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_stops_without_the_directory_of_the_metadata_log() {
    let Some((mut broker, _)) = start(&[]).await else { return };
    let mut client = broker.connect().await;
    let topic = client.create_topic("spread", 2, &[("segment.bytes", "1048576")]).await;
    let data = broker.directory().data().canonicalize().unwrap();
    let lost = partitions_in(&mut client, &topic, &data).await.unwrap();
    let large = batch(&["x".repeat(700_000).as_str()]);
    assert_eq!(client.produce_as(11, -1, &topic, lost[0], &large).await.error_code, 0);
    destroy(&data);
    let answer = client.produce_as(11, -1, &topic, lost[0], &large).await;
    assert_eq!(error(answer.error_code), ErrorCode::KafkaStorageError);
    let fault = tokio::time::timeout(Duration::from_secs(20), broker.failed()).await.unwrap();
    assert!(fault.to_string().contains(data.to_str().unwrap()), "{fault}");
}

/// A response once a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn alter(client: &mut Client, topic: &str, index: i32, dir: &Path) -> ErrorCode {
    let topics = vec![AlterReplicaLogDirTopic { name: topic.to_owned(), partitions: vec![index] }];
    let dirs = vec![AlterReplicaLogDir { path: dir.display().to_string(), topics }];
    let response = client.call(2, &AlterReplicaLogDirsRequest { dirs }).await;
    assert_eq!((response.results.len(), response.results[0].topic_name.as_str()), (1, topic));
    error(response.results[0].partitions[0].error_code)
}

/// The lag of a replica that moves to a directory; none where none does.
async fn lag_of_move(client: &mut Client, topic: &Topic, dir: &Path) -> Option<i64> {
    let response = client.call(4, &DescribeLogDirsRequest { topics: None }).await;
    let found = response.results.iter().find(|result| Path::new(&result.log_dir) == dir).unwrap();
    let topics = found.topics.iter().filter(|described| described.name == topic.name);
    let mut future = topics.flat_map(|topic| &topic.partitions).filter(|partition| partition.is_future_key);
    future.next().map(|partition| partition.offset_lag)
}

async fn throttle(client: &mut Client, bytes_per_second: Option<i64>) {
    let config = AlterableConfig {
        name: "replica.alter.log.dirs.io.max.bytes.per.second".to_owned(),
        config_operation: if bytes_per_second.is_some() { 0 } else { 1 },
        value: bytes_per_second.map(|rate| rate.to_string()),
    };
    let resource =
        AlterConfigsResource { resource_type: 4, resource_name: "1".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(client.call(1, &request).await.responses[0].error_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_moves_between_directories() {
    // Held back, it copies one batch of the ten in each of the broker's lives, however long that takes: the next would have to wait
    // until a window of an hour is over.
    let settings = [
        ("replica.fetch.max.bytes", "1024"),
        ("alter.log.dirs.replication.quota.window.size.seconds", "3600"),
    ];
    let Some((broker, other)) = start(&settings).await else { return };
    let mut client = broker.connect().await;
    let topic = client.create_topic("moving", 1, &[]).await;
    let data = broker.directory().data().canonicalize().unwrap();
    let is_in_data = partitions_in(&mut client, &topic, &data).await.unwrap() == [0];
    let (from, to) = if is_in_data { (data.clone(), other.clone()) } else { (other.clone(), data.clone()) };
    let large = batch(&["x".repeat(200_000).as_str()]);
    for _ in 0..10 {
        client.produce(&topic, &large).await;
    }
    let mut cases = Cases::default();
    let nowhere = Path::new("/nowhere");
    cases.check("elsewhere", alter(&mut client, &topic.name, 0, nowhere).await, ErrorCode::LogDirNotFound);
    cases.check("the same", alter(&mut client, &topic.name, 0, &from).await, ErrorCode::None);
    let unknown = unique("unknown");
    let found = alter(&mut client, &unknown, 0, &to).await;
    cases.check("unknown topic", found, ErrorCode::UnknownTopicOrPartition);
    cases.check("moves", lag_of_move(&mut client, &topic, &to).await, None);

    // Held back, it can be looked at, given up, begun again, and goes on in the broker's next life.
    throttle(&mut client, Some(1)).await;
    cases.check("begun", alter(&mut client, &topic.name, 0, &to).await, ErrorCode::None);
    until("the move is there", async || lag_of_move(&mut client, &topic, &to).await.is_some()).await;
    cases.check("given up", alter(&mut client, &topic.name, 0, &from).await, ErrorCode::None);
    cases.check("moves no more", lag_of_move(&mut client, &topic, &to).await, None);
    cases.check("begun again", alter(&mut client, &topic.name, 0, &to).await, ErrorCode::None);
    let broker = broker.stop().await.start().await;
    let mut client = broker.connect().await;
    client.wait_for(&topic.name, 1).await;
    let lag = lag_of_move(&mut client, &topic, &to).await;
    cases.check("goes on", lag.is_some_and(|lag| lag > 0), true);
    throttle(&mut client, None).await;
    until("the replica has moved", async || {
        let _ = client.produce(&topic, &batch(&["meanwhile"])).await;
        partitions_in(&mut client, &topic, &to).await == Ok(vec![0])
            && lag_of_move(&mut client, &topic, &to).await.is_none()
    })
    .await;
    cases.check("left", partitions_in(&mut client, &topic, &from).await, Ok(vec![]));
    let values = client.consume(&topic, 0).await;
    cases.check("large ones", values.iter().filter(|value| value.len() == 200_000).count(), 10);
    let end = client.produce(&topic, &batch(&["the end"])).await;
    cases.check("all of them", values.len() as i64, end);

    // At the next start the metadata and the directory agree.
    let broker = broker.stop().await.start().await;
    let mut client = broker.connect().await;
    client.wait_for(&topic.name, 1).await;
    cases.check("stays", partitions_in(&mut client, &topic, &to).await, Ok(vec![0]));
    cases.check("goes on", client.produce(&topic, &batch(&["more"])).await, end + 1);
}
