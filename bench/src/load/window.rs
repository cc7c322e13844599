//! Requests in turn over some connections, so many of them under way at a time.

use std::{collections::VecDeque, time::Instant};

use crate::{Result, measure::histogram::Histogram, wire::connection::Connection, wire::requests};

/// Sends `count` requests and shows each reply to `check`, with the request's number and correlation id. `which` says over
/// which connection a request goes and which of the frames it is; the replies are taken in the order of the requests.
pub fn run(
    connections: &mut [&mut Connection],
    frames: &mut [Vec<u8>],
    count: usize,
    in_flight: usize,
    which: impl Fn(usize) -> (usize, usize),
    mut check: impl FnMut(usize, &[u8], i32) -> Result<()>,
) -> Result<Histogram> {
    let mut latency = Histogram::default();
    let mut under_way: VecDeque<(usize, usize, Instant)> = VecDeque::with_capacity(in_flight);
    let mut sent = 0;
    loop {
        while sent < count && under_way.len() < in_flight {
            let (connection, frame) = which(sent);
            let frame = &mut frames[frame];
            requests::set_correlation_id(frame, sent as i32);
            under_way.push_back((sent, connection, Instant::now()));
            connections[connection].send(frame)?;
            sent += 1;
        }
        let Some((number, connection, at)) = under_way.pop_front() else { return Ok(latency) };
        let reply = connections[connection].receive()?;
        latency.record(at.elapsed());
        check(number, reply, number as i32)?;
    }
}
