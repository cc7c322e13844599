//! Keys of the roles, the quorum and the metadata log (`KRaftConfigs`, `QuorumConfig`, `MetadataLogConfig`).

use crate::def::{ConfigKey, boolean, int, list, long, string};
use crate::keys::NON_EMPTY_SET;
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    int("broker.heartbeat.interval.ms").or("2000").doc(""),
    int("broker.session.timeout.ms").or("9000").doc(""),
    list("controller.listener.names").high().valid(NON_EMPTY_SET).doc(""),
    long("controller.performance.always.log.threshold.ms").or("2000").at_least(0).internal().doc(""),
    long("controller.performance.sample.period.ms").or("60000").at_least(100).internal().doc(""),
    int("controller.quorum.append.linger.ms").or("25").at_least(0).doc(""),
    boolean("controller.quorum.auto.join.enable").or("false").low().doc(""),
    list("controller.quorum.bootstrap.servers").or("").high().valid(Validator::BootstrapServers).doc(""),
    int("controller.quorum.election.backoff.max.ms").or("1000").high().at_least(0).doc(""),
    int("controller.quorum.election.timeout.ms").or("1000").high().at_least(0).doc(""),
    int("controller.quorum.fetch.max.bytes").or("1048576").low().at_least(1).doc(""),
    int("controller.quorum.fetch.snapshot.max.bytes").or("1048576").low().at_least(1).doc(""),
    int("controller.quorum.fetch.timeout.ms").or("2000").high().at_least(0).doc(""),
    int("controller.quorum.request.timeout.ms").or("2000").at_least(0).doc(""),
    int("controller.quorum.retry.backoff.ms").or("20").low().at_least(0).doc(""),
    list("controller.quorum.voters").or("").high().valid(Validator::QuorumVoters).doc(""),
    int("controller.socket.timeout.ms").or("30000").doc(""),
    int("initial.broker.registration.timeout.ms").or("60000").doc(""),
    long("internal.metadata.delete.delay.millis").or("60000").low().internal().doc(""),
    int("internal.metadata.log.segment.bytes").or_null().low().internal().doc(""),
    int("internal.metadata.max.batch.size.in.bytes").or("8388608").low().internal().doc(""),
    string("metadata.log.dir").or_null().high().doc(""),
    long("metadata.log.max.record.bytes.between.snapshots").or("20971520").high().at_least(1).doc(""),
    long("metadata.log.max.snapshot.interval.ms").or("3600000").high().at_least(0).doc(""),
    int("metadata.log.segment.bytes").or("1073741824").high().at_least(8388608).doc(""),
    long("metadata.log.segment.ms").or("604800000").high().doc(""),
    int("metadata.max.idle.interval.ms").or("500").low().at_least(0).doc(""),
    long("metadata.max.retention.bytes").or("104857600").high().doc(""),
    long("metadata.max.retention.ms").or("604800000").high().doc(""),
    int("node.id").high().at_least(0).doc(""),
    list("process.roles")
        .high()
        .valid(Validator::List { of: &["broker", "controller"], may_be_empty: false })
        .doc(""),
    long("server.max.startup.time.ms").or("9223372036854775807").at_least(0).internal().doc(""),
    boolean("unstable.api.versions.enable").or("false").high().internal().doc(""),
    boolean("unstable.feature.versions.enable").or("false").high().internal().doc(""),
];
