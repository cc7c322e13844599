use metadata::LeaderRecoveryState;
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use protocol::messages::elect_leaders_request::TopicPartitions;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest, alter_partition_response,
};

use super::*;

/// What a leader says of a partition, with the epochs that the image knows.
fn alter(
    cluster: &mut Cluster,
    broker_id: i32,
    isr: &[i32],
    change: impl FnOnce(&mut PartitionData),
) -> alter_partition_response::PartitionData {
    let topic_id = cluster.image().topics.topic("topic").unwrap().id;
    let partition = cluster.partition("topic", 0).clone();
    let epochs = &cluster.epochs;
    let states = isr
        .iter()
        .map(|id| BrokerState { broker_id: *id, broker_epoch: epochs.get(id).copied().unwrap_or(-1) });
    let mut data = PartitionData {
        partition_index: 0,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        new_isr_with_epochs: states.collect(),
        ..PartitionData::default()
    };
    change(&mut data);
    let request = AlterPartitionRequest {
        broker_id,
        broker_epoch: cluster.epochs[&broker_id],
        topics: vec![TopicData { topic_id, partitions: vec![data] }],
    };
    let context = cluster.context(3);
    let result = cluster.controller.alter_partition(&context, &request);
    let response = cluster.commit(result);
    assert_eq!(response.error_code, 0);
    response.topics[0].partitions[0].clone()
}

fn error(data: &alter_partition_response::PartitionData) -> ErrorCode {
    ErrorCode::from_code(data.error_code)
}

#[test]
fn a_leader_shrinks_and_expands_its_isr() {
    let mut cluster = Cluster::of(3);
    cluster.create_assigned("topic", &[&[0, 1, 2]]);
    let shrunk = alter(&mut cluster, 0, &[0], |_| {});
    assert_eq!(
        (error(&shrunk), &shrunk.isr[..], shrunk.leader_epoch, shrunk.partition_epoch),
        (ErrorCode::None, &[0][..], 0, 1)
    );
    let expanded = alter(&mut cluster, 0, &[0, 2], |_| {});
    assert_eq!((&expanded.isr[..], expanded.partition_epoch), (&[0, 2][..], 2));
    assert_eq!(cluster.partition("topic", 0).isr, [0, 2]);
    cluster.assert_replay_is_complete();
}

#[test]
fn what_a_leader_may_not_say_is_refused() {
    let mut cluster = Cluster::of(3);
    cluster.register(3, uuid(3), -1);
    cluster.create_assigned("topic", &[&[0, 1, 3]]);
    alter(&mut cluster, 0, &[0], |_| {});
    let mut refused = |broker: i32, isr: &[i32], change: &dyn Fn(&mut PartitionData)| {
        error(&alter(&mut cluster, broker, isr, change))
    };
    assert_eq!(refused(0, &[0, 1], &|data| data.partition_index = 7), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(refused(0, &[0, 1], &|data| data.leader_epoch += 1), ErrorCode::NotController);
    assert_eq!(refused(0, &[0, 1], &|data| data.partition_epoch += 1), ErrorCode::NotController);
    assert_eq!(refused(0, &[0, 1], &|data| data.leader_epoch -= 1), ErrorCode::FencedLeaderEpoch);
    assert_eq!(refused(0, &[0, 1], &|data| data.partition_epoch -= 1), ErrorCode::InvalidUpdateVersion);
    assert_eq!(refused(1, &[0, 1], &|_| {}), ErrorCode::InvalidRequest);
    assert_eq!(refused(0, &[1], &|_| {}), ErrorCode::InvalidRequest);
    assert_eq!(refused(0, &[0, 2], &|_| {}), ErrorCode::InvalidRequest);
    assert_eq!(refused(0, &[0, 0], &|_| {}), ErrorCode::InvalidRequest);
    assert_eq!(refused(0, &[0], &|data| data.leader_recovery_state = 1), ErrorCode::InvalidRequest);
    assert_eq!(refused(0, &[0], &|data| data.leader_recovery_state = 7), ErrorCode::InvalidRequest);
    // Broker 3 is fenced.
    assert_eq!(refused(0, &[0, 3], &|_| {}), ErrorCode::IneligibleReplica);
    let of_another_epoch = |data: &mut PartitionData| data.new_isr_with_epochs[1].broker_epoch += 1;
    assert_eq!(refused(0, &[0, 1], &of_another_epoch), ErrorCode::IneligibleReplica);
    assert_eq!(refused(0, &[0, 1], &|_| {}), ErrorCode::None);
    let mut stale = AlterPartitionRequest { broker_id: 0, broker_epoch: -5, topics: vec![] };
    let mut answer = |request: &AlterPartitionRequest| {
        let context = cluster.context(3);
        ErrorCode::from_code(cluster.controller.alter_partition(&context, request).response.error_code)
    };
    assert_eq!(answer(&stale), ErrorCode::None);
    stale.topics.push(Default::default());
    assert_eq!(answer(&stale), ErrorCode::StaleBrokerEpoch);
}

fn elect(cluster: &mut Cluster, election_type: i8, partitions: Option<&[i32]>) -> Vec<ErrorCode> {
    let topic_partitions = partitions.map(|partitions| {
        vec![TopicPartitions { topic: "topic".to_owned(), partitions: partitions.to_vec() }]
    });
    let request = ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 0 };
    let result = cluster.controller.elect_leaders(&request);
    let response = cluster.commit(result);
    let results = response.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    results.map(|result| ErrorCode::from_code(result.error_code)).collect()
}

