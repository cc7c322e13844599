//! Keys of topics (`LogConfig`). Their defaults are those of the broker keys in [`crate::synonyms`].

use crate::def::{ConfigKey, boolean, double, int, list, long, string};
use crate::keys::{NO_SHARE, NO_TIERING};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    list("cleanup.policy").or("delete").valid(Validator::List { of: &["compact", "delete"], may_be_empty: true })
        .doc("What happens to old segments: `delete` them, `compact` them to the last record of each key, both, or nothing for an empty list."),
    int("compression.gzip.level").or("-1").valid(Validator::GzipLevel)
        .doc("Level where compression.type is gzip: 1 is fastest, 9 smallest, -1 the library's own choice."),
    int("compression.lz4.level").or("9").between(1, 17)
        .doc("Level where compression.type is lz4."),
    string("compression.type").or("producer").one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        .doc("How batches are stored: with a codec, uncompressed, or `producer` to keep what the producer chose."),
    int("compression.zstd.level").or("3").between(-131072, 22)
        .doc("Level where compression.type is zstd."),
    long("delete.retention.ms").or("86400000").at_least(0)
        .doc("How long the markers of deleted keys stay in a compacted topic, so that a consumer that began before sees them."),
    boolean("errors.deadletterqueue.group.enable").or("false").no_effect(NO_SHARE)
        .doc("Share groups may write dead letters to this topic."),
    long("file.delete.delay.ms").or("60000").at_least(0)
        .doc("Pause before a deleted segment's files are removed."),
    long("flush.messages").or("9223372036854775807").at_least(1)
        .doc("Records before the log is synced to disk: 1 syncs every one. Replication is the better protection."),
    long("flush.ms").or("9223372036854775807").at_least(0)
        .doc("Longest time that records stay unsynced. Replication is the better protection."),
    list("follower.replication.throttled.replicas").or("").valid(Validator::ThrottledReplicas)
        .doc("Replicas, as partition:broker, that are throttled while they follow; * for all."),
    int("index.interval.bytes").or("4096").at_least(0)
        .doc("Bytes of log between two entries of the offset index."),
    int("internal.segment.bytes").or_null().internal()
        .doc("Size of a segment, without a lower bound. For tests."),
    list("leader.replication.throttled.replicas").or("").valid(Validator::ThrottledReplicas)
        .doc("Replicas, as partition:broker, that are throttled while they lead; * for all."),
    long("local.retention.bytes").or("-2").at_least(-2).no_effect(NO_TIERING)
        .doc("Bytes of a tiered partition that stay on local disk; -2 means retention.bytes."),
    long("local.retention.ms").or("-2").at_least(-2).no_effect(NO_TIERING)
        .doc("How long segments of a tiered partition stay on local disk; -2 means retention.ms."),
    long("max.compaction.lag.ms").or("9223372036854775807").at_least(1)
        .doc("A record is compacted at the latest after this long."),
    int("max.decompressed.message.bytes").or("2147483639").between(1, 2147483639)
        .doc("Largest record after decompression; a larger one is refused."),
    int("max.message.bytes").or("1048588").at_least(0)
        .doc("Largest batch that is accepted, as compressed."),
    long("message.timestamp.after.max.ms").or("3600000").at_least(0)
        .doc("How far a record's timestamp may be ahead of the broker's clock; a record beyond is refused."),
    long("message.timestamp.before.max.ms").or("9223372036854775807").at_least(0)
        .doc("How far a record's timestamp may be behind the broker's clock; a record beyond is refused."),
    string("message.timestamp.type").or("CreateTime").one_of(&["CreateTime", "LogAppendTime"])
        .doc("Whose time records carry: CreateTime for the producer's, LogAppendTime for the broker's."),
    double("min.cleanable.dirty.ratio").or("0.5").valid(Validator::BetweenDouble(0.0, 1.0))
        .doc("Part of the log that must be uncompacted before it is cleaned."),
    long("min.compaction.lag.ms").or("0").at_least(0)
        .doc("A record is not compacted before this long."),
    int("min.insync.replicas").or("1").at_least(1)
        .doc("Replicas that must be in sync for a write with acks=all to be taken."),
    boolean("preallocate").or("false")
        .doc("Allocate a segment's file at full size when it is created."),
    long("remote.copy.lag.bytes").or("-1").at_least(-1).no_effect(NO_TIERING)
        .doc("A segment is copied to remote storage once this many bytes came after it; -1 to go by time alone."),
    long("remote.copy.lag.ms").or("0").at_least(-1).no_effect(NO_TIERING)
        .doc("A segment is copied to remote storage once it is this old; 0 at once, -1 to go by size alone."),
    boolean("remote.log.copy.disable").or("false").no_effect(NO_TIERING)
        .doc("Copy nothing more to remote storage; what is there stays readable."),
    boolean("remote.log.delete.on.disable").or("false").no_effect(NO_TIERING)
        .doc("Delete what is in remote storage when remote.storage.enable is turned off."),
    boolean("remote.storage.enable").or("false").no_effect(NO_TIERING)
        .doc("Tier this topic: copy its segments to remote storage."),
    long("retention.bytes").or("-1")
        .doc("Size of a partition beyond which its oldest segments are deleted; -1 for no limit."),
    long("retention.ms").or("604800000").at_least(-1)
        .doc("How long segments are kept; -1 for ever."),
    int("segment.bytes").or("1073741824").at_least(1048576)
        .doc("Size of a segment. Retention deletes whole segments."),
    int("segment.index.bytes").or("10485760").at_least(4)
        .doc("Largest offset index of a segment."),
    long("segment.jitter.ms").or("0").at_least(0)
        .doc("Random part taken off segment.ms, so that segments do not roll all at once."),
    long("segment.ms").or("604800000").at_least(1)
        .doc("Longest time before a new segment is begun, so that retention can act on small topics too."),
    boolean("unclean.leader.election.enable").or("false")
        .doc("A replica that is not in sync may lead when no other is left. Acknowledged records may be lost."),
];
