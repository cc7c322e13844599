//! What a new cluster begins with, as earlier versions left it (`BootstrapMetadata.fromDirectory`).
//!
//! Since 4.4 formatting puts it into the 0-0 checkpoint of the metadata log, which a node hands out as
//! `RaftEvent::LoadBootstrap`; before, it was a file of its own beside `meta.properties`.

use std::collections::BTreeMap;
use std::path::Path;

use metadata::{BootstrapMetadata, MetadataRecord, MetadataVersion, VersionedRecord};

use super::FormatterError;
use crate::{OffsetAndEpoch, SnapshotReader};

/// The file of versions before 4.4.
pub const BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";

/// What `bootstrap.checkpoint` in the metadata log directory says; the latest version without any other feature where
/// there is no such file. A checkpoint with records of its own goes before this.
///
/// Errors: the file is damaged, or its metadata.version is not known.
pub fn read_bootstrap_metadata(metadata_log_dir: &Path) -> Result<BootstrapMetadata, FormatterError> {
    let path = metadata_log_dir.join(BOOTSTRAP_FILE);
    if !::io::fs::exists(&path) {
        let off = metadata::Feature::ALL.iter().map(|feature| (feature.name().to_owned(), 0));
        let levels = BTreeMap::from_iter(off);
        let version = MetadataVersion::LATEST_PRODUCTION;
        return Ok(BootstrapMetadata::for_release(version, &levels, "the default bootstrap")?);
    }
    let source = format!("the binary bootstrap metadata file: {}", path.display());
    let records = SnapshotReader::open_file(&path, OffsetAndEpoch::BOOTSTRAP)?.read_all()?;
    let records = records.iter().map(|record| MetadataRecord::read_framed(record));
    let records: Vec<VersionedRecord> = records
        .collect::<Result<_, _>>()
        .map_err(|error| FormatterError::Refused(format!("{source}: {error}")))?;
    Ok(BootstrapMetadata::from_records(records, &source)?)
}
