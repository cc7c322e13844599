//! The ways between the states of elections, and the requests that drive them: `Vote`, `BeginQuorumEpoch`,
//! `EndQuorumEpoch`.

use super::*;
use crate::core::Ballot;

/// No epoch of another node is taken for one that is later than this: there must always be a next one.
pub(super) const MAX_EPOCH: i32 = i32::MAX / 2;

impl RaftNode {
    /// Answers a request, at once or later.
    pub(super) fn handle_request(&mut self, token: u64, request: QuorumRequest, now_ms: i64) -> Result<()> {
        if let Some(refused) = self.refuse_cluster(&request) {
            self.answer(token, refused);
            return Ok(());
        }
        let empty = ResponseBody::empty(&request);
        let (error, body) = match request {
            QuorumRequest::Vote { voter, epoch, candidate, log_end, pre_vote, .. } => {
                self.handle_vote(voter, epoch, candidate, log_end, pre_vote, now_ms)
            }
            QuorumRequest::BeginQuorumEpoch { voter, leader_id, epoch, leader_endpoints, .. } => {
                let error = self.handle_begin_quorum_epoch(voter, leader_id, epoch, leader_endpoints, now_ms);
                (error, empty)
            }
            QuorumRequest::EndQuorumEpoch {
                leader_id,
                epoch,
                preferred_candidates,
                leader_endpoints,
                ..
            } => {
                let preferred = &preferred_candidates;
                let error =
                    self.handle_end_quorum_epoch(leader_id, epoch, preferred, leader_endpoints, now_ms);
                (error, empty)
            }
            QuorumRequest::Fetch { .. } => return self.handle_fetch(token, &request, now_ms),
            QuorumRequest::FetchSnapshot { .. } => self.handle_fetch_snapshot(&request, now_ms)?,
            QuorumRequest::ApiVersions => (ErrorCode::InvalidRequest, empty),
            QuorumRequest::AddVoter { .. }
            | QuorumRequest::RemoveVoter { .. }
            | QuorumRequest::UpdateVoter { .. } => {
                return self.handle_voter_change(token, request, now_ms);
            }
        };
        let response = self.response(error, body);
        self.answer(token, response);
        Ok(())
    }

    /// The refusal of a request of another cluster.
    fn refuse_cluster(&self, request: &QuorumRequest) -> Option<QuorumResponse> {
        let theirs = request.cluster_id()?;
        let ours = self.config.cluster_id.as_deref()?;
        if theirs == ours {
            return None;
        }
        let mut refused = QuorumResponse::top_level(request, ErrorCode::InconsistentClusterId);
        if let ResponseBody::AddVoter { message } | ResponseBody::RemoveVoter { message } = &mut refused.body
        {
            *message = Some(format!("The given id \"{theirs}\" doesn't match the cluster id \"{ours}\""));
        }
        Some(refused)
    }

    pub(super) fn answer(&mut self, token: u64, response: QuorumResponse) {
        self.outputs.push(RaftOutput::Answer { token, response });
    }

    /// An answer with what this node knows of the leader.
    pub(super) fn response(&self, error: ErrorCode, body: ResponseBody) -> QuorumResponse {
        QuorumResponse {
            top_level_error: ErrorCode::None,
            error,
            leader: self.quorum.leader_and_epoch(),
            leader_endpoints: self.leader_endpoints().to_vec(),
            body,
        }
    }

    fn handle_vote(
        &mut self,
        voter: Option<ReplicaKey>,
        epoch: i32,
        candidate: ReplicaKey,
        log_end: OffsetAndEpoch,
        pre_vote: bool,
        now_ms: i64,
    ) -> (ErrorCode, ResponseBody) {
        let refused = |error| (error, ResponseBody::Vote { granted: false });
        let is_illegal_epoch = if pre_vote { log_end.epoch > epoch } else { log_end.epoch >= epoch };
        if log_end.offset < 0 || log_end.epoch < 0 || is_illegal_epoch {
            tracing::info!(candidate = candidate.id, epoch, %log_end, pre_vote, "a vote is asked for with an illegal epoch");
            return refused(ErrorCode::InvalidRequest);
        }
        if let Some(error) = self.validate_voter_request(candidate.id, epoch) {
            return refused(error);
        }
        if epoch > self.quorum.epoch() {
            self.become_unattached(epoch, None, now_ms);
        }
        if !self.is_valid_voter_key(voter) {
            tracing::info!(?voter, local = %self.local.key, "a vote is asked of another replica than this one");
            return refused(ErrorCode::InvalidVoterKey);
        }
        let is_log_up_to_date = log_end >= self.log_end();
        let granted = candidate.id != self.local.key.id
            && self.quorum.can_grant_vote(Ballot { replica: candidate, is_log_up_to_date, pre_vote });
        if granted && !pre_vote && self.quorum.voted_key().is_none() {
            self.quorum.add_voted(candidate, self.control.last_voters(), now_ms);
            self.election_changed = true;
        }
        tracing::info!(candidate = candidate.id, epoch, %log_end, pre_vote, granted, "a vote is asked for");
        (ErrorCode::None, ResponseBody::Vote { granted })
    }

