//! `--reset-offsets` and `--delete-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;
use client::admin::GroupState;
use common::TopicPartition;

use super::{Arguments, KIND, describe, internal_topics};
use crate::commands::group_tool::offsets::{Committed, committed_offsets, named};
use crate::commands::group_tool::{Failure, delete, failed, print_error, reset};

/// How wide Kafka's tool has the columns of groups and topics.
const WIDTHS: (usize, usize) = (30, 30);

/// The topics from which a group's topology reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topics {
    /// Those that others write.
    Input,
    /// Its own too.
    All,
}

/// What a group committed for topics from which its topology reads.
async fn committed_in(topics: Topics, admin: &Admin, group: &str) -> Result<Committed, Failure> {
    let mut read = BTreeSet::new();
    for part in describe::one(admin, group).await.map_err(failed)?.subtopologies {
        read.extend(part.source_topics);
        if topics == Topics::All {
            read.extend(part.repartition_source_topics.into_iter().map(|topic| topic.name));
        }
    }
    let mut committed = committed_offsets(admin, group).await?;
    committed.retain(|partition, _| read.contains(&*partition.topic));
    Ok(committed)
}

/// What a group committed for all topics from which its topology reads.
pub(super) async fn committed(admin: &Admin, group: &str) -> Result<Committed, Failure> {
    committed_in(Topics::All, admin, group).await
}

/// The partitions of `--all-input-topics`: of the topics that others write, those for which the group committed.
async fn all_input(admin: &Admin, group: &str) -> Result<BTreeSet<TopicPartition>, Failure> {
    Ok(committed_in(Topics::Input, admin, group).await?.into_keys().collect())
}

pub(super) async fn reset(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let options = &arguments.options;
    let groups = options.groups(&KIND, admin).await?;
    let described = admin.describe_streams_groups(&groups).await.map_err(failed)?;
    let states = described.into_iter().map(|(id, group)| (id, group.map(|group| group.state))).collect();
    let all = reset::reset_groups(states, async |group, state| {
        let partitions = partitions_to_reset(arguments, admin, group).await?;
        let committed = async || committed(admin, group).await;
        let offsets = reset::prepare(options, admin, group, &partitions, committed).await?;
        if options.reset.execute {
            reset::set(admin, group, &offsets).await?;
            if state == GroupState::Empty {
                internal_topics::delete_after_reset(arguments, admin, group).await;
            }
        }
        Ok(offsets)
    })
    .await?;
    reset::print(options, &all, WIDTHS);
    Ok(())
}

async fn partitions_to_reset(
    arguments: &Arguments,
    admin: &Admin,
    group: &str,
) -> Result<BTreeSet<TopicPartition>, Failure> {
    if arguments.all_input_topics {
        return all_input(admin, group).await;
    }
    if arguments.input_topics.is_empty() {
        return reset::without_topics(&arguments.options);
    }
    let partitions = named(admin, &arguments.input_topics).await?;
    let committed = committed_offsets(admin, group).await?;
    if partitions.iter().all(|partition| committed.contains_key(partition)) {
        return Ok(partitions);
    }
    print_error(&format!("One or more topics are not part of the group '{group}'."));
    Ok(BTreeSet::new())
}

pub(super) async fn delete(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    // `check` lets one group pass.
    let group = arguments.options.groups.first().map(String::as_str).unwrap_or_default();
    if !arguments.all_input_topics {
        return delete::delete_offsets_in(admin, group, &arguments.input_topics).await;
    }
    let partitions = all_input(admin, group).await?;
    delete::delete_offsets(admin, group, partitions, BTreeMap::new()).await;
    Ok(())
}
