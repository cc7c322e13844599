//! Makes images of what raft commits (`org.apache.kafka.image.loader.MetadataLoader`, `MetadataBatchLoader`).
//!
//! Owned by the thread that reads the log. Between two images lies one or more whole batches, except that a metadata
//! transaction (KIP-868) begins with a new image, and that nothing is shown of one before it ends.

use crate::MetadataRecord;
use crate::delta::MetadataDelta;
use crate::error::ReplayError;
use crate::image::{MetadataImage, MetadataProvenance};

/// A committed batch of the metadata log. A control batch has no records here, and only moves the offset.
#[derive(Clone, Copy, Debug)]
pub struct CommittedBatch<'a> {
    /// The offset of the first record.
    pub base_offset: i64,
    /// The offset of the last record.
    pub last_offset: i64,
    /// The epoch of the leader that wrote it.
    pub epoch: i32,
    /// When it was appended, in milliseconds since 1970.
    pub append_timestamp_ms: i64,
    /// Its size in the log.
    pub size_in_bytes: u64,
    /// The records, the first of which has the base offset.
    pub records: &'a [MetadataRecord],
}

/// Where an update is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoaderManifest {
    /// A snapshot took the place of all that was known.
    Snapshot,
    /// Batches of the log.
    LogDelta {
        /// How many.
        num_batches: u64,
        /// How many bytes.
        num_bytes: u64,
    },
}

/// A new image, for publishers.
#[derive(Clone, Debug)]
pub struct LoaderUpdate {
    /// What changed since the image before.
    pub delta: MetadataDelta,
    /// The new image.
    pub image: MetadataImage,
    /// Where it is from.
    pub manifest: LoaderManifest,
}

/// A record could not be replayed: the log or the snapshot is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot replay the metadata record at offset {offset}: {source}")]
pub struct LoadError {
    /// The record's offset.
    pub offset: i64,
    /// What is wrong with it.
    pub source: ReplayError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransactionState {
    None,
    Open,
    Ended,
    Aborted,
}

/// Replays committed batches and snapshots, and hands out the images that come of them.
#[derive(Debug)]
pub struct MetadataLoader {
    image: MetadataImage,
    delta: MetadataDelta,
    transaction: TransactionState,
    last_offset: i64,
    last_epoch: i32,
    last_time_ms: i64,
    num_batches: u64,
    num_bytes: u64,
}

impl Default for MetadataLoader {
    fn default() -> Self {
        MetadataLoader::new()
    }
}

impl MetadataLoader {
    /// Begins with nothing.
    pub fn new() -> MetadataLoader {
        MetadataLoader::with_image(MetadataImage::empty())
    }

    /// Goes on from an image.
    pub fn with_image(image: MetadataImage) -> MetadataLoader {
        let provenance = image.provenance;
        MetadataLoader {
            delta: MetadataDelta::new(&image),
            image,
            transaction: TransactionState::None,
            last_offset: provenance.last_contained_offset,
            last_epoch: provenance.last_contained_epoch,
            last_time_ms: provenance.last_contained_log_time_ms,
            num_batches: 0,
            num_bytes: 0,
        }
    }

    /// The newest image that was handed out.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The offset of the last record that was read, even if its transaction has not ended.
    pub fn last_read_offset(&self) -> i64 {
        self.last_offset
    }

    /// Replays batches that follow on each other. Usually one image comes of them; none while a metadata transaction
    /// is open, and one more where one begins among them.
    pub fn load_commit(&mut self, batches: &[CommittedBatch<'_>]) -> Result<Vec<LoaderUpdate>, LoadError> {
        let mut updates = Vec::new();
        for batch in batches {
            self.load_batch(batch, &mut updates)?;
        }
        match self.transaction {
            TransactionState::Open => {}
            TransactionState::Aborted => {
                // The image moves on in the log, and nothing else.
                self.delta = MetadataDelta::new(&self.image);
                updates.push(self.publish(true));
            }
            TransactionState::None | TransactionState::Ended => {
                if self.num_batches > 0 {
                    updates.push(self.publish(true));
                }
            }
        }
        Ok(updates)
    }

    fn load_batch(
        &mut self,
        batch: &CommittedBatch<'_>,
        updates: &mut Vec<LoaderUpdate>,
    ) -> Result<(), LoadError> {
        for (index, record) in batch.records.iter().enumerate() {
            let offset = batch.base_offset.saturating_add(index as i64);
            if matches!(record, MetadataRecord::BeginTransaction(_)) {
                if self.transaction == TransactionState::Open {
                    let source = ReplayError::Transaction("a metadata transaction begins within another");
                    return Err(LoadError { offset, source });
                }
                // What came before is shown by itself, so that an abort has an image to go back to.
                if index > 0 || self.num_batches > 0 {
                    updates.push(self.publish(index == 0));
                }
                self.transaction = TransactionState::Open;
            } else {
                self.replay(record).map_err(|source| LoadError { offset, source })?;
            }
            self.last_offset = offset;
            self.last_epoch = batch.epoch;
            self.last_time_ms = batch.append_timestamp_ms;
        }
        self.last_offset = batch.last_offset;
        self.last_epoch = batch.epoch;
        self.last_time_ms = batch.append_timestamp_ms;
        self.num_batches += 1;
        self.num_bytes += batch.size_in_bytes;
        Ok(())
    }

    fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::EndTransaction(_) if self.transaction == TransactionState::Open => {
                self.transaction = TransactionState::Ended;
            }
            MetadataRecord::AbortTransaction(_) if self.transaction == TransactionState::Open => {
                // Divergence: Kafka drops the whole delta when it flushes, which would also drop records that
                // follow the abort in the same flush. Here only the transaction's own go.
                self.delta = MetadataDelta::new(&self.image);
                self.transaction = TransactionState::Aborted;
            }
            MetadataRecord::EndTransaction(_) | MetadataRecord::AbortTransaction(_) => {
                return Err(ReplayError::Transaction("a metadata transaction ends that did not begin"));
            }
            record => {
                if self.transaction != TransactionState::Open {
                    self.transaction = TransactionState::None;
                }
                self.delta.replay(record)?;
            }
        }
        Ok(())
    }

    fn publish(&mut self, is_offset_batch_aligned: bool) -> LoaderUpdate {
        let provenance = MetadataProvenance {
            last_contained_offset: self.last_offset,
            last_contained_epoch: self.last_epoch,
            last_contained_log_time_ms: self.last_time_ms,
            is_offset_batch_aligned,
        };
        let manifest = LoaderManifest::LogDelta { num_batches: self.num_batches, num_bytes: self.num_bytes };
        let image = self.delta.apply(provenance);
        let next = MetadataLoader::with_image(image.clone());
        let delta = std::mem::replace(self, next).delta;
        LoaderUpdate { delta, image, manifest }
    }

    /// Puts a snapshot in the place of all that was known. Transactions never reach into a snapshot.
    pub fn load_snapshot<'r>(
        &mut self,
        provenance: MetadataProvenance,
        records: impl IntoIterator<Item = &'r MetadataRecord>,
    ) -> Result<LoaderUpdate, LoadError> {
        let offset = provenance.last_contained_offset;
        let mut delta = MetadataDelta::new(&self.image);
        for record in records {
            delta.replay(record).map_err(|source| LoadError { offset, source })?;
        }
        delta.finish_snapshot();
        let image = delta.apply(provenance);
        *self = MetadataLoader::with_image(image.clone());
        Ok(LoaderUpdate { delta, image, manifest: LoaderManifest::Snapshot })
    }
}
