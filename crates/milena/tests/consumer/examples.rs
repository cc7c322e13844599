//! The client's examples do what they say.

#[path = "../../../client/examples/group_consumer.rs"]
mod group_consumer;

use crate::harness::*;

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
