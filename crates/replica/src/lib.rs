//! Partitions and the replica manager.
