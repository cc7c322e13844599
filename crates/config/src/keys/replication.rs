//! Keys of replication, leadership, fetching and parked requests (`ReplicationConfigs`).

use crate::def::{ConfigKey, boolean, int, long, string};
use crate::keys::NO_PURGATORY;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    boolean("auto.leader.rebalance.enable").or("true").high()
        .doc("Give leadership back to preferred replicas from time to time."),
    int("default.replication.factor").or("1")
        .doc("Replication factor of a topic that is created without saying which."),
    int("delete.records.purgatory.purge.interval.requests").or("1").no_effect(NO_PURGATORY)
        .doc("Finished requests that may pile up among waiting DeleteRecords before they are swept out."),
    int("fetch.max.bytes").or("57671680").at_least(1024)
        .doc("Largest answer to a Fetch; one batch is always returned."),
    int("fetch.purgatory.purge.interval.requests").or("1000").no_effect(NO_PURGATORY)
        .doc("Finished requests that may pile up among waiting Fetches before they are swept out."),
    long("leader.imbalance.check.interval.seconds").or("300").high().at_least(1)
        .doc("How often the controller looks for leaderships to give back."),
    int("max.incremental.fetch.session.cache.slots").or("1000").at_least(0)
        .doc("Fetch sessions that the broker keeps (KIP-227)."),
    int("min.insync.replicas").or("1").high().at_least(1).cluster_wide()
        .doc("Replicas that must be in sync for a write with acks=all to be taken."),
    int("num.replica.alter.log.dirs.threads").or_null().high()
        .doc("Threads that copy replicas between log directories; unset means one per directory."),
    int("num.replica.fetchers").or("1").high().at_least(1).cluster_wide()
        .doc("Connections per source broker that replicate from it."),
    int("producer.purgatory.purge.interval.requests").or("1000").no_effect(NO_PURGATORY)
        .doc("Finished requests that may pile up among waiting Produces before they are swept out."),
    int("replica.fetch.backoff.ms").or("1000").at_least(0)
        .doc("Pause of a replica after a failed fetch."),
    int("replica.fetch.max.bytes").or("1048576").at_least(0)
        .doc("Bytes per partition that a replica asks for; one batch is always returned."),
    int("replica.fetch.min.bytes").or("1").high()
        .doc("Bytes that a leader gathers before it answers a replica."),
    int("replica.fetch.response.max.bytes").or("10485760").at_least(0)
        .doc("Bytes in one answer to a replica; one batch is always returned."),
    int("replica.fetch.wait.max.ms").or("500").high()
        .doc("Longest time that a leader gathers. At most replica.lag.time.max.ms."),
    long("replica.high.watermark.checkpoint.interval.ms").or("5000").high()
        .doc("How often high watermarks are written to disk."),
    long("replica.lag.time.max.ms").or("30000").high()
        .doc("A replica that has not caught up for this long leaves the in-sync replicas."),
    string("replica.selector.class").or_null()
        .doc("What chooses the replica a consumer reads from: Kafka's RackAwareReplicaSelector or LeaderSelector, by the name of the class."),
    int("replica.socket.receive.buffer.bytes").or("65536").high()
        .doc("Socket buffer of a replica that fetches."),
    int("replica.socket.timeout.ms").or("30000").high()
        .doc("Timeout of a replica's requests. At least replica.fetch.wait.max.ms."),
    boolean("unclean.leader.election.enable").or("false").high().cluster_wide()
        .doc("A replica that is not in sync may lead when no other is left. Acknowledged records may be lost."),
    long("unclean.leader.election.interval.ms").or("300000").at_least(1).internal()
        .doc("How often the controller looks for partitions that need an unclean election."),
];
