//! A batch that fills, and what its records are told.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use common::TopicPartition;
use protocol::records::{
    Header, RECORD_BATCH_OVERHEAD, RecordBatchBuilder, RecordError, TimestampType, patch,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{Interceptors, ProducerConfig, ProducerRecord, lock};
use crate::ClientError;

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: i32,
    /// The offset; -1 where nobody said (`acks=0`).
    pub offset: i64,
    /// The timestamp in the log, in milliseconds since 1970.
    pub timestamp: i64,
}

/// What became of a batch; its records share it.
#[derive(Debug, Default)]
struct Outcome {
    result: OnceLock<Result<Appended, ClientError>>,
    waiting: Mutex<Vec<Waker>>,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// -1 where nobody said.
    pub(crate) base_offset: i64,
    /// -1 where the records keep their own timestamps.
    pub(crate) log_append_time: i64,
}

impl Appended {
    /// What a record of the batch is told.
    fn record(&self, partition: i32, index: i64, timestamp: i64) -> RecordMetadata {
        RecordMetadata {
            partition,
            offset: if self.base_offset < 0 { -1 } else { self.base_offset + index },
            timestamp: if self.log_append_time < 0 { timestamp } else { self.log_append_time },
        }
    }
}

/// What becomes of a record: await it.
#[derive(Debug)]
pub struct Delivery {
    outcome: Arc<Outcome>,
    partition: i32,
    index: i64,
    timestamp: i64,
}

impl Delivery {
    /// What became of the record, if that is known already.
    pub fn try_get(&self) -> Option<Result<RecordMetadata, ClientError>> {
        let result = self.outcome.result.get()?;
        let told = |appended: &Appended| appended.record(self.partition, self.index, self.timestamp);
        Some(result.as_ref().map(told).map_err(ClientError::clone))
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.try_get() {
            return Poll::Ready(result);
        }
        let mut waiting = lock(&self.outcome.waiting);
        // The result is set before the lock is taken to wake: it is seen here, or the waker is seen there.
        if let Some(result) = self.try_get() {
            return Poll::Ready(result);
        }
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// Tells the records of a batch; if it is dropped before, they are told that the producer was closed.
#[derive(Debug, Default)]
struct Teller(Arc<Outcome>);

impl Teller {
    fn tell(&self, result: Result<Appended, ClientError>) {
        if self.0.result.set(result).is_ok() {
            let waiting = std::mem::take(&mut *lock(&self.0.waiting));
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(Err(ClientError::Closed));
    }
}

/// A record with the memory that it holds.
pub(crate) struct NewRecord<'a> {
    pub(crate) record: ProducerRecord<'a>,
    /// Now, in ms since 1970.
    pub(crate) now_ms: i64,
    pub(crate) size: usize,
    pub(crate) memory: OwnedSemaphorePermit,
}

impl NewRecord<'_> {
    /// An upper bound for the bytes that a record takes in a batch of its own (`AbstractRecords.estimateSizeInBytesUpperBound`).
    pub(crate) fn size_estimate(record: &ProducerRecord<'_>) -> usize {
        const RECORD_OVERHEAD: usize = 21;
        let bytes = |value: &Option<Cow<'_, [u8]>>| value.as_ref().map_or(0, |value| value.len()) + 5;
        let headers: usize = record.headers.iter().map(|(key, value)| key.len() + 5 + bytes(value)).sum();
        RECORD_BATCH_OVERHEAD + RECORD_OVERHEAD + bytes(&record.key) + bytes(&record.value) + headers + 5
    }
}

/// A batch that fills, or waits to be sent.
pub(crate) struct Batch {
    builder: RecordBatchBuilder,
    teller: Teller,
    memory: Option<OwnedSemaphorePermit>,
    pub(crate) created: Instant,
    /// Of every record, where interceptors are to be told of each.
    timestamps: Option<Vec<i64>>,
}

impl Batch {
    /// A batch that is expected to have so many bytes in the end.
    pub(crate) fn new(config: &ProducerConfig, expected_bytes: usize) -> Batch {
        let mut builder = RecordBatchBuilder::new(0, config.compression, TimestampType::CreateTime)
            .with_capacity(expected_bytes);
        if let Some(level) = config.compression_levels.get(&config.compression) {
            builder = builder.with_compression_level(*level);
        }
        Batch {
            builder,
            teller: Teller::default(),
            memory: None,
            created: Instant::now(),
            timestamps: (!config.interceptors.is_empty()).then(Vec::new),
        }
    }

