//! Files and directories. The functions are those of `std::fs` by the same names, unless they say otherwise.

use std::ffi::OsString;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// An open file. A clone is the same open file.
#[derive(Clone, Debug)]
pub struct File(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Real(Arc<std::fs::File>),
    #[cfg(feature = "simulated")]
    Simulated(Arc<crate::simulated::SimulatedFile>),
}

/// One expression for the operating system's file, and one for the simulated.
macro_rules! on {
    ($file:expr, $real:ident => $production:expr, $simulated:ident => $simulation:expr) => {
        match &$file.0 {
            Inner::Real($real) => $production,
            #[cfg(feature = "simulated")]
            Inner::Simulated($simulated) => $simulation,
        }
    };
}

/// Returns from the function with what the disk says, if the path lies on a simulated one.
macro_rules! if_simulated {
    ($path:expr, $disk:ident => $simulation:expr) => {
        #[cfg(feature = "simulated")]
        if let Some($disk) = crate::simulated::disk_of($path.as_ref()) {
            return $simulation;
        }
    };
}

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// Those of the file system, here and everywhere below.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        if_simulated!(path, disk => disk.open(path.as_ref(), false, false).map(File::simulated));
        std::fs::File::open(path).map(File::real)
    }

    /// Makes a file, or empties the one that is there.
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        if_simulated!(path, disk => disk.open(path.as_ref(), true, true).map(File::simulated));
        std::fs::File::create(path).map(File::real)
    }

    /// Makes a file that is not there yet, with the permissions of `mode`.
    pub fn create_new(path: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        if_simulated!(path, disk => disk.create_new(path.as_ref()).map(File::simulated));
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map(File::real)
    }

    /// Opens a file to read and write it. `create` makes it if it is not there.
    pub fn open_for_update(path: impl AsRef<Path>, create: bool) -> io::Result<File> {
        if_simulated!(path, disk => disk.open(path.as_ref(), create, false).map(File::simulated));
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(create).truncate(false).open(path).map(File::real)
    }

    fn real(file: std::fs::File) -> File {
        File(Inner::Real(Arc::new(file)))
    }

    #[cfg(feature = "simulated")]
    fn simulated(file: crate::simulated::SimulatedFile) -> File {
        File(Inner::Simulated(Arc::new(file)))
    }

    /// The operating system's file, as `sendfile` needs it; `None` if the file is simulated.
    #[inline]
    pub fn as_std(&self) -> Option<&Arc<std::fs::File>> {
        on!(self, file => Some(file), _file => None)
    }

    /// How many bytes the file has.
    pub fn len(&self) -> io::Result<u64> {
        on!(self, file => file.metadata().map(|metadata| metadata.len()), file => file.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|length| length == 0)
    }

    /// When the file was last written.
    pub fn modified(&self) -> io::Result<SystemTime> {
        on!(self, file => file.metadata()?.modified(), file => file.modified())
    }

    /// Says when the file was last written.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        on!(self, file => file.set_modified(time), file => file.set_modified(time))
    }

    /// Cuts the file off, or makes it longer with zeros.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        on!(self, file => file.set_len(length), file => file.set_len(length))
    }

    /// Sets the permissions.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        on!(
            self,
            file => file.set_permissions(std::fs::Permissions::from_mode(mode)),
            _file => { let _ = mode; Ok(()) }
        )
    }

    /// Waits until what was written, and what describes the file, would survive a crash of the machine.
    pub fn sync_all(&self) -> io::Result<()> {
        on!(self, file => file.sync_all(), file => file.sync())
    }

    /// Waits until what was written would survive a crash of the machine.
    pub fn sync_data(&self) -> io::Result<()> {
        on!(self, file => file.sync_data(), file => file.sync())
    }

    /// Makes everything on the file's file system survive a crash of the machine (`syncfs`): one wait for many files. Where
    /// [`syncfs_tells_errors`], an error with anything that was written back since this file was opened is told too.
    pub fn sync_file_system(&self) -> io::Result<()> {
        on!(self, file => rustix::fs::syncfs(file).map_err(Into::into), file => file.sync_file_system())
    }

    /// Reads at `position` what one call gives.
    #[inline]
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        on!(self, file => file.read_at(buffer, position), file => file.read_at(buffer, position))
    }

    /// Fills `buffer` from `position`.
    pub fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        on!(self, file => file.read_exact_at(buffer, position), file => {
            match file.read_at(buffer, position)? {
                count if count == buffer.len() => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    /// Reads at `position` what one call gives into memory that holds nothing yet. Returns the part that was filled.
    #[inline]
    pub fn read_spare_at<'b>(
        &self,
        buffer: &'b mut [MaybeUninit<u8>],
        position: u64,
    ) -> io::Result<&'b mut [u8]> {
        on!(
            self,
            file => Ok(rustix::io::pread(file, buffer, position)?.0),
            file => {
                let mut bytes = vec![0; buffer.len()];
                let count = file.read_at(&mut bytes, position)?;
                bytes.truncate(count);
                Ok(buffer.get_mut(..count).unwrap_or_default().write_copy_of_slice(&bytes))
            }
        )
    }

    /// Writes all of `bytes` at `position`.
    pub fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        on!(self, file => file.write_all_at(bytes, position), file => file.write_at(bytes, position).map(|_| ()))
    }

    /// Writes what one call takes of `slices`, one behind the other, at `position`. Returns how much that was.
    #[inline]
    pub fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        on!(
            self,
            file => rustix::io::pwritev(file, slices, position).map_err(Into::into),
            file => {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                file.write_at(&bytes, position)
            }
        )
    }

    /// Says that the file will be read through from `position`. Only a hint: nothing is lost where it is not taken.
    pub fn advise_sequential(&self, position: u64) {
        on!(
            self,
            file => drop(rustix::fs::fadvise(file, position, None, rustix::fs::Advice::Sequential)),
            _file => { let _ = position; }
        )
    }

    /// Reserves room for `size` bytes without making the file longer, where the file system can.
    pub fn reserve(&self, size: u64) -> io::Result<()> {
        on!(
            self,
            file => match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size) {
                Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                other => other.map_err(Into::into),
            },
            _file => { let _ = size; Ok(()) }
        )
    }

    /// Locks the file for as long as it is open. `false` if another has it.
    ///
    /// A JVM takes the lock of the process (`fcntl`), which keeps it and other processes out; the lock of the open file (`flock`)
    /// keeps out a second user within this process. A simulated disk has one node.
    pub fn try_lock(&self) -> io::Result<bool> {
        on!(
            self,
            file => {
                let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
                for result in [rustix::fs::flock(file, operation), rustix::fs::fcntl_lock(file, operation)] {
                    match result {
                        Ok(()) => {}
                        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(false),
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(true)
            },
            _file => Ok(true)
        )
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        on!(self, file => (&**file).read(buffer), file => file.read(buffer))
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        on!(self, file => (&**file).write(bytes), file => file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What lies in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name in the directory.
    pub name: OsString,
    /// Its whole path.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Whether it is a file.
    pub is_file: bool,
}

/// What lies in a directory, all of it at once, in no order.
///
/// # Errors
/// Those of the file system, here and everywhere below.
pub fn read_dir(dir: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    if_simulated!(dir, disk => disk.read_dir(dir.as_ref()));
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        entries.push(DirEntry {
            name: entry.file_name(),
            path: entry.path(),
            is_dir: kind.is_dir(),
            is_file: kind.is_file(),
        });
    }
    Ok(entries)
}

/// The whole content of a file.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    if_simulated!(path, disk => disk.read(path.as_ref()));
    std::fs::read(path)
}

/// The whole content of a file of text.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    if_simulated!(path, disk => {
        String::from_utf8(disk.read(path.as_ref())?).map_err(|_| io::ErrorKind::InvalidData.into())
    });
    std::fs::read_to_string(path)
}

