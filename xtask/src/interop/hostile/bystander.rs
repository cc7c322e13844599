//! A client that does nothing wrong while the others do: it produces one record after the other on one connection.

use super::batch::Batch;
use super::{produce_body, produced};
use crate::interop::wire::{self, Reaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The running client.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Option<String>)>,
}

impl Bystander {
    pub fn start(port: u16) -> Bystander {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Bystander { stop, thread: std::thread::spawn(move || client(port, &seen)) }
    }

    /// Ends it: records acknowledged, and what went wrong, if anything did.
    pub fn finish(self) -> (usize, Option<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| (0, Some("its thread ended".to_owned())))
    }
}

fn client(port: u16, stop: &AtomicBool) -> (usize, Option<String>) {
    let mut stream = match wire::connect(port) {
        Ok(stream) => stream,
        Err(error) => return (0, Some(error.to_string())),
    };
    if let Err(error) = stream.set_read_timeout(Some(Duration::from_secs(30))) {
        return (0, Some(error.to_string()));
    }
    let request = wire::frame(&wire::request(0, 7, 1, &produce_body("bystander", &Batch::honest().bytes())));
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        match wire::send(&mut stream, &request) {
            Reaction::Answer(payload) => match produced(&payload, "bystander") {
                Some((0, offset)) if offset == count as i64 => count += 1,
                other => return (count, Some(format!("error and offset {other:?} at offset {count}"))),
            },
            other => return (count, Some(format!("{other:?}"))),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    (count, None)
}
