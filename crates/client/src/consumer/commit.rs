//! Offsets that a group has committed, and commits (`OffsetCommit`, `OffsetFetch`).
//!
//! Commits leave in the order in which they were made, one at a time: a later one never loses to an earlier one. Those that
//! nobody waits for are sent together with what has come meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ErrorCode, TopicPartition};
use protocol::ApiKey;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use tokio::sync::{mpsc, oneshot};

use super::group::{Group, GroupMetadata};
use super::{ConsumerConfig, GroupProtocol};
pub use crate::admin::OffsetAndMetadata;

use crate::ClientError;
use crate::backoff::Retries;

/// The newest version of both APIs that names topics.
const BY_NAME: i16 = 9;

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> OffsetAndMetadata {
        OffsetAndMetadata::new(offset)
    }
}

/// Offsets of partitions.
pub type Offsets = HashMap<TopicPartition, OffsetAndMetadata>;

/// A commit that was sent. Dropping it forgets about the answer; the commit goes on.
#[derive(Debug)]
pub struct Commit(Option<oneshot::Receiver<Result<(), ClientError>>>);

impl Commit {
    /// Waits for the coordinator's answer.
    ///
    /// # Errors
    /// As [`super::Consumer::commit_sync`]; what passes by itself is not tried again here.
    pub async fn wait(self) -> Result<(), ClientError> {
        match self.0 {
            Some(answer) => answer.await.unwrap_or(Err(ClientError::Closed)),
            None => Ok(()),
        }
    }
}

/// A commit on its way.
struct Job {
    offsets: Offsets,
    /// Until when it is tried again; once only where nobody waits for it.
    deadline: Option<Instant>,
    answers: Vec<oneshot::Sender<Result<(), ClientError>>>,
}

/// Takes commits.
pub(super) struct Commits(mpsc::UnboundedSender<Job>);

impl Commits {
    /// Begins to serve a group's commits.
    pub(super) fn start(group: Arc<Group>, config: ConsumerConfig) -> (Commits, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Commits(sender), tokio::spawn(run(group, config, receiver)))
    }

    /// Commits behind everything before; with a deadline, tries again until then.
    pub(super) fn commit(&self, offsets: Offsets, deadline: Option<Instant>) -> Commit {
        if offsets.is_empty() && deadline.is_none() {
            return Commit(None);
        }
        let (answer, receiver) = oneshot::channel();
        // A task that is gone drops the sender: the answer is that the client is closed.
        let _ = self.0.send(Job { offsets, deadline, answers: vec![answer] });
        Commit(Some(receiver))
    }
}

async fn run(group: Arc<Group>, config: ConsumerConfig, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut next = jobs.recv().await;
    while let Some(mut job) = next.take() {
        // What nobody waits for is joined by what came behind it, up to the next that somebody waits for.
        while job.deadline.is_none()
            && let Ok(other) = jobs.try_recv()
        {
            if other.deadline.is_some() {
                next = Some(other);
                break;
            }
            job.offsets.extend(other.offsets);
            job.answers.extend(other.answers);
        }
        let result = commit(&group, &config, &job.offsets, job.deadline).await;
        if let Err(error) = &result {
            tracing::debug!("a commit failed: {error}");
        }
        for answer in job.answers {
            let _ = answer.send(result.clone());
        }
        if next.is_none() {
            next = jobs.recv().await;
        }
    }
}

async fn commit(
    group: &Group,
    config: &ConsumerConfig,
    offsets: &Offsets,
    deadline: Option<Instant>,
) -> Result<(), ClientError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut retries = Retries::new(&config.client);
    loop {
        let error = match commit_once(group, config, offsets).await {
            Ok(()) => {
                config.interceptors.on_commit(offsets);
                return Ok(());
            }
            Err(error) => error,
        };
        let again = error.is_retriable() || error.code() == Some(ErrorCode::StaleMemberEpoch);
        let backoff = retries.pause();
        if !again || deadline.is_none_or(|deadline| Instant::now() + backoff >= deadline) {
            return Err(match error.code() {
                Some(ErrorCode::StaleMemberEpoch) => ClientError::CommitFailed,
                _ => error,
            });
        }
        tokio::time::sleep(backoff).await;
    }
}

