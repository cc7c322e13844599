//! The door to disk: what touches files in `storage` and `raft` goes through [`fs`], which is `std::fs` in shape.
//!
//! In production it is the operating system. With the feature `simulated` a path may also lie on a disk that exists in memory only,
//! knows what was synced and what was not, and loses, tears, refuses and flips as a seed has it: `SimulatedDisk`. Such a disk is
//! *mounted*, as disks are: it has a path of its own, and whoever is given a path below it needs not know. So the code under test is
//! the code that ships, and no handle to a disk goes through every constructor.
//!
//! Time and randomness need no door: where they decide something, they are arguments.

pub mod fs;
#[cfg(feature = "simulated")]
mod simulated;

#[cfg(feature = "simulated")]
pub use simulated::{DiskDamage, DiskFaults, SeededRandom, SimulatedDisk};
