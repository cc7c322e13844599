//! What time brings in each state: elections, resignations, and the requests that are due.

use super::*;

impl RaftNode {
    /// Does what is due, and notes when there is more to do.
    pub(super) fn poll_state(&mut self, now_ms: i64) -> Result<()> {
        // A state may bring the next at once, but not without end.
        for _ in 0..8 {
            let before = (self.quorum.state().name(), self.quorum.epoch());
            self.next_poll_ms = self.poll_current_state(now_ms)?;
            if before == (self.quorum.state().name(), self.quorum.epoch()) {
                break;
            }
        }
        self.next_poll_ms = self.next_poll_ms.max(now_ms.saturating_add(1));
        Ok(())
    }

    fn poll_current_state(&mut self, now_ms: i64) -> Result<i64> {
        match self.quorum.state() {
            EpochState::Leader(_) => self.poll_leader(now_ms),
            EpochState::Candidate(state) => {
                let deadline = state.election_deadline_ms();
                if deadline <= now_ms && !self.shutting_down {
                    tracing::info!("the election brought no majority in time");
                    self.become_prospective(now_ms)?;
                    return Ok(now_ms);
                }
                Ok(self.send_vote_requests(now_ms).min(self.unless_shutting_down(deadline)))
            }
            EpochState::Prospective(state) => {
                let deadline = state.election_deadline_ms();
                if deadline <= now_ms && !self.shutting_down {
                    tracing::info!("the pre-vote brought no majority in time");
                    self.give_up_pre_vote(now_ms);
                    return Ok(now_ms);
                }
                Ok(self.send_vote_requests(now_ms).min(self.unless_shutting_down(deadline)))
            }
            EpochState::Follower(_) => self.poll_follower(now_ms),
            EpochState::Unattached(state) => {
                let deadline = state.election_deadline_ms();
                if self.shutting_down {
                    return Ok(i64::MAX);
                }
                if deadline <= now_ms && self.is_voter() {
                    self.become_prospective(now_ms)?;
                    return Ok(now_ms);
                }
                let deadline = if self.is_voter() { deadline } else { i64::MAX };
                Ok(self.send_fetch_to_any_bootstrap(now_ms).min(deadline))
            }
            EpochState::Resigned(_) => Ok(self.poll_resigned(now_ms)),
        }
    }

    fn unless_shutting_down(&self, deadline_ms: i64) -> i64 {
        if self.shutting_down { i64::MAX } else { deadline_ms }
    }

    fn poll_leader(&mut self, now_ms: i64) -> Result<i64> {
        let Some(leader) = self.quorum.leader() else { return Ok(now_ms) };
        let (check_quorum_ms, begin_epoch_ms) =
            (leader.check_quorum_deadline_ms(), leader.begin_quorum_epoch_deadline_ms());
        let lost = check_quorum_ms <= now_ms;
        let going = self.shutting_down && !self.voters().is_only_voter(&self.local.key);
        if lost || going || leader.is_resign_requested() {
            if lost {
                tracing::info!("no majority of the voters has fetched in time; resigning");
            }
            self.become_resigned(now_ms);
            return Ok(now_ms);
        }
        let change_ms = self.expire_voter_change(now_ms);
        let mut next_ms = check_quorum_ms.min(change_ms).min(begin_epoch_ms);
        if begin_epoch_ms <= now_ms {
            let leader = self.quorum.leader_mut();
            let silent = leader.map(|leader| leader.take_need_begin_quorum_epoch(now_ms)).unwrap_or_default();
            for voter in silent {
                let (Some(to), leader_id) = (self.node_of(voter.id), self.local.key.id) else { continue };
                let request = QuorumRequest::BeginQuorumEpoch {
                    cluster_id: self.config.cluster_id.clone(),
                    voter: Some(voter),
                    leader_id,
                    epoch: self.quorum.epoch(),
                    leader_endpoints: self.local.endpoints.clone(),
                };
                self.send(to, now_ms, |_| request);
            }
            let leader = self.quorum.leader();
            next_ms = next_ms.max(leader.map_or(now_ms, |leader| leader.begin_quorum_epoch_deadline_ms()));
            next_ms = next_ms.min(check_quorum_ms).min(change_ms);
        }
        Ok(next_ms)
    }

