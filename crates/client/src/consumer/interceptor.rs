//! What looks at records on their way, and at commits (`ConsumerInterceptor`).

use std::sync::Arc;

use super::{ConsumerRecord, Offsets};

/// Sees what each poll returns before the application does, and what was committed (`ConsumerInterceptor`). The first happens
/// within [`super::Consumer::poll`], the second in the task that commits: neither may wait or panic.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use client::consumer::{ConsumerConfig, ConsumerInterceptor, ConsumerRecord, Offsets};
///
/// /// Leaves out tombstones, and counts what is committed.
/// #[derive(Clone, Default)]
/// struct OnlyValues(Arc<AtomicUsize>);
///
/// impl ConsumerInterceptor for OnlyValues {
///     fn on_consume(&self, mut records: Vec<ConsumerRecord>) -> Vec<ConsumerRecord> {
///         records.retain(|record| record.value.is_some());
///         records
///     }
///
///     fn on_commit(&self, offsets: &Offsets) {
///         self.0.fetch_add(offsets.len(), Ordering::Relaxed);
///     }
/// }
///
/// let mut config = ConsumerConfig::new("localhost:9092");
/// config.interceptors.add(OnlyValues::default());
/// ```
pub trait ConsumerInterceptor: Send + Sync {
    /// What the poll returns in the place of these records, of which there is at least one. Positions do not follow: what is
    /// left out here was consumed.
    fn on_consume(&self, records: Vec<ConsumerRecord>) -> Vec<ConsumerRecord> {
        records
    }

    /// These offsets were committed, by the application or by the consumer itself. Commits that failed are not seen.
    fn on_commit(&self, offsets: &Offsets) {
        let _ = offsets;
    }
}

/// A consumer's interceptors, in their order (`interceptor.classes`).
#[derive(Clone, Default)]
pub struct Interceptors(Vec<Arc<dyn ConsumerInterceptor>>);

impl Interceptors {
    /// One more, behind the others: it gets what they return.
    pub fn add(&mut self, interceptor: impl ConsumerInterceptor + 'static) {
        self.0.push(Arc::new(interceptor));
    }

    pub(super) fn on_consume(&self, records: Vec<ConsumerRecord>) -> Vec<ConsumerRecord> {
        self.0.iter().fold(records, |records, interceptor| interceptor.on_consume(records))
    }

    pub(super) fn on_commit(&self, offsets: &Offsets) {
        self.0.iter().for_each(|interceptor| interceptor.on_commit(offsets));
    }
}

impl std::fmt::Debug for Interceptors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} interceptors", self.0.len())
    }
}
