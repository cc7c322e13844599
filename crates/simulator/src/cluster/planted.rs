//! Bugs in what the controller decides.

use controller::ControllerResult;
use metadata::{MetadataImage, MetadataRecord};

use super::messages::ControllerTold;
use crate::planted::Planted;

impl Planted {
    /// What the controller decides.
    pub(super) fn decided(self, result: &mut ControllerResult<ControllerTold>, image: &MetadataImage) {
        if self != Planted::ElectedOutsideIsr {
            return;
        }
        for (record, _) in &mut result.records {
            if let MetadataRecord::PartitionChange(change) = record
                && let Some(known) = image.topics.partition(&change.topic_id, change.partition_id)
                && let Some(other) = known.replicas.iter().find(|replica| {
                    !known.isr.contains(replica)
                        && image.cluster.broker(**replica).is_some_and(|broker| !broker.fenced)
                })
            {
                change.leader = *other;
                change.isr = Some(vec![*other]);
            }
        }
    }
}
