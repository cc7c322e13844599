//! What a leader does: appends, ISR, high watermark.

use std::sync::Arc;

use common::{ErrorCode, Uuid};
use metadata::{LeaderRecoveryState, PartitionRegistration};
use storage::{AppendError, AppendInfo, AppendOrigin};

use super::{Isolation, Partition, Role};
use crate::PartitionError;
use crate::leader::LeaderState;

/// What followed from something that happened to a partition. The caller tells those who care.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Moved {
    /// The high watermark is another. Fetches and writers that wait for it are woken already.
    pub high_watermark: bool,
    /// The controller is to be asked for [`Partition::proposed_isr`].
    pub isr_proposed: bool,
}

/// A change of the ISR, for `AlterPartition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedIsr {
    /// Goes back into [`Partition::on_altered`].
    pub id: u64,
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// The epoch in which this broker leads.
    pub leader_epoch: i32,
    /// The epoch of the state that is to be changed.
    pub partition_epoch: i32,
    /// The brokers and their epochs, -1 where a broker's is not known.
    pub isr: Vec<(i32, i64)>,
}

/// What the controller has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The ISR now.
    pub isr: Vec<i32>,
    /// Whether the leader still recovers.
    pub leader_recovery_state: LeaderRecoveryState,
    /// The partition's epoch now.
    pub partition_epoch: i32,
}

/// What is to be done after an answer of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum AlterPartitionOutcome {
    /// It is settled.
    Settled(Moved),
    /// The same is to be asked again.
    Retry,
}

impl Partition {
    /// Appends batches of a client or a coordinator. Where this is the only replica they are committed with that, unless
    /// `needs_flush` is set: then the caller syncs the log and calls [`Partition::synced`] before it acknowledges.
    pub fn append_as_leader(
        &self,
        records: &[u8],
        origin: AppendOrigin,
        acks_all: bool,
        now_ms: i64,
    ) -> Result<AppendInfo, PartitionError> {
        let leader_epoch = self.epoch_to_append_in(acks_all)?;
        let appended = self.append_to_log(records, leader_epoch, origin, now_ms)?;
        self.announce([&appended], now_ms);
        Ok(appended)
    }

    /// Appends each of `batches`, of clients, one behind the other, and says what became of each: what [`Partition::append_as_leader`]
    /// would have said. Together they cost less.
    pub fn append_each_as_leader(
        &self,
        batches: &[&[u8]],
        acks_all: bool,
        now_ms: i64,
    ) -> Vec<Result<AppendInfo, PartitionError>> {
        if let Some(appended) = self.append_together(batches, acks_all, now_ms) {
            return appended.into_iter().map(|appended| appended.map_err(PartitionError::from)).collect();
        }
        // Each is told why.
        let alone = |batch: &&[u8]| self.append_as_leader(batch, AppendOrigin::Client, acks_all, now_ms);
        batches.iter().map(alone).collect()
    }

    /// Nothing where none of them may be appended, or there is nothing to be had by it.
    fn append_together(
        &self,
        batches: &[&[u8]],
        acks_all: bool,
        now_ms: i64,
    ) -> Option<Vec<Result<AppendInfo, AppendError>>> {
        if batches.len() < 2 {
            return None;
        }
        let leader_epoch = self.epoch_to_append_in(acks_all).ok()?;
        let appended = self.log.load().append_each_as_leader(batches, leader_epoch, now_ms).ok()?;
        self.announce(appended.iter().flatten(), now_ms);
        Some(appended)
    }

    /// The epoch in which this broker leads, if enough replicas are in sync for `acks=all` where that is asked for.
    fn epoch_to_append_in(&self, acks_all: bool) -> Result<i32, PartitionError> {
        let registration = self.leader(-1)?;
        if acks_all {
            let required = self.required_in_sync(&registration);
            let in_sync = registration.isr.len();
            if in_sync < required {
                return Err(PartitionError::NotEnoughReplicas { in_sync, required });
            }
        }
        Ok(registration.leader_epoch)
    }

