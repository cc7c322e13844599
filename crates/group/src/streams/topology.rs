//! A group's topology: what the application reads and writes (Kafka's `StreamsTopology`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::messages::streams_group_heartbeat_request::{
    TopicInfo as RequestedTopicInfo, Topology as RequestedTopology,
};
use protocol::messages::streams_group_topology_value::{
    CopartitionGroup, StreamsGroupTopologyValue, Subtopology, TopicConfig, TopicInfo,
};

/// What an assignment is computed with, by name. It stands in the group's record: other values are a new assignment.
pub(crate) type AssignmentConfigs = BTreeMap<String, String>;

/// A topology.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamsTopology {
    pub(crate) epoch: i32,
    pub(crate) subtopologies: BTreeMap<String, Subtopology>,
    /// Who reads a topic.
    subtopologies_by_source: HashMap<String, String>,
}

impl StreamsTopology {
    /// The topology of a group's record.
    pub(crate) fn from_record(value: StreamsGroupTopologyValue) -> StreamsTopology {
        let subtopologies: BTreeMap<String, Subtopology> = value
            .subtopologies
            .into_iter()
            .map(|subtopology| (subtopology.subtopology_id.clone(), subtopology))
            .collect();
        let subtopologies_by_source = subtopologies
            .values()
            .flat_map(|subtopology| {
                sources(subtopology).map(|name| (name.to_owned(), subtopology.subtopology_id.clone()))
            })
            .collect();
        StreamsTopology { epoch: value.epoch, subtopologies, subtopologies_by_source }
    }

    /// Which subtopology reads a topic.
    pub(crate) fn reader_of(&self, topic: &str) -> Option<&str> {
        self.subtopologies_by_source.get(topic).map(String::as_str)
    }

    /// The names of all topics that have to be there, those included that are the application's own.
    pub(crate) fn required_topics(&self) -> BTreeSet<&str> {
        self.subtopologies
            .values()
            .flat_map(|subtopology| {
                let changelogs = subtopology.state_changelog_topics.iter().map(|topic| topic.name.as_str());
                sources(subtopology).chain(changelogs)
            })
            .collect()
    }
}

/// The names of the topics that a subtopology reads.
pub(crate) fn sources(subtopology: &Subtopology) -> impl Iterator<Item = &str> {
    let repartition = subtopology.repartition_source_topics.iter().map(|topic| topic.name.as_str());
    subtopology.source_topics.iter().map(String::as_str).chain(repartition)
}

/// A heartbeat's topology as the record has it.
pub(crate) fn to_record(topology: RequestedTopology) -> StreamsGroupTopologyValue {
    let topics = |topics: Vec<RequestedTopicInfo>| {
        let topics = topics.into_iter();
        let configs = |topic: &mut RequestedTopicInfo| {
            let configs = std::mem::take(&mut topic.topic_configs).into_iter();
            configs.map(|config| TopicConfig { key: config.key, value: config.value }).collect()
        };
        topics
            .map(|mut topic| TopicInfo {
                topic_configs: configs(&mut topic),
                name: topic.name,
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
            })
            .collect()
    };
    let subtopologies = topology.subtopologies.into_iter();
    StreamsGroupTopologyValue {
        epoch: topology.epoch,
        subtopologies: subtopologies
            .map(|subtopology| Subtopology {
                subtopology_id: subtopology.subtopology_id,
                source_topics: subtopology.source_topics,
                source_topic_regex: subtopology.source_topic_regex,
                state_changelog_topics: topics(subtopology.state_changelog_topics),
                repartition_sink_topics: subtopology.repartition_sink_topics,
                repartition_source_topics: topics(subtopology.repartition_source_topics),
                copartition_groups: subtopology
                    .copartition_groups
                    .into_iter()
                    .map(|group| CopartitionGroup {
                        source_topics: group.source_topics,
                        source_topic_regex: group.source_topic_regex,
                        repartition_source_topics: group.repartition_source_topics,
                    })
                    .collect(),
            })
            .collect(),
    }
}
