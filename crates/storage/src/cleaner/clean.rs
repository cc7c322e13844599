//! Compacting one log (`Cleaner`).
//!
//! First the keys of the uncompacted part are gathered with their last offsets, as many as memory allows. Then all segments up to
//! there are written anew, in groups, without the records that a later one replaces, and each group is exchanged for what was
//! written.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use protocol::records::{RecordBatch, RecordError};

use super::filter::{Counts, Filter, Filtered, records};
use super::offset_map::OffsetMap;
use super::selection::LogToClean;
use super::throttler::Throttler;
use super::transactions::CleanedTransactions;
use super::{CleanerConfig, CleanerHost};
use crate::batch_reader::{BatchReader, invalid_data};
use crate::crash_point;
use crate::file_names::CLEANED_FILE_SUFFIX;
use crate::log::{CleanError, Cleaning, Log};
use crate::segment::LogSegment;

/// The longest that a cleaner waits before it looks whether it should stop.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// What a cleaning did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stats {
    pub keys: usize,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub counts: Counts,
}

/// One cleaning of one log.
pub(super) struct Cleaner<'a> {
    pub config: &'a CleanerConfig,
    pub throttler: &'a Throttler,
    pub host: &'a CleanerHost<'a>,
    pub cleaning: &'a Cleaning,
}