    /// Wakes those who wait for what was appended.
    fn announce<'i>(&self, appended: impl IntoIterator<Item = &'i AppendInfo>, now_ms: i64) {
        let (mut committed, mut written, mut advances) = (None, None, false);
        for info in appended {
            let bytes = info.valid_bytes as i64;
            if info.committed {
                *committed.get_or_insert(0) += bytes;
            } else if !info.duplicate {
                *written.get_or_insert(0) += bytes;
                advances |= !info.needs_flush;
            }
        }
        if let Some(bytes) = committed {
            self.committed_watchers.bytes_added(bytes);
        }
        if let Some(bytes) = written {
            self.log_end_watchers.bytes_added(bytes);
        }
        if advances {
            // Nobody else may be in sync, by now.
            self.advance_if_leader(now_ms);
        }
    }

    fn append_to_log(
        &self,
        records: &[u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        loop {
            let log = self.log.load();
            let result = log.append_as_leader(records, leader_epoch, origin, now_ms);
            if !matches!(result, Err(AppendError::FencedEpoch { .. })) || !self.was_replaced(&log) {
                return result;
            }
        }
    }

    /// What was appended lasts: it may be committed as far as this replica is concerned.
    pub fn synced(&self, appended: &AppendInfo, now_ms: i64) {
        let mut role = self.role.lock();
        let Role::Leader(state) = &mut *role else { return };
        let registration = self.registration.load();
        if registration.replicas.len() > 1 {
            self.advance(state, &registration, now_ms);
            return;
        }
        self.log.load().maybe_increment_high_watermark(appended.last_offset.saturating_add(1));
        self.committed_watchers.bytes_added(appended.valid_bytes as i64);
        self.commit_waiters.wake_up_to(self.log.load().high_watermark());
    }

    fn advance_if_leader(&self, now_ms: i64) -> bool {
        match &mut *self.role.lock() {
            Role::Leader(state) => self.advance(state, &self.registration.load(), now_ms),
            Role::Follower | Role::Closed => false,
        }
    }

    /// Moves the high watermark to where everybody is who counts, and wakes those who wait for it. It rests while fewer are in
    /// sync than `min.insync.replicas` asks for (KIP-966).
    pub(super) fn advance(
        &self,
        state: &mut LeaderState,
        registration: &PartitionRegistration,
        now_ms: i64,
    ) -> bool {
        if registration.isr.len() < self.required_in_sync(registration) {
            return false;
        }
        let log = self.log.load();
        let end = state.replicated_to(registration, log.log_end_offset_metadata(), &self.broker, now_ms);
        let Some(before) = log.maybe_increment_high_watermark(end.message_offset) else { return false };
        let known = state.high_watermark;
        let is_near = known.message_offset == before
            && known.segment_base_offset >= 0
            && known.segment_base_offset == end.segment_base_offset;
        let bytes = if is_near { end.relative_position - known.relative_position } else { i64::MAX };
        state.high_watermark = end;
        self.committed_watchers.bytes_added(bytes);
        self.log_end_watchers.news();
        self.commit_waiters.wake_up_to(end.message_offset);
        true
    }

    /// Whether the high watermark has reached an offset that was appended in `leader_epoch`.
    ///
    /// # Errors
    /// [`PartitionError::Offline`] and [`PartitionError::NotLeader`] where it never will under this leader, [`PartitionError::NotEnoughReplicasAfterAppend`]
    /// where it has, and too few replicas are in sync by now.
    pub fn is_committed(&self, leader_epoch: i32, offset: i64) -> Result<bool, PartitionError> {
        self.check_online()?;
        let role = self.role.lock();
        let Role::Leader(state) = &*role else { return Err(PartitionError::NotLeader) };
        if leader_epoch < state.led_since_epoch() {
            return Err(PartitionError::NotLeader);
        }
        if self.log.load().high_watermark() < offset {
            return Ok(false);
        }
        let registration = self.registration.load();
        let (in_sync, required) =
            (state.maximal_isr_size(&registration), self.required_in_sync(&registration));
        if in_sync < required {
            return Err(PartitionError::NotEnoughReplicasAfterAppend { in_sync, required });
        }
        Ok(true)
    }

    /// Takes followers out of the ISR that lag (`replica.lag.time.max.ms`).
    pub fn maybe_shrink_isr(&self, now_ms: i64) -> Moved {
        let registration = self.registration.load();
        if registration.isr.len() <= 1 || registration.leader != self.broker.node_id() || self.is_offline() {
            return Moved::default();
        }
        let mut role = self.role.lock();
        let Role::Leader(state) = &mut *role else { return Moved::default() };
        let registration = self.registration.load();
        let lagging =
            state.maybe_shrink(&registration, self.log.load().log_end_offset(), &self.broker, now_ms);
        if !lagging.is_empty() {
            tracing::info!(
                partition = %self.topic_partition, isr = ?registration.isr, ?lagging,
                high_watermark = self.log.load().high_watermark(), log_end_offset = self.log.load().log_end_offset(),
                "followers lag behind: the ISR is to shrink"
            );
        }
        Moved { high_watermark: false, isr_proposed: !lagging.is_empty() }
    }

    /// What the controller is to be asked for, if anything.
    pub fn proposed_isr(&self) -> Option<ProposedIsr> {
        if self.is_offline() {
            return None;
        }
        let role = self.role.lock();
        let Role::Leader(state) = &*role else { return None };
        let pending = state.pending()?;
        let registration = self.registration.load();
        Some(ProposedIsr {
            id: pending.id,
            topic_id: self.topic_id,
            partition: self.topic_partition.partition,
            leader_epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            isr: pending.isr.clone(),
        })
    }

    /// The controller has answered a proposal.
    pub fn on_altered(
        &self,
        proposal: u64,
        answer: Result<AlteredPartition, ErrorCode>,
        now_ms: i64,
    ) -> AlterPartitionOutcome {
        const SETTLED: AlterPartitionOutcome =
            AlterPartitionOutcome::Settled(Moved { high_watermark: false, isr_proposed: false });
        let mut role = self.role.lock();
        let Role::Leader(state) = &mut *role else { return SETTLED };
        if state.pending().is_none_or(|pending| pending.id != proposal) {
            return SETTLED;
        }
        let altered = match answer {
            Ok(altered) => altered,
            Err(error) => return self.on_not_altered(state, error),
        };
        let registration = self.registration.load_full();
        if altered.leader_epoch != registration.leader_epoch
            || altered.partition_epoch < registration.partition_epoch
        {
            // The metadata will say more.
            return SETTLED;
        }
        tracing::info!(
            partition = %self.topic_partition, isr = ?altered.isr, partition_epoch = altered.partition_epoch,
            "the ISR has changed"
        );
        let registration = Arc::new(PartitionRegistration {
            isr: altered.isr,
            leader_recovery_state: altered.leader_recovery_state,
            partition_epoch: altered.partition_epoch,
            ..PartitionRegistration::clone(&registration)
        });
        self.registration.store(Arc::clone(&registration));
        state.settle();
        // Who is in sync no longer asks to be taken back with each fetch.
        self.log_end_watchers.news();
        let high_watermark = self.advance(state, &registration, now_ms);
        AlterPartitionOutcome::Settled(Moved { high_watermark, isr_proposed: false })
    }

    fn on_not_altered(&self, state: &mut LeaderState, error: ErrorCode) -> AlterPartitionOutcome {
        let settled = AlterPartitionOutcome::Settled(Moved::default());
        match error {
            // It was refused for sure: nothing has changed.
            ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => {
                tracing::info!(partition = %self.topic_partition, %error, "the ISR stays as it is");
                state.settle();
                settled
            }
            // Somebody else has changed the partition, or will have. Until the metadata say what, both ISRs count.
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::NewLeaderElected => {
                tracing::info!(partition = %self.topic_partition, %error, "the ISR was not changed; waiting for newer metadata");
                settled
            }
            _ => AlterPartitionOutcome::Retry,
        }
    }

    /// Raises the log's start to `offset`, -1 for the high watermark. The offset that was meant.
    pub fn delete_records(&self, offset: i64) -> Result<i64, PartitionError> {
        self.leader(-1)?;
        let offset = if offset == -1 { self.log.load().high_watermark() } else { offset };
        if self.log.load().maybe_increment_log_start_offset(offset)? {
            // Followers need not wait for records to hear of it.
            self.log_end_watchers.wake_all();
            self.committed_watchers.news();
        }
        Ok(offset)
    }

    /// The smallest offset with which the log of a replica on a live broker begins: records below are gone everywhere.
    pub fn low_watermark(&self) -> Result<i64, PartitionError> {
        let own = self.log.load().log_start_offset();
        match &*self.role.lock() {
            Role::Leader(state) => Ok(state.low_watermark(own, &self.broker)),
            Role::Follower | Role::Closed => Err(PartitionError::NotLeader),
        }
    }

    /// The end of the log for whoever asks.
    pub fn end_for(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::LogEnd => self.log.load().log_end_offset(),
            Isolation::ReadUncommitted => self.log.load().high_watermark(),
            Isolation::ReadCommitted => self.log.load().last_stable_offset(),
        }
    }

    /// Whether what a client may see of the log ends in the epochs before this leader's: nobody knows yet what is committed, and
    /// a later answer must not be below an earlier leader's.
    pub fn is_behind_epoch(&self, isolation: Isolation) -> bool {
        match &*self.role.lock() {
            Role::Leader(state) => self.end_for(isolation) < state.epoch_start_offset(),
            Role::Follower | Role::Closed => false,
        }
    }

    /// The followers in sync from which a client can read an offset: broker, log end, and for how long it was not caught up.
    pub fn readable_followers(&self, offset: i64, now_ms: i64) -> Vec<(i32, i64, i64)> {
        match &*self.role.lock() {
            Role::Leader(state) => state.readable_at(&self.registration.load(), offset, now_ms).collect(),
            Role::Follower | Role::Closed => Vec::new(),
        }
    }
}
