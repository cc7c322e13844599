//! Keys of streams groups (`GroupCoordinatorConfig`, KIP-1071).

use crate::def::{ConfigKey, boolean, class, int, list, long};
use crate::keys::{NO_PLUGINS, NO_THREADS, NO_WARMUPS, NON_EMPTY_SET, SET};

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    long("group.streams.acceptable.recovery.lag").or("10000").at_least(0).internal()
        .doc("Offsets that a client may be behind and still get an active task."),
    int("group.streams.assignment.interval.ms").or("1000").at_least(0).cluster_wide()
        .doc("Shortest time between two assignments of a streams group."),
    boolean("group.streams.assignor.offload.enable").or("true").cluster_wide().internal().no_effect(NO_THREADS)
        .doc("Compute assignments of streams groups on a background thread."),
    list("group.streams.assignors").or("sticky").valid(NON_EMPTY_SET)
        .doc("Task assignors for streams groups, the default first: `sticky`, or a Java class."),
    int("group.streams.heartbeat.interval.ms").or("5000").at_least(1)
        .doc("Heartbeat interval that members of a streams group are given."),
    int("group.streams.initial.rebalance.delay.ms").or("3000").at_least(0)
        .doc("How long the first assignment of a new streams group waits for more members."),
    int("group.streams.max.assignment.interval.ms").or("15000").at_least(0)
        .doc("Upper bound for a group's streams.assignment.interval.ms."),
    int("group.streams.max.heartbeat.interval.ms").or("15000").at_least(1)
        .doc("Upper bound for a group's streams.heartbeat.interval.ms."),
    int("group.streams.max.session.timeout.ms").or("60000").at_least(1)
        .doc("Upper bound for a group's streams.session.timeout.ms."),
    int("group.streams.max.size").or("2147483647").at_least(1)
        .doc("Members that one streams group may have."),
    int("group.streams.max.standby.replicas").or("2").at_least(0)
        .doc("Upper bound for a group's streams.num.standby.replicas."),
    int("group.streams.max.warmup.replicas").or("20").at_least(0).internal().no_effect(NO_WARMUPS)
        .doc("Upper bound for a group's streams.num.warmup.replicas."),
    int("group.streams.min.assignment.interval.ms").or("0").at_least(0)
        .doc("Lower bound for a group's streams.assignment.interval.ms."),
    int("group.streams.min.heartbeat.interval.ms").or("5000").at_least(1)
        .doc("Lower bound for a group's streams.heartbeat.interval.ms."),
    int("group.streams.min.session.timeout.ms").or("45000").at_least(1)
        .doc("Lower bound for a group's streams.session.timeout.ms."),
    int("group.streams.min.task.offset.interval.ms").or("15000").at_least(1).internal()
        .doc("Lower bound for a group's streams.task.offset.interval.ms."),
    int("group.streams.num.standby.replicas").or("0").at_least(0)
        .doc("Standby replicas of each task."),
    int("group.streams.num.warmup.replicas").or("2").at_least(0).internal().no_effect(NO_WARMUPS)
        .doc("Tasks that may warm up at once."),
    list("group.streams.rack.aware.assignment.tags").or("").low().valid(SET)
        .doc("Client tags over which standby replicas are spread."),
    int("group.streams.session.timeout.ms").or("45000").at_least(1)
        .doc("A member of a streams group without a heartbeat for this long is removed."),
    int("group.streams.task.offset.interval.ms").or("60000").at_least(1).internal()
        .doc("How often clients report how far their warming tasks have come."),
    class("group.streams.topology.description.plugin.class").or_null().no_effect(NO_PLUGINS)
        .doc("Java class that receives descriptions of topologies."),
];
