//! Hosts of a small network, each a network namespace of this machine, joined by a bridge in one more: what passes between any
//! two of them can be cut, in either direction. Needs root, and `ip` of iproute2; what is outside of them is not touched.

use super::program;
use std::path::Path;
use std::process::{Command, Stdio};

/// Addresses that nobody outside of the namespaces sees.
const NETWORK: &str = "10.77.0";
/// Of nobody: what is sent to it is lost.
const NOBODY: &str = "02:00:00:00:00:fe";
/// The host that stands for everything else: the bridge is there.
const HUB: usize = 0;

/// The namespaces. Whoever made them removes them when this is dropped.
pub struct Hosts {
    prefix: String,
    count: usize,
    /// By whom they were made.
    ours: bool,
}

/// Whether this process may make namespaces; otherwise why not.
pub fn permitted() -> Result<(), String> {
    let name = format!("{}try", prefix());
    ip(&["netns", "add", &name])?;
    let made = ip(&["-n", &name, "link", "add", "bridge", "type", "bridge"]);
    ip(&["netns", "del", &name])?;
    made
}

fn prefix() -> String {
    format!("milena-{}-", std::process::id())
}

/// The command, run in a namespace.
pub fn within(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(key, value),
            None => inside.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        inside.current_dir(dir);
    }
    inside
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("ip: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr).trim()))
}

impl Hosts {
    /// So many hosts beside the hub, named by the process that made them.
    pub fn make(count: usize) -> Result<Hosts, String> {
        forget_the_dead()?;
        let hosts = Hosts { prefix: prefix(), count, ours: true };
        let hub = hosts.namespace(HUB);
        for host in 0..=count {
            ip(&["netns", "add", &hosts.namespace(host)])?;
            ip(&["-n", &hosts.namespace(host), "link", "set", "lo", "up"])?;
        }
        ip(&["-n", &hub, "link", "add", "bridge", "address", &mac(HUB), "type", "bridge"])?;
        ip(&["-n", &hub, "addr", "add", &format!("{}/24", hosts.address(HUB)), "dev", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for host in 1..=count {
            let (port, namespace) = (format!("port{host}"), hosts.namespace(host));
            let peer = ["peer", "name", "eth", "netns", &namespace, "address", &mac(host)];
            ip(&[&["-n", &hub, "link", "add", &port, "type", "veth"][..], &peer].concat())?;
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &namespace, "addr", "add", &format!("{}/24", hosts.address(host)), "dev", "eth"])?;
            ip(&["-n", &namespace, "link", "set", "eth", "up"])?;
        }
        hosts.heal()?;
        Ok(hosts)
    }

    /// Those that another process has made, and removes.
    pub fn made(prefix: &str, count: usize) -> Hosts {
        Hosts { prefix: prefix.to_owned(), count, ours: false }
    }

    /// The namespace of a host; 0 is the hub, where everything but the hosts is.
    pub fn namespace(&self, host: usize) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Its address.
    pub fn address(&self, host: usize) -> String {
        format!("{NETWORK}.{}", host + 10)
    }

    /// What one host sends to another is lost from now on.
    pub fn cut(&self, from: usize, to: usize) -> Result<(), String> {
        self.send_to(from, to, NOBODY)
    }

    /// Everything arrives again.
    pub fn heal(&self) -> Result<(), String> {
        for from in 0..=self.count {
            for to in (0..=self.count).filter(|to| *to != from) {
                self.send_to(from, to, &mac(to))?;
            }
        }
        Ok(())
    }

    fn send_to(&self, from: usize, to: usize, mac: &str) -> Result<(), String> {
        let dev = if from == HUB { "bridge" } else { "eth" };
        let (namespace, address) = (self.namespace(from), self.address(to));
        ip(&["-n", &namespace, "neigh", "replace", &address, "lladdr", mac, "dev", dev, "nud", "permanent"])
    }

    /// Runs a program in the hub to its end, with this process's standard output.
    pub fn run_in_hub(&self, command: &Command, limit: std::time::Duration) -> Result<(), String> {
        let mut inside = within(&self.namespace(HUB), command);
        let mut child = inside.stdin(Stdio::null()).spawn().map_err(|error| format!("ip: {error}"))?;
        match program::wait(&mut child, limit) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("it ended with {status}")),
            None => {
                // An error means that it has ended in between.
                let _ = child.kill();
                let _ = child.wait();
                Err("it did not end in time".to_owned())
            }
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in (0..=self.count).filter(|_| self.ours) {
            // What was never made cannot be removed.
            let _ = ip(&["netns", "del", &self.namespace(host)]);
        }
    }
}

fn mac(host: usize) -> String {
    format!("02:00:00:00:00:{host:02x}")
}

/// Removes what processes have left that were killed.
fn forget_the_dead() -> Result<(), String> {
    let listed = Command::new("ip").args(["netns", "list"]).output().map_err(|error| error.to_string())?;
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let maker = name.strip_prefix("milena-").and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&["netns", "del", name])?;
        }
    }
    Ok(())
}
