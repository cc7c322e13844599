//! A batch that fills, and what its records are told.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use protocol::records::{Header, RecordBatchBuilder, TimestampType};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{ProducerConfig, ProducerRecord, now_ms};
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

/// What becomes of a record: await it.
#[derive(Debug)]
pub struct Delivery {
    receiver: oneshot::Receiver<Result<RecordMetadata, ClientError>>,
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|result| result.unwrap_or(Err(ClientError::Closed)))
    }
}

/// A record with the memory that it holds.
pub(crate) struct NewRecord {
    pub(crate) record: ProducerRecord,
    pub(crate) size: usize,
    pub(crate) memory: OwnedSemaphorePermit,
}

impl NewRecord {
    /// An upper bound for the bytes that a record takes in a batch of its own (`AbstractRecords.estimateSizeInBytesUpperBound`).
    pub(crate) fn size_estimate(record: &ProducerRecord) -> usize {
        const BATCH_HEADER: usize = 61;
        const RECORD_OVERHEAD: usize = 21;
        let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len) + 5;
        let headers: usize = record.headers.iter().map(|(key, value)| key.len() + 5 + bytes(value)).sum();
        BATCH_HEADER + RECORD_OVERHEAD + bytes(&record.key) + bytes(&record.value) + headers + 5
    }
}

/// A batch that fills, or waits to be sent.
pub(crate) struct Batch {
    builder: RecordBatchBuilder,
    waiting: Vec<Waiting>,
    memory: Option<OwnedSemaphorePermit>,
    pub(crate) created: Instant,
}

struct Waiting {
    timestamp: i64,
    sender: oneshot::Sender<Result<RecordMetadata, ClientError>>,
}

impl Batch {
    pub(crate) fn new(config: &ProducerConfig) -> Batch {
        Batch {
            builder: RecordBatchBuilder::new(0, config.compression, TimestampType::CreateTime),
            waiting: Vec::new(),
            memory: None,
            created: Instant::now(),
        }
    }

    /// Whether another record of this size fits.
    pub(crate) fn has_room(&self, size: usize, batch_size: usize) -> bool {
        self.waiting.is_empty() || self.builder.size_in_bytes() + size <= batch_size
    }

    pub(crate) fn is_full(&self, batch_size: usize) -> bool {
        self.builder.size_in_bytes() >= batch_size
    }

    pub(crate) fn records_count(&self) -> i32 {
        self.waiting.len() as i32
    }

    pub(crate) fn append(&mut self, new: NewRecord) -> Result<Delivery, ClientError> {
        let NewRecord { record, memory, .. } = new;
        let timestamp = record.timestamp.unwrap_or_else(now_ms);
        let headers: Vec<Header<'_>> =
            record.headers.iter().map(|(key, value)| Header::new(key, value.as_deref())).collect();
        self.builder
            .append(timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
            .map_err(|error| ClientError::Record(error.to_string()))?;
        match &mut self.memory {
            Some(held) => held.merge(memory),
            None => self.memory = Some(memory),
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(Waiting { timestamp, sender });
        Ok(Delivery { receiver })
    }

    /// The batch as it is sent, and those who wait for it.
    pub(crate) fn close(self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> ClosedBatch {
        let bytes = match producer_id {
            -1 => self.builder.build(),
            id => self.builder.with_producer(id, producer_epoch, base_sequence).build(),
        };
        ClosedBatch { bytes, created: self.created, waiting: self.waiting, _memory: self.memory }
    }
}

/// A batch under way.
pub(crate) struct ClosedBatch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) created: Instant,
    waiting: Vec<Waiting>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl ClosedBatch {
    /// Tells everybody. `log_append_time` is -1 where the records keep their own timestamps.
    pub(crate) fn complete(self, partition: i32, base_offset: i64, log_append_time: i64) {
        for (index, waiting) in (0i64..).zip(self.waiting) {
            let offset = if base_offset < 0 { -1 } else { base_offset + index };
            let timestamp = if log_append_time < 0 { waiting.timestamp } else { log_append_time };
            // Nobody has to want to know.
            let _ = waiting.sender.send(Ok(RecordMetadata { partition, offset, timestamp }));
        }
    }

    pub(crate) fn fail(self, error: &ClientError) {
        for waiting in self.waiting {
            let _ = waiting.sender.send(Err(error.clone()));
        }
    }
}
