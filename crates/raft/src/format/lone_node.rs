//! Formatting without a format step: a node that is alone and starts on empty directories does for itself what
//! `kafka-storage format --standalone` does.
//!
//! Divergence: Apache Kafka refuses to start on a directory that is not formatted. A lone node cannot come up beside a
//! cluster that it belongs to, so nothing can be lost by it; whoever calls this knows that the node is alone.

use std::collections::BTreeSet;
use std::path::Path;

use common::Uuid;

use super::dynamic_voters::{DynamicVoter, DynamicVoters};
use super::ensemble::Ensemble;
use super::formatter::{Formatter, FormatterError};
use crate::Endpoint;
use crate::error::{RaftError, at};

/// A node that is all of its cluster.
#[derive(Clone, Debug)]
pub struct LoneNode {
    /// `node.id`.
    pub node_id: i32,
    /// `log.dirs` and the metadata log directory.
    pub directories: BTreeSet<String>,
    /// `metadata.log.dir`, or the first of `log.dirs`.
    pub metadata_log_directory: String,
    /// Its advertised controller listener.
    pub endpoint: Endpoint,
    /// The cluster's id to be; a random one otherwise.
    pub cluster_id: Option<String>,
}

impl LoneNode {
    /// Formats the directories that are not formatted. Gives the cluster's id where there was something to format.
    ///
    /// Errors: a directory holds partitions, or is of a broker under ZooKeeper: their data must not be orphaned by a new
    /// cluster id; or formatting fails.
    pub fn format(&self, now_ms: i64) -> Result<Option<String>, FormatterError> {
        let ensemble = Ensemble::load(&self.directories);
        for (directory, properties) in &ensemble.formatted {
            if properties.version == 0 {
                return Err(FormatterError::Refused(format!(
                    "{directory} is of a broker that ran with ZooKeeper: bring that cluster to KRaft with Apache Kafka \
                     3.9 first, or set log.dirs to an empty directory"
                )));
            }
        }
        if let Some((directory, error)) = ensemble.errors.first_key_value() {
            return Err(FormatterError::Refused(format!("{directory} cannot be used: {error}")));
        }
        if ensemble.empty.is_empty() {
            return Ok(None);
        }
        for directory in &ensemble.empty {
            refuse_data(Path::new(directory))?;
        }
        let known = ensemble.formatted.values().find_map(|properties| properties.cluster_id.clone());
        let cluster_id =
            known.or_else(|| self.cluster_id.clone()).unwrap_or_else(|| Uuid::random().to_string());
        let voter = DynamicVoter {
            node_id: self.node_id,
            directory_id: Uuid::random(),
            host: self.endpoint.host.clone(),
            port: self.endpoint.port,
        };
        let formatter = Formatter {
            node_id: self.node_id,
            cluster_id: cluster_id.clone(),
            directories: self.directories.clone(),
            metadata_log_directory: Some(self.metadata_log_directory.clone()),
            controller_listener_name: self.endpoint.name.clone(),
            initial_controllers: Some(DynamicVoters::new([voter])?),
            has_dynamic_quorum: true,
            write_bootstrap_snapshot: true,
            ignore_formatted: true,
            ..Formatter::default()
        };
        formatter.run(&mut std::io::sink(), now_ms)?;
        Ok(Some(cluster_id))
    }
}

/// A directory without `meta.properties` that holds partitions lost that file: it is no new one.
fn refuse_data(directory: &Path) -> Result<(), FormatterError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(directory)(error).into()),
    };
    for entry in entries {
        let path = entry.map_err(at(directory))?.path();
        let holds_log = path.is_dir()
            && std::fs::read_dir(&path)
                .map_err(at(&path))?
                .flatten()
                .any(|file| Path::new(&file.file_name()).extension().is_some_and(|end| end == "log"));
        if holds_log {
            return Err(RaftError::Log {
                path,
                reason: format!(
                    "the partition is in {}, which has no meta.properties: that file was lost, or the directory is not \
                     this node's. Put meta.properties back, or format the directory with `storage format`",
                    directory.display()
                ),
            }
            .into());
        }
    }
    Ok(())
}
