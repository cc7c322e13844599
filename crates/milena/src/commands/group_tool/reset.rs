//! `--reset-offsets`: which offsets each scenario gives.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::{GroupState, OffsetAndMetadata, OffsetSpec};
use client::{Admin, ClientError};
use common::{ErrorCode, TopicPartition};

use super::offsets::{Committed, Offsets, at_time, end_offsets, in_range, offsets};
use super::{Failure, GroupOptions, clash, failed, instant, plan, print_error, said};

/// What `--reset-offsets` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct ResetOptions {
    /// With --reset-offsets: only say what would be set
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --reset-offsets: do it
    #[arg(long)]
    pub(crate) execute: bool,
    /// With --reset-offsets: write the offsets as CSV, for --from-file
    #[arg(long)]
    export: bool,
    /// Reset to this offset
    #[arg(long, value_name = "offset", allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// Reset to what a file of CSV says
    #[arg(long, value_name = "path to CSV file")]
    pub(crate) from_file: Option<String>,
    /// Reset to the first record at or after this time: YYYY-MM-DDTHH:mm:SS.sss, with or without a zone such as +02:00
    #[arg(long, value_name = "datetime")]
    to_datetime: Option<String>,
    /// Reset to the first record of the last so long: PnDTnHnMnS
    #[arg(long, value_name = "duration")]
    by_duration: Option<String>,
    /// Reset to the first offset
    #[arg(long)]
    to_earliest: bool,
    /// Reset to the end
    #[arg(long)]
    to_latest: bool,
    /// Reset to what is committed
    #[arg(long)]
    to_current: bool,
    /// Move what is committed by so many records, forward or back
    #[arg(long, value_name = "number-of-offsets", allow_negative_numbers = true)]
    shift_by: Option<i64>,
}

impl ResetOptions {
    /// Whether it is to be said or done.
    pub(crate) fn check_whether(&self) -> Result<(), String> {
        match self.dry_run && self.execute {
            true => Err("Option [reset-offsets] only accepts one of [execute] and [dry-run]".to_owned()),
            false => Ok(()),
        }
    }

    /// No more than one scenario.
    pub(crate) fn check_scenario(&self) -> Result<(), String> {
        let scenarios = [
            ("to-offset", self.to_offset.is_some()),
            ("to-datetime", self.to_datetime.is_some()),
            ("by-duration", self.by_duration.is_some()),
            ("to-earliest", self.to_earliest),
            ("to-latest", self.to_latest),
            ("to-current", self.to_current),
            ("shift-by", self.shift_by.is_some()),
            ("from-file", self.from_file.is_some()),
        ];
        let mut given = scenarios.iter().filter(|(_, given)| *given).map(|(option, _)| option);
        match (given.next(), given.next()) {
            (Some(one), Some(other)) => Err(clash(one, other)),
            _ => Ok(()),
        }
    }
}

/// What no topic was named for: the file says it all, or it is a mistake.
pub(crate) fn without_topics(options: &GroupOptions) -> Result<BTreeSet<TopicPartition>, Failure> {
    match options.reset.from_file {
        Some(_) => Ok(BTreeSet::new()),
        None => Err(Failure::Usage(
            "One of the reset scopes should be defined: --all-topics, --topic.".to_owned(),
        )),
    }
}

/// Resets the groups that have no members, by `reset`; the others are named. The offsets of each.
pub(crate) async fn reset_groups(
    states: BTreeMap<String, Result<GroupState, ClientError>>,
    reset: impl AsyncFn(&str, GroupState) -> Result<Offsets, Failure>,
) -> Result<BTreeMap<String, Offsets>, Failure> {
    let mut all = BTreeMap::new();
    for (group, state) in states {
        let state = match state {
            Ok(state) => state,
            // Offsets can be set for a group that is not there yet.
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => GroupState::Dead,
            Err(error) => return Err(failed(error)),
        };
        let offsets = match state {
            GroupState::Empty | GroupState::Dead => reset(&group, state).await?,
            state => {
                print_error(&format!(
                    "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
                ));
                Offsets::new()
            }
        };
        all.insert(group, offsets);
    }
    Ok(all)
}

