//! Whether a log directory still holds everything that was ever written to it: what a killed broker wrote, the kernel has, as long as the
//! machine goes on.
//!
//! Divergence: Kafka takes every unclean stop for a loss of power, and reads all that was not synced. Most are the end of the process
//! alone: killed, out of memory. Then only the last batches of each log can be torn, and only they are read.

use std::io;
use std::path::{Path, PathBuf};

use ::io::fs::{self, File};

/// The file's name in a log directory. Kafka looks at directories only, and leaves it alone.
const BOOT_FILE: &str = ".milena_boot";

/// The mark of one log directory: in which boot of the machine all its logs were loaded.
#[derive(Debug)]
pub(crate) struct BootMark {
    path: PathBuf,
    /// What stands in it if it is of this boot; `None` where that cannot be told.
    current: Option<String>,
}

impl BootMark {
    /// The mark of `log_dir`.
    pub fn new(log_dir: &Path) -> BootMark {
        BootMark { path: log_dir.join(BOOT_FILE), current: fs::boot_identity(log_dir) }
    }

    /// Whether a boot can be told from another here.
    pub fn tells(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the logs were loaded in this boot of the machine.
    pub fn is_current(&self) -> bool {
        let Some(current) = &self.current else { return false };
        fs::read(&self.path).is_ok_and(|stored| stored == current.as_bytes())
    }

    /// Says that all logs were loaded in this boot. Nothing is synced: a mark that gets lost was one of the boot that has ended.
    pub fn set(&self) -> io::Result<()> {
        let Some(current) = self.current.as_ref().filter(|_| !self.is_current()) else { return Ok(()) };
        // In its place, without freeing a block: what is torn fits no boot.
        let file = File::open_for_update(&self.path, true)?;
        file.write_all_at(current.as_bytes(), 0)?;
        file.set_len(current.len() as u64)
    }

    /// Has the next start read everything: the disk has failed, and what was written may be lost without a crash.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::io::SimulatedDisk;

    use super::*;

    #[test]
    fn the_mark_lasts_as_long_as_the_boot() {
        let disk = SimulatedDisk::new(1);
        let dir = disk.path().join("logs");
        fs::create_dir_all(&dir).unwrap();
        fs::sync_dir(disk.path()).unwrap();
        let is_current = || BootMark::new(&dir).is_current();
        assert!(!is_current());
        BootMark::new(&dir).set().unwrap();
        assert!(is_current());
        disk.kill();
        assert!(is_current());
        // Even if it was synced, as the file system does at some time.
        fs::sync_file_system(&dir).unwrap();
        disk.lose_power();
        assert!(fs::exists(dir.join(BOOT_FILE)) && !is_current());
        BootMark::new(&dir).set().unwrap();
        assert!(is_current());
        BootMark::new(&dir).remove().unwrap();
        BootMark::new(&dir).remove().unwrap();
        assert!(!is_current());
    }

    #[test]
    fn a_copy_of_a_directory_has_no_mark_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (original, copy) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&original).unwrap();
        std::fs::create_dir(&copy).unwrap();
        let mark = BootMark::new(&original);
        mark.set().unwrap();
        assert_eq!(mark.is_current(), mark.tells());
        if mark.tells() {
            std::fs::copy(original.join(BOOT_FILE), copy.join(BOOT_FILE)).unwrap();
        }
        assert!(!BootMark::new(&copy).is_current());
    }
}
