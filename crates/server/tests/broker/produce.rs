//! `Produce`: what is taken, what is refused, and in which words.

use common::{ErrorCode, Uuid};
use protocol::compression::Compression;
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::messages::*;
use protocol::records::{self, Header, TimestampType};

use crate::harness::{Broker, TIMESTAMP, Topic};
use crate::harness::{
    batch, builder, error, fetch_request, fill, produce_request, producer_batch, unique, values,
};

/// An answer's error, base offset, append time and log start.
fn facts(response: &PartitionProduceResponse) -> (ErrorCode, i64, i64, i64) {
    (error(response.error_code), response.base_offset, response.log_append_time_ms, response.log_start_offset)
}

fn refused(code: ErrorCode) -> (ErrorCode, i64, i64, i64) {
    (code, -1, -1, -1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_appended_with_every_acks() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("acks", 2, &[]).await;
    let first = client.produce_as(11, 1, &topic, 0, &batch(&["a", "b"])).await;
    assert_eq!(facts(&first), (ErrorCode::None, 0, -1, 0));
    assert_eq!((first.error_message, first.record_errors.len()), (None, 0));
    assert_eq!((first.current_leader.leader_id, first.current_leader.leader_epoch), (-1, -1));
    // No answer comes to acks=0: the next answer is that of the next request.
    client.send(11, &produce_request(11, 0, &topic, &[(0, &batch(&["c"]))])).await;
    let third = client.produce_as(11, -1, &topic, 0, &batch(&["d"])).await;
    assert_eq!(facts(&third), (ErrorCode::None, 3, -1, 0));
    assert_eq!(client.consume(&topic, 0).await, ["a", "b", "c", "d"]);
    // Several partitions in one request, each with its own offsets.
    let (one, two) = (batch(&["e"]), batch(&["f", "g"]));
    let response = client.call(11, &produce_request(11, -1, &topic, &[(1, &one), (0, &two)])).await;
    let mut offsets: Vec<(i32, i64)> = response.responses[0]
        .partition_responses
        .iter()
        .map(|partition| (partition.index, partition.base_offset))
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [(0, 4), (1, 0)]);
}

