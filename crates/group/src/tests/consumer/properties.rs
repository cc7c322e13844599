//! Random lives of groups: whatever happens, no partition has two owners, and in the end everybody has their part.

use common::SplitMix64;

use super::*;

/// Numbers that look random, the same for a seed.
struct Random(SplitMix64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0.next_u64() % below
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next(count) == 0
    }
}

/// A client that follows the protocol, with pauses.
struct Actor {
    member: Member,
    crashed: bool,
    heard_ms: i64,
    /// It does not know what became of its last request.
    unsure: bool,
}

#[track_caller]
fn check_owners(actors: &[Actor], seed: u64, step: usize) {
    let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
    for actor in actors.iter().filter(|actor| !actor.crashed) {
        for partition in &actor.member.owned {
            let before = owners.insert(*partition, &actor.member.member_id);
            assert_eq!(
                before, None,
                "seed {seed}, step {step}: {partition:?} is also with {}",
                actor.member.member_id
            );
        }
    }
}

fn act(world: &mut World, actor: &mut Actor, random: &mut Random) {
    let request = if actor.unsure
        || actor.member.epoch == 0
        || random.one_in(3)
        || actor.member.owned != actor.member.assigned
    {
        actor.member.request()
    } else {
        actor.member.short_request()
    };
    let request = ConsumerGroupHeartbeatRequest { instance_id: actor.member.instance_id.clone(), ..request };
    let response = world.send(1, request);
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None if random.one_in(10) => {
            // The answer is lost. The next request says everything; until its answer nothing is taken, as it was said that
            // it is not there.
            actor.unsure = true;
            actor.member.assigned.retain(|partition| actor.member.owned.contains(partition));
        }
        ErrorCode::None => {
            actor.member.take(&response);
            actor.heard_ms = world.now_ms;
            actor.unsure = false;
        }
        ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
            actor.member.owned.clear();
            actor.member.assigned.clear();
            actor.member.epoch = 0;
        }
        ErrorCode::UnreleasedInstanceId | ErrorCode::FencedInstanceId => actor.crashed = true,
        other => panic!("{other:?}: {response:?}"),
    }
}

/// Gives up what has to go, then, perhaps later, takes what is new.
fn reconcile(actor: &mut Actor, random: &mut Random) {
    let assigned = actor.member.assigned.clone();
    if actor.member.owned.iter().any(|partition| !assigned.contains(partition)) {
        actor.member.owned.retain(|partition| assigned.contains(partition));
    } else if !random.one_in(3) {
        actor.member.apply();
    }
}

fn live(seed: u64) {
    let mut random = Random(SplitMix64::new(seed));
    let mut world = world();
    world.set_topic("many", 8);
    let mut actors: Vec<Actor> = Vec::new();
    let mut born = 0;
    for step in 0..150 {
        match random.next(40) {
            0..=3 if actors.len() < 6 => {
                born += 1;
                let topics = match random.next(3) {
                    0 => vec!["words".to_owned()],
                    1 => vec!["many".to_owned()],
                    _ => vec!["words".to_owned(), "many".to_owned()],
                };
                let instance_id = random.one_in(4).then(|| format!("worker-{}", random.next(2)));
                let regex = random.one_in(5).then(|| "m.*".to_owned());
                let member =
                    Member { topics: Some(topics), instance_id, regex, ..member(&format!("m{born:02}")) };
                actors.push(Actor { member, crashed: false, heard_ms: world.now_ms, unsure: false });
            }
            4 if !actors.is_empty() => {
                // It leaves, for good or, if it is static, for a while.
                let actor = actors.swap_remove(random.next(actors.len() as u64) as usize);
                let epoch = if actor.member.instance_id.is_some() { -2 } else { -1 };
                if !actor.crashed && actor.member.epoch != 0 {
                    world.goodbye(&actor.member, epoch);
                }
            }
            5 if !actors.is_empty() => {
                let index = random.next(actors.len() as u64) as usize;
                actors.swap_remove(index);
            }
            6 => world.restart(),
            7 => world.set_topic("many", 8 + random.next(8) as i32),
            8 if !actors.is_empty() => {
                let index = random.next(actors.len() as u64) as usize;
                actors[index].member.topics = Some(vec!["words".to_owned(), "logs".to_owned()]);
            }
            9 => world.advance(10_000),
            _ => world.advance(random.next(1_500) as i64),
        }
        for actor in &mut actors {
            // Who has heard nothing for long must take itself for dead.
            if world.now_ms - actor.heard_ms >= 40_000 {
                actor.member.owned.clear();
                actor.member.assigned.clear();
                actor.member.epoch = 0;
            }
            if world.now_ms - actor.heard_ms >= 5_000 || !random.one_in(3) {
                act(&mut world, actor, &mut random);
                reconcile(actor, &mut random);
            }
        }
        actors.retain(|actor| !actor.crashed);
        check_owners(&actors, seed, step);
    }
    // Quiet, until everybody who is gone is known to be, and the rest have their parts.
    let mut members: Vec<Member> = actors.into_iter().map(|actor| actor.member).collect();
    for _ in 0..70 {
        world.advance(1_000);
        for member in &mut members {
            let response = world.send(1, member.request());
            if response.error_code == 0 {
                member.take(&response);
                member.apply();
            } else {
                member.owned.clear();
                member.assigned.clear();
                member.epoch = 0;
            }
        }
    }
    if members.is_empty() {
        assert!(["Empty", ""].contains(&world.described("g").group_state.as_str()), "seed {seed}");
        return;
    }
    assert_eq!(world.epochs().2, "Stable", "seed {seed}: {:?}", world.described("g"));
    let mut expected = Partitions::new();
    for member in &members {
        let mut topics = member.topics.clone().unwrap();
        topics.extend(member.regex.is_some().then(|| "many".to_owned()));
        for topic in topics {
            let (id, count) = world.topics.topics[&topic];
            expected.extend((0..count).map(|partition| (id, partition)));
        }
    }
    let mut owned: Vec<(Uuid, i32)> = members.iter().flat_map(|member| member.owned.clone()).collect();
    owned.sort();
    assert_eq!(owned, expected.into_iter().collect::<Vec<_>>(), "seed {seed}");
    let before = world.state_of("g");
    world.restart();
    assert_eq!(world.state_of("g"), before, "seed {seed}");
}

#[test]
fn no_partition_has_two_owners_whatever_happens() {
    for seed in 0..300 {
        live(seed);
    }
}
