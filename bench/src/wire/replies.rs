//! Replies, read to their last byte and checked: a figure only counts if the work behind it was done.

use super::{Malformed, Reader, api, first_flexible, requests::version};

/// Begins a reply: checks the correlation id and passes the header.
pub(super) fn begin(
    frame: &[u8],
    api_key: i16,
    version: i16,
    correlation_id: i32,
) -> Result<Reader<'_>, Malformed> {
    let flexible = version >= first_flexible(api_key);
    let mut r = Reader::new(frame, flexible);
    if r.i32()? != correlation_id {
        return Err(Malformed("correlation id"));
    }
    r.tags()?;
    Ok(r)
}

pub(super) fn end(r: &Reader<'_>) -> Result<(), Malformed> {
    if r.remaining() == 0 { Ok(()) } else { Err(Malformed("bytes after the reply")) }
}

/// ApiVersions v0: the error code and how many APIs there are.
pub fn api_versions(frame: &[u8], correlation_id: i32) -> Result<(i16, usize), Malformed> {
    let mut r = begin(frame, api::API_VERSIONS, version::API_VERSIONS, correlation_id)?;
    let error = r.i16()?;
    let count = r.array()?;
    r.take(count * 6)?;
    end(&r)?;
    Ok((error, count))
}

/// What Metadata says about the cluster and about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    pub brokers: usize,
    /// Error code of the topic that was asked for; `None` if none was.
    pub topic_error: Option<i16>,
    /// Its partitions.
    pub partitions: Vec<PartitionState>,
}

/// What Metadata says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionState {
    pub index: i32,
    /// The leader's id, if there is one, and no error.
    pub leader: Option<i32>,
    /// How many replicas are in sync.
    pub in_sync: usize,
}

impl Metadata {
    /// Partitions that have a leader and no error.
    pub fn partitions_led(&self) -> usize {
        self.partitions.iter().filter(|partition| partition.leader.is_some()).count()
    }
}

/// Metadata v9.
pub fn metadata(frame: &[u8], correlation_id: i32) -> Result<Metadata, Malformed> {
    let mut r = begin(frame, api::METADATA, version::METADATA, correlation_id)?;
    let mut found = Metadata { brokers: 0, topic_error: None, partitions: Vec::new() };
    r.i32()?;
    found.brokers = r.array()?;
    for _ in 0..found.brokers {
        r.i32()?;
        r.string()?;
        r.i32()?;
        r.nullable_string()?;
        r.tags()?;
    }
    r.nullable_string()?;
    r.i32()?;
    for _ in 0..r.array()? {
        found.topic_error = Some(r.i16()?);
        r.string()?;
        r.i8()?;
        for _ in 0..r.array()? {
            let error = r.i16()?;
            let index = r.i32()?;
            let leader = Some(r.i32()?).filter(|leader| error == 0 && *leader >= 0);
            r.i32()?;
            let mut nodes = [0; 3];
            for count in &mut nodes {
                *count = r.array()?;
                r.take(*count * 4)?;
            }
            r.tags()?;
            let [_, in_sync, _] = nodes;
            found.partitions.push(PartitionState { index, leader, in_sync });
        }
        r.i32()?;
        r.tags()?;
    }
    r.i32()?;
    r.tags()?;
    end(&r)?;
    Ok(found)
}

/// CreateTopics v5 for one topic: its error code and message.
pub fn create_topic(frame: &[u8], correlation_id: i32) -> Result<(i16, Option<String>), Malformed> {
    let mut r = begin(frame, api::CREATE_TOPICS, version::CREATE_TOPICS, correlation_id)?;
    r.i32()?;
    if r.array()? != 1 {
        return Err(Malformed("one topic was asked for"));
    }
    r.string()?;
    let error = r.i16()?;
    let message = r.nullable_string()?.map(str::to_owned);
    r.i32()?;
    r.i16()?;
    for _ in 0..r.array()? {
        r.string()?;
        r.nullable_string()?;
        r.take(3)?;
        r.tags()?;
    }
    r.tags()?;
    r.tags()?;
    end(&r)?;
    Ok((error, message))
}

/// DeleteTopics v5 for one topic: its error code.
pub fn delete_topic(frame: &[u8], correlation_id: i32) -> Result<i16, Malformed> {
    let mut r = begin(frame, api::DELETE_TOPICS, version::DELETE_TOPICS, correlation_id)?;
    r.i32()?;
    if r.array()? != 1 {
        return Err(Malformed("one topic was asked for"));
    }
    r.string()?;
    let error = r.i16()?;
    r.nullable_string()?;
    r.tags()?;
    r.tags()?;
    end(&r)?;
    Ok(error)
}

