//! Going through the batches of a segment's file: by headers, or whole.

use std::io;
use std::sync::Arc;

use ::io::fs::File;
use protocol::records::{BatchHeader, RECORD_BATCH_OVERHEAD, RecordBatch, RecordError};

use crate::paths::read_up_to_at;

/// What a file that is damaged gives: kind `InvalidData`.
pub(crate) fn invalid_data(error: RecordError, position: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("at position {position}: {error}"))
}

/// A batch's header and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPosition {
    pub header: BatchHeader,
    pub position: u64,
}

impl BatchPosition {
    pub fn end(&self) -> u64 {
        self.position + self.header.size_in_bytes() as u64
    }
}

/// Goes from header to header. Small batches come many at a read; of large ones only the headers are read.
#[derive(Debug)]
pub(crate) struct HeaderScanner {
    file: Arc<File>,
    position: u64,
    end: u64,
    window: [u8; HeaderScanner::WINDOW],
    window_start: u64,
    window_length: usize,
}

impl HeaderScanner {
    /// As many bytes as lie between two entries of an index by default.
    const WINDOW: usize = 4096;

    /// Scans `file` from `position`, where a batch must begin, to `end`.
    pub fn new(file: Arc<File>, position: u64, end: u64) -> HeaderScanner {
        HeaderScanner { file, position, end, window: [0; Self::WINDOW], window_start: 0, window_length: 0 }
    }

    /// Where the next batch begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next batch that is whole. `InvalidData` if there is something that is none.
    pub fn next(&mut self) -> io::Result<Option<BatchPosition>> {
        if self.end.saturating_sub(self.position) < RECORD_BATCH_OVERHEAD as u64 {
            return Ok(None);
        }
        let offset = self.position.checked_sub(self.window_start).map(|offset| offset as usize);
        let offset = match offset {
            Some(offset) if offset + RECORD_BATCH_OVERHEAD <= self.window_length => offset,
            _ => {
                let wanted = (self.end - self.position).min(Self::WINDOW as u64) as usize;
                let window = self.window.get_mut(..wanted).unwrap_or_default();
                self.window_length = read_up_to_at(&self.file, window, self.position)?;
                self.window_start = self.position;
                0
            }
        };
        let bytes = self.window.get(offset..self.window_length).unwrap_or_default();
        let header = match BatchHeader::parse(bytes) {
            Ok(header) => header,
            // The file is shorter than its size was: it was truncated meanwhile.
            Err(RecordError::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(invalid_data(error, self.position)),
        };
        if header.last_offset_delta() < 0 {
            // Nothing else would tell that its records are passed over.
            let message = format!("at position {}: a batch that ends before it begins", self.position);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let found = BatchPosition { header, position: self.position };
        if found.end() > self.end {
            return Ok(None);
        }
        self.position = found.end();
        Ok(Some(found))
    }
}

/// Reads whole batches, one behind the other, in large pieces.
#[derive(Debug)]
pub(crate) struct BatchReader {
    file: Arc<File>,
    /// Where the buffer's first byte lies in the file.
    buffer_position: u64,
    buffer: Vec<u8>,
    filled: usize,
    consumed: usize,
    end: u64,
    /// How much is read at a time; more for a batch that is larger.
    piece: usize,
}

impl BatchReader {
    const PIECE: usize = 1 << 20;

    /// Reads `file` from `position`, where a batch must begin, to `end`.
    pub fn new(file: Arc<File>, position: u64, end: u64) -> BatchReader {
        BatchReader::with_piece(file, position, end, Self::PIECE)
    }

    /// The same, reading `piece` bytes at a time.
    pub fn with_piece(file: Arc<File>, position: u64, end: u64, piece: usize) -> BatchReader {
        file.advise_sequential(position);
        BatchReader {
            file,
            buffer_position: position,
            buffer: Vec::new(),
            filled: 0,
            consumed: 0,
            end,
            piece: piece.max(RECORD_BATCH_OVERHEAD),
        }
    }

    /// Where the next batch begins.
    pub fn position(&self) -> u64 {
        self.buffer_position + self.consumed as u64
    }

    /// The next whole batch, its checksum not yet verified. `None` at the end, and where the file ends in the middle of a batch;
    /// `InvalidData` where there is no batch.
    pub fn next(&mut self) -> io::Result<Option<RecordBatch<'_>>> {
        let position = self.position();
        self.fill(RECORD_BATCH_OVERHEAD)?;
        let size = match BatchHeader::parse(self.available()) {
            Ok(header) => header.size_in_bytes(),
            Err(RecordError::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(invalid_data(error, position)),
        };
        // The length comes from the file, perhaps a damaged one: it must lie within the file before room is made for it.
        if size as u64 > self.end.saturating_sub(position) {
            return Ok(None);
        }
        self.fill(size)?;
        let start = self.consumed;
        if self.filled - start < size {
            return Ok(None);
        }
        self.consumed += size;
        let bytes = self.buffer.get(start..start + size).unwrap_or_default();
        RecordBatch::parse(bytes).map(Some).map_err(|error| invalid_data(error, position))
    }

    fn available(&self) -> &[u8] {
        self.buffer.get(self.consumed..self.filled).unwrap_or_default()
    }

    /// Makes `wanted` bytes available, unless the file ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.filled - self.consumed >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.consumed..self.filled, 0);
        self.buffer_position += self.consumed as u64;
        self.filled -= self.consumed;
        self.consumed = 0;
        let left = self.end.saturating_sub(self.buffer_position);
        let room = (wanted.max(self.piece) as u64).min(left) as usize;
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let room = self.buffer.get_mut(self.filled..room).unwrap_or_default();
        self.filled += read_up_to_at(&self.file, room, self.buffer_position + self.filled as u64)?;
        Ok(())
    }
}
