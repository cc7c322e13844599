//! A log that Apache Kafka 4.4 wrote: it loads to the facts, and of the same facts we make the same bytes. See
//! `tests/vectors/README.md`.

use super::*;
use crate::classic::ExpiryBase;
use coordinator::CoordinatorShard;

const LOG: &[u8] = include_bytes!("../../tests/vectors/consumer-offsets.log");
/// Shortly after the log was written.
const THEN: i64 = 1_795_257_456_000;

fn loaded() -> World {
    let log = MemoryLog {
        bytes: Mutex::new(LOG.to_vec()),
        end: AtomicI64::new(50),
        alone: true,
        error: Mutex::new(None),
    };
    World::over(Arc::new(log), config(), THEN)
}

/// The log's records: offset, key, value.
fn records() -> Vec<(i64, Vec<u8>, Option<Vec<u8>>)> {
    Batches::new(LOG)
        .flat_map(|batch| {
            let batch = batch.unwrap();
            if batch.is_control() { Vec::new() } else { batch.iter().collect::<Vec<_>>() }
        })
        .map(|record| {
            let record = record.unwrap();
            (record.offset, record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec))
        })
        .collect()
}

#[test]
fn apaches_log_loads_to_what_happened() {
    let mut world = loaded();
    let fetch = |group_id: &str| [0, 1, 2].map(|partition| world.fetch(group_id, "words", partition));
    assert_eq!(fetch("classic"), [Ok(10), Ok(11), Ok(12)]);
    assert_eq!(fetch("fixed"), [Ok(20), Ok(-1), Ok(-1)]);
    assert_eq!(fetch("modern"), [Ok(30), Ok(31), Ok(-1)]);
    assert_eq!(fetch("modern-live"), [Ok(-1), Ok(-1), Ok(42)]);
    assert_eq!(fetch("simple"), [Ok(50), Ok(-1), Ok(-1)]);
    assert_eq!(fetch("gone"), [Ok(-1), Ok(-1), Ok(-1)]);
    assert_eq!(fetch("transactional"), [Ok(70), Ok(-1), Err(ErrorCode::UnstableOffsetCommit)]);

    let groups = world
        .coordinator
        .inspect(PARTITION, THEN, |shard| {
            let mut groups: Vec<_> = shard
                .groups()
                .iter()
                .map(|(group_id, group)| {
                    (group_id.to_string(), group.group_type().name(), group.state_name())
                })
                .collect();
            groups.sort();
            let classic = shard.groups().classic("classic").unwrap();
            assert_eq!((classic.generation_id(), classic.protocol_type()), (2, Some("consumer")));
            assert_eq!(classic.expiry_base(), Some(ExpiryBase::StateChange(1_795_257_449_862)));
            let offset = shard.offsets().offset("classic", "words", 0).unwrap();
            assert_eq!((offset.leader_epoch, &*offset.metadata, offset.record_offset), (0, "first", 4));
            assert_eq!(offset.commit_timestamp_ms, 1_795_257_449_839);
            assert_eq!(offset.topic_id.to_string(), "gfgkX7iBQzOQIYf8ZSx7ag");
            assert_eq!(
                shard.offsets().pending_offset(2, "transactional", "words", 2).unwrap().committed_offset,
                72
            );
            let live = shard.groups().consumer("modern-live").unwrap();
            let ids: Vec<_> = live.members().map(|member| member.member_id()).collect();
            assert_eq!(ids, ["QN30SkZbTpaFosIZ6KMt4Q"]);
            groups
        })
        .unwrap();
    let expected = [
        ("classic", "classic", "Empty"),
        ("fixed", "classic", "Stable"),
        ("modern", "consumer", "Empty"),
        ("modern-live", "consumer", "Stable"),
        ("shared", "share", "Empty"),
        ("simple", "classic", "Empty"),
        ("transactional", "classic", "Empty"),
    ];
    assert_eq!(
        groups,
        expected.map(|(group_id, group_type, state)| (group_id.to_owned(), group_type, state))
    );

    let fixed = world.describe("fixed");
    assert_eq!((fixed.protocol_data.as_str(), fixed.members.len()), ("range", 1));
    assert_eq!(fixed.members[0].group_instance_id.as_deref(), Some("worker-1"));
    assert_eq!(fixed.members[0].member_id, "worker-1-6ec69dc6-9d7a-47eb-8931-60f8e527204d");
    // The static member comes back and goes on where it was; the emptied consumer group takes classic members.
    let back = Client {
        instance_id: Some("worker-1".to_owned()),
        protocols: vec![("range".to_owned(), fixed.members[0].member_metadata.clone())],
        ..client("fixed")
    };
    let response = world.join(&back).get();
    assert_eq!((response.error_code, response.generation_id, response.skip_assignment), (0, 1, true));
    let mut clients = vec![client("modern")];
    world.stabilize(&mut clients);
    assert_eq!(world.fetch("modern", "words", 1), Ok(31));
}

