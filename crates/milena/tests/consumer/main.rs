//! The client's consumer in groups, as applications use it, against a whole broker.
//!
//! With `MILENA_TESTS_AGAINST=HOST:PORT` the same tests ask another broker, such as Apache Kafka with the settings in
//! `harness::SETTINGS`: what passes there and not here is a fault of the broker, what fails in both is one of the client.

mod commits;
mod examples;
mod groups;
mod harness;
mod life;
mod turmoil;
