//! What a node does when something arrives, or its time has come.

use raft::{QuorumRequest, QuorumResponse, RaftInput, RaftOutput, ResponseBody, SupportedVersionRange};
use replica::NextFetch;

use super::broker::Broker;
use super::messages::{Ask, ControllerAsk, ControllerTold, Told};
use super::node::{Process, Publication, node_of};
use super::{Call, Event, World};
use crate::planted::Planted;

/// How long a fetch is waited for, in ms.
const FETCH_PATIENCE_MS: i64 = 1_500;
/// How long a follower rests that got nothing, in ms: as if its leader had held the fetch back.
const REST_MS: i64 = 250;

impl World {
    /// A request of the quorum arrives.
    pub(super) fn quorum_asks(
        &mut self,
        number: u64,
        id: i32,
        mut request: QuorumRequest,
    ) -> Result<(), String> {
        if matches!(request, QuorumRequest::ApiVersions) {
            let mut response = QuorumResponse::top_level(&request, common::ErrorCode::None);
            response.body =
                ResponseBody::ApiVersions { kraft_version: Some(SupportedVersionRange::KRAFT_VERSION) };
            self.answer(number, Told::Quorum(Ok(response)));
            return Ok(());
        }
        let Some(process) = self.nodes.get(&id).and_then(|node| node.process.as_ref()) else { return Ok(()) };
        if self.planted == Some(Planted::ObserverCounts)
            && let QuorumRequest::Fetch { replica, .. } = &mut request
        {
            let voters = process.metadata.raft().voters();
            if !voters.is_voter(replica)
                && let Some(voter) = voters.voters().find(|voter| voter.key.id != id)
            {
                *replica = voter.key;
            }
        }
        self.raft_takes(id, RaftInput::Request { token: number, request })
    }

