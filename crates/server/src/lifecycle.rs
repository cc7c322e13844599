//! A broker's life in its cluster (`BrokerLifecycleManager`): it registers, is let in, sends heartbeats, and asks to leave.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{ErrorCode, Uuid};
use config::BrokerConfig;
use protocol::ApiKey;
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::{BrokerHeartbeatRequest, BrokerRegistrationRequest};

use crate::broker::Broker;
use crate::controller_thread::ControllerState;
use crate::error::ServerError;

/// What this broker says of itself.
pub(crate) fn registration(
    config: &BrokerConfig,
    cluster_id: &str,
    incarnation_id: Uuid,
    listeners: Vec<Listener>,
    log_dirs: Vec<Uuid>,
    previous_broker_epoch: i64,
) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest {
        broker_id: config.node_id,
        cluster_id: cluster_id.to_owned(),
        incarnation_id,
        listeners,
        features: metadata::supported_features()
            .into_iter()
            .map(|(name, range)| Feature {
                name: name.to_owned(),
                min_supported_version: range.min,
                max_supported_version: range.max,
            })
            .collect(),
        rack: config.broker_rack.clone(),
        log_dirs,
        previous_broker_epoch,
        ..BrokerRegistrationRequest::default()
    }
}

/// Registers with the controller in this process, and is let in at once: it has seen all the metadata there is.
pub(crate) fn register(
    controller: &mut ControllerState,
    request: BrokerRegistrationRequest,
) -> Result<i64, ServerError> {
    let version = *ApiKey::BrokerRegistration.versions().end();
    let response = controller.request_now(version, |controller, context| {
        // The lock on the log directories is ours, so the process that this broker was before is gone.
        controller.end_session(request.broker_id);
        controller.register_broker(context, &request)
    })?;
    check(response.error_code)?;
    let epoch = response.broker_epoch;
    for want_fence in [true, false] {
        let heartbeat = heartbeat(request.broker_id, epoch, controller.image().offset(), want_fence, false);
        let version = *ApiKey::BrokerHeartbeat.versions().end();
        let response = controller
            .request_now(version, |controller, context| controller.broker_heartbeat(context, &heartbeat))?;
        check(response.error_code)?;
        if !want_fence && response.is_fenced {
            return Err(ServerError::Registration("it stays fenced".to_owned()));
        }
    }
    Ok(epoch)
}

fn check(error_code: i16) -> Result<(), ServerError> {
    match ErrorCode::from_code(error_code) {
        ErrorCode::None => Ok(()),
        error => Err(ServerError::Registration(error.to_string())),
    }
}

fn heartbeat(
    broker_id: i32,
    broker_epoch: i64,
    metadata_offset: i64,
    want_fence: bool,
    want_shut_down: bool,
) -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest {
        broker_id,
        broker_epoch,
        current_metadata_offset: metadata_offset,
        want_fence,
        want_shut_down,
        ..BrokerHeartbeatRequest::default()
    }
}

/// Sends heartbeats until it is aborted (`broker.heartbeat.interval.ms`).
pub(crate) async fn send_heartbeats(broker: Arc<Broker>) {
    let interval = broker.settings.broker().quorum.broker_heartbeat_interval_ms;
    let interval = Duration::from_millis(u64::try_from(interval).unwrap_or(2000));
    loop {
        tokio::time::sleep(interval).await;
        if broker.replicas.logs().live_dirs().is_empty() {
            broker.fault.raise(ServerError::NoLogDir);
            return;
        }
        match beat(&broker, false).await {
            Ok(_) => {}
            Err(error) => tracing::warn!("a heartbeat was not taken: {error}"),
        }
    }
}

/// Asks to leave (`controlled.shutdown.enable`): leaders move away where they can. With one broker nothing can move, and
/// the answer comes at once.
pub(crate) async fn leave(broker: &Arc<Broker>) {
    if !broker.settings.broker().replication.controlled_shutdown_enable {
        return;
    }
    // The first one begins the controlled shutdown, and the next is told that it is complete: with one broker there is
    // nobody to wait for. More are tried only in case that is not so.
    for _ in 0..5 {
        match beat(broker, true).await {
            Ok(true) => return,
            Ok(false) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => {
                tracing::warn!("the controller did not take the wish to leave: {error}");
                return;
            }
        }
    }
    tracing::info!("leaving although some partitions are still led here");
}

/// One heartbeat. Whether the controller says that this broker should shut down now.
async fn beat(broker: &Arc<Broker>, want_shut_down: bool) -> Result<bool, String> {
    let epoch = broker.epoch.load(Ordering::Relaxed);
    let request = heartbeat(broker.node_id, epoch, broker.image().offset(), false, want_shut_down);
    let version = *ApiKey::BrokerHeartbeat.versions().end();
    let response = broker
        .controller
        .request(version, move |controller, context| controller.broker_heartbeat(context, &request))
        .await
        .map_err(|error| error.to_string())?;
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None => Ok(response.should_shut_down),
        error => Err(error.to_string()),
    }
}
