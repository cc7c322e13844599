//! What the members of a group said of themselves, and whether it can be true of a group: each partition has one owner at a
//! time, only its owner reads it, and no record is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Clocks of two processes on one machine agree to this; some members' clocks tick in milliseconds.
const SAME_MOMENT_US: u64 = 2_000;

/// One line of a member's output: when, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at_us: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Partitions are the member's from now on. The generation is -1 where the client does not tell it.
    Assigned(i32, Vec<u32>),
    /// It has given them back, with their offsets committed.
    Revoked(i32, Vec<u32>),
    /// They were taken from it.
    Lost(i32, Vec<u32>),
    /// Records of a partition, from the first offset to the last.
    Read(u32, u64, u64),
    /// It has left the group.
    Left,
    /// Something that its client reported.
    Error(String),
}

impl Event {
    /// Reads a line `MICROSECONDS WHAT ...`; nothing if it is cut off.
    pub fn parse(line: &str) -> Option<Event> {
        let (at, rest) = line.split_once(' ')?;
        let at_us = at.parse().ok()?;
        let (kind, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let owned = || {
            let (generation, partitions) = rest.split_once(' ').unwrap_or((rest, ""));
            let numbers = partitions.split(',').filter(|number| !number.is_empty());
            Some((
                generation.parse().ok()?,
                numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?,
            ))
        };
        let what = match kind {
            "assigned" => owned().map(|(generation, partitions)| What::Assigned(generation, partitions))?,
            "revoked" => owned().map(|(generation, partitions)| What::Revoked(generation, partitions))?,
            "lost" => owned().map(|(generation, partitions)| What::Lost(generation, partitions))?,
            "read" => {
                let mut words = rest.split(' ');
                let partition = words.next()?.parse().ok()?;
                What::Read(partition, words.next()?.parse().ok()?, words.next()?.parse().ok()?)
            }
            "left" => What::Left,
            "error" => What::Error(rest.to_owned()),
            _ => return None,
        };
        Some(Event { at_us, what })
    }
}

/// A member from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// For messages: which client, and which of them.
    pub name: String,
    pub events: Vec<Event>,
    /// When it was asked to leave, if it was.
    pub leaving_us: Option<u64>,
    /// When it was killed, if it was.
    pub killed_us: Option<u64>,
}

/// A time in which a member owned a partition.
#[derive(Debug)]
struct Tenure<'a> {
    owner: &'a str,
    generation: i32,
    from_us: u64,
    /// Open while it goes on.
    until_us: Option<u64>,
    /// Whether it could commit at its end.
    orderly: bool,
}

/// What the check counted.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    pub lives: usize,
    pub killed: usize,
    pub tenures: usize,
    pub records: u64,
    pub read_twice: u64,
}

/// Who owns which partitions now: those of the living.
pub fn owners(lives: &[Life]) -> BTreeMap<u32, Vec<&str>> {
    let mut owners: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for life in lives.iter().filter(|life| life.killed_us.is_none()) {
        let mut owned = BTreeSet::new();
        for event in &life.events {
            match &event.what {
                What::Assigned(_, partitions) => owned.extend(partitions),
                What::Revoked(_, partitions) | What::Lost(_, partitions) => {
                    partitions.iter().for_each(|partition| _ = owned.remove(partition));
                }
                What::Left => owned.clear(),
                What::Read(..) | What::Error(_) => {}
            }
        }
        owned.into_iter().for_each(|partition| owners.entry(partition).or_default().push(&life.name));
    }
    owners
}

/// Whether every partition has one owner and each of the members a fair share; otherwise what is wrong.
pub fn settled(lives: &[Life], members: &[String], partitions: u32) -> Result<(), String> {
    let owners = owners(lives);
    for partition in 0..partitions {
        match owners.get(&partition).map_or(&[][..], Vec::as_slice) {
            [_] => {}
            found => return Err(format!("partition {partition} is owned by {found:?}")),
        }
    }
    let share = |member: &String| owners.values().filter(|owner| owner[0] == *member).count();
    let count = members.len().max(1);
    let fair = partitions as usize / count..=(partitions as usize).div_ceil(count);
    match members.iter().find(|member| !fair.contains(&share(member))) {
        Some(member) => Err(format!("{member} owns {} of {partitions} among {count}", share(member))),
        None => Ok(()),
    }
}

/// How far each partition was read.
pub fn positions(lives: &[Life]) -> BTreeMap<u32, u64> {
    let mut positions = BTreeMap::new();
    for event in lives.iter().flat_map(|life| &life.events) {
        if let What::Read(partition, _, last) = event.what {
            let position = positions.entry(partition).or_insert(0);
            *position = (last + 1).max(*position);
        }
    }
    positions
}

