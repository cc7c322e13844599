//! The floor server's other requests: what the generator and librdkafka need to begin, not a broker's worth.

use super::Floor;
use crate::{
    Result,
    wire::{Reader, Writer, api, error_code},
};

/// API key, first and last version answered.
pub const APIS: [(i16, i16, i16); 8] = [
    (api::PRODUCE, 3, 9),
    (api::FETCH, 4, 12),
    (api::LIST_OFFSETS, 1, 6),
    (api::METADATA, 0, 9),
    (api::API_VERSIONS, 0, 3),
    (api::CREATE_TOPICS, 2, 5),
    (api::DELETE_TOPICS, 1, 5),
    (api::INIT_PRODUCER_ID, 0, 4),
];

const NODE_ID: i32 = 1;

pub fn list_offsets(floor: &Floor, mut r: Reader<'_>, version: i16, w: &mut Writer<'_>) -> Result<()> {
    r.i32()?;
    r.take(usize::from(version >= 2))?;
    if version >= 2 {
        w.i32(0);
    }
    let topics = r.array()?;
    w.array(topics);
    for _ in 0..topics {
        let name = r.string()?;
        let partitions = r.array()?;
        w.string(name);
        w.array(partitions);
        for _ in 0..partitions {
            let index = r.i32()?;
            r.take(if version >= 4 { 4 } else { 0 })?;
            let timestamp = r.i64()?;
            r.tags()?;
            let partition = floor.partition(name, index);
            w.i32(index);
            w.i16(if partition.is_some() {
                error_code::NONE
            } else {
                error_code::UNKNOWN_TOPIC_OR_PARTITION
            });
            w.i64(-1);
            // -2 asks for the earliest offset, -1 for the latest; times are not looked up here.
            w.i64(if timestamp == -2 { 0 } else { partition.map_or(-1, |partition| partition.end_offset()) });
            if version >= 4 {
                w.i32(0);
            }
            w.tags();
        }
        r.tags()?;
        w.tags();
    }
    w.tags();
    Ok(())
}

pub fn metadata(floor: &Floor, mut r: Reader<'_>, version: i16, w: &mut Writer<'_>) -> Result<()> {
    let asked = r.nullable_array()?;
    let mut names = Vec::new();
    for _ in 0..asked.unwrap_or(0) {
        names.push(r.string()?.to_owned());
        r.tags()?;
    }
    let may_create = version < 4 || r.i8()? != 0;
    if asked.is_none() || (version == 0 && names.is_empty()) {
        let topics = floor.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        names = topics.keys().cloned().collect();
    }
    if version >= 3 {
        w.i32(0);
    }
    w.array(1);
    w.i32(NODE_ID);
    w.string(&floor.address.ip().to_string());
    w.i32(i32::from(floor.address.port()));
    if version >= 1 {
        w.nullable_string(None);
    }
    w.tags();
    if version >= 2 {
        w.nullable_string(Some("floor"));
    }
    if version >= 1 {
        w.i32(NODE_ID);
    }
    w.array(names.len());
    for name in &names {
        if may_create && floor.partition(name, 0).is_none() {
            floor.create_topic(name, 1, false)?;
        }
        let topics = floor.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let partitions = topics.get(name).map(|topic| topic.partitions.len());
        w.i16(if partitions.is_some() { error_code::NONE } else { error_code::UNKNOWN_TOPIC_OR_PARTITION });
        w.string(name);
        if version >= 1 {
            w.bool(false);
        }
        w.array(partitions.unwrap_or(0));
        for index in 0..partitions.unwrap_or(0) {
            w.i16(error_code::NONE);
            w.i32(index as i32);
            w.i32(NODE_ID);
            if version >= 7 {
                w.i32(0);
            }
            for _ in 0..2 {
                w.array(1);
                w.i32(NODE_ID);
            }
            if version >= 5 {
                w.array(0);
            }
            w.tags();
        }
        if version >= 8 {
            w.i32(i32::MIN);
        }
        w.tags();
    }
    if version >= 8 {
        w.i32(i32::MIN);
    }
    w.tags();
    Ok(())
}

pub fn api_versions(version: i16, error: i16, w: &mut Writer<'_>) {
    w.i16(error);
    w.array(APIS.len());
    for (key, first, last) in APIS {
        w.i16(key);
        w.i16(first);
        w.i16(last);
        w.tags();
    }
    if version >= 1 {
        w.i32(0);
    }
    w.tags();
}

pub fn create_topics(floor: &Floor, mut r: Reader<'_>, version: i16, w: &mut Writer<'_>) -> Result<()> {
    let topics = r.array()?;
    w.i32(0);
    w.array(topics);
    for _ in 0..topics {
        let name = r.string()?;
        let partitions = r.i32()?;
        r.i16()?;
        for _ in 0..r.array()? {
            r.i32()?;
            let brokers = r.array()?;
            r.take(brokers * 4)?;
            r.tags()?;
        }
        let mut synced = false;
        for _ in 0..r.array()? {
            let config = (r.string()?, r.nullable_string()?);
            r.tags()?;
            synced |= config == ("flush.messages", Some("1"));
        }
        r.tags()?;
        let partitions = usize::try_from(partitions).unwrap_or(1).clamp(1, 10_000);
        let new = floor.create_topic(name, partitions, synced)?;
        w.string(name);
        w.i16(if new { error_code::NONE } else { error_code::TOPIC_ALREADY_EXISTS });
        w.nullable_string(None);
        if version >= 5 {
            w.i32(partitions as i32);
            w.i16(1);
            w.array(0);
        }
        w.tags();
    }
    w.tags();
    Ok(())
}

pub fn delete_topics(floor: &Floor, mut r: Reader<'_>, version: i16, w: &mut Writer<'_>) -> Result<()> {
    let topics = r.array()?;
    w.i32(0);
    w.array(topics);
    for _ in 0..topics {
        let name = r.string()?;
        let known = floor.delete_topic(name);
        w.string(name);
        w.i16(if known { error_code::NONE } else { error_code::UNKNOWN_TOPIC_OR_PARTITION });
        if version >= 5 {
            w.nullable_string(None);
        }
        w.tags();
    }
    w.tags();
    Ok(())
}

pub fn init_producer_id(w: &mut Writer<'_>) {
    use std::sync::atomic::{AtomicI64, Ordering};
    static NEXT: AtomicI64 = AtomicI64::new(0);
    w.i32(0);
    w.i16(error_code::NONE);
    w.i64(NEXT.fetch_add(1, Ordering::Relaxed));
    w.i16(0);
    w.tags();
}
