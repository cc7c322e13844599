//! Keys of transactions and producer ids (`TransactionLogConfig`, `TransactionStateManagerConfig`, `AddPartitionsToTxnConfig`).

use crate::def::{ConfigKey, boolean, int, short};
use crate::keys::NO_TXN;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    int("add.partitions.to.txn.retry.backoff.max.ms").or("100").high().at_least(0).no_effect(NO_TXN)
        .doc("Longest time that adding a partition to a transaction is retried inside the broker before the producer is told to retry."),
    int("add.partitions.to.txn.retry.backoff.ms").or("20").high().at_least(1).no_effect(NO_TXN)
        .doc("Pause between two tries of the broker to add a partition to a transaction."),
    int("producer.id.expiration.check.interval.ms").or("600000").low().at_least(1).internal()
        .doc("How often producer ids are looked through for expired ones."),
    int("producer.id.expiration.ms").or("86400000").low().at_least(1).cluster_wide()
        .doc("A partition forgets a producer id that has written nothing for this long; one with an open transaction is kept."),
    int("transaction.abort.timed.out.transaction.cleanup.interval.ms").or("10000").low().at_least(1).no_effect(NO_TXN)
        .doc("How often transactions beyond their timeout are looked for and aborted."),
    int("transaction.max.timeout.ms").or("900000").high().at_least(1).no_effect(NO_TXN)
        .doc("Longest timeout that a producer may ask for its transactions; a longer one is refused."),
    boolean("transaction.partition.verification.enable").or("true").low().cluster_wide().no_effect(NO_TXN)
        .doc("Check with the coordinator that a partition belongs to the transaction before transactional records are appended to it (KIP-890)."),
    int("transaction.remove.expired.transaction.cleanup.interval.ms").or("3600000").low().at_least(1).no_effect(NO_TXN)
        .doc("How often transactional ids beyond transactional.id.expiration.ms are removed."),
    int("transaction.state.log.load.buffer.size").or("5242880").high().at_least(1).no_effect(NO_TXN)
        .doc("Bytes read at a time when the transaction topic is loaded; a larger batch is read whole."),
    int("transaction.state.log.min.isr").or("2").high().at_least(1).no_effect(NO_TXN)
        .doc("min.insync.replicas of the transaction topic."),
    int("transaction.state.log.num.partitions").or("50").high().at_least(1).no_effect(NO_TXN)
        .doc("Partitions of the transaction topic. Never change it once the topic exists."),
    short("transaction.state.log.replication.factor").or("3").high().at_least(1).no_effect(NO_TXN)
        .doc("Replication factor of the transaction topic; it is not created before that many brokers are there."),
    int("transaction.state.log.segment.bytes").or("104857600").high().at_least(1).no_effect(NO_TXN)
        .doc("Segment size of the transaction topic; small ones compact and load faster."),
    boolean("transaction.two.phase.commit.enable").or("false").low().no_effect(NO_TXN)
        .doc("Let producers keep prepared transactions open for an outer coordinator (KIP-939)."),
    int("transactional.id.expiration.ms").or("604800000").high().at_least(1).no_effect(NO_TXN)
        .doc("A transactional id without any change of state for this long is forgotten."),
];
