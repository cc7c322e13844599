//! One connection: frames in, answers out, in order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BufMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::Outbox;
use crate::memory::{Held, RequestMemory};
use crate::{buffer, large};

/// Answers to pipelined requests leave together until they are this large.
const SEND_AT: usize = 256 * 1024;
/// Where few such frames fit into a buffer, the rest of one that is larger than this is read alone, so that nothing behind it has to be
/// moved to the front later.
const READ_ALONE: usize = 32 * 1024;
/// A buffer grows at most so much ahead of the bytes that have arrived: a size on the wire is only a claim.
const GROWTH: usize = 1024 * 1024;

/// Of a request whose rest is still to come, so much is kept while the connection waits; its buffer serves others meanwhile.
const SMALL_PART: usize = 1024;
/// How long a connection is served before others get their turn, however much of it is at hand.
const TURN: Duration = Duration::from_micros(200);
/// Between two looks at the clock, so much is served: requests, and as much more for each [`READ_ALONE`] bytes of one.
const LOOK_EVERY: usize = 16;
/// So many requests at hand are handed in together.
const TOGETHER: usize = 16;
/// A buffer for requests of which few fit into a small one. Larger, it would have the client wait for its answers with nothing to do,
/// where it has five requests under way (measured: 128 KiB cost an eighth more CPU in batches of 16 KiB, 512 KiB saved nothing).
const ROOM: usize = 256 * 1024;
/// Whoever goes beyond the limit of all requests' memory, so that others wait, has to send something within this time.
pub(crate) const OTHERS_WAIT: Duration = Duration::from_secs(10);

/// A client that sends no more may still read, as `nc` does with a file: it gets an answer that comes so soon.
const GRACE: Duration = Duration::from_secs(2);

/// What is known of a connection when it is made.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

/// Serves the connections of a listener.
pub trait Service: Send + Sync + 'static {
    /// The state of one connection.
    type Connection: ServiceConnection;

    /// A client has connected.
    fn connect(&self, info: ConnectionInfo) -> Self::Connection;
}

/// Serves the requests of one connection.
pub trait ServiceConnection: Send + 'static {
    /// Serves the request in `frame` (without its length): its answer is put behind what `out` holds.
    fn handle(&mut self, frame: &[u8], out: &mut Outbox) -> Handled;

    /// Serves the first of `frames`, requests that are at hand one behind the other, with as many of those behind it as cost less when
    /// they are served together. Says how many that were, and what became of all of them: their answers have the order of the requests.
    fn handle_together(&mut self, frames: &[&[u8]], out: &mut Outbox) -> (usize, Handled) {
        (1, self.handle(frames.first().copied().unwrap_or_default(), out))
    }
}

/// An answer that comes later. Until then no further request of the connection is looked at, because answers leave in
/// the order of the requests.
pub type Later = Pin<Box<dyn Future<Output = Outbox> + Send>>;

/// What a request waits for that cannot be served now.
pub type Again = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What became of a request.
pub enum Handled {
    /// It is answered, or has no answer.
    Done,
    /// Its answer is still to come; those before it are sent meanwhile.
    Later(Later),
    /// It cannot be served now. Nothing came of it yet: it is handed in again when this is over, in the place of those behind it.
    Again(Again),
    /// The connection ends, after what is in the outbox was sent. The reason was logged.
    Close,
}

/// When a connection was last used, in milliseconds of a monotonic clock of the listener's own.
#[derive(Debug, Default)]
pub(crate) struct Activity(AtomicU64);

impl Activity {
    pub(crate) fn touch(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a connection ended, where that deserves a line in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("a request of {0} bytes, where socket.request.max.bytes allows {1}")]
    TooLarge(i64, usize),
    #[error("nothing came of the rest of a request for {} s while others wait for its memory (queued.max.request.bytes)", OTHERS_WAIT.as_secs())]
    HeldUp,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How large a connection's requests may be, and how much of it is served at a time.
pub(crate) struct Limits {
    /// `socket.request.max.bytes`.
    max_request: usize,
    /// What the connection holds of the memory for all requests.
    held: Held,
    /// What was served since the clock was looked at, or all that was at hand was served.
    served: usize,
    /// Since when it is this connection's turn, where that was looked at.
    turn: Option<Instant>,
    /// The size of the largest request since the connection was idle.
    largest: usize,
    /// The same of the time before.
    expected: usize,
}

impl Limits {
    pub fn new(max_request: usize, memory: &Arc<RequestMemory>) -> Limits {
        Limits { max_request, held: Held::nothing(memory), served: 0, turn: None, largest: 0, expected: 0 }
    }

    /// So many requests of so many bytes were served, the first of them of `size`. Whoever sends on and on would keep the thread for as
    /// long as a buffer lasts.
    async fn served(&mut self, count: usize, length: usize, size: usize) {
        self.largest = self.largest.max(size);
        self.served += count + length / READ_ALONE;
        if self.served < LOOK_EVERY {
            return;
        }
        self.served = 0;
        let now = Instant::now();
        if now.duration_since(*self.turn.get_or_insert(now)) >= TURN {
            self.turn = None;
            tokio::task::yield_now().await;
        }
    }

