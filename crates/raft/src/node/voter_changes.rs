//! Changes of the voters, one at a time (KIP-853; `AddVoterHandler`, `RemoveVoterHandler`, `UpdateVoterHandler`).

use super::*;

/// What is being changed.
#[derive(Clone, Debug)]
enum Change {
    Add { voter: VoterNode, ack_when_committed: bool },
    Remove,
    Update { voter: VoterNode },
}

/// A change under way.
#[derive(Debug)]
pub(super) struct VoterChange {
    change: Change,
    /// Who waits for the answer; none: it is answered.
    token: Option<u64>,
    deadline_ms: i64,
    /// Where the new voters are in the log; none: the new voter is still asked for its versions.
    offset: Option<i64>,
}

impl Change {
    fn body(&self, error: ErrorCode, message: Option<String>) -> ResponseBody {
        let message = message.or_else(|| (error != ErrorCode::None).then(|| words(error).to_owned()));
        match self {
            Change::Add { .. } => ResponseBody::AddVoter { message },
            Change::Remove => ResponseBody::RemoveVoter { message },
            Change::Update { .. } => ResponseBody::UpdateVoter,
        }
    }
}

impl RaftNode {
    pub(super) fn handle_voter_change(
        &mut self,
        token: u64,
        request: QuorumRequest,
        now_ms: i64,
    ) -> Result<()> {
        match self.begin_voter_change(token, &request, now_ms) {
            Ok(()) => Ok(()),
            Err((error, message)) => {
                let mut body = ResponseBody::empty(&request);
                if let ResponseBody::AddVoter { message: text }
                | ResponseBody::RemoveVoter { message: text } = &mut body
                {
                    *text = Some(message.unwrap_or_else(|| words(error).to_owned()));
                }
                let refused = self.response(error, body);
                self.answer(token, refused);
                Ok(())
            }
        }
    }

    fn begin_voter_change(
        &mut self,
        token: u64,
        request: &QuorumRequest,
        now_ms: i64,
    ) -> std::result::Result<(), (ErrorCode, Option<String>)> {
        let invalid = |message: String| (ErrorCode::InvalidRequest, Some(message));
        match request {
            QuorumRequest::AddVoter { voter, endpoints, ack_when_committed, .. } => {
                self.check_leads(self.quorum.epoch())?;
                let no_voter = || invalid("Add voter request didn't include a valid voter".to_owned());
                let key = voter.filter(|voter| voter.directory_id.is_some()).ok_or_else(no_voter)?;
                let to = self.default_node(key.id, endpoints).ok_or_else(|| {
                    invalid(format!(
                        "Add voter request didn't include the endpoint ({endpoints:?}) for the default listener {}",
                        self.config.listener_name
                    ))
                })?;
                let voters = self.committed_voters("adding", now_ms)?;
                if voters.voter(key.id).is_some() {
                    let message = format!(
                        "The voter id for {key} is already part of the set of voters {}.",
                        names(&voters)
                    );
                    return Err((ErrorCode::DuplicateVoter, Some(message)));
                }
                let unknown = SupportedVersionRange { min: 0, max: 0 };
                let voter = VoterNode { key, endpoints: endpoints.clone(), supported_kraft_version: unknown };
                let change = Change::Add { voter, ack_when_committed: *ack_when_committed };
                self.ask_for_versions(token, to, change, now_ms)
            }
            QuorumRequest::RemoveVoter { voter, .. } => {
                self.check_leads(self.quorum.epoch())?;
                let no_voter = || invalid("Remove voter request didn't include a valid voter".to_owned());
                let key = voter.filter(|voter| voter.directory_id.is_some()).ok_or_else(no_voter)?;
                let voters = self.committed_voters("removing", now_ms)?;
                let Some(remaining) = voters.remove_voter(&key) else {
                    let message =
                        format!("Cannot remove voter {key} from the set of voters {}", names(&voters));
                    return Err((ErrorCode::VoterNotFound, Some(message)));
                };
                let offset = self.append_voters(remaining, now_ms)?;
                self.voter_change = Some(VoterChange {
                    change: Change::Remove,
                    token: Some(token),
                    deadline_ms: now_ms.saturating_add(self.config.quorum.request_timeout_ms),
                    offset: Some(offset),
                });
                Ok(())
            }
            QuorumRequest::UpdateVoter { voter, current_leader_epoch, endpoints, supported, .. } => {
                self.check_leads(*current_leader_epoch)?;
                let invalid = (ErrorCode::InvalidRequest, None);
                let key = voter.filter(|voter| voter.directory_id.is_some()).ok_or(invalid.clone())?;
                if supported.min < 0 || supported.max < supported.min {
                    return Err(invalid);
                }
                let timed_out = (ErrorCode::RequestTimedOut, None);
                self.expire_voter_change(now_ms);
                let committed = self.quorum.leader().and_then(|leader| leader.high_watermark());
                if self.voter_change.is_some() || committed.is_none() {
                    return Err(timed_out);
                }
                let to = self.default_node(key.id, endpoints).ok_or(invalid)?;
                let voter =
                    VoterNode { key, endpoints: endpoints.clone(), supported_kraft_version: *supported };
                self.ask_for_versions(token, to, Change::Update { voter }, now_ms)
            }
            _ => Err((ErrorCode::InvalidRequest, None)),
        }
    }

