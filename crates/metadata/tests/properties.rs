//! Whatever records come, in whatever pieces: the image is the same, and it survives its snapshot.

use metadata::{
    CommittedBatch, MetadataDelta, MetadataImage, MetadataLoader, MetadataProvenance, MetadataRecord,
};
use proptest::prelude::*;
use protocol::messages::*;

fn id(number: u8) -> common::Uuid {
    common::Uuid::from_u128(1000 + u128::from(number))
}

/// Records that may or may not fit the state; those that do not are left out when they are replayed.
fn record() -> impl Strategy<Value = MetadataRecord> {
    let topic = 0..6u8;
    let replicas = || proptest::collection::vec(0..4i32, 1..4);
    prop_oneof![
        topic
            .clone()
            .prop_map(|topic| { TopicRecord { name: format!("topic-{topic}"), topic_id: id(topic) }.into() }),
        (topic.clone(), 0..3i32, replicas(), 0..5i32).prop_map(
            |(topic, partition_id, replicas, leader_epoch)| {
                PartitionRecord {
                    topic_id: id(topic),
                    partition_id,
                    isr: replicas.clone(),
                    leader: replicas[0],
                    directories: replicas.iter().map(|broker| id(100 + *broker as u8)).collect(),
                    replicas,
                    leader_epoch,
                    partition_epoch: 0,
                    ..PartitionRecord::default()
                }
                .into()
            }
        ),
        (topic.clone(), 0..3i32, replicas(), -1..4i32).prop_map(|(topic, partition_id, isr, leader)| {
            PartitionChangeRecord {
                topic_id: id(topic),
                partition_id,
                isr: Some(isr.clone()),
                leader,
                eligible_leader_replicas: Some(isr),
                ..PartitionChangeRecord::default()
            }
            .into()
        }),
        topic.clone().prop_map(|topic| RemoveTopicRecord { topic_id: id(topic) }.into()),
        (0..7u8).prop_map(|topic| {
            let topic_name = if topic == 6 { String::new() } else { format!("topic-{topic}") };
            ClearElrRecord { topic_name }.into()
        }),
        (
            prop_oneof![Just(2i8), Just(4), Just(16), Just(32)],
            topic.clone(),
            0..3u8,
            proptest::option::of("[a-z]{0,4}")
        )
            .prop_map(|(resource_type, name, key, value)| {
                ConfigRecord {
                    resource_type,
                    resource_name: format!("topic-{name}"),
                    name: format!("key-{key}"),
                    value,
                }
                .into()
            }),
        (0..4i32, 0..3i64, any::<bool>()).prop_map(|(broker_id, broker_epoch, fenced)| {
            RegisterBrokerRecord {
                broker_id,
                broker_epoch,
                fenced,
                log_dirs: vec![id(100 + broker_id as u8)],
                ..RegisterBrokerRecord::default()
            }
            .into()
        }),
        (0..4i32, 0..3i64, -1..2i8, 0..2i8).prop_map(
            |(broker_id, broker_epoch, fenced, in_controlled_shutdown)| {
                BrokerRegistrationChangeRecord {
                    broker_id,
                    broker_epoch,
                    fenced,
                    in_controlled_shutdown,
                    ..BrokerRegistrationChangeRecord::default()
                }
                .into()
            }
        ),
        (0..4i32).prop_map(|broker_id| UnregisterBrokerRecord { broker_id, broker_epoch: 0 }.into()),
        (0..3i32).prop_map(|controller_id| {
            RegisterControllerRecord { controller_id, ..RegisterControllerRecord::default() }.into()
        }),
        (0..3i32).prop_map(|controller_id| UnregisterControllerRecord { controller_id }.into()),
        (prop_oneof![Just("group.version"), Just("eligible.leader.replicas.version")], 0..2i16).prop_map(
            |(name, feature_level)| FeatureLevelRecord { name: name.to_owned(), feature_level }.into()
        ),
        (0..3u8, 0..2u8, any::<bool>()).prop_map(|(user, key, remove)| {
            ClientQuotaRecord {
                entity: vec![client_quota_record::EntityData {
                    entity_type: "user".to_owned(),
                    entity_name: (user > 0).then(|| format!("user-{user}")),
                }],
                key: format!("key-{key}"),
                value: f64::from(user),
                remove,
            }
            .into()
        }),
        (1..9i64).prop_map(|block| {
            ProducerIdsRecord { next_producer_id: block * 1000, ..ProducerIdsRecord::default() }.into()
        }),
        topic.clone().prop_map(|acl| AccessControlEntryRecord { id: id(acl), ..Default::default() }.into()),
        topic.clone().prop_map(|acl| RemoveAccessControlEntryRecord { id: id(acl) }.into()),
        (0..3u8, 1..3i8).prop_map(|(user, mechanism)| {
            UserScramCredentialRecord {
                name: format!("user-{user}"),
                mechanism,
                salt: vec![user],
                ..UserScramCredentialRecord::default()
            }
            .into()
        }),
        (0..3u8, 1..3i8).prop_map(|(user, mechanism)| {
            RemoveUserScramCredentialRecord { name: format!("user-{user}"), mechanism }.into()
        }),
        topic.clone().prop_map(|token| {
            DelegationTokenRecord { token_id: format!("token-{token}"), ..Default::default() }.into()
        }),
        topic.prop_map(|token| RemoveDelegationTokenRecord { token_id: format!("token-{token}") }.into()),
    ]
}

