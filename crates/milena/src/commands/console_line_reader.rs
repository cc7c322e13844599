//! Lines of standard input as records (`org.apache.kafka.tools.LineMessageReader`).

use std::borrow::Cow;

use client::ProducerRecord;
use client::producer::RecordHeader;

/// The names under which notes know the only reader there is.
const NAMES: [&str; 3] = [
    "org.apache.kafka.tools.LineMessageReader",
    "kafka.tools.ConsoleProducer$LineMessageReader",
    "org.apache.kafka.tools.ConsoleProducer$LineMessageReader",
];

/// Accepts the default reader by its names.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    match NAMES.contains(&name) {
        true => Ok(()),
        false => Err(format!(
            "--line-reader {name}: classes of Java cannot be loaded by this program. Only the default is there, {}, with \
             its properties (--reader-property parse.key=true and so on).",
            NAMES[0]
        )),
    }
}

/// How lines become records.
#[derive(Debug)]
pub(crate) struct LineReader {
    topic: String,
    parse_key: bool,
    key_separator: Vec<u8>,
    parse_headers: bool,
    headers_delimiter: Vec<u8>,
    headers_separator: Vec<u8>,
    headers_key_separator: Vec<u8>,
    ignore_error: bool,
    null_marker: Option<Vec<u8>>,
    line_number: u64,
}

impl LineReader {
    /// A reader with these properties. Ones that it does not know have no effect, as in Kafka.
    ///
    /// Divergence: in Kafka `headers.separator` is a regular expression; here it stands for itself.
    pub(crate) fn new(topic: &str, properties: &[(String, String)]) -> Result<LineReader, String> {
        let find = |key: &str| {
            properties.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
        };
        let bytes = |key: &str, default: &str| find(key).unwrap_or(default).as_bytes().to_vec();
        let flag = |key: &str| find(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let reader = LineReader {
            topic: find("topic").unwrap_or(topic).to_owned(),
            parse_key: flag("parse.key"),
            key_separator: bytes("key.separator", "\t"),
            parse_headers: flag("parse.headers"),
            headers_delimiter: bytes("headers.delimiter", "\t"),
            headers_separator: bytes("headers.separator", ","),
            headers_key_separator: bytes("headers.key.separator", ":"),
            ignore_error: flag("ignore.error"),
            null_marker: find("null.marker").map(|marker| marker.as_bytes().to_vec()),
            line_number: 0,
        };
        let separators = [
            ("key.separator", &reader.key_separator),
            ("headers.delimiter", &reader.headers_delimiter),
            ("headers.separator", &reader.headers_separator),
            ("headers.key.separator", &reader.headers_key_separator),
        ];
        for (name, value) in separators {
            if reader.null_marker.as_ref() == Some(value) {
                return Err(format!("null.marker and {name} may not be equal"));
            }
            if value.is_empty() {
                return Err(format!("{name} may not be empty"));
            }
        }
        for (one, other) in [(1, 2), (1, 3), (2, 3)] {
            let ((one, a), (other, b)) = (separators[one], separators[other]);
            if a == b {
                return Err(format!("{one} and {other} may not be equal"));
            }
        }
        Ok(reader)
    }

    /// The record in a line.
    ///
    /// Divergence: Kafka decodes the line as UTF-8 and so replaces bytes that are none; here they stay as they are.
    pub(crate) fn record<'a>(&'a mut self, line: &'a [u8]) -> Result<ProducerRecord<'a>, String> {
        self.line_number += 1;
        let (headers, rest) =
            self.split(self.parse_headers, line, line, &self.headers_delimiter, "headers delimiter")?;
        let (key, value) = self.split(self.parse_key, line, rest, &self.key_separator, "key separator")?;
        let mut record = ProducerRecord {
            topic: self.topic.as_str().into(),
            key: key.filter(|key| !self.is_null(key)).map(Cow::Borrowed),
            value: Some(value).filter(|value| !self.is_null(value)).map(Cow::Borrowed),
            ..ProducerRecord::default()
        };
        if let Some(headers) = headers.filter(|headers| !self.is_null(headers)) {
            record.headers = self.headers(headers)?;
        }
        Ok(record)
    }

    fn is_null(&self, field: &[u8]) -> bool {
        self.null_marker.as_deref() == Some(field)
    }

    /// What is before the separator, and what is behind it.
    fn split<'a>(
        &self,
        enabled: bool,
        line: &[u8],
        rest: &'a [u8],
        separator: &[u8],
        name: &str,
    ) -> Result<(Option<&'a [u8]>, &'a [u8]), String> {
        if !enabled {
            return Ok((None, rest));
        }
        match find(rest, separator) {
            Some(at) => Ok((rest.get(..at), rest.get(at + separator.len()..).unwrap_or_default())),
            None if self.ignore_error => Ok((None, rest)),
            None => Err(format!(
                "No {name} found on line number {}: '{}'",
                self.line_number,
                String::from_utf8_lossy(line)
            )),
        }
    }

