//! Keeps the cleaners below a rate (`Throttler`).

use std::time::Duration;

use parking_lot::Mutex;

/// How long is counted before the rate is looked at.
const CHECK_INTERVAL_NS: u64 = 300_000_000;

/// Counts bytes, over all cleaners.
pub(super) struct Throttler {
    bytes_per_second: f64,
    period: Mutex<Period>,
}

#[derive(Default)]
struct Period {
    started_ns: Option<u64>,
    bytes: u64,
}

impl Throttler {
    pub fn new(bytes_per_second: f64) -> Throttler {
        Throttler { bytes_per_second, period: Mutex::new(Period::default()) }
    }

    /// Notes that bytes were read or written. Returns how long the caller must wait to stay below the rate.
    pub fn observe(&self, bytes: u64, now_ns: u64) -> Option<Duration> {
        let mut period = self.period.lock();
        let started_ns = *period.started_ns.get_or_insert(now_ns);
        period.bytes += bytes;
        let elapsed_ns = now_ns.saturating_sub(started_ns);
        if elapsed_ns <= CHECK_INTERVAL_NS {
            return None;
        }
        let due_seconds = period.bytes as f64 / self.bytes_per_second.max(1.0);
        *period = Period { started_ns: Some(now_ns), bytes: 0 };
        let wait = due_seconds - elapsed_ns as f64 / 1e9;
        (wait > 0.001).then(|| {
            // What is waited for is not counted again.
            let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
            period.started_ns =
                Some(now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)));
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept() {
        let throttler = Throttler::new(1000.0);
        let (mut now_ns, mut bytes) = (5_000_000_000_u64, 0);
        let start_ns = now_ns;
        while now_ns < start_ns + 100_000_000_000 {
            bytes += 100;
            now_ns += 1_000_000;
            if let Some(wait) = throttler.observe(100, now_ns) {
                now_ns += wait.as_nanos() as u64;
            }
        }
        let rate = bytes as f64 / ((now_ns - start_ns) as f64 / 1e9);
        assert!((900.0..=1100.0).contains(&rate), "{rate}");
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let throttler = Throttler::new(f64::MAX);
        assert!((0..100).all(|n| throttler.observe(1 << 40, n * 1_000_000_000).is_none()));
    }
}
