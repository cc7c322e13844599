//! Bugs that are planted to see that they are found. Each is what the code would do if somebody had forgotten something; none of
//! them is in the code: they are made by the disk or by what stands around the parts under test.

use std::fmt;
use std::str::FromStr;

use crate::scenario::Scenario;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A log is said to be synced, and its segments are not.
    AcknowledgedBeforeSync,
    /// The name of a new segment is not made to last.
    LostNameOfSegment,
    /// After a crash the logs are taken as they lie there.
    SkippedRecovery,
    /// A loss of power is taken for the end of a process: all that was written counts as being there.
    LostPowerUnnoticed,
    /// The recovery point is checkpointed ahead of what was synced.
    RecoveryPointAhead,
    /// A reader does not look at checksums.
    UncheckedBits,
    /// A coordinator answers before its records are committed.
    AnswerBeforeCommit,
    /// A coordinator does not read its log to the end.
    UnreadEnd,
    /// A controller says that it has what it has not synced.
    CommitBeforeSync,
    /// A controller votes, and the name of the file that says so is not made to last.
    VoteBeforeSync,
    /// A controller forgets its epoch and its vote when it stops.
    ForgottenEpoch,
    /// A controller votes for whoever asks.
    SecondVote,
    /// A follower keeps what its leader has not.
    SkippedTruncation,
    /// A follower takes for committed what may not be.
    EarlyHighWatermark,
    /// A leader acknowledges what only it has.
    EarlyAcknowledgement,
    /// A broker that is not in sync is elected.
    UncleanElection,
    /// A leader does not see that a follower's log is another.
    KeptTail,
    /// A follower fetches on before what it has is synced.
    FollowerBeforeSync,
    /// A controller elects a leader that is not in sync.
    ElectedOutsideIsr,
    /// A leader acts on another ISR before that is committed.
    IsrBeforeCommit,
    /// A leader takes an ISR that it would like to be smaller for smaller at once.
    UnconfirmedIsr,
    /// A leader goes by another ISR than the controller's.
    StaleIsr,
    /// A broker serves before it knows what its registration has changed, with a log that has lost its end.
    EarlyService,
    /// A leader of one of many partitions acknowledges what only it has.
    UnreplicatedAnswer,
    /// A coordinator that takes over does not read all of its log.
    HalfReadCoordinator,
    /// A broker misses some of the metadata.
    MissedMetadata,
    /// A node counts as a voter before it is one.
    ObserverCounts,
    /// A coordinator answers before its records are on the other replicas.
    OffsetBeforeReplication,
    /// A node acts on metadata that are not committed.
    EarlyMetadata,
    /// A producer that got no answer sends its records anew.
    RetryAsNew,
    /// A follower does not hear of some leaders.
    DeafFollower,
    /// A follower does not look at the checksums of what its leader has sent.
    UncheckedCopy,
    /// A controller votes though there is no room on its disk for the file that says so.
    UnwrittenVote,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 33] = [
        Planted::AcknowledgedBeforeSync,
        Planted::LostNameOfSegment,
        Planted::SkippedRecovery,
        Planted::LostPowerUnnoticed,
        Planted::RecoveryPointAhead,
        Planted::UncheckedBits,
        Planted::AnswerBeforeCommit,
        Planted::UnreadEnd,
        Planted::CommitBeforeSync,
        Planted::VoteBeforeSync,
        Planted::ForgottenEpoch,
        Planted::SecondVote,
        Planted::SkippedTruncation,
        Planted::EarlyHighWatermark,
        Planted::EarlyAcknowledgement,
        Planted::UncleanElection,
        Planted::KeptTail,
        Planted::FollowerBeforeSync,
        Planted::ElectedOutsideIsr,
        Planted::IsrBeforeCommit,
        Planted::UnconfirmedIsr,
        Planted::StaleIsr,
        Planted::EarlyService,
        Planted::UnreplicatedAnswer,
        Planted::HalfReadCoordinator,
        Planted::MissedMetadata,
        Planted::ObserverCounts,
        Planted::OffsetBeforeReplication,
        Planted::EarlyMetadata,
        Planted::RetryAsNew,
        Planted::DeafFollower,
        Planted::UncheckedCopy,
        Planted::UnwrittenVote,
    ];

    /// Where it can be found.
    pub fn scenario(self) -> Scenario {
        match self {
            Planted::AcknowledgedBeforeSync
            | Planted::LostNameOfSegment
            | Planted::SkippedRecovery
            | Planted::LostPowerUnnoticed
            | Planted::RecoveryPointAhead => Scenario::Log,
            Planted::UncheckedBits => Scenario::Damage,
            Planted::AnswerBeforeCommit | Planted::UnreadEnd => Scenario::Groups,
            Planted::CommitBeforeSync
            | Planted::VoteBeforeSync
            | Planted::ForgottenEpoch
            | Planted::SecondVote
            | Planted::SkippedTruncation
            | Planted::EarlyHighWatermark
            | Planted::UnwrittenVote => Scenario::Quorum,
            Planted::EarlyAcknowledgement
            | Planted::UncleanElection
            | Planted::KeptTail
            | Planted::FollowerBeforeSync => Scenario::Replicas,
            Planted::ElectedOutsideIsr
            | Planted::IsrBeforeCommit
            | Planted::UnconfirmedIsr
            | Planted::StaleIsr
            | Planted::EarlyService
            | Planted::UnreplicatedAnswer
            | Planted::HalfReadCoordinator
            | Planted::MissedMetadata
            | Planted::ObserverCounts
            | Planted::OffsetBeforeReplication
            | Planted::EarlyMetadata
            | Planted::RetryAsNew
            | Planted::DeafFollower
            | Planted::UncheckedCopy => Scenario::Cluster,
        }
    }
}