    fn check_leads(&self, epoch: i32) -> std::result::Result<(), (ErrorCode, Option<String>)> {
        match self.validate_leader_request(epoch) {
            Some(error) => Err((error, None)),
            None => Ok(()),
        }
    }

    fn default_node(&self, id: i32, endpoints: &[Endpoint]) -> Option<QuorumNode> {
        let endpoint = endpoint_of(endpoints, &self.config.listener_name)?;
        Some(QuorumNode { id, host: endpoint.host.clone(), port: endpoint.port })
    }

    /// The voters, if they may be changed now: the last change is committed.
    fn committed_voters(
        &mut self,
        doing: &str,
        now_ms: i64,
    ) -> std::result::Result<VoterSet, (ErrorCode, Option<String>)> {
        let timed_out =
            |text: &str| (ErrorCode::RequestTimedOut, Some(format!("Request timed out waiting for {text}")));
        self.expire_voter_change(now_ms);
        if self.voter_change.is_some() {
            return Err(timed_out("leader to handle previous voter change request"));
        }
        let Some(high_watermark) = self.quorum.leader().and_then(|leader| leader.high_watermark()) else {
            return Err(timed_out("leader to establish HWM and fence previous voter changes"));
        };
        let level = self.kraft_version();
        if level == 0 {
            let message =
                format!("Cluster doesn't support {doing} voter because the kraft.version feature is {level}");
            return Err((ErrorCode::UnsupportedVersion, Some(message)));
        }
        match self.control.last_voters_offset() {
            Some(offset) if offset < high_watermark => Ok(self.voters().clone()),
            offset => {
                let at = offset.map_or("no offset".to_owned(), |offset| offset.to_string());
                let text =
                    format!("voters to commit the latest voter change at {at} with HWM {high_watermark}");
                Err(timed_out(&text))
            }
        }
    }

    fn ask_for_versions(
        &mut self,
        token: u64,
        to: QuorumNode,
        change: Change,
        now_ms: i64,
    ) -> std::result::Result<(), (ErrorCode, Option<String>)> {
        if self.requests.busy_until(to.id, now_ms).is_some() {
            let message = format!("New voter {} is not ready to receive requests", to.id);
            return Err((ErrorCode::RequestTimedOut, Some(message)));
        }
        let deadline_ms = self.send(to, now_ms, |_| QuorumRequest::ApiVersions);
        self.voter_change = Some(VoterChange { change, token: Some(token), deadline_ms, offset: None });
        Ok(())
    }

    /// The new or changed voter says which kraft.version it supports.
    pub(super) fn handle_api_versions(
        &mut self,
        from: i32,
        error: ErrorCode,
        supported: Option<SupportedVersionRange>,
        now_ms: i64,
    ) -> Result<()> {
        let Some(pending) = self.voter_change.as_ref().filter(|pending| pending.offset.is_none()) else {
            return Ok(());
        };
        let change = pending.change.clone();
        let (Change::Add { voter, .. } | Change::Update { voter }) = &change else { return Ok(()) };
        if voter.key.id != from {
            return Ok(());
        }
        let level = self.kraft_version();
        let fits = supported.filter(|range| (range.min..=range.max).contains(&level));
        let what = format!("Aborted add voter operation for {}", voter.key);
        if error != ErrorCode::None {
            let message = format!("{what} since API_VERSIONS returned an error {error}");
            self.end_voter_change(ErrorCode::RequestTimedOut, Some(message));
            return Ok(());
        }
        match &change {
            Change::Add { voter, ack_when_committed } => {
                let Some(range) = fits else {
                    let (min, max) = supported.map_or((0, 0), |range| (range.min, range.max));
                    let message = format!(
                        "{what} since the kraft.version range (min: {min}, max: {max}) doesn't support the finalized version {level}"
                    );
                    self.end_voter_change(ErrorCode::InvalidRequest, Some(message));
                    return Ok(());
                };
                let caught_up = self
                    .quorum
                    .leader()
                    .is_some_and(|leader| leader.is_replica_caught_up(&voter.key, now_ms));
                if !caught_up {
                    let message = format!("{what} since it is lagging behind");
                    self.end_voter_change(ErrorCode::RequestTimedOut, Some(message));
                    return Ok(());
                }
                let voter = VoterNode { supported_kraft_version: range, ..voter.clone() };
                match self.voters().add_voter(voter) {
                    Some(voters) => self.store_voters(voters, !ack_when_committed, now_ms),
                    None => self.end_voter_change(ErrorCode::DuplicateVoter, None),
                }
            }
            Change::Update { voter } => {
                if supported != Some(voter.supported_kraft_version) || fits.is_none() {
                    self.end_voter_change(ErrorCode::InvalidRequest, None);
                    return Ok(());
                }
                self.update_voter(voter.clone(), now_ms);
            }
            Change::Remove => {}
        }
        Ok(())
    }