/// Who commits: a member of the group, or anybody who assigned itself partitions.
fn identity(group: &Group) -> Result<GroupMetadata, ClientError> {
    let membership = group.membership();
    let metadata = membership.metadata();
    if !group.is_subscribed() {
        return Ok(GroupMetadata {
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
            group_id: metadata.group_id,
        });
    }
    if membership.is_rebalancing() {
        return Err(ClientError::RebalanceInProgress);
    }
    if metadata.generation_id < 0 {
        return Err(ClientError::CommitFailed);
    }
    Ok(metadata)
}

async fn commit_once(group: &Group, config: &ConsumerConfig, offsets: &Offsets) -> Result<(), ClientError> {
    let identity = identity(group)?;
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, offset) in offsets {
        topics.entry(&*partition.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(offset.metadata.clone()),
        });
    }
    let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| OffsetCommitRequestTopic {
        name: name.to_owned(),
        partitions,
        ..OffsetCommitRequestTopic::default()
    };
    let mut request = OffsetCommitRequest {
        group_id: identity.group_id.clone(),
        generation_id_or_member_epoch: identity.generation_id,
        member_id: identity.member_id.clone(),
        group_instance_id: identity.group_instance_id.clone(),
        topics: topics.into_iter().map(topic).collect(),
        ..OffsetCommitRequest::default()
    };
    let connection = group.coordinator.connection().await?;
    let version = connection.version(ApiKey::OffsetCommit, BY_NAME)?;
    if version < 7 {
        request.group_instance_id = None;
    }
    let answer = match connection.send_in_version(&request, version).await {
        Ok(answer) => answer,
        Err(error) => {
            group.coordinator.forget(&connection);
            return Err(error);
        }
    };
    let response: OffsetCommitResponse = answer.read()?;
    for topic in &response.topics {
        for partition in &topic.partitions {
            let code = ErrorCode::from_code(partition.error_code);
            if !code.is_none() {
                let partition = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                return Err(refused(group, config, &identity, &connection, &partition, code));
            }
        }
    }
    Ok(())
}

/// What a refusal means, to the group and to who commits.
fn refused(
    group: &Group,
    config: &ConsumerConfig,
    identity: &GroupMetadata,
    connection: &Arc<crate::connection::Connection>,
    partition: &TopicPartition,
    code: ErrorCode,
) -> ClientError {
    use ErrorCode as E;
    let text = match code {
        E::OffsetMetadataTooLarge => format!("{partition}: the metadata of the commit is too large"),
        E::GroupAuthorizationFailed => format!("Not authorized to access group: {}", identity.group_id),
        E::TopicAuthorizationFailed => format!("Not authorized to access topics: [{}]", partition.topic),
        code => format!("{partition}: {code}"),
    };
    let error = ClientError::api(code, Some(text));
    match code {
        E::CoordinatorNotAvailable | E::NotCoordinator | E::RequestTimedOut => {
            group.coordinator.forget(connection);
            error
        }
        E::RebalanceInProgress => {
            group.membership().commit_was_refused(identity, code);
            group.wake();
            ClientError::RebalanceInProgress
        }
        E::UnknownMemberId | E::IllegalGeneration | E::FencedMemberEpoch => {
            let mut membership = group.membership();
            let is_classic = config.group_protocol == GroupProtocol::Classic;
            let moved_on = is_classic && membership.metadata() != *identity;
            membership.commit_was_refused(identity, code);
            drop(membership);
            group.wake();
            if moved_on { ClientError::RebalanceInProgress } else { ClientError::CommitFailed }
        }
        _ => error,
    }
}

