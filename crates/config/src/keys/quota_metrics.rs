//! Keys of quotas, metrics and telemetry (`QuotaConfig`, `MetricConfigs`).

use crate::def::{ConfigKey, class, int, list, long, string};
use crate::keys::SET;

pub(super) const KEYS: &[ConfigKey] = &[
    int("alter.log.dirs.replication.quota.window.num").or("11").low().at_least(1).doc(""),
    int("alter.log.dirs.replication.quota.window.size.seconds").or("1").low().at_least(1).doc(""),
    class("client.quota.callback.class").or_null().low().doc(""),
    int("controller.quota.window.num").or("11").low().at_least(1).doc(""),
    int("controller.quota.window.size.seconds").or("1").low().at_least(1).doc(""),
    int("kafka.metrics.polling.interval.secs").or("10").low().at_least(1).doc(""),
    list("kafka.metrics.reporters").or("").low().valid(SET).doc(""),
    list("metric.reporters")
        .or("org.apache.kafka.common.metrics.JmxReporter")
        .low()
        .valid(SET)
        .cluster_wide()
        .doc(""),
    int("metrics.num.samples").or("2").low().at_least(1).doc(""),
    string("metrics.recording.level").or("INFO").low().doc(""),
    long("metrics.sample.window.ms").or("30000").low().at_least(1).doc(""),
    int("quota.window.num").or("11").low().at_least(1).doc(""),
    int("quota.window.size.seconds").or("1").low().at_least(1).doc(""),
    int("replication.quota.window.num").or("11").low().at_least(1).doc(""),
    int("replication.quota.window.size.seconds").or("1").low().at_least(1).doc(""),
    int("telemetry.max.bytes").or("1048576").low().at_least(1).doc(""),
];
