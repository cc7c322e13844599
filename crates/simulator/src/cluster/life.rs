//! A broker's way to the active controller: it registers, sends heartbeats, and asks for changes of ISRs (`server`'s `lifecycle` and
//! `isr_changes`).

use std::sync::Arc;

use common::{ErrorCode, Uuid};
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::{BrokerHeartbeatRequest, BrokerRegistrationRequest};
use replica::{AlteredPartition, Partition, ProposedIsr};

use super::broker::Broker;
use super::messages::{ControllerAsk, ControllerTold, is_fine};
use super::node::CLUSTER;
use crate::planted::Planted;

const HEARTBEAT_MS: i64 = 300;
/// How long an answer is waited for.
const PATIENCE_MS: i64 = 1_000;

/// A request under way: its number, and when it was sent.
type Asked = Option<(u64, i64)>;

pub(crate) struct Life {
    incarnation_id: Uuid,
    pub is_registered: bool,
    pub is_fenced: bool,
    /// It asks the controller to be let go.
    pub wants_shut_down: bool,
    /// It leads nothing any more, and may go.
    pub may_shut_down: bool,
    beat: Asked,
    next_beat_ms: i64,
    change: Asked,
    next_change_ms: i64,
    changing: Vec<(Arc<Partition>, ProposedIsr)>,
}

impl Life {
    pub fn new(incarnation_id: Uuid) -> Life {
        Life {
            incarnation_id,
            is_registered: false,
            is_fenced: true,
            wants_shut_down: false,
            may_shut_down: false,
            beat: None,
            next_beat_ms: 0,
            change: None,
            next_change_ms: 0,
            changing: Vec::new(),
        }
    }

    /// Whether it takes requests: it is registered, and acts on the metadata that say so. What it led before may be another's by
    /// then.
    pub fn serves(&self, broker: &Broker) -> bool {
        let knows = broker.image.offset() >= broker.replicas.local_broker().epoch()
            || broker.planted == Some(Planted::EarlyService);
        self.is_registered && knows
    }

    /// What to ask next: a registration, or a heartbeat.
    pub fn beat(&mut self, broker: &Broker, directory: Uuid, now_ms: i64) -> Option<ControllerAsk> {
        if self.beat.is_some_and(|(_, sent_ms)| now_ms < sent_ms + PATIENCE_MS) || now_ms < self.next_beat_ms
        {
            return None;
        }
        let broker_id = broker.node_id();
        if self.is_registered {
            return Some(ControllerAsk::Heartbeat(BrokerHeartbeatRequest {
                broker_id,
                broker_epoch: broker.replicas.local_broker().epoch(),
                current_metadata_offset: broker.image.offset(),
                want_shut_down: self.wants_shut_down,
                ..Default::default()
            }));
        }
        let features = metadata::supported_features().into_iter().map(|(name, range)| Feature {
            name,
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        Some(ControllerAsk::Register(BrokerRegistrationRequest {
            broker_id,
            cluster_id: CLUSTER.to_owned(),
            incarnation_id: self.incarnation_id,
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                host: format!("node-{broker_id}"),
                port: 9092,
                security_protocol: 0,
            }],
            features: features.collect(),
            rack: None,
            log_dirs: vec![directory],
            previous_broker_epoch: broker.logs.previous_broker_epoch(),
            ..Default::default()
        }))
    }

    /// The changes of ISRs to ask for.
    pub fn changes(&mut self, broker: &Broker, now_ms: i64) -> Option<ControllerAsk> {
        let waits = self.change.is_some_and(|(_, sent_ms)| now_ms < sent_ms + PATIENCE_MS);
        if waits || now_ms < self.next_change_ms || !self.is_registered {
            return None;
        }
        let proposals = broker.partitions().into_values();
        self.changing = proposals
            .filter_map(|partition| partition.proposed_isr().map(|proposal| (partition, proposal)))
            .collect();
        if broker.planted == Some(Planted::UnconfirmedIsr) {
            self.changing.retain(|(partition, proposal)| !take_unconfirmed(partition, proposal, now_ms));
        }
        let proposals = self.changing.iter().map(|(_, proposal)| proposal);
        (!self.changing.is_empty()).then(|| {
            ControllerAsk::AlterPartition(broker.replicas.local_broker().alter_partition_request(proposals))
        })
    }

    pub fn asked(&mut self, ask: &ControllerAsk, number: u64, now_ms: i64) {
        match ask {
            ControllerAsk::AlterPartition(_) => self.change = Some((number, now_ms)),
            _ => self.beat = Some((number, now_ms)),
        }
    }

    /// Takes an answer. What is wrong with it that no time heals is an error.
    pub fn hear(
        &mut self,
        broker: &Broker,
        number: u64,
        told: &ControllerTold,
        now_ms: i64,
    ) -> Result<(), String> {
        let is = |asked: Asked| asked.is_some_and(|(of, _)| of == number);
        if is(self.beat) {
            self.beat = None;
            self.next_beat_ms = now_ms + HEARTBEAT_MS;
            match told {
                ControllerTold::Registered(answer) if is_fine(answer.error_code) => {
                    broker.replicas.local_broker().set_epoch(answer.broker_epoch);
                    self.is_registered = true;
                    self.next_beat_ms = now_ms;
                }
                ControllerTold::Registered(answer) => {
                    let error = ErrorCode::from_code(answer.error_code);
                    let passing = [ErrorCode::DuplicateBrokerRegistration, ErrorCode::NotController];
                    if !passing.contains(&error) {
                        return Err(format!("broker {} cannot register: {error:?}", broker.node_id()));
                    }
                }
                ControllerTold::Heartbeat(answer) if is_fine(answer.error_code) => {
                    self.is_fenced = answer.is_fenced;
                    self.may_shut_down |= answer.should_shut_down;
                }
                _ => self.next_beat_ms = now_ms + 50,
            }
        } else if is(self.change) {
            self.change = None;
            let changing = std::mem::take(&mut self.changing);
            match told {
                ControllerTold::Altered(response) if is_fine(response.error_code) => {
                    for (partition, proposal) in changing {
                        let answer = proposal.answer_in(response);
                        let answer = answer.unwrap_or(Err(ErrorCode::UnknownServerError));
                        // What is to be asked again is still proposed; what has moved is looked at behind each event.
                        let _ = partition.on_altered(proposal.id, answer, now_ms);
                    }
                }
                _ => self.next_change_ms = now_ms + 50,
            }
        }
        Ok(())
    }
}

/// A leader takes a smaller ISR for the controller's as soon as it has thought of it. Whether it was one.
fn take_unconfirmed(partition: &Partition, proposal: &ProposedIsr, now_ms: i64) -> bool {
    let known = partition.registration();
    let isr: Vec<i32> = proposal.isr.iter().map(|(id, _)| *id).collect();
    let shrinks = isr.len() < known.isr.len();
    if shrinks {
        let altered = AlteredPartition {
            leader_epoch: known.leader_epoch,
            isr,
            leader_recovery_state: known.leader_recovery_state,
            partition_epoch: known.partition_epoch,
        };
        let _ = partition.on_altered(proposal.id, Ok(altered), now_ms);
    }
    shrinks
}
