//! Requests of consumer groups and their replies: the coordinator, the heartbeat of KIP-848, committed offsets.

use super::{
    Malformed, Reader, api, error_code,
    replies::{begin, end},
    requests::frame,
};

/// Versions of the requests sent: names, not topic ids, except where KIP-848 has only ids.
mod version {
    pub const FIND_COORDINATOR: i16 = 3;
    pub const CONSUMER_GROUP_HEARTBEAT: i16 = 1;
    pub const OFFSET_COMMIT: i16 = 8;
    pub const OFFSET_FETCH: i16 = 7;
}

/// A topic id.
pub type TopicId = [u8; 16];
/// Partitions by topic, as a member owns them or is assigned them.
pub type Partitions = Vec<(TopicId, Vec<i32>)>;

/// Whether a coordinator answered that it is not there yet, so that the request is to be sent again.
pub fn is_retriable(error: i16) -> bool {
    use error_code::{COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR};
    [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR].contains(&error)
}

/// FindCoordinator of one group.
pub fn find_coordinator(group: &str) -> Vec<u8> {
    frame(api::FIND_COORDINATOR, version::FIND_COORDINATOR, |w| {
        w.string(group);
        w.i8(0);
        w.tags();
    })
}

/// FindCoordinator v3: the error code.
pub fn found_coordinator(frame: &[u8], correlation_id: i32) -> Result<i16, Malformed> {
    let mut r = begin(frame, api::FIND_COORDINATOR, version::FIND_COORDINATOR, correlation_id)?;
    r.i32()?;
    let error = r.i16()?;
    r.nullable_string()?;
    r.i32()?;
    r.string()?;
    r.i32()?;
    r.tags()?;
    end(&r)?;
    Ok(error)
}

/// What a member says of itself in a heartbeat. What has not changed since the last one is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heartbeat<'a> {
    pub group: &'a str,
    pub member: &'a str,
    /// 0 to join, -1 to leave.
    pub epoch: i32,
    /// The topic subscribed to: said by a member that joins.
    pub subscription: Option<&'a str>,
    /// What it has.
    pub owned: Option<&'a [(TopicId, Vec<i32>)]>,
}

/// ConsumerGroupHeartbeat.
pub fn heartbeat(said: Heartbeat<'_>) -> Vec<u8> {
    frame(api::CONSUMER_GROUP_HEARTBEAT, version::CONSUMER_GROUP_HEARTBEAT, |w| {
        w.string(said.group);
        w.string(said.member);
        w.i32(said.epoch);
        w.nullable_string(None);
        w.nullable_string(None);
        w.i32(if said.subscription.is_some() { 60_000 } else { -1 });
        match said.subscription {
            Some(topic) => {
                w.array(1);
                w.string(topic);
            }
            None => w.null_array(),
        }
        w.nullable_string(None);
        w.nullable_string(None);
        match said.owned {
            Some(topics) => {
                w.array(topics.len());
                for (id, partitions) in topics {
                    w.raw(id);
                    w.array(partitions.len());
                    partitions.iter().for_each(|partition| w.i32(*partition));
                    w.tags();
                }
            }
            None => w.null_array(),
        }
        w.tags();
    })
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatReply {
    pub error: i16,
    pub message: Option<String>,
    pub epoch: i32,
    pub interval_ms: i32,
    /// What the member should have; `None` if it is as before.
    pub assignment: Option<Partitions>,
}

/// ConsumerGroupHeartbeat v1.
pub fn heartbeat_reply(frame: &[u8], correlation_id: i32) -> Result<HeartbeatReply, Malformed> {
    let mut r =
        begin(frame, api::CONSUMER_GROUP_HEARTBEAT, version::CONSUMER_GROUP_HEARTBEAT, correlation_id)?;
    r.i32()?;
    let error = r.i16()?;
    let message = r.nullable_string()?.map(str::to_owned);
    r.nullable_string()?;
    let epoch = r.i32()?;
    let interval_ms = r.i32()?;
    // A nullable structure has a byte in front: -1 for null.
    let assignment = if r.i8()? < 0 { None } else { Some(assignment(&mut r)?) };
    r.tags()?;
    end(&r)?;
    Ok(HeartbeatReply { error, message, epoch, interval_ms, assignment })
}

fn assignment(r: &mut Reader<'_>) -> Result<Partitions, Malformed> {
    let count = r.array()?;
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let id = r.take(16)?.try_into().map_err(|_| Malformed("topic id"))?;
        let partitions = (0..r.array()?).map(|_| r.i32()).collect::<Result<_, _>>()?;
        r.tags()?;
        topics.push((id, partitions));
    }
    r.tags()?;
    Ok(topics)
}

