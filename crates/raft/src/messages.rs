//! What the nodes of a quorum say to each other, as values: one log, one partition, no versions. [`crate::wire`] makes
//! Kafka's requests and responses of them.

use common::ErrorCode;

use crate::{Endpoint, LeaderAndEpoch, OffsetAndEpoch, ReplicaKey, SupportedVersionRange};

/// A node that a request goes to. Bootstrap servers, whose ids are not known, have ids from -2 down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuorumNode {
    /// The node id.
    pub id: i32,
    /// The host name or address, not resolved.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// A request of the quorum.
#[derive(Clone, Debug, PartialEq)]
pub enum QuorumRequest {
    /// A candidate, or one that would be (pre-vote), asks for a vote.
    Vote {
        /// The cluster that the sender belongs to.
        cluster_id: Option<String>,
        /// Who is asked, if the sender says so.
        voter: Option<ReplicaKey>,
        /// The epoch: the candidate's new one, or the present one in a pre-vote.
        epoch: i32,
        /// Who asks.
        candidate: ReplicaKey,
        /// The end of its log. May be negative: that is refused.
        log_end: OffsetAndEpoch,
        /// Whether it only wants to know (KIP-996).
        pre_vote: bool,
    },
    /// A leader tells voters that its epoch has begun.
    BeginQuorumEpoch {
        /// The cluster that the sender belongs to.
        cluster_id: Option<String>,
        /// Who is told, if the sender says so.
        voter: Option<ReplicaKey>,
        /// The leader.
        leader_id: i32,
        /// Its epoch.
        epoch: i32,
        /// Where it listens.
        leader_endpoints: Vec<Endpoint>,
    },
    /// A leader tells voters that it resigns.
    EndQuorumEpoch {
        /// The cluster that the sender belongs to.
        cluster_id: Option<String>,
        /// The leader.
        leader_id: i32,
        /// Its epoch.
        epoch: i32,
        /// Who should stand first.
        preferred_candidates: Vec<ReplicaKey>,
        /// Where it listens.
        leader_endpoints: Vec<Endpoint>,
    },
    /// A replica asks for the log.
    Fetch {
        /// The cluster that the sender belongs to.
        cluster_id: Option<String>,
        /// Who asks; an id of -1 is nobody that the leader keeps account of.
        replica: ReplicaKey,
        /// The epoch that it takes for the present one.
        current_leader_epoch: i32,
        /// The end of its log.
        fetch_offset: i64,
        /// The epoch of the last record of its log.
        last_fetched_epoch: i32,
        /// What it knows to be committed; -1: nothing.
        high_watermark: i64,
        /// How many bytes it wants, about.
        max_bytes: i32,
        /// How long it waits if there is nothing, in milliseconds.
        max_wait_ms: i32,
    },
    /// A replica asks for a piece of a snapshot.
    FetchSnapshot {
        /// The cluster that the sender belongs to.
        cluster_id: Option<String>,
        /// Who asks.
        replica: ReplicaKey,
        /// The epoch that it takes for the present one.
        current_leader_epoch: i32,
        /// Which snapshot.
        snapshot_id: OffsetAndEpoch,
        /// From where on.
        position: i64,
        /// How many bytes it wants at most.
        max_bytes: i32,
    },
    /// Which kraft.version does a node support? Only sent.
    ApiVersions,
    /// An observer is to become a voter (KIP-853).
    AddVoter {
        /// The cluster that the sender means.
        cluster_id: Option<String>,
        /// How long it waits, in milliseconds.
        timeout_ms: i32,
        /// The new voter.
        voter: Option<ReplicaKey>,
        /// Where it listens.
        endpoints: Vec<Endpoint>,
        /// Whether the answer comes once the change is committed, not once it is in the leader's log.
        ack_when_committed: bool,
    },
    /// A voter is to be one no more (KIP-853).
    RemoveVoter {
        /// The cluster that the sender means.
        cluster_id: Option<String>,
        /// The voter.
        voter: Option<ReplicaKey>,
    },
    /// A voter describes itself (KIP-853).
    UpdateVoter {
        /// The cluster that the sender belongs to.
        cluster_id: Option<String>,
        /// The epoch that it takes for the present one.
        current_leader_epoch: i32,
        /// The voter.
        voter: Option<ReplicaKey>,
        /// Where it listens.
        endpoints: Vec<Endpoint>,
        /// The kraft.version levels it supports; not checked.
        supported: SupportedVersionRange,
    },
}

impl QuorumRequest {
    /// The cluster that the sender means.
    pub fn cluster_id(&self) -> Option<&str> {
        match self {
            QuorumRequest::ApiVersions => None,
            QuorumRequest::Vote { cluster_id, .. }
            | QuorumRequest::BeginQuorumEpoch { cluster_id, .. }
            | QuorumRequest::EndQuorumEpoch { cluster_id, .. }
            | QuorumRequest::Fetch { cluster_id, .. }
            | QuorumRequest::FetchSnapshot { cluster_id, .. }
            | QuorumRequest::AddVoter { cluster_id, .. }
            | QuorumRequest::RemoveVoter { cluster_id, .. }
            | QuorumRequest::UpdateVoter { cluster_id, .. } => cluster_id.as_deref(),
        }
    }
}

