//! Records as text (`org.apache.kafka.tools.consumer.DefaultMessageFormatter`).

use std::io::Write;

use client::ConsumerRecord;
use client::consumer::TimestampType;

use super::console_deserializer::Deserializer;

/// Which of Kafka's formatters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Default,
    /// Prints nothing: for measuring.
    NoOp,
    /// Prints, and logs too.
    Logging,
}

/// How records are printed.
#[derive(Debug)]
pub(crate) struct Formatter {
    kind: Kind,
    print_timestamp: bool,
    print_key: bool,
    print_value: bool,
    print_partition: bool,
    print_offset: bool,
    print_delivery: bool,
    print_epoch: bool,
    print_headers: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key: Option<Deserializer>,
    value: Option<Deserializer>,
    header: Option<Deserializer>,
}

impl Formatter {
    /// The formatter with that class name, and these properties. Ones that it does not know have no effect, as in Kafka.
    pub(crate) fn new(class: Option<&str>, properties: &[(String, String)]) -> Result<Formatter, String> {
        let kind = match class {
            None => Kind::Default,
            Some(class) => kind(class)?,
        };
        let find = |key: &str| {
            properties.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
        };
        let flag = |key: &str, default: bool| {
            find(key).map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
        };
        let bytes = |key: &str, default: &str| find(key).unwrap_or(default).as_bytes().to_vec();
        let deserializer = |key: &str| find(key).map(Deserializer::by_name).transpose();
        Ok(Formatter {
            kind,
            print_timestamp: flag("print.timestamp", false),
            print_key: flag("print.key", false),
            print_value: flag("print.value", true),
            print_partition: flag("print.partition", false),
            print_offset: flag("print.offset", false),
            print_delivery: flag("print.delivery", false),
            print_epoch: flag("print.epoch", false),
            print_headers: flag("print.headers", false),
            key_separator: bytes("key.separator", "\t"),
            line_separator: bytes("line.separator", "\n"),
            headers_separator: bytes("headers.separator", ","),
            null_literal: bytes("null.literal", "null"),
            key: deserializer("key.deserializer")?,
            value: deserializer("value.deserializer")?,
            header: deserializer("headers.deserializer")?,
        })
    }

