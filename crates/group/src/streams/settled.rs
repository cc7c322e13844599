//! The heartbeat of a member that says nothing new and has nothing to hear.

use protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

use super::target::NUM_STANDBY_REPLICAS;
use super::{StreamsGroup, StreamsGroupMember};
use crate::config::StreamsGroupSettings;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupShard, RequestContext};

impl GroupShard {
    /// Answers a heartbeat of a settled member: nearly all of them, and so without a copy of the member and a comparison of all
    /// that it is. What is not known to be one takes all steps.
    ///
    /// **Invariant:** all steps would come to the same, which the tests of this crate see to for each such heartbeat.
    pub(super) fn settled_streams_heartbeat(
        &self,
        client: &RequestContext,
        request: &StreamsGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Option<StreamsGroupHeartbeatResponse> {
        let group = self.groups.streams(&request.group_id)?;
        let settings = self.env.streams_settings(&request.group_id);
        let member = group.settled_member(client, request, &settings)?;
        let session = TimerKey::session(&group.group_id, &member.member_id);
        ctx.schedule(session, settings.session_timeout_ms, Timer::Session);
        Some(StreamsGroupHeartbeatResponse {
            member_id: member.member_id.to_string(),
            member_epoch: member.member_epoch,
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
            task_offset_interval_ms: settings.task_offset_interval_ms,
            acceptable_recovery_lag: settings.acceptable_recovery_lag,
            endpoint_information_epoch: group.memory.endpoint_information_epoch,
            status: Some(Vec::new()),
            ..Default::default()
        })
    }
}

impl StreamsGroup {
    /// The member of a heartbeat that says nothing new and to which there is nothing to say.
    pub(crate) fn settled_member(
        &self,
        client: &RequestContext,
        request: &StreamsGroupHeartbeatRequest,
        settings: &StreamsGroupSettings,
    ) -> Option<&StreamsGroupMember> {
        let says_nothing = request.instance_id.is_none()
            && request.rack_id.is_none()
            && request.rebalance_timeout_ms == -1
            && request.topology.is_none()
            && request.active_tasks.is_none()
            && request.standby_tasks.is_none()
            && request.warmup_tasks.is_none()
            && request.process_id.is_none()
            && request.user_endpoint.is_none()
            && request.client_tags.is_none()
            && request.task_offsets.is_none()
            && request.task_end_offsets.is_none()
            && !request.shutdown_application;
        let member = self.members.get(request.member_id.as_str())?;
        let is_known = request.member_epoch > 0
            && request.member_epoch == member.member_epoch
            && member.client_id == client.client_id
            && member.client_host == client.client_host;
        let (topology, configured) = (self.topology.as_ref()?, self.memory.configured.as_ref()?);
        let is_ready = configured.is_ready()
            && configured.problem.is_none()
            && topology.epoch == self.validated_topology_epoch
            && topology.epoch <= member.topology_epoch
            && !self.metadata_has_expired();
        let is_settled = self.assignment_epoch == self.group_epoch
            && member.is_reconciled_to(self.assignment_epoch)
            && self.has_settings(settings);
        let has_nothing_to_hear = self.memory.shutdown_requested_by.is_none()
            && self.memory.endpoint_information_epoch == request.endpoint_information_epoch;
        (says_nothing && is_known && is_ready && is_settled && has_nothing_to_hear).then_some(member)
    }

    /// Whether the group's assignment is one by these settings; not known where tags have to be there.
    fn has_settings(&self, settings: &StreamsGroupSettings) -> bool {
        let replicas = self.last_assignment_configs.get(NUM_STANDBY_REPLICAS);
        settings.rack_aware_assignment_tags.is_empty()
            && self.last_assignment_configs.len() == 1
            && replicas.and_then(|number| number.parse().ok()) == Some(settings.num_standby_replicas)
    }
}
