//! How much replication may take where replicas are throttled (`leader.replication.throttled.rate` and the same for followers).

use config::BrokerConfig;
use replica::{ReplicationQuota, UNLIMITED};

/// The quotas of a broker.
pub(crate) struct ReplicationQuotas {
    /// What it sends to followers.
    pub(crate) leader: ReplicationQuota,
    /// What it fetches as a follower.
    pub(crate) follower: ReplicationQuota,
    /// What it copies between its log directories.
    pub(crate) alter_log_dirs: ReplicationQuota,
}

impl ReplicationQuotas {
    /// As the configuration says.
    pub(crate) fn new(config: &BrokerConfig) -> ReplicationQuotas {
        let number = |key: &str| config.value(key).to_text().and_then(|text| text.parse::<i64>().ok());
        let quota = |windows: &str, seconds: &str| {
            let windows = number(windows).and_then(|windows| usize::try_from(windows).ok()).unwrap_or(11);
            ReplicationQuota::new(windows, number(seconds).unwrap_or(1).saturating_mul(1000))
        };
        let between = || quota("replication.quota.window.num", "replication.quota.window.size.seconds");
        let quotas = ReplicationQuotas {
            leader: between(),
            follower: between(),
            alter_log_dirs: quota(
                "alter.log.dirs.replication.quota.window.num",
                "alter.log.dirs.replication.quota.window.size.seconds",
            ),
        };
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
        self.alter_log_dirs.set_bytes_per_second(rate("replica.alter.log.dirs.io.max.bytes.per.second"));
    }
}
