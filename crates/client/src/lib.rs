//! The Rust client of Kafka: producer, consumer and admin.
