//! Every message, record and header that Kafka 4.4 has, generated from `schema/` by the build.
//!
//! A message is one struct for all its versions; a field that a version does not have keeps its default when that
//! version is read, and may not be set when it is written unless the schema calls it ignorable.

#![allow(missing_docs)] // the fields are Kafka's; its protocol guide says what each means
#![allow(clippy::all)] // generated code is judged by its tests

use std::ops::RangeInclusive;

use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// A message of Kafka's wire or logs.
pub trait Message<'a>: Sized {
    /// Kafka's name, such as `ProduceRequest`.
    const NAME: &'static str;
    /// The versions that can be read and written.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields, where there is one.
    const FLEXIBLE: Option<i16>;

    /// Reads the message in `version` from the front of the reader.
    fn read(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message in `version`.
    fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A request, and the response that belongs to it.
pub trait Request<'a>: Message<'a> {
    /// The key in the request's header.
    const API_KEY: ApiKey;
    /// What the broker answers.
    type Response: Message<'a>;
}

/// A record of a log that Kafka keeps for itself; its key stands beside it in the frame or in the record's key.
pub trait Record {
    /// The number of this kind of record.
    const API_KEY: i16;
}

pub(crate) struct ApiInfo {
    key: ApiKey,
    name: &'static str,
    first: i16,
    last: i16,
    flexible_from: i16,
    latest_unstable: bool,
    broker: bool,
    controller: bool,
}

impl ApiKey {
    /// The API with this key.
    pub fn from_code(code: i16) -> Option<ApiKey> {
        APIS.iter().find(|api| api.key as i16 == code).map(|api| api.key)
    }

    /// All APIs, in no promised order.
    pub fn all() -> impl Iterator<Item = ApiKey> {
        APIS.iter().map(|api| api.key)
    }

    fn info(self) -> &'static ApiInfo {
        // Found by position where the keys have no gap before it, and by search otherwise; the table is small.
        let index = APIS.partition_point(|api| (api.key as i16) < self as i16);
        &APIS[index]
    }

    /// The number on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name, such as `Produce`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The versions of Kafka 4.4, unstable ones included.
    pub fn versions(self) -> RangeInclusive<i16> {
        self.info().first..=self.info().last
    }

    /// Whether the last version may change before Kafka calls it stable; such a version is not advertised.
    pub fn latest_version_unstable(self) -> bool {
        self.info().latest_unstable
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.info().flexible_from
    }

    /// Whether broker listeners serve it.
    pub fn on_broker(self) -> bool {
        self.info().broker
    }

    /// Whether controller listeners serve it.
    pub fn on_controller(self) -> bool {
        self.info().controller
    }

    /// The version of the header before a request of this `version`.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header before a response of this `version`. Always 0 for `ApiVersions`: a client that
    /// guessed the version wrong must be able to read the answer.
    pub fn response_header_version(self, version: i16) -> i16 {
        if self != ApiKey::ApiVersions && self.is_flexible(version) { 1 } else { 0 }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl MetadataRecord {
    /// Reads a record with its frame: the frame's version, the record's key and its version come before the body.
    pub fn read_framed(bytes: &[u8]) -> Result<(MetadataRecord, i16), DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.uvarint()? {
            1 => {}
            frame => return Err(DecodeError::UnknownFrame(frame)),
        }
        let key = reader.uvarint()?;
        let version = reader.uvarint()?;
        let version = i16::try_from(version)
            .map_err(|_| DecodeError::UnsupportedVersion { name: "a metadata record", version: -1 })?;
        Ok((MetadataRecord::read_body(key, &mut reader, version)?, version))
    }

    /// Writes the record in `version` with its frame.
    pub fn write_framed(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.uvarint(1);
        w.uvarint(self.api_key() as u32);
        w.uvarint(version as u32);
        self.write_body(w, version)
    }
}

mod prelude {
    pub use super::{ApiKey, Message, Record, Request};
    pub use crate::wire::{DecodeError, EncodeError, Reader, Records, Writer};
    pub use common::Uuid;
    pub use std::ops::RangeInclusive;

    pub fn not_null<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
        value.ok_or(DecodeError::UnexpectedNull(field))
    }

    pub fn nullable<T>(
        value: Option<T>,
        allowed: bool,
        field: &'static str,
    ) -> Result<Option<T>, DecodeError> {
        if allowed || value.is_some() { Ok(value) } else { Err(DecodeError::UnexpectedNull(field)) }
    }

    pub fn allow_null(allowed: bool, field: &'static str, version: i16) -> Result<(), EncodeError> {
        if allowed { Ok(()) } else { Err(EncodeError::UnexpectedNull { field, version }) }
    }

    pub trait NoSuchVersion {
        fn no_such_version(name: &'static str, version: i16) -> Self;
    }
    impl NoSuchVersion for DecodeError {
        fn no_such_version(name: &'static str, version: i16) -> Self {
            DecodeError::UnsupportedVersion { name, version }
        }
    }
    impl NoSuchVersion for EncodeError {
        fn no_such_version(name: &'static str, version: i16) -> Self {
            EncodeError::UnsupportedVersion { name, version }
        }
    }

    pub fn check_version<E: NoSuchVersion>(
        name: &'static str,
        versions: &RangeInclusive<i16>,
        version: i16,
    ) -> Result<(), E> {
        if versions.contains(&version) { Ok(()) } else { Err(E::no_such_version(name, version)) }
    }

    pub fn round_trip<'a, M: Message<'a>>(version: i16, bytes: &'a [u8]) -> Result<Vec<u8>, String> {
        let mut reader = Reader::new(bytes);
        let message = M::read(&mut reader, version).map_err(|error| error.to_string())?;
        if !reader.is_empty() {
            return Err(format!("{} bytes are left", reader.remaining().len()));
        }
        let mut writer = Writer::new();
        message.write(&mut writer, version).map_err(|error| error.to_string())?;
        Ok(writer.into_bytes())
    }
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