/// Checks the whole history against the log ends of the partitions. Within the times in `excused_us` members may lose
/// partitions.
pub fn check(
    lives: &[Life],
    ends: &BTreeMap<u32, u64>,
    excused_us: &[RangeInclusive<u64>],
) -> Result<Counts, String> {
    let mut counts = Counts {
        lives: lives.len(),
        killed: lives.iter().filter(|life| life.killed_us.is_some()).count(),
        ..Counts::default()
    };
    for life in lives {
        for event in &life.events {
            match &event.what {
                // The Java client calls its partitions lost, too, when it leaves in the middle of a rebalance.
                What::Lost(_, partitions)
                    if !partitions.is_empty()
                        && life.leaving_us.is_none_or(|leaving| event.at_us < leaving)
                        && !excused_us.iter().any(|times| times.contains(&event.at_us)) =>
                {
                    return Err(format!("{} lost {partitions:?}, though it lived", life.name));
                }
                What::Error(error) if error.starts_with("records are missing") => {
                    return Err(format!("{}: {error}", life.name));
                }
                _ => {}
            }
        }
    }
    for (partition, end) in ends {
        let tenures = tenures(lives, *partition)?;
        counts.tenures += tenures.len();
        one_at_a_time(*partition, &tenures)?;
        let (records, twice) = nothing_left_out(lives, *partition, *end, &tenures)?;
        counts.records += records;
        counts.read_twice += twice;
    }
    Ok(counts)
}

/// The times in which members owned a partition, in order. Whoever was killed owned it until then.
fn tenures(lives: &[Life], partition: u32) -> Result<Vec<Tenure<'_>>, String> {
    let mut tenures: Vec<Tenure<'_>> = Vec::new();
    for life in lives {
        let mut open: Option<Tenure<'_>> = None;
        let mut commit_failed = false;
        for event in &life.events {
            // Only the last word before it gives partitions back is about what it could commit of them.
            let could_commit = !std::mem::replace(
                &mut commit_failed,
                matches!(&event.what, What::Error(error) if error.starts_with("commit")),
            );
            let ends = match &event.what {
                What::Assigned(generation, partitions) if partitions.contains(&partition) => {
                    if open.is_some() {
                        return Err(format!("{} was given partition {partition} twice", life.name));
                    }
                    open = Some(Tenure {
                        owner: &life.name,
                        generation: *generation,
                        from_us: event.at_us,
                        until_us: None,
                        orderly: false,
                    });
                    continue;
                }
                What::Revoked(_, partitions) => partitions.contains(&partition).then_some(could_commit),
                What::Lost(_, partitions) => partitions.contains(&partition).then_some(false),
                What::Left => Some(true),
                _ => None,
            };
            if let (Some(orderly), Some(tenure)) = (ends, open.take_if(|_| ends.is_some())) {
                tenures.push(Tenure { until_us: Some(event.at_us), orderly, ..tenure });
            }
        }
        tenures.extend(open.map(|tenure| Tenure { until_us: life.killed_us, ..tenure }));
    }
    tenures.sort_by_key(|tenure| tenure.from_us);
    Ok(tenures)
}

