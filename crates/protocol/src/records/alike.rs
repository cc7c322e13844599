//! Runs of records that look alike, walked over in 2 ns each: same sizes, same timestamp, the next offset.
//!
//! A producer's records often are as long as each other and of the same millisecond. Then all that differs before the key is the
//! offset, and that is known: what the next record must begin and end with can be said, and compared, without decoding it, and
//! where it ends is known before it is read.

use super::plain::{PlainRecord, WIDEST_VARINT};

/// Bytes that are compared at once.
const WORD: usize = 8;

/// What the records of a run begin and end with.
pub(super) struct Alike {
    /// Of a record with its size field.
    size: usize,
    /// From the record's first byte: its size, the attributes and the timestamp.
    begin: Pattern,
    /// From here on lies the offset's delta, and behind it the key's size.
    offset_at: usize,
    offset: Pattern,
    /// The continuation bits of the offset's delta.
    continued: u64,
    /// The first zig-zag delta that takes more bytes.
    offset_limit: u64,
    value_at: usize,
    value_size: Pattern,
}

/// Bytes of a word, and which of them count.
#[derive(Clone, Copy)]
struct Pattern {
    bytes: u64,
    mask: u64,
}

impl Pattern {
    /// The first `count` bytes of `word`, which are no more than a word has.
    fn of(word: u64, count: usize) -> Pattern {
        let mask = u64::MAX >> (64 - 8 * count.clamp(1, WORD));
        Pattern { bytes: word & mask, mask }
    }

    /// Zero where `word` has the bytes.
    #[inline(always)]
    fn difference(self, word: u64) -> u64 {
        (word ^ self.bytes) & self.mask
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// Bytes of the varint at `at`.
fn varint_width(bytes: &[u8], at: usize) -> Option<usize> {
    let width = bytes.get(at..)?.iter().take(WIDEST_VARINT).position(|byte| *byte < 0x80)?;
    Some(width + 1)
}

impl Alike {
    /// What records would look like that are as `record`, which lies at the front of `bytes`.
    pub(super) fn new(record: &PlainRecord, bytes: &[u8]) -> Option<Alike> {
        // Size, attributes and timestamp.
        let timestamp_at = varint_width(bytes, 0)? + 1;
        let offset_at = timestamp_at + varint_width(bytes, timestamp_at)?;
        let offset_width = varint_width(bytes, offset_at)?;
        let key_size_width = varint_width(bytes, offset_at + offset_width)?;
        let value_at = offset_at + offset_width + key_size_width + record.key_bytes;
        let mut offset = Pattern::of(word(bytes, offset_at)?, offset_width + key_size_width);
        offset.bytes &= !Pattern::of(0, offset_width).mask;
        Some(Alike {
            size: record.size_in_bytes,
            begin: Pattern::of(word(bytes, 0)?, offset_at),
            offset_at,
            offset,
            continued: 0x8080 & (Pattern::of(0, offset_width).mask >> 8),
            offset_limit: 1 << (7 * offset_width),
            value_at,
            value_size: Pattern::of(word(bytes, value_at)?, varint_width(bytes, value_at)?),
        })
    }

    /// Of a record with its size field, in bytes.
    pub(super) fn size_in_bytes(&self) -> usize {
        self.size
    }

    /// Is the record at the front of `bytes` one of the run, and the one with this offset delta? False also where it cannot be
    /// said, as at the end of the bytes.
    #[inline(always)]
    pub(super) fn is_next(&self, bytes: &[u8], offset_delta: u32) -> bool {
        let raw = u64::from(offset_delta) << 1;
        // Words are read beyond what counts of them.
        let compare = || {
            let bytes = bytes.get(..self.size + WORD)?;
            let offset = (raw & 0x7f) | (raw & 0x3f80) << 1 | (raw & 0x1f_c000) << 2 | self.continued;
            let offset = Pattern { bytes: self.offset.bytes | offset, mask: self.offset.mask };
            let different = self.begin.difference(word(bytes, 0)?)
                | offset.difference(word(bytes, self.offset_at)?)
                | self.value_size.difference(word(bytes, self.value_at)?)
                // No headers.
                | u64::from(*bytes.get(self.size - 1)?);
            Some(different == 0)
        };
        raw < self.offset_limit && compare() == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::compression::Compression;
    use crate::records::{RecordBatch, RecordBatchBuilder, RecordError, RecordsSummary, TimestampType};

    /// What the walk must find, by way of the records one by one.
    fn one_by_one(batch: &RecordBatch<'_>) -> Result<RecordsSummary, RecordError> {
        let mut summary = RecordsSummary {
            count: batch.records_count() as u32,
            max_timestamp: -1,
            index_of_max_timestamp: 0,
            min_timestamp: None,
            first_without_key: None,
            consecutive_offsets: true,
            size_in_bytes: batch.records_bytes().len() as u64,
        };
        for (index, record) in (0u32..).zip(batch.iter()) {
            let record = record?;
            if record.timestamp > summary.max_timestamp {
                (summary.max_timestamp, summary.index_of_max_timestamp) = (record.timestamp, index);
            }
            if record.timestamp != -1 && summary.min_timestamp.is_none_or(|min| record.timestamp < min) {
                summary.min_timestamp = Some(record.timestamp);
            }
            if record.key.is_none() && summary.first_without_key.is_none() {
                summary.first_without_key = Some(index);
            }
            summary.consecutive_offsets &= record.offset == batch.base_offset() + i64::from(index);
        }
        Ok(summary)
    }

    /// Records of one length each for `run` in a row, and one millisecond for `same_time`.
    fn batch(count: i64, run: i64, same_time: i64, key: Option<&[u8]>) -> Vec<u8> {
        let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
        for index in 0..count {
            let value = [9u8; 80];
            let length = 3 + (index / run) as usize * 7 % 75;
            builder.append(1_000 + index / same_time, key, Some(&value[..length]), &[]).unwrap();
        }
        builder.build()
    }

    #[test]
    fn runs_are_summed_up_as_one_by_one() {
        for (count, run, same_time) in [
            (9, 9, 9),
            (300, 300, 1),
            (300, 20, 50),
            (20_000, 20_000, 9_000),
            (20_000, 700, 30),
            (2_000, 3, 5),
        ] {
            for key in [None, Some(&b""[..]), Some(&[5; 70])] {
                let bytes = batch(count, run, same_time, key);
                let batch = RecordBatch::parse(&bytes).unwrap();
                assert_eq!(batch.validate_records(), one_by_one(&batch), "{count} {run} {same_time} {key:?}");
            }
        }
    }

    #[test]
    fn a_changed_byte_in_a_run_is_judged_as_one_by_one() {
        for key in [None, Some(&b"k"[..]), Some(&[5; 70])] {
            let bytes = batch(60, 30, 20, key);
            let records = RecordBatch::parse(&bytes).unwrap().records_bytes().len();
            for at in bytes.len() - records..bytes.len() {
                for change in [1, 0x80, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= change;
                    let batch = RecordBatch::parse(&bytes).unwrap();
                    assert_eq!(batch.validate_records(), one_by_one(&batch), "byte {at} ^ {change} {key:?}");
                }
            }
        }
    }
}
