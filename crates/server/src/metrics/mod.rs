//! What a node tells of itself over HTTP, in the text form of Prometheus and OpenMetrics (`milena.metrics.listener`).
//!
//! Divergence: Kafka registers MBeans, which people read with Prometheus' JMX exporter; there is no JVM here. The names are those that
//! the exporter's example rules for Kafka give to the MBeans (`kafka.server:type=ReplicaManager,name=LeaderCount` is
//! `kafka_server_replicamanager_leadercount`), so that dashboards find what they know.
//!
//! What can be read from the state of the node is read when somebody asks. What has to be counted is counted in [`Metrics`], which
//! is there only where the setting is.

mod endpoint;
mod exposition;
mod requests;
mod topics;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use endpoint::{RunningEndpoint, bind, serve};
pub(crate) use exposition::Sources;
pub(crate) use requests::RequestMetrics;

use crate::client_metrics::PushedMetrics;
pub(crate) use topics::TopicCounts;
use topics::TopicMetrics;

/// Everything that is counted for whoever asks.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) requests: RequestMetrics,
    pub(crate) topics: TopicMetrics,
    pub(crate) isr_expands: AtomicU64,
    pub(crate) isr_shrinks: AtomicU64,
    pub(crate) failed_isr_updates: AtomicU64,
    pub(crate) pushed: PushedMetrics,
}

/// One more, or `count` more.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
