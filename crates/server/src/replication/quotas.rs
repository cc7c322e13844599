//! How much replication may take where replicas are throttled (`leader.replication.throttled.rate` and the same for followers).

use config::BrokerConfig;
use replica::{ReplicationQuota, UNLIMITED};

/// The quotas of a broker.
pub(crate) struct ReplicationQuotas {
    /// What it sends to followers.
    pub(crate) leader: ReplicationQuota,
    /// What it fetches as a follower.
    pub(crate) follower: ReplicationQuota,
}

impl ReplicationQuotas {
    /// As the configuration says.
    pub(crate) fn new(config: &BrokerConfig) -> ReplicationQuotas {
        let number = |key: &str| config.value(key).to_text().and_then(|text| text.parse::<i64>().ok());
        let windows = number("replication.quota.window.num").unwrap_or(11);
        let window_ms = number("replication.quota.window.size.seconds").unwrap_or(1).saturating_mul(1000);
        let quota = || ReplicationQuota::new(usize::try_from(windows).unwrap_or(11), window_ms);
        let quotas = ReplicationQuotas { leader: quota(), follower: quota() };
        quotas.update(config);
        quotas
    }

    /// The dynamic configuration may have changed.
    pub(crate) fn update(&self, config: &BrokerConfig) {
        let layers = config.layers();
        let rate = |key: &str| {
            let text = layers.dynamic_broker.get(key).or_else(|| layers.dynamic_default.get(key));
            text.and_then(|text| text.trim().parse().ok()).unwrap_or(UNLIMITED)
        };
        self.leader.set_bytes_per_second(rate("leader.replication.throttled.rate"));
        self.follower.set_bytes_per_second(rate("follower.replication.throttled.rate"));
    }
}
