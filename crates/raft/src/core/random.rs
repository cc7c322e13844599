//! Randomness whose whole state is its seed, so that a run can be repeated.

use common::SplitMix64;

/// What timeouts are drawn from.
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// A generator that begins at `seed`.
    pub fn new(seed: u64) -> Random {
        Random(SplitMix64::new(seed))
    }

    /// A number from 0 up to `bound`, exclusive; 0 where there is none.
    pub fn below(&mut self, bound: i64) -> i64 {
        match u64::try_from(bound) {
            Ok(bound) if bound > 0 => (self.0.next_u64() % bound) as i64,
            _ => 0,
        }
    }
}
