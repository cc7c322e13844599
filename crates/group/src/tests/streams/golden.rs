//! A streams group's records are Apache Kafka's, byte for byte: the life of an application in the log that it wrote.

use super::*;
use coordinator::CoordinatorShard;
use protocol::messages::streams_group_topology_value;

use crate::streams::StreamsGroupRecord;

const LOG: &[u8] = include_bytes!("../../../tests/vectors/streams-offsets.log");
/// How much of it was written while the application ran undisturbed: the bytes, and the offset behind them.
const SETTLED: (usize, i64) = (1_656, 16);

fn apaches_topics() -> TestTopics {
    let topics = [
        ("lines", "w_DeOaYLRDuqnGMFNJ9gwg", 4),
        ("wc-counts-repartition", "TKNnAW7hRMO9Zj1mEYEGBA", 4),
        ("wc-counts-changelog", "jS2KiE1ARt6CrbXLSDB11Q", 4),
    ];
    let topics = topics.into_iter().map(|(name, id, count)| (name.to_owned(), (id.parse().unwrap(), count)));
    TestTopics { topics: topics.collect(), ..Default::default() }
}

/// The records of `log` from offset `from` up to `to`.
fn records(log: &[u8], from: i64, to: i64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let batches = Batches::new(log).map(Result::unwrap);
    let records = batches.flat_map(|batch| batch.iter().map(Result::unwrap).collect::<Vec<_>>());
    records
        .filter(|record| (from..to).contains(&record.offset))
        .map(|record| (record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec)))
        .collect()
}

fn requested(topics: Vec<streams_group_topology_value::TopicInfo>) -> Vec<TopicInfo> {
    let topics = topics.into_iter();
    topics
        .map(|topic| TopicInfo {
            name: topic.name,
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            topic_configs: topic
                .topic_configs
                .into_iter()
                .map(|config| KeyValue { key: config.key, value: config.value })
                .collect(),
        })
        .collect()
}

/// The first heartbeat of a member, with the topology of Apache's record.
fn join_request(member_id: &str) -> StreamsGroupHeartbeatRequest {
    let (key, value) = records(LOG, 1, 2).remove(0);
    let Ok(GroupRecord::Streams(StreamsGroupRecord::Topology { value: Some(topology), .. })) =
        GroupShard::decode(&key, value.as_deref())
    else {
        panic!("offset 1 is the topology")
    };
    let subtopologies = topology.subtopologies.into_iter();
    StreamsGroupHeartbeatRequest {
        group_id: "wc".to_owned(),
        topology: Some(Topology {
            epoch: topology.epoch,
            subtopologies: subtopologies
                .map(|subtopology| Subtopology {
                    subtopology_id: subtopology.subtopology_id,
                    source_topics: subtopology.source_topics,
                    repartition_sink_topics: subtopology.repartition_sink_topics,
                    state_changelog_topics: requested(subtopology.state_changelog_topics),
                    repartition_source_topics: requested(subtopology.repartition_source_topics),
                    ..Default::default()
                })
                .collect(),
        }),
        rebalance_timeout_ms: 300_000,
        process_id: Some("5a3bf5e4-cb1d-452e-a89a-13bb0f3f126a".to_owned()),
        user_endpoint: Some(Endpoint { host: "localhost".to_owned(), port: 7001 }),
        ..thread(member_id, "").join_request()
    }
}

#[test]
fn every_record_of_a_streams_group_is_read_and_written_alike() {
    let mut compared = 0;
    for (key, value) in records(LOG, 0, i64::MAX) {
        let record = GroupShard::decode(&key, value.as_deref()).unwrap();
        if matches!(record, GroupRecord::Streams(_)) {
            let encoded = GroupShard::encode(&record).unwrap();
            assert_eq!((encoded.key, encoded.value), (key, value));
            compared += 1;
        }
    }
    assert_eq!(compared, 25);
}

