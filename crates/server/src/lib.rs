//! Wiring: handlers, publishers, broker lifecycle.
