//! ConsumerGroupDescribe.

use common::ErrorCode;
use protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member, TopicPartitions,
};

use super::{Assignment, ConsumerGroup, ConsumerGroupMember};
use crate::GroupShard;
use crate::topics::TopicsImage;

impl GroupShard {
    /// A consumer group with its members.
    pub(crate) fn describe_consumer_group(&self, group_id: &str) -> DescribedGroup {
        match (self.groups.consumer(group_id), self.groups.get(group_id)) {
            (Some(group), _) => {
                let topics = self.env.topics();
                describe(group, self.env.default_assignor().name(), &*topics.image)
            }
            (None, other) => DescribedGroup {
                group_id: group_id.to_owned(),
                error_code: ErrorCode::GroupIdNotFound.code(),
                error_message: Some(match other {
                    Some(_) => format!("Group {group_id} is not a consumer group."),
                    None => format!("Group {group_id} not found."),
                }),
                ..Default::default()
            },
        }
    }
}

fn describe(group: &ConsumerGroup, default_assignor: &str, topics: &dyn TopicsImage) -> DescribedGroup {
    DescribedGroup {
        group_id: group.group_id.to_string(),
        group_state: group.state().name().to_owned(),
        group_epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: group
            .preferred_assignor_with(None, None)
            .unwrap_or_else(|| default_assignor.to_owned()),
        members: group.members().map(|member| describe_member(group, member, topics)).collect(),
        ..Default::default()
    }
}

fn describe_member(group: &ConsumerGroup, member: &ConsumerGroupMember, topics: &dyn TopicsImage) -> Member {
    // What it has to give up it has until it has.
    let mut has = Assignment::new();
    for owned in [&member.assigned, &member.pending_revocation] {
        for (topic_id, partitions) in &**owned {
            has.entry(*topic_id).or_default().extend(partitions.keys());
        }
    }
    let target = group.target.get(&member.member_id).cloned().unwrap_or_default();
    Member {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: member.member_epoch,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.subscribed_topic_names.iter().cloned().collect(),
        subscribed_topic_regex: member.subscribed_topic_regex.clone(),
        assignment: described(&has, topics),
        target_assignment: described(&target, topics),
        member_type: i8::from(!member.uses_classic_protocol()),
    }
}

fn described(assignment: &Assignment, topics: &dyn TopicsImage) -> DescribedAssignment {
    let topic_partitions = assignment
        .iter()
        .filter_map(|(&topic_id, partitions)| {
            Some(TopicPartitions {
                topic_id,
                topic_name: topics.topic_name(topic_id)?,
                partitions: partitions.iter().copied().collect(),
            })
        })
        .collect();
    DescribedAssignment { topic_partitions }
}
