//! Where the newest batches lie, so that a read at the log's end needs neither index nor disk.

use crate::types::LogOffsetMetadata;

/// How many batches are remembered.
const RECENT_BATCHES: usize = 32;

/// A batch that was appended lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecentBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub segment_base_offset: i64,
    pub position: u64,
    pub size: u64,
}

/// The log's end and the batches before it.
///
/// **Invariant:** the remembered batches are consecutive, the newest ends at the log's end, and all of them are readable.
#[derive(Debug)]
pub(super) struct Tail {
    end: LogOffsetMetadata,
    /// A ring: the newest is before `next`. Made at the first append, so that an idle log goes without.
    recent: Vec<RecentBatch>,
    next: usize,
}

impl Tail {
    pub fn new(end: LogOffsetMetadata) -> Tail {
        Tail { end, recent: Vec::new(), next: 0 }
    }

    pub fn end(&self) -> LogOffsetMetadata {
        self.end
    }

    pub fn set_end(&mut self, end: LogOffsetMetadata) {
        self.end = end;
    }

    pub fn push(&mut self, batch: RecentBatch) {
        if let Some(oldest) = self.recent.get_mut(self.next) {
            *oldest = batch;
        } else {
            self.recent.push(batch);
        }
        self.next = (self.next + 1) % RECENT_BATCHES;
    }

    /// Forgets the batches: the log was truncated, or nobody has asked for long.
    pub fn clear(&mut self) {
        self.recent = Vec::new();
        self.next = 0;
    }

    /// Forgets the batches of the segments before one: their places change when the segments are compacted.
    pub fn forget_before(&mut self, segment_base_offset: i64) {
        if self.recent.iter().any(|batch| batch.segment_base_offset < segment_base_offset) {
            let (newer, older) = self.recent.split_at(self.next.min(self.recent.len()));
            let left = older.iter().chain(newer);
            self.recent =
                left.filter(|batch| batch.segment_base_offset >= segment_base_offset).copied().collect();
            self.next = self.recent.len() % RECENT_BATCHES;
        }
    }

    /// The remembered batch with an offset.
    pub fn find(&self, offset: i64) -> Option<RecentBatch> {
        let (newer, older) = self.recent.split_at(self.next.min(self.recent.len()));
        let newest_first = newer.iter().rev().chain(older.iter().rev());
        newest_first
            .take_while(|batch| batch.last_offset >= offset)
            .find(|batch| batch.base_offset <= offset)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_batches_are_found() {
        let mut tail = Tail::new(LogOffsetMetadata::offset_only(0));
        assert!(tail.find(0).is_none());
        for n in 0..100_i64 {
            tail.push(RecentBatch {
                base_offset: n * 10,
                last_offset: n * 10 + 9,
                segment_base_offset: 0,
                position: n as u64,
                size: 1,
            });
            for offset in [n * 10, n * 10 + 9] {
                assert_eq!(tail.find(offset).map(|batch| batch.position), Some(n as u64));
            }
        }
        assert_eq!(tail.find(685).map(|batch| batch.position), Some(68));
        assert!(tail.find(679).is_none());
        assert!(tail.find(1000).is_none());
        tail.clear();
        assert!(tail.find(999).is_none());
    }

    #[test]
    fn batches_of_compacted_segments_are_forgotten() {
        for count in [1, 20, 32, 50, 64, 77] {
            let mut tail = Tail::new(LogOffsetMetadata::offset_only(0));
            let push = |tail: &mut Tail, n: i64| {
                tail.push(RecentBatch {
                    base_offset: n,
                    last_offset: n,
                    segment_base_offset: n / 10 * 10,
                    position: n as u64,
                    size: 1,
                });
            };
            (0..count).for_each(|n| push(&mut tail, n));
            tail.forget_before(count - 5);
            let first_kept = ((count - 5).max(0) + 9) / 10 * 10;
            for n in 0..count {
                assert_eq!(tail.find(n).is_some(), n >= first_kept, "{n} of {count}");
            }
            (count..count + 40).for_each(|n| push(&mut tail, n));
            for n in count..count + 40 {
                assert_eq!(tail.find(n).is_some(), n >= count + 40 - RECENT_BATCHES as i64);
            }
        }
    }
}
