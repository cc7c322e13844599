//! What a node stands on: its clock, and its disk as the first start finds it.

use common::Uuid;
use io::{DiskFaults, SeededRandom, SimulatedDisk};
use storage::checkpoint::MetaProperties;

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

/// From now on the disk does what it should. A node that it has stopped stays so.
pub(crate) fn end_faults(disk: &SimulatedDisk) {
    disk.set_faults(DiskFaults::default());
    if !disk.is_halted() {
        disk.halt_after(u64::MAX);
    }
}