/// A response of the quorum: the part that all have, and the part of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumResponse {
    /// The error of the whole request: nothing else is set then.
    pub top_level_error: ErrorCode,
    /// The error for the metadata log.
    pub error: ErrorCode,
    /// The leader and the epoch that the answering node knows.
    pub leader: LeaderAndEpoch,
    /// Where that leader listens, as far as it is known. An answer has one of them: that of the listener asked.
    pub leader_endpoints: Vec<Endpoint>,
    /// The rest.
    pub body: ResponseBody,
}

/// What is particular to a response.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseBody {
    /// To `Vote`.
    Vote {
        /// Whether the vote is given.
        granted: bool,
    },
    /// To `BeginQuorumEpoch`.
    BeginQuorumEpoch,
    /// To `EndQuorumEpoch`.
    EndQuorumEpoch,
    /// To `Fetch`.
    Fetch {
        /// Where the leader's log starts.
        log_start_offset: i64,
        /// What is committed, exclusive; none if the leader does not know yet.
        high_watermark: Option<i64>,
        /// The log asked for is another from here on: cut it there.
        diverging_epoch: Option<OffsetAndEpoch>,
        /// What was asked for is no longer in the log: fetch this snapshot.
        snapshot_id: Option<OffsetAndEpoch>,
        /// Batches; the last may not be whole.
        records: Vec<u8>,
    },
    /// To `FetchSnapshot`.
    FetchSnapshot {
        /// Which snapshot; none with an error.
        snapshot_id: Option<OffsetAndEpoch>,
        /// Its whole size, in bytes.
        size: i64,
        /// Where the piece begins.
        position: i64,
        /// The piece.
        bytes: Vec<u8>,
    },
    /// To `ApiVersions`.
    ApiVersions {
        /// The kraft.version levels that the node supports, if it names any.
        kraft_version: Option<SupportedVersionRange>,
    },
    /// To `AddVoter`.
    AddVoter {
        /// The error in words.
        message: Option<String>,
    },
    /// To `RemoveVoter`.
    RemoveVoter {
        /// The error in words.
        message: Option<String>,
    },
    /// To `UpdateVoter`.
    UpdateVoter,
}

impl QuorumResponse {
    /// The answer to `request` where nothing but an error is to be said.
    pub fn top_level(request: &QuorumRequest, error: ErrorCode) -> QuorumResponse {
        QuorumResponse {
            top_level_error: error,
            error: ErrorCode::None,
            leader: LeaderAndEpoch { leader_id: None, epoch: -1 },
            leader_endpoints: Vec::new(),
            body: ResponseBody::empty(request),
        }
    }
}

impl ResponseBody {
    /// The body of an answer to `request` that says nothing.
    pub fn empty(request: &QuorumRequest) -> ResponseBody {
        match request {
            QuorumRequest::Vote { .. } => ResponseBody::Vote { granted: false },
            QuorumRequest::BeginQuorumEpoch { .. } => ResponseBody::BeginQuorumEpoch,
            QuorumRequest::EndQuorumEpoch { .. } => ResponseBody::EndQuorumEpoch,
            QuorumRequest::Fetch { .. } => ResponseBody::empty_fetch(),
            QuorumRequest::FetchSnapshot { .. } => ResponseBody::empty_fetch_snapshot(),
            QuorumRequest::ApiVersions => ResponseBody::ApiVersions { kraft_version: None },
            QuorumRequest::AddVoter { .. } => ResponseBody::AddVoter { message: None },
            QuorumRequest::RemoveVoter { .. } => ResponseBody::RemoveVoter { message: None },
            QuorumRequest::UpdateVoter { .. } => ResponseBody::UpdateVoter,
        }
    }

    /// A fetch that brought nothing.
    pub fn empty_fetch() -> ResponseBody {
        ResponseBody::Fetch {
            log_start_offset: -1,
            high_watermark: None,
            diverging_epoch: None,
            snapshot_id: None,
            records: Vec::new(),
        }
    }

    /// A piece of no snapshot.
    pub fn empty_fetch_snapshot() -> ResponseBody {
        ResponseBody::FetchSnapshot { snapshot_id: None, size: 0, position: 0, bytes: Vec::new() }
    }
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// No connection, a closed one, or no answer in time.
    Unavailable,
    /// Nobody listens there: no process has the port.
    Refused,
    /// The node does not know the request, or no version of it that says what is to be said.
    UnsupportedVersion,
    /// The answer cannot be read.
    Malformed,
}

/// What comes to a node from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum RaftInput {
    /// A request; it is answered by a [`RaftOutput::Answer`] with the same token, at once or later.
    Request {
        /// Chosen by the caller.
        token: u64,
        /// The request.
        request: QuorumRequest,
    },
    /// The answer to a [`RaftOutput::Send`], or that there is none.
    Response {
        /// Who was asked.
        from: i32,
        /// The number that the request had.
        correlation_id: u64,
        /// The answer.
        result: Result<QuorumResponse, RequestFailure>,
    },
}

/// What a node wants to have done outside. It is on disk already what must be, when it is handed out.
#[derive(Clone, Debug, PartialEq)]
pub enum RaftOutput {
    /// Send a request; hand in the answer as [`RaftInput::Response`]. One that comes late, or never, does no harm.
    Send {
        /// To whom.
        to: QuorumNode,
        /// The number of the request.
        correlation_id: u64,
        /// The request.
        request: QuorumRequest,
    },
    /// Answer a request.
    Answer {
        /// The request's.
        token: u64,
        /// The answer.
        response: QuorumResponse,
    },
}
