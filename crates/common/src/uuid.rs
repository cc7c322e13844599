//! Kafka's 16-byte ids (`org.apache.kafka.common.Uuid`): topic ids, directory ids, cluster ids.

use std::fmt;
use std::str::FromStr;

use rand::RngCore;

/// A 16-byte id, shown as unpadded URL-safe base64 (22 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an id: 22 characters of URL-safe base64 are expected")]
pub struct ParseUuidError(String);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// No id.
    pub const ZERO: Uuid = Uuid([0; 16]);
    /// The reserved id 1: the topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Uuid = Uuid::from_u128(1);

    /// The id with these 128 bits, most significant first.
    pub const fn from_u128(bits: u128) -> Uuid {
        Uuid(bits.to_be_bytes())
    }

    /// The 128 bits, most significant first.
    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Whether this is the zero id.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }

    /// The first hundred ids are reserved by Kafka for ids with a meaning.
    pub fn is_reserved(self) -> bool {
        self.as_u128() < 100
    }

    /// A random id as `Uuid.randomUuid` makes it: version 4, none that is reserved, and none whose text starts
    /// with a dash (it would look like an option on a command line).
    pub fn random() -> Uuid {
        loop {
            let mut bytes = [0; 16];
            rand::rng().fill_bytes(&mut bytes);
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Uuid(bytes);
            if !id.is_reserved() && bytes[0] >> 2 != 62 {
                return id;
            }
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        // 128 bits and 4 zero bits behind them make 22 groups of six.
        for (index, character) in text.iter_mut().enumerate() {
            let shift = 128 - 6 * (index as i32 + 1);
            let group = if shift >= 0 { self.as_u128() >> shift } else { self.as_u128() << -shift };
            *character = ALPHABET[(group & 63) as usize];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Uuid, ParseUuidError> {
        let error = || ParseUuidError(text.to_owned());
        let characters = text.trim_end_matches('=').as_bytes();
        if characters.len() != 22 {
            return Err(error());
        }
        let mut bits: u128 = 0;
        for (index, character) in characters.iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == character).ok_or_else(error)? as u128;
            // The last character carries two bits of the id and four that mean nothing.
            bits = if index == 21 { (bits << 2) | (value >> 4) } else { (bits << 6) | value };
        }
        Ok(Uuid::from_u128(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_kafka_prints() {
        // Printed by Apache Kafka for the ids 0, 1 and the largest.
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn random_ids_survive_their_text() {
        for _ in 0..200 {
            let id = Uuid::random();
            assert!(!id.is_reserved());
            let text = id.to_string();
            assert!(!text.starts_with('-'));
            assert_eq!(text.parse::<Uuid>(), Ok(id));
            assert_eq!(format!("{text}==").parse::<Uuid>(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "short", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
