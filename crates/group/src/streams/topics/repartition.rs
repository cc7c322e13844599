//! How many partitions repartition topics have: as many as the largest source of who writes them
//! (Kafka's `RepartitionTopics`).

use std::collections::HashMap;

use protocol::messages::streams_group_topology_value::Subtopology;

use super::{Counts, Failure};
use crate::streams::topology::StreamsTopology;

/// The numbers of partitions of all repartition topics, before those that are read together are made equal.
pub(super) fn decide(
    topology: &StreamsTopology,
    counts: &Counts<'_>,
) -> Result<HashMap<String, i32>, Failure> {
    let subtopologies = || topology.subtopologies.values();
    let mut decided: HashMap<String, i32> = subtopologies()
        .flat_map(|subtopology| &subtopology.repartition_source_topics)
        .filter(|topic| topic.partitions != 0)
        .map(|topic| (topic.name.clone(), topic.partitions))
        .collect();
    // What one subtopology writes another may read in order to write the next: again until nothing is open.
    loop {
        let (mut is_open, mut progress) = (false, false);
        for subtopology in subtopologies() {
            for sink in &subtopology.repartition_sink_topics {
                if decided.contains_key(sink) {
                    continue;
                }
                match largest_source(subtopology, &decided, counts) {
                    Some(partitions) => {
                        decided.insert(sink.clone(), partitions);
                        progress = true;
                    }
                    None => is_open = true,
                }
            }
        }
        if !is_open {
            break;
        }
        if !progress {
            return Err(Failure::topology(
                "Failed to compute number of partitions for all repartition topics. There may be loops in the topology \
                 that cannot be resolved.",
            ));
        }
    }
    let mut read = subtopologies().flat_map(|subtopology| &subtopology.repartition_source_topics);
    if read.any(|topic| !decided.contains_key(&topic.name)) {
        return Err(Failure::topology(
            "Failed to compute number of partitions for all repartition topics, because a repartition source topic is \
             never used as a sink topic.",
        ));
    }
    Ok(decided)
}

fn largest_source(
    subtopology: &Subtopology,
    decided: &HashMap<String, i32>,
    counts: &Counts<'_>,
) -> Option<i32> {
    let internal =
        subtopology.repartition_source_topics.iter().filter_map(|topic| decided.get(&topic.name).copied());
    let external = subtopology.source_topics.iter().filter_map(|topic| counts.of(topic));
    internal.chain(external).max()
}
