//! Keys of the group coordinator, of classic and of consumer groups, and of committed offsets (`GroupCoordinatorConfig`).

use crate::def::{ConfigKey, boolean, int, list, long, short, string};
use crate::keys::NON_EMPTY_SET;
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    int("group.consumer.assignment.interval.ms").or("1000").at_least(0).cluster_wide().doc(""),
    boolean("group.consumer.assignor.offload.enable").or("true").cluster_wide().internal().doc(""),
    list("group.consumer.assignors").or("uniform,range").valid(NON_EMPTY_SET).doc(""),
    int("group.consumer.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("group.consumer.max.assignment.interval.ms").or("15000").at_least(0).doc(""),
    int("group.consumer.max.heartbeat.interval.ms").or("15000").at_least(1).doc(""),
    int("group.consumer.max.session.timeout.ms").or("60000").at_least(1).doc(""),
    int("group.consumer.max.size").or("2147483647").at_least(1).doc(""),
    string("group.consumer.migration.policy")
        .or("bidirectional")
        .valid(Validator::OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]))
        .doc(""),
    int("group.consumer.min.assignment.interval.ms").or("0").at_least(0).doc(""),
    int("group.consumer.min.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("group.consumer.min.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("group.consumer.regex.refresh.interval.ms").or("600000").at_least(10000).internal().doc(""),
    int("group.consumer.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("group.coordinator.append.linger.ms").or("-1").at_least(-1).doc(""),
    int("group.coordinator.background.threads").or("2").high().at_least(1).doc(""),
    int("group.coordinator.cached.buffer.max.bytes").or("1048588").at_least(524288).cluster_wide().doc(""),
    list("group.coordinator.rebalance.protocols")
        .or("classic,consumer,streams")
        .valid(Validator::List { of: &["consumer", "classic", "share", "streams"], may_be_empty: false })
        .doc(""),
    int("group.coordinator.threads").or("4").high().at_least(1).doc(""),
    int("group.initial.rebalance.delay.ms").or("3000").doc(""),
    int("group.max.session.timeout.ms").or("1800000").doc(""),
    int("group.max.size").or("2147483647").at_least(1).doc(""),
    int("group.min.session.timeout.ms").or("6000").doc(""),
    int("offset.metadata.max.bytes").or("4096").high().doc(""),
    int("offsets.commit.timeout.ms").or("5000").high().at_least(1).doc(""),
    int("offsets.load.buffer.size").or("5242880").high().at_least(1).doc(""),
    long("offsets.retention.check.interval.ms").or("600000").high().at_least(1).doc(""),
    int("offsets.retention.minutes").or("10080").high().at_least(1).doc(""),
    int("offsets.topic.compression.codec").or("0").high().doc(""),
    int("offsets.topic.num.partitions").or("50").high().at_least(1).doc(""),
    short("offsets.topic.replication.factor").or("3").high().at_least(1).doc(""),
    int("offsets.topic.segment.bytes").or("104857600").high().at_least(1).doc(""),
];
