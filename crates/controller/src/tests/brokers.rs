use metadata::Feature as FeatureName;
use protocol::messages::{
    AllocateProducerIdsRequest, ControllerRegistrationRequest, DescribeClusterRequest,
    UnregisterBrokerRequest,
};

use super::*;

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code)
}

#[test]
fn the_first_records_of_a_cluster_are_those_that_kafka_writes() {
    let mut cluster = Cluster::empty();
    cluster.activate();
    let names: Vec<String> = cluster
        .log
        .iter()
        .map(|(record, _)| match record {
            MetadataRecord::FeatureLevel(level) => format!("{}={}", level.name, level.feature_level),
            MetadataRecord::Config(config) => format!("{}={}", config.name, config.value.clone().unwrap()),
            MetadataRecord::BeginTransaction(begin) => begin.name.clone().unwrap(),
            MetadataRecord::EndTransaction(_) => "end".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        names,
        [
            "Bootstrap records",
            "metadata.version=33",
            "eligible.leader.replicas.version=1",
            "group.version=1",
            "share.version=2",
            "streams.version=1",
            "transaction.version=2",
            "min.insync.replicas=1",
            "end"
        ]
    );
    assert_eq!(cluster.image().features.metadata_version(), Some(MetadataVersion::V4_4_IV2));
    // The next controller finds everything in order.
    cluster.controller.deactivate();
    let again = cluster.controller.activate(0, 1);
    assert!(again.records.is_empty());
}

#[test]
fn a_bootstrap_that_was_cut_short_is_begun_again() {
    let mut cluster = Cluster::empty();
    let mut begun = cluster.controller.activate(0, 1);
    begun.records.truncate(4);
    cluster.commit(begun);
    cluster.controller.deactivate();
    cluster.activate();
    assert!(matches!(cluster.log[4].0, MetadataRecord::AbortTransaction(_)));
    assert_eq!(cluster.image().features.metadata_version(), Some(MetadataVersion::V4_4_IV2));
    cluster.assert_replay_is_complete();
}

#[test]
fn a_transaction_left_open_is_aborted() {
    let mut cluster = Cluster::of(1);
    let topic = protocol::messages::TopicRecord { name: "half".to_owned(), topic_id: uuid(5) };
    let open = vec![(protocol::messages::BeginTransactionRecord::default().into(), 0), (topic.into(), 0)];
    cluster.commit(ControllerResult::of(open, ()));
    cluster.controller.deactivate();
    cluster.activate();
    assert!(cluster.image().topics.is_empty());
    assert!(cluster.controller.state.replication.topic_by_name("half").is_none());
    cluster.assert_replay_is_complete();
}

#[test]
fn a_broker_registers_fenced_and_is_unfenced_when_it_has_read_that() {
    let mut cluster = Cluster::empty();
    cluster.activate();
    let next_offset = cluster.log.len() as i64;
    let epoch = cluster.register(7, uuid(7), -1);
    assert_eq!(epoch, next_offset);
    let broker = cluster.image().cluster.broker(7).unwrap().clone();
    assert!(broker.fenced);
    assert_eq!(broker.listener("PLAINTEXT").unwrap().port, 9099);
    assert_eq!(broker.directories, [dir(7)]);
    let behind = cluster.heartbeat_with(7, |request| request.current_metadata_offset = epoch - 1);
    assert!(behind.is_fenced && !behind.is_caught_up);
    let caught_up = cluster.heartbeat(7);
    assert!(!caught_up.is_fenced && caught_up.is_caught_up);
    assert!(!cluster.image().cluster.broker(7).unwrap().fenced);
    let length = cluster.log.len();
    cluster.heartbeat(7);
    assert_eq!(cluster.log.len(), length, "a heartbeat that changes nothing makes no record");
}

#[test]
fn registrations_that_cannot_be_are_refused() {
    let mut cluster = Cluster::of(2);
    let good = Cluster::registration(5, uuid(5));
    let mut refused = |change: &dyn Fn(&mut BrokerRegistrationRequest)| {
        let mut request = good.clone();
        change(&mut request);
        error(cluster.try_register(&request).error_code)
    };
    assert_eq!(
        refused(&|request| request.cluster_id = "another".to_owned()),
        ErrorCode::InconsistentClusterId
    );
    assert_eq!(refused(&|request| request.log_dirs.clear()), ErrorCode::InvalidRegistration);
    assert_eq!(
        refused(&|request| request.log_dirs = vec![Uuid::from_u128(1)]),
        ErrorCode::InvalidRegistration
    );
    assert_eq!(refused(&|request| request.log_dirs = vec![dir(0)]), ErrorCode::InvalidRegistration);
    assert_eq!(refused(&|request| request.log_dirs = vec![dir(5), dir(5)]), ErrorCode::InvalidRegistration);
    assert_eq!(refused(&|request| request.is_migrating_zk_broker = true), ErrorCode::BrokerIdNotRegistered);
    assert_eq!(refused(&|request| request.features.clear()), ErrorCode::InvalidRegistration);
    let without = |name: &'static str| {
        move |request: &mut BrokerRegistrationRequest| request.features.retain(|feature| feature.name != name)
    };
    assert_eq!(refused(&without("metadata.version")), ErrorCode::InvalidRegistration);
    // A broker that does not know a feature cannot work with it.
    assert_eq!(refused(&without(FeatureName::GroupVersion.name())), ErrorCode::UnsupportedVersion);
    assert_eq!(refused(&|request| request.broker_id = 1), ErrorCode::DuplicateBrokerRegistration);
    assert_eq!(refused(&|_| {}), ErrorCode::None);
}

