//! The voters of a quorum (`org.apache.kafka.raft.VoterSet`, `Endpoints`): who they are, where they listen, and which
//! kraft.version they speak.

use std::collections::BTreeMap;

use common::Uuid;

use crate::{QuorumNode, ReplicaKey};

/// Where a controller listens: the listener's name (upper case, as Kafka normalises it), a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The listener's name, such as `CONTROLLER`.
    pub name: String,
    /// The host name or address, not resolved.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint; the listener's name is normalised.
    pub fn new(name: &str, host: &str, port: u16) -> Endpoint {
        Endpoint { name: name.to_uppercase(), host: host.to_owned(), port }
    }
}

/// The endpoint of a listener's name.
pub(crate) fn endpoint_of<'e>(endpoints: &'e [Endpoint], listener: &str) -> Option<&'e Endpoint> {
    endpoints.iter().find(|endpoint| endpoint.name.eq_ignore_ascii_case(listener))
}

/// The range of kraft.version levels a node supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedVersionRange {
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

impl SupportedVersionRange {
    /// What this version of milena, like Apache Kafka 4.4, supports: static (0) and dynamic (1) quorums.
    pub const KRAFT_VERSION: SupportedVersionRange = SupportedVersionRange { min: 0, max: 1 };
}

/// One voter (`VoterSet.VoterNode`).
#[derive(Clone, Debug, Eq)]
pub struct VoterNode {
    /// The voter's node and directory id. In a static quorum the directory id is not known.
    pub key: ReplicaKey,
    /// Its controller listeners.
    pub endpoints: Vec<Endpoint>,
    /// The kraft.version levels it supports.
    pub supported_kraft_version: SupportedVersionRange,
}

impl VoterNode {
    /// Whether `replica` is this voter. Without a directory id in the voter set, the node id decides.
    pub fn is_voter(&self, replica: &ReplicaKey) -> bool {
        self.key.id == replica.id
            && (self.key.directory_id.is_none() || self.key.directory_id == replica.directory_id)
    }
}

impl PartialEq for VoterNode {
    /// The order of the endpoints does not matter, nor the case of a host name.
    fn eq(&self, other: &VoterNode) -> bool {
        let endpoints = |node: &VoterNode| -> BTreeMap<String, (String, u16)> {
            node.endpoints.iter().map(|e| (e.name.clone(), (e.host.to_lowercase(), e.port))).collect()
        };
        self.key == other.key
            && self.supported_kraft_version == other.supported_kraft_version
            && endpoints(self) == endpoints(other)
    }
}

/// The voters of a quorum, by node id. Immutable: a change makes a new set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    voters: BTreeMap<i32, VoterNode>,
}

impl VoterSet {
    /// A set of these voters; of two with one node id, the later counts.
    pub fn new(voters: impl IntoIterator<Item = VoterNode>) -> VoterSet {
        VoterSet { voters: voters.into_iter().map(|voter| (voter.key.id, voter)).collect() }
    }

    /// The voters of `controller.quorum.voters`, which speak kraft.version 0 and have no known directory.
    pub fn from_static(listener: &str, voters: &[(i32, String, u16)]) -> VoterSet {
        VoterSet::new(voters.iter().map(|(id, host, port)| VoterNode {
            key: ReplicaKey::new(*id, Uuid::ZERO),
            endpoints: vec![Endpoint::new(listener, host, *port)],
            supported_kraft_version: SupportedVersionRange { min: 0, max: 0 },
        }))
    }

    /// How many voters there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether no voter is known.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// The voters, by ascending node id.
    pub fn voters(&self) -> impl Iterator<Item = &VoterNode> {
        self.voters.values()
    }

    /// The voters' node ids, ascending.
    pub fn voter_ids(&self) -> Vec<i32> {
        self.voters.keys().copied().collect()
    }

    /// The voter with this node id.
    pub fn voter(&self, id: i32) -> Option<&VoterNode> {
        self.voters.get(&id)
    }

    /// Whether `replica` may vote: see [`VoterNode::is_voter`].
    pub fn is_voter(&self, replica: &ReplicaKey) -> bool {
        self.voter(replica.id).is_some_and(|node| node.is_voter(replica))
    }

