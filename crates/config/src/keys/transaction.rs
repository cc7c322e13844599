//! Keys of transactions and producer ids (`TransactionLogConfig`, `TransactionStateManagerConfig`, `AddPartitionsToTxnConfig`).

use crate::def::{ConfigKey, boolean, int, short};

pub(super) const KEYS: &[ConfigKey] = &[
    int("add.partitions.to.txn.retry.backoff.max.ms").or("100").high().at_least(0).doc(""),
    int("add.partitions.to.txn.retry.backoff.ms").or("20").high().at_least(1).doc(""),
    int("producer.id.expiration.check.interval.ms").or("600000").low().at_least(1).internal().doc(""),
    int("producer.id.expiration.ms").or("86400000").low().at_least(1).cluster_wide().doc(""),
    int("transaction.abort.timed.out.transaction.cleanup.interval.ms").or("10000").low().at_least(1).doc(""),
    int("transaction.max.timeout.ms").or("900000").high().at_least(1).doc(""),
    boolean("transaction.partition.verification.enable").or("true").low().cluster_wide().doc(""),
    int("transaction.remove.expired.transaction.cleanup.interval.ms").or("3600000").low().at_least(1).doc(""),
    int("transaction.state.log.load.buffer.size").or("5242880").high().at_least(1).doc(""),
    int("transaction.state.log.min.isr").or("2").high().at_least(1).doc(""),
    int("transaction.state.log.num.partitions").or("50").high().at_least(1).doc(""),
    short("transaction.state.log.replication.factor").or("3").high().at_least(1).doc(""),
    int("transaction.state.log.segment.bytes").or("104857600").high().at_least(1).doc(""),
    boolean("transaction.two.phase.commit.enable").or("false").low().doc(""),
    int("transactional.id.expiration.ms").or("604800000").high().at_least(1).doc(""),
];
