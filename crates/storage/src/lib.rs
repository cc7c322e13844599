//! Logs on disk.