    fn poll_resigned(&mut self, now_ms: i64) -> i64 {
        let EpochState::Resigned(state) = self.quorum.state() else { return now_ms };
        let deadline = state.election_deadline_ms();
        let epoch = state.epoch();
        let unacked: Vec<i32> = state.unacked_voters().iter().copied().collect();
        let preferred_candidates = state.preferred_successors().to_vec();
        let mut next_ms = i64::MAX;
        for voter_id in unacked {
            let Some(to) = self.node_of(voter_id) else { continue };
            let request = QuorumRequest::EndQuorumEpoch {
                cluster_id: self.config.cluster_id.clone(),
                leader_id: self.local.key.id,
                epoch,
                preferred_candidates: preferred_candidates.clone(),
                leader_endpoints: self.local.endpoints.clone(),
            };
            next_ms = next_ms.min(self.send(to, now_ms, |_| request));
        }
        if self.shutting_down {
            return next_ms;
        }
        if deadline <= now_ms {
            // The next epoch, so that nobody fetches from this replica as the leader of the old one.
            self.become_unattached(epoch.saturating_add(1), None, now_ms);
            return now_ms;
        }
        next_ms.min(deadline)
    }

    fn send_vote_requests(&mut self, now_ms: i64) -> i64 {
        let (election, pre_vote) = match self.quorum.state() {
            EpochState::Prospective(state) => (state.epoch_election(), true),
            EpochState::Candidate(state) => (state.epoch_election(), false),
            _ => return now_ms,
        };
        if election.is_vote_rejected() {
            return i64::MAX;
        }
        let mut next_ms = i64::MAX;
        for voter_id in election.unrecorded_voters() {
            let Some(voter) = self.voters().voter(voter_id).map(|voter| voter.key) else { continue };
            let Some(to) = self.node_of(voter_id) else { continue };
            let request = QuorumRequest::Vote {
                cluster_id: self.config.cluster_id.clone(),
                voter: Some(voter),
                epoch: self.quorum.epoch(),
                candidate: self.local.key,
                log_end: self.log_end(),
                pre_vote,
            };
            next_ms = next_ms.min(self.send(to, now_ms, |_| request));
        }
        next_ms
    }

    fn poll_follower(&mut self, now_ms: i64) -> Result<i64> {
        let is_voter = self.is_voter();
        let Some(follower) = self.quorum.follower_mut() else { return Ok(now_ms) };
        if self.shutting_down {
            return Ok(i64::MAX);
        }
        let fetch_deadline_ms = follower.fetch_deadline_ms();
        let voter_set_due = follower.update_voter_set_deadline_ms() <= now_ms;
        if is_voter && fetch_deadline_ms <= now_ms {
            tracing::info!("the leader has not answered in time");
            self.become_prospective(now_ms)?;
            return Ok(now_ms);
        }
        let deadline = if is_voter { fetch_deadline_ms } else { i64::MAX };
        if voter_set_due && let Some(request) = self.voter_set_request(is_voter) {
            let Some(leader) = self.leader_node() else { return Ok(deadline) };
            let until = self.send(leader, now_ms, |_| request);
            // In time for the next poll: sent, or busy with another.
            if until > now_ms
                && let Some(follower) = self.quorum.follower_mut()
            {
                follower.reset_update_voter_set_period(now_ms);
            }
            return Ok(until.min(deadline));
        }
        if voter_set_due && let Some(follower) = self.quorum.follower_mut() {
            follower.reset_update_voter_set_period(now_ms);
        }
        Ok(self.send_fetch_to_best_node(now_ms).min(deadline))
    }

