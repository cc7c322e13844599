//! The topic id of a partition's directory (`PartitionMetadataFile`).

use std::path::Path;

use common::Uuid;

use super::{CheckpointError, Sync, read_text, replace_file_with};

/// The file's name in a partition's directory.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// Writes the file of the partition directory `dir`.
pub fn write_partition_metadata(dir: &Path, topic_id: Uuid) -> Result<(), CheckpointError> {
    write_partition_metadata_with(dir, topic_id, Sync::Now)
}

/// The same, synced now or by the caller.
pub(crate) fn write_partition_metadata_with(
    dir: &Path,
    topic_id: Uuid,
    sync: Sync,
) -> Result<(), CheckpointError> {
    replace_file_with(&dir.join(PARTITION_METADATA_FILE), partition_metadata_text(topic_id).as_bytes(), sync)
}

/// What stands in the file.
pub(crate) fn partition_metadata_text(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// Reads the topic id from the partition directory `dir`. `None` if there is no file. A version above 0 is read too, as
/// Kafka does, so that a directory survives a downgrade.
pub fn read_partition_metadata(dir: &Path) -> Result<Option<Uuid>, CheckpointError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    let Some(text) = read_text(&path)? else { return Ok(None) };
    let mut lines = text.lines();
    let mut value = || {
        let line = lines.next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(_), Some(value), None) => Ok((line, value)),
            _ => Err(CheckpointError::malformed(&path, line)),
        }
    };
    let (line, version) = value()?;
    let version = version.parse::<i32>().map_err(|_| CheckpointError::malformed(&path, line))?;
    if version < 0 {
        return Err(CheckpointError::Version { path: path.clone(), version: version.into(), expected: 0 });
    }
    let (line, id) = value()?;
    match id.parse::<Uuid>() {
        Ok(id) if !id.is_zero() => Ok(Some(id)),
        _ => Err(CheckpointError::malformed(&path, line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_partition_metadata(dir.path()).unwrap(), None);
        let id = Uuid::random();
        write_partition_metadata(dir.path(), id).unwrap();
        assert_eq!(read_partition_metadata(dir.path()).unwrap(), Some(id));
        let path = dir.path().join(PARTITION_METADATA_FILE);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("version: 0\ntopic_id: {id}"));
        for text in
            ["", "version: 0", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", "version: -1\ntopic_id: x"]
        {
            std::fs::write(&path, text).unwrap();
            assert!(read_partition_metadata(dir.path()).is_err(), "{text}");
        }
    }
}
