//! Groups that change their protocol, and groups with members of both.

use super::*;
use crate::consumer::{read_assignment, write_assignment};

/// A consumer of the classic protocol, which joins and syncs as one does.
struct ClassicMember {
    client: Client,
    owned: Partitions,
}

fn classic(name: &str) -> ClassicMember {
    let mut client = client("g");
    client.member_id = name.to_owned();
    client.session_timeout_ms = 45_000;
    ClassicMember { client, owned: Partitions::new() }
}

fn partitions(bytes: &[u8], topics: &TestTopics) -> Partitions {
    let (assignment, _) = read_assignment(bytes, topics).unwrap();
    let of_topic = |(topic, partitions): (Uuid, BTreeSet<i32>)| {
        partitions.into_iter().map(move |partition| (topic, partition))
    };
    assignment.into_iter().flat_map(of_topic).collect()
}

impl World {
    /// Says what it has, as a cooperative consumer does, joins, syncs, and keeps what it is given.
    fn rejoin(&self, member: &mut ClassicMember) -> Result<(), ErrorCode> {
        let mut writer = Writer::new();
        writer.i16(1);
        let mut owned: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &member.owned {
            let name = self.topics.topic_name(*topic).unwrap();
            owned.entry(name).or_default().push(*partition);
        }
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["words".to_owned()],
            owned_partitions: owned
                .into_iter()
                .map(|(topic, partitions)| consumer_protocol_subscription::TopicPartition {
                    topic,
                    partitions,
                })
                .collect(),
            ..Default::default()
        };
        subscription.write(&mut writer, 1).unwrap();
        member.client.protocols = vec![("range".to_owned(), writer.into_bytes())];
        let joined = self.join(&member.client).get();
        if joined.error_code != 0 {
            member.client.member_id = joined.member_id;
            return Err(ErrorCode::from_code(joined.error_code));
        }
        member.client.member_id = joined.member_id;
        member.client.generation_id = joined.generation_id;
        let synced = self.sync(&member.client, &[]).get();
        if synced.error_code != 0 {
            return Err(ErrorCode::from_code(synced.error_code));
        }
        member.owned = partitions(&synced.assignment, &self.topics);
        Ok(())
    }

    /// Heartbeats of both kinds, until nothing changes.
    fn settle_both(&mut self, modern: &mut [Member], classic: &mut [ClassicMember]) {
        for _ in 0..60 {
            for member in modern.iter_mut() {
                self.beat(member);
            }
            for member in classic.iter_mut() {
                match self.heartbeat(&member.client) {
                    ErrorCode::None => {}
                    ErrorCode::RebalanceInProgress => {
                        self.rejoin(member).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
            let mut seen = Partitions::new();
            let all = modern.iter().map(|m| &m.owned).chain(classic.iter().map(|m| &m.owned));
            for partition in all.flatten() {
                assert!(seen.insert(*partition), "{partition:?} is with two");
            }
            self.advance(1_000);
        }
        assert_eq!(self.described("g").group_state, "Stable");
    }
}

/// A classic group with two members, whose leader has assigned.
fn classic_group(world: &mut World) -> Vec<ClassicMember> {
    let mut clients = vec![client("g"), client("g")];
    for client in &mut clients {
        client.session_timeout_ms = 45_000;
    }
    world.stabilize(&mut clients);
    // As `stabilize` assigns nonsense, the leader assigns anew.
    let leader = clients.iter().position(|client| {
        let group_leader = world.coordinator.inspect(PARTITION, world.now_ms, |shard| {
            shard.groups().classic("g").unwrap().leader_id().map(str::to_owned)
        });
        group_leader.unwrap().as_deref() == Some(&client.member_id)
    });
    let leader = leader.unwrap();
    let answers = [world.join(&clients[leader]), world.join(&clients[1 - leader])];
    for answer in answers {
        let response = answer.get();
        clients.iter_mut().for_each(|client| client.generation_id = response.generation_id);
    }
    let parts = [words(&[0, 1]), words(&[2])];
    let assigned: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| {
            let mut assignment = crate::consumer::Assignment::new();
            part.iter().for_each(|(topic, partition)| {
                assignment.entry(*topic).or_default().insert(*partition);
            });
            write_assignment(&assignment, &subscription(&["words"]), &world.topics)
        })
        .collect();
    let waiting = world.sync(&clients[1 - leader], &[]);
    let request = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: clients[leader].generation_id,
        member_id: clients[leader].member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: clients
            .iter()
            .zip(&assigned)
            .map(|(client, assignment)| SyncGroupRequestAssignment {
                member_id: client.member_id.clone(),
                assignment: assignment.clone(),
            })
            .collect(),
        ..Default::default()
    };
    let (answer, reply) = Answer::new();
    world.coordinator.sync_group(&world.context(5), request, world.now_ms, reply);
    assert_eq!((answer.get().error_code, waiting.get().error_code), (0, 0));
    clients.into_iter().zip(parts).map(|(client, owned)| ClassicMember { client, owned }).collect()
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_back() {
    let mut world = world();
    let mut old = classic_group(&mut world);
    // The first of the new protocol.
    let mut new = vec![member("new")];
    world.beat(&mut new[0]);
    assert!(new[0].owned.is_empty());
    assert_eq!(world.described("g").members.iter().filter(|member| member.member_type == 0).count(), 2);
    world.settle_both(&mut new, &mut old);
    assert_eq!((new[0].owned.len(), old[0].owned.len(), old[1].owned.len()), (1, 1, 1));
    let before = world.state_of("g");
    world.restart();
    assert_eq!(world.state_of("g"), before);
    // One by one the old ones go, and others come.
    assert_eq!(world.leave(&old[0].client).members[0].error_code, 0);
    old.remove(0);
    world.settle_both(&mut new, &mut old);
    assert_eq!(new[0].owned.len() + old[0].owned.len(), 3);
    // Back: an old one joins, the last new one goes.
    let mut another = classic("");
    assert_eq!(world.rejoin(&mut another), Err(ErrorCode::MemberIdRequired));
    world.rejoin(&mut another).unwrap();
    old.push(another);
    world.settle_both(&mut new, &mut old);
    assert_eq!(world.goodbye(&new[0], -1), ErrorCode::None);
    assert_eq!(world.described("g").error_code, ErrorCode::GroupIdNotFound.code());
    world.advance(1);
    assert_eq!(world.state("g"), "PreparingRebalance");
    let answers: Vec<_> = old.iter().map(|member| world.join(&member.client)).collect();
    for answer in answers {
        let response = answer.get();
        assert_eq!((response.error_code, response.generation_id > 1), (0, true));
    }
    assert_eq!(world.state("g"), "CompletingRebalance");
    world.restart();
    assert_eq!(world.state("g"), "Stable");
}

#[test]
fn a_rebalance_under_way_does_not_stop_the_upgrade() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let mut second = client("g");
    let waiting = world.join_with_id(&mut second);
    assert!(waiting.is_waiting());
    // What the leader assigned was no assignment: the group cannot be read.
    assert_eq!(world.beat_error(member("new").request()), ErrorCode::GroupIdNotFound);
    assert!(waiting.is_waiting());
}