/// Sets what a group committed.
pub(crate) async fn set(admin: &Admin, group: &str, offsets: &Offsets) -> Result<(), Failure> {
    let wanted = offsets.iter().map(|(at, offset)| (at.clone(), OffsetAndMetadata::new(*offset))).collect();
    let results = admin.alter_consumer_group_offsets(group, &wanted).await.map_err(said)?;
    results.into_values().collect::<Result<(), _>>().map_err(said)
}

/// What the scenario that was chosen makes of the partitions; `committed` is asked where it starts from what the group committed.
pub(crate) async fn prepare(
    options: &GroupOptions,
    admin: &Admin,
    group: &str,
    partitions: &BTreeSet<TopicPartition>,
    committed: impl AsyncFnOnce() -> Result<Committed, Failure>,
) -> Result<Offsets, Failure> {
    let reset = &options.reset;
    let list: Vec<TopicPartition> = partitions.iter().cloned().collect();
    if let Some(offset) = reset.to_offset {
        in_range(admin, list.into_iter().map(|partition| (partition, offset)).collect()).await
    } else if reset.to_earliest {
        offsets(admin, &list, OffsetSpec::Earliest).await
    } else if reset.to_latest {
        end_offsets(admin, &list).await
    } else if let Some(shift) = reset.shift_by {
        let committed = committed().await?;
        let mut shifted = Offsets::new();
        for partition in list {
            let Some(current) = committed.get(&partition) else {
                return Err(Failure::Usage(format!(
                    "Cannot shift offset for partition {partition} since there is no current committed offset"
                )));
            };
            shifted.insert(partition, current.offset.saturating_add(shift));
        }
        in_range(admin, shifted).await
    } else if let Some(text) = &reset.to_datetime {
        let timestamp = instant::date_time(text).map_err(Failure::Failed)?;
        at_time(admin, &list, timestamp).await
    } else if let Some(text) = &reset.by_duration {
        let duration = instant::duration_ms(text)
            .ok_or_else(|| Failure::Failed("Text cannot be parsed to a Duration".to_owned()))?;
        at_time(admin, &list, instant::now_ms().saturating_sub(duration)).await
    } else if let Some(file) = &reset.from_file {
        let single = Some(group).filter(|_| options.groups.len() == 1);
        let mut planned = plan::read(file, single).map_err(Failure::Failed)?;
        match planned.remove(group) {
            Some(offsets) => in_range(admin, offsets).await,
            None => {
                print_error(&format!("No reset plan for group {group} found"));
                Ok(Offsets::new())
            }
        }
    } else if reset.to_current {
        let committed = committed().await?;
        let (with, without): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|partition| committed.contains_key(partition));
        let mut current = end_offsets(admin, &without).await?;
        for partition in with {
            if let Some(committed) = committed.get(&partition) {
                current.insert(partition, committed.offset);
            }
        }
        Ok(current)
    } else {
        Err(Failure::Usage(
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [shift-by], [to-datetime], \
             [by-duration], [to-earliest], [to-latest], [to-current], [from-file]]"
                .to_owned(),
        ))
    }
}

/// Prints the offsets, as CSV where that was asked for.
///
/// Divergence: the rows are in the order of their partitions; Kafka's tools have them in the order of a hash map.
pub(crate) fn print(
    options: &GroupOptions,
    all: &BTreeMap<String, Offsets>,
    (group_width, topic_width): (usize, usize),
) {
    if options.reset.export {
        println!("{}", plan::to_csv(all, options.groups.len() == 1));
        return;
    }
    if !all.is_empty() {
        print!("\n{:<group_width$} {:<topic_width$} {:<10} NEW-OFFSET", "GROUP", "TOPIC", "PARTITION");
    }
    for (group, offsets) in all {
        for (at, offset) in offsets {
            print!("\n{group:<group_width$} {:<topic_width$} {:<10} {offset}", at.topic, at.partition);
        }
    }
    println!();
}
