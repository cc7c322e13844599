//! A consumer in its group: the member, the coordinator's connection, and the task between them.

mod classic;
mod consumer;
mod coordinator;
mod membership;
mod task;

#[cfg(test)]
mod classic_tests;
#[cfg(test)]
mod consumer_tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::Uuid;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::config::{ConsumerConfig, GroupProtocol};
use crate::ClientError;
use crate::cluster::Cluster;

use classic::Classic;
use consumer::ConsumerMember;
use coordinator::GroupCoordinator;
pub use membership::GroupMetadata;
pub(super) use membership::{Membership, Settings, Snapshot, Turn};

/// What a consumer has subscribed to.
#[derive(Debug, Clone, Default)]
pub(super) enum Subscription {
    /// Nothing.
    #[default]
    None,
    /// Topics by name.
    Topics(BTreeSet<String>),
    /// Topics that match, by the client's own look at them.
    Pattern(Arc<fancy_regex::Regex>),
    /// Topics that match on the coordinator's side.
    Re2(String),
}

/// Which topics the task looks at.
enum Wanted {
    Topics,
    Pattern(Arc<fancy_regex::Regex>),
}

/// A consumer's place in its group.
pub(super) struct Group {
    cluster: Cluster,
    settings: Settings,
    auto_create: bool,
    exclude_internal: bool,
    membership: Mutex<Box<dyn Membership>>,
    /// With a number that each change of it raises.
    subscription: Mutex<(Subscription, u64)>,
    error: Mutex<Option<ClientError>>,
    pub(super) coordinator: GroupCoordinator,
    /// Told when the membership may have something to do.
    wake: Notify,
    /// Told when the application may have a turn.
    pub(super) changed: Arc<Notify>,
}

impl Group {
    /// The place in the group that `config` names; nothing is asked yet.
    pub(super) fn new(cluster: Cluster, config: &ConsumerConfig, changed: Arc<Notify>) -> Option<Group> {
        let group_id = config.group_id.clone()?;
        let settings = Settings {
            group_id: group_id.clone(),
            instance_id: config.group_instance_id.clone(),
            rack: Some(config.client_rack.clone()).filter(|rack| !rack.is_empty()),
            assignors: config.assignors(),
            remote_assignor: config.group_remote_assignor.clone(),
            session_timeout: config.session_timeout(),
            heartbeat_interval: config.heartbeat_interval(),
            max_poll_interval: config.max_poll_interval,
            retry_backoff: config.client.retry_backoff,
        };
        let now = Instant::now();
        let membership: Box<dyn Membership> = match config.group_protocol {
            GroupProtocol::Classic => Box::new(Classic::new(settings.clone(), now)),
            GroupProtocol::Consumer => {
                Box::new(ConsumerMember::new(settings.clone(), Uuid::random().to_string(), now))
            }
        };
        Some(Group {
            coordinator: GroupCoordinator::new(cluster.clone(), group_id),
            cluster,
            settings,
            auto_create: config.allow_auto_create_topics,
            exclude_internal: config.exclude_internal_topics,
            membership: Mutex::new(membership),
            subscription: Mutex::default(),
            error: Mutex::new(None),
            wake: Notify::new(),
            changed,
        })
    }

    /// Begins to serve the group.
    pub(super) fn start(self: &Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(task::run(Arc::clone(self)))
    }

    pub(super) fn membership(&self) -> MutexGuard<'_, Box<dyn Membership>> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked_subscription(&self) -> MutexGuard<'_, (Subscription, u64)> {
        self.subscription.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_subscription(&self, subscription: Subscription) {
        let mut locked = self.locked_subscription();
        *locked = (subscription, locked.1 + 1);
    }

    /// Whether partitions come from the group.
    pub(super) fn is_subscribed(&self) -> bool {
        !matches!(self.locked_subscription().0, Subscription::None)
    }

    /// Subscribes; what a pattern of the client's own matches is found out by the task.
    pub(super) fn subscribe(&self, subscription: Subscription) -> Result<(), ClientError> {
        match &subscription {
            Subscription::Topics(topics) => self.membership().subscribe(topics.clone()),
            Subscription::Re2(pattern) => self.membership().subscribe_to_pattern(pattern.clone())?,
            Subscription::None | Subscription::Pattern(_) => {}
        }
        self.set_subscription(subscription);
        self.wake.notify_one();
        Ok(())
    }

    fn wanted(&self) -> (Option<Wanted>, u64) {
        let locked = self.locked_subscription();
        let wanted = match &locked.0 {
            Subscription::Topics(_) => Some(Wanted::Topics),
            Subscription::Pattern(pattern) => Some(Wanted::Pattern(Arc::clone(pattern))),
            Subscription::None | Subscription::Re2(_) => None,
        };
        (wanted, locked.1)
    }

    /// Topics were looked at.
    fn observed(&self, topics: Snapshot, matching: Option<BTreeSet<String>>) {
        // The subscription may have become another one meanwhile.
        let is_pattern = matches!(self.locked_subscription().0, Subscription::Pattern(_));
        let mut membership = self.membership();
        if let Some(matching) = matching.filter(|_| is_pattern) {
            membership.subscribe(matching);
        }
        membership.observe(&topics);
    }

    fn fail(&self, error: ClientError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Whether to try again after `error`.
    pub(super) fn may_retry(&self, error: &ClientError) -> bool {
        self.cluster.may_retry(error)
    }

    /// What the application must be told.
    pub(super) fn take_error(&self) -> Option<ClientError> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let error = error.or_else(|| self.membership().take_error());
        if error.is_some() {
            self.wake.notify_one();
        }
        error
    }

    /// The membership may have something to do.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Tells the coordinator that the member goes; whether it heard is its own business.
    pub(super) async fn leave(&self, reason: &str, for_good: Option<bool>, patience: Duration) {
        let ask = self.membership().leave(reason, for_good);
        self.set_subscription(Subscription::None);
        let Some(ask) = ask else { return };
        let leave = async {
            // Behind a join that is parked it would wait for everybody else.
            let connection = self.coordinator.second_connection().await?;
            task::send(&connection, ask, &self.settings).await
        };
        match tokio::time::timeout(patience, leave).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!("group {}: leaving: {error}", self.settings.group_id),
            Err(_) => {
                tracing::debug!("group {}: the coordinator did not hear the goodbye", self.settings.group_id)
            }
        }
    }
}
