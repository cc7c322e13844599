//! What must hold in a cluster, whatever happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{TopicIdPartition, Uuid};
use metadata::{LoaderUpdate, MetadataImage, PartitionRegistration};
use raft::ReplicaKey;
use replica::Partition;

use super::broker::Broker;
use crate::committed::QuorumCommits;
use crate::log::records::{Seen, read_all, read_from};

/// Everything that was ever seen of the cluster.
pub(crate) struct Checker {
    /// The leader of each epoch of the quorum.
    controllers: BTreeMap<i32, i32>,
    /// The leader of each epoch of each partition.
    leaders: BTreeMap<(TopicIdPartition, i32), i32>,
    /// What the metadata are, by their offset.
    images: BTreeMap<i64, MetadataImage>,
    /// The newest of them: all of it is committed.
    pub newest: Arc<MetadataImage>,
    /// What was acknowledged, by its offset.
    pub acknowledged: BTreeMap<TopicIdPartition, BTreeMap<i64, u64>>,
    /// What readers of committed records have seen.
    read: BTreeMap<TopicIdPartition, BTreeMap<i64, Seen>>,
    /// Topics whose creation was acknowledged.
    pub created: BTreeMap<Uuid, String>,
    /// Topics whose deletion was asked for; whether it was acknowledged.
    pub deleted: BTreeMap<Uuid, bool>,
    /// Who was added or removed for sure, and nothing else was asked since.
    pub voters: BTreeMap<ReplicaKey, Option<bool>>,
    /// Where each value is that was read.
    places: BTreeMap<u64, (TopicIdPartition, i64)>,
    /// The epochs of leaders that were looked at when they began.
    begun: BTreeSet<(TopicIdPartition, i32)>,
    /// What the leaders of the quorum have committed.
    pub commits: QuorumCommits,
    pub writes: u64,
    pub checks: u64,
}

impl Checker {
    pub fn new() -> Checker {
        Checker {
            controllers: BTreeMap::new(),
            leaders: BTreeMap::new(),
            images: BTreeMap::new(),
            newest: Arc::new(MetadataImage::empty()),
            acknowledged: BTreeMap::new(),
            read: BTreeMap::new(),
            created: BTreeMap::new(),
            deleted: BTreeMap::new(),
            voters: BTreeMap::new(),
            places: BTreeMap::new(),
            begun: BTreeSet::new(),
            commits: QuorumCommits::default(),
            writes: 0,
            checks: 0,
        }
    }

    pub fn controls(&mut self, node: i32, epoch: i32) -> Result<(), String> {
        match *self.controllers.entry(epoch).or_insert(node) {
            leader if leader == node => Ok(()),
            leader => Err(format!("nodes {leader} and {node} both lead epoch {epoch} of the quorum")),
        }
    }

    /// A node has a new image. `note` hears of leaders, their epochs and ISRs that are new.
    pub fn is_at(
        &mut self,
        node: i32,
        update: &LoaderUpdate,
        note: impl Fn(TopicIdPartition, i32, i32, &[i32]),
    ) -> Result<(), String> {
        self.checks += 1;
        let image = &update.image;
        let offset = image.offset();
        self.commits.acts_on(node, offset + 1)?;
        let content = MetadataImage { provenance: MetadataImage::empty().provenance, ..image.clone() };
        match self.images.get(&offset) {
            Some(known) if *known != content => {
                return Err(format!("node {node} has other metadata at offset {offset} than another had"));
            }
            Some(_) => {}
            None => drop(self.images.insert(offset, content)),
        }
        for (topic_id, topic) in update.delta.topics_delta().iter().flat_map(|topics| &topics.changed_topics)
        {
            for (index, partition) in &topic.partition_changes {
                let id = TopicIdPartition { topic_id: *topic_id, partition: *index };
                if offset > self.newest.offset()
                    && let Some(before) = self.newest.topics.partition(topic_id, *index)
                {
                    was_eligible(id, before, partition)?;
                }
                let known = self.leaders.entry((id, partition.leader_epoch)).or_insert_with(|| {
                    note(id, partition.leader, partition.leader_epoch, &partition.isr);
                    partition.leader
                });
                let known = *known;
                if known != partition.leader {
                    let epoch = partition.leader_epoch;
                    return Err(format!(
                        "{known} and {} both lead epoch {epoch} of {id:?}",
                        partition.leader
                    ));
                }
            }
        }
        if offset > self.newest.offset() {
            self.newest = Arc::new(image.clone());
            // Nodes that are behind come by again; those that never do are looked at in the end.
            while self.images.len() > 2000 {
                self.images.pop_first();
            }
        }
        Ok(())
    }

