//! The broker that coordinates a group, on a connection of its own: requests of a group may be parked for long, and must not
//! hold up fetches, nor fetches them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use crate::ClientError;
use crate::cluster::Cluster;
use crate::connection::Connection;

/// The kind of coordinator, beside that of transactions.
const GROUP: i8 = 0;

/// A group's coordinator, looked up when it is needed.
pub(in crate::consumer) struct GroupCoordinator {
    cluster: Cluster,
    group_id: String,
    known: Mutex<Option<(String, Arc<Connection>)>>,
    /// Held by who looks it up, while the others wait.
    looking: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GroupCoordinator {
    pub(super) fn new(cluster: Cluster, group_id: String) -> GroupCoordinator {
        GroupCoordinator { cluster, group_id, known: Mutex::new(None), looking: tokio::sync::Mutex::new(()) }
    }

    fn at_hand(&self) -> Option<Arc<Connection>> {
        let known = lock(&self.known);
        known.as_ref().map(|(_, connection)| connection).filter(|connection| !connection.is_lost()).cloned()
    }

    /// A connection to the coordinator.
    pub(in crate::consumer) async fn connection(&self) -> Result<Arc<Connection>, ClientError> {
        if let Some(connection) = self.at_hand() {
            return Ok(connection);
        }
        let _looking = self.looking.lock().await;
        if let Some(connection) = self.at_hand() {
            return Ok(connection);
        }
        let address = self.find().await?;
        let connection = Arc::new(Connection::open(&address, self.cluster.config()).await?);
        tracing::debug!("group {}: the coordinator is {address}", self.group_id);
        *lock(&self.known) = Some((address, Arc::clone(&connection)));
        Ok(connection)
    }

    /// Another connection to the coordinator, for what must not wait behind what is parked on the first.
    pub(super) async fn second_connection(&self) -> Result<Arc<Connection>, ClientError> {
        let known = lock(&self.known).as_ref().map(|(address, _)| address.clone());
        let address = match known {
            Some(address) => address,
            None => self.find().await?,
        };
        Ok(Arc::new(Connection::open(&address, self.cluster.config()).await?))
    }

    /// Whoever was asked is not the coordinator any more.
    pub(in crate::consumer) fn forget(&self, asked: &Arc<Connection>) {
        lock(&self.known).take_if(|(_, connection)| Arc::ptr_eq(connection, asked));
    }

    async fn find(&self) -> Result<String, ClientError> {
        let request = FindCoordinatorRequest {
            key: self.group_id.clone(),
            key_type: GROUP,
            coordinator_keys: vec![self.group_id.clone()],
        };
        let connection = self.cluster.any().await?;
        let version = connection.version(protocol::ApiKey::FindCoordinator, i16::MAX)?;
        // Either one key, or several.
        let request = match version {
            ..4 => FindCoordinatorRequest { coordinator_keys: Vec::new(), ..request },
            _ => FindCoordinatorRequest { key: String::new(), ..request },
        };
        let response: FindCoordinatorResponse =
            connection.send_in_version(&request, version).await?.read()?;
        let (code, message, host, port) = match response.coordinators.into_iter().next() {
            Some(found) if version >= 4 => (found.error_code, found.error_message, found.host, found.port),
            _ => (response.error_code, response.error_message, response.host, response.port),
        };
        ClientError::check(code, message.as_deref())?;
        Ok(crate::cluster::address(&host, port))
    }
}
