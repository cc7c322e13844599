//! One partition of the floor server: a file of batches, and where each begins.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
};

use crate::{
    Result,
    wire::batch::{BatchInfo, set_base_offset_and_epoch},
};

/// What readers may see: everything whose write has ended.
#[derive(Default)]
struct Published {
    end_offset: i64,
    size: u64,
    /// Base offset and position of every batch.
    batches: Vec<(i64, u64)>,
    /// Threads that wait for more.
    waiters: Vec<Thread>,
}

/// Where the bytes of a fetch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub position: u64,
    pub length: usize,
    pub end_offset: i64,
}

pub struct Partition {
    pub file: File,
    path: PathBuf,
    /// Held across a write: one appender at a time. Readers never take it.
    appending: Mutex<()>,
    published: Mutex<Published>,
    /// Bytes known to be on disk, if each acknowledgement waits for that.
    synced: Option<Mutex<u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partition {
    pub fn create(dir: &Path, topic: &str, index: usize, synced: bool) -> Result<Self> {
        let path = dir.join(format!("{topic}-{index}.log"));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self {
            file,
            path,
            appending: Mutex::new(()),
            published: Mutex::default(),
            synced: synced.then(Mutex::default),
        })
    }

    /// Appends one checked batch and wakes who waits for it. Returns its base offset.
    pub fn append(&self, batch: &mut [u8], info: BatchInfo) -> Result<i64> {
        let appending = lock(&self.appending);
        let (base_offset, position) = {
            let published = lock(&self.published);
            (published.end_offset, published.size)
        };
        set_base_offset_and_epoch(batch, base_offset, 0);
        self.file.write_all_at(batch, position)?;
        let size = position + batch.len() as u64;
        let waiters = {
            let mut published = lock(&self.published);
            published.batches.push((base_offset, position));
            published.end_offset += i64::from(info.record_count);
            published.size = size;
            std::mem::take(&mut published.waiters)
        };
        drop(appending);
        waiters.iter().for_each(Thread::unpark);
        self.sync_to(size)?;
        Ok(base_offset)
    }

    /// Group commit: who gets the lock syncs for everybody whose bytes are written by then.
    fn sync_to(&self, size: u64) -> Result<()> {
        let Some(synced) = &self.synced else { return Ok(()) };
        let mut synced = lock(synced);
        if *synced < size {
            let written = lock(&self.published).size;
            self.file.sync_data()?;
            *synced = written;
        }
        Ok(())
    }

    pub fn end_offset(&self) -> i64 {
        lock(&self.published).end_offset
    }

    /// Whole batches from the one that holds `offset`: at least one if there is any, else as many as `max_bytes`
    /// allows. `None` if the offset is out of range.
    pub fn span(&self, offset: i64, max_bytes: usize) -> Option<Span> {
        let published = lock(&self.published);
        let end_offset = published.end_offset;
        if offset < 0 || offset > end_offset {
            return None;
        }
        if offset == end_offset {
            return Some(Span { position: published.size, length: 0, end_offset });
        }
        let first = published.batches.partition_point(|(base, _)| *base <= offset).saturating_sub(1);
        let position = published.batches.get(first)?.1;
        let limit = position.saturating_add(max_bytes as u64);
        let end = if published.size <= limit {
            published.size
        } else {
            // The last batch that begins at or below the limit ends what is sent; the first one goes whole.
            let last = published.batches.partition_point(|(_, begin)| *begin <= limit).saturating_sub(1);
            published.batches.get(last.max(first + 1)).map_or(published.size, |(_, begin)| *begin)
        };
        Some(Span { position, length: (end - position) as usize, end_offset })
    }

    /// Lets the calling thread be unparked by the next append.
    pub fn wait(&self) {
        lock(&self.published).waiters.push(thread::current());
    }

    /// Takes the calling thread off the list of waiters.
    pub fn wait_no_more(&self) {
        let own = thread::current().id();
        lock(&self.published).waiters.retain(|waiter| waiter.id() != own);
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // The topic was deleted: its bytes go back to the page cache. Nothing can be done if that fails.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{self, Noise};

    fn partition() -> (Partition, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Partition::create(dir.path(), "t", 0, false).unwrap(), dir)
    }

    fn append(partition: &Partition, count: usize) -> i64 {
        let mut bytes = batch::build(count, 10, &mut Noise::new(1));
        let info = batch::first(&bytes).unwrap().unwrap();
        partition.append(&mut bytes, info).unwrap()
    }

    #[test]
    fn offsets_follow_each_other_and_stand_in_the_file() {
        let (partition, _dir) = partition();
        assert_eq!([append(&partition, 3), append(&partition, 2), append(&partition, 1)], [0, 3, 5]);
        assert_eq!(partition.end_offset(), 6);
        let span = partition.span(0, usize::MAX).unwrap();
        let mut bytes = vec![0; span.length];
        partition.file.read_exact_at(&mut bytes, span.position).unwrap();
        let first = batch::first(&bytes).unwrap().unwrap();
        let second = batch::first(&bytes[first.size..]).unwrap().unwrap();
        assert_eq!((first.last_offset, second.base_offset, second.last_offset), (2, 3, 4));
    }

    #[test]
    fn spans_hold_whole_batches_and_at_least_one() {
        let (partition, _dir) = partition();
        for _ in 0..3 {
            append(&partition, 2);
        }
        let size = partition.span(0, usize::MAX).unwrap().length / 3;
        let length = |offset, max| partition.span(offset, max).unwrap().length;
        assert_eq!(length(0, 1), size);
        assert_eq!(length(1, size), size);
        assert_eq!(length(0, 2 * size - 1), size);
        assert_eq!(length(0, 2 * size), 2 * size);
        assert_eq!(length(3, 10 * size), 2 * size);
        assert_eq!(partition.span(2, 1).unwrap().position, size as u64);
        assert_eq!(length(6, 100), 0);
        assert_eq!(partition.span(7, 100), None);
        assert_eq!(partition.span(-1, 100), None);
    }

    #[test]
    fn an_append_unparks_who_waits() {
        let (partition, _dir) = partition();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let partition = &partition;
        thread::scope(|scope| {
            let waiter = scope.spawn(move || {
                partition.wait();
                ready.send(()).unwrap();
                while partition.end_offset() == 0 {
                    thread::park();
                }
            });
            is_ready.recv().unwrap();
            append(partition, 1);
            waiter.join().unwrap();
        });
    }
}
