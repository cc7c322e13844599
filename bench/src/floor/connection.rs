//! One connection of the floor server: frames in, replies out, on one blocking thread.

use std::{
    fs::File,
    io::{IoSlice, Read, Write},
    net::TcpStream,
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::{Floor, handlers, partition::Partition};
use crate::{Failure, Result};

/// Small frames are read together, up to this many bytes.
const READ_SIZE: usize = 64 << 10;
/// As `socket.request.max.bytes` of Apache Kafka.
const MAX_FRAME_SIZE: usize = 100 << 20;

/// Bytes of a partition that belong into the replies at a position.
struct Splice {
    at: usize,
    partition: Arc<Partition>,
    position: u64,
    length: usize,
}

/// Replies that are written together.
pub struct Outgoing {
    stream: TcpStream,
    pub replies: Vec<u8>,
    splices: Vec<Splice>,
    /// Where fetched bytes pass through; grows to the largest fetch and is reused.
    passing: Vec<u8>,
    sendfile: bool,
}

impl Outgoing {
    /// Notes that the bytes of a partition come next.
    pub fn splice(&mut self, partition: Arc<Partition>, position: u64, length: usize) {
        self.splices.push(Splice { at: self.replies.len(), partition, position, length });
    }

    pub fn flush(&mut self) -> Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        match self.splices.as_slice() {
            [] => self.stream.write_all(&self.replies)?,
            _ if self.sendfile => self.flush_by_sendfile()?,
            _ => self.flush_by_copy()?,
        }
        self.replies.clear();
        self.splices.clear();
        Ok(())
    }

    fn flush_by_copy(&mut self) -> Result<()> {
        let total = self.splices.iter().map(|splice| splice.length).sum();
        if self.passing.len() < total {
            self.passing.resize(total, 0);
        }
        let mut rest = self.passing.as_mut_slice();
        for splice in &self.splices {
            let (here, after) = rest.split_at_mut(splice.length);
            splice.partition.file.read_exact_at(here, splice.position)?;
            rest = after;
        }
        let mut slices = Vec::with_capacity(2 * self.splices.len() + 1);
        let (mut begin, mut passed) = (0, 0);
        for splice in &self.splices {
            slices.push(IoSlice::new(&self.replies[begin..splice.at]));
            slices.push(IoSlice::new(&self.passing[passed..passed + splice.length]));
            (begin, passed) = (splice.at, passed + splice.length);
        }
        slices.push(IoSlice::new(&self.replies[begin..]));
        let mut slices = slices.as_mut_slice();
        while !slices.is_empty() {
            let written = (&self.stream).write_vectored(slices)?;
            if written == 0 {
                return Err(Failure::new("nothing could be written"));
            }
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }

    fn flush_by_sendfile(&mut self) -> Result<()> {
        let mut begin = 0;
        for splice in &self.splices {
            self.stream.write_all(&self.replies[begin..splice.at])?;
            send_file(&self.stream, &splice.partition.file, splice.position, splice.length)?;
            begin = splice.at;
        }
        Ok(self.stream.write_all(&self.replies[begin..])?)
    }
}

fn send_file(stream: &TcpStream, file: &File, position: u64, length: usize) -> Result<()> {
    let mut offset = position;
    let end = position + length as u64;
    while offset < end {
        let left = (end - offset) as usize;
        let sent =
            rustix::fs::sendfile(stream, file, Some(&mut offset), left).map_err(std::io::Error::from)?;
        if sent == 0 {
            return Err(Failure::new("the file is shorter than its batches"));
        }
    }
    Ok(())
}

/// Serves one connection until the client closes it.
pub fn serve(floor: &Floor, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut outgoing = Outgoing {
        stream: stream.try_clone()?,
        replies: Vec::new(),
        splices: Vec::new(),
        passing: Vec::new(),
        sendfile: floor.sendfile,
    };
    let mut buffer = vec![0; READ_SIZE];
    let (mut begin, mut end) = (0, 0);
    loop {
        let size = match buffer.get(begin..end).and_then(|bytes| bytes.first_chunk::<4>()) {
            Some(prefix) => u32::from_be_bytes(*prefix) as usize,
            None => 0,
        };
        if size > MAX_FRAME_SIZE {
            return Err(Failure::new(format!("a frame of {size} bytes")));
        }
        if size > 0 && end - begin >= 4 + size {
            handlers::handle(floor, &mut buffer[begin + 4..begin + 4 + size], &mut outgoing)?;
            begin += 4 + size;
            continue;
        }
        outgoing.flush()?;
        if begin > 0 {
            buffer.copy_within(begin..end, 0);
            (begin, end) = (0, end - begin);
        }
        if buffer.len() < 4 + size {
            buffer.resize(4 + size, 0);
        }
        // No further than the end of a large frame: its successor then begins at the front, and nothing is moved.
        let limit = READ_SIZE.max(4 + size);
        match stream.read(&mut buffer[end..limit]) {
            Ok(0) => return Ok(()),
            Ok(read) => end += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
