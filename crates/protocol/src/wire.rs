//! The primitives of Kafka's wire: reading from a frame, writing into a buffer.
//!
//! Every length from the wire is checked against the bytes that are left before anything is allocated by it.

use std::ops::Range;

use common::Uuid;

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("the input ends {0} bytes too early")]
    Truncated(usize),
    /// A length or count is negative, or larger than what is left of the input.
    #[error("a length of {length} where {remaining} bytes are left")]
    InvalidLength {
        /// The length that was read.
        length: i64,
        /// The bytes behind it.
        remaining: usize,
    },
    /// A field that may not be null is null.
    #[error("{0} is null")]
    UnexpectedNull(&'static str),
    /// A borrowed text is not UTF-8.
    #[error("a text is not UTF-8")]
    InvalidUtf8,
    /// A variable-length number does not end within its ten (or five) bytes.
    #[error("a variable-length number is too long")]
    InvalidVarint,
    /// A tagged field's value does not fill the size given for it.
    #[error("tagged field {0} does not have the size that it claims")]
    TagSize(u32),
    /// The message has no such version.
    #[error("{name} has no version {version}")]
    UnsupportedVersion {
        /// Kafka's name of the message.
        name: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A record's frame has a version that is not known.
    #[error("the frame of a record has version {0}, 1 is known")]
    UnknownFrame(u32),
    /// A record's key is not known.
    #[error("no record has the key {0}")]
    UnknownRecord(u32),
}

/// Why a message cannot be written in a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has a value that the version has no place for.
    #[error("{message} version {version} cannot carry the {field} that is set")]
    UnsupportedField {
        /// Kafka's name of the message.
        message: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null in a version that does not allow it.
    #[error("{field} is null, which version {version} does not allow")]
    UnexpectedNull {
        /// Kafka's name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A text or array is longer than its length field can say.
    #[error("a value of {0} bytes or elements is too long for the wire")]
    TooLong(usize),
    /// The message has no such version.
    #[error("{name} has no version {version}")]
    UnsupportedVersion {
        /// Kafka's name of the message.
        name: &'static str,
        /// The version asked for.
        version: i16,
    },
}

impl EncodeError {
    pub(crate) fn unsupported(message: &'static str, field: &'static str, version: i16) -> EncodeError {
        EncodeError::UnsupportedField { message, field, version }
    }
}

/// Record batches inside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records<'a> {
    /// The bytes are here. Read messages always have this form: a slice of their frame.
    Inline(&'a [u8]),
    /// So many bytes come from elsewhere, such as a file. Only their length is written, and the place noted in the
    /// [`Writer`]: whoever sends the message puts them there.
    Elsewhere(usize),
}

impl<'a> Records<'a> {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Records::Inline(bytes) => bytes.len(),
            Records::Elsewhere(length) => *length,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are in the message itself; of records from elsewhere none.
    pub fn inline(&self) -> &'a [u8] {
        match self {
            Records::Inline(bytes) => bytes,
            Records::Elsewhere(_) => &[],
        }
    }
}

/// Reads primitives from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => { $(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$kind, DecodeError> {
            Ok(<$kind>::from_be_bytes(self.fixed()?))
        }
    )* };
}