    fn handle_begin_quorum_epoch(
        &mut self,
        voter: Option<ReplicaKey>,
        leader_id: i32,
        epoch: i32,
        leader_endpoints: Vec<Endpoint>,
        now_ms: i64,
    ) -> ErrorCode {
        if let Some(error) = self.validate_voter_request(leader_id, epoch) {
            return error;
        }
        if !self.maybe_transition(Some(leader_id), epoch, leader_endpoints, now_ms) {
            return ErrorCode::InvalidRequest;
        }
        if !self.is_valid_voter_key(voter) {
            tracing::info!(?voter, local = %self.local.key, "a leader addresses another replica than this one");
            return ErrorCode::InvalidVoterKey;
        }
        ErrorCode::None
    }

    fn handle_end_quorum_epoch(
        &mut self,
        leader_id: i32,
        epoch: i32,
        preferred: &[ReplicaKey],
        leader_endpoints: Vec<Endpoint>,
        now_ms: i64,
    ) -> ErrorCode {
        if let Some(error) = self.validate_voter_request(leader_id, epoch) {
            return error;
        }
        if !self.maybe_transition(Some(leader_id), epoch, leader_endpoints, now_ms) {
            return ErrorCode::InvalidRequest;
        }
        let backoff_ms = self.end_epoch_election_backoff_ms(preferred);
        if let Some(follower) = self.quorum.follower_mut().filter(|state| state.leader_id() == leader_id) {
            follower.leader_goes(now_ms, backoff_ms);
            self.next_poll_ms = self.next_poll_ms.min(now_ms);
        }
        ErrorCode::None
    }

    /// The first of the preferred candidates stands at once, each later one waits twice as long as the one before.
    fn end_epoch_election_backoff_ms(&self, preferred: &[ReplicaKey]) -> i64 {
        let max = self.config.quorum.election_backoff_max_ms;
        let local = self.local.key;
        let is_local = |key: &ReplicaKey| {
            key.id == local.id && (key.directory_id.is_none() || key.directory_id == local.directory_id)
        };
        match preferred.iter().position(is_local) {
            Some(0) => 0,
            Some(position) => {
                let shift = u32::try_from(preferred.len() - 1).unwrap_or(u32::MAX).min(62);
                let base = max >> shift;
                let times = u32::try_from(position - 1).unwrap_or(u32::MAX).min(62);
                max.min(base.saturating_mul(1 << times))
            }
            None => max,
        }
    }

    fn validate_voter_request(&self, remote_id: i32, epoch: i32) -> Option<ErrorCode> {
        // Divergence: Kafka follows whoever names a later epoch. A leader that is all of its quorum knows that there is no
        // other: new voters come into being in its log. And no quorum has had so many elections in earnest.
        let leads_alone = self.quorum.leader().is_some() && self.voters().is_only_voter(&self.local.key);
        if epoch < self.quorum.epoch() {
            Some(ErrorCode::FencedLeaderEpoch)
        } else if remote_id < 0 || leads_alone || epoch > MAX_EPOCH {
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        }
    }

    /// What is wrong with a request that only the leader of `epoch` may serve.
    pub(super) fn validate_leader_request(&self, epoch: i32) -> Option<ErrorCode> {
        let current = self.quorum.epoch();
        if epoch < current {
            Some(ErrorCode::FencedLeaderEpoch)
        } else if epoch > current {
            Some(ErrorCode::UnknownLeaderEpoch)
        } else if self.quorum.leader().is_none() {
            Some(ErrorCode::NotLeaderOrFollower)
        } else if self.shutting_down {
            Some(ErrorCode::BrokerNotAvailable)
        } else {
            None
        }
    }

    fn is_valid_voter_key(&self, voter: Option<ReplicaKey>) -> bool {
        let local = self.local.key;
        voter.is_none_or(|voter| {
            voter.id == local.id && (voter.directory_id.is_none() || voter.directory_id == local.directory_id)
        })
    }

