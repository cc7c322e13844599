//! Damage in `__consumer_offsets`: records that no coordinator understands, batches with flipped bits, a torn end. The coordinator
//! loads, and only what was hit is lost.

use std::path::PathBuf;

use common::{ErrorCode, Uuid};
use protocol::compression::Compression;
use protocol::messages::*;

use crate::harness::{Broker, Client, Directory, Topic, builder, elsewhere, error};
use crate::versions::groups::{Member, commit, fetch, stable_member, wait_for_coordinator};

const OFFSETS_TOPIC: &str = "__consumer_offsets";
const GROUPS: [&str; 6] = ["g0", "g1", "g2", "g3", "g4", "g5"];

/// So many commits come behind, more than lie between two entries of an index.
const LATER: usize = 100;

/// A broker whose groups all lie in one partition, each with a committed offset of its own; and a group with a member.
async fn with_groups() -> (Broker, Topic, Member) {
    let broker = Directory::formatted(&[("offsets.topic.num.partitions", "1")]).start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("read", 2, &[]).await;
    let member = stable_member(&mut client).await;
    for (number, group) in GROUPS.iter().enumerate() {
        commit(&mut client, 8, group, &topic, 10 + number as i64).await;
    }
    (broker, topic, member)
}

/// The one partition's first segment.
fn segment(directory: &Directory) -> PathBuf {
    directory.data().join(format!("{OFFSETS_TOPIC}-0")).join("00000000000000000000.log")
}

/// Where each batch begins, by the lengths that they say, and where the last ends.
fn batches(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(length) = bytes.get(starts[starts.len() - 1] + 8..).and_then(|rest| rest.first_chunk()) {
        starts.push(starts[starts.len() - 1] + 12 + u32::from_be_bytes(*length) as usize);
    }
    starts
}

/// What is committed of each group.
async fn committed(client: &mut Client, topic: &Topic) -> Vec<i64> {
    let mut found = Vec::new();
    for group in GROUPS {
        wait_for_coordinator(client, group).await;
        found.push(fetch(client, 8, group, topic).await.0);
    }
    found
}

