//! The floor server and the generator, each against the other.

use std::{net::TcpListener, thread, time::Duration};

use tempfile::TempDir;

use crate::{
    load::{
        Target, connections, end_to_end, fetch,
        produce::{self, Until},
    },
    wire::{
        Reader, Writer, api,
        batch::{self, Noise},
        connection::Connection,
        error_code, first_flexible, replies, requests,
    },
};

/// A floor server on a port of its own, for as long as the test's process lives.
fn floor(sendfile: bool) -> (Target, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let path = dir.path().to_owned();
    thread::spawn(move || super::serve(&listener, path, sendfile));
    (Target { address, servers: crate::measure::process::Servers::default() }, dir)
}

fn options(topic: &str) -> produce::Options {
    produce::Options {
        topic: topic.to_owned(),
        partitions: 1,
        connections: 1,
        in_flight: 5,
        acks: 1,
        records_per_batch: 10,
        record_size: 100,
        codec: None,
        until: Until::Requests(50),
        reserve: None,
    }
}

#[test]
fn what_is_produced_is_fetched_by_copy_and_by_sendfile() {
    for sendfile in [false, true] {
        let (target, _dir) = floor(sendfile);
        let mut connection = Connection::open(target.address).unwrap();
        connection.create_topic("t", 1, &[]).unwrap();
        let produced = produce::run(target, &options("t")).unwrap();
        assert_eq!((produced.requests, produced.records), (50, 500));
        // Small limits take many fetches, one batch each; large ones a single one.
        let small = fetch::run(target, "t", 0, 1).unwrap();
        let large = fetch::run(target, "t", 0, 1 << 20).unwrap();
        assert_eq!((small.requests, large.requests), (50, 1));
        assert_eq!((small.records, small.bytes), (500, large.bytes));
    }
}

#[test]
fn connections_share_a_partition_and_zero_acks_arrive() {
    let (target, _dir) = floor(false);
    let mut connection = Connection::open(target.address).unwrap();
    connection.create_topic("shared", 1, &[("flush.messages", "1")]).unwrap();
    produce::run(target, &produce::Options { connections: 4, ..options("shared") }).unwrap();
    assert_eq!(connection.latest_offset("shared", 0).unwrap(), 2000);
    connection.create_topic("two", 2, &[]).unwrap();
    produce::run(target, &produce::Options { connections: 2, partitions: 2, acks: 0, ..options("two") })
        .unwrap();
    assert_eq!(connection.latest_offset("two", 0).unwrap(), 500);
    assert_eq!(connection.latest_offset("two", 1).unwrap(), 500);
}

#[test]
fn a_waiting_fetch_gets_every_record() {
    let (target, _dir) = floor(false);
    Connection::open(target.address).unwrap().create_topic("t", 1, &[]).unwrap();
    let options = end_to_end::Options {
        topic: "t".to_owned(),
        rate: 2000,
        records_per_batch: 5,
        record_size: 50,
        acks: 1,
        duration: Duration::from_millis(200),
    };
    let delivered = end_to_end::run(target, &options).unwrap();
    assert_eq!((delivered.messages, delivered.latency.count()), (400, 80));
}

#[test]
fn connections_are_counted() {
    let (target, _dir) = floor(false);
    let metrics = connections::run(target, 20).unwrap();
    assert!(metrics.iter().any(|metric| metric.name == "connections" && metric.value > 0.0));
}

#[test]
fn topics_are_made_once_and_deleted() {
    let (target, _dir) = floor(false);
    let mut connection = Connection::open(target.address).unwrap();
    assert_eq!(
        connection.metadata(Some("t")).unwrap().topic_error,
        Some(error_code::UNKNOWN_TOPIC_OR_PARTITION)
    );
    connection.create_topic("t", 3, &[]).unwrap();
    assert_eq!(connection.metadata(Some("t")).unwrap().partitions_led(), 3);
    assert!(connection.create_topic("t", 3, &[]).is_err());
    connection.delete_topic("t").unwrap();
    assert!(connection.delete_topic("t").is_err());
    assert!(connection.api_versions().unwrap() > 5);
}

