//! Keys of TLS (`SslConfigs`, `BrokerSecurityConfigs`).

use crate::def::{ConfigKey, boolean, class, list, password, string};
use crate::keys::SET;

pub(super) const KEYS: &[ConfigKey] = &[
    boolean("ssl.allow.dn.changes").or("false").low().doc(""),
    boolean("ssl.allow.san.changes").or("false").low().doc(""),
    list("ssl.cipher.suites").or("").valid(SET).per_broker().doc(""),
    string("ssl.client.auth").or("none").one_of(&["required", "requested", "none"]).per_broker().doc(""),
    list("ssl.enabled.protocols").or("TLSv1.2,TLSv1.3").valid(SET).per_broker().doc(""),
    string("ssl.endpoint.identification.algorithm").or("https").low().per_broker().doc(""),
    class("ssl.engine.factory.class").or_null().low().per_broker().doc(""),
    password("ssl.key.password").or_null().per_broker().doc(""),
    string("ssl.keymanager.algorithm").or("SunX509").per_broker().doc(""),
    password("ssl.keystore.certificate.chain").or_null().per_broker().doc(""),
    password("ssl.keystore.key").or_null().per_broker().doc(""),
    string("ssl.keystore.location").or_null().per_broker().doc(""),
    password("ssl.keystore.password").or_null().per_broker().doc(""),
    string("ssl.keystore.type").or("JKS").per_broker().doc(""),
    string("ssl.principal.mapping.rules").or("DEFAULT").low().doc(""),
    string("ssl.protocol").or("TLSv1.3").per_broker().doc(""),
    string("ssl.provider").or_null().per_broker().doc(""),
    string("ssl.secure.random.implementation").or_null().low().per_broker().doc(""),
    string("ssl.trustmanager.algorithm").or("PKIX").per_broker().doc(""),
    password("ssl.truststore.certificates").or_null().per_broker().doc(""),
    string("ssl.truststore.location").or_null().per_broker().doc(""),
    password("ssl.truststore.password").or_null().per_broker().doc(""),
    string("ssl.truststore.type").or("JKS").per_broker().doc(""),
];
