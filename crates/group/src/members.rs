//! The members of a group: by their ids, and static ones by their instances. What consumer and streams groups do with either.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use common::ErrorCode;

use crate::consumer::Refusal;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupType};

/// What members of all kinds have.
pub(crate) trait Member {
    /// Its id.
    fn id(&self) -> &Arc<str>;
    /// `group.instance.id`, of a static member.
    fn instance_id(&self) -> Option<&str>;
    /// The epoch it is in.
    fn epoch(&self) -> i32;
    /// How long it may take, in milliseconds, to give up what it has to give up before it may go on; none if that is nothing.
    fn revocation_timeout_ms(&self) -> Option<i32>;
}

/// The members of a group, by id.
///
/// **Invariant:** `by_instance` names a member that is there, and that is of this instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Members<M> {
    by_id: BTreeMap<Arc<str>, M>,
    by_instance: BTreeMap<String, Arc<str>>,
}

impl<M> Default for Members<M> {
    fn default() -> Self {
        Members { by_id: BTreeMap::new(), by_instance: BTreeMap::new() }
    }
}

impl<M> Deref for Members<M> {
    type Target = BTreeMap<Arc<str>, M>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl<M: Member> Members<M> {
    /// Puts a member in, in the place of the one with its id. Of two of one instance, which there are while one takes the place of
    /// the other, it is the later.
    pub(crate) fn put(&mut self, member: M) {
        self.remove(member.id());
        if let Some(instance_id) = member.instance_id() {
            self.by_instance.insert(instance_id.to_owned(), Arc::clone(member.id()));
        }
        self.by_id.insert(Arc::clone(member.id()), member);
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, member_id: &str) -> Option<M> {
        let member = self.by_id.remove(member_id)?;
        if let Some(instance_id) = member.instance_id()
            && self.by_instance.get(instance_id) == Some(member.id())
        {
            self.by_instance.remove(instance_id);
        }
        Some(member)
    }

    /// The id of the static member of an instance.
    pub(crate) fn id_of_instance(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.by_instance.get(instance_id)
    }

    /// The static member of an instance.
    pub(crate) fn of_instance(&self, instance_id: &str) -> Option<&M> {
        self.by_id.get(self.id_of_instance(instance_id)?)
    }

    /// The member with this id, which has to be that of the instance if one is named.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
    pub(crate) fn known(
        &self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<&M, Refusal> {
        let unknown = |message| Refusal::new(ErrorCode::UnknownMemberId, message);
        let Some(instance_id) = instance_id else {
            return self
                .by_id
                .get(member_id)
                .ok_or_else(|| unknown(format!("Member {member_id} is not a member of group {group_id}.")));
        };
        let member = self
            .of_instance(instance_id)
            .ok_or_else(|| unknown(format!("Instance id {instance_id} is unknown.")))?;
        match member.id() {
            id if **id == *member_id => Ok(member),
            other => Err(Refusal::new(
                ErrorCode::FencedInstanceId,
                format!(
                    "Static member {member_id} with instance id {instance_id} was fenced by member {other}."
                ),
            )),
        }
    }

    /// Whether there is room for a member, which there is for one that is there, by its id or its instance, in any case.
    ///
    /// # Errors
    /// GROUP_MAX_SIZE_REACHED.
    pub(crate) fn check_room(
        &self,
        group_type: GroupType,
        limit: usize,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.by_id.len() < limit
            || self.by_id.contains_key(member_id)
            || instance_id.is_some_and(|instance_id| self.by_instance.contains_key(instance_id))
        {
            return Ok(());
        }
        let name = group_type.name();
        Err(Refusal::new(
            ErrorCode::GroupMaxSizeReached,
            format!("The {name} group has reached its maximum capacity of {limit} members."),
        ))
    }

    /// After a load, everybody is given a whole session, and all the time there is to give something up.
    pub(crate) fn schedule_timers(&self, group_id: &Arc<str>, session_timeout_ms: i64, ctx: &mut Ctx<'_>) {
        for (member_id, member) in &self.by_id {
            ctx.schedule(TimerKey::session(group_id, member_id), session_timeout_ms, Timer::Session);
            if let Some(timeout_ms) = member.revocation_timeout_ms() {
                ctx.schedule(
                    TimerKey::rebalance(group_id, member_id),
                    i64::from(timeout_ms),
                    Timer::Rebalance { member_epoch: member.epoch() },
                );
            }
        }
    }
}

/// Whether the epoch that a member of a group of this type says is its own. The one before is too, if it has nothing that it should not
/// have: the answer that said the new one may have been lost.
///
/// # Errors
/// FENCED_MEMBER_EPOCH.
pub(crate) fn check_epoch(
    group_type: GroupType,
    said: i32,
    (member_epoch, previous_member_epoch): (i32, i32),
    has_only_its_own: impl FnOnce() -> bool,
) -> Result<(), Refusal> {
    let word = match said {
        0 => return Ok(()),
        _ if said == member_epoch => return Ok(()),
        _ if said > member_epoch => "greater",
        _ if said == previous_member_epoch && has_only_its_own() => return Ok(()),
        _ => "smaller",
    };
    let name = group_type.name();
    Err(Refusal::new(
        ErrorCode::FencedMemberEpoch,
        format!(
            "The {name} group member has a {word} member epoch ({said}) than the one known by the group \
             coordinator ({member_epoch}). The member must abandon all its partitions and rejoin."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::StreamsGroupMember;

    fn member(id: &str, instance_id: Option<&str>) -> StreamsGroupMember {
        let instance_id = instance_id.map(str::to_owned);
        StreamsGroupMember { instance_id, ..StreamsGroupMember::new(Arc::from(id)) }
    }

    #[test]
    fn an_instance_is_the_member_that_came_last() {
        let mut members = Members::default();
        members.put(member("a", Some("i")));
        members.put(member("b", Some("i")));
        assert_eq!(members.id_of_instance("i").map(|id| &**id), Some("b"));
        let error = |found: Result<&StreamsGroupMember, Refusal>| found.unwrap_err().error;
        assert_eq!(error(members.known("g", "a", Some("i"))), ErrorCode::FencedInstanceId);
        assert_eq!(error(members.known("g", "b", Some("j"))), ErrorCode::UnknownMemberId);
        assert_eq!(error(members.known("g", "c", None)), ErrorCode::UnknownMemberId);
        // The one before goes without the one that has its place.
        members.remove("a");
        assert!(members.known("g", "b", Some("i")).is_ok());
        // A member that is no static one any more leaves its instance.
        members.put(member("b", None));
        assert!(members.of_instance("i").is_none() && members.known("g", "b", None).is_ok());
    }

    #[test]
    fn there_is_room_for_whoever_is_there() {
        let mut members = Members::default();
        members.put(member("a", Some("i")));
        let room = |members: &Members<_>, limit, id, instance_id| {
            members.check_room(GroupType::Streams, limit, id, instance_id).map_err(|refusal| refusal.message)
        };
        assert_eq!(room(&members, 2, "b", None), Ok(()));
        assert_eq!(room(&members, 1, "a", None), Ok(()));
        assert_eq!(room(&members, 1, "b", Some("i")), Ok(()));
        let refusal = "The streams group has reached its maximum capacity of 1 members.";
        assert_eq!(room(&members, 1, "b", Some("j")), Err(refusal.to_owned()));
    }
}
