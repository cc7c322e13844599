//! StreamsGroupHeartbeat: a member says who it is, what it runs and which tasks it has, and hears which it should have. The
//! steps: the member; the topology; its topics; with these the group's epoch; the target assignment, if it is of an older
//! epoch; the member's way to its target.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::streams_group_heartbeat_request::Topology;
use protocol::messages::streams_group_heartbeat_response::{Status, TaskIds};
use protocol::messages::streams_group_member_metadata_value::Endpoint as StoredEndpoint;
use protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

use super::group::MemberTaskOffsets;
use super::reconcile::Reconciliation;
use super::record::GroupFacts;
use super::reported::Reported;
use super::request::task_offsets;
use super::target::{Computation, NUM_STANDBY_REPLICAS, RACK_AWARE_ASSIGNMENT_TAGS, Target};
use super::tasks::{Tasks, TasksTuple, to_ids};
use super::topics;
use super::topology::{AssignmentConfigs, StreamsTopology, to_record};
use super::{StatusCode, StreamsGroup, StreamsGroupMember, StreamsMemberState};
use crate::classic::ClassicGroupState;
use crate::config::StreamsGroupSettings;
use crate::consumer::{LEAVE_GROUP_MEMBER_EPOCH, LEAVE_GROUP_STATIC_MEMBER_EPOCH, Refusal, may_compute};
use crate::metrics::add;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, Group, GroupRecord, GroupResult, GroupShard, GroupType, RequestContext};

/// From this version on clients know what to do about missing tags (KAFKA-20744).
const FIRST_VERSION_WITH_MISSING_CLIENT_TAGS: i16 = 1;

/// An answer, and what is to be done for the group before it can begin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamsGroupHeartbeatResult {
    /// The answer.
    pub response: StreamsGroupHeartbeatResponse,
    /// The topics of the application that are to be created.
    pub internal_topics_to_create: Vec<CreatableTopic>,
}

impl From<StreamsGroupHeartbeatResponse> for StreamsGroupHeartbeatResult {
    fn from(response: StreamsGroupHeartbeatResponse) -> Self {
        StreamsGroupHeartbeatResult { response, internal_topics_to_create: Vec::new() }
    }
}

/// The member that sends a heartbeat, as it is before it.
struct Heartbeating {
    member: StreamsGroupMember,
    /// The static member whose place it takes.
    replaced: Option<Arc<str>>,
}

