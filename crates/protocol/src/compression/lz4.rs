//! LZ4 frames, as Kafka's own reader takes them (`org.apache.kafka.common.compress.Lz4BlockInputStream`).
//!
//! The engine would take more: blocks that depend on each other, frames after the first, the legacy format, a frame
//! without its end. A batch with any of these could be appended, but not be read by Kafka's consumers.

use std::io::{Error, ErrorKind, Read, Result};

use lz4_flex::frame::FrameDecoder;

const MAGIC: [u8; 4] = 0x184d_2204u32.to_le_bytes();
const BLOCKS_ARE_INDEPENDENT: u8 = 0x20;

/// Decompresses one frame.
pub(super) struct Lz4Decoder<'a> {
    engine: Box<FrameDecoder<Input<'a>>>,
    refused: Option<&'static str>,
    finished: bool,
}

/// The frame's bytes. Remembers whether more were asked for than there are: the engine takes the end of the input
/// for the end of the frame.
struct Input<'a> {
    rest: &'a [u8],
    overrun: bool,
}

impl<'a> Lz4Decoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Lz4Decoder<'a> {
        let refused = match input.split_first_chunk::<4>() {
            Some((magic, _)) if *magic != MAGIC => Some("not an LZ4 frame"),
            Some((_, [flags, ..])) if flags & BLOCKS_ARE_INDEPENDENT == 0 => {
                Some("the blocks of the frame depend on each other")
            }
            _ => None,
        };
        let engine = Box::new(FrameDecoder::new(Input { rest: input, overrun: false }));
        Lz4Decoder { engine, refused, finished: false }
    }
}

impl Read for Lz4Decoder<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if let Some(reason) = self.refused {
            return Err(Error::new(ErrorKind::InvalidData, reason));
        }
        if self.finished || out.is_empty() {
            return Ok(0);
        }
        let count = self.engine.read(out)?;
        if count == 0 {
            if self.engine.get_ref().overrun {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the data ends inside a frame"));
            }
            self.finished = true;
        }
        Ok(count)
    }
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        self.overrun |= out.len() > self.rest.len();
        self.rest.read(out)
    }

    fn read_exact(&mut self, out: &mut [u8]) -> Result<()> {
        self.overrun |= out.len() > self.rest.len();
        self.rest.read_exact(out)
    }
}
