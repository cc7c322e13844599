//! A disk that stalls holds up those who need it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::ErrorCode;
use io::SimulatedDisk;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, ProduceRequest};

use crate::harness::{Broker, Client, Topic, batch, error, format_also, produce_request};

/// More than there are threads that serve connections.
const WRITERS: usize = 12;

/// A broker with two directories, the second one on a disk that can stall; a topic with a partition in each, and their indexes.
async fn start() -> Option<(Broker, SimulatedDisk, Topic, [i32; 2])> {
    let mut directory = Broker::start_with(&[]).await?.stop().await;
    let disk = SimulatedDisk::new(1);
    let other = disk.path().join("more");
    io::fs::create_dir_all(&other).unwrap();
    format_also(&directory.data(), &other);
    let both = format!("{},{}", directory.data().display(), other.display());
    directory.settings.push(("log.dirs".to_owned(), both));
    let broker = directory.start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("stalls", 2, &[]).await;
    let lies_there = |index: &i32| io::fs::is_dir(other.join(format!("{}-{index}", topic.name)));
    let there = (0..2).find(lies_there).unwrap();
    assert!(!lies_there(&(1 - there)));
    Some((broker, disk, topic, [1 - there, there]))
}

async fn by_time(client: &mut Client, topic: &Topic, index: i32) -> ListOffsetsResponse {
    let partitions =
        vec![ListOffsetsPartition { partition_index: index, current_leader_epoch: -1, timestamp: 1 }];
    let topics = vec![ListOffsetsTopic { name: topic.name.clone(), partitions }];
    client.call(7, &ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() }).await
}

/// A stall that ends when this is dropped, or else after a minute: by a thread that needs no runtime, which may be what waits.
struct Stall {
    disk: SimulatedDisk,
    is_over: Arc<AtomicBool>,
}

impl Stall {
    fn begin(disk: SimulatedDisk) -> Stall {
        disk.stall();
        let stall = Stall { disk: disk.clone(), is_over: Arc::default() };
        let is_over = Arc::clone(&stall.is_over);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(60));
            is_over.store(true, Ordering::SeqCst);
            disk.go_on();
        });
        stall
    }

    /// Whether it lasts until now.
    fn lasts(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.disk.go_on();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_need_it_is_served() {
    others_are_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_does_not_need_it_is_served_by_three_threads() {
    others_are_served().await;
}

async fn others_are_served() {
    let Some((broker, disk, topic, [healthy, stalling])) = start().await else { return };
    let mut client = broker.connect().await;
    for index in [healthy, stalling] {
        assert_eq!(client.produce_as(11, -1, &topic, index, &batch(&["before"])).await.error_code, 0);
    }
    let stall = Stall::begin(disk);
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let mut client = broker.connect().await;
        let records = batch(&[format!("waits {writer}").as_str()]);
        client.send(11, &produce_request(11, -1, &topic, &[(stalling, &records)])).await;
        writers.push(client);
    }
    // The stall lasts until all of this was answered, however long that takes.
    for round in 0..50 {
        let mut client = broker.connect().await;
        let offset = client.produce_as(11, -1, &topic, healthy, &batch(&["meanwhile"])).await.base_offset;
        assert_eq!(offset, round + 1);
        let found = by_time(&mut client, &topic, healthy).await;
        assert_eq!(found.topics[0].partitions[0].offset, 0);
        client.describe_topic(&topic.name).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(stall.lasts(), "others wait for the disk too");
    // Who asks for what lies there waits too.
    let mut reader = broker.connect().await;
    let asking = by_time(&mut reader, &topic, stalling);
    assert!(tokio::time::timeout(Duration::from_millis(50), asking).await.is_err(), "it did not wait");
    drop(stall);
    let mut offsets = Vec::new();
    for mut writer in writers {
        let answer = writer.receive::<ProduceRequest<'_>>(11).await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(error(answer.error_code), ErrorCode::None);
        offsets.push(answer.base_offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=WRITERS as i64).collect::<Vec<_>>(), "each record once");
    assert_eq!(by_time(&mut client, &topic, stalling).await.topics[0].partitions[0].offset, 0);
}
