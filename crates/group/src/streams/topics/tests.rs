use std::collections::BTreeMap;

use common::Uuid;
use protocol::messages::streams_group_topology_value::{CopartitionGroup, StreamsGroupTopologyValue};

use super::*;
use crate::request::TopicResolver;

struct Image(BTreeMap<&'static str, i32>);

impl TopicResolver for Image {
    fn topic_name(&self, _: Uuid) -> Option<String> {
        None
    }

    fn topic_id(&self, _: &str) -> Option<Uuid> {
        None
    }

    fn has_partition(&self, _: &str, _: i32) -> bool {
        false
    }
}

impl TopicsImage for Image {
    fn version(&self) -> i64 {
        0
    }

    fn partition_count(&self, name: &str) -> Option<i32> {
        self.0.get(name).copied()
    }

    fn partition_racks(&self, _: &str, _: i32) -> Vec<String> {
        Vec::new()
    }

    fn for_each_name(&self, _: &mut dyn FnMut(&str)) {}
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn internal(topics: &[(&str, i32)]) -> Vec<TopicInfo> {
    let topics = topics.iter();
    topics
        .map(|(name, partitions)| TopicInfo {
            name: (*name).to_owned(),
            partitions: *partitions,
            ..Default::default()
        })
        .collect()
}

fn subtopology(id: &str, sources: &[&str], sinks: &[&str], repartition: &[(&str, i32)]) -> Subtopology {
    Subtopology {
        subtopology_id: id.to_owned(),
        source_topics: names(sources),
        repartition_sink_topics: names(sinks),
        repartition_source_topics: internal(repartition),
        ..Default::default()
    }
}

fn configured(
    subtopologies: Vec<Subtopology>,
    topics: &[(&'static str, i32)],
) -> Result<ConfiguredTopology, Refusal> {
    let value = StreamsGroupTopologyValue { epoch: 0, subtopologies };
    configure(&StreamsTopology::from_record(value), &Image(topics.iter().copied().collect()))
}

fn created(configured: &ConfiguredTopology) -> Vec<(&str, i32)> {
    let topics = configured.internal_topics_to_create.iter();
    topics.map(|topic| (topic.name.as_str(), topic.num_partitions)).collect()
}

#[test]
fn repartition_topics_are_as_large_as_the_largest_source_of_who_writes_them() {
    // In an order in which one pass is not enough.
    let mut last = subtopology("0", &[], &[], &[("r2", 0)]);
    last.state_changelog_topics = internal(&[("log", 0)]);
    let chain =
        vec![last, subtopology("1", &["b"], &["r2"], &[("r1", 0)]), subtopology("2", &["a"], &["r1"], &[])];
    let found = configured(chain.clone(), &[("a", 5), ("b", 2)]).unwrap();
    assert_eq!(created(&found), [("log", 2), ("r1", 5), ("r2", 2)]);
    let missing = found.problem.unwrap();
    assert_eq!(missing.status, StatusCode::MissingInternalTopics);
    assert_eq!(missing.message, "Internal topics are missing: log, r1, r2");
    let ready = configured(chain, &[("a", 5), ("b", 2), ("r1", 5), ("r2", 2), ("log", 2)]).unwrap();
    assert!(ready.is_ready());
    assert_eq!(ready.subtopologies.unwrap()["1"].number_of_tasks, 5);
}

#[test]
fn what_cannot_be_decided_is_no_topology() {
    let refuse = |subtopologies| configured(subtopologies, &[("a", 1)]).unwrap_err().error;
    let circle = vec![subtopology("0", &[], &["r"], &[("r", 0)])];
    assert_eq!(refuse(circle), ErrorCode::StreamsInvalidTopology);
    let never_written = vec![subtopology("0", &["a"], &[], &[("r", 0)])];
    assert_eq!(refuse(never_written), ErrorCode::StreamsInvalidTopology);
    let mut no_such = subtopology("0", &["a"], &[], &[]);
    no_such.copartition_groups = vec![CopartitionGroup { source_topics: vec![-1], ..Default::default() }];
    assert_eq!(refuse(vec![no_such]), ErrorCode::StreamsInvalidTopology);
    let ids: Vec<String> = (0..=MAX_SUBTOPOLOGIES).map(|id| id.to_string()).collect();
    let many = ids.iter().map(|id| subtopology(id, &["a"], &[], &[])).collect();
    assert_eq!(refuse(many), ErrorCode::StreamsInvalidTopology);
}

#[test]
fn topics_that_are_read_together_have_equally_many_partitions() {
    let joined = |repartition: &[(&str, i32)], sources: &[&str]| {
        let mut reader = subtopology("1", sources, &[], repartition);
        reader.copartition_groups = vec![CopartitionGroup {
            source_topics: (0..sources.len() as i16).collect(),
            repartition_source_topics: (0..repartition.len() as i16).collect(),
            ..Default::default()
        }];
        vec![subtopology("0", &["a"], &["r"], &[]), reader]
    };
    let topics = [("a", 5), ("b", 3), ("c", 3), ("d", 4)];
    // A repartition topic becomes what the other is.
    assert_eq!(created(&configured(joined(&[("r", 0)], &["b", "c"]), &topics).unwrap()), [("r", 3)]);
    for (repartition, sources) in [(&[("r", 0)], &["b", "d"][..]), (&[("r", 7)], &["b"][..])] {
        let problem = configured(joined(repartition, sources), &topics).unwrap().problem.unwrap();
        assert_eq!(problem.status, StatusCode::IncorrectlyPartitionedTopics, "{}", problem.message);
    }
    // Among themselves: as one that is fixed says, else as the largest.
    assert_eq!(
        created(&configured(joined(&[("r", 0), ("s", 7)], &[]), &topics).unwrap()),
        [("r", 7), ("s", 7)]
    );
}

#[test]
fn missing_sources_are_named_in_order() {
    let reads = vec![subtopology("0", &["z", "y", "x", "w", "a"], &[], &[])];
    let problem = configured(reads, &[("a", 1)]).unwrap().problem.unwrap();
    assert_eq!(problem.status, StatusCode::MissingSourceTopics);
    assert_eq!(problem.message, "Source topics w, x, y and 1 additional topics are missing.");
}