/// What the group has committed; none where it has committed nothing.
pub(super) async fn committed(
    group: &Group,
    config: &ConsumerConfig,
    partitions: &[TopicPartition],
    patience: Duration,
) -> Result<HashMap<TopicPartition, Option<OffsetAndMetadata>>, ClientError> {
    let deadline = Instant::now() + patience;
    let mut retries = Retries::new(&config.client);
    loop {
        let error = match committed_once(group, config, partitions).await {
            Ok(committed) => return Ok(committed),
            Err(error) => error,
        };
        let again = group.may_retry(&error) || error.code() == Some(ErrorCode::StaleMemberEpoch);
        let backoff = retries.pause();
        if !again || Instant::now() + backoff >= deadline {
            return Err(error);
        }
        tokio::time::sleep(backoff).await;
    }
}

/// The same, asked once.
pub(super) async fn committed_once(
    group: &Group,
    config: &ConsumerConfig,
    partitions: &[TopicPartition],
) -> Result<HashMap<TopicPartition, Option<OffsetAndMetadata>>, ClientError> {
    let metadata = group.membership().metadata();
    // Only the coordinator of KIP-848 looks at who asks.
    let member = Some(&metadata)
        .filter(|metadata| config.group_protocol == GroupProtocol::Consumer && metadata.generation_id > 0);
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&*partition.topic).or_default().push(partition.partition);
    }
    let connection = group.coordinator.connection().await?;
    let version = connection.version(ApiKey::OffsetFetch, BY_NAME)?;
    let mut request = OffsetFetchRequest {
        // Older brokers do not know of offsets that a transaction may still take back.
        require_stable: version >= 7,
        ..OffsetFetchRequest::default()
    };
    if version >= 8 {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: metadata.group_id.clone(),
            member_id: member.map(|member| member.member_id.clone()),
            member_epoch: member.map_or(-1, |member| member.generation_id),
            topics: Some(topics.into_iter().map(topic).collect()),
        }];
    } else {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.to_owned(),
            partition_indexes,
        };
        request.group_id = metadata.group_id.clone();
        request.topics = Some(topics.into_iter().map(topic).collect());
    }
    let answer = match connection.send_in_version(&request, version).await {
        Ok(answer) => answer,
        Err(error) => {
            group.coordinator.forget(&connection);
            return Err(error);
        }
    };
    let response: OffsetFetchResponse = answer.read()?;
    let mut found = Vec::new();
    let mut codes = vec![response.error_code];
    for topic in response.topics {
        for partition in topic.partitions {
            let offset = (partition.committed_offset, partition.committed_leader_epoch, partition.metadata);
            found.push((topic.name.clone(), partition.partition_index, partition.error_code, offset));
        }
    }
    for group in response.groups {
        codes.push(group.error_code);
        for topic in group.topics {
            for partition in topic.partitions {
                let offset =
                    (partition.committed_offset, partition.committed_leader_epoch, partition.metadata);
                found.push((topic.name.clone(), partition.partition_index, partition.error_code, offset));
            }
        }
    }
    codes.extend(found.iter().map(|(_, _, code, _)| *code));
    for code in codes {
        let code = ErrorCode::from_code(code);
        if matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
            group.coordinator.forget(&connection);
        }
        if !code.is_none() {
            let text = format!("committed offsets of group {}: {code}", metadata.group_id);
            return Err(ClientError::api(code, Some(text)));
        }
    }
    let mut committed: HashMap<TopicPartition, Option<OffsetAndMetadata>> =
        partitions.iter().map(|partition| (partition.clone(), None)).collect();
    for (topic, partition, _, (offset, leader_epoch, metadata)) in found {
        if offset >= 0 {
            let committed_offset = OffsetAndMetadata {
                offset,
                leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0),
                metadata: metadata.unwrap_or_default(),
            };
            committed.insert(TopicPartition::new(topic, partition), Some(committed_offset));
        }
    }
    Ok(committed)
}