#[test]
fn damaged_batches_and_unknown_partitions_are_refused() {
    let (target, _dir) = floor(false);
    let mut connection = Connection::open(target.address).unwrap();
    connection.create_topic("t", 1, &[]).unwrap();
    let mut bytes = batch::build(1, 10, &mut Noise::new(1));
    let mut produce = |partition, bytes: &[u8]| {
        let (reply, id) = connection.call(&mut requests::produce("t", partition, 1, bytes)).unwrap();
        replies::produce(reply, id).unwrap().0
    };
    assert_eq!(produce(0, &bytes), error_code::NONE);
    assert_eq!(produce(1, &bytes), error_code::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(produce(0, &bytes[..bytes.len() - 1]), error_code::CORRUPT_MESSAGE);
    bytes[65] ^= 1;
    assert_eq!(produce(0, &bytes), error_code::CORRUPT_MESSAGE);
    assert_eq!(produce(0, b""), error_code::CORRUPT_MESSAGE);
    assert_eq!(connection.latest_offset("t", 0).unwrap(), 1);
}

/// Sends a request of any version, and returns the reply behind its correlation id.
fn ask(target: Target, api_key: i16, version: i16, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    let mut w = Writer::new(&mut frame, false);
    w.i16(api_key);
    w.i16(version);
    w.i32(0);
    w.nullable_string(None);
    let mut w = Writer::new(&mut frame, version >= first_flexible(api_key));
    w.tags();
    body(&mut w);
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    let mut connection = Connection::open(target.address).unwrap();
    connection.call(&mut frame).unwrap().0[4..].to_vec()
}

#[test]
fn the_oldest_produce_and_fetch_are_understood() {
    let (target, _dir) = floor(false);
    Connection::open(target.address).unwrap().create_topic("t", 1, &[]).unwrap();
    let batch = batch::build(2, 10, &mut Noise::new(1));
    let reply = ask(target, api::PRODUCE, 3, |w| {
        w.nullable_string(None);
        w.i16(-1);
        w.i32(1000);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.bytes_length(batch.len());
        w.raw(&batch);
    });
    let expected = [&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1][..], &[0; 14], &[0xff; 8], &[0; 4]].concat();
    assert_eq!(reply, expected);
    let reply = ask(target, api::FETCH, 4, |w| {
        w.i32(-1);
        w.i32(0);
        w.i32(1);
        w.i32(1 << 20);
        w.i8(0);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.i64(0);
        w.i32(1 << 20);
    });
    let mut r = Reader::new(&reply, false);
    r.take(4 + 4 + 3 + 4 + 4 + 2).unwrap();
    assert_eq!((r.i64(), r.i64(), r.array()), (Ok(2), Ok(2), Ok(0)));
    assert_eq!(batch::first(r.nullable_bytes().unwrap().unwrap()).unwrap().unwrap().record_count, 2);
    assert_eq!(r.remaining(), 0);
}

#[test]
fn api_versions_of_the_future_are_answered_in_version_0() {
    let (target, _dir) = floor(false);
    let reply = ask(target, api::API_VERSIONS, 99, |_| {});
    assert_eq!(reply[..2], error_code::UNSUPPORTED_VERSION.to_be_bytes());
    assert_eq!(reply.len(), 2 + 4 + 8 * 6);
}

#[test]
fn frames_that_lie_close_their_connection_and_no_other() {
    let (target, _dir) = floor(false);
    for frame in [&[0x7f, 0, 0, 0][..], &[0, 0, 0, 4, 0, 99, 0, 0], &[0, 0, 0, 2, 0, 0]] {
        let mut connection = Connection::open(target.address).unwrap();
        connection.send(frame).unwrap();
        assert!(connection.receive().is_err());
    }
    assert!(Connection::open(target.address).unwrap().api_versions().is_ok());
}