/// Of one request: partitions and their batches.
type Parts<'a> = &'a [(i32, &'a [u8])];

/// What is said of each partition of each request: index, error and base offset.
fn said(responses: &[ProduceResponse]) -> Vec<Vec<(i32, ErrorCode, i64)>> {
    let of = |response: &ProduceResponse| {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        partitions.map(|said| (said.index, error(said.error_code), said.base_offset)).collect()
    };
    responses.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_together_are_answered_each() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("together", 2, &[]).await;
    let producer_id = client.init_producer_id(4).await.producer_id;
    let records: Vec<Vec<u8>> = ["a", "b", "c", "d", "e", "f", "g"].map(|value| batch(&[value])).to_vec();
    let mut damaged = batch(&["x"]);
    *damaged.last_mut().unwrap() ^= 1;
    let numbered = |sequence| producer_batch(producer_id, 0, sequence, &["n"]);
    let (first, second, gap) = (numbered(0), numbered(1), numbered(7));
    let parts: [(i16, Parts); 12] = [
        (-1, &[(0, &records[0]), (1, &records[1])]),
        (-1, &[(1, &records[2])]),
        (-1, &[(7, &records[3]), (0, &records[3])]),
        (-1, &[(0, &damaged)]),
        (-1, &[(0, &first)]),
        (-1, &[(0, &first)]),
        (-1, &[(0, &second), (1, &records[4])]),
        (-1, &[(0, &gap)]),
        // Other acks, and none.
        (1, &[(1, &records[4])]),
        (0, &[(1, &records[5])]),
        (1, &[(1, &records[6])]),
        (5, &[(1, &records[6])]),
    ];
    let requests = parts.map(|(acks, parts)| produce_request(11, acks, &topic, parts));
    let none = ErrorCode::None;
    let answers = client.produce_together(11, &requests).await;
    assert_eq!(
        said(&answers),
        [
            vec![(0, none, 0), (1, none, 0)],
            vec![(1, none, 1)],
            vec![(7, ErrorCode::UnknownTopicOrPartition, -1), (0, none, 1)],
            vec![(0, ErrorCode::CorruptMessage, -1)],
            vec![(0, none, 2)],
            vec![(0, none, 2)],
            vec![(0, none, 3), (1, none, 2)],
            vec![(0, ErrorCode::OutOfOrderSequenceNumber, -1)],
            vec![(1, none, 3)],
            vec![(1, none, 5)],
            vec![(1, ErrorCode::InvalidRequiredAcks, -1)],
        ]
    );
    assert_eq!(client.consume(&topic, 0).await, ["a", "d", "n", "n"]);
    let mut other = broker.connect().await;
    let response = other.call(11, &fetch_request(11, &topic, &[(1, 0)])).await;
    let fetched = response.responses[0].partitions[0].records.as_ref().unwrap().inline();
    assert_eq!(values(fetched), ["b", "c", "e", "e", "f", "g"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_together_wait_for_their_sync() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let synced = client.create_topic("synced", 1, &[("flush.messages", "1")]).await;
    let cached = client.create_topic("cached", 1, &[]).await;
    let record = batch(&["a"]);
    for acks in [1, -1] {
        let requests: Vec<_> = (0..40)
            .map(|n| produce_request(11, acks, if n % 3 == 2 { &synced } else { &cached }, &[(0, &record)]))
            .collect();
        client.produce_together(11, &requests).await.iter().enumerate().for_each(|(n, answer)| {
            assert_eq!(error(answer.responses[0].partition_responses[0].error_code), ErrorCode::None, "{n}");
        });
    }
    assert_eq!(client.consume(&synced, 0).await.len(), 26);
    assert_eq!(client.consume(&cached, 0).await.len(), 54);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_acks_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("wrong-acks", 1, &[]).await;
    for acks in [2, -2, i16::MAX] {
        let response = client.produce_as(11, acks, &topic, 0, &batch(&["a"])).await;
        assert_eq!(facts(&response), refused(ErrorCode::InvalidRequiredAcks), "{acks}");
    }
    assert!(client.consume(&topic, 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_without_acks_ends_the_connection() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("unacknowledged", 1, &[]).await;
    let records = batch(&["a"]);
    let mut other = broker.connect().await;
    client.send(11, &produce_request(11, 0, &topic, &[(0, &records), (7, &records)])).await;
    client.assert_closed().await;
    // The partition that could be written was.
    assert_eq!(other.consume(&topic, 0).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_and_partitions_that_are_not_there_are_named() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("known", 1, &[]).await;
    let unknown = Topic { name: unique("unknown"), id: Uuid::random() };
    for version in [3, 12] {
        for (topic, partition) in [(&unknown, 0), (&topic, 1), (&topic, -1)] {
            let response = client.produce_as(version, -1, topic, partition, &batch(&["a"])).await;
            assert_eq!(facts(&response), refused(ErrorCode::UnknownTopicOrPartition));
        }
    }
    let response = client.produce_as(13, -1, &unknown, 0, &batch(&["a"])).await;
    assert_eq!(facts(&response), refused(ErrorCode::UnknownTopicId));
    for partition in [1, -1] {
        let response = client.produce_as(13, -1, &topic, partition, &batch(&["a"])).await;
        assert_eq!(facts(&response), refused(ErrorCode::UnknownTopicOrPartition));
    }
    // A topic is not created by producing to it.
    let described = client.describe_topic(&unknown.name).await;
    assert_eq!(error(described.error_code), ErrorCode::UnknownTopicOrPartition);
    // Nothing of a request fails because something else in it does.
    let (one, two) = (batch(&["a"]), batch(&["b"]));
    let response = client.call(13, &produce_request(13, -1, &topic, &[(5, &one), (0, &two)])).await;
    for partition in &response.responses[0].partition_responses {
        let expected =
            if partition.index == 0 { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
        assert_eq!(error(partition.error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_whole_batch_is_taken() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("batches", 1, &[]).await;
    let good = batch(&["a", "b"]);
    let two = [good.clone(), good.clone()].concat();
    let mut empty = good[..61].to_vec();
    empty[8..12].copy_from_slice(&49i32.to_be_bytes());
    empty[57..61].copy_from_slice(&0i32.to_be_bytes());
    seal(&mut empty);
    for (what, records, expected) in [
        ("nothing", Vec::new(), ErrorCode::InvalidRecord),
        ("two batches", two, ErrorCode::InvalidRecord),
        ("a batch without its end", good[..good.len() - 1].to_vec(), ErrorCode::InvalidRecord),
        ("less than a header", good[..40].to_vec(), ErrorCode::InvalidRecord),
        ("a few bytes", good[..11].to_vec(), ErrorCode::InvalidRecord),
    ] {
        let response = client.produce_as(11, -1, &topic, 0, &records).await;
        assert_eq!(facts(&response), refused(expected), "{what}");
    }
    let response = client.produce_as(11, -1, &topic, 0, &empty).await;
    assert_eq!(facts(&response), (ErrorCode::InvalidRecord, -1, -1, 0));
    // A batch and some bytes of a next one are that batch.
    let with_rest = [good.clone(), good[..30].to_vec()].concat();
    let response = client.produce_as(11, -1, &topic, 0, &with_rest).await;
    assert_eq!(facts(&response), (ErrorCode::None, 0, -1, 0));
    assert_eq!(client.consume(&topic, 0).await, ["a", "b"]);
}

/// Makes the checksum right again after a change.
fn seal(batch: &mut [u8]) {
    let crc = records::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_are_damaged_or_lie_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("damaged", 1, &[]).await;
    let good = batch(&["a", "b"]);
    let changed = |change: &dyn Fn(&mut Vec<u8>), sealed: bool| {
        let mut batch = good.clone();
        change(&mut batch);
        if sealed {
            seal(&mut batch);
        }
        batch
    };
    let set = |at: usize, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move |batch: &mut Vec<u8>| batch[at..at + bytes.len()].copy_from_slice(&bytes)
    };
    let last = good.len() - 1;
    for (what, records, expected) in [
        ("a bit of a record", changed(&|batch| batch[last] ^= 1, false), ErrorCode::CorruptMessage),
        ("the checksum", changed(&set(17, &[1, 2, 3, 4]), false), ErrorCode::CorruptMessage),
        ("magic 0", changed(&set(16, &[0]), false), ErrorCode::InvalidRecord),
        ("magic 1", changed(&set(16, &[1]), false), ErrorCode::InvalidRecord),
        ("magic 3", changed(&set(16, &[3]), false), ErrorCode::CorruptMessage),
        ("magic -1", changed(&set(16, &[0xff]), false), ErrorCode::CorruptMessage),
        ("a length below a header", changed(&set(8, &20i32.to_be_bytes()), true), ErrorCode::CorruptMessage),
        ("a negative length", changed(&set(8, &(-5i32).to_be_bytes()), true), ErrorCode::CorruptMessage),
        ("a length beyond the end", changed(&set(8, &1000i32.to_be_bytes()), true), ErrorCode::InvalidRecord),
        (
            "more records than there are",
            changed(&set(57, &3i32.to_be_bytes()), true),
            ErrorCode::InvalidRecord,
        ),
        (
            "fewer records than there are",
            changed(&set(57, &1i32.to_be_bytes()), true),
            ErrorCode::InvalidRecord,
        ),
        ("a huge count", changed(&set(57, &i32::MAX.to_be_bytes()), true), ErrorCode::InvalidRecord),
        ("a negative count", changed(&set(57, &(-1i32).to_be_bytes()), true), ErrorCode::InvalidRecord),
        ("a last offset that is not", changed(&set(23, &9i32.to_be_bytes()), true), ErrorCode::InvalidRecord),
        ("a control batch", changed(&set(21, &[0, 0x20]), true), ErrorCode::InvalidRecord),
    ] {
        let response = client.produce_as(11, -1, &topic, 0, &records).await;
        assert_eq!(error(response.error_code), expected, "{what}");
    }
    // Codecs that there are not, and that the records were not packed with: unknown server errors in Apache Kafka.
    if !broker.is_elsewhere() {
        for codec in 1..=7 {
            let wrong_codec = changed(&set(21, &[0, codec]), true);
            let response = client.produce_as(11, -1, &topic, 0, &wrong_codec).await;
            assert_eq!(error(response.error_code), ErrorCode::InvalidRecord, "codec {codec}");
        }
    }
    assert!(client.consume(&topic, 0).await.is_empty());
    assert_eq!(client.produce(&topic, &good).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_batch_needs_a_transactional_id() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("transactional", 2, &[]).await;
    let builder = builder(Compression::None).with_producer(5000, 0, 0).with_transactional(true);
    let transactional = fill(builder, &["a"]);
    let plain = batch(&["b"]);
    // All of the request is refused, whatever else it holds.
    let request = produce_request(11, -1, &topic, &[(0, &transactional), (1, &plain)]);
    let response = client.call(11, &request).await;
    for partition in &response.responses[0].partition_responses {
        assert_eq!(facts(partition), refused(ErrorCode::TransactionalIdAuthorizationFailed));
    }
    assert!(client.consume(&topic, 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_is_taken_and_zstd_from_version_7() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("codecs", 1, &[]).await;
    let texts = ["the same text again", "the same text again", "the same text again"];
    let mut expected = Vec::new();
    for codec in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let offset = client.produce(&topic, &fill(builder(codec), &texts)).await;
        assert_eq!(offset, expected.len() as i64);
        expected.extend(texts);
    }
    assert_eq!(client.consume(&topic, 0).await, expected);
    let zstd = fill(builder(Compression::Zstd), &texts);
    for (version, expected) in [
        (3, ErrorCode::UnsupportedCompressionType),
        (6, ErrorCode::UnsupportedCompressionType),
        (7, ErrorCode::None),
    ] {
        let response = client.produce_as(version, -1, &topic, 0, &zstd).await;
        assert_eq!(error(response.error_code), expected, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_may_say_how_its_batches_are_packed() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let texts = ["some text to pack", "some text to pack", "some text to pack"];
    for (name, codec) in [
        ("uncompressed", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ] {
        let topic = client.create_topic("packed", 1, &[("compression.type", name)]).await;
        for sent in [Compression::None, Compression::Lz4] {
            client.produce(&topic, &fill(builder(sent), &texts)).await;
        }
        let request = fetch_request(12, &topic, &[(0, 0)]);
        let response = client.call(12, &request).await;
        let bytes = response.responses[0].partitions[0].records.unwrap().inline();
        for batch in records::Batches::new(bytes) {
            assert_eq!(batch.unwrap().compression(), codec, "{name}");
        }
        assert_eq!(values(bytes), [texts, texts].concat());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_may_be_as_large_as_max_message_bytes() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let fits = batch(&[&"x".repeat(900)]);
    let limit = fits.len().to_string();
    let topic = client.create_topic("limited", 1, &[("max.message.bytes", &limit)]).await;
    let too_large = batch(&[&"x".repeat(901)]);
    let response = client.produce_as(11, -1, &topic, 0, &too_large).await;
    assert_eq!(facts(&response), refused(ErrorCode::MessageTooLarge));
    assert_eq!(client.produce(&topic, &fits).await, 0);
    // Packed it fits: the limit is on what is sent.
    let packed = fill(builder(Compression::Zstd), &[&"x".repeat(100_000)]);
    assert_eq!(client.produce(&topic, &packed).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_topics_are_for_the_broker() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    crate::versions::wait_for_coordinator(&mut client, "anything").await;
    let offsets = Topic { name: "__consumer_offsets".to_owned(), id: Uuid::ZERO };
    let response = client.produce_as(11, -1, &offsets, 0, &batch(&["a"])).await;
    assert_eq!(facts(&response), refused(ErrorCode::InvalidTopicException));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_key_are_refused_where_the_log_is_compacted() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let mut records = builder(Compression::None);
    records.append(TIMESTAMP, Some(b"key"), Some(b"a"), &[]).unwrap();
    records.append(TIMESTAMP, None, Some(b"b"), &[]).unwrap();
    records.append(TIMESTAMP, None, Some(b"c"), &[Header::new("h", None)]).unwrap();
    let response = client.produce_as(11, -1, &topic, 0, &records.build()).await;
    assert_eq!(facts(&response), (ErrorCode::InvalidRecord, -1, -1, 0));
    let blamed: Vec<i32> = response.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(blamed, [1, 2]);
    let message = response.record_errors[0].batch_index_error_message.as_deref();
    let expected = "Compacted topic cannot accept message without key in topic partition";
    assert_eq!(message, Some(format!("{expected} {}-0", topic.name).as_str()));
    let expected = "One or more records have been rejected due to 2 record errors in total";
    assert!(response.error_message.unwrap().starts_with(expected));
    let mut records = builder(Compression::None);
    records.append(TIMESTAMP, Some(b"key"), None, &[]).unwrap();
    assert_eq!(client.produce(&topic, &records.build()).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timestamps_too_far_from_now_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let bounds = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "1000")];
    let topic = client.create_topic("timely", 1, &bounds).await;
    let response = client.produce_as(11, -1, &topic, 0, &batch(&["old", "too"])).await;
    assert_eq!(facts(&response), (ErrorCode::InvalidTimestamp, -1, -1, 0));
    let blamed: Vec<i32> = response.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(blamed, [0, 1]);
    let mut future = builder(Compression::None);
    future.append(TIMESTAMP * 2, None, Some(b"a"), &[]).unwrap();
    let response = client.produce_as(11, -1, &topic, 0, &future.build()).await;
    assert_eq!(facts(&response), (ErrorCode::InvalidTimestamp, -1, -1, 0));
    // By default the past is not limited and the future by an hour.
    let topic = client.create_topic("untimely", 1, &[]).await;
    client.produce(&topic, &batch(&["old"])).await;
    let mut future = builder(Compression::None);
    future.append(TIMESTAMP * 2, None, Some(b"a"), &[]).unwrap();
    let response = client.produce_as(11, -1, &topic, 0, &future.build()).await;
    assert_eq!(error(response.error_code), ErrorCode::InvalidTimestamp);
    let mut none = builder(Compression::None);
    none.append(-1, None, Some(b"no time"), &[]).unwrap();
    client.produce(&topic, &none.build()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_stamps_records_where_the_topic_asks_for_it() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    for codec in [Compression::None, Compression::Lz4] {
        let response = client.produce_as(11, -1, &topic, 0, &fill(builder(codec), &["a", "b"])).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        assert!(response.log_append_time_ms > TIMESTAMP);
        let request = fetch_request(12, &topic, &[(0, response.base_offset)]);
        let fetched = client.call(12, &request).await;
        let bytes = fetched.responses[0].partitions[0].records.unwrap().inline();
        let batch = records::Batches::new(bytes).next().unwrap().unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(batch.max_timestamp(), response.log_append_time_ms);
        assert_eq!(values(bytes), ["a", "b"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_named_twice_and_null_records_are_answered() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("odd", 1, &[]).await;
    // Apache Kafka never answers this.
    if !broker.is_elsewhere() {
        let mut request = produce_request(11, -1, &topic, &[(0, &[])]);
        request.topic_data[0].partition_data[0].records = None;
        let response = client.call(11, &request).await;
        let answered = &response.responses[0].partition_responses[0];
        assert_eq!(error(answered.error_code), ErrorCode::InvalidRecord);
    }
    // No topics at all.
    let response = client.call(11, &ProduceRequest { acks: -1, ..ProduceRequest::default() }).await;
    assert!(response.responses.is_empty());
}
