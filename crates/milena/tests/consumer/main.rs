//! The client's consumer and producer as applications use them, against a whole broker.
//!
//! With `MILENA_TESTS_AGAINST=HOST:PORT` the same tests ask another broker, such as Apache Kafka with the settings in
//! `harness::SETTINGS`: what passes there and not here is a fault of the broker, what fails in both is one of the client.

mod assignors;
mod commits;
mod examples;
mod groups;
mod harness;
mod interrupted;
mod life;
mod producing;
mod turmoil;
