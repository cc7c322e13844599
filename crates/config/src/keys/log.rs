//! Keys of the log: directories, segments, retention, batches (`ServerLogConfigs`).

use crate::def::{ConfigKey, boolean, int, list, long, string};
use crate::keys::{NON_EMPTY_SET, SET};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    boolean("auto.create.topics.enable").or("true").high()
        .doc("A topic that a client asks for and that is not there is created."),
    int("compression.gzip.level").or("-1").valid(Validator::GzipLevel).cluster_wide()
        .doc("Level for topics whose compression.type is gzip: 1 is fastest, 9 smallest, -1 the library's own choice."),
    int("compression.lz4.level").or("9").between(1, 17).cluster_wide()
        .doc("Level for topics whose compression.type is lz4."),
    string("compression.type").or("producer").high().one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]).cluster_wide()
        .doc("How batches are stored: with a codec, uncompressed, or `producer` to keep what the producer chose."),
    int("compression.zstd.level").or("3").between(-131072, 22).cluster_wide()
        .doc("Level for topics whose compression.type is zstd."),
    list("cordoned.log.dirs").or("").valid(SET).per_broker()
        .doc("Log directories that get no new partitions (KIP-1066); * for all."),
    list("log.cleanup.policy").or("delete").valid(Validator::List { of: &["compact", "delete"], may_be_empty: true }).cluster_wide()
        .doc("What happens to old segments: `delete` them, `compact` them to the last record of each key, both, or nothing for an empty list."),
    list("log.dir").or("/tmp/kafka-logs").high().valid(NON_EMPTY_SET)
        .doc("Directories of the logs, where log.dirs is not set."),
    long("log.dir.failure.timeout.ms").or("30000").low().at_least(1)
        .doc("A broker that cannot tell the controller of a failed log directory for this long stops."),
    list("log.dirs").or_null().high().valid(NON_EMPTY_SET)
        .doc("Directories of the logs. A new partition goes to the one with the fewest."),
    long("log.flush.interval.messages").or("9223372036854775807").high().at_least(1).cluster_wide()
        .doc("Records in a log before it is synced to disk."),
    long("log.flush.interval.ms").or_null().high().cluster_wide()
        .doc("Longest time that records stay unsynced; unset means log.flush.scheduler.interval.ms."),
    int("log.flush.offset.checkpoint.interval.ms").or("60000").high().at_least(0)
        .doc("How often recovery points are written."),
    long("log.flush.scheduler.interval.ms").or("9223372036854775807").high()
        .doc("How often logs are looked through for ones to sync."),
    int("log.flush.start.offset.checkpoint.interval.ms").or("60000").high().at_least(0)
        .doc("How often log start offsets are written."),
    int("log.index.interval.bytes").or("4096").at_least(0).cluster_wide()
        .doc("Bytes of log between two entries of the offset index."),
    int("log.index.size.max.bytes").or("10485760").at_least(4).cluster_wide()
        .doc("Largest offset index of a segment."),
    long("log.initial.task.delay.ms").or("30000").low().at_least(0).internal()
        .doc("Pause after the start before logs are looked after. For tests."),
    long("log.message.timestamp.after.max.ms").or("3600000").at_least(0).cluster_wide()
        .doc("How far a record's timestamp may be ahead of the broker's clock; a record beyond is refused."),
    long("log.message.timestamp.before.max.ms").or("9223372036854775807").at_least(0).cluster_wide()
        .doc("How far a record's timestamp may be behind the broker's clock; a record beyond is refused."),
    string("log.message.timestamp.type").or("CreateTime").one_of(&["CreateTime", "LogAppendTime"]).cluster_wide()
        .doc("Whose time records carry: CreateTime for the producer's, LogAppendTime for the broker's."),
    boolean("log.preallocate").or("false").cluster_wide()
        .doc("Allocate a segment's file at full size when it is created."),
    long("log.retention.bytes").or("-1").high().cluster_wide()
        .doc("Size of a partition beyond which its oldest segments are deleted; -1 for no limit."),
    long("log.retention.check.interval.ms").or("300000").at_least(1)
        .doc("How often logs are looked through for segments to delete."),
    int("log.retention.hours").or("168").high()
        .doc("Hours that segments are kept. log.retention.minutes and log.retention.ms win over it."),
    int("log.retention.minutes").or_null().high()
        .doc("Minutes that segments are kept. log.retention.ms wins over it."),
    long("log.retention.ms").or_null().high().cluster_wide()
        .doc("Milliseconds that segments are kept; -1 for ever."),
    int("log.roll.hours").or("168").high().at_least(1)
        .doc("Longest time before a new segment is begun, in hours. log.roll.ms wins over it."),
    int("log.roll.jitter.hours").or("0").high().at_least(0)
        .doc("Random part taken off log.roll.hours, so that segments do not roll all at once. log.roll.jitter.ms wins over it."),
    long("log.roll.jitter.ms").or_null().high().cluster_wide()
        .doc("Random part taken off log.roll.ms."),
    long("log.roll.ms").or_null().high().cluster_wide()
        .doc("Longest time before a new segment is begun."),
    int("log.segment.bytes").or("1073741824").high().at_least(1048576).cluster_wide()
        .doc("Size of a segment."),
    long("log.segment.delete.delay.ms").or("60000").high().at_least(0).cluster_wide()
        .doc("Pause before a deleted segment's files are removed."),
    int("max.decompressed.message.bytes").or("2147483639").between(1, 2147483639).cluster_wide()
        .doc("Largest record after decompression; a larger one is refused."),
    int("message.max.bytes").or("1048588").high().at_least(0).cluster_wide()
        .doc("Largest batch that is accepted, as compressed."),
    int("num.partitions").or("1").at_least(1)
        .doc("Partitions of a topic that is created without saying how many."),
    int("num.recovery.threads.per.data.dir").or("2").high().at_least(1).cluster_wide()
        .doc("Threads per log directory that load and recover logs at the start and sync them at the stop."),
];
