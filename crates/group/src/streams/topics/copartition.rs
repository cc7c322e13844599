//! Topics that are read together have equally many partitions (Kafka's `CopartitionedTopicsEnforcer`).

use std::collections::{BTreeMap, BTreeSet};

use protocol::messages::streams_group_topology_value::{CopartitionGroup, Subtopology};

use super::{Counts, Failure};
use crate::streams::topology::StreamsTopology;

/// Makes the repartition topics of each group equal to its other topics, or among each other.
pub(super) fn enforce(topology: &StreamsTopology, counts: &mut Counts<'_>) -> Result<(), Failure> {
    let repartition = || {
        let subtopologies = topology.subtopologies.values();
        subtopologies.flat_map(|subtopology| &subtopology.repartition_source_topics)
    };
    let of_kind = |is_fixed: bool| -> BTreeSet<&str> {
        let topics = repartition().filter(|topic| (topic.partitions != 0) == is_fixed);
        topics.map(|topic| topic.name.as_str()).collect()
    };
    let (fixed, flexible) = (of_kind(true), of_kind(false));
    for subtopology in topology.subtopologies.values() {
        for group in &subtopology.copartition_groups {
            let topics = topics_of(group, subtopology)?;
            enforce_group(&topics, &fixed, &flexible, counts)?;
        }
    }
    Ok(())
}

fn topics_of<'a>(
    group: &CopartitionGroup,
    subtopology: &'a Subtopology,
) -> Result<BTreeSet<&'a str>, Failure> {
    let no_such = || {
        Failure::topology(format!(
            "A copartition group of subtopology {} names a topic that it does not have.",
            subtopology.subtopology_id
        ))
    };
    let mut topics = BTreeSet::new();
    for &index in &group.source_topics {
        let topic = usize::try_from(index).ok().and_then(|index| subtopology.source_topics.get(index));
        topics.insert(topic.ok_or_else(no_such)?.as_str());
    }
    for &index in &group.repartition_source_topics {
        let index = usize::try_from(index).ok();
        let topic = index.and_then(|index| subtopology.repartition_source_topics.get(index));
        topics.insert(topic.ok_or_else(no_such)?.name.as_str());
    }
    Ok(topics)
}

fn enforce_group(
    topics: &BTreeSet<&str>,
    fixed: &BTreeSet<&str>,
    flexible: &BTreeSet<&str>,
    counts: &mut Counts<'_>,
) -> Result<(), Failure> {
    let (mut repartition, mut external) = (BTreeMap::new(), BTreeMap::new());
    for &topic in topics {
        let is_repartition = fixed.contains(topic) || flexible.contains(topic);
        let part = if is_repartition { &mut repartition } else { &mut external };
        part.insert(topic, counts.known(topic)?);
    }
    let unequal = |topics: &BTreeMap<&str, i32>| {
        let named: Vec<String> = topics.iter().map(|(name, count)| format!("{name}={count}")).collect();
        Failure::incorrectly_partitioned(format!(
            "Following topics do not have the same number of partitions: [{{{}}}]",
            named.join(", ")
        ))
    };
    let partitions = if !external.is_empty() {
        all_equal(external.values().copied()).ok_or_else(|| unequal(&external))?
    } else if !fixed.is_empty() {
        // All with a fixed number, those of other groups included.
        let mut of_fixed = Vec::with_capacity(fixed.len());
        for topic in fixed {
            of_fixed.push(counts.known(topic)?);
        }
        all_equal(of_fixed.into_iter()).ok_or_else(|| unequal(&repartition))?
    } else {
        match repartition.values().max() {
            Some(&most) => most,
            None => return Ok(()),
        }
    };
    for (topic, count) in repartition {
        if fixed.contains(topic) && count != partitions {
            return Err(Failure::incorrectly_partitioned(format!(
                "Number of partitions [{count}] of repartition topic [{topic}] doesn't match number of partitions \
                 [{partitions}] of the source topic."
            )));
        }
        counts.decided.insert(topic.to_owned(), partitions);
    }
    Ok(())
}

/// The number that all of these are.
fn all_equal(mut counts: impl Iterator<Item = i32>) -> Option<i32> {
    let first = counts.next()?;
    counts.all(|count| count == first).then_some(first)
}
