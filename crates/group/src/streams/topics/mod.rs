//! The topics of a topology: how many partitions each must have, and which are not there
//! (Kafka's `InternalTopicManager`, `ConfiguredTopology`).

mod copartition;
mod repartition;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::ErrorCode;
use common::topic::validate_topic_name;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::streams_group_topology_value::{Subtopology, TopicInfo};

use super::StatusCode;
use super::topology::{StreamsTopology, sources};
use crate::consumer::Refusal;
use crate::topics::TopicsImage;

/// Divergence: Kafka knows no limits here, and a topology of some bytes can keep its coordinator busy for hours. No
/// application comes near these.
const MAX_SUBTOPOLOGIES: usize = 1_000;
const MAX_NAMES: usize = 10_000;
/// Tasks that a topology may have.
pub(crate) const MAX_TASKS: i64 = 200_000;

/// How many topics are named before it says how many more there are.
const NAMED: usize = 3;

/// A topology with the numbers of partitions of its topics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConfiguredTopology {
    pub(crate) epoch: i32,
    /// Without any if source topics are missing or wrong.
    pub(crate) subtopologies: Option<BTreeMap<String, ConfiguredSubtopology>>,
    pub(crate) internal_topics_to_create: Vec<CreatableTopic>,
    pub(crate) problem: Option<TopicProblem>,
}

/// Why a group cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicProblem {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

/// A subtopology with the numbers of partitions of its topics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConfiguredSubtopology {
    pub(crate) number_of_tasks: i32,
    pub(crate) source_topics: BTreeSet<String>,
    pub(crate) repartition_sink_topics: BTreeSet<String>,
    pub(crate) repartition_source_topics: BTreeMap<String, TopicInfo>,
    pub(crate) state_changelog_topics: BTreeMap<String, TopicInfo>,
}

impl ConfiguredTopology {
    pub(crate) fn is_ready(&self) -> bool {
        self.problem.is_none()
    }
}

/// Why it is no good: a topology, or the topics that it finds.
#[derive(Debug)]
enum Failure {
    Topology(Refusal),
    Topics(TopicProblem),
}

impl Failure {
    fn topology(message: impl Into<String>) -> Failure {
        Failure::Topology(Refusal::new(ErrorCode::StreamsInvalidTopology, message))
    }

    fn incorrectly_partitioned(message: String) -> Failure {
        Failure::Topics(TopicProblem { status: StatusCode::IncorrectlyPartitionedTopics, message })
    }
}

/// The numbers of partitions that are known: of topics that exist, and of those that have been decided.
struct Counts<'a> {
    image: &'a dyn TopicsImage,
    decided: HashMap<String, i32>,
}

impl Counts<'_> {
    fn of(&self, topic: &str) -> Option<i32> {
        self.image.partition_count(topic).or_else(|| self.decided.get(topic).copied())
    }

    fn known(&self, topic: &str) -> Result<i32, Failure> {
        self.of(topic).ok_or_else(|| {
            Failure::topology(format!("The number of partitions of topic {topic} cannot be decided."))
        })
    }
}

/// Decides how many partitions the topology's topics must have, and what is missing.
///
/// # Errors
/// STREAMS_INVALID_TOPOLOGY, whatever topics there are.
pub(crate) fn configure(
    topology: &StreamsTopology,
    image: &dyn TopicsImage,
) -> Result<ConfiguredTopology, Refusal> {
    let problem = match try_configure(topology, image) {
        Ok(configured) => return Ok(configured),
        Err(Failure::Topology(refusal)) => return Err(refusal),
        Err(Failure::Topics(problem)) => problem,
    };
    Ok(ConfiguredTopology {
        epoch: topology.epoch,
        subtopologies: None,
        internal_topics_to_create: Vec::new(),
        problem: Some(problem),
    })
}

fn try_configure(topology: &StreamsTopology, image: &dyn TopicsImage) -> Result<ConfiguredTopology, Failure> {
    check_limits(topology)?;
    let missing: BTreeSet<&str> = topology
        .subtopologies
        .values()
        .flat_map(|subtopology| subtopology.source_topics.iter().map(String::as_str))
        .filter(|name| image.partition_count(name).is_none())
        .collect();
    if !missing.is_empty() {
        let message = format!("Source topics {} are missing.", summary(missing.into_iter()));
        return Err(Failure::Topics(TopicProblem { status: StatusCode::MissingSourceTopics, message }));
    }

    let mut counts = Counts { image, decided: HashMap::new() };
    counts.decided = repartition::decide(topology, &counts)?;
    copartition::enforce(topology, &mut counts)?;
    for subtopology in topology.subtopologies.values() {
        let tasks = number_of_tasks(subtopology, &counts)?;
        for changelog in &subtopology.state_changelog_topics {
            counts.decided.insert(changelog.name.clone(), tasks);
        }
    }

    let mut subtopologies = BTreeMap::new();
    for (id, subtopology) in &topology.subtopologies {
        subtopologies.insert(id.clone(), configure_subtopology(subtopology, &counts)?);
    }
    let tasks: i64 = subtopologies.values().map(|subtopology| i64::from(subtopology.number_of_tasks)).sum();
    if tasks > MAX_TASKS {
        return Err(Failure::topology(format!("The topology has {tasks} tasks, more than {MAX_TASKS}.")));
    }
    let internal_topics_to_create = missing_internal_topics(&subtopologies, image)?;
    let problem = (!internal_topics_to_create.is_empty()).then(|| TopicProblem {
        status: StatusCode::MissingInternalTopics,
        message: format!(
            "Internal topics are missing: {}",
            summary(internal_topics_to_create.iter().map(|topic| topic.name.as_str()))
        ),
    });
    Ok(ConfiguredTopology {
        epoch: topology.epoch,
        subtopologies: Some(subtopologies),
        internal_topics_to_create,
        problem,
    })
}

