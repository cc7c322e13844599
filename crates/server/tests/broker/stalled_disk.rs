//! A disk that stalls holds up those who need it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::ErrorCode;
use io::SimulatedDisk;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{
    ConsumerGroupHeartbeatRequest, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest,
};

use crate::harness::{Broker, Client, Topic, batch, error, format_also, produce_request};
use crate::versions::groups::{commit, wait_for_coordinator};

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
    directory.settings.push(("offsets.topic.num.partitions".to_owned(), "16".to_owned()));
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

/// The partition of `__consumer_offsets` that has a group, of so many.
fn offsets_partition(group: &str, count: i32) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.checked_abs().unwrap_or(0) % count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn commits_wait_for_their_disk_and_are_not_refused() {
    let Some((broker, disk, topic, _)) = start().await else { return };
    let mut client = broker.connect().await;
    wait_for_coordinator(&mut client, "any").await;
    let offsets_topic = client.describe_topic("__consumer_offsets").await;
    let count = offsets_topic.partitions.len() as i32;
    let more = disk.path().join("more");
    let groups = |stalling: bool| {
        let lies_there = |index| io::fs::is_dir(more.join(format!("__consumer_offsets-{index}")));
        let names = (0..1000).map(|number| format!("group-{number}"));
        names.filter(move |name| lies_there(offsets_partition(name, count)) == stalling)
    };
    let healthy = groups(false).next().unwrap();
    // The first is stuck in its write until it is over, and with it whoever comes to the same partition before that is noticed.
    let first = groups(true).next().unwrap();
    let elsewhere = |name: &String| offsets_partition(name, count) != offsets_partition(&first, count);
    let others: Vec<String> = groups(true).filter(elsewhere).take(WRITERS + 1).collect();
    for group in [&healthy, &first].into_iter().chain(&others) {
        commit(&mut client, 8, group, &topic, 1).await;
    }

    let stall = Stall::begin(disk.clone());
    let mut waiting = Vec::new();
    for group in std::iter::once(&first).chain(&others[1..]) {
        let (mut client, topic, group) = (broker.connect().await, topic.clone(), group.clone());
        waiting.push(tokio::spawn(async move { commit(&mut client, 8, &group, &topic, 2).await }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut member = broker.connect().await;
    let joins = ConsumerGroupHeartbeatRequest {
        group_id: others[0].clone(),
        member_id: "joins".to_owned(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![topic.name.clone()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    member.send(1, &joins).await;
    for offset in 0..50 {
        commit(&mut client, 8, &healthy, &topic, offset).await;
    }
    assert!(waiting.iter().all(|commit| !commit.is_finished()), "a commit was answered without its disk");
    assert!(stall.lasts(), "others wait for the disk too");
    drop(stall);
    for commit in waiting {
        // It looks at the error itself.
        commit.await.unwrap();
    }
    assert_eq!(error(member.receive::<ConsumerGroupHeartbeatRequest>(1).await.error_code), ErrorCode::None);
}
