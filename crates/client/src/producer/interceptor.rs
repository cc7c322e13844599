//! What looks at records on their way (`ProducerInterceptor`).

use std::sync::Arc;

use common::TopicPartition;

use super::{ProducerRecord, RecordMetadata};
use crate::ClientError;

/// Sees every record before it is sent, and what became of it (`ProducerInterceptor`). Both happen where the producer works:
/// neither may wait or panic.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use client::producer::{ProducerConfig, ProducerInterceptor, ProducerRecord};
///
/// /// Marks every record, and counts them.
/// #[derive(Default)]
/// struct Mark(AtomicU64);
///
/// impl ProducerInterceptor for Mark {
///     fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         record.with_header("origin", "here")
///     }
/// }
///
/// let mut config = ProducerConfig::new("localhost:9092");
/// config.interceptors.add(Mark::default());
/// ```
pub trait ProducerInterceptor: Send + Sync {
    /// The record that is sent in this one's place, before its partition is chosen.
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        record
    }

    /// What became of a record of this partition; of partition -1, if it failed before one was chosen.
    fn on_acknowledgement(&self, partition: &TopicPartition, result: Result<&RecordMetadata, &ClientError>) {
        let _ = (partition, result);
    }
}

/// A producer's interceptors, in their order (`interceptor.classes`).
#[derive(Clone, Default)]
pub struct Interceptors(Vec<Arc<dyn ProducerInterceptor>>);

impl Interceptors {
    /// One more, behind the others.
    pub fn add(&mut self, interceptor: impl ProducerInterceptor + 'static) {
        self.0.push(Arc::new(interceptor));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        self.0.iter().fold(record, |record, interceptor| interceptor.on_send(record))
    }

    pub(crate) fn on_acknowledgement(
        &self,
        partition: &TopicPartition,
        result: Result<&RecordMetadata, &ClientError>,
    ) {
        self.0.iter().for_each(|interceptor| interceptor.on_acknowledgement(partition, result));
    }
}

impl std::fmt::Debug for Interceptors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} interceptors", self.0.len())
    }
}