    /// Whether another record of this size fits.
    pub(crate) fn has_room(&self, size: usize, batch_size: usize) -> bool {
        let size = size.saturating_sub(RECORD_BATCH_OVERHEAD);
        self.builder.is_empty() || self.builder.size_in_bytes().saturating_add(size) <= batch_size
    }

    pub(crate) fn is_full(&self, batch_size: usize) -> bool {
        self.builder.size_in_bytes() >= batch_size
    }

    pub(crate) fn records_count(&self) -> i32 {
        self.builder.records_count()
    }

    /// In bytes, before they are compressed.
    pub(crate) fn size(&self) -> usize {
        self.builder.size_in_bytes()
    }

    pub(crate) fn append(&mut self, new: NewRecord<'_>, partition: i32) -> Result<Delivery, ClientError> {
        let NewRecord { record, memory, now_ms, .. } = new;
        let timestamp = record.timestamp.unwrap_or(now_ms);
        let index = i64::from(self.builder.records_count());
        let headers: Vec<Header<'_>> =
            record.headers.iter().map(|(key, value)| Header::new(key, value.as_deref())).collect();
        self.builder
            .append(timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
            .map_err(|error| ClientError::Record(error.to_string()))?;
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.push(timestamp);
        }
        match &mut self.memory {
            Some(held) => held.merge(memory),
            None => self.memory = Some(memory),
        }
        Ok(Delivery { outcome: Arc::clone(&self.teller.0), partition, index, timestamp })
    }

    /// The batch as it is sent, and those who wait for it. With an idempotent producer's id and epoch and the batch's place among
    /// what it sent to the partition.
    pub(crate) fn close(self, producer: Option<(i64, i16, i32)>) -> ClosedBatch {
        let mut builder = self.builder;
        if let Some((id, epoch, base_sequence)) = producer {
            builder = builder.with_producer(id, epoch, base_sequence);
        }
        ClosedBatch {
            records_count: builder.records_count(),
            bytes: builder.build(),
            created: self.created,
            attempts: 0,
            timestamps: self.timestamps,
            teller: self.teller,
            _memory: self.memory,
        }
    }
}

/// A batch under way.
pub(crate) struct ClosedBatch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) created: Instant,
    pub(crate) records_count: i32,
    /// How often a broker said that it may be tried again.
    pub(crate) attempts: u32,
    timestamps: Option<Vec<i64>>,
    teller: Teller,
    _memory: Option<OwnedSemaphorePermit>,
}

impl ClosedBatch {
    /// Gives the batch another place among what the producer sent to the partition.
    pub(crate) fn set_producer(
        &mut self,
        id: i64,
        epoch: i16,
        base_sequence: i32,
    ) -> Result<(), RecordError> {
        patch::set_producer(&mut self.bytes, id, epoch, base_sequence, false)
    }

    /// Tells the records, and the interceptors of each.
    pub(crate) fn end(
        self,
        result: Result<Appended, ClientError>,
        partition: &TopicPartition,
        interceptors: &Interceptors,
    ) {
        for (index, timestamp) in (0..).zip(self.timestamps.iter().flatten()) {
            let metadata =
                result.as_ref().map(|appended| appended.record(partition.partition, index, *timestamp));
            interceptors.on_acknowledgement(partition, metadata.as_ref().map_err(|error| *error));
        }
        self.teller.tell(result);
    }
}
