//! The topics that brokers keep for themselves: how they are created on first use (`AutoTopicCreationManager`).

use std::sync::Arc;

use common::topic::GROUP_METADATA_TOPIC;
use config::BrokerConfig;
use protocol::messages::create_topics_request::CreatableTopic;

use super::metadata::{creatable_configs, create_topics};
use crate::broker::Broker;

/// How an internal topic is created, if this is the name of one that is served.
pub(crate) fn definition(config: &BrokerConfig, name: &str) -> Option<CreatableTopic> {
    (name == GROUP_METADATA_TOPIC).then(|| CreatableTopic {
        name: name.to_owned(),
        num_partitions: config.group_coordinator.offsets_topic_num_partitions,
        replication_factor: config.group_coordinator.offsets_topic_replication_factor,
        configs: creatable_configs(group::group_metadata_topic_configs(
            &crate::group_settings::group_config(config),
        )),
        ..CreatableTopic::default()
    })
}

/// Creates `__consumer_offsets` if it is not there.
pub(crate) async fn ensure_offsets_topic(broker: &Arc<Broker>) {
    if broker.image().topics.topic(GROUP_METADATA_TOPIC).is_none()
        && let Some(topic) = definition(&broker.settings.broker(), GROUP_METADATA_TOPIC)
    {
        create_topics(broker, vec![topic]).await;
    }
}
