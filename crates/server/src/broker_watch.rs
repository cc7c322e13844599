//! Which brokers are gone, before their sessions end: the active controller looks when a connection that brought
//! heartbeats is closed, and when it becomes active.
//!
//! A process that is killed leaves its connections closed and its ports without a listener. The end of the connection
//! says that it is worth a look; that the broker's own listener refuses a connection says that nobody is there. Both are
//! facts of the moment and need no session to run out. Where either is missing, as with a host that is cut off or a
//! process that is paused, the session decides (`broker.session.timeout.ms`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metadata::Endpoint;
use network::ConnectionInfo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::controller_server::ControllerServer;
use crate::controller_thread::Until;

/// How long a listener may take to refuse a connection. One that is silent for longer may belong to a host that is cut off.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// When a broker whose connection has ended is looked for again, after the look before. A process that is killed closes its
/// descriptors one after the other: its listener may still be open when the end of its heartbeats is seen.
const LOOKS_AGAIN: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// A broker's incarnation: id and epoch.
type Incarnation = (i32, i64);

/// The connections on which heartbeats come, and whose they are.
#[derive(Default)]
pub(crate) struct HeartbeatConnections(Mutex<HashMap<usize, Incarnation>>);

/// A number that no other open connection has: where it lies in memory.
fn key(connection: &Arc<ConnectionInfo>) -> usize {
    Arc::as_ptr(connection) as usize
}

impl HeartbeatConnections {
    /// A heartbeat came.
    pub(crate) fn heard(&self, connection: &Arc<ConnectionInfo>, broker_id: i32, broker_epoch: i64) {
        self.0.lock().insert(key(connection), (broker_id, broker_epoch));
    }

    /// Whether an open connection has brought heartbeats of this incarnation.
    fn has(&self, incarnation: Incarnation) -> bool {
        self.0.lock().values().any(|&heard| heard == incarnation)
    }

    /// A connection has ended. Whose heartbeats it brought, if any.
    fn ended(&self, connection: &Arc<ConnectionInfo>) -> Option<Incarnation> {
        self.0.lock().remove(&key(connection))
    }
}

/// A connection of a controller's listener has ended.
pub(crate) fn connection_ended(server: &Arc<ControllerServer>, connection: &Arc<ConnectionInfo>) {
    let Some((broker_id, broker_epoch)) = server.heartbeats.ended(connection) else { return };
    if server.is_active() {
        look(server, broker_id, broker_epoch);
    }
}

/// Looks for all brokers each time this controller becomes active: some may have gone with the one before. Ends when the
/// controller does.
pub(crate) async fn look_on_activation(server: Arc<ControllerServer>) {
    let mut leader = server.leader.clone();
    let mut was_active = false;
    loop {
        let is_active = leader.borrow_and_update().leader_id == Some(server.node_id);
        if is_active && !was_active {
            let image = server.image.load_full();
            for broker in image.cluster.brokers.values().filter(|broker| !broker.fenced) {
                look(&server, broker.id, broker.epoch);
            }
        }
        was_active = is_active;
        if leader.changed().await.is_err() {
            return;
        }
    }
}

/// Looks for a broker, and has it fenced and its session ended if it is not there.
fn look(server: &Arc<ControllerServer>, broker_id: i32, broker_epoch: i64) {
    // The broker in this process is there.
    if broker_id == server.node_id {
        return;
    }
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let image = server.image.load_full();
        let broker = image.cluster.broker(broker_id);
        let Some(broker) = broker.filter(|broker| broker.epoch == broker_epoch) else { return };
        let heard_again = || server.heartbeats.has((broker_id, broker_epoch));
        if !is_gone(&broker.listeners, &heard_again).await {
            return;
        }
        let fenced = server.controller.request(0, Until::Decided, move |controller, _| {
            controller.fence_lost_broker(broker_id, broker_epoch)
        });
        // A controller that is not active any more leaves it to the one that is.
        let _ = fenced.await;
    });
}

/// Whether every listener refuses a connection, now or soon; false as soon as the broker is heard again.
async fn is_gone(listeners: &[Endpoint], heard_again: &impl Fn() -> bool) -> bool {
    for pause in LOOKS_AGAIN {
        if refuses(listeners).await {
            return true;
        }
        if heard_again() {
            return false;
        }
        tokio::time::sleep(pause).await;
    }
    !heard_again() && refuses(listeners).await
}

/// Whether every listener refuses a connection.
async fn refuses(listeners: &[Endpoint]) -> bool {
    for endpoint in listeners {
        let attempt = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        match tokio::time::timeout(LONGEST_LOOK, attempt).await {
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            _ => return false,
        }
    }
    !listeners.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            listener: "PLAINTEXT".to_owned(),
            security_protocol: 0,
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    #[tokio::test]
    async fn a_listener_that_closes_after_the_connection_is_looked_for_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = endpoint(listener.local_addr().unwrap().port());
        let looked = std::cell::Cell::new(false);
        let closes = std::cell::RefCell::new(Some(listener));
        let first_look = || {
            looked.set(true);
            closes.borrow_mut().take();
            false
        };
        assert!(is_gone(std::slice::from_ref(&endpoint), &first_look).await);
        assert!(looked.get(), "the first look found a listener");

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = self::endpoint(listener.local_addr().unwrap().port());
        assert!(!is_gone(&[alive], &|| true).await, "heartbeats came again");
    }

    #[tokio::test]
    async fn only_a_broker_whose_listeners_all_refuse_is_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = endpoint(listener.local_addr().unwrap().port());
        let gone = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            endpoint(listener.local_addr().unwrap().port())
        };
        assert!(refuses(std::slice::from_ref(&gone)).await);
        assert!(!refuses(&[gone, alive]).await);
        assert!(!refuses(&[]).await);
        drop(listener);
    }
}
