//! A hash map in pieces, so that a copy with one change copies one piece.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::fast::FixedState;

/// How many pieces: with ten thousand topics a change copies about forty entries.
const SHARDS: usize = 256;

/// A map whose clones share what they have in common. An image of the cluster is copied for every change of a topic;
/// without this the price of one change would grow with the number of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardedMap<K: Eq + Hash, V> {
    /// Always [`SHARDS`] of them, or none while nothing was put in.
    shards: Vec<Arc<HashMap<K, V>>>,
    len: usize,
}

impl<K: Eq + Hash, V> Default for ShardedMap<K, V> {
    fn default() -> Self {
        ShardedMap { shards: Vec::new(), len: 0 }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> ShardedMap<K, V> {
    fn shard<Q: Hash + ?Sized>(key: &Q) -> usize {
        // The seed is fixed: equal maps must have equal pieces.
        FixedState::with_seed(0).hash_one(key) as usize % SHARDS
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.get(Self::shard(key))?.get(key)
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Arc::default);
        }
        let shard = &mut self.shards[Self::shard(&key)];
        let before = Arc::make_mut(shard).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = self.shards.get_mut(Self::shard(key)).filter(|shard| shard.contains_key(key))?;
        let removed = Arc::make_mut(shard).remove(key);
        self.len -= usize::from(removed.is_some());
        if self.len == 0 {
            self.shards.clear();
        }
        removed
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut map: ShardedMap<String, u32> = ShardedMap::default();
        assert_eq!((map.len(), map.get("a")), (0, None));
        assert_eq!(map.remove("a"), None);
        for number in 0..1000 {
            assert_eq!(map.insert(format!("key-{number}"), number), None);
        }
        assert_eq!(map.insert("key-7".to_owned(), 70), Some(7));
        assert_eq!((map.len(), map.get("key-7"), map.get("key-1000")), (1000, Some(&70), None));
        assert_eq!(map.values().count(), 1000);
        let before = map.clone();
        for number in 0..1000 {
            assert!(map.remove(&format!("key-{number}")).is_some());
        }
        assert_eq!(map, ShardedMap::default());
        assert_eq!(before.len(), 1000);
    }

    #[test]
    fn a_change_of_a_copy_leaves_the_other_pieces_shared() {
        let mut map: ShardedMap<u32, u32> = ShardedMap::default();
        for number in 0..10_000 {
            map.insert(number, number);
        }
        let mut copy = map.clone();
        copy.insert(5, 50);
        let shared = map.shards.iter().zip(&copy.shards).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, SHARDS - 1);
        assert_eq!((map.get(&5), copy.get(&5)), (Some(&5), Some(&50)));
        assert_ne!(map, copy);
    }
}
