//! The hash of what a group's assignment depends on (Kafka's `Utils.computeGroupHash` and `computeTopicHash`). It stands in
//! the group's record, so it is Kafka's to the bit: with another one each change of the broker would be a rebalance.

use std::collections::BTreeMap;

use twox_hash::XxHash3_64;

use crate::topics::{Topics, TopicsImage};

/// The version of the topic's hash.
const TOPIC_HASH_MAGIC: u8 = 0;

/// Text as the hash takes it: its UTF-16 units, and then their number.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut units = 0i32;
    for unit in text.encode_utf16() {
        bytes.extend(unit.to_le_bytes());
        units += 1;
    }
    bytes.extend(units.to_le_bytes());
}

/// The hash of a topic's id, name, partitions and their racks. None if there is no such topic.
pub(crate) fn topic_hash(name: &str, topics: &dyn TopicsImage) -> Option<i64> {
    let id = topics.topic_id(name)?.as_u128();
    let partitions = topics.partition_count(name)?;
    let mut bytes = vec![TOPIC_HASH_MAGIC];
    bytes.extend(((id >> 64) as u64).to_le_bytes());
    bytes.extend((id as u64).to_le_bytes());
    put_text(&mut bytes, name);
    bytes.extend(partitions.to_le_bytes());
    for partition in 0..partitions {
        bytes.extend(partition.to_le_bytes());
        let mut racks = topics.partition_racks(name, partition);
        // In Java's order, which is that of the UTF-16 units.
        racks.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        for rack in racks {
            bytes.extend((rack.encode_utf16().count() as i32).to_le_bytes());
            put_text(&mut bytes, &rack);
        }
    }
    Some(XxHash3_64::oneshot(&bytes) as i64)
}

/// The hash of these topics. Those that do not exist are not in it.
pub(crate) fn metadata_hash<'n>(names: impl Iterator<Item = &'n str>, topics: &Topics) -> i64 {
    group_hash(&topics.hashes(names))
}

fn group_hash(topics: &BTreeMap<&str, i64>) -> i64 {
    if topics.is_empty() {
        return 0;
    }
    let mut sorted: Vec<_> = topics.iter().collect();
    sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
    let bytes: Vec<u8> = sorted.into_iter().flat_map(|(_, hash)| hash.to_le_bytes()).collect();
    XxHash3_64::oneshot(&bytes) as i64
}
