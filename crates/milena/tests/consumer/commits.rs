//! Offsets: committed by hand and by themselves, found again, moved.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::ClientError;
use client::consumer::{Consumer, ConsumerInterceptor, OffsetAndMetadata, Offsets, StartOffset};
use common::{ErrorCode, TopicPartition};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_found_again() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(2).await, unique("group"));
        broker.produce(&topic, 2, 0, 10).await;
        let (zero, one) = (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
        let manual = [&kind[..], &[("enable.auto.commit", "false")]].concat();
        let mut consumer = broker.consumer(&group, &manual);
        consumer.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 20).await;
        let both = [zero.clone(), one.clone()];
        assert!(consumer.committed(&both).await.unwrap().values().all(Option::is_none));
        let offset = OffsetAndMetadata { offset: 4, leader_epoch: Some(0), metadata: "noted".to_owned() };
        consumer.commit_sync_offsets(Offsets::from([(zero.clone(), offset.clone())])).await.unwrap();
        let committed = consumer.committed(&both).await.unwrap();
        assert_eq!((&committed[&zero], &committed[&one]), (&Some(offset), &None));
        // Later commits win, whoever waits for which.
        let mut pending = Vec::new();
        for offset in 0..50 {
            let offsets = Offsets::from([(one.clone(), OffsetAndMetadata::from(offset % 10))]);
            pending.push(consumer.commit_async_offsets(offsets).unwrap());
        }
        consumer.commit_sync_offsets(Offsets::from([(one.clone(), 7.into())])).await.unwrap();
        for commit in pending {
            commit.wait().await.unwrap();
        }
        assert_eq!(consumer.committed(&both).await.unwrap()[&one].as_ref().unwrap().offset, 7);
        let unknown = Offsets::from([(TopicPartition::new(unique("nothing"), 0), 1.into())]);
        let refused = consumer.commit_async_offsets(unknown).unwrap().wait().await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::UnknownTopicOrPartition));
        // Closed without committing: the next one goes on from what was committed.
        consumer.close(PATIENCE).await.unwrap();
        let mut next = broker.consumer(&group, &manual);
        next.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut next], &mut seen, |_, seen| seen.0.len() == 6 + 3).await;
        seen.assert_each_once(9, &kind);
        next.commit_sync().await.unwrap();
        let committed = next.committed(&both).await.unwrap();
        assert!(committed.values().all(|offset| offset.as_ref().is_some_and(|offset| offset.offset == 10)));
        next.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_polls_returned_is_committed_from_time_to_time() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(1).await, unique("group"));
        broker.produce(&topic, 1, 0, 3).await;
        let partition = TopicPartition::new(topic.as_str(), 0);
        let often = [&kind[..], &[("auto.commit.interval.ms", "50")]].concat();
        let mut consumer = broker.consumer(&group, &often);
        consumer.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 3).await;
        let deadline = std::time::Instant::now() + PATIENCE;
        while consumer.committed(std::slice::from_ref(&partition)).await.unwrap()[&partition]
            .as_ref()
            .map(|offset| offset.offset)
            != Some(3)
        {
            assert!(std::time::Instant::now() < deadline);
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
        consumer.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_ones_own_choice_begin_where_the_group_is() {
    let broker = Broker::start().await;
    let (topic, group) = (broker.topic(1).await, unique("group"));
    broker.produce(&topic, 1, 0, 10).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut consumer = broker.consumer(&group, &[("enable.auto.commit", "false")]);
    consumer.assign([(partition.clone(), StartOffset::Earliest)]).unwrap();
    consumer.commit_sync_offsets(Offsets::from([(partition.clone(), 6.into())])).await.unwrap();
    assert_eq!(consumer.await_position(&partition, PATIENCE).await.unwrap(), 0);
    consumer.seek(&partition, StartOffset::Committed).unwrap();
    let mut seen = Seen::default();
    poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 4).await;
    assert!(matches!(consumer.subscribe([topic.as_str()]), Err(ClientError::IllegalState(_))));
    consumer.close(PATIENCE).await.unwrap();
    // Without a group there is nothing to commit to, and nothing to be found.
    let mut config = broker.config(&group, &[]);
    config.group_id = None;
    let mut alone = client::Consumer::new(config).unwrap();
    alone.assign([partition.clone()]).unwrap();
    assert!(alone.commit_sync().await.is_err());
    assert!(alone.subscribe([topic.as_str()]).is_err());
    assert_eq!(alone.await_position(&partition, PATIENCE).await.unwrap(), 0);
    let mut config = broker.config(&unique("group"), &[("auto.offset.reset", "none")]);
    config.group_id = Some(unique("group"));
    let mut strict = client::Consumer::new(config).unwrap();
    strict.assign([partition.clone()]).unwrap();
    assert!(matches!(error_of(&mut strict).await, ClientError::NoOffset { .. }));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_can_be_moved_paused_and_measured() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(2).await, unique("group"));
        broker.produce(&topic, 2, 0, 10).await;
        let (zero, one) = (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
        let mut consumer = broker.consumer(&group, &kind);
        consumer.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 20).await;
        assert_eq!(consumer.current_lag(&zero), Some(0));
        consumer.pause(std::slice::from_ref(&zero)).unwrap();
        assert_eq!(consumer.paused(), std::slice::from_ref(&zero));
        consumer.seek_to_beginning(&[]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 10).await;
        for _ in 0..5 {
            seen.add(&consumer.poll(Duration::from_millis(20)).await.unwrap());
        }
        assert!(seen.0.keys().all(|value| value.starts_with("1-")), "{:?}", seen.0);
        consumer.resume(std::slice::from_ref(&zero)).unwrap();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 20).await;
        consumer.seek(&one, StartOffset::At(8)).unwrap();
        assert_eq!(consumer.position(&one), Some(8));
        consumer.seek_to_end(std::slice::from_ref(&zero)).unwrap();
        assert_eq!(consumer.await_position(&zero, PATIENCE).await.unwrap(), 10);
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 2).await;
        assert!(consumer.pause(&[TopicPartition::new("other", 0)]).is_err());
        consumer.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

/// What was committed, in its order.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<(i32, i64)>>>);

impl ConsumerInterceptor for Ledger {
    fn on_commit(&self, offsets: &Offsets) {
        let entries = offsets.iter().map(|(partition, offset)| (partition.partition, offset.offset));
        self.0.lock().unwrap().extend(entries);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interceptors_see_what_was_committed_and_nothing_else() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(1).await, unique("group"));
        broker.produce(&topic, 1, 0, 5).await;
        let ledger = Ledger::default();
        let mut config = broker.config(&group, &kind);
        config.interceptors.add(ledger.clone());
        let mut consumer = Consumer::new(config).unwrap();
        consumer.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |_, seen| seen.0.len() == 5).await;
        let partition = TopicPartition::new(topic.as_str(), 0);
        consumer.commit_sync_offsets(Offsets::from([(partition.clone(), 2.into())])).await.unwrap();
        consumer.commit_async_offsets(Offsets::from([(partition, 3.into())])).unwrap().wait().await.unwrap();
        let unknown = Offsets::from([(TopicPartition::new(unique("nothing"), 0), 1.into())]);
        consumer.commit_async_offsets(unknown).unwrap().wait().await.unwrap_err();
        // The last is the consumer's own.
        consumer.close(PATIENCE).await.unwrap();
        assert_eq!(*ledger.0.lock().unwrap(), [(0, 2), (0, 3), (0, 5)], "{kind:?}");
    }
    broker.stop().await;
}
