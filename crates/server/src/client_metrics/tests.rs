use std::collections::{BTreeMap, BTreeSet};

use common::{ErrorCode, Uuid};
use protocol::compression::{Compression, decompress};
use protocol::messages::PushTelemetryRequest;

use super::instances::{Instance, Instances};
use super::otlp::{Attributes, MetricsData, Value};
use super::{ClientAttributes, ClientMetrics, PushedMetrics, Subscription, report};

/// What a producer of Apache Kafka 4.3.1 pushed, as `client_id=perf-x`, for the metrics `org.apache.kafka.producer.`.
const JAVA_PRODUCER: &[u8] = include_bytes!("../../tests/vectors/java-producer-metrics.zst");

/// How many values that are: each of its metrics has one.
const JAVA_VALUES: usize = 106;

const CLIENT: ClientAttributes<'static> = ClientAttributes {
    id: "app",
    software_name: "apache-kafka-java",
    software_version: "4.3.1",
    address: "127.0.0.1",
    port: "50000",
};

fn subscription(metrics: &[&str]) -> Subscription {
    let metrics = metrics.iter().map(|name| (*name).to_owned()).collect();
    Subscription { id: 1, interval_ms: 1_000, metrics }
}

fn push_of(metrics: &[u8]) -> PushTelemetryRequest {
    PushTelemetryRequest { metrics: metrics.to_vec(), ..PushTelemetryRequest::default() }
}

#[test]
fn what_a_java_producer_pushes_is_read() {
    use prost::Message;
    let bytes = decompress(Compression::Zstd, JAVA_PRODUCER, 1 << 20).unwrap();
    let data = MetricsData::decode(bytes.as_slice()).unwrap();
    let scopes = data.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut values = BTreeMap::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        metric.for_each(|attributes, value| {
            values.insert((metric.name.as_str(), Attributes(attributes).to_string()), value);
        });
    }
    assert_eq!(values.len(), JAVA_VALUES);
    for name in ["request.rate", "io.ratio", "record.queue.time.avg", "connection.count"] {
        let name = format!("org.apache.kafka.producer.{name}");
        assert!(values.contains_key(&(name.as_str(), String::new())), "{name}");
    }
    let rate = values[&("org.apache.kafka.producer.node.request.rate", "node_id=node-1".to_owned())];
    assert!(matches!(rate, Value::Double(rate) if rate > 0.0), "{rate}");
}

#[test]
fn only_what_was_asked_for_is_reported() {
    let push = push_of(JAVA_PRODUCER);
    let count =
        |metrics| report(&push, Compression::Zstd, &subscription(metrics), "app", 1 << 20, None).unwrap();
    assert_eq!(count(&["*"]), JAVA_VALUES);
    assert_eq!(count(&["org.apache.kafka.producer."]), JAVA_VALUES);
    assert_eq!(count(&[]), 0);
    assert_eq!(count(&["org.apache.kafka.consumer."]), 0);
    assert_eq!(count(&["org.apache.kafka.producer.io.ratio"]), 1);
}

#[test]
fn a_damaged_push_is_refused_and_no_more() {
    let bytes = decompress(Compression::Zstd, JAVA_PRODUCER, 1 << 20).unwrap();
    let all = subscription(&["*"]);
    for cut in 0..bytes.len() {
        // Cut at the end of a field it is a shorter message.
        let _ = report(&push_of(&bytes[..cut]), Compression::None, &all, "app", 1 << 20, None);
        let mut damaged = bytes.clone();
        damaged[cut] ^= 0xff;
        let _ = report(&push_of(&damaged), Compression::None, &all, "app", 1 << 20, None);
    }
    let cut = push_of(&JAVA_PRODUCER[..JAVA_PRODUCER.len() / 2]);
    assert!(report(&cut, Compression::Zstd, &all, "app", 1 << 20, None).is_err());
    assert!(report(&push_of(JAVA_PRODUCER), Compression::Zstd, &all, "app", 100, None).is_err());
}

#[test]
fn what_would_break_a_line_of_the_log_is_escaped() {
    use super::otlp::{AnyValue, KeyValue, Scalar};
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Scalar::String(value.to_owned())) }),
    };
    let attributes = [attribute("a\nb", "1"), attribute("c", "\u{1b}[31m")];
    assert_eq!(Attributes(&attributes).to_string(), "a\\nb=1,c=\\u{1b}[31m");
}

#[test]
fn clients_beyond_the_limit_take_the_place_of_those_seen_longest_ago() {
    let id = |number: u128| Uuid::from_u128(1_000 + number);
    let mut instances = Instances::new(3);
    let see = |instances: &mut Instances, number, now_ms| {
        let mut is_new = false;
        instances.get_or_insert(id(number), 0, now_ms, || {
            is_new = true;
            Instance::new(subscription(&[]), 0)
        });
        is_new
    };
    for number in [1, 2, 3] {
        assert!(see(&mut instances, number, 0));
    }
    assert!(!see(&mut instances, 1, 1));
    assert!(see(&mut instances, 4, 2));
    assert_eq!(instances.len(), 3);
    assert!(!see(&mut instances, 1, 3) && !see(&mut instances, 3, 3));
    assert!(see(&mut instances, 2, 3));
    // Nobody is kept for longer than a minute of silence, and everybody that long.
    assert!(!see(&mut instances, 2, 60_002));
    assert!(see(&mut instances, 1, 60_003));
    assert_eq!(instances.len(), 2);
}

