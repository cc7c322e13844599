//! Assignors of the application's own, in groups of the classic protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use client::consumer::assignor::{Member, MemberAssignment, PartitionAssignor, Topics};
use client::consumer::{Consumer, GroupMetadata};
use common::TopicPartition;

use crate::harness::*;

/// Each member says how much it can bear, and gets so many partitions.
struct ByStrength {
    strength: u8,
    told: Arc<Mutex<Vec<String>>>,
}

impl PartitionAssignor for ByStrength {
    fn name(&self) -> &str {
        "by-strength"
    }

    fn subscription_user_data(&self, _: &BTreeSet<String>) -> Option<Vec<u8>> {
        Some(vec![self.strength])
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, MemberAssignment> {
        let mut partitions = topics.iter().flat_map(|(topic, layout)| {
            (0..).take(layout.racks.len()).map(|partition| TopicPartition::new(topic.as_str(), partition))
        });
        let share = |member: &Member| {
            let strength = member.subscription.user_data.as_ref().map_or(0, |data| data[0]);
            let partitions: Vec<_> = partitions.by_ref().take(usize::from(strength)).collect();
            let user_data = Some(format!("of {} members", members.len()).into_bytes());
            (member.id.clone(), MemberAssignment { partitions, user_data })
        };
        members.iter().map(share).collect()
    }

    fn on_assignment(&self, assignment: &MemberAssignment, group: &GroupMetadata) {
        assert!(group.generation_id > 0 && !group.member_id.is_empty());
        let text = String::from_utf8(assignment.user_data.clone().unwrap()).unwrap();
        self.told.lock().unwrap().push(text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_applications_own_assignor_divides_and_is_told() {
    let broker = Broker::start().await;
    let (topic, group) = (broker.topic(4).await, unique("group"));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let member = |strength| {
        let mut config =
            broker.config(&group, &[("heartbeat.interval.ms", "100"), ("session.timeout.ms", "6000")]);
        config.register_assignor(ByStrength { strength, told: Arc::clone(&told) });
        assert!(config.set("partition.assignment.strategy", "by-strength,range").unwrap());
        let mut consumer = Consumer::new(config).unwrap();
        consumer.subscribe([topic.as_str()]).unwrap();
        consumer
    };
    let (mut strong, mut weak) = (member(3), member(1));
    broker.produce(&topic, 4, 0, 10).await;
    let mut seen = Seen::default();
    poll_until(&mut [&mut strong, &mut weak], &mut seen, |consumers, seen| {
        partitions_of(consumers[0]).len() == 3 && partitions_of(consumers[1]).len() == 1 && seen.0.len() == 40
    })
    .await;
    assert!(told.lock().unwrap().contains(&"of 2 members".to_owned()));
    broker.stop().await;
}
