//! Where the connection to a broker is kept, and made when it is needed.

use std::sync::Arc;
use std::time::Instant;

use crate::connection::Connection;
use crate::{ClientConfig, ClientError};

/// The place of a connection: who finds it empty or lost fills it, while the others wait for that broker alone.
pub(crate) type Slot = Arc<tokio::sync::Mutex<Place>>;

/// A connection, or what came of the tries to make one.
#[derive(Default)]
pub(crate) struct Place {
    connection: Option<Arc<Connection>>,
    /// How often in a row the broker could not be reached.
    failed: u32,
    not_before: Option<Instant>,
}

impl Place {
    /// The connection, unless it is lost.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        self.connection.as_ref().filter(|connection| !connection.is_lost()).cloned()
    }

    /// What is kept from now on.
    pub(crate) fn fill(&mut self, connection: &Arc<Connection>) {
        *self = Place { connection: Some(Arc::clone(connection)), ..Place::default() };
    }

    /// Makes a connection. Where the last try failed, not before `reconnect.backoff.ms` is over.
    pub(crate) async fn connect(
        &mut self,
        address: &str,
        config: &ClientConfig,
    ) -> Result<Arc<Connection>, ClientError> {
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before.into()).await;
        }
        match Connection::open_within(address, config, config.setup_timeout(self.failed)).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                self.fill(&connection);
                Ok(connection)
            }
            Err(error) => {
                self.back_off(Instant::now(), config);
                Err(error)
            }
        }
    }

    /// A try has just failed.
    fn back_off(&mut self, now: Instant, config: &ClientConfig) {
        self.not_before = Some(now + config.reconnect_pause(self.failed));
        self.failed = self.failed.saturating_add(1);
    }
}

/// The connection in a slot, if it is there and at hand.
pub(crate) fn at_hand(slot: &Slot) -> Option<Arc<Connection>> {
    slot.try_lock().ok()?.connection()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fake_broker::{FakeBroker, unused_address};

    fn config() -> ClientConfig {
        ClientConfig {
            reconnect_backoff: Duration::from_millis(40),
            reconnect_backoff_max: Duration::from_millis(100),
            ..ClientConfig::new("")
        }
    }

    #[test]
    fn a_broker_that_cannot_be_reached_is_left_alone_for_longer_and_longer() {
        let mut place = Place::default();
        let now = Instant::now();
        for expected in [32..=48, 64..=96, 80..=100, 80..=100] {
            place.back_off(now, &config());
            let pause = place.not_before.unwrap() - now;
            assert!(expected.contains(&pause.as_millis()), "{pause:?} is not in {expected:?}");
        }
    }

    #[tokio::test]
    async fn nobody_connects_before_the_pause_is_over() {
        let broker = FakeBroker::start(1).await;
        let hour = Duration::from_secs(3600);
        let mut place = Place { not_before: Some(Instant::now() + hour), ..Place::default() };
        let (address, config) = (broker.address(), config());
        let waits = tokio::time::timeout(Duration::from_millis(20), place.connect(&address, &config));
        assert!(waits.await.is_err() && broker.state().connections == 0);
    }

    #[tokio::test]
    async fn tries_that_failed_are_forgotten_once_there_is_a_connection() {
        let mut place = Place::default();
        let address = unused_address();
        for failed in 1..=3 {
            assert!(place.connect(&address, &config()).await.is_err());
            assert!(place.failed == failed && place.not_before.is_some());
        }
        assert!(place.connection().is_none());
        let broker = FakeBroker::start(1).await;
        let connection = place.connect(&broker.address(), &config()).await.unwrap();
        assert!(Arc::ptr_eq(&connection, &place.connection().unwrap()));
        assert!(place.not_before.is_none() && place.failed == 0);
    }
}
