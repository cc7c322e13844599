//! Keys of topics (`LogConfig`). Their defaults are those of the broker keys in [`crate::synonyms`].

use crate::def::{ConfigKey, boolean, double, int, list, long, string};
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    list("cleanup.policy")
        .or("delete")
        .valid(Validator::List { of: &["compact", "delete"], may_be_empty: true })
        .doc(""),
    int("compression.gzip.level").or("-1").valid(Validator::GzipLevel).doc(""),
    int("compression.lz4.level").or("9").between(1, 17).doc(""),
    string("compression.type")
        .or("producer")
        .one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        .doc(""),
    int("compression.zstd.level").or("3").between(-131072, 22).doc(""),
    long("delete.retention.ms").or("86400000").at_least(0).doc(""),
    boolean("errors.deadletterqueue.group.enable").or("false").doc(""),
    long("file.delete.delay.ms").or("60000").at_least(0).doc(""),
    long("flush.messages").or("9223372036854775807").at_least(1).doc(""),
    long("flush.ms").or("9223372036854775807").at_least(0).doc(""),
    list("follower.replication.throttled.replicas").or("").valid(Validator::ThrottledReplicas).doc(""),
    int("index.interval.bytes").or("4096").at_least(0).doc(""),
    int("internal.segment.bytes").or_null().internal().doc(""),
    list("leader.replication.throttled.replicas").or("").valid(Validator::ThrottledReplicas).doc(""),
    long("local.retention.bytes").or("-2").at_least(-2).doc(""),
    long("local.retention.ms").or("-2").at_least(-2).doc(""),
    long("max.compaction.lag.ms").or("9223372036854775807").at_least(1).doc(""),
    int("max.decompressed.message.bytes").or("2147483639").between(1, 2147483639).doc(""),
    int("max.message.bytes").or("1048588").at_least(0).doc(""),
    long("message.timestamp.after.max.ms").or("3600000").at_least(0).doc(""),
    long("message.timestamp.before.max.ms").or("9223372036854775807").at_least(0).doc(""),
    string("message.timestamp.type").or("CreateTime").one_of(&["CreateTime", "LogAppendTime"]).doc(""),
    double("min.cleanable.dirty.ratio").or("0.5").valid(Validator::BetweenDouble(0.0, 1.0)).doc(""),
    long("min.compaction.lag.ms").or("0").at_least(0).doc(""),
    int("min.insync.replicas").or("1").at_least(1).doc(""),
    boolean("preallocate").or("false").doc(""),
    long("remote.copy.lag.bytes").or("-1").at_least(-1).doc(""),
    long("remote.copy.lag.ms").or("0").at_least(-1).doc(""),
    boolean("remote.log.copy.disable").or("false").doc(""),
    boolean("remote.log.delete.on.disable").or("false").doc(""),
    boolean("remote.storage.enable").or("false").doc(""),
    long("retention.bytes").or("-1").doc(""),
    long("retention.ms").or("604800000").at_least(-1).doc(""),
    int("segment.bytes").or("1073741824").at_least(1048576).doc(""),
    int("segment.index.bytes").or("10485760").at_least(4).doc(""),
    long("segment.jitter.ms").or("0").at_least(0).doc(""),
    long("segment.ms").or("604800000").at_least(1).doc(""),
    boolean("unclean.leader.election.enable").or("false").doc(""),
];
