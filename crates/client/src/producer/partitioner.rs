//! Which partition a record goes to (`BuiltInPartitioner`, KIP-794).

use std::collections::BTreeSet;

use crate::TopicInfo;

/// The partition that records without key go to for now.
pub(crate) struct Sticky {
    pub(crate) partition: i32,
    pub(crate) bytes: usize,
}

impl Sticky {
    /// Whether the next record goes there, too. It may take twice a batch, so as not to leave one behind that is half full.
    pub(crate) fn stays(&self, batch_size: usize, has_only_full_batches: bool) -> bool {
        let batch_size = batch_size.max(1);
        self.bytes < batch_size || (self.bytes < 2 * batch_size && !has_only_full_batches)
    }
}

/// How much waits for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// So many batches.
    Queued(usize),
    /// Its leader takes nothing (`partitioner.availability.timeout.ms`).
    Stuck,
}

/// The partition of records with this key.
pub(crate) fn of_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & i32::MAX) % count.max(1)
}

/// The partitions whose leader is in the producer's rack.
pub(crate) type Near = BTreeSet<i32>;

/// The next partition for records without key, by chance: of those with a leader that takes something, the less waits for one
/// the likelier it is. As long as there are any among those that are near, one of them.
pub(crate) fn next(info: &TopicInfo, near: Option<&Near>, load: impl Fn(i32) -> Load) -> i32 {
    let led = info.partitions.iter().filter(|partition| partition.leader >= 0);
    let led: Vec<i32> = led.map(|partition| partition.partition).collect();
    let mut loads: Vec<(i32, usize)> = led
        .iter()
        .filter_map(|&partition| match load(partition) {
            Load::Queued(queued) => Some((partition, queued)),
            Load::Stuck => None,
        })
        .collect();
    if let Some(near) = near
        && loads.iter().any(|(partition, _)| near.contains(partition))
    {
        loads.retain(|(partition, _)| near.contains(partition));
    }
    let Some(most) = loads.iter().map(|(_, queued)| *queued).max() else {
        // Nobody takes anything, or nobody leads: one is as good as another.
        let any = if led.is_empty() { (0..info.partitions.len() as i32).collect() } else { led };
        return any.get(rand::random_range(0..any.len().max(1))).copied().unwrap_or(0);
    };
    let weight = |queued: usize| (most + 1 - queued) as u64;
    let mut chance = rand::random_range(0..loads.iter().map(|(_, queued)| weight(*queued)).sum::<u64>());
    for (partition, queued) in &loads {
        match chance.checked_sub(weight(*queued)) {
            Some(left) => chance = left,
            None => return *partition,
        }
    }
    0
}

/// The hash that every Kafka client takes for keys (`Utils.murmur2`).
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartitionInfo;

    #[test]
    fn hashes_are_those_of_the_java_client() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash, "{text}");
        }
    }

    fn topic(leaders: &[i32]) -> TopicInfo {
        let partition =
            |(partition, leader): (i32, &i32)| PartitionInfo { partition, leader: *leader, leader_epoch: 0 };
        let partitions = (0..).zip(leaders).map(partition).collect();
        TopicInfo { name: "t".to_owned(), id: common::Uuid::ZERO, partitions }
    }

    fn counts(info: &TopicInfo, load: impl Fn(i32) -> Load) -> Vec<usize> {
        let mut counts = vec![0; info.partitions.len()];
        for _ in 0..6000 {
            counts[next(info, None, &load) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_partition_is_left_when_its_batch_is_full() {
        let stays = |bytes, full| Sticky { partition: 0, bytes }.stays(100, full);
        assert!(stays(99, true) && stays(100, false) && stays(199, false));
        assert!(!stays(100, true) && !stays(200, false));
    }

    #[test]
    fn the_less_waits_the_likelier_it_is_chosen() {
        let info = topic(&[1, 1, -1, 1]);
        let even = counts(&info, |_| Load::Queued(3));
        assert!(
            even[2] == 0 && [0, 1, 3].iter().all(|index| (1600..2400).contains(&even[*index])),
            "{even:?}"
        );
        // Weights of 1, 3 and 2.
        let uneven = counts(&info, |partition| Load::Queued([2, 0, 0, 1][partition as usize]));
        assert!((700..1300).contains(&uneven[0]) && (2600..3400).contains(&uneven[1]), "{uneven:?}");
        let stuck = |partition| if partition == 0 { Load::Stuck } else { Load::Queued(0) };
        assert_eq!(counts(&info, stuck)[0], 0);
        // Where nobody takes anything, or nobody leads, every one that there is has its chance.
        let all_stuck = counts(&info, |_| Load::Stuck);
        assert!(all_stuck[2] == 0 && all_stuck[0] > 0 && all_stuck[3] > 0);
        assert!(counts(&topic(&[-1, -1]), |_| Load::Queued(0)).iter().all(|count| *count > 0));
    }

    #[test]
    fn what_is_near_is_chosen_while_it_takes_something() {
        let info = topic(&[1, 2, 1, 2]);
        let chosen = |near: &[i32], load: &dyn Fn(i32) -> Load| -> BTreeSet<i32> {
            let near = near.iter().copied().collect();
            (0..1000).map(|_| next(&info, Some(&near), load)).collect()
        };
        let idle = |_| Load::Queued(0);
        assert_eq!(chosen(&[1, 3], &idle), BTreeSet::from([1, 3]));
        assert_eq!(chosen(&[], &idle).len(), 4, "no leader is near");
        let stuck = |partition| if partition == 1 { Load::Stuck } else { Load::Queued(0) };
        assert_eq!(chosen(&[1, 3], &stuck), BTreeSet::from([3]));
        assert_eq!(chosen(&[1], &stuck), BTreeSet::from([0, 2, 3]), "what is near takes nothing");
    }
}