    /// Appends a record to `out`. On an error nothing whole is appended.
    pub(crate) fn write(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> Result<(), String> {
        if self.kind == Kind::NoOp {
            return Ok(());
        }
        let start = out.len();
        let written = self.columns(record, out);
        if written.is_err() {
            out.truncate(start);
        } else if self.kind == Kind::Logging {
            let text = |bytes: &Option<bytes::Bytes>| match bytes {
                Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                None => "null".to_owned(),
            };
            let (key, value) = (text(&record.key), text(&record.value));
            tracing::info!("{}:{}, key:{key}, value:{value}", timestamp_type(record), record.timestamp);
        }
        written
    }

    fn columns(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> Result<(), String> {
        // Each column ends with a separator, the last of those that are printed with the line's. Writing to memory does not
        // fail.
        let wanted = [
            self.print_timestamp,
            self.print_partition,
            self.print_offset,
            self.print_delivery,
            self.print_epoch,
            self.print_headers,
            self.print_key,
            self.print_value,
        ];
        for (column, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            match column {
                0 => drop(write!(out, "{}:{}", timestamp_type(record), record.timestamp)),
                1 => drop(write!(out, "Partition:{}", record.partition)),
                2 => drop(write!(out, "Offset:{}", record.offset)),
                // Only share consumers count deliveries.
                3 => out.extend_from_slice(b"Delivery:NOT_PRESENT"),
                // Divergence: Kafka's tool loses the epoch on its way to the formatter and always prints NOT_PRESENT.
                4 => match record.leader_epoch {
                    Some(epoch) => drop(write!(out, "Epoch:{epoch}")),
                    None => out.extend_from_slice(b"Epoch:NOT_PRESENT"),
                },
                5 => self.headers(record, out)?,
                6 => self.field(self.key, record.key.as_deref(), out)?,
                _ => self.field(self.value, record.value.as_deref(), out)?,
            }
            let is_last = !wanted.iter().skip(column + 1).any(|wanted| *wanted);
            out.extend_from_slice(if is_last { &self.line_separator } else { &self.key_separator });
        }
        Ok(())
    }

    fn headers(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> Result<(), String> {
        if record.headers.is_empty() {
            out.extend_from_slice(b"NO_HEADERS");
        }
        for (index, (key, value)) in record.headers.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(&self.headers_separator);
            }
            out.extend_from_slice(key.as_bytes());
            out.push(b':');
            self.field(self.header, value.as_deref(), out)?;
        }
        Ok(())
    }

    fn field(
        &self,
        deserializer: Option<Deserializer>,
        bytes: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match bytes {
            // Divergence: Kafka gives the null literal to the deserializer, which fails on it unless it is for texts.
            None => {
                out.extend_from_slice(&self.null_literal);
                Ok(())
            }
            Some(bytes) => deserializer.unwrap_or_default().write(bytes, out),
        }
    }
}

fn timestamp_type(record: &ConsumerRecord) -> &'static str {
    match record.timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn kind(class: &str) -> Result<Kind, String> {
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    let is_kafkas = class.starts_with("org.apache.kafka.tools.consumer.")
        || class.starts_with("kafka.tools.")
        || class == name;
    match name {
        "DefaultMessageFormatter" if is_kafkas => Ok(Kind::Default),
        "NoOpMessageFormatter" if is_kafkas => Ok(Kind::NoOp),
        "LoggingMessageFormatter" if is_kafkas => Ok(Kind::Logging),
        _ => Err(format!(
            "--formatter {class}: classes of Java cannot be loaded by this program. There are DefaultMessageFormatter, \
             NoOpMessageFormatter and LoggingMessageFormatter of org.apache.kafka.tools.consumer."
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    fn record() -> ConsumerRecord {
        ConsumerRecord {
            topic: Arc::from("t"),
            partition: 2,
            offset: 7,
            timestamp: 1000,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: Some(3),
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: vec![("a".to_owned(), Some(Bytes::from_static(b"1"))), ("b".to_owned(), None)],
        }
    }

    fn text(properties: &[(&str, &str)], record: &ConsumerRecord) -> Result<String, String> {
        let properties: Vec<(String, String)> =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut out = Vec::new();
        Formatter::new(None, &properties)?.write(record, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn columns_come_in_kafkas_order() {
        let all: Vec<(&str, &str)> =
            ["timestamp", "key", "offset", "partition", "headers", "value", "epoch", "delivery"]
                .iter()
                .map(|name| (&*Box::leak(format!("print.{name}").into_boxed_str()), "true"))
                .collect();
        assert_eq!(
            text(&all, &record()).unwrap(),
            "CreateTime:1000\tPartition:2\tOffset:7\tDelivery:NOT_PRESENT\tEpoch:3\ta:1,b:null\tnull\tv\n"
        );
        assert_eq!(text(&[], &record()).unwrap(), "v\n");
        assert_eq!(
            text(&[("print.key", "true"), ("print.value", "false"), ("null.literal", "-")], &record())
                .unwrap(),
            "-\n"
        );
        let bare = ConsumerRecord { headers: Vec::new(), ..record() };
        let properties = [("print.headers", "true"), ("key.separator", "|"), ("line.separator", ";")];
        assert_eq!(text(&properties, &bare).unwrap(), "NO_HEADERS|v;");
    }

    #[test]
    fn a_value_of_another_type_is_an_error_and_leaves_nothing() {
        let properties = [("print.offset", "true"), ("value.deserializer", "LongDeserializer")];
        assert!(text(&properties, &record()).is_err());
    }

    #[test]
    fn formatters_are_known_by_their_names() {
        assert_eq!(kind("org.apache.kafka.tools.consumer.NoOpMessageFormatter").unwrap(), Kind::NoOp);
        assert_eq!(kind("kafka.tools.LoggingMessageFormatter").unwrap(), Kind::Logging);
        assert!(kind("org.example.NoOpMessageFormatter").is_err());
    }
}
