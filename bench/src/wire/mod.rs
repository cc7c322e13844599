//! Kafka's wire as the load generator and the floor server need it: primitives, record batches, prebuilt requests,
//! checked replies. Written by hand, sharing nothing with the broker that is measured.

pub mod batch;
pub mod codec;
pub mod connection;
pub mod groups;
pub mod replies;
pub mod requests;

use std::fmt;

/// API keys that the generator sends and the floor server answers.
pub mod api {
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const LIST_OFFSETS: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const OFFSET_COMMIT: i16 = 8;
    pub const OFFSET_FETCH: i16 = 9;
    pub const FIND_COORDINATOR: i16 = 10;
    pub const API_VERSIONS: i16 = 18;
    pub const CREATE_TOPICS: i16 = 19;
    pub const DELETE_TOPICS: i16 = 20;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
}

/// Error codes of Kafka's protocol that are named here.
pub mod error_code {
    pub const NONE: i16 = 0;
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub const CORRUPT_MESSAGE: i16 = 2;
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    pub const COORDINATOR_NOT_AVAILABLE: i16 = 15;
    pub const NOT_COORDINATOR: i16 = 16;
    pub const UNSUPPORTED_VERSION: i16 = 35;
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
}

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed message: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// The first version of an API whose messages are flexible (compact lengths, tagged fields).
pub fn first_flexible(api_key: i16) -> i16 {
    match api_key {
        api::PRODUCE | api::METADATA => 9,
        api::FETCH => 12,
        api::LIST_OFFSETS => 6,
        api::API_VERSIONS => 3,
        api::CREATE_TOPICS => 5,
        api::DELETE_TOPICS => 4,
        api::INIT_PRODUCER_ID => 2,
        api::OFFSET_COMMIT => 8,
        api::OFFSET_FETCH => 6,
        api::FIND_COORDINATOR => 3,
        api::CONSUMER_GROUP_HEARTBEAT => 0,
        _ => i16::MAX,
    }
}

/// Reads the primitives of one message from a slice; every read is checked.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether strings, bytes and arrays have compact lengths, and structures tagged fields.
    pub flexible: bool,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], flexible: bool) -> Self {
        Self { bytes, at: 0, flexible }
    }

    /// Reads on from a position in the slice.
    pub fn at(bytes: &'a [u8], position: usize, flexible: bool) -> Self {
        Self { bytes, at: position.min(bytes.len()), flexible }
    }

    /// Bytes read so far: the position of the next field in the slice.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed("length"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed("too short"))?;
        self.at = end;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("too short"))
    }

    pub fn i8(&mut self) -> Result<i8, Malformed> {
        Ok(i8::from_be_bytes(self.array_of()?))
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array_of()?))
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array_of()?))
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array_of()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array_of()?))
    }

    pub fn uvarint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array_of::<1>()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("varint"))
    }

    /// A length: `None` is null.
    fn length(&mut self, wide: bool) -> Result<Option<usize>, Malformed> {
        let length = match (self.flexible, wide) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, true) => i64::from(self.i32()?),
            (false, false) => i64::from(self.i16()?),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed("negative length")),
        }
    }

    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        let Some(length) = self.length(false)? else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| Malformed("not UTF-8"))
    }

    pub fn string(&mut self) -> Result<&'a str, Malformed> {
        self.nullable_string()?.ok_or(Malformed("null string"))
    }

    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(length) = self.length(true)? else { return Ok(None) };
        self.take(length).map(Some)
    }

    /// The number of elements of an array; null counts as empty.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        Ok(self.nullable_array()?.unwrap_or(0))
    }

    pub fn nullable_array(&mut self) -> Result<Option<usize>, Malformed> {
        let length = self.length(true)?;
        // An element has at least one byte, so a longer array is a lie.
        match length {
            Some(length) if length > self.remaining() => Err(Malformed("array longer than the message")),
            length => Ok(length),
        }
    }

    /// Skips the tagged fields of a flexible structure.
    pub fn tags(&mut self) -> Result<(), Malformed> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let size = self.uvarint()?;
            self.take(size as usize)?;
        }
        Ok(())
    }
}

/// Appends the primitives of one message to a buffer.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    flexible: bool,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>, flexible: bool) -> Self {
        Self { out, flexible }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn bool(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A zigzag varint, as records have them.
    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    pub fn nullable_string(&mut self, value: Option<&str>) {
        let length = value.map_or(-1, |value| value.len() as i32);
        if self.flexible {
            self.uvarint((length + 1) as u32);
        } else {
            self.i16(length as i16);
        }
        self.raw(value.unwrap_or_default().as_bytes());
    }

    /// The length of a byte field or of records; the bytes follow.
    pub fn bytes_length(&mut self, length: usize) {
        self.array(length);
    }

    pub fn array(&mut self, length: usize) {
        if self.flexible {
            self.uvarint(length as u32 + 1);
        } else {
            self.i32(length as i32);
        }
    }

    pub fn null_array(&mut self) {
        if self.flexible {
            self.uvarint(0);
        } else {
            self.i32(-1);
        }
    }

    /// No tagged fields.
    pub fn tags(&mut self) {
        if self.flexible {
            self.out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primitives_come_back_in_both_notations() {
        for flexible in [false, true] {
            let mut out = Vec::new();
            let mut w = Writer::new(&mut out, flexible);
            w.i8(-3);
            w.i16(-300);
            w.i32(70_000);
            w.i64(-1 << 40);
            w.uvarint(300);
            w.string("orders");
            w.nullable_string(None);
            w.array(2);
            w.raw(&[7, 8]);
            w.bytes_length(3);
            w.raw(b"abc");
            w.tags();
            let mut r = Reader::new(&out, flexible);
            assert_eq!(r.i8(), Ok(-3));
            assert_eq!(r.i16(), Ok(-300));
            assert_eq!(r.i32(), Ok(70_000));
            assert_eq!(r.i64(), Ok(-1 << 40));
            assert_eq!(r.uvarint(), Ok(300));
            assert_eq!(r.string(), Ok("orders"));
            assert_eq!(r.nullable_string(), Ok(None));
            assert_eq!(r.array(), Ok(2));
            assert_eq!(r.take(2), Ok(&[7u8, 8][..]));
            assert_eq!(r.nullable_bytes(), Ok(Some(&b"abc"[..])));
            assert_eq!(r.tags(), Ok(()));
            assert_eq!(r.remaining(), 0);
        }
    }

    #[test]
    fn zigzag_is_kafkas() {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out, true);
        for value in [0, -1, 1, -2, 63, 64] {
            w.varint(value);
        }
        assert_eq!(out, [0, 1, 2, 3, 126, 128, 1]);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(Reader::new(&[0x7f, 0xff, 0xff, 0xff], false).array().is_err());
        assert!(Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 1], true).uvarint().is_err());
        assert!(Reader::new(&[0xff, 0xfe], false).nullable_string().is_err());
        assert!(Reader::new(&[5, b'a'], true).string().is_err());
        assert!(Reader::new(&[1, 0, 9], true).tags().is_err());
    }

    #[test]
    fn unknown_tagged_fields_are_skipped() {
        let mut r = Reader::new(&[2, 0, 1, 9, 3, 2, 9, 9, 42], true);
        assert_eq!(r.tags(), Ok(()));
        assert_eq!(r.i8(), Ok(42));
    }
}
