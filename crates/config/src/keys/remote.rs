//! Keys of tiered storage (`RemoteLogManagerConfig`).

use crate::def::{ConfigKey, boolean, double, int, long, string};
use crate::keys::NO_TIERING;
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    boolean("follower.fetch.last.tiered.offset.enable").or("false").cluster_wide().no_effect(NO_TIERING)
        .doc("An empty follower starts behind what is tiered, instead of copying all of it (KIP-1023)."),
    long("log.local.retention.bytes").or("-2").at_least(-2).cluster_wide().no_effect(NO_TIERING)
        .doc("Bytes of a tiered partition that stay on local disk; -2 means as retention."),
    long("log.local.retention.ms").or("-2").at_least(-2).cluster_wide().no_effect(NO_TIERING)
        .doc("How long segments of a tiered partition stay on local disk; -2 means as retention."),
    long("log.remote.copy.lag.bytes").or("-1").at_least(-1).cluster_wide().no_effect(NO_TIERING)
        .doc("A segment is copied to remote storage once this many bytes came after it; -1 to go by time alone (KIP-1241)."),
    long("log.remote.copy.lag.ms").or("0").at_least(-1).cluster_wide().no_effect(NO_TIERING)
        .doc("A segment is copied to remote storage once it is this old; 0 at once, -1 to go by size alone (KIP-1241)."),
    int("remote.fetch.max.wait.ms").or("500").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Longest wait for remote data before a Fetch is answered."),
    long("remote.list.offsets.request.timeout.ms").or("30000").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Longest wait for a lookup of offsets in remote storage."),
    long("remote.log.index.file.cache.total.size.bytes").or("1073741824").low().at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Local disk for index files from remote storage."),
    long("remote.log.index.file.cache.ttl.ms").or("900000").low().at_least(-1).internal().no_effect(NO_TIERING)
        .doc("How long an unused index file stays in that cache; -1 for no limit."),
    int("remote.log.manager.copier.thread.pool.size").or("10").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Threads that copy segments to remote storage."),
    long("remote.log.manager.copy.max.bytes.per.second").or("9223372036854775807").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Bytes per second that the broker copies to remote storage."),
    int("remote.log.manager.copy.quota.window.num").or("11").at_least(1).no_effect(NO_TIERING)
        .doc("Windows kept to measure copying."),
    int("remote.log.manager.copy.quota.window.size.seconds").or("1").at_least(1).no_effect(NO_TIERING)
        .doc("Length of each of those windows."),
    int("remote.log.manager.expiration.thread.pool.size").or("10").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Threads that delete expired segments from remote storage."),
    long("remote.log.manager.fetch.max.bytes.per.second").or("9223372036854775807").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Bytes per second that the broker reads from remote storage."),
    int("remote.log.manager.fetch.quota.window.num").or("11").at_least(1).no_effect(NO_TIERING)
        .doc("Windows kept to measure reading."),
    int("remote.log.manager.fetch.quota.window.size.seconds").or("1").at_least(1).no_effect(NO_TIERING)
        .doc("Length of each of those windows."),
    int("remote.log.manager.follower.thread.pool.size").or("2").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Threads that ask, for follower partitions, how far they are tiered."),
    long("remote.log.manager.task.interval.ms").or("30000").low().at_least(1).no_effect(NO_TIERING)
        .doc("How often partitions are looked through for work with remote storage."),
    long("remote.log.manager.task.retry.backoff.max.ms").or("30000").low().at_least(1).internal().no_effect(NO_TIERING)
        .doc("Upper bound for the pause after failures with remote storage."),
    long("remote.log.manager.task.retry.backoff.ms").or("500").low().at_least(1).internal().no_effect(NO_TIERING)
        .doc("First pause after a failure with remote storage."),
    double("remote.log.manager.task.retry.jitter").or("0.2").low().valid(Validator::BetweenDouble(0.0, 0.5)).internal().no_effect(NO_TIERING)
        .doc("Random part of those pauses."),
    int("remote.log.manager.thread.pool.size").or("2").at_least(1).no_effect(NO_TIERING)
        .doc("The older name for the number of threads that follow tiered partitions."),
    int("remote.log.metadata.custom.metadata.max.bytes").or("128").low().at_least(0).no_effect(NO_TIERING)
        .doc("Bytes that a storage plugin may keep with a segment."),
    string("remote.log.metadata.manager.class.name").or("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager").valid(Validator::NonEmptyString).no_effect(NO_TIERING)
        .doc("Java class that keeps the metadata of remote segments."),
    string("remote.log.metadata.manager.class.path").or_null().no_effect(NO_TIERING)
        .doc("Where that class is loaded from."),
    string("remote.log.metadata.manager.impl.prefix").or("rlmm.config.").valid(Validator::NonEmptyString).no_effect(NO_TIERING)
        .doc("Keys with this prefix are handed to that class."),
    string("remote.log.metadata.manager.listener.name").or_null().valid(Validator::NonEmptyString).no_effect(NO_TIERING)
        .doc("Listener that the class uses to reach this broker."),
    int("remote.log.reader.max.pending.tasks").or("100").at_least(1).no_effect(NO_TIERING)
        .doc("Remote reads that may wait; beyond, Fetches fail."),
    int("remote.log.reader.threads").or("10").at_least(1).cluster_wide().no_effect(NO_TIERING)
        .doc("Threads that read from remote storage."),
    string("remote.log.storage.manager.class.name").or_null().valid(Validator::NonEmptyString).no_effect(NO_TIERING)
        .doc("Java class that stores segments remotely."),
    string("remote.log.storage.manager.class.path").or_null().no_effect(NO_TIERING)
        .doc("Where that class is loaded from."),
    string("remote.log.storage.manager.impl.prefix").or("rsm.config.").valid(Validator::NonEmptyString).no_effect(NO_TIERING)
        .doc("Keys with this prefix are handed to that class."),
    boolean("remote.log.storage.system.enable").or("false").no_effect(NO_TIERING)
        .doc("Allow topics to be tiered."),
];