#[test]
fn the_same_events_make_the_same_records() {
    let mut world = world();
    let mut topics = apaches_topics();
    topics.topics.retain(|name, _| name == "lines");
    world.set_topics(topics);
    world.now_ms = 1_795_330_165_833;
    world.client_id = "wc-5a3bf5e4-cb1d-452e-a89a-13bb0f3f126a-StreamThread-1-consumer";
    let first = world.beat_streams(1, join_request("xDypjl_SRruXKHvRiY54Mw"));
    assert_eq!(first.response.error_message, None);
    world.client_id = "wc-5a3bf5e4-cb1d-452e-a89a-13bb0f3f126a-StreamThread-2-consumer";
    world.beat_streams(1, join_request("Ikqhhm_5S1acw0ATBMhQkg"));
    let ours = |from, to| records(&world.log.bytes.lock().unwrap(), from, to);
    assert_eq!(ours(0, 7), records(LOG, 0, 7));
    world.advance(3_000);

    // Members are in no order there.
    let sorted = |mut records: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
        records.sort();
        records
    };
    let ours = |from, to| records(&world.log.bytes.lock().unwrap(), from, to);
    assert_eq!(sorted(ours(7, 10)), sorted(records(LOG, 7, 10)));
    world.set_topics(apaches_topics());
    world.now_ms = 1_795_330_171_136;
    let beat = StreamsGroupHeartbeatRequest {
        topology: None,
        user_endpoint: None,
        process_id: None,
        client_tags: None,
        rebalance_timeout_ms: -1,
        member_epoch: 1,
        ..join_request("Ikqhhm_5S1acw0ATBMhQkg")
    };
    world.beat_streams(1, beat);
    let ours = records(&world.log.bytes.lock().unwrap(), 10, 15);
    let theirs = records(LOG, 10, 15);
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours[0], theirs[0], "the group's epoch, with the hash of its topics");
    assert_eq!(ours[3], theirs[3], "the target's epoch and time");
}

#[test]
fn apaches_group_loads_to_what_it_was_and_goes_on() {
    let log = MemoryLog {
        bytes: Mutex::new(LOG[..SETTLED.0].to_vec()),
        end: AtomicI64::new(SETTLED.1),
        alone: true,
        error: Mutex::new(None),
    };
    let mut world = World::over(Arc::new(log), config(), 1_795_330_175_000);
    world.set_topics(apaches_topics());
    let described = world.described_streams("wc");
    assert_eq!((described.group_epoch, described.assignment_epoch), (4, 4));
    assert_eq!(described.group_state, "Stable");
    let partitions = |member: usize| {
        let tasks = &described.members[member].assignment.active_tasks;
        tasks.iter().map(|ids| ids.partitions.clone()).collect::<Vec<_>>()
    };
    assert_eq!((partitions(0), partitions(1)), (vec![vec![1, 3]; 2], vec![vec![0, 2]; 2]));
    // Its hash of the topics is ours: no epoch goes by because another broker has the group now.
    world.client_id = "wc-5a3bf5e4-cb1d-452e-a89a-13bb0f3f126a-StreamThread-1-consumer";
    let beat = StreamsGroupHeartbeatRequest {
        group_id: "wc".to_owned(),
        member_epoch: 4,
        ..thread("xDypjl_SRruXKHvRiY54Mw", "").short_request()
    };
    let response = world.beat_streams(1, beat).response;
    assert_eq!((response.error_code, response.member_epoch), (0, 4));
    assert_eq!(world.log.end.load(Ordering::SeqCst), SETTLED.1, "there was nothing to write");

    // And the whole of it: everybody has left.
    let log = MemoryLog {
        bytes: Mutex::new(LOG.to_vec()),
        end: AtomicI64::new(49),
        alone: true,
        error: Mutex::new(None),
    };
    let world = World::over(Arc::new(log), config(), 1_795_330_665_000);
    let described = world.described_streams("wc");
    assert_eq!((described.group_state.as_str(), described.group_epoch), ("Empty", 6));
    assert!(world.fetch("wc", "lines", 0).is_ok_and(|offset| offset > 0));
}
