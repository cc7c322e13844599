//! Keys of authentication, authorization and delegation tokens (`SaslConfigs`, `BrokerSecurityConfigs`, `DelegationTokenManagerConfigs`).

use crate::def::{ConfigKey, boolean, class, double, int, list, long, password, short, string};
use crate::keys::{NO_ACLS, NO_PLUGINS, NO_SASL, NO_TOKENS, SET};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    string("authorizer.class.name").or("").low().valid(Validator::NonNullString).no_effect(NO_ACLS)
        .doc("The authorizer; Kafka's own is org.apache.kafka.metadata.authorizer.StandardAuthorizer. Empty for none."),
    long("connections.max.reauth.ms").or("0").no_effect(NO_SASL)
        .doc("Longest session before a client must authenticate again; 0 for ever (KIP-368)."),
    long("delegation.token.expiry.check.interval.ms").or("3600000").low().at_least(1).no_effect(NO_TOKENS)
        .doc("How often expired delegation tokens are removed."),
    long("delegation.token.expiry.time.ms").or("86400000").at_least(1).no_effect(NO_TOKENS)
        .doc("A delegation token is valid for this long without being renewed."),
    long("delegation.token.max.lifetime.ms").or("604800000").at_least(1).no_effect(NO_TOKENS)
        .doc("A delegation token cannot be renewed beyond this age."),
    password("delegation.token.secret.key").or_null().no_effect(NO_TOKENS)
        .doc("Secret that signs delegation tokens, the same on all nodes."),
    class("principal.builder.class").or("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder").per_broker().no_effect(NO_PLUGINS)
        .doc("Java class that makes a principal of an authenticated connection."),
    class("sasl.client.callback.handler.class").or_null().no_effect(NO_SASL)
        .doc("Java class that answers the callbacks of a SASL client."),
    list("sasl.enabled.mechanisms").or("GSSAPI").valid(SET).per_broker().no_effect(NO_SASL)
        .doc("SASL mechanisms that the broker offers."),
    password("sasl.jaas.config").or_null().per_broker().no_effect(NO_SASL)
        .doc("Login of a listener, in the format of JAAS; with the prefix listener.name.NAME.MECHANISM."),
    string("sasl.kerberos.kinit.cmd").or("/usr/bin/kinit").per_broker().no_effect(NO_SASL)
        .doc("Path of kinit."),
    long("sasl.kerberos.min.time.before.relogin").or("60000").per_broker().no_effect(NO_SASL)
        .doc("Shortest pause between two Kerberos logins."),
    list("sasl.kerberos.principal.to.local.rules").or("DEFAULT").valid(SET).per_broker().no_effect(NO_SASL)
        .doc("Rules that make short names of Kerberos principals; the first that fits counts."),
    string("sasl.kerberos.service.name").or_null().per_broker().no_effect(NO_SASL)
        .doc("Kerberos principal name that brokers run as."),
    double("sasl.kerberos.ticket.renew.jitter").or("0.05").per_broker().no_effect(NO_SASL)
        .doc("Random part of the time until a Kerberos ticket is renewed."),
    double("sasl.kerberos.ticket.renew.window.factor").or("0.8").per_broker().no_effect(NO_SASL)
        .doc("Part of a Kerberos ticket's life after which it is renewed."),
    class("sasl.login.callback.handler.class").or_null().no_effect(NO_SASL)
        .doc("Java class that answers the callbacks of a login."),
    class("sasl.login.class").or_null().no_effect(NO_SASL)
        .doc("Java class that logs in."),
    int("sasl.login.connect.timeout.ms").or_null().low().no_effect(NO_SASL)
        .doc("Timeout for connecting to an OAuth provider."),
    int("sasl.login.read.timeout.ms").or_null().low().no_effect(NO_SASL)
        .doc("Timeout for reading from an OAuth provider."),
    short("sasl.login.refresh.buffer.seconds").or("300").per_broker().no_effect(NO_SASL)
        .doc("Seconds before its end by which a credential is refreshed."),
    short("sasl.login.refresh.min.period.seconds").or("60").per_broker().no_effect(NO_SASL)
        .doc("Shortest time between two refreshes of a credential."),
    double("sasl.login.refresh.window.factor").or("0.8").per_broker().no_effect(NO_SASL)
        .doc("Part of a credential's life after which it is refreshed."),
    double("sasl.login.refresh.window.jitter").or("0.05").per_broker().no_effect(NO_SASL)
        .doc("Random part of that time."),
    long("sasl.login.retry.backoff.max.ms").or("10000").low().no_effect(NO_SASL)
        .doc("Upper bound for the pause between tries to log in with an OAuth provider."),
    long("sasl.login.retry.backoff.ms").or("100").low().no_effect(NO_SASL)
        .doc("First pause between tries to log in with an OAuth provider."),
    string("sasl.mechanism.controller.protocol").or("GSSAPI").high().no_effect(NO_SASL)
        .doc("SASL mechanism between brokers and controllers."),
    string("sasl.mechanism.inter.broker.protocol").or("GSSAPI").per_broker().no_effect(NO_SASL)
        .doc("SASL mechanism between brokers."),
    boolean("sasl.oauthbearer.allow.unverified.audience").or("false").no_effect(NO_SASL)
        .doc("Accept tokens without a check of their audience."),
    boolean("sasl.oauthbearer.allow.unverified.issuer").or("false").no_effect(NO_SASL)
        .doc("Accept tokens without a check of their issuer."),
    string("sasl.oauthbearer.assertion.algorithm").or("RS256").valid(Validator::OneOfAnyCase(&["ES256", "RS256"])).no_effect(NO_SASL)
        .doc("Algorithm that signs assertions to an OAuth provider."),
    string("sasl.oauthbearer.assertion.claim.aud").or_null().no_effect(NO_SASL)
        .doc("Audience in such assertions."),
    int("sasl.oauthbearer.assertion.claim.exp.seconds").or("300").low().between(0, 86400).no_effect(NO_SASL)
        .doc("Seconds that such assertions are valid."),
    string("sasl.oauthbearer.assertion.claim.iss").or_null().no_effect(NO_SASL)
        .doc("Issuer in such assertions."),
    boolean("sasl.oauthbearer.assertion.claim.jti.include").or("false").no_effect(NO_SASL)
        .doc("Put an id of its own into each assertion."),
    int("sasl.oauthbearer.assertion.claim.nbf.seconds").or("60").low().between(0, 3600).no_effect(NO_SASL)
        .doc("Seconds by which the start of an assertion's validity is dated back."),
    string("sasl.oauthbearer.assertion.claim.sub").or_null().no_effect(NO_SASL)
        .doc("Subject in such assertions."),
    string("sasl.oauthbearer.assertion.file").or_null().no_effect(NO_SASL)
        .doc("File with a ready assertion."),
    string("sasl.oauthbearer.assertion.private.key.file").or_null().no_effect(NO_SASL)
        .doc("File with the key that signs assertions."),
    password("sasl.oauthbearer.assertion.private.key.passphrase").or_null().no_effect(NO_SASL)
        .doc("Passphrase of that key."),
    string("sasl.oauthbearer.assertion.template.file").or_null().no_effect(NO_SASL)
        .doc("File with further fields of assertions, in JSON."),
    string("sasl.oauthbearer.client.credentials.client.id").or_null().no_effect(NO_SASL)
        .doc("Client id for the OAuth provider."),
    password("sasl.oauthbearer.client.credentials.client.secret").or_null().no_effect(NO_SASL)
        .doc("Client secret for the OAuth provider."),
    int("sasl.oauthbearer.clock.skew.seconds").or("30").low().no_effect(NO_SASL)
        .doc("Difference between clocks that is forgiven when a token's times are checked."),
    list("sasl.oauthbearer.expected.audience").or("").high().valid(SET).no_effect(NO_SASL)
        .doc("Audiences of which a token must name one."),
    string("sasl.oauthbearer.expected.issuer").or_null().high().no_effect(NO_SASL)
        .doc("Issuer that a token must name."),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms").or("3600000").low().no_effect(NO_SASL)
        .doc("How often the provider's keys are read again."),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms").or("10000").low().no_effect(NO_SASL)
        .doc("Upper bound for the pause between tries to read them."),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms").or("100").low().no_effect(NO_SASL)
        .doc("First pause between tries to read them."),
    string("sasl.oauthbearer.jwks.endpoint.url").or_null().no_effect(NO_SASL)
        .doc("Where the provider's keys are."),
    class("sasl.oauthbearer.jwt.retriever.class").or("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever").no_effect(NO_SASL)
        .doc("Java class that gets tokens."),
    class("sasl.oauthbearer.jwt.validator.class").or("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator").no_effect(NO_SASL)
        .doc("Java class that validates tokens."),
    string("sasl.oauthbearer.scope").or_null().no_effect(NO_SASL)
        .doc("Scope asked for with a token."),
    string("sasl.oauthbearer.scope.claim.name").or("scope").low().no_effect(NO_SASL)
        .doc("Name of the claim that holds the scope."),
    string("sasl.oauthbearer.sub.claim.name").or("sub").low().no_effect(NO_SASL)
        .doc("Name of the claim that holds the subject."),
    string("sasl.oauthbearer.token.endpoint.url").or_null().no_effect(NO_SASL)
        .doc("Where tokens are got."),
    class("sasl.server.callback.handler.class").or_null().no_effect(NO_SASL)
        .doc("Java class that answers the callbacks of a SASL server; with a listener's and mechanism's prefix."),
    int("sasl.server.max.receive.size").or("524288").no_effect(NO_SASL)
        .doc("Largest message of a client before it has authenticated."),
    string("security.inter.broker.protocol").or("PLAINTEXT").one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .doc("Protocol between brokers, whose name is also the listener's; not together with inter.broker.listener.name."),
    string("security.providers").or_null().low().no_effect(NO_PLUGINS)
        .doc("Java classes that create security providers."),
];
