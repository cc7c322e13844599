//! Keys of tiered storage (`RemoteLogManagerConfig`).

use crate::def::{ConfigKey, boolean, double, int, long, string};
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    boolean("follower.fetch.last.tiered.offset.enable").or("false").cluster_wide().doc(""),
    long("log.local.retention.bytes").or("-2").at_least(-2).cluster_wide().doc(""),
    long("log.local.retention.ms").or("-2").at_least(-2).cluster_wide().doc(""),
    long("log.remote.copy.lag.bytes").or("-1").at_least(-1).cluster_wide().doc(""),
    long("log.remote.copy.lag.ms").or("0").at_least(-1).cluster_wide().doc(""),
    int("remote.fetch.max.wait.ms").or("500").at_least(1).cluster_wide().doc(""),
    long("remote.list.offsets.request.timeout.ms").or("30000").at_least(1).cluster_wide().doc(""),
    long("remote.log.index.file.cache.total.size.bytes")
        .or("1073741824")
        .low()
        .at_least(1)
        .cluster_wide()
        .doc(""),
    long("remote.log.index.file.cache.ttl.ms").or("900000").low().at_least(-1).internal().doc(""),
    int("remote.log.manager.copier.thread.pool.size").or("10").at_least(1).cluster_wide().doc(""),
    long("remote.log.manager.copy.max.bytes.per.second")
        .or("9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .doc(""),
    int("remote.log.manager.copy.quota.window.num").or("11").at_least(1).doc(""),
    int("remote.log.manager.copy.quota.window.size.seconds").or("1").at_least(1).doc(""),
    int("remote.log.manager.expiration.thread.pool.size").or("10").at_least(1).cluster_wide().doc(""),
    long("remote.log.manager.fetch.max.bytes.per.second")
        .or("9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .doc(""),
    int("remote.log.manager.fetch.quota.window.num").or("11").at_least(1).doc(""),
    int("remote.log.manager.fetch.quota.window.size.seconds").or("1").at_least(1).doc(""),
    int("remote.log.manager.follower.thread.pool.size").or("2").at_least(1).cluster_wide().doc(""),
    long("remote.log.manager.task.interval.ms").or("30000").low().at_least(1).doc(""),
    long("remote.log.manager.task.retry.backoff.max.ms").or("30000").low().at_least(1).internal().doc(""),
    long("remote.log.manager.task.retry.backoff.ms").or("500").low().at_least(1).internal().doc(""),
    double("remote.log.manager.task.retry.jitter")
        .or("0.2")
        .low()
        .valid(Validator::BetweenDouble(0.0, 0.5))
        .internal()
        .doc(""),
    int("remote.log.manager.thread.pool.size").or("2").at_least(1).doc(""),
    int("remote.log.metadata.custom.metadata.max.bytes").or("128").low().at_least(0).doc(""),
    string("remote.log.metadata.manager.class.name")
        .or("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager")
        .valid(Validator::NonEmptyString)
        .doc(""),
    string("remote.log.metadata.manager.class.path").or_null().doc(""),
    string("remote.log.metadata.manager.impl.prefix")
        .or("rlmm.config.")
        .valid(Validator::NonEmptyString)
        .doc(""),
    string("remote.log.metadata.manager.listener.name").or_null().valid(Validator::NonEmptyString).doc(""),
    int("remote.log.reader.max.pending.tasks").or("100").at_least(1).doc(""),
    int("remote.log.reader.threads").or("10").at_least(1).cluster_wide().doc(""),
    string("remote.log.storage.manager.class.name").or_null().valid(Validator::NonEmptyString).doc(""),
    string("remote.log.storage.manager.class.path").or_null().doc(""),
    string("remote.log.storage.manager.impl.prefix")
        .or("rsm.config.")
        .valid(Validator::NonEmptyString)
        .doc(""),
    boolean("remote.log.storage.system.enable").or("false").doc(""),
];
