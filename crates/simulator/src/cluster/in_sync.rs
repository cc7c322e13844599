//! What must hold between the brokers of a cluster at any time.

use std::collections::BTreeMap;

use common::TopicIdPartition;
use replica::Partition;

use super::World;
use super::broker::{Broker, id_of};
use crate::committed::in_sync_has;

impl World {
    /// Up to where each node has the metadata log.
    pub(super) fn metadata_ends(&self) -> BTreeMap<i32, i64> {
        self.nodes.iter().map(|(id, node)| (*id, node.metadata_end())).collect()
    }

    /// A leader acknowledges: whoever could be elected now must have the record. That is who is in sync as the controllers have
    /// committed it, whatever the leader believes. Those that have not registered since they started are thrown out when they do.
    pub(super) fn is_acknowledged(&mut self, id: i32, leader: &Partition, offset: i64) -> Result<(), String> {
        let of = id_of(leader);
        let Some(newest) = self.checker.newest.topics.partition(&of.topic_id, of.partition) else {
            return Ok(());
        };
        for other in newest.isr.iter().filter(|other| **other != id) {
            let Some(replica) = self.replica(*other, &of) else { continue };
            in_sync_has((id, &leader.log()), (*other, &replica.log()), offset, self.plan.syncs)?;
        }
        Ok(())
    }

    /// The replica on a broker that is registered.
    fn replica(&self, id: i32, of: &TopicIdPartition) -> Option<std::sync::Arc<Partition>> {
        let process = self.nodes.get(&id)?.process.as_ref()?;
        let broker = process.broker.as_ref().filter(|_| process.life.is_registered)?;
        broker.partition(of).filter(|partition| !partition.is_offline())
    }
}

impl Broker {
    /// The replicas here are those of the metadata that the broker has acted on, and know of nothing older.
    pub fn follows_its_image(&self) -> Result<(), String> {
        let id = self.node_id();
        let mut replicas = self.partitions();
        for topic in self.image.topics.sorted() {
            for (index, registration) in &topic.partitions {
                let of = TopicIdPartition { topic_id: topic.id, partition: *index };
                let known = replicas.remove(&of);
                if !registration.replicas.contains(&id) {
                    if known.is_some() {
                        return Err(format!(
                            "{id} has {of:?}, and the metadata that it has name {registration:?}"
                        ));
                    }
                    continue;
                }
                let Some(known) = known.map(|partition| partition.registration()) else {
                    return Err(format!(
                        "{id} has no {of:?}, and the metadata that it has name {registration:?}"
                    ));
                };
                // A leader hears of its ISR earlier than by the metadata.
                if known.partition_epoch < registration.partition_epoch
                    || known.leader_epoch != registration.leader_epoch
                {
                    return Err(format!(
                        "{id} takes {known:?} for {of:?}, and the metadata that it has name {registration:?}"
                    ));
                }
            }
        }
        match replicas.pop_first() {
            Some((of, _)) => Err(format!("{id} has {of:?}, and the metadata that it has name no such topic")),
            None => Ok(()),
        }
    }
}
