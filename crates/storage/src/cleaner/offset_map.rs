//! The last offset of each key, in memory of a fixed size (`SkimpyOffsetMap`).

use std::hash::{BuildHasher, Hasher, RandomState};

/// Memory of one entry: 16 bytes of hash, 8 of offset.
pub(super) const BYTES_PER_ENTRY: usize = 24;

/// An entry; all zero is none.
type Slot = [u64; 3];

/// From a key's hash to the last offset that it was seen at. Keys are not kept: two keys with one hash would be one key.
///
/// Divergence: Kafka hashes with MD5, of which a producer can find two keys that are alike, and so delete another's record. Here the
/// 128 bits are two SipHashes with secrets of their own, drawn for each map.
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    max_entries: usize,
    entries: usize,
    latest_offset: i64,
    first: RandomState,
    second: RandomState,
}

impl OffsetMap {
    /// A map for at most `wanted` entries, or as many as fit in `memory` bytes when that is full to `load_factor`. Its pages are not
    /// touched before they are used.
    pub fn new(memory: usize, load_factor: f64, wanted: u64) -> OffsetMap {
        // Never quite full: a search ends at a free slot.
        let load_factor = load_factor.clamp(0.01, 0.99);
        let most = (memory / BYTES_PER_ENTRY).max(2);
        let slots = ((wanted as f64 + 1.0) / load_factor).ceil() + 1.0;
        let slots = if slots >= most as f64 { most } else { slots as usize };
        OffsetMap {
            max_entries: ((slots as f64 * load_factor) as usize).clamp(1, slots - 1),
            slots: vec![[0; 3]; slots],
            entries: 0,
            latest_offset: -1,
            first: RandomState::new(),
            second: RandomState::new(),
        }
    }

    /// Notes that a key was seen at an offset. Returns false, and notes nothing, if there is no room for another key.
    pub fn put(&mut self, key: &[u8], offset: i64) -> bool {
        if self.entries >= self.max_entries {
            return false;
        }
        let hash = self.hash(key);
        let index = self.find(hash);
        if let Some(slot) = self.slots.get_mut(index) {
            if *slot == [0; 3] {
                self.entries += 1;
            }
            // One more, so that no entry is all zero.
            *slot = [hash[0], hash[1], offset as u64 + 1];
        }
        self.latest_offset = offset;
        true
    }

    /// The last offset of a key; -1 if it was not seen.
    pub fn get(&self, key: &[u8]) -> i64 {
        let index = self.find(self.hash(key));
        self.slots.get(index).map_or(-1, |slot| slot[2] as i64 - 1)
    }

    /// Up to where the map knows every key.
    pub fn latest_offset(&self) -> i64 {
        self.latest_offset
    }

    /// Says that it knows every key up to `offset`.
    pub fn update_latest_offset(&mut self, offset: i64) {
        self.latest_offset = offset;
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Bytes that the map may take.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.slots.len() * BYTES_PER_ENTRY
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(key);
            hasher.finish()
        };
        [hash(&self.first), hash(&self.second)]
    }

    /// The slot of a hash, or the free one where it belongs.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut index = ((u128::from(hash[0]) * count as u128) >> 64) as usize;
        loop {
            match self.slots.get(index) {
                Some(slot) if *slot != [0; 3] && slot[..2] != hash => {}
                _ => return index,
            }
            index += 1;
            if index == count {
                index = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known() {
        let mut map = OffsetMap::new(1 << 20, 0.9, 10_000);
        let mut model = HashMap::new();
        for offset in 0..30_000_i64 {
            let key = (offset * 7919 % 10_000).to_be_bytes();
            assert!(map.put(&key, offset));
            model.insert(key, offset);
        }
        assert_eq!((map.len(), map.latest_offset()), (10_000, 29_999));
        assert!(model.iter().all(|(key, offset)| map.get(key) == *offset));
        assert_eq!(map.get(b"another"), -1);
        assert_eq!(map.get(b""), -1);
        assert!(map.put(b"", 40_000));
        assert_eq!(map.get(b""), 40_000);
        map.update_latest_offset(50_000);
        assert_eq!(map.latest_offset(), 50_000);
    }

    #[test]
    fn memory_is_bounded() {
        let mut map = OffsetMap::new(2400, 0.5, u64::MAX);
        assert_eq!(map.memory(), 2400);
        let taken = (0..1000_i64).take_while(|offset| map.put(&offset.to_be_bytes(), *offset)).count();
        assert_eq!((taken, map.len(), map.latest_offset()), (50, 50, 49));
        assert!(!map.put(b"new", 99));
        assert_eq!(map.latest_offset(), 49);
        assert!((0..50_i64).all(|offset| map.get(&offset.to_be_bytes()) == offset));
        // As small as it gets, one key still fits: cleaning goes on, if slowly.
        assert!(OffsetMap::new(0, 0.9, 100).put(b"key", 1));
    }

    #[test]
    fn a_small_log_takes_little_memory() {
        let mut map = OffsetMap::new(128 << 20, 0.9, 1000);
        assert!(map.memory() < 32 << 10);
        assert!((0..1000_i64).all(|offset| map.put(&offset.to_be_bytes(), offset)));
    }
}
