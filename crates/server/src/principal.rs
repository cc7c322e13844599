//! Who a client is, as brokers tell it the controller (`DefaultKafkaPrincipalBuilder.serialize`).

use protocol::messages::DefaultPrincipalData;
use protocol::{DecodeError, Message, Reader, Writer};

/// Everybody, while no listener authenticates: type and name.
pub(crate) const ANONYMOUS: (&str, &str) = ("User", "ANONYMOUS");

/// The version of the form in which principals are written; it stands before them.
const VERSION: i16 = 0;

/// A principal as it stands in an envelope.
pub(crate) fn serialize((kind, name): (&str, &str)) -> Vec<u8> {
    let principal =
        DefaultPrincipalData { type_: kind.to_owned(), name: name.to_owned(), token_authenticated: false };
    let mut writer = Writer::new();
    writer.i16(VERSION);
    // Two short names always fit.
    drop(principal.write(&mut writer, VERSION));
    writer.into_bytes()
}

/// Reads what [`serialize`], or Apache Kafka, wrote: `type:name`.
pub(crate) fn deserialize(bytes: &[u8]) -> Result<String, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    let principal = DefaultPrincipalData::read(&mut reader, version)?;
    Ok(format!("{}:{}", principal.type_, principal.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_as_kafka_writes_it() {
        let bytes = serialize(ANONYMOUS);
        // Version 0, two compact texts, false, no tagged fields.
        assert_eq!(bytes, b"\x00\x00\x05User\x0aANONYMOUS\x00\x00");
        assert_eq!(deserialize(&bytes).unwrap(), "User:ANONYMOUS");
        assert!(deserialize(&bytes[..5]).is_err());
        assert!(deserialize(b"\x00\x07\x05User\x02A\x00\x00").is_err());
        assert!(deserialize(b"").is_err());
    }
}