impl GroupShard {
    /// StreamsGroupHeartbeat, of a member that comes, stays or goes. The request was found valid.
    ///
    /// # Errors
    /// What the member hears.
    pub(crate) fn streams_group_heartbeat(
        &mut self,
        client: &RequestContext,
        request: StreamsGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<StreamsGroupHeartbeatResult>, Refusal> {
        if matches!(request.member_epoch, LEAVE_GROUP_MEMBER_EPOCH | LEAVE_GROUP_STATIC_MEMBER_EPOCH) {
            return self.streams_group_leave(&request, ctx);
        }
        if let Some(response) = self.settled_streams_heartbeat(client, &request, ctx) {
            #[cfg(test)]
            {
                let full = self.full_streams_heartbeat(client, request, ctx)?;
                let response = StreamsGroupHeartbeatResult::from(response);
                assert!(full.is_read(), "{:?}", full.records());
                return Ok(full.map(|full| {
                    assert_eq!(full, response);
                    full
                }));
            }
            #[cfg(not(test))]
            return Ok(GroupResult::read(response.into()));
        }
        self.full_streams_heartbeat(client, request, ctx)
    }

    /// The heartbeat with all its steps.
    fn full_streams_heartbeat(
        &mut self,
        client: &RequestContext,
        mut request: StreamsGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<StreamsGroupHeartbeatResult>, Refusal> {
        let env = Arc::clone(&self.env);
        let settings = env.streams_settings(&request.group_id);
        let joins = request.member_epoch == 0;
        let mut records = Vec::new();
        let mut made = None;
        let group = self.streams_group_for(&request.group_id, joins, &mut made, &mut records)?;
        let is_new = group.members.is_empty();
        if joins {
            let limit = env.config.group_streams_max_size;
            let instance_id = request.instance_id.as_deref();
            group.members.check_room(GroupType::Streams, limit, &request.member_id, instance_id)?;
        }
        let Heartbeating { member: before, replaced } = group.heartbeating_member(&request, &mut records)?;
        let mut status = Vec::new();

        // The member.
        let updated = updated_member(&before, client, &mut request);
        let mut bump = false;
        if updated != before {
            records.push(group.records().member(&updated));
            bump = request.instance_id.is_none() || before.differs_for_assignment(&updated);
        }

        // Its topology, and the topics of it.
        let topology = group.update_topology(request.topology.take(), &mut records)?;
        if let Some(known) = group.topology.as_ref().filter(|known| updated.topology_epoch < known.epoch) {
            status.push(say(
                StatusCode::StaleTopology,
                format!(
                    "The member's topology epoch {} is behind the group's topology epoch {}.",
                    updated.topology_epoch, known.epoch
                ),
            ));
        }
        let image = env.topics();
        let mut metadata_hash = group.metadata_hash;
        let mut configured = group.memory.configured.clone();
        if configured.is_none() || group.topology.is_none() || group.metadata_has_expired() {
            metadata_hash = StreamsGroup::compute_metadata_hash(&topology, &image);
            if metadata_hash != group.metadata_hash {
                bump = true;
                configured = None;
            }
        }
        let configured = match configured.filter(|_| group.topology.is_some()) {
            Some(configured) => configured,
            None => Arc::new(topics::configure(&topology, &*image.image)?),
        };
        let reported = Reported::new(&request);
        let mut validated_topology_epoch = -1;
        if configured.is_ready() {
            validated_topology_epoch = topology.epoch;
            reported.check(&configured)?;
        }
        let known_offsets = group.memory.task_offsets.get(&updated.member_id);
        let told = told_offsets(&mut request, known_offsets.map(|known| &**known))?;

        // The group's epoch.
        let configs = assignment_configs(&settings);
        bump |= validated_topology_epoch != group.validated_topology_epoch
            || configs != group.last_assignment_configs;
        let mut group_epoch = group.group_epoch;
        if bump {
            group_epoch = group_epoch.wrapping_add(1);
            let facts = GroupFacts {
                epoch: group_epoch,
                metadata_hash,
                validated_topology_epoch,
                assignment_configs: &configs,
            };
            records.push(group.records().group(group, &facts));
            tracing::info!("streams group {} is in epoch {group_epoch}", group.group_id);
            add(&env.counters.streams_rebalances, 1);
        }
        let delay = TimerKey::InitialRebalance(Arc::clone(&group.group_id));
        if is_new && settings.initial_rebalance_delay_ms > 0 && !ctx.timers.contains(&delay) {
            ctx.schedule(delay.clone(), settings.initial_rebalance_delay_ms, Timer::InitialRebalance);
        }

        // The target, and the member's way to it.
        let computation = Computation {
            group_epoch,
            configured: &configured,
            configs: &configs,
            updated: Some(&updated),
            replaced: replaced.as_deref(),
            told: told.as_deref(),
            now_ms: ctx.now_ms,
        };
        let is_delayed = ctx.timers.contains(&delay);
        let target = group.current_target(&computation, is_delayed, &settings, &mut status, &mut records);
        let member = group.reconcile(updated, &target, reported.tasks.as_ref(), ctx, &mut records)?;
        ctx.schedule(
            TimerKey::session(&group.group_id, &member.member_id),
            settings.session_timeout_ms,
            Timer::Session,
        );

        // The answer.
        let assignment_changed = before.assigned != member.assigned;
        let endpoint_changed = before.user_endpoint != member.user_endpoint;
        let mut endpoint_epoch = group.memory.endpoint_information_epoch;
        if endpoint_changed || (assignment_changed && member.user_endpoint.is_some()) {
            endpoint_epoch = endpoint_epoch.wrapping_add(1);
        }
        let mut response = StreamsGroupHeartbeatResponse {
            member_id: member.member_id.to_string(),
            member_epoch: member.member_epoch,
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
            task_offset_interval_ms: settings.task_offset_interval_ms,
            acceptable_recovery_lag: settings.acceptable_recovery_lag,
            ..Default::default()
        };
        // Divergence: Kafka tells a member its tasks once, so whose answer is lost does not hear of them until the next change.
        if joins || assignment_changed || reported.differs_from(&member) {
            response.active_tasks = Some(ids(&member.assigned.active_tasks()));
            response.standby_tasks = Some(ids(&member.assigned.standby));
            response.warmup_tasks = Some(ids(&member.assigned.warmup));
        }
        if endpoint_epoch != request.endpoint_information_epoch {
            let endpoints = group.endpoints(&member, replaced.as_deref(), &configured, &*image.image);
            response.partitions_by_user_endpoint = Some(endpoints);
        }
        let mut internal_topics_to_create = Vec::new();
        if let Some(problem) = &configured.problem {
            internal_topics_to_create.clone_from(&configured.internal_topics_to_create);
            status.push(say(problem.status, problem.message.clone()));
        }
        let group_id = Arc::clone(&group.group_id);
        if let Some(group) = self.groups.streams_mut(&group_id) {
            group.metadata_is_right_for(group_epoch);
            group.memory.configured = Some(configured);
            group.memory.endpoint_information_epoch = endpoint_epoch;
            if let Some(told) = told {
                group.memory.task_offsets.insert(Arc::clone(&member.member_id), told);
            }
            if request.shutdown_application {
                group.request_shutdown(&member.member_id);
            }
            response.endpoint_information_epoch = endpoint_epoch;
            status.extend(group.memory.shutdown_requested_by.as_ref().map(|by| {
                say(
                    StatusCode::ShutdownApplication,
                    format!(
                        "Streams group member {by} encountered a fatal error and requested a shutdown for the entire \
                         application."
                    ),
                )
            }));
        }
        if client.api_version >= FIRST_VERSION_WITH_MISSING_CLIENT_TAGS {
            status.extend(missing_client_tags(&member, &settings));
        }
        response.status = Some(status);
        Ok(GroupResult::new(records, StreamsGroupHeartbeatResult { response, internal_topics_to_create }))
    }

    /// The group of a heartbeat, which whoever joins may make.
    fn streams_group_for<'a>(
        &'a self,
        group_id: &str,
        joins: bool,
        made: &'a mut Option<StreamsGroup>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<&'a StreamsGroup, Refusal> {
        let not_found = |message| Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
        match self.groups.get(group_id) {
            Some(Group::Streams(group)) => Ok(group),
            Some(Group::Classic(classic)) if joins && classic.state() == ClassicGroupState::Empty => {
                records.push(GroupRecord::group_tombstone(group_id));
                Ok(made.insert(StreamsGroup::new(Arc::from(group_id))))
            }
            None if joins => Ok(made.insert(StreamsGroup::new(Arc::from(group_id)))),
            Some(_) => not_found(format!("Group {group_id} is not a streams group.")),
            None => not_found(format!("Streams group {group_id} not found.")),
        }
    }
}

impl StreamsGroup {
    /// The member that sends a heartbeat: a new one, the one it was, or the one whose place it takes.
    fn heartbeating_member(
        &self,
        request: &StreamsGroupHeartbeatRequest,
        records: &mut Vec<GroupRecord>,
    ) -> Result<Heartbeating, Refusal> {
        let joins = request.member_epoch == 0;
        let member_id: Arc<str> = Arc::from(request.member_id.as_str());
        let new_or_known = || {
            let known = self.members.get(&member_id).cloned();
            known.unwrap_or_else(|| StreamsGroupMember::new(Arc::clone(&member_id)))
        };
        let instance_id = request.instance_id.as_deref();
        if !joins {
            let member = self.members.known(&self.group_id, &member_id, instance_id)?;
            member.check_epoch(request)?;
            return Ok(Heartbeating { member: member.clone(), replaced: None });
        }
        let Some(instance_id) = instance_id else {
            return Ok(Heartbeating { member: new_or_known(), replaced: None });
        };
        let Some(existing) = self.members.of_instance(instance_id) else {
            return Ok(Heartbeating { member: new_or_known(), replaced: None });
        };
        if existing.member_epoch != LEAVE_GROUP_STATIC_MEMBER_EPOCH {
            return Err(Refusal::new(
                ErrorCode::UnreleasedInstanceId,
                format!(
                    "Static member {member_id} with instance id {instance_id} cannot join the group because the \
                     instance id is owned by {} member.",
                    existing.member_id
                ),
            ));
        }
        tracing::info!("{member_id} takes the place of {} in group {}", existing.member_id, self.group_id);
        let member = StreamsGroupMember {
            member_id: Arc::clone(&member_id),
            member_epoch: 0,
            previous_member_epoch: 0,
            ..existing.clone()
        };
        let make = self.records();
        // The timers of the one before stay: they do nothing when it is gone, and are needed if this cannot be written.
        make.remove_member(&existing.member_id, records);
        records.push(make.member(&member));
        records.push(make.target(&member_id, &self.target_of(&existing.member_id, None)));
        records.push(make.current(&member));
        let replaced = (existing.member_id != member_id).then(|| Arc::clone(&existing.member_id));
        Ok(Heartbeating { member, replaced })
    }

    /// The group's topology: the one it has, or the first member's.
    fn update_topology(
        &self,
        requested: Option<Topology>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<Arc<StreamsTopology>, Refusal> {
        match (requested, &self.topology) {
            (None, Some(known)) => Ok(Arc::clone(known)),
            (Some(requested), Some(known)) if known.epoch > requested.epoch => Ok(Arc::clone(known)),
            (Some(requested), Some(known)) => {
                // Kafka 4.4 takes no other topology for a group that has one, and says so in these words.
                if StreamsTopology::from_record(to_record(requested)) != **known {
                    return Err(Refusal::new(
                        ErrorCode::InvalidRequest,
                        "Topology updates are not supported yet.",
                    ));
                }
                Ok(Arc::clone(known))
            }
            (Some(requested), None) => {
                let value = to_record(requested);
                records.push(self.records().topology(Some(value.clone())));
                Ok(Arc::new(StreamsTopology::from_record(value)))
            }
            (None, None) => Err(Refusal::new(ErrorCode::UnknownServerError, "The group has no topology.")),
        }
    }

    /// The target that the member is to go to: a new one if the group's epoch is, and if it may be computed now.
    fn current_target(
        &self,
        how: &Computation<'_>,
        is_delayed: bool,
        settings: &StreamsGroupSettings,
        status: &mut Vec<Status>,
        records: &mut Vec<GroupRecord>,
    ) -> Target {
        let delayed = |by: &str| {
            say(StatusCode::AssignmentDelayed, format!("Assignment delayed due to the configured {by}."))
        };
        if is_delayed {
            status.push(delayed("initial rebalance delay"));
            return Target { epoch: self.assignment_epoch, tasks: Arc::default() };
        }
        let is_due = self.assignment_epoch < how.group_epoch;
        if is_due && may_compute(self.assignment_timestamp_ms, settings.assignment_interval_ms, how.now_ms) {
            return Target { epoch: how.group_epoch, tasks: self.compute_target(how, records) };
        }
        if is_due {
            status.push(delayed("assignment interval"));
        }
        let member_id = how.updated.map_or("", |member| &*member.member_id);
        Target { epoch: self.assignment_epoch, tasks: self.target_of(member_id, how.replaced) }
    }

    fn reconcile(
        &self,
        member: StreamsGroupMember,
        target: &Target,
        reported: Option<&TasksTuple>,
        ctx: &mut Ctx<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<StreamsGroupMember, Refusal> {
        if member.is_reconciled_to(target.epoch) {
            return Ok(member);
        }
        let reconciliation =
            Reconciliation { target_epoch: target.epoch, target: &target.tasks, group: self, reported };
        let next = reconciliation.next(&member)?;
        if next != member {
            records.push(self.records().current(&next));
            let key = TimerKey::rebalance(&self.group_id, &next.member_id);
            if next.state == StreamsMemberState::UnrevokedTasks {
                let timer = Timer::Rebalance { member_epoch: next.member_epoch };
                ctx.schedule(key, i64::from(next.rebalance_timeout_ms), timer);
            } else {
                ctx.cancel(&key);
            }
        }
        Ok(next)
    }
}

/// The member with what the heartbeat says of it.
fn updated_member(
    before: &StreamsGroupMember,
    client: &RequestContext,
    request: &mut StreamsGroupHeartbeatRequest,
) -> StreamsGroupMember {
    let mut updated = before.clone();
    if request.instance_id.is_some() {
        updated.instance_id.clone_from(&request.instance_id);
    }
    updated.rack_id = request.rack_id.take().or(updated.rack_id);
    if request.rebalance_timeout_ms != -1 {
        updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(topology) = &request.topology {
        updated.topology_epoch = topology.epoch;
    }
    if updated.client_id != client.client_id {
        updated.client_id.clone_from(&client.client_id);
    }
    if updated.client_host != client.client_host {
        updated.client_host.clone_from(&client.client_host);
    }
    if let Some(process_id) = request.process_id.take() {
        updated.process_id = process_id;
    }
    if let Some(tags) = request.client_tags.take() {
        let tags: BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        updated.client_tags = Arc::new(tags);
    }
    let endpoint = request.user_endpoint.take();
    let endpoint = endpoint.map(|endpoint| StoredEndpoint { host: endpoint.host, port: endpoint.port });
    // Who joins without one has none any more.
    if endpoint.is_some() || request.member_epoch == 0 {
        updated.user_endpoint = endpoint;
    }
    updated
}

/// What is known of the member's offsets after the heartbeat; none if it says nothing.
fn told_offsets(
    request: &mut StreamsGroupHeartbeatRequest,
    known: Option<&MemberTaskOffsets>,
) -> Result<Option<Arc<MemberTaskOffsets>>, Refusal> {
    let (offsets, end_offsets) = (request.task_offsets.take(), request.task_end_offsets.take());
    if offsets.is_none() && end_offsets.is_none() {
        return Ok(None);
    }
    let mut told = known.cloned().unwrap_or_default();
    if let Some(offsets) = offsets {
        told.offsets = task_offsets(offsets)?;
    }
    if let Some(end_offsets) = end_offsets {
        told.end_offsets = task_offsets(end_offsets)?;
    }
    Ok(Some(Arc::new(told)))
}

fn assignment_configs(settings: &StreamsGroupSettings) -> AssignmentConfigs {
    let mut configs = AssignmentConfigs::new();
    configs.insert(NUM_STANDBY_REPLICAS.to_owned(), settings.num_standby_replicas.to_string());
    if !settings.rack_aware_assignment_tags.is_empty() {
        let tags = settings.rack_aware_assignment_tags.join(",");
        configs.insert(RACK_AWARE_ASSIGNMENT_TAGS.to_owned(), tags);
    }
    configs
}

fn missing_client_tags(member: &StreamsGroupMember, settings: &StreamsGroupSettings) -> Option<Status> {
    let required = settings.rack_aware_assignment_tags.iter();
    let missing: Vec<&str> =
        required.map(|tag| tag.trim()).filter(|tag| !member.client_tags.contains_key(*tag)).collect();
    (!missing.is_empty()).then(|| {
        say(
            StatusCode::MissingClientTags,
            format!(
                "Missing required client tags for rack-aware standby assignment: [{}]. Configure them via \
                 'client.tag.<tagKey>' in your Streams config.",
                missing.join(", ")
            ),
        )
    })
}

fn say(code: StatusCode, detail: String) -> Status {
    Status { status_code: code as i8, status_detail: detail }
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    to_ids(tasks, |subtopology_id, partitions| TaskIds { subtopology_id, partitions })
}
