//! Zig-zag varints of record batches (`org.apache.kafka.common.utils.ByteUtils`).
//!
//! As in Kafka, a varint has at most 5 bytes and a varlong at most 10; bits of the last byte that do not fit are
//! dropped, a continuation bit in it is an error.

/// What can be wrong with a varint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarintError {
    /// The bytes ended inside the varint.
    Truncated,
    /// The last byte that a varint of this width may have asks for one more.
    TooLong,
}

/// Longest encoding of a 32-bit varint, in bytes.
pub const MAX_VARINT_BYTES: usize = 5;
/// Longest encoding of a 64-bit varint, in bytes.
pub const MAX_VARLONG_BYTES: usize = 10;

/// Reads a zig-zag 32-bit varint from the front of `bytes`, and moves `bytes` behind it.
#[inline(always)]
pub fn read_varint(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    // One and two bytes are nearly all there is in records; the compiler inlines only these.
    let raw = match *bytes {
        [first, rest @ ..] if *first < 0x80 => {
            *bytes = rest;
            u32::from(*first)
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *bytes = rest;
            u32::from(*first & 0x7f) | u32::from(*second) << 7
        }
        _ => read_uvarint_slow(bytes)?,
    };
    Ok(unzigzag_32(raw))
}

/// Reads a zig-zag 64-bit varint from the front of `bytes`, and moves `bytes` behind it.
#[inline(always)]
pub fn read_varlong(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    // One and two bytes are nearly all there is in records; the compiler inlines only these.
    let raw = match *bytes {
        [first, rest @ ..] if *first < 0x80 => {
            *bytes = rest;
            u64::from(*first)
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *bytes = rest;
            u64::from(*first & 0x7f) | u64::from(*second) << 7
        }
        _ => read_uvarlong_slow(bytes)?,
    };
    Ok(unzigzag_64(raw))
}

fn read_uvarint_slow(bytes: &mut &[u8]) -> Result<u32, VarintError> {
    let mut value = 0u32;
    for (index, &byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = bytes.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if bytes.len() < MAX_VARINT_BYTES { VarintError::Truncated } else { VarintError::TooLong })
}

fn read_uvarlong_slow(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(MAX_VARLONG_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = bytes.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if bytes.len() < MAX_VARLONG_BYTES { VarintError::Truncated } else { VarintError::TooLong })
}

/// Appends a zig-zag 32-bit varint.
pub fn write_varint(out: &mut Vec<u8>, value: i32) {
    write_uvarlong(out, u64::from(zigzag_32(value)));
}

/// Appends a zig-zag 64-bit varint.
pub fn write_varlong(out: &mut Vec<u8>, value: i64) {
    write_uvarlong(out, zigzag_64(value));
}

fn write_uvarlong(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`write_varint`] appends for `value`.
pub fn size_of_varint(value: i32) -> usize {
    size_of_uvarlong(u64::from(zigzag_32(value)))
}

/// Bytes that [`write_varlong`] appends for `value`.
pub fn size_of_varlong(value: i64) -> usize {
    size_of_uvarlong(zigzag_64(value))
}

fn size_of_uvarlong(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag_32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline(always)]
fn unzigzag_32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline(always)]
pub(super) fn unzigzag_64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back_with_the_size_that_was_promised() {
        let mut values = vec![0i64, -1, 1, i64::MAX, i64::MIN];
        for shift in 0..63 {
            values.extend([1i64 << shift, -(1i64 << shift), (1i64 << shift) - 1]);
        }
        for value in values {
            let mut out = Vec::new();
            write_varlong(&mut out, value);
            assert_eq!(out.len(), size_of_varlong(value));
            let mut rest = out.as_slice();
            assert_eq!(read_varlong(&mut rest), Ok(value));
            assert!(rest.is_empty());
            if let Ok(value) = i32::try_from(value) {
                let mut out = Vec::new();
                write_varint(&mut out, value);
                assert_eq!(out.len(), size_of_varint(value));
                let mut rest = out.as_slice();
                assert_eq!(read_varint(&mut rest), Ok(value));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn known_bytes_of_kafka() {
        let mut out = Vec::new();
        write_varint(&mut out, i32::MIN);
        assert_eq!(out, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        out.clear();
        write_varlong(&mut out, i64::MIN);
        assert_eq!(out, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        out.clear();
        write_varint(&mut out, -64);
        assert_eq!(out, [0x7f]);
        out.clear();
        write_varint(&mut out, 64);
        assert_eq!(out, [0x80, 0x01]);
    }

    #[test]
    fn cut_and_overlong_varints_are_told_apart() {
        for cut in 0..5 {
            assert_eq!(read_varint(&mut &vec![0x80u8; cut][..]), Err(VarintError::Truncated));
        }
        assert_eq!(read_varint(&mut &[0x80u8; 5][..]), Err(VarintError::TooLong));
        assert_eq!(read_varlong(&mut &[0x80u8; 9][..]), Err(VarintError::Truncated));
        assert_eq!(read_varlong(&mut &[0x80u8; 10][..]), Err(VarintError::TooLong));
    }

    #[test]
    fn overlong_zero_and_dropped_bits_are_read_as_kafka_reads_them() {
        assert_eq!(read_varint(&mut &[0x80, 0x80, 0x80, 0x80, 0x00][..]), Ok(0));
        // The fifth byte has room for four bits; the rest is dropped.
        assert_eq!(read_varint(&mut &[0x80, 0x80, 0x80, 0x80, 0x70][..]), Ok(0));
    }
}
