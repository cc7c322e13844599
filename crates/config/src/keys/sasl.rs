//! Keys of authentication, authorization and delegation tokens (`SaslConfigs`, `BrokerSecurityConfigs`, `DelegationTokenManagerConfigs`).

use crate::def::{ConfigKey, boolean, class, double, int, list, long, password, short, string};
use crate::keys::SET;
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    string("authorizer.class.name").or("").low().valid(Validator::NonNullString).doc(""),
    long("connections.max.reauth.ms").or("0").doc(""),
    long("delegation.token.expiry.check.interval.ms").or("3600000").low().at_least(1).doc(""),
    long("delegation.token.expiry.time.ms").or("86400000").at_least(1).doc(""),
    long("delegation.token.max.lifetime.ms").or("604800000").at_least(1).doc(""),
    password("delegation.token.secret.key").or_null().doc(""),
    class("principal.builder.class")
        .or("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder")
        .per_broker()
        .doc(""),
    class("sasl.client.callback.handler.class").or_null().doc(""),
    list("sasl.enabled.mechanisms").or("GSSAPI").valid(SET).per_broker().doc(""),
    password("sasl.jaas.config").or_null().per_broker().doc(""),
    string("sasl.kerberos.kinit.cmd").or("/usr/bin/kinit").per_broker().doc(""),
    long("sasl.kerberos.min.time.before.relogin").or("60000").per_broker().doc(""),
    list("sasl.kerberos.principal.to.local.rules").or("DEFAULT").valid(SET).per_broker().doc(""),
    string("sasl.kerberos.service.name").or_null().per_broker().doc(""),
    double("sasl.kerberos.ticket.renew.jitter").or("0.05").per_broker().doc(""),
    double("sasl.kerberos.ticket.renew.window.factor").or("0.8").per_broker().doc(""),
    class("sasl.login.callback.handler.class").or_null().doc(""),
    class("sasl.login.class").or_null().doc(""),
    int("sasl.login.connect.timeout.ms").or_null().low().doc(""),
    int("sasl.login.read.timeout.ms").or_null().low().doc(""),
    short("sasl.login.refresh.buffer.seconds").or("300").per_broker().doc(""),
    short("sasl.login.refresh.min.period.seconds").or("60").per_broker().doc(""),
    double("sasl.login.refresh.window.factor").or("0.8").per_broker().doc(""),
    double("sasl.login.refresh.window.jitter").or("0.05").per_broker().doc(""),
    long("sasl.login.retry.backoff.max.ms").or("10000").low().doc(""),
    long("sasl.login.retry.backoff.ms").or("100").low().doc(""),
    string("sasl.mechanism.controller.protocol").or("GSSAPI").high().doc(""),
    string("sasl.mechanism.inter.broker.protocol").or("GSSAPI").per_broker().doc(""),
    boolean("sasl.oauthbearer.allow.unverified.audience").or("false").doc(""),
    boolean("sasl.oauthbearer.allow.unverified.issuer").or("false").doc(""),
    string("sasl.oauthbearer.assertion.algorithm")
        .or("RS256")
        .valid(Validator::OneOfAnyCase(&["ES256", "RS256"]))
        .doc(""),
    string("sasl.oauthbearer.assertion.claim.aud").or_null().doc(""),
    int("sasl.oauthbearer.assertion.claim.exp.seconds").or("300").low().between(0, 86400).doc(""),
    string("sasl.oauthbearer.assertion.claim.iss").or_null().doc(""),
    boolean("sasl.oauthbearer.assertion.claim.jti.include").or("false").doc(""),
    int("sasl.oauthbearer.assertion.claim.nbf.seconds").or("60").low().between(0, 3600).doc(""),
    string("sasl.oauthbearer.assertion.claim.sub").or_null().doc(""),
    string("sasl.oauthbearer.assertion.file").or_null().doc(""),
    string("sasl.oauthbearer.assertion.private.key.file").or_null().doc(""),
    password("sasl.oauthbearer.assertion.private.key.passphrase").or_null().doc(""),
    string("sasl.oauthbearer.assertion.template.file").or_null().doc(""),
    string("sasl.oauthbearer.client.credentials.client.id").or_null().doc(""),
    password("sasl.oauthbearer.client.credentials.client.secret").or_null().doc(""),
    int("sasl.oauthbearer.clock.skew.seconds").or("30").low().doc(""),
    list("sasl.oauthbearer.expected.audience").or("").high().valid(SET).doc(""),
    string("sasl.oauthbearer.expected.issuer").or_null().high().doc(""),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms").or("3600000").low().doc(""),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms").or("10000").low().doc(""),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms").or("100").low().doc(""),
    string("sasl.oauthbearer.jwks.endpoint.url").or_null().doc(""),
    class("sasl.oauthbearer.jwt.retriever.class")
        .or("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever")
        .doc(""),
    class("sasl.oauthbearer.jwt.validator.class")
        .or("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator")
        .doc(""),
    string("sasl.oauthbearer.scope").or_null().doc(""),
    string("sasl.oauthbearer.scope.claim.name").or("scope").low().doc(""),
    string("sasl.oauthbearer.sub.claim.name").or("sub").low().doc(""),
    string("sasl.oauthbearer.token.endpoint.url").or_null().doc(""),
    class("sasl.server.callback.handler.class").or_null().doc(""),
    int("sasl.server.max.receive.size").or("524288").doc(""),
    string("security.inter.broker.protocol")
        .or("PLAINTEXT")
        .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .doc(""),
    string("security.providers").or_null().low().doc(""),
];