#[test]
fn preferred_leaders_are_elected_on_request_and_by_time() {
    let mut cluster = Cluster::of(3);
    cluster.create_assigned("topic", &[&[0, 1], &[1, 2]]);
    let epoch = cluster.epochs[&0];
    cluster.heartbeat_with(0, |request| request.want_fence = true);
    assert_eq!(cluster.partition("topic", 0).leader, 1);
    assert_eq!(
        elect(&mut cluster, 0, Some(&[0, 1, 9])),
        [
            ErrorCode::PreferredLeaderNotAvailable,
            ErrorCode::ElectionNotNeeded,
            ErrorCode::UnknownTopicOrPartition
        ]
    );
    cluster.heartbeat(0);
    assert_eq!(cluster.epochs[&0], epoch);
    assert_eq!(
        elect(&mut cluster, 0, None),
        [ErrorCode::PreferredLeaderNotAvailable],
        "it is not in sync yet"
    );
    alter(&mut cluster, 1, &[0, 1], |_| {});
    assert_eq!(elect(&mut cluster, 0, None), [ErrorCode::None]);
    assert_eq!(cluster.partition("topic", 0).leader, 0);
    // And without anybody asking.
    cluster.heartbeat_with(0, |request| request.want_fence = true);
    cluster.heartbeat(0);
    alter(&mut cluster, 1, &[0, 1], |_| {});
    assert_eq!(cluster.partition("topic", 0).leader, 1);
    for _ in 0..60 {
        cluster.pass(5000);
        for id in 0..3 {
            cluster.heartbeat(id);
        }
    }
    assert_eq!(cluster.partition("topic", 0).leader, 0);
    cluster.assert_replay_is_complete();
}

