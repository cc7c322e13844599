//! The JSON files that some tools take: what is in them, and Kafka's words for what is not.

use common::TopicPartition;
use serde_json::Value;

/// The JSON in a file.
pub(super) fn read(path: &str) -> Result<Value, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("Unable to read file {path}: {error}"))?;
    parse(&text)
}

/// The JSON in a text.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| "The input string is not a valid JSON".to_owned())
}

/// Refuses what is no object.
pub(super) fn is_object(json: &Value) -> Result<(), String> {
    match json.is_object() {
        true => Ok(()),
        false => Err(format!("Expected JSON object, received {json}")),
    }
}

/// The entries of `partitions`, as which every such file has what it is about.
pub(super) fn partitions<'a>(json: &'a Value, missing: &str) -> Result<&'a Vec<Value>, String> {
    is_object(json)?;
    let list = json.get("partitions").ok_or(missing)?;
    list.as_array().ok_or_else(|| format!("Expected JSON array, received {list}"))
}

/// The topic and the partition that an entry names.
pub(super) fn topic_partition(entry: &Value) -> Result<TopicPartition, String> {
    let topic = text(entry, "topic")?;
    let partition = i32::try_from(number(entry, "partition")?)
        .map_err(|_| format!("Expected `Int` value, received {}", entry["partition"]))?;
    Ok(TopicPartition::new(topic, partition))
}

/// A field with a text.
pub(super) fn text<'a>(entry: &'a Value, field: &str) -> Result<&'a str, String> {
    let value = present(entry, field)?;
    value.as_str().ok_or_else(|| format!("Expected `String` value, received {value}"))
}

/// A field with a number.
pub(super) fn number(entry: &Value, field: &str) -> Result<i64, String> {
    let value = present(entry, field)?;
    value.as_i64().ok_or_else(|| format!("Expected `Long` value, received {value}"))
}

fn present<'a>(entry: &'a Value, field: &str) -> Result<&'a Value, String> {
    entry.get(field).ok_or_else(|| format!("No such field exists: `{field}`"))
}