/// Replaces the whole content of a file.
pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(path)?.write_all(content.as_ref())
}

/// The length of the file at a path, in bytes (`std::fs::metadata`).
pub fn len(path: impl AsRef<Path>) -> io::Result<u64> {
    if_simulated!(path, disk => disk.open(path.as_ref(), false, false)?.len());
    std::fs::metadata(path).map(|metadata| metadata.len())
}

/// Whether there is something at a path (`Path::exists`).
pub fn exists(path: impl AsRef<Path>) -> bool {
    if_simulated!(path, disk => disk.is_dir(path.as_ref()).is_some());
    path.as_ref().exists()
}

/// Whether there is a directory at a path (`Path::is_dir`).
pub fn is_dir(path: impl AsRef<Path>) -> bool {
    if_simulated!(path, disk => disk.is_dir(path.as_ref()) == Some(true));
    path.as_ref().is_dir()
}

/// The path without links and dots.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    if_simulated!(path, disk => match disk.is_dir(path.as_ref()) {
        Some(_) => Ok(path.as_ref().to_owned()),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    std::fs::canonicalize(path)
}

/// Gives a file or directory another name, at once; what has that name is replaced.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    if_simulated!(from, disk => disk.rename(from.as_ref(), to.as_ref()));
    std::fs::rename(from, to)
}

