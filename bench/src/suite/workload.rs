//! The workloads of the suite, and which of their figures are shown.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Result,
    load::{
        Target, connections, end_to_end, fetch, groups, growth,
        hostile::{self, Attack},
        librdkafka,
        produce::{self, Until},
        reserve::Reserve,
    },
    measure::Metric,
    wire::{batch, codec::Codec, connection::Connection},
};

/// What a workload does.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Big batches, then everything fetched again.
    Batches {
        record_size: usize,
        batch_size: usize,
        bytes: usize,
    },
    /// One record per request.
    Requests {
        in_flight: usize,
        connections: usize,
        requests: usize,
        synced: bool,
    },
    /// Batches of 1 MB, each on the disk before it is acknowledged.
    SyncedBatches {
        connections: usize,
        bytes: usize,
    },
    EndToEnd {
        rate: usize,
        records_per_batch: usize,
        record_size: usize,
        duration: Duration,
    },
    Connections {
        count: usize,
    },
    Groups(groups::Options),
    /// Batches to many partitions in turn.
    Partitions {
        partitions: i32,
        bytes: usize,
    },
    /// Requests over many connections in turn.
    Active {
        connections: usize,
        requests: usize,
    },
    /// Readers of one partition at once.
    Readers {
        readers: usize,
        bytes: usize,
    },
    /// Producers of small batches, each for a partition of its own choice.
    Producers {
        producers: usize,
        batches: usize,
    },
    /// Batches of 1 MB of records like text.
    Compressed {
        codec: Codec,
        bytes: usize,
    },
    /// What others notice of an attack.
    Hostile {
        attack: Attack,
        duration: Duration,
    },
    /// Records through librdkafka, by this program, and back.
    Librdkafka {
        program: &'static str,
        record_size: usize,
        records: usize,
    },
    /// Offset commits of one offset each.
    Commits {
        connections: usize,
        requests: usize,
    },
}

/// A workload: its name, and its figures in the order of the table.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    pub kind: Kind,
    pub figures: &'static [&'static str],
}

pub const BATCHES_100: &str = "100 B, 1 MB batches";
pub const BATCHES_1024: &str = "1 KiB, 1 MB batches";
pub const SMALL_BATCHES: &str = "100 B, 16 KB batches";
pub const ONE_IN_FLIGHT: &str = "one record, 1 in flight";
pub const FIVE_IN_FLIGHT: &str = "one record, 5 in flight";
pub const END_TO_END_1K: &str = "end to end, 1 k/s x 100 B";
pub const END_TO_END_20K: &str = "end to end, 20 k/s x 1 KiB in 20s";
pub const END_TO_END_100K: &str = "end to end, 100 k/s x 1 KiB in 100s";
pub const SYNCED_1: &str = "synced, 1 connection";
pub const SYNCED_16: &str = "synced, 16 connections";
pub const SYNCED_64: &str = "synced, 64 connections";
pub const SYNCED_BATCHES: &str = "synced, 1 MB batches, 4 connections";

const BATCH_FIGURES: &[&str] =
    &["throughput", "records", "CPU per GB", "fetch throughput", "fetch CPU per GB"];
const REQUEST_FIGURES: &[&str] = &["CPU per request", "requests", "p50", "p99"];
const COMMIT_FIGURES: &[&str] = &["commits", "CPU per commit", "p50", "p99"];
/// The group that the goals speak of.
pub const ONE_GROUP: &str = "100 members, 1,000 partitions";
pub const TEN_JOIN: &str = "ten join: until each owns its target";
pub const TEN_LEAVE: &str = "ten leave: until each owns its target";
pub const HEARTBEAT_CPU: &str = "CPU per heartbeat, 16 at a time";
const GROUP_FIGURES: &[&str] = &[
    "all join: until each owns its target",
    "all join: CPU per member",
    "CPU per heartbeat, one at a time",
    HEARTBEAT_CPU,
    "CPU per heartbeat, 16 in flight on one connection",
    "heartbeats p99",
];
const CHANGING_GROUP_FIGURES: &[&str] = &[
    "all join: until each owns its target",
    "all join: CPU per member",
    TEN_JOIN,
    TEN_LEAVE,
    "CPU per heartbeat, one at a time",
    HEARTBEAT_CPU,
    "CPU per heartbeat, 16 in flight on one connection",
    "heartbeats p99",
];
const END_TO_END_FIGURES: &[&str] = &["p50", "p99", "p99.9", "CPU per message"];

