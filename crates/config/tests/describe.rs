//! `DescribeConfigs` and `IncrementalAlterConfigs` against a running Apache Kafka 4.4 (`tests/vectors`).

use std::collections::BTreeMap;

use common::ErrorCode;
use config::alter::{self, Op, Operation, ResourceType};
use config::describe::{self, ConfigEntry, ConfigSource};
use config::{BrokerConfig, Environment, Properties};

/// The file of the broker that was asked.
const FILE: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:19493
listeners=PLAINTEXT://127.0.0.1:19492,CONTROLLER://127.0.0.1:19493
advertised.listeners=PLAINTEXT://127.0.0.1:19492,CONTROLLER://127.0.0.1:19493
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=/data/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.hours=24
num.partitions=2
sasl.jaas.config=secret
listener.name.foo.ssl.keystore.location=/x
my.plugin.key=v
";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn static_broker() -> BrokerConfig {
    let properties = Properties::parse(FILE.as_bytes(), "server.properties").unwrap();
    BrokerConfig::from_properties(&properties, Environment::default()).unwrap().0
}

/// With the dynamic changes that the broker had.
fn broker() -> BrokerConfig {
    let default = map(&[
        ("log.segment.bytes", "3145728"),
        ("num.io.threads", "6"),
        ("message.max.bytes", "2000000"),
        ("follower.replication.throttled.rate", "1000"),
        ("my.custom.key", "x"),
        ("min.insync.replicas", "1"),
    ]);
    let own = map(&[
        ("log.retention.ms", "99999999"),
        ("num.io.threads", "5"),
        ("log.cleaner.threads", "2"),
        ("leader.replication.throttled.rate", "1000"),
    ]);
    static_broker().with_dynamic(default, own).unwrap()
}

fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::DynamicTopicConfig => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBrokerConfig => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBrokerConfig => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBrokerConfig => "STATIC_BROKER_CONFIG",
        ConfigSource::DefaultConfig => "DEFAULT_CONFIG",
        ConfigSource::ClientMetricsConfig => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::GroupConfig => "DYNAMIC_GROUP_CONFIG",
        ConfigSource::Unknown | ConfigSource::DynamicBrokerLoggerConfig => "-",
    }
}

fn type_name(code: i8) -> &'static str {
    ["UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"]
        [code as usize]
}

fn line(resource: &str, name: &str, entry: &ConfigEntry) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "<null>".to_owned());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|synonym| format!("{}={}={}", synonym.name, text(&synonym.value), source_name(synonym.source)))
        .collect();
    [
        resource,
        name,
        &entry.name,
        &text(&entry.value),
        source_name(entry.source),
        &entry.is_default().to_string(),
        &entry.is_sensitive.to_string(),
        &entry.read_only.to_string(),
        type_name(entry.config_type),
        &synonyms.join("|"),
    ]
    .join("\t")
}

#[test]
fn each_resource_is_described_as_apache_describes_it() {
    let config = broker();
    let topic = map(&[
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "1234567"),
        ("segment.bytes", "2097152"),
    ]);
    let group = map(&[("consumer.session.timeout.ms", "50000")]);
    let metrics = map(&[("interval.ms", "1000"), ("metrics", "a.b,c")]);
    let mut ours: Vec<String> = Vec::new();
    for (resource, name, entries) in [
        ("BROKER", "1", describe::broker(&config, None)),
        ("BROKER", "", describe::broker_defaults(&config, None)),
        ("TOPIC", "described", describe::topic(&config, &topic, None).unwrap()),
        ("GROUP", "g", describe::group(&config, &group, None).unwrap()),
        ("CLIENT_METRICS", "c", describe::client_metrics(&metrics, None).unwrap()),
    ] {
        ours.extend(entries.iter().map(|entry| line(resource, name, entry)));
    }
    // The default of this map comes in another order with each run of Apache.
    let map_default = |line: &str| {
        line.replace("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", "<all>")
    };
    let theirs: Vec<String> =
        include_str!("vectors/apache-4.4-describe.tsv").lines().skip(1).map(map_default).collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(
            ours.replace(
                "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
                "<all>"
            ),
            *theirs
        );
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn only_the_names_asked_for_are_described() {
    let names = ["num.io.threads".to_owned(), "no.such.key".to_owned()];
    let entries = describe::broker(&broker(), Some(&names));
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["num.io.threads"]);
    assert_eq!(entries[0].value.as_deref(), Some("5"));
    assert!(entries[0].documentation.is_some());
}

fn op(name: &str, operation: Operation, value: Option<&str>) -> Op {
    Op { name: name.to_owned(), operation, value: value.map(str::to_owned) }
}