    fn headers<'a>(&self, text: &'a [u8]) -> Result<Vec<RecordHeader<'a>>, String> {
        let mut pairs = Vec::new();
        let mut rest = text;
        while let Some(at) = find(rest, &self.headers_separator) {
            pairs.push(rest.get(..at).unwrap_or_default());
            rest = rest.get(at + self.headers_separator.len()..).unwrap_or_default();
        }
        pairs.push(rest);
        // As Java splits: nothing behind the last separator is no pair.
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        pairs.into_iter().map(|pair| self.header(pair)).collect()
    }

    fn header<'a>(&self, pair: &'a [u8]) -> Result<RecordHeader<'a>, String> {
        let text = String::from_utf8_lossy;
        let Some(at) = find(pair, &self.headers_key_separator) else {
            if self.ignore_error {
                return Ok((text(pair), None));
            }
            return Err(format!(
                "No header key separator found in pair '{}' on line number {}",
                text(pair),
                self.line_number
            ));
        };
        let key = pair.get(..at).unwrap_or_default();
        let value = pair.get(at + self.headers_key_separator.len()..).unwrap_or_default();
        if self.is_null(key) {
            return Err(format!(
                "Header keys should not be equal to the null marker '{}' as they can't be null",
                text(key)
            ));
        }
        Ok((text(key), Some(value).filter(|value| !self.is_null(value)).map(Cow::Borrowed)))
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    match what {
        [byte] => text.iter().position(|other| other == byte),
        _ => text.windows(what.len()).position(|window| window == what),
    }
}

/// Cuts a stream of bytes into lines: `\n`, `\r` and `\r\n` end one, as for Java's reader.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// The line before ended with `\r`: a `\n` belongs to it.
    after_return: bool,
}

impl Lines {
    /// The next line that ends within `chunk`, which is moved behind it. What is left over is kept for the next chunk.
    pub(crate) fn next(&mut self, chunk: &mut &[u8], line: &mut Vec<u8>) -> bool {
        if self.after_return && !chunk.is_empty() {
            self.after_return = false;
            *chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.begun.extend_from_slice(chunk);
            *chunk = &[];
            return false;
        };
        line.clear();
        line.append(&mut self.begun);
        line.extend_from_slice(chunk.get(..end).unwrap_or_default());
        self.after_return = chunk.get(end) == Some(&b'\r');
        *chunk = chunk.get(end + 1..).unwrap_or_default();
        true
    }

    /// The last line, if the stream ended in the middle of one.
    pub(crate) fn last(self) -> Option<Vec<u8>> {
        (!self.begun.is_empty()).then_some(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &[&str]) -> Result<LineReader, String> {
        let properties: Vec<(String, String)> = properties
            .iter()
            .map(|text| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap())
            .collect();
        LineReader::new("t", &properties)
    }

    fn lines(chunks: &[&str]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            let mut chunk = chunk.as_bytes();
            let mut line = Vec::new();
            while lines.next(&mut chunk, &mut line) {
                found.push(String::from_utf8(line.clone()).unwrap());
            }
        }
        found.extend(lines.last().map(|line| String::from_utf8(line).unwrap()));
        found
    }

    #[test]
    fn lines_end_as_javas_do_wherever_the_chunks_are_cut() {
        assert_eq!(lines(&["a\nb\r\nc\rd"]), ["a", "b", "c", "d"]);
        assert_eq!(lines(&["a\r", "\nb", "c\n", "\n"]), ["a", "bc", ""]);
        assert_eq!(lines(&["", "\r\r\n\n"]), ["", "", ""]);
        assert!(lines(&[""]).is_empty());
    }

    #[test]
    fn a_line_is_the_value_and_its_bytes_stay() {
        let mut reader = reader(&[]).unwrap();
        let record = reader.record(b"caf\xe9\tx").unwrap();
        assert_eq!(record, ProducerRecord::new("t", b"caf\xe9\tx"));
    }

    #[test]
    fn headers_and_key_come_before_the_value() {
        let mut reader = reader(&["parse.key=true", "parse.headers=TRUE", "null.marker=NULL"]).unwrap();
        let record = reader.record(b"h1:v1,h2:NULL,\tk\tv\tw").unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"v\tw"[..]));
        assert_eq!(record.headers, [("h1".into(), Some(b"v1".as_slice().into())), ("h2".into(), None)]);
        let record = reader.record(b"NULL\tNULL\tNULL").unwrap();
        assert_eq!((record.key, record.value, record.headers.len()), (None, None, 0));
        assert_eq!(
            reader.record(b"no tab").unwrap_err(),
            "No headers delimiter found on line number 3: 'no tab'"
        );
        assert_eq!(
            reader.record(b"pair\tk\tv").unwrap_err(),
            "No header key separator found in pair 'pair' on line number 4"
        );
    }

    #[test]
    fn errors_may_be_ignored() {
        let mut reader = reader(&["parse.key=true", "key.separator=::", "ignore.error=true"]).unwrap();
        let record = reader.record(b"a:b").unwrap();
        assert_eq!((record.key, record.value), (None, Some(b"a:b".as_slice().into())));
        assert_eq!(reader.record(b"a::b").unwrap().key, Some(b"a".as_slice().into()));
    }

    #[test]
    fn separators_that_cannot_be_told_apart_are_refused() {
        assert_eq!(
            reader(&["headers.separator=:"]).unwrap_err(),
            "headers.separator and headers.key.separator may not be equal"
        );
        assert_eq!(
            reader(&["null.marker=,"]).unwrap_err(),
            "null.marker and headers.separator may not be equal"
        );
        assert!(check_name("org.example.Reader").unwrap_err().contains("org.example.Reader"));
    }
}
