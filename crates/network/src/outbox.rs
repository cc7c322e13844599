//! What a connection is about to send: bytes, and spans of files between them.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::net::SendFlags;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::{buffer, cold};

/// From this size on, the kernel copies a span of a file to the socket itself. Below, one `pread` into the answer's own
/// bytes and one `write` cost less than two calls and two packets.
const SENDFILE_MIN: usize = 64 * 1024;

/// What an idle connection keeps for its answers, in bytes: those of a producer fit.
const KEPT: usize = 256;

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

    /// Nothing will be sent for a while: memory that most answers do not need is not kept.
    pub(crate) fn rest(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        if self.files.capacity() * size_of::<FileSpan>() > KEPT {
            self.files = Vec::new();
        }
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
        } else if self.len() < SENDFILE_MIN {
            let mut gathered = buffer::acquire(0);
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
        let mut sent = 0;
        for span in &self.files {
            send_more(stream, &self.bytes[sent..span.position]).await?;
            sent = span.position;
            send_file(stream, span).await?;
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
        for length in [100, SENDFILE_MIN * 5] {
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
    async fn a_client_may_be_slow_and_a_file_may_be_cold_or_cut() {
        let length = 2 * cold::PIECE + 77;
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
