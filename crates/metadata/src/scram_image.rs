//! The SCRAM credentials of users (`org.apache.kafka.image.ScramImage`, `ScramDelta`, KIP-900).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use protocol::messages::{RemoveUserScramCredentialRecord, UserScramCredentialRecord};

use crate::cluster_image::apply_changes;
use crate::writer::ImageWriter;

/// What a user logs in with by SCRAM.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredentialData {
    /// The salt.
    pub salt: Vec<u8>,
    /// With this the server checks the client.
    pub stored_key: Vec<u8>,
    /// With this the server proves itself.
    pub server_key: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: i32,
}

impl fmt::Debug for ScramCredentialData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets stay out of logs.
        write!(f, "ScramCredentialData(iterations={})", self.iterations)
    }
}

/// A user under one mechanism: 1 is SCRAM-SHA-256, 2 SCRAM-SHA-512.
pub type ScramUser = (i8, String);

/// The credentials by mechanism and user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScramImage {
    /// The credentials by mechanism and user.
    pub credentials: BTreeMap<ScramUser, Arc<ScramCredentialData>>,
}

impl ScramImage {
    /// Whether nobody has a credential.
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty()
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        if !self.is_empty() && !writer.metadata_version().is_scram_supported() {
            let users: Vec<&str> = self.credentials.keys().map(|(_, user)| user.as_str()).collect();
            writer.lose(&format!("ScramImage({})", users.join(", ")));
            return;
        }
        for ((mechanism, user), data) in &self.credentials {
            let record = UserScramCredentialRecord {
                name: user.clone(),
                mechanism: *mechanism,
                salt: data.salt.clone(),
                stored_key: data.stored_key.clone(),
                server_key: data.server_key.clone(),
                iterations: data.iterations,
            };
            writer.write(record.into(), 0);
        }
    }
}

/// What changed of the credentials.
#[derive(Clone, Debug)]
pub struct ScramDelta {
    image: Arc<ScramImage>,
    /// The credentials that changed; none means gone.
    pub changes: BTreeMap<ScramUser, Option<Arc<ScramCredentialData>>>,
}

impl ScramDelta {
    pub(crate) fn new(image: &Arc<ScramImage>) -> ScramDelta {
        ScramDelta { image: Arc::clone(image), changes: BTreeMap::new() }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for user in self.image.credentials.keys() {
            self.changes.entry(user.clone()).or_insert(None);
        }
    }

    pub(crate) fn add(&mut self, record: &UserScramCredentialRecord) {
        let data = ScramCredentialData {
            salt: record.salt.clone(),
            stored_key: record.stored_key.clone(),
            server_key: record.server_key.clone(),
            iterations: record.iterations,
        };
        self.changes.insert((record.mechanism, record.name.clone()), Some(Arc::new(data)));
    }

    pub(crate) fn remove(&mut self, record: &RemoveUserScramCredentialRecord) {
        self.changes.insert((record.mechanism, record.name.clone()), None);
    }

    pub(crate) fn apply(&self) -> ScramImage {
        let mut credentials = self.image.credentials.clone();
        apply_changes(&mut credentials, &self.changes);
        ScramImage { credentials }
    }
}