/// The records that fit, after one that says how to read them.
fn fitting(records: Vec<MetadataRecord>) -> Vec<MetadataRecord> {
    let level = FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 33 };
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    let mut fitting: Vec<MetadataRecord> = vec![level.into()];
    let mut names = std::collections::BTreeMap::new();
    for record in records {
        match &record {
            // The controller never makes two topics of one name, nor one partition twice, nor reuses an id.
            MetadataRecord::Topic(topic) if names.contains_key(&topic.topic_id) => continue,
            MetadataRecord::Topic(topic) => drop(names.insert(topic.topic_id, ())),
            _ => {}
        }
        if delta.clone().replay(&record).is_ok() {
            delta.replay(&record).expect("it fitted a clone");
            fitting.push(record);
        }
    }
    fitting
}

fn batch(base_offset: usize, records: &[MetadataRecord]) -> CommittedBatch<'_> {
    CommittedBatch {
        base_offset: base_offset as i64,
        last_offset: (base_offset + records.len()) as i64 - 1,
        epoch: 1,
        append_timestamp_ms: 7,
        size_in_bytes: 100,
        records,
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference(records in proptest::collection::vec(record(), 1..60), size in 1..10usize) {
        let records = fitting(records);
        let mut at_once = MetadataLoader::new();
        at_once.load_commit(&[batch(0, &records)]).expect("they fit");
        let mut in_pieces = MetadataLoader::new();
        for (index, piece) in records.chunks(size).enumerate() {
            in_pieces.load_commit(&[batch(index * size, piece)]).expect("they fit");
        }
        // A topic that is made, configured and deleted within one delta leaves nothing either way.
        prop_assert_eq!(at_once.image(), in_pieces.image());
    }

    #[test]
    fn a_snapshot_holds_everything(records in proptest::collection::vec(record(), 1..60)) {
        let records = fitting(records);
        let mut loader = MetadataLoader::new();
        loader.load_commit(&[batch(0, &records)]).expect("they fit");
        let image = loader.image().clone();
        let snapshot = image.snapshot_records().expect("the newest level can hold everything");
        let mut other = MetadataLoader::new();
        let read = other
            .load_snapshot(image.provenance, snapshot.iter().map(|(record, _)| record))
            .expect("what was written can be read");
        if image.features.is_elr_enabled() {
            prop_assert_eq!(&read.image, &image);
        }
        // Without the feature, eligible leaders are left out; everything else is there.
        let again = read.image.snapshot_records().expect("the newest level can hold everything");
        prop_assert_eq!(again, snapshot);
    }

    #[test]
    fn an_aborted_transaction_leaves_nothing(
        before in proptest::collection::vec(record(), 1..20),
        within in proptest::collection::vec(record(), 1..20),
    ) {
        let count = fitting(before.clone()).len();
        let all = fitting(before.into_iter().chain(within).collect());
        let (before, within) = all.split_at(count);
        let mut loader = MetadataLoader::new();
        loader.load_commit(&[batch(0, before)]).expect("they fit");
        let image = loader.image().clone();
        let mut transaction: Vec<MetadataRecord> = vec![BeginTransactionRecord::default().into()];
        transaction.extend_from_slice(within);
        prop_assert_eq!(loader.load_commit(&[batch(count, &transaction)]).expect("they fit").len(), 0);
        let abort = [AbortTransactionRecord::default().into()];
        let end = count + transaction.len();
        let updates = loader.load_commit(&[batch(end, &abort)]).expect("they fit");
        prop_assert_eq!(updates.len(), 1);
        let provenance = MetadataProvenance { last_contained_offset: end as i64, ..image.provenance };
        prop_assert_eq!(loader.image(), &MetadataImage { provenance, ..image });
    }
}
