//! Messages and records of Kafka's logs as JSON, field by field as Kafka's own converters write them (`*JsonConverter`), for tools
//! that show logs to people.
//!
//! The schema is read when it is first needed: what is shown to people needs no generated code.

#[path = "../build/parse.rs"]
#[allow(dead_code, missing_docs)] // the build uses all of it
mod schema;

use std::fmt;
use std::sync::OnceLock;

use schema::{Field, Kind, Message, Type, Versions};

use crate::wire::{DecodeError, Reader};

/// A JSON value; the fields of an object are in the order of the schema. Displayed without a space.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes, shown in base64.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Json>),
    /// Fields.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The field of an object.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        match self {
            Json::Object(fields) => {
                fields.iter_mut().find(|(field, _)| field == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Number(number) => write!(f, "{number}"),
            // As Java writes a double: always with a fraction.
            Json::Float(number) => write!(f, "{number:?}"),
            Json::Text(text) => quoted(f, text),
            Json::Bytes(bytes) => write!(f, "\"{}\"", base64(bytes)),
            Json::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{element}")?;
                }
                f.write_str("]")
            }
            Json::Object(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    quoted(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            control if control < ' ' => write!(f, "\\u{:04X}", u32::from(control))?,
            letter => write!(f, "{letter}")?,
        }
    }
    f.write_str("\"")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let six = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    text
}

/// Whose records a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatorLog {
    /// `__consumer_offsets`.
    Group,
    /// `__transaction_state`.
    Transaction,
    /// `__share_group_state`.
    Share,
}

impl CoordinatorLog {
    fn messages(self) -> &'static [Message] {
        let schemas = schemas();
        match self {
            CoordinatorLog::Group => &schemas.group,
            CoordinatorLog::Transaction => &schemas.transaction,
            CoordinatorLog::Share => &schemas.share,
        }
    }
}

struct Schemas {
    clients: Vec<Message>,
    metadata: Vec<Message>,
    group: Vec<Message>,
    transaction: Vec<Message>,
    share: Vec<Message>,
}

fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| Schemas {
        clients: schema::parse(include_str!("../schema/clients.schema")),
        metadata: schema::parse(include_str!("../schema/metadata.schema")),
        group: schema::parse(include_str!("../schema/group-coordinator.schema")),
        transaction: schema::parse(include_str!("../schema/transaction-coordinator.schema")),
        share: schema::parse(include_str!("../schema/share-coordinator.schema")),
    })
}

/// Why a record cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Its bytes are not as they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No record of the log has this type.
    #[error("no record has the type {0}")]
    UnknownType(i16),
    /// This release knows the record, and not this version of it.
    #[error("{name} has no version {version}")]
    UnknownVersion {
        /// The record.
        name: String,
        /// The version.
        version: i16,
    },
}

/// A record of the metadata log: its type, such as `TOPIC_RECORD`, its version, and its fields.
///
/// # Errors
/// If it is none, or one that this release does not know.
pub fn metadata_record(bytes: &[u8]) -> Result<(String, i16, Json), JsonError> {
    let mut reader = Reader::new(bytes);
    let frame = reader.uvarint()?;
    if frame != 1 {
        return Err(DecodeError::UnknownFrame(frame).into());
    }
    let key = reader.uvarint()?;
    let version = reader.uvarint()?;
    let known =
        schemas().metadata.iter().find(|message| message.key.is_some_and(|known| known as u32 == key));
    let message = known.ok_or(DecodeError::UnknownRecord(key))?;
    let version = i16::try_from(version).unwrap_or(i16::MAX);
    let data = read_message(message, &mut reader, version)?;
    Ok((constant_name(&message.name), version, data))
}

/// The key of a coordinator's record: its type and its fields.
///
/// # Errors
/// If it is none, or one that this release does not know.
pub fn coordinator_key(log: CoordinatorLog, bytes: &[u8]) -> Result<(i16, Json), JsonError> {
    let mut reader = Reader::new(bytes);
    let key = reader.i16()?;
    let message = coordinator_message(log, Kind::CoordinatorKey, key)?;
    Ok((key, read_message(message, &mut reader, message.versions.first)?))
}

/// The value of a coordinator's record of the type that its key says: its version and its fields.
///
/// # Errors
/// If it is none, or one that this release does not know.
pub fn coordinator_value(log: CoordinatorLog, key: i16, bytes: &[u8]) -> Result<(i16, Json), JsonError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    let message = coordinator_message(log, Kind::CoordinatorValue, key)?;
    Ok((version, read_message(message, &mut reader, version)?))
}

fn coordinator_message(log: CoordinatorLog, kind: Kind, key: i16) -> Result<&'static Message, JsonError> {
    let known = log.messages().iter().find(|message| message.kind == kind && message.key == Some(key));
    known.ok_or(JsonError::UnknownType(key))
}

/// A message by its name, such as `LeaderChangeMessage` or `ConsumerProtocolAssignment`, whose version stands in front of it; or
/// is its first field, where `peek` says so. A version that is too new is read as the newest that is known.
///
/// # Errors
/// If the bytes are not such a message.
pub fn versioned_message(name: &str, bytes: &[u8], peek: bool) -> Result<Json, JsonError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if peek {
        reader = Reader::new(bytes);
    }
    let known = schemas().clients.iter().find(|message| message.name == name);
    let message = known.ok_or(JsonError::UnknownType(-1))?;
    read_message(message, &mut reader, version.min(message.versions.last))
}

fn read_message(message: &Message, reader: &mut Reader<'_>, version: i16) -> Result<Json, JsonError> {
    if !has(message.versions, version) {
        return Err(JsonError::UnknownVersion { name: message.name.clone(), version });
    }
    Ok(read_struct(message, &message.name, reader, version)?)
}

