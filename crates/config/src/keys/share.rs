//! Keys of share groups, their dead-letter queues and the share coordinator (`ShareGroupConfig`, `ShareCoordinatorConfig`).

use crate::def::{ConfigKey, boolean, int, list, short, string};
use crate::keys::{NO_SHARE, NON_EMPTY_SET};

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    boolean("errors.deadletterqueue.auto.create.topics.enable").or("false").cluster_wide().no_effect(NO_SHARE)
        .doc("Create dead-letter topics of share groups that are not there (KIP-1191)."),
    string("errors.deadletterqueue.topic.name.prefix").or("dlq.").cluster_wide().no_effect(NO_SHARE)
        .doc("How the names of dead-letter topics must begin; empty for no rule."),
    int("group.share.assignment.interval.ms").or("1000").at_least(0).cluster_wide().no_effect(NO_SHARE)
        .doc("Shortest time between two assignments of a share group."),
    boolean("group.share.assignor.offload.enable").or("true").cluster_wide().internal().no_effect(NO_SHARE)
        .doc("Compute assignments of share groups on a background thread."),
    list("group.share.assignors").or("simple").valid(NON_EMPTY_SET).no_effect(NO_SHARE)
        .doc("The assignor for share groups: `simple`, or a Java class."),
    int("group.share.delivery.count.limit").or("5").between(2, 10).no_effect(NO_SHARE)
        .doc("Times that a record is delivered before it is given up."),
    string("group.share.dlq.manager.class.name").or("org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager").internal().no_effect(NO_SHARE)
        .doc("Java class that writes dead letters."),
    int("group.share.heartbeat.interval.ms").or("5000").at_least(1).no_effect(NO_SHARE)
        .doc("Heartbeat interval that members of a share group are given."),
    int("group.share.initialize.retry.interval.ms").or("30000").low().at_least(1).internal().no_effect(NO_SHARE)
        .doc("Pause before the state of a share group is initialized again after a failure."),
    int("group.share.max.assignment.interval.ms").or("15000").at_least(0).no_effect(NO_SHARE)
        .doc("Upper bound for a group's share.assignment.interval.ms."),
    int("group.share.max.delivery.count.limit").or("10").between(5, 25).no_effect(NO_SHARE)
        .doc("Upper bound for a group's share.delivery.count.limit."),
    int("group.share.max.heartbeat.interval.ms").or("15000").at_least(1).no_effect(NO_SHARE)
        .doc("Upper bound for a group's share.heartbeat.interval.ms."),
    int("group.share.max.partition.max.record.locks").or("4000").between(2000, 10000).no_effect(NO_SHARE)
        .doc("Upper bound for a group's share.partition.max.record.locks."),
    int("group.share.max.record.lock.duration.ms").or("60000").between(30000, 3600000).no_effect(NO_SHARE)
        .doc("Upper bound for a group's share.record.lock.duration.ms."),
    int("group.share.max.session.timeout.ms").or("60000").at_least(1).no_effect(NO_SHARE)
        .doc("Upper bound for a group's share.session.timeout.ms."),
    int("group.share.max.share.sessions").or("2000").at_least(1).no_effect(NO_SHARE)
        .doc("Share sessions that the broker keeps."),
    int("group.share.max.size").or("200").between(1, 1000).no_effect(NO_SHARE)
        .doc("Members that one share group may have."),
    int("group.share.min.assignment.interval.ms").or("0").at_least(0).no_effect(NO_SHARE)
        .doc("Lower bound for a group's share.assignment.interval.ms."),
    int("group.share.min.delivery.count.limit").or("2").between(2, 5).no_effect(NO_SHARE)
        .doc("Lower bound for a group's share.delivery.count.limit."),
    int("group.share.min.heartbeat.interval.ms").or("5000").at_least(1).no_effect(NO_SHARE)
        .doc("Lower bound for a group's share.heartbeat.interval.ms."),
    int("group.share.min.partition.max.record.locks").or("100").between(100, 2000).no_effect(NO_SHARE)
        .doc("Lower bound for a group's share.partition.max.record.locks."),
    int("group.share.min.record.lock.duration.ms").or("15000").between(1000, 30000).no_effect(NO_SHARE)
        .doc("Lower bound for a group's share.record.lock.duration.ms."),
    int("group.share.min.session.timeout.ms").or("45000").at_least(1).no_effect(NO_SHARE)
        .doc("Lower bound for a group's share.session.timeout.ms."),
    int("group.share.partition.max.record.locks").or("2000").between(100, 10000).no_effect(NO_SHARE)
        .doc("Records of one partition that a share group may have in flight."),
    string("group.share.persister.class.name").or("org.apache.kafka.server.share.persister.DefaultStatePersister").internal().no_effect(NO_SHARE)
        .doc("Java class that stores the state of share groups."),
    int("group.share.record.lock.duration.ms").or("30000").between(1000, 3600000).no_effect(NO_SHARE)
        .doc("How long a member may keep a record before it goes to another."),
    int("group.share.session.timeout.ms").or("45000").at_least(1).no_effect(NO_SHARE)
        .doc("A member of a share group without a heartbeat for this long is removed."),
    int("share.coordinator.append.linger.ms").or("-1").at_least(-1).no_effect(NO_SHARE)
        .doc("How long the share coordinator gathers records before it appends them; -1 lets it adapt."),
    int("share.coordinator.cached.buffer.max.bytes").or("1048588").at_least(524288).cluster_wide().no_effect(NO_SHARE)
        .doc("Largest buffer that the share coordinator keeps for reuse."),
    int("share.coordinator.cold.partition.snapshot.interval.ms").or("300000").low().at_least(1).internal().no_effect(NO_SHARE)
        .doc("How often the state of share-partitions without change is written again."),
    int("share.coordinator.load.buffer.size").or("5242880").high().at_least(1).no_effect(NO_SHARE)
        .doc("Bytes read at a time when the state topic of share groups is loaded."),
    int("share.coordinator.snapshot.update.records.per.snapshot").or("500").between(0, 500).no_effect(NO_SHARE)
        .doc("Updates of a share-partition between two snapshots of its state."),
    int("share.coordinator.state.topic.compression.codec").or("0").high().no_effect(NO_SHARE)
        .doc("Codec of the state topic's batches by number, as offsets.topic.compression.codec."),
    short("share.coordinator.state.topic.min.isr").or("2").high().at_least(1).no_effect(NO_SHARE)
        .doc("min.insync.replicas of the state topic of share groups."),
    int("share.coordinator.state.topic.num.partitions").or("50").high().at_least(1).no_effect(NO_SHARE)
        .doc("Partitions of the state topic of share groups. Never change it once the topic exists."),
    int("share.coordinator.state.topic.prune.interval.ms").or("300000").low().at_least(1).internal().no_effect(NO_SHARE)
        .doc("How often records of the state topic that nobody needs are deleted."),
    short("share.coordinator.state.topic.replication.factor").or("3").high().at_least(1).no_effect(NO_SHARE)
        .doc("Replication factor of the state topic of share groups."),
    int("share.coordinator.state.topic.segment.bytes").or("104857600").high().at_least(1).no_effect(NO_SHARE)
        .doc("Segment size of the state topic of share groups."),
    int("share.coordinator.threads").or("1").at_least(1).no_effect(NO_SHARE)
        .doc("Threads of the share coordinator."),
    int("share.coordinator.write.timeout.ms").or("5000").high().at_least(1).no_effect(NO_SHARE)
        .doc("How long the share coordinator waits for the in-sync replicas of its topic."),
    int("share.fetch.purgatory.purge.interval.requests").or("1000").no_effect(NO_SHARE)
        .doc("Finished requests that may pile up among waiting ShareFetches before they are swept out."),
];
