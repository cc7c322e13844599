//! The replicas of a partition on their way from one set of brokers to another
//! (`org.apache.kafka.controller.PartitionReassignmentReplicas`, `PartitionReassignmentRevert`, KIP-455).

use metadata::PartitionRegistration;

/// A reassignment under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReassignmentReplicas {
    /// Replicas on their way out.
    pub removing: Vec<i32>,
    /// Replicas on their way in.
    pub adding: Vec<i32>,
    /// All replicas for now.
    pub replicas: Vec<i32>,
}

impl PartitionReassignmentReplicas {
    /// The reassignment from some replicas to others.
    pub fn between(current: &[i32], target: &[i32]) -> PartitionReassignmentReplicas {
        let difference = |a: &[i32], b: &[i32]| {
            let mut only: Vec<i32> = a.iter().copied().filter(|replica| !b.contains(replica)).collect();
            only.sort_unstable();
            only
        };
        let removing = difference(current, target);
        let adding = difference(target, current);
        let replicas = target.iter().chain(&removing).copied().collect();
        PartitionReassignmentReplicas { removing, adding, replicas }
    }

    /// The replicas and the ISR at the end of the reassignment, if this ISR lets it end.
    pub fn maybe_complete(&self, isr: &[i32]) -> Option<(Vec<i32>, Vec<i32>)> {
        if self.removing.is_empty() && self.adding.is_empty() {
            return None;
        }
        let staying = |replicas: &[i32]| -> Vec<i32> {
            replicas.iter().copied().filter(|replica| !self.removing.contains(replica)).collect()
        };
        let isr = staying(isr);
        let replicas = staying(&self.replicas);
        if !self.removing.is_empty() && (isr.is_empty() || replicas.is_empty()) {
            return None;
        }
        if !self.adding.iter().all(|replica| isr.contains(replica)) {
            return None;
        }
        // With fewer replicas than before, all of them must be in sync before any goes.
        if self.adding.len() < self.removing.len() && !replicas.iter().all(|replica| isr.contains(replica)) {
            return None;
        }
        Some((replicas, isr))
    }
}

/// A reassignment taken back: the replicas and the ISR, and whether that elects a leader uncleanly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReassignmentRevert {
    /// The replicas from before.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
    /// None of them is in sync.
    pub unclean: bool,
}

impl PartitionReassignmentRevert {
    /// What taking back a partition's reassignment leads to; none if nothing of the replicas is from before.
    pub fn of(partition: &PartitionRegistration) -> Option<PartitionReassignmentRevert> {
        let original = |replicas: &[i32]| -> Vec<i32> {
            replicas.iter().copied().filter(|replica| !partition.adding_replicas.contains(replica)).collect()
        };
        let replicas = original(&partition.replicas);
        let mut isr = original(&partition.isr);
        let unclean = isr.is_empty();
        if unclean {
            isr.push(*replicas.first()?);
        }
        Some(PartitionReassignmentRevert { replicas, isr, unclean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reassignment_ends_when_the_new_replicas_are_in_sync() {
        let moving = PartitionReassignmentReplicas::between(&[1, 2, 3], &[4, 5, 1]);
        assert_eq!(moving.removing, [2, 3]);
        assert_eq!(moving.adding, [4, 5]);
        assert_eq!(moving.replicas, [4, 5, 1, 2, 3]);
        assert_eq!(moving.maybe_complete(&[1, 2, 4]), None);
        assert_eq!(moving.maybe_complete(&[1, 2, 4, 5]), Some((vec![4, 5, 1], vec![1, 4, 5])));
    }

    #[test]
    fn a_shrinking_reassignment_waits_for_every_replica_that_stays() {
        let shrinking = PartitionReassignmentReplicas::between(&[1, 2, 3], &[1, 2]);
        assert_eq!(shrinking.maybe_complete(&[1, 3]), None);
        assert_eq!(shrinking.maybe_complete(&[3]), None);
        assert_eq!(shrinking.maybe_complete(&[2, 1, 3]), Some((vec![1, 2], vec![2, 1])));
    }
}