#[test]
fn operations_set_delete_append_and_subtract() {
    let current = map(&[("retention.ms", "1"), ("cleanup.policy", "delete")]);
    let apply = |ops: &[Op]| alter::apply_ops(ResourceType::Topic, &current, ops);
    assert_eq!(
        apply(&[op("retention.ms", Operation::Delete, None), op("segment.ms", Operation::Set, Some("5"))])
            .unwrap(),
        map(&[("segment.ms", "5"), ("cleanup.policy", "delete")])
    );
    let appended = apply(&[op("cleanup.policy", Operation::Append, Some("compact,delete"))]).unwrap();
    assert_eq!(appended["cleanup.policy"], "delete,compact");
    let subtracted = apply(&[op("cleanup.policy", Operation::Subtract, Some("delete,compact"))]).unwrap();
    assert_eq!(subtracted["cleanup.policy"], "");
    // What is not set begins with its default.
    let broker = alter::apply_ops(
        ResourceType::Broker,
        &map(&[]),
        &[op("log.cleanup.policy", Operation::Append, Some("compact"))],
    );
    assert_eq!(broker.unwrap()["log.cleanup.policy"], "delete,compact");
    assert_eq!(apply(&[op("foo", Operation::Delete, None)]).unwrap(), current);
}

#[test]
fn operations_are_refused_as_apache_refuses_them() {
    let apply = |resource, ops: &[Op]| alter::apply_ops(resource, &map(&[]), ops).unwrap_err();
    assert_eq!(
        apply(ResourceType::Topic, &[op("retention.ms", Operation::Append, Some("5"))]),
        (
            ErrorCode::InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.".to_owned()
        )
    );
    assert_eq!(
        apply(ResourceType::Topic, &[op("foo", Operation::Subtract, Some("1"))]),
        (ErrorCode::InvalidConfig, "Can't SUBTRACT to key foo because its type is not LIST.".to_owned())
    );
    assert_eq!(
        apply(ResourceType::Group, &[op("streams.rack.aware.assignment.tags", Operation::Append, Some("a"))])
            .0,
        ErrorCode::InvalidConfig
    );
    assert_eq!(
        apply(
            ResourceType::Topic,
            &[op("retention.ms", Operation::Set, None), op("segment.ms", Operation::Append, None)]
        ),
        (ErrorCode::InvalidRequest, "Null value not supported for : retention.ms, segment.ms".to_owned())
    );
    let twice = [op("retention.ms", Operation::Set, Some("1")), op("retention.ms", Operation::Delete, None)];
    assert_eq!(
        apply(ResourceType::Topic, &twice),
        (ErrorCode::InvalidRequest, "Error due to duplicate config keys".to_owned())
    );
    assert_eq!(Operation::from_code(9).unwrap_err().1, "Unknown operations type 9");
}

#[test]
fn resources_are_validated_as_apache_validates_them() {
    let config = static_broker();
    let check = |resource, name: &str, overrides: &[(&str, &str)]| {
        alter::validate(&config, resource, name, &map(&[]), &map(overrides))
    };
    assert_eq!(check(ResourceType::Topic, "t", &[("retention.ms", "-1")]), Ok(()));
    assert_eq!(
        check(ResourceType::Topic, "t", &[("retention.ms", "-2")]),
        Err((
            ErrorCode::InvalidConfig,
            "Invalid value -2 for configuration retention.ms: Value must be at least -1".to_owned()
        ))
    );
    assert_eq!(
        check(ResourceType::Topic, "", &[]),
        Err((ErrorCode::InvalidRequest, "Default topic resources are not allowed.".to_owned()))
    );
    assert_eq!(
        check(ResourceType::Group, "", &[]),
        Err((ErrorCode::InvalidRequest, "Default group resources are not allowed.".to_owned()))
    );
    assert_eq!(
        check(ResourceType::ClientMetrics, "", &[]),
        Err((ErrorCode::InvalidRequest, "Subscription name can't be empty".to_owned()))
    );
    assert_eq!(check(ResourceType::Broker, "", &[]), Ok(()));
    assert_eq!(
        check(ResourceType::Broker, "x", &[]),
        Err((ErrorCode::InvalidRequest, "Unable to parse broker name as a base 10 number.".to_owned()))
    );
    assert_eq!(check(ResourceType::Broker, "-1", &[]).unwrap_err().1, "Invalid negative broker ID.");
}

#[test]
fn a_dynamic_change_takes_effect_and_a_bad_one_does_not() {
    let config = broker();
    assert_eq!(config.network.num_io_threads, 5);
    let defaults = config.topic_defaults.config();
    assert_eq!((defaults.retention_ms, defaults.segment_bytes), (99_999_999, 3_145_728));
    assert_eq!(static_broker().topic_defaults.config().retention_ms, 24 * 3_600_000);
    let refused =
        alter::validate_broker_change(&config, true, &map(&[("log.retention.ms", "0")])).unwrap_err();
    assert_eq!(refused.1, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
}
