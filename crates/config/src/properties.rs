//! Reads `server.properties`: Java's properties format, in UTF-8, with the line of every entry.

use std::fmt;
use std::path::Path;

use encoding_rs::UTF_8;
use java_properties::{LineContent, PropertiesIter};

use crate::broker::loggable;
use crate::error::ConfigError;

/// One `key=value` with where it was said. `Debug` hides secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// The value, untrimmed at its end, as Java's reader leaves it.
    pub value: String,
    /// The line in the file; none for `--override`.
    pub line: Option<usize>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({:?})", self.name, loggable(&self.name, &self.value), self.line)
    }
}

/// The entries of a file and of the command line, in order. Of several entries with one key the last wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Entry>,
    /// The file's name, for messages; none if there is no file.
    file: Option<String>,
}

impl Properties {
    /// No file and no entries: a broker started with nothing.
    pub fn none() -> Properties {
        Properties::default()
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Properties, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|error| ConfigError::Unreadable(format!("cannot read {}: {error}", path.display())))?;
        Properties::parse(&bytes, &path.display().to_string())
    }

    /// Reads the text of a file. `file` names it in messages.
    ///
    /// Divergence: Kafka reads ISO-8859-1, and so mangles any name beyond ASCII that an editor of today wrote.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Properties, ConfigError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            ConfigError::Unreadable(format!("{file} line {line}: not UTF-8"))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut entries = Vec::new();
        for line in PropertiesIter::new_with_encoding(text.as_bytes(), UTF_8) {
            let line = line.map_err(|error| ConfigError::Unreadable(format!("{file}: {error}")))?;
            let number = line.line_number();
            if let LineContent::KVPair(name, value) = line.consume_content() {
                entries.push(Entry { name, value, line: Some(number) });
            }
        }
        Ok(Properties { entries, file: Some(file.to_owned()) })
    }

    /// Adds the `key=value` of an `--override`.
    pub fn add_override(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let (name, value) =
            assignment.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(|| {
                ConfigError::Unreadable(format!("--override takes key=value, not `{assignment}`"))
            })?;
        self.set(name.trim(), value);
        Ok(())
    }

    /// Adds an entry without a line.
    pub fn set(&mut self, name: &str, value: &str) {
        self.entries.push(Entry { name: name.to_owned(), value: value.to_owned(), line: None });
    }

    /// Whether there is a file, even an empty one.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The entry that counts for a key.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.name == name)
    }

    /// The value that counts for a key.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|entry| entry.value.as_str())
    }

    /// The entries that count, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| self.entry(&entry.name).is_some_and(|last| std::ptr::eq(last, *entry)))
    }

    /// Where the value of a key was given, for messages.
    pub fn place(&self, name: &str) -> Option<String> {
        let entry = self.entry(name)?;
        Some(match (entry.line, &self.file) {
            (Some(line), Some(file)) => format!("{file} line {line}"),
            (Some(line), None) => format!("line {line}"),
            (None, _) => "--override".to_owned(),
        })
    }

    /// Puts the place of `name` and a hint to an error about it.
    pub(crate) fn located(&self, name: &str, error: ConfigError, hint: String) -> ConfigError {
        match self.place(name) {
            Some(place) => ConfigError::At { place, source: Box::new(error), hint },
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Properties {
        Properties::parse(text.as_bytes(), "server.properties").unwrap()
    }

    #[test]
    fn javas_format_is_read_with_its_lines() {
        let properties = parse(
            "# a comment\n! another\n\nbroker.id=0\nlog.dirs = /a,\\\n    /b\nnum.io.threads:8\nauto.create.topics.enable false\nbroker.rack=r\\u00e4ck \u{fc}\n",
        );
        assert_eq!(properties.get("broker.id"), Some("0"));
        assert_eq!(properties.get("log.dirs"), Some("/a,/b"));
        assert_eq!(properties.get("num.io.threads"), Some("8"));
        assert_eq!(properties.get("auto.create.topics.enable"), Some("false"));
        assert_eq!(properties.get("broker.rack"), Some("r\u{e4}ck \u{fc}"));
        assert_eq!(properties.place("num.io.threads").as_deref(), Some("server.properties line 7"));
    }

    #[test]
    fn the_last_of_several_wins_and_an_override_wins_over_the_file() {
        let mut properties = parse("num.partitions=1\r\nnum.partitions=2\r\nbroker.id=0\r\n");
        assert_eq!(properties.get("num.partitions"), Some("2"));
        properties.add_override("num.partitions=3").unwrap();
        assert_eq!(properties.get("num.partitions"), Some("3"));
        assert_eq!(properties.place("num.partitions").as_deref(), Some("--override"));
        let names: Vec<&str> = properties.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["broker.id", "num.partitions"]);
    }

    #[test]
    fn what_is_no_properties_file_is_told_with_its_line() {
        let error = Properties::parse(b"a=1\nb=\xff\n", "server.properties").unwrap_err();
        assert_eq!(error.to_string(), "server.properties line 2: not UTF-8");
        assert!(
            parse("").add_override_error("nothing").contains("--override takes key=value, not `nothing`")
        );
        assert!(
            Properties::read(Path::new("/does/not/exist"))
                .unwrap_err()
                .to_string()
                .contains("/does/not/exist")
        );
    }

    impl Properties {
        fn add_override_error(mut self, assignment: &str) -> String {
            self.add_override(assignment).unwrap_err().to_string()
        }
    }
}
