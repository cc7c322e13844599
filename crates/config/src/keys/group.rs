//! Keys of groups, resource type 32 (`GroupConfig`).

use crate::def::{ConfigKey, boolean, int, list, long, string};
use crate::keys::{NO_SHARE, NO_THREADS, NO_WARMUPS, SET};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    int("consumer.assignment.interval.ms").or("1000").at_least(0)
        .doc("Shortest time between two assignments of the group."),
    boolean("consumer.assignor.offload.enable").or("true").internal().no_effect(NO_THREADS)
        .doc("Compute assignments on a background thread."),
    int("consumer.heartbeat.interval.ms").or("5000").at_least(1)
        .doc("Heartbeat interval that members are given."),
    int("consumer.session.timeout.ms").or("45000").at_least(1)
        .doc("A member without a heartbeat for this long is removed."),
    boolean("errors.deadletterqueue.copy.record.enable").or("false").no_effect(NO_SHARE)
        .doc("Copy the whole record into the dead letter, not only where it came from."),
    string("errors.deadletterqueue.topic.name").or("").no_effect(NO_SHARE)
        .doc("Topic for the dead letters of the share group; empty for none."),
    int("share.assignment.interval.ms").or("1000").at_least(0).no_effect(NO_SHARE)
        .doc("Shortest time between two assignments of the group."),
    boolean("share.assignor.offload.enable").or("true").internal().no_effect(NO_SHARE)
        .doc("Compute assignments on a background thread."),
    string("share.auto.offset.reset").or("latest").valid(Validator::ShareAutoOffsetReset).no_effect(NO_SHARE)
        .doc("Where a new share group begins: latest, earliest, or by_duration and how far back."),
    int("share.delivery.count.limit").or("5").at_least(2).no_effect(NO_SHARE)
        .doc("Times that a record is delivered before it is given up."),
    int("share.heartbeat.interval.ms").or("5000").at_least(1).no_effect(NO_SHARE)
        .doc("Heartbeat interval that members are given."),
    string("share.isolation.level").or("read_uncommitted").one_of(&["read_committed", "read_uncommitted"]).no_effect(NO_SHARE)
        .doc("Whether records of open and aborted transactions are delivered."),
    int("share.partition.max.record.locks").or("2000").at_least(100).no_effect(NO_SHARE)
        .doc("Records of one partition that the group may have in flight."),
    int("share.record.lock.duration.ms").or("30000").at_least(1000).no_effect(NO_SHARE)
        .doc("How long a member may keep a record before it goes to another."),
    boolean("share.renew.acknowledge.enable").or("true").no_effect(NO_SHARE)
        .doc("Members may ask for more time with a record."),
    int("share.session.timeout.ms").or("45000").at_least(1).no_effect(NO_SHARE)
        .doc("A member without a heartbeat for this long is removed."),
    long("streams.acceptable.recovery.lag").or("10000").at_least(0).internal()
        .doc("Offsets that a client may be behind and still get an active task."),
    int("streams.assignment.interval.ms").or("1000").at_least(0)
        .doc("Shortest time between two assignments of the group."),
    string("streams.assignor.name").or_null()
        .doc("Task assignor of this group; unset means the first of group.streams.assignors."),
    boolean("streams.assignor.offload.enable").or("true").internal().no_effect(NO_THREADS)
        .doc("Compute assignments on a background thread."),
    int("streams.heartbeat.interval.ms").or("5000").at_least(1)
        .doc("Heartbeat interval that members are given."),
    int("streams.initial.rebalance.delay.ms").or("3000").at_least(0)
        .doc("How long the first assignment waits for more members."),
    int("streams.num.standby.replicas").or("0").at_least(0)
        .doc("Standby replicas of each task."),
    int("streams.num.warmup.replicas").or("2").at_least(0).internal().no_effect(NO_WARMUPS)
        .doc("Tasks that may warm up at once."),
    list("streams.rack.aware.assignment.tags").or("").low().valid(SET)
        .doc("Client tags over which standby replicas are spread."),
    int("streams.session.timeout.ms").or("45000").at_least(1)
        .doc("A member without a heartbeat for this long is removed."),
    int("streams.task.offset.interval.ms").or("60000").at_least(1).internal()
        .doc("How often clients report how far their warming tasks have come."),
];
