//! Keys of listeners, connections and request threads (`SocketServerConfigs`).

use crate::def::{ConfigKey, int, list, long, string};
use crate::keys::{NON_EMPTY_SET, SET};

pub(super) const KEYS: &[ConfigKey] = &[
    list("advertised.listeners").or_null().high().valid(NON_EMPTY_SET).doc(""),
    int("connection.failed.authentication.delay.ms").or("100").low().at_least(0).doc(""),
    long("connections.max.idle.ms").or("600000").doc(""),
    list("early.start.listeners").or_null().high().valid(SET).doc(""),
    string("inter.broker.listener.name").or_null().doc(""),
    string("listener.security.protocol.map")
        .or("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT")
        .low()
        .per_broker()
        .doc(""),
    list("listeners").or("PLAINTEXT://:9092").high().valid(NON_EMPTY_SET).per_broker().doc(""),
    int("max.connection.creation.rate").or("2147483647").at_least(0).cluster_wide().doc(""),
    int("max.connections").or("2147483647").at_least(0).cluster_wide().doc(""),
    int("max.connections.per.ip").or("2147483647").at_least(0).cluster_wide().doc(""),
    string("max.connections.per.ip.overrides").or("").cluster_wide().doc(""),
    int("num.io.threads").or("8").high().at_least(1).cluster_wide().doc(""),
    int("num.network.threads").or("3").high().at_least(1).cluster_wide().doc(""),
    long("queued.max.request.bytes").or("-1").doc(""),
    int("queued.max.requests").or("500").high().at_least(1).doc(""),
    long("socket.connection.setup.timeout.max.ms").or("30000").doc(""),
    long("socket.connection.setup.timeout.ms").or("10000").doc(""),
    int("socket.listen.backlog.size").or("50").at_least(1).doc(""),
    int("socket.receive.buffer.bytes").or("102400").high().doc(""),
    int("socket.request.max.bytes").or("104857600").high().at_least(1).doc(""),
    int("socket.send.buffer.bytes").or("102400").high().doc(""),
];