impl Cleaner<'_> {
    /// Compacts the log. Returns the offset up to which it is compacted now.
    pub fn clean(&self, to_clean: &LogToClean, now_ms: i64) -> Result<(i64, Stats), CleanError> {
        let mut stats = Stats::default();
        let upper_bound = to_clean.first_uncleanable_offset;
        let map = self.build_offset_map(to_clean.first_dirty_offset, upper_bound, &mut stats)?;
        stats.keys = map.len();
        let end_offset = map.latest_offset() + 1;
        self.cleaning.flush_up_to(end_offset)?;
        let config = self.cleaning.log().config();
        let segments = self.cleaning.log().segments();
        let to_clean: Vec<_> =
            segments.iter().filter(|segment| segment.base_offset() < end_offset).cloned().collect();
        let groups = group_segments(&to_clean, config.segment_size, config.max_index_size, upper_bound)
            .map_err(|error| self.cleaning.failed(error))?;
        let mut transactions = CleanedTransactions::default();
        for group in groups {
            self.clean_group(&group, &map, &mut transactions, &mut stats, now_ms)?;
        }
        Ok((end_offset, stats))
    }

    /// Gathers the last offsets of the keys from `start` on.
    fn build_offset_map(&self, start: i64, end: i64, stats: &mut Stats) -> Result<OffsetMap, CleanError> {
        let wanted = u64::try_from(end - start).unwrap_or(0);
        let mut map =
            OffsetMap::new(self.config.dedupe_memory(), self.config.dedupe_buffer_load_factor, wanted);
        let mut transactions = CleanedTransactions::default();
        transactions.add_aborted(self.cleaning.collect_aborted_transactions(start, end)?);
        let segments = self.cleaning.log().segments();
        let dirty: Vec<_> = segments_between(&segments, start, end);
        for (index, segment) in dirty.iter().enumerate() {
            let next = dirty.get(index + 1).map_or(end, |next| next.base_offset());
            if !self.index_segment(segment, start, &mut map, &mut transactions, stats)? {
                return Ok(map);
            }
            // Behind the last batch there may be a gap.
            map.update_latest_offset(next - 1);
        }
        Ok(map)
    }

    /// Adds the keys of a segment. Returns false when the map is full.
    fn index_segment(
        &self,
        segment: &LogSegment,
        start: i64,
        map: &mut OffsetMap,
        transactions: &mut CleanedTransactions,
        stats: &mut Stats,
    ) -> Result<bool, CleanError> {
        let entry = segment.offset_index().lookup(segment.paths(), start);
        let position = entry.map_err(|error| self.cleaning.failed(error))?.position;
        self.for_each_batch(segment, position, stats, |batch, at| {
            let fault = |error| self.unclean(segment, at, error);
            if batch.is_control() {
                transactions.on_control_batch(batch).map_err(fault)?;
            } else if !transactions.on_batch(batch)
                && let Some(records) = records(batch).map_err(fault)?
            {
                for record in records.iter() {
                    let record = record.map_err(fault)?;
                    if let Some(key) = record.key
                        && record.offset >= start
                        && !map.put(key, record.offset)
                    {
                        return Ok(false);
                    }
                }
            }
            if batch.last_offset() >= start {
                map.update_latest_offset(batch.last_offset());
            }
            Ok(true)
        })
    }

    /// Writes a group of segments anew and exchanges them.
    fn clean_group(
        &self,
        group: &[Arc<LogSegment>],
        map: &OffsetMap,
        transactions: &mut CleanedTransactions,
        stats: &mut Stats,
        now_ms: i64,
    ) -> Result<(), CleanError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let log = self.cleaning.log();
        let cleaned = LogSegment::create_cleaned(log.partition_dir(), first.base_offset())
            .map_err(|error| self.cleaning.failed(error))?;
        crash_point::reached("create");
        let cleaned = Arc::new(cleaned);
        let mut write = || -> Result<(), CleanError> {
            let mut writer = CleanedWriter::new(&cleaned, log, self.config.io_buffer_size());
            for (index, segment) in group.iter().enumerate() {
                let end = match group.get(index + 1) {
                    Some(next) => Ok(next.base_offset()),
                    None => segment.next_offset(),
                };
                let end = end.map_err(|error| self.cleaning.failed(error))?;
                transactions
                    .add_aborted(self.cleaning.collect_aborted_transactions(segment.base_offset(), end)?);
                self.clean_into(segment, &mut writer, map, transactions, stats, now_ms)?;
            }
            let mut finish = || -> io::Result<()> {
                writer.write_out()?;
                cleaned.on_become_inactive(false)?;
                cleaned.sync(true)?;
                cleaned.set_last_modified_ms(last.last_modified_ms()?)
            };
            finish().map_err(|error| self.cleaning.failed(error))?;
            crash_point::reached("write");
            self.cleaning.replace_segments(&cleaned, group, now_ms)
        };
        write().inspect_err(|error| {
            // Otherwise the exchange may have begun, and the next start finishes or undoes it.
            if !matches!(error, CleanError::Storage(_)) && cleaned.is_in_state(CLEANED_FILE_SUFFIX) {
                // Left behind, the files would do no harm: the next start deletes them.
                let _ = cleaned.delete_files();
            }
        })
    }

    fn clean_into(
        &self,
        segment: &LogSegment,
        writer: &mut CleanedWriter<'_>,
        map: &OffsetMap,
        transactions: &mut CleanedTransactions,
        stats: &mut Stats,
        now_ms: i64,
    ) -> Result<(), CleanError> {
        let log = self.cleaning.log();
        let last_records = log.last_records_of_active_producers();
        let delete_retention_ms = log.config().delete_retention_ms;
        let high_watermark = log.high_watermark();
        let filter = Filter { map, last_records: &last_records, high_watermark, delete_retention_ms, now_ms };
        let mut counts = stats.counts;
        let mut written = 0;
        let mut kept = Vec::new();
        self.for_each_batch(segment, 0, stats, |batch, at| {
            let mut aborted = None;
            let filtered = filter
                .filter(batch, transactions, &mut counts, &mut kept, |transaction| {
                    aborted = Some(transaction)
                })
                .map_err(|error| self.unclean(segment, at, error))?;
            let bytes = match &filtered {
                Filtered::Dropped => &[],
                Filtered::Kept => batch.as_bytes(),
                Filtered::Rewritten(bytes) => bytes.as_slice(),
            };
            let mut wrote = || -> io::Result<()> {
                if let Some(aborted) = aborted {
                    writer.segment.append_aborted(aborted)?;
                }
                writer.add(bytes)
            };
            wrote().map_err(|error| self.cleaning.failed(error))?;
            written += bytes.len() as u64;
            self.throttle(bytes.len())?;
            Ok(true)
        })?;
        stats.counts = counts;
        stats.bytes_written += written;
        Ok(())
    }

    /// Reads the batches of a segment from a position on, as long as `read` says true. Returns whether all were read.
    fn for_each_batch(
        &self,
        segment: &LogSegment,
        position: u64,
        stats: &mut Stats,
        mut read: impl FnMut(&RecordBatch<'_>, u64) -> Result<bool, CleanError>,
    ) -> Result<bool, CleanError> {
        let file = segment.file().map_err(|error| self.cleaning.failed(error))?;
        let mut reader =
            BatchReader::with_piece(file, position, segment.size(), self.config.io_buffer_size());
        loop {
            self.check()?;
            let at = reader.position();
            let batch = match reader.next() {
                Ok(Some(batch)) => batch,
                Ok(None) if at < segment.size() => {
                    // Unless the log is about to be cut, there is no such thing as half a batch.
                    self.check()?;
                    return Err(CleanError::Unclean(format!(
                        "{} ends within a batch at position {at}",
                        segment.log_path().display()
                    )));
                }
                Ok(None) => return Ok(true),
                Err(error) => return Err(self.cleaning.failed(error)),
            };
            // Divergence: Kafka does not look. A damaged record that is written anew would get a checksum that says it is whole.
            batch.verify_crc().map_err(|error| self.unclean(segment, at, error))?;
            let size = batch.size_in_bytes();
            let goes_on = read(&batch, at)?;
            stats.bytes_read += size as u64;
            self.throttle(size)?;
            if !goes_on {
                return Ok(false);
            }
        }
    }

    fn unclean(&self, segment: &LogSegment, position: u64, error: RecordError) -> CleanError {
        let path = segment.log_path();
        self.cleaning.failed(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {}", path.display(), invalid_data(error, position)),
        ))
    }

    /// An error if the log was changed, or the cleaner is to stop.
    fn check(&self) -> Result<(), CleanError> {
        if (self.host.is_stopping)() { Err(CleanError::Aborted) } else { self.cleaning.check() }
    }

    fn throttle(&self, bytes: usize) -> Result<(), CleanError> {
        let Some(mut left) = self.throttler.observe(bytes as u64, (self.host.monotonic_ns)()) else {
            return Ok(());
        };
        while !left.is_zero() {
            let wait = left.min(LONGEST_WAIT);
            (self.host.sleep)(wait);
            left -= wait;
            self.check()?;
        }
        Ok(())
    }
}

