//! Requests by their API (`RequestMetrics`): how many, how large, how long.
//!
//! Each thread counts in a shard that few others or none count in, by relaxed additions; whoever asks adds the shards up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use protocol::ApiKey;

use super::add;

/// In how many shards there is counting: threads beyond that share.
const SHARDS: usize = 16;
/// No API of Kafka 4.4 has a key as large.
const APIS: usize = 96;

/// Upper bounds of the buckets for times, in microseconds; behind them is one without a bound.
const BOUNDS_US: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];

/// One `T` for each shard, far enough from each other that no cache line has two.
pub(crate) struct Sharded<T>(Box<[Aligned<T>]>);

#[repr(align(128))]
struct Aligned<T>(T);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Sharded<T> {
        Sharded((0..SHARDS).map(|_| Aligned(T::default())).collect())
    }
}

impl<T> Sharded<T> {
    /// The shard of the thread that asks.
    pub(crate) fn own(&self) -> &T {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        &self.0[OWN.with(|own| *own)].0
    }

    /// The shards of all threads.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|shard| &shard.0)
    }

    /// A count of all shards.
    pub(crate) fn sum(&self, of: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.all().map(|shard| of(shard).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// Times, as a histogram.
#[derive(Default)]
struct Times {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Times {
    fn record(&self, time: Duration) {
        let micros = time.as_micros() as u64;
        add(&self.buckets[BOUNDS_US.partition_point(|bound| *bound < micros)], 1);
        add(&self.sum_ns, time.as_nanos() as u64);
    }
}

#[derive(Default)]
struct OfApi {
    local: Times,
    total: Times,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

struct Apis([OfApi; APIS]);

impl Default for Apis {
    fn default() -> Apis {
        Apis(std::array::from_fn(|_| OfApi::default()))
    }
}

/// The requests that were served.
#[derive(Default)]
pub(crate) struct RequestMetrics(Sharded<Apis>);

/// A histogram of times as it stands.
pub(crate) struct Histogram {
    pub(crate) sum_ms: f64,
    pub(crate) count: u64,
    /// Upper bounds in ms, and how many are in each bucket alone.
    pub(crate) buckets: Vec<(f64, u64)>,
}

/// The requests of one API.
pub(crate) struct RequestsOfApi {
    pub(crate) api: ApiKey,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// On the thread that read the request.
    pub(crate) local: Histogram,
    /// Until the answer was there.
    pub(crate) total: Histogram,
}

impl RequestMetrics {
    /// A request of this many bytes was handled in `local`; its answer may still be to come.
    pub(crate) fn handled(&self, api: i16, request_bytes: usize, local: Duration) {
        if let Some(of) = self.of(api) {
            of.local.record(local);
            add(&of.request_bytes, request_bytes as u64);
        }
    }

    /// Its answer is there.
    pub(crate) fn answered(&self, api: i16, response_bytes: usize, total: Duration) {
        if let Some(of) = self.of(api) {
            of.total.record(total);
            add(&of.response_bytes, response_bytes as u64);
        }
    }

    /// Nothing for a key that no API has: it came from the wire.
    fn of(&self, api: i16) -> Option<&OfApi> {
        self.0.own().0.get(usize::try_from(api).ok()?)
    }

    /// The APIs that were asked for.
    pub(crate) fn by_api(&self) -> Vec<RequestsOfApi> {
        let keys = (0..APIS as i16).filter_map(ApiKey::from_code);
        let all = keys.map(|api| {
            let index = api.code() as usize;
            RequestsOfApi {
                api,
                request_bytes: self.0.sum(|apis| &apis.0[index].request_bytes),
                response_bytes: self.0.sum(|apis| &apis.0[index].response_bytes),
                local: self.histogram(|apis| &apis.0[index].local),
                total: self.histogram(|apis| &apis.0[index].total),
            }
        });
        all.filter(|of| of.local.count > 0).collect()
    }

    fn histogram(&self, of: impl Fn(&Apis) -> &Times) -> Histogram {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e3).chain([f64::INFINITY]);
        let count = |bucket: usize| self.0.sum(|apis| &of(apis).buckets[bucket]);
        let buckets: Vec<(f64, u64)> =
            bounds.enumerate().map(|(bucket, bound)| (bound, count(bucket))).collect();
        Histogram {
            sum_ms: self.0.sum(|apis| &of(apis).sum_ns) as f64 / 1e6,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_are_added_up_and_keys_of_nobody_count_nowhere() {
        let metrics = RequestMetrics::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    metrics.handled(3, 100, Duration::from_micros(60));
                    metrics.answered(3, 10, Duration::from_millis(20));
                    metrics.handled(-1, 1, Duration::ZERO);
                    metrics.handled(i16::MAX, 1, Duration::ZERO);
                });
            }
        });
        let [metadata] = &metrics.by_api()[..] else { panic!("one API was asked for") };
        assert_eq!(metadata.api, ApiKey::Metadata);
        assert_eq!((metadata.request_bytes, metadata.response_bytes), (4000, 400));
        assert_eq!((metadata.local.count, metadata.total.count), (40, 40));
        assert!((metadata.local.sum_ms - 2.4).abs() < 1e-9 && (metadata.total.sum_ms - 800.0).abs() < 1e-9);
        let filled = |histogram: &Histogram| -> Vec<(f64, u64)> {
            histogram.buckets.iter().copied().filter(|(_, count)| *count > 0).collect()
        };
        assert_eq!(filled(&metadata.local), [(0.1, 40)]);
        assert_eq!(filled(&metadata.total), [(50.0, 40)]);
        assert_eq!(metadata.total.buckets.last(), Some(&(f64::INFINITY, 0)));
    }

    #[test]
    fn every_api_has_its_place() {
        assert!((APIS as i16..=i16::MAX).all(|code| ApiKey::from_code(code).is_none()));
    }
}