/// Everything that the suite runs; `quick` takes less of each.
pub fn all(quick: bool) -> Vec<Workload> {
    let share = if quick { 4 } else { 1 };
    let batches = |name, record_size, batch_size, bytes: usize| Workload {
        name,
        kind: Kind::Batches { record_size, batch_size, bytes: bytes / share },
        figures: BATCH_FIGURES,
    };
    let requests = |name, in_flight, connections, synced, requests: usize| Workload {
        name,
        kind: Kind::Requests { in_flight, connections, requests: requests / share, synced },
        figures: REQUEST_FIGURES,
    };
    let duration = Duration::from_secs(if quick { 2 } else { 5 });
    let end_to_end = |name, rate, records_per_batch, record_size| Workload {
        name,
        kind: Kind::EndToEnd { rate, records_per_batch, record_size, duration },
        figures: END_TO_END_FIGURES,
    };
    vec![
        batches(BATCHES_100, 100, 1_000_000, 1_000_000_000),
        batches(BATCHES_1024, 1024, 1_000_000, 1_000_000_000),
        batches(SMALL_BATCHES, 100, 16_384, 300_000_000),
        requests(ONE_IN_FLIGHT, 1, 1, false, 20_000),
        requests(FIVE_IN_FLIGHT, 5, 1, false, 40_000),
        end_to_end(END_TO_END_1K, 1_000, 1, 100),
        end_to_end(END_TO_END_20K, 20_000, 20, 1024),
        end_to_end(END_TO_END_100K, 100_000, 100, 1024),
        requests(SYNCED_1, 1, 1, true, 1_000),
        requests(SYNCED_16, 1, 16, true, 200),
        requests(SYNCED_64, 1, 64, true, 100),
        Workload {
            name: SYNCED_BATCHES,
            kind: Kind::SyncedBatches { connections: 4, bytes: 400_000_000 / share },
            figures: &["throughput", "CPU per GB", "p99"],
        },
        Workload {
            name: "idle connections",
            kind: Kind::Connections { count: if quick { 500 } else { 2_000 } },
            figures: &["connections", "CPU per connection", "memory per connection"],
        },
    ]
}

impl Workload {
    /// Of its topic.
    fn partitions(&self) -> i32 {
        match self.kind {
            Kind::Groups(options) => options.partitions,
            Kind::Partitions { partitions, .. } => partitions,
            Kind::Producers { .. } => PRODUCERS_PARTITIONS,
            _ => 1,
        }
    }
}

/// Groups and offsets: nothing that the floor server knows.
pub fn groups(quick: bool) -> Vec<Workload> {
    let heartbeats = if quick { 5_000 } else { 10_000 };
    let group = |name, groups, members, partitions, change| Workload {
        name,
        kind: Kind::Groups(groups::Options { groups, members, partitions, change, heartbeats }),
        figures: if change > 0 { CHANGING_GROUP_FIGURES } else { GROUP_FIGURES },
    };
    let commits = |name, connections, requests: usize| Workload {
        name,
        kind: Kind::Commits { connections, requests: requests / if quick { 4 } else { 1 } },
        figures: COMMIT_FIGURES,
    };
    vec![
        group(ONE_GROUP, 1, 100, 1_000, 10),
        group("500 members in one group", 1, 500, 1_000, 0),
        group("1,000 groups of one member", 1_000, 1, 10, 0),
        commits("offset commits, 1 connection", 1, 10_000),
        commits("offset commits, 16 connections", 16, 40_000),
    ]
}

