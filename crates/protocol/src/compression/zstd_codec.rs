//! Zstandard, with one context per thread and direction: making one costs more than a small batch.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Read, Result};

use zstd::bulk::Compressor;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::{Compression, CompressionError};

/// Kafka's smallest level (`-(1 << 17)`).
pub(super) const MIN_LEVEL: i32 = -(1 << 17);
const DEFAULT_LEVEL: i32 = 3;
const MAX_LEVEL: i32 = 22;

thread_local! {
    static COMPRESSOR: Cell<Option<Compressor<'static>>> = const { Cell::new(None) };
    static DECODER: Cell<Option<Decoder<'static>>> = const { Cell::new(None) };
}

/// Appends one frame with `input` to `out`.
pub(super) fn compress(
    level: Option<i32>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> std::result::Result<(), CompressionError> {
    let failed = |error: Error| CompressionError::failed(Compression::Zstd, &error);
    let level = level.unwrap_or(DEFAULT_LEVEL).clamp(MIN_LEVEL, MAX_LEVEL);
    let mut compressor = match COMPRESSOR.take() {
        Some(compressor) => compressor,
        None => Compressor::new(level).map_err(failed)?,
    };
    compressor.set_compression_level(level).map_err(failed)?;
    let at = out.len();
    out.resize(at + zstd::zstd_safe::compress_bound(input.len()), 0);
    let size = compressor.compress_to_buffer(input, out.get_mut(at..).unwrap_or_default()).map_err(failed)?;
    out.truncate(at + size);
    COMPRESSOR.set(Some(compressor));
    Ok(())
}

/// Decompresses frames, one after another.
pub(super) struct ZstdDecoder<'a> {
    input: &'a [u8],
    inside_frame: bool,
    // `None` only while being dropped.
    engine: Option<Decoder<'static>>,
}

impl<'a> ZstdDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> std::result::Result<ZstdDecoder<'a>, CompressionError> {
        let engine = match DECODER.take() {
            Some(engine) => engine,
            None => Decoder::new().map_err(|error| CompressionError::failed(Compression::Zstd, &error))?,
        };
        Ok(ZstdDecoder { input, inside_frame: false, engine: Some(engine) })
    }
}

impl Read for ZstdDecoder<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let Some(engine) = self.engine.as_mut() else { return Ok(0) };
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if self.input.is_empty() && !self.inside_frame {
                return Ok(0);
            }
            let mut source = InBuffer::around(self.input);
            let mut sink = OutBuffer::around(&mut *out);
            let hint = engine.run(&mut source, &mut sink)?;
            let (taken, written) = (source.pos(), sink.pos());
            self.input = self.input.get(taken..).unwrap_or_default();
            self.inside_frame = hint != 0;
            if written > 0 {
                return Ok(written);
            }
            if taken == 0 && self.inside_frame {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the data ends inside a frame"));
            }
        }
    }
}

impl Drop for ZstdDecoder<'_> {
    fn drop(&mut self) {
        // A decoder that stopped inside a frame, or failed, starts anew with the next one.
        if let Some(mut engine) = self.engine.take()
            && engine.reinit().is_ok()
        {
            DECODER.set(Some(engine));
        }
    }
}