impl<'a> Reader<'a> {
    /// Reads from `input`.
    pub fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input }
    }

    /// What has not been read.
    pub fn remaining(&self) -> &'a [u8] {
        self.input
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.input.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.input = rest;
                Ok(*bytes)
            }
            None => Err(DecodeError::Truncated(N - self.input.len())),
        }
    }

    fixed! {
        /// A signed byte.
        i8: i8;
        /// Two bytes, signed.
        i16: i16;
        /// Two bytes, unsigned.
        u16: u16;
        /// Four bytes, signed.
        i32: i32;
        /// Four bytes, unsigned.
        u32: u32;
        /// Eight bytes, signed.
        i64: i64;
        /// Eight bytes, IEEE 754.
        f64: f64;
    }

    /// A byte that is false where it is zero.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid(self.fixed()?))
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.input.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.input = rest;
                Ok(bytes)
            }
            None => Err(DecodeError::Truncated(length - self.input.len())),
        }
    }

    /// An unsigned number in groups of seven bits, lowest first.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::InvalidVarint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    /// A signed number, zigzag.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let value = self.uvarint()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// A signed 64-bit number, zigzag.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.fixed()?;
            if shift == 63 && byte > 1 {
                return Err(DecodeError::InvalidVarint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    /// A length: four bytes (two in texts) or, in flexible versions, a varint that is one higher. -1 is null.
    fn length(&mut self, flexible: bool, text: bool) -> Result<Option<usize>, DecodeError> {
        let length = match (flexible, text) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, true) => i64::from(self.i16()?),
            (false, false) => i64::from(self.i32()?),
        };
        match usize::try_from(length) {
            // No element is smaller than a byte.
            Ok(length) if length <= self.input.len() => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            _ => Err(DecodeError::InvalidLength { length, remaining: self.input.len() }),
        }
    }

    /// A text; what is not UTF-8 is replaced, as in Java.
    pub fn string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        match self.length(flexible, true)? {
            Some(length) => Ok(Some(String::from_utf8_lossy(self.take(length)?).into_owned())),
            None => Ok(None),
        }
    }

    /// A text as a slice of the input.
    pub fn borrowed_string(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        match self.length(flexible, true)? {
            Some(length) => {
                std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| DecodeError::InvalidUtf8)
            }
            None => Ok(None),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, flexible: bool) -> Result<Option<Vec<u8>>, DecodeError> {
        Ok(self.borrowed_bytes(flexible)?.map(<[u8]>::to_vec))
    }

    /// Bytes as a slice of the input.
    pub fn borrowed_bytes(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length(flexible, false)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// Record batches as a slice of the input.
    pub fn borrowed_records(&mut self, flexible: bool) -> Result<Option<Records<'a>>, DecodeError> {
        Ok(self.borrowed_bytes(flexible)?.map(Records::Inline))
    }

    /// An array; `None` is a null one.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(flexible, false)? else { return Ok(None) };
        // The count is checked against the input, but an element in memory is larger than one on the wire.
        let mut elements = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// The tagged fields at the end of a struct: `known` reads the value of a tag that it knows and says so; the others
    /// are skipped.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let mut value = Reader::new(self.take(size)?);
            if known(tag, &mut value)? && !value.is_empty() {
                return Err(DecodeError::TagSize(tag));
            }
        }
        Ok(())
    }
}

/// Writes primitives to the end of a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    splices: Vec<Splice>,
}

/// A place in the written bytes at which record batches from elsewhere belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splice {
    /// How many bytes of the buffer come before.
    pub position: usize,
    /// How many bytes belong there.
    pub length: usize,
}

macro_rules! fixed_writers {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => { $(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self, value: $kind) {
            self.buffer.extend_from_slice(&value.to_be_bytes());
        }
    )* };
}

impl Writer {
    /// Writes into a new buffer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Writes to the end of `buffer`.
    pub fn with_buffer(buffer: Vec<u8>) -> Writer {
        Writer { buffer, splices: Vec::new() }
    }

