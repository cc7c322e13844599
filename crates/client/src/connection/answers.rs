//! What comes back on a connection.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;

use super::{Shared, lock};

/// An answer larger than this is none: no broker sends one, and no memory is set aside for a size that is only claimed.
const LARGEST_ANSWER: usize = 1 << 30;

/// Sizes of answers whose memory is kept: a fetch's, and not those that come once.
const POOLED: std::ops::RangeInclusive<usize> = 64 * 1024..=8 * 1024 * 1024;
/// So many buffers are kept for a connection.
const SPARE: usize = 2;

/// Memory of large answers that nobody reads any more, for the next ones: pages that were never touched cost more than what is
/// read into them.
#[derive(Default)]
struct SpareBuffers(std::sync::Mutex<Vec<Vec<u8>>>);

impl SpareBuffers {
    fn take(&self) -> Option<Vec<u8>> {
        lock(&self.0).pop()
    }
}

/// A large answer; its memory goes back when the last record of it is dropped.
struct Pooled {
    bytes: Vec<u8>,
    home: Weak<SpareBuffers>,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        let mut spare = lock(&home.0);
        if spare.len() < SPARE && self.bytes.capacity() <= *POOLED.end() {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            spare.push(bytes);
        }
    }
}

/// Hands answers to those who wait for them, until there are no more or nobody has asked for anything for long.
pub(super) async fn read(stream: OwnedReadHalf, shared: Arc<Shared>, max_idle: Duration) {
    let error = tokio::select! {
        biased;
        error = read_answers(stream, &shared) => error,
        () = idle(&shared, max_idle) => {
            tracing::debug!("closing the connection to {}: it is idle", shared.address);
            // The broker would close it sooner or later, perhaps just when something is sent.
            drop(shared.sending.lock().await.stream.shutdown().await);
            std::io::ErrorKind::UnexpectedEof.into()
        }
    };
    shared.end(&error);
}

/// Until nothing was asked for about so long, and nothing is waited for (`connections.max.idle.ms`). The connection counts as lost
/// then.
async fn idle(shared: &Shared, max_idle: Duration) {
    // Looked at a few times: a timer for each request would cost more than what it finds out.
    const LOOKS: u32 = 4;
    let mut asked = shared.next_correlation_id.load(Ordering::Relaxed);
    let mut looks = 0;
    while looks < LOOKS {
        tokio::time::sleep(max_idle / LOOKS).await;
        let waiting = lock(&shared.waiting);
        let now = shared.next_correlation_id.load(Ordering::Relaxed);
        looks = if now == asked && waiting.is_empty() { looks + 1 } else { 0 };
        asked = now;
        if looks == LOOKS {
            // Invariant: who queues behind this sees it before it sends.
            shared.lost.store(true, Ordering::Relaxed);
        }
    }
}

/// What ends the answers.
async fn read_answers(stream: OwnedReadHalf, shared: &Shared) -> std::io::Error {
    let mut stream = BufReader::with_capacity(16 * 1024, stream);
    let spare = Arc::default();
    loop {
        let bytes = match read_frame(&mut stream, &spare).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        let correlation_id = bytes.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
        let next = lock(&shared.waiting).pop_front();
        match next {
            Some(next) if Some(next.correlation_id) == correlation_id => drop(next.answer.send(Ok(bytes))),
            // An answer to nothing that was asked: this is not a broker, or the stream is out of step.
            _ => return std::io::ErrorKind::InvalidData.into(),
        }
    }
}

/// Whether the first bytes of an answer are those of a record of TLS instead of a size: an alert or a handshake, of version 3.
fn is_tls(size: i32) -> bool {
    matches!(size.to_be_bytes(), [0x15 | 0x16, 3, 0..=4, _])
}

async fn read_frame(
    stream: &mut BufReader<OwnedReadHalf>,
    spare: &Arc<SpareBuffers>,
) -> std::io::Result<Bytes> {
    let size = stream.read_i32().await?;
    if is_tls(size) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it answers in TLS; this is not a PLAINTEXT listener of a broker",
        ));
    }
    let size = usize::try_from(size).ok().filter(|size| (4..=LARGEST_ANSWER).contains(size));
    let Some(size) = size else {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "the answer has no possible size; is this a PLAINTEXT listener of a broker?",
        ));
    };
    // Memory is set aside as bytes come, not by the size that is claimed.
    let is_pooled = POOLED.contains(&size);
    let mut bytes = match is_pooled.then(|| spare.take()).flatten() {
        Some(bytes) => bytes,
        None => Vec::with_capacity(size.min(2 * 1024 * 1024)),
    };
    while bytes.len() < size {
        let left = size - bytes.len();
        if bytes.len() == bytes.capacity() {
            bytes.reserve_exact(left.min(bytes.len()));
        }
        if stream.read_buf(&mut (&mut bytes).limit(left)).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    match is_pooled {
        true => Ok(Bytes::from_owner(Pooled { bytes, home: Arc::downgrade(spare) })),
        false => Ok(Bytes::from(bytes)),
    }
}
