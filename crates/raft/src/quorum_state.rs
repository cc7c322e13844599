//! The file `quorum-state` (`org.apache.kafka.raft.FileQuorumStateStore`): one line of JSON beside the metadata log,
//! version 0 with a static quorum (kraft.version 0), version 1 with a dynamic one.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ::io::fs::{self, File};
use common::Uuid;
use serde_json::Value;

use crate::error::{RaftError, Result, at};
use crate::{ElectionState, ReplicaKey};

/// The file's name.
pub const FILE_NAME: &str = "quorum-state";

const NOT_KNOWN: i32 = -1;
const HIGHEST_VERSION: i64 = 1;

/// Reads and writes `quorum-state` in one directory.
#[derive(Debug)]
pub struct QuorumStateStore {
    path: PathBuf,
}

impl QuorumStateStore {
    /// The store in the directory of the metadata log.
    pub fn new(log_dir: &Path) -> QuorumStateStore {
        QuorumStateStore { path: log_dir.join(FILE_NAME) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; none before the first election this replica knows of.
    ///
    /// Errors: the file cannot be read, or does not hold what Kafka writes there.
    pub fn read(&self) -> Result<Option<ElectionState>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&self.path)(error)),
        };
        let corrupt = |reason: String| RaftError::CorruptQuorumState { path: self.path.clone(), reason };
        let line = text.lines().next().ok_or_else(|| corrupt("the file is empty".to_owned()))?;
        parse(line).map(Some).map_err(corrupt)
    }

    /// Replaces what was written, durably: when this returns, neither a crash nor a power cut brings the older back.
    ///
    /// The file's version follows from `kraft_version`.
    pub fn write(&self, election: &ElectionState, kraft_version: i16) -> Result<()> {
        let temporary = self.temporary();
        let result = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(to_json(election, kraft_version).as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            // The rename is durable only with the directory.
            match self.path.parent() {
                Some(directory) => fs::sync_dir(directory),
                None => Ok(()),
            }
        })();
        if result.is_err() {
            // Nothing reads it; the next write replaces it.
            let _ = fs::remove_file(&temporary);
        }
        result.map_err(at(&self.path))
    }

    fn temporary(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".tmp");
        name.into()
    }
}

fn to_json(election: &ElectionState, kraft_version: i16) -> String {
    let leader_id = election.leader_id.unwrap_or(NOT_KNOWN);
    let epoch = election.epoch;
    let voted_id = election.voted_key.map_or(NOT_KNOWN, |key| key.id);
    if kraft_version == 0 {
        let voters: Vec<String> = election.voters.iter().map(|id| format!("{{\"voterId\":{id}}}")).collect();
        // Kafka fills neither the cluster id nor the applied offset.
        format!(
            "{{\"clusterId\":\"\",\"leaderId\":{leader_id},\"leaderEpoch\":{epoch},\"votedId\":{voted_id},\
             \"appliedOffset\":0,\"currentVoters\":[{}],\"data_version\":0}}",
            voters.join(",")
        )
    } else {
        let directory = election.voted_key.map_or(Uuid::ZERO, |key| key.directory_id_or_zero());
        format!(
            "{{\"leaderId\":{leader_id},\"leaderEpoch\":{epoch},\"votedId\":{voted_id},\
             \"votedDirectoryId\":\"{directory}\",\"data_version\":1}}"
        )
    }
}

fn parse(line: &str) -> std::result::Result<ElectionState, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let field = |name: &str| value.get(name).ok_or_else(|| format!("the field {name} is missing"));
    let number = |name: &str| -> std::result::Result<i32, String> {
        let number = field(name)?.as_i64().and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| format!("the field {name} is not a 32-bit number"))
    };

    let version = field("data_version")?.as_i64().ok_or("the field data_version is not a number")?;
    if !(0..=HIGHEST_VERSION).contains(&version) {
        return Err(format!("data_version {version} is not one of 0 to {HIGHEST_VERSION}"));
    }
    let mut voters = BTreeSet::new();
    let mut directory = Uuid::ZERO;
    if version == 0 {
        let list = field("currentVoters")?;
        let list = if list.is_null() {
            &[]
        } else {
            list.as_array().ok_or("currentVoters is not a list")?.as_slice()
        };
        for voter in list {
            let id = voter.get("voterId").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok());
            voters.insert(id.ok_or("a voter of currentVoters has no voterId")?);
        }
    } else {
        let text = field("votedDirectoryId")?.as_str().ok_or("votedDirectoryId is not a text")?;
        directory = text.parse().map_err(|error: common::ParseUuidError| error.to_string())?;
    }
    let known = |id: i32| (id != NOT_KNOWN).then_some(id);
    Ok(ElectionState {
        epoch: number("leaderEpoch")?,
        leader_id: known(number("leaderId")?),
        voted_key: known(number("votedId")?).map(|id| ReplicaKey::new(id, directory)),
        voters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(content: Option<&str>) -> (tempfile::TempDir, QuorumStateStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = QuorumStateStore::new(directory.path());
        if let Some(content) = content {
            fs::write(store.path(), content).unwrap();
        }
        (directory, store)
    }

    #[test]
    fn no_file_is_no_election() {
        let (_directory, store) = store(None);
        assert_eq!(store.read().unwrap(), None);
    }

    #[test]
    fn a_vote_and_its_directory_survive() {
        let (_directory, store) = store(None);
        let voted = ReplicaKey::new(3, "cP6ookCYR9eYNCf4ix5Uaw".parse().unwrap());
        let election = ElectionState::with_voted_candidate(7, voted, BTreeSet::new());
        store.write(&election, 1).unwrap();
        assert_eq!(
            fs::read_to_string(store.path()).unwrap(),
            r#"{"leaderId":-1,"leaderEpoch":7,"votedId":3,"votedDirectoryId":"cP6ookCYR9eYNCf4ix5Uaw","data_version":1}"#
        );
        assert_eq!(store.read().unwrap(), Some(election));
        assert!(!store.temporary().exists());
    }

    #[test]
    fn a_static_quorum_writes_its_voters_and_no_directory() {
        let (_directory, store) = store(None);
        let voted = ReplicaKey::new(3, Uuid::from_u128(9));
        let election = ElectionState::with_voted_candidate(7, voted, BTreeSet::from([1, 2, 3]));
        store.write(&election, 0).unwrap();
        let read = store.read().unwrap().unwrap();
        assert_eq!(read.voters, BTreeSet::from([1, 2, 3]));
        assert_eq!(read.voted_key, Some(ReplicaKey { id: 3, directory_id: None }));
        assert!(read.is_voted_candidate(&voted));
    }

    #[test]
    fn what_kafka_would_not_write_is_refused() {
        for content in [
            "",
            "[]",
            "{",
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":2}"#,
            r#"{"leaderId":1,"leaderEpoch":5000000000,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"short","data_version":1}"#,
            r#"{"clusterId":"","leaderId":1,"leaderEpoch":1,"votedId":-1,"appliedOffset":0,"data_version":0}"#,
        ] {
            let (_directory, store) = store(Some(content));
            let error = store.read().unwrap_err().to_string();
            assert!(error.contains("quorum-state"), "{error}");
        }
    }
}