    /// What this follower has to tell the leader of the voters: that it is another than the voter set says, or that it
    /// wants to be one (`controller.quorum.auto.join.enable`).
    fn voter_set_request(&mut self, is_voter: bool) -> Option<QuorumRequest> {
        let reconfigurable = self.kraft_version() > 0;
        let cluster_id = self.config.cluster_id.clone();
        let key = self.local.key;
        if is_voter {
            let told = self.quorum.follower_mut().is_some_and(|follower| follower.has_updated_leader());
            let needs =
                if reconfigurable { self.voters().voter_node_needs_update(&self.local) } else { !told };
            return needs.then(|| QuorumRequest::UpdateVoter {
                cluster_id,
                current_leader_epoch: self.quorum.epoch(),
                voter: Some(key),
                endpoints: self.local.endpoints.clone(),
                supported: self.local.supported_kraft_version,
            });
        }
        if !(reconfigurable && self.config.can_become_voter && self.config.quorum.auto_join) {
            return None;
        }
        // An older self with another directory goes first: its disk was lost.
        Some(match self.voters().voter(key.id).map(|voter| voter.key) {
            Some(older) => QuorumRequest::RemoveVoter { cluster_id, voter: Some(older) },
            None => QuorumRequest::AddVoter {
                cluster_id,
                timeout_ms: i32::try_from(self.config.quorum.request_timeout_ms).unwrap_or(i32::MAX),
                voter: Some(key),
                endpoints: self.local.endpoints.clone(),
                ack_when_committed: false,
            },
        })
    }

    /// Fetches from the leader; while it does not answer, from anybody who may know a better one.
    fn send_fetch_to_best_node(&mut self, now_ms: i64) -> i64 {
        let Some(leader) = self.leader_node() else { return self.send_fetch_to_any_bootstrap(now_ms) };
        if self.requests.has_request_timed_out(leader.id, now_ms) {
            self.requests.reset(leader.id);
            self.send_fetch_to_any_bootstrap(now_ms)
        } else if self.requests.is_backing_off(leader.id, now_ms) {
            let leader_ms = self.requests.busy_until(leader.id, now_ms).unwrap_or(now_ms);
            self.send_fetch_to_any_bootstrap(now_ms).min(leader_ms)
        } else if let Some(until) = self.requests.inflight_until(now_ms) {
            until
        } else {
            self.send(leader, now_ms, |node| node.fetch_request())
        }
    }

    fn send_fetch_to_any_bootstrap(&mut self, now_ms: i64) -> i64 {
        match self.requests.ready_bootstrap_server(now_ms, self.quorum.random()) {
            Some(node) => self.send(node, now_ms, |node| node.log_request()),
            None => self.requests.bootstrap_server_available_ms(now_ms),
        }
    }

    /// The next piece of the snapshot that is under way, or else of the log.
    fn fetch_request(&mut self) -> QuorumRequest {
        let download = self.quorum.follower_mut().and_then(|follower| follower.fetching_snapshot());
        let Some((snapshot_id, position)) =
            download.map(|download| (download.id(), download.size_in_bytes()))
        else {
            return self.log_request();
        };
        QuorumRequest::FetchSnapshot {
            cluster_id: self.config.cluster_id.clone(),
            replica: self.local.key,
            current_leader_epoch: self.quorum.epoch(),
            snapshot_id,
            position: i64::try_from(position).unwrap_or(i64::MAX),
            max_bytes: self.config.quorum.fetch_snapshot_max_bytes,
        }
    }

    fn log_request(&mut self) -> QuorumRequest {
        let log_end = self.log_end();
        QuorumRequest::Fetch {
            cluster_id: self.config.cluster_id.clone(),
            replica: self.local.key,
            current_leader_epoch: self.quorum.epoch(),
            fetch_offset: log_end.offset,
            last_fetched_epoch: log_end.epoch,
            high_watermark: self.high_watermark.unwrap_or(-1),
            max_bytes: self.config.quorum.fetch_max_bytes,
            max_wait_ms: MAX_FETCH_WAIT_MS,
        }
    }

    pub(super) fn node_of(&self, voter_id: i32) -> Option<QuorumNode> {
        self.voters().node(voter_id, &self.config.listener_name)
    }

    /// Sends unless the node is busy; gives until when it is.
    pub(super) fn send(
        &mut self,
        to: QuorumNode,
        now_ms: i64,
        request: impl FnOnce(&mut RaftNode) -> QuorumRequest,
    ) -> i64 {
        if let Some(until) = self.requests.busy_until(to.id, now_ms) {
            return until;
        }
        let request = request(self);
        let id = to.id;
        let correlation_id = self.requests.request_sent(id, now_ms);
        self.outputs.push(RaftOutput::Send { to, correlation_id, request });
        self.requests.busy_until(id, now_ms).unwrap_or(now_ms)
    }
}

/// How long a fetch waits on the leader, in milliseconds (`KafkaRaftClient.MAX_FETCH_WAIT_MS`).
const MAX_FETCH_WAIT_MS: i32 = 500;
