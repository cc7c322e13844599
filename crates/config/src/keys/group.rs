//! Keys of groups, resource type 32 (`GroupConfig`).

use crate::def::{ConfigKey, boolean, int, list, long, string};
use crate::keys::SET;
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    int("consumer.assignment.interval.ms").or("1000").at_least(0).doc(""),
    boolean("consumer.assignor.offload.enable").or("true").internal().doc(""),
    int("consumer.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("consumer.session.timeout.ms").or("45000").at_least(1).doc(""),
    boolean("errors.deadletterqueue.copy.record.enable").or("false").doc(""),
    string("errors.deadletterqueue.topic.name").or("").doc(""),
    int("share.assignment.interval.ms").or("1000").at_least(0).doc(""),
    boolean("share.assignor.offload.enable").or("true").internal().doc(""),
    string("share.auto.offset.reset").or("latest").valid(Validator::ShareAutoOffsetReset).doc(""),
    int("share.delivery.count.limit").or("5").at_least(2).doc(""),
    int("share.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    string("share.isolation.level")
        .or("read_uncommitted")
        .one_of(&["read_committed", "read_uncommitted"])
        .doc(""),
    int("share.partition.max.record.locks").or("2000").at_least(100).doc(""),
    int("share.record.lock.duration.ms").or("30000").at_least(1000).doc(""),
    boolean("share.renew.acknowledge.enable").or("true").doc(""),
    int("share.session.timeout.ms").or("45000").at_least(1).doc(""),
    long("streams.acceptable.recovery.lag").or("10000").at_least(0).internal().doc(""),
    int("streams.assignment.interval.ms").or("1000").at_least(0).doc(""),
    string("streams.assignor.name").or_null().doc(""),
    boolean("streams.assignor.offload.enable").or("true").internal().doc(""),
    int("streams.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("streams.initial.rebalance.delay.ms").or("3000").at_least(0).doc(""),
    int("streams.num.standby.replicas").or("0").at_least(0).doc(""),
    int("streams.num.warmup.replicas").or("2").at_least(0).internal().doc(""),
    list("streams.rack.aware.assignment.tags").or("").low().valid(SET).doc(""),
    int("streams.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("streams.task.offset.interval.ms").or("60000").at_least(1).internal().doc(""),
];
