//! What cannot be read: subscriptions, assignments, and what is on disk.

use super::*;

/// Subscriptions and assignments that are none: empty, cut off, counts that lie, versions that are not.
fn unreadable() -> Vec<Vec<u8>> {
    let mut cut = subscription(&["words"]);
    cut.truncate(7);
    vec![
        Vec::new(),
        vec![0],
        vec![0xff; 40],
        vec![0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0],
        vec![0, 3, 0, 0, 0, 1, 0x7f, 0xff],
        cut,
    ]
}

#[test]
fn a_group_whose_subscriptions_cannot_be_read_works_and_is_kept() {
    for (number, metadata) in unreadable().into_iter().enumerate() {
        let mut world = world();
        let mut clients = vec![client("g"), client("g")];
        for client in &mut clients {
            client.protocols = vec![("range".to_owned(), metadata.clone())];
        }
        world.stabilize(&mut clients);
        // It is the leader's business what they mean.
        let described = world.describe("g");
        assert!(described.members.iter().all(|member| member.member_metadata == metadata), "{number}");
        assert_eq!(world.commit(&clients[0], &[("words", 1, 17)]), [ErrorCode::None]);
        world.restart();
        assert_eq!(world.state("g"), "Stable", "{number}");
        for client in &clients {
            assert_eq!(world.heartbeat(client), ErrorCode::None, "{number}");
        }
        assert_eq!(world.fetch("g", "words", 1), Ok(17));
    }
}

#[test]
fn a_group_whose_subscriptions_cannot_be_read_is_not_upgraded_and_goes_on() {
    for (number, metadata) in unreadable().into_iter().enumerate() {
        let mut world = world();
        let mut clients = vec![client("g")];
        clients[0].protocols = vec![("range".to_owned(), metadata)];
        world.stabilize(&mut clients);
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "new".to_owned(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["words".to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        let (answer, reply) = Answer::new();
        world.coordinator.consumer_group_heartbeat(&world.context(1), request, world.now_ms, reply);
        assert_eq!(ErrorCode::from_code(answer.get().error_code), ErrorCode::GroupIdNotFound, "{number}");
        assert_eq!(world.heartbeat(&clients[0]), ErrorCode::None, "{number}");
    }
}

#[test]
fn damage_in_the_log_costs_the_records_that_it_hit_and_no_others() {
    let groups: Vec<String> = (0..8).map(|number| format!("group-{number}")).collect();
    let fresh = world();
    let mut starts = Vec::new();
    for group in &groups {
        starts.push(fresh.log.bytes.lock().unwrap().len());
        assert_eq!(fresh.commit(&client(group), &[("words", 0, 5)]), [ErrorCode::None]);
    }
    let whole = fresh.log.bytes.lock().unwrap().clone();
    starts.push(whole.len());
    for (hit, range) in starts.windows(2).enumerate() {
        for at in (range[0]..range[1]).step_by(2) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            let mut world = world();
            *world.log.bytes.lock().unwrap() = damaged;
            world.log.end.store(groups.len() as i64, Ordering::SeqCst);
            world.restart();
            for (number, group) in groups.iter().enumerate().filter(|(number, _)| *number != hit) {
                assert_eq!(world.fetch(group, "words", 0), Ok(5), "group {number}, damage at {at}");
            }
            // The base offset and the leader's epoch are not part of what the checksum covers.
            let found = world.fetch(&groups[hit], "words", 0);
            assert!(found == Ok(-1) || found == Ok(5) && at < range[0] + 16, "damage at {at}: {found:?}");
            // And the coordinator takes more.
            assert_eq!(world.commit(&client(&groups[hit]), &[("words", 0, 9)]), [ErrorCode::None]);
            assert_eq!(world.fetch(&groups[hit], "words", 0), Ok(9));
        }
    }
}
