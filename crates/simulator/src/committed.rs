//! What must hold at the moment when something counts as committed, of the metadata log and of partitions: a bug shows there long
//! before anything is lost by it.

use std::collections::BTreeMap;

use raft::RaftNode;
use storage::Log;

/// Up to where a quorum has committed its log, as its leaders said.
#[derive(Debug, Default)]
pub(crate) struct QuorumCommits {
    end: i64,
}

impl QuorumCommits {
    /// Looks at a node that leads, or did a moment ago (one that has committed that it is no voter any more does not): what it takes for committed must be on a majority of the voters. `ends`: up to where the node
    /// with an id has the log, for one that is down what it had last.
    pub fn look_at(&mut self, node: i32, raft: &RaftNode, ends: &BTreeMap<i32, i64>) -> Result<(), String> {
        let Some(end) = raft.high_watermark().filter(|end| *end > self.end) else { return Ok(()) };
        let voters: Vec<i32> = raft.voters().voters().map(|voter| voter.key.id).collect();
        let have: Vec<i32> =
            voters.iter().copied().filter(|voter| ends.get(voter).is_some_and(|has| *has >= end)).collect();
        if have.len() <= voters.len() / 2 {
            return Err(format!(
                "node {node} takes the metadata below {end} for committed, and of its voters {voters:?} only {have:?} have them"
            ));
        }
        self.end = end;
        Ok(())
    }

    /// What a node acts on has been committed by a leader.
    pub fn acts_on(&self, node: i32, end: i64) -> Result<(), String> {
        if end > self.end {
            return Err(format!(
                "node {node} acts on metadata below {end}, and they are committed below {}",
                self.end
            ));
        }
        Ok(())
    }
}

/// The epoch of a record in a log.
pub(crate) fn epoch_at(log: &Log, offset: i64) -> Option<i32> {
    let entries = log.epoch_entries();
    let entry = entries.iter().rev().find(|entry| entry.start_offset <= offset)?;
    (offset < log.log_end_offset()).then_some(entry.epoch)
}

/// A leader acknowledges a record: every replica that is in sync has it, and on its disk, where `synced` asks for that.
pub(crate) fn in_sync_has(
    leader: (i32, &Log),
    replica: (i32, &Log),
    offset: i64,
    synced: bool,
) -> Result<(), String> {
    let (leader_id, leader_log) = leader;
    let (id, log) = replica;
    let name = log.topic_partition();
    let (there, here) = (epoch_at(leader_log, offset), epoch_at(log, offset));
    if here.is_none() || here != there {
        return Err(format!(
            "{leader_id} acknowledges offset {offset} of {name} of epoch {there:?}, and {id}, which is in sync, has \
             {here:?} there, and ends at {}",
            log.log_end_offset()
        ));
    }
    if synced && log.recovery_point() <= offset {
        return Err(format!(
            "{leader_id} acknowledges offset {offset} of {name}, and {id}, which is in sync, has synced it below {} only",
            log.recovery_point()
        ));
    }
    Ok(())
}
