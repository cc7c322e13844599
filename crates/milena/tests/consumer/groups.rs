//! Members share topics, come and go; every record is read by one of them.

use std::time::Duration;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_every_record_is_read_once() {
    let broker = Broker::start().await;
    for kind in all_kinds() {
        let (topic, group) = (broker.topic(4).await, unique("group"));
        broker.produce(&topic, 4, 0, 25).await;
        let mut seen = Seen::default();
        let mut one = broker.consumer(&group, &kind);
        one.subscribe([topic.as_str()]).unwrap();
        poll_until(&mut [&mut one], &mut seen, |all, seen| share(all, &[4]) && seen.0.len() == 100).await;
        let mut two = broker.consumer(&group, &kind);
        two.subscribe([topic.as_str()]).unwrap();
        poll_until(&mut [&mut one, &mut two], &mut seen, |all, _| share(all, &[2, 2])).await;
        broker.produce(&topic, 4, 25, 25).await;
        let mut three = broker.consumer(&group, &kind);
        three.subscribe([topic.as_str()]).unwrap();
        poll_until(&mut [&mut one, &mut two, &mut three], &mut seen, |all, seen| {
            share(all, &[1, 1, 2]) && seen.0.len() == 200
        })
        .await;
        // Who goes hands over what it has, at once, and cannot commit amid a rebalance.
        commit_of_first(&mut [&mut one, &mut two, &mut three], &mut seen).await;
        one.close(PATIENCE).await.unwrap();
        broker.produce(&topic, 4, 50, 25).await;
        poll_until(&mut [&mut two, &mut three], &mut seen, |all, seen| {
            share(all, &[2, 2]) && seen.0.len() == 300
        })
        .await;
        // Unlike a close, this commits nothing by itself.
        commit_of_first(&mut [&mut two, &mut three], &mut seen).await;
        two.unsubscribe().await.unwrap();
        assert!(two.assignment().is_empty());
        poll_until(&mut [&mut three], &mut seen, |all, _| share(all, &[4])).await;
        three.close(PATIENCE).await.unwrap();
        // Nobody forgot what was read.
        let mut last = broker.consumer(&group, &kind);
        last.subscribe([topic.as_str()]).unwrap();
        broker.produce(&topic, 4, 75, 1).await;
        poll_until(&mut [&mut last], &mut seen, |all, seen| share(all, &[4]) && seen.0.len() == 304).await;
        seen.assert_each_once(304, &kind);
        last.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_hear_what_comes_and_goes() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(2).await, unique("group"));
        let (heard_one, heard_two) = (Heard::default(), Heard::default());
        let mut one = broker.consumer(&group, &kind);
        one.set_rebalance_listener(heard_one.clone());
        one.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut one], &mut seen, |all, _| share(all, &[2])).await;
        let first = heard_one.take();
        assert_eq!(first.last(), Some(&("assigned", vec![0, 1])), "{kind:?}");
        assert!(
            first.iter().all(|(what, of)| *what == "assigned" && (of.is_empty() || of.len() == 2)),
            "{first:?}"
        );
        let mut two = broker.consumer(&group, &kind);
        two.set_rebalance_listener(heard_two.clone());
        two.subscribe([topic.as_str()]).unwrap();
        poll_until(&mut [&mut one, &mut two], &mut seen, |all, _| share(all, &[1, 1])).await;
        // Who leaves amid a rebalance loses its partitions instead.
        commit_of_first(&mut [&mut one, &mut two], &mut seen).await;
        let kept: Vec<i32> = partitions_of(&one).into_iter().collect();
        let given: Vec<i32> = partitions_of(&two).into_iter().collect();
        let told = |heard: &Heard, what: &str| -> Vec<i32> {
            heard.take().into_iter().filter(|(kind, _)| *kind == what).flat_map(|(_, of)| of).collect()
        };
        // What stays is not taken away in between.
        assert_eq!(told(&heard_one, "revoked"), given, "{kind:?}");
        assert_eq!(told(&heard_two, "assigned"), given, "{kind:?}");
        one.close(PATIENCE).await.unwrap();
        assert_eq!(told(&heard_one, "revoked"), kept, "{kind:?}");
        two.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_match_are_read_and_so_are_later_ones() {
    let broker = Broker::start().await;
    let [classic, consumer] = both_protocols();
    for (kind, is_re2) in [(&classic, false), (&consumer, false), (&consumer, true)] {
        let (prefix, group) = (unique("pattern"), unique("group"));
        let (first, later) = (format!("{prefix}-a"), format!("{prefix}-b"));
        broker.create(&first, 1).await;
        broker.produce(&first, 1, 0, 5).await;
        let mut consumer = broker.consumer(&group, kind);
        match is_re2 {
            true => consumer.subscribe_re2j_pattern(&format!("{prefix}-.*")).unwrap(),
            false => consumer.subscribe_pattern(&format!("{prefix}-(?!c).*")).unwrap(),
        }
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 5).await;
        if !is_re2 {
            // The coordinator looks again every ten seconds at the soonest: that is its own tests' matter.
            broker.create(&later, 1).await;
            broker.produce(&later, 1, 5, 5).await;
            poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 10).await;
        }
        // On with one topic by its name.
        consumer.subscribe([first.as_str()]).unwrap();
        poll_until(&mut [&mut consumer], &mut seen, |all, _| {
            all[0].assignment().iter().all(|partition| *partition.topic == *first) && share(all, &[1])
        })
        .await;
        consumer.close(PATIENCE).await.unwrap();
    }
    let mut consumer = broker.consumer(&unique("group"), &classic);
    assert!(consumer.subscribe_re2j_pattern("a.*").is_err());
    assert!(consumer.subscribe_pattern("*").is_err());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_comes_later_is_read_and_so_are_new_partitions() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (unique("later"), unique("group"));
        let mut consumer =
            broker.consumer(&group, &[&kind[..], &[("allow.auto.create.topics", "false")]].concat());
        consumer.subscribe([topic.as_str()]).unwrap();
        assert!(consumer.poll(Duration::from_millis(300)).await.unwrap().is_empty());
        broker.create(&topic, 1).await;
        broker.produce(&topic, 1, 0, 3).await;
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 3).await;
        let admin = client::Admin::new(client::ClientConfig::new(broker.address.as_str()));
        admin.create_partitions(&topic, 3, None).await.unwrap();
        poll_until(&mut [&mut consumer], &mut seen, |all, _| share(all, &[3])).await;
        consumer.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}
