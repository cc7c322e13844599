//! Groups of the newest protocols (share groups) as they are found in the log.
//!
//! Their protocols are not served yet. What is known of such a group is its kind, its members' ids and which of its
//! records are alive; that is enough to serve its committed offsets, to list it, and to end it when it is empty. What the
//! records say is left alone, and so is there for a broker that serves these groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::RecordDecodeError;
use protocol::Reader;

use crate::GroupType;
use crate::record::GroupRecord;

/// The kind of a record, by its id in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModernKind {
    id: i16,
    group_type: GroupType,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Of the whole group.
    Group,
    /// The member itself: it is alive as long as this record.
    Member,
    /// Of a member, or of something else that the key names behind the group.
    Other,
}

/// The kinds up to 15 that are no consumer group's, except 9, which was never used.
const KINDS: [(i16, GroupType, Part); 6] = [
    (10, GroupType::Share, Part::Member),
    (11, GroupType::Share, Part::Group),
    (12, GroupType::Share, Part::Group),
    (13, GroupType::Share, Part::Other),
    (14, GroupType::Share, Part::Other),
    (15, GroupType::Share, Part::Group),
];

impl ModernKind {
    pub(crate) fn from_id(id: i16) -> Option<ModernKind> {
        KINDS.iter().find(|kind| kind.0 == id).map(|&(id, group_type, part)| ModernKind {
            id,
            group_type,
            part,
        })
    }
}

/// A record of a group of a newer protocol, with its key as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModernRecord {
    pub(crate) kind: ModernKind,
    pub(crate) group_id: String,
    /// The member, for a record of one.
    member_id: Option<String>,
    pub(crate) key: Vec<u8>,
    /// Whether it has a value.
    pub(crate) live: bool,
}

impl ModernRecord {
    /// Reads the key's front, which all these kinds have in common: the group, then the member.
    pub(crate) fn read(
        kind: ModernKind,
        key: &[u8],
        reader: &mut Reader<'_>,
        live: bool,
    ) -> Result<ModernRecord, RecordDecodeError> {
        let mut text = |what| match reader.string(false) {
            Ok(Some(text)) => Ok(text),
            _ => Err(RecordDecodeError::Corrupt(format!("the key of kind {} has no {what}", kind.id))),
        };
        let group_id = text("group id")?;
        let member_id = match kind.part {
            Part::Member => Some(text("member id")?),
            Part::Group | Part::Other => None,
        };
        Ok(ModernRecord { kind, group_id, member_id, key: key.to_vec(), live })
    }
}

/// A group of a newer protocol.
#[derive(Clone, Debug)]
pub struct ModernGroup {
    group_id: Arc<str>,
    group_type: GroupType,
    /// The keys of its live records, with the id of the kind in front so that they end in a sensible order.
    keys: BTreeMap<Vec<u8>, ModernKind>,
    members: BTreeSet<String>,
    /// No member of it has been heard of for longer than a session lasts.
    pub(crate) sessions_over: bool,
}

impl ModernGroup {
    pub(crate) fn new(group_id: Arc<str>, kind: ModernKind) -> ModernGroup {
        ModernGroup {
            group_id,
            group_type: kind.group_type,
            keys: BTreeMap::new(),
            members: BTreeSet::new(),
            sessions_over: false,
        }
    }

    /// Its kind.
    pub fn group_type(&self) -> GroupType {
        self.group_type
    }

    /// The ids of its members.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(String::as_str)
    }

    /// Whether nobody is in it, or nobody can be any more.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() || self.sessions_over
    }

    /// The state that is shown of it. What its members have agreed on is not known.
    pub fn state_name(&self) -> &'static str {
        if self.is_empty() { "Empty" } else { "Stable" }
    }

    /// Whether its last record is gone, and it with it.
    pub(crate) fn is_gone(&self) -> bool {
        self.keys.is_empty()
    }

    /// Takes a record of the log. Of another protocol's record follows that the group has changed to that.
    pub(crate) fn replay(&mut self, record: ModernRecord) {
        if record.live && record.kind.group_type != self.group_type {
            *self = ModernGroup::new(Arc::clone(&self.group_id), record.kind);
        }
        if record.live {
            self.members.extend(record.member_id);
            self.keys.insert(record.key, record.kind);
        } else {
            if let Some(member_id) = &record.member_id {
                self.members.remove(member_id);
            }
            self.keys.remove(&record.key);
        }
    }

    /// Ends the group: tombstones for all of its records, those that make it a group last.
    pub(crate) fn tombstones(&self, records: &mut Vec<GroupRecord>) {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by_key(|(_, kind)| match kind.part {
            Part::Other => 0,
            Part::Member => 1,
            Part::Group => 2,
        });
        for (key, kind) in keys {
            records.push(GroupRecord::Modern(ModernRecord {
                kind: *kind,
                group_id: self.group_id.to_string(),
                member_id: None,
                key: key.clone(),
                live: false,
            }));
        }
    }
}
