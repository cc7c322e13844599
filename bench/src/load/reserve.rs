//! Memory that is kept warm for the server until the moment at which it needs it.
//!
//! A virtual machine may give memory back to its host as soon as it has been free for a second, and then its next touch costs
//! several times as much: what a load finds would be luck. So the load itself holds as much as the server is about to fill, and lets
//! go of it step by step, just before each request: the server gets pages that were in use a moment ago.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use rustix::fs::MemfdFlags;

/// Given back in steps of so many bytes: small against a second's load, and large enough that the sender is seldom held up. A server with
/// which requests gather works otherwise than one to which each comes alone.
const STEP: u64 = 64 << 20;
/// Touched at a time.
const BLOCK: usize = 1 << 20;

/// Memory of this process that goes back to the system in steps.
#[derive(Debug)]
pub struct Reserve {
    /// As long as what is still held.
    file: File,
    counts: Mutex<Counts>,
}

/// In bytes.
#[derive(Debug)]
struct Counts {
    held: u64,
    /// To be given back, but less than a step.
    owed: u64,
}

impl Reserve {
    /// Takes so many bytes, and touches all of them.
    pub fn take(bytes: usize) -> io::Result<Self> {
        let mut file = File::from(rustix::fs::memfd_create("reserve", MemfdFlags::CLOEXEC)?);
        let block = vec![1; BLOCK];
        let blocks = bytes.div_ceil(block.len());
        for _ in 0..blocks {
            file.write_all(&block)?;
        }
        // The server is always a step ahead.
        let counts = Mutex::new(Counts { held: (blocks * BLOCK) as u64, owed: STEP });
        Ok(Self { file, counts })
    }

    /// Gives so many bytes back, as long as there are any.
    pub fn give(&self, bytes: usize) -> io::Result<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.owed += bytes as u64;
        if counts.owed < STEP || counts.held == 0 {
            return Ok(());
        }
        let steps = counts.owed / STEP * STEP;
        counts.owed -= steps;
        counts.held = counts.held.saturating_sub(steps);
        self.file.set_len(counts.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_goes_back_in_steps() {
        let reserve = Reserve::take(3 * STEP as usize - 5).unwrap();
        let held = || reserve.file.metadata().unwrap().len();
        assert_eq!(held(), 3 * STEP);
        reserve.give(STEP as usize / 2).unwrap();
        assert_eq!(held(), 2 * STEP, "a step ahead");
        reserve.give(STEP as usize / 4).unwrap();
        assert_eq!(held(), 2 * STEP);
        reserve.give(STEP as usize / 4).unwrap();
        assert_eq!(held(), STEP);
        reserve.give(10 * STEP as usize).unwrap();
        reserve.give(STEP as usize).unwrap();
        assert_eq!(held(), 0);
    }
}
