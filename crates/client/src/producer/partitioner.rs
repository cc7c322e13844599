//! Which partition a record goes to (`BuiltInPartitioner`, KIP-794).

use std::collections::HashMap;

use crate::TopicInfo;

/// Chooses partitions for records that name none.
#[derive(Default)]
pub(crate) struct Partitioner {
    sticky: HashMap<String, Sticky>,
}

/// The partition that records without key go to for now.
struct Sticky {
    partition: i32,
    bytes: usize,
}

impl Partitioner {
    /// By the key's hash; without a key one partition for `batch_size` bytes, then another.
    pub(crate) fn partition(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        info: &TopicInfo,
        size: usize,
        batch_size: usize,
    ) -> i32 {
        let count = info.partitions.len().max(1) as i32;
        if let Some(key) = key {
            return (murmur2(key) & i32::MAX) % count;
        }
        if !self.sticky.contains_key(topic) {
            self.sticky.insert(topic.to_owned(), Sticky { partition: any_partition(info), bytes: 0 });
        }
        let Some(sticky) = self.sticky.get_mut(topic) else { return 0 };
        if sticky.bytes >= batch_size || sticky.partition >= count {
            *sticky = Sticky { partition: any_partition(info), bytes: 0 };
        }
        sticky.bytes += size;
        sticky.partition
    }
}

/// A random partition, of those with a leader where there is one.
fn any_partition(info: &TopicInfo) -> i32 {
    let led: Vec<i32> = info
        .partitions
        .iter()
        .filter(|partition| partition.leader >= 0)
        .map(|partition| partition.partition)
        .collect();
    match led.len() {
        0 => 0,
        count => led[rand::random_range(0..count)],
    }
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

    fn topic(count: i32) -> TopicInfo {
        let partitions =
            (0..count).map(|partition| PartitionInfo { partition, leader: 1, leader_epoch: 0 }).collect();
        TopicInfo { name: "t".to_owned(), id: common::Uuid::ZERO, partitions }
    }

    #[test]
    fn records_without_key_stick_for_a_batch_and_those_with_one_always() {
        let mut partitioner = Partitioner::default();
        let info = topic(50);
        let first = partitioner.partition("t", None, &info, 100, 300);
        assert_eq!(partitioner.partition("t", None, &info, 100, 300), first);
        assert_eq!(partitioner.partition("t", None, &info, 100, 300), first);
        let later: Vec<i32> = (0..30).map(|_| partitioner.partition("t", None, &info, 300, 300)).collect();
        assert!(later.iter().any(|partition| *partition != first));
        let of_key = (murmur2(b"key") & i32::MAX) % 50;
        assert!((0..5).all(|_| partitioner.partition("t", Some(b"key"), &info, 100, 300) == of_key));
    }
}