async fn is_member(client: &mut Client, member: &Member) -> bool {
    let request = HeartbeatRequest {
        group_id: member.group.clone(),
        generation_id: member.generation,
        member_id: member.id.clone(),
        group_instance_id: None,
    };
    error(client.call(4, &request).await.error_code) == ErrorCode::None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_nobody_understands_are_left_alone() {
    if elsewhere().is_some() {
        return;
    }
    let (broker, topic, member) = with_groups().await;
    let mut client = broker.connect().await;
    // Who calls itself this may write there, as with Kafka's `AdminUtils.ADMIN_CLIENT_ID`.
    client.client_id = "__admin_client".to_owned();
    let offsets_topic = Topic { name: OFFSETS_TOPIC.to_owned(), id: Uuid::ZERO };
    // The key of an offset: version 1, group, topic, partition.
    let key = [&[0, 1, 0, 2][..], b"g0", &[0, 4], b"read", &[0, 0, 0, 1]].concat();
    let records: [(&[u8], Option<&[u8]>); 7] = [
        (b"", Some(b"x")),
        (&[0], Some(b"x")),
        (&[0, 99, 1, 2, 3], Some(b"of a release to come")),
        (&key[..9], Some(b"x")),
        (&key, Some(b"no value")),
        (&[0, 2, 0x7f, 0xff, b'g'], Some(&[0xff; 30])),
        (&[0, 3, 0, 2, b'g', b'1'], Some(&[0, 0, 0xff, 0xff])),
    ];
    for (key, value) in records {
        let mut builder = builder(Compression::None);
        builder.append(crate::harness::TIMESTAMP, Some(key), value, &[]).unwrap();
        let written = client.produce_as(9, -1, &offsets_topic, 0, &builder.build()).await;
        assert_eq!(error(written.error_code), ErrorCode::None, "{key:?}");
    }
    commit(&mut client, 8, "g5", &topic, 99).await;
    let broker = broker.stop().await.start().await;
    let mut client = broker.connect().await;
    assert_eq!(committed(&mut client, &topic).await, [10, 11, 12, 13, 14, 99]);
    assert!(is_member(&mut client, &member).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_batch_costs_its_own_records() {
    if elsewhere().is_some() {
        return;
    }
    let (broker, topic, member) = with_groups().await;
    // In the middle of the segment: a start after a clean stop looks at what the last entries of the indexes point to, and at no more.
    let mut client = broker.connect().await;
    for offset in 0..LATER {
        commit(&mut client, 8, "later", &topic, offset as i64).await;
    }
    let directory = broker.stop().await;
    let whole = std::fs::read(segment(&directory)).unwrap();
    let starts = batches(&whole);
    // The commits are the last batches.
    let of_group = |group: usize| starts[starts.len() - 1 - LATER - GROUPS.len() + group];
    let size = of_group(3) - of_group(2);
    // Base offset, length, leader epoch, magic, checksum, attributes, last offset delta, times, producer, count, records.
    for at in [0, 5, 7, 8, 10, 11, 13, 16, 18, 22, 26, 30, 40, 50, 58, 60, 62, 70, size - 1] {
        let hit = 2;
        let damaged = directory.copy();
        let mut bytes = whole.clone();
        bytes[of_group(hit) + at] ^= 0x5a;
        std::fs::write(segment(&damaged), bytes).unwrap();
        let broker = damaged.start().await;
        let mut client = broker.connect().await;
        let found = committed(&mut client, &topic).await;
        // Base offset and leader epoch are no part of what the checksum covers: the commit may still be understood.
        assert!([-1, 12].contains(&found[hit]), "byte {at}: {found:?}");
        for (group, found) in found.iter().enumerate().filter(|(group, _)| *group != hit) {
            assert_eq!(*found, 10 + group as i64, "byte {at}, {}", GROUPS[group]);
        }
        assert_eq!(fetch(&mut client, 8, "later", &topic).await.0, LATER as i64 - 1, "byte {at}");
        assert!(is_member(&mut client, &member).await, "byte {at}");
        // The group goes on, and again after a restart.
        commit(&mut client, 8, GROUPS[hit], &topic, 77).await;
        let broker = broker.stop().await.start().await;
        let mut client = broker.connect().await;
        let found = committed(&mut client, &topic).await;
        assert_eq!(found, [10, 11, 77, 13, 14, 15], "byte {at}, after a restart");
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_end_costs_what_was_torn() {
    if elsewhere().is_some() {
        return;
    }
    let (broker, topic, member) = with_groups().await;
    let directory = broker.stop().await;
    let whole = std::fs::read(segment(&directory)).unwrap();
    let starts = batches(&whole);
    let size = whole.len() - starts[starts.len() - 2];
    for (cut, left) in [(1, 5), (size - 61, 5), (size - 12, 5), (size - 1, 5), (size, 5), (size + 1, 4)] {
        for stopped in [true, false] {
            let torn = directory.copy();
            let file = std::fs::OpenOptions::new().write(true).open(segment(&torn)).unwrap();
            file.set_len((whole.len() - cut) as u64).unwrap();
            if !stopped {
                std::fs::remove_file(torn.data().join(".kafka_cleanshutdown")).unwrap();
            }
            let broker = torn.start().await;
            let mut client = broker.connect().await;
            let expected: Vec<i64> = (0..6).map(|group| if group < left { 10 + group } else { -1 }).collect();
            assert_eq!(committed(&mut client, &topic).await, expected, "{cut} bytes, stopped: {stopped}");
            assert!(is_member(&mut client, &member).await);
            commit(&mut client, 8, "g5", &topic, 77).await;
            assert_eq!(fetch(&mut client, 8, "g5", &topic).await.0, 77);
            broker.stop().await;
        }
    }
}
