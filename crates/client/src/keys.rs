//! The keys of Kafka's clients. `docs/configuration-clients.md` is made from them: `MILENA_BLESS=1 cargo test -p client --test docs`.

/// A key that a producer, a consumer, a share consumer or an admin client of Apache Kafka 4.4 can be given.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// The kinds of clients that have it.
    pub clients: &'static str,
    /// What its value is: `boolean`, `int`, `long`, `list` and so on.
    pub config_type: &'static str,
    /// What holds without it: milena's, which is Kafka's unless `doc` says so.
    pub default: KeyDefault,
    /// The values that it takes; empty where its type says it all.
    pub valid: &'static str,
    /// How much it matters to most people: `high`, `medium` or `low`.
    pub importance: &'static str,
    /// Why it has no effect here; none where it has.
    pub no_effect: Option<&'static str>,
    /// What it is for.
    pub doc: &'static str,
}

/// What holds where a key is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDefault {
    /// It has to be set.
    Required,
    /// Nothing.
    Unset,
    /// This, as it would be written.
    Value(&'static str),
}

const NO_TLS: &str = "TLS is to come";
const NO_SASL: &str = "SASL is to come";
const NO_PLUGINS: &str = "Java classes cannot be loaded";
const NO_TRANSACTIONS: &str = "transactions are to come";
const NO_SHARE: &str = "share groups are to come";
const NO_METRICS: &str = "the client keeps no metrics yet";
const NOT_YET: &str = "the client does not look at it";

const fn key(name: &'static str, clients: &'static str, config_type: &'static str) -> ConfigKey {
    ConfigKey {
        name,
        clients,
        config_type,
        default: KeyDefault::Unset,
        valid: "",
        importance: "medium",
        no_effect: None,
        doc: "",
    }
}

impl ConfigKey {
    const fn required(mut self) -> ConfigKey {
        self.default = KeyDefault::Required;
        self
    }

    const fn or(mut self, default: &'static str) -> ConfigKey {
        self.default = KeyDefault::Value(default);
        self
    }

    const fn valid(mut self, valid: &'static str) -> ConfigKey {
        self.valid = valid;
        self
    }

    const fn high(mut self) -> ConfigKey {
        self.importance = "high";
        self
    }

    const fn low(mut self) -> ConfigKey {
        self.importance = "low";
        self
    }

    const fn not_yet(mut self, reason: &'static str) -> ConfigKey {
        self.no_effect = Some(reason);
        self
    }

    const fn doc(mut self, doc: &'static str) -> ConfigKey {
        self.doc = doc;
        self
    }
}

