//! Names of files and directories in a log directory (`LogFileUtils`, and the naming half of `LocalLog`).

use std::path::{Path, PathBuf};

use common::{TopicPartition, Uuid};

/// The records of a segment.
pub const LOG_FILE_SUFFIX: &str = ".log";
/// The offset index of a segment.
pub const INDEX_FILE_SUFFIX: &str = ".index";
/// The time index of a segment.
pub const TIME_INDEX_FILE_SUFFIX: &str = ".timeindex";
/// The aborted transactions of a segment.
pub const TXN_INDEX_FILE_SUFFIX: &str = ".txnindex";
/// The producer state at an offset.
pub const PRODUCER_SNAPSHOT_FILE_SUFFIX: &str = ".snapshot";
/// A file that is to be deleted after `file.delete.delay.ms`.
pub const DELETED_FILE_SUFFIX: &str = ".deleted";
/// A file that the log cleaner or a split was writing.
pub const CLEANED_FILE_SUFFIX: &str = ".cleaned";
/// A complete file that was about to replace others.
pub const SWAP_FILE_SUFFIX: &str = ".swap";
/// The end of a deleted KRaft snapshot's name, which is not the log's business.
pub const SNAPSHOT_DELETE_SUFFIX: &str = ".checkpoint.deleted";
/// A partition directory that is to be deleted.
pub const DELETE_DIR_SUFFIX: &str = "-delete";
/// A replica that moves to this log directory.
pub const FUTURE_DIR_SUFFIX: &str = "-future";
/// A partition directory that the cluster does not know.
pub const STRAY_DIR_SUFFIX: &str = "-stray";

/// The longest file name that file systems take, in bytes.
const MAX_FILE_NAME_LENGTH: usize = 255;

/// The 20 digits with which the files of an offset begin.
pub fn prefix_from_offset(offset: i64) -> String {
    format!("{offset:020}")
}

/// The path of a segment's file: `suffix` is one of the file suffixes, `state` is empty or one of
/// `.deleted`, `.cleaned`, `.swap`.
pub fn segment_file(dir: &Path, base_offset: i64, suffix: &str, state: &str) -> PathBuf {
    dir.join(format!("{base_offset:020}{suffix}{state}"))
}

/// The path of the producer snapshot taken at `offset`.
pub fn producer_snapshot_file(dir: &Path, offset: i64) -> PathBuf {
    segment_file(dir, offset, PRODUCER_SNAPSHOT_FILE_SUFFIX, "")
}

/// The offset in a file's name: all before its first dot. `None` if that is no number.
pub fn offset_from_file_name(name: &str) -> Option<i64> {
    let digits = name.split_once('.')?.0;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Whether the name is that of an offset, time or transaction index.
pub fn is_index_file(name: &str) -> bool {
    name.ends_with(INDEX_FILE_SUFFIX)
        || name.ends_with(TIME_INDEX_FILE_SUFFIX)
        || name.ends_with(TXN_INDEX_FILE_SUFFIX)
}

/// The directory of a partition: `<topic>-<partition>`.
pub fn log_dir_name(topic_partition: &TopicPartition) -> String {
    topic_partition.to_string()
}

/// A new name for the directory of a partition that is deleted: `<topic>-<partition>.<id>-delete`, the topic cut so that the
/// name fits the file system.
pub fn log_delete_dir_name(topic_partition: &TopicPartition) -> String {
    dir_name_with_suffix(topic_partition, DELETE_DIR_SUFFIX)
}

/// A new name for the directory of a replica that moves to this log directory.
pub fn log_future_dir_name(topic_partition: &TopicPartition) -> String {
    dir_name_with_suffix(topic_partition, FUTURE_DIR_SUFFIX)
}

/// A new name for the directory of a partition that this broker should not have.
pub fn log_stray_dir_name(topic_partition: &TopicPartition) -> String {
    dir_name_with_suffix(topic_partition, STRAY_DIR_SUFFIX)
}

fn dir_name_with_suffix(topic_partition: &TopicPartition, suffix: &str) -> String {
    let mut id = String::with_capacity(32);
    for byte in Uuid::random().0 {
        id.push_str(&format!("{byte:02x}"));
    }
    let full_suffix = format!("-{}.{id}{suffix}", topic_partition.partition);
    // Topic names are ASCII, so that every byte is a boundary; a name that is not is cut at the boundary before.
    let mut length = topic_partition.topic.len().min(MAX_FILE_NAME_LENGTH - full_suffix.len());
    while !topic_partition.topic.is_char_boundary(length) {
        length -= 1;
    }
    format!("{}{full_suffix}", &topic_partition.topic[..length])
}

/// What a directory in a log directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirKind {
    /// A replica in service.
    Current,
    /// `-delete`: to be deleted.
    Delete,
    /// `-future`: a replica on its way into this log directory.
    Future,
    /// `-stray`: a replica that this broker should not have.
    Stray,
}

