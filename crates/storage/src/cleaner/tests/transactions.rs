//! Compaction of logs with producers and transactions.

use protocol::records::{EndTxnMarker, RecordBatch};

use super::*;

fn send(world: &World, producer: (i64, i16, i32), transactional: bool, records: &[(&str, &str)]) -> i64 {
    let builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime)
        .with_producer(producer.0, producer.1, producer.2)
        .with_transactional(transactional);
    world.append("t", &fill(builder, records, world.now_ms.get()), AppendOrigin::Client)
}

fn end(world: &World, producer: (i64, i16), committed: bool) -> i64 {
    let marker = EndTxnMarker { committed, coordinator_epoch: 1 };
    let records = marker.batch(0, world.now_ms.get(), -1, producer.0, producer.1).unwrap();
    world.append("t", &records, AppendOrigin::Coordinator)
}

/// Base offset, records, whether it is a marker.
fn layout(world: &World) -> Vec<(i64, i32, bool)> {
    let layout = |bytes: &Vec<u8>| {
        let batch = RecordBatch::parse(bytes).unwrap();
        (batch.base_offset(), batch.records_count(), batch.is_control())
    };
    batches(&world.log()).iter().map(layout).collect()
}

/// Makes the log worth another round.
fn next_round(world: &World) {
    world.put(&[("filler", "x")]);
    world.roll();
    assert!(world.clean());
}

#[test]
fn aborted_records_go_and_their_marker_after_its_horizon() {
    let world = World::new(compacting());
    send(&world, (1, 0, 0), true, &[("a", "aborted"), ("b", "aborted")]);
    end(&world, (1, 0), false);
    send(&world, (1, 0, 2), true, &[("a", "committed")]);
    end(&world, (1, 0), true);
    world.roll();
    assert!(world.clean());
    // The aborted ones are gone at once. Its marker saw them, so it stays, and so does the index.
    assert_eq!(layout(&world), [(2, 1, true), (3, 1, false), (4, 1, true)]);
    assert_eq!(world.log().collect_aborted_transactions(0, 10).unwrap().len(), 1);
    next_round(&world);
    // Now there is nothing before the marker: its time begins to count.
    assert_eq!(layout(&world)[0], (2, 1, true));
    assert!(world.log().collect_aborted_transactions(0, 10).unwrap().is_empty());
    let horizon = |world: &World| RecordBatch::parse(&batches(&world.log())[0]).unwrap().delete_horizon_ms();
    assert_eq!(horizon(&world), Some(NOW_MS + 1000));
    world.pass_ms(1000);
    next_round(&world);
    assert_eq!(layout(&world)[0], (3, 1, false));
    // The committed transaction's record is still there, so its marker is too.
    assert_eq!(layout(&world)[1], (4, 1, true));
    assert_eq!(latest(&world.seen())["a"], "committed");
}

#[test]
fn an_aborted_value_never_replaces_a_committed_one() {
    let world = World::new(compacting());
    world.put(&[("a", "1")]);
    world.roll();
    send(&world, (1, 0, 0), true, &[("a", "aborted")]);
    world.roll();
    end(&world, (1, 0), false);
    world.roll();
    assert!(world.clean());
    assert_eq!(latest(&world.seen())["a"], "1");
}

#[test]
fn the_marker_of_a_committed_transaction_goes_after_its_records() {
    let world = World::new(compacting());
    send(&world, (1, 0, 0), true, &[("a", "1")]);
    end(&world, (1, 0), true);
    send(&world, (1, 0, 1), true, &[("a", "2")]);
    end(&world, (1, 0), true);
    world.roll();
    assert!(world.clean());
    assert_eq!(layout(&world), [(1, 1, true), (2, 1, false), (3, 1, true)]);
    next_round(&world);
    world.pass_ms(1000);
    next_round(&world);
    assert_eq!(layout(&world)[..2], [(2, 1, false), (3, 1, true)]);
}

#[test]
fn the_last_batch_of_a_producer_stays_for_its_sequence() {
    let world = World::new(compacting());
    send(&world, (7, 3, 0), false, &[("a", "1"), ("b", "1")]);
    send(&world, (7, 3, 2), false, &[("a", "2"), ("b", "2")]);
    world.put(&[("a", "3"), ("b", "3")]);
    world.roll();
    assert!(world.clean());
    assert_eq!(layout(&world), [(2, 0, false), (4, 2, false)]);
    let batch = batches(&world.log())[0].clone();
    let batch = RecordBatch::parse(&batch).unwrap();
    assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.last_sequence()), (7, 3, 3));
    assert_eq!((batch.last_offset(), batch.max_timestamp()), (3, NOW_MS));
    // All that is known of the producer is found again without a snapshot.
    for entry in std::fs::read_dir(world.dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "snapshot") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let options = crate::OpenOptions::new(partition("t"), Arc::new(compacting()), NOW_MS);
    let copy = tempfile::tempdir().unwrap();
    super::crash::copy_dir(&world.dir(), copy.path());
    let log = Log::open(copy.path(), options).unwrap();
    let builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
    let gap = fill(builder.clone().with_producer(7, 3, 5), &[("a", "4")], NOW_MS);
    log.append_as_leader(&gap, 0, AppendOrigin::Client, NOW_MS).unwrap_err();
    let next = fill(builder.with_producer(7, 3, 4), &[("a", "4")], NOW_MS);
    log.append_as_leader(&next, 0, AppendOrigin::Client, NOW_MS).unwrap();
    // A further round changes nothing about it.
    next_round(&world);
    assert_eq!(layout(&world)[0], (2, 0, false));
}

#[test]
fn a_reader_of_committed_records_that_began_before_skips_what_was_aborted() {
    let world = World::new(compacting());
    world.put(&[("x", "0")]);
    world.roll();
    send(&world, (1, 0, 0), true, &[("a", "aborted")]);
    world.roll();
    end(&world, (1, 0), false);
    send(&world, (1, 0, 1), true, &[("a", "committed")]);
    end(&world, (1, 0), true);
    world.roll();
    let log = world.log();
    let fetched = log.read(1, 1 << 20, log.last_stable_offset(), true).unwrap();
    assert!(world.clean());
    next_round(&world);
    // The new segments know nothing of the transaction any more; what was fetched has its records.
    assert!(log.collect_aborted_transactions(0, 10).unwrap().is_empty());
    let aborted = log.aborted_transactions(1, &fetched).unwrap();
    assert_eq!((aborted.len(), aborted[0].producer_id, aborted[0].first_offset), (1, 1, 1));
}
