//! Keys of the broker as a whole.

use crate::def::{ConfigKey, boolean, class, int, list, string};
use crate::keys::{NO_PLUGINS, NO_THREADS, NO_TXN, SET};

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    class("alter.config.policy.class.name").or_null().low().no_effect(NO_PLUGINS)
        .doc("A Java class that may refuse changes of configuration."),
    int("background.threads").or("10").high().at_least(1).cluster_wide().no_effect(NO_THREADS)
        .doc("Threads for background work."),
    int("broker.id").or("-1").high()
        .doc("The older name of node.id. If both are set they must agree."),
    string("broker.rack").or_null()
        .doc("The rack, or zone, of this broker: replicas are spread over racks, and consumers may fetch from a near one."),
    list("config.providers").or("").low().valid(SET).cluster_wide().no_effect(NO_PLUGINS)
        .doc("Names of Java classes that fill in ${provider:key} in values."),
    boolean("controlled.shutdown.enable").or("true")
        .doc("Hand leaderships over before stopping."),
    class("create.topic.policy.class.name").or_null().low().no_effect(NO_PLUGINS)
        .doc("A Java class that may refuse new topics."),
    boolean("delete.topic.enable").or("true").high()
        .doc("Whether topics can be deleted; if not, such requests are refused."),
    int("max.request.partition.size.limit").or("2000").at_least(1)
        .doc("Partitions in one answer to DescribeTopicPartitions; the rest comes page by page."),
    int("request.timeout.ms").or("30000").high().no_effect(NO_TXN)
        .doc("How long the broker waits for an answer to a request of its own."),
];