/// Removes a file. Who has it open keeps it.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    if_simulated!(path, disk => disk.remove_file(path.as_ref()));
    std::fs::remove_file(path)
}

/// Removes a directory with everything in it.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    if_simulated!(path, disk => disk.remove_dir_all(path.as_ref()));
    std::fs::remove_dir_all(path)
}

/// Makes a directory and those above it that are missing.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    if_simulated!(path, disk => disk.create_dir_all(path.as_ref()));
    std::fs::create_dir_all(path)
}

/// Makes everything on the file system of a directory survive a crash of the machine (`syncfs`): one wait for many files.
pub fn sync_file_system(dir: &Path) -> io::Result<()> {
    if_simulated!(dir, disk => disk.sync_all());
    rustix::fs::syncfs(std::fs::File::open(dir)?).map_err(Into::into)
}

/// Whether the kernel tells with `syncfs` what failed in writing back, as with a sync of the file itself: since Linux 5.8.
pub fn syncfs_tells_errors() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

/// Names the time since the machine was started, the disk since it was attached, and the directory: as long as all of that is the same,
/// everything is there that any process has written to the directory, synced or not. `None` where that cannot be said: on what is no
/// disk of this machine (a network's file system, one that spans several disks, memory), and before Linux 5.15.
pub fn boot_identity(dir: &Path) -> Option<String> {
    if_simulated!(dir, disk => Some(disk.boot_identity()));
    let text = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let boot = text("/proc/sys/kernel/random/boot_id").filter(|boot| !boot.is_empty())?;
    let stat = rustix::fs::stat(dir).ok()?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    // Rises with each disk that is attached. A partition has that of its disk.
    let of = |place: &str| text(&format!("/sys/dev/block/{major}:{minor}/{place}diskseq"));
    let sequence = of("").or_else(|| of("../"))?;
    Some(format!("{boot} {major}:{minor}/{sequence}/{}", stat.st_ino))
}

/// Makes the names in a directory survive a crash of the machine.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    if_simulated!(dir, disk => disk.sync_dir(dir));
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_named_the_same_twice_and_each_directory_differently() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let of = |dir: PathBuf| boot_identity(&dir);
        // Where this lies on no disk of the machine, as in some containers, there is nothing to be said of either.
        assert_eq!(of(here.to_owned()), of(here.join("src/..")));
        assert!(of(here.to_owned()).is_none() || of(here.to_owned()) != of(here.join("src")));
        assert_eq!(of(PathBuf::from("/proc")), None, "it lies on no disk");
    }
}
