//! A node by behaviour: on directories that Apache Kafka wrote, through restarts, and after crashes.

use std::fs;
use std::path::{Path, PathBuf};

use common::Uuid;
use protocol::records::Batches;
use tempfile::TempDir;

use super::*;
use crate::{Endpoint, MetadataLogConfig};

const LOG_FILE: &str = "00000000000000000000.log";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of a directory of `tests/vectors`.
fn vector(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name), directory.path());
    directory
}

fn log_dir(directory: &Path) -> PathBuf {
    directory.join("__cluster_metadata-0")
}

fn dynamic(directory: &Path) -> RaftConfig {
    let mut config = RaftConfig::new(1, "cP6ookCYR9eYNCf4ix5Uaw".parse().unwrap(), directory);
    config.endpoints = vec![Endpoint::new("CONTROLLER", "127.0.0.1", 29393)];
    config
}

fn static_(directory: &Path) -> RaftConfig {
    let mut config = RaftConfig::new(1, "2uuYuVFcggaAVY52WxqcFQ".parse().unwrap(), directory);
    config.endpoints = vec![Endpoint::new("CONTROLLER", "127.0.0.1", 29493)];
    config.static_voters = vec![(1, "127.0.0.1".to_owned(), 29493)];
    config
}

/// Everything a node has to say.
fn drain(node: &mut RaftNode, now_ms: i64) -> Vec<RaftEvent> {
    let mut events = Vec::new();
    loop {
        let more = node.poll(now_ms).unwrap();
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

fn commits(events: &[RaftEvent]) -> Vec<&CommittedBatch> {
    let mut batches = Vec::new();
    for event in events {
        if let RaftEvent::Commit(batch) = event {
            batches.push(batch);
        }
    }
    batches
}

fn records(events: &[RaftEvent]) -> Vec<Vec<u8>> {
    commits(events).iter().flat_map(|batch| batch.records().map(<[u8]>::to_vec)).collect()
}

#[test]
fn a_new_log_is_apaches_byte_for_byte() {
    type Config = fn(&Path) -> RaftConfig;
    for (name, config) in [("dynamic", dynamic as Config), ("static", static_ as Config)] {
        let apache = vector(&format!("{name}/run"));
        let expected = fs::read(log_dir(apache.path()).join(LOG_FILE)).unwrap();

        let ours = vector(&format!("{name}/formatted"));
        let mut node = None;
        for batch in Batches::new(&expected) {
            let batch = batch.unwrap();
            let now_ms = batch.max_timestamp();
            // Apache's node began its epoch with the first batch; the others are what its controller appended.
            let node = node.get_or_insert_with(|| RaftNode::open(config(ours.path()), now_ms).unwrap());
            if !batch.is_control() {
                let batch = CommittedBatch::read(&batch).unwrap();
                let records: Vec<Vec<u8>> = batch.records().map(<[u8]>::to_vec).collect();
                assert_eq!(node.append(1, &records, now_ms).unwrap(), batch.last_offset);
            }
        }
        let mut node = node.unwrap();
        let events = drain(&mut node, 0);
        assert!(matches!(events.first(), Some(RaftEvent::LoadBootstrap(_))), "{events:?}");
        let Some(RaftEvent::LeaderChange(leader)) = events.last() else { panic!("{events:?}") };
        assert_eq!(*leader, LeaderAndEpoch { leader_id: Some(1), epoch: 1 });
        assert_eq!(commits(&events).len(), Batches::new(&expected).count());
        node.shutdown(0).unwrap();

        for file in [LOG_FILE, "quorum-state", "leader-epoch-checkpoint", "partition.metadata"] {
            let read = |directory: &TempDir| fs::read(log_dir(directory.path()).join(file)).unwrap();
            assert_eq!(read(&ours), read(&apache), "{name}: {file}");
        }
    }
}

#[test]
fn a_directory_that_apache_left_behind_goes_on() {
    let directory = vector("dynamic/run");
    let mut node = RaftNode::open(dynamic(directory.path()), 1_000).unwrap();
    assert_eq!(node.leader_and_epoch(), LeaderAndEpoch { leader_id: Some(1), epoch: 2 });
    assert_eq!((node.log_end_offset(), node.high_watermark()), (26, Some(26)));
    assert_eq!((node.kraft_version(), node.voters().len()), (1, 1));
    let events = drain(&mut node, 1_000);
    let last = commits(&events).last().map(|batch| (batch.base_offset, batch.control_records().to_vec()));
    let expected = ControlRecord::LeaderChange { leader_id: 1, voters: vec![1], granting_voters: vec![1] };
    assert_eq!(last, Some((25, vec![expected])), "the voters are in the log already");
}

#[test]
fn a_leader_that_listens_elsewhere_says_so_in_the_log() {
    let directory = vector("dynamic/run");
    let mut config = dynamic(directory.path());
    config.endpoints = vec![Endpoint::new("CONTROLLER", "controller.example", 9093)];
    let node = RaftNode::open(config, 1_000).unwrap();
    assert_eq!(node.log_end_offset(), 28);
    assert_eq!(node.voters().voter(1).unwrap().endpoints[0].host, "controller.example");
    assert_eq!(node.describe_quorum(5).unwrap().voters[0].endpoints[0].host, "controller.example");
}

#[test]
fn a_directory_formatted_before_4_4_opens() {
    let directory = vector("before-4.4/dynamic");
    let id =
        storage::checkpoint::MetaProperties::read(directory.path()).unwrap().unwrap().directory_id.unwrap();
    let mut config = RaftConfig::new(1, id, directory.path());
    config.endpoints = vec![Endpoint::new("CONTROLLER", "127.0.0.1", 29393)];
    let mut node = RaftNode::open(config, 1_000).unwrap();
    let mut events = drain(&mut node, 1_000);
    let RaftEvent::LoadBootstrap(reader) = events.remove(0) else { panic!("{events:?}") };
    assert_eq!(reader.read_all().unwrap(), Vec::<Vec<u8>>::new(), "its records are in bootstrap.checkpoint");
    let bootstrap = crate::format::read_bootstrap_metadata(directory.path()).unwrap();
    assert_eq!(bootstrap.metadata_version().feature_level(), 30);
    assert_eq!(bootstrap.feature_level("share.version"), 1);
}

#[test]
fn what_is_appended_is_committed_by_one_sync_and_heard_once() {
    let directory = vector("static/formatted");
    let mut node = RaftNode::open(static_(directory.path()), 1_000).unwrap();
    drain(&mut node, 1_000);
    assert_eq!(node.append(1, &[vec![1, 1], vec![2, 2]], 1_001).unwrap(), 2);
    assert_eq!(node.append(1, &[vec![3, 3]], 1_002).unwrap(), 3);
    assert_eq!(node.high_watermark(), Some(1), "nothing is committed before it is synced");
    let events = drain(&mut node, 1_003);
    assert_eq!(records(&events), [vec![1, 1], vec![2, 2], vec![3, 3]]);
    assert_eq!(node.high_watermark(), Some(4));
    assert!(drain(&mut node, 1_004).is_empty());
}

#[test]
fn a_restart_gives_the_same_records_in_the_next_epoch() {
    let directory = vector("static/formatted");
    for epoch in 1..=3 {
        let mut node = RaftNode::open(static_(directory.path()), 1_000).unwrap();
        let events = drain(&mut node, 1_000);
        assert_eq!(records(&events).len(), epoch as usize - 1);
        assert!(matches!(events.last(), Some(RaftEvent::LeaderChange(leader)) if leader.epoch == epoch));
        node.append(epoch, &[vec![epoch as u8; 10]], 1_000).unwrap();
        node.shutdown(1_000).unwrap();
    }
}

#[test]
fn a_voter_that_stops_waits_for_another_leader_unless_nobody_is_left() {
    let directory = vector("static/formatted");
    let mut config = static_(directory.path());
    config.static_voters.extend([2, 3].map(|id| (id, "127.0.0.1".to_owned(), 29493 + id as u16)));
    let mut node = RaftNode::open(config, 1_000).unwrap();
    let mut now_ms = 1_000;
    let mut ask = |node: &mut RaftNode, failure_of_3: RequestFailure| {
        let mut asked = BTreeSet::new();
        while asked.len() < 2 {
            now_ms = node.next_poll_ms().max(now_ms + 1);
            node.poll(now_ms).unwrap();
            for output in node.take_outputs(now_ms).unwrap() {
                let RaftOutput::Send { to, correlation_id, .. } = output else { continue };
                let failure = if to.id == 3 { failure_of_3 } else { RequestFailure::Refused };
                let input = RaftInput::Response { from: to.id, correlation_id, result: Err(failure) };
                node.handle(input, now_ms).unwrap();
                if to.id > 0 {
                    asked.insert(to.id);
                }
            }
        }
    };
    ask(&mut node, RequestFailure::Unavailable);
    assert!(!node.may_stop(), "node 3 may need this one's vote");
    ask(&mut node, RequestFailure::Refused);
    assert!(node.may_stop(), "no other voter runs");
    ask(&mut node, RequestFailure::Unavailable);
    assert!(!node.may_stop());
}

#[test]
fn only_the_leader_of_the_epoch_appends_and_only_what_fits() {
    let directory = vector("static/formatted");
    let mut config = static_(directory.path());
    config.log = MetadataLogConfig { max_batch_size_bytes: 1_000, ..MetadataLogConfig::default() };
    let mut node = RaftNode::open(config, 0).unwrap();
    assert!(matches!(node.append(0, &[vec![1]], 0), Err(RaftError::NotLeader { given: 0, current: 1, .. })));
    assert!(matches!(node.append(1, &[], 0), Err(RaftError::EmptyAppend)));
    assert!(matches!(node.append(1, &[vec![0; 1_000]], 0), Err(RaftError::RecordBatchTooLarge { .. })));
    assert!(matches!(node.append(1, &[vec![0; 935]], 0), Err(RaftError::RecordBatchTooLarge { .. })));
    assert_eq!(node.append(1, &[vec![0; 900]], 0).unwrap(), 1);

    drain(&mut node, 0);
    node.resign(1);
    let events = drain(&mut node, 0);
    assert!(matches!(node.append(1, &[vec![1]], 0), Err(RaftError::NotLeader { state: "Resigned", .. })));
    assert!(matches!(events[..], [RaftEvent::LeaderChange(LeaderAndEpoch { leader_id: None, epoch: 1 })]));
    while node.next_poll_ms() != i64::MAX {
        node.poll(node.next_poll_ms()).unwrap();
    }
    assert_eq!(node.leader_and_epoch(), LeaderAndEpoch { leader_id: Some(1), epoch: 3 });
}

#[test]
fn a_snapshot_takes_the_place_of_what_it_covers() {
    let directory = vector("dynamic/run");
    let mut node = RaftNode::open(dynamic(directory.path()), 1_000).unwrap();
    drain(&mut node, 1_000);
    let id = OffsetAndEpoch::new(26, 2);
    assert!(node.snapshot_due(1_000).is_none());
    assert_eq!(node.snapshot_due(1_000 + 3_600_000), Some(SnapshotReason::MaxInterval(3_600_000)));
    let size = node.write_snapshot(id, 900, [vec![7; 9], vec![8; 9]], 2_000).unwrap().unwrap();
    assert_eq!(node.write_snapshot(id, 900, [], 2_000).unwrap(), None, "it is there already");
    assert!(node.snapshot_due(1_000 + 3_600_000).is_none(), "nothing is new since");
    assert_eq!(
        node.fetch_snapshot(id, 0, 20).unwrap().map(|(total, part)| (total, part.len())),
        Some((size, 20))
    );
    assert_eq!(node.fetch_snapshot(OffsetAndEpoch::BOOTSTRAP, 0, 20).unwrap(), None);
    node.append(2, &[vec![9; 9]], 2_000).unwrap();
    node.shutdown(2_000).unwrap();

    let mut node = RaftNode::open(dynamic(directory.path()), 3_000).unwrap();
    let mut events = drain(&mut node, 3_000);
    assert_eq!(records(&events), [vec![9; 9]]);
    let RaftEvent::LoadSnapshot(reader) = events.remove(0) else { panic!("{events:?}") };
    assert_eq!((reader.snapshot_id(), reader.last_contained_log_timestamp_ms()), (id, 900));
    assert_eq!(reader.read_all().unwrap(), [vec![7; 9], vec![8; 9]]);
    assert_eq!((node.kraft_version(), node.voters().len()), (1, 1), "they are in the snapshot");
}

#[test]
fn a_snapshot_must_end_with_a_committed_batch() {
    let directory = vector("dynamic/run");
    let mut node = RaftNode::open(dynamic(directory.path()), 1_000).unwrap();
    for (offset, epoch) in [(27, 2), (5, 1), (26, 1)] {
        let result = node.create_snapshot(OffsetAndEpoch::new(offset, epoch), 0, 0);
        assert!(matches!(result, Err(RaftError::InvalidSnapshotId { .. })), "{offset} {epoch}");
    }
    assert!(node.create_snapshot(OffsetAndEpoch::new(12, 1), 0, 0).unwrap().is_some());
    assert!(!log_dir(directory.path()).join("00000000000000000012-0000000001.checkpoint").exists());
}

#[test]
fn a_server_that_is_behind_hears_everything_in_order() {
    let directory = vector("static/formatted");
    let mut config = static_(directory.path());
    config.log = MetadataLogConfig { max_batch_size_bytes: 400, ..MetadataLogConfig::default() };
    let mut node = RaftNode::open(config, 0).unwrap();
    // Nothing was heard yet, so none of this is kept in memory.
    let written: Vec<Vec<u8>> = (0..50u8).map(|number| vec![number; 100]).collect();
    for record in &written {
        node.append(1, std::slice::from_ref(record), 0).unwrap();
    }
    let first = node.poll(0).unwrap();
    assert!(commits(&first).len() < 50, "a piece at a time");
    node.append(1, &[vec![99]], 0).unwrap();
    let mut all = records(&first);
    all.extend(records(&drain(&mut node, 0)));
    assert_eq!(all[..50], written);
    assert_eq!(all[50..], [vec![99]]);
}

#[test]
fn an_observer_reads_what_is_committed() {
    let directory = vector("dynamic/run");
    let mut node = RaftNode::open(dynamic(directory.path()), 1_000).unwrap();
    let apache = fs::read(log_dir(directory.path()).join(LOG_FILE)).unwrap();
    let read = node.read(0, usize::MAX).unwrap();
    assert_eq!(read, apache[..read.len()]);
    assert_eq!(Batches::new(&read).filter_map(|batch| Some(batch.ok()?.next_offset())).last(), Some(26));
    assert_eq!(node.read(26, 100).unwrap(), Vec::<u8>::new());
    assert!(matches!(node.read(27, 100), Err(RaftError::OffsetOutOfRange { .. })));
    assert_eq!(node.validate_offset_and_epoch(26, 2), ValidOffsetAndEpoch::Valid(OffsetAndEpoch::new(26, 2)));
    assert_eq!(
        node.validate_offset_and_epoch(30, 1),
        ValidOffsetAndEpoch::Diverging(OffsetAndEpoch::new(25, 1))
    );

    let observer = ReplicaKey::new(9, Uuid::from_u128(5000));
    let request = QuorumRequest::Fetch {
        cluster_id: None,
        replica: observer,
        current_leader_epoch: 2,
        fetch_offset: 26,
        last_fetched_epoch: 2,
        high_watermark: 26,
        max_bytes: 1_000,
        max_wait_ms: 100,
    };
    node.handle(RaftInput::Request { token: 7, request }, 2_000).unwrap();
    drain(&mut node, 2_000);
    assert_eq!(node.take_outputs(2_050).unwrap(), [], "it waits, as there is nothing new");
    assert_eq!(node.next_poll_ms(), 2_100);
    let answered = node.take_outputs(2_100).unwrap();
    assert!(matches!(answered[..], [RaftOutput::Answer { token: 7, .. }]), "{answered:?}");
    let quorum = node.describe_quorum(2_500).unwrap();
    assert_eq!((quorum.leader_id, quorum.leader_epoch, quorum.high_watermark), (1, 2, 26));
    assert_eq!(
        (quorum.voters[0].end_offset, quorum.voters[0].last_caught_up_timestamp_ms),
        (Some(26), 2_500)
    );
    assert_eq!((quorum.observers[0].key, quorum.observers[0].last_caught_up_timestamp_ms), (observer, 2_100));
}

#[test]
fn a_quorum_that_nobody_knows_is_named() {
    let fresh = tempfile::tempdir().unwrap();
    let mut config = static_(fresh.path());
    config.static_voters.clear();
    let error = RaftNode::open(config, 0).unwrap_err().to_string();
    assert!(error.contains("has no voters: set controller.quorum.bootstrap.servers"), "{error}");
}

/// What a crash at some point can leave of a directory that was formatted, ran, and made snapshots.
#[test]
fn what_a_crash_leaves_opens_and_has_all_that_was_committed() {
    let directory = vector("dynamic/run");
    let mut node = RaftNode::open(dynamic(directory.path()), 1_000).unwrap();
    drain(&mut node, 1_000);
    node.append(2, &[vec![5; 50]], 1_000).unwrap();
    drain(&mut node, 1_000);
    let committed = node.high_watermark().unwrap();
    let log = |directory: &Path| log_dir(directory).join(LOG_FILE);
    let whole = fs::read(log(directory.path())).unwrap();

    type Damage<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let name = |id: OffsetAndEpoch| crate::snapshot::path::file_name(id);
    let id = OffsetAndEpoch::new(26, 2);
    let damages: Vec<Damage<'_>> = vec![
        ("nothing", Box::new(|_| {})),
        (
            "a torn batch at the end",
            Box::new(|path| fs::write(log(path), [&whole[..], &whole[..70]].concat()).unwrap()),
        ),
        (
            "zeros at the end",
            Box::new(|path| fs::write(log(path), [&whole[..], &[0; 512]].concat()).unwrap()),
        ),
        (
            "a half written quorum-state",
            Box::new(|path| {
                fs::write(log_dir(path).join("quorum-state.tmp"), "{\"leaderId\":1,").unwrap();
            }),
        ),
        (
            "a vote, and no leader yet",
            Box::new(|path| {
                let voted = ReplicaKey::new(1, "cP6ookCYR9eYNCf4ix5Uaw".parse().unwrap());
                let election = crate::ElectionState::with_voted_candidate(3, voted, Default::default());
                QuorumStateStore::new(&log_dir(path)).write(&election, 1).unwrap();
            }),
        ),
        (
            "a leader without its first record",
            Box::new(|path| {
                let election = crate::ElectionState::with_elected_leader(3, 1, None, Default::default());
                QuorumStateStore::new(&log_dir(path)).write(&election, 1).unwrap();
            }),
        ),
        ("no quorum-state", Box::new(|path| fs::remove_file(log_dir(path).join("quorum-state")).unwrap())),
        (
            "no leader epochs",
            Box::new(|path| {
                fs::remove_file(log_dir(path).join("leader-epoch-checkpoint")).unwrap();
            }),
        ),
        (
            "a half written snapshot",
            Box::new(|path| {
                fs::write(log_dir(path).join(name(id) + "-77.checkpoint.part"), [1; 30]).unwrap();
            }),
        ),
        (
            "a snapshot marked as deleted",
            Box::new(|path| {
                fs::write(
                    log_dir(path).join(name(OffsetAndEpoch::new(12, 1)) + ".checkpoint.deleted"),
                    [1; 30],
                )
                .unwrap();
            }),
        ),
    ];
    for (what, damage) in damages {
        let left = tempfile::tempdir().unwrap();
        copy(directory.path(), left.path());
        damage(left.path());
        let mut node =
            RaftNode::open(dynamic(left.path()), 2_000).unwrap_or_else(|error| panic!("{what}: {error}"));
        let events = drain(&mut node, 2_000);
        assert!(node.high_watermark().unwrap() > committed, "{what}");
        assert!(node.leader_and_epoch().epoch > 2 && node.is_leader(), "{what}");
        assert_eq!(records(&events).last(), Some(&vec![5; 50]), "{what}");
        let leftovers: Vec<_> = fs::read_dir(log_dir(left.path()))
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter(|name| name.ends_with(".part") || name.ends_with(".checkpoint.deleted"))
            .collect();
        assert!(leftovers.is_empty(), "{what}: {leftovers:?}");
    }
}
