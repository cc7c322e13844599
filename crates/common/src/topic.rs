//! Topics and partitions, their names and the rules for those (`org.apache.kafka.common.internals.Topic`).

use std::fmt;
use std::sync::Arc;

use crate::Uuid;

/// The topic of the group coordinators.
pub const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";
/// The topic of the transaction coordinators.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// The topic of the share coordinators.
pub const SHARE_GROUP_STATE_TOPIC: &str = "__share_group_state";
/// The topic of the KRaft metadata log, which has partition 0 only.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// The longest topic name, in bytes: a directory name must fit the file system.
pub const MAX_TOPIC_NAME_LENGTH: usize = 249;

/// A partition of a topic by name. Cheap to clone: the name is shared.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A partition of a topic by id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index, from 0.
    pub partition: i32,
}

/// Why a topic name is refused, in Kafka's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Topic name is invalid: {0}")]
pub struct InvalidTopicName(pub String);

/// Checks a name as `Topic.validate` does.
pub fn validate_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > MAX_TOPIC_NAME_LENGTH {
        format!("the length of '{name}' is longer than the max allowed length {MAX_TOPIC_NAME_LENGTH}")
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(InvalidTopicName(reason))
}

/// Whether Kafka treats the topic as internal: clients may not produce to it, and `Metadata` marks it.
pub fn is_internal(topic: &str) -> bool {
    matches!(topic, GROUP_METADATA_TOPIC | TRANSACTION_STATE_TOPIC | SHARE_GROUP_STATE_TOPIC)
}

/// Whether two names differ only in `.` and `_`, so that their metric names would collide.
pub fn has_collision(a: &str, b: &str) -> bool {
    let unify = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(unify).eq(b.bytes().map(unify))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_kafka_checks_them() {
        for good in ["valid", "TOPIC", "nAmEs", "ar6", "VaL1d", "_0-9_.", "..."] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        let long = "A".repeat(250);
        for bad in ["", "foo bar", "..", "foo:bar", "foo=bar", ".", "ä", long.as_str()] {
            assert!(validate_topic_name(bad).is_err(), "{bad}");
        }
        assert_eq!(
            validate_topic_name("a b").unwrap_err().to_string(),
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        );
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert!(has_collision("a.b", "a_b"));
        assert!(!has_collision("a.b", "a-b"));
        assert!(!has_collision("a.b", "a.bc"));
    }
}
