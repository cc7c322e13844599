//! StreamsGroupDescribe.

use common::ErrorCode;
use protocol::messages::streams_group_describe_response::{
    Assignment, DescribedGroup, Endpoint, KeyValue, Member, Subtopology, TaskIds, TaskOffset, TopicInfo,
    Topology,
};
use protocol::messages::streams_group_topology_value::TopicInfo as StoredTopicInfo;

use super::assignor::STICKY;
use super::group::TaskOffsets;
use super::tasks::{Tasks, to_ids};
use super::{StreamsGroup, StreamsGroupMember};
use crate::GroupShard;

/// There is no description, as there is no plug-in for it (KIP-1331).
const DESCRIPTION_NOT_STORED: i8 = 1;

impl GroupShard {
    /// A streams group with its topology and its members.
    pub(crate) fn describe_streams_group(
        &self,
        group_id: &str,
        include_topology_description: bool,
    ) -> DescribedGroup {
        match (self.groups.streams(group_id), self.groups.get(group_id)) {
            (Some(group), _) => DescribedGroup {
                topology_description_status: match include_topology_description {
                    true => DESCRIPTION_NOT_STORED,
                    false => 0,
                },
                ..describe(group)
            },
            (None, other) => DescribedGroup {
                group_id: group_id.to_owned(),
                error_code: ErrorCode::GroupIdNotFound.code(),
                error_message: Some(match other {
                    Some(_) => format!("Group {group_id} is not a streams group."),
                    None => format!("Group {group_id} not found."),
                }),
                ..Default::default()
            },
        }
    }
}

fn describe(group: &StreamsGroup) -> DescribedGroup {
    DescribedGroup {
        group_id: group.group_id.to_string(),
        group_state: group.state().name().to_owned(),
        group_epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        topology: describe_topology(group),
        members: group.members().map(|member| describe_member(group, member)).collect(),
        assignor_name: Some(STICKY.to_owned()),
        ..Default::default()
    }
}

/// The topology with the numbers of partitions, if all topics are there; else as the members sent it.
fn describe_topology(group: &StreamsGroup) -> Option<Topology> {
    let configured = group.memory.configured.as_ref().filter(|configured| configured.is_ready());
    if let Some(configured) = configured {
        let subtopologies = configured.subtopologies.iter().flatten();
        return Some(Topology {
            epoch: configured.epoch,
            subtopologies: Some(
                subtopologies
                    .map(|(id, subtopology)| Subtopology {
                        subtopology_id: id.clone(),
                        source_topics: subtopology.source_topics.iter().cloned().collect(),
                        repartition_sink_topics: subtopology
                            .repartition_sink_topics
                            .iter()
                            .cloned()
                            .collect(),
                        state_changelog_topics: topics(subtopology.state_changelog_topics.values()),
                        repartition_source_topics: topics(subtopology.repartition_source_topics.values()),
                    })
                    .collect(),
            ),
        });
    }
    let topology = group.topology.as_ref()?;
    let subtopologies = topology.subtopologies.values();
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    Some(Topology {
        epoch: topology.epoch,
        subtopologies: Some(
            subtopologies
                .map(|subtopology| Subtopology {
                    subtopology_id: subtopology.subtopology_id.clone(),
                    source_topics: sorted(&subtopology.source_topics),
                    repartition_sink_topics: sorted(&subtopology.repartition_sink_topics),
                    state_changelog_topics: topics(subtopology.state_changelog_topics.iter()),
                    repartition_source_topics: topics(subtopology.repartition_source_topics.iter()),
                })
                .collect(),
        ),
    })
}

fn topics<'a>(topics: impl Iterator<Item = &'a StoredTopicInfo>) -> Vec<TopicInfo> {
    let mut topics: Vec<TopicInfo> = topics
        .map(|topic| TopicInfo {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            topic_configs: topic
                .topic_configs
                .iter()
                .map(|config| KeyValue { key: config.key.clone(), value: config.value.clone() })
                .collect(),
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics
}

fn describe_member(group: &StreamsGroup, member: &StreamsGroupMember) -> Member {
    let target = group.target.get(&member.member_id).cloned().unwrap_or_default();
    let told = group.memory.task_offsets.get(&member.member_id).cloned().unwrap_or_default();
    Member {
        member_id: member.member_id.to_string(),
        member_epoch: member.member_epoch,
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topology_epoch: member.topology_epoch,
        process_id: member.process_id.clone(),
        user_endpoint: member
            .user_endpoint
            .as_ref()
            .map(|endpoint| Endpoint { host: endpoint.host.clone(), port: endpoint.port }),
        client_tags: member
            .client_tags
            .iter()
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        task_offsets: offsets(&told.offsets),
        task_end_offsets: offsets(&told.end_offsets),
        assignment: Assignment {
            active_tasks: ids(&member.assigned.active_tasks()),
            standby_tasks: ids(&member.assigned.standby),
            warmup_tasks: ids(&member.assigned.warmup),
        },
        target_assignment: Assignment {
            active_tasks: ids(&target.active),
            standby_tasks: ids(&target.standby),
            warmup_tasks: ids(&target.warmup),
        },
        is_classic: false,
    }
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    to_ids(tasks, |subtopology_id, partitions| TaskIds { subtopology_id, partitions })
}

fn offsets(offsets: &TaskOffsets) -> Vec<TaskOffset> {
    offsets
        .iter()
        .map(|((subtopology_id, partition), &offset)| TaskOffset {
            subtopology_id: subtopology_id.clone(),
            partition: *partition,
            offset,
        })
        .collect()
}
