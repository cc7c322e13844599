//! Against files that Apache Kafka wrote; `vectors/README.md` says how.

use std::path::{Path, PathBuf};

use raft::snapshot::SnapshotOptions;
use raft::{ControlRecord, OffsetAndEpoch, QuorumStateStore, SnapshotReader, SnapshotWriter};

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

const BOOTSTRAP_FILE: &str = "00000000000000000000-0000000000.checkpoint";

#[test]
fn quorum_state_is_read_and_written_as_apache_does() {
    for (name, kraft_version) in [("dynamic/run", 1), ("static/run", 0)] {
        let log_dir = vectors(name).join("__cluster_metadata-0");
        let election = QuorumStateStore::new(&log_dir).read().unwrap().unwrap();
        assert_eq!((election.epoch, election.leader_id, election.voted_key), (1, Some(1), None));

        let directory = tempfile::tempdir().unwrap();
        let store = QuorumStateStore::new(directory.path());
        store.write(&election, kraft_version).unwrap();
        assert_eq!(
            std::fs::read(store.path()).unwrap(),
            std::fs::read(log_dir.join("quorum-state")).unwrap(),
            "{name}"
        );
    }
}

/// Reads a snapshot of Apache's and writes it again, each batch at the time of Apache's.
fn rewrite(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let id = OffsetAndEpoch::BOOTSTRAP;
    let mut reader = SnapshotReader::open_file(path, id).unwrap();
    let mut options = SnapshotOptions {
        id,
        last_contained_log_timestamp_ms: reader.last_contained_log_timestamp_ms(),
        kraft_version: 0,
        voters: None,
    };
    let header = reader.next_batch().unwrap().unwrap();
    for record in header.control_records() {
        match record {
            ControlRecord::KRaftVersion(level) => options.kraft_version = *level,
            ControlRecord::Voters(voters) => options.voters = Some(voters.clone()),
            _ => {}
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut writer = SnapshotWriter::create(directory.path(), &options, header.append_timestamp_ms).unwrap();
    let mut footer_timestamp_ms = 0;
    while let Some(batch) = reader.next_batch().unwrap() {
        for record in batch.records() {
            writer.append(record, batch.append_timestamp_ms).unwrap();
        }
        footer_timestamp_ms = batch.append_timestamp_ms;
    }
    let frozen = writer.freeze(footer_timestamp_ms).unwrap();
    let written = std::fs::read(directory.path().join(BOOTSTRAP_FILE)).unwrap();
    assert_eq!(frozen.size_in_bytes, written.len() as u64);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
    (written, std::fs::read(path).unwrap())
}

#[test]
fn snapshots_are_written_byte_for_byte_as_apache_does() {
    for name in ["dynamic/formatted", "static/formatted", "before-4.4/dynamic"] {
        let (ours, apaches) = rewrite(&vectors(name).join("__cluster_metadata-0").join(BOOTSTRAP_FILE));
        assert_eq!(ours, apaches, "{name}");
    }
    let (ours, apaches) = rewrite(&vectors("before-4.4/static/bootstrap.checkpoint"));
    assert_eq!(ours, apaches);
}

#[test]
fn the_voters_of_a_formatted_directory_are_known() {
    let path = vectors("dynamic/formatted").join("__cluster_metadata-0").join(BOOTSTRAP_FILE);
    let mut reader = SnapshotReader::open_file(&path, OffsetAndEpoch::BOOTSTRAP).unwrap();
    let header = reader.next_batch().unwrap().unwrap();
    let Some(ControlRecord::Voters(voters)) = header.control_records().last() else { panic!("no voters") };
    let voter = voters.voter(1).unwrap();
    assert_eq!(voter.key.directory_id, Some("cP6ookCYR9eYNCf4ix5Uaw".parse().unwrap()));
    assert_eq!((voter.endpoints[0].name.as_str(), voter.endpoints[0].port), ("CONTROLLER", 29393));
    assert_eq!(reader.read_all().unwrap().len(), 6, "six feature levels");
}

proptest::proptest! {
    #[test]
    fn whatever_a_checkpoint_holds_is_read_or_refused(
        start in 0usize..494,
        junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
    ) {
        let path = vectors("dynamic/formatted").join("__cluster_metadata-0").join(BOOTSTRAP_FILE);
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(start);
        bytes.extend(junk);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(BOOTSTRAP_FILE);
        std::fs::write(&file, bytes).unwrap();
        let _ = SnapshotReader::open_file(&file, OffsetAndEpoch::BOOTSTRAP).and_then(SnapshotReader::read_all);
    }
}

#[test]
fn a_damaged_snapshot_is_refused_wherever_it_is_damaged() {
    let path = vectors("dynamic/formatted").join("__cluster_metadata-0").join(BOOTSTRAP_FILE);
    let whole = std::fs::read(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let damaged = directory.path().join(BOOTSTRAP_FILE);
    let read = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        SnapshotReader::open_file(&damaged, OffsetAndEpoch::BOOTSTRAP).and_then(SnapshotReader::read_all)
    };
    assert!(read(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut at {length}");
    }
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x55;
        // Base offset and leader epoch of a batch are outside of the checksum: whatever they say, nothing panics.
        let _ = read(&bytes);
    }
}
