//! What happens to members: silence, fencing, restarts, wake-ups.

use std::time::Duration;

use client::ClientError;
use client::consumer::GroupMembershipOperation;
use common::ErrorCode;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_poll_leaves_and_comes_back() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(2).await, unique("group"));
        let quick = [&kind[..], &[("max.poll.interval.ms", "1500")]].concat();
        let heard = Heard::default();
        let mut silent = broker.consumer(&group, &quick);
        silent.set_rebalance_listener(heard.clone());
        silent.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut silent], &mut seen, |all, _| share(all, &[2])).await;
        let before = silent.group_metadata().unwrap();
        assert!(before.generation_id > 0 && !before.member_id.is_empty());
        // The application is busy; another member gets everything.
        let mut other = broker.consumer(&group, &kind);
        other.subscribe([topic.as_str()]).unwrap();
        poll_until(&mut [&mut other], &mut seen, |all, _| share(all, &[2])).await;
        assert!(matches!(silent.commit_sync().await, Err(ClientError::CommitFailed)), "{kind:?}");
        heard.take();
        poll_until(&mut [&mut silent, &mut other], &mut seen, |all, _| share(all, &[1, 1])).await;
        assert!(heard.take().contains(&("lost", vec![0, 1])), "{kind:?}");
        silent.close(PATIENCE).await.unwrap();
        other.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_that_comes_back_has_what_it_had() {
    let broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(2).await, unique("group"));
        let named = |name: &'static str| [&kind[..], &[("group.instance.id", name)]].concat();
        let (mut one, mut two) =
            (broker.consumer(&group, &named("one")), broker.consumer(&group, &named("two")));
        one.subscribe([topic.as_str()]).unwrap();
        two.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut one, &mut two], &mut seen, |all, _| share(all, &[1, 1])).await;
        commit_of_first(&mut [&mut one, &mut two], &mut seen).await;
        let had = partitions_of(&one);
        one.close(PATIENCE).await.unwrap();
        for _ in 0..10 {
            two.poll(Duration::from_millis(20)).await.unwrap();
        }
        assert_eq!(two.assignment().len(), 1, "nobody takes over what is expected back: {kind:?}");
        let mut one = broker.consumer(&group, &named("one"));
        one.subscribe([topic.as_str()]).unwrap();
        poll_until(&mut [&mut one, &mut two], &mut seen, |all, _| share(all, &[1, 1])).await;
        assert_eq!(partitions_of(&one), had, "{kind:?}");
        // Somebody else with the name.
        let mut usurper = broker.consumer(&group, &named("one"));
        usurper.subscribe([topic.as_str()]).unwrap();
        let refused = match kind[0] {
            // The classic coordinator believes the newcomer, the one of KIP-848 the member it has.
            ("group.protocol", _) => error_of(&mut usurper).await,
            _ => {
                let polling = async {
                    loop {
                        usurper.poll(Duration::from_millis(50)).await.unwrap();
                    }
                };
                tokio::select! { error = error_of(&mut one) => error, () = polling => unreachable!() }
            }
        };
        let expected = match kind[0] {
            ("group.protocol", _) => ErrorCode::UnreleasedInstanceId,
            _ => ErrorCode::FencedInstanceId,
        };
        assert_eq!(refused.code(), Some(expected), "{kind:?}");
        drop(usurper);
        two.close_with(GroupMembershipOperation::LeaveGroup, PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_end_when_they_are_told_to() {
    let broker = Broker::start().await;
    let mut consumer = broker.consumer(&unique("group"), &[]);
    assert!(matches!(consumer.poll(Duration::ZERO).await, Err(ClientError::IllegalState(_))));
    consumer.subscribe([broker.topic(1).await]).unwrap();
    let waker = consumer.waker();
    waker.wakeup();
    assert!(matches!(consumer.poll(PATIENCE).await, Err(ClientError::Wakeup)));
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        waker.wakeup();
    };
    let (polled, ()) = tokio::join!(consumer.poll(PATIENCE), later);
    assert!(matches!(polled, Err(ClientError::Wakeup)));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebalance_can_be_enforced() {
    let broker = Broker::start().await;
    for assignor in ["range", "cooperative-sticky"] {
        let topic = broker.topic(2).await;
        let kind = [("partition.assignment.strategy", assignor), ("heartbeat.interval.ms", "100")];
        let mut consumer = broker.consumer(&unique("group"), &kind);
        consumer.subscribe([topic.as_str()]).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut [&mut consumer], &mut seen, |all, _| share(all, &[2])).await;
        let before = consumer.group_metadata().unwrap().generation_id;
        consumer.enforce_rebalance();
        poll_until(&mut [&mut consumer], &mut seen, |all, _| {
            all[0].group_metadata().unwrap().generation_id > before && share(all, &[2])
        })
        .await;
        consumer.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_coordinator_refuses_is_told() {
    let broker = Broker::start().await;
    let topic = broker.topic(1).await;
    let mut consumer = broker
        .consumer(&unique("group"), &[("group.protocol", "consumer"), ("group.remote.assignor", "best")]);
    consumer.subscribe([topic.as_str()]).unwrap();
    assert_eq!(error_of(&mut consumer).await.code(), Some(ErrorCode::UnsupportedAssignor));
    let mut consumer = broker.consumer(&unique("group"), &[("group.protocol", "consumer")]);
    consumer.subscribe_re2j_pattern("(?=").unwrap();
    assert_eq!(error_of(&mut consumer).await.code(), Some(ErrorCode::InvalidRegularExpression));
    let mut consumer = broker.consumer(&unique("group"), &[("session.timeout.ms", "3600001")]);
    consumer.subscribe([topic.as_str()]).unwrap();
    assert_eq!(error_of(&mut consumer).await.code(), Some(ErrorCode::InvalidSessionTimeout));
    // A member of another kind.
    let group = unique("group");
    let mut one = broker.consumer(&group, &[("partition.assignment.strategy", "range")]);
    one.subscribe([topic.as_str()]).unwrap();
    poll_until(&mut [&mut one], &mut Seen::default(), |all, _| share(all, &[1])).await;
    let mut two = broker.consumer(&group, &[("partition.assignment.strategy", "roundrobin")]);
    two.subscribe([topic.as_str()]).unwrap();
    assert_eq!(error_of(&mut two).await.code(), Some(ErrorCode::InconsistentGroupProtocol));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_outlive_a_restart_of_the_coordinator() {
    let mut broker = Broker::start().await;
    for kind in both_protocols() {
        let (topic, group) = (broker.topic(2).await, unique("group"));
        let heard = Heard::default();
        let (mut one, mut two) = (broker.consumer(&group, &kind), broker.consumer(&group, &kind));
        one.set_rebalance_listener(heard.clone());
        one.subscribe([topic.as_str()]).unwrap();
        two.subscribe([topic.as_str()]).unwrap();
        broker.produce(&topic, 2, 0, 5).await;
        let mut seen = Seen::default();
        poll_until(&mut [&mut one, &mut two], &mut seen, |all, seen| {
            share(all, &[1, 1]) && seen.0.len() == 10
        })
        .await;
        commit_of_first(&mut [&mut one, &mut two], &mut seen).await;
        heard.take();
        let meanwhile = async {
            for _ in 0..5 {
                assert!(one.poll(Duration::from_millis(20)).await.unwrap().is_empty());
                assert!(two.poll(Duration::from_millis(20)).await.unwrap().is_empty());
            }
        };
        let Some(again) = broker.restart(meanwhile).await else { return };
        broker = again;
        broker.produce(&topic, 2, 5, 5).await;
        poll_until(&mut [&mut one, &mut two], &mut seen, |all, seen| {
            share(all, &[1, 1]) && seen.0.len() == 20
        })
        .await;
        seen.assert_each_once(20, &kind);
        commit_of_first(&mut [&mut one, &mut two], &mut seen).await;
        // The end of the rebalance before may be heard late, with nothing in it.
        assert!(heard.take().iter().all(|(_, of)| of.is_empty()), "the group is the one it was: {kind:?}");
        one.close(PATIENCE).await.unwrap();
        two.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}
