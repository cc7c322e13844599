//! One record after the other with acks=all, whatever happens to the cluster, and when each was acknowledged.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Failure, Result,
    wire::{
        batch::{self, Noise},
        connection::Connection,
        error_code, replies, requests,
    },
};

const ALL: i16 = -1;
/// A thousand records in a second while nothing happens.
const INTERVAL: Duration = Duration::from_millis(1);
/// How often the leader is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A cluster that takes nothing for so long has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// What was acknowledged.
pub struct Seen {
    pub times: Vec<Instant>,
    /// Answers with an error, and connections that ended.
    pub errors: usize,
}

impl Seen {
    /// The longest time between two acknowledgements one after the other, in milliseconds.
    pub fn longest_gap_ms(&self) -> f64 {
        let gaps = self.times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// Produces to partition 0 until `done`.
pub fn run(brokers: &[SocketAddr], topic: &str, done: &AtomicBool) -> Result<Seen> {
    let batch = batch::build(1, 100, &mut Noise::new(1));
    let mut frame = requests::produce(topic, 0, ALL, &batch);
    let mut seen = Seen { times: Vec::new(), errors: 0 };
    let mut connection = None;
    let mut asked = 0;
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        if last.elapsed() > LIMIT {
            return Err(Failure::new(format!("nothing was acknowledged for {} s", LIMIT.as_secs())));
        }
        let Some(leader) = connection.as_mut() else {
            asked += 1;
            // The brokers in turns: one may be gone, another may not know yet.
            connection = leader(brokers, brokers[asked % brokers.len()], topic);
            if connection.is_none() {
                thread::sleep(LOOK_EVERY);
            }
            continue;
        };
        let sent = Instant::now();
        if is_acknowledged(leader, &mut frame) {
            last = Instant::now();
            seen.times.push(last);
            thread::sleep(INTERVAL.saturating_sub(sent.elapsed()));
        } else {
            seen.errors += 1;
            connection = None;
        }
    }
    Ok(seen)
}

fn is_acknowledged(leader: &mut Connection, frame: &mut [u8]) -> bool {
    let Ok((reply, id)) = leader.call(frame) else { return false };
    replies::produce(reply, id).is_ok_and(|(error, _)| error == error_code::NONE)
}

/// Who leads, as one broker says; a connection to it.
fn leader(brokers: &[SocketAddr], asked: SocketAddr, topic: &str) -> Option<Connection> {
    let metadata = Connection::open(asked).ok()?.metadata(Some(topic)).ok()?;
    let leader = metadata.partitions.iter().find(|partition| partition.index == 0)?.leader?;
    let address = brokers.get(usize::try_from(leader - 1).ok()?)?;
    Connection::open(*address).ok()
}
