//! The end of offsets: retention, and topics that are deleted.

use super::store::{OffsetAndMetadata, Offsets};
use crate::classic::ExpiryBase;
use crate::metrics::add;
use crate::{DeletedTopic, Group, GroupRecord, GroupResult, GroupShard};

impl GroupShard {
    /// Removes offsets whose time is over, and empty groups that have none left.
    pub(crate) fn clean_up(&self, now_ms: i64) -> GroupResult<()> {
        let mut records = Vec::new();
        for (group_id, group) in self.groups.iter() {
            let before = records.len();
            let none_left = self.clean_up_offsets(group_id, group, now_ms, &mut records);
            add(&self.env.counters.offset_expirations, records.len() - before);
            if none_left && group.is_empty() && group.may_expire() {
                group.tombstones(group_id, &mut records);
            }
        }
        if !records.is_empty() {
            tracing::info!("generated {} tombstones while cleaning up groups", records.len());
        }
        GroupResult::new(records, ()).non_atomic()
    }

    /// Tombstones for the group's offsets whose time is over. Whether none is left.
    fn clean_up_offsets(
        &self,
        group_id: &str,
        group: &Group,
        now_ms: i64,
        records: &mut Vec<GroupRecord>,
    ) -> bool {
        let no_transaction = !self.offsets.group_has_pending(group_id);
        let Some(topics) = self.offsets.offsets.of_group(group_id) else { return no_transaction };
        let Some(base) = group.expiry_base() else { return false };
        let mut all_expired = true;
        for (topic, partitions) in topics {
            let subscribed = group.is_subscribed_to_topic(topic);
            for (partition, offset) in partitions {
                if !subscribed
                    && self.is_expired(offset, base, now_ms)
                    && !self.offsets.has_pending(group_id, topic, *partition)
                {
                    records.push(GroupRecord::offset_tombstone(group_id, topic, *partition));
                } else {
                    all_expired = false;
                }
            }
        }
        all_expired && no_transaction
    }

    fn is_expired(&self, offset: &OffsetAndMetadata, base: ExpiryBase, now_ms: i64) -> bool {
        if offset.expire_timestamp_ms != -1 {
            return now_ms >= offset.expire_timestamp_ms;
        }
        let since_ms = match base {
            ExpiryBase::StateChange(since_ms) => since_ms,
            ExpiryBase::Commit => offset.commit_timestamp_ms,
        };
        now_ms.saturating_sub(since_ms) >= self.env.config.offsets_retention_ms()
    }

    /// Removes the offsets of topics that are gone. An offset for a topic of the same name with another id stays.
    pub(crate) fn on_topics_deleted(&self, deleted: &[DeletedTopic]) -> GroupResult<()> {
        let mut records = Vec::new();
        let mut delete = |offsets: &Offsets| {
            for (group_id, topics) in offsets.iter() {
                for topic in deleted {
                    for (partition, offset) in topics.get(&*topic.name).into_iter().flatten() {
                        if offset.topic_id.is_zero() || offset.topic_id == topic.id {
                            records.push(GroupRecord::offset_tombstone(group_id, &topic.name, *partition));
                        }
                    }
                }
            }
        };
        delete(&self.offsets.offsets);
        self.offsets.pending_offsets().for_each(delete);
        GroupResult::new(records, ()).non_atomic()
    }
}
