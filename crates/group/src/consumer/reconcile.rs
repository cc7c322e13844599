//! A member's way from what it has to what it should have (Kafka's `CurrentAssignmentBuilder`).

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;

use super::{Assignment, ConsumerGroupMember, MemberState, OwnedPartitions, Refusal};

/// What a member is reconciled with.
pub(crate) struct Reconciliation<'a> {
    pub(crate) target_epoch: i32,
    pub(crate) target: &'a Assignment,
    /// What the member subscribes to, as far as it exists.
    pub(crate) subscribed_topic_ids: &'a BTreeSet<Uuid>,
    pub(crate) subscription_changed: bool,
    /// Whether anybody has a partition.
    pub(crate) is_owned: &'a dyn Fn(Uuid, i32) -> bool,
    /// What the member says it has; none if it says nothing.
    pub(crate) reported: Option<&'a [TopicPartitions]>,
}

impl Reconciliation<'_> {
    /// The member as it is next; none if nothing changes.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH for a member in a state that this release does not know, until it has given up everything.
    pub(crate) fn next(&self, member: &ConsumerGroupMember) -> Result<Option<ConsumerGroupMember>, Refusal> {
        let next = match member.state {
            MemberState::Stable if member.member_epoch != self.target_epoch => {
                self.advance(member, member.member_epoch)
            }
            MemberState::Stable if self.subscription_changed => self.restrict(member),
            MemberState::Stable => return Ok(None),
            MemberState::UnrevokedPartitions if self.still_has(&member.pending_revocation) => {
                if !self.subscription_changed {
                    return Ok(None);
                }
                self.restrict(member)
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.advance(member, member.member_epoch)
            }
            MemberState::Unknown => {
                if self.reported.is_none_or(|reported| !reported.is_empty()) {
                    return Err(Refusal::new(
                        ErrorCode::FencedMemberEpoch,
                        "The member is in an unknown state: it must give up its partitions and join again.",
                    ));
                }
                self.advance(member, self.target_epoch)
            }
        };
        Ok(Some(next).filter(|next| next != member))
    }

    /// Whether the member has one of these partitions, or may have.
    fn still_has(&self, partitions: &OwnedPartitions) -> bool {
        let Some(reported) = self.reported else { return true };
        reported.iter().any(|topic| {
            partitions.get(&topic.topic_id).is_some_and(|revoked| {
                topic.partitions.iter().any(|partition| revoked.contains_key(partition))
            })
        })
    }

    /// Takes away what the member does not subscribe to any more, without waiting for the next target.
    fn restrict(&self, member: &ConsumerGroupMember) -> ConsumerGroupMember {
        let mut assigned = OwnedPartitions::clone(&member.assigned);
        let mut revoked = OwnedPartitions::clone(&member.pending_revocation);
        assigned.retain(|topic_id, partitions| {
            let subscribed = self.subscribed_topic_ids.contains(topic_id);
            if !subscribed {
                revoked.entry(*topic_id).or_default().extend(partitions.iter());
            }
            subscribed
        });
        let mut next = member.clone();
        if assigned == *member.assigned {
            return next;
        }
        next.update_epoch(member.member_epoch);
        next.assigned = Arc::new(assigned);
        if self.still_has(&revoked) {
            next.state = MemberState::UnrevokedPartitions;
            next.pending_revocation = Arc::new(revoked);
        }
        next
    }

    /// The next step towards the target: first what must go, then the epoch, then what is free.
    fn advance(&self, member: &ConsumerGroupMember, epoch: i32) -> ConsumerGroupMember {
        let none = BTreeSet::new();
        let mut assigned = OwnedPartitions::new();
        let mut revoked = OwnedPartitions::new();
        let mut free: Vec<(Uuid, i32)> = Vec::new();
        let mut has_unreleased = false;
        let topic_ids: BTreeSet<Uuid> = self.target.keys().chain(member.assigned.keys()).copied().collect();
        for topic_id in topic_ids {
            let target = match self.target.get(&topic_id) {
                Some(target) if self.subscribed_topic_ids.contains(&topic_id) => target,
                _ => &none,
            };
            let current = member.assigned.get(&topic_id);
            for (&partition, &since) in current.into_iter().flatten() {
                let part = if target.contains(&partition) { &mut assigned } else { &mut revoked };
                part.entry(topic_id).or_default().insert(partition, since);
            }
            for &partition in target {
                if current.is_some_and(|current| current.contains_key(&partition)) {
                    continue;
                }
                // What the member itself is about to give up it may just as well keep.
                let own = member.pending_revocation.get(&topic_id);
                if own.is_some_and(|own| own.contains_key(&partition))
                    || !(self.is_owned)(topic_id, partition)
                {
                    free.push((topic_id, partition));
                } else {
                    has_unreleased = true;
                }
            }
        }

        let mut next = member.clone();
        if !revoked.is_empty() && self.still_has(&revoked) {
            next.state = MemberState::UnrevokedPartitions;
            next.update_epoch(epoch);
            next.assigned = Arc::new(assigned);
            next.pending_revocation = Arc::new(revoked);
            return next;
        }
        for (topic_id, partition) in free {
            assigned.entry(topic_id).or_default().insert(partition, self.target_epoch);
        }
        next.state = if has_unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.update_epoch(self.target_epoch);
        next.assigned = Arc::new(assigned);
        next.pending_revocation = Arc::default();
        next
    }
}
