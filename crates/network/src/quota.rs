//! How many connections there may be (`ConnectionQuotas`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The limits of the keys `max.connections`, `max.connections.per.ip` and `max.connections.per.ip.overrides`.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections of the whole broker.
    pub total: usize,
    /// Connections of one address, unless it is listed.
    pub per_ip: usize,
    /// Other limits for certain addresses.
    pub per_ip_overrides: HashMap<IpAddr, usize>,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits { total: usize::MAX, per_ip: usize::MAX, per_ip_overrides: HashMap::new() }
    }
}

/// Counts the connections of a broker over all its listeners.
#[derive(Debug, Default)]
pub struct ConnectionQuota {
    limits: Mutex<ConnectionLimits>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

impl ConnectionQuota {
    /// Counts against `limits`.
    pub fn new(limits: ConnectionLimits) -> Arc<ConnectionQuota> {
        Arc::new(ConnectionQuota { limits: Mutex::new(limits), counts: Mutex::default() })
    }

    /// Counts against other limits from now on. Connections beyond them stay.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        *self.limits.lock() = limits;
    }

    /// A place for a connection from `ip`, free again when it is dropped; the reason where there is none.
    ///
    /// Divergence: where `max.connections` is reached Kafka lets new connections wait in the backlog, or closes the one
    /// that was idle longest on the inter-broker listener. Here the new one is closed, which its client sees at once.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionPermit, String> {
        let limits = self.limits.lock();
        let mut counts = self.counts.lock();
        let limit = limits.per_ip_overrides.get(&ip).copied().unwrap_or(limits.per_ip);
        if counts.total >= limits.total {
            return Err(format!("max.connections={} is reached", limits.total));
        }
        let from_ip = counts.by_ip.entry(ip).or_default();
        if *from_ip >= limit {
            return Err(format!("too many connections from {ip}, {limit} are allowed"));
        }
        *from_ip += 1;
        counts.total += 1;
        Ok(ConnectionPermit { quota: Arc::clone(self), ip })
    }

    /// The connections there are.
    pub fn count(&self) -> usize {
        self.counts.lock().total
    }
}

/// A connection's place among those that are allowed.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    quota: Arc<ConnectionQuota>,
    ip: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.quota.counts.lock();
        counts.total -= 1;
        if let Some(count) = counts.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_places_come_back() {
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let quota = ConnectionQuota::new(ConnectionLimits {
            total: 3,
            per_ip: 2,
            per_ip_overrides: HashMap::from([(b, 1)]),
        });
        let first = quota.admit(a).unwrap();
        let _second = quota.admit(a).unwrap();
        assert!(quota.admit(a).unwrap_err().contains("127.0.0.1, 2 are allowed"));
        let _other = quota.admit(b).unwrap();
        assert!(quota.admit(b).unwrap_err().contains("max.connections"));
        drop(first);
        assert_eq!(quota.count(), 2);
        quota.set_limits(ConnectionLimits { total: 2, ..ConnectionLimits::default() });
        assert!(quota.admit(a).unwrap_err().contains("max.connections=2"));
        quota.set_limits(ConnectionLimits {
            per_ip_overrides: HashMap::from([(b, 1)]),
            ..ConnectionLimits::default()
        });
        assert!(quota.admit(b).unwrap_err().contains("1 are allowed"));
        assert!(quota.admit(a).is_ok());
    }
}
