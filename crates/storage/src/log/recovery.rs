//! Finding out what is whole after an unclean stop (`LogSegment.recover`), and rebuilding what is known of producers
//! (`UnifiedLog.rebuildProducerState`).

use std::io;
use std::sync::Arc;

use protocol::records::{RecordBatch, RecordError};

use super::append::end_txn_marker;
use super::waypoint::ResumePoint;
use crate::batch_reader::{BatchReader, invalid_data};
use crate::config::LogConfig;
use crate::file_names::LOG_FILE_SUFFIX;
use crate::index::AbortedTxn;
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::producer::{CompletedTxn, ProducerStateManager, TRANSACTION_VERSION_UNKNOWN};
use crate::segment::LogSegment;
use crate::types::AppendOrigin;

/// What becomes of the bytes behind the last batch that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// They were never synced, or nothing lies behind them: they go.
    Cut,
    /// They lie in the middle of what was synced, and other segments behind them: they stay, and whoever reads there is told.
    ///
    /// Divergence: Kafka cuts such a segment when its indexes are made anew, and the offsets are missing without a word.
    Keep,
}

/// Reads a segment from its beginning or from a point on, keeps it up to the last whole batch, and makes its indexes, epochs and producer
/// state from there on anew. Returns how many bytes were cut off.
pub(super) fn recover_segment(
    segment: &LogSegment,
    from: Option<ResumePoint>,
    config: &LogConfig,
    producers: &mut ProducerStateManager,
    epochs: &mut LeaderEpochCache,
    if_damaged: Damage,
) -> io::Result<u64> {
    let paths = segment.paths();
    match from {
        Some(point) => point.cut_indexes(segment)?,
        None => {
            segment.offset_index().reset(paths)?;
            segment.time_index().reset(paths)?;
            segment.txn_index().reset(paths)?;
            segment.reset_max_timestamp();
        }
    }
    let interval = config.index_interval.max(0) as u64;
    let mut valid_bytes = from.map_or(0, |point| point.position());
    let mut last_index_entry = valid_bytes;
    let mut next_offset = segment.base_offset();
    let mut reader = BatchReader::new(segment.file()?, valid_bytes, segment.size());
    let damage = loop {
        let batch = match reader.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => break None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break Some(error),
            Err(error) => return Err(error),
        };
        if let Err(error) = check_batch(&batch, segment, next_offset) {
            break Some(invalid_data(error, valid_bytes));
        }
        // What is read first from a point on has an entry.
        let due = valid_bytes - last_index_entry > interval
            || from.is_some_and(|point| point.position() == valid_bytes);
        let in_index = due && !segment.indexes_full(config.max_index_size, 0)?;
        if in_index {
            last_index_entry = valid_bytes;
        }
        segment.note_batch(batch.last_offset(), batch.max_timestamp(), valid_bytes, in_index)?;
        valid_bytes += batch.size_in_bytes() as u64;
        next_offset = batch.next_offset();
        epochs.found_batch(batch.partition_leader_epoch(), batch.base_offset(), batch.last_offset());
        if !from.is_some_and(|point| point.is_known(&batch)) {
            replay_batch(producers, &batch, |aborted| segment.append_aborted(aborted))?;
        }
    };
    let mut truncated = segment.size() - valid_bytes;
    if truncated > 0 {
        let damage =
            damage.map_or_else(|| "the last batch is not whole".to_owned(), |error| error.to_string());
        let path = segment.log_path();
        match if_damaged {
            Damage::Cut => tracing::warn!(
                path = %path.display(), position = valid_bytes, truncated, next_offset,
                "found invalid messages; the segment is cut there: {damage}"
            ),
            Damage::Keep => tracing::error!(
                path = %path.display(), position = valid_bytes, next_offset,
                "a segment is damaged, and nothing behind that in it can be read: {damage}"
            ),
        }
    }
    match if_damaged {
        Damage::Cut => segment.truncate_file(valid_bytes)?,
        Damage::Keep => truncated = 0,
    }
    segment.time_index().maybe_append(paths, segment.load_max_timestamp()?)?;
    segment.offset_index().release(paths)?;
    segment.time_index().release(paths)?;
    Ok(truncated)
}

/// The checksum does not cover the offsets: that they rise and fit is checked beside it.
///
/// Divergence: Kafka splits a segment whose offsets do not fit its indexes, which only a bug before version 1.1 could make.
fn check_batch(batch: &RecordBatch<'_>, segment: &LogSegment, next_offset: i64) -> Result<(), RecordError> {
    batch.verify_crc()?;
    if batch.base_offset() < next_offset
        || batch.last_offset() < batch.base_offset()
        || !segment.can_hold(batch.last_offset())
    {
        return Err(RecordError::CannotAppend(
            "its offsets do not follow those before it, or do not fit the segment",
        ));
    }
    Ok(())
}

