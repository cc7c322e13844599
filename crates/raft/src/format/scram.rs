//! `--add-scram` (`org.apache.kafka.metadata.storage.ScramParser`):
//! `SCRAM-SHA-256=[name=alice,password=alice-secret]` becomes a credential record. The arithmetic is RFC 5802's.

use std::collections::BTreeMap;

use common::Uuid;
use hmac::{Hmac, Mac};
use protocol::messages::UserScramCredentialRecord;
use sha2::{Digest, Sha256, Sha512};

use super::FormatterError;

const DEFAULT_ITERATIONS: i32 = 4096;
const MAX_ITERATIONS: i32 = 16384;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Sha256,
    Sha512,
}

impl Mechanism {
    fn from_name(name: &str) -> Option<Mechanism> {
        match name {
            "SCRAM-SHA-256" => Some(Mechanism::Sha256),
            "SCRAM-SHA-512" => Some(Mechanism::Sha512),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM_SHA_256",
            Mechanism::Sha512 => "SCRAM_SHA_512",
        }
    }

    /// The number in the record.
    fn id(self) -> i8 {
        match self {
            Mechanism::Sha256 => 1,
            Mechanism::Sha512 => 2,
        }
    }

    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Mechanism::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Mechanism::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, FormatterError> {
        let refused = |_| FormatterError::Refused("the salted password cannot be a key".to_owned());
        Ok(match self {
            Mechanism::Sha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(refused)?;
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }
            Mechanism::Sha512 => {
                let mut mac = Hmac::<Sha512>::new_from_slice(key).map_err(refused)?;
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }
        })
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Mechanism::Sha256 => Sha256::digest(bytes).to_vec(),
            Mechanism::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// Reads one argument.
pub(super) fn parse(argument: &str) -> Result<UserScramCredentialRecord, FormatterError> {
    let argument = argument.trim();
    let refused = |text: String| FormatterError::Refused(text);
    let (name, config) = argument
        .split_once('=')
        .ok_or_else(|| refused(format!("Failed to find equals sign in SCRAM argument '{argument}'")))?;
    let mechanism = Mechanism::from_name(name)
        .ok_or_else(|| refused(format!("The add-scram mechanism {name} is not supported.")))?;
    let config = config
        .strip_prefix('[')
        .ok_or_else(|| refused("Expected configuration string to start with [".to_owned()))?;
    let config = config
        .strip_suffix(']')
        .ok_or_else(|| refused("Expected configuration string to end with ]".to_owned()))?;
    let mut fields = BTreeMap::new();
    for component in config.split(',') {
        let (key, value) = component
            .split_once('=')
            .ok_or_else(|| refused(format!("No equals sign found in SCRAM component: {component}")))?;
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        fields.insert(key, unquoted.unwrap_or(value));
    }
    credential(mechanism, fields)
}

fn credential(
    mechanism: Mechanism,
    mut fields: BTreeMap<&str, &str>,
) -> Result<UserScramCredentialRecord, FormatterError> {
    let refused = |text: String| Err(FormatterError::Refused(text));
    let Some(name) = fields.remove("name") else {
        return refused("You must supply 'name' to add-scram".to_owned());
    };
    let salt = match fields.remove("salt") {
        Some(text) => match base64(text) {
            Some(salt) => Some(salt),
            None => return refused(format!("Failed to decode given salt: {text}")),
        },
        None => None,
    };
    let iterations = match fields.remove("iterations") {
        Some(text) => match text.parse::<i32>() {
            Ok(iterations) => iterations,
            Err(_) => return refused(format!("Failed to parse iterations count: {text}")),
        },
        None => DEFAULT_ITERATIONS,
    };
    let (password, salted) = (fields.remove("password"), fields.remove("saltedpassword"));
    if password.is_some() && salted.is_some() {
        return refused("Unknown SCRAM configurations: saltedpassword".to_owned());
    }
    if let Some(unknown) = fields.keys().next() {
        return refused(format!("Unknown SCRAM configurations: {unknown}"));
    }
    if salted.is_some() && salt.is_none() {
        return refused("You must supply 'salt' with 'saltedpassword' to add-scram".to_owned());
    }
    if !(DEFAULT_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
        let (relation, limit) =
            if iterations < DEFAULT_ITERATIONS { (">=", DEFAULT_ITERATIONS) } else { ("<=", MAX_ITERATIONS) };
        return refused(format!(
            "The 'iterations' value must be {relation} {limit} for add-scram using {}",
            mechanism.name()
        ));
    }
    let salt = salt.unwrap_or_else(|| Uuid::random().to_string().into_bytes());
    let salted_password = match (password, salted) {
        (Some(password), _) => {
            mechanism.salted_password(password.as_bytes(), &salt, iterations.unsigned_abs())
        }
        (None, Some(text)) => match base64(text) {
            Some(salted) => salted,
            None => return refused(format!("Failed to decode given saltedPassword: {text}")),
        },
        (None, None) => {
            return refused("You must supply one of 'password' or 'saltedpassword' to add-scram".to_owned());
        }
    };
    let client_key = mechanism.hmac(&salted_password, b"Client Key")?;
    Ok(UserScramCredentialRecord {
        name: name.to_owned(),
        mechanism: mechanism.id(),
        salt,
        stored_key: mechanism.hash(&client_key),
        server_key: mechanism.hmac(&salted_password, b"Server Key")?,
        iterations,
    })
}

/// Standard base64, padded.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let characters = text.trim_end_matches('=').as_bytes();
    if text.len() - characters.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(characters.len());
    let (mut bits, mut count) = (0u32, 0);
    for character in characters {
        let value = ALPHABET.iter().position(|known| known == character)?;
        bits = (bits << 6) | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_rfc() {
        // RFC 7677's example: user `user`, password `pencil`.
        let record =
            parse("SCRAM-SHA-256=[name=user,password=pencil,salt=\"W22ZaJ0SNY7soEsUEjb6gQ==\"]").unwrap();
        assert_eq!((record.mechanism, record.iterations), (1, 4096));
        assert_eq!(record.stored_key, base64("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=").unwrap());
        assert_eq!(record.server_key, base64("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=").unwrap());
        assert_eq!(record.salt.len(), 16);
    }

    #[test]
    fn a_salted_password_gives_the_same() {
        let salted = Mechanism::Sha512.salted_password(b"secret", b"salt", 4096);
        assert_eq!(salted.len(), 64);
        let with_password = parse("SCRAM-SHA-512=[name=a,password=secret,salt=c2FsdA==]").unwrap();
        assert_eq!(with_password.server_key, Mechanism::Sha512.hmac(&salted, b"Server Key").unwrap());
        assert_ne!(
            parse("SCRAM-SHA-512=[name=a,password=x]").unwrap().salt,
            parse("SCRAM-SHA-512=[name=a,password=x]").unwrap().salt
        );
    }

    #[test]
    fn mistakes_are_named_in_kafkas_words() {
        for (argument, message) in [
            ("SCRAM", "Failed to find equals sign in SCRAM argument 'SCRAM'"),
            ("SCRAM-SHA-1=[]", "The add-scram mechanism SCRAM-SHA-1 is not supported."),
            ("SCRAM-SHA-256=name", "Expected configuration string to start with ["),
            ("SCRAM-SHA-256=[name", "Expected configuration string to end with ]"),
            ("SCRAM-SHA-256=[name]", "No equals sign found in SCRAM component: name"),
            ("SCRAM-SHA-256=[password=x]", "You must supply 'name' to add-scram"),
            ("SCRAM-SHA-256=[name=a]", "You must supply one of 'password' or 'saltedpassword' to add-scram"),
            (
                "SCRAM-SHA-256=[name=a,password=x,iterations=1]",
                "The 'iterations' value must be >= 4096 for add-scram using SCRAM_SHA_256",
            ),
            ("SCRAM-SHA-256=[name=a,password=x,salt=!]", "Failed to decode given salt: !"),
            ("SCRAM-SHA-256=[name=a,password=x,color=red]", "Unknown SCRAM configurations: color"),
        ] {
            assert_eq!(parse(argument).unwrap_err().to_string(), message);
        }
    }
}
