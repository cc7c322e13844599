//! Systems in turns.
pub mod command;
