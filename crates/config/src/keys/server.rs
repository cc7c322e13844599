//! Keys of the broker as a whole.

use crate::def::{ConfigKey, boolean, class, int, list, string};
use crate::keys::SET;

pub(super) const KEYS: &[ConfigKey] = &[
    class("alter.config.policy.class.name").or_null().low().doc(""),
    int("background.threads").or("10").high().at_least(1).cluster_wide().doc(""),
    int("broker.id").or("-1").high().doc(""),
    string("broker.rack").or_null().doc(""),
    list("config.providers").or("").low().valid(SET).cluster_wide().doc(""),
    boolean("controlled.shutdown.enable").or("true").doc(""),
    class("create.topic.policy.class.name").or_null().low().doc(""),
    boolean("delete.topic.enable").or("true").high().doc(""),
    int("max.request.partition.size.limit").or("2000").at_least(1).doc(""),
    int("request.timeout.ms").or("30000").high().doc(""),
];
