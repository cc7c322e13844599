//! Clients' metrics (KIP-714): who is asked for what, and when a push is refused.

use common::{ErrorCode, Uuid};
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::*;

use crate::harness::{Broker, Cases, Client, error, unique};

const CLIENT_METRICS: i8 = 16;
/// What a client is told that no subscription is for.
const DEFAULT_INTERVAL_MS: i32 = 300_000;
/// `telemetry.max.bytes`.
const MAX_BYTES: i32 = 1_048_576;

/// A change of the subscriptions is one for every client of a broker, which all tests may share.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Sets the keys of a subscription; without keys it is taken away.
async fn subscribe(client: &mut Client, name: &str, keys: &[(&str, &str)]) {
    let configs = ["interval.ms", "metrics", "match"].map(|name| {
        let given = keys.iter().find(|(key, _)| *key == name);
        AlterableConfig {
            name: name.to_owned(),
            config_operation: if given.is_some() { 0 } else { 1 },
            value: given.map(|(_, value)| (*value).to_owned()),
        }
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: CLIENT_METRICS,
            resource_name: name.to_owned(),
            configs: configs.into(),
        }],
        validate_only: false,
    };
    let response = client.call(1, &request).await;
    assert_eq!(error(response.responses[0].error_code), ErrorCode::None);
}

async fn ask(client: &mut Client, client_instance_id: Uuid) -> GetTelemetrySubscriptionsResponse {
    client.call(0, &GetTelemetrySubscriptionsRequest { client_instance_id }).await
}

/// Asks under a new id until this many metrics are asked for: elsewhere a subscription takes a moment.
async fn asked_for(client: &mut Client, metrics: usize) -> GetTelemetrySubscriptionsResponse {
    for _ in 0..2_000 {
        let response = ask(client, Uuid::ZERO).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        if response.requested_metrics.len() == metrics {
            return response;
        }
    }
    panic!("the subscription is not seen");
}

fn push_of(subscription: &GetTelemetrySubscriptionsResponse) -> PushTelemetryRequest {
    PushTelemetryRequest {
        client_instance_id: subscription.client_instance_id,
        subscription_id: subscription.subscription_id,
        ..PushTelemetryRequest::default()
    }
}

