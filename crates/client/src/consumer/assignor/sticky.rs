//! `AbstractStickyAssignor`: as balanced as the subscriptions allow, and within that everybody keeps what it has.
//!
//! Where all members want the same topics, shares differ by one at the most and are counted out; else partitions move from
//! the fullest to the emptiest of those who want them, until none can. Racks come second to balance (KIP-881).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use common::TopicPartition;

use super::protocol::Subscription;
use super::{Assignment, Member, Topics, racks_matter};

/// Partitions that have an owner and get another one, and who that is.
pub(super) type Moved = BTreeMap<TopicPartition, String>;

/// What members say they have.
struct Claims<'a> {
    /// By member, in the order of the members.
    owned: Vec<Vec<TopicPartition>>,
    /// Claimed by several of one generation: nobody can be believed.
    disputed: HashSet<TopicPartition>,
    /// Who had a partition in an earlier generation than its owner, the newest of them.
    previous: HashMap<TopicPartition, (usize, i32)>,
    members: Vec<&'a Member>,
}

fn exists(topics: &Topics, partition: &TopicPartition) -> bool {
    let count = topics.get(&*partition.topic).map_or(0, |layout| layout.racks.len());
    usize::try_from(partition.partition).is_ok_and(|index| index < count)
}

impl<'a> Claims<'a> {
    fn new(
        topics: &Topics,
        members: &'a [Member],
        owned_by: fn(&Subscription) -> (Vec<TopicPartition>, i32),
    ) -> Claims<'a> {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by(|one, other| one.id.cmp(&other.id));
        let claims: Vec<(Vec<TopicPartition>, i32)> =
            members.iter().map(|member| owned_by(&member.subscription)).collect();
        let mut owners: BTreeMap<TopicPartition, (usize, i32)> = BTreeMap::new();
        let mut disputed = HashSet::new();
        let mut previous: HashMap<TopicPartition, (usize, i32)> = HashMap::new();
        for (member, (partitions, generation)) in claims.into_iter().enumerate() {
            for partition in partitions.into_iter().filter(|partition| exists(topics, partition)) {
                let outdone = match owners.get(&partition) {
                    Some((other, _)) if *other == member => continue,
                    Some((_, newest)) if *newest > generation => Some((member, generation)),
                    older => older.copied(),
                };
                if let Some((who, when)) = outdone {
                    if when == generation && who != member {
                        disputed.insert(partition.clone());
                    } else if previous.get(&partition).is_none_or(|(_, known)| *known < when) {
                        previous.insert(partition.clone(), (who, when));
                    }
                }
                if outdone.is_none_or(|(who, _)| who != member) {
                    owners.insert(partition, (member, generation));
                }
            }
        }
        let mut owned = vec![Vec::new(); members.len()];
        for (partition, (member, _)) in owners {
            owned[member].push(partition);
        }
        Claims { owned, disputed, previous, members }
    }
}

/// Where replicas are, where that makes a difference.
struct Racks<'a> {
    /// By member.
    members: Vec<Option<&'a str>>,
    topics: &'a Topics,
}

impl<'a> Racks<'a> {
    fn new(topics: &'a Topics, members: &[&'a Member]) -> Racks<'a> {
        let matter = racks_matter(members.iter().copied(), topics.values());
        Racks { members: members.iter().map(|member| member.rack().filter(|_| matter)).collect(), topics }
    }

    fn matter(&self) -> bool {
        self.members.iter().any(Option::is_some)
    }

    fn of(&self, partition: &TopicPartition) -> &[String] {
        let layout = self.topics.get(&*partition.topic);
        let index = usize::try_from(partition.partition).unwrap_or(usize::MAX);
        layout.and_then(|layout| layout.racks.get(index)).map_or(&[], Vec::as_slice)
    }

    /// Whether a member has a rack that the partition has a replica on.
    fn is_near(&self, member: usize, partition: &TopicPartition) -> bool {
        self.members[member].is_some_and(|rack| self.of(partition).iter().any(|other| other == rack))
    }

    /// Whether a member has a rack, and no replica is there.
    fn is_far(&self, member: usize, partition: &TopicPartition) -> bool {
        self.members[member].is_some() && !self.is_near(member, partition)
    }
}

