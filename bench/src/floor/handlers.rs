//! Produce and Fetch of the floor server, and the way to all its requests.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{Floor, admin, connection::Outgoing, partition::Partition};
use crate::{
    Failure, Result,
    wire::{Reader, Writer, api, batch, error_code, first_flexible},
};

/// Answers one frame (without its length) into `outgoing`.
pub fn handle(floor: &Floor, frame: &mut [u8], outgoing: &mut Outgoing) -> Result<()> {
    let mut r = Reader::new(frame, false);
    let (api_key, version, correlation_id) = (r.i16()?, r.i16()?, r.i32()?);
    let known =
        admin::APIS.iter().any(|(key, first, last)| *key == api_key && (*first..=*last).contains(&version));
    if !known && api_key != api::API_VERSIONS {
        return Err(Failure::new(format!("API {api_key} version {version} is not answered here")));
    }
    let flexible = version >= first_flexible(api_key);
    r.nullable_string()?;
    r.flexible = flexible;
    if api_key == api::FETCH {
        // It may wait: what was answered before it must not.
        outgoing.flush()?;
    }
    let begin = outgoing.replies.len();
    outgoing.replies.extend_from_slice(&[0; 4]);
    outgoing.replies.extend_from_slice(&correlation_id.to_be_bytes());
    if !known {
        admin::api_versions(
            0,
            error_code::UNSUPPORTED_VERSION,
            &mut Writer::new(&mut outgoing.replies, false),
        );
        finish(outgoing, begin, 0);
        return Ok(());
    }
    r.tags()?;
    // The reply's header has tagged fields where the message is flexible, except that of ApiVersions (KIP-511).
    if api_key != api::API_VERSIONS {
        Writer::new(&mut outgoing.replies, flexible).tags();
    }
    let mut spliced = 0;
    match api_key {
        api::PRODUCE => {
            let at = r.position();
            if !produce(floor, frame, at, version, outgoing)? {
                outgoing.replies.truncate(begin);
                return Ok(());
            }
        }
        api::FETCH => spliced = fetch(floor, r, version, outgoing)?,
        api::LIST_OFFSETS => {
            admin::list_offsets(floor, r, version, &mut Writer::new(&mut outgoing.replies, flexible))?
        }
        api::METADATA => {
            admin::metadata(floor, r, version, &mut Writer::new(&mut outgoing.replies, flexible))?
        }
        api::CREATE_TOPICS => {
            admin::create_topics(floor, r, version, &mut Writer::new(&mut outgoing.replies, flexible))?
        }
        api::DELETE_TOPICS => {
            admin::delete_topics(floor, r, version, &mut Writer::new(&mut outgoing.replies, flexible))?
        }
        api::INIT_PRODUCER_ID => admin::init_producer_id(&mut Writer::new(&mut outgoing.replies, flexible)),
        _ => {
            admin::api_versions(version, error_code::NONE, &mut Writer::new(&mut outgoing.replies, flexible))
        }
    }
    finish(outgoing, begin, spliced);
    Ok(())
}

