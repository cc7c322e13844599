//! One log directory: its lock, its identity, its checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::io::fs::{self, File};
use common::{TopicPartition, Uuid};
use parking_lot::Mutex;

use crate::checkpoint::{
    BootMark, CLEANER_OFFSET_CHECKPOINT_FILE, CheckpointError, CleanShutdownFile,
    LOG_START_OFFSET_CHECKPOINT_FILE, META_PROPERTIES_FILE, MetaProperties, RECOVERY_POINT_CHECKPOINT_FILE,
    REPLICATION_OFFSET_CHECKPOINT_FILE, read_offsets, sync_dir, write_offsets,
};
use crate::dir_health::{DirHealth, LogDirFailureChannel};
use crate::disk_watch::DiskWatch;

/// The file that is locked while a broker uses the directory.
const LOCK_FILE: &str = ".lock";

/// Why a log directory cannot be used. The text names it and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogDirError {
    /// `log.dirs` names no directory.
    #[error("log.dirs names no directory: name at least one")]
    None,
    /// The directory is named twice, perhaps by different paths.
    #[error("Duplicate log directory found: {}: name each directory of log.dirs once", .dir.display())]
    Duplicate {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory cannot be made, read or written.
    #[error(
        "Cannot use the log directory {}: {source}. It must be a directory that the broker's user may read and write: make it so, or \
         name another one in log.dirs", .dir.display()
    )]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another broker uses the directory.
    #[error(
        "Failed to acquire lock on file .lock in {}. A Kafka instance in another process or thread is using this directory: stop it, \
         or name another directory in log.dirs", .dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory was formatted for another cluster.
    #[error(
        "The log directory {} belongs to cluster {found}, but this node is of cluster {expected}: name the directory of this cluster \
         in log.dirs. (Only if its data may be lost: empty it and format it anew.)", .dir.display()
    )]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster id in its `meta.properties`.
        found: String,
        /// The cluster id of the node.
        expected: String,
    },
    /// The directory was formatted for another node.
    #[error(
        "Stored node id {found} doesn't match configured node id {expected} in {}: if you moved your data, make sure the configured \
         node.id matches; if you intend to create a new node, name another directory in log.dirs",
        .dir.join(META_PROPERTIES_FILE).display()
    )]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// The node id in its `meta.properties`.
        found: i32,
        /// The node id configured.
        expected: i32,
    },
    /// Two directories have one id: one is a copy of the other.
    #[error(
        "The log directories {} and {} have the same directory.id {id}: one is a copy; take it out of log.dirs",
        .first.display(), .second.display()
    )]
    SameId {
        /// A directory.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Their id.
        id: Uuid,
    },
    /// No directory was ever formatted.
    #[error(
        "No `{META_PROPERTIES_FILE}` found in {}: format it first (milena storage format --cluster-id ID --config FILE)",
        .dir.display()
    )]
    Unformatted {
        /// The directory.
        dir: PathBuf,
    },
    /// `meta.properties` cannot be read or written.
    #[error("{0}")]
    MetaProperties(#[from] CheckpointError),
}

/// A log directory in use.
#[derive(Debug)]
pub(super) struct LogDir {
    pub path: PathBuf,
    pub id: Uuid,
    pub health: Arc<DirHealth>,
    /// It gets no new logs (`cordoned.log.dirs`).
    pub cordoned: AtomicBool,
    /// In which boot of the machine its logs were loaded.
    pub boot: BootMark,
    /// Held while the directory is in use.
    lock: Mutex<Option<File>>,
    /// A partition's directory in it has another name, which may not last yet.
    pub renamed: AtomicBool,
    /// What the checkpoint files hold, so that they are written only when something has changed.
    written: Mutex<BTreeMap<&'static str, HashMap<TopicPartition, i64>>>,
}

impl LogDir {
    pub fn clean_shutdown_file(&self) -> CleanShutdownFile {
        CleanShutdownFile::new(&self.path)
    }