async fn push(client: &mut Client, request: &PushTelemetryRequest) -> ErrorCode {
    error(client.call(0, request).await.error_code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_no_subscription_is_for_gets_an_id_and_nothing_to_push() {
    let _alone = ALONE.lock().await;
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let response = ask(&mut client, Uuid::ZERO).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    assert!(!response.client_instance_id.is_zero());
    assert_eq!(response.accepted_compression_types, [4, 3, 1, 2]);
    let facts = (response.push_interval_ms, response.telemetry_max_bytes, response.delta_temporality);
    assert_eq!(facts, (DEFAULT_INTERVAL_MS, MAX_BYTES, true));
    assert!(response.requested_metrics.is_empty());
    // It keeps the id, asks too early, and pushes nothing.
    let again = ask(&mut client, response.client_instance_id).await;
    assert_eq!(error(again.error_code), ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(push(&mut client, &push_of(&response)).await, ErrorCode::None);
    assert_eq!(push(&mut client, &push_of(&response)).await, ErrorCode::ThrottlingQuotaExceeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_go_by_what_a_client_is() {
    let _alone = ALONE.lock().await;
    let broker = Broker::start().await;
    let mut admin = broker.connect().await;
    let name = unique("usage");
    let mut client = broker.connect().await;
    client.client_id = format!("{name}-7");
    let software = ApiVersionsRequest {
        client_software_name: "tests-of-kafka".to_owned(),
        client_software_version: "1.2.3".to_owned(),
        ..ApiVersionsRequest::default()
    };
    assert_eq!(client.call(3, &software).await.error_code, 0);
    let matching =
        format!("client_id={name}-[0-9],client_software_name=tests-.*,client_source_address=127[.]0[.]0[.]1");
    subscribe(&mut admin, &name, &[("metrics", "a.b,a"), ("interval.ms", "150"), ("match", &matching)]).await;
    let first = asked_for(&mut client, 2).await;
    assert_eq!(first.push_interval_ms, 150);
    assert_eq!(sorted(&first), ["a", "a.b"]);
    // A part of an attribute is not the attribute, and each attribute has to match.
    let mut other = broker.connect().await;
    other.client_id = format!("{name}-77");
    assert_eq!(other.call(3, &software).await.error_code, 0);
    assert!(ask(&mut other, Uuid::ZERO).await.requested_metrics.is_empty());
    other.client_id = format!("{name}-7");
    assert_eq!(asked_for(&mut other, 2).await.push_interval_ms, 150);
    let mut unnamed = broker.connect().await;
    unnamed.client_id = format!("{name}-7");
    assert!(ask(&mut unnamed, Uuid::ZERO).await.requested_metrics.is_empty());

    // Whoever is known sees a change at once, whatever its interval; the id of what it is asked for is another.
    let all = unique("all");
    subscribe(&mut admin, &all, &[("metrics", "*"), ("match", &matching)]).await;
    let changed = asked_for(&mut client, 1).await;
    assert_eq!(
        (changed.requested_metrics.as_slice(), changed.push_interval_ms),
        (&["*".to_owned()][..], 150)
    );
    let known = ask(&mut client, first.client_instance_id).await;
    assert_eq!(error(known.error_code), ErrorCode::None);
    assert_eq!(known.requested_metrics, ["*"]);
    assert_ne!(known.subscription_id, first.subscription_id);
    subscribe(&mut admin, &all, &[]).await;
    subscribe(&mut admin, &name, &[]).await;
    assert_eq!(asked_for(&mut client, 0).await.push_interval_ms, DEFAULT_INTERVAL_MS);
}

fn sorted(response: &GetTelemetrySubscriptionsResponse) -> Vec<&str> {
    let mut names: Vec<&str> = response.requested_metrics.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// The id has to be Kafka's, so that a client may go from one broker to another without asking again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_subscription_is_kafkas() {
    let _alone = ALONE.lock().await;
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    // Seen at Apache Kafka 4.4.
    for (id, expected) in
        [(0x0123_4567_89ab_4def_8123_4567_89ab_cdef_u128, 1_422_384_094), (0x42 << 64, -725_132_388)]
    {
        let response = ask(&mut client, Uuid::from_u128(id)).await;
        assert_eq!(response.client_instance_id, Uuid::from_u128(id));
        assert_eq!(response.subscription_id, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_wrong_is_refused_in_kafkas_words() {
    let _alone = ALONE.lock().await;
    let broker = Broker::start().await;
    let mut cases = Cases::default();
    for (what, change, expected) in [
        ("nothing", (|_| {}) as fn(&mut PushTelemetryRequest), ErrorCode::None),
        ("no id", |push| push.client_instance_id = Uuid::ZERO, ErrorCode::InvalidRequest),
        ("a reserved id", |push| push.client_instance_id = Uuid::METADATA_TOPIC, ErrorCode::InvalidRequest),
        ("another subscription", |push| push.subscription_id ^= 1, ErrorCode::UnknownSubscriptionId),
        ("no codec", |push| push.compression_type = 5, ErrorCode::UnsupportedCompressionType),
        ("a negative codec", |push| push.compression_type = -1, ErrorCode::UnsupportedCompressionType),
        ("too much", |push| push.metrics = vec![0; MAX_BYTES as usize + 1], ErrorCode::TelemetryTooLarge),
    ] {
        let mut client = broker.connect().await;
        let subscription = ask(&mut client, Uuid::ZERO).await;
        let mut request = push_of(&subscription);
        change(&mut request);
        cases.check(what, push(&mut client, &request).await, expected);
        // Two of the errors say that the client has to ask again, so it may.
        let again = match expected {
            ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType => ErrorCode::None,
            _ => ErrorCode::ThrottlingQuotaExceeded,
        };
        let asked = ask(&mut client, subscription.client_instance_id).await;
        cases.check(format!("asked behind {what}"), error(asked.error_code), again);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_push_may_come_early_and_is_the_last() {
    let _alone = ALONE.lock().await;
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let subscription = ask(&mut client, Uuid::ZERO).await;
    let mut request = push_of(&subscription);
    assert_eq!(push(&mut client, &request).await, ErrorCode::None);
    assert_eq!(push(&mut client, &request).await, ErrorCode::ThrottlingQuotaExceeded);
    request.terminating = true;
    assert_eq!(push(&mut client, &request).await, ErrorCode::None);
    assert_eq!(push(&mut client, &request).await, ErrorCode::InvalidRequest);
    // Behind its connection nothing is known of it any more: nor when it pushed.
    drop(client);
    let mut client = broker.connect().await;
    loop {
        match push(&mut client, &request).await {
            ErrorCode::InvalidRequest => tokio::task::yield_now().await,
            other => break assert_eq!(other, ErrorCode::None),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_that_are_none_are_refused() {
    // Kafka looks at them only if it has a plugin that does.
    let Some(broker) = Broker::start_with(&[("telemetry.max.bytes", "1000")]).await else { return };
    let zeros = vec![0; 5_000];
    let mut bomb = Vec::new();
    protocol::compression::compress(protocol::compression::Compression::Zstd, None, &zeros, &mut bomb)
        .unwrap();
    assert!(bomb.len() < 1_000);
    let mut cases = Cases::default();
    for (what, compression_type, metrics, expected) in [
        ("an empty message", 0, vec![0x0a, 0x00], ErrorCode::None),
        ("a field nobody knows", 0, vec![0x7a, 0x01, 0x00], ErrorCode::None),
        ("a length that is not there", 0, vec![0x0a, 0x7f, 0x00], ErrorCode::InvalidRecord),
        ("a length beyond all", 0, vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], ErrorCode::InvalidRecord),
        ("no message", 0, vec![0xff; 100], ErrorCode::InvalidRecord),
        ("no gzip", 1, vec![0x0a, 0x00], ErrorCode::InvalidRecord),
        ("no zstd", 4, vec![0x0a, 0x00], ErrorCode::InvalidRecord),
        ("more than it may be", 4, bomb, ErrorCode::InvalidRecord),
    ] {
        let mut client = broker.connect().await;
        let subscription = ask(&mut client, Uuid::ZERO).await;
        assert_eq!(subscription.telemetry_max_bytes, 1_000);
        let request = PushTelemetryRequest { compression_type, metrics, ..push_of(&subscription) };
        cases.check(what, push(&mut client, &request).await, expected);
    }
}
