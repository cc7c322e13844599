//! Formatting against directories that Apache Kafka formatted (`vectors/README.md`), and in its words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use metadata::MetadataVersion;
use raft::format::{DynamicVoter, DynamicVoters, Formatter, LoneNode, read_bootstrap_metadata, storage_tool};
use raft::{ControlRecord, Endpoint, OffsetAndEpoch, SnapshotReader};
use storage::checkpoint::MetaProperties;

const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn formatter(directory: &Path) -> Formatter {
    let directory = directory.to_str().unwrap().to_owned();
    Formatter {
        node_id: 1,
        cluster_id: CLUSTER_ID.to_owned(),
        directories: BTreeSet::from([directory.clone()]),
        metadata_log_directory: Some(directory),
        controller_listener_name: "CONTROLLER".to_owned(),
        write_bootstrap_snapshot: true,
        ..Formatter::default()
    }
}

fn standalone(directory: &Path) -> Formatter {
    Formatter {
        initial_controllers: Some("1@127.0.0.1:29393:cP6ookCYR9eYNCf4ix5Uaw".parse().unwrap()),
        has_dynamic_quorum: true,
        ..formatter(directory)
    }
}

fn run(formatter: &Formatter) -> Result<String, String> {
    let mut out = Vec::new();
    let result = formatter.run(&mut out, 1_000).map_err(|error| error.to_string());
    result.map(|_| String::from_utf8(out).unwrap())
}

/// All that a checkpoint says, but for its times.
fn content(directory: &Path) -> (u64, Vec<ControlRecord>, Vec<Vec<u8>>) {
    let id = OffsetAndEpoch::BOOTSTRAP;
    let mut reader = SnapshotReader::open(&directory.join("__cluster_metadata-0"), id).unwrap();
    let size = reader.size_in_bytes();
    let mut control = Vec::new();
    let mut records = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        let timeless = |record: &ControlRecord| !matches!(record, ControlRecord::SnapshotHeader { .. });
        control.extend(batch.control_records().iter().filter(|record| timeless(record)).cloned());
        records.extend(batch.records().map(<[u8]>::to_vec));
    }
    (size, control, records)
}

fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(directory).unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

#[test]
fn a_standalone_node_is_formatted_as_apache_does() {
    let directory = tempfile::tempdir().unwrap();
    let out = run(&standalone(directory.path())).unwrap();
    assert_eq!(
        out,
        format!(
            "Bootstrap metadata: BootstrapMetadata(records=[ApiMessageAndVersion(FeatureLevelRecord(\
             name='metadata.version', featureLevel=33) at version 0), ApiMessageAndVersion(FeatureLevelRecord(\
             name='eligible.leader.replicas.version', featureLevel=1) at version 0), ApiMessageAndVersion(\
             FeatureLevelRecord(name='group.version', featureLevel=1) at version 0), ApiMessageAndVersion(\
             FeatureLevelRecord(name='share.version', featureLevel=2) at version 0), ApiMessageAndVersion(\
             FeatureLevelRecord(name='streams.version', featureLevel=1) at version 0), ApiMessageAndVersion(\
             FeatureLevelRecord(name='transaction.version', featureLevel=2) at version 0)], metadataVersionLevel=33, \
             source=format command)\n\
             Formatting dynamic metadata voter directory {} with metadata.version 4.4-IV2.\n",
            directory.path().display()
        )
    );
    let apache = vectors("dynamic/formatted");
    assert_eq!(content(directory.path()), content(&apache));
    assert_eq!(files(directory.path()), files(&apache));
    assert_eq!(MetaProperties::read(directory.path()).unwrap(), MetaProperties::read(&apache).unwrap());
}

#[test]
fn a_static_quorum_is_formatted_without_voters() {
    let directory = tempfile::tempdir().unwrap();
    let out = run(&formatter(directory.path())).unwrap();
    assert!(out.contains("\nFormatting metadata directory "), "{out}");
    assert_eq!(content(directory.path()), content(&vectors("static/formatted")));
}

