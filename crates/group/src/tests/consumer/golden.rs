//! A consumer group's records are Apache Kafka's, byte for byte: the life of group `modern-live` of the log that it wrote.

use super::*;
use crate::consumer::topic_hash;
use coordinator::CoordinatorShard;

const LOG: &[u8] = include_bytes!("../../../tests/vectors/consumer-offsets.log");

/// The topic `words` as it was there.
fn apaches_topics() -> TestTopics {
    let id: Uuid = "gfgkX7iBQzOQIYf8ZSx7ag".parse().unwrap();
    TestTopics { topics: [("words".to_owned(), (id, 3))].into(), ..Default::default() }
}

fn batches(log: &[u8]) -> Vec<Vec<u8>> {
    Batches::new(log).map(|batch| batch.unwrap().as_bytes().to_vec()).collect()
}

fn keys_and_values(batch: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let batch = Batches::new(batch).next().unwrap().unwrap();
    batch
        .iter()
        .map(|record| {
            let record = record.unwrap();
            (record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec))
        })
        .collect()
}

#[test]
fn the_same_events_make_the_same_records_and_batches() {
    let theirs = batches(LOG);
    let find = |offset: i64| {
        let of = |batch: &&Vec<u8>| Batches::new(batch).next().unwrap().unwrap().base_offset() == offset;
        theirs.iter().find(of).unwrap()
    };
    let mut world = world();
    world.client_id = "golden";
    world.set_topics(apaches_topics());

    // A member that commits nothing here, and leaves.
    world.now_ms = 1_795_257_451_119;
    let mut modern = Member {
        group_id: "modern".to_owned(),
        regex: Some(String::new()),
        ..member("NHnl0AWESHGBG1YCJzRmWA")
    };
    let request = ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: 300_000, ..modern.request() };
    modern.take(&world.send(1, request));
    world.now_ms = 1_795_257_451_390;
    assert_eq!(world.goodbye(&modern, -1), ErrorCode::None);
    // One with an instance, which stays.
    world.now_ms = 1_795_257_451_929;
    let live = Member {
        group_id: "modern-live".to_owned(),
        instance_id: Some("worker-2".to_owned()),
        regex: None,
        ..member("QN30SkZbTpaFosIZ6KMt4Q")
    };
    let request = ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: 300_000, ..live.request() };
    assert_eq!(world.send(1, request).error_code, 0);

    let ours = batches(&world.log.bytes.lock().unwrap());
    assert_eq!(ours.len(), 3);
    for (ours, offset) in ours.iter().zip([9, 16, 21]) {
        assert_eq!(keys_and_values(ours), keys_and_values(find(offset)), "offset {offset}");
    }
    // Of the goodbye the time of the append is the same too, so but for the offset the whole batch is.
    let mut goodbye = ours[1].clone();
    patch::set_partition_leader_epoch(&mut goodbye, 0).unwrap();
    patch::set_base_offset(&mut goodbye, 16).unwrap();
    assert_eq!(goodbye, *find(16));
}

#[test]
fn apaches_group_loads_to_what_it_was_and_goes_on() {
    let log = MemoryLog {
        bytes: Mutex::new(LOG.to_vec()),
        end: AtomicI64::new(50),
        alone: true,
        error: Mutex::new(None),
    };
    let mut world = World::over(Arc::new(log), config(), 1_795_257_456_000);
    world.client_id = "golden";
    world.set_topics(apaches_topics());
    let described = world.described("modern-live");
    assert_eq!((described.group_epoch, described.assignment_epoch), (2, 2));
    assert_eq!(described.members[0].assignment.topic_partitions[0].partitions, [0, 1, 2]);
    // Its hash of the topics is ours: no epoch goes by because another broker has the group now.
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "modern-live".to_owned(),
        member_id: "QN30SkZbTpaFosIZ6KMt4Q".to_owned(),
        instance_id: Some("worker-2".to_owned()),
        member_epoch: 2,
        ..Default::default()
    };
    let response = world.send(1, request);
    assert_eq!((response.error_code, response.member_epoch), (0, 2));
    assert_eq!(world.log.end.load(Ordering::SeqCst), 50, "there was nothing to write");
}

/// Computed by `org.apache.kafka.coordinator.group.Utils` of Apache Kafka 4.4.
#[test]
fn hashes_of_topics_are_kafkas() {
    let topics = apaches_topics();
    let all = Arc::new(crate::topics::Topics::none().next(Arc::new(topics.clone()), &topics.all()));
    assert_eq!(
        crate::consumer::metadata_hash(["words", "nothing"].into_iter(), &all),
        4_420_800_547_272_029_575
    );
    assert_eq!(topic_hash("nothing", &topics), None);
    HASHES.iter().for_each(|(names, racks, expected)| {
        let mut topics = TestTopics { racks: racks.to_vec(), topics: BTreeMap::new(), ..Default::default() };
        for (index, (name, partitions)) in names.iter().enumerate() {
            let id = Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210 + index as u128);
            topics.topics.insert((*name).to_owned(), (id, *partitions));
        }
        let known = crate::topics::Topics::none().next(Arc::new(topics.clone()), &topics.all());
        let hash = crate::consumer::metadata_hash(names.iter().map(|topic| topic.0), &known);
        assert_eq!(hash, *expected, "{names:?} {racks:?}");
    });
}

type Hashed = (&'static [(&'static str, i32)], &'static [&'static str], i64);

const HASHES: &[Hashed] = &[
    (&[("a", 1)], &[], 3_470_684_412_542_478_659),
    (&[("racks", 2)], &["r2", "r1", "ä"], 5_745_680_584_643_675_956),
    (&[("b", 3), ("a-longer-name", 40)], &["r1"], -2_529_546_790_469_283_109),
];

#[test]
fn every_record_of_a_consumer_group_is_read_and_written_alike() {
    let mut compared = 0;
    for batch in batches(LOG) {
        for (key, value) in keys_and_values(&batch) {
            let Ok(record) = GroupShard::decode(&key, value.as_deref()) else { continue };
            if matches!(record, GroupRecord::Consumer(_)) {
                let encoded = GroupShard::encode(&record).unwrap();
                assert_eq!((encoded.key, encoded.value), (key, value));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 15);
}
