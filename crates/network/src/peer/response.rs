//! An answer as it came, and the buffer that it lies in.

use std::io;
use std::sync::Arc;

use bytes::BufMut;
use parking_lot::Mutex;
use protocol::{ApiKey, DecodeError, Message, Reader};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::PeerError;

/// An answer larger than this is none: no peer sends one.
const LARGEST_ANSWER: usize = 1 << 30;
/// Memory is set aside so far ahead of the bytes that have come: a size on the wire is only a claim.
const GROWTH: usize = 2 * 1024 * 1024;
/// A smaller answer is not worth a buffer that is kept.
const SMALLEST_KEPT: usize = 64 * 1024;
/// A buffer grown beyond this is given back to the system: its answer was of unusual size.
const LARGEST_KEPT: usize = 16 * 1024 * 1024;
/// After so many small answers in a row the connection is idle, or never has large ones.
const SMALL_ANSWERS: u32 = 4;

/// The buffer of the last large answer, for the next one: touching memory for the first time costs more than filling it.
#[derive(Default)]
pub(super) struct Spare(Mutex<(Vec<u8>, u32)>);

impl Spare {
    /// An empty buffer for an answer of this size.
    fn take(&self, size: usize) -> Vec<u8> {
        let mut kept = self.0.lock();
        if size >= SMALLEST_KEPT {
            kept.1 = 0;
            return std::mem::take(&mut kept.0);
        }
        kept.1 = kept.1.saturating_add(1);
        if kept.1 >= SMALL_ANSWERS {
            kept.0 = Vec::new();
        }
        Vec::new()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        if (SMALLEST_KEPT..=LARGEST_KEPT).contains(&buffer.capacity()) {
            buffer.clear();
            let mut kept = self.0.lock();
            if kept.0.capacity() < buffer.capacity() {
                kept.0 = buffer;
            }
        }
    }
}

/// Reads one frame, without its length.
pub(super) async fn read_frame(stream: &mut (impl AsyncRead + Unpin), spare: &Spare) -> io::Result<Vec<u8>> {
    let size = stream.read_i32().await?;
    let size = usize::try_from(size).ok().filter(|size| (4..=LARGEST_ANSWER).contains(size));
    let Some(size) = size else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer of an impossible size"));
    };
    let mut bytes = spare.take(size);
    while bytes.len() < size {
        let left = size - bytes.len();
        if bytes.len() == bytes.capacity() {
            bytes.reserve_exact(left.min(bytes.len().max(GROWTH)));
        }
        if stream.read_buf(&mut (&mut bytes).limit(left)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}

/// An answer as it came. What is read out of it borrows from it.
pub struct PeerResponse {
    bytes: Vec<u8>,
    /// Where the message begins, behind the header.
    body: usize,
    spare: Arc<Spare>,
    address: Arc<str>,
    api: ApiKey,
    version: i16,
}

impl Drop for PeerResponse {
    fn drop(&mut self) {
        self.spare.give(std::mem::take(&mut self.bytes));
    }
}

impl PeerResponse {
    pub(super) fn new(
        bytes: Vec<u8>,
        spare: Arc<Spare>,
        address: Arc<str>,
        api: ApiKey,
        version: i16,
    ) -> Result<PeerResponse, PeerError> {
        let mut reader = Reader::new(&bytes);
        let header = (|| {
            reader.i32()?;
            if api.response_header_version(version) > 0 {
                reader.tagged_fields(|_, _| Ok(false))?;
            }
            Ok(bytes.len() - reader.remaining().len())
        })();
        match header {
            Ok(body) => Ok(PeerResponse { bytes, body, spare, address, api, version }),
            Err(error) => Err(unreadable(&address, api, error)),
        }
    }

    /// The version of the request, and so of the answer.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The message. What it borrows, such as fetched records, it borrows from here.
    pub fn read<'a, M: Message<'a>>(&'a self) -> Result<M, PeerError> {
        let body = self.bytes.get(self.body..).unwrap_or_default();
        M::read(&mut Reader::new(body), self.version)
            .map_err(|error| unreadable(&self.address, self.api, error))
    }

    /// Whether the message begins with this number, as an error does in most.
    pub(super) fn begins_with(&self, code: i16) -> bool {
        self.bytes.get(self.body..self.body + 2) == Some(&code.to_be_bytes()[..])
    }

    /// The same bytes, read as another version.
    pub(super) fn in_version(mut self, version: i16) -> PeerResponse {
        self.version = version;
        self
    }
}

fn unreadable(address: &Arc<str>, api: ApiKey, error: DecodeError) -> PeerError {
    PeerError::Response { address: Arc::clone(address), api, error }
}