#[test]
fn the_policy_says_which_way_a_group_may_go() {
    let policies = [
        (ConsumerGroupMigrationPolicy::Disabled, false, false),
        (ConsumerGroupMigrationPolicy::Upgrade, true, false),
        (ConsumerGroupMigrationPolicy::Bidirectional, true, true),
    ];
    for (policy, up, down) in policies {
        let mut world = world_with(GroupConfig { group_consumer_migration_policy: policy, ..config() }, true);
        let old = classic_group(&mut world);
        let mut new = member("new");
        let response = world.send(1, new.request());
        assert_eq!(response.error_code == 0, up, "{policy:?}");
        if !up {
            assert!(response.error_message.unwrap().contains("online upgrade is disabled"));
            assert_eq!(world.heartbeat(&old[0].client), ErrorCode::None);
            continue;
        }
        new.take(&response);
        assert_eq!(world.goodbye(&new, -1), ErrorCode::None);
        world.advance(1);
        assert_eq!(world.described("g").error_code != 0, down, "{policy:?}");
    }
}

#[test]
fn a_static_member_of_the_old_protocol_takes_the_place_of_one_of_the_new() {
    let mut world = world();
    let mut one = Member { instance_id: Some("worker".to_owned()), ..member("one") };
    world.beat(&mut one);
    let mut back = classic("");
    back.client.instance_id = Some("worker".to_owned());
    back.client.protocols = vec![("range".to_owned(), subscription(&["words"]))];
    let joined = world.join(&back.client).get();
    assert_eq!(joined.error_code, 0);
    back.client.member_id = joined.member_id;
    back.client.generation_id = joined.generation_id;
    assert_eq!(world.state("g"), "Stable");
    assert_eq!(world.heartbeat(&back.client), ErrorCode::None);
    let assignment = world.sync(&back.client, &[]).get().assignment;
    assert_eq!(partitions(&assignment, &world.topics), words(&[0, 1, 2]));
    let before = world.describe("g");
    world.restart();
    assert_eq!(world.describe("g"), before);
}

#[test]
fn an_empty_group_changes_without_more_ado() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    world.commit(&clients[0], &[("words", 0, 5)]);
    world.leave(&clients[0]);
    let mut modern = member("new");
    world.beat(&mut modern);
    assert_eq!(world.fetch("g", "words", 0), Ok(5));
    assert_eq!(world.goodbye(&modern, -1), ErrorCode::None);
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    assert_eq!(world.fetch("g", "words", 0), Ok(5));
    assert_eq!(world.described("g").error_code, ErrorCode::GroupIdNotFound.code());
    world.restart();
    assert_eq!(world.state("g"), "Stable");
}
