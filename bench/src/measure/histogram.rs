//! A histogram of durations in nanoseconds, exact to one part in 128.

use std::time::Duration;

const SUB_BITS: u32 = 7;
const SUB_COUNT: usize = 1 << SUB_BITS;
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) * SUB_COUNT;

/// Counts values in buckets whose width grows with the value.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB_COUNT as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - SUB_BITS;
    ((shift as usize + 1) << SUB_BITS) + (value >> shift) as usize - SUB_COUNT
}

/// The largest value that falls into a bucket.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < SUB_COUNT {
        return bucket as u64;
    }
    let shift = (bucket >> SUB_BITS) - 1;
    let mantissa = (bucket & (SUB_COUNT - 1)) + SUB_COUNT;
    (((mantissa as u128 + 1) << shift) - 1).min(u128::from(u64::MAX)) as u64
}

impl Histogram {
    pub fn record(&mut self, duration: Duration) {
        let value = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    /// The value below which a share (0 to 1) of all values lies, in microseconds; not a number if there are none.
    pub fn micros(&self, share: f64) -> f64 {
        if self.total == 0 {
            return f64::NAN;
        }
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index).min(self.max) as f64 / 1000.0;
            }
        }
        self.max as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_holds_it_closely() {
        for shift in 0..64 {
            for near in [0u64, 1, 5] {
                let value = (1u64 << shift).saturating_add(near << (shift / 2));
                let bound = upper_bound(bucket(value));
                assert!(bound >= value && bound - value <= value / SUB_COUNT as u64, "{value} {bound}");
            }
        }
        assert_eq!(upper_bound(bucket(u64::MAX)), u64::MAX);
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::default();
        assert!(histogram.micros(0.5).is_nan());
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0), (0.0, 1.0)] {
            let found = histogram.micros(share);
            assert!((found - expected).abs() <= expected / 100.0, "{share}: {found}");
        }
    }

    #[test]
    fn histograms_add_up() {
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(10));
        two.record(Duration::from_micros(30));
        one.add(&two);
        assert_eq!(one.count(), 2);
        assert!((one.micros(1.0) - 30.0).abs() < 0.5);
    }
}
