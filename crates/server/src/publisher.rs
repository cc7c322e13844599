//! What a broker does with each new metadata image, in a fixed order: settings, logs and leadership, coordinators, and
//! last the image that requests see (`BrokerMetadataPublisher`).

use std::sync::Arc;

use common::topic::GROUP_METADATA_TOPIC;
use group::{DeletedTopic, TopicsChange};
use metadata::{ConfigResource, ConfigResourceType, MetadataDelta, MetadataImage};
use replica::Moved;

use crate::broker::Broker;
use crate::clock::now_ms;
use crate::group_settings::update_group_settings;
use crate::handlers::groups::Topics;
use crate::lifecycle;
use crate::start::connection_limits;

/// Applies a change of the metadata.
pub(crate) fn publish(broker: &Arc<Broker>, delta: &MetadataDelta, image: &MetadataImage) {
    let now = now_ms();
    let before = broker.image();
    let mut all_topics = false;
    if let Some(configs) = delta.configs_delta() {
        let old = broker.settings.broker();
        broker.settings.update(image);
        let new = broker.settings.broker();
        all_topics = !Arc::ptr_eq(&old, &new);
        broker.replication_quotas.update(&new);
        if all_topics {
            broker.connections.set_limits(connection_limits(&new));
            broker.cleaners.reconfigure(&new);
            broker.fetchers.resize(new.replication.num_replica_fetchers);
            if broker.replicas.logs().update_cordoned_dirs(&new.cordoned_log_dirs) {
                broker.lifecycle.propagate_cordoned_dirs();
            }
        }
        update_group_settings(broker, image);
        let is_subscription =
            |resource: &ConfigResource| resource.resource_type == ConfigResourceType::CLIENT_METRICS;
        if configs.changes.keys().any(is_subscription) {
            broker.client_metrics.update(image);
        }
    }
    let changes = broker.replicas.apply(delta, image, &|topic| broker.settings.of_topic(image, topic), now);
    for partition in &changes.changed {
        // A smaller ISR may have committed what waited.
        broker.on_moved(partition, Moved { high_watermark: true, isr_proposed: false });
    }
    if delta.client_quotas_delta().is_some_and(|quotas| !quotas.changes.is_empty()) {
        tracing::warn!("client quotas were set: they are kept and described, and not enforced yet");
    }
    broker.assignments.compare(broker, delta, image);
    update_topic_settings(broker, delta, image, all_topics);
    update_coordinators(broker, delta, image, now);
    broker.image.store(Arc::new(image.clone()));
    lifecycle::check_registration(broker, delta, image);
    // Behind the image, in which they find the leaders.
    broker.fetchers.apply(&changes);
    broker.alter_log_dirs.apply(&changes);
    if let Some(topics) = delta.topics_delta() {
        let deleted: Vec<DeletedTopic> = topics
            .deleted_topic_ids
            .iter()
            .filter_map(|id| before.topics.topic_by_id(id))
            .map(|topic| DeletedTopic { id: topic.id, name: topic.name.to_string() })
            .collect();
        let change = TopicsChange {
            created: !topics.created_topics.is_empty(),
            names: topics
                .changed_topics
                .values()
                .map(|topic| topic.name().to_string())
                .chain(deleted.iter().map(|topic| topic.name.clone()))
                .collect(),
        };
        broker.groups.on_metadata_update(Arc::new(Topics(broker.image())), &change, now);
        if let Some(metrics) = &broker.metrics {
            deleted.iter().for_each(|topic| metrics.topics.forget(&topic.name));
        }
        if !deleted.is_empty() {
            broker.groups.on_topics_deleted(&deleted, now);
        }
    }
}

fn update_topic_settings(broker: &Broker, delta: &MetadataDelta, image: &MetadataImage, all: bool) {
    if all {
        // A default of the broker has changed, which any topic may follow.
        for topic in broker.replicas.topics() {
            broker.replicas.update_settings(&topic.name, &broker.settings.of_topic(image, &topic.name));
        }
        return;
    }
    let Some(configs) = delta.configs_delta() else { return };
    for resource in configs.changes.keys() {
        if resource.resource_type == ConfigResourceType::TOPIC {
            broker.replicas.update_settings(&resource.name, &broker.settings.of_topic(image, &resource.name));
        }
    }
}

fn update_coordinators(broker: &Arc<Broker>, delta: &MetadataDelta, image: &MetadataImage, now: i64) {
    let Some(topics) = delta.topics_delta() else { return };
    if let Some(topic) = image.topics.topic(GROUP_METADATA_TOPIC) {
        broker.groups.set_partition_count(topic.partitions.len() as i32);
    }
    let changes = topics.local_changes(broker.node_id);
    for partition in changes.deletes.iter().filter(|partition| &*partition.topic == GROUP_METADATA_TOPIC) {
        broker.groups.unload(partition.partition, None);
    }
    for (partition, info) in &changes.followers {
        if &*partition.topic == GROUP_METADATA_TOPIC {
            broker.groups.unload(partition.partition, Some(info.partition.leader_epoch));
        }
    }
    for (partition, info) in &changes.elected_leaders {
        if &*partition.topic == GROUP_METADATA_TOPIC {
            load(broker, partition.partition, info.partition.leader_epoch, now);
        }
    }
}

/// Loads a coordinator. An empty partition is loaded here and now, so that the first request finds it; others read their
/// log elsewhere, and requests are told so meanwhile.
fn load(broker: &Arc<Broker>, index: i32, leader_epoch: i32, now: i64) {
    let Some(partition) = broker.replicas.partition(GROUP_METADATA_TOPIC, index) else { return };
    let log = Arc::clone(&partition.log());
    // To the log's end, not only to what is known to be committed: a leader keeps all that it has.
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let buffer_size = usize::try_from(broker.settings.broker().group_coordinator.offsets_load_buffer_size);
    let buffer_size = buffer_size.unwrap_or(5 * 1024 * 1024);
    let groups = Arc::clone(broker);
    let run = move || {
        let mut read = |offset: i64, buffer: &mut Vec<u8>| {
            let fetched = log.read(offset, buffer_size, end, true).map_err(|error| error.error_code())?;
            fetched.records.read_into(buffer).map_err(|error| {
                tracing::error!(%error, partition = index, "a coordinator's log cannot be read");
                common::ErrorCode::KafkaStorageError
            })
        };
        let committed = partition.log().high_watermark();
        if let Err(error) = groups.groups.load(index, leader_epoch, start, committed, &mut read, now) {
            tracing::error!(%error, partition = index, "a group coordinator cannot be loaded");
        }
    };
    if start == end {
        run();
        return;
    }
    let thread = std::thread::Builder::new().name(format!("load-offsets-{index}")).spawn(run);
    if let Err(error) = thread {
        tracing::error!(%error, partition = index, "no thread to load a group coordinator");
    }
}
