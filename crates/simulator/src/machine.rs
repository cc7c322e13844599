//! What a node stands on: its clock, its disk, and whether it does anything at all at present.

use std::path::{Path, PathBuf};

use common::Uuid;
use io::{DiskFaults, SeededRandom, SimulatedDisk};
use storage::checkpoint::MetaProperties;

use crate::fault::{Fault, Faults};
use crate::log::damage::covered_batch_around;

/// When everything begins, in ms since 1970.
pub(crate) const BASE_MS: i64 = 1_700_000_000_000;

/// A clock that is wrong, and too fast or too slow.
pub(crate) struct Clock {
    skew_ms: i64,
    rate_percent: i64,
}

impl Clock {
    /// One that is up to ten seconds wrong, and goes at one of `rates` rates, in percent, from `slowest` on.
    pub fn new(random: &mut SeededRandom, slowest: i64, rates: u64) -> Clock {
        Clock {
            skew_ms: random.below(20_000) as i64 - 10_000,
            rate_percent: slowest + random.below(rates) as i64,
        }
    }

    /// What it shows.
    pub fn shows(&self, now_ms: i64) -> i64 {
        BASE_MS + self.skew_ms + now_ms * self.rate_percent / 100
    }

    fn is_wrong(&self) -> bool {
        self.skew_ms != 0 || self.rate_percent != 100
    }

    /// When it will show a time.
    pub fn when(&self, clock_ms: i64) -> i64 {
        let passed = clock_ms.saturating_sub(BASE_MS + self.skew_ms).clamp(0, 1 << 40);
        passed * 100 / self.rate_percent + 1
    }
}

/// Makes the log directory of a broker, which is called `data`.
pub(crate) fn format(disk: &SimulatedDisk, id: i32) -> Result<(), String> {
    let data = disk.path().join("data");
    io::fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    io::fs::sync_dir(disk.path()).map_err(|error| error.to_string())?;
    MetaProperties::new("cluster".to_owned(), id, Uuid::from_u128(id as u128 + 1))
        .write(&data)
        .map_err(|error| error.to_string())
}

/// What goes wrong with a machine while its process runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The node stops at one of its next changes on the disk.
    Halt,
    Pause,
    SlowDisk,
    FullDisk,
}

/// A machine: a disk and a clock that fail, and a process that can be held up.
pub(crate) struct Machine {
    pub disk: SimulatedDisk,
    pub clock: Clock,
    paused_until_ms: i64,
    /// The disk is slow: nothing is done before.
    busy_until_ms: i64,
    /// How many writes had found no room when the process began.
    refused_before: u64,
    /// How often something had to wait for the end of a pause.
    waits: u64,
}

impl Machine {
    pub fn new(clock: Clock, random: &mut SeededRandom) -> Machine {
        Machine {
            disk: SimulatedDisk::new(random.next_u64()),
            clock,
            paused_until_ms: 0,
            busy_until_ms: 0,
            refused_before: 0,
            waits: 0,
        }
    }

    /// What its clock shows, which its disk knows as well from now on.
    pub fn clock_ms(&self, now_ms: i64) -> i64 {
        let clock_ms = self.clock.shows(now_ms);
        self.disk.set_now_ms(clock_ms);
        clock_ms
    }

    /// Until when whatever comes has to wait, if it has to.
    pub fn busy_until(&mut self, now_ms: i64) -> Option<i64> {
        self.waits += u64::from(self.paused_until_ms > now_ms);
        Some(self.paused_until_ms.max(self.busy_until_ms)).filter(|until_ms| *until_ms > now_ms)
    }

    /// What was just done took as long as its disk needed for that.
    pub fn takes_its_time(&mut self, now_ms: i64) {
        let delay_ms = (self.disk.take_delay_us() / 1000) as i64;
        self.busy_until_ms = self.busy_until_ms.max(now_ms + delay_ms);
    }

    /// Whether errors are to be expected of its process: the disk has stopped it, or found no room since it began.
    pub fn refuses(&self) -> bool {
        self.disk.is_halted() || self.disk.damage().refused_for_room > self.refused_before
    }

    /// Something goes wrong. Says what, in words that stand behind the name of the machine.
    pub fn fails(&mut self, trouble: Trouble, now_ms: i64, random: &mut SeededRandom) -> String {
        match trouble {
            Trouble::Halt => {
                let changes = random.below(20);
                self.disk.halt_after(changes);
                format!("stops after {changes} changes")
            }
            Trouble::Pause => {
                self.paused_until_ms = now_ms + 50 + random.below(4_000) as i64;
                format!("pauses until {}", self.paused_until_ms)
            }
            Trouble::SlowDisk => {
                let sync_us = *random.pick(&[1_000, 20_000, 100_000]).unwrap_or(&0);
                self.disk.set_faults(DiskFaults { sync_us, ..DiskFaults::default() });
                format!("syncs in {sync_us} µs")
            }
            Trouble::FullDisk => {
                let most = *random.pick(&[200, 4_000]).unwrap_or(&0);
                let room = random.below(most);
                self.has_room_for(room);
                format!("has room for {room} bytes")
            }
        }
    }

    /// The disk is full behind so many bytes more.
    pub fn has_room_for(&self, bytes: u64) {
        let capacity = Some(self.disk.used_bytes() + bytes);
        self.disk.set_faults(DiskFaults { capacity, ..DiskFaults::default() });
    }

    /// The disk has room and is fast again. A node that it has stopped stays so.
    pub fn has_room(&self) {
        self.disk.set_faults(DiskFaults::default());
    }

    /// Nothing fails any more.
    pub fn heal(&mut self) {
        (self.paused_until_ms, self.busy_until_ms) = (0, 0);
        end_faults(&self.disk);
    }

    /// Its process has ended, and perhaps its power with it. Says which.
    pub fn ends(&mut self, loses_power: bool) -> String {
        if loses_power {
            self.disk.lose_power();
        } else {
            self.disk.kill();
        }
        self.refused_before = self.disk.damage().refused_for_room;
        let how = if loses_power { "loses its power" } else { "is killed" };
        format!("{how}, its disk did {:x}", self.disk.trace())
    }

    /// Counts what went wrong with it.
    pub fn count(&self, faults: &mut Faults) {
        faults.add(Fault::Pause, self.waits);
        faults.add(Fault::Skew, u64::from(self.clock.is_wrong()));
        faults.add_disk(&self.disk);
    }
}

/// The files of a log that hold its records, in their order.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = io::fs::read_dir(dir).unwrap_or_default();
    let paths = entries.into_iter().map(|entry| entry.path);
    paths.filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

/// Flips a bit of a segment at or behind a byte, if a checksum covers it. Gives its number and the base offset of the batch.
pub(crate) fn flip(
    disk: &SimulatedDisk,
    path: &Path,
    from: usize,
    random: &mut SeededRandom,
) -> Option<(u8, i64)> {
    let bytes = io::fs::read(path).ok()?;
    let at = from + random.below((bytes.len() - from) as u64) as usize;
    let bit = random.below(8) as u8;
    let offset = covered_batch_around(&bytes, at)?;
    disk.flip_bit_at(path, at as u64, bit).then_some((bit, offset))
}

/// From now on the disk does what it should. A node that it has stopped stays so.
pub(crate) fn end_faults(disk: &SimulatedDisk) {
    disk.set_faults(DiskFaults::default());
    if !disk.is_halted() {
        disk.halt_after(u64::MAX);
    }
}
