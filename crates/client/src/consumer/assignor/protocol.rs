//! The bytes that members of a classic consumer group exchange (`ConsumerProtocol`).

use std::sync::Arc;

use common::TopicPartition;

use super::MemberAssignment;
use protocol::messages::consumer_protocol_assignment::TopicPartition as AssignedTopic;
use protocol::messages::consumer_protocol_subscription::TopicPartition as OwnedTopic;
use protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use protocol::{DecodeError, EncodeError, Message, Reader, Writer};

/// The newest version of both messages; the version stands in front of each.
const NEWEST: i16 = 3;

/// What a member wants, and what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics it wants.
    pub topics: Vec<String>,
    /// What its assignor says beside that.
    pub user_data: Option<Vec<u8>>,
    /// The partitions that it has.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got them; none from members that do not say.
    pub generation: Option<i32>,
    /// Its `client.rack`.
    pub rack_id: Option<String>,
}

/// A topic's name and some of its partitions.
type OfTopic = (String, Vec<i32>);

/// Partitions by topic, in the order in which the topics come first.
fn by_topic(partitions: &[TopicPartition]) -> Vec<OfTopic> {
    let mut topics: Vec<OfTopic> = Vec::new();
    for partition in partitions {
        match topics.iter_mut().find(|(topic, _)| **topic == *partition.topic) {
            Some((_, partitions)) => partitions.push(partition.partition),
            None => topics.push((partition.topic.to_string(), vec![partition.partition])),
        }
    }
    topics
}

fn flat(topics: impl IntoIterator<Item = OfTopic>) -> Vec<TopicPartition> {
    let of_topic = |(topic, partitions): OfTopic| {
        let topic: Arc<str> = Arc::from(topic);
        partitions.into_iter().map(move |partition| TopicPartition::new(Arc::clone(&topic), partition))
    };
    topics.into_iter().flat_map(of_topic).collect()
}

/// Reads the version in front; newer ones begin like the newest that is known.
fn version(reader: &mut Reader<'_>) -> Result<i16, DecodeError> {
    Ok(reader.i16()?.clamp(0, NEWEST))
}

impl Subscription {
    /// The bytes for a JoinGroup.
    pub(in crate::consumer) fn write(&self) -> Result<Vec<u8>, EncodeError> {
        let mut topics = self.topics.clone();
        topics.sort();
        let mut owned = self.owned.clone();
        owned.sort();
        let message = ConsumerProtocolSubscription {
            topics,
            user_data: self.user_data.clone(),
            owned_partitions: by_topic(&owned)
                .into_iter()
                .map(|(topic, partitions)| OwnedTopic { topic, partitions })
                .collect(),
            generation_id: self.generation.unwrap_or(-1),
            rack_id: self.rack_id.clone(),
        };
        let mut writer = Writer::new();
        writer.i16(NEWEST);
        message.write(&mut writer, NEWEST)?;
        Ok(writer.into_bytes())
    }

    /// What another member sent.
    pub(in crate::consumer) fn read(bytes: &[u8]) -> Result<Subscription, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = version(&mut reader)?;
        let message = ConsumerProtocolSubscription::read(&mut reader, version)?;
        Ok(Subscription {
            topics: message.topics,
            user_data: message.user_data,
            owned: flat(message.owned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions))),
            generation: Some(message.generation_id).filter(|generation| *generation >= 0),
            rack_id: message.rack_id,
        })
    }
}

/// The bytes of a member's share for a SyncGroup. All versions look the same: the oldest is understood by everybody.
pub(in crate::consumer) fn write_assignment(share: &MemberAssignment) -> Result<Vec<u8>, EncodeError> {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: by_topic(&share.partitions)
            .into_iter()
            .map(|(topic, partitions)| AssignedTopic { topic, partitions })
            .collect(),
        user_data: share.user_data.clone(),
    };
    let mut writer = Writer::new();
    writer.i16(NEWEST);
    message.write(&mut writer, NEWEST)?;
    Ok(writer.into_bytes())
}

/// The share that the leader gave this member.
pub(in crate::consumer) fn read_assignment(bytes: &[u8]) -> Result<MemberAssignment, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = version(&mut reader)?;
    let message = ConsumerProtocolAssignment::read(&mut reader, version)?;
    let partitions =
        flat(message.assigned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions)));
    Ok(MemberAssignment { partitions, user_data: message.user_data })
}

/// `StickyAssignor`'s user data: what the member had, and in which generation.
pub(super) fn sticky_user_data(owned: &[TopicPartition], generation: i32) -> Vec<u8> {
    let topics = by_topic(owned);
    let mut writer = Writer::new();
    writer.i32(i32::try_from(topics.len()).unwrap_or(i32::MAX));
    for (topic, partitions) in topics {
        writer.i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        writer.raw(topic.as_bytes());
        writer.i32(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
        partitions.iter().for_each(|partition| writer.i32(*partition));
    }
    writer.i32(generation);
    writer.into_bytes()
}

fn read_sticky_user_data(bytes: &[u8]) -> Result<(Vec<TopicPartition>, Option<i32>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut topics = Vec::new();
    for _ in 0..reader.i32()?.max(0) {
        let length = usize::try_from(reader.i16()?).unwrap_or(0);
        let topic = String::from_utf8_lossy(reader.take(length)?).into_owned();
        let mut partitions = Vec::new();
        for _ in 0..reader.i32()?.max(0) {
            partitions.push(reader.i32()?);
        }
        topics.push((topic, partitions));
    }
    // The first version ends here.
    Ok((flat(topics), reader.i32().ok()))
}

/// What a member has, by the eager assignor's user data: everything was revoked before the join.
pub(super) fn owned_by_user_data(subscription: &Subscription) -> (Vec<TopicPartition>, i32) {
    match subscription.user_data.as_deref() {
        None | Some([]) => (Vec::new(), -1),
        Some(bytes) => {
            let (owned, generation) = read_sticky_user_data(bytes).unwrap_or_default();
            (owned, generation.unwrap_or(-1))
        }
    }
}

/// What a member has, by its subscription; the generation stands in the user data of older clients.
pub(super) fn owned_by_subscription(subscription: &Subscription) -> (Vec<TopicPartition>, i32) {
    let told = || {
        let bytes = subscription.user_data.as_deref()?.first_chunk::<4>()?;
        Some(i32::from_be_bytes(*bytes))
    };
    (subscription.owned.clone(), subscription.generation.or_else(told).unwrap_or(-1))
}
