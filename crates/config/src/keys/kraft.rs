//! Keys of the roles, the quorum and the metadata log (`KRaftConfigs`, `QuorumConfig`, `MetadataLogConfig`).

use crate::def::{ConfigKey, boolean, int, list, long, string};
use crate::keys::{NO_LINGER, NO_MECHANISM, NON_EMPTY_SET};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    int("broker.heartbeat.interval.ms").or("2000")
        .doc("How often a broker tells the controller that it is alive. At most half of broker.session.timeout.ms makes sense."),
    int("broker.session.timeout.ms").or("9000")
        .doc("The controller fences a broker that it has not heard of for this long."),
    list("controller.listener.names").high().valid(NON_EMPTY_SET)
        .doc("The listeners of controllers. A controller binds those that are in `listeners`; a broker uses the first to reach the controllers."),
    long("controller.performance.always.log.threshold.ms").or("2000").at_least(0).internal().no_effect(NO_MECHANISM)
        .doc("Events of the controller that take longer are logged."),
    long("controller.performance.sample.period.ms").or("60000").at_least(100).internal().no_effect(NO_MECHANISM)
        .doc("How often the controller logs how long its events took."),
    int("controller.quorum.append.linger.ms").or("25").at_least(0).no_effect(NO_LINGER)
        .doc("How long the leader of the quorum gathers records before it syncs them."),
    boolean("controller.quorum.auto.join.enable").or("false").low()
        .doc("A controller that is not a voter makes itself one (KIP-853)."),
    list("controller.quorum.bootstrap.servers").or("").high().valid(Validator::BootstrapServers)
        .doc("Controllers to ask for the quorum, as host:port, where voters are not fixed by controller.quorum.voters."),
    int("controller.quorum.election.backoff.max.ms").or("1000").high().at_least(0)
        .doc("Upper bound for the random pause before a new election, so that candidates do not block each other for ever."),
    int("controller.quorum.election.timeout.ms").or("1000").high().at_least(0)
        .doc("How long a voter waits without a leader before it starts an election."),
    int("controller.quorum.fetch.max.bytes").or("1048576").low().at_least(1)
        .doc("Bytes of metadata log that a follower asks for at a time; one batch is always returned."),
    int("controller.quorum.fetch.snapshot.max.bytes").or("1048576").low().at_least(1)
        .doc("Bytes of a snapshot that a follower asks for at a time."),
    int("controller.quorum.fetch.timeout.ms").or("2000").high().at_least(0)
        .doc("A follower without a successful fetch for this long becomes a candidate; a leader whom no majority fetched from for this long resigns."),
    int("controller.quorum.request.timeout.ms").or("2000").at_least(0)
        .doc("How long a request within the quorum waits for its answer."),
    int("controller.quorum.retry.backoff.ms").or("20").low().at_least(0)
        .doc("Pause before a failed request within the quorum is sent again."),
    list("controller.quorum.voters").or("").high().valid(Validator::QuorumVoters)
        .doc("The fixed voters of the quorum, as id@host:port, the same on every node."),
    int("controller.socket.timeout.ms").or("30000")
        .doc("How long a broker's request to the active controller waits for its answer."),
    int("initial.broker.registration.timeout.ms").or("60000")
        .doc("A broker that cannot register with the controller for this long after its start gives up."),
    long("internal.metadata.delete.delay.millis").or("60000").low().internal()
        .doc("Pause before files of the metadata log are removed. For tests."),
    int("internal.metadata.log.segment.bytes").or_null().low().internal()
        .doc("Segment size of the metadata log, without a lower bound. For tests."),
    int("internal.metadata.max.batch.size.in.bytes").or("8388608").low().internal()
        .doc("Largest batch in the metadata log. For tests."),
    string("metadata.log.dir").or_null().high()
        .doc("Directory of the metadata log; unset, it is the first of log.dirs."),
    long("metadata.log.max.record.bytes.between.snapshots").or("20971520").high().at_least(1)
        .doc("A snapshot is taken when this many bytes of records have come since the last one."),
    long("metadata.log.max.snapshot.interval.ms").or("3600000").high().at_least(0)
        .doc("A snapshot is taken after this long, if any record came since the last one; 0 for never by time."),
    int("metadata.log.segment.bytes").or("1073741824").high().at_least(8388608)
        .doc("Segment size of the metadata log."),
    long("metadata.log.segment.ms").or("604800000").high()
        .doc("Longest time before a new segment of the metadata log is begun."),
    int("metadata.max.idle.interval.ms").or("500").low().at_least(0)
        .doc("The active controller writes an empty record when nothing else came for this long, so that followers see it alive; 0 for never."),
    long("metadata.max.retention.bytes").or("104857600").high()
        .doc("Metadata log and snapshots beyond this size are deleted, oldest first; the last snapshot stays."),
    long("metadata.max.retention.ms").or("604800000").high()
        .doc("Segments and snapshots of the metadata log older than this are deleted; the last snapshot stays."),
    int("node.id").high().at_least(0)
        .doc("The number of this node, unique among brokers and controllers."),
    list("process.roles").high().valid(Validator::List { of: &["broker", "controller"], may_be_empty: false })
        .doc("What this process is: broker, controller, or both. A file without it starts a single node that is both."),
    long("server.max.startup.time.ms").or("9223372036854775807").at_least(0).internal().no_effect(NO_MECHANISM)
        .doc("The process gives up when it is not up after this long."),
    boolean("unstable.api.versions.enable").or("false").high().internal()
        .doc("Offer versions of requests that Kafka has not finished."),
    boolean("unstable.feature.versions.enable").or("false").high().internal()
        .doc("Allow feature levels that Kafka has not finished."),
];
