//! The leader's side of replication: `Fetch` of the log with diverging epochs and snapshots, and `FetchSnapshot`.

use super::*;
use crate::node::parked::{FetchRequest, MAX_PARKED_FETCHES};

impl RaftNode {
    pub(super) fn handle_fetch(&mut self, token: u64, request: &QuorumRequest, now_ms: i64) -> Result<()> {
        let QuorumRequest::Fetch {
            replica,
            current_leader_epoch,
            fetch_offset,
            last_fetched_epoch,
            high_watermark,
            max_bytes,
            max_wait_ms,
            ..
        } = *request
        else {
            return Ok(());
        };
        if max_wait_ms < 0
            || fetch_offset < 0
            || last_fetched_epoch < 0
            || last_fetched_epoch > current_leader_epoch
        {
            let refused = self.response(ErrorCode::InvalidRequest, ResponseBody::empty_fetch());
            self.answer(token, refused);
            return Ok(());
        }
        let fetch = FetchRequest {
            replica,
            current_leader_epoch,
            fetch_offset,
            last_fetched_epoch,
            high_watermark,
            max_bytes,
        };
        let response = self.serve_fetch(&fetch, now_ms)?;
        let waits = max_wait_ms > 0 && self.parked.len() < MAX_PARKED_FETCHES && is_empty(&response, &fetch);
        if waits {
            let deadline_ms = now_ms.saturating_add(i64::from(max_wait_ms));
            self.parked.push(ParkedFetch { token, fetch, deadline_ms });
        } else {
            self.answer(token, response);
        }
        Ok(())
    }

    fn serve_fetch(&mut self, fetch: &FetchRequest, now_ms: i64) -> Result<QuorumResponse> {
        if let Some(error) = self.validate_leader_request(fetch.current_leader_epoch) {
            return Ok(self.response(error, ResponseBody::empty_fetch()));
        }
        let latest = self.log.latest_snapshot_id().filter(|id| *id != OffsetAndEpoch::BOOTSTRAP);
        let valid = match latest {
            // Quicker than the whole log.
            Some(latest) if fetch.fetch_offset == 0 => ValidOffsetAndEpoch::Snapshot(latest),
            _ => self.log.validate_offset_and_epoch(fetch.fetch_offset, fetch.last_fetched_epoch),
        };
        let mut records = Vec::new();
        let (mut diverging_epoch, mut snapshot_id) = (None, None);
        match valid {
            ValidOffsetAndEpoch::Valid(_) => {
                let end_offset = self.log.end_offset();
                if fetch.fetch_offset < end_offset {
                    let max_bytes = usize::try_from(fetch.max_bytes).unwrap_or(0);
                    records = self.log.read(fetch.fetch_offset, max_bytes, end_offset)?;
                }
                let moved = self.quorum.leader_mut().is_some_and(|leader| {
                    leader.update_replica(fetch.replica, fetch.fetch_offset, end_offset, now_ms)
                });
                if moved {
                    self.leader_high_watermark_moved(now_ms)?;
                }
            }
            ValidOffsetAndEpoch::Diverging(end) => diverging_epoch = Some(end),
            ValidOffsetAndEpoch::Snapshot(id) => snapshot_id = Some(id),
        }
        let body = ResponseBody::Fetch {
            log_start_offset: self.log.start_offset(),
            high_watermark: self.quorum.leader().and_then(|leader| leader.high_watermark()),
            diverging_epoch,
            snapshot_id,
            records,
        };
        Ok(self.response(ErrorCode::None, body))
    }

    /// Answers the fetches that wait and have something to get now, or have waited long enough.
    pub(super) fn complete_fetches(&mut self, now_ms: i64) -> Result<()> {
        if self.parked.is_empty() {
            return Ok(());
        }
        let end_offset = self.log.end_offset();
        let high_watermark = self.quorum.leader().and_then(|leader| leader.high_watermark()).unwrap_or(-1);
        let mut waiting = std::mem::take(&mut self.parked);
        let mut ready = Vec::new();
        waiting.retain(|parked| {
            let has_news =
                parked.fetch.fetch_offset < end_offset || parked.fetch.high_watermark < high_watermark;
            if has_news || parked.deadline_ms <= now_ms {
                ready.push(*parked);
            }
            !(has_news || parked.deadline_ms <= now_ms)
        });
        self.parked = waiting;
        for parked in ready {
            let response = self.serve_fetch(&parked.fetch, now_ms)?;
            self.answer(parked.token, response);
        }
        Ok(())
    }

    /// More is committed by this leader's count.
    pub(super) fn leader_high_watermark_moved(&mut self, now_ms: i64) -> Result<()> {
        let Some(high_watermark) = self.quorum.leader().and_then(|leader| leader.high_watermark()) else {
            return Ok(());
        };
        // Invariant: what is committed is in this leader's log.
        assert!(high_watermark <= self.log.end_offset(), "committed {high_watermark} is beyond the log");
        self.advance_high_watermark(high_watermark);
        self.next_poll_ms = self.next_poll_ms.min(now_ms);
        self.voter_change_committed(high_watermark);
        Ok(())
    }

    pub(super) fn handle_fetch_snapshot(
        &mut self,
        request: &QuorumRequest,
        now_ms: i64,
    ) -> Result<(ErrorCode, ResponseBody)> {
        let refused = |error| Ok((error, ResponseBody::empty_fetch_snapshot()));
        let QuorumRequest::FetchSnapshot {
            replica,
            current_leader_epoch,
            snapshot_id,
            position,
            max_bytes,
            ..
        } = *request
        else {
            return refused(ErrorCode::InvalidRequest);
        };
        if let Some(error) = self.validate_leader_request(current_leader_epoch) {
            return refused(error);
        }
        let (Ok(start), Ok(max_bytes)) = (u64::try_from(position), usize::try_from(max_bytes)) else {
            return refused(ErrorCode::PositionOutOfRange);
        };
        // A piece is as large as a batch at most, whatever is asked for.
        let max_bytes = max_bytes.min(self.config.log.max_batch_size_bytes);
        let Some((size, bytes)) = self.fetch_snapshot(snapshot_id, start, max_bytes)? else {
            // Divergence: Apache Kafka 4.4 means this, too, and says UNKNOWN_SERVER_ERROR: it cannot write an answer without records.
            return refused(ErrorCode::SnapshotNotFound);
        };
        if start >= size {
            return refused(ErrorCode::PositionOutOfRange);
        }
        if let Some(leader) = self.quorum.leader_mut() {
            leader.update_check_quorum(replica, now_ms);
        }
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let body = ResponseBody::FetchSnapshot { snapshot_id: Some(snapshot_id), size, position, bytes };
        Ok((ErrorCode::None, body))
    }
}

/// Whether an answer says nothing that its replica does not know.
fn is_empty(response: &QuorumResponse, fetch: &FetchRequest) -> bool {
    match &response.body {
        ResponseBody::Fetch { high_watermark, diverging_epoch, snapshot_id, records, .. } => {
            response.error == ErrorCode::None
                && records.is_empty()
                && diverging_epoch.is_none()
                && snapshot_id.is_none()
                && fetch.high_watermark >= high_watermark.unwrap_or(-1)
        }
        _ => false,
    }
}