/// The segment that is being written, with its indexes.
struct CleanedWriter<'a> {
    segment: &'a LogSegment,
    buffer: Vec<u8>,
    /// The batches in the buffer: last offset, largest timestamp, size.
    batches: Vec<(i64, i64, u64)>,
    buffer_size: usize,
    index_interval: u64,
    bytes_since_last_index_entry: u64,
}

impl<'a> CleanedWriter<'a> {
    fn new(segment: &'a LogSegment, log: &Log, buffer_size: usize) -> CleanedWriter<'a> {
        CleanedWriter {
            segment,
            buffer: Vec::new(),
            batches: Vec::new(),
            buffer_size,
            index_interval: log.config().index_interval.max(0) as u64,
            bytes_since_last_index_entry: 0,
        }
    }

    /// Adds a batch, or nothing for no bytes.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.buffer.len() + bytes.len() > self.buffer_size {
            self.write_out()?;
        }
        let batch = RecordBatch::parse(bytes).map_err(|error| invalid_data(error, 0))?;
        self.batches.push((batch.last_offset(), batch.max_timestamp(), bytes.len() as u64));
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        let mut position = self.segment.size();
        self.segment.append(&mut [IoSlice::new(&self.buffer)])?;
        self.buffer.clear();
        for (last_offset, max_timestamp, size) in self.batches.drain(..) {
            let due = self.bytes_since_last_index_entry > self.index_interval;
            if due {
                self.bytes_since_last_index_entry = 0;
            }
            self.segment.note_batch(last_offset, max_timestamp, position, due)?;
            position += size;
            self.bytes_since_last_index_entry += size;
        }
        Ok(())
    }
}

/// The segments that hold `start..end`.
pub(super) fn segments_between(segments: &[Arc<LogSegment>], start: i64, end: i64) -> Vec<Arc<LogSegment>> {
    if start >= end {
        return Vec::new();
    }
    let first = segments.partition_point(|segment| segment.base_offset() <= start).saturating_sub(1);
    segments.iter().skip(first).take_while(|segment| segment.base_offset() < end).cloned().collect()
}

/// Puts neighbours together that fit in one segment, so that compaction leaves few segments and not small ones.
fn group_segments(
    segments: &[Arc<LogSegment>],
    max_size: i32,
    max_index_size: i32,
    first_uncleanable_offset: i64,
) -> io::Result<Vec<Vec<Arc<LogSegment>>>> {
    let (max_size, max_index_size) = (max_size.max(0) as u64, max_index_size.max(0) as u64);
    let mut groups: Vec<Vec<Arc<LogSegment>>> = Vec::new();
    let (mut size, mut offset_index_size, mut time_index_size) = (0, 0, 0);
    for (index, segment) in segments.iter().enumerate() {
        let (offset_index, time_index) = segment.index_sizes()?;
        size += segment.size();
        offset_index_size += offset_index;
        time_index_size += time_index;
        // The next segment's beginning says where this one ends, near enough.
        let end = segments.get(index + 1).map_or(first_uncleanable_offset, |next| next.base_offset());
        if let Some(group) = groups.last_mut()
            && let Some(first) = group.first()
            && size <= max_size
            && offset_index_size <= max_index_size
            && time_index_size <= max_index_size
            && (segment.size() == 0 || end - 1 - first.base_offset() <= i64::from(i32::MAX))
        {
            group.push(Arc::clone(segment));
        } else {
            groups.push(vec![Arc::clone(segment)]);
            (size, offset_index_size, time_index_size) = (segment.size(), offset_index, time_index);
        }
    }
    Ok(groups)
}
