//! A metadata log and a snapshot that Apache Kafka wrote become the images they should, and the images records again.

use std::collections::BTreeMap;

use metadata::client_quotas_image::{CLIENT_ID, USER};
use metadata::{
    ClientQuotaEntity, CommittedBatch, ConfigResource, Feature, LoaderManifest, MetadataImage,
    MetadataLoader, MetadataProvenance, MetadataRecord, MetadataVersion, NO_LEADER, VersionedRecord,
};
use protocol::Writer;
use protocol::records::Batches;

const LOG: &[u8] = include_bytes!("vectors/cluster_metadata.log");
const SNAPSHOT: &[u8] = include_bytes!("vectors/snapshot-58-1.checkpoint");

struct Batch {
    base_offset: i64,
    last_offset: i64,
    epoch: i32,
    timestamp_ms: i64,
    size: u64,
    records: Vec<MetadataRecord>,
}

impl Batch {
    fn committed(&self) -> CommittedBatch<'_> {
        CommittedBatch {
            base_offset: self.base_offset,
            last_offset: self.last_offset,
            epoch: self.epoch,
            append_timestamp_ms: self.timestamp_ms,
            size_in_bytes: self.size,
            records: &self.records,
        }
    }
}

fn batches(bytes: &[u8]) -> Vec<Batch> {
    let mut all = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.expect("a whole batch");
        let mut records = Vec::new();
        if !batch.is_control() {
            for record in batch.iter() {
                let value = record.expect("a whole record").value.expect("a value");
                let (record, version) = MetadataRecord::read_framed(value).expect("a metadata record");
                // What is read is written back byte for byte.
                let mut writer = Writer::new();
                record.write_framed(&mut writer, version).expect("the version it came in");
                assert_eq!(writer.into_bytes(), value, "{record:?}");
                records.push(record);
            }
        }
        all.push(Batch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            epoch: batch.partition_leader_epoch(),
            timestamp_ms: batch.max_timestamp(),
            size: batch.size_in_bytes() as u64,
            records,
        });
    }
    all
}

fn replayed(batches: &[Batch]) -> MetadataImage {
    let mut loader = MetadataLoader::new();
    let committed: Vec<CommittedBatch<'_>> = batches.iter().map(Batch::committed).collect();
    loader.load_commit(&committed).expect("Kafka's records fit together");
    loader.image().clone()
}

fn from_records(records: &[VersionedRecord], provenance: MetadataProvenance) -> MetadataImage {
    let mut loader = MetadataLoader::new();
    loader.load_snapshot(provenance, records.iter().map(|(record, _)| record)).expect("a snapshot").image
}

#[test]
fn the_log_replays_into_what_kafka_shows() {
    let image = replayed(&batches(LOG));
    assert_eq!(image.offset(), 106);
    assert_eq!(image.provenance.last_contained_epoch, 2);
    assert_eq!(image.provenance.snapshot_name(), "00000000000000000107-0000000002");

    assert_eq!(image.features.metadata_version(), Some(MetadataVersion::V4_4_IV2));
    assert_eq!(image.features.level(Feature::TransactionVersion), 2);
    assert_eq!(image.features.level(Feature::ShareVersion), 2);
    assert!(image.features.is_elr_enabled());

    let broker = image.cluster.broker(1).expect("broker 1");
    assert_eq!((broker.epoch, broker.fenced, broker.in_controlled_shutdown), (83, true, true));
    assert_eq!(broker.directories.len(), 2);
    assert_eq!(broker.cordoned_directories, Some(vec![]));
    let endpoint = broker.listener("PLAINTEXT").expect("a listener");
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("127.0.0.1", 19592));
    assert_eq!(image.cluster.controllers[&1].listener("CONTROLLER").expect("a listener").port, 19593);

    let names: Vec<&str> = image.topics.sorted().iter().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["later", "orders", "payments.eu"]);
    let orders = image.topics.topic("orders").expect("orders");
    assert_eq!(orders.partitions.len(), 3);
    assert_eq!(image.topics.topic_by_id(&orders.id).map(|topic| &topic.name), Some(&orders.name));
    let partition = orders.partition(0).expect("partition 0");
    // Created, given a directory, left by its leader, led again, left again.
    assert_eq!((partition.leader, partition.leader_epoch, partition.partition_epoch), (NO_LEADER, 3, 4));
    assert_eq!(
        (&partition.isr[..], &partition.elr[..], &partition.last_known_elr[..]),
        (&[][..], &[1][..], &[1][..])
    );
    assert!(broker.directories.contains(&partition.directories[0]));

    let config = |resource: ConfigResource, key: &str| image.configs.value(&resource, key).map(str::to_owned);
    assert_eq!(config(ConfigResource::topic("orders"), "max.message.bytes").as_deref(), Some("2000000"));
    assert_eq!(config(ConfigResource::topic("orders"), "retention.ms"), None);
    assert_eq!(config(ConfigResource::topic("doomed"), "segment.bytes"), None);
    assert_eq!(config(ConfigResource::default_broker(), "min.insync.replicas").as_deref(), Some("1"));
    assert_eq!(config(ConfigResource::broker(1), "log.cleaner.backoff.ms").as_deref(), Some("20000"));
    assert_eq!(
        config(ConfigResource::group("readers"), "consumer.session.timeout.ms").as_deref(),
        Some("50000")
    );

    let entity = |parts: &[(&str, Option<&str>)]| {
        let parts = parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)));
        ClientQuotaEntity(parts.collect::<BTreeMap<_, _>>())
    };
    let alice = &image.client_quotas.entities[&entity(&[(USER, Some("alice"))])];
    assert_eq!(alice.iter().collect::<Vec<_>>(), [(&"producer_byte_rate".to_owned(), &1_048_576.0)]);
    let app = &image.client_quotas.entities[&entity(&[(USER, None), (CLIENT_ID, Some("app"))])];
    assert_eq!(app["request_percentage"], 50.0);

    assert_eq!(image.producer_ids.next_producer_id, 1000);
    let acls: Vec<&str> = image.acls.acls.values().map(|acl| acl.principal.as_str()).collect();
    assert_eq!(acls, ["User:mallory"]);
    assert_eq!(image.scram.credentials[&(1, "bob".to_owned())].iterations, 4096);
}

