//! The follower's side of replication: what a `Fetch` and a `FetchSnapshot` brought.

use protocol::records::Batches;

use super::*;
use crate::FrozenSnapshot;

impl RaftNode {
    /// Takes what the leader sent. False: nothing could be done with it.
    pub(super) fn handle_fetch_response(&mut self, body: ResponseBody, now_ms: i64) -> Result<bool> {
        let ResponseBody::Fetch { high_watermark, diverging_epoch, snapshot_id, records, .. } = body else {
            return Ok(false);
        };
        let leader_id = self.quorum.leader_and_epoch().leader_id;
        if let Some(diverging) = diverging_epoch {
            let offset = self.log.truncate_to_end_offset(diverging, now_ms)?;
            tracing::info!(leader_id, offset, "the metadata log is cut to where it is the leader's");
            self.control.truncate_new_entries(offset);
            self.recent.retain(|batch| batch.last_offset < offset);
        } else if let Some(id) = snapshot_id {
            if id.offset < 0 || id.epoch < 0 {
                tracing::error!(leader_id, %id, "the leader names a snapshot that cannot be");
                return Ok(false);
            }
            if let Some(follower) = self.quorum.follower_mut() {
                *follower.fetching_snapshot_mut() = None;
            }
            let download = self.log.begin_download(id)?;
            match &download {
                Some(_) => tracing::info!(leader_id, %id, "fetching a snapshot"),
                None => tracing::info!(leader_id, %id, "the leader names a snapshot that is here already"),
            }
            if let Some(follower) = self.quorum.follower_mut() {
                *follower.fetching_snapshot_mut() = download;
            }
        } else {
            self.append_as_follower(&records, now_ms)?;
            // Takes effect with the next flush: a voter says only of what is on its disk that it is committed.
            self.leaders_high_watermark = self.leaders_high_watermark.max(high_watermark);
        }
        if let Some(follower) = self.quorum.follower_mut() {
            follower.reset_fetch_timeout(now_ms);
        }
        Ok(true)
    }

    fn append_as_follower(&mut self, records: &[u8], now_ms: i64) -> Result<()> {
        let end_offset = self.log.end_offset();
        if records.is_empty() || !self.log.append_as_follower(records, self.quorum.epoch(), now_ms)? {
            return Ok(());
        }
        self.unflushed = true;
        let appended = self.log.end_offset();
        for batch in Batches::new(records) {
            let Ok(batch) = batch else { break };
            if batch.base_offset() < end_offset || batch.next_offset() > appended {
                break;
            }
            let read = CommittedBatch::read(&batch);
            let batch = read.map_err(|error| self.log.corrupt(batch.base_offset(), error.to_string()))?;
            self.control.log_batch(&batch);
            self.keep_for_server(batch);
        }
        Ok(())
    }

    /// Takes a piece of a snapshot. False: nothing could be done with it.
    pub(super) fn handle_fetch_snapshot_response(
        &mut self,
        error: ErrorCode,
        body: ResponseBody,
        now_ms: i64,
    ) -> Result<bool> {
        let ResponseBody::FetchSnapshot { snapshot_id, size, position, bytes } = body else {
            return Ok(false);
        };
        let Some(follower) = self.quorum.follower_mut() else { return Ok(true) };
        let known = snapshot_id.filter(|id| error != ErrorCode::SnapshotNotFound && id.offset >= 0);
        let Some(id) = known.filter(|id| id.epoch >= 0) else {
            if error != ErrorCode::None && error != ErrorCode::SnapshotNotFound {
                tracing::error!(%error, "the leader refuses its snapshot");
                return Ok(false);
            }
            // It was deleted meanwhile: the next fetch names another.
            *follower.fetching_snapshot_mut() = None;
            follower.reset_fetch_timeout(now_ms);
            return Ok(true);
        };
        let mut download = follower.fetching_snapshot_mut().take();
        let expected = download.as_ref().is_some_and(|download| {
            download.id() == id
                && i64::try_from(download.size_in_bytes()) == Ok(position)
                && !bytes.is_empty()
        });
        let Some(mut snapshot) = download.take().filter(|_| expected) else {
            tracing::error!(%id, position, "the leader sent a piece of a snapshot that was not asked for");
            return Ok(false);
        };
        snapshot.append(&bytes)?;
        let is_whole = i64::try_from(snapshot.size_in_bytes()).is_ok_and(|written| written >= size);
        follower.reset_fetch_timeout(now_ms);
        if !is_whole {
            *follower.fetching_snapshot_mut() = Some(snapshot);
            return Ok(true);
        }
        match snapshot.freeze() {
            Ok(frozen) => self.snapshot_downloaded(frozen, now_ms).map(|()| true),
            Err(error @ RaftError::CorruptSnapshot { .. }) => {
                tracing::error!("the leader's snapshot is thrown away: {error}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn snapshot_downloaded(&mut self, frozen: FrozenSnapshot, now_ms: i64) -> Result<()> {
        self.log.on_snapshot_frozen(frozen);
        if self.log.truncate_to_latest_snapshot(now_ms)? {
            tracing::info!(id = %frozen.id, "a snapshot takes the place of the log");
            self.control.clear();
            load_control_records(&self.log, &mut self.control)?;
            self.recent.clear();
            let high_watermark = frozen.id.offset;
            self.leaders_high_watermark = self.leaders_high_watermark.max(Some(high_watermark));
            self.unflushed = true;
        }
        Ok(())
    }
}
