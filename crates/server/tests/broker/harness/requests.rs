//! Requests and batches that many tests send.

use protocol::compression::Compression;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{FetchRequest, ProduceRequest};
use protocol::records::{Batches, RecordBatchBuilder, TimestampType};
use protocol::{ApiKey, Records, Writer};

use super::{TIMESTAMP, Topic};

/// A request's header.
pub fn header(api: ApiKey, version: i16, correlation_id: i32, client_id: Option<&str>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i16(api.code());
    writer.i16(version);
    writer.i32(correlation_id);
    match client_id {
        Some(id) => writer.string(id, false).unwrap(),
        None => writer.null_string(false),
    }
    if api.request_header_version(version) >= 2 {
        writer.uvarint(0);
    }
    writer.into_bytes()
}

/// A produce request for one topic.
pub fn produce_request<'a>(
    version: i16,
    acks: i16,
    topic: &'a Topic,
    partitions: &[(i32, &'a [u8])],
) -> ProduceRequest<'a> {
    let partition_data = partitions
        .iter()
        .map(|(index, records)| PartitionProduceData {
            index: *index,
            records: Some(Records::Inline(records)),
        })
        .collect();
    let topic = match version {
        13.. => TopicProduceData { topic_id: topic.id, partition_data, ..TopicProduceData::default() },
        _ => TopicProduceData { name: &topic.name, partition_data, ..TopicProduceData::default() },
    };
    ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// A fetch request for one topic without session: partitions and offsets.
pub fn fetch_request(version: i16, topic: &Topic, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(partition, offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *offset,
            partition_max_bytes: 1024 * 1024,
            ..FetchPartition::default()
        })
        .collect();
    let topic = match version {
        13.. => FetchTopic { topic_id: topic.id, partitions, ..FetchTopic::default() },
        _ => FetchTopic { topic: topic.name.clone(), partitions, ..FetchTopic::default() },
    };
    FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 10 * 1024 * 1024,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

/// A batch with these values, each a millisecond after the one before.
pub fn batch(values: &[&str]) -> Vec<u8> {
    fill(builder(Compression::None), values)
}

/// The same from an idempotent producer.
pub fn producer_batch(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Vec<u8> {
    fill(builder(Compression::None).with_producer(producer_id, epoch, sequence), values)
}

/// A builder of a batch as clients send them.
pub fn builder(compression: Compression) -> RecordBatchBuilder {
    RecordBatchBuilder::new(0, compression, TimestampType::CreateTime)
}

/// Fills a batch.
pub fn fill(mut builder: RecordBatchBuilder, values: &[&str]) -> Vec<u8> {
    for (timestamp, value) in (TIMESTAMP..).zip(values) {
        builder.append(timestamp, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build()
}

/// The values in the batches of an answer.
pub fn values(records: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    for batch in Batches::new(records) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.decompress(64 * 1024 * 1024).unwrap().iter() {
            let value = record.unwrap().value.unwrap_or_default();
            values.push(String::from_utf8(value.to_vec()).unwrap());
        }
    }
    values
}