fn check_limits(topology: &StreamsTopology) -> Result<(), Failure> {
    let names: usize = topology
        .subtopologies
        .values()
        .map(|subtopology| {
            let copartitioned: usize = subtopology
                .copartition_groups
                .iter()
                .map(|group| group.source_topics.len() + group.repartition_source_topics.len())
                .sum();
            subtopology.source_topics.len()
                + subtopology.repartition_sink_topics.len()
                + subtopology.repartition_source_topics.len()
                + subtopology.state_changelog_topics.len()
                + copartitioned
        })
        .sum();
    let groups: usize =
        topology.subtopologies.values().map(|subtopology| subtopology.copartition_groups.len()).sum();
    if topology.subtopologies.len() > MAX_SUBTOPOLOGIES || groups > MAX_SUBTOPOLOGIES || names > MAX_NAMES {
        return Err(Failure::topology(format!(
            "A topology may have {MAX_SUBTOPOLOGIES} subtopologies, as many copartition groups, and name {MAX_NAMES} \
             topics at most."
        )));
    }
    Ok(())
}

/// A subtopology has a task for each partition of the source that has the most.
fn number_of_tasks(subtopology: &Subtopology, counts: &Counts<'_>) -> Result<i32, Failure> {
    let mut most = None;
    for topic in sources(subtopology) {
        most = most.max(Some(counts.known(topic)?));
    }
    most.ok_or_else(|| {
        Failure::topology(format!("No source topics found for subtopology {}", subtopology.subtopology_id))
    })
}

fn configure_subtopology(
    subtopology: &Subtopology,
    counts: &Counts<'_>,
) -> Result<ConfiguredSubtopology, Failure> {
    let configured = |topics: &[TopicInfo]| {
        let topics = topics.iter();
        let configured = topics.map(|topic| {
            let partitions = match topic.partitions {
                0 => *counts.decided.get(&topic.name).ok_or_else(|| {
                    Failure::topology(format!("The number of partitions of {} is not set.", topic.name))
                })?,
                partitions => partitions,
            };
            if partitions < 1 || i64::from(partitions) > MAX_TASKS {
                return Err(Failure::topology(format!(
                    "Topic {} cannot have {partitions} partitions.",
                    topic.name
                )));
            }
            validate_topic_name(&topic.name).map_err(|error| Failure::topology(error.to_string()))?;
            Ok((topic.name.clone(), TopicInfo { partitions, ..topic.clone() }))
        });
        configured.collect::<Result<BTreeMap<_, _>, Failure>>()
    };
    Ok(ConfiguredSubtopology {
        number_of_tasks: number_of_tasks(subtopology, counts)?,
        source_topics: subtopology.source_topics.iter().cloned().collect(),
        repartition_sink_topics: subtopology.repartition_sink_topics.iter().cloned().collect(),
        repartition_source_topics: configured(&subtopology.repartition_source_topics)?,
        state_changelog_topics: configured(&subtopology.state_changelog_topics)?,
    })
}

fn missing_internal_topics(
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    image: &dyn TopicsImage,
) -> Result<Vec<CreatableTopic>, Failure> {
    let internal: BTreeMap<&str, &TopicInfo> = subtopologies
        .values()
        .flat_map(|subtopology| {
            let changelogs = subtopology.state_changelog_topics.iter();
            subtopology.repartition_source_topics.iter().chain(changelogs)
        })
        .map(|(name, topic)| (name.as_str(), topic))
        .collect();
    let mut missing = Vec::new();
    for (name, topic) in internal {
        match image.partition_count(name) {
            None => missing.push(creatable(topic)),
            Some(found) if found != topic.partitions => {
                return Err(Failure::incorrectly_partitioned(format!(
                    "Existing topic {name} has different number of partitions: expected {}, found {found}",
                    topic.partitions
                )));
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}

fn creatable(topic: &TopicInfo) -> CreatableTopic {
    let configs = topic.topic_configs.iter();
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions,
        // The broker's own if the application does not care.
        replication_factor: if topic.replication_factor == 0 { -1 } else { topic.replication_factor },
        configs: configs
            .map(|config| CreatableTopicConfig {
                name: config.key.clone(),
                value: Some(config.value.clone()),
            })
            .collect(),
        ..CreatableTopic::default()
    }
}

/// Some names, and how many more there are.
fn summary<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{shown} and {more} additional topics"),
        _ => shown,
    }
}
