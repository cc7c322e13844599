//! What other brokers would ask the controller: the requests by which this broker registered too.

use common::{ErrorCode, Uuid};
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::*;

use crate::harness::{Broker, Client, NODE, error};

/// What this version of Kafka can, as a broker of the same version says it.
pub async fn features(client: &mut Client) -> Vec<Feature> {
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
        ..ApiVersionsRequest::default()
    };
    let response = client.call(4, &request).await;
    let feature = |feature: api_versions_response::SupportedFeatureKey| Feature {
        name: feature.name,
        min_supported_version: feature.min_version,
        max_supported_version: feature.max_version,
    };
    response.supported_features.into_iter().map(feature).collect()
}

pub fn registration(
    cluster_id: &str,
    broker_id: i32,
    incarnation_id: Uuid,
    features: &[Feature],
) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest {
        broker_id,
        cluster_id: cluster_id.to_owned(),
        incarnation_id,
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: "127.0.0.2".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: features.to_vec(),
        rack: None,
        log_dirs: vec![Uuid::random()],
        ..BrokerRegistrationRequest::default()
    }
}

pub async fn heartbeat(
    client: &mut Client,
    broker_id: i32,
    broker_epoch: i64,
    want_fence: bool,
) -> BrokerHeartbeatResponse {
    let request = BrokerHeartbeatRequest {
        broker_id,
        broker_epoch,
        current_metadata_offset: 1_000_000,
        want_fence,
        ..BrokerHeartbeatRequest::default()
    };
    client.call(1, &request).await
}

/// Broker ids, and whether they are fenced.
async fn brokers(client: &mut Client) -> Vec<(i32, bool)> {
    let request =
        DescribeClusterRequest { include_fenced_brokers: true, ..DescribeClusterRequest::default() };
    let response = client.call(2, &request).await;
    let mut brokers: Vec<(i32, bool)> =
        response.brokers.iter().map(|broker| (broker.broker_id, broker.is_fenced)).collect();
    brokers.sort_unstable();
    brokers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_registers_and_is_let_in() {
    let Some(broker) = Broker::start_with(&[]).await else { return };
    let cluster_id = broker.cluster_id().unwrap().to_owned();
    let mut controller = broker.connect_to_controller().await;
    let features = features(&mut controller).await;
    let mut client = broker.connect().await;
    assert_eq!(brokers(&mut client).await, [(NODE, false)]);
    let incarnation = Uuid::random();
    let registered = controller.call(4, &registration(&cluster_id, 2, incarnation, &features)).await;
    assert_eq!(error(registered.error_code), ErrorCode::None);
    let epoch = registered.broker_epoch;
    assert!(epoch > 0);
    assert_eq!(brokers(&mut client).await, [(NODE, false), (2, true)]);
    // It stays fenced as long as it wants to.
    let beat = heartbeat(&mut controller, 2, epoch, true).await;
    assert_eq!((beat.error_code, beat.is_caught_up, beat.is_fenced), (0, true, true));
    // While it lives, another of the same id does not get in.
    let other = controller.call(4, &registration(&cluster_id, 2, Uuid::random(), &features)).await;
    assert_eq!(error(other.error_code), ErrorCode::DuplicateBrokerRegistration);
    let beat = heartbeat(&mut controller, 2, epoch, false).await;
    assert_eq!((beat.error_code, beat.is_caught_up, beat.is_fenced), (0, true, false));
    assert_eq!(brokers(&mut client).await, [(NODE, false), (2, false)]);
    let beat = heartbeat(&mut controller, 2, epoch - 1, false).await;
    assert_eq!(error(beat.error_code), ErrorCode::StaleBrokerEpoch);
    // Producer ids come in blocks that nobody else gets.
    let request = AllocateProducerIdsRequest { broker_id: 2, broker_epoch: epoch };
    let first = controller.call(0, &request).await;
    let own = client.init_producer_id(4).await.producer_id;
    let second = controller.call(0, &request).await;
    assert_eq!((first.error_code, first.producer_id_len, second.producer_id_len), (0, 1000, 1000));
    assert!(second.producer_id_start >= first.producer_id_start + 1000);
    for block in [&first, &second] {
        assert!(!(block.producer_id_start..block.producer_id_start + 1000).contains(&own));
    }
    let stale = AllocateProducerIdsRequest { broker_id: 2, broker_epoch: epoch + 1 };
    assert_eq!(error(controller.call(0, &stale).await.error_code), ErrorCode::StaleBrokerEpoch);
    // It leaves: with nothing led there, at once.
    let request = BrokerHeartbeatRequest {
        broker_id: 2,
        broker_epoch: epoch,
        current_metadata_offset: 1_000_000,
        want_shut_down: true,
        ..BrokerHeartbeatRequest::default()
    };
    let mut beat = controller.call(1, &request).await;
    if !beat.should_shut_down {
        beat = controller.call(1, &request).await;
    }
    assert!(beat.should_shut_down, "{beat:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_another_cluster_stays_outside() {
    let Some(broker) = Broker::start_with(&[]).await else { return };
    let cluster_id = broker.cluster_id().unwrap().to_owned();
    let mut controller = broker.connect_to_controller().await;
    let features = features(&mut controller).await;
    let refused = controller.call(4, &registration("another", 2, Uuid::random(), &features)).await;
    assert_eq!(error(refused.error_code), ErrorCode::InconsistentClusterId);
    // One that cannot read the metadata that there are.
    let mut old = registration(&cluster_id, 2, Uuid::random(), &features);
    let metadata_version = old.features.iter_mut().find(|feature| feature.name == "metadata.version");
    metadata_version.unwrap().max_supported_version = 7;
    let refused = controller.call(4, &old).await;
    assert_eq!(error(refused.error_code), ErrorCode::UnsupportedVersion);
    let mut client = broker.connect().await;
    assert_eq!(brokers(&mut client).await, [(NODE, false)]);
}