/// Divides the partitions. The second part names those that move from one owner to another.
pub(super) fn assign(
    topics: &Topics,
    members: &[Member],
    owned_by: fn(&Subscription) -> (Vec<TopicPartition>, i32),
) -> (Assignment, Moved) {
    if members.is_empty() {
        return Default::default();
    }
    let claims = Claims::new(topics, members, owned_by);
    let wanted = |member: &Member| member.subscription.topics.iter().cloned().collect::<BTreeSet<String>>();
    let first = wanted(claims.members[0]);
    let owners: HashMap<TopicPartition, usize> = claims
        .owned
        .iter()
        .enumerate()
        .flat_map(|(member, partitions)| partitions.iter().map(move |partition| (partition.clone(), member)))
        .collect();
    let disputed = claims.disputed.clone();
    let ids: Vec<String> = claims.members.iter().map(|member| member.id.clone()).collect();
    let shares = match claims.members.iter().all(|member| wanted(member) == first) {
        true => of_equals(topics, claims),
        false => of_all(topics, claims),
    };
    let mut assignment = Assignment::new();
    let mut moved = Moved::new();
    for ((member, id), share) in ids.into_iter().enumerate().zip(shares) {
        for partition in &share {
            if disputed.contains(partition) || owners.get(partition).is_some_and(|owner| *owner != member) {
                moved.insert(partition.clone(), id.clone());
            }
        }
        assignment.insert(id, share);
    }
    (assignment, moved)
}

/// For members that want the same: each gets as many as the others, or one more.
fn of_equals(topics: &Topics, claims: Claims<'_>) -> Vec<Vec<TopicPartition>> {
    let racks = Racks::new(topics, &claims.members);
    let count = claims.members.len();
    let total: usize = topics.values().map(|layout| layout.racks.len()).sum();
    let (least, mut larger_shares) = (total / count, total % count);
    let most = least + usize::from(larger_shares > 0);
    let mut shares: Vec<Vec<TopicPartition>> = Vec::with_capacity(count);
    for (member, mut owned) in claims.owned.into_iter().enumerate() {
        owned.retain(|partition| !claims.disputed.contains(partition) && !racks.is_far(member, partition));
        owned.sort_by(|one, other| (one.partition, &one.topic).cmp(&(other.partition, &other.topic)));
        if owned.len() >= most && larger_shares > 0 {
            larger_shares -= 1;
            owned.truncate(most);
        } else {
            owned.truncate(least);
        }
        shares.push(owned);
    }
    let kept: HashSet<TopicPartition> = shares.iter().flatten().cloned().collect();
    let all = topics.iter().flat_map(|(topic, layout)| {
        (0..).take(layout.racks.len()).map(|partition| TopicPartition::new(topic.as_str(), partition))
    });
    let mut left: Vec<TopicPartition> = all.filter(|partition| !kept.contains(partition)).collect();
    let mut below: Vec<usize> = (0..count).filter(|member| shares[*member].len() < least).collect();
    let mut level: Vec<usize> = (0..count).filter(|member| shares[*member].len() == least).collect();
    if racks.matter() {
        // What few members are near to is given first.
        left.sort_by_cached_key(|partition| {
            (0..count).filter(|member| racks.is_near(*member, partition)).count()
        });
        let mut next = 0;
        left.retain(|partition| {
            let turns: Vec<usize> = (0..below.len()).map(|turn| (next + turn) % below.len()).collect();
            if let Some(turn) = turns.into_iter().find(|turn| racks.is_near(below[*turn], partition)) {
                let member = below[turn];
                shares[member].push(partition.clone());
                if shares[member].len() >= least {
                    below.remove(turn);
                    level.push(member);
                    next = turn;
                } else {
                    next = turn + 1;
                }
                return false;
            }
            let near = level.iter().position(|member| racks.is_near(*member, partition));
            let Some(place) = near.filter(|_| larger_shares > 0) else { return true };
            larger_shares -= 1;
            shares[level.remove(place)].push(partition.clone());
            false
        });
    }
    let mut next = 0;
    for partition in left {
        if next >= below.len() {
            next = 0;
        }
        if let Some(member) = below.get(next).copied() {
            shares[member].push(partition);
            match shares[member].len() >= least {
                true => {
                    below.remove(next);
                    level.push(member);
                }
                false => next += 1,
            }
        } else if !level.is_empty() {
            shares[level.remove(0)].push(partition);
        }
    }
    shares
}

/// For members that want different topics.
struct Balancing<'a> {
    members: Vec<&'a Member>,
    /// By topic, the members that want it.
    wanted_by: BTreeMap<&'a str, Vec<usize>>,
    shares: Vec<BTreeSet<TopicPartition>>,
    owner: HashMap<TopicPartition, usize>,
    /// Members by the size of their share, then by id.
    by_size: BTreeSet<(usize, usize)>,
    racks: Racks<'a>,
}