    /// Follows what another node says of epoch and leader, where it is news. False where it contradicts what is known: two
    /// leaders of one epoch, or this node as the leader of one that it does not lead.
    pub(super) fn maybe_transition(
        &mut self,
        leader_id: Option<i32>,
        epoch: i32,
        endpoints: Vec<Endpoint>,
        now_ms: i64,
    ) -> bool {
        let known = self.quorum.leader_and_epoch();
        if epoch < known.epoch {
            return true;
        }
        if leader_id == Some(self.local.key.id) && epoch > known.epoch {
            tracing::error!(
                epoch,
                known_epoch = known.epoch,
                "another node knows this one as the leader of an epoch that is not on its disk; it will not lead that epoch"
            );
            self.become_unattached(epoch, leader_id, now_ms);
            return true;
        }
        let is_consistent = match leader_id {
            Some(id) if id == self.local.key.id => known.leader_id == leader_id,
            Some(id) => epoch > known.epoch || known.leader_id.is_none_or(|known| known == id),
            None => true,
        };
        if !is_consistent {
            tracing::error!(
                leader_id,
                epoch,
                known_leader_id = known.leader_id,
                known_epoch = known.epoch,
                "another node contradicts what is known of the leader: do two nodes have the same node.id?"
            );
            return false;
        }
        let endpoints = match leader_id {
            Some(id) if endpoints.is_empty() => {
                self.voters().voter(id).map(|voter| voter.endpoints.clone()).unwrap_or_default()
            }
            _ => endpoints,
        };
        match leader_id.filter(|id| *id != self.local.key.id) {
            // A leader without an address cannot be followed: it is asked for until somebody knows.
            Some(_) if endpoints.is_empty() && epoch > known.epoch => {
                self.become_unattached(epoch, None, now_ms)
            }
            Some(id) if epoch > known.epoch => self.become_follower(epoch, id, endpoints, now_ms),
            Some(id)
                if !endpoints.is_empty()
                    && (known.leader_id.is_none() || endpoints.len() > self.leader_endpoints().len()) =>
            {
                self.become_follower(epoch, id, endpoints, now_ms);
            }
            None if leader_id.is_none() && epoch > known.epoch => self.become_unattached(epoch, None, now_ms),
            _ => {}
        }
        true
    }

    /// Every change of state: what was under way belongs to the state before.
    fn state_changed(&mut self, now_ms: i64) {
        self.election_changed = true;
        self.requests.reset_all();
        self.next_poll_ms = now_ms;
        if self.quorum.leader().is_none() {
            self.leave_leadership();
        }
    }

    /// Fetches and voter changes that wait belong to a leader.
    fn leave_leadership(&mut self) {
        let waiting: Vec<u64> = self.parked.drain(..).map(|parked| parked.token).collect();
        for token in waiting {
            let refused = self.response(ErrorCode::NotLeaderOrFollower, ResponseBody::empty_fetch());
            self.answer(token, refused);
        }
        self.end_voter_change(ErrorCode::NotLeaderOrFollower, None);
    }

    pub(super) fn become_unattached(&mut self, epoch: i32, leader_id: Option<i32>, now_ms: i64) {
        self.quorum.transition_to_unattached(epoch, leader_id, self.control.last_voters(), now_ms);
        self.leaders_high_watermark = None;
        self.state_changed(now_ms);
    }

    pub(super) fn become_follower(
        &mut self,
        epoch: i32,
        leader_id: i32,
        endpoints: Vec<Endpoint>,
        now_ms: i64,
    ) {
        self.quorum.transition_to_follower(epoch, leader_id, endpoints, now_ms);
        self.leaders_high_watermark = None;
        self.state_changed(now_ms);
    }

    pub(super) fn become_prospective(&mut self, now_ms: i64) -> Result<()> {
        self.quorum.transition_to_prospective(self.control.last_voters(), now_ms);
        self.state_changed(now_ms);
        self.advance_election(now_ms)
    }

    pub(super) fn become_candidate(&mut self, now_ms: i64) -> Result<()> {
        self.quorum.transition_to_candidate(self.control.last_voters(), now_ms);
        self.state_changed(now_ms);
        self.advance_election(now_ms)
    }

    pub(super) fn become_resigned(&mut self, now_ms: i64) {
        let successors =
            self.quorum.leader().map(|leader| leader.non_leader_voters_by_descending_fetch_offset());
        let successors = successors.unwrap_or_default();
        self.quorum.transition_to_resigned(successors, self.control.last_voters(), now_ms);
        self.state_changed(now_ms);
    }

    /// Goes on where a pre-vote or an election is won.
    pub(super) fn advance_election(&mut self, now_ms: i64) -> Result<()> {
        match self.quorum.state() {
            EpochState::Prospective(state) if state.epoch_election().is_vote_granted() => {
                self.become_candidate(now_ms)
            }
            EpochState::Candidate(state) if state.epoch_election().is_vote_granted() => {
                let granting_voters = state.epoch_election().granting_voters();
                let epoch = state.epoch();
                let end_offset = self.log.end_offset();
                self.quorum.transition_to_leader(end_offset, self.control.last_voters(), now_ms);
                self.leaders_high_watermark = None;
                self.state_changed(now_ms);
                self.begin_volatile_voters();
                self.begin_epoch(epoch, granting_voters, now_ms)
            }
            _ => Ok(()),
        }
    }

    /// Back from a pre-vote that was lost or took too long: to the leader, if one is known.
    pub(super) fn give_up_pre_vote(&mut self, now_ms: i64) {
        let LeaderAndEpoch { leader_id, epoch } = self.quorum.leader_and_epoch();
        let endpoints = self.quorum.remote_leader_endpoints().to_vec();
        match leader_id {
            Some(leader_id) if !endpoints.is_empty() && leader_id != self.local.key.id => {
                self.become_follower(epoch, leader_id, endpoints, now_ms);
            }
            _ => self.become_unattached(epoch, leader_id, now_ms),
        }
    }
}
