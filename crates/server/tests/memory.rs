//! Memory stays bounded whatever clients claim and send. A program of its own, because it looks at that of its process.

#![cfg(target_os = "linux")]

#[path = "broker/harness/mod.rs"]
#[allow(dead_code, reason = "the other program uses the rest")]
mod harness;

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::messages::{ApiVersionsRequest, MetadataRequest};
use tokio::io::AsyncWriteExt;

use harness::{Broker, TIMESTAMP, Topic, batch, builder, error, fetch_request, produce_request};

const MIB: u64 = 1024 * 1024;

/// The largest memory of this process since the last [`forget_peak`], in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn forget_peak() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

/// By how much the peak is above what it was. The kernel counts pages by thread and adds them up now and then, so that a peak can also
/// turn out lower.
fn grown_since(before: u64) -> u64 {
    peak().saturating_sub(before)
}

/// One test, so that no other runs beside it; with three threads, as on two cores: each keeps a buffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_clients_claim_takes_no_memory() {
    let Some(broker) = Broker::start_with(&[]).await else { return };
    frames_that_are_only_announced(&broker).await;
    answers_that_nobody_reads(&broker).await;
    batches_that_grow(&broker).await;
    batches_that_are_packed_anew(&broker).await;
    one_byte_each(&broker).await;
    fetches_that_nobody_reads(&broker).await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("alive", 1, &[]).await;
    client.produce(&topic, &batch(&["a"])).await;
    requests_that_come_together().await;
}

async fn one_byte_each(broker: &Broker) {
    const CLIENTS: usize = 1_500;
    let before = forget_peak();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = broker.connect().await;
        client.send_raw(&[0]).await;
        clients.push(client);
    }
    let mut other = broker.connect().await;
    other.call(0, &ApiVersionsRequest::default()).await;
    // Both sides of each connection are in this process.
    let each = grown_since(before) / CLIENTS as u64;
    assert!(each < 14 * 1024, "{each} bytes for each connection");
    // And what was begun is taken when it goes on.
    let mut client = clients.swap_remove(700);
    let frame = client.frame(0, &ApiVersionsRequest::default());
    client.send_raw(&(frame.len() as u32).to_be_bytes()[1..]).await;
    client.send_raw(&frame).await;
    assert_eq!(client.receive::<ApiVersionsRequest>(0).await.error_code, 0);
}

/// A gigabyte asked for at once, of a thousand partitions, by clients that do not read.
async fn fetches_that_nobody_reads(broker: &Broker) {
    const PARTITIONS: i32 = 1_000;
    let mut client = broker.connect().await;
    let topic = client.create_topic("wide", PARTITIONS, &[]).await;
    let mut builder = builder(Compression::None);
    builder.append(TIMESTAMP, None, Some(&[7; 30_000]), &[]).unwrap();
    let records = builder.build();
    for partition in 0..PARTITIONS {
        client.send(11, &produce_request(11, 1, &topic, &[(partition, &records)])).await;
        if partition % 100 == 99 {
            for _ in 0..100 {
                client.receive_frame().await.expect("an answer");
            }
        }
    }
    let offsets: Vec<(i32, i64)> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let mut request = fetch_request(12, &topic, &offsets);
    request.max_bytes = 1 << 30;
    let before = forget_peak();
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let mut client = broker.connect().await;
        for _ in 0..3 {
            client.send(12, &request).await;
        }
        // One whose acknowledgements nobody reads.
        for _ in 0..100 {
            client.send(11, &produce_request(11, 1, &topic, &[(0, &records[..])])).await;
        }
        deaf.push(client);
    }
    client.call(0, &ApiVersionsRequest::default()).await;
    let grown = grown_since(before);
    assert!(grown < 50 * MIB, "{} MiB", grown / MIB);
}

