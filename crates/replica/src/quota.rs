//! Throttles of replication (`ReplicationQuotaManager`): what a leader sends to, and what a follower fetches for, replicas that are
//! not in sync may be held below a rate, so that a reassignment leaves room for everybody else.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

/// No limit.
pub const UNLIMITED: i64 = i64::MAX;

/// A rate that throttled replicas share, in bytes per second.
pub struct ReplicationQuota {
    bytes_per_second: AtomicI64,
    samples: Mutex<Samples>,
}

/// Bytes by window: the present one and full ones before it (`replication.quota.window.num`,
/// `replication.quota.window.size.seconds`).
struct Samples {
    windows: Vec<(i64, i64)>,
    count: usize,
    size_ms: i64,
}

impl ReplicationQuota {
    /// A quota without a limit, measured over so many windows.
    pub fn new(windows: usize, window_ms: i64) -> ReplicationQuota {
        ReplicationQuota {
            bytes_per_second: AtomicI64::new(UNLIMITED),
            samples: Mutex::new(Samples {
                windows: Vec::new(),
                count: windows.max(2),
                size_ms: window_ms.max(1),
            }),
        }
    }

    /// Changes the limit.
    pub fn set_bytes_per_second(&self, limit: i64) {
        self.bytes_per_second.store(limit, Ordering::Relaxed);
    }

    /// Takes note of bytes of throttled replicas.
    pub fn record(&self, bytes: usize, now_ms: i64) {
        if self.bytes_per_second.load(Ordering::Relaxed) != UNLIMITED && bytes > 0 {
            self.samples.lock().record(bytes as i64, now_ms);
        }
    }

    /// Whether throttled replicas have had their share.
    pub fn is_exceeded(&self, now_ms: i64) -> bool {
        let limit = self.bytes_per_second.load(Ordering::Relaxed);
        limit != UNLIMITED && self.samples.lock().bytes_per_second(now_ms) > limit as f64
    }
}

impl Samples {
    fn record(&mut self, bytes: i64, now_ms: i64) {
        let window = now_ms.div_euclid(self.size_ms);
        self.forget(window);
        match self.windows.last_mut() {
            Some((last, sum)) if *last == window => *sum = sum.saturating_add(bytes),
            _ => self.windows.push((window, bytes)),
        }
    }

    /// Over at least all windows but one, so that the first bytes do not look like a high rate.
    fn bytes_per_second(&mut self, now_ms: i64) -> f64 {
        let window = now_ms.div_euclid(self.size_ms);
        self.forget(window);
        let bytes: i64 = self.windows.iter().map(|(_, sum)| sum).sum();
        let into_window_ms = now_ms.rem_euclid(self.size_ms);
        let elapsed_ms = (self.count as i64 - 1) * self.size_ms + into_window_ms;
        bytes as f64 * 1000.0 / elapsed_ms as f64
    }

    fn forget(&mut self, window: i64) {
        let first = window - self.count as i64 + 1;
        // Windows of the future were written before the clock was set back.
        self.windows.retain(|(at, _)| (first..=window).contains(at));
    }
}

/// Whether one replica is throttled, by the settings of its topic.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    leading: AtomicBool,
    following: AtomicBool,
}

impl Throttles {
    pub(crate) fn set(&self, leading: bool, following: bool) {
        self.leading.store(leading, Ordering::Relaxed);
        self.following.store(following, Ordering::Relaxed);
    }

    pub(crate) fn leading(&self) -> bool {
        self.leading.load(Ordering::Relaxed)
    }

    pub(crate) fn following(&self) -> bool {
        self.following.load(Ordering::Relaxed)
    }
}

/// Which replicas a topic throttles (`leader.replication.throttled.replicas` and the same for followers).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Partitions and brokers.
    Some(Vec<(i32, i32)>),
}

impl ThrottledReplicas {
    /// From the elements of the setting: `partition:broker`, or `*`. What is neither was refused when it was set.
    pub fn parse(elements: &[String]) -> ThrottledReplicas {
        if elements.iter().any(|element| element.trim() == "*") {
            return ThrottledReplicas::All;
        }
        let replicas: Vec<(i32, i32)> = elements
            .iter()
            .filter_map(|element| element.split_once(':'))
            .filter_map(|(partition, broker)| {
                Some((partition.trim().parse().ok()?, broker.trim().parse().ok()?))
            })
            .collect();
        if replicas.is_empty() { ThrottledReplicas::None } else { ThrottledReplicas::Some(replicas) }
    }

    /// Whether it names a partition's replica on a broker.
    pub fn contains(&self, partition: i32, broker: i32) -> bool {
        match self {
            ThrottledReplicas::None => false,
            ThrottledReplicas::All => true,
            ThrottledReplicas::Some(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured_over_its_windows() {
        let quota = ReplicationQuota::new(11, 1000);
        quota.record(1 << 40, 0);
        assert!(!quota.is_exceeded(0), "without a limit nothing is measured");
        quota.set_bytes_per_second(1000);
        quota.record(9_900, 50_000);
        assert!(!quota.is_exceeded(50_000));
        quota.record(1_000, 50_500);
        assert!(quota.is_exceeded(50_500));
        assert!(!quota.is_exceeded(50_999), "it goes down while nothing comes");
        quota.record(200_000, 51_000);
        assert!(quota.is_exceeded(60_999));
        assert!(!quota.is_exceeded(62_000), "windows that are over do not count");
        quota.record(200_000, 63_000);
        quota.set_bytes_per_second(UNLIMITED);
        assert!(!quota.is_exceeded(63_000));
    }

    #[test]
    fn replicas_are_named_or_all_are_meant() {
        let parse =
            |text: &str| ThrottledReplicas::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse(""), ThrottledReplicas::None);
        assert!(parse("*").contains(7, 9));
        let some = parse("0:1, 2:3");
        assert!(some.contains(0, 1) && some.contains(2, 3) && !some.contains(0, 3));
    }
}