    /// Records of a batch are acknowledged, the last of them at an offset.
    pub fn acknowledge(
        &mut self,
        of: TopicIdPartition,
        values: &[u64],
        last_offset: i64,
    ) -> Result<(), String> {
        self.writes += 1;
        let known = self.acknowledged.entry(of).or_default();
        let first_offset = last_offset + 1 - values.len() as i64;
        for (offset, value) in (first_offset..).zip(values) {
            if let Some(before) = known.insert(offset, *value) {
                return Err(format!("{before} and {value} were acknowledged at offset {offset} of {of:?}"));
            }
        }
        Ok(())
    }

    /// Looks at what a broker says is committed.
    pub fn look_at(&mut self, broker: &mut Broker) -> Result<(), String> {
        let id = broker.node_id();
        for (of, partition) in broker.partitions() {
            let log = partition.log();
            let high_watermark = log.high_watermark();
            let (before, looked_at) =
                broker.seen.get(&of).copied().unwrap_or((high_watermark, log.log_start_offset()));
            if high_watermark < before {
                return Err(format!(
                    "the high watermark of {of:?} on {id} went from {before} back to {high_watermark}"
                ));
            }
            if high_watermark > log.log_end_offset() {
                return Err(format!("{id} has committed more of {of:?} than it has"));
            }
            if partition.is_offline() || self.deleted.contains_key(&of.topic_id) {
                continue;
            }
            if partition.is_leader() {
                self.begins(id, of, &partition)?;
            }
            if high_watermark > looked_at {
                let read = self.read.entry(of).or_default();
                for seen in read_committed(&log, looked_at, high_watermark)? {
                    self.checks += 1;
                    let offset = seen.offset;
                    if let Some(value) = seen.value
                        && let Some(before) = self.places.insert(value, (of, offset))
                        && before != (of, offset)
                    {
                        return Err(format!(
                            "a record of an idempotent producer is twice in {of:?}: {seen:?}, and at {}",
                            before.1
                        ));
                    }
                    let known = read.entry(offset).or_insert_with(|| seen.clone());
                    if *known != seen {
                        return Err(format!(
                            "at offset {offset} of {of:?} broker {id} has {seen:?}, and somebody read {known:?}"
                        ));
                    }
                }
            }
            broker.seen.insert(of, (high_watermark, looked_at.max(high_watermark)));
        }
        Ok(())
    }

    /// The leader that the newest metadata name has all that was acknowledged, when it begins.
    fn begins(&mut self, id: i32, of: TopicIdPartition, partition: &Partition) -> Result<(), String> {
        let epoch = partition.leader_epoch();
        let newest = self.newest.topics.partition(&of.topic_id, of.partition);
        if newest.is_none_or(|newest| (newest.leader, newest.leader_epoch) != (id, epoch))
            || !self.begun.insert((of, epoch))
        {
            return Ok(());
        }
        let Some(acknowledged) = self.acknowledged.get(&of) else { return Ok(()) };
        let content: BTreeMap<i64, Option<u64>> =
            read_all(&partition.log(), 4000)?.into_iter().map(|seen| (seen.offset, seen.value)).collect();
        self.checks += 1;
        for (offset, value) in acknowledged {
            let found = content.get(offset).copied().flatten();
            if found != Some(*value) {
                return Err(format!(
                    "{id} leads epoch {epoch} of {of:?} and lacks {value}, which was acknowledged at {offset}: {found:?} is there"
                ));
            }
        }
        Ok(())
    }

