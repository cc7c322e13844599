//! Keys of replication, leadership, fetching and parked requests (`ReplicationConfigs`).

use crate::def::{ConfigKey, boolean, int, long, string};

pub(super) const KEYS: &[ConfigKey] = &[
    boolean("auto.leader.rebalance.enable").or("true").high().doc(""),
    int("default.replication.factor").or("1").doc(""),
    int("delete.records.purgatory.purge.interval.requests").or("1").doc(""),
    int("fetch.max.bytes").or("57671680").at_least(1024).doc(""),
    int("fetch.purgatory.purge.interval.requests").or("1000").doc(""),
    long("leader.imbalance.check.interval.seconds").or("300").high().at_least(1).doc(""),
    int("max.incremental.fetch.session.cache.slots").or("1000").at_least(0).doc(""),
    int("min.insync.replicas").or("1").high().at_least(1).cluster_wide().doc(""),
    int("num.replica.alter.log.dirs.threads").or_null().high().doc(""),
    int("num.replica.fetchers").or("1").high().at_least(1).cluster_wide().doc(""),
    int("producer.purgatory.purge.interval.requests").or("1000").doc(""),
    int("replica.fetch.backoff.ms").or("1000").at_least(0).doc(""),
    int("replica.fetch.max.bytes").or("1048576").at_least(0).doc(""),
    int("replica.fetch.min.bytes").or("1").high().doc(""),
    int("replica.fetch.response.max.bytes").or("10485760").at_least(0).doc(""),
    int("replica.fetch.wait.max.ms").or("500").high().doc(""),
    long("replica.high.watermark.checkpoint.interval.ms").or("5000").high().doc(""),
    long("replica.lag.time.max.ms").or("30000").high().doc(""),
    string("replica.selector.class").or_null().doc(""),
    int("replica.socket.receive.buffer.bytes").or("65536").high().doc(""),
    int("replica.socket.timeout.ms").or("30000").high().doc(""),
    boolean("unclean.leader.election.enable").or("false").high().cluster_wide().doc(""),
    long("unclean.leader.election.interval.ms").or("300000").at_least(1).internal().doc(""),
];
