//! Prebuilt request frames, in versions that Apache Kafka 4, milena and the floor server all take.
//! Each frame has its length in front; only the correlation id changes between sends.

use super::{Writer, api, first_flexible};

/// Versions of the requests sent. Names, not topic ids: one frame then serves every system.
pub mod version {
    pub const PRODUCE: i16 = 9;
    pub const FETCH: i16 = 12;
    pub const LIST_OFFSETS: i16 = 6;
    pub const METADATA: i16 = 9;
    pub const API_VERSIONS: i16 = 0;
    pub const CREATE_TOPICS: i16 = 5;
    pub const DELETE_TOPICS: i16 = 5;
}

const CLIENT_ID: &str = "bench";
const CORRELATION_ID: std::ops::Range<usize> = 8..12;

/// Sets the correlation id of a prebuilt frame.
pub fn set_correlation_id(frame: &mut [u8], correlation_id: i32) {
    frame[CORRELATION_ID].copy_from_slice(&correlation_id.to_be_bytes());
}

pub(super) fn frame(api_key: i16, version: i16, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let flexible = version >= first_flexible(api_key);
    let mut out = vec![0; 4];
    let mut w = Writer::new(&mut out, false);
    w.i16(api_key);
    w.i16(version);
    w.i32(0);
    // The client id keeps its two-byte length in header version 2 as well.
    w.string(CLIENT_ID);
    let mut w = Writer::new(&mut out, flexible);
    w.tags();
    body(&mut w);
    let length = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// ApiVersions v0: the request that every broker answers, whatever else it can.
pub fn api_versions() -> Vec<u8> {
    frame(api::API_VERSIONS, version::API_VERSIONS, |_| {})
}

/// Metadata of one topic, or of the cluster alone. Never creates a topic.
pub fn metadata(topic: Option<&str>) -> Vec<u8> {
    frame(api::METADATA, version::METADATA, |w| {
        w.array(topic.iter().len());
        if let Some(topic) = topic {
            w.string(topic);
            w.tags();
        }
        w.bool(false);
        w.bool(false);
        w.bool(false);
        w.tags();
    })
}

/// Metadata of all topics.
pub fn metadata_of_all() -> Vec<u8> {
    frame(api::METADATA, version::METADATA, |w| {
        w.null_array();
        w.bool(false);
        w.bool(false);
        w.bool(false);
        w.tags();
    })
}

/// CreateTopics for one topic.
pub fn create_topic(topic: &str, partitions: i32, replicas: i16, configs: &[(&str, &str)]) -> Vec<u8> {
    frame(api::CREATE_TOPICS, version::CREATE_TOPICS, |w| {
        w.array(1);
        w.string(topic);
        w.i32(partitions);
        w.i16(replicas);
        w.array(0);
        w.array(configs.len());
        for (name, value) in configs {
            w.string(name);
            w.nullable_string(Some(value));
            w.tags();
        }
        w.tags();
        w.i32(30_000);
        w.bool(false);
        w.tags();
    })
}

/// DeleteTopics for one topic.
pub fn delete_topic(topic: &str) -> Vec<u8> {
    frame(api::DELETE_TOPICS, version::DELETE_TOPICS, |w| {
        w.array(1);
        w.string(topic);
        w.i32(30_000);
        w.tags();
    })
}

/// Produce of one batch to one partition.
pub fn produce(topic: &str, partition: i32, acks: i16, batch: &[u8]) -> Vec<u8> {
    frame(api::PRODUCE, version::PRODUCE, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(30_000);
        w.array(1);
        w.string(topic);
        w.array(1);
        w.i32(partition);
        w.bytes_length(batch.len());
        w.raw(batch);
        w.tags();
        w.tags();
        w.tags();
    })
}

/// How a Fetch waits and how much it takes.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
}

/// Fetch of one partition, without a session.
pub fn fetch(topic: &str, partition: i32, offset: i64, limits: FetchLimits) -> Vec<u8> {
    fetch_partitions(topic, partition..partition + 1, offset, limits)
}

/// Fetch of a topic's partitions from the same offset, without a session.
pub fn fetch_partitions(
    topic: &str,
    partitions: std::ops::Range<i32>,
    offset: i64,
    limits: FetchLimits,
) -> Vec<u8> {
    frame(api::FETCH, version::FETCH, |w| {
        w.i32(-1);
        w.i32(limits.max_wait_ms);
        w.i32(limits.min_bytes);
        w.i32(limits.max_bytes);
        w.i8(0);
        w.i32(0);
        w.i32(-1);
        w.array(1);
        w.string(topic);
        w.array(partitions.len());
        for partition in partitions {
            w.i32(partition);
            w.i32(-1);
            w.i64(offset);
            w.i32(-1);
            w.i64(-1);
            w.i32(limits.max_bytes);
            w.tags();
        }
        w.tags();
        w.array(0);
        w.string("");
        w.tags();
    })
}

/// ListOffsets of one partition: -1 is the latest offset, -2 the earliest.
pub fn list_offsets(topic: &str, partition: i32, timestamp: i64) -> Vec<u8> {
    frame(api::LIST_OFFSETS, version::LIST_OFFSETS, |w| {
        w.i32(-1);
        w.i8(0);
        w.array(1);
        w.string(topic);
        w.array(1);
        w.i32(partition);
        w.i32(-1);
        w.i64(timestamp);
        w.tags();
        w.tags();
        w.tags();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_v0_is_the_plainest_frame() {
        let mut frame = api_versions();
        set_correlation_id(&mut frame, 0x0102_0304);
        assert_eq!(frame, [&[0, 0, 0, 15, 0, 18, 0, 0, 1, 2, 3, 4, 0, 5][..], b"bench"].concat());
    }

    #[test]
    fn metadata_v9_of_one_topic() {
        let expected =
            [&[0, 0, 0, 23, 0, 3, 0, 9, 0, 0, 0, 0, 0, 5][..], b"bench", &[0, 2, 2, b't', 0, 0, 0, 0, 0]];
        let frame = metadata(Some("t"));
        assert_eq!(frame[4..], expected.concat()[4..]);
        assert_eq!(frame[..4], ((frame.len() - 4) as i32).to_be_bytes());
    }

    #[test]
    fn produce_v9_holds_the_batch_as_it_is() {
        let frame = produce("t", 3, -1, b"batch");
        let expected = [
            &[0, 0, 9, 0, 0, 0, 0, 0, 5][..],
            b"bench",
            &[0, 0, 0xff, 0xff, 0, 0, 0x75, 0x30, 2, 2, b't', 2, 0, 0, 0, 3, 6],
            b"batch",
            &[0, 0, 0],
        ]
        .concat();
        assert_eq!(frame[5..], expected);
    }

    #[test]
    fn every_frame_counts_its_own_bytes() {
        let limits = FetchLimits { max_wait_ms: 1, min_bytes: 1, max_bytes: 1 };
        for frame in [
            fetch("topic", 0, 1, limits),
            list_offsets("topic", 0, -1),
            create_topic("topic", 1, 1, &[("flush.messages", "1")]),
            delete_topic("topic"),
            metadata(None),
        ] {
            assert_eq!(frame[..4], ((frame.len() - 4) as i32).to_be_bytes());
        }
    }
}
