use metadata::ConfigResource;
use protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, IncrementalAlterConfigsRequest, alter_configs_request,
};

use super::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

fn alter(
    cluster: &mut Cluster,
    resource: (i8, &str),
    ops: &[(&str, i8, Option<&str>)],
) -> (ErrorCode, String) {
    let configs = ops.iter().map(|(name, config_operation, value)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
    });
    let resource = AlterConfigsResource {
        resource_type: resource.0,
        resource_name: resource.1.to_owned(),
        configs: configs.collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let context = cluster.context(1);
    let result = cluster.controller.incremental_alter_configs(&context, &request);
    let response = cluster.commit(result);
    let response = &response.responses[0];
    (ErrorCode::from_code(response.error_code), response.error_message.clone().unwrap_or_default())
}

fn value(cluster: &Cluster, resource: ConfigResource, key: &str) -> Option<String> {
    cluster.image().configs.value(&resource, key).map(str::to_owned)
}

#[test]
fn single_configs_are_set_appended_to_and_removed() {
    let mut cluster = Cluster::of(1);
    cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    let topic = (TOPIC, "topic");
    let good = (ErrorCode::None, String::new());
    assert_eq!(
        alter(
            &mut cluster,
            topic,
            &[("retention.ms", 0, Some("5000")), ("segment.bytes", 0, Some("1048576"))]
        ),
        good
    );
    assert_eq!(alter(&mut cluster, topic, &[("cleanup.policy", 2, Some("compact"))]), good);
    let of_topic = || ConfigResource::topic("topic");
    assert_eq!(value(&cluster, of_topic(), "cleanup.policy").as_deref(), Some("delete,compact"));
    assert_eq!(alter(&mut cluster, topic, &[("cleanup.policy", 3, Some("delete"))]), good);
    assert_eq!(value(&cluster, of_topic(), "cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(alter(&mut cluster, topic, &[("retention.ms", 1, None)]), good);
    assert_eq!(value(&cluster, of_topic(), "retention.ms"), None);
    assert_eq!(value(&cluster, of_topic(), "segment.bytes").as_deref(), Some("1048576"));
    let length = cluster.log.len();
    assert_eq!(alter(&mut cluster, topic, &[("segment.bytes", 0, Some("1048576"))]), good);
    assert_eq!(cluster.log.len(), length, "what is so already makes no record");
    cluster.assert_replay_is_complete();
}

#[test]
fn changes_that_cannot_be_are_refused_in_kafkas_words() {
    let mut cluster = Cluster::of(1);
    cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    let set = |name: &'static str, text: &'static str| [(name, 0, Some(text))];
    assert_eq!(
        alter(&mut cluster, (TOPIC, "topic"), &[("retention.ms", 2, Some("1"))]),
        (
            ErrorCode::InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.".to_owned()
        )
    );
    assert_eq!(
        alter(&mut cluster, (TOPIC, "topic"), &set("retention.ms", "soon")).0,
        ErrorCode::InvalidConfig
    );
    assert_eq!(
        alter(&mut cluster, (TOPIC, "missing"), &set("retention.ms", "1")),
        (ErrorCode::UnknownTopicOrPartition, "The topic 'missing' does not exist.".to_owned())
    );
    assert_eq!(
        alter(&mut cluster, (TOPIC, ""), &set("retention.ms", "1")),
        (ErrorCode::InvalidRequest, "Default topic resources are not allowed.".to_owned())
    );
    assert_eq!(
        alter(&mut cluster, (BROKER, "one"), &set("log.cleaner.threads", "1")),
        (ErrorCode::InvalidRequest, "Unable to parse broker name as a base 10 number.".to_owned())
    );
    assert_eq!(
        alter(&mut cluster, (BROKER, "-1"), &set("log.cleaner.threads", "1")),
        (ErrorCode::InvalidRequest, "Invalid negative broker ID.".to_owned())
    );
    assert_eq!(
        alter(&mut cluster, (BROKER, "77"), &set("log.cleaner.threads", "1")),
        (ErrorCode::BrokerIdNotRegistered, "No node with id 77 found.".to_owned())
    );
    assert_eq!(
        alter(&mut cluster, (BROKER, "0"), &set("min.insync.replicas", "1")),
        (
            ErrorCode::InvalidConfig,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.".to_owned()
        )
    );
    assert_eq!(
        alter(&mut cluster, (BROKER, ""), &[("min.insync.replicas", 1, None)]),
        (
            ErrorCode::InvalidConfig,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.".to_owned()
        )
    );
    assert_eq!(alter(&mut cluster, (GROUP, "readers"), &set("no.such", "1")).0, ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut cluster, (7, "what"), &set("a", "1")).0, ErrorCode::UnsupportedVersion);
    assert_eq!(
        alter(&mut cluster, (GROUP, "readers"), &set("consumer.session.timeout.ms", "50000")).0,
        ErrorCode::None
    );
    assert_eq!(
        alter(&mut cluster, (CLIENT_METRICS, "basics"), &set("interval.ms", "60000")).0,
        ErrorCode::None
    );
    assert_eq!(alter(&mut cluster, (BROKER, "0"), &set("log.cleaner.threads", "2")).0, ErrorCode::None);
    let context = cluster.context(1);
    let resource =
        AlterConfigsResource { resource_type: TOPIC, resource_name: "topic".to_owned(), configs: vec![] };
    let twice =
        IncrementalAlterConfigsRequest { resources: vec![resource.clone(), resource], validate_only: false };
    let response = cluster.controller.incremental_alter_configs(&context, &twice).response;
    assert_eq!(response.responses.len(), 1);
    assert_eq!(response.responses[0].error_message.as_deref(), Some("Duplicate resource."));
    cluster.assert_replay_is_complete();
}

#[test]
fn defaults_of_all_brokers_reach_topics() {
    let mut cluster = Cluster::of(3);
    assert_eq!(
        alter(&mut cluster, (BROKER, ""), &[("min.insync.replicas", 0, Some("2"))]).0,
        ErrorCode::None
    );
    assert!(matches!(cluster.log.last(), Some((MetadataRecord::ClearElr(_), 0))));
    assert_eq!(cluster.controller.state.configs.min_insync_replicas("any"), 2);
    let response = cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    let configs = response.topics[0].configs.as_ref().unwrap();
    let min_isr = configs.iter().find(|config| config.name == "min.insync.replicas").unwrap();
    assert_eq!((min_isr.value.as_deref(), min_isr.config_source), (Some("2"), 3));
}

#[test]
fn the_old_request_replaces_the_whole_set() {
    let mut cluster = Cluster::of(1);
    cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    alter(
        &mut cluster,
        (TOPIC, "topic"),
        &[("retention.ms", 0, Some("5000")), ("segment.bytes", 0, Some("1048576"))],
    );
    let config = alter_configs_request::AlterableConfig {
        name: "retention.ms".to_owned(),
        value: Some("7000".to_owned()),
    };
    let resource = alter_configs_request::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "topic".to_owned(),
        configs: vec![config],
    };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
    let context = cluster.context(2);
    let dry = AlterConfigsRequest { validate_only: true, ..request.clone() };
    assert!(cluster.controller.alter_configs(&context, &dry).records.is_empty());
    let result = cluster.controller.alter_configs(&context, &request);
    assert_eq!(cluster.commit(result).responses[0].error_code, 0);
    assert_eq!(value(&cluster, ConfigResource::topic("topic"), "retention.ms").as_deref(), Some("7000"));
    assert_eq!(value(&cluster, ConfigResource::topic("topic"), "segment.bytes"), None);
}