/// Produce v9 of one batch: the error code and the base offset that the batch got.
pub fn produce(frame: &[u8], correlation_id: i32) -> Result<(i16, i64), Malformed> {
    let mut r = begin(frame, api::PRODUCE, version::PRODUCE, correlation_id)?;
    if r.array()? != 1 {
        return Err(Malformed("one topic was produced to"));
    }
    r.string()?;
    if r.array()? != 1 {
        return Err(Malformed("one partition was produced to"));
    }
    r.i32()?;
    let error = r.i16()?;
    let base_offset = r.i64()?;
    r.i64()?;
    r.i64()?;
    for _ in 0..r.array()? {
        r.i32()?;
        r.nullable_string()?;
        r.tags()?;
    }
    r.nullable_string()?;
    r.tags()?;
    r.tags()?;
    r.i32()?;
    r.tags()?;
    end(&r)?;
    Ok((error, base_offset))
}

/// Fetch v12 of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched<'a> {
    pub error: i16,
    pub high_watermark: i64,
    pub records: &'a [u8],
}

/// Fetch v12 of one partition, without a session.
pub fn fetch(frame: &[u8], correlation_id: i32) -> Result<Fetched<'_>, Malformed> {
    let mut r = begin(frame, api::FETCH, version::FETCH, correlation_id)?;
    r.i32()?;
    let error = r.i16()?;
    r.i32()?;
    let topics = r.array()?;
    if error != 0 || topics == 0 {
        return Ok(Fetched { error, high_watermark: -1, records: &[] });
    }
    r.string()?;
    if topics != 1 || r.array()? != 1 {
        return Err(Malformed("one partition was fetched"));
    }
    r.i32()?;
    let error = r.i16()?;
    let high_watermark = r.i64()?;
    r.i64()?;
    r.i64()?;
    for _ in 0..r.array()? {
        r.take(16)?;
        r.tags()?;
    }
    r.i32()?;
    let records = r.nullable_bytes()?.unwrap_or_default();
    r.tags()?;
    r.tags()?;
    r.tags()?;
    end(&r)?;
    Ok(Fetched { error, high_watermark, records })
}

/// ListOffsets v6 of one partition: the error code and the offset.
pub fn list_offsets(frame: &[u8], correlation_id: i32) -> Result<(i16, i64), Malformed> {
    let mut r = begin(frame, api::LIST_OFFSETS, version::LIST_OFFSETS, correlation_id)?;
    r.i32()?;
    if r.array()? != 1 {
        return Err(Malformed("one topic was asked for"));
    }
    r.string()?;
    if r.array()? != 1 {
        return Err(Malformed("one partition was asked for"));
    }
    r.i32()?;
    let error = r.i16()?;
    r.i64()?;
    let offset = r.i64()?;
    r.i32()?;
    r.tags()?;
    r.tags()?;
    r.tags()?;
    end(&r)?;
    Ok((error, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produce_reply() -> Vec<u8> {
        let mut reply = vec![0, 0, 0, 9, 0, 2, 2, b't', 2, 0, 0, 0, 0, 0, 0];
        reply.extend(42i64.to_be_bytes());
        reply.extend((-1i64).to_be_bytes());
        reply.extend(0i64.to_be_bytes());
        reply.extend([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        reply
    }

    #[test]
    fn a_produce_reply_yields_its_offset() {
        assert_eq!(produce(&produce_reply(), 9), Ok((0, 42)));
    }

    #[test]
    fn a_reply_to_another_request_is_refused() {
        assert_eq!(produce(&produce_reply(), 8), Err(Malformed("correlation id")));
    }

    #[test]
    fn cut_or_padded_replies_are_refused() {
        let reply = produce_reply();
        for cut in 0..reply.len() {
            assert!(produce(&reply[..cut], 9).is_err());
        }
        assert!(produce(&[&reply[..], &[0]].concat(), 9).is_err());
    }

    #[test]
    fn a_fetch_reply_yields_its_records() {
        let mut reply = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, b't', 2, 0, 0, 0, 0, 0, 0];
        reply.extend(7i64.to_be_bytes());
        reply.extend(7i64.to_be_bytes());
        reply.extend(0i64.to_be_bytes());
        reply.extend([0, 0xff, 0xff, 0xff, 0xff, 4, 1, 2, 3, 0, 0, 0]);
        assert_eq!(fetch(&reply, 1), Ok(Fetched { error: 0, high_watermark: 7, records: &[1, 2, 3] }));
    }
}
