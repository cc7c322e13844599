//! Which leader epoch began at which offset (`LeaderEpochFileCache`, KIP-101, KIP-279).

/// An epoch and the offset of the first record that its leader wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: i32,
    /// The first offset of that epoch.
    pub start_offset: i64,
}

/// An epoch and an offset that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndEpoch {
    /// The offset.
    pub offset: i64,
    /// The leader epoch.
    pub epoch: i32,
}

/// The epochs of one log. In memory only: the log writes it to `leader-epoch-checkpoint`.
///
/// **Invariant:** epochs and their start offsets both rise.
#[derive(Debug, Default, Clone)]
pub struct LeaderEpochCache {
    /// Mostly one or two.
    epochs: Vec<EpochEntry>,
    /// Rises with every change.
    version: u64,
    /// Since the checkpoint file was written nothing has changed before this offset; `None`: nothing has changed at all.
    changed_from: Option<i64>,
    /// There is a checkpoint file.
    has_file: bool,
}

/// What has changed is written whatever the log holds.
const WHATEVER: i64 = -1;

impl LeaderEpochCache {
    /// The cache with the entries of a checkpoint file, each assigned in turn, so that entries that conflict are repaired.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for entry in entries {
            cache.assign(entry.epoch, entry.start_offset);
        }
        // One without an entry is as good as none.
        cache.has_file = !cache.epochs.is_empty();
        cache.changed_from = None;
        cache
    }

    fn change(&mut self, from: i64) {
        self.version += 1;
        self.changed_from = Some(self.changed_from.map_or(from, |other| other.min(from)));
    }

    /// Notes that `epoch` begins at `start_offset`. Later or equal entries that contradict it are dropped. Returns whether
    /// anything changed; an entry with a negative number changes nothing.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(latest) = self.latest_entry()
            && epoch == latest.epoch
            && start_offset >= latest.start_offset
        {
            return false;
        }
        // A log gets its file at once.
        let mut from = if self.has_file { start_offset } else { WHATEVER };
        while let Some(latest) = self.latest_entry()
            && (latest.epoch >= epoch || latest.start_offset >= start_offset)
        {
            from = from.min(latest.start_offset);
            self.epochs.pop();
        }
        if self.epochs.is_empty() {
            // Most logs never see a second one.
            self.epochs.reserve_exact(1);
        }
        self.epochs.push(EpochEntry { epoch, start_offset });
        self.change(from);
        true
    }

    /// Recovery has found a batch. The file of the epochs is synced when they change, and records are not: after a crash it can name
    /// epochs, later ones or earlier ones, for offsets where an older log is back. What contradicts the batch is dropped, and its
    /// own epoch noted where it begins.
    pub fn found_batch(&mut self, epoch: i32, base_offset: i64, last_offset: i64) {
        if epoch < 0 {
            return;
        }
        let contradicts = |entry: &EpochEntry| entry.epoch > epoch && entry.start_offset <= last_offset;
        if let Some(first) = self.epochs.iter().position(contradicts) {
            self.epochs.truncate(first);
            self.change(WHATEVER);
        }
        let covering = self.epochs.partition_point(|entry| entry.start_offset <= base_offset);
        if covering.checked_sub(1).is_some_and(|index| self.epochs[index].epoch == epoch) {
            return;
        }
        let from = self.epochs.partition_point(|entry| entry.start_offset < base_offset);
        let to = self.epochs.partition_point(|entry| entry.epoch <= epoch).max(from);
        if to < self.epochs.len() {
            self.epochs.splice(from..to, [EpochEntry { epoch, start_offset: base_offset }]);
        } else {
            self.epochs.truncate(from);
            self.assign(epoch, base_offset);
        }
        self.change(WHATEVER);
    }

    /// The newest entry.
    pub fn latest_entry(&self) -> Option<EpochEntry> {
        self.epochs.last().copied()
    }

    /// The newest epoch.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|entry| entry.epoch)
    }

    /// The oldest entry.
    pub fn earliest_entry(&self) -> Option<EpochEntry> {
        self.epochs.first().copied()
    }

    /// The end offset of `requested`, or of the largest epoch below it that has one. `None` is Kafka's undefined (-1, -1):
    /// the cache is empty, or the epoch is newer than any known.
    pub fn end_offset_for(&self, requested: i32, log_end_offset: i64) -> Option<OffsetAndEpoch> {
        if requested < 0 {
            return None;
        }
        if self.latest_epoch() == Some(requested) {
            return Some(OffsetAndEpoch { offset: log_end_offset, epoch: requested });
        }
        let (before, after) =
            self.epochs.split_at(self.epochs.partition_point(|entry| entry.epoch <= requested));
        let offset = after.first()?.start_offset;
        // An epoch older than all known ends where the first known one begins.
        let epoch = before.last().map_or(requested, |entry| entry.epoch);
        Some(OffsetAndEpoch { offset, epoch })
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let before = self.epochs.partition_point(|entry| entry.start_offset <= offset);
        self.epochs.get(before.checked_sub(1)?).map(|entry| entry.epoch)
    }

    /// Drops the epochs that begin at `end_offset` or later.
    pub fn truncate_from_end(&mut self, end_offset: i64) {
        while let Some(latest) = self.latest_entry()
            && end_offset >= 0
            && latest.start_offset >= end_offset
        {
            self.epochs.pop();
            self.change(latest.start_offset);
        }
    }

    /// Drops the epochs that end at or before `start_offset`; the one that `start_offset` lies in then begins there.
    pub fn truncate_from_start(&mut self, start_offset: i64) {
        let covered = self.epochs.partition_point(|entry| entry.start_offset <= start_offset);
        if let Some(last) = covered.checked_sub(1) {
            self.epochs.drain(..last);
            if let Some(entry) = self.epochs.first_mut() {
                let changes = last > 0 || entry.start_offset != start_offset;
                entry.start_offset = start_offset;
                if changes {
                    self.change(WHATEVER);
                }
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.epochs.clear();
        self.change(WHATEVER);
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> Vec<EpochEntry> {
        self.epochs.clone()
    }

    /// Whether the checkpoint file of a log that ends at `log_end_offset` is to be written, as [`Self::unwritten`] says, which the caller
    /// then does.
    pub fn take_dirty(&mut self, log_end_offset: i64) -> bool {
        let unwritten = self.unwritten(log_end_offset);
        unwritten.inspect(|version| self.mark_written(*version)).is_some()
    }

    /// The version that the checkpoint file of a log that ends at `log_end_offset` does not have yet, if there is one.
    ///
    /// Divergence: Kafka writes the file for each new leader. An epoch without a record says nothing of the log, and a broker that starts,
    /// or leads in another's place, has one in each of its partitions: the file has it with the first record. Nor does it matter before
    /// what the file says of records beyond the log's end: who opens the log drops that.
    pub fn unwritten(&self, log_end_offset: i64) -> Option<u64> {
        self.changed_from.is_some_and(|from| from < log_end_offset.max(0)).then_some(self.version)
    }

    /// Says that the checkpoint file has a version, which counts if nothing has changed since.
    pub fn mark_written(&mut self, version: u64) {
        self.has_file = true;
        if self.version == version {
            self.changed_from = None;
        }
    }

    /// Says that the checkpoint file was not written after all.
    pub fn mark_dirty(&mut self) {
        self.change(WHATEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> LeaderEpochCache {
        LeaderEpochCache::from_entries(
            entries.iter().map(|&(epoch, start_offset)| EpochEntry { epoch, start_offset }),
        )
    }

    fn entries(cache: &LeaderEpochCache) -> Vec<(i32, i64)> {
        cache.entries().into_iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let cache = cache(&[(2, 10), (4, 20), (7, 30)]);
        let end = |epoch| cache.end_offset_for(epoch, 45).map(|end| (end.epoch, end.offset));
        assert_eq!(end(7), Some((7, 45)));
        assert_eq!(end(4), Some((4, 30)));
        assert_eq!(end(6), Some((4, 30)));
        assert_eq!(end(3), Some((2, 20)));
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(8), None);
        assert_eq!(end(-1), None);
        assert_eq!(LeaderEpochCache::default().end_offset_for(0, 5), None);
    }

    #[test]
    fn a_new_entry_removes_those_that_contradict_it() {
        let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        assert!(!epochs.assign(7, 31));
        assert!(epochs.assign(8, 20));
        assert_eq!(entries(&epochs), [(2, 10), (8, 20)]);
        assert!(epochs.assign(1, 5));
        assert_eq!(entries(&epochs), [(1, 5)]);
        assert!(!epochs.assign(-1, 5));
    }

    #[test]
    fn a_batch_that_was_found_is_right() {
        let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        epochs.found_batch(4, 20, 29);
        assert_eq!(entries(&epochs), [(2, 10), (4, 20), (7, 30)]);
        epochs.found_batch(4, 30, 32);
        assert_eq!(entries(&epochs), [(2, 10), (4, 20)]);
        epochs.found_batch(5, 33, 33);
        assert_eq!(entries(&epochs), [(2, 10), (4, 20), (5, 33)]);
    }

    #[test]
    fn truncation_keeps_the_epoch_that_covers_the_new_start() {
        let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        epochs.truncate_from_start(25);
        assert_eq!(entries(&epochs), [(4, 25), (7, 30)]);
        epochs.truncate_from_end(30);
        assert_eq!(entries(&epochs), [(4, 25)]);
        epochs.truncate_from_start(100);
        assert_eq!(entries(&epochs), [(4, 100)]);
        assert!(epochs.take_dirty(100));
        assert!(!epochs.take_dirty(100));
    }

    #[test]
    fn an_epoch_without_a_record_is_not_written() {
        let mut epochs = LeaderEpochCache::default();
        assert_eq!(epochs.unwritten(0), None);
        epochs.assign(0, 0);
        assert!(epochs.take_dirty(0), "a new log gets its file");

        epochs.assign(1, 0);
        assert!(!epochs.take_dirty(0));
        epochs.assign(2, 0);
        assert!(!epochs.take_dirty(0));
        assert!(epochs.take_dirty(1), "there is a record");
        assert!(!epochs.take_dirty(1));

        epochs.assign(4, 10);
        let version = epochs.version;
        assert_eq!(epochs.unwritten(10), None);
        assert_eq!(epochs.unwritten(11), Some(version));
        epochs.mark_written(version - 1);
        assert_eq!(epochs.unwritten(11), Some(version), "it was an older one");
        assert!(epochs.take_dirty(12));
        epochs.truncate_from_end(10);
        epochs.assign(5, 11);
        assert!(!epochs.take_dirty(10));
        assert!(epochs.take_dirty(11), "the file names another epoch for the record at 10");
        epochs.assign(6, 20);
        epochs.assign(3, 5);
        assert!(epochs.take_dirty(10), "what was there before is gone");

        let mut opened = cache(&[(2, 0)]);
        opened.truncate_from_end(0);
        opened.assign(3, 0);
        assert!(!opened.take_dirty(0));
        assert!(opened.take_dirty(1));
        opened.truncate_from_start(1);
        assert!(opened.take_dirty(1));
    }

    #[test]
    fn the_epoch_of_an_offset() {
        let cache = cache(&[(2, 10), (4, 20)]);
        assert_eq!(cache.epoch_for_offset(9), None);
        assert_eq!(cache.epoch_for_offset(10), Some(2));
        assert_eq!(cache.epoch_for_offset(19), Some(2));
        assert_eq!(cache.epoch_for_offset(500), Some(4));
    }

    #[test]
    fn batches_that_are_found_are_believed() {
        let found = |entries: &[(i32, i64)], batches: &[(i32, i64, i64)]| {
            let entries = entries.iter().map(|&(epoch, start_offset)| EpochEntry { epoch, start_offset });
            let mut cache = LeaderEpochCache::from_entries(entries);
            batches.iter().for_each(|&(epoch, first, last)| cache.found_batch(epoch, first, last));
            cache.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[], &[(3, 0, 4), (3, 5, 5), (4, 6, 9)]), [(3, 0), (4, 6)]);
        assert_eq!(found(&[(1, 0), (2, 5)], &[(1, 0, 4), (2, 5, 9)]), [(1, 0), (2, 5)]);
        // The file is that of a newer log: of later epochs, and of earlier ones where its leader had other records.
        assert_eq!(found(&[(2, 0)], &[(1, 0, 9)]), [(1, 0)]);
        assert_eq!(found(&[(0, 0), (2, 1)], &[(1, 0, 0), (1, 1, 1)]), [(1, 0)]);
        assert_eq!(found(&[(0, 0), (3, 4)], &[(0, 0, 1), (2, 2, 3), (2, 4, 4)]), [(0, 0), (2, 2)]);
        // What no batch speaks against stays.
        assert_eq!(found(&[(0, 0), (5, 9)], &[(0, 0, 1), (2, 2, 3)]), [(0, 0), (2, 2), (5, 9)]);
        assert_eq!(found(&[(1, 5), (5, 9)], &[(1, 3, 6), (-1, 7, 8)]), [(1, 3), (5, 9)]);
    }
}