impl Balancing<'_> {
    fn wanting(&self, partition: &TopicPartition) -> &[usize] {
        self.wanted_by.get(&*partition.topic).map_or(&[], Vec::as_slice)
    }

    fn resize(&mut self, member: usize, change: impl FnOnce(&mut BTreeSet<TopicPartition>) -> bool) {
        self.by_size.remove(&(self.shares[member].len(), member));
        assert!(change(&mut self.shares[member]), "Invariant: a partition is in one share, its owner's");
        self.by_size.insert((self.shares[member].len(), member));
    }

    fn give(&mut self, partition: &TopicPartition, member: usize) {
        if let Some(before) = self.owner.insert(partition.clone(), member) {
            self.resize(before, |share| share.remove(partition));
        }
        self.resize(member, |share| share.insert(partition.clone()));
    }

    /// The emptiest member that wants a partition, and is near to it where only such are asked for.
    fn emptiest(&self, partition: &TopicPartition, near_only: bool) -> Option<usize> {
        let wanting = self.wanting(partition);
        let fits = |member: &usize| {
            wanting.binary_search(member).is_ok() && !(near_only && self.racks.is_far(*member, partition))
        };
        // Few of many are looked at one by one; else the emptiest one of all is soon found.
        if wanting.len() * 4 < self.members.len() {
            return wanting
                .iter()
                .copied()
                .filter(fits)
                .min_by_key(|member| (self.shares[*member].len(), *member));
        }
        self.by_size.iter().map(|(_, member)| *member).find(fits)
    }

    fn is_too_full(&self, member: usize, beside: usize) -> bool {
        self.shares[member].len() > self.shares[beside].len() + 1
    }

    /// Moves one partition if that makes two shares more equal.
    fn improve(&mut self, partition: &TopicPartition, previous: Option<usize>) -> bool {
        let Some(owner) = self.owner.get(partition).copied() else { return false };
        let back = previous.filter(|member| self.wanting(partition).binary_search(member).is_ok());
        let near = || self.emptiest(partition, true).filter(|_| self.racks.is_near(owner, partition));
        let candidates = [back, near(), self.emptiest(partition, false)];
        let Some(to) = candidates.into_iter().flatten().find(|to| self.is_too_full(owner, *to)) else {
            return false;
        };
        self.give(partition, to);
        true
    }
}

fn of_all(topics: &Topics, claims: Claims<'_>) -> Vec<Vec<TopicPartition>> {
    let Claims { owned, previous, members, .. } = claims;
    let mut wanted_by: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let wanted: BTreeSet<&str> = member.subscription.topics.iter().map(String::as_str).collect();
        for topic in wanted.into_iter().filter(|topic| topics.contains_key(*topic)) {
            wanted_by.entry(topic).or_default().push(index);
        }
    }
    let mut balancing = Balancing {
        racks: Racks::new(topics, &members),
        shares: vec![BTreeSet::new(); members.len()],
        owner: HashMap::new(),
        by_size: (0..members.len()).map(|member| (0, member)).collect(),
        wanted_by,
        members,
    };
    for (member, partitions) in owned.into_iter().enumerate() {
        for partition in partitions {
            let wants = balancing.wanting(&partition).binary_search(&member).is_ok();
            if wants && !balancing.racks.is_far(member, &partition) {
                balancing.give(&partition, member);
            }
        }
    }
    // Topics that few want come first: the others can make up for them.
    let mut order: Vec<&str> = balancing.wanted_by.keys().copied().collect();
    order.sort_by_key(|topic| (balancing.wanted_by[topic].len(), *topic));
    let all: Vec<TopicPartition> = order
        .into_iter()
        .flat_map(|topic| {
            let count = topics.get(topic).map_or(0, |layout| layout.racks.len());
            (0..).take(count).map(move |partition| TopicPartition::new(topic, partition))
        })
        .collect();
    let rounds: &[bool] = if balancing.racks.matter() { &[true, false] } else { &[false] };
    for near_only in rounds {
        for partition in &all {
            if !balancing.owner.contains_key(partition)
                && let Some(member) = balancing.emptiest(partition, *near_only)
            {
                balancing.give(partition, member);
            }
        }
    }
    // Every move makes the sum of squares smaller: this ends.
    loop {
        let mut any = false;
        for partition in &all {
            any |= balancing.improve(partition, previous.get(partition).map(|(member, _)| *member));
        }
        if !any {
            break;
        }
    }
    balancing.shares.into_iter().map(|share| share.into_iter().collect()).collect()
}
