//! The producer ids handed out so far (`org.apache.kafka.image.ProducerIdsImage`, `ProducerIdsDelta`).

use protocol::messages::ProducerIdsRecord;

use crate::writer::ImageWriter;

/// How far producer ids are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdsImage {
    /// The first producer id of the next block, or -1 if none was handed out yet.
    pub next_producer_id: i64,
}

impl Default for ProducerIdsImage {
    fn default() -> Self {
        ProducerIdsImage { next_producer_id: -1 }
    }
}

impl ProducerIdsImage {
    /// Whether no id was handed out yet.
    pub fn is_empty(&self) -> bool {
        self.next_producer_id == -1
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        if self.next_producer_id >= 0 {
            // Who got the last block is not kept: it only matters while the block is handed out.
            let record = ProducerIdsRecord {
                broker_id: -1,
                broker_epoch: -1,
                next_producer_id: self.next_producer_id,
            };
            writer.write(record.into(), 0);
        }
    }
}

/// A new block of producer ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdsDelta {
    /// The first producer id of the next block.
    pub next_producer_id: i64,
}

impl ProducerIdsDelta {
    pub(crate) fn apply(&self) -> ProducerIdsImage {
        ProducerIdsImage { next_producer_id: self.next_producer_id }
    }
}
