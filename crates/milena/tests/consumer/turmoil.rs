//! Members that come, go and vanish all the time: every record is read, and no partition has two live owners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::consumer::{Consumer, ListenerFuture, RebalanceListener};
use common::TopicPartition;

use crate::harness::*;

const MEMBERS: usize = 4;
const PARTITIONS: i32 = 8;
const TURMOIL: Duration = Duration::from_secs(5);

/// Who has which partition, by the members' own words.
#[derive(Default, Clone)]
struct Owners(Arc<Mutex<HashMap<TopicPartition, u64>>>);

struct Watch {
    owners: Owners,
    life: u64,
}

impl Watch {
    fn gone<'a>(&'a self, partitions: &'a [TopicPartition]) -> ListenerFuture<'a> {
        let mut owners = self.owners.0.lock().unwrap();
        for partition in partitions {
            // Of what was lost, somebody else may be the owner already.
            if owners.get(partition) == Some(&self.life) {
                owners.remove(partition);
            }
        }
        Box::pin(async { Ok(()) })
    }
}

impl RebalanceListener for Watch {
    fn on_partitions_assigned<'a>(&'a self, _: &'a Consumer, of: &'a [TopicPartition]) -> ListenerFuture<'a> {
        let mut owners = self.owners.0.lock().unwrap();
        for partition in of {
            let before = owners.insert(partition.clone(), self.life);
            assert!(before.is_none_or(|before| before == self.life), "{partition} has two owners");
        }
        Box::pin(async { Ok(()) })
    }

    fn on_partitions_revoked<'a>(&'a self, _: &'a Consumer, of: &'a [TopicPartition]) -> ListenerFuture<'a> {
        self.gone(of)
    }
}

/// A member that lives several times; every third life ends without a word.
async fn live(mut make: impl FnMut() -> Consumer, owners: Owners, member: usize, seen: Arc<Mutex<Seen>>) {
    let end = Instant::now() + TURMOIL;
    for turn in 0_usize.. {
        if Instant::now() >= end {
            return;
        }
        let life = (member * 1000 + turn) as u64;
        let mut consumer = make();
        consumer.set_rebalance_listener(Watch { owners: owners.clone(), life });
        let until = Instant::now() + Duration::from_millis(300 + (member * 370 + turn * 530) as u64 % 1100);
        while Instant::now() < until {
            let records = consumer.poll(Duration::from_millis(50)).await.unwrap();
            seen.lock().unwrap().add(&records);
        }
        match (member + turn) % 3 {
            0 => {
                drop(consumer);
                owners.0.lock().unwrap().retain(|_, owner| *owner != life);
            }
            _ => consumer.close(PATIENCE).await.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_turmoil_every_record_is_read_and_no_partition_has_two_owners() {
    let broker = Arc::new(Broker::start().await);
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(PARTITIONS).await, unique("group"));
        let (owners, seen) = (Owners::default(), Arc::new(Mutex::new(Seen::default())));
        let mut members = tokio::task::JoinSet::new();
        for member in 0..MEMBERS {
            let (broker, topic, group, kind) =
                (Arc::clone(&broker), topic.clone(), group.clone(), kind.clone());
            let make = move || {
                let mut consumer = broker.consumer(&group, &kind);
                consumer.subscribe([topic.as_str()]).unwrap();
                consumer
            };
            members.spawn(live(make, owners.clone(), member, Arc::clone(&seen)));
        }
        let mut produced = 0;
        let end = Instant::now() + TURMOIL;
        while Instant::now() < end {
            broker.produce(&topic, PARTITIONS, produced, 5).await;
            produced += 5;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while let Some(ended) = members.join_next().await {
            ended.unwrap();
        }
        // Somebody stays, and gets what nobody committed.
        let mut last = broker.consumer(&group, &kind);
        last.subscribe([topic.as_str()]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let all = produced * PARTITIONS as usize;
        while seen.lock().unwrap().0.len() < all {
            assert!(Instant::now() < deadline, "{} of {all}: {kind:?}", seen.lock().unwrap().0.len());
            let records = last.poll(Duration::from_millis(50)).await.unwrap();
            seen.lock().unwrap().add(&records);
        }
        last.close(PATIENCE).await.unwrap();
    }
    if let Some(broker) = Arc::into_inner(broker) {
        broker.stop().await;
    }
}
