//! What the connections of a controller's listeners share (`ControllerServer`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use controller::ControllerResult;
use metadata::{MetadataDelta, MetadataImage};
use network::Outbox;
use protocol::Reader;
use tokio::sync::{Notify, watch};

use crate::broker_watch::HeartbeatConnections;
use crate::controller_channel::LeaderAndEpoch;
use crate::controller_thread::{ControllerHandle, Until};
use crate::handlers;
use crate::handlers::controller::Asker;
use crate::metrics::Metrics;
use crate::principal;
use crate::request::{BadRequest, RawRequest};
use crate::settings::Settings;

/// What came of a request that only the active controller answers.
pub(crate) enum Decided {
    /// The whole answer.
    Answer(Outbox),
    /// This is not the active controller; the answer says so.
    NotController(Outbox),
}

/// A decision that is still to come.
pub(crate) type Deciding = Pin<Box<dyn Future<Output = Decided> + Send>>;

/// A node in the role of a controller, whether or not it is the active one.
pub(crate) struct ControllerServer {
    pub(crate) node_id: i32,
    pub(crate) cluster_id: String,
    pub(crate) controller: ControllerHandle,
    /// This node's configuration, dynamic settings included.
    pub(crate) settings: Settings,
    /// The newest metadata.
    pub(crate) image: ArcSwap<MetadataImage>,
    /// Wakes whoever keeps the controller registered.
    pub(crate) image_changed: Notify,
    pub(crate) leader: watch::Receiver<LeaderAndEpoch>,
    /// On which connections brokers say that they live.
    pub(crate) heartbeats: HeartbeatConnections,
    /// What is counted, where somebody may ask for it.
    pub(crate) metrics: Option<Arc<Metrics>>,
}

impl ControllerServer {
    /// Takes over new metadata.
    pub(crate) fn publish(&self, delta: &MetadataDelta, image: &MetadataImage) {
        if delta.configs_delta().is_some() {
            self.settings.update(image);
        }
        self.image.store(Arc::new(image.clone()));
        if delta.features_delta().is_some() || delta.cluster_delta().is_some() {
            self.image_changed.notify_one();
        }
    }

    /// Whether this is the active controller, as far as is known.
    pub(crate) fn is_active(&self) -> bool {
        self.leader.borrow().leader_id == Some(self.node_id)
    }

    /// Decides what a broker passed on.
    pub(crate) fn decide_forwarded(self: &Arc<Self>, request: &RawRequest) -> Result<Deciding, BadRequest> {
        let (kind, name) = principal::ANONYMOUS;
        let asker = Asker { principal: format!("{kind}:{name}"), forwarded: true, listener: Arc::from("") };
        handlers::controller::decide(self, request.head, &mut Reader::new(&request.body), asker)
    }

    /// The process behind a broker's last registration is known to be gone: a new one may register at once.
    pub(crate) async fn end_session(&self, broker_id: i32) {
        let ended = self.controller.request(0, Until::Decided, move |controller, _| {
            controller.end_session(broker_id);
            ControllerResult::of(Vec::new(), ())
        });
        // A controller that is not active knows of no session.
        let _ = ended.await;
    }

    /// The finalised features as `ApiVersions` tells them.
    pub(crate) fn finalized_features(&self, image: &MetadataImage) -> BTreeMap<String, i16> {
        crate::broker::finalized_features(image, self.controller.kraft_version())
    }
}
