//! Keys of the log: directories, segments, retention, batches (`ServerLogConfigs`).

use crate::def::{ConfigKey, boolean, int, list, long, string};
use crate::keys::{NON_EMPTY_SET, SET};
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    boolean("auto.create.topics.enable").or("true").high().doc(""),
    int("compression.gzip.level").or("-1").valid(Validator::GzipLevel).cluster_wide().doc(""),
    int("compression.lz4.level").or("9").between(1, 17).cluster_wide().doc(""),
    string("compression.type")
        .or("producer")
        .high()
        .one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        .cluster_wide()
        .doc(""),
    int("compression.zstd.level").or("3").between(-131072, 22).cluster_wide().doc(""),
    list("cordoned.log.dirs").or("").valid(SET).per_broker().doc(""),
    list("log.cleanup.policy")
        .or("delete")
        .valid(Validator::List { of: &["compact", "delete"], may_be_empty: true })
        .cluster_wide()
        .doc(""),
    list("log.dir").or("/tmp/kafka-logs").high().valid(NON_EMPTY_SET).doc(""),
    long("log.dir.failure.timeout.ms").or("30000").low().at_least(1).doc(""),
    list("log.dirs").or_null().high().valid(NON_EMPTY_SET).doc(""),
    long("log.flush.interval.messages").or("9223372036854775807").high().at_least(1).cluster_wide().doc(""),
    long("log.flush.interval.ms").or_null().high().cluster_wide().doc(""),
    int("log.flush.offset.checkpoint.interval.ms").or("60000").high().at_least(0).doc(""),
    long("log.flush.scheduler.interval.ms").or("9223372036854775807").high().doc(""),
    int("log.flush.start.offset.checkpoint.interval.ms").or("60000").high().at_least(0).doc(""),
    int("log.index.interval.bytes").or("4096").at_least(0).cluster_wide().doc(""),
    int("log.index.size.max.bytes").or("10485760").at_least(4).cluster_wide().doc(""),
    long("log.initial.task.delay.ms").or("30000").low().at_least(0).internal().doc(""),
    long("log.message.timestamp.after.max.ms").or("3600000").at_least(0).cluster_wide().doc(""),
    long("log.message.timestamp.before.max.ms").or("9223372036854775807").at_least(0).cluster_wide().doc(""),
    string("log.message.timestamp.type")
        .or("CreateTime")
        .one_of(&["CreateTime", "LogAppendTime"])
        .cluster_wide()
        .doc(""),
    boolean("log.preallocate").or("false").cluster_wide().doc(""),
    long("log.retention.bytes").or("-1").high().cluster_wide().doc(""),
    long("log.retention.check.interval.ms").or("300000").at_least(1).doc(""),
    int("log.retention.hours").or("168").high().doc(""),
    int("log.retention.minutes").or_null().high().doc(""),
    long("log.retention.ms").or_null().high().cluster_wide().doc(""),
    int("log.roll.hours").or("168").high().at_least(1).doc(""),
    int("log.roll.jitter.hours").or("0").high().at_least(0).doc(""),
    long("log.roll.jitter.ms").or_null().high().cluster_wide().doc(""),
    long("log.roll.ms").or_null().high().cluster_wide().doc(""),
    int("log.segment.bytes").or("1073741824").high().at_least(1048576).cluster_wide().doc(""),
    long("log.segment.delete.delay.ms").or("60000").high().at_least(0).cluster_wide().doc(""),
    int("max.decompressed.message.bytes").or("2147483639").between(1, 2147483639).cluster_wide().doc(""),
    int("message.max.bytes").or("1048588").high().at_least(0).cluster_wide().doc(""),
    int("num.partitions").or("1").at_least(1).doc(""),
    int("num.recovery.threads.per.data.dir").or("2").high().at_least(1).cluster_wide().doc(""),
];
