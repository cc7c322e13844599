//! The framing that snappy-java puts around snappy blocks, which is Kafka's "snappy".
//!
//! 16 bytes of header (`82 'S' 'N' 'A' 'P' 'P' 'Y' 0`, version and oldest compatible version, both 1), then blocks of
//! at most 32 KiB, each behind its compressed size; all numbers are 32 bits, big endian. Streams may follow each other:
//! a header may stand where a block could. Bytes without the header are one raw snappy block, as some clients send it.

use std::io::{Error, ErrorKind, Read, Result};

use super::{Compression, CompressionError};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic's first four bytes where a block's size could stand: negative, so no block has that size.
const MAGIC_HEAD: i32 = i32::from_be_bytes([0x82, b'S', b'N', b'A']);
const VERSION: i32 = 1;
const HEADER_BYTES: usize = 16;
const BLOCK_BYTES: usize = 32 * 1024;
/// Snappy's best case: three bytes stand for 64.
const MAX_EXPANSION: usize = 22;

/// Appends `input`, compressed and framed, to `out`.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), CompressionError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    let room = snap::raw::max_compress_len(BLOCK_BYTES);
    for block in input.chunks(BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + room, 0);
        let (size_field, place) = out[at..].split_at_mut(4);
        let size = encoder.compress(block, place).map_err(|error| CompressionError::Failed {
            codec: Compression::Snappy,
            reason: error.to_string(),
        })?;
        size_field.copy_from_slice(&(size as i32).to_be_bytes());
        out.truncate(at + 4 + size);
    }
    Ok(())
}

/// Decompresses block by block.
pub(super) struct XerialDecoder<'a> {
    input: &'a [u8],
    framed: bool,
    started: bool,
    block: Vec<u8>,
    at: usize,
}

impl<'a> XerialDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> XerialDecoder<'a> {
        XerialDecoder { input, framed: false, started: false, block: Vec::new(), at: 0 }
    }

    /// Decompresses the next block; false if there is none.
    fn next_block(&mut self) -> Result<bool> {
        if !self.started {
            self.started = true;
            self.framed = self.input.len() >= HEADER_BYTES && self.input.starts_with(&MAGIC);
            if self.framed {
                self.header()?;
            }
        }
        if !self.framed {
            let raw = std::mem::take(&mut self.input);
            if raw.is_empty() {
                return Ok(false);
            }
            self.decompress(raw)?;
            return Ok(true);
        }
        loop {
            if self.input.is_empty() {
                return Ok(false);
            }
            let size = i32::from_be_bytes(*self.input.first_chunk().ok_or_else(cut)?);
            if size == MAGIC_HEAD {
                self.header()?;
                continue;
            }
            let size = usize::try_from(size).map_err(|_| invalid("a block's size is negative"))?;
            let rest = self.input.get(4..).unwrap_or_default();
            let (block, rest) = rest.split_at_checked(size).ok_or_else(cut)?;
            self.input = rest;
            self.decompress(block)?;
            return Ok(true);
        }
    }

    fn header(&mut self) -> Result<()> {
        let (header, rest) = self.input.split_at_checked(HEADER_BYTES).ok_or_else(cut)?;
        let compatible = header.last_chunk().map(|bytes| i32::from_be_bytes(*bytes));
        if !header.starts_with(&MAGIC) || compatible.is_none_or(|version| version < VERSION) {
            return Err(invalid("not a header of a version that can be read"));
        }
        self.input = rest;
        Ok(())
    }

    fn decompress(&mut self, block: &[u8]) -> Result<()> {
        let claimed = snap::raw::decompress_len(block).map_err(|error| invalid(&error.to_string()))?;
        if claimed > block.len().saturating_mul(MAX_EXPANSION) {
            return Err(invalid("a block claims more bytes than snappy can put into it"));
        }
        self.at = 0;
        self.block.resize(claimed, 0);
        let size = snap::raw::Decoder::new().decompress(block, &mut self.block);
        let size = size.map_err(|error| {
            self.block.clear();
            invalid(&error.to_string())
        })?;
        self.block.truncate(size);
        Ok(())
    }
}

impl Read for XerialDecoder<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            let mut left = self.block.get(self.at..).unwrap_or_default();
            if !left.is_empty() || out.is_empty() {
                let count = left.read(out)?;
                self.at += count;
                return Ok(count);
            }
            if !self.next_block()? {
                return Ok(0);
            }
        }
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the data ends inside a block")
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}
