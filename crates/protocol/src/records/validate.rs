//! Validating the records of a batch in place: no object per record, no allocation, 7 ns for a usual record, 2 where records are alike.
//!
//! What a leader must know before it appends a producer's batch (`LogValidator`, `DefaultRecord`), from one walk
//! over the varints. Compressed records are walked as they come out of the codec, through one buffer of fixed
//! size, so a batch that decompresses to ten thousand times its size costs no memory.

use super::error::{RecordError, RecordFault};
use super::header::{BatchHeader, TimestampType};
use super::source::{SliceSource, Source, StreamSource};
use super::varint::size_of_varint;
use super::{NO_TIMESTAMP, RecordBatch};
use crate::compression::Decoder;

/// Bounds on compressed records. What lies uncompressed in a batch was bounded when the batch was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// Largest size of one decompressed record in bytes (`max.decompressed.message.bytes`).
    pub max_record_bytes: i32,
    /// Most bytes that the records of one batch may have together when decompressed.
    pub max_decompressed_bytes: u64,
}

impl Default for RecordLimits {
    /// Kafka's default for a record: as large as an array can be.
    ///
    /// Divergence: Kafka does not limit a batch. Walking takes no memory, but zstd puts 128 KiB into four bytes, and a
    /// batch of 1 MiB would keep a processor busy for many seconds.
    fn default() -> RecordLimits {
        RecordLimits { max_record_bytes: i32::MAX, max_decompressed_bytes: i32::MAX as u64 }
    }
}

/// What validation found in the records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsSummary {
    /// How many records there are: as many as the header says.
    pub count: u32,
    /// Largest timestamp in ms, -1 if none has one. With `LogAppendTime` that of the batch.
    pub max_timestamp: i64,
    /// Which record is the first with the largest timestamp, from 0; 0 if none has one.
    pub index_of_max_timestamp: u32,
    /// Smallest timestamp in ms of the records that have one. With the largest, tells whether every record is
    /// within `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
    pub min_timestamp: Option<i64>,
    /// The first record without a key, which a compacted topic does not accept.
    pub first_without_key: Option<u32>,
    /// Are the offset deltas 0, 1, 2, ...? If not, the leader of a compressed batch has to write it anew (as
    /// `LogValidator` does), and a batch in a log has been compacted.
    pub consecutive_offsets: bool,
    /// Size of all records when decompressed, in bytes.
    pub size_in_bytes: u64,
}

impl RecordBatch<'_> {
    /// Walks over the records: sizes, counts and lengths fit, the count is the header's, and no byte is left
    /// over. Keys, values and headers are not looked into. A compressed batch is limited by the
    /// default of [`RecordLimits`].
    ///
    /// # Errors
    /// The first fault of the first record that has one, or that of the codec.
    pub fn validate_records(&self) -> Result<RecordsSummary, RecordError> {
        self.validate_records_within(RecordLimits::default())
    }

    /// [`RecordBatch::validate_records`] with limits for compressed records.
    ///
    /// # Errors
    /// As there, and [`RecordFault::TooLarge`] or [`CompressionError::TooLarge`](crate::compression::CompressionError::TooLarge).
    pub fn validate_records_within(&self, limits: RecordLimits) -> Result<RecordsSummary, RecordError> {
        if self.records_count() == 0 {
            // Kafka does not look at the bytes of a batch that announces no records.
            return Ok(Walk::new(self.header())?.summary(0));
        }
        if !self.is_compressed() {
            return walk(self.header(), &mut SliceSource::new(self.records_bytes()), i32::MAX);
        }
        let decoder = Decoder::new(self.compression(), self.records_bytes())?;
        StreamSource::with(decoder, limits.max_decompressed_bytes, |source| {
            walk(self.header(), source, limits.max_record_bytes)
        })
    }
}

/// The sum of what was seen so far.
struct Walk {
    base_timestamp: i64,
    log_append_time: Option<i64>,
    count: u32,
    max_timestamp: i64,
    index_of_max_timestamp: u32,
    min_timestamp: i64,
    first_without_key: Option<u32>,
    consecutive_offsets: bool,
}

impl Walk {
    fn new(header: &BatchHeader) -> Result<Walk, RecordError> {
        let declared = header.records_count();
        let count = u32::try_from(declared).map_err(|_| RecordError::InvalidRecordCount(declared))?;
        let log_append_time =
            (header.timestamp_type() == TimestampType::LogAppendTime).then(|| header.max_timestamp());
        Ok(Walk {
            base_timestamp: header.base_timestamp(),
            log_append_time,
            count,
            max_timestamp: NO_TIMESTAMP,
            index_of_max_timestamp: 0,
            min_timestamp: i64::MAX,
            first_without_key: None,
            consecutive_offsets: true,
        })
    }