#[test]
fn another_incarnation_registers_when_the_session_is_over() {
    let mut cluster = Cluster::of(1);
    let request = Cluster::registration(0, uuid(77));
    assert_eq!(error(cluster.try_register(&request).error_code), ErrorCode::DuplicateBrokerRegistration);
    cluster.pass(9001);
    let response = cluster.try_register(&request);
    assert_eq!(error(response.error_code), ErrorCode::None);
    // What the old one says is stale now.
    let old = cluster.heartbeat(0);
    assert_eq!(error(old.error_code), ErrorCode::StaleBrokerEpoch);
    // The same incarnation may register again, and keeps its epoch.
    assert_eq!(cluster.try_register(&request).broker_epoch, response.broker_epoch);
}

#[test]
fn a_broker_not_heard_of_is_fenced_and_loses_what_it_leads() {
    let mut cluster = Cluster::of(3);
    cluster.create_assigned("topic", &[&[0, 1, 2], &[1, 2, 0]]);
    for _ in 0..3 {
        cluster.pass(4000);
        cluster.heartbeat(1);
        cluster.heartbeat(2);
    }
    assert!(cluster.image().cluster.broker(0).unwrap().fenced);
    let partition = cluster.partition("topic", 0);
    assert_eq!((partition.leader, partition.leader_epoch, &partition.isr[..]), (1, 1, &[1, 2][..]));
    // Broker 1 leads on in the same epoch: a smaller ISR does not bump it.
    let partition = cluster.partition("topic", 1);
    assert_eq!((partition.leader, partition.leader_epoch, &partition.isr[..]), (1, 0, &[1, 2][..]));
    cluster.assert_replay_is_complete();
}

