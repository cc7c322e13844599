//! The quorum's requests and responses as Kafka has them on the wire (`org.apache.kafka.raft.RaftUtil`, `Endpoints`): a list of
//! topics with a list of partitions, of which there is one each.

mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

pub use incoming::{Incoming, read_request, write_response};
pub use outgoing::{
    WireRequest, api_versions_response, begin_quorum_epoch_response, end_quorum_epoch_response,
    fetch_response, fetch_snapshot_response, joined_response, update_voter_response, vote_response,
};

use common::topic::CLUSTER_METADATA_TOPIC;

use crate::{LeaderAndEpoch, OffsetAndEpoch};

/// The one partition of the metadata log.
const PARTITION: i32 = 0;

/// The only element, if there is one only.
fn single<T>(mut list: Vec<T>) -> Option<T> {
    if list.len() == 1 { list.pop() } else { None }
}

fn is_log(topic: &str, partition: i32) -> bool {
    topic == CLUSTER_METADATA_TOPIC && partition == PARTITION
}

/// An offset and an epoch, where -1 stands for neither.
fn unless_absent(offset: i64, epoch: i32) -> Option<OffsetAndEpoch> {
    (offset >= 0 || epoch >= 0).then_some(OffsetAndEpoch { offset, epoch })
}

fn leader(leader_id: i32, epoch: i32) -> LeaderAndEpoch {
    LeaderAndEpoch { leader_id: (leader_id >= 0).then_some(leader_id), epoch }
}

/// The list of the generated listeners of one message.
macro_rules! listeners {
    ($kind:path, $endpoints:expr) => {
        $endpoints
            .iter()
            .map(|endpoint: &$crate::Endpoint| {
                let mut listener = <$kind>::default();
                listener.name.clone_from(&endpoint.name);
                listener.host.clone_from(&endpoint.host);
                listener.port = endpoint.port;
                listener
            })
            .collect()
    };
}

/// The endpoints that a message lists.
macro_rules! endpoints {
    ($listeners:expr) => {
        $listeners
            .iter()
            .map(|listener| $crate::Endpoint::new(&listener.name, &listener.host, listener.port))
            .collect()
    };
}

use {endpoints, listeners};
