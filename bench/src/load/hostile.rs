//! Clients that mean harm, or know no better, and what others notice of them.
//!
//! An end-to-end load of 1,000 messages a second runs alone first, and then beside the attack. All clients stand for hosts elsewhere:
//! the attackers' threads have the lowest priority, so that what is measured is what they do to the server and not that they use the
//! machine's CPUs, and those that measure have the priority of real time, where that may be had, so that they do not wait for a CPU
//! on which the server is at work.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Target, end_to_end};
use crate::{
    Failure, Result,
    measure::Metric,
    wire::{
        batch::{self, Noise},
        connection::{Connection, expect_no_error},
        replies,
        requests::{self, FetchLimits},
    },
};

/// What is done to the server.
#[derive(Debug, Clone, Copy)]
pub enum Attack {
    /// Connections that send one byte each and wait.
    OneByte { connections: usize },
    /// Fetches of 1 GB from many partitions with 1 MB each, whose answers nobody reads.
    UnreadFetches { connections: usize, partitions: i32 },
    /// Producers that send on and on, and never read an answer.
    UnreadAnswers { connections: usize },
    /// Large requests all at once, and again when they are through.
    LargeRequests { connections: usize, bytes: usize },
}

/// How long the attackers have to get into place.
const IN_PLACE: Duration = Duration::from_secs(60);
/// A write that waits so long is one that the server does not take.
const BLOCKED: Duration = Duration::from_millis(200);
/// Written at a time. What a call takes longer for is not taken from it on every kernel, and the attackers stand for hosts elsewhere.
const PIECE: usize = 64 * 1024;
/// Between looks at the server's memory.
const LOOK: Duration = Duration::from_millis(20);

