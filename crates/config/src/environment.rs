//! What the configuration asks the machine: its name.

use std::net::ToSocketAddrs;

/// The machine as the configuration sees it; tests put their own.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    /// The name under which other machines find this one. Asked only where a listener without a host is advertised.
    pub local_host_name: fn() -> String,
}

impl Default for Environment {
    fn default() -> Environment {
        Environment { local_host_name }
    }
}

/// This machine's name if it resolves to an address beyond this machine, else `localhost`
/// (`InetAddress.getLocalHost().getCanonicalHostName()`).
fn local_host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let reachable = (name.as_str(), 0)
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.any(|address| !address.ip().is_loopback()));
    if reachable { name } else { "localhost".to_owned() }
}
