//! Listeners: where the broker binds, what it advertises, and with which protocol
//! (`SocketServerConfigs.listenerListToEndPoints`, `AbstractKafkaConfig`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::error::ConfigError;

/// How a listener's connections are secured; the discriminant is the code in metadata records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// Bare TCP.
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL over bare TCP.
    SaslPlaintext = 2,
    /// SASL over TLS.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// The protocol of that name, in any case.
    pub fn from_name(name: &str) -> Option<SecurityProtocol> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// The code in `RegisterBrokerRecord` and `BrokerRegistrationRequest`.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether connections authenticate with SASL.
    pub const fn is_sasl(self) -> bool {
        matches!(self, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl)
    }
}

/// A listener with its address (`Endpoint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndPoint {
    /// The listener's name, in upper case.
    pub listener_name: String,
    /// How its connections are secured.
    pub security_protocol: SecurityProtocol,
    /// A name or an address, IPv6 without brackets; empty means all interfaces.
    pub host: String,
    /// The TCP port; 0 lets the system choose.
    pub port: u16,
}

/// As in `listeners`: `NAME://host:port`.
impl fmt::Display for EndPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.listener_name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.listener_name, self.host, self.port)
        }
    }
}

/// The protocol of each listener name.
pub type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// A listener name as Kafka compares it.
pub(crate) fn normalise(name: &str) -> String {
    name.to_uppercase()
}

/// Reads `a:1,b:2` (`Csv.parseCsvMap`): the last colon separates.
pub(crate) fn parse_map(name: &str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Vec::new());
    }
    trimmed
        .split(',')
        .map(str::trim)
        .map(|pair| {
            let (key, value) = pair.rsplit_once(':').ok_or_else(|| {
                ConfigError::rule(format!(
                    "Error parsing configuration property '{name}': `{pair}` is not in the form key:value"
                ))
            })?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Reads `listener.security.protocol.map`.
pub(crate) fn parse_protocol_map(text: &str) -> Result<ProtocolMap, ConfigError> {
    let name = "listener.security.protocol.map";
    parse_map(name, text)?
        .into_iter()
        .map(|(listener, protocol)| {
            let parsed = SecurityProtocol::from_name(&protocol).ok_or_else(|| {
                ConfigError::rule(format!("Invalid security protocol `{protocol}` defined in {name}"))
            })?;
            Ok((normalise(&listener), parsed))
        })
        .collect()
}

/// The listener name of `NAME://host:port`, which may be malformed behind the name.
pub(crate) fn listener_name_of(entry: &str) -> Option<String> {
    entry.split_once(':').map(|(name, _)| normalise(name))
}

/// Reads the elements of `listeners` or `advertised.listeners`.
///
/// `distinct_ports`: refuse two listeners on one port, unless one is IPv4 and the other IPv6 (KIP-797).
pub(crate) fn parse_listeners(
    entries: &[String],
    protocols: &ProtocolMap,
    distinct_ports: bool,
) -> Result<Vec<EndPoint>, ConfigError> {
    let wrap = |message: String| {
        ConfigError::rule(format!(
            "Error creating broker listeners from '[{}]': {message}",
            entries.join(", ")
        ))
    };
    let endpoints: Vec<EndPoint> = entries
        .iter()
        .map(|entry| parse_listener(entry, protocols))
        .collect::<Result<_, _>>()
        .map_err(wrap)?;
    check_distinct(&endpoints, entries, distinct_ports).map_err(wrap)?;
    Ok(endpoints)
}

fn parse_listener(entry: &str, protocols: &ProtocolMap) -> Result<EndPoint, String> {
    let unparsable = || format!("Unable to parse {entry} to a broker endpoint");
    let (name, address) = entry.split_once("://").ok_or_else(unparsable)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(unparsable)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(unparsable)?,
        None => host,
    };
    let in_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !name.chars().all(in_name) || !host.chars().all(in_host) {
        return Err(unparsable());
    }
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unparsable());
    }
    // Divergence: Kafka takes a port beyond 65535 here, and fails when it binds.
    let port = port.parse::<u16>().map_err(|_| format!("{} (port out of range:{port})", unparsable()))?;
    let listener_name = normalise(name);
    let security_protocol = *protocols
        .get(&listener_name)
        .ok_or_else(|| format!("No security protocol defined for listener {listener_name}"))?;
    Ok(EndPoint { listener_name, security_protocol, host: host.to_owned(), port })
}

fn check_distinct(endpoints: &[EndPoint], entries: &[String], distinct_ports: bool) -> Result<(), String> {
    let shown = format!("[{}]", entries.join(", "));
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..index].iter().any(|earlier| earlier.listener_name == endpoint.listener_name) {
            return Err(format!("Each listener must have a different name, listeners: {shown}"));
        }
    }
    if !distinct_ports {
        return Ok(());
    }
    let mut by_port: BTreeMap<u16, Vec<&EndPoint>> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.port != 0) {
        by_port.entry(endpoint.port).or_default().push(endpoint);
    }
    for (port, sharing) in by_port.into_iter().filter(|(_, sharing)| sharing.len() > 1) {
        let addresses: Vec<IpAddr> =
            sharing.iter().filter_map(|endpoint| endpoint.host.parse().ok()).collect();
        let named = sharing.len() - addresses.len();
        if named > 1 {
            return Err(format!("Each listener must have a different port, listeners: {shown}"));
        }
        match addresses.as_slice() {
            [] => {}
            [first, second] if first.is_ipv4() != second.is_ipv4() && named == 0 => {}
            [_, _] => {
                return Err(format!(
                    "If you have two listeners on the same port then one needs to be IPv4 and the other IPv6, \
                     listeners: {shown}, port: {port}"
                ));
            }
            _ => {
                return Err(format!(
                    "Each listener must have a different port unless exactly one listener has an IPv4 address and \
                     the other IPv6 address, listeners: {shown}, port: {port}"
                ));
            }
        }
    }
    Ok(())
}
