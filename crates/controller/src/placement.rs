//! Where new replicas go (`org.apache.kafka.metadata.placement.StripedReplicaPlacer`).
//!
//! Replicas are dealt to racks in turn, and within a rack to brokers in turn, from random starts. The first replica of
//! a partition, its preferred leader, is never on a fenced broker, and fenced brokers come last in their rack. When every
//! broker has had its turn as leader the order is shuffled, so that no pair of brokers always shares partitions.

use std::collections::BTreeMap;

use crate::random::Random;

/// A broker that may get replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableBroker {
    /// The broker's id.
    pub id: i32,
    /// The broker's rack.
    pub rack: Option<String>,
    /// Whether the broker is fenced.
    pub fenced: bool,
}

/// Why replicas cannot be placed. Kafka says the text behind "Unable to replicate the partition N time(s): ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nonsense was asked for.
    #[error("Invalid replication factor {0}: the replication factor must be positive.")]
    NotPositive(i16),
    /// Nobody could lead.
    #[error("All brokers are currently fenced, or have all their log directories cordoned.")]
    AllFenced,
    /// More replicas than brokers.
    #[error(
        "The target replication factor of {wanted} cannot be reached because only {brokers} broker(s) are registered or some brokers have all their log directories cordoned."
    )]
    TooFewBrokers {
        /// How many replicas were asked for.
        wanted: i16,
        /// How many brokers there are.
        brokers: usize,
    },
}

/// Brokers that take turns.
#[derive(Default)]
struct BrokerList {
    brokers: Vec<i32>,
    index: usize,
    offset: usize,
    epoch: usize,
}

impl BrokerList {
    fn initialize(&mut self, random: &mut Random) {
        if !self.brokers.is_empty() {
            self.brokers.sort_unstable();
            self.offset = random.below(self.brokers.len());
        }
    }

    /// The next broker that this partition (`epoch`) has not had yet.
    fn next(&mut self, epoch: usize) -> Option<i32> {
        let count = self.brokers.len();
        if count == 0 {
            return None;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.index = 0;
            self.offset = (self.offset + 1) % count;
        }
        if self.index >= count {
            return None;
        }
        let broker = self.brokers[(self.index + self.offset) % count];
        self.index += 1;
        Some(broker)
    }
}

#[derive(Default)]
struct Rack {
    fenced: BrokerList,
    unfenced: BrokerList,
}

impl Rack {
    fn next(&mut self, epoch: usize) -> Option<i32> {
        self.unfenced.next(epoch).or_else(|| self.fenced.next(epoch))
    }
}

struct RackList {
    /// In the order in which they take turns; brokers without a rack are a rack of their own.
    racks: Vec<Rack>,
    total: usize,
    unfenced: usize,
    epoch: usize,
    offset: usize,
}