    /// Reads a checkpoint. One that is damaged is as one that is not there, as in Kafka.
    pub fn read_checkpoint(&self, file: &'static str) -> HashMap<TopicPartition, i64> {
        let read = read_offsets(&self.path.join(file));
        if let Ok(offsets) = &read {
            self.written.lock().insert(file, offsets.clone());
        }
        read.unwrap_or_else(|error| {
            let effect = match file {
                RECOVERY_POINT_CHECKPOINT_FILE => {
                    "every log is recovered from its beginning if the stop was unclean"
                }
                REPLICATION_OFFSET_CHECKPOINT_FILE => "the high watermarks begin at the logs' starts",
                LOG_START_OFFSET_CHECKPOINT_FILE => "the logs begin at their first segments",
                CLEANER_OFFSET_CHECKPOINT_FILE => "every log is compacted from its start",
                _ => "it is ignored",
            };
            tracing::warn!(%error, "the checkpoint file cannot be read; {effect}");
            HashMap::new()
        })
    }

    /// Writes a checkpoint, if it changed.
    pub fn write_checkpoint<'l, I>(
        &self,
        file: &'static str,
        offsets: impl Fn() -> I,
    ) -> Result<(), CheckpointError>
    where
        I: Iterator<Item = (&'l TopicPartition, i64)>,
    {
        let mut written = self.written.lock();
        if let Some(known) = written.get(file) {
            let mut count = 0;
            let is_known = |(partition, offset): (&TopicPartition, i64)| {
                count += 1;
                known.get(partition) == Some(&offset)
            };
            if offsets().all(is_known) && count == known.len() {
                return Ok(());
            }
        }
        let offsets: HashMap<_, _> =
            offsets().map(|(partition, offset)| (partition.clone(), offset)).collect();
        write_offsets(&self.path.join(file), &offsets)?;
        written.insert(file, offsets);
        Ok(())
    }

    /// Takes a partition out of all checkpoints, and out of those that hold it all others that are gone as well: each of them may
    /// come back like this one, and the files may be long.
    pub fn forget(
        &self,
        partition: &TopicPartition,
        is_gone: &dyn Fn(&TopicPartition) -> bool,
    ) -> Result<(), CheckpointError> {
        for (file, offsets) in self.written.lock().iter_mut() {
            if offsets.remove(partition).is_some() {
                offsets.retain(|other, _| !is_gone(other));
                write_offsets(&self.path.join(file), offsets)?;
            }
        }
        Ok(())
    }

    /// Lowers what a checkpoint says of a partition to `offset`, if it says more.
    pub fn lower(
        &self,
        file: &'static str,
        partition: &TopicPartition,
        offset: i64,
    ) -> Result<(), CheckpointError> {
        let mut written = self.written.lock();
        let Some(offsets) = written.get_mut(file) else { return Ok(()) };
        match offsets.get_mut(partition) {
            Some(known) if *known > offset => *known = offset,
            _ => return Ok(()),
        }
        write_offsets(&self.path.join(file), offsets)
    }

    /// Makes everything in the directory survive a crash of the machine.
    pub fn sync_file_system(&self) -> io::Result<()> {
        // The lock's file is open since the directory is in use: through it the kernel tells of all that went wrong meanwhile.
        match &*self.lock.lock() {
            Some(lock) => lock.sync_file_system(),
            None => fs::sync_file_system(&self.path),
        }
    }

    pub fn unlock(&self) {
        self.lock.lock().take();
    }
}

