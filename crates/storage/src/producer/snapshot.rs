//! The file that holds the producer state at an offset (`ProducerStateManager.writeSnapshot`, message `ProducerSnapshot`).
//!
//! Divergence: Kafka's holds the last batch of each producer. Ours may have those before it as well, behind the end of the message, where
//! Kafka does not look but for the checksum: the offset of which it is the state; then for each entry, in their order, a byte that says
//! how many, and of each the last sequence, last offset, offset delta and timestamp. So what a producer sends again after a restart is
//! recognized, whichever batch it was.

use std::io::{self, Write};
use std::path::Path;

use ::io::fs::{self, File};
use protocol::records::crc32c;

use super::entry::{BatchMetadata, ProducerStateEntry};

/// The one version that Kafka 4.4 writes and reads.
const VERSION: i16 = 1;
/// Where the checksummed part begins: behind version and CRC.
const ENTRIES_OFFSET: usize = 6;
/// The length of an entry: id, epoch, last sequence, last offset, offset delta, timestamp, coordinator epoch, first offset
/// of the open transaction.
const ENTRY_SIZE: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Corrupt(String),
}

/// The bytes of a snapshot. The order of the entries is that of Kafka's own files. With the offset of which it is the state, it says all
/// that is remembered of each producer, otherwise as much as Kafka's.
pub(crate) fn encode_snapshot<'a>(
    entries: impl Iterator<Item = &'a ProducerStateEntry>,
    all_at: Option<i64>,
) -> Vec<u8> {
    let mut entries: Vec<_> = entries.collect();
    let table_size = java_table_size(entries.len());
    entries.sort_by_key(|entry| (java_bucket(entry.producer_id, table_size), entry.producer_id));
    let mut bytes = Vec::with_capacity(ENTRIES_OFFSET + 4 + entries.len() * ENTRY_SIZE);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(entries.len() as i32).to_be_bytes());
    for entry in &entries {
        bytes.extend_from_slice(&entry.producer_id.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        let last = BatchMetadata {
            last_sequence: entry.last_sequence(),
            last_offset: entry.last_data_offset(),
            offset_delta: entry.last_offset_delta(),
            timestamp: entry.last_timestamp,
        };
        put_batch(&mut bytes, &last);
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.current_txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    if let Some(offset) = all_at {
        bytes.extend_from_slice(&offset.to_be_bytes());
        for entry in entries {
            let earlier = entry.batches().split_last().map_or(&[][..], |(_, earlier)| earlier);
            bytes.push(earlier.len() as u8);
            for batch in earlier {
                put_batch(&mut bytes, batch);
            }
        }
    }
    let crc = crc32c(&bytes[ENTRIES_OFFSET..]);
    bytes[2..ENTRIES_OFFSET].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn put_batch(bytes: &mut Vec<u8>, batch: &BatchMetadata) {
    bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
    bytes.extend_from_slice(&batch.last_offset.to_be_bytes());
    bytes.extend_from_slice(&batch.offset_delta.to_be_bytes());
    bytes.extend_from_slice(&batch.timestamp.to_be_bytes());
}

/// Kafka writes the entries in the order of a Java `HashMap`: by bucket. The table doubles when it is three quarters full.
fn java_table_size(entries: usize) -> u32 {
    let mut size: usize = 16;
    while entries > size / 4 * 3 {
        size *= 2;
    }
    u32::try_from(size).unwrap_or(1 << 30)
}

fn java_bucket(producer_id: i64, table_size: u32) -> u32 {
    let hash = (producer_id ^ ((producer_id as u64) >> 32) as i64) as u32;
    (hash ^ (hash >> 16)) & (table_size - 1)
}

/// Writes a snapshot. Without `sync` it may be lost by a crash of the machine, and is then rebuilt from the records.
pub(crate) fn write_snapshot(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    Ok(())
}

/// Writes a snapshot into the file of another, and gives that its name: file systems make and remove files at several times that cost.
/// The snapshot must say its offset: whoever is killed in between leaves it by the name of the other, which would be of another offset.
pub(crate) fn rewrite_snapshot(from: &Path, to: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::open_for_update(from, false)?;
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    fs::rename(from, to)
}

/// Reads the snapshot of the state at an offset.
pub(crate) fn read_snapshot(path: &Path, offset: i64) -> Result<Vec<ProducerStateEntry>, SnapshotError> {
    match decode_snapshot(&fs::read(path)?)? {
        (_, Some(other)) if other != offset => {
            Err(SnapshotError::Corrupt(format!("it is of offset {other}, as its content says")))
        }
        (entries, _) => Ok(entries),
    }
}

/// The entries of a snapshot, and its offset if it says that.
fn decode_snapshot(bytes: &[u8]) -> Result<(Vec<ProducerStateEntry>, Option<i64>), SnapshotError> {
    let corrupt = |what: String| SnapshotError::Corrupt(what);
    let mut fields = Fields(bytes);
    let short = || SnapshotError::Corrupt("Snapshot failed schema validation: it is too short".to_owned());
    let version = i16::from_be_bytes(fields.take().ok_or_else(short)?);
    if version != VERSION {
        return Err(corrupt(format!("Snapshot contained an unknown file version {version}")));
    }
    let stored = u32::from_be_bytes(fields.take().ok_or_else(short)?);
    let computed = crc32c(fields.0);
    if stored != computed {
        return Err(corrupt(format!(
            "Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}"
        )));
    }
    let count = i32::from_be_bytes(fields.take().ok_or_else(short)?);
    let count = usize::try_from(count).map_err(|_| short())?;
    if fields.0.len() < count.saturating_mul(ENTRY_SIZE) {
        return Err(short());
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let mut entry = ProducerStateEntry::empty(i64::from_be_bytes(fields.take().ok_or_else(short)?));
        let epoch = i16::from_be_bytes(fields.take().ok_or_else(short)?);
        let batch = fields.batch().ok_or_else(short)?;
        entry.producer_epoch = epoch;
        entry.last_timestamp = batch.timestamp;
        entry.coordinator_epoch = i32::from_be_bytes(fields.take().ok_or_else(short)?);
        let first_offset = i64::from_be_bytes(fields.take().ok_or_else(short)?);
        entry.current_txn_first_offset = (first_offset >= 0).then_some(first_offset);
        if batch.last_offset >= 0 {
            entry.add_batch(epoch, batch);
        }
        entries.push(entry);
    }
    let mut offset = None;
    if !fields.0.is_empty() {
        offset = Some(i64::from_be_bytes(fields.take().ok_or_else(short)?));
        for entry in &mut entries {
            let [count] = fields.take().ok_or_else(short)?;
            let earlier: Option<Vec<_>> = (0..count).map(|_| fields.batch()).collect();
            entry.remember_earlier(earlier.ok_or_else(short)?.into_iter());
        }
    }
    Ok((entries, offset))
}

/// Takes big-endian fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn batch(&mut self) -> Option<BatchMetadata> {
        Some(BatchMetadata {
            last_sequence: i32::from_be_bytes(self.take()?),
            last_offset: i64::from_be_bytes(self.take()?),
            offset_delta: i32::from_be_bytes(self.take()?),
            timestamp: i64::from_be_bytes(self.take()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(producer_id: i64, last_sequence: i32) -> ProducerStateEntry {
        let mut entry = ProducerStateEntry::empty(producer_id);
        entry.add_batch(2, BatchMetadata { last_sequence, last_offset: 10, offset_delta: 1, timestamp: 77 });
        entry
    }

    #[test]
    fn a_snapshot_survives_its_bytes() {
        let mut open = entry(5000, 3);
        open.current_txn_first_offset = Some(9);
        let mut marker_only = ProducerStateEntry::empty(3);
        marker_only.coordinator_epoch = 4;
        let entries = [marker_only, open, entry(i64::MAX, i32::MAX)];
        for all_at in [None, Some(11)] {
            let (mut read, offset) = decode_snapshot(&encode_snapshot(entries.iter(), all_at)).unwrap();
            read.sort_by_key(|entry| entry.producer_id);
            assert_eq!((&read[..], offset), (&entries[..], all_at));
        }
    }

    #[test]
    fn earlier_batches_lie_behind_what_kafka_reads() {
        let mut entries = [entry(1, 1), ProducerStateEntry::empty(2), entry(3, 5)];
        for (sequence, offset) in [(6, 11), (7, 12)] {
            let batch = BatchMetadata {
                last_sequence: sequence,
                last_offset: offset,
                offset_delta: 0,
                timestamp: 80,
            };
            entries[2].add_batch(2, batch);
        }
        let (kafkas, ours) =
            (encode_snapshot(entries.iter(), None), encode_snapshot(entries.iter(), Some(13)));
        assert_eq!(ours[ENTRIES_OFFSET..kafkas.len()], kafkas[ENTRIES_OFFSET..]);
        assert!(ours.len() > kafkas.len());
        assert_eq!(decode_snapshot(&ours).unwrap(), (entries.to_vec(), Some(13)));
        let (of_kafkas, _) = decode_snapshot(&kafkas).unwrap();
        assert_eq!((of_kafkas[2].batches().len(), of_kafkas[2].last_sequence()), (1, 7));
        for length in kafkas.len() + 1..ours.len() {
            let mut cut = ours[..length].to_vec();
            let crc = crc32c(&cut[ENTRIES_OFFSET..]);
            cut[2..ENTRIES_OFFSET].copy_from_slice(&crc.to_be_bytes());
            assert!(decode_snapshot(&cut).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_snapshot_by_another_ones_name_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let entries = [entry(1, 1), entry(2, 2)];
        write_snapshot(&old, &encode_snapshot(entries.iter(), Some(11)), false).unwrap();
        let newer = encode_snapshot(entries[..1].iter(), Some(12));
        rewrite_snapshot(&old, &new, &newer).unwrap();
        assert!(!old.exists());
        assert_eq!(fs::read(&new).unwrap(), newer);
        assert_eq!(read_snapshot(&new, 12).unwrap(), entries[..1]);
        assert!(matches!(read_snapshot(&new, 11), Err(SnapshotError::Corrupt(_))));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let bytes = encode_snapshot([entry(1, 1), entry(2, 2)].iter(), None);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert!(decode_snapshot(&damaged).is_err(), "byte {index}");
            assert!(decode_snapshot(&bytes[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn the_order_is_that_of_javas_hash_map() {
        // The iteration order of java.util.HashMap for these keys, as printed by Java.
        let ids = [0, 1000, 1001, 2000, 17, 33];
        let size = java_table_size(ids.len());
        let mut sorted = ids;
        sorted.sort_by_key(|&id| (java_bucket(id, size), id));
        assert_eq!(sorted, [0, 2000, 17, 33, 1000, 1001]);
        assert_eq!(java_table_size(12), 16);
        assert_eq!(java_table_size(13), 32);
    }
}