    /// Whether `replica` is all of the quorum.
    pub fn is_only_voter(&self, replica: &ReplicaKey) -> bool {
        self.voters.len() == 1 && self.is_voter(replica)
    }

    /// Whether the set has `node`'s voter with other endpoints or versions than `node` has now.
    pub fn voter_node_needs_update(&self, node: &VoterNode) -> bool {
        self.voter(node.key.id).is_some_and(|known| known.is_voter(&node.key) && known != node)
    }

    /// Where the voter `id` listens by the name of `listener`.
    pub fn node(&self, id: i32, listener: &str) -> Option<QuorumNode> {
        let endpoint = endpoint_of(&self.voter(id)?.endpoints, listener)?;
        Some(QuorumNode { id, host: endpoint.host.clone(), port: endpoint.port })
    }

    /// The set with one voter more; none if there is one with its node id.
    pub fn add_voter(&self, node: VoterNode) -> Option<VoterSet> {
        if self.voters.contains_key(&node.key.id) {
            return None;
        }
        let mut voters = self.voters.clone();
        voters.insert(node.key.id, node);
        Some(VoterSet { voters })
    }

    /// The set without `replica`; none if it is no voter, or the last one.
    pub fn remove_voter(&self, replica: &ReplicaKey) -> Option<VoterSet> {
        if self.voters.len() < 2 || self.voter(replica.id).is_none_or(|node| node.key != *replica) {
            return None;
        }
        let mut voters = self.voters.clone();
        voters.remove(&replica.id);
        Some(VoterSet { voters })
    }

    /// The set with `node` in place of the voter with its node id, in whatever directory; none where there is none.
    pub fn update_voter_ignoring_directory(&self, node: VoterNode) -> Option<VoterSet> {
        if !self.voters.contains_key(&node.key.id) {
            return None;
        }
        let mut voters = self.voters.clone();
        voters.insert(node.key.id, node);
        Some(VoterSet { voters })
    }

    /// Whether all voters support the level.
    pub fn supports_version(&self, level: i16) -> bool {
        self.voters.values().all(|voter| {
            (voter.supported_kraft_version.min..=voter.supported_kraft_version.max).contains(&level)
        })
    }

    /// The set with `node` in place of its older self; none where that is no voter.
    pub fn update_voter(&self, node: VoterNode) -> Option<VoterSet> {
        if !self.is_voter(&node.key) {
            return None;
        }
        let mut voters = self.voters.clone();
        voters.insert(node.key.id, node);
        Some(VoterSet { voters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: i32, directory: u128, host: &str) -> VoterNode {
        VoterNode {
            key: ReplicaKey::new(id, Uuid::from_u128(directory)),
            endpoints: vec![Endpoint::new("controller", host, 9093)],
            supported_kraft_version: SupportedVersionRange::KRAFT_VERSION,
        }
    }

    #[test]
    fn a_static_voter_is_known_by_its_node_id_alone() {
        let voters = VoterSet::from_static("CONTROLLER", &[(1, "a".to_owned(), 9093)]);
        assert!(voters.is_only_voter(&ReplicaKey::new(1, Uuid::from_u128(7))));
        assert!(!voters.is_voter(&ReplicaKey::new(2, Uuid::from_u128(7))));
    }

    #[test]
    fn a_dynamic_voter_is_known_by_its_directory_too() {
        let voters = VoterSet::new([node(1, 7, "a"), node(2, 8, "b")]);
        assert!(voters.is_voter(&ReplicaKey::new(1, Uuid::from_u128(7))));
        assert!(!voters.is_voter(&ReplicaKey::new(1, Uuid::from_u128(8))));
        assert!(!voters.is_only_voter(&ReplicaKey::new(1, Uuid::from_u128(7))));
    }

    #[test]
    fn a_voter_that_moved_needs_an_update() {
        let voters = VoterSet::new([node(1, 7, "a")]);
        assert!(!voters.voter_node_needs_update(&node(1, 7, "A")));
        assert!(voters.voter_node_needs_update(&node(1, 7, "b")));
        assert!(!voters.voter_node_needs_update(&node(1, 8, "b")), "another directory is another voter");
        let moved = voters.update_voter(node(1, 7, "b")).unwrap();
        assert_eq!(moved.voter(1).unwrap().endpoints[0].host, "b");
        assert!(voters.update_voter(node(2, 7, "b")).is_none());
    }
}
