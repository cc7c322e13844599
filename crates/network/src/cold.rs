//! Bytes of a file that are not in memory are read by another thread first, so that no connection waits for the disk of another.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::Semaphore;

/// So many bytes are sent before the next ones are looked for in memory.
pub(crate) const PIECE: usize = 1024 * 1024;
/// What is read at a time.
const CHUNK: usize = 128 * 1024;
/// One disk occupies at most so many threads.
const READERS_PER_DISK: usize = 16;

/// By device. There are as many as there are log directories, at most.
static READERS: LazyLock<Mutex<HashMap<u64, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Sees that `length` bytes, at most [`PIECE`], are in memory.
pub(crate) async fn at_hand(file: &Arc<File>, offset: u64, length: usize) -> io::Result<()> {
    // The kernel reads ahead: where both ends are in memory, so is what lies between, mostly.
    let last = offset + (length as u64).saturating_sub(1);
    if is_at_hand(file, offset) && is_at_hand(file, last) {
        return Ok(());
    }
    bring(file, offset, length).await
}

/// Has another thread read `length` bytes, at most [`PIECE`], into memory.
///
/// # Errors
/// Where the file does not have so many (any more).
async fn bring(file: &Arc<File>, offset: u64, length: usize) -> io::Result<()> {
    let readers = Arc::clone(READERS.lock().entry(device(file)?).or_insert_with(new_readers));
    // It is never closed.
    let Ok(_permit) = readers.acquire().await else { return Ok(()) };
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || read(&file, offset, length));
    read.await.map_err(io::Error::other)?
}

/// Fills `into`, at most [`PIECE`], from `offset` on; where all of it is in memory, with one call.
pub(crate) async fn read_exact(file: &Arc<File>, into: &mut [u8], offset: u64) -> io::Result<()> {
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT) {
        Ok(count) if count == into.len() => return Ok(()),
        Ok(_) | Err(Errno::AGAIN) => bring(file, offset, into.len()).await?,
        // The file system cannot tell.
        Err(_) => {}
    }
    file.read_exact_at(into, offset)
}

fn new_readers() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(READERS_PER_DISK))
}

fn device(file: &File) -> io::Result<u64> {
    Ok(rustix::fs::fstat(file)?.st_dev)
}

/// Whether reading this byte would not wait. Where the file system cannot tell, it is taken for granted.
fn is_at_hand(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT);
    read != Err(Errno::AGAIN)
}

/// Reads the bytes for the page cache's sake, and has the kernel begin with those behind them.
fn read(file: &File, offset: u64, length: usize) -> io::Result<()> {
    // Only a hint.
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(2 * PIECE as u64), Advice::WillNeed);
    let mut chunk = vec![0; CHUNK.min(length)];
    let mut done = 0;
    while done < length {
        let room = chunk.len().min(length - done);
        match file.read_at(&mut chunk[..room], offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn what_has_left_the_page_cache_is_brought_back() {
        // Not in memory alone, as `/tmp` may be.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&vec![7; 3 * PIECE]).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let file = Arc::new(file);
        let was_cold = !is_at_hand(&file, 2 * PIECE as u64);
        at_hand(&file, 2 * PIECE as u64, PIECE).await.unwrap();
        assert!(is_at_hand(&file, 2 * PIECE as u64) && is_at_hand(&file, 3 * PIECE as u64 - 1));
        let mut bytes = vec![0; PIECE];
        read_exact(&file, &mut bytes, PIECE as u64).await.unwrap();
        assert!(bytes.iter().all(|byte| *byte == 7));
        let end = read_exact(&file, &mut bytes, 2 * PIECE as u64 + 1).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        // Behind the end there is nothing to wait for.
        at_hand(&file, 4 * PIECE as u64, PIECE).await.unwrap();
        if !was_cold {
            eprintln!("this file system keeps its pages or does not tell: only the warm case was seen");
        }
    }
}
