//! Several log directories, and what happens when one of them fails (KIP-112, KIP-858).

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::ErrorCode;
use protocol::messages::DescribeLogDirsRequest;

use crate::harness::{Broker, Client, Directory, Topic, batch, error, format_also};

/// A broker with a second log directory, and that one's path.
async fn start() -> Option<(Broker, PathBuf)> {
    let directory = Broker::start_with(&[]).await?.stop().await;
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
    let Some((broker, other)) = start().await else { return };
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
    let Some((mut broker, _)) = start().await else { return };
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