#[test]
fn a_broker_that_is_known_to_be_gone_is_not_waited_for() {
    let mut cluster = Cluster::of(3);
    cluster.create_assigned("t", &[&[0, 1, 2]]);
    let epoch = cluster.epochs[&0];
    // News of an incarnation before the present one change nothing.
    let stale = cluster.controller.fence_lost_broker(0, epoch - 1);
    assert!(stale.records.is_empty());
    let lost = cluster.controller.fence_lost_broker(0, epoch);
    cluster.commit(lost);
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.leader, partition.leader_epoch, partition.isr.clone()), (1, 1, vec![1, 2]));
    assert!(cluster.image().cluster.broker(0).unwrap().fenced);
    assert!(cluster.controller.fence_lost_broker(0, epoch).records.is_empty());
    // It was not gone: its next heartbeat lets it in again.
    assert!(!cluster.heartbeat(0).is_fenced);
    assert!(!cluster.image().cluster.broker(0).unwrap().fenced);
    // And if it was, its next incarnation need not wait.
    let lost = cluster.controller.fence_lost_broker(0, epoch);
    cluster.commit(lost);
    assert!(cluster.register(0, uuid(555), -1) > epoch);
}

#[test]
fn the_only_replica_stays_eligible_and_leads_again() {
    let mut cluster = Cluster::of(1);
    cluster.create_assigned("topic", &[&[0]]);
    let stopped = cluster.heartbeat_with(0, |request| request.want_shut_down = true);
    assert!(!stopped.should_shut_down && !stopped.is_fenced);
    let partition = cluster.partition("topic", 0).clone();
    assert_eq!((partition.leader, &partition.isr[..]), (-1, &[][..]));
    assert_eq!((&partition.elr[..], &partition.last_known_elr[..]), (&[0][..], &[0][..]));
    // Nobody is left that has to read the log first.
    let stopped = cluster.heartbeat_with(0, |request| request.want_shut_down = true);
    assert!(stopped.should_shut_down && stopped.is_fenced);
    // It comes back as another incarnation that knows its last epoch: nothing was lost.
    let epoch = cluster.epochs[&0];
    cluster.pass(20_000);
    cluster.register(0, uuid(500), epoch);
    assert!(!cluster.heartbeat(0).is_fenced);
    let partition = cluster.partition("topic", 0);
    assert_eq!((partition.leader, &partition.isr[..], &partition.elr[..]), (0, &[0][..], &[][..]));
    assert!(partition.last_known_elr.is_empty());
    assert_eq!(partition.leader_recovery_state, metadata::LeaderRecoveryState::Recovered);
    cluster.assert_replay_is_complete();
}

#[test]
fn after_an_unclean_end_the_last_leader_has_to_recover() {
    let mut cluster = Cluster::of(1);
    cluster.create_assigned("topic", &[&[0]]);
    cluster.pass(20_000);
    assert_eq!(cluster.partition("topic", 0).elr, [0]);
    // It does not know its last epoch: its files may have lost records.
    cluster.register(0, uuid(500), -1);
    let partition = cluster.partition("topic", 0);
    assert_eq!(
        (&partition.isr[..], &partition.elr[..], &partition.last_known_elr[..]),
        (&[][..], &[][..], &[0][..])
    );
    assert!(!cluster.heartbeat(0).is_fenced);
    let partition = cluster.partition("topic", 0);
    assert_eq!((partition.leader, &partition.isr[..]), (0, &[0][..]));
    assert_eq!(partition.leader_recovery_state, metadata::LeaderRecoveryState::Recovering);
}

#[test]
fn without_the_feature_the_last_replica_keeps_the_isr() {
    let levels = [("eligible.leader.replicas.version", 0)];
    let mut cluster = Cluster::of_config(2, config(MetadataVersion::LATEST_PRODUCTION, &levels));
    cluster.create_assigned("topic", &[&[0, 1]]);
    cluster.pass(20_000);
    // One broker is fenced at a time, and the next soon after.
    cluster.pass(10);
    let partition = cluster.partition("topic", 0);
    assert_eq!((partition.leader, partition.isr.len(), &partition.elr[..]), (-1, 1, &[][..]));
    cluster.assert_replay_is_complete();
}