#[test]
fn an_unclean_election_loses_records_and_says_so() {
    let levels = [("eligible.leader.replicas.version", 0)];
    let mut cluster = Cluster::of_config(2, config(MetadataVersion::LATEST_PRODUCTION, &levels));
    cluster.create_assigned("topic", &[&[0, 1]]);
    alter(&mut cluster, 0, &[0], |_| {});
    cluster.heartbeat_with(0, |request| request.want_fence = true);
    assert_eq!(cluster.partition("topic", 0).leader, -1);
    assert_eq!(elect(&mut cluster, 1, Some(&[0])), [ErrorCode::None]);
    let partition = cluster.partition("topic", 0).clone();
    assert_eq!((partition.leader, &partition.isr[..]), (1, &[1][..]));
    assert_eq!(partition.leader_recovery_state, LeaderRecoveryState::Recovering);
    // The leader may not take others in before it has recovered.
    let refused = alter(&mut cluster, 1, &[1], |data| {
        data.leader_recovery_state = 1;
        data.new_isr_with_epochs.push(BrokerState { broker_id: 0, broker_epoch: -1 });
    });
    assert_eq!(error(&refused), ErrorCode::InvalidRequest);
    let recovered = alter(&mut cluster, 1, &[1], |_| {});
    assert_eq!((error(&recovered), recovered.leader_recovery_state), (ErrorCode::None, 0));
    assert_eq!(elect(&mut cluster, 1, Some(&[0])), [ErrorCode::ElectionNotNeeded]);
    assert_eq!(elect(&mut cluster, 2, Some(&[0])), [ErrorCode::InvalidRequest]);
}

fn reassign(cluster: &mut Cluster, replicas: Option<&[i32]>) -> ErrorCode {
    let partition = ReassignablePartition { partition_index: 0, replicas: replicas.map(<[i32]>::to_vec) };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![ReassignableTopic { name: "topic".to_owned(), partitions: vec![partition] }],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let result = cluster.controller.alter_partition_reassignments(&request);
    let response = cluster.commit(result);
    ErrorCode::from_code(response.responses[0].partitions[0].error_code)
}

