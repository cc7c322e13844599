//! Which leader epoch the log is in: fences appends that were begun in an older one.
//!
//! **Invariant:** once [`Log::lead`] or [`Log::follow`] has returned, no append of an older epoch lands in the log. An append that
//! was under way when its broker lost the leadership would otherwise put an old epoch behind a new one.

use super::{Log, Writer};
use crate::error::{AppendError, LogError};

/// Later than any leader epoch.
const SEALED: i32 = i32::MAX;

impl Log {
    /// Begins to lead in an epoch, or goes on with it: the epoch starts at the log's end, which is returned. With `sole_replica` an
    /// append commits what it appends, unless that is to be flushed first: nobody else has to have it.
    ///
    /// # Errors
    /// [`LogError::Storage`] if the log can no longer be used.
    pub fn lead(&self, leader_epoch: i32, sole_replica: bool) -> Result<i64, LogError> {
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        writer.leader_epoch = writer.leader_epoch.max(leader_epoch);
        writer.sole_replica = sole_replica;
        let start_offset = self.log_end_offset();
        self.epochs.write().assign(leader_epoch, start_offset);
        Ok(start_offset)
    }

    /// Begins to follow in an epoch.
    pub fn follow(&self, leader_epoch: i32) {
        let mut writer = self.writer.lock();
        writer.leader_epoch = writer.leader_epoch.max(leader_epoch);
        writer.sole_replica = false;
    }

    /// Takes no more appends, of whatever epoch: another log is about to take its place.
    pub fn seal(&self) {
        self.writer.lock().leader_epoch = SEALED;
    }

    /// Takes appends again, of leaders of this epoch and later ones: nothing has taken the log's place.
    pub fn unseal(&self, leader_epoch: i32) {
        self.writer.lock().leader_epoch = leader_epoch;
    }

    pub(super) fn check_epoch(&self, writer: &Writer, epoch: i32) -> Result<(), AppendError> {
        let current = writer.leader_epoch;
        if epoch < current { Err(AppendError::FencedEpoch { epoch, current }) } else { Ok(()) }
    }
}
