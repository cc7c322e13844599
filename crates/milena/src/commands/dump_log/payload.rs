//! Keys and values, by what a log holds.

use protocol::json::{self, CoordinatorLog, Json, JsonError};
use protocol::records::Record;

use super::Decoder;

/// The type of a classic group's record in `__consumer_offsets`.
const GROUP_METADATA: i16 = 2;

/// A record's key and value, as far as it has them.
pub(super) fn shown(decoder: Decoder, record: &Record<'_>) -> (Option<String>, Option<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match decoder {
        Decoder::Text => (record.key.map(text), record.value.map(text)),
        Decoder::Metadata => (None, Some(metadata(record))),
        Decoder::Coordinator(log) => coordinator(log, record),
    }
}

fn object(fields: [(&str, Json); 2]) -> String {
    Json::Object(fields.map(|(name, value)| (name.to_owned(), value)).into()).to_string()
}

fn metadata(record: &Record<'_>) -> String {
    match json::metadata_record(record.value.unwrap_or_default()) {
        Ok((name, version, data)) => Json::Object(vec![
            ("type".to_owned(), Json::Text(name)),
            ("version".to_owned(), Json::Number(version.into())),
            ("data".to_owned(), data),
        ])
        .to_string(),
        Err(error) => format!("Error at {}, skipping. {error}", record.offset),
    }
}

fn coordinator(log: CoordinatorLog, record: &Record<'_>) -> (Option<String>, Option<String>) {
    let offset = record.offset;
    let Some(key) = record.key else {
        let missing = "using the specified decoder (message had a missing key)";
        return (Some(format!("Failed to decode message at offset {offset} {missing}")), None);
    };
    let read = || -> Result<(String, String), JsonError> {
        let (kind, data) = json::coordinator_key(log, key)?;
        let value = match record.value {
            None => "<DELETE>".to_owned(),
            Some(value) => {
                let (version, mut data) = json::coordinator_value(log, kind, value)?;
                match log {
                    CoordinatorLog::Group if kind == GROUP_METADATA => show_members(&mut data),
                    CoordinatorLog::Transaction => show_status(&mut data),
                    _ => {}
                }
                object([("version", Json::Text(version.to_string())), ("data", data)])
            }
        };
        Ok((object([("type", Json::Text(kind.to_string())), ("data", data)]), value))
    };
    match read() {
        Ok((key, value)) => (Some(key), Some(value)),
        Err(JsonError::UnknownType(kind)) => {
            (Some(format!("Unknown record type {kind} at offset {offset}, skipping.")), None)
        }
        Err(error) => (Some(format!("Error at offset {offset}, skipping. {error}")), None),
    }
}

/// Subscriptions and assignments of consumers are messages of their own.
fn show_members(group: &mut Json) {
    if group.get_mut("protocolType") != Some(&mut Json::Text("consumer".to_owned())) {
        return;
    }
    let Some(Json::Array(members)) = group.get_mut("members") else { return };
    for member in members {
        for (field, message) in
            [("subscription", "ConsumerProtocolSubscription"), ("assignment", "ConsumerProtocolAssignment")]
        {
            let Some(value) = member.get_mut(field) else { continue };
            let Json::Bytes(bytes) = &*value else { continue };
            // What cannot be read stays as it is.
            if let Ok(read) = json::versioned_message(message, bytes, false) {
                *value = read;
            }
        }
    }
}

/// A transaction's state has a name.
fn show_status(transaction: &mut Json) {
    const STATES: [&str; 8] = [
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "Dead",
        "PrepareEpochFence",
    ];
    if let Some(status) = transaction.get_mut("transactionStatus")
        && let Json::Number(number) = *status
    {
        let known = usize::try_from(number).ok().and_then(|index| STATES.get(index));
        *status = Json::Text(known.map_or_else(|| number.to_string(), |name| (*name).to_owned()));
    }
}
