//! The replicas of this broker: `Partition`, `ReplicaManager` and the fetches that wait for records.
//!
//! Says who leads and what is committed; knows of no frame and of no API's fields. Algorithms here are synchronous and
//! name no runtime: what waits is a [`FetchWaiter`], which any executor can poll.

mod error;
mod manager;
mod partition;
mod waiter;

pub use error::PartitionError;
pub use manager::{HostedTopic, PartitionSettings, ReplicaManager};
pub use partition::{FetchRequest, FetchedPartition, Isolation, Partition};
pub use waiter::{FetchWaiter, Watch};