/// `queued.max.request.bytes`: many large requests at once hold no more than that and one request, all are served, and others too.
async fn requests_that_come_together() {
    const REQUEST: u64 = 8 * MIB;
    let settings = [("socket.request.max.bytes", "9000000"), ("queued.max.request.bytes", "20000000")];
    let Some(broker) = Broker::start_with(&settings).await else { return };
    let mut bystander = broker.connect().await;
    let nowhere = Topic { name: "nowhere".to_owned(), id: common::Uuid::ZERO };
    let zeros = vec![0; REQUEST as usize];
    let request = produce_request(9, 1, &nowhere, &[(0, &zeros)]);
    let mut frame = bystander.frame(9, &request);
    frame.splice(..0, (frame.len() as u32).to_be_bytes());
    let frame = std::sync::Arc::new(frame);
    drop(request);
    drop(zeros);
    let before = forget_peak();
    let mut senders = Vec::new();
    for _ in 0..40 {
        let (mut client, frame) = (broker.connect().await, std::sync::Arc::clone(&frame));
        senders.push(tokio::spawn(async move {
            client.send_raw(&frame).await;
            client.receive_frame().await.is_some()
        }));
    }
    for _ in 0..20 {
        bystander.call(0, &ApiVersionsRequest::default()).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for sender in senders {
        assert!(sender.await.unwrap(), "a request had no answer");
    }
    // A buffer that grows is there twice for a moment.
    let grown = grown_since(before);
    assert!(grown < 20 * MIB + 3 * REQUEST, "{} MiB", grown / MIB);
}

async fn frames_that_are_only_announced(broker: &Broker) {
    let before = forget_peak();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = broker.connect().await;
        client.send_raw(&(100 * 1024 * 1024i32).to_be_bytes()).await;
        client.send_raw(&[0; 1000]).await;
        clients.push(client);
    }
    let mut other = broker.connect().await;
    other.call(0, &ApiVersionsRequest::default()).await;
    let grown = grown_since(before);
    assert!(grown < 50 * MIB, "{} MiB", grown / MIB);
}

async fn answers_that_nobody_reads(broker: &Broker) {
    let mut client = broker.connect().await;
    client.create_topic("described", 500, &[]).await;
    let frame = client.frame(9, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    let before = forget_peak();
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let mut stream = tokio::net::TcpStream::connect(broker.address).await.unwrap();
        // As many as the broker takes before it waits for a reader, at most a hundred MiB of answers.
        for _ in 0..4000 {
            let sent = tokio::time::timeout(std::time::Duration::from_millis(20), stream.write_all(&bytes));
            if sent.await.is_err() {
                break;
            }
        }
        deaf.push(stream);
    }
    client.call(0, &ApiVersionsRequest::default()).await;
    let grown = grown_since(before);
    assert!(grown < 50 * MIB, "{} MiB", grown / MIB);
}

async fn batches_that_grow(broker: &Broker) {
    let mut client = broker.connect().await;
    let topic = client.create_topic("bombs", 1, &[]).await;
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        // Snappy packs at most to a twentieth.
        let size = if codec == Compression::Snappy { 15 * MIB } else { 100 * MIB };
        let mut builder = builder(codec);
        builder.append(TIMESTAMP, None, Some(&vec![0; size as usize]), &[]).unwrap();
        let bomb = builder.build();
        let before = forget_peak();
        let response = client.produce_as(11, -1, &topic, 0, &bomb).await;
        let grown = grown_since(before);
        assert_eq!(error(response.error_code), ErrorCode::None);
        assert!(grown < 50 * MIB, "{}: {} MiB", codec.name(), grown / MIB);
    }
}

/// Where the topic has its own codec, the records are held in memory, up to a limit.
async fn batches_that_are_packed_anew(broker: &Broker) {
    let mut client = broker.connect().await;
    let topic = client.create_topic("anew", 1, &[("compression.type", "uncompressed")]).await;
    for (mib, expected) in [(20, ErrorCode::MessageTooLarge), (300, ErrorCode::InvalidRecord)] {
        let mut builder = builder(Compression::Zstd);
        builder.append(TIMESTAMP, None, Some(&vec![0; (mib * MIB) as usize]), &[]).unwrap();
        let bomb = builder.build();
        let before = forget_peak();
        let response = client.produce_as(11, -1, &topic, 0, &bomb).await;
        let grown = grown_since(before);
        assert_eq!(error(response.error_code), expected);
        assert!(grown < 300 * MIB, "{mib} MiB: {} MiB", grown / MIB);
    }
}
