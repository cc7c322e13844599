//! What a controller is told when it starts.

use std::collections::BTreeMap;

use config::BrokerConfig;
use metadata::{BootstrapMetadata, VersionRange, supported_features};

/// What a controller is told when it starts.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// This node.
    pub node_id: i32,
    /// The cluster's id. Brokers of another cluster cannot register.
    pub cluster_id: String,
    /// The voters of the quorum.
    pub quorum_node_ids: Vec<i32>,
    /// The features' levels with which this node works.
    pub supported_features: BTreeMap<String, VersionRange>,
    /// `broker.session.timeout.ms`: a broker not heard of for longer is fenced.
    pub session_timeout_ms: i64,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `num.partitions`.
    pub default_num_partitions: i32,
    /// How often preferred leaders are put back, in milliseconds; none if `auto.leader.rebalance.enable` is false.
    pub leader_imbalance_check_interval_ms: Option<i64>,
    /// `unclean.leader.election.interval.ms`.
    pub unclean_leader_election_interval_ms: i64,
    /// `metadata.max.idle.interval.ms`: how often a record that says nothing is written; none for never.
    pub max_idle_interval_ms: Option<i64>,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// The first records of a new cluster.
    pub bootstrap: BootstrapMetadata,
    /// The node's configuration: the defaults of topics, and the rules for their configs.
    pub broker_config: BrokerConfig,
}

impl ControllerConfig {
    /// Everything from the node's configuration. Where that names no voters, the quorum is this node alone as far as is known
    /// yet.
    pub fn new(
        broker_config: BrokerConfig,
        cluster_id: impl Into<String>,
        bootstrap: BootstrapMetadata,
    ) -> ControllerConfig {
        let replication = &broker_config.replication;
        let imbalance_ms = replication.leader_imbalance_check_interval_seconds.saturating_mul(1000);
        let idle_ms = i64::from(broker_config.metadata_log.max_idle_interval_ms);
        ControllerConfig {
            node_id: broker_config.node_id,
            cluster_id: cluster_id.into(),
            quorum_node_ids: match broker_config.voters.as_slice() {
                [] => vec![broker_config.node_id],
                voters => voters.iter().map(|voter| voter.id).collect(),
            },
            supported_features: supported_features(),
            session_timeout_ms: i64::from(broker_config.quorum.broker_session_timeout_ms),
            default_replication_factor: i16::try_from(replication.default_replication_factor)
                .unwrap_or(i16::MAX),
            default_num_partitions: replication.num_partitions,
            leader_imbalance_check_interval_ms: replication
                .auto_leader_rebalance_enable
                .then_some(imbalance_ms),
            unclean_leader_election_interval_ms: replication.unclean_leader_election_interval_ms,
            max_idle_interval_ms: (idle_ms > 0).then_some(idle_ms),
            delete_topic_enable: replication.delete_topic_enable,
            bootstrap,
            broker_config,
        }
    }
}
