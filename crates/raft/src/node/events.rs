//! What a server hears of the log, and how far it has heard it.

use super::RaftNode;
use crate::core::EpochState;
use crate::error::{RaftError, Result};
use crate::{CommittedBatch, LeaderAndEpoch, SnapshotReader};

/// What a server hears of the log, in order, each once (`RaftClient.Listener`).
#[derive(Debug)]
pub enum RaftEvent {
    /// What formatting left for a new cluster. Not committed metadata: the first leader writes it into the log.
    LoadBootstrap(SnapshotReader),
    /// All of the metadata up to the snapshot's end, in place of what was heard before.
    LoadSnapshot(SnapshotReader),
    /// A committed batch. Control batches come too, so that offsets are complete; they hold no metadata records.
    Commit(CommittedBatch),
    /// Leader or epoch changed. A new leader hears of itself only behind all that earlier epochs committed.
    LeaderChange(LeaderAndEpoch),
}

impl RaftNode {
    /// The snapshot first, where the server has heard nothing yet or needs what the log no longer has.
    pub(super) fn load_snapshot(&mut self, events: &mut Vec<RaftEvent>, now_ms: i64) -> Result<()> {
        let start = self.log.start_offset();
        if self.next_offset.is_some_and(|next| next >= start) {
            return Ok(());
        }
        let latest = match self.log.latest_snapshot_id() {
            Some(id) => self.log.read_snapshot(id)?,
            None => None,
        };
        match latest {
            Some(reader) => {
                self.next_offset = Some(reader.snapshot_id().offset);
                events.push(if reader.is_bootstrap() {
                    RaftEvent::LoadBootstrap(reader)
                } else {
                    self.snapshot_loaded(now_ms);
                    RaftEvent::LoadSnapshot(reader)
                });
            }
            None if start == 0 => self.next_offset = Some(0),
            None => {
                let path = self.log.dir().to_owned();
                return Err(RaftError::MissingSnapshot { path, log_start_offset: start, latest: None });
            }
        }
        Ok(())
    }

    pub(super) fn take_committed(&mut self, high_watermark: i64, events: &mut Vec<RaftEvent>) -> Result<()> {
        let Some(mut next) = self.next_offset else { return Ok(()) };
        while next < high_watermark && self.recent.front().is_some_and(|batch| batch.base_offset == next) {
            let Some(batch) = self.recent.pop_front() else { break };
            next = self.commit(batch, events);
        }
        if next < high_watermark {
            // Behind: the log has all of it, and nothing of `recent` can come before it.
            self.recent.clear();
            let bytes = self.log.read(next, self.config.log.max_batch_size_bytes, high_watermark)?;
            for batch in self.parse_committed(next, &bytes)? {
                self.commit(batch, events);
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: CommittedBatch, events: &mut Vec<RaftEvent>) -> i64 {
        let next = batch.last_offset + 1;
        self.next_offset = Some(next);
        self.bytes_since_snapshot += batch.size_in_bytes as u64;
        events.push(RaftEvent::Commit(batch));
        next
    }

    pub(super) fn take_leader_change(&mut self, events: &mut Vec<RaftEvent>) {
        let now = match self.quorum.state() {
            EpochState::Leader(leader) => {
                if self.next_offset.is_none_or(|next| next <= leader.epoch_start_offset()) {
                    return;
                }
                self.quorum.leader_and_epoch()
            }
            // It cannot append any more, whatever the epoch's leader is called.
            EpochState::Resigned(_) => LeaderAndEpoch { leader_id: None, epoch: self.quorum.epoch() },
            _ => self.quorum.leader_and_epoch(),
        };
        if now != self.last_leader_change {
            self.last_leader_change = now;
            events.push(RaftEvent::LeaderChange(now));
        }
    }
}
