//! The codecs of record batches (`org.apache.kafka.common.compress`), on other people's engines.
//!
//! | Codec | Bytes |
//! | --- | --- |
//! | gzip | RFC 1952, one or several members |
//! | snappy | the framing of snappy-java (`xerial`), see the `xerial` module; a raw snappy block is read too |
//! | lz4 | one LZ4 frame of independent blocks (written: of 64 KiB, without checksums of contents) |
//! | zstd | Zstandard frames, with or without the size of their contents |
//!
//! Decompression never allocates by a length that the input claims: output grows as it comes, up to the
//! caller's limit, and what an engine needs for itself is bounded by the formats (lz4: 8 MiB; zstd: a window of
//! 128 MiB, of which only touched pages count).

mod error;
mod lz4;
mod xerial;
mod zstd_codec;

use std::io::{Read, Write};

use flate2::GzBuilder;
use flate2::read::MultiGzDecoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

pub use error::CompressionError;

/// The codec of a record batch (`CompressionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

impl Compression {
    /// All of them, by number.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec with that number in a batch's attributes.
    pub fn from_id(id: u8) -> Option<Compression> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Its number in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The codec with that name in `compression.type`. (`producer` and `uncompressed` are no codecs' names but the
    /// broker's own; the caller knows what they mean.)
    pub fn from_name(name: &str) -> Option<Compression> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Its name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// Smallest, default and largest level (`compression.gzip.level` and so on, KIP-390); `None` for codecs
    /// without levels.
    pub fn levels(self) -> Option<(i32, i32, i32)> {
        match self {
            Compression::None | Compression::Snappy => None,
            Compression::Gzip => Some((1, -1, 9)),
            Compression::Lz4 => Some((1, 9, 17)),
            Compression::Zstd => Some((zstd_codec::MIN_LEVEL, 3, 22)),
        }
    }
}

/// Compresses `input` and appends it to `out`.
///
/// `level` is the codec's, its default if there is none: gzip -1 (the default) or 1 to 9, zstd -131072 to 22.
/// Levels out of range become the nearest one.
///
/// Divergence: lz4 has its levels in Kafka's configuration, and one speed here, as the engine has no
/// high-compression mode. The level is accepted and has no effect: any reader reads the result, which is larger
/// than with Kafka's default level of 9.
///
/// # Errors
/// [`CompressionError::Failed`] if the engine fails, which is for want of memory only.
pub fn compress(
    codec: Compression,
    level: Option<i32>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let failed = |error: std::io::Error| CompressionError::failed(codec, &error);
    match codec {
        Compression::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Compression::Gzip => {
            let level = match level {
                Some(level @ 0..=9) => flate2::Compression::new(level as u32),
                Some(level) if level > 9 => flate2::Compression::best(),
                _ => flate2::Compression::default(),
            };
            let mut encoder = GzBuilder::new().write(out, level);
            encoder.write_all(input).map_err(failed)?;
            encoder.finish().map_err(failed)?;
            Ok(())
        }
        Compression::Snappy => xerial::compress(input, out),
        Compression::Lz4 => {
            let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(info, out);
            encoder.write_all(input).map_err(failed)?;
            encoder.finish().map_err(|error| CompressionError::failed(codec, &error.into()))?;
            Ok(())
        }
        Compression::Zstd => zstd_codec::compress(level, input, out),
    }
}

/// Decompresses `input`.
///
/// # Errors
/// [`CompressionError::TooLarge`] if there are more than `limit` bytes to it, [`CompressionError::Corrupt`] if
/// it is damaged or cut.
pub fn decompress(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    decompress_into(codec, input, limit, &mut out)?;
    Ok(out)
}

/// Decompresses `input` and appends it to `out`, at most `limit` bytes: for a buffer that is used again.
///
/// # Errors
/// As [`decompress`]; what came before the error is in `out` then.
pub fn decompress_into(
    codec: Compression,
    input: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let start = out.len();
    let mut decoder = Decoder::new(codec, input)?;
    // A first guess that depends on bytes that are there, then doubling.
    let mut step = input.len().saturating_mul(4).clamp(512, 1 << 20);
    loop {
        let filled = out.len();
        let room = step.min(limit.saturating_sub(filled - start).saturating_add(1));
        out.resize(filled + room, 0);
        let mut at = filled;
        let mut ended = false;
        while let Some(free) = out.get_mut(at..).filter(|free| !free.is_empty()) {
            match decoder.read(free) {
                Ok(0) => {
                    ended = true;
                    break;
                }
                Ok(count) => at += count,
                Err(error) => {
                    out.truncate(at.min(start.saturating_add(limit)));
                    return Err(CompressionError::from_read(codec, &error));
                }
            }
        }
        out.truncate(at);
        if at - start > limit {
            out.truncate(start + limit);
            return Err(CompressionError::TooLarge { limit: limit as u64 });
        }
        if ended {
            return Ok(());
        }
        step = (at - start).clamp(512, 64 << 20);
    }
}

/// A stream of decompressed bytes, in constant memory.
///
/// Errors of [`Read`] are the engines'; [`CompressionError::from_read`] makes ours of them.
pub struct Decoder<'a> {
    codec: Compression,
    engine: Engine<'a>,
}

enum Engine<'a> {
    None(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(xerial::XerialDecoder<'a>),
    Lz4(lz4::Lz4Decoder<'a>),
    Zstd(zstd_codec::ZstdDecoder<'a>),
}

impl<'a> Decoder<'a> {
    /// A stream over `input`.
    ///
    /// # Errors
    /// [`CompressionError::Failed`] if the engine cannot be made, for want of memory.
    pub fn new(codec: Compression, input: &'a [u8]) -> Result<Decoder<'a>, CompressionError> {
        let engine = match codec {
            Compression::None => Engine::None(input),
            Compression::Gzip => Engine::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Snappy => Engine::Snappy(xerial::XerialDecoder::new(input)),
            Compression::Lz4 => Engine::Lz4(lz4::Lz4Decoder::new(input)),
            Compression::Zstd => Engine::Zstd(zstd_codec::ZstdDecoder::new(input)?),
        };
        Ok(Decoder { codec, engine })
    }

    /// The codec.
    pub fn codec(&self) -> Compression {
        self.codec
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.engine {
            Engine::None(rest) => rest.read(out),
            Engine::Gzip(decoder) => decoder.read(out),
            Engine::Snappy(decoder) => decoder.read(out),
            Engine::Lz4(decoder) => decoder.read(out),
            Engine::Zstd(decoder) => decoder.read(out),
        }
    }
}

#[cfg(test)]
mod tests;
