//! The client's examples do what they say.

#[path = "../../../client/examples/group_consumer.rs"]
mod group_consumer;
#[path = "../../../client/examples/producer.rs"]
mod producer;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producer_makes_its_topic_and_says_where_each_line_went() {
    let broker = Broker::start().await;
    let (topic, group) = (unique("topic"), unique("group"));
    for _ in 0..2 {
        producer::make_topic(&broker.address, &topic).await.unwrap();
    }
    let lines: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
    let settings = [("compression.type", "zstd"), ("linger.ms", "0")];
    let places = producer::run(&broker.address, &topic, &settings, lines.clone()).await.unwrap();
    let mut seen = Seen::default();
    let reading = group_consumer::run(&broker.address, &group, &topic, &[], |record| {
        let number = lines.iter().position(|line| record.value.as_deref() == Some(line.as_bytes())).unwrap();
        assert_eq!((places[number].partition, places[number].offset), (record.partition, record.offset));
        seen.add(std::slice::from_ref(record));
        seen.0.len() < lines.len()
    });
    tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    seen.assert_each_once(20, &"lines");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_consumer_works_on_every_record_once() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(3).await, unique("group"));
        let mut seen = Seen::default();
        // It ends twice in the middle, and goes on where it was.
        for round in 1..=3 {
            broker.produce(&topic, 3, round * 10, 10).await;
            let working = group_consumer::run(&broker.address, &group, &topic, &kind, |record| {
                seen.add(std::slice::from_ref(record));
                seen.0.len() < round * 30
            });
            tokio::time::timeout(PATIENCE, working).await.unwrap().unwrap();
        }
        seen.assert_each_once(90, &kind);
    }
    broker.stop().await;
}