    fn raft_takes(&mut self, id: i32, input: RaftInput) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let Some(process) = &mut node.process else { return Ok(()) };
        match process.metadata.raft_mut().handle(input, clock_ms) {
            Ok(()) => self.step(id),
            Err(error) => self.down(id, &error),
        }
    }

    /// A request of the controller arrives.
    pub(super) fn decide(&mut self, number: u64, id: i32, ask: &ControllerAsk) -> Result<(), String> {
        let (seed, planted) = (self.random.next_u64(), self.planted);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let Some(process) = &mut node.process else { return Ok(()) };
        let image = process.metadata.image().clone();
        let decision = process.metadata.run(
            ask.api_version(),
            |controller, context| {
                let mut result = ask.decide(controller, context);
                if let Some(planted) = planted {
                    planted.decided(&mut result, &image);
                }
                result
            },
            seed,
            clock_ms,
        );
        match decision {
            Ok(controller::Decision::Decided { response, .. }) => {
                if planted == Some(Planted::IsrBeforeCommit) && matches!(response, ControllerTold::Altered(_))
                {
                    self.answer(number, Told::Controller(response));
                } else {
                    process.metadata.answer_once_committed((number, Box::new(response)));
                }
                self.step(id)
            }
            Ok(controller::Decision::NotActive | controller::Decision::Refused) => {
                self.answer(number, Told::Controller(ControllerTold::NotController));
                Ok(())
            }
            Err(error) => self.down(id, &error),
        }
    }

    /// Lets the metadata of a node go on, and sends what it has to say.
    pub(super) fn step(&mut self, id: i32) -> Result<(), String> {
        let mut ends = self.metadata_ends();
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let Some(process) = &mut node.process else { return Ok(()) };
        let mut lost = Vec::new();
        let known = process.publications.len();
        let done = work(process, &mut self.random, &mut lost, clock_ms);
        let outputs = match done {
            Ok(outputs) => outputs,
            Err(error) => return self.down(id, &error),
        };
        ends.insert(id, process.metadata.raft().log_end_offset());
        let led = std::mem::replace(&mut process.leads, process.metadata.raft().is_leader());
        if led || process.leads {
            self.checker.commits.look_at(id, process.metadata.raft(), &ends)?;
        }
        if process.metadata.raft().is_leader() {
            self.checker.controls(id, process.metadata.raft().leader_and_epoch().epoch)?;
        }
        for publication in process.publications.iter().skip(known) {
            if let Publication::Update(update) = publication {
                self.checker.is_at(id, update, |of, leader, epoch, isr| {
                    let what = format_args!("{leader} leads {of:?} in epoch {epoch} of {isr:?}");
                    self.trace.note(self.now_ms, what);
                })?;
            }
        }
        let wake_ms = process.metadata.next_event_ms();
        if wake_ms < i64::MAX {
            let at_ms = node.machine.clock.when(wake_ms).max(self.now_ms + 1);
            self.schedule.at(at_ms, Event::Wake { node: id, incarnation: node.incarnation });
        }
        node.machine.takes_its_time(self.now_ms);
        for (number, _) in lost {
            self.answer(number, Told::Controller(ControllerTold::NotController));
        }
        for output in outputs {
            self.send(id, output);
        }
        // What new metadata bring may take a while.
        if self.random.chance(85) { self.publish(id) } else { Ok(()) }
    }

    fn send(&mut self, id: i32, output: RaftOutput) {
        match output {
            RaftOutput::Send { to, correlation_id, request } => {
                let node = node_of(&to.host);
                self.ask(id, node, Some((to.id, correlation_id)), Ask::Quorum(request));
            }
            RaftOutput::Answer { token, mut response } => {
                self.plant_answer(&mut response);
                self.answer(token, Told::Quorum(Ok(response)));
            }
        }
    }

    /// The broker of a node acts on the metadata that wait, and answers leave that waited for that.
    pub(super) fn publish(&mut self, id: i32) -> Result<(), String> {
        let planted = self.planted;
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let Some(process) = &mut node.process else { return Ok(()) };
        let mut released = Vec::new();
        for publication in process.publications.drain(..) {
            match (publication, &mut process.broker) {
                (Publication::Update(update), Some(broker)) => {
                    let misses = planted == Some(Planted::MissedMetadata) && update.image.offset() % 16 == 5;
                    if !misses {
                        broker.publish(&update, clock_ms);
                    }
                }
                (Publication::Update(_), None) => {}
                (Publication::Release(waiting), _) => released.push(waiting),
            }
        }
        if process.broker.is_none() {
            let image = process.metadata.image().clone();
            let end = process.metadata.raft().leaders_high_watermark();
            let has_all = end.is_some_and(|end| process.metadata.last_read_offset() + 1 >= end);
            if has_all && image.features.metadata_version().is_some() {
                match Broker::start(node, &self.plan, &image, planted, clock_ms) {
                    Ok(broker) => {
                        let Some(process) = &mut node.process else { return Ok(()) };
                        process.broker = Some(broker);
                    }
                    Err(error) => return self.down(id, &error),
                }
                let event = Event::Tick { node: id, incarnation: node.incarnation };
                self.schedule.at(self.now_ms + 1, event);
            }
        }
        for (number, told) in released {
            self.answer(number, Told::Controller(*told));
        }
        self.afterwards(id)
    }

    /// Whatever a broker has done: those who wait learn of it, and what must hold is looked at.
    pub(super) fn afterwards(&mut self, id: i32) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        node.machine.takes_its_time(self.now_ms);
        let Some(broker) = node.process.as_mut().and_then(|process| process.broker.as_mut()) else {
            return Ok(());
        };
        if broker.has_failed() || node.machine.disk.is_halted() {
            return self.down(id, &"its log directory has failed");
        }
        broker.tell_committed(clock_ms);
        // What a disk lost counts again when the controllers say that it is in sync.
        if self.suspect != Some(id) {
            self.checker.look_at(broker)?;
        }
        let acknowledged = broker.acknowledged();
        for (number, partition, told) in acknowledged {
            if let Told::Produced(Ok(last_offset)) = told {
                self.is_acknowledged(id, &partition, last_offset)?;
            }
            self.answer(number, told);
        }
        let answers = std::mem::take(&mut *self.answers.lock());
        for (number, told) in answers {
            self.coordinator_answers(id, number, told)?;
        }
        Ok(())
    }

    pub(super) fn wake(&mut self, id: i32, incarnation: u64) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let Some(process) = node.process.as_ref().filter(|_| node.incarnation == incarnation) else {
            return Ok(());
        };
        if let Some(at_ms) = node.machine.busy_until(self.now_ms) {
            self.schedule.at(at_ms, Event::Wake { node: id, incarnation });
            return Ok(());
        }
        // Only if that is still its time: each step plans the next.
        if process.metadata.next_event_ms() > node.machine.clock_ms(self.now_ms) {
            return Ok(());
        }
        self.step(id)
    }

    /// The broker does what is due.
    pub(super) fn tick(&mut self, id: i32, incarnation: u64) -> Result<(), String> {
        let next_ms = self.now_ms + 20 + self.random.below(20) as i64;
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.incarnation == incarnation) else {
            return Ok(());
        };
        let busy_until_ms = node.machine.busy_until(self.now_ms);
        let at_ms = next_ms.max(busy_until_ms.unwrap_or(0));
        self.schedule.at(at_ms, Event::Tick { node: id, incarnation });
        if busy_until_ms.is_some() {
            return Ok(());
        }
        self.publish(id)?;
        let keeps_house = self.random.chance(2);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let directory_id = node.directory_id;
        let Some(Process { metadata, life, broker: Some(broker), .. }) = &mut node.process else {
            return Ok(());
        };
        let controller = metadata.raft().leader_and_epoch().leader_id;
        for partition in broker.partitions().into_values() {
            let _ = partition.maybe_shrink_isr(clock_ms);
        }
        broker.groups.expire(clock_ms);
        if keeps_house {
            broker.follows_its_image()?;
            if !broker.housekeeping(clock_ms) {
                return self.down(id, &"its checkpoints cannot be written");
            }
        }
        let asks = [life.beat(broker, directory_id, clock_ms), life.changes(broker, clock_ms)];
        for ask in asks.into_iter().flatten() {
            let Some(controller) = controller else { break };
            let number = self.ask(id, controller, None, Ask::Controller(ask.clone()));
            if let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) {
                process.life.asked(&ask, number, clock_ms);
            }
        }
        self.fetch(id);
        self.afterwards(id)
    }

    /// Followers on a node send their next fetches.
    pub(super) fn fetch(&mut self, id: i32) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.machine.busy_until(self.now_ms).is_some() {
            return;
        }
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let Some(Process { life, broker: Some(broker), .. }) = &mut node.process else { return };
        if !life.is_registered {
            return;
        }
        let mut asks = Vec::new();
        for (leader, of) in &mut broker.fetchers {
            if let Some((_, sent_ms)) = of.asked {
                if clock_ms < sent_ms + FETCH_PATIENCE_MS {
                    continue;
                }
                of.asked = None;
                of.looking = None;
                of.fetcher.on_failure(clock_ms);
            }
            if clock_ms < of.rests_until_ms {
                continue;
            }
            if let Some(lookup) = of.fetcher.lookup() {
                of.looking = Some(lookup.clone());
                asks.push((*leader, Ask::Lookup(lookup)));
            } else if let NextFetch::Request(request) = of.fetcher.next(&|_| false, clock_ms) {
                asks.push((*leader, Ask::Fetch(request)));
            }
        }
        for (leader, ask) in asks {
            let number = self.ask(id, leader, None, ask);
            let process = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut());
            let broker = process.and_then(|process| process.broker.as_mut());
            if let Some(of) = broker.and_then(|broker| broker.fetchers.get_mut(&leader)) {
                of.asked = Some((number, clock_ms));
            }
        }
    }

    /// A request to a broker arrives.
    pub(super) fn serve(&mut self, number: u64, call: &Call, ask: Ask) -> Result<(), String> {
        let id = call.to;
        // Whoever has given up has closed its connection.
        let is_fetch = matches!(ask, Ask::Fetch(_) | Ask::Lookup(_));
        if !self.is_waited_for(call.from, number) || (is_fetch && !self.follower_waits(call, number)) {
            return Ok(());
        }
        let answers = std::sync::Arc::clone(&self.answers);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let life = (node.incarnation as i32) * 16 + id + 1;
        let Some(Process { life: registered, broker: Some(broker), .. }) = &mut node.process else {
            return Ok(());
        };
        if !registered.serves(broker) {
            // It lets nobody in yet, and those who come try again.
            self.schedule.at(self.now_ms + 40, Event::Ask { number, ask: Box::new(ask) });
            return Ok(());
        }
        match ask {
            Ask::Fetch(request) => {
                let fetched = broker.fetch(&request, life, clock_ms);
                self.answer(number, Told::Fetched(fetched));
            }
            Ask::Lookup(request) => {
                let response = broker.lookup(&request);
                self.answer(number, Told::Lookup(Some(response)));
            }
            Ask::Produce { to, bytes } => {
                match broker.produce(number, &to, &bytes, clock_ms) {
                    Ok(appended) => {
                        let (offset, again) = (appended.last_offset, appended.duplicate);
                        self.trace.note(
                            self.now_ms,
                            format_args!("{id} has {} at {offset} of {to:?}, again: {again}", call.from),
                        );
                    }
                    Err(error) => self.answer(number, Told::Produced(Err(error))),
                }
                self.wake_followers(id);
            }
            Ask::Commit { group, offset } => {
                broker.commit(number, &group, offset, &answers, clock_ms);
                self.wake_followers(id);
            }
            Ask::CommittedOffset { group } => broker.committed_offset(number, &group, &answers, clock_ms),
            Ask::Quorum(_) | Ask::Controller(_) => {}
        }
        self.afterwards(id)
    }

    /// Whether a follower still waits for an answer of its leader.
    fn follower_waits(&self, call: &Call, number: u64) -> bool {
        let process = self.nodes.get(&call.from).and_then(|node| node.process.as_ref());
        let fetchers = process.and_then(|process| process.broker.as_ref()).map(|broker| &broker.fetchers);
        let asked = fetchers.and_then(|fetchers| fetchers.get(&call.to)).and_then(|of| of.asked);
        asked.is_some_and(|(asked, _)| asked == number)
    }

    /// Fetches that a leader has held back are answered now that there is something.
    fn wake_followers(&mut self, leader: i32) {
        let ids: Vec<i32> = self.nodes.keys().copied().filter(|id| *id != leader).collect();
        for id in ids {
            let process = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut());
            let broker = process.and_then(|process| process.broker.as_mut());
            let Some(of) = broker.and_then(|broker| broker.fetchers.get_mut(&leader)) else { continue };
            if of.rests_until_ms > 0 && !self.network.is_cut(leader, id) {
                of.rests_until_ms = 0;
                self.fetch(id);
            }
        }
    }

    /// A node hears an answer.
    pub(super) fn node_hears(&mut self, id: i32, number: u64, call: &Call, told: Told) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let Some(process) = &mut node.process else { return Ok(()) };
        match (told, &mut process.broker) {
            (Told::Quorum(result), _) => {
                let Some((from, correlation_id)) = call.correlation else { return Ok(()) };
                return self.raft_takes(id, RaftInput::Response { from, correlation_id, result });
            }
            (Told::Controller(told), Some(broker)) => {
                let was_registered = process.life.is_registered;
                process.life.hear(broker, number, &told, clock_ms)?;
                if process.life.may_shut_down {
                    return self.shut_down(id);
                }
                if !was_registered && process.life.is_registered {
                    self.trace.note(self.now_ms, format_args!("{id} is registered"));
                }
            }
            (Told::Fetched(fetched), Some(broker)) => {
                let Some(of) = broker.fetchers.get_mut(&call.to) else { return Ok(()) };
                if of.asked.is_none_or(|(asked, _)| asked != number) {
                    return Ok(());
                }
                of.asked = None;
                let some = broker.fetched(call.to, &fetched, clock_ms);
                if let Some(of) = broker.fetchers.get_mut(&call.to) {
                    of.rests_until_ms = if some { 0 } else { clock_ms + REST_MS };
                }
                self.fetch(id);
            }
            (Told::Lookup(response), Some(broker)) => {
                let Some(of) = broker.fetchers.get_mut(&call.to) else { return Ok(()) };
                if of.asked.is_none_or(|(asked, _)| asked != number) {
                    return Ok(());
                }
                of.asked = None;
                if let Some(request) = of.looking.take() {
                    of.fetcher.on_lookup(&request, response.as_ref(), clock_ms);
                }
            }
            _ => {}
        }
        self.afterwards(id)
    }
}

/// One turn of the metadata's thread.
fn work(
    process: &mut Process,
    random: &mut io::SeededRandom,
    lost: &mut Vec<super::node::Waiting>,
    clock_ms: i64,
) -> Result<Vec<RaftOutput>, controller::MetadataNodeError> {
    let Process { metadata, publications, .. } = process;
    metadata.run_timed_events(&mut || random.next_u64(), clock_ms)?;
    let mut outputs = metadata.raft_mut().take_outputs(clock_ms)?;
    metadata.advance(clock_ms, &mut |event| match event {
        controller::MetadataEvent::Update(update) => publications.push_back(Publication::Update(update)),
        controller::MetadataEvent::Committed(waiting) => {
            publications.push_back(Publication::Release(waiting))
        }
        controller::MetadataEvent::Lost(waiting) => lost.push(waiting),
    })?;
    outputs.extend(metadata.raft_mut().take_outputs(clock_ms)?);
    metadata.snapshot_if_due(clock_ms)?;
    Ok(outputs)
}