    fn update_voter(&mut self, voter: VoterNode, now_ms: i64) {
        let key = voter.key;
        if self.kraft_version() == 0 {
            // The log does not name the voters; the leader remembers for the day that kraft.version is raised.
            let Some(leader) = self.quorum.leader_mut() else { return };
            let known =
                leader.volatile_voters().and_then(|voters| voters.update_voter_ignoring_directory(voter));
            let error = if known.is_some() { ErrorCode::None } else { ErrorCode::VoterNotFound };
            if known.is_some() {
                leader.set_volatile_voters(known);
                leader.update_check_quorum(key, now_ms);
            }
            self.end_voter_change(error, None);
            return;
        }
        let high_watermark = self.quorum.leader().and_then(|leader| leader.high_watermark());
        if self.control.last_voters_offset().is_none_or(|offset| Some(offset) >= high_watermark) {
            self.end_voter_change(ErrorCode::RequestTimedOut, None);
            return;
        }
        match self.voters().update_voter(voter) {
            Some(voters) => {
                self.store_voters(voters, true, now_ms);
                if let Some(leader) = self.quorum.leader_mut() {
                    leader.update_check_quorum(key, now_ms);
                }
            }
            None => self.end_voter_change(ErrorCode::VoterNotFound, None),
        }
    }

    /// Appends the new voters for the change that is under way.
    fn store_voters(&mut self, voters: VoterSet, answer_now: bool, now_ms: i64) {
        match self.append_voters(voters, now_ms) {
            Ok(offset) => {
                let Some(pending) = &mut self.voter_change else { return };
                pending.offset = Some(offset);
                let body = pending.change.body(ErrorCode::None, None);
                let token = if answer_now { pending.token.take() } else { None };
                if let Some(token) = token {
                    let response = self.response(ErrorCode::None, body);
                    self.answer(token, response);
                }
            }
            Err((error, message)) => self.end_voter_change(error, message),
        }
    }

    fn append_voters(
        &mut self,
        voters: VoterSet,
        now_ms: i64,
    ) -> std::result::Result<i64, (ErrorCode, Option<String>)> {
        tracing::info!(voters = names(&voters), "the voters change");
        let epoch = self.quorum.epoch();
        self.append_control_records(&[ControlRecord::Voters(voters)], epoch, now_ms).map_err(|error| {
            tracing::error!("the new voters cannot be written: {error}");
            (ErrorCode::UnknownServerError, None)
        })
    }

    /// The high watermark moved: a change below it is done.
    pub(super) fn voter_change_committed(&mut self, high_watermark: i64) {
        let committed = |pending: &VoterChange| pending.offset.is_some_and(|offset| offset < high_watermark);
        if self.voter_change.as_ref().is_some_and(committed) {
            self.end_voter_change(ErrorCode::None, None);
        }
        let left = self.control.last_voters_offset().is_some_and(|offset| offset < high_watermark)
            && !self.is_voter();
        if left && let Some(leader) = self.quorum.leader_mut() {
            tracing::info!("this leader is no voter any more; resigning");
            leader.request_resign();
        }
    }

    /// Ends the change that is under way, if there is one, with an answer.
    pub(super) fn end_voter_change(&mut self, error: ErrorCode, message: Option<String>) {
        let Some(pending) = self.voter_change.take() else { return };
        if error != ErrorCode::None {
            tracing::info!(%error, message, "a change of the voters ended without effect");
        }
        if let Some(token) = pending.token {
            let response = self.response(error, pending.change.body(error, message));
            self.answer(token, response);
        }
    }