#[test]
fn a_reassignment_adds_first_and_removes_when_the_new_are_in_sync() {
    let mut cluster = Cluster::of(4);
    cluster.create_assigned("topic", &[&[0, 1]]);
    assert_eq!(reassign(&mut cluster, None), ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassign(&mut cluster, Some(&[2, 9])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign(&mut cluster, Some(&[2, 3])), ErrorCode::None);
    let partition = cluster.partition("topic", 0).clone();
    assert_eq!((&partition.replicas[..], partition.leader), (&[2, 3, 0, 1][..], 0));
    assert_eq!(partition.directories, [dir(2), dir(3), dir(0), dir(1)]);
    let listed = cluster.controller.list_partition_reassignments(&ListPartitionReassignmentsRequest {
        topics: None,
        ..ListPartitionReassignmentsRequest::default()
    });
    assert_eq!(listed.topics[0].partitions[0].adding_replicas, [2, 3]);
    assert_eq!(error(&alter(&mut cluster, 0, &[0, 1, 2], |_| {})), ErrorCode::None);
    assert!(cluster.partition("topic", 0).is_reassignment_in_progress());
    // With the last one in sync the old ones leave, the leader among them.
    assert_eq!(error(&alter(&mut cluster, 0, &[0, 1, 2, 3], |_| {})), ErrorCode::NewLeaderElected);
    let partition = cluster.partition("topic", 0).clone();
    assert_eq!(
        (&partition.replicas[..], &partition.isr[..], partition.leader),
        (&[2, 3][..], &[2, 3][..], 2)
    );
    assert_eq!(partition.directories, [dir(2), dir(3)]);
    assert!(!partition.is_reassignment_in_progress());
    cluster.assert_replay_is_complete();
}

#[test]
fn a_reassignment_can_be_changed_on_its_way() {
    let mut cluster = Cluster::of(5);
    cluster.create_assigned("topic", &[&[0, 1]]);
    assert_eq!(reassign(&mut cluster, Some(&[0, 2, 3])), ErrorCode::None);
    // 3 is not wanted any more: nobody waits for it.
    assert_eq!(reassign(&mut cluster, Some(&[0, 2])), ErrorCode::None);
    let partition = cluster.partition("topic", 0);
    assert_eq!((&partition.adding_replicas[..], &partition.removing_replicas[..]), (&[2][..], &[1, 3][..]));
    assert_eq!(error(&alter(&mut cluster, 0, &[0, 1, 2], |_| {})), ErrorCode::None);
    let partition = cluster.partition("topic", 0);
    assert_eq!((&partition.replicas[..], &partition.isr[..]), (&[0, 2][..], &[0, 2][..]));
    // 2 was on its way out, and is wanted again: it stays.
    assert_eq!(reassign(&mut cluster, Some(&[0, 4])), ErrorCode::None);
    assert_eq!(reassign(&mut cluster, Some(&[0, 2, 4])), ErrorCode::None);
    assert!(cluster.partition("topic", 0).removing_replicas.is_empty());
    assert_eq!(error(&alter(&mut cluster, 0, &[0, 2, 4], |_| {})), ErrorCode::None);
    let partition = cluster.partition("topic", 0);
    assert_eq!(partition.replicas, [0, 2, 4]);
    assert!(!partition.is_reassignment_in_progress());
    cluster.assert_replay_is_complete();
}

#[test]
fn a_reassignment_can_be_taken_back() {
    let mut cluster = Cluster::of(4);
    cluster.create_assigned("topic", &[&[0, 1]]);
    assert_eq!(reassign(&mut cluster, Some(&[2, 3])), ErrorCode::None);
    alter(&mut cluster, 0, &[0, 1, 2], |_| {});
    assert_eq!(reassign(&mut cluster, None), ErrorCode::None);
    let partition = cluster.partition("topic", 0);
    assert_eq!(
        (&partition.replicas[..], &partition.isr[..], partition.leader),
        (&[0, 1][..], &[0, 1][..], 0)
    );
    assert!(!partition.is_reassignment_in_progress());
    assert_eq!(partition.leader_epoch, 1, "followers that left must notice");
    cluster.assert_replay_is_complete();
}

fn set_min_isr(cluster: &mut Cluster, value: &str) {
    let config = AlterableConfig {
        name: "min.insync.replicas".to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: "topic".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let context = cluster.context(1);
    let result = cluster.controller.incremental_alter_configs(&context, &request);
    assert_eq!(cluster.commit(result).responses[0].error_message, None);
}

#[test]
fn eligible_replicas_are_kept_below_min_isr_and_forgotten_when_it_changes() {
    let mut cluster = Cluster::of(3);
    cluster.create_assigned("topic", &[&[0, 1, 2]]);
    set_min_isr(&mut cluster, "2");
    alter(&mut cluster, 0, &[0, 1], |_| {});
    assert!(cluster.partition("topic", 0).elr.is_empty());
    alter(&mut cluster, 0, &[0], |_| {});
    assert_eq!(cluster.partition("topic", 0).elr, [1]);
    // The eligible one leads when nobody of the ISR can.
    cluster.heartbeat_with(0, |request| request.want_fence = true);
    let partition = cluster.partition("topic", 0);
    assert_eq!((partition.leader, &partition.isr[..], &partition.elr[..]), (1, &[1][..], &[0][..]));
    set_min_isr(&mut cluster, "1");
    assert!(cluster.partition("topic", 0).elr.is_empty());
    assert!(matches!(cluster.log.last(), Some((MetadataRecord::ClearElr(_), 0))));
    cluster.assert_replay_is_complete();
}

#[test]
fn who_leaves_with_a_reassignment_is_not_eligible() {
    let mut cluster = Cluster::of(3);
    cluster.create_assigned("topic", &[&[0, 1]]);
    set_min_isr(&mut cluster, "2");
    alter(&mut cluster, 0, &[0], |_| {});
    assert_eq!(reassign(&mut cluster, Some(&[2, 1])), ErrorCode::None);
    assert_eq!(error(&alter(&mut cluster, 0, &[0, 2], |_| {})), ErrorCode::NewLeaderElected);
    let partition = cluster.partition("topic", 0).clone();
    assert_eq!((&partition.replicas[..], &partition.isr[..]), (&[2, 1][..], &[2][..]));
    assert_eq!(partition.elr, [1]);
    cluster.assert_replay_is_complete();
}
