//! One offset for each partition of a log directory (`OffsetCheckpointFile`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use common::TopicPartition;

use super::{CheckpointError, Sync, read_checkpoint, write_checkpoint};

/// Up to which offset each log is known to be on disk: recovery begins there.
pub const RECOVERY_POINT_CHECKPOINT_FILE: &str = "recovery-point-offset-checkpoint";
/// The high watermark of each log.
pub const REPLICATION_OFFSET_CHECKPOINT_FILE: &str = "replication-offset-checkpoint";
/// The first offset of each log that clients may see, where that is not the first offset of its first segment.
pub const LOG_START_OFFSET_CHECKPOINT_FILE: &str = "log-start-offset-checkpoint";

/// Up to which offset each log is compacted.
pub const CLEANER_OFFSET_CHECKPOINT_FILE: &str = "cleaner-offset-checkpoint";

/// Writes one of the files: `topic partition offset` a line. The order is that of topic and partition.
///
/// Divergence: Kafka writes the order of its hash map; readers take any.
pub fn write_offsets(path: &Path, offsets: &HashMap<TopicPartition, i64>) -> Result<(), CheckpointError> {
    let mut entries: Vec<_> = offsets.iter().collect();
    entries.sort();
    write_checkpoint(
        path,
        entries
            .into_iter()
            .map(|(partition, offset)| format!("{} {} {offset}", partition.topic, partition.partition)),
        Sync::Now,
    )
}

/// Reads one of the files. An absent file is an empty one; of two lines for one partition the last counts.
pub fn read_offsets(path: &Path) -> Result<HashMap<TopicPartition, i64>, CheckpointError> {
    // The partitions of a topic mostly stand together, and share its name.
    let mut topic: Arc<str> = Arc::from("");
    let entries = read_checkpoint(path, |words| {
        let name = words.next()?;
        let partition = words.next()?.parse::<i32>().ok()?;
        let offset = words.next()?.parse::<i64>().ok()?;
        if *name != *topic {
            topic = Arc::from(name);
        }
        Some((TopicPartition { topic: Arc::clone(&topic), partition }, offset))
    })?;
    Ok(entries.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RECOVERY_POINT_CHECKPOINT_FILE);
        assert!(read_offsets(&path).unwrap().is_empty());
        let offsets = HashMap::from([
            (TopicPartition::new("b", 0), 7),
            (TopicPartition::new("a", 10), i64::MAX),
            (TopicPartition::new("a", 2), 0),
        ]);
        write_offsets(&path, &offsets).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n3\na 2 0\na 10 9223372036854775807\nb 0 7\n");
        assert_eq!(read_offsets(&path).unwrap(), offsets);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(REPLICATION_OFFSET_CHECKPOINT_FILE);
        for text in
            ["1\n0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na 0 1 2\n", "x\n", "0\n-\n", "0\n1\na x 1\n"]
        {
            std::fs::write(&path, text).unwrap();
            let error = read_offsets(&path).unwrap_err().to_string();
            assert!(error.contains(REPLICATION_OFFSET_CHECKPOINT_FILE), "{error}");
        }
        std::fs::write(&path, [0xff, 0xfe, b'\n']).unwrap();
        assert!(read_offsets(&path).is_err());
        for text in ["", "0\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(read_offsets(&path).unwrap().is_empty());
        }
    }
}