#[test]
fn only_the_metadata_directory_of_a_controller_gets_a_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let mut formatter = standalone(&root.path().join("a"));
    let second = root.path().join("b").to_str().unwrap().to_owned();
    formatter.directories.insert(second.clone());
    let out = run(&formatter).unwrap();
    assert!(
        out.ends_with(&format!("Formatting data directory {second} with metadata.version 4.4-IV2.\n")),
        "{out}"
    );
    assert_eq!(files(Path::new(&second)), BTreeSet::from([PathBuf::from("meta.properties")]));
    let ids = [root.path().join("a"), root.path().join("b")]
        .map(|path| MetaProperties::read(&path).unwrap().unwrap().directory_id.unwrap());
    assert_ne!(ids[0], ids[1]);

    let broker = tempfile::tempdir().unwrap();
    let out = run(&Formatter {
        write_bootstrap_snapshot: false,
        has_dynamic_quorum: true,
        ..self::formatter(broker.path())
    });
    assert!(out.is_ok());
    assert_eq!(files(broker.path()), BTreeSet::from([PathBuf::from("meta.properties")]));
}

#[test]
fn what_is_formatted_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let mut formatter = standalone(directory.path());
    run(&formatter).unwrap();
    let before = MetaProperties::read(directory.path()).unwrap();
    assert_eq!(
        run(&formatter).unwrap_err(),
        format!(
            "Log directory {path} is already formatted. Use --ignore-formatted to ignore this directory and format the \
             others."
        )
    );
    formatter.ignore_formatted = true;
    assert_eq!(run(&formatter).unwrap(), "All of the log directories are already formatted.\n");
    formatter.cluster_id = "other".to_owned();
    assert_eq!(
        run(&formatter).unwrap_err(),
        format!("Invalid cluster.id in: {path}/meta.properties. Expected other, but read {CLUSTER_ID}")
    );
    formatter.cluster_id = CLUSTER_ID.to_owned();
    formatter.node_id = 2;
    assert!(
        run(&formatter).unwrap_err().starts_with("Stored node id 1 doesn't match previous node id 2 in ")
    );
    assert_eq!(MetaProperties::read(directory.path()).unwrap(), before);
}

#[test]
fn versions_and_features_are_chosen_and_checked() {
    let error = |change: &dyn Fn(&mut Formatter)| {
        let directory = tempfile::tempdir().unwrap();
        let mut formatter = formatter(directory.path());
        change(&mut formatter);
        let error = run(&formatter).unwrap_err();
        assert!(files(directory.path()).is_empty(), "nothing is written: {error}");
        error
    };
    let feature = |name: &str, level: i16| {
        let name = name.to_owned();
        move |formatter: &mut Formatter| {
            formatter.feature_levels.insert(name.clone(), level);
        }
    };
    assert_eq!(
        error(&feature("nonexistent.feature", 1)),
        "Unsupported feature: nonexistent.feature. Supported features are: eligible.leader.replicas.version, \
         group.version, kraft.version, share.version, streams.version, transaction.version"
    );
    assert!(error(&feature("kraft.version", 1)).starts_with("Cannot set kraft.version to 1 unless "));
    assert!(error(&feature("metadata.version", 6)).starts_with("No MetadataVersion with feature level 6."));
    assert_eq!(
        error(&|formatter| {
            formatter.release_version = Some(MetadataVersion::LATEST_PRODUCTION);
            formatter.feature_levels.insert("metadata.version".to_owned(), 33);
        }),
        "Use --release-version instead of --feature metadata.version=X to avoid ambiguity."
    );
    assert!(
        error(&|formatter| formatter.scram_arguments.push("x".to_owned()))
            .contains("Failed to find equals sign")
    );
    assert!(error(&|formatter| formatter.node_id = -1).contains("non-negative node ID"));

    let directory = tempfile::tempdir().unwrap();
    let older = Formatter {
        release_version: Some(MetadataVersion::from_version_string("4.0").unwrap()),
        scram_arguments: vec!["SCRAM-SHA-256=[name=alice,password=alice-secret]".to_owned()],
        ..formatter(directory.path())
    };
    let out = run(&older).unwrap();
    assert!(out.contains("UserScramCredentialRecord(name='alice', mechanism=1, salt=["), "{out}");
    assert!(out.ends_with("with metadata.version 4.0-IV3.\n"), "{out}");
    assert_eq!(content(directory.path()).2.len(), 4, "metadata, group and transaction version, and alice");
}

