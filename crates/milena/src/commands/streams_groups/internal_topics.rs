//! The internal topics of streams groups: which there are, and that they are deleted.

use std::collections::BTreeMap;

use client::admin::StreamsGroupDescription;
use client::{Admin, ClientError};
use common::ErrorCode;

use super::Arguments;
use crate::commands::client_tool::exception;
use crate::commands::group_tool::print_error;

/// The repartition and changelog topics of groups that are named as such topics are. Groups without any are left out.
pub(super) async fn of_groups(admin: &Admin, groups: &[String]) -> BTreeMap<String, Vec<String>> {
    let described = async {
        let described = admin.describe_streams_groups(groups).await?;
        described.into_values().collect::<Result<Vec<_>, ClientError>>()
    };
    let described: Vec<StreamsGroupDescription> = match described.await {
        Ok(described) => described,
        Err(ClientError::UnsupportedApi { .. }) => {
            print_error(
                "Retrieving internal topics is not supported by the broker version. Use 'kafka-topics.sh' to list \
                 and delete the group's internal topics.",
            );
            return BTreeMap::new();
        }
        Err(error) => {
            print_error(&format!("Retrieving internal topics failed due to {}", exception(&error)));
            return BTreeMap::new();
        }
    };
    let with_topics = described.into_iter().map(|group| (internal_topics(&group), group.group_id));
    with_topics.filter(|(topics, _)| !topics.is_empty()).map(|(topics, group)| (group, topics)).collect()
}

fn internal_topics(group: &StreamsGroupDescription) -> Vec<String> {
    let parts = || group.subtopologies.iter();
    let is_read = |topic: &String| parts().any(|part| part.source_topics.contains(topic));
    let made =
        parts().flat_map(|part| part.repartition_source_topics.iter().chain(&part.state_changelog_topics));
    let mut topics = Vec::new();
    for topic in made.map(|topic| &topic.name).filter(|topic| !is_read(topic)) {
        match is_inferred(topic, &group.group_id) {
            true => topics.push(topic.clone()),
            false => print_error(&format!(
                "The internal topic '{topic}' is not inferred as internal and thus will not be deleted with the group '{}'.",
                group.group_id
            )),
        }
    }
    topics
}

/// Whether Kafka Streams names the internal topics of an application so.
fn is_inferred(topic: &str, application: &str) -> bool {
    const ENDS: [&str; 4] =
        ["-changelog", "-repartition", "-subscription-registration-topic", "-subscription-response-topic"];
    let of_application = topic.strip_prefix(application).is_some_and(|rest| rest.starts_with('-'));
    of_application && (ENDS.iter().any(|end| topic.ends_with(end)) || is_of_join(topic))
}

/// Whether it is named as the topics of a join by a foreign key are: with a number in front of `-topic`.
fn is_of_join(topic: &str) -> bool {
    const BEGINNINGS: [&str; 2] =
        ["-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION", "-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE"];
    let parts = topic.strip_suffix("-topic").and_then(|name| name.rsplit_once('-'));
    parts.is_some_and(|(name, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        is_number && BEGINNINGS.iter().any(|beginning| name.ends_with(beginning))
    })
}

/// What became of each topic.
pub(super) async fn delete(admin: &Admin, topics: &[String]) -> Vec<(String, Result<(), ClientError>)> {
    match admin.delete_topics(topics).await {
        Ok(results) => topics.iter().cloned().zip(results).collect(),
        Err(error) => topics.iter().map(|topic| (topic.clone(), Err(error.clone()))).collect(),
    }
}

/// Deletes the internal topics that the command names, or all of them.
///
/// Divergence: a group without any has nothing to delete; Kafka's tool ends with a `NullPointerException`.
pub(super) async fn delete_after_reset(arguments: &Arguments, admin: &Admin, group: &str) {
    let topics = match arguments.delete_all_internal_topics {
        true => of_groups(admin, &[group.to_owned()]).await.remove(group).unwrap_or_default(),
        false => arguments.delete_internal_topics.clone(),
    };
    if topics.is_empty() {
        return;
    }
    let error = delete(admin, &topics).await.into_iter().find_map(|(_, result)| result.err());
    match error {
        None => {}
        Some(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => print_error(&format!(
            "Deleting internal topics for group '{group}' failed because the topics do not exist."
        )),
        Some(error) => print_error(&format!(
            "Deleting internal topics for group '{group}' failed due to {}",
            exception(&error)
        )),
    }
}

#[cfg(test)]
mod tests {
    use client::Node;
    use client::admin::{GroupState, StreamsGroupSubtopologyDescription};
    use protocol::messages::streams_group_describe_response::TopicInfo;

    use super::*;

    #[test]
    fn internal_topics_are_those_that_are_named_so_and_not_read_from_elsewhere() {
        let topics = |names: &[&str]| -> Vec<TopicInfo> {
            names.iter().map(|name| TopicInfo { name: (*name).to_owned(), ..TopicInfo::default() }).collect()
        };
        let part =
            |source: &[&str], repartition: &[&str], changelog: &[&str]| StreamsGroupSubtopologyDescription {
                source_topics: source.iter().map(|name| (*name).to_owned()).collect(),
                repartition_source_topics: topics(repartition),
                state_changelog_topics: topics(changelog),
                ..StreamsGroupSubtopologyDescription::default()
            };
        let group = StreamsGroupDescription {
            group_id: "app".to_owned(),
            state: GroupState::Empty,
            group_epoch: 1,
            target_assignment_epoch: 1,
            topology_epoch: Some(0),
            subtopologies: vec![
                part(&["lines", "app-source-changelog"], &[], &["app-source-changelog"]),
                part(&[], &["app-counts-repartition"], &["app-counts-changelog", "my-own-store"]),
            ],
            members: Vec::new(),
            coordinator: Node { id: 1, host: "h".to_owned(), port: 1, rack: None },
        };
        assert_eq!(internal_topics(&group), ["app-counts-repartition", "app-counts-changelog"]);
        for (topic, inferred) in [
            ("app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-0000000014-topic", true),
            ("app-a-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-7-topic", true),
            ("app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-x-topic", false),
            ("application-store-changelog", false),
            ("app-store-changelog-2", false),
        ] {
            assert_eq!(is_inferred(topic, "app"), inferred, "{topic}");
        }
    }
}
