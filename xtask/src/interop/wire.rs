//! Kafka's wire by hand: what no well-behaved client would send.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How a broker reacted.
#[derive(Debug, Clone, PartialEq)]
pub enum Reaction {
    /// The payload of a response frame: correlation id, and what follows.
    Answer(Vec<u8>),
    /// It closed the connection.
    Closed,
    /// Nothing within the time.
    Silence,
}

/// Opens a connection whose reads and writes wait at most two seconds.
pub fn connect(port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A payload with its length before it.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(payload.len()).unwrap_or(i32::MAX).to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

/// A request: header of the version that the caller says is right (1, or 2 for flexible requests), then the body.
pub fn request(key: i16, version: i16, header: i16, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend(key.to_be_bytes());
    payload.extend(version.to_be_bytes());
    payload.extend(7_i32.to_be_bytes());
    payload.extend(string("hostile"));
    if header >= 2 {
        payload.push(0);
    }
    payload.extend(body);
    payload
}

/// A string with two bytes of length.
pub fn string(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// Sends bytes as they are and waits for what comes.
pub fn send(stream: &mut TcpStream, bytes: &[u8]) -> Reaction {
    // The broker may close while we still write: that is an answer too.
    if stream.write_all(bytes).is_err() {
        return Reaction::Closed;
    }
    receive(stream)
}

/// Waits for a response frame.
pub fn receive(stream: &mut TcpStream) -> Reaction {
    let mut size = [0; 4];
    if let Err(error) = stream.read_exact(&mut size) {
        return match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Reaction::Silence,
            _ => Reaction::Closed,
        };
    }
    let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(0);
    let mut payload = vec![0; size.min(64 << 20)];
    match stream.read_exact(&mut payload) {
        Ok(()) => Reaction::Answer(payload),
        Err(_) => Reaction::Closed,
    }
}

/// Sends one frame on a connection of its own.
pub fn exchange(port: u16, payload: &[u8]) -> Result<Reaction, String> {
    let mut stream = connect(port).map_err(|error| format!("cannot connect: {error}"))?;
    Ok(send(&mut stream, &frame(payload)))
}

/// An API key with its lowest and highest version.
pub type Offer = (i16, i16, i16);

/// What a broker offers; an error if it does not answer.
pub fn api_versions(port: u16) -> Result<Vec<Offer>, String> {
    let Reaction::Answer(payload) = exchange(port, &request(18, 0, 1, &[]))? else {
        return Err("no answer to ApiVersions".to_owned());
    };
    // correlation id, error code, count, then three numbers each
    let ranges = payload.get(10..).ok_or("a short answer to ApiVersions")?;
    let number = |bytes: &[u8]| i16::from_be_bytes([bytes[0], bytes[1]]);
    Ok(ranges
        .chunks_exact(6)
        .map(|range| (number(range), number(&range[2..]), number(&range[4..])))
        .collect())
}

/// CRC-32C (Castagnoli), bit by bit: batches here are small.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1)))
    })
}

/// A number as Kafka's records write it: zigzag, seven bits a byte.
pub fn varint(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}
