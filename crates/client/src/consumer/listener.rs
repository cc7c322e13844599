//! What an application wants to know of rebalances.

use std::future::Future;
use std::pin::Pin;

use common::TopicPartition;

use super::Consumer;
use crate::ClientError;

/// What a listener does, as a future.
pub type ListenerFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send + 'a>>;

/// Told of the partitions that come and go (`ConsumerRebalanceListener`), within [`Consumer::poll`],
/// [`Consumer::unsubscribe`] and [`Consumer::close`]. An error is what the poll fails with, once the rebalance has gone on.
///
/// The consumer may be asked and told anything that goes by a shared reference: commits, seeks, positions. A poll that is
/// dropped in the middle of a listener's work begins with it again.
///
/// ```
/// use client::consumer::{Consumer, ListenerFuture, RebalanceListener};
/// use common::TopicPartition;
///
/// struct CommitFirst;
///
/// impl RebalanceListener for CommitFirst {
///     fn on_partitions_revoked<'a>(&'a self, consumer: &'a Consumer, _: &'a [TopicPartition]) -> ListenerFuture<'a> {
///         Box::pin(async move { consumer.commit_sync().await })
///     }
/// }
/// ```
pub trait RebalanceListener: Send + Sync {
    /// These were assigned; nothing is read of them before this is done. Called with none when a rebalance brought none.
    fn on_partitions_assigned<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        let _ = (consumer, partitions);
        Box::pin(async { Ok(()) })
    }

    /// These are let go of; their offsets can be committed for the last time.
    fn on_partitions_revoked<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        let _ = (consumer, partitions);
        Box::pin(async { Ok(()) })
    }

    /// These are somebody else's already, as when the session was over; their offsets cannot be committed. Unless it is
    /// told otherwise, a listener does what it does when they are revoked.
    fn on_partitions_lost<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        self.on_partitions_revoked(consumer, partitions)
    }
}

/// For consumers that nobody listens to.
pub(super) struct Nobody;

impl RebalanceListener for Nobody {}
