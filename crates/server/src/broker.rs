//! What all connections of a broker share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, AtomicI64};

use arc_swap::ArcSwap;
use common::Uuid;
use common::topic::GROUP_METADATA_TOPIC;
use group::GroupCoordinator;
use metadata::{BrokerRegistration, Endpoint, MetadataImage, TopicImage};
use network::ConnectionQuota;
use parking_lot::Mutex;
use replica::{Moved, Partition, ReplicaManager};
use tokio::sync::oneshot;

use crate::alter_log_dirs::AlterLogDirs;
use crate::assignments::Assignments;
use crate::cleaners::CleanerThreads;
use crate::client_metrics::ClientMetrics;
use crate::clock::now_ms;
use crate::committer::Committer;
use crate::controller_channel::ControllerChannel;
use crate::error::ServerError;
use crate::fetch_session::FetchSessions;
use crate::handlers::streams_groups::InternalTopicCreation;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::replication::{IsrChanges, ReplicaFetchers, ReplicaSelector, ReplicationQuotas};
use crate::settings::Settings;

/// Tells once that something broke which the broker cannot go on without.
pub(crate) struct Fault(Mutex<Option<oneshot::Sender<ServerError>>>);

impl Fault {
    pub(crate) fn new() -> (Arc<Fault>, oneshot::Receiver<ServerError>) {
        let (sender, receiver) = oneshot::channel();
        (Arc::new(Fault(Mutex::new(Some(sender)))), receiver)
    }

    /// The first error is told, those behind it are its consequences.
    pub(crate) fn raise(&self, error: ServerError) {
        if let Some(sender) = self.0.lock().take() {
            drop(sender.send(error));
        }
    }
}

/// A node in the role of a broker.
pub(crate) struct Broker {
    pub(crate) node_id: i32,
    pub(crate) cluster_id: String,
    pub(crate) settings: Settings,
    pub(crate) image: ArcSwap<MetadataImage>,
    pub(crate) replicas: ReplicaManager,
    pub(crate) groups: GroupCoordinator,
    pub(crate) sessions: FetchSessions,
    pub(crate) producer_ids: ProducerIds,
    /// What streams groups have created.
    pub(crate) internal_topics: InternalTopicCreation,
    /// The way to the active controller.
    pub(crate) channel: ControllerChannel,
    pub(crate) cleaners: CleanerThreads,
    pub(crate) committer: Committer,
    pub(crate) isr_changes: IsrChanges,
    pub(crate) fetchers: ReplicaFetchers,
    pub(crate) alter_log_dirs: AlterLogDirs,
    pub(crate) replication_quotas: ReplicationQuotas,
    pub(crate) replica_selector: ReplicaSelector,
    pub(crate) connections: Arc<ConnectionQuota>,
    pub(crate) client_metrics: ClientMetrics,
    /// What is counted, where somebody may ask for it.
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// The level of `kraft.version`, which the image does not carry.
    pub(crate) kraft_version: Arc<AtomicI16>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) assignments: Assignments,
    /// This broker's epoch, -1 before it is registered.
    pub(crate) epoch: AtomicI64,
}

impl Broker {
    /// Tells those who care what has happened to a partition.
    pub(crate) fn on_moved(&self, partition: &Arc<Partition>, moved: Moved) {
        if moved.isr_proposed {
            self.isr_changes.add(partition);
        }
        if moved.high_watermark && &*partition.topic_partition().topic == GROUP_METADATA_TOPIC {
            let (index, end) = (partition.topic_partition().partition, partition.log().high_watermark());
            self.groups.on_high_watermark(index, end, now_ms());
        }
    }

    /// The newest metadata.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// The brokers that take requests.
    pub(crate) fn alive_brokers(image: &MetadataImage) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        image.cluster.brokers.values().filter(|broker| !broker.fenced)
    }

    /// The finalised features as `ApiVersions` tells them.
    pub(crate) fn finalized_features(&self, image: &MetadataImage) -> BTreeMap<String, i16> {
        finalized_features(image, self.kraft_version.load(std::sync::atomic::Ordering::Relaxed))
    }
}

/// The finalised features, those included that the image does not list.
pub(crate) fn finalized_features(image: &MetadataImage, kraft_version: i16) -> BTreeMap<String, i16> {
    let mut features = image.features.finalized_versions.clone();
    if let Some(version) = image.features.metadata_version() {
        features.insert(metadata::METADATA_VERSION_FEATURE.to_owned(), version.feature_level());
    }
    if kraft_version > 0 {
        features.insert("kraft.version".to_owned(), kraft_version);
    }
    features
}

/// A broker, and where a client of this listener reaches it.
pub(crate) fn reached_at<'i>(
    image: &'i MetadataImage,
    broker_id: i32,
    listener: &str,
) -> Option<(&'i Arc<BrokerRegistration>, &'i Endpoint)> {
    let broker = image.cluster.brokers.get(&broker_id)?;
    Some((broker, broker.listener(listener)?))
}

/// A topic that a request names, by name or by id.
pub(crate) fn topic_of<'i>(image: &'i MetadataImage, name: &str, id: Uuid) -> Option<&'i Arc<TopicImage>> {
    if id.is_zero() { image.topics.topic(name) } else { image.topics.topic_by_id(&id) }
}