/// OffsetCommit, outside any membership, of one offset for each of the first partitions of a topic.
pub fn commit(group: &str, topic: &str, partitions: i32, offset: i64) -> Vec<u8> {
    frame(api::OFFSET_COMMIT, version::OFFSET_COMMIT, |w| {
        w.string(group);
        w.i32(-1);
        w.string("");
        w.nullable_string(None);
        w.array(1);
        w.string(topic);
        w.array(partitions as usize);
        for partition in 0..partitions {
            w.i32(partition);
            w.i64(offset);
            w.i32(-1);
            w.nullable_string(Some(""));
            w.tags();
        }
        w.tags();
        w.tags();
    })
}

/// OffsetCommit v8: how many offsets were taken, and the first error code.
pub fn committed(frame: &[u8], correlation_id: i32) -> Result<(usize, i16), Malformed> {
    let mut r = begin(frame, api::OFFSET_COMMIT, version::OFFSET_COMMIT, correlation_id)?;
    r.i32()?;
    let (mut count, mut first_error) = (0, error_code::NONE);
    for _ in 0..r.array()? {
        r.string()?;
        for _ in 0..r.array()? {
            r.i32()?;
            let error = r.i16()?;
            r.tags()?;
            count += usize::from(error == error_code::NONE);
            if first_error == error_code::NONE {
                first_error = error;
            }
        }
        r.tags()?;
    }
    r.tags()?;
    end(&r)?;
    Ok((count, first_error))
}

/// OffsetFetch of one partition.
pub fn fetch_offset(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    frame(api::OFFSET_FETCH, version::OFFSET_FETCH, |w| {
        w.string(group);
        w.array(1);
        w.string(topic);
        w.array(1);
        w.i32(partition);
        w.tags();
        w.bool(false);
        w.tags();
    })
}

/// OffsetFetch v7 of one partition: the offset (-1 for none) and the error code.
pub fn fetched_offset(frame: &[u8], correlation_id: i32) -> Result<(i64, i16), Malformed> {
    let mut r = begin(frame, api::OFFSET_FETCH, version::OFFSET_FETCH, correlation_id)?;
    r.i32()?;
    let mut found = (-1, error_code::NONE);
    for _ in 0..r.array()? {
        r.string()?;
        for _ in 0..r.array()? {
            r.i32()?;
            found.0 = r.i64()?;
            r.i32()?;
            r.nullable_string()?;
            found.1 = r.i16()?;
            r.tags()?;
        }
        r.tags()?;
    }
    let error = r.i16()?;
    r.tags()?;
    end(&r)?;
    Ok(if error == error_code::NONE { found } else { (-1, error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_says_only_what_has_changed() {
        let frame = heartbeat(Heartbeat { group: "g", member: "m", epoch: 7, ..Heartbeat::default() });
        let body = &frame[4 + 8 + 2 + 5 + 1..];
        assert_eq!(
            body,
            [2, b'g', 2, b'm', 0, 0, 0, 7, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0].as_slice()
        );
    }

    #[test]
    fn an_assignment_is_read() {
        let mut reply = vec![0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 2, b'm', 0, 0, 0, 3, 0, 0, 0x13, 0x88, 1, 2];
        reply.extend([5; 16]);
        reply.extend([3, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0]);
        let found = heartbeat_reply(&reply, 9).unwrap();
        assert_eq!((found.error, found.epoch, found.interval_ms), (0, 3, 5_000));
        assert_eq!(found.assignment, Some(vec![([5; 16], vec![1, 4])]));
        for cut in 0..reply.len() {
            assert!(heartbeat_reply(&reply[..cut], 9).is_err());
        }
    }

    #[test]
    fn commits_are_counted() {
        let reply = [
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 2, b't', 3][..],
            &[0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 1, 0, 25, 0, 0, 0],
        ]
        .concat();
        assert_eq!(committed(&reply, 1), Ok((1, 25)));
    }
}
