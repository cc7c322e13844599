//! Which APIs are served, in which versions, on which kind of listener. Only what is finished is here, and what is here
//! is what `ApiVersions` says.

use std::ops::RangeInclusive;

use protocol::ApiKey;

/// For whom a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// Clients and other brokers.
    Broker,
    /// Brokers and tools that talk to the controller.
    Controller,
}

const BROKER: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::AlterReplicaLogDirs,
    ApiKey::DescribeLogDirs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::OffsetDelete,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::DescribeProducers,
    ApiKey::DescribeClientQuotas,
    // Divergence: Kafka lists these two only where a plugin takes the metrics. The log always does.
    ApiKey::GetTelemetrySubscriptions,
    ApiKey::PushTelemetry,
    ApiKey::ListConfigResources,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::StreamsGroupHeartbeat,
    ApiKey::StreamsGroupDescribe,
    ApiKey::StreamsGroupTopologyDescriptionUpdate,
    ApiKey::DescribeTopicPartitions,
    ApiKey::ElectLeaders,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::UpdateFeatures,
    ApiKey::UnregisterBroker,
    ApiKey::UnregisterController,
    ApiKey::AlterClientQuotas,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
];

const CONTROLLER: &[ApiKey] = &[
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::DescribeConfigs,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::BrokerRegistration,
    ApiKey::BrokerHeartbeat,
    ApiKey::AllocateProducerIds,
    ApiKey::AlterPartition,
    ApiKey::AssignReplicasToDirs,
    ApiKey::ControllerRegistration,
    ApiKey::Envelope,
    ApiKey::ElectLeaders,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::UpdateFeatures,
    ApiKey::UnregisterBroker,
    ApiKey::UnregisterController,
    ApiKey::AlterClientQuotas,
    ApiKey::Fetch,
    ApiKey::Vote,
    ApiKey::BeginQuorumEpoch,
    ApiKey::EndQuorumEpoch,
    ApiKey::FetchSnapshot,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
    ApiKey::UpdateRaftVoter,
];

/// A bit for each: whether an API is served is asked for each request.
const fn set_of(mut apis: &[ApiKey]) -> u128 {
    let mut set = 0;
    while let [api, rest @ ..] = apis {
        set |= 1 << *api as i16;
        apis = rest;
    }
    set
}

/// The versions served, if any.
pub(crate) fn served(api: ApiKey, kind: ListenerKind) -> Option<RangeInclusive<i16>> {
    let set = match kind {
        ListenerKind::Broker => const { set_of(BROKER) },
        ListenerKind::Controller => const { set_of(CONTROLLER) },
    };
    if set & set_of(&[api]) == 0 {
        return None;
    }
    Some(*api.versions().start()..=last_stable(api))
}

/// What a broker passes on to the active controller (`ApiKeys.forwardable`): it takes no version that the other does not.
pub(crate) fn is_forwarded(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::AlterConfigs
            | ApiKey::CreatePartitions
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::ElectLeaders
            | ApiKey::AlterPartitionReassignments
            | ApiKey::ListPartitionReassignments
            | ApiKey::UpdateFeatures
            | ApiKey::UnregisterBroker
            | ApiKey::DescribeQuorum
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
    )
}

/// The last version that Kafka calls stable: in no other does a node speak to another by itself.
pub(crate) fn last_stable(api: ApiKey) -> i16 {
    let last = *api.versions().end();
    if api.latest_version_unstable() { last - 1 } else { last }
}

/// What `ApiVersions` lists: key, first and last version.
pub(crate) fn advertised(kind: ListenerKind) -> impl Iterator<Item = (ApiKey, i16, i16)> {
    ApiKey::all().filter_map(move |api| {
        let versions = served(api, kind)?;
        // Versions 0 to 2 of Produce are refused, but librdkafka takes a broker whose list does not begin at 0 for one
        // that cannot take compressed batches (KAFKA-18659).
        let first = if api == ApiKey::Produce { 0 } else { *versions.start() };
        Some((api, first, *versions.end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_belongs_on_its_listener() {
        for api in BROKER {
            assert!(api.on_broker(), "{api}");
        }
        for api in CONTROLLER {
            assert!(api.on_controller(), "{api}");
        }
    }

    #[test]
    fn unstable_versions_are_kept_back_and_produce_begins_at_zero() {
        assert_eq!(served(ApiKey::InitProducerId, ListenerKind::Broker), Some(0..=5));
        assert_eq!(served(ApiKey::Produce, ListenerKind::Broker), Some(3..=13));
        let produce = advertised(ListenerKind::Broker).find(|entry| entry.0 == ApiKey::Produce);
        assert_eq!(produce, Some((ApiKey::Produce, 0, 13)));
        assert_eq!(served(ApiKey::Vote, ListenerKind::Broker), None);
    }
}
