//! The lines of the verifiable tools: JSON objects that begin with a timestamp and a name, their fields in a fixed order.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// An object that is being written; its fields keep the order in which they are given.
pub(super) struct JsonEvent(String);

impl JsonEvent {
    /// An event that happens now.
    pub(super) fn new(name: &str) -> JsonEvent {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        JsonEvent::empty().number("timestamp", now.as_millis()).text("name", Some(name))
    }

    /// An object inside of an event.
    pub(super) fn empty() -> JsonEvent {
        JsonEvent(String::from("{"))
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // To write into a string does not fail.
        let _ = write!(self.0, "\"{key}\":");
    }

    /// A number, or a truth value: what is written the same in Rust and in JSON.
    pub(super) fn number(mut self, key: &str, value: impl std::fmt::Display) -> JsonEvent {
        self.key(key);
        let _ = write!(self.0, "{value}");
        self
    }

    /// A text; `null` where there is none.
    pub(super) fn text(mut self, key: &str, value: Option<&str>) -> JsonEvent {
        self.key(key);
        let value = value.map_or(serde_json::Value::Null, serde_json::Value::from);
        let _ = write!(self.0, "{value}");
        self
    }

    /// A list of objects.
    pub(super) fn list(mut self, key: &str, objects: impl IntoIterator<Item = JsonEvent>) -> JsonEvent {
        self.key(key);
        let objects: Vec<String> = objects.into_iter().map(JsonEvent::finish).collect();
        let _ = write!(self.0, "[{}]", objects.join(","));
        self
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// Prints the line.
    pub(super) fn print(self) {
        println!("{}", self.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let inner =
            |partition: i32| JsonEvent::empty().text("topic", Some("t")).number("partition", partition);
        let line = JsonEvent::empty()
            .text("key", None)
            .text("value", Some("a\"b\n"))
            .number("success", true)
            .list("partitions", [inner(0), inner(1)])
            .list("nothing", [])
            .finish();
        let expected = "{\"key\":null,\"value\":\"a\\\"b\\n\",\"success\":true,\"partitions\":[{\"topic\":\"t\",\"partition\":0},\
                        {\"topic\":\"t\",\"partition\":1}],\"nothing\":[]}";
        assert_eq!(line, expected);
        let event = JsonEvent::new("startup_complete").finish();
        assert!(
            event.starts_with("{\"timestamp\":1") && event.ends_with(",\"name\":\"startup_complete\"}"),
            "{event}"
        );
    }
}
