//! What other nodes answer.

use super::*;
use crate::RequestFailure;

/// What the common part of an answer means for the rest.
enum Common {
    /// It was all there is.
    Handled(bool),
    /// Go on with the rest.
    GoOn,
}

impl RaftNode {
    /// Takes an answer. False: nothing could be gone on with, and the node is left alone for a moment.
    pub(super) fn handle_response(
        &mut self,
        from: i32,
        result: std::result::Result<QuorumResponse, RequestFailure>,
        now_ms: i64,
    ) -> Result<bool> {
        let response = match result {
            Ok(response) => response,
            Err(failure) => return self.handle_failure(from, failure, now_ms),
        };
        if response.top_level_error != ErrorCode::None {
            return self.handle_top_level_error(from, &response, now_ms);
        }
        let error = response.error;
        match response.body {
            ResponseBody::AddVoter { message } | ResponseBody::RemoveVoter { message } => {
                return Ok(self.handle_joined(error, message, now_ms));
            }
            ResponseBody::ApiVersions { kraft_version } => {
                self.handle_api_versions(from, error, kraft_version, now_ms)?;
                return Ok(error == ErrorCode::None);
            }
            _ => {}
        }
        if let Common::Handled(success) = self.handle_common(&response, now_ms) {
            return Ok(success);
        }
        match response.body {
            ResponseBody::Vote { granted } if error == ErrorCode::None => {
                self.handle_vote_response(from, granted, now_ms)?;
                Ok(true)
            }
            ResponseBody::BeginQuorumEpoch if error == ErrorCode::None => Ok(true),
            ResponseBody::EndQuorumEpoch if error == ErrorCode::None => {
                if let EpochState::Resigned(resigned) = self.quorum.state_mut() {
                    resigned.acknowledge_resignation(from);
                }
                Ok(true)
            }
            body @ ResponseBody::Fetch { .. } if error == ErrorCode::None => {
                if self
                    .quorum
                    .follower_mut()
                    .is_none_or(|follower| follower.leader_id() != response.leader.leader_id.unwrap_or(-1))
                {
                    return Ok(true);
                }
                self.handle_fetch_response(body, now_ms)
            }
            body @ ResponseBody::FetchSnapshot { .. } => {
                self.handle_fetch_snapshot_response(error, body, now_ms)
            }
            ResponseBody::UpdateVoter
                if error == ErrorCode::None || error == ErrorCode::UnsupportedVersion =>
            {
                if let Some(follower) = self.quorum.follower_mut() {
                    follower.set_has_updated_leader();
                    follower.reset_fetch_timeout(now_ms);
                }
                Ok(true)
            }
            ResponseBody::UpdateVoter if error == ErrorCode::RequestTimedOut => {
                // The leader takes one change at a time, and all its followers describe themselves when it is new.
                tracing::info!(
                    from,
                    "the leader has no time yet to hear of this voter; telling it again later"
                );
                Ok(false)
            }
            _ => {
                tracing::error!(from, %error, "another node of the quorum answers with an error");
                Ok(false)
            }
        }
    }

    /// No answer.
    fn handle_failure(&mut self, from: i32, failure: RequestFailure, now_ms: i64) -> Result<bool> {
        tracing::debug!(from, ?failure, "a node of the quorum does not answer");
        match failure {
            RequestFailure::UnsupportedVersion
                if matches!(self.quorum.state(), EpochState::Prospective(_)) =>
            {
                // A voter of before KIP-996 cannot be asked first.
                tracing::info!(from, "a voter does not know the pre-vote; standing for election without it");
                self.become_candidate(now_ms)?;
                return Ok(true);
            }
            RequestFailure::UnsupportedVersion if self.voter_change.is_some() => {
                self.handle_api_versions(from, ErrorCode::UnsupportedVersion, None, now_ms)?;
            }
            RequestFailure::Refused => self.leader_refused(from, now_ms),
            _ => {}
        }
        Ok(false)
    }

    /// Nobody listens where the leader did: its process is gone, and to wait for the fetch timeout would bring nothing.
    ///
    /// Divergence: Kafka waits. This begins a pre-vote only, which the voters refuse that still hear from the leader, so a
    /// leader that lives is not disturbed.
    fn leader_refused(&mut self, from: i32, now_ms: i64) {
        if !self.is_voter() {
            return;
        }
        // Time for the others to see the same; and all see it at the same moment, so each has a turn of its own, or two
        // would stand at once and none be elected.
        let timeout = self.config.quorum.election_timeout_ms;
        let local = self.local.key.id;
        let turn = self.voters().voter_ids().into_iter().filter(|id| *id != from && *id < local).count();
        let turn = i64::try_from(turn).unwrap_or(i64::MAX);
        let delay_ms = (timeout / 20).saturating_add(turn.saturating_mul(timeout / 8)).min(timeout)
            + self.quorum.random().below(timeout / 20);
        if let Some(follower) = self.quorum.follower_mut().filter(|follower| follower.leader_id() == from)
            && follower.leader_is_gone(now_ms.saturating_add(delay_ms))
        {
            tracing::info!(from, delay_ms, "nobody listens where the leader did");
            self.next_poll_ms = self.next_poll_ms.min(now_ms);
        }
    }