#[test]
fn an_interval_is_kept_and_a_change_of_the_subscriptions_ends_it() {
    let metrics = ClientMetrics::new(1_000);
    let id = Uuid::from_u128(77);
    let now = 1_000_000;
    let ask = |now_ms| metrics.subscription(id, &CLIENT, now_ms);
    let first = ask(now).unwrap();
    assert_eq!((first.interval_ms, first.metrics.clone()), (300_000, BTreeSet::new()));
    let push = PushTelemetryRequest {
        client_instance_id: id,
        subscription_id: first.id,
        ..PushTelemetryRequest::default()
    };
    let check = |push: &PushTelemetryRequest, now_ms| metrics.check_push(push, &CLIENT, now_ms).map(drop);
    assert_eq!(check(&push, now + 1), Ok(()));
    assert_eq!(check(&push, now + 300_000), Err(ErrorCode::ThrottlingQuotaExceeded));
    assert_eq!(ask(now + 300_000), Err(ErrorCode::ThrottlingQuotaExceeded));
    assert_eq!(check(&push, now + 300_001), Ok(()));
    let keys = BTreeMap::from([
        ("interval.ms".to_owned(), "100".to_owned()),
        ("metrics".to_owned(), "a".to_owned()),
    ]);
    let config = config::ClientMetricsConfig::resolve(&keys).unwrap();
    metrics.set_subscriptions(BTreeMap::from([("s".to_owned(), config)]));
    // The push is of what was asked for before, so the client asks, at once.
    assert_eq!(check(&push, now + 300_002), Err(ErrorCode::UnknownSubscriptionId));
    let second = ask(now + 300_002).unwrap();
    assert_eq!((second.interval_ms, second.metrics.len()), (100, 1));
    assert_ne!(second.id, first.id);
}

/// A push of sums: name, value, whether it is what came since the last one, and the name of a label.
fn push_of_sums(client_instance_id: Uuid, sums: &[(&str, i64, bool, &str)]) -> PushTelemetryRequest {
    use super::otlp::*;
    use prost::Message;
    let metrics = sums.iter().map(|(name, value, is_delta, label)| Metric {
        name: (*name).to_owned(),
        data: Some(Data::Sum(Numbers {
            data_points: vec![NumberDataPoint {
                attributes: vec![KeyValue { key: (*label).to_owned(), value: None }],
                value: Some(Number::Int(*value)),
            }],
            aggregation_temporality: if *is_delta { 1 } else { 2 },
            is_monotonic: true,
        })),
    });
    let scope = ScopeMetrics { metrics: metrics.collect() };
    let data = MetricsData {
        resource_metrics: vec![ResourceMetrics { resource: None, scope_metrics: vec![scope] }],
    };
    PushTelemetryRequest { client_instance_id, ..push_of(&data.encode_to_vec()) }
}

fn take(pushed: &PushedMetrics, push: &PushTelemetryRequest, now_ms: i64) {
    let all = subscription(&["*"]);
    report(push, Compression::None, &all, "app", 1 << 20, Some((pushed, now_ms))).unwrap();
}

#[test]
fn sums_of_what_came_since_the_last_push_add_up_and_silent_clients_are_forgotten() {
    let pushed = PushedMetrics::default();
    let id = Uuid::from_u128(7);
    let push = push_of_sums(id, &[("org.apache.kafka.a.total", 5, true, "le"), ("b-total!", 5, false, "9")]);
    take(&pushed, &push, 0);
    take(&pushed, &push, 1);
    let families = pushed.families(2);
    let names: Vec<&str> = families.keys().map(String::as_str).collect();
    assert_eq!(names, ["kafka_client_a", "kafka_client_b_total_"]);
    let value = |name: &str| (families[name].is_counter, families[name].values[0].1);
    assert_eq!(value("kafka_client_a"), (true, 10.0));
    assert_eq!(value("kafka_client_b_total_"), (true, 5.0));
    let labels = &families["kafka_client_a"].values[0].0;
    assert_eq!(labels[2], ("client_label_le".to_owned(), String::new()));
    assert_eq!(families["kafka_client_b_total_"].values[0].0[2].0, "label_9");
    // An interval is a second, and a minute is the least.
    assert_eq!(pushed.families(60_000).len(), 2);
    assert_eq!(pushed.families(60_001).len(), 0);
}

#[test]
fn what_clients_push_has_a_limit() {
    let pushed = PushedMetrics::default();
    let names: Vec<String> = (0..600).map(|number| format!("metric.{number}")).collect();
    let sums: Vec<(&str, i64, bool, &str)> =
        names.iter().map(|name| (name.as_str(), 1, false, "x")).collect();
    let kept = || pushed.families(0).values().map(|family| family.values.len()).sum::<usize>();
    for client in 1..=50 {
        take(&pushed, &push_of_sums(Uuid::from_u128(client), &sums), 0);
        assert_eq!(kept(), (client as usize * 500).min(20_000));
    }
    pushed.forget(Uuid::from_u128(1));
    assert_eq!(kept(), 19_500);
    // There is room again.
    take(&pushed, &push_of_sums(Uuid::from_u128(99), &sums), 0);
    assert_eq!(kept(), 20_000);
}
