//! Collects the records of an image (`org.apache.kafka.image.writer.ImageWriter`, `ImageWriterOptions`).

use protocol::messages::MetadataRecord;

use crate::VersionedRecord;
use crate::error::UnwritableMetadata;
use crate::metadata_version::MetadataVersion;

/// Takes the records of an image in order, and remembers what a low level of `metadata.version` made it leave out.
#[derive(Debug)]
pub struct ImageWriter {
    metadata_version: MetadataVersion,
    is_elr_enabled: bool,
    records: Vec<VersionedRecord>,
    loss: Option<String>,
}

impl ImageWriter {
    /// Writes at this level; eligible leader replicas only where the feature is on.
    pub fn new(metadata_version: MetadataVersion, is_elr_enabled: bool) -> ImageWriter {
        ImageWriter { metadata_version, is_elr_enabled, records: Vec::new(), loss: None }
    }

    /// The level to write at.
    pub fn metadata_version(&self) -> MetadataVersion {
        self.metadata_version
    }

    /// Whether eligible leader replicas are written.
    pub fn is_elr_enabled(&self) -> bool {
        self.is_elr_enabled
    }

    /// Adds a record.
    pub fn write(&mut self, record: MetadataRecord, version: i16) {
        self.records.push((record, version));
    }

    /// Notes that the level has no way to write something.
    pub fn lose(&mut self, what: &str) {
        self.loss.get_or_insert_with(|| what.to_owned());
    }

    /// The records, unless something was lost.
    pub fn finish(self) -> Result<Vec<VersionedRecord>, UnwritableMetadata> {
        match self.loss {
            Some(loss) => Err(UnwritableMetadata::Loss { version: self.metadata_version, loss }),
            None => Ok(self.records),
        }
    }
}
