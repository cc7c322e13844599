//! The delegation tokens (`org.apache.kafka.image.DelegationTokenImage`, `DelegationTokenDelta`).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::{DelegationTokenRecord, RemoveDelegationTokenRecord};

use crate::cluster_image::apply_changes;
use crate::writer::ImageWriter;

/// A delegation token as the log holds it; its secret is derived, not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationTokenData {
    /// Whom the token stands for.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who may renew it.
    pub renewers: Vec<String>,
    /// When it was issued, in milliseconds since 1970.
    pub issue_timestamp_ms: i64,
    /// Until when it may be renewed, in milliseconds since 1970.
    pub max_timestamp_ms: i64,
    /// When it expires, in milliseconds since 1970.
    pub expiration_timestamp_ms: i64,
}

/// The delegation tokens by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelegationTokenImage {
    /// The tokens by id.
    pub tokens: BTreeMap<String, Arc<DelegationTokenData>>,
}

impl DelegationTokenImage {
    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        if !self.is_empty() && !writer.metadata_version().is_delegation_token_supported() {
            let ids: Vec<&str> = self.tokens.keys().map(String::as_str).collect();
            writer.lose(&format!("DelegationTokenImage({})", ids.join(", ")));
            return;
        }
        for (id, token) in &self.tokens {
            let record = DelegationTokenRecord {
                owner: token.owner.clone(),
                requester: token.requester.clone(),
                renewers: token.renewers.clone(),
                issue_timestamp: token.issue_timestamp_ms,
                max_timestamp: token.max_timestamp_ms,
                expiration_timestamp: token.expiration_timestamp_ms,
                token_id: id.clone(),
            };
            writer.write(record.into(), 0);
        }
    }
}

/// What changed of the tokens.
#[derive(Clone, Debug)]
pub struct DelegationTokenDelta {
    image: Arc<DelegationTokenImage>,
    /// The tokens that changed; none means gone.
    pub changes: BTreeMap<String, Option<Arc<DelegationTokenData>>>,
}

impl DelegationTokenDelta {
    pub(crate) fn new(image: &Arc<DelegationTokenImage>) -> DelegationTokenDelta {
        DelegationTokenDelta { image: Arc::clone(image), changes: BTreeMap::new() }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for id in self.image.tokens.keys() {
            self.changes.entry(id.clone()).or_insert(None);
        }
    }

    pub(crate) fn add(&mut self, record: &DelegationTokenRecord) {
        let token = DelegationTokenData {
            owner: record.owner.clone(),
            requester: record.requester.clone(),
            renewers: record.renewers.clone(),
            issue_timestamp_ms: record.issue_timestamp,
            max_timestamp_ms: record.max_timestamp,
            expiration_timestamp_ms: record.expiration_timestamp,
        };
        self.changes.insert(record.token_id.clone(), Some(Arc::new(token)));
    }

    pub(crate) fn remove(&mut self, record: &RemoveDelegationTokenRecord) {
        self.changes.insert(record.token_id.clone(), None);
    }

    pub(crate) fn apply(&self) -> DelegationTokenImage {
        let mut tokens = self.image.tokens.clone();
        apply_changes(&mut tokens, &self.changes);
        DelegationTokenImage { tokens }
    }
}
