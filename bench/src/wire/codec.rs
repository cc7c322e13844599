//! The codecs of record batches, as producers use them: each at its usual level.

use std::io::Write;

/// A codec, with its number in a batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// What the framing of snappy-java begins with: its name, its version, and the oldest that can read it.
const XERIAL_HEADER: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK: usize = 32 << 10;

impl Codec {
    /// What a producer of this codec sends.
    ///
    /// # Panics
    /// If a codec fails in memory.
    pub fn compress(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Codec::None => bytes,
            Codec::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                gzip.write_all(&bytes).expect("a Vec takes everything");
                gzip.finish().expect("a Vec takes everything")
            }
            Codec::Snappy => {
                let mut out = XERIAL_HEADER.to_vec();
                for block in bytes.chunks(XERIAL_BLOCK) {
                    let block =
                        snap::raw::Encoder::new().compress_vec(block).expect("a block is small enough");
                    out.extend((block.len() as u32).to_be_bytes());
                    out.extend(block);
                }
                out
            }
            Codec::Lz4 => {
                let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
                lz4.write_all(&bytes).expect("a Vec takes everything");
                lz4.finish().expect("a Vec takes everything")
            }
            Codec::Zstd => zstd::bulk::compress(&bytes, 0).expect("memory is enough"),
        }
    }
}
