//! Snapshots of producers' state, and the indexes of aborted transactions.

use std::io::{self, Write};
use std::path::Path;

use protocol::messages::ProducerSnapshot;
use protocol::records::{crc32c, decrement_sequence};
use protocol::{Message, Reader};

/// Where the part begins that the checksum covers: behind the version and the checksum itself.
const CHECKED: usize = 6;

pub(super) fn dump_producers(file: &Path, out: &mut impl Write) -> io::Result<()> {
    let bytes = std::fs::read(file)?;
    let mut reader = Reader::new(&bytes);
    let read = reader.i16().and_then(|version| ProducerSnapshot::read(&mut reader, version));
    let snapshot = match read {
        Ok(snapshot) => snapshot,
        Err(error) => {
            eprintln!("Snapshot failed schema validation: {error}");
            return Ok(());
        }
    };
    let computed = crc32c(bytes.get(CHECKED..).unwrap_or_default());
    if snapshot.crc != computed {
        eprintln!(
            "Snapshot is corrupt (CRC is no longer valid). Stored crc: {}. Computed crc: {computed}",
            snapshot.crc
        );
        return Ok(());
    }
    for entry in snapshot.producer_entries {
        let transaction = match entry.current_txn_first_offset {
            offset if offset >= 0 => format!("OptionalLong[{offset}]"),
            _ => "OptionalLong.empty".to_owned(),
        };
        write!(
            out,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {transaction} lastTimestamp: {}",
            entry.producer_id, entry.epoch, entry.coordinator_epoch, entry.timestamp
        )?;
        if entry.last_offset >= 0 {
            write!(
                out,
                " firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                decrement_sequence(entry.last_sequence, entry.offset_delta),
                entry.last_sequence,
                entry.last_offset,
                entry.offset_delta,
                entry.timestamp
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(super) fn dump_aborted(file: &Path, out: &mut impl Write) -> io::Result<()> {
    let bytes = std::fs::read(file)?;
    for entry in bytes.as_chunks::<34>().0 {
        let mut reader = Reader::new(entry);
        let mut read = || -> Result<(i16, [i64; 4]), protocol::DecodeError> {
            let version = reader.i16()?;
            Ok((version, [reader.i64()?, reader.i64()?, reader.i64()?, reader.i64()?]))
        };
        let (version, [producer_id, first, last, stable]) =
            read().map_err(|error| io::Error::other(error.to_string()))?;
        writeln!(
            out,
            "version: {version} producerId: {producer_id} firstOffset: {first} lastOffset: {last} lastStableOffset: {stable}"
        )?;
    }
    Ok(())
}
