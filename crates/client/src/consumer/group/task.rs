//! The task that does for a membership what it asks for: requests, names and layouts of topics, dividing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ErrorCode, Uuid};
use protocol::ApiKey;
use protocol::messages::metadata_response::MetadataResponseTopic;
use tokio::task::JoinSet;

use super::membership::{Answer, Ask, Coordinator, Settings, Snapshot, Step};
use super::{Group, Wanted};
use crate::ClientError;
use crate::connection::Connection;
use crate::consumer::assignor::{Assignor, GroupAssignment, Layout, Member, Topics};
use crate::trouble::Trouble;

/// A join is answered when everybody has joined; a little later than that at the latest (`JOIN_GROUP_TIMEOUT_LAPSE`).
const JOIN_LAPSE: Duration = Duration::from_secs(5);
/// How often a topic is looked for that is subscribed to and not there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Something that came back.
enum Landed {
    Answer(Result<Answer, ClientError>, Option<Arc<Connection>>),
    Divided(Result<(Topics, GroupAssignment), ClientError>),
    Named(BTreeMap<Uuid, String>),
    Observed(Result<Observed, ClientError>),
}

/// What subscribed topics look like.
struct Observed {
    topics: Snapshot,
    /// The topics that match, where a pattern is looked for.
    matching: Option<BTreeSet<String>>,
    /// Whether some topic is to be looked for again soon.
    is_incomplete: bool,
}

/// Serves the group until it is aborted.
pub(super) async fn run(group: Arc<Group>) {
    let mut flights: JoinSet<Landed> = JoinSet::new();
    let mut trouble = Trouble::default();
    let mut observe_at = Instant::now();
    let mut is_observing = false;
    let mut observed_version = 0;
    loop {
        let now = Instant::now();
        let (wanted, version) = group.wanted();
        if version != observed_version {
            (observed_version, observe_at) = (version, now);
        }
        if let Some(wanted) = wanted.filter(|_| !is_observing && observe_at <= now) {
            is_observing = true;
            let group = Arc::clone(&group);
            flights.spawn(async move { Landed::Observed(observe(&group, wanted).await) });
        }
        let step = group.membership().step(now);
        let mut until = match step {
            Step::Wait(until) => until,
            step => {
                let performer = Arc::clone(&group);
                flights.spawn(async move { perform(&performer, step).await });
                // What comes next does not wait for the answer: a deadline may pass before.
                match group.membership().step(now) {
                    Step::Wait(until) => until,
                    _ => unreachable!("Invariant: a membership asks for one thing at a time"),
                }
            }
        };
        if !is_observing {
            until = super::membership::earlier(
                until,
                Some(observe_at.max(now)).filter(|_| group.wanted().0.is_some()),
            );
        }
        let sleep = until.map(|until| tokio::time::sleep_until(until.into()));
        tokio::select! {
            Some(landed) = flights.join_next() => {
                let now = Instant::now();
                match landed {
                    Ok(Landed::Answer(answer, connection)) => {
                        match &answer {
                            Ok(_) => trouble.is_over(),
                            Err(error) => {
                                trouble.tell_of(&format!("group {}", group.settings.group_id), error);
                                // A wrong address stays wrong: that is told, while it is tried on.
                                if error.is_retriable() && !group.cluster.may_retry(error) {
                                    group.fail(error.clone());
                                }
                            }
                        }
                        let coordinator = group.membership().answered(answer, now);
                        if let (Coordinator::Unknown, Some(connection)) = (coordinator, connection) {
                            group.coordinator.forget(&connection);
                        }
                    }
                    Ok(Landed::Divided(shares)) => group.membership().divided(shares, now),
                    Ok(Landed::Named(names)) => group.membership().named(names, now),
                    Ok(Landed::Observed(observed)) => {
                        is_observing = false;
                        observe_at = now + match &observed {
                            Ok(Observed { is_incomplete: false, .. }) => group.cluster.config().metadata_max_age,
                            Ok(_) => LOOK_AGAIN,
                            Err(_) => group.cluster.config().retry_backoff,
                        };
                        match observed {
                            Ok(observed) => group.observed(observed.topics, observed.matching),
                            Err(error) => {
                                trouble.tell_of(&format!("group {}", group.settings.group_id), &error);
                                if !group.cluster.may_retry(&error) {
                                    group.fail(error);
                                    observe_at = now + LOOK_AGAIN;
                                }
                            }
                        }
                    }
                    // Nothing in them may panic; where it does, the application is not to wait for ever.
                    Err(error) => {
                        group.fail(ClientError::Group(format!("group {}: {error}", group.settings.group_id)));
                        group.changed.notify_one();
                        return;
                    }
                }
                // The application may have a turn now, or an error.
                group.changed.notify_one();
            }
            () = group.wake.notified() => {}
            () = async { match sleep { Some(sleep) => sleep.await, None => std::future::pending().await } } => {}
        }
    }
}

