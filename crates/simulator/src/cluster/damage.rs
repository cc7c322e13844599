//! Bits that flip in the logs of one broker at a time, and how that is made good.
//!
//! What a checksum covers is never taken for what was written, neither by those who copy it nor by those who read it, and nothing
//! that was acknowledged is lost by it: others have it. Whoever runs the cluster kills the broker. If its logs are not whole when it
//! is back (recovery only looks behind the recovery point, in Kafka too), their directories are removed, and it copies them anew.
//!
//! The metadata log stays as it is: KRaft builds on voters that keep what they said they have.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::TopicIdPartition;
use protocol::records::{Batches, RecordBatch, crc32c};

use replica::Partition;

use super::broker::Broker;
use super::{Event, World};
use crate::fetch::Fetched;
use crate::machine::{end_faults, flip, segments};

/// Where a batch has its checksum; what that covers lies behind it.
const CRC: std::ops::Range<usize> = 17..21;

impl World {
    /// From now on, and until a node is in sync everywhere, its disk has not got what it should have, and no other loses anything.
    pub(super) fn suspects(&mut self, id: i32) {
        self.suspect = Some(id);
        self.nodes.values().for_each(|node| end_faults(&node.machine.disk));
    }

    /// Bits flip in the logs of a node, if it is not the only one that has what it has. Says so.
    pub(super) fn flip(&mut self, id: i32) -> Option<String> {
        // Where nothing is synced the end of a log goes with the power, one node at a time. Neither is to keep the other out.
        if !self.plan.syncs || !self.may_lose(id) {
            return None;
        }
        let disk = self.nodes.get(&id)?.machine.disk.clone();
        let files: Vec<PathBuf> = log_dirs(disk.path()).iter().flat_map(|dir| segments(dir)).collect();
        let uncopied = self.uncopied(id);
        let mut flipped = Vec::new();
        for _ in 0..1 + self.random.below(8) {
            let (path, from) = match self.random.pick(&uncopied).filter(|_| self.random.chance(80)) {
                Some((path, from)) => (path, *from),
                None => (self.random.pick(&files)?, 0),
            };
            if let Some((_, offset)) = flip(&disk, path, from, &mut self.random) {
                let dir = path.parent().and_then(Path::file_name).unwrap_or_default();
                flipped.push(format!("{} at {offset}", dir.to_string_lossy()));
            }
        }
        if flipped.is_empty() {
            return None;
        }
        self.suspects(id);
        self.is_damaged = true;
        let at_ms = self.now_ms + 500 + self.random.below(4_000) as i64;
        self.schedule.at(at_ms, Event::Repair { node: id, by_hand: false });
        Some(format!("bits of {id} flip: {}", flipped.join(", ")))
    }

    /// Where in the files of what a node leads that begins which not all others have copied.
    fn uncopied(&self, id: i32) -> Vec<(PathBuf, usize)> {
        let partitions = self.broker(id).map(Broker::partitions).unwrap_or_default();
        let led = partitions.into_iter().filter(|(_, partition)| partition.is_leader());
        let of = |(of, partition): (TopicIdPartition, Arc<Partition>)| {
            let registration = partition.registration();
            let copies = registration.replicas.iter().filter_map(|other| self.broker(*other)?.partition(&of));
            let copied = copies.map(|copy| copy.log().log_end_offset()).min()?;
            let path = segments(&partition.log().dir()).pop()?;
            let bytes = io::fs::read(&path).ok()?;
            let before = Batches::new(&bytes).flatten().take_while(|batch| batch.next_offset() <= copied);
            let from = before.map(|batch| batch.size_in_bytes()).sum();
            (from < bytes.len()).then_some((path, from))
        };
        led.filter_map(of).collect()
    }

    fn broker(&self, id: i32) -> Option<&Broker> {
        self.nodes.get(&id)?.process.as_ref()?.broker.as_ref()
    }

    /// Somebody looks after a broker of which bits have flipped.
    pub(super) fn repair(&mut self, id: i32, by_hand: bool) {
        let Some(node) = self.nodes.get(&id).filter(|_| self.is_damaged) else { return };
        let disk = node.machine.disk.clone();
        let damaged: Vec<PathBuf> = log_dirs(disk.path())
            .into_iter()
            .filter(|dir| !segments(dir).iter().all(|file| is_whole(file)))
            .collect();
        if damaged.is_empty() {
            self.is_damaged = false;
            self.trace.note(self.now_ms, format_args!("the logs of {id} are whole"));
            return;
        }
        let mut by_hand_next = by_hand;
        if node.process.is_some() {
            let loses_power = self.random.chance(50);
            self.ends(id, loses_power);
            by_hand_next = true;
            for dir in damaged.iter().filter(|_| by_hand) {
                // Whatever is left of it is found the next time.
                let _ =
                    io::fs::remove_dir_all(dir).and_then(|()| io::fs::sync_dir(&disk.path().join("data")));
                let name = dir.file_name().unwrap_or_default().to_string_lossy();
                self.trace.note(self.now_ms, format_args!("{name} of {id} is removed"));
            }
        }
        let at_ms = self.now_ms + 1_500 + self.random.below(1_500) as i64;
        self.schedule.at(at_ms, Event::Repair { node: id, by_hand: by_hand_next });
    }
}

/// The directories of the logs on a disk, but for that of the metadata.
fn log_dirs(disk: &Path) -> Vec<PathBuf> {
    let is_log = |name: &str| {
        let index = name.rsplit_once('-').map(|(_, index)| index.parse::<u32>());
        matches!(index, Some(Ok(_))) && name != "__cluster_metadata-0"
    };
    let entries = io::fs::read_dir(disk.join("data")).unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| is_log(&entry.name.to_string_lossy()))
        .map(|entry| entry.path)
        .collect()
}

fn is_whole(file: &Path) -> bool {
    let bytes = io::fs::read(file).unwrap_or_default();
    let batches = Batches::new(&bytes).flatten().filter(|batch| batch.verify_crc().is_ok());
    batches.map(|batch| batch.size_in_bytes()).sum::<usize>() == bytes.len()
}

/// What a follower takes that does not look at checksums.
pub(super) fn with_fitting_checksums(fetched: &Fetched) -> Fetched {
    let mut fetched = fetched.clone();
    for partition in &mut fetched.partitions {
        let mut rest = &mut partition.records[..];
        while let Ok(size) = RecordBatch::parse(rest).map(|batch| batch.size_in_bytes()) {
            let (batch, behind) = rest.split_at_mut(size);
            let crc = crc32c(batch.get(CRC.end..).unwrap_or_default());
            batch[CRC].copy_from_slice(&crc.to_be_bytes());
            rest = behind;
        }
    }
    fetched
}