fn one_at_a_time(partition: u32, tenures: &[Tenure<'_>]) -> Result<(), String> {
    for pair in tenures.windows(2) {
        let [before, after] = pair else { continue };
        if before.until_us.is_none_or(|until| until > after.from_us + SAME_MOMENT_US) {
            return Err(format!("partition {partition} had two owners: {before:?} and {after:?}"));
        }
        if before.generation >= 0 && after.generation >= 0 && after.generation < before.generation {
            return Err(format!(
                "partition {partition} went back in its generation: {before:?} and {after:?}"
            ));
        }
    }
    Ok(())
}

/// Every offset was read, and only by the partition's owner. What was read twice was read first by one that could not commit.
fn nothing_left_out(
    lives: &[Life],
    partition: u32,
    end: u64,
    tenures: &[Tenure<'_>],
) -> Result<(u64, u64), String> {
    // What comes next, and who has come so far.
    let (mut next, mut furthest) = (0, None);
    let mut twice = 0;
    let mut reads = Vec::new();
    for life in lives {
        for event in &life.events {
            if let What::Read(of, first, last) = event.what
                && of == partition
            {
                reads.push((event.at_us, life.name.as_str(), first, last));
            }
        }
    }
    reads.sort_unstable();
    for (at_us, reader, first, last) in reads {
        let owns = |tenure: &&Tenure<'_>| {
            tenure.owner == reader
                && tenure.from_us <= at_us + SAME_MOMENT_US
                && tenure.until_us.is_none_or(|until| at_us <= until + SAME_MOMENT_US)
        };
        let Some(tenure) = tenures.iter().find(owns) else {
            return Err(format!(
                "{reader} read {first} to {last} of partition {partition}, which it did not own"
            ));
        };
        if first > next {
            return Err(format!(
                "offsets {next} to {first} of partition {partition} were left out before {reader}"
            ));
        }
        if first < next {
            if furthest.is_none_or(|before: &Tenure<'_>| before.orderly || std::ptr::eq(before, tenure)) {
                return Err(format!(
                    "{reader} read {first} to {last} of partition {partition} again up to {next} after {furthest:?}"
                ));
            }
            twice += next.min(last + 1) - first;
        }
        if last >= next {
            (next, furthest) = (last + 1, Some(tenure));
        }
    }
    if next == end {
        Ok((end, twice))
    } else {
        Err(format!("partition {partition} was read to {next} of {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Event, Life, What, check, settled};
    use std::collections::BTreeMap;

    fn life(name: &str, lines: &str, killed_us: Option<u64>) -> Life {
        let events = lines.lines().map(|line| Event::parse(line.trim()).expect(line)).collect();
        Life { name: name.to_owned(), events, leaving_us: None, killed_us }
    }

    fn ends(end: u64) -> BTreeMap<u32, u64> {
        BTreeMap::from([(0, end)])
    }

    #[test]
    fn lines_are_read() {
        let what = |line| Event::parse(line).map(|event| event.what);
        assert_eq!(what("17 assigned 3 1,2"), Some(What::Assigned(3, vec![1, 2])));
        assert_eq!(what("17 revoked -1 "), Some(What::Revoked(-1, vec![])));
        assert_eq!(what("17 read 4 10 19"), Some(What::Read(4, 10, 19)));
        assert_eq!(what("17 read 4 10"), None);
        assert_eq!(what("17 left"), Some(What::Left));
    }

    #[test]
    fn an_orderly_move_passes() {
        let a = life("a", "1000 assigned 1 0\n2000 read 0 0 9\n9000 revoked 1 0\n9500 left", None);
        let b = life("b", "9100 assigned 2 0\n20000 read 0 10 19", None);
        let counted = check(&[a, b], &ends(20), &[]).expect("nothing wrong");
        assert_eq!(counted, Counts { lives: 2, killed: 0, tenures: 2, records: 20, read_twice: 0 });
    }

    #[test]
    fn two_owners_are_found() {
        let a = life("a", "1000 assigned 1 0\n2000 read 0 0 9\n90000 revoked 1 0", None);
        let b = life("b", "9100 assigned 2 0", None);
        assert!(check(&[a, b], &ends(10), &[]).unwrap_err().contains("two owners"));
    }

    #[test]
    fn a_gap_and_a_short_end_are_found() {
        let a = life("a", "1000 assigned 1 0\n2000 read 0 0 9\n3000 read 0 11 12", None);
        assert!(check(std::slice::from_ref(&a), &ends(13), &[]).unwrap_err().contains("left out"));
        let b = life("b", "1000 assigned 1 0\n2000 read 0 0 9", None);
        assert!(check(&[b], &ends(13), &[]).unwrap_err().contains("read to 10 of 13"));
    }

    #[test]
    fn only_a_crash_or_a_failed_commit_excuses_reading_twice() {
        let first = "1000 assigned 1 0\n2000 read 0 0 9";
        let again = || life("b", "9000 assigned 2 0\n20000 read 0 5 19", None);
        let counted = check(&[life("a", first, Some(8000)), again()], &ends(20), &[]).expect("it was killed");
        assert_eq!(counted.read_twice, 5);
        let failed = life("a", &format!("{first}\n2900 error commit: no\n3000 revoked 1 0"), None);
        assert!(check(&[failed, again()], &ends(20), &[]).is_ok());
        let orderly = life("a", &format!("{first}\n3000 revoked 1 0"), None);
        assert!(check(&[orderly, again()], &ends(20), &[]).unwrap_err().contains("again"));
    }

    #[test]
    fn who_reads_without_owning_is_found() {
        let a = life("a", "1000 assigned 1 0\n2000 read 0 0 9\n3000 revoked 1 0\n9000 read 0 10 12", None);
        assert!(check(&[a], &ends(13), &[]).unwrap_err().contains("did not own"));
    }

    #[test]
    fn partitions_are_lost_on_leaving_or_when_excused() {
        let mut a = life("a", "1000 assigned 1 0\n2000 read 0 0 9\n3000 lost 1 0\n4000 left", None);
        assert!(check(std::slice::from_ref(&a), &ends(10), &[]).unwrap_err().contains("though it lived"));
        assert!(check(std::slice::from_ref(&a), &ends(10), &[2900..=3100]).is_ok());
        a.leaving_us = Some(2500);
        assert!(check(&[a], &ends(10), &[]).is_ok());
    }

    #[test]
    fn a_generation_that_goes_back_is_found() {
        let a = life("a", "1000 assigned 5 0\n2000 revoked 5 0", None);
        let b = life("b", "9000 assigned 4 0", None);
        assert!(check(&[a, b], &ends(0), &[]).unwrap_err().contains("went back"));
    }

    #[test]
    fn shares_are_fair_when_it_has_settled() {
        let a = life("a", "1 assigned 1 0,1,2", None);
        let b = life("b", "1 assigned 1 3", None);
        let members = ["a".to_owned(), "b".to_owned()];
        assert!(settled(&[a.clone(), b], &members, 4).unwrap_err().contains("a owns 3"));
        let b = life("b", "1 assigned 1 3,4", None);
        assert_eq!(settled(&[a.clone(), b.clone()], &members, 5), Ok(()));
        assert!(settled(&[a, b], &members, 6).unwrap_err().contains("partition 5"));
    }
}