    /// Nothing fails any more: all brokers are the same, and have all that was acknowledged, once.
    pub fn look_at_the_end(&mut self, brokers: &BTreeMap<i32, &Broker>) -> Result<(), String> {
        let newest = Arc::clone(&self.newest);
        for (id, broker) in brokers {
            broker.follows_its_image()?;
            let same = MetadataImage { provenance: newest.provenance, ..(*broker.image).clone() };
            if same != *newest {
                return Err(format!(
                    "when nothing fails any more, {id} is at {} and the metadata at {}",
                    broker.image.offset(),
                    newest.offset()
                ));
            }
        }
        for (id, name) in &self.created {
            if newest.topics.topic_by_id(id).is_none() && !self.deleted.contains_key(id) {
                return Err(format!("the topic {name} was created, and is not there"));
            }
        }
        for (id, _) in self.deleted.iter().filter(|(_, is_sure)| **is_sure) {
            if newest.topics.topic_by_id(id).is_some() {
                return Err(format!("the topic {id} was deleted, and is there"));
            }
        }
        for topic in newest.topics.sorted() {
            for (index, registration) in &topic.partitions {
                let of = TopicIdPartition { topic_id: topic.id, partition: *index };
                let name = format!("{}-{index}", topic.name);
                let (mut isr, mut replicas) = (registration.isr.clone(), registration.replicas.clone());
                isr.sort_unstable();
                replicas.sort_unstable();
                if !registration.adding_replicas.is_empty() || !registration.removing_replicas.is_empty() {
                    return Err(format!(
                        "when nothing fails any more, {name} is still moved: {registration:?}"
                    ));
                }
                if isr != replicas {
                    return Err(format!(
                        "when nothing fails any more, {isr:?} of {replicas:?} are in sync for {name}"
                    ));
                }
                let mut logs = Vec::new();
                for replica in &replicas {
                    let broker =
                        brokers.get(replica).ok_or_else(|| format!("broker {replica} is not there"))?;
                    let partition =
                        broker.partition(&of).ok_or_else(|| format!("{name} is not on broker {replica}"))?;
                    let log = partition.log();
                    if registration.leader == *replica && log.high_watermark() != log.log_end_offset() {
                        return Err(format!(
                            "when nothing fails any more, the end of {name} is not committed"
                        ));
                    }
                    logs.push(match &*topic.name == common::topic::GROUP_METADATA_TOPIC {
                        true => (log.log_end_offset(), Vec::new()),
                        false => (log.log_end_offset(), read_all(&log, 4000)?),
                    });
                }
                if logs.windows(2).any(|pair| pair[0] != pair[1]) {
                    return Err(format!("the logs of {name} differ"));
                }
                let Some((_, content)) = logs.pop() else { continue };
                self.is_whole(of, &name, &content)?;
            }
        }
        Ok(())
    }

    fn is_whole(&self, of: TopicIdPartition, name: &str, content: &[Seen]) -> Result<(), String> {
        for (offset, value) in self.acknowledged.get(&of).into_iter().flatten() {
            let found = content.iter().find(|seen| seen.offset == *offset).and_then(|seen| seen.value);
            if found != Some(*value) {
                return Err(format!("{value} was acknowledged at {offset} of {name}, where {found:?} is"));
            }
        }
        let mut values = BTreeMap::new();
        for seen in content {
            if let Some(before) = values.insert(seen.value, seen) {
                return Err(format!(
                    "a record of an idempotent producer is twice in {name}: {before:?}, {seen:?}"
                ));
            }
        }
        // One at a time: what a producer sent later lies behind.
        let mut last: BTreeMap<i64, i32> = BTreeMap::new();
        for seen in content {
            let (producer, sequence) = seen.producer;
            if last.insert(producer, sequence).is_some_and(|before| sequence != before + 1) {
                return Err(format!("the records of producer {producer} in {name} are not in their order"));
            }
        }
        Ok(())
    }
}

/// Records, but for those of coordinators: their batches are looked at, and no more.
fn read_committed(log: &storage::Log, from: i64, to: i64) -> Result<Vec<Seen>, String> {
    if &*log.topic_partition().topic == common::topic::GROUP_METADATA_TOPIC {
        return Ok(Vec::new());
    }
    read_from(log, from, to, 4000)
}

/// Who is elected was in sync, or is known to have all that is committed (an eligible leader replica); or it led last, and of those
/// nobody is left. Of two changes of a partition that are seen as one nothing can be said, nor of the end of a move: whom the leader
/// has asked to be in sync may lead with that.
fn was_eligible(
    of: TopicIdPartition,
    before: &PartitionRegistration,
    now: &PartitionRegistration,
) -> Result<(), String> {
    let eligible = [&before.isr, &before.elr];
    let elected = now.leader >= 0 && now.leader != before.leader;
    let moves = !before.adding_replicas.is_empty() || !before.removing_replicas.is_empty();
    let led_last = now.elr.is_empty() && before.isr.is_empty() && before.last_known_elr.contains(&now.leader);
    if elected
        && now.partition_epoch == before.partition_epoch + 1
        && eligible.iter().all(|ids| !ids.contains(&now.leader))
        && !led_last
        && !moves
    {
        return Err(format!("{} is elected to lead {of:?}, of which only {eligible:?} have all", now.leader));
    }
    Ok(())
}