#[test]
fn the_log_up_to_a_snapshot_is_what_the_snapshot_holds() {
    let mut log = batches(LOG);
    log.retain(|batch| batch.last_offset < 58);
    let from_log = replayed(&log);
    let snapshot: Vec<MetadataRecord> =
        batches(SNAPSHOT).into_iter().flat_map(|batch| batch.records).collect();
    let mut loader = MetadataLoader::new();
    let update = loader.load_snapshot(from_log.provenance, &snapshot).expect("Kafka's snapshot");
    assert_eq!(update.manifest, LoaderManifest::Snapshot);
    assert_eq!(update.image, from_log);
    // And over any other state, too: what the snapshot does not name goes. Producer ids alone never go back.
    let mut loader = MetadataLoader::with_image(replayed(&batches(LOG)));
    let over_another = loader.load_snapshot(from_log.provenance, &snapshot).expect("Kafka's snapshot").image;
    assert_eq!(over_another.producer_ids.next_producer_id, 1000);
    assert_eq!(MetadataImage { producer_ids: from_log.producer_ids, ..over_another }, from_log);
}

#[test]
fn our_snapshot_holds_the_records_of_kafkas() {
    let mut log = batches(LOG);
    log.retain(|batch| batch.last_offset < 58);
    let bytes = |record: &MetadataRecord, version| {
        let mut writer = Writer::new();
        record.write_framed(&mut writer, version).expect("a record");
        writer.into_bytes()
    };
    let ours = replayed(&log).snapshot_records().expect("nothing is lost");
    let mut ours: Vec<Vec<u8>> = ours.iter().map(|(record, version)| bytes(record, *version)).collect();
    let mut kafkas = Vec::new();
    for batch in Batches::new(SNAPSHOT) {
        let batch = batch.expect("a whole batch");
        if !batch.is_control() {
            for record in batch.iter() {
                kafkas.push(record.expect("a record").value.expect("a value").to_vec());
            }
        }
    }
    // The first says how to read the others. Kafka writes hash maps, whose order says nothing.
    assert_eq!(ours[0], kafkas[0]);
    // The order of features within a registration is a hash map's, too.
    let is_registration = |record: &Vec<u8>| matches!(record[1], 0 | 27);
    ours.retain(|record| !is_registration(record));
    kafkas.retain(|record| !is_registration(record));
    ours.sort();
    kafkas.sort();
    assert_eq!(ours, kafkas);
}

#[test]
fn images_survive_their_snapshot_at_every_offset() {
    let log = batches(LOG);
    for end in 1..=log.len() {
        let image = replayed(&log[..end]);
        if image.features.metadata_version().is_none() {
            continue;
        }
        let records = image.snapshot_records().expect("nothing is lost");
        assert_eq!(from_records(&records, image.provenance), image, "after batch {end}");
    }
}

#[test]
fn batch_by_batch_and_at_once_are_the_same() {
    let log = batches(LOG);
    let mut loader = MetadataLoader::new();
    let mut last_offset = -1;
    for batch in &log {
        for update in loader.load_commit(&[batch.committed()]).expect("Kafka's records fit together") {
            assert_eq!(update.delta.image().offset(), last_offset);
            assert!(update.image.offset() > last_offset);
            last_offset = update.image.offset();
        }
    }
    assert_eq!(*loader.image(), replayed(&log));
}