/// Why a directory cannot be a partition's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Found directory {}, '{name}' is not in the form of topic-partition or topic-partition.uniqueId-delete (if marked for \
     deletion). Kafka's log directories (and children) should only contain Kafka topic data.", .path.display()
)]
pub struct NotAPartitionDir {
    path: PathBuf,
    name: String,
}

/// The partition that a directory belongs to, and what the directory is.
pub fn parse_dir_name(dir: &Path) -> Result<(TopicPartition, DirKind), NotAPartitionDir> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let refuse = || NotAPartitionDir { path: dir.to_owned(), name: name.to_owned() };
    let kind = [
        (DELETE_DIR_SUFFIX, DirKind::Delete),
        (FUTURE_DIR_SUFFIX, DirKind::Future),
        (STRAY_DIR_SUFFIX, DirKind::Stray),
    ]
    .into_iter()
    .find(|(suffix, _)| name.ends_with(suffix))
    .map_or(DirKind::Current, |(_, kind)| kind);
    let base = match kind {
        DirKind::Current => name,
        _ => name.rsplit_once('.').ok_or_else(refuse)?.0,
    };
    let (topic, partition) = base.rsplit_once('-').ok_or_else(refuse)?;
    match partition.parse::<i32>() {
        Ok(partition) if !topic.is_empty() && partition >= 0 => {
            Ok((TopicPartition::new(topic, partition), kind))
        }
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_twenty_digits() {
        let dir = Path::new("d");
        assert_eq!(
            segment_file(dir, 170_210_222, LOG_FILE_SUFFIX, DELETED_FILE_SUFFIX),
            Path::new("d/00000000000170210222.log.deleted")
        );
        assert_eq!(offset_from_file_name("00000000000170210222.log.deleted"), Some(170_210_222));
        for name in
            ["leader-epoch-checkpoint", "partition.metadata", ".lock", "x.log", "99999999999999999999.log"]
        {
            assert_eq!(offset_from_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn directory_names_are_read_back() {
        for topic in ["a", "with-dash-1", "dots.and_under"] {
            let partition = TopicPartition::new(topic, 7);
            let parse = |name: String| parse_dir_name(Path::new(&name)).unwrap();
            assert_eq!(parse(log_dir_name(&partition)), (partition.clone(), DirKind::Current));
            assert_eq!(parse(log_delete_dir_name(&partition)), (partition.clone(), DirKind::Delete));
            assert_eq!(parse(log_future_dir_name(&partition)), (partition.clone(), DirKind::Future));
            assert_eq!(parse(log_stray_dir_name(&partition)), (partition.clone(), DirKind::Stray));
        }
        for name in ["nodash", "-0", "topic-", "topic-x", "topic-0-delete", ""] {
            assert!(parse_dir_name(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn the_longest_topic_fits_when_its_directory_is_renamed() {
        let partition = TopicPartition::new("t".repeat(249), i32::MAX);
        assert_eq!(log_delete_dir_name(&partition).len(), 255);
    }
}
