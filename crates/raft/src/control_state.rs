//! What the control records of log and snapshots say of the quorum, at every offset
//! (`KRaftControlRecordStateMachine`, `VoterSetHistory`, `TreeMapLogHistory`).
//!
//! **Invariant:** it has read all of the log, up to the end, committed or not: a voter set counts from the moment it is
//! appended.

use std::collections::BTreeMap;

use crate::VoterSet;
use crate::batch::CommittedBatch;
use crate::control_record::ControlRecord;

/// A value that changes with offsets. Those from the checkpoint of formatting are at offset -1.
#[derive(Clone, Debug)]
struct LogHistory<T>(BTreeMap<i64, T>);

impl<T> LogHistory<T> {
    fn last(&self) -> Option<(i64, &T)> {
        self.0.last_key_value().map(|(offset, value)| (*offset, value))
    }

    fn at_or_before(&self, offset: i64) -> Option<&T> {
        self.0.range(..=offset).next_back().map(|(_, value)| value)
    }

    /// Keeps the value that holds at `start_offset`, and all later ones.
    fn truncate_old_entries(&mut self, start_offset: i64) {
        if let Some(first) = self.0.range(..=start_offset).next_back().map(|(offset, _)| *offset) {
            self.0.retain(|offset, _| *offset >= first);
        }
    }
}

/// The voters and the kraft.version of the log.
#[derive(Clone, Debug)]
pub(crate) struct ControlRecordState {
    static_voters: VoterSet,
    voters: LogHistory<VoterSet>,
    kraft_versions: LogHistory<i16>,
}

impl ControlRecordState {
    /// Nothing read yet; `static_voters` count as long as the log names none.
    pub(crate) fn new(static_voters: VoterSet) -> ControlRecordState {
        ControlRecordState {
            static_voters,
            voters: LogHistory(BTreeMap::new()),
            kraft_versions: LogHistory(BTreeMap::new()),
        }
    }

    /// Takes a batch of the log.
    pub(crate) fn log_batch(&mut self, batch: &CommittedBatch) {
        for (index, record) in batch.control_records().iter().enumerate() {
            self.add(batch.base_offset + index as i64, record);
        }
    }

    /// Takes a batch of a snapshot that reaches to `last_contained_offset`.
    pub(crate) fn snapshot_batch(&mut self, batch: &CommittedBatch, last_contained_offset: i64) {
        for record in batch.control_records() {
            self.add(last_contained_offset, record);
        }
    }

    /// The log was cut at `end_offset`.
    pub(crate) fn truncate_new_entries(&mut self, end_offset: i64) {
        self.voters.0.retain(|offset, _| *offset < end_offset);
        self.kraft_versions.0.retain(|offset, _| *offset < end_offset);
    }

    /// All is forgotten: a snapshot takes the place of the log.
    pub(crate) fn clear(&mut self) {
        self.voters.0.clear();
        self.kraft_versions.0.clear();
    }

    /// A snapshot holds what was before `start_offset`.
    pub(crate) fn truncate_old_entries(&mut self, start_offset: i64) {
        self.voters.truncate_old_entries(start_offset);
        self.kraft_versions.truncate_old_entries(start_offset);
    }

    /// The voters at the end of the log.
    pub(crate) fn last_voters(&self) -> &VoterSet {
        self.voters.last().map_or(&self.static_voters, |(_, voters)| voters)
    }

    /// Where the log names those voters; -1: in the checkpoint of formatting; none: they are static.
    pub(crate) fn last_voters_offset(&self) -> Option<i64> {
        self.voters.last().map(|(offset, _)| offset)
    }

    /// The kraft.version at the end of the log.
    pub(crate) fn last_kraft_version(&self) -> i16 {
        self.kraft_versions.last().map_or(0, |(_, level)| *level)
    }

    /// The voters that the log names at `offset`.
    pub(crate) fn voters_at(&self, offset: i64) -> Option<&VoterSet> {
        self.voters.at_or_before(offset)
    }

    /// The kraft.version at `offset`.
    pub(crate) fn kraft_version_at(&self, offset: i64) -> i16 {
        self.kraft_versions.at_or_before(offset).copied().unwrap_or(0)
    }

    fn add(&mut self, offset: i64, record: &ControlRecord) {
        match record {
            ControlRecord::Voters(voters) => {
                self.voters.0.insert(offset, voters.clone());
            }
            ControlRecord::KRaftVersion(level) => {
                self.kraft_versions.0.insert(offset, *level);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(id: i32) -> VoterSet {
        VoterSet::from_static("CONTROLLER", &[(id, "localhost".to_owned(), 9093)])
    }

    #[test]
    fn the_log_takes_the_place_of_the_configuration() {
        let mut state = ControlRecordState::new(voters(1));
        assert_eq!((state.last_voters(), state.last_voters_offset()), (&voters(1), None));
        state.add(-1, &ControlRecord::KRaftVersion(1));
        state.add(-1, &ControlRecord::Voters(voters(2)));
        assert_eq!((state.last_voters(), state.last_voters_offset()), (&voters(2), Some(-1)));
        assert_eq!(state.last_kraft_version(), 1);
    }

    #[test]
    fn what_holds_at_a_snapshots_end_is_kept() {
        let mut state = ControlRecordState::new(VoterSet::default());
        for (offset, id) in [(2, 2), (5, 5), (9, 9)] {
            state.add(offset, &ControlRecord::Voters(voters(id)));
        }
        state.truncate_old_entries(7);
        assert_eq!(state.voters_at(4), None);
        assert_eq!(state.voters_at(8), Some(&voters(5)));
        assert_eq!(state.last_voters(), &voters(9));
    }
}
