//! Bytes that claim to be a request, or any message of any version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::messages::{ALL, RequestHeader, round_trip};
use protocol::{ApiKey, Message, MetadataRecord, Reader};

fuzz_target!(|data: &[u8]| {
    frame(data);
    let _ = MetadataRecord::read_framed(data);
    if let Some((&[kind, more, version], body)) = data.split_first_chunk::<3>() {
        let kind = u16::from_be_bytes([kind, more]) as usize % ALL.len();
        if let Some(&(name, first, last)) = ALL.get(kind) {
            // One version in front and one behind those that exist are asked for too.
            let version = first - 1 + i16::from(version) % (last - first + 3);
            there_and_back(name, version, body);
        }
    }
});

/// As the server reads a request: the header, then the body that it names.
fn frame(data: &[u8]) {
    let Some(&[k0, k1, v0, v1]) = data.first_chunk::<4>() else { return };
    let Some(key) = ApiKey::from_code(i16::from_be_bytes([k0, k1])) else { return };
    let version = i16::from_be_bytes([v0, v1]);
    let mut reader = Reader::new(data);
    if RequestHeader::read(&mut reader, key.request_header_version(version)).is_ok() {
        there_and_back(&format!("{}Request", key.name()), version, reader.remaining());
    }
}

/// What can be read is written, and then read and written alike.
fn there_and_back(name: &str, version: i16, body: &[u8]) {
    let Some(Ok(written)) = round_trip(name, version, body) else { return };
    let again = round_trip(name, version, &written);
    assert!(again.as_ref() == Some(&Ok(written)), "{name} version {version}: {again:?}");
}
