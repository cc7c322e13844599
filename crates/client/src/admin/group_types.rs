//! States and types of groups, as Kafka names them (`GroupState`, `GroupType`).

use std::fmt;

/// What a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// The broker says a word that this client does not know.
    Unknown,
    /// A classic group waits for its members to join again.
    PreparingRebalance,
    /// A classic group waits for its leader's assignment.
    CompletingRebalance,
    /// Every member has what it is to have.
    Stable,
    /// There is no such group any more.
    Dead,
    /// It has no members; its offsets may be there.
    Empty,
    /// The coordinator works out an assignment.
    Assigning,
    /// Members take over what they were assigned.
    Reconciling,
    /// A streams group's topics are missing.
    NotReady,
}

/// Which protocol a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// The broker says a word that this client does not know.
    Unknown,
    /// Consumers by KIP-848.
    Consumer,
    /// The protocol of JoinGroup and SyncGroup, of consumers and others.
    Classic,
    /// Share groups (KIP-932).
    Share,
    /// Streams groups (KIP-1071).
    Streams,
}

impl GroupState {
    const ALL: [GroupState; 9] = [
        GroupState::Unknown,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Dead,
        GroupState::Empty,
        GroupState::Assigning,
        GroupState::Reconciling,
        GroupState::NotReady,
    ];

    /// The states that groups of consumers, classic ones too, can be in.
    pub const OF_CONSUMER_GROUPS: [GroupState; 7] = [
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Dead,
        GroupState::Empty,
        GroupState::Assigning,
        GroupState::Reconciling,
    ];

    /// The states that streams groups can be in.
    pub const OF_STREAMS_GROUPS: [GroupState; 6] = [
        GroupState::Stable,
        GroupState::Dead,
        GroupState::Empty,
        GroupState::Assigning,
        GroupState::Reconciling,
        GroupState::NotReady,
    ];

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Unknown => "Unknown",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
            GroupState::Empty => "Empty",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::NotReady => "NotReady",
        }
    }

    /// The state of that name, in any case.
    pub fn parse(name: &str) -> GroupState {
        let known = GroupState::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name));
        known.unwrap_or(GroupState::Unknown)
    }
}

impl GroupType {
    const ALL: [GroupType; 5] =
        [GroupType::Unknown, GroupType::Consumer, GroupType::Classic, GroupType::Share, GroupType::Streams];

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Unknown => "Unknown",
            GroupType::Consumer => "Consumer",
            GroupType::Classic => "Classic",
            GroupType::Share => "Share",
            GroupType::Streams => "Streams",
        }
    }

    /// The type of that name, in any case.
    pub fn parse(name: &str) -> GroupType {
        let known =
            GroupType::ALL.into_iter().find(|group_type| group_type.name().eq_ignore_ascii_case(name));
        known.unwrap_or(GroupType::Unknown)
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(GroupState::parse("preparingrebalance"), GroupState::PreparingRebalance);
        assert_eq!(GroupState::parse("Happy"), GroupState::Unknown);
        assert_eq!(GroupType::parse("CLASSIC"), GroupType::Classic);
        for state in GroupState::ALL {
            assert_eq!(GroupState::parse(state.name()), state);
        }
    }
}
