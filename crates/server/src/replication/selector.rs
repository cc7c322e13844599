//! Which replica a consumer should read from (KIP-392, `RackAwareReplicaSelector`).

use config::BrokerConfig;
use metadata::MetadataImage;
use replica::Partition;

use crate::error::ServerError;

const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
const LEADER: &str = "org.apache.kafka.common.replica.LeaderSelector";

/// `replica.selector.class`: Kafka's own two, by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplicaSelector {
    /// Consumers read from the leader.
    Leader,
    /// Consumers read from a replica in sync in their own rack, where there is one.
    RackAware,
}

impl ReplicaSelector {
    /// What the configuration asks for.
    pub(crate) fn of(config: &BrokerConfig) -> Result<ReplicaSelector, ServerError> {
        match config.value("replica.selector.class").to_text().as_deref() {
            None | Some("" | LEADER) => Ok(ReplicaSelector::Leader),
            Some(RACK_AWARE) => Ok(ReplicaSelector::RackAware),
            Some(other) => Err(ServerError::Unsupported(format!(
                "replica.selector.class: {other} is a Java class, which cannot be loaded; {RACK_AWARE} and {LEADER} are known \
                 by their names"
            ))),
        }
    }

    /// The follower that a consumer in `rack` should read an offset of a partition from; none where that is the leader, which is here.
    pub(crate) fn select(
        self,
        image: &MetadataImage,
        partition: &Partition,
        rack: &str,
        listener: &str,
        offset: i64,
        now_ms: i64,
    ) -> Option<i32> {
        if self == ReplicaSelector::Leader || rack.is_empty() {
            return None;
        }
        let is_in_rack = |broker: i32| {
            let registration = image.cluster.brokers.get(&broker).filter(|registration| !registration.fenced);
            registration.is_some_and(|registration| {
                registration.rack.as_deref() == Some(rack) && registration.listener(listener).is_some()
            })
        };
        if is_in_rack(partition.registration().leader) {
            return None;
        }
        // The one that is furthest, then the one that was caught up last, then the one with the larger id.
        partition
            .readable_followers(offset, now_ms)
            .into_iter()
            .filter(|(broker, _, _)| is_in_rack(*broker))
            .max_by_key(|(broker, end, lag_ms)| (*end, std::cmp::Reverse(*lag_ms), *broker))
            .map(|(broker, _, _)| broker)
    }
}
