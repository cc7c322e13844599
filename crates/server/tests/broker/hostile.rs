//! Bad input: the connection that sends it ends, or gets an error; nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::messages::*;
use protocol::records::{self, Batches, Header};
use protocol::{ApiKey, Writer};

use crate::harness::{
    Broker, Client, TIMESTAMP, Topic, batch, builder, error, fetch_request, header, produce_request,
};
use crate::versions::ask_everything;

/// Another connection, to see that the broker serves on.
struct Bystander {
    client: Client,
    topic: Topic,
    next: i64,
}

impl Bystander {
    async fn new(broker: &Broker) -> Bystander {
        let mut client = broker.connect().await;
        let topic = client.create_topic("bystander", 1, &[]).await;
        Bystander { client, topic, next: 0 }
    }

    async fn is_served(&mut self) {
        let offset = self.client.produce(&self.topic, &batch(&["still here"])).await;
        assert_eq!(offset, self.next);
        self.next += 1;
        assert_eq!(self.client.consume(&self.topic, offset).await, ["still here"]);
    }
}

/// Counts the panics outside of the threads on which tests run: those of brokers.
fn count_panics_elsewhere() -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let (before, counter) = (std::panic::take_hook(), Arc::clone(&count));
    std::panic::set_hook(Box::new(move |info| {
        // The test runner names its threads after the tests.
        if !std::thread::current().name().is_some_and(|name| name.contains("::")) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    count
}

/// A small generator of bytes: the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_cannot_be_end_their_connection() {
    let broker = Broker::start().await;
    let mut bystander = Bystander::new(&broker).await;
    let api_versions = header(ApiKey::ApiVersions, 0, 1, Some("x"));
    let mut cut_client_id = header(ApiKey::ApiVersions, 0, 1, None);
    cut_client_id.truncate(9);
    let mut long_client_id = header(ApiKey::ApiVersions, 0, 1, None);
    long_client_id[8..10].copy_from_slice(&1000i16.to_be_bytes());
    let mut negative_client_id = header(ApiKey::ApiVersions, 0, 1, None);
    negative_client_id[8..10].copy_from_slice(&(-2i16).to_be_bytes());
    let mut many_tags = header(ApiKey::ApiVersions, 3, 1, Some("x"));
    many_tags.truncate(many_tags.len() - 1);
    many_tags.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let mut endless_varint = header(ApiKey::ApiVersions, 3, 1, Some("x"));
    endless_varint.truncate(endless_varint.len() - 1);
    endless_varint.extend_from_slice(&[0xff; 40]);
    let mut no_utf8 = header(ApiKey::ApiVersions, 0, 1, Some("xx"));
    no_utf8[10..12].copy_from_slice(&[0xc0, 0xaf]);
    let key = |key: i16| {
        let mut frame = api_versions.clone();
        frame[..2].copy_from_slice(&key.to_be_bytes());
        frame
    };
    for (what, frame) in [
        ("nothing", Vec::new()),
        ("a byte", vec![0]),
        ("no correlation id", api_versions[..6].to_vec()),
        ("no client id", api_versions[..8].to_vec()),
        ("a cut client id", cut_client_id),
        ("a client id that is longer than the frame", long_client_id),
        ("tagged fields without end", many_tags),
        ("a number without end", endless_varint),
        ("a negative key", key(-1)),
        ("a key nobody knows", key(999)),
        ("a key of the past", key(4)),
        ("an API of controllers", key(52)),
        ("a version that is too new", header(ApiKey::Metadata, 14, 1, Some("x"))),
        ("a version that is too old", header(ApiKey::Fetch, 3, 1, Some("x"))),
        ("a negative version", header(ApiKey::Metadata, -1, 1, Some("x"))),
        ("a body that is cut", header(ApiKey::Metadata, 9, 1, Some("x"))),
        ("a body that is not there", header(ApiKey::Produce, 9, 1, Some("x"))),
    ] {
        let mut client = broker.connect().await;
        client.send_frame(&frame).await;
        assert_eq!(client.receive_frame().await, None, "{what}");
    }
    // What a client calls itself is not read closely.
    for frame in [no_utf8, negative_client_id] {
        let mut client = broker.connect().await;
        client.send_frame(&frame).await;
        assert!(client.receive_frame().await.is_some());
    }
    bystander.is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_that_cannot_be_end_their_connection() {
    let broker = Broker::start().await;
    let mut bystander = Bystander::new(&broker).await;
    for size in [-1, i32::MIN, i32::MAX, 100 * 1024 * 1024 + 1, 0x4745_5420] {
        let mut client = broker.connect().await;
        client.send_raw(&size.to_be_bytes()).await;
        client.send_raw(b"some bytes that come before the end is noticed").await;
        assert_eq!(client.receive_frame().await, None, "{size}");
    }
    // Answers that are owed come before the end.
    let mut client = broker.connect().await;
    let frame = client.frame(0, &ApiVersionsRequest::default());
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    bytes.extend_from_slice(&(-1i32).to_be_bytes());
    client.send_raw(&bytes).await;
    if !broker.is_elsewhere() {
        client.receive::<ApiVersionsRequest>(0).await;
        client.assert_closed().await;
    }
    bystander.is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_never_ends_holds_up_nobody() {
    let broker = Broker::start().await;
    // Apache Kafka sets memory aside for all of it, and runs out.
    if broker.is_elsewhere() {
        return;
    }
    let mut bystander = Bystander::new(&broker).await;
    // These say a lot and send a little, and some of them leave in the middle.
    let mut waiting = Vec::new();
    for count in 0..50 {
        let mut client = broker.connect().await;
        client.send_raw(&(100 * 1024 * 1024i32).to_be_bytes()).await;
        client.send_raw(&vec![0; count * 100]).await;
        if count % 2 == 0 {
            waiting.push(client);
        }
    }
    bystander.is_served().await;
    // Byte by byte is slow, but a request.
    let mut client = broker.connect().await;
    let frame = client.frame(0, &ApiVersionsRequest::default());
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    for byte in bytes {
        client.send_raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.receive::<ApiVersionsRequest>(0).await.error_code, 0);
    bystander.is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_and_damaged_requests_do_no_harm() {
    let broker = Broker::start().await;
    // Apache Kafka would bear it too; its logs would not.
    if broker.is_elsewhere() {
        return;
    }
    let panics = count_panics_elsewhere();
    let mut bystander = Bystander::new(&broker).await;
    let mut client = broker.connect().await;
    client.sent = Some(Vec::new());
    ask_everything(&broker, &mut client).await;
    let samples = client.sent.unwrap();
    let mut random = Random(0x5eed_5eed_5eed);
    for round in 0..1000 {
        let mut frame = samples[random.below(samples.len())].clone();
        match random.below(4) {
            0 => {
                let at = random.below(frame.len());
                frame.truncate(at);
            }
            1 => {
                for _ in 0..=random.below(4) {
                    let at = random.below(frame.len());
                    frame[at] = random.next() as u8;
                }
            }
            2 => {
                let count = random.below(64);
                let more = random.bytes(count);
                frame.extend_from_slice(&more);
            }
            _ => {
                let count = random.below(200);
                frame.truncate(8);
                let more = random.bytes(count);
                frame.extend_from_slice(&more);
            }
        }
        let mut client = broker.connect().await;
        client.send_frame(&frame).await;
        // An answer, the end of the connection, or a wait that was asked for.
        let _ = tokio::time::timeout(Duration::from_micros(500), client.receive_frame()).await;
        if round % 50 == 0 {
            bystander.is_served().await;
        }
    }
    for _ in 0..100 {
        let mut client = broker.connect().await;
        let count = random.below(2000);
        let bytes = random.bytes(count);
        client.send_raw(&bytes).await;
    }
    bystander.is_served().await;
    assert_eq!(panics.load(Ordering::Relaxed), 0, "the broker has panicked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_lie_end_their_connection() {
    let broker = Broker::start().await;
    let mut bystander = Bystander::new(&broker).await;
    let mut frames = Vec::new();
    // Arrays of two billion elements, in the old and in the compact way.
    let mut writer = Writer::new();
    writer.raw(&header(ApiKey::Metadata, 4, 1, Some("x")));
    writer.i32(i32::MAX);
    frames.push(("topics", writer.into_bytes()));
    let mut writer = Writer::new();
    writer.raw(&header(ApiKey::Metadata, 9, 1, Some("x")));
    writer.uvarint(u32::MAX);
    frames.push(("compact topics", writer.into_bytes()));
    let mut writer = Writer::new();
    writer.raw(&header(ApiKey::Produce, 7, 1, Some("x")));
    writer.null_string(false);
    writer.i16(1);
    writer.i32(1000);
    writer.i32(1);
    writer.string("t", false).unwrap();
    writer.i32(1);
    writer.i32(0);
    writer.i32(i32::MAX);
    frames.push(("records", writer.into_bytes()));
    let mut writer = Writer::new();
    writer.raw(&header(ApiKey::Fetch, 12, 1, Some("x")));
    for _ in 0..4 {
        writer.i32(0);
    }
    writer.i8(0);
    writer.i32(0);
    writer.i32(-1);
    writer.uvarint(0x7fff_ffff);
    frames.push(("partitions to fetch", writer.into_bytes()));
    let mut writer = Writer::new();
    writer.raw(&header(ApiKey::CreateTopics, 7, 1, Some("x")));
    writer.uvarint(0x0fff_ffff);
    writer.raw(&[0; 100]);
    frames.push(("topics to create", writer.into_bytes()));
    let mut writer = Writer::new();
    writer.raw(&header(ApiKey::DescribeGroups, 0, 1, Some("x")));
    writer.i32(-5);
    frames.push(("a negative count", writer.into_bytes()));
    for (what, frame) in frames {
        let mut client = broker.connect().await;
        client.send_frame(&frame).await;
        assert_eq!(client.receive_frame().await, None, "{what}");
    }
    bystander.is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_behind_a_request_are_borne() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    // As Kafka: what is behind the last field is not looked at.
    let mut frame = client.frame(4, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
    frame.extend_from_slice(b"and more");
    client.send_frame(&frame).await;
    let response = client.receive::<MetadataRequest>(4).await;
    assert_eq!(response.brokers.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_it_waits_is_forgotten() {
    let broker = Broker::start().await;
    let mut bystander = Bystander::new(&broker).await;
    for _ in 0..20 {
        let mut client = broker.connect().await;
        let mut request = fetch_request(12, &bystander.topic, &[(0, 1000)]);
        request.topics[0].partitions[0].fetch_offset = bystander.next;
        request.max_wait_ms = 30_000;
        client.send(12, &request).await;
    }
    bystander.is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_many_at_once_are_all_answered() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("many", 1, &[]).await;
    let records = batch(&["a"]);
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        let frame = client.frame(11, &produce_request(11, 1, &topic, &[(0, &records)]));
        bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&frame);
    }
    client.send_raw(&bytes).await;
    for expected in 0..1000 {
        let frame = client.receive_frame().await.unwrap();
        let mut reader = protocol::Reader::new(&frame[5..]);
        let response: ProduceResponse = protocol::Message::read(&mut reader, 11).unwrap();
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((error(partition.error_code), partition.base_offset), (ErrorCode::None, expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_can_be_read() {
    let broker = Broker::start().await;
    if broker.is_elsewhere() {
        return;
    }
    let mut client = broker.connect().await;
    let topic = client.create_topic("mutants", 1, &[]).await;
    let mut random = Random(0xbad_5eed);
    let codecs =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let samples: Vec<Vec<u8>> = codecs
        .into_iter()
        .map(|codec| {
            let mut builder = builder(codec);
            for index in 0..5u8 {
                let key = [index];
                let header = Header::new("name", Some(&key));
                builder.append(TIMESTAMP, Some(&key), Some(b"some value"), &[header]).unwrap();
            }
            builder.build()
        })
        .collect();
    let (mut taken, mut end) = (0, 0);
    for _ in 0..4000 {
        let mut mutant = samples[random.below(samples.len())].clone();
        for _ in 0..=random.below(3) {
            // Not the offset, nor the length, nor what makes it a batch of this format.
            let at = 21 + random.below(mutant.len() - 21);
            mutant[at] = random.next() as u8;
        }
        let crc = records::crc32c(&mutant[21..]);
        mutant[17..21].copy_from_slice(&crc.to_be_bytes());
        let response = client.produce_as(11, -1, &topic, 0, &mutant).await;
        if response.error_code == 0 && response.base_offset == end {
            taken += 1;
            end = end_of(&mut client, &topic, end).await;
        } else {
            // Refused, or taken for a batch that a producer has sent again.
            assert!(response.base_offset < end);
        }
    }
    assert!(taken > 100, "{taken}");
    // From the first to the last, offsets without a gap, and nothing in between that is not a record.
    let mut next = 0;
    while next < end {
        next = end_of(&mut client, &topic, next).await;
    }
    let directory = broker.directory().copy();
    broker.stop().await;
    let broker = directory.start().await;
    let mut client = broker.connect().await;
    client.wait_for(&topic.name, 1).await;
    assert_eq!(client.produce(&topic, &batch(&["next"])).await, end);
}

/// Reads from an offset on, looks at every record, and returns the offset behind the last.
async fn end_of(client: &mut Client, topic: &Topic, offset: i64) -> i64 {
    let response = client.call(12, &fetch_request(12, topic, &[(0, offset)])).await;
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let mut next = offset;
    for batch in Batches::new(partition.records.unwrap().inline()) {
        let batch = batch.unwrap();
        assert_eq!(batch.base_offset(), next);
        batch.verify_crc().unwrap();
        for record in batch.decompress(1 << 20).unwrap().iter() {
            let record = record.unwrap();
            // As in Kafka, the offsets within a batch are made right only where it is packed.
            assert!(record.offset == next || !batch.is_compressed());
            assert_eq!(record.headers.iter().count(), record.headers.len());
            next += 1;
        }
        assert_eq!(batch.next_offset(), next);
    }
    assert!(next > offset);
    next
}