/// Makes, locks and identifies the directories. One that the operating system refuses is left out, if another can be used.
pub(super) fn open_dirs(
    dirs: &[PathBuf],
    cluster_id: Option<&str>,
    node_id: i32,
    failures: &Arc<LogDirFailureChannel>,
    watch: &Arc<DiskWatch>,
) -> Result<(Vec<LogDir>, Vec<PathBuf>), LogDirError> {
    let mut locked: Vec<LockedDir> = Vec::new();
    let mut failed = Vec::new();
    let mut first_error = None;
    for dir in dirs {
        match make_and_lock(dir) {
            Ok(opened) => {
                if locked.iter().any(|known| known.path == opened.path) {
                    return Err(LogDirError::Duplicate { dir: opened.path });
                }
                locked.push(opened);
            }
            Err(error @ LogDirError::Unusable { .. }) => {
                tracing::error!("{error}; the directory is offline");
                failed.push(dir.clone());
                first_error.get_or_insert(error);
            }
            Err(error) => {
                // The same directory by another path is locked already: by this very broker.
                let known =
                    fs::canonicalize(dir).is_ok_and(|path| locked.iter().any(|other| other.path == path));
                return Err(if known { LogDirError::Duplicate { dir: dir.clone() } } else { error });
            }
        }
    }
    if locked.is_empty() {
        return Err(first_error.unwrap_or(LogDirError::None));
    }
    let identities = identify(&locked, cluster_id, node_id)?;
    let opened = locked
        .into_iter()
        .zip(identities)
        .map(|(dir, id)| LogDir {
            health: Arc::new(DirHealth::reporting_to(&dir.path, Arc::clone(failures), Arc::clone(watch))),
            boot: BootMark::new(&dir.path),
            path: dir.path,
            id,
            cordoned: AtomicBool::new(false),
            lock: Mutex::new(Some(dir.lock)),
            renamed: AtomicBool::new(false),
            written: Mutex::new(BTreeMap::new()),
        })
        .collect();
    Ok((opened, failed))
}

/// A directory that is this broker's, and what its `meta.properties` says.
struct LockedDir {
    path: PathBuf,
    lock: File,
    properties: Option<MetaProperties>,
}

fn make_and_lock(dir: &Path) -> Result<LockedDir, LogDirError> {
    let unusable = |source| LogDirError::Unusable { dir: dir.to_owned(), source };
    if !fs::exists(dir) {
        tracing::info!(dir = %dir.display(), "log directory not found, creating it");
        fs::create_dir_all(dir).map_err(unusable)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).map_err(unusable)?;
        }
    }
    fs::read_dir(dir).map_err(unusable)?;
    let path = fs::canonicalize(dir).map_err(unusable)?;
    let lock = File::open_for_update(path.join(LOCK_FILE), true).map_err(unusable)?;
    if !lock.try_lock().map_err(unusable)? {
        return Err(LogDirError::Locked { dir: path });
    }
    let properties = MetaProperties::read(&path).map_err(|error| match error {
        CheckpointError::Io { source, .. } => unusable(source),
        other => other.into(),
    })?;
    Ok(LockedDir { path, lock, properties })
}

/// The ids of the directories, in their order. One without `meta.properties` gets it, if the cluster's id is known: it was added to
/// `log.dirs`, or is empty as after a change of disks.
fn identify(dirs: &[LockedDir], cluster_id: Option<&str>, node_id: i32) -> Result<Vec<Uuid>, LogDirError> {
    let found = || dirs.iter().filter_map(|dir| dir.properties.as_ref());
    let cluster_of_dirs = found().find_map(|properties| properties.cluster_id.clone());
    let Some(cluster) = cluster_id.map(str::to_owned).or(cluster_of_dirs) else {
        let dir = dirs.first().map(|dir| dir.path.clone()).unwrap_or_default();
        return Err(LogDirError::Unformatted { dir });
    };
    let mut ids: Vec<Uuid> = Vec::new();
    for LockedDir { path: dir, properties, .. } in dirs {
        if let Some(found) = properties.as_ref().and_then(|properties| properties.cluster_id.as_ref())
            && *found != cluster
        {
            return Err(LogDirError::OtherCluster {
                dir: dir.clone(),
                found: found.clone(),
                expected: cluster,
            });
        }
        if let Some(found) = properties.as_ref().and_then(|properties| properties.node_id)
            && found != node_id
        {
            return Err(LogDirError::OtherNode { dir: dir.clone(), found, expected: node_id });
        }
        let id = match properties.as_ref().and_then(|properties| properties.directory_id) {
            Some(id) => id,
            None => {
                let id = Uuid::random();
                MetaProperties::new(cluster.clone(), node_id, id).write(dir)?;
                id
            }
        };
        if let Some(index) = ids.iter().position(|known| *known == id) {
            let first = dirs.get(index).map(|dir| dir.path.clone()).unwrap_or_default();
            return Err(LogDirError::SameId { first, second: dir.clone(), id });
        }
        ids.push(id);
    }
    Ok(ids)
}
