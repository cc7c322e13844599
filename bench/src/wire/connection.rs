//! One blocking connection of the generator, and the few administrative calls that set a measurement up.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    thread,
    time::{Duration, Instant},
};

use rustix::{io::Errno, net::RecvFlags};

use super::{error_code, replies, requests};
use crate::{Failure, Result};

/// Replies never wait longer than this: a benchmark that hangs says nothing.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// What one `read` asks for at least.
const READ_SIZE: usize = 64 << 10;

/// A connection with a reused receive buffer.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The part of `buffer` that was received and not yet taken.
    begin: usize,
    end: usize,
    next_correlation_id: i32,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        Self::over(stream)
    }

    pub fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self { stream, buffer: Vec::new(), begin: 0, end: 0, next_correlation_id: 0 })
    }

    /// The socket alone.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frame)?)
    }

    /// Whether a whole reply is here already, so that `receive` would not wait.
    pub fn has_reply(&self) -> bool {
        self.frame_size().is_some_and(|size| self.end - self.begin >= 4 + size)
    }

    fn frame_size(&self) -> Option<usize> {
        let prefix = self.buffer.get(self.begin..self.end)?.get(..4)?;
        Some(prefix.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
    }

    /// The next reply, without its length.
    pub fn receive(&mut self) -> Result<&[u8]> {
        while !self.has_reply() {
            self.fill()?;
        }
        let size = self.frame_size().unwrap_or(0);
        let start = self.begin + 4;
        self.begin = start + size;
        Ok(&self.buffer[start..start + size])
    }

    /// Room in the buffer for what is awaited, behind `end`.
    fn make_room(&mut self) -> Result<()> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
        let wanted = self.frame_size().map_or(READ_SIZE, |size| 4 + size).max(READ_SIZE);
        if wanted > i32::MAX as usize {
            return Err(Failure::new("a reply claims more than 2 GiB"));
        }
        if self.begin > 0 && self.begin + wanted > self.buffer.len() {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        self.make_room()?;
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(Failure::new("the server closed the connection")),
            Ok(read) => {
                self.end += read;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Failure::new(format!("no reply within {} s", REPLY_TIMEOUT.as_secs())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Receives what has come, without waiting. Whether a whole reply is here then.
    pub fn poll(&mut self) -> Result<bool> {
        if self.has_reply() {
            return Ok(true);
        }
        self.make_room()?;
        match rustix::net::recv(&self.stream, &mut self.buffer[self.end..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(Failure::new("the server closed the connection")),
            Ok((read, _)) => self.end += read,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        Ok(self.has_reply())
    }

    /// Sends a frame and waits for its reply; the correlation id is set here and returned with it.
    pub fn call(&mut self, frame: &mut [u8]) -> Result<(&[u8], i32)> {
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        let id = self.next_correlation_id;
        requests::set_correlation_id(frame, id);
        self.send(frame)?;
        Ok((self.receive()?, id))
    }

    pub fn api_versions(&mut self) -> Result<usize> {
        let (reply, id) = self.call(&mut requests::api_versions())?;
        let (error, count) = replies::api_versions(reply, id)?;
        expect_no_error("ApiVersions", error)?;
        Ok(count)
    }

    pub fn metadata(&mut self, topic: Option<&str>) -> Result<replies::Metadata> {
        let (reply, id) = self.call(&mut requests::metadata(topic))?;
        Ok(replies::metadata(reply, id)?)
    }

    /// Creates a topic and waits until every partition has a leader that answers.
    pub fn create_topic(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        self.create_replicated(topic, partitions, 1, configs)?;
        self.await_partitions(topic, partitions, deadline)
    }

    /// Creates a topic whose partitions have so many replicas, and waits for nothing.
    pub fn create_replicated(
        &mut self,
        topic: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let (reply, id) = self.call(&mut requests::create_topic(topic, partitions, replicas, configs))?;
        match replies::create_topic(reply, id)? {
            (error_code::NONE, _) => Ok(()),
            (error, message) => {
                let message = message.unwrap_or_default();
                Err(Failure::new(format!("CreateTopics of {topic}: error {error} {message}")))
            }
        }
    }

    /// Waits until every partition of a topic has a leader that answers.
    pub fn await_partitions(&mut self, topic: &str, partitions: i32, deadline: Instant) -> Result<()> {
        while self.metadata(Some(topic))?.partitions_led() < partitions as usize {
            wait_until(deadline, || format!("{topic} has partitions without leader"))?;
        }
        (0..partitions).try_for_each(|partition| self.await_partition(topic, partition, deadline))
    }

    /// Waits until the leader of a partition, which this is a connection to, answers.
    pub fn await_partition(&mut self, topic: &str, partition: i32, deadline: Instant) -> Result<()> {
        while self.list_offsets(topic, partition, -1)?.0 != error_code::NONE {
            wait_until(deadline, || format!("{topic}-{partition} does not answer"))?;
        }
        Ok(())
    }

    /// Asks for the metadata of all topics, and returns how many bytes they are.
    pub fn metadata_of_all(&mut self) -> Result<usize> {
        let (reply, id) = self.call(&mut requests::metadata_of_all())?;
        replies::metadata(reply, id)?;
        Ok(reply.len())
    }

    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        let (reply, id) = self.call(&mut requests::delete_topic(topic))?;
        expect_no_error("DeleteTopics", replies::delete_topic(reply, id)?)
    }

    fn list_offsets(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<(i16, i64)> {
        let (reply, id) = self.call(&mut requests::list_offsets(topic, partition, timestamp))?;
        Ok(replies::list_offsets(reply, id)?)
    }

    /// The first offset of a partition whose record is not older than a time.
    pub fn offset_for_time(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let (error, offset) = self.list_offsets(topic, partition, timestamp)?;
        expect_no_error("ListOffsets", error)?;
        Ok(offset)
    }

    /// The offset after the last record of a partition.
    pub fn latest_offset(&mut self, topic: &str, partition: i32) -> Result<i64> {
        let (error, offset) = self.list_offsets(topic, partition, -1)?;
        expect_no_error("ListOffsets", error)?;
        Ok(offset)
    }
}

fn wait_until(deadline: Instant, what: impl Fn() -> String) -> Result<()> {
    if Instant::now() > deadline {
        return Err(Failure::new(what()));
    }
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// An error code other than none ends the measurement.
pub fn expect_no_error(api: &str, error: i16) -> Result<()> {
    match error {
        error_code::NONE => Ok(()),
        error => Err(Failure::new(format!("{api} answered with error code {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn replies_are_cut_at_their_lengths_however_they_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::open(listener.local_addr().unwrap()).unwrap();
        let mut peer = listener.accept().unwrap().0;
        // The length of the third reply comes in two parts.
        peer.write_all(&[0, 0, 0, 2, b'a', b'b', 0, 0, 0, 1, b'c', 0, 3]).unwrap();
        assert_eq!(connection.receive().unwrap(), b"ab");
        assert_eq!(connection.receive().unwrap(), b"c");
        assert!(!connection.has_reply());
        let large = vec![7; 200_000];
        let writer = thread::spawn(move || {
            peer.write_all(&(large.len() as u32).to_be_bytes()[2..]).unwrap();
            peer.write_all(&large).unwrap();
        });
        assert_eq!(connection.receive().unwrap(), vec![7; 200_000]);
        writer.join().unwrap();
    }

    #[test]
    fn a_closed_connection_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::open(listener.local_addr().unwrap()).unwrap();
        drop(listener.accept().unwrap());
        assert!(connection.receive().is_err());
    }
}