#[test]
fn a_lone_node_formats_itself_once() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let mut node = LoneNode {
        node_id: 0,
        directories: BTreeSet::from([path("a")]),
        metadata_log_directory: path("a"),
        endpoint: Endpoint::new("CONTROLLER", "localhost", 9093),
        cluster_id: None,
    };
    let cluster_id = node.format(1_000).unwrap().unwrap();
    assert_eq!(node.format(1_000).unwrap(), None);
    let (_, control, records) = content(&root.path().join("a"));
    let Some(ControlRecord::Voters(voters)) = control.get(1) else { panic!("{control:?}") };
    let directory_id = MetaProperties::read(&root.path().join("a")).unwrap().unwrap().directory_id;
    assert_eq!(voters.voter(0).unwrap().key.directory_id, directory_id);
    assert_eq!(records.len(), 6);

    node.directories.insert(path("b"));
    assert_eq!(node.format(1_000).unwrap(), Some(cluster_id.clone()), "a new disk joins the same cluster");
    assert_eq!(MetaProperties::read(&root.path().join("b")).unwrap().unwrap().cluster_id, Some(cluster_id));
}

#[test]
fn a_lone_node_touches_nobodys_data() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().to_str().unwrap().to_owned();
    let node = LoneNode {
        node_id: 0,
        directories: BTreeSet::from([directory.clone()]),
        metadata_log_directory: directory,
        endpoint: Endpoint::new("CONTROLLER", "localhost", 9093),
        cluster_id: None,
    };
    let partition = root.path().join("orders-0");
    std::fs::create_dir(&partition).unwrap();
    std::fs::write(partition.join("00000000000000000000.log"), []).unwrap();
    let error = node.format(0).unwrap_err().to_string();
    assert!(error.contains("orders-0") && error.contains("meta.properties"), "{error}");
    std::fs::write(root.path().join("meta.properties"), "version=0\nbroker.id=0\n").unwrap();
    let error = node.format(0).unwrap_err().to_string();
    assert!(error.contains("ZooKeeper"), "{error}");
    std::fs::write(root.path().join("meta.properties"), "node.id=one\n").unwrap();
    let error = node.format(0).unwrap_err().to_string();
    assert!(error.contains("meta.properties") && error.contains("node.id=one"), "{error}");
}

#[test]
fn a_format_that_a_crash_cut_short_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    run(&standalone(directory.path())).unwrap();
    std::fs::remove_file(directory.path().join("meta.properties")).unwrap();
    run(&standalone(directory.path())).unwrap();
    assert_eq!(content(directory.path()), content(&vectors("dynamic/formatted")));
}

#[test]
fn bootstrap_metadata_of_earlier_versions_is_read() {
    let old = read_bootstrap_metadata(&vectors("before-4.4/static")).unwrap();
    assert_eq!((old.metadata_version().feature_level(), old.records().len()), (30, 6));
    let none = read_bootstrap_metadata(&vectors("static/formatted")).unwrap();
    assert_eq!((none.metadata_version(), none.records().len()), (MetadataVersion::LATEST_PRODUCTION, 1));
}

#[test]
fn voters_are_those_of_the_argument() {
    let voter = DynamicVoter {
        node_id: 1,
        directory_id: "cP6ookCYR9eYNCf4ix5Uaw".parse().unwrap(),
        host: "127.0.0.1".to_owned(),
        port: 29393,
    };
    let text = voter.to_string();
    assert_eq!(DynamicVoters::new([voter]).unwrap(), text.parse().unwrap());
}

#[test]
fn the_tool_prints_what_kafkas_prints() {
    let mut out = Vec::new();
    storage_tool::version_mapping(&mut out, Some("4.0")).unwrap();
    let features = ["transaction.version=2", "metadata.version=25", "eligible.leader.replicas.version=1"];
    storage_tool::feature_dependencies(&mut out, &features.map(str::to_owned)).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "metadata.version=25 (4.0)\nkraft.version=1\ntransaction.version=2\ngroup.version=1\n\
         eligible.leader.replicas.version=0\nshare.version=0\nstreams.version=0\n\
         transaction.version=2 has no dependencies.\nmetadata.version=25 (4.0-IV3) has no dependencies.\n\
         eligible.leader.replicas.version=1 requires:\n    metadata.version=23 (4.0-IV1)\n"
    );
    let error = storage_tool::feature_dependencies(&mut Vec::new(), &["foo=1".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "Unknown feature: foo");

    let directory = vectors("dynamic/formatted").to_str().unwrap().to_owned();
    let missing = format!("{directory}/missing");
    let mut out = Vec::new();
    let code =
        storage_tool::info(&mut out, true, &BTreeSet::from([directory.clone(), missing.clone()])).unwrap();
    assert_eq!(code, 1);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            "Found log directory:\n  {directory}\n\nFound metadata: {{cluster.id={CLUSTER_ID}, \
             directory.id=cP6ookCYR9eYNCf4ix5Uaw, node.id=1, version=1}}\n\nFound problem:\n  {missing} does not exist\n\n"
        )
    );
}
