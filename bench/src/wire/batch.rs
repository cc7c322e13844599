//! Record batches of magic 2: building them with incompressible payload, walking them, patching what lies outside
//! the CRC. (`DefaultRecordBatch` in Apache Kafka.)

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Malformed, Reader, Writer, codec::Codec};

/// Bytes of a batch before its first record.
pub const HEADER_SIZE: usize = 61;
/// Bytes before the part that `batch_length` counts.
const LENGTH_END: usize = 12;
/// Where the part that the CRC covers begins.
const CRC_END: usize = 21;

/// CRC-32C (Castagnoli).
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// A small generator of random bytes (SplitMix64): the payload must not compress, and need not be secret.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Builds one batch of `count` records without key or headers, each with `value_size` random bytes as its value.
pub fn build(count: usize, value_size: usize, noise: &mut Noise) -> Vec<u8> {
    assemble(count, Codec::None, |records| {
        let mut value = vec![0; value_size];
        for delta in 0..count {
            noise.fill(&mut value);
            push_record(records, delta, &value);
        }
    })
}

/// The same of values that compress about as text does, compressed.
pub fn build_text(count: usize, value_size: usize, codec: Codec, noise: &mut Noise) -> Vec<u8> {
    assemble(count, codec, |records| {
        let mut value = Vec::with_capacity(value_size + WORD_SIZE);
        for delta in 0..count {
            value.clear();
            while value.len() < value_size {
                // One of some hundred words, the same in all values.
                let mut word = [0; WORD_SIZE];
                Noise::new(noise.next() % WORDS).fill(&mut word);
                value.extend(word.map(|byte| b'a' + byte % 26));
            }
            push_record(records, delta, &value[..value_size]);
        }
    })
}

const WORD_SIZE: usize = 6;
const WORDS: u64 = 500;

fn push_record(records: &mut Vec<u8>, delta: usize, value: &[u8]) {
    let mut record = Vec::with_capacity(value.len() + 16);
    let mut w = Writer::new(&mut record, true);
    w.i8(0);
    w.varint(0);
    w.varint(delta as i32);
    w.varint(-1);
    w.varint(value.len() as i32);
    w.raw(value);
    w.varint(0);
    let mut w = Writer::new(records, true);
    w.varint(record.len() as i32);
    w.raw(&record);
}

fn assemble(count: usize, codec: Codec, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    assert!(count > 0, "a batch has at least one record");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let mut records = Vec::new();
    fill(&mut records);
    let mut bytes = vec![0; HEADER_SIZE];
    bytes.extend(codec.compress(records));
    let mut header = Vec::with_capacity(HEADER_SIZE);
    let mut w = Writer::new(&mut header, true);
    w.i64(0);
    w.i32((bytes.len() - LENGTH_END) as i32);
    w.i32(-1); // partition leader epoch: the leader's
    w.i8(2);
    w.i32(0); // CRC, below
    w.i16(codec as i16); // and create time
    w.i32(count as i32 - 1);
    w.i64(now);
    w.i64(now);
    w.i64(-1); // producer id
    w.i16(-1);
    w.i32(-1);
    w.i32(count as i32);
    bytes[..HEADER_SIZE].copy_from_slice(&header);
    let crc = crc32c(&bytes[CRC_END..]);
    bytes[17..CRC_END].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// How many records with values of `value_size` bytes fit into a batch of at most `batch_size` bytes; at least one.
pub fn records_that_fit(batch_size: usize, value_size: usize) -> usize {
    let mut size = HEADER_SIZE;
    let mut count = 0;
    loop {
        // Attributes, timestamp delta, key length and header count take one byte each.
        let body = 4 + varint_size(count) + varint_size(value_size as i32) + value_size;
        size += varint_size(body as i32) + body;
        if size > batch_size || count == i32::MAX {
            return (count as usize).max(1);
        }
        count += 1;
    }
}

fn varint_size(value: i32) -> usize {
    let zigzag = ((value << 1) ^ (value >> 31)) as u32;
    (38 - zigzag.leading_zeros() as usize) / 7 + usize::from(zigzag == 0)
}

/// What the walk of a batch yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchInfo {
    pub base_offset: i64,
    pub last_offset: i64,
    pub record_count: i32,
    pub size: usize,
}