    /// Ends the change that took too long; gives when the present one does, in milliseconds.
    pub(super) fn expire_voter_change(&mut self, now_ms: i64) -> i64 {
        match &self.voter_change {
            Some(pending) if pending.deadline_ms <= now_ms => {
                self.end_voter_change(ErrorCode::RequestTimedOut, None);
                i64::MAX
            }
            Some(pending) => pending.deadline_ms,
            None => i64::MAX,
        }
    }

    /// The answer to this node's wish to join, or to have its older self removed.
    pub(super) fn handle_joined(&mut self, error: ErrorCode, message: Option<String>, now_ms: i64) -> bool {
        match error {
            ErrorCode::None
            | ErrorCode::RequestTimedOut
            | ErrorCode::DuplicateVoter
            | ErrorCode::VoterNotFound => {
                tracing::info!(%error, message, "the leader answered the wish to join the quorum");
                if let Some(follower) = self.quorum.follower_mut() {
                    follower.reset_update_voter_set_period(now_ms);
                }
                true
            }
            error => {
                tracing::error!(%error, message, "the leader refused the wish to join the quorum");
                false
            }
        }
    }

    /// A leader of a static quorum collects what its voters say of themselves.
    pub(super) fn begin_volatile_voters(&mut self) {
        if self.kraft_version() > 0 {
            return;
        }
        let voters = self.voters().update_voter_ignoring_directory(self.local.clone());
        if let Some(leader) = self.quorum.leader_mut() {
            leader.set_volatile_voters(voters);
        }
    }

    /// Whether kraft.version can be raised now, and if not why: this node must lead, and know of each voter that it
    /// supports more.
    pub fn can_upgrade_kraft_version(&self) -> std::result::Result<(), &'static str> {
        let Some(leader) = self.quorum.leader() else { return Err("this node does not lead the quorum") };
        let Some(voters) = leader.volatile_voters() else { return Err("its voters are in the log already") };
        let unknown = voters.voters().any(|voter| voter.key.directory_id.is_none());
        if unknown || !voters.supports_version(self.kraft_version() + 1) {
            return Err("not all of the voters support it");
        }
        Ok(())
    }

    /// Raises kraft.version to 1: from then on the log names the voters (`UpdateFeatures`). Gives the offset of the record;
    /// none if it is 1 already.
    ///
    /// Errors: this node does not lead `epoch`; a downgrade; see [`RaftNode::can_upgrade_kraft_version`].
    pub fn upgrade_kraft_version(&mut self, epoch: i32, level: i16, now_ms: i64) -> Result<Option<i64>> {
        let current = self.kraft_version();
        if self.quorum.leader().is_none_or(|leader| leader.epoch() != epoch) {
            let state = self.quorum.state().name();
            return Err(RaftError::NotLeader { given: epoch, current: self.quorum.epoch(), state });
        }
        if level == current {
            return Ok(None);
        }
        let refused = match self.can_upgrade_kraft_version() {
            _ if level < current => "the new version is a downgrade",
            _ if level > current + 1 => "there is no such version",
            Err(reason) => reason,
            Ok(()) => "",
        };
        let volatile = self.quorum.leader().and_then(|leader| leader.volatile_voters().cloned());
        let Some(voters) = volatile.filter(|_| refused.is_empty()) else {
            let text = format!(
                "Invalid upgrade of kraft.version from version {current} to {level} because {refused}"
            );
            return Err(RaftError::InvalidUpdateVersion(text));
        };
        let records = [ControlRecord::KRaftVersion(level), ControlRecord::Voters(voters)];
        let offset = self.append_control_records(&records, epoch, now_ms)?;
        if let Some(leader) = self.quorum.leader_mut() {
            leader.set_volatile_voters(None);
        }
        Ok(Some(offset))
    }
}

fn names(voters: &VoterSet) -> String {
    let names: Vec<String> = voters.voters().map(|voter| voter.key.to_string()).collect();
    format!("[{}]", names.join(", "))
}

/// Kafka's words for an error that comes without any of its own.
fn words(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::RequestTimedOut => "The request timed out.",
        ErrorCode::NotLeaderOrFollower => {
            "For requests intended only for the leader, this error indicates that the broker is not the current leader. For \
             requests intended for any replica, this error indicates that the broker is not a replica of the topic partition."
        }
        ErrorCode::BrokerNotAvailable => "The broker is not available.",
        ErrorCode::DuplicateVoter => "The voter is already part of the set of voters.",
        ErrorCode::VoterNotFound => "The voter is not part of the set of voters.",
        ErrorCode::UnknownServerError => {
            "The server experienced an unexpected error when processing the request."
        }
        _ => error.name(),
    }
}
