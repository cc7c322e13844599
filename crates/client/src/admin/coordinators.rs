//! Questions for the coordinators of groups: who they are, each asked once for all its groups, again while it loads or moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use common::ErrorCode;
use protocol::ApiKey;
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::Admin;
use crate::backoff::Retries;
use crate::connection::Connection;
use crate::{ClientError, Node};

/// What became of each group.
pub(super) type ByGroup<T> = BTreeMap<String, Result<T, ClientError>>;

/// The first version of `FindCoordinator` that takes several keys.
const BATCHED: i16 = 4;

/// What is coordinated (`CoordinatorType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatorType {
    /// Groups of all kinds.
    Group,
    /// Transactional producers.
    Transaction,
    /// The state of share groups.
    Share,
}

impl CoordinatorType {
    fn code(self) -> i8 {
        match self {
            CoordinatorType::Group => 0,
            CoordinatorType::Transaction => 1,
            CoordinatorType::Share => 2,
        }
    }
}

/// Whether the coordinator may answer otherwise in a moment, or another one may.
fn is_moving(error: &ClientError) -> bool {
    let by_code = error.code().is_some_and(|code| {
        matches!(
            code,
            ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator
        )
    });
    by_code || matches!(error, ClientError::Connection { .. } | ClientError::Timeout { .. })
}

impl Admin {
    /// The brokers that coordinate `keys`: groups, transactional ids, or share groups' partitions. All are asked for in one request
    /// where the broker knows how (Kafka 3.0).
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a key stands in its place.
    pub async fn find_coordinators(
        &self,
        coordinator_type: CoordinatorType,
        keys: &[String],
    ) -> Result<BTreeMap<String, Result<Node, ClientError>>, ClientError> {
        let connection = self.cluster.any().await?;
        let mut found = BTreeMap::new();
        if connection.version(ApiKey::FindCoordinator, i16::MAX)? >= BATCHED {
            let request = FindCoordinatorRequest {
                key_type: coordinator_type.code(),
                coordinator_keys: keys.to_vec(),
                ..FindCoordinatorRequest::default()
            };
            let response: FindCoordinatorResponse = connection.call(&request).await?;
            for answer in response.coordinators {
                let node = Node { id: answer.node_id, host: answer.host, port: answer.port, rack: None };
                let checked = ClientError::check(answer.error_code, answer.error_message.as_deref());
                found.insert(answer.key, checked.map(|()| node));
            }
            return Ok(found);
        }
        for key in keys {
            let request = FindCoordinatorRequest {
                key: key.clone(),
                key_type: coordinator_type.code(),
                ..FindCoordinatorRequest::default()
            };
            let answer: FindCoordinatorResponse = connection.call(&request).await?;
            let node = Node { id: answer.node_id, host: answer.host, port: answer.port, rack: None };
            let checked = ClientError::check(answer.error_code, answer.error_message.as_deref());
            found.insert(key.clone(), checked.map(|()| node));
        }
        Ok(found)
    }

    /// Asks each coordinator for its groups, again for those whose coordinator loads or moves, until `default.api.timeout.ms` is
    /// over. A group that `ask` leaves out of its answer is told so.
    pub(super) async fn ask_coordinators<T>(
        &self,
        groups: &[String],
        ask: impl AsyncFn(Arc<Connection>, &Node, &[String]) -> Result<ByGroup<T>, ClientError>,
    ) -> Result<ByGroup<T>, ClientError> {
        let deadline = Instant::now() + self.cluster.config().api_timeout;
        let mut done: ByGroup<T> = BTreeMap::new();
        let mut left: Vec<String> = groups.to_vec();
        left.sort_unstable();
        left.dedup();
        let mut retries = Retries::new(self.cluster.config());
        // Coordinators are named by their ids: the connection to each is the cluster's.
        self.cluster.nodes().await?;
        while !left.is_empty() {
            let mut answers: ByGroup<T> = BTreeMap::new();
            let mut by_node: BTreeMap<i32, (Node, Vec<String>)> = BTreeMap::new();
            for (group, found) in self.find_coordinators(CoordinatorType::Group, &left).await? {
                match found {
                    Ok(node) => by_node.entry(node.id).or_insert_with(|| (node, Vec::new())).1.push(group),
                    Err(error) => drop(answers.insert(group, Err(error))),
                }
            }
            for (id, (node, groups)) in by_node {
                let asked = match self.cluster.node(id).await {
                    Ok(connection) => ask(connection, &node, &groups).await,
                    Err(error) => Err(error),
                };
                match asked {
                    Ok(said) => answers.extend(said),
                    Err(error) => answers.extend(groups.into_iter().map(|group| (group, Err(error.clone())))),
                }
            }
            let out_of_time = Instant::now() >= deadline;
            let mut again = Vec::new();
            for group in left {
                let answer = answers.remove(&group).unwrap_or_else(|| Err(left_out()));
                match answer {
                    Err(error) if is_moving(&error) && !out_of_time => again.push(group),
                    answer => drop(done.insert(group, answer)),
                }
            }
            left = again;
            if !left.is_empty() {
                retries.wait().await;
                // Who moved has another address.
                self.cluster.nodes().await?;
            }
        }
        Ok(done)
    }

    /// The same for one group.
    pub(super) async fn ask_coordinator<T>(
        &self,
        group: &str,
        ask: impl AsyncFn(Arc<Connection>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let asked = self
            .ask_coordinators(&[group.to_owned()], async |connection, _, groups| {
                let answer = ask(connection).await;
                Ok(groups.iter().take(1).cloned().zip(Some(answer)).collect())
            })
            .await?;
        asked.into_values().next().unwrap_or_else(|| Err(left_out()))
    }
}

pub(super) fn left_out() -> ClientError {
    ClientError::api(ErrorCode::UnknownServerError, Some("the broker's answer leaves it out".to_owned()))
}
