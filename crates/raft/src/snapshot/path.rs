//! The names of snapshot files (`org.apache.kafka.snapshot.Snapshots`, `SnapshotPath`).

use std::path::{Path, PathBuf};

use crate::OffsetAndEpoch;

/// The end of a snapshot's name.
pub const SUFFIX: &str = ".checkpoint";
/// The end of the name while it is written.
pub const PARTIAL_SUFFIX: &str = ".checkpoint.part";
/// The end of the name once it is to be deleted.
pub const DELETE_SUFFIX: &str = ".checkpoint.deleted";

const OFFSET_WIDTH: usize = 20;
const EPOCH_WIDTH: usize = 10;

/// In which part of its life a snapshot file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Whole, and never changed again.
    Frozen,
    /// Being written, or left behind by a crash.
    Partial,
    /// To be deleted.
    Deleted,
}

/// A snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPath {
    /// The file.
    pub path: PathBuf,
    /// Which snapshot.
    pub id: OffsetAndEpoch,
    /// In which part of its life.
    pub kind: SnapshotKind,
}

impl SnapshotPath {
    /// Reads a file's name; none if it is no snapshot's.
    pub fn parse(path: &Path) -> Option<SnapshotPath> {
        let name = path.file_name()?.to_str()?;
        let kind = if name.ends_with(PARTIAL_SUFFIX) {
            SnapshotKind::Partial
        } else if name.ends_with(DELETE_SUFFIX) {
            SnapshotKind::Deleted
        } else if name.ends_with(SUFFIX) {
            SnapshotKind::Frozen
        } else {
            return None;
        };
        let digits = |range: std::ops::Range<usize>| {
            name.get(range).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let offset = digits(0..OFFSET_WIDTH)?.parse().ok()?;
        let dash = name.get(OFFSET_WIDTH..OFFSET_WIDTH + 1)?;
        let epoch = digits(OFFSET_WIDTH + 1..OFFSET_WIDTH + 1 + EPOCH_WIDTH)?.parse().ok()?;
        (dash == "-").then(|| SnapshotPath {
            path: path.to_owned(),
            id: OffsetAndEpoch::new(offset, epoch),
            kind,
        })
    }
}

/// The name without its end, such as `00000000000000000007-0000000002`.
pub fn file_name(id: OffsetAndEpoch) -> String {
    format!("{:0OFFSET_WIDTH$}-{:0EPOCH_WIDTH$}", id.offset, id.epoch)
}

/// The file of a frozen snapshot.
pub fn snapshot_path(log_dir: &Path, id: OffsetAndEpoch) -> PathBuf {
    log_dir.join(file_name(id) + SUFFIX)
}

/// The file of a snapshot that is to be deleted.
pub fn deleted_path(log_dir: &Path, id: OffsetAndEpoch) -> PathBuf {
    log_dir.join(file_name(id) + DELETE_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let path = snapshot_path(Path::new("/d"), OffsetAndEpoch::new(7, 2));
        assert_eq!(path, Path::new("/d/00000000000000000007-0000000002.checkpoint"));
        let parsed = SnapshotPath::parse(&path).unwrap();
        assert_eq!((parsed.id, parsed.kind), (OffsetAndEpoch::new(7, 2), SnapshotKind::Frozen));
    }

    #[test]
    fn partial_and_deleted_files_are_told_apart() {
        let kind = |name: &str| SnapshotPath::parse(Path::new(name)).map(|path| path.kind);
        let base = "00000000000000000007-0000000002";
        assert_eq!(kind(&format!("{base}-8391.checkpoint.part")), Some(SnapshotKind::Partial));
        assert_eq!(kind(&format!("{base}.checkpoint.deleted")), Some(SnapshotKind::Deleted));
        for other in ["bootstrap.checkpoint", "leader-epoch-checkpoint", "00000000000000000007.snapshot", "x"]
        {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
