//! Load and measurement.

fn main() {}