    /// The bytes that were written, without those from elsewhere.
    pub fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes, and the places at which others belong.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Splice>) {
        (self.buffer, self.splices)
    }

    /// What was written so far.
    pub fn bytes_written(&self) -> &[u8] {
        &self.buffer
    }

    /// The bytes that belong into the message but come from elsewhere.
    pub fn spliced_length(&self) -> usize {
        self.splices.iter().map(|splice| splice.length).sum()
    }

    /// Overwrites four bytes at `position`: for a length that is known only later.
    ///
    /// # Panics
    /// Where nothing was written there yet.
    pub fn set_i32(&mut self, position: usize, value: i32) {
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    fixed_writers! {
        /// A signed byte.
        i8: i8;
        /// Two bytes, signed.
        i16: i16;
        /// Two bytes, unsigned.
        u16: u16;
        /// Four bytes, signed.
        i32: i32;
        /// Four bytes, unsigned.
        u32: u32;
        /// Eight bytes, signed.
        i64: i64;
        /// Eight bytes, IEEE 754.
        f64: f64;
    }

    /// A byte, 1 for true.
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(&value.0);
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// An unsigned number in groups of seven bits, lowest first.
    #[inline]
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// A signed number, zigzag.
    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// A signed 64-bit number, zigzag.
    pub fn varlong(&mut self, value: i64) {
        let mut value = ((value << 1) ^ (value >> 63)) as u64;
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    fn length(&mut self, length: usize, flexible: bool, text: bool) -> Result<(), EncodeError> {
        let too_long = |_| EncodeError::TooLong(length);
        match (flexible, text) {
            (true, _) => {
                let length = i32::try_from(length).map_err(too_long)?;
                self.uvarint(length as u32 + 1);
            }
            (false, true) => self.i16(i16::try_from(length).map_err(too_long)?),
            (false, false) => self.i32(i32::try_from(length).map_err(too_long)?),
        }
        Ok(())
    }

    /// A text. Kafka's limit of 32,767 bytes holds for every version.
    pub fn string(&mut self, text: &str, flexible: bool) -> Result<(), EncodeError> {
        if text.len() > i16::MAX as usize {
            return Err(EncodeError::TooLong(text.len()));
        }
        self.length(text.len(), flexible, true)?;
        self.raw(text.as_bytes());
        Ok(())
    }

    /// The null text.
    pub fn null_string(&mut self, flexible: bool) {
        if flexible { self.uvarint(0) } else { self.i16(-1) }
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8], flexible: bool) -> Result<(), EncodeError> {
        self.length(bytes.len(), flexible, false)?;
        self.raw(bytes);
        Ok(())
    }

    /// The null of bytes, records and arrays.
    pub fn null_bytes(&mut self, flexible: bool) {
        if flexible { self.uvarint(0) } else { self.i32(-1) }
    }

    /// Record batches behind their length, or their length alone and the place noted.
    pub fn records(&mut self, records: &Records<'_>, flexible: bool) -> Result<(), EncodeError> {
        self.length(records.len(), flexible, false)?;
        match records {
            Records::Inline(bytes) => self.raw(bytes),
            Records::Elsewhere(length) => {
                self.splices.push(Splice { position: self.buffer.len(), length: *length });
            }
        }
        Ok(())
    }

    /// The number of an array's elements, which the caller writes behind it.
    pub fn array_length(&mut self, count: usize, flexible: bool) -> Result<(), EncodeError> {
        self.length(count, flexible, false)
    }

    /// A tagged field: tag, size, and the value that `write` writes.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.uvarint(tag);
        let start = self.buffer.len();
        write(self)?;
        // The size comes first and its own length depends on it: write it behind the value, then turn the two around.
        let end = self.buffer.len();
        let size = end - start;
        self.uvarint(u32::try_from(size).map_err(|_| EncodeError::TooLong(size))?);
        self.buffer[start..].rotate_left(size);
        Ok(())
    }

    /// Where the buffer ends now; see [`Writer::since`].
    pub fn position(&self) -> usize {
        self.buffer.len()
    }

    /// The range written since `start`.
    pub fn since(&self, start: usize) -> Range<usize> {
        start..self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length_round_trip() {
        for value in [0, 1, -1, 63, -64, 64, 8191, -8192, i32::MAX, i32::MIN] {
            let mut writer = Writer::new();
            writer.varint(value);
            writer.varlong(i64::from(value) * 3);
            writer.uvarint(value as u32);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.varlong(), Ok(i64::from(value) * 3));
            assert_eq!(reader.uvarint(), Ok(value as u32));
            assert!(reader.is_empty());
        }
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(), Err(DecodeError::InvalidVarint));
        assert_eq!(Reader::new(&[0xff; 11]).varlong(), Err(DecodeError::InvalidVarint));
    }

    #[test]
    fn lengths_are_checked_against_what_is_left() {
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1]);
        let result = reader.array(false, |reader| reader.i8());
        assert_eq!(result, Err(DecodeError::InvalidLength { length: 0x7fff_ffff, remaining: 1 }));
        assert_eq!(
            Reader::new(&[0xff, 0xfe]).string(false),
            Err(DecodeError::InvalidLength { length: -2, remaining: 0 })
        );
        assert_eq!(Reader::new(&[0xff, 0xff]).string(false), Ok(None));
        assert_eq!(Reader::new(&[0]).string(true), Ok(None));
        assert_eq!(
            Reader::new(&[3, b'a']).string(true),
            Err(DecodeError::InvalidLength { length: 2, remaining: 1 })
        );
    }

    #[test]
    fn a_long_tagged_value_gets_a_long_size() {
        let mut writer = Writer::new();
        writer
            .tagged_field(5, |writer| {
                writer.raw(&[7; 300]);
                Ok(())
            })
            .unwrap();
        let bytes = writer.into_bytes();
        assert_eq!(&bytes[..4], &[5, 0xac, 0x02, 7]);
        assert_eq!(bytes.len(), 303);
    }

    #[test]
    fn records_from_elsewhere_leave_a_place() {
        let mut writer = Writer::new();
        writer.records(&Records::Elsewhere(1000), false).unwrap();
        writer.i8(9);
        assert_eq!(writer.spliced_length(), 1000);
        let (bytes, splices) = writer.into_parts();
        assert_eq!(bytes, [0, 0, 3, 232, 9]);
        assert_eq!(splices, [Splice { position: 4, length: 1000 }]);
    }
}
