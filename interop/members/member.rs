//! A member of a group on milena's own client: member BOOTSTRAP GROUP TOPIC [KEY=VALUE...]
//!
//! It says on its standard output what becomes of it (README.md), and leaves the group when its standard input ends.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use client::consumer::{Consumer, ConsumerConfig, ListenerFuture, RebalanceListener};
use client::{ClientError, ConsumerRecord};
use common::TopicPartition;

const COMMIT_EVERY: Duration = Duration::from_millis(300);

/// One line, written at once: whoever is killed has said it whole or not at all.
fn say(event: &str) {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // Whoever reads it is gone: then nobody is to be told.
    let _ = out.write_all(format!("{} {event}\n", since.as_micros()).as_bytes()).and_then(|()| out.flush());
}

/// What a member says of partitions that come and go.
struct Says;

impl Says {
    fn partitions(what: &str, consumer: &Consumer, partitions: &[TopicPartition]) {
        let generation = consumer.group_metadata().map_or(-1, |group| group.generation_id);
        let numbers: Vec<String> = partitions.iter().map(|at| at.partition.to_string()).collect();
        say(&format!("{what} {generation} {}", numbers.join(",")));
    }
}

impl RebalanceListener for Says {
    fn on_partitions_assigned<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        Says::partitions("assigned", consumer, partitions);
        Box::pin(async { Ok(()) })
    }

    fn on_partitions_revoked<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        Box::pin(async move {
            if let Err(error) = consumer.commit_sync().await {
                say(&format!("error commit: {error}"));
            }
            Says::partitions("revoked", consumer, partitions);
            Ok(())
        })
    }

    fn on_partitions_lost<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        Says::partitions("lost", consumer, partitions);
        Box::pin(async { Ok(()) })
    }
}

/// Says which records of each partition a poll returned.
fn read(records: &[ConsumerRecord]) {
    let mut runs: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for record in records {
        let run = runs.entry(record.partition).or_insert((record.offset, record.offset - 1));
        if record.offset != run.1 + 1 {
            say(&format!("error records are missing between {} and {}", run.1, record.offset));
        }
        run.1 = record.offset;
    }
    for (partition, (first, last)) in runs {
        say(&format!("read {partition} {first} {last}"));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, topic, settings @ ..] = arguments.as_slice() else {
        return Err("member BOOTSTRAP GROUP TOPIC [KEY=VALUE...]".into());
    };
    let mut config = ConsumerConfig::new(bootstrap.as_str());
    config.set("group.id", group)?;
    config.set("enable.auto.commit", "false")?;
    config.set("auto.offset.reset", "earliest")?;
    for (key, value) in settings.iter().filter_map(|setting| setting.split_once('=')) {
        config.set(key, value)?;
    }
    let leaving = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&leaving);
    std::thread::spawn(move || {
        // An error is an end, too.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        asked.store(true, Ordering::Relaxed);
    });

    let mut consumer = Consumer::new(config)?;
    consumer.set_rebalance_listener(Says);
    consumer.subscribe([topic.as_str()])?;
    let mut committed = Instant::now();
    while !leaving.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(100)).await {
            Ok(records) => read(&records),
            Err(error @ ClientError::Closed) => return Err(error.into()),
            Err(error) => say(&format!("error {error}")),
        }
        if committed.elapsed() >= COMMIT_EVERY {
            committed = Instant::now();
            // Nobody waits for it: a rebalance commits once more.
            drop(consumer.commit_async());
        }
    }
    consumer.close(Duration::from_secs(30)).await?;
    say("left");
    Ok(())
}
