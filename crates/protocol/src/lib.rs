//! Every message, record and header of Kafka's wire and logs, record batches, and compression.
//!
//! Messages are generated at build time from `schema/`, a compact notation of our own; record batches and the codecs are
//! written by hand. Never does I/O, never panics on input, and never sizes an allocation by a length from the wire that
//! was not checked.

pub mod compression;
mod frame;
pub mod json;
pub mod messages;
pub mod records;
pub mod wire;

pub use frame::{request_frame, request_frame_in_parts};
pub use messages::{ApiKey, Message, MetadataRecord, Record, Request};
pub use wire::{DecodeError, EncodeError, Reader, Records, Writer};
