//! Keys of listeners, connections and request threads (`SocketServerConfigs`).

use crate::def::{ConfigKey, int, list, long, string};
use crate::keys::{NO_GROWTH, NO_LIMIT, NO_MECHANISM, NO_SASL, NO_THREADS, NON_EMPTY_SET, SET};

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    list("advertised.listeners").or_null().high().valid(NON_EMPTY_SET)
        .doc("Where clients and other brokers are told to connect, as NAME://host:port. Needed where they cannot reach the address of `listeners`; unset means the same as `listeners`, with this machine's name for an empty host."),
    int("connection.failed.authentication.delay.ms").or("100").low().at_least(0).no_effect(NO_SASL)
        .doc("A connection that failed to authenticate is kept open and silent for this long. Must be below connections.max.idle.ms."),
    long("connections.max.idle.ms").or("600000")
        .doc("A connection without a request for this long is closed."),
    list("early.start.listeners").or_null().high().valid(SET).no_effect(NO_MECHANISM)
        .doc("Listeners that may open before the authorizer is ready."),
    string("inter.broker.listener.name").or_null()
        .doc("The listener that brokers use among themselves. Unset, security.inter.broker.protocol names it; only one of the two may be set."),
    string("listener.security.protocol.map").or("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT").low().per_broker()
        .doc("Which protocol each listener name uses, as NAME:PROTOCOL. Once it is set, every listener must be in it."),
    list("listeners").or("PLAINTEXT://:9092").high().valid(NON_EMPTY_SET).per_broker()
        .doc("Where the broker binds, as NAME://host:port. An empty host means all interfaces; names and ports must differ, except that one port may be shared by an IPv4 and an IPv6 address."),
    int("max.connection.creation.rate").or("2147483647").at_least(0).cluster_wide().no_effect(NO_LIMIT)
        .doc("New connections per second that the broker accepts; with a listener's prefix, that the listener accepts."),
    int("max.connections").or("2147483647").at_least(0).cluster_wide()
        .doc("Connections that the broker holds at most, over all listeners; with a listener's prefix, that the listener holds."),
    int("max.connections.per.ip").or("2147483647").at_least(0).cluster_wide()
        .doc("Connections from one address. 0 is allowed only with overrides."),
    string("max.connections.per.ip.overrides").or("").cluster_wide()
        .doc("Addresses or host names with a limit of their own, as host:count."),
    int("num.io.threads").or("8").high().at_least(1).cluster_wide().no_effect(NO_THREADS)
        .doc("Threads that process requests."),
    int("num.network.threads").or("3").high().at_least(1).cluster_wide().no_effect(NO_THREADS)
        .doc("Threads per listener that read requests and write answers."),
    long("queued.max.request.bytes").or("-1")
        .doc("Memory, in bytes, that large requests may hold before they are served, over all connections; -1 for no limit. Where there is none left connections are read no further, but for one at a time, so that the requests together hold this and one request at most."),
    int("queued.max.requests").or("500").high().at_least(1).no_effect(NO_THREADS)
        .doc("Requests that may wait before reading stops."),
    long("socket.connection.setup.timeout.max.ms").or("30000").no_effect(NO_GROWTH)
        .doc("Upper bound for the time a connection to another node may take to open; the time grows towards it with each failure."),
    long("socket.connection.setup.timeout.ms").or("10000")
        .doc("How long a connection to another node may take to open at first."),
    int("socket.listen.backlog.size").or("50").at_least(1)
        .doc("Connections that may wait to be accepted; the system may allow fewer."),
    int("socket.receive.buffer.bytes").or("102400").high()
        .doc("SO_RCVBUF of accepted sockets; -1 leaves it to the system. Where it is not set the system sizes the buffer by itself."),
    int("socket.request.max.bytes").or("104857600").high().at_least(1)
        .doc("Largest request that is read; a connection that announces a larger one is closed."),
    int("socket.send.buffer.bytes").or("102400").high()
        .doc("SO_SNDBUF of accepted sockets; -1 leaves it to the system. Where it is not set the system sizes the buffer by itself."),
];
