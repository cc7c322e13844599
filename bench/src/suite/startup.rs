//! From exec to the first answer, the first metadata, the first acknowledged record.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::system::{ASK_EVERY, System, free_port};
use crate::{
    Failure, Result,
    measure::Metric,
    wire::{
        batch::{self, Noise},
        connection::Connection,
        error_code, replies, requests,
    },
};

const LIMIT: Duration = Duration::from_secs(60);

/// Starts a system once, and stops it again. The directory is new for each start, unless the system formats it.
pub fn once(system: &System, dir: &Path, number: usize) -> Result<Vec<Metric>> {
    let dir = if system.formats { dir.to_owned() } else { dir.join(format!("start-{number}")) };
    let port = free_port()?;
    if system.formats {
        // The port is written into the configuration when the directory is formatted, so each start has its own.
        let dir = dir.join(format!("start-{number}"));
        system.start(&dir, port)?.stop()?;
        return timed(system, &dir, port);
    }
    timed(system, &dir, port)
}

fn timed(system: &System, dir: &Path, port: u16) -> Result<Vec<Metric>> {
    let begun = Instant::now();
    let mut running = system.spawn(dir, port)?;
    let millis = |begun: Instant| begun.elapsed().as_secs_f64() * 1e3;
    running.wait_for_answer()?;
    let answer = millis(begun);

    let deadline = begun + LIMIT;
    let mut connection = Connection::open(running.address)?;
    while connection.metadata(None)?.brokers == 0 {
        pause(deadline, "metadata names no broker")?;
    }
    let metadata = millis(begun);

    let topic = "bench-start";
    // A node that has just begun may refuse for a while, because it is not registered yet.
    while connection.create_topic(topic, 1, &[]).is_err() {
        pause(deadline, "no topic can be created")?;
    }
    let batch = batch::build(1, 100, &mut Noise::new(1));
    let mut frame = requests::produce(topic, 0, -1, &batch);
    loop {
        let (reply, id) = connection.call(&mut frame)?;
        match replies::produce(reply, id)? {
            (error_code::NONE, 0) => break,
            (error_code::NONE, offset) => {
                return Err(Failure::new(format!("the first record of a topic got offset {offset}")));
            }
            _ => pause(deadline, "nothing can be produced")?,
        }
    }
    let acknowledged = millis(begun);
    running.stop()?;
    Ok(vec![
        Metric::new("first answer", "ms", answer),
        Metric::new("metadata", "ms", metadata),
        Metric::new("first acknowledged record", "ms", acknowledged),
    ])
}

fn pause(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        return Err(Failure::new(format!("after {} s {what}", LIMIT.as_secs())));
    }
    thread::sleep(ASK_EVERY);
    Ok(())
}
