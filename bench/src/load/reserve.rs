//! Memory that is kept warm for the server until the moment at which it needs it.
//!
//! A virtual machine may give memory back to its host as soon as it has been free for a second, and then its next touch costs
//! several times as much: what a load finds would be luck. So the load itself holds as much as the server is about to fill, and lets
//! go of it step by step, just before each request: the server gets pages that were in use a moment ago.
//!
//! They have to come to where it looks. Small pages that are freed stay on a list of the processor that frees them, which has grown
//! with each page taken on it, to gigabytes: the server, on another processor, then takes the cold ones after all (by `/proc/zoneinfo`, and
//! with `vm.percpu_pagelist_high_fraction` they are gone: a load of 1 GB took 0.5 or 1.2 s of CPU per GB by chance). Huge
//! pages go back to all processors.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use memmap2::{Advice, MmapMut};

/// Given back in steps of so many bytes: small against a second's load, and large enough that the sender is seldom held up. A server with
/// which requests gather works otherwise than one to which each comes alone.
const STEP: usize = 64 << 20;
/// The smallest page that there is.
const PAGE: usize = 4096;

/// Memory of this process that goes back to the system in steps.
#[derive(Debug)]
pub struct Reserve {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    steps: Vec<MmapMut>,
    /// Bytes that are to be given back, but less than a step.
    owed: usize,
}

impl Reserve {
    /// Takes at least so many bytes, and touches all of them.
    pub fn take(bytes: usize) -> io::Result<Self> {
        let steps = (0..bytes.div_ceil(STEP)).map(|_| touched()).collect::<io::Result<_>>()?;
        // The server is always a step ahead.
        Ok(Self { held: Mutex::new(Held { steps, owed: STEP }) })
    }

    /// Gives so many bytes back, as long as there are any.
    pub fn give(&self, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.owed += bytes;
        let kept = held.steps.len().saturating_sub(held.owed / STEP);
        held.owed %= STEP;
        held.steps.truncate(kept);
    }
}

/// A step, of huge pages where the system has them.
fn touched() -> io::Result<MmapMut> {
    let mut step = MmapMut::map_anon(STEP)?;
    // Without them it is as warm, and goes to the wrong processor now and then.
    let _ = step.advise(Advice::HugePage);
    for page in step.chunks_mut(PAGE) {
        page[0] = 1;
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_goes_back_in_steps() {
        let reserve = Reserve::take(3 * STEP - 5).unwrap();
        let held = || reserve.held.lock().unwrap().steps.len();
        assert_eq!(held(), 3);
        reserve.give(STEP / 2);
        assert_eq!(held(), 2, "a step ahead");
        reserve.give(STEP / 4);
        assert_eq!(held(), 2);
        reserve.give(STEP / 4);
        assert_eq!(held(), 1);
        reserve.give(10 * STEP);
        reserve.give(STEP);
        assert_eq!(held(), 0);
    }
}
