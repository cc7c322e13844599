//! The leader epochs of one log (`LeaderEpochCheckpointFile`).

use std::path::Path;

use super::{CheckpointError, Sync, checkpoint_text, read_checkpoint, write_checkpoint};
use crate::leader_epoch_cache::EpochEntry;

/// The file's name in a partition's directory.
pub const LEADER_EPOCH_CHECKPOINT_FILE: &str = "leader-epoch-checkpoint";

/// Writes the file of the partition directory `dir`: `epoch start-offset` a line.
pub fn write_leader_epochs(dir: &Path, entries: &[EpochEntry]) -> Result<(), CheckpointError> {
    write_leader_epochs_with(dir, entries, Sync::Now)
}

/// The same, synced now or by the caller.
pub(crate) fn write_leader_epochs_with(
    dir: &Path,
    entries: &[EpochEntry],
    sync: Sync,
) -> Result<(), CheckpointError> {
    write_checkpoint(&dir.join(LEADER_EPOCH_CHECKPOINT_FILE), lines(entries), sync)
}

/// What stands in the file.
pub(crate) fn leader_epochs_text(entries: &[EpochEntry]) -> String {
    checkpoint_text(lines(entries))
}

fn lines(entries: &[EpochEntry]) -> impl ExactSizeIterator<Item = String> {
    entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset))
}

/// Reads the file of the partition directory `dir`; an absent file is an empty one.
pub fn read_leader_epochs(dir: &Path) -> Result<Vec<EpochEntry>, CheckpointError> {
    read_checkpoint(&dir.join(LEADER_EPOCH_CHECKPOINT_FILE), |words| {
        let epoch = words.next()?.parse::<i32>().ok()?;
        let start_offset = words.next()?.parse::<i64>().ok()?;
        Some(EpochEntry { epoch, start_offset })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_leader_epochs(dir.path()).unwrap().is_empty());
        let entries = [
            EpochEntry { epoch: 0, start_offset: 0 },
            EpochEntry { epoch: 5, start_offset: 1_000_000_000_000 },
        ];
        write_leader_epochs(dir.path(), &entries).unwrap();
        let text = std::fs::read_to_string(dir.path().join(LEADER_EPOCH_CHECKPOINT_FILE)).unwrap();
        assert_eq!(text, "0\n2\n0 0\n5 1000000000000\n");
        assert_eq!(read_leader_epochs(dir.path()).unwrap(), entries);
    }
}
