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
                self.not_before = Some(Instant::now() + config.reconnect_pause(self.failed));
                self.failed = self.failed.saturating_add(1);
                Err(error)
            }
        }
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

    #[tokio::test]
    async fn a_broker_that_cannot_be_reached_is_left_alone_for_longer_and_longer() {
        let config = ClientConfig {
            reconnect_backoff: Duration::from_millis(40),
            reconnect_backoff_max: Duration::from_millis(100),
            ..ClientConfig::new("")
        };
        let mut place = Place::default();
        let address = unused_address();
        let begun = Instant::now();
        let mut tried = Vec::new();
        for _ in 0..4 {
            assert!(place.connect(&address, &config).await.is_err());
            tried.push(begun.elapsed());
        }
        // The first pause is 32 ms at the least, the next ones 64 and 80.
        for (tried, least) in tried.iter().zip([0, 32, 96, 176]) {
            assert!(*tried >= Duration::from_millis(least), "{tried:?}");
        }
        assert!(place.connection().is_none());
        // Once there is one all that is forgotten.
        let broker = FakeBroker::start(1).await;
        let connection = place.connect(&broker.address(), &config).await.unwrap();
        assert!(Arc::ptr_eq(&connection, &place.connection().unwrap()));
        assert!(place.not_before.is_none() && place.failed == 0);
    }
}