/// The first batch of `bytes`, its CRC checked; `None` if only a part of it is there.
pub fn first(bytes: &[u8]) -> Result<Option<BatchInfo>, Malformed> {
    let mut r = Reader::new(bytes, false);
    if bytes.len() < LENGTH_END {
        return Ok(None);
    }
    let base_offset = r.i64()?;
    let length = usize::try_from(r.i32()?).map_err(|_| Malformed("negative batch length"))?;
    let size = LENGTH_END + length;
    if size < HEADER_SIZE {
        return Err(Malformed("batch shorter than its header"));
    }
    let Some(batch) = bytes.get(..size) else { return Ok(None) };
    r.i32()?; // partition leader epoch
    if r.i8()? != 2 {
        return Err(Malformed("magic is not 2"));
    }
    let crc = r.u32()?;
    if batch.get(CRC_END..).map(crc32c) != Some(crc) {
        return Err(Malformed("CRC"));
    }
    r.i16()?; // attributes
    let last_offset_delta = r.i32()?;
    r.take(8 + 8 + 8 + 2 + 4)?;
    let record_count = r.i32()?;
    if last_offset_delta < 0 || record_count != last_offset_delta + 1 {
        return Err(Malformed("record count"));
    }
    Ok(Some(BatchInfo {
        base_offset,
        last_offset: base_offset + i64::from(last_offset_delta),
        record_count,
        size,
    }))
}

/// Sets the base offset and the partition leader epoch, which lie outside the CRC. The batch must be a whole one.
pub fn set_base_offset_and_epoch(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn a_built_batch_walks_and_its_offset_can_be_patched() {
        let mut batch = build(3, 100, &mut Noise::new(1));
        let info = first(&batch).unwrap().unwrap();
        assert_eq!(info, BatchInfo { base_offset: 0, last_offset: 2, record_count: 3, size: batch.len() });
        set_base_offset_and_epoch(&mut batch, 1 << 33, 7);
        let info = first(&batch).unwrap().unwrap();
        assert_eq!((info.base_offset, info.last_offset), (1 << 33, (1 << 33) + 2));
    }

    #[test]
    fn records_have_kafkas_layout() {
        let batch = build(2, 5, &mut Noise::new(2));
        let records = &batch[HEADER_SIZE..];
        // length 11, attributes, timestamp delta 0, offset delta 0, no key, value of 5 bytes, no headers; zigzag.
        assert_eq!(&records[..6], [22, 0, 0, 0, 1, 10]);
        assert_eq!(records[11], 0);
        assert_eq!(&records[12..18], [22, 0, 0, 2, 1, 10]);
        assert_eq!(records.len(), 24);
    }

    #[test]
    fn one_flipped_bit_fails_the_crc() {
        let mut batch = build(1, 100, &mut Noise::new(3));
        *batch.last_mut().unwrap() ^= 1;
        assert_eq!(first(&batch), Err(Malformed("CRC")));
    }

    #[test]
    fn a_cut_batch_is_no_batch() {
        let batch = build(4, 50, &mut Noise::new(4));
        for cut in 0..batch.len() {
            assert_eq!(first(&batch[..cut]), Ok(None));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut batch = build(1, 10, &mut Noise::new(5));
        batch[8..12].copy_from_slice(&(-5i32).to_be_bytes());
        assert!(first(&batch).is_err());
        batch[8..12].copy_from_slice(&10i32.to_be_bytes());
        assert!(first(&batch).is_err());
    }

    #[test]
    fn the_largest_count_that_fits_is_found() {
        for (limit, value) in [(1_000_000, 100), (1_000_000, 1024), (16_384, 100), (200, 100), (10, 100)] {
            let count = records_that_fit(limit, value);
            let mut noise = Noise::new(6);
            assert!(count == 1 || build(count, value, &mut noise).len() <= limit);
            assert!(build(count + 1, value, &mut noise).len() > limit);
        }
    }

    #[test]
    fn payload_does_not_repeat() {
        let batch = build(100, 100, &mut Noise::new(7));
        let mut seen = std::collections::HashSet::new();
        let repeated =
            batch[HEADER_SIZE..].windows(8).filter(|window| !seen.insert(<[u8]>::to_vec(window))).count();
        assert_eq!(repeated, 0);
    }
}