/// All of them, in the order of the alphabet. Where kinds of clients differ the producer's facts are here, or the consumer's.
#[rustfmt::skip] // a table: one line of facts, one of words
pub const CONFIG_KEYS: &[ConfigKey] = &[
    key("acks", "producer", "string").or("all").valid("[all, -1, 0, 1]").low()
        .doc("Who must have a record before it counts as delivered: nobody (`0`), the leader (`1`), or every replica in sync (`all` or `-1`)."),
    key("allow.auto.create.topics", "consumer", "boolean").or("true")
        .doc("Whether asking for a topic that is not there makes it, where the broker does that."),
    key("auto.commit.interval.ms", "consumer", "int").or("5000").valid("[0,...]").low()
        .doc("How long at the least lies between two commits that the consumer makes by itself."),
    key("auto.offset.reset", "consumer", "string").or("latest").valid("[latest, earliest, none, by_duration:PnDTnHnMn.nS]")
        .doc("Where a partition is begun that has no committed offset, or whose offset the log does not have: with the first record, behind the last, with the first that is no older than a duration, or with an error."),
    key("batch.size", "producer", "int").or("16384").valid("[0,...]")
        .doc("Bytes that a partition's batch may have before it is sent."),
    key("bootstrap.controllers", "admin", "list").or("").high().not_yet(NOT_YET)
        .doc("Controllers to ask in place of brokers."),
    key("bootstrap.resolve.timeout.ms", "producer, consumer, admin", "long").or("0").valid("[0,...]").high().not_yet(NOT_YET)
        .doc("How long the names of `bootstrap.servers` may be unknown before that is an error."),
    key("bootstrap.servers", "producer, consumer, admin", "list").required().high()
        .doc("Brokers to begin with, as host:port; one that answers is enough, for it names the others."),
    key("buffer.memory", "producer", "long").or("33554432").valid("[0,...]").high()
        .doc("Bytes of records that may wait to be delivered; whoever sends more has to wait."),
    key("buffer.memory.allocation.strategy", "producer", "string").or("full").valid("[full, incremental]").not_yet(NOT_YET)
        .doc("How the memory of `buffer.memory` is given out; Kafka does not tell of it in its own documentation."),
    key("check.crcs", "consumer", "boolean").or("true").low()
        .doc("Whether the checksum of what was fetched is looked at."),
    key("client.dns.lookup", "producer, consumer, admin", "string").or("use_all_dns_ips").valid("[use_all_dns_ips, resolve_canonical_bootstrap_servers_only]").not_yet(NOT_YET)
        .doc("Which addresses are tried of a name that has several."),
    key("client.id", "producer, consumer, admin", "string").or("milena")
        .doc("A name that brokers put into logs, metrics and quotas. Kafka makes one up."),
    key("client.rack", "producer, consumer", "string").or("").low()
        .doc("The rack of this client: a consumer may read from a replica in the same one, and see `partitioner.rack.aware`."),
    key("compression.gzip.level", "producer", "int").or("-1").valid("[1,...,9] or -1")
        .doc("Level of gzip; -1 is zlib's own default."),
    key("compression.lz4.level", "producer", "int").or("9").valid("[1,...,17]")
        .doc("Level of lz4."),
    key("compression.type", "producer", "string").or("none").valid("[none, gzip, snappy, lz4, zstd]").high()
        .doc("The codec of batches."),
    key("compression.zstd.level", "producer", "int").or("3").valid("[-131072,...,22]")
        .doc("Level of zstd."),
    key("config.providers", "producer, consumer, admin", "list").or("").low().not_yet(NO_PLUGINS)
        .doc("Names of Java classes that fill in ${provider:key} in values."),
    key("connections.max.idle.ms", "producer, consumer, admin", "long").or("540000")
        .doc("A connection without requests for this long is closed; never, where it is negative."),
    key("default.api.timeout.ms", "consumer, admin", "int").or("60000").valid("[0,...]")
        .doc("How long an operation may take with all that is tried again in it."),
    key("delivery.timeout.ms", "producer", "int").or("120000").valid("[0,...]")
        .doc("How long after it was sent a record is delivered or has failed."),
    key("enable.auto.commit", "consumer", "boolean").or("true")
        .doc("Whether the consumer commits by itself what it has read; without a `group.id` it does not."),
    key("enable.idempotence", "producer", "boolean").or("true").low()
        .doc("Whether a batch that is sent again is written once; needs `acks=all`."),
    key("enable.metrics.push", "producer, consumer, admin", "boolean").or("true").low().not_yet(NO_METRICS)
        .doc("Whether the client sends the metrics that the cluster has subscribed to (KIP-714)."),
    key("exclude.internal.topics", "consumer", "boolean").or("true")
        .doc("Whether a pattern leaves out topics such as `__consumer_offsets`."),
    key("fetch.max.bytes", "consumer", "int").or("52428800").valid("[0,...]")
        .doc("Bytes that an answer to a fetch may hold; a first batch that is larger comes all the same."),
    key("fetch.max.wait.ms", "consumer", "int").or("500").valid("[0,...]").low()
        .doc("How long a broker waits for `fetch.min.bytes`."),
    key("fetch.min.bytes", "consumer", "int").or("1").valid("[0,...]").high()
        .doc("Bytes that a broker waits for before it answers a fetch."),
    key("group.id", "consumer", "string").high()
        .doc("The group that the consumer is a member of, and whose offsets it commits."),
    key("group.instance.id", "consumer", "string").valid("non-empty string")
        .doc("A name by which a member has its partitions again if it comes back within its session (KIP-345)."),
    key("group.protocol", "consumer", "string").or("classic").valid("[classic, consumer]").high()
        .doc("How the members agree on who reads what: `classic`, or `consumer` for the coordinator's way (KIP-848)."),
    key("group.remote.assignor", "consumer", "string")
        .doc("The coordinator's assignor that a group of `group.protocol=consumer` asks for."),
    key("heartbeat.interval.ms", "consumer", "int").or("3000").high()
        .doc("How often a member of a classic group tells the coordinator that it is there; for `group.protocol=consumer` the coordinator says so."),
    key("interceptor.classes", "producer, consumer", "list").or("").low().not_yet(NO_PLUGINS)
        .doc("What sees every record and every commit on its way; an application of Rust adds its own in code."),
    key("isolation.level", "consumer", "string").or("read_uncommitted").valid("[read_committed, read_uncommitted]")
        .doc("Whether records of transactions are read before they are committed."),
    key("key.deserializer", "consumer", "class").required().high().not_yet(NO_PLUGINS)
        .doc("Java class that makes keys of bytes."),
    key("key.serializer", "producer", "class").required().high().not_yet(NO_PLUGINS)
        .doc("Java class that makes bytes of keys."),
    key("linger.ms", "producer", "long").or("5").valid("[0,...]")
        .doc("How long a batch that is not full waits for more records."),
    key("max.block.ms", "producer", "long").or("60000").valid("[0,...]")
        .doc("How long sending a record may wait for memory or for metadata."),
    key("max.in.flight.requests.per.connection", "producer", "int").or("5").valid("[1,...]").low()
        .doc("Requests to one broker that may be without an answer; more than one keeps the order only with `enable.idempotence`."),
    key("max.partition.fetch.bytes", "consumer", "int").or("1048576").valid("[0,...]").high()
        .doc("Bytes of one partition that an answer to a fetch may hold; a first batch that is larger comes all the same."),
    key("max.poll.interval.ms", "consumer", "int").or("300000").valid("[1,...]")
        .doc("A member that does not poll for this long leaves its group."),
    key("max.poll.records", "consumer", "int").or("500").valid("[1,...]")
        .doc("Records that one poll returns at the most."),
    key("max.request.size", "producer", "int").or("1048576").valid("[0,...]")
        .doc("Bytes that a request, and so a record, may have."),
    key("metadata.cluster.check.enable", "producer, consumer, admin", "boolean").or("true").low().not_yet(NOT_YET)
        .doc("Whether a broker of another cluster, met under a known address, is taken for a reason to begin anew."),
    key("metadata.max.age.ms", "producer, consumer, admin", "long").or("300000").valid("[0,...]").low()
        .doc("How old what is known of the cluster may grow before it is asked for again."),
    key("metadata.max.idle.ms", "producer", "long").or("300000").valid("[5000,...]").low().not_yet(NOT_YET)
        .doc("A topic that nothing is sent to for this long is forgotten."),
    key("metadata.recovery.rebootstrap.trigger.ms", "producer, consumer, admin", "long").or("300000").valid("[0,...]").low()
        .doc("After this long without metadata the client begins anew with `bootstrap.servers` (KIP-1102)."),
    key("metadata.recovery.strategy", "producer, consumer, admin", "string").or("rebootstrap").valid("[rebootstrap, none]").low()
        .doc("Whether a client that reaches none of the brokers it knows begins anew with `bootstrap.servers` (KIP-899)."),
    key("metric.reporters", "producer, consumer, admin", "list").or("org.apache.kafka.common.metrics.JmxReporter").low().not_yet(NO_PLUGINS)
        .doc("Java classes that get the client's metrics."),
    key("metrics.num.samples", "producer, consumer, admin", "int").or("2").valid("[1,...]").low().not_yet(NO_METRICS)
        .doc("Samples that a metric's rate is made of."),
    key("metrics.recording.level", "producer, consumer, admin", "string").or("INFO").valid("[INFO, DEBUG, TRACE]").low().not_yet(NO_METRICS)
        .doc("The finest metrics that are kept."),
    key("metrics.sample.window.ms", "producer, consumer, admin", "long").or("30000").valid("[0,...]").low().not_yet(NO_METRICS)
        .doc("How long one of those samples is."),
    key("partition.assignment.strategy", "consumer", "list").or("range,cooperative-sticky")
        .doc("The assignors of a classic group, the favourite first: range, roundrobin, sticky, cooperative-sticky, the names of Java's classes, or the application's own."),
    key("partitioner.adaptive.partitioning.enable", "producer", "boolean").or("true").low()
        .doc("Whether records without key go rather to partitions that less waits for (KIP-794)."),
    key("partitioner.availability.timeout.ms", "producer", "long").or("0").valid("[0,...]").low()
        .doc("A partition whose leader has taken nothing for this long gets no records without key; 0 for never."),
    key("partitioner.class", "producer", "class").not_yet(NO_PLUGINS)
        .doc("Java class that chooses the partition."),
    key("partitioner.ignore.keys", "producer", "boolean").or("false")
        .doc("Whether records with a key are spread like those without."),
    key("partitioner.rack.aware", "producer", "boolean").or("false").low()
        .doc("Whether records without key go to partitions whose leader is in `client.rack`, as long as one of those takes something."),
    key("receive.buffer.bytes", "producer, consumer, admin", "int").or("-1").valid("[-1,...]")
        .doc("The socket's buffer for what comes; -1 leaves it to the system, which suits it to the connection. Kafka's default is 65536 for consumers, 32768 for producers."),
    key("reconnect.backoff.max.ms", "producer, consumer, admin", "long").or("1000").valid("[0,...]").low()
        .doc("The longest pause before a broker is connected to again."),
    key("reconnect.backoff.ms", "producer, consumer, admin", "long").or("50").valid("[0,...]").low()
        .doc("The first pause before a broker is connected to again that could not be reached; each failure doubles it."),
    key("request.timeout.ms", "producer, consumer, admin", "int").or("30000").valid("[0,...]")
        .doc("How long a request waits for its answer."),
    key("retries", "producer, admin", "int").or("2147483647").valid("[0,...,2147483647]").high()
        .doc("How often a batch is sent again after a broker said that it may be; `delivery.timeout.ms` bounds it too."),
    key("retry.backoff.max.ms", "producer, consumer, admin", "long").or("1000").valid("[0,...]").low()
        .doc("The longest pause before something that failed is tried again. What a consumer fetches, or asks as a member of a group, comes after `retry.backoff.ms` each time."),
    key("retry.backoff.ms", "producer, consumer, admin", "long").or("100").valid("[0,...]").low()
        .doc("The first pause before something that failed is tried again; each failure doubles it."),
    key("sasl.client.callback.handler.class", "producer, consumer, admin", "class").not_yet(NO_SASL)
        .doc("Java class that answers the callbacks of a SASL client."),
    key("sasl.jaas.config", "producer, consumer, admin", "password").not_yet(NO_SASL)
        .doc("Login of a listener, in the format of JAAS; with the prefix listener.name.NAME.MECHANISM."),
    key("sasl.kerberos.kinit.cmd", "producer, consumer, admin", "string").or("/usr/bin/kinit").low().not_yet(NO_SASL)
        .doc("Path of kinit."),
    key("sasl.kerberos.min.time.before.relogin", "producer, consumer, admin", "long").or("60000").low().not_yet(NO_SASL)
        .doc("Shortest pause between two Kerberos logins."),
    key("sasl.kerberos.service.name", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Kerberos principal name that brokers run as."),
    key("sasl.kerberos.ticket.renew.jitter", "producer, consumer, admin", "double").or("0.05").low().not_yet(NO_SASL)
        .doc("Random part of the time until a Kerberos ticket is renewed."),
    key("sasl.kerberos.ticket.renew.window.factor", "producer, consumer, admin", "double").or("0.8").low().not_yet(NO_SASL)
        .doc("Part of a Kerberos ticket's life after which it is renewed."),
    key("sasl.login.callback.handler.class", "producer, consumer, admin", "class").not_yet(NO_SASL)
        .doc("Java class that answers the callbacks of a login."),
    key("sasl.login.class", "producer, consumer, admin", "class").not_yet(NO_SASL)
        .doc("Java class that logs in."),
    key("sasl.login.connect.timeout.ms", "producer, consumer, admin", "int").low().not_yet(NO_SASL)
        .doc("Timeout for connecting to an OAuth provider."),
    key("sasl.login.read.timeout.ms", "producer, consumer, admin", "int").low().not_yet(NO_SASL)
        .doc("Timeout for reading from an OAuth provider."),
    key("sasl.login.refresh.buffer.seconds", "producer, consumer, admin", "short").or("300").valid("[0,...,3600]").low().not_yet(NO_SASL)
        .doc("Seconds before its end by which a credential is refreshed."),
    key("sasl.login.refresh.min.period.seconds", "producer, consumer, admin", "short").or("60").valid("[0,...,900]").low().not_yet(NO_SASL)
        .doc("Shortest time between two refreshes of a credential."),
    key("sasl.login.refresh.window.factor", "producer, consumer, admin", "double").or("0.8").valid("[0.5,...,1.0]").low().not_yet(NO_SASL)
        .doc("Part of a credential's life after which it is refreshed."),
    key("sasl.login.refresh.window.jitter", "producer, consumer, admin", "double").or("0.05").valid("[0.0,...,0.25]").low().not_yet(NO_SASL)
        .doc("Random part of that time."),
    key("sasl.login.retry.backoff.max.ms", "producer, consumer, admin", "long").or("10000").low().not_yet(NO_SASL)
        .doc("Upper bound for the pause between tries to log in with an OAuth provider."),
    key("sasl.login.retry.backoff.ms", "producer, consumer, admin", "long").or("100").low().not_yet(NO_SASL)
        .doc("First pause between tries to log in with an OAuth provider."),
    key("sasl.mechanism", "producer, consumer, admin", "string").or("GSSAPI").not_yet(NO_SASL)
        .doc("The SASL mechanism to log in with."),
    key("sasl.oauthbearer.allow.unverified.audience", "producer, consumer, admin", "boolean").or("false").not_yet(NO_SASL)
        .doc("Accept tokens without a check of their audience."),
    key("sasl.oauthbearer.allow.unverified.issuer", "producer, consumer, admin", "boolean").or("false").not_yet(NO_SASL)
        .doc("Accept tokens without a check of their issuer."),
    key("sasl.oauthbearer.assertion.algorithm", "producer, consumer, admin", "string").or("RS256").valid("(case insensitive) [ES256, RS256]").not_yet(NO_SASL)
        .doc("Algorithm that signs assertions to an OAuth provider."),
    key("sasl.oauthbearer.assertion.claim.aud", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Audience in such assertions."),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", "producer, consumer, admin", "int").or("300").valid("[0,...,86400]").low().not_yet(NO_SASL)
        .doc("Seconds that such assertions are valid."),
    key("sasl.oauthbearer.assertion.claim.iss", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Issuer in such assertions."),
    key("sasl.oauthbearer.assertion.claim.jti.include", "producer, consumer, admin", "boolean").or("false").not_yet(NO_SASL)
        .doc("Put an id of its own into each assertion."),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", "producer, consumer, admin", "int").or("60").valid("[0,...,3600]").low().not_yet(NO_SASL)
        .doc("Seconds by which the start of an assertion's validity is dated back."),
    key("sasl.oauthbearer.assertion.claim.sub", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Subject in such assertions."),
    key("sasl.oauthbearer.assertion.file", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("File with a ready assertion."),
    key("sasl.oauthbearer.assertion.private.key.file", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("File with the key that signs assertions."),
    key("sasl.oauthbearer.assertion.private.key.passphrase", "producer, consumer, admin", "password").not_yet(NO_SASL)
        .doc("Passphrase of that key."),
    key("sasl.oauthbearer.assertion.template.file", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("File with further fields of assertions, in JSON."),
    key("sasl.oauthbearer.client.credentials.client.id", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Client id for the OAuth provider."),
    key("sasl.oauthbearer.client.credentials.client.secret", "producer, consumer, admin", "password").not_yet(NO_SASL)
        .doc("Client secret for the OAuth provider."),
    key("sasl.oauthbearer.clock.skew.seconds", "producer, consumer, admin", "int").or("30").low().not_yet(NO_SASL)
        .doc("Difference between clocks that is forgiven when a token's times are checked."),
    key("sasl.oauthbearer.expected.audience", "producer, consumer, admin", "list").or("").high().not_yet(NO_SASL)
        .doc("Audiences of which a token must name one."),
    key("sasl.oauthbearer.expected.issuer", "producer, consumer, admin", "string").high().not_yet(NO_SASL)
        .doc("Issuer that a token must name."),
    key("sasl.oauthbearer.header.urlencode", "producer, consumer, admin", "boolean").or("false").low().not_yet(NO_SASL)
        .doc("Whether the id and the secret of a client are URL-encoded in the token's request."),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", "producer, consumer, admin", "long").or("3600000").low().not_yet(NO_SASL)
        .doc("How often the provider's keys are read again."),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "producer, consumer, admin", "long").or("10000").low().not_yet(NO_SASL)
        .doc("Upper bound for the pause between tries to read them."),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "producer, consumer, admin", "long").or("100").low().not_yet(NO_SASL)
        .doc("First pause between tries to read them."),
    key("sasl.oauthbearer.jwks.endpoint.url", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Where the provider's keys are."),
    key("sasl.oauthbearer.jwt.retriever.class", "producer, consumer, admin", "class").or("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever").not_yet(NO_SASL)
        .doc("Java class that gets tokens."),
    key("sasl.oauthbearer.jwt.validator.class", "producer, consumer, admin", "class").or("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator").not_yet(NO_SASL)
        .doc("Java class that validates tokens."),
    key("sasl.oauthbearer.scope", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Scope asked for with a token."),
    key("sasl.oauthbearer.scope.claim.name", "producer, consumer, admin", "string").or("scope").low().not_yet(NO_SASL)
        .doc("Name of the claim that holds the scope."),
    key("sasl.oauthbearer.sub.claim.name", "producer, consumer, admin", "string").or("sub").low().not_yet(NO_SASL)
        .doc("Name of the claim that holds the subject."),
    key("sasl.oauthbearer.token.endpoint.url", "producer, consumer, admin", "string").not_yet(NO_SASL)
        .doc("Where tokens are got."),
    key("security.protocol", "producer, consumer, admin", "string").or("PLAINTEXT").valid("[PLAINTEXT]")
        .doc("How brokers are spoken to; PLAINTEXT alone for now."),
    key("security.providers", "producer, consumer, admin", "string").low().not_yet(NO_PLUGINS)
        .doc("Java classes that bring security algorithms."),
    key("send.buffer.bytes", "producer, consumer, admin", "int").or("-1").valid("[-1,...]")
        .doc("The socket's buffer for what leaves; -1 leaves it to the system, which suits it to the connection. Kafka's default is 131072."),
    key("session.timeout.ms", "consumer", "int").or("45000").high()
        .doc("A member of a classic group that was not heard of for this long is out; for `group.protocol=consumer` the coordinator says so."),
    key("share.acknowledgement.mode", "share consumer", "string").or("implicit").valid("[implicit, explicit]").not_yet(NO_SHARE)
        .doc("Whether a share consumer acknowledges records one by one or by its next poll."),
    key("share.acquire.mode", "share consumer", "string").or("BATCH_OPTIMIZED").valid("[batch_optimized, record_limit]").not_yet(NO_SHARE)
        .doc("Whether a share consumer takes whole batches or no more records than it wants."),
    key("socket.connection.setup.timeout.max.ms", "producer, consumer, admin", "long").or("30000")
        .doc("The longest that a connection may take to be made, after several that failed; each failure doubles it."),
    key("socket.connection.setup.timeout.ms", "producer, consumer, admin", "long").or("10000")
        .doc("How long a connection may take to be made."),
    key("ssl.cipher.suites", "producer, consumer, admin", "list").or("").low().not_yet(NO_TLS)
        .doc("Cipher suites that are allowed; empty for all."),
    key("ssl.enabled.protocols", "producer, consumer, admin", "list").or("TLSv1.2,TLSv1.3").not_yet(NO_TLS)
        .doc("TLS versions that are allowed."),
    key("ssl.endpoint.identification.algorithm", "producer, consumer, admin", "string").or("https").low().not_yet(NO_TLS)
        .doc("How a server's name is checked against its certificate; empty for not at all."),
    key("ssl.engine.factory.class", "producer, consumer, admin", "class").low().not_yet(NO_TLS)
        .doc("Java class that makes TLS engines."),
    key("ssl.key.password", "producer, consumer, admin", "password").high().not_yet(NO_TLS)
        .doc("Password of the private key."),
    key("ssl.keymanager.algorithm", "producer, consumer, admin", "string").or("SunX509").low().not_yet(NO_TLS)
        .doc("Java's algorithm for key managers."),
    key("ssl.keystore.certificate.chain", "producer, consumer, admin", "password").high().not_yet(NO_TLS)
        .doc("Certificate chain, as PEM text."),
    key("ssl.keystore.key", "producer, consumer, admin", "password").high().not_yet(NO_TLS)
        .doc("Private key, as PEM text."),
    key("ssl.keystore.location", "producer, consumer, admin", "string").high().not_yet(NO_TLS)
        .doc("File with the key and its certificates."),
    key("ssl.keystore.password", "producer, consumer, admin", "password").high().not_yet(NO_TLS)
        .doc("Password of that file."),
    key("ssl.keystore.type", "producer, consumer, admin", "string").or("JKS").not_yet(NO_TLS)
        .doc("Format of that file: JKS, PKCS12 or PEM."),
    key("ssl.protocol", "producer, consumer, admin", "string").or("TLSv1.3").not_yet(NO_TLS)
        .doc("TLS version of Java's context."),
    key("ssl.provider", "producer, consumer, admin", "string").not_yet(NO_TLS)
        .doc("Java's security provider."),
    key("ssl.secure.random.implementation", "producer, consumer, admin", "string").low().not_yet(NO_TLS)
        .doc("Java's source of random numbers."),
    key("ssl.trustmanager.algorithm", "producer, consumer, admin", "string").or("PKIX").low().not_yet(NO_TLS)
        .doc("Java's algorithm for trust managers."),
    key("ssl.truststore.certificates", "producer, consumer, admin", "password").high().not_yet(NO_TLS)
        .doc("Trusted certificates, as PEM text."),
    key("ssl.truststore.location", "producer, consumer, admin", "string").high().not_yet(NO_TLS)
        .doc("File with trusted certificates."),
    key("ssl.truststore.password", "producer, consumer, admin", "password").high().not_yet(NO_TLS)
        .doc("Password of that file; without it the file is read unchecked."),
    key("ssl.truststore.type", "producer, consumer, admin", "string").or("JKS").not_yet(NO_TLS)
        .doc("Format of that file: JKS, PKCS12 or PEM."),
    key("transaction.timeout.ms", "producer", "int").or("60000").low().not_yet(NO_TRANSACTIONS)
        .doc("A transaction without news for this long is aborted."),
    key("transaction.two.phase.commit.enable", "producer", "boolean").or("false").low().not_yet(NO_TRANSACTIONS)
        .doc("Whether transactions wait for an outside coordinator (KIP-939)."),
    key("transactional.id", "producer", "string").valid("non-empty string").low().not_yet(NO_TRANSACTIONS)
        .doc("A name by which transactions of this producer go on after a restart."),
    key("value.deserializer", "consumer", "class").required().high().not_yet(NO_PLUGINS)
        .doc("Java class that makes values of bytes."),
    key("value.serializer", "producer", "class").required().high().not_yet(NO_PLUGINS)
        .doc("Java class that makes bytes of values."),
];
