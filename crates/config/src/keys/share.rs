//! Keys of share groups, their dead-letter queues and the share coordinator (`ShareGroupConfig`, `ShareCoordinatorConfig`).

use crate::def::{ConfigKey, boolean, int, list, short, string};
use crate::keys::NON_EMPTY_SET;

pub(super) const KEYS: &[ConfigKey] = &[
    boolean("errors.deadletterqueue.auto.create.topics.enable").or("false").cluster_wide().doc(""),
    string("errors.deadletterqueue.topic.name.prefix").or("dlq.").cluster_wide().doc(""),
    int("group.share.assignment.interval.ms").or("1000").at_least(0).cluster_wide().doc(""),
    boolean("group.share.assignor.offload.enable").or("true").cluster_wide().internal().doc(""),
    list("group.share.assignors").or("simple").valid(NON_EMPTY_SET).doc(""),
    int("group.share.delivery.count.limit").or("5").between(2, 10).doc(""),
    string("group.share.dlq.manager.class.name")
        .or("org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager")
        .internal()
        .doc(""),
    int("group.share.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("group.share.initialize.retry.interval.ms").or("30000").low().at_least(1).internal().doc(""),
    int("group.share.max.assignment.interval.ms").or("15000").at_least(0).doc(""),
    int("group.share.max.delivery.count.limit").or("10").between(5, 25).doc(""),
    int("group.share.max.heartbeat.interval.ms").or("15000").at_least(1).doc(""),
    int("group.share.max.partition.max.record.locks").or("4000").between(2000, 10000).doc(""),
    int("group.share.max.record.lock.duration.ms").or("60000").between(30000, 3600000).doc(""),
    int("group.share.max.session.timeout.ms").or("60000").at_least(1).doc(""),
    int("group.share.max.share.sessions").or("2000").at_least(1).doc(""),
    int("group.share.max.size").or("200").between(1, 1000).doc(""),
    int("group.share.min.assignment.interval.ms").or("0").at_least(0).doc(""),
    int("group.share.min.delivery.count.limit").or("2").between(2, 5).doc(""),
    int("group.share.min.heartbeat.interval.ms").or("5000").at_least(1).doc(""),
    int("group.share.min.partition.max.record.locks").or("100").between(100, 2000).doc(""),
    int("group.share.min.record.lock.duration.ms").or("15000").between(1000, 30000).doc(""),
    int("group.share.min.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("group.share.partition.max.record.locks").or("2000").between(100, 10000).doc(""),
    string("group.share.persister.class.name")
        .or("org.apache.kafka.server.share.persister.DefaultStatePersister")
        .internal()
        .doc(""),
    int("group.share.record.lock.duration.ms").or("30000").between(1000, 3600000).doc(""),
    int("group.share.session.timeout.ms").or("45000").at_least(1).doc(""),
    int("share.coordinator.append.linger.ms").or("-1").at_least(-1).doc(""),
    int("share.coordinator.cached.buffer.max.bytes").or("1048588").at_least(524288).cluster_wide().doc(""),
    int("share.coordinator.cold.partition.snapshot.interval.ms")
        .or("300000")
        .low()
        .at_least(1)
        .internal()
        .doc(""),
    int("share.coordinator.load.buffer.size").or("5242880").high().at_least(1).doc(""),
    int("share.coordinator.snapshot.update.records.per.snapshot").or("500").between(0, 500).doc(""),
    int("share.coordinator.state.topic.compression.codec").or("0").high().doc(""),
    short("share.coordinator.state.topic.min.isr").or("2").high().at_least(1).doc(""),
    int("share.coordinator.state.topic.num.partitions").or("50").high().at_least(1).doc(""),
    int("share.coordinator.state.topic.prune.interval.ms").or("300000").low().at_least(1).internal().doc(""),
    short("share.coordinator.state.topic.replication.factor").or("3").high().at_least(1).doc(""),
    int("share.coordinator.state.topic.segment.bytes").or("104857600").high().at_least(1).doc(""),
    int("share.coordinator.threads").or("1").at_least(1).doc(""),
    int("share.coordinator.write.timeout.ms").or("5000").high().at_least(1).doc(""),
    int("share.fetch.purgatory.purge.interval.requests").or("1000").doc(""),
];
