//! Bytes as text, by the names of Java's deserializers (`org.apache.kafka.common.serialization`).

use std::io::Write;

/// How a key, a value or a header is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Deserializer {
    /// As it is.
    #[default]
    Bytes,
    /// UTF-8, with what is none replaced.
    Text,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
    /// Nothing is shown but `null`.
    Void,
}

impl Deserializer {
    /// By the class's name, with or without its package.
    pub(crate) fn by_name(name: &str) -> Result<Deserializer, String> {
        let class = name.strip_prefix("org.apache.kafka.common.serialization.").unwrap_or(name);
        Ok(match class {
            // Divergence: Kafka shows a Java array's address for ByteArrayDeserializer ("[B@1b2c"), which helps nobody.
            "ByteArrayDeserializer" | "BytesDeserializer" | "ByteBufferDeserializer" => Deserializer::Bytes,
            "StringDeserializer" => Deserializer::Text,
            "ShortDeserializer" => Deserializer::Short,
            "IntegerDeserializer" => Deserializer::Integer,
            "LongDeserializer" => Deserializer::Long,
            "FloatDeserializer" => Deserializer::Float,
            "DoubleDeserializer" => Deserializer::Double,
            "BooleanDeserializer" => Deserializer::Boolean,
            "UUIDDeserializer" => Deserializer::Uuid,
            "VoidDeserializer" => Deserializer::Void,
            _ => {
                return Err(format!(
                    "{name}: classes of Java cannot be loaded by this program. There are String, ByteArray, Bytes, \
                     ByteBuffer, Short, Integer, Long, Float, Double, Boolean, UUID and VoidDeserializer of \
                     org.apache.kafka.common.serialization."
                ));
            }
        })
    }

    /// Writes the text for `bytes`.
    pub(crate) fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        // Writing to memory does not fail.
        match self {
            Deserializer::Bytes => out.extend_from_slice(bytes),
            Deserializer::Text => out.extend_from_slice(String::from_utf8_lossy(bytes).as_bytes()),
            Deserializer::Short => {
                drop(write!(out, "{}", i16::from_be_bytes(fixed(bytes, "ShortDeserializer")?)))
            }
            Deserializer::Integer => {
                drop(write!(out, "{}", i32::from_be_bytes(fixed(bytes, "IntegerDeserializer")?)))
            }
            Deserializer::Long => {
                drop(write!(out, "{}", i64::from_be_bytes(fixed(bytes, "LongDeserializer")?)))
            }
            Deserializer::Float => {
                let value = f32::from_be_bytes(fixed(bytes, "Deserializer")?);
                out.extend_from_slice(
                    java_number(f64::from(value), format!("{value:?}"), format!("{value:e}")).as_bytes(),
                );
            }
            Deserializer::Double => {
                let value = f64::from_be_bytes(fixed(bytes, "Deserializer")?);
                out.extend_from_slice(
                    java_number(value, format!("{value:?}"), format!("{value:e}")).as_bytes(),
                );
            }
            Deserializer::Boolean => match bytes {
                [0] => out.extend_from_slice(b"false"),
                [1] => out.extend_from_slice(b"true"),
                [other] => return Err(format!("Unexpected byte received by BooleanDeserializer: {other}")),
                _ => return Err("Size of data received by BooleanDeserializer is not 1".to_owned()),
            },
            Deserializer::Uuid => {
                let text = String::from_utf8_lossy(bytes);
                if !is_uuid(&text) {
                    return Err(format!("Error parsing data into UUID: {text}"));
                }
                out.extend_from_slice(text.to_ascii_lowercase().as_bytes());
            }
            Deserializer::Void => {
                return Err("Data should be null for a VoidDeserializer.".to_owned());
            }
        }
        Ok(())
    }
}

fn fixed<const N: usize>(bytes: &[u8], name: &str) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("Size of data received by {name} is not {N}"))
}

/// A number as Java prints it: decimal from 10^-3 to 10^7, scientific (`1.0E10`) beyond.
fn java_number(value: f64, decimal: String, scientific: String) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return decimal;
    }
    match scientific.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => scientific,
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, bytes: &[u8]) -> Result<String, String> {
        let mut out = Vec::new();
        Deserializer::by_name(name)?.write(bytes, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_look_as_java_prints_them() {
        assert_eq!(text("IntegerDeserializer", &(-7i32).to_be_bytes()).unwrap(), "-7");
        assert_eq!(
            text("org.apache.kafka.common.serialization.LongDeserializer", &5i64.to_be_bytes()).unwrap(),
            "5"
        );
        for (value, shown) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e10, "1.0E10"),
            (1.25e-5, "1.25E-5"),
            (1e7, "1.0E7"),
            (-0.0, "-0.0"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text("DoubleDeserializer", &f64::to_be_bytes(value)).unwrap(), shown);
        }
        assert_eq!(text("FloatDeserializer", &0.1f32.to_be_bytes()).unwrap(), "0.1");
    }

    #[test]
    fn bytes_of_another_type_are_an_error() {
        assert_eq!(
            text("IntegerDeserializer", b"abc").unwrap_err(),
            "Size of data received by IntegerDeserializer is not 4"
        );
        assert!(text("BooleanDeserializer", &[2]).is_err());
        assert!(text("UUIDDeserializer", b"no").is_err());
        assert!(
            text("io.confluent.KafkaAvroDeserializer", b"").unwrap_err().contains("KafkaAvroDeserializer")
        );
        assert_eq!(text("StringDeserializer", b"a\xff").unwrap(), "a\u{fffd}");
    }
}