const PRODUCERS_PARTITIONS: i32 = 64;

/// More and more of something: each is one point of a line.
pub fn growth(quick: bool) -> Vec<Workload> {
    let share = if quick { 4 } else { 1 };
    let bytes = 256_000_000 / share;
    let one = |name, kind, figures| Workload { name, kind, figures };
    let partitions = |name, partitions| {
        one(name, Kind::Partitions { partitions, bytes }, &["CPU per GB", "throughput", "p99"])
    };
    let active = |name, connections| {
        let kind = Kind::Active { connections, requests: 20_000 / share };
        one(name, kind, &["CPU per request", "requests", "p99", "memory per connection"])
    };
    let idle = |name, count| {
        one(
            name,
            Kind::Connections { count },
            &["connections", "CPU per connection", "memory per connection"],
        )
    };
    let readers = |name, readers| {
        one(name, Kind::Readers { readers, bytes: bytes / 4 }, &["CPU per delivered GB", "delivered"])
    };
    let producers = |name, producers| {
        let kind = Kind::Producers { producers, batches: 20_000 / share };
        one(name, kind, &["throughput", "CPU per GB", "p99"])
    };
    vec![
        partitions("active partitions: 1", 1),
        partitions("active partitions: 100", 100),
        partitions("active partitions: 1,000", 1_000),
        partitions("active partitions: 5,000", 5_000),
        idle("idle connections: 100", 100),
        idle("idle connections: 1,000", 1_000),
        idle("idle connections: 5,000", 5_000),
        active("active connections: 1", 1),
        active("active connections: 100", 100),
        active("active connections: 1,000", 1_000),
        readers("readers of one log: 1", 1),
        readers("readers of one log: 4", 4),
        readers("readers of one log: 16", 16),
        producers("producers of small batches: 1", 1),
        producers("producers of small batches: 50", 50),
        producers("producers of small batches: 400", 400),
    ]
}

/// librdkafka with records of 100 B.
pub const LIBRDKAFKA_100: &str = "librdkafka, 100 B";
/// The same with jemalloc.
pub const JEMALLOC_100: &str = "librdkafka, jemalloc, 100 B";

/// What a user of librdkafka sees, with the C library's `malloc` and with jemalloc's.
pub fn user(programs: Programs, quick: bool) -> Vec<Workload> {
    let share = if quick { 4 } else { 1 };
    let one = |name, program, record_size, records: usize| Workload {
        name,
        kind: Kind::Librdkafka { program, record_size, records: records / share },
        figures: &["produced", "CPU per GB", "consumed", "fetch CPU per GB"],
    };
    vec![
        one(LIBRDKAFKA_100, programs.plain, 100, 5_000_000),
        one("librdkafka, 1 KiB", programs.plain, 1024, 500_000),
        one(JEMALLOC_100, programs.jemalloc, 100, 5_000_000),
        one("librdkafka, jemalloc, 1 KiB", programs.jemalloc, 1024, 500_000),
    ]
}

/// The programs that produce and consume through librdkafka.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    pub plain: &'static str,
    /// The same with jemalloc's `malloc`.
    pub jemalloc: &'static str,
}

impl Programs {
    /// They lie beside each other.
    pub fn new(plain: String) -> Self {
        // As long as the suite, as the names of what is measured.
        Self { jemalloc: format!("{plain}-jemalloc").leak(), plain: plain.leak() }
    }
}

const COMPRESSED_BATCH: usize = 1_000_000;
const COMPRESSED_RECORD: usize = 200;