/// Sets the length of the reply that begins at `begin`; `spliced` bytes of it come from files.
fn finish(outgoing: &mut Outgoing, begin: usize, spliced: usize) {
    let length = (outgoing.replies.len() - begin - 4 + spliced) as u32;
    outgoing.replies[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
}

/// Whether there is anything to answer: `acks=0` wants nothing.
///
/// Batches are patched in the frame itself, so no reader over the frame lives across an append: each step reads on
/// from a position.
fn produce(
    floor: &Floor,
    frame: &mut [u8],
    begin: usize,
    version: i16,
    outgoing: &mut Outgoing,
) -> Result<bool> {
    let flexible = version >= first_flexible(api::PRODUCE);
    let replies = &mut outgoing.replies;
    let mut r = Reader::at(frame, begin, flexible);
    r.nullable_string()?;
    let acks = r.i16()?;
    r.i32()?;
    let topics = r.array()?;
    let mut at = r.position();
    Writer::new(replies, flexible).array(topics);
    for _ in 0..topics {
        let topic_at = at;
        let mut r = Reader::at(frame, at, flexible);
        let topic = r.string()?;
        let partitions = r.array()?;
        at = r.position();
        let mut w = Writer::new(replies, flexible);
        w.string(topic);
        w.array(partitions);
        for _ in 0..partitions {
            let topic = Reader::at(frame, topic_at, flexible).string()?;
            let mut r = Reader::at(frame, at, flexible);
            let index = r.i32()?;
            let length = r.nullable_bytes()?.unwrap_or_default().len();
            let end = r.position();
            r.tags()?;
            at = r.position();
            let partition = floor.partition(topic, index);
            let (error, base_offset) = append(partition, &mut frame[end - length..end])?;
            let mut w = Writer::new(replies, flexible);
            w.i32(index);
            w.i16(error);
            w.i64(base_offset);
            w.i64(-1);
            if version >= 5 {
                w.i64(0);
            }
            if version >= 8 {
                w.array(0);
                w.nullable_string(None);
            }
            w.tags();
        }
        let mut r = Reader::at(frame, at, flexible);
        r.tags()?;
        at = r.position();
        Writer::new(replies, flexible).tags();
    }
    let mut w = Writer::new(replies, flexible);
    w.i32(0);
    w.tags();
    Ok(acks != 0)
}

/// Appends every batch of a partition's records: the error code and the base offset of the first.
fn append(partition: Option<Arc<Partition>>, mut records: &mut [u8]) -> Result<(i16, i64)> {
    let Some(partition) = partition else { return Ok((error_code::UNKNOWN_TOPIC_OR_PARTITION, -1)) };
    let mut base_offset = None;
    while !records.is_empty() {
        let Ok(Some(info)) = batch::first(records) else { return Ok((error_code::CORRUPT_MESSAGE, -1)) };
        let (batch, rest) = records.split_at_mut(info.size);
        base_offset = base_offset.or(Some(partition.append(batch, info)?));
        records = rest;
    }
    Ok(base_offset.map_or((error_code::CORRUPT_MESSAGE, -1), |offset| (error_code::NONE, offset)))
}

/// One partition of a Fetch.
struct Wanted {
    topic: usize,
    index: i32,
    offset: i64,
    max_bytes: usize,
    partition: Option<Arc<Partition>>,
}

/// Returns how many bytes of the reply come from files.
fn fetch(floor: &Floor, mut r: Reader<'_>, version: i16, outgoing: &mut Outgoing) -> Result<usize> {
    r.i32()?;
    let max_wait = Duration::from_millis(u64::try_from(r.i32()?).unwrap_or(0));
    let min_bytes = usize::try_from(r.i32()?).unwrap_or(0);
    let max_bytes = usize::try_from(r.i32()?).unwrap_or(0);
    r.i8()?;
    if version >= 7 {
        r.take(8)?;
    }
    let mut topics = Vec::new();
    let mut wanted = Vec::new();
    for topic in 0..r.array()? {
        let name = r.string()?;
        topics.push(name);
        for _ in 0..r.array()? {
            let index = r.i32()?;
            r.take(if version >= 9 { 4 } else { 0 })?;
            let offset = r.i64()?;
            r.take(if version >= 12 { 4 } else { 0 })?;
            r.take(if version >= 5 { 8 } else { 0 })?;
            let max_bytes = usize::try_from(r.i32()?).unwrap_or(0);
            r.tags()?;
            wanted.push(Wanted { topic, index, offset, max_bytes, partition: floor.partition(name, index) });
        }
        r.tags()?;
    }
    wait_for(&wanted, min_bytes, max_wait);

    let flexible = version >= first_flexible(api::FETCH);
    let mut left = max_bytes;
    let mut spliced = 0;
    let mut w = Writer::new(&mut outgoing.replies, flexible);
    w.i32(0);
    if version >= 7 {
        w.i16(0);
        w.i32(0);
    }
    w.array(topics.len());
    for (topic, name) in topics.iter().enumerate() {
        let mine = || wanted.iter().filter(|wanted| wanted.topic == topic);
        let mut w = Writer::new(&mut outgoing.replies, flexible);
        w.string(name);
        w.array(mine().count());
        for wanted in mine() {
            let limit = wanted.max_bytes.min(left);
            let partition = wanted.partition.as_ref();
            let span = partition.and_then(|partition| partition.span(wanted.offset, limit));
            let error = match (partition, span) {
                (None, _) => error_code::UNKNOWN_TOPIC_OR_PARTITION,
                (_, None) => error_code::OFFSET_OUT_OF_RANGE,
                _ => error_code::NONE,
            };
            let end_offset = span.map_or(-1, |span| span.end_offset);
            let mut w = Writer::new(&mut outgoing.replies, flexible);
            w.i32(wanted.index);
            w.i16(error);
            w.i64(end_offset);
            w.i64(end_offset);
            if version >= 5 {
                w.i64(0);
            }
            w.array(0);
            if version >= 11 {
                w.i32(-1);
            }
            // Only the first partition may pass the limit of the whole reply (KIP-74).
            let span = span.filter(|span| spliced == 0 || span.length <= left);
            let length = span.map_or(0, |span| span.length);
            w.bytes_length(length);
            if let (Some(partition), Some(span)) = (partition, span) {
                outgoing.splice(Arc::clone(partition), span.position, length);
                spliced += length;
                left = left.saturating_sub(length);
            }
            Writer::new(&mut outgoing.replies, flexible).tags();
        }
        Writer::new(&mut outgoing.replies, flexible).tags();
    }
    Writer::new(&mut outgoing.replies, flexible).tags();
    Ok(spliced)
}

/// Waits until at least `min_bytes` are there, or `max_wait` is over.
fn wait_for(wanted: &[Wanted], min_bytes: usize, max_wait: Duration) {
    let enough = || {
        let mut found = 0;
        for wanted in wanted {
            match wanted
                .partition
                .as_ref()
                .and_then(|partition| partition.span(wanted.offset, wanted.max_bytes))
            {
                Some(span) => found += span.length,
                None => return true,
            }
        }
        found >= min_bytes
    };
    if enough() {
        return;
    }
    let deadline = Instant::now() + max_wait;
    let partitions = || wanted.iter().filter_map(|wanted| wanted.partition.as_ref());
    loop {
        partitions().for_each(|partition| partition.wait());
        let now = Instant::now();
        let done = enough() || now >= deadline;
        if !done {
            thread::park_timeout(deadline - now);
        }
        partitions().for_each(|partition| partition.wait_no_more());
        if done {
            return;
        }
    }
}