/// Adds a batch that lies in the log to the producer state.
fn replay_batch(
    producers: &mut ProducerStateManager,
    batch: &RecordBatch<'_>,
    on_aborted: impl FnOnce(AbortedTxn) -> io::Result<()>,
) -> io::Result<()> {
    if batch.has_producer_id() {
        let mut append = producers.prepare(batch.producer_id(), AppendOrigin::Replication);
        let completed: Option<CompletedTxn> = match end_txn_marker(batch) {
            Some((marker, timestamp)) => append
                .append_end_txn(
                    marker,
                    batch.producer_epoch(),
                    batch.base_offset(),
                    timestamp,
                    TRANSACTION_VERSION_UNKNOWN,
                    &"the log",
                )
                .map_err(io::Error::other)?,
            None if batch.is_control() => None,
            None => {
                let added = append.append_data(batch, batch.base_offset(), batch.max_timestamp(), &"the log");
                if let Err(error) = added {
                    // The leader has taken it: what is in the log counts.
                    tracing::warn!(%error, "a batch in the log does not fit its producer's state");
                }
                None
            }
        };
        producers.update(&append);
        if let Some(completed) = completed {
            let last_stable_offset = producers.last_stable_offset(&completed);
            if completed.is_aborted {
                on_aborted(AbortedTxn {
                    producer_id: completed.producer_id,
                    first_offset: completed.first_offset,
                    last_offset: completed.last_offset,
                    last_stable_offset,
                })?;
            }
            producers.complete_txn(&completed);
        }
    }
    producers.update_map_end_offset(batch.next_offset());
    Ok(())
}

/// Makes the producer state that before `end_offset`: from the newest snapshot that can be used, and the records behind it.
///
/// Divergence: Kafka syncs the snapshots that it writes here. One that a crash spoils is known by its checksum, and made again.
pub(super) fn rebuild_producer_state(
    producers: &mut ProducerStateManager,
    segments: &[Arc<LogSegment>],
    log_start_offset: i64,
    end_offset: i64,
    from_clean_stop: bool,
    now_ms: i64,
) -> io::Result<()> {
    // Snapshots are wanted at the last two segments and at the end, so that the next time is short.
    let mut snapshot_at: Vec<i64> =
        segments.iter().rev().take(2).map(|segment| segment.base_offset()).collect();
    snapshot_at.reverse();
    if producers.latest_snapshot_offset().is_none() && from_clean_stop {
        // There was never a producer with an id: a clean stop would have left a snapshot otherwise.
        for offset in snapshot_at.into_iter().chain([end_offset]) {
            producers.update_map_end_offset(offset);
            producers.take_snapshot(false)?;
        }
        return Ok(());
    }
    let was_empty = producers.is_empty() && producers.map_end_offset() >= end_offset;
    producers.truncate_and_reload(log_start_offset, end_offset, now_ms)?;
    if end_offset > producers.map_end_offset() && !was_empty {
        let from = producers.map_end_offset();
        let first = segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
        for segment in segments.iter().skip(first).take_while(|segment| segment.base_offset() < end_offset) {
            let start = segment.base_offset().max(producers.map_end_offset()).max(log_start_offset);
            producers.update_map_end_offset(start);
            if snapshot_at.contains(&segment.base_offset()) {
                producers.take_snapshot(false)?;
            }
            match replay_segment(producers, segment, start, end_offset) {
                // The records are there for whoever reads around the damage; a broker that does not start has none.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => tracing::error!(
                    path = %segment.paths().path(LOG_FILE_SUFFIX).display(), %error,
                    "a segment is damaged: what its producers wrote behind that is not known, so that what they send again may be there twice"
                ),
                replayed => replayed?,
            }
        }
    }
    producers.update_map_end_offset(end_offset);
    producers.take_snapshot(false)?;
    Ok(())
}

fn replay_segment(
    producers: &mut ProducerStateManager,
    segment: &LogSegment,
    start_offset: i64,
    end_offset: i64,
) -> io::Result<()> {
    let Some(start) = segment.find_batch(start_offset)? else { return Ok(()) };
    let mut reader = BatchReader::new(segment.file()?, start.position, segment.size());
    while let Some(batch) = reader.next()? {
        if batch.base_offset() >= end_offset {
            break;
        }
        replay_batch(producers, &batch, |_| Ok(()))?;
    }
    Ok(())
}