/// Latency and memory, alone and beside the attack.
pub fn run(target: Target, topic: &str, attack: Attack, duration: Duration) -> Result<Vec<Metric>> {
    let attacked = format!("{topic}-attacked");
    let partitions = match attack {
        Attack::UnreadFetches { partitions, .. } => partitions,
        _ => 1,
    };
    let mut connection = Connection::open(target.address)?;
    connection.create_topic(&attacked, partitions, &[])?;
    let frames = Frames::new(attack, &attacked, &mut connection)?;
    // What the attackers need is made before the first look: to make it, and to bring it to the disk, is no part of the attack.
    rustix::fs::sync();

    let load = end_to_end::Options::ordinary(topic, duration);
    let alone = first(|| end_to_end::run(target, &load))?;
    let memory = |target: Target| target.servers.resident_bytes().map(Option::unwrap_or_default);
    let memory_alone = memory(target)?;

    let stop = AtomicBool::new(false);
    let in_place = AtomicUsize::new(0);
    let most_memory = AtomicU64::new(memory_alone);
    let (beside, attack_mb_s) = thread::scope(|scope| {
        // Whatever ends this, the threads end too.
        let _stop = StopOnDrop(&stop);
        for _ in 0..frames.threads {
            scope.spawn(|| frames.attack(target.address, &in_place, &stop));
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most_memory.fetch_max(memory(target).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        let deadline = Instant::now() + IN_PLACE;
        while in_place.load(Ordering::Relaxed) < frames.threads {
            if Instant::now() > deadline {
                return Err(Failure::new("the attackers did not get into place"));
            }
            thread::sleep(LOOK);
        }
        let sent_before = frames.sent.load(Ordering::Relaxed);
        let beside = first(|| end_to_end::run(target, &load))?;
        let sent = frames.sent.load(Ordering::Relaxed) - sent_before;
        Ok((beside, sent as f64 / 1e6 / duration.as_secs_f64()))
    })?;
    // Behind those who never read: the server must still answer.
    let mut connection = Connection::open(target.address)?;
    connection.delete_topic(&attacked)?;
    let ratio = beside.latency.micros(0.99) / alone.latency.micros(0.99);
    Ok(vec![
        Metric::new("p99 alone", "us", alone.latency.micros(0.99)),
        Metric::new("p99", "us", beside.latency.micros(0.99)),
        Metric::new(P99_RATIO, "x", ratio),
        Metric::new("p50", "us", beside.latency.micros(0.5)),
        Metric::new("memory alone", "MB", memory_alone as f64 / 1e6),
        Metric::new(MOST_MEMORY, "MB", most_memory.load(Ordering::Relaxed) as f64 / 1e6),
        Metric::new("sent by the attackers", "MB/s", attack_mb_s),
        Metric::new("others", "cores", alone.usage.others_cores),
    ])
}

/// The latency beside an attack to that alone.
pub const P99_RATIO: &str = "p99 : alone";
/// The most resident memory beside an attack.
pub const MOST_MEMORY: &str = "most memory";

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the attackers send.
struct Frames {
    attack: Attack,
    bytes: Vec<u8>,
    threads: usize,
    /// Bytes that the server, or the kernel for it, took of large requests and of producers.
    sent: AtomicU64,
}

impl Frames {
    fn new(attack: Attack, topic: &str, connection: &mut Connection) -> Result<Self> {
        let mut noise = Noise::new(1);
        let (bytes, threads) = match attack {
            Attack::OneByte { .. } => (vec![0], 1),
            Attack::UnreadFetches { connections, partitions } => {
                let batch = batch::build(batch::records_that_fit(1_000_000, 1024), 1024, &mut noise);
                for partition in 0..partitions {
                    let mut frame = requests::produce(topic, partition, 1, &batch);
                    let (reply, id) = connection.call(&mut frame)?;
                    expect_no_error("Produce", replies::produce(reply, id)?.0)?;
                }
                let limits = FetchLimits { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 30 };
                (requests::fetch_partitions(topic, 0..partitions, 0, limits), connections)
            }
            Attack::UnreadAnswers { connections } => {
                let frame = requests::produce(topic, 0, 1, &batch::build(1, 100, &mut noise));
                (frame.repeat(1_000), connections)
            }
            Attack::LargeRequests { connections, bytes } => {
                let records = batch::records_that_fit(bytes, 1 << 20);
                (requests::produce(topic, 0, 1, &batch::build(records, 1 << 20, &mut noise)), connections)
            }
        };
        Ok(Self { attack, bytes, threads, sent: AtomicU64::new(0) })
    }

    /// One attacker, until it is stopped or the server has had enough of it.
    fn attack(&self, server: SocketAddr, in_place: &AtomicUsize, stop: &AtomicBool) {
        lowest_priority();
        // A server that closes such a connection, or refuses it, is in its right.
        if let Err(error) = self.try_attack(server, in_place, stop) {
            eprintln!("bench: an attacker was refused: {error}");
            in_place.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn try_attack(&self, server: SocketAddr, in_place: &AtomicUsize, stop: &AtomicBool) -> io::Result<()> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&server, Duration::from_secs(10))?;
            stream.set_write_timeout(Some(BLOCKED))?;
            io::Result::Ok(stream)
        };
        let wait = || {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
            }
        };
        match self.attack {
            Attack::OneByte { connections } => {
                let mut open = Vec::with_capacity(connections);
                for _ in 0..connections {
                    let mut stream = connect()?;
                    stream.write_all(&self.bytes)?;
                    open.push(stream);
                }
                in_place.fetch_add(1, Ordering::Relaxed);
                wait();
            }
            Attack::UnreadFetches { .. } => {
                let mut stream = connect()?;
                self.send(&mut stream, stop)?;
                in_place.fetch_add(1, Ordering::Relaxed);
                wait();
            }
            Attack::UnreadAnswers { .. } => {
                let mut stream = connect()?;
                // So that it is soon full.
                rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096)?;
                while !self.send(&mut stream, stop)? {}
                in_place.fetch_add(1, Ordering::Relaxed);
                wait();
            }
            Attack::LargeRequests { .. } => {
                let mut stream = connect()?;
                in_place.fetch_add(1, Ordering::Relaxed);
                while !stop.load(Ordering::Relaxed) {
                    self.send(&mut stream, stop)?;
                }
            }
        }
        Ok(())
    }

    /// Sends everything, unless it is stopped first. Whether the server ever kept it waiting.
    fn send(&self, stream: &mut TcpStream, stop: &AtomicBool) -> io::Result<bool> {
        let mut rest = self.bytes.as_slice();
        let mut blocked = false;
        while !rest.is_empty() {
            match stream.write(&rest[..rest.len().min(PIECE)]) {
                Ok(sent) => {
                    self.sent.fetch_add(sent as u64, Ordering::Relaxed);
                    rest = &rest[sent..];
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    blocked = true;
                    // Of a producer that never reads, the rest of the frame comes never.
                    if stop.load(Ordering::Relaxed) || matches!(self.attack, Attack::UnreadAnswers { .. }) {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(blocked)
    }
}

/// Does something with the calling thread, and those that it begins meanwhile, before everybody else.
fn first<R>(measured: impl FnOnce() -> R) -> R {
    let first = libc::sched_param { sched_priority: 1 };
    let mut parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the calls read and write at most the local variables that they are given. On Linux, 0 is the calling thread. Where one is
    // refused, the load is only heavier for those who measure.
    let policy = unsafe {
        libc::sched_getparam(0, &raw mut parameters);
        let policy = libc::sched_getscheduler(0);
        libc::sched_setscheduler(0, libc::SCHED_RR, &raw const first);
        policy
    };
    let result = measured();
    // SAFETY: as above.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    result
}

/// Lets the calling thread run when nobody else wants to, and give way at once, also where the bench itself has the priority of
/// real time.
fn lowest_priority() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the calls read at most the local variable that they are given. On Linux, 0 is the calling thread. Where one is
    // refused, the load is only heavier.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters);
    }
}
