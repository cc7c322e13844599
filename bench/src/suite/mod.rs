//! Systems side by side: started, loaded in turns, compared as ratios of the same round.

mod cluster;
pub mod command;
mod goals;
mod plot;
mod recovery;
mod report;
mod restart;
mod scoreboard;
mod stall;
mod startup;
mod system;
mod tools;
mod workload;
