//! Reads a topic as a member of a group, and commits what it has worked on, no more and no less:
//!
//! ```sh
//! cargo run -p client --example group_consumer -- localhost:9092 readers greetings group.protocol=consumer
//! ```
//!
//! Started several times, the members share the topic's partitions.

use std::error::Error;
use std::time::Duration;

use client::consumer::{Consumer, ConsumerConfig, ListenerFuture, RebalanceListener};
use client::{ClientError, ConsumerRecord};
use common::TopicPartition;

/// Commits before partitions go to another member: nothing is worked on twice.
struct CommitBefore;

impl RebalanceListener for CommitBefore {
    fn on_partitions_revoked<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        Box::pin(async move {
            println!("letting go of {partitions:?}");
            consumer.commit_sync().await
        })
    }

    fn on_partitions_assigned<'a>(
        &'a self,
        _consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        println!("reading {partitions:?}");
        Box::pin(async { Ok(()) })
    }

    fn on_partitions_lost<'a>(
        &'a self,
        _consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        println!("{partitions:?} are somebody else's by now");
        Box::pin(async { Ok(()) })
    }
}

/// Works on the records of a topic until `work` says that it is enough.
pub async fn run(
    bootstrap_servers: &str,
    group: &str,
    topic: &str,
    settings: &[(&str, &str)],
    mut work: impl FnMut(&ConsumerRecord) -> bool,
) -> Result<(), ClientError> {
    let mut config = ConsumerConfig::new(bootstrap_servers);
    config.set("group.id", group)?;
    config.set("auto.offset.reset", "earliest")?;
    config.set("enable.auto.commit", "false")?;
    for (key, value) in settings {
        config.set(key, value)?;
    }
    let mut consumer = Consumer::new(config)?;
    consumer.set_rebalance_listener(CommitBefore);
    consumer.subscribe([topic])?;
    let mut goes_on = true;
    while goes_on {
        for record in consumer.poll(Duration::from_secs(1)).await? {
            goes_on &= work(&record);
        }
        match consumer.commit_sync().await {
            // The next poll takes part in the rebalance; what was worked on is committed in the middle of that.
            Ok(()) | Err(ClientError::RebalanceInProgress) => {}
            // Out of the group: somebody else works on these records again.
            Err(ClientError::CommitFailed) => eprintln!("the last records will be worked on again"),
            Err(error) => return Err(error),
        }
    }
    consumer.close(Duration::from_secs(30)).await
}

// The tests include this file for what stands above.
#[allow(dead_code)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap_servers, group, topic, settings @ ..] = arguments.as_slice() else {
        return Err("usage: group_consumer BOOTSTRAP-SERVERS GROUP TOPIC [KEY=VALUE...]".into());
    };
    let settings: Vec<(&str, &str)> = settings.iter().filter_map(|setting| setting.split_once('=')).collect();
    run(bootstrap_servers, group, topic, &settings, |record| {
        let value = record.value.as_deref().unwrap_or_default();
        println!(
            "{}-{} {}: {}",
            record.topic,
            record.partition,
            record.offset,
            String::from_utf8_lossy(value)
        );
        true
    })
    .await?;
    Ok(())
}
