//! Keys of TLS (`SslConfigs`, `BrokerSecurityConfigs`).

use crate::def::{ConfigKey, boolean, class, list, password, string};
use crate::keys::{NO_PLUGINS, NO_TLS, SET};

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    boolean("ssl.allow.dn.changes").or("false").low().no_effect(NO_TLS)
        .doc("A certificate that is replaced at runtime may have another distinguished name."),
    boolean("ssl.allow.san.changes").or("false").low().no_effect(NO_TLS)
        .doc("A certificate that is replaced at runtime may lack alternative names of the old one."),
    list("ssl.cipher.suites").or("").valid(SET).per_broker().no_effect(NO_TLS)
        .doc("Cipher suites that are allowed; empty for all."),
    string("ssl.client.auth").or("none").one_of(&["required", "requested", "none"]).per_broker().no_effect(NO_TLS)
        .doc("Whether clients must, may or need not show a certificate."),
    list("ssl.enabled.protocols").or("TLSv1.2,TLSv1.3").valid(SET).per_broker().no_effect(NO_TLS)
        .doc("TLS versions that are allowed."),
    string("ssl.endpoint.identification.algorithm").or("https").low().per_broker().no_effect(NO_TLS)
        .doc("How a server's name is checked against its certificate; empty for not at all."),
    class("ssl.engine.factory.class").or_null().low().per_broker().no_effect(NO_PLUGINS)
        .doc("Java class that makes TLS engines."),
    password("ssl.key.password").or_null().per_broker().no_effect(NO_TLS)
        .doc("Password of the private key."),
    string("ssl.keymanager.algorithm").or("SunX509").per_broker().no_effect(NO_TLS)
        .doc("Java's algorithm for key managers."),
    password("ssl.keystore.certificate.chain").or_null().per_broker().no_effect(NO_TLS)
        .doc("Certificate chain, as PEM text."),
    password("ssl.keystore.key").or_null().per_broker().no_effect(NO_TLS)
        .doc("Private key, as PEM text."),
    string("ssl.keystore.location").or_null().per_broker().no_effect(NO_TLS)
        .doc("File with the key and its certificates."),
    password("ssl.keystore.password").or_null().per_broker().no_effect(NO_TLS)
        .doc("Password of that file."),
    string("ssl.keystore.type").or("JKS").per_broker().no_effect(NO_TLS)
        .doc("Format of that file: JKS, PKCS12 or PEM."),
    string("ssl.principal.mapping.rules").or("DEFAULT").low().no_effect(NO_TLS)
        .doc("Rules that make short names of distinguished names; the first that fits counts."),
    string("ssl.protocol").or("TLSv1.3").per_broker().no_effect(NO_TLS)
        .doc("TLS version of Java's context."),
    string("ssl.provider").or_null().per_broker().no_effect(NO_TLS)
        .doc("Java's security provider."),
    string("ssl.secure.random.implementation").or_null().low().per_broker().no_effect(NO_TLS)
        .doc("Java's source of random numbers."),
    string("ssl.trustmanager.algorithm").or("PKIX").per_broker().no_effect(NO_TLS)
        .doc("Java's algorithm for trust managers."),
    password("ssl.truststore.certificates").or_null().per_broker().no_effect(NO_TLS)
        .doc("Trusted certificates, as PEM text."),
    string("ssl.truststore.location").or_null().per_broker().no_effect(NO_TLS)
        .doc("File with trusted certificates."),
    password("ssl.truststore.password").or_null().per_broker().no_effect(NO_TLS)
        .doc("Password of that file; without it the file is read unchecked."),
    string("ssl.truststore.type").or("JKS").per_broker().no_effect(NO_TLS)
        .doc("Format of that file: JKS, PKCS12 or PEM."),
];