/// The same records in each codec.
pub fn codecs(quick: bool) -> Vec<Workload> {
    let bytes = if quick { 100_000_000 } else { 400_000_000 };
    let one = |name, codec| Workload {
        name,
        kind: Kind::Compressed { codec, bytes },
        figures: &["CPU per wire GB", "CPU per GB", "throughput"],
    };
    vec![
        one("text, not compressed", Codec::None),
        one("text, lz4", Codec::Lz4),
        one("text, snappy", Codec::Snappy),
        one("text, zstd", Codec::Zstd),
        one("text, gzip", Codec::Gzip),
    ]
}

/// The names of what is done in [`hostile`].
pub const ONE_BYTE: &str = "connections that send one byte";
pub const UNREAD_FETCHES: &str = "fetches of 1 GB that nobody reads";
pub const UNREAD_ANSWERS: &str = "producers that never read";
pub const LARGE_REQUESTS: &str = "a hundred requests of 100 MB";

/// Bad input, and what others notice of it.
pub fn hostile(quick: bool) -> Vec<Workload> {
    let share = if quick { 10 } else { 1 };
    let duration = Duration::from_secs(if quick { 4 } else { 15 });
    let one = |name, attack| Workload {
        name,
        kind: Kind::Hostile { attack, duration },
        figures: &["p99 alone", "p99", hostile::P99_RATIO, "memory alone", hostile::MOST_MEMORY],
    };
    vec![
        one(ONE_BYTE, Attack::OneByte { connections: 10_000 / share }),
        one(UNREAD_FETCHES, Attack::UnreadFetches { connections: 10, partitions: 1_000 / share as i32 }),
        one(UNREAD_ANSWERS, Attack::UnreadAnswers { connections: 50 }),
        one(LARGE_REQUESTS, Attack::LargeRequests { connections: 100, bytes: 100_000_000 }),
    ]
}

/// Runs a workload against one server, on a topic of its own that is deleted afterwards.
pub fn run(workload: &Workload, target: Target, topic: &str, dir: &Path) -> Result<Vec<Metric>> {
    if let Kind::Connections { count } = workload.kind {
        return connections::run(target, count);
    }
    let synced = matches!(workload.kind, Kind::Requests { synced: true, .. } | Kind::SyncedBatches { .. });
    let configs: &[(&str, &str)] = if synced { &[("flush.messages", "1")] } else { &[] };
    let mut connection = Connection::open(target.address)?;
    connection.create_topic(topic, workload.partitions(), configs)?;
    let done = on_topic(workload, target, topic, dir);
    connection.delete_topic(topic)?;
    done
}