#[test]
fn controlled_shutdown_waits_until_the_others_know() {
    let mut cluster = Cluster::of(2);
    cluster.create_assigned("topic", &[&[0, 1]]);
    cluster.heartbeat(1);
    let response = cluster.heartbeat_with(0, |request| request.want_shut_down = true);
    assert!(!response.should_shut_down);
    assert_eq!(cluster.partition("topic", 0).leader, 1);
    assert!(cluster.image().cluster.broker(0).unwrap().in_controlled_shutdown);
    let response = cluster.heartbeat_with(0, |request| request.want_shut_down = true);
    assert!(!response.should_shut_down, "broker 1 has not read that it leads");
    cluster.heartbeat(1);
    let response = cluster.heartbeat_with(0, |request| request.want_shut_down = true);
    assert!(response.should_shut_down && response.is_fenced);
    // A broker that stops gets no new replicas.
    let created = cluster.create_topics(vec![new_topic("new", 1, 2)]);
    assert_eq!(error(created.topics[0].error_code), ErrorCode::None);
    // And when it comes back nobody waits for the session of the one that went.
    let epoch = cluster.epochs[&0];
    assert!(cluster.register(0, uuid(556), epoch) > epoch);
    assert!(!cluster.heartbeat(0).is_fenced);
}

#[test]
fn an_offline_directory_takes_its_leaders_away() {
    let mut cluster = Cluster::empty();
    cluster.activate();
    for id in 0..2 {
        let mut request = Cluster::registration(id, uuid(id as u128));
        request.log_dirs.push(dir(50 + id));
        let response = cluster.try_register(&request);
        cluster.epochs.insert(id, response.broker_epoch);
        cluster.heartbeat(id);
    }
    let topic_id = cluster.create_assigned("topic", &[&[0, 1], &[0, 1]]);
    assert_eq!(cluster.partition("topic", 0).directories, [metadata::directory_id::UNASSIGNED; 2]);
    for (partition, directory) in [(0, dir(0)), (1, dir(50))] {
        let request = assignment(0, cluster.epochs[&0], directory, topic_id, &[partition]);
        let result = cluster.controller.assign_replicas_to_dirs(&request);
        cluster.commit(result);
    }
    assert_eq!(cluster.partition("topic", 1).directory(0), Some(dir(50)));
    cluster.heartbeat_with(0, |request| request.offline_log_dirs = vec![dir(50)]);
    assert_eq!(cluster.image().cluster.broker(0).unwrap().directories, [dir(0)]);
    assert_eq!((cluster.partition("topic", 0).leader, cluster.partition("topic", 1).leader), (0, 1));
    assert_eq!(cluster.partition("topic", 1).isr, [1]);
    // A replica that turns out to be there goes the same way.
    let request = assignment(0, cluster.epochs[&0], dir(50), topic_id, &[0, 9]);
    let result = cluster.controller.assign_replicas_to_dirs(&request);
    let response = cluster.commit(result);
    let codes: Vec<i16> =
        response.directories[0].topics[0].partitions.iter().map(|part| part.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
    assert_eq!(cluster.partition("topic", 0).leader, 1);
    cluster.assert_replay_is_complete();
}

#[test]
fn cordoned_directories_get_no_new_replicas() {
    let mut cluster = Cluster::of(1);
    cluster.heartbeat_with(0, |request| request.cordoned_log_dirs = Some(vec![dir(0)]));
    let length = cluster.log.len();
    cluster.heartbeat_with(0, |request| request.cordoned_log_dirs = Some(vec![dir(0)]));
    assert_eq!(cluster.log.len(), length);
    let response = cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    assert_eq!(error(response.topics[0].error_code), ErrorCode::InvalidReplicationFactor);
    cluster.heartbeat_with(0, |request| request.cordoned_log_dirs = Some(vec![]));
    assert_eq!(cluster.create_topics(vec![new_topic("topic", 1, 1)]).topics[0].error_message, None);
}

#[test]
fn an_unregistered_broker_is_gone() {
    let mut cluster = Cluster::of(2);
    cluster.create_assigned("topic", &[&[0, 1]]);
    let result = cluster.controller.unregister_broker(&UnregisterBrokerRequest { broker_id: 0 });
    assert_eq!(cluster.commit(result).error_code, 0);
    assert!(cluster.image().cluster.broker(0).is_none());
    assert_eq!(cluster.partition("topic", 0).leader, 1);
    let result = cluster.controller.unregister_broker(&UnregisterBrokerRequest { broker_id: 0 });
    let response = cluster.commit(result);
    assert_eq!(error(response.error_code), ErrorCode::BrokerIdNotRegistered);
    assert_eq!(response.error_message.as_deref(), Some("Broker ID 0 is not currently registered"));
    assert_eq!(error(cluster.heartbeat(0).error_code), ErrorCode::StaleBrokerEpoch);
}

#[test]
fn producer_ids_are_leased_to_registered_brokers_alone() {
    let mut cluster = Cluster::of(1);
    let allocate = |cluster: &mut Cluster, broker_epoch| {
        let result = cluster
            .controller
            .allocate_producer_ids(&AllocateProducerIdsRequest { broker_id: 0, broker_epoch });
        cluster.commit(result)
    };
    let epoch = cluster.epochs[&0];
    for first in [0, 1000, 2000] {
        let response = allocate(&mut cluster, epoch);
        assert_eq!((response.producer_id_start, response.producer_id_len), (first, 1000));
    }
    assert_eq!(error(allocate(&mut cluster, epoch + 1).error_code), ErrorCode::StaleBrokerEpoch);
    assert_eq!(cluster.image().producer_ids.next_producer_id, 3000);
}

#[test]
fn controllers_register_and_are_listed() {
    use protocol::messages::controller_registration_request::Listener;
    let mut cluster = Cluster::of(1);
    let listener = Listener {
        name: "CONTROLLER".to_owned(),
        host: "there".to_owned(),
        port: 9093,
        security_protocol: 0,
    };
    let request = ControllerRegistrationRequest {
        controller_id: 3,
        incarnation_id: uuid(3),
        listeners: vec![listener],
        ..ControllerRegistrationRequest::default()
    };
    let result = cluster.controller.register_controller(&request);
    cluster.commit(result);
    let request = DescribeClusterRequest { endpoint_type: 2, ..DescribeClusterRequest::default() };
    let response = cluster.controller.describe_cluster(&request, "CONTROLLER", Some(3));
    assert_eq!((response.brokers[0].broker_id, response.brokers[0].host.as_str()), (3, "there"));
    assert_eq!((response.cluster_id.as_str(), response.controller_id), ("the-cluster", 3));
    let request = DescribeClusterRequest { endpoint_type: 1, ..DescribeClusterRequest::default() };
    let response = cluster.controller.describe_cluster(&request, "CONTROLLER", Some(3));
    assert_eq!(error(response.error_code), ErrorCode::MismatchedEndpointType);
}

#[test]
fn an_idle_log_gets_a_record_at_each_interval() {
    let mut cluster = Cluster::of(0);
    let length = cluster.log.len();
    for _ in 0..4 {
        cluster.pass(500);
    }
    assert_eq!(cluster.log.len(), length + 4);
    assert!(matches!(cluster.log.last(), Some((MetadataRecord::NoOp(_), 0))));
    assert_eq!(
        cluster.controller.next_event_ms(),
        Some(cluster.now_ms + 500).min(cluster.controller.next_event_ms())
    );
}

#[test]
fn a_controller_that_is_not_active_refuses() {
    let mut cluster = Cluster::of(1);
    cluster.controller.deactivate();
    assert_eq!(error(cluster.heartbeat(0).error_code), ErrorCode::NotController);
    let response = cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    assert_eq!(error(response.topics[0].error_code), ErrorCode::NotController);
    assert_eq!(cluster.controller.next_event_ms(), None);
}