    fn summary(&self, size_in_bytes: u64) -> RecordsSummary {
        RecordsSummary {
            count: self.count,
            max_timestamp: self.max_timestamp,
            index_of_max_timestamp: self.index_of_max_timestamp,
            // i64::MAX stands for none, unless it was seen.
            min_timestamp: (self.min_timestamp != i64::MAX || self.max_timestamp == i64::MAX)
                .then_some(self.min_timestamp),
            first_without_key: self.first_without_key,
            consecutive_offsets: self.consecutive_offsets,
            size_in_bytes,
        }
    }

    #[inline(always)]
    fn record(&mut self, index: u32, timestamp_delta: i64, offset_delta: i64, has_key: bool) {
        self.consecutive_offsets &= offset_delta == i64::from(index);
        if !has_key && self.first_without_key.is_none() {
            self.first_without_key = Some(index);
        }
        let timestamp =
            self.log_append_time.unwrap_or_else(|| self.base_timestamp.wrapping_add(timestamp_delta));
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.index_of_max_timestamp = index;
        }
        if timestamp < self.min_timestamp && timestamp != NO_TIMESTAMP {
            self.min_timestamp = timestamp;
        }
    }
}

fn walk<S: Source>(
    header: &BatchHeader,
    source: &mut S,
    max_record_bytes: i32,
) -> Result<RecordsSummary, RecordError> {
    let mut walk = Walk::new(header)?;
    let mut runs = Runs::default();
    let mut size_in_bytes = 0;
    let mut index = 0;
    while index < walk.count {
        match source.plain(max_record_bytes) {
            Some(record) => {
                walk.record(index, record.timestamp_delta, record.offset_delta, record.has_key);
                size_in_bytes += record.size_in_bytes as u64;
                index += 1;
                if walk.consecutive_offsets && runs.are_likely() {
                    // Nothing of them changes what is known: timestamp and key are as before, and the offset is the next.
                    let alike = source.alike(&record, index, walk.count);
                    runs.note(alike);
                    size_in_bytes += u64::from(alike) * record.size_in_bytes as u64;
                    index += alike;
                }
            }
            None => {
                size_in_bytes += walk_any_record(source, &mut walk, index, max_record_bytes)
                    .map_err(|fault| RecordError::InvalidRecord { index, fault })?;
                index += 1;
            }
        }
    }
    if !source.at_end() {
        return Err(RecordError::TrailingBytes(walk.count));
    }
    Ok(walk.summary(size_in_bytes))
}

/// Whether it is worth the while to look for a run of records that are alike: where all are different, only at times.
#[derive(Default)]
struct Runs {
    /// Records until the next look.
    wait: u32,
    /// How many the wait was before.
    last_wait: u32,
}

impl Runs {
    /// A run of so many costs less than a look at each.
    const WORTH: u32 = 8;
    const LONGEST_WAIT: u32 = 256;

    #[inline(always)]
    fn are_likely(&mut self) -> bool {
        self.wait = self.wait.saturating_sub(1);
        self.wait == 0
    }

    fn note(&mut self, alike: u32) {
        self.last_wait =
            if alike >= Runs::WORTH { 0 } else { (2 * self.last_wait + 1).min(Runs::LONGEST_WAIT) };
        self.wait = self.last_wait;
    }
}

/// Walks over one record and returns its size with the size field.
fn walk_any_record<S: Source>(
    source: &mut S,
    walk: &mut Walk,
    index: u32,
    max_record_bytes: i32,
) -> Result<u64, RecordFault> {
    let size = source.size()?;
    let Ok(body) = usize::try_from(size) else { return Err(RecordFault::InvalidSize(size)) };
    if size > max_record_bytes {
        return Err(RecordFault::TooLarge { size, limit: max_record_bytes });
    }
    source.enter(body)?;
    source.skip(1)?; // attributes: none are in use
    let timestamp_delta = source.varlong()?;
    let offset_delta = source.varint()?;
    let key_size = source.varint()?;
    source.skip(usize::try_from(key_size).unwrap_or(0))?;
    let value_size = source.varint()?;
    source.skip(usize::try_from(value_size).unwrap_or(0))?;
    let headers = source.varint()?;
    if headers != 0 {
        walk_headers(source, headers)?;
    }
    if source.left() != 0 {
        return Err(RecordFault::SizeMismatch);
    }
    walk.record(index, timestamp_delta, i64::from(offset_delta), key_size >= 0);
    Ok(size_of_varint(size) as u64 + body as u64)
}

fn walk_headers<S: Source>(source: &mut S, count: i32) -> Result<(), RecordFault> {
    match usize::try_from(count) {
        Ok(count) if count <= source.left() => {}
        _ => return Err(RecordFault::InvalidHeaderCount(count)),
    }
    for _ in 0..count {
        let key_size = source.varint()?;
        let Ok(key_bytes) = usize::try_from(key_size) else {
            return Err(RecordFault::InvalidHeaderKeySize(key_size));
        };
        source.skip(key_bytes)?;
        let value_size = source.varint()?;
        source.skip(usize::try_from(value_size).unwrap_or(0))?;
    }
    Ok(())
}
