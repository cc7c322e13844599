//! A broker as its clients see it: frames over TCP, against a server that runs in this process.
//!
//! One program for all areas, so that it is linked once. With `MILENA_TESTS_AGAINST=HOST:PORT,HOST:PORT` (broker and
//! controller listener) the tests that need no configuration of their own ask that broker instead: against Apache Kafka
//! this shows that what they assert is Kafka's behaviour.

mod group_bad_input;
mod groups;
mod harness;

mod client_metrics;
mod configs;
mod damaged_offsets;
mod describe;
mod fetch;
mod fetch_sessions;
mod hostile;
mod idempotence;
mod log_dirs;
mod metadata;
mod metrics;
mod negotiation;
mod offsets;
mod peers;
mod produce;
mod replication;
mod restart;

mod stalled_disk;
mod start;
mod topics;
mod versions;