    /// All that was at hand is served, and others have their turn.
    fn waits(&mut self) {
        self.served = 0;
        self.turn = None;
    }
}

/// Serves a connection until either side ends it.
pub(crate) async fn run<C: ServiceConnection>(
    stream: &mut TcpStream,
    mut service: C,
    mut limits: Limits,
    activity: &Activity,
    clock: impl Fn() -> u64,
) -> Result<(), ConnectionError> {
    let mut out = Outbox::new();
    loop {
        // No buffer while idle.
        stream.readable().await?;
        let mut buffer = buffer::acquire(room_for(limits.expected));
        let touch = || activity.touch(clock());
        let result = serve_burst(stream, &mut service, &mut buffer, &mut out, &mut limits, touch).await;
        // Whoever sends large requests goes on with them.
        limits.expected = std::mem::take(&mut limits.largest);
        buffer::release(buffer);
        out.rest();
        limits.held.release();
        activity.touch(clock());
        if !result? {
            return Ok(());
        }
    }
}

/// Reads and serves until the buffer is empty again. False: the connection is over.
async fn serve_burst<C: ServiceConnection>(
    stream: &mut TcpStream,
    service: &mut C,
    buffer: &mut Vec<u8>,
    out: &mut Outbox,
    limits: &mut Limits,
    touch: impl Fn(),
) -> Result<bool, ConnectionError> {
    loop {
        if let Some(size) = frame_size(buffer, limits.max_request)?
            && size + 4 > large::LARGE
        {
            // Boxed: what idle connections consist of has no room for it.
            let large = large_request(stream, service, std::mem::take(buffer), size + 4, out, limits, &touch);
            return Box::pin(large).await;
        }
        if read_some(stream, buffer, limits).await? == 0 {
            return Ok(false);
        }
        // A busy connection may never be between two requests.
        touch();
        let mut start = 0;
        loop {
            let size = match frame_size(&buffer[start..], limits.max_request) {
                Ok(Some(size)) => size,
                Ok(None) => break,
                Err(error) => {
                    // Requests before the impossible one are owed their answers.
                    out.send(stream).await?;
                    return Err(error);
                }
            };
            let Some(frame) = buffer.get(start + 4..start + 4 + size) else { break };
            let (count, length, handled) =
                serve_at_hand(service, frame, &buffer[start..], limits.max_request, out);
            let mut next = start + length;
            if matches!(handled, Handled::Later(_)) && next == buffer.len() {
                // It may wait for long, and there is nothing in the buffer that is still needed.
                buffer::release(std::mem::take(buffer));
                limits.held.release();
                next = 0;
            }
            match after(stream, handled, out).await? {
                Next::Following => {}
                Next::Again => continue,
                Next::Over => return Ok(false),
            }
            start = next;
            limits.served(count, length, size).await;
        }
        if !out.is_empty() {
            out.send(stream).await?;
        }
        if start == buffer.len() {
            buffer.clear();
            return Ok(true);
        }
        buffer.drain(..start);
        if start > 0 && limits.held.is_beyond_limit() {
            // The request for which others waited is served.
            limits.held.release();
            limits.held.note(buffer.capacity());
        }
    }
}

/// Serves the request in `frame`, with which `bytes` begins, or several. How many, of how many bytes with their lengths, and what became
/// of them.
fn serve_at_hand<C: ServiceConnection>(
    service: &mut C,
    frame: &[u8],
    bytes: &[u8],
    max_request: usize,
    out: &mut Outbox,
) -> (usize, usize, Handled) {
    let mut frames = [frame; TOGETHER];
    let (mut count, mut end) = (1, 4 + frame.len());
    while count < TOGETHER
        && let Ok(Some(size)) = frame_size(&bytes[end..], max_request)
        && let Some(frame) = bytes.get(end + 4..end + 4 + size)
    {
        frames[count] = frame;
        count += 1;
        end += 4 + size;
    }
    if count == 1 {
        return (1, end, service.handle(frame, out));
    }
    let (served, handled) = service.handle_together(&frames[..count], out);
    let length = frames[..served].iter().map(|frame| 4 + frame.len()).sum();
    (served, length, handled)
}

/// Receives and serves a request of `size` bytes, its length included, of which `head` is here, while others are served. False: the
/// connection is over.
async fn large_request<C: ServiceConnection>(
    stream: &mut TcpStream,
    service: &mut C,
    head: Vec<u8>,
    size: usize,
    out: &mut Outbox,
    limits: &mut Limits,
    touch: impl Fn(),
) -> Result<bool, ConnectionError> {
    let received = large::receive(stream, head, size, &mut limits.held, touch).await?;
    let Some(frame) = received else { return Ok(false) };
    let handled = loop {
        let place = limits.held.lane().enter().await;
        let handled = large::beside_others(|| service.handle(frame.get(4..).unwrap_or_default(), out));
        drop(place);
        let Handled::Again(_) = handled else { break handled };
        if let Next::Over = after(stream, handled, out).await? {
            return Ok(false);
        }
    };
    // It may take as long as serving a small one, and who waits for the answer does not need the memory.
    large::beside_others(|| drop(frame));
    limits.held.release();
    if let Next::Over = after(stream, handled, out).await? {
        return Ok(false);
    }
    out.send(stream).await?;
    Ok(true)
}

/// How it goes on after a request was handed in.
enum Next {
    /// With those behind it.
    Following,
    /// It is handed in again.
    Again,
    /// The connection is over.
    Over,
}

/// Does what is to be done once a request was handed in.
async fn after(stream: &mut TcpStream, handled: Handled, out: &mut Outbox) -> Result<Next, ConnectionError> {
    match handled {
        Handled::Done if out.len() < SEND_AT => {}
        Handled::Done => out.send(stream).await?,
        Handled::Later(answer) => {
            if !out.is_empty() {
                out.send(stream).await?;
            }
            match unless_gone(stream, answer).await {
                Some(answer) => out.append(answer),
                None => return Ok(Next::Over),
            }
        }
        Handled::Again(wait) => {
            if !out.is_empty() {
                out.send(stream).await?;
            }
            return Ok(match unless_gone(stream, wait).await {
                Some(()) => Next::Again,
                None => Next::Over,
            });
        }
        Handled::Close => {
            out.send(stream).await?;
            return Ok(Next::Over);
        }
    }
    Ok(Next::Following)
}

/// What a request waits for, unless its client is gone before: then nothing waits on for it.
async fn unless_gone<T>(
    stream: &TcpStream,
    mut answer: Pin<Box<dyn Future<Output = T> + Send>>,
) -> Option<T> {
    tokio::select! {
        biased;
        answer = &mut answer => return Some(answer),
        () = end_of(stream) => {}
    }
    tokio::time::timeout(GRACE, answer).await.ok()
}

/// The client sends no more. Where requests wait behind the one that is served, the end is seen only behind them.
async fn end_of(stream: &TcpStream) {
    if let Ok(1..) = stream.peek(&mut [0]).await {
        std::future::pending().await
    }
}

/// How large the buffer is to be for requests of this size: several of them are read, served and answered together.
fn room_for(size: usize) -> usize {
    if size > buffer::HALF_OF_SMALL { ROOM } else { 0 }
}

/// The size of the frame that begins here, once its four bytes are there.
fn frame_size(bytes: &[u8], max_request: usize) -> Result<Option<usize>, ConnectionError> {
    let Some(size) = bytes.first_chunk::<4>() else { return Ok(None) };
    let size = i32::from_be_bytes(*size);
    match usize::try_from(size) {
        Ok(size) if size <= max_request => Ok(Some(size)),
        _ => Err(ConnectionError::TooLarge(i64::from(size), max_request)),
    }
}

async fn read_some(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    limits: &mut Limits,
) -> Result<usize, ConnectionError> {
    let missing = match frame_size(buffer, limits.max_request)? {
        Some(size) => (size + 4).saturating_sub(buffer.len()),
        None => 0,
    };
    let largest = limits.largest.max(buffer.len() + missing);
    let room = room_for(largest);
    let has_room = largest <= room / 2 && (buffer.capacity() >= room || limits.held.try_grow_to(room));
    if missing > READ_ALONE && !has_room {
        let mut capacity = buffer.capacity();
        if capacity - buffer.len() < missing.min(GROWTH) {
            // Half as much again, so that a large request is not moved too often while it grows.
            capacity = buffer.len() + missing.min(GROWTH.max(buffer.len() / 2));
        }
        limits.held.grow_to(capacity).await;
        buffer::grow(buffer, capacity);
        let mut room = buffer.limit(missing);
        let read = stream.read_buf(&mut room);
        if !limits.held.is_beyond_limit() {
            return Ok(read.await?);
        }
        return match tokio::time::timeout(OTHERS_WAIT, read).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(ConnectionError::HeldUp),
        };
    }
    if has_room {
        buffer::grow(buffer, room);
    }
    loop {
        if buffer.capacity() - buffer.len() < missing.max(4096) {
            buffer.reserve(missing.max(4096));
        }
        match stream.try_read_buf(buffer) {
            // It has to wait: others have their turn.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => limits.waits(),
            other => return Ok(other?),
        }
        // Also where there is nothing yet: as long as the runtime thinks that there may be more, a connection comes here between two requests.
        if buffer.len() <= SMALL_PART {
            let part: Box<[u8]> = buffer.as_slice().into();
            buffer::release(std::mem::take(buffer));
            stream.readable().await?;
            *buffer = buffer::acquire(room_for(limits.expected));
            buffer.extend_from_slice(&part);
        } else {
            limits.held.note(buffer.capacity());
            stream.readable().await?;
        }
    }
}

#[cfg(test)]
mod tests;
