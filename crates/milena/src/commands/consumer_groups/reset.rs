//! `--reset-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;
use common::TopicPartition;

use super::{Arguments, KIND};
use crate::commands::group_tool::offsets::{self, Offsets, committed_offsets};
use crate::commands::group_tool::{Failure, failed, reset};

pub(super) async fn reset(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let options = &arguments.options;
    let groups = options.groups(&KIND, admin).await?;
    let described = admin.describe_consumer_groups(&groups).await.map_err(failed)?;
    let states = described.into_iter().map(|(id, group)| (id, group.map(|group| group.state))).collect();
    let all = reset::reset_groups(states, async |group, _| {
        let partitions = partitions_to_reset(arguments, admin, group).await?;
        let committed = async || committed_offsets(admin, group).await;
        let offsets = reset::prepare(options, admin, group, &partitions, committed).await?;
        if options.reset.execute {
            reset::set(admin, group, &offsets).await?;
        }
        Ok(offsets)
    })
    .await?;
    reset::print(options, &all, widths(&all));
    Ok(())
}

async fn partitions_to_reset(
    arguments: &Arguments,
    admin: &Admin,
    group: &str,
) -> Result<BTreeSet<TopicPartition>, Failure> {
    if arguments.all_topics {
        let committed = committed_offsets(admin, group).await?.into_keys().collect();
        offsets::check_partitions(admin, &committed).await?;
        Ok(committed)
    } else if arguments.topics.is_empty() {
        reset::without_topics(&arguments.options)
    } else {
        offsets::named(admin, &arguments.topics).await
    }
}

/// How wide the columns of groups and topics are.
fn widths(all: &BTreeMap<String, Offsets>) -> (usize, usize) {
    let groups = all.keys().map(|group| group.chars().count());
    let topics = all.values().flat_map(|offsets| offsets.keys().map(|at| at.topic.chars().count()));
    (groups.max().unwrap_or(0).max(15), topics.max().unwrap_or(0).max(15))
}