async fn perform(group: &Group, step: Step) -> Landed {
    match step {
        Step::Divide(assignor, members) => Landed::Divided(divide(group, assignor, members).await),
        Step::Name(ids) => Landed::Named(name(group, &ids).await),
        Step::Send(ask) => match group.coordinator.connection().await {
            Ok(connection) => Landed::Answer(send(&connection, ask, &group.settings).await, Some(connection)),
            Err(error) => Landed::Answer(Err(error), None),
        },
        Step::Wait(_) => unreachable!("Invariant: waiting is not performed"),
    }
}

/// Asks the coordinator.
pub(super) async fn send(
    connection: &Connection,
    ask: Ask,
    settings: &Settings,
) -> Result<Answer, ClientError> {
    match ask {
        Ask::Join(mut request) => {
            let timeout =
                settings.max_poll_interval.saturating_add(JOIN_LAPSE).max(connection.request_timeout());
            let version = connection.version(ApiKey::JoinGroup, i16::MAX)?;
            require_static(&request.group_instance_id, version, 5, ApiKey::JoinGroup)?;
            if version < 8 {
                request.reason = None;
            }
            connection.send_within(&request, version, timeout).await?.read().map(Answer::Join)
        }
        Ask::Sync(request) => {
            let timeout =
                settings.max_poll_interval.saturating_add(JOIN_LAPSE).max(connection.request_timeout());
            let version = connection.version(ApiKey::SyncGroup, i16::MAX)?;
            connection.send_within(&request, version, timeout).await?.read().map(Answer::Sync)
        }
        Ask::Heartbeat(request) => connection.call(&request).await.map(Answer::Heartbeat),
        Ask::Leave(mut request) => {
            let version = connection.version(ApiKey::LeaveGroup, i16::MAX)?;
            // One member, or several.
            match version {
                ..3 => request.members.clear(),
                _ => request.member_id.clear(),
            }
            let response: protocol::messages::LeaveGroupResponse =
                connection.send_in_version(&request, version).await?.read()?;
            ClientError::check(response.error_code, None).map(|()| Answer::Left)
        }
        Ask::ConsumerHeartbeat(request) => {
            let leaves = request.member_epoch < 0;
            let version = connection.version(ApiKey::ConsumerGroupHeartbeat, i16::MAX)?;
            if version < 1 && request.subscribed_topic_regex.is_some() {
                return Err(ClientError::api(
                    ErrorCode::UnsupportedVersion,
                    Some("the broker does not resolve patterns of topics (RE2/J)".to_owned()),
                ));
            }
            let response: protocol::messages::ConsumerGroupHeartbeatResponse =
                connection.send_in_version(&request, version).await?.read()?;
            Ok(if leaves { Answer::Left } else { Answer::ConsumerHeartbeat(response) })
        }
    }
}

fn require_static(
    instance: &Option<String>,
    version: i16,
    since: i16,
    api: ApiKey,
) -> Result<(), ClientError> {
    match instance {
        Some(instance) if version < since => Err(ClientError::api(
            ErrorCode::UnsupportedVersion,
            Some(format!(
                "group.instance.id {instance}: the broker's version of {api} knows no static members"
            )),
        )),
        _ => Ok(()),
    }
}

