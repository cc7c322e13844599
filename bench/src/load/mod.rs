//! Loads: each runs against one server and returns its figures.

pub mod command;
pub mod connections;
pub mod end_to_end;
pub mod fetch;
pub mod groups;
pub mod growth;
pub mod hostile;
pub mod lasting;
pub mod librdkafka;
pub mod produce;
pub mod reserve;
pub mod window;

use std::net::{SocketAddr, ToSocketAddrs};

use crate::{Failure, Result, measure::process::Servers};

/// The server under load.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub address: SocketAddr,
    /// The processes whose CPU time and memory count.
    pub servers: Servers,
}

/// The first address behind `HOST:PORT`.
pub fn resolve(server: &str) -> Result<SocketAddr> {
    server
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| Failure::new(format!("{server} is not HOST:PORT")))
}
