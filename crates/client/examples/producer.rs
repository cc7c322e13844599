//! Makes a topic if it is not there, and sends it lines, each with its result:
//!
//! ```sh
//! cargo run -p client --example producer -- localhost:9092 greetings compression.type=zstd < lines.txt
//! ```

use std::error::Error;
use std::io::BufRead;

use client::producer::{Producer, ProducerConfig, ProducerRecord, RecordMetadata};
use client::{Admin, ClientConfig, ClientError, NewTopic};
use common::ErrorCode;

/// Makes the topic with the broker's own numbers of partitions and replicas. One that is there already is as good.
pub async fn make_topic(bootstrap_servers: &str, topic: &str) -> Result<(), ClientError> {
    let admin = Admin::new(ClientConfig::new(bootstrap_servers));
    let topic = NewTopic { name: topic.to_owned(), ..NewTopic::default() };
    for result in admin.create_topics(&[topic], false).await? {
        match result {
            Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Sends the lines, and returns where each of them went.
pub async fn run(
    bootstrap_servers: &str,
    topic: &str,
    settings: &[(&str, &str)],
    lines: impl IntoIterator<Item = String>,
) -> Result<Vec<RecordMetadata>, ClientError> {
    let mut config = ProducerConfig::new(bootstrap_servers);
    for (key, value) in settings {
        config.set(key, value)?;
    }
    let producer = Producer::new(config);
    let mut deliveries = Vec::new();
    for line in lines {
        // This waits where `buffer.memory` is full of records that are on their way, and for nothing else.
        deliveries.push(producer.send(ProducerRecord::new(topic, line)).await?);
    }
    let mut places = Vec::new();
    for delivery in deliveries {
        places.push(delivery.await?);
    }
    Ok(places)
}

// The tests include this file for what stands above.
#[allow(dead_code)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap_servers, topic, settings @ ..] = arguments.as_slice() else {
        return Err("usage: producer BOOTSTRAP-SERVERS TOPIC [KEY=VALUE...]".into());
    };
    let settings: Vec<(&str, &str)> = settings.iter().filter_map(|setting| setting.split_once('=')).collect();
    make_topic(bootstrap_servers, topic).await?;
    let lines = std::io::stdin().lock().lines().collect::<Result<Vec<String>, _>>()?;
    for place in run(bootstrap_servers, topic, &settings, lines).await? {
        println!("partition {}, offset {}", place.partition, place.offset);
    }
    Ok(())
}
