//! Randomness that follows from a seed, so that the same request on the same state makes the same records.

use common::{SplitMix64, Uuid};

/// Good enough to spread replicas and to name topics.
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Random {
        Random(SplitMix64::new(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 up to below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// An id as `Uuid.randomUuid` makes them: version 4, not reserved, and without a dash in front.
    pub fn uuid(&mut self) -> Uuid {
        loop {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
            bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Uuid(bytes);
            if !id.is_reserved() && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let mut a = Random::new(7);
        let mut b = Random::new(7);
        assert_eq!((a.uuid(), a.uuid()), (b.uuid(), b.uuid()));
        assert_ne!(Random::new(7).uuid(), Random::new(8).uuid());
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<i32> = (0..50).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
