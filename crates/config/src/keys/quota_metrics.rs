//! Keys of quotas, metrics and telemetry (`QuotaConfig`, `MetricConfigs`).

use crate::def::{ConfigKey, class, int, list, long, string};
use crate::keys::{NO_METRICS, NO_PLUGINS, NO_QUOTAS, SET};

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    int("alter.log.dirs.replication.quota.window.num").or("11").low().at_least(1)
        .doc("Windows kept to measure copying between log directories."),
    int("alter.log.dirs.replication.quota.window.size.seconds").or("1").low().at_least(1)
        .doc("Length of each of those windows."),
    class("client.quota.callback.class").or_null().low().no_effect(NO_PLUGINS)
        .doc("A Java class that decides on the quotas of clients."),
    int("controller.quota.window.num").or("11").low().at_least(1).no_effect(NO_QUOTAS)
        .doc("Windows kept to measure changes of topics and partitions."),
    int("controller.quota.window.size.seconds").or("1").low().at_least(1).no_effect(NO_QUOTAS)
        .doc("Length of each of those windows."),
    int("kafka.metrics.polling.interval.secs").or("10").low().at_least(1).no_effect(NO_METRICS)
        .doc("How often Yammer reporters poll."),
    list("kafka.metrics.reporters").or("").low().valid(SET).no_effect(NO_PLUGINS)
        .doc("Java classes that report Yammer metrics."),
    list("metric.reporters").or("org.apache.kafka.common.metrics.JmxReporter").low().valid(SET).cluster_wide().no_effect(NO_PLUGINS)
        .doc("Java classes that report metrics."),
    int("metrics.num.samples").or("2").low().at_least(1).no_effect(NO_METRICS)
        .doc("Samples kept for each metric."),
    string("metrics.recording.level").or("INFO").low().no_effect(NO_METRICS)
        .doc("Which metrics are recorded: INFO, DEBUG or TRACE."),
    long("metrics.sample.window.ms").or("30000").low().at_least(1).no_effect(NO_METRICS)
        .doc("Length of each sample of a metric."),
    int("quota.window.num").or("11").low().at_least(1).no_effect(NO_QUOTAS)
        .doc("Windows kept to measure clients against their quotas."),
    int("quota.window.size.seconds").or("1").low().at_least(1).no_effect(NO_QUOTAS)
        .doc("Length of each of those windows."),
    int("replication.quota.window.num").or("11").low().at_least(1)
        .doc("Windows kept to measure throttled replication."),
    int("replication.quota.window.size.seconds").or("1").low().at_least(1)
        .doc("Length of each of those windows."),
    int("telemetry.max.bytes").or("1048576").low().at_least(1)
        .doc("Largest batch of metrics, compressed, that a client may push (KIP-714)."),
];
