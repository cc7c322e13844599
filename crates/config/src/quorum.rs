//! The members of the metadata quorum as the configuration names them (`QuorumConfig`).

use std::fmt;

use crate::error::ConfigError;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One voter of a static quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The controller's `node.id`.
    pub id: i32,
    /// Where it listens; none for a node that is its own only voter and needs no listener for that.
    pub endpoint: Option<HostPort>,
}

/// Splits `host:port` as Kafka does: the host may be an IPv6 address in brackets. None where there is no port.
pub(crate) fn split_host_port(text: &str) -> Option<(String, u64)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty()
        || !host.chars().all(valid)
        || port.is_empty()
        || !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

fn to_port(port: u64) -> Result<u16, ConfigError> {
    u16::try_from(port).map_err(|_| ConfigError::rule(format!("port out of range:{port}")))
}

/// Reads a key's value that is one `host:port`.
pub(crate) fn parse_host_port(name: &str, text: &str) -> Result<HostPort, ConfigError> {
    let port = |port: u64| u16::try_from(port).ok();
    let parsed = split_host_port(text.trim()).and_then(|(host, at)| Some(HostPort { host, port: port(at)? }));
    parsed.ok_or_else(|| ConfigError::invalid(name, text, "it takes HOST:PORT, such as 127.0.0.1:9404"))
}

/// Reads the elements of `controller.quorum.voters` (`QuorumConfig.parseVoterConnections`).
pub fn parse_voters(entries: &[String]) -> Result<Vec<Voter>, ConfigError> {
    let mut voters: Vec<Voter> = Vec::new();
    for entry in entries {
        let mut parts = entry.split('@');
        let (Some(id), Some(address), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ConfigError::rule(
                "Invalid configuration value for controller.quorum.voters. \
                 Each entry should be in the form `{id}@{host}:{port}`.",
            ));
        };
        let parsed_id = id
            .parse::<i32>()
            .map_err(|_| ConfigError::rule(format!("Failed to parse voter ID as an integer from {id}")))?;
        let (host, port) = split_host_port(address).ok_or_else(|| {
            ConfigError::rule(format!(
                "Failed to parse host name from entry {entry} for the configuration controller.quorum.voters. \
                 Each entry should be in the form `{{id}}@{{host}}:{{port}}`."
            ))
        })?;
        let voter = Voter { id: parsed_id, endpoint: Some(HostPort { host, port: to_port(port)? }) };
        // As in a map: of several with one id the last stays.
        match voters.iter_mut().find(|known| known.id == parsed_id) {
            Some(known) => *known = voter,
            None => voters.push(voter),
        }
    }
    Ok(voters)
}

/// Reads the elements of `controller.quorum.bootstrap.servers` (`QuorumConfig.parseBootstrapServers`).
pub fn parse_bootstrap_servers(entries: &[String]) -> Result<Vec<HostPort>, ConfigError> {
    entries
        .iter()
        .map(|entry| {
            let (host, port) = split_host_port(entry).ok_or_else(|| {
                ConfigError::rule(format!(
                    "Failed to parse host name from {entry} for the configuration controller.quorum.bootstrap.servers. \
                     Each entry should be in the form \"{{host}}:{{port}}\""
                ))
            })?;
            Ok(HostPort { host, port: to_port(port)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(entries: &[&str]) -> Result<Vec<Voter>, String> {
        parse_voters(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn voters_are_read_and_bad_ones_told_in_kafkas_words() {
        let parsed = voters(&["1@host-a.example:9093", "2@[::1]:9094"]).unwrap();
        assert_eq!(parsed[0].id, 1);
        assert_eq!(parsed[0].endpoint.as_ref().unwrap().to_string(), "host-a.example:9093");
        assert_eq!(parsed[1].endpoint.as_ref().unwrap().host, "::1");
        assert_eq!(parsed[1].endpoint.as_ref().unwrap().to_string(), "[::1]:9094");
        assert_eq!(voters(&["a@h:1"]).unwrap_err(), "Failed to parse voter ID as an integer from a");
        assert_eq!(voters(&["1@h:99999"]).unwrap_err(), "port out of range:99999");
        assert!(
            voters(&["h:1"])
                .unwrap_err()
                .starts_with("Invalid configuration value for controller.quorum.voters.")
        );
        assert!(voters(&["1@h"]).unwrap_err().starts_with("Failed to parse host name from entry 1@h for"));
        assert!(voters(&["1@h:"]).is_err());
    }
}