    fn handle_top_level_error(&mut self, from: i32, response: &QuorumResponse, now_ms: i64) -> Result<bool> {
        let error = response.top_level_error;
        if error == ErrorCode::UnsupportedVersion {
            return self.handle_failure(from, RequestFailure::UnsupportedVersion, now_ms);
        }
        if let ResponseBody::ApiVersions { .. } = response.body {
            self.handle_api_versions(from, error, None, now_ms)?;
        } else if error == ErrorCode::InconsistentClusterId {
            // It is asked again and again, as in Kafka: the other may be the one that is put right.
            if !std::mem::replace(&mut self.told_of_other_cluster, true) {
                let ours = self.config.cluster_id.as_deref();
                tracing::error!(
                    from,
                    cluster_id = ours,
                    "{error}: that node is of another cluster; either controller.quorum.voters (or .bootstrap.servers) leads to \
                     the wrong nodes, or the log directories here are those of another cluster"
                );
            }
        } else if error != ErrorCode::BrokerNotAvailable {
            tracing::error!(from, %error, "another node of the quorum answers with an error");
        }
        Ok(false)
    }

    /// What an answer says of epoch and leader.
    fn handle_common(&mut self, response: &QuorumResponse, now_ms: i64) -> Common {
        let known = self.quorum.leader_and_epoch();
        let LeaderAndEpoch { leader_id, epoch } = response.leader;
        let error = response.error;
        if epoch < known.epoch || error == ErrorCode::UnknownLeaderEpoch {
            return Common::Handled(true);
        }
        if epoch > super::elections::MAX_EPOCH {
            return Common::Handled(false);
        }
        let endpoints = response.leader_endpoints.clone();
        if epoch > known.epoch
            || matches!(error, ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower)
        {
            let consistent = self.maybe_transition(leader_id, epoch, endpoints, now_ms);
            // Who says only that it does not lead any more has nothing else to say for a moment.
            return Common::Handled(consistent && self.quorum.leader_and_epoch() != known);
        }
        if known.leader_id.is_none() && leader_id.is_some() {
            let consistent = self.maybe_transition(leader_id, epoch, endpoints, now_ms);
            if !consistent || error != ErrorCode::None {
                return Common::Handled(consistent);
            }
            return Common::GoOn;
        }
        match error {
            ErrorCode::BrokerNotAvailable => Common::Handled(false),
            ErrorCode::InvalidVoterKey => {
                tracing::info!("a voter was addressed that is another by now");
                Common::Handled(true)
            }
            _ => Common::GoOn,
        }
    }

    fn handle_vote_response(&mut self, from: i32, granted: bool, now_ms: i64) -> Result<()> {
        match self.quorum.state_mut() {
            EpochState::Prospective(state) => {
                state.epoch_election_mut().record_vote(from, granted);
                if state.epoch_election().is_vote_rejected() {
                    tracing::info!(from, "the pre-vote is lost");
                    self.give_up_pre_vote(now_ms);
                }
            }
            EpochState::Candidate(state) => {
                state.epoch_election_mut().record_vote(from, granted);
                if state.epoch_election().is_vote_rejected() {
                    self.lose_election(from, now_ms);
                }
            }
            _ => return Ok(()),
        }
        self.advance_election(now_ms)
    }

    /// A majority has voted for others, or for nobody: the votes were split.
    ///
    /// Divergence: Kafka waits for the rest of its election timeout before it asks again. This asks again soon, each at a time
    /// of its own: to ask is a pre-vote, and disturbs nobody who has been elected meanwhile.
    fn lose_election(&mut self, from: i32, now_ms: i64) {
        let timeout = self.config.quorum.election_timeout_ms;
        let delay_ms = timeout / 20 + self.quorum.random().below(timeout / 4);
        tracing::info!(from, delay_ms, "the election is lost");
        if let EpochState::Candidate(state) = self.quorum.state_mut() {
            state.ask_again_at(now_ms.saturating_add(delay_ms));
            self.next_poll_ms = self.next_poll_ms.min(now_ms);
        }
    }
}