#[test]
fn every_record_of_apaches_that_we_write_too_is_written_with_the_same_bytes() {
    let mut compared = 0;
    for (offset, key, value) in records() {
        let record = GroupShard::decode(&key, value.as_deref()).unwrap();
        if matches!(&record, GroupRecord::Modern(_)) && value.is_some() {
            continue;
        }
        let encoded = GroupShard::encode(&record).unwrap();
        assert_eq!((&encoded.key, &encoded.value), (&key, &value), "offset {offset}");
        compared += 1;
    }
    assert_eq!(compared, 39);
}

/// The life of group `classic` again, with the ids, metadata and times of Apache's: a group's record has the time of its
/// change, a batch that of its append, which in Apache's is some milliseconds later.
#[test]
fn the_same_events_make_the_same_records_and_batches() {
    let theirs = records();
    let GroupRecord::GroupMetadata { value: Some(stored), .. } =
        GroupShard::decode(&theirs[1].1, theirs[1].2.as_deref()).unwrap()
    else {
        panic!("the second record is the group's")
    };
    let config = GroupConfig { group_initial_rebalance_delay_ms: 0, ..config() };
    let mut world = world_with(config.clone(), true);
    world.coordinator = GroupCoordinator::with_ids(
        config,
        Arc::clone(&world.log) as Arc<dyn CoordinatorLog>,
        Box::new(|_| {}),
        Box::new(|| Uuid::from_u128(0x0e9c_97dc_0586_4ad6_a5cc_9119_42e1_2a99)),
    );
    world.client_id = "golden";
    world.load().unwrap();

    let mut member = Client {
        protocols: vec![("range".to_owned(), stored.members[0].subscription.clone())],
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        ..client("classic")
    };
    world.now_ms = 1_795_257_449_639;
    world.ask_for_id(&mut member);
    assert_eq!(member.member_id, stored.members[0].member_id);
    world.now_ms = 1_795_257_449_689;
    let joining = world.join(&member);
    world.coordinator.expire(world.now_ms);
    member.generation_id = joining.get().generation_id;
    world.now_ms = 1_795_257_449_719;
    let request = SyncGroupRequest {
        group_id: "classic".to_owned(),
        generation_id: 1,
        member_id: member.member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: stored.members[0].assignment.clone(),
        }],
        ..Default::default()
    };
    let (answer, reply) = Answer::new();
    world.coordinator.sync_group(&world.context(5), request, world.now_ms, reply);
    assert_eq!(answer.get().error_code, 0);
    world.now_ms = 1_795_257_449_862;
    assert_eq!(world.leave(&member).members[0].error_code, 0);

    let ours = world.log.bytes.lock().unwrap().clone();
    let ours: Vec<_> = Batches::new(&ours).map(|batch| batch.unwrap().as_bytes().to_vec()).collect();
    let record = |batch: &[u8]| {
        let batch = Batches::new(batch).next().unwrap().unwrap();
        let record = batch.iter().next().unwrap().unwrap();
        (record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec))
    };
    for (ours, offset) in ours.iter().zip([0, 1, 5]) {
        let theirs = &theirs[offset];
        assert_eq!(record(ours), (theirs.1.clone(), theirs.2.clone()), "offset {offset}");
    }
    // Of the assignment the time of the append is the same too, so with the leader's epoch the whole batch is.
    let mut batch = ours[1].clone();
    patch::set_partition_leader_epoch(&mut batch, 0).unwrap();
    assert_eq!(batch, Batches::new(LOG).nth(1).unwrap().unwrap().as_bytes());
}