impl RackList {
    fn new(random: &mut Random, brokers: &[UsableBroker]) -> RackList {
        let mut by_name: BTreeMap<&Option<String>, Rack> = BTreeMap::new();
        for broker in brokers {
            let rack = by_name.entry(&broker.rack).or_default();
            let list = if broker.fenced { &mut rack.fenced } else { &mut rack.unfenced };
            list.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        for rack in &mut racks {
            rack.fenced.initialize(random);
            rack.unfenced.initialize(random);
        }
        let offset = if racks.is_empty() { 0 } else { random.below(racks.len()) };
        let unfenced = brokers.iter().filter(|broker| !broker.fenced).count();
        RackList { racks, total: brokers.len(), unfenced, epoch: 0, offset }
    }

    /// Places one partition. There are at least as many brokers as replicas, and one of them is not fenced.
    fn place(&mut self, random: &mut Random, replication_factor: usize) -> Vec<i32> {
        if self.epoch == self.unfenced && self.unfenced > 1 {
            random.shuffle(&mut self.racks);
            for rack in &mut self.racks {
                random.shuffle(&mut rack.fenced.brokers);
                random.shuffle(&mut rack.unfenced.brokers);
            }
            self.epoch = 0;
        }
        let count = self.racks.len();
        self.offset %= count;
        let mut replicas = Vec::with_capacity(replication_factor);
        // The leader: from the first rack, in turn, that has a broker which is not fenced.
        let mut leader_rack = self.offset;
        loop {
            if let Some(broker) = self.racks[leader_rack].unfenced.next(self.epoch) {
                replicas.push(broker);
                break;
            }
            leader_rack = (leader_rack + 1) % count;
        }
        // The others: one from each rack in turn, leaving out the leader's rack the first time round.
        let mut skip = Some(leader_rack);
        let mut rack = self.offset;
        while replicas.len() < replication_factor {
            if skip == Some(rack) {
                skip = None;
            } else if let Some(broker) = self.racks[rack].next(self.epoch) {
                replicas.push(broker);
            }
            rack = (rack + 1) % count;
        }
        self.epoch += 1;
        self.offset += 1;
        replicas
    }
}

/// Places the replicas of some partitions.
pub fn place(
    random: &mut Random,
    partitions: usize,
    replication_factor: i16,
    brokers: &[UsableBroker],
) -> Result<Vec<Vec<i32>>, PlacementError> {
    let mut racks = RackList::new(random, brokers);
    if replication_factor <= 0 {
        return Err(PlacementError::NotPositive(replication_factor));
    }
    if racks.unfenced == 0 {
        return Err(PlacementError::AllFenced);
    }
    let replicas = replication_factor as usize;
    if replicas > racks.total {
        return Err(PlacementError::TooFewBrokers { wanted: replication_factor, brokers: racks.total });
    }
    Ok((0..partitions).map(|_| racks.place(random, replicas)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(id: i32, rack: Option<&str>, fenced: bool) -> UsableBroker {
        UsableBroker { id, rack: rack.map(str::to_owned), fenced }
    }

    #[test]
    fn leaders_take_turns_over_all_brokers() {
        let brokers: Vec<UsableBroker> = (0..5).map(|id| broker(id, None, false)).collect();
        for seed in 0..20 {
            let placed = place(&mut Random::new(seed), 50, 3, &brokers).unwrap();
            for id in 0..5 {
                assert_eq!(placed.iter().filter(|replicas| replicas[0] == id).count(), 10, "seed {seed}");
            }
            for replicas in &placed {
                let mut distinct = replicas.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), 3);
            }
        }
    }

    #[test]
    fn replicas_are_spread_over_racks() {
        let brokers: Vec<UsableBroker> =
            (0..6).map(|id| broker(id, Some(["a", "b", "c"][id as usize % 3]), false)).collect();
        for seed in 0..20 {
            for replicas in place(&mut Random::new(seed), 30, 3, &brokers).unwrap() {
                let mut racks: Vec<i32> = replicas.iter().map(|id| id % 3).collect();
                racks.sort_unstable();
                assert_eq!(racks, [0, 1, 2], "seed {seed}");
            }
        }
    }

    #[test]
    fn a_fenced_broker_never_comes_first() {
        let brokers = [broker(0, None, true), broker(1, None, false), broker(2, None, true)];
        for replicas in place(&mut Random::new(3), 20, 3, &brokers).unwrap() {
            assert_eq!(replicas[0], 1);
        }
    }

    #[test]
    fn what_cannot_be_placed_says_why() {
        let one = [broker(1, None, false)];
        let message = |factor, brokers: &[UsableBroker]| {
            place(&mut Random::new(0), 1, factor, brokers).unwrap_err().to_string()
        };
        assert_eq!(
            message(3, &one),
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."
        );
        assert_eq!(
            message(1, &[broker(1, None, true)]),
            "All brokers are currently fenced, or have all their log directories cordoned."
        );
        assert_eq!(
            message(0, &one),
            "Invalid replication factor 0: the replication factor must be positive."
        );
    }

    #[test]
    fn one_broker_gets_everything() {
        let placed = place(&mut Random::new(9), 3, 1, &[broker(4, None, false)]).unwrap();
        assert_eq!(placed, [[4], [4], [4]]);
    }
}
