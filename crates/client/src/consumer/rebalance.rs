//! The application's part in its group: its turns in rebalances, and commits.

use std::sync::Arc;
use std::time::Instant;

use common::TopicPartition;

use super::commit::{self, Commit, OffsetAndMetadata, Offsets};
use super::group::{Group, GroupMetadata, Turn};
use super::state::Shared;
use super::{Consumer, no_group};
use crate::ClientError;

/// The application is in its poll, until this is dropped.
pub(super) struct Polling(Option<Arc<Group>>);

impl Polling {
    pub(super) fn enter(shared: &Shared) -> Polling {
        if let Some(group) = &shared.group {
            group.membership().enter_poll(Instant::now());
        }
        Polling(shared.group.clone())
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if let Some(group) = &self.0 {
            group.membership().leave_poll(Instant::now());
        }
    }
}

/// A turn that was begun: it waits again if it is not ended.
struct Taken<'a>(Option<&'a Group>);

impl Taken<'_> {
    fn end(mut self) {
        if let Some(group) = self.0.take() {
            group.membership().end_turn(Instant::now());
            group.wake();
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            group.membership().put_turn_back();
        }
    }
}

impl Consumer {
    /// Takes part in the group's rebalance, if there is one.
    pub(super) async fn take_turns(&self) -> Result<(), ClientError> {
        let Some(group) = &self.shared.group else { return Ok(()) };
        loop {
            let turn = group.membership().take_turn();
            let Some(turn) = turn else { return Ok(()) };
            let taken = Taken(Some(group));
            let result = self.run_turn(&turn).await;
            taken.end();
            result?;
        }
    }

    pub(super) async fn run_turn(&self, turn: &Turn) -> Result<(), ClientError> {
        self.run_turn_until(turn, Instant::now() + self.shared.config.client.api_timeout).await
    }

    /// Commits, lets go of partitions, and takes over others.
    pub(super) async fn run_turn_until(&self, turn: &Turn, deadline: Instant) -> Result<(), ClientError> {
        let shared = &self.shared;
        let config = &shared.config;
        if turn.commit && config.auto_commits() {
            let offsets = shared.lock().positions(|_| true);
            self.commit_quietly(offsets, deadline).await;
        }
        let mut result = Ok(());
        if let Some(lost) = &turn.lost {
            tracing::info!("lost {lost:?}");
            result = result.and(self.listener.on_partitions_lost(self, lost).await);
            shared.lock().remove(lost);
        }
        if let Some(revoked) = &turn.revoked {
            tracing::info!("revoked {revoked:?}");
            result = result.and(self.listener.on_partitions_revoked(self, revoked).await);
            shared.lock().remove(revoked);
        }
        if let Some(assigned) = &turn.assigned {
            tracing::info!("assigned {assigned:?}");
            shared.lock().place_new(assigned);
            shared.wanted.notify_one();
            result = result.and(self.listener.on_partitions_assigned(self, assigned).await);
            shared.lock().partitions.values_mut().for_each(|partition| partition.is_new = false);
            shared.wanted.notify_one();
        }
        result
    }

    /// Commits what earlier polls returned, when it is time to.
    pub(super) fn commit_if_due(&mut self) {
        let now = Instant::now();
        if !self.shared.config.auto_commits() || self.next_auto_commit > now {
            return;
        }
        self.next_auto_commit = now + self.shared.config.auto_commit_interval;
        let offsets = self.shared.lock().positions(|_| true);
        if let Some(commits) = &self.commits {
            drop(commits.commit(offsets, None));
        }
    }

    /// Commits before a rebalance or the end, which go on whatever comes of it.
    pub(super) async fn commit_quietly(&self, offsets: Offsets, deadline: Instant) {
        let Some(commits) = self.commits.as_ref().filter(|_| !offsets.is_empty()) else { return };
        let commit = commits.commit(offsets, Some(deadline)).wait();
        match tokio::time::timeout_at(deadline.into(), commit).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("what was consumed last could not be committed: {error}"),
            Err(_) => tracing::warn!("what was consumed last could not be committed in time"),
        }
    }

    /// Commits where the consumer is: everything that polls have returned.
    ///
    /// # Errors
    /// [`ClientError::CommitFailed`] if the consumer is out of its group, [`ClientError::RebalanceInProgress`] if it has to
    /// poll first, or what the coordinator refuses; what passes by itself is tried again for `default.api.timeout.ms`.
    pub async fn commit_sync(&self) -> Result<(), ClientError> {
        let offsets = self.shared.lock().positions(|_| true);
        self.commit_sync_offsets(offsets).await
    }

    /// Commits these offsets: of each partition, that of the next record to read.
    ///
    /// # Errors
    /// As [`Consumer::commit_sync`].
    pub async fn commit_sync_offsets(&self, offsets: Offsets) -> Result<(), ClientError> {
        let commits = self.commits.as_ref().ok_or_else(no_group)?;
        commits.commit(offsets, Some(Instant::now() + self.shared.config.client.api_timeout)).wait().await
    }

    /// Commits where the consumer is, without waiting for it; commits never overtake each other.
    ///
    /// # Errors
    /// If there is no `group.id`, or nothing was ever subscribed to or assigned.
    pub fn commit_async(&self) -> Result<Commit, ClientError> {
        let offsets = self.shared.lock().positions(|_| true);
        self.commit_async_offsets(offsets)
    }

    /// Commits these offsets, without waiting for it.
    ///
    /// # Errors
    /// As [`Consumer::commit_async`].
    pub fn commit_async_offsets(&self, offsets: Offsets) -> Result<Commit, ClientError> {
        Ok(self.commits.as_ref().ok_or_else(no_group)?.commit(offsets, None))
    }

    /// What the group has committed of these partitions; none where it has committed nothing.
    ///
    /// # Errors
    /// If there is no `group.id`, or the coordinator does not answer within `default.api.timeout.ms`, or refuses.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<std::collections::HashMap<TopicPartition, Option<OffsetAndMetadata>>, ClientError> {
        let group = self.shared.group.as_ref().ok_or_else(no_group)?;
        commit::committed(group, &self.shared.config, partitions, self.shared.config.client.api_timeout).await
    }

    /// The member's identity, as a transactional producer needs it; none without a `group.id`.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.shared.group.as_ref().map(|group| group.membership().metadata())
    }

    /// Has the group divide its partitions again, with the next polls; of the classic protocol.
    pub fn enforce_rebalance(&self) {
        if let Some(group) = &self.shared.group {
            group.membership().request_rejoin();
            group.wake();
        }
    }
}
