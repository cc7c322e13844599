//! The log directories of a node as they are found: formatted, empty, or in trouble (`MetaPropertiesEnsemble`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::Uuid;
use storage::checkpoint::{META_PROPERTIES_FILE, MetaProperties};

use super::FormatterError;

/// The log directories of a node.
#[derive(Debug, Default)]
pub(super) struct Ensemble {
    pub(super) formatted: BTreeMap<String, MetaProperties>,
    pub(super) empty: BTreeSet<String>,
    pub(super) errors: BTreeMap<String, String>,
}

impl Ensemble {
    pub(super) fn load(directories: &BTreeSet<String>) -> Ensemble {
        let mut ensemble = Ensemble::default();
        for directory in directories {
            match MetaProperties::read(Path::new(directory)) {
                Ok(Some(properties)) => {
                    ensemble.formatted.insert(directory.clone(), properties);
                }
                Ok(None) => {
                    ensemble.empty.insert(directory.clone());
                }
                Err(error) => {
                    tracing::error!("Error while reading meta.properties file: {error}");
                    ensemble.errors.insert(directory.clone(), error.to_string());
                }
            }
        }
        ensemble
    }

    /// Checks that they are of this cluster and node, and no two are one.
    pub(super) fn verify(&self, cluster_id: &str, node_id: i32) -> Result<(), FormatterError> {
        let mut seen: BTreeMap<Uuid, &str> = BTreeMap::new();
        for (directory, properties) in &self.formatted {
            let path = Path::new(directory).join(META_PROPERTIES_FILE);
            let path = path.display();
            let refused = |text: String| Err(FormatterError::Refused(text));
            match &properties.cluster_id {
                Some(id) if id != cluster_id => {
                    return refused(format!(
                        "Invalid cluster.id in: {path}. Expected {cluster_id}, but read {id}"
                    ));
                }
                None if properties.version >= 1 => {
                    return refused(format!("cluster.id was not specified in the v1 file: {path}"));
                }
                _ => {}
            }
            match properties.node_id {
                Some(id) if id != node_id => {
                    return refused(format!(
                        "Stored node id {id} doesn't match previous node id {node_id} in {path}. If you moved your \
                         data, make sure your configured node id matches. If you intend to create a new node, you \
                         should remove all data in your data directories."
                    ));
                }
                None if properties.version >= 1 => {
                    return refused(format!("node.id was not specified in {path}"));
                }
                _ => {}
            }
            if let Some(id) = properties.directory_id {
                if id.is_reserved() {
                    return refused(format!("Invalid reserved directory ID {id} found in {directory}"));
                }
                if let Some(other) = seen.insert(id, directory) {
                    return refused(format!(
                        "Duplicate directory ID {id} found. It was the ID of {other}, but also of {directory}"
                    ));
                }
            }
        }
        Ok(())
    }
}
