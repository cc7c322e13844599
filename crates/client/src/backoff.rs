//! Pauses before something is tried again: twice as long after each try that failed, and of another length for each client, so that
//! those who failed together do not come back together (`ExponentialBackoff`, KIP-580).

use std::time::Duration;

use crate::ClientConfig;

/// A fifth more or less is left to chance.
const JITTER: f64 = 0.2;

/// What follows when `failed` tries have failed before: `first` doubled so often, about, and never more than `longest`.
pub(crate) fn after(first: Duration, longest: Duration, failed: u32) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(failed).unwrap_or(u32::MAX)).min(longest);
    doubled.mul_f64(rand::random_range(1.0 - JITTER..1.0 + JITTER)).min(longest)
}

/// Counts the tries of one operation.
pub(crate) struct Retries<'a> {
    config: &'a ClientConfig,
    failed: u32,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(config: &'a ClientConfig) -> Retries<'a> {
        Retries { config, failed: 0 }
    }

    /// A try failed: how long until the next one.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.config.retry_pause(self.failed);
        self.failed = self.failed.saturating_add(1);
        pause
    }

    /// A try failed: waits until the next one.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let ms = Duration::from_millis;
        for (failed, expected) in [(0, 100), (1, 200), (3, 800), (4, 1000), (31, 1000), (200, 1000)] {
            for _ in 0..100 {
                let pause = after(ms(100), ms(1000), failed);
                let (least, most) = (ms(expected).mul_f64(0.8), ms(expected).mul_f64(1.2).min(ms(1000)));
                assert!(least <= pause && pause <= most, "{failed}: {pause:?}");
            }
        }
        // What begins above the longest is always that long.
        assert!(after(ms(500), ms(50), 0) <= ms(50));
        assert_eq!(after(Duration::ZERO, ms(50), 9), Duration::ZERO);
    }
}
