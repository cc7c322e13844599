//! The clients that are known, and what each has been allowed (`ClientMetricsInstance`).

use std::collections::{BTreeMap, HashMap};

use common::{ErrorCode, Uuid};
use protocol::compression::Compression;
use protocol::messages::PushTelemetryRequest;

use super::Subscription;

/// A client.
pub(super) struct Instance {
    pub(super) subscription: Subscription,
    /// Of which change of the subscriptions that is.
    version: u64,
    last_ask_ms: i64,
    last_push_ms: i64,
    /// Its last push said that there will be no other.
    pub(super) terminating: bool,
    /// It was told to ask for its subscription, so its interval does not hold for that.
    pub(super) asks_again: bool,
    expires_ms: i64,
    /// When it was used last, as a count of uses.
    used: u64,
}

impl Instance {
    pub(super) fn new(subscription: Subscription, version: u64) -> Instance {
        Instance {
            subscription,
            version,
            last_ask_ms: 0,
            last_push_ms: 0,
            terminating: false,
            asks_again: false,
            expires_ms: 0,
            used: 0,
        }
    }

    /// Whether it may ask for its subscription now; it has then.
    pub(super) fn may_ask(&mut self, now_ms: i64) -> bool {
        let in_time =
            now_ms - self.last_ask_ms.max(self.last_push_ms) >= self.subscription.interval_ms.into();
        if in_time {
            self.last_ask_ms = now_ms;
        }
        let may = in_time || self.asks_again;
        self.asks_again &= !may;
        may
    }

    /// Whether it may push now; it has then. The first push behind an answer may come at any time, because clients spread
    /// theirs over the interval.
    fn may_push(&mut self, now_ms: i64) -> bool {
        let may = self.last_ask_ms > self.last_push_ms
            || now_ms - self.last_push_ms >= self.subscription.interval_ms.into();
        if may {
            self.last_push_ms = now_ms;
        }
        may
    }

    /// What is wrong with a push, in the order in which Kafka looks.
    pub(super) fn check_push(
        &mut self,
        push: &PushTelemetryRequest,
        max_bytes: i32,
        now_ms: i64,
    ) -> Result<Compression, ErrorCode> {
        if self.terminating {
            return Err(ErrorCode::InvalidRequest);
        }
        if !self.may_push(now_ms) && !push.terminating {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        if push.subscription_id != self.subscription.id {
            return Err(ErrorCode::UnknownSubscriptionId);
        }
        let compression = u8::try_from(push.compression_type).ok().and_then(Compression::from_id);
        let compression = compression.ok_or(ErrorCode::UnsupportedCompressionType)?;
        if i32::try_from(push.metrics.len()).map_or(true, |length| length > max_bytes) {
            return Err(ErrorCode::TelemetryTooLarge);
        }
        Ok(compression)
    }
}

/// As many clients as there is room for.
pub(super) struct Instances {
    limit: usize,
    by_id: HashMap<Uuid, Instance>,
    /// **Invariant:** each instance of `by_id` stands here under its `used`, and nothing else does.
    by_use: BTreeMap<u64, Uuid>,
    uses: u64,
}

impl Instances {
    pub(super) fn new(limit: usize) -> Instances {
        Instances { limit, by_id: HashMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }

    /// The client, made if it is new, has expired, or is of an older version of the subscriptions.
    pub(super) fn get_or_insert(
        &mut self,
        id: Uuid,
        version: u64,
        now_ms: i64,
        make: impl FnOnce() -> Instance,
    ) -> &mut Instance {
        let known = self.remove(id).filter(|known| known.version == version && known.expires_ms > now_ms);
        let mut instance = known.unwrap_or_else(make);
        self.make_room(now_ms);
        instance.expires_ms = now_ms.saturating_add(instance.subscription.patience_ms());
        self.uses += 1;
        instance.used = self.uses;
        self.by_use.insert(instance.used, id);
        self.by_id.entry(id).insert_entry(instance).into_mut()
    }

    /// Takes away those that were used longest ago, while they have expired or there is no room.
    fn make_room(&mut self, now_ms: i64) {
        while let Some(oldest) = self.by_use.first_entry().map(|entry| *entry.get()) {
            let expired = self.by_id.get(&oldest).is_none_or(|instance| instance.expires_ms <= now_ms);
            if !expired && self.by_id.len() < self.limit {
                return;
            }
            self.remove(oldest);
        }
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Instance> {
        let instance = self.by_id.remove(&id)?;
        let was = self.by_use.remove(&instance.used);
        assert_eq!(was, Some(id), "Invariant: each client has its place in the order of use");
        Some(instance)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
