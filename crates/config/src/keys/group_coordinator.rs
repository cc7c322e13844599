//! Keys of the group coordinator, of classic and of consumer groups, and of committed offsets (`GroupCoordinatorConfig`).

use crate::def::{ConfigKey, boolean, int, list, long, short, string};
use crate::keys::{NO_LINGER, NO_MECHANISM, NO_THREADS, NON_EMPTY_SET};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    int("group.consumer.assignment.interval.ms").or("1000").at_least(0).cluster_wide()
        .doc("Shortest time between two assignments of a consumer group."),
    boolean("group.consumer.assignor.offload.enable").or("true").cluster_wide().internal().no_effect(NO_THREADS)
        .doc("Compute assignments of consumer groups on a background thread."),
    list("group.consumer.assignors").or("uniform,range").valid(NON_EMPTY_SET)
        .doc("Assignors on the broker for consumer groups, the default first: uniform, range, or a Java class."),
    int("group.consumer.heartbeat.interval.ms").or("5000").at_least(1)
        .doc("Heartbeat interval that members of a consumer group are given."),
    int("group.consumer.max.assignment.interval.ms").or("15000").at_least(0)
        .doc("Upper bound for a group's consumer.assignment.interval.ms."),
    int("group.consumer.max.heartbeat.interval.ms").or("15000").at_least(1)
        .doc("Upper bound for a group's consumer.heartbeat.interval.ms."),
    int("group.consumer.max.session.timeout.ms").or("60000").at_least(1)
        .doc("Upper bound for a group's consumer.session.timeout.ms."),
    int("group.consumer.max.size").or("2147483647").at_least(1)
        .doc("Members that one consumer group may have."),
    string("group.consumer.migration.policy").or("bidirectional").valid(Validator::OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]))
        .doc("Whether a group changes between the classic and the consumer protocol while members are in it, and which way."),
    int("group.consumer.min.assignment.interval.ms").or("0").at_least(0)
        .doc("Lower bound for a group's consumer.assignment.interval.ms."),
    int("group.consumer.min.heartbeat.interval.ms").or("5000").at_least(1)
        .doc("Lower bound for a group's consumer.heartbeat.interval.ms."),
    int("group.consumer.min.session.timeout.ms").or("45000").at_least(1)
        .doc("Lower bound for a group's consumer.session.timeout.ms."),
    int("group.consumer.regex.refresh.interval.ms").or("600000").at_least(10000).internal()
        .doc("How often regular expressions of subscriptions are matched with the topics again."),
    int("group.consumer.session.timeout.ms").or("45000").at_least(1)
        .doc("A member of a consumer group without a heartbeat for this long is removed."),
    int("group.coordinator.append.linger.ms").or("-1").at_least(-1).no_effect(NO_LINGER)
        .doc("How long a coordinator gathers records before it appends them; -1 lets it adapt."),
    int("group.coordinator.background.threads").or("2").high().at_least(1).no_effect(NO_THREADS)
        .doc("Threads for the group coordinator's background work."),
    int("group.coordinator.cached.buffer.max.bytes").or("1048588").at_least(524288).cluster_wide().no_effect(NO_MECHANISM)
        .doc("Largest buffer that the group coordinator keeps for reuse."),
    list("group.coordinator.rebalance.protocols").or("classic,consumer,streams").valid(Validator::List { of: &["consumer", "classic", "share", "streams"], may_be_empty: false })
        .doc("Group protocols that are offered. Kafka takes this key away in 5.0; `classic` must be in it."),
    int("group.coordinator.threads").or("4").high().at_least(1).no_effect(NO_THREADS)
        .doc("Threads of the group coordinator."),
    int("group.initial.rebalance.delay.ms").or("3000")
        .doc("How long the first rebalance of a new classic group waits for more members."),
    int("group.max.session.timeout.ms").or("1800000")
        .doc("Longest session timeout that a member of a classic group may ask for."),
    int("group.max.size").or("2147483647").at_least(1)
        .doc("Members that one classic group may have."),
    int("group.min.session.timeout.ms").or("6000")
        .doc("Shortest session timeout that a member of a classic group may ask for."),
    int("offset.metadata.max.bytes").or("4096").high()
        .doc("Longest text that a client may store with a committed offset."),
    int("offsets.commit.timeout.ms").or("5000").high().at_least(1)
        .doc("How long a commit waits for the in-sync replicas of the offsets topic."),
    int("offsets.load.buffer.size").or("5242880").high().at_least(1)
        .doc("Bytes read at a time when the offsets topic is loaded; a larger batch is read whole."),
    long("offsets.retention.check.interval.ms").or("600000").high().at_least(1)
        .doc("How often expired offsets are looked for."),
    int("offsets.retention.minutes").or("10080").high().at_least(1)
        .doc("Offsets of a group without members, or of a partition nobody subscribes to any more, are kept for this long."),
    int("offsets.topic.compression.codec").or("0").high()
        .doc("Codec of the offsets topic's batches by number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."),
    int("offsets.topic.num.partitions").or("50").high().at_least(1)
        .doc("Partitions of the offsets topic. Never change it once the topic exists."),
    short("offsets.topic.replication.factor").or("3").high().at_least(1)
        .doc("Replication factor of the offsets topic; it is not created before that many brokers are there."),
    int("offsets.topic.segment.bytes").or("104857600").high().at_least(1)
        .doc("Segment size of the offsets topic; small ones compact and load faster."),
];