fn on_topic(workload: &Workload, target: Target, topic: &str, dir: &Path) -> Result<Vec<Metric>> {
    let topic = topic.to_owned();
    let produce = |in_flight, connections, records_per_batch, record_size, requests, reserve| {
        let until = Until::Requests(requests);
        let options = produce::Options {
            topic: topic.clone(),
            partitions: 1,
            connections,
            in_flight,
            acks: 1,
            records_per_batch,
            record_size,
            codec: None,
            until,
            reserve,
        };
        produce::run(target, &options)
    };
    match workload.kind {
        Kind::Batches { record_size, batch_size, bytes } => {
            let (append, reserve) = warm_memory(dir, bytes)?;
            let records = batch::records_that_fit(batch_size, record_size);
            let requests = bytes / (records * record_size);
            let mut metrics = produce(5, 1, records, record_size, requests, Some(reserve))?.metrics();
            for metric in fetch::run(target, &topic, 0, 1 << 20)?.metrics() {
                match metric.name {
                    "throughput" => metrics.push(Metric { name: "fetch throughput", ..metric }),
                    "CPU per GB" => metrics.push(Metric { name: "fetch CPU per GB", ..metric }),
                    _ => {}
                }
            }
            metrics.push(append);
            Ok(metrics)
        }
        Kind::Requests { in_flight, connections, requests, .. } => {
            Ok(produce(in_flight, connections, 1, 100, requests, None)?.metrics())
        }
        Kind::SyncedBatches { connections, bytes } => {
            let (_, reserve) = warm_memory(dir, bytes)?;
            let records = batch::records_that_fit(1_000_000, 1024);
            let requests = bytes / (records * 1024) / connections;
            Ok(produce(1, connections, records, 1024, requests, Some(reserve))?.metrics())
        }
        Kind::EndToEnd { rate, records_per_batch, record_size, duration } => {
            let options =
                end_to_end::Options { topic, rate, records_per_batch, record_size, acks: 1, duration };
            Ok(end_to_end::run(target, &options)?.metrics())
        }
        Kind::Connections { count } => connections::run(target, count),
        Kind::Partitions { partitions, bytes } => {
            let (append, reserve) = warm_memory(dir, bytes)?;
            let mut metrics = growth::partitions(target, &topic, partitions, bytes, &reserve)?;
            metrics.push(append);
            Ok(metrics)
        }
        Kind::Active { connections, requests } => growth::connections(target, &topic, connections, requests),
        Kind::Readers { readers, bytes } => growth::readers(target, &topic, readers, bytes),
        Kind::Producers { producers, batches } => {
            let options = produce::Options {
                topic,
                partitions: PRODUCERS_PARTITIONS,
                connections: producers,
                in_flight: 1,
                acks: 1,
                records_per_batch: 16,
                record_size: 100,
                codec: None,
                until: Until::Requests(batches.div_ceil(producers)),
                reserve: None,
            };
            Ok(produce::run(target, &options)?.metrics())
        }
        Kind::Compressed { codec, bytes } => {
            let (append, reserve) = warm_memory(dir, bytes)?;
            let records = batch::records_that_fit(COMPRESSED_BATCH, COMPRESSED_RECORD);
            let options = produce::Options {
                topic,
                partitions: 1,
                connections: 1,
                in_flight: 5,
                acks: 1,
                records_per_batch: records,
                record_size: COMPRESSED_RECORD,
                codec: Some(codec),
                until: Until::Requests(bytes / (records * COMPRESSED_RECORD)),
                reserve: Some(reserve),
            };
            let mut metrics = produce::run(target, &options)?.metrics();
            metrics.push(append);
            Ok(metrics)
        }
        Kind::Librdkafka { program, record_size, records } => {
            // It is the other program that needs the memory.
            let (append, _) = warm_memory(dir, record_size * records)?;
            let mut metrics = librdkafka::run(target, &topic, program, record_size, records)?;
            metrics.push(append);
            Ok(metrics)
        }
        Kind::Hostile { attack, duration } => hostile::run(target, &topic, attack, duration),
        Kind::Groups(options) => groups::run(target, &topic, options),
        Kind::Commits { connections, requests } => {
            groups::commits::run(target, &topic, connections, requests)
        }
    }
}

/// Warms the page cache, and holds what the load is about to fill, with what its frames have beside values.
fn warm_memory(dir: &Path, bytes: usize) -> Result<(Metric, Arc<Reserve>)> {
    let append = warm_page_cache(dir, bytes)?;
    Ok((append, Arc::new(Reserve::take(bytes + bytes / 8)?)))
}

/// Writes a file as large as the load and deletes it, so that each system finds memory of the same kind: pages that
/// a virtual machine's host has taken back cost several times as much at their first touch. How fast that went says
/// what the page cache gives in this moment.
fn warm_page_cache(dir: &Path, bytes: usize) -> Result<Metric> {
    let path = dir.join("warm");
    let block = vec![1; 1 << 20];
    let mut file = File::create(&path)?;
    let begun = Instant::now();
    for _ in 0..bytes.div_ceil(block.len()) {
        file.write_all(&block)?;
    }
    let wall_s = begun.elapsed().as_secs_f64();
    drop(file);
    fs::remove_file(&path)?;
    Ok(Metric::new("page cache append", "MB/s", bytes as f64 / 1e6 / wall_s))
}
