//! Keys of streams groups (`GroupCoordinatorConfig`, KIP-1071).

use crate::def::{ConfigKey, boolean, class, int, list, long};
use crate::keys::{NON_EMPTY_SET, SET};

pub(super) const KEYS: &[ConfigKey] = &[
    long("group.streams.acceptable.recovery.lag").or("10000").at_least(0).internal().doc(""),
    int("group.streams.assignment.interval.ms").or("1000").at_least(0).cluster_wide().doc(""),
    boolean("group.streams.assignor.offload.enable").or("true").cluster_wide().internal().doc(""),
    list("group.streams.assignors").or("sticky").valid(NON_EMPTY_SET).doc(""),
    int("group.streams.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("group.streams.initial.rebalance.delay.ms").or("3000").at_least(0).doc(""),
    int("group.streams.max.assignment.interval.ms").or("15000").at_least(0).doc(""),
    int("group.streams.max.heartbeat.interval.ms").or("15000").at_least(1).doc(""),
    int("group.streams.max.session.timeout.ms").or("60000").at_least(1).doc(""),
    int("group.streams.max.size").or("2147483647").at_least(1).doc(""),
    int("group.streams.max.standby.replicas").or("2").at_least(0).doc(""),
    int("group.streams.max.warmup.replicas").or("20").at_least(0).internal().doc(""),
    int("group.streams.min.assignment.interval.ms").or("0").at_least(0).doc(""),
    int("group.streams.min.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("group.streams.min.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("group.streams.min.task.offset.interval.ms").or("15000").at_least(1).internal().doc(""),
    int("group.streams.num.standby.replicas").or("0").at_least(0).doc(""),
    int("group.streams.num.warmup.replicas").or("2").at_least(0).internal().doc(""),
    list("group.streams.rack.aware.assignment.tags").or("").low().valid(SET).doc(""),
    int("group.streams.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("group.streams.task.offset.interval.ms").or("60000").at_least(1).internal().doc(""),
    class("group.streams.topology.description.plugin.class").or_null().doc(""),
];
