//! Systems side by side: started, loaded in turns, compared as ratios of the same round.

pub mod command;
mod goals;
mod report;
mod restart;
mod startup;
mod system;
mod workload;
