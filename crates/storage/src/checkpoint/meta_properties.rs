//! `meta.properties`: to which cluster and node a log directory belongs, and the directory's own id (`MetaProperties`, KIP-858).

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::Uuid;

use super::{CheckpointError, read_text, replace_file};

/// The file's name in a log directory.
pub const META_PROPERTIES_FILE: &str = "meta.properties";

/// The content of the file. Version 1 is what KRaft writes; version 0 is of the days of ZooKeeper, with `broker.id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaProperties {
    /// 1, or 0 for a directory that a broker under ZooKeeper formatted.
    pub version: i32,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The node's id (`broker.id` in version 0).
    pub node_id: Option<i32>,
    /// The directory's id.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// What a directory is formatted with.
    pub fn new(cluster_id: impl Into<String>, node_id: i32, directory_id: Uuid) -> MetaProperties {
        MetaProperties {
            version: 1,
            cluster_id: Some(cluster_id.into()),
            node_id: Some(node_id),
            directory_id: Some(directory_id),
        }
    }

    /// Reads the file of `log_dir`; `None` if there is none.
    pub fn read(log_dir: &Path) -> Result<Option<MetaProperties>, CheckpointError> {
        let path = log_dir.join(META_PROPERTIES_FILE);
        let Some(text) = read_text(&path)? else { return Ok(None) };
        let mut properties = MetaProperties::default();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let malformed = || CheckpointError::malformed(&path, line);
            // No value that Kafka writes here needs the escapes of the format but the colon's.
            let (key, value) = line.split_once('=').ok_or_else(malformed)?;
            let value = value.trim().replace('\\', "");
            match key.trim() {
                "version" => properties.version = value.parse().map_err(|_| malformed())?,
                "cluster.id" => properties.cluster_id = Some(value),
                "node.id" | "broker.id" => properties.node_id = Some(value.parse().map_err(|_| malformed())?),
                "directory.id" => properties.directory_id = Some(value.parse().map_err(|_| malformed())?),
                _ => {}
            }
        }
        Ok(Some(properties))
    }

    /// Writes the file of `log_dir`.
    pub fn write(&self, log_dir: &Path) -> Result<(), CheckpointError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut text = format!("#\n#{}\n", JavaDate(seconds));
        let id_key = if self.version == 0 { "broker.id" } else { "node.id" };
        // The order in which Kafka's own files have them.
        if let Some(node_id) = self.node_id {
            text.push_str(&format!("{id_key}={node_id}\n"));
        }
        if let Some(directory_id) = self.directory_id {
            text.push_str(&format!("directory.id={directory_id}\n"));
        }
        text.push_str(&format!("version={}\n", self.version));
        if let Some(cluster_id) = &self.cluster_id {
            text.push_str(&format!("cluster.id={cluster_id}\n"));
        }
        replace_file(&log_dir.join(META_PROPERTIES_FILE), text.as_bytes())
    }
}

/// Seconds since 1970 as `java.util.Properties` writes the date of a file: `Sat Nov 21 10:37:40 UTC 2026`.
struct JavaDate(u64);

impl fmt::Display for JavaDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, seconds) = (self.0 / 86_400, self.0 % 86_400);
        // Civil date from days, with years that begin in March, so that a leap day is the last of its year.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12;
        let year = year_of_era + era * 400 + u64::from(month < 2);
        write!(
            f,
            "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
            DAYS[(days % 7) as usize],
            MONTHS[month as usize],
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_javas() {
        assert_eq!(JavaDate(0).to_string(), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(JavaDate(1_795_257_460).to_string(), "Sat Nov 21 10:37:40 UTC 2026");
        assert_eq!(JavaDate(951_782_400).to_string(), "Tue Feb 29 00:00:00 UTC 2000");
    }

    #[test]
    fn the_file_of_apache_kafka_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(MetaProperties::read(dir.path()).unwrap(), None);
        let text = "#\n#Sat Nov 21 10:37:40 UTC 2026\nnode.id=1\ndirectory.id=doaucaHEQE6wGSBix7ZaMw\nversion=1\n\
                    cluster.id=RgqN1M8fTdaJkfFZbQiQxA\n";
        std::fs::write(dir.path().join(META_PROPERTIES_FILE), text).unwrap();
        let read = MetaProperties::read(dir.path()).unwrap().unwrap();
        let id = "doaucaHEQE6wGSBix7ZaMw".parse().unwrap();
        assert_eq!(read, MetaProperties::new("RgqN1M8fTdaJkfFZbQiQxA", 1, id));
        read.write(dir.path()).unwrap();
        let written = std::fs::read_to_string(dir.path().join(META_PROPERTIES_FILE)).unwrap();
        assert_eq!(written.lines().skip(2).collect::<Vec<_>>(), text.lines().skip(2).collect::<Vec<_>>());
        assert_eq!(MetaProperties::read(dir.path()).unwrap().unwrap(), read);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["node.id=x", "directory.id=short", "no equals sign", "version=one"] {
            std::fs::write(dir.path().join(META_PROPERTIES_FILE), text).unwrap();
            let error = MetaProperties::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(META_PROPERTIES_FILE) && error.contains(text), "{error}");
        }
    }
}
