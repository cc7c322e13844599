//! Who answers interactive queries for which partitions.

use protocol::messages::streams_group_heartbeat_response::{Endpoint, EndpointToPartitions, TopicPartition};

use super::tasks::Tasks;
use super::topics::ConfiguredTopology;
use super::{StreamsGroup, StreamsGroupMember};
use crate::topics::TopicsImage;

impl StreamsGroup {
    /// Of each member with an endpoint the sources of its tasks.
    pub(super) fn endpoints(
        &self,
        updated: &StreamsGroupMember,
        replaced: Option<&str>,
        configured: &ConfiguredTopology,
        image: &dyn TopicsImage,
    ) -> Vec<EndpointToPartitions> {
        let others = self
            .members
            .values()
            .filter(|member| member.member_id != updated.member_id && Some(&*member.member_id) != replaced);
        others
            .chain([updated])
            .filter_map(|member| {
                let endpoint = member.user_endpoint.as_ref()?;
                let mut copies = member.assigned.standby.clone();
                for (id, partitions) in &member.assigned.warmup {
                    copies.entry(id.clone()).or_default().extend(partitions);
                }
                let active = member.assigned.active_tasks();
                Some(EndpointToPartitions {
                    user_endpoint: Endpoint { host: endpoint.host.clone(), port: endpoint.port },
                    active_partitions: sources_of(&active, configured, image),
                    standby_partitions: sources_of(&copies, configured, image),
                })
            })
            .collect()
    }
}

/// The partitions that tasks read, as far as their topics have them.
fn sources_of(
    tasks: &Tasks,
    configured: &ConfiguredTopology,
    image: &dyn TopicsImage,
) -> Vec<TopicPartition> {
    let mut sources = Vec::new();
    for (id, partitions) in tasks {
        let Some(subtopology) = configured.subtopologies.as_ref().and_then(|all| all.get(id)) else {
            continue;
        };
        for topic in subtopology.source_topics.iter().chain(subtopology.repartition_source_topics.keys()) {
            let count = image.partition_count(topic).unwrap_or(0);
            let partitions: Vec<i32> = partitions.range(..count).copied().collect();
            if !partitions.is_empty() {
                sources.push(TopicPartition { topic: topic.clone(), partitions });
            }
        }
    }
    sources
}