fn has(versions: Versions, version: i16) -> bool {
    (versions.first..=versions.last).contains(&version)
}

fn read_struct(
    message: &Message,
    name: &str,
    reader: &mut Reader<'_>,
    version: i16,
) -> Result<Json, DecodeError> {
    let flexible = has(message.flexible, version);
    let fields: &[Field] =
        message.structs.iter().find(|known| known.name == name).map_or(&[], |known| &known.fields);
    let mut values: Vec<Option<Json>> = vec![None; fields.len()];
    for (field, value) in fields.iter().zip(&mut values) {
        if has(field.versions, version) && field.tag.is_none() {
            *value = Some(read_field(message, field, reader, version, flexible)?);
        }
    }
    if flexible {
        reader.tagged_fields(|tag, reader| {
            let tagged = fields.iter().zip(&mut values).find(|(field, _)| field.tag == Some(tag));
            let Some((field, value)) = tagged.filter(|(field, _)| has(field.versions, version)) else {
                return Ok(false);
            };
            *value = Some(read_field(message, field, reader, version, flexible)?);
            Ok(true)
        })?;
    }
    let named =
        fields.iter().zip(values).filter_map(|(field, value)| Some((camel_case(&field.name), value?)));
    Ok(Json::Object(named.collect()))
}

fn read_field(
    message: &Message,
    field: &Field,
    reader: &mut Reader<'_>,
    version: i16,
    flexible: bool,
) -> Result<Json, DecodeError> {
    let flexible = flexible && !field.never_flexible;
    if let Type::Struct(name) = &field.kind
        && has(field.nullable, version)
    {
        // A null is -1; 0 where the field is a tagged one.
        let is_there = reader.i8()? > 0;
        return if is_there { read_struct(message, name, reader, version) } else { Ok(Json::Null) };
    }
    read_value(message, &field.kind, reader, version, flexible)
}

fn read_value(
    message: &Message,
    kind: &Type,
    reader: &mut Reader<'_>,
    version: i16,
    flexible: bool,
) -> Result<Json, DecodeError> {
    Ok(match kind {
        Type::Bool => Json::Bool(reader.bool()?),
        Type::Int8 => Json::Number(reader.i8()?.into()),
        Type::Int16 => Json::Number(reader.i16()?.into()),
        Type::Uint16 => Json::Number(reader.u16()?.into()),
        Type::Int32 => Json::Number(reader.i32()?.into()),
        Type::Uint32 => Json::Number(reader.u32()?.into()),
        Type::Int64 => Json::Number(reader.i64()?),
        Type::Float64 => Json::Float(reader.f64()?),
        Type::Uuid => Json::Text(reader.uuid()?.to_string()),
        Type::String => reader.string(flexible)?.map_or(Json::Null, Json::Text),
        Type::Bytes | Type::Records => reader.bytes(flexible)?.map_or(Json::Null, Json::Bytes),
        Type::Struct(name) => read_struct(message, name, reader, version)?,
        Type::Array(element) => {
            let elements =
                reader.array(flexible, |reader| read_value(message, element, reader, version, flexible))?;
            elements.map_or(Json::Null, Json::Array)
        }
    })
}

/// `kRaftVersion` of `KRaftVersion`.
fn camel_case(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// `TOPIC_RECORD` of `TopicRecord`.
fn constant_name(name: &str) -> String {
    let mut constant = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_small {
            constant.push('_');
        }
        after_small = !letter.is_uppercase();
        constant.extend(letter.to_uppercase());
    }
    constant
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{MetadataRecord, PartitionRecord};

    #[test]
    fn metadata_records_are_shown_as_apache_shows_them() {
        let mut writer = crate::Writer::new();
        let partition = PartitionRecord {
            partition_id: 1,
            replicas: vec![1, 2],
            eligible_leader_replicas: Some(vec![3]),
            ..PartitionRecord::default()
        };
        MetadataRecord::Partition(partition).write_framed(&mut writer, 2).unwrap();
        let (name, version, data) = metadata_record(&writer.into_bytes()).unwrap();
        assert_eq!((name.as_str(), version), ("PARTITION_RECORD", 2));
        let text = data.to_string();
        assert!(
            text.starts_with("{\"partitionId\":1,\"topicId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"replicas\":[1,2]"),
            "{text}"
        );
        // A tagged field is shown where it is set, and left out where it is not.
        assert!(text.contains("\"eligibleLeaderReplicas\":[3]"), "{text}");
        assert!(!text.contains("lastKnownElr"), "{text}");
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for bytes in
            [&[][..], &[1], &[1, 2, 0, 255, 255, 255, 255, 15], &[2, 2, 0], &[1, 200, 1, 0], &[1, 2, 99]]
        {
            assert!(metadata_record(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(coordinator_key(CoordinatorLog::Group, &[0, 99]), Err(JsonError::UnknownType(99)));
        assert!(coordinator_value(CoordinatorLog::Group, 1, &[0, 1, 0]).is_err());
        assert!(coordinator_value(CoordinatorLog::Transaction, 0, &[127, 0]).is_err());
    }

    #[test]
    fn texts_and_bytes_are_escaped() {
        let text = Json::Array(vec![
            Json::Text("a\"\\\n\u{1}é".to_owned()),
            Json::Bytes(b"a".to_vec()),
            Json::Bytes(b"abc".to_vec()),
            Json::Float(1.0),
            Json::Null,
        ]);
        assert_eq!(text.to_string(), "[\"a\\\"\\\\\\n\\u0001é\",\"YQ==\",\"YWJj\",1.0,null]");
        assert_eq!(constant_name("KRaftVersionRecord"), "KRAFT_VERSION_RECORD");
        assert_eq!(camel_case("KRaftVersion"), "kRaftVersion");
    }
}
