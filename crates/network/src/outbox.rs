//! What a connection is about to send: bytes, and spans of files between them.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::net::SendFlags;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::{buffer, cold};

/// From this size on, spans of files go to the socket by themselves. Below, one `pread` into the answer's own bytes and one
/// `write` cost less than two calls and two packets.
const GATHERED_MAX: usize = 64 * 1024;
/// What is copied at a time for a client on this machine: it stays in the processor's cache until it is sent.
const COPY: usize = 256 * 1024;
/// So much is copied at least, however little a client takes at a time.
const COPY_MIN: usize = 16 * 1024;

thread_local! {
    static COPIES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers in the order in which they leave.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    files: Vec<FileSpan>,
}

struct FileSpan {
    /// How many of the outbox's bytes go before it.
    position: usize,
    file: Arc<File>,
    offset: u64,
    length: usize,
}

impl Outbox {
    /// An outbox with nothing in it.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Takes the bytes to write behind them; [`Outbox::restore`] puts them back.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Puts bytes back that [`Outbox::take`] gave out, with more behind them.
    pub fn restore(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// Lets `length` bytes of `file` from `offset` on leave before the byte at `position`.
    ///
    /// # Panics
    /// Where a span was already put behind `position`: spans are added in order.
    pub fn splice(&mut self, position: usize, file: Arc<File>, offset: u64, length: usize) {
        assert!(
            self.files.last().is_none_or(|last| last.position <= position),
            "Invariant: spans leave in order"
        );
        if length > 0 {
            self.files.push(FileSpan { position, file, offset, length });
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.files.is_empty()
    }

    /// The bytes that will leave.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.files.iter().map(|span| span.length).sum::<usize>()
    }

    /// Adds what another outbox holds behind this one.
    pub fn append(&mut self, other: Outbox) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.files
            .extend(other.files.into_iter().map(|span| FileSpan { position: base + span.position, ..span }));
    }

    /// Sends everything and is empty again. An error ends the connection: part of it may have left.
    pub(crate) async fn send(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if self.files.is_empty() {
            stream.write_all(&self.bytes).await?;
        } else if self.len() < GATHERED_MAX {
            let mut gathered = buffer::acquire();
            let result = self.gather(&mut gathered).await;
            if result.is_ok() {
                stream.write_all(&gathered).await?;
            }
            buffer::release(gathered);
            result?;
        } else {
            self.send_pieces(stream).await?;
        }
        self.bytes.clear();
        self.files.clear();
        Ok(())
    }

    async fn gather(&self, into: &mut Vec<u8>) -> io::Result<()> {
        let mut sent = 0;
        for span in &self.files {
            into.extend_from_slice(&self.bytes[sent..span.position]);
            sent = span.position;
            let start = into.len();
            into.resize(start + span.length, 0);
            cold::read_exact(&span.file, &mut into[start..], span.offset).await?;
        }
        into.extend_from_slice(&self.bytes[sent..]);
        Ok(())
    }

    async fn send_pieces(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        // Pages that the kernel passes on by reference save copies on their way to a network card. Here there is none, and a
        // copy that is in the processor's cache is cheaper to send, and to read, than pages one by one.
        let by_copy = stream.peer_addr()?.ip() == stream.local_addr()?.ip();
        let mut sent = 0;
        for span in &self.files {
            send_more(stream, &self.bytes[sent..span.position]).await?;
            sent = span.position;
            match by_copy {
                true => send_copies(stream, span).await?,
                false => send_file(stream, span).await?,
            }
        }
        stream.write_all(&self.bytes[sent..]).await
    }
}

