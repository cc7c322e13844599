//! Which broker keys stand for one another, and which give a topic key its default
//! (`DynamicBrokerConfig.brokerConfigSynonyms`, `ServerTopicConfigSynonyms`).

/// How a broker key's value becomes the topic key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// As it is.
    Same,
    /// Minutes to milliseconds.
    MinutesToMs,
    /// Hours to milliseconds.
    HoursToMs,
}

impl Conversion {
    /// Converts the text of a broker key to that of the topic key; a text that is no number stays as it is.
    pub fn apply(self, text: &str) -> String {
        let factor = match self {
            Conversion::Same => return text.to_owned(),
            Conversion::MinutesToMs => 60_000,
            Conversion::HoursToMs => 3_600_000,
        };
        text.trim().parse::<i64>().map_or_else(|_| text.to_owned(), |n| n.saturating_mul(factor).to_string())
    }
}

/// A broker key that gives a topic key its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSynonym {
    /// The broker key.
    pub name: &'static str,
    /// What its value must go through.
    pub conversion: Conversion,
}

const fn same(name: &'static str) -> TopicSynonym {
    TopicSynonym { name, conversion: Conversion::Same }
}

const fn minutes(name: &'static str) -> TopicSynonym {
    TopicSynonym { name, conversion: Conversion::MinutesToMs }
}

const fn hours(name: &'static str) -> TopicSynonym {
    TopicSynonym { name, conversion: Conversion::HoursToMs }
}

/// Topic key and its broker keys, the one that wins first.
pub const TOPIC_SYNONYMS: &[(&str, &[TopicSynonym])] = &[
    ("cleanup.policy", &[same("log.cleanup.policy")]),
    ("compression.gzip.level", &[same("compression.gzip.level")]),
    ("compression.lz4.level", &[same("compression.lz4.level")]),
    ("compression.type", &[same("compression.type")]),
    ("compression.zstd.level", &[same("compression.zstd.level")]),
    ("delete.retention.ms", &[same("log.cleaner.delete.retention.ms")]),
    ("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")]),
    ("flush.messages", &[same("log.flush.interval.messages")]),
    ("flush.ms", &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ("index.interval.bytes", &[same("log.index.interval.bytes")]),
    ("local.retention.bytes", &[same("log.local.retention.bytes")]),
    ("local.retention.ms", &[same("log.local.retention.ms")]),
    ("max.compaction.lag.ms", &[same("log.cleaner.max.compaction.lag.ms")]),
    ("max.decompressed.message.bytes", &[same("max.decompressed.message.bytes")]),
    ("max.message.bytes", &[same("message.max.bytes")]),
    ("message.timestamp.after.max.ms", &[same("log.message.timestamp.after.max.ms")]),
    ("message.timestamp.before.max.ms", &[same("log.message.timestamp.before.max.ms")]),
    ("message.timestamp.type", &[same("log.message.timestamp.type")]),
    ("min.cleanable.dirty.ratio", &[same("log.cleaner.min.cleanable.ratio")]),
    ("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")]),
    ("min.insync.replicas", &[same("min.insync.replicas")]),
    ("preallocate", &[same("log.preallocate")]),
    ("remote.copy.lag.bytes", &[same("log.remote.copy.lag.bytes")]),
    ("remote.copy.lag.ms", &[same("log.remote.copy.lag.ms")]),
    ("retention.bytes", &[same("log.retention.bytes")]),
    (
        "retention.ms",
        &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")],
    ),
    ("segment.bytes", &[same("log.segment.bytes")]),
    ("segment.index.bytes", &[same("log.index.size.max.bytes")]),
    ("segment.jitter.ms", &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ("segment.ms", &[same("log.roll.ms"), hours("log.roll.hours")]),
    ("unclean.leader.election.enable", &[same("unclean.leader.election.enable")]),
];

/// The broker keys behind a topic key, the one that wins first; none for a key that topics alone have.
pub fn topic_synonyms(topic_key: &str) -> &'static [TopicSynonym] {
    TOPIC_SYNONYMS.iter().find(|(name, _)| *name == topic_key).map_or(&[], |(_, synonyms)| synonyms)
}

/// Keys that stand behind `listener.name.<listener>.<mechanism>.`, not only behind the listener.
const LISTENER_MECHANISM_KEYS: &[&str] = &[
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
];

/// The key behind `listener.name.<listener>.`, if the name has that shape.
pub fn strip_listener_prefix(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("listener.name.")?;
    rest.split_once('.').map(|(_, base)| base)
}

/// The broker keys that stand for one another, the one that wins first.
///
/// `match_listener_override`: a key with a listener's prefix also stands for the one without.
pub fn broker_synonyms(name: &str, match_listener_override: bool) -> Vec<String> {
    const GROUPS: &[&[&str]] = &[
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    ];
    if let Some(group) = GROUPS.iter().find(|group| group.contains(&name)) {
        return group.iter().map(|name| (*name).to_owned()).collect();
    }
    if name == "log.flush.interval.ms" {
        return vec![name.to_owned(), "log.flush.scheduler.interval.ms".to_owned()];
    }
    if let Some(base) = strip_listener_prefix(name).filter(|_| match_listener_override) {
        let base = LISTENER_MECHANISM_KEYS.iter().find(|key| base.ends_with(**key)).copied().unwrap_or(base);
        return vec![name.to_owned(), base.to_owned()];
    }
    vec![name.to_owned()]
}