fn quota(
    cluster: &mut Cluster,
    entity: &[(&str, Option<&str>)],
    ops: &[(&str, Option<f64>)],
) -> (ErrorCode, String) {
    let entity = entity.iter().map(|(kind, name)| EntityData {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
    });
    let ops = ops.iter().map(|(key, value)| OpData {
        key: (*key).to_owned(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    });
    let entry = EntryData { entity: entity.collect(), ops: ops.collect() };
    let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
    let result = cluster.controller.alter_client_quotas(&request);
    let response = cluster.commit(result);
    let entry = &response.entries[0];
    (ErrorCode::from_code(entry.error_code), entry.error_message.clone().unwrap_or_default())
}

#[test]
fn quotas_are_set_changed_and_removed() {
    let mut cluster = Cluster::of(1);
    let good = (ErrorCode::None, String::new());
    let alice: &[(&str, Option<&str>)] = &[("user", Some("alice"))];
    let rates = [("producer_byte_rate", Some(1000.0)), ("consumer_byte_rate", Some(2000.0))];
    assert_eq!(quota(&mut cluster, alice, &rates), good);
    let length = cluster.log.len();
    assert_eq!(quota(&mut cluster, alice, &rates), good);
    assert_eq!(cluster.log.len(), length, "what is so already makes no record");
    assert_eq!(
        quota(&mut cluster, alice, &[("producer_byte_rate", None), ("request_percentage", None)]),
        good
    );
    assert_eq!(cluster.log.len(), length + 1);
    assert_eq!(
        quota(
            &mut cluster,
            &[("user", None), ("client-id", Some("app"))],
            &[("request_percentage", Some(12.5))]
        ),
        good
    );
    assert_eq!(
        quota(&mut cluster, &[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", Some(10.0))]),
        good
    );
    assert_eq!(cluster.image().client_quotas.entities.len(), 3);
    let mut refused = |entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]| {
        let (error, message) = quota(&mut cluster, entity, ops);
        assert_eq!(error, ErrorCode::InvalidRequest);
        message
    };
    assert_eq!(
        refused(alice, &[("consumer_byte_rate", Some(0.5))]),
        "consumer_byte_rate cannot be a fractional value."
    );
    assert_eq!(
        refused(alice, &[("consumer_byte_rate", Some(-1.0))]),
        "Quota consumer_byte_rate must be greater than 0"
    );
    assert_eq!(refused(alice, &[("no_such_rate", Some(1.0))]), "Invalid configuration key no_such_rate");
    assert_eq!(refused(&[], &rates), "Invalid empty client quota entity");
    assert_eq!(refused(&[("planet", Some("mars"))], &rates), "Unhandled client quota entity type: planet");
    assert_eq!(refused(&[("user", Some(""))], &rates), "Empty user not supported");
    let ip = [("ip", Some("10.0.0.1")), ("user", Some("alice"))];
    assert!(refused(&ip, &rates).starts_with("Invalid quota entity combination"));
    cluster.assert_replay_is_complete();
}
