//! What is said between the nodes of a cluster, and by its users.

use common::{ErrorCode, TopicIdPartition, Uuid};
use controller::{ControllerRequestContext, ControllerResult, QuorumController};
use protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, AlterPartitionResponse,
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest,
    ListOffsetsRequest, ListOffsetsResponse,
};
use raft::{QuorumRequest, QuorumResponse, RequestFailure};

use crate::fetch::Fetched;

/// A request.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Quorum(QuorumRequest),
    Controller(ControllerAsk),
    Fetch(Box<FetchRequest>),
    Lookup(ListOffsetsRequest),
    Produce { to: TopicIdPartition, bytes: Vec<u8> },
    Commit { group: String, offset: i64 },
    CommittedOffset { group: String },
}

/// A request that the active controller decides.
#[derive(Clone, Debug)]
pub(crate) enum ControllerAsk {
    Register(BrokerRegistrationRequest),
    Heartbeat(BrokerHeartbeatRequest),
    AlterPartition(AlterPartitionRequest),
    CreateTopics(CreateTopicsRequest),
    DeleteTopics(DeleteTopicsRequest),
    Reassign(AlterPartitionReassignmentsRequest),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Quorum(Result<QuorumResponse, RequestFailure>),
    Controller(ControllerTold),
    Fetched(Fetched),
    Lookup(Option<ListOffsetsResponse>),
    /// The offset of the last record.
    Produced(Result<i64, ErrorCode>),
    Committed(ErrorCode),
    /// -1: none was committed.
    CommittedOffset(Result<i64, ErrorCode>),
}

/// What the controller decided.
#[derive(Clone, Debug)]
pub(crate) enum ControllerTold {
    NotController,
    Registered(BrokerRegistrationResponse),
    Heartbeat(BrokerHeartbeatResponse),
    Altered(AlterPartitionResponse),
    Created(CreateTopicsResponse),
    Deleted(DeleteTopicsResponse),
    Reassigned,
}

impl ControllerAsk {
    /// Has the controller decide.
    pub fn decide(
        &self,
        controller: &mut QuorumController,
        context: &ControllerRequestContext<'_>,
    ) -> ControllerResult<ControllerTold> {
        match self {
            ControllerAsk::Register(request) => {
                controller.register_broker(context, request).map(ControllerTold::Registered)
            }
            ControllerAsk::Heartbeat(request) => {
                controller.broker_heartbeat(context, request).map(ControllerTold::Heartbeat)
            }
            ControllerAsk::AlterPartition(request) => {
                controller.alter_partition(context, request).map(ControllerTold::Altered)
            }
            ControllerAsk::CreateTopics(request) => {
                controller.create_topics(context, request).map(ControllerTold::Created)
            }
            ControllerAsk::DeleteTopics(request) => {
                controller.delete_topics(context, request).map(ControllerTold::Deleted)
            }
            ControllerAsk::Reassign(request) => {
                controller.alter_partition_reassignments(request).map(|_| ControllerTold::Reassigned)
            }
        }
    }

    /// The newest version of the request.
    pub fn api_version(&self) -> i16 {
        match self {
            ControllerAsk::Register(_) => 4,
            ControllerAsk::Heartbeat(_) => 2,
            ControllerAsk::AlterPartition(_) => 3,
            ControllerAsk::CreateTopics(_) => 7,
            ControllerAsk::DeleteTopics(_) => 6,
            ControllerAsk::Reassign(_) => 1,
        }
    }
}

/// The error of an answer that has one for everything.
pub(crate) fn is_fine(code: i16) -> bool {
    ErrorCode::from_code(code) == ErrorCode::None
}

/// Ids that follow from numbers.
pub(crate) fn uuid(kind: u16, number: u64) -> Uuid {
    Uuid::from_u128((u128::from(kind) << 96) | (1 << 64) | u128::from(number))
}