/// Sends bytes behind which more follow at once, so that the kernel may put both into one packet.
async fn send_more(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                Ok(rustix::net::send(stream, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
            })
            .await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Sends copies of a file's bytes. While the client does not read, none is held for it.
async fn send_copies(stream: &TcpStream, span: &FileSpan) -> io::Result<()> {
    let mut done = 0;
    let mut room = COPY;
    while done < span.length {
        let copied = stream.async_io(Interest::WRITABLE, || {
            let length = room.min(span.length - done);
            let Some(taken) = try_send_copy(stream, span, done, length)? else { return Ok(false) };
            done += taken;
            if taken < length {
                // The rest would have to be copied again: not before there is room for it.
                room = taken.max(COPY_MIN);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            room = (room * 2).min(COPY);
            Ok(true)
        });
        if !copied.await? {
            let length = room.min(span.length - done);
            cold::bring(&span.file, span.offset + done as u64, length).await?;
        }
    }
    Ok(())
}

/// Copies and sends `length` bytes of a span: how many were taken, or none where they are not all in memory.
fn try_send_copy(
    stream: &TcpStream,
    span: &FileSpan,
    done: usize,
    length: usize,
) -> io::Result<Option<usize>> {
    COPIES.with_borrow_mut(|copies| {
        copies.resize(COPY.max(copies.len()), 0);
        let copy = &mut copies[..length];
        if !cold::read_warm(&span.file, copy, span.offset + done as u64)? {
            return Ok(None);
        }
        Ok(Some(rustix::net::send(stream, copy, SendFlags::MORE | SendFlags::NOSIGNAL)?))
    })
}

async fn send_file(stream: &TcpStream, span: &FileSpan) -> io::Result<()> {
    let mut offset = span.offset;
    let end = span.offset + span.length as u64;
    while offset < end {
        let piece = ((end - offset) as usize).min(cold::PIECE);
        cold::at_hand(&span.file, offset, piece).await?;
        let piece_end = offset + piece as u64;
        while offset < piece_end {
            let remaining = (piece_end - offset) as usize;
            let sent = stream
                .async_io(Interest::WRITABLE, || {
                    Ok(rustix::fs::sendfile(stream, &*span.file, Some(&mut offset), remaining)?)
                })
                .await?;
            if sent == 0 {
                // The file was cut meanwhile. The length is already on the wire, so the connection must end.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::AsyncReadExt;

    fn file(length: usize) -> (Arc<File>, Vec<u8>) {
        let content: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        (Arc::new(file), content)
    }

    async fn what_arrives(mut outbox: Outbox) -> Vec<u8> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reader = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            bytes
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        outbox.send(&mut stream).await.unwrap();
        assert!(outbox.is_empty());
        drop(stream);
        reader.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn files_arrive_between_the_bytes() {
        for length in [100, GATHERED_MAX * 5] {
            let (file, content) = file(length);
            let mut outbox = Outbox::new();
            outbox.restore(b"headmiddletail".to_vec());
            outbox.splice(4, Arc::clone(&file), 10, 50);
            outbox.splice(10, file, 0, length);
            let mut expected = b"head".to_vec();
            expected.extend_from_slice(&content[10..60]);
            expected.extend_from_slice(b"middle");
            expected.extend_from_slice(&content);
            expected.extend_from_slice(b"tail");
            assert_eq!(outbox.len(), expected.len());
            assert_eq!(what_arrives(outbox).await, expected);
        }
    }

    #[tokio::test]
    async fn a_client_of_this_machine_may_be_slow_and_a_file_may_be_cold_or_cut() {
        let length = COPY * 9 + 77;
        let content: Vec<u8> = (0..length).map(|index| (index % 249) as u8).collect();
        // Not in memory alone, as `/tmp` may be.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&content).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let file = Arc::new(file);

        let listener = tokio::net::TcpSocket::new_v4().unwrap();
        listener.set_send_buffer_size(30_000).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(1).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();

        let mut outbox = Outbox::new();
        outbox.restore(b"headtail".to_vec());
        outbox.splice(4, Arc::clone(&file), 0, length);
        let mut arrived = vec![0; length + 8];
        let (sent, read) = tokio::join!(outbox.send(&mut stream), client.read_exact(&mut arrived));
        sent.unwrap();
        assert_eq!(read.unwrap(), arrived.len());
        assert!(arrived == [b"head", content.as_slice(), b"tail"].concat());

        // The length is already on the wire when it turns out that there is less: the connection must end.
        file.set_len(length as u64 - 5).unwrap();
        outbox.restore(b"headtail".to_vec());
        outbox.splice(4, file, 0, length);
        let (sent, _) = tokio::join!(
            async {
                let sent = outbox.send(&mut stream).await;
                drop(stream);
                sent
            },
            client.read_to_end(&mut arrived)
        );
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn an_outbox_behind_another_keeps_its_places() {
        let (file, content) = file(20);
        let mut first = Outbox::new();
        first.restore(b"one".to_vec());
        let mut second = Outbox::new();
        second.restore(b"two".to_vec());
        second.splice(1, file, 0, 20);
        first.append(second);
        let mut expected = b"onet".to_vec();
        expected.extend_from_slice(&content);
        expected.extend_from_slice(b"wo");
        assert_eq!(what_arrives(first).await, expected);
    }
}
