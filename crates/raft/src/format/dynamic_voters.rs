//! The voters that a directory is formatted with, as on the command line (`DynamicVoter`, `DynamicVoters`):
//! `id@host:port:directory id`, separated by commas.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use common::Uuid;

use crate::{Endpoint, ReplicaKey, SupportedVersionRange, VoterNode, VoterSet};

/// One voter to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicVoter {
    /// Its node id.
    pub node_id: i32,
    /// The id of its metadata log directory.
    pub directory_id: Uuid,
    /// Where it listens.
    pub host: String,
    /// On which port.
    pub port: u16,
}

/// Why a text names no voters, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DynamicVotersError(String);

impl FromStr for DynamicVoter {
    type Err = DynamicVotersError;

    fn from_str(input: &str) -> Result<DynamicVoter, DynamicVotersError> {
        let fail = |text: &str| DynamicVotersError(text.to_owned());
        let (id, rest) =
            input.trim().split_once('@').ok_or_else(|| fail("No @ found in dynamic voter string."))?;
        if id.is_empty() {
            return Err(fail("Invalid @ at beginning of dynamic voter string."));
        }
        let node_id: i32 =
            id.parse().map_err(|_| fail("Failed to parse node id in dynamic voter string."))?;
        if node_id < 0 {
            return Err(DynamicVotersError(format!(
                "Invalid negative node id {node_id} in dynamic voter string."
            )));
        }
        if rest.is_empty() {
            return Err(fail("No hostname found after node id."));
        }
        let (host, rest) = if let Some(bracketed) = rest.strip_prefix('[') {
            let missing = || fail("Hostname began with left bracket, but no right bracket was found.");
            let (host, rest) = bracketed.split_once(']').ok_or_else(missing)?;
            let rest = rest.strip_prefix(':').ok_or_else(|| fail("Port section must start with a colon."))?;
            (host, rest)
        } else {
            rest.split_once(':').ok_or_else(|| fail("No colon following hostname could be found."))?
        };
        let (port, directory) =
            rest.split_once(':').ok_or_else(|| fail("No colon following port could be found."))?;
        let number: i32 = port.parse().map_err(|_| fail("Failed to parse port in dynamic voter string."))?;
        let port = u16::try_from(number)
            .map_err(|_| DynamicVotersError(format!("Invalid port {number} in dynamic voter string.")))?;
        let directory_id =
            directory.parse().map_err(|_| fail("Failed to parse directory ID in dynamic voter string."))?;
        Ok(DynamicVoter { node_id, directory_id, host: host.to_owned(), port })
    }
}

impl fmt::Display for DynamicVoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}@[{}]:{}:{}", self.node_id, self.host, self.port, self.directory_id)
        } else {
            write!(f, "{}@{}:{}:{}", self.node_id, self.host, self.port, self.directory_id)
        }
    }
}

/// The voters to be, by node id. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicVoters(BTreeMap<i32, DynamicVoter>);

impl DynamicVoters {
    /// These voters.
    ///
    /// Errors: there are none, or two have one node id.
    pub fn new(voters: impl IntoIterator<Item = DynamicVoter>) -> Result<DynamicVoters, DynamicVotersError> {
        let mut by_id = BTreeMap::new();
        for voter in voters {
            let id = voter.node_id;
            if by_id.insert(id, voter).is_some() {
                return Err(DynamicVotersError(format!("Node id {id} was specified more than once.")));
            }
        }
        if by_id.is_empty() {
            return Err(DynamicVotersError("No voters given.".to_owned()));
        }
        Ok(DynamicVoters(by_id))
    }

    /// The voter with this node id.
    pub fn voter(&self, node_id: i32) -> Option<&DynamicVoter> {
        self.0.get(&node_id)
    }

    /// The voter set, with `listener` as the name of each endpoint.
    pub fn to_voter_set(&self, listener: &str) -> VoterSet {
        VoterSet::new(self.0.values().map(|voter| VoterNode {
            key: ReplicaKey::new(voter.node_id, voter.directory_id),
            endpoints: vec![Endpoint::new(listener, &voter.host, voter.port)],
            supported_kraft_version: SupportedVersionRange::KRAFT_VERSION,
        }))
    }
}

impl FromStr for DynamicVoters {
    type Err = DynamicVotersError;

    /// Reads the argument of `--initial-controllers`.
    fn from_str(input: &str) -> Result<DynamicVoters, DynamicVotersError> {
        let texts = input.trim().split(',').filter(|text| !text.is_empty());
        DynamicVoters::new(texts.map(str::parse).collect::<Result<Vec<_>, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_are_read_and_shown() {
        let text = "0@localhost:8082:JEXY6aqzQY-32P5TStzaFg";
        assert_eq!(text.parse::<DynamicVoter>().unwrap().to_string(), text);
        let v6 = "1@[2001:db8::1]:8082:JEXY6aqzQY-32P5TStzaFg";
        assert_eq!(v6.parse::<DynamicVoter>().unwrap().to_string(), v6);
        let voters: DynamicVoters = format!("{text},{v6},").parse().unwrap();
        assert_eq!(voters.voter(1).unwrap().host, "2001:db8::1");
        assert_eq!(voters.to_voter_set("controller").voter(0).unwrap().endpoints[0].name, "CONTROLLER");
    }

    #[test]
    fn what_is_no_voter_is_refused_in_kafkas_words() {
        for (text, message) in [
            ("", "No voters given."),
            ("localhost", "No @ found in dynamic voter string."),
            ("@localhost", "Invalid @ at beginning of dynamic voter string."),
            ("x@localhost", "Failed to parse node id in dynamic voter string."),
            ("-1@localhost", "Invalid negative node id -1 in dynamic voter string."),
            ("1@", "No hostname found after node id."),
            ("1@[::1", "Hostname began with left bracket, but no right bracket was found."),
            ("1@localhost", "No colon following hostname could be found."),
            ("1@localhost:1", "No colon following port could be found."),
            ("1@localhost:x:", "Failed to parse port in dynamic voter string."),
            ("1@localhost:70000:", "Invalid port 70000 in dynamic voter string."),
            ("1@localhost:1:z", "Failed to parse directory ID in dynamic voter string."),
            (
                "1@a:1:JEXY6aqzQY-32P5TStzaFg,1@b:2:MvDxzVmcRsaTz33bUuRU6A",
                "Node id 1 was specified more than once.",
            ),
        ] {
            assert_eq!(text.parse::<DynamicVoters>().unwrap_err().to_string(), message, "{text}");
        }
    }
}
