//! Those who use groups: committers without a group's life, members of classic groups, and members of consumer groups (KIP-848).

use std::collections::BTreeSet;

use common::{ErrorCode, Uuid};
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;

use crate::offsets::commit_request;

/// The one topic that is consumed.
pub(crate) const TOPIC: Uuid = Uuid::from_u128(0x1111_0000_0000_0000_0000_0000_0000_0001);
pub(crate) const WORDS: &str = "words";
pub(crate) const PARTITIONS: i32 = 5;

pub(crate) const CLASSIC_SESSION_MS: i64 = 10_000;
pub(crate) const CONSUMER_SESSION_MS: i64 = 45_000;

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Commit { partition: i32, offset: i64, request: OffsetCommitRequest },
    Beat(ConsumerGroupHeartbeatRequest),
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    ClassicBeat(HeartbeatRequest),
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Commit { partition: i32, offset: i64, error: ErrorCode },
    Beat(ConsumerGroupHeartbeatResponse),
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    ClassicBeat(ErrorCode),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Committer,
    Classic,
    Consumer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Joining,
    Syncing,
    In,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub kind: Kind,
    pub group: String,
    pub member_id: String,
    /// Member epoch or generation.
    pub epoch: i32,
    /// What it reads.
    pub owned: BTreeSet<i32>,
    /// It counts as a member until this time: its session, from when it sent what was answered.
    pub alive_until_ms: i64,
    phase: Phase,
    members: Vec<String>,
    leads: bool,
    /// The number of the request it waits for, and since when.
    pub asked: Option<(u64, i64)>,
    /// How many times it began anew as somebody else.
    lives: u32,
}

impl Client {
    pub fn new(kind: Kind, group: &str, name: &str) -> Client {
        Client {
            kind,
            group: group.to_owned(),
            member_id: if kind == Kind::Consumer { name.to_owned() } else { String::new() },
            epoch: if kind == Kind::Consumer { 0 } else { -1 },
            owned: BTreeSet::new(),
            alive_until_ms: 0,
            phase: Phase::Out,
            members: Vec::new(),
            leads: false,
            asked: None,
            lives: 0,
        }
    }

    fn session_ms(&self) -> i64 {
        if self.kind == Kind::Classic { CLASSIC_SESSION_MS } else { CONSUMER_SESSION_MS }
    }

    /// The process ends without a word, and another begins in its place.
    pub fn crash(&mut self) {
        self.lives += 1;
        let name = format!("{}-{}", self.member_id.split('-').next().unwrap_or_default(), self.lives);
        *self = Client { lives: self.lives, ..Client::new(self.kind, &self.group, &name) };
    }

    pub fn commit(&self, partition: i32, offset: i64) -> Ask {
        let member = (self.member_id.as_str(), self.epoch);
        let request = commit_request(&self.group, member, (WORDS, partition), offset);
        Ask::Commit { partition, offset, request }
    }

    /// What it does next to be or stay a member.
    pub fn next(&mut self) -> Option<Ask> {
        match self.kind {
            Kind::Committer => None,
            Kind::Consumer => Some(Ask::Beat(ConsumerGroupHeartbeatRequest {
                group_id: self.group.clone(),
                member_id: self.member_id.clone(),
                member_epoch: self.epoch,
                rebalance_timeout_ms: 60_000,
                subscribed_topic_names: Some(vec![WORDS.to_owned()]),
                topic_partitions: Some(match self.owned.is_empty() {
                    true => Vec::new(),
                    false => {
                        vec![TopicPartitions {
                            topic_id: TOPIC,
                            partitions: self.owned.iter().copied().collect(),
                        }]
                    }
                }),
                ..Default::default()
            })),
            Kind::Classic => Some(match self.phase {
                Phase::Out | Phase::Joining => {
                    self.phase = Phase::Joining;
                    Ask::Join(JoinGroupRequest {
                        group_id: self.group.clone(),
                        session_timeout_ms: CLASSIC_SESSION_MS as i32,
                        rebalance_timeout_ms: 20_000,
                        member_id: self.member_id.clone(),
                        protocol_type: "consumer".to_owned(),
                        protocols: vec![JoinGroupRequestProtocol {
                            name: "ours".to_owned(),
                            metadata: vec![1],
                        }],
                        ..Default::default()
                    })
                }
                Phase::Syncing => Ask::Sync(self.sync()),
                Phase::In => Ask::ClassicBeat(HeartbeatRequest {
                    group_id: self.group.clone(),
                    generation_id: self.epoch,
                    member_id: self.member_id.clone(),
                    ..Default::default()
                }),
            }),
        }
    }

    fn sync(&self) -> SyncGroupRequest {
        let mut assignments = Vec::new();
        if self.leads {
            for (index, member_id) in self.members.iter().enumerate() {
                let count = self.members.len() as i32;
                let own = (0..PARTITIONS).filter(|partition| partition % count == index as i32);
                assignments.push(SyncGroupRequestAssignment {
                    member_id: member_id.clone(),
                    assignment: own.map(|partition| partition as u8).collect(),
                });
            }
        }
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.epoch,
            member_id: self.member_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("ours".to_owned()),
            assignments,
            ..Default::default()
        }
    }

    /// How long it waits for an answer before it asks again, in ms.
    pub fn patience_ms(&self) -> i64 {
        if self.phase == Phase::Joining { 30_000 } else { 3_000 }
    }

    /// Takes an answer to what it sent at a time.
    pub fn hear(&mut self, told: &Told, sent_ms: i64) {
        match told {
            Told::Commit { .. } => {}
            Told::Beat(response) => match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {
                    self.alive_until_ms = sent_ms + self.session_ms();
                    self.epoch = response.member_epoch;
                    if let Some(assignment) = &response.assignment {
                        self.owned = assignment
                            .topic_partitions
                            .iter()
                            .flat_map(|topic| topic.partitions.iter().copied())
                            .collect();
                    }
                }
                ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                    self.owned.clear();
                    self.epoch = 0;
                }
                _ => {}
            },
            Told::Join(response) => match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {
                    self.alive_until_ms = sent_ms + self.session_ms();
                    self.member_id.clone_from(&response.member_id);
                    self.epoch = response.generation_id;
                    self.leads = response.leader == response.member_id;
                    self.members = response.members.iter().map(|member| member.member_id.clone()).collect();
                    self.phase = Phase::Syncing;
                }
                ErrorCode::MemberIdRequired => self.member_id.clone_from(&response.member_id),
                ErrorCode::UnknownMemberId => self.out(true),
                _ => {}
            },
            Told::Sync(response) => match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {
                    self.alive_until_ms = sent_ms + self.session_ms();
                    self.owned = response.assignment.iter().map(|partition| i32::from(*partition)).collect();
                    self.phase = Phase::In;
                }
                ErrorCode::UnknownMemberId => self.out(true),
                _ => self.out(false),
            },
            Told::ClassicBeat(error) => match error {
                ErrorCode::None => self.alive_until_ms = sent_ms + self.session_ms(),
                ErrorCode::RebalanceInProgress => self.out(false),
                ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId => {
                    self.out(true);
                }
                _ => {}
            },
        }
    }

    fn out(&mut self, forgotten: bool) {
        self.owned.clear();
        self.phase = Phase::Out;
        if forgotten {
            self.member_id.clear();
            self.epoch = -1;
        }
    }
}
