//! The replicas of this broker: `Partition`, `ReplicaManager` and the fetches that wait for records.
//!
//! Says who leads and what is committed; knows of no frame and of no API's fields. Algorithms here are synchronous and
//! name no runtime: what waits is a [`FetchWaiter`], which any executor can poll.

mod commit_wait;
mod error;
mod fetcher;
mod isr_changes;
mod leader;
mod local_broker;
mod manager;
mod partition;
mod quota;
mod settled;
#[cfg(test)]
mod testing;
mod waiter;

pub use commit_wait::CommitWait;
pub use error::PartitionError;
pub use fetcher::{Fetched, FetcherConfig, NextFetch, ReplicaFetcher};
pub use leader::FollowerPosition;
pub use local_broker::LocalBroker;
pub use manager::{HostedTopic, LostReplicas, PartitionChanges, PartitionSettings, ReplicaManager};
pub use partition::{
    AlterPartitionOutcome, AlteredPartition, Copied, FetchRequest, FetchedPartition, FollowerAppend,
    Isolation, LeaderOffsets, Moved, Partition, ProposedIsr,
};
pub use quota::{ReplicationQuota, ThrottledReplicas, UNLIMITED};
pub use settled::{SessionChanges, Settled, SettledAt, SettledReader};
pub use waiter::{FetchWaiter, Watch, WatchedEnd};