impl Planted {
    /// What the checker says that is meant for it: the bug itself, not what it leads to in the end.
    pub fn shows(self) -> &'static str {
        match self {
            Planted::AcknowledgedBeforeSync | Planted::LostNameOfSegment => "was acknowledged (PowerLoss)",
            Planted::SkippedRecovery => "counts as one of epoch",
            Planted::RecoveryPointAhead | Planted::LostPowerUnnoticed => "the batch at",
            Planted::UncheckedBits => "which nobody wrote",
            Planted::AnswerBeforeCommit | Planted::UnreadEnd => "behind a start",
            Planted::CommitBeforeSync | Planted::SkippedTruncation => "commits (last offset",
            Planted::VoteBeforeSync | Planted::ForgottenEpoch | Planted::UnwrittenVote => "told of epoch",
            Planted::SecondVote => "votes for",
            Planted::EarlyHighWatermark | Planted::EarlyMetadata => "acts on metadata below",
            Planted::ObserverCounts => "and of its voters",
            Planted::UncleanElection => "below its high watermark",
            Planted::EarlyService => "went from",
            Planted::FollowerBeforeSync => "has synced it below",
            Planted::ElectedOutsideIsr => "is elected to lead",
            Planted::EarlyAcknowledgement
            | Planted::KeptTail
            | Planted::IsrBeforeCommit
            | Planted::UnconfirmedIsr
            | Planted::StaleIsr
            | Planted::UnreplicatedAnswer => "which is in sync, has",
            Planted::HalfReadCoordinator | Planted::OffsetBeforeReplication => "was acknowledged",
            Planted::MissedMetadata => "the metadata that it has",
            Planted::RetryAsNew => "is twice",
            Planted::DeafFollower => "are in sync for",
            Planted::UncheckedCopy => "and somebody read",
        }
    }
}

impl Planted {
    /// Shortly before a seed that shows one that hardly any other does: where to begin to look. It changes with the world, and is then looked for.
    pub fn first_seed(self) -> u64 {
        match self {
            Planted::EarlyService => 109,
            Planted::LostPowerUnnoticed => 950,
            _ => 0,
        }
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl FromStr for Planted {
    type Err = String;

    fn from_str(text: &str) -> Result<Planted, String> {
        let found = Planted::ALL.into_iter().find(|planted| planted.to_string() == text);
        found.ok_or_else(|| format!("there is no planted bug {text}: one of {:?}", Planted::ALL))
    }
}