/// Topics as the cluster has them now; those that are not there are left out.
async fn layouts(
    group: &Group,
    names: Option<&[String]>,
) -> Result<(Vec<MetadataResponseTopic>, Snapshot, bool), ClientError> {
    let response = group.cluster.metadata(names, group.auto_create).await?;
    let racks: BTreeMap<i32, &String> =
        response.brokers.iter().filter_map(|broker| Some((broker.node_id, broker.rack.as_ref()?))).collect();
    let mut snapshot = Snapshot::new();
    let mut is_incomplete = false;
    for topic in &response.topics {
        let Some(name) = &topic.name else { continue };
        match ErrorCode::from_code(topic.error_code) {
            ErrorCode::None => {}
            code if crate::error::is_retriable(code) => {
                is_incomplete = true;
                continue;
            }
            ErrorCode::TopicAuthorizationFailed if names.is_none() => continue,
            ErrorCode::TopicAuthorizationFailed => {
                return Err(ClientError::api(
                    ErrorCode::TopicAuthorizationFailed,
                    Some(format!("Not authorized to access topics: [{name}]")),
                ));
            }
            ErrorCode::InvalidTopicException => {
                let text = format!("Invalid topics: [{name}]");
                return Err(ClientError::api(ErrorCode::InvalidTopicException, Some(text)));
            }
            _ => {
                is_incomplete = true;
                continue;
            }
        }
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        let of_partition = |partition: &&protocol::messages::metadata_response::MetadataResponsePartition| {
            partition
                .replica_nodes
                .iter()
                .filter_map(|node| racks.get(node).map(|rack| (*rack).clone()))
                .collect()
        };
        snapshot.insert(name.clone(), Layout { racks: partitions.iter().map(of_partition).collect() });
    }
    Ok((response.topics, snapshot, is_incomplete))
}

/// What the membership is to know of topics.
async fn observe(group: &Group, wanted: Wanted) -> Result<Observed, ClientError> {
    match wanted {
        Wanted::Topics => {
            let watched: Vec<String> = group.membership().watched().into_iter().collect();
            if watched.is_empty() {
                return Ok(Observed { topics: Snapshot::new(), matching: None, is_incomplete: false });
            }
            let (_, topics, is_incomplete) = layouts(group, Some(&watched)).await?;
            Ok(Observed { topics, matching: None, is_incomplete })
        }
        Wanted::Pattern(pattern) => {
            let (topics, mut snapshot, is_incomplete) = layouts(group, None).await?;
            let internal = |topic: &MetadataResponseTopic| group.exclude_internal && topic.is_internal;
            let names =
                topics.iter().filter(|topic| !internal(topic)).filter_map(|topic| topic.name.as_ref());
            // An expression that takes too long to decide matches nothing.
            let matches = |name: &&String| pattern.is_match(name).unwrap_or(false);
            let matching: BTreeSet<String> = names.filter(matches).cloned().collect();
            let watched = group.membership().watched();
            snapshot.retain(|topic, _| matching.contains(topic) || watched.contains(topic));
            Ok(Observed { topics: snapshot, matching: Some(matching), is_incomplete })
        }
    }
}

/// Divides the partitions of all topics that members want.
async fn divide(
    group: &Group,
    assignor: Assignor,
    members: Vec<Member>,
) -> Result<(Topics, GroupAssignment), ClientError> {
    let wanted: BTreeSet<String> =
        members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect();
    let wanted: Vec<String> = wanted.into_iter().collect();
    let topics = match wanted.is_empty() {
        true => Snapshot::new(),
        false => layouts(group, Some(&wanted)).await?.1,
    };
    let shares = assignor.assign(&topics, &members);
    tracing::debug!("group {}: {} divides {shares:?}", group.settings.group_id, assignor.name());
    Ok((topics, shares))
}

/// The names of topics that the coordinator names by id; those that are not known are left out.
async fn name(group: &Group, ids: &[Uuid]) -> BTreeMap<Uuid, String> {
    match group.cluster.names_of(ids).await {
        Ok(names) => names,
        Err(error) => {
            tracing::debug!("group {}: names of topics: {error}", group.settings.group_id);
            BTreeMap::new()
        }
    }
}
